"""Reads handwritten digits with LeNet-5: two convolutions, two poolings, three layers (LeCun et al. 1998).

    python examples/lenet.py [--seeds 5] [--epochs 25] [--data FOLDER]

scikit-learn's 1797 images are resampled to 28 by 28 pixels; `--data` names a folder with MNIST's four files instead.
Loss curves, confusion matrix and misread digits go to examples/output/lenet.png.
"""

from __future__ import annotations

import tapegrad as tg
from images import main
from tapegrad import nn
from tapegrad.nn import functional as F


class LeNet(nn.Module):
    """Images of shape (n, 1, 28, 28) to logits of shape (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: tg.Variable) -> tg.Variable:
        """Computes the logits."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.view(len(x), -1)))
        return self.fc3(F.relu(self.fc2(x)))


if __name__ == "__main__":
    main(__doc__, "lenet", LeNet, side=28, epochs=25, seeds=5, shift=3)
