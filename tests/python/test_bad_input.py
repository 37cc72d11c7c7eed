"""Bad input: a typed exception with a message that helps, and nothing changed by the attempt."""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from refusals import F64, GRID, check, leaf, ones, refused

F = tg.nn.functional


# ---- shapes and axes ----

SHAPES: list[tuple[Any, str]] = [
    (lambda x: x + ones(2, 4), r"add: shapes \(2, 3\) and \(2, 4\).*axis -1 is 3 on the left and 4 on the right"),
    (lambda x: ones(4, 1, 2) * x, r"multiply: shapes \(4, 1, 2\) and \(2, 3\)"),
    (lambda x: tg.maximum(x, ones(4, 3)), "maximum: .*axis -2"),
    (lambda x: tg.where(ones(2) > 0, x, 1.0), "where: shapes"),
    (lambda x: tg.broadcast_to(x, (2, 4)), r"broadcast_to: .*\(2, 3\).*\(2, 4\)"),
    (lambda x: tg.reshape(x, (4, 2)), r"reshape: .*6 elements.*8 elements"),
    (lambda x: tg.reshape(x, (-1, -1)), "reshape: .*only one size can be -1"),
    (lambda x: x @ x, "matmul: .*axis -1 of the left is 3, axis -2 of the right is 2"),
    (lambda x: tg.concat([x, ones(2, 4)]), "concat: array 1 has shape"),
    (lambda x: tg.stack([x, ones(3, 2)]), "stack: array 1 has shape"),
    (lambda x: tg.squeeze(x, 0), "squeeze: axis 0 .*size 2"),
    (lambda x: F.mse_loss(x, ones(3)), r"mse_loss: input has shape \(2, 3\) and target \(3,\)"),
    (lambda x: F.l1_loss(x, ones(2, 1)), "l1_loss: .*must be equal"),
    (lambda x: F.huber_loss(x, ones(1, 3)), "huber_loss: .*must be equal"),
    (lambda x: F.smooth_l1_loss(x, ones()), "smooth_l1_loss: .*must be equal"),
    (lambda x: F.binary_cross_entropy(x, ones(3)), "binary_cross_entropy: .*must be equal"),
    (lambda x: F.binary_cross_entropy_with_logits(x, ones(3)), "binary_cross_entropy_with_logits: .*must be equal"),
    (lambda x: F.cross_entropy(x, tg.Variable([0, 1, 2])), r"cross_entropy: .*\(2,\), not \(3,\)"),
    (lambda x: F.cross_entropy(x, ones(2)), "cross_entropy: floating targets are probabilities"),
]


@pytest.mark.parametrize(("f", "message"), SHAPES)
def test_shapes_that_do_not_fit(f: Any, message: str) -> None:
    check(f, tg.ShapeError, message)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "var", "std", "any", "all", "logsumexp"])
def test_reductions_check_their_axes(name: str) -> None:
    f = getattr(tg, name)
    for axis in (2, -3, (0, 2)):
        check(lambda x, axis=axis: f(x, axis=axis), tg.AxisError, f"{name}: axis -?[23] is out of bounds .* 2 dimensions")
    for axis in ((0, 0), (1, -1)):
        check(lambda x, axis=axis: f(x, axis=axis), tg.AxisError, f"{name}: axis [01] is named twice")


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "argmax", "argmin"])
def test_other_functions_of_one_axis_check_it(name: str) -> None:
    check(lambda x: getattr(tg, name)(x, axis=2), tg.AxisError, f"{name}: axis 2 is out of bounds")


