"""Differential equations with SciPy's arguments: ``solve_ivp``."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from ._ode import OdeSolution, odeint
from ._result import OptimizeResult

if TYPE_CHECKING:
    from collections.abc import Callable

#: Options of SciPy that would change the result.
_UNKNOWN = ("events", "jac", "jac_sparsity", "lband", "uband", "min_step")


def _options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in (*_UNKNOWN, "vectorized", "max_step"):
            raise TypeError(f"solve_ivp: there is no option {name!r}")
        if name == "max_step" and not isinf(value):
            raise TypeError("solve_ivp: max_step is not available; pass rtol=, atol= or first_step=")
        if name in _UNKNOWN and value is not None:
            raise TypeError(f"solve_ivp: {name}= is not available; leave it out")
        if name == "vectorized" and value:
            raise TypeError("solve_ivp: vectorized=True is not available: the function gets one state at a time")


def solve_ivp(
    fun: Callable[..., Any],
    t_span: tuple[Any, Any],
    y0: Any,
    method: str = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    *,
    args: tuple[Any, ...] | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-6,
    first_step: float | None = None,
    gradient: str = "direct",
    **options: Any,
) -> OptimizeResult:
    """The solution of ``dy/dt = fun(t, y, *args)`` over ``t_span`` from the vector ``y0``, with SciPy's arguments and result.

    The result has ``t``, the times, and ``y`` with a column for each: those of ``t_eval``, or of the steps that the solver took;
    with ``dense_output``, ``sol(t)``. It is differentiable as that of :func:`odeint`, which does the work: the method is RK45,
    for equations that are not stiff. What fails raises ConvergenceError, so ``success`` is True.

    >>> k = tg.Variable(0.5, dtype="float64", requires_grad=True)
    >>> found = tg.integrate.solve_ivp(lambda t, y: -k * y, (0.0, 2.0), [1.0], t_eval=[2.0], rtol=1e-8, atol=1e-10)
    >>> round(found.y[0, 0].item(), 6)
    0.367879
    """
    _options(options)
    if method not in ("RK45", "dopri5"):
        raise ValueError(f"solve_ivp: method is {method!r}, expected 'RK45': stiff methods and other orders are not available")
    start = _core.asarray(y0 if isinstance(y0, Variable) else np.asarray(y0) if not _holds(y0) else y0)
    if start.ndim != 1:
        raise ShapeError(f"solve_ivp: y0 has shape {start.shape}, expected a vector; odeint takes other shapes and containers")
    times, extra = _times(t_span, t_eval)
    options = {"rtol": rtol, "atol": atol, "first_step": first_step, "gradient": gradient}
    values, solution = odeint(fun, start, times, args or (), tfirst=True, dense_output=True, **options)
    if t_eval is None:
        at: Any = solution.steps
        values = solution(at)
    else:
        at, values = np.array([_number(t) for t in times[extra:]]), values[extra:]
    return OptimizeResult(
        t=at,
        y=_core.moveaxis(values, 0, -1),
        sol=_columns(solution) if dense_output else None,
        t_events=None,
        y_events=None,
        nfev=solution.nfev,
        njev=0,
        nlu=0,
        status=0,
        message="The solver successfully reached the end of the integration interval.",
        success=True,
    )


def _times(t_span: tuple[Any, Any], t_eval: Any) -> tuple[list[Any], int]:
    """The times that are computed, and how many of them in front were not asked for."""
    begin, end = t_span
    if t_eval is None:
        return [begin, end], 0
    times = list(_core.unstack(_core.asarray(t_eval))) if isinstance(t_eval, Variable) else np.asarray(t_eval).tolist()
    return (times, 0) if _number(times[0]) == _number(begin) else ([begin, *times], 1)


def _holds(y0: Any) -> bool:
    return isinstance(y0, (list, tuple)) and any(isinstance(v, Variable) for v in y0)


def _number(t: Any) -> float:
    return float(t.detach() if isinstance(t, Variable) else t)


def _columns(solution: OdeSolution) -> Callable[[Any], Any]:
    """The interpolant with the times behind, as SciPy's."""

    def sol(t: Any) -> Any:
        values = solution(t)
        return values if np.ndim(t.numpy() if isinstance(t, Variable) else t) == 0 else _core.moveaxis(values, 0, -1)

    return sol
