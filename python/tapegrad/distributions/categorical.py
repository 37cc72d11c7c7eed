"""Classes: categorical, one-hot categorical, multinomial, and their relaxations.

Weights of the classes are given as ``probs``, which need not add up to 1, or as ``logits``, their logarithms up to a constant.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core, _sampling
from .._arrays import broadcast_shapes
from .._core import Variable
from .._special import gammaln
from ..autograd import no_grad
from . import constraints
from .counts import Binomial, log_factorial
from .distribution import Distribution
from .utils import as_floating, one_hot_max, outside


class Categorical(Distribution):
    """A class number from 0 to K - 1; the last axis of ``probs`` or ``logits`` is that of the classes.

    >>> d = tg.distributions.Categorical(probs=tg.Variable([1.0, 3.0]))
    >>> d.log_prob(1), d.entropy()
    (Variable(-0.28768206), Variable(0.56233513))
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError(f"Categorical: expected one of probs and logits, got {'none' if probs is None else 'both'}")
        given = as_floating(logits if probs is None else probs)
        if given.ndim < 1:
            raise ValueError("Categorical: probs or logits must have one axis at least, the classes; got a number")
        if probs is None:
            self._logits = _core.log_softmax(given, axis=-1)
        else:
            self._probs = given / _core.sum(given, axis=-1, keepdims=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)
        if self._validate_args:
            constraint = constraints.real_vector if probs is None else constraints.independent(constraints.nonnegative, 1)
            self._require(constraint, given, f"the parameter {'logits' if probs is None else 'probs'}")
            self._require(constraints.real_vector, self._given(), "the sum of probs" if probs is not None else "logits")

    def _check_parameters(self) -> None:
        """Checks are made on what was given, in the constructor."""

    def _given(self) -> Variable:
        found: Variable = self.__dict__.get("_logits")  # type: ignore[assignment]
        return self._probs if found is None else found

    @property
    def probs(self) -> Variable:
        """The probabilities, which add up to 1."""
        return self._probs if "_probs" in self.__dict__ else _core.exp(self._logits)

    @property
    def logits(self) -> Variable:
        """The logarithms of the probabilities."""
        return self._logits if "_logits" in self.__dict__ else _core.log(self._probs)

    _probs: Variable
    _logits: Variable

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of the parameter that was given."""
        return self._given().shape

    @property
    def mean(self) -> Variable:
        return _core.full(self._batch_shape, float("nan"), dtype=self._dtype())

    @property
    def mode(self) -> Variable:
        return _core.argmax(self._given(), axis=-1)

    @property
    def variance(self) -> Variable:
        return _core.full(self._batch_shape, float("nan"), dtype=self._dtype())

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return _sampling.draw(_sampling.categorical, self._extended_shape(sample_shape), (self.probs,), _core.int64, generator)

    def log_prob(self, value: Any) -> Variable:
        if isinstance(value, Variable) and value.dtype.kind in "iu" and self._validate_args:
            self._validate_sample(value)
            x = value
        else:
            x = self._value(value)
        inside = None if self._validate_args else (x >= 0) & (x <= self._num_events - 1)
        at = (x if inside is None else _core.where(inside, x, 0.0)).astype(_core.int64)
        logits = self.logits
        shape = broadcast_shapes(at.shape, logits.shape[:-1])
        at = _core.broadcast_to(at, shape)
        if logits.ndim == 1:
            found = _core.take(logits, at.reshape(-1), axis=0).reshape(shape)
        else:
            wide = _core.broadcast_to(logits, (*shape, self._num_events))
            found = _core.take_along_axis(wide, at[..., None], axis=-1)[..., 0]
        return found if inside is None else outside(inside, found)

    def cdf(self, value: Any) -> Variable:
        k = _core.floor(self._value(value))[..., None]
        below = _core.arange(self._num_events, dtype=self._dtype()) <= k
        return _core.sum(_core.where(below, self.probs, 0.0), axis=-1)

    def entropy(self) -> Variable:
        p, logits = self.probs, self.logits
        return -_core.sum(p * _core.where(p > 0, logits, 0.0), axis=-1)

    def enumerate_support(self, expand: bool = True) -> Variable:
        return self._enumerated(_core.arange(self._num_events, dtype=_core.int64), expand)

    def __repr__(self) -> str:
        name = "logits" if "_logits" in self.__dict__ else "probs"
        return f"{type(self).__name__}({name}: array of shape {self._given().shape})"


class Classes(Distribution):
    """Base of one-hot vectors and counts of classes, which hold a `Categorical`."""

    arg_constraints: Any = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def _check_parameters(self) -> None:
        """Does nothing: the categorical distribution has checked its parameters."""

    def _dtype(self) -> Any:
        return self._categorical._dtype()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def probs(self) -> Variable:
        """The probabilities, which add up to 1."""
        return self._categorical.probs

    @property
    def logits(self) -> Variable:
        """The logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape


