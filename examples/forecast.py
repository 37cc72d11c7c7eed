"""Forecasts the sun: an LSTM on the yearly numbers of sunspots since 1700, which the package statsmodels brings along.

    python examples/forecast.py [--steps 300] [--seed 0]

The last fifty years are held out. The network's forecasts of them a year ahead, beside simple rules, and what it makes
of its own forecasts go to examples/output/forecast.png.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, GREEN, ORANGE, SOFT, arguments, save
from tapegrad import nn
from tapegrad.utils.data import datasets

HELD, WINDOW, BATCH = 50, 66, 32


class Forecaster(nn.Module):
    """What comes next, after each of the values so far: a change of the last one."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: tg.Variable, state: tuple[tg.Variable, tg.Variable] | None = None) -> tuple[tg.Variable, object]:
        """`x` of shape (batch, years); the forecasts have that shape too. The state allows to go on."""
        found, state = self.lstm(x[:, :, None], state)
        return x + self.head(found)[:, :, 0], state


def sunspots() -> tuple[np.ndarray, np.ndarray]:
    """Years and numbers."""
    if (spec := find_spec("statsmodels")) is None or spec.origin is None:
        raise SystemExit("the series is in the package statsmodels: pip install statsmodels")
    table = datasets.read_csv(Path(spec.origin).parent / "datasets" / "sunspots" / "sunspots.csv", dtype=tg.float64).numpy()
    return table[:, 0], table[:, 1]


def train(x: np.ndarray, steps: int, seed: int) -> tuple[Forecaster, list[float]]:
    """Learns from windows of a series; each is scaled a little, so that no two are alike."""
    tg.manual_seed(seed)
    random, model, losses = np.random.default_rng(seed), Forecaster(), []
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    scheduler = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in (bar := tqdm(range(steps), desc="forecast", unit="step")):
        starts = random.integers(0, len(x) - WINDOW, BATCH)
        windows = x[starts[:, None] + np.arange(WINDOW + 1)] * random.uniform(0.8, 1.2, (BATCH, 1))
        data = tg.asarray(windows + 0.05 * random.standard_normal(windows.shape), dtype=tg.float32)
        loss = nn.functional.mse_loss(model(data[:, :-1])[0][:, 8:], data[:, 9:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    return model, losses


@tg.no_grad()
def forecasts(model: Forecaster, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the held-out years: each from all years before it, and all of them from the years before the first."""
    ahead = model(tg.asarray(x[None, :-1], dtype=tg.float32))[0].numpy()[0, -HELD:]
    found, state = model(tg.asarray(x[None, :-HELD], dtype=tg.float32))
    value, free = found[:, -1:], []
    for _ in range(HELD):
        free.append(value.item())
        value, state = model(value, state)
    return ahead, np.array(free)


def linear_rule(x: np.ndarray, lags: int) -> np.ndarray:
    """Each held-out year as a line in the years before it, by least squares on all others: what there is to beat."""
    rows = np.stack([x[i : len(x) - lags + i] for i in range(lags)] + [np.ones(len(x) - lags)], axis=1)
    weights = np.linalg.lstsq(rows[:-HELD], x[lags:-HELD], rcond=None)[0]
    return rows[-HELD:] @ weights


def draw(years: np.ndarray, x: np.ndarray, losses: list[float], lines: dict[str, tuple[np.ndarray, str]], title: str) -> Figure:
    """The loss, and the held-out years with their forecasts."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(16, 5), width_ratios=(1, 2.6), layout="constrained")
    left.semilogy(losses, color=BLUE, lw=1)
    left.set(xlabel="step", ylabel="squared error of scaled roots", title="Learning")
    right.plot(years[-HELD - 40 :], x[-HELD - 40 :], color=SOFT, marker="o", ms=3, lw=1.2, label="counted")
    for name, (line, color) in lines.items():
        right.plot(years[-HELD:], line, color=color, lw=2, label=name)
    right.set(xlabel="year", ylabel="sunspots", title=title, ylim=(-5, 250))
    right.legend(ncols=2, loc="upper left")
    return figure


def main() -> None:
    """Trains, forecasts and draws."""
    options = arguments(__doc__, steps=(300, "steps of training"), seed=(0, "of weights and windows"))
    years, x = sunspots()
    mean, spread = np.sqrt(x[:-HELD]).mean(), np.sqrt(x[:-HELD]).std()
    scaled = (np.sqrt(x) - mean) / spread
    model, losses = train(scaled[:-HELD], options.steps, options.seed)
    found = *forecasts(model, scaled), linear_rule(scaled, 9), scaled[-HELD - 1 : -1]
    ahead, free, linear, before = (np.maximum(f * spread + mean, 0) ** 2 for f in found)
    errors = [np.abs(guess - x[-HELD:]).mean() for guess in (ahead, linear, before)]
    print("mean error of the LSTM {:.1f}, of a line in nine years {:.1f}, of the year before {:.1f}".format(*errors))
    lines = {"a year ahead": (ahead, BLUE), "from its own forecasts": (free, ORANGE), "the year before": (before, GREEN)}
    title = "Held out: {:.1f} off a year ahead; a line in nine years {:.1f}, the year before {:.1f}".format(*errors)
    print(f"wrote {save(draw(years, x, losses, lines, title), 'forecast.png', options.output)}")


if __name__ == "__main__":
    main()
