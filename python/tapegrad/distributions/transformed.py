"""Distributions of transformed draws."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from ..autograd import no_grad
from . import constraints
from .distribution import Distribution
from .independent import Independent, sum_rightmost
from .normal import Normal
from .transforms import ComposeTransform, StickBreakingTransform, Transform
from .utils import as_floating


class TransformedDistribution(Distribution):
    """The distribution of ``transforms`` of a draw of ``base_distribution``.

    >>> D = tg.distributions
    >>> d = D.TransformedDistribution(D.Normal(0.0, 1.0), [D.ExpTransform(), D.AffineTransform(1.0, 2.0)])
    >>> d.log_prob(3.0)
    Variable(-1.6120857)
    """

    arg_constraints: Any = {}

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None) -> None:
        found = list(transforms) if hasattr(transforms, "__iter__") else [transforms]
        if not all(isinstance(t, Transform) for t in found):
            raise ValueError(f"TransformedDistribution: transforms must be a Transform or a list of them, got {transforms!r}")
        self.transforms: list[Transform] = found
        batch, event = base_distribution.batch_shape, base_distribution.event_shape
        chain = ComposeTransform(found)
        if len(batch) + len(event) < chain.domain.event_dim:
            raise _core.ShapeError(
                f"TransformedDistribution: the transforms take values of {chain.domain.event_dim} axes, the base has the shape "
                f"{batch + event}"
            )
        out = chain.forward_shape(batch + event)
        # Transforms that broadcast need a base of the broadcast shape.
        wide = chain.inverse_shape(out)
        if wide != batch + event:
            base_distribution = base_distribution.expand(wide[: len(wide) - len(event)])
        extra = chain.domain.event_dim - len(event)
        if extra > 0:
            base_distribution = Independent(base_distribution, extra)
        self.base_dist = base_distribution
        event_dim = chain.codomain.event_dim + max(len(event) - chain.domain.event_dim, 0)
        cut = len(out) - event_dim
        super().__init__(out[:cut], out[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(TransformedDistribution, _instance)
        new.__dict__.update(self.__dict__)
        shape = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self._event_shape))
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new._batch_shape = tuple(batch_shape)
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        extra = len(self._event_shape) - found.event_dim
        return constraints.independent(found, extra) if extra > 0 else found

    def _dtype(self) -> Any:
        return self.base_dist._dtype()

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        with no_grad():
            x = self.base_dist.sample(sample_shape, **({} if generator is None else {"generator": generator}))
            for t in self.transforms:
                x = t(x)
            return x

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        x = self.base_dist.rsample(sample_shape, **({} if generator is None else {"generator": generator}))
        for t in self.transforms:
            x = t(x)
        return x

    def _given(self, value: Any) -> Variable:
        # The same object, so that transforms find it in their caches.
        return value if isinstance(value, Variable) and value.dtype.is_floating_point else as_floating(value, self._dtype())

    def log_prob(self, value: Any) -> Variable:
        y = self._given(value)
        if self._validate_args:
            self._validate_sample(y)
        dim, total = len(self._event_shape), None
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            dim += t.domain.event_dim - t.codomain.event_dim
            term = sum_rightmost(t.log_abs_det_jacobian(x, y), dim - t.domain.event_dim)
            total = term if total is None else total + term
            y = x
        lp = sum_rightmost(self.base_dist.log_prob(y), dim - len(self.base_dist.event_shape))
        return lp if total is None else lp - total

    def _monotone(self, value: Any, forward: bool) -> tuple[Variable, Any]:
        sign: Any = 1
        for t in self.transforms:
            sign = sign * t.sign
        if not forward:
            return value, sign
        value = self._given(value)
        if self._validate_args:
            self._validate_sample(value)
        for t in reversed(self.transforms):
            value = t._inv_call(value)
        return value, sign

    def cdf(self, value: Any) -> Variable:
        x, sign = self._monotone(value, forward=True)
        return self._signed(sign, lambda: self.base_dist.cdf(x), lambda: self.base_dist.sf(x))

    def sf(self, value: Any) -> Variable:
        x, sign = self._monotone(value, forward=True)
        return self._signed(sign, lambda: self.base_dist.sf(x), lambda: self.base_dist.cdf(x))

    @staticmethod
    def _signed(sign: Any, up: Any, down: Any) -> Variable:
        if isinstance(sign, Variable):
            return _core.where(sign > 0, up(), down())
        found: Variable = up() if sign > 0 else down()
        return found

    def icdf(self, value: Any) -> Variable:
        p, sign = self._monotone(self._level(value), forward=False)
        x = self._signed(sign, lambda: self.base_dist.icdf(p), lambda: self.base_dist.icdf(1.0 - p))
        for t in self.transforms:
            x = t(x)
        return x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"


class LogisticNormal(TransformedDistribution):
    """A normal distribution of K - 1 numbers, mapped to the simplex by `StickBreakingTransform`.

    >>> tg.distributions.LogisticNormal(tg.zeros((2,)), 1.0).event_shape
    (3,)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=False)
        if validate_args is not None:
            self._validate_args = validate_args
        else:
            del self._validate_args

    @property
    def loc(self) -> Variable:
        """The means of the normal numbers."""
        found: Variable = self.base_dist.base_dist.loc  # type: ignore[attr-defined]
        return found

    @property
    def scale(self) -> Variable:
        """Their standard deviations."""
        found: Variable = self.base_dist.base_dist.scale  # type: ignore[attr-defined]
        return found
