"""Matrix equations, functions of matrices and special matrices under SciPy's names, composed of other functions.

Matrix equations are solved as linear systems by Kronecker products, which costs O((mn)³): they are made for matrices of up to
some thirty rows, as control problems have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core, _linalg
from ._core import ShapeError, Variable
from ._dtypes import finfo, inexact, inexacts

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "circulant",
    "companion",
    "convolution_matrix",
    "coshm",
    "cosm",
    "dft",
    "eigh_tridiagonal",
    "expm_frechet",
    "fractional_matrix_power",
    "hankel",
    "ishermitian",
    "issymmetric",
    "khatri_rao",
    "leslie",
    "null_space",
    "orth",
    "orthogonal_procrustes",
    "pinvh",
    "polar",
    "rq",
    "signm",
    "sinhm",
    "sinm",
    "solve_banded",
    "solve_circulant",
    "solve_continuous_are",
    "solve_continuous_lyapunov",
    "solve_discrete_are",
    "solve_discrete_lyapunov",
    "solve_lyapunov",
    "solve_sylvester",
    "solve_toeplitz",
    "solveh_banded",
    "subspace_angles",
    "tanhm",
    "tanm",
]


def _matrix(name: str, x: Any, square: bool = True) -> Variable:
    return _matrices(name, x, square=square)[0]


def _matrices(name: str, *values: Any, square: bool = True) -> list[Variable]:
    """Matrices, of which lists of numbers take the floating dtype of the others."""
    return [_checked_matrix(name, v, square) for v in inexacts(*values)]


def _checked_matrix(name: str, v: Variable, square: bool) -> Variable:
    if v.ndim != 2 or (square and v.shape[0] != v.shape[1]):
        raise ShapeError(f"{name}: expected a {'square ' if square else ''}matrix, got shape {v.shape}")
    return v


def _h(x: Variable) -> Variable:
    return _core.conj(x.mT) if x.dtype.is_complex else x.mT


# ---- matrix equations ----


def solve_sylvester(a: Any, b: Any, q: Any) -> Variable:
    """The matrix X of A X + X B = Q.

    >>> tg.linalg.solve_sylvester([[1.0]], [[3.0]], [[8.0]])
    Variable([[2.]])
    """
    a, b, q = _matrices("solve_sylvester", a, b, q, square=False)
    for side in (a, b):
        _checked_matrix("solve_sylvester", side, True)
    m, n = a.shape[0], b.shape[0]
    if q.shape != (m, n):
        raise ShapeError(f"solve_sylvester: q has shape {q.shape}, expected {(m, n)}, the sides of a and b")
    system = _core.kron(a, _core.eye(n, dtype=b.dtype)) + _core.kron(_core.eye(m, dtype=a.dtype), b.mT)
    return _core.reshape(_linalg.solve(system, _core.reshape(q, (m * n,))), (m, n))


def solve_continuous_lyapunov(a: Any, q: Any) -> Variable:
    """The matrix X of A X + X Aᴴ = Q.

    >>> tg.linalg.solve_continuous_lyapunov([[-1.0]], [[-4.0]])
    Variable([[2.]])
    """
    a, q = _matrices("solve_continuous_lyapunov", a, q)
    return solve_sylvester(a, _h(a), q)


solve_lyapunov = solve_continuous_lyapunov


def solve_discrete_lyapunov(a: Any, q: Any, method: str | None = None) -> Variable:
    """The matrix X of A X Aᴴ - X + Q = 0. ``method`` is accepted for SciPy's sake.

    >>> tg.linalg.solve_discrete_lyapunov([[0.5]], [[3.0]])
    Variable([[4.]])
    """
    a, q = _matrices("solve_discrete_lyapunov", a, q)
    if q.shape != a.shape:
        raise ShapeError(f"solve_discrete_lyapunov: q has shape {q.shape}, expected {a.shape}")
    n = a.shape[0]
    system = _core.eye(n * n, dtype=a.dtype) - _core.kron(a, _core.conj(a) if a.dtype.is_complex else a)
    return _core.reshape(_linalg.solve(system, _core.reshape(q, (n * n,))), (n, n))


def _riccati(name: str, a: Any, b: Any, q: Any, r: Any, step: Callable[..., Variable]) -> Variable:
    """SciPy's solution, refined by two recorded Newton steps, which give its first and second derivatives."""
    from .linalg import LinAlgError
    from .optimize._samples import plain

    values = _matrices(name, a, b, q, r, square=False)
    for square in (values[0], values[2], values[3]):
        _checked_matrix(name, square, True)
    try:
        import scipy.linalg
    except ImportError as e:
        raise ImportError(f"{name} needs SciPy; install scipy") from e
    try:
        start = getattr(scipy.linalg, name)(*(plain(v).detach().numpy() for v in values))
    except (ValueError, scipy.linalg.LinAlgError) as e:
        raise LinAlgError(f"{name}: {e}") from e
    x: Variable = _core.asarray(start, dtype=values[0].dtype)
    for _ in range(2):
        x = step(x, *values)
        x = (x + _h(x)) * 0.5
    return x


