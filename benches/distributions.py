"""Log densities with gradients of 100,000 values, next to torch.distributions, in one process on one thread.

python benches/distributions.py [NAME]     needs PyTorch; NAME chooses rows by a part of their name
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")

import torch

import tapegrad as tg

COUNT = 100_000


def cases() -> dict[str, tuple[str, list[Any], Any]]:
    """Rows: a class, its parameters, and values, in float32."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=COUNT).astype(np.float32)
    positive = (rng.gamma(2.0, size=COUNT) + 0.1).astype(np.float32)
    unit = rng.uniform(0.001, 0.999, size=COUNT).astype(np.float32)
    tril = np.linalg.cholesky(np.cov(rng.normal(size=(3, 50)))).astype(np.float32)
    one = [np.array(x, dtype=np.float32) for x in (0.3, 1.2, 4.0)]
    logits = rng.normal(size=(COUNT, 10)).astype(np.float32)
    vectors = rng.normal(size=(COUNT, 3)).astype(np.float32)
    return {
        "Normal": ("Normal", one[:2], real),
        "Normal, parameters for each value": ("Normal", [0.5 * real, positive], real),
        "LogNormal": ("LogNormal", one[:2], positive),
        "Laplace": ("Laplace", one[:2], real),
        "Cauchy": ("Cauchy", one[:2], real),
        "StudentT": ("StudentT", [one[2], *one[:2]], real),
        "Exponential": ("Exponential", one[1:2], positive),
        "Gamma": ("Gamma", [one[2], one[1]], positive),
        "Gamma, parameters for each value": ("Gamma", [positive, positive], positive),
        "Beta": ("Beta", [one[2], one[1]], unit),
        "Bernoulli, logits for each value": ("Bernoulli", [None, real], (unit > 0.5).astype(np.float32)),
        "Poisson": ("Poisson", [one[2]], rng.poisson(3.0, size=COUNT).astype(np.float32)),
        "Categorical, 10 logits for each value": ("Categorical", [None, logits], rng.integers(0, 10, COUNT)),
        "MultivariateNormal of 3": (
            "MultivariateNormal",
            [np.zeros(3, np.float32), None, None, tril],
            vectors,
        ),
    }


def step(library: Any, home: Any, kind: str, parameters: list[Any], values: Any) -> Any:
    """A function that computes the sum of log densities and its gradients."""
    leaves = [None if p is None else library.tensor(p, requires_grad=True) for p in parameters]
    data = library.tensor(values)

    def run() -> Any:
        for leaf in leaves:
            if leaf is not None:
                leaf.grad = None
        total = getattr(home, kind)(*leaves).log_prob(data).sum()
        total.backward()
        return total

    return run


def seconds(run: Any, repeats: int = 12) -> float:
    """The shortest of some runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    tg.set_num_threads(1)
    print("| log_prob and its gradients (µs) | tapegrad | torch | torch / ours |\n|---|---|---|---|")
    for name, (kind, parameters, values) in cases().items():
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        ours = step(tg, tg.distributions, kind, parameters, values)
        theirs = step(torch, torch.distributions, kind, parameters, values)
        assert abs(ours().item() - theirs().item()) < 1e-3 * abs(theirs().item()), name
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(8)]
        a, b = (1e6 * min(column) for column in zip(*pairs))
        print(f"| {name} | {a:.0f} | {b:.0f} | {b / a:.2f} |", flush=True)


if __name__ == "__main__":
    main()
