"""Reads handwritten digits: a multilayer perceptron on scikit-learn's 1797 images of 8 by 8 pixels.

    python examples/digits.py [--seeds 5] [--epochs 30] [--data FOLDER]

Each seed draws its own held-out quarter of the images, first weights and order of batches. The loss curves, the
confusion matrix and the misread digits go to examples/output/digits.png, the tape of one training step to digits.svg.
"""

from __future__ import annotations

from pathlib import Path

import tapegrad as tg
from images import main
from tapegrad import nn


def network() -> nn.Sequential:
    """64 pixels, two hidden layers, 10 digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def draw_tape(folder: Path) -> None:
    """One training step as a picture."""
    net = network()
    with tg.Tape() as tape:
        nn.functional.cross_entropy(net(tg.zeros((32, 1, 8, 8))), tg.zeros((32,), dtype=tg.int64))
    path = folder / "digits.svg"
    path.write_text(tape.to_svg(names=dict(net.named_parameters()), title="The tape of one training step"), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main(__doc__, "digits", network, side=8, epochs=30, seeds=5, shift=0, after=draw_tape)
