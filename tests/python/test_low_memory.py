"""Without memory there is a MemoryError, and nothing is lost: never an abort, never a panic.

Two ways lead there. ``_fail_allocation`` lets one allocation of the module fail, the first, the second and so on, so every place
that asks for memory is met. And child processes run under a limit of address space, where results exceed what is left.
"""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from sampling import sample as some_of
from tapegrad import _core

if TYPE_CHECKING:
    from collections.abc import Callable

F = tg.nn.functional
# What the module's reserve serves at most: smaller allocations never fail for the user.
SERVED = 64 << 10
ROWS = some_of("rows without memory", [row["path"] for row in _core.registry() if row["function"]], 150)


def each_failure(work: Callable[[], object], check: Callable[[], None], size: int, step: int = 1, most: int = 400) -> int:
    """Runs ``work`` with its first, second, … allocation of at least ``size`` bytes failing, until none is left to fail.

    Of small allocations there are many: then every ``step``-th is tried, and ``most`` at last.
    """
    for k in range(0, most * step, step):
        tg.empty_cache()
        _core._fail_allocation(k, size)
        try:
            work()
        except MemoryError:
            pass
        finally:
            left = _core._fail_allocation(-1)
        check()
        if left >= 0:
            return k
    assert step > 1, f"more than {most} allocations"
    return most


# Rows whose result has more elements than all arguments: their arguments grow less.
PRODUCTS = {
    "cdist",
    "convolve",
    "corrcoef",
    "correlate",
    "cov",
    "diag",
    "diagflat",
    "dot",
    "inner",
    "kron",
    "linear",
    "matmul",
    "meshgrid",
    "nn.functional.pdist",
    "one_hot",
    "outer",
    "repeat",
    "tensordot",
    "tile",
    *(row["path"] for row in _core.registry() if row["module"] == "linalg"),
}


