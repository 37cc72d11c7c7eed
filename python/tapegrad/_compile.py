"""``tg.compile``: a function is recorded as a flat program of primitives and then runs without Python.

The first call with arguments of given shapes and dtypes runs in Python. The second and the third are recorded and compared;
when both give the same program, later calls replay it. Values that the function depends on besides its arguments (globals,
closures, attributes of objects) are guarded: when a guard fails, the function is recorded again. A function that cannot be
replayed keeps running in Python.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import pickle
import sys
import threading
import types
import warnings
from typing import TYPE_CHECKING, Any, overload

from . import _core
from ._core import Variable
from ._held import Held, find_held, replaced, without_held
from ._messages import a_type
from ._tree import LEAF, Structure, flatten, is_module, unflatten
from ._watch import Watch, guards, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Compiled", "compile"]

#: How many programs a function keeps for one signature, and for all signatures together.
_VARIANTS = 8
_SIGNATURES = 64
#: After calls with so many objects of one type, explain() says that objects count by identity.
_OBJECTS = 4
#: After so many failed recordings of a signature its calls run in Python for good.
_ATTEMPTS = 3
#: How many Variables a function may replace in objects that it finds.
_HELD = 64
#: How deep in nested arguments a dataclass counts by what it holds, as in the core.
_DEPTH = 16
#: Held by the thread that records: a process makes one recording at a time.
_RECORDING = threading.Lock()


class _Recording:
    """One recorded call."""

    def __init__(self, trace: Any, watch: Watch, structure: Structure, results: list[Any], changed: list[int]) -> None:
        self.trace, self.watch, self.structure, self.results, self.changed = trace, watch, structure, results, changed
        #: Dicts of plain values among the results, which the garbage collector does not list.
        self.dicts: list[Any] = []
        #: The contents of guarded NumPy arrays whose memory the program reads in each call.
        self.contents: dict[int, bytes | int] = {}
        #: Arguments that the function makes leaves, and which result is the gradient that they got.
        self.leaves: list[tuple[int, int | None]] = []
        #: Why a replay would have other results than the function: these are views, which change with their base.
        self.shared: str | None = None
        #: Arguments that are leaves and get their first gradients.
        self.new_leaves: list[int] = []
        #: The signature of the Variables that the function replaces.
        self.held_key = b""
        #: Where the Variables come from that the function puts in the place of others.
        self.stored: list[tuple[str, Any]] = []

    def difference(self, other: _Recording) -> str | None:
        """Why another recording is not the same program with other values."""
        reason: str | None = self.trace.difference(other.trace)
        if reason is not None:
            return reason
        if self.stored != other.stored:
            return "it keeps other Variables than in the call before"
        if self.structure != other.structure or len(self.results) != len(other.results) or self.leaves != other.leaves:
            return "the results are nested in another way than in the call before"
        if any(a is b for a, b in zip(self.dicts, other.dicts, strict=True)):
            return "it returns one dict in each call; return a new one"
        for a, b in zip(self.results, other.results, strict=True):
            same = a[0] == b[0] and (a[1] is b[1] or (is_plain(a[1]) and type(a[1]) is type(b[1]) and repr(a[1]) == repr(b[1])))
            if not same:
                return f"it returns the Python value {b[1]!r}, in the call before {a[1]!r}: return a Variable instead"
        return None


def _refill(x: Any, arguments: Any, depth: int = 0) -> Any:
    """An argument with other Variables, in the order in which a signature lists them."""
    if isinstance(x, Variable):
        return next(arguments)
    items = _items(x, depth)
    return x if items is None else _rebuilt(x, [_refill(item, arguments, depth + 1) for item in items])


def _items(x: Any, depth: int) -> list[Any] | None:
    """The items of a container that a signature takes apart at this depth, attributes as a dict; None for anything else."""
    kind = type(x)
    if kind is slice:
        return [x.start, x.stop, x.step]
    if kind in (list, tuple, dict):
        return _parts(x)
    is_record = dataclasses.is_dataclass(kind)
    is_container = is_record or isinstance(x, (dict, list)) or (isinstance(x, tuple) and hasattr(kind, "_fields"))
    if depth > _DEPTH or not is_container or hasattr(kind, "named_parameters"):
        return None
    if hasattr(x, "__dict__"):
        return [*_parts(x), vars(x)]
    return [*_parts(x), *(getattr(x, f.name, None) for f in dataclasses.fields(kind))] if is_record else _parts(x)


def _parts(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [part for item in x.items() for part in item]
    return list(x) if isinstance(x, (list, tuple)) else []


def _rebuilt(x: Any, items: list[Any]) -> Any:
    """A container like ``x`` with these items."""
    kind = type(x)
    if kind in (list, tuple):
        return kind(items)
    if kind is dict:
        return dict(zip(items[::2], items[1::2], strict=True))
    if kind is slice:
        return slice(*items)
    if isinstance(x, tuple):
        return kind._make(items[: len(x)])
    new = copy.copy(x)
    if isinstance(x, dict):
        dict.update(new, zip(items[: 2 * len(x) : 2], items[1 : 2 * len(x) : 2], strict=True))
    elif isinstance(x, list):
        new[:] = items[: len(x)]
    rest = items[len(_parts(x)) :]
    names = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    for name, value in rest[0].items() if hasattr(x, "__dict__") else zip(names, rest, strict=True):
        object.__setattr__(new, name, value)
    return new


class _Contents:
    """The containers among the arguments of a call, and what they hold."""

    def __init__(self, args: Any, kwargs: Any) -> None:
        self._found: list[tuple[Any, int, list[Any]]] = []
        self._add(args, 0)
        self._add(kwargs, 0)
        self.ids = {id(x) for x, _, _ in self._found}

    def _add(self, x: Any, depth: int) -> None:
        if (items := _items(x, depth)) is not None:
            self._found.append((x, depth, items))
            for item in items:
                self._add(item, depth + 1)

    def changed(self) -> bool:
        """Whether one of them holds other objects now."""
        for x, depth, was in self._found:
            now = _items(x, depth) or []
            if len(now) != len(was) or any(a is not b for a, b in zip(now, was, strict=True)):
                return True
        return False


class _Call:
    """A call that is recorded."""

    def __init__(self, site: _Site, args: Any, kwargs: Any, arguments: list[Any], made: list[Variable]) -> None:
        self.args, self.kwargs, self.arguments = args, kwargs, arguments
        self.contents = _Contents(args, kwargs)
        #: Arguments that are leaves and get their first gradients, if each call has other ones.
        self.new_leaves = [i for i, v in enumerate(arguments) if site.new_leaves and _is_new_leaf(v)]
        #: Arguments whose gradients, if they have one after the call, are results.
        self.fresh = sorted([*self.new_leaves, *(i for i, v in enumerate(arguments) if not v.requires_grad)])
        self.living = _core._Living()
        # The Variables made for NumPy arrays are new in each call, so their values and gradients are no state.
        mine = {id(v) for v in made}
        #: The Variables whose values and gradients are state.
        self.handles = [v for v in self.living.variables if id(v) not in mine]

    def forget(self) -> None:
        """Drops all objects: the traceback of an error keeps the call."""
        self.handles.clear()
        self.living.forget()


def _is_new_leaf(v: Variable) -> bool:
    """Whether a Variable is a leaf that has collected no gradient."""
    return v.is_leaf and v.requires_grad and v.grad is None


def _is_leaf_argument(v: Variable) -> bool:
    return v.is_leaf and v.requires_grad


def _without_values(call: tuple[Any, Any]) -> tuple[Any, Any]:
    """The arguments of a call with a small Variable in place of each: `_refill` finds the places, and the memory is free."""
    args, kwargs = call
    return _refill(args, _Empty()), _refill(kwargs, _Empty())


def _with_variables(x: Any, made: list[Variable], depth: int = 0) -> Any:
    """An argument with Variables, which are added to ``made``, for NumPy arrays and those of other libraries."""
    if (items := _items(x, depth)) is not None:
        new = [_with_variables(item, made, depth + 1) for item in items]
        return x if all(a is b for a, b in zip(items, new, strict=True)) else _rebuilt(x, new)
    is_array = hasattr(x, "__array__") or hasattr(x, "__dlpack__")
    is_number = type(x).__module__ == "numpy" and not hasattr(x, "__setitem__")
    if not is_array or is_number or isinstance(x, Variable):
        return x
    made.append(_core.asarray(x))
    return made[-1]


class _Empty:
    """An endless iterator of small Variables."""

    def __iter__(self) -> _Empty:
        return self

    def __next__(self) -> Variable:
        return _core.asarray(0)


class _Variant:
    """A program, and the guards under which it may run."""

    def __init__(self, recording: _Recording, guards: Any, site: _Site, arguments: list[Any], call: tuple[Any, Any, Any]) -> None:
        #: The function and the arguments of a call, to run the function once more.
        self.function, self.args, self.kwargs = call
        self.held, self.held_key, self.stored = site.held, site.held_key, recording.stored
        self.pure = recording.trace.is_pure() and not self.held
        fixed = sorted({*recording.trace.fixed(), *recording.changed})
        self.fixed = [(i, arguments[i]) for i in fixed if i < len(arguments)]
        self.guards = guards
        #: Whether the function may catch an error that a step raises: then the function itself runs when a step fails.
        self.catches = recording.watch.catches
        self.replays = recording.shared is None
        self.contents, self.leaves = recording.contents, recording.leaves
        self.new_leaves = recording.new_leaves
        self.program = recording.trace.program()
        self.structure, self.results = recording.structure, recording.results
        #: Whether the result is one Variable and nothing else, the most common case.
        self.single = self.structure == LEAF and self.results[0][0] == "slot" and not self.leaves and not self.held

    def broken(self, arguments: list[Any]) -> str | None:
        """The first guard that does not hold now, in words; None when the program may run."""
        for i, v in self.fixed:
            if arguments[i] is not v:
                return f"argument {i} is another Variable, and it is changed or shares memory with another one"
        for i in self.new_leaves:
            if not _is_new_leaf(arguments[i]):
                return f"argument {i} has a gradient, and had none before"
        reason: str | None = self.guards.broken() or self.program.misfit(arguments, [i for i, _ in self.fixed])
        return reason

    def again(self, arguments: list[Variable]) -> list[Variable]:
        """The Variables that the function itself returns for these arguments: needed for gradients of gradients."""
        if not self.pure:
            raise _core.GradError(
                "compile: gradients of gradients go through a compiled function only if it changes nothing and draws no random "
                "numbers; take them inside of the function that is compiled"
            )
        rest = iter(arguments)
        args, kwargs = _refill(self.args, rest), _refill(self.kwargs, rest)
        found: list[Any] = []
        flatten(self.function(*args, **kwargs), found)
        slots = {at: x for x, (kind, at) in zip(found, self.results, strict=True) if kind == "slot"}
        return [slots[at] for at in sorted(slots)]

    def run(self, arguments: list[Any]) -> Any:
        values = self.program.call(arguments, self)
        return values[0] if self.single else self.result(values, arguments)

    def result(self, values: list[Variable], arguments: list[Any]) -> Any:
        """The result of a call: new Variables, arguments, gradients and constants, nested as in the recording."""
        of = {"slot": values, "argument": arguments}
        for i, at in self.leaves:
            arguments[i].requires_grad_()
            arguments[i].grad = None if at is None else values[at]
        if self.leaves:
            of["argument gradient"] = [v.grad for v in arguments]
        found = [of[kind][what] if kind in of else what.grad if kind == "gradient" else what for kind, what in self.results]
        if self.held:
            # All values are read first: a function may exchange two Variables.
            stored = [of[kind][what] if kind in of else what.grad if kind == "gradient" else what for kind, what in self.stored]
            for place, value in zip(self.held, stored, strict=True):
                place.set(value)
        return unflatten(self.structure, found)


class _Site:
    """The state of the calls with one signature: recordings, programs, failures."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.calls = 0
        self.failures = 0
        self.first: _Recording | None = None
        self.variants: list[_Variant] = []
        self.keep: Any = None
        self.given_up: str | None = None
        #: Whether each call has other leaves among its arguments, which get gradients.
        self.new_leaves = False
        #: Where the function replaces Variables, and the signature of those that are there now.
        self.held: list[Held] = []
        self.held_key = b""

    def arguments(self, arguments: list[Any]) -> list[Any] | None:
        """The arguments of a call, and the Variables that the function replaces; None if one is missing or lifted."""
        if not self.held:
            return arguments
        values = tuple(place.get() for place in self.held)
        found = _core._signature((*arguments, *values), {})
        if found is None or not all(type(v) is Variable for v in values):
            return None
        self.held_key = found[0]
        return [*arguments, *values]


