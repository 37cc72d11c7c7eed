"""The tape's gradients of whole networks against backward passes that are chained by hand, in NumPy, layer after layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F

Array = np.ndarray[Any, np.dtype[np.float64]]


def draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def equal(found: Any, expected: Array) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)


# ---- the layers, each with its backward pass ----


class Conv:
    """A convolution with stride 1: y = w * x + b."""

    def __init__(self, w: Array, b: Array, padding: int = 0) -> None:
        self.w, self.b, self.padding = w, b, padding

    def forward(self, x: Array) -> Array:
        p = self.padding
        self.windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), self.w.shape[2:], axis=(2, 3))
        return np.einsum("nchwij,ocij->nohw", self.windows, self.w) + self.b[:, None, None]

    def backward(self, g: Array) -> Array:
        self.dw = np.einsum("nchwij,nohw->ocij", self.windows, g)
        self.db = g.sum((0, 2, 3))
        k, p = self.w.shape[2], self.padding
        # The sum over all outputs that an input reaches: a full convolution with the turned weights.
        spread = sliding_window_view(np.pad(g, ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1))), (k, k), axis=(2, 3))
        dx = np.einsum("nohwij,ocij->nchw", spread, self.w[:, :, ::-1, ::-1])
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class Linear:
    """y = x wᵀ + b on the last axis."""

    def __init__(self, w: Array, b: Array) -> None:
        self.w, self.b = w, b

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, g: Array) -> Array:
        rows, columns = g.reshape(-1, g.shape[-1]), self.x.reshape(-1, self.x.shape[-1])
        self.dw, self.db = rows.T @ columns, rows.sum(0)
        return g @ self.w


class Relu:
    def forward(self, x: Array) -> Array:
        self.on = x > 0
        return np.where(self.on, x, 0.0)

    def backward(self, g: Array) -> Array:
        return np.where(self.on, g, 0.0)


class MaxPool:
    """The largest of windows of 2 by 2."""

    def forward(self, x: Array) -> Array:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2).swapaxes(3, 4).reshape(n, c, h // 2, w // 2, 4)
        self.where = np.eye(4)[blocks.argmax(-1)]
        return blocks.max(-1)

    def backward(self, g: Array) -> Array:
        n, c, h, w = g.shape
        return (g[..., None] * self.where).reshape(n, c, h, w, 2, 2).swapaxes(3, 4).reshape(n, c, 2 * h, 2 * w)


class Flatten:
    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, g: Array) -> Array:
        return g.reshape(self.shape)


class LayerNorm:
    """(x - mean) / √(variance + eps) * w + b on the last axis."""

    def __init__(self, w: Array, b: Array, eps: float = 1e-5) -> None:
        self.w, self.b, self.eps = w, b, eps

    def forward(self, x: Array) -> Array:
        self.r = 1 / np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.hat = (x - x.mean(-1, keepdims=True)) * self.r
        return self.hat * self.w + self.b

    def backward(self, g: Array) -> Array:
        axes = tuple(range(g.ndim - 1))
        self.dw, self.db = (g * self.hat).sum(axes), g.sum(axes)
        u = g * self.w
        return self.r * (u - u.mean(-1, keepdims=True) - self.hat * (u * self.hat).mean(-1, keepdims=True))


class Attention:
    """Causal attention of several heads: softmax(q kᵀ / √d) v, between two linear layers."""

    def __init__(self, qkv: Linear, out: Linear, heads: int) -> None:
        self.qkv, self.out, self.heads = qkv, out, heads

    def forward(self, x: Array) -> Array:
        n, t, e = x.shape
        d = e // self.heads
        self.q, self.k, self.v = self.qkv.forward(x).reshape(n, t, 3, self.heads, d).transpose(2, 0, 3, 1, 4)
        scores = np.where(np.tril(np.ones((t, t), bool)), self.q @ self.k.swapaxes(2, 3) / np.sqrt(d), -np.inf)
        e_scores = np.exp(scores - scores.max(-1, keepdims=True))
        self.p = e_scores / e_scores.sum(-1, keepdims=True)
        return self.out.forward((self.p @ self.v).swapaxes(1, 2).reshape(n, t, e))

    def backward(self, g: Array) -> Array:
        n, t, e = g.shape
        d = e // self.heads
        g = self.out.backward(g).reshape(n, t, self.heads, d).swapaxes(1, 2)
        dv = self.p.swapaxes(2, 3) @ g
        dp = g @ self.v.swapaxes(2, 3)
        ds = self.p * (dp - (dp * self.p).sum(-1, keepdims=True)) / np.sqrt(d)
        dq, dk = ds @ self.k, ds.swapaxes(2, 3) @ self.q
        return self.qkv.backward(np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(n, t, 3 * e))


def chained(layers: list[Any], x: Array, cotangent: Any) -> Array:
    """Forward through all layers, then backward; ``cotangent`` returns the gradient with respect to the result."""
    for layer in layers:
        x = layer.forward(x)
    g = cotangent(x)
    for layer in reversed(layers):
        g = layer.backward(g)
    return g


# ---- the networks ----


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: tg.Variable) -> tg.Variable:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.reshape(len(x), -1))))))


def values(layer: Any) -> tuple[Array, Array]:
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def cross_entropy_gradient(labels: Any) -> Any:
    def gradient(logits: Array) -> Array:
        e = np.exp(logits - logits.max(1, keepdims=True))
        return (e / e.sum(1, keepdims=True) - np.eye(10)[labels]) / len(logits)

    return gradient


def test_lenet() -> None:
    tg.manual_seed(0)
    net = LeNet().to(tg.float64)
    images, labels = draw(0, 3, 1, 28, 28), np.array([7, 0, 7])
    x = tg.Variable(images, requires_grad=True)
    F.cross_entropy(net(x), tg.asarray(labels)).backward()
    conv1, conv2 = Conv(*values(net.conv1), padding=2), Conv(*values(net.conv2))
    full = [Linear(*values(layer)) for layer in (net.fc1, net.fc2, net.fc3)]
    layers = [conv1, Relu(), MaxPool(), conv2, Relu(), MaxPool(), Flatten(), full[0], Relu(), full[1], Relu(), full[2]]
    equal(x.grad, chained(layers, images, cross_entropy_gradient(labels)))
    for ours, by_hand in zip((net.conv1, net.conv2, net.fc1, net.fc2, net.fc3), (conv1, conv2, *full), strict=True):
        equal(ours.weight.grad, by_hand.dw)
        equal(ours.bias.grad, by_hand.db)


class Block(nn.Module):
    """A block of a transformer: attention and two layers, each added to what is normalised before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: tg.Variable) -> tg.Variable:
        n, t, e = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, e // self.heads).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(found.transpose(1, 2).reshape(n, t, e))
        return x + self.narrow(F.relu(self.wide(self.norm2(x))))


