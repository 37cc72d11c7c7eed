"""Distributions of matrices: Wishart, of covariances; LKJ, of correlations."""

from __future__ import annotations

import math
from typing import Any

from .. import _core, _sampling
from .._arrays import broadcast_shapes
from .._core import Variable
from .._generator import source
from .._special import digamma, gammaln, multigammaln
from ..linalg import solve_triangular
from . import constraints
from .distribution import Distribution
from .gamma import standard_gamma
from .multivariate_normal import factor_of, half_log_det, inverse_of, one_of
from .utils import as_floating, common


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices of size ``dim``.

    The density of the matrices is their determinant to the power ``concentration - 1``. Sampled by the onion method
    (Lewandowski, Kurowicka & Joe 2009).

    >>> d = tg.distributions.LKJCholesky(3, 0.5)
    >>> d.sample((2,)).shape
    (2, 3, 3)
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"LKJCholesky: dim must be 2 at least, got {dim}")
        self.dim = dim
        self.concentration = as_floating(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        n, shape = self.dim, self._extended_shape(sample_shape)
        before = _core.maximum(_core.arange(n, dtype=self.concentration.dtype) - 1.0, 0.0)
        rest = self.concentration.detach()[..., None] + 0.5 * (n - 2) - 0.5 * before
        square = _sampling.draw(_sampling.beta, shape[:-1], (0.5 * before + 0.5, rest), rest.dtype, generator)[..., None]
        normal = _core.tril(source(generator).randn(*shape, dtype=rest.dtype), -1)
        length = _core.sqrt(_core.sum(_core.square(normal), axis=-1, keepdims=True))
        w = _core.sqrt(square) * normal / _core.where(length > 0, length, 1.0)
        left = _core.sqrt(_core.maximum(1.0 - _core.sum(_core.square(w), axis=-1), 1e-30))
        found: Variable = w + left[..., None] * _core.eye(n, dtype=w.dtype)
        return found

    def log_prob(self, value: Any) -> Variable:
        x, c, n = self._value(value), self.concentration, self.dim
        order = 2.0 * (c[..., None] - 1.0) + (n - _core.arange(2, n + 1, dtype=c.dtype))
        diagonal = _core.diagonal(x, axis1=-2, axis2=-1)[..., 1:]
        alpha = c + 0.5 * (n - 1)
        norm = 0.5 * (n - 1) * math.log(math.pi) + multigammaln(alpha - 0.5, n - 1) - (n - 1) * gammaln(alpha)
        return _core.sum(order * _core.log(diagonal), axis=-1) - norm


class Wishart(Distribution):
    """The distribution of the scatter of ``df`` normal vectors, whose covariance is given as for `MultivariateNormal`.

    >>> d = tg.distributions.Wishart(3.0, covariance_matrix=tg.eye(2))
    >>> d.rsample().shape, d.mean.tolist()
    ((2, 2), [[3.0, 0.0], [0.0, 3.0]])
    """

    arg_constraints = {
        "df": constraints.positive,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        form, matrix = one_of("Wishart", covariance_matrix, precision_matrix, scale_tril)
        df, matrix = common([df, matrix])
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise _core.ShapeError(f"Wishart: {form} must be square matrices, got the shape {matrix.shape}")
        n = matrix.shape[-1]
        batch = broadcast_shapes(df.shape, matrix.shape[:-2])
        self.df = _core.broadcast_to(df, batch)
        self._tril = _core.broadcast_to(factor_of("Wishart", form, matrix), (*batch, n, n))
        super().__init__(batch, (n, n), validate_args=validate_args)

    def _check_parameters(self) -> None:
        self._require(constraints.greater_than(self._event_shape[0] - 1.0), self.df, "the parameter df")
        self._require(constraints.lower_cholesky, self._tril, "the Cholesky factor of the scale")

    @property
    def scale_tril(self) -> Variable:
        """The Cholesky factor of the covariance."""
        return self._tril

    @property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self._tril @ self._tril.mT

    @property
    def precision_matrix(self) -> Variable:
        """The inverse of the covariance."""
        return inverse_of(self._tril)

    @property
    def mean(self) -> Any:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[0] - 1.0
        return _core.where(factor > 0, factor, float("nan"))[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        d = _core.diagonal(v, axis1=-2, axis2=-1)
        return self.df[..., None, None] * (_core.square(v) + d[..., :, None] * d[..., None, :])

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        # Bartlett (1933): roots of chi-squares on the diagonal, normal numbers below it.
        n, shape = self._event_shape[0], self._extended_shape(sample_shape)
        half = 0.5 * (self.df[..., None] - _core.arange(n, dtype=self.df.dtype))
        roots = _core.sqrt(2.0 * standard_gamma(shape[:-1], half, generator))
        below = _core.tril(source(generator).randn(*shape, dtype=self.df.dtype), -1)
        factor = self._tril @ (below + roots[..., None] * _core.eye(n, dtype=self.df.dtype))
        found: Variable = factor @ factor.mT
        return found

    def log_prob(self, value: Any) -> Any:
        from .._linalg import cholesky

        x, df, n = self._value(value), self.df, self._event_shape[0]
        root = cholesky(x)
        shape = broadcast_shapes(root.shape, self._tril.shape)
        inner = solve_triangular(_core.broadcast_to(self._tril, shape), _core.broadcast_to(root, shape), upper=False)
        norm = 0.5 * n * math.log(2.0) * df + df * half_log_det(self._tril) + multigammaln(0.5 * df, n)
        return (df - n - 1.0) * half_log_det(root) - 0.5 * _core.sum(_core.square(inner), axis=(-2, -1)) - norm

    def entropy(self) -> Any:
        df, n = self.df, self._event_shape[0]
        halves = 0.5 * (df[..., None] - _core.arange(n, dtype=df.dtype))
        front = (n + 1.0) * half_log_det(self._tril) + 0.5 * n * (n + 1.0) * math.log(2.0) + multigammaln(0.5 * df, n)
        return front - 0.5 * (df - n - 1.0) * _core.sum(digamma(halves), axis=-1) + 0.5 * n * df
