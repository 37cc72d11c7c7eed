"""The base of all distributions."""

from __future__ import annotations

from functools import wraps
from operator import index
from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from ..autograd import no_grad
from . import constraints
from .utils import as_floating, exact_numbers, lazy_property


def _with_exact_numbers(method: Any) -> Any:
    """A method of one value that uses parameters of float64 for a value of float64, if they were given as Python numbers."""

    @wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        exact = self.__dict__.get("_exact")
        if exact:
            value = args[0] if args else next(iter(options.values()), None)
            if not isinstance(value, float) and str(getattr(value, "dtype", "")).endswith("float64"):
                self = self._of_double()
        return method(self, *args, **options)

    return call


def _plainly_within(constraint: Any, value: Variable) -> bool:
    return isinstance(constraint, constraints.Constraint) and constraint._all_within(value)


def _has_arrays(constraint: Any) -> bool:
    """Whether a constraint has bounds that are arrays."""
    parts = vars(constraint).values()
    return any(isinstance(p, (Variable, list)) or (isinstance(p, constraints.Constraint) and _has_arrays(p)) for p in parts)


#: Shapes and counts from which on float32 would lose too many digits.
_LARGE = 30.0


def _exceeds(x: Variable, bound: float) -> bool:
    """Whether an element may be above a bound. While a program is recorded no element is read, and the answer is yes."""
    if not x.size or _core._is_capturing():
        return bool(x.size)
    return bool(_core.max(_core._innermost(x).detach()).item() > bound)


def _is_hidden(x: Variable) -> bool:
    """Whether elements cannot be read: inside of transformations, and while a program is recorded."""
    return _core._is_capturing() or _core._lifted(x) is not None


