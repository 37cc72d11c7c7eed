"""Clipping of gradients against the formulas, and inside of a step against clipping before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = [(), (3,), (0, 2), (17, 5), (1, 33), (300, 301)]
OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.AdamW, {"lr": 0.1, "maximize": True}),
    (optim.RMSprop, {"lr": 0.1, "momentum": 0.5, "centered": True}),
]


def parameters(dtype: str = "float32", scale: float = 1.0) -> tuple[list[tg.Variable], list[Any]]:
    """Parameters of several shapes, one without a gradient, and copies of the gradients."""
    rng = np.random.default_rng(7)
    params, gradients = [], []
    for shape in SHAPES:
        params.append(nn.Parameter(np.ones(shape, dtype)))
        gradients.append(np.asarray(scale * rng.standard_normal(shape), dtype))
        params[-1].grad = tg.Variable(gradients[-1])
    return [*params, nn.Parameter(np.ones(4, dtype))], gradients


def norm_of(gradients: list[Any], p: float) -> float:
    """PyTorch's documented formula: the norm of all gradients as one vector."""
    flat = np.concatenate([np.abs(g.astype(np.float64)).ravel() for g in gradients])
    return float(flat.max()) if p == np.inf else float((flat**p).sum() ** (1.0 / p))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 2.5, np.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 1e9, np.inf])
def test_norms_and_scaled_gradients(dtype: str, p: float, max_norm: float) -> None:
    params, gradients = parameters(dtype)
    total = clip_grad_norm_(params, max_norm, norm_type=p)
    want, eps = norm_of(gradients, p), float(np.finfo(dtype).eps)
    assert (total.shape, total.dtype == getattr(tg, dtype), total.requires_grad) == ((), True, False)
    assert total.item() == pytest.approx(want, rel=30 * eps)
    factor = min(1.0, max_norm / (want + 1e-6))
    for x, g in zip(params, gradients, strict=False):
        got = np.asarray(x.grad)
        np.testing.assert_allclose(got, factor * g.astype(np.float64), rtol=40 * eps)
        if factor == 1.0:
            np.testing.assert_array_equal(got, g)
    assert params[-1].grad is None


def test_norms_of_many_equal_gradients_keep_their_digits() -> None:
    x = nn.Parameter(np.ones(3_000_000, np.float32))
    x.grad = tg.full([3_000_000], 0.1, dtype=tg.float32)
    total = clip_grad_norm_([x], 1.0)
    assert total.item() == pytest.approx(float(np.float32(0.1)) * 3_000_000**0.5, rel=1e-7)


@pytest.mark.parametrize("value", [1e-200, 1e200])
def test_squares_may_leave_the_range_of_doubles(value: float) -> None:
    x = nn.Parameter(np.ones(4))
    x.grad = tg.Variable(np.full(4, value))
    assert clip_grad_norm_([x], 1.0).item() == pytest.approx(2 * value, rel=1e-14)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_norms_that_are_no_numbers(bad: float) -> None:
    for p in (1.0, 2.0, 3.0, np.inf):
        x = nn.Parameter([1.0, 2.0])
        x.grad = tg.Variable([1.0, bad])
        with pytest.raises(ValueError, match="error_if_nonfinite=False"):
            clip_grad_norm_([x], 1.0, p, error_if_nonfinite=True)
        np.testing.assert_array_equal(np.asarray(x.grad), np.array([1.0, bad], np.float32))
        total = clip_grad_norm_([x], 1.0, p).item()
        assert np.isnan(total) == np.isnan(bad)
        assert np.isnan(total) or total == np.inf
        got = np.asarray(x.grad)
        assert np.isnan(got[1])  # infinity times zero, as in PyTorch
        assert np.isnan(got[0]) if np.isnan(bad) else got[0] == 0.0


def test_values_are_limited() -> None:
    params, gradients = parameters(scale=2.0)
    clip_grad_value_(params, 0.5)
    for x, g in zip(params, gradients, strict=False):
        np.testing.assert_array_equal(np.asarray(x.grad), np.clip(g, -0.5, 0.5))
    x = nn.Parameter([0.0, 0.0, 0.0])
    x.grad = tg.Variable([np.nan, np.inf, -np.inf])
    clip_grad_value_(x, 2.0)
    np.testing.assert_array_equal(np.asarray(x.grad), [np.nan, 2.0, -2.0])


