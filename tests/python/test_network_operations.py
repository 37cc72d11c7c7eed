"""Operations of neural networks: values against loops over NumPy arrays, derivatives of samples in all modes, bad input."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

F = tg.nn.functional
RNG = np.random.default_rng(5)
RANDOM = {"_dropout", "fractional_max_pool2d", "fractional_max_pool3d"}
HOME = "nn.functional."
ROWS = sorted(row["name"] for row in tg._core.registry() if row["module"] == "nn.functional" and row["differentiable"] != "none")


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def conv_loop(x: np.ndarray, w: np.ndarray, stride: int, padding: int, dilation: int, groups: int) -> np.ndarray:
    """The definition of a convolution over two axes."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    outputs, inputs, height, width = w.shape
    sizes = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], (height, width), strict=True)]
    y = np.zeros((len(x), outputs, *sizes))
    for n, o, i, j in np.ndindex(y.shape):
        channels = slice(o // (outputs // groups) * inputs, (o // (outputs // groups) + 1) * inputs)
        top, left = i * stride, j * stride
        rows = slice(top, top + dilation * (height - 1) + 1, dilation)
        columns = slice(left, left + dilation * (width - 1) + 1, dilation)
        y[n, o, i, j] = (x[n, channels, rows, columns] * w[o]).sum()
    return y


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), list(product((1, 2), (0, 1), (1, 2), (1, 2, 4))))
def test_convolutions_are_their_definition_and_transposed_ones_their_transpose(
    stride: int, padding: int, dilation: int, groups: int
) -> None:
    x, w, b = draw(2, 4, 6, 7), draw(4, 4 // groups, 3, 2), draw(4)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    want = conv_loop(x, w, stride, padding, dilation, groups)
    got = F.conv2d(tg.Variable(x), tg.Variable(w), tg.Variable(b), **options).numpy()
    np.testing.assert_allclose(got, want + b[:, None, None], rtol=1e-12, atol=1e-12)
    single = F.conv2d(tg.Variable(x.astype(np.float32)), tg.Variable(w.astype(np.float32)), **options).numpy()
    np.testing.assert_allclose(single, want, rtol=1e-4, atol=1e-4)
    # <conv(x, w), g> = <x, conv_transpose(g, w)>; output_padding is what the stride leaves over.
    g = draw(*want.shape)
    left = [(n + 2 * padding - dilation * (k - 1) - 1) % stride for n, k in zip((6, 7), (3, 2), strict=True)]
    back = F.conv_transpose2d(tg.Variable(g), tg.Variable(w), output_padding=left, **options).numpy()
    np.testing.assert_allclose((want * g).sum(), (x * back).sum(), rtol=1e-10)


def test_convolutions_of_one_and_three_axes() -> None:
    x, w = draw(2, 3, 9), draw(4, 3, 3)
    want = conv_loop(x[:, :, None], w[:, :, None], 1, 0, 2, 1)[:, :, 0]
    np.testing.assert_allclose(F.conv1d(tg.Variable(x), tg.Variable(w), dilation=2).numpy(), want, rtol=1e-12)
    x, w = draw(1, 2, 3, 4, 5), draw(2, 2, 2, 2, 2)
    want = sum(conv_loop(x[:, :, d : d + 2].reshape(1, 4, 4, 5), w.reshape(2, 4, 2, 2), 1, 0, 1, 1)[0, 0, 0, 0] for d in (0,))
    assert F.conv3d(tg.Variable(x), tg.Variable(w)).numpy()[0, 0, 0, 0, 0] == pytest.approx(want)
    same = F.conv2d(tg.Variable(draw(1, 5, 6)), tg.Variable(draw(2, 1, 4, 3)), padding="same")
    assert same.shape == (2, 5, 6)
    assert F.conv2d(tg.zeros((0, 1, 5, 5)), tg.ones((2, 1, 3, 3))).shape == (0, 2, 3, 3)


def pool_loop(x: np.ndarray, kernel: int, stride: int, padding: int, fold: Callable[..., Any], fill: float) -> np.ndarray:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    sizes = [(n - kernel) // stride + 1 for n in x.shape[1:]]
    y = np.zeros((len(x), *sizes))
    for c, i, j in np.ndindex(y.shape):
        y[c, i, j] = fold(x[c, i * stride : i * stride + kernel, j * stride : j * stride + kernel])
    return y


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 0), (2, 3, 1), (4, 1, 2)])
def test_pools_are_their_definition(kernel: int, stride: int, padding: int) -> None:
    x = draw(3, 7, 8)
    maxima = pool_loop(x, kernel, stride, padding, np.max, -np.inf)
    y, at = F.max_pool2d(tg.Variable(x), kernel, stride, padding, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), maxima)
    np.testing.assert_array_equal(np.take_along_axis(x.reshape(3, -1), at.numpy().reshape(3, -1), 1), maxima.reshape(3, -1))
    means = pool_loop(x, kernel, stride, padding, np.mean, 0.0)
    np.testing.assert_allclose(F.avg_pool2d(tg.Variable(x), kernel, stride, padding).numpy(), means, rtol=1e-12, atol=1e-14)
    counts = pool_loop(np.ones_like(x), kernel, stride, padding, np.sum, 0.0)
    inside = F.avg_pool2d(tg.Variable(x), kernel, stride, padding, count_include_pad=False).numpy()
    np.testing.assert_allclose(inside, means * kernel**2 / counts, rtol=1e-12, atol=1e-14)


