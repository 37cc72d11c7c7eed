"""Parameters that are functions of others: symmetric, orthogonal, normalised or masked weights.

>>> class Symmetric(tg.nn.Module):
...     def forward(self, x):
...         upper = tg.triu(x)
...         return upper + tg.triu(x, 1).T
>>> layer = tg.nn.utils.parametrize.register_parametrization(tg.nn.Linear(2, 2), "weight", Symmetric())
>>> bool(tg.all(layer.weight == layer.weight.T)), list(layer.state_dict())
(True, ['bias', 'parametrizations.weight.original'])
"""

from __future__ import annotations

from contextlib import contextmanager

from ... import _core
from ..._messages import a_type
from ...autograd import no_grad
from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter
from ..state import assign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..._core import Variable

_cache: dict[tuple[int, str], Any] = {}
_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """A block in which each parametrized value is computed once, however often it is read.

    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 1))
    >>> with tg.nn.utils.parametrize.cached():
    ...     print(layer.weight is layer.weight)
    True
    """
    global _depth  # noqa: PLW0603
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one parameter, and its original values: ``original``, or ``original0`` and so on."""

    def __init__(self, modules: list[Module], original: Variable, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        self.is_tensor = True
        with no_grad():
            new: Any = original
            for module in reversed(modules):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    continue
                try:
                    new = inverse(new)
                except NotImplementedError:
                    break  # no right inverse: the value becomes the original one
        if isinstance(new, _core.Variable):
            if isinstance(original, Parameter):
                self.original = original if new is original else Parameter(new, original.requires_grad)
            else:
                self.register_buffer("original", new)
            return
        self.is_tensor = False
        self.ntensors = len(new)
        for i, part in enumerate(new):
            if isinstance(original, Parameter):
                setattr(self, f"original{i}", Parameter(part, original.requires_grad))
            else:
                self.register_buffer(f"original{i}", part)

    def _originals(self) -> list[Any]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Variable) -> None:
        """Gives the originals the values that make the parameter ``value``."""
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise RuntimeError(f"{type(module).__name__} has no right_inverse: its parameter cannot be assigned")
                new = inverse(new)
            for target, part in zip(self._originals(), [new] if isinstance(new, _core.Variable) else new):
                assign(target, part.detach())

    def forward(self) -> Variable:
        """The value of the parameter."""
        modules = list(self)
        value: Variable = modules[0](*self._originals())
        for module in modules[1:]:
            value = module(value)
        return value


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of that parameter.

    >>> tg.nn.utils.parametrize.is_parametrized(tg.nn.Linear(2, 2))
    False
    """
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type:
    """The class of a module before it was parametrized.

    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 1))
    >>> tg.nn.utils.parametrize.type_before_parametrizations(layer).__name__
    'Linear'
    """
    return module.__class__.__bases__[0] if is_parametrized(module) else module.__class__


def _read(owner: Module, name: str) -> Any:
    parts: Any = owner.parametrizations
    if not _depth:
        return parts[name]()
    key = (id(owner), name)
    if key not in _cache:
        _cache[key] = parts[name]()
    return _cache[key]


def _property(name: str) -> property:
    return property(
        lambda self: _read(self, name),
        lambda self, value: self.parametrizations[name].right_inverse(value),
        doc=f"The parametrized {name}.",
    )


def _rebuild(base: Any, state: dict[str, Any]) -> Any:
    """Builds a parametrized module from a copy or a pickle: it has a class of its own, which is created again."""
    new = base.__new__(base)
    new.__dict__.update(state)
    for name in new.__dict__["parametrizations"]:
        _make_property(new, name)
    return new


def _reduce(self: Any, protocol: Any) -> Any:
    return _rebuild, (type(self).__bases__[0], self.__getstate__())


def _make_property(module: Module, name: str) -> None:
    cls = module.__class__
    if not cls.__dict__.get("_parametrized", False):
        members: dict[str, Any] = {"_parametrized": True, "__reduce_ex__": _reduce}
        cls = type(f"Parametrized{cls.__name__}", (cls,), members)
        module.__class__ = cls
    setattr(cls, name, _property(name))


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Makes a parameter or buffer of a module a function of its original values; several apply one after the other.

    ``parametrization(original)`` must keep shape and dtype unless ``unsafe``. Its ``right_inverse(value)``, if there is one,
    makes original values from a value: the present one, and what is assigned later. Returns the module.

    >>> class Positive(tg.nn.Module):
    ...     def forward(self, x):
    ...         return tg.exp(x)
    >>> layer = tg.nn.Linear(2, 1)
    >>> _ = tg.nn.utils.parametrize.register_parametrization(layer, "weight", Positive())
    >>> bool((layer.weight > 0.0).all())
    True
    """
    if not isinstance(parametrization, Module):
        raise TypeError(f"register_parametrization: a parametrization is a Module, not {a_type(parametrization)}")
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        parts: Any = module.parametrizations[tensor_name]
        before = getattr(module, tensor_name)
        with no_grad():
            inverse = getattr(parametrization, "right_inverse", None)
            if not unsafe:
                _check(tensor_name, before, parametrization(before if inverse is None else inverse(before)))
            if inverse is not None:
                parts.right_inverse(inverse(before))
        parts.append(parametrization)
        return module
    own = {**dict(module._own_parameters()), **dict(module._own_buffers())}
    if tensor_name not in own:
        raise ValueError(f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}")
    original = own[tensor_name]
    made = ParametrizationList([parametrization], original, unsafe)
    if not unsafe:
        with no_grad():
            _check(tensor_name, original, made())
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _make_property(module, tensor_name)
    return module


def _check(name: str, before: Variable, after: Any) -> None:
    if not isinstance(after, _core.Variable) or after.shape != before.shape or after.dtype != before.dtype:
        got = f"{after.shape} of {after.dtype}" if isinstance(after, _core.Variable) else f"{a_type(after)}"
        raise ValueError(
            f"register_parametrization: the parametrization makes {got} of {name}, which is {before.shape} of {before.dtype}; "
            "pass unsafe=True if that is meant"
        )


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes a plain parameter again: of the present value, or with ``leave_parametrized=False`` of the original one.

    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 2))
    >>> list(tg.nn.utils.parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {type(module).__name__} has no parametrization of {tensor_name!r}")
    parts: Any = module.parametrizations[tensor_name]
    originals = parts._originals()
    learned = isinstance(originals[0], Parameter)
    if leave_parametrized:
        with no_grad():
            value: Any = getattr(module, tensor_name).detach()
        value = Parameter(value, originals[0].requires_grad) if learned else value
    elif parts.is_tensor:
        value = originals[0]
    else:
        raise ValueError("remove_parametrizations: a parameter with several originals must be left parametrized")
    cls = module.__class__
    delattr(cls, tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = cls.__bases__[0]
    if learned:
        module.register_parameter(tensor_name, value)
    else:
        module.register_buffer(tensor_name, value)
    return module


__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]
