"""Hooks of modules: functions that run before and after a forward, around a backward, and around state dicts."""

from __future__ import annotations

from itertools import count

from .._core import Variable
from ..autograd import Function, is_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .module import Module

    Hook = Callable[..., Any]


_numbers = count()


class HookHandle:
    """Removes a hook by :meth:`remove`, or at the end of a ``with`` block."""

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self._hooks = hooks
        self.id = next(_numbers)
        while self.id in hooks:  # a handle from a pickle
            self.id = next(_numbers)
        others = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[self.id] = hook
        hooks.update(others)

    def remove(self) -> None:
        """The hook is not called any more; a second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs a module's forward with the hooks that are registered on it."""
    always = [entry for entry in tuple(module._forward_hooks.values()) if entry[2]]
    called: set[int] = set()
    try:
        return _call(module, args, kwargs, called)
    except Exception:
        for hook, with_kwargs, _ in always:
            if id(hook) not in called:
                _run_forward_hook(module, hook, with_kwargs, args, kwargs, None)
        raise


def _call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
    for hook, with_kwargs in tuple(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise TypeError("a forward pre-hook with kwargs returns None or a pair (args, kwargs)")
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    watched = _Watched(module) if module._backward_hooks or module._backward_pre_hooks else None
    if watched is not None:
        args = watched.enter(args)
    output = module.forward(*args, **kwargs)
    for hook, with_kwargs, _ in tuple(module._forward_hooks.values()):
        called.add(id(hook))
        output = _run_forward_hook(module, hook, with_kwargs, args, kwargs, output)
    return output if watched is None else watched.leave(output)


def _run_forward_hook(
    module: Module, hook: Hook, with_kwargs: bool, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> Any:
    changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
    return output if changed is None else changed


class _Entered(Function):
    """The identity on the inputs of a module: their gradients are the module's ``grad_input``."""

    @staticmethod
    def forward(ctx: Any, watched: _Watched, *inputs: Variable) -> tuple[Variable, ...]:
        ctx.watched = watched
        return tuple(x.detach() for x in inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.watched.gradients_of_inputs(grads))


class _Left(Function):
    """The identity on the outputs of a module: their gradients are the module's ``grad_output``."""

    @staticmethod
    def forward(ctx: Any, watched: _Watched, *outputs: Variable) -> tuple[Variable, ...]:
        ctx.watched = watched
        return tuple(x.detach() for x in outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.watched.gradients_of_outputs(grads))


class _Watched:
    """One forward of a module with backward hooks."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.inputs: list[int] = []
        self.count = 0
        self.outputs: list[int] = []
        self.returned = 0
        self.grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.count = len(args)
        self.inputs = [i for i, a in enumerate(args) if isinstance(a, Variable) and a.requires_grad]
        if not self.inputs or not is_grad_enabled():
            self.inputs = []
            return args
        passed = iter(_Entered.apply(self, *(args[i] for i in self.inputs)))
        return tuple(next(passed) if i in self.inputs else a for i, a in enumerate(args))

    def leave(self, output: Any) -> Any:
        parts = output if isinstance(output, tuple) else (output,)
        self.returned = len(parts)
        self.outputs = [i for i, a in enumerate(parts) if isinstance(a, Variable) and a.requires_grad]
        if not self.outputs:
            return output
        passed = iter(_Left.apply(self, *(parts[i] for i in self.outputs)))
        new = tuple(next(passed) if i in self.outputs else a for i, a in enumerate(parts))
        return new if isinstance(output, tuple) else new[0]

    def gradients_of_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grads = self._changed(grads, self.outputs, self.returned, tuple(self.module._backward_pre_hooks.values()), ())
        self.grad_output = _placed(grads, self.outputs, self.returned)
        if not self.inputs:
            nothing = _placed((), [], self.count)
            for hook in tuple(self.module._backward_hooks.values()):
                if hook(self.module, nothing, self.grad_output) is not None:
                    raise RuntimeError("a full backward hook returned gradients for inputs that require none")
        return grads

    def gradients_of_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        hooks = tuple(self.module._backward_hooks.values())
        return self._changed(grads, self.inputs, self.count, hooks, (self.grad_output,))

    def _changed(
        self, grads: tuple[Any, ...], places: list[int], count: int, hooks: tuple[Hook, ...], more: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        for hook in hooks:
            new = hook(self.module, _placed(grads, places, count), *more)
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != count:
                raise RuntimeError(f"a backward hook returned {len(new)} gradients where there are {count}")
            grads = tuple(new[i] for i in places)
        return grads


def _placed(grads: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
    out: list[Any] = [None] * count
    for i, g in zip(places, grads):
        out[i] = g
    return tuple(out)
