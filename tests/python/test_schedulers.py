"""Schedulers: closed forms, saving and resuming, and errors. Their values against PyTorch are golden cases."""

from __future__ import annotations

import pickle
from math import cos, pi
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.optim import lr_scheduler as lrs


def sgd(*rates: float, momentum: float = 0.9) -> Any:
    groups = [{"params": [tg.Variable([1.0], requires_grad=True)], "lr": r} for r in rates or (1.0,)]
    return optim.SGD(groups, lr=1.0, momentum=momentum)


def rates(make: Any, steps: int) -> list[float]:
    opt = sgd()
    scheduler, out = make(opt), []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return out


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda o: lrs.LambdaLR(o, lambda e: 0.9**e), lambda e: 0.9**e),
        (lambda o: lrs.MultiplicativeLR(o, lambda e: 0.9), lambda e: 0.9**e),
        (lambda o: lrs.StepLR(o, 3, 0.5), lambda e: 0.5 ** (e // 3)),
        (lambda o: lrs.MultiStepLR(o, [2, 5, 5], 0.5), lambda e: 0.5 ** ((e >= 2) + 2 * (e >= 5))),
        (lambda o: lrs.ConstantLR(o, 0.5, 4), lambda e: 0.5 if e < 4 else 1.0),
        (lambda o: lrs.LinearLR(o, 0.5, 1.0, 4), lambda e: 0.5 + 0.5 * min(e, 4) / 4),
        (lambda o: lrs.ExponentialLR(o, 0.8), lambda e: 0.8**e),
        (lambda o: lrs.PolynomialLR(o, 6, 2.0), lambda e: (1 - min(e, 6) / 6) ** 2),
        (lambda o: lrs.CosineAnnealingLR(o, 5, 0.1), lambda e: 0.1 + 0.9 * (1 + cos(pi * e / 5)) / 2),
        (lambda o: lrs.CosineAnnealingWarmRestarts(o, 4), lambda e: (1 + cos(pi * (e % 4) / 4)) / 2),
        (lambda o: lrs.CyclicLR(o, 0.0, 1.0, 3), lambda e: 1 - abs(e % 6 - 3) / 3),
        (lambda o: lrs.CyclicLR(o, 0.0, 1.0, 3, mode="triangular2"), lambda e: (1 - abs(e % 6 - 3) / 3) / 2 ** (e // 6)),
        (lambda o: lrs.CyclicLR(o, 0.0, 1.0, 3, scale_fn=lambda x: 0.5), lambda e: (1 - abs(e % 6 - 3) / 3) / 2),
        (
            lambda o: lrs.OneCycleLR(o, 1.0, 12, pct_start=0.25, anneal_strategy="linear"),
            lambda e: 0.04 + 0.96 * e / 2 if e <= 2 else 1 + (0.04e-4 - 1) * (e - 2) / 9,
        ),
    ],
)
def test_closed_forms(make: Any, formula: Any) -> None:
    np.testing.assert_allclose(rates(make, 12), [formula(e) for e in range(12)], rtol=1e-9, atol=1e-12)


SCHEDULERS: list[Any] = [
    lambda o: lrs.LambdaLR(o, [lambda e: 0.9**e, lambda e: 0.8**e]),
    lambda o: lrs.StepLR(o, 3),
    lambda o: lrs.MultiStepLR(o, [2, 5]),
    lambda o: lrs.CosineAnnealingLR(o, 5),
    lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2),
    lambda o: lrs.CyclicLR(o, [0.1, 0.2], 0.9, 3),
    lambda o: lrs.OneCycleLR(o, [0.5, 0.7], 20, three_phase=True),
    lambda o: lrs.SequentialLR(o, [lrs.LinearLR(o), lrs.ExponentialLR(o, 0.9)], [4]),
    lambda o: lrs.ChainedScheduler([lrs.LinearLR(o), lrs.ExponentialLR(o, 0.9)]),
    lambda o: optim.swa_utils.SWALR(o, [0.05, 0.01], 4),
]


@pytest.mark.parametrize("make", SCHEDULERS)
def test_a_saved_schedule_goes_on(make: Any) -> None:
    first = sgd(1.0, 0.5)
    one = make(first)
    for _ in range(5):
        first.step()
        one.step()
    saved = pickle.dumps((first.state_dict(), one.state_dict()))
    second = sgd(1.0, 0.5)
    two = make(second)
    kept = pickle.loads(saved)
    second.load_state_dict(kept[0])
    two.load_state_dict(kept[1])
    for _ in range(6):
        for opt, scheduler in ((first, one), (second, two)):
            opt.step()
            scheduler.step()
        assert one.get_last_lr() == two.get_last_lr() == [g["lr"] for g in second.param_groups]
        assert [g["momentum"] for g in first.param_groups] == [g["momentum"] for g in second.param_groups]


def test_plateaus() -> None:
    opt = sgd(1.0, 0.1)
    scheduler = lrs.ReduceLROnPlateau(
        opt, "max", 0.5, patience=1, threshold=0.1, threshold_mode="abs", cooldown=1, min_lr=[0.3, 0.1]
    )
    seen = []
    for metric in [1.0, 1.05, 1.05, 1.05, 1.05, 1.05, 2.0, 2.0, 2.0, 2.0, 2.0]:
        scheduler.step(tg.Variable(metric))
        seen.append(opt.param_groups[0]["lr"])
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert opt.param_groups[1]["lr"] == 0.1
    again = lrs.ReduceLROnPlateau(sgd(1.0, 0.1))
    again.load_state_dict(pickle.loads(pickle.dumps(scheduler.state_dict())))
    assert (again.best, again.mode) == (2.0, "max")


def test_momentum_goes_the_other_way() -> None:
    adam = optim.Adam([tg.Variable([1.0], requires_grad=True)], lr=0.1)
    scheduler = lrs.OneCycleLR(adam, 0.1, 10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)
    for _ in range(2):
        adam.step()
        scheduler.step()
    assert adam.param_groups[0]["betas"][0] == pytest.approx(0.85)


def test_epochs_may_be_given() -> None:
    opt = sgd()
    scheduler = lrs.CosineAnnealingWarmRestarts(opt, 2, 2)
    scheduler.step(2.5)
    assert opt.param_groups[0]["lr"] == pytest.approx((1 + cos(pi * 0.5 / 4)) / 2)
    step = lrs.StepLR(sgd(), 2, 0.1)
    step.step(5)
    assert step.get_last_lr() == [pytest.approx(0.01)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lrs.StepLR(3, 1), TypeError, "expected an Optimizer, got int"),
        (lambda o: lrs.StepLR(o, 1, last_epoch=3), KeyError, "initial_lr"),
        (lambda o: lrs.LambdaLR(o, [abs, abs]), ValueError, "2 values of lr_lambda for 1"),
        (lambda o: lrs.ConstantLR(o, 2.0), ValueError, "factor"),
        (lambda o: lrs.LinearLR(o, 0.0), ValueError, "start_factor"),
        (lambda o: lrs.CyclicLR(o, 0.1, 1.0, mode="square"), ValueError, "mode is 'square'"),
        (lambda o: lrs.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0"),
        (lambda o: lrs.OneCycleLR(o, 0.1), ValueError, "total_steps"),
        (lambda o: lrs.OneCycleLR(o, 0.1, 10, anneal_strategy="x"), ValueError, "anneal_strategy"),
        (lambda o: lrs.ReduceLROnPlateau(o, factor=2.0), ValueError, "factor"),
        (lambda o: lrs.ReduceLROnPlateau(o, mode="least"), ValueError, "mode"),
        (lambda o: lrs.SequentialLR(o, [lrs.StepLR(o, 1)], [1]), ValueError, "need 0 milestones"),
        (lambda o: lrs.SequentialLR(o, [lrs.StepLR(sgd(), 1)], []), ValueError, "another optimizer"),
        (lambda o: lrs.ChainedScheduler([]), ValueError, "no schedulers"),
        (lambda o: optim.swa_utils.SWALR(o, 0.1, -1), ValueError, "anneal_epochs"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(sgd())


def test_a_cycle_ends() -> None:
    opt = sgd()
    scheduler = lrs.OneCycleLR(opt, 0.1, 2)
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="the cycle is over"):
        scheduler.step()
    adam = optim.Adagrad([tg.Variable([1.0], requires_grad=True)])
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        lrs.CyclicLR(adam, 0.1, 1.0)


def test_milestones_that_a_file_brought_back():
    sgd = optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    scheduler = lrs.MultiStepLR(sgd, [2, 5, 5], 0.5)
    state = scheduler.state_dict()
    scheduler.load_state_dict({**state, "milestones": dict(state["milestones"])})  # tg.load knows no Counter
    scheduler.step(6)
    assert scheduler.get_last_lr() == [0.125]
