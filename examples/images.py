"""What the examples that read digits share: images, training, and options. Their picture is in picture.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tapegrad as tg
from picture import draw
from style import arguments, save
from tapegrad import nn
from tapegrad.nn import functional as F
from tapegrad.utils.data import DataLoader, TensorDataset
from tapegrad.utils.data.datasets import mnist


@dataclass
class Run:
    """What one seed learned."""

    seed: int
    images: np.ndarray  # held out, of shape (n, side, side)
    labels: np.ndarray
    read: np.ndarray  # what the network reads in them
    losses: list[float] = field(default_factory=list)  # mean of each epoch
    accuracies: list[float] = field(default_factory=list)  # on held-out images after each epoch


def load(folder: str, side: int, seed: int) -> tuple[TensorDataset, tg.Variable, np.ndarray]:
    """Images of shape (n, 1, side, side) to learn from with their labels, then held-out images and labels.

    scikit-learn's 1797 digits of 8 by 8 pixels, of which each seed holds out another quarter; or MNIST from a folder.
    """
    if folder:
        (x, y), (held_x, held_y) = (mnist(folder, train=part).tensors for part in (True, False))
    else:
        pixels, labels = load_digits(return_X_y=True)
        pixels = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        x, held_x, y, held_y = train_test_split(pixels, labels, test_size=0.25, stratify=labels, random_state=seed)
    x, held_x = (F.interpolate(tg.asarray(i), size=(side, side), mode="bilinear") for i in (x, held_x))
    return TensorDataset(x, y), held_x, np.asarray(held_y)


def shifted(x: tg.Variable, pixels: int) -> tg.Variable:
    """A batch moved by up to so many pixels along both axes; zeros move in."""
    i, j = tg.randint(2 * pixels + 1, (2,)).tolist()
    return F.pad(x, (pixels,) * 4)[:, :, i : i + x.shape[2], j : j + x.shape[3]]


@tg.no_grad()
def read(net: nn.Module, images: tg.Variable) -> np.ndarray:
    """The digit with the largest logit, for each image."""
    net.eval()
    logits = [net(images[i : i + 500]) for i in range(0, len(images), 500)]
    net.train()
    return tg.cat(logits).argmax(axis=1).numpy()


def train(make: Callable[[], nn.Module], data: str, side: int, seed: int, epochs: int, shift: int) -> Run:
    """Trains a new network: AdamW, a learning rate that rises and falls (OneCycleLR), smoothed labels."""
    images, held, labels = load(data, side, seed)
    tg.manual_seed(seed)
    net, criterion = make(), nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = DataLoader(images, batch_size=64, shuffle=True, drop_last=True)
    optimizer = tg.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * len(loader))
    run = Run(seed, held.numpy()[:, 0], labels, labels)
    with tqdm(total=epochs * len(loader), desc=f"seed {seed}", unit="step") as bar:
        for _ in range(epochs):
            mean = tg.metrics.Mean()
            for x, y in loader:
                loss = criterion(net(shifted(x, shift)), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                mean.update(loss, len(y))
                bar.update()
            run.read = read(net, held)
            run.losses.append(mean.compute())
            run.accuracies.append(tg.metrics.accuracy(run.read, labels))
            bar.set_postfix(loss=f"{run.losses[-1]:.3f}", accuracy=f"{run.accuracies[-1]:.2%}")
    return run


def main(
    text: str | None,
    name: str,
    make: Callable[[], nn.Module],
    *,
    side: int,
    epochs: int,
    seeds: int,
    shift: int = 1,
    after: Callable[[Path], object] = Path,
) -> None:
    """An example: trains, draws, calls `after` with the folder, and fails when a seed reads too few digits."""
    options = arguments(
        text,
        seeds=(seeds, "how many networks are trained"),
        epochs=(epochs, "passes over the training images"),
        require=(0.97, "accuracy that each seed must reach"),
        data=("", "folder with the four files of MNIST, or of a set in its format, in place of scikit-learn's digits"),
    )
    print(f"{name}: {sum(p.size for p in make().parameters()):,} parameters")
    runs = [train(make, options.data, side, seed, options.epochs, shift) for seed in range(options.seeds)]
    for run in runs:
        print(f"seed {run.seed}: {run.accuracies[-1]:.2%} of {len(run.labels)} held-out digits read right")
    print(f"mean {np.mean([run.accuracies[-1] for run in runs]):.2%}")
    print(f"wrote {save(draw(runs), f'{name}.png', options.output)}")
    after(options.output)
    if min(run.accuracies[-1] for run in runs) < options.require:
        raise SystemExit(f"a seed stayed below {options.require:.0%}")
