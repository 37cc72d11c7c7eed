"""``tg.compile``: a function is recorded as a flat program of primitives and then runs without Python.

The first call with arguments of given shapes and dtypes runs as ever. The second and the third are recorded and compared;
when both are the same program, later calls replay it. What the function depends on besides its arguments (globals, closures,
attributes of objects) is guarded: when a guard does not hold any more the function is recorded anew. What cannot be replayed
runs as ever.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import types
import warnings
from typing import TYPE_CHECKING, Any, overload

from . import _core
from ._core import Variable
from ._tree import LEAF, Structure, flatten, tree_map, unflatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Compiled", "compile"]

#: Programs of a function for one signature, and for all signatures together.
_VARIANTS = 8
_SIGNATURES = 64
#: Recordings of a signature that may fail before calls stay as they are.
_ATTEMPTS = 3
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(_core.float32))
_LIBRARY = __name__.partition(".")[0]
#: Elements of a NumPy array or a container that a guard looks at.
_SMALL = 1024


class _Print:
    """Stands for a stream while a function is recorded: writing to it cannot be replayed."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> Any:
        if threading.get_ident() == self._thread:
            _core._capture_refuse("it prints")
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_plain(x: Any) -> bool:
    return isinstance(x, _PLAIN) or (type(x) in (tuple, frozenset) and all(map(_is_plain, x)))


class _Watch:
    """Notes what the functions that run depend on: names in globals and closures, attributes of objects."""

    def __init__(self, function: Any, old: set[int]) -> None:
        self.guards: list[tuple[Any, Any, Any, bool, list[Any] | None, str]] = []
        self._old, self._seen, self._noted = old, set[Any](), set[Any]()
        self._objects(function, getattr(function, "__name__", "the function"))

    def __call__(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        local = frame.f_locals
        first = local.get(code.co_varnames[0]) if code.co_argcount else None
        if code.co_name not in ("<listcomp>", "<genexpr>") and first is not None:
            self._objects(first, code.co_varnames[0])
            if id(first) in self._old and not isinstance(first, Variable):
                self._attributes(code, first, code.co_varnames[0])
        if (code, id(first)) in self._seen or frame.f_globals.get("__name__", "").partition(".")[0] == _LIBRARY:
            return
        self._seen.add((code, id(first)))
        names = frame.f_globals
        for name in code.co_names:
            if name in names:
                self.note(names, name, names[name], name)
                self._attributes(code, names[name], name)
        self._closure(code, local)

    def _attributes(self, code: types.CodeType, value: Any, of: str) -> None:
        """Plain values in modules and classes of the user's, as in ``config.rate``."""
        is_module = isinstance(value, types.ModuleType)
        owner = value if is_module or isinstance(value, type) else type(value)
        home = owner.__name__ if is_module else getattr(owner, "__module__", "")
        if str(home).partition(".")[0] in (_LIBRARY, "builtins", "numpy"):
            return
        places = [vars(owner)] if is_module else [vars(c) for c in owner.__mro__[:-1]]
        for name in code.co_names:
            held = next((p[name] for p in places if name in p), None)
            if name.startswith("__") or not (_is_plain(held) or isinstance(held, Variable)) or held is None:
                continue
            self.note(owner, name, held, f"{of}.{name}")

    def _closure(self, code: types.CodeType, local: Any) -> None:
        if not code.co_freevars:
            return
        for f in gc.get_referrers(code):
            if isinstance(f, types.FunctionType) and id(f) in self._old:
                for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=False):
                    try:
                        value = cell.cell_contents
                    except ValueError:
                        continue
                    if name in local and local[name] is value:
                        self.note(cell, "cell_contents", value, name)
                        self._attributes(code, value, name)

    def note(self, holder: Any, key: Any, value: Any, name: str) -> None:
        """A value that must be what it is: by equality when it is plain, else by identity and, of a container, its items."""
        if (id(holder), key) in self._noted:
            return
        self._noted.add((id(holder), key))
        items = None
        if isinstance(value, (list, dict, set)) and len(value) <= _SMALL:
            items = list(value.values()) if isinstance(value, dict) else list(value)
        self.guards.append((holder, key, value, _is_plain(value), items, name))
        self._objects(value, name)

    def _objects(self, x: Any, name: str) -> None:
        """Guards the attributes of an object that was there before the call, and how many it has."""
        if id(x) not in self._old or id(x) in self._seen or isinstance(x, (type, types.ModuleType, types.FunctionType)):
            return
        self._seen.add(id(x))
        if isinstance(x, types.MethodType):
            self._objects(x.__self__, name)
            return
        if isinstance(x, (list, tuple, dict)):
            for item in list(x.values()) if isinstance(x, dict) else list(x):
                self._objects(item, name)
            return
        if isinstance(x, functools.partial):
            self._objects(x.func, name)
        held = getattr(x, "__dict__", None)
        if isinstance(x, (_core.Optimizer, Compiled)) or type(held) is not dict:
            return
        self.note({name: held}, name, held, f"an attribute of {name}")
        for key, value in list(held.items()):
            if not _is_plain(value):
                self.note(held, key, value, f"{name}.{key}")


