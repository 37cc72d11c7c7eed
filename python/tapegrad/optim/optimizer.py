"""The base of optimizers."""

from __future__ import annotations

import copy
from collections import defaultdict
from itertools import chain

from .. import _core
from .._core import Variable
from .._messages import check_closure, check_constructor, check_parameters, no_parameter, no_parameters
from ..autograd import enable_grad
from ..nn.hooks import HookHandle
from ..nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Self

    Params = Iterable[Variable] | Iterable[dict[str, Any]] | Iterable[tuple[str, Variable]]


class _Required:
    """Stands for an option that has no default: `Optimizer(params, dict(lr=required))`."""

    def __repr__(self) -> str:
        return "<required parameter>"


#: The default of an option that has no default: each group must set it.
required = _Required()


class Optimizer:
    """Base of optimizers: parameter groups, state, saving and restoring.

    ``params`` is an iterable of Variables that require gradients, of (name, Variable) pairs, or of dicts with "params" and
    options of their own; ``defaults`` are the options of groups that do not say otherwise. A subclass defines ``step`` with
    operations under ``no_grad``; what it keeps of a parameter goes into ``self.state[p]``, a dict.

    >>> class Lion(tg.optim.Optimizer):
    ...     def __init__(self, params, lr=1e-4, betas=(0.9, 0.99)):
    ...         super().__init__(params, dict(lr=lr, betas=betas))
    ...     @tg.no_grad()
    ...     def step(self):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 m = self.state[p].setdefault("exp_avg", tg.zeros_like(p))
    ...                 b1, b2 = group["betas"]
    ...                 p.add_(tg.sign(m * b1 + p.grad * (1 - b1)), alpha=-group["lr"])
    ...                 m.mul_(b2).add_(p.grad, alpha=1 - b2)
    >>> x = tg.Variable([1.0], requires_grad=True)
    >>> lion = Lion([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> lion.step()
    >>> x.tolist(), list(lion.state_dict()["state"][0])
    ([0.5], ['exp_avg'])
    """

    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A new optimizer, whose ``__init__`` follows; arguments of the optimizers here are checked first."""
        check_constructor(cls, args, kwargs)
        return object.__new__(cls)

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self._start(defaults)
        self.state: Any = defaultdict(dict)
        self.param_groups = []
        for group in groups_of(self._name(), params):
            self.add_param_group(group)

    def _start(self, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._step_pre_hooks: dict[int, Any] = {}
        self._step_post_hooks: dict[int, Any] = {}
        self._state_hooks: dict[str, dict[int, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        step = cls.__dict__.get("step")
        if callable(step) and not getattr(step, "hooked", False):
            cls.step = _hooked(step)  # type: ignore[method-assign]

    def _name(self) -> str:
        return type(self).__name__

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters. Subclasses define it."""
        raise NotImplementedError(f"{self._name()} defines no step(closure=None)")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Removes the gradients of all parameters, or with ``set_to_none=False`` sets them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = _core.zeros_like(p)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dict with "params" and options that differ from the defaults."""
        group = checked_group(self._name(), param_group)
        for key, value in self.defaults.items():
            if value is required and key not in group:
                raise ValueError(
                    f"{self._name()}: a parameter group has no {key!r}, which has no default; pass {key}=, or put it there"
                )
            group.setdefault(key, value)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in group["params"]:
            if id(p) in known:
                raise ValueError(f"{self._name()}: a parameter of shape {p.shape} is given twice")
            known.add(id(p))
        self.param_groups.append(group)

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """Options and state as dicts, in PyTorch's layout: {"state": {number: …}, "param_groups": [...]}."""
        for hook in tuple(self._hooks_of("state_dict_pre").values()):
            hook(self)
        saved = self._saved()
        for hook in tuple(self._hooks_of("state_dict_post").values()):
            changed = hook(self, saved)
            saved = saved if changed is None else changed
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned; a run that is resumed so goes on bit for bit.

        Raises KeyError, ValueError or ShapeError when something is missing, unknown or does not fit; then nothing changes.
        """
        for hook in tuple(self._hooks_of("load_pre").values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        self._load(state_dict)
        for hook in tuple(self._hooks_of("load_post").values()):
            hook(self)

    def _saved(self) -> dict[str, Any]:
        """The state dict, before hooks change it."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            groups.append({**group, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers.get(id(p), p): dict(kept) if isinstance(kept, dict) else kept for p, kept in self.state.items()}
        return {"state": state, "param_groups": groups}

    def _load(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state dict."""
        name = self._name()
        if not isinstance(state_dict, dict) or set(state_dict) != {"state", "param_groups"}:
            raise ValueError(f"{name}: a state_dict is a dict with 'state' and 'param_groups'")
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError(f"{name}: the state_dict has {len(saved)} parameter groups, the optimizer {len(self.param_groups)}")
        for i, (mine, theirs) in enumerate(zip(self.param_groups, saved)):
            if len(mine["params"]) != len(theirs["params"]):
                counts = f"{len(theirs['params'])} parameters in the state_dict, {len(mine['params'])} in the optimizer"
                raise ValueError(f"{name}: parameter group {i} has {counts}")
        old = chain.from_iterable(group["params"] for group in saved)
        places = dict(zip(old, chain.from_iterable(group["params"] for group in self.param_groups)))
        state: Any = defaultdict(dict)
        for key, kept in state_dict["state"].items():
            if key not in places:
                raise KeyError(f"{name}: the state_dict has a state for parameter {key}, which is in no group")
            state[places[key]] = _restored(kept, places[key])
        for mine, theirs in zip(self.param_groups, saved):
            params = mine["params"]
            mine.clear()
            mine.update({**theirs, "params": params})
        self.state = state

    # Copies: the default implementation would keep the hooks of the original.

    def __getstate__(self) -> dict[str, Any]:
        hooks = ("_step_pre_hooks", "_step_post_hooks", "_state_hooks")
        return {key: value for key, value in self.__dict__.items() if key not in hooks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._step_pre_hooks, self._step_post_hooks, self._state_hooks = {}, {}, {}

    # Hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step; it may return new (args, kwargs)."""
        return HookHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step."""
        return HookHandle(self._step_post_hooks, hook)

    def _hooks_of(self, kind: str) -> dict[int, Any]:
        return self._state_hooks.setdefault(kind, {})

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Calls ``hook(optimizer)`` before ``state_dict()`` is made."""
        return HookHandle(self._hooks_of("state_dict_pre"), hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Calls ``hook(optimizer, state_dict)`` after; what it returns, unless None, is the state dict."""
        return HookHandle(self._hooks_of("state_dict_post"), hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Calls ``hook(optimizer, state_dict)`` before a load; what it returns, unless None, is loaded."""
        return HookHandle(self._hooks_of("load_pre"), hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Calls ``hook(optimizer)`` after a load."""
        return HookHandle(self._hooks_of("load_post"), hook, prepend)

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"\nParameter Group {i}")
            lines += [f"\n    {key}: {group[key]}" for key in sorted(group) if key != "params"]
            lines.append("\n")
        return f"{self._name()} ({''.join(lines)})"


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a step so that it calls the hooks of its optimizer."""
    import functools

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before, after = self.__dict__.get("_step_pre_hooks"), self.__dict__.get("_step_post_hooks")
        if not before and not after:
            return step(self, *args, **kwargs)
        for hook in tuple((before or {}).values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        out = step(self, *args, **kwargs)
        for hook in tuple((after or {}).values()):
            hook(self, args, kwargs)
        return out

    run.hooked = True  # type: ignore[attr-defined]
    return run


def _restored(kept: Any, p: Variable) -> Any:
    """A copy of a saved state: floating arrays take the dtype of the parameter, except counts of steps."""
    if not isinstance(kept, dict):
        return copy.deepcopy(kept)
    out = {}
    for key, value in kept.items():
        if isinstance(value, Variable):
            new = value.detach().clone()
            if key != "step" and new.dtype.is_floating_point and p.dtype.is_floating_point:
                new = new.astype(p.dtype)
            out[key] = new
        else:
            out[key] = copy.deepcopy(value)
    return out


def groups_of(name: str, params: Any) -> list[dict[str, Any]]:
    """The groups that the first argument of an optimizer describes."""
    if isinstance(params, (Variable, dict)):
        got = type(params).__name__
        raise TypeError(f"{name}: parameters must be an iterable of Variables or of dicts, not one {got}; pass [{got}]")
    if isinstance(params, set):
        raise TypeError(f"{name}: parameters must be in a fixed order, and a set has none; pass a list")
    check_parameters(name, params)
    items = list(params)
    if not items:
        raise no_parameters(name)
    if isinstance(items[0], dict):
        return items
    return [{"params": items}]


def checked_group(name: str, given: Any) -> dict[str, Any]:
    """A checked copy of a group that a user wrote."""
    if not isinstance(given, dict):
        raise TypeError(f"{name}: a parameter group must be a dict, not {type(given).__name__}")
    if "params" not in given:
        raise KeyError(f"{name}: a parameter group lacks 'params'")
    params = given["params"]
    if isinstance(params, set):
        raise TypeError(f"{name}: parameters must be in a fixed order, and a set has none; pass a list")
    items = [params] if isinstance(params, Variable) else list(params)
    named = [isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in items]
    if any(named) and not all(named):
        raise ValueError(f"{name}: either all parameters of a group have names or none")
    group = dict(given)
    if items and all(named):
        group["param_names"] = [item[0] for item in items]
        items = [item[1] for item in items]
    for p in items:
        if not isinstance(p, Variable):
            raise no_parameter(name, p)
        if not p.is_leaf:
            raise ValueError(
                f"{name}: a parameter of shape {p.shape} is the result of an operation; only leaves can be optimized: "
                "pass the variables it was computed from"
            )
        if not p.requires_grad and isinstance(p, Parameter):
            if p.dtype.is_inexact:
                p.requires_grad_(True).requires_grad_(False)  # a leaf may require gradients later
        elif not p.requires_grad:
            raise ValueError(
                f"{name}: a parameter of shape {p.shape} does not require gradients; create it with requires_grad=True"
            )
    group["params"] = items
    return group


def loss_of(closure: Callable[[], Any] | None, name: str) -> Any:
    """The loss of a closure, called with recording on. ``name`` is that of the optimizer, for the error."""
    if closure is None:
        return None
    check_closure(name, closure)
    with enable_grad():
        return closure()


def not_negative(name: str, **options: float) -> None:
    """Raises for options that are negative or NaN."""
    for key, value in options.items():
        _core._number(name, key, value)
        if not value >= 0.0:
            raise ValueError(f"{name}: {key} must not be negative, not {value}")


def decay_rates(name: str, betas: Any, count: int = 2) -> None:
    """Raises unless ``betas`` are as many numbers in [0, 1)."""
    if len(betas) != count:
        raise ValueError(f"{name}: betas must be {count} numbers, not {betas!r}")
    for i, beta in enumerate(betas):
        _core._number(name, f"betas[{i}]", beta)
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"{name}: betas[{i}] must lie in [0, 1), not {beta}")


__all__ = ["Optimizer"]
