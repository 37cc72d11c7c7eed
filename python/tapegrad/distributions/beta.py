"""Families on the unit interval and the simplex: beta, Kumaraswamy, Dirichlet; and the F distribution, a ratio of gammas."""

from __future__ import annotations

from typing import Any

from .. import _core, _sampling
from .._core import Variable
from .._dtypes import finfo
from .._generator import source
from .._special import betainc, betaincc, betaln, digamma, gammaln, xlog1py, xlogy
from . import constraints
from ._implicit import attach, beta_rule, dirichlet_rule
from ._quantile import beta_quantile, fisher_quantile, quantile
from .distribution import Distribution
from .gamma import standard_gamma
from .utils import as_floating, broadcast_all, euler_constant, one_hot_max, open_unit, outside


class Beta(Distribution):
    """The beta distribution on [0, 1]: x^(concentration1 - 1) (1 - x)^(concentration0 - 1) / B.

    `rsample` is differentiable in both parameters, by implicit differentiation, to rounding error.

    >>> tg.distributions.Beta(2.0, 2.0).log_prob(0.5)
    Variable(0.40546513)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Variable:
        a, b = self.concentration1, self.concentration0
        inner = (a >= 1.0) & (b >= 1.0) & (a + b > 2.0)
        # A density that is largest at one end has its mode there; at both ends, or nowhere more than elsewhere, it has none.
        end = _core.where((a < 1.0) & (b >= 1.0), 0.0, _core.where((a >= 1.0) & (b < 1.0), 1.0, float("nan")))
        return _core.where(inner, (a - 1.0) / _core.where(inner, a + b - 2.0, 1.0), end)

    @property
    def variance(self) -> Variable:
        a, b = self.concentration1, self.concentration0
        total = a + b
        return (a / total) * (b / total) / (total + 1.0)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        a, b = self.concentration1, self.concentration0
        z = _sampling.draw(_sampling.beta, self._extended_shape(sample_shape), (a, b), a.dtype, generator)
        info = finfo(a.dtype)
        return attach(beta_rule, _core.clip(z, float(info.smallest_normal), 1.0 - float(info.eps) / 2), a, b)

    def log_prob(self, value: Any) -> Variable:
        x, a, b = self._value(value), self.concentration1, self.concentration0
        wide = self._in_double(x, a, b)
        if wide is not None:
            return wide
        if self._within(x, 0.0, 1.0):
            return (a - 1.0) * _core.log(x) + (b - 1.0) * _core.log1p(-x) - betaln(a, b)
        inside = (x >= 0) & (x <= 1)
        y = _core.where(inside, x, 0.5)
        return outside(inside, xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b), x)

    def cdf(self, value: Any) -> Variable:
        return betainc(self.concentration1, self.concentration0, _core.clip(self._value(value), 0.0, 1.0))

    def sf(self, value: Any) -> Variable:
        return betaincc(self.concentration1, self.concentration0, _core.clip(self._value(value), 0.0, 1.0))

    def icdf(self, value: Any) -> Variable:
        return quantile(beta_quantile, betainc, self._level(value), self.concentration1, self.concentration0)

    def entropy(self) -> Variable:
        a, b = self.concentration1, self.concentration0
        total = a + b
        return betaln(a, b) - (a - 1.0) * digamma(a) - (b - 1.0) * digamma(b) + (total - 2.0) * digamma(total)


class Kumaraswamy(Distribution):
    """The Kumaraswamy distribution on [0, 1], whose survival function is (1 - x^a)^b.

    >>> tg.distributions.Kumaraswamy(2.0, 1.0).mean.round(4)
    Variable(0.6667)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def _log_moment(self, n: int) -> Variable:
        b = self.concentration0
        return _core.log(b) + betaln(1.0 + n / self.concentration1, b)

    @property
    def mean(self) -> Variable:
        return _core.exp(self._log_moment(1))

    @property
    def mode(self) -> Variable:
        a, b = self.concentration1, self.concentration0
        inner = (a >= 1.0) & (b >= 1.0) & (a * b > 1.0)
        ratio = _core.where(inner, a - 1.0, 1.0) / _core.where(inner, a * b - 1.0, 1.0)
        end = _core.where((a < 1.0) & (b >= 1.0), 0.0, _core.where((a >= 1.0) & (b < 1.0), 1.0, float("nan")))
        return _core.where(inner, ratio ** (1.0 / a), end)

    @property
    def variance(self) -> Variable:
        first = self._log_moment(1)
        return _core.exp(2.0 * first) * _core.expm1(self._log_moment(2) - 2.0 * first)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self._quantile(open_unit(source(generator), self._extended_shape(sample_shape), self.concentration1.dtype))

    def _quantile(self, p: Variable) -> Variable:
        return _core.exp(_core.log(-_core.expm1(_core.log1p(-p) / self.concentration0)) / self.concentration1)

    def _complement(self, x: Variable) -> Variable:
        """1 - x^a, without cancellation near 1."""
        return -_core.expm1(xlogy(self.concentration1, x))

    def log_prob(self, value: Any) -> Variable:
        x, a, b = self._value(value), self.concentration1, self.concentration0
        inside = (x >= 0) & (x <= 1)
        y = _core.where(inside, x, 0.5)
        return outside(inside, _core.log(a * b) + xlogy(a - 1.0, y) + xlogy(b - 1.0, self._complement(y)), x)

    def cdf(self, value: Any) -> Variable:
        x = _core.clip(self._value(value), 0.0, 1.0)
        return -_core.expm1(self.concentration0 * _core.log1p(-(x**self.concentration1)))

    def sf(self, value: Any) -> Variable:
        return self._complement(_core.clip(self._value(value), 0.0, 1.0)) ** self.concentration0

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def entropy(self) -> Variable:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1.0) + euler_constant
        return (1.0 - 1.0 / b) + (1.0 - 1.0 / a) * harmonic - _core.log(a * b)