class _Recording:
    """One recorded call."""

    def __init__(self, trace: Any, guards: list[Any], structure: Structure, results: list[Any], changed: list[int]) -> None:
        self.trace, self.guards, self.structure, self.results, self.changed = trace, guards, structure, results, changed

    def difference(self, other: _Recording) -> str | None:
        """Why another recording is no other run of this one."""
        reason: str | None = self.trace.difference(other.trace)
        if reason is not None:
            return reason
        if self.structure != other.structure or len(self.results) != len(other.results):
            return "the results are nested in another way than in the call before"
        for a, b in zip(self.results, other.results, strict=True):
            same = a[0] == b[0] and (a[1] is b[1] or (_is_plain(a[1]) and type(a[1]) is type(b[1]) and repr(a[1]) == repr(b[1])))
            if not same:
                return f"it returns the Python value {b[1]!r}, in the call before {a[1]!r}: return a Variable instead"
        return None


def _refill(x: Any, arguments: Any) -> Any:
    """An argument with other Variables, in the order in which a signature lists them."""
    if isinstance(x, Variable):
        return next(arguments)
    if type(x) in (list, tuple):
        return type(x)(_refill(item, arguments) for item in x)
    if type(x) is dict:
        return {k: _refill(v, arguments) for k, v in x.items()}
    return x


def _without_values(call: tuple[Any, Any]) -> tuple[Any, Any]:
    """The arguments of a call with one small Variable in place of each: a place that `_refill` finds, without the memory."""
    args, kwargs = call
    return _refill(args, _Empty()), _refill(kwargs, _Empty())


class _Empty:
    """Small Variables without end."""

    def __iter__(self) -> _Empty:
        return self

    def __next__(self) -> Variable:
        return _core.asarray(0)


class _Variant:
    """A program, and what must hold for it to be run."""

    def __init__(self, recording: _Recording, arguments: list[Any], call: tuple[Any, Any, Any]) -> None:
        #: The function and the arguments of a call, to run it once more.
        self.function, self.args, self.kwargs = call
        self.pure = recording.trace.is_pure()
        fixed = sorted({*recording.trace.fixed(), *recording.changed})
        self.fixed = [(i, arguments[i]) for i in fixed if i < len(arguments)]
        self.guards = _core._Guards(recording.guards)
        self.program = recording.trace.program()
        self.structure, self.results = recording.structure, recording.results
        #: One Variable and nothing else is the most common result.
        self.single = self.structure == LEAF and self.results[0][0] == "slot"

    def broken(self, arguments: list[Any]) -> str | None:
        """Why it cannot be run now."""
        for i, v in self.fixed:
            if arguments[i] is not v:
                return f"argument {i} is another Variable, and it is changed or shares memory with another one"
        reason: str | None = self.guards.broken()
        if reason is None and not self.program.fits():
            reason = "a gradient is there that was not there before, or the other way round, or a parameter was frozen or freed"
        return reason

    def again(self, arguments: list[Variable]) -> list[Variable]:
        """The Variables that the function itself makes of these arguments: for gradients of gradients."""
        if not self.pure:
            raise _core.GradError(
                "compile: gradients of gradients go through a compiled function only if it changes nothing and draws no random "
                "numbers; take them inside of the function that is compiled"
            )
        rest = iter(arguments)
        args, kwargs = _refill(self.args, rest), _refill(self.kwargs, rest)
        found: list[Any] = []
        flatten(self.function(*args, **kwargs), found)
        return [x for x, (kind, _) in zip(found, self.results, strict=True) if kind == "slot"]

    def run(self, arguments: list[Any]) -> Any:
        values = self.program.call(arguments, self)
        return values[0] if self.single else self.result(values, arguments)

    def result(self, values: list[Variable], arguments: list[Any]) -> Any:
        """The result of a call: Variables that were made, arguments, and constants, as they were nested."""
        of = {"slot": values, "argument": arguments}
        return unflatten(self.structure, [of[kind][what] if kind in of else what for kind, what in self.results])


