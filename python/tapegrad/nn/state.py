"""Saving and restoring the values of a module."""

from __future__ import annotations

from .. import _core
from .._core import Variable
from .._messages import a_type
from .parameter import Parameter, Uninitialized
from .rows import renewed

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
    """The keys that a load with ``strict=False`` skipped: ``missing_keys`` and ``unexpected_keys``."""

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


EXTRA = "_extra_state"


def has_extra(module: Module) -> bool:
    """Whether a module's class defines more state than its parameters and buffers."""
    from .module import Module as Base

    return module.__class__.get_extra_state is not Base.get_extra_state


def state_of(module: Module, out: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Adds the state of a module and its children to ``out``: own values first, hooks at the end of each module."""
    for hook in tuple(module._state_dict_pre_hooks.values()):
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(out, prefix, keep_vars)
    for name, child in module._slots():
        # A child's own state_dict, which a subclass may have changed.
        child.state_dict(out, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in tuple(module._state_dict_hooks.values()):
        changed = hook(module, out, prefix, {})
        out = out if changed is None else changed
    return out


def save_own(module: Module, out: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Adds the parameters, buffers and further state of a module alone to ``out``."""
    for name, value in [*module._own_parameters(), *module._own_buffers(persistent=True)]:
        out[prefix + name] = value if keep_vars else value.detach()
    if has_extra(module):
        out[prefix + EXTRA] = module.get_extra_state()


class _State(dict):  # type: ignore[type-arg]
    """A state that is being loaded, and by what."""

    task: _Load


def load_own(module: Module, state: dict[str, Any], prefix: str) -> None:
    """Takes the values of a module alone from a state that is being loaded."""
    if not isinstance(state, _State):
        raise TypeError("_load_from_state_dict: pass on the state_dict that was given, changed in place")
    state.task.take_own(module, prefix)


class _Load:
    """A load in preparation: everything is checked before anything changes."""

    def __init__(self, state: dict[str, Any], strict: bool, assign: bool) -> None:
        self.state, self.strict, self.assign = _State(state), strict, assign
        self.state.task = self
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.wrong: list[str] = []
        self.known: set[str] = set()
        self.new: list[tuple[Module, str, Variable, Variable]] = []
        self.extra: list[tuple[Module, Any]] = []
        self.modules: list[Module] = []

    def visit(self, module: Module, prefix: str) -> None:
        for hook in tuple(module._load_state_dict_pre_hooks.values()):
            hook(module, self.state, prefix, {}, self.strict, self.missing, self.unexpected, self.wrong)
        module._load_from_state_dict(self.state, prefix, {}, self.strict, self.missing, self.unexpected, self.wrong)
        for name, child in module._slots():
            self.visit(child, f"{prefix}{name}.")
        self.modules.append(module)

    def take_own(self, module: Module, prefix: str) -> None:
        for name, target in [*module._own_parameters(), *module._own_buffers(persistent=True)]:
            self.take(module, name, prefix + name, target)
        if has_extra(module):
            self.known.add(prefix + EXTRA)
            if prefix + EXTRA in self.state:
                self.extra.append((module, self.state[prefix + EXTRA]))
            else:
                self.missing.append(prefix + EXTRA)

    def take(self, module: Module, name: str, key: str, target: Variable) -> None:
        self.known.add(key)
        if key not in self.state:
            self.missing.append(key)
            return
        try:
            given = _core.asarray(self.state[key]).detach()
            value = given if self.assign else given.astype(target.dtype)
        except (TypeError, ValueError) as error:
            self.wrong.append(f"{key}: {error}")
            return
        if isinstance(target, Uninitialized):
            self.new.append((module, name, target, value))
        elif value.shape != target.shape:
            self.wrong.append(f"{key}: shape {value.shape} in the state, {target.shape} in the module")
        else:
            self.new.append((module, name, target, value))

    def finish(self) -> None:
        for module, name, target, value in self.new:
            if not self.assign and not isinstance(target, Uninitialized):
                assign(target, value)
            elif isinstance(target, Parameter):
                module.__dict__[name] = renewed(target, value)
            else:
                module.__dict__[name] = value
        for module, extra in self.extra:
            module.set_extra_state(extra)


def load(module: Module, state: Mapping[str, Any], strict: bool, assign: bool = False) -> LoadResult:
    """Checks everything, then changes values."""
    if not hasattr(state, "keys"):
        raise TypeError(f"load_state_dict takes a mapping of names to arrays, not {a_type(state)}")
    task = _Load(dict(state), strict, assign)
    try:
        task.visit(module, "")
    finally:
        del task.state.task  # which is a cycle
    task.unexpected += [name for name in task.state if name not in task.known and name not in task.unexpected]
    if task.wrong or (strict and (task.missing or task.unexpected)):
        shown = (task.missing, task.unexpected) if strict else ([], [])
        raise StateDictError(type(module).__name__, *shown, task.wrong)
    task.finish()
    result = LoadResult((task.missing, task.unexpected))
    for part in task.modules:
        for hook in tuple(part._load_state_dict_post_hooks.values()):
            hook(part, result)
    return result


def assign(target: Variable, value: Any) -> None:
    """Gives a Variable another value of its shape and dtype, off the tape. The object stays."""
    found = _core.set_grad_enabled_raw(False)
    try:
        target[...] = value
    finally:
        _core.set_grad_enabled_raw(found)


__all__ = ["LoadResult", "StateDictError", "assign", "load", "load_own", "save_own", "state_of"]
