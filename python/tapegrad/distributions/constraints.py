"""Constraints: the sets in which parameters and values of distributions must lie.

A constraint answers ``check(value)``: a boolean array, without the axes of one event.

>>> tg.distributions.constraints.positive.check(tg.Variable([1.0, -1.0])).tolist()
[True, False]
"""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from .._dtypes import finfo
from .._linalg import eigvalsh


class Constraint:
    """Base of constraints: ``check``, ``is_discrete``, and ``event_dim``, the number of axes of one value."""

    is_discrete: bool = False
    event_dim: int = 0

    def check(self, value: Any) -> Variable:
        """Whether values are in the set, one boolean for each event."""
        raise NotImplementedError(f"{type(self).__name__} does not define check(value)")

    def _all_within(self, value: Variable) -> bool:
        """Whether one or two reductions show that all values are in the set; False where that takes `check`."""
        return False

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


def _number(x: Variable) -> float:
    return float(x.item())


class _Dependent(Constraint):
    """Values whose set depends on parameters."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether the set is discrete, where that was said."""
        return bool(self._known(self._is_discrete, "is_discrete"))

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The number of axes of one value, where that was said."""
        return int(self._known(self._event_dim, "event_dim"))

    @staticmethod
    def _known(value: Any, name: str) -> Any:
        if value is NotImplemented:
            raise NotImplementedError(f"{name} of this constraint depends on the parameters of the distribution; ask an instance")
        return value

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        """The constraint with these properties set."""
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value: Any) -> Variable:
        raise ValueError(
            "the constraint depends on parameters of the distribution; ask an instance, as in d.support.check(value)"
        )


class _DependentProperty(property, _Dependent):
    """A property of distributions whose value is a constraint; on the class it gives the known properties."""

    def __init__(self, fn: Any = None, *args: Any, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        property.__init__(self, fn, *args)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Any) -> _DependentProperty:  # type: ignore[override]
        return _DependentProperty(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on parameters.

    >>> tg.distributions.constraints.is_dependent(tg.distributions.Uniform.support)
    True
    """
    return isinstance(constraint, _Dependent)


