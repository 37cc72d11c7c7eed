"""autograd.backward and autograd.grad: several outputs, seeds, inputs, unused inputs."""

import pytest

import tapegrad as tg
from tapegrad.autograd import backward, grad


def leaf(value):
    return tg.Variable(value, dtype=tg.float64, requires_grad=True)


def test_backward_from_several_outputs():
    x = leaf([1.0, 2.0])
    backward([tg.sum(x * x), x * 3.0], [None, tg.Variable([1.0, 10.0], dtype=tg.float64)])
    assert x.grad.tolist() == [2.0 + 3.0, 4.0 + 30.0]


def test_backward_to_some_inputs():
    x, y = leaf(2.0), leaf(3.0)
    backward(x * y, inputs=[x])
    assert x.grad.item() == 3.0
    assert y.grad is None
    with pytest.raises(ValueError, match="inputs is empty"):
        backward(x * y, inputs=[])


def test_backward_retains_on_request_and_for_higher_orders():
    x = leaf(2.0)
    y = x * x * x
    backward(y, retain_graph=True)
    backward(y, create_graph=True)
    assert x.grad.item() == 24.0
    assert x.grad.requires_grad
    x.grad = None  # a recorded gradient on its own leaf is a cycle
    backward(y)
    with pytest.raises(tg.FreedError, match="retain_graph=True"):
        backward(y)


def test_grad_leaves_no_trace():
    x, y = leaf(2.0), leaf(3.0)
    dx, dy = grad(x * x * y, [x, y])
    assert (dx.item(), dy.item()) == (12.0, 4.0)
    assert x.grad is None
    assert y.grad is None


def test_grad_with_a_seed():
    x = leaf([1.0, 2.0])
    (g,) = grad(x * x, x, tg.Variable([1.0, 10.0], dtype=tg.float64))
    assert g.tolist() == [2.0, 40.0]
    (g,) = grad([x * x, x * 1.0], x, [[1.0, 10.0], [5.0, 5.0]])
    assert g.tolist() == [7.0, 45.0]
    with pytest.raises(ValueError, match="2 gradients for 1 outputs"):
        grad(x * x, x, [x.detach(), x.detach()])


def test_unused_inputs():
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(tg.GradError, match="do not depend on input 1"):
        grad(x * x, [x, y])
    assert grad(x * x, [x, y], allow_unused=True)[1] is None


def test_fourth_derivative():
    x = leaf(1.5)
    y = x**5.0
    for _ in range(4):
        (y,) = grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(120 * 1.5)
