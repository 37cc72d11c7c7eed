"""tg.compile and Python: dependences, effects and results of functions, compared with the function itself."""

from __future__ import annotations

import array
import collections
import contextvars
import copy
import dataclasses
import functools
import gc
import io
import itertools
import operator
import pickle
import random
import re
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim


def shown(x: Any) -> Any:
    """A result in a form that can be compared: types, dtypes, whether it is tracked, bytes."""
    if isinstance(x, tg.Variable):
        return str(x.dtype), x.shape, x.requires_grad, x.detach().numpy().tobytes()
    if isinstance(x, dict):
        return type(x).__name__, {k: shown(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [shown(v) for v in x]
    return type(x).__name__, repr(x)


def calls(make: Callable[[], tuple[Any, Any]], compiled: bool, count: int = 15) -> tuple[list[Any], str]:
    """The results of calls, between which something may change, and the reasons and programs of the recordings."""
    tg.manual_seed(3)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - what users call
    f, change = make()
    run = tg.compile(f) if compiled else f
    seen = []
    for i in range(count):
        seen.append(shown(run(tg.asarray(np.arange(3.0) + i))))
        if change is not None and i % 5 == 4:
            change(i)
    return seen, run.explain() if compiled else ""


# --- Dependences of a function: they change after the fifth call and after the tenth. ---------------------------------


class Slots:
    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 1.0


@dataclasses.dataclass(slots=True)
class Settings:
    rate: float = 1.0


class Config:
    values = (1.0,)
    rate = 1.0

    def __init__(self) -> None:
        self.table = {"deep": [1.0]}

    def scaled(self, x: Any) -> Any:
        return x * 2

    @property
    def twice(self) -> float:
        return 2.0

    @classmethod
    def by_class(cls, x: Any) -> Any:
        return x * cls.rate


def value(i: int) -> float:
    return float(i // 5 + 2)


def _slots() -> Any:
    o = Slots()
    return (lambda x: x * o.rate), lambda i: setattr(o, "rate", value(i))


def _dataclass() -> Any:
    o = Settings()
    return (lambda x: x * o.rate), lambda i: setattr(o, "rate", value(i))


def _nested(o: Any, key: Any) -> Any:
    return (lambda x: x * o[key][0]), lambda i: operator.setitem(o[key], 0, value(i))


def _class_of_my_own() -> type:
    return type("Mine", (Config,), {"values": [1.0], "rate": 1.0})


def _class_list() -> Any:
    c = _class_of_my_own()
    return (lambda x: x * c.values[0]), lambda i: operator.setitem(c.values, 0, value(i))


def _deep_attribute() -> Any:
    o = Config()
    return (lambda x: x * o.table["deep"][0]), lambda i: operator.setitem(o.table["deep"], 0, value(i))


def _method() -> Any:
    c = _class_of_my_own()
    o = c()
    return (lambda x: o.scaled(x)), lambda i: setattr(c, "scaled", lambda self, x: x * value(i))


def _property() -> Any:
    c = _class_of_my_own()
    o = c()
    return (lambda x: x * o.twice), lambda i: setattr(c, "twice", property(lambda self: value(i)))


def _class_method() -> Any:
    c = _class_of_my_own()
    return (lambda x: c.by_class(x)), lambda i: setattr(c, "rate", value(i))


def _operator() -> Any:
    c = _class_of_my_own()
    c.__neg__ = lambda self: 1.0
    o = c()
    return (lambda x: x * -o), lambda i: setattr(c, "__neg__", lambda self: value(i))


def _module(edit: Callable[[Any, float], None], f: Callable[[Any], Any]) -> Any:
    m: Any = types.ModuleType("mine")
    m.rate, m.table, m.sub, m.f = 1.0, {"a": 1.0}, types.ModuleType("mine.sub"), lambda x: x
    m.sub.rate = 1.0
    return f(m), lambda i: edit(m, value(i))


def _code() -> Any:
    def g(x: Any) -> Any:
        return x * 2

    return (lambda x: g(x)), lambda i: setattr(g, "__code__", (lambda x: x * 5).__code__)


def _defaults() -> Any:
    def g(x: Any, k: float = 1.0) -> Any:
        return x * k

    return (lambda x: g(x)), lambda i: setattr(g, "__defaults__", (value(i),))


def _keyword_defaults() -> Any:
    def g(x: Any, *, k: float = 1.0) -> Any:
        return x * k

    return (lambda x: g(x)), lambda i: g.__kwdefaults__.update(k=value(i))


def _mutable_default() -> Any:
    def g(x: Any, k: Any = [1.0]) -> Any:  # noqa: B006 - what is tested
        return x * k[0]

    return (lambda x: g(x)), lambda i: operator.setitem(g.__defaults__[0], 0, value(i))


def _function_attribute() -> Any:
    def g(x: Any) -> Any:
        return x * g.rate  # type: ignore[attr-defined]

    g.rate = 1.0  # type: ignore[attr-defined]
    return g, lambda i: setattr(g, "rate", value(i))


def _partial() -> Any:
    o, more = [1.0], types.SimpleNamespace(rate=1.0)
    f = functools.partial(lambda k, x, more: x * k[0] * more.rate, o, more=more)

    def change(i: int) -> None:
        o[0] = value(i)
        more.rate = value(i)

    return f, change


def _by_name(get: Callable[[Any], Any]) -> Any:
    o = types.SimpleNamespace(rate=1.0)
    return (lambda x: x * get(o)), lambda i: setattr(o, "rate", value(i))


def _buffer(o: Any) -> Any:
    return (lambda x: x * float(o[0])), lambda i: operator.setitem(o, 0, int(value(i)))


def _deque() -> Any:
    o = collections.deque([1.0], maxlen=2)
    return (lambda x: x * o[-1]), lambda i: o.append(value(i))


def _array_as_variable() -> Any:
    o = np.ones(3)
    return (lambda x: x * tg.asarray(o)), lambda i: o.fill(value(i))


def _keys() -> Any:
    o = {"a": 1.0, "b": 2.0}
    return (lambda x: x * (3.0 if "a" in o else 5.0)), lambda i: o.update(c=o.pop("a", 0.0))


def _variables() -> Any:
    o = [[tg.ones(3)]]
    return (lambda x: x * o[0][0]), lambda i: operator.setitem(o[0], 0, tg.full((3,), value(i)))


def _sign_of_zero() -> Any:
    o = types.SimpleNamespace(rate=0.0)
    return (lambda x: x * o.rate), lambda i: setattr(o, "rate", -0.0)


class Hooked:
    """Any attribute is looked up in a dict, and a missing one raises KeyError."""

    def __init__(self) -> None:
        self.table = {"rate": 1.0}

    def __getattr__(self, name: str) -> Any:
        return self.table[name]


def _hooked() -> Any:
    o = Hooked()
    return (lambda x: x * o.rate), lambda i: o.table.update(rate=value(i))


def _twins() -> Any:
    """Two functions of one code."""

    def make(k: float) -> Any:
        def g(x: Any) -> Any:
            return x * k

        def change(new: float) -> None:
            nonlocal k
            k = new

        return g, change

    (a, _), (b, change) = make(1.0), make(1.5)
    made = types.SimpleNamespace(f=lambda x: a(x) + b(x))
    return made.f, lambda i: change(value(i))


def _cache() -> Any:
    o = types.SimpleNamespace(rate=1.0)

    @functools.lru_cache
    def rate(times: float) -> float:
        return o.rate * times

    def change(i: int) -> None:
        o.rate = value(i)
        rate.cache_clear()

    return (lambda x: x * rate(2.0)), change


def _cached_property() -> Any:
    class Cached:
        base = 1.0

        @functools.cached_property
        def rate(self) -> float:
            return self.base * 2.0

    o = Cached()

    def change(i: int) -> None:
        o.base = value(i)
        del o.rate

    return (lambda x: x * o.rate), change


def _as_argument() -> Any:
    o, f = Slots(), lambda x, o: x * o.rate
    return functools.partial(_call_with, [None], f, o), lambda i: setattr(o, "rate", value(i))


def _call_with(made: list[Any], f: Any, o: Any, x: Any) -> Any:
    return f(x, o)


DEPENDS: dict[str, Callable[[], Any]] = {
    "slots": _slots,
    "dataclass": _dataclass,
    "dict in dict": lambda: _nested({"a": {0: 1.0}}, "a"),
    "list in list": lambda: _nested([[1.0]], 0),
    "list in tuple": lambda: _nested(([1.0],), 0),
    "list in a class": _class_list,
    "list in a dict of an attribute": _deep_attribute,
    "method of a class": _method,
    "property": _property,
    "class method": _class_method,
    "operator of a class": _operator,
    "attribute of a module": lambda: _module(lambda m, v: setattr(m, "rate", v), lambda m: lambda x: x * m.rate),
    "attribute of a submodule": lambda: _module(lambda m, v: setattr(m.sub, "rate", v), lambda m: lambda x: x * m.sub.rate),
    "dict of a module": lambda: _module(lambda m, v: m.table.update(a=v), lambda m: lambda x: x * m.table["a"]),
    "function of a module": lambda: _module(lambda m, v: setattr(m, "f", lambda x: x * v), lambda m: lambda x: m.f(x)),
    "code": _code,
    "defaults": _defaults,
    "keyword defaults": _keyword_defaults,
    "mutable default": _mutable_default,
    "attribute of a function": _function_attribute,
    "partial": _partial,
    "getattr": lambda: _by_name(lambda o: getattr(o, "rate")),  # noqa: B009 - what is tested
    "vars": lambda: _by_name(lambda o: vars(o)["rate"]),
    "__dict__": lambda: _by_name(lambda o: o.__dict__["rate"]),
    "attrgetter": lambda: _by_name(operator.attrgetter("rate")),
    "element of a NumPy array": lambda: _buffer(np.ones(3)),
    "element of a long NumPy array": lambda: _buffer(np.ones(3000)),
    "element of an array": lambda: _buffer(array.array("d", [1.0])),
    "byte": lambda: _buffer(bytearray(b"\x01")),
    "deque": _deque,
    "NumPy array as a Variable": _array_as_variable,
    "keys of a dict": _keys,
    "Variables in lists": _variables,
    "sign of zero": _sign_of_zero,
    "argument": _as_argument,
    "two functions of one code": _twins,
    "attributes by a hook": _hooked,
    "cache of a function": _cache,
    "cached property": _cached_property,
}


@pytest.mark.parametrize("name", DEPENDS)
def test_what_a_function_depends_on_is_guarded(name: str) -> None:
    want, _ = calls(DEPENDS[name], compiled=False)
    got, why = calls(DEPENDS[name], compiled=True)
    assert got == want, why
    assert len({repr(w) for w in want}) > 1
    assert "recorded:" in why, why


def test_objects_among_the_arguments_are_guarded() -> None:
    o = Slots()
    f = tg.compile(lambda x, *, config: x * config.rate)
    for i in range(12):
        o.rate = value(i)
        assert f(tg.ones(1), config=o).item() == value(i)
    assert f.programs()


def test_attributes_that_no_code_names_may_change() -> None:
    """Regression: a trainer with a schedule and counters was recorded again in each call."""

    class Trainer:
        def __init__(self) -> None:
            tg.manual_seed(0)
            self.net = nn.Linear(3, 1)
            self.optimizer = optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
            self.schedule = optim.lr_scheduler.StepLR(self.optimizer, 2)
            self.count, self.history = 0, list[float]()

        def step(self, x: tg.Variable) -> tg.Variable:
            self.optimizer.zero_grad()
            loss = (self.net(x) ** 2).mean()
            loss.backward()
            self.optimizer.step()
            return loss.detach()

        def fit(self, compiled: bool) -> Any:
            step = tg.compile(self.step) if compiled else self.step
            for i in range(12):
                self.history.append(step(tg.full((2, 3), 0.1 * i)).item())
                self.count += 1
                self.schedule.step()
            return step

    a, b = Trainer(), Trainer()
    a.fit(compiled=False)
    run = b.fit(compiled=True)
    assert a.history == b.history
    assert len(run.programs()) == 1, run.explain()


# --- Functions with effects that no program repeats: they run in Python, with a reason. --------------------------------


def _sometimes(draw: Callable[[], float]) -> Any:
    return (lambda x: x * (1.0 if draw() < 0.8 else 5.0)), None


def _until(n: Callable[[], float]) -> Any:
    return (lambda x: x * (1.0 if n() < 8 else 5.0)), None


def _generated() -> Any:
    for _ in range(8):
        yield 1.0
    while True:
        yield 9.0


def _deep_counter() -> Any:
    o = {"a": {"n": [0]}}

    def n() -> float:
        o["a"]["n"][0] += 1
        return o["a"]["n"][0]

    return _until(n)


def _slot_counter() -> Any:
    o = Slots()

    def n() -> float:
        o.rate += 1
        return o.rate

    return _until(n)


def _array_counter() -> Any:
    o = {"n": [np.zeros(1)]}

    def n() -> float:
        o["n"][0][0] += 1
        return o["n"][0][0]

    return _until(n)


def _draws_of_numpy() -> Any:
    generator = np.random.default_rng(0)
    return _sometimes(generator.random)


def _draws_of_a_random() -> Any:
    mine = random.Random(0)
    return _sometimes(lambda: mine.random())


def _context() -> Any:
    variable = contextvars.ContextVar("rate", default=1.0)
    return (lambda x: x * variable.get()), lambda i: variable.set(value(i))


def _lines() -> Any:
    lines = io.StringIO("1\n" * 8 + "5\n" * 9)
    return (lambda x: x * float(lines.readline())), None


def _clock() -> Any:
    return (lambda x: x * (1.0 if time.time() > 0 else 2.0)), None


def _counted(count: Any) -> Any:
    return (lambda x: x * (1.0 if next(count) < 8 else 5.0)), None


EFFECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "random": (lambda: _sometimes(random.random), "draws from Python's random"),
    "a random of its own": (_draws_of_a_random, "draws from"),
    "numpy.random": (lambda: _sometimes(np.random.rand), r"numpy\.random|constant|other ways"),
    "a generator of NumPy": (_draws_of_numpy, "draws from"),
    "count": (lambda: _counted(itertools.count()), "iterator"),
    "generator": (lambda: _counted(_generated()), "iterator"),
    "deep counter": (_deep_counter, r"changes what it depends on: the content of o\['a'\]\['n'\]"),
    "counter in a slot": (_slot_counter, "changes what it depends on: o.rate"),
    "counter in an array": (_array_counter, "changes what it depends on"),
    "context variable": (_context, "context variable"),
    "lines of a file": (_lines, "file|iterator"),
    "clock": (_clock, "asks for the time"),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_not_repeated_runs_as_ever(name: str) -> None:
    make, reason = EFFECTS[name]
    want, _ = calls(make, compiled=False)
    got, why = calls(make, compiled=True)
    assert got == want, why
    assert "recorded:" not in why, why
    assert re.search(reason, why), why


def test_effects_on_objects_of_the_caller() -> None:
    deep, sink, of_argument = {"a": [list[int]()]}, io.StringIO(), types.SimpleNamespace(seen=[], count=0)

    def append(x: Any) -> Any:
        deep["a"][0].append(1)
        return x * 2

    def write(x: Any) -> Any:
        sink.write("a")
        return x * 2

    def count(x: Any, o: Any = of_argument) -> Any:
        o.count += 1
        o.seen.append(1)
        return x * 2

    def warn(x: Any) -> Any:
        warnings.warn("careful", stacklevel=1)
        return x * 2

    with warnings.catch_warnings(record=True) as log:
        warnings.simplefilter("always")
        for f in (append, write, count, warn):
            run = tg.compile(f)
            for _ in range(7):
                run(tg.ones(2), of_argument) if f is count else run(tg.ones(2))
    assert len(deep["a"][0]) == len(sink.getvalue()) == of_argument.count == len(of_argument.seen) == 7
    assert len([w for w in log if "careful" in str(w.message)]) == 7


@pytest.mark.parametrize(
    ("leave", "restore", "ask"),
    [
        (lambda: tg.set_default_dtype(tg.float64), lambda: tg.set_default_dtype(tg.float32), tg.get_default_dtype),
        (lambda: tg.set_grad_enabled(False), lambda: tg.set_grad_enabled(True), tg.is_grad_enabled),
        (lambda: tg.set_num_threads(1), lambda: tg.set_num_threads(2), tg.get_num_threads),
    ],
    ids=["dtype", "gradients", "threads"],
)
def test_modes_that_a_function_leaves_behind(leave: Any, restore: Any, ask: Any) -> None:
    before = tg.get_num_threads()

    def f(x: Any) -> Any:
        leave()
        return x * 2

    run = tg.compile(f)
    try:
        for _ in range(6):
            restore()
            was = ask()
            run(tg.ones(2))
            assert ask() != was
        assert "it changes" in run.explain()
    finally:
        tg.set_default_dtype(tg.float32)
        tg.set_grad_enabled(True)
        tg.set_num_threads(before)


# --- Errors. ----------------------------------------------------------------------------------------------------------


def test_errors_that_the_function_catches() -> None:
    """Regression: a replay raised an error that the function itself would have caught."""

    def f(x: Any, at: Any) -> Any:
        try:
            return x[at]
        except IndexError:
            return x * 0

    run = tg.compile(f)
    for i in range(9):
        at = tg.asarray([0, 9 if i == 6 else 1])
        assert shown(run(tg.arange(3.0), at)) == shown(f(tg.arange(3.0), at))
    assert run.programs()


# --- Results. ---------------------------------------------------------------------------------------------------------


def test_the_same_value_twice_is_one_variable() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        return y, [y]

    run = tg.compile(f)
    for _ in range(6):
        a, (b,) = run(tg.ones(2))
        assert a is b
    assert run.programs()


def test_views_among_the_results_stay_views() -> None:
    w = nn.Parameter(tg.ones(3))

    def with_part(x: Any) -> Any:
        y = x * 2
        return y[1:], y

    for f in (lambda x: x[1:], with_part, lambda _: w.detach()):
        run, seen = tg.compile(f), []
        for i in range(6):
            a, b = tg.full((3,), float(i)), tg.full((3,), float(i))
            for x, g in ((a, run), (b, f)):
                w.data = tg.ones(3)
                out = g(x)
                (out[0] if isinstance(out, tuple) else out).mul_(3)
                seen.append(shown([x, out, w]))
            assert seen[-1] == seen[-2]
        assert "returns a view" in run.explain()


def test_gradients_among_the_results_are_the_gradients() -> None:
    w = nn.Parameter(tg.ones(3))

    def f(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return w.grad, [w.grad]

    run = tg.compile(f)
    for i in range(6):
        g, _ = run(tg.full((3,), float(i)))
        g.mul_(2)
        assert w.grad is not None
        assert w.grad.tolist() == [2.0 * i] * 3
    assert len(run.programs()) == 1, run.explain()


def test_a_loss_whose_graph_is_gone_is_still_tracked() -> None:
    w = nn.Parameter(tg.ones(3))

    def f(x: Any) -> Any:
        loss = (w * x).sum()
        loss.backward()
        return loss

    run = tg.compile(f)
    for _ in range(6):
        loss = run(tg.ones(3))
        assert loss.requires_grad
        assert not loss.is_leaf
        with pytest.raises(tg.FreedError):
            (loss * 2).backward()
    assert run.programs()


def test_results_that_are_tracked_although_gradients_are_off() -> None:
    w = nn.Parameter(tg.ones(3))

    def f(x: Any) -> Any:
        with tg.enable_grad():
            return (w * x).sum()

    run = tg.compile(f)
    for i in range(6):
        with tg.no_grad():
            out = run(tg.full((3,), float(i)))
        w.grad = None
        out.backward()
        assert w.grad is not None
        assert w.grad.tolist() == [float(i)] * 3
    assert run.programs()


def test_arguments_that_are_made_of_each_other() -> None:
    """Regression: the gradient of one argument also flowed through the other one."""
    w = nn.Parameter(tg.ones(3))
    f = lambda x, y: (tg.sin(x) * y).sum()  # noqa: E731
    run = tg.compile(f)
    for _ in range(6):
        found = []
        for g in (run, f):
            a = w * 2
            w.grad = None
            g(a, a + 1).backward()
            found.append(shown(w.grad))
        assert found[0] == found[1]
    assert run.programs()


def _leaf(x: Any) -> Any:
    return (x * 2).detach().requires_grad_()


def _retained(x: Any) -> Any:
    y = x * nn.Parameter(tg.ones(3))
    y.retain_grad()
    return y


@pytest.mark.parametrize("f", [_leaf, _retained])
def test_results_that_collect_gradients(f: Any) -> None:
    run = tg.compile(f)
    for _ in range(6):
        y = run(tg.ones(3))
        (y * y).sum().backward()
        assert y.grad is not None
    assert "not replayed" in run.explain()


@pytest.mark.parametrize("kind", [collections.OrderedDict, functools.partial(collections.defaultdict, list)])
def test_results_in_containers_of_other_kinds(kind: Any) -> None:
    run = tg.compile(lambda x: kind({"a": x * 2}))
    types_ = {type(run(tg.ones(2))) for _ in range(6)}
    assert types_ == {type(kind())}


def test_a_container_that_was_there_before() -> None:
    kept = {"n": 1}
    run = tg.compile(lambda x: (x * 2, kept))
    assert all(run(tg.ones(2))[1] is kept for _ in range(6))


# --- Arguments. -------------------------------------------------------------------------------------------------------


def test_numbers_of_numpy_are_numbers() -> None:
    """Regression: they became Variables, which promote dtypes in another way."""
    f = lambda x, k: x * k  # noqa: E731
    run = tg.compile(f)
    for k in (np.float64(2), np.float32(3), np.int64(4), np.bool_(True)):
        for _ in range(4):
            assert shown(run(tg.ones(3), k)) == shown(f(tg.ones(3), k))
    assert len(run.programs()) == 4


def test_a_new_argument_that_is_changed_in_place_has_a_reason() -> None:
    def f(x: Any) -> Any:
        x.mul_(2)
        return x.sum()

    run = tg.compile(f)
    kept = []
    for i in range(7):
        kept.append(tg.full((3,), float(i)))
        assert run(kept[-1]).item() == 6.0 * i
        assert kept[-1].tolist() == [2.0 * i] * 3


# --- Copies, threads. -------------------------------------------------------------------------------------------------


@tg.compile
def doubled(x: Any) -> Any:
    return x * 2


def test_copies_and_pickles() -> None:
    net = nn.Linear(3, 2)
    run = tg.compile(net)
    x = tg.ones(2, 3)
    for _ in range(4):
        run(x)
    for other in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        want = shown(net(x))
        assert [shown(other(x)) for _ in range(4)] == [want] * 4
        with tg.no_grad():
            other.weight.zero_()
        assert shown(run(x)) == want
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    assert copy.copy(doubled) is doubled


def test_another_thread_that_trains_is_no_part_of_a_recording() -> None:
    other, mine = nn.Linear(4, 4), nn.Linear(4, 1)
    rates = optim.SGD(mine.parameters(), lr=0.01)
    stop = threading.Event()

    def background() -> None:
        while not stop.is_set():
            other.zero_grad()
            (other(tg.ones(2, 4)) ** 2).sum().backward()

    def step(x: Any) -> Any:
        rates.zero_grad()
        loss = (mine(x) ** 2).sum()
        loss.backward()
        rates.step()
        return loss.detach()

    run = tg.compile(step)
    thread = threading.Thread(target=background)
    thread.start()
    try:
        for _ in range(8):
            run(tg.ones(5, 4))
    finally:
        stop.set()
        thread.join()
    for _ in range(4):
        (other(tg.ones(2, 4)) ** 2).sum().backward()
        was = shown([p.grad for p in other.parameters()])
        run(tg.ones(5, 4))
        assert shown([p.grad for p in other.parameters()]) == was
    assert run.programs(), run.explain()


def test_a_failed_recording_keeps_nothing_and_ends() -> None:
    class Held:
        pass

    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("the second call")
        return x * 2

    step, held = tg.compile(f), Held()
    gone = weakref.ref(held)
    step(tg.ones(2))
    with pytest.raises(RuntimeError) as error:
        step(tg.ones(2))
    del held
    assert gone() is None, f"{error.value!r} keeps objects of the process alive"
    assert not tg._core._is_capturing()


def test_a_result_that_cannot_be_taken_apart_runs_in_python() -> None:
    def f(x: Any) -> Any:
        out = [x * 2]
        out.append(out)
        return out

    step = tg.compile(f)
    for _ in range(5):
        out = step(tg.ones(2))
        assert out[1] is out
    assert "its result cannot be taken apart: RecursionError" in step.explain()
    assert not tg._core._is_capturing()


def test_a_function_that_stays_in_python_keeps_no_recording() -> None:
    seen: list[int] = []

    def f(x: Any) -> Any:
        seen.append(0)
        return x * 2, len(seen)

    step = tg.compile(f)
    for _ in range(6):
        step(tg.ones(3))
    (site,) = step._sites.values()
    assert site.given_up is not None
    assert site.first is None


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64, np.random.SFC64])
def test_any_generator_of_numpy_is_compared(generator: Any) -> None:
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(generator(1))
    try:
        plain, drawing = tg.compile(lambda x: x * 2), tg.compile(lambda x: x * np.random.rand())  # noqa: NPY002 - what users call
        for _ in range(4):
            assert plain(tg.ones(2)).tolist() == [2.0, 2.0]
            drawing(tg.ones(2))
        assert plain.explain().startswith("recorded:")
        assert "numpy.random" in drawing.explain()
    finally:
        np.random.set_bit_generator(before)


@pytest.mark.parametrize("collects", [False, True])
def test_a_variable_that_is_kept_elsewhere_is_found(collects: bool) -> None:
    kept: dict[str, Any] = {}

    def f(x: Any) -> Any:
        kept["last"] = y = x * 2
        kept["other"] = functools.partial(len, y)
        if collects:
            gc.collect()  # new objects are not in the youngest generation after it
        return y + 1

    step = tg.compile(f)
    for _ in range(4):
        step(tg.ones(2))
        assert kept.pop("last").tolist() == kept.pop("other").args[0].tolist() == [2.0, 2.0]
    assert "it keeps a new Variable of shape (2,) outside of its results" in step.explain()


@pytest.mark.parametrize("method", [False, True])
def test_an_object_gets_another_class(method: bool) -> None:
    class Doubles:
        factor = 2.0

        def of(self, x: Any) -> Any:
            return x * self.factor

    class Trebles(Doubles):
        factor = 3.0

    scale = Doubles()
    step = tg.compile((lambda x: scale.of(x)) if method else (lambda x: x * scale.factor))
    for _ in range(4):
        assert step(tg.ones(1)).item() == 2.0
    assert step.explain().startswith("recorded:")
    scale.__class__ = Trebles
    assert step(tg.ones(1)).item() == 3.0