def _outer_state(living: _core._Living) -> list[tuple[str, Any]]:
    """State that a function must not change, since its program would not: modes, options of optimizers, NumPy's random state."""
    optimizers = [*living.optimizers, *living.new_optimizers()]
    options = {id(o): [{k: v for k, v in g.items() if k != "params"} for g in o.param_groups] for o in optimizers}
    numpy_random = sys.modules.get("numpy.random")
    draws = None if numpy_random is None else pickle.dumps(numpy_random.get_state(legacy=False))
    signature = _core._signature((), {})
    return [
        ("options of an optimizer (a scheduler's step)", options),
        ("a mode (gradients on or off, default dtype, autocast)", signature and signature[0]),
        ("the number of threads", _core.get_num_threads()),
        ("the state of numpy.random (it draws from it; draw from tg.random)", draws),
    ]


def _guarded(
    recording: Any,
    found: list[Any],
    arrays: list[tuple[Any, int]],
    variants: Sequence[_Variant] | None = None,
    held: list[Held] | None = None,
) -> tuple[Any, str | None]:
    """The guards of a function, or the reason why it cannot be guarded."""
    drop, same = set(), [v for v in variants or () if arrays and recording.trace.is_recording_of(v.program)]
    for array, at in arrays:
        memory = getattr(array, "__array_interface__", None)
        if memory and recording.trace.reads(memory["data"][0], array.nbytes):
            # A replay reads this memory in each call. The function may read it by NumPy, too, unless it gave the same program
            # when the array had another content. The body of a scan has no other programs to compare with.
            content = found[at][4]
            if any(v.contents.get(id(array), content) != content for v in same):
                drop.add(at)
            elif variants is not None:
                recording.contents[id(array)] = content
        elif isinstance(found[at][4], int):
            return None, f"it reads {found[at][5]}, a large array that is no Variable; make a Variable of it"
    kept = [(*g[:4], None, g[5]) if i in drop else g for i, g in enumerate(found)]
    checked = _core._Guards(without_held(kept, held or []))
    broken = checked.broken()
    return checked, None if broken is None else f"it changes what it depends on: {broken}"


