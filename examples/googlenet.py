"""Reads handwritten digits with a network in the manner of GoogLeNet: Inception blocks (Szegedy et al. 2015).

    python examples/googlenet.py [--seeds 2] [--epochs 15] [--data FOLDER]

A block looks at its input through windows of 1, 3 and 5 pixels and through a pooling at once, and puts the channels
side by side. Loss curves, confusion matrix and misread digits go to examples/output/googlenet.png.
"""

from __future__ import annotations

import tapegrad as tg
from images import main
from tapegrad import nn


def conv(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """A convolution that keeps the size, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding="same", bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Inception(nn.Module):
    """Four branches; the numbers of channels are those of 1x1, 3x3, 5x5 and of the pooled branch."""

    def __init__(self, inputs: int, one: int, three: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = conv(inputs, one, 1)
        # Fewer channels first: the wide windows then cost less.
        self.three = nn.Sequential(conv(inputs, three // 2, 1), conv(three // 2, three, 3))
        self.five = nn.Sequential(conv(inputs, five // 2, 1), conv(five // 2, five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(inputs, pooled, 1))

    def forward(self, x: tg.Variable) -> tg.Variable:
        """The channels of all branches."""
        return tg.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], dim=1)


def network() -> nn.Sequential:
    """Images of shape (n, 1, 16, 16) to logits."""
    return nn.Sequential(
        *(conv(1, 16, 3), nn.MaxPool2d(3, stride=2, padding=1)),
        *(Inception(16, 8, 16, 4, 4), Inception(32, 16, 24, 8, 8), nn.MaxPool2d(3, stride=2, padding=1)),
        *(Inception(56, 24, 40, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(80, 10)),
    )


if __name__ == "__main__":
    main(__doc__, "googlenet", network, side=16, epochs=15, seeds=2)
