"""``tg.scan``: a loop over the first axis of arrays, whose body is recorded and run by the core."""

from __future__ import annotations

import gc
import operator
import sys
from types import CellType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from . import _core
from ._compile import _RECORDING, Compiled, _escaped, _guarded, _outer_state, _walk
from ._core import Variable
from ._redraw import Draws
from ._tree import Structure, flatten, leaves, tree_map, unflatten
from ._watch import Watch, guards
from .autograd.modes import no_grad

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["scan"]

#: The number of steps from which on recording the body pays.
_LONG = 16
#: At most so many steps are recorded until two are equal.
_ATTEMPTS = 4
#: For each function at most so many bodies for one signature, so many signatures, and so many failures of a signature.
_VARIANTS = 8
_SIGNATURES = 64
_FAILURES = 3
#: The attributes of a function that keep its bodies and its compiled form, as long as the function lives.
_LOOPS = "_tapegrad_scan_loops"
_KEPT = "_tapegrad_scan_body"


def _attribute(f: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """The object that ``make`` creates for a function: one for each function, kept as an attribute."""
    known = getattr(f, name, None)
    # functools.wraps copies attributes, so the object may belong to another function.
    if known is not None and known._function is f:
        return known
    known = make(f)
    if isinstance(f, FunctionType):
        setattr(f, name, known)
    return known


#: Stands for the content of a cell whose variable was deleted.
_EMPTY = object()


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


class _Loop:
    """A recorded body: its guards, its program, and how its values are nested."""

    def __init__(self, function: Any, steps: _Step, body: Any, start: Structure) -> None:
        self._function, self._start = function, start
        self._x, self._result = steps.x, steps.result
        self._parts, self._guards = steps.parts, steps.guards
        self._body, self._closed = body, steps.trace.closed()

    def run(self, carries: list[Variable], xs: list[Variable], length: int) -> tuple[Any, Any] | None:
        """The last carry and the stacked results; None when a guard does not hold any more."""
        if self._guards.broken() is not None:
            return None
        found = self._body.run([*carries, *xs, *self._closed], length, self)
        return None if found is None else unflatten(self._result, found)

    def again(self, carries: list[Variable], xs: list[Variable], length: int) -> list[Variable]:
        """The same result by the function itself, step by step: needed for gradients of gradients."""
        cells = [(cell, _content(cell), value) for cell, _, value, *_ in self._parts if isinstance(cell, CellType)]
        carry = unflatten(self._start, carries)
        ys: list[list[Any]] = []
        try:
            # A variable around the function may have another value by now.
            for cell, _, value in cells:
                cell.cell_contents = value
            if (reason := self._guards.broken()) is not None:
                raise _core.GradError(f"scan: gradients of gradients run the function once more, and it has changed: {reason}")
            for i in range(length):
                carry, y = self._function(carry, unflatten(self._x, [x[i] for x in xs]))
                ys.append(leaves(y))
        finally:
            for cell, now, _ in cells:
                if now is _EMPTY:
                    del cell.cell_contents
                else:
                    cell.cell_contents = now
        return [*leaves(carry), *(_core.stack(list(column)) for column in zip(*ys, strict=True))]


class _Loops:
    """The bodies of a function, by the signatures of its arguments."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._found: dict[bytes | None, list[_Loop]] = {}
        self._failures: dict[bytes | None, int] = {}

    def run(self, key: bytes, carries: list[Variable], xs: list[Variable], length: int) -> tuple[Any, Any] | None:
        """The result by a recorded body; None when no body fits."""
        for loop in self._found.get(key, ()):
            if (done := loop.run(carries, xs, length)) is not None:
                return done
        return None

    def may_record(self, key: bytes) -> bool:
        full = len(self._found) >= _SIGNATURES and key not in self._found
        return not full and len(self._found.get(key, ())) < _VARIANTS and self._failures.get(key, 0) < _FAILURES

    def add(self, key: bytes | None, loop: _Loop) -> None:
        self._found.setdefault(key, []).append(loop)

    def fail(self, key: bytes | None) -> None:
        if len(self._failures) < _SIGNATURES:
            self._failures[key] = self._failures.get(key, 0) + 1


class _Step:
    """One recorded step."""

    def __init__(self, trace: Any, watch: Watch, parts: list[Any], x: Structure, result: Structure) -> None:
        self.trace, self.watch, self.parts, self.x, self.result = trace, watch, parts, x, result
        #: The guards of the step; None after a single recording.
        self.guards: Any = None

    def is_same(self, other: _Step) -> bool:
        """Whether another recording is the same program, run once more."""
        is_same = self.result == other.result and self.trace.difference(other.trace) is None
        return is_same and other.watch.beyond(self.watch) is None


def _recorded(f: Any, carry: Any, x: Any, last: _Step | None) -> tuple[Any, _Step | None]:
    """The result of a step, and its recording if it can be run again."""
    profile, collects = sys.getprofile(), gc.isenabled()
    # An outer recording watches the function itself, but not the work of recording it.
    sys.setprofile(None)
    # The garbage collector may run callbacks and finalizers at any moment: they are not part of the function.
    gc.disable()
    try:
        return _recorded_by(profile, f, carry, x, last)
    finally:
        _core._loop_abort()  # drops a recording that an error has ended
        sys.setprofile(profile)
        if collects:
            gc.enable()


def _recorded_by(outer: Any, f: Any, carry: Any, x: Any, last: _Step | None) -> tuple[Any, _Step | None]:
    """As `_recorded`; ``outer`` is the profile function of an outer recording, which also sees the calls of the function."""
    found: list[Any] = []
    carry_form = flatten(carry, found)
    count = len(found)
    x_form = flatten(x, found)
    inputs = _core._loop_inputs(found)
    living = _core._Living()
    try:
        state, watch = _outer_state(living), Watch(f, [], living, set())
        # The step gets new containers, so that a later check can see whether it keeps them.
        carry, x = unflatten(carry_form, inputs[:count]), unflatten(x_form, inputs[count:])
        held = [sys.getrefcount(v) for v in inputs]
        _core._loop_begin(inputs, living.variables)
        known = ([], []) if last is None else guards(last.watch)
        result = _watched(f, carry, x, watch, outer)
        if changed := _core._loop_changed(inputs):
            return _with_changes(result, changed, found, inputs), None
        kept = [v for v, n in zip(inputs, held, strict=True) if sys.getrefcount(v) > n]
        is_kept = bool(kept) and _is_held(kept, [result, carry, x], [inputs, living.variables, living.objects, kept, held])
        is_state = any(was[1] != now[1] for was, now in zip(state, _outer_state(living), strict=True))
        done = _finished(None if is_kept or is_state else result, inputs, count, living)
    finally:
        # The traceback of an error keeps this frame, which must not keep all objects of the process.
        living.forget()
    if done is None:
        return result, None
    step = _Step(done[0], watch, known[0], x_form, done[1])
    if last is not None:
        step.guards, _ = _guarded(step, *known)
    return result, step


def _with_changes(result: Any, changed: list[int], found: list[Any], inputs: list[Variable]) -> Any:
    """The result of a step that changed copies of its arguments: the changes are copied to the arguments."""
    _core._loop_abort()
    for i in changed:
        found[i][...] = inputs[i]
    of = {id(inputs[i]): found[i] for i in changed}
    return tree_map(lambda v: of.get(id(v), v), result)


def _watched(f: Any, carry: Any, x: Any, watch: Watch, outer: Any) -> Any:
    """Runs a step under the watch, and returns its result."""

    def profile(frame: Any, event: Any, arg: Any) -> None:
        if outer is not None:
            outer(frame, event, arg)
        watch(frame, event, arg)

    sys.setprofile(profile)
    try:
        return f(carry, x)
    finally:
        sys.setprofile(None)


def _is_held(inputs: list[Variable], containers: list[Any], own: list[Any]) -> bool:
    """Whether an object other than these containers and lists refers to one of the arguments of a step."""
    known = {id(own), id(containers), *map(id, own)}
    while containers:
        container = containers.pop()
        if id(container) in known:
            continue
        known.add(id(container))
        if isinstance(container, dict):
            containers += container.values()
        elif isinstance(container, (list, tuple)):
            containers += container
        elif not isinstance(container, Variable) and hasattr(container, "__dict__"):
            containers.append(vars(container))
    return any(id(h) not in known and not isinstance(h, (Variable, FrameType)) for h in gc.get_referrers(*inputs))


def _finished(result: Any, inputs: list[Variable], count: int, living: _core._Living) -> tuple[Any, Structure] | None:
    """Ends a recording, and returns it with the nesting of the result; None when the step cannot be run again."""
    found: list[Any] = []
    form = flatten(result, found)
    is_pair = isinstance(result, tuple) and len(result) == 2 and len(leaves(result[0])) == count
    if (
        not is_pair
        or not all(isinstance(v, Variable) for v in found)
        or any(s.kind == "module" for s in _walk(form))
        or _escaped(living, found)
    ):
        _core._loop_abort()
        return None
    trace = _core._loop_finish(found, inputs, living.variables, count)
    if isinstance(trace, str) or not trace.is_steady(found):
        return None
    return trace, form


class _Recorder:
    """Records steps of a loop until two recordings are equal."""

    def __init__(self, f: Any) -> None:
        self._function = f
        self._last: _Step | None = None
        self._count = 0
        self.is_done = False
        #: Whether another thread records.
        self.is_busy = False

    def step(self, carry: Any, x: Any) -> tuple[Any, _Step | None]:
        """The result of a step, and its recording when it equals that of the step before."""
        if self._count == 0:
            # The first call may create things once (caches, lazy parameters), so it is not recorded.
            self._count = 1
            return self._function(carry, x), None
        last, is_inside = self._last, _core._is_capturing()
        if not is_inside and not _RECORDING.acquire(blocking=False):
            self.is_done = self.is_busy = True
            return self._function(carry, x), None
        try:
            result, self._last = _recorded(self._function, carry, x, last)
        finally:
            if not is_inside:
                _RECORDING.release()
        self._count += 1
        self.is_done = self._last is None or self._count > _ATTEMPTS
        now = self._last
        if now is None or last is None or not last.is_same(now):
            return result, None
        self.is_done = True
        return result, now if now.guards is not None and now.guards.broken() is None else None


def _length(xs: Any, length: int | None) -> int:
    if length is not None and (length := operator.index(length)) < 0:
        raise ValueError(f"scan: length must not be negative, got {length}")
    arrays = leaves(xs)
    if any(x.ndim == 0 for x in arrays):
        raise _core.ShapeError("scan: an array of xs has no axis to go along; what is the same in all steps belongs to init")
    sizes = {int(x.shape[0]) for x in arrays}
    if length is not None:
        sizes.add(length)
    if len(sizes) != 1:
        raise _core.ShapeError(
            f"scan: the arrays of xs must have one first axis of the same size, and length= must be it; got {sorted(sizes)}"
            if sizes
            else "scan: without xs, pass length="
        )
    return sizes.pop()


class _Scan:
    """One call of `scan`."""

    def __init__(self, f: Any, carry: Any, xs: Any, n: int) -> None:
        self.f, self.start, self.n = f, carry, n
        self.xs: list[Any] = []
        self.form = flatten(xs, self.xs)
        self.carries: list[Any] = []
        self.carry_form = flatten(carry, self.carries)
        self.kept = [(c.shape, c.dtype) for c in self.carries]
        self.loops = _Loops(f)
        #: None for values inside a transformation.
        self.key: bytes | None = None

    def x(self, i: int) -> Any:
        return unflatten(self.form, [x[i] for x in self.xs])

    def known(self) -> tuple[Any, Any] | None:
        """The result by a body that an earlier call recorded."""
        signature = _core._signature((self.start, self.x(0)), {})
        if signature is None or _core._is_anomaly():
            return None
        self.key = signature[0]
        if _core._is_capturing():
            # An outer recording watches the function, so the function must run; the bodies kept on it are not used then.
            return None
        self.loops = _attribute(self.f, _LOOPS, lambda _: self.loops)
        return self.loops.run(self.key, self.carries, self.xs, self.n)

    def recorder(self) -> _Recorder | None:
        return _Recorder(self.f) if self.key is not None and self.loops.may_record(self.key) else None

    def checked(self, result: Any) -> tuple[Any, Any]:
        """The result of a step, after checks of its form, its shapes and its dtypes."""
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"scan: the function must return a pair (carry, y), got {type(result).__name__}")
        now = [(c.shape, c.dtype) for c in leaves(result[0])]
        if now != self.kept:
            raise _core.ShapeError(f"scan: the carry was {self.kept} and became {now}; it must keep its shapes and dtypes")
        return result

    def run(self) -> tuple[Any, Any]:
        recorder, body = None, self.f
        # Inside a recorded step this loop is part of the step.
        if self.n >= _LONG and not _core._is_in_loop():
            if (done := self.known()) is not None:
                return done
            recorder = self.recorder()
            body = self.f if recorder is not None else self.replayed()
        carry, outs, form = self.start, list[list[Any]](), None
        for i in range(self.n):
            if recorder is None:
                carry, y = self.checked(body(carry, self.x(i)))
            else:
                result, recorded = recorder.step(carry, self.x(i))
                carry, y = self.checked(result)
                if recorded is not None and (done := self.finished(recorded)) is not None:
                    return done
                if recorder.is_done:
                    if not recorder.is_busy:
                        self.loops.fail(self.key)
                    recorder, body = None, self.replayed()
            step: list[Any] = []
            form = flatten(y, step)
            outs.append(step)
        if form is None:
            return carry, self.no_results()
        return carry, unflatten(form, [_core.stack(list(column)) for column in zip(*outs, strict=True)])

    def no_results(self) -> Any:
        """The results of no steps: arrays whose first axis has size zero."""
        draws = Draws()
        x = unflatten(self.form, [_core.zeros(v.shape[1:], dtype=v.dtype) for v in self.xs])
        with no_grad(), draws:
            _, y = self.checked(self.f(tree_map(_core.zeros_like, self.start), x))
        return tree_map(lambda v: _core.zeros((0, *_core.asarray(v).shape), dtype=_core.asarray(v).dtype), y)

    def replayed(self) -> Any:
        """The body for a loop in Python: compiled, unless a recording or a transformation is active."""
        return self.f if _core._is_capturing() else _attribute(self.f, _KEPT, Compiled)

    def finished(self, step: _Step) -> tuple[Any, Any] | None:
        """The result of all steps by the body that was just recorded; None when it cannot be run."""
        if (body := step.trace.body()) is None:
            return None
        loop = _Loop(self.f, step, body, self.carry_form)
        done = loop.run(self.carries, self.xs, self.n)
        if done is not None and not _core._is_capturing():
            self.loops.add(self.key, loop)
        return done


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Runs ``carry, y = f(carry, x)`` for each ``x`` along the first axis of ``xs``: the last carry, and all ``y`` stacked.

    ``init`` and ``xs`` are Variables or nested containers of some; ``xs=None`` needs ``length``. The carry keeps its shapes and
    dtypes. Gradients of any order flow through it, to what ``f`` reads from outside, too. With ``reverse`` it goes from the last
    ``x`` to the first; each ``y`` still stands where its ``x`` does. ``unroll``, a hint for JAX's compiler, is accepted and has
    no effect. A loop of no steps runs ``f`` once, on zeros, to know the shapes of ``ys``.

    From 16 steps on the core runs the loop: two steps are recorded and compared (see :func:`compile`), and then all are run
    without Python, also in later calls with the same function. Inside of a compiled function the loop is one instruction. A
    function that reads elements, prints, draws random numbers or changes state runs step by step. Other effects on Python
    objects are not seen and happen in the first steps only.

    Raises ShapeError when the first axes differ, or the carry changes its shape, TypeError when f does not return a pair, and
    ValueError for a negative length.

    >>> tg.scan(lambda total, x: (total + x, total), tg.tensor(0.0), tg.Variable([1.0, 2.0, 3.0]))
    (Variable(6.), Variable([0., 1., 3.]))
    """
    if not callable(f):
        raise TypeError(f"scan: the first argument must be a function, not {type(f).__name__}")
    xs = tree_map(_core.asarray, xs)
    n = _length(xs, length)
    function = f._function if isinstance(f, Compiled) else f
    if reverse:
        xs = tree_map(_flipped, xs)
    carry, ys = _Scan(function, tree_map(_core.asarray, init), xs, n).run()
    return carry, tree_map(_flipped, ys) if reverse else ys


def _flipped(x: Variable) -> Variable:
    return _core.flip(x, axis=0)
