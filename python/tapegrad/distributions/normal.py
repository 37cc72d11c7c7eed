"""The normal distribution, and the half-normal and log-normal distributions."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._core import Variable
from .._generator import source
from .._special import erf, erfinv, log_ndtr, ndtr, ndtri
from . import constraints
from ._families import LocationScale
from .distribution import Distribution
from .utils import broadcast_all, outside

_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
_ROOT_2 = math.sqrt(2.0)


class Normal(LocationScale):
    """The normal (Gaussian) distribution with mean ``loc`` and standard deviation ``scale``.

    >>> d = tg.distributions.Normal(0.0, 1.0)
    >>> d.log_prob(0.0), d.cdf(0.0)
    (Variable(-0.9189385), Variable(0.5))
    """

    @property
    def stddev(self) -> Variable:
        return self.scale

    @property
    def variance(self) -> Variable:
        return _core.square(self.scale)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        shape = self._extended_shape(sample_shape)
        return self.loc + self.scale * source(generator).randn(*shape or ((),), dtype=self.loc.dtype)

    def log_prob(self, value: Any) -> Variable:
        z = self._standard(value)
        return _core.square(z) * -0.5 - (_core.log(self.scale) + _LOG_ROOT_2PI)

    def cdf(self, value: Any) -> Variable:
        return ndtr(self._standard(value))

    def sf(self, value: Any) -> Variable:
        return ndtr(-self._standard(value))

    def log_cdf(self, value: Any) -> Variable:
        return log_ndtr(self._standard(value))

    def log_sf(self, value: Any) -> Variable:
        return log_ndtr(-self._standard(value))

    def _quantile(self, p: Variable) -> Variable:
        return ndtri(p)

    def entropy(self) -> Variable:
        return _core.log(self.scale) + (0.5 + _LOG_ROOT_2PI)


class HalfNormal(Distribution):
    """The absolute value of a normal distribution about 0 with standard deviation ``scale``.

    >>> tg.distributions.HalfNormal(1.0).mean
    Variable(0.7978846)
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.scale * math.sqrt(2.0 / math.pi)

    @property
    def mode(self) -> Variable:
        return _core.zeros_like(self.scale)

    @property
    def variance(self) -> Variable:
        return _core.square(self.scale) * (1.0 - 2.0 / math.pi)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        shape = self._extended_shape(sample_shape)
        return self.scale * _core.abs(source(generator).randn(*shape or ((),), dtype=self.scale.dtype))

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        lp = _core.square(x / self.scale) * -0.5 - (_core.log(self.scale) + (_LOG_ROOT_2PI - math.log(2.0)))
        return lp if self._inside(x) else outside(x >= 0, lp, x)

    def cdf(self, value: Any) -> Variable:
        return erf(_core.relu(self._value(value)) / (self.scale * _ROOT_2))

    def sf(self, value: Any) -> Variable:
        return 2.0 * ndtr(-_core.relu(self._value(value)) / self.scale)

    def log_sf(self, value: Any) -> Variable:
        return math.log(2.0) + log_ndtr(-_core.relu(self._value(value)) / self.scale)

    def icdf(self, value: Any) -> Variable:
        p = self._level(value)
        # For small p the inverse error function is exact, for p near 1 the quantile of the other tail.
        return self.scale * _core.where(p < 0.5, _ROOT_2 * erfinv(_core.minimum(p, 0.5)), -ndtri(0.5 * (1.0 - p)))

    def entropy(self) -> Variable:
        return _core.log(self.scale) + (0.5 + _LOG_ROOT_2PI - math.log(2.0))


class LogNormal(Distribution):
    """exp of a normal distribution with mean ``loc`` and standard deviation ``scale``.

    The density at 0 is 0.

    >>> d = tg.distributions.LogNormal(0.0, 1.0)
    >>> d.log_prob(tg.Variable([0.0, 1.0]))
    Variable([      -inf, -0.9189385])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> Normal:
        """The distribution of the logarithm."""
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def transforms(self) -> list[Any]:
        """The transforms that map `base_dist` to this distribution, as in a `TransformedDistribution`."""
        from .transforms import ExpTransform

        return [ExpTransform()]

    @property
    def mean(self) -> Variable:
        return _core.exp(self.loc + 0.5 * _core.square(self.scale))

    @property
    def mode(self) -> Variable:
        return _core.exp(self.loc - _core.square(self.scale))

    @property
    def variance(self) -> Variable:
        s2 = _core.square(self.scale)
        return _core.expm1(s2) * _core.exp(2.0 * self.loc + s2)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return _core.exp(self.base_dist.rsample(sample_shape, generator=generator))

    def _standard(self, x: Variable) -> Variable:
        return (_core.log(_core.where(x > 0, x, 1.0)) - self.loc) / self.scale

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        inner = self._within(x, 0.0, float("inf"))
        log = _core.log(x if inner else _core.where(x > 0, x, 1.0))
        lp = _core.square((log - self.loc) / self.scale) * -0.5 - log - (_core.log(self.scale) + _LOG_ROOT_2PI)
        return lp if inner else outside((x > 0) & (x < float("inf")), lp, x)

    def cdf(self, value: Any) -> Variable:
        x = self._value(value)
        return _core.where(x > 0, ndtr(self._standard(x)), 0.0)

    def sf(self, value: Any) -> Variable:
        x = self._value(value)
        return _core.where(x > 0, ndtr(-self._standard(x)), 1.0)

    def log_cdf(self, value: Any) -> Variable:
        x = self._value(value)
        return outside(x > 0, log_ndtr(self._standard(x)), x)

    def log_sf(self, value: Any) -> Variable:
        x = self._value(value)
        return _core.where(x > 0, log_ndtr(-self._standard(x)), 0.0)

    def icdf(self, value: Any) -> Variable:
        return _core.exp(self.base_dist.icdf(self._level(value)))

    def entropy(self) -> Variable:
        return self.base_dist.entropy() + self.loc