def grown(value: Any, elements: int) -> Any:
    """A sample's argument with its first axis repeated: large enough that results leave the reserve."""
    if isinstance(value, tg.Variable) and value.ndim > 0 and value.size > 0:
        return tg.Variable(np.ascontiguousarray(np.repeat(value.numpy(), 1 + elements // value.size, axis=0)))
    return value


def tracked(value: Any) -> Any:
    if isinstance(value, list):
        return [tracked(v) for v in value]
    if isinstance(value, tg.Variable) and value.dtype.is_floating_point:
        return tg.Variable(value.numpy(copy=True), requires_grad=True)
    return value


def leaves(values: Any) -> list[tg.Variable]:
    found = []
    for v in values:
        if isinstance(v, list):
            found += leaves(v)
        elif isinstance(v, tg.Variable) and v.requires_grad:
            found.append(v)
    return found


@pytest.mark.parametrize("name", ROWS)
def test_every_allocation_of_every_row_may_fail(name: str) -> None:
    row = next(r for r in _core.registry() if r["path"] == name)
    f = _core._functions[name]
    samples = _core.samples(name)
    # Larger arguments meet the allocations that may fail, and the reserve serves the small ones of an operation.
    for size, sample in [*[(SERVED + 1, s) for s in samples[:3]], *[(1, s) for s in samples[-1:]]]:
        elements = 300 if name in PRODUCTS else 20_000
        values = [tracked(grown(v, elements) if size > 1 else v) for v in sample]
        names = [p["name"] for p in row["params"]]
        options = {n: v for n, v, p in zip(names, values, row["params"], strict=True) if p["keyword_only"]}
        each = row["params"][0]["kind"] == "Each"
        plain = [v for v, p in zip(values, row["params"], strict=True) if not p["keyword_only"]]
        if each:
            plain = [*plain[0]]
            options |= dict(zip(names[1:], values[1:], strict=True))
        inputs = leaves(values)

        def work(plain: list[Any] = plain, options: dict[str, Any] = options, inputs: list[Any] = inputs) -> None:
            out = f(*plain, **options)
            outs = [o for o in (out if isinstance(out, tuple) else (out,)) if isinstance(o, tg.Variable) and o.requires_grad]
            if outs:
                tg.autograd.grad(outs, inputs, [tg.ones_like(o) for o in outs], allow_unused=True)

        try:
            work()
        except (ValueError, TypeError, IndexError):
            continue  # a sample that cannot grow
        gc.collect()
        before = tg.tape_stats()
        kept = [v.numpy(copy=True) for v in inputs]

        def check(inputs: list[Any] = inputs, kept: list[Any] = kept, before: dict[str, int] = before) -> None:
            after = tg.tape_stats()
            assert (after["live_nodes"], after["saved_bytes"]) == (before["live_nodes"], before["saved_bytes"])
            assert all(x.grad is None for x in inputs)
            assert all(np.array_equal(x.numpy(), k, equal_nan=True) for x, k in zip(inputs, kept, strict=True))
            assert (tg.Variable([1.0, 2.0]) + 1).tolist() == [2.0, 3.0]

        each_failure(work, check, size, *((7, 12) if size == 1 else ()))
        work()


N = 10_000


def chain() -> None:
    x = tg.Variable(np.ones(4), requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.0
    y.sum().backward()


def training() -> None:
    p = [tg.Variable(np.ones(N), requires_grad=True) for _ in range(3)]
    for make in (tg.optim.SGD, tg.optim.Adam, tg.optim.AdamW, tg.optim.RMSprop):
        optimizer = make(p, lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            sum((x * x).sum() for x in p).backward()
            tg.nn.utils.clip_grad_norm_(p, 1.0)
            optimizer.step()


MANY = [tg.ones((2,)) for _ in range(N)]
WORK: dict[str, Callable[[], object]] = {
    "a long chain": chain,
    "training": training,
    "tolist": lambda: tg.ones((N,)).tolist(),
    "a list": lambda: tg.asarray([1.0] * N),
    "a range": lambda: tg.asarray(range(N)),
    "a list of arrays": lambda: tg.asarray([np.ones(2)] * N),
    "a flat roll": lambda: tg.roll(tg.ones((N, 2)), 3),
    "a mask": lambda: tg.ones((N,))[tg.ones((N,)) > 0],
    "index arrays": lambda: tg.ones((N, 2))[np.arange(N), np.zeros(N, int)],
    "assignment": lambda: tg.zeros((N,)).__setitem__(np.arange(N), 1.0),
    "unstack": lambda: tg.unstack(tg.ones((N, 2))),
    "split": lambda: tg.split(tg.ones((N,)), N),
    "split at places": lambda: tg.split(tg.ones((N,)), list(range(1, N))),
    "stack": lambda: tg.stack(MANY),
    "concat": lambda: tg.concat(MANY),
    "repeat": lambda: tg.repeat(tg.ones((N,)), [2] * N),
    "bernoulli": lambda: tg.random.bernoulli(tg.full((N,), 0.5)),
    "randn": lambda: tg.random.randn(N),
    "permutation": lambda: tg.random.permutation(N),
    "pickle": lambda: pickle.loads(pickle.dumps(tg.ones((N,)))),
    "text": lambda: repr(tg.random.randn(10, 100)) + str(tg.ones((N,))),
    "iteration": lambda: list(tg.ones((N, 2))),
    "numpy": lambda: tg.ones((N,)).numpy(copy=True),
    "products": lambda: F.linear(tg.ones((150, 150)) @ tg.ones((150, 150)), tg.ones((150, 150))),
    "dlpack": lambda: tg.from_dlpack(np.ones(N)).sum(),
}


@pytest.mark.parametrize("size", [SERVED + 1, 1])
@pytest.mark.parametrize("name", WORK)
def test_every_allocation_of_the_entry_points_may_fail(name: str, size: int) -> None:
    WORK[name]()
    gc.collect()
    before = tg.tape_stats()["live_nodes"]

    def check() -> None:
        assert tg.tape_stats()["live_nodes"] == before

    each_failure(WORK[name], check, size, *((997, 8) if size == 1 else ()))
    WORK[name]()


def test_a_failed_step_changes_nothing() -> None:
    for make in (lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9), tg.optim.Adam, tg.optim.RMSprop):
        p = [tg.Variable(np.full(N, 2.0), requires_grad=True) for _ in range(3)]
        sum((x * x).sum() for x in p).backward()
        optimizer = make(p)
        shared = [x.numpy() for x in p]  # makes the step copy

        def check(p: list[Any] = p, optimizer: Any = optimizer, shared: list[Any] = shared) -> None:
            values = {float(x.numpy()[0]) for x in p}
            assert len(values) == 1
            assert all((s == 2.0).all() for s in shared)
            changed = values != {2.0}
            assert len(optimizer.state) in ((3,) if changed else (0, 3))
            if changed:
                raise StopIteration

        with pytest.raises(StopIteration):
            each_failure(optimizer.step, check, SERVED + 1)


def test_a_failed_backward_adds_to_no_gradient() -> None:
    x, y = (tg.Variable(np.ones(N), requires_grad=True) for _ in range(2))
    (x * y).sum().backward()
    held = x.grad.numpy()  # the sum cannot be added to the buffer in place

    def work() -> None:
        (x * y * 2).sum().backward()

    def check() -> None:
        first, second = float(x.grad.numpy()[0]), float(y.grad.numpy()[0])
        assert first == second
        assert (held == 1.0).all()

    assert each_failure(work, check, SERVED + 1) > 1


# ---- child processes under a limit ----

CHILD = """
import gc, resource, sys
import numpy as np
import tapegrad as tg

F = tg.nn.functional
MB = 1 << 20

def limit(room):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))

def free():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

(tg.ones((300, 300)) @ tg.ones((300, 300))).sum()  # threads begin before the limit
"""


def in_child(body: str) -> str:
    program = CHILD + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "panicked" not in done.stderr, done.stderr[-2000:]
    return done.stdout


only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space")


@only_linux
def test_results_that_exceed_a_limit() -> None:
    out = in_child("""
    n = 1_000_000
    big = tg.ones((n,))
    two = tg.ones((n // 2, 2))
    numbers = [1.5] * n
    x = tg.Variable(np.ones(n), requires_grad=True)
    mask = tg.Variable(np.ones(n, bool))
    half = tg.full((n,), 0.5)
    work = {
        "tolist": lambda: big.tolist(),
        "roll": lambda: tg.roll(two, 5),
        "mask": lambda: big[mask],
        "list": lambda: tg.asarray(numbers),
        "unstack": lambda: tg.unstack(two),
        "split": lambda: tg.split(big, n),
        "iteration": lambda: list(two),
        "bernoulli": lambda: tg.random.bernoulli(half),
        "exp": lambda: tg.exp(x),
        "backward": lambda: (x * x).sum().backward(),
        "grad": lambda: tg.autograd.grad((x * x).sum(), [x]),
        "where": lambda: tg.where(mask, big, 0.0),
        "pickle": lambda: __import__("pickle").dumps(big),
        "copy": lambda: tg.array(big),
        "randn": lambda: tg.random.randn(n),
        "repeat": lambda: tg.repeat(big, 3),
        "take": lambda: tg.take(big, tg.arange(0, n)),
        "loss": lambda: F.mse_loss(x, big.astype(tg.float64)),
        "argmax": lambda: tg.argmax(two, axis=1),
        "text": lambda: str(big),
        "views": lambda: [big[i:] for i in range(200_000)],
        "nodes": lambda: [x[0] * 1.0 for _ in range(30_000)],
        "softmax": lambda: tg.softmax(two, axis=1),
        "matmul": lambda: two @ two.T[:, :30],
        "stack": lambda: tg.stack([x[i] for i in range(30_000)]).sum().backward(),
    }
    failed = 0
    for name, f in work.items():
        for room in (1, 4, 12, 40):
            tg.empty_cache()
            gc.collect()
            limit(room * MB)
            try:
                f()
            except MemoryError:
                failed += 1
            finally:
                free()
            assert x.grad is None or float(x.grad.numpy()[0]) in (1.0, 2.0)
            x.grad = None
            gc.collect()
            assert tg.tape_stats()["live_nodes"] == 0, name
            assert (tg.Variable([1.0]) + 1).tolist() == [2.0], name
    print(failed)
    """)
    assert int(out) > 20


@only_linux
@pytest.mark.parametrize(
    "what", ["x * 1.0", "x[1:]", "(x * x).sum()", "x.reshape(2, 2)", "tg.ones((4,))", "tg.ones((1000,))", "x.detach()"]
)
def test_keeping_results_until_memory_ends(what: str) -> None:
    in_child(f"""
    x = tg.Variable(np.ones(4), requires_grad=True)
    for room in (2, 5, 11):
        kept = []
        limit(room * MB)
        try:
            while True:
                kept.append({what})
        except MemoryError:
            pass
        free()
        del kept
        gc.collect()
        assert tg.tape_stats()["live_nodes"] == 0
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0] * 4
        x.grad = None
    """)