class OneHotCategorical(Classes):
    """A class as a vector with a 1 in its place.

    >>> tg.distributions.OneHotCategorical(probs=tg.Variable([1.0, 3.0])).mean
    Variable([0.25, 0.75])
    """

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, validate_args)

    @property
    def mean(self) -> Variable:
        return self.probs

    @property
    def mode(self) -> Variable:
        return one_hot_max(self._categorical._given())

    @property
    def variance(self) -> Variable:
        return self.probs * (1.0 - self.probs)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        at = self._categorical.sample(sample_shape, generator=generator)
        return (at[..., None] == _core.arange(self._event_shape[0], dtype=_core.int64)).astype(self._dtype())

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        return _core.sum(x * _core.where(x != 0, self.logits, 0.0), axis=-1)

    def entropy(self) -> Variable:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Variable:
        n = self._event_shape[0]
        values = _core.eye(n, dtype=self._dtype()).reshape(n, *(1,) * len(self._batch_shape), n)
        return _core.broadcast_to(values, (n, *self._batch_shape, n)) if expand else values

    def __repr__(self) -> str:
        return repr(self._categorical).replace("Categorical", type(self).__name__, 1)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """A `OneHotCategorical` whose `rsample` passes the gradient to the probabilities as if it were the mean (arXiv 1308.3432).

    >>> probs = tg.tensor([0.2, 0.8], requires_grad=True)
    >>> tg.distributions.OneHotCategoricalStraightThrough(probs).rsample().requires_grad
    True
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        with no_grad():
            drawn = self.sample(sample_shape, generator=generator)
        return drawn + (self.probs - self.probs.detach())


class Multinomial(Classes):
    """How often each class was drawn in ``total_count`` draws.

    >>> tg.distributions.Multinomial(4, probs=tg.Variable([0.5, 0.5])).mean
    Variable([2., 2.])
    """

    total_count: int

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if not isinstance(total_count, int) or total_count < 0:
            raise ValueError(f"Multinomial: total_count must be one int from 0 on, got {total_count!r}")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Variable:
        return self.probs * self.total_count

    @property
    def variance(self) -> Variable:
        return self.total_count * self.probs * (1.0 - self.probs)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        params = (_core.asarray(self.total_count), self.probs)
        return _sampling.draw(_sampling.multinomial, self._extended_shape(sample_shape), params, self._dtype(), generator)

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        inside = _core.all(x >= 0, axis=-1)
        y = _core.relu(x)
        powers = y * _core.where(y > 0, self.logits, 0.0)
        factorials = log_factorial(y, self._validate_args)
        lp = gammaln(_core.sum(y, axis=-1) + 1.0) + _core.sum(powers - factorials, axis=-1)
        return outside(inside, lp)

    def entropy(self) -> Variable:
        n = self.total_count
        if n == 0:
            return _core.zeros(self._batch_shape, dtype=self._dtype())
        counts = Binomial(n, probs=self.probs, validate_args=False)
        k = counts.enumerate_support(expand=False)[1:]
        expected = _core.sum(_core.exp(counts.log_prob(k)) * gammaln(k + 1.0), axis=(0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1.0) + expected

    def __repr__(self) -> str:
        return repr(self._categorical).replace("Categorical(", f"{type(self).__name__}(total_count: {self.total_count}, ", 1)
