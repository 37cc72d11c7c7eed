"""Matrix products in replays: bit for bit as eager calls, with groups as epilogues and operands in panels."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from replaying import check_training, flat, replayed, with_adam
from tapegrad import nn

RNG = np.random.default_rng(29)
DTYPES = [tg.float32, tg.float64]


def normal(*shape: int, dtype: Any = tg.float64) -> tg.Variable:
    return tg.Variable(RNG.normal(size=shape)).clone().astype(dtype)


def check(f: Any, *args: Any, then: bool | None = None) -> Any:
    """Replays on the arguments, on others of their shapes, and on others of other layouts; returns the program."""
    compiled, others = replayed(f, *args)
    turned = [tg.Variable(np.asfortranarray(a.numpy())) for a in others]
    assert flat(compiled(*turned)) == flat(f(*others))
    listing = compiled.programs()[0].listing()
    assert then is None or (" then group[" in listing) == then, listing
    return compiled.programs()[0]


def gradients(f: Any, *args: tg.Variable) -> Any:
    """A function that gives the value and all gradients of the sum of squares."""
    return lambda *a: tg.value_and_grad(lambda *b: (f(*b) ** 2).sum(), tuple(range(len(args))))(*a)


SHAPES = [
    ((3, 4), (4, 5)),
    ((40, 300), (300, 70)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((3, 1, 5, 4), (2, 4, 3)),
    ((1, 300), (300, 40)),
    ((130, 2), (2, 17)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", SHAPES)
def test_a_group_behind_a_product(shapes: Any, dtype: Any, threads: int) -> None:
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        f = lambda x, w: tg.tanh((x @ w) * 0.5 + 0.25)  # noqa: E731
        args = [normal(*s, dtype=dtype) for s in shapes]
        some = all(0 not in s for s in shapes)
        check(f, *args, then=some)
        check(lambda x, w: (x @ w, tg.tanh(x @ w) + 1), *args, then=some)
        check(gradients(f, *args), *args)
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_in_every_form(dtype: Any) -> None:
    x, w, v = normal(30, 20, dtype=dtype), normal(25, 20, dtype=dtype), normal(20, 30, dtype=dtype)
    check(lambda x, w: tg.sigmoid(x @ w.T) * 2, x, w, then=True)
    check(lambda x, v: tg.sigmoid(x.T @ v.T) * 2, x, v, then=True)
    check(lambda x, v: tg.sigmoid(x[::2] @ v[:, ::3]) * 2, x, v, then=True)
    check(lambda x, v: tg.relu(x @ v + (v.T @ x.T).T), x, v, then=True)
    check(lambda x: tg.relu(x @ x.T + x[:, :1]), x, then=True)
    check(gradients(lambda x, v: tg.tanh(x.T @ v.T)), *[normal(20, 30, dtype=dtype), normal(30, 20, dtype=dtype)])
    check(lambda x: tg.grad(lambda z: (tg.tanh(z @ z.T) * 2).sum())(x), x)
    check(lambda x, w: tg.exp(tg.nn.functional.linear(x, w)) - 1, x, w, then=True)
    check(lambda x, w, b: tg.exp(tg.nn.functional.linear(x, w, b)) - 1, x, w, normal(25, dtype=dtype), then=True)
    check(lambda x, w, b: tg.exp(tg.nn.functional.linear(x[0], w, b)) - 1, x, w, normal(25, dtype=dtype), then=True)
    check(lambda x, w: tg.exp(tg.nn.functional.linear(x, w[0])) - 1, x, w, then=True)


def test_a_product_that_is_read_before_and_after_its_group() -> None:
    def f(x: tg.Variable, w: tg.Variable) -> Any:
        y = x @ w
        total = y.sum()
        z = tg.tanh(y) * total
        return z, y.max(), tg.sin(y) + z

    check(f, normal(9, 7), normal(7, 5))
    check(lambda x, w: tg.tanh(x @ w) + tg.tanh(x @ w).sum() * (x @ w), normal(9, 7), normal(7, 5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_with_other_operands_and_results(dtype: Any) -> None:
    args = normal(60, 50, dtype=dtype), normal(50, 50, dtype=dtype), normal(60, 50, dtype=dtype)
    check(lambda x, w, m: tg.where(m > 0, x @ w, m) * 2, *args, then=True)
    check(lambda x, w, m: (x @ w) * tg.cumsum(m, 0) + m[:1], *args, then=True)
    check(lambda x, w, m: (tg.tanh(x @ w) + m, tg.sin(x @ w) * m), *args, then=True)
    # These stay separate instructions: sums, booleans, a result in the place of another operand.
    check(lambda x, w, m: (tg.tanh(x @ w) + m).sum(), *args, then=False)
    check(lambda x, w, m: tg.tanh(x @ w) > m, *args, then=False)
    check(lambda x, w, m: (x @ w, (x @ w) * tg.cumsum(m, 0) + 1), *args, then=False)


def test_sums_of_gradients_of_one_weight() -> None:
    def f(x: tg.Variable, w: tg.Variable) -> tg.Variable:
        h = x
        for _ in range(5):
            h = tg.tanh(h @ w + x)
        return h

    for dtype in DTYPES:
        for n in (6, 300):
            args = (normal(4 if n < 100 else 30, n, dtype=dtype), normal(n, n, dtype=dtype) * 0.05)
            check(gradients(f, *args), *args, then=True)
    check(gradients(lambda x: (x @ x) @ x, normal(5, 5)), normal(5, 5))


def test_long_sums_that_something_else_holds() -> None:
    def f(x: tg.Variable, w: tg.Variable) -> Any:
        g = tg.grad(lambda u: ((x @ u) ** 2).sum() + (tg.tanh(x @ u) * u[:1]).sum())(w)
        return g, g * 2

    check(f, normal(600, 8), normal(8, 5))


def mean_of_steps(dtype: Any, bias: bool) -> Any:
    tg.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(6, 40, bias=bias), nn.Tanh(), nn.Linear(40, 33, bias=bias), nn.ReLU(), nn.Linear(33, 1, bias=bias)
    )
    net.to(dtype)
    return with_adam(net)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_training_is_bit_for_bit_that_of_eager_steps(dtype: Any, bias: bool) -> None:
    x, y = normal(50, 6, dtype=dtype), normal(50, 1, dtype=dtype)
    assert "product(" in check_training(lambda: mean_of_steps(dtype, bias), x, y).listing()


def networks() -> list[tuple[Any, tuple[int, ...]]]:
    tg.manual_seed(5)
    mlp = nn.Sequential(nn.Linear(100, 80), nn.ReLU(), nn.Linear(80, 60), nn.Tanh(), nn.Linear(60, 10))
    images = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 36, 50),
    )
    return [
        (mlp, (1, 100)),
        (mlp, (8, 100)),
        (mlp, (70, 100)),
        (mlp, (3, 5, 100)),
        (images, (1, 1, 20, 20)),
        (images, (4, 1, 20, 20)),
    ]


@pytest.mark.parametrize("at", range(6))
def test_frozen_programs_give_the_bits_of_others_and_pack_their_weights(at: int, tmp_path: Path) -> None:
    net, shape = networks()[at]
    net.eval()
    compiled = tg.compile(net)
    x = normal(*shape, dtype=tg.float32)
    with tg.no_grad():
        for _ in range(3):
            compiled(x)
        frozen = compiled.programs()[0].freeze()
        assert (" in panels" in frozen.listing()) == (shape[0] > 1), frozen.listing()
        assert " in panels" not in compiled.programs()[0].listing()
        frozen.save(tmp_path / "frozen")
        loaded = tg.load_program(tmp_path / "frozen")
        assert loaded.listing() == frozen.listing()
        again = frozen.freeze()
        for values in (x, normal(*shape, dtype=tg.float32)):
            for program in (frozen, loaded, again):
                assert flat(program(values)) == flat(net(values))


@pytest.mark.parametrize("at", range(5))
def test_constants_in_every_form(at: int) -> None:
    w = normal(60, 7, 50)
    f, x, packed = [
        (lambda x: x @ w.reshape(60, 350), normal(5, 60), True),
        (lambda x: x @ w[:, 2], normal(4, 3, 60), True),
        (lambda x: x @ w[:, 2].T, normal(4, 50), True),
        # A batch of matrices, which are columns side by side.
        (lambda x: x @ tg.moveaxis(w, 1, 0), normal(5, 1, 1, 60), False),
        (lambda x: x @ tg.moveaxis(w, 1, 0), normal(7, 3, 60), False),
    ][at]
    compiled = tg.compile(f)
    for _ in range(3):
        compiled(x)
    frozen = compiled.programs()[0].freeze()
    assert flat(frozen(x * 2)) == flat(f(x * 2))
    assert (" in panels" in frozen.listing()) == packed, frozen.listing()


def test_a_constant_that_something_else_reads_stays() -> None:
    w = normal(40, 50)
    args = normal(30, 40), normal(30, 50)
    f = lambda x, y: (x @ w, y * w[:30])  # noqa: E731
    compiled = tg.compile(f)
    for _ in range(3):
        compiled(*args)
    frozen = compiled.programs()[0].freeze()
    assert flat(frozen(*args)) == flat(f(*args))


def test_products_in_both_parts_of_a_program() -> None:
    w = normal(300, 300) * 0.05

    def f(x: tg.Variable, w: tg.Variable) -> tg.Variable:
        return tg.tanh(tg.tanh(tg.tanh(x @ w) @ w) @ w)

    compiled = tg.compile(f)
    x = normal(30, 300)
    found = []
    for call in (f, *[compiled] * 5):
        a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = call(a, b)
        (y * y).sum().backward()
        found.append(flat([y, a.grad, b.grad]))
    assert all(other == found[0] for other in found)
    assert compiled.programs()[0].listing().count("product(") == 3, compiled.programs()[0].listing()


@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    functions = [tg.tanh, tg.relu, tg.sigmoid, lambda x: x * 0.5 - 1, lambda x: x * x, lambda x: x]
    sizes = [int(rng.integers(1, 60)) for _ in range(5)]
    chosen = [int(i) for i in rng.integers(len(functions), size=4)]
    residual = rng.integers(2, size=4)
    dtype = DTYPES[seed % 2]
    weights = [normal(b, a, dtype=dtype) * 0.3 for a, b in itertools.pairwise(sizes)]
    biases = [normal(b, dtype=dtype) for b in sizes[1:]]

    def f(x: tg.Variable, *parameters: tg.Variable) -> tg.Variable:
        for i, k in enumerate(chosen):
            y = functions[k](nn.functional.linear(x, parameters[2 * i], parameters[2 * i + 1] if residual[i] else None))
            x = y + x.sum() * 0.01 if residual[i] else y
        return x

    args = [normal(int(rng.integers(1, 40)), sizes[0], dtype=dtype)]
    args += [p for pair in zip(weights, biases, strict=True) for p in pair]
    check(f, *args)
    check(gradients(f, *args), *args)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import test_replay_products as tests
for shape in tests.SHAPES[:8]:
    for dtype in tests.DTYPES:
        tests.test_a_group_behind_a_product(shape, dtype, 1)
tests.test_sums_of_gradients_of_one_weight()
tests.test_frozen_programs_give_the_bits_of_others_and_pack_their_weights(2, tests.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("simd", ["avx512", "avx2", "baseline"])
def test_under_every_instruction_set(simd: str, tmp_path: Path) -> None:
    sets = ["avx512", "avx2", "baseline"]
    if simd not in sets[sets.index(tg._core._isa) :]:
        pytest.skip(f"the processor has no {simd}")
    environment = {**os.environ, "TAPEGRAD_SIMD": simd}
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
