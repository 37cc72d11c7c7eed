"""Reads handwritten digits on several ranks: the run of digits.py, whose batches are divided among processes.

    python -m tapegrad.distributed.run -n 2 examples/digits_ranks.py [--seeds 5] [--epochs 30]

Losses, accuracies and the picture are those of digits.py, up to the order of additions, on any number of ranks; without a
launcher it runs in this process alone. Rank 0 draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tapegrad as tg
from digits import BATCH, Run, draw, draw_tape, make_network, read
from style import OUTPUT
from tapegrad import distributed as dist
from tapegrad import nn, optim


def train(seed: int, epochs: int) -> Run:
    """Trains a new network on three quarters of the images; each rank learns from its share of every batch."""
    rank, size = dist.get_rank(), dist.get_world_size()
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    x, held_x, y, held_y = train_test_split(pixels, labels, test_size=0.25, stratify=labels, random_state=seed)

    tg.random.manual_seed(seed)
    net = make_network()
    model = dist.DistributedDataParallel(net)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    images, targets, held_images = tg.asarray(x), tg.asarray(y), tg.asarray(held_x)

    losses, accuracies = [], []
    steps = range(0, len(x), BATCH)
    with tqdm(total=epochs * len(steps), desc=f"seed {seed}", unit="step", disable=rank != 0) as bar:
        for _ in range(epochs):
            order = np.random.default_rng((seed, len(losses))).permutation(len(x))
            total = 0.0
            for start in steps:
                share = order[start : start + BATCH][rank::size]
                loss = criterion(model(images[share]), targets[share])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(share) if len(share) else 0.0
                bar.update()
            losses.append(dist.all_reduce(tg.asarray(total, dtype=tg.float64)).item() / len(x))
            accuracies.append(float((read(net, held_images) == held_y).mean()))
            bar.set_postfix(loss=f"{losses[-1]:.3f}", accuracy=f"{accuracies[-1]:.2%}")
    return Run(seed, losses, accuracies, held_x, held_y, read(net, held_images))


def main() -> None:
    """Trains all seeds; rank 0 draws, and fails when a seed reads too few digits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many networks are trained (default: 5)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (default: 30)")
    parser.add_argument("--require", type=float, default=0.97, help="accuracy each seed must reach (default: 0.97)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the pictures")
    options = parser.parse_args()

    dist.init("mpi" if dist.is_launched() else "local")
    runs = [train(seed, options.epochs) for seed in range(options.seeds)]
    if dist.get_rank():
        return
    picture = draw(runs, options.output)
    draw_tape(options.output / "digits.svg")
    for run in runs:
        print(f"seed {run.seed}: {run.accuracies[-1]:.2%} of {len(run.labels)} held-out digits read right")
    print(f"{dist.get_world_size()} ranks wrote {picture} and {picture.with_suffix('.svg')}")
    if min(run.accuracies[-1] for run in runs) < options.require:
        raise SystemExit(f"a seed stayed below {options.require:.0%}")


if __name__ == "__main__":
    main()
