"""Common parametrizations: weight normalisation, spectral normalisation, orthogonal matrices."""

from __future__ import annotations

from math import ceil, log2

from ... import _core
from ...autograd import no_grad
from ..functional.normalization import normalize
from ..module import Module
from .norms import norm_except, power_iterations
from .parametrize import register_parametrization

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core import Variable


class _WeightNorm(Module):
    """``g v / |v|`` with a norm for each index of axis ``dim``, or one of all."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim
        self.whole = dim is None

    def forward(self, weight_g: Variable, weight_v: Variable) -> Variable:
        """The weight."""
        return weight_v * (weight_g / norm_except(weight_v, None if self.whole else self.dim))

    def right_inverse(self, weight: Variable) -> tuple[Variable, Variable]:
        """Norm and direction of a weight."""
        return norm_except(weight, None if self.whole else self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as norm times direction (Salimans & Kingma 2016), with a norm for each index of ``dim``, or one for all.

    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 3))
    >>> layer.parametrizations.weight.original0.shape
    (3, 1)
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    return module


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iterations estimate."""

    def __init__(self, weight: Variable, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"spectral_norm: dim {dim} is out of range for a weight of {weight.ndim} dimensions")
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: n_power_iterations must be positive, not {n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            with no_grad():
                u, v = (normalize(_core.normal(0.0, 1.0, (n,), dtype=weight.dtype), dim=0, eps=eps) for n in matrix.shape)
                u, v = power_iterations(matrix, u, v, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def _matrix(self, weight: Variable) -> Variable:
        return _core.reshape(_core.moveaxis(weight, self.dim, 0), (weight.shape[self.dim], -1))

    def forward(self, weight: Variable) -> Variable:
        """The weight."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        u, v = self._u, self._v
        if self.training:
            with no_grad():
                u, v = power_iterations(matrix.detach(), u, v, self.n_power_iterations, self.eps)
                self._u.copy_(u)
                self._v.copy_(v)
        return weight / _core.sum(u * _core.matmul(matrix, v))

    def right_inverse(self, value: Variable) -> Variable:
        """The value itself: `forward` normalises it."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight divided by its largest singular value (Miyato et al. 2018), seen as a matrix with the rows of ``dim``.

    >>> layer = tg.nn.utils.parametrizations.spectral_norm(tg.nn.Linear(2, 2))
    >>> sorted(layer.state_dict())[1:]
    ['parametrizations.weight.0._u', 'parametrizations.weight.0._v', 'parametrizations.weight.original']
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, _core.Variable):
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter or buffer {name!r}")
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


def _matrix_exp(a: Variable) -> Variable:
    """The exponential of matrices, by scaling, a Taylor series and squaring."""
    with no_grad():
        size = float(_core.max(_core.sum(_core.abs(a.detach()), axis=-1)).item()) if a.size else 0.0
    times = max(0, ceil(log2(size))) + 1 if size > 0 else 0
    x = a * 2.0**-times
    total = term = _core.eye(a.shape[-1], dtype=a.dtype) + _core.zeros(a.shape, dtype=a.dtype)
    for k in range(1, 19):
        term = _core.matmul(term, x) / float(k)
        total = total + term
    for _ in range(times):
        total = _core.matmul(total, total)
    return total


def _householder(a: Variable) -> Variable:
    """The orthonormal columns of the product of the reflections that the columns below the diagonal describe."""
    n, k = a.shape[-2:]
    q = _core.eye(n, k, dtype=a.dtype) + _core.zeros(a.shape, dtype=a.dtype)
    unit = _core.tril(a, -1) + _core.eye(n, k, dtype=a.dtype)
    for i in reversed(range(k)):
        v = unit[..., i : i + 1]
        q = q - v * (2.0 / _core.sum(v * v, axis=-2, keepdims=True)) * _core.matmul(v.mT, q)
    return q


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, where it is wide), from an unconstrained one."""

    base: Variable

    def __init__(self, shape: tuple[int, ...], orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map, self.based = shape, orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Variable) -> Variable:
        """The orthogonal matrix."""
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            # The diagonal holds signs, which are not learned.
            signs = _core.trunc(_core.diagonal(x.detach(), axis1=-2, axis2=-1))
            q = _householder(x) * _core.expand_dims(signs, -2)
        else:
            lower = _core.tril(x)
            if n != k:
                lower = _core.concat([lower, _core.zeros((*x.shape[:-2], n, n - k), dtype=x.dtype)], axis=-1)
            skew = lower - lower.mT
            q = (_matrix_exp(skew) if self.orthogonal_map == "matrix_exp" else _cayley(skew))[..., :k]
        if self.based:
            q = _core.matmul(self.base, q)
        return q.mT if wide else q

    def right_inverse(self, q: Variable) -> Variable:
        """Original values of a matrix, which is made orthogonal first."""
        if q.shape != self.shape:
            raise ValueError(f"orthogonal: expected a matrix of shape {self.shape}, got {q.shape}")
        wide = q.shape[-2] < q.shape[-1]
        tall = q.mT if wide else q
        if self.based:
            self.base = _square(tall)
            return -_core.eye(q.shape[-2], q.shape[-1], dtype=q.dtype) + _core.zeros(q.shape, dtype=q.dtype)
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: with {self.orthogonal_map} a matrix can be assigned with use_trivialization=True only"
            )
        original = _reflections(tall)
        return original.mT if wide else original


def _cayley(skew: Variable) -> Variable:
    """``(I - A/2)⁻¹ (I + A/2)``, the inverse by Newton's iteration."""
    eye = _core.eye(skew.shape[-1], dtype=skew.dtype)
    a = eye - skew * 0.5
    # Newton's iteration for the inverse, which doubles the number of right digits each time.
    x = a.mT / (_core.max(_core.sum(_core.abs(a.detach()), axis=-1)) * _core.max(_core.sum(_core.abs(a.detach()), axis=-2)))
    for _ in range(40):
        x = _core.matmul(x, 2.0 * eye - _core.matmul(a, x))
    return _core.matmul(x, eye + skew * 0.5)


