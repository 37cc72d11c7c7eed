"""Differential equations with SciPy's arguments: ``solve_ivp``."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._transforms import _check_function
from ._events import Events
from ._flat import chosen
from ._ode import OdeSolution, field_of, odeint, options_of, rows_at, shift_of, solver_of, state_of
from ._result import OptimizeResult

if TYPE_CHECKING:
    from collections.abc import Callable

#: Options of SciPy that would change the result.
_UNKNOWN = ("jac", "jac_sparsity", "lband", "uband", "min_step")


def _options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in (*_UNKNOWN, "vectorized"):
            raise TypeError(f"solve_ivp: there is no option {name!r}")
        if name in ("jac", "jac_sparsity") and value is not None:
            raise TypeError(f"solve_ivp: {name}= is not available; leave it out: Jacobians are taken from the function")
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
    events: Any = None,
    *,
    args: tuple[Any, ...] | None = None,
    rtol: Any = 1e-3,
    atol: Any = 1e-6,
    first_step: float | None = None,
    max_step: float = inf,
    max_steps: int = 100_000,
    gradient: str = "direct",
    **options: Any,
) -> OptimizeResult:
    """The solution of ``dy/dt = fun(t, y, *args)`` over ``t_span`` from the vector ``y0``, with SciPy's arguments and result.

    ``method`` is "RK45", "RK23", "DOP853", or "Radau" for stiff equations, as in :func:`odeint`. The result has ``t``, the
    times, and ``y`` with a column for each: those of ``t_eval``, or of the steps that the solver took; with ``dense_output``,
    ``sol(t)``. What fails raises ConvergenceError.

    ``events`` is a function ``event(t, y, *args)`` of one number, or a list of them. Where its sign changes between two steps,
    the time and the state are found and put into ``t_events`` and ``y_events``, one entry for each event. With an attribute
    ``event.terminal = True``, or a number of times, the run ends there, and ``status`` is 1; ``event.direction`` above or below
    zero asks for signs that go up or down.

    ``y``, ``t_events`` and ``y_events`` are differentiable by ``y0``, ``t_span``, ``t_eval``, ``args`` and what ``fun`` closes
    over, as the result of :func:`odeint` is: a solution that ends with an event moves with its time. Times in ``t`` are numbers.

    >>> k = tg.Variable(0.5, dtype="float64", requires_grad=True)
    >>> found = tg.integrate.solve_ivp(lambda t, y: -k * y, (0.0, 2.0), [1.0], t_eval=[2.0], rtol=1e-8, atol=1e-10)
    >>> round(found.y[0, 0].item(), 6)
    0.367879
    >>> def half(t, y):
    ...     return y[0] - 0.5
    >>> found = tg.integrate.solve_ivp(lambda t, y: -k * y, (0.0, 9.0), [1.0], events=half, rtol=1e-8, atol=1e-10)
    >>> time = found.t_events[0][0]  # ln 2 / k
    >>> time.backward()
    >>> round(time.item(), 5), round(k.grad.item(), 5)  # -ln 2 / k²
    (1.38629, -2.77259)
    """
    _options(options)
    _check_function("solve_ivp", fun)
    way = chosen("solve_ivp", "gradient", gradient, "direct", ("direct", "adjoint"))
    start = _vector(y0)
    wanted, args = _times(t_span, t_eval), args or ()
    settings = _settings(method, rtol, atol, first_step, max_step, max_steps)
    if way == "adjoint":
        if events is not None:
            raise ValueError("solve_ivp: gradient='adjoint' takes no events; use gradient='direct'")
        return _by_adjoint(fun, start, t_span, wanted, args, settings, dense_output)
    flat, y = state_of("solve_ivp", start)
    run = _Run(field_of(fun, flat, args, True), flat, y, t_span, options_of("solve_ivp", flat, **settings))
    return run.watch(events, args).result(wanted, dense_output)


def _settings(method: Any, rtol: Any, atol: Any, first_step: Any, max_step: Any, max_steps: int) -> dict[str, Any]:
    return {
        "method": method,
        "rtol": rtol,
        "atol": atol,
        "first_step": first_step,
        "max_step": max_step,
        "max_steps": max_steps,
    }


def _vector(y0: Any) -> Variable:
    """The start."""
    holds = isinstance(y0, (list, tuple)) and any(isinstance(v, Variable) for v in y0)
    start = _core.asarray(y0 if holds or isinstance(y0, Variable) else np.asarray(y0))
    if start.ndim != 1:
        raise ShapeError(f"solve_ivp: y0 has shape {start.shape}, expected a vector; odeint takes other shapes and containers")
    return start


def _by_adjoint(
    fun: Any, start: Variable, t_span: Any, wanted: list[Any] | None, args: Any, settings: dict[str, Any], dense: bool
) -> OptimizeResult:
    begin, end = t_span
    times = [begin, end] if wanted is None else list(wanted)
    before = int(not times or _number(times[0]) != _number(begin))
    after = int(not times or _number(times[-1]) != _number(end))
    times = [begin] * before + times + [end] * after
    values, solution = odeint(fun, start, times, args, tfirst=True, dense_output=True, gradient="adjoint", **settings)
    if wanted is None:
        return _result(solution.steps, solution(solution.steps), solution, dense, None)
    kept = slice(before, len(times) - after)
    return _result(np.array([_number(t) for t in times[kept]]), values[kept], solution, dense, None)


class _Run:
    """A run over the time span, whose steps are differentiated themselves."""

    def __init__(self, field: Any, flat: Any, y: Variable, t_span: tuple[Any, Any], settings: dict[str, Any]) -> None:
        self.flat, self.y = flat, y
        self.span = [_core.asarray(t, dtype=_core.float64) if not isinstance(t, Variable) else t for t in t_span]
        shift = shift_of(_core.stack(self.span), y.dtype)
        self.solver = solver_of("solve_ivp", field, y, _number(self.span[0]), shift, settings)
        self.events: Events | None = None

    def watch(self, events: Any, args: tuple[Any, ...]) -> _Run:
        """Looks for events, where there are any."""
        if events is not None:
            self.events = Events("solve_ivp", events, self.solver, lambda v: self.flat.filled(self.flat.split(v)), args)
        return self

    def result(self, wanted: list[Any] | None, dense: bool) -> OptimizeResult:
        """Runs, and returns the values at the times that are wanted, or at the steps."""
        solver = self.solver
        solver.advance(_number(self.span[1]), self.events)
        solution = OdeSolution(solver, self.flat, self.y)
        ended = self.events is not None and self.events.ended
        if wanted is None:
            last = solver.y if ended else self._rows([self.span[1]])[-1]
            rows = [*(s.y for s in solver.steps), last]
            return _result(solution.steps, _core.stack(rows), solution, dense, self.events)
        sign = np.sign(_number(self.span[1]) - _number(self.span[0]))
        kept = [t for t in wanted if not ended or sign * (solver.t - _number(t)) >= 0]
        rows = self._rows(kept)
        values = _core.stack(rows) if rows else _core.zeros((0, self.y.shape[0]), dtype=self.y.dtype)
        return _result(np.array([_number(t) for t in kept]), values, solution, dense, self.events)

    def _rows(self, times: list[Any]) -> list[Variable]:
        times = [self.span[0], *times]
        numbers = np.array([_number(t) for t in times])
        tracked = _core.stack([t if isinstance(t, Variable) else _core.asarray(t, dtype=_core.float64) for t in times])
        if self.solver.shift is None:
            self.solver.shift = shift_of(tracked, self.y.dtype)
        return rows_at(self.solver, self.y, tracked, numbers)[1:]


def _result(at: Any, values: Variable, solution: OdeSolution, dense: bool, events: Events | None) -> OptimizeResult:
    ended = events is not None and events.ended
    empty = _core.zeros((0, values.shape[1]), dtype=values.dtype)
    none = _core.zeros((0,), dtype=_core.float64)
    found = [e.found for e in events.all] if events is not None else None
    return OptimizeResult(
        t=at,
        y=_core.moveaxis(values, 0, -1),
        sol=_columns(solution) if dense else None,
        t_events=None if found is None else [_core.stack([t for t, _ in f]) if f else none for f in found],
        y_events=None if found is None else [_core.stack([y for _, y in f]) if f else empty for f in found],
        nfev=solution.nfev,
        njev=solution.njev,
        nlu=solution.nlu,
        status=int(ended),
        message="A termination event occurred."
        if ended
        else "The solver successfully reached the end of the integration interval.",
        success=True,
    )


def _times(t_span: tuple[Any, Any], t_eval: Any) -> list[Any] | None:
    """The times of ``t_eval``, checked as in SciPy."""
    begin, end = (_number(t) for t in t_span)
    if not (isfinite(begin) and isfinite(end)):
        raise ValueError(f"solve_ivp: t_span is ({begin}, {end}), expected two finite times")
    if t_eval is None:
        return None
    holds = isinstance(t_eval, Variable) or any(isinstance(t, Variable) for t in t_eval)
    numbers = [_number(t) for t in t_eval]
    inside = min(begin, end) <= min(numbers, default=begin) and max(numbers, default=begin) <= max(begin, end)
    if not inside:
        raise ValueError(f"solve_ivp: times of t_eval lie outside of t_span, which is ({begin:g}, {end:g})")
    if (np.sign(end - begin) * np.diff(numbers) <= 0).any():
        raise ValueError("solve_ivp: the times of t_eval must be in the order in which they are passed, without repetition")
    return list(t_eval) if holds else numbers


def _number(t: Any) -> float:
    return float(t.detach() if isinstance(t, Variable) else t)


def _columns(solution: OdeSolution) -> Callable[[Any], Any]:
    """The interpolant with the times behind, as SciPy's."""

    def sol(t: Any) -> Any:
        values = solution(t)
        return values if np.ndim(t.numpy() if isinstance(t, Variable) else t) == 0 else _core.moveaxis(values, 0, -1)

    return sol
