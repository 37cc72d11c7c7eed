"""Batch axes as axes of the event."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from . import constraints
from .distribution import Distribution


def sum_rightmost(x: Variable, count: int) -> Variable:
    """The sum over the last axes."""
    return _core.sum(x, axis=tuple(range(-count, 0))) if count else x


class Independent(Distribution):
    """A distribution whose last ``reinterpreted_batch_ndims`` batch axes count as axes of one draw: `log_prob` sums over them.

    >>> d = tg.distributions.Independent(tg.distributions.Normal(tg.zeros((3,)), 1.0), 1)
    >>> d.batch_shape, d.event_shape, d.log_prob(tg.zeros((3,)))
    ((), (3,), Variable(-2.7568154))
    """

    arg_constraints: Any = {}

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        count, batch = int(reinterpreted_batch_ndims), base_distribution.batch_shape
        if not 0 <= count <= len(batch):
            raise ValueError(
                f"Independent: reinterpreted_batch_ndims is {count}, expected 0 to {len(batch)}, the number of batch axes of "
                f"{base_distribution}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        cut = len(batch) - count
        super().__init__(batch[:cut], batch[cut:] + base_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Independent, _instance)
        new.__dict__.update(self.__dict__)
        count = self.reinterpreted_batch_ndims
        new.base_dist = self.base_dist.expand((*batch_shape, *self._event_shape[:count]))
        new._batch_shape = tuple(batch_shape)
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """As the base, if no axis was taken into the event."""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        found = self.base_dist.support
        return constraints.independent(found, self.reinterpreted_batch_ndims) if self.reinterpreted_batch_ndims else found

    @property
    def mean(self) -> Variable:
        return self.base_dist.mean

    @property
    def mode(self) -> Variable:
        return self.base_dist.mode

    @property
    def variance(self) -> Variable:
        return self.base_dist.variance

    def _dtype(self) -> Any:
        return self.base_dist._dtype()

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self.base_dist.sample(sample_shape, **({} if generator is None else {"generator": generator}))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self.base_dist.rsample(sample_shape, **({} if generator is None else {"generator": generator}))

    def log_prob(self, value: Any) -> Variable:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Variable:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Variable:
        if self.reinterpreted_batch_ndims > 0:
            raise NotImplementedError("Independent: the product of supports is not enumerated; enumerate that of base_dist")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
