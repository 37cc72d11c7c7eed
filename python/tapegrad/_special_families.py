"""Families of special functions: orthogonal polynomials, Gauss rules, distribution functions, and PyTorch's names.

The polynomials follow their recursions of three terms (DLMF 18.9), the distribution functions are incomplete beta and gamma
functions (DLMF 8.17, 8.2). Degrees are whole numbers; gradients flow through all other arguments.
"""

from __future__ import annotations

from math import exp, factorial, lgamma, pi
from typing import TYPE_CHECKING, Any

from . import _core, _special
from ._named import named
from ._special_more import (
    _floating,
    _recursion,
    _whole,
    eval_chebyt,
    eval_chebyu,
    eval_hermite,
    eval_hermitenorm,
    eval_laguerre,
    eval_legendre,
    spherical_jn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import Variable


# ---- orthogonal polynomials ----


def eval_genlaguerre(n: int, alpha: Any, x: Any) -> Variable:
    """The generalized Laguerre polynomial of degree n at x.

    >>> tg.special.eval_genlaguerre(1, 2.0, 0.5)
    Variable(2.5)
    """
    alpha, x = _floating(alpha, x)
    x = x + _core.zeros_like(alpha)
    step: Callable[..., Variable] = lambda k, x, p, q: ((2 * k + 1 + alpha - x) * p - (k + alpha) * q) / (k + 1)  # noqa: E731
    return _recursion(n, x, lambda x: 1.0 + alpha - x, step)


def eval_gegenbauer(n: int, alpha: Any, x: Any) -> Variable:
    """The Gegenbauer polynomial of degree n at x.

    >>> tg.special.eval_gegenbauer(2, 1.0, 0.5)
    Variable(0.)
    """
    alpha, x = _floating(alpha, x)
    x = x + _core.zeros_like(alpha)
    step: Callable[..., Variable] = lambda k, x, p, q: (2 * (k + alpha) * x * p - (k + 2 * alpha - 1) * q) / (k + 1)  # noqa: E731
    return _recursion(n, x, lambda x: 2.0 * alpha * x, step)


def eval_jacobi(n: int, alpha: Any, beta: Any, x: Any) -> Variable:
    """The Jacobi polynomial of degree n at x.

    >>> tg.special.eval_jacobi(1, 1.0, 1.0, 0.5)
    Variable(1.)
    """
    a, b, x = _floating(alpha, beta, x)
    x = x + _core.zeros_like(a + b)

    def step(k: int, x: Variable, p: Variable, q: Variable) -> Variable:
        s = 2 * k + a + b
        first = (s + 1) * ((s + 2) * s * x + (a * a - b * b))
        return (first * p - 2 * (k + a) * (k + b) * (s + 2) * q) / (2 * (k + 1) * (k + 1 + a + b) * s)

    return _recursion(n, x, lambda x: (a + 1.0) + (a + b + 2.0) * (x - 1.0) / 2.0, step)


def eval_chebyc(n: int, x: Any) -> Variable:
    """The Chebyshev polynomial of the first kind on [-2, 2]: ``2 T_n(x / 2)``.

    >>> tg.special.eval_chebyc(2, 1.0)
    Variable(-1.)
    """
    (x,) = _floating(x)
    return 2.0 * eval_chebyt(n, x / 2.0)


def eval_chebys(n: int, x: Any) -> Variable:
    """The Chebyshev polynomial of the second kind on [-2, 2]: ``U_n(x / 2)``.

    >>> tg.special.eval_chebys(2, 1.0)
    Variable(0.)
    """
    (x,) = _floating(x)
    return eval_chebyu(n, x / 2.0)


def _on_unit(f: Callable[[int, Any], Variable]) -> Callable[[int, Any], Variable]:
    """The polynomials of [0, 1] that ``f`` has on [-1, 1]: those of ``2 x - 1``."""

    def call(n: int, x: Any) -> Variable:
        (x,) = _floating(x)
        return f(n, 2.0 * x - 1.0)

    return call


def _shifted(name: str, f: Callable[[int, Any], Variable], what: str) -> Callable[[int, Any], Variable]:
    doc = f"{what} on [0, 1]: ``p_n(2 x - 1)``.\n\n>>> tg.special.{name}(1, 1.0).item() > 0\nTrue\n"
    return named(_on_unit(f), name, doc, "tapegrad.special")


eval_sh_legendre = _shifted("eval_sh_legendre", eval_legendre, "Legendre's polynomial")
eval_sh_chebyt = _shifted("eval_sh_chebyt", eval_chebyt, "Chebyshev's polynomial of the first kind")
eval_sh_chebyu = _shifted("eval_sh_chebyu", eval_chebyu, "Chebyshev's polynomial of the second kind")


# ---- Gauss rules ----


def _rule(name: str, family: str, what: str, total: float) -> Callable[[int], tuple[Variable, Variable]]:
    def call(n: int) -> tuple[Variable, Variable]:
        import numpy as np

        n = _whole(f"{name}: the number of nodes", n, 1)
        module, rule = family.split(".")
        nodes, weights = getattr(getattr(np.polynomial, module), rule)(n)
        return _core.asarray(nodes), _core.asarray(weights)

    return named(
        call,
        name,
        f"Nodes and weights of the {what} rule of n points, in float64; it is exact for polynomials of degree 2 n - 1.\n\n"
        f">>> nodes, weights = tg.special.{name}(3)\n>>> round(weights.sum().item(), 6)\n{total}\n",
        "tapegrad.special",
    )


roots_legendre = _rule("roots_legendre", "legendre.leggauss", "Gauss-Legendre", 2.0)
roots_hermite = _rule("roots_hermite", "hermite.hermgauss", "Gauss-Hermite (weight exp(-x²))", round(pi**0.5, 6))
roots_hermitenorm = _rule(
    "roots_hermitenorm", "hermite_e.hermegauss", "Gauss-Hermite (weight exp(-x²/2))", round((2 * pi) ** 0.5, 6)
)
roots_laguerre = _rule("roots_laguerre", "laguerre.laggauss", "Gauss-Laguerre", 1.0)
roots_chebyt = _rule("roots_chebyt", "chebyshev.chebgauss", "Gauss-Chebyshev", round(pi, 6))


# ---- distribution functions ----


def chdtr(v: Any, x: Any) -> Variable:
    """The probability that a chi-squared number of v degrees of freedom is at most x.

    >>> tg.special.chdtr(2.0, 2.0)
    Variable(0.63212055)
    """
    v, x = _floating(v, x)
    return _special.gammainc(v / 2.0, x / 2.0)


def chdtrc(v: Any, x: Any) -> Variable:
    """The probability that a chi-squared number of v degrees of freedom is above x.

    >>> tg.special.chdtrc(2.0, 2.0)
    Variable(0.36787945)
    """
    v, x = _floating(v, x)
    return _special.gammaincc(v / 2.0, x / 2.0)


def gdtr(a: Any, b: Any, x: Any) -> Variable:
    """The probability that a gamma number of rate a and shape b is at most x.

    >>> tg.special.gdtr(1.0, 1.0, 1.0)
    Variable(0.63212055)
    """
    a, b, x = _floating(a, b, x)
    return _special.gammainc(b, a * x)


def gdtrc(a: Any, b: Any, x: Any) -> Variable:
    """The probability that a gamma number of rate a and shape b is above x.

    >>> tg.special.gdtrc(1.0, 1.0, 1.0)
    Variable(0.36787945)
    """
    a, b, x = _floating(a, b, x)
    return _special.gammaincc(b, a * x)


def pdtr(k: Any, m: Any) -> Variable:
    """The probability of at most k events, of which m are expected (Poisson).

    >>> tg.special.pdtr(0.0, 1.0)
    Variable(0.36787945)
    """
    k, m = _floating(k, m)
    return _special.gammaincc(_core.floor(k) + 1.0, m)


def pdtrc(k: Any, m: Any) -> Variable:
    """The probability of more than k events, of which m are expected (Poisson).

    >>> tg.special.pdtrc(0.0, 1.0)
    Variable(0.63212055)
    """
    k, m = _floating(k, m)
    return _special.gammainc(_core.floor(k) + 1.0, m)


def bdtr(k: Any, n: Any, p: Any) -> Variable:
    """The probability of at most k successes in n trials of probability p.

    >>> tg.special.bdtr(0.0, 2.0, 0.5)
    Variable(0.25)
    """
    k, n, p = _floating(k, n, p)
    return _special.betainc(n - _core.floor(k), _core.floor(k) + 1.0, 1.0 - p)


def bdtrc(k: Any, n: Any, p: Any) -> Variable:
    """The probability of more than k successes in n trials of probability p.

    >>> tg.special.bdtrc(0.0, 2.0, 0.5)
    Variable(0.75)
    """
    k, n, p = _floating(k, n, p)
    return _special.betainc(_core.floor(k) + 1.0, n - _core.floor(k), p)


def nbdtr(k: Any, n: Any, p: Any) -> Variable:
    """The probability of at most k failures before the n-th success of probability p.

    >>> tg.special.nbdtr(0.0, 2.0, 0.5)
    Variable(0.25)
    """
    k, n, p = _floating(k, n, p)
    return _special.betainc(n, _core.floor(k) + 1.0, p)


def fdtr(dfn: Any, dfd: Any, x: Any) -> Variable:
    """The probability that a number of the F distribution of these degrees of freedom is at most x.

    >>> tg.special.fdtr(2.0, 2.0, 1.0)
    Variable(0.5)
    """
    m, n, x = _floating(dfn, dfd, x)
    return _special.betainc(m / 2.0, n / 2.0, m * x / (m * x + n))


def fdtrc(dfn: Any, dfd: Any, x: Any) -> Variable:
    """The probability that a number of the F distribution of these degrees of freedom is above x.

    >>> tg.special.fdtrc(2.0, 2.0, 1.0)
    Variable(0.5)
    """
    m, n, x = _floating(dfn, dfd, x)
    return _special.betainc(n / 2.0, m / 2.0, n / (m * x + n))


def stdtr(df: Any, t: Any) -> Variable:
    """The probability that a number of Student's distribution of df degrees of freedom is at most t.

    >>> tg.special.stdtr(1.0, 1.0)
    Variable(0.75)
    """
    df, t = _floating(df, t)
    half = _core.full_like(df, 0.5)
    # The side of the smaller argument keeps its digits. At t = 0 the incomplete beta of t² has no
    # derivative by t, so the value there is t times the density.
    middle = 0.5 * _core.sign(t) * _special.betainc(half, df / 2.0, t * t / (df + t * t))
    density = _core.exp(-_special.betaln(half, df / 2.0)) / _core.sqrt(df)
    near = 0.5 + _core.where(t == 0, t * density, middle)
    tail = 0.5 * _special.betainc(df / 2.0, half, df / (df + t * t))
    return _core.where(t * t < df, near, _core.where(t > 0, 1.0 - tail, tail))


# ---- Bessel functions of whole orders ----


def _order(name: str, v: Any, x: Any) -> tuple[int, Variable, Any]:
    """The order, the argument in double precision, and the dtype of the result."""
    if isinstance(v, _core.Variable):
        raise TypeError(f"{name}: the order must be a Python number: no gradient flows to it")
    if int(v) != v:
        raise ValueError(f"{name}: the order is {v!r}, expected a whole number")
    (x,) = _floating(x)
    return int(v), x.astype(_core.float64), x.dtype


def _bessel_j(n: int, x: Variable) -> Variable:
    """J_n for n >= 2 and x >= 0: its series, Miller's recursion downwards, or the recursion upwards, where each is stable."""
    small, large = x < 2.0, x > n
    # DLMF 10.2.2.
    s = _core.where(small, x, 1.0)
    term = power = (s / 2.0) ** n / float(factorial(n))
    for k in range(1, 20):
        power = power * (s * s / -4.0) / float(k * (n + k))
        term = term + power
    # DLMF 10.6.1, and 10.12.4 for the sum.
    m = _core.where(small | large, 2.0, x)
    last = 2 * ((n + 40) // 2)
    # The recursion grows by up to last! on the way down. It begins at the root of that, so that squares do not overflow.
    start = exp(-lgamma(last + 1.0) / 2.0)
    above, here, total, found = _core.zeros_like(m), _core.full_like(m, start), _core.zeros_like(m), _core.zeros_like(m)
    for k in range(last, 0, -1):
        above, here = here, 2.0 * k / m * here - above
        found = here if k - 1 == n else found
        total = total + (2.0 * here if (k - 1) % 2 == 0 and k > 1 else 0.0)
    middle = found / (total + here)
    u = _core.where(large, x, float(n) + 1.0)
    return _core.where(small, term, _core.where(large, _upwards(n, u, _special.j0(u), _special.j1(u), -1.0), middle))


def _upwards(n: int, x: Variable, zeroth: Variable, first: Variable, sign: float) -> Variable:
    """The function of order n >= 0 from those of orders 0 and 1, as it is stable for Y and K."""
    if n == 0:
        return zeroth
    for k in range(1, n):
        zeroth, first = first, 2.0 * k / x * first + sign * zeroth
    return first


def jv(v: float, z: Any) -> Variable:
    """The Bessel function of the first kind of a whole order v. Raises ValueError for another order.

    >>> round(tg.special.jv(2, 1.0).item(), 4)
    0.1149
    """
    n, x, dtype = _order("jv", v, z)
    if abs(n) < 2:
        value = _special.j0(x) if n == 0 else _special.j1(x)
    else:
        value = _bessel_j(abs(n), _core.abs(x)) * (_core.where(x < 0, -1.0, 1.0) if n % 2 else 1.0)
    return (-value if n < 0 and n % 2 else value).astype(dtype)


def yv(v: float, z: Any) -> Variable:
    """The Bessel function of the second kind of a whole order v. Raises ValueError for another order.

    >>> round(tg.special.yv(2, 1.0).item(), 4)
    -1.6507
    """
    n, x, dtype = _order("yv", v, z)
    value = _upwards(abs(n), x, _special.y0(x), _special.y1(x), -1.0)
    return (-value if n < 0 and n % 2 else value).astype(dtype)


def kv(v: float, z: Any) -> Variable:
    """The modified Bessel function of the second kind of a whole order v. Raises ValueError for another order.

    >>> round(tg.special.kv(2, 1.0).item(), 4)
    1.6248
    """
    n, x, dtype = _order("kv", v, z)
    return _upwards(abs(n), x, _special.k0(x), _special.k1(x), 1.0).astype(dtype)


def kve(v: float, z: Any) -> Variable:
    """``exp(z) kv(v, z)``.

    >>> round(tg.special.kve(2, 1.0).item(), 4)
    4.4168
    """
    n, x, dtype = _order("kve", v, z)
    return _upwards(abs(n), x, _special.k0e(x), _special.k1e(x), 1.0).astype(dtype)


def _ratios(n: int, x: Variable) -> Variable:
    """``I_n / I_0`` as the product of ratios of neighbours, which a continued fraction gives (DLMF 10.33.1)."""
    last = n + 150
    # Amos's bounds of the ratio of orders `last` and `last - 1`.
    ratio = x / (last - 0.5 + _core.sqrt((last + 0.5) ** 2 + x * x))
    out = _core.ones_like(x)
    for k in range(last - 1, 0, -1):
        ratio = x / (2.0 * k + x * ratio)
        out = out * ratio if k <= n else out
    return out


def iv(v: float, z: Any) -> Variable:
    """The modified Bessel function of the first kind of a whole order v. Raises ValueError for another order.

    >>> round(tg.special.iv(2, 1.0).item(), 4)
    0.1357
    """
    n, x, dtype = _order("iv", v, z)
    return (_special.i0(x) * _ratios(abs(n), x)).astype(dtype)


def ive(v: float, z: Any) -> Variable:
    """``exp(-|z|) iv(v, z)``.

    >>> round(tg.special.ive(2, 1.0).item(), 4)
    0.0499
    """
    n, x, dtype = _order("ive", v, z)
    return (_special.i0e(x) * _ratios(abs(n), x)).astype(dtype)


#: SciPy's names of those of whole orders.
jn, yn, kn = jv, yv, kv


# ---- small ones ----


def rgamma(x: Any) -> Variable:
    """One over the gamma function, which is 0 at its poles.

    >>> tg.special.rgamma(tg.Variable([0.0, 3.0]))
    Variable([0. , 0.5])
    """
    (x,) = _floating(x)
    is_left = x < 0.5
    # On the left by reflection, Γ(1 - x) sin(πx) / π (DLMF 5.5.3): smooth at the poles, and the sine is exactly 0 there.
    whole = _core.round(x.detach())
    sine = _core.sin(pi * (x - whole)) * _core.where(whole % 2 == 0, 1.0, -1.0)
    # Γ of more than 160 overflows, which must not meet the zeros.
    is_far = is_left & (x < -160.0) & (x == whole)
    left = _special.gamma(_core.where(is_left & ~is_far, 1.0 - x, 1.0)) * sine / pi
    return _core.where(is_left, left, 1.0 / _special.gamma(_core.where(is_left, 1.0, x)))


def cosm1(x: Any) -> Variable:
    """``cos(x) - 1`` without its rounding near 0.

    >>> f"{tg.special.cosm1(0.002).item():.3g}"
    '-2e-06'
    """
    (x,) = _floating(x)
    half = _core.sin(x / 2.0)
    return -2.0 * half * half


def powm1(x: Any, y: Any) -> Variable:
    """``x**y - 1`` without its rounding near 1, for positive x.

    >>> tg.special.powm1(1.0, 3.0)
    Variable(0.)
    """
    x, y = _floating(x, y)
    return _core.expm1(y * _core.log(x))


def radian(d: Any, m: Any, s: Any) -> Variable:
    """An angle of degrees, minutes and seconds in radians.

    >>> tg.special.radian(180.0, 0.0, 0.0)
    Variable(3.1415927)
    """
    d, m, s = _floating(d, m, s)
    angle: Variable = (d + m / 60.0 + s / 3600.0) * (pi / 180.0)
    return angle


def diric(x: Any, n: int) -> Variable:
    """Dirichlet's kernel ``sin(n x / 2) / (n sin(x / 2))``; the limit where the sine is 0.

    >>> tg.special.diric(0.0, 3)
    Variable(1.)
    """
    n = _whole("diric: n", n, 1)
    (x,) = _floating(x)
    # A sum of cosines has no division: one of 0, 1, 2, … times x for odd n, of 1/2, 3/2, … for even n.
    waves = [k + 1.0 if n % 2 else k + 0.5 for k in range(n // 2)]
    total = _core.ones_like(x) if n % 2 else _core.zeros_like(x)
    for k in waves:
        total = total + 2.0 * _core.cos(k * x)
    return total / float(n)


# ---- PyTorch's names ----


def _torchs_name(name: str, f: Callable[..., Variable], ours: str) -> Callable[..., Variable]:
    def call(input: Any, *args: Any) -> Variable:
        return f(input, *args)

    return named(call, name, f"PyTorch's name of :func:`{ours}`.", "tapegrad.special")


bessel_j0 = _torchs_name("bessel_j0", _special.j0, "j0")
bessel_j1 = _torchs_name("bessel_j1", _special.j1, "j1")
bessel_y0 = _torchs_name("bessel_y0", _special.y0, "y0")
bessel_y1 = _torchs_name("bessel_y1", _special.y1, "y1")
modified_bessel_i0 = _torchs_name("modified_bessel_i0", _special.i0, "i0")
modified_bessel_i1 = _torchs_name("modified_bessel_i1", _special.i1, "i1")
modified_bessel_k0 = _torchs_name("modified_bessel_k0", _special.k0, "k0")
modified_bessel_k1 = _torchs_name("modified_bessel_k1", _special.k1, "k1")
scaled_modified_bessel_k0 = _torchs_name("scaled_modified_bessel_k0", _special.k0e, "k0e")
scaled_modified_bessel_k1 = _torchs_name("scaled_modified_bessel_k1", _special.k1e, "k1e")
spherical_bessel_j0 = _torchs_name("spherical_bessel_j0", lambda x: spherical_jn(0, x), "spherical_jn")


def _polynomial(name: str, f: Callable[[int, Any], Variable], what: str) -> Callable[..., Variable]:
    def call(input: Any, n: int) -> Variable:
        (x,) = _floating(input)
        return f(n, x)

    doc = f"{what} of degree n.\n\n>>> tg.special.{name}(tg.Variable([1.0]), 0)\nVariable([1.])\n"
    return named(call, name, doc, "tapegrad.special")


def _third(n: int, x: Any) -> Variable:
    """``V_n``: the recursion of all Chebyshev polynomials from ``2 x - 1`` on."""
    return _recursion(n, x, lambda x: 2.0 * x - 1.0, lambda k, x, p, q: 2.0 * x * p - q)


def _fourth(n: int, x: Any) -> Variable:
    """``W_n``: the same from ``2 x + 1`` on."""
    return _recursion(n, x, lambda x: 2.0 * x + 1.0, lambda k, x, p, q: 2.0 * x * p - q)


chebyshev_polynomial_t = _polynomial("chebyshev_polynomial_t", eval_chebyt, "The Chebyshev polynomial of the first kind")
chebyshev_polynomial_u = _polynomial("chebyshev_polynomial_u", eval_chebyu, "The Chebyshev polynomial of the second kind")
chebyshev_polynomial_v = _polynomial("chebyshev_polynomial_v", _third, "The Chebyshev polynomial of the third kind")
chebyshev_polynomial_w = _polynomial("chebyshev_polynomial_w", _fourth, "The Chebyshev polynomial of the fourth kind")
shifted_chebyshev_polynomial_t = _polynomial(
    "shifted_chebyshev_polynomial_t", _on_unit(eval_chebyt), "The Chebyshev polynomial of the first kind on [0, 1]"
)
shifted_chebyshev_polynomial_u = _polynomial(
    "shifted_chebyshev_polynomial_u", _on_unit(eval_chebyu), "The Chebyshev polynomial of the second kind on [0, 1]"
)
shifted_chebyshev_polynomial_v = _polynomial(
    "shifted_chebyshev_polynomial_v", _on_unit(_third), "The Chebyshev polynomial of the third kind on [0, 1]"
)
shifted_chebyshev_polynomial_w = _polynomial(
    "shifted_chebyshev_polynomial_w", _on_unit(_fourth), "The Chebyshev polynomial of the fourth kind on [0, 1]"
)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", eval_hermite, "The physicist's Hermite polynomial")
hermite_polynomial_he = _polynomial("hermite_polynomial_he", eval_hermitenorm, "The probabilist's Hermite polynomial")
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", eval_laguerre, "Laguerre's polynomial")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", eval_legendre, "Legendre's polynomial")
