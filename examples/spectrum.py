"""Fits spectral lines through a Fourier transform: frequencies, lifetimes and strengths of a decaying signal.

    python examples/spectrum.py

As in magnetic resonance, the model is a sum of decaying oscillations, and it is compared with the data in a band of the spectrum,
where the noise of other bands does not count. `np.fft.rfft` of a Variable is recorded, and the exact Jacobian goes through it.
SciPy's least_squares fits the same residuals with differences. The picture is examples/output/spectrum.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from matplotlib import pyplot as plt

from fitting import least_squares
from style import BLUE, GREEN, ORANGE, SOFT, arguments, save

RATE, NOISE, BAND = 500.0, 0.25, (20.0, 120.0)  # Hz, of a reading, Hz
#: Strength, lifetime in s and frequency in Hz of each line.
TRUE = np.array([[1.0, 0.30, 42.0], [0.7, 0.20, 47.5], [1.3, 0.15, 88.0]])
START = np.array([[0.8, 0.25, 41.5], [0.8, 0.25, 48.2], [0.8, 0.25, 88.6]])


def signal(p: Any, t: np.ndarray) -> Any:
    """The readings at times ``t``, without noise."""
    strength, life, frequency = np.reshape(p, (-1, 3)).T[:, :, None]
    return np.sum(strength * np.exp(-t / life) * np.cos(2 * np.pi * frequency * t), axis=0)


def spectrum(x: Any) -> Any:
    """The part of the spectrum in the band, scaled so that its noise has a variance of 1."""
    frequencies = np.fft.rfftfreq(len(x), 1 / RATE)
    first, last = np.searchsorted(frequencies, BAND)
    return np.fft.rfft(x)[first:last] / (NOISE * np.sqrt(len(x) / 2))


def draw(p: np.ndarray, data: np.ndarray, t: np.ndarray, sums: list[float], folder: Path) -> Path:
    """The spectrum with its fit, the lines, and the way to the fit."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(2.2, 1), layout="constrained")
    frequencies = np.fft.rfftfreq(t.size, 1 / RATE)
    inside = slice(*np.searchsorted(frequencies, BAND))
    left.plot(frequencies[inside], np.abs(spectrum(data)), color=ORANGE, lw=1.2, label="data")
    for line in p.reshape(-1, 3):
        left.plot(frequencies[inside], np.abs(spectrum(signal(line, t))), color=GREEN, lw=1, ls="--")
    left.plot(frequencies[inside], np.abs(spectrum(signal(p, t))), color=BLUE, lw=2, label="fit")
    left.set(xlabel="frequency (Hz)", ylabel="amplitude / noise", title="Three lines, two of them overlapping")
    left.legend()
    right.plot(range(len(sums)), sums, color=BLUE, lw=2, marker="o", ms=4)
    right.tick_params(colors=SOFT)
    right.set(yscale="log", xlabel="step", ylabel="χ²", title="Least squares")
    return save(figure, "spectrum.png", folder)


def main() -> None:
    """Listens, fits, compares and draws."""
    options = arguments(__doc__, readings=(1200, "readings"), steps=(40, "steps of the fit"))
    t = np.arange(options.readings) / RATE
    data = signal(TRUE.ravel(), t) + NOISE * np.random.default_rng(6).normal(size=t.size)
    seen = spectrum(data)

    def residuals(p: Any) -> Any:
        off = spectrum(signal(p, t)) - seen
        return np.concatenate([np.real(off), np.imag(off)])

    p, errors, sums = least_squares(residuals, START.ravel(), options.steps)
    theirs = scipy.optimize.least_squares(residuals, START.ravel(), x_scale="jac")
    for ours, error, other, true in zip(*(v.reshape(-1, 3) for v in (p, errors, theirs.x, TRUE)), strict=True):
        print(f"line at {ours[2]:8.4f} ± {error[2]:.4f} Hz (SciPy {other[2]:8.4f}, true {true[2]:g}), ", end="")
        print(f"lifetime {ours[1]:.4f} s (SciPy {other[1]:.4f}), strength {ours[0]:.4f} (SciPy {other[0]:.4f})")
    print(f"chi2 {sums[0]:.1f} -> {sums[-1]:.5f}, SciPy {2 * theirs.cost:.5f}, of {2 * seen.size} numbers")
    print(f"wrote {draw(p, data, t, sums, options.output)}")


if __name__ == "__main__":
    main()
