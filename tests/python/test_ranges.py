"""Numbers that leave their range: sums and squares near overflow, integers that a dtype cannot hold, roundings."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

INF = math.inf
NAN = math.nan


def leaf(data: Any, dtype: Any = tg.float32) -> Any:
    return tg.Variable(data, dtype=dtype, requires_grad=True)


# Largest scales at which all results are finite, and smallest ones, for each dtype.
SCALES = [(tg.float32, [1e-30, 1e-20, 1.0, 1e18]), (tg.float64, [1e-300, 1e-160, 1.0, 1e150])]
ROWS = np.array([[1.0, 1.0, 1.0, -1.0], [2.0, -3.0, 0.5, 4.0], [5.0, 5.0, 5.0, 5.0]])


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("correction", [0, 1])
def test_standard_deviation_scales(axis: int | None, correction: int) -> None:
    """std(c x) = c std(x), and its gradient is the same at every scale."""
    for dtype, scales in SCALES:
        base = leaf(ROWS, dtype)
        (slope,) = tg.autograd.grad(tg.std(base, axis, correction=correction).sum(), [base])
        for scale in [*scales, 5e37 if dtype == tg.float32 else 3e307]:
            x = leaf(ROWS * scale, dtype)
            got = tg.std(x, axis, correction=correction)
            np.testing.assert_allclose(
                got.detach().numpy() / scale, np.std(ROWS, axis=axis, ddof=correction), rtol=1e-5, atol=1e-7
            )
            (g,) = tg.autograd.grad(got.sum(), [x])
            np.testing.assert_allclose(g.numpy(), slope.numpy(), rtol=1e-5, atol=1e-6)


def test_variance_near_overflow() -> None:
    x = leaf([1e19, 1e19, 1e19, -1e19])
    y = tg.var(x)
    np.testing.assert_allclose(y.item(), 7.5e37, rtol=1e-6)
    (g,) = tg.autograd.grad(y, [x], create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), [2.5e18, 2.5e18, 2.5e18, -7.5e18], rtol=1e-6)
    (h,) = tg.autograd.grad(g[0], [x])
    np.testing.assert_allclose(h.numpy(), [0.375, -0.125, -0.125, -0.125], rtol=1e-6)
    # Beyond the range the variance is infinite, as in NumPy, and never NaN.
    for dtype, size in ((tg.float64, 1e160), (tg.float64, 1e308), (tg.float32, 1e20), (tg.float32, 3e38)):
        x = leaf([size, -size], dtype)
        assert tg.var(x).item() == INF
        np.testing.assert_allclose(tg.std(x).item(), size, rtol=1e-6)
    many = np.full(100_000, 1e18, np.float32)
    many[::2] *= -1
    np.testing.assert_allclose(tg.var(tg.Variable(many)).item(), 1e36, rtol=1e-5)


def test_variance_of_one_row_leaves_the_others_alone() -> None:
    x = np.array([[1e19, -1e19, 1e19], [1.0, 2.0, 4.0], [INF, 1.0, 2.0], [NAN, 1.0, 2.0]], np.float32)
    got = tg.var(tg.Variable(x), axis=1).numpy()
    np.testing.assert_allclose(got, [8.888889e37, 14 / 9, NAN, NAN], rtol=1e-5)
    got = tg.std(tg.Variable(x), axis=1).numpy()
    np.testing.assert_allclose(got, [9.428090e18, math.sqrt(14 / 9), NAN, NAN], rtol=1e-5)


def test_layer_norm_of_large_numbers() -> None:
    """(x - mean) / sqrt(var + eps) and (x - mean) / std are the same at every scale at which the variance is finite."""

    def normal(x: Any) -> Any:
        return (x - x.mean(-1, keepdims=True)) / tg.sqrt(tg.var(x, -1, keepdims=True) + 1e-12)

    want = normal(tg.Variable(ROWS[:2], dtype=tg.float32)).numpy()
    x = leaf(ROWS[:2] * 2e18)
    y = normal(x)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-5)
    (g,) = tg.autograd.grad((y * tg.Variable(ROWS[:2], dtype=tg.float32)).sum(), [x])
    assert np.isfinite(g.numpy()).all()


def test_means_of_large_numbers() -> None:
    for dtype, size in ((tg.float32, 3e38), (tg.float64, 1.7e308)):
        x = leaf([[size, size, size], [1.0, 2.0, 6.0], [-size, -size, size], [INF, 1.0, 1.0]], dtype)
        got = tg.mean(x, axis=1)
        np.testing.assert_allclose(got.detach().numpy(), [size, 3.0, -size / 3, INF], rtol=1e-6)
        assert tg.autograd.grad(got.sum(), [x])[0].tolist() == tg.full((4, 3), 1 / 3, dtype=dtype).tolist()
    large = tg.Variable([3e38, -3e38])
    zero = tg.Variable([0.0, 0.0])
    np.testing.assert_allclose(tg.nn.functional.l1_loss(large, zero).item(), 3e38, rtol=1e-6)
    np.testing.assert_allclose(tg.nn.functional.huber_loss(large, zero).item(), 3e38, rtol=1e-6)
    logits = tg.Variable([[0.0, 3e38], [0.0, 3e38]])
    np.testing.assert_allclose(tg.nn.functional.cross_entropy(logits, tg.Variable([0, 0])).item(), 3e38, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 1.5, 2, 3, INF])
def test_norms_scale(order: float) -> None:
    for dtype, scales in SCALES:
        base = leaf(ROWS, dtype)
        (slope,) = tg.autograd.grad(tg.norm(base, order, 1).sum(), [base])
        for scale in scales:
            x = leaf(ROWS * scale, dtype)
            got = tg.norm(x, order, 1)
            np.testing.assert_allclose(got.detach().numpy() / scale, np.linalg.norm(ROWS, order, axis=1), rtol=1e-5)
            np.testing.assert_allclose(tg.autograd.grad(got.sum(), [x])[0].numpy(), slope.numpy(), rtol=1e-4)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, INF])
def test_clipping_large_and_small_gradients(order: float) -> None:
    for dtype, scales in SCALES:
        for scale in scales:
            p = tg.nn.Parameter(tg.zeros(4, dtype=dtype))
            p.grad = tg.Variable(ROWS[1] * scale, dtype=dtype)
            norm = np.linalg.norm(ROWS[1], order) * scale
            got = tg.nn.utils.clip_grad_norm_([p], 1e-3 * norm, norm_type=order)
            np.testing.assert_allclose(got.item(), norm, rtol=1e-5)
            if norm > 1:  # the norm is divided with 1e-6 added, as in PyTorch
                np.testing.assert_allclose(p.grad.numpy() / scale, ROWS[1] * 1e-3, rtol=1e-5)


def test_softmax_of_the_largest_numbers() -> None:
    x = leaf([-3e38, 3e38])
    assert tg.softmax(x).tolist() == [0.0, 1.0]
    assert tg.logsumexp(x).item() == np.float32(3e38)
    assert tg.autograd.grad(tg.logsumexp(x), [x])[0].tolist() == [0.0, 1.0]
    assert tg.log_softmax(x).tolist() == [-INF, 0.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.arange(-5, 3, dtype=tg.uint8),
        lambda: tg.arange(0, 300, dtype=tg.uint8),
        lambda: tg.arange(300, 0, -1, dtype=tg.uint8),
        lambda: tg.arange(5, -5, -1, dtype=tg.uint8),
        lambda: tg.arange(0.0, 1e20, 1e19, dtype=tg.int64),
        lambda: tg.arange(0, 2**40, 2**39, dtype=tg.int32),
        lambda: tg.arange(-(2**63), 2**63 - 1, 2**62, dtype=tg.int32),
        lambda: tg.linspace(-5, 3, 9, dtype=tg.uint8),
        lambda: tg.linspace(0, 300, 4, dtype=tg.uint8),
        lambda: tg.linspace(300, 0, 4, dtype=tg.uint8),
        lambda: tg.full(2, 300, dtype=tg.uint8),
        lambda: tg.full(2, -1, dtype=tg.uint8),
        lambda: tg.full_like(tg.zeros(2, dtype=tg.uint8), 256),
        lambda: tg.full(2, INF, dtype=tg.int64),
        lambda: tg.asarray([300, -1], dtype=tg.uint8),
        lambda: tg.asarray(-1, dtype=tg.uint8),
        lambda: tg.array([1e10], dtype=tg.int32),
        lambda: tg.asarray([2**64]),
        lambda: tg.zeros(2, dtype=tg.uint8) + 300,
        lambda: 300 * tg.zeros(2, dtype=tg.uint8),
        lambda: tg.maximum(tg.zeros(2, dtype=tg.uint8), -1),
        lambda: tg.where(tg.Variable([True]), tg.zeros(2, dtype=tg.uint8), 300),
        lambda: tg.masked_fill(tg.zeros(2, dtype=tg.uint8), tg.Variable([True, False]), 300),
    ],
)
def test_numbers_that_a_dtype_cannot_hold(make: Any) -> None:
    with pytest.raises(OverflowError):
        make()


def test_numbers_that_a_dtype_can_hold() -> None:
    assert tg.arange(0, 256, dtype=tg.uint8).tolist() == list(range(256))
    assert tg.arange(255, -1, -5, dtype=tg.uint8).tolist() == list(range(255, -1, -5))
    assert tg.arange(5, 5, dtype=tg.uint8).tolist() == []
    assert tg.arange(-5, -5, dtype=tg.uint8).tolist() == []
    assert tg.arange(-(2**63), 2**63 - 1, 2**62).tolist() == np.arange(-(2**63), 2**63 - 1, 2**62).tolist()
    assert tg.arange(0.5, 5.0, dtype=tg.int64).tolist() == np.arange(0.5, 5.0, dtype=np.int64).tolist()
    assert tg.linspace(0, 255, 4, dtype=tg.uint8).tolist() == [0, 85, 170, 255]
    assert tg.linspace(0, 1, 3, dtype=tg.bool).tolist() == np.linspace(0, 1, 3, dtype=bool).tolist()
    np.testing.assert_allclose(
        tg.linspace(-1.7e308, 1.7e308, 5, dtype=tg.float64).numpy(), np.array([-1.7, -0.85, 0.0, 0.85, 1.7]) * 1e308
    )
    assert tg.clip(tg.Variable([0, 9], dtype=tg.uint8), -1, 300).tolist() == [0, 9]
    for make in (
        lambda: tg.linspace(NAN, 1, 3, dtype=tg.int32),
        lambda: tg.linspace(0, INF, 3, dtype=tg.int32),
        lambda: tg.full(1, NAN, dtype=tg.int32),
    ):
        with pytest.raises(ValueError, match="NaN"):
            make()


def test_rounding_of_integers() -> None:
    values = [0, 1, 4, 5, 6, 15, 25, 49, 50, 51, 99, 149, 150, 151, 250, 350, 1500, 2500, 123456]
    for dtype, array in ((tg.int64, np.int64), (tg.int32, np.int32)):
        signed = np.array([*values, *(-v for v in values)], array)
        for decimals in (0, 2, -1, -2, -3, -5, -9):
            got = tg.round(tg.Variable(signed), decimals)
            assert got.dtype == dtype
            assert got.tolist() == np.round(signed, decimals).tolist(), decimals
    assert tg.round(tg.Variable([2**62 + 51]), -2).tolist() == [(2**62 + 51 + 50) // 100 * 100]
    assert tg.round(tg.Variable([2**63 - 1]), -30).tolist() == [0]
    small = np.array([4, 5, 15, 244], np.uint8)
    assert tg.round(tg.Variable(small), -1).tolist() == np.round(small, -1).tolist()
    assert tg.Variable([1250, 1350]).round(-2).tolist() == [1200, 1400]


def test_rounding_of_floats() -> None:
    x = np.array([1.25, -1.35, 123.456, 1e300, 0.0, -0.0, INF, NAN])
    for decimals in (-400, -2, 0, 1, 3, 20, 300):
        want = np.array([round(float(v), decimals) if math.isfinite(v) and decimals != -400 else v for v in x])
        want = np.where(np.isfinite(x), 0.0, x) if decimals == -400 else want
        got = tg.round(tg.Variable(x), decimals).numpy()
        finite = np.isfinite(x)
        np.testing.assert_allclose(got[finite], want[finite], rtol=1e-15, atol=1e-15)
        assert math.isnan(got[-1])
    assert tg.round(tg.zeros(1), 50).tolist() == [0.0]
    assert tg.round(tg.ones(1), -50).tolist() == [0.0]
    large = leaf([1.5e38, 1.26])
    y = tg.round(large, 1)
    np.testing.assert_allclose(y.detach().numpy(), [1.5e38, 1.3], rtol=1e-6)
    assert tg.autograd.grad(y.sum(), [large])[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["concat", "concatenate", "cat"])
def test_joining_flat(name: str) -> None:
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf(5.0)
    y = getattr(tg, name)([a, b, tg.zeros((1, 2))], axis=None)
    assert y.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0]
    (ga, gb) = tg.autograd.grad((y * tg.arange(7.0)).sum(), [a, b])
    assert ga.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert gb.item() == 4.0
    assert tg.concat([tg.zeros((0, 3)), tg.ones(2)], axis=None).shape == (2,)
    assert np.concatenate([a, b], axis=None).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_none_as_an_axis_that_has_another_default() -> None:
    x = tg.Variable([[3.0, 1.0], [2.0, 0.0]])
    assert tg.take_along_axis(x, tg.Variable([3, 0]), axis=None).tolist() == [0.0, 3.0]


def test_masks_with_an_axis_of_size_zero() -> None:
    none = np.zeros((0,), bool)
    for x, mask in [
        (np.arange(3.0), none),
        (np.zeros((0, 3)), np.zeros((0, 3), bool)),
        (np.zeros((0, 3)), none),
        (np.zeros((3, 0)), np.zeros((3, 0), bool)),
        (np.ones((2, 3)), np.zeros((2, 0), bool)),
        (np.ones((2, 3)), np.zeros((0, 0), bool)),
        (np.ones((2, 3, 4)), np.zeros((0, 3), bool)),
    ]:
        got = leaf(x, tg.float64)[tg.Variable(mask)]
        assert got.shape == x[mask].shape
        v = leaf(x, tg.float64)
        (g,) = tg.autograd.grad(v[mask].sum(), [v])
        assert g.shape == x.shape
        assert not g.numpy().any()
        y = tg.Variable(x.copy())
        y[mask] = 7.0
        expected = x.copy()
        expected[mask] = 7.0
        np.testing.assert_array_equal(y.numpy(), expected)
    with pytest.raises(IndexError, match="boolean index did not match"):
        tg.ones((2, 3))[np.zeros((0, 2), bool)]


def random_key(rng: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A key with masks over one axis or several, and with all other kinds of indices."""
    key: list[Any] = []
    axis = 0
    while axis < len(shape):
        kind = rng.random()
        if kind < 0.5:
            axes = rng.randint(1, len(shape) - axis)
            sizes = [0 if rng.random() < 0.1 else n for n in shape[axis : axis + axes]]
            key.append(np.array([rng.random() < 0.5 for _ in range(math.prod(sizes))], bool).reshape(sizes))
            axis += axes
        elif kind < 0.6:
            key.append(rng.choice([None, True, False, np.array(True)]))
        elif kind < 0.75 and Ellipsis not in [k for k in key if not isinstance(k, np.ndarray)]:
            key.append(Ellipsis)
            axis += rng.randint(0, len(shape) - axis)
        elif kind < 0.85 and shape[axis]:
            key.append(rng.randrange(-shape[axis], shape[axis]))
            axis += 1
        else:
            key.append(rng.choice([slice(None), slice(0, 2), slice(None, None, -1)]))
            axis += 1
    return tuple(key)


def test_masks_are_numpys() -> None:
    rng = random.Random(7)
    seen = 0
    for _ in range(1500):
        shape = tuple(rng.choice([0, 1, 2, 3]) for _ in range(rng.randint(0, 3)))
        x = np.arange(float(math.prod(shape))).reshape(shape)
        key = random_key(rng, shape)
        try:
            want = x[key]
        except IndexError:
            with pytest.raises(IndexError):
                tg.Variable(x.copy())[key]
            continue
        seen += 1
        v = leaf(x, tg.float64)
        got = v[key]
        assert got.shape == want.shape, (shape, key)
        np.testing.assert_array_equal(got.detach().numpy(), want)
        (g,) = tg.autograd.grad(got.sum(), [v])
        counts = np.zeros(shape)
        np.add.at(counts, key, 1.0)
        np.testing.assert_array_equal(g.numpy(), counts)
        y = tg.Variable(x.copy())
        values = np.arange(float(want.size)).reshape(want.shape) + 100.0
        y[key] = tg.Variable(values)
        x[key] = values
        np.testing.assert_array_equal(y.numpy(), x)
    assert seen > 500