def test_moved_axes_are_checked() -> None:
    check(lambda x: tg.permute_dims(x, (0, 2)), tg.AxisError, "permute_dims: axis 2 is out of bounds")
    check(lambda x: tg.transpose(x, (0, 0)), tg.AxisError, "transpose: axis 0 is named twice")
    check(lambda x: tg.permute_dims(x, (1,)), tg.AxisError, "permute_dims: 1 axes given .* expected each once")
    check(lambda x: tg.flip(x, axis=(0, -2)), tg.AxisError, "flip: axis -2 is named twice")
    check(lambda x: tg.moveaxis(x, (0, 0), (0, 1)), tg.AxisError, "moveaxis: source: axis 0 is named twice")
    check(lambda x: tg.rot90(x, 1, (1, 1)), tg.AxisError, "rot90: axis 1 is named twice")
    check(lambda x: tg.expand_dims(x, (0, 0)), tg.AxisError, "expand_dims: axis 0 is named twice")
    check(lambda x: tg.diagonal(x, 0, 1, 1), tg.AxisError, "diagonal: axis1 and axis2 cannot be the same")
    check(lambda x: tg.concat([x, x], axis=2), tg.AxisError, "concat: axis 2 is out of bounds")
    check(lambda x: tg.expand_dims(x, 5), tg.AxisError, "expand_dims: axis 5 is out of bounds")
    check(lambda x: tg.split(x, 2, axis=1), ValueError, "split: .*size 3 cannot be cut into 2")
    check(lambda x: tg.concat([]), ValueError, "concat: at least one array")


# ---- dtypes and numbers ----


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_only_floating_dtypes_require_gradients(dtype: str) -> None:
    x = tg.zeros(2, dtype=dtype)
    message = f"only floating and complex dtypes can require gradients, this array is {dtype}"
    refused(lambda: x.requires_grad_(True), tg.DTypeError, message)
    refused(lambda: tg.Variable(x, requires_grad=True), tg.DTypeError, message)
    refused(lambda: setattr(x, "requires_grad", True), tg.DTypeError, message)
    assert not x.requires_grad


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers_have_no_negative_powers(dtype: str) -> None:
    x = tg.Variable([1, 2], dtype=dtype)
    if dtype != "uint8":
        refused(lambda: x**-1, ValueError, "power: integers to negative integer powers are not allowed")
        refused(lambda: x ** tg.Variable([1, -1], dtype=dtype), ValueError, "power: integers to negative")
    else:
        refused(lambda: x**-1, ValueError, "power: .*")
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    np.testing.assert_allclose((x**-1.0).numpy(), [1.0, 0.5])


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("int32", -(2**31), 2**31 - 1)])
def test_python_ints_stay_in_range(dtype: str, low: int, high: int) -> None:
    x = tg.zeros(2, dtype=dtype)
    for fits in (low, high):
        np.testing.assert_array_equal((x + fits).numpy(), [fits, fits])
    for wrong in (low - 1, high + 1):
        message = f"the Python int {wrong} is out of bounds for {dtype}"
        refused(lambda wrong=wrong: x + wrong, OverflowError, f"add: {message}")
        refused(lambda wrong=wrong: wrong * x, OverflowError, f"multiply: {message}")
        refused(lambda wrong=wrong: tg.where(x > 0, x, wrong), OverflowError, f"where: {message}")
        refused(lambda wrong=wrong: x & wrong, OverflowError, f"bitwise_and: {message}")
    np.testing.assert_array_equal(x.numpy(), [0, 0])


def test_ints_beyond_int64() -> None:
    x = tg.Variable([1, 2])
    for wrong in (-(2**63) - 1, 2**64, 2**70):
        refused(lambda wrong=wrong: x + wrong, OverflowError, f"{wrong} does not fit into int64 or uint64")
        refused(lambda wrong=wrong: tg.Variable([wrong]), OverflowError, f"{wrong} does not fit into int64 or uint64")
    refused(lambda: x + 2**63, OverflowError, f"{2**63} is out of bounds for int64")


def test_what_users_of_other_libraries_try() -> None:
    refused(lambda: -tg.asarray([True, False]), tg.DTypeError, "negative: dtype bool .* use ~")
    refused(lambda: tg.sign(tg.asarray([True])), tg.DTypeError, "sign: dtype bool")
    x = ones(2)
    refused(lambda: x.__delitem__(0), TypeError, "cannot be deleted")
    assert tg.abs(tg.asarray([True])).tolist() == [True]


