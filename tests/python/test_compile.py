"""tg.compile: replays against eager runs, guards, state, errors, threads; and tg.scan."""

from __future__ import annotations

import dataclasses
import gc
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(11)


def normal(*shape: int, dtype: Any = tg.float64) -> tg.Variable:
    return tg.asarray(RNG.normal(size=shape)).astype(dtype)


def bits(x: Any) -> list[bytes]:
    """The bytes of all Variables in a nested result."""
    from tapegrad._tree import leaves

    return [v.detach().numpy().tobytes() if isinstance(v, tg.Variable) else repr(v).encode() for v in leaves(x)]


def replayed(f: Any, *args: Any, explain: bool = False) -> Any:
    """The compiled function after it was recorded."""
    compiled = tg.compile(f, explain=explain)
    for _ in range(3):
        compiled(*args)
    assert len(compiled.programs()) == 1, compiled.explain()
    return compiled


FUNCTIONS = {
    "chain": lambda x: tg.tanh(x * 2 + 1) / (x.abs() + 1),
    "reduction": lambda x: (x - x.mean(axis=0)) / (x.std() + 1),
    "products": lambda x: (x @ x.T).sum(axis=1) + 1,
    "views": lambda x: x[1:, ::2].T.reshape(-1) * x[0, 0],
    "softmax": lambda x: tg.log_softmax(x, axis=1) + tg.softmax(x, 0),
    "choice": lambda x: tg.where(x > 0, x, tg.exp(x)),
    "sorted": lambda x: tg.sort(x, axis=0),
    "taken": lambda x: x[tg.argmax(x, axis=0)],
    "gradient": lambda x: tg.grad(lambda z: (tg.sin(z) * z).sum())(x),
    "jvp": lambda x: tg.jvp(lambda z: tg.exp(z) * z, (x,), (x + 1,)),
    "hvp": lambda x: tg.hvp(lambda z: (z**3).sum() + (z @ z.T).sum(), (x,), (x * 2,)),
    "vmap": lambda x: tg.vmap(lambda row: row * row.sum())(x),
    "nested": lambda x: {"a": [x + 1, (x * 2, None)], "b": 3, "c": x},
    "in place": lambda x: _in_place(x),
    "written view": lambda x: _written(x),
}


def _in_place(x: tg.Variable) -> tg.Variable:
    y = x.clone()
    y += 1
    y *= x
    return y


def _written(x: tg.Variable) -> tg.Variable:
    y = x.clone()
    y[1] = 0.0
    y[:, 0] += x[:, 1]
    return y * y[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_replay_has_the_bits_of_an_eager_run(name: str) -> None:
    f = FUNCTIONS[name]
    compiled = replayed(f, normal(4, 5))
    for _ in range(3):
        x = normal(4, 5)
        assert bits(compiled(x)) == bits(f(x))
    assert len(compiled.programs()) == 1


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_long_groups_have_the_bits_of_eager(dtype: Any) -> None:
    def f(x: tg.Variable, row: tg.Variable) -> Any:
        y = tg.tanh(x * 1.5 + row) * tg.sigmoid(x)
        return y, tg.exp(-y * y), (y > 0.1)

    compiled = replayed(f, normal(700, 300, dtype=dtype), normal(300, dtype=dtype))
    assert "group[" in compiled.programs()[0].listing()
    x, row = normal(700, 300, dtype=dtype), normal(300, dtype=dtype)
    assert bits(compiled(x, row)) == bits(f(x, row))


def test_long_gradients_have_the_bits_of_eager() -> None:
    def f(x: tg.Variable) -> Any:
        return tg.value_and_grad(lambda z: (tg.tanh(z) * tg.exp(-z * z) / (1 + z.abs())).sum())(x)

    compiled = replayed(f, normal(200_003, dtype=tg.float32))
    assert "group[" in compiled.programs()[0].listing()
    x = normal(200_003, dtype=tg.float32)
    assert bits(compiled(x)) == bits(f(x))


def test_shapes_and_dtypes_have_programs_of_their_own() -> None:
    compiled = tg.compile(lambda x: (x * x).sum(axis=-1))
    for shape, dtype in [((3,), tg.float32), ((2, 3), tg.float32), ((3,), tg.float64)]:
        for _ in range(5):
            x = normal(*shape, dtype=dtype)
            assert bits(compiled(x)) == bits((x * x).sum(axis=-1))
    assert len(compiled.programs()) == 3


OPTIMIZERS = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: tg.optim.Adam(p, lr=0.01),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: tg.optim.RMSprop(p, lr=0.01),
}


