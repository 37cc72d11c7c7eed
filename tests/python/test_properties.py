"""Random shapes, layouts, axes and indices, with NumPy as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg

MODEST = settings(max_examples=60, deadline=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def array(draw: st.DrawFn, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Small integers as numbers of the dtype, in a layout of any kind."""
    data = np.array(draw(st.lists(st.integers(-4, 4), min_size=1, max_size=7)), dtype=dtype)
    a = np.resize(data, tuple(2 * n for n in reversed(shape))).reshape(tuple(2 * n for n in reversed(shape))).T
    steps = tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)
    return a[steps][tuple(slice(n) for n in shape)]


@st.composite
def arrays(draw: st.DrawFn, dtype: str = "float64", min_dims: int = 0) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=4, min_side=1, max_side=4))
    return array(draw, shape, dtype)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=4, min_side=0, max_side=4)).input_shapes
    dtypes = [draw(st.sampled_from(["float32", "float64", "int32", "int64", "uint8"])) for _ in shapes]
    a, b = (np.abs(array(draw, s, "int64")).astype(d) for s, d in zip(shapes, dtypes, strict=True))
    return a, b


@MODEST
@given(pairs(), st.sampled_from(["add", "subtract", "multiply", "maximum", "minimum", "less", "equal"]))
def test_binary_operations_are_numpys(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    a, b = pair
    want = getattr(np, name)(a, b)
    got = getattr(tg, name)(tg.Variable(a), tg.Variable(b))
    assert got.dtype == str(want.dtype)
    np.testing.assert_array_equal(got.numpy(), want)


@MODEST
@given(st.data())
def test_reductions_are_numpys(data: st.DataObject) -> None:
    x = data.draw(arrays())
    axes = data.draw(st.none() | st.lists(st.integers(0, x.ndim - 1), unique=True).map(tuple)) if x.ndim else None
    axis = tuple(data.draw(st.sampled_from([a, a - x.ndim])) for a in axes) if axes is not None else None
    keepdims = data.draw(st.booleans())
    name = data.draw(st.sampled_from(["sum", "mean", "prod", "max", "min", "var", "std", "any", "all"]))
    want = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    got = getattr(tg, name)(tg.Variable(x), axis=axis, keepdims=keepdims)
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)


def key(data: st.DataObject, shape: tuple[int, ...]) -> object:
    """A basic index, one with an integer array, or a mask."""
    kind = data.draw(st.sampled_from(["basic", "integers", "mask"]))
    if kind == "mask":
        return data.draw(hnp.arrays(np.bool_, shape))
    basic = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=kind == "basic"))
    if kind == "basic":
        return basic
    at = data.draw(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=3), elements=st.integers(-shape[0], shape[0] - 1)))
    return (at, *(slice(None, None, data.draw(st.sampled_from([1, -1, 2]))) for _ in shape[1:]))


@MODEST
@given(st.data())
def test_reading_by_an_index_and_its_gradient(data: st.DataObject) -> None:
    a = data.draw(arrays(min_dims=1))
    index = key(data, a.shape)
    x = tg.Variable(a, requires_grad=True)
    got = x[index]
    np.testing.assert_array_equal(got.detach().numpy(), a[index])
    g = np.arange(np.size(a[index]), dtype=np.float64).reshape(np.shape(a[index]))
    got.backward(tg.Variable(g))
    want = np.zeros(a.shape)
    np.add.at(want, index, g)
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), want)


@MODEST
@given(st.data())
def test_writing_by_an_index(data: st.DataObject) -> None:
    a = data.draw(arrays(min_dims=1))
    index = key(data, a.shape)
    want, x = a.copy(), tg.Variable(a.copy())
    values = np.arange(np.size(a[index]), dtype=np.float64).reshape(np.shape(a[index]))
    want[index] = values
    x[index] = values
    np.testing.assert_array_equal(x.numpy(), want)


@MODEST
@given(st.data())
def test_shapes_go_there_and_back(data: st.DataObject) -> None:
    a = data.draw(arrays(min_dims=1))
    x = tg.Variable(a)
    order = data.draw(st.permutations(range(a.ndim)))
    np.testing.assert_array_equal(tg.permute_dims(x, tuple(order)).numpy(), a.transpose(order))
    np.testing.assert_array_equal(x.reshape(-1).reshape(a.shape).numpy(), a)
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    pieces = tg.array_split(x, data.draw(st.integers(1, 5)), axis=axis)
    np.testing.assert_array_equal(tg.concat(list(pieces), axis=axis).numpy(), a)
    np.testing.assert_array_equal(tg.stack([x, x], axis=axis).numpy(), np.stack([a, a], axis=axis))


@MODEST
@given(SHAPES, SHAPES)
def test_shapes_broadcast_or_raise_as_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = tg.zeros(a), tg.zeros(b)
    try:
        want = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(tg.ShapeError, match="do not broadcast"):
            _ = x + y
    else:
        assert (x + y).shape == want
