"""Pruning: parameters with a mask, which zeroes some of their elements before each forward.

A pruned parameter ``weight`` becomes ``weight_orig``, with its mask in the buffer ``weight_mask``.
"""

from __future__ import annotations

from ... import _core
from ...autograd import no_grad
from ..module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..._core import Variable


class _Mask:
    """Computes a pruned parameter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, args: object) -> None:
        original = getattr(module, f"{self.name}_orig")
        setattr(module, self.name, original * getattr(module, f"{self.name}_mask"))


def is_pruned(module: Module) -> bool:
    """Whether a parameter of a module or of those below it is pruned.

    >>> tg.nn.utils.prune.is_pruned(tg.nn.Linear(2, 2))
    False
    """
    return any(part.__dict__.get("_prune_handles") for part in module.modules())


def custom_from_mask(module: Module, name: str, mask: Variable) -> Module:
    """Prunes a parameter where ``mask`` is 0; what was pruned before stays pruned.

    >>> layer = tg.nn.Linear(2, 1, bias=False)
    >>> layer = tg.nn.utils.prune.custom_from_mask(layer, "weight", tg.Variable([[0.0, 1.0]]))
    >>> layer.weight.tolist()[0][0] == 0.0, sorted(layer.state_dict())
    (True, ['weight_mask', 'weight_orig'])
    """
    handles = module.__dict__.setdefault("_prune_handles", {})
    given = _core.asarray(mask)
    if name in handles:
        old = getattr(module, f"{name}_mask")
        _fits(name, given, old)
        with no_grad():
            old.mul_(given.astype(old.dtype))
        handles[name][1](module, ())
        return module
    parameter = module.get_parameter(name)
    _fits(name, given, parameter)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", parameter)
    module.register_buffer(f"{name}_mask", given.astype(parameter.dtype).clone())
    hook = _Mask(name)
    handles[name] = (module.register_forward_pre_hook(hook), hook)
    module._computed += (name,)
    hook(module, ())
    return module


def _fits(name: str, mask: Variable, parameter: Variable) -> None:
    if mask.shape != parameter.shape:
        raise _core.ShapeError(f"prune: the mask of {name} has shape {mask.shape}, the parameter {parameter.shape}")


def remove(module: Module, name: str) -> Module:
    """Makes the pruned parameter a plain one; its zeros stay, but are trained again.

    >>> layer = tg.nn.utils.prune.l1_unstructured(tg.nn.Linear(2, 1), "weight", amount=1)
    >>> layer = tg.nn.utils.prune.remove(layer, "weight")
    >>> sorted(name for name, _ in layer.named_parameters())
    ['bias', 'weight']
    """
    handle = module.__dict__.get("_prune_handles", {}).pop(name, None)
    if handle is None:
        raise ValueError(f"prune.remove: {name!r} of {type(module).__name__} is not pruned")
    handle[0].remove()
    module._computed = tuple(n for n in module._computed if n != name)
    original, mask = getattr(module, f"{name}_orig"), getattr(module, f"{name}_mask")
    with no_grad():
        original.copy_(original * mask)
    for part in (name, f"{name}_orig", f"{name}_mask"):
        delattr(module, part)
    module.register_parameter(name, original)
    return module


def _count(amount: float, size: int) -> int:
    """How many of ``size`` elements an amount means: a share as a float, a number as an int."""
    if isinstance(amount, bool) or amount < 0 or (isinstance(amount, float) and amount > 1.0):
        raise ValueError(f"prune: amount must be a share between 0 and 1 or a number of elements, not {amount!r}")
    count = round(amount * size) if isinstance(amount, float) else int(amount)
    if count > size:
        raise ValueError(f"prune: {count} elements are to be pruned of {size}")
    return count


def _present(module: Module, name: str) -> tuple[Variable, Variable]:
    """A parameter's values and mask."""
    value = getattr(module, f"{name}_orig", None)
    if value is None:
        parameter = module.get_parameter(name).detach()
        return parameter, _core.ones_like(parameter)
    return value.detach(), getattr(module, f"{name}_mask")


