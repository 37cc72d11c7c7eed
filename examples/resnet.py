"""Reads handwritten digits with a small residual network (He et al. 2016).

    python examples/resnet.py [--seeds 2] [--epochs 15] [--data FOLDER]

Three stages of two blocks, each of which adds to its input what two convolutions with batch norm make of it.
Loss curves, confusion matrix and misread digits go to examples/output/resnet.png.
"""

from __future__ import annotations

import tapegrad as tg
from images import main
from tapegrad import nn
from tapegrad.nn import functional as F


class Block(nn.Module):
    """x + f(x), then ReLU; with a stride, or another number of channels, x goes through a convolution of 1 by 1 first."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: tg.Variable) -> tg.Variable:
        """Computes the output."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def network() -> nn.Sequential:
    """Images of shape (n, 1, 16, 16) to logits: 16, 32 and 64 channels on 16, 8 and 4 pixels."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(Block(16, 16), Block(16, 16)),
        *(Block(16, 32, stride=2), Block(32, 32)),
        *(Block(32, 64, stride=2), Block(64, 64)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


if __name__ == "__main__":
    main(__doc__, "resnet", network, side=16, epochs=15, seeds=2)
