"""Gradients that reach a value along several paths: rules add to the collected gradient, in its own buffer."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import backward, grad


def leaf(a):
    return tg.Variable(a, requires_grad=True)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 7, 300, 5000])
def test_elementwise_paths(n, dtype):
    a = numbers(n).astype(dtype)
    x = leaf(a)
    (x * x + tg.exp(x) / x - x * 3.0 + 2.0 / x + tg.tanh(x) * tg.tanh(x)).sum().backward()
    t, a = np.tanh(a.astype(float)), a.astype(float)
    want = 2 * a + np.exp(a) / a - np.exp(a) / a**2 - 3 - 2 / a**2 + 2 * t * (1 - t * t)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=tolerance, atol=tolerance)


def test_paths_through_views_and_broadcasts():
    a, row = numbers((4, 3)), numbers(3, 1)
    x, r = leaf(a), leaf(row)
    (x.T * 2.0).sum().backward(retain_graph=True)
    (x * r + x[1:].sum() * r + x * x + r * r).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 + row + 2 * a + 4 * row.sum() * (np.arange(4) > 0)[:, None])
    np.testing.assert_allclose(r.grad.numpy(), a.sum(0) + 4 * a[1:].sum() + 4 * 2 * row)


def test_products_add_to_what_is_there():
    a, b = numbers((5, 5)), numbers((5, 5), 1)
    w, x = leaf(a), leaf(b)
    (w @ w + (w @ x) * 2.0 + x.T @ w).sum().backward()
    one = np.ones((5, 5))
    np.testing.assert_allclose(w.grad.numpy(), one @ a.T + a.T @ one + 2 * one @ b.T + b @ one)
    np.testing.assert_allclose(x.grad.numpy(), 2 * a.T @ one + a @ one)


def test_a_batch_of_products_adds_too():
    a, b = numbers((2, 3, 4)), numbers((4, 3), 1)
    x, w = leaf(a), leaf(b)
    (tg.matmul(x, w) * 3.0).sum().backward()
    tg.matmul(x, w).sum().backward()
    ((x @ w) + (x @ w)).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 6 * np.broadcast_to(a.sum((0, 1))[:, None], (4, 3)))
    np.testing.assert_allclose(x.grad.numpy(), 6 * np.broadcast_to(b.sum(1), (2, 3, 4)))


def test_one_cotangent_for_two_inputs_is_not_overwritten():
    a, b = leaf(np.array([1.0, 2.0])), leaf(np.array([3.0, 4.0]))
    p, q = a * 1.0, b * 1.0
    # The sum gives p and q the same array; the product adds to q alone, then to p.
    (tg.multiply(p, 5.0) + tg.multiply(q, 7.0) + (p + q)).sum().backward()
    assert a.grad.tolist() == [6.0, 6.0]
    assert b.grad.tolist() == [8.0, 8.0]


def test_gradients_that_somebody_holds_stay():
    x = leaf(np.array([1.0, 2.0]))
    h = x * 2.0
    h.retain_grad()
    seen = []
    h.register_hook(lambda g: seen.append(g))
    (h * h).sum().backward(retain_graph=True)
    first = seen[0]
    (h * 10.0 + h * h).sum().backward()
    assert first.tolist() == [4.0, 8.0]
    assert h.grad.tolist() == [18.0, 26.0]
    assert seen[1].tolist() == [14.0, 18.0]
    assert x.grad.tolist() == [8.0 + 28.0, 16.0 + 36.0]


def test_seeds_and_saved_values_are_not_overwritten():
    x, seed = leaf(np.array([1.0, 2.0])), tg.Variable(np.array([1.0, 1.0]))
    y = x * 3.0
    backward([y * y, y], [seed, seed])
    assert seed.tolist() == [1.0, 1.0]
    assert y.tolist() == [3.0, 6.0]
    assert x.grad.tolist() == [21.0, 39.0]


def test_the_same_input_asked_for_twice():
    x = leaf(np.array([1.0, 2.0, 3.0]))
    first, second = grad((x * x).sum() + x[1:].sum() * 5.0, [x, x])
    assert first.tolist() == second.tolist() == [2.0, 9.0, 11.0]


def test_a_nan_that_came_in_is_not_blamed_on_a_later_rule():
    x = leaf(np.array([1.0]))
    with tg.autograd.detect_anomaly():
        backward([x * 3.0, x * 2.0], [tg.Variable([1.0], dtype=tg.float64), tg.Variable([float("nan")], dtype=tg.float64)])
    assert np.isnan(x.grad.numpy()).all()


def test_products_have_derivatives_of_every_order():
    """Each order saves one factor more than the one before."""
    n = 12
    x = leaf(np.ones(n))
    y, want = tg.prod(x), 1
    for order in range(n):
        (g,) = grad(y, [x], create_graph=True)
        y = g.sum()
        want *= n - order
        assert y.item() == want, order
