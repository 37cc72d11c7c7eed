"""Linear least squares with bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._messages import check_scipy
from ..autograd import no_grad
from ._bounds import sides_of
from ._flat import Flat
from ._implicit import attach, polished
from ._result import ConvergenceError, OptimizeResult
from ._samples import each_sample, message_of, one, plain, worst

if TYPE_CHECKING:
    from collections.abc import Callable


def _system(name: str, A: Any, b: Any) -> tuple[Variable, Variable]:
    """The matrix and the right side, in double precision where they are numbers."""
    if A is None or b is None:
        raise TypeError(f"{name}: A and b must be arrays, not None")
    A, b, _ = _core._together(A, b, np.zeros(0))
    if A.ndim != 2 or b.shape != A.shape[:1]:
        raise ShapeError(f"{name}: A has shape {A.shape} and b {b.shape}, expected a matrix and as many numbers as it has rows")
    return A, b


def _solved(name: str, A: Variable, b: Variable, limits: Any, solve: Callable[..., Any]) -> list[Any]:
    """The solution with its derivatives, whether it is one, and the number of iterations."""

    def equation(x: Variable) -> Variable:
        return A.mT @ (A @ x - b)

    def run() -> tuple[Any, ...]:
        with no_grad():
            matrix, right = plain(A).numpy().astype(np.float64), plain(b).numpy().astype(np.float64)
        if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
            raise ValueError(f"{name}: A and b must be finite")
        low, high = limits(Flat(name, np.zeros(matrix.shape[1])))
        x, good, nit, message = solve(matrix, right, low, high)
        held = (x <= low) | (x >= high)
        x = polished(equation, np.clip(x, low, high), A.dtype, ~held, (low, high)) if good else x
        dtype = str(A.dtype)
        return x.astype(dtype), held.astype(dtype), good, nit, message, np.where(x <= low, -1, np.where(x >= high, 1, 0))

    x, held, good, nit, message, mask = each_sample(run)
    success, reason = worst(good), message_of(good, message)
    x = attach(name, equation, x, held, "" if success else reason, symmetric=True)
    return [x, success, one(nit), reason, mask]


def lsq_linear(
    A: Any, b: Any, bounds: Any = (-np.inf, np.inf), tol: float = 1e-10, max_iter: int | None = None
) -> OptimizeResult:
    """The vector x within ``bounds`` for which half the sum of squares of ``A @ x - b`` is least.

    ``bounds`` is a pair of a lower and an upper side, each a number or a vector. SciPy's active set method (BVLS) finds the
    components that bounds hold. The result has ``x, fun`` (the residuals), ``cost, active_mask, nit, success, status, message``;
    ``x``, ``fun`` and ``cost`` are differentiable by ``A`` and ``b``, with the held components constant. Raises ShapeError for
    arrays that do not fit, and LinAlgError where a derivative is wanted and the free columns depend on each other.

    >>> found = tg.optimize.lsq_linear([[1.0, 0.0], [1.0, 1.0]], [2.0, 1.0], bounds=(0.0, 3.0))
    >>> found.x.round(6).tolist(), found.active_mask.tolist()
    ([1.5, 0.0], [0, -1])
    """
    check_scipy("lsq_linear, which runs SciPy's solver,")
    from scipy.optimize import lsq_linear as scipys

    A, b = _system("lsq_linear", A, b)

    def solve(matrix: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[Any, ...]:
        found = scipys(matrix, right, bounds=(low, high), method="bvls", tol=tol, max_iter=max_iter)
        return found.x, bool(found.success), int(found.nit), str(found.message)

    x, success, nit, reason, mask = _solved("lsq_linear", A, b, lambda flat: sides_of("lsq_linear", bounds, flat), solve)
    residual = A @ x - b
    return OptimizeResult(
        x=x,
        fun=residual,
        cost=0.5 * _core.sum(residual * residual),
        active_mask=mask,
        nit=nit,
        success=success,
        status=1 if success else 0,
        message=reason,
    )


def nnls(A: Any, b: Any, maxiter: int | None = None) -> tuple[Variable, Variable]:
    """The vector x without negative components for which ``A @ x`` is nearest to ``b``, and the norm of the residuals.

    SciPy's solver finds the components that are zero; both results are differentiable by ``A`` and ``b``, with those constant.
    Raises ConvergenceError after ``maxiter`` iterations.

    >>> x, norm = tg.optimize.nnls([[1.0, 0.0], [1.0, 1.0]], [2.0, 1.0])
    >>> x.round(6).tolist(), round(norm.item(), 6)
    ([1.5, 0.0], 0.707107)
    """
    check_scipy("nnls, which runs SciPy's solver,")
    from scipy.optimize import nnls as scipys

    A, b = _system("nnls", A, b)

    def solve(matrix: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[Any, ...]:
        try:
            return scipys(matrix, right, maxiter=maxiter)[0], True, 0, ""
        except RuntimeError as e:
            raise ConvergenceError(f"nnls: did not converge ({e})") from None

    x = _solved("nnls", A, b, lambda flat: (np.zeros(flat.size), np.full(flat.size, np.inf)), solve)[0]
    residual = A @ x - b
    square = _core.sum(residual * residual)
    # The norm has no derivative where the fit is exact.
    exact = square == 0
    return x, _core.where(exact, 0.0, _core.sqrt(_core.where(exact, 1.0, square)))