class Residual:
    """x + f(x)."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def forward(self, x: Array) -> Array:
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        return x + y

    def backward(self, g: Array) -> Array:
        d = g
        for layer in reversed(self.layers):
            d = layer.backward(d)
        return g + d


@pytest.mark.parametrize(("positions", "width", "heads"), [(7, 12, 3), (1, 4, 1), (40, 16, 2)])
def test_an_attention_block(positions: int, width: int, heads: int) -> None:
    tg.manual_seed(1)
    block = Block(width, heads).to(tg.float64)
    with tg.no_grad():
        for norm in (block.norm1, block.norm2):
            norm.weight.copy_(1 + 0.3 * tg.randn(width))
            norm.bias.copy_(tg.randn(width))
    data, seed = draw(2, 2, positions, width), draw(3, 2, positions, width)
    x = tg.Variable(data, requires_grad=True)
    block(x).backward(tg.asarray(seed))
    names = ("qkv", "out", "wide", "narrow")
    linear = {name: Linear(*values(getattr(block, name))) for name in names}
    norms = {name: LayerNorm(*values(getattr(block, name))) for name in ("norm1", "norm2")}
    attention = Attention(linear["qkv"], linear["out"], heads)
    layers = [Residual(norms["norm1"], attention), Residual(norms["norm2"], linear["wide"], Relu(), linear["narrow"])]
    equal(x.grad, chained(layers, data, lambda _: seed))
    for name, by_hand in (linear | norms).items():
        equal(getattr(block, name).weight.grad, by_hand.dw)
        equal(getattr(block, name).bias.grad, by_hand.db)
