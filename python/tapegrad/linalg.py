"""Linear algebra with gradients, under the names of NumPy's and SciPy's linalg and of the array API.

Decompositions return named tuples. A singular matrix, or one that is not positive definite, raises `LinAlgError`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as _np

from . import _core, _linalg
from ._core import matmul, matrix_transpose, vecdot
from ._linalg import (
    block_diag,
    cholesky,
    cross,
    det,
    eigvals,
    eigvalsh,
    expm,
    inv,
    kron,
    logm,
    lu_factor,
    matrix_exp,
    matrix_power,
    multi_dot,
    solve,
    sqrtm,
    svdvals,
    tensorinv,
    tensorsolve,
    toeplitz,
)
from ._linalg_more import (
    circulant,
    companion,
    convolution_matrix,
    coshm,
    cosm,
    dft,
    eigh_tridiagonal,
    expm_frechet,
    fractional_matrix_power,
    hankel,
    ishermitian,
    issymmetric,
    khatri_rao,
    leslie,
    null_space,
    orth,
    orthogonal_procrustes,
    pinvh,
    polar,
    rq,
    signm,
    sinhm,
    sinm,
    solve_banded,
    solve_circulant,
    solve_continuous_are,
    solve_continuous_lyapunov,
    solve_discrete_are,
    solve_discrete_lyapunov,
    solve_lyapunov,
    solve_sylvester,
    solve_toeplitz,
    solveh_banded,
    subspace_angles,
    tanhm,
    tanm,
)

if TYPE_CHECKING:
    from ._core import Variable


_F = TypeVar("_F", bound=Callable[..., Any])


class LinAlgError(_np.linalg.LinAlgError):
    """A matrix that an operation of linear algebra cannot take."""

    __module__ = "tapegrad"


class EigResult(NamedTuple):
    """Of `eig`."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Of `eigh`."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """Of `svd`."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """Of `qr`."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """Of `slogdet`."""

    sign: Any
    logabsdet: Any


class LUResult(NamedTuple):
    """Of `lu`."""

    P: Any
    L: Any
    U: Any


class CholeskyExResult(NamedTuple):
    """Of `cholesky_ex`."""

    L: Any
    info: Any


class InvExResult(NamedTuple):
    """Of `inv_ex`."""

    inverse: Any
    info: Any


class LstsqResult(NamedTuple):
    """Of `lstsq`."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _torchs(f: _F) -> _F:
    """Takes PyTorch's names of arguments, too: ``A`` or ``input``, ``B``, ``dim`` and ``keepdim``."""
    first, second = (*f.__code__.co_varnames[: f.__code__.co_argcount], "", "")[:2]
    names = {"A": first, "input": first, "B": second, "dim": "axis", "keepdim": "keepdims"}

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        for theirs in names.keys() & options.keys():
            ours = names[theirs]
            if ours == theirs or ours not in f.__code__.co_varnames:
                continue
            if ours in options:
                raise TypeError(f"{f.__name__}() got both {theirs}= and {ours}=, which are one argument")
            options[ours] = options.pop(theirs)
        if isinstance(options.get("axis"), list):
            options["axis"] = tuple(options["axis"])
        return f(*args, **options)

    return call  # type: ignore[return-value]


