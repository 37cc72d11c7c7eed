"""Waiting times: exponential, gamma, chi-square and inverse gamma, Weibull, Pareto."""

from __future__ import annotations

from typing import Any

from .. import _core, _sampling
from .._core import Variable
from .._dtypes import finfo
from .._generator import source
from .._special import digamma, gammainc, gammaincc, gammaln, xlogy
from . import constraints
from ._families import BySurvival
from ._implicit import attach, gamma_rule
from ._quantile import gamma_quantile, gamma_upper_quantile, quantile
from .distribution import Distribution
from .utils import broadcast_all, euler_constant, open_unit, outside


def standard_gamma(shape: tuple[int, ...], a: Variable, generator: Any) -> Variable:
    """Samples of Gamma(a, 1) that are differentiable in a; too small ones are the smallest normal number."""
    z = _sampling.draw(_sampling.gamma, shape, (a,), a.dtype, generator)
    return attach(gamma_rule, _core.maximum(z, float(finfo(a.dtype).smallest_normal)), a)


class Exponential(BySurvival):
    """Waiting times at a constant ``rate``: rate exp(-rate x).

    >>> tg.distributions.Exponential(2.0).log_prob(1.0)
    Variable(-1.3068528)
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return 1.0 / self.rate

    @property
    def mode(self) -> Variable:
        return _core.zeros_like(self.rate)

    @property
    def stddev(self) -> Variable:
        return 1.0 / self.rate

    @property
    def variance(self) -> Variable:
        return 1.0 / _core.square(self.rate)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        u = open_unit(source(generator), self._extended_shape(sample_shape), self.rate.dtype)
        return -_core.log1p(-u) / self.rate

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        lp = _core.log(self.rate) - self.rate * x
        return lp if self._inside(x) else outside(x >= 0, lp, x)

    def log_sf(self, value: Any) -> Variable:
        return -self.rate * _core.relu(self._value(value))

    def icdf(self, value: Any) -> Variable:
        return -_core.log1p(-self._level(value)) / self.rate

    def entropy(self) -> Variable:
        return 1.0 - _core.log(self.rate)


class Gamma(Distribution):
    """The gamma distribution with shape ``concentration`` and ``rate``.

    `rsample` is differentiable in both parameters, by implicit differentiation, to rounding error.

    >>> tg.distributions.Gamma(2.0, 1.0).log_prob(1.0)
    Variable(-1.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.concentration / self.rate

    @property
    def mode(self) -> Variable:
        return _core.relu(self.concentration - 1.0) / self.rate

    @property
    def variance(self) -> Variable:
        return self.concentration / _core.square(self.rate)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return standard_gamma(self._extended_shape(sample_shape), self.concentration, generator) / self.rate

    def log_prob(self, value: Any) -> Any:
        x, a = self._value(value), self.concentration
        wide = self._in_double(x, a)
        if wide is not None:
            return wide
        r = self.rate * x
        if self._within(r, 0.0, float("inf")):
            return (a - 1.0) * _core.log(r) - r + (_core.log(self.rate) - gammaln(a))
        lp = xlogy(a - 1.0, _core.where(x >= 0, r, 1.0)) - r + (_core.log(self.rate) - gammaln(a))
        return outside((x >= 0) & (x < float("inf")), lp, x)

    def cdf(self, value: Any) -> Variable:
        return gammainc(self.concentration, self.rate * _core.relu(self._value(value)))

    def sf(self, value: Any) -> Variable:
        return gammaincc(self.concentration, self.rate * _core.relu(self._value(value)))

    def icdf(self, value: Any) -> Variable:
        return quantile(gamma_quantile, gammainc, self._level(value), self.concentration) / self.rate

    def entropy(self) -> Variable:
        a = self.concentration
        return a - _core.log(self.rate) + gammaln(a) + (1.0 - a) * digamma(a)


class Chi2(Gamma):
    """The chi-square distribution: the sum of squares of ``df`` standard normal numbers.

    >>> tg.distributions.Chi2(3.0).variance
    Variable(6.)
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (df,) = broadcast_all(df)
        self.concentration, self.rate = 0.5 * df, _core.full_like(df, 0.5)
        Distribution.__init__(self, df.shape, validate_args=False)
        if validate_args is not None:
            self._validate_args = validate_args
        else:
            del self._validate_args
        if self._validate_args:
            self._require(constraints.positive, df, "the parameter df")

    @property
    def df(self) -> Variable:
        """The degrees of freedom."""
        return 2.0 * self.concentration


class InverseGamma(Distribution):
    """The distribution of 1 / x for x of a gamma distribution with shape ``concentration`` and ``rate``.

    >>> tg.distributions.InverseGamma(3.0, 2.0).mean
    Variable(1.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        a = self.concentration
        return _core.where(a > 1.0, self.rate / _core.where(a > 1.0, a - 1.0, 1.0), float("inf"))

    @property
    def mode(self) -> Variable:
        return self.rate / (self.concentration + 1.0)

    @property
    def variance(self) -> Variable:
        a = self.concentration
        b = _core.where(a > 2.0, a, 3.0)
        return _core.where(a > 2.0, _core.square(self.rate) / (_core.square(b - 1.0) * (b - 2.0)), float("inf"))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self.rate / standard_gamma(self._extended_shape(sample_shape), self.concentration, generator)

    def log_prob(self, value: Any) -> Variable:
        x, a = self._value(value), self.concentration
        wide = self._in_double(x, a)
        if wide is not None:
            return wide
        inside = (x > 0) & (x < float("inf"))
        r = self.rate / _core.where(inside, x, 1.0)
        return outside(inside, (a + 1.0) * _core.log(r) - r - _core.log(self.rate) - gammaln(a), x)

    def _inverse(self, value: Any) -> Variable:
        return self.rate / _core.relu(self._value(value))

    def cdf(self, value: Any) -> Variable:
        return gammaincc(self.concentration, self._inverse(value))

    def sf(self, value: Any) -> Variable:
        return gammainc(self.concentration, self._inverse(value))

    def icdf(self, value: Any) -> Variable:
        return self.rate / quantile(gamma_upper_quantile, gammaincc, self._level(value), self.concentration)

    def entropy(self) -> Variable:
        a = self.concentration
        return a + _core.log(self.rate) + gammaln(a) - (1.0 + a) * digamma(a)


class Weibull(BySurvival):
    """The Weibull distribution, whose survival function is exp(-(x / scale)^concentration).

    >>> tg.distributions.Weibull(2.0, 1.0).mean
    Variable(2.)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.scale * _core.exp(gammaln(1.0 + 1.0 / self.concentration))

    @property
    def mode(self) -> Variable:
        k = self.concentration
        inner = _core.where(k > 1.0, (k - 1.0) / k, 1.0)
        return _core.where(k > 1.0, self.scale * inner ** (1.0 / k), 0.0)

    @property
    def variance(self) -> Variable:
        k = self.concentration
        log_mean = gammaln(1.0 + 1.0 / k)
        # Γ(1 + 2/k) - Γ(1 + 1/k)², which cancels for large k.
        return _core.square(self.scale) * _core.exp(2.0 * log_mean) * _core.expm1(gammaln(1.0 + 2.0 / k) - 2.0 * log_mean)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        u = open_unit(source(generator), self._extended_shape(sample_shape), self.scale.dtype)
        return self._quantile(u)

    def _quantile(self, p: Variable) -> Variable:
        return self.scale * (-_core.log1p(-p)) ** (1.0 / self.concentration)

    def _hazard(self, x: Variable) -> Variable:
        return _core.relu(x / self.scale) ** self.concentration

    def log_prob(self, value: Any) -> Variable:
        x, k = self._value(value), self.concentration
        if self._within(x, 0.0, float("inf")):
            log = _core.log(x / self.scale)
            return (k - 1.0) * log + _core.log(k / self.scale) - _core.exp(k * log)
        lp = xlogy(k - 1.0, _core.where(x >= 0, x, 0.0) / self.scale) + _core.log(k / self.scale) - self._hazard(x)
        return outside((x >= 0) & (x < float("inf")), lp, x)

    def log_sf(self, value: Any) -> Variable:
        return -self._hazard(self._value(value))

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def entropy(self) -> Variable:
        k = self.concentration
        return euler_constant * (1.0 - 1.0 / k) + _core.log(self.scale / k) + 1.0


class Pareto(BySurvival):
    """The Pareto distribution: the probability above x is (scale / x)^alpha, for x from ``scale`` on.

    >>> tg.distributions.Pareto(1.0, 3.0).mean
    Variable(1.5)
    """

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Variable:
        a = _core.where(self.alpha > 1.0, self.alpha, 2.0)
        return _core.where(self.alpha > 1.0, a * self.scale / (a - 1.0), float("inf"))

    @property
    def mode(self) -> Variable:
        return self.scale

    @property
    def variance(self) -> Variable:
        a = _core.where(self.alpha > 2.0, self.alpha, 3.0)
        v = _core.square(self.scale / (a - 1.0)) * a / (a - 2.0)
        return _core.where(self.alpha > 2.0, v, float("inf"))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self._quantile(open_unit(source(generator), self._extended_shape(sample_shape), self.scale.dtype))

    def _quantile(self, p: Variable) -> Variable:
        return self.scale * _core.exp(-_core.log1p(-p) / self.alpha)

    def _log_ratio(self, x: Variable) -> Variable:
        # x - scale is exact near the scale.
        return _core.log1p(_core.relu(x - self.scale) / self.scale)

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        ratio = _core.log1p(_core.where(x >= self.scale, x - self.scale, 0.0) / self.scale)
        return outside(x >= self.scale, _core.log(self.alpha / self.scale) - (self.alpha + 1.0) * ratio, x)

    def log_sf(self, value: Any) -> Variable:
        return -self.alpha * self._log_ratio(self._value(value))

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def entropy(self) -> Variable:
        return _core.log(self.scale / self.alpha) + (1.0 + 1.0 / self.alpha)


class GeneralizedPareto(BySurvival):
    """Excesses over a threshold ``loc``: exponential for ``concentration`` 0, with a heavy tail above it, with an end below.

    >>> tg.distributions.GeneralizedPareto(0.0, 2.0, 0.0).log_prob(2.0)
    Variable(-1.6931472)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _end(self) -> Variable:
        """The largest value."""
        c = self.concentration
        return _core.where(c < 0, self.loc - self.scale / _core.where(c < 0, c, -1.0), float("inf"))

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.loc, self._end())

    def _moment(self, limit: float, value: Variable, beyond: float) -> Variable:
        return _core.where(self.concentration < limit, value, beyond)

    @property
    def mean(self) -> Variable:
        c = _core.where(self.concentration < 1.0, self.concentration, 0.0)
        return self._moment(1.0, self.loc + self.scale / (1.0 - c), float("inf"))

    @property
    def mode(self) -> Variable:
        return self.loc

    @property
    def variance(self) -> Variable:
        c = _core.where(self.concentration < 0.5, self.concentration, 0.0)
        return self._moment(0.5, _core.square(self.scale / (1.0 - c)) / (1.0 - 2.0 * c), float("inf"))

    def _log_tail(self, z: Variable) -> Variable:
        """log(1 - cdf) at z = (x - loc) / scale: -log(1 + c z) / c, by its series for small c."""
        c, z = _core.broadcast_arrays(self.concentration, z)
        small = _core.abs(c * z) < 1e-5
        t = _core.where(small, c, 0.0) * z
        far = _core.log1p(_core.where(small, 0.0, _core.maximum(c * z, -1.0))) / _core.where(small, 1.0, c)
        return -_core.where(small, z * (1.0 - t * (0.5 - t / 3.0)), far)

    def _standard(self, value: Any) -> tuple[Variable, Variable]:
        x = self._value(value)
        return x, _core.relu(x - self.loc) / self.scale

    def log_prob(self, value: Any) -> Variable:
        x, z = self._standard(value)
        lp = (1.0 + self.concentration) * self._log_tail(z) - _core.log(self.scale)
        return outside((x >= self.loc) & (x <= self._end()), lp, x)

    def log_sf(self, value: Any) -> Variable:
        return self._log_tail(self._standard(value)[1])

    def _quantile(self, p: Variable) -> Variable:
        c, log = _core.broadcast_arrays(self.concentration, _core.log1p(-p))
        small = _core.abs(c * log) < 1e-5
        t = -_core.where(small, c, 0.0) * log
        far = _core.expm1(-_core.where(small, 0.0, c) * log) / _core.where(small, 1.0, c)
        return self.loc + self.scale * _core.where(small, -log * (1.0 + t * (0.5 + t / 6.0)), far)

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self._quantile(open_unit(source(generator), self._extended_shape(sample_shape), self.loc.dtype))

    def entropy(self) -> Variable:
        return _core.log(self.scale) + self.concentration + 1.0
