"""What a recorded function depends on besides its arguments, and what it does that no program repeats.

While a function is recorded, :class:`Watch` sees which Python code runs. Before the next recording :func:`guards` looks up what
that code names: globals, closures, and those attributes of objects, classes and modules whose names occur in it.
"""

from __future__ import annotations

import contextvars
import dis
import functools
import gc
import io
import itertools
import sys
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import Variable
from ._tree import is_module

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Watch", "guards", "is_plain"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(_core.float32))
_LIBRARY = __name__.partition(".")[0]
#: Limits on what each call checks: items of a container, bytes of a NumPy array, guards of a function.
_ITEMS, _BYTES, _GUARDS = 1 << 16, 1 << 20, 1 << 15
#: Modules that are assumed not to change: the standard library, NumPy and this package.
_FIXED = frozenset({*sys.stdlib_module_names, _LIBRARY, "builtins", "numpy"}) - {"__main__"}
#: Packages whose own state does not matter to a function that uses them.
_QUIET = frozenset({_LIBRARY, "numpy"})
_CONTAINERS = (list, dict, set, frozenset, tuple)
_WRAPPERS = (staticmethod, classmethod)
_CACHED = type(functools.cache(len))
_LOOKUPS = frozenset({"getattr", "hasattr", "vars", "dir"})
#: Functions of `os` whose result does not change while a process runs.
_HARMLESS = frozenset({"fspath", "getpid"})


def is_plain(x: Any) -> bool:
    """Whether a value is compared by equality rather than by identity."""
    return isinstance(x, _PLAIN) or (type(x) in (tuple, frozenset) and all(map(is_plain, x)))


def _is_part(x: Any) -> bool:
    """Whether a value is a parameter or a child of a Module."""
    module = sys.modules.get("tapegrad.nn.parameter")
    return is_module(x) or (module is not None and isinstance(x, module.Parameter))


def _home(module: Any) -> str:
    return str(module).partition(".")[0]


def _catches(code: types.CodeType) -> bool:
    """Whether a function has an exception handler; ``with`` and ``finally`` do not count."""
    if not getattr(code, "co_exceptiontable", b""):
        return False
    names = [i.opname for i in dis.get_instructions(code)]
    bare = sum(a == "PUSH_EXC_INFO" and b == "POP_TOP" for a, b in itertools.pairwise(names))
    return "CHECK_EXC_MATCH" in names or bare > 0