class Dirichlet(Distribution):
    """The Dirichlet distribution over the simplex, with one concentration for each class.

    `rsample` is differentiable in the concentrations, by implicit differentiation of the marginals.

    >>> tg.distributions.Dirichlet(tg.Variable([1.0, 1.0])).log_prob([0.5, 0.5]).abs()
    Variable(0.)
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        self.concentration = as_floating(concentration)
        if self.concentration.ndim < 1:
            raise ValueError("Dirichlet: concentration must have one axis at least, the classes; got a number")
        super().__init__(self.concentration.shape[:-1], self.concentration.shape[-1:], validate_args=validate_args)

    def _total(self) -> Variable:
        return _core.sum(self.concentration, axis=-1, keepdims=True)

    @property
    def mean(self) -> Any:
        return self.concentration / self._total()

    @property
    def mode(self) -> Variable:
        a = _core.relu(self.concentration - 1.0)
        total = _core.sum(a, axis=-1, keepdims=True)
        # A class below 1 gets nothing. Where none is above 1 the density is largest at the vertex of the largest concentration.
        return _core.where(total > 0, a / _core.where(total > 0, total, 1.0), one_hot_max(self.concentration))

    @property
    def variance(self) -> Any:
        total = self._total()
        m = self.concentration / total
        return m * (1.0 - m) / (total + 1.0)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        a = self.concentration
        z = _sampling.draw(_sampling.dirichlet, self._extended_shape(sample_shape), (a,), a.dtype, generator)
        return attach(dirichlet_rule, z, a)

    def log_prob(self, value: Any) -> Variable:
        x, a = self._value(value), self.concentration
        wide = self._in_double(x, a)
        if wide is not None:
            return wide
        inside = _core.all(x >= 0, axis=-1)
        y = _core.where(x >= 0, x, 1.0)
        log_norm = gammaln(_core.sum(a, axis=-1)) - _core.sum(gammaln(a), axis=-1)
        return outside(inside, _core.sum(xlogy(a - 1.0, y), axis=-1) + log_norm)

    def entropy(self) -> Any:
        a, k = self.concentration, self.concentration.shape[-1]
        total = _core.sum(a, axis=-1)
        front = _core.sum(gammaln(a), axis=-1) - gammaln(total) - (k - total) * digamma(total)
        return front - _core.sum((a - 1.0) * digamma(a), axis=-1)


class FisherSnedecor(Distribution):
    """The F distribution: the ratio of two chi-squares over their degrees of freedom ``df1`` and ``df2``.

    >>> tg.distributions.FisherSnedecor(2.0, 4.0).mean
    Variable(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Variable:
        d = _core.where(self.df2 > 2.0, self.df2, 4.0)
        return _core.where(self.df2 > 2.0, d / (d - 2.0), float("nan"))

    @property
    def mode(self) -> Variable:
        return _core.relu(self.df1 - 2.0) / self.df1 * self.df2 / (self.df2 + 2.0)

    @property
    def variance(self) -> Variable:
        m, d = self.df1, _core.where(self.df2 > 4.0, self.df2, 6.0)
        v = 2.0 * _core.square(d) * (m + d - 2.0) / (m * _core.square(d - 2.0) * (d - 4.0))
        return _core.where(self.df2 > 4.0, v, float("nan"))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        shape = self._extended_shape(sample_shape)
        top, bottom = (standard_gamma(shape, 0.5 * d, generator) / d for d in (self.df1, self.df2))
        return top / bottom

    def _fractions(self, x: Variable) -> Variable:
        r = self.df1 * x
        return r / (r + self.df2)

    def log_prob(self, value: Any) -> Variable:
        x, a, b = self._value(value), 0.5 * self.df1, 0.5 * self.df2
        inside = (x >= 0) & (x < float("inf"))
        r = _core.where(inside, x, 1.0) * (self.df1 / self.df2)
        lp = xlogy(a - 1.0, r) - (a + b) * _core.log1p(r) + _core.log(self.df1 / self.df2) - betaln(a, b)
        return outside(inside, lp, x)

    def cdf(self, value: Any) -> Variable:
        return betainc(0.5 * self.df1, 0.5 * self.df2, self._fractions(_core.relu(self._value(value))))

    def sf(self, value: Any) -> Variable:
        x = _core.relu(self._value(value))
        return betainc(0.5 * self.df2, 0.5 * self.df1, self.df2 / (self.df1 * x + self.df2))

    def icdf(self, value: Any) -> Variable:
        def cdf(df1: Variable, df2: Variable, x: Variable) -> Variable:
            return betainc(0.5 * df1, 0.5 * df2, df1 * x / (df1 * x + df2))

        return quantile(fisher_quantile, cdf, self._level(value), self.df1, self.df2)