class Compiled(_core._Table):
    """A function that :func:`compile` made: call it as the function itself.

    ``explain()`` says in words what became of its calls.
    """

    def __init__(self, function: Callable[..., Any], explain: bool = False) -> None:
        if not callable(function):
            raise TypeError(f"compile: expected a function or a Module, got {type(function).__name__}")
        self._function: Any = function
        self._explain = explain
        self._sites: dict[bytes, _Site] = {}
        self._reasons: list[str] = []
        self._warned = False
        functools.update_wrapper(self, function, updated=())

    def __reduce__(self) -> Any:
        """Copies and pickles begin without programs; a decorated function of a module is pickled by its name."""
        name = getattr(self._function, "__qualname__", None)
        home = sys.modules.get(getattr(self._function, "__module__", None) or "")
        if name is not None and getattr(home, name, None) is self:
            return name
        return type(self), (self._function, self._explain)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self._function, '__name__', self._function)!r}>"

    def __getattr__(self, name: str) -> Any:
        # A compiled Module shows the parameters, the mode and the children of its Module.
        if name.startswith("__") or "_function" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._function, name)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """A call for which no program fits: counts it, and runs or records the function."""
        if _core._is_capturing():
            return self._function(*args, **kwargs)
        signature = _core._signature(args, kwargs)
        made: list[Variable] = []
        if signature is None:
            args, kwargs = _with_variables(args, made), _with_variables(kwargs, made)
            signature = _core._signature(args, kwargs)
            if signature is None:  # a value is inside a transformation
                return self._function(*args, **kwargs)
        key, arguments, keep = signature
        site = self._sites.get(key)
        if site is not None and (made or site.held):
            inputs = site.arguments(arguments)
            if inputs is None:
                names = ", ".join(place.name for place in site.held[:3])
                self._say(
                    f"a call ran in Python: what it replaces ({names}) was missing, no plain Variable, or in a transformation"
                )
                return self._function(*args, **kwargs)
            arguments = inputs
            for variant in site.variants:
                is_alike = variant.replays and variant.held is site.held and variant.held_key == site.held_key
                if is_alike and variant.broken(arguments) is None:
                    return variant.run(arguments)
        return self._learn(key, site, arguments, keep, args, kwargs, made)

    def _plain(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself after a step of its program has failed: the function may catch the error."""
        return self._function(*args, **kwargs)

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

    def _learn(
        self, key: bytes, site: _Site | None, arguments: list[Any], keep: Any, args: Any, kwargs: Any, made: list[Variable]
    ) -> Any:
        """Runs the function in Python, and records the run where that may give a program. ``made`` stand for arrays."""
        if site is None:
            self._say_if_alike(keep)
            if len(self._sites) >= _SIGNATURES:
                self._say(f"more than {_SIGNATURES} signatures: calls with further ones run in Python")
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
            why = site.variants[-1].broken(arguments) or "a Variable that it replaces has another shape or dtype"
            self._say(f"recorded again: {why}")
            if len(site.variants) >= _VARIANTS:
                site.given_up = f"{_VARIANTS} programs were recorded for one signature"
                self._warn(f"{site.given_up}, and none fits: {why}; calls that fit no program run in Python")
                return self._function(*args, **kwargs)
        if not _RECORDING.acquire(blocking=False):
            return self._function(*args, **kwargs)
        try:
            return self._record(site, arguments, args, kwargs, made)
        finally:
            _RECORDING.release()

    def _say_if_alike(self, keep: list[Any]) -> None:
        """Says that earlier calls were given other objects of the type of an argument, if these were many."""
        for i, new in enumerate(keep):
            others = {id(s.keep[i]) for s in self._sites.values() if i < len(s.keep) and type(s.keep[i]) is type(new)}
            if len(others) >= _OBJECTS and not isinstance(new, type):
                kind = type(new).__name__
                self._say(
                    f"each call has another {kind} among its arguments, and such objects are the same only if they are one "
                    "object: pass what it holds in a tuple, a dict, a named tuple or a dataclass"
                )

    def _fail(self, site: _Site, reason: str, arguments: list[Any]) -> None:
        site.first = None
        if not site.new_leaves and "changes another Variable in place" in reason and any(map(_is_leaf_argument, arguments)):
            site.new_leaves = True  # recorded with the gradients of these as results
            return
        site.failures += not reason.startswith("another thread")
        self._say(f"not replayed: {reason}")
        if site.failures >= _ATTEMPTS:
            site.given_up = reason

    def _record(self, site: _Site, arguments: list[Any], args: Any, kwargs: Any, made: list[Variable]) -> Any:
        collects = gc.isenabled()
        # The garbage collector may run callbacks and finalizers at any moment: they are not part of the function.
        gc.disable()
        call = _Call(site, args, kwargs, arguments, made)
        try:
            before = _outer_state(call.living)
            if not _core._capture_begin(arguments, call.handles, [arguments[i] for i in call.new_leaves]):
                return self._function(*args, **kwargs)
            try:
                return self._recorded(site, call, before)
            finally:
                _core._capture_abort()  # drops a recording that an error has ended
        finally:
            call.forget()
            if collects:
                gc.enable()

    def _recorded(self, site: _Site, call: _Call, before: Any) -> Any:
        """Runs the function under a recording that has begun, and ends the recording."""
        profile, watch = sys.getprofile(), Watch(self._function, site.keep, call.living, call.contents.ids)
        try:
            found = None if site.first is None else guards(site.first.watch)
            sys.setprofile(watch)
            result = self._function(*call.args, **call.kwargs)
        finally:
            sys.setprofile(profile)
        for was, now in zip(before, _outer_state(call.living), strict=True):
            if was[1] != now[1]:
                _core._capture_refuse(f"it changes {was[0]}; do that outside")
        if call.contents.changed():
            _core._capture_refuse("it changes the contents of an argument; return a new list, dict or object instead")
        recording = self._end(site, call, result, watch)
        if recording is not None:
            self._compare(site, recording, found, call)
        return result

    def _end(self, site: _Site, call: _Call, result: Any, watch: Watch) -> _Recording | None:
        """Ends a recording and returns it; None when it cannot be replayed."""
        arguments, living = call.arguments, call.living
        found: list[Any] = []
        try:
            structure = flatten(result, found)
        except Exception as error:  # noqa: BLE001 - of a container of the user's, or of one that holds itself
            self._fail(site, f"its result cannot be taken apart: {type(error).__name__}: {error}", arguments)
            return None
        stored = [place.get() for place in site.held]
        if not all(type(v) is Variable for v in stored):
            _core._capture_refuse("it removes a Variable that it replaced in the call before")
        slots: list[Variable] = []
        leaves = _made_leaves([(i, arguments[i]) for i in call.fresh], slots)
        results = _sources([*found, *stored], call, leaves, slots)
        if any(s.kind == "module" for s in _walk(structure)):
            _core._capture_refuse("it returns a Module")
        reason = _unlike(result, living)
        if reason is not None:
            _core._capture_refuse(reason)
        shared = _shared(slots, living)
        kept = _escaped(living, [*slots, *(x for x in found if isinstance(x, Variable))])
        if kept and self._learn_held(site, watch, kept):
            return None
        if kept:
            _core._capture_refuse(
                f"it keeps a new Variable of shape {kept[0].shape} outside of its results; return it, or write it into a "
                "Variable that was there before (x[...] = new)"
            )
        outer = sys.getprofile()
        sys.setprofile(watch)  # rules of the user's Functions run
        try:
            trace = _core._capture_finish(slots, arguments, call.handles)
        finally:
            sys.setprofile(outer)
        if isinstance(trace, str):
            self._fail(site, trace, arguments)
            return None
        named = {id(value) for value in watch.named()} - {id(v) for v in arguments[len(arguments) - len(site.held) :]}
        changed = [i for i, v in enumerate(arguments) if id(v) in named or trace.changes(v)]
        recording = _Recording(trace, watch, structure, results[: len(found)], changed)
        recording.stored, recording.new_leaves, recording.held_key = results[len(found) :], call.new_leaves, site.held_key
        recording.dicts, recording.shared, recording.leaves = list(_plain_dicts(result)), shared, leaves
        return recording

    def _learn_held(self, site: _Site, watch: Watch, new: list[Variable]) -> bool:
        """Finds where the function keeps new Variables. False if it is elsewhere than in the place of others."""
        places = find_held(new, guards(watch)[0])
        return places is not None and self._add_held(site, places)

    def _add_held(self, site: _Site, places: list[Held]) -> bool:
        """Adds places whose Variables the function replaces; False if all are known."""
        known = {place.at for place in site.held}
        new = [place for place in places if place.at not in known]
        if not new or len(known) + len(new) > _HELD:
            return False
        self._say(f"it replaces {', '.join(place.name for place in new[:3])}: recorded as arguments and results")
        site.held, site.first = [*site.held, *new], None
        site.variants = []
        return True

    def _compare(self, site: _Site, recording: _Recording, found: Any, call: _Call) -> None:
        """Compares two recordings and makes a program of the second one when they are equal."""
        first, site.first = site.first, recording
        if first is None:
            return
        if first.held_key != recording.held_key or self._add_held(site, replaced(without_held(found[0], site.held))):
            return
        reason = first.difference(recording) or recording.watch.beyond(first.watch)
        if reason is None:
            guarded, reason = _guarded(recording, found[0], found[1], site.variants, site.held)
        if reason is not None:
            self._fail(site, reason, call.arguments)
            # The next call is compared with this one; a recording that nothing is compared with would keep its values.
            site.first = recording if site.given_up is None else None
            return
        site.first = None
        variant = _Variant(recording, guarded, site, call.arguments, (self._function, *_without_values((call.args, call.kwargs))))
        site.variants.append(variant)
        if variant.replays and not site.held:
            self._add(site.key, variant)
        elif not variant.replays:
            site.given_up = recording.shared
            self._say(f"calls run in Python: {recording.shared}")
        steps, left = variant.program.size()
        self._say(f"recorded: {steps} steps, {left} instructions, {len(variant.guards)} guards")

    def explain(self) -> str:
        """One line for each program, and for each reason why calls ran in Python.

        >>> f = tg.compile(lambda x: x * 2)
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> f.explain()
        'recorded: 1 steps, 1 instructions, 1 guards'
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


class CompiledModule(Compiled):
    """A compiled Module, which is a Module to others: a part of models that hold it, with the parts of the Module that it runs.

    >>> net = tg.nn.Sequential(tg.compile(tg.nn.Linear(2, 3)), tg.nn.Tanh())
    >>> [name for name, _ in net.named_parameters()]
    ['0.weight', '0.bias']
    """

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.__dict__.get("_function", self))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or (name.startswith("__") and name != "__class__"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._function, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._function, name)

    def __bool__(self) -> bool:
        return bool(self._function)

    def __len__(self) -> int:
        return len(self._function)

    def __iter__(self) -> Any:
        return iter(self._function)

    def __contains__(self, item: object) -> bool:
        return item in self._function

    def __getitem__(self, key: Any) -> Any:
        return self._function[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._function[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._function[key]


#: The attributes of a compiled function itself.
_OWN = frozenset({"_explain", "_function", "_reasons", "_sites", "_warned"})


def _unlike(result: Any, living: _core._Living) -> str | None:
    """Why a result cannot be built again from its leaves."""
    if isinstance(result, (list, dict)):
        if type(result) not in (list, dict):
            return f"it returns {a_type(result)}; return a dict or a list"
        if result in living:
            return f"it returns {a_type(result)} that was there before the call; return a new one"
    if isinstance(result, (list, tuple, dict)):
        items = result.values() if isinstance(result, dict) else result
        return next((reason for item in items if (reason := _unlike(item, living)) is not None), None)
    return None


def _made_leaves(arguments: list[tuple[int, Variable]], slots: list[Variable]) -> list[tuple[int, int | None]]:
    """The arguments, with their numbers, that are leaves now, and where ``slots`` has their gradients, which are added there."""
    leaves: list[tuple[int, int | None]] = []
    for i, v in arguments:
        if v.is_leaf and v.requires_grad:
            if v.grad is not None:
                slots.append(v.grad)
            leaves.append((i, None if v.grad is None else len(slots) - 1))
    return leaves


def _sources(found: list[Any], call: _Call, leaves: list[tuple[int, int | None]], slots: list[Variable]) -> list[tuple[str, Any]]:
    """Where each result comes from. New Variables are added to ``slots``."""
    arguments = call.arguments
    made = [arguments[i] for i, at in leaves if at is not None]
    results: list[tuple[str, Any]] = []
    for x in found:
        if (at := next((i for i, v in enumerate(arguments) if v is x), None)) is not None:
            results.append(("argument", at))
        elif isinstance(x, Variable) and (owner := _core._gradient_owner(x, made)) is not None:
            results.append(("argument gradient", next(i for i, v in enumerate(arguments) if v is owner)))
        elif (at := next((i for i, v in enumerate(slots) if v is x), None)) is not None:
            results.append(("slot", at))
        elif isinstance(x, Variable) and (owner := _core._gradient_owner(x, call.handles)) is not None:
            results.append(("gradient", owner))
        elif isinstance(x, Variable) and x not in call.living:
            results.append(("slot", len(slots)))
            slots.append(x)
        else:
            results.append(("constant", x))
    return results


def _plain_dicts(result: Any) -> Iterator[Any]:
    if isinstance(result, dict) and not gc.is_tracked(result):
        yield result
    elif isinstance(result, (list, tuple, dict)):
        for item in result.values() if isinstance(result, dict) else result:
            yield from _plain_dicts(item)


def _shared(results: list[Variable], living: _core._Living) -> str | None:
    """Why a result is not a new value: it is a view of another Variable that the caller has."""
    mine = {id(v) for v in results}
    for v in results:
        for base in gc.get_referents(v):
            if isinstance(base, Variable) and (base in living or id(base) in mine):
                other = "another result" if id(base) in mine else "a Variable that was there before the call"
                return f"it returns a view of {other}; return a copy (clone())"
    return None


def _walk(structure: Structure) -> Iterator[Structure]:
    yield structure
    for child in structure.children:
        yield from _walk(child)


def _escaped(living: _core._Living, results: list[Variable]) -> list[Variable]:
    """The Variables that were made in the call, are no results, and are still alive after it."""
    mine = {id(v) for v in results}
    # A result that is a view holds its base; that is fine where nothing else holds it.
    bases = {id(b) for v in results for b in gc.get_referents(v) if isinstance(b, Variable)}

    def is_held(o: Variable) -> bool:
        holders = [h for h in gc.get_referrers(o) if id(h) not in mine and type(h) is not types.FrameType]
        return any(h is not objects for h in holders)

    objects: list[Variable] = []
    others = threading.active_count() > 1
    contexts: set[int] = set()

    def is_saved(o: Variable) -> bool:
        """Whether only contexts of Functions hold it: their rules are part of the recording."""
        # The list of all objects holds tuples that other threads are building, so it is not asked for without need.
        contexts.update(_new_contexts())
        holders = [h for h in gc.get_referrers(o) if h is not objects and type(h) is not types.FrameType]
        return bool(contexts) and all(id(h) in contexts for h in holders)

    def find() -> list[Variable]:
        objects[:] = living.new_variables()
        found = []
        for o in objects:
            # Another thread may have created it.
            is_own = id(o) not in mine and (id(o) not in bases or is_held(o)) and (not others or _core._capture_knows(o))
            if is_own and not is_saved(o):
                found.append(o)
        objects.clear()
        return found

    if not find():
        return []
    gc.collect()
    return find()


def _new_contexts() -> set[int]:
    """The identities of what holds the values of contexts of Functions, as far as these are in the youngest generation."""
    module = sys.modules.get("tapegrad.autograd.function")
    found: set[int] = set()
    if module is None:
        return found
    for x in gc.get_objects(generation=0):
        if type(x) is module.FunctionContext:
            held = vars(x)
            found.update((id(x), id(held), *(id(v) for v in held.values() if isinstance(v, (tuple, list, dict)))))
    return found


@overload
def compile(function: Callable[..., Any], *, explain: bool = False) -> Compiled: ...
@overload
def compile(function: None = None, *, explain: bool = False) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(function: Any = None, *, explain: bool = False) -> Any:
    """Makes a function, a training step or a Module run without Python: recorded once, then replayed by the core.

    Use it as a decorator or call it: ``step = tg.compile(step)``. The first call with arguments of given shapes, dtypes and
    Python values runs in Python, the second and the third are recorded and compared, later ones replay. Gradients,
    ``backward()``, optimizer steps and random numbers inside of the function are part of the program; parameters, gradients,
    buffers, and the options of optimizers are read in each call, so schedules work outside of it. Results are the same, bit for
    bit.

    Arguments may nest in lists, tuples, dicts and dataclasses. NumPy arrays among them become Variables. Python numbers are part
    of the signature: pass numbers that vary as Variables. Values that the function reads besides its arguments (globals,
    closures, attributes) are guarded: after a change it is recorded again, at most 8 times for one signature, then it warns. A
    function may replace Variables that objects hold (``self.h = f(self.h)``). One that reads elements (``item()``, ``if x > 0``),
    prints, has hooks, or keeps new Variables in new places runs in Python: ``explain=True`` prints why. Other effects on Python
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
    return (CompiledModule if is_module(function) else Compiled)(function, explain)
