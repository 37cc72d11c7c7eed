"""Print the accuracy table of the Fourier transforms in docs/numerics.md.

pip install mpmath scipy && python tools/fft_accuracy.py

The reference is SciPy's transform in extended precision, of 64 bits; up to length 64 it is compared with mpmath first. An error
is the root mean square of all elements, or the largest one, over the root mean square of the exact result, in units of epsilon.
"""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import scipy.fft

import tapegrad as tg

LENGTHS = [8, 64, 1000, 1024, 10007, 100_000, 1 << 20]


def check_reference(n: int) -> None:
    """Fails unless the reference agrees with 40 digits."""
    x = np.random.default_rng(n).normal(size=n) + 0j
    mp.mp.dps = 40
    exact = [mp.fsum(mp.mpc(complex(v)) * mp.expjpi(mp.mpf(-2 * j * k) / n) for j, v in enumerate(x)) for k in range(n)]
    ours = scipy.fft.fft(x.astype(np.clongdouble))
    for e, o in zip(exact, ours, strict=True):
        real, imaginary = (mp.mpf(float(np.float64(p))) + mp.mpf(float(p - np.float64(p))) for p in (o.real, o.imag))
        if abs(mp.mpc(real, imaginary) - e) > 1e-17 * n:
            raise ValueError(f"the reference is not exact at length {n}")


def errors(got: Any, exact: np.ndarray, epsilon: float) -> tuple[float, float]:
    """The root mean square and the largest error, in units of epsilon."""
    off = np.abs(np.asarray(got) - exact)
    scale = np.sqrt(np.mean(np.abs(exact) ** 2)) * epsilon
    return float(np.sqrt(np.mean(off**2)) / scale), float(off.max() / scale)


def main() -> None:
    """Prints the table."""
    for n in (8, 30, 64):
        check_reference(n)
    print("| length | dtype | fft | NumPy's fft | rfft | NumPy's rfft | back and forth |")
    print("|---|---|---|---|---|---|---|")
    for n in LENGTHS:
        rng = np.random.default_rng(n)
        for dtype in (np.complex128, np.complex64):
            z = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(dtype)
            x = np.ascontiguousarray(z.real)
            epsilon = float(np.finfo(dtype).eps)
            exact, half = scipy.fft.fft(z.astype(np.clongdouble)), scipy.fft.rfft(x.astype(np.longdouble))
            spectrum = tg.fft.fft(tg.Variable(z))
            cells = [
                errors(spectrum, exact, epsilon),
                errors(np.fft.fft(z), exact, epsilon),
                errors(tg.fft.rfft(tg.Variable(x)), half, epsilon),
                errors(np.fft.rfft(x), half, epsilon),
                errors(tg.fft.ifft(spectrum), z.astype(np.clongdouble), epsilon),
            ]
            print(f"| {n} | {np.dtype(dtype).name} | " + " | ".join(f"{a:.2f}, {b:.1f}" for a, b in cells) + " |")


if __name__ == "__main__":
    main()
