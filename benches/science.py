"""Linear algebra, Fourier transforms and special functions next to NumPy and SciPy, in one process.

    taskset -c 0 python benches/science.py [--budget 0.3] [--markdown OUT]

A time is the least of many windows of a few milliseconds; the windows of both alternate. The last column is their time over ours:
above 1, we are faster. Results are compared before anything is timed. On one processor BLAS and ours use one thread each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.special

import tapegrad as tg

Call = Callable[[], Any]
RNG = np.random.default_rng(0)
ONE_ARGUMENT = ["erf", "erfc", "erfinv", "gammaln", "gamma", "digamma", "ndtr", "ndtri", "log_ndtr", "expit", "logit"]
ONE_ARGUMENT += ["i0", "i1e", "j0", "k0", "exp1", "expi", "entr"]


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def thin(svd: Callable[..., Any], a: Any) -> Any:
    return svd(a, full_matrices=False)[1]


def first(f: Call, *args: Any) -> Any:
    return f(*args)[0]


def last(f: Call, *args: Any) -> Any:
    return f(*args)[-1]


def matrices() -> Iterator[tuple[str, Call, Call]]:
    """Factorisations of single matrices and of a batch of small ones."""
    for shape in [(8, 8), (64, 64), (512, 512), (1000, 8, 8)]:
        n = shape[-1]
        a, b = draw(*shape), draw(*shape[:-1], 1)
        s = a @ np.swapaxes(a, -1, -2) + n * np.eye(n)
        size = f"{n}×{n}" if len(shape) == 2 else f"{shape[0]} of {n}×{n}"
        va, vb, vs = tg.Variable(a), tg.Variable(b), tg.Variable(s)
        ours, theirs = tg.linalg, np.linalg
        yield f"solve, {size}", partial(ours.solve, va, vb), partial(theirs.solve, a, b)
        yield f"cholesky, {size}", partial(ours.cholesky, vs), partial(theirs.cholesky, s)
        yield f"qr, {size}", partial(last, ours.qr, va), partial(last, theirs.qr, a)
        yield f"eigh, {size}", partial(first, ours.eigh, vs), partial(first, theirs.eigh, s)
        yield f"svd, {size}", partial(thin, ours.svd, va), partial(thin, theirs.svd, a)
        yield f"eig, {size}", partial(first, ours.eig, va), partial(first, theirs.eig, a)


def transforms() -> Iterator[tuple[str, Call, Call]]:
    """Fourier transforms, next to SciPy's."""
    ours, theirs = tg.fft, scipy.fft
    for n, name in [(1024, "1,024"), (100_000, "100,000"), (1 << 20, "2^20"), (10_007, "10,007, a prime")]:
        z, x = draw(n) + 1j * draw(n), draw(n)
        yield f"fft, {name}", partial(ours.fft, tg.Variable(z)), partial(theirs.fft, z)
        yield f"rfft, {name}", partial(ours.rfft, tg.Variable(x)), partial(theirs.rfft, x)
    z = draw(1000, 256) + 1j * draw(1000, 256)
    yield "fft, 1,000 rows of 256", partial(ours.fft, tg.Variable(z)), partial(theirs.fft, z)
    yield "fft along axis 0, 1,000 by 256", partial(ours.fft, tg.Variable(z), axis=0), partial(theirs.fft, z, axis=0)
    z, x = draw(512, 512) + 1j * draw(512, 512), draw(512, 512)
    yield "fft2, 512×512", partial(ours.fft2, tg.Variable(z)), partial(theirs.fft2, z)
    yield "rfft2, 512×512", partial(ours.rfft2, tg.Variable(x)), partial(theirs.rfft2, x)


def functions() -> Iterator[tuple[str, Call, Call]]:
    """Special functions of 100,000 arguments, next to SciPy's loops."""
    ours, theirs = tg.special, scipy.special
    x = RNG.uniform(0.05, 0.95, 100_000)
    for name in ONE_ARGUMENT:
        at = x if name in ("erfinv", "ndtri", "logit") else 10.0 * x
        yield f"{name}, 100,000", partial(getattr(ours, name), tg.Variable(at)), partial(getattr(theirs, name), at)
    v, wide = tg.Variable(x), tg.Variable(5.0 * x)
    yield "gammainc, 100,000", partial(ours.gammainc, 2.5, wide), partial(theirs.gammainc, 2.5, 5.0 * x)
    yield "betainc, 100,000", partial(ours.betainc, 2.5, 1.5, v), partial(theirs.betainc, 2.5, 1.5, x)
    yield "xlogy, 100,000", partial(ours.xlogy, v, v), partial(theirs.xlogy, x, x)


def window(call: Call, n: int) -> float:
    """Microseconds of one of ``n`` calls."""
    start = time.perf_counter()
    for _ in range(n):
        call()
    return (time.perf_counter() - start) / n * 1e6


def times(ours: Call, theirs: Call, budget: float) -> tuple[float, float]:
    """The least times of both, in windows that alternate."""
    counts = [max(1, int(3000 / max(window(f, 1), 0.1))) for f in (ours, theirs)]
    best = [np.inf, np.inf]
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        for i, f in enumerate((ours, theirs)):
            best[i] = min(best[i], window(f, counts[i]))
    return best[0], best[1]


def same(got: Any, want: np.ndarray) -> bool:
    got = np.asarray(got)
    if want.dtype.kind == "c" and want.ndim <= 2 and want.shape[-1] <= 512:
        got, want = np.sort(np.abs(got), axis=-1), np.sort(np.abs(want), axis=-1)  # eigenvalues in any order
    return np.allclose(np.abs(got), np.abs(want), rtol=1e-7, atol=1e-7 * np.abs(want).max())


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=0.3, help="seconds of each row (default: 0.3)")
    parser.add_argument("--markdown", type=Path, help="where to write the table")
    options = parser.parse_args()
    lines = ["| work (µs) | tapegrad | NumPy or SciPy | theirs / ours |", "|---|---|---|---|"]
    for group in (matrices, transforms, functions):
        for name, ours, theirs in group():
            if not same(ours(), np.asarray(theirs())):
                raise ValueError(f"{name}: the results differ")
            a, b = times(ours, theirs, options.budget)
            lines.append(f"| {name} | {a:.3g} | {b:.3g} | {b / a:.2f} |")
            print(lines[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
