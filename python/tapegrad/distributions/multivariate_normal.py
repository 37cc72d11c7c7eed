"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from .._linalg import cholesky
from .._sampling import source
from ..linalg import LinAlgError, solve_triangular
from . import constraints
from .distribution import Distribution
from .utils import common

_LOG_2PI = math.log(2 * math.pi)


def quadratic_form(scale_tril: Variable, d: Variable) -> Variable:
    """dᵀ (L Lᵀ)⁻¹ d along the last axis of d: one triangular solve for each matrix, with all vectors as columns."""
    batch = scale_tril.shape[:-2]
    if d.ndim - 1 < len(batch) or d.shape[d.ndim - 1 - len(batch) : -1] != batch:
        d = _core.broadcast_to(d, (*broadcast_shapes(d.shape[:-1], batch), d.shape[-1]))
    lead, n = d.shape[: d.ndim - 1 - len(batch)], d.shape[-1]
    # The batch of the matrices may have been broadcast itself: then sizes differ and the matrix is repeated as a view.
    batch = d.shape[len(lead) : -1]
    count = math.prod(lead)
    columns = _core.moveaxis(d.reshape((count, *batch, n)), 0, -1)
    solved = solve_triangular(_core.broadcast_to(scale_tril, (*batch, n, n)), columns, upper=False)
    return _core.moveaxis(_core.sum(_core.square(solved), axis=-2), -1, 0).reshape((*lead, *batch))


def half_log_det(scale_tril: Variable) -> Variable:
    """The sum of the logarithms of the diagonal of L."""
    return _core.sum(_core.log(_core.diagonal(scale_tril, axis1=-2, axis2=-1)), axis=-1)


def _inverse(scale_tril: Variable) -> Variable:
    """(L Lᵀ)⁻¹."""
    eye = _core.broadcast_to(_core.eye(scale_tril.shape[-1], dtype=scale_tril.dtype), scale_tril.shape)
    inner = solve_triangular(scale_tril, eye, upper=False)
    return inner.mT @ inner


def _scale_from_precision(p: Variable) -> Variable:
    """The Cholesky factor of P⁻¹, from that of P with both axes reversed."""
    flipped = cholesky(_core.flip(p, axis=(-2, -1)))
    upper = _core.flip(flipped, axis=(-2, -1)).mT
    eye = _core.broadcast_to(_core.eye(p.shape[-1], dtype=p.dtype), p.shape)
    return solve_triangular(upper, eye, upper=False)


class MultivariateNormal(Distribution):
    """The normal distribution of vectors with mean ``loc``.

    Its other parameter is one of ``covariance_matrix``, ``precision_matrix`` and ``scale_tril``.

    ``scale_tril`` is a lower triangle L with a positive diagonal; the covariance is L Lᵀ. It is the cheapest to give.

    >>> d = tg.distributions.MultivariateNormal(tg.zeros((2,)), covariance_matrix=tg.eye(2))
    >>> d.log_prob([0.0, 0.0])
    Variable(-1.837877)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        forms = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: m for name, m in forms.items() if m is not None}
        if len(given) != 1:
            names = ", ".join(given) or "none"
            raise ValueError(f"MultivariateNormal: expected one of {', '.join(forms)}, got {names}")
        ((name, matrix),) = given.items()
        loc, matrix = common([loc, matrix])
        if loc.ndim < 1 or matrix.ndim < 2 or matrix.shape[-2:] != (loc.shape[-1],) * 2:
            raise _core.ShapeError(
                f"MultivariateNormal: loc of shape {loc.shape} and {name} of shape {matrix.shape} do not fit; "
                "expected (..., n) and (..., n, n)"
            )
        n = loc.shape[-1]
        batch = broadcast_shapes(loc.shape[:-1], matrix.shape[:-2])
        self.loc = loc if loc.shape == (*batch, n) else _core.broadcast_to(loc, (*batch, n))
        # The factor keeps its own batch shape: it is not factored, nor solved with, more often than it was given.
        self._check_matrix(name, matrix, validate_args)
        try:
            self._tril = self._factor(name, matrix)
        except LinAlgError as error:
            raise ValueError(f"MultivariateNormal: {name} is not positive definite: {error}") from error
        super().__init__(batch, (n,), validate_args=validate_args)

    def _check_matrix(self, name: str, matrix: Variable, validate_args: bool | None) -> None:
        """Symmetry and shape are checked here; whether a matrix is positive definite shows in its factor."""
        if self._validate_args if validate_args is None else validate_args:
            self._require(constraints.lower_cholesky if name == "scale_tril" else constraints.symmetric, matrix, name)

    def _check_parameters(self) -> None:
        self._require(constraints.real_vector, self.loc, "the parameter loc")

    @staticmethod
    def _factor(name: str, matrix: Variable) -> Variable:
        if name == "scale_tril":
            return matrix
        found: Variable = cholesky(matrix) if name == "covariance_matrix" else _scale_from_precision(matrix)
        return found

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(type(self), _instance)
        new.__dict__.update(self.__dict__)
        new._batch_shape = tuple(batch_shape)
        new.loc = _core.broadcast_to(self.loc, (*new._batch_shape, *self._event_shape))
        return new

    def _matrices(self, m: Variable) -> Variable:
        return _core.broadcast_to(m, (*self._batch_shape, *m.shape[-2:]))

    @property
    def scale_tril(self) -> Variable:
        """The Cholesky factor of the covariance."""
        return self._matrices(self._tril)

    @property
    def covariance_matrix(self) -> Variable:
        """The covariance."""
        return self._matrices(self._tril @ self._tril.mT)

    @property
    def precision_matrix(self) -> Variable:
        """The inverse of the covariance."""
        return self._matrices(_inverse(self._tril))

    @property
    def mean(self) -> Variable:
        return self.loc

    @property
    def mode(self) -> Variable:
        return self.loc

    @property
    def variance(self) -> Variable:
        v = _core.sum(_core.square(self._tril), axis=-1)
        return _core.broadcast_to(v, (*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        shape = self._extended_shape(sample_shape)
        noise = source(generator).randn(*shape, dtype=self.loc.dtype)
        return self.loc + (self._tril @ noise[..., None])[..., 0] if self._tril.ndim > 2 else self.loc + noise @ self._tril.mT

    def log_prob(self, value: Any) -> Any:
        d = self._value(value) - self.loc
        n = self._event_shape[0]
        return quadratic_form(self._tril, d) * -0.5 - (half_log_det(self._tril) + 0.5 * n * _LOG_2PI)

    def entropy(self) -> Variable:
        found = half_log_det(self._tril) + 0.5 * self._event_shape[0] * (1.0 + _LOG_2PI)
        return _core.broadcast_to(found, self._batch_shape)