def _smallest(scores: Any, mask: Any, count: int) -> Any:
    """A mask without the ``count`` smallest scores among those that are not pruned yet."""
    import numpy as np

    flat = np.where(mask.reshape(-1) == 0, np.inf, scores.reshape(-1))
    new = mask.reshape(-1).copy()
    new[np.argsort(flat, kind="stable")[:count]] = 0
    return new.reshape(mask.shape)


def identity(module: Module, name: str) -> Module:
    """Prunes nothing, but gives the parameter a mask of ones.

    >>> layer = tg.nn.utils.prune.identity(tg.nn.Linear(2, 1), "weight")
    >>> layer.weight_mask
    Variable([[1., 1.]])
    """
    return custom_from_mask(module, name, _core.ones_like(_present(module, name)[1]))


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Variable | None = None) -> Module:
    """Prunes the elements of the smallest absolute value, or of the smallest scores: a share, or a number of them.

    >>> layer = tg.nn.utils.prune.l1_unstructured(tg.nn.Linear(4, 1), "weight", 0.5)
    >>> layer.weight_mask.sum().item()
    2.0
    """
    value, mask = _present(module, name)
    scores = _core.abs(value) if importance_scores is None else _core.asarray(importance_scores)
    known = mask.numpy()
    new = _smallest(scores.numpy(), known, _count(amount, int(known.sum())))
    return custom_from_mask(module, name, _core.array(new))


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prunes elements at random: a share, or a number of them.

    >>> layer = tg.nn.utils.prune.random_unstructured(tg.nn.Linear(4, 1), "weight", amount=0.5)
    >>> int((layer.weight == 0.0).sum())
    2
    """
    value, mask = _present(module, name)
    known = mask.numpy()
    scores = _core.rand(*value.shape).numpy()
    return custom_from_mask(module, name, _core.array(_smallest(scores, known, _count(amount, int(known.sum())))))


def ln_structured(
    module: Module, name: str, amount: float, n: float, dim: int, importance_scores: Variable | None = None
) -> Module:
    """Prunes whole slices along ``dim``, those of the smallest ``n``-norm: a share, or a number of them.

    >>> layer = tg.nn.utils.prune.ln_structured(tg.nn.Linear(3, 4), "weight", amount=1, n=2, dim=0)
    >>> int((layer.weight_mask.sum(axis=1) == 0.0).sum())
    1
    """
    value, mask = _present(module, name)
    scores = value if importance_scores is None else _core.asarray(importance_scores)
    rows = _core.reshape(_core.moveaxis(scores * mask, dim, 0), (value.shape[dim], -1))
    return _slices(module, name, mask, _core.norm(rows, n, axis=1).numpy(), amount, dim)


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prunes whole slices along ``dim`` at random: a share, or a number of them.

    >>> layer = tg.nn.utils.prune.random_structured(tg.nn.Linear(3, 4), "weight", amount=2, dim=0)
    >>> int((layer.weight_mask.sum(axis=1) == 0.0).sum())
    2
    """
    value, mask = _present(module, name)
    return _slices(module, name, mask, _core.rand(value.shape[dim]).numpy(), amount, dim)


