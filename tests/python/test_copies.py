"""copy, deepcopy and pickle of Variables, of their gradients, and of attributes of subclasses."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F64 = tg.float64


class Tagged(tg.Variable):
    """Keeps attributes in its dict."""

    tag: Any


class Slotted(tg.Variable):
    """Keeps attributes in slots, and takes other arguments than Variable."""

    __slots__ = ("extra", "name")
    name: str
    extra: Any

    def __new__(cls, name: str) -> Slotted:
        return super().__new__(cls, [1.0, 2.0], requires_grad=True)

    def __init__(self, name: str) -> None:
        self.name = name


class Stateful(tg.Variable):
    """Chooses by ``__getstate__`` which attributes are kept."""

    def __getstate__(self) -> Any:
        return {"kept": self.kept}

    def __setstate__(self, state: Any) -> None:
        self.kept = state["kept"] + 1


def pickled(protocol: int) -> Any:
    return lambda x: pickle.loads(pickle.dumps(x, protocol))


WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, **{f"pickle {p}": pickled(p) for p in (2, 4, 5)}}


@pytest.mark.parametrize("way", WAYS)
def test_attributes_of_subclasses(way: str) -> None:
    x = Tagged([1.0, 2.0])
    x.tag = {"list": [1, 2]}
    twin = WAYS[way](x)
    assert type(twin) is Tagged
    assert twin.tag == x.tag
    assert twin.tolist() == [1.0, 2.0]
    assert (twin.tag is x.tag) == (way == "copy")

    y = Slotted("mine")
    twin = WAYS[way](y)
    assert type(twin) is Slotted
    assert (twin.name, hasattr(twin, "extra"), twin.requires_grad) == ("mine", False, True)

    z = Stateful([1.0])
    z.kept, z.other = 3, 4
    twin = WAYS[way](z)
    assert twin.kept == 4
    assert not hasattr(twin, "other")


@pytest.mark.parametrize("way", WAYS)
def test_parameters_keep_tags(way: str) -> None:
    p = tg.nn.Parameter([1.0, 2.0])
    p.tag = 1
    twin = WAYS[way](p)
    assert type(twin) is tg.nn.Parameter
    assert (twin.tag, twin.requires_grad, twin.tolist()) == (1, True, [1.0, 2.0])
    net = tg.nn.Linear(2, 1)
    net.weight.decay = 0.5
    assert WAYS["deepcopy"](net).weight.decay == 0.5


@pytest.mark.parametrize("way", ["deepcopy", "pickle 4"])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_copied(way: str, frozen: bool) -> None:
    x = tg.Variable([1.0, 2.0], dtype=F64, requires_grad=True)
    assert WAYS[way](x).grad is None
    (x * x).sum().backward()
    x.requires_grad_(not frozen)
    twin = WAYS[way](x)
    assert twin.grad.tolist() == [2.0, 4.0]
    assert twin.requires_grad is not frozen
    assert twin.dtype == twin.grad.dtype == F64
    if not frozen:
        (x * x).sum().backward()
        assert twin.grad.tolist() == [2.0, 4.0]
        (twin * twin * twin).sum().backward()
        assert twin.grad.tolist() == [5.0, 16.0]
    assert x.grad.tolist() == ([2.0, 4.0] if frozen else [4.0, 8.0])


def test_a_module_is_copied_with_its_gradients_and_its_sharing() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(2, 2), tg.nn.Linear(2, 1))
    net[1].tied = net[0].weight
    net(tg.ones((3, 2))).sum().backward()
    twin = copy.deepcopy(net)
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
        assert p.grad is not q.grad
    assert twin[1].tied is twin[0].weight


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle 4"])
@pytest.mark.parametrize("copied", [None, False])
def test_a_copy_shares_nothing_with_numpy(way: str, copied: bool | None) -> None:
    a = np.arange(3.0)
    twin = WAYS[way](tg.asarray(a, copy=copied))
    a[:] = 50.0
    assert twin.tolist() == [0.0, 1.0, 2.0]


def test_a_gradient_with_a_graph_is_no_constant() -> None:
    x = tg.Variable([1.0, 2.0], dtype=F64, requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    for way in ("deepcopy", "pickle 4"):
        with pytest.raises(tg.GradError, match="detach"):
            WAYS[way](x)
    x.grad = None
