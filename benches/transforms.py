"""Times of transformations, beside what each is made of.

python benches/transforms.py

Times are minima of many calls, one thread. A ratio compares calls that alternate within this run.
"""

from __future__ import annotations

import os

os.environ.setdefault("TAPEGRAD_NUM_THREADS", "1")

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 2.0
RNG = np.random.default_rng(0)


def least(*calls: Callable[[], Any]) -> list[float]:
    """The smallest time of each call in microseconds; the calls take turns."""
    best = [float("inf")] * len(calls)
    end = time.perf_counter() + SECONDS * len(calls)
    while time.perf_counter() < end:
        for k, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[k] = min(best[k], time.perf_counter() - start)
    return [1e6 * b for b in best]


def rosenbrock(x: Any) -> Any:
    return tg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def row(name: str, value: str, aim: str) -> None:
    print(f"| {name} | {value} | {aim} |")


def small() -> None:
    x = tg.Variable(RNG.normal(size=10))
    (t,) = least(lambda: tg.hessian(rosenbrock)(x))
    row("Hessian of Rosenbrock's function of 10 variables", f"{t:.0f} µs", "200 µs")
    w, v = tg.Variable(RNG.normal(size=(64, 64)) / 8), tg.Variable(RNG.normal(size=64))
    reverse, forward = least(lambda: tg.jacobian(lambda x: tg.tanh(w @ x))(v), lambda: tg.jacfwd(lambda x: tg.tanh(w @ x))(v))
    row("Jacobian of tanh(W @ x), W 64 x 64, in reverse", f"{reverse:.0f} µs", "1,000 µs")
    row("the same, forward", f"{forward:.0f} µs", "1,000 µs")


def network() -> None:
    sizes = [784, 512, 256, 10]
    params = [
        (tg.Variable(RNG.normal(size=(m, n)).astype(np.float32) / m**0.5), tg.Variable(np.zeros(n, np.float32)))
        for m, n in pairwise(sizes)
    ]
    x = tg.Variable(RNG.normal(size=(128, 784)).astype(np.float32))

    def f(params: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            h = tg.relu(h @ w + b)
        return h @ params[-1][0] + params[-1][1]

    tangents = [(tg.ones_like(w), tg.ones_like(b)) for w, b in params]
    plain, pushed = least(lambda: f(params), lambda: tg.jvp(f, (params,), (tangents,)))
    row("jvp of an MLP 784-512-256-10, batch 128, by its forward", f"{pushed / plain:.2f}", "2.2")


def per_sample() -> None:
    w1 = tg.Variable(RNG.normal(size=(784, 256)).astype(np.float32) / 28)
    w2 = tg.Variable(RNG.normal(size=(256, 10)).astype(np.float32) / 16)
    x, y = tg.Variable(RNG.normal(size=(128, 784)).astype(np.float32)), tg.Variable(RNG.integers(0, 10, 128))

    def loss(params: Any, x: Any, y: Any) -> Any:
        return tg.nn.functional.cross_entropy(tg.relu(x @ params[0]) @ params[1], y)

    gradients = tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))
    samples = np.empty((128, 784, 256), np.float32)
    written, all_of_them = least(lambda: samples.fill(1.0), lambda: gradients([w1, w2], x, y))
    row("per-sample gradients of an MLP 784-256-10, batch 128, by writing as many bytes", f"{all_of_them / written:.2f}", "1.5")


if __name__ == "__main__":
    print("| work | measured | aim at most |\n|---|---|---|")
    small()
    network()
    per_sample()
