"""The base of layers and models."""

from __future__ import annotations

from .. import _core
from .._core import Variable
from .._messages import a_type, check_constructor, warn_of_plain_container
from .._rows import whole
from .hooks import HookHandle, call_with_hooks
from .parameter import Buffer, Parameter
from .rows import renewed
from .state import LoadResult, load, load_own, save_own, state_of
from .views import Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from typing import Any, Self, TypeVar

    T = TypeVar("T")
    Hook = Callable[..., Any]

#: Kinds of the attributes whose type alone does not tell the kind.
PARAMETER, BUFFER, TRANSIENT, MODULE = "parameter", "buffer", "transient buffer", "module"


class Module:
    """Base of layers and models: its attributes hold the parameters, buffers and modules that it trains, saves and shows.

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

    # Attributes live in the instance's own dictionary. So reading one costs nothing extra, and a subclass that forgets
    # super().__init__() works. The type of an attribute tells whether it is a parameter or a module. `_kinds` holds the
    # exceptions: buffers, attributes that are None, and parameters replaced by results of operations.
    training: bool = True
    _kinds: Mapping[str, str] = {}
    #: Whether a hook other than those of the state dict was ever registered on this module.
    _hooked: bool = False
    _forward_hooks: Mapping[int, tuple[Hook, bool, bool]] = {}
    _forward_pre_hooks: Mapping[int, tuple[Hook, bool]] = {}
    _backward_hooks: Mapping[int, Hook] = {}
    _backward_pre_hooks: Mapping[int, Hook] = {}
    _state_dict_hooks: Mapping[int, Hook] = {}
    _state_dict_pre_hooks: Mapping[int, Hook] = {}
    _load_state_dict_pre_hooks: Mapping[int, Hook] = {}
    _load_state_dict_post_hooks: Mapping[int, Hook] = {}
    #: Names of attributes that hooks compute before each forward: copies and pickles take their values without a graph.
    _computed: tuple[str, ...] = ()

    if TYPE_CHECKING:
        # Parts can have any name.
        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A new module, whose ``__init__`` follows; arguments of the layers here are checked first."""
        check_constructor(cls, args, kwargs)
        return object.__new__(cls)

    def __init__(self) -> None:
        pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output. Subclasses define it; call the module itself, which runs the hooks too."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call_with_hooks(self, args, kwargs) if self._hooked else self.forward(*args, **kwargs)

    # Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        kind = self._kinds.get(name)
        if isinstance(value, Buffer) and kind not in (BUFFER, TRANSIENT):
            own.pop(name, None)
            self._mark(name, BUFFER if value.persistent else TRANSIENT)
        elif kind is not None or name in own:
            self._check_assignment(name, kind, own.get(name), value)
        if isinstance(value, (list, tuple, dict)) and not name.startswith("_"):
            items = value.values() if isinstance(value, dict) else value
            if any(isinstance(item, Module) for item in items):
                warn_of_plain_container(self, name, value)
        object.__setattr__(self, name, value)

    def _check_assignment(self, name: str, kind: str | None, old: Any, value: Any) -> None:
        """Raises when an assignment would silently remove a part from the module."""
        if isinstance(value, (Parameter, Module)):
            if kind is not None:
                self._unmark(name)
        elif kind in (BUFFER, TRANSIENT):
            if not (value is None or isinstance(value, Variable)):
                raise TypeError(f"{type(self).__name__}.{name} is a buffer and takes a Variable, not {a_type(value)}")
        elif kind == PARAMETER or isinstance(old, Parameter):
            if value is None or (isinstance(value, Variable) and not value.is_leaf):
                # A result of operations on the parameter, as in MAML: gradients flow through it to the leaf.
                self._mark(name, PARAMETER)
            else:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a Parameter; {a_type(value)} would take it off the module. "
                    f"Assign an nn.Parameter, a result of operations on it or None, or change its value with "
                    f"{name}[...] = value under no_grad()"
                )
        elif kind == MODULE or isinstance(old, Module):
            if value is not None:
                raise TypeError(f"{type(self).__name__}.{name} is a Module and takes a Module or None, not {a_type(value)}")
            self._mark(name, MODULE)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._unmark(name)

    def _mark(self, name: str, kind: str) -> None:
        if self._kinds.get(name) != kind:
            self.__dict__["_kinds"] = {**self._kinds, name: kind}

    def _unmark(self, name: str) -> None:
        if name in self._kinds:
            self.__dict__["_kinds"] = {n: k for n, k in self._kinds.items() if n != name}

    # Parts of a module

    def _parameter_slots(self) -> Iterator[tuple[str, Parameter | None]]:
        kinds = self._kinds
        for name, value in self.__dict__.items():
            kind = kinds.get(name)
            if kind == PARAMETER or (kind is None and isinstance(value, Parameter)):
                yield name, value

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return ((n, v) for n, v in self._parameter_slots() if v is not None)

    def _buffer_slots(self, persistent: bool = False) -> Iterator[tuple[str, Variable | None]]:
        for name, kind in self._kinds.items():
            if kind == BUFFER or (kind == TRANSIENT and not persistent):
                yield name, self.__dict__.get(name)

    def _own_buffers(self, persistent: bool = False) -> Iterator[tuple[str, Variable]]:
        return ((n, v) for n, v in self._buffer_slots(persistent) if v is not None)

    def _module_slots(self) -> Iterator[tuple[str, Module | None]]:
        kinds = self._kinds
        for name, value in self.__dict__.items():
            if isinstance(value, Module) or kinds.get(name) == MODULE:
                yield name, value

    def _slots(self) -> Iterator[tuple[str, Module]]:
        """The attributes that are modules; containers store them elsewhere."""
        return ((n, v) for n, v in self._module_slots() if v is not None)

    @property
    def _parameters(self) -> MutableMapping[str, Any]:
        """The parameters of this module alone by name, as a mapping that can be written to."""
        return Slots(self, self._parameter_slots, self._put_parameter)

    @property
    def _buffers(self) -> MutableMapping[str, Any]:
        """The buffers of this module alone by name, as a mapping that can be written to."""
        return Slots(self, self._buffer_slots, self.register_buffer)

    @property
    def _modules(self) -> MutableMapping[str, Any]:
        """The modules right below this one by name, as a mapping that can be written to."""
        return Slots(self, self._module_slots, self._put_module)

    def _put_parameter(self, name: str, value: Any) -> None:
        if not isinstance(value, Parameter):
            self._mark(name, PARAMETER)
        self.__dict__[name] = value

    def _put_module(self, name: str, value: Any) -> None:
        if value is None:
            self._mark(name, MODULE)
        self.__dict__[name] = value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each once, with their names."""
        seen: set[int] = set()
        for name, value in self._slots():
            if id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules right below this one."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; one that appears twice is listed once.

        Modules in the set ``memo`` are left out, and those that are listed are added to it.
        """
        return self._named_modules(prefix, memo if memo is not None else set(), remove_duplicate)

    def _named_modules(self, prefix: str, seen: set[Any], once: bool) -> Iterator[tuple[str, Module]]:
        if once:
            if self in seen:
                return
            seen.add(self)
        yield prefix, self
        for name, child in self._slots():
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen, once)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

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
        modules = self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in own(module):
                if once and id(value) in seen:
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    # Parts by name

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

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module in the place of a dotted name; with ``strict`` there must be one already."""
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: {target} takes a Module, not {a_type(module)}")
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the name of the module is empty")
        parent = self.get_submodule(path)
        if strict and name not in dict(parent._slots()):
            raise AttributeError(f"{type(parent).__name__} has no module {name!r}")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        found: Parameter = self._part(target, "parameter", lambda module: module._own_parameters())
        return found

    def get_buffer(self, target: str) -> Variable:
        """The buffer of a dotted name."""
        found: Variable = self._part(target, "buffer", lambda module: module._own_buffers())
        return found

    def _part(self, target: str, what: str, own: Callable[[Module], Iterator[tuple[str, Any]]]) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        parts = dict(own(module))
        if name not in parts:
            raise AttributeError(f"{type(module).__name__} has no {what} {name!r}")
        return parts[name]

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assigns a parameter, or ``None`` for one that is left out, to an attribute."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name} must be a Parameter or None, not {a_type(param)}")
        self._checked_name(name, self._kinds.get(name) == PARAMETER or isinstance(self.__dict__.get(name), Parameter))
        if param is None:
            self.__dict__.pop(name, None)
            self._mark(name, PARAMETER)
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Variable | None, persistent: bool = True) -> None:
        """Assigns a Variable that is not learned; a persistent one is part of ``state_dict()``."""
        if tensor is not None and not isinstance(tensor, Variable):
            raise TypeError(f"register_buffer: {name} must be a Variable or None, not {a_type(tensor)}")
        self._checked_name(name, self._kinds.get(name) in (BUFFER, TRANSIENT))
        self._mark(name, BUFFER if persistent else TRANSIENT)
        setattr(self, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Assigns a module to an attribute."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name} must be a Module or None, not {a_type(module)}")
        self._checked_name(name, self._kinds.get(name) == MODULE or isinstance(self.__dict__.get(name), Module))
        if module is None:
            self._mark(name, MODULE)
        setattr(self, name, module)

    register_module = add_module

    def _checked_name(self, name: str, is_replaced: bool) -> str:
        """A name that is free, or that of a part of the same kind, which is replaced."""
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{name!r} cannot name a part of a module: it must be a string without dots")
        if not is_replaced and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}; delete it first, or take another name")
        return name

    # Operations on the whole tree of modules

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Calls ``fn`` with every module below and this one, children first."""
        if not callable(fn):
            raise TypeError(f"{type(self).__name__}.apply: fn must be a function of a module, not {a_type(fn)}")
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switches this module and all below it to training, or with ``False`` to evaluation."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, not {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
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
            if not parameter.is_leaf:
                continue
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = _core.zeros_like(parameter)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Converts floating parameters and buffers to another floating dtype; ``device`` can only be "cpu".

        Takes ``to(dtype)``, ``to("cpu")``, ``to(device, dtype)`` and ``to(other_variable)``. Converted parameters become
        new objects: convert a module before an optimizer is made for it.
        """
        from .device import parse_to

        dtype = parse_to("Module.to", args, kwargs)
        if dtype is None:
            return self
        if not dtype.is_floating_point:
            raise _core.DTypeError(f"to: a module converts to a floating dtype such as float32 or float64, not to {dtype}")
        return self._apply(lambda v: v.astype(dtype) if v.dtype.is_floating_point and v.dtype != dtype else v)

    def _apply(self, fn: Callable[[Variable], Variable]) -> Self:
        """Replaces every parameter and buffer by the result of ``fn``; shared ones stay shared."""
        done: dict[int, Any] = {}
        for module in self.modules():
            for name, value in [*module._own_parameters(), *module._own_buffers()]:
                if id(value) not in done:
                    done[id(value)] = (value, _converted(value, fn))
                new = done[id(value)][1]
                if new is not value:
                    module.__dict__[name] = new
        return self

    def float(self) -> Self:
        """:meth:`to` float32."""
        return self.to(_core.float32)

    def double(self) -> Self:
        """:meth:`to` float64."""
        return self.to(_core.float64)

    def half(self) -> Self:
        """:meth:`to` float16."""
        return self.to("float16")

    def bfloat16(self) -> Self:
        """:meth:`to` bfloat16."""
        return self.to("bfloat16")

    def type(self, dst_type: Any) -> Self:
        """:meth:`to` that dtype."""
        return self.to(dst_type)

    def cpu(self) -> Self:
        """The module itself: the one device is the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raises: there is no device but the CPU."""
        return self.to("cuda" if device is None else device)

    # State

    def __getstate__(self) -> dict[str, Any]:
        own = self.__dict__
        return {**own, **{name: own[name].detach() for name in self._computed if name in own}} if self._computed else own

    def state_dict(
        self, destination: dict[str, Any] | None = None, *, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Variable]:
        """The values of parameters and persistent buffers by dotted name.

        They are views without history: they show what the module learns later, and writing to one changes the module.
        ``copy.deepcopy`` makes a snapshot. With ``keep_vars`` they are the module's own objects. With ``destination``
        they are added to that dictionary.
        """
        out: dict[str, Any] = {} if destination is None else destination
        return state_of(self, out, prefix, keep_vars)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Sets parameters and persistent buffers to the values of ``state_dict``: Variables, NumPy arrays or lists.

        Shapes must match; with ``strict`` so must the names. Otherwise a :class:`StateDictError` lists everything that
        does not fit, and nothing is changed. Values are converted to the dtype of the parameter; with ``assign`` they
        take the parameter's place instead, in their own dtype.
        """
        return load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Adds the values of this module alone. Subclasses override it to store them otherwise."""
        save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Takes the values of this module alone. Subclasses rename entries of ``state_dict`` before they call it."""
        load_own(self, state_dict, prefix)

    def get_extra_state(self) -> Any:
        """More to save than parameters and buffers, in the state dict under ``_extra_state``. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Takes what :meth:`get_extra_state` returned. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no set_extra_state(state)")

    # Hooks

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Calls ``hook(module, args, output)`` after each forward; what it returns, unless None, is the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``always_call`` it runs after a forward that
        raised, too, with None for the output; with ``prepend`` it runs before the hooks that are there.
        """
        return self._add_hook("_forward_hooks", hook, (hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False) -> HookHandle:
        """Calls ``hook(module, args)`` before each forward; what it returns, unless None, are the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)``, which returns None or a pair of both.
        """
        return self._add_hook("_forward_pre_hooks", hook, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Calls ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there.

        Both are tuples, with None where there is no gradient. What it returns, unless None, replaces ``grad_input``.
        """
        return self._add_hook("_backward_hooks", hook, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Calls ``hook(module, grad_output)`` when gradients arrive; what it returns, unless None, replaces them."""
        return self._add_hook("_backward_pre_hooks", hook, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before ``state_dict()`` reads the module."""
        return self._add_hook("_state_dict_pre_hooks", hook, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict()``; it may change the dict."""
        return self._add_hook("_state_dict_hooks", hook, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)`` before a load.

        It may change the dict, which is a copy.
        """
        return self._add_hook("_load_state_dict_pre_hooks", hook, hook)

    def _register_load_state_dict_pre_hook(self, hook: Hook, with_module: bool = False) -> HookHandle:
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return self._add_hook("_load_state_dict_pre_hooks", hook, lambda module, *args: hook(*args))

    def register_load_state_dict_post_hook(self, hook: Hook) -> HookHandle:
        """Calls ``hook(module, incompatible_keys)`` after a load."""
        return self._add_hook("_load_state_dict_post_hooks", hook, hook)

    def _add_hook(self, kind: str, hook: Hook, entry: Any, prepend: bool = False) -> HookHandle:
        if not callable(hook):
            raise TypeError(f"a hook is a function, not {a_type(hook)}")
        self.__dict__["_hooked"] = self._hooked or "state_dict" not in kind
        return HookHandle(self.__dict__.setdefault(kind, {}), entry, prepend)

    # Show

    def extra_repr(self) -> str:
        """What stands between the parentheses of ``repr``, before the children. Subclasses define it."""
        return ""

    def summary(self, *inputs: Any, **kwargs: Any) -> Any:
        """:func:`tapegrad.nn.summary` of this module."""
        from .summary import summary

        return summary(self, *inputs, **kwargs)

    def _get_name(self) -> str:
        return type(self).__name__

    def _child_lines(self) -> list[str]:
        """The lines of the children in ``repr``."""
        return [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._module_slots()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extras = extra.split("\n") if extra else []
        children = self._child_lines()
        if not children and len(extras) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join([*extras, *children]) + "\n)"

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *(name for name, _ in self._module_slots())})


def _converted(value: Variable, fn: Callable[[Variable], Variable]) -> Variable:
    """The result of ``fn`` for a parameter or buffer, as an object of the same kind."""
    plain = value.detach()
    new = fn(plain)
    if new is plain:
        return value
    if isinstance(value, Parameter):
        made = renewed(value, new)
        if value.is_leaf and value.grad is not None:
            made.grad = fn(whole(value.grad))
        return made
    return new


__all__ = ["HookHandle", "Module"]
