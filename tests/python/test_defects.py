"""Defects of other libraries: each docstring names a defect of such systems, and the test shows that it is not here."""

from __future__ import annotations

import gc
import math
import sys
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _core

F64 = tg.float64


def leaf(data: Any, dtype: Any = F64) -> tg.Variable:
    return tg.Variable(data, dtype=dtype, requires_grad=True)


def gradient(f: Any, *values: Any) -> list[np.ndarray]:
    """Gradients of the sum of ``f`` by its arguments."""
    variables = [leaf(v) for v in values]
    return [g.numpy() for g in tg.autograd.grad(tg.sum(f(*variables)), variables)]


def resident_bytes() -> int:
    """Of this process; 0 where the kernel does not say."""
    if not sys.platform.startswith("linux"):
        return 0
    with open("/proc/self/statm", encoding="ascii") as f:  # noqa: PTH123 - a file of the kernel
        return int(f.read().split()[1]) * 4096


# ---- the tape ----


def test_gradients_keep_their_dtype_and_all_their_bytes() -> None:
    """Gradients saved as float32 whatever the dtype: half of a float64 lost."""
    for dtype in (tg.float32, tg.float64):
        x = leaf([1.0, 1e-3, 3.0, 1.0 / 3.0], dtype)
        (x * x).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == dtype
        np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())


def test_two_backward_passes_count_twice_not_more() -> None:
    """Gradients of intermediate values kept and sent on again: 3c instead of 2c."""
    x = leaf([1.0, 2.0])
    y = tg.sum((x * 3.0) * 1.0)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 6.0])


def test_every_public_operation_has_a_rule_or_says_that_it_has_none() -> None:
    """Operations exported without a backward, found out when training fails."""
    for row in _core.registry():
        assert row["differentiable"] in {"rule", "composite", "none"}, row["name"]
        assert row["gradient"] or row["differentiable"] == "none", row["name"]


def test_negation_negates_numbers_not_bytes() -> None:
    np.testing.assert_array_equal((-tg.Variable([0.5, -2.0])).numpy(), [-0.5, 2.0])
    np.testing.assert_array_equal(gradient(lambda x: -x, [1.0, 2.0])[0], [-1.0, -1.0])


def test_inputs_without_requires_grad_get_no_gradient_and_no_work() -> None:
    x, c = leaf([1.0, 2.0]), tg.Variable([3.0, 4.0], dtype=F64)
    with tg.Tape() as tape:
        y = tg.sum(x * tg.exp(c))
    y.backward()
    assert c.grad is None
    assert [node.op for node in tape.nodes] == ["multiply", "sum"]


def test_nothing_stays_on_the_tape() -> None:
    """Nodes, ids and gradient tensors that grow for ever."""
    x = leaf(np.ones(1000))

    def step() -> None:
        loss = tg.sum(tg.tanh(x * 2.0) * x)
        loss.backward()
        x.zero_grad()
        _ = tg.exp(x) * 2.0

    for _ in range(200):
        step()
    gc.collect()
    before, memory = _core.tape_stats(), resident_bytes()
    for _ in range(3000):
        step()
    gc.collect()
    after = _core.tape_stats()
    assert after["live_nodes"] == before["live_nodes"] == 0
    assert after["pool_bytes"] == before["pool_bytes"]
    assert resident_bytes() - memory < 2**20


def test_sums_and_additions_save_nothing() -> None:
    """Copies of inputs kept by operations whose rules need shapes only."""
    x, y = leaf(np.ones((64, 64))), leaf(np.ones((64, 64)))
    with tg.Tape() as tape:
        tg.mean((x + y) - tg.sum(x, axis=0))
    assert {node.op: node.saved_bytes for node in tape.nodes} == {"add": 0, "sum": 0, "subtract": 0, "mean": 0}


def test_a_vector_needs_a_seed() -> None:
    """Ones taken silently as the seed of a result that is no scalar."""
    y = leaf([1.0, 2.0]) * 2.0
    with pytest.raises(tg.GradError, match=r"\(2,\)"):
        y.backward()
    y.backward(tg.Variable([1.0, 1.0], dtype=F64))


