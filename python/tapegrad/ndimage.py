"""Filters and movements of images under SciPy's names: ``scipy.ndimage`` for Variables of any number of axes.

>>> tg.ndimage.uniform_filter1d(tg.Variable([0.0, 3.0, 0.0]), 3)
Variable([1., 1., 1.])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import ShapeError, Variable
from ._dtypes import inexact
from ._habits import axis_of
from ._splines import affine_transform, map_coordinates, rotate, shift, spline_filter, spline_filter1d, zoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "affine_transform",
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "laplace",
    "map_coordinates",
    "maximum_filter",
    "median_filter",
    "minimum_filter",
    "prewitt",
    "rotate",
    "shift",
    "sobel",
    "spline_filter",
    "spline_filter1d",
    "uniform_filter",
    "uniform_filter1d",
    "zoom",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


#: SciPy's names of borders, and those of pad.
_BORDERS = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "grid-wrap": "wrap",
    "constant": "constant",
    "grid-constant": "constant",
}


def _padded(name: str, x: Variable, width: Sequence[tuple[int, int]], mode: str, cval: float) -> Variable:
    if mode not in _BORDERS:
        raise ValueError(f"{name}: mode is {mode!r}, expected one of {', '.join(_BORDERS)}")
    options = {"constant_values": cval} if _BORDERS[mode] == "constant" else {}
    return _core.pad(x, list(width), mode=_BORDERS[mode], **options)


def _span(name: str, size: int, origin: int) -> tuple[int, int]:
    """How far a window reaches before and behind its place."""
    before = size // 2 + origin
    if not 0 <= before < max(size, 1):
        raise ValueError(f"{name}: origin {origin} is outside of a window of {size}")
    return before, size - 1 - before


def _windows(name: str, x: Variable, size: int, axis: int, mode: str, cval: float, origin: int) -> Variable:
    """The windows along an axis, their elements in a new last axis."""
    axis = axis_of(name, axis, x.ndim)
    width = [(0, 0)] * x.ndim
    width[axis] = _span(name, size, origin)
    wide = _padded(name, x, width, mode, cval)
    place = np.arange(x.shape[axis])[:, None] + np.arange(size)
    return _core.moveaxis(_core.take(wide, place, axis=axis), axis + 1, -1)


def _weights(name: str, weights: Any, like: Variable, ndim: int) -> Variable:
    v = weights if isinstance(weights, Variable) else _core.asarray(weights, dtype=like.dtype)
    if v.ndim != ndim or v.size == 0:
        raise ShapeError(f"{name}: weights of shape {v.shape}, expected {ndim} axes")
    return v


def correlate1d(
    input: Any, weights: Any, axis: int = -1, output: None = None, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Variable:
    """The correlation with a vector along an axis. ``output`` is not available.

    >>> tg.ndimage.correlate1d(tg.Variable([1.0, 2.0, 3.0]), [0.0, 0.0, 1.0])
    Variable([2., 3., 3.])
    """
    x = inexact(input)
    _no_output("correlate1d", output)
    w = _weights("correlate1d", weights, x, 1)
    return _windows("correlate1d", x, w.shape[0], axis, mode, cval, origin) @ w


def _no_output(name: str, output: Any) -> None:
    if output is not None:
        raise TypeError(f"{name}: output= is not available; use the result")


def convolve1d(
    input: Any, weights: Any, axis: int = -1, output: None = None, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Variable:
    """The convolution with a vector along an axis.

    >>> tg.ndimage.convolve1d(tg.Variable([1.0, 2.0, 3.0]), [1.0, 0.0, 0.0])
    Variable([2., 3., 3.])
    """
    w = _core.flip(_weights("convolve1d", weights, inexact(input), 1))
    return correlate1d(input, w, axis, output, mode, cval, -origin - (w.shape[0] % 2 == 0))


def correlate(
    input: Any, weights: Any, output: None = None, mode: str = "reflect", cval: float = 0.0, origin: int | Sequence[int] = 0
) -> Variable:
    """The correlation with an array of as many axes.

    >>> tg.ndimage.correlate(tg.ones((2, 2)), tg.ones((3, 3)), mode="constant")
    Variable([[4., 4.],
              [4., 4.]])
    """
    _no_output("correlate", output)
    x = inexact(input)
    w = _weights("correlate", weights, x, x.ndim)
    origins = [origin] * x.ndim if isinstance(origin, int) else list(origin)
    wide = _padded("correlate", x, [_span("correlate", n, o) for n, o in zip(w.shape, origins, strict=True)], mode, cval)
    from .signal import correlate as of_signals

    return of_signals(wide, _core.conj(w) if w.dtype.is_complex else w, "valid")


def convolve(
    input: Any, weights: Any, output: None = None, mode: str = "reflect", cval: float = 0.0, origin: int | Sequence[int] = 0
) -> Variable:
    """The convolution with an array of as many axes.

    >>> tg.ndimage.convolve(tg.ones((2, 2)), tg.ones((3, 3)), mode="constant")
    Variable([[4., 4.],
              [4., 4.]])
    """
    x = inexact(input)
    w = _weights("convolve", weights, x, x.ndim)
    origins = [origin] * x.ndim if isinstance(origin, int) else list(origin)
    turned = [-o - (n % 2 == 0) for n, o in zip(w.shape, origins, strict=True)]
    return correlate(x, _core.flip(w), output, mode, cval, turned)


def _gaussian(sigma: float, order: int, radius: int) -> np.ndarray:
    """The derivative of a normal density, at whole numbers: the polynomial before it by recursion."""
    x = np.arange(-radius, radius + 1)
    density = np.exp(-0.5 / (sigma * sigma) * x**2)
    density = density / density.sum()
    polynomial = np.polynomial.Polynomial([1.0])
    for _ in range(order):
        polynomial = polynomial.deriv() - polynomial * np.polynomial.Polynomial([0.0, 1.0 / sigma**2])
    return np.asarray(polynomial(x) * density)


def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: None = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Variable:
    """The correlation with a normal density of width ``sigma``, or its derivative of an order, along an axis.

    ``sigma`` is a number; to differentiate by it, correlate with weights made of it.

    >>> tg.ndimage.gaussian_filter1d(tg.ones(3), 1.0).round(3)
    Variable([1., 1., 1.])
    """
    if not 0.0 < float(sigma) < np.inf:
        raise ValueError(f"gaussian_filter1d: sigma is {sigma}, expected a finite number above 0")
    reach = int(truncate * float(sigma) + 0.5) if radius is None else radius
    weights = _gaussian(float(sigma), order, reach)[::-1].copy()
    return correlate1d(input, weights, axis, output, mode, cval)


def _each(value: Any, count: int) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * count
    if len(values) != count:
        raise ValueError(f"ndimage: {len(values)} values for {count} axes, expected as many")
    return values


def _axes(x: Variable, axes: Any) -> list[int]:
    chosen = range(x.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    found = [axis_of("ndimage", a, x.ndim) for a in chosen]
    if len(set(found)) < len(found):
        raise ValueError(f"ndimage: an axis of {axes} is named twice")
    return found


def gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: None = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Variable:
    """:func:`gaussian_filter1d` along several axes, all by default; one ``sigma``, ``order``, ``mode`` for all or one for each.

    >>> tg.ndimage.gaussian_filter(tg.ones((2, 2)), 1.0).round(3)
    Variable([[1., 1.],
              [1., 1.]])
    """
    _no_output("gaussian_filter", output)
    x = inexact(input)
    chosen = _axes(x, axes)
    options = (_each(v, len(chosen)) for v in (sigma, order, mode, radius))
    for axis, s, o, m, r in zip(chosen, *options, strict=True):
        if s > 1e-15:
            x = gaussian_filter1d(x, s, axis, o, None, m, cval, truncate, radius=r)
    return x


def uniform_filter1d(
    input: Any, size: int, axis: int = -1, output: None = None, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Variable:
    """The mean over windows along an axis.

    >>> tg.ndimage.uniform_filter1d(tg.Variable([0.0, 3.0, 0.0]), 3)
    Variable([1., 1., 1.])
    """
    _no_output("uniform_filter1d", output)
    return _core.mean(_windows("uniform_filter1d", inexact(input), size, axis, mode, cval, origin), axis=-1)


def uniform_filter(
    input: Any, size: Any = 3, output: None = None, mode: Any = "reflect", cval: float = 0.0, origin: Any = 0, *, axes: Any = None
) -> Variable:
    """The mean over windows along several axes, all by default.

    >>> tg.ndimage.uniform_filter(tg.ones((2, 2)))
    Variable([[1., 1.],
              [1., 1.]])
    """
    _no_output("uniform_filter", output)
    x = inexact(input)
    chosen = _axes(x, axes)
    for axis, n, m, o in zip(chosen, *(_each(v, len(chosen)) for v in (size, mode, origin)), strict=True):
        x = uniform_filter1d(x, int(n), axis, None, m, cval, o)
    return x


def _ranked(name: str, choose: Callable[..., Variable], input: Any, size: Any, mode: str, cval: float, origin: Any) -> Variable:
    x = inexact(input)
    if size is None:
        raise ValueError(f"{name}: pass size=; a footprint is not available")
    sizes, origins = _each(size, x.ndim), _each(origin, x.ndim)
    out = _padded(name, x, [_span(name, n, o) for n, o in zip(sizes, origins, strict=True)], mode, cval)
    for axis, n in enumerate(sizes):
        place = np.arange(x.shape[axis])[:, None] + np.arange(n)
        out = _core.moveaxis(_core.take(out, place, axis=axis), axis + 1, -1)
    return choose(out, axis=tuple(range(x.ndim, 2 * x.ndim)))


def maximum_filter(input: Any, size: Any = None, mode: str = "reflect", cval: float = 0.0, origin: Any = 0) -> Variable:
    """The maximum over windows.

    >>> tg.ndimage.maximum_filter(tg.Variable([1.0, 5.0, 2.0, 0.0]), 3)
    Variable([5., 5., 5., 2.])
    """
    return _ranked("maximum_filter", _core.max, input, size, mode, cval, origin)


def minimum_filter(input: Any, size: Any = None, mode: str = "reflect", cval: float = 0.0, origin: Any = 0) -> Variable:
    """The minimum over windows.

    >>> tg.ndimage.minimum_filter(tg.Variable([1.0, 5.0, 2.0, 0.0]), 3)
    Variable([1., 1., 0., 0.])
    """
    return _ranked("minimum_filter", _core.min, input, size, mode, cval, origin)


def _upper_median(x: Variable, axis: tuple[int, ...]) -> Variable:
    """The element in the middle; of an even count the upper one, as in SciPy."""
    flat = _core.reshape(x, (*x.shape[: axis[0]], -1))
    return _core.sort(flat, axis=-1)[..., flat.shape[-1] // 2]


def median_filter(input: Any, size: Any = None, mode: str = "reflect", cval: float = 0.0, origin: Any = 0) -> Variable:
    """The median over windows.

    >>> tg.ndimage.median_filter(tg.Variable([1.0, 9.0, 2.0, 3.0]), 3)
    Variable([1., 2., 3., 3.])
    """
    return _ranked("median_filter", _upper_median, input, size, mode, cval, origin)


def _slope(input: Any, axis: int, mode: str, cval: float, smooth: Sequence[float]) -> Variable:
    x = correlate1d(input, [-1.0, 0.0, 1.0], axis, None, mode, cval)
    for other in range(x.ndim):
        if other != axis % x.ndim:
            x = correlate1d(x, smooth, other, None, mode, cval)
    return x


def sobel(input: Any, axis: int = -1, output: None = None, mode: str = "reflect", cval: float = 0.0) -> Variable:
    """Sobel's slopes along an axis.

    >>> tg.ndimage.sobel(tg.Variable([0.0, 1.0, 2.0]))
    Variable([1., 2., 1.])
    """
    _no_output("sobel", output)
    return _slope(input, axis, mode, cval, [1.0, 2.0, 1.0])


def prewitt(input: Any, axis: int = -1, output: None = None, mode: str = "reflect", cval: float = 0.0) -> Variable:
    """Prewitt's slopes along an axis.

    >>> tg.ndimage.prewitt(tg.Variable([0.0, 1.0, 2.0]))
    Variable([1., 2., 1.])
    """
    _no_output("prewitt", output)
    return _slope(input, axis, mode, cval, [1.0, 1.0, 1.0])


def laplace(input: Any, output: None = None, mode: str = "reflect", cval: float = 0.0) -> Variable:
    """The sum of the second differences along all axes.

    >>> tg.ndimage.laplace(tg.Variable([0.0, 1.0, 4.0]))
    Variable([ 1.,  2., -3.])
    """
    _no_output("laplace", output)
    x = inexact(input)
    parts = [correlate1d(x, [1.0, -2.0, 1.0], a, None, mode, cval) for a in range(x.ndim)]
    out = parts[0]
    for part in parts[1:]:
        out = out + part
    return out


def gaussian_laplace(
    input: Any, sigma: Any, output: None = None, mode: str = "reflect", cval: float = 0.0, **options: Any
) -> Variable:
    """The sum of the second derivatives of the smoothed array along all axes.

    >>> tg.ndimage.gaussian_laplace(tg.ones(3), 1.0).round(3) + 0.0
    Variable([0., 0., 0.])
    """
    _no_output("gaussian_laplace", output)
    x = inexact(input)
    orders = [[2 * (a == b) for b in range(x.ndim)] for a in range(x.ndim)]
    out = gaussian_filter(x, sigma, orders[0], None, mode, cval, **options)
    for order in orders[1:]:
        out = out + gaussian_filter(x, sigma, order, None, mode, cval, **options)
    return out


def gaussian_gradient_magnitude(
    input: Any, sigma: Any, output: None = None, mode: str = "reflect", cval: float = 0.0, **options: Any
) -> Variable:
    """The length of the gradient of the smoothed array.

    >>> tg.ndimage.gaussian_gradient_magnitude(tg.Variable([0.0, 1.0, 0.0]), 1.0)[1]
    Variable(0.)
    """
    _no_output("gaussian_gradient_magnitude", output)
    x = inexact(input)
    orders = [[int(a == b) for b in range(x.ndim)] for a in range(x.ndim)]
    slopes = [gaussian_filter(x, sigma, order, None, mode, cval, **options) for order in orders]
    return _core.norm(_core.stack(slopes), axis=0)
