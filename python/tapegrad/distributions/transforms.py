"""Invertible maps with the logarithm of their volume change: what `TransformedDistribution` and `biject_to` are made of.

>>> t = tg.distributions.transforms.ExpTransform()
>>> x = tg.Variable([0.0, 1.0])
>>> t.inv(t(x)).tolist() == x.tolist(), t.log_abs_det_jacobian(x, t(x))
(True, Variable([0., 1.]))
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from . import constraints
from .distribution import Distribution
from .independent import sum_rightmost

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "IndependentTransform",
    "LogTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


def _pointer(x: Variable) -> Any:
    """A token that changes when a value is written to; None where that cannot be known."""
    return _core._saved(x).detach().numpy().__array_interface__["data"][0] if _core._lifted(x) is None else None


class Transform:
    """Base of transforms. Subclasses define `domain`, `codomain`, ``_call``, ``_inverse`` and `log_abs_det_jacobian`.

    With ``cache_size=1`` the last pair is kept: the inverse of the very array that the transform returned is then the argument
    itself, with its graph and all its digits.
    """

    bijective = False
    domain: Any
    codomain: Any

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in {0, 1}:
            raise ValueError(f"{type(self).__name__}: cache_size must be 0 or 1, got {cache_size!r}")
        self._cache_size, self._cached, self._inverse_of = cache_size, None, None

    _cached: Any
    _inverse_of: Any

    @property
    def event_dim(self) -> int:
        """The number of axes of one value, where they are the same on both sides."""
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError(f"{type(self).__name__}: event_dim differs between domain and codomain; ask one of these")
        found: int = self.domain.event_dim
        return found

    @property
    def inv(self) -> Transform:
        """The inverse transform."""
        return _InverseTransform(self)

    @property
    def sign(self) -> int:
        """1 if it is increasing, -1 if it is decreasing."""
        raise NotImplementedError(f"{type(self).__name__} is not monotonic, so it has no sign")

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The same transform with another size of the cache."""
        if self._cache_size == cache_size:
            return self
        import copy

        new = copy.copy(self)
        new._cache_size, new._cached = cache_size, None
        return new

    def __call__(self, x: Any) -> Variable:
        x = _core.asarray(x)
        if not self._cache_size:
            return self._call(x)
        found = self._from_cache(x, 0)
        return self._kept(x, self._call(x), 1) if found is None else found

    def _inv_call(self, y: Any) -> Variable:
        y = _core.asarray(y)
        if not self._cache_size:
            return self._inverse(y)
        found = self._from_cache(y, 1)
        return self._kept(self._inverse(y), y, 0) if found is None else found

    def _from_cache(self, given: Variable, side: int) -> Any:
        """The other one of the last pair, if this is the same object and was not written to."""
        if self._cached is None or self._cached[side] is not given:
            return None
        other = self._cached[1 - side]
        # A value that became a leaf since, or that a transformation follows, is not what the other one was connected with.
        cut = given.requires_grad and not other.requires_grad
        if cut or (_core._lifted(given) is None) != (_core._lifted(other) is None):
            return None
        fresh = all(_pointer(v) == p for v, p in zip(self._cached[:2], self._cached[2]))
        return other if fresh else None

    def _kept(self, x: Variable, y: Variable, result: int) -> Variable:
        # The snapshots keep the storage, so that its address names this value only.
        self._cached = (x, y, (_pointer(x), _pointer(y)), (_core._saved(x), _core._saved(y)))
        return y if result else x

    def _call(self, x: Variable) -> Variable:
        raise NotImplementedError(f"{type(self).__name__} does not define _call(x)")

    def _inverse(self, y: Variable) -> Variable:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        """The logarithm of the absolute determinant of dy/dx, for y = self(x)."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_abs_det_jacobian(x, y)")

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        """The shape of the result for an argument of this shape."""
        return tuple(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        """The shape of the argument for a result of this shape."""
        return tuple(shape)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        mine, theirs = ({k: v for k, v in vars(t).items() if k[0] != "_"} for t in (self, other))
        return mine.keys() == theirs.keys() and all(_same(mine[k], theirs[k]) for k in mine)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Variable) or isinstance(b, Variable):
        return a is b or bool(_core.array_equal(a, b))
    return bool(a == b)


class _InverseTransform(Transform):
    """The inverse of a transform, which shares its cache."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(cache_size=transform._cache_size)
        self.transform = transform

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """As the transform."""
        return self.transform.bijective

    @property
    def domain(self) -> Any:
        """The codomain of the transform."""
        return self.transform.codomain

    @property
    def codomain(self) -> Any:
        """The domain of the transform."""
        return self.transform.domain

    @property
    def inv(self) -> Transform:
        return self.transform

    @property
    def sign(self) -> int:
        return self.transform.sign

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self.transform.with_cache(cache_size).inv

    def __call__(self, x: Any) -> Variable:
        return self.transform._inv_call(x)

    def _inv_call(self, y: Any) -> Variable:
        return self.transform(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return -self.transform.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return self.transform.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        return self.transform.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self.transform!r}.inv"


