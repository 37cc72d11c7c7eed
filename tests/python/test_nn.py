"""Modules: parameters, names, state, modes, hooks, containers, layers."""

import copy
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter([2.0])
        self.act = nn.ReLU()
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("mean", tg.Variable([0.5]))
        self.register_buffer("scratch", tg.Variable([0.0]), persistent=False)

    def forward(self, x):
        return self.second(self.act(self.first(x)) * self.scale) - self.mean


@pytest.fixture
def net():
    tg.random.manual_seed(0)
    return Net()


def names(pairs):
    return [name for name, _ in pairs]


def test_parameters_and_their_names_in_pytorchs_order(net):
    assert names(net.named_parameters()) == ["scale", "first.weight", "first.bias", "second.weight"]
    assert names(net.named_parameters(prefix="m", recurse=False)) == ["m.scale"]
    assert [p.shape for p in net.parameters()] == [(1,), (4, 3), (4,), (2, 4)]
    assert all(isinstance(p, nn.Parameter) and p.is_leaf and p.requires_grad for p in net.parameters())
    assert names(net.named_buffers()) == ["mean", "scratch"]
    assert list(net.buffers()) == [net.mean, net.scratch]
    assert names(net.named_children()) == ["first", "act", "second"]
    assert names(net.named_modules()) == ["", "first", "act", "second"]
    assert list(net.children()) == [net.first, net.act, net.second]
    assert next(iter(net.modules())) is net


