"""Ordinary differential equations, with gradients (Chen et al. 2018 for the adjoint equation)."""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import GradError, ShapeError, Variable
from .._transforms import _check_function
from ._flat import Flat, as_args, as_tree, chosen, joined
from ._radau import Radau
from ._runge_kutta import DOP853, RK23, RK45
from ._samples import _DiffersError, has_derivative, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._runge_kutta import Field, Solver, Step

METHODS: dict[str, type[Solver]] = {"RK45": RK45, "dopri5": RK45, "RK23": RK23, "DOP853": DOP853, "Radau": Radau}
#: SciPy's names of stiff methods that are not here.
_STIFF = ("bdf", "lsoda", "vode", "radau5", "rosenbrock")


class OdeSolution:
    """The solution between the first and the last time: ``solution(t)`` at one time or an array of times.

    It is the interpolant of the steps and has the derivatives that the steps have; its order is that of the method or one or two
    less. ``steps`` are the times of the steps, ``nfev`` is how often the function was evaluated, ``njev`` how often its Jacobian.

    >>> _, solution = tg.integrate.odeint(lambda y, t: -y, 1.0, [0.0, 5.0], dense_output=True)
    >>> round(solution(1.0).item(), 5)
    0.36788
    """

    def __init__(self, solver: Solver, flat: Flat, start: Variable) -> None:
        self._steps, self._flat, self._start, self._last = solver.steps, flat, start, solver.y
        self.nfev, self.njev, self.nlu = solver.nfev, solver.njev, solver.nlu
        self.steps = np.array([*(s.t for s in solver.steps), solver.t])

    def _at(self, t: float) -> Variable:
        return self._last if t == self.steps[-1] else _between(self._steps, self._start, self.steps, t)

    def __call__(self, t: Any) -> Any:
        """The value at ``t``, in the containers of the start; times of an array stand in front."""
        times = np.asarray(t.numpy() if isinstance(t, Variable) else t, dtype=np.float64)
        low, high = sorted((self.steps[0], self.steps[-1]))
        if times.size and not (times.min() >= low and times.max() <= high):
            raise ValueError(f"odeint: the solution is known from t = {low:g} to {high:g}, not at {times.ravel()[:3].tolist()}")
        if times.ndim == 0:
            return self._flat.shaped(self._flat.split(self._at(float(times))))
        return _stacked(self._flat, [self._at(x) for x in times.ravel().tolist()])


def _between(steps: list[Step], start: Variable, ends: np.ndarray, t: float) -> Variable:
    """The interpolant at ``t``."""
    if not steps or t == steps[0].t:
        return start
    sign = 1.0 if steps[0].h > 0 else -1.0
    k = min(max(bisect_left((sign * ends).tolist(), sign * t) - 1, 0), len(steps) - 1)
    if t == ends[k + 1] and k + 1 < len(steps):
        return steps[k + 1].y
    return steps[k].at(t)


def _stacked(flat: Flat, rows: list[Variable]) -> Any:
    """Values at several times in the containers of the start, the times in front."""
    table = _core.stack(rows)
    if flat.single and len(flat.shapes[0]) == 1 and table.dtype == flat.dtypes[0]:
        return table
    count = len(rows)
    parts = zip(flat.ends, flat.ends[1:], flat.shapes, flat.dtypes)
    return flat.shaped([_core.reshape(table[:, a:b], (count, *shape)).astype(dtype) for a, b, shape, dtype in parts])