def test_numbers_of_steps_and_groups_may_be_huge() -> None:
    for n in (2, 3, 2**40, 2**62):
        assert tg.diff(tg.arange(3), n).shape == (max(3 - n, 0),)
        assert tg.diff(tg.asarray([True, False]), n, axis=0).dtype == tg.bool
        assert tg.polyder([1.0, 2.0], n).tolist() == []
    assert tg.diff(tg.zeros((2, 0)), 2**40).shape == (2, 0)
    refused(
        lambda: F.channel_shuffle(tg.zeros((2, 0, 3)), 2**62), ValueError, f"0 channels cannot be divided into {2**62} groups"
    )
    assert F.channel_shuffle(tg.zeros((2, 0, 3)), 1).shape == (2, 0, 3)
    x = leaf([0.5])
    tg.sum(tg.special.polygamma(2**63 - 1, x)).backward()
    assert x.grad.shape == (1,)
    rows = tg.zeros(2)
    for wrong in (2**63 - 1, 2**62):
        with pytest.raises((ValueError, MemoryError), match=r"segment_sum: .*more than there is memory for"):
            tg.segment_sum(rows, tg.Variable([0, wrong]))
    refused(lambda: tg.segment_sum(rows, tg.Variable([-7, -9])), IndexError, "index -7 is out of bounds")


# ---- backward ----


def test_a_second_backward_names_the_op() -> None:
    x = leaf([1.0, 2.0])
    inner = tg.exp(x) * x
    outer = tg.sum(inner)
    outer.backward()
    before = x.grad.numpy(copy=True)
    for again, name in ((outer, "sum"), (inner, "multiply")):
        with pytest.raises(tg.FreedError, match=f"backward: the graph behind `{name}` was already freed"):
            again.backward(tg.ones_like(again))
        np.testing.assert_array_equal(x.grad.numpy(), before)


def test_backward_checks_its_start() -> None:
    x = leaf(GRID)
    product = x * x
    refused(tg.Variable(1.0).backward, tg.GradError, "no graph")
    with tg.no_grad():
        outside = x * x
    refused(tg.sum(outside).backward, tg.GradError, r"no graph.*no_grad\(\)")
    refused(product.backward, tg.GradError, r"shape \(2, 3\)")
    for seed, error, message in [
        (ones(3, 2), tg.ShapeError, r"\(3, 2\), expected \(2, 3\)"),
        (ones(), tg.ShapeError, r"\(\), expected \(2, 3\)"),
        (tg.ones((2, 3)), tg.DTypeError, "float32.*float64"),
    ]:
        refused(lambda seed=seed: product.backward(seed), error, f"backward: .*{message}")
        refused(lambda seed=seed: tg.autograd.grad(product, x, seed), error, message)
    refused(lambda: tg.autograd.grad(product, tg.Variable(1.0), ones(2, 3)), tg.GradError, "does not require gradients")
    assert x.grad is None
    product.backward(ones(2, 3))  # the refused call has freed nothing
    np.testing.assert_array_equal(x.grad.numpy(), 2 * GRID)


def test_grad_accepts_what_fits_only() -> None:
    x = leaf(GRID)
    x.grad = ones(2, 3)
    for value, error, message in [
        (ones(3), tg.ShapeError, r"\(3,\).*\(2, 3\)"),
        (tg.ones((2, 3)), tg.DTypeError, "float32.*float64"),
        (3.0, TypeError, "float"),
    ]:
        refused(lambda value=value: setattr(x, "grad", value), error, f"grad.*{message}")
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((2, 3)))


class Doubled(tg.autograd.Function):
    """Fails in its backward as long as ``broken`` is set."""

    broken = False

    @staticmethod
    def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, g: tg.Variable) -> tg.Variable:
        if Doubled.broken:
            raise KeyError("in backward")
        return g * 2.0


