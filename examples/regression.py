"""Fits a curve to points of which some are far off, and says how sure it is: Bayesian regression by variational inference.

    python examples/regression.py [--steps 2000]

The curve is a sum of bumps with normal weights, the noise is Student's t of unknown scale and tail. Normal and log-normal
distributions approximate the posterior. The picture goes to examples/output/regression.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from tqdm import trange

import tapegrad as tg
from style import BLUE, GREEN, INK, ORANGE, RED, SOFT, arguments, save
from tapegrad import distributions as D

CENTERS = tg.linspace(-3.2, 3.2, 14)


def curve(x: tg.Variable) -> tg.Variable:
    """What generated the points."""
    return tg.sin(1.6 * x) + 0.3 * x


def points(count: int) -> tuple[tg.Variable, tg.Variable]:
    """Noisy values of the curve; one in eight is far off."""
    x = D.Uniform(-3.0, 3.0).sample((count,))
    far = D.Bernoulli(probs=0.125).sample((count,))
    return x, curve(x) + D.Normal(0.0, 0.15).sample((count,)) + far * D.Normal(1.5, 1.5).sample((count,))


def bumps(x: tg.Variable) -> tg.Variable:
    """Features of x."""
    return tg.exp(-0.5 * ((x[:, None] - CENTERS) / 0.55) ** 2)


class Posterior(tg.nn.Module):
    """The approximation, and the model that it is compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.loc, self.tril = tg.nn.Parameter(tg.zeros_like(CENTERS)), tg.nn.Parameter(-2.0 * tg.eye(len(CENTERS)))
        self.noise = tg.nn.Parameter(tg.tensor([[-1.0, 1.0], [-2.0, -2.0]]))

    def weights(self) -> D.MultivariateNormal:
        """The distribution of the weights."""
        return D.MultivariateNormal(self.loc, scale_tril=D.transform_to(D.constraints.lower_cholesky)(self.tril))

    def scales(self) -> D.LogNormal:
        """The distributions of the noise's scale and degrees of freedom."""
        return D.LogNormal(self.noise[0], tg.exp(self.noise[1]))

    def bound(self, features: tg.Variable, y: tg.Variable, samples: int = 8) -> tg.Variable:
        """The evidence lower bound: the mean log likelihood, less what the posterior says beyond the prior."""
        q, s = self.weights(), self.scales()
        w, noise = q.rsample((samples,)), s.rsample((samples,))
        likelihood = D.StudentT(noise[:, 1:], w @ features.T, noise[:, :1]).log_prob(y).sum(-1).mean()
        prior = D.MultivariateNormal(tg.zeros_like(self.loc), scale_tril=tg.eye(len(self.loc)))
        rest = D.LogNormal(tg.tensor([-1.0, 1.0]), tg.tensor([1.0, 1.0]))
        return likelihood - D.kl_divergence(q, prior) - D.kl_divergence(s, rest).sum()


def train(x: tg.Variable, y: tg.Variable, steps: int) -> tuple[Posterior, list[float]]:
    """Follows the gradient of the bound; returns the posterior and the bounds."""
    posterior, features, bounds = Posterior(), bumps(x), []
    optimizer = tg.optim.Adam(posterior.parameters(), lr=0.02)
    schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc="fit", leave=False):
        optimizer.zero_grad()
        bound = posterior.bound(features, y)
        (-bound).backward()
        optimizer.step()
        schedule.step()
        bounds.append(bound.item())
    return posterior, bounds


def draw(x: tg.Variable, y: tg.Variable, posterior: Posterior, bounds: list[float], folder: Path) -> tuple[Path, list[float]]:
    """The curves of the posterior, the bound, and what is known of the noise."""
    at = tg.linspace(-3.2, 3.2, 300)
    curves = (posterior.weights().sample((400,)) @ bumps(at).T).numpy()
    squares = (bumps(at) @ tg.linalg.lstsq(bumps(x), y[:, None])[0][:, 0]).numpy()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5), width_ratios=(1.7, 1, 1), layout="constrained")
    left.fill_between(
        at.numpy(), *np.quantile(curves, [0.025, 0.975], axis=0), color=BLUE, alpha=0.2, lw=0, label="posterior, 95 %"
    )
    left.plot(at.numpy(), curves[:12].T, color=BLUE, alpha=0.25, lw=0.8)
    left.plot(at.numpy(), curves.mean(0), color=BLUE, lw=2.2, label="its mean")
    left.plot(at.numpy(), curve(at).numpy(), color=INK, lw=1.4, ls="--", label="truth")
    left.plot(at.numpy(), squares, color=ORANGE, lw=1.4, label="least squares")
    left.scatter(x.numpy(), y.numpy(), s=16, color=SOFT, edgecolor="white", linewidth=0.5, zorder=3)
    left.set(title="A curve through points with outliers", ylim=(-3.2, 5.0))
    left.legend(loc="upper left", ncols=2)
    middle.plot(bounds, color=GREEN, lw=0.8, alpha=0.3)
    middle.plot(np.convolve(bounds, np.ones(50) / 50, "valid"), color=GREEN, lw=2)
    middle.set(title="Evidence bound", xlabel="step", ylim=(np.quantile(bounds, 0.1), max(bounds) + 3))
    right.scatter(*posterior.scales().sample((1500,)).numpy().T, s=6, color=BLUE, alpha=0.4, lw=0)
    right.axvline(0.15, color=RED, ls="--", lw=1.4)
    right.set(title="The noise; dashed: of good points", xlabel="scale", ylabel="degrees of freedom")
    error = [np.linalg.norm(c - curve(at).numpy()) / 300**0.5 for c in (curves.mean(0), squares)]
    return save(figure, "regression.png", folder), error


def main() -> None:
    """Fits and draws."""
    options = arguments(__doc__, steps=(2000, "steps of gradient descent"))
    tg.manual_seed(3)
    x, y = points(120)
    posterior, bounds = train(x, y, options.steps)
    path, (own, least) = draw(x, y, posterior, bounds, options.output)
    print(f"bound {bounds[0]:.1f} -> {bounds[-1]:.1f}, error {own:.3f}, of least squares {least:.3f}\nwrote {path}")


if __name__ == "__main__":
    main()
