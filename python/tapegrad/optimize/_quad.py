"""Integrals of smooth functions of one variable: adaptive Gauss-Kronrod rules, as QUADPACK's."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import Variable
from .._transforms import _check_function, vmap
from .._tree import flatten, tree_map, unflatten_results
from ..autograd import no_grad
from ._flat import as_args
from ._samples import _DiffersError, has_derivative, plain

if TYPE_CHECKING:
    from collections.abc import Callable

# The points and weights of the rule with 21 points, and the weights of the 10-point Gauss rule contained in it (QUADPACK's
# qk21).
_NODES = np.array(
    [
        0.995657163025808080735527280689003,
        0.973906528517171720077964012084452,
        0.930157491355708226001207180059508,
        0.865063366688984510732096688423493,
        0.780817726586416897063717578345042,
        0.679409568299024406234327365114874,
        0.562757134668604683339000099272694,
        0.433395394129247190799265943165784,
        0.294392862701460198131126603103866,
        0.14887433898163121088482600112972,
        0.0,
    ]
)
_KRONROD = np.array(
    [
        0.011694638867371874278064396062192,
        0.03255816230796472747881897245938969,
        0.05475589657435199603138130024458018,
        0.07503967481091995276704314091619,
        0.0931254545836976055350654650833663,
        0.109387158802297641899210590325805,
        0.123491976262065851077958109585166,
        0.134709217311473325928054001771707,
        0.142775938577060080797094273138717,
        0.147739104901338491374841515972068,
        0.149445554002916905664936468389821,
    ]
)
_GAUSS = np.array(
    [
        0.066671344308688137593568809893332,
        0.149451349150580593145863396957658,
        0.219086362515982043995534934228163,
        0.269266719309996355091226921569469,
        0.295524224714752870173815619188769,
    ]
)


def _rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on [0, 1], weights, and weights of the smaller rule at the same points."""
    gauss = np.zeros(11)
    gauss[1:10:2] = _GAUSS
    points = np.concatenate([-_NODES, _NODES[-2::-1]])
    whole = [np.concatenate([w, w[-2::-1]]) / 2 for w in (_KRONROD, gauss)]
    return (points + 1) / 2, whole[0], whole[1]


_POINTS, _WEIGHTS, _SMALL = _rule()
#: Points of Gauss's rule of order 8 on [0, 1], for the ends of a range.
_END_POINTS, _END_WEIGHTS = (np.polynomial.legendre.leggauss(4)[0] + 1) / 2, np.polynomial.legendre.leggauss(4)[1] / 2


