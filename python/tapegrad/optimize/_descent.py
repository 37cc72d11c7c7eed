"""Descent without bounds: L-BFGS and Newton's method with conjugate gradients."""

from __future__ import annotations

from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..optim.lbfgs import _Point, _Wolfe
from ._implicit import DENSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._bridge import FunctionAndGradient


class Stop(NamedTuple):
    """Where a solver stopped, and why."""

    x: np.ndarray
    fun: float
    jac: np.ndarray
    nit: int
    success: bool
    status: int
    message: str


class _Search(_Wolfe):
    """A line search with NumPy vectors. Values that are not finite count as infinitely high."""

    def __init__(self, evaluate: Any, x: np.ndarray, direction: Any, loss: float, gradient: np.ndarray, most: int) -> None:
        self.evaluate, self.x, self.direction = evaluate, x, direction
        self.start = _Point(0.0, loss, gradient, float(gradient @ direction))  # type: ignore[arg-type]
        self.used = self.rounds = 0
        self.done, self.most = False, most

    def at(self, t: float) -> _Point:
        self.used += 1
        loss, gradient = self.evaluate(self.x + t * self.direction)
        slope = float(gradient @ self.direction)
        if not (isfinite(loss) and isfinite(slope)):
            loss, slope = inf, inf
        return _Point(t, loss, gradient, slope)

    def size(self) -> float:
        return float(np.abs(self.direction).max())

    @staticmethod
    def _inside(t: float, low: float, high: float, stuck: bool) -> tuple[float, bool]:
        return _Wolfe._inside(t, low, high, stuck) if isfinite(t) else (0.5 * (low + high), False)


class _History:
    """The last steps and changes of the gradient, and the inverse Hessian that they give (Nocedal & Wright, section 7.2)."""

    def __init__(self, n: int, most: int) -> None:
        self.steps, self.changes = np.empty((most, n)), np.empty((most, n))
        self.inverse = np.empty(most)
        self.order: list[int] = []
        self.most, self.scale = most, 1.0

    def add(self, step: np.ndarray, change: np.ndarray, eps: float) -> None:
        curvature = float(step @ change)
        size = float(change @ change)
        if not curvature > eps * size:
            return
        at = len(self.order) if len(self.order) < self.most else self.order.pop(0)
        self.steps[at], self.changes[at], self.inverse[at] = step, change, 1.0 / curvature
        self.order.append(at)
        self.scale = curvature / size

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        q = -gradient
        shares = {}
        for i in reversed(self.order):
            shares[i] = share = float(self.steps[i] @ q) * self.inverse[i]
            q -= share * self.changes[i]
        q *= self.scale
        for i in self.order:
            q += (shares[i] - float(self.changes[i] @ q) * self.inverse[i]) * self.steps[i]
        return q