def test_edges_of_pools() -> None:
    # What ceil_mode adds behind the padding does not count.
    assert F.avg_pool1d(tg.Variable([[1.0, 2.0, 3.0, 4.0, 5.0]]), 2, ceil_mode=True).tolist() == [[1.5, 3.5, 5.0]]
    ties = tg.Variable([[2.0, 2.0, 1.0, 1.0]], requires_grad=True)
    tg.sum(F.max_pool1d(ties, 4)).backward()
    assert ties.grad.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    y, at = F.max_pool1d(tg.Variable([[np.nan, 1.0, -np.inf, -np.inf]]), 2, return_indices=True)
    assert np.isnan(y.numpy()[0, 0])
    assert at.tolist() == [[0, 2]]
    assert F.max_pool2d(tg.Variable(np.arange(16, dtype=np.uint8).reshape(1, 4, 4)), 2).tolist() == [[[5, 7], [13, 15]]]
    x = draw(2, 4, 6)
    y, at = F.max_pool1d(tg.Variable(x), 3, 1, return_indices=True)
    back = F.max_unpool1d(y, at, 3, 1).numpy()
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert F.adaptive_avg_pool2d(tg.ones((1, 4, 6)), (2, None)).shape == (1, 2, 6)
    y = F.fractional_max_pool2d(tg.Variable(x[None]), 2, output_size=(2, 3))
    assert y.shape == (1, 2, 2, 3)


