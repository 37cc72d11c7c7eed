"""Equations: roots and fixed points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import ShapeError
from ._fitting import OPTIONS, Residuals, marquardt
from ._flat import chosen
from ._implicit import attach, polished
from ._minimize import options_of
from ._result import ConvergenceError, OptimizeResult
from ._samples import each_sample, message_of, one, worst

if TYPE_CHECKING:
    from collections.abc import Callable


def _square(problem: Residuals, residual: np.ndarray) -> None:
    if residual.size != problem.flat.size:
        raise ShapeError(
            f"{problem.name}: the function returned {residual.size} numbers for {problem.flat.size} unknowns; there must be as "
            "many equations "
            "as unknowns. Use least_squares for more equations"
        )


def root(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
) -> OptimizeResult:
    """An ``x`` near ``x0`` where all elements of ``fun(x, *args)`` are zero: as many equations as unknowns.

    ``x0`` is as in :func:`minimize`. The method, "newton", is Newton's with the exact Jacobian, in a trust region in which the
    sum of squares decreases. Without ``tol``, it succeeds where the residual is zero up to rounding: below 1e-9 (1e-3 in
    float32) of the size of the Jacobian times that of ``x``; with ``tol``, where all residuals are at most ``tol``. Options:
    ``maxiter``.

    The result has ``x, fun`` (the residuals), ``nit, nfev, success, status, message``. ``x`` is differentiable as that of
    :func:`minimize`, and the same errors are raised.

    >>> a = tg.Variable(2.0, dtype="float64", requires_grad=True)
    >>> x = tg.optimize.root(lambda x: x**2 - a, 1.0).x
    >>> x.backward()
    >>> round(x.item(), 6), round(a.grad.item(), 6)  # √a and 1 / (2 √a)
    (1.414214, 0.353553)
    """
    chosen("root", "method", method, "newton", ("newton", "hybr", "lm"))
    maxiter = options_of("root", options, {"maxiter": 500})["maxiter"]
    problem, x, residual, jacobian, nit, nfev, good, message = each_sample(
        lambda: _root(Residuals("root", fun, x0, args), tol, maxiter)
    )
    problem = problem[0] if isinstance(problem, list) else problem
    success, reason = worst(good), message_of(good, message)
    x = attach("root", problem.equation, x, None, "" if success else reason, symmetric=False)
    return OptimizeResult(
        x=problem.flat.shaped(problem.flat.split(x)),
        fun=residual,
        jac=jacobian,
        nit=one(nit),
        nfev=one(nfev),
        success=success,
        status=1 if success else 0,
        message=reason,
    )


def _root(problem: Residuals, tol: float | None, maxiter: int) -> tuple[Any, ...]:
    """One run: returns the problem, the end point and the reason for stopping."""
    flat = problem.flat
    _square(problem, problem.value(flat.start))
    no_bound = np.full(flat.size, np.inf)
    # Only rounding ends the run: a small residual is what counts.
    end = marquardt(problem, -no_bound, no_bound, {**OPTIONS, "ftol": 0.0, "xtol": flat.eps, "gtol": 0.0, "maxiter": maxiter})
    size = float(np.abs(end.residual).max(initial=0.0))
    unit = (np.abs(end.jacobian) @ np.maximum(np.abs(end.x), 1.0)).max(initial=0.0)
    within = tol if tol is not None else (1e-9 if flat.eps < 1e-10 else 1e-3) * max(unit, 1e-300)
    good = bool(size <= within)
    message = "the residuals are zero up to rounding" if good else f"the largest residual is {size:.1e}: {end.message}"
    x = end.x.astype(str(flat.dtype))
    return problem, x, end.residual, end.jacobian, end.nit, problem.nfev, good, message


class _Anderson:
    """Anderson's acceleration of x ← g(x): the next value minimises the residual over the last few (Walker & Ni 2011)."""

    def __init__(self, most: int = 5) -> None:
        self.most = most
        self.clear()

    def clear(self) -> None:
        self.values: list[np.ndarray] = []
        self.residuals: list[np.ndarray] = []

    def next(self, value: np.ndarray, residual: np.ndarray) -> np.ndarray:
        self.values, self.residuals = [*self.values, value][-self.most - 1 :], [*self.residuals, residual][-self.most - 1 :]
        if len(self.values) == 1:
            return value
        dr = np.stack([residual - r for r in self.residuals[:-1]], axis=1)
        dv = np.stack([value - v for v in self.values[:-1]], axis=1)
        weights = np.linalg.lstsq(dr, residual, rcond=1e-12)[0]
        return np.asarray(value - dv @ weights)


def fixed_point(
    func: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    xtol: float = 1e-10,
    maxiter: int = 500,
    method: str = "anderson",
) -> Any:
    """The ``x`` near ``x0`` with ``x = func(x, *args)``, in the containers of ``x0``.

    ``method`` is "anderson" (accelerated; falls back to the plain iteration where that is better) or "iteration". It stops when
    no element of ``func(x) - x`` is larger than ``xtol`` times ``max(1, |x|)``, and raises :class:`ConvergenceError` when that
    takes more than ``maxiter`` iterations. The result is differentiable as that of :func:`minimize`.

    >>> round(tg.optimize.fixed_point(tg.cos, 1.0).item(), 6)
    0.739085
    """
    chosen("fixed_point", "method", method, "anderson", ("anderson", "iteration"))
    most = 5 if method.lower() == "anderson" else 0
    problem, x = each_sample(lambda: _iterated(Residuals("fixed_point", func, x0, args), xtol, maxiter, most))
    problem = problem[0] if isinstance(problem, list) else problem
    x = attach("fixed_point", lambda v: v - problem.equation(v), x, None, "", symmetric=False)
    return problem.flat.shaped(problem.flat.split(x))


def _iterated(problem: Residuals, xtol: float, maxiter: int, most: int) -> tuple[Residuals, np.ndarray]:
    """One run: the problem, and its fixed point."""
    flat = problem.flat
    x, best, size, anderson = flat.start.copy(), np.inf, np.inf, _Anderson(most)
    within = max(xtol, 4 * flat.eps)
    for _ in range(maxiter):
        value = problem.value(x)
        _square(problem, value)
        residual = value - x
        size = float((np.abs(residual) / np.maximum(1.0, np.abs(value))).max(initial=0.0)) if np.isfinite(value).all() else np.inf
        if size <= within:
            found = polished(lambda v: v - problem.equation(v), value, flat.dtype)
            return problem, found.astype(str(flat.dtype))
        if not np.isfinite(size):
            if not anderson.values:
                break
            # The accelerated step left the domain: take the plain one.
            x = anderson.values[-1]
            anderson.clear()
            continue
        if size > 10 * best:
            anderson.clear()
        best = min(best, size)
        x = anderson.next(value, residual) if anderson.most else value
    raise ConvergenceError(
        f"fixed_point: did not converge within maxiter = {maxiter} iterations (the function changes x by {size:.1e}, xtol is "
        f"{xtol:.1e}); "
        "start nearer, raise maxiter, or use root(lambda x: func(x) - x, x0)"
    )