@_torchs
def slogdet(a: Any) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value.

    >>> tg.linalg.slogdet(tg.Variable([[0.0, 1.0], [1.0, 0.0]])).sign
    Variable(-1.)
    """
    return SlogdetResult(*_linalg.slogdet(a))


def lu(a: Any) -> LUResult:
    """P, L and U with ``a = P @ L @ U`` by partial pivoting.

    >>> tg.linalg.lu(tg.Variable([[2.0, 1.0], [1.0, 1.0]])).U
    Variable([[2. , 1. ],
              [0. , 0.5]])
    """
    return LUResult(*_linalg.lu(a))


def lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, *, left: bool = True, adjoint: bool = False) -> Variable:
    """The x with ``op(a) @ x = b`` by the factors of `lu_factor`; ``trans=1`` takes the transpose, 2 the conjugate transpose.

    PyTorch's form is ``lu_solve(lu, pivots, b)``: ``left=False`` solves ``x @ op(a) = b``, ``adjoint`` is ``trans=2``.

    >>> tg.linalg.lu_solve(tg.linalg.lu_factor(tg.Variable([[2.0]])), tg.Variable([4.0]))
    Variable([2.])
    """
    if isinstance(lu_and_piv, (tuple, list)):
        lu, pivots = lu_and_piv
    else:
        lu, pivots, b, trans = lu_and_piv, b, trans, 0
        if isinstance(b, int):
            raise TypeError("lu_solve: expected lu_solve((lu, pivots), b) or lu_solve(lu, pivots, b)")
    if trans not in (0, 1, 2):
        raise ValueError(f"lu_solve: trans is {trans!r}, expected 0, 1 or 2")
    if adjoint:
        trans = 2
    if not left:  # xA = b is Aᵀxᵀ = bᵀ, and xAᴴ = b is conj(A)xᵀ = bᵀ
        flipped = {0: 1, 1: 0, 2: 0}[trans]
        lu = _core.conj(lu) if trans == 2 else lu
        return matrix_transpose(_linalg.lu_solve(lu, pivots, matrix_transpose(b), flipped != 0))
    return _linalg.lu_solve(_core.conj(lu) if trans == 2 else lu, pivots, b, trans != 0)


def cho_factor(a: Any, lower: bool = False) -> tuple[Variable, bool]:
    """The Cholesky factor for `cho_solve`, with the triangle that it is in.

    >>> tg.linalg.cho_factor(tg.Variable([[4.0]]))
    (Variable([[2.]]), False)
    """
    return _linalg.cholesky(a, upper=not lower), lower


def cho_solve(c_and_lower: Any, b: Any) -> Variable:
    """The x with ``a @ x = b`` by the Cholesky factor of a and its triangle: ``(c, lower)``.

    >>> tg.linalg.cho_solve(tg.linalg.cho_factor(tg.Variable([[4.0]])), tg.Variable([8.0]))
    Variable([2.])
    """
    if not isinstance(c_and_lower, (tuple, list)) or len(c_and_lower) != 2:
        raise TypeError(
            f"cho_solve: the first argument must be the pair (c, lower) of cho_factor, not {type(c_and_lower).__name__}"
        )
    c, lower = c_and_lower
    return _linalg.cho_solve(c, b, bool(lower))


@_torchs
def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    *,
    upper: bool | None = None,
    left: bool = True,
    unitriangular: bool | None = None,
) -> Variable:
    """The x with ``op(a) @ x = b`` for the upper (or lower) triangle of a; ``left=False`` solves ``x @ op(a) = b``.

    SciPy's arguments by position; ``upper``, ``left`` and ``unitriangular`` are PyTorch's.

    >>> tg.linalg.solve_triangular(tg.Variable([[2.0, 1.0], [0.0, 4.0]]), tg.Variable([4.0, 4.0]))
    Variable([1.5, 1. ])
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"solve_triangular: trans is {trans!r}, expected 0, 1 or 2 ('N', 'T' or 'C')")
    lower = lower if upper is None else not upper
    unit = unit_diagonal if unitriangular is None else unitriangular
    transposed = trans not in (0, "N")
    if trans in (2, "C"):
        a = _core.conj(a)
    if left:
        return _linalg.solve_triangular(a, b, lower, unit, transposed)
    return matrix_transpose(_linalg.solve_triangular(a, matrix_transpose(b), lower, unit, not transposed))


