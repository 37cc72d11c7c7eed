"""Optimizers as objects: subclasses in Python, copies, pickles, hooks, and the methods that are not fused; averages of models."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim

OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.Adam, {"lr": 0.1, "amsgrad": True, "foreach": True, "fused": False}),
    (optim.AdamW, {"lr": 0.1, "capturable": False}),
    (optim.RMSprop, {"lr": 0.1, "centered": True}),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    (optim.Adadelta, {"weight_decay": 0.01}),
    (optim.Adamax, {"lr": 0.1}),
    (optim.NAdam, {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    (optim.RAdam, {"lr": 0.1}),
    (optim.ASGD, {"lr": 0.1, "t0": 5.0}),
    (optim.Rprop, {"lr": 0.1}),
    (optim.Lion, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.LARS, {"lr": 1.0, "trust_coefficient": 0.1, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adafactor, {"lr": 0.1}),
    (optim.SparseAdam, {"lr": 0.1}),
    (optim.Muon, {"lr": 0.1}),
    (optim.LBFGS, {"lr": 0.1, "max_iter": 2}),
]
IDS = [cls.__name__ for cls, _ in OPTIMIZERS]


def parameters() -> list[tg.Variable]:
    start = [np.array([[3.0, -2.0], [0.5, 1.0]]), np.array([[0.25, -1.5, 2.0]])]
    return [tg.Variable(s.copy(), requires_grad=True) for s in start]


def loss_of(params: list[tg.Variable]) -> tg.Variable:
    return sum(((p - 1.0) ** 2 + tg.cos(p)).sum() for p in params)


def descend(opt: Any, params: list[tg.Variable], steps: int) -> None:
    def closure() -> tg.Variable:
        opt.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    for _ in range(steps):
        opt.step(closure)


@pytest.mark.parametrize(("cls", "options"), OPTIMIZERS, ids=IDS)
def test_it_descends_and_is_an_optimizer(cls: Any, options: dict[str, Any]) -> None:
    params = parameters()
    opt = cls(params, **options)
    first = loss_of(params).item()
    descend(opt, params, 10)
    assert loss_of(params).item() < first
    assert isinstance(opt, optim.Optimizer)
    assert issubclass(cls, optim.Optimizer)
    assert repr(opt).startswith(f"{cls.__name__} (\nParameter Group 0\n")


@pytest.mark.parametrize(("cls", "options"), OPTIMIZERS, ids=IDS)
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "state_dict"])
def test_a_copy_goes_on_bit_for_bit(cls: Any, options: dict[str, Any], way: str) -> None:
    params = parameters()
    opt = cls(params, **options)
    descend(opt, params, 5)
    if way == "state_dict":
        saved = pickle.loads(pickle.dumps(opt.state_dict()))
        others = [tg.Variable(p.detach().numpy(copy=True), requires_grad=True) for p in params]
        other = cls(others, **{**options, "lr": 77.0})
        other.load_state_dict(saved)
    else:
        pair = (params, opt)
        others, other = copy.deepcopy(pair) if way == "deepcopy" else pickle.loads(pickle.dumps(pair))
        assert other.param_groups[0]["params"][0] is others[0]
    assert type(other) is cls
    descend(opt, params, 5)
    descend(other, others, 5)
    for a, b in zip(params, others):
        assert a is not b
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


class Lion(optim.Optimizer):
    """As one writes it for PyTorch."""

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @tg.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with tg.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[p]
                if not state:
                    state["exp_avg"] = tg.zeros_like(p)
                b1, b2 = group["betas"]
                p.add_(tg.sign(state["exp_avg"] * b1 + p.grad * (1 - b1)), alpha=-group["lr"])
                state["exp_avg"].mul_(b2).add_(p.grad, alpha=1 - b2)
        return loss


def test_a_lion_in_python_is_the_fused_one() -> None:
    mine, theirs = parameters(), parameters()
    a = Lion([{"params": mine[:1], "lr": 0.05}, {"params": mine[1:]}], lr=0.1, weight_decay=0.1)
    b = optim.Lion([{"params": theirs[:1], "lr": 0.05}, {"params": theirs[1:]}], lr=0.1, weight_decay=0.1)
    scheduler = optim.lr_scheduler.StepLR(a, 2, 0.5), optim.lr_scheduler.StepLR(b, 2, 0.5)
    for i in range(8):
        descend(a, mine, 1)
        descend(b, theirs, 1)
        for s in scheduler:
            s.step()
        if i == 4:
            mine, a = pickle.loads(pickle.dumps(copy.deepcopy((mine, a))))
            scheduler[0].optimizer = a
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)
    assert set(a.state_dict()) == {"state", "param_groups"}
    assert a.state_dict()["param_groups"][1]["params"] == [1]
    a.zero_grad(set_to_none=False)
    assert not mine[0].grad.numpy().any()
    a.add_param_group({"params": tg.Variable([1.0], requires_grad=True), "lr": 3.0})
    assert a.param_groups[-1]["weight_decay"] == 0.1


def test_subclasses_of_fused_ones() -> None:
    class Shared(optim.Adam):
        def __init__(self, params: Any, factor: float) -> None:
            super().__init__(params, lr=0.1 * factor)
            self.factor = factor
            self.steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            return super().step(closure)

    params = parameters()
    opt = Shared(params, 2.0)
    descend(opt, params, 3)
    others, other = copy.deepcopy((params, opt))
    descend(other, others, 1)
    assert (opt.steps, other.steps, other.factor) == (3, 4, 2.0)


def test_state_hooks() -> None:
    for opt in (optim.Adam(parameters(), lr=0.1), Lion(parameters(), lr=0.1)):
        seen: list[str] = []
        opt.register_state_dict_pre_hook(lambda o, seen=seen: seen.append("save"))
        handle = opt.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
        opt.register_load_state_dict_pre_hook(lambda o, state: {k: v for k, v in state.items() if k != "note"})
        opt.register_load_state_dict_post_hook(lambda o, seen=seen: seen.append("loaded"))
        saved = opt.state_dict()
        assert saved["note"] == 1
        opt.load_state_dict(saved)
        handle.remove()
        assert "note" not in opt.state_dict()
        assert seen == ["save", "loaded", "save"]


def test_step_hooks() -> None:
    params, seen = parameters(), []
    for opt in (optim.SGD(params, lr=0.1), Lion(params, lr=0.1)):
        before = opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
        opt.register_step_post_hook(lambda o, args, kwargs: seen.append("after"))
        loss_of(params).backward()
        opt.step()
        before.remove()
        opt.step()
    assert seen == ["before", "after", "after"] * 2


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda x: [], ValueError, "no parameters"),
        (lambda x: [x, x], ValueError, "given twice"),
        (lambda x: [x * 2], ValueError, "result of an operation"),
        (lambda x: [x.detach()], ValueError, "requires_grad=True"),
        (lambda x: x, TypeError, r"pass \[Variable\]"),
        (lambda x: {x}, TypeError, "set"),
        (lambda x: [3.0], TypeError, "must be a Variable, got float"),
        (lambda x: [{"lr": 1.0}], KeyError, "params"),
        (lambda x: [("x", x), tg.Variable([1.0], requires_grad=True)], ValueError, "names"),
    ],
)
def test_bad_parameters_of_a_subclass(params: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Lion(params(tg.Variable([1.0], requires_grad=True)))


def test_bad_states_of_a_subclass() -> None:
    params = parameters()
    opt = Lion([("a", params[0]), ("b", params[1])], lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["a", "b"]
    descend(opt, params, 1)
    for change, error, message in [
        (lambda d: d.pop("state"), ValueError, "'state'"),
        (lambda d: d["state"].update({7: {}}), KeyError, "parameter 7"),
        (lambda d: d["param_groups"][0].update(params=[0]), ValueError, "1 parameters"),
        (lambda d: d["param_groups"].append({}), ValueError, "2 parameter groups"),
    ]:
        saved = opt.state_dict()
        change(saved)
        with pytest.raises(error, match=message):
            opt.load_state_dict(saved)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.Adagrad(p, lr_decay=-1.0), "Adagrad: lr_decay must not be negative"),
        (lambda p: optim.Adadelta(p, rho=1.5), r"rho must lie in \[0, 1\]"),
        (lambda p: optim.Adamax(p, betas=(1.0, 0.9)), r"Adamax: betas\[0\]"),
        (lambda p: optim.NAdam(p, momentum_decay=-1.0), "momentum_decay"),
        (lambda p: optim.Rprop(p, etas=(1.2, 0.5)), "etas must be below and above 1"),
        (lambda p: optim.Lion(p, lr=-1.0), "Lion: lr"),
        (lambda p: optim.Muon(p, adjust_lr_fn="x"), "adjust_lr_fn is 'x'"),
        (lambda p: optim.Muon([tg.Variable([1.0], requires_grad=True)]), "must be matrices"),
        (lambda p: optim.LARS(p, momentum=0.0, nesterov=True), "nesterov needs a momentum"),
        (lambda p: optim.Adafactor(p, d=0.5), "d must be at least 1"),
        (lambda p: optim.SparseAdam(p, betas=(0.9, 1.0)), r"betas\[1\] must lie"),
        (lambda p: optim.LBFGS(p, line_search_fn="armijo"), "line_search_fn is 'armijo'"),
        (lambda p: optim.LBFGS([{"params": p[:1]}, {"params": p[1:]}]), "one parameter group"),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(parameters())


def test_what_cannot_be_done_says_so() -> None:
    with pytest.raises(NotImplementedError, match="differentiable=True"):
        optim.SGD(parameters(), differentiable=True)
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS(parameters()).step()
    with pytest.raises(NotImplementedError, match="defines no step"):
        optim.Optimizer(parameters(), {"lr": 1.0}).step()


def test_states_of_pytorch_load() -> None:
    """Options that PyTorch saves besides, and entries that follow from the count of steps, are no obstacle."""
    params = parameters()
    opt = optim.NAdam(params, lr=0.1)
    descend(opt, params, 2)
    saved = opt.state_dict()
    for group in saved["param_groups"]:
        group.update(foreach=None, capturable=False, differentiable=False)
    for state in saved["state"].values():
        state["mu_product"] = np.array(0.5)
    opt.load_state_dict(saved)
    descend(opt, params, 1)


def test_muon_makes_updates_orthogonal() -> None:
    from tapegrad.optim.matrices import orthogonalized

    x = tg.asarray(np.sin(np.arange(12.0)).reshape(3, 4))
    values = np.linalg.svd(orthogonalized(x, (3.4445, -4.7750, 2.0315), 5, 1e-7).numpy(), compute_uv=False)
    assert values[0] < 1.3
    assert values[1] > 0.6


def test_adafactor_keeps_rows_and_columns() -> None:
    p = tg.Variable(np.ones((3, 5)), requires_grad=True)
    opt = optim.Adafactor([p], lr=0.1)
    p.grad = tg.asarray(np.arange(15.0).reshape(3, 5))
    opt.step()
    assert opt.state[p]["row_var"].shape == (3, 1)
    assert opt.state[p]["col_var"].shape == (1, 5)
    np.testing.assert_allclose(opt.state[p]["row_var"].numpy()[:, 0], (np.arange(15.0).reshape(3, 5) ** 2).mean(axis=1))


def test_averages_of_models() -> None:
    from tapegrad.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

    model = nn.Sequential(nn.Linear(2, 2, dtype=tg.float64), nn.BatchNorm1d(2, dtype=tg.float64))
    mean, ema = AveragedModel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    fn = AveragedModel(model, avg_fn=lambda old, new, n: old * 0.0 + new)
    same = AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn(), use_buffers=True)
    seen = []
    for i in range(4):
        nn.init.constant_(model[0].weight, float(i))
        seen.append(float(i))
        for average in (mean, ema, fn, same):
            average.update_parameters(model)
    want = 0.0
    for v in seen[1:]:
        want = 0.75 * want + 0.25 * v
    assert mean.module[0].weight.detach().numpy()[0, 0] == pytest.approx(1.5)
    assert same.module[0].weight.detach().numpy()[0, 0] == pytest.approx(1.5)
    assert ema.module[0].weight.detach().numpy()[0, 0] == pytest.approx(want)
    assert fn.module[0].weight.detach().numpy()[0, 0] == 3.0
    assert mean.n_averaged.item() == 4
    again = AveragedModel(model)
    again.load_state_dict(mean.state_dict())
    assert again.n_averaged.item() == 4
    data = [tg.asarray(np.arange(6.0).reshape(3, 2)), (tg.asarray(np.ones((3, 2))), None)]
    update_bn(data, mean)
    assert mean.module[1].momentum == 0.1
    assert mean.module[1].num_batches_tracked.item() == 2
    with pytest.raises(ValueError, match="not both"):
        AveragedModel(model, avg_fn=lambda *a: a[0], multi_avg_fn=get_swa_multi_avg_fn())


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: Lion(p, lr=0.1), lambda p: optim.Muon(p, lr=0.1)]
)
def test_frozen_parameters_are_passed_over_until_they_thaw(make: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[0].requires_grad_(False)
    net[1].weight = nn.Parameter(net[1].weight.detach().clone(), requires_grad=False)
    extra = nn.Parameter(tg.ones((2, 2)))
    opt = make([*net.parameters(), extra])
    before = net[0].weight.numpy(copy=True)
    (net(tg.ones((1, 2))) * extra).sum().backward()
    opt.step()
    np.testing.assert_array_equal(net[0].weight.numpy(), before)
    assert extra.tolist() != [[1.0, 1.0]] * 2
    net.requires_grad_(True)
    opt.zero_grad()
    net(tg.ones((1, 2))).sum().backward()
    opt.step()
    assert (net[0].weight.detach().numpy() != before).any()
    copy.deepcopy((net, opt))


def test_complex_parameters_are_scaled_frozen_and_averaged():
    model = nn.Module()
    model.w = nn.Parameter(tg.tensor([2j]))
    optim.SGD([nn.Parameter(tg.tensor([1j]), requires_grad=False)], lr=0.1)
    averaged = optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    sgd, scaler = optim.SGD(model.parameters(), lr=1.0), tg.amp.GradScaler()
    scaler.scale((model.w * model.w.conj()).real.sum() / 4).backward()
    scaler.step(sgd)
    averaged.update_parameters(model)
    assert model.w.tolist() == [1j]
    assert averaged.module.w.tolist() == [1.5j]
