"""A Kalman filter whose noise is found from the data: a car that is seen by a poor position sensor.

    python examples/kalman.py

The filter is written in NumPy's functions. Its likelihood is differentiated through all its steps, and L-BFGS finds how hard
the car is pushed and how noisy the sensor is. SciPy minimises the same function with differences. The picture is
examples/output/kalman.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from matplotlib import pyplot as plt

from fitting import minimize
from style import BLUE, GREEN, ORANGE, arguments, save

NAMES = ("push", "sensor")
TRUE, START = np.array([0.6, 2.0]), np.log([2.0, 0.5])
STEP = 0.5
MOVE = np.array([[1.0, STEP], [0.0, 1.0]])
#: The covariance of position and speed after a step of white acceleration (Bar-Shalom, Li & Kirubarajan, 6.2.2).
PUSH = np.array([[STEP**3 / 3, STEP**2 / 2], [STEP**2 / 2, STEP]])


def drive(count: int) -> tuple[np.ndarray, np.ndarray]:
    """True positions, and what the sensor says."""
    rng = np.random.default_rng(11)
    state, push = np.array([0.0, 1.0]), np.linalg.cholesky(PUSH)
    places = np.zeros(count)
    for i in range(count):
        state = MOVE @ state + TRUE[0] * push @ rng.normal(size=2)
        places[i] = state[0]
    return places, places + TRUE[1] * rng.normal(size=count)


def kalman(theta: Any, readings: np.ndarray) -> tuple[Any, list[Any]]:
    """The negative log likelihood of the readings, and mean and variance of the position after each."""
    push, sensor = np.exp(theta)
    mean, covariance = np.array([readings[0], 0.0]), np.diag([10.0, 10.0])
    surprise, filtered = 0.0, []
    for reading in readings:
        mean = MOVE @ mean
        covariance = MOVE @ covariance @ MOVE.T + push**2 * PUSH
        variance = covariance[0, 0] + sensor**2
        off = reading - mean[0]
        surprise = surprise + 0.5 * (np.log(2 * np.pi * variance) + off**2 / variance)
        gain = covariance[:, 0] / variance
        mean = mean + gain * off
        covariance = covariance - np.outer(gain, covariance[0])
        filtered.append((mean[0], covariance[0, 0]))
    return surprise, filtered


def draw(theta: np.ndarray, places: np.ndarray, readings: np.ndarray, folder: Path) -> Path:
    """The path around its trend, and the likelihood around its maximum."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(1.7, 1), layout="constrained")
    t = STEP * np.arange(1, places.size + 1)
    mean, variance = np.array(kalman(theta, readings)[1]).T
    trend = np.polyval(np.polyfit(t, places, 2), t)
    spread = 2 * np.sqrt(variance)
    left.fill_between(
        t, mean - spread - trend, mean + spread - trend, color=BLUE, alpha=0.18, lw=0, label="two standard deviations"
    )
    left.plot(t, mean - trend, color=BLUE, lw=2, label="filter")
    left.plot(t, places - trend, color=GREEN, lw=1.6, ls="--", label="truth")
    left.scatter(t, readings - trend, s=10, color=ORANGE, alpha=0.7, label="sensor")
    left.set(xlabel="time (s)", ylabel="position beside the trend (m)", title="A car and its filter")
    left.margins(y=0.12)
    left.legend(ncols=4, loc="upper center", fontsize=9)
    u, v = np.meshgrid(np.linspace(-1.2, 1.2, 13) + theta[0], np.linspace(-0.25, 0.25, 13) + theta[1])
    grid = np.reshape([kalman(np.array(point), readings)[0] for point in zip(u.flat, v.flat, strict=True)], u.shape)
    right.contour(np.exp(u), np.exp(v), grid - grid.min(), levels=[0.5, 2, 4.5, 8, 12.5, 18], cmap="Blues_r")
    right.scatter(*np.exp(theta), s=60, color=BLUE, zorder=3, label="fit")
    right.scatter(*TRUE, s=70, color=GREEN, marker="x", zorder=3, label="truth")
    right.set(xlabel="push (m/s$^{1.5}$)", ylabel="sensor (m)", title="Likelihood")
    right.legend(loc="upper right")
    return save(figure, "kalman.png", folder)


def main() -> None:
    """Drives, fits, compares and draws."""
    options = arguments(__doc__, readings=(250, "readings of the sensor"), steps=(12, "rounds of L-BFGS"))
    places, readings = drive(options.readings)
    theta, values = minimize(lambda p: kalman(p, readings)[0], START, options.steps)
    theirs = scipy.optimize.minimize(lambda p: kalman(p, readings)[0], START, method="L-BFGS-B")
    for name, ours, other, true in zip(NAMES, np.exp(theta), np.exp(theirs.x), TRUE, strict=True):
        print(f"{name:<7} {ours:8.5f}   SciPy {other:8.5f}  (true {true:g})")
    last = float(kalman(theta, readings)[0])
    print(f"negative log likelihood {values[0]:.2f} -> {last:.6f}, SciPy {theirs.fun:.6f} after {theirs.nfev} evaluations")
    off = np.array([m for m, _ in kalman(theta, readings)[1]]) - places
    print(f"root mean square error: sensor {np.std(readings - places):.3f} m, filter {np.sqrt(np.mean(off**2)):.3f} m")
    print(f"wrote {draw(theta, places, readings, options.output)}")


if __name__ == "__main__":
    main()
