"""The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno."""

from __future__ import annotations

from math import sqrt

from .. import _core
from ..autograd import enable_grad, no_grad
from .optimizer import Optimizer, not_negative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._core import Variable
    from .optimizer import Params

    Objective = Callable[[float], tuple[float, Variable]]


def _dot(a: Variable, b: Variable) -> float:
    return float(_core.vecdot(a, b).item())


def _most(a: Variable) -> float:
    return float(_core.max(_core.abs(a)).item())


class LBFGS(Optimizer):
    """L-BFGS, for whole batches: ``step`` calls its closure several times, which computes the loss and its gradients.

    ``line_search_fn`` is None or "strong_wolfe". There is one parameter group.

    >>> x = tg.Variable([3.0, -2.0], requires_grad=True)
    >>> lbfgs = tg.optim.LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     lbfgs.zero_grad()
    ...     loss = (x * x).sum()
    ...     loss.backward()
    ...     return loss
    >>> lbfgs.step(closure).item(), float(abs(x).max()) < 1e-5
    (13.0, True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        not_negative("LBFGS", lr=lr, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is {line_search_fn!r}, expected 'strong_wolfe' or None")
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
                "maximize": maximize,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS: there can be one parameter group only")

    @property
    def _params(self) -> list[Variable]:
        params: list[Variable] = self.param_groups[0]["params"]
        return params

    def _gradient(self) -> Variable:
        """All gradients as one vector; a missing one counts as zeros. Climbing turns the sign."""
        parts = [
            _core.zeros((p.size,), dtype=p.dtype) if p.grad is None else _core.reshape(p.grad.detach(), (-1,))
            for p in self._params
        ]
        whole = _core.concat(parts, axis=0)
        turned: Variable = -whole if self.param_groups[0]["maximize"] else whole
        return turned

    def _move(self, direction: Variable, length: float) -> None:
        start = 0
        for p in self._params:
            p.add_(_core.reshape(direction[start : start + p.size], p.shape), alpha=length)
            start += p.size

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves the parameters by up to ``max_iter`` iterations; returns the first loss."""
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that computes the loss and its gradients")

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        with no_grad():
            return self._iterate(evaluate)

    def _iterate(self, evaluate: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state[self._params[0]]
        sign = -1.0 if group["maximize"] else 1.0
        first = evaluate()
        loss, evaluations = sign * float(first), 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        gradient = self._gradient()
        if _most(gradient) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group)
            before = loss
            if state["n_iter"] == 1:
                length = min(1.0, 1.0 / float(_core.sum(_core.abs(gradient)).item())) * group["lr"]
            else:
                length = group["lr"]
            state.update(d=direction, t=length, prev_flat_grad=gradient.clone(), prev_loss=loss)
            slope = _dot(gradient, direction)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] == "strong_wolfe":
                search = self._search(lambda: sign * float(evaluate()), direction, loss, gradient, slope)
                search.most = group["max_eval"] - evaluations
                loss, gradient, length, used = search.run(length)
                self._move(direction, length)
                state["t"] = length
            else:
                used = 0
                self._move(direction, length)
                if iteration != group["max_iter"]:
                    loss, gradient, used = sign * float(evaluate()), self._gradient(), 1
            evaluations += used
            state["func_evals"] += used
            small = _most(gradient) <= group["tolerance_grad"] or _most(direction * length) <= group["tolerance_change"]
            if evaluations >= group["max_eval"] or small or abs(loss - before) < group["tolerance_change"]:
                break
        return first

    def _direction(self, state: dict[str, Any], gradient: Variable, group: dict[str, Any]) -> Variable:
        """The direction that the history gives, by the two loops."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = _dot(change, step)
        changes, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        if curvature > 1e-10:
            if len(changes) == group["history_size"]:
                for part in (changes, steps, inverse):
                    part.pop(0)
            changes.append(change)
            steps.append(step)
            inverse.append(1.0 / curvature)
            state["H_diag"] = curvature / _dot(change, change)
        q: Variable = -gradient
        shares = [0.0] * len(changes)
        for i in reversed(range(len(changes))):
            shares[i] = _dot(steps[i], q) * inverse[i]
            q = q - changes[i] * shares[i]
        q = q * state["H_diag"]
        for i in range(len(changes)):
            q = q + steps[i] * (shares[i] - _dot(changes[i], q) * inverse[i])
        return q

    def _search(
        self, evaluate: Callable[[], float], direction: Variable, loss: float, gradient: Variable, slope: float
    ) -> _Wolfe:
        """A line search from where the parameters are."""
        start = [p.detach().clone() for p in self._params]

        def objective(t: float) -> tuple[float, Variable]:
            self._move(direction, t)
            value, slopes = evaluate(), self._gradient()
            for p, old in zip(self._params, start):
                p.copy_(old)
            return value, slopes

        return _Wolfe(objective, direction, loss, gradient, slope)


def _minimum_of_cubic(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with these slopes is least, within bounds."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    d2 = sqrt(square)
    if a.t > b.t:
        a, b = b, a
    curve = b.slope - a.slope + 2 * d2
    if curve == 0:
        # A straight line: as far as allowed, or to the middle.
        return high if bounds else (low + high) / 2.0
    place = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / curve)
    return min(max(place, low), high)


class _Point:
    """A step length, with loss, gradient and slope there."""

    def __init__(self, t: float, loss: float, gradient: Variable, slope: float) -> None:
        self.t, self.loss, self.gradient, self.slope = t, loss, gradient, slope


class _Wolfe:
    """A line search for a step that fulfils the strong Wolfe conditions."""

    c1, c2, tolerance = 1e-4, 0.9, 1e-9
    #: How often the interval is made smaller.
    most: int = 25

    def __init__(self, objective: Objective, direction: Variable, loss: float, gradient: Variable, slope: float) -> None:
        self.objective, self.direction = objective, direction
        self.start = _Point(0.0, loss, gradient.clone(), slope)
        self.used = self.rounds = 0
        self.done = False

    def at(self, t: float) -> _Point:
        self.used += 1
        loss, gradient = self.objective(t)
        return _Point(t, loss, gradient, _dot(gradient, self.direction))

    def size(self) -> float:
        """The largest component of the direction."""
        return _most(self.direction)

    def too_high(self, p: _Point) -> bool:
        return p.loss > self.start.loss + self.c1 * p.t * self.start.slope

    def flat(self, p: _Point) -> bool:
        return abs(p.slope) <= -self.c2 * self.start.slope

    def bracket(self, t: float) -> list[_Point]:
        """Two points with a good one between them, or a good one."""
        previous, now = self.start, self.at(t)
        while self.rounds < self.most:
            if self.too_high(now) or (self.rounds > 1 and now.loss >= previous.loss):
                return [previous, now]
            if self.flat(now):
                self.done = True
                return [now]
            if now.slope >= 0:
                return [previous, now]
            bounds = (now.t + 0.01 * (now.t - previous.t), now.t * 10)
            t = _minimum_of_cubic(previous, now, bounds)
            previous, now = now, self.at(t)
            self.rounds += 1
        return [self.start, now]

    def run(self, t: float) -> tuple[float, Variable, float, int]:
        points = self.bracket(t)
        low = 0 if points[0].loss <= points[-1].loss else 1
        size, stuck = self.size(), False
        while not self.done and self.rounds < self.most:
            ends = [p.t for p in points]
            if abs(ends[1] - ends[0]) * size < self.tolerance:
                break
            t, stuck = self._inside(_minimum_of_cubic(points[0], points[1]), min(ends), max(ends), stuck)
            now = self.at(t)
            self.rounds += 1
            high = 1 - low
            if self.too_high(now) or now.loss >= points[low].loss:
                points[high] = now
                low = 0 if points[0].loss <= points[1].loss else 1
            else:
                if self.flat(now):
                    self.done = True
                elif now.slope * (points[high].t - points[low].t) >= 0:
                    points[high] = points[low]
                points[low] = now
        best = points[low if len(points) > 1 else 0]
        return best.loss, best.gradient, best.t, self.used

    @staticmethod
    def _inside(t: float, low: float, high: float, stuck: bool) -> tuple[float, bool]:
        """``t``, moved off the ends of the bracket when it comes too near to them twice."""
        margin = 0.1 * (high - low)
        if min(high - t, t - low) >= margin:
            return t, False
        if not (stuck or t >= high or t <= low):
            return t, True
        return (high - margin if abs(t - high) < abs(t - low) else low + margin), False


__all__ = ["LBFGS"]
