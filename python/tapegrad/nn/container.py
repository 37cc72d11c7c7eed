"""Modules made of modules, and containers of parameters."""

from __future__ import annotations

from operator import index

from .. import _core
from .._messages import a_type, in_layer, not_a_module
from .module import Module
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
    from typing import Any, Self, overload


class _Container(Module):
    """Modules under names that need not be attributes; they are reached as attributes too."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["_items"] = {}

    @property
    def _modules(self) -> dict[str, Any]:
        items: dict[str, Any] = self.__dict__.setdefault("_items", {})
        return items

    @_modules.setter
    def _modules(self, items: Mapping[str, Module | None]) -> None:
        self.__dict__["_items"] = dict(items)

    def _module_slots(self) -> Iterator[tuple[str, Module | None]]:
        return iter(list(self._modules.items()))

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_items", {})
        if name in modules:
            return modules[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module) or (value is None and name in self._modules):
            self._modules[name] = value
        elif name in self._modules:
            raise TypeError(f"{type(self).__name__}.{name} is a Module and takes a Module or None, not {a_type(value)}")
        elif isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__.get("_items", {}):
            del self._modules[name]
        else:
            super().__delattr__(name)

    def _checked_name(self, name: str, is_replaced: bool) -> str:
        return super()._checked_name(name, is_replaced or (isinstance(name, str) and name in self._modules))


class _Numbered(_Container):
    """Modules under the names 0, 1, 2 and so on."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self)

    def _key(self, i: Any) -> str:
        number, count = index(i), len(self)
        if not -count <= number < count:
            raise IndexError(f"index {number} is out of range for {type(self).__name__} of {count} modules")
        return list(self._modules)[number]

    def _replace(self, modules: Iterable[Module]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}

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
        names = list(self._modules)[i] if isinstance(i, slice) else [self._key(i)]
        kept = {n: m for n, m in self._modules.items() if n not in names}
        if all(name.isdigit() for name in kept):
            self._replace(kept.values())
        else:
            self._modules = kept

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        number = len(self)
        while str(number) in self._modules:  # the caller chose this name
            number += 1
        self._modules[str(number)] = _checked(self, module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        if not hasattr(modules, "__iter__"):
            raise TypeError(f"{type(self).__name__}.extend takes an iterable of Modules, not {a_type(modules)}")
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Adds a module before place ``index``."""
        all_modules = list(self)
        all_modules.insert(index, _checked(self, module))
        self._replace(all_modules)
        return self

    def pop(self, key: int = -1) -> Module:
        """Takes a module out."""
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Module]) -> Self:
        new = type(self).__new__(type(self))
        new._modules = {}
        return new.extend(self).extend(modules)


def _checked(owner: Module, module: Any) -> Module:
    if not isinstance(module, Module):
        raise not_a_module(owner, module)
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

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        only = args[0] if len(args) == 1 else None
        if only is not None and not isinstance(only, Module) and hasattr(only, "items"):
            for name, named in only.items():
                self.add_module(name, _checked(self, named))
        else:
            for module in args:
                self.append(_checked(self, module))

    def forward(self, input: Any) -> Any:
        """Runs the modules in order."""
        for name, module in self._modules.items():
            try:
                input = module(input)
            except _core.ShapeError as error:
                raise in_layer(self, name, module, error) from None
        return input

    def __mul__(self, times: int) -> Self:
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"Sequential: it is repeated a whole number of times, at least once, not {times!r}")
        new = self[:]
        for _ in range(times - 1):
            new.extend(self)
        return new

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        self._modules = (self * times)._modules
        return self


class ModuleList(_Numbered):
    """A list of modules, which are part of the module that holds it.

    >>> layers = tg.nn.ModuleList([tg.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def _child_lines(self) -> list[str]:
        """Neighbours that look alike share a line."""
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        shown = [f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}" for a, b, text in runs]
        return [line.replace("\n", "\n  ") for line in shown]


class ModuleDict(_Container):
    """A dictionary of modules, which are part of the module that holds it.

    >>> heads = tg.nn.ModuleDict({"a": tg.nn.Linear(2, 1), "b": tg.nn.Linear(2, 3)})
    >>> list(heads), heads["b"].out_features
    (['a', 'b'], 3)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        module: Module = self._modules[name]
        return module

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

    def get(self, name: str, default: Any = None) -> Any:
        """The module of a name, or ``default``."""
        return self._modules.get(name, default)

    def pop(self, key: str) -> Module:
        """Takes a module out."""
        module: Module = self._modules.pop(key)
        return module

    def clear(self) -> None:
        """Takes all modules out."""
        self._modules.clear()


def _as_parameter(value: Any) -> Any:
    """Variables become parameters; other things stay what they are."""
    return Parameter(value) if isinstance(value, _core.Variable) and not isinstance(value, Parameter) else value


def _shown(value: Any) -> str:
    if not isinstance(value, _core.Variable):
        return f"Object of type: {type(value).__name__}"
    size = "x".join(map(str, value.shape))
    return f"{type(value).__name__} containing: [{value.dtype} of size {size}]"


class ParameterList(Module):
    """A list of parameters, which are part of the module that holds it. Variables become parameters.

    >>> weights = tg.nn.ParameterList([tg.nn.Parameter(tg.ones(2)), tg.zeros(3)])
    >>> len(weights), [name for name, _ in weights.named_parameters()]
    (2, ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, i: Any) -> str:
        number = index(i)
        if not -self._size <= number < self._size:
            raise IndexError(f"index {number} is out of range for ParameterList of {self._size} entries")
        return str(number % self._size)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self.__dict__[str(i)] for i in range(self._size)])

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self.__dict__[self._key(i)]

    def __setitem__(self, i: int, value: Any) -> None:
        setattr(self, self._key(i), _as_parameter(value))

    def append(self, value: Any) -> Self:
        """Adds a value at the end."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Adds values at the end."""
        if isinstance(values, _core.Variable) or not hasattr(values, "__iter__"):
            raise TypeError(f"ParameterList.extend takes an iterable of values, not {a_type(values)}")
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> Self:
        """Adds a value before place ``index``."""
        return self._refill([*list(self)[:index], value, *list(self)[index:]])

    def pop(self, index: int = -1) -> Any:
        """Takes a value out."""
        value = self[index]
        del self[index]
        return value

    def __delitem__(self, i: int | slice) -> None:
        values = list(self)
        if not isinstance(i, slice):
            self._key(i)
        del values[i]
        self._refill(values)

    def _refill(self, values: list[Any]) -> Self:
        for i in range(self._size):
            delattr(self, str(i))
        self._size = 0
        return self.extend(values)

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __contains__(self, value: object) -> bool:
        return any(v is value for v in self)

    def extra_repr(self) -> str:
        return "\n".join(f"  ({i}): {_shown(v)}" for i, v in enumerate(self) if not isinstance(v, Module))


class ParameterDict(Module):
    """A dictionary of parameters, which are part of the module that holds it. Variables become parameters.

    >>> weights = tg.nn.ParameterDict({"a": tg.nn.Parameter(tg.ones(2))})
    >>> weights["b"] = tg.zeros(3)
    >>> list(weights), type(weights["b"]).__name__
    (['a', 'b'], 'Parameter')
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: keys are strings, not {type(key).__name__}")
        if key not in self._keys:
            self._checked_name(key, False)
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        self[key]
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> list[Any]:
        """The values."""
        return [self[key] for key in self._keys]

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return [(key, self[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a name, or ``default``."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a name, which becomes ``default`` when there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Takes a value out."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Takes the last value out, with its name."""
        if not self._keys:
            raise KeyError("ParameterDict: it is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Takes all values out."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(dict(self.items()))

    def update(self, parameters: Any) -> None:
        """Adds values under their names."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def __or__(self, other: Any) -> ParameterDict:
        new = self.copy()
        new.update(other)
        return new

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"  ({key}): {_shown(v)}" for key, v in self.items() if not isinstance(v, Module))


__all__ = [
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Sequential",
]
