"""Compiled Modules as parts of models, and objects of others that a recording comes across."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim


class Model(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.encoder = wrap(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
        self.blocks = nn.ModuleList([wrap(nn.Linear(4, 4)), nn.Tanh()])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        h = self.encoder(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)


def trained(wrap):
    tg.manual_seed(0)
    model = Model(wrap)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for x in tg.random.randn(8, 5, 3):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()
    model.eval()
    return model, model(tg.ones((2, 3)))


def test_a_compiled_module_is_a_part_of_the_model_that_holds_it():
    model, out = trained(tg.compile)
    plain, expected = trained(lambda module: module)
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert len(model.blocks[0].programs()) > 0
    assert out.tolist() == expected.tolist()
    state, other = model.state_dict(), plain.state_dict()
    assert list(state) == list(other)
    assert all(state[name].tolist() == other[name].tolist() for name in state)
    assert not model.encoder.training
    assert not model.encoder[2].training
    plain.load_state_dict(state)
    model.load_state_dict(other)
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]


def test_attributes_of_a_compiled_module_are_those_of_the_module():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = 2.0

        def forward(self, x):
            return x * self.factor

    module = Scale()
    compiled = tg.compile(module)
    for _ in range(4):
        assert compiled(tg.ones(2)).tolist() == [2.0, 2.0]
    compiled.factor = 5.0
    assert module.factor == 5.0
    assert compiled(tg.ones(2)).tolist() == [5.0, 5.0]
    compiled.extra = 1
    del compiled.extra
    assert not hasattr(module, "extra")
    assert isinstance(compiled, Scale)
    assert isinstance(compiled, nn.Module)


def test_a_compiled_sequential_has_items():
    compiled = tg.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert len(compiled) == 2
    assert isinstance(compiled[1], nn.ReLU)
    assert compiled[0] in compiled
    assert [type(m) for m in compiled] == [nn.Linear, nn.ReLU]
    for _ in range(4):
        compiled(tg.ones((1, 2)))
    compiled[1] = nn.Tanh()
    assert compiled(tg.ones((1, 2))).tolist() == tg.tanh(compiled[0](tg.ones((1, 2)))).tolist()
    assert bool(compiled)
    assert bool(tg.compile(nn.Linear(2, 2)))
    with pytest.raises(TypeError):
        len(tg.compile(nn.Linear(2, 2)))


def test_compiled_modules_are_copied_pickled_and_transformed():
    compiled = tg.compile(nn.Linear(3, 1))
    x = tg.ones((2, 3))
    for other in (copy.copy(compiled), copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert type(other) is type(compiled)
        for _ in range(4):
            assert other(x).tolist() == compiled(x).tolist()
    found = tg.grad(lambda net: net(x).sum())(compiled)
    assert found["weight"].tolist() == [[2.0, 2.0, 2.0]]
    assert found["bias"].tolist() == [2.0]
    called = tg.func.functional_call(compiled, {"weight": tg.ones((1, 3)), "bias": tg.zeros(1)}, (x,))
    assert called.tolist() == [[3.0], [3.0]]
    compiled.to(tg.float64)
    assert compiled(tg.ones((2, 3), dtype=tg.float64)).dtype == tg.float64


def test_recording_asks_objects_of_others_for_nothing():
    asked = []

    class Lazy:
        @property
        def __class__(self):
            asked.append(True)
            warnings.warn("this is deprecated", FutureWarning, stacklevel=1)
            return Lazy

    objects = [Lazy() for _ in range(3)]
    step = tg.compile(lambda x: x * 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            step(tg.ones(2))
        tg.scan(lambda c, x: (c + x, c), tg.zeros(()), tg.ones(20))
    assert len(step.programs()) == 1
    assert len(objects) == 3
    assert not asked
    assert np.allclose(step(tg.ones(2)).numpy(), 2.0)


def test_a_compiled_module_takes_parametrizations():
    compiled = tg.compile(nn.Linear(3, 2))
    for _ in range(4):
        compiled(tg.ones((1, 3)))
    nn.utils.parametrizations.weight_norm(compiled)
    names = [name for name, _ in compiled.named_parameters()]
    assert "bias" in names
    assert "weight" not in names
    expected = tg.ones((1, 3)) @ compiled.weight.T + compiled.bias
    assert np.allclose(compiled(tg.ones((1, 3))).detach().numpy(), expected.detach().numpy())