def solve_continuous_are(a: Any, b: Any, q: Any, r: Any) -> Variable:
    """The matrix X of Aᴴ X + X A - X B R⁻¹ Bᴴ X + Q = 0 that stabilises: of the continuous regulator. It needs SciPy.

    >>> tg.linalg.solve_continuous_are([[0.0]], [[1.0]], [[4.0]], [[1.0]])
    Variable([[2.]])
    """

    def newton(x: Variable, a: Variable, b: Variable, q: Variable, r: Variable) -> Variable:
        gain = _linalg.solve(r, _h(b) @ x)
        closed = a - b @ gain
        return solve_sylvester(_h(closed), closed, -(q + _h(gain) @ r @ gain))

    return _riccati("solve_continuous_are", a, b, q, r, newton)


def solve_discrete_are(a: Any, b: Any, q: Any, r: Any) -> Variable:
    """The matrix X of Aᴴ X A - X - Aᴴ X B (R + Bᴴ X B)⁻¹ Bᴴ X A + Q = 0 that stabilises: of the discrete regulator.

    >>> x = tg.linalg.solve_discrete_are([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> round(x.item(), 6)  # the golden ratio
    1.618034
    """

    def newton(x: Variable, a: Variable, b: Variable, q: Variable, r: Variable) -> Variable:
        gain = _linalg.solve(r + _h(b) @ x @ b, _h(b) @ x @ a)
        return solve_discrete_lyapunov(_h(a - b @ gain), q + _h(gain) @ r @ gain)

    return _riccati("solve_discrete_are", a, b, q, r, newton)


def _from_diagonals(diagonals: dict[int, Variable], n: int) -> Variable:
    dtype = next(iter(diagonals.values())).dtype
    out: Variable = _core.zeros((n, n), dtype=dtype)
    for k, d in diagonals.items():
        out = out + _core.diag(d, k)
    return out


def solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any) -> Variable:
    """The solution of A x = b for a banded matrix, whose diagonals are rows of ``ab`` as SciPy stores them.

    The matrix is made whole: for systems of up to some thousand unknowns.

    >>> tg.linalg.solve_banded((0, 0), [[2.0, 4.0]], [2.0, 2.0])
    Variable([1. , 0.5])
    """
    (lower, upper), (ab, b) = l_and_u, inexacts(ab, b)
    _checked_matrix("solve_banded", ab, False)
    if ab.shape[0] != lower + upper + 1:
        raise ShapeError(f"solve_banded: ab has {ab.shape[0]} rows, expected {lower} + {upper} + 1")
    n = ab.shape[1]
    rows = {upper - i: ab[i, max(upper - i, 0) : n + min(upper - i, 0)] for i in range(lower + upper + 1) if abs(upper - i) < n}
    return _linalg.solve(_from_diagonals(rows, n), b)


def solveh_banded(ab: Any, b: Any, lower: bool = False) -> Variable:
    """The solution of A x = b for a Hermitian banded matrix, of which ``ab`` has the upper or the lower diagonals.

    >>> tg.linalg.solveh_banded([[2.0, 4.0]], [2.0, 2.0])
    Variable([1. , 0.5])
    """
    ab, b = inexacts(ab, b)
    _checked_matrix("solveh_banded", ab, False)
    m, n = ab.shape
    rows: dict[int, Variable] = {}
    for i in range(m):
        k = i if lower else m - 1 - i
        if k >= n:
            continue
        d = ab[i, : n - k] if lower else ab[i, k:]
        conjugate = _core.conj(d) if d.dtype.is_complex else d
        rows[-k], rows[k] = (d, conjugate) if lower else (conjugate, d)
    return _linalg.solve(_from_diagonals(rows, n), b)


