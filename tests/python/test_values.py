"""Values against NumPy where random cases do not lead: integers that wrap around, dtypes, arrays made from nothing."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg

INTEGERS = [-7, -2, -1, 0, 1, 2, 3, 100, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "maximum", "minimum", "floor_divide", "remainder", "fmod", "power"]
)
def test_integers_wrap_around_as_numpys(name, dtype):
    a, b = (m.ravel() for m in np.meshgrid(INTEGERS, INTEGERS))
    a, b = a.astype(dtype), b.astype(dtype)
    if name == "power":
        b = (b % 5).astype(dtype)
    with np.errstate(all="ignore"):
        want = getattr(np, name)(a, b)
    got = getattr(tg, name)(tg.Variable(a), tg.Variable(b))
    np.testing.assert_array_equal(got.numpy(), want)
    assert got.dtype.name == dtype


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("name", ["abs", "sign", "square", "negative", "positive", "floor", "ceil", "trunc", "round"])
def test_integers_stay_integers(name, dtype):
    a = np.array(INTEGERS).astype(dtype)
    got = getattr(tg, name)(tg.Variable(a))
    np.testing.assert_array_equal(got.numpy(), getattr(np, name)(a))
    assert got.dtype.name == dtype


def test_integers_have_no_negative_powers():
    a = tg.Variable([2, 3])
    for b in (-1, tg.Variable([1, -1])):
        with pytest.raises(ValueError, match="integers to negative integer powers are not allowed"):
            tg.power(a, b)
    assert tg.power(a, 2.0).tolist() == [4.0, 9.0]
    assert tg.power(a, True).tolist() == [2, 3]


@pytest.mark.parametrize("k", [-5, -1, 0, 2, 7])
def test_eye(k):
    for n, m in [(3, 3), (2, 4), (4, 2), (0, 3)]:
        np.testing.assert_array_equal(tg.eye(n, m, k).numpy(), np.eye(n, m, k))


def test_arange_and_like():
    for arguments in [(5,), (2, 7), (7, 2, -2), (0.5, 2.0, 0.25), (True, 4), (tg.Variable(3),)]:
        got, want = tg.arange(*arguments), np.arange(*(a.item() if isinstance(a, tg.Variable) else a for a in arguments))
        np.testing.assert_array_equal(got.numpy(), want)
    with pytest.raises(TypeError, match=r"expected a number for argument 1, got an array of shape \(2,\)"):
        tg.arange(tg.zeros(2))
    x = tg.zeros((2, 3), dtype="int32")
    for like, value in [(tg.zeros_like, 0), (tg.ones_like, 1), (lambda x, **o: tg.full_like(x, 7, **o), 7)]:
        assert (like(x).dtype, like(x).tolist()) == (tg.int32, [[value] * 3] * 2)
        assert like(x, dtype="float64").dtype == tg.float64


def test_one_hot():
    np.testing.assert_array_equal(tg.one_hot(tg.Variable([2, 0]), -1).numpy(), np.eye(3, dtype=int)[[2, 0]])
    with pytest.raises(ValueError, match="num_classes must be given for an empty array"):
        tg.one_hot(tg.zeros(0, dtype="int64"), -1)
    with pytest.raises(tg.DTypeError, match="integers"):
        tg.one_hot(tg.zeros(2), 3)
    with pytest.raises(ValueError, match="one_hot"):
        tg.one_hot(tg.Variable([3]), 3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_where_of_every_dtype(dtype):
    mask, a, b = np.array([[True], [False]]), np.array([1, 0, 1]).astype(dtype), np.zeros((2, 3)).astype(dtype)
    got = tg.where(tg.Variable(mask), tg.Variable(a), tg.Variable(b))
    np.testing.assert_array_equal(got.numpy(), np.where(mask, a, b))
    assert got.dtype.name == dtype