def _network() -> Any:
    tg.manual_seed(3)
    return tg.nn.Sequential(tg.nn.Linear(4, 8), tg.nn.BatchNorm1d(8), tg.nn.ReLU(), tg.nn.Dropout(0.2), tg.nn.Linear(8, 3))


def _training(name: str, compiled: bool, steps: int = 7) -> tuple[list[bytes], Any]:
    net = _network()
    optimizer = OPTIMIZERS[name](net.parameters())

    def step(x: tg.Variable, y: tg.Variable) -> tg.Variable:
        optimizer.zero_grad()
        loss = tg.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        tg.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    run = tg.compile(step) if compiled else step
    rng = np.random.default_rng(5)
    tg.manual_seed(9)
    seen = []
    for i in range(steps):
        if i == 5:
            optimizer.param_groups[0]["lr"] *= 0.5
        x, y = tg.asarray(rng.normal(size=(6, 4)).astype("float32")), tg.asarray(rng.integers(0, 3, size=6))
        seen += bits(run(x, y))
    state = [p.detach().numpy().tobytes() for p in net.state_dict().values()]
    return seen + state, run


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_by_replay_is_eager_training(name: str) -> None:
    eager, _ = _training(name, compiled=False)
    replay, run = _training(name, compiled=True)
    assert len(run.programs()) == 1, run.explain()
    assert replay == eager


@pytest.mark.parametrize("clip", [tg.nn.utils.clip_grad_norm_, tg.nn.utils.clip_grad_value_], ids=["norm", "value"])
def test_clipping_that_changes_gradients_in_some_calls(clip: Callable[..., Any]) -> None:
    """Recordings that differ, and later reads of the gradient before it was clipped: clipping may leave gradients as they are."""

    def train(compiled: bool) -> list[bytes]:
        w = tg.Variable(np.ones((2, 3)), requires_grad=True)

        def step(x: tg.Variable) -> tg.Variable:
            w.grad = None
            (w.sum() * x).backward()  # the gradient is one number that is broadcast
            assert w.grad is not None
            clip([w], 1.0)
            return w.grad * 3.0

        run = tg.compile(step) if compiled else step
        seen = [b for size in (0.1, 0.2, 5.0, 0.3, 7.0, 0.1) for b in bits(run(tg.asarray(size)))]
        assert not compiled or len(run.programs()) == 1, run.explain()
        return seen

    assert train(compiled=True) == train(compiled=False)