def test_norms_are_their_definition_also_far_from_zero() -> None:
    x, w, b = draw(4, 6, 5), draw(6), draw(6)
    v = tg.Variable(x)
    rows = x.reshape(4, 2, -1)
    want = ((rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)).reshape(x.shape)
    got = F.group_norm(v, 2, tg.Variable(w), tg.Variable(b)).numpy()
    np.testing.assert_allclose(got, want * w[:, None] + b[:, None], rtol=1e-9, atol=1e-9)
    want = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(F.layer_norm(v, 5).numpy(), want, rtol=1e-9, atol=1e-9)
    far = (x + 1e5).astype(np.float32)
    exact = far.astype(np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(F.layer_norm(tg.Variable(far), 5).numpy(), exact, atol=3e-3)
    squares = np.sqrt((x**2).mean(-1, keepdims=True) + np.finfo(np.float64).eps)
    np.testing.assert_allclose(F.rms_norm(v, (5,)).numpy(), x / squares, rtol=1e-9)


def test_attention_is_its_definition_in_all_blocks() -> None:
    q, k, v = draw(2, 70, 3), draw(2, 300, 3), draw(2, 300, 2)
    seen = RNG.random((70, 300)) > 0.5
    seen[3] = False
    for mask, options in [(None, {}), (None, {"is_causal": True}), (seen, {}), (None, {"scale": 0.2})]:
        scores = q @ k.swapaxes(-1, -2) * options.get("scale", 3**-0.5)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        if options.get("is_causal"):
            scores = np.where(np.arange(300) > np.arange(70)[:, None], -np.inf, scores)
        with np.errstate(invalid="ignore"):
            p = np.exp(scores - scores.max(-1, keepdims=True))
        want = np.nan_to_num(p / p.sum(-1, keepdims=True)) @ v
        arguments = [tg.Variable(a) for a in (q, k, v)] + ([] if mask is None else [tg.Variable(mask)])
        np.testing.assert_allclose(F.scaled_dot_product_attention(*arguments, **options).numpy(), want, rtol=1e-9, atol=1e-12)


def test_interpolation_and_padding() -> None:
    x = draw(1, 2, 4)
    for mode, how in {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}.items():
        want = np.pad(x, ((0, 0), (0, 0), (2, 3)), mode=how)
        np.testing.assert_array_equal(F.pad(tg.Variable(x), (2, 3), mode=mode).numpy(), want)
    line = F.interpolate(tg.Variable(x), size=7, mode="linear", align_corners=True).numpy()
    np.testing.assert_allclose(line[0, 0], np.interp(np.linspace(0, 3, 7), np.arange(4), x[0, 0]), rtol=1e-12)
    assert F.interpolate(tg.Variable(x), scale_factor=2).numpy()[0, 0].tolist() == np.repeat(x[0, 0], 2).tolist()
    image = tg.Variable(draw(1, 3, 4, 5))
    theta = tg.Variable([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], dtype=tg.float64)
    same = F.grid_sample(image, F.affine_grid(theta, image.shape))
    np.testing.assert_allclose(same.numpy(), image.numpy(), atol=1e-12)
    shuffled = F.pixel_unshuffle(F.pixel_shuffle(tg.Variable(x.reshape(1, 8, 1, 1)), 2), 2)
    assert shuffled.numpy().ravel().tolist() == x.ravel().tolist()


def test_ctc_is_the_sum_over_all_paths() -> None:
    steps, classes, labels = 4, 3, [1, 2]
    p = RNG.random((steps, classes))
    p /= p.sum(-1, keepdims=True)
    total = 0.0
    for path in product(range(classes), repeat=steps):
        short = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in short if c] == labels:
            total += np.prod([p[t, c] for t, c in enumerate(path)])
    x = tg.Variable(np.log(p), requires_grad=True)
    loss = F.ctc_loss(x, tg.Variable(labels), tg.Variable(steps), tg.Variable(2), reduction="none")
    assert loss.item() == pytest.approx(-np.log(total))
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy().sum(-1), -1.0, rtol=1e-9)
    long = F.ctc_loss(x, tg.Variable([1, 1, 1, 1]), tg.Variable(steps), tg.Variable(4), reduction="none")
    assert np.isinf(long.item())
    zero = F.ctc_loss(x, tg.Variable([1, 1, 1, 1]), tg.Variable(steps), tg.Variable(4), zero_infinity=True)
    (g,) = tg.autograd.grad(zero, [x])
    assert zero.item() == 0.0
    assert not g.numpy().any()


def test_dropout_keeps_its_share_and_its_mask() -> None:
    dropout = tg._core._functions[HOME + "_dropout"]
    tg.random.manual_seed(2)
    x = tg.Variable(np.full((200, 100), 2.0), requires_grad=True)
    y = dropout(x, 0.25)
    tg.sum(y).backward()
    np.testing.assert_array_equal(2.0 * x.grad.numpy(), y.numpy())
    assert set(np.unique(y.numpy())) == {0.0, 2.0 / 0.75}
    assert y.numpy().mean() == pytest.approx(2.0, abs=0.05)
    tg.random.manual_seed(2)
    np.testing.assert_array_equal(dropout(x, 0.25).numpy(), y.numpy())
    rows = dropout(tg.ones((50, 8)), 0.5, 1).numpy()
    assert (rows == rows[:, :1]).all()
    assert dropout(tg.Variable([np.inf, np.nan]), 1.0).tolist() == [0.0, 0.0]
    x = tg.Variable(np.ones(32), requires_grad=True)
    y = F.dropout(x, 0.5)
    (slopes,) = tg.autograd.grad(y, [x], [tg.Variable(np.eye(32))], is_grads_batched=True)
    np.testing.assert_array_equal(slopes.numpy(), np.diag(y.numpy()))


