"""Layers and activations, against NumPy and differences; functions with PyTorch's arguments."""

import copy
import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F


def test_linear():
    layer = nn.Linear(3, 2, dtype=tg.float64)
    x = np.arange(24.0).reshape(2, 4, 3)
    expected = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(tg.asarray(x)).detach().numpy(), expected)
    assert nn.Linear(0, 2)(tg.zeros((3, 0))).shape == (3, 2)
    assert nn.Linear(2, 2, bias=False).bias is None
    with pytest.raises(ValueError, match="must not be negative"):
        nn.Linear(-1, 2)
    with pytest.raises(tg.ShapeError, match=re.escape("(4, 5)")):
        nn.Linear(3, 2)(tg.ones((4, 5)))


def test_flatten_and_identity():
    x = tg.zeros((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten()(tg.zeros((0, 3, 2))).shape == (0, 6)
    assert nn.Flatten(0)(tg.zeros(())).shape == (1,)
    with pytest.raises(tg.AxisError, match="start_dim=3 and end_dim=-1 do not fit an input of 2 dimensions"):
        nn.Flatten(3)(tg.zeros((2, 2)))
    assert nn.Identity(3, anything=True)(x) is x


X = np.array([[-2.0, -0.5, 0.7], [0.3, 1.0, 3.0]])


def erf(x):
    from math import erf as scalar

    return np.vectorize(scalar)(x)


ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    (nn.PReLU(dtype=tg.float64), lambda x: np.where(x > 0, x, 0.25 * x)),
    (nn.PReLU(3, 0.5, dtype=tg.float64), lambda x: np.where(x > 0, x, 0.5 * x)),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.Tanh(), np.tanh),
    (nn.GELU(), lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2)))),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (nn.Softplus(2.0, 1.0), lambda x: np.where(2 * x > 1.0, x, np.log1p(np.exp(2 * x)) / 2)),
    (nn.ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    (nn.Softmax(dim=0), lambda x: np.exp(x) / np.exp(x).sum(0)),
    (nn.LogSoftmax(dim=1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
]


@pytest.mark.parametrize(("module", "expected"), ACTIVATIONS, ids=[repr(m) for m, _ in ACTIVATIONS])
def test_activations(module, expected):
    x = tg.Variable(X, requires_grad=True)
    np.testing.assert_allclose(module(x).detach().numpy(), expected(X), rtol=1e-12)
    assert tg.autograd.gradcheck(module, x, fast=False)
    copied = copy.deepcopy(module)
    assert repr(copied) == repr(module)


def test_prelu_checks_its_weight():
    with pytest.raises(tg.ShapeError, match=r"weight has shape \(2,\).*channel \(axis 1\) of \(2, 3\)"):
        F.prelu(tg.Variable(X), tg.ones((2,)))
    images = tg.Variable(-np.ones((2, 3, 4, 4)))
    out = F.prelu(images, tg.Variable([1.0, 2.0, 3.0], dtype=tg.float64)).numpy()
    np.testing.assert_array_equal(out[0, :, 0, 0], [-1.0, -2.0, -3.0])
    assert F.prelu(tg.Variable(-2.0), tg.Variable([0.5])).item() == -1.0


def test_activations_of_two_kinds_are_one_operation_each():
    x, w = tg.Variable(X, requires_grad=True), tg.Variable([0.5, 1.0, 2.0], dtype=tg.float64, requires_grad=True)
    with tg.Tape() as tape:
        F.prelu(x, w)
        F.gelu(x)
        F.gelu(x, approximate="tanh")
        F.softplus(x, beta=2.0, threshold=None)
    assert [n.op for n in tape.nodes if n.op != "reshape"] == ["prelu", "gelu_erf", "gelu_tanh", "softplus"]
    assert tg.autograd.gradcheck(F.prelu, [x, w], fast=False)


def test_functional_takes_dim_or_axis():
    x = tg.Variable(X)
    np.testing.assert_array_equal(F.softmax(x, dim=0).numpy(), F.softmax(x, axis=0).numpy())
    np.testing.assert_array_equal(F.softmax(x, 1).numpy(), F.softmax(x).numpy())
    with pytest.raises(TypeError, match="dim or axis, not both"):
        F.log_softmax(x, dim=0, axis=1)
    with pytest.raises(ValueError, match="approximate is 'erf', expected 'none' or 'tanh'"):
        F.gelu(x, "erf")


def test_functional_losses():
    p, t = tg.Variable([0.2, 0.9]), tg.Variable([0.0, 1.0])
    assert F.mse_loss(p, t, reduction="sum").item() == pytest.approx(0.05, rel=1e-5)
    assert F.binary_cross_entropy(p, t).item() == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2, rel=1e-5)
    assert F.binary_cross_entropy_with_logits(p, t, reduction="none").shape == (2,)
    logits = tg.Variable([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]])
    loss = F.cross_entropy(logits, tg.Variable([1, -100]), label_smoothing=0.0)
    assert loss.item() == pytest.approx(-np.log(np.exp(2) / np.exp([1, 2, 0.5]).sum()), rel=1e-5)