class _Text(tg.nn.Module):
    """A small model of sequences: an embedding, a recurrent layer, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tg.nn.Embedding(10, 8)
        self.recurrent = tg.nn.GRU(8, 8, batch_first=True)
        self.block = tg.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.out = tg.nn.Linear(8, 10)

    def forward(self, x: tg.Variable) -> tg.Variable:
        return self.out(self.block(self.recurrent(self.table(x))[0])).reshape(-1, 10)


def test_a_model_of_sequences_trains_by_replay() -> None:
    def train(compiled: bool) -> tuple[list[bytes], Any]:
        tg.manual_seed(1)
        net = _Text()
        optimizer = tg.optim.AdamW(net.parameters(), lr=0.01)

        def step(x: tg.Variable, y: tg.Variable) -> tg.Variable:
            optimizer.zero_grad()
            loss = tg.nn.functional.cross_entropy(net(x), y, ignore_index=0)
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = tg.compile(step) if compiled else step
        rng = np.random.default_rng(0)
        seen: list[bytes] = []
        for _ in range(5):
            x, y = tg.asarray(rng.integers(0, 10, size=(2, 5))), tg.asarray(rng.integers(0, 10, size=10))
            seen += bits(run(x, y))
        return seen + bits(list(net.parameters())), run

    eager, _ = train(compiled=False)
    replay, run = train(compiled=True)
    assert run.programs(), run.explain()
    assert replay == eager
    with pytest.raises(IndexError, match="negative"):
        run(tg.asarray(np.full((2, 5), -1)), tg.asarray(np.zeros(10, dtype=int)))
    with pytest.raises(ValueError, match="out of range"):
        run(tg.asarray(np.ones((2, 5), dtype=int)), tg.asarray(np.full(10, 99)))


def test_slices_of_a_data_set_share_a_program() -> None:
    data = normal(32, 3)
    f = lambda x: (x * x).sum(axis=0)  # noqa: E731
    compiled = tg.compile(f)
    for i in range(0, 32, 4):
        assert bits(compiled(data[i : i + 4])) == bits(f(data[i : i + 4]))
    assert len(compiled.programs()) == 1


def test_two_optimizers_and_averages_in_one_step() -> None:
    def run(compiled: bool) -> list[bytes]:
        tg.manual_seed(0)
        a, b = tg.nn.Linear(2, 2), tg.nn.Linear(2, 1)
        average = [p.detach().clone() for p in a.parameters()]
        first, second = tg.optim.Adam(a.parameters(), lr=0.01), tg.optim.SGD(b.parameters(), lr=0.1)

        def step(x: tg.Variable) -> tuple[tg.Variable, tg.Variable]:
            second.zero_grad()
            y = (b(a(x + tg.randn(4, 2)).detach()) ** 2).mean()
            y.backward()
            second.step()
            first.zero_grad()
            z = ((b(a(x)) - 1) ** 2).mean()
            z.backward()
            first.step()
            with tg.no_grad():
                for old, new in zip(average, a.parameters(), strict=True):
                    old.mul_(0.9).add_(new, alpha=0.1)
            return y.detach(), z.detach()

        f = tg.compile(step) if compiled else step
        out: list[bytes] = []
        for i in range(6):
            out += bits(f(tg.full((4, 2), float(i))))
        if compiled:
            assert f.programs(), f.explain()
        return out + bits([*a.parameters(), *b.parameters(), *average])

    assert run(compiled=True) == run(compiled=False)


def test_updates_by_hand_and_gradients_that_stay() -> None:
    def make() -> tuple[Any, tg.Variable]:
        w = tg.Variable([1.0, -2.0, 0.5], requires_grad=True)

        def step(x: tg.Variable) -> tg.Variable:
            loss = ((w * x).sum() - 1) ** 2
            loss.backward()
            with tg.no_grad():
                w.sub_(0.05 * w.grad)
            return loss.detach()

        return step, w

    eager, a = make()
    step, b = make()
    compiled = tg.compile(step)
    for _ in range(8):
        x = normal(3, dtype=tg.float32)
        assert bits(compiled(x)) == bits(eager(x))
        assert bits([a, a.grad]) == bits([b, b.grad])
    assert compiled.programs(), compiled.explain()


def test_results_that_are_tracked_have_gradients() -> None:
    w = tg.Variable([1.0, 2.0, 3.0], requires_grad=True)
    compiled = tg.compile(lambda x: {"y": tg.sin(w * x), "z": x.sum()})
    for _ in range(5):
        x = tg.Variable([0.5, 1.5, -1.0], requires_grad=True)
        out = compiled(x)
        w.grad = None
        (out["y"] * out["y"]).sum().backward()
        slope = 2 * np.sin(w.numpy() * x.numpy()) * np.cos(w.numpy() * x.numpy())
        np.testing.assert_allclose(w.grad.numpy(), slope * x.numpy(), rtol=1e-5)
        np.testing.assert_allclose(x.grad.numpy(), slope * w.numpy(), rtol=1e-5)
    assert len(compiled.programs()) >= 1, compiled.explain()


def test_a_compiled_module_trains_from_outside() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh(), tg.nn.Linear(4, 1))
    compiled = tg.compile(net)
    optimizer = tg.optim.SGD(compiled.parameters(), lr=0.1)
    x = normal(5, 3, dtype=tg.float32)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (compiled(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert compiled.programs(), compiled.explain()
    with tg.no_grad():
        assert bits(compiled(x)) == bits(net(x))


def test_random_numbers_go_on_in_their_stream() -> None:
    def f(x: tg.Variable) -> tg.Variable:
        return x + tg.randn(3) * tg.rand(3) + tg.nn.functional.dropout(x, 0.5)

    compiled = tg.compile(f)
    tg.manual_seed(4)
    eager = [bits(f(tg.ones(3))) for _ in range(6)]
    tg.manual_seed(4)
    assert [bits(compiled(tg.ones(3))) for _ in range(6)] == eager
    assert compiled.programs(), compiled.explain()


RATE = 2.0


def test_globals_closures_and_attributes_are_guarded() -> None:
    global RATE  # noqa: PLW0603 - what is tested

    class Config:
        shift = 1.0

        def __init__(self) -> None:
            self.power = 2

    config, factor = Config(), 3.0

    def f(x: tg.Variable) -> tg.Variable:
        return (x * RATE + config.power) * factor

    def change() -> None:
        nonlocal factor
        factor = 5.0

    compiled = replayed(f, tg.ones(2))
    for edit in (lambda: globals().update(RATE=7.0), lambda: setattr(config, "power", 5), change):
        edit()
        assert bits(compiled(tg.ones(2))) == bits(f(tg.ones(2)))
    RATE = 2.0


def test_training_mode_is_guarded() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(3, 3), tg.nn.Dropout(0.5))
    compiled = replayed(net, tg.ones(2, 3))
    net.eval()
    assert bits(compiled(tg.ones(2, 3))) == bits(net(tg.ones(2, 3)))
    net.train()
    tg.manual_seed(1)
    a = bits(net(tg.ones(2, 3)))
    tg.manual_seed(1)
    assert bits(compiled(tg.ones(2, 3))) == a


def test_python_values_are_part_of_the_signature() -> None:
    compiled = tg.compile(lambda x, n, how="a": x * n if how == "a" else x + n)
    for n in (2, 3.5, True, 2):
        for how in ("a", "b"):
            for _ in range(4):
                assert compiled(tg.ones(2), n, how=how).tolist() == ([n, n] if how == "a" else [1 + n, 1 + n])


def test_captured_values_are_read_in_each_call() -> None:
    w = tg.Variable([1.0, 2.0])
    compiled = replayed(lambda x: x * w, tg.ones(2))
    w[0] = 10.0
    assert compiled(tg.ones(2)).tolist() == [10.0, 2.0]
    w += 1
    assert compiled(tg.ones(2)).tolist() == [11.0, 3.0]


REFUSED = {
    "item": (lambda x: x * x.sum().item(), "item"),
    "branch": (lambda x: x if x.sum() > 0 else -x, "bool"),
    "print": (lambda x: print("loud") or x * 2, "prints"),
    "numpy": (lambda x: tg.asarray(np.sin(x.numpy())), "numpy"),
    "clock": (lambda x: x * next(COUNTER), "constant|number|iterator"),
}
COUNTER = iter(float(i) for i in range(1, 100))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_replayed_runs_as_ever(name: str, capsys: Any) -> None:
    f, reason = REFUSED[name]
    compiled = tg.compile(f, explain=True)
    for x in (1.0, 2.0, -3.0, 4.0, -5.0, 6.0):
        compiled(tg.full((2,), x))
    assert compiled.programs() == []
    import re

    assert re.search(reason, compiled.explain())
    assert "not replayed" in capsys.readouterr().err


def test_variables_that_are_kept_elsewhere_end_the_replay() -> None:
    kept = []
    compiled = tg.compile(lambda x: kept.append(x * 2) or x + 1)
    for _ in range(6):
        compiled(tg.ones(2))
    assert len(kept) == 6
    assert compiled.programs() == []


def test_an_error_leaves_everything_as_it_was() -> None:
    w = tg.Variable([1.0, 2.0], requires_grad=True)
    optimizer = tg.optim.Adam([w], lr=0.1)

    def step(x: tg.Variable, index: tg.Variable) -> tg.Variable:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return x[index]

    compiled = tg.compile(step)
    good = tg.asarray([0, 1])
    for _ in range(5):
        compiled(tg.ones(2), good)
    assert compiled.programs(), compiled.explain()
    before, state = bits([w, w.grad]), bits([s["exp_avg"] for s in optimizer.state.values()])
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(tg.ones(2), tg.asarray([0, 5]))
    assert bits([w, w.grad]) == before
    assert bits([s["exp_avg"] for s in optimizer.state.values()]) == state
    assert compiled(tg.ones(2), good).tolist() == [1.0, 1.0]


def test_an_error_while_recording_leaves_no_recording_behind() -> None:
    def f(x: tg.Variable, fail: list[bool]) -> tg.Variable:
        if fail:
            raise RuntimeError("no")
        return x * 2

    compiled = tg.compile(f)
    fail: list[bool] = []
    compiled(tg.ones(2), fail)
    fail.append(True)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no"):
            compiled(tg.ones(2), fail)
    fail.clear()
    for _ in range(4):
        assert compiled(tg.ones(2), fail).tolist() == [2.0, 2.0]


def test_a_value_that_always_changes_ends_with_a_warning() -> None:
    class Counter:
        n = 0

        def __call__(self, x: tg.Variable) -> tg.Variable:
            self.n += 1
            return x * self.n

    compiled = tg.compile(Counter())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = [compiled(tg.ones(1)).item() for _ in range(12)]
    assert got == [float(i) for i in range(1, 13)]


def test_too_many_variants_warn() -> None:
    scale = {"by": 1.0}
    compiled = tg.compile(lambda x: x * scale["by"])

    def calls() -> list[float]:
        got = []
        for i in range(40):
            scale["by"] = float(i // 3)
            got.append(compiled(tg.ones(1)).item())
        return got

    with pytest.warns(RuntimeWarning, match="programs were recorded for one signature"):
        got = calls()
    assert got == [float(i // 3) for i in range(40)]


def test_results_are_fresh() -> None:
    compiled = replayed(lambda x: x * 2, tg.ones(2))
    a = compiled(tg.ones(2))
    b = compiled(tg.full((2,), 5.0))
    a += 1
    assert a.tolist() == [3.0, 3.0]
    assert b.tolist() == [10.0, 10.0]


def test_numpy_arguments_become_variables() -> None:
    compiled = tg.compile(lambda x: x * 2)
    for i in range(6):
        assert compiled(np.full(3, float(i))).tolist() == [2.0 * i] * 3
    assert len(compiled.programs()) == 1


def test_compiled_functions_nest_and_are_transformed() -> None:
    inner = tg.compile(lambda x: tg.sin(x) * x)
    outer = replayed(lambda x: inner(x).sum(), normal(3))
    x = normal(3)
    assert bits(outer(x)) == bits((tg.sin(x) * x).sum())
    for _ in range(5):
        np.testing.assert_allclose(tg.grad(lambda z: inner(z).sum())(x).numpy(), (tg.cos(x) * x + tg.sin(x)).numpy(), rtol=1e-12)
        np.testing.assert_allclose(tg.vmap(inner)(x).numpy(), (tg.sin(x) * x).numpy(), rtol=1e-12)


def test_threads_share_a_program() -> None:
    compiled = replayed(lambda x: tg.tanh(x @ x.T).sum(axis=0), normal(8, 8))
    inputs = [normal(8, 8) for _ in range(4)]
    want = [bits(tg.tanh(x @ x.T).sum(axis=0)) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(50) if bits(compiled(inputs[i])) != want[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_methods_and_options() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = tg.Variable([2.0])

        @tg.compile(explain=False)
        def __call__(self, x: tg.Variable) -> tg.Variable:
            return x * self.w

    a, b = Model(), Model()
    b.w = tg.Variable([3.0])
    for _ in range(5):
        assert a(tg.ones(1)).item() == 2.0
        assert b(tg.ones(1)).item() == 3.0
    with pytest.raises(TypeError, match="expected a function"):
        tg.compile(3)


def test_frozen_programs() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.BatchNorm1d(4)).eval()
    compiled = tg.compile(net)
    x = normal(5, 3, dtype=tg.float32)
    for _ in range(3):
        compiled(x)
    program = compiled.programs()[0]
    frozen = program.freeze()
    assert len(frozen) <= len(program)
    want = net(x)
    np.testing.assert_allclose(frozen(x).numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert not frozen(x).requires_grad
    with pytest.raises(tg.ShapeError):
        frozen(normal(4, 3, dtype=tg.float32))
    _, step = _training("sgd", compiled=True)
    assert step.programs(), step.explain()
    with pytest.raises(ValueError, match="changes state"):
        step.programs()[0].freeze()


def _random_program(seed: int) -> Any:
    """A function of two arrays made of random operations."""
    rng = np.random.default_rng(seed)
    unary = [
        tg.tanh,
        tg.sin,
        tg.exp,
        tg.abs,
        lambda a: a.T.T,
        lambda a: a[::-1],
        lambda a: a.reshape(-1).reshape(a.shape),
        tg.sigmoid,
        lambda a: -a,
    ]
    binary = [
        tg.add,
        tg.multiply,
        tg.subtract,
        tg.maximum,
        lambda a, b: a + b[0],
        lambda a, b: a * b[:, :1],
        lambda a, b: a - b.mean(),
    ]
    plan = [
        (int(rng.integers(2)), int(rng.integers(9)), int(rng.integers(7)), rng.integers(0, 100, 2))
        for _ in range(int(rng.integers(3, 25)))
    ]

    def f(x: tg.Variable, y: tg.Variable) -> Any:
        values = [x, y]
        for kind, u, b, at in plan:
            i, j = int(at[0]) % len(values), int(at[1]) % len(values)
            values.append(unary[u](values[i]) if kind == 0 else binary[b](values[i], values[j]))
        return tg.tanh(values[-1]), tg.tanh(sum(values[2:], x)).sum()

    return f


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_and_their_gradients(seed: int) -> None:
    f = _random_program(seed)

    def both(x: tg.Variable, y: tg.Variable) -> Any:
        value, pull = tg.vjp(lambda a, b: f(a, b)[1], x, y)
        return f(x, y), value, pull(tg.ones_like(value))

    compiled = tg.compile(both)
    for shape in [(3, 4), (5, 2)]:
        for _ in range(5):
            x, y = normal(*shape), normal(*shape)
            assert bits(compiled(x, y)) == bits(both(x, y))
    assert len(compiled.programs()) == 2, compiled.explain()


def test_scan_is_a_loop() -> None:
    w = tg.Variable([0.5, -0.3], requires_grad=True)

    def cell(h: tg.Variable, x: tg.Variable) -> Any:
        h = tg.tanh(w * h + x)
        return h, h * 2

    xs = normal(20, 2, dtype=tg.float32)
    for _ in range(2):
        w.grad = None
        last, ys = tg.scan(cell, tg.zeros(2), xs)
        ((ys**2).sum() + last.sum()).backward()
        got = w.grad.numpy().copy()
        w.grad = None
        h, all_ys = tg.zeros(2), []
        for i in range(20):
            h, y = cell(h, xs[i])
            all_ys.append(y)
        ((tg.stack(all_ys) ** 2).sum() + h.sum()).backward()
        np.testing.assert_allclose(got, w.grad.numpy(), rtol=1e-5)
        np.testing.assert_array_equal(ys.detach().numpy(), tg.stack(all_ys).detach().numpy())


def test_second_order_when_an_argument_is_made_of_another_one() -> None:
    """Regression: the gradient of one argument also flowed through the other one and was counted twice."""
    f = lambda x, y: x * x * y  # noqa: E731
    compiled = tg.compile(f)

    def second(g: Any) -> Any:
        x = tg.Variable([1.5, -0.5], requires_grad=True, dtype=tg.float64)
        (dx,) = tg.autograd.grad(g(x, tg.exp(x)).sum(), x, create_graph=True)
        return tg.autograd.grad(dx.sum(), x)[0].numpy()

    for _ in range(5):
        np.testing.assert_allclose(second(compiled), second(f), rtol=1e-13)
    assert compiled.programs()


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_rules_of_one_result_after_rules_of_several(kind: str) -> None:
    """Regression: a rule was recorded with the cotangents of another node as its sums, so gradients of cells were wrong."""
    cell = getattr(tg.nn, kind)(3, 4)
    parameters = list(cell.parameters())

    def step(xs: tg.Variable) -> Any:
        zero = tg.zeros(2, 4)
        state: Any = (zero, zero) if kind == "LSTMCell" else zero
        for i in range(3):
            state = cell(xs[i], state)
        h = state[0] if kind == "LSTMCell" else state
        return tg.autograd.grad((h**2).sum(), parameters)

    xs = normal(3, 2, 3, dtype=tg.float32)
    compiled = replayed(step, xs)
    assert bits(compiled(xs)) == bits(step(xs))


def test_many_cotangents_at_once() -> None:
    """Regression: with cotangents inside a transformation the function ran without being recorded, so gradients were zero."""
    f = lambda h: tg.tanh(h * 2) * h  # noqa: E731
    x = normal(3)
    compiled = replayed(f, x.requires_grad_())
    x.requires_grad_(False)
    for _ in range(4):
        np.testing.assert_allclose(tg.jacrev(compiled)(x).numpy(), tg.jacrev(f)(x).numpy(), rtol=1e-12)


_collections = 0


def test_what_the_collector_runs_is_no_part_of_a_function() -> None:
    """Regression: a callback of the garbage collector was watched, and values that it changes were guarded."""

    def count(phase: str, info: Any) -> None:
        global _collections  # noqa: PLW0603
        _collections += 1

    def f(x: tg.Variable) -> tg.Variable:
        made = [[i] for i in range(20_000)]
        return x * len(made)

    gc.callbacks.append(count)
    try:
        compiled = replayed(f, tg.ones(2))
    finally:
        gc.callbacks.remove(count)
    assert _collections > 0
    assert gc.isenabled()
    assert compiled(tg.ones(2)).tolist() == [20_000.0, 20_000.0]


def test_programs_keep_no_values_that_they_do_not_use() -> None:
    """Regression: each program kept all Variables of the process with their histories, and scan kept each function for ever."""
    w = tg.Variable([0.5, -0.3], requires_grad=True)
    history = tg.exp(w) * 2.0
    f = replayed(lambda x: tg.tanh(w * x), tg.ones(2))
    g = replayed(lambda x: x + 1, tg.ones(2))
    gone = weakref.ref(history)
    del history
    gc.collect()
    assert gone() is None
    assert len(f.programs()) == len(g.programs()) == 1

    def step(carry: Any, x: Any) -> Any:
        return carry + w * x, carry

    tg.scan(step, tg.zeros(2), tg.ones(30, 2))
    gone = weakref.ref(step)
    del step
    gc.collect()
    assert gone() is None


def test_rules_that_follow_one_with_more_results() -> None:
    """Regression: the list of cotangents is reused for each node; a rule after one with more results took wrong sums."""
    tg.manual_seed(0)
    net = tg.nn.TransformerEncoder(tg.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2)

    def f(x: tg.Variable) -> Any:
        y = x.detach().requires_grad_()
        out = net(y)
        return tg.autograd.grad((out**3).sum(), [y, *net.parameters()], allow_unused=True)

    compiled = replayed(f, normal(2, 5, 4, dtype=tg.float32))
    for _ in range(3):
        x = normal(2, 5, 4, dtype=tg.float32)
        assert bits(compiled(x)) == bits(f(x))


def test_scan_checks_what_it_gets() -> None:
    with pytest.raises(tg.ShapeError, match="first axis"):
        tg.scan(lambda c, x: (c, x), tg.zeros(1), [tg.ones(2), tg.ones(3)])
    with pytest.raises(tg.ShapeError, match="length"):
        tg.scan(lambda c, x: (c, c), tg.zeros(1))
    with pytest.raises(TypeError, match="pair"):
        tg.scan(lambda c, x: c, tg.zeros(1), tg.ones(2))
    with pytest.raises(tg.ShapeError, match="carry"):
        tg.scan(lambda c, x: (tg.stack([c, c]), c), tg.zeros(1), tg.ones(2))
    carry, ys = tg.scan(lambda c, _: (c + 1, c), tg.tensor(0.0), length=3)
    assert carry.item() == 3.0
    assert ys.tolist() == [0.0, 1.0, 2.0]


def test_a_gradient_by_memory_that_numpy_lends_is_replayed() -> None:
    data = np.linspace(0.0, 1.0, 50)
    compiled = tg.compile(tg.grad(lambda x: (tg.sin(x) * x).sum()))
    for _ in range(4):
        got = compiled(tg.asarray(data))
    assert compiled.programs(), compiled.explain()
    np.testing.assert_array_equal(got.numpy(), tg.grad(lambda x: (tg.sin(x) * x).sum())(tg.asarray(data)).numpy())


def test_a_cotangent_of_ones_makes_no_gradient_another_value() -> None:
    w = normal(2).requires_grad_()

    def f(x: Any) -> Any:
        return x * w, (x * w).sum()

    compiled = tg.compile(f)
    for _ in range(5):
        x = normal(2) * 1.5
        found = []
        for g in (compiled, f):
            a, b = g(x)
            found.append(tg.autograd.grad((a * 2).sum() + (b * 3).sum(), [w])[0])
        assert bits(found[0]) == bits(found[1])
    assert len(compiled.programs()) == 1


class Pair(NamedTuple):
    x: Any
    y: Any

    def doubled(self) -> Any:
        return self.x * 2 + self.y


@dataclasses.dataclass
class Batch:
    x: Any
    scale: float = 1.0

    def scaled(self) -> Any:
        return self.x * self.scale


@dataclasses.dataclass
class Slim:
    __slots__ = ("x",)
    x: Any


class Settings(dict[str, Any]):
    rate = 1.0

    def rated(self) -> Any:
        return self["x"] * self.rate


class Rows(list[Any]):
    pass


HELD: dict[str, tuple[Any, Any]] = {
    "list": (lambda a: a[0] * 2, lambda v: [v]),
    "tuple": (lambda a: a[0] * 2, lambda v: (v,)),
    "dict": (lambda a: a["x"] * 2, lambda v: {"x": v}),
    "nested": (lambda a: a["x"][0]["y"] * a["z"], lambda v: {"x": [{"y": v}], "z": 3.0}),
    "named tuple": (lambda a: a.doubled(), lambda v: Pair(v, v + 1)),
    "dataclass": (lambda a: a.scaled(), lambda v: Batch(v, 2.5)),
    "slots": (lambda a: a.x * 2, Slim),
    "dict of a class": (lambda a: a.rated(), lambda v: Settings(x=v)),
    "OrderedDict": (lambda a: a["x"] * 2, lambda v: OrderedDict(x=v)),
    "list of a class": (lambda a: a[0] * 2, lambda v: Rows([v])),
    "list in a dataclass": (lambda a: a.x[0] * 2, lambda v: Batch([v])),
}


@pytest.mark.parametrize("name", HELD)
def test_new_containers_in_each_call_are_replayed(name: str) -> None:
    f, hold = HELD[name]
    for call in (f, lambda b, a: f(a) + b):
        compiled = tg.compile(call)
        extra = () if call is f else (tg.ones(2),)
        for k in range(5):
            v = tg.Variable([1.0 + k, 2.0], requires_grad=True)
            got, want = compiled(*extra, hold(v)), call(*extra, hold(v))
            assert got.tolist() == want.tolist()
            grads = [tg.autograd.grad(y.sum(), v)[0].tolist() for y in (got, want)]
            assert grads[0] == grads[1]
        assert len(compiled.programs()) == 1, compiled.explain()


def test_values_in_containers_steer_the_signature() -> None:
    compiled = tg.compile(lambda a: a.scaled())
    for k in range(12):
        a = Batch(tg.Variable([1.0 + k]), (2.0, 3.0)[k % 2])
        assert compiled(a).tolist() == a.scaled().tolist()
    assert len(compiled.programs()) == 2
    compiled = tg.compile(lambda a: a.rated())
    for k in range(12):
        c = Settings(x=tg.Variable([1.0 + k]))
        c.rate = (2.0, 3.0)[k % 2]
        assert compiled(c).tolist() == c.rated().tolist()
    assert len(compiled.programs()) == 2


@pytest.mark.parametrize(
    ("change", "make"),
    [
        (lambda b, a: a.append(b), list),
        (lambda b, a: a.__setitem__("y", b), dict),
        (lambda b, a: a.pop("x"), lambda: {"x": 1}),
        (lambda b, a: a.reverse(), lambda: [1, 2]),
        (lambda b, a: setattr(a, "scale", 3.0), lambda: Batch(1)),
        (lambda b, a: a.x.append(2), lambda: Batch([])),
    ],
)
def test_a_function_that_changes_a_container_runs_in_python(change: Any, make: Any) -> None:
    def f(b: Any, a: Any) -> Any:
        change(b, a)
        return b * 2

    compiled = tg.compile(f)
    for k in range(5):
        b, got, want = tg.ones(2) * k, make(), make()
        compiled(b, got)
        f(b, want)
        assert repr(got) == repr(want)
    assert "it changes the contents of an argument" in compiled.explain()


def test_new_objects_in_each_call_are_explained() -> None:
    class Holder:
        def __init__(self, x: Any) -> None:
            self.x = x

    compiled = tg.compile(lambda a: a.x * 2)
    for k in range(6):
        assert compiled(Holder(tg.ones(1) * k)).item() == 2 * k
    assert "another Holder among its arguments" in compiled.explain()
    assert not compiled.programs()


def test_a_dataclass_that_holds_itself() -> None:
    a = Batch(tg.ones(2))
    a.scale = a  # type: ignore[assignment]
    compiled = tg.compile(lambda a: a.x * 2)
    for _ in range(4):
        assert compiled(a).tolist() == [2.0, 2.0]


MASKED: dict[str, Any] = {
    "padding": lambda x, m: tg.nn.functional.scaled_dot_product_attention(x, x, x, m[:, None, :]),
    "empty rows": lambda x, m: tg.nn.functional.scaled_dot_product_attention(x, x, x, (m & ~m)[:, None, :] | (x[..., :1] > 0)),
    "added": lambda x, m: tg.nn.functional.scaled_dot_product_attention(x, x, x, tg.where(m, 0.0, -np.inf)[:, None, :]),
    "multilabel": lambda x, m: tg.nn.functional.multilabel_margin_loss(x[:, 0, :5], tg.cumsum(m.astype(tg.int64), 1) - 1),
    "unpool": lambda x, m: tg.nn.functional.max_unpool1d(
        x[:, :, :2], tg.argsort(m, 1)[:, None, :2] + tg.zeros_like(x[:, :, :2]).long(), 3
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_masks_and_places_that_change_are_replayed(name: str) -> None:
    def f(x: tg.Variable, m: tg.Variable) -> Any:
        a = x.detach().requires_grad_()
        y = MASKED[name](a, m)
        return y.detach(), tg.autograd.grad((y**2).sum(), a)[0]

    compiled = tg.compile(f)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, m = tg.asarray(rng.standard_normal((2, 5, 5))), tg.asarray(rng.random((2, 5)) > 0.4)
        assert bits(compiled(x, m)) == bits(f(x, m))
    assert len(compiled.programs()) == 1, compiled.explain()
