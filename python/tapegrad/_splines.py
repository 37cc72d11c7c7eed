"""Values between the elements of an array, as in ``scipy.ndimage``, and movements of images made of them.

The value at a place is Σ c_i β(place - i) with the centred B-spline β of an order from 0 to 5. For orders above 1 the
coefficients c are those with which the spline takes the values of the array at its elements (P. Thévenaz, T. Blu, M. Unser:
Interpolation revisited, 2000).
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import ShapeError, Variable
from ._dtypes import inexact

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How the coefficients go on beyond each border.
_BEYOND = {
    "reflect": "reflect",
    "grid-mirror": "reflect",
    "nearest": "reflect",
    "mirror": "mirror",
    "wrap": "mirror",
    "constant": "mirror",
    "grid-constant": "mirror",
    "grid-wrap": "grid-wrap",
}
#: With these borders SciPy continues the array by so many elements before it computes coefficients.
_PADDED = {"nearest": "edge", "grid-constant": "constant"}
_PAD = 12
#: Along longer axes the coefficients come from a filter, not from a matrix.
_DENSE = 256
#: The filter reads so many elements on each side.
_REACH = 60


def _checked(name: str, order: int, mode: str, output: Any) -> None:
    if output is not None:
        raise TypeError(f"{name}: output= is not available: a new array is returned")
    if order not in range(6):
        raise ValueError(f"{name}: order is {order}, expected a whole number from 0 to 5")
    if mode not in _BEYOND:
        raise ValueError(f"{name}: mode is {mode!r}, expected one of {', '.join(_BEYOND)}")


def _basis(share: Any, order: int, j: int) -> Any:
    """β of the distance to the element ``j - order // 2`` after the nearest one at or (for even orders) around a place.

    ``share`` is the place minus that nearest element, so each β is one polynomial, and its derivatives are exact:
    β(t) = Σ_k (-1)^k C(n+1, k) (s - k)^n / n! with s = (n + 1) / 2 - |t|, over the k below s.
    """
    t = share + (order // 2 - j)
    right = j <= order // 2
    s = (order + 1) / 2 - t if right else (order + 1) / 2 + t
    terms = (j if right else order - j) + 1
    out: Any = 0.0
    for k in range(terms):
        out = out + (-1) ** k * comb(order + 1, k) / factorial(order) * (s - k) ** order
    return out


def _mirrored(index: Any, n: int, beyond: str) -> Any:
    """Indices inside of an axis of ``n``, of NumPy or of Variables."""
    if beyond == "grid-wrap":
        return index % n
    if beyond == "reflect":
        rest = index % (2 * n)
        return (
            np.where(rest >= n, 2 * n - 1 - rest, rest)
            if isinstance(rest, np.ndarray)
            else _core.where(rest >= n, 2 * n - 1 - rest, rest)
        )
    period = max(2 * (n - 1), 1)
    rest = index % period
    return (
        np.where(rest >= n, period - rest, rest) if isinstance(rest, np.ndarray) else _core.where(rest >= n, period - rest, rest)
    )


@lru_cache(maxsize=32)
def _coefficient_matrix(n: int, order: int, beyond: str) -> np.ndarray:
    """The matrix that makes coefficients from the values along an axis of ``n``."""
    values = np.zeros((n, n))
    rows = np.arange(n)
    for j in range(order + 1):
        np.add.at(values, (rows, _mirrored(rows + j - order // 2, n, beyond)), _basis(0.0, order, j))
    return np.linalg.inv(values)


def _along(x: Variable, axis: int, order: int, beyond: str) -> Variable:
    n = x.shape[axis]
    if order < 2 or n < 2:
        return x
    if n > _DENSE:
        return _core.moveaxis(_along_line(_core.moveaxis(x, axis, -1), order, beyond), -1, axis)
    matrix = _core.asarray(_coefficient_matrix(n, order, beyond)).astype(x.dtype)
    return _core.moveaxis(_core.tensordot(matrix, x, axes=([1], [axis])), 0, axis)


def _along_line(x: Variable, order: int, beyond: str) -> Variable:
    """The coefficients along a long last axis: of the array continued beyond its borders, by the inverse filter of a line.

    The weights of the filter fall by more than a half from one element to the next (0.43 for order 5), so those farther than
    ``_REACH`` are below the rounding.
    """
    if x.dtype.is_complex:
        return _core.complex(_along_line(x.real, order, beyond), _along_line(x.imag, order, beyond))
    from .nn.functional import conv1d

    middle = _coefficient_matrix(4 * _REACH + 1, order, "mirror")[2 * _REACH, _REACH : 3 * _REACH + 1]
    width = [(0, 0)] * (x.ndim - 1) + [(_REACH, _REACH)]
    wide = _core.pad(x, width, mode={"reflect": "symmetric", "mirror": "reflect", "grid-wrap": "wrap"}[beyond])
    weights = _core.asarray(middle).astype(x.dtype).reshape(1, 1, -1)
    return conv1d(wide.reshape(-1, 1, wide.shape[-1]), weights).reshape(x.shape)


def spline_filter1d(input: Any, order: int = 3, axis: int = -1, output: None = None, mode: str = "mirror") -> Variable:
    """The coefficients of the spline through the values along one axis, from 0 to 5 in ``order``.

    >>> tg.ndimage.spline_filter1d(tg.Variable([0.0, 1.0, 0.0])).shape
    (3,)
    """
    _checked("spline_filter1d", order, mode, output)
    x = inexact(input)
    if not -x.ndim <= axis < x.ndim:
        raise _core.AxisError(f"spline_filter1d: axis {axis} is out of range for an array of {x.ndim} axes")
    return _along(x, axis % x.ndim, order, _BEYOND[mode])


def spline_filter(input: Any, order: int = 3, output: None = None, mode: str = "mirror") -> Variable:
    """The coefficients of the spline through all elements: :func:`spline_filter1d` along each axis.

    >>> tg.ndimage.spline_filter(tg.ones((3, 4))).shape
    (3, 4)
    """
    _checked("spline_filter", order, mode, output)
    x = inexact(input)
    for axis in range(x.ndim):
        x = _along(x, axis, order, _BEYOND[mode])
    return x


def _sampled(x: Variable, at: Sequence[Variable], order: int, mode: str, cval: Any, prefilter: bool) -> Variable:
    """The values at places of the first axes of ``x``; further axes are kept."""
    pad = 0
    if prefilter and order > 1:
        if mode in _PADDED:
            pad = _PAD
            width = [(pad, pad)] * len(at) + [(0, 0)] * (x.ndim - len(at))
            x = _core.pad(x, width, mode=_PADDED[mode], **({"constant_values": cval} if mode == "grid-constant" else {}))
        for axis in range(len(at)):
            x = _along(x, axis, order, _BEYOND[mode])
    corners: list[tuple[list[Variable], Any, Any]] = [([], 1.0, True)]
    for place, n in zip(at, x.shape, strict=False):
        new = _neighbours(place + pad if pad else place, n, order, mode)
        corners = [([*i, a], w * b, f & c) for i, w, f in corners for a, b, c in new]
    beside = (..., *[None] * (x.ndim - len(at)))
    out: Any = 0.0
    for index, weight, inside in corners:
        out = out + weight[beside] * _core.where(inside[beside], x[tuple(index)], cval)
    return out  # type: ignore[no-any-return]


def _neighbours(at: Variable, n: int, order: int, mode: str) -> list[tuple[Variable, Variable, Variable]]:
    """The elements around each place along an axis of ``n``: their indices, weights, and whether they are inside."""
    place = _folded(at, n, mode)
    nearest = _core.floor(place.detach() + (0.0 if order % 2 else 0.5))
    share = place - nearest
    new = []
    for j in range(order + 1):
        index = (nearest + (j - order // 2)).astype(_core.int64)
        inside = _core.ones_like(index, dtype=_core.bool)
        if mode == "grid-constant":
            inside = (index >= 0) & (index < n)
        if mode == "constant":
            inside = (at.detach() >= 0) & (at.detach() <= n - 1)
        index = _core.clip(index, 0, n - 1) if mode in ("nearest", "grid-constant") else _mirrored(index, n, _BEYOND[mode])
        new.append((index, _basis(share, order, j), inside))
    return new


def _folded(place: Variable, n: int, mode: str) -> Variable:
    """Places inside of the array, as the border says."""
    if mode == "nearest":
        # Farther away there is nothing but the last coefficient.
        return _core.clip(place, -_PAD, n + _PAD)
    if mode == "mirror":
        period = max(2 * (n - 1), 1)
        rest = _core.remainder(place, period)
        return _core.where(rest.detach() > n - 1, period - rest, rest) if n > 1 else 0.0 * place
    if mode in ("reflect", "grid-mirror"):
        rest = _core.remainder(place + 0.5, 2 * n)
        return _core.where(rest.detach() > n, 2 * n - rest, rest) - 0.5
    if mode == "wrap":
        # SciPy's period of "wrap" is one less than the size.
        return _core.where((place.detach() < 0) | (place.detach() > n - 1), _core.remainder(place, max(n - 1, 1)), place)
    return _core.remainder(place, n) if mode == "grid-wrap" else place


def map_coordinates(
    input: Any,
    coordinates: Any,
    output: None = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Variable:
    """The array at places between its elements: ``coordinates`` has a row for each axis, and the result the shape of a row.

    ``order`` is that of the spline, from 0 (the nearest element) over 1 (linear) and 3 (cubic) to 5. It goes through the
    elements; with ``prefilter=False`` they are its coefficients. ``mode`` says how the array goes on beyond its borders:
    "constant" (by ``cval``, at once), "grid-constant", "nearest", "mirror", "reflect", "wrap", "grid-mirror" or "grid-wrap".

    It is differentiable by the array and, for orders from 1 on, by the places: for order 1 at an element, from its right side.
    The coefficients are exact; with "reflect" SciPy's are off by up to 1e-4 for orders 4 and 5.

    >>> tg.ndimage.map_coordinates(tg.Variable([0.0, 2.0, 4.0]), [[0.5, 1.25]], order=1)
    Variable([1. , 2.5])
    """
    _checked("map_coordinates", order, mode, output)
    x = inexact(input)
    if isinstance(coordinates, (list, tuple)) and any(isinstance(c, Variable) for c in coordinates):
        coordinates = _core.stack([inexact(c) for c in coordinates])
    at = inexact(coordinates) if isinstance(coordinates, Variable) else _core.asarray(coordinates, dtype=x.dtype.to_real())
    if at.ndim == 0 or at.shape[0] != x.ndim:
        raise ShapeError(
            f"map_coordinates: coordinates of shape {at.shape} for an array of {x.ndim} axes, expected a row for each"
        )
    return _sampled(x, [at[axis] for axis in range(x.ndim)], order, mode, cval, prefilter)


def _numbers(name: str, what: str, given: Any, count: int, x: Variable) -> list[Any]:
    """A number for each axis, from one for all or one for each."""
    value = inexact(given) if isinstance(given, Variable) else _core.asarray(given, dtype=x.dtype.to_real())
    if value.ndim == 0:
        return [value] * count
    if value.shape != (count,):
        raise ShapeError(f"{name}: {what} of shape {value.shape} for {count} axes, expected a number or one for each")
    return [value[axis] for axis in range(count)]


def _range(n: int, axis: int, count: int, x: Variable) -> Variable:
    """0 to n - 1 along one of ``count`` axes."""
    return _core.reshape(_core.arange(n, dtype=x.dtype.to_real()), [-1 if k == axis else 1 for k in range(count)])


def affine_transform(
    input: Any,
    matrix: Any,
    offset: Any = 0.0,
    output_shape: Sequence[int] | None = None,
    output: None = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Variable:
    """The array after an affine map: the element o of the result is the value at the place ``matrix @ o + offset``.

    For n axes the matrix has the shape (n, n); (n,) for a diagonal; or (n, n + 1) or (n + 1, n + 1) with the offset as the last
    column, as homogeneous coordinates have; another ``offset`` is a ValueError then. ``output_shape`` is that of the input unless
    given. ``order``, ``mode``, ``cval`` and ``prefilter`` are those of :func:`map_coordinates`. It is differentiable by the
    array, the matrix and the offset.

    >>> tg.ndimage.affine_transform(tg.Variable([0.0, 1.0, 4.0, 9.0]), [[2.0]], output_shape=(2,), order=1)
    Variable([0., 4.])
    """
    _checked("affine_transform", order, mode, output)
    x = inexact(input)
    n = x.ndim
    a = inexact(matrix) if isinstance(matrix, Variable) else _core.asarray(matrix, dtype=x.dtype.to_real())
    shape = x.shape if output_shape is None else tuple(output_shape)
    if len(shape) != n:
        raise ShapeError(f"affine_transform: output_shape {shape} for an array of {n} axes, expected as many")
    if a.ndim == 2 and a.shape in ((n, n + 1), (n + 1, n + 1)) and n:
        last = [0.0] * n + [1.0]
        if a.shape[0] > n and not np.allclose(a[n].detach().numpy(), last):
            raise ValueError(f"affine_transform: the last row of the matrix is {a[n].tolist()}, expected {last}")
        if not isinstance(offset, (int, float)) or offset:
            raise ValueError(
                f"affine_transform: offset is {offset}, but the last column of a matrix of shape {a.shape} is the offset"
            )
        a, shifts = a[:n, :n], [a[k, n] for k in range(n)]
    elif a.shape in ((n,), (n, n)):
        shifts = _numbers("affine_transform", "offset", offset, n, x)
    else:
        raise ShapeError(
            f"affine_transform: a matrix of shape {a.shape} for an array of {n} axes, expected ({n},), ({n}, {n}), "
            f"({n}, {n + 1}) or ({n + 1}, {n + 1})"
        )
    ranges = [_range(size, axis, n, x) for axis, size in enumerate(shape)]
    if a.ndim == 1:
        at = [a[k] * ranges[k] + shifts[k] for k in range(n)]
    else:
        at = [sum((a[k, j] * ranges[j] for j in range(n)), start=shifts[k]) for k in range(n)]
    return _sampled(x, [_core.broadcast_to(place, shape) for place in at], order, mode, cval, prefilter)


def shift(
    input: Any,
    shift: Any,
    output: None = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Variable:
    """The array moved by ``shift``, a number for all axes or one for each. It is differentiable by the array and the shift.

    ``order``, ``mode``, ``cval`` and ``prefilter`` are those of :func:`map_coordinates`.

    >>> tg.ndimage.shift(tg.Variable([1.0, 2.0, 4.0]), 0.5, order=1, mode="nearest")
    Variable([1. , 1.5, 3. ])
    """
    _checked("shift", order, mode, output)
    x = inexact(input)
    shifts = _numbers("shift", "shift", shift, x.ndim, x)
    at = [_core.broadcast_to(_range(n, axis, x.ndim, x) - shifts[axis], x.shape) for axis, n in enumerate(x.shape)]
    return _sampled(x, at, order, mode, cval, prefilter)


def zoom(
    input: Any,
    zoom: Any,
    output: None = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
    *,
    grid_mode: bool = False,
) -> Variable:
    """The array with its axes stretched by ``zoom``, a number for all or one for each: n elements become ``round(n * zoom)``.

    The first and the last elements stay first and last. With ``grid_mode`` elements have a width of one, and the borders of the
    first and the last stay in place. ``order``, ``mode``, ``cval`` and ``prefilter`` are those of :func:`map_coordinates`. It is
    differentiable by the array; the factors only choose a shape, so tracked ones raise GradError.

    >>> tg.ndimage.zoom(tg.Variable([0.0, 2.0]), 1.5, order=1)
    Variable([0., 1., 2.])
    """
    _checked("zoom", order, mode, output)
    x = inexact(input)
    factors = np.asarray(zoom, dtype=float)
    if factors.shape not in ((), (x.ndim,)) or not np.all(factors >= 0):
        raise ValueError(f"zoom: zoom is {zoom}, expected a positive number or one for each of {x.ndim} axes")
    shape = tuple(round(n * float(z)) for n, z in zip(x.shape, np.broadcast_to(factors, (x.ndim,)), strict=True))
    at = []
    for axis, (n, m) in enumerate(zip(x.shape, shape, strict=True)):
        place = _range(m, axis, x.ndim, x)
        if grid_mode:
            place = (place + 0.5) * (n / max(m, 1)) - 0.5
        elif m > 1:
            place = place * ((n - 1) / (m - 1))
        at.append(_core.broadcast_to(place, shape))
    return _sampled(x, at, order, mode, cval, prefilter)


def rotate(
    input: Any,
    angle: Any,
    axes: Sequence[int] = (1, 0),
    reshape: bool = True,
    output: None = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Variable:
    """The array rotated by ``angle`` degrees in the plane of two axes, around its middle.

    With ``reshape`` the result is so large that all of the array is in it. ``order``, ``mode``, ``cval`` and ``prefilter`` are
    those of :func:`map_coordinates`. It is differentiable by the array and the angle; the shape is constant.

    >>> tg.ndimage.rotate(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), 90.0, order=1)
    Variable([[2., 4.],
              [1., 3.]])
    """
    from .special import cosdg, sindg

    _checked("rotate", order, mode, output)
    x = inexact(input)
    if len(axes) != 2 or not all(-x.ndim <= axis < x.ndim for axis in axes) or axes[0] % x.ndim == axes[1] % x.ndim:
        raise ValueError(f"rotate: axes is {tuple(axes)}, expected two different axes of an array of {x.ndim}")
    first, second = sorted(axis % x.ndim for axis in axes)
    plane = _core.moveaxis(x, (first, second), (0, 1))
    (rows, columns), turn = plane.shape[:2], _core.asarray(angle, dtype=x.dtype.to_real())
    c, s = cosdg(turn), sindg(turn)
    shape = (rows, columns)
    if reshape:
        cos, sin = float(c.detach()), float(s.detach())
        corners = np.array([[cos, sin], [-sin, cos]]) @ np.array([[0, 0, rows, rows], [0, columns, 0, columns]])
        shape = tuple((np.ptp(corners, axis=1) + 0.5).astype(int).tolist())
    y = _range(shape[0], 0, 2, x) - (shape[0] - 1) / 2
    z = _range(shape[1], 1, 2, x) - (shape[1] - 1) / 2
    at = [c * y + s * z + (rows - 1) / 2, c * z - s * y + (columns - 1) / 2]
    return _core.moveaxis(_sampled(plane, at, order, mode, cval, prefilter), (0, 1), (first, second))
