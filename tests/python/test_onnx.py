"""ONNX models of programs, run by ONNX's own evaluator: skipped without the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F = nn.functional


def normal(*shape: int, seed: int = 0) -> tg.Variable:
    return tg.asarray(np.random.default_rng(seed).standard_normal(shape), dtype=tg.float32)


def recorded(f: Any, *args: Any) -> Any:
    compiled = tg.compile(f)
    with tg.no_grad():
        for _ in range(3):
            compiled(*args)
    assert compiled.programs(), compiled.explain()
    return compiled.programs()[0]


class Recurrent(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn = kind(3, 4, num_layers=2, batch_first=True)

    def forward(self, x: tg.Variable) -> tg.Variable:
        return self.rnn(x)[0][:, -1]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, index: tg.Variable) -> tg.Variable:
        return self.block(self.table(index))


def cnn() -> nn.Module:
    down, pool = nn.Conv2d(4, 4, 3, stride=2, groups=2), nn.MaxPool2d(3, 2, 1)
    top = [nn.GroupNorm(2, 4), nn.GELU(), nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(-1)]
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), pool, down, *top)
    net(normal(4, 2, 9, 9))
    return net.eval()


def index(x: tg.Variable, i: tg.Variable) -> Any:
    rows = tg.take(x, i, axis=1)
    return rows, x[:, ::-2], x[1:, None, 1], x[i], tg.take_along_axis(x, tg.argmax(x, axis=1, keepdims=True), axis=1), x[i, i]


def shapes(x: tg.Variable) -> Any:
    a, b = tg.split(x, 2, axis=1)
    joined = tg.concat([b, a], axis=1).reshape(2, -1).T
    return (
        joined,
        tg.stack([a, b]),
        tg.flip(x, axis=0),
        tg.broadcast_to(a[:, :1], a.shape),
        F.pad(x, (1, 2), value=0.5),
        tg.roll(x, 1, 0),
    )


def reductions(x: tg.Variable) -> Any:
    y = (
        x.sum(axis=0),
        x.mean(axis=1, keepdims=True),
        x.max(axis=(0, 1)),
        tg.min(x, axis=0),
        tg.prod(x, axis=1),
        x.var(axis=1),
        x.std(),
    )
    return (
        *y,
        tg.logsumexp(x, axis=1),
        tg.any(x > 1, axis=0),
        tg.all(x > -9),
        tg.argmax(x, axis=1),
        tg.argmin(x),
        F.log_softmax(x, dim=1),
    )


def elementwise(x: tg.Variable) -> Any:
    y = tg.sin(x) * tg.exp(-x) + tg.log1p(x * x) / 2 - tg.sqrt(tg.abs(x)) ** 1.5
    z = tg.where(x > 0, tg.maximum(x, 0.5), tg.minimum(x, -0.5)), tg.clip(x, -1, 1), (x < 0) & (x != 1), x.astype(tg.int64) + 1
    acts = [
        F.silu(x),
        F.leaky_relu(x, 0.1),
        F.elu(x),
        F.softplus(x),
        F.gelu(x, approximate="tanh"),
        F.hardtanh(x),
        F.hardswish(x),
        F.relu6(x),
    ]
    acts += [F.softplus(x, 2.0), F.selu(x), F.celu(x, 0.5), F.softsign(x), F.normalize(x, dim=1), tg.cumsum(x, axis=0)]
    whole = x.astype(tg.int64) * 3
    return (
        y,
        *z,
        *acts,
        x % 0.75,
        x // 0.75,
        whole % 2,
        whole // 2,
        tg.expm1(x),
        1 / (1 + x * x),
        -x,
        tg.floor(x),
        tg.square(x),
        F.mish(x),
        F.logsigmoid(x),
        tg.round(x * 3),
        tg.trunc(x * 3),
        tg.deg2rad(x),
        x.clone(),
    )


CASES: dict[str, Any] = {
    "cnn": lambda: (cnn(), [normal(2, 2, 9, 9)]),
    "attention": lambda: (Attention().eval(), [tg.asarray(np.array([[1, 8, 0, 2], [3, 3, 4, 5]]))]),
    "causal": lambda: (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), [normal(2, 3, 5, 4)]),
    "masked": lambda: (lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m), [normal(2, 5, 4), normal(5, 5)]),
    "lstm": lambda: (Recurrent(nn.LSTM), [normal(2, 5, 3)]),
    "gru": lambda: (Recurrent(nn.GRU), [normal(2, 5, 3)]),
    "norms": lambda: (lambda x: (F.layer_norm(x, (4,)), F.rms_norm(x, (4,)), F.instance_norm(x)), [normal(2, 3, 4)]),
    "transposed": lambda: (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), [normal(2, 3, 5, 5)]),
    "conv1d": lambda: (nn.Conv1d(3, 4, 3, dilation=2, padding="same"), [normal(2, 3, 8)]),
    "resize": lambda: (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [normal(1, 2, 4, 4)]),
    "products": lambda: (
        lambda a, b: (a @ b, a @ b[:, 0], a[0] @ b, a.T @ b.T.T[:3], tg.einsum("ij,jk->ki", a, b)),
        [normal(3, 4), normal(4, 5)],
    ),
    "index": lambda: (index, [normal(3, 4), tg.asarray(np.array([[0, 2], [-1, 1]]))]),
    "one_hot": lambda: (lambda t: (F.one_hot(t, 5), F.one_hot(t, 5)[1]), [tg.asarray([[0, 4, 2], [1, 1, 3]])]),
    "distribution": lambda: (lambda x, s: tg.distributions.Normal(x, tg.exp(s)).log_prob(x * 2), [normal(3), normal(3, seed=1)]),
    "shapes": lambda: (shapes, [normal(4, 6)]),
    "reductions": lambda: (reductions, [normal(3, 4)]),
    "elementwise": lambda: (elementwise, [normal(3, 4)]),
    "diagonal": lambda: (lambda x: (tg.diagonal(x), tg.diagonal(x, 1), tg.triu(x)), [normal(4, 4)]),
}


def flat(x: Any) -> list[Any]:
    return [x] if isinstance(x, tg.Variable) else [y for item in x for y in flat(item)]


@pytest.mark.parametrize("name", CASES)
def test_models_compute_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    tg.manual_seed(0)
    f, args = CASES[name]()
    recorded(f, *args).to_onnx(tmp_path / "m.onnx")
    inputs = {f"input_{i}": a.numpy() for i, a in enumerate(args)}
    found = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, inputs)
    with tg.no_grad():
        want = flat(f(*args))
    assert len(found) == len(want)
    for got, w in zip(found, want, strict=True):
        assert got.dtype == w.numpy().dtype
        np.testing.assert_allclose(got, w.numpy(), rtol=2e-4, atol=2e-5)
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    for got, w in zip(session.run(None, inputs), want, strict=True):
        np.testing.assert_allclose(got, w.numpy(), rtol=2e-4, atol=2e-5)


def test_what_has_no_counterpart_says_so() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(NotImplementedError, match="solve"):
        recorded(lambda a, b: tg.linalg.solve(a, b), normal(3, 3), normal(3)).to_onnx()
    with pytest.raises(NotImplementedError, match="gradient of"):
        recorded(lambda x: tg.grad(lambda a: tg.logsumexp(a * a))(x), normal(3)).to_onnx()
    with pytest.raises(NotImplementedError, match="complex"):
        recorded(lambda x: tg.fft.fft(x), normal(4)).to_onnx()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"tapegrad\[onnx\]"):
        tg.onnx.export(recorded(lambda x: x * 2, normal(3)))