class _Range:
    """The line from a to b as the image of [0, 1]: denser at the ends."""

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b

    def places(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points for ``u``, and the derivative by ``u``."""
        a, b = self.a, self.b
        if np.isfinite(a) and np.isfinite(b):
            # Flat at both ends, so that roots and logarithms there do not reduce the accuracy.
            return a + (b - a) * (u * u * (3 - 2 * u)), (b - a) * 6 * u * (1 - u)
        if np.isfinite(a) or np.isfinite(b):
            # From the finite end outward by (1 - u) / u for an infinite b, as in QUADPACK's qagi.
            end, sign = (a, 1.0 if b > 0 else -1.0) if np.isfinite(a) else (b, 1.0 if a > 0 else -1.0)
            way = 1.0 if np.isfinite(a) else -1.0
            return end + sign * (1 - u) / u, way * sign / u**2
        # The whole line: both halves at once would need two values of the function; x = v / (1 - v²) with v from -1 to 1.
        v = 2 * u - 1
        sign = 1.0 if b > a else -1.0
        return sign * v / (1 - v * v), sign * 2 * (1 + v * v) / (1 - v * v) ** 2


class _Integrand:
    """The function at many points at once."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], dtype: Any) -> None:
        self.f, self.args, self.dtype = f, args, dtype
        self.structure: Any = None

    def at(self, x: Variable) -> list[Variable]:
        """The values at a vector of points, which stand in front; the leaves of a container."""
        found: list[Any] = []
        self.structure = flatten(vmap(lambda v: tree_map(self._double, self.f(v, *self.args)))(x), found)
        return found

    def _double(self, y: Any) -> Any:
        """Numbers of Python and NumPy in float64."""
        return y if isinstance(y, Variable) else _core.asarray(y, dtype=self.dtype)

    def weighted(self, lows: np.ndarray, highs: np.ndarray, line: _Range) -> list[Variable]:
        """The integral over the intervals of [0, 1], recorded."""
        u = lows[:, None] + (highs - lows)[:, None] * _POINTS
        x, slope = line.places(u.ravel())
        weights = ((highs - lows)[:, None] * _WEIGHTS).ravel() * slope
        return [_core.tensordot(Variable(weights, dtype=y.dtype), y, 1) for y in self.at(Variable(x, dtype=self.dtype))]

    def estimates(self, lows: np.ndarray, highs: np.ndarray, line: _Range) -> tuple[np.ndarray, np.ndarray]:
        """For each interval its integral as a vector, and the error that QUADPACK would expect."""
        u = lows[:, None] + (highs - lows)[:, None] * _POINTS
        x, slope = line.places(u.ravel())
        with no_grad():
            parts = [_numbers(y, x.size) for y in self.at(Variable(x, dtype=self.dtype))]
        values = np.concatenate(parts, axis=1) * slope[:, None]
        values = values.reshape(len(lows), len(_POINTS), -1)
        width = (highs - lows)[:, None]
        large = width * np.einsum("p,ipk->ik", _WEIGHTS, values)
        small = width * np.einsum("p,ipk->ik", _SMALL, values)
        mean = large / width
        spread = width * np.einsum("p,ipk->ik", _WEIGHTS, np.abs(values - mean[:, None, :]))
        size = width * np.einsum("p,ipk->ik", _WEIGHTS, np.abs(values))
        error = np.abs(large - small)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where((spread > 0) & (error > 0), spread * np.minimum(1.0, (200 * error / spread) ** 1.5), error)
        return large, np.maximum(error, 50 * np.finfo(np.float64).eps * size)


def _numbers(y: Variable, count: int) -> np.ndarray:
    """The values inside all transformations, the points in front."""
    found = _core._innermost(y).numpy().astype(np.float64)
    extra = found.ndim - y.ndim
    return np.moveaxis(found, extra, 0).reshape(count, -1)


def _limit(x: Any) -> tuple[Any, float]:
    """A limit as a Variable, and as a number."""
    v = x if isinstance(x, Variable) else _core.asarray(np.asarray(x, dtype=np.float64))
    if v.ndim != 0:
        raise ValueError(f"quad: the limits must be numbers, got shape {v.shape}")
    try:
        return v, float(plain(v).item())
    except _DiffersError:
        raise ValueError("quad: the limits differ between the samples of vmap; substitute so that they are the same") from None


def _end(integrand: _Integrand, v: Variable, at: float) -> list[Variable]:
    """The integral from the value of a limit to the limit: zero, with the derivatives of the limit, by Gauss's rule."""
    own = (v - v.detach()).astype(integrand.dtype)
    x = Variable(at, dtype=integrand.dtype) + own * Variable(_END_POINTS, dtype=integrand.dtype)
    return [own.astype(y.dtype) * _core.tensordot(Variable(_END_WEIGHTS, dtype=y.dtype), y, 1) for y in integrand.at(x)]


def quad(
    func: Callable[..., Any],
    a: Any,
    b: Any,
    args: tuple[Any, ...] = (),
    *,
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
    points: Any = None,
) -> tuple[Any, float]:
    """The integral of ``func(x, *args)`` for x from ``a`` to ``b``, and an estimate of its error, as SciPy's.

    ``func`` gets a 0-d float64 array and returns a number, an array, or a container of them; it runs under ``vmap``, for many
    points at once, so it must not branch on x (use ``tg.where``). Limits may be infinite. The range is halved where the error is
    largest, until it is below ``epsabs`` or ``epsrel`` of the result; after ``limit`` intervals a RuntimeWarning says so.
    Singularities at the limits are met slowly, those inside not at all: ``points`` are places where the range is split, for kinks
    and singularities; limits are finite then.

    The result is differentiable by ``args``, by what ``func`` closes over (the rule's points are fixed), and by finite limits
    (by the values of ``func`` there), in any mode.

    >>> value, error = tg.optimize.quad(lambda x: tg.exp(-x * x), -tg.inf, tg.inf)
    >>> round(value.item(), 9), error < 1e-8  # √π
    (1.772453851, True)
    >>> round(tg.grad(lambda b: tg.optimize.quad(tg.sin, 0.0, b)[0])(2.0).item(), 6)  # sin 2
    0.909297
    """
    _check_function("quad", func)
    (low, first), (high, last) = _limit(a), _limit(b)
    if np.isnan(first) or np.isnan(last):
        raise ValueError("quad: a limit is NaN")
    if points is not None:
        return _split(func, a, b, args, (first, last), points, {"epsabs": epsabs, "epsrel": epsrel, "limit": limit})
    integrand = _Integrand(func, as_args(args), _core.float64)
    line = _Range(first, last)
    lows, highs, error = _halved(integrand, line, epsabs, epsrel, limit)
    total = integrand.weighted(lows, highs, line)
    if has_derivative(high) and np.isfinite(last):
        total = [s + e for s, e in zip(total, _end(integrand, high, last))]
    if has_derivative(low) and np.isfinite(first):
        total = [s - e for s, e in zip(total, _end(integrand, low, first))]
    return unflatten_results(integrand.structure, total), error


def _split(
    func: Any, a: Any, b: Any, args: Any, ends: tuple[float, float], points: Any, options: dict[str, Any]
) -> tuple[Any, float]:
    """The sum of the integrals between the points."""
    if not np.isfinite(ends).all():
        raise ValueError("quad: points need finite limits")
    inside = [float(p) for p in np.unique(np.asarray(points, dtype=np.float64)) if min(ends) < p < max(ends)]
    places = [a, *(inside if ends[0] <= ends[1] else reversed(inside)), b]
    options["epsabs"] /= len(places) - 1
    parts = [quad(func, p, q, args, **options) for p, q in pairwise(places)]
    leaves: list[list[Any]] = [[] for _ in parts]
    structures = [flatten(value, found) for (value, _), found in zip(parts, leaves)]
    return unflatten_results(structures[0], [sum(same) for same in zip(*leaves)]), sum(error for _, error in parts)


def nquad(func: Callable[..., Any], ranges: Any, args: tuple[Any, ...] = (), opts: Any = None) -> tuple[Any, float]:
    """The integral of ``func(x0, ..., xn, *args)`` over several variables, and an estimate of the outermost error.

    ``ranges`` has a pair of limits for each variable, the innermost first; the limits of an inner one may be a function of the
    variables outside of it and ``args``. ``opts`` is a dict of options of :func:`quad` for all of them. It is made of
    :func:`quad`, and differentiable as that is; limits that depend on variables must be finite.

    >>> round(tg.integrate.nquad(lambda x, y: x * y, [lambda y: (0.0, y), (0.0, 2.0)])[0].item(), 6)
    2.0
    """
    _check_function("nquad", func)
    if not hasattr(ranges, "__iter__"):
        raise TypeError(f"nquad: ranges must be a list with a pair of limits for each variable, not {type(ranges).__name__}")
    ranges, args, options = list(ranges), as_args(args), dict(opts or {})
    if not ranges:
        raise ValueError("nquad: ranges is empty")

    def over(level: int, outer: tuple[Any, ...]) -> tuple[Any, float]:
        """The integral over the variables up to a level; ``outer`` are those outside."""
        pair = ranges[level]
        moves = callable(pair) and bool(outer)
        low, high = pair(*outer, *args) if callable(pair) else pair

        def inner(x: Any) -> Any:
            return over(level - 1, (x, *outer))[0] if level else func(x, *outer, *args)

        if not moves:
            return quad(inner, low, high, **options)
        # The limits differ from point to point: the range is mapped to [0, 1].
        width = high - low
        return quad(lambda u: tree_map(lambda y: y * width, inner(low + u * width)), 0.0, 1.0, **options)

    return over(len(ranges) - 1, ())


def dblquad(
    func: Callable[..., Any],
    a: Any,
    b: Any,
    gfun: Any,
    hfun: Any,
    args: tuple[Any, ...] = (),
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
) -> tuple[Any, float]:
    """The integral of ``func(y, x, *args)`` for x from ``a`` to ``b`` and y from ``gfun`` to ``hfun``, numbers or functions of x.

    It is that of :func:`nquad`.

    >>> round(tg.integrate.dblquad(lambda y, x: x * y, 0.0, 2.0, 0.0, lambda x: x)[0].item(), 6)
    2.0
    """
    within = (gfun, hfun)
    if not any(map(callable, within)):
        inner: Any = within
    else:

        def inner(x: Any, *_: Any) -> tuple[Any, ...]:
            return tuple(f(x) if callable(f) else f for f in within)

    return nquad(func, [inner, (a, b)], args, {"epsabs": epsabs, "epsrel": epsrel})


def tplquad(
    func: Callable[..., Any],
    a: Any,
    b: Any,
    gfun: Any,
    hfun: Any,
    qfun: Any,
    rfun: Any,
    args: tuple[Any, ...] = (),
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
) -> tuple[Any, float]:
    """The integral of ``func(z, y, x, *args)``: x from ``a`` to ``b``, y from ``gfun`` to ``hfun``, z from ``qfun`` to ``rfun``.

    The limits of y are numbers or functions of x, those of z numbers or functions of x and y. It is that of :func:`nquad`.

    >>> round(tg.integrate.tplquad(lambda z, y, x: x * y * z, 0.0, 1.0, 0.0, 1.0, 0.0, 2.0)[0].item(), 6)
    0.5
    """

    def limits(pair: tuple[Any, Any], count: int) -> Any:
        if not any(map(callable, pair)):
            return pair
        return lambda *outer: tuple(f(*reversed(outer[:count])) if callable(f) else f for f in pair)

    ranges = [limits((qfun, rfun), 2), limits((gfun, hfun), 1), (a, b)]
    return nquad(func, ranges, args, {"epsabs": epsabs, "epsrel": epsrel})


def _halved(
    integrand: _Integrand, line: _Range, epsabs: float, epsrel: float, limit: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Intervals of [0, 1] that are fine enough, and the error over all of them."""
    lows, highs = np.zeros(1), np.ones(1)
    if line.a == line.b:
        return lows, highs, 0.0
    values, errors = integrand.estimates(lows, highs, line)
    while True:
        total, error = values.sum(axis=0), errors.sum(axis=0)
        wanted = np.maximum(epsabs, epsrel * np.abs(total))
        if not np.isfinite(error).all():
            warnings.warn("quad: the function is not finite inside of the range", RuntimeWarning, stacklevel=3)
            break
        if (error <= wanted).all():
            break
        if len(lows) >= limit:
            warnings.warn(
                f"quad: the error is {error.max():.1e} after limit = {limit} intervals; raise limit, or split the range at "
                "singularities",
                RuntimeWarning,
                stacklevel=3,
            )
            break
        # All intervals with more than their share are halved at once: the function runs for many points in one call.
        share = (errors / wanted).max(axis=1)
        split = share > 0.5 * share.max()
        keep, mid = ~split, 0.5 * (lows[split] + highs[split])
        new_lows, new_highs = np.concatenate([lows[split], mid]), np.concatenate([mid, highs[split]])
        new_values, new_errors = integrand.estimates(new_lows, new_highs, line)
        lows, highs = np.concatenate([lows[keep], new_lows]), np.concatenate([highs[keep], new_highs])
        values, errors = np.concatenate([values[keep], new_values]), np.concatenate([errors[keep], new_errors])
    return lows, highs, float(error.max(initial=0.0))
