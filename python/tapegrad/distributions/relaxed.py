"""Continuous relaxations of discrete distributions (Maddison et al., arXiv 1611.00712; Jang et al., arXiv 1611.01144)."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from .._generator import source
from .._special import gammaln
from . import constraints
from .categorical import Classes
from .counts import _Odds
from .transformed import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import as_floating, open_unit


class LogitRelaxedBernoulli(_Odds):
    """The log-odds of a `RelaxedBernoulli`.

    >>> tg.distributions.LogitRelaxedBernoulli(1.0, probs=0.5).log_prob(0.0)
    Variable(-1.3862944)
    """

    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        p, self.temperature = self._set_odds(probs, logits, temperature)
        super().__init__(p.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        u = open_unit(source(generator), self._extended_shape(sample_shape), self._dtype())
        return (_core.log(u) - _core.log1p(-u) + self.logits) / self.temperature

    def log_prob(self, value: Any) -> Any:
        d = self.logits - self._value(value) * self.temperature
        return _core.log(self.temperature) + d - 2.0 * _core.softplus(d)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that are nearly 0 or 1 at a low ``temperature``, differentiable in the probability.

    >>> tg.distributions.RelaxedBernoulli(0.5, probs=tg.Variable([0.1, 0.9])).rsample().shape
    (2,)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    base_dist: LogitRelaxedBernoulli

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def _check_parameters(self) -> None:
        """Does nothing: the base distribution has checked its parameters."""

    @property
    def temperature(self) -> Variable:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Variable:
        """The probability of 1."""
        return self.base_dist.probs

    @property
    def logits(self) -> Variable:
        """The log-odds of 1."""
        return self.base_dist.logits


class ExpRelaxedCategorical(Classes):
    """The logarithms of a `RelaxedOneHotCategorical`."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self.temperature = as_floating(temperature)
        super().__init__(probs, logits, validate_args)

    def _check_parameters(self) -> None:
        self._require(constraints.positive, self.temperature, "the parameter temperature")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._categorical, new._batch_shape = self._categorical.expand(batch_shape), tuple(batch_shape)
        return new

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        u = open_unit(source(generator), self._extended_shape(sample_shape), self._dtype())
        scores = (self.logits - _core.log(-_core.log(u))) / self.temperature
        return _core.log_softmax(scores, axis=-1)

    def log_prob(self, value: Any) -> Any:
        x, k = self._value(value), self._event_shape[0]
        log_scale = gammaln(_core.asarray(float(k), dtype=self._dtype())) + (k - 1.0) * _core.log(self.temperature)
        score = self.logits - x * self.temperature
        return _core.sum(score - _core.logsumexp(score, axis=-1, keepdims=True), axis=-1) + log_scale


class RelaxedOneHotCategorical(TransformedDistribution):
    """Points of the simplex that are nearly one-hot at a low ``temperature`` (Gumbel softmax).

    >>> d = tg.distributions.RelaxedOneHotCategorical(0.5, logits=tg.zeros((3,)))
    >>> d.rsample((2,)).shape
    (2, 3)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    base_dist: ExpRelaxedCategorical

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    _check_parameters = RelaxedBernoulli._check_parameters
    temperature = RelaxedBernoulli.temperature
    probs = RelaxedBernoulli.probs
    logits = RelaxedBernoulli.logits
