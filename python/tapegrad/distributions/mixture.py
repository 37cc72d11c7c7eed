"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from ..autograd import no_grad
from . import constraints
from .categorical import Categorical
from .distribution import Distribution
from .utils import as_floating


class MixtureSameFamily(Distribution):
    """A draw from one of K components, whose number a `Categorical` draws; the last batch axis of the components has size K.

    >>> D = tg.distributions
    >>> mix = D.Categorical(probs=tg.Variable([0.5, 0.5]))
    >>> d = D.MixtureSameFamily(mix, D.Normal(tg.Variable([-1.0, 1.0]), 1.0))
    >>> d.mean, d.variance
    (Variable(0.), Variable(2.))
    """

    arg_constraints: Any = {}

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(f"MixtureSameFamily: the mixture must be a Categorical, got {type(mixture_distribution).__name__}")
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                f"MixtureSameFamily: the components must be a Distribution, got {type(component_distribution).__name__}"
            )
        own, batch = mixture_distribution.batch_shape, component_distribution.batch_shape
        count = mixture_distribution.param_shape[-1]
        if not batch or batch[-1] != count:
            raise _core.ShapeError(
                f"MixtureSameFamily: {count} weights and components of batch shape {batch} do not fit; expected the last "
                "batch axis to be that of the components"
            )
        try:
            broadcast_shapes(own, batch[:-1])
        except ValueError:
            raise _core.ShapeError(
                f"MixtureSameFamily: the batch shape {own} of the weights does not fit that of the components, {batch[:-1]}"
            ) from None
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        self._num_component = count
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        new.__dict__.update(self.__dict__)
        new._component_distribution = self._component_distribution.expand((*batch_shape, self._num_component))
        new._mixture_distribution = self._mixture_distribution.expand(tuple(batch_shape))
        new._batch_shape = tuple(batch_shape)
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of the number of the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch axis."""
        return self._component_distribution

    def _dtype(self) -> Any:
        return self._component_distribution._dtype()

    def _axis(self) -> int:
        return -1 - len(self._event_shape)

    def _weights(self) -> Variable:
        p = self._mixture_distribution.probs
        return p.reshape((*p.shape, *(1,) * len(self._event_shape)))

    @property
    def mean(self) -> Variable:
        return _core.sum(self._weights() * self._component_distribution.mean, axis=self._axis())

    @property
    def variance(self) -> Variable:
        # The law of total variance.
        w, parts = self._weights(), self._component_distribution
        inner = _core.sum(w * parts.variance, axis=self._axis())
        apart = parts.mean - _core.expand_dims(self.mean, self._axis())
        return inner + _core.sum(w * _core.square(apart), axis=self._axis())

    def _inserted(self, value: Any) -> Variable:
        value = (
            as_floating(value, self._dtype())
            if not isinstance(value, (int, float))
            else _core.asarray(float(value), dtype=self._dtype())
        )
        if self._validate_args:
            self._validate_sample(value)
        return _core.expand_dims(value, self._axis())

    def log_prob(self, value: Any) -> Variable:
        lp = self._component_distribution.log_prob(self._inserted(value))
        return _core.logsumexp(self._mixture_distribution.logits + lp, axis=-1)

    def cdf(self, value: Any) -> Variable:
        return _core.sum(self._mixture_distribution.probs * self._component_distribution.cdf(self._inserted(value)), axis=-1)

    def sf(self, value: Any) -> Variable:
        return _core.sum(self._mixture_distribution.probs * self._component_distribution.sf(self._inserted(value)), axis=-1)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        options = {} if generator is None else {"generator": generator}
        with no_grad():
            which = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape, **options)
            drawn = self._component_distribution.sample(sample_shape, **options)
            event = len(self._event_shape)
            at = which.reshape((*which.shape, *(1,) * (event + 1)))
            at = _core.broadcast_to(at, (*which.shape, 1, *self._event_shape))
            return _core.squeeze(_core.take_along_axis(drawn, at, axis=self._axis()), axis=self._axis())

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture_distribution}, {self._component_distribution})"
