"""Losses and optimizers as users meet them: options, mutable groups, saved states, and errors."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim

OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.1, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.1}),
    (optim.RMSprop, {"lr": 0.1, "momentum": 0.5, "centered": True}),
]


def parameter(*values: float) -> tg.Variable:
    return tg.Variable(np.array(values), requires_grad=True)


def descend(opt: Any, params: list[tg.Variable], steps: int) -> None:
    for _ in range(steps):
        opt.zero_grad()
        sum(((p - 1.0) ** 2 + tg.cos(p)).sum() for p in params).backward()
        opt.step()


@pytest.mark.parametrize(("cls", "options"), OPTIMIZERS)
def test_a_saved_run_goes_on_bit_for_bit(cls: Any, options: dict[str, Any]) -> None:
    whole, half = [parameter(3.0, -2.0), parameter(0.5)], [parameter(3.0, -2.0), parameter(0.5)]
    descend(cls(whole, **options), whole, 20)
    first = cls(half, **options)
    descend(first, half, 10)
    saved = first.state_dict()
    again = [parameter(*p.tolist()) for p in half]
    second = cls(again, lr=77.0)
    second.load_state_dict(saved)
    descend(second, again, 10)
    for a, b in zip(whole, again, strict=True):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize(("cls", "options"), OPTIMIZERS)
def test_saved_states_outlive_further_steps(cls: Any, options: dict[str, Any]) -> None:
    params = [parameter(3.0, -2.0)]
    opt = cls(params, **options)
    descend(opt, params, 3)
    saved = opt.state_dict()
    before = {k: np.array(v) for k, v in saved["state"][0].items()}
    descend(opt, params, 3)
    for key, value in before.items():
        np.testing.assert_array_equal(np.array(saved["state"][0][key]), value)


def test_groups_may_be_changed_between_steps() -> None:
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.SGD([{"params": a, "lr": 0.5}, {"params": [b]}], lr=0.25)
    descend_once = {id(a): 0.5, id(b): 0.25}
    (a + b).sum().backward()
    opt.step()
    assert [a.item(), b.item()] == [1 - descend_once[id(a)], 1 - descend_once[id(b)]]
    for group in opt.param_groups:
        group["lr"] = 1
        group["initial_lr"] = 3
    opt.step()
    assert [a.item(), b.item()] == [-0.5, -0.25]
    opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must not be negative"):
        opt.step()
    assert [a.item(), b.item()] == [-0.5, -0.25]
    opt.param_groups[0]["lr"] = 0.0
    group = opt.param_groups[0]
    opt.load_state_dict(opt.state_dict())
    assert opt.param_groups[0] is group
    assert group["initial_lr"] == 3


def test_groups_can_be_added() -> None:
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.Adam([("a", a)], lr=0.5)
    given = {"params": [b], "lr": 0.25}
    opt.add_param_group(given)
    assert given == {"params": [b], "lr": 0.25}
    assert [g["lr"] for g in opt.param_groups] == [0.5, 0.25]
    assert opt.param_groups[0]["param_names"] == ["a"]
    with pytest.raises(ValueError, match="given twice"):
        opt.add_param_group({"params": [a]})
    assert len(opt.param_groups) == 2
    (a + b).sum().backward()
    opt.step()
    assert set(map(id, opt.state)) == {id(a), id(b)}
    np.testing.assert_allclose([a.item(), b.item()], [0.5, 0.75], rtol=1e-6)
    assert "Parameter Group 1" in repr(opt)
    assert "lr: 0.25" in repr(opt)


def test_closures_run_with_recording_on() -> None:
    x = parameter(3.0)
    opt = optim.SGD([x], lr=0.5)

    def closure() -> tg.Variable:
        opt.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        loss = opt.step(closure)
        assert not tg.is_grad_enabled()
    assert (loss.item(), x.item()) == (9.0, 0.0)
    assert opt.step() is None
    with pytest.raises(ZeroDivisionError):
        opt.step(lambda: 1 / 0)


def test_zero_grad() -> None:
    x = parameter(3.0)
    opt = optim.SGD([x])
    (x * x).sum().backward()
    opt.zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0.0]
    opt.zero_grad()
    assert x.grad is None


def test_parameters_are_updated_where_everybody_sees_it() -> None:
    net = nn.Linear(3, 2)
    weight = net.weight
    opt = optim.SGD(net.named_parameters(), lr=1.0)
    before = weight.numpy(copy=True)
    net(tg.ones((4, 3))).sum().backward()
    opt.step()
    assert net.weight is weight
    np.testing.assert_allclose(weight.numpy(), before - 4, rtol=1e-6)
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("params", "options", "error", "message"),
    [
        (lambda x: [], {}, ValueError, "no parameters"),
        (lambda x: [x, x], {}, ValueError, "given twice"),
        (lambda x: [x * 2], {}, ValueError, "result of an operation"),
        (lambda x: [x.detach()], {}, ValueError, "requires_grad=True"),
        (lambda x: x, {}, TypeError, r"pass \[Variable\]"),
        (lambda x: {x}, {}, TypeError, "set"),
        (lambda x: [3.0], {}, TypeError, "must be a Variable, got float"),
        (lambda x: [{"lr": 1.0}], {}, KeyError, "params"),
        (lambda x: [("x", x), parameter(1.0)], {}, ValueError, "names"),
        (lambda x: [x], {"lr": -0.1}, ValueError, "lr must not be negative, not -0.1"),
        (lambda x: [x], {"lr": math.nan}, ValueError, "lr"),
        (lambda x: [x], {"nesterov": True}, ValueError, "nesterov"),
        (lambda x: [{"params": x, "momentum": "much"}], {}, TypeError, "momentum must be a number, not str"),
    ],
)
def test_bad_arguments_raise(params: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        optim.SGD(params(parameter(1.0)), **options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d.pop("state"), KeyError, "lacks 'state'"),
        (lambda d: d.update(extra=1), KeyError, "'extra'"),
        (lambda d: d["state"].update({7: {}}), KeyError, "parameter 7"),
        (lambda d: d["state"][0].pop("exp_avg"), KeyError, "exp_avg"),
        (lambda d: d["state"][0].pop("step"), KeyError, "step"),
        (lambda d: d["state"][0].update(velocity=np.zeros(2)), KeyError, "velocity"),
        (lambda d: d["state"][0].update(exp_avg=np.zeros(3)), tg.ShapeError, r"\(3,\)"),
        (lambda d: d["param_groups"][0].pop("betas"), KeyError, "betas"),
        (lambda d: d["param_groups"][0].update(lr=-1), ValueError, "lr"),
        (lambda d: d["param_groups"][0].update(params=[0, 1]), ValueError, "2 parameters"),
        (lambda d: d["param_groups"].append({}), ValueError, "2 parameter groups"),
    ],
)
def test_bad_states_change_nothing(change: Any, error: type[Exception], message: str) -> None:
    x = parameter(1.0, 2.0)
    opt = optim.Adam([x], lr=0.5)
    descend(opt, [x], 2)
    before = repr(opt), repr(opt.state_dict())
    saved = opt.state_dict()
    saved["param_groups"][0]["lr"] = 0.1
    change(saved)
    with pytest.raises(error, match=message):
        opt.load_state_dict(saved)
    assert (repr(opt), repr(opt.state_dict())) == before


def test_an_optimizer_in_a_cycle_is_collected() -> None:
    def make() -> Any:
        opt = optim.SGD([parameter(1.0)])
        opt.param_groups[0]["owner"] = opt
        return weakref.ref(opt)

    ref = make()
    gc.collect()
    assert ref() is None


def test_losses_keep_their_options() -> None:
    loss = nn.CrossEntropyLoss(weight=[1.0, 2.0, 0.5], ignore_index=1, label_smoothing=0.1)
    x, t = tg.Variable(np.arange(6.0).reshape(2, 3)), np.array([0, 1])
    want = nn.functional.cross_entropy(x, t, loss.weight, 1, "mean", 0.1)
    assert loss(x, t).item() == loss.forward(x, t).item() == want.item()
    loss.reduction = "none"
    assert loss(x, t).shape == (2,)
    assert repr(nn.SmoothL1Loss(beta=0.5)) == "SmoothL1Loss()"
    assert nn.HuberLoss(delta=2.0).delta == 2.0
    assert nn.BCEWithLogitsLoss(pos_weight=[2.0])(tg.Variable([0.0]), [1.0]).item() == pytest.approx(2 * math.log(2))
    with pytest.raises(ValueError, match="'avg'"):
        nn.MSELoss(reduction="avg")
    with pytest.raises(tg.ShapeError, match=r"\(3,\) and target \(3, 1\)"):
        nn.L1Loss()(tg.ones(3), tg.ones((3, 1)))
    with pytest.raises(ValueError, match="target 3"):
        nn.NLLLoss()(x, np.array([0, 3]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.BCELoss()(x, x)
