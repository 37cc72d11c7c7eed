"""Values against NumPy in cases that random tests do not reach: integers that wrap around, dtypes, arrays made from nothing."""

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


def test_probabilities_must_be_floating_and_probabilities():
    with pytest.raises(tg.DTypeError, match="float32 or float64"):
        tg.random.bernoulli(tg.Variable([0, 1]))
    with pytest.raises(ValueError, match="bernoulli"):
        tg.random.bernoulli(tg.Variable([0.5, 1.5]))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, -1.0])
def test_norms_of_nothing_and_of_extremes(p):
    assert tg.vector_norm(tg.zeros((2, 0)), axis=1, ord=abs(p)).tolist() == [0.0, 0.0]
    for x in ([3e-300, 4e-300], [3e300, 4e300], [3.0, -4.0]):
        exact = abs(x[0]) * np.linalg.norm(np.array([1.0, 4.0 / 3.0]), p)
        got = tg.vector_norm(tg.Variable(x, dtype=tg.float64), ord=p).item()
        assert got == pytest.approx(exact, rel=1e-14)


def test_losses_of_integers_are_floating():
    a, b = tg.Variable([1, 2]), tg.Variable([3.0, 2.0], dtype=tg.float64)
    for x, y, dtype in [(a, a, tg.float32), (a, b, tg.float64), (b, a, tg.float64)]:
        assert tg.nn.functional.mse_loss(x, y).dtype == dtype


def test_zero_grad_may_keep_the_array():
    p = tg.nn.Parameter(tg.ones(2))
    optimizer = tg.optim.SGD([p], lr=0.1)
    tg.sum(p * p).backward(create_graph=True)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]
    assert not p.grad.requires_grad
    optimizer.zero_grad()
    assert p.grad is None
