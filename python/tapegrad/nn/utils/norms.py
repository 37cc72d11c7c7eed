"""Weight and spectral normalisation in PyTorch's older form: a hook computes the weight before each forward."""

from __future__ import annotations

from ... import _core
from ..._habits import axis_of
from ...autograd import no_grad
from ..functional.normalization import normalize
from ..parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core import Variable
    from ..module import Module


def norm_except(v: Variable, dim: int | None) -> Variable:
    """The norm over all axes but ``dim``, which keep one element; over the whole array without ``dim``."""
    if dim is None or dim == -1:
        return _core.sqrt(_core.sum(v * v))
    dim = axis_of("weight_norm", dim, v.ndim)
    axes = tuple(i for i in range(v.ndim) if i != dim)
    return _core.sqrt(_core.sum(v * v, axis=axes, keepdims=True)) if axes else _core.abs(v)


def power_iterations(matrix: Variable, u: Variable, v: Variable, times: int, eps: float) -> tuple[Variable, Variable]:
    """Improves the left and right singular vectors of the largest singular value by a few power iterations."""
    for _ in range(times):
        u = normalize(_core.matmul(matrix, v), dim=0, eps=eps)
        v = normalize(_core.matmul(matrix.mT, u), dim=0, eps=eps)
    return u, v


class _WeightNormHook:
    """Computes a weight from its norm and direction."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def value(self, module: Module) -> Variable:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        out: Variable = v * (g / norm_except(v, self.dim))
        return out

    def __call__(self, module: Module, args: object) -> None:
        setattr(module, self.name, self.value(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """:func:`parametrizations.weight_norm` with PyTorch's older names ``weight_g`` and ``weight_v``.

    >>> sorted(tg.nn.utils.weight_norm(tg.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = module.get_parameter(name)
    hook = _WeightNormHook(name, dim)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(norm_except(weight.detach(), dim)))
    module.register_parameter(f"{name}_v", Parameter(weight))
    setattr(module, name, hook.value(module))
    handle = module.register_forward_pre_hook(hook)
    module.__dict__.setdefault("_norm_handles", {})[name] = handle
    module._computed += (name,)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Makes the present weight a plain parameter again.

    >>> layer = tg.nn.utils.weight_norm(tg.nn.Linear(2, 3))
    >>> sorted(name for name, _ in tg.nn.utils.remove_weight_norm(layer).named_parameters())
    ['bias', 'weight']
    """
    handle = module.__dict__.get("_norm_handles", {}).pop(name, None)
    if handle is None or not isinstance(handle._hooks.get(handle.id, (None,))[0], _WeightNormHook):
        raise ValueError(f"remove_weight_norm: {type(module).__name__} has no weight norm of {name!r}")
    hook = handle._hooks[handle.id][0]
    with no_grad():
        value = hook.value(module)
    handle.remove()
    module._computed = tuple(n for n in module._computed if n != name)
    for part in (name, f"{name}_g", f"{name}_v"):
        delattr(module, part)
    module.register_parameter(name, Parameter(value))
    return module


class _SpectralNormHook:
    """Divides a weight by its largest singular value."""

    def __init__(self, name: str, steps: int, eps: float, dim: int) -> None:
        self.name, self.steps, self.eps, self.dim = name, steps, eps, dim

    def matrix(self, weight: Variable) -> Variable:
        return _core.reshape(_core.moveaxis(weight, self.dim, 0), (weight.shape[self.dim], -1))

    def value(self, module: Module, training: bool) -> Variable:
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        if training:
            with no_grad():
                # v before u here, as in PyTorch: the same iteration of the transposed matrix.
                new = power_iterations(self.matrix(weight.detach()).mT, v, u, self.steps, self.eps)
                v.copy_(new[0])
                u.copy_(new[1])
        sigma = _core.sum(u.clone() * _core.matmul(self.matrix(weight), v.clone()))
        out: Variable = weight / sigma
        return out

    def __call__(self, module: Module, args: object) -> None:
        setattr(module, self.name, self.value(module, module.training))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """:func:`parametrizations.spectral_norm` with PyTorch's older names ``weight_orig``, ``weight_u``, ``weight_v``.

    >>> sorted(tg.nn.utils.spectral_norm(tg.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if dim is None:
        dim = 1 if "ConvTranspose" in type(module).__name__ else 0
    weight = module.get_parameter(name)
    hook = _SpectralNormHook(name, n_power_iterations, eps, dim)
    with no_grad():
        shape = hook.matrix(weight.detach()).shape
        u, v = (normalize(_core.normal(0.0, 1.0, (n,), dtype=weight.dtype), dim=0, eps=eps) for n in shape)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    handle = module.register_forward_pre_hook(hook)
    module.__dict__.setdefault("_norm_handles", {})[name] = handle
    module._computed += (name,)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes the present weight a plain parameter again.

    >>> layer = tg.nn.utils.spectral_norm(tg.nn.Linear(2, 3))
    >>> sorted(name for name, _ in tg.nn.utils.remove_spectral_norm(layer).named_parameters())
    ['bias', 'weight']
    """
    handle = module.__dict__.get("_norm_handles", {}).pop(name, None)
    if handle is None or not isinstance(handle._hooks.get(handle.id, (None,))[0], _SpectralNormHook):
        raise ValueError(f"remove_spectral_norm: {type(module).__name__} has no spectral norm of {name!r}")
    hook = handle._hooks[handle.id][0]
    with no_grad():
        value = hook.value(module, False)
    handle.remove()
    module._computed = tuple(n for n in module._computed if n != name)
    for part in (name, f"{name}_orig", f"{name}_u", f"{name}_v"):
        delattr(module, part)
    module.register_parameter(name, Parameter(value))
    return module


__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]