class Distribution:
    """Base of distributions: a family with parameters of shape `batch_shape`, whose draws have the shape `event_shape`.

    Parameters of a batch broadcast. With ``validate_args`` (on by default; see `set_default_validate_args`) parameters and
    values are checked against `arg_constraints` and `support`, and what is outside raises a ValueError. Without it the density
    outside of the support is 0: ``log_prob`` is -inf, with a gradient of zero.

    >>> d = tg.distributions.Normal(tg.zeros((3,)), 1.0)
    >>> d.batch_shape, d.event_shape, d.sample((2,)).shape
    ((3,), (), (2, 3))
    """

    #: Whether `rsample` gives samples that are differentiable in the parameters.
    has_rsample = False
    #: Whether `enumerate_support` lists the values.
    has_enumerate_support = False
    _validate_args: bool = __debug__

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("log_prob", "cdf", "sf", "log_cdf", "log_sf", "icdf"):
            if callable(vars(cls).get(name)):
                setattr(cls, name, _with_exact_numbers(vars(cls)[name]))

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Sets whether arguments are checked where a distribution is not told; on by default, off under ``python -O``."""
        if not isinstance(value, bool):
            raise ValueError(f"set_default_validate_args: expected True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        # Python numbers are weak, as in arithmetic: with float64 values they keep all their digits.
        self._exact = exact_numbers(self.__dict__)
        if validate_args is not None:
            self._validate_args = bool(validate_args)
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            found = self.arg_constraints
        except NotImplementedError:
            found = {}
        for name, constraint in found.items():
            # A parameter derived from another one is not checked twice.
            derived = isinstance(getattr(type(self), name, None), (property, lazy_property)) and name not in self.__dict__
            if constraints.is_dependent(constraint) or derived:
                continue
            value = getattr(self, name)
            if isinstance(value, Variable):
                self._require(constraint, value, f"the parameter {name}")

    def _require(self, constraint: Any, value: Any, what: str) -> None:
        lifted = _core._lifted(value) is not None
        # Inside a mapping the values of all samples are checked at once; bounds that are arrays would not be aligned with them.
        if lifted and _has_arrays(constraint):
            return
        plain = _core._innermost(value) if lifted else value
        with no_grad():
            recorded = _core._is_capturing()
            if not recorded and plain.size and plain.dtype.is_floating_point and _plainly_within(constraint, plain):
                return
            valid = constraint.check(plain)
            if _core._lifted(valid) is not None:
                return
            if recorded:  # a step of the program checks the values of each call
                # The text of bounds that are arrays would read their elements.
                shown = type(constraint).__name__.lstrip("_") if _has_arrays(constraint) else repr(constraint)
                message = f"{type(self).__name__}: {what} must satisfy {shown}"
                _core._require_all(valid, valid, f"{message}; validate_args=False turns the check off")
                return
            if bool(_core.all(valid)):
                return
        import numpy as np

        at = tuple(int(i) for i in np.argwhere(~np.atleast_1d(valid.numpy()))[0])
        bad = np.atleast_1d(plain.detach().numpy())[at] if valid.ndim or not plain.ndim else plain.detach().numpy()
        place = f" at index {at}" if valid.ndim else ""
        raise ValueError(
            f"{type(self).__name__}: {what} must satisfy {constraint!r}, got {bad}{place} in an array of shape {plain.shape}; "
            "validate_args=False turns the check off"
        )

    # ---- shapes ----

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one draw."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> tuple[int, ...]:
        try:
            shape = tuple(index(n) for n in ((sample_shape,) if isinstance(sample_shape, int) else sample_shape))
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}: sample_shape must be a tuple of ints, as in sample((100,)), got {sample_shape!r}"
            ) from None
        return (*shape, *self._batch_shape, *self._event_shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with parameters broadcast to a batch shape.

        >>> tg.distributions.Exponential(1.0).expand((2, 3)).batch_shape
        (2, 3)
        """
        if isinstance(batch_shape, int):
            raise TypeError(f"{type(self).__name__}.expand: batch_shape must be a tuple of ints, as ({batch_shape},), not an int")
        shape, old = tuple(batch_shape), self._batch_shape
        new = self._get_checked_instance(type(self), _instance)
        for name, value in self.__dict__.items():
            if isinstance(value, Variable) and value.shape[: len(old)] == old:
                setattr(new, name, _core.broadcast_to(value, (*shape, *value.shape[len(old) :])))
            else:
                setattr(new, name, value)
        new._batch_shape = shape
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """PyTorch's helper for ``expand`` of distributions of your own."""
        return type(self).__new__(type(self)) if _instance is None else _instance

    # ---- what families define ----

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """The constraint of each parameter, by name."""
        raise NotImplementedError(f"{type(self).__name__} does not define arg_constraints")

    @property
    def support(self) -> Any:
        """The constraint that draws satisfy."""
        raise NotImplementedError(f"{type(self).__name__} does not define its support")

    @property
    def mean(self) -> Variable:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__} does not define its mean")

    @property
    def mode(self) -> Variable:
        """The value of the largest density or probability."""
        raise NotImplementedError(f"{type(self).__name__} does not define its mode")

    @property
    def variance(self) -> Variable:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} does not define its variance")

    @property
    def stddev(self) -> Variable:
        """The standard deviation."""
        return _core.sqrt(self.variance)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        """Draws of shape ``sample_shape + batch_shape + event_shape``, without a gradient, from the generator if one is given."""
        options = {} if generator is None else {"generator": generator}
        with no_grad():
            return self.rsample(sample_shape, **options).detach()

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        """Draws that are differentiable in the parameters (reparametrised), where `has_rsample` says so."""
        raise NotImplementedError(f"{type(self).__name__} has no reparametrised samples; use sample()")

    def log_prob(self, value: Any) -> Variable:
        """The logarithm of the density or probability at a value."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def cdf(self, value: Any) -> Variable:
        """The probability of a draw up to a value."""
        raise NotImplementedError(f"{type(self).__name__} does not define cdf")

    def icdf(self, value: Any) -> Variable:
        """The quantile: the inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} does not define icdf")

    def sf(self, value: Any) -> Variable:
        """The probability of a draw above a value, ``1 - cdf``; families define it so that it is accurate where it is small."""
        return 1.0 - self.cdf(value)

    def log_cdf(self, value: Any) -> Variable:
        """The logarithm of `cdf`."""
        return _core.log(self.cdf(value))

    def log_sf(self, value: Any) -> Variable:
        """The logarithm of `sf`."""
        return _core.log(self.sf(value))

    def entropy(self) -> Variable:
        """The entropy in nats, one for each element of the batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define its entropy")

    def perplexity(self) -> Variable:
        """exp of the entropy."""
        return _core.exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Variable:
        """All values of a discrete distribution along a new first axis; repeated over the batch if ``expand``."""
        raise NotImplementedError(f"{type(self).__name__} does not enumerate its support")

    def _enumerated(self, values: Variable, expand: bool) -> Variable:
        values = values.reshape(-1, *(1,) * len(self._batch_shape))
        return _core.broadcast_to(values, (values.shape[0], *self._batch_shape)) if expand else values

    # ---- values ----

    def _dtype(self) -> Any:
        """The dtype of the parameters."""
        found = next((v for v in self.__dict__.values() if isinstance(v, Variable) and v.dtype.is_floating_point), None)
        return _core.get_default_dtype() if found is None else found.dtype

    def _value(self, value: Any) -> Any:
        """A value as an array of a floating dtype, checked if arguments are."""
        if isinstance(value, (int, float)):
            value = _core.asarray(float(value), dtype=self._dtype())
        else:
            value = as_floating(value, self._dtype())
        if self._validate_args:
            self._validate_sample(value)
        return value

    def _validate_sample(self, value: Any) -> None:
        """Checks the shape of a value and that it is in the support."""
        if not isinstance(value, Variable):
            raise TypeError(f"{type(self).__name__}: a value must be an array, got {type(value).__name__}")
        event, batch = self._event_shape, self._batch_shape
        if value.shape[value.ndim - len(event) :] != event if len(event) <= value.ndim else True:
            raise _core.ShapeError(f"{type(self).__name__}: a value of shape {value.shape} must end with the event shape {event}")
        if batch:
            own = value.shape[: value.ndim - len(event)]
            try:
                broadcast_shapes(own, batch)
            except ValueError:
                raise _core.ShapeError(
                    f"{type(self).__name__}: a value of shape {value.shape} does not broadcast with the batch shape {batch} and "
                    f"the event shape {event}"
                ) from None
        try:
            support = self.support
        except NotImplementedError:
            return
        self._require(support, value, "a value")

    def _in_double(self, x: Variable, *shapes: Variable) -> Variable | None:
        """`log_prob` of float32 values by way of float64 where a shape or count is large: its terms are then large and cancel.

        None where that is not needed.
        """
        if x.dtype != _core.float32 or not any(_exceeds(s, _LARGE) for s in shapes):
            return None
        wide = type(self).__new__(type(self))
        for name, value in self.__dict__.items():
            floating = isinstance(value, Variable) and value.dtype == _core.float32
            setattr(wide, name, value.astype(_core.float64) if floating else value)
        wide._validate_args = False
        return wide.log_prob(x.astype(_core.float64)).astype(_core.float32)

    def _inside(self, x: Variable) -> bool:
        """Whether values are known to be in the support, which is the same for all parameters."""
        if self._validate_args:
            return True
        if not x.size or _is_hidden(x):
            return False
        plain, support = x.detach(), self.support
        return bool(support._all_within(plain) or _core.all(support.check(plain)))

    def _of_double(self) -> Any:
        """The same distribution with parameters of float64, made again of the Python numbers that they were given as."""
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._exact = {}
        for name, number in self._exact.items():
            value = _core.asarray(number, dtype=_core.float64)
            setattr(new, name, _core.broadcast_to(value, self.__dict__[name].shape))
        return new

    def _within(self, x: Variable, low: float, high: float) -> bool:
        """Whether values are known to be strictly between bounds, so that formulas need no care for the ends.

        Inside of transformations, and while a program is recorded, the answer is no.
        """
        if not x.size or _is_hidden(x):
            return False
        plain = x.detach()
        return low < float(_core.min(plain).item()) and float(_core.max(plain).item()) < high

    def _level(self, p: Any) -> Any:
        """A probability level for `icdf`."""
        p = as_floating(p, self._dtype()) if not isinstance(p, (int, float)) else _core.asarray(float(p), dtype=self._dtype())
        if self._validate_args:
            self._require(constraints.unit_interval, p, "a probability")
        return p

    def _shown(self) -> list[str]:
        """The parameters that `repr` names: those that are kept."""
        names = list(getattr(self, "arg_constraints", {}))
        return [n for n in names if n in self.__dict__] or names

    def __repr__(self) -> str:
        parts = []
        for name in self._shown():
            value = getattr(self, name, None)
            if isinstance(value, Variable):
                plain = value.size == 1 and _core._lifted(value) is None
                parts.append(f"{name}: {value.item() if plain else f'array of shape {value.shape}'}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """Base of distributions of your own whose density is ``exp(θ·t(x) - F(θ) + k(x))``.

    They define ``_natural_params`` (θ), ``_log_normalizer(*θ)`` (F) and ``_mean_carrier_measure`` (the mean of
    k); the entropy follows.
    """

    @property
    def _natural_params(self) -> tuple[Variable, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _natural_params")

    def _log_normalizer(self, *natural_params: Variable) -> Variable:
        raise NotImplementedError(f"{type(self).__name__} does not define _log_normalizer(*natural_params)")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _mean_carrier_measure")

    def entropy(self) -> Any:
        """F(θ) - θ·F'(θ), less the mean of k (Nielsen & Nock 2010)."""
        from .._transforms import vjp

        theta = self._natural_params
        normalizer, pull = vjp(self._log_normalizer, *theta)
        found = normalizer - self._mean_carrier_measure
        for t, slope in zip(theta, pull(_core.ones_like(normalizer)), strict=True):
            term = t * slope
            extra = term.ndim - len(self._batch_shape)
            found = found - (_core.sum(term, axis=tuple(range(-extra, 0))) if extra else term)
        return found
