"""Special functions under SciPy's names, with gradients in every argument that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._special import (
    beta,
    betainc,
    betaincc,
    betaln,
    digamma,
    entr,
    erf,
    erfc,
    erfcinv,
    erfcx,
    erfinv,
    exp1,
    expi,
    expit,
    gamma,
    gammainc,
    gammaincc,
    gammaln,
    i0,
    i0e,
    i1,
    i1e,
    j0,
    j1,
    k0,
    k0e,
    k1,
    k1e,
    kl_div,
    lambertw,
    lgamma,
    log_expit,
    log_ndtr,
    logit,
    multigammaln,
    ndtr,
    ndtri,
    ndtri_exp,
    polygamma,
    psi,
    rel_entr,
    sinc,
    xlog1py,
    xlogy,
    y0,
    y1,
    zeta,
)
from ._special_families import (
    bdtr,
    bdtrc,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    chdtr,
    chdtrc,
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    cosm1,
    diric,
    eval_chebyc,
    eval_chebys,
    eval_gegenbauer,
    eval_genlaguerre,
    eval_jacobi,
    eval_sh_chebyt,
    eval_sh_chebyu,
    eval_sh_legendre,
    fdtr,
    fdtrc,
    gdtr,
    gdtrc,
    hermite_polynomial_h,
    hermite_polynomial_he,
    iv,
    ive,
    jn,
    jv,
    kn,
    kv,
    kve,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    nbdtr,
    pdtr,
    pdtrc,
    powm1,
    radian,
    rgamma,
    roots_chebyt,
    roots_hermite,
    roots_hermitenorm,
    roots_laguerre,
    roots_legendre,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
    spherical_bessel_j0,
    stdtr,
    yn,
    yv,
)
from ._special_more import (
    agm,
    binom,
    boxcox,
    boxcox1p,
    cbrt,
    comb,
    cosdg,
    ellipe,
    ellipk,
    ellipkm1,
    eval_chebyt,
    eval_chebyu,
    eval_hermite,
    eval_hermitenorm,
    eval_laguerre,
    eval_legendre,
    exp2,
    exp10,
    expm1,
    expn,
    exprel,
    factorial,
    gammasgn,
    huber,
    inv_boxcox,
    inv_boxcox1p,
    log1p,
    loggamma,
    perm,
    poch,
    pseudo_huber,
    sindg,
    spherical_jn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import Variable


def _over(f: Callable[[Any, int], Variable], x: Any, axis: int | None) -> Variable:
    """``f`` along an axis; SciPy's default is all elements at once."""
    x = _core.asarray(x)
    return f(x.reshape(-1), 0).reshape(x.shape) if axis is None else f(x, axis)


def softmax(x: Any, axis: int | None = None) -> Variable:
    """``exp(x)`` over its sum along an axis; without one over the sum of all elements, as in SciPy.

    >>> tg.special.softmax(tg.Variable([[0.0, 0.0]]))
    Variable([[0.5, 0.5]])
    """
    return _over(_core.softmax, x, axis)


def log_softmax(x: Any, axis: int | None = None) -> Variable:
    """The logarithm of `softmax`.

    >>> tg.special.log_softmax(tg.Variable([0.0, -1000.0]))
    Variable([    0., -1000.])
    """
    return _over(_core.log_softmax, x, axis)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """The logarithm of the sum of ``b exp(a)`` along axes, for a of any size; with its sign if ``return_sign``.

    >>> tg.special.logsumexp(tg.Variable([1000.0, 1000.0])).round(4)
    Variable(1000.6932)
    """
    if b is None and not return_sign:
        return _core.logsumexp(a, axis=axis, keepdims=keepdims)
    a, b = _core._together(a, b)
    if b is not None:
        a, b = _core.broadcast_arrays(a, b)
    top = _core.max(a.detach(), axis=axis, keepdims=True) if a.size else _core.zeros((), dtype=a.dtype)
    top = _core.where(_core.isfinite(top), top, _core.zeros_like(top))
    terms = _core.exp(a - top)
    if b is not None:
        terms = terms * _core.astype(b, terms.dtype)
    total = _core.sum(terms, axis=axis, keepdims=keepdims)
    shift = top if keepdims or not a.size else _core.max(top, axis=axis)
    if not return_sign:
        return _core.log(total) + shift
    return _core.log(_core.abs(total)) + shift, _core.sign(total)


__all__ = [
    "agm",
    "bdtr",
    "bdtrc",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "beta",
    "betainc",
    "betaincc",
    "betaln",
    "binom",
    "boxcox",
    "boxcox1p",
    "cbrt",
    "chdtr",
    "chdtrc",
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "comb",
    "cosdg",
    "cosm1",
    "digamma",
    "diric",
    "ellipe",
    "ellipk",
    "ellipkm1",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "eval_chebyc",
    "eval_chebys",
    "eval_chebyt",
    "eval_chebyu",
    "eval_gegenbauer",
    "eval_genlaguerre",
    "eval_hermite",
    "eval_hermitenorm",
    "eval_jacobi",
    "eval_laguerre",
    "eval_legendre",
    "eval_sh_chebyt",
    "eval_sh_chebyu",
    "eval_sh_legendre",
    "exp1",
    "exp2",
    "exp10",
    "expi",
    "expit",
    "expm1",
    "expn",
    "exprel",
    "factorial",
    "fdtr",
    "fdtrc",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "gdtr",
    "gdtrc",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "huber",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "inv_boxcox",
    "inv_boxcox1p",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "kl_div",
    "kn",
    "kv",
    "kve",
    "laguerre_polynomial_l",
    "lambertw",
    "legendre_polynomial_p",
    "lgamma",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "nbdtr",
    "ndtr",
    "ndtri",
    "ndtri_exp",
    "pdtr",
    "pdtrc",
    "perm",
    "poch",
    "polygamma",
    "powm1",
    "pseudo_huber",
    "psi",
    "radian",
    "rel_entr",
    "rgamma",
    "roots_chebyt",
    "roots_hermite",
    "roots_hermitenorm",
    "roots_laguerre",
    "roots_legendre",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
    "sinc",
    "sindg",
    "softmax",
    "spherical_bessel_j0",
    "spherical_jn",
    "stdtr",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "yn",
    "yv",
    "zeta",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
