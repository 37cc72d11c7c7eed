"""Groups of formulas in replays: bit for bit what eager calls compute, whatever the shapes, layouts and gradients are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from replaying import flat, replayed

RNG = np.random.default_rng(23)
DTYPES = [tg.float32, tg.float64]
UNARY = [
    tg.tanh,
    tg.exp,
    tg.sin,
    tg.sigmoid,
    tg.abs,
    lambda x: -x,
    lambda x: x**2,
    lambda x: x**3,
    lambda x: tg.clip(x, -0.5, 0.5),
]
BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (y * y + 1),
    tg.maximum,
    lambda x, y: (x * x + 1) ** y,
]
CHOICES = [
    lambda x, y: tg.where(x > y, x, y * 2),
    lambda x, y: tg.where((x <= y) & (x >= -0.5), 0.25, y),
    lambda x, y: tg.where((x == y) | ~(y < 0.5), x * y, -1.0),
    lambda x, y: tg.where(tg.logical_xor(x != y, tg.isnan(x)), tg.where(y > 0, x, y), x),
    lambda x, y: (x > 0).astype(x.dtype) * y + tg.relu(x),
    lambda x, y: tg.minimum(tg.abs(x), y) * tg.sign(y),
    lambda x, y: tg.clip(x, y, None) + tg.where(tg.logical_not(x > y), y, 0.0),
]
EDGES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 1e300, 5e-324, 1e-40]


def normal(*shape: int, dtype: Any = tg.float64) -> tg.Variable:
    return tg.Variable(RNG.normal(size=shape)).clone().astype(dtype)


def check(f: Any, *args: Any, groups: bool = True) -> Any:
    """Replays on the arguments and on others of their shapes; returns the program."""
    compiled, _ = replayed(f, *args)
    listing = compiled.programs()[0].listing()
    assert ("group[" in listing) == groups, listing
    return compiled.programs()[0]


def random_formula(seed: int, binary: Any = BINARY) -> Any:
    rng = np.random.default_rng(seed)
    choices = [(int(rng.integers(2)), int(rng.integers(99)), int(rng.integers(99)), int(rng.integers(99))) for _ in range(12)]

    def f(*args: tg.Variable) -> tg.Variable:
        values = [*args, args[0] * 0.5]
        for two, k, i, j in choices:
            x, y = values[i % len(values)], values[j % len(values)]
            values.append(binary[k % len(binary)](x, y) if two else UNARY[k % len(UNARY)](x))
            if i % 3 == 0:
                values.append(tg.tanh(values[-1] * 1.5 + 0.25))
        return tg.tanh(values[-1]) + tg.tanh(values[-2]) * args[-1]

    return f


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shapes", [((),), ((1,),), ((7,), (7,)), ((3, 5), (5,)), ((4, 1), (3,)), ((300, 5), (300, 1))])
def test_random_formulas_and_their_gradients(seed: int, shapes: tuple[tuple[int, ...], ...]) -> None:
    dtype = DTYPES[seed % 2]
    f = random_formula(seed)
    args = [normal(*s, dtype=dtype) for s in shapes]
    check(f, *args)
    check(lambda *a: tg.value_and_grad(lambda *b: f(*b).sum(), tuple(range(len(a))))(*a), *args)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shapes", [((),), ((7,), (7,)), ((3, 5), (5,)), ((4, 1), (3,)), ((300, 5), (300, 1))])
def test_random_choices_and_their_gradients(seed: int, shapes: tuple[tuple[int, ...], ...]) -> None:
    f = random_formula(seed, CHOICES)
    args = [normal(*s, dtype=DTYPES[seed % 2]) for s in shapes]
    check(f, *args)
    check(lambda *a: tg.value_and_grad(lambda *b: f(*b).sum(), tuple(range(len(a))))(*a), *args)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("choice", range(len(CHOICES)))
def test_choices_of_special_values(choice: int, dtype: Any) -> None:
    with np.errstate(over="ignore", under="ignore"):
        x, y = (tg.Variable(np.array(a.ravel(), dtype=dtype.name)) for a in np.meshgrid(EDGES, EDGES))
    f = CHOICES[choice]
    check(f, x, y)
    check(lambda x, y: tg.value_and_grad(lambda a, b: (f(a, b) * 2).sum(), (0, 1))(x, y), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_truth_values_from_elsewhere_and_for_others(dtype: Any) -> None:
    def f(x: tg.Variable, y: tg.Variable) -> Any:
        mask = x.T[0] > 0.25
        small = (tg.tanh(x) * 2 < y) & mask
        a = tg.where(mask, x * y, y + 1) * tg.where(small, 1.0, x)
        return small, mask, a, tg.where(small, a, tg.where(small[:, ::-1], x, 0.5)) * 2, (x >= y), small.sum()

    def total(x: tg.Variable, y: tg.Variable) -> Any:
        return sum((r * r).sum() for r in f(x, y)[2:4])

    for shape in ((5, 5), (40, 40)):
        args = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype)
        check(f, *args)
        check(lambda x, y: tg.grad(total, (0, 1))(x, y), *args)


def test_a_choice_is_in_the_group_of_its_comparison() -> None:
    program = check(lambda x, y: tg.exp(tg.where(x * 2 < y, x - y, tg.tanh(y))) + 1, normal(5000), normal(5000))
    assert len(program.listing().splitlines()) == 1, program.listing()
    program = check(lambda x: tg.grad(lambda z: (tg.where(z > 0, z * z, tg.exp(z)) * 3).sum())(x), normal(5000))
    assert sum("group[" in line for line in program.listing().splitlines()) == 1, program.listing()


def test_truth_values_of_two_dtypes() -> None:
    def f(x: tg.Variable, y: tg.Variable) -> Any:
        return tg.where((x > 0.1) & (y < 0.2), y * 2, tg.exp(y)), tg.where((y * 2 < 0.2) | (x * 3 > 0.1), x * 2, tg.exp(x))

    check(f, normal(30, dtype=tg.float32), normal(30))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 7, 15, 16, 129, 257, 4095, 4097, 8193, 65535, 65536, 65545, 65552, 150_000])
def test_sums_of_groups_have_the_bits_of_sums(n: int, dtype: Any) -> None:
    for threads in (1, 2) if n >= 65536 else (1,):
        with tg.num_threads(threads):
            program = check(
                lambda x: ((x * x + 1).sum(), tg.tanh(x).mean(), (tg.tanh(x) * 3).sum(keepdims=True)), normal(n, dtype=dtype)
            )
            assert len(program.listing().splitlines()) == 1, program.listing()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(9, 1), (7, 3), (40, 5, 2), (300, 15), (300, 16), (9, 17), (5, 130), (900, 300), (33, 1024), (3, 1025), (2, 5000)]
)
def test_sums_of_rows(shape: tuple[int, ...], dtype: Any) -> None:
    def f(x: tg.Variable, y: tg.Variable) -> Any:
        z = tg.tanh(x * y)
        norm = (z * z).sum(axis=-1, keepdims=True)
        last = (x - y).mean(axis=-1)
        return norm, z / tg.sqrt(norm + 1), last, (x + y).sum(axis=tuple(range(1, x.ndim))), (x * y).sum(axis=0), (z + 1).sum()

    def total(x: tg.Variable, y: tg.Variable) -> Any:
        return sum(tg.sin(r).sum() for r in f(x, y))

    for threads in (1, 2) if shape[0] == 900 else (1,):
        with tg.num_threads(threads):
            args = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype)
            check(f, *args)
            check(lambda x, y: tg.value_and_grad(total, (0, 1))(x, y), *args)


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_whose_sums_overflow(dtype: Any) -> None:
    large = float(np.finfo(dtype.name).max) / 2
    check(lambda x: ((x * large).mean(), (x * large).mean(axis=1), (x * large).sum(axis=1)), tg.ones((3, 8), dtype=dtype))
    for edge in EDGES[:3]:
        x = normal(6, 9, dtype=dtype)
        x[2, 3] = edge
        check(lambda x: ((x * 2).mean(), (x * 2).mean(axis=1), tg.exp(x).mean()), x)
    check(lambda x: ((x * -1.0).sum(), (x * -1.0).mean(axis=1), (x * -1.0).sum(axis=1)), tg.zeros((3, 8), dtype=dtype))


def test_what_others_hold_is_never_overwritten() -> None:
    def f(x: tg.Variable, w: tg.Variable) -> Any:
        a = x @ w
        b = tg.tanh(a) * 2 + x
        c = b @ w
        d = c * 0.5 - 1
        part = c[1:3]
        return d, tg.exp(c * 0.1) * 2, part, b, (c.T * 2 + d).sum()

    compiled = tg.compile(f)
    x, w = normal(64, 64), normal(64, 64) * 0.1
    held: list[tuple[Any, list[bytes]]] = []
    for turn in range(7):
        given = x + turn
        before = flat(given)
        results = compiled(given, w)
        assert flat(results) == flat(f(given, w))
        assert flat(given) == before
        held.append((results, flat(results)))
    assert compiled.programs(), compiled.explain()
    # The same array twice, and a part of another one.
    for given in (w, normal(65, 64)[1:], normal(64, 128)[:, ::2]):
        before = flat(given)
        assert flat(compiled(given, w)) == flat(f(given, w))
        assert flat(given) == before
    assert all(flat(results) == bits for results, bits in held)


def test_results_take_the_places_of_operands() -> None:
    def f(x: tg.Variable, w: tg.Variable) -> tg.Variable:
        for _ in range(4):
            x = tg.tanh(x @ w) * 2 + 1
        return x

    check(f, normal(300, 300), normal(300, 300) * 0.1)
    total = lambda x, w: (tg.sin(f(x, w)) * 2).sum()  # noqa: E731
    check(lambda x, w: tg.grad(total, (0, 1))(x, w), normal(300, 300), normal(300, 300) * 0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [255, 256, 257, 4095, 4096, 4097, 5000])
def test_blocks_of_every_length(n: int, dtype: Any) -> None:
    def f(x: tg.Variable, y: tg.Variable) -> Any:
        return tg.grad(lambda a, b: (tg.tanh(a * b) * tg.sigmoid(a) + tg.exp(-b * b)).sum(), (0, 1))(x, y)

    check(f, normal(n, dtype=dtype), normal(n, dtype=dtype))


def test_a_loss_of_formulas_is_one_group() -> None:
    program = check(lambda x: tg.grad(lambda z: (tg.sin(z) * z + z * 2).sum())(x), normal(100))
    assert sum("group[" in line for line in program.listing().splitlines()) == 1, program.listing()


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_of_every_layout(dtype: Any) -> None:
    g = lambda x, row, column, one: (tg.tanh(x.T * row + column) * 2, tg.exp(x[::-1] * one) - x[:, :1], x[:, None] * x[None] + 1)  # noqa: E731
    args = (normal(5, 4, dtype=dtype), normal(5, dtype=dtype), normal(4, 1, dtype=dtype), normal(1, dtype=dtype))
    check(g, *args)
    total = lambda *a: sum((t * t).sum() for t in g(*a))  # noqa: E731
    check(lambda *a: tg.grad(total, (0, 1, 2, 3))(*a), *args)


@pytest.mark.parametrize("last", [1, 2, 3, 4, 5, 8, 9])
def test_short_last_axes(last: int) -> None:
    def f(p: tg.Variable) -> Any:
        def energy(p: tg.Variable) -> tg.Variable:
            d = p[:, None] - p[None]
            r = ((d * d).sum(axis=-1) + 0.01) ** -1.5
            return (d * r[..., None] * 0.5).sum()

        return tg.value_and_grad(energy)(p)

    check(f, normal(9, last))


def test_an_operand_that_is_used_twice_and_has_a_sum() -> None:
    def total(x: tg.Variable) -> tg.Variable:
        y = tg.exp(x)
        return ((y - y) * 3 + y * y + (y + y) / y + tg.maximum(y, y)).sum() + (y - y * 2).sum()

    for dtype in DTYPES:
        check(lambda x: tg.value_and_grad(total)(x), normal(6, dtype=dtype))


def test_pairs_of_operations() -> None:
    def f(x: tg.Variable, y: tg.Variable) -> Any:
        a = (x * y + 1, 1 - x * 2, (x + y) * y, (2 - x) * 3, y - (x - 0.5), (x * 0.9 + 0.1) * y - x)
        b = (-0.0 + x * -0.0, (x - y) * 0.3, 3 * (x + 2), x * y - x * y, (x * x) * (y + y), (x * 7 - 2**60) + 1)
        return (*a, *b)

    def total(x: tg.Variable, y: tg.Variable) -> tg.Variable:
        return sum((t * t).sum() for t in f(x, y)[:11])  # type: ignore[return-value]

    for dtype in DTYPES:
        check(f, normal(700, dtype=dtype), normal(700, dtype=dtype))
        check(lambda x, y: tg.grad(total, (0, 1))(x, y), normal(70, dtype=dtype), normal(70, dtype=dtype))


def test_numbers_on_either_side() -> None:
    check(lambda x: (2 - x, 3 / (x * x + 1), 2.0**x, x - 2, x / 3, tg.maximum(x, 0) + 1), normal(33))
    check(lambda x: (x * 0.0 + 1, x * -0.0 - 1), normal(33))


def test_other_dtypes_stay_steps() -> None:
    check(lambda x: (x * 3 + 1, x // 2), tg.arange(6), groups=False)
    check(lambda x: tg.where(x > 0, tg.exp(x) * 2, x - 1), normal(40))
    check(lambda x: (x.astype(tg.float64) * 2 + 1, x * 2 + 1), normal(40, dtype=tg.float32))


def test_arrays_without_elements() -> None:
    check(lambda x: tg.tanh(x * 2 + 1), normal(0, 3), groups=False)
    check(
        lambda x: (tg.where(x > 0, x, 1.0), (x * 2).sum(), (x * 2).sum(axis=1), (x * 2).sum(axis=0)), normal(0, 3), groups=False
    )


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_gradients(order: int) -> None:
    def f(x: tg.Variable) -> Any:
        g = lambda z: (tg.sin(z) * z**2).sum()  # noqa: E731
        for _ in range(order):
            inner = g
            g = lambda z, inner=inner: (tg.grad(inner)(z) * z).sum()  # noqa: E731
        return tg.grad(g)(x)

    check(f, normal(11))


def test_tracked_results() -> None:
    compiled = tg.compile(lambda x, w: tg.tanh(x * w + 1) * 2)
    x, w = normal(5, 4), normal(4)
    w.requires_grad_()
    for _ in range(5):
        w.grad = None
        compiled(x, w).sum().backward()
        got = w.grad.numpy().tobytes()
    w.grad = None
    (tg.tanh(x * w + 1) * 2).sum().backward()
    assert got == w.grad.numpy().tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_are_products(dtype: Any) -> None:
    x = normal(1000, dtype=dtype) * 1e3
    for two in (2, 2.0):
        assert flat(x**two) == flat(x * x)
        y = x.clone()
        y **= two
        assert flat(y) == flat(x * x)
    g = tg.grad(lambda z: (z**2).sum())(x)
    np.testing.assert_array_equal(g.numpy(), 2 * x.numpy())
    edges = tg.Variable([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e308], dtype=tg.float64)
    np.testing.assert_array_equal((edges**2).numpy(), [np.inf, np.inf, np.nan, 0.0, 0.0, np.inf])


def test_long_programs_are_numbered() -> None:
    def f(x: tg.Variable) -> tg.Variable:
        y = x
        for i in range(700):
            y = tg.tanh(y * 1.01 + x) if i % 2 else y - 0.125
        return y

    check(lambda x: tg.grad(lambda z: f(z).sum())(x), normal(3))


def test_threads_share_a_group_out() -> None:
    with tg.num_threads(2):
        check(lambda x, y: tg.grad(lambda z: (tg.tanh(z * y) * tg.exp(z)).sum())(x), normal(200_001), normal(200_001))
