"""Fits an orbit through an integrator: where a planet was, how fast, and the mass of its star, from noisy positions.

    python examples/orbit.py

The orbit is integrated by the leapfrog method in NumPy's functions, and differentiated through all its steps: forward mode
gives the exact Jacobian for a least-squares fit. SciPy's answer comes from solve_ivp and least_squares, with differences. The
picture is examples/output/orbit.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.integrate
import scipy.optimize
from matplotlib import pyplot as plt

import tapegrad as tg
from fitting import least_squares
from style import BLUE, GREEN, ORANGE, SOFT, arguments, save

NAMES = ("x", "y", "vx", "vy", "mass")
UNITS = ("AU", "AU", "AU/yr", "AU/yr", "suns")
TRUE = np.array([1.0, 0.0, -0.6, 7.0, 1.1])
START = np.array([0.95, 0.05, -0.3, 6.7, 1.05])
GRAVITY = 4 * np.pi**2  # AU³ / (yr² sun)
YEARS, READINGS, NOISE = 1.5, 40, 0.03


def acceleration(q: Any, mass: Any) -> Any:
    """Towards the star at the origin."""
    return -GRAVITY * mass * q / np.sum(q**2) ** 1.5


def orbit(p: Any, substeps: int = 8) -> Any:
    """Positions at the times of the readings, by the leapfrog method."""
    q, v, mass = p[:2], p[2:4], p[4]
    dt = YEARS / READINGS / substeps
    places, a = [], acceleration(q, mass)
    for _ in range(READINGS):
        for _ in range(substeps):
            v = v + 0.5 * dt * a
            q = q + dt * v
            a = acceleration(q, mass)
            v = v + 0.5 * dt * a
        places.append(q)
    return np.stack(places)


def reference(p: np.ndarray) -> np.ndarray:
    """The same positions, by SciPy's integrator."""

    def slope(_: float, s: np.ndarray) -> np.ndarray:
        return np.concatenate([s[2:], acceleration(s[:2], p[4])])

    times = YEARS * np.arange(1, READINGS + 1) / READINGS
    return scipy.integrate.solve_ivp(slope, (0, YEARS), p[:4], "DOP853", times, rtol=1e-9, atol=1e-9).y[:2].T


def draw(p: np.ndarray, readings: np.ndarray, sums: list[float], folder: Path) -> Path:
    """The orbit with its readings, and the way to the fit."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5), width_ratios=(1.5, 1), layout="constrained")
    left.plot(*orbit(START).T, color=SOFT, lw=1.2, ls=":", label="start")
    left.plot(*reference(TRUE).T, color=GREEN, lw=1.5, ls="--", label="truth")
    left.plot(*orbit(p).T, color=BLUE, lw=2.2, label="fit")
    left.scatter(*readings.T, s=22, color=ORANGE, edgecolor="white", linewidth=0.5, zorder=3, label="readings")
    left.scatter([0], [0], marker="*", s=180, color=ORANGE, zorder=3)
    left.set(aspect="equal", xlabel="x (AU)", ylabel="y (AU)", title=f"The star has {p[4]:.3f} times the mass of the sun")
    left.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    right.plot(range(len(sums)), sums, color=BLUE, lw=2, marker="o", ms=4)
    right.axhline(readings.size, color=SOFT, lw=1, ls=":")
    right.set(yscale="log", xlabel="step", ylabel="χ²", title="Least squares")
    return save(figure, "orbit.png", folder)


def main() -> None:
    """Observes, fits, compares and draws."""
    options = arguments(__doc__, steps=(30, "steps of the fit"), substeps=(8, "steps of the integrator between two readings"))
    readings = reference(TRUE) + NOISE * np.random.default_rng(2).normal(size=(READINGS, 2))

    def residuals(p: Any) -> Any:
        return np.reshape((orbit(p, options.substeps) - readings) / NOISE, -1)

    p, errors, sums = least_squares(residuals, START, options.steps)
    theirs = scipy.optimize.least_squares(lambda p: np.ravel(reference(p) - readings) / NOISE, START, x_scale="jac")
    for name, ours, error, other, true, unit in zip(NAMES, p, errors, theirs.x, TRUE, UNITS, strict=True):
        print(f"{name:<5} {ours:9.5f} ± {error:.5f} {unit:<6} SciPy {other:9.5f}  (true {true:g})")
    chi2 = float(tg.sum(residuals(tg.Variable(p)) ** 2))
    print(f"chi2 {chi2:.3f}, SciPy {2 * theirs.cost:.3f}, of {readings.size} numbers; {len(sums)} steps, SciPy {theirs.nfev}")
    print(f"wrote {draw(p, readings, sums, options.output)}")


if __name__ == "__main__":
    main()
