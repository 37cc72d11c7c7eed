"""Convolutions in replays: bit for bit what eager calls compute, with groups as their epilogues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from replaying import check_training, flat, replayed, with_adam
from tapegrad import nn

RNG = np.random.default_rng(31)
DTYPES = [tg.float32, tg.float64]


def normal(*shape: int, dtype: Any = tg.float64) -> tg.Variable:
    return tg.Variable(RNG.normal(size=shape)).clone().astype(dtype)


def check(f: Any, *args: Any, then: bool = True) -> None:
    """Replays on the arguments, on others, and on others of other layouts. `then`: whether a group is an epilogue."""
    compiled, others = replayed(f, *args)
    turned = [tg.Variable(np.asfortranarray(a.numpy())) for a in others]
    assert flat(compiled(*turned)) == flat(f(*others))
    listing = compiled.programs()[0].listing()
    assert (" then group[" in listing) == then, listing


# The function, images, weight, channels of the bias, options.
CASES: list[tuple[Any, tuple[int, ...], tuple[int, ...], int, dict[str, Any]]] = [
    (F.conv1d, (3, 4, 20), (5, 4, 3), 5, {}),
    (F.conv2d, (3, 4, 9, 8), (6, 4, 3, 3), 6, {"padding": 1}),
    (F.conv2d, (1, 3, 30, 31), (8, 3, 5, 5), 8, {"stride": 2}),
    (F.conv2d, (4, 8, 20, 20), (8, 8, 3, 3), 8, {"padding": "same", "dilation": 2}),
    (F.conv2d, (2, 4, 6, 7), (5, 4, 1, 1), 5, {}),
    (F.conv2d, (2, 4, 6, 7), (4, 1, 3, 3), 4, {"groups": 4}),
    (F.conv2d, (2, 6, 6, 7), (4, 3, 2, 3), 4, {"groups": 2}),
    (F.conv3d, (2, 2, 4, 5, 6), (3, 2, 2, 2, 2), 3, {}),
    (F.conv_transpose1d, (3, 4, 9), (4, 5, 3), 5, {"stride": 2}),
    (F.conv_transpose2d, (2, 4, 6, 5), (4, 3, 3, 3), 3, {"padding": 1, "stride": 2, "output_padding": 1}),
    (F.conv_transpose2d, (2, 4, 6, 5), (4, 2, 3, 3), 4, {"groups": 2}),
    (F.conv_transpose2d, (2, 4, 6, 5), (4, 1, 3, 3), 4, {"groups": 4}),
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at", range(len(CASES)))
def test_a_group_behind_a_convolution(at: int, dtype: Any, threads: int) -> None:
    function, images, weight, channels, options = CASES[at]
    args = normal(*images, dtype=dtype), normal(*weight, dtype=dtype), normal(channels, dtype=dtype)
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        check(lambda x, w, b: tg.relu(function(x, w, b, **options)), *args)
        check(lambda x, w, b: tg.tanh(function(x, w, **options)) * 0.5 + b[0], *args)

        def both(x: tg.Variable, w: tg.Variable, b: tg.Variable) -> Any:
            y = function(x, w, b, **options)
            return y, tg.tanh(y) * 2 + 1

        check(both, *args)
        loss = lambda x, w, b: (F.silu(function(x, w, b, **options)) ** 2).sum()  # noqa: E731
        compiled, _ = replayed(lambda *a: tg.value_and_grad(loss, (0, 1, 2))(*a), *args)
        assert "product(" in compiled.programs()[0].listing()
    finally:
        tg.set_num_threads(before)


def test_images_without_a_batch_axis_and_without_elements() -> None:
    w, b = normal(5, 3, 3, 3), normal(5)
    # A view stands between the convolution and the group.
    check(lambda x, w, b: tg.relu(F.conv2d(x, w, b)), normal(3, 8, 8), w, b, then=False)
    check(lambda x, w, b: tg.tanh(F.conv2d(x, w, b)) + 1, normal(0, 3, 8, 8), w, b, then=False)
    check(lambda x, w, b: tg.tanh(F.conv2d(x, w, b)) + 1, normal(2, 3, 8, 8), normal(0, 3, 3, 3), normal(0), then=False)
    check(lambda x, w, b: tg.tanh(F.conv2d(x, w, b)) + 1, normal(2, 0, 8, 8), normal(5, 0, 3, 3), b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_with_other_operands(dtype: Any) -> None:
    x, w = normal(3, 4, 9, 9, dtype=dtype), normal(4, 4, 3, 3, dtype=dtype)
    check(lambda x, w: tg.relu(F.conv2d(x, w, padding=1) + x), x, w)
    check(lambda x, w: tg.relu(F.conv2d(x, w, padding=1) * x[:, :1] + x[0]), x, w)
    check(lambda x, w: tg.where(x > 0, F.conv2d(x, w, padding=1), x) * 2, x, w)
    check(lambda x, w: tg.relu(F.conv2d(x, w, padding=1) + F.conv2d(tg.sin(x), w, padding=1)), x, w)
    # Sums and booleans stay separate instructions.
    check(lambda x, w: (tg.tanh(F.conv2d(x, w)) + 1).sum(), x, w, then=False)
    check(lambda x, w: tg.tanh(F.conv2d(x, w)) > 0.5, x, w, then=False)


def test_dtypes_that_have_no_groups_and_operands_of_two_dtypes() -> None:
    halves = normal(2, 3, 6, 6, dtype=tg.float16), normal(4, 3, 3, 3, dtype=tg.float16)
    check(lambda x, w: tg.relu(F.conv2d(x, w)) + 1, *halves, then=False)
    mixed = normal(2, 3, 6, 6, dtype=tg.float32), normal(4, 3, 3, 3)
    compiled, _ = replayed(lambda x, w: tg.relu(F.conv2d(x, w)) + 1, *mixed)
    assert compiled(*mixed).dtype == tg.float64


def network(dtype: Any) -> tuple[nn.Module, Any]:
    tg.manual_seed(7)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, bias=False),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 3, 2, stride=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(3 * 64, 4),
    )
    net.to(dtype)
    return with_adam(net)


@pytest.mark.parametrize("dtype", DTYPES)
def test_training_is_bit_for_bit_that_of_eager_steps(dtype: Any) -> None:
    x, y = normal(5, 1, 10, 10, dtype=dtype), normal(5, 4, dtype=dtype)
    assert "product(convolution" in check_training(lambda: network(dtype), x, y).listing()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frozen_network_runs_its_activations_behind_its_convolutions(dtype: Any, tmp_path: Any) -> None:
    net, step = network(dtype)
    step(normal(5, 1, 10, 10, dtype=dtype), normal(5, 4, dtype=dtype))
    net.eval()
    compiled = tg.compile(net)
    x = normal(5, 1, 10, 10, dtype=dtype)
    with tg.no_grad():
        for _ in range(3):
            compiled(x)
        frozen = compiled.programs()[0].freeze()
        assert frozen.listing().count(" then group[") == 3, frozen.listing()
        frozen.save(tmp_path / "frozen")
        other = normal(5, 1, 10, 10, dtype=dtype)
        tolerance = 1e-5 if dtype == tg.float32 else 1e-13
        for program in (frozen, tg.load_program(tmp_path / "frozen")):
            assert np.allclose(program(other).numpy(), net(other).numpy(), rtol=tolerance, atol=tolerance)


def test_vmap_and_forward_mode_see_the_same_function() -> None:
    w = normal(4, 3, 3, 3)
    f = lambda x: tg.tanh(F.conv2d(x, w)) * 2  # noqa: E731
    x, t = normal(2, 5, 3, 6, 6), normal(2, 5, 3, 6, 6)
    replayed(tg.vmap(f), x)
    replayed(lambda x, t: tg.jvp(f, (x[0],), (t[0],)), x, t)
    replayed(lambda x, t: tg.hvp(lambda x: (f(x) ** 2).sum(), (x[0],), (t[0],))[1], x, t)