@pytest.mark.parametrize(("name", "gates"), [("_lstm", 4), ("_gru", 3)])
def test_recurrences_without_a_step(name: str, gates: int) -> None:
    shapes = [(0, 1, 2 * gates), (2 * gates, 2), (1, 2) if gates == 4 else (2 * gates,), (1, 2)]
    arrays = [tg.Variable(np.ones(shape), requires_grad=True) for shape in shapes]
    out = tg._core._functions[HOME + name](*arrays)
    total = tg.sum(out[0]) + tg.sum(out[1]) if isinstance(out, tuple) else tg.sum(out)
    total.backward()
    assert not arrays[1].grad.numpy().any()


def test_attention_of_queries_without_elements() -> None:
    out = F.scaled_dot_product_attention(tg.ones((2, 0)), tg.ones((2, 0)), tg.Variable([[1.0], [3.0]]))
    assert out.tolist() == [[2.0], [2.0]]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.dropout(x[0], 0.5),
        lambda x: F.scaled_dot_product_attention(x[0], x[0], x[0], dropout_p=0.5),
        lambda x: F.fractional_max_pool2d(x, 2, 3),
    ],
)
def test_draws_inside_a_mapping_follow_its_randomness(f: Callable[[tg.Variable], tg.Variable]) -> None:
    tg.random.manual_seed(3)
    x = tg.Variable(np.broadcast_to(draw(1, 9, 9), (4, 1, 9, 9)).copy())
    same = tg.vmap(f, randomness="same")(x).numpy()
    assert (same == same[:1]).all()
    different = tg.vmap(f, randomness="different")(x).numpy()
    assert any((a != different[0]).any() for a in different)
    with pytest.raises(tg.GradError, match="randomness='error'"):
        tg.vmap(f, randomness="error")(x)


def chosen(name: str) -> list[tuple[Any, ...]]:
    """Samples of a row with floating arrays that are not empty."""
    return [
        s for s in tg._core.samples(HOME + name) if any(is_floating(a) for a in s) and all(a.size for a in s if is_floating(a))
    ]


def is_floating(a: Any) -> bool:
    return isinstance(a, tg.Variable) and a.dtype.is_floating_point


def split(name: str, sample: tuple[Any, ...]) -> tuple[Callable[..., tg.Variable], list[tg.Variable]]:
    """A function of the floating arrays of a sample, and these arrays."""
    arrays = [tg.Variable(a.numpy()) for a in sample if is_floating(a)]

    def f(*values: tg.Variable) -> tg.Variable:
        rest = iter(values)
        out = tg._core._functions[HOME + name](*[next(rest) if is_floating(a) else a for a in sample])
        return out[0] if isinstance(out, tuple) else out

    return f, arrays


@pytest.mark.parametrize("name", [n for n in ROWS if n not in RANDOM])
def test_forward_mode_agrees_with_reverse_mode(name: str) -> None:
    for sample in chosen(name):
        f, arrays = split(name, sample)
        tangents = [tg.Variable(draw(*a.shape)) for a in arrays]
        y, slope = tg.jvp(f, tuple(arrays), tuple(tangents))
        u = tg.Variable(draw(*y.shape))
        leaves = [tg.Variable(a.numpy(), requires_grad=True) for a in arrays]
        grads = tg.autograd.grad(f(*leaves), leaves, [u], allow_unused=True)
        want = sum((g.numpy() * t.numpy()).sum() for g, t in zip(grads, tangents, strict=True) if g is not None)
        assert (slope.numpy() * u.numpy()).sum() == pytest.approx(want, rel=1e-8, abs=1e-9), name