def test_forward_and_backward(net):
    x = tg.ones((5, 3))
    y = net(x)
    assert y.shape == (5, 2)
    tg.sum(y).backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_forgetting_super_init_works():
    class Bare(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter([1.0])

    bare = Bare()
    assert names(bare.named_parameters()) == ["weight"]
    assert bare.training
    bare.register_buffer("b", tg.Variable([1.0]))
    assert names(bare.named_buffers()) == ["b"]
    assert names(Bare().named_buffers()) == []


def test_shared_parts_are_listed_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2)
            self.b = nn.Linear(2, 2)
            self.b.weight = self.a.weight
            self.c = self.a

    tied = Tied()
    assert names(tied.named_parameters()) == ["a.weight", "a.bias", "b.bias"]
    assert names(tied.named_parameters(remove_duplicate=False))[-2:] == ["c.weight", "c.bias"]
    assert names(tied.named_modules()) == ["", "a", "b"]
    assert list(tied.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"]
    tied.double()
    assert tied.b.weight is tied.a.weight
    assert tied.a.weight.dtype == tg.float64


def test_a_parameter_cannot_be_overwritten_by_a_value(net):
    with pytest.raises(TypeError, match=r"Net\.scale is a Parameter; a Variable would take it off"):
        net.scale = tg.Variable([2.0])
    with pytest.raises(TypeError, match=r"Net\.first is a Module"):
        net.first = tg.Variable([2.0])
    net.scale = nn.Parameter([3.0])
    net.scale = None
    assert "scale" not in names(net.named_parameters())
    with pytest.raises(TypeError, match=r"Net\.mean is a buffer"):
        net.mean = 3.0
    net.mean = tg.Variable([1.0])
    assert net.state_dict()["mean"].item() == 1.0
    del net.mean
    assert names(net.named_buffers()) == ["scratch"]


def test_registering(net):
    net.register_parameter("extra", nn.Parameter([1.0]))
    net.register_parameter("absent", None)
    assert net.absent is None
    assert "extra" in dict(net.named_parameters())
    net.add_module("third", nn.Tanh())
    assert names(net.named_children())[-1] == "third"
    with pytest.raises(TypeError, match="must be a Parameter or None, not a Variable"):
        net.register_parameter("x", tg.Variable([1.0]))
    with pytest.raises(TypeError, match="must be a Variable or None, not a list"):
        net.register_buffer("x", [1.0])
    with pytest.raises(TypeError, match="must be a Module or None"):
        net.add_module("x", 3)
    for bad in ("", "a.b", 3):
        with pytest.raises(KeyError, match="string without dots"):
            net.add_module(bad, nn.ReLU())
    with pytest.raises(KeyError, match="already has an attribute 'train'"):
        net.register_buffer("train", tg.Variable([1.0]))


def test_lookup_by_name(net):
    assert net.get_submodule("") is net
    assert net.get_submodule("first") is net.first
    assert net.get_parameter("first.weight") is net.first.weight
    with pytest.raises(AttributeError, match="has no module 'nowhere'"):
        net.get_submodule("first.nowhere")
    with pytest.raises(AttributeError, match="has no parameter 'x'"):
        net.get_parameter("first.x")


def test_state_dict_shows_the_module(net):
    state = net.state_dict(prefix="net.")
    assert list(state) == ["net.scale", "net.mean", "net.first.weight", "net.first.bias", "net.second.weight"]
    assert not any(v.requires_grad for v in state.values())
    with tg.no_grad():
        net.scale[...] = 9.0
    assert state["net.scale"].item() == 9.0
    state["net.first.weight"][0] = 5.0
    assert net.first.weight[0].tolist() == [5.0] * net.first.weight.shape[1]
    before = copy.deepcopy(state)
    state["net.scale"].mul_(2.0)
    assert (net.scale.item(), before["net.scale"].item()) == (18.0, 9.0)
    # Each value is a view of the other's array: both are read before any is written.
    a, b = net.first.weight.tolist(), tg.zeros_like(net.first.weight)
    net.load_state_dict({**net.state_dict(), "first.weight": b, "scale": net.state_dict()["scale"]})
    net.load_state_dict({**net.state_dict(), "first.weight": a})
    assert net.first.weight.tolist() == a
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


@pytest.mark.parametrize("convert", [lambda v: v, lambda v: v.numpy(), lambda v: v.tolist()])
def test_load_state_dict_keeps_the_objects(net, convert):
    other = Net()
    objects = list(other.parameters())
    result = other.load_state_dict({k: convert(v) for k, v in net.state_dict().items()})
    assert repr(result) == "<All keys matched successfully>"
    assert all(a is b for a, b in zip(other.parameters(), objects))
    x = tg.ones((2, 3))
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    assert other.first.weight.dtype == tg.float32
    assert other.first.weight.requires_grad


def test_a_state_that_does_not_fit_changes_nothing(net):
    state = net.state_dict()
    before = {k: v.numpy().copy() for k, v in state.items()}
    wrong = {k: v + 1.0 for k, v in state.items()}
    del wrong["first.bias"]
    wrong["surprise"] = tg.Variable([1.0])
    wrong["second.weight"] = tg.zeros((4, 2))
    wrong["mean"] = "no array"
    with pytest.raises(nn.StateDictError) as caught:
        net.load_state_dict(wrong)
    assert caught.value.missing_keys == ["first.bias"]
    assert caught.value.unexpected_keys == ["surprise"]
    text = str(caught.value)
    for words in ("nothing was changed", "missing: first.bias", "unexpected: surprise"):
        assert words in text
    assert "mean: " in text
    assert "second.weight: shape (4, 2) in the state, (2, 4) in the module" in text
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    with pytest.raises(nn.StateDictError, match="shape") as caught:
        net.load_state_dict(wrong, strict=False)
    assert "missing" not in str(caught.value)
    with pytest.raises(TypeError, match="takes a mapping"):
        net.load_state_dict([1, 2])


def test_a_load_that_is_not_strict(net):
    result = net.load_state_dict({"scale": [5.0], "surprise": [1.0]}, strict=False)
    assert net.scale.item() == 5.0
    assert result.unexpected_keys == ["surprise"]
    assert result.missing_keys == ["mean", "first.weight", "first.bias", "second.weight"]
    missing, unexpected = result
    assert (missing, unexpected) == (result.missing_keys, result.unexpected_keys)
    assert "surprise" in repr(result)


def test_train_and_eval(net):
    assert net.training
    assert net.first.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_requires_grad(net):
    net.requires_grad_(False)
    assert not net(tg.ones((1, 3))).requires_grad
    net.requires_grad_()
    assert net(tg.ones((1, 3))).requires_grad


def test_dtypes(net):
    net.register_buffer("count", tg.Variable([1]))
    net.first.weight.requires_grad_(False)
    assert net.double() is net
    assert {str(v.dtype) for v in net.state_dict().values()} == {"float64", "int64"}
    assert not net.first.weight.requires_grad
    assert net.second.weight.requires_grad
    assert isinstance(net.second.weight, nn.Parameter)
    assert net(tg.ones((1, 3), dtype=tg.float64)).dtype == tg.float64
    net.float()
    assert net.scale.dtype == tg.float32
    with pytest.raises(tg.DTypeError, match="float32 or float64, not to int64"):
        net.to(tg.int64)


def test_apply_visits_children_first(net):
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Net"]


def test_forward_hooks(net):
    calls = []
    x = tg.ones((1, 3))
    plain = net(x).detach().numpy()
    before = net.register_forward_pre_hook(lambda m, args: calls.append(("before", m, args)))
    after = net.register_forward_hook(lambda m, args, out: calls.append(("after", m, args, out.shape)))
    net(x)
    assert calls == [("before", net, (x,)), ("after", net, (x,), (1, 2))]
    before.remove()
    after.remove()
    after.remove()
    with net.register_forward_pre_hook(lambda m, args: args[0] * 0.0), net.register_forward_hook(lambda m, a, out: out * 2.0):
        np.testing.assert_allclose(net(x).detach().numpy(), 2 * net.forward(x * 0.0).detach().numpy())
    np.testing.assert_array_equal(net(x).detach().numpy(), plain)
    with pytest.raises(TypeError, match="a hook is a function"):
        net.register_forward_hook(3)


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1)


