"""Families with a location and a scale: Laplace, Cauchy, Gumbel, logistic, Student's t; and the uniform distribution."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._core import Variable
from .._generator import source
from .._special import betainc, betaln, digamma, log_expit
from . import constraints
from ._families import LocationScale
from ._quantile import quantile, student_quantile
from .distribution import Distribution
from .gamma import Chi2
from .utils import broadcast_all, euler_constant, log1mexp, log1p_square, open_unit, outside

_LOG_2 = math.log(2.0)


class Laplace(LocationScale):
    """The double exponential distribution: exp(-|x - loc| / scale) / (2 scale).

    >>> tg.distributions.Laplace(0.0, 1.0).log_prob(2.0)
    Variable(-2.6931472)
    """

    @property
    def variance(self) -> Variable:
        return 2.0 * _core.square(self.scale)

    def log_prob(self, value: Any) -> Variable:
        return -_core.abs(self._standard(value)) - _core.log(2.0 * self.scale)

    def _tail(self, z: Variable) -> Variable:
        half = 0.5 * _core.exp(-_core.abs(z))
        return _core.where(z < 0, half, 1.0 - half)

    def cdf(self, value: Any) -> Variable:
        return self._tail(self._standard(value))

    def sf(self, value: Any) -> Variable:
        return self._tail(-self._standard(value))

    def _log_tail(self, z: Variable) -> Variable:
        return _core.where(z < 0, z - _LOG_2, _core.log1p(-0.5 * _core.exp(-_core.abs(z))))

    def log_cdf(self, value: Any) -> Variable:
        return self._log_tail(self._standard(value))

    def log_sf(self, value: Any) -> Variable:
        return self._log_tail(-self._standard(value))

    def _quantile(self, p: Variable) -> Variable:
        low = p < 0.5
        tail = _core.log(2.0 * _core.where(low, p, 1.0 - p))
        return _core.where(low, tail, -tail)

    def entropy(self) -> Variable:
        return 1.0 + _core.log(2.0 * self.scale)


class Cauchy(LocationScale):
    """The Cauchy (Lorentz) distribution, which has no mean and an infinite variance.

    >>> tg.distributions.Cauchy(0.0, 1.0).cdf(-1e30)
    Variable(3.1830988e-31)
    """

    @property
    def mean(self) -> Variable:
        return _core.full_like(self.loc, float("nan"))

    @property
    def variance(self) -> Variable:
        return _core.full_like(self.loc, float("inf"))

    def log_prob(self, value: Any) -> Variable:
        z = self._standard(value)
        return -log1p_square(z, self._within(z, -1e15, 1e15)) - (_core.log(self.scale) + math.log(math.pi))

    def cdf(self, value: Any) -> Variable:
        return _core.atan2(1.0, -self._standard(value)) * (1.0 / math.pi)

    def sf(self, value: Any) -> Variable:
        return _core.atan2(1.0, self._standard(value)) * (1.0 / math.pi)

    def _quantile(self, p: Variable) -> Variable:
        low = p < 0.5
        tail = -1.0 / _core.tan(math.pi * _core.where(low, p, 1.0 - p))
        return _core.where(low, tail, -tail)

    def entropy(self) -> Variable:
        return _core.log(4.0 * math.pi * self.scale)


class HalfCauchy(Distribution):
    """The absolute value of a Cauchy distribution about 0.

    >>> tg.distributions.HalfCauchy(1.0).cdf(1.0)
    Variable(0.5)
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return _core.full_like(self.scale, float("inf"))

    @property
    def mode(self) -> Variable:
        return _core.zeros_like(self.scale)

    @property
    def variance(self) -> Variable:
        return _core.full_like(self.scale, float("inf"))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self._quantile(open_unit(source(generator), self._extended_shape(sample_shape), self.scale.dtype))

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        return outside(x >= 0, -log1p_square(x / self.scale) - (_core.log(self.scale) + math.log(math.pi / 2)), x)

    def cdf(self, value: Any) -> Variable:
        return _core.atan(_core.relu(self._value(value)) / self.scale) * (2.0 / math.pi)

    def sf(self, value: Any) -> Variable:
        return _core.atan2(1.0, _core.relu(self._value(value)) / self.scale) * (2.0 / math.pi)

    def _quantile(self, p: Variable) -> Variable:
        low = p < 0.5
        t = _core.tan((math.pi / 2) * _core.where(low, p, 1.0 - p))
        return self.scale * _core.where(low, t, 1.0 / t)

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def entropy(self) -> Variable:
        return _core.log(2.0 * math.pi * self.scale)