class Watch:
    """A profile function that notes which code runs, and refuses calls that a replay would not repeat."""

    def __init__(self, function: Any, objects: list[Any], old: _core._Living, given: set[int]) -> None:
        #: The objects that were there when the recording began.
        self._old = old
        #: The identities of containers among the arguments, and of what they hold: each call has others.
        self._given = given
        #: Where values are found: the dict or object that holds them, the key or attribute name, and their name for users.
        self.roots: dict[tuple[int, Any], tuple[Any, Any, str]] = {}
        #: The watched function and the objects whose methods ran, by identity.
        self.objects: dict[int, tuple[Any, str]] = {}
        #: The code objects that ran, by identity: code of two modules may be equal.
        self.codes: dict[int, types.CodeType] = {}
        self._methods: set[tuple[int, type]] = set()
        self._closures: set[tuple[int, ...]] = set()
        #: Names in all code that ran, and names in the code of users alone.
        self.names: set[str] = set()
        self.own: set[str] = set()
        #: Whether attributes are looked up under names that the code does not show.
        self.dynamic = False
        self.catches = False
        for x in (function, *objects):
            self.objects[id(x)] = (x, x.__name__ if isinstance(x, types.FunctionType) else f"the {type(x).__name__}")

    def __call__(self, frame: types.FrameType, event: str, what: Any) -> None:
        if event == "c_call":
            self._builtin(what, _home(frame.f_globals.get("__name__", "")))
        elif event == "call":
            self._function(frame)

    def _function(self, frame: types.FrameType) -> None:
        code, names = frame.f_code, frame.f_globals
        local = frame.f_locals if code.co_argcount or code.co_freevars else {}
        first = local.get(code.co_varnames[0]) if code.co_argcount else None
        if isinstance(first, threading.local) and _home(type(first).__module__) == _LIBRARY:
            first = None  # a cache of this package; another one in each thread
        if first in self._old and not is_plain(first) and not isinstance(first, Variable):
            if id(first) not in self._given and type(first) not in _CONTAINERS:
                self.objects.setdefault(id(first), (first, code.co_varnames[0]))
            self._method(code, first)
        home = _home(names.get("__name__", ""))
        if code.co_freevars and home not in _QUIET:
            self._closure(code, local)
        if id(code) in self.codes:
            return
        self.codes[id(code)] = code
        self.names.update(code.co_names)
        if home in _QUIET:
            return
        self.own.update(code.co_names)
        if home == "logging" and code.co_name == "makeRecord":
            _core._capture_refuse("it logs")
        self.catches = self.catches or _catches(code) or (home == "contextlib" and "suppress" in code.co_qualname)
        self.dynamic = self.dynamic or "__dict__" in code.co_names
        for name in code.co_names:
            if name in names:
                self._root(names, name, name)
            elif name in sys.modules:
                self._root(sys.modules, name, name)

    def include(self, function: types.FunctionType) -> None:
        """Adds a function that did not run, as a cache had its result."""
        code, names = function.__code__, function.__globals__
        if id(code) in self.codes:
            return
        self.codes[id(code)] = code
        self.names.update(code.co_names)
        self.own.update(code.co_names)
        for name in code.co_names:
            if name in names:
                self._root(names, name, name)

    def named(self) -> Iterator[Any]:
        """The values that the code names directly."""
        for holder, key, _ in self.roots.values():
            if isinstance(holder, dict):
                yield holder.get(key)
            elif isinstance(holder, types.CellType):
                try:
                    yield holder.cell_contents
                except ValueError:
                    continue

    def beyond(self, other: Watch) -> str | None:
        """A dependence that this call has and another one did not have."""
        new = [name for at, (_, _, name) in self.roots.items() if at not in other.roots]
        new += [name for i, (_, name) in self.objects.items() if i not in other.objects]
        if new:
            return f"it depends on {new[0]}, in the call before it did not"
        more = self.names - other.names
        return f"it goes other ways than in the call before ({min(more)})" if more else None

    def _root(self, holder: Any, key: Any, name: str) -> None:
        self.roots.setdefault((id(holder), key), (holder, key, name))

    def _method(self, code: types.CodeType, first: Any) -> None:
        """Notes the class whose method runs, because another class may replace it."""
        owner = first if isinstance(first, type) else type(first)
        if (id(code), owner) in self._methods:
            return
        self._methods.add((id(code), owner))
        for c in owner.__mro__:
            if _home(c.__module__) not in _FIXED:
                for key, member in vars(c).items():
                    if isinstance(member, types.FunctionType) and member.__code__ is code:
                        self._root(owner, key, f"{owner.__name__}.{key}")
                        if c is not owner:  # super() looks there
                            self._root(c, key, f"{c.__name__}.{key}")

    def _closure(self, code: types.CodeType, local: Any) -> None:
        """The closure cells of the running function: found among functions with this code, by equal contents."""
        key = (id(code), *(id(local.get(name)) for name in code.co_freevars))
        if key in self._closures:
            return
        self._closures.add(key)
        for f in gc.get_referrers(code):
            if isinstance(f, types.FunctionType) and f in self._old:
                for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=False):
                    try:
                        value = cell.cell_contents
                    except ValueError:
                        continue
                    if name in local and local[name] is value:
                        self._root(cell, "cell_contents", name)

    def _builtin(self, what: Any, home: str) -> None:
        """Called before a C function runs: some read state that changes, others change state that no program covers."""
        owner, name, module = getattr(what, "__self__", None), what.__name__, getattr(what, "__module__", None)
        if name == "print" and module == "builtins":
            _core._capture_refuse("it prints")
        elif isinstance(owner, io.IOBase):
            of_console = owner in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
            _core._capture_refuse("it prints" if of_console else "it reads or writes a file")
        elif module == "_warnings" and name.startswith("warn"):
            _core._capture_refuse("it warns")
        elif home in _QUIET or (isinstance(owner, contextvars.ContextVar) and home in _FIXED):
            return
        elif name in _LOOKUPS and module == "builtins":
            self.dynamic = True
        elif reason := _reason(owner, name, module):
            _core._capture_refuse(reason)


