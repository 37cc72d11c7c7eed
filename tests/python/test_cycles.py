"""Cycles through the tape are collected, and objects in use are not."""

from __future__ import annotations

import functools
import gc
import os
import random
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

# Random objects refer to each other in all ways, and are asked for gradients that they do not have.
pytestmark = [
    pytest.mark.filterwarnings("ignore:grad. this Variable is a result:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*that holds Modules:UserWarning"),
]


class Held:
    """An object whose end a weak reference reports."""


class Keeps(tg.autograd.Function):
    """Doubles its argument, and keeps an object in its context."""

    @staticmethod
    def forward(ctx: Any, x: tg.Variable, held: object) -> tg.Variable:
        ctx.held = held
        ctx.save_for_backward(x)
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, g: tg.Variable) -> tuple[tg.Variable, None]:
        assert ctx.held is not None
        return g * 2.0, None


def leaf() -> tg.Variable:
    return tg.Variable([1.0, 2.0], requires_grad=True)


def ignore(held: object, g: tg.Variable) -> None:
    """A hook that only keeps something."""


def the_hook_keeps_its_handle() -> Any:
    y, probe = leaf() * 2.0, Held()
    handle = y.register_hook(lambda g: handle.remove() if probe else None)
    return probe


def a_module_keeps_the_handle_of_its_hook() -> Any:
    class Watches(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = tg.nn.Linear(2, 2)

        def forward(self, x: tg.Variable) -> tg.Variable:
            y = self.linear(x)
            self.handle = y.register_hook(self.seen)
            return tg.tanh(y)

        def seen(self, g: tg.Variable) -> None:
            self.last = g

    model = Watches()
    model(tg.Variable([[1.0, 2.0]]))
    return model


def a_module_keeps_its_output_too() -> Any:
    model = a_module_keeps_the_handle_of_its_hook()
    model.output = model(tg.Variable([[1.0, 2.0]]))
    return model


def a_hook_reaches_two_values_of_one_graph() -> Any:
    y, probe = leaf() * 2.0, Held()
    probe.values = [y, y * 2.0, y + y * y]  # type: ignore[attr-defined]
    y.register_hook(functools.partial(ignore, probe))
    return probe


def a_context_reaches_two_values_of_one_graph() -> Any:
    probe = Held()
    y = Keeps.apply(leaf(), probe)
    probe.values = [y, y * 2.0, [Keeps.apply(y, probe)]]  # type: ignore[attr-defined]
    return probe


def a_hook_stores_a_gradient_with_its_graph() -> Any:
    x, probe = leaf(), Held()
    y = x * x * x
    seen: list[Any] = [probe]
    y.register_hook(seen.append)
    tg.sum(y * y).backward(create_graph=True)
    assert seen[1].requires_grad
    return probe


def a_hook_of_a_leaf_stores_a_gradient_with_its_graph() -> Any:
    x, probe = leaf(), Held()
    seen: list[Any] = [probe]
    x.register_hook(seen.append)
    tg.sum(x * x * x).backward(create_graph=True)
    assert seen[1].requires_grad
    return probe


def a_retained_gradient_with_its_graph() -> Any:
    y = leaf() * 3.0
    y.retain_grad()
    tg.sum(y * y * y).backward(create_graph=True)
    assert y.grad is not None
    assert y.grad.requires_grad
    return y


def a_gradient_of_a_leaf_with_its_graph() -> Any:
    x = leaf()
    tg.sum(x * x * x).backward(create_graph=True)
    tg.sum(x * x).backward(create_graph=True)
    return x


def a_gradient_that_was_assigned() -> Any:
    x = leaf()
    (g,) = tg.autograd.grad(tg.sum(x * x * x), x, create_graph=True)
    x.grad = tg.Variable([0.0, 0.0])
    x.grad += g
    return x


def a_hook_of_a_leaf_reaches_its_graph() -> Any:
    x, probe = leaf(), Held()
    x.register_hook(functools.partial(ignore, probe))
    probe.values = [x, x * x, tg.sum(x)]  # type: ignore[attr-defined]
    return probe


def a_hook_of_a_parameter_reaches_its_optimizer() -> Any:
    x = leaf()
    optimizer = tg.optim.Adam([x])
    x.register_hook(functools.partial(ignore, optimizer))
    return optimizer


def an_iterator_over_rows() -> Any:
    y, probe = leaf() * 2.0, Held()
    probe.rows = iter(y)  # type: ignore[attr-defined]
    next(probe.rows)  # type: ignore[attr-defined]
    y.register_hook(functools.partial(ignore, probe))
    return probe


def objects_in_a_ring_of_graphs() -> Any:
    """Each graph's hook keeps the next graph."""
    probes = [Held() for _ in range(5)]
    values = [leaf() * 2.0 for _ in probes]
    for k, probe in enumerate(probes):
        probe.next = [values[(k + 1) % 5], values[(k + 1) % 5] * 3.0]  # type: ignore[attr-defined]
        values[k].register_hook(functools.partial(ignore, probe))
    return probes[0]


def a_compiled_function_reaches_its_result() -> Any:
    probe = Held()
    probe.step = tg.compile(lambda x: (probe, x * x)[1])  # type: ignore[attr-defined]
    for _ in range(4):
        probe.last = probe.step(leaf())  # type: ignore[attr-defined]
    assert len(probe.step.programs()) == 1  # type: ignore[attr-defined]
    return probe


def the_function_of_a_scan_reaches_its_result() -> Any:
    probe = Held()
    probe.last, _ = tg.scan(lambda c, x: (c * x, (probe, None)[1]), leaf(), tg.ones(20, 2))  # type: ignore[attr-defined]
    return probe


CASES = [
    the_hook_keeps_its_handle,
    a_module_keeps_the_handle_of_its_hook,
    a_module_keeps_its_output_too,
    a_hook_reaches_two_values_of_one_graph,
    a_context_reaches_two_values_of_one_graph,
    a_hook_stores_a_gradient_with_its_graph,
    a_hook_of_a_leaf_stores_a_gradient_with_its_graph,
    a_retained_gradient_with_its_graph,
    a_gradient_of_a_leaf_with_its_graph,
    a_gradient_that_was_assigned,
    a_hook_of_a_leaf_reaches_its_graph,
    a_hook_of_a_parameter_reaches_its_optimizer,
    an_iterator_over_rows,
    objects_in_a_ring_of_graphs,
    a_compiled_function_reaches_its_result,
    the_function_of_a_scan_reaches_its_result,
]


def live() -> int:
    gc.collect()
    return tg.tape_stats()["live_nodes"]


@pytest.mark.parametrize("make", CASES)
def test_a_cycle_is_collected(make: Callable[[], Any]) -> None:
    start = live()
    probes = [weakref.ref(make()) for _ in range(50)]
    assert live() == start
    assert [probe() for probe in probes] == [None] * 50


@pytest.mark.parametrize("make", CASES)
def test_what_is_in_use_is_kept(make: Callable[[], Any]) -> None:
    kept = make()
    before = {k: id(v) for k, v in vars(kept).items()} if hasattr(kept, "__dict__") else {}
    for _ in range(3):
        gc.collect()
    after = vars(kept) if hasattr(kept, "__dict__") else {}
    assert before == {k: id(v) for k, v in after.items()}
    for v in [kept, kept.grad if isinstance(kept, tg.Variable) else None, *after.values(), *getattr(kept, "values", [])]:
        if isinstance(v, tg.Variable):
            assert v.shape[-1:] == (2,) or v.ndim == 0
            assert v.requires_grad
            tg.sum(v).backward(retain_graph=True)


def test_hooks_and_contexts_work_after_a_collection() -> None:
    seen: list[float] = []
    x, held = leaf(), Held()
    y = Keeps.apply(x, held)
    z = tg.sum(y * y)
    y.register_hook(lambda g: seen.append(float(tg.sum(g))))
    x.register_hook(lambda g: seen.append(float(tg.sum(g))))
    del held, y
    gc.collect()
    z.backward()
    assert seen == [12.0, 24.0]


def test_a_hook_goes_with_its_node() -> None:
    """A handle of a hook keeps neither the hook nor the value alive, and removing a hook that is gone does nothing."""
    x, probe = leaf(), Held()
    y = x * 2.0
    handle = y.register_hook(functools.partial(ignore, probe))
    seen = weakref.ref(probe)
    del probe, y
    assert seen() is None
    z = x * 3.0
    handle.remove()
    assert z.requires_grad


def test_a_finalizer_may_bring_a_graph_back() -> None:
    """What an object of a cycle revives in its finalizer keeps its hooks and its context."""
    revived: list[tg.Variable] = []

    class Revives:
        def __del__(self) -> None:
            revived.append(self.value * 1.0)  # type: ignore[attr-defined]

    for make_hook in (True, False):
        x, last = leaf(), Revives()
        held = [last, "still here"]
        y = Keeps.apply(x, held) if not make_hook else x * 2.0
        if make_hook:
            y.register_hook(lambda g, held=held: g * len(held[1]))  # type: ignore[misc]
        last.value = y  # type: ignore[attr-defined]
        del y, held, last
        gc.collect()
        (z,) = revived
        tg.sum(z).backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full(2, 20.0 if make_hook else 2.0))
        revived.clear()
        del z


