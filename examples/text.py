"""Writes text letter by letter: a small transformer that learns the topics of Python's own help (pydoc_data).

    python examples/text.py [--steps 1500]

The losses, and what the model writes, go to examples/output/text.png. The last tenth of the text is held out.
"""

from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np
from matplotlib import pyplot as plt
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, ORANGE, arguments, save
from tapegrad import nn
from tapegrad.nn import functional as F

CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 96, 128, 4, 3, 32
LATER = tg.triu(tg.ones(CONTEXT, CONTEXT), diagonal=1).bool()


def norm(x: tg.Variable, weight: tg.Variable) -> tg.Variable:
    """Each position with mean square 1, times a factor."""
    return x * tg.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * weight


class Block(nn.Module):
    """Attention to the letters before, then two layers for each letter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale1, self.scale2 = nn.Parameter(tg.ones(WIDTH)), nn.Parameter(tg.ones(WIDTH))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: tg.Variable) -> tg.Variable:
        """`x` of shape (batch, positions, WIDTH)."""
        n, t, _ = x.shape
        q, k, v = self.qkv(norm(x, self.scale1)).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        weights = F.softmax((q @ k.mT * (WIDTH // HEADS) ** -0.5).masked_fill(LATER[:t, :t], -1e9), dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.mlp(norm(x, self.scale2))


class Writer(nn.Module):
    """Logits of the next letter at each position."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letters, self.places = (nn.Parameter(tg.randn(n, WIDTH) * 0.05) for n in (letters, CONTEXT))
        self.blocks, self.scale = nn.ModuleList([Block() for _ in range(LAYERS)]), nn.Parameter(tg.ones(WIDTH))

    def forward(self, index: tg.Variable) -> tg.Variable:
        """`index` of shape (batch, positions)."""
        x = self.letters[index] + self.places[: index.shape[1]]
        for block in self.blocks:
            x = block(x)
        return norm(x, self.scale) @ self.letters.T


def loss_of(model: Writer, text: np.ndarray, starts: np.ndarray) -> tg.Variable:
    """Nats a letter of the pieces of a text that begin there."""
    pieces = tg.asarray(text[starts[:, None] + np.arange(CONTEXT + 1)])
    return F.cross_entropy(model(pieces[:, :-1]).view(-1, len(model.letters)), pieces[:, 1:].reshape(-1))


def train(text: np.ndarray, count: int, steps: int) -> tuple[Writer, list[float], list[tuple[int, float]]]:
    """Learns from nine tenths of the text; returns the model, its losses, and those on the last tenth."""
    tg.manual_seed(0)
    seen, held = np.split(text, [len(text) * 9 // 10])
    model, random, losses, checks = Writer(count), np.random.default_rng(0), [], []
    optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    fixed = np.split(np.linspace(0, len(held) - CONTEXT - 1, 256).astype(int), 8)
    for i in tqdm(range(1, steps + 1), desc="text", unit="step"):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, i / 100) * (1.02 - i / steps)
        loss = loss_of(model, seen, random.integers(0, len(seen) - CONTEXT - 1, BATCH))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if i % 200 == 0 or i == steps:
            with tg.no_grad():
                checks.append((i, float(np.mean([loss_of(model, held, starts).item() for starts in fixed]))))
    return model, losses, checks


@tg.no_grad()
def write(model: Writer, letters: list[str], start: str, count: int) -> str:
    """Goes on with a text."""
    text = [letters.index(c) for c in start]
    for _ in range(count):
        likely = F.softmax(model(tg.tensor([text[-CONTEXT:]]))[0, -1] / 0.7, dim=0)
        text.append(int(tg.multinomial(likely, 1)[0]))
    return "".join(letters[i] for i in text)


def main() -> None:
    """Trains, writes and draws."""
    options = arguments(__doc__, steps=(1500, "steps of training"))
    text = "\n".join(topics[name] for name in sorted(topics))
    letters = sorted(set(text))
    model, losses, checks = train(np.array([letters.index(c) for c in text]), len(letters), options.steps)
    figure, (left, right) = plt.subplots(1, 2, figsize=(15, 5.4), width_ratios=(1, 1.3), layout="constrained")
    left.plot(losses, color=BLUE, lw=0.5, alpha=0.5, label="training")
    left.plot(*zip(*checks), color=ORANGE, lw=2, label="held out")
    left.set(xlabel="step", ylabel="nats a letter", title=f"Held out: {checks[-1][1]:.3f} nats a letter")
    left.legend()
    right.text(0, 1, write(model, letters, "The ", 700), family="monospace", fontsize=9, va="top")
    right.set_title("What it writes")
    right.axis("off")
    print(f"held out {checks[-1][1]:.3f} nats a letter, wrote {save(figure, 'text.png', options.output)}")


if __name__ == "__main__":
    main()