def _slices(module: Module, name: str, mask: Variable, scores: Any, amount: float, dim: int) -> Module:
    import numpy as np

    rows = np.moveaxis(mask.numpy(copy=True), dim, 0)
    alive = (rows.reshape(rows.shape[0], -1) != 0).any(axis=1)
    keep = _smallest(scores, alive.astype(rows.dtype), _count(amount, int(alive.sum())))
    rows[keep == 0] = 0
    return custom_from_mask(module, name, _core.array(np.ascontiguousarray(np.moveaxis(rows, 0, dim))))


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: Any = None, amount: float = 0.0, **options: Any
) -> None:
    """Prunes the elements of the smallest absolute value of several parameters together.

    ``pruning_method`` is :func:`l1_unstructured` or :func:`random_unstructured`, or a class of that name.

    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Linear(3, 1))
    >>> prune = tg.nn.utils.prune
    >>> prune.global_unstructured([(net[0], "weight"), (net[1], "weight")], prune.L1Unstructured, amount=4)
    >>> int((net[0].weight == 0.0).sum() + (net[1].weight == 0.0).sum())
    4
    """
    import numpy as np

    if options:
        raise TypeError(f"global_unstructured: there is no option {next(iter(options))!r}")
    method = getattr(pruning_method, "__name__", "l1_unstructured").lower().replace("_", "")
    pairs = list(parameters)
    present = [_present(module, name) for module, name in pairs]
    masks = np.concatenate([mask.numpy().reshape(-1) for _, mask in present])
    if method == "randomunstructured":
        scores = _core.rand(masks.size).numpy()
    elif method == "l1unstructured":
        scores = np.abs(np.concatenate([value.numpy().reshape(-1) for value, _ in present]))
    else:
        raise ValueError("global_unstructured: pruning_method is l1_unstructured or random_unstructured")
    new, start = _smallest(scores, masks, _count(amount, int(masks.sum()))), 0
    for (module, name), (value, _) in zip(pairs, present):
        custom_from_mask(module, name, _core.array(new[start : start + value.size].reshape(value.shape)))
        start += value.size


class BasePruningMethod:
    """Base of pruning methods: a subclass has ``compute_mask(t, default_mask)``; ``Method.apply(module, name, ...)`` prunes.

    With the ``PRUNING_TYPE`` "unstructured" or "global" a parameter that is pruned already is handed over as the vector of its
    elements that are not, with "structured" as it is.

    >>> class Negative(tg.nn.utils.prune.BasePruningMethod):
    ...     def compute_mask(self, t, default_mask):
    ...         return default_mask * (t > 0)
    >>> layer = tg.nn.Linear(2, 1, bias=False).requires_grad_(False)
    >>> layer.weight[:] = tg.Variable([[-1.0, 1.0]])
    >>> method = Negative.apply(layer, "weight")
    >>> layer.weight_mask.tolist()
    [[0.0, 1.0]]
    """

    PRUNING_TYPE: str = "unstructured"

    def compute_mask(self, t: Variable, default_mask: Variable) -> Variable:
        """The mask of the values ``t``, or of scores of them; ``default_mask`` is the present one."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute_mask(t, default_mask)")

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Variable | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prunes the parameter ``name`` of a module; ``args`` and ``kwargs`` make the method, which is returned."""
        method = cls(*args, **kwargs)
        if cls.PRUNING_TYPE not in ("unstructured", "structured", "global"):
            raise ValueError(f"{cls.__name__}: PRUNING_TYPE is {cls.PRUNING_TYPE!r}, expected unstructured, structured or global")
        value, mask = _present(module, name)
        scores = value if importance_scores is None else _core.asarray(importance_scores)
        _fits(name, scores, value)
        if cls.PRUNING_TYPE == "structured" or name not in module.__dict__.get("_prune_handles", {}):
            new = method.compute_mask(scores.clone(), mask.clone())
        else:
            alive = mask != 0
            part = _core.asarray(method.compute_mask(scores[alive], mask[alive]))
            new = mask.clone()
            new[alive] = part.astype(mask.dtype)
        custom_from_mask(module, name, new)
        return method


class L1Unstructured:
    """Names :func:`l1_unstructured` for :func:`global_unstructured`.

    >>> net, prune = tg.nn.Linear(2, 2), tg.nn.utils.prune
    >>> prune.global_unstructured([(net, "weight")], prune.L1Unstructured, amount=1)
    >>> int((net.weight == 0.0).sum())
    1
    """


class RandomUnstructured:
    """Names :func:`random_unstructured` for :func:`global_unstructured`.

    >>> net, prune = tg.nn.Linear(2, 2), tg.nn.utils.prune
    >>> prune.global_unstructured([(net, "weight")], prune.RandomUnstructured, amount=1)
    >>> int((net.weight == 0.0).sum())
    1
    """


__all__ = [
    "BasePruningMethod",
    "L1Unstructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]