@pytest.mark.parametrize("name", [n for n in ROWS if n not in RANDOM])
def test_batches_agree_with_loops(name: str) -> None:
    for sample in chosen(name)[:3]:
        f, arrays = split(name, sample)
        for mapped in {
            (True,) * len(arrays),
            tuple(i == 0 for i in range(len(arrays))),
            tuple(i == len(arrays) - 1 for i in range(len(arrays))),
        }:
            wide = [
                tg.Variable(a.numpy() + 0.01 * np.arange(2).reshape(2, *[1] * a.ndim)) if m else a
                for a, m in zip(arrays, mapped, strict=True)
            ]
            got = tg.vmap(f, tuple(0 if m else None for m in mapped))(*wide)
            for i in range(2):
                want = f(*[w[i] if m else w for w, m in zip(wide, mapped, strict=True)])
                np.testing.assert_allclose(got.numpy()[i], want.numpy(), rtol=1e-9, atol=1e-11, err_msg=f"{name} {mapped}")


BAD = [
    (lambda: F.conv2d(tg.ones((1, 3, 5, 5)), tg.ones((4, 2, 3, 3))), "has 3 channels, expected 2"),
    (lambda: F.conv2d(tg.ones((1, 2, 2, 2)), tg.ones((4, 2, 3, 3))), "the kernel spans 3 elements"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((4, 2, 3, 3)), stride=2, padding="same"), "needs a stride of 1"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((4, 2, 3, 3)), padding="half"), "'half' is unknown"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((4, 2, 3, 3)), stride=0), "stride must be at least 1"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((4, 2, 3, 3)), stride=(1, 1, 1)), "stride has 3 numbers, expected 1 or 2"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((3, 1, 3, 3)), groups=2), "cannot be divided into 2 groups"),
    (lambda: F.conv2d(tg.ones((1, 2, 5, 5)), tg.ones((4, 2, 3, 3)), tg.ones(3)), r"the bias has shape \(3,\)"),
    (lambda: F.conv2d(tg.ones((5, 5)), tg.ones((4, 2, 3, 3))), r"the input has shape \(5, 5\)"),
    (lambda: F.conv_transpose1d(tg.ones((1, 2, 5)), tg.ones((2, 2, 3)), output_padding=1), "output_padding is 1"),
    (lambda: F.max_pool2d(tg.ones((1, 5, 5)), 2, padding=2), "at most half of the kernel"),
    (lambda: F.max_pool2d(tg.ones((1, 2, 2)), 3), "the kernel spans 3 elements"),
    (lambda: F.avg_pool2d(tg.ones((1, 4, 4)), 2, divisor_override=0), "divisor_override is 0"),
    (lambda: F.max_unpool1d(tg.ones((1, 2)), tg.Variable([[0, 9]]), 2), "index 9 is out of bounds"),
    (lambda: F.fractional_max_pool2d(tg.ones((1, 4, 4)), 2), "give output_size or output_ratio"),
    (lambda: F.layer_norm(tg.ones((2, 3)), (4,)), "ends with normalized_shape"),
    (lambda: F.group_norm(tg.ones((2, 3)), 2), "cannot be divided into 2 groups"),
    (lambda: F.interpolate(tg.ones((1, 1, 4)), size=2, mode="bilinear"), "needs an input of 4 axes"),
    (lambda: F.interpolate(tg.ones((1, 1, 4))), "give size or scale_factor"),
    (lambda: F.pad(tg.ones((2, 3)), (3, 0), mode="reflect"), "below the size of the axis"),
    (lambda: F.pad(tg.ones((2, 3)), (1, 0, 1)), "3 amounts do not fit"),
    (lambda: F.grid_sample(tg.ones((1, 1, 2, 2)), tg.ones((2, 1, 1, 2))), "a grid of shape"),
    (lambda: F.scaled_dot_product_attention(tg.ones((2, 3)), tg.ones((2, 4)), tg.ones((2, 4))), "do not fit"),
    (lambda: F.scaled_dot_product_attention(*[tg.ones((2, 3))] * 3, tg.ones((3, 2))), "attn_mask has shape"),
    (lambda: F.ctc_loss(tg.zeros((2, 1, 3)), tg.Variable([[3]]), tg.Variable([2]), tg.Variable([1])), "a target is 3"),
    (lambda: tg.cdist(tg.ones((2, 3)), tg.ones((2, 2))), "do not fit"),
]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("conv1d", [(1, 1, 3), (1, 1, 2)]),
        ("conv_transpose1d", [(1, 1, 3), (1, 1, 2)]),
        ("scaled_dot_product_attention", [(2, 3), (2, 3), (2, 3)]),
        ("layer_norm", [(2, 3), (3,), (3,)]),
        ("group_norm", [(2, 3, 2), (3,)]),
        ("_instance_norm", [(2, 3, 2), (3,)]),
        ("_batch_norm_training", [(2, 3, 2), (3,)]),
        ("_lstm", [(2, 1, 4), (4, 1), (1, 1), (1, 1)]),
        ("_gru", [(2, 1, 3), (3, 1), (3,), (1, 1)]),
        ("grid_sample", [(1, 1, 2, 2), (1, 2, 2, 2)]),
    ],
)
def test_a_complex_operand_is_refused_by_name(name: str, shapes: list[tuple[int, ...]]) -> None:
    function = tg._core._functions[HOME + name]
    for at in range(len(shapes)):
        arrays: list[Any] = [tg.ones(s, dtype=tg.complex64 if i == at else tg.float32) for i, s in enumerate(shapes)]
        if name in ("layer_norm", "group_norm"):
            arrays.insert(1, (3,) if name == "layer_norm" else 1)
        with pytest.raises(tg.DTypeError, match=f"{name.lstrip('_').removesuffix('_training')}: dtype complex64"):
            function(*arrays)


