"""Draws handwritten digits: a variational autoencoder on scikit-learn's 1797 images of 8 by 8 pixels.

    python examples/autoencoder.py [--epochs 150]

Held-out images, what is left of them after 8 numbers, and digits that the decoder makes of noise go to
examples/output/autoencoder.png.
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, ORANGE, arguments, save
from tapegrad import nn
from tapegrad.nn import functional as F
from tapegrad.utils.data import DataLoader, TensorDataset, random_split

LATENT = 8


class Autoencoder(nn.Module):
    """An encoder to the mean and the spread of 8 numbers, and a decoder back to 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 128), nn.SiLU(), nn.Linear(128, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 128), nn.SiLU(), nn.Linear(128, 256), nn.SiLU(), nn.Linear(256, 64))

    def forward(self, x: tg.Variable) -> tuple[tg.Variable, tg.Variable, tg.Variable]:
        """Logits of the pixels, and the mean and the logarithm of the variance of the 8 numbers."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + tg.exp(0.5 * log_variance) * tg.randn_like(mean)
        return self.decoder(z), mean, log_variance


def loss_of(model: Autoencoder, x: tg.Variable) -> tg.Variable:
    """What an image costs in nats: its pixels given the 8 numbers, and the 8 numbers given the normal distribution."""
    logits, mean, log_variance = model(x)
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = 0.5 * tg.sum(mean**2 + tg.exp(log_variance) - 1.0 - log_variance)
    return (pixels + divergence) / len(x)


def train(epochs: int, seed: int = 0) -> tuple[Autoencoder, np.ndarray, list[float], list[float]]:
    """Trains on nine tenths of the images; returns the model, the others, and both losses after each epoch."""
    tg.manual_seed(seed)
    images = TensorDataset((load_digits().data / 16).astype(np.float32))
    part, held = random_split(images, [0.9, 0.1])
    loader = DataLoader(part, batch_size=64, shuffle=True)
    (fresh,) = next(iter(DataLoader(held, batch_size=len(held))))
    model = Autoencoder()
    optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3)
    seen, unseen = [], []
    bar = tqdm(range(epochs), desc="autoencoder", unit="epoch")
    for _ in bar:
        mean = tg.metrics.Mean()
        for (x,) in loader:
            optimizer.zero_grad()
            loss = loss_of(model, x)
            loss.backward()
            optimizer.step()
            mean.update(loss, len(x))
        seen.append(mean.compute())
        with tg.no_grad():
            unseen.append(loss_of(model, fresh).item())
        bar.set_postfix(nats=f"{seen[-1]:.2f}", held_out=f"{unseen[-1]:.2f}")
    return model, fresh.numpy(), seen, unseen


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images of 8 by 8 pixels side by side, in rows."""
    rows = images.reshape(-1, columns, 8, 8)
    return np.pad(rows, ((0, 0), (0, 0), (1, 1), (1, 1))).swapaxes(1, 2).reshape(len(rows) * 10, columns * 10)


def draw(model: Autoencoder, fresh: np.ndarray, seen: list[float], unseen: list[float]) -> Figure:
    """Losses, images beside their reconstructions, and samples."""
    with tg.no_grad():
        again = tg.sigmoid(model(tg.asarray(fresh[:40]))[0]).numpy()
        samples = tg.sigmoid(model.decoder(tg.randn(120, LATENT))).numpy()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5.4), width_ratios=(1.1, 1, 1), layout="constrained")
    left.plot(range(1, len(seen) + 1), seen, color=BLUE, lw=2, label="training")
    left.plot(range(1, len(seen) + 1), unseen, color=ORANGE, lw=2, label="held out")
    left.set(xlabel="epoch", ylabel="nats an image", title="Bound on the likelihood")
    left.legend()
    pairs = np.stack([fresh[:40].reshape(-1, 10, 64), again.reshape(-1, 10, 64)], axis=1)
    titles = "Held-out digits, each above its reconstruction", "Digits made of noise"
    for axes, images, title in zip((middle, right), (pairs, samples), titles):
        axes.imshow(sheet(images, 10), cmap="Blues", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=title)
        axes.grid(visible=False)
    return figure


def main() -> None:
    """Trains and draws."""
    options = arguments(__doc__, epochs=(150, "times that the images are gone through"))
    model, fresh, seen, unseen = train(options.epochs)
    print(f"nats an image: {seen[0]:.2f} -> {seen[-1]:.2f}, held out {unseen[-1]:.2f}")
    print(f"wrote {save(draw(model, fresh, seen, unseen), 'autoencoder.png', options.output)}")


if __name__ == "__main__":
    main()