class Gumbel(LocationScale):
    """The limit distribution of maxima (type I): exp(-exp(-z)) with z = (x - loc) / scale.

    >>> tg.distributions.Gumbel(0.0, 1.0).mean
    Variable(0.5772157)
    """

    @property
    def mean(self) -> Variable:
        return self.loc + self.scale * euler_constant

    @property
    def variance(self) -> Variable:
        return _core.square(self.scale) * (math.pi**2 / 6)

    def log_prob(self, value: Any) -> Variable:
        z = self._standard(value)
        # Far below loc, exp(-z) overflows and wins; at -inf that would be a difference of infinities.
        return -(_core.maximum(z, -1e30) + _core.exp(-z)) - _core.log(self.scale)

    def cdf(self, value: Any) -> Variable:
        return _core.exp(self.log_cdf(value))

    def log_cdf(self, value: Any) -> Variable:
        return -_core.exp(-self._standard(value))

    def sf(self, value: Any) -> Variable:
        return -_core.expm1(self.log_cdf(value))

    def log_sf(self, value: Any) -> Variable:
        z = self._standard(value)
        # For large z the complement is exp(-z), whose logarithm is known.
        far = z > 30.0
        return _core.where(far, -z, log1mexp(-_core.exp(-_core.where(far, 0.0, z))))

    def _quantile(self, p: Variable) -> Variable:
        return -_core.log(-_core.log(p))

    def entropy(self) -> Variable:
        return _core.log(self.scale) + (1.0 + euler_constant)


class Logistic(LocationScale):
    """The logistic distribution, whose distribution function is the sigmoid of (x - loc) / scale.

    >>> tg.distributions.Logistic(0.0, 1.0).log_prob(0.0)
    Variable(-1.3862944)
    """

    @property
    def variance(self) -> Variable:
        return _core.square(self.scale) * (math.pi**2 / 3)

    def log_prob(self, value: Any) -> Variable:
        z = _core.abs(self._standard(value))
        return -z - 2.0 * _core.softplus(-z) - _core.log(self.scale)

    def cdf(self, value: Any) -> Variable:
        return _core.sigmoid(self._standard(value))

    def sf(self, value: Any) -> Variable:
        return _core.sigmoid(-self._standard(value))

    def log_cdf(self, value: Any) -> Variable:
        return log_expit(self._standard(value))

    def log_sf(self, value: Any) -> Variable:
        return log_expit(-self._standard(value))

    def _quantile(self, p: Variable) -> Variable:
        return _core.log(p) - _core.log1p(-p)

    def entropy(self) -> Variable:
        return _core.log(self.scale) + 2.0


def _student_tail(df: Variable, z: Variable) -> Variable:
    """The probability below z (Abramowitz & Stegun 26.7.1); small parts are computed, not complements."""
    df, z = _core.broadcast_arrays(df, z)
    z2 = _core.square(z)
    near = z2 < df
    # I_{df/(df+z²)}(df/2, 1/2) is the mass of both tails, I_{z²/(df+z²)}(1/2, df/2) what is between.
    far_z2, near_z2 = _core.where(near, 2.0 * df, z2), _core.where(near & (z != 0), z2, 0.5 * df)
    tails = 0.5 * betainc(0.5 * df, 0.5, df / (df + far_z2))
    between = 0.5 * betainc(0.5, 0.5 * df, near_z2 / (df + near_z2))
    at_zero = z * _core.exp(-0.5 * _core.log(df) - betaln(0.5 * df, 0.5))
    central = _core.where(z == 0, 0.5 + at_zero, 0.5 + _core.where(z < 0, -between, between))
    return _core.where(near, central, _core.where(z < 0, tails, 1.0 - tails))


