"""Checks of devices, and the arguments of ``to(...)``."""

from __future__ import annotations

from .. import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check_device(name: str, device: Any) -> None:
    """Raises unless ``device`` is None or names the CPU."""
    text = str(getattr(device, "type", device))
    if device is not None and text.partition(":")[0] != "cpu":
        raise ValueError(f"{name}: there is one device, 'cpu', and no {text!r}; leave device out or pass 'cpu'")


def dtype_of(value: Any) -> _core.DType:
    """A dtype from an object that names one."""
    return value if isinstance(value, _core.DType) else _core.DType(value)


def parse_to(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _core.DType | None:
    """The dtype that the arguments of ``to(...)`` name; None when they name no dtype."""
    known = {"device", "dtype", "non_blocking", "copy", "memory_format", "other", "tensor"}
    unknown = sorted(set(kwargs) - known)
    if unknown:
        raise TypeError(f"{name}: there is no argument {unknown[0]!r}")
    dtype = None
    for arg in [*args, kwargs.get("other"), kwargs.get("tensor"), kwargs.get("dtype")]:
        if arg is None or isinstance(arg, bool):
            continue
        if isinstance(arg, _core.Variable):
            dtype = arg.dtype
        elif _is_device(arg):
            check_device(name, arg)
        else:
            dtype = dtype_of(arg)
    check_device(name, kwargs.get("device"))
    return dtype


def _is_device(arg: Any) -> bool:
    if isinstance(arg, str):
        try:
            _core.DType(arg)
        except (TypeError, ValueError):
            return "float" not in arg and "int" not in arg
        return False
    return isinstance(arg, int) or (hasattr(arg, "type") and isinstance(getattr(arg, "type", None), str))
