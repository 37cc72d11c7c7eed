"""tg.scan: loops that the core runs, against the same loops written out in Python."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad._tree import leaves

N = 20


def normal(*shape: int, seed: int = 0, dtype: Any = tg.float64) -> tg.Variable:
    return tg.asarray(np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def written_out(f: Any, init: Any, xs: Any = None, length: int | None = None) -> Any:
    """The loop in Python, with the operations of an eager call."""
    tree = tg.tree.map
    n = length if length is not None else leaves(xs)[0].shape[0]
    carry, ys = init, []
    for i in range(n):
        carry, y = f(carry, tree(lambda x, i=i: x[i], xs))
        ys.append(y)
    return carry, tree(lambda *all_ys: tg.stack(all_ys), *ys)


def bits(x: Any) -> list[tuple[Any, ...]]:
    return [(v.dtype, v.shape, v.detach().numpy().tobytes()) for v in leaves(x)]


def bodies(f: Any) -> int:
    """How many bodies of the function the core runs."""
    loops = getattr(f, "_tapegrad_scan_loops", None)
    return sum(len(found) for found in loops._found.values()) if loops is not None else 0


def total(x: Any) -> tg.Variable:
    terms = [(v.abs() ** 2).sum() for v in leaves(x) if v.dtype.is_floating_point]
    return sum(terms[1:], terms[0])


W, B = normal(3, 3, seed=1) * 0.4, normal(3, seed=2)


def rnn(h: Any, x: Any) -> Any:
    h = tg.tanh(h @ W + x + B)
    return h, h * 2


def nested(carry: Any, x: Any) -> Any:
    position, count = carry["position"], carry["count"]
    position = position + 0.1 * tg.sin(x[0]) * W[0]
    return {"position": position, "count": count + 1}, (position.sum(), {"x": x[1], "none": None})


def strided(h: Any, x: Any) -> Any:
    m = (h.T @ W.T) * 0.3 + x[:, None]
    return m.T, m.T.reshape(-1)[::2]


def selected(h: Any, x: Any) -> Any:
    h = tg.where(x > 0, h * 0.5 + x, h - x)
    return h, (h > 0, tg.argmax(h))


CASES = {
    "rnn": (rnn, normal(2, 3), normal(N, 2, 3, seed=5)),
    "nested": (nested, {"position": normal(3), "count": tg.tensor(0)}, [normal(N, 3, seed=6), normal(N, 2, 2, seed=7)]),
    "strided": (strided, normal(3, 3), normal(N, 3, seed=8)),
    "selected": (selected, normal(4), normal(N, 4, seed=9)),
    "passed on": (lambda c, x: ((c[1], c[1]), c[0] + x), (normal(2), normal(2, seed=3)), normal(N, 2, seed=4)),
    "x is the carry": (lambda c, x: (x, c * x), normal(2), normal(N, 2, seed=4)),
    "a constant": (lambda c, x: (c * tg.tensor([0.5, 2.0], dtype=tg.float64), (x, B)), normal(2), normal(N, 2)),
    "outside returned": (lambda c, x: (B, c + x), normal(3), normal(N, 3)),
    "no carry": (lambda c, x: (c, x * 2), None, normal(N, 2)),
    "no result": (lambda c, x: (c + x, None), normal(2), normal(N, 2)),
    "transposed rows": (lambda c, x: (c + x.sum(axis=0), x * c), normal(3), normal(3, N, 4).transpose(1, 2, 0)),
    "empty": (lambda c, x: (c + x, x), normal(0), normal(N, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_bits_as_the_loop_in_python(name: str) -> None:
    f, init, xs = CASES[name]
    want = written_out(f, init, xs)
    for _ in range(2):
        got = tg.scan(f, init, xs)
        assert bits(got) == bits(want)
        assert tg.tree.structure(got) == tg.tree.structure(want)
    assert bodies(f) == 1


def gradients(scan: Any, f: Any, init: Any, xs: Any, outside: list[Any], order: int) -> list[np.ndarray]:
    init, xs = (tg.tree.map(lambda v: v.detach().requires_grad_() if v.dtype.is_floating_point else v, t) for t in (init, xs))
    inputs = [v for v in [*leaves(init), *leaves(xs), *outside] if v.requires_grad]
    value = total(scan(f, init, xs))
    for _ in range(order - 1):
        first = tg.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
        value = sum((tg.sin(g) * g).sum() for g in first if g is not None and g.requires_grad)
    found = tg.autograd.grad(value, inputs, allow_unused=True)
    return [np.zeros(v.shape) if g is None else g.numpy() for v, g in zip(inputs, found, strict=True)]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", [n for n in CASES if n not in ("selected",)])
def test_gradients(name: str, order: int) -> None:
    f, init, xs = CASES[name]
    outside = [W, B]
    for v in outside:
        v.requires_grad_()
    try:
        for _ in range(2):
            got, want = (gradients(s, f, init, xs, outside, order) for s in (tg.scan, written_out))
            for a, b in zip(got, want, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        assert bodies(f) >= 1
    finally:
        for v in outside:
            v.requires_grad_(False)


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.complex128])
def test_dtypes(dtype: Any) -> None:
    w = normal(3).astype(dtype).requires_grad_()

    def f(h: Any, x: Any) -> Any:
        h = h * 0.5 + tg.sin(w * x)
        return h, h * w

    for _ in range(2):
        init, xs = tg.zeros(3, dtype=dtype), normal(N, 3, seed=1).astype(dtype)
        got, want = tg.scan(f, init, xs), written_out(f, init, xs)
        assert bits(got) == bits(want)
        a, b = (tg.autograd.grad((r[1] * r[1]).abs().sum(), w)[0].numpy() for r in (got, want))
        np.testing.assert_allclose(a, b, rtol=5e-2 if dtype == tg.float16 else 1e-5)
    assert bodies(f) == 1


def test_parameters_of_modules_are_read_in_each_call() -> None:
    tg.manual_seed(0)
    cell = nn.LSTMCell(4, 3)
    optimizer = optim.SGD(cell.parameters(), lr=0.1)

    def f(state: Any, x: Any) -> Any:
        state = cell(x, state)
        return state, state[0]

    init, xs = (tg.zeros(2, 3), tg.zeros(2, 3)), normal(N, 2, 4, dtype=tg.float32)
    for _ in range(4):
        found = []
        for scan in (tg.scan, written_out):
            optimizer.zero_grad()
            _, ys = scan(f, init, xs)
            (ys**2).mean().backward()
            found.append(([p.grad.numpy().copy() for p in cell.parameters()], bits(ys)))
        (got, a), (want, b) = found
        assert a == b
        for x, y in zip(got, want, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7)
        optimizer.step()
    assert bodies(f) == 1


def test_the_body_is_noticed_when_it_changes() -> None:
    rate = 0.5

    def f(h: Any, x: Any) -> Any:
        return h * rate + x, h

    xs = normal(N, 2)
    for value in (0.5, 0.5, 0.25, 0.25, 2.0):
        rate = value
        assert bits(tg.scan(f, tg.zeros(2, dtype=tg.float64), xs)) == bits(written_out(f, tg.zeros(2, dtype=tg.float64), xs))
    assert bodies(f) == 3

    scale = tg.tensor([1.0, 2.0], dtype=tg.float64)

    def g(h: Any, x: Any) -> Any:
        return h + x * scale, h

    tg.scan(g, tg.zeros(2, dtype=tg.float64), xs)
    scale = tg.tensor([3.0, 4.0], dtype=tg.float64)
    assert bits(tg.scan(g, tg.zeros(2, dtype=tg.float64), xs)) == bits(written_out(g, tg.zeros(2, dtype=tg.float64), xs))
    scale *= 2
    assert bits(tg.scan(g, tg.zeros(2, dtype=tg.float64), xs)) == bits(written_out(g, tg.zeros(2, dtype=tg.float64), xs))


def test_what_cannot_be_recorded_runs_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    count = 0

    def keeps(h: Any, x: Any) -> Any:
        seen.append(h)
        return h + x, h

    def counts(h: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        return h + x * count, h

    def decides(h: Any, x: Any) -> Any:
        return (h + x, h) if x.sum().item() > 0 else (h - x, h)

    def prints(h: Any, x: Any) -> Any:
        print("step")
        return h + x, h

    total_of = tg.zeros(2, dtype=tg.float64)

    def changes(h: Any, x: Any) -> Any:
        nonlocal total_of
        total_of += x
        return h + total_of, h

    xs, init = normal(N, 2), tg.zeros(2, dtype=tg.float64)
    for f in (keeps, counts, decides, prints, changes):
        for _ in range(2):
            count, total_of = 0, tg.zeros(2, dtype=tg.float64)
            got = tg.scan(f, init, xs)
            count, total_of = 0, tg.zeros(2, dtype=tg.float64)
            assert bits(got) == bits(written_out(f, init, xs)), f.__name__
        assert bodies(f) == 0, f.__name__
    assert len(seen) == 4 * N
    assert capsys.readouterr().out.count("step") == 4 * N


def test_arguments_that_are_changed_in_place() -> None:
    def carry(h: Any, x: Any) -> Any:
        h += x
        return h, h * 2

    def both(h: Any, x: Any) -> Any:
        h += x
        return h, h

    def row(h: Any, x: Any) -> Any:
        x *= 2
        return h + x, h

    for f in (carry, both, row):
        found = []
        for scan in (tg.scan, written_out):
            h, xs = normal(2) * 1.0, normal(N, 2, seed=1) * 1.0
            found.append(bits((scan(f, h, xs), h, xs)))
        assert found[0] == found[1], f.__name__
        assert bodies(f) == 0


def test_random_numbers_come_in_the_order_of_the_loop() -> None:
    def f(h: Any, x: Any) -> Any:
        h = h + tg.random.normal(size=(2,)) * x
        return h, tg.nn.functional.dropout(h, 0.5)

    xs = normal(40, 2, dtype=tg.float32)
    for _ in range(3):
        tg.manual_seed(5)
        got = tg.scan(f, tg.zeros(2), xs)
        after = tg.random.normal(size=(2,))
        tg.manual_seed(5)
        assert bits(got) == bits(written_out(f, tg.zeros(2), xs))
        assert bits(after) == bits(tg.random.normal(size=(2,)))


def test_one_instruction_of_a_compiled_function() -> None:
    w = normal(2, seed=2).requires_grad_()

    def f(h: Any, xs: Any, scale: Any) -> Any:
        inner = tg.exp(scale)

        def cell(h: Any, x: Any) -> Any:
            h = tg.tanh(w * h + x * inner)
            return h, h * x

        last, ys = tg.scan(cell, h * 2, xs)
        value = (last * ys).sum()
        return value.detach(), ys.detach(), tg.autograd.grad(value, [w])[0]

    def written(h: Any, xs: Any, scale: Any) -> Any:
        inner = tg.exp(scale)
        return written_out(lambda h, x: 2 * (tg.tanh(w * h + x * inner),), h * 2, xs)[1] * xs

    sizes = []
    for n in (20, 60):
        compiled = tg.compile(f)
        for i in range(6):
            h, xs, scale = normal(2, seed=i), normal(n, 2, seed=i + 9), normal(2, seed=i + 30)
            got, want = compiled(h, xs, scale), f(h, xs, scale)
            assert bits(got) == bits(want)
            assert bits(got[1]) == bits(written(h, xs, scale).detach())
        (program,) = compiled.programs()
        assert program.listing().count(" = scan") == 1
        sizes.append(len(program.listing().splitlines()))
    assert sizes[0] == sizes[1] < 20


def test_a_compiled_function_is_recorded_once_for_a_body_that_is_kept() -> None:
    xs = normal(N, 2, 3)
    tg.scan(rnn, normal(2, 3), xs)
    compiled = tg.compile(lambda h, xs: tg.scan(rnn, h, xs))
    for i in range(5):
        h = normal(2, 3, seed=i)
        assert bits(compiled(h, xs)) == bits(written_out(rnn, h, xs))
    assert "anew" not in compiled.explain()
    assert compiled.programs()[0].listing().count("scan") == 1


def test_training_with_a_scan_in_a_compiled_step() -> None:
    def train(compiled: bool) -> Any:
        tg.manual_seed(1)
        cell, head = nn.GRUCell(3, 4), nn.Linear(4, 1)
        optimizer = optim.Adam([*cell.parameters(), *head.parameters()], lr=0.01)

        def step(xs: Any, target: Any) -> Any:
            optimizer.zero_grad()

            def body(h: Any, x: Any) -> Any:
                h = cell(x, h)
                return h, head(h)

            _, ys = tg.scan(body, tg.zeros(2, 4), xs)
            loss = nn.functional.mse_loss(ys, target)
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = tg.compile(step) if compiled else step
        losses = [run(normal(N, 2, 3, seed=i, dtype=tg.float32), normal(N, 2, 1, seed=i, dtype=tg.float32)) for i in range(6)]
        if compiled:
            assert len(run.programs()) == 1, run.explain()
        return losses, list(cell.parameters())

    (a, p), (b, q) = train(True), train(False)
    assert bits(a) == bits(b)
    assert bits(p) == bits(q)


def test_a_scan_inside_of_a_scan() -> None:
    w = normal(2, seed=1).requires_grad_()

    def outer(h: Any, rows: Any) -> Any:
        def inner(c: Any, x: Any) -> Any:
            c = tg.tanh(c * w + x)
            return c, c * h

        last, ys = tg.scan(inner, h, rows)
        return last * 0.5, ys.sum(axis=0)

    def written(h: Any, rows: Any) -> Any:
        last, ys = written_out(lambda c, x: 2 * (tg.tanh(c * w + x),), h, rows)
        return last * 0.5, (ys * h).sum(axis=0)

    for k in range(3):
        h, xs = normal(2, seed=k), normal(N, 17, 2, seed=k + 5)
        got, want = tg.scan(outer, h, xs), written_out(written, h, xs)
        assert bits(got) == bits(want)
        a, b = (tg.autograd.grad(total(r), [w])[0].numpy() for r in (got, want))
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert bodies(outer) == 1


def test_runge_kutta() -> None:
    k = tg.Variable([1.5, 0.2], dtype=tg.float64, requires_grad=True)

    def rhs(y: Any) -> Any:
        return tg.stack([y[1], -k[0] * tg.sin(y[0]) - k[1] * y[1]])

    def step(y: Any, dt: Any) -> Any:
        a = rhs(y)
        b = rhs(y + dt / 2 * a)
        c = rhs(y + dt / 2 * b)
        d = rhs(y + dt * c)
        y = y + dt / 6 * (a + 2 * b + 2 * c + d)
        return y, y

    times = tg.full((50,), 0.05, dtype=tg.float64)
    y0 = tg.Variable([1.0, 0.0], dtype=tg.float64, requires_grad=True)
    for _ in range(2):
        got, want = tg.scan(step, y0, times), written_out(step, y0, times)
        assert bits(got) == bits(want)
        for a, b in zip(*(tg.autograd.grad(total(r), [k, y0]) for r in (got, want)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11)


def test_inside_of_transformations() -> None:
    w = normal(3, seed=2)

    def f(h: Any, x: Any) -> Any:
        h = tg.tanh(w * h + x)
        return h, h.sum()

    def value(scan: Any) -> Any:
        return lambda h, xs: total(scan(f, h, xs))

    h, xs = normal(3), normal(N, 3, seed=3)
    tg.scan(f, h, xs)

    def all_of(s: Any) -> Any:
        return (
            tg.vmap(lambda h: s(f, h, xs))(normal(4, 3)),
            tg.jvp(lambda h: s(f, h, xs), (h,), (w,)),
            tg.grad(value(s))(h, xs),
            tg.hvp(lambda h: value(s)(h, xs), (h,), (w,)),
            tg.jacrev(lambda h: s(f, h, xs)[1])(h),
            tg.hessian(lambda h: value(s)(h, xs))(h),
            tg.vmap(tg.grad(value(s)), in_axes=(0, None))(normal(4, 3), xs),
            tg.vmap(lambda v: s(lambda c, x: (c * v + x, c), h, xs))(normal(2, 3)),
        )

    got, want = all_of(tg.scan), all_of(written_out)
    for a, b in zip(leaves(got), leaves(want), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_many_cotangents_at_once() -> None:
    w = normal(3, seed=2).requires_grad_()

    def f(h: Any, x: Any) -> Any:
        h = tg.tanh(w * h + x)
        return h, h * 2

    found = []
    for s in (tg.scan, written_out):
        _, pull = tg.vjp(lambda h, s=s: s(f, h, normal(N, 3, seed=3))[1], normal(3))
        found.append(leaves(tg.vmap(pull)(normal(5, N, 3, seed=4))))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-10)


def test_values_inside_are_detached_as_in_the_loop() -> None:
    w = normal(2, seed=2).requires_grad_()

    def through(h: Any, x: Any) -> Any:
        y = w * h + x
        y = y + (tg.round(y) - y).detach()
        with tg.no_grad():
            scale = (w * 2).sum()
        return tg.tanh(y * scale), (h.detach() * w).sum()

    for order in (1, 2):
        for _ in range(2):
            got, want = (gradients(s, through, normal(2), normal(N, 2), [w], order) for s in (tg.scan, written_out))
            for a, b in zip(got, want, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10)


def test_a_carry_that_is_detached_in_each_step() -> None:
    w = normal(2, seed=2).requires_grad_()

    def f(h: Any, x: Any) -> Any:
        return (h * x).detach(), (h * w).sum()

    for _ in range(2):
        got, want = (gradients(s, f, normal(2), normal(N, 2), [w], 1) for s in (tg.scan, written_out))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_a_carry_that_is_tracked_from_the_third_step_on() -> None:
    w = normal(2, seed=2).requires_grad_()

    def f(c: Any, x: Any) -> Any:
        a, b, d = c
        return (tg.tanh(a * w + x), a, b), d * x

    zero = tg.zeros(2, dtype=tg.float64)
    for _ in range(2):
        found = [tg.autograd.grad(total(s(f, (zero, zero, zero), normal(N, 2))), [w])[0].numpy() for s in (tg.scan, written_out)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_no_grad_and_frozen_parameters() -> None:
    w = normal(2, seed=2).requires_grad_()

    def f(h: Any, x: Any) -> Any:
        h = tg.tanh(w * h + x)
        return h, h

    h, xs = normal(2), normal(N, 2)
    for _ in range(2):
        with tg.no_grad():
            last, _ = tg.scan(f, h, xs)
        assert not last.requires_grad
        assert tg.scan(f, h, xs)[0].requires_grad
    w.requires_grad_(False)
    assert not tg.scan(f, h, xs)[0].requires_grad
    w.requires_grad_()
    assert tg.scan(f, h, xs)[0].requires_grad


def test_a_lambda_around_a_variable_that_changes() -> None:
    ws = [normal(2, seed=i).requires_grad_() for i in range(3)]
    xs = normal(N, 2)
    found = []
    for s in (tg.scan, written_out):
        c = normal(2)
        for w in ws:
            c, _ = s(lambda c, x: (tg.tanh(c * w + x), None), c, xs)  # noqa: B023
        first = tg.autograd.grad((c**2).sum(), ws, create_graph=s is tg.scan)
        if s is tg.scan:
            second = tg.autograd.grad(sum((g**2).sum() for g in first), ws)
            assert all(np.isfinite(g.numpy()).all() for g in second)
        found.append([g.detach().numpy() for g in first])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_an_error_in_a_step_changes_nothing() -> None:
    w = normal(2, seed=2).requires_grad_()

    def f(h: Any, x: Any) -> Any:
        return tg.linalg.cholesky(h @ h.T - x), h * w

    eye = tg.eye(2, dtype=tg.float64) * 2
    good = tg.zeros(N, 2, 2, dtype=tg.float64)
    tg.scan(f, eye, good)
    bad = np.zeros((N, 2, 2))
    bad[15] = np.eye(2) * 1e9
    with pytest.raises(tg.LinAlgError):
        tg.scan(f, eye, tg.asarray(bad))
    assert w.grad is None
    assert bits(tg.scan(f, eye, good)) == bits(written_out(f, eye, good))
    assert bodies(f) == 1

    def raises(h: Any, x: Any) -> Any:
        raise RuntimeError("no step")

    with pytest.raises(RuntimeError, match="no step"):
        tg.scan(raises, eye, good)
    assert not tg._core._is_capturing()


def test_an_interrupt_ends_a_long_loop() -> None:
    def f(h: Any, x: Any) -> Any:
        h = tg.tanh(h * 0.5 + x)
        return h, None

    xs = tg.zeros(2).broadcast_to(1_000_000_000, 2)  # minutes of steps
    tg.scan(f, tg.zeros(2), xs[:N])
    main = threading.main_thread().ident
    assert main is not None
    old = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without it
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            tg.scan(f, tg.zeros(2), xs)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, old)
    assert tg.scan(f, tg.zeros(2), xs[:N])[0].tolist() == [0.0, 0.0]


def test_the_function_and_what_it_reads_are_not_kept() -> None:
    w = normal(2).requires_grad_()

    def run() -> list[Any]:
        other = normal(2) * 2.0

        def f(h: Any, x: Any) -> Any:
            return h + w * x * other, h

        last, _ = tg.scan(f, tg.zeros(2, dtype=tg.float64), normal(N, 2))
        last.sum().backward()
        assert bodies(f) == 1
        return [weakref.ref(f), weakref.ref(other)]

    gone = run()
    gc.collect()
    assert [g() for g in gone] == [None, None]


def test_threads_scan_at_the_same_time() -> None:
    def f(h: Any, x: Any) -> Any:
        h = tg.tanh(h * 0.5 + x)
        return h, h

    want = bits(written_out(f, tg.zeros(2), normal(N, 2, dtype=tg.float32)))
    found: list[Any] = []

    def run() -> None:
        found.append(bits(tg.scan(f, tg.zeros(2), normal(N, 2, dtype=tg.float32))))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [want] * 4


def test_a_scan_is_frozen_and_saved(tmp_path: Any) -> None:
    compiled = tg.compile(lambda h, xs: tg.scan(lambda h, x: (tg.tanh(h * 0.5 + x), h), h, xs))
    args = normal(2), normal(N, 2)
    for _ in range(3):
        want = compiled(*args)
    (program,) = compiled.programs()
    frozen = program.freeze()
    assert bits(frozen(*args)) == bits(want)
    frozen.save(tmp_path / "model.safetensors")
    assert bits(tg.load_program(tmp_path / "model.safetensors")(*args)) == bits(want)


def test_an_error_in_a_loop_of_a_compiled_step_leaves_gradients() -> None:
    w = tg.Variable([1.0, 2.0], requires_grad=True)

    def body(c: tg.Variable, x: tg.Variable) -> Any:
        return c + tg.linalg.cholesky(x).sum() * w, c

    @tg.compile
    def step(xs: tg.Variable) -> tg.Variable:
        w.grad = None
        loss = tg.scan(body, tg.zeros(2), xs)[0].sum()
        loss.backward()
        return loss.detach()

    good = tg.eye(2) * tg.ones(20, 1, 1)
    for _ in range(5):
        step(good)
    assert len(step.programs()) == 1, step.explain()
    before = w.grad
    with pytest.raises(tg.LinAlgError):
        step(-good)
    assert w.grad is not None
    assert w.grad.tolist() == before.tolist()


def test_results_that_depend_on_nothing_tracked_do_not_require_gradients() -> None:
    """In a loop that the core runs, the same results require gradients as in the loop in Python."""

    def step(carry: Any, x: Any) -> Any:
        a, b = carry
        return (a * 0.9 + x, b + x.detach()), b * a.detach()

    start = normal(2), normal(2, seed=1)
    xs = normal(N, 2, seed=2).requires_grad_()
    expected = [v.requires_grad for v in leaves(written_out(step, start, xs))]
    assert expected == [True, False, False]
    for _ in range(2):
        assert [v.requires_grad for v in leaves(tg.scan(step, start, xs))] == expected
    assert bodies(step) == 1


def test_the_length_is_an_integer_that_is_not_negative() -> None:
    assert tg.scan(lambda c, _: (c + 1, c), tg.tensor(0.0), length=np.int64(3))[0].item() == 3.0
    with pytest.raises(ValueError, match="length must not be negative, got -3"):
        tg.scan(lambda c, _: (c + 1, c), tg.tensor(0.0), length=-3)
    for length in (20.0, "20"):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            tg.scan(lambda c, _: (c + 1, c), tg.tensor(0.0), length=length)  # type: ignore[arg-type]


def test_an_error_in_a_recorded_step_keeps_nothing() -> None:
    class Held:
        pass

    count = 0

    def f(c: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("the second step")
        return c + x, c

    held = Held()
    gone = weakref.ref(held)
    with pytest.raises(RuntimeError) as error:
        tg.scan(f, tg.tensor(0.0), tg.ones(N))
    del held
    assert gone() is None, f"{error.value!r} keeps objects of the process alive"
    assert not tg._core._is_capturing()


def test_gradients_of_gradients_after_a_variable_of_the_function_was_deleted() -> None:
    kept = w = normal(2).requires_grad_()

    def f(c: Any, x: Any) -> Any:
        return c * 0.5 + tg.sin(w) * x, None  # noqa: F821 - it is deleted below

    for _ in range(2):
        last, _ = tg.scan(f, tg.zeros(2, dtype=tg.float64), normal(N, 2))
    del w
    (g,) = tg.autograd.grad(last.sum(), kept, create_graph=True)
    assert g.requires_grad
    with pytest.raises(NameError):
        f(last, last)


def test_a_numpy_array_that_the_body_reads_in_two_ways() -> None:
    """Its memory is read in each call, and so must be the number that NumPy computes from it."""
    a = np.ones(3)

    def body(c: tg.Variable, x: tg.Variable) -> tuple[tg.Variable, tg.Variable]:
        return c + x * a / float(a.sum()), c

    xs, start = tg.ones(20, 3, dtype=tg.float64), tg.zeros(3, dtype=tg.float64)
    for k in range(4):
        a[0] = k + 1.0
        assert np.allclose(tg.scan(body, start, xs)[0].numpy(), 20 * a / a.sum())