def _attempt(f: Callable[[Any], Any], a: Any, check_errors: bool) -> tuple[Any, Any]:
    """``f(a)`` and zeros; of matrices that it refuses NaN and one."""
    a = _core.asarray(a)
    info = _core.zeros(a.shape[:-2], dtype=_core.int32)
    if check_errors:
        return f(a), info
    try:
        return f(a), info
    except LinAlgError:
        if a.ndim > 2:
            parts = [_attempt(f, part, False) for part in _core.unstack(a)]
            return _core.stack([p[0] for p in parts]), _core.stack([p[1] for p in parts])
        if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
            raise
        return _core.full_like(a, _np.nan), info + 1


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> CholeskyExResult:
    """The Cholesky factor, and info: 0, or 1 for a matrix that is not positive definite, whose factor is NaN.

    >>> tg.linalg.cholesky_ex(tg.Variable([[-1.0]])).info
    Variable(1, dtype=int32)
    """
    return CholeskyExResult(*_attempt(lambda a: cholesky(a, upper=upper), A, check_errors))


def inv_ex(A: Any, *, check_errors: bool = False) -> InvExResult:
    """The inverse, and info: 0, or 1 for a singular matrix, whose inverse is NaN.

    >>> tg.linalg.inv_ex(tg.Variable([[0.0]])).info
    Variable(1, dtype=int32)
    """
    return InvExResult(*_attempt(inv, A, check_errors))


def vander(x: Any, N: int | None = None) -> Variable:
    """The powers of each element, from 0 to N - 1, in a new last axis, as PyTorch's; `tg.vander` is NumPy's.

    >>> tg.linalg.vander(tg.Variable([2.0, 3.0]), N=3)
    Variable([[1., 2., 4.],
              [1., 3., 9.]])
    """
    x = _core.asarray(x)
    if x.ndim == 0:
        raise LinAlgError("vander: expected an array of at least 1 dimension, got shape ()")
    return _core.power(x[..., None], _core.arange(x.shape[-1] if N is None else N, dtype=x.dtype))


