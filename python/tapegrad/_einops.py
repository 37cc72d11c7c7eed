"""A backend for einops: ``rearrange``, ``reduce``, ``repeat``, ``pack`` and ``einsum`` take Variables.

einops finds a backend among the subclasses of its own base class. So the class is made as soon as einops is imported, before or
after us; without einops nothing happens.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: The module of einops that holds the base class.
_HOME = "einops._backends"


def install() -> None:
    """Makes the backend, now or when einops is imported."""
    if _HOME in sys.modules:
        _define(sys.modules[_HOME])
    elif not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """An import hook that waits for einops, and removes itself when einops is imported."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _HOME:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """Loads a module and makes the backend."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self.loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _define(module)


def _define(module: Any) -> None:
    base = getattr(module, "AbstractBackend", None)
    if base is None or any(b.framework_name == "tapegrad" for b in base.__subclasses__()):
        return
    # The module holds it: a list of subclasses does not keep them alive.
    module.TapegradBackend = type(
        "TapegradBackend", (base,), {"framework_name": "tapegrad", **_METHODS, "__doc__": "Variables of tapegrad."}
    )


def _core() -> Any:
    from . import _core

    return _core


def _is_appropriate_type(_: Any, tensor: Any) -> bool:
    return isinstance(tensor, _core().Variable)


def _from_numpy(_: Any, x: Any) -> Any:
    return _core().asarray(x)


def _to_numpy(_: Any, x: Any) -> Any:
    return x.numpy()


def _arange(_: Any, start: int, stop: int) -> Any:
    return _core().arange(start, stop)


def _reduce(_: Any, x: Any, operation: str, axes: Any) -> Any:
    names = {"min": "min", "max": "max", "sum": "sum", "mean": "mean", "prod": "prod", "any": "any", "all": "all"}
    return getattr(_core(), names[operation])(x, axis=tuple(axes))


def _transpose(_: Any, x: Any, axes: Any) -> Any:
    return _core().permute_dims(x, tuple(axes))


def _reshape(_: Any, x: Any, shape: Any) -> Any:
    return _core().reshape(x, tuple(shape))


def _stack(_: Any, tensors: Any) -> Any:
    return _core().stack(list(tensors))


def _add_axis(_: Any, x: Any, new_position: int) -> Any:
    return _core().expand_dims(x, new_position)


def _tile(_: Any, x: Any, repeats: Any) -> Any:
    return _core().tile(x, tuple(repeats))


def _concat(_: Any, tensors: Any, axis: int) -> Any:
    return _core().concat(list(tensors), axis=axis)


def _is_float_type(_: Any, x: Any) -> bool:
    return bool(x.dtype.is_floating_point)


def _einsum(_: Any, pattern: str, *operands: Any) -> Any:
    return _core().einsum(pattern, *operands)


_METHODS: dict[str, Any] = {
    "is_appropriate_type": _is_appropriate_type,
    "from_numpy": _from_numpy,
    "to_numpy": _to_numpy,
    "arange": _arange,
    "reduce": _reduce,
    "transpose": _transpose,
    "reshape": _reshape,
    "stack_on_zeroth_dimension": _stack,
    "add_axis": _add_axis,
    "tile": _tile,
    "concat": _concat,
    "is_float_type": _is_float_type,
    "einsum": _einsum,
}