class _Site:
    """What is known of the calls with one signature."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.calls = 0
        self.failures = 0
        self.first: _Recording | None = None
        self.variants: list[_Variant] = []
        self.keep: Any = None
        self.given_up: str | None = None


def _handles() -> tuple[list[Variable], set[int], list[Any]]:
    """All living Variables, the identities of all objects that the collector knows, and these objects.

    While the last list lives, no new object gets the identity of an old one.
    """
    objects = gc.get_objects()
    return [o for o in objects if isinstance(o, Variable)], {id(o) for o in objects}, objects


def _rates() -> list[Any]:
    """The options of all optimizers."""
    found = [o for o in gc.get_objects() if isinstance(o, _core.Optimizer)]
    return [(id(o), [{k: v for k, v in g.items() if k != "params"} for g in o.param_groups]) for o in found]


class Compiled(_core._Table):
    """A function that :func:`compile` made: call it as the function itself.

    ``explain()`` says in words what became of its calls.
    """

    def __init__(self, function: Callable[..., Any], explain: bool = False) -> None:
        if not callable(function):
            raise TypeError(f"compile: expected a function or a Module, got {type(function).__name__}")
        self._function, self._explain = function, explain
        self._sites: dict[bytes, _Site] = {}
        self._reasons: list[str] = []
        self._lock = threading.RLock()
        self._warned = False
        functools.update_wrapper(self, function, updated=())

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self._function, '__name__', self._function)!r}>"

    def __getattr__(self, name: str) -> Any:
        # A compiled Module has its parameters, its mode and its children.
        if name.startswith("__") or "_function" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._function, name)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """A call that no program fits."""
        if _core._is_capturing():
            return self._function(*args, **kwargs)
        signature = _core._signature(args, kwargs)
        converted_now = signature is None
        if signature is None:
            converted = self._converted(args, kwargs)
            if converted is None:
                return self._function(*args, **kwargs)
            args, kwargs, signature = converted
        key, arguments, keep = signature
        site = self._sites.get(key)
        if converted_now and site is not None:
            for variant in site.variants:
                if variant.broken(arguments) is None:
                    return variant.run(arguments)
        return self._learn(key, site, arguments, keep, args, kwargs)

    @staticmethod
    def _converted(args: Any, kwargs: Any) -> Any:
        """The arguments with Variables for NumPy arrays; None when a value is inside a transformation."""

        def one(x: Any) -> Any:
            is_array = hasattr(x, "__array__") or hasattr(x, "__dlpack__")
            return _core.asarray(x) if is_array and not isinstance(x, Variable) else x

        args, kwargs = tuple(tree_map(one, a) for a in args), {k: tree_map(one, v) for k, v in kwargs.items()}
        signature = _core._signature(args, kwargs)
        return None if signature is None else (args, kwargs, signature)

    def _say(self, text: str) -> None:
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        if text not in self._reasons and len(self._reasons) < _SIGNATURES:
            self._reasons.append(text)
            if self._explain:
                print(f"tg.compile({name}): {text}", file=sys.stderr)

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"tg.compile: {text}", RuntimeWarning, stacklevel=4)

    def _learn(self, key: bytes, site: _Site | None, arguments: list[Any], keep: Any, args: Any, kwargs: Any) -> Any:
        """A call that no program fits: it runs as ever, perhaps recorded."""
        if site is None:
            if len(self._sites) >= _SIGNATURES:
                self._say(f"more than {_SIGNATURES} signatures: further ones run as ever")
                self._warn(
                    f"called with more than {_SIGNATURES} different signatures (shapes, dtypes, Python values); "
                    "pass numbers that vary as Variables"
                )
                return self._function(*args, **kwargs)
            site = self._sites[key] = _Site(key)
            site.keep = keep
        site.calls += 1
        if site.calls == 1:
            return self._function(*args, **kwargs)
        if site.given_up is not None:
            return self._function(*args, **kwargs)
        if site.variants:
            self._say(f"recorded anew: {site.variants[-1].broken(arguments)}")
            if len(site.variants) >= _VARIANTS:
                site.given_up = f"{_VARIANTS} programs were recorded for one signature"
                self._warn(
                    f"{site.given_up}, and no one fits: {site.variants[-1].broken(arguments)}; calls that none fits run as ever"
                )
                return self._function(*args, **kwargs)
        if not self._lock.acquire(blocking=False):
            return self._function(*args, **kwargs)
        try:
            return self._record(site, arguments, args, kwargs)
        finally:
            self._lock.release()

    def _fail(self, site: _Site, reason: str) -> None:
        site.first = None
        site.failures += 1
        self._say(f"not replayed: {reason}")
        if site.failures >= _ATTEMPTS:
            site.given_up = reason

    def _record(self, site: _Site, arguments: list[Any], args: Any, kwargs: Any) -> Any:
        handles, old, alive = _handles()
        rates = _rates()
        if not _core._capture_begin(arguments, handles):
            return self._function(*args, **kwargs)
        watch = _Watch(self._function, old)
        out, err, profile, collects = sys.stdout, sys.stderr, sys.getprofile(), gc.isenabled()
        sys.stdout, sys.stderr = _Print(out), _Print(err)
        # What the collector runs at any moment, callbacks and finalizers, is no part of the function.
        gc.disable()
        sys.setprofile(watch)
        try:
            result = self._function(*args, **kwargs)
        except BaseException:
            _core._capture_abort()
            raise
        finally:
            sys.setprofile(profile)
            if collects:
                gc.enable()
            sys.stdout, sys.stderr = out, err
        self._end(site, arguments, result, watch, handles, old, rates, (args, kwargs))
        alive.clear()
        return result

    def _end(
        self,
        site: _Site,
        arguments: list[Any],
        result: Any,
        watch: _Watch,
        handles: list[Variable],
        old: set[int],
        rates: Any,
        call: tuple[Any, Any],
    ) -> None:
        found: list[Any] = []
        structure = flatten(result, found)
        slots: list[Variable] = []
        results: list[Any] = []
        for x in found:
            if (at := next((i for i, v in enumerate(arguments) if v is x), None)) is not None:
                results.append(("argument", at))
            elif isinstance(x, Variable) and id(x) not in old:
                results.append(("slot", len(slots)))
                slots.append(x)
            else:
                results.append(("constant", x))
        if any(s.kind == "module" for s in _walk(structure)):
            _core._capture_refuse("it returns a Module")
        if _rates() != rates:
            _core._capture_refuse("it changes options of an optimizer (a scheduler's step); do that outside")
        kept = _escaped(old, slots, (handles, found, result, arguments))
        if kept is not None:
            _core._capture_refuse(f"it keeps a new Variable of shape {kept.shape} outside of its results")
        trace = _core._capture_finish(slots, arguments, handles)
        if isinstance(trace, str):
            self._fail(site, trace)
            return
        named = {id(g[2]) for g in watch.guards}
        changed = [i for i, v in enumerate(arguments) if id(v) in named or trace.changes(v)]
        recording = _Recording(trace, watch.guards, structure, results, changed)
        first, site.first = site.first, recording
        if first is None:
            return
        reason = first.difference(recording)
        if reason is not None:
            self._fail(site, reason)
            site.first = recording
            return
        broken = _core._Guards(recording.guards).broken()
        if broken is not None:
            self._fail(site, f"it changes what it depends on: {broken}")
            return
        site.first = None
        variant = _Variant(recording, arguments, (self._function, *_without_values(call)))
        site.variants.append(variant)
        self._add(site.key, variant.program, variant.guards, variant.fixed, variant.single, variant)
        steps, left = variant.program.size()
        self._say(f"recorded: {steps} steps, {left} instructions, {len(variant.guards)} guards")

    def explain(self) -> str:
        """What became of the calls so far, a line each.

        >>> f = tg.compile(lambda x: x * 2)
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> f.explain()
        'recorded: 1 steps, 1 instructions, 0 guards'
        """
        return "\n".join(self._reasons)

    def programs(self) -> list[Any]:
        """The programs that were recorded, oldest first.

        >>> f = tg.compile(lambda x: x * 2)
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> len(f.programs())
        1
        """
        from ._program import Program

        return [Program(v) for site in self._sites.values() for v in site.variants]


def _walk(structure: Structure) -> Iterator[Structure]:
    yield structure
    for child in structure.children:
        yield from _walk(child)


def _escaped(old: set[int], results: list[Variable], known: Any) -> Variable | None:
    """A Variable that was made in the call, is no result, and is still alive."""
    mine = {id(v) for v in results}
    # A result that is a view holds its base; that is fine where nothing else holds it.
    bases = {id(b) for v in results for b in gc.get_referents(v) if isinstance(b, Variable)}

    def is_held(o: Variable) -> bool:
        holders = [h for h in gc.get_referrers(o) if id(h) not in mine and not isinstance(h, types.FrameType)]
        return any(h is not objects for h in holders)

    objects: list[Any] = []

    def find() -> Variable | None:
        objects[:] = gc.get_objects()
        for o in objects:
            if isinstance(o, Variable) and id(o) not in old and id(o) not in mine and (id(o) not in bases or is_held(o)):
                objects.clear()
                return o
        objects.clear()
        return None

    if find() is None:
        return None
    gc.collect()
    return find()


@overload
def compile(function: Callable[..., Any], *, explain: bool = False) -> Compiled: ...
@overload
def compile(function: None = None, *, explain: bool = False) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(function: Any = None, *, explain: bool = False) -> Any:
    """Makes a function, a training step or a Module run without Python: recorded once, then replayed by the core.

    Use it as a decorator or call it: ``step = tg.compile(step)``. The first call with arguments of given shapes, dtypes and
    Python values runs as ever, the second and the third are recorded and compared, later ones replay. Gradients,
    ``backward()``, optimizer steps and random numbers inside of the function are part of the program; parameters, gradients,
    buffers, and the options of optimizers are read in each call, so schedules work outside of it. Results are the same, bit for
    bit.

    NumPy arrays among the arguments become Variables. Python numbers are part of the signature: pass numbers that vary as
    Variables. What the function reads besides its arguments (globals, closures, attributes) is guarded; a change makes a new
    recording, at most 8 for one signature, then a warning comes. A function that reads elements (``item()``, ``if x > 0``),
    prints, has hooks, or keeps new Variables elsewhere runs as ever: ``explain=True`` prints why. Other effects on Python
    objects are not seen by a recording and do not happen in a replay.

    >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
    >>> sgd = tg.optim.SGD([w], lr=0.5)
    >>> @tg.compile
    ... def step(x):
    ...     sgd.zero_grad()
    ...     loss = ((w - x) ** 2).sum()
    ...     loss.backward()
    ...     sgd.step()
    ...     return loss.detach()
    >>> [step(tg.zeros(2)).item() for _ in range(5)]
    [5.0, 0.0, 0.0, 0.0, 0.0]
    """
    if function is None:
        return functools.partial(compile, explain=explain)
    return Compiled(function, explain)