def test_callbacks_of_the_collector_may_change_the_tape() -> None:
    made: list[tg.Variable] = []
    x, probe = leaf(), Held()
    y = x * 2.0
    probe.values = [y, y * 2.0]  # type: ignore[attr-defined]
    y.register_hook(functools.partial(ignore, probe))
    box = [probe]
    ref = weakref.ref(probe)
    del probe, y

    def callback(phase: str, info: dict[str, int]) -> None:
        if box:
            made.append(box[0].values[0] * 5.0)  # type: ignore[attr-defined]
            box.clear()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)
    assert ref() is not None  # the graph is in use
    tg.sum(made[0]).backward()
    made.clear()
    gc.collect()
    assert ref() is None


# ---- random cycles ----


class World:
    """Objects, Variables, hooks, handles, contexts and Modules that refer to each other at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.objects: list[Any] = [Held() for _ in range(4)]
        self.values: list[tg.Variable] = [leaf() for _ in range(3)]

    def value(self) -> tg.Variable:
        return self.rng.choice(self.values)

    def thing(self) -> Any:
        return self.rng.choice([self.rng.choice(self.objects), self.value()])

    def attach(self, what: Any) -> None:
        target, name = self.rng.choice(self.objects), f"a{self.rng.randrange(4)}"
        if hasattr(target, name):
            delattr(target, name)  # a module refuses to lose a part to something else
        setattr(target, name, what)

    def step(self) -> None:  # noqa: PLR0912 - one branch an action
        rng = self.rng
        action = rng.randrange(11)
        if action == 0:
            self.values.append(self.value() * self.value())
        elif action == 1:
            held = Held()
            held.things = [self.thing(), self.thing()]  # type: ignore[attr-defined]
            self.values.append(Keeps.apply(self.value(), held))
        elif action == 2:
            v = self.value()
            if v.requires_grad:
                self.attach(v.register_hook(functools.partial(ignore, [self.thing(), self.thing()])))
        elif action == 3:
            store: list[Any] = [self.thing()]
            v = self.value()
            if v.requires_grad:
                v.register_hook(store.append)
            self.attach(store)
        elif action == 4:
            v = self.value()
            if v.requires_grad and not v.is_leaf:
                v.retain_grad()
        elif action == 5:
            v = self.value()
            if v.requires_grad:
                tg.sum(v).backward(create_graph=rng.random() < 0.7, retain_graph=True)
        elif action == 6:
            self.attach(self.thing())
        elif action == 7:
            model = tg.nn.Linear(2, 2)
            model.kept = self.thing()
            y = model(self.value().reshape(1, 2)).reshape(2)
            model.weight.register_hook(functools.partial(ignore, model))
            self.objects.append(model)
            self.values.append(y)
        elif action == 8:
            leaves = [v for v in self.values if v.is_leaf and v.requires_grad]
            self.attach(tg.optim.SGD([rng.choice(leaves)], lr=0.1))
        elif action == 9:
            g = self.value().grad
            if g is not None:
                self.attach(g)
        else:
            self.attach(iter(self.value()))

    def probes(self) -> list[weakref.ref[Any]]:
        return [weakref.ref(o) for o in (*self.objects, *self.values)]


def build(seed: int, steps: int) -> World:
    world = World(seed)
    for _ in range(steps):
        world.step()
    return world


@pytest.mark.parametrize("seed", range(int(60 * float(os.environ.get("TAPEGRAD_STRESS", "1")))))
def test_random_cycles_are_collected(seed: int) -> None:
    start = live()
    world = build(seed, 40)
    probes = world.probes()
    gc.collect()
    assert all(probe() is not None for probe in probes)
    # Half of the objects are dropped first; the others must still work.
    kept = world.rng.sample(world.values, 2)
    del world
    gc.collect()
    for v in kept:
        if v.requires_grad:
            tg.sum(v).backward(retain_graph=True)
    del v
    kept.clear()
    assert live() == start
    assert [probe() for probe in probes] == [None] * len(probes)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_busy_collector_clears_nothing_that_is_in_use() -> None:
    """Threads run backward passes over graphs with hooks and contexts, mostly without the GIL, while another collects."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(k: int) -> None:
        rng = random.Random(k)
        shared = tg.Variable(np.ones(70_000), requires_grad=True)
        try:
            for i in range(60):
                count: list[int] = []
                held = Held()
                held.values = values = []  # type: ignore[attr-defined]
                x = Keeps.apply(shared, held)
                y = x * shared
                values += [x, y, y * 2.0]
                y.register_hook(lambda g, count=count, held=held: count.append(len(held.values)))  # type: ignore[misc, attr-defined]
                handle = shared.register_hook(lambda g, count=count, held=held: count.append(len(held.values)))  # type: ignore[misc, attr-defined]
                root = tg.sum(values[rng.randrange(1, 3)])
                if i % 3 == 0:
                    values.clear()
                    values += [root, root]
                create = i % 5 == 0
                root.backward(create_graph=create)
                assert len(count) == 2, count
                assert shared.grad is not None
                shared.grad = None
                handle.remove()
        except BaseException as e:  # noqa: BLE001 - shown by the main thread
            failures.append(e)

    def collect() -> None:
        while not stop.is_set():
            gc.collect()

    start = live()
    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    collector = threading.Thread(target=collect)
    for thread in (*threads, collector):
        thread.start()
    for thread in threads:
        thread.join(240)
    stop.set()
    collector.join(60)
    assert not any(thread.is_alive() for thread in (*threads, collector))
    assert failures == []
    assert live() == start
