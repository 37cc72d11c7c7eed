"""Separates two interleaved half circles with a network made of nothing but Variables and operators.

    python examples/two_moons.py [--steps 1500]

No nn, no optimizer: the forward pass is matrix products and tanh, the update is a line. The learned boundary goes to
examples/output/two_moons.png.
"""

from __future__ import annotations

from math import pi
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import tapegrad as tg
from style import BLUE, INK, ORANGE, arguments, save


def moons(count: int, noise: float) -> tuple[tg.Variable, tg.Variable]:
    """Points on two half circles, and which of them (0 or 1) each is on."""
    label = tg.asarray(np.arange(count) % 2, dtype=tg.float32)
    angle = tg.random.rand(count) * pi
    side = 1 - 2 * label
    x = side * tg.cos(angle) + label
    y = side * tg.sin(angle) + 0.5 * label
    points = tg.stack([x, y], axis=1)
    return points + noise * tg.random.randn(count, 2), label


def make_parameters(hidden: int) -> list[tg.Variable]:
    """Weights and biases of two hidden layers and one output."""
    sizes = [(2, hidden), (hidden,), (hidden, hidden), (hidden,), (hidden, 1), (1,)]
    scale = [1.0, 0.0, hidden**-0.5, 0.0, hidden**-0.5, 0.0]
    return [(tg.random.randn(*size) * s).requires_grad_(True) for size, s in zip(sizes, scale)]


def logits(points: tg.Variable, parameters: list[tg.Variable]) -> tg.Variable:
    """Positive for the second moon."""
    w1, b1, w2, b2, w3, b3 = parameters
    h = tg.tanh(points @ w1 + b1)
    h = tg.tanh(h @ w2 + b2)
    return (h @ w3 + b3)[:, 0]


def train(steps: int, seed: int = 0) -> tuple[list[tg.Variable], list[float], float]:
    """Gradient descent with momentum; returns parameters, losses, and accuracy on fresh points."""
    tg.random.manual_seed(seed)
    points, label = moons(400, noise=0.15)
    parameters = make_parameters(hidden=24)
    velocity = [tg.zeros_like(p) for p in parameters]
    losses = []
    for _ in range(steps):
        z = logits(points, parameters)
        # Logistic loss: log(1 + exp(z)) - label z, written so that it cannot overflow.
        loss = tg.mean(tg.maximum(z, 0.0) + tg.log1p(tg.exp(-tg.abs(z))) - label * z)
        loss.backward()
        with tg.no_grad():
            for p, v in zip(parameters, velocity):
                v *= 0.9
                v += p.grad
                p -= 0.05 * v
                p.grad = None
        losses.append(loss.item())
    fresh, truth = moons(2000, noise=0.15)
    with tg.no_grad():
        right = (logits(fresh, parameters) > 0) == (truth > 0.5)
    return parameters, losses, float(np.mean(right.numpy()))


def draw(parameters: list[tg.Variable], losses: list[float], accuracy: float, folder: Path) -> Path:
    """The plane coloured by the learned probability, and the loss."""
    points, label = moons(400, noise=0.15)
    u, v = np.meshgrid(np.linspace(-1.7, 2.7, 300), np.linspace(-1.15, 1.65, 200))
    with tg.no_grad():
        plane = tg.asarray(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32))
        probability = tg.sigmoid(logits(plane, parameters)).numpy().reshape(u.shape)
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5.4), width_ratios=(1.6, 1), layout="constrained")
    box = (-1.7, 2.7, -1.15, 1.65)
    left.imshow(probability, extent=box, origin="lower", cmap="RdBu_r", alpha=0.5, vmin=-0.2, vmax=1.2, interpolation="bilinear")
    left.contour(u, v, probability, levels=[0.5], colors=INK, linewidths=2)
    for value, color in ((0, BLUE), (1, ORANGE)):
        chosen = points.numpy()[label.numpy() == value]
        left.scatter(*chosen.T, s=22, color=color, edgecolor="white", linewidth=0.6)
    left.set_title(f"Two moons: {accuracy:.1%} of 2000 new points on the right side")
    left.set(xticks=[], yticks=[], aspect="equal", xlim=box[:2], ylim=box[2:])
    left.grid(visible=False)
    left.spines[:].set_visible(False)
    right.plot(np.arange(1, len(losses) + 1), losses, color=BLUE, lw=2)
    right.set(xlabel="step", ylabel="logistic loss", yscale="log", title="Gradient descent with momentum")
    ticks = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]
    right.set_yticks([t for t in ticks if 0.8 * min(losses) < t < 1.3 * max(losses)])
    right.yaxis.set_major_formatter("{x:g}")
    right.minorticks_off()
    return save(figure, "two_moons.png", folder)


def main() -> None:
    """Trains and draws."""
    options = arguments(__doc__, steps=(1500, "steps of gradient descent"))
    parameters, losses, accuracy = train(options.steps)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}, accuracy on new points {accuracy:.2%}")
    print(f"wrote {draw(parameters, losses, accuracy, options.output)}")


if __name__ == "__main__":
    main()
