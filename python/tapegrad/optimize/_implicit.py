"""Derivatives of a solution by the implicit function theorem.

A solution x of F(x, θ) = 0 is written as Newton steps from its value, with the Jacobian J = ∂F/∂x at the solution as a constant:
x₁ = x - J⁻¹ F(x, θ) has the first derivative in θ, x₂ = x₁ - J⁻¹ F(x₁, θ) the second one, too, because each step multiplies the
order of the error by that of θ. These steps are ordinary operations: whatever θ is used, passed or closed over, in reverse mode,
in forward mode or both, they differentiate. (Blondel et al., Efficient and modular implicit differentiation, 2022.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core, linalg
from .._core import Variable
from .._messages import check_scipy
from .._transforms import jacfwd
from ..autograd import Function, enable_grad, grad, no_grad
from ._result import ConvergenceError
from ._samples import has_derivative, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    Equation = Callable[[Variable], Variable]

#: Up to so many unknowns the Jacobian is formed and factorised; above, products with it are used.
DENSE = 1000
#: So many chord steps are recorded: the order up to which derivatives are exact.
ORDER = 2


def polished(
    equation: Equation,
    x: np.ndarray,
    dtype: Any,
    free: np.ndarray | None = None,
    limits: tuple[np.ndarray, np.ndarray] | None = None,
    always: bool = False,
) -> np.ndarray:
    """The solution after Newton steps that make the residual smaller.

    They are made if the derivative of the solution is wanted, which has the same error, or ``always``.
    """
    if x.size > DENSE or not (always or has_derivative(equation(Variable(x, dtype=dtype)))):
        return x
    places = np.arange(x.size) if free is None else np.flatnonzero(free)

    def residual(at: np.ndarray) -> np.ndarray:
        return np.asarray(plain(equation(Variable(at, dtype=dtype))).numpy().astype(np.float64)[places])

    with no_grad():
        now = residual(x)
        for _ in range(3):
            matrix = plain(jacfwd(equation)(Variable(x, dtype=dtype))).numpy().astype(np.float64)
            new = x.copy()
            try:
                new[places] -= np.linalg.solve(matrix[np.ix_(places, places)], now)
            except np.linalg.LinAlgError:
                break
            if limits is not None and not ((new >= limits[0]) & (new <= limits[1])).all():
                break
            after = residual(new)
            if not (np.isfinite(after).all() and np.abs(after).max(initial=0.0) < 0.5 * np.abs(now).max(initial=0.0)):
                break
            x, now = new, after
    return x


def attach(name: str, equation: Equation, x: Variable, held: Variable | None, problem: str, symmetric: bool) -> Variable:
    """The solution ``x`` of ``equation`` as a vector with its derivatives, when the equation uses something tracked.

    ``held`` is one for the components that a bound holds, zero for others. ``problem`` is empty, or why there is no solution.
    """
    residual = equation(x)
    if not has_derivative(residual):
        return x
    if problem:
        raise ConvergenceError(
            f"{name}: did not converge ({problem}), so the solution has no derivative. Raise maxiter, start nearer, or call it "
            "with "
            "parameters that are not tracked (under tg.no_grad()) to see where it stopped"
        )
    if held is not None and not _core._innermost(held).numpy().any():
        held = None
    if held is not None and not (_core._innermost(held).numpy() == 0).any():
        return x
    free = None if held is None else 1.0 - held
    make = _dense if x.size <= DENSE else _iterative
    solve = make(name, equation, x, held, symmetric)
    out = x
    for _ in range(ORDER):
        out = out - solve(residual if free is None else free * residual)
        residual = equation(out)
    return out


def _dense(name: str, equation: Equation, x: Variable, held: Variable | None, symmetric: bool) -> Equation:
    """A solver with the Jacobian formed as a matrix. Held components have rows and columns of the identity."""
    with no_grad():
        matrix = jacfwd(equation)(x).detach()
        if held is not None:
            free = 1.0 - held
            matrix = free[:, None] * matrix * free + _core.diag(held)
        found = _core._innermost(matrix).numpy()
        for one in found.reshape(-1, *found.shape[-2:]):
            _check_regular(name, one.astype(np.float64), float(np.finfo(found.dtype).eps))
    return lambda b: linalg.solve(matrix, b)


def _check_regular(name: str, matrix: np.ndarray, eps: float) -> None:
    """Raises where the solution is not isolated: rows and columns are scaled first, so that units do not matter."""
    if not np.isfinite(matrix).all():
        raise linalg.LinAlgError(
            f"{name}: the Jacobian at the solution has entries that are not finite, so the solution has no derivative"
        )
    scaled = matrix
    for axis in (1, 0, 1):
        size = np.abs(scaled).max(axis=axis, keepdims=True)
        scaled = scaled / np.where(size > 0, size, 1.0)
    smallest = np.linalg.svd(scaled, compute_uv=False)[-1] if len(scaled) <= 400 else 1.0 / np.linalg.cond(scaled, 1)
    if not smallest > 16 * eps * len(scaled):
        raise linalg.LinAlgError(
            f"{name}: the solution is singular: the Jacobian of its equations there has no inverse (smallest singular value "
            f"{smallest:.1e} after scaling), so the solution is not isolated and has no derivative. Remove redundant "
            "parameters or "
            "flat directions, for example by a small quadratic penalty"
        )


def _iterative(name: str, equation: Equation, x: Variable, held: Variable | None, symmetric: bool) -> Equation:
    solver = _Products(name, equation, plain(x), None if held is None else plain(held).numpy() == 0, symmetric)
    return lambda b: _Inverse.apply(solver, False, b)


class _Products:
    """Linear equations with a Jacobian that is only multiplied: by conjugate gradients, or by GMRES where it is not symmetric."""

    def __init__(self, name: str, equation: Equation, x: Variable, free: np.ndarray | None, symmetric: bool) -> None:
        self.name, self.symmetric = name, symmetric
        self.places = np.arange(x.size) if free is None else np.flatnonzero(free)
        with enable_grad():
            self.leaf = x.detach().clone().requires_grad_(True)
            self.out = plain(equation(self.leaf))
            if not symmetric:
                # Jᵀ u as a function of u: its own gradient along v is J v.
                self.u = _core.zeros_like(self.out).detach().requires_grad_(True)
                (self.pulled,) = grad(self.out, self.leaf, self.u, create_graph=True)

    def product(self, v: np.ndarray, transposed: bool) -> np.ndarray:
        """Jᵀ v or J v, in one backward pass."""
        full = np.zeros(self.leaf.size)
        full[self.places] = v
        direction = Variable(full, dtype=self.leaf.dtype)
        if transposed or self.symmetric:
            (found,) = grad(self.out, self.leaf, direction, retain_graph=True)
        else:
            (found,) = grad(self.pulled, self.u, direction, retain_graph=True)
        return np.asarray(found.detach().numpy().astype(np.float64)[self.places])

    def inverse(self, b: np.ndarray, transposed: bool) -> np.ndarray:
        check_scipy("the gradient of a solution of many components")
        from scipy.sparse.linalg import LinearOperator, cg, gmres

        out, n = np.zeros(b.size), self.places.size
        right = b[self.places]
        operator = LinearOperator((n, n), matvec=lambda v: self.product(v.ravel(), transposed), dtype=np.float64)
        method, most = (cg, 20 * n) if self.symmetric else (gmres, 200)
        found, failed = method(operator, right, rtol=1e-12, atol=0.0, maxiter=most)
        error = np.abs(operator.matvec(found) - right).max(initial=0.0)
        if failed and not error <= 1e-6 * np.abs(right).max(initial=0.0):
            raise linalg.LinAlgError(
                f"{self.name}: the linear equations of the derivative were not solved (residual {error:.1e}): the solution is "
                "singular or "
                "badly scaled"
            )
        out[self.places] = found
        return out


class _Inverse(Function):
    """The solution of linear equations with a constant matrix: linear, so its derivatives are itself and its transpose."""

    @staticmethod
    def forward(ctx: Any, solver: _Products, transposed: bool, b: Variable) -> Variable:
        ctx.solver, ctx.transposed = solver, transposed
        return Variable(solver.inverse(b.numpy().astype(np.float64), transposed), dtype=b.dtype)

    @staticmethod
    def backward(ctx: Any, g: Variable) -> Any:
        return None, None, _Inverse.apply(ctx.solver, not ctx.transposed, g)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Variable:
        out: Variable = _Inverse.apply(ctx.solver, ctx.transposed, tangents[2])
        return out
