"""Tries learning rates and widths, as many at a time as there are cores: processes of one machine, by concurrent.futures.

    python examples/sweep.py [--epochs 8] [--workers 2]

Each setting is a training run of its own, so nothing is exchanged and no MPI is needed. A run fits on one core: it uses one
thread. The accuracies go to examples/output/sweep.png.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import tapegrad as tg
from style import INK, arguments, save
from tapegrad import nn, optim

RATES, WIDTHS = (1e-4, 1e-3, 1e-2), (16, 64, 256)


@dataclass(frozen=True)
class Setting:
    """What is tried."""

    rate: float
    width: int
    epochs: int


def accuracy(setting: Setting) -> float:
    """Trains on digits; the share of held-out images that are read right."""
    tg.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x, y = tg.asarray((pixels / 16).astype(np.float32)), tg.asarray(labels)
    train = tg.utils.data.TensorDataset(x[:1400], y[:1400])
    net = nn.Sequential(nn.Linear(64, setting.width), nn.ReLU(), nn.Linear(setting.width, 10))
    optimizer = optim.Adam(net.parameters(), lr=setting.rate)
    for _ in range(setting.epochs):
        for images, targets in tg.utils.data.DataLoader(train, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), targets).backward()
            optimizer.step()
    with tg.no_grad():
        return float((net(x[1400:]).argmax(axis=1) == y[1400:]).mean(dtype=tg.float32).item())


def sweep(settings: list[Setting], workers: int) -> dict[Setting, float]:
    """The accuracy of each setting. A setting that fails raises here, and names itself."""
    # Workers start anew (spawn): a fork would inherit threads' locks and random states.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=tg.set_num_threads, initargs=(1,)) as pool:
        jobs = {pool.submit(accuracy, s): s for s in settings}
        found = {}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            print(f"rate {jobs[job].rate:g}, width {jobs[job].width}: {job.result():.1%}")
    return found


def draw(found: dict[Setting, float], epochs: int, folder: Path) -> Path:
    """A table of accuracies."""
    table = np.array([[found[Setting(rate, width, epochs)] for width in WIDTHS] for rate in RATES])
    figure, axes = plt.subplots(figsize=(6, 5))
    axes.imshow(table, cmap="Greens", vmin=table.min() - 0.1, vmax=1.1)
    for i, j in np.ndindex(table.shape):
        axes.text(j, i, f"{table[i, j]:.1%}", ha="center", va="center", color=INK)
    axes.set(xticks=range(len(WIDTHS)), xticklabels=WIDTHS, xlabel="width")
    axes.set(yticks=range(len(RATES)), yticklabels=[f"{r:g}" for r in RATES], ylabel="learning rate", title="Digits read right")
    axes.grid(visible=False)
    return save(figure, "sweep.png", folder)


def main() -> None:
    """Runs all settings and names the best."""
    options = arguments(__doc__, epochs=(8, "passes over the images"), workers=(os.cpu_count() or 1, "processes at a time"))
    found = sweep([Setting(rate, width, options.epochs) for rate, width in product(RATES, WIDTHS)], options.workers)
    best = max(found, key=lambda s: found[s])
    print(f"best: {found[best]:.1%} with rate {best.rate:g} and width {best.width}")
    print(f"wrote {draw(found, options.epochs, options.output)}")


if __name__ == "__main__":
    main()