class _Independent(Constraint):
    """A constraint that all of the last axes must satisfy together.

    >>> tg.distributions.constraints.real_vector.check(tg.tensor([[0.0, 1.0], [0.0, float("nan")]]))
    Variable([ True, False])
    """

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, int(reinterpreted_batch_ndims)

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The event axes of the base, and the batch axes that became event axes."""
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def _all_within(self, value: Variable) -> bool:
        return value.ndim >= self.event_dim and self.base_constraint._all_within(value)

    def check(self, value: Any) -> Variable:
        result = self.base_constraint.check(value)
        n = self.reinterpreted_batch_ndims
        if result.ndim < n:
            raise ValueError(f"independent constraint: expected a value of at least {self.event_dim} axes, got {value.ndim}")
        return _core.all(result, axis=tuple(range(-n, 0))) if n else result

    def __repr__(self) -> str:
        return f"Independent({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


def _binary(value: Any) -> Any:
    """0 or 1. One comparison costs less than the "or" of two."""
    return value * (value - 1) == 0 if value.dtype.is_floating_point else (value == 0) | (value == 1)


def _between(value: Any, low: Any, high: Any) -> Any:
    """Whether values equal their projection on a closed interval; NaN does not."""
    return _core.minimum(_core.maximum(value, low), high) == value


class _Boolean(Constraint):
    """Booleans, or the numbers 0 and 1.

    >>> tg.distributions.constraints.boolean.check(tg.tensor([0.0, 1.0, 0.5]))
    Variable([ True,  True, False])
    """

    is_discrete = True

    def check(self, value: Any) -> Any:
        return _binary(value)


class _OneHot(Constraint):
    """Vectors with one 1 and zeros.

    >>> tg.distributions.constraints.one_hot.check(tg.tensor([[0.0, 1.0], [1.0, 1.0]]))
    Variable([ True, False])
    """

    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Variable:
        return _core.all(_binary(value), axis=-1) & (_core.sum(value, axis=-1) == 1)


class _IntegerInterval(Constraint):
    """Whole numbers from ``lower_bound`` to ``upper_bound``, both included.

    >>> tg.distributions.constraints.integer_interval(0, 2).check(tg.tensor([2.0, 1.5, 3.0]))
    Variable([ True, False, False])
    """

    is_discrete = True

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Any:
        return _core.minimum(_core.maximum(_core.floor(value), self.lower_bound), self.upper_bound) == value

    def __repr__(self) -> str:
        return f"IntegerInterval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class _IntegerLessThan(Constraint):
    """Whole numbers up to ``upper_bound``, which is included."""

    is_discrete = True

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return _core.minimum(_core.floor(value), self.upper_bound) == value

    def __repr__(self) -> str:
        return f"IntegerLessThan(upper_bound={self.upper_bound})"


class _IntegerGreaterThan(Constraint):
    """Whole numbers from ``lower_bound`` on, which is included.

    >>> tg.distributions.constraints.nonnegative_integer.check(tg.tensor([0.0, 2.0, 0.5]))
    Variable([ True,  True, False])
    """

    is_discrete = True

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Any:
        return _core.maximum(_core.floor(value), self.lower_bound) == value

    def __repr__(self) -> str:
        return f"IntegerGreaterThan(lower_bound={self.lower_bound})"


class _Real(Constraint):
    """All numbers but NaN.

    >>> tg.distributions.constraints.real.check(tg.tensor([1.0, float("nan")]))
    Variable([ True, False])
    """

    def _all_within(self, value: Variable) -> bool:
        total = _number(_core.sum(value))
        return total == total

    def check(self, value: Any) -> Variable:
        found: Variable = value == value
        return found


class _GreaterThan(Constraint):
    """Numbers above ``lower_bound``.

    >>> tg.distributions.constraints.greater_than(1.0).check(tg.tensor([1.0, 1.5]))
    Variable([False,  True])
    """

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def _all_within(self, value: Variable) -> bool:
        # NaN makes the smallest value NaN, which is not greater.
        return isinstance(self.lower_bound, float) and _number(_core.min(value)) > self.lower_bound

    def check(self, value: Any) -> Variable:
        found: Variable = value > self.lower_bound
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}(lower_bound={self.lower_bound})"


class _GreaterThanEq(_GreaterThan):
    """Numbers from ``lower_bound`` on, which is included.

    >>> tg.distributions.constraints.greater_than_eq(1.0).check(tg.tensor([0.5, 1.0]))
    Variable([False,  True])
    """

    def _all_within(self, value: Variable) -> bool:
        return isinstance(self.lower_bound, float) and _number(_core.min(value)) >= self.lower_bound

    def check(self, value: Any) -> Variable:
        found: Variable = value >= self.lower_bound
        return found


class _LessThan(Constraint):
    """Numbers below ``upper_bound``.

    >>> tg.distributions.constraints.less_than(1.0).check(tg.tensor([0.5, 1.0]))
    Variable([ True, False])
    """

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Variable:
        found: Variable = value < self.upper_bound
        return found

    def __repr__(self) -> str:
        return f"LessThan(upper_bound={self.upper_bound})"


class _Interval(Constraint):
    """Numbers from ``lower_bound`` to ``upper_bound``, both included.

    >>> tg.distributions.constraints.interval(0.0, 1.0).check(tg.tensor([0.0, 1.0, 1.5]))
    Variable([ True,  True, False])
    """

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def _all_within(self, value: Variable) -> bool:
        if not (isinstance(self.lower_bound, float) and isinstance(self.upper_bound, float)):
            return False
        return self.lower_bound <= _number(_core.min(value)) and _number(_core.max(value)) <= self.upper_bound

    def check(self, value: Any) -> Any:
        return _between(value, self.lower_bound, self.upper_bound)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class _HalfOpenInterval(_Interval):
    """Numbers from ``lower_bound``, which is included, to ``upper_bound``, which is not.

    >>> tg.distributions.constraints.half_open_interval(0.0, 1.0).check(tg.tensor([0.0, 1.0]))
    Variable([ True, False])
    """

    def _all_within(self, value: Variable) -> bool:
        return False

    def check(self, value: Any) -> Variable:
        found: Variable = (value >= self.lower_bound) & (value < self.upper_bound)
        return found


def _near(x: Any, y: Any, tolerance: float | None = None) -> Variable:
    """Equal to some 100 units of rounding of float32, or of float64."""
    return _core.abs(x - y) <= (tolerance or (1e-6 if x.dtype == _core.float32 else 1e-8))


class _Simplex(Constraint):
    """Vectors of numbers that are not negative and add up to 1.

    >>> tg.distributions.constraints.simplex.check(tg.tensor([[0.5, 0.5], [0.5, 0.6]]))
    Variable([ True, False])
    """

    event_dim = 1

    def check(self, value: Any) -> Variable:
        return _core.all(value >= 0, axis=-1) & (_core.abs(_core.sum(value, axis=-1) - 1.0) < 1e-6)


class _Multinomial(Constraint):
    """Vectors of counts that add up to ``upper_bound`` at most.

    >>> tg.distributions.constraints.multinomial(3).check(tg.tensor([[1.0, 2.0], [2.0, 2.0]]))
    Variable([ True, False])
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, x: Any) -> Any:
        return _core.all(_core.maximum(_core.floor(x), 0) == x, axis=-1) & (_core.sum(x, axis=-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    """Matrices with zeros above the diagonal.

    >>> tg.distributions.constraints.lower_triangular.check(tg.tensor([[1.0, 2.0], [0.0, 3.0]]))
    Variable(False)
    """

    event_dim = 2

    def check(self, value: Any) -> Variable:
        return _core.all(_core.tril(value) == value, axis=(-2, -1))


class _LowerCholesky(Constraint):
    """Lower triangular matrices with a positive diagonal.

    >>> tg.distributions.constraints.lower_cholesky.check(tg.tensor([[1.0, 0.0], [-2.0, 3.0]]))
    Variable(True)
    """

    event_dim = 2

    def check(self, value: Any) -> Variable:
        positive = _core.all(_core.diagonal(value, axis1=-2, axis2=-1) > 0, axis=-1)
        return _LowerTriangular().check(value) & positive


class _CorrCholesky(Constraint):
    """Cholesky factors of correlation matrices: lower triangular, rows of length 1, a positive diagonal.

    >>> tg.distributions.constraints.corr_cholesky.check(tg.eye(2))
    Variable(True)
    """

    event_dim = 2

    def check(self, value: Any) -> Variable:
        tolerance = float(finfo(value.dtype).eps) * value.shape[-1] * 10
        norms = _core.sqrt(_core.sum(value * value, axis=-1))
        return _LowerCholesky().check(value) & _core.all(_near(norms, 1.0, tolerance), axis=-1)


class _Square(Constraint):
    """Square matrices.

    >>> tg.distributions.constraints.square.check(tg.ones((2, 3)))
    Variable(False)
    """

    event_dim = 2

    def check(self, value: Any) -> Variable:
        return _core.full(value.shape[:-2], value.shape[-2] == value.shape[-1], dtype=_core.bool)


class _Symmetric(_Square):
    """Symmetric matrices.

    >>> tg.distributions.constraints.symmetric.check(tg.tensor([[1.0, 2.0], [2.0, 1.0]]))
    Variable(True)
    """

    def check(self, value: Any) -> Variable:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        top = _core.max(_core.abs(value), axis=(-2, -1), keepdims=True) if value.size else 1.0
        return _core.all(_core.abs(value - value.mT) <= 1e-6 * _core.maximum(top, 1e-300), axis=(-2, -1))


class _PositiveSemidefinite(_Symmetric):
    """Symmetric matrices without a negative eigenvalue.

    >>> tg.distributions.constraints.positive_semidefinite.check(tg.ones((2, 2)))
    Variable(True)
    """

    def check(self, value: Any) -> Variable:
        symmetric = super().check(value)
        if not bool(_core.all(symmetric)):
            return symmetric
        least = eigvalsh(value)[..., 0]
        return self._enough(least)

    def _enough(self, least: Any) -> Variable:
        found: Variable = least >= 0
        return found


class _PositiveDefinite(_PositiveSemidefinite):
    """Symmetric matrices with positive eigenvalues.

    >>> tg.distributions.constraints.positive_definite.check(tg.tensor([[2.0, 1.0], [1.0, 2.0]]))
    Variable(True)
    """

    def _enough(self, least: Any) -> Variable:
        found: Variable = least > 0
        return found


class _Joined(Constraint):
    """Constraints of parts of a value along an axis."""

    def __init__(self, cseq: Any, dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        if not all(isinstance(c, Constraint) for c in self.cseq):
            raise TypeError(f"{type(self).__name__.lstrip('_')}: expected a list of constraints")

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether one of them is."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The largest of theirs."""
        return max(int(c.event_dim) for c in self.cseq)


class _Cat(_Joined):
    """Constraints of the parts that were concatenated along ``dim``, of the given ``lengths``.

    >>> c = tg.distributions.constraints
    >>> c.cat([c.positive, c.real], dim=0, lengths=[1, 2]).check(tg.tensor([-1.0, -1.0, 0.0]))
    Variable([False,  True,  True])
    """

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    def check(self, value: Any) -> Variable:
        ends = [sum(self.lengths[: i + 1]) for i in range(len(self.lengths) - 1)]
        parts = _core.split(value, ends, axis=self.dim)
        return _core.concat([c.check(v) for c, v in zip(self.cseq, parts)], axis=self.dim)


class _Stack(_Joined):
    """Constraints of the parts that were stacked along ``dim``.

    >>> c = tg.distributions.constraints
    >>> c.stack([c.positive, c.real]).check(tg.tensor([-1.0, -1.0]))
    Variable([False,  True])
    """

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The largest of theirs, and the axis of the stack if it belongs to an event."""
        dim = max(int(c.event_dim) for c in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim

    def check(self, value: Any) -> Any:
        parts = _core.unstack(value, axis=self.dim)
        return _core.stack([c.check(v) for c, v in zip(self.cseq, parts)], axis=self.dim)


class _MixtureSameFamily(Constraint):
    """The support of a mixture: in the support of one component at least."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """That of the components."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """That of the components."""
        return self.base_constraint.event_dim

    def check(self, value: Any) -> Variable:
        inserted = _core.expand_dims(value, value.ndim - self.event_dim)
        return _core.any(self.base_constraint.check(inserted), axis=-1)


# Names as in PyTorch: classes for constraints with bounds, instances for the others.
dependent = _Dependent()
dependent_property = _DependentProperty
independent = _Independent
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval = _Interval
half_open_interval = _HalfOpenInterval
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack
MixtureSameFamilyConstraint = _MixtureSameFamily

__all__ = [
    "Constraint",
    "MixtureSameFamilyConstraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
]
