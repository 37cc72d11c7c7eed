"""Reads handwritten digits with a network in the manner of MobileNetV2: inverted residuals (Sandler et al. 2018).

    python examples/mobilenet.py [--seeds 2] [--epochs 20] [--data FOLDER]

A block widens its channels, filters each one by itself (a depthwise convolution) and narrows them again.
Loss curves, confusion matrix and misread digits go to examples/output/mobilenet.png.
"""

from __future__ import annotations

import tapegrad as tg
from images import main
from tapegrad import nn


def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its batch norm."""
    made = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return [made, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """1x1 to `widen` times the channels, 3x3 depthwise, 1x1 back; added to the input where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, widen: int = 4) -> None:
        super().__init__()
        hidden = inputs * widen
        self.layers = nn.Sequential(
            *(*conv(inputs, hidden), nn.ReLU6()),
            *(*conv(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6()),
            *conv(hidden, outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: tg.Variable) -> tg.Variable:
        """Computes the output."""
        return x + self.layers(x) if self.adds else self.layers(x)


def network() -> nn.Sequential:
    """Images of shape (n, 1, 16, 16) to logits."""
    return nn.Sequential(
        *(*conv(1, 16, 3), nn.ReLU6()),
        *(InvertedResidual(16, 16), InvertedResidual(16, 24, stride=2), InvertedResidual(24, 24)),
        *(InvertedResidual(24, 40, stride=2), InvertedResidual(40, 40)),
        *(*conv(40, 128), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )


if __name__ == "__main__":
    main(__doc__, "mobilenet", network, side=16, epochs=20, seeds=2)
