"""Lazy convolutions, the adaptive softmax, and names of PyTorch that stand for several operations."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F

LAZY = [getattr(nn, f"LazyConv{kind}{n}d") for kind in ("", "Transpose") for n in (1, 2, 3)]


@pytest.mark.parametrize("lazy", LAZY)
def test_a_lazy_convolution_becomes_a_plain_one(lazy: Any) -> None:
    plain = lazy.cls_to_become
    layer = lazy(6, 3, stride=2, padding=1, groups=2)
    assert repr(layer).startswith(f"{lazy.__name__}(0, 6, ")
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    x = tg.randn(2, 4, *(5,) * layer.axes)
    y = layer(x)
    assert type(layer) is plain
    assert (layer.in_channels, layer.out_channels) == (4, 6)
    other = plain(4, 6, 3, stride=2, padding=1, groups=2)
    assert {n: p.shape for n, p in layer.named_parameters()} == {n: p.shape for n, p in other.named_parameters()}
    other.load_state_dict(layer.state_dict())
    assert other(x).tolist() == y.tolist()
    assert float(tg.max(tg.abs(layer.weight))) > 0


@pytest.mark.parametrize("lazy", LAZY)
def test_a_lazy_convolution_takes_channels_from_a_state(lazy: Any) -> None:
    layer, source = lazy(6, 3, bias=False), lazy.cls_to_become(4, 6, 3, bias=False)
    layer.load_state_dict(source.state_dict())
    x = tg.randn(4, *(5,) * layer.axes)
    assert layer(x).tolist() == source(x).tolist()
    assert layer.in_channels == 4


def test_what_a_lazy_convolution_refuses() -> None:
    with pytest.raises(tg.ShapeError, match=r"LazyConv2d: input of 3 channels, expected a positive multiple of groups=2"):
        nn.LazyConv2d(4, 3, groups=2)(tg.ones((1, 3, 5, 5)))
    with pytest.raises(tg.ShapeError, match="LazyConv2d: input of shape"):
        nn.LazyConv2d(4, 3)(tg.ones((5, 5)))
    with pytest.raises(ValueError, match="groups"):
        nn.Conv2d(4, 4, 3, groups=0)
    with pytest.raises(ValueError, match="in_channels"):
        nn.Conv2d(0, 4, 3)


def test_lazy_instance_norm_has_parameters_and_statistics() -> None:
    layer = nn.LazyInstanceNorm1d()
    layer(tg.ones((2, 3, 4)))
    assert sorted(layer.state_dict()) == ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"]


@pytest.mark.parametrize("head_bias", [False, True])
def test_the_adaptive_softmax_is_a_distribution(head_bias: bool) -> None:
    tg.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], div_value=2.0, head_bias=head_bias).to(tg.float64)
    x, target = tg.randn(6, 8, dtype=tg.float64), tg.tensor([0, 2, 3, 5, 6, 11])
    whole = layer.log_prob(x)
    np.testing.assert_allclose(np.exp(whole.detach().numpy()).sum(1), 1.0)
    out = layer(x, target)
    np.testing.assert_allclose(out.output.detach().numpy(), whole.detach().numpy()[range(6), target.numpy()])
    np.testing.assert_allclose(out.loss.item(), -out.output.detach().numpy().mean())
    assert layer.predict(x).tolist() == whole.argmax(axis=1).tolist()
    single = layer(x[1], target[1])
    assert single.output.shape == ()
    np.testing.assert_allclose(single.output.item(), out.output[1].item())


def test_the_gradients_of_the_adaptive_softmax() -> None:
    tg.manual_seed(1)
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6]).to(tg.float64)
    x = tg.randn(5, 8, dtype=tg.float64, requires_grad=True)
    target = tg.tensor([9, 0, 4, 4, 2])
    assert tg.autograd.gradcheck(lambda v: layer(v, target).loss, (x,))
    layer(x, target).loss.backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("cutoffs", [[], [3, 3], [0, 2], [5, 3], [12]])
def test_cutoffs_must_grow(cutoffs: list[int]) -> None:
    with pytest.raises(ValueError, match="cutoffs must grow"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)


def test_targets_of_the_adaptive_softmax_are_checked() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3])
    with pytest.raises(IndexError, match="from 0 to 11"):
        layer(tg.ones((1, 8)), tg.tensor([12]))
    with pytest.raises(tg.ShapeError, match=r"not \(n, 8\)"):
        layer(tg.ones((2, 8)), tg.tensor([1]))


def test_upsampling_under_its_older_names() -> None:
    x = tg.randn(1, 2, 3, 3)
    assert F.upsample(x, scale_factor=2).tolist() == F.interpolate(x, scale_factor=2).tolist()
    assert F.upsample_nearest(x, size=5).tolist() == F.interpolate(x, size=5).tolist()
    expected = F.interpolate(x, size=5, mode="bilinear", align_corners=True)
    assert F.upsample_bilinear(x, size=5).tolist() == expected.tolist()


def test_sizes_of_poolings_are_shown_as_tuples() -> None:
    assert repr(nn.AvgPool1d(3)) == "AvgPool1d(kernel_size=(3,), stride=(3,), padding=(0,))"
    assert repr(nn.MaxUnpool2d(2)) == "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
    assert repr(nn.Upsample(scale_factor=2)) == "Upsample(scale_factor=2.0, mode='nearest')"
    assert "(distance_function): PairwiseDistance()" in repr(nn.TripletMarginWithDistanceLoss())


def test_unflatten_as_a_method() -> None:
    x = tg.arange(12.0).view(2, 6).requires_grad_(True)
    y = x.unflatten(1, (3, -1))
    assert y.shape == (2, 3, 2)
    y.sum().backward()
    assert x.grad.tolist() == [[1.0] * 6] * 2


def test_methods_of_namespaces() -> None:
    a = tg.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=tg.float64, requires_grad=True)
    assert a.det().item() == pytest.approx(5.0)
    np.testing.assert_allclose((a @ a.inverse()).detach().numpy(), np.eye(2), atol=1e-12)
    assert a.slogdet()[1].item() == pytest.approx(np.log(5.0))
    assert a.lgamma().shape == a.digamma().shape == (2, 2)
    a.det().backward()
    np.testing.assert_allclose(a.grad.numpy(), [[3.0, -1.0], [-1.0, 2.0]])


@pytest.mark.parametrize(
    ("name", "args"), [("multiply", (3.0,)), ("hypot", (4.0,)), ("atan2", (1.0,)), ("negative", ()), ("copysign", (-1.0,))]
)
def test_more_methods_in_place(name: str, args: tuple[float, ...]) -> None:
    x = tg.tensor([0.5, 2.0], dtype=tg.float64)
    expected = getattr(x, name)(*args)
    same = getattr(x, f"{name}_")(*args)
    assert same is x
    assert x.tolist() == expected.tolist()


def test_losses_take_the_older_flags() -> None:
    x, y = tg.randn(3, 4), tg.tensor([0, 3, 1])
    z = F.log_softmax(x, 1)
    assert F.nll_loss(z, y, size_average=False).item() == F.nll_loss(z, y, reduction="sum").item()
    assert F.cross_entropy(x, y, reduce=False).shape == (3,)
    assert F.mse_loss(x, z, size_average=True).item() == F.mse_loss(x, z).item()
    with pytest.raises(TypeError, match="unexpected keyword argument 'mean'"):
        F.mse_loss(x, z, mean=True)


def test_modules_with_duplicates() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.modules())) == 2
    assert len(list(net.modules(remove_duplicate=False))) == 3


def test_a_gradient_penalty_as_it_is_written_for_pytorch() -> None:
    critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    x = tg.randn(6, 4, requires_grad=True)
    out = critic(x)
    ones = tg.ones(out.size())
    (slope,) = tg.autograd.grad(out, x, grad_outputs=ones, create_graph=True, retain_graph=True, only_inputs=True)
    ((slope.norm(2, dim=1) - 1) ** 2).mean().backward()
    assert critic[0].weight.grad is not None
    with pytest.raises(ValueError, match="only_inputs=False"):
        tg.autograd.grad(out, x, ones, only_inputs=False)


def test_zeros_for_inputs_without_a_gradient() -> None:
    x, y = tg.ones(2, requires_grad=True), tg.ones((3, 1), requires_grad=True)
    found = tg.autograd.grad(x.sum(), (x, y), materialize_grads=True)
    assert [g.tolist() for g in found] == [[1.0, 1.0], [[0.0]] * 3]
    batch = tg.autograd.grad(x * 1, (x, y), tg.eye(2), is_grads_batched=True, materialize_grads=True)
    assert [g.shape for g in batch] == [(2, 2), (2, 3, 1)]
    with pytest.raises(ValueError, match="leave allow_unused out"):
        tg.autograd.grad(x.sum(), (x, y), allow_unused=False, materialize_grads=True)


def test_a_summary_of_a_shape() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    assert repr(nn.summary(net, (1, 1, 8, 8))) == repr(nn.summary(net, input_size=(1, 1, 8, 8)))
    assert "(1, 4, 6, 6)" in repr(nn.summary(net, (1, 1, 8, 8)))


def test_autocast_to_float32_changes_nothing() -> None:
    with tg.autocast(device_type="cpu", dtype=tg.float32):
        assert (tg.ones(2) * 2).dtype == tg.float32


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1"),
        ({"kernel_size": 2.5}, TypeError, "kernel_size must be an int or 2 ints, got 2.5"),
        ({"kernel_size": (3, "3")}, TypeError, "kernel_size must be an int or 2 ints"),
        ({"kernel_size": (3,)}, ValueError, "kernel_size has 1 numbers, expected 1 or 2"),
        ({"kernel_size": 3, "stride": 0}, ValueError, "stride must be at least 1"),
        ({"kernel_size": 3, "padding": -1}, ValueError, "padding must be at least 0"),
        ({"kernel_size": 3, "dilation": (1, 0)}, ValueError, "dilation must be at least 1"),
    ],
)
def test_sizes_of_convolutions_are_checked_when_they_are_made(options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        nn.Conv2d(1, 1, **options)


def test_sizes_of_convolutions_may_be_numpys_ints() -> None:
    layer = nn.Conv2d(1, 1, np.int64(3), padding=[np.int32(1), 2])
    assert repr(layer) == "Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding=(1, 2))"


@pytest.mark.parametrize("separate", [False, True])
def test_attention_of_several_heads_as_a_function(separate: bool) -> None:
    tg.manual_seed(0)
    layer = nn.MultiheadAttention(6, 2, kdim=4 if separate else None, vdim=5 if separate else None, add_bias_kv=True)
    q = tg.randn(3, 2, 6)
    k, v = (tg.randn(4, 2, 4), tg.randn(4, 2, 5)) if separate else (tg.randn(4, 2, 6), tg.randn(4, 2, 6))
    fixed = (6, 2, layer.in_proj_weight, layer.in_proj_bias, layer.bias_k, layer.bias_v, False, 0.0)
    own = {f"{n}_proj_weight": getattr(layer, f"{n}_proj_weight") for n in "qkv"} if separate else {}
    out = F.multi_head_attention_forward(
        *(q, k, v), *fixed, layer.out_proj.weight, layer.out_proj.bias, use_separate_proj_weight=separate, **own
    )
    for ours, expected in zip(out, layer(q, k, v), strict=True):
        assert ours.tolist() == expected.tolist()
    with pytest.raises(tg.ShapeError, match="expected 7 features"):
        F.multi_head_attention_forward(q, k, v, 7, *fixed[1:], layer.out_proj.weight, layer.out_proj.bias)
