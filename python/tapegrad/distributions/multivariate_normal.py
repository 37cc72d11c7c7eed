"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from .._generator import source
from .._linalg import cholesky
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
    if not batch:
        # Many vectors for one matrix: a product with its inverse, which is a triangle, too, is quicker than many short solutions.
        inverse = solve_triangular(scale_tril, _core.eye(n, dtype=scale_tril.dtype), upper=False)
        return _core.sum(_core.square(inverse @ d.reshape((count, n)).mT), axis=0).reshape(lead)
    columns = _core.moveaxis(d.reshape((count, *batch, n)), 0, -1)
    solved = solve_triangular(_core.broadcast_to(scale_tril, (*batch, n, n)), columns, upper=False)
    return _core.moveaxis(_core.sum(_core.square(solved), axis=-2), -1, 0).reshape((*lead, *batch))


def half_log_det(scale_tril: Variable) -> Variable:
    """The sum of the logarithms of the diagonal of L."""
    return _core.sum(_core.log(_core.diagonal(scale_tril, axis1=-2, axis2=-1)), axis=-1)


def inverse_of(scale_tril: Variable) -> Variable:
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


def one_of(name: str, covariance_matrix: Any, precision_matrix: Any, scale_tril: Any) -> tuple[str, Any]:
    """The one form of the covariance that was given, and what it is called."""
    forms = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
    given = [(form, m) for form, m in forms.items() if m is not None]
    if len(given) != 1:
        raise ValueError(f"{name}: expected one of {', '.join(forms)}, got {', '.join(form for form, _ in given) or 'none'}")
    return given[0]


def factor_of(family: str, name: str, matrix: Variable) -> Variable:
    """The Cholesky factor of the covariance, from the form that was given."""
    if name == "scale_tril":
        return matrix
    try:
        found: Variable = cholesky(matrix) if name == "covariance_matrix" else _scale_from_precision(matrix)
    except LinAlgError as error:
        raise ValueError(f"{family}: {name} is not positive definite: {error}") from error
    return found


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
        name, matrix = one_of("MultivariateNormal", covariance_matrix, precision_matrix, scale_tril)
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
        self._tril, self._form = factor_of("MultivariateNormal", name, matrix), name
        super().__init__(batch, (n,), validate_args=validate_args)

    def _check_matrix(self, name: str, matrix: Variable, validate_args: bool | None) -> None:
        """Symmetry and shape are checked here; whether a matrix is positive definite shows in its factor."""
        if self._validate_args if validate_args is None else validate_args:
            self._require(constraints.lower_cholesky if name == "scale_tril" else constraints.symmetric, matrix, name)

    def _check_parameters(self) -> None:
        self._require(constraints.real_vector, self.loc, "the parameter loc")

    def _shown(self) -> list[str]:
        return ["loc", self._form]

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
        return self._matrices(inverse_of(self._tril))

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


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with covariance ``cov_factor cov_factorᵀ + diag(cov_diag)``.

    A density costs a factorisation of the size of the rank (Woodbury).

    >>> d = tg.distributions.LowRankMultivariateNormal(tg.zeros((2,)), tg.ones((2, 1)), tg.ones((2,)))
    >>> d.covariance_matrix.tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None) -> None:
        loc, factor, diagonal = common([loc, cov_factor, cov_diag])
        n = loc.shape[-1] if loc.ndim else 0
        if factor.ndim < 2 or diagonal.ndim < 1 or factor.shape[-2] != n or diagonal.shape[-1] != n:
            raise _core.ShapeError(
                f"LowRankMultivariateNormal: loc, cov_factor and cov_diag of shapes {loc.shape}, {factor.shape} and "
                f"{diagonal.shape} do not fit; expected (..., n), (..., n, rank) and (..., n)"
            )
        batch = broadcast_shapes(loc.shape[:-1], factor.shape[:-2], diagonal.shape[:-1])
        self.loc = _core.broadcast_to(loc, (*batch, n))
        self.cov_factor = _core.broadcast_to(factor, (*batch, *factor.shape[-2:]))
        self.cov_diag = _core.broadcast_to(diagonal, (*batch, n))
        super().__init__(batch, (n,), validate_args=validate_args)

    def _capacitance(self) -> tuple[Variable, Variable]:
        """Wᵀ D⁻¹, and the Cholesky factor of I + Wᵀ D⁻¹ W."""
        scaled = (self.cov_factor / self.cov_diag[..., None]).mT
        return scaled, cholesky(scaled @ self.cov_factor + _core.eye(scaled.shape[-2], dtype=scaled.dtype))

    @property
    def mean(self) -> Variable:
        return self.loc

    @property
    def mode(self) -> Variable:
        return self.loc

    @property
    def variance(self) -> Variable:
        return _core.sum(_core.square(self.cov_factor), axis=-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        diagonal = self.cov_diag[..., None] * _core.eye(self._event_shape[0], dtype=self.loc.dtype)
        return self.cov_factor @ self.cov_factor.mT + diagonal

    @property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance."""
        return cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        return inverse_of(self.scale_tril)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Any:
        shape, own = self._extended_shape(sample_shape), source(generator)
        low = own.randn(*shape[:-1], self.cov_factor.shape[-1], 1, dtype=self.loc.dtype)
        return self.loc + (self.cov_factor @ low)[..., 0] + _core.sqrt(self.cov_diag) * own.randn(*shape, dtype=self.loc.dtype)

    def log_prob(self, value: Any) -> Any:
        d = self._value(value) - self.loc
        scaled, root = self._capacitance()
        inner = quadratic_form(root, (scaled @ d[..., None])[..., 0])
        outer = _core.sum(_core.square(d) / self.cov_diag, axis=-1)
        return -0.5 * (outer - inner + self._event_shape[0] * _LOG_2PI) - self._half_log_det(root)

    def _half_log_det(self, root: Variable) -> Any:
        return half_log_det(root) + 0.5 * _core.sum(_core.log(self.cov_diag), axis=-1)

    def entropy(self) -> Any:
        return self._half_log_det(self._capacitance()[1]) + 0.5 * self._event_shape[0] * (1.0 + _LOG_2PI)
