"""The base of layers and models."""

from __future__ import annotations

from .. import _core
from .._core import Variable
from .parameter import Parameter
from .state import LoadResult, load, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Self, TypeVar

    T = TypeVar("T")
    Hook = Callable[..., Any]


class HookHandle:
    """Takes a hook off again with :meth:`remove`, or at the end of a ``with`` block."""

    def __init__(self, hooks: dict[int, Hook], hook: Hook) -> None:
        self._hooks = hooks
        hooks[id(self)] = hook

    def remove(self) -> None:
        """The hook is not called any more; a second call does nothing."""
        self._hooks.pop(id(self), None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Module:
    """Base of layers and models: learns, saves and shows what its attributes hold.

    A subclass assigns :class:`Parameter` and :class:`Module` objects to attributes and defines ``forward``; the module
    is called like a function. Names, order and layout of the state are PyTorch's.

    >>> class Scale(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = tg.nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> scale(tg.Variable([1.0, 3.0])).tolist()
    [2.0, 6.0]
    >>> [name for name, _ in scale.named_parameters()]
    ['factor']
    """

    # Attributes live in the instance's own dictionary, so reading one costs nothing extra and a subclass that forgets
    # super().__init__() works; what is a parameter or a child is told by its type.
    training: bool = True
    _buffers: Mapping[str, bool] = {}
    _forward_hooks: Mapping[int, Hook] = {}
    _forward_pre_hooks: Mapping[int, Hook] = {}

    def __init__(self) -> None:
        pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output. Subclasses define it; call the module itself, which runs the hooks too."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._forward_hooks and not self._forward_pre_hooks:
            return self.forward(*args, **kwargs)
        for hook in tuple(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter; a {type(value).__name__} would take it off the module. "
                f"Assign an nn.Parameter or None, or change its value with {name}[...] = value under no_grad()"
            )
        if name in self._buffers and not (value is None or isinstance(value, Variable)):
            raise TypeError(f"{type(self).__name__}.{name} is a buffer and takes a Variable, not a {type(value).__name__}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in self._buffers:
            self.__dict__["_buffers"].pop(name)

    # What it is made of

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        buffers = self._buffers
        return ((n, v) for n, v in self.__dict__.items() if isinstance(v, Parameter) and n not in buffers)

    def _own_buffers(self, persistent: bool = False) -> Iterator[tuple[str, Variable]]:
        for name, kept in self._buffers.items():
            value = self.__dict__.get(name)
            if value is not None and (kept or not persistent):
                yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each once, with their names."""
        seen: set[int] = set()
        for name, value in self._slots():
            if id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def _slots(self) -> Iterator[tuple[str, Module]]:
        """The attributes that are modules; containers have other places."""
        return ((n, v) for n, v in self.__dict__.items() if isinstance(v, Module))

    def children(self) -> Iterator[Module]:
        """The modules right below this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; one that appears twice is listed once."""
        return self._named_modules(prefix, set() if remove_duplicate else None)

    def _named_modules(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, child in self._slots():
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; one that is shared is listed once, under its first name."""
        return self._named(prefix, recurse, remove_duplicate, lambda module: module._own_parameters())

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with ``recurse``, of those below it."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Variable]]:
        """Values that belong to the state but are not learned, with dotted names."""
        return self._named(prefix, recurse, remove_duplicate, lambda module: module._own_buffers())

    def buffers(self, recurse: bool = True) -> Iterator[Variable]:
        """Values that belong to the state but are not learned."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, prefix: str, recurse: bool, once: bool, own: Callable[[Module], Iterator[tuple[str, T]]]
    ) -> Iterator[tuple[str, T]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, once) if recurse else [(prefix, self)]:
            for name, value in own(module):
                if once and id(value) in seen:
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name."""
        module: Any = self
        for i, name in enumerate(target.split(".") if target else []):
            slots = dict(module._slots())
            if name not in slots:
                path = ".".join(target.split(".")[:i]) or "the module"
                raise AttributeError(f"{path} ({type(module).__name__}) has no module {name!r}")
            module = slots[name]
        found: Module = module
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        own = dict(module._own_parameters())
        if name not in own:
            raise AttributeError(f"{type(module).__name__} has no parameter {name!r}")
        return own[name]

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Assigns a parameter, or ``None`` for one that is left out, to an attribute."""
        if parameter is not None and not isinstance(parameter, Parameter):
            raise TypeError(f"register_parameter: {name} must be a Parameter or None, not a {type(parameter).__name__}")
        setattr(self, self._checked_name(name), parameter)

    def register_buffer(self, name: str, value: Variable | None, persistent: bool = True) -> None:
        """Assigns a Variable that is not learned; a persistent one is part of ``state_dict()``."""
        if value is not None and not isinstance(value, Variable):
            raise TypeError(f"register_buffer: {name} must be a Variable or None, not a {type(value).__name__}")
        if name not in self._buffers:
            self._checked_name(name)
        self.__dict__["_buffers"] = {**self._buffers, name: persistent}
        setattr(self, name, value)

    def add_module(self, name: str, module: Module | None) -> None:
        """Assigns a module to an attribute."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name} must be a Module or None, not a {type(module).__name__}")
        setattr(self, self._checked_name(name), module)

    register_module = add_module

    def _checked_name(self, name: str) -> str:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{name!r} cannot name a part of a module: it must be a string without dots")
        if hasattr(self, name) and name not in self.__dict__:
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")
        return name

    # What is done to all of it

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Calls ``fn`` with every module below and this one, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switches this module and all below it to training, or with ``False`` to evaluation."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Switches this module and all below it to evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Switches whether the parameters collect gradients."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Removes the gradients of the parameters, or makes them zero."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = _core.zeros_like(parameter)

    def to(self, dtype: Any) -> Self:
        """Converts floating parameters and buffers to another floating dtype.

        The parameters become new objects: convert a module before an optimizer is made for it.
        """
        if dtype not in (_core.float32, _core.float64):
            raise _core.DTypeError(f"to: a module converts to float32 or float64, not to {dtype}")
        done: dict[int, Variable] = {}  # shared parameters stay shared
        for module in self.modules():
            for name, value in [*module._own_parameters(), *module._own_buffers()]:
                if value.dtype == dtype or not value.dtype.is_floating_point:
                    continue
                if id(value) not in done:
                    new = value.detach().astype(dtype)
                    done[id(value)] = Parameter(new, value.requires_grad) if isinstance(value, Parameter) else new
                setattr(module, name, done[id(value)])
        return self

    def float(self) -> Self:
        """:meth:`to` float32."""
        return self.to(_core.float32)

    def double(self) -> Self:
        """:meth:`to` float64."""
        return self.to(_core.float64)

    # State

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Variable]:
        """The values of parameters and persistent buffers by dotted name.

        They are views without history: they show what the module learns later, and writing to one changes the module.
        ``copy.deepcopy`` makes a snapshot. With ``keep_vars`` they are the module's own objects.
        """
        own = state_of(self).items()
        return {prefix + name: value if keep_vars else value.detach() for name, value in own}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Sets parameters and persistent buffers to the values of ``state_dict``: Variables, NumPy arrays or lists.

        Shapes must match; with ``strict`` so must the names. Otherwise a :class:`StateDictError` lists everything that
        does not fit, and nothing is changed. Values are converted to the dtype of the parameter.
        """
        return load(self, state_dict, strict)

    # Hooks

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, args, output)`` after each forward; what it returns, unless None, is the output."""
        return self._add_hook("_forward_hooks", hook)

    def register_forward_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, args)`` before each forward; what it returns, unless None, are the arguments."""
        return self._add_hook("_forward_pre_hooks", hook)

    def _add_hook(self, kind: str, hook: Hook) -> HookHandle:
        if not callable(hook):
            raise TypeError(f"a hook is a function, not a {type(hook).__name__}")
        return HookHandle(self.__dict__.setdefault(kind, {}), hook)

    # Show

    def extra_repr(self) -> str:
        """What stands between the parentheses of ``repr``, before the children. Subclasses define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._slots()]
        if not lines:
            return f"{type(self).__name__}({extra})"
        first = f"\n  {extra}" if extra else ""
        return f"{type(self).__name__}({first}\n  " + "\n  ".join(lines) + "\n)"
