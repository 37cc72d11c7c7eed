"""No memory leaks: long chains, long runs, the values that each operation saves, cycles."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

STATM = Path("/proc/self/statm")
resource = pytest.importorskip("resource")
F64 = tg.float64
MILLION = 1_000_000
LONG = 100_000


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def live() -> int:
    return tg.tape_stats()["live_nodes"]


def in_a_small_stack(work: Callable[[], None]) -> None:
    """Runs ``work`` in a thread of 256 KiB of stack: recursion along a graph would overflow it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:  # noqa: BLE001 - shown by the thread that waits
            failures.append(e)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if failures:
        raise failures[0]


def chain(x: tg.Variable) -> tg.Variable:
    y = x
    for _ in range(MILLION // 2):
        y = y + 1.0
        y = y * 1.0
    return y


@pytest.mark.parametrize("end", ["backward", "retained", "drop", "drop in a cycle"])
def test_a_chain_of_a_million_nodes(end: str) -> None:
    gc.collect()
    start = live()

    def work() -> None:
        x = tg.Variable(1.0, dtype=F64, requires_grad=True)
        y = chain(x)
        assert live() - start >= MILLION
        if end in {"backward", "retained"}:
            y.backward(retain_graph=end == "retained")
            assert x.grad.item() == 1.0
        if end == "drop in a cycle":
            cycle: list[Any] = [y]
            cycle.append(cycle)

    in_a_small_stack(work)
    gc.collect()
    assert live() == start


def test_a_graph_as_wide_as_long() -> None:
    """A ladder, whose paths are too many to walk and whose nodes are not."""
    start = live()

    def work() -> None:
        x = tg.Variable(1.0, dtype=F64, requires_grad=True)
        y = x
        for _ in range(100_000):
            y = y * 0.5 + y * 0.5
        y.backward()
        assert x.grad.item() == 1.0

    in_a_small_stack(work)
    assert live() == start


# ---- long runs ----


def flat(step: Callable[[], object], iterations: int, slack: int = 2**20) -> None:
    """Live nodes, saved bytes and resident memory are the same after ``iterations`` more steps."""
    for _ in range(1000):
        step()
    gc.collect()
    before, memory = tg.tape_stats(), resident_bytes() if STATM.exists() else 0
    for _ in range(iterations):
        step()
    gc.collect()
    assert tg.tape_stats() == before
    if STATM.exists():
        assert resident_bytes() - memory < slack


def mlp() -> tuple[Any, tg.Variable, tg.Variable]:
    nn = tg.nn
    tg.random.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    return net, tg.random.randn(8, 4), tg.Variable(np.arange(8) % 2)


@pytest.mark.slow
def test_training_100000_steps() -> None:
    net, x, y = mlp()
    optimizer = tg.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        tg.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    flat(step, LONG)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_steady_step_asks_the_system_for_nothing(threads: int) -> None:
    """After the first steps all memory comes from the pool: no new block, and no page that is touched for the first time."""
    rng = np.random.default_rng(0)
    model = tg.nn.Sequential(tg.nn.Linear(512, 1024), tg.nn.ReLU(), tg.nn.Linear(1024, 512), tg.nn.Tanh(), tg.nn.Linear(512, 10))
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    x = tg.Variable(rng.standard_normal((256, 512)).astype("float32"))
    y = tg.Variable(rng.integers(0, 10, 256))

    def steps(n: int) -> tuple[int, int]:
        """The number of blocks taken from the system, and of pages touched for the first time."""
        calls, faults = tg.memory_stats()["system_calls"], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(n):
            optimizer.zero_grad()
            tg.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        return tg.memory_stats()["system_calls"] - calls, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults

    with tg.num_threads(threads):
        steps(5)
        gc.collect()
        # On a busy machine a second thread may come late, and then it brings buffers of its own, once.
        rounds = [steps(20) for _ in range(1 if threads == 1 else 8)]
    calls, faults = min(rounds)
    assert calls == 0
    # A step works on 20 MB: 5000 pages of 4 KiB. What the interpreter does beside it is allowed a few.
    assert faults < 200


@pytest.mark.slow
def test_100000_forwards_without_a_backward() -> None:
    net, x, _ = mlp()
    flat(lambda: net(x), LONG)


@pytest.mark.slow
def test_100000_views_and_slices() -> None:
    x = tg.Variable(np.arange(256.0).reshape(16, 16), requires_grad=True)
    rows = np.array([3, 1, 3])

    def step() -> None:
        y = x[2:9, ::3].T.reshape(-1)[1:]
        z = tg.sum(y[::-1]) + tg.sum(x[rows]) + tg.sum(tg.split(x, 4)[2])
        z.backward()
        x.grad = None
        _ = x.detach()[1:3].numpy()[0]
        _ = tg.broadcast_to(x[0], (4, 16))[1]

    flat(step, LONG)


def test_errors_leave_nothing() -> None:
    x, wrong = tg.Variable(np.ones((20, 30)), requires_grad=True), tg.ones((7, 7))

    def step() -> None:
        y = tg.exp(x) * x
        with pytest.raises(tg.ShapeError):
            y @ wrong
        with pytest.raises(tg.GradError):
            y.backward()

    flat(step, 1000)


# ---- what is saved ----

N = 100 * 8
SAVED: list[tuple[str, Any, int]] = [
    ("add", lambda x, y: x + y, 0),
    ("subtract", lambda x, y: x - y, 0),
    ("negative", lambda x, y: -x, 0),
    ("add a number", lambda x, y: x + 1.0, 0),
    ("scale", lambda x, y: 3.0 * x, 0),
    ("multiply", lambda x, y: x * y, 2 * N),
    ("multiply by a constant", lambda x, y: x * y.detach(), N),
    ("divide by a number", lambda x, y: x / 4.0, 0),
    ("sum", lambda x, y: tg.sum(x), 0),
    ("mean", lambda x, y: tg.mean(x), 0),
    ("relu", lambda x, y: tg.relu(x), N),
    ("exp", lambda x, y: tg.exp(x), N),
    ("tanh", lambda x, y: tg.tanh(x), N),
    ("sigmoid", lambda x, y: tg.sigmoid(x), N),
    ("sin", lambda x, y: tg.sin(x), N),
    ("log", lambda x, y: tg.log(x), N),
    ("softmax", lambda x, y: tg.softmax(x, axis=-1), N),
    ("matmul", lambda x, y: x @ y.T, 2 * N),
    ("matmul with a constant", lambda x, y: x @ y.detach().T, N),
    ("reshape", lambda x, y: tg.reshape(x, (-1,)), 0),
    ("transpose", lambda x, y: x.T, 0),
    ("slice", lambda x, y: x[2:5], 0),
    ("concat", lambda x, y: tg.concat([x, y]), 0),
    ("broadcast", lambda x, y: tg.broadcast_to(x, (3, 10, 10)), 0),
    ("astype", lambda x, y: x.astype(tg.float32), 0),
]


@pytest.mark.parametrize(("name", "f", "saved"), SAVED, ids=[row[0] for row in SAVED])
def test_saved_bytes(name: str, f: Any, saved: int) -> None:
    x, y = (tg.Variable(np.full((10, 10), 0.5), requires_grad=True) for _ in range(2))
    before = tg.tape_stats()["saved_bytes"]
    out = f(x, y)
    assert tg.tape_stats()["saved_bytes"] - before == saved
    total = tg.sum(out)
    total.backward()
    assert tg.tape_stats()["saved_bytes"] == before
    with tg.no_grad():
        f(x, y)
        assert tg.tape_stats()["saved_bytes"] == before


# ---- who keeps whom ----


class Held:
    """An object whose end a weak reference reports."""


def test_a_graph_is_freed_with_its_last_reference() -> None:
    start, x = tg.tape_stats(), tg.Variable(np.ones(100), requires_grad=True)
    y = tg.exp(x)
    parts = [tg.sum(y * float(k)) for k in range(5)]
    full = live()
    parts.pop()
    assert live() < full
    kept = parts[0]
    parts.clear()
    del y
    assert live() > start["live_nodes"]
    assert tg.tape_stats()["saved_bytes"] > start["saved_bytes"]
    kept.backward()
    assert tg.tape_stats()["saved_bytes"] == start["saved_bytes"]
    del kept, x
    assert tg.tape_stats()["live_nodes"] == start["live_nodes"]


@pytest.mark.parametrize("walk", [True, False])
@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_cycle_through_a_hook_is_collected(on_leaf: bool, walk: bool) -> None:
    gc.collect()
    start = live()

    def make() -> weakref.ref[Held]:
        x, held = tg.Variable([1.0, 2.0], requires_grad=True), Held()
        y = tg.exp(x)
        held.everything = [x, y]  # type: ignore[attr-defined]
        (x if on_leaf else y).register_hook(lambda g: None if held else g)
        if walk:
            tg.sum(y).backward()
        return weakref.ref(held)

    held = make()
    gc.collect()
    assert held() is None
    assert live() == start


@pytest.mark.parametrize("early", [True, False])
def test_a_cycle_through_a_leafs_hook_and_its_graph_is_collected(early: bool) -> None:
    gc.collect()
    start = live()

    def make() -> weakref.ref[Held]:
        x, held = tg.Variable([1.0, 2.0], requires_grad=True), Held()
        if early:
            x.register_hook(lambda g: None if held else g)
        held.output = tg.sum(tg.exp(x * x) + x)  # type: ignore[attr-defined]
        if not early:
            x.register_hook(lambda g: None if held else g)
        x.register_hook(lambda g: None if held else g)
        return weakref.ref(held)

    held = make()
    gc.collect()
    assert held() is None
    assert live() == start


def test_a_hook_lives_as_long_as_a_graph_of_its_leaf() -> None:
    seen: list[float] = []

    class Sees(list[Any]):
        def __call__(self, g: tg.Variable) -> None:
            seen.append(g.item())

    for early in (True, False):
        x, sees = tg.Variable(3.0, requires_grad=True), Sees()
        sees.append(sees)  # garbage that only a collector finds
        if early:
            x.register_hook(sees)
        y = x * x
        if not early:
            x.register_hook(sees)
        sees.append(x)
        probe = weakref.ref(sees)
        del x, sees
        gc.collect()
        y.backward()
        del y
        gc.collect()
        assert probe() is None
    assert seen == [6.0, 6.0]


@pytest.mark.parametrize("walk", [True, False])
def test_a_cycle_through_a_function_is_collected(walk: bool) -> None:
    class Keeps(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Variable, held: Held) -> tg.Variable:
            ctx.held = held
            ctx.save_for_backward(x)
            return x * 2.0

        @staticmethod
        def backward(ctx: Any, g: tg.Variable) -> tuple[tg.Variable, None]:
            return g * 2.0, None

    gc.collect()
    start = live()

    def make() -> weakref.ref[Held]:
        x, held = tg.Variable([1.0, 2.0], requires_grad=True), Held()
        held.output = tg.sum(Keeps.apply(x, held))  # type: ignore[attr-defined]
        if walk:
            held.output.backward(retain_graph=True)  # type: ignore[attr-defined]
        return weakref.ref(held)

    held = make()
    gc.collect()
    assert held() is None
    assert live() == start


def test_a_gradient_that_is_its_own_graph_is_dropped() -> None:
    gc.collect()
    start = live()
    x = tg.Variable(np.ones(10), requires_grad=True)
    for _ in range(10):
        (g,) = tg.autograd.grad(tg.sum(tg.exp(x) * x), x, create_graph=True)
        tg.sum(g * g).backward()
        x.grad = None
    del g, x
    gc.collect()
    assert live() == start
