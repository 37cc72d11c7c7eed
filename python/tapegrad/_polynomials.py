"""NumPy's functions of polynomials, whose coefficients stand from the highest power to the lowest. All record."""

from __future__ import annotations

from . import _core
from ._core import Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "roots"]


def _coefficients(name: str, *vectors: Any) -> list[Variable]:
    """Vectors, of which lists of numbers take the floating dtype of the others."""
    found: list[Variable] = [_core.atleast_1d(x) for x in _core._together(*vectors)]
    for x in found:
        if x.ndim != 1:
            raise _core.ShapeError(f"{name}: expected a vector of coefficients, got shape {x.shape}")
    return found


def _aligned(name: str, a: Any, b: Any) -> tuple[Variable, Variable]:
    """Two vectors of one length, with zeros before the shorter one."""
    a, b = _coefficients(name, a, b)
    n = max(a.size, b.size)
    return _core.pad(a, (n - a.size, 0)), _core.pad(b, (n - b.size, 0))


def polyadd(a1: Any, a2: Any) -> Variable:
    """The sum of two polynomials.

    >>> tg.polyadd([1.0, 2.0], [3.0])
    Variable([1., 5.])
    """
    return _core.add(*_aligned("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Variable:
    """The difference of two polynomials.

    >>> tg.polysub([1.0, 2.0], [3.0])
    Variable([ 1., -1.])
    """
    return _core.subtract(*_aligned("polysub", a1, a2))


def polymul(a1: Any, a2: Any) -> Variable:
    """The product of two polynomials.

    >>> tg.polymul([1.0, 1.0], [1.0, -1.0])
    Variable([ 1.,  0., -1.])
    """
    a, b = _coefficients("polymul", a1, a2)
    return _core.convolve(a, b)


def polydiv(u: Any, v: Any) -> tuple[Variable, Variable]:
    """The quotient and the remainder of two polynomials.

    >>> tg.polydiv([1.0, 0.0, -1.0], [1.0, 1.0])
    (Variable([ 1., -1.]), Variable([0.]))
    """
    rest, divisor = _coefficients("polydiv", u, v)
    rest = rest + 0.0
    steps, quotient = rest.size - divisor.size + 1, []
    for _ in range(max(steps, 0)):
        factor = rest[0] / divisor[0]
        quotient.append(factor)
        rest = _core.concat([rest[1 : divisor.size] - factor * divisor[1:], rest[divisor.size :]])
    whole = _core.stack(quotient) if quotient else _core.zeros_like(rest[:1])
    values = rest.tolist()
    zeros = next((i for i, c in enumerate(values) if abs(c) > 1e-14), max(len(values) - 1, 0))
    return whole, rest[zeros:] if values else _core.zeros_like(divisor[:1])


def polyder(p: Any, m: int = 1) -> Variable:
    """The derivative of order m of a polynomial.

    >>> tg.polyder([1.0, 2.0, 3.0])
    Variable([2., 2.])
    """
    if m < 0:
        raise ValueError(f"polyder: the order is {m}, expected 0 or more (see polyint)")
    (x,) = _coefficients("polyder", p)
    for _ in range(min(m, x.size)):
        x = x[:-1] * _core.arange(x.size - 1, 0, -1).astype(x.dtype)
    return x


def polyint(p: Any, m: int = 1, k: Any = None) -> Variable:
    """The integral of order m of a polynomial, with constants k, which are 0 when they are not given.

    >>> tg.polyint([2.0, 2.0], k=3.0)
    Variable([1., 2., 3.])
    """
    if m < 0:
        raise ValueError(f"polyint: the order is {m}, expected 0 or more (see polyder)")
    x, constants = _coefficients("polyint", p, 0.0 if k is None else k)
    x, constants = x + 0.0, _core.broadcast_to(constants, (m,))
    for i in range(m):
        x = _core.concat([x / _core.arange(x.size, 0, -1).astype(x.dtype), constants[i : i + 1].astype(x.dtype)])
    return x


def poly(seq_of_zeros: Any) -> Variable:
    """The coefficients of the polynomial with these roots, or the characteristic polynomial of a square matrix.

    >>> tg.poly([1.0, -1.0])
    Variable([ 1.,  0., -1.])
    """
    x = _core.atleast_1d(_core.asarray(seq_of_zeros))
    real = False
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        from .linalg import eigvals

        # The eigenvalues of a real matrix are conjugate pairs.
        real = not x.dtype.is_complex
        x = eigvals(x)
    (x,) = _coefficients("poly", x)
    out = _core.ones(1, dtype=x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else _core.float64)
    for root in _core.unstack(x):
        out = _core.pad(out, (0, 1)) - _core.pad(out * root, (1, 0))
    return out.real if real else out


def roots(p: Any) -> Variable:
    """The roots of a polynomial. Derivatives are those of two steps of Newton at NumPy's roots, exact to second order.

    >>> tg.sort(tg.roots(tg.Variable([1.0, 0.0, -4.0])))
    Variable([-2.,  2.])
    """
    import numpy as np

    from ._arrays import polyval

    (x,) = _coefficients("roots", p)
    x = x if x.dtype.is_floating_point or x.dtype.is_complex else x.astype(_core.float64)
    values = x.detach().numpy()
    x = x[int(np.argmax(values != 0)) :] if values.any() else x[:0]
    found: Variable = _core.asarray(np.roots(x.detach().numpy()))
    if not found.size:
        return _core.zeros(0, dtype=x.dtype)
    slopes = polyder(x)
    for _ in range(2):
        slope = polyval(slopes, found)
        flat = slope == 0  # a double root has no derivative
        step = polyval(x, found) / _core.where(flat, 1.0, slope)
        found = found - _core.where(flat, 0.0, step)
    return found


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: bool = False
) -> Variable:
    """The polynomial of a degree that is nearest to points in the sense of least squares, weighted by w squared.

    >>> tg.polyfit([0.0, 1.0, 2.0], tg.Variable([1.0, 3.0, 5.0]), 1).round(3)
    Variable([2., 1.])
    """
    if full or cov or rcond is not None:
        raise TypeError("polyfit: full=, cov= and rcond= are not available; tg.linalg.lstsq(tg.vander(x, deg + 1), y) has them")
    from .linalg import lstsq

    x, y, w = _core._together(x, y, w)
    x, y = _coefficients("polyfit", x)[0] + 0.0, y + 0.0
    if y.shape[:1] != x.shape:
        raise _core.ShapeError(f"polyfit: x has shape {x.shape} and y has {y.shape}, expected as many points")
    matrix = _core.vander(x, deg + 1)
    if w is not None:
        (w,) = _coefficients("polyfit", w)
        matrix, y = matrix * w[:, None], y * (w if y.ndim == 1 else w[:, None])
    # Columns of one length, as NumPy scales them, so that small powers count as large ones.
    scale = _core.sqrt(_core.sum(matrix.detach() * matrix.detach(), axis=0))
    found: Variable = lstsq(matrix / scale, y)[0]
    return found / (scale if found.ndim == 1 else scale[:, None])
