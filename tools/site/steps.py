"""Writes the pages that step through a backward pass, which the guide shows."""

from __future__ import annotations

from pathlib import Path

import tapegrad as tg
from tapegrad import nn


def first() -> str:
    w = tg.Variable([0.5, -1.0, 2.0], requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(tg.tanh(w) * w)
    return tape.to_html(loss, names={"w": w})


def network() -> str:
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    x, y = tg.randn(8, 4), tg.arange(8) % 3
    with tg.Tape() as tape:
        loss = nn.functional.cross_entropy(net(x), y)
    return tape.to_html(loss, names=dict(net.named_parameters()))


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    here = str(Path(__file__).resolve().parents[2])
    for page in (first, network):
        (folder / f"{page.__name__}.html").write_text(page().replace(f"{here}/", ""), encoding="utf-8")