class _Descent:
    """The state of a run, and its stopping rules."""

    def __init__(self, problem: Any, x: np.ndarray, eps: float, options: dict[str, Any], callback: Any) -> None:
        self.problem, self.x, self.eps, self.options, self.callback = problem, x, eps, options, callback
        self.loss, self.gradient = problem(x)
        self.nit = 0

    def stop(self, success: bool, status: int, message: str) -> Stop:
        return Stop(self.x, self.loss, self.gradient, self.nit, success, status, message)

    def run(self, direction: Callable[[], np.ndarray], moved: Callable[[np.ndarray, np.ndarray], None], reset: Any) -> Stop:
        """Iterates: ``direction()`` gives the search direction, ``moved(step, change)`` is called after each step."""
        gtol, ftol, maxiter = self.options["gtol"], self.options["ftol"], self.options["maxiter"]
        if not (isfinite(self.loss) and np.isfinite(self.gradient).all()):
            return self.stop(False, 2, "the function or its gradient is not finite at the start")
        fresh = True
        while True:
            if np.abs(self.gradient).max(initial=0.0) <= gtol:
                return self.stop(True, 0, "the gradient is below gtol")
            if self.nit >= maxiter:
                return self.stop(False, 1, f"maxiter = {maxiter} iterations were done")
            search = self._search(direction(), fresh)
            loss, gradient, t, _ = search.run(self.first_length(search, fresh))
            if not loss < self.loss or t == 0.0:
                if fresh:
                    return self._stuck()
                reset()
                fresh = True
                continue
            step: Any = t * search.direction
            slope, before = np.asarray(gradient), self.loss
            change = slope - self.gradient
            self.x, self.loss, self.gradient = self.x + step, loss, slope
            self.nit += 1
            fresh = False
            moved(step, change)
            if self._stopped_by_callback():
                return self.stop(False, 99, "the callback raised StopIteration")
            if before - loss <= ftol * max(abs(before), abs(loss), 1.0) and search.done:
                return self.stop(True, 0, "the relative decrease is below ftol")

    def first_length(self, search: _Search, fresh: bool) -> float:
        """One, or as long as a unit vector where nothing is known of the curvature."""
        return min(1.0, 1.0 / float(np.abs(search.direction).sum())) if fresh and self.options.get("maxcor") else 1.0

    def _search(self, direction: np.ndarray, fresh: bool) -> _Search:
        slope = float(self.gradient @ direction)
        if not slope < 0 and not fresh:
            direction = -self.gradient
        return _Search(self.problem, self.x, direction, self.loss, self.gradient, self.options["maxls"])

    def _stuck(self) -> Stop:
        """No step along the gradient lowers the function: at a minimum as far as its rounding lets it be seen, or not."""
        size = float(np.abs(self.gradient).max())
        if is_least(self.problem, self.x, self.loss, self.gradient, np.ones(self.x.size, bool), self.eps):
            return self.stop(True, 0, "the function cannot be lowered at this precision")
        return self.stop(False, 2, f"the line search found no lower value, with a gradient of {size:.1e}")

    def _stopped_by_callback(self) -> bool:
        if self.callback is None:
            return False
        try:
            self.callback(self.x)
        except StopIteration:
            return True
        return False


def is_least(problem: Any, x: np.ndarray, loss: float, gradient: np.ndarray, free: np.ndarray, eps: float) -> bool:
    """Whether the function at ``x`` is as small as its rounding lets be seen, by the free components.

    A Newton step lowers it by half of g H⁻¹ g: below the rounding of the function's value, no line search sees that.
    """
    g = gradient[free]
    if not g.size or np.abs(g).max() * max(1.0, np.abs(x).max()) <= 10 * sqrt(eps) * max(1.0, abs(loss)):
        return True
    if g.size > DENSE:
        return False
    try:
        factor = np.linalg.cholesky(problem.hess(x)[np.ix_(free, free)])
        step = np.linalg.solve(factor, g)
    except np.linalg.LinAlgError:
        return False
    return bool(0.5 * step @ step <= 1e3 * eps * max(1.0, abs(loss)))


def lbfgs(problem: FunctionAndGradient, x: np.ndarray, eps: float, options: dict[str, Any], callback: Any) -> Stop:
    """L-BFGS with a strong Wolfe line search (Liu & Nocedal 1989)."""
    descent = _Descent(problem, x, eps, options, callback)
    history = _History(x.size, options["maxcor"])
    return descent.run(
        lambda: history.direction(descent.gradient),
        lambda step, change: history.add(step, change, eps),
        history.order.clear,
    )


def newton_cg(problem: FunctionAndGradient, x: np.ndarray, eps: float, options: dict[str, Any], callback: Any) -> Stop:
    """Newton's method; its equations are solved by conjugate gradients as far as pays (Nocedal & Wright, algorithm 7.1)."""
    descent = _Descent(problem, x, eps, options, callback)

    def direction() -> np.ndarray:
        return _truncated_cg(lambda p: problem.hessp(descent.x, p), descent.gradient)

    return descent.run(direction, lambda step, change: None, lambda: None)


def _truncated_cg(product: Callable[[np.ndarray], np.ndarray], gradient: np.ndarray) -> np.ndarray:
    size = float(np.linalg.norm(gradient))
    enough = min(0.5, sqrt(size)) * size
    z, residual = np.zeros_like(gradient), gradient.copy()
    d = -residual
    square = float(residual @ residual)
    for i in range(20 * gradient.size):
        hd = product(d)
        curvature = float(d @ hd)
        if not curvature > 1e-16 * float(d @ d):
            return d if i == 0 else z
        alpha = square / curvature
        z = z + alpha * d
        residual = residual + alpha * hd
        new = float(residual @ residual)
        if sqrt(new) < enough:
            break
        d, square = (new / square) * d - residual, new
    return z