class StudentT(Distribution):
    """Student's t distribution with ``df`` degrees of freedom, moved and scaled.

    >>> tg.distributions.StudentT(3.0).variance
    Variable(3.)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return _core.where(self.df > 1.0, self.loc, float("nan"))

    @property
    def mode(self) -> Variable:
        return self.loc

    @property
    def variance(self) -> Variable:
        v = _core.square(self.scale) * self.df / _core.where(self.df > 2.0, self.df - 2.0, 1.0)
        return _core.where(self.df > 2.0, v, _core.where(self.df > 1.0, float("inf"), float("nan")))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        # A normal over the root of a chi-square with df degrees, divided by df.
        own = source(generator)
        shape = self._extended_shape(sample_shape)
        x = own.randn(*shape or ((),), dtype=self.df.dtype)
        z = Chi2(self.df, validate_args=False).rsample(sample_shape, generator=generator)
        return self.loc + self.scale * x * _core.rsqrt(z / self.df)

    def _standard(self, value: Any) -> Any:
        return (self._value(value) - self.loc) / self.scale

    def log_prob(self, value: Any) -> Variable:
        z, df = self._standard(value), self.df
        front = _core.log(self.scale) + 0.5 * _core.log(df) + betaln(0.5 * df, 0.5)
        t = z * _core.rsqrt(df)
        return -0.5 * (df + 1.0) * log1p_square(t, self._within(t, -1e15, 1e15)) - front

    def cdf(self, value: Any) -> Variable:
        return _student_tail(self.df, self._standard(value))

    def sf(self, value: Any) -> Variable:
        return _student_tail(self.df, -self._standard(value))

    def icdf(self, value: Any) -> Variable:
        return self.loc + self.scale * quantile(student_quantile, _student_tail, self._level(value), self.df)

    def entropy(self) -> Variable:
        half = 0.5 * self.df
        front = _core.log(self.scale) + 0.5 * _core.log(self.df) + betaln(half, 0.5)
        return 0.5 * (self.df + 1.0) * (digamma(half + 0.5) - digamma(half)) + front


class Uniform(Distribution):
    """The same density everywhere from ``low`` to ``high``, both included.

    >>> tg.distributions.Uniform(0.0, 4.0).log_prob(4.0)
    Variable(-1.3862944)
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args:
            self._require(constraints.positive, self.high - self.low, "high - low")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Variable:
        return 0.5 * (self.low + self.high)

    @property
    def mode(self) -> Variable:
        return _core.full_like(self.low, float("nan"))

    @property
    def variance(self) -> Variable:
        return _core.square(self.high - self.low) / 12.0

    @property
    def stddev(self) -> Variable:
        return (self.high - self.low) / math.sqrt(12.0)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        shape = self._extended_shape(sample_shape)
        return self.low + (self.high - self.low) * source(generator).rand(*shape or ((),), dtype=self.low.dtype)

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        return outside((x >= self.low) & (x <= self.high), -_core.log(self.high - self.low), x)

    def cdf(self, value: Any) -> Variable:
        return _core.clip((self._value(value) - self.low) / (self.high - self.low), 0.0, 1.0)

    def sf(self, value: Any) -> Variable:
        return _core.clip((self.high - self._value(value)) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, value: Any) -> Any:
        return self.low + self._level(value) * (self.high - self.low)

    def entropy(self) -> Variable:
        return _core.log(self.high - self.low)
