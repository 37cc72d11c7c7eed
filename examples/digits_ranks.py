"""Reads handwritten digits on several ranks: the run of digits.py, whose batches are divided among processes.

    python -m tapegrad.distributed.run -n 2 examples/digits_ranks.py [--seeds 5] [--epochs 30]

Losses, accuracies and the picture are those of digits.py, up to the order of additions, on any number of ranks; without a
launcher it runs in this process alone. Rank 0 draws.
"""

from __future__ import annotations

from tqdm import tqdm

import tapegrad as tg
from digits import draw_tape, network
from images import Run, load, read, shifted
from picture import draw
from style import arguments, save
from tapegrad import distributed as dist
from tapegrad import nn
from tapegrad.utils.data import DataLoader


def train(seed: int, epochs: int) -> Run:
    """Trains a new network; all ranks draw the same batches, and each learns from its share of every batch."""
    rank, size = dist.get_rank(), dist.get_world_size()
    images, held, labels = load("", 8, seed)
    tg.manual_seed(seed)
    net, criterion = network(), nn.CrossEntropyLoss(label_smoothing=0.1)
    model = dist.DistributedDataParallel(net)
    loader = DataLoader(images, batch_size=64, shuffle=True, drop_last=True)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * len(loader))
    run = Run(seed, held.numpy()[:, 0], labels, labels)
    with tqdm(total=epochs * len(loader), desc=f"seed {seed}", unit="step", disable=rank != 0) as bar:
        for _ in range(epochs):
            total = 0.0
            for x, y in loader:
                share, answers = shifted(x, 0)[rank::size], y[rank::size]
                loss = criterion(model(share), answers)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                total += loss.item() * len(answers)
                bar.update()
            run.read = read(net, held)
            sums = dist.all_reduce(tg.asarray(total, dtype=tg.float64))
            run.losses.append(sums.item() / (len(loader) * 64))
            run.accuracies.append(tg.metrics.accuracy(run.read, labels))
            bar.set_postfix(loss=f"{run.losses[-1]:.3f}", accuracy=f"{run.accuracies[-1]:.2%}")
    return run


def main() -> None:
    """Trains all seeds; rank 0 draws, and fails when a seed reads too few digits."""
    options = arguments(
        __doc__,
        seeds=(5, "how many networks are trained"),
        epochs=(30, "passes over the training images"),
        require=(0.97, "accuracy that each seed must reach"),
    )
    dist.init("mpi" if dist.is_launched() else "local")
    runs = [train(seed, options.epochs) for seed in range(options.seeds)]
    if dist.get_rank():
        return
    for run in runs:
        print(f"seed {run.seed}: {run.accuracies[-1]:.2%} of {len(run.labels)} held-out digits read right")
    print(f"{dist.get_world_size()} ranks wrote {save(draw(runs), 'digits.png', options.output)}")
    draw_tape(options.output)
    if min(run.accuracies[-1] for run in runs) < options.require:
        raise SystemExit(f"a seed stayed below {options.require:.0%}")


if __name__ == "__main__":
    main()
