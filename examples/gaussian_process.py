"""A Gaussian process: the length, height and noise of a curve by maximum marginal likelihood, written in NumPy.

    python examples/gaussian_process.py

The likelihood is a function of NumPy's, with a Cholesky factor and a solve. Called with a Variable it records, so that L-BFGS
has its exact gradient; called with an array it is what SciPy minimises, with differences. Both find the same process. The
picture is examples/output/gaussian_process.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from matplotlib import pyplot as plt

from fitting import minimize
from style import BLUE, GREEN, ORANGE, SOFT, arguments, save

NAMES = ("height", "length", "noise")
START = np.log([1.0, 1.0, 0.3])


def truth(x: np.ndarray) -> np.ndarray:
    """The curve behind the readings."""
    return np.sin(1.3 * x) + 0.4 * np.sin(3.1 * x + 0.5)


def measure(count: int = 50, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Places with a gap between them, and noisy readings there."""
    rng = np.random.default_rng(4)
    x = np.sort(np.concatenate([rng.uniform(0.0, 4.5, count // 2), rng.uniform(6.5, 10.0, count - count // 2)]))
    return x, truth(x) + noise * rng.normal(size=count)


def kernel(a: np.ndarray, b: np.ndarray, height: Any, length: Any) -> Any:
    """Covariances of the curve at places ``a`` and ``b``."""
    return height**2 * np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2)


def surprise(theta: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """The negative logarithm of the marginal likelihood (Rasmussen & Williams, algorithm 2.1)."""
    height, length, noise = np.exp(theta)
    factor = np.linalg.cholesky(kernel(x, x, height, length) + noise**2 * np.eye(x.size))
    white = np.linalg.solve(factor, y)
    return 0.5 * np.sum(white**2) + np.sum(np.log(np.diagonal(factor))) + 0.5 * x.size * np.log(2 * np.pi)


def predict(theta: np.ndarray, x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the curve at new places."""
    height, length, noise = np.exp(theta)
    across = kernel(at, x, height, length)
    inverse = np.linalg.inv(kernel(x, x, height, length) + noise**2 * np.eye(x.size))
    return across @ inverse @ y, np.sqrt(np.maximum(height**2 - np.sum((across @ inverse) * across, axis=1), 0.0))


def draw(theta: np.ndarray, x: np.ndarray, y: np.ndarray, values: list[float], folder: Path) -> Path:
    """The process with its uncertainty, and the way to its parameters."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(2.2, 1), layout="constrained")
    at = np.linspace(-0.5, 10.5, 400)
    mean, spread = predict(theta, x, y, at)
    left.fill_between(at, mean - 2 * spread, mean + 2 * spread, color=BLUE, alpha=0.15, lw=0, label="two standard deviations")
    left.plot(at, mean, color=BLUE, lw=2.2, label="mean")
    left.plot(at, truth(at), color=GREEN, lw=1.5, ls="--", label="truth")
    left.scatter(x, y, s=22, color=ORANGE, edgecolor="white", linewidth=0.5, zorder=3, label="readings")
    height, length, noise = np.exp(theta)
    left.set(
        title=f"height {height:.2f}, length {length:.2f}, noise {noise:.3f}", xlabel="x", xlim=(-0.5, 10.5), ylim=(-2.6, 2.6)
    )
    left.legend(ncols=4, loc="lower center", fontsize=10)
    right.plot(range(len(values)), values, color=BLUE, lw=2, marker="o", ms=4)
    right.set(title="Marginal likelihood", xlabel="round of L-BFGS", ylabel="negative logarithm")
    right.tick_params(colors=SOFT)
    return save(figure, "gaussian_process.png", folder)


def main() -> None:
    """Measures, fits, compares and draws."""
    options = arguments(__doc__, steps=(30, "rounds of L-BFGS"))
    x, y = measure()
    theta, values = minimize(lambda p: surprise(p, x, y), START, options.steps)
    theirs = scipy.optimize.minimize(surprise, START, args=(x, y), method="L-BFGS-B")
    for name, ours, other in zip(NAMES, np.exp(theta), np.exp(theirs.x), strict=True):
        print(f"{name:<7} {ours:8.5f}   SciPy {other:8.5f}")
    print(f"negative log likelihood {float(surprise(theta, x, y)):.6f}, SciPy {theirs.fun:.6f} after {theirs.nfev} evaluations")
    print(f"wrote {draw(theta, x, y, values, options.output)}")


if __name__ == "__main__":
    main()
