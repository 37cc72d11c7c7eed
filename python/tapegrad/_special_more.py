"""Special functions under SciPy's names that are composed of others."""

from __future__ import annotations

from math import pi
from operator import index
from typing import Any

from . import _core, _special
from ._core import Variable

__all__ = [
    "agm",
    "binom",
    "boxcox",
    "boxcox1p",
    "cbrt",
    "comb",
    "cosdg",
    "ellipe",
    "ellipk",
    "ellipkm1",
    "eval_chebyt",
    "eval_chebyu",
    "eval_hermite",
    "eval_hermitenorm",
    "eval_laguerre",
    "eval_legendre",
    "exp2",
    "exp10",
    "expm1",
    "expn",
    "exprel",
    "factorial",
    "gammasgn",
    "huber",
    "inv_boxcox",
    "inv_boxcox1p",
    "log1p",
    "loggamma",
    "perm",
    "poch",
    "pseudo_huber",
    "sindg",
    "spherical_jn",
]

cbrt, exp2, expm1, log1p = _core.cbrt, _core.exp2, _core.expm1, _core.log1p


def _floating(*values: Any) -> list[Variable]:
    """Arrays of one floating dtype; numbers take that of the arrays."""
    if any(v is None for v in values):
        raise TypeError("an argument is None, expected a number or an array")
    arrays = [v for v in values if not isinstance(v, (bool, int, float))]
    found = _core._together(*arrays)
    like = [v.dtype for v in found if v.dtype.is_floating_point or v.dtype.is_complex]
    dtype = _core.result_type(*like) if like else _core.get_default_dtype()
    return [v.astype(dtype) if isinstance(v, Variable) else _core.asarray(v, dtype=dtype) for v in values]


def _whole(what: str, n: Any, least: int) -> int:
    """A whole number that no gradient flows to; ``what`` names it in the message."""
    try:
        found = int(n) if isinstance(n, float) and n.is_integer() else index(n)
    except TypeError:
        found = least - 1
    if found < least:
        raise ValueError(f"{what} is {n!r}, expected a whole number from {least} on")
    return found


def gammasgn(x: Any) -> Variable:
    """The sign of the gamma function; 0 at its poles.

    >>> tg.special.gammasgn(tg.Variable([0.5, -0.5]))
    Variable([ 1., -1.])
    """
    (x,) = _floating(x)
    v = x.detach()
    negative = v < 0.0
    sign = _core.where(_core.remainder(_core.floor(v), 2.0) == 0.0, 1.0, -1.0)
    at_pole = negative & (_core.floor(v) == v)
    return _core.where(at_pole, 0.0, _core.where(negative, sign, _core.ones_like(v)))


def loggamma(x: Any) -> Variable:
    """The logarithm of the gamma function for real numbers: NaN where gamma is negative. See gammaln for that of its size.

    >>> tg.special.loggamma(4.0).round(4)
    Variable(1.7918)
    """
    (x,) = _floating(x)
    return _core.where(x.detach() < 0.0, float("nan"), _special.gammaln(x))


def factorial(n: Any, exact: bool = False) -> Variable:
    """n!, by the gamma function; 0 for negative numbers. ``exact`` is not available.

    >>> tg.special.factorial(5.0)
    Variable(120.)
    """
    if exact:
        raise ValueError("factorial: exact=True is not available for arrays of tapegrad; use math.factorial")
    (n,) = _floating(n)
    negative = n.detach() < 0.0
    value = _special.gamma(_core.where(negative, 1.0, n) + 1.0)
    # Of whole numbers it is whole.
    whole = (n.detach() == _core.floor(n.detach())) & (value.detach() < 1e15)
    return _core.where(negative, 0.0, value + _core.where(whole, _core.rint(value.detach()) - value.detach(), 0.0))


def binom(n: Any, k: Any) -> Variable:
    """The binomial coefficient of real numbers, by the beta function.

    >>> tg.special.binom(5.0, 2.0).round(4)
    Variable(10.)
    """
    n, k = _floating(n, k)
    log = _special.gammaln(n + 1.0) - _special.gammaln(k + 1.0) - _special.gammaln(n - k + 1.0)
    sign = gammasgn(n + 1.0) * gammasgn(k + 1.0) * gammasgn(n - k + 1.0)
    value = sign * _core.exp(log)
    exact = (n.detach() == _core.floor(n.detach())) & (k.detach() == _core.floor(k.detach())) & (value.detach() < 1e15)
    return value + _core.where(exact, _core.rint(value.detach()) - value.detach(), 0.0)


