"""Whole numbers: Bernoulli, binomial, geometric, negative binomial, Poisson.

Where a probability is a parameter it is given as ``probs`` or as ``logits``, the log-odds; the other one is computed when it is
asked for.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core, _sampling
from .._core import Variable
from .._generator import source
from .._special import betainc, betaincc, betaln, gammaincc, gammaln, log_expit, xlog1py, xlogy
from . import constraints
from .distribution import Distribution, _is_hidden
from .utils import binary_entropy, broadcast_all, log1mexp, logits_to_probs, open_unit, outside, probs_to_logits


class _Odds(Distribution):
    """A probability as ``probs`` or ``logits``."""

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}

    def _set_odds(self, probs: Any, logits: Any, *others: Any) -> tuple[Variable, ...]:
        """Keeps the form that was given, and returns all parameters of one shape; the probability is the first."""
        if (probs is None) == (logits is None):
            given = "none" if probs is None else "both"
            raise ValueError(f"{type(self).__name__}: expected one of probs and logits, got {given}")
        self._name = "logits" if probs is None else "probs"
        found = broadcast_all(logits if probs is None else probs, *others)
        self.__dict__["_" + self._name] = found[0]
        return found

    @property
    def probs(self) -> Variable:
        """The probability of success."""
        found: Variable = self.__dict__.get("_probs")  # type: ignore[assignment]
        return logits_to_probs(self._logits, is_binary=True) if found is None else found

    @property
    def logits(self) -> Variable:
        """The log-odds of success."""
        found: Variable = self.__dict__.get("_logits")  # type: ignore[assignment]
        return probs_to_logits(self._probs, is_binary=True) if found is None else found

    _probs: Variable
    _logits: Variable

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of the parameter that was given."""
        return (self._probs if self._name == "probs" else self._logits).shape

    def _check_parameters(self) -> None:
        self._require(self.arg_constraints[self._name], self.__dict__["_" + self._name], f"the parameter {self._name}")

    def _failure(self) -> Variable:
        """1 - probs, without cancellation."""
        return 1.0 - self._probs if self._name == "probs" else _core.sigmoid(-self._logits)

    def _log_powers(self, k: Any, m: Any) -> Any:
        """k log(probs) + m log(1 - probs), where 0 times -inf is 0."""
        if self._name == "probs":
            return xlogy(k, self._probs) + xlog1py(m, -self._probs)
        return k * log_expit(self._logits) + m * log_expit(-self._logits)

    def __repr__(self) -> str:
        value = self.__dict__["_" + self._name]
        plain = value.size == 1 and _core._lifted(value) is None
        return f"{type(self).__name__}({self._name}: {value.item() if plain else f'array of shape {value.shape}'})"