def test_axis_minus_one_is_the_last_axis() -> None:
    """-1 that means all axes in one function and the last in another."""
    x = np.arange(6.0).reshape(2, 3)
    for name in ("sum", "mean", "max", "min", "prod", "var", "std"):
        mine, numpys = getattr(tg, name)(tg.Variable(x), axis=-1).numpy(), getattr(np, name)(x, axis=-1)
        np.testing.assert_allclose(mine, numpys, err_msg=name)
    assert tg.sum(tg.Variable(x)).shape == ()


# ---- kernels ----


STACKS = [
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (2, 4, 3)),
    ((4,), (4,)),
]


@pytest.mark.parametrize(("a", "b"), STACKS)
def test_matrix_products_of_stacks(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """All axes transposed in the gradient of a stack; batches read past their end or ignored."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(a), rng.standard_normal(b)
    np.testing.assert_allclose((tg.Variable(x) @ tg.Variable(y)).numpy(), x @ y, rtol=1e-13)
    assert tg.autograd.gradcheck(tg.matmul, [leaf(x), leaf(y)], fast=False)


def test_batches_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(tg.ShapeError, match="matmul"):
        tg.matmul(tg.ones((2, 3, 4)), tg.ones((3, 4, 5)))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joins_along_every_axis(axis: int) -> None:
    """Buffers appended one after the other whatever the axis; tests that look at shapes only."""
    x, y = np.arange(6.0).reshape(2, 3), 10 + np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(tg.concat([tg.Variable(x), tg.Variable(y)], axis=axis).numpy(), np.concatenate([x, y], axis))
    np.testing.assert_array_equal(tg.stack([tg.Variable(x), tg.Variable(y)], axis=axis).numpy(), np.stack([x, y], axis))


def test_kernels_respect_strides() -> None:
    """Slices and parts along an inner axis fed to kernels as if they were contiguous."""
    x = np.arange(24.0).reshape(4, 6)
    v = tg.Variable(x)
    for part, expected in [(v[:, 1:5:2], x[:, 1:5:2]), (v[::-2], x[::-2]), (v.T, x.T), (tg.split(v, 3, axis=1)[1], x[:, 2:4])]:
        np.testing.assert_allclose(tg.exp(part).numpy(), np.exp(expected), rtol=1e-14)
        np.testing.assert_allclose(tg.sum(part, axis=0).numpy(), expected.sum(0))
        np.testing.assert_array_equal(tg.reshape(part, (-1,)).numpy(), expected.reshape(-1))
        np.testing.assert_allclose((part @ part.T).numpy(), expected @ expected.T)


def test_a_view_outlives_its_parent() -> None:
    """An interior pointer freed when the last owner is a slice."""
    part = tg.Variable(np.arange(1000.0))[500:510]
    gc.collect()
    [tg.zeros((1000,)) for _ in range(50)]
    np.testing.assert_array_equal(part.numpy(), np.arange(500.0, 510.0))
    view = tg.Variable(np.arange(10.0)).numpy()
    gc.collect()
    np.testing.assert_array_equal(view, np.arange(10.0))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool"])
def test_whole_numbers_survive_every_copy(dtype: str) -> None:
    """Uninitialised memory from clone, reshape, cast and broadcast of integers."""
    x = np.array([[1, 0, 3], [0, 5, 6]]).astype(dtype)
    v = tg.Variable(x)
    for got, want in [
        (v.clone(), x),
        (v.reshape(3, 2), x.reshape(3, 2)),
        (v.astype(tg.int64), x.astype(np.int64)),
        (tg.broadcast_to(v, (2, 2, 3)), np.broadcast_to(x, (2, 2, 3))),
    ]:
        assert got.dtype == want.dtype.name
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "std"])
def test_gradients_of_reductions_with_and_without_keepdims(name: str, keepdims: bool) -> None:
    """A gradient that kept its axes read out of bounds, or into the wrong cells."""
    x = np.random.default_rng(1).permutation(24.0 + np.arange(24)).reshape(2, 3, 4)
    weights = np.random.default_rng(2).standard_normal((2, 1, 4) if keepdims else (2, 4))
    f = lambda v: getattr(tg, name)(v, axis=1, keepdims=keepdims) * tg.Variable(weights)  # noqa: E731 - used once
    assert tg.autograd.gradcheck(f, leaf(x), fast=False, rtol=1e-4)


def test_sums_of_whole_numbers_are_exact() -> None:
    """int64 summed through float64; whole means cut off."""
    assert int(tg.sum(tg.Variable([2**53, 1, 1]))) == 2**53 + 2
    assert float(tg.mean(tg.Variable([1, 2]))) == 1.5


def test_max_and_min_see_nan_and_infinities() -> None:
    """NaN ignored, and -1e308 for an array of -inf."""
    assert math.isnan(float(tg.max(tg.Variable([1.0, math.nan, 2.0]))))
    assert math.isnan(float(tg.min(tg.Variable([1.0, math.nan, 2.0]))))
    assert float(tg.max(tg.Variable([-math.inf, -math.inf]))) == -math.inf
    assert float(tg.max(tg.Variable([-2e30, -1e30]))) == np.float32(-1e30)


def test_whole_quotients_round_down() -> None:
    """-4 // 2 that gives -3, -4 % 2 that gives 2."""
    a, b = np.array([-4, -4, 4, -7, 7]), np.array([2, -2, -2, 2, -2])
    for dtype in (np.int64, np.int32, np.float64):
        x, y = a.astype(dtype), b.astype(dtype)
        np.testing.assert_array_equal((tg.Variable(x) // tg.Variable(y)).numpy(), x // y)
        np.testing.assert_array_equal((tg.Variable(x) % tg.Variable(y)).numpy(), x % y)


def test_no_epsilon_biases_a_gradient() -> None:
    """1e-10 added to denominators: wrong for small numbers, nothing in half precision."""
    tiny = 1e-12
    np.testing.assert_allclose(gradient(tg.log, [tiny])[0], [1 / tiny])
    np.testing.assert_allclose(gradient(tg.log2, [tiny])[0], [1 / (tiny * math.log(2))])
    np.testing.assert_allclose(gradient(tg.log10, [tiny])[0], [1 / (tiny * math.log(10))])
    np.testing.assert_allclose(gradient(tg.sqrt, [tiny])[0], [0.5 / math.sqrt(tiny)])
    np.testing.assert_allclose(gradient(tg.divide, [1.0], [tiny])[1], [-1 / tiny**2])


def test_masks_do_not_make_nan() -> None:
    """0 times inf in masks by multiplication."""
    np.testing.assert_array_equal(gradient(lambda x: tg.where(x > 0, 1 / x, 0.0), [0.0, 2.0])[0], [0.0, -0.25])
    np.testing.assert_array_equal(gradient(lambda x: tg.clip(1 / x, -10.0, 10.0), [0.0, 2.0])[0], [0.0, -0.25])


def test_activations_are_not_cut_off() -> None:
    """A sigmoid that is exactly 0 or 1 beyond 20, elu by exp(x) - 1, softplus that ignores beta."""
    assert 0 < float(tg.sigmoid(leaf(-30.0))) < 1e-12
    assert gradient(tg.sigmoid, [-30.0])[0][0] > 0
    np.testing.assert_allclose(tg.elu(tg.Variable([-1e-12], dtype=F64)).numpy(), [-1e-12], rtol=1e-12)
    np.testing.assert_allclose(tg.softplus(tg.Variable([1.0], dtype=F64), beta=3.0).numpy(), [math.log1p(math.exp(3.0)) / 3.0])
    assert tg.autograd.gradcheck(lambda x: tg.softplus(x, beta=3.0), leaf([0.5, -0.5]))


def test_prelu_has_a_slope_for_each_channel() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    slope = np.array([0.1, 0.2, 0.3])
    expected = np.where(x > 0, x, x * slope[:, None, None])
    np.testing.assert_allclose(tg.nn.functional.prelu(tg.Variable(x), tg.Variable(slope)).numpy(), expected)


def test_broadcasting_nothing_with_one_is_nothing() -> None:
    """Size 0 with size 1 that gives 1."""
    assert (tg.zeros((0, 3)) + tg.ones((1, 3))).shape == (0, 3)


# ---- losses ----


def test_cross_entropy_is_never_negative_and_takes_classes_and_probabilities() -> None:
    """An epsilon inside the logarithm, one-hot targets only, one rank only."""
    logits = np.array([[1e4, -1e4, 0.0], [30.0, 0.0, 0.0]])
    classes = np.array([0, 0])
    f = tg.nn.functional.cross_entropy
    assert float(f(tg.Variable(logits), tg.Variable(classes))) >= 0.0
    one_hot = tg.Variable(np.eye(3)[classes])
    np.testing.assert_allclose(float(f(tg.Variable(logits), one_hot)), float(f(tg.Variable(logits), tg.Variable(classes))))
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    assert f(tg.Variable(images), tg.Variable(np.zeros((2, 4, 5), dtype=np.int64))).shape == ()
    assert tg.autograd.gradcheck(lambda x: f(x, tg.Variable(np.zeros((2, 4, 5), dtype=np.int64))), leaf(images))


def test_binary_cross_entropy_and_its_gradient_agree_at_the_ends() -> None:
    """Probabilities clipped forward and not backward."""
    for p, y in [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]:
        x = leaf([p])
        loss = tg.nn.functional.binary_cross_entropy(x, tg.Variable([y], dtype=F64))
        loss.backward()
        assert math.isfinite(float(loss.detach()))
        assert np.isfinite(x.grad.numpy()).all()


# ---- training ----


def linear_problem() -> tuple[Any, tg.Variable, tg.Variable]:
    tg.random.manual_seed(0)
    x = tg.random.randn(64, 3)
    return tg.nn.Linear(3, 1), x, x @ tg.Variable([[1.0], [-2.0], [0.5]]) + 0.25


def test_a_training_step_trains() -> None:
    """Steps that update copies: parameters and the loss never change."""
    net, x, y = linear_problem()
    parameters = list(net.parameters())
    before = [p.numpy(copy=True) for p in parameters]
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = tg.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert all((p.numpy() != b).any() for p, b in zip(parameters, before, strict=True))


def test_decoupled_decay_is_scaled_by_the_learning_rate() -> None:
    """Weight decay that shrinks parameters by a fixed share each step, whatever the learning rate."""
    p = leaf([1.0])
    optimizer = tg.optim.AdamW([p], lr=0.1, weight_decay=0.01)
    p.grad = tg.zeros((1,), dtype=F64)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), [1.0 - 0.1 * 0.01])


def test_adam_couples_its_decay_and_adamw_does_not() -> None:
    """Two rules under one name."""
    results = []
    for cls in (tg.optim.Adam, tg.optim.AdamW):
        p = leaf([2.0])
        p.grad = tg.ones((1,), dtype=F64)
        cls([p], lr=0.1, weight_decay=0.5).step()
        results.append(p.item())
    np.testing.assert_allclose(results, [2.0 - 0.1, 2.0 * (1 - 0.05) - 0.1], rtol=1e-7)


def test_a_parameter_without_a_gradient_does_not_shift_the_state_of_others() -> None:
    """Momentum buffers counted by position among those that have a gradient in this step."""
    a, b = leaf([0.0]), leaf([0.0])
    optimizer = tg.optim.SGD([a, b], lr=1.0, momentum=0.5)
    for grads in ([1.0, 10.0], [None, 10.0], [1.0, 10.0]):
        for p, g in zip((a, b), grads, strict=True):
            p.grad = None if g is None else tg.Variable([g], dtype=F64)
        optimizer.step()
    np.testing.assert_allclose(a.numpy(), [-(1.0 + 1.5)])
    np.testing.assert_allclose(b.numpy(), [-(10.0 + 15.0 + 17.5)])


def test_rmsprop_with_momentum_works_from_the_first_step() -> None:
    p = leaf([1.0])
    p.grad = tg.ones((1,), dtype=F64)
    tg.optim.RMSprop([p], lr=0.01, momentum=0.9).step()
    np.testing.assert_allclose(p.numpy(), [1.0 - 0.01 / (math.sqrt(0.01) + 1e-8)])


def test_a_learning_rate_of_zero_is_allowed() -> None:
    p = leaf([1.0])
    p.grad = tg.ones((1,), dtype=F64)
    tg.optim.SGD([p], lr=0.0).step()
    np.testing.assert_array_equal(p.numpy(), [1.0])