def test_gradients_of_complex_images() -> None:
    x = tg.Variable(draw(1, 1, 3) + 1j * draw(1, 1, 3), requires_grad=True)
    weights = tg.Variable(draw(1, 1, 6) + 1j * draw(1, 1, 6))
    for f, places in (
        (lambda x: F.pad(x, (1, 2), mode="circular"), [2, 0, 1, 2, 0, 1]),
        (lambda x: F.interpolate(x, 6), [0, 0, 1, 1, 2, 2]),
    ):
        got, want = (
            tg.autograd.grad(tg.sum(tg.real(y * weights)), [x])[0].numpy() for y in (f(x), tg.take(x, tg.Variable(places), 2))
        )
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_says_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        call()


def test_indices_of_an_embedding_are_checked() -> None:
    embedding = tg._core._functions[HOME + "_embedding"]
    table = tg.Variable(draw(4, 2), requires_grad=True)
    for bad in ([-1], [4]):
        with pytest.raises(IndexError):
            embedding(tg.Variable(bad), table)
    tg.sum(embedding(tg.Variable([1, 2, 1]), table, 2)).backward()
    assert table.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_modules_have_pytorchs_parameters_and_looks() -> None:
    layer = tg.nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2, bias=False)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {"weight": (6, 2, 3, 2)}
    assert repr(layer) == "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding=(1, 1), groups=2, bias=False)"
    assert layer(tg.ones((2, 4, 5, 6))).shape == (2, 6, 3, 4)
    back = tg.nn.ConvTranspose1d(2, 4, 3, stride=2)
    assert back.state_dict()["weight"].shape == (2, 4, 3)
    assert back(tg.ones((1, 2, 3)), output_size=(8,)).shape == (1, 4, 8)
    for mode, how in {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}.items():
        layer = tg.nn.Conv1d(1, 1, 4, padding="same", padding_mode=mode)
        x = draw(1, 1, 6).astype(np.float32)
        wide = F.conv1d(tg.Variable(np.pad(x, ((0, 0), (0, 0), (1, 2)), mode=how)), layer.weight, layer.bias)
        np.testing.assert_allclose(layer(tg.Variable(x)).detach().numpy(), wide.detach().numpy(), rtol=1e-6)
    assert repr(tg.nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    with pytest.raises(ValueError, match="expected a positive multiple of groups"):
        tg.nn.Conv2d(3, 4, 1, groups=2)
    with pytest.raises(ValueError, match="padding_mode is 'mirror'"):
        tg.nn.Conv2d(1, 1, 1, padding_mode="mirror")


def test_a_small_network_learns() -> None:
    tg.random.manual_seed(0)
    nn = tg.nn
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 2))
    x = RNG.standard_normal((40, 1, 8, 8)).astype(np.float32)
    labels = (x[:, 0, :4].mean((1, 2)) > x[:, 0, 4:].mean((1, 2))).astype(np.int64)
    optimizer = tg.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(tg.Variable(x)), tg.Variable(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