class Bernoulli(_Odds):
    """1 with probability ``probs``, else 0.

    >>> d = tg.distributions.Bernoulli(probs=0.25)
    >>> d.log_prob(1.0), d.variance
    (Variable(-1.3862944), Variable(0.1875))
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        (p,) = self._set_odds(probs, logits)
        super().__init__(p.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.probs

    @property
    def mode(self) -> Variable:
        p = self.probs.detach()
        return _core.where(p == 0.5, float("nan"), (p > 0.5).astype(p.dtype))

    @property
    def variance(self) -> Variable:
        return self.probs * self._failure()

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        p, shape = self.probs.detach(), self._extended_shape(sample_shape)
        u = source(generator).rand(*shape or ((),), dtype=p.dtype)
        return (u < p).astype(p.dtype)

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        if not self._inside(x):
            return outside((x >= 0) & (x <= 1), self._log_mass(x), x)
        # 0 or 1: then this is log p or log(1 - p), and loses no digits.
        return -_core.softplus((1.0 - 2.0 * x) * self._logits) if self._name == "logits" else self._log_mass(x)

    def _log_mass(self, x: Variable) -> Any:
        if self._name == "logits":
            x, logits = _core.broadcast_arrays(x, self._logits)
            # max(l, 0) - l x + log(1 + exp(-|l|)), which loses no digits on either side.
            return -_core.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return self._log_powers(x, 1.0 - x)

    def cdf(self, value: Any) -> Variable:
        x = self._value(value)
        return _core.where(x < 0, 0.0, _core.where(x < 1, self._failure(), 1.0))

    def entropy(self) -> Variable:
        if self._name == "probs":
            return -(xlogy(self._probs, self._probs) + xlog1py(1.0 - self._probs, -self._probs))
        return binary_entropy(self._logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Variable:
        return self._enumerated(_core.arange(2, dtype=self._dtype()), expand)


class Geometric(_Odds):
    """The number of failures before the first success, from 0 on.

    >>> tg.distributions.Geometric(probs=0.25).mean
    Variable(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        (p,) = self._set_odds(probs, logits)
        super().__init__(p.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self._name == "probs":
            self._require(constraints.positive, self._probs, "the parameter probs")

    @property
    def mean(self) -> Variable:
        return self._failure() / self.probs

    @property
    def mode(self) -> Variable:
        return _core.zeros_like(self.probs)

    @property
    def variance(self) -> Variable:
        return self._failure() / _core.square(self.probs)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        p = self.probs.detach()
        u = open_unit(source(generator), self._extended_shape(sample_shape), p.dtype)
        return _core.floor(_core.log(u) / _core.log1p(-p))

    def log_prob(self, value: Any) -> Variable:
        k = self._value(value)
        x, inside = k, k >= 0
        k = _core.where(inside, k, 0.0)
        return outside(inside, self._log_powers(_core.ones_like(k), k), x)

    def log_sf(self, value: Any) -> Any:
        k = _core.maximum(_core.floor(self._value(value)), -1.0) + 1.0
        return self._log_powers(_core.zeros_like(k), k)

    def sf(self, value: Any) -> Variable:
        return _core.exp(self.log_sf(value))

    def cdf(self, value: Any) -> Variable:
        return -_core.expm1(self.log_sf(value))

    def log_cdf(self, value: Any) -> Variable:
        return log1mexp(self.log_sf(value))

    def entropy(self) -> Variable:
        if self._name == "probs":
            return -(xlogy(self._probs, self._probs) + xlog1py(1.0 - self._probs, -self._probs)) / self._probs
        return binary_entropy(self._logits, self.probs) / self.probs


def log_choose(n: Variable, k: Variable) -> Variable:
    """log(n! / (k! (n - k)!)), accurate for large n."""
    return -_core.log1p(n) - betaln(n - k + 1.0, k + 1.0)


class Binomial(_Odds):
    """The number of successes in ``total_count`` trials.

    >>> tg.distributions.Binomial(4, probs=0.5).log_prob(2.0)
    Variable(-0.98082924)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        p, self.total_count = self._set_odds(probs, logits, total_count)
        super().__init__(p.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._require(self.arg_constraints["total_count"], self.total_count, "the parameter total_count")

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Variable:
        return self.total_count * self.probs

    @property
    def mode(self) -> Variable:
        return _core.clip(_core.floor((self.total_count + 1.0) * self.probs.detach()), None, self.total_count)

    @property
    def variance(self) -> Variable:
        return self.total_count * self.probs * self._failure()

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        params = (self.total_count, self.probs)
        return _sampling.draw(_sampling.binomial, self._extended_shape(sample_shape), params, params[1].dtype, generator)

    def log_prob(self, value: Any) -> Variable:
        k, n = self._value(value), self.total_count
        wide = self._in_double(k, n)
        if wide is not None:
            return wide
        x, inside = k, (k >= 0) & (k <= n)
        k = _core.where(inside, k, 0.0)
        return outside(inside, log_choose(n, k) + self._log_powers(k, n - k), x)

    def _tail(self, value: Any, upper: bool) -> Variable:
        k, n, p = _core.broadcast_arrays(_core.floor(self._value(value)), self.total_count, self.probs)
        inside = (k >= 0) & (k < n)
        j, m = _core.where(inside, k, 0.0), _core.where(inside, n, 1.0)
        found = (betainc if upper else betaincc)(j + 1.0, m - j, p)
        low, high = (1.0, 0.0) if upper else (0.0, 1.0)
        return _core.where(inside, found, _core.where(k < 0, low, high))

    def cdf(self, value: Any) -> Variable:
        return self._tail(value, upper=False)

    def sf(self, value: Any) -> Variable:
        return self._tail(value, upper=True)

    def _range(self) -> int:
        return int(_core.max(_core._innermost(self.total_count)).item()) if self.total_count.size else 0

    def entropy(self) -> Variable:
        values = self._enumerated(_core.arange(self._range() + 1, dtype=self._dtype()), expand=True)
        inside = values <= self.total_count
        k = _core.where(inside, values, 0.0)
        lp = log_choose(self.total_count, k) + self._log_powers(k, self.total_count - k)
        p = _core.where(inside, _core.exp(lp), 0.0)
        return -_core.sum(p * _core.where(p > 0, lp, 0.0), axis=0)

    def enumerate_support(self, expand: bool = True) -> Variable:
        n = self._range()
        if self.total_count.size and float(_core.min(_core._innermost(self.total_count)).item()) != n:
            raise NotImplementedError("Binomial: enumerate_support needs the same total_count in all of the batch")
        return self._enumerated(_core.arange(n + 1, dtype=self._dtype()), expand)


class NegativeBinomial(_Odds):
    """The number of successes, each with probability ``probs``, before ``total_count`` failures.

    >>> tg.distributions.NegativeBinomial(3.0, probs=0.5).mean
    Variable(3.)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        p, self.total_count = self._set_odds(probs, logits, total_count)
        super().__init__(p.shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._require(self.arg_constraints["total_count"], self.total_count, "the parameter total_count")

    def _odds(self) -> Variable:
        return self._probs / (1.0 - self._probs) if self._name == "probs" else _core.exp(self._logits)

    @property
    def mean(self) -> Variable:
        return self.total_count * self._odds()

    @property
    def mode(self) -> Variable:
        return _core.relu(_core.floor((self.total_count - 1.0) * self._odds().detach()))

    @property
    def variance(self) -> Variable:
        return self.mean / self._failure()

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        params = (self.total_count, self._odds())
        return _sampling.draw(_sampling.negative_binomial, self._extended_shape(sample_shape), params, params[1].dtype, generator)

    def log_prob(self, value: Any) -> Variable:
        k, r = self._value(value), self.total_count
        wide = self._in_double(k, k, r)
        if wide is not None:
            return wide
        x, inside = k, k >= 0
        k = _core.where(inside, k, 0.0)
        # log Γ(r + k) / (Γ(r) k!) = -log((r + k) B(r, k + 1)); at k = 0 it is 0 for every r.
        positive = k > 0
        m = _core.where(positive, k, 1.0)
        coefficient = _core.where(positive, -_core.log(r + m) - betaln(_core.where(r > 0, r, 1.0), m + 1.0), 0.0)
        lp = outside(~(positive & (r == 0)), coefficient + self._log_powers(k, r))
        return outside(inside, lp, x)

    def _tail(self, value: Any, upper: bool) -> Variable:
        k, r, p = _core.broadcast_arrays(_core.floor(self._value(value)), self.total_count, self.probs)
        inside = (k >= 0) & (r > 0)
        j, r = _core.where(inside, k, 0.0), _core.where(inside, r, 1.0)
        found = (betainc if upper else betaincc)(j + 1.0, r, p)
        low, high = (1.0, 0.0) if upper else (0.0, 1.0)
        return _core.where(inside, found, _core.where(k < 0, low, high))

    def cdf(self, value: Any) -> Variable:
        return self._tail(value, upper=False)

    def sf(self, value: Any) -> Variable:
        return self._tail(value, upper=True)


#: log k! of the counts below this is looked up.
_FACTORIALS = 256


def log_factorial(k: Variable, whole: bool) -> Any:
    """log k!; of small counts that are known to be whole numbers, and have no derivative, it is looked up."""
    if not whole or k.requires_grad or not k.size or _is_hidden(k) or float(_core.max(k).item()) >= _FACTORIALS:
        return gammaln(k + 1.0)
    import numpy as np

    table = np.array([math.lgamma(n + 1.0) for n in range(_FACTORIALS)]).astype(str(k.dtype))
    return _core.asarray(table.take(k.detach().numpy().astype(np.intp), mode="clip"))


#: From this rate on the asymptotic series of the entropy is exact to rounding.
_LARGE_RATE = 1000.0


class Poisson(Distribution):
    """Counts of events with mean ``rate``.

    >>> tg.distributions.Poisson(2.0).log_prob(0.0)
    Variable(-2.)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.rate

    @property
    def mode(self) -> Variable:
        return _core.floor(self.rate)

    @property
    def variance(self) -> Variable:
        return self.rate

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return _sampling.draw(_sampling.poisson, self._extended_shape(sample_shape), (self.rate,), self.rate.dtype, generator)

    def log_prob(self, value: Any) -> Any:
        k = self._value(value)
        wide = self._in_double(k, k, self.rate)
        if wide is not None:
            return wide
        if self._inside(k):
            return self._log_power(k) - self.rate - log_factorial(k, whole=True)
        x, inside = k, k >= 0
        k = _core.where(inside, k, 0.0)
        return outside(inside, xlogy(k, self.rate) - self.rate - gammaln(k + 1.0), x)

    def _log_power(self, k: Variable) -> Variable:
        """k log(rate), 0 for k = 0."""
        return k * _core.log(self.rate) if self._within(self.rate, 0.0, float("inf")) else xlogy(k, self.rate)

    def _shape(self, value: Any) -> tuple[Variable, Variable]:
        k = _core.floor(self._value(value))
        return k >= 0, _core.relu(k) + 1.0

    def cdf(self, value: Any) -> Variable:
        inside, shape = self._shape(value)
        return _core.where(inside, gammaincc(shape, self.rate), 0.0)

    def sf(self, value: Any) -> Variable:
        from .._special import gammainc

        inside, shape = self._shape(value)
        return _core.where(inside, gammainc(shape, self.rate), 1.0)

    def entropy(self) -> Variable:
        """By the sum over all counts that matter; for large rates by the asymptotic series (Evans & Boersma 1988)."""
        small = self.rate < _LARGE_RATE
        r = _core.where(small, self.rate, 1.0)
        plain = _core._innermost(r)
        top = float(_core.max(plain).item()) if plain.size else 0.0
        k = self._enumerated(_core.arange(int(top + 12.0 * math.sqrt(top) + 40.0), dtype=self._dtype()), expand=True)
        lp = xlogy(k, r) - r - gammaln(k + 1.0)
        p = _core.exp(lp)
        total = -_core.sum(p * _core.where(p > 0, lp, 0.0), axis=0)
        x = _core.where(small, _LARGE_RATE, self.rate)
        series = 0.5 * _core.log((2.0 * math.pi * math.e) * x) - 1.0 / (12.0 * x) - 1.0 / (24.0 * x * x) - 19.0 / (360.0 * x**3)
        return _core.where(small, total, series)
