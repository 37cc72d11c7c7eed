"""The Kullback-Leibler divergence between distributions, in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from .._special import betaln, digamma, gammaln, multigammaln, ndtr, xlogy
from ..linalg import solve_triangular
from .beta import Beta, Dirichlet
from .categorical import Categorical, Multinomial, OneHotCategorical
from .continuous_bernoulli import ContinuousBernoulli
from .counts import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution
from .gamma import Exponential, Gamma, InverseGamma, Pareto, Weibull
from .independent import Independent, sum_rightmost
from .location_scale import Cauchy, Gumbel, HalfCauchy, Laplace, Uniform
from .matrices import Wishart
from .multivariate_normal import LowRankMultivariateNormal, MultivariateNormal, half_log_det, quadratic_form
from .normal import HalfNormal, LogNormal, Normal
from .transformed import TransformedDistribution
from .utils import euler_constant
from .von_mises import VonMises

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["kl_divergence", "register_kl"]

_RULES: dict[tuple[type, type], Callable[[Any, Any], Variable]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorates a function of two distributions that computes their divergence, for these classes and what inherits from them.

    >>> @tg.distributions.register_kl(tg.distributions.Gumbel, tg.distributions.Cauchy)
    ... def crude(p, q):
    ...     x = p.rsample((1000,))
    ...     return tg.mean(p.log_prob(x) - q.log_prob(x), axis=0)
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"register_kl: expected classes of distributions, got {kind!r}")

    def decorate(rule: Any) -> Any:
        _RULES[type_p, type_q] = rule
        return rule

    return decorate


def _rule(p: type, q: type) -> Callable[[Any, Any], Variable] | None:
    """The rule of the nearest classes; of two that are equally near, that whose first class is nearer."""
    found = [(a, b) for a, b in _RULES if issubclass(p, a) and issubclass(q, b)]
    if not found:
        return None
    up, uq = p.__mro__, q.__mro__
    best = min(found, key=lambda pair: (up.index(pair[0]) + uq.index(pair[1]), up.index(pair[0])))
    return _RULES[best]


def kl_divergence(p: Distribution, q: Distribution) -> Variable:
    """The Kullback-Leibler divergence of q from p: the mean of ``log p(x) - log q(x)`` for x of p.

    Raises NotImplementedError for pairs without a closed form; `register_kl` adds one.

    >>> D = tg.distributions
    >>> D.kl_divergence(D.Normal(1.0, 1.0), D.Normal(0.0, 1.0))
    Variable(0.5)
    """
    for d in (p, q):
        if not isinstance(d, Distribution):
            raise TypeError(f"kl_divergence: expected two distributions, got {type(d).__name__}")
    rule = _rule(type(p), type(q))
    if rule is None:
        raise NotImplementedError(
            f"kl_divergence: no closed form is registered for {type(p).__name__} and {type(q).__name__}; estimate it from "
            "p.rsample(), or add one by register_kl"
        )
    return rule(p, q)


def _infinite(x: Variable) -> Variable:
    return _core.full_like(x, float("inf"))


def _never(*pairs: tuple[type, type, str]) -> None:
    """Pairs where the support of p is not within that of q."""
    for a, b, name in pairs:
        register_kl(a, b)(lambda p, q, name=name: _infinite(getattr(p, name) + 0.0 * next(_floats(q))))


def _floats(q: Distribution) -> Any:
    return (v for v in q.__dict__.values() if isinstance(v, Variable))


# ---- one family ----


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    shift = _core.square((p.loc - q.loc) / q.scale)
    # (r² - 1) / 2 - log r, written so that it does not cancel for r near 1.
    d = ratio - 1.0
    return 0.5 * shift + 0.5 * d * (d + 2.0) - _core.log1p(d)


@register_kl(LogNormal, LogNormal)
def _log_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    d = p.scale / q.scale - 1.0
    return 0.5 * d * (d + 2.0) - _core.log1p(d)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise _core.ShapeError(f"kl_divergence: event shapes {p.event_shape} and {q.event_shape} differ")
    lp, lq = p._tril, q._tril
    batch = broadcast_shapes(lp.shape[:-2], lq.shape[:-2])
    n = lp.shape[-1]
    inner = solve_triangular(_core.broadcast_to(lq, (*batch, n, n)), _core.broadcast_to(lp, (*batch, n, n)), upper=False)
    trace = _core.sum(_core.square(inner), axis=(-2, -1))
    return half_log_det(lq) - half_log_det(lp) + 0.5 * (trace + quadratic_form(lq, q.loc - p.loc) - n)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p: Any, q: Any) -> Any:
    full = (d if isinstance(d, MultivariateNormal) else _full(d) for d in (p, q))
    return _multivariate_normal(*full)


def _full(d: Any) -> MultivariateNormal:
    return MultivariateNormal(d.loc, scale_tril=d.scale_tril, validate_args=False)


@register_kl(Wishart, Wishart)
def _wishart(p: Any, q: Any) -> Any:
    lp, lq, n = p._tril, q._tril, p.event_shape[-1]
    shape = broadcast_shapes(lp.shape, lq.shape)
    inner = solve_triangular(_core.broadcast_to(lq, shape), _core.broadcast_to(lp, shape), upper=False)
    trace = _core.sum(_core.square(inner), axis=(-2, -1))
    slopes = _core.sum(digamma(0.5 * (p.df[..., None] - _core.arange(n, dtype=p.df.dtype))), axis=-1)
    front = q.df * (half_log_det(lq) - half_log_det(lp)) + 0.5 * p.df * (trace - n)
    return front + multigammaln(0.5 * q.df, n) - multigammaln(0.5 * p.df, n) + 0.5 * (p.df - q.df) * slopes


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    return p.mean * (p.logits - q.logits) - p._log_norm() + q._log_norm()


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Variable:
    a, b = p.probs, p._failure()
    return _part(a, p, q, "success") + _part(b, p, q, "failure")


def _part(weight: Variable, p: Any, q: Any, name: str) -> Variable:
    """weight (log p - log q) of one outcome; 0 where p is 0, infinite where only q is."""
    one = (1.0, 0.0) if name == "success" else (0.0, 1.0)
    mine, theirs = (d._log_powers(_core.full_like(d.probs, one[0]), _core.full_like(d.probs, one[1])) for d in (p, q))
    return _core.where(weight > 0, weight * (mine - theirs), 0.0)


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Variable:
    found = p.total_count * _bernoulli(p, q)
    same, more = p.total_count == q.total_count, p.total_count > q.total_count
    if not _core._is_capturing() and bool(_core.any(~(same | more))):
        raise NotImplementedError("kl_divergence: two Binomial distributions with more trials in the second have no closed form")
    return _core.where(same, found, _core.where(more, float("inf"), float("nan")))


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Variable:
    w = p.probs
    return _core.sum(_core.where(w > 0, w * (p.logits - q.logits), 0.0), axis=-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_categorical(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(Multinomial, Multinomial)
def _multinomial(p: Any, q: Any) -> Any:
    if p.total_count != q.total_count:
        raise NotImplementedError("kl_divergence: two Multinomial distributions must have the same total_count")
    return p.total_count * _categorical(p._categorical, q._categorical)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Variable:
    k = p.mean
    one = _core.ones_like(k)
    return _part(one, p, q, "success") + _core.where(k > 0, k * _part(one, p, q, "failure"), 0.0)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    d = q.rate / p.rate - 1.0
    return d - _core.log1p(d)


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    d = q.rate / p.rate - 1.0
    return b * -_core.log1p(d) + (gammaln(b) - gammaln(a)) + (a - b) * digamma(a) + a * d


@register_kl(InverseGamma, InverseGamma)
def _inverse_gamma(p: Any, q: Any) -> Any:
    return _gamma(p, q)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    front = betaln(c, d) - betaln(a, b)
    return front + (a - c) * digamma(a) + (b - d) * digamma(b) + (c + d - a - b) * digamma(a + b)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Variable:
    a, b = p.concentration, q.concentration
    total_a, total_b = _core.sum(a, axis=-1), _core.sum(b, axis=-1)
    front = gammaln(total_a) - gammaln(total_b) - _core.sum(gammaln(a) - gammaln(b), axis=-1)
    return front + _core.sum((a - b) * (digamma(a) - digamma(total_a)[..., None]), axis=-1)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    d = _core.abs(p.loc - q.loc)
    return d / q.scale + ratio * _core.exp(-d / p.scale) - _core.log(ratio) - 1.0


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    r = p.scale / q.scale
    shift = (p.loc - q.loc) / q.scale
    return -_core.log(r) - 1.0 - euler_constant + shift + r * euler_constant + _core.exp(gammaln(r + 1.0) - shift)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Variable:
    # Chyzak & Nielsen (2019).
    total = _core.square(p.scale + q.scale) + _core.square(p.loc - q.loc)
    return _core.log(total / (4.0 * p.scale * q.scale))


@register_kl(HalfCauchy, HalfCauchy)
def _half_cauchy(p: Any, q: Any) -> Any:
    return _core.log(_core.square(p.scale + q.scale) / (4.0 * p.scale * q.scale))


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Variable:
    found = _core.log((q.high - q.low) / (p.high - p.low))
    return _core.where((q.low > p.low) | (q.high < p.high), float("inf"), found)


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Variable:
    ratio = q.alpha / p.alpha
    found = q.alpha * _core.log(p.scale / q.scale) - _core.log(ratio) + ratio - 1.0
    return _core.where(p.scale < q.scale, float("inf"), found)


@register_kl(Weibull, Weibull)
def _weibull(p: Any, q: Any) -> Any:
    # Bauckhage (2013).
    k, m = p.concentration, q.concentration
    log = _core.log(p.scale / q.scale)
    front = _core.log(k / m) - m * log
    return front + (m / k - 1.0) * euler_constant + _core.exp(m * log + gammaln(1.0 + m / k)) - 1.0


@register_kl(VonMises, VonMises)
def _von_mises(p: Any, q: Any) -> Any:
    from .._special import i0e

    ratio = 1.0 - p.variance
    front = _core.log(i0e(q.concentration) / i0e(p.concentration)) + q.concentration - p.concentration
    return front + ratio * (p.concentration - q.concentration * _core.cos(p.loc - q.loc))


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Variable:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: two Independent distributions must take in the same number of axes")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Variable:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("kl_divergence: two transformed distributions must have the same transforms")
    return kl_divergence(p.base_dist, q.base_dist)


# ---- two families ----


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    # The mean of |x - q.loc| is that of a folded normal.
    z = (p.loc - q.loc) / p.scale
    folded = p.scale * (math.sqrt(2 / math.pi) * _core.exp(-0.5 * _core.square(z)) + z * (2.0 * ndtr(z) - 1.0))
    return folded / q.scale + _core.log(2.0 * q.scale) - p.entropy()


@register_kl(Laplace, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Uniform, Normal)
@register_kl(Beta, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Pareto, Normal)
def _any_normal(p: Any, q: Any) -> Any:
    # The cross entropy needs the first two moments only.
    second = p.variance + _core.square(p.mean - q.loc)
    return 0.5 * second / _core.square(q.scale) + _core.log(q.scale) + 0.5 * math.log(2 * math.pi) - p.entropy()


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    z, r = (p.loc - q.loc) / q.scale, p.scale / q.scale
    return z + _core.exp(0.5 * _core.square(r) - z) + _core.log(q.scale) - p.entropy()


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    low, high = (p.low - q.loc) / q.scale, (p.high - q.loc) / q.scale
    tail = (_core.exp(-low) - _core.exp(-high)) / (high - low)
    return 0.5 * (low + high) + tail + _core.log(q.scale) - p.entropy()


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Variable:
    found = q.rate * p.mean - _core.log(q.rate) - p.entropy()
    return _core.where(p.low < 0, float("inf"), found)


def _mean_log_uniform(p: Any) -> Any:
    """The mean of log x."""
    return (xlogy(p.high, p.high) - xlogy(p.low, p.low)) / (p.high - p.low) - 1.0


def _to_gamma(p: Any, q: Any, mean_log: Variable) -> Any:
    front = gammaln(q.concentration) - q.concentration * _core.log(q.rate) - (q.concentration - 1.0) * mean_log
    return front + q.rate * p.mean - p.entropy()


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Variable:
    return _core.where(p.low < 0, float("inf"), _to_gamma(p, q, _mean_log_uniform(p)))


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Variable:
    found = (q.alpha + 1.0) * _mean_log_uniform(p) - _core.log(q.alpha) - q.alpha * _core.log(q.scale) - p.entropy()
    return _core.where(p.low < q.scale, float("inf"), found)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Variable:
    a, b = q.concentration1, q.concentration0
    upper = Uniform(1.0 - p.high, 1.0 - p.low, validate_args=False)
    inside = (p.low >= 0) & (p.high <= 1)
    found = betaln(a, b) - (a - 1.0) * _mean_log_uniform(p) - (b - 1.0) * _mean_log_uniform(upper) - p.entropy()
    return _core.where(inside, found, float("inf"))


@register_kl(Beta, Uniform)
def _beta_uniform(p: Any, q: Any) -> Variable:
    found = _core.log(q.high - q.low) - p.entropy()
    return _core.where((q.low > 0) | (q.high < 1), float("inf"), found)


@register_kl(Beta, Exponential)
@register_kl(Gamma, Exponential)
@register_kl(Pareto, Exponential)
def _any_exponential(p: Any, q: Any) -> Any:
    return q.rate * p.mean - _core.log(q.rate) - p.entropy()


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    return _to_gamma(p, q, digamma(p.concentration1) - digamma(p.concentration1 + p.concentration0))


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    a = q.concentration
    return -a * _core.log(ratio) + ratio + gammaln(a) + a * euler_constant - (1.0 + euler_constant)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    r = p.rate * q.scale
    shift = q.loc / q.scale
    return 1.0 / r - shift + _core.exp(shift) * r / (r + 1.0) + _core.log(r) - 1.0


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    shift = q.loc / q.scale
    moment = _core.exp(shift - p.concentration * _core.log1p(1.0 / (p.rate * q.scale)))
    return p.mean / q.scale - shift + moment + _core.log(q.scale) - p.entropy()


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    return _to_gamma(p, q, _core.log(p.scale) + 1.0 / p.alpha)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (xlogy(p.probs, q.rate) - q.rate)


_never(
    *((Normal, b, "loc") for b in (Beta, Exponential, Gamma, Pareto, Uniform)),
    *((Laplace, b, "loc") for b in (Beta, Exponential, Gamma, Pareto, Uniform)),
    *((Gumbel, b, "loc") for b in (Beta, Exponential, Gamma, Pareto, Uniform)),
    *((Exponential, b, "rate") for b in (Beta, Pareto, Uniform)),
    *((Gamma, b, "concentration") for b in (Beta, Pareto, Uniform)),
    *((Pareto, b, "alpha") for b in (Beta, Uniform)),
    (Beta, Pareto, "concentration1"),
    (Poisson, Bernoulli, "rate"),
    (Poisson, Binomial, "rate"),
)