@_torchs
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q and R with ``a = Q @ R``; mode 'complete' gives all columns of Q, 'r' only R.

    >>> tg.linalg.qr(tg.Variable([[2.0]])).R
    Variable([[2.]])
    """
    parts = _linalg.qr(a, mode)
    return parts[0] if mode == "r" else QRResult(*parts)


@_torchs
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False, *, degenerate: str = "raise"
) -> Any:
    """U, the singular values (largest first) and Vh with ``a = U @ diag(S) @ Vh``.

    Where singular values are equal, a gradient exists only for functions that treat their vectors alike; others raise, or
    with ``degenerate="zero"`` leave this part out.
    Complex vectors are determined up to a phase: a loss that depends on it raises.

    >>> tg.linalg.svd(tg.Variable([[2.0]]), full_matrices=False).S
    Variable([2.])
    """
    if not compute_uv:
        return _linalg.svdvals(a)
    return SVDResult(*_linalg.svd(a, full_matrices, degenerate=degenerate))


@_torchs
def eigh(a: Any, UPLO: str = "L", *, degenerate: str = "raise") -> EighResult:
    """Eigenvalues (smallest first) and eigenvectors (columns) of Hermitian matrices. Only the triangle UPLO of a is read.

    Where eigenvalues are equal, a gradient exists only for functions that treat their vectors alike; others raise, or with
    ``degenerate="zero"`` leave this part out.
    Complex eigenvectors are determined up to a phase: a loss that depends on it raises.

    >>> tg.linalg.eigh(tg.Variable([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Variable([1., 2.])
    """
    return EighResult(*_linalg.eigh(a, UPLO, degenerate=degenerate))


@_torchs
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Variable:
    """The Moore-Penrose inverse; singular values up to ``rtol`` (a number, or one for each matrix) times the largest are zero.

    >>> tg.linalg.pinv(tg.Variable([[2.0], [0.0]]))
    Variable([[0.5, 0. ]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: give rcond or rtol, which are one argument, not both")
    cut = rcond if rtol is None else rtol
    if cut is None or _core.asarray(cut).ndim == 0:
        return _linalg.pinv(a, None if cut is None else float(cut))
    a = _core.asarray(a)
    limits = _core.broadcast_to(_core.asarray(cut), a.shape[:-2]).reshape(-1).tolist()
    rows = [_linalg.pinv(x, c) for x, c in zip(a.reshape((-1, *a.shape[-2:])), limits, strict=True)]
    return _core.stack(rows).reshape((*a.shape[:-2], a.shape[-1], a.shape[-2])) if rows else _linalg.pinv(a)


@_torchs
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None, atol: Any = None) -> Variable:
    """The number of singular values above ``tol``, or above ``rtol`` times the largest one: numbers, or one for each matrix.

    With PyTorch's ``atol``: above the larger one of ``atol`` and ``rtol`` times the largest, where ``rtol`` is 0 if left out.

    >>> tg.linalg.matrix_rank(tg.Variable([[1.0, 1.0], [1.0, 1.0]]))
    Variable(1)
    """
    if tol is not None and (rtol is not None or atol is not None):
        raise ValueError("matrix_rank: give tol, or rtol and atol, not both")
    if atol is not None:
        s = svdvals(_core.asarray(A).detach())
        floor = _core.expand_dims(_core.asarray(atol), -1)
        part = _core.expand_dims(_core.asarray(0 if rtol is None else rtol), -1) * s[..., :1]
        return _core.count_nonzero(s > _core.maximum(floor, part), axis=-1)
    cut = rtol if tol is None else tol
    if cut is None or _core.asarray(cut).ndim == 0:
        number = None if cut is None else float(cut)
        return _linalg.matrix_rank(A, number, None) if tol is not None else _linalg.matrix_rank(A, None, number)
    s = svdvals(_core.asarray(A).detach())
    limits = _core.expand_dims(_core.asarray(cut), -1)
    return _core.count_nonzero(s > (limits if tol is not None else limits * _core.max(s, axis=-1, keepdims=True)), axis=-1)


@_torchs
def lstsq(a: Any, b: Any, rcond: float | None = None, *, driver: str | None = None) -> LstsqResult:
    """The least-squares solution, the sums of squared residuals, the rank and the singular values, as NumPy's.

    PyTorch's ``driver`` is accepted without effect: rank and singular values are always there.

    >>> tg.linalg.lstsq(tg.Variable([[1.0], [1.0]]), tg.Variable([1.0, 3.0])).solution
    Variable([2.])
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ValueError(f"lstsq: driver is {driver!r}, expected 'gels', 'gelsy', 'gelsd' or 'gelss'")
    return LstsqResult(*_linalg.lstsq(a, b, rcond))


def _order(ord: Any) -> str:
    """A norm as the compiled functions take it."""
    return ord if isinstance(ord, str) else repr(float(ord))


@_torchs
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Variable:
    """The norm of vectors or matrices, with NumPy's orders: of all elements as one vector without ``ord`` and ``axis``.

    >>> tg.linalg.norm(tg.Variable([[3.0, 4.0]]))
    Variable(5.)
    """
    return _linalg.norm(x, "" if ord is None else _order(ord), axis, keepdims)


@_torchs
def matrix_norm(x: Any, ord: Any = "fro", axis: Any = (-2, -1), keepdims: bool = False) -> Variable:
    """The norm of the matrices in two axes: 'fro', 'nuc', 1, -1, 2, -2, inf or -inf.

    >>> tg.linalg.matrix_norm(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), ord=1)
    Variable(6.)
    """
    return _linalg.matrix_norm(x, _order(ord), axis, keepdims)


@_torchs
def vector_norm(x: Any, ord: Any = 2, axis: Any = None, keepdims: bool = False) -> Variable:
    """The norm of the vectors along axes; without any of all elements.

    >>> tg.linalg.vector_norm(tg.Variable([3.0, 4.0]))
    Variable(5.)
    """
    return _core.vector_norm(x, axis=axis, keepdims=keepdims, ord=float(ord))


@_torchs
def cond(x: Any, p: Any = None) -> Variable:
    """The condition number: by singular values for p = None, 2 or -2, else by the norm p of x and its inverse.

    >>> tg.linalg.cond(tg.Variable([[1.0, 0.0], [0.0, 4.0]]))
    Variable(4.)
    """
    return _linalg.cond(x, "" if p is None else _order(p))


def outer(x1: Any, x2: Any) -> Variable:
    """The products of all pairs of elements of two vectors.

    >>> tg.linalg.outer(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 3.0]))
    Variable([[1., 3.],
              [2., 6.]])
    """
    return _core.outer(x1, x2)


def matmul_toeplitz(c_or_cr: Any, x: Any) -> Variable:
    """The product of a Toeplitz matrix, given by its first column or by ``(column, row)``, with a vector or a matrix.

    >>> tg.linalg.matmul_toeplitz(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 1.0]))
    Variable([3., 3.])
    """
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    return _linalg.matmul_toeplitz(c, x, r)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Variable:
    """Sums of products over the last ``axes`` axes of x1 and the first of x2, or over pairs of axes.

    >>> tg.linalg.tensordot(tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0]), axes=1)
    Variable(11.)
    """
    if not isinstance(axes, int):
        left, right = (a if isinstance(a, int) else tuple(a) for a in axes)
        return _linalg.tensordot(x1, x2, left, right)
    ndim = _core.asarray(x1).ndim
    return _linalg.tensordot(x1, x2, tuple(range(ndim - axes, ndim)), tuple(range(axes)))


@_torchs
def eig(a: Any, *, degenerate: str = "raise") -> EigResult:
    """Eigenvalues and eigenvectors (columns) of general matrices: complex, also where NumPy's are real.

    Eigenvectors have length 1, and their largest element is real. They are determined up to a phase: a loss that depends on it
    raises. Where eigenvalues are equal, the gradient of eigenvectors raises, or with ``degenerate="zero"`` this part is left out.
    A defective matrix, which has fewer eigenvectors than rows, has no gradient.

    >>> tg.linalg.eig(tg.Variable([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues.imag
    Variable([ 1., -1.])
    """
    return EigResult(*_linalg.eig(a, degenerate=degenerate))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Variable:
    """The sum of the diagonal of the last two axes, ``offset`` above the main one.

    >>> tg.linalg.trace(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))
    Variable(5.)
    """
    return _linalg.trace(x if dtype is None else _core.astype(x, dtype), offset=offset)


def diagonal(x: Any, /, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Variable:
    """The diagonal of the last two axes (or of ``dim1`` and ``dim2``), ``offset`` above the main one; a view.

    >>> tg.linalg.diagonal(tg.Variable([[1.0, 2.0], [3.0, 4.0]]))
    Variable([1., 4.])
    """
    return _core.diagonal(x, offset, dim1, dim2)


__all__ = [
    "CholeskyExResult",
    "EigResult",
    "EighResult",
    "InvExResult",
    "LUResult",
    "LinAlgError",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "block_diag",
    "cho_factor",
    "cho_solve",
    "cholesky",
    "cholesky_ex",
    "circulant",
    "companion",
    "cond",
    "convolution_matrix",
    "coshm",
    "cosm",
    "cross",
    "det",
    "dft",
    "diagonal",
    "eig",
    "eigh",
    "eigh_tridiagonal",
    "eigvals",
    "eigvalsh",
    "expm",
    "expm_frechet",
    "fractional_matrix_power",
    "hankel",
    "inv",
    "inv_ex",
    "ishermitian",
    "issymmetric",
    "khatri_rao",
    "kron",
    "leslie",
    "logm",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matmul_toeplitz",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "null_space",
    "orth",
    "orthogonal_procrustes",
    "outer",
    "pinv",
    "pinvh",
    "polar",
    "qr",
    "rq",
    "signm",
    "sinhm",
    "sinm",
    "slogdet",
    "solve",
    "solve_banded",
    "solve_circulant",
    "solve_continuous_are",
    "solve_continuous_lyapunov",
    "solve_discrete_are",
    "solve_discrete_lyapunov",
    "solve_lyapunov",
    "solve_sylvester",
    "solve_toeplitz",
    "solve_triangular",
    "solveh_banded",
    "sqrtm",
    "subspace_angles",
    "svd",
    "svdvals",
    "tanhm",
    "tanm",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "toeplitz",
    "trace",
    "vander",
    "vecdot",
    "vector_norm",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
