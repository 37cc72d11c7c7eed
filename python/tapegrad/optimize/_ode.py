"""Ordinary differential equations: the method of Dormand and Prince, with gradients.

Sources: Dormand & Prince 1980; Shampine 1986 for the interpolant; Hairer, Nørsett & Wanner, Solving ODEs I, section II.4 for the
steps; Chen et al. 2018 for the adjoint equation.
"""

from __future__ import annotations

from bisect import bisect_left
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._core import GradError, ShapeError, Variable
from .._transforms import _check_function
from ..autograd import no_grad
from ._flat import Flat, as_args, as_tree, chosen, joined
from ._result import ConvergenceError
from ._samples import _DiffersError, has_derivative, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    Field = Callable[[Variable, Any], Variable]

_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_A = [
    np.array(row)
    for row in (
        [],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    )
]
#: The difference of the results of orders 5 and 4.
_E = np.array([-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40])
#: The interpolant: row i has the coefficients of θ to θ⁴ for stage i.
_P = np.array(
    [
        [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
        [0, 0, 0, 0],
        [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
        [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
        [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
        [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
        [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
    ]
)


class _Step(NamedTuple):
    """An accepted step: where it begins, its length, the value there, and the stages."""

    t: float
    h: float
    y: Variable
    stages: Variable

    def at(self, t: float) -> Variable:
        """The interpolant at a time within the step."""
        theta = (t - self.t) / self.h
        return self.y + _row(self.h * (_P @ theta ** np.arange(1.0, 5.0)), self.y) @ self.stages


def _row(weights: np.ndarray, like: Variable) -> Variable:
    return Variable(weights, dtype=like.dtype)


def _weighted(y: Variable, weights: np.ndarray, stages: list[Variable]) -> Variable:
    """``y`` plus a weighted sum of stages."""
    if len(stages) <= 2:
        for w, k in zip(weights.tolist(), stages):
            y = y + w * k
        return y
    return y + _row(weights, y) @ _core.stack(stages)


class _Solver:
    """Steps through time, and keeps the accepted steps."""

    def __init__(self, name: str, field: Field, y: Variable, t: float, shift: Any, options: dict[str, Any]) -> None:
        self.name, self.field, self.shift, self.options = name, field, shift, options
        self.y, self.t = y, t
        self.steps: list[_Step] = []
        self.nfev = self.tried = 0
        self.h = 0.0

    def slope(self, t: float, y: Variable) -> Variable:
        self.nfev += 1
        time = Variable(t, dtype=y.dtype)
        return self.field(y, time if self.shift is None else time + self.shift)

    def _norm(self, x: np.ndarray, scale: Any) -> float:
        """The root mean square in units of the tolerances; the worst sample of a batch."""
        ratio = np.abs(x) / scale
        return float(np.sqrt(np.mean(ratio * ratio, axis=-1)).max(initial=0.0)) if ratio.size else 0.0

    def _scale(self, *values: np.ndarray) -> Any:
        size = np.abs(values[0])
        for v in values[1:]:
            size = np.maximum(size, np.abs(v))
        return self.options["atol"] + self.options["rtol"] * size

    def first_length(self, end: float) -> float:
        """A length for the first step (Hairer, Nørsett & Wanner, section II.4)."""
        span = abs(end - self.t)
        if self.options["first_step"] is not None:
            return min(float(self.options["first_step"]), span)
        y, k = _numbers(self.y), _numbers(self.first)
        scale = self._scale(y)
        d0, d1 = self._norm(y, scale), self._norm(k, scale)
        h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, span)
        forward = h0 if end > self.t else -h0
        with no_grad():
            other = _numbers(self.slope(self.t + forward, self.y.detach() + forward * self.first.detach()))
        d2 = self._norm(other - k, scale) / h0
        h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** 0.2
        return min(100 * h0, h1, span)

    def advance(self, end: float) -> None:
        """Steps until ``end`` is reached."""
        if not self.steps and self.t != end:
            self.first = self.slope(self.t, self.y)
            self.h = self.first_length(end)
        while self.t != end:
            self._step(end)

    def _step(self, end: float) -> None:
        sign = 1.0 if end > self.t else -1.0
        rejected = False
        while True:
            self.tried += 1
            if self.tried > self.options["max_steps"]:
                raise ConvergenceError(
                    f"{self.name}: max_steps = {self.options['max_steps']} steps reached t = {self.t:g} of {end:g}; raise "
                    "max_steps or the "
                    "tolerances. If the steps are tiny, the equation is stiff, for which this method is not made"
                )
            h = min(self.h, abs(end - self.t))
            new_t = end if h >= abs(end - self.t) * (1 - 1e-12) else self.t + sign * h
            if not h > 4 * np.spacing(abs(self.t)):
                raise ConvergenceError(
                    f"{self.name}: the step fell below the spacing of numbers at t = {self.t:g}: the solution has a "
                    "singularity there, or the "
                    "tolerances are below the rounding of its dtype"
                )
            stages, last, new = self._stages(new_t - self.t)
            error = self._error(new_t - self.t, stages, new)
            if error <= 1.0:
                grown = 10.0 if error == 0 else min(10.0, 0.9 * error**-0.2)
                self.steps.append(_Step(self.t, new_t - self.t, self.y, stages))
                self.t, self.y, self.first = new_t, new, last
                # A step that was shortened to reach the end does not change the planned step length.
                self.h = max(self.h if h < self.h else 0.0, h * (min(1.0, grown) if rejected else max(0.2, grown)))
                return
            self.h = h * (max(0.2, 0.9 * error**-0.2) if isfinite(error) else 0.1)
            rejected = True

    def _stages(self, h: float) -> tuple[Variable, Variable, Variable]:
        """All stages in rows, the last one, and the value at the end of the step."""
        stages = [self.first]
        for c, row in zip(_C[1:], _A[1:6]):
            stages.append(self.slope(self.t + c * h, _weighted(self.y, h * row, stages)))
        new = _weighted(self.y, h * _A[6], stages)
        last = self.slope(self.t + h, new)
        return _core.stack([*stages, last]), last, new

    def _error(self, h: float, stages: Variable, new: Variable) -> float:
        with np.errstate(all="ignore"):
            found = self._norm((h * _E) @ _numbers(stages), self._scale(_numbers(self.y), _numbers(new)))
        return found if isfinite(found) else np.inf


def _numbers(y: Variable) -> np.ndarray:
    """The elements inside all transformations: to choose steps, not to compute."""
    return _core._innermost(y).numpy()


class OdeSolution:
    """The solution between the first and the last time: ``solution(t)`` at one time or an array of times.

    It is the interpolant of the steps, of order 4, and has the derivatives that the steps have. ``steps`` are the times of the
    steps, ``nfev`` is how often the function was evaluated.
    """

    def __init__(self, solver: _Solver, flat: Flat, start: Variable) -> None:
        self._steps, self._flat, self._start, self._last = solver.steps, flat, start, solver.y
        self.nfev = solver.nfev
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


def _between(steps: list[_Step], start: Variable, ends: np.ndarray, t: float) -> Variable:
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
    max_steps: int = 10_000,
    dense_output: bool = False,
) -> Any:
    """The solution of ``dy/dt = func(y, t, *args)`` with ``y(t[0]) = y0`` at the times ``t``, which stand in front of its axes.

    ``y0`` is an array, a number, a list of numbers, or a nested container; ``func`` gets ``y`` in the same containers and
    returns its derivative in them, and ``t`` as a 0-d array (first, with ``tfirst``). Times increase or decrease. ``rtol`` and
    ``atol`` bound the error of a step; the defaults are 1.5e-8 in float64 and 1e-4 in float32. The method is Dormand's and
    Prince's of order 5 with adaptive steps, for equations that are not stiff. :class:`ConvergenceError` is raised where the
    steps become too small or more than ``max_steps`` of them were tried.

    The result is differentiable by ``y0``, ``t``, ``args`` and by what ``func`` closes over. ``gradient="direct"``
    differentiates the steps that were made: exact for the computed solution, any order and mode, also inside ``vmap`` (all
    samples take the same steps), with memory for every step. ``gradient="adjoint"`` solves the adjoint equation backward along
    the stored solution: less memory, as accurate as the tolerances, reverse mode of order one. With ``dense_output`` the result
    is a pair of the values and an :class:`OdeSolution`, which gives the values at other times.

    >>> k = tg.Variable(0.5, dtype="float64", requires_grad=True)
    >>> y = tg.optimize.odeint(lambda y, t: -k * y, 1.0, [0.0, 2.0])
    >>> y[-1].backward()
    >>> round(y[-1].item(), 6), round(k.grad.item(), 6)  # exp(-2 k) and -2 exp(-2 k)
    (0.367879, -0.735759)
    """
    _check_function("odeint", func)
    chosen("odeint", "method", method, "dopri5", ("dopri5", "RK45"))
    way = chosen("odeint", "gradient", gradient, "direct", ("direct", "adjoint"))
    tree = as_tree(y0)
    try:
        flat = Flat("odeint", tree, "y0")
    except _DiffersError:
        flat = Flat("odeint", _samples_shape(tree), "y0")
    start = joined("odeint", tree, flat.dtype)
    tol = 1.5e-8 if flat.dtype == _core.float64 else 1e-4
    options: dict[str, Any] = {"rtol": tol if rtol is None else rtol, "atol": tol if atol is None else atol}
    options.update(first_step=first_step, max_steps=max_steps)
    times, numbers = _times(t)
    field = _field(func, flat, as_args(args), tfirst)
    if way == "adjoint":
        from ._adjoint import solve

        return solve(field, flat, start, times, numbers, options, dense_output)
    rows, solver = solved(field, start, times, numbers, options)
    values = _stacked(flat, rows)
    return (values, OdeSolution(solver, flat, start)) if dense_output else values


def _samples_shape(tree: Any) -> Any:
    """A start inside ``vmap`` as one of plain zeros, for its containers, shapes and dtypes."""
    from .._tree import tree_map

    return tree_map(lambda x: _core.zeros(x.shape, dtype=x.dtype) if isinstance(x, Variable) else x, tree)


def _field(func: Callable[..., Any], flat: Flat, args: tuple[Any, ...], tfirst: bool) -> Field:
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


def solved(
    field: Field, start: Variable, times: Variable, numbers: np.ndarray, options: dict[str, Any]
) -> tuple[list[Variable], _Solver]:
    """The values at the times, and the solver with its steps."""
    tracked = has_derivative(times)
    # Zero in value: it shifts all steps with the first time.
    shift = (times[0] - times[0].detach()).astype(start.dtype) if tracked else None
    solver = _Solver("odeint", field, start, float(numbers[0]), shift, options)
    solver.advance(float(numbers[-1]))
    ends = np.array([*(s.t for s in solver.steps), solver.t])
    rows = [start]
    for i, t in enumerate(numbers[1:].tolist(), 1):
        y = solver.y if i == len(numbers) - 1 else _between(solver.steps, start, ends, t)
        if tracked and shift is not None:
            # A step of length zero by the midpoint rule, whose length has a derivative: right to the second order.
            own = (times[i] - times[i].detach()).astype(start.dtype) - shift
            at = Variable(t, dtype=start.dtype) + shift
            y = y + own * field(y + 0.5 * own * field(y, at), at + 0.5 * own)
        rows.append(y)
    return rows, solver