def _reason(owner: Any, name: str, module: Any) -> str | None:
    """Why a program cannot repeat a call of a C function."""
    reason = None
    if (module in ("posix", "nt") and name not in _HARMLESS) or (module in ("io", "_io") and name == "open"):
        reason = f"it asks the operating system ({name})"
    elif module == "time" or (isinstance(owner, type) and owner.__module__ == "datetime" and name in ("now", "today", "utcnow")):
        reason = f"it asks for the time ({name})"
    elif type(owner).__module__ in ("random", "_random"):
        reason = "it draws from Python's random; draw from tg.random"
    elif isinstance(owner, contextvars.ContextVar):
        reason = f"it uses the context variable {owner.name!r}"
    elif name == "start_new_thread" or type(owner).__name__ == "SimpleQueue":
        reason = "it hands work to another thread"
    elif module == "builtins" and name in ("globals", "eval", "exec", "input"):
        reason = f"it calls {name}(), whose names are not seen"
    return reason


def guards(watch: Watch) -> tuple[list[tuple[Any, ...]], list[tuple[Any, int]]]:
    """The guards (for `_core._Guards`) on the values that the watched code depends on, and the NumPy arrays among them."""
    try:
        return _guards(watch)
    except Exception as error:  # noqa: BLE001 - of a method of the user's that looks like an attribute
        _core._capture_refuse(f"what it depends on cannot be read: {type(error).__name__}: {error}")
        return [], []


def _guards(watch: Watch) -> tuple[list[tuple[Any, ...]], list[tuple[Any, int]]]:
    before = watch.dynamic, len(watch.codes)
    walk = _Walk(watch)
    for holder, key, name in watch.roots.values():
        if isinstance(holder, dict):
            if key in holder:
                walk.note(holder, key, holder[key], name)
        else:
            try:
                value = getattr(holder, key)
            except (AttributeError, ValueError):  # ValueError: a cell that is empty
                continue
            walk.note(holder, key, value, name)
    for x, name in watch.objects.values():
        walk.todo.append((x, name))
    walk.run()
    if (watch.dynamic, len(watch.codes)) != before:
        return _guards(watch)  # an object that looks up attributes by name was found, or a function behind a cache
    return walk.guards, walk.arrays


def _is_buffer(x: Any) -> bool:
    """Whether a value is memory that can change in place: a NumPy array, an `array.array`, a bytearray."""
    kind = type(x)
    is_array = hasattr(kind, "tobytes") and hasattr(kind, "__setitem__") and not isinstance(x, Variable)
    is_c_value = any(_home(c.__module__) == "_ctypes" for c in kind.__mro__) and not callable(x)
    return isinstance(x, bytearray) or is_array or is_c_value