def solve_toeplitz(c_or_cr: Any, b: Any) -> Variable:
    """The solution of T x = b for the Toeplitz matrix of a first column, or of a pair of a first column and a first row.

    >>> tg.linalg.solve_toeplitz([2.0, 0.0], [2.0, 4.0])
    Variable([1., 2.])
    """
    from .linalg import toeplitz

    column, row = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    column, row, b = inexacts(column, column if row is None else row, b)
    if row is column and column.dtype.is_complex:
        row = _core.conj(column)
    return _linalg.solve(toeplitz(column, row), b)


def solve_circulant(c: Any, b: Any) -> Variable:
    """The solution of C x = b for the circulant matrix with the first column ``c``, by Fourier transforms.

    >>> tg.linalg.solve_circulant([2.0, 0.0], [2.0, 4.0])
    Variable([1., 2.])
    """
    from .fft import fft, ifft

    c, b = inexacts(c, b)
    spectrum = fft(c)
    x = ifft(fft(b, axis=0) / (spectrum if b.ndim == 1 else spectrum[:, None]), axis=0)
    return x if c.dtype.is_complex or b.dtype.is_complex else _core.real(x)


# ---- functions of matrices ----


def _of_exponential(a: Any, name: str) -> tuple[Variable, Variable, bool]:
    """exp(iA), exp(-iA), and whether A is real."""
    a = _matrix(name, a)
    turned = a * 1j
    return _linalg.expm(turned), _linalg.expm(-turned), not a.dtype.is_complex


def cosm(a: Any) -> Variable:
    """The cosine of a square matrix.

    >>> tg.linalg.cosm([[0.0]])
    Variable([[1.]])
    """
    up, down, is_real = _of_exponential(a, "cosm")
    return _core.real(up) if is_real else (up + down) * 0.5


def sinm(a: Any) -> Variable:
    """The sine of a square matrix.

    >>> tg.linalg.sinm([[0.0]])
    Variable([[0.]])
    """
    up, down, is_real = _of_exponential(a, "sinm")
    return _core.imag(up) if is_real else (up - down) * -0.5j


def tanm(a: Any) -> Variable:
    """The tangent of a square matrix.

    >>> tg.linalg.tanm([[0.0]])
    Variable([[0.]])
    """
    return _linalg.solve(cosm(a), sinm(a))


def coshm(a: Any) -> Variable:
    """The hyperbolic cosine of a square matrix.

    >>> tg.linalg.coshm([[0.0]])
    Variable([[1.]])
    """
    a = _matrix("coshm", a)
    return (_linalg.expm(a) + _linalg.expm(-a)) * 0.5


def sinhm(a: Any) -> Variable:
    """The hyperbolic sine of a square matrix.

    >>> tg.linalg.sinhm([[0.0]])
    Variable([[0.]])
    """
    a = _matrix("sinhm", a)
    return (_linalg.expm(a) - _linalg.expm(-a)) * 0.5


def tanhm(a: Any) -> Variable:
    """The hyperbolic tangent of a square matrix.

    >>> tg.linalg.tanhm([[0.0]])
    Variable([[0.]])
    """
    return _linalg.solve(coshm(a), sinhm(a))


def signm(a: Any) -> Variable:
    """The sign of a square matrix without eigenvalues on the imaginary axis: A (A²)^(-1/2).

    >>> tg.linalg.signm([[-2.0, 0.0], [0.0, 3.0]])
    Variable([[-1.,  0.],
              [ 0.,  1.]])
    """
    a = _matrix("signm", a)
    return _linalg.solve(_linalg.sqrtm(a @ a), a)


