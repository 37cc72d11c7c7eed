"""The von Mises distribution of angles."""

from __future__ import annotations

import math
from typing import Any

from .. import _core, _sampling
from .._core import Variable
from .._special import i0e, i1e
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all


class VonMises(Distribution):
    """The von Mises distribution of an angle, in radians: exp(concentration cos(x - loc)) / (2π I0(concentration)).

    Samples are in [-π, π); values of `log_prob` may be any angle. `variance` is the circular one.

    >>> tg.distributions.VonMises(0.0, 1.0).log_prob(0.0).round(4)
    Variable(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.loc

    @property
    def mode(self) -> Variable:
        return self.loc

    @property
    def variance(self) -> Variable:
        return 1.0 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        k, shape = self.concentration, self._extended_shape(sample_shape)
        z = _sampling.draw(_sampling.von_mises, shape, (k,), k.dtype, generator) + self.loc.detach()
        return _core.remainder(z + math.pi, 2 * math.pi) - math.pi

    def log_prob(self, value: Any) -> Variable:
        d, k = self._value(value) - self.loc, self.concentration
        # cos d - 1 = -2 sin²(d / 2), without cancellation.
        return -2.0 * k * _core.square(_core.sin(0.5 * d)) - _core.log((2 * math.pi) * i0e(k))

    def entropy(self) -> Variable:
        k = self.concentration
        ratio = i1e(k) / i0e(k)
        return _core.log((2 * math.pi) * i0e(k)) + k * (1.0 - ratio)
