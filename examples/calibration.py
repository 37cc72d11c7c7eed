"""Calibrates a gas sensor within physical bounds, with uncertainties from the Hessian.

    python examples/calibration.py

The voltage of a sensor follows a Hill curve of the concentration, with an offset, and drifts with temperature. Six parameters
are fitted by maximum likelihood in bounds: the voltage cannot exceed the supply, and the offset is not negative; one bound turns
out to hold. The inverse Hessian over the free parameters is their covariance, and `minimize` is differentiable, so the influence
of every single reading on the result is one backward pass. The figure goes to examples/output/calibration.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from tqdm import trange

import tapegrad as tg
from style import BLUE, INK, ORANGE, RED, SOFT, arguments, save
from tapegrad.optimize import minimize

NAMES = ("offset (V)", "top (V)", "half at (ppm)", "steepness", "drift (1/K)", "log noise")
TRUE = np.array([0.0, 4.6, 120.0, 1.4, 0.004, np.log(0.05)])
#: The reading that is wrong.
WRONG = 25
BOUNDS = [(0.0, 1.0), (1.0, 5.0), (10.0, 1000.0), (0.5, 3.0), (-0.05, 0.05), (-6.0, 0.0)]


def voltage(p: tg.Variable, ppm: tg.Variable, kelvin: tg.Variable) -> tg.Variable:
    """What the sensor shows at a concentration, some kelvin above room temperature."""
    power = (ppm / p[2]) ** p[3]
    return (p[0] + (p[1] - p[0]) * power / (1.0 + power)) * (1.0 + p[4] * kelvin)


def measure(random: np.random.Generator, count: int) -> tuple[tg.Variable, tg.Variable, tg.Variable]:
    """Concentrations, temperatures and noisy readings; one reading is wrong."""
    ppm = tg.Variable(np.geomspace(5.0, 2000.0, count))
    kelvin = tg.Variable(random.uniform(-10.0, 15.0, count))
    reading = voltage(tg.Variable(TRUE), ppm, kelvin).numpy() + np.exp(TRUE[5]) * random.normal(size=count)
    reading[WRONG] += 0.3
    return ppm, kelvin, tg.Variable(reading)


def fit(ppm: tg.Variable, kelvin: tg.Variable, reading: tg.Variable) -> tuple[tg.Variable, np.ndarray]:
    """The most likely parameters in the bounds, and their covariance: zero for one that a bound holds."""

    def loss(p: tg.Variable) -> tg.Variable:
        z = (reading - voltage(p, ppm, kelvin)) * tg.exp(-p[5])
        return tg.sum(0.5 * z * z + p[5])

    start = np.array([0.1, 3.0, 200.0, 1.0, 0.0, -2.0])
    result = minimize(loss, start, bounds=BOUNDS)
    x = result.x.detach()
    free = np.array([low < v < high for v, (low, high) in zip(x.numpy(), BOUNDS)])
    hessian = tg.hessian(loss)(x).detach().numpy()
    covariance = np.zeros((x.size, x.size))
    covariance[np.ix_(free, free)] = np.linalg.inv(hessian[np.ix_(free, free)])
    return result.x, covariance


def draw(data: tuple, p: np.ndarray, covariance: np.ndarray, influence: np.ndarray, lines: list[str], folder: Path) -> Path:
    """The curve with its band, and what each reading does to it."""
    ppm, kelvin, reading = data
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(12, 7.4), height_ratios=(3, 2), sharex=True)
    fine = tg.Variable(np.geomspace(4.0, 2500.0, 300))
    curve = voltage(tg.Variable(p), fine, tg.zeros_like(fine)).numpy()
    slope = tg.jacfwd(lambda q: voltage(q, fine, tg.zeros_like(fine)))(tg.Variable(p)).numpy()
    width = 2 * np.sqrt(np.einsum("ij,jk,ik->i", slope, covariance, slope))
    top.fill_between(fine.numpy(), curve - width, curve + width, color=BLUE, alpha=0.25, lw=0, label="± 2 standard errors")
    top.semilogx(fine.numpy(), curve, color=BLUE, lw=2.2, label="fit at room temperature")
    level = reading.numpy() / (1.0 + p[4] * kelvin.numpy())
    top.scatter(
        ppm.numpy(), level, s=22, color=ORANGE, edgecolor="white", linewidth=0.5, zorder=3, label="readings, without drift"
    )
    top.set(ylabel="voltage (V)", title="A sensor calibrated within bounds, with the Hessian's uncertainties", ylim=(-0.3, 5.2))
    top.legend(loc="lower right")
    top.text(0.015, 0.96, "\n".join(lines), transform=top.transAxes, va="top", family="monospace", fontsize=10, color=INK)
    bottom.axhline(0, color=SOFT, lw=1)
    colors = [RED if i == WRONG else ORANGE for i in range(len(influence))]
    bottom.vlines(ppm.numpy(), 0, influence, color=colors, lw=2)
    bottom.annotate(
        "the wrong reading", (ppm.numpy()[WRONG], influence[WRONG]), xytext=(8, -4), textcoords="offset points", color=RED
    )
    bottom.set(xlabel="concentration (ppm)", ylabel="pull on half at (ppm)")
    figure.align_ylabels()
    return save(figure, "calibration.png", folder)


def main() -> None:
    """Measures, fits, tests the uncertainties and draws."""
    options = arguments(__doc__, repeats=(60, "fits of new readings, to test the uncertainties"))
    random = np.random.default_rng(2)
    ppm, kelvin, reading = measure(random, 60)
    weights = tg.ones_like(reading).requires_grad_(True)
    p, covariance = fit(ppm, kelvin, weights * reading)
    errors = np.sqrt(np.diag(covariance))
    lines = [f"{n:<14}{v:9.4f} " + (f"± {e:.4f}" if e else "at its bound") for n, v, e in zip(NAMES, p.tolist(), errors)]
    print("\n".join(lines))
    # The step of the parameter when a reading moves by its own residual.
    (slope,) = tg.autograd.grad(p[2], weights)
    values = p.detach().numpy()
    influence = (slope / reading).numpy() * (reading - voltage(p.detach(), ppm, kelvin)).numpy()
    hits = 0
    for _ in trange(options.repeats, desc="repeats"):
        q, c = fit(*measure(random, 60))
        hits += abs(q.numpy()[3] - TRUE[3]) < 2 * np.sqrt(c[3, 3])
    print(f"steepness within 2 standard errors in {hits} of {options.repeats} repeats")
    print(f"wrote {draw((ppm, kelvin, reading), values, covariance, influence, lines, options.output)}")


if __name__ == "__main__":
    main()
