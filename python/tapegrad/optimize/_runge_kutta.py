"""Steps through time: the control of the step length, and explicit Runge-Kutta methods.

Sources: Bogacki & Shampine 1989; Dormand & Prince 1980; Shampine 1986 for the interpolant; Hairer, Nørsett & Wanner, Solving ODEs
I, section II.4 for the steps and II.5 for DOP853.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .. import _core
from .._core import Variable
from ..autograd import no_grad
from . import _dop853
from ._result import ConvergenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    Field = Callable[[Variable, Any], Variable]


class Step(Protocol):
    """An accepted step: where it begins, its length, the value there, and the values between."""

    @property
    def t(self) -> float: ...

    @property
    def h(self) -> float: ...

    @property
    def y(self) -> Variable: ...

    def at(self, t: float) -> Variable:
        """The interpolant at a time within the step."""
        ...


class Tableau(NamedTuple):
    """The coefficients of an explicit method: it ends with the value whose slope begins the next step."""

    c: tuple[float, ...]
    #: Weights of the stages before, for each stage.
    a: list[np.ndarray]
    b: np.ndarray
    #: The difference of the results of two orders.
    e: np.ndarray
    #: The interpolant: row i has the coefficients of θ, θ² ... for stage i.
    p: np.ndarray


BOGACKI_SHAMPINE = Tableau(
    (0.0, 1 / 2, 3 / 4),
    [np.array(row) for row in ([], [1 / 2], [0, 3 / 4])],
    np.array([2 / 9, 1 / 3, 4 / 9]),
    np.array([5 / 72, -1 / 12, -1 / 9, 1 / 8]),
    np.array([[1, -4 / 3, 5 / 9], [0, 1, -2 / 3], [0, 4 / 3, -8 / 9], [0, -1, 1]]),
)
DORMAND_PRINCE = Tableau(
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
    [
        np.array(row)
        for row in (
            [],
            [1 / 5],
            [3 / 40, 9 / 40],
            [44 / 45, -56 / 15, 32 / 9],
            [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
            [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        )
    ],
    np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
    np.array([-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40]),
    np.array(
        [
            [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
            [0, 0, 0, 0],
            [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
            [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
            [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
            [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
            [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
        ]
    ),
)
ORDER_8 = Tableau(_dop853.C[:12], _dop853.A[:12], _dop853.A[12], _dop853.E5, _dop853.D)


class _Explicit(NamedTuple):
    t: float
    h: float
    y: Variable
    stages: Variable
    p: np.ndarray

    def at(self, t: float) -> Variable:
        theta = (t - self.t) / self.h
        return self.y + _row(self.h * (self.p @ theta ** np.arange(1.0, 1 + self.p.shape[1])), self.y) @ self.stages


class _Eighth:
    """A step of order 8. The interpolant needs three stages more, which are computed where it is asked for."""

    def __init__(self, solver: Solver, h: float, stages: Variable, new: Variable) -> None:
        self.t, self.h, self.y = solver.t, h, solver.y
        self.solver, self.stages, self.new = solver, stages, new
        self.known: tuple[bool, list[Variable]] | None = None

    def coefficients(self) -> list[Variable]:
        """Those of θ, θ (1 - θ), θ² (1 - θ) and so on; recorded where that is asked for."""
        recorded = _core.is_grad_enabled()
        if self.known is None or (recorded and not self.known[0]):
            self.known = recorded, self._coefficients()
        return self.known[1]

    def _coefficients(self) -> list[Variable]:
        h, stages = self.h, list(_core.unstack(self.stages))
        first, last = stages[0], stages[-1]
        for c, row in zip(_dop853.C[13:], _dop853.A[13:]):
            stages.append(self.solver.slope(self.t + c * h, _weighted(self.y, h * row, stages)))
        change = self.new - self.y
        table = _core.stack(stages)
        rest = [_row(h * row, self.y) @ table for row in _dop853.D]
        return [change, h * first - change, 2.0 * change - h * (last + first), *rest]

    def at(self, t: float) -> Variable:
        theta = (t - self.t) / self.h
        out, power = self.y, theta
        for i, f in enumerate(self.coefficients()):
            out = out + power * f
            power *= theta if i % 2 else 1.0 - theta
        return out


def _row(weights: np.ndarray, like: Variable) -> Variable:
    return Variable(weights, dtype=like.dtype)


def _weighted(y: Variable, weights: np.ndarray, stages: list[Variable]) -> Variable:
    """``y`` plus a weighted sum of stages."""
    if len(stages) <= 2:
        for w, k in zip(weights.tolist(), stages):
            y = y + w * k
        return y
    return y + _row(weights, y) @ _core.stack(stages)


class Trial(NamedTuple):
    """A step that was tried."""

    #: In units of the tolerances: up to one it is accepted.
    error: float
    #: By how much the next step may be longer, or must be shorter.
    factor: float
    step: Any
    #: The value and the slope at its end.
    new: Any
    last: Any


class Solver:
    """Steps through time, and keeps the accepted steps."""

    #: The order of the error that is estimated.
    order: int
    #: Said where many steps did not reach the end.
    advice = "If the steps are tiny, the equation is stiff: use method='Radau'"

    def __init__(self, name: str, field: Field, y: Variable, t: float, shift: Any, options: dict[str, Any]) -> None:
        self.name, self.field, self.shift, self.options = name, field, shift, options
        self.y, self.t = y, t
        self.steps: list[Step] = []
        self.nfev = self.njev = self.nlu = self.tried = 0
        self.h = 0.0

    def slope(self, t: float, y: Variable) -> Variable:
        self.nfev += 1
        time = Variable(t, dtype=y.dtype)
        return self.field(y, time if self.shift is None else time + self.shift)

    def scale(self, *values: np.ndarray) -> Any:
        """The tolerances of a value."""
        size = np.abs(values[0])
        for v in values[1:]:
            size = np.maximum(size, np.abs(v))
        return self.options["atol"] + self.options["rtol"] * size

    def first_length(self, end: float) -> float:
        """A length for the first step (Hairer, Nørsett & Wanner, section II.4)."""
        span = min(abs(end - self.t), float(self.options["max_step"]))
        if self.options["first_step"] is not None:
            return min(float(self.options["first_step"]), span)
        y, k = numbers(self.y), numbers(self.first)
        scale = self.scale(y)
        d0, d1 = norm(y, scale), norm(k, scale)
        h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, span)
        forward = h0 if end > self.t else -h0
        with no_grad():
            other = numbers(self.slope(self.t + forward, self.y.detach() + forward * self.first.detach()))
        d2 = norm(other - k, scale) / h0
        h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** (1 / (self.order + 1))
        return float(min(100 * h0, h1, span))

    def advance(self, end: float, after: Callable[[Step], bool] | None = None) -> None:
        """Steps until ``end`` is reached, or until ``after``, which gets each step, returns True."""
        if not self.steps and self.t != end:
            self.first = self.slope(self.t, self.y)
            self.h = self.first_length(end)
        while self.t != end:
            self._step(end)
            if after is not None and after(self.steps[-1]):
                return

    def _step(self, end: float) -> None:
        sign = 1.0 if end > self.t else -1.0
        rejected = False
        while True:
            self.tried += 1
            h = min(self.h, abs(end - self.t), self.options["max_step"])
            new_t = end if h >= abs(end - self.t) * (1 - 1e-12) else self.t + sign * h
            self._check(h, end)
            trial = self.attempt(new_t - self.t, rejected)
            if trial.error <= 1.0:
                self.steps.append(trial.step)
                self.t, self.y, self.first = new_t, trial.new, trial.last
                # A step that was shortened to reach the end does not change the planned step length.
                self.h = max(self.h if h < self.h else 0.0, h * (min(1.0, trial.factor) if rejected else trial.factor))
                return
            self.h = h * trial.factor
            rejected = True

    def _check(self, h: float, end: float) -> None:
        """Raises where the solver gets stuck."""
        if self.tried > self.options["max_steps"]:
            raise ConvergenceError(
                f"{self.name}: max_steps = {self.options['max_steps']} steps reached t = {self.t:g} of {end:g}; raise "
                f"max_steps or the tolerances. {self.advice}"
            )
        if not h > 4 * np.spacing(abs(self.t)):
            raise ConvergenceError(
                f"{self.name}: the step fell below the spacing of numbers at t = {self.t:g}: the solution has a "
                "singularity there, or the tolerances are below the rounding of its dtype"
            )

    def attempt(self, h: float, rejected: bool) -> Trial:
        """A step of length ``h``; ``rejected`` says that a longer one was refused."""
        raise NotImplementedError


class Explicit(Solver):
    """An explicit method."""

    tableau: Tableau

    def attempt(self, h: float, rejected: bool) -> Trial:
        table = self.tableau
        stages = [self.first]
        for c, row in zip(table.c[1:], table.a[1:]):
            stages.append(self.slope(self.t + c * h, _weighted(self.y, h * row, stages)))
        new = _weighted(self.y, h * table.b, stages)
        last = self.slope(self.t + h, new)
        rows = _core.stack([*stages, last])
        with np.errstate(all="ignore"):
            error = self.error(h, numbers(rows), self.scale(numbers(self.y), numbers(new)))
        if not isfinite(error):
            return Trial(inf, 0.1, None, None, None)
        factor = 10.0 if error == 0 else max(0.2, min(10.0, 0.9 * error ** (-1 / (self.order + 1))))
        return Trial(error, factor, self.made(h, rows, new), new, last)

    def error(self, h: float, stages: np.ndarray, scale: Any) -> float:
        """The error of the step in units of the tolerances."""
        return norm((h * self.tableau.e) @ stages, scale)

    def made(self, h: float, stages: Variable, new: Variable) -> Step:
        """The step, to be kept."""
        return _Explicit(self.t, h, self.y, stages, self.tableau.p)


class RK23(Explicit):
    """The method of Bogacki and Shampine, of order 3."""

    tableau, order = BOGACKI_SHAMPINE, 2


class RK45(Explicit):
    """The method of Dormand and Prince, of order 5."""

    tableau, order = DORMAND_PRINCE, 4


class DOP853(Explicit):
    """The method of Dormand and Prince, of order 8. Its error comes from results of orders 3 and 5."""

    tableau, order = ORDER_8, 7

    def error(self, h: float, stages: np.ndarray, scale: Any) -> float:
        fifth, third = _dop853.E5 @ stages / scale, _dop853.E3 @ stages / scale
        square = np.mean(fifth**2, axis=-1)
        both = square + 0.01 * np.mean(third**2, axis=-1)
        found = np.divide(square, np.sqrt(both), out=np.zeros_like(square), where=both != 0)
        return abs(h) * float(found.max(initial=0.0))

    def made(self, h: float, stages: Variable, new: Variable) -> Step:
        return _Eighth(self, h, stages, new)


def numbers(y: Variable) -> np.ndarray:
    """The elements inside all transformations: to choose steps, not to compute."""
    return _core._innermost(y).numpy()


def norm(x: np.ndarray, scale: Any) -> float:
    """The root mean square in units of the tolerances; the worst sample of a batch."""
    ratio = np.abs(x) / scale
    return float(np.sqrt(np.mean(ratio * ratio, axis=-1)).max(initial=0.0)) if ratio.size else 0.0