class ComposeTransform(Transform):
    """Transforms one after the other; the first one is applied first.

    >>> D = tg.distributions
    >>> D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)])(0.0)
    Variable(3.)
    """

    def __init__(self, parts: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)

    @property
    def domain(self) -> Any:
        """The domain of the first part, with the event axes of all."""
        if not self.parts:
            return constraints.real
        found = self.parts[0].domain
        ends = [(p.domain.event_dim, p.codomain.event_dim) for p in self.parts]
        dim = self.parts[-1].codomain.event_dim
        for before, after in reversed(ends):
            dim = max(dim + before - after, before)
        return constraints.independent(found, dim - found.event_dim) if dim > found.event_dim else found

    @property
    def codomain(self) -> Any:
        """The codomain of the last part, with the event axes of all."""
        if not self.parts:
            return constraints.real
        found = self.parts[-1].codomain
        dim = self.parts[0].domain.event_dim
        for p in self.parts:
            dim = max(dim + p.codomain.event_dim - p.domain.event_dim, p.codomain.event_dim)
        return constraints.independent(found, dim - found.event_dim) if dim > found.event_dim else found

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(p.bijective for p in self.parts)

    @property
    def sign(self) -> int:
        return math.prod(p.sign for p in self.parts)

    @property
    def inv(self) -> Transform:
        return ComposeTransform([p.inv for p in reversed(self.parts)])

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Any) -> Variable:
        for part in self.parts:
            x = part(x)
        found: Variable = x
        return found

    def _inv_call(self, y: Any) -> Variable:
        for part in reversed(self.parts):
            y = part._inv_call(y)
        found: Variable = y
        return found

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        if not self.parts:
            return _core.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        dim, total = self.domain.event_dim, None
        for part, a, b in zip(self.parts, values, values[1:]):
            term = sum_rightmost(part.log_abs_det_jacobian(a, b), dim - part.domain.event_dim)
            total = term if total is None else total + term
            dim += part.codomain.event_dim - part.domain.event_dim
        assert total is not None  # noqa: S101 - there are parts
        return total

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)

    def __repr__(self) -> str:
        return f"ComposeTransform([{', '.join(map(repr, self.parts))}])"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch axes count as axes of the event.

    >>> D = tg.distributions
    >>> D.IndependentTransform(D.ExpTransform(), 1).log_abs_det_jacobian(tg.ones(3), tg.ones(3))
    Variable(3.)
    """

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = int(reinterpreted_batch_ndims)

    @property
    def domain(self) -> Any:
        """That of the base, with more axes."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:
        """That of the base, with more axes."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base_transform.bijective

    @property
    def sign(self) -> int:
        return self.base_transform.sign

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size)

    def _call(self, x: Variable) -> Variable:
        return self.base_transform(x)

    def _inverse(self, y: Variable) -> Variable:
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """The last axes in another shape.

    >>> tg.distributions.ReshapeTransform((6,), (2, 3))(tg.zeros((5, 6))).shape
    (5, 2, 3)
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise _core.ShapeError(f"ReshapeTransform: {self.in_shape} and {self.out_shape} have different numbers of elements")

    @property
    def domain(self) -> Any:
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Variable) -> Variable:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Variable) -> Variable:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return _core.zeros(x.shape[: x.ndim - len(self.in_shape)], dtype=x.dtype)

    def _moved(self, shape: Any, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        cut = len(shape) - len(old)
        if cut < 0 or tuple(shape[cut:]) != old:
            raise _core.ShapeError(f"ReshapeTransform: a shape of {tuple(shape)} does not end with {old}")
        return (*shape[:cut], *new)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return self._moved(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        return self._moved(shape, self.out_shape, self.in_shape)


class _Elementwise(Transform):
    """An increasing map of each number."""

    domain: Any = constraints.real
    codomain: Any = constraints.real
    bijective = True
    sign = 1


class ExpTransform(_Elementwise):
    """y = exp(x).

    >>> transform = tg.distributions.ExpTransform()
    >>> transform(0.0), transform.inv(1.0), transform.log_abs_det_jacobian(2.0, transform(2.0))
    (Variable(1.), Variable(0.), 2.0)
    """

    codomain = constraints.positive

    def _call(self, x: Variable) -> Variable:
        return _core.exp(x)

    def _inverse(self, y: Variable) -> Variable:
        return _core.log(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        found: Variable = x
        return found


class LogTransform(_Elementwise):
    """y = log(x), for x > 0.

    >>> tg.distributions.transforms.LogTransform()(1.0)
    Variable(0.)
    """

    domain = constraints.positive

    def _call(self, x: Variable) -> Variable:
        return _core.log(x)

    def _inverse(self, y: Variable) -> Variable:
        return _core.exp(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -y


class PowerTransform(_Elementwise):
    """y = x^exponent, for x > 0.

    >>> tg.distributions.PowerTransform(2.0)(3.0)
    Variable(9.)
    """

    domain = constraints.positive
    codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.exponent = exponent if isinstance(exponent, Variable) else _core.asarray(exponent)

    @property
    def sign(self) -> Any:  # type: ignore[override]
        """The sign of the exponent."""
        return _core.sign(self.exponent)

    def _call(self, x: Variable) -> Variable:
        return x**self.exponent

    def _inverse(self, y: Variable) -> Variable:
        return y ** (1.0 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return _core.log(_core.abs(self.exponent)) + (self.exponent - 1.0) * _core.log(x)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return tuple(broadcast_shapes(tuple(shape), self.exponent.shape))

    inverse_shape = forward_shape


class SigmoidTransform(_Elementwise):
    """y = 1 / (1 + exp(-x)).

    >>> tg.distributions.SigmoidTransform()(0.0)
    Variable(0.5)
    """

    codomain = constraints.unit_interval

    def _call(self, x: Variable) -> Variable:
        return _core.sigmoid(x)

    def _inverse(self, y: Variable) -> Variable:
        return _core.log(y) - _core.log1p(-y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return -_core.softplus(-x) - _core.softplus(x)


class SoftplusTransform(_Elementwise):
    """y = log(1 + exp(x)).

    >>> tg.distributions.SoftplusTransform().inv(tg.distributions.SoftplusTransform()(2.0))
    Variable(2.)
    """

    codomain = constraints.positive

    def _call(self, x: Variable) -> Variable:
        return _core.softplus(x)

    def _inverse(self, y: Variable) -> Variable:
        return y + _core.log(-_core.expm1(-y))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return -_core.softplus(-x)


class TanhTransform(_Elementwise):
    """y = tanh(x). Where tanh rounds to 1 the inverse is infinite; ``cache_size=1`` keeps x.

    >>> tg.distributions.TanhTransform()(0.0)
    Variable(0.)
    """

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Variable) -> Variable:
        return _core.tanh(x)

    def _inverse(self, y: Variable) -> Variable:
        return _core.atanh(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        # log(1 - tanh²), for x of any size.
        return 2.0 * (math.log(2.0) - x - _core.softplus(-2.0 * x))


class AbsTransform(Transform):
    """y = |x|, whose inverse is taken to be y itself.

    >>> tg.distributions.AbsTransform()(tg.tensor([-2.0, 3.0]))
    Variable([2., 3.])
    """

    domain = constraints.real
    codomain = constraints.nonnegative

    def _call(self, x: Variable) -> Variable:
        return _core.abs(x)

    def _inverse(self, y: Variable) -> Variable:
        return y


class AffineTransform(Transform):
    """y = loc + scale x; with ``event_dim`` the last axes are one event.

    >>> tg.distributions.AffineTransform(1.0, 2.0)(tg.Variable([0.0, 1.0]))
    Variable([1., 3.])
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, int(event_dim)

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @property
    def domain(self) -> Any:
        """Real numbers, or arrays."""
        return constraints.independent(constraints.real, self._event_dim) if self._event_dim else constraints.real

    @property
    def codomain(self) -> Any:
        """Real numbers, or arrays."""
        return self.domain

    @property
    def sign(self) -> Any:
        """The sign of the scale."""
        return _core.sign(self.scale) if isinstance(self.scale, Variable) else (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Variable) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Variable) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        scale = _core.asarray(self.scale, dtype=x.dtype) if not isinstance(self.scale, Variable) else self.scale
        log = _core.log(_core.abs(scale))
        return sum_rightmost(_core.broadcast_to(log, broadcast_shapes(x.shape, log.shape)), self._event_dim)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        parts = (getattr(p, "shape", ()) for p in (self.loc, self.scale))
        return tuple(broadcast_shapes(tuple(shape), *map(tuple, parts)))

    inverse_shape = forward_shape

    def __repr__(self) -> str:
        return f"AffineTransform(loc: {self.loc}, scale: {self.scale})"


class CumulativeDistributionTransform(_Elementwise):
    """y = the distribution function of a distribution at x.

    >>> D = tg.distributions
    >>> D.CumulativeDistributionTransform(D.Normal(0.0, 1.0))(0.0)
    Variable(0.5)
    """

    codomain = constraints.unit_interval

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        """The support of the distribution."""
        return self.distribution.support

    def _call(self, x: Variable) -> Variable:
        return self.distribution.cdf(x)

    def _inverse(self, y: Variable) -> Variable:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        return self.distribution.log_prob(x)


class SoftmaxTransform(Transform):
    """y = softmax(x) along the last axis, which forgets a constant; its inverse is log(y). Not for densities.

    >>> tg.distributions.SoftmaxTransform()(tg.tensor([1.0, 1.0]))
    Variable([0.5, 0.5])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Variable) -> Variable:
        return _core.softmax(x, axis=-1)

    def _inverse(self, y: Variable) -> Variable:
        return _core.log(y)


class StickBreakingTransform(Transform):
    """From K - 1 real numbers to the K parts of a stick that is broken at one point after the other; 0 gives equal parts.

    >>> tg.distributions.StickBreakingTransform()(tg.zeros(3))
    Variable([0.25, 0.25, 0.25, 0.25])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _offsets(self, x: Variable) -> Variable:
        n = x.shape[-1]
        return _core.log(_core.arange(n, 0, -1, dtype=x.dtype))

    def _call(self, x: Variable) -> Variable:
        z = x - self._offsets(x)
        # log of the part that is broken off, and of what is left.
        broken, left = -_core.softplus(-z), _core.cumsum(-_core.softplus(z), axis=-1)
        zero = _core.zeros((*x.shape[:-1], 1), dtype=x.dtype)
        return _core.exp(_core.concat([broken, zero], axis=-1) + _core.concat([zero, left], axis=-1))

    def _inverse(self, y: Variable) -> Variable:
        # What is left behind each break, summed from the end so that small parts keep their digits.
        left = _core.flip(_core.cumsum(_core.flip(y, axis=-1), axis=-1), axis=-1)[..., 1:]
        x = _core.log(y[..., :-1]) - _core.log(left)
        return x + self._offsets(x)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        z = x - self._offsets(x)
        # Each part is y_k = left_{k-1} s(z_k): dy_k/dz_k = y_k (1 - s).
        return _core.sum(_core.log(y[..., :-1]) - _core.softplus(z), axis=-1)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """From matrices to lower triangles with a positive diagonal: below it as they are, on it by exp.

    >>> tg.distributions.LowerCholeskyTransform()(tg.zeros((2, 2)))
    Variable([[1., 0.],
              [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _with_diagonal(self, x: Variable, f: Any) -> Any:
        d = f(_core.diagonal(x, axis1=-2, axis2=-1))
        return _core.tril(x, -1) + d[..., None] * _core.eye(x.shape[-1], dtype=x.dtype)

    def _call(self, x: Variable) -> Any:
        return self._with_diagonal(x, _core.exp)

    def _inverse(self, y: Variable) -> Any:
        return self._with_diagonal(y, _core.log)


class PositiveDefiniteTransform(Transform):
    """From matrices to positive definite ones, L Lᵀ for L of `LowerCholeskyTransform`.

    >>> tg.distributions.PositiveDefiniteTransform()(tg.zeros((2, 2)))
    Variable([[1., 0.],
              [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Variable) -> Variable:
        factor = LowerCholeskyTransform()(x)
        found: Variable = factor @ factor.mT
        return found

    def _inverse(self, y: Variable) -> Variable:
        from .._linalg import cholesky

        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """From n (n - 1) / 2 real numbers to Cholesky factors of correlation matrices, by partial correlations tanh(x) (LKJ 2009).

    >>> tg.distributions.CorrCholeskyTransform()(tg.zeros(1))
    Variable([[1., 0.],
              [0., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    @staticmethod
    def _log_rest(x: Variable) -> Variable:
        """log(1 - tanh²) of each, half of it."""
        return math.log(2.0) - x - _core.softplus(-2.0 * x)

    def _call(self, x: Variable) -> Variable:
        from .utils import vec_to_tril_matrix

        x = vec_to_tril_matrix(x, diag=-1)
        n = x.shape[-1]
        # What the squares before each place have left of 1, as a running product along the row.
        rest = _core.exp(_core.cumsum(self._log_rest(x), axis=-1))
        rest = _core.concat([_core.ones((*x.shape[:-1], 1), dtype=x.dtype), rest[..., :-1]], axis=-1)
        return (_core.tanh(x) + _core.eye(n, dtype=x.dtype)) * rest

    def _inverse(self, y: Variable) -> Variable:
        from .utils import tril_matrix_to_vec

        # What is left of 1 at each place of a row: the squares from there to the end.
        squares = _core.flip(_core.cumsum(_core.flip(_core.square(y), axis=-1), axis=-1), axis=-1)
        behind = _core.concat([squares[..., 1:], _core.zeros((*y.shape[:-1], 1), dtype=y.dtype)], axis=-1)
        value, left = tril_matrix_to_vec(y, diag=-1), tril_matrix_to_vec(behind, diag=-1)
        # atanh(t) for t = y / root(y² + left) is asinh(y / root(left)).
        return _core.asinh(value * _core.rsqrt(left))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        from .utils import tril_matrix_to_vec, vec_to_tril_matrix

        half = self._log_rest(x)
        before = _core.cumsum(self._log_rest(vec_to_tril_matrix(x, diag=-1)), axis=-1)
        before = _core.concat([_core.zeros((*before.shape[:-1], 1), dtype=x.dtype), before[..., :-1]], axis=-1)
        return _core.sum(2.0 * half + tril_matrix_to_vec(before, diag=-1), axis=-1)

    def forward_shape(self, shape: Any) -> tuple[int, ...]:
        n = round((1 + math.sqrt(1 + 8 * shape[-1])) / 2)
        if n * (n - 1) // 2 != shape[-1]:
            raise _core.ShapeError(f"CorrCholeskyTransform: {shape[-1]} numbers are not the lower triangle of a matrix")
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Any) -> tuple[int, ...]:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise _core.ShapeError(f"CorrCholeskyTransform: expected square matrices, got the shape {tuple(shape)}")
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


class CatTransform(Transform):
    """Transforms of the parts of an axis, whose lengths are given.

    >>> D = tg.distributions
    >>> t = D.CatTransform([D.ExpTransform(), D.identity_transform], dim=-1, lengths=[1, 2])
    >>> t(tg.Variable([0.0, 1.0, 2.0]))
    Variable([1., 1., 2.])
    """

    transforms: list[Transform]

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in tseq]
        if not self.transforms or not all(isinstance(t, Transform) for t in self.transforms):
            raise TypeError("CatTransform: expected a list of transforms")
        self.lengths = [1] * len(self.transforms) if lengths is None else [int(n) for n in lengths]
        if len(self.lengths) != len(self.transforms):
            raise ValueError(f"CatTransform: {len(self.lengths)} lengths for {len(self.transforms)} transforms")
        self.dim = dim

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """The size of the axis."""
        return sum(self.lengths)

    @property
    def domain(self) -> Any:
        """Those of the parts."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        """Those of the parts."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(t.bijective for t in self.transforms)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, x: Variable) -> Any:
        if x.shape[self.dim] != self.length:
            raise _core.ShapeError(f"CatTransform: axis {self.dim} of an array of shape {x.shape} must have size {self.length}")
        ends = [sum(self.lengths[: i + 1]) for i in range(len(self.lengths) - 1)]
        return _core.split(x, ends, axis=self.dim)

    def _call(self, x: Variable) -> Variable:
        return _core.concat([t(v) for t, v in zip(self.transforms, self._parts(x))], axis=self.dim)

    def _inverse(self, y: Variable) -> Variable:
        return _core.concat([t._inv_call(v) for t, v in zip(self.transforms, self._parts(y))], axis=self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        dim = self.dim if self.dim >= 0 else self.dim + x.ndim
        dim -= x.ndim
        logs = []
        for t, a, b in zip(self.transforms, self._parts(x), self._parts(y)):
            logs.append(sum_rightmost(t.log_abs_det_jacobian(a, b), self.event_dim - t.event_dim))
        if dim + self.event_dim < 0:
            return _core.concat(logs, axis=dim + self.event_dim)
        total = logs[0]
        for log in logs[1:]:
            total = total + log
        return total


class StackTransform(Transform):
    """Transforms of the slices of an axis, one for each.

    >>> D = tg.distributions
    >>> D.StackTransform([D.ExpTransform(), D.identity_transform])(tg.Variable([0.0, 2.0]))
    Variable([1., 2.])
    """

    transforms: list[Transform]

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in tseq]
        if not self.transforms or not all(isinstance(t, Transform) for t in self.transforms):
            raise TypeError("StackTransform: expected a list of transforms")
        self.dim = dim

    @property
    def domain(self) -> Any:
        """Those of the slices."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        """Those of the slices."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all slices are."""
        return all(t.bijective for t in self.transforms)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slices(self, x: Variable) -> Any:
        if x.shape[self.dim] != len(self.transforms):
            raise _core.ShapeError(
                f"StackTransform: axis {self.dim} of an array of shape {x.shape} must have size {len(self.transforms)}"
            )
        return _core.unstack(x, axis=self.dim)

    def _call(self, x: Variable) -> Variable:
        return _core.stack([t(v) for t, v in zip(self.transforms, self._slices(x))], axis=self.dim)

    def _inverse(self, y: Variable) -> Variable:
        return _core.stack([t._inv_call(v) for t, v in zip(self.transforms, self._slices(y))], axis=self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Variable:
        slices = zip(self.transforms, self._slices(x), self._slices(y))
        logs = [t.log_abs_det_jacobian(a, b) for t, a, b in slices]
        inner = max(t.domain.event_dim for t in self.transforms)
        logs = [sum_rightmost(log, inner - t.domain.event_dim) for t, log in zip(self.transforms, logs)]
        if self.domain.event_dim > inner:
            # The axis of the slices belongs to the event.
            return sum_rightmost(_core.stack(logs, axis=-1), 1)
        return _core.stack(logs, axis=self.dim if self.dim >= 0 else self.dim + inner)