def comb(N: Any, k: Any, exact: bool = False, repetition: bool = False) -> Variable:
    """In how many ways k of N things are chosen, with ``repetition`` if wished. ``exact`` is not available.

    >>> tg.special.comb(5.0, 2.0).round(4)
    Variable(10.)
    """
    if exact:
        raise ValueError("comb: exact=True is not available for arrays of tapegrad; use math.comb")
    n, k = _floating(N, k)
    if repetition:
        return comb(n + k - 1.0, k)
    outside = (k.detach() > n.detach()) | (n.detach() < 0) | (k.detach() < 0)
    return _core.where(outside, 0.0, binom(_core.where(outside, 1.0, n), _core.where(outside, 0.0, k)))


def perm(N: Any, k: Any, exact: bool = False) -> Variable:
    """In how many ways k of N things are put in order. ``exact`` is not available.

    >>> tg.special.perm(5.0, 2.0).round(4)
    Variable(20.)
    """
    if exact:
        raise ValueError("perm: exact=True is not available for arrays of tapegrad; use math.perm")
    n, k = _floating(N, k)
    outside = (k.detach() > n.detach()) | (n.detach() < 0) | (k.detach() < 0)
    n, k = _core.where(outside, 1.0, n), _core.where(outside, 0.0, k)
    return _core.where(outside, 0.0, poch(n - k + 1.0, k))


def poch(z: Any, m: Any) -> Variable:
    """The rising factorial Γ(z + m)/Γ(z).

    >>> tg.special.poch(3.0, 2.0).round(4)
    Variable(12.)
    """
    z, m = _floating(z, m)
    return gammasgn(z + m) * gammasgn(z) * _core.exp(_special.gammaln(z + m) - _special.gammaln(z))


def boxcox(x: Any, lmbda: Any) -> Variable:
    """The transformation of Box and Cox: (x^λ - 1)/λ, and log x for λ = 0.

    >>> tg.special.boxcox(4.0, 0.5)
    Variable(2.)
    """
    x, lam = _floating(x, lmbda)
    return _expm1_over(_core.log(x), lam)


def boxcox1p(x: Any, lmbda: Any) -> Variable:
    """:func:`boxcox` of 1 + x.

    >>> tg.special.boxcox1p(3.0, 0.5)
    Variable(2.)
    """
    x, lam = _floating(x, lmbda)
    return _expm1_over(_core.log1p(x), lam)


def _expm1_over(log: Variable, lam: Variable) -> Variable:
    """(e^(λ log) - 1)/λ = log · exprel(λ log)."""
    return log * exprel(lam * log)


def inv_boxcox(y: Any, lmbda: Any) -> Variable:
    """The inverse of :func:`boxcox`.

    >>> tg.special.inv_boxcox(2.0, 0.5)
    Variable(4.)
    """
    y, lam = _floating(y, lmbda)
    flat = lam.detach() == 0.0
    safe = _core.where(flat, 1.0, lam)
    return _core.where(flat, _core.exp(y), _core.exp(_core.log1p(safe * y) / safe))


def inv_boxcox1p(y: Any, lmbda: Any) -> Variable:
    """The inverse of :func:`boxcox1p`.

    >>> tg.special.inv_boxcox1p(2.0, 0.5).round(5)
    Variable(3.)
    """
    y, lam = _floating(y, lmbda)
    flat = lam.detach() == 0.0
    safe = _core.where(flat, 1.0, lam)
    return _core.where(flat, _core.expm1(y), _core.expm1(_core.log1p(safe * y) / safe))


def exprel(x: Any) -> Variable:
    """(e^x - 1)/x, and 1 at 0.

    >>> tg.special.exprel(tg.Variable([0.0, 1.0])).round(4)
    Variable([1.    , 1.7183])
    """
    (x,) = _floating(x)
    # Near 0 the series, which has the derivatives of all orders that anyone takes.
    small = _core.abs(x.detach()) < 1e-2
    near, far = _core.where(small, x, 0.0), _core.where(small, 1.0, x)
    series: Any = 1.0
    for k in range(9, 1, -1):
        series = 1.0 + near / k * series
    return _core.where(small, series, _core.expm1(far) / far)


def huber(delta: Any, r: Any) -> Variable:
    """Huber's loss: r²/2 up to delta, and linear beyond; inf for a negative delta.

    >>> tg.special.huber(1.0, tg.Variable([0.5, 2.0]))
    Variable([0.125, 1.5  ])
    """
    delta, r = _floating(delta, r)
    size = _core.abs(r)
    value = _core.where(size.detach() <= delta.detach(), 0.5 * r * r, delta * (size - 0.5 * delta))
    return _core.where(delta.detach() < 0, float("inf"), value)


