"""Modules beyond parameters: hooks around backward and state, containers, lazy modules, calls with other parameters."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x: tg.Variable, scale: float = 1.0) -> tg.Variable:
        return self.last(tg.tanh(self.norm(self.first(x)))) * scale


@pytest.fixture
def net() -> Net:
    tg.random.manual_seed(0)
    return Net()


X = np.sin(np.arange(15.0)).reshape(5, 3).astype(np.float32)


def test_parameters_may_become_results_of_operations() -> None:
    """One inner step of MAML: the outer gradient goes through it, and the module still lists the parameter."""
    layer = nn.Linear(3, 1).double()
    x = tg.Variable(X, dtype=tg.float64)
    outer = [(n, p) for n, p in layer.named_parameters()]
    inner = (layer(x) ** 2).mean()
    grads = tg.autograd.grad(inner, [p for _, p in outer], create_graph=True)
    for (name, p), g in zip(outer, grads):
        setattr(layer, name, p - 0.1 * g)
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]
    assert not layer.weight.is_leaf
    (layer(x) ** 2).mean().backward()
    first = outer[0][1].grad.numpy(copy=True)

    def after(w: np.ndarray[Any, Any]) -> float:
        b = outer[1][1].detach().numpy()
        y = X.astype(float) @ w.T + b
        gw, gb = 2 * y.T @ X / len(X), 2 * y.mean(0)
        return float(((X @ (w - 0.1 * gw).T + b - 0.1 * gb) ** 2).mean())

    w = outer[0][1].detach().numpy(copy=True)
    for i in range(3):
        step = np.zeros_like(w)
        step[0, i] = 1e-6
        np.testing.assert_allclose(first[0, i], (after(w + step) - after(w - step)) / 2e-6, rtol=1e-6, atol=1e-9)
    layer.weight = outer[0][1]
    assert layer.weight.is_leaf
    layer._parameters["weight"] = outer[0][1] * 2.0
    assert "weight" in dict(layer.named_parameters())


def test_private_mappings_are_live(net: Net) -> None:
    assert list(net._modules) == ["first", "norm", "last"]
    assert list(net.norm._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    assert list(net.first._parameters) == ["weight", "bias"]
    assert net.last._parameters["bias"] is None
    net._modules["first"] = nn.Identity()
    assert isinstance(net.first, nn.Identity)
    del net._modules["first"]
    assert not hasattr(net, "first")
    net.norm._buffers["running_mean"] = tg.ones(4)
    assert net.norm.running_mean.sum().item() == 4.0
    with pytest.raises(KeyError):
        net._modules["nothing"]
    seq = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert [m.__class__.__name__ for m in seq._modules.values()] == ["Linear", "ReLU"]


def test_buffers_and_none_slots() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept = nn.Buffer(tg.ones(2))
            self.scratch = nn.Buffer(tg.ones(2), persistent=False)
            self.register_buffer("absent", None)
            self.register_parameter("bias", None)
            self.register_module("child", None)

    part = Part()
    assert list(part.state_dict()) == ["kept"]
    assert [n for n, _ in part.named_buffers()] == ["kept", "scratch"]
    part.absent = tg.zeros(1)
    part.bias = nn.Parameter(tg.zeros(1))
    part.child = nn.Linear(1, 1)
    assert set(part.state_dict()) == {"kept", "absent", "bias", "child.weight", "child.bias"}
    assert part.get_buffer("kept") is part.kept
    with pytest.raises(AttributeError, match="no buffer 'x'"):
        part.get_buffer("x")
    part.kept = tg.zeros(2)
    assert part.state_dict()["kept"].sum().item() == 0.0


def test_set_submodule_and_names(net: Net) -> None:
    net.set_submodule("first", nn.Linear(3, 4, bias=False))
    assert net.first.bias is None
    with pytest.raises(AttributeError, match="no module 'second'"):
        net.set_submodule("second", nn.ReLU(), strict=True)
    with pytest.raises(TypeError, match="takes a Module"):
        net.set_submodule("first", 3)
    memo: set[Any] = set()
    assert [n for n, _ in net.named_modules(memo)] == ["", "first", "norm", "last"]
    assert list(net.named_modules(memo)) == []
    assert [n for n, _ in net.named_modules(prefix="m")][:2] == ["m", "m.first"]


def test_conversion_keeps_gradients_and_sharing(net: Net) -> None:
    net.last.tied = net.first.weight
    net(tg.Variable(X)).sum().backward()
    grad = net.first.weight.grad.numpy(copy=True)
    assert net.to("cpu") is net
    net.to(tg.float64)
    assert net.last.tied is net.first.weight
    assert net.norm.running_mean.dtype == tg.float64
    assert net.norm.num_batches_tracked.dtype == tg.int64
    np.testing.assert_array_equal(net.first.weight.grad.numpy(), grad.astype(np.float64))
    assert net.to(tg.zeros(1)).first.weight.dtype == tg.float32
    assert net.to("cpu", tg.float64).first.weight.dtype == tg.float64
    assert net.to(device="cpu", dtype=tg.float32).cpu().first.weight.dtype == tg.float32
    for call in (lambda: net.to("cuda"), lambda: net.cuda(), lambda: nn.Linear(1, 1, device="cuda:0")):
        with pytest.raises(ValueError, match="there is one device, 'cpu'"):
            call()
    with pytest.raises(TypeError, match="no argument 'devise'"):
        net.to(devise="cpu")


def test_forward_hooks_with_keywords(net: Net) -> None:
    seen: list[Any] = []
    net.register_forward_pre_hook(lambda m, args, kw: (args, {**kw, "scale": 2.0}), with_kwargs=True)
    net.register_forward_hook(lambda m, args, kw, out: seen.append(kw), with_kwargs=True)
    net.register_forward_hook(lambda m, args, out: seen.append("first"), prepend=True)
    x = tg.Variable(X)
    np.testing.assert_allclose(net(x).detach().numpy(), net.eval().train().forward(x, 2.0).detach().numpy(), rtol=1e-6)
    assert seen == ["first", {"scale": 2.0}]
    always: list[Any] = []
    net.register_forward_hook(lambda m, args, out: always.append(out), always_call=True)
    with pytest.raises(tg.ShapeError):
        net(tg.ones((5, 7)))
    assert always == [None]
    copied = copy.deepcopy(net.first)
    handle = copied.register_forward_hook(lambda m, a, out: out * 0.0)
    assert not copied(x).detach().numpy().any()
    handle.remove()
    assert copied(x).detach().numpy().any()


def test_backward_hooks() -> None:
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    x = tg.Variable(X, requires_grad=True)
    layer(x).sum().backward()
    (gi, go), plain = seen.pop(), x.grad.numpy(copy=True)
    np.testing.assert_array_equal(go[0].numpy(), np.ones((5, 2), dtype=np.float32))
    np.testing.assert_array_equal(gi[0].numpy(), plain)
    handle = layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 2.0,))
    other = layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10.0,))
    x.grad = None
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 20 * plain, rtol=1e-6)
    handle.remove()
    other.remove()
    layer(tg.Variable(X)).sum().backward()
    assert seen[-1][0] == (None,)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(RuntimeError, match="returned 2 gradients where there are 1"):
        layer(x).sum().backward()


def test_state_hooks_and_extra_state() -> None:
    class Counting(nn.Linear):
        calls = 0

        def get_extra_state(self) -> Any:
            return {"calls": self.calls}

        def set_extra_state(self, state: Any) -> None:
            self.calls = state["calls"]

    part = Counting(2, 2)
    part.calls = 3
    part.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update({prefix + "note": tg.ones(1)}))
    part.register_state_dict_pre_hook(lambda m, prefix, keep: setattr(m, "asked", True))
    whole = nn.Sequential(part)
    state = whole.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state", "0.note"]
    assert part.asked
    other = Counting(2, 2)
    other.register_load_state_dict_pre_hook(lambda m, state, prefix, *rest: state.pop(prefix + "note", None))
    done: list[Any] = []
    other.register_load_state_dict_post_hook(lambda m, keys: done.append(keys))
    nn.Sequential(other).load_state_dict(state)
    assert other.calls == 3
    assert repr(done[0]) == "<All keys matched successfully>"
    assert "0.note" in state
    with pytest.raises(nn.StateDictError, match="_extra_state"):
        other.load_state_dict({"weight": tg.zeros((2, 2)), "bias": tg.zeros(2)})


def test_loading_by_assignment(net: Net) -> None:
    state = {k: v.detach().clone() for k, v in Net().double().state_dict().items()}
    net.load_state_dict(state, assign=True)
    assert net.first.weight.dtype == tg.float64
    assert isinstance(net.first.weight, nn.Parameter)
    assert net.first.weight.requires_grad
    assert net.norm.running_mean.dtype == tg.float64


def test_sequences_of_modules() -> None:
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)
    net = nn.Sequential(a, b) + nn.Sequential(c)
    assert list(net) == [a, b, c]
    net += [nn.Sigmoid()]
    assert len(net) == 4
    assert isinstance(net.pop(-1), nn.Sigmoid)
    assert net.pop(0) is a
    assert list(net.extend([a])) == [b, c, a]
    assert len(nn.Sequential(a) * 3) == 3
    named = nn.Sequential({"x": nn.ReLU(), "y": nn.Tanh()})
    del named[0]
    assert list(named._modules) == ["y"]
    layers = nn.ModuleList([c, c, a])
    assert repr(layers).splitlines()[1] == "  (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)"
    assert list(layers.parameters()) == [c.weight, c.bias]
    assert len(layers + nn.ModuleList([b])) == 4
    with pytest.raises(TypeError, match="takes an iterable of Modules"):
        layers.extend(3)
    with pytest.raises(IndexError):
        layers.pop(7)
    heads = nn.ModuleDict({"a": a})
    assert heads.get("b") is None
    heads.update({"b": b})
    assert heads.pop("a") is a


def test_containers_of_parameters() -> None:
    weights = nn.ParameterList([nn.Parameter(tg.ones(2)), tg.zeros(3)])
    weights.append(tg.ones(1))
    weights += [tg.ones(4)]
    weights.insert(1, nn.Parameter(tg.full((5,), 2.0)))
    assert [p.size for p in weights] == [2, 5, 3, 1, 4]
    assert [n for n, _ in weights.named_parameters()] == ["0", "1", "2", "3", "4"]
    assert weights.pop().size == 4
    assert weights[-1].size == 1
    assert len(weights[1:]) == 3
    del weights[0]
    weights[0] = tg.ones(7)
    assert list(weights.state_dict()) == ["0", "1", "2"]
    assert "Parameter containing: [float32 of size 7]" in repr(weights)
    assert len(pickle.loads(pickle.dumps(weights))) == len(copy.deepcopy(weights)) == 3
    with pytest.raises(IndexError):
        weights[9]
    table = nn.ParameterDict({"a": tg.ones(2)})
    table["b"] = tg.zeros(3)
    assert list(table.keys()) == ["a", "b"]
    assert isinstance(table["b"], nn.Parameter)
    assert table.setdefault("c", tg.ones(1)) is table["c"]
    assert table.popitem()[0] == "c"
    assert table.get("z") is None
    assert [n for n, _ in (table | {"d": tg.ones(1)}).named_parameters()] == ["a", "b", "d"]
    del table["a"]
    assert list(table.state_dict()) == ["b"]
    with pytest.raises(KeyError):
        table["a"]
    table.clear()
    assert not len(table)


def test_lazy_modules() -> None:
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2, bias=False))
    assert net[0].has_uninitialized_params()
    assert repr(net[0].weight) == "UninitializedParameter()"
    copied = pickle.loads(pickle.dumps(net))
    assert net(tg.Variable(X)).shape == (5, 2)
    assert type(net[0]) is nn.Linear
    assert net[0].weight.shape == (4, 3)
    assert net[0].weight.detach().numpy().any()
    copied.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(copied(tg.Variable(X)).detach().numpy(), net(tg.Variable(X)).detach().numpy())
    assert repr(copied[0]) == "Linear(in_features=3, out_features=4, bias=True)"

    norms = nn.Sequential(nn.LazyBatchNorm1d(), nn.LazyInstanceNorm1d(affine=True))
    twin = copy.deepcopy(norms)
    norms(tg.asarray(np.cos(np.arange(24.0, dtype=np.float32)).reshape(2, 3, 4)))
    assert repr(norms[1]).startswith("InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=True")
    assert norms[0].running_mean.detach().numpy().any()
    twin.load_state_dict(norms.state_dict())
    twin.eval()(tg.ones((2, 3, 4)))
    assert twin[0].num_features == twin[1].num_features == 3

    class LazyScale(nn.LazyModuleMixin):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.UninitializedParameter()

        def initialize_parameters(self, x: tg.Variable) -> None:
            self.materialize("factor", x.shape[-1:])

        def forward(self, x: tg.Variable) -> tg.Variable:
            return x * self.factor

    scale = LazyScale()
    assert scale(tg.ones((2, 3))).shape == (2, 3)
    assert not scale.has_uninitialized_params()


def test_functional_call(net: Net) -> None:
    x = tg.Variable(X)
    given = {k: (v.detach() * 2.0).requires_grad_() for k, v in net.named_parameters()}
    before = net.last.weight
    out = nn.functional_call(net, given, (x,), {"scale": 3.0})
    out.sum().backward()
    assert net.last.weight is before
    assert all(p.grad is None for p in net.parameters())
    assert all(v.grad is not None for v in given.values())
    buffers = {"norm.running_mean": tg.ones(4)}
    nn.utils.stateless.functional_call(net.eval(), [given, buffers], x)
    with pytest.raises(KeyError, match="no parameter or buffer 'nothing'"):
        nn.functional_call(net, {"nothing": x}, x)
    with pytest.raises(KeyError, match="is missing"):
        nn.functional_call(net, given, x, strict=True)
    with pytest.raises(ValueError, match="given in two dictionaries"):
        nn.functional_call(net, [given, given], x)
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    eye = tg.eye(2) * 3.0
    np.testing.assert_allclose(nn.functional_call(tied, {"0.weight": eye}, tg.ones((1, 2))).numpy(), [[9.0, 9.0]])
    with pytest.raises(tg.ShapeError):
        nn.functional_call(net, {"last.weight": tg.ones((1, 1))}, x)
    assert net.last.weight is before


def test_stacked_models() -> None:
    models = [nn.BatchNorm1d(3) for _ in range(4)]
    parameters, buffers = tg.func.stack_module_state(models)
    assert parameters["weight"].shape == buffers["running_mean"].shape == (4, 3)
    assert parameters["weight"].is_leaf
    assert parameters["weight"].requires_grad
    one = {name: value[0] for name, value in {**parameters, **buffers}.items()}
    assert tg.func.functional_call(models[0], one, tg.ones((2, 3))).requires_grad
    for bad in ([], [nn.ReLU(), nn.Tanh()]):
        with pytest.raises(ValueError, match="models"):
            tg.func.stack_module_state(bad)


def test_summary(net: Net) -> None:
    net.train()
    found = net.summary(tg.Variable(X))
    assert [(r.kind, r.output_shape, r.parameters, r.multiply_adds) for r in found.rows] == [
        ("Net", (5, 2), 0, 0),
        ("Linear", (5, 4), 16, 60),
        ("BatchNorm1d", (5, 4), 8, 0),
        ("Linear", (5, 2), 8, 40),
    ]
    assert (found.total_params, found.trainable_params, found.total_mult_adds) == (32, 32, 100)
    assert net.training
    assert net.norm.num_batches_tracked.item() == 0
    lstm = nn.summary(nn.LSTM(3, 4), input_size=(5, 2, 3))
    assert lstm.total_mult_adds == 10 * 4 * 4 * (3 + 4)
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    x = tg.ones((2, 3, 4))
    assert nn.summary(attention, x, x, x).total_mult_adds == 6 * 3 * 16 + 2 * 6 * 3 * 4 + 6 * 16
    assert "Multiply-adds: 0" in repr(nn.summary(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="inputs or input_size"):
        nn.summary(net, x, input_size=(1, 3))


def test_copies_of_parts_are_their_own() -> None:
    for part in (
        nn.LSTM(3, 4),
        nn.TransformerEncoderLayer(4, 2, 8),
        nn.BatchNorm1d(3),
        nn.Embedding(4, 2),
        nn.CrossEntropyLoss([1.0, 2.0]),
    ):
        for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
            assert repr(other) == repr(part)
            assert list(other.state_dict()) == list(part.state_dict())
            for a, b in zip(other.state_dict().values(), part.state_dict().values()):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
                assert a is not b


def test_mode_must_be_a_bool(net: Net) -> None:
    with pytest.raises(ValueError, match="mode must be True or False"):
        net.train("yes")


def test_a_subclass_may_override_train(net: Net) -> None:
    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> Any:
            return super().train(False)

    net.norm = Frozen(4)
    net.train()
    assert net.training
    assert not net.norm.training


def test_generators_are_copied_and_pickled() -> None:
    generator = tg.random.Generator(3)
    generator.rand(5)
    others = [copy.deepcopy(generator), copy.copy(generator), pickle.loads(pickle.dumps(generator))]
    want = generator.randn(4).tolist()
    assert all(other.randn(4).tolist() == want for other in others)
