"""Several threads, forks, and results that do not depend on the number of threads."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 4
F64 = tg.float64


@pytest.fixture
def threads_restored() -> Iterator[None]:
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def together(work: Callable[[int], Any]) -> list[Any]:
    """``work(0)``, ``work(1)``, … in threads that start at the same moment."""
    barrier = threading.Barrier(THREADS)

    def run(k: int) -> Any:
        barrier.wait(30)
        return work(k)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS), timeout=120))


def test_threads_with_graphs_of_their_own() -> None:
    def train(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        w = tg.Variable(rng.standard_normal((8, 8)), requires_grad=True)
        x = tg.Variable(rng.standard_normal((16, 8)))
        optimizer = tg.optim.Adam([w], lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            tg.mean(tg.square(tg.tanh(x @ w) - x)).backward()
            optimizer.step()
        return w.numpy(copy=True)

    alone = [train(k) for k in range(THREADS)]
    for got, want in zip(together(train), alone):
        np.testing.assert_array_equal(got, want)


def test_a_shared_parameter_gets_every_gradient() -> None:
    w = tg.Variable(np.ones(100), requires_grad=True)

    def work(k: int) -> None:
        for _ in range(200):
            tg.sum(w * float(k + 1)).backward()

    together(work)
    # Small whole numbers add up exactly in any order.
    np.testing.assert_array_equal(w.grad.numpy(), np.full(100, 200.0 * sum(range(1, THREADS + 1))))


def test_one_graph_walked_by_several_threads() -> None:
    x = tg.Variable(np.arange(50.0), requires_grad=True)
    y = tg.sum(x * x * x)

    def work(k: int) -> list[np.ndarray]:
        return [tg.autograd.grad(y, x, retain_graph=True)[0].numpy() for _ in range(50)]

    for gradients in together(work):
        for g in gradients:
            np.testing.assert_array_equal(g, 3 * np.arange(50.0) ** 2)


def test_one_backward_wins() -> None:
    for _ in range(50):
        x = tg.Variable(2.0, dtype=F64, requires_grad=True)
        y = tg.exp(x * 3.0) * x

        def work(k: int, y: tg.Variable = y) -> bool:
            try:
                y.backward()
            except tg.FreedError:
                return False
            return True

        wins = sum(together(work))
        assert wins >= 1
        assert x.grad.item() == pytest.approx(wins * 7 * np.exp(6.0))


def test_switches_belong_to_their_threads() -> None:
    x = tg.Variable(1.0, requires_grad=True)

    def work(k: int) -> bool:
        for _ in range(500):
            with tg.set_grad_enabled(k % 2 == 0):
                if tg.exp(x).requires_grad != (k % 2 == 0):
                    return False
            if not tg.exp(x).requires_grad:
                return False
        return True

    assert together(work) == [True] * THREADS


def test_a_graph_may_be_dropped_by_another_thread() -> None:
    graphs: list[Any] = []
    x = tg.Variable(np.ones(1000), requires_grad=True)
    before = tg.tape_stats()["live_nodes"]
    together(lambda k: graphs.extend(tg.tanh(x) * float(k) for _ in range(100)))
    total = tg.sum(graphs[0] + graphs[-1])
    total.backward()
    del total
    together(lambda k: [graphs.pop() for _ in range(100)] and None)
    assert not graphs
    assert tg.tape_stats()["live_nodes"] <= before


# ---- fork ----


def work_to_share() -> list[np.ndarray]:
    """Operations large enough for several threads."""
    x = tg.Variable(np.linspace(-1, 1, 512 * 512).reshape(512, 512), requires_grad=True)
    y = tg.sum(tg.softmax(x @ x, axis=-1) * x)
    y.backward()
    return [y.detach().numpy(copy=True), x.grad.numpy(copy=True)]


def wait_for(pid: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_parent_and_child_go_on_after_a_fork(threads: int) -> None:
    tg.set_num_threads(threads)
    before = work_to_share()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            same = all((a == b).all() for a, b in zip(work_to_share(), before))
            tg.set_num_threads(3)
            again = all((a == b).all() for a, b in zip(work_to_share(), before))
            code = 0 if same and again else 2
        finally:
            os._exit(code)
    after = work_to_share()
    assert wait_for(pid, 60) == 0
    for a, b in zip(after, before):
        np.testing.assert_array_equal(a, b)


# ---- the same bits ----


def product(rng: np.random.Generator, dtype: str) -> list[tg.Variable]:
    a, b = (tg.Variable(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in ((301, 517), (517, 203)))
    y = a @ b
    return [y, *tg.autograd.grad(y, [a, b], tg.Variable(rng.standard_normal((301, 203)).astype(dtype)))]


def total(rng: np.random.Generator, dtype: str) -> list[tg.Variable]:
    x = tg.Variable(rng.standard_normal((1031, 517)).astype(dtype), requires_grad=True)
    outer = tg.Variable(rng.standard_normal(517).astype(dtype), requires_grad=True)
    everything, rows, columns = tg.sum(x * outer), tg.sum(x, axis=1), tg.sum(x, axis=0)
    return [everything, rows, columns, *tg.autograd.grad(everything, [x, outer])]


def soft(rng: np.random.Generator, dtype: str) -> list[tg.Variable]:
    x = tg.Variable((10 * rng.standard_normal((1031, 517))).astype(dtype), requires_grad=True)
    results = []
    for f in (tg.softmax, tg.log_softmax):
        for axis in (0, 1):
            y = f(x, axis=axis)
            results += [y, *tg.autograd.grad(tg.sum(y * y), x)]
    return results


def network(rng: np.random.Generator, dtype: str) -> list[tg.Variable]:
    """The gradients of a classifier, large enough for its loops to be shared."""
    tg.random.manual_seed(0)
    x = tg.Variable(rng.standard_normal((256, 300)).astype(dtype))
    layers = [tg.nn.Linear(300, 512), tg.nn.Tanh(), tg.nn.Linear(512, 512), tg.nn.ReLU(), tg.nn.Linear(512, 100)]
    model = tg.nn.Sequential(*layers).to(dtype)
    targets = tg.Variable(rng.integers(0, 100, 256))
    loss = tg.nn.functional.cross_entropy(model(x), targets)
    return [loss, *tg.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("work", [product, total, soft, network])
def test_the_number_of_threads_does_not_change_a_bit(work: Callable[..., list[tg.Variable]], dtype: str) -> None:
    expected: list[bytes] = []
    for threads in (1, 2, 3, 4):
        tg.set_num_threads(threads)
        assert tg.get_num_threads() == threads
        got = [v.detach().numpy().tobytes() for v in work(np.random.default_rng(0), dtype)]
        expected = expected or got
        assert got == expected, f"{threads} threads"


@pytest.mark.parametrize("threads", [0, -1, -(2**70)])
def test_there_is_a_thread_at_least(threads: int) -> None:
    before = tg.get_num_threads()
    with pytest.raises(ValueError, match=f"set_num_threads: expected at least 1 thread, got {threads}"):
        tg.set_num_threads(threads)
    with pytest.raises(TypeError, match="integer"):
        tg.set_num_threads(1.5)  # type: ignore[arg-type]
    assert tg.get_num_threads() == before


def test_more_threads_than_there_can_be_are_as_many_as_there_can_be() -> None:
    before = tg.get_num_threads()
    tg.set_num_threads(2**70)
    try:
        assert tg.get_num_threads() >= before
    finally:
        tg.set_num_threads(before)


def test_the_number_of_threads_for_a_while() -> None:
    before = tg.get_num_threads()
    with tg.num_threads(before + 2):
        assert tg.get_num_threads() == before + 2
        with pytest.raises(ValueError, match="at least 1 thread"), tg.num_threads(0):
            pass
    assert tg.get_num_threads() == before
    with pytest.raises(KeyError), tg.num_threads(before + 1):
        raise KeyError
    assert tg.get_num_threads() == before
