"""Saving and restoring the values of a module."""

from __future__ import annotations

from .. import _core
from .._core import Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .module import Module


class StateDictError(RuntimeError):
    """A state dict that does not fit a module; the module is unchanged."""

    def __init__(self, owner: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> None:
        self.missing_keys = missing
        self.unexpected_keys = unexpected
        self.mismatches = wrong
        lines = [f"load_state_dict: the state does not fit {owner}, nothing was changed"]
        if missing:
            lines.append(f"  missing: {', '.join(missing)}")
        if unexpected:
            lines.append(f"  unexpected: {', '.join(unexpected)}")
        lines.extend(f"  {line}" for line in wrong)
        super().__init__("\n".join(lines))


class LoadResult(tuple["list[str]", "list[str]"]):
    """What a load with ``strict=False`` passed over: ``missing_keys`` and ``unexpected_keys``."""

    __slots__ = ()

    @property
    def missing_keys(self) -> list[str]:
        """Names of the module that the state did not have; their values are unchanged."""
        return self[0]

    @property
    def unexpected_keys(self) -> list[str]:
        """Names of the state that the module does not have."""
        return self[1]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"LoadResult(missing_keys={self[0]}, unexpected_keys={self[1]})"


def state_of(module: Module) -> dict[str, Variable]:
    """The parameters and persistent buffers of a module and its children, the objects themselves."""
    found: dict[str, Variable] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        dot = f"{prefix}." if prefix else ""
        found.update((dot + name, p) for name, p in part._own_parameters())
        found.update((dot + name, b) for name, b in part._own_buffers(persistent=True))
    return found


def load(module: Module, state: Mapping[str, Any], strict: bool) -> LoadResult:
    """Checks everything, then changes values."""
    if not hasattr(state, "keys"):
        raise TypeError(f"load_state_dict takes a mapping of names to arrays, not a {type(state).__name__}")
    own = state_of(module)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    wrong: list[str] = []
    new: list[tuple[Variable, Variable]] = []
    for name, target in own.items():
        if name not in state:
            continue
        try:
            value = _core.asarray(state[name]).detach()
        except (TypeError, ValueError) as error:
            wrong.append(f"{name}: {error}")
            continue
        if value.shape != target.shape:
            wrong.append(f"{name}: shape {value.shape} in the state, {target.shape} in the module")
        else:
            new.append((target, value.astype(target.dtype)))
    if wrong or (strict and (missing or unexpected)):
        shown = (missing, unexpected) if strict else ([], [])
        raise StateDictError(type(module).__name__, *shown, wrong)
    for target, value in new:
        assign(target, value)
    return LoadResult((missing, unexpected))


def assign(target: Variable, value: Any) -> None:
    """Gives a Variable another value of its shape and dtype, off the tape. The object stays."""
    found = _core.set_grad_enabled_raw(False)
    try:
        target[...] = value
    finally:
        _core.set_grad_enabled_raw(found)


__all__ = ["LoadResult", "StateDictError", "assign", "load", "state_of"]
