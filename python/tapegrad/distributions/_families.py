"""Base classes of families: with a location and a scale, or with a survival function."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from .._generator import source
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, log1mexp, open_unit


class LocationScale(Distribution):
    """A standard distribution, times ``scale``, plus ``loc``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.loc

    @property
    def mode(self) -> Variable:
        return self.loc

    def _standard(self, value: Any) -> Any:
        return (self._value(value) - self.loc) / self.scale

    def icdf(self, value: Any) -> Variable:
        return self.loc + self.scale * self._quantile(self._level(value))

    def _quantile(self, p: Variable) -> Variable:
        """The quantile for loc 0 and scale 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define icdf")

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        u = open_unit(source(generator), self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + self.scale * self._quantile(u)


class BySurvival(Distribution):
    """A distribution that is given by the logarithm of its survival function, ``log_sf``."""

    def cdf(self, value: Any) -> Variable:
        return -_core.expm1(self.log_sf(value))

    def sf(self, value: Any) -> Variable:
        return _core.exp(self.log_sf(value))

    def log_cdf(self, value: Any) -> Variable:
        return log1mexp(self.log_sf(value))