def fractional_matrix_power(a: Any, t: float) -> Variable:
    """A to the power t, which need not be whole: the exponential of t log A.

    >>> tg.linalg.fractional_matrix_power([[4.0]], 0.5)
    Variable([[2.]])
    """
    a = _matrix("fractional_matrix_power", a)
    if not isinstance(t, Variable) and float(t).is_integer():
        return _linalg.matrix_power(a, int(t))
    return _linalg.expm(t * _linalg.logm(a))


def expm_frechet(a: Any, e: Any, method: str | None = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    """The exponential of A and its derivative along E. ``method`` and ``check_finite`` are accepted for SciPy's sake.

    >>> tg.linalg.expm_frechet([[0.0]], [[1.0]])
    (Variable([[1.]]), Variable([[1.]]))
    """
    a, e = _matrices("expm_frechet", a, e)
    if a.shape != e.shape:
        raise ShapeError(f"expm_frechet: a has shape {a.shape} and e {e.shape}, expected the same")
    n = a.shape[0]
    out = _linalg.expm(_core.concat([_core.concat([a, e], axis=1), _core.concat([_core.zeros_like(a), a], axis=1)]))
    along = out[:n, n:]
    return (out[:n, :n], along) if compute_expm else along


# ---- factorisations and subspaces ----


def polar(a: Any, side: str = "right") -> tuple[Variable, Variable]:
    """A unitary U and a positive semidefinite P, so that A = U P, or A = P U with ``side="left"``.

    >>> u, p = tg.linalg.polar([[0.0, -2.0], [2.0, 0.0]])
    >>> p
    Variable([[2., 0.],
              [0., 2.]])
    """
    if side not in ("right", "left"):
        raise ValueError(f"polar: side is {side!r}, expected 'right' or 'left'")
    a = _matrix("polar", a, False)
    w, s, vh = _linalg.svd(a.detach(), full_matrices=False)
    unitary = w @ vh
    # P is the root of AᴴA, whose derivative exists for equal singular values, too.
    square = _h(a) @ a if side == "right" else a @ _h(a)
    tall = (a.shape[0] >= a.shape[1]) == (side == "right") or a.shape[0] == a.shape[1]
    if not a.requires_grad and _core._lifted(a) is None:
        p = _h(vh) @ (s[:, None] * vh) if side == "right" else (w * s) @ _h(w)
        return unitary, p
    if not tall:
        from .linalg import LinAlgError

        raise LinAlgError(f"polar: with side={side!r} the factor of shape {square.shape} is singular and has no derivative")
    p = _linalg.sqrtm(square)
    return (a @ _linalg.inv(p) if side == "right" else _linalg.solve(p, a)), p


def rq(a: Any) -> tuple[Variable, Variable]:
    """An upper triangular R and Q with orthonormal rows, so that A = R Q, of a square or wide matrix.

    >>> r, q = tg.linalg.rq([[2.0, 0.0], [0.0, 3.0]])
    >>> bool(tg.allclose(r @ q, tg.Variable([[2.0, 0.0], [0.0, 3.0]])))
    True
    """
    a = _matrix("rq", a, False)
    if a.shape[0] > a.shape[1]:
        raise ShapeError(f"rq: expected a square or wide matrix, got shape {a.shape}")
    q, r = _linalg.qr(_core.flip(_h(a), axis=1))
    return _core.flip(_h(r), axis=(0, 1)), _core.flip(_h(q), axis=0)


def pinvh(a: Any, rtol: float | None = None) -> Variable:
    """The pseudo-inverse of a Hermitian matrix.

    >>> tg.linalg.pinvh([[2.0, 0.0], [0.0, 0.0]])
    Variable([[0.5, 0. ],
              [0. , 0. ]])
    """
    return _linalg.pinv(_matrix("pinvh", a), rtol=rtol)


def _basis(name: str, a: Any, rcond: float | None) -> tuple[Variable, Variable, Variable, int]:
    a = _matrix(name, a, False)
    u, s, vh = _linalg.svd(a, full_matrices=True)
    size = s.detach().numpy()
    least = finfo(s.dtype).eps * max(a.shape) if rcond is None else rcond
    return u, s, vh, int((size > (size.max() if size.size else 0.0) * least).sum())


def orth(a: Any, rcond: float | None = None) -> Variable:
    """An orthonormal basis of the range of A, in columns.

    >>> tg.linalg.orth([[3.0, 0.0], [0.0, 0.0]]).shape
    (2, 1)
    """
    u, _, _, rank = _basis("orth", a, rcond)
    return u[:, :rank]


def null_space(a: Any, rcond: float | None = None) -> Variable:
    """An orthonormal basis of the null space of A, in columns.

    >>> tg.linalg.null_space([[1.0, 0.0]]).shape
    (2, 1)
    """
    _, _, vh, rank = _basis("null_space", a, rcond)
    return _h(vh[rank:])


def subspace_angles(a: Any, b: Any) -> Variable:
    """The angles between the ranges of two matrices, largest first.

    >>> tg.linalg.subspace_angles([[1.0], [0.0]], [[0.0], [1.0]])
    Variable([1.5707964])
    """
    qa, qb = (_linalg.qr(x)[0] for x in _matrices("subspace_angles", a, b, square=False))
    overlap = _h(qa) @ qb
    cosine = _linalg.svdvals(overlap)
    rest = qb - qa @ overlap if qa.shape[1] >= qb.shape[1] else qa - qb @ _h(overlap)
    sine = _core.flip(_linalg.svdvals(rest))[: cosine.shape[0]]
    near = _core.arcsin(_core.clip(sine, -1.0, 1.0))
    far = _core.arccos(_core.clip(cosine, -1.0, 1.0))
    return _core.flip(_core.where(cosine * cosine >= 0.5, near, far))


def orthogonal_procrustes(a: Any, b: Any) -> tuple[Variable, Variable]:
    """The orthogonal matrix R for which ‖A R - B‖ is least, and the sum of the singular values of AᴴB.

    >>> r, scale = tg.linalg.orthogonal_procrustes([[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [-2.0, 0.0]])
    >>> scale
    Variable(5.)
    """
    a, b = _matrices("orthogonal_procrustes", a, b, square=False)
    if a.shape != b.shape:
        raise ShapeError(f"orthogonal_procrustes: shapes {a.shape} and {b.shape} differ")
    cross = _h(a) @ b
    return polar(cross)[0], _core.sum(_linalg.svdvals(cross))


def eigh_tridiagonal(d: Any, e: Any, eigvals_only: bool = False) -> Any:
    """Eigenvalues, smallest first, and eigenvectors of the symmetric matrix with diagonal ``d`` and off-diagonal ``e``.

    >>> tg.linalg.eigh_tridiagonal([2.0, 3.0], [0.0], eigvals_only=True)
    Variable([2., 3.])
    """
    d, e = inexacts(d, e)
    a = _from_diagonals({0: d, 1: e, -1: e}, d.shape[0])
    return _linalg.eigvalsh(a) if eigvals_only else tuple(_linalg.eigh(a))


def issymmetric(a: Any, atol: float | None = None, rtol: float | None = None) -> bool:
    """Whether a matrix is its own transpose, within tolerances when some are given.

    >>> tg.linalg.issymmetric([[1.0, 2.0], [2.0, 1.0]])
    True
    """
    a = _matrix("issymmetric", a).detach()
    if atol is None and rtol is None:
        return bool(_core.all(a == a.mT))
    return bool(_core.allclose(a, a.mT, rtol=rtol or 0.0, atol=atol or 0.0))


def ishermitian(a: Any, atol: float | None = None, rtol: float | None = None) -> bool:
    """Whether a matrix is its own conjugate transpose, within tolerances when some are given.

    >>> tg.linalg.ishermitian(tg.Variable([[1.0 + 0j, 2j], [-2j, 1.0]]))
    True
    """
    a = _matrix("ishermitian", a).detach()
    if atol is None and rtol is None:
        return bool(_core.all(a == _h(a)))
    return bool(_core.allclose(a, _h(a), rtol=rtol or 0.0, atol=atol or 0.0))


# ---- special matrices ----


def circulant(c: Any) -> Variable:
    """The circulant matrix with the first column ``c``.

    >>> tg.linalg.circulant([1.0, 2.0])
    Variable([[1., 2.],
              [2., 1.]])
    """
    import numpy as np

    c = inexact(c)
    n = c.shape[-1]
    return _core.take(c, (np.arange(n)[:, None] - np.arange(n)) % max(n, 1), axis=-1)


def hankel(c: Any, r: Any = None) -> Variable:
    """The matrix with constant anti-diagonals, first column ``c`` and last row ``r`` (zeros).

    >>> tg.linalg.hankel([1.0, 2.0])
    Variable([[1., 2.],
              [2., 0.]])
    """
    import numpy as np

    c, *given = (_core.reshape(x, (-1,)) for x in (inexacts(c) if r is None else inexacts(c, r)))
    r = given[0] if given else _core.zeros_like(c)
    values = _core.concat([c, r[1:]])
    return _core.take(values, np.arange(c.shape[0])[:, None] + np.arange(r.shape[0]))


def companion(a: Any) -> Variable:
    """The companion matrix of a polynomial, the highest power first.

    >>> tg.linalg.companion([1.0, -3.0, 2.0])
    Variable([[ 3., -2.],
              [ 1.,  0.]])
    """
    a = inexact(a)
    if a.ndim != 1 or a.shape[0] < 2:
        raise ShapeError(f"companion: expected a vector of at least two coefficients, got shape {a.shape}")
    n = a.shape[0] - 1
    return _core.concat([_core.reshape(-a[1:] / a[0], (1, n)), _core.eye(n - 1, n, dtype=a.dtype)])


def convolution_matrix(a: Any, n: int, mode: str = "full") -> Variable:
    """The matrix whose product with a vector of ``n`` elements is its convolution with ``a``.

    >>> tg.linalg.convolution_matrix([1.0, 2.0], 2)
    Variable([[1., 0.],
              [2., 1.],
              [0., 2.]])
    """
    import numpy as np

    a = inexact(a)
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"convolution_matrix: mode is {mode!r}, expected 'full', 'same' or 'valid'")
    m = a.shape[0]
    place = np.arange(n + m - 1)[:, None] - np.arange(n)
    inside = (place >= 0) & (place < m)
    whole = _core.where(inside, _core.take(a, np.clip(place, 0, m - 1)), _core.zeros((), dtype=a.dtype))
    short, long = min(m, n), max(m, n)
    if mode == "same":
        start = (short - 1) // 2
        return whole[start : start + long]
    return whole if mode == "full" else whole[short - 1 : long]