def test_what_may_be_given() -> None:
    x = nn.Parameter([3.0, 4.0])
    (x * x / 2).sum().backward()

    def twice() -> Iterator[tg.Variable]:
        yield x
        yield x

    assert clip_grad_norm_(twice(), 2.5).item() == 5.0  # a parameter that is given twice counts once
    np.testing.assert_allclose(np.asarray(x.grad), [1.5, 2.0], rtol=1e-6)
    assert clip_grad_norm_([], 1.0).item() == 0.0
    assert clip_grad_norm_([tg.Variable([1.0])], 1.0).item() == 0.0
    x.requires_grad_(False)
    assert clip_grad_norm_(x, 1.0).item() == pytest.approx(2.5, rel=1e-6)


def test_views_history_and_shared_gradients() -> None:
    x = nn.Parameter(np.ones((3, 2), np.float32))
    g = tg.Variable(np.arange(6, dtype=np.float32).reshape(2, 3))
    x.grad = g.T
    before = np.asarray(g).copy()
    total = clip_grad_norm_([x], 1.0).item()
    np.testing.assert_allclose(np.asarray(x.grad), before.T / total, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(g), before)
    y = nn.Parameter([2.0])
    (y**3).sum().backward(create_graph=True)
    assert y.grad is not None
    clip_grad_norm_([y], 1.0)
    assert y.grad.requires_grad is False
    assert y.grad.item() == pytest.approx(1.0, rel=1e-6)


def test_what_is_refused() -> None:
    x = nn.Parameter([1.0])
    x.grad = tg.Variable([7.0])
    sgd = optim.SGD([x], lr=1.0)
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="must not be negative"):
            clip_grad_norm_([x], bad)
        with pytest.raises(ValueError, match="must not be negative"):
            clip_grad_value_([x], bad)
        with pytest.raises(ValueError, match="must not be negative"):
            sgd.step(clip_norm=bad)
    for norm_type in (0.0, -1.0, -np.inf, np.nan):
        with pytest.raises(ValueError, match="norm_type must be above 0"):
            clip_grad_norm_([x], 1.0, norm_type)
    for wrong in (3.0, [3.0], [np.ones(2)], ["w"], {x}, None):
        for clip in (clip_grad_norm_, clip_grad_value_):
            with pytest.raises(TypeError, match="clip_grad_"):
                clip(wrong, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="result of an operation"):
        clip_grad_norm_([x * 2.0], 1.0)
    assert (x.tolist(), np.asarray(x.grad).tolist()) == ([1.0], [7.0])


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
@pytest.mark.parametrize(("cls", "options"), OPTIMIZERS)
def test_a_step_that_clips_is_clipping_and_a_step(cls: Any, options: dict[str, Any], max_norm: float) -> None:
    (one, gradients), (two, _) = parameters(), parameters()
    inside, before = cls(one, **options), cls(two, **options)
    for _ in range(3):
        for x, g in zip(two, gradients, strict=False):
            x.grad = tg.Variable(g)
        inside.step(clip_norm=max_norm)
        clip_grad_norm_(two, max_norm)
        before.step()
    for a, b in zip(one, two, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    for x, g in zip(one, gradients, strict=False):
        np.testing.assert_array_equal(np.asarray(x.grad), g)  # the gradients stay as they are


def test_a_step_reads_what_its_groups_say_now() -> None:
    """Values cached between two steps must not hide a change of the groups."""
    x, y = nn.Parameter([1.0]), nn.Parameter([1.0])
    sgd = optim.SGD([x], lr=1.0)
    for p in (x, y):
        p.grad = tg.Variable([1.0])
    sgd.step()
    sgd.param_groups[0]["lr"] = 0.5
    sgd.step()
    sgd.param_groups[0]["params"][0] = y
    sgd.step()
    sgd.param_groups[0]["params"].append(x)
    sgd.step()
    assert (x.tolist(), y.tolist()) == ([-1.0], [0.0])
    sgd.param_groups[0]["params"][0] = "y"
    with pytest.raises(TypeError, match="a parameter"):
        sgd.step()


def test_a_parameter_may_be_its_own_gradient() -> None:
    x = nn.Parameter([2.0])
    x.grad = x.detach()
    sgd = optim.SGD([x], lr=0.5)
    sgd.step()
    assert (x.tolist(), np.asarray(x.grad).tolist()) == ([1.0], [2.0])