def test_repr_is_pytorchs(net):
    assert repr(net) == (
        "Net(\n"
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (act): ReLU()\n"
        "  (second): Linear(in_features=4, out_features=2, bias=False)\n"
        ")"
    )
    nested = nn.Sequential(nn.Sequential(nn.Tanh()), nn.LeakyReLU(0.2))
    assert repr(nested) == ("Sequential(\n  (0): Sequential(\n    (0): Tanh()\n  )\n  (1): LeakyReLU(negative_slope=0.2)\n)")
    assert repr(nn.Sequential()) == "Sequential()"


def test_pickle_and_deepcopy(net):
    x = tg.ones((2, 3))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
        assert names(other.named_parameters()) == names(net.named_parameters())
        assert other.first.weight is not net.first.weight
        assert isinstance(other.first.weight, nn.Parameter)
        assert other.first.weight.requires_grad
        with tg.no_grad():
            other.scale[...] = 7.0
        assert net.scale.item() == 2.0


def test_parameter():
    p = nn.Parameter([1.0, 2.0])
    assert p.requires_grad
    assert p.is_leaf
    assert isinstance(p, tg.Variable)
    assert type(p * 2) is tg.Variable
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    source = tg.Variable([1.0], requires_grad=True)
    assert nn.Parameter(source * 2).is_leaf
    with pytest.raises(tg.DTypeError, match="only floating"):
        nn.Parameter([1, 2])
    assert repr(nn.Parameter([1.0])) == "Parameter([1.], requires_grad=True)"


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is a
    assert net[-1] is c
    assert b in net
    head = net[:2]
    assert isinstance(head, nn.Sequential)
    assert list(head) == [a, b]
    assert names(net[1:].named_parameters()) == ["1.weight", "1.bias"]
    x = tg.ones((4, 2))
    np.testing.assert_array_equal(net(x).detach().numpy(), c(b(a(x))).detach().numpy())
    net.append(nn.Tanh())
    net.insert(1, nn.Sigmoid())
    assert [type(m).__name__ for m in net] == ["Linear", "Sigmoid", "ReLU", "Linear", "Tanh"]
    del net[1]
    net[1] = nn.Identity()
    assert net[1](x) is x
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert getattr(net, "0") is a
    with pytest.raises(IndexError, match="index 4 is out of range for Sequential of 4 modules"):
        net[4]
    with pytest.raises(TypeError, match="holds Modules, not a function"):
        net.append(lambda x: x)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = net.nothing


def test_named_sequential():
    net = nn.Sequential({"lin": nn.Linear(2, 2), "act": nn.Tanh()})
    assert net.lin is net[0]
    assert names(net.named_parameters()) == ["lin.weight", "lin.bias"]
    net.more = nn.ReLU()
    net.append(nn.Tanh())
    assert names(net.named_children()) == ["lin", "act", "more", "3"]
    assert len(net) == 4
    del net.more
    assert len(net) == 3
    net.add_module("act", nn.Sigmoid())
    assert isinstance(net[1], nn.Sigmoid)
    net.note = "a plain attribute"
    del net.note
    with pytest.raises(AttributeError):
        _ = net.note
    twin = copy.deepcopy(net)
    assert twin.lin.weight is not net.lin.weight
    numbered = nn.Sequential({"1": nn.Tanh()})
    numbered.append(nn.ReLU())
    assert names(numbered.named_children()) == ["1", "2"]


def test_module_list_and_dict():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
            self.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})

    model = Model()
    assert names(model.named_parameters()) == [
        "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.a.weight", "heads.a.bias",
    ]  # fmt: skip
    model.layers.extend([nn.ReLU()])
    assert len(model.layers) == 3
    with pytest.raises(NotImplementedError):
        model.layers(1)
    heads = model.heads
    heads["b"] = nn.Tanh()
    heads.update([("c", nn.ReLU())])
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert "b" in heads
    assert len(heads) == 3
    assert heads.b is heads["b"]
    assert isinstance(heads.pop("b"), nn.Tanh)
    del heads["c"]
    assert names(heads.items()) == ["a"]
    assert list(heads.values()) == [heads.a]
    with pytest.raises(KeyError):
        heads["x.y"] = nn.ReLU()
    heads.clear()
    assert not len(heads)


def test_a_parameter_takes_attributes_and_data() -> None:
    w = tg.nn.Parameter([1.0])
    w.tag = "first layer"
    assert w.tag == "first layer"
    w.data = tg.Variable([2.0])
    assert w.tolist() == [2.0]
    assert w.is_leaf
    with pytest.raises(tg.ShapeError, match="data"):
        w.data = tg.Variable([2.0, 3.0])