def _times(t: Any) -> tuple[Variable, np.ndarray]:
    """The times as a Variable and as numbers."""
    holds = isinstance(t, (list, tuple)) and any(isinstance(x, Variable) for x in t)
    v = _core.asarray(t if holds or isinstance(t, Variable) else np.asarray(t, dtype=np.float64))
    if v.ndim != 1 or v.size == 0:
        raise ShapeError(f"odeint: t must be a vector of at least one time, got shape {v.shape}")
    try:
        numbers = plain(v).detach().numpy().astype(np.float64)
    except _DiffersError:
        raise GradError("odeint: the times differ between the samples of vmap; give all samples the same times") from None
    steps = np.diff(numbers)
    if not np.isfinite(numbers).all() or not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("odeint: the times must be finite, and increase or decrease strictly")
    return v, numbers


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: tuple[Any, ...] = (),
    *,
    rtol: float | None = None,
    atol: float | None = None,
    tfirst: bool = False,
    method: str = "dopri5",
    gradient: str = "direct",
    first_step: float | None = None,
    max_step: float = inf,
    max_steps: int = 10_000,
    dense_output: bool = False,
) -> Any:
    """The solution of ``dy/dt = func(y, t, *args)`` with ``y(t[0]) = y0`` at the times ``t``, which stand in front of its axes.

    ``y0`` is an array, a number, a list of numbers, or a nested container; ``func`` gets ``y`` in the same containers and
    returns its derivative in them, and ``t`` as a 0-d array (first, with ``tfirst``). Times increase or decrease. ``rtol`` and
    ``atol`` bound the error of a step; the defaults are 1.5e-8 in float64 and 1e-4 in float32. :class:`ConvergenceError` is
    raised where the steps become too small or more than ``max_steps`` of them were tried.

    ``method`` is "RK45", also named "dopri5", Dormand's and Prince's of order 5; "RK23", for loose tolerances; "DOP853", of order
    8, for tight ones; or "Radau", of order 5, for stiff equations of up to some hundred unknowns, which takes Jacobians of
    ``func`` in forward mode. Steps are chosen for the error, and never longer than ``max_step``.

    The result is differentiable by ``y0``, ``t``, ``args`` and by what ``func`` closes over. ``gradient="direct"``
    differentiates the steps that were made: exact for the computed solution, any order and mode, also inside ``vmap`` (all
    samples take the same steps), with memory for every step. Stages of "Radau" are differentiated by the implicit function
    theorem: that is exact to the second order. ``gradient="adjoint"``, for the other methods, solves the adjoint equation
    backward along the stored solution: less memory, as accurate as the tolerances, reverse mode of order one. With
    ``dense_output`` the result is a pair of the values and an :class:`OdeSolution`, which gives the values at other times.

    >>> k = tg.Variable(0.5, dtype="float64", requires_grad=True)
    >>> y = tg.optimize.odeint(lambda y, t: -k * y, 1.0, [0.0, 2.0])
    >>> y[-1].backward()
    >>> round(y[-1].item(), 6), round(k.grad.item(), 6)  # exp(-2 k) and -2 exp(-2 k)
    (0.367879, -0.735759)
    """
    _check_function("odeint", func)
    way = chosen("odeint", "gradient", gradient, "direct", ("direct", "adjoint"))
    flat, start = state_of("odeint", y0)
    options = options_of("odeint", flat, method, rtol, atol, first_step, max_step, max_steps)
    times, numbers = _times(t)
    field = field_of(func, flat, as_args(args), tfirst)
    if way == "adjoint":
        from ._adjoint import solve

        if options["method"] == "Radau":
            raise ValueError("odeint: gradient='adjoint' is not available with method='Radau'; use gradient='direct'")
        return solve(field, flat, start, times, numbers, options, dense_output)
    rows, solver = solved(field, start, times, numbers, options)
    values = _stacked(flat, rows)
    return (values, OdeSolution(solver, flat, start)) if dense_output else values


def state_of(name: str, y0: Any) -> tuple[Flat, Variable]:
    """The layout of a start, and the start as a vector."""
    tree = as_tree(y0)
    try:
        flat = Flat(name, tree, "y0")
    except _DiffersError:
        flat = Flat(name, _samples_shape(tree), "y0")
    return flat, joined(name, tree, flat.dtype)


