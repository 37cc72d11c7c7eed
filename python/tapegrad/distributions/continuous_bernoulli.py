"""The continuous Bernoulli distribution (Loaiza-Ganem & Cunningham, arXiv 1907.06845)."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from .._generator import source
from . import constraints
from .counts import _Odds
from .utils import open_unit, outside

#: Below this magnitude of the log-odds, series are used.
_SMALL = 0.03


class ContinuousBernoulli(_Odds):
    """Numbers in [0, 1] with the density that is proportional to ``probs^x (1 - probs)^(1 - x)``.

    >>> tg.distributions.ContinuousBernoulli(probs=0.5).log_prob(0.3).abs()
    Variable(0.)
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        (p,) = self._set_odds(probs, logits)
        super().__init__(p.shape, validate_args=validate_args)

    def _parts(self, limit: float = _SMALL) -> tuple[Variable, Variable, Variable]:
        """The log-odds, whether they are small, and log-odds in which small ones are replaced."""
        t = self.logits
        small = _core.abs(t) < limit
        return t, small, _core.where(small, 1.0, t)

    def _log_norm(self) -> Variable:
        """log of (exp(t) - 1) / t = exp(t / 2) sinh(t / 2) / (t / 2)."""
        t, small, far = self._parts()
        h = _core.abs(far)
        large = 0.5 * h + _core.log(-_core.expm1(-h) / h)
        s = _core.square(_core.where(small, t, 0.0))
        return 0.5 * t + _core.where(small, s * (1.0 / 24.0 - s / 2880.0), large)

    @property
    def mean(self) -> Variable:
        t, small, far = self._parts()
        near = _core.where(small, t, 0.0)
        series = 0.5 + near / 12.0 - near**3 / 720.0 + near**5 / 30240.0
        return _core.where(small, series, -1.0 / _core.expm1(-far) - 1.0 / far)

    @property
    def variance(self) -> Variable:
        t, small, far = self._parts()
        s = _core.square(_core.where(small, t, 0.0))
        h = _core.abs(far)
        # 1 / (4 sinh²(h / 2)) = exp(-h) / (1 - exp(-h))².
        large = 1.0 / _core.square(h) - _core.exp(-h) / _core.square(_core.expm1(-h))
        return _core.where(small, 1.0 / 12.0 - s / 240.0 + _core.square(s) / 6048.0, large)

    def log_prob(self, value: Any) -> Variable:
        x = self._value(value)
        return outside((x >= 0) & (x <= 1), self.logits * x - self._log_norm(), x)

    def _tiny(self) -> float:
        """Where the series of second order are exact to rounding."""
        return 1e-4 if self._dtype() == _core.float64 else 1e-2

    def cdf(self, value: Any) -> Variable:
        x = _core.clip(self._value(value), 0.0, 1.0)
        t, small, far = self._parts(self._tiny())
        near = _core.where(small, t, 0.0)
        series = x * (1.0 + 0.5 * near * (x - 1.0) * (1.0 + near * (2.0 * x - 1.0) / 6.0))
        # For positive t the formula is written with exp(-t), so that nothing overflows.
        h = _core.abs(far)
        low = _core.expm1(-h * x) / _core.expm1(-h)
        high = _core.exp(-h * (1.0 - x)) * low
        return _core.where(small, series, _core.where(t > 0, high, low))

    def _quantile(self, p: Variable) -> Variable:
        t, small, far = self._parts(self._tiny())
        near = _core.where(small, t, 0.0)
        series = p * (1.0 + 0.5 * near * (1.0 - p) * (1.0 + near * (1.0 - 2.0 * p) / 3.0))
        h = _core.abs(far)
        q = _core.where(t > 0, 1.0 - p, p)
        x = -_core.log1p(q * _core.expm1(-h)) / h
        return _core.where(small, series, _core.where(t > 0, 1.0 - x, x))

    def icdf(self, value: Any) -> Variable:
        return self._quantile(self._level(value))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        return self._quantile(open_unit(source(generator), self._extended_shape(sample_shape), self._dtype()))

    def entropy(self) -> Variable:
        return self._log_norm() - self.logits * self.mean