def _square(tall: Variable) -> Variable:
    """A square orthogonal matrix whose first columns are those of ``tall``, made orthonormal."""
    import numpy as np

    q, r = np.linalg.qr(tall.detach().numpy(), mode="complete")
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0).astype(q.dtype)
    first = q[..., : tall.shape[-1]] * signs[..., None, :]
    return _core.array(np.concatenate([first, q[..., tall.shape[-1] :]], axis=-1))


def _reflections(tall: Variable) -> Variable:
    """The reflections of the QR decomposition below the diagonal, signs on it."""
    import numpy as np

    value = tall.detach().numpy()
    out = np.empty_like(value)
    for place in np.ndindex(*value.shape[:-2]):
        h, tau = np.linalg.qr(value[place], mode="raw")
        a = np.ascontiguousarray(h.T)
        signs = np.where(np.diagonal(a) < 0, -1.0, 1.0)
        np.fill_diagonal(a, np.where(tau == 0.0, -signs, signs))
        out[place] = a
    return _core.array(out)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A matrix that stays orthogonal, or has orthonormal columns or rows where it is not square.

    ``orthogonal_map`` is "matrix_exp" (of square matrices unless given), "cayley" or "householder". With
    ``use_trivialization`` the map starts at the present matrix, made orthogonal.

    >>> layer = tg.nn.utils.parametrizations.orthogonal(tg.nn.Linear(3, 3, dtype=tg.float64))
    >>> bool(tg.max(tg.abs(layer.weight @ layer.weight.T - tg.eye(3, dtype=tg.float64))).item() < 1e-12)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, _core.Variable):
        raise ValueError(f"orthogonal: {type(module).__name__} has no parameter or buffer {name!r}")
    if weight.ndim < 2:
        raise ValueError(f"orthogonal: expected a matrix or a stack of them, not shape {weight.shape}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-1] == weight.shape[-2] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(f"orthogonal: orthogonal_map is {orthogonal_map!r}, expected 'matrix_exp', 'cayley' or 'householder'")
    register_parametrization(module, name, _Orthogonal(weight.shape, orthogonal_map, use_trivialization), unsafe=True)
    return module


__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