def pseudo_huber(delta: Any, r: Any) -> Variable:
    """A smooth loss like Huber's: delta² (√(1 + (r/delta)²) - 1); inf for a negative delta.

    >>> tg.special.pseudo_huber(1.0, tg.Variable([0.0, 2.0])).round(4)
    Variable([0.    , 1.2361])
    """
    delta, r = _floating(delta, r)
    nothing = (delta.detach() == 0.0) | (r.detach() == 0.0) & (delta.detach() == 0.0)
    safe = _core.where(nothing, 1.0, delta)
    square = (r / safe) ** 2
    value = safe * safe * square / (_core.sqrt(1.0 + square) + 1.0)
    value = _core.where(nothing, 0.0, value)
    return _core.where(delta.detach() < 0, float("inf"), value)


def exp10(x: Any) -> Variable:
    """10^x.

    >>> tg.special.exp10(2.0).round(4)
    Variable(100.)
    """
    (x,) = _floating(x)
    return _core.power(10.0, x)


def sindg(x: Any) -> Variable:
    """The sine of degrees.

    >>> tg.special.sindg(90.0)
    Variable(1.)
    """
    (x,) = _floating(x)
    return _core.sin(_core.remainder(x, 360.0) * (pi / 180.0))


def cosdg(x: Any) -> Variable:
    """The cosine of degrees.

    >>> tg.special.cosdg(0.0)
    Variable(1.)
    """
    (x,) = _floating(x)
    return _core.cos(_core.remainder(x, 360.0) * (pi / 180.0))


def agm(a: Any, b: Any) -> Variable:
    """The arithmetic-geometric mean of positive numbers.

    >>> tg.special.agm(1.0, 4.0).round(4)
    Variable(2.243)
    """
    a, b = _floating(a, b)
    for _ in range(8):
        a, b = (a + b) * 0.5, _core.sqrt(a * b)
    return a  # type: ignore[no-any-return]


def ellipkm1(p: Any) -> Variable:
    """The complete elliptic integral of the first kind at m = 1 - p.

    >>> tg.special.ellipkm1(1.0).round(4)
    Variable(1.5708)
    """
    (p,) = _floating(p)
    inside = p.detach() > 0.0
    root = _core.sqrt(_core.where(inside, p, 1.0))
    value = (pi / 2) / agm(_core.ones_like(root), root)
    edge = _core.where(p.detach() == 0.0, float("inf"), float("nan"))
    return _core.where(inside, value, edge)


def ellipk(m: Any) -> Variable:
    """The complete elliptic integral of the first kind with the parameter m = k².

    >>> tg.special.ellipk(0.0).round(4)
    Variable(1.5708)
    """
    (m,) = _floating(m)
    return ellipkm1(1.0 - m)


def ellipe(m: Any) -> Variable:
    """The complete elliptic integral of the second kind with the parameter m = k², by the arithmetic-geometric mean.

    Source: Abramowitz & Stegun, 17.6.

    >>> tg.special.ellipe(0.0).round(4)
    Variable(1.5708)
    """
    (m,) = _floating(m)
    inside = m.detach() < 1.0
    x = _core.where(inside, m, 0.0)
    a, b = _core.ones_like(x), _core.sqrt(1.0 - x)
    total, weight = 0.5 * x, 0.5
    for _ in range(8):
        a, b, c = (a + b) * 0.5, _core.sqrt(a * b), (a - b) * 0.5
        weight *= 2.0
        total = total + weight * c * c
    value = (pi / 2) / a * (1.0 - total)
    return _core.where(inside, value, _core.where(m.detach() == 1.0, 1.0, float("nan")))


def expn(n: int, x: Any) -> Variable:
    """The exponential integral E_n for whole n from 0 on and x ≥ 0: by recursion from E_1 for small x, else a continued fraction.

    >>> tg.special.expn(2, 1.0).round(4)
    Variable(0.1485)
    """
    (x,) = _floating(x)
    n = _whole("expn: n", n, 0)
    if n == 0:
        return _core.exp(-x) / x  # type: ignore[no-any-return]
    small = x.detach() < 2.0
    near, far = _core.where(small, x, 1.0), _core.where(small, 2.0, x)
    value = _special.exp1(near)
    decay = _core.exp(-near)
    for k in range(1, n):
        # x E₁ is 0 at 0.
        part = _core.where(near.detach() == 0.0, 0.0, near * _core.where(near.detach() == 0.0, 1.0, value))
        value = (decay - part) / k
    tail: Any = far + n + 2.0 * 60
    for k in range(60, 0, -1):
        tail = far + n + 2.0 * (k - 1) - k * (n + k - 1.0) / tail
    return _core.where(small, value, _core.exp(-far) / tail)


def _recursion(n: int, x: Any, first: Any, step: Any) -> Variable:
    """A family of polynomials by its recursion of three terms: ``step(k, x, p_k, p_{k-1})`` is p_{k+1}."""
    n = _whole("special: the degree", n, 0)
    (x,) = _floating(x)
    before, value = _core.ones_like(x), first(x)
    if n == 0:
        return before
    for k in range(1, n):
        before, value = value, step(k, x, value, before)
    return value  # type: ignore[no-any-return]


