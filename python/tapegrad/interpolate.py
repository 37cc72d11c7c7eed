"""Splines and interpolation under SciPy's names, differentiable in the data, the knots and the places.

>>> spline = tg.interpolate.CubicSpline([0.0, 1.0, 2.0, 3.0], tg.Variable([0.0, 1.0, 4.0, 9.0]))
>>> spline(1.5).round(4)
Variable(2.25)
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import ShapeError, Variable
from ._dtypes import inexact
from .linalg import solve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Akima1DInterpolator",
    "BSpline",
    "CubicHermiteSpline",
    "CubicSpline",
    "PPoly",
    "PchipInterpolator",
    "RBFInterpolator",
    "RectBivariateSpline",
    "RegularGridInterpolator",
    "interp1d",
    "interpn",
    "make_interp_spline",
    "splev",
    "splrep",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


def _in_dtype(x: Any, dtype: Any) -> Variable:
    """A Variable with a dtype of its own, if it is floating; anything else in the given dtype."""
    return inexact(x) if isinstance(x, Variable) else _core.asarray(x, dtype=dtype)


def _held(x: Variable, low: Variable, high: Variable) -> Variable:
    """``x``, moved to the nearer end where it is outside of the range."""
    return _core.where(x < low, low, _core.where(x > high, high, x))


def _in_any_sample(condition: Variable) -> bool:
    """Whether some element is true; inside vmap, of any sample."""
    return bool(_core.any(_core._innermost(condition)))


def _data(name: str, x: Any, y: Any, axis: int) -> tuple[Variable, Variable]:
    """The points, and the values with their axis in front."""
    y = _core.moveaxis(inexact(y), axis, 0)
    x = _in_dtype(x, y.dtype.to_real())
    if x.ndim != 1 or y.shape[0] != x.shape[0]:
        raise ShapeError(f"{name}: x has shape {x.shape} and y {y.shape[0]} values along the axis, expected as many points")
    if x.shape[0] < 2:
        raise ShapeError(f"{name}: {x.shape[0]} points are too few, expected at least 2")
    if _in_any_sample(~(_core.diff(x.detach()) > 0)):
        raise ValueError(f"{name}: x must increase strictly")
    return x, y


def _beside(v: Variable, y: Variable) -> Variable:
    """A vector with axes of length 1 behind, as ``y`` has them."""
    return _core.reshape(v, (v.shape[0], *(1,) * (y.ndim - 1)))


class PPoly:
    """A piecewise polynomial: ``c[k]`` are the coefficients of the powers, the highest first, of the pieces between ``x``.

    >>> tg.interpolate.PPoly([[1.0], [0.0]], [0.0, 2.0])(1.5)
    Variable(1.5)
    """

    def __init__(self, c: Any, x: Any, extrapolate: bool | str | None = None, axis: int = 0) -> None:
        self.c = inexact(c)
        self.x = _in_dtype(x, self.c.dtype.to_real())
        self.extrapolate: bool | str = True if extrapolate is None else extrapolate
        self.axis = axis
        if self.c.ndim < 2 or self.c.shape[1] != self.x.shape[0] - 1:
            raise ShapeError(f"PPoly: c has shape {self.c.shape} and x {self.x.shape}, expected a piece between each two points")

    def _places(self, x: Any) -> Variable:
        v = _in_dtype(x, self.x.dtype)
        if self.extrapolate == "periodic":
            return self.x[0] + _core.remainder(v - self.x[0], self.x[-1] - self.x[0])
        return v

    def __call__(self, x: Any, nu: int = 0, extrapolate: bool | str | None = None) -> Variable:
        """The value, or the derivative of order ``nu``, at ``x``."""
        if extrapolate is not None and extrapolate != self.extrapolate:
            return PPoly(self.c, self.x, extrapolate, self.axis)(x, nu)
        if nu > 0:
            return self.derivative(nu)(x)
        v = self._places(x)
        flat = _core.reshape(v, (-1,))
        piece = _core.clip(_core.searchsorted(self.x.detach(), flat.detach(), side="right") - 1, 0, self.c.shape[1] - 1)
        step = flat - _core.take(self.x, piece)
        step = _core.reshape(step, (step.shape[0], *(1,) * (self.c.ndim - 2)))
        out: Variable = _core.take(self.c[0], piece, axis=0)
        for k in range(1, self.c.shape[0]):
            out = out * step + _core.take(self.c[k], piece, axis=0)
        if not self.extrapolate:
            inside = (flat >= self.x[0]) & (flat <= self.x[-1])
            out = _core.where(_core.reshape(inside, step.shape), out, float("nan"))
        out = _core.reshape(out, (*v.shape, *self.c.shape[2:]))
        if not self.axis:
            return out
        own = tuple(range(v.ndim))
        return _core.moveaxis(out, own, tuple(self.axis + i for i in own)) if own else out

    def derivative(self, nu: int = 1) -> PPoly:
        """The derivative, as a piecewise polynomial."""
        c = self.c
        for _ in range(nu):
            if c.shape[0] == 1:
                c = _core.zeros_like(c)
                continue
            powers = np.arange(c.shape[0] - 1, 0, -1.0).reshape(-1, *(1,) * (c.ndim - 1))
            c = c[:-1] * _core.asarray(powers, dtype=c.dtype.to_real())
        return PPoly(c, self.x, self.extrapolate, self.axis)

    def antiderivative(self) -> PPoly:
        """The integral from the first point on, as a piecewise polynomial."""
        order = self.c.shape[0]
        powers = np.arange(order, 0, -1.0).reshape(-1, *(1,) * (self.c.ndim - 1))
        c = self.c / _core.asarray(powers, dtype=self.c.dtype.to_real())
        step = _beside(_core.diff(self.x), self.c[0])
        area = c[0] * step
        for k in range(1, order):
            area = (area + c[k]) * step
        start = _core.concat([_core.zeros_like(area[:1]), _core.cumsum(area, axis=0)[:-1]], axis=0)
        return PPoly(_core.concat([c, start[None]], axis=0), self.x, self.extrapolate, self.axis)

    def integrate(self, a: Any, b: Any) -> Variable:
        """The integral from ``a`` to ``b``; outside of the points the polynomials at the ends go on."""
        if self.extrapolate == "periodic":
            raise ValueError("integrate: a periodic spline is not integrated; integrate within its period by extrapolate=True")
        whole = self.antiderivative()
        return whole(b) - whole(a)


class CubicHermiteSpline(PPoly):
    """The cubic pieces with values ``y`` and slopes ``dydx`` at the points.

    >>> tg.interpolate.CubicHermiteSpline([0.0, 1.0], [0.0, 1.0], [0.0, 0.0])(0.5)
    Variable(0.5)
    """

    def __init__(self, x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: bool | str | None = None) -> None:
        points, values = _data(type(self).__name__, x, y, axis)
        self._build(points, values, _core.moveaxis(inexact(dydx), axis, 0), axis, extrapolate)

    def _build(self, x: Variable, y: Variable, slopes: Variable, axis: int, extrapolate: Any) -> None:
        h = _beside(_core.diff(x), y)
        m = _core.diff(y, axis=0) / h
        bend = (slopes[:-1] + slopes[1:] - 2.0 * m) / h
        PPoly.__init__(self, _core.stack([bend / h, (m - slopes[:-1]) / h - bend, slopes[:-1], y[:-1]]), x, extrapolate, axis)


class PchipInterpolator(CubicHermiteSpline):
    """Cubic pieces that are monotonic where the data are: Fritsch & Butland 1984, and SciPy's rule at the ends.

    >>> tg.interpolate.PchipInterpolator([0.0, 1.0, 2.0], [0.0, 1.0, 1.0])(1.5)
    Variable(1.)
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: bool | None = None) -> None:
        points, values = _data("PchipInterpolator", x, y, axis)
        h = _beside(_core.diff(points), values)
        m = _core.diff(values, axis=0) / h
        if values.shape[0] == 2:
            slopes = _core.concat([m, m], axis=0)
        else:
            w1, w2 = 2.0 * h[1:] + h[:-1], h[1:] + 2.0 * h[:-1]
            flat = m[1:] * m[:-1] <= 0
            before, after = _core.where(flat, 1.0, m[:-1]), _core.where(flat, 1.0, m[1:])
            inner = _core.where(flat, 0.0, (w1 + w2) / (w1 / before + w2 / after))
            first, last = _end_slope(h[0], h[1], m[0], m[1]), _end_slope(h[-1], h[-2], m[-1], m[-2])
            slopes = _core.concat([first[None], inner, last[None]], axis=0)
        self._build(points, values, slopes, axis, extrapolate)


