"""A training run that is interrupted in the middle of an epoch and resumed from a file equals one that is not, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tapegrad.utils.data import DataLoader, TensorDataset

STEPS = 24


def network() -> nn.Module:
    """Layers with buffers and random masks."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(48, 5)
    )


def run_of(make: Any) -> dict[str, Any]:
    """The complete state of a run, by name."""
    tg.manual_seed(0)
    draw = np.random.default_rng(0)
    data = TensorDataset(draw.standard_normal((40, 1, 4, 4)).astype(np.float32), draw.integers(0, 5, 40))
    model = network()
    optimizer = make(model.parameters())
    return {
        "model": model,
        "average": AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
        "optimizer": optimizer,
        "scheduler": optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=STEPS + 1, cycle_momentum=False),
        "scaler": tg.amp.GradScaler(init_scale=16.0, growth_interval=5),
        "loader": DataLoader(data, batch_size=8, shuffle=True),
    }


def train(run: dict[str, Any], first: int, last: int) -> None:
    step = first
    while step < last:
        for x, y in run["loader"]:
            run["optimizer"].zero_grad()
            run["scaler"].scale(nn.functional.cross_entropy(run["model"](x), y)).backward()
            run["scaler"].step(run["optimizer"])
            run["scaler"].update()
            run["scheduler"].step()
            run["average"].update_parameters(run["model"])
            step += 1
            if step == last:
                return


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: optim.Adafactor(p, lr=0.01),
        lambda p: optim.NAdam(p, lr=0.01),
        lambda p: optim.LARS(p, lr=0.01),
    ],
)
def test_a_run_that_is_resumed_equals_one_that_is_not(make: Any, tmp_path: Path) -> None:
    whole = run_of(make)
    train(whole, 0, STEPS)
    half = run_of(make)
    train(half, 0, 13)  # in the middle of the third epoch
    state = {name: part.state_dict() for name, part in half.items()}
    tg.save({**state, "random": tg.get_rng_state(), "step": 13}, tmp_path / "run.safetensors")

    resumed = run_of(make)
    tg.manual_seed(77)
    saved = tg.load(tmp_path / "run.safetensors")
    for name, part in resumed.items():
        part.load_state_dict(saved[name])
    tg.set_rng_state(saved["random"])
    train(resumed, saved["step"], STEPS)
    for name in ("model", "average"):
        expected = whole[name].state_dict()
        assert {n: v.tolist() for n, v in resumed[name].state_dict().items()} == {n: v.tolist() for n, v in expected.items()}
    assert resumed["scheduler"].get_last_lr() == whole["scheduler"].get_last_lr()
    assert resumed["scaler"].state_dict() == whole["scaler"].state_dict()
