"""Makes two moons of noise: a denoising diffusion model in the plane.

    python examples/diffusion.py [--steps 8000]

A network learns which noise was added to points; taking it away step by step turns noise into points. The way from
noise to moons goes to examples/output/diffusion.png.
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, INK, arguments, save
from tapegrad import nn
from tapegrad.utils.data import DataLoader, RandomSampler, TensorDataset

LEVELS = 100
#: How much of a point is left at each level of noise.
KEPT = np.cos(np.linspace(0.0, 1.0, LEVELS + 1) * np.pi / 2 * 0.99) ** 2
BETAS = 1 - KEPT[1:] / KEPT[:-1]


class Denoiser(nn.Module):
    """The noise in points of the plane, given its level."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        hidden = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.SiLU())]
        self.net = nn.Sequential(nn.Linear(2 + 8, width), nn.SiLU(), *hidden, nn.Linear(width, 2))
        self.register_buffer("frequencies", tg.asarray(np.pi * 2.0 ** np.arange(4), dtype=tg.float32))

    def forward(self, x: tg.Variable, level: tg.Variable) -> tg.Variable:
        """`x` of shape (n, 2), `level` of shape (n, 1) from 0 to 1."""
        phase = level * self.frequencies
        return self.net(tg.cat([x, tg.sin(phase), tg.cos(phase)], dim=1))


def train(steps: int, seed: int = 0) -> tuple[Denoiser, np.ndarray, list[float]]:
    """Learns from points with noise of random levels."""
    tg.manual_seed(seed)
    points = make_moons(4000, noise=0.05, random_state=seed)[0]
    points = ((points - points.mean(0)) / points.std(0)).astype(np.float32)
    data = TensorDataset(points)
    loader = DataLoader(data, batch_size=512, sampler=RandomSampler(data, replacement=True, num_samples=512 * steps))
    kept = tg.asarray(KEPT[1:].astype(np.float32))
    model = Denoiser()
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    bar = tqdm(loader, desc="diffusion", unit="step")
    for i, (x,) in enumerate(bar):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - i / steps)
        level = tg.randint(LEVELS, (len(x), 1))
        noise, share = tg.randn_like(x), kept[level]
        noisy = tg.sqrt(share) * x + tg.sqrt(1 - share) * noise
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(noisy, level.float() / LEVELS), noise)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if i % 50 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-200:]):.3f}")
    return model, points, losses


@tg.no_grad()
def sample(model: Denoiser, count: int) -> list[np.ndarray]:
    """From noise to points; returns the points after each level."""
    x = tg.randn(count, 2)
    path = [x.numpy()]
    for i in reversed(range(LEVELS)):
        noise = model(x, tg.full((count, 1), i / LEVELS, dtype=tg.float32))
        x = (x - BETAS[i] / (1 - KEPT[i + 1]) ** 0.5 * noise) / (1 - BETAS[i]) ** 0.5
        if i:
            x = x + (BETAS[i] * (1 - KEPT[i]) / (1 - KEPT[i + 1])) ** 0.5 * tg.randn(count, 2)
        path.append(x.numpy())
    return path


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The mean distance of points of `a` to the nearest of `b`."""
    return float(np.mean([np.sqrt(((b - p) ** 2).sum(1).min()) for p in a]))


def draw(path: list[np.ndarray], points: np.ndarray) -> Figure:
    """Five moments of the way, and the data."""
    moments = [0, LEVELS // 2, LEVELS * 3 // 4, LEVELS * 9 // 10, LEVELS]
    figure, axes = plt.subplots(1, 6, figsize=(18, 3.4), layout="constrained")
    shown = [(path[m], f"after {m} levels", BLUE) for m in moments] + [(points[:1500], "data", INK)]
    for ax, (cloud, title, color) in zip(axes, shown):
        ax.scatter(*cloud.T, s=3, color=color, alpha=0.5, linewidth=0)
        ax.set(xticks=[], yticks=[], xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title=title)
        ax.grid(visible=False)
    return figure


def main() -> None:
    """Trains, samples and draws."""
    options = arguments(__doc__, steps=(8000, "steps of training"))
    model, points, losses = train(options.steps)
    path = sample(model, 1500)
    print(f"loss {losses[0]:.3f} -> {np.mean(losses[-200:]):.3f}, distance to the data {distance(path[-1], points):.4f}")
    print(f"wrote {save(draw(path, points), 'diffusion.png', options.output)}")


if __name__ == "__main__":
    main()