def leslie(f: Any, s: Any) -> Variable:
    """The Leslie matrix of fecundities ``f`` and survival rates ``s``.

    >>> tg.linalg.leslie([0.0, 2.0], [0.5])
    Variable([[0. , 2. ],
              [0.5, 0. ]])
    """
    f, s = inexacts(f, s)
    if f.ndim != 1 or s.shape != (f.shape[0] - 1,):
        raise ShapeError(f"leslie: f has shape {f.shape} and s {s.shape}, expected a vector and one of one element less")
    n = f.shape[0]
    return _core.concat([_core.reshape(f, (1, n)), _core.diag(s, 0) @ _core.eye(n - 1, n, dtype=s.dtype)])


def khatri_rao(a: Any, b: Any) -> Variable:
    """The Kronecker products of the columns of two matrices.

    >>> tg.linalg.khatri_rao([[1.0], [2.0]], [[3.0], [4.0]]).reshape(-1)
    Variable([3., 4., 6., 8.])
    """
    a, b = _matrices("khatri_rao", a, b, square=False)
    if a.shape[1] != b.shape[1]:
        raise ShapeError(f"khatri_rao: {a.shape[1]} and {b.shape[1]} columns, expected as many")
    return _core.reshape(a[:, None, :] * b[None, :, :], (a.shape[0] * b.shape[0], a.shape[1]))


def dft(n: int, scale: str | None = None) -> Variable:
    """The matrix of the discrete Fourier transform of ``n`` points; ``scale`` is None, "sqrtn" or "n".

    >>> tg.linalg.dft(1)
    Variable([[1.+0.j]], dtype=complex128)
    """
    import numpy as np

    if scale not in (None, "sqrtn", "n"):
        raise ValueError(f"dft: scale is {scale!r}, expected None, 'sqrtn' or 'n'")
    out = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / max(n, 1))
    return _core.asarray(out / {None: 1.0, "sqrtn": np.sqrt(n), "n": n}[scale])
