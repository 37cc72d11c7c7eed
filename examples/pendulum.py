"""Measures gravity with a pendulum: a least-squares fit of a damped oscillation, in float64.

    python examples/pendulum.py

The angle of a pendulum of known length swings as a exp(-c t) cos(w t + p) + offset. Five parameters are fitted to noisy
readings by Newton's method with the exact Hessian (gradients of gradients); its inverse gives the uncertainties, and
w and c give the acceleration of gravity. The fit goes to examples/output/pendulum.png.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import tapegrad as tg
from style import BLUE, INK, ORANGE, SOFT, arguments, save
from tapegrad.autograd import grad

NAMES = ("amplitude", "damping", "frequency", "phase", "offset")
UNITS = ("°", "1/s", "rad/s", "rad", "°")
LENGTH, GRAVITY = 1.25, 9.81
TRUE = (12.0, 0.09, sqrt(GRAVITY / LENGTH - 0.09**2), 0.4, 0.7)


def swing(t: tg.Variable, parameters: tg.Variable) -> tg.Variable:
    """The angle at times ``t``."""
    amplitude, damping, frequency, phase, offset = parameters
    return amplitude * tg.exp(-damping * t) * tg.cos(frequency * t + phase) + offset


def measure(count: int = 160, noise: float = 0.6) -> tuple[tg.Variable, tg.Variable]:
    """Times, and noisy readings of the angle."""
    t = tg.linspace(0.0, 20.0, count, dtype=tg.float64)
    reading = swing(t, tg.asarray(TRUE, dtype=tg.float64))
    return t, reading + noise * tg.random.randn(count, dtype=tg.float64)


def derivatives(t: tg.Variable, y: tg.Variable, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum of squares, its gradient and its Hessian."""
    p = tg.Variable(at, requires_grad=True)
    loss = tg.sum((swing(t, p) - y) ** 2)
    (slope,) = grad(loss, p, create_graph=True)
    rows = [grad(slope[i], p, retain_graph=True)[0].numpy() for i in range(p.size)]
    return loss.item(), slope.detach().numpy(), np.stack(rows)


def fit(t: tg.Variable, y: tg.Variable, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Newton's method, leaning towards short gradient steps while they are what lowers the sum (Levenberg)."""
    at, lean = start, 1.0
    loss, slope, hessian = derivatives(t, y, at)
    losses = [loss]
    while len(losses) < 100:
        values, axes = np.linalg.eigh(hessian)
        step = -axes @ ((axes.T @ slope) / (np.abs(values) + lean))
        new = derivatives(t, y, at + step)
        if new[0] > loss:
            lean *= 4
            if lean > 1e12:
                break
            continue
        gain, at, lean = loss - new[0], at + step, lean / 8
        loss, slope, hessian = new
        losses.append(loss)
        if gain < 1e-12 * loss:
            break
    return at, hessian, losses


def gravity(p: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """g = length (w² + c²), and its uncertainty to first order."""
    v = tg.Variable(p, requires_grad=True)
    g = LENGTH * (v[2] ** 2 + v[1] ** 2)
    g.backward()
    slope = v.grad.numpy()
    return g.item(), sqrt(slope @ covariance @ slope)


def draw(t: tg.Variable, y: tg.Variable, p: np.ndarray, errors: np.ndarray, title: str, folder: Path) -> Path:
    """Readings, fit, residuals, and the parameters."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(12, 6.6), height_ratios=(3, 1), sharex=True)
    fine = tg.linspace(0.0, 20.0, 1000, dtype=tg.float64)
    top.plot(fine.numpy(), swing(fine, tg.asarray(p)).numpy(), color=BLUE, lw=2.2, label="fit")
    top.scatter(t.numpy(), y.numpy(), s=18, color=ORANGE, edgecolor="white", linewidth=0.5, zorder=3, label="readings")
    top.set(ylabel="angle (°)", title=title, xlim=(-0.3, 20.3))
    top.legend(loc="lower right", ncols=2)
    lines = [f"{n:<10}{v:8.4f} ± {e:.4f} {u}" for n, v, e, u in zip(NAMES, p, errors, UNITS)]
    top.text(0.69, 0.97, "\n".join(lines), transform=top.transAxes, va="top", family="monospace",
             fontsize=10, color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.9})  # fmt: skip
    residual = (y - swing(t, tg.asarray(p))).numpy()
    bottom.axhline(0, color=SOFT, lw=1)
    bottom.vlines(t.numpy(), 0, residual, color=ORANGE, alpha=0.5, lw=1.2)
    bottom.scatter(t.numpy(), residual, s=12, color=ORANGE, zorder=3)
    bottom.set(xlabel="time (s)", ylabel="residual (°)")
    figure.align_ylabels()
    return save(figure, "pendulum.png", folder)


def main() -> None:
    """Measures, fits and draws."""
    options = arguments(__doc__)
    tg.random.manual_seed(1)
    t, y = measure()
    p, hessian, losses = fit(t, y, start=np.array([8.0, 0.02, 2.6, 0.0, 0.0]))
    # The sum of squares has twice the inverse covariance as its Hessian, in units of the noise.
    covariance = 2 * losses[-1] / (y.size - p.size) * np.linalg.inv(hessian)
    errors = np.sqrt(np.diag(covariance))
    for name, value, error, truth, unit in zip(NAMES, p, errors, TRUE, UNITS):
        print(f"{name:<10} {value:9.5f} ± {error:.5f} {unit:<6} (true {truth:.5f})")
    g, error = gravity(p, covariance)
    print(f"gravity    {g:9.5f} ± {error:.5f} m/s²  (true {GRAVITY}), after {len(losses) - 1} steps")
    title = f"A pendulum of {LENGTH} m: g = {g:.3f} ± {error:.3f} m/s²"
    print(f"wrote {draw(t, y, p, errors, title, options.output)}")


if __name__ == "__main__":
    main()