class _Walk:
    """Follows the names in code from object to object, and collects guards."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.guards: list[tuple[Any, ...]] = []
        self.arrays: list[tuple[Any, int]] = []
        self.todo: list[tuple[Any, str]] = []
        self._noted, self._seen = set[Any](), set[int]()
        #: Keeps objects alive, so that no two objects have the same identity.
        self._alive: list[Any] = []

    def run(self) -> None:
        while self.todo:
            x, name = self.todo.pop()
            if id(x) in self._seen or is_plain(x) or isinstance(x, Variable):
                continue
            if len(self.guards) > _GUARDS:
                _core._capture_refuse(f"it depends on more than {_GUARDS} values, the last of them {name}")
                return
            self._seen.add(id(x))
            self._alive.append(x)
            self._visit(x, name)

    def note(self, holder: Any, key: Any, value: Any, name: str) -> None:
        """Guards a value: by equality when it is plain, else by identity and, for a container, by its items."""
        if (id(holder), key) in self._noted:
            return
        self._noted.add((id(holder), key))
        self._alive.append(holder)
        by_value = is_plain(value) or isinstance(value, types.MethodType)
        content = None if is_plain(value) or id(value) in self._seen else self._content(value, name)
        self.guards.append((holder, key, value, by_value, content, name))
        if content is not None:
            self._seen.add(id(value))
            self._alive.append(value)
            self._inside(value, name)
        elif not is_plain(value):
            self.todo.append((value, name))

    def _content(self, x: Any, name: str) -> Any:
        if isinstance(x, _CONTAINERS) or type(x).__name__ in ("deque", "OrderedDict"):
            if len(x) > _ITEMS:
                _core._capture_refuse(f"it depends on {name}, which has more than {_ITEMS} items")
                return None
            if isinstance(x, dict):
                return [part for item in x.items() for part in item]
            return None if isinstance(x, (tuple, frozenset)) else list(x)
        if _is_buffer(x):
            self.arrays.append((x, len(self.guards)))
            if memoryview(x).nbytes > _BYTES:
                return _core._digest(x)
            return x.tobytes() if hasattr(x, "tobytes") else bytes(x)
        return None

    def _inside(self, x: Any, name: str) -> None:
        """Follows the items of a container."""
        if isinstance(x, dict):
            self.todo.extend((v, f"{name}[{k!r}]" if is_plain(k) else name) for k, v in x.items())
        elif not _is_buffer(x):
            self.todo.extend((v, f"{name}[{i}]") for i, v in enumerate(x))
        elif getattr(getattr(x, "dtype", None), "hasobject", False):
            self.todo.extend((v, f"{name}[{i}]") for i, v in enumerate(x.ravel().tolist()))
        if type(x) not in _CONTAINERS:
            self._attributes(x, name)

    def _visit(self, x: Any, name: str) -> None:
        content = self._content(x, name)
        if content is not None:
            self.guards.append(({name: x}, name, x, False, content, name))
        if content is not None or isinstance(x, (tuple, frozenset)):
            self._inside(x, name)
        elif isinstance(x, type):
            self._members(x, name)
        elif isinstance(x, types.ModuleType):
            self._module(x, name)
        elif not self._callable(x, name):
            self._state(x, name)
            held = getattr(x, "__dict__", None)
            fused = type(held) is dict and isinstance(held.get("_core"), _core.Optimizer)
            if fused and "param_groups" not in self.watch.own:
                self._optimizer(x, name)
            elif not isinstance(x, _core.Optimizer):
                self._attributes(x, name)

    def _state(self, x: Any, name: str) -> None:
        """Refuses objects whose state changes when they are used: generators, iterators, context variables."""
        kind = type(x)
        if kind.__module__.startswith(("numpy.random", "random")) and not callable(x):
            _core._capture_refuse(f"it draws from {name}; draw from tg.random")
        elif hasattr(kind, "__next__"):
            _core._capture_refuse(f"it takes from an iterator, {name}")
        elif isinstance(x, threading.local) and _home(kind.__module__) != _LIBRARY:
            _core._capture_refuse(f"it uses {name}, which is another object in each thread")
        elif isinstance(x, contextvars.ContextVar):
            _core._capture_refuse(f"it uses the context variable {name}")
        elif isinstance(x, weakref.ReferenceType):
            self.todo.append((x(), name))
        elif kind is types.MappingProxyType:
            self.todo += [(held, name) for held in gc.get_referents(x)]
        elif kind.__module__ == "operator":
            self.watch.dynamic = True

    def _optimizer(self, x: Any, name: str) -> None:
        """Follows the parameters of an optimizer; its options are read in each call."""
        held = vars(x)
        self.guards.append(
            (held, "param_groups", held["param_groups"], False, list(held["param_groups"]), f"{name}.param_groups")
        )
        for key in ("_step_pre_hooks", "_step_post_hooks"):
            self.note(held, key, held[key], f"{name}.{key}")
        for i, group in enumerate(held["param_groups"]):
            self.note(group, "params", group["params"], f"{name}.param_groups[{i}]['params']")

    def _module(self, x: types.ModuleType, name: str) -> None:
        if _home(x.__name__) in _FIXED:
            return
        held = vars(x)
        for key in self._used(held):
            self.note(held, key, held[key], f"{name}.{key}")

    def _used(self, held: Any) -> Iterator[str]:
        """The keys that the code names, in a fixed order."""
        return (k for k in list(held) if k in self.watch.names)

    def _callable(self, x: Any, name: str) -> bool:
        """Follows functions and objects that wrap functions; False for other objects."""
        if isinstance(x, types.FunctionType):
            if id(x.__code__) in self.watch.codes and _home(x.__module__) != _LIBRARY:
                self.note(x, "__code__", x.__code__, f"the code of {name}")
                self._defaults(x, name)
        elif isinstance(x, types.MethodType):
            self.todo += [(x.__self__, name), (x.__func__, name)]
        elif isinstance(x, functools.partial):
            self.todo += [(x.func, name), (x.args, f"{name}.args"), (x.keywords, f"{name}.keywords")]
        elif isinstance(x, _WRAPPERS):
            self.todo.append((x.__func__, name))
        elif isinstance(x, property):
            self.todo.append((x.fget, name))
        elif isinstance(x, _CACHED):
            if isinstance(x.__wrapped__, types.FunctionType):
                self.watch.include(x.__wrapped__)
            self.todo.append((x.__wrapped__, name))
        elif isinstance(x, functools.cached_property):
            self.todo.append((x.func, name))
        elif isinstance(x, _core._Table):
            self.todo.append((getattr(x, "_function", None), name))
        else:
            return isinstance(x, (types.CodeType, types.BuiltinFunctionType))
        return True

    def _defaults(self, f: types.FunctionType, name: str) -> None:
        for key in ("__defaults__", "__kwdefaults__"):
            if getattr(f, key):
                self.note(f, key, getattr(f, key), f"a default of {name}")
        for key in self._used(f.__dict__):
            self.note(f.__dict__, key, f.__dict__[key], f"{name}.{key}")
        for key, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=False):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self.note(cell, "cell_contents", value, key)

    def _attributes(self, x: Any, name: str) -> None:
        """Follows the attributes that the code names, and guards their number and the class."""
        held = getattr(x, "__dict__", None)
        if type(held) is dict:
            content = (x, type(x), len(held))
            self.guards.append(({name: held}, name, held, False, content, name))
            ours = any(_home(c.__module__) == _LIBRARY for c in type(x).__mro__)
            for key, value in list(held.items()):
                # Modules look up their parameters and children under names that no code shows.
                own = ours and (key.startswith("_") or key == "training" or _is_part(value))
                if own or self.watch.dynamic or key in self.watch.names:
                    self.note(held, key, value, f"{name}.{key}")
        for c in type(x).__mro__:
            slots = vars(c).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                key = f"_{c.__name__.lstrip('_')}{slot}" if slot.startswith("__") and not slot.endswith("__") else slot
                if (key in self.watch.names or self.watch.dynamic) and isinstance(vars(c).get(key), types.MemberDescriptorType):
                    try:
                        value = vars(c)[key].__get__(x)
                    except AttributeError:  # a slot that was never set
                        continue
                    self.note(x, key, value, f"{name}.{slot}")
        self._members(type(x), name)

    def _members(self, owner: type, name: str) -> None:
        """Follows the values and methods of a class that the code names."""
        for c in owner.__mro__:
            if _home(c.__module__) in _FIXED:
                continue
            for key in self._used(vars(c)):
                member = vars(c)[key]
                if key.startswith("__") or isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                    continue
                try:
                    value = getattr(owner, key)
                except Exception:  # noqa: BLE001, S112 - a descriptor of the user's
                    continue
                self.note(owner, key, value, f"{name}.{key}")
                if isinstance(member, _WRAPPERS):
                    self.todo.append((member, f"{name}.{key}"))