def options_of(
    name: str, flat: Flat, method: Any, rtol: Any, atol: Any, first_step: Any, max_step: Any, max_steps: int
) -> dict[str, Any]:
    """The options of a solver, checked."""
    if isinstance(method, str) and method.lower() in _STIFF:
        raise ValueError(f"{name}: method {method!r} is not available; method='Radau' solves stiff equations")
    options: dict[str, Any] = {"method": chosen(name, "method", method, "RK45", METHODS)}
    tol = 1.5e-8 if flat.dtype == _core.float64 else 1e-4
    for key, given in (("rtol", rtol), ("atol", atol)):
        size = np.asarray(tol if given is None else given, dtype=np.float64)
        if not (size >= 0).all() or size.shape not in ((), (flat.size,)):
            raise ValueError(f"{name}: {key} is {given!r}, expected a number, or one for each of {flat.size} components")
        options[key] = size
    for key, given in (("first_step", first_step), ("max_step", max_step)):
        if given is not None and not given > 0:
            raise ValueError(f"{name}: {key} is {given!r}, expected a positive number")
        options[key] = inf if given is None and key == "max_step" else given
    return {**options, "max_steps": max_steps}


def _samples_shape(tree: Any) -> Any:
    """A start inside ``vmap`` as one of plain zeros, for its containers, shapes and dtypes."""
    from .._tree import tree_map

    return tree_map(lambda x: _core.zeros(x.shape, dtype=x.dtype) if isinstance(x, Variable) else x, tree)


def field_of(func: Callable[..., Any], flat: Flat, args: tuple[Any, ...], tfirst: bool) -> Field:
    """The right hand side as a function of vectors."""

    def field(y: Variable, t: Any) -> Variable:
        tree = flat.filled(flat.split(y))
        out = func(t, tree, *args) if tfirst else func(tree, t, *args)
        slope = (
            out
            if isinstance(out, Variable) and out.shape == y.shape and out.dtype == y.dtype
            else joined("odeint", out, flat.dtype)
        )
        if slope.size != flat.size:
            raise ShapeError(
                f"odeint: the function returned {slope.size} numbers for a state of {flat.size}; it must return dy/dt"
            )
        return slope

    return field


def shift_of(times: Variable, dtype: Any) -> Variable | None:
    """Zero in value: it shifts all steps with the first time, where the times are tracked."""
    return (times[0] - times[0].detach()).astype(dtype) if has_derivative(times) else None


def solver_of(name: str, field: Field, start: Variable, t: float, shift: Any, options: dict[str, Any]) -> Solver:
    """The solver of the method at its start."""
    return METHODS[options["method"]](name, field, start, t, shift, options)


def solved(
    field: Field, start: Variable, times: Variable, numbers: np.ndarray, options: dict[str, Any]
) -> tuple[list[Variable], Solver]:
    """The values at the times, and the solver with its steps."""
    shift = shift_of(times, start.dtype)
    solver = solver_of("odeint", field, start, float(numbers[0]), shift, options)
    solver.advance(float(numbers[-1]))
    return rows_at(solver, start, times, numbers), solver


def rows_at(solver: Solver, start: Variable, times: Variable, numbers: np.ndarray) -> list[Variable]:
    """The values at times that begin with the first one, differentiable by the times."""
    ends = np.array([*(s.t for s in solver.steps), solver.t])
    rows = [start]
    for i, t in enumerate(numbers[1:].tolist(), 1):
        y = solver.y if t == solver.t else _between(solver.steps, start, ends, t)
        rows.append(y if solver.shift is None else moved(solver, y, t, times[i] - times[i].detach() - solver.shift))
    return rows


def moved(solver: Solver, y: Variable, t: float, by: Variable) -> Variable:
    """The value ``y`` at ``t``, after a step of a length that is zero and has derivatives.

    It is one of the midpoint rule: right to the second order.
    """
    own = by.astype(y.dtype)
    at = Variable(t, dtype=y.dtype)
    if solver.shift is not None:
        at = at + solver.shift
    return y + own * solver.field(y + 0.5 * own * solver.field(y, at), at + 0.5 * own)
