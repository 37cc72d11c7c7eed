"""Nonlinear least squares: a Levenberg-Marquardt method with bounds and robust losses."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._core import Variable
from .._transforms import _check_function, grad, jacfwd, jacrev
from ..autograd import enable_grad, no_grad
from ._bounds import sides_of
from ._flat import Flat, as_args, chosen, joined
from ._implicit import attach, polished
from ._losses import Loss
from ._result import OptimizeResult
from ._samples import each_sample, has_derivative, message_of, one, plain, worst

if TYPE_CHECKING:
    from collections.abc import Callable


class Fit(NamedTuple):
    """Where the method stopped, and why."""

    x: np.ndarray
    residual: np.ndarray
    slope: np.ndarray
    jacobian: np.ndarray
    held: np.ndarray
    nit: int
    status: int
    message: str


class Residuals:
    """A vector function of nested unknowns, as one of vectors."""

    def __init__(self, name: str, fun: Callable[..., Any], x0: Any, args: tuple[Any, ...], loss: Loss | None = None) -> None:
        _check_function(name, fun)
        self.name, self.fun, self.args = name, fun, as_args(args)
        self.loss = loss
        self.flat = Flat(name, x0)
        self.nfev = self.njev = 0

    def equation(self, v: Variable) -> Variable:
        """The function, of a vector, recorded."""
        self.nfev += 1
        return joined(self.name, self.fun(self.flat.filled(self.flat.split(v)), *self.args), self.flat.dtype)

    def half_square(self, v: Variable) -> Variable:
        """Half the sum of squares, or of losses of them, recorded."""
        return self.cost(self.equation(v))

    def cost(self, r: Variable) -> Variable:
        """Half the sum of squares of residuals, or of losses of them, recorded."""
        return 0.5 * _core.sum(r * r) if self.loss is None else self.loss.cost(r)

    def square(self, residual: np.ndarray) -> float:
        """Twice the cost of residuals; infinite where they are not finite."""
        found = float(residual @ residual) if self.loss is None else self.loss.square(residual)
        return found if np.isfinite(found) else np.inf

    def value(self, x: np.ndarray) -> np.ndarray:
        with no_grad():
            return plain(self.equation(Variable(x, dtype=self.flat.dtype))).numpy().astype(np.float64)

    def jacobian(self, x: np.ndarray, count: int) -> np.ndarray:
        """By forward mode for few unknowns, by reverse mode for few results."""
        self.njev += 1
        mode = jacfwd if x.size <= 2 * count else jacrev
        with enable_grad():
            found = mode(self.equation)(Variable(x, dtype=self.flat.dtype))
        return plain(found).numpy().astype(np.float64)


def _damped(s: np.ndarray, projected: np.ndarray, vt: np.ndarray, radius: float) -> np.ndarray:
    """The step p that minimises |J p + r| within |p| ≤ radius, by the singular values of J (Moré 1978)."""
    safe = s > s[0] * 1e-14 if s.size and s[0] > 0 else np.zeros(s.shape, bool)
    full = np.divide(projected, s, out=np.zeros_like(s), where=safe)
    if np.linalg.norm(full) <= radius:
        return np.asarray(-vt.T @ full)
    push = s * projected
    low, high = 0.0, float(np.linalg.norm(push)) / radius
    mu = 0.001 * high
    for _ in range(30):
        if not low < mu < high:
            mu = max(0.001 * high, sqrt(low * high))
        denominator = s**2 + mu
        step = push / denominator
        size = float(np.linalg.norm(step))
        excess = size - radius
        if abs(excess) <= 0.05 * radius:
            break
        if excess < 0:
            high = mu
        slope = -float(np.sum(push**2 / denominator**3)) / size
        low = max(low, mu - excess / slope)
        mu = mu - (excess / slope) * (size / radius)
    return np.asarray(-vt.T @ (push / (s**2 + mu)))


class _Marquardt:
    """One run.

    The trust region is an ellipsoid in units of the columns' norms. Components at a bound that the gradient pushes outward are
    held, and steps are projected on the bounds.
    """

    def __init__(self, problem: Residuals, low: np.ndarray, high: np.ndarray, options: dict[str, Any]) -> None:
        self.problem, self.low, self.high, self.options = problem, low, high, options
        self.x = np.clip(problem.flat.start, low, high)
        self.residual = problem.value(self.x)
        self.count = self.residual.size
        self.nit = 0

    def fit(self, status: int, message: str) -> Fit:
        loss = self.problem.loss
        jacobian = self.exact if loss is None else self.exact * loss.scaled(self.residual, 0.0)[0][:, None]
        return Fit(self.x, self.residual, self.slope, jacobian, self.held, self.nit, status, message)

    def linearise(self) -> None:
        self.exact = self.problem.jacobian(self.x, self.count)
        self.jacobian, self.scaled = self.exact, self.residual
        if self.problem.loss is not None:
            factor, self.scaled = self.problem.loss.scaled(self.residual)
            self.jacobian = self.exact * factor[:, None]
        self.slope = self.jacobian.T @ self.scaled
        at_low, at_high = (self.x <= self.low) & (self.slope > 0), (self.x >= self.high) & (self.slope < 0)
        self.held = at_low | at_high

    def run(self) -> Fit:
        with np.errstate(over="ignore", invalid="ignore"):
            self.linearise()
            if not (np.isfinite(self.residual).all() and np.isfinite(self.jacobian).all()):
                return self.fit(-1, "the residuals or their Jacobian are not finite at the start")
            scale = np.linalg.norm(self.jacobian, axis=0)
            scale[scale == 0] = 1.0
            radius = 100.0 * (float(np.linalg.norm(scale * self.x)) or 1.0)
            while True:
                if self.is_flat():
                    return self.fit(1, "the gradient is below gtol")
                if self.nit >= self.options["maxiter"]:
                    return self.fit(0, f"maxiter = {self.options['maxiter']} iterations were done")
                radius, ended = self.step(scale, radius)
                if ended is not None:
                    return ended
                self.nit += 1
                self.linearise()
                scale = np.maximum(scale, np.linalg.norm(self.jacobian, axis=0))

    def is_flat(self) -> bool:
        """Whether the residuals are orthogonal to all columns of the Jacobian, as far as gtol asks."""
        size = sqrt(self.problem.square(self.residual))
        columns = np.linalg.norm(self.jacobian, axis=0)
        free = ~self.held & (columns > 0)
        if size == 0 or not free.any():
            return True
        cosine = np.abs(self.slope[free]) / (columns[free] * size)
        return bool(cosine.max() <= self.options["gtol"])

    def step(self, scale: np.ndarray, radius: float) -> tuple[float, Fit | None]:
        """Moves to a better place; shrinks the region until there is one, or until none can be seen."""
        free = ~self.held
        u, s, vt = np.linalg.svd(self.jacobian[:, free] / scale[free], full_matrices=False)
        projected = u.T @ self.scaled
        square = self.problem.square(self.residual)
        while True:
            move = np.zeros_like(self.x)
            move[free] = _damped(s, projected, vt, radius) / scale[free]
            new = np.clip(self.x + move, self.low, self.high)
            move = new - self.x
            length = float(np.linalg.norm(scale * move))
            change = self.jacobian @ move
            predicted = -float(2 * self.scaled @ change + change @ change)
            residual = self.problem.value(new)
            found = self.problem.square(residual)
            ratio = (square - found) / predicted if predicted > 0 else -1.0
            if ratio < 0.25:
                radius = 0.25 * min(radius, length) if length > 0 else 0.25 * radius
            elif ratio > 0.75 or length < 0.5 * radius:
                radius = max(radius, 2.0 * length)
            if ratio > 1e-4:
                self.x, self.residual = new, residual
                if square - found <= self.options["ftol"] * square and predicted <= self.options["ftol"] * square and ratio <= 2:
                    self.linearise()
                    return radius, self.fit(2, "the relative decrease is below ftol")
                return radius, None
            small = radius <= self.options["xtol"] * (float(np.linalg.norm(scale * self.x)) + self.options["xtol"])
            if small or 0 <= predicted <= np.finfo(np.float64).eps * square * 0.25:
                return radius, self.fit(3, "the step is below xtol")


OPTIONS = {"maxiter": 1000, "ftol": 1e-15, "xtol": 1e-12, "gtol": 1e-12}


def marquardt(problem: Residuals, low: np.ndarray, high: np.ndarray, options: dict[str, Any]) -> Fit:
    """The least squares fit of ``problem`` within bounds."""
    return _Marquardt(problem, low, high, options).run()


def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    bounds: Any = (None, None),
    *,
    ftol: float = 1e-15,
    xtol: float = 1e-12,
    gtol: float = 1e-12,
    max_nfev: int = 1000,
    loss: Any = "linear",
    f_scale: Any = 1.0,
    method: str = "trf",
) -> OptimizeResult:
    """The ``x`` near ``x0`` where half the sum of squares of the residuals ``fun(x, *args)`` is least.

    ``x0`` is as in :func:`minimize`; ``fun`` returns residuals, an array of any shape or a container of arrays. The method is
    Levenberg's and Marquardt's with a trust region, in MINPACK's scaling, with an exact Jacobian. ``bounds`` is ``(lower,
    upper)``, each None, a number, an array, or containers like ``x0``. It stops at a relative decrease of the sum below
    ``ftol``, a step below ``xtol``, an angle between residuals and the Jacobian's columns within ``gtol`` of a right one, or
    after ``max_nfev`` iterations. ``method`` may be any of SciPy's "trf", "dogbox" and "lm": one method stands for all three.

    ``loss`` makes the fit robust against outliers: half the sum of ``f_scale² ρ((r / f_scale)²)`` over the residuals r is least,
    with ρ(z) = z for "linear", 2 (√(1 + z) - 1) for "soft_l1", z up to 1 and 2 √z - 1 above for "huber", ln(1 + z) for "cauchy",
    arctan z for "arctan". It may be a function of z, too, elementwise, which returns ρ(z); its derivatives are taken. Residuals
    below ``f_scale`` count about as squares.

    The result has ``x, cost`` (half the sum), ``fun`` (the residuals as a vector), ``jac`` (their Jacobian), ``grad, optimality,
    active_mask, nit, nfev, njev, success, status, message``; with a loss the rows of ``jac`` are scaled by it, as in SciPy, so
    that ``jac.T @ jac`` is an approximation of the Hessian. ``x`` and ``cost`` are differentiable as those of :func:`minimize`;
    the derivative uses the full Hessian of the sum, not the Gauss-Newton part alone.

    >>> t = tg.Variable([0.0, 1.0, 2.0, 3.0], dtype="float64")
    >>> y = 2.0 * tg.exp(-0.5 * t)
    >>> result = tg.optimize.least_squares(lambda p: p[0] * tg.exp(-p[1] * t) - y, [1.0, 1.0])
    >>> [round(v, 6) for v in result.x.tolist()]
    [2.0, 0.5]
    >>> data = tg.Variable([1.0, 1.1, 0.9, 1.0, 50.0], dtype="float64")
    >>> robust = tg.optimize.least_squares(lambda m: m - data, 0.0, loss="cauchy", f_scale=0.1)
    >>> round(robust.x.item(), 2)
    1.0
    """
    chosen("least_squares", "method", method, "trf", ("trf", "dogbox", "lm"))
    settings = {"ftol": ftol, "xtol": xtol, "gtol": gtol, "maxiter": max_nfev}
    robust = Loss.of("least_squares", loss, f_scale)

    def solve() -> tuple[Any, ...]:
        return _solved(Residuals("least_squares", fun, x0, args, robust), bounds, settings)

    return _fit_result(each_sample(solve))


def _fit_result(solved: list[Any]) -> OptimizeResult:
    """The result of :func:`least_squares`, with the derivatives of the solution."""
    problem, x, residual, jacobian, slope, mask, held, optimality, nit, nfev, njev, good, status, message = solved
    problem = problem[0] if isinstance(problem, list) else problem
    success, reason = worst(good), message_of(good, message)
    x = attach("least_squares", grad(problem.half_square), x, held, "" if success else reason, symmetric=True)
    # The residuals may depend on Variables that the solution does not depend on.
    at = problem.equation(x)
    residual = at if has_derivative(at) else residual
    return OptimizeResult(
        x=problem.flat.shaped(problem.flat.split(x)),
        cost=problem.cost(residual),
        fun=residual,
        jac=jacobian,
        grad=slope,
        optimality=max(optimality) if isinstance(optimality, list) else optimality,
        active_mask=mask,
        nit=one(nit),
        nfev=one(nfev),
        njev=one(njev),
        success=success,
        status=status,
        message=reason,
    )


def _solved(problem: Residuals, bounds: Any, settings: dict[str, float]) -> tuple[Any, ...]:
    """One run: returns the problem, the end point and the reason for stopping."""
    flat = problem.flat
    low, high = sides_of("least_squares", bounds, flat)
    # The tolerances are those of float64.
    loose = 1.0 if flat.eps < 1e-10 else 1e6
    end = marquardt(problem, low, high, {k: v * loose if k != "maxiter" else v for k, v in settings.items()})
    x = polished(grad(problem.half_square), end.x, flat.dtype, ~end.held, (low, high)) if end.status > 0 else end.x
    slope = end.slope
    mask = np.where(end.held, np.where(end.x <= low, -1, 1), 0)
    optimality = float(np.abs(np.clip(end.x - slope, low, high) - end.x).max(initial=0.0))
    as_dtype = str(flat.dtype)
    found = (x.astype(as_dtype), end.residual, end.jacobian, slope, mask, end.held.astype(as_dtype))
    return problem, *found, optimality, end.nit, problem.nfev, problem.njev, end.status > 0, end.status, end.message