def eval_legendre(n: int, x: Any) -> Variable:
    """Legendre's polynomial of degree n at x.

    >>> tg.special.eval_legendre(2, 0.5)
    Variable(-0.125)
    """
    return _recursion(n, x, lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1))


def eval_chebyt(n: int, x: Any) -> Variable:
    """Chebyshev's polynomial of the first kind of degree n at x.

    >>> tg.special.eval_chebyt(2, 0.5)
    Variable(-0.5)
    """
    return _recursion(n, x, lambda x: x, lambda k, x, p, q: 2.0 * x * p - q)


def eval_chebyu(n: int, x: Any) -> Variable:
    """Chebyshev's polynomial of the second kind of degree n at x.

    >>> tg.special.eval_chebyu(1, 0.5)
    Variable(1.)
    """
    return _recursion(n, x, lambda x: 2.0 * x, lambda k, x, p, q: 2.0 * x * p - q)


def eval_hermite(n: int, x: Any) -> Variable:
    """The physicist's Hermite polynomial of degree n at x.

    >>> tg.special.eval_hermite(2, 1.0)
    Variable(2.)
    """
    return _recursion(n, x, lambda x: 2.0 * x, lambda k, x, p, q: 2.0 * (x * p - k * q))


def eval_hermitenorm(n: int, x: Any) -> Variable:
    """The probabilist's Hermite polynomial of degree n at x.

    >>> tg.special.eval_hermitenorm(2, 2.0)
    Variable(3.)
    """
    return _recursion(n, x, lambda x: x, lambda k, x, p, q: x * p - k * q)


def eval_laguerre(n: int, x: Any) -> Variable:
    """Laguerre's polynomial of degree n at x.

    >>> tg.special.eval_laguerre(1, 0.25)
    Variable(0.75)
    """
    return _recursion(n, x, lambda x: 1.0 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1))


def spherical_jn(n: int, z: Any, derivative: bool = False) -> Variable:
    """The spherical Bessel function of the first kind of whole order n, or its derivative, for real z.

    Near 0 it is the power series, beyond the recursion from sin z/z; between, Miller's backward recursion.

    >>> tg.special.spherical_jn(0, 0.0)
    Variable(1.)
    """
    n = _whole("spherical_jn: n", n, 0)
    (z,) = _floating(z)
    if derivative:
        if n == 0:
            return -spherical_jn(1, z)
        safe = _core.where(z.detach() == 0.0, 1.0, z)
        value = spherical_jn(n - 1, z) - (n + 1) / safe * spherical_jn(n, z)
        return _core.where(z.detach() == 0.0, (1.0 / 3.0) if n == 1 else 0.0, value)
    size = _core.abs(z.detach())
    small, large = size < 0.5, size > n + 1.0
    others = _core.where(large, _forward_jn(n, z, large), _backward_jn(n, z, small | large))
    return _core.where(small, _series_jn(n, _core.where(small, z, 0.0)), others)


def _series_jn(n: int, z: Variable) -> Variable:
    factor: Any = 1.0
    for k in range(1, n + 1):
        factor = factor * z / (2 * k + 1)
    half, total, term = -0.5 * z * z, _core.ones_like(z), _core.ones_like(z)
    for k in range(1, 9):
        term = term * half / (k * (2 * n + 2 * k + 1))
        total = total + term
    return factor * total  # type: ignore[no-any-return]


def _forward_jn(n: int, z: Variable, chosen: Variable) -> Variable:
    z = _core.where(chosen, z, 1.0)
    before, value = _core.sin(z) / z, _core.sin(z) / (z * z) - _core.cos(z) / z
    if n == 0:
        return before
    for k in range(1, n):
        before, value = value, (2 * k + 1) / z * value - before
    return value


def _backward_jn(n: int, z: Variable, others: Variable) -> Variable:
    """From zero at a high order down, scaled by sin z/z and its derivative."""
    z = _core.where(others, 1.0, z)
    above, value, wanted = _core.zeros_like(z), _core.full_like(z, 1e-30), _core.zeros_like(z)
    for k in range(n + 30, 0, -1):
        above, value = value, (2 * k + 1) / z * value - above
        if k - 1 == n:
            wanted = value
    # value is j₀ and above j₁ but for a factor; of both the larger one tells it.
    j0 = _core.sin(z) / z
    j1 = _core.sin(z) / (z * z) - _core.cos(z) / z
    by_first = _core.abs(j0.detach()) >= _core.abs(j1.detach())
    scale = _core.where(by_first, j0, j1) / _core.where(by_first, value, above)
    return wanted * scale
