"""Finds clusters that overlap: a mixture of normal distributions in the plane, fitted by gradient descent.

    python examples/mixture.py [--steps 300] [--components 4]

Weights, centers and covariances follow the gradient of the log density, through transforms that keep them valid. The picture
goes to examples/output/mixture.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Ellipse
from tqdm import trange

import tapegrad as tg
from style import BLUE, GREEN, INK, ORANGE, RED, SOFT, arguments, save
from tapegrad import distributions as D

COLORS = [BLUE, ORANGE, GREEN, RED, "#7c3aed", "#0891b2", "#ca8a04", "#be185d"]
LOWER = D.transform_to(D.constraints.lower_cholesky)


def truth() -> D.MixtureSameFamily:
    """The mixture that generates the points: four ellipses of different sizes and weights."""
    weights = tg.tensor([0.35, 0.3, 0.2, 0.15])
    centers = tg.tensor([[-2.0, 0.0], [1.5, 1.5], [1.8, -1.6], [-0.5, 2.6]])
    axes = tg.tensor([[[1.1, 0.6], [0.1, 0.4]], [[0.8, -0.6], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.5]], [[0.3, 0.7], [0.2, 0.0]]])
    covariance = axes.mT @ axes
    return D.MixtureSameFamily(D.Categorical(probs=weights), D.MultivariateNormal(centers, covariance))


class Mixture(tg.nn.Module):
    """Weights, centers and covariances, from unconstrained numbers."""

    def __init__(self, points: tg.Variable, count: int) -> None:
        super().__init__()
        self.logits = tg.nn.Parameter(tg.zeros((count,)))
        # Components begin at points that were drawn far from each other.
        chosen = [points[0]]
        for _ in range(count - 1):
            nearest = tg.min(tg.stack([((points - c) ** 2).sum(-1) for c in chosen]), axis=0)
            chosen.append(points[int(tg.random.choice(len(points), p=nearest / nearest.sum()))])
        self.centers = tg.nn.Parameter(tg.stack(chosen).detach())
        self.tril = tg.nn.Parameter(tg.zeros((count, 2, 2)) - 0.5 * tg.eye(2))

    def distribution(self) -> D.MixtureSameFamily:
        """The mixture."""
        parts = D.MultivariateNormal(self.centers, scale_tril=LOWER(self.tril))
        return D.MixtureSameFamily(D.Categorical(logits=self.logits), parts)

    def shares(self, points: tg.Variable) -> tg.Variable:
        """The probability of each component for each point."""
        d = self.distribution()
        return tg.softmax(d.mixture_distribution.logits + d.component_distribution.log_prob(points[:, None]), axis=-1)


def train(points: tg.Variable, held_out: tg.Variable, count: int, steps: int) -> tuple[Mixture, list[float]]:
    """Follows the gradient of the log density; returns the model, and the log densities of points that it did not see."""
    model, seen = Mixture(points, count), []
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    for _ in trange(steps, desc="fit", leave=False):
        optimizer.zero_grad()
        loss = -model.distribution().log_prob(points).mean()
        loss.backward()
        optimizer.step()
        with tg.no_grad():
            seen.append(model.distribution().log_prob(held_out).mean().item())
    return model, seen


def draw(points: tg.Variable, model: Mixture, seen: list[float], best: float, folder: Path) -> Path:
    """Points coloured by component, ellipses of two standard deviations, and the log density of unseen points."""
    with tg.no_grad():
        d, owner = model.distribution(), tg.argmax(model.shares(points), axis=-1).numpy()
        u, w = np.meshgrid(np.linspace(-6, 6, 200), np.linspace(-4.5, 6, 175))
        density = d.log_prob(np.stack([u, w], axis=-1).astype(np.float32)).numpy()
        weights, covariances = d.mixture_distribution.probs.numpy(), d.component_distribution.covariance_matrix.numpy()
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5.6), width_ratios=(1.5, 1), layout="constrained")
    left.contourf(u, w, density, levels=np.linspace(-9, density.max(), 14), cmap="Greys", alpha=0.35)
    for k, color in enumerate(COLORS[: len(weights)]):
        left.scatter(*points.numpy()[owner == k].T, s=9, color=color, lw=0, alpha=0.8)
        sizes, axes = np.linalg.eigh(covariances[k])
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        center = model.centers.detach().numpy()[k]
        left.add_patch(Ellipse(center, *4 * np.sqrt(sizes[::-1]), angle=angle, fill=False, color=color, lw=2.2))
        left.annotate(f"{weights[k]:.0%}", center, color=INK, weight="bold", ha="center", va="center")
    left.set(title="Points by component, and two deviations", xticks=[], yticks=[], aspect="equal")
    left.grid(visible=False)
    right.plot(seen, color=BLUE, lw=2, label="mixture")
    right.axhline(best, color=SOFT, ls="--", lw=1.4, label="the density that made the points")
    right.set(title="Log density of new points", xlabel="step", ylim=(best - 0.5, best + 0.08))
    right.legend(loc="lower right")
    return save(figure, "mixture.png", folder)


def main() -> None:
    """Fits and draws."""
    options = arguments(__doc__, steps=(300, "steps of gradient descent"), components=(4, "components of the mixture"))
    tg.manual_seed(1)
    points, held_out = truth().sample((1200,)), truth().sample((4000,))
    model, seen = train(points, held_out, options.components, options.steps)
    best = truth().log_prob(held_out).mean().item()
    path = draw(points, model, seen, best, options.output)
    print(f"log density of new points {seen[0]:.3f} -> {seen[-1]:.3f}, at best {best:.3f}")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
