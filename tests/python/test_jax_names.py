"""``tg.lax`` and ``tg.tree``: loops, choices and scans under JAX's names, against plain loops; under every transformation."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import lax, tree

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.random.default_rng(0).normal(size=5)


def test_loops() -> None:
    power = lambda x: lax.fori_loop(0, 3, lambda i, y: y * x + i, 1.0)  # noqa: E731
    x = tg.asarray(1.5)
    assert power(x).item() == pytest.approx(((1.5 + 0) * 1.5 + 1) * 1.5 + 2)
    assert tg.grad(power)(x).item() == pytest.approx(3 * 1.5**2 + 1)
    doubled = lambda x: lax.while_loop(lambda s: s[1] < 10.0, lambda s: (s[0] + 1, s[1] * x), (0, x))  # noqa: E731
    steps, value = doubled(tg.asarray(2.0))
    assert (steps, value.item()) == (3, 16.0)
    assert tg.grad(lambda x: doubled(x)[1])(tg.asarray(2.0)).item() == 32.0
    assert lax.fori_loop(3, 1, lambda i, y: y + 1, 7) == 7
    np.testing.assert_allclose(lax.map(lambda x: x**2, tg.asarray(X)).numpy(), X**2)
    total, running = lax.scan(lambda c, x: (c + x, c), tg.zeros((), dtype="float64"), tg.asarray(X))
    assert total.item() == pytest.approx(X.sum())
    assert running.shape == (5,)


def test_choices() -> None:
    f = lambda x: lax.cond(x > 0, lambda x: {"y": x * x}, lambda x: {"y": -x}, x)["y"]  # noqa: E731
    v = tg.asarray(X)
    want = np.where(X > 0, X * X, -X)
    np.testing.assert_allclose([f(x).item() for x in v], want)
    np.testing.assert_allclose(tg.vmap(f)(v).numpy(), want)
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(v).numpy(), np.where(X > 0, 2 * X, -1.0))
    branches = [lambda x: x, lambda x: x**2, lambda x: x**3]
    assert [lax.switch(i, branches, 2.0) for i in (-4, 0, 1, 2, 9)] == [2.0, 2.0, 4.0, 8.0, 8.0]
    index = tg.asarray(np.array([0, 1, 2, 7, -1]))
    mapped = tg.vmap(lambda i, x: lax.switch(i, branches, x))(index, v)
    np.testing.assert_allclose(mapped.numpy(), X ** np.array([1, 2, 3, 3, 1]))
    assert lax.cond(True, lambda: 1, lambda: 2) == 1
    assert lax.select(tg.asarray([True]), tg.asarray([1.0]), tg.asarray([2.0])).tolist() == [1.0]
    with pytest.raises(ValueError, match="no branches"):
        lax.switch(0, [])
    with pytest.raises(tg.ShapeError, match=r"containers of \[1, 2\] arrays"):
        tg.vmap(lambda x: lax.cond(x > 0, lambda: (x, x), lambda: x))(v)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 8, 13])
def test_associative_scan(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(2, n))
    for reverse in (False, True):
        got = lax.associative_scan(lambda a, b: a + b, tg.asarray(x), reverse=reverse, axis=1)
        want = np.cumsum(x[:, ::-1], axis=1)[:, ::-1] if reverse else np.cumsum(x, axis=1)
        np.testing.assert_allclose(got.numpy(), want)
    # A recursion y = a y + b: pairs are composed.
    compose = lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1])  # noqa: E731
    _, y = lax.associative_scan(compose, (tg.asarray(x[0]), tg.asarray(x[1])))
    value, plain = 0.0, []
    for a, b in x.T:
        value = a * value + b
        plain.append(value)
    np.testing.assert_allclose(y.numpy(), plain, atol=1e-12)


def test_scans_have_gradients_and_errors() -> None:
    x = tg.asarray(X).clone().requires_grad_(True)
    assert tg.autograd.gradcheck(lambda x: lax.associative_scan(lambda a, b: a * b, x), (x,))
    with pytest.raises(tg.ShapeError, match="expected one"):
        lax.associative_scan(lambda a, b: a, (tg.zeros(2), tg.zeros(3)))


def test_containers() -> None:
    point = namedtuple("point", "x y")
    value = {"a": [1, 2], "b": point(3, (4,))}
    assert tree.leaves(value) == [1, 2, 3, 4]
    assert tree.map(lambda v: v + 1, value) == {"a": [2, 3], "b": point(4, (5,))}
    assert tree.map(lambda v, w: v * w, value, value)["b"].y == (16,)
    found, structure = tree.flatten(value)
    assert tree.unflatten(structure, found) == value
    assert tree.structure(value) == structure
    assert tree.reduce(lambda a, b: a + b, value) == 10
    assert tree.reduce(lambda a, b: a + b, value, 5) == 15
    assert tree.all(value)
    assert not tree.all([1, [0]])
    with pytest.raises(ValueError, match="the containers differ"):
        tree.map(lambda v, w: v, value, {"a": [1, 2]})
    parameters = {"w": tg.Variable([1.0, 2.0]), "b": tg.Variable(0.5)}
    gradient = tg.grad(lambda p: tg.sum(p["w"] ** 2) * p["b"])(parameters)
    updated = tree.map(lambda p, g: p - 0.1 * g, parameters, gradient)
    np.testing.assert_allclose(updated["w"].numpy(), [0.9, 1.8], rtol=1e-6)


# ---- parts at places that are results ----


@pytest.mark.parametrize(("start", "row", "column"), [((1, 1), 1, 1), ((5, 5), 1, 2), ((-1, -2), 1, 2), ((0, -9), 0, 0)])
def test_parts_are_moved_into_the_array(start: tuple[int, int], row: int, column: int) -> None:
    x = np.arange(12.0).reshape(3, 4)
    for at in (start, tg.Variable(start), [tg.Variable(i) for i in start]):
        assert tg.lax.dynamic_slice(x, at, (2, 2)).tolist() == x[row : row + 2, column : column + 2].tolist()
        expected = x.copy()
        expected[row : row + 2, column : column + 2] = -1.0
        assert tg.lax.dynamic_update_slice(x, -tg.ones((2, 2)), at).tolist() == expected.tolist()
    assert x.sum() == 66.0


def test_parts_along_one_axis() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    assert tg.lax.dynamic_slice_in_dim(x, 1, 2, axis=1).tolist() == [[1, 2], [4, 5]]
    assert tg.lax.dynamic_index_in_dim(x, 1, axis=-1).tolist() == [[1], [4]]
    assert tg.lax.dynamic_index_in_dim(x, tg.Variable(1), keepdims=False).tolist() == [3, 4, 5]
    assert tg.lax.dynamic_update_slice_in_dim(x, tg.zeros((2, 1)), 2, axis=1).tolist() == [[0, 1, 0], [3, 4, 0]]
    for row in (tg.zeros(3), tg.zeros((1, 3))):
        assert tg.lax.dynamic_update_index_in_dim(x, row, 0, axis=0).tolist() == [[0, 0, 0], [3, 4, 5]]


def test_parts_are_recorded_and_mapped() -> None:
    def f(x: tg.Variable) -> tg.Variable:
        return tg.sum(tg.lax.dynamic_update_slice(x * 2.0, x[:1] ** 2, (2,)) ** 2)

    # The first element counts twice: 4 x² and x⁴.
    assert tg.grad(f)(tg.Variable([3.0, 1.0, 5.0])).tolist() == [24.0 + 108.0, 8.0, 0.0]
    starts = tg.Variable([0, 2])
    assert tg.vmap(lambda i: tg.lax.dynamic_slice(tg.arange(4), (i,), (2,)))(starts).tolist() == [[0, 1], [2, 3]]
    put = tg.vmap(lambda i, u: tg.lax.dynamic_update_slice(tg.zeros(4), u, (i,)))
    assert put(starts, tg.ones((2, 2))).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.lax.dynamic_slice(tg.ones((2, 2)), (0,), (1, 1)), tg.ShapeError, "needs 2 starts and sizes, got 1 and 2"),
        (lambda: tg.lax.dynamic_slice(tg.ones(2), (0,), (3,)), tg.ShapeError, "a part of 3 elements does not fit an axis of 2"),
        (lambda: tg.lax.dynamic_slice(tg.ones(2), (0.5,), (1,)), TypeError, "one whole number, got float32"),
        (lambda: tg.lax.dynamic_update_slice(tg.ones(2), 1.0, (0,)), tg.ShapeError, "expected as many axes"),
        (lambda: tg.lax.dynamic_index_in_dim(tg.ones(2), 0, axis=1), tg.AxisError, "axis 1 is out of bounds"),
    ],
)
def test_bad_parts(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_ravel_pytree_goes_there_and_back():
    tree = {"w": tg.asarray(np.arange(6.0).reshape(2, 3)), "n": [2.0, tg.arange(3)], "none": ()}
    vector, unravel = tg.tree.ravel_pytree(tree)
    assert vector.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 2.0, 0.0, 1.0, 2.0]
    back = unravel(vector)
    assert back["w"].tolist() == tree["w"].tolist()
    assert (back["n"][1].dtype, back["n"][1].tolist(), back["none"]) == (tg.int64, [0, 1, 2], ())
    with pytest.raises(tg.ShapeError, match=r"unravel: the vector has shape \(9,\), expected \(10,\)"):
        unravel(vector[:9])
    assert tg.tree.ravel_pytree(())[0].shape == (0,)


def test_gradients_flow_through_ravel_pytree():
    params = {"a": tg.asarray([1.0, 2.0]), "b": tg.asarray(3.0)}
    vector, unravel = tg.tree.ravel_pytree(params)

    def loss(v):
        p = unravel(v)
        return (p["a"] ** 2).sum() * p["b"]

    assert tg.grad(loss)(vector).tolist() == [6.0, 12.0, 5.0]
    assert tg.hessian(loss)(vector).shape == (3, 3)
    grads = tg.grad(lambda p: (tg.tree.ravel_pytree(p)[0] ** 2).sum())(params)
    assert grads["a"].tolist() == [2.0, 4.0]
    assert tg.vmap(lambda v: unravel(v)["a"].sum())(tg.stack([vector, 2.0 * vector])).tolist() == [3.0, 6.0]
