"""Modules made of modules."""

from __future__ import annotations

from operator import index

from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
    from typing import Any, Self, overload


class _Container(Module):
    """Modules under names that need not be attributes; they are reached as attributes too."""

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Module] = {}

    def _slots(self) -> Iterator[tuple[str, Module]]:
        return iter(self._modules.items())

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})
        if name in modules:
            return modules[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            self._modules[name] = value
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__.get("_modules", {}):
            del self._modules[name]
        else:
            super().__delattr__(name)

    def _checked_name(self, name: str) -> str:
        if isinstance(name, str) and name in self._modules:
            return name
        return super()._checked_name(name)


class _Numbered(_Container):
    """Modules under the names 0, 1, 2 and so on."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self)

    def _key(self, i: Any) -> str:
        number, count = index(i), len(self)
        if not -count <= number < count:
            raise IndexError(f"index {number} is out of range for {type(self).__name__} of {count} modules")
        return list(self._modules)[number]

    def _replace(self, modules: Iterable[Module]) -> None:
        self._modules = {}
        for module in modules:
            self.append(module)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, i: int) -> Module: ...
        @overload
        def __getitem__(self, i: slice) -> Self: ...

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            part = type(self).__new__(type(self))
            part._modules = dict(list(self._modules.items())[i])
            part.training = self.training
            if all(name.isdigit() for name in part._modules):
                part._replace(list(part))
            return part
        return self._modules[self._key(i)]

    def __setitem__(self, i: int, module: Module) -> None:
        self._modules[self._key(i)] = _checked(self, module)

    def __delitem__(self, i: int | slice) -> None:
        keep = list(self)
        del keep[i]
        self._replace(keep)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        number = len(self)
        while str(number) in self._modules:  # a name that somebody chose
            number += 1
        self._modules[str(number)] = _checked(self, module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, i: int, module: Module) -> Self:
        """Adds a module before place ``i``."""
        all_modules = list(self)
        all_modules.insert(i, _checked(self, module))
        self._replace(all_modules)
        return self


def _checked(owner: Module, module: Any) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{type(owner).__name__} holds Modules, not a {type(module).__name__}")
    return module


class Sequential(_Numbered):
    """Modules one after the other; each gets what the one before returned.

    Made from modules, or from one dictionary that names them.

    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.ReLU(), tg.nn.Linear(3, 1))
    >>> net(tg.zeros((5, 2))).shape
    (5, 1)
    >>> len(net), net[1], len(net[:2])
    (3, ReLU(), 2)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        only = modules[0] if len(modules) == 1 else None
        if only is not None and not isinstance(only, Module) and hasattr(only, "items"):
            for name, named in only.items():
                self.add_module(name, _checked(self, named))
        else:
            for module in modules:
                self.append(_checked(self, module))

    def forward(self, input: Any) -> Any:
        """Runs the modules in order."""
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules, which are part of the module that holds it.

    >>> layers = tg.nn.ModuleList([tg.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(_Container):
    """A dictionary of modules, which are part of the module that holds it.

    >>> heads = tg.nn.ModuleDict({"a": tg.nn.Linear(2, 1), "b": tg.nn.Linear(2, 3)})
    >>> list(heads), heads["b"].out_features
    (['a', 'b'], 3)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{name!r} cannot name a module: it must be a string without dots")
        self._modules[name] = _checked(self, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Module]:
        """Names and modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds modules under their names."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        for name, module in pairs:
            self[name] = module

    def pop(self, name: str) -> Module:
        """Takes a module out."""
        return self._modules.pop(name)

    def clear(self) -> None:
        """Takes all modules out."""
        self._modules.clear()
