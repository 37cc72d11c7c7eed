"""Layers, losses and functions: gradients of orders 1 and 2 over their options, sizes of zero, statistics, clear errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F


@pytest.fixture(autouse=True)
def _seed() -> None:
    tg.random.manual_seed(2)


def real(*shape: int, start: int = 1) -> tg.Variable:
    """Numbers of which no two are equal, and none is a kink."""
    values = np.sin(np.arange(start, start + int(np.prod(shape, dtype=int))) * 1.37) * 1.9
    return tg.Variable(values.reshape(shape), requires_grad=True)


POSITIVE = tg.Variable(np.abs(np.cos(np.arange(12.0))).reshape(3, 4) + 0.3, requires_grad=True)
SIGNS = tg.Variable(np.array([1.0, -1.0, 1.0]))
FUNCTIONS: list[tuple[str, Any, list[Any]]] = [
    ("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), [real(4, 3), real(3), real(3)]),
    ("batch_norm eval", lambda x, w: F.batch_norm(x, tg.ones(3) * 0.2, tg.ones(3), w), [real(2, 3, 2), real(3)]),
    ("instance_norm", lambda x, w: F.instance_norm(x, weight=w), [real(2, 3, 4), real(3)]),
    ("layer_norm", lambda x, w, b: F.layer_norm(x, (4,), w, b), [real(2, 4), real(4), real(4)]),
    ("rms_norm", lambda x, w: F.rms_norm(x, (4,), w), [real(2, 4), real(4)]),
    ("group_norm", lambda x, w: F.group_norm(x, 2, w), [real(2, 4, 2), real(4)]),
    ("local_response_norm", lambda x: F.local_response_norm(x, 3, 0.5), [real(1, 4, 2)]),
    ("normalize", F.normalize, [real(3, 4)]),
    ("cosine_similarity", F.cosine_similarity, [real(3, 4), real(3, 4, start=40)]),
    ("pairwise_distance", F.pairwise_distance, [real(3, 4), real(3, 4, start=40)]),
    ("bilinear", F.bilinear, [real(2, 3), real(2, 2), real(4, 3, 2), real(4)]),
    ("embedding", lambda w: F.embedding(tg.Variable([[0, 2], [2, 1]]), w, padding_idx=3), [real(4, 2)]),
    ("embedding_bag", lambda w: F.embedding_bag(tg.Variable([0, 2, 1]), w, tg.Variable([0, 2]), mode="max"), [real(3, 2)]),
    (
        "bag weights",
        lambda w, p: F.embedding_bag(tg.Variable([[0, 2]]), w, mode="sum", per_sample_weights=p),
        [real(3, 2), real(1, 2)],
    ),
    ("attention", F.scaled_dot_product_attention, [real(2, 3, 4), real(2, 5, 4), real(2, 5, 2)]),
    ("attention causal", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3), [real(3, 2)] * 3),
    ("attention bias", F.scaled_dot_product_attention, [real(1, 3, 4), real(1, 2, 4), real(1, 2, 2), real(3, 2)]),
    (
        "attention groups",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        [real(1, 4, 3, 2), real(1, 2, 3, 2), real(1, 2, 3, 2)],
    ),
    ("kl_div", lambda x, t: F.kl_div(x, t, "sum"), [real(3, 4), POSITIVE]),
    ("hinge", lambda x: F.hinge_embedding_loss(x, SIGNS, 0.7, "none"), [real(3)]),
    ("ranking", lambda a, b: F.margin_ranking_loss(a, b, SIGNS, 0.3), [real(3), real(3, start=9)]),
    ("soft margin", lambda x: F.soft_margin_loss(x, SIGNS), [real(3)]),
    ("multi margin", lambda x: F.multi_margin_loss(x, tg.Variable([0, 3, 1]), 2, 0.5, POSITIVE.detach()[0]), [real(3, 4)]),
    ("multilabel", lambda x: F.multilabel_soft_margin_loss(x, (POSITIVE.detach() > 0.8).astype(tg.float64)), [real(3, 4)]),
    ("multilabel margin", lambda x: F.multilabel_margin_loss(x, tg.Variable([[0, 3, -1, 0]])), [real(1, 4)]),
    ("cosine embedding", lambda a, b: F.cosine_embedding_loss(a, b, SIGNS, 0.1), [real(3, 4), real(3, 4, start=50)]),
    ("triplet", lambda a, b, c: F.triplet_margin_loss(a, b, c, swap=True), [real(3, 4, start=i) for i in (1, 30, 60)]),
    ("gaussian", lambda x, t, v: F.gaussian_nll_loss(x, t, v), [real(3, 4), real(3, 4, start=30), POSITIVE]),
    (
        "poisson",
        lambda x, t: F.poisson_nll_loss(x, t, log_input=False, full=True),
        [POSITIVE, tg.Variable(POSITIVE.numpy() * 3.0, requires_grad=True)],
    ),
    ("focal", lambda x: F.focal_loss(x, tg.Variable([0, 3, 1]), alpha=[0.1, 0.4, 0.2, 0.3]), [real(3, 4)]),
    ("focal binary", lambda x: F.focal_loss(x, (POSITIVE.detach() > 0.8).astype(tg.float64), 1.5, 0.25), [real(3, 4)]),
    ("gumbel", lambda x: F.softmax(x, 1) * F.glu(x, 1).sum(), [real(3, 4)]),
]


@pytest.mark.parametrize(("function", "inputs"), [f[1:] for f in FUNCTIONS], ids=[f[0] for f in FUNCTIONS])
def test_gradients_of_both_orders(function: Any, inputs: list[Any]) -> None:
    fresh = [tg.Variable(x.detach().numpy(copy=True), requires_grad=True) for x in inputs]
    assert tg.autograd.gradcheck(function, fresh)
    assert tg.autograd.gradgradcheck(function, fresh)


RECURRENT = [("RNN", {}), ("LSTM", {"num_layers": 2}), ("GRU", {"bidirectional": True})]


@pytest.mark.parametrize(("name", "options"), RECURRENT)
def test_gradients_of_recurrent_layers(name: str, options: dict[str, Any]) -> None:
    net = getattr(nn, name)(2, 2, dtype=tg.float64, **options)
    assert tg.autograd.gradcheck(lambda x: net(x)[0], [real(3, 1, 2)])
    assert tg.autograd.gradgradcheck(lambda x: net(x)[0], [real(2, 1, 2)])


def test_running_statistics() -> None:
    norm = nn.BatchNorm1d(2, momentum=0.25).double()
    x = np.arange(8.0).reshape(4, 2)
    norm(tg.asarray(x))
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean(0))
    np.testing.assert_allclose(norm.running_var.numpy(), 0.75 + 0.25 * x.var(0, ddof=1))
    assert not norm.running_mean.requires_grad
    same = norm.running_mean
    norm(tg.asarray(x))
    assert norm.running_mean is same
    mean = nn.BatchNorm1d(2, momentum=None, affine=False).double()
    for k in range(3):
        mean(tg.asarray(x + k))
    np.testing.assert_allclose(mean.running_mean.numpy(), x.mean(0) + 1.0)
    assert mean.num_batches_tracked.item() == 3
    before = mean.running_mean.numpy(copy=True)
    mean.eval()(tg.asarray(x))
    np.testing.assert_array_equal(mean.running_mean.numpy(), before)
    mean.reset_running_stats()
    assert mean.num_batches_tracked.item() == 0


def test_large_means_do_not_hide_the_variance() -> None:
    x = np.random.default_rng(0).normal(1000.0, 1.0, (16, 64)).astype(np.float32)
    want = (x - x.mean(1, keepdims=True, dtype=np.float64)) / x.std(1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(F.layer_norm(tg.asarray(x), (64,)).numpy(), want, atol=2e-4)


def test_dropout() -> None:
    x = tg.Variable(np.ones((100, 100)), requires_grad=True)
    for function, zeros in ((nn.Dropout(0.25), 0.25), (nn.Dropout(0.75), 0.75)):
        y = function(x)
        assert (y.detach().numpy() == 0).mean() == pytest.approx(zeros, abs=0.02)
        assert set(np.unique(y.detach().numpy())) == {0.0, 1 / (1 - zeros)}
        (g,) = tg.autograd.grad(y.sum(), x)
        np.testing.assert_array_equal(g.numpy(), y.detach().numpy())
        assert function.eval()(x) is x
    channels = nn.Dropout2d(0.5)(tg.ones((8, 16, 3, 3))).numpy().reshape(128, 9)
    assert ((channels == 0).all(1) | (channels == 2).all(1)).all()
    assert 20 < (channels == 0).all(1).sum() < 108
    assert F.dropout1d(tg.ones((4, 3)), 0.5).shape == (4, 3)
    normal = tg.random.normal(0.0, 1.0, (200, 200))
    alpha = nn.AlphaDropout(0.3)(normal).numpy()
    assert alpha.mean() == pytest.approx(0.0, abs=0.05)
    assert alpha.std() == pytest.approx(1.0, abs=0.05)
    assert not F.dropout(tg.ones(5), 1.0).numpy().any()
    tg.random.manual_seed(5)
    first = F.dropout(x).detach().numpy()
    tg.random.manual_seed(5)
    np.testing.assert_array_equal(F.dropout(x).detach().numpy(), first)


def test_in_place_forms() -> None:
    x = tg.Variable([-1.0, 2.0])
    assert F.relu_(x) is x
    assert x.tolist() == [0.0, 2.0]
    w = tg.Variable([-1.0, 3.0], requires_grad=True)
    h = w * 2.0
    out = nn.Sequential(nn.LeakyReLU(0.5, inplace=True), nn.Hardtanh(-5.0, 5.0, inplace=True))(h)
    assert out is h
    h.sum().backward()
    assert w.grad.tolist() == [1.0, 0.0]
    with pytest.raises(tg.GradError):
        nn.ReLU(inplace=True)(w)
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.ELU(inplace=True)) == "ELU(alpha=1.0, inplace=True)"


def test_draws() -> None:
    x = real(4, 6)
    hard = F.gumbel_softmax(x, tau=0.5, hard=True, dim=0)
    np.testing.assert_allclose(hard.detach().numpy().sum(0), 1.0)
    assert tg.autograd.grad(hard[0].sum(), x)[0].numpy().any()
    counts = sum(F.gumbel_softmax(tg.log(tg.Variable([0.7, 0.3])), hard=True).numpy() for _ in range(400))
    assert counts[0] / 400 == pytest.approx(0.7, abs=0.08)
    y = nn.RReLU(0.1, 0.3)(tg.full((1000,), -1.0)).numpy()
    assert -0.3 <= y.min() < y.max() <= -0.1


def test_rows_that_are_masked_entirely() -> None:
    q, k, v = real(2, 3, 4), real(2, 3, 4, start=20), real(2, 3, 4, start=50)
    mask = np.ones((3, 3), dtype=bool)
    mask[1] = False
    added = np.where(mask, 0.0, -np.inf)
    for given in (mask, added):
        out = F.scaled_dot_product_attention(q, k, v, tg.Variable(given))
        assert not out.detach().numpy()[:, 1].any()
        grads = tg.autograd.grad(out.sum(), [q, k, v])
        assert all(np.isfinite(g.numpy()).all() for g in grads)
        assert not grads[0].numpy()[:, 1].any()


def test_sizes_of_zero() -> None:
    assert nn.Linear(3, 2)(tg.zeros((0, 3))).shape == (0, 2)
    assert nn.LayerNorm(3)(tg.zeros((0, 3))).shape == (0, 3)
    assert nn.GroupNorm(2, 4)(tg.zeros((0, 4, 2))).shape == (0, 4, 2)
    assert nn.Embedding(3, 2)(tg.zeros((0,), dtype=tg.int64)).shape == (0, 2)
    assert F.embedding_bag(tg.zeros((0,), dtype=tg.int64), tg.ones((3, 2)), tg.Variable([0, 0])).tolist() == [[0.0, 0.0]] * 2
    assert F.bilinear(tg.zeros((0, 2)), tg.zeros((0, 3)), tg.ones((4, 2, 3))).shape == (0, 4)
    assert F.dropout(tg.zeros((0, 3))).shape == (0, 3)
    assert nn.ReLU6()(tg.zeros(())).shape == ()
    assert nn.LSTM(3, 4)(tg.zeros((5, 0, 3)))[0].shape == (5, 0, 4)
    assert nn.MultiheadAttention(4, 2, batch_first=True)(*[tg.zeros((0, 3, 4))] * 3)[0].shape == (0, 3, 4)


def test_embedding() -> None:
    table = nn.Embedding(5, 3, padding_idx=-1)
    assert table.padding_idx == 4
    assert not table.weight.detach().numpy()[4].any()
    table(tg.Variable([[1, 4], [1, 2]])).sum().backward()
    np.testing.assert_array_equal(table.weight.grad.numpy()[:, 0], [0, 2, 1, 0, 0])
    short = nn.Embedding(5, 3, max_norm=0.1)
    short(tg.Variable([0, 1]))
    sizes = np.linalg.norm(short.weight.detach().numpy(), axis=1)
    np.testing.assert_allclose(sizes[:2], 0.1, rtol=1e-4)
    assert (sizes[2:] > 0.1).all()
    fixed = nn.Embedding.from_pretrained(tg.ones((2, 3)))
    assert not fixed.weight.requires_grad
    assert nn.EmbeddingBag.from_pretrained(tg.ones((2, 3)), freeze=False, mode="sum").weight.requires_grad
    bags = nn.EmbeddingBag(5, 2, mode="sum", include_last_offset=True)
    assert bags(tg.Variable([1, 2, 3]), tg.Variable([0, 1, 3])).shape == (2, 2)
    assert F.one_hot(tg.Variable([0, 2])).shape == (2, 3)


def test_old_flags_of_losses() -> None:
    x, t = tg.Variable([1.0, 2.0]), tg.Variable([0.0, 0.0])
    assert nn.MSELoss(size_average=False)(x, t).item() == 5.0
    assert nn.MSELoss(reduce=False)(x, t).shape == (2,)
    assert nn.L1Loss(size_average=True)(x, t).item() == 1.5


def test_weights_of_distances() -> None:
    x, t, w = tg.Variable([1.0, 4.0]), tg.Variable([0.0, 2.0]), tg.Variable([3.0, 1.0])
    assert F.mse_loss(x, t, weight=w).item() == 7.0 / 4.0
    assert F.l1_loss(x, t, "sum", weight=w).item() == 5.0
    assert F.huber_loss(x, t, "none", weight=w).tolist() == [1.5, 1.5]
    with pytest.raises(tg.ShapeError, match="weight"):
        F.mse_loss(x, t, weight=tg.ones(1))


def test_losses_are_modules() -> None:
    losses = nn.ModuleDict({"a": nn.CrossEntropyLoss(weight=[1.0, 2.0]), "b": nn.BCEWithLogitsLoss(pos_weight=tg.ones(2))})
    assert list(losses.state_dict()) == ["a.weight", "b.pos_weight"]
    assert losses.double()["a"].weight.dtype == tg.float64
    assert repr(nn.TripletMarginLoss()) == "TripletMarginLoss()"
    assert nn.KLDivLoss(reduction="batchmean").reduction == "batchmean"
    assert nn.FocalLoss(alpha=[0.5, 0.5])(tg.zeros((1, 2)), tg.Variable([1])).item() == pytest.approx(math.log(2) / 8, rel=1e-5)


def test_extreme_values_of_losses() -> None:
    big = tg.Variable([1e4, -1e4])
    assert np.isfinite(F.soft_margin_loss(big, tg.Variable([-1.0, 1.0])).item())
    assert np.isfinite(F.sigmoid_focal_loss(big, tg.Variable([0.0, 1.0]), reduction="sum").item())
    assert np.isfinite(F.multilabel_soft_margin_loss(big[None], tg.Variable([[0.0, 1.0]])).item())
    assert F.logsigmoid(big).tolist() == [0.0, -10000.0]
    x = tg.Variable([[0.0, -50.0]], requires_grad=True)
    F.kl_div(x, tg.Variable([[1.0, 0.0]], requires_grad=True)).backward()
    assert np.isfinite(x.grad.numpy()).all()
    same = tg.Variable(np.ones((2, 3)), requires_grad=True)
    F.triplet_margin_loss(same, same.detach(), same.detach()).backward()
    assert np.isfinite(same.grad.numpy()).all()
    zero = tg.Variable(np.zeros((2, 3)), requires_grad=True)
    (F.cosine_similarity(zero, same.detach()).sum() + F.normalize(zero).sum()).backward()
    assert np.isfinite(zero.grad.numpy()).all()


X = tg.ones((2, 3))
BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: F.kl_div(X, tg.ones((2, 1))), tg.ShapeError, r"kl_div: input \(2, 3\) and target \(2, 1\)"),
    (lambda: F.hinge_embedding_loss(X, tg.ones(3)), tg.ShapeError, "must have the same shape"),
    (lambda: F.margin_ranking_loss(X, tg.ones((2, 1)), X), tg.ShapeError, "input1"),
    (lambda: F.soft_margin_loss(X, tg.ones((1, 3))), tg.ShapeError, "same shape"),
    (lambda: F.multi_margin_loss(X, tg.Variable([0, 7])), ValueError, "target 7 is out of range for 3 classes"),
    (lambda: F.multi_margin_loss(X, tg.Variable([0, 1]), p=3), ValueError, "p must be 1 or 2"),
    (lambda: F.multi_margin_loss(X, tg.ones(2)), tg.DTypeError, "class indices"),
    (lambda: F.multilabel_margin_loss(X, tg.Variable([0, 1])), tg.ShapeError, "do not fit"),
    (lambda: F.cosine_embedding_loss(X, X, tg.ones(3)), tg.ShapeError, "do not fit"),
    (lambda: F.triplet_margin_loss(X, X, tg.ones(3)), tg.ShapeError, "negative"),
    (lambda: F.gaussian_nll_loss(X, X, -X), ValueError, "negative element"),
    (lambda: F.gaussian_nll_loss(X, X, tg.ones(3)), tg.ShapeError, "var"),
    (lambda: F.poisson_nll_loss(X, tg.ones(2)), tg.ShapeError, "same shape"),
    (lambda: F.focal_loss(X, tg.Variable([1])), tg.ShapeError, "focal_loss"),
    (lambda: F.kl_div(X, X, reduction="avg"), ValueError, "reduction is 'avg'"),
    (lambda: nn.MSELoss(reduction="batchmean"), ValueError, "expected one of"),
    (lambda: F.dropout(X, 1.5), ValueError, "p must lie between 0 and 1"),
    (lambda: nn.Dropout(-0.1), ValueError, "p must lie between 0 and 1"),
    (lambda: nn.Dropout2d()(tg.ones(3)), tg.ShapeError, "must have 3 or 4 dimensions"),
    (lambda: F.batch_norm(X, tg.zeros(2), tg.ones(2)), tg.ShapeError, "running_mean must have shape"),
    (lambda: F.batch_norm(X, None, None), ValueError, "evaluation needs running_mean"),
    (lambda: F.batch_norm(tg.ones((1, 3)), None, None, training=True), ValueError, "more than one value"),
    (lambda: nn.BatchNorm2d(3)(X), tg.ShapeError, "BatchNorm2d: the input must have 4 dimensions"),
    (lambda: nn.InstanceNorm1d(3)(tg.ones(3)), tg.ShapeError, "InstanceNorm1d"),
    (lambda: F.instance_norm(tg.ones((2, 3, 1))), ValueError, "more than one value"),
    (lambda: nn.LayerNorm(4)(X), tg.ShapeError, "ends with normalized_shape"),
    (lambda: nn.RMSNorm((2, 4))(X), tg.ShapeError, "ends with normalized_shape"),
    (lambda: nn.GroupNorm(2, 3), ValueError, "3 channels cannot be divided into 2 groups"),
    (lambda: F.group_norm(X, 2), ValueError, "cannot be divided"),
    (lambda: nn.Embedding(3, 2)(tg.Variable([5])), IndexError, "5"),
    (lambda: nn.Embedding(3, 2)(tg.Variable([-1])), IndexError, "negative"),
    (lambda: nn.Embedding(3, 2)(X), tg.DTypeError, "indices must be integers"),
    (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx 3 is out of range"),
    (lambda: F.embedding_bag(tg.Variable([0, 1]), X), ValueError, "offsets"),
    (lambda: F.embedding_bag(tg.Variable([0, 1]), X, tg.Variable([1])), ValueError, "begin with 0"),
    (lambda: F.embedding_bag(tg.Variable([[0]]), X, mode="min"), ValueError, "mode is 'min'"),
    (lambda: F.embedding_bag(tg.Variable([[0]]), X, per_sample_weights=tg.ones((1, 1))), ValueError, "needs mode 'sum'"),
    (lambda: F.bilinear(X, X, tg.ones((2, 3, 4))), tg.ShapeError, "do not fit a weight"),
    (lambda: F.scaled_dot_product_attention(X, tg.ones((2, 4)), X), tg.ShapeError, "do not fit"),
    (lambda: F.scaled_dot_product_attention(X, X, tg.ones((4, 3))), tg.ShapeError, "do not fit"),
    (lambda: F.scaled_dot_product_attention(X, X, X, X, is_causal=True), ValueError, "not both"),
    (lambda: F.scaled_dot_product_attention(X[None], tg.ones((2, 2, 3)), X[None], enable_gqa=True), tg.ShapeError, "multiple"),
    (lambda: nn.MultiheadAttention(5, 2), ValueError, "positive multiple of num_heads"),
    (lambda: nn.MultiheadAttention(4, 2)(X, X, X), tg.ShapeError, "expected 4, 4 and 4 features"),
    (lambda: nn.MultiheadAttention(3, 1)(X, X, X, attn_mask=tg.ones((5, 5))), tg.ShapeError, "attn_mask has shape"),
    (lambda: nn.MultiheadAttention(3, 1)(X, X, X, key_padding_mask=tg.ones(5)), tg.ShapeError, "key_padding_mask"),
    (lambda: nn.TransformerEncoderLayer(3, 1, 4)(X, is_causal=True), ValueError, "is_causal describes attn_mask"),
    (lambda: nn.TransformerEncoderLayer(4, 2, activation="swish"), ValueError, "activation is 'swish'"),
    (lambda: nn.Transformer(4, 2, 1, 1, 8)(X, X), tg.ShapeError, "must be d_model 4"),
    (lambda: nn.LSTM(3, 4)(tg.ones((2, 2, 5))), tg.ShapeError, "LSTM: the input must have 3 dimensions"),
    (lambda: nn.LSTM(3, 4)(tg.ones((2, 2, 3)), (tg.ones((1, 3, 4)), tg.ones((1, 2, 4)))), tg.ShapeError, r"shape \(1, 2, 4\)"),
    (lambda: nn.GRU(3, 4)(tg.ones((0, 2, 3))), tg.ShapeError, "the sequence is empty"),
    (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "nonlinearity is 'sin'"),
    (lambda: nn.LSTM(3, 4, proj_size=5), ValueError, "proj_size 5"),
    (lambda: nn.GRU(3, 0), ValueError, "must be positive"),
    (lambda: nn.GRUCell(3, 4)(tg.ones((2, 5))), tg.ShapeError, "GRUCell: the input must be"),
    (lambda: nn.LSTMCell(3, 4)(X, (tg.ones((2, 5)), tg.ones((2, 4)))), tg.ShapeError, "a state must have shape"),
    (lambda: nn.Unflatten(1, (2, 2))(X), tg.ShapeError, "cannot become"),
    (lambda: F.glu(X), tg.ShapeError, "must be even"),
    (lambda: F.hardtanh(X, 1.0, -1.0), ValueError, "must not be above"),
    (lambda: F.gumbel_softmax(X, tau=0.0), ValueError, "tau must be positive"),
    (lambda: F.celu(X, 0.0), ZeroDivisionError, "alpha must not be 0"),
    (lambda: F.rrelu(X, 0.5, 0.1), ValueError, "must not be above"),
    (lambda: nn.Softmax2d()(X), tg.ShapeError, "3 or 4 dimensions"),
    (lambda: F.one_hot(tg.Variable([-1])), ValueError, "-1 is not a class"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_says_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_variances_along_one_axis() -> None:
    var = tg.Variable([[0.5, 1.0, 2.0]])
    whole = F.gaussian_nll_loss(X, X + 1.0, tg.broadcast_to(var, X.shape))
    assert F.gaussian_nll_loss(X, X + 1.0, var).item() == pytest.approx(whole.item())


def test_an_empty_batch_leaves_running_statistics() -> None:
    layer = nn.BatchNorm1d(3)
    assert layer(tg.zeros(0, 3)).shape == (0, 3)
    assert layer.running_mean.tolist() == [0.0, 0.0, 0.0]
    assert layer.running_var.tolist() == [1.0, 1.0, 1.0]
