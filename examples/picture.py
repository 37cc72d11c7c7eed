"""The picture of the examples that read digits: curves, confusion matrix, and misread digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from style import BLUE, GREEN, INK, RED, SOFT

if TYPE_CHECKING:
    from images import Run


def draw(runs: list[Run]) -> Figure:
    """Loss curves, confusion matrix and misread digits in one figure."""
    figure = plt.figure(figsize=(14, 9.2))
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1), hspace=0.42, wspace=0.16)
    draw_curves(figure.add_subplot(grid[0, 0]), runs)
    draw_confusion(figure.add_subplot(grid[0, 1]), runs)
    wrong = [(r.images[i], r.labels[i], r.read[i]) for r in runs for i in np.flatnonzero(r.labels != r.read)]
    draw_misread(figure, grid[1, :], sorted(wrong, key=lambda w: w[1:]))
    return figure


def draw_curves(axes: Axes, runs: list[Run]) -> None:
    """The loss of training images and the accuracy on held-out ones, a line for each seed."""
    epochs = np.arange(1, len(runs[0].losses) + 1)
    accuracy = axes.twinx()
    for run in runs:
        axes.plot(epochs, run.losses, color=BLUE, alpha=0.35, lw=1.2)
        accuracy.plot(epochs, run.accuracies, color=GREEN, alpha=0.35, lw=1.2)
    axes.plot(epochs, np.mean([r.losses for r in runs], axis=0), color=BLUE, lw=2.4)
    accuracy.plot(epochs, np.mean([r.accuracies for r in runs], axis=0), color=GREEN, lw=2.4)
    axes.set(xlabel="epoch", ylim=(0, None), title=f"Learning, {len(runs)} seed{'s' * (len(runs) > 1)}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("loss on training images", color=BLUE)
    accuracy.set_ylabel("accuracy on held-out images", color=GREEN)
    accuracy.set(ylim=(0.8, 1.0), yticks=np.linspace(0.8, 1.0, 5))
    accuracy.yaxis.set_major_formatter(lambda v, _: f"{v:.0%}")
    accuracy.grid(visible=False)
    final = [r.accuracies[-1] for r in runs]
    text = f"{np.mean(final):.1%} held out\nworst seed {min(final):.1%}"
    axes.text(0.97, 0.42, text, transform=axes.transAxes, ha="right", color=GREEN, weight="bold")


def draw_confusion(axes: Axes, runs: list[Run]) -> None:
    """How often each digit was read as which one."""
    counts = np.zeros((10, 10), dtype=int)
    for run in runs:
        np.add.at(counts, (run.labels, run.read), 1)
    # Hits would outshine everything: they get one tint, misses the scale.
    misses = np.where(np.eye(10, dtype=bool), 0, counts)
    axes.imshow(misses, cmap="Reds", vmin=0, vmax=max(1, misses.max() * 1.4))
    axes.imshow(np.where(np.eye(10, dtype=bool), 0.28, np.nan), cmap="Greens", vmin=0, vmax=1)
    for i, j in np.ndindex(10, 10):
        if counts[i, j]:
            color = "white" if misses[i, j] > 0.75 * misses.max() else INK
            axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=10, color=color)
    total = counts.sum()
    axes.set_title(f"Held-out digits: {total - misses.sum()} of {total} read right")
    axes.set(xlabel="read as", ylabel="written", xticks=range(10), yticks=range(10))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def draw_misread(figure: Figure, place: SubplotSpec, wrong: list[tuple[np.ndarray, int, int]]) -> None:
    """The images that were misread, and as what."""
    columns, rows = 14, 3
    shown = wrong[: columns * rows]
    cells = place.subgridspec(rows, columns, wspace=0.25, hspace=0.55)
    heading = figure.add_subplot(place)
    many = f"{len(shown)} of {len(wrong)} misread digits" if len(wrong) > len(shown) else f"All {len(wrong)} misread digits"
    heading.set_title(f"{many}: written → read" if wrong else "No digit was misread", pad=30)
    heading.axis("off")
    for cell, (image, label, guess) in zip(cells, shown):
        axes = figure.add_subplot(cell)
        axes.imshow(image, cmap="gray_r", interpolation="nearest")
        axes.set_title(f"{label} → {guess}", fontsize=10, loc="center", pad=4, color=RED)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=SOFT, linewidth=0.6)