def test_a_failed_function_leaves_gradients_and_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    w.grad = tg.Variable([10.0, 10.0], dtype=F64)
    # When Doubled fails, the gradient of `sum(w)` has already arrived at w.
    total = tg.sum(Doubled.apply(x) * w) + tg.sum(w)
    monkeypatch.setattr(Doubled, "broken", True)
    for _ in range(2):
        with pytest.raises(KeyError, match="in backward"):
            total.backward()
        assert x.grad is None
        np.testing.assert_array_equal(w.grad.numpy(), [10.0, 10.0])
    monkeypatch.setattr(Doubled, "broken", False)
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 8.0])
    np.testing.assert_array_equal(w.grad.numpy(), [13.0, 15.0])


@pytest.mark.parametrize("at", ["leaf", "node"])
@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, ZeroDivisionError, "division"),
        (3.0, TypeError, "must be a Variable, got float"),
        (ones(3), tg.GradError, r"shape \(3,\).*expected \(2,\)"),
        (tg.ones(2), tg.GradError, "float32.*float64"),
    ],
)
def test_a_failed_hook_leaves_gradients_and_graph(at: str, result: Any, error: type[Exception], message: str) -> None:
    x, w = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    y = tg.exp(x)
    total = tg.sum(y * w) + tg.sum(w)
    handle = (x if at == "leaf" else y).register_hook(lambda g: 1 / 0 if result is None else result)
    nodes = tg.tape_stats()["live_nodes"]
    for walk in (total.backward, lambda: tg.autograd.grad(total, [x, w]), lambda: total.backward(inputs=[x])):
        with pytest.raises(error, match=message):
            walk()
        assert x.grad is None
        assert w.grad is None
        assert tg.tape_stats()["live_nodes"] == nodes
    handle.remove()
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]))
    np.testing.assert_allclose(w.grad.numpy(), 1 + np.exp([1.0, 2.0]))


def test_a_nan_that_was_looked_for_leaves_gradients_and_graph() -> None:
    gc.collect()
    x = leaf([0.0, 1.0])
    total = tg.sum(tg.sqrt(x) * 0.0 - tg.sqrt(x) + tg.log(x) * float("inf"))
    nodes = tg.tape_stats()["live_nodes"]
    with tg.autograd.detect_anomaly(), pytest.raises(tg.GradError, match="is NaN"):
        (total - total * float("inf")).backward()
    assert x.grad is None
    gc.collect()
    assert tg.tape_stats()["live_nodes"] == nodes
    total.backward()
    del total
    assert tg.tape_stats()["live_nodes"] == 0


# ---- losses and states ----


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_classes_are_in_range(name: str) -> None:
    for bad in (3, -1, 2**40):
        message = f"{name}: target {bad} \\(element 1\\) is out of range, classes are 0 to 2"
        check(lambda x, bad=bad: getattr(F, name)(x, tg.Variable([0, bad])), ValueError, message)
    check(lambda x: tg.one_hot(tg.Variable([0, 3]), 3), ValueError, "one_hot: 3 is not a class")


@pytest.mark.parametrize("bad", [1.5, -0.1, math.nan, math.inf])
def test_probabilities_are_in_range(bad: float) -> None:
    p, good = leaf([0.5, bad]), leaf([0.5, 0.5])
    refused(lambda: F.binary_cross_entropy(p, ones(2)), ValueError, "input must lie between 0 and 1, it contains")
    refused(lambda: F.binary_cross_entropy(good, p.detach()), ValueError, "target must lie between 0 and 1, it contains")
    refused(lambda: F.mse_loss(good, good, reduction="avg"), ValueError, "reduction is 'avg', expected 'none', 'mean' or 'sum'")


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_optimizers_check_their_arguments(name: str) -> None:
    make, x = getattr(tg.optim, name), leaf([1.0])
    refused(lambda: make([]), ValueError, f"{name}: there are no parameters")
    refused(lambda: make([x, x]), ValueError, f"{name}: .*given twice")
    refused(lambda: make([x * 2]), ValueError, f"{name}: .*only leaves")
    refused(lambda: make([x], lr=-0.1), ValueError, f"{name}: lr must not be negative")
    optimizer = make([x])
    refused(lambda: optimizer.add_param_group({"params": [x]}), ValueError, "given twice|already|in more than one")
    assert len(optimizer.param_groups) == 1
