"""Reads handwritten digits: a multilayer perceptron on scikit-learn's 1797 images of 8 by 8 pixels.

    python examples/digits.py [--seeds 5] [--epochs 30]

Each seed draws its own held-out quarter of the images, first weights and order of batches. The loss curves, the
confusion matrix and the misread digits go to examples/output/digits.png, the tape of one training step to digits.svg.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, GREEN, INK, OUTPUT, RED, SOFT, save
from tapegrad import nn, optim

BATCH = 32


@dataclass
class Run:
    """What one seed learned."""

    seed: int
    losses: list[float]  # mean of each epoch
    accuracies: list[float]  # on held-out images after each epoch
    images: np.ndarray  # held out
    labels: np.ndarray
    read: np.ndarray  # what the network reads in them


def make_network() -> nn.Sequential:
    """64 pixels, two hidden layers, 10 digits."""
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def read(net: nn.Module, images: tg.Variable) -> np.ndarray:
    """The digit with the largest logit, for each image."""
    with tg.no_grad():
        return net(images).argmax(axis=1).numpy()


def train(seed: int, epochs: int) -> Run:
    """Trains a new network on three quarters of the images."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    x, held_x, y, held_y = train_test_split(pixels, labels, test_size=0.25, stratify=labels, random_state=seed)

    tg.random.manual_seed(seed)
    net = make_network()
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    images, targets, held_images = tg.asarray(x), tg.asarray(y), tg.asarray(held_x)

    losses, accuracies = [], []
    steps = range(0, len(x), BATCH)
    with tqdm(total=epochs * len(steps), desc=f"seed {seed}", unit="step") as bar:
        for _ in range(epochs):
            order = np.random.default_rng((seed, len(losses))).permutation(len(x))
            total = 0.0
            for start in steps:
                batch = order[start : start + BATCH]
                loss = criterion(net(images[batch]), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
                bar.update()
            losses.append(total / len(x))
            accuracies.append(float((read(net, held_images) == held_y).mean()))
            bar.set_postfix(loss=f"{losses[-1]:.3f}", accuracy=f"{accuracies[-1]:.2%}")
    return Run(seed, losses, accuracies, held_x, held_y, read(net, held_images))


def draw_tape(path: Path) -> None:
    """One training step as a picture."""
    net = make_network()
    with tg.Tape() as tape:
        logits = net(tg.zeros((BATCH, 64)))
        nn.functional.cross_entropy(logits, tg.zeros((BATCH,), dtype=tg.int64))
    names = dict(net.named_parameters())
    path.write_text(tape.to_svg(names=names, title="The tape of one training step"), encoding="utf-8")


def draw(runs: list[Run], folder: Path) -> Path:
    """Loss curves, confusion matrix and misread digits in one figure."""
    figure = plt.figure(figsize=(14, 9.2))
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1), hspace=0.42, wspace=0.16)
    draw_curves(figure.add_subplot(grid[0, 0]), runs)
    draw_confusion(figure.add_subplot(grid[0, 1]), runs)
    wrong = [(r.images[i], r.labels[i], r.read[i]) for r in runs for i in np.flatnonzero(r.labels != r.read)]
    draw_misread(figure, grid[1, :], sorted(wrong, key=lambda w: w[1:]))
    return save(figure, "digits.png", folder)


def draw_curves(axes: Axes, runs: list[Run]) -> None:
    """The loss of training images and the accuracy on held-out ones, a line for each seed."""
    epochs = np.arange(1, len(runs[0].losses) + 1)
    accuracy = axes.twinx()
    for run in runs:
        axes.plot(epochs, run.losses, color=BLUE, alpha=0.35, lw=1.2)
        accuracy.plot(epochs, run.accuracies, color=GREEN, alpha=0.35, lw=1.2)
    axes.plot(epochs, np.mean([r.losses for r in runs], axis=0), color=BLUE, lw=2.4)
    accuracy.plot(epochs, np.mean([r.accuracies for r in runs], axis=0), color=GREEN, lw=2.4)
    axes.set(xlabel="epoch", ylim=(0, None), title=f"Learning, {len(runs)} seeds")
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


def draw_misread(figure: plt.Figure, place: object, wrong: list[tuple[np.ndarray, int, int]]) -> None:
    """The images that were misread, and as what."""
    columns, rows = 14, 3
    shown = wrong[: columns * rows]
    cells = place.subgridspec(rows, columns, wspace=0.25, hspace=0.55)  # type: ignore[attr-defined]
    heading = figure.add_subplot(place)
    many = f"{len(shown)} of {len(wrong)} misread digits" if len(wrong) > len(shown) else f"All {len(wrong)} misread digits"
    heading.set_title(f"{many}: written → read" if wrong else "No digit was misread", pad=30)
    heading.axis("off")
    for cell, (image, label, guess) in zip(cells, shown):
        axes = figure.add_subplot(cell)
        axes.imshow(image.reshape(8, 8), cmap="gray_r", interpolation="nearest")
        axes.set_title(f"{label} → {guess}", fontsize=10, loc="center", pad=4, color=RED)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=SOFT, linewidth=0.6)


def main() -> None:
    """Trains all seeds, draws, and fails when a seed reads too few digits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many networks are trained (default: 5)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (default: 30)")
    parser.add_argument("--require", type=float, default=0.97, help="accuracy each seed must reach (default: 0.97)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the pictures")
    options = parser.parse_args()

    runs = [train(seed, options.epochs) for seed in range(options.seeds)]
    picture = draw(runs, options.output)
    draw_tape(options.output / "digits.svg")
    for run in runs:
        print(f"seed {run.seed}: {run.accuracies[-1]:.2%} of {len(run.labels)} held-out digits read right")
    print(f"wrote {picture} and {picture.with_suffix('.svg')}")
    if min(run.accuracies[-1] for run in runs) < options.require:
        raise SystemExit(f"a seed stayed below {options.require:.0%}")


if __name__ == "__main__":
    main()