def _end_slope(h0: Variable, h1: Variable, m0: Variable, m1: Variable) -> Variable:
    """The slope at an end of a shape-preserving interpolant, by three points."""
    d = ((2.0 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    d = _core.where(_core.sign(d) != _core.sign(m0), 0.0, d)
    return _core.where((_core.sign(m0) != _core.sign(m1)) & (_core.abs(d) > 3.0 * _core.abs(m0)), 3.0 * m0, d)


class Akima1DInterpolator(CubicHermiteSpline):
    """Cubic pieces whose slopes depend on the neighbours alone, so that they do not overshoot far: Akima 1970, or "makima".

    Outside of the points the value is NaN, unless ``extrapolate`` is true.

    >>> tg.interpolate.Akima1DInterpolator([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 4.0, 9.0])(1.5)
    Variable(2.25)
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: bool | None = None) -> None:
        if method not in ("akima", "makima"):
            raise ValueError(f"Akima1DInterpolator: method is {method!r}, expected 'akima' or 'makima'")
        points, values = _data("Akima1DInterpolator", x, y, axis)
        m = _core.diff(values, axis=0) / _beside(_core.diff(points), values)
        slopes = _core.concat([m, m], axis=0) if m.shape[0] == 1 else _akima_slopes(m, method == "makima")
        self._build(points, values, slopes, axis, bool(extrapolate))


def _akima_slopes(m: Variable, modified: bool) -> Variable:
    """The slopes at the points, from those of the pieces."""
    left, right = 2.0 * m[0] - m[1], 2.0 * m[-1] - m[-2]
    m = _core.concat([(2.0 * left - m[0])[None], left[None], m, right[None], (2.0 * right - m[-1])[None]], axis=0)
    bend = _core.abs(_core.diff(m, axis=0))
    after, before = bend[2:], bend[:-2]
    if modified:
        size = 0.5 * _core.abs(m[1:] + m[:-1])
        after, before = after + size[2:], before + size[:-2]
    total = after + before
    # Where the slopes of the pieces do not change on either side, both weights are 0: Akima takes the mean of the outer slopes.
    bent = total.detach() > 1e-9 * _core.max(total.detach())
    share = _core.where(bent, before, 0.0) / _core.where(bent, total, 1.0)
    return _core.where(bent, m[1:-2] + share * (m[2:-1] - m[1:-2]), 0.0 if modified else 0.5 * (m[3:] + m[:-3]))


class CubicSpline(CubicHermiteSpline):
    """The twice differentiable cubic spline through points.

    ``bc_type`` is "not-a-knot", "natural", "clamped", "periodic", or a pair with one of the first three, or ``(order, value)`` of
    a derivative, for each end.

    >>> tg.interpolate.CubicSpline([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], bc_type="natural")(0.5)
    Variable(0.6875)
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: bool | str | None = None) -> None:
        points, values = _data("CubicSpline", x, y, axis)
        if extrapolate is None:
            extrapolate = "periodic" if bc_type == "periodic" else True
        if bc_type == "periodic":
            slopes = _periodic_slopes(points, values)
        else:
            ends = (bc_type, bc_type) if isinstance(bc_type, str) else tuple(bc_type)
            slopes = _slopes(points, values, [_end(e) for e in ends])
        self._build(points, values, slopes, axis, extrapolate)


def _end(end: Any) -> Any:
    known = {"natural": (2, 0.0), "clamped": (1, 0.0), "not-a-knot": "not-a-knot"}
    if isinstance(end, str):
        if end not in known:
            raise ValueError(f"CubicSpline: bc_type {end!r} is none of {', '.join(known)}, periodic")
        return known[end]
    if not (isinstance(end, (tuple, list)) and len(end) == 2 and end[0] in (1, 2)):
        raise ValueError(f"CubicSpline: bc_type {end!r} must be a name, or a pair (1 or 2, value of the derivative)")
    return tuple(end)


def _banded(lower: Variable, middle: Variable, upper: Variable) -> Variable:
    return _core.diag(middle) + _core.diag(lower, -1) + _core.diag(upper, 1)


def _solved(system: Variable, right: Variable) -> Variable:
    n = right.shape[0]
    return _core.reshape(solve(system.astype(right.dtype), _core.reshape(right, (n, -1))), right.shape)


def _slopes(x: Variable, y: Variable, ends: list[Any]) -> Variable:
    """The slopes at the points of a spline: continuity of the second derivative, and a condition at each end."""
    n = x.shape[0]
    h = _core.diff(x)
    hy = _beside(h, y)
    m = _core.diff(y, axis=0) / hy
    if n == 2:
        ends = [(1, m[0]) if e == "not-a-knot" else e for e in ends]
    if n == 3 and ends == ["not-a-knot", "not-a-knot"]:
        # The parabola through three points.
        bend = (m[1] - m[0]) / (hy[0] + hy[1])
        return _core.stack([m[0] - bend * hy[0], m[0] + bend * hy[0], m[1] + bend * hy[1]])
    one, zero = _core.ones((1,), dtype=h.dtype), _core.zeros((1,), dtype=h.dtype)

    def row(end: Any, a: int, b: int, sign: float) -> tuple[Variable, Variable, Variable]:
        """Diagonal, neighbour and right side of an end; a and b number its first two pieces."""
        if end == "not-a-knot":
            d = (h[a] + h[b])[None]
            dy = hy[a] + hy[b]
            right = ((hy[a] + 2.0 * dy) * hy[b] * m[a] + hy[a] ** 2 * m[b]) / dy
            return h[b][None], d, right
        order, value = end
        value = _core.broadcast_to(_core.asarray(value, dtype=y.dtype), y.shape[1:])
        if order == 1:
            return one, zero, value
        return 2.0 * h[a][None], h[a][None], 3.0 * m[a] * hy[a] - sign * 0.5 * value * hy[a] ** 2

    # With two points the second piece is not there; then no end is a not-a-knot one.
    first, last = row(ends[0], 0, min(1, n - 2), 1.0), row(ends[1], -1, -min(2, n - 1), -1.0)
    middle = _core.concat([first[0], 2.0 * (h[:-1] + h[1:]), last[0]])
    upper, lower = _core.concat([first[1], h[:-1]]), _core.concat([h[1:], last[1]])
    inner = 3.0 * (hy[1:] * m[:-1] + hy[:-1] * m[1:])
    return _solved(_banded(lower, middle, upper), _core.concat([first[2][None], inner, last[2][None]], axis=0))


def _periodic_slopes(x: Variable, y: Variable) -> Variable:
    if _in_any_sample(~_core.isclose(y[0].detach(), y[-1].detach(), rtol=1e-15, atol=1e-15)):
        raise ValueError("CubicSpline: with bc_type='periodic' the first and the last value must be equal")
    h = _core.diff(x)
    hy = _beside(h, y)
    m = _core.diff(y, axis=0) / hy
    n = h.shape[0]
    if n < 3:
        # Of two pieces both slopes are equal.
        return _core.zeros_like(y) if n == 1 else _core.broadcast_to((m[:1] / hy[:1] + m[1:] / hy[1:]) / _ends(hy), y.shape)
    before, m_before = _core.roll(h, 1), _core.roll(m, 1, axis=0)
    system = _core.diag(2.0 * (before + h))
    shift = _core.eye(n, dtype=h.dtype)
    system = system + _core.roll(shift, 1, axis=1) * before[:, None] + _core.roll(shift, -1, axis=1) * h[:, None]
    slopes = _solved(system, 3.0 * (hy * m_before + _beside(before, y) * m))
    return _core.concat([slopes, slopes[:1]], axis=0)


def _ends(hy: Variable) -> Variable:
    return 1.0 / hy[:1] + 1.0 / hy[1:]


class BSpline:
    """The sum of B-splines of degree ``k`` over the knots ``t`` with coefficients ``c``.

    >>> tg.interpolate.BSpline([0.0, 1.0, 2.0, 3.0], [2.0, 4.0], 1)(1.5)
    Variable(3.)
    """

    def __init__(self, t: Any, c: Any, k: int, extrapolate: bool = True, axis: int = 0) -> None:
        self.c = _core.moveaxis(inexact(c), axis, 0)
        self.t = _in_dtype(t, self.c.dtype.to_real())
        if int(k) != k or k < 0:
            raise ValueError(f"BSpline: the degree is {k}, expected a whole number from 0 on")
        self.k, self.extrapolate = int(k), extrapolate
        if self.t.ndim != 1 or self.c.shape[0] < self.t.shape[0] - k - 1 or self.t.shape[0] < 2 * k + 2:
            raise ShapeError(f"BSpline: {self.t.shape[0]} knots and {self.c.shape[0]} coefficients do not fit degree {k}")

    @staticmethod
    def _basis(t: Variable, flat: Variable, k: int) -> tuple[Variable, Variable]:
        """The first of the k + 1 B-splines that are not zero at each place, and their values in rows: de Boor's recursion."""
        n = t.shape[0] - k - 1
        piece = _core.clip(_core.searchsorted(t.detach(), flat.detach(), side="right") - 1, k, n - 1)
        values = [_core.ones_like(flat)]
        for d in range(1, k + 1):
            new: list[Variable] = []
            saved: Any = 0.0
            for r in range(d):
                right = _core.take(t, piece + (r + 1))
                left = _core.take(t, piece + (r + 1 - d))
                share = values[r] / (right - left)
                new.append(saved + (right - flat) * share)
                saved = (flat - left) * share
            values = [*new, saved]
        return piece - k, _core.stack(values, axis=-1)

    @classmethod
    def design_matrix(cls, x: Any, t: Any, k: int) -> Variable:
        """The values of all B-splines at the places ``x``, a row for each: dense."""
        flat = inexact(x)
        t = _in_dtype(t, flat.dtype)
        first, values = cls._basis(t, flat, k)
        n = t.shape[0] - k - 1
        place = first[:, None] + _core.arange(k + 1)
        hits = (place[..., None] == _core.arange(n)).astype(values.dtype)
        return _core.sum(values[..., None] * hits, axis=1)

    def __call__(self, x: Any, nu: int = 0, extrapolate: bool | None = None) -> Variable:
        """The value, or the derivative of order ``nu``, at ``x``."""
        if nu > 0:
            return self.derivative()(x, nu - 1, extrapolate)
        v = _in_dtype(x, self.t.dtype)
        flat = _core.reshape(v, (-1,))
        first, values = self._basis(self.t, flat, self.k)
        rows = _core.take(self.c, first[:, None] + _core.arange(self.k + 1), axis=0)
        out = _core.sum(_core.reshape(values, (*values.shape, *(1,) * (self.c.ndim - 1))) * rows, axis=1)
        if not (self.extrapolate if extrapolate is None else extrapolate):
            n = self.t.shape[0] - self.k - 1
            inside = (flat >= self.t[self.k]) & (flat <= self.t[n])
            out = _core.where(_beside(inside, out), out, float("nan"))
        return _core.reshape(out, (*v.shape, *self.c.shape[1:]))

    def derivative(self, nu: int = 1) -> BSpline:
        """The derivative, as a B-spline of a lower degree."""
        if nu == 0:
            return self
        k, n = self.k, self.t.shape[0] - self.k - 1
        if k == 0:
            return BSpline(self.t, _core.zeros_like(self.c), 0, self.extrapolate)
        span = self.t[k + 1 : n + k] - self.t[1:n]
        rise = _core.diff(self.c[:n], axis=0)
        flat = _beside(span, rise) == 0
        c = _core.where(flat, 0.0, k * rise / _core.where(flat, 1.0, _beside(span, rise)))
        return BSpline(self.t[1:-1], c, k - 1, self.extrapolate).derivative(nu - 1)


def make_interp_spline(x: Any, y: Any, k: int = 3, t: Any = None, axis: int = 0) -> BSpline:
    """The B-spline of degree ``k`` through points, with SciPy's not-a-knot knots for odd degrees, or the knots ``t``.

    >>> tg.interpolate.make_interp_spline([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 8.0, 27.0])(1.5).round(3)
    Variable(3.375)
    """
    points, values = _data("make_interp_spline", x, y, axis)
    if t is None:
        if k % 2 == 0:
            raise ValueError(f"make_interp_spline: k is {k}, expected an odd degree, or the knots t")
        half = (k - 1) // 2
        inner = points[half + 1 : points.shape[0] - half - 1]
        t = _core.concat([_core.broadcast_to(points[:1], (k + 1,)), inner, _core.broadcast_to(points[-1:], (k + 1,))])
    c = _solved(BSpline.design_matrix(points, t, k), values)
    return BSpline(t, c, k)


def splrep(x: Any, y: Any, *, k: int = 3, s: float | None = None) -> tuple[Variable, Variable, int]:
    """The knots, the coefficients and the degree of the B-spline through points, for :func:`splev`; nothing is smoothed.

    >>> tg.interpolate.splev(1.5, tg.interpolate.splrep([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 8.0, 27.0])).round(3)
    Variable(3.375)
    """
    if s:
        raise ValueError(f"splrep: s is {s!r}, expected 0 or None: smoothing splines are not available")
    spline = make_interp_spline(x, y, k)
    return spline.t, spline.c, k


def splev(x: Any, tck: Any, der: int = 0, ext: int = 0) -> Variable:
    """The value of a B-spline, or its derivative of order ``der``.

    Outside of the knots it is continued, or 0 with ``ext=1``, an error with 2, the value at the end with 3.

    >>> tg.interpolate.splev([0.5, 9.0], ([0.0, 0.0, 1.0, 1.0], [0.0, 2.0], 1), ext=1)
    Variable([1., 0.])
    """
    if isinstance(tck, BSpline):
        tck = tck.t, tck.c, tck.k
    t, c, k = tck
    spline = BSpline(t, c, k)
    if ext not in (0, 1, 2, 3):
        raise ValueError(f"splev: ext is {ext!r}, expected 0, 1, 2 or 3")
    v = _in_dtype(x, spline.t.dtype)
    low, high = spline.t[spline.k], spline.t[spline.t.shape[0] - spline.k - 1]
    outside = (v.detach() < low.detach()) | (v.detach() > high.detach())
    if ext == 2 and _in_any_sample(outside):
        raise ValueError("splev: a place is outside of the knots")
    out = spline(_held(v, low, high) if ext == 3 else v, der)
    return _core.where(_core.reshape(outside, (*v.shape, *(1,) * (out.ndim - v.ndim))), 0.0, out) if ext == 1 else out


class interp1d:
    """Interpolation of values at increasing points, as SciPy's class: "linear", "nearest", "previous", "next", "zero" or "cubic".

    >>> tg.interpolate.interp1d([0.0, 1.0], [0.0, 2.0])(0.25)
    Variable(0.5)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        kind: str = "linear",
        axis: int = -1,
        copy: bool = True,
        bounds_error: bool | None = None,
        fill_value: Any = float("nan"),
        assume_sorted: bool = False,
    ) -> None:
        if kind not in ("linear", "nearest", "previous", "next", "zero", "cubic"):
            raise ValueError(f"interp1d: kind is {kind!r}, expected 'linear', 'nearest', 'previous', 'next', 'zero' or 'cubic'")
        y = inexact(y)
        if not assume_sorted:
            order = _core.argsort(_core.asarray(x).detach())
            x, y = _core.take(_core.asarray(x), order), _core.take(y, order, axis=axis)
        self.x, self._y = _data("interp1d", x, y, axis)
        self.kind, self._at = kind, axis % y.ndim
        self._outside = fill_value
        self._raises = fill_value != "extrapolate" if isinstance(fill_value, str) else bounds_error is True
        if bounds_error is None and isinstance(fill_value, float) and np.isnan(fill_value):
            self._raises = True
        self._spline = CubicSpline(self.x, self._y) if kind == "cubic" else None

    def _value(self, flat: Variable) -> Variable:
        if self._spline is not None:
            return self._spline(flat)
        n = self.x.shape[0]
        x = self.x.detach()
        if self.kind == "linear":
            piece = _core.clip(_core.searchsorted(x, flat.detach()) - 1, 0, n - 2)
            low, high = _core.take(self.x, piece), _core.take(self.x, piece + 1)
            share = _beside((flat - low) / (high - low), self._y)
            a, b = _core.take(self._y, piece, axis=0), _core.take(self._y, piece + 1, axis=0)
            return a + (b - a) * share
        if self.kind == "nearest":
            place = _core.searchsorted((x[1:] + x[:-1]) * 0.5, flat.detach(), side="left")
        elif self.kind == "next":
            place = _core.searchsorted(x, flat.detach(), side="left")
        else:
            place = _core.searchsorted(x, flat.detach(), side="right") - 1
        return _core.take(self._y, _core.clip(place, 0, n - 1), axis=0)

    def __call__(self, x: Any) -> Variable:
        """The values at ``x``, whose axes stand where the axis of the points stood."""
        v = _in_dtype(x, self.x.dtype)
        flat = _core.reshape(v, (-1,))
        out = self._value(flat)
        below, above = flat.detach() < self.x.detach()[0], flat.detach() > self.x.detach()[-1]
        if self._raises and _in_any_sample(below | above):
            raise ValueError("interp1d: a place is outside of the points; pass fill_value='extrapolate' or a number")
        if not isinstance(self._outside, str):
            left, right = self._outside if isinstance(self._outside, tuple) else (self._outside, self._outside)
            out = _core.where(_beside(below, out), left, _core.where(_beside(above, out), right, out))
        elif self.kind in ("previous", "next"):
            # There is no point before the first, nor behind the last.
            out = _core.where(_beside(below if self.kind == "previous" else above, out), float("nan"), out)
        out = _core.reshape(out, (*v.shape, *self._y.shape[1:]))
        own = tuple(range(v.ndim))
        return _core.moveaxis(out, own, tuple(self._at + i for i in own)) if own and self._at else out


class RegularGridInterpolator:
    """Interpolation of values on a rectangular grid, "linear" or "nearest".

    >>> f = tg.interpolate.RegularGridInterpolator(([0.0, 1.0], [0.0, 1.0]), [[0.0, 1.0], [2.0, 3.0]])
    >>> f([[0.5, 0.5]])
    Variable([1.5])
    """

    def __init__(
        self,
        points: Sequence[Any],
        values: Any,
        method: str = "linear",
        bounds_error: bool = True,
        fill_value: float | None = float("nan"),
    ) -> None:
        if method not in ("linear", "nearest"):
            raise ValueError(f"RegularGridInterpolator: method is {method!r}, expected 'linear' or 'nearest'")
        self.values = inexact(values)
        self.grid = [_data("RegularGridInterpolator", p, _core.zeros((len(p),), dtype=self.values.dtype), 0)[0] for p in points]
        sizes = tuple(g.shape[0] for g in self.grid)
        if sizes != self.values.shape[: len(sizes)]:
            raise ShapeError(f"RegularGridInterpolator: the grid has shape {sizes} and the values {self.values.shape}")
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value

    def __call__(self, xi: Any) -> Variable:
        """The values at places whose coordinates are in the last axis, or in a tuple of arrays."""
        if isinstance(xi, tuple):
            xi = _core.stack(list(_core.broadcast_arrays(*map(inexact, xi))), axis=-1)
        xi = _in_dtype(xi, self.values.dtype.to_real())
        if xi.shape[-1:] != (len(self.grid),):
            raise ShapeError(f"RegularGridInterpolator: places of shape {xi.shape}, expected {len(self.grid)} coordinates")
        flat = _core.reshape(xi, (-1, len(self.grid)))
        outside = _core.zeros((flat.shape[0],), dtype=_core.bool)
        corners: list[tuple[list[Any], Any]] = [([], None)]
        for i, grid in enumerate(self.grid):
            x = flat[:, i]
            outside = outside | (x.detach() < grid.detach()[0]) | (x.detach() > grid.detach()[-1])
            piece = _core.clip(_core.searchsorted(grid.detach(), x.detach(), side="right") - 1, 0, grid.shape[0] - 2)
            low, high = _core.take(grid, piece), _core.take(grid, piece + 1)
            share = (x - low) / (high - low)
            if self.method == "nearest":
                corners = [([*at, piece + (share.detach() > 0.5).astype(piece.dtype)], None) for at, _ in corners]
                continue
            corners = [
                ([*at, piece + k], part if weight is None else weight * part)
                for at, weight in corners
                for k, part in ((0, 1.0 - share), (1, share))
            ]
        if self.bounds_error and _in_any_sample(outside):
            raise ValueError("RegularGridInterpolator: a place is outside of the grid; pass bounds_error=False")
        out: Any = 0.0
        for at, weight in corners:
            value = self.values[tuple(at)]
            out = out + (value if weight is None else value * _beside(weight, value))
        if self.fill_value is not None:
            out = _core.where(_beside(outside, out), self.fill_value, out)
        return _core.reshape(out, (*xi.shape[:-1], *self.values.shape[len(self.grid) :]))


def interpn(
    points: Sequence[Any],
    values: Any,
    xi: Any,
    method: str = "linear",
    bounds_error: bool = True,
    fill_value: float | None = float("nan"),
) -> Variable:
    """Values on a rectangular grid at places between: those of :class:`RegularGridInterpolator`.

    >>> tg.interpolate.interpn(([0.0, 1.0], [0.0, 1.0]), [[0.0, 1.0], [2.0, 3.0]], [[0.5, 0.5]])
    Variable([1.5])
    """
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)


class RectBivariateSpline:
    """The tensor product of B-splines through values ``z`` on a grid of increasing ``x`` and ``y``; nothing is smoothed.

    >>> x = [0.0, 1.0, 2.0, 3.0]
    >>> f = tg.interpolate.RectBivariateSpline(x, x, [[a * b * b for b in x] for a in x])
    >>> f.ev(1.5, 2.5).round(3)
    Variable(9.375)
    """

    def __init__(self, x: Any, y: Any, z: Any, kx: int = 3, ky: int = 3, s: float = 0.0) -> None:
        if s:
            raise ValueError(f"RectBivariateSpline: s is {s!r}, expected 0: smoothing splines are not available")
        along_x = make_interp_spline(x, z, kx)
        along_y = make_interp_spline(y, along_x.c, ky, axis=1)
        self.x, self.y = along_x.t, along_y.t
        self.kx, self.ky = kx, ky
        #: The coefficients, a row for each B-spline in x.
        self.c = _core.moveaxis(along_y.c, 0, 1)

    def _rows(self, t: Variable, k: int, places: Variable, nu: int) -> Variable:
        """The B-splines at places, which are moved to the ends of the knots where they are outside."""
        low, high = t[k], t[t.shape[0] - k - 1]
        v = _held(places, low, high)
        each = BSpline(t, _core.eye(t.shape[0] - k - 1, dtype=self.c.dtype), k)
        return each(v, nu)

    def ev(self, xi: Any, yi: Any, dx: int = 0, dy: int = 0) -> Variable:
        """The values, or derivatives of the orders ``dx`` and ``dy``, at places."""
        xi, yi = (_in_dtype(v, self.c.dtype) for v in (xi, yi))
        xi, yi = _core.broadcast_arrays(xi, yi)
        rows = self._rows(self.x, self.kx, _core.reshape(xi, (-1,)), dx)
        columns = self._rows(self.y, self.ky, _core.reshape(yi, (-1,)), dy)
        return _core.reshape(_core.sum((rows @ self.c) * columns, axis=-1), xi.shape)

    def __call__(self, x: Any, y: Any, dx: int = 0, dy: int = 0, grid: bool = True) -> Variable:
        """The values on the grid of two vectors; without ``grid`` those of :meth:`ev`."""
        if not grid:
            return self.ev(x, y, dx, dy)
        places = [_in_dtype(v, self.c.dtype) for v in (x, y)]
        rows, columns = (_core.reshape(v, (-1,)) for v in places)
        return self._rows(self.x, self.kx, rows, dx) @ self.c @ self._rows(self.y, self.ky, columns, dy).mT


#: Radial functions of the square of the distance, and the least degree of the polynomial beside them.
_KERNELS: dict[str, tuple[Callable[[Variable], Variable], int]] = {
    "linear": (lambda u: -_root(u), 0),
    "thin_plate_spline": (lambda u: 0.5 * u * _core.log(_core.where(u == 0, 1.0, u)), 1),
    "cubic": (lambda u: u * _root(u), 1),
    "quintic": (lambda u: -u * u * _root(u), 2),
    "multiquadric": (lambda u: -_core.sqrt(1.0 + u), 0),
    "inverse_multiquadric": (lambda u: 1.0 / _core.sqrt(1.0 + u), -1),
    "inverse_quadratic": (lambda u: 1.0 / (1.0 + u), -1),
    "gaussian": (lambda u: _core.exp(-u), -1),
}


def _root(u: Variable) -> Variable:
    """The square root, with a derivative of zero at zero."""
    return _core.where(u == 0, 0.0, _core.sqrt(_core.where(u == 0, 1.0, u)))


class RBFInterpolator:
    """Interpolation of values ``d`` at scattered places ``y``, rows of coordinates, by radial functions and a polynomial.

    ``smoothing`` above zero lets the values be missed; ``kernel`` is "thin_plate_spline", "linear", "cubic", "quintic",
    "multiquadric", "inverse_multiquadric", "inverse_quadratic" or "gaussian"; the last four need ``epsilon``. The result is
    differentiable by the places of both kinds and by the values. All points take part: ``neighbors`` is not available.

    >>> f = tg.interpolate.RBFInterpolator([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 1.0, 2.0, 3.0])
    >>> f([[0.5, 0.25]]).round(4)
    Variable([1.], dtype=float64)
    """

    def __init__(
        self,
        y: Any,
        d: Any,
        neighbors: None = None,
        smoothing: Any = 0.0,
        kernel: str = "thin_plate_spline",
        epsilon: Any = None,
        degree: int | None = None,
    ) -> None:
        if neighbors is not None:
            raise ValueError("RBFInterpolator: neighbors is not available; leave it out: all points take part")
        if kernel not in _KERNELS:
            raise ValueError(f"RBFInterpolator: kernel is {kernel!r}, expected {', '.join(map(repr, _KERNELS))}")
        self._kernel, least = _KERNELS[kernel]
        if epsilon is None:
            if kernel not in ("linear", "thin_plate_spline", "cubic", "quintic"):
                raise ValueError(f"RBFInterpolator: the kernel {kernel!r} needs epsilon")
            epsilon = 1.0
        degree = max(least, 0) if degree is None else degree
        self.y, self.d, _ = _core._together(y, d, np.zeros(0))
        if self.y.ndim != 2 or self.d.shape[:1] != self.y.shape[:1]:
            raise ShapeError(f"RBFInterpolator: y has shape {self.y.shape} and d {self.d.shape}, expected rows of coordinates")
        self.epsilon = epsilon
        # Shifted and scaled coordinates keep the polynomial well conditioned; they span the same polynomials.
        low, high = _core.min(self.y.detach(), axis=0), _core.max(self.y.detach(), axis=0)
        self._shift, self._scale = 0.5 * (low + high), _core.where(high > low, 0.5 * (high - low), 1.0)
        self._powers = _powers(self.y.shape[1], degree)
        self._weights = self._fitted(smoothing)

    def _fitted(self, smoothing: Any) -> Variable:
        n, p = self.y.shape[0], self._powers.shape[0]
        if p > n:
            raise ShapeError(f"RBFInterpolator: {n} points are too few for a polynomial of {p} terms")
        values = _core.reshape(self.d, (n, -1))
        smooth = _core.asarray(smoothing, dtype=values.dtype) * _core.ones((n,), dtype=values.dtype)
        poly = self._polynomial(self.y)
        upper = _core.concat([self._radial(self.y) + _core.diag(smooth), poly], axis=1)
        lower = _core.concat([poly.mT, _core.zeros((p, p), dtype=values.dtype)], axis=1)
        right = _core.concat([values, _core.zeros((p, values.shape[1]), dtype=values.dtype)], axis=0)
        return solve(_core.concat([upper, lower], axis=0), right)

    def _radial(self, x: Variable) -> Variable:
        apart = (x[:, None, :] - self.y[None, :, :]) * self.epsilon
        return self._kernel(_core.sum(apart * apart, axis=-1))

    def _polynomial(self, x: Variable) -> Variable:
        u = (x - self._shift) / self._scale
        columns = []
        for row in self._powers.tolist():
            column = _core.ones_like(u[:, 0])
            for j, power in enumerate(row):
                for _ in range(power):
                    column = column * u[:, j]
            columns.append(column)
        return _core.stack(columns, axis=-1) if columns else _core.zeros((x.shape[0], 0), dtype=x.dtype)

    def __call__(self, x: Any) -> Variable:
        """The values at places, which are rows of coordinates."""
        x = _in_dtype(x, self.y.dtype)
        if x.ndim != 2 or x.shape[1] != self.y.shape[1]:
            raise ShapeError(f"RBFInterpolator: places of shape {x.shape}, expected rows of {self.y.shape[1]} coordinates")
        out = _core.concat([self._radial(x), self._polynomial(x)], axis=1) @ self._weights
        return _core.reshape(out, (x.shape[0], *self.d.shape[1:]))


def _powers(count: int, degree: int) -> np.ndarray:
    """The exponents of all monomials of ``count`` variables up to a degree, in rows."""
    rows = [row for row in itertools.product(range(max(degree, -1) + 1), repeat=count) if sum(row) <= degree]
    return np.array(rows, dtype=np.int64).reshape(-1, count)
