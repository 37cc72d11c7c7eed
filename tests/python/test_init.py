"""First values of parameters: PyTorch's fans and gains, in place, off the tape."""

from math import sqrt

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import init


@pytest.fixture(autouse=True)
def _seed():
    tg.random.manual_seed(3)


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("conv2d", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, sqrt(2)),
        ("selu", None, 0.75),
        ("leaky_relu", None, sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.5, sqrt(2 / 1.25)),
    ],
)
def test_gains(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain)


def test_unknown_nonlinearity():
    with pytest.raises(ValueError, match="unknown nonlinearity 'swoosh'; known are"):
        init.calculate_gain("swoosh")


@pytest.mark.parametrize(("shape", "fans"), [((8, 4), (4, 8)), ((8, 4, 3), (12, 24)), ((8, 4, 3, 5), (60, 120))])
def test_fans(shape, fans):
    assert init.fans(tg.zeros(shape)) == fans


def test_fans_need_two_axes():
    with pytest.raises(tg.ShapeError, match=r"at least 2 dimensions, got shape \(3,\)"):
        init.xavier_uniform_(tg.zeros((3,)))


SHAPE = (120, 400)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * sqrt(2 / 520)),
        (init.xavier_normal_, sqrt(2 / 520)),
        (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), sqrt(2 / 400)),
        (lambda t: init.kaiming_uniform_(t, a=sqrt(5)), sqrt(2 / 6 / 400)),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), sqrt(2 / 120)),
        (lambda t: init.normal_(t, 0.0, 0.3), 0.3),
        (lambda t: init.uniform_(t, -1.0, 1.0), 1 / sqrt(3)),
    ],
)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_spread(fill, std, dtype):
    t = tg.Variable(np.zeros(SHAPE), dtype=dtype, requires_grad=True)
    assert fill(t) is t
    values = t.detach().numpy()
    assert t.dtype == dtype
    assert t.is_leaf
    assert t.requires_grad
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 4 * std / sqrt(values.size)


def test_uniform_stays_inside():
    values = init.uniform_(tg.zeros((50, 50)), 2.0, 3.0).numpy()
    assert values.min() >= 2.0
    assert values.max() < 3.0


def test_constants():
    t = tg.nn.Parameter(np.ones((2, 3), dtype=np.float32))
    assert init.constant_(t, 4.5).detach().numpy().tolist() == [[4.5] * 3] * 2
    assert init.zeros_(t).detach().numpy().sum() == 0
    assert init.ones_(t).detach().numpy().sum() == 6


def test_mode_is_checked():
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(tg.zeros((2, 2)), mode="fan")


def test_same_seed_same_values():
    first = init.kaiming_uniform_(tg.zeros((5, 5))).numpy(copy=True)
    second = init.kaiming_uniform_(tg.zeros((5, 5))).numpy(copy=True)
    tg.random.manual_seed(3)
    again = init.kaiming_uniform_(tg.zeros((5, 5))).numpy(copy=True)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_a_generator_of_ones_own():
    one = init.normal_(tg.zeros((5,)), generator=tg.random.Generator(7)).numpy()
    two = init.normal_(tg.zeros((5,)), generator=tg.random.Generator(7)).numpy()
    np.testing.assert_array_equal(one, two)


def test_linear_starts_as_pytorch_does():
    layer = tg.nn.Linear(400, 120)
    bound = 1 / sqrt(400)
    for p in layer.parameters():
        values = p.detach().numpy()
        assert abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / sqrt(3), rel=0.15)
