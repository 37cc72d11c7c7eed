"""The protocols of Python, NumPy and other libraries on a Variable: dunder methods, pickle."""

from __future__ import annotations

import copy
import gc
import math
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F64 = tg.float64


def leaf(*data: Any) -> tg.Variable:
    return tg.Variable(*data, dtype=F64, requires_grad=True)


# ---- NumPy's functions ----


def test_numpy_functions_record() -> None:
    x = leaf([1.0, 2.0])
    for y in (
        np.exp(x),
        np.add.reduce(x),
        np.concatenate([x, x]),
        np.sum(x),
        np.ones(2) * x,
        np.float64(2.0) * x,
        np.ones((2, 2)) @ x,
    ):
        assert isinstance(y, tg.Variable)
        assert y.requires_grad
    np.sum(np.multiply(x, x)).backward()  # type: ignore[attr-defined]
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("name", "result"),
    [("add", 6.0), ("multiply", 6.0), ("maximum", 3.0), ("minimum", 1.0), ("logical_and", True), ("logical_or", True)],
)
def test_reductions_of_ufuncs(name: str, result: float) -> None:
    y = getattr(np, name).reduce(leaf([1.0, 2.0, 3.0]))
    assert isinstance(y, tg.Variable)
    assert y.item() == result


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.isnat(x), r"numpy\.isnat is not available"),
        (lambda x: np.isnat(x, dtype=np.float32), r"numpy\.isnat is not available"),
        (lambda x: np.less.reduce(x), r"numpy\.less\.reduce is not available"),
        (lambda x: np.busday_count(x, x), r"numpy\.busday_count is not available for Variables"),
    ],
)
def test_numpy_functions_that_are_not_there(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(leaf([1.0, 2.0]))


def test_array() -> None:
    x = tg.Variable([1.0, 2.5])
    view = np.asarray(x)
    assert not view.flags.writeable
    assert np.array(x, dtype=np.int64).tolist() == [1, 2]
    owned = np.array(x, copy=True)
    owned[0] = 7.0
    assert x.tolist() == [1.0, 2.5]
    assert x.numpy(copy=True).flags.writeable
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2023.12") is tg
    with pytest.raises(ValueError, match=r"array API version 1999\.01 is not supported"):
        x.__array_namespace__(api_version="1999.01")


# ---- DLPack ----


@pytest.mark.parametrize("dtype", [tg.bool, tg.uint8, tg.int32, tg.int64, tg.float32, tg.float64])
def test_dlpack_there_and_back(dtype: Any) -> None:
    x = tg.Variable([[1, 0], [3, 1]]).astype(dtype)
    assert x.__dlpack_device__() == (1, 0)
    if dtype != tg.bool:
        there = np.from_dlpack(x[:, 1])
        assert there.dtype.name == dtype.name
        assert there.tolist() == x[:, 1].tolist()
        del there
    back = tg.from_dlpack(x.T)
    assert back.dtype == dtype
    assert back.tolist() == x.T.tolist()
    gc.collect()
    assert x.shape == (2, 2)


def test_dlpack_options() -> None:
    x = tg.Variable([1.0, 2.0])
    assert tg.from_dlpack(tg.zeros((0, 3))).shape == (0, 3)
    capsule = x.__dlpack__(stream=None, dl_device=(1, 0), copy=True)
    assert "dltensor" in repr(capsule)
    del capsule  # a tensor that nobody took is freed
    with pytest.raises(BufferError, match="have no stream"):
        x.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="only the CPU"):
        x.__dlpack__(dl_device=(2, 0))


# ---- Python's own ----


def test_numbers() -> None:
    x = tg.Variable(2.75)
    assert (float(x), int(x), bool(x), bool(tg.Variable(0))) == (2.75, 2, True, False)
    assert math.sqrt(tg.Variable(4)) == 2.0
    assert ["a", "b", "c"][tg.Variable(2)] == "c"
    assert f"{x:.1f} {x}" == "2.8 2.75"
    with pytest.raises(TypeError, match="only 0-d integer arrays"):
        [1, 2][x]  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="truth value of an array of shape"):
        bool(tg.zeros(2))
    with pytest.raises(TypeError, match="only 0-d arrays take a format"):
        f"{tg.zeros(2):.1f}"
    assert str(tg.Variable([1, 2])) == f"{tg.Variable([1, 2])}" == "[1 2]"


def test_sequences() -> None:
    x = tg.Variable([[1, 2], [3, 4]])
    assert [row.tolist() for row in iter(iter(x))] == [[1, 2], [3, 4]]
    assert len(x) == 2
    assert (x.ndim, x.size, x.nbytes, x.itemsize, x.device) == (2, 4, 32, 8, "cpu")
    assert x.mT.tolist() == x.T.tolist() == [[1, 3], [2, 4]]
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        iter(tg.Variable(1))
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d array"):
        len(tg.Variable(1))
    assert len({x, x, x.T}) == 2


def test_repr() -> None:
    assert repr(tg.zeros((0, 2))) == "Variable([], shape=(0, 2), dtype=float32)"
    assert repr(tg.Variable([1], dtype=tg.int32)) == "Variable([1], dtype=int32)"
    x = tg.Variable(2.0, requires_grad=True)
    assert repr(x) == "Variable(2., requires_grad=True)"
    assert repr(x * x) == "Variable(4., grad_fn=<multiply>)"


def test_pickle_and_copy() -> None:
    x = leaf([1.0, 2.0])
    for twin in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert twin.tolist() == x.tolist()
        assert (twin.dtype, twin.requires_grad) == (F64, True)
    with pytest.raises(tg.GradError, match="detach"):
        pickle.dumps(x * 2.0)


def test_dtypes() -> None:
    d = tg.float64
    assert (d.name, d.itemsize, d.is_floating_point, str(d), repr(d)) == ("float64", 8, True, "float64", "tapegrad.float64")
    assert not tg.int32.is_floating_point
    assert d == np.dtype("float64")
    assert d == "float64"
    assert d != tg.float32
    assert d != 3
    assert len({d, tg.zeros(1, dtype="float64").dtype}) == 1
    assert pickle.loads(pickle.dumps(d)) == d
    for given, name in [(float, "float64"), (int, "int64"), (bool, "bool"), (np.int32, "int32"), (np.bool_, "bool")]:
        assert tg.zeros(1, dtype=given).dtype.name == name
    with pytest.raises(tg.DTypeError, match="float128"):
        tg.zeros(1, dtype="float128")
    with pytest.raises(tg.DTypeError):
        tg.zeros(1, dtype=3)  # type: ignore[arg-type]


def test_operators() -> None:
    x = tg.Variable([1, -2])
    assert [(-x).tolist(), (+x).tolist(), abs(x).tolist(), (~x).tolist()] == [[-1, 2], [1, -2], [1, 2], [-2, 1]]
    assert round(tg.Variable([1.25, 2.5]), 1).tolist() == pytest.approx([1.2, 2.5])
    assert round(tg.Variable(2.5)).item() == 2.0
    assert (2 ** tg.Variable([1.0, 3.0])).tolist() == [2.0, 8.0]
    y = tg.Variable([1, 2])
    for change, want in [
        (lambda y: y.__ipow__(2), [1, 4]),
        (lambda y: y.__ilshift__(1), [2, 8]),
        (lambda y: y.__irshift__(1), [1, 4]),
        (lambda y: y.__ior__(2), [3, 6]),
        (lambda y: y.__iand__(5), [1, 4]),
        (lambda y: y.__ixor__(1), [0, 5]),
        (lambda y: y.__ifloordiv__(2), [0, 2]),
        (lambda y: y.__imod__(2), [0, 0]),
    ]:
        change(y)
        assert y.tolist() == want
    with pytest.raises(TypeError, match=r"pow\(\) with a modulus is not supported"):
        pow(x, 2, 3)
    with pytest.raises(TypeError, match="right side must be an array or a number, got str"):
        y += "a"
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = "a" - x
    assert tg.asarray(memoryview(np.arange(3.0))).tolist() == [0.0, 1.0, 2.0]


# ---- gradients of handles ----


def test_grad_can_be_set() -> None:
    x = leaf([1.0, 2.0])
    g = tg.Variable([3.0, 4.0], dtype=F64)
    x.grad = g
    assert x.grad.tolist() == [3.0, 4.0]
    x.grad = None
    assert x.grad is None
    with pytest.raises(tg.ShapeError, match=r"grad: shape \(3,\) does not fit"):
        x.grad = tg.zeros(3, dtype=F64)
    with pytest.raises(tg.DTypeError, match="grad: dtype float32 does not fit"):
        x.grad = tg.zeros(2)
    with pytest.raises(tg.GradError, match="only be set on a leaf"):
        (x * 2.0).grad = g
    x.grad = g
    x.zero_grad()
    assert x.grad is None


def test_requires_grad_and_retain_grad() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2.0
    assert (x.is_leaf, y.is_leaf, y.grad_fn, x.grad_fn) == (True, False, "multiply", None)
    with pytest.raises(tg.GradError, match="only be switched off on leaves"):
        y.requires_grad = False
    with pytest.raises(tg.DTypeError):
        tg.Variable([1]).requires_grad = True
    with pytest.raises(tg.GradError, match="retain_grad: this Variable does not require"):
        tg.zeros(1).retain_grad()
    x.retain_grad()
    y.retain_grad()
    tg.sum(y.clone()).backward(inputs=[x, y])
    assert y.grad.tolist() == [1.0, 1.0]
    y.zero_grad()
    assert y.grad is None
    with pytest.raises(TypeError, match="the hook must be callable"):
        x.register_hook(3)  # type: ignore[arg-type]
    x.requires_grad_(False)
    assert not x.requires_grad


def test_grad_of_several_outputs() -> None:
    x = leaf([1.0, 2.0])
    ones = tg.ones(2, dtype=F64)
    (g,) = tg.autograd.grad([x * 2.0, tg.sum(x)], x, [ones, None])
    assert g.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="1 gradients for 2 outputs"):
        tg.autograd.grad([x * 2.0, tg.sum(x)], x, [ones])
    with pytest.raises(TypeError, match="every output"):
        tg.autograd.grad([x * 2.0, 3.0], x)


def test_losses_keep_their_options() -> None:
    assert repr(tg.nn.CrossEntropyLoss(label_smoothing=0.5)) == "CrossEntropyLoss()"
    assert tg.nn.MSELoss(reduction="sum").reduction == "sum"


# ---- generators ----


def test_generator() -> None:
    g = tg.random.Generator(7)
    assert repr(g) == "Generator(seed=7, place=0)"
    state = g.get_state()
    first = [
        g.rand(2, 3),
        g.randn((2,)),
        g.randint(5, size=4),
        g.randint(2, 9),
        g.uniform(-1.0, 1.0, 3),
        g.normal(2.0, 0.5, (2, 2)),
    ]
    first += [g.bernoulli(0.5, 8, dtype=tg.int32), g.bernoulli(tg.full((3,), 0.5)), g.permutation(5)]
    assert [v.shape for v in first] == [(2, 3), (2,), (4,), (), (3,), (2, 2), (8,), (3,), (5,)]
    assert sorted(first[-1].tolist()) == list(range(5))
    g.set_state(state)
    assert g.rand(2, 3).tolist() == first[0].tolist()
    g.manual_seed(7)
    assert g.seed == 7
    assert g.rand([2, 3], dtype=F64).dtype == F64
    with pytest.raises(TypeError, match="decides size and dtype itself"):
        g.bernoulli(tg.full((3,), 0.5), 3)
    for wrong in (
        lambda: g.rand(-1),
        lambda: g.randint(3, 3),
        lambda: g.bernoulli(1.5),
        lambda: g.uniform(2.0, 1.0),
        lambda: g.permutation(-1),
    ):
        with pytest.raises(ValueError, match=r"rand|bernoulli|uniform|permutation"):
            wrong()


# ---- arguments ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.elu(x, "a"), r"elu\(\): argument 'alpha' must be a float, not str"),
        (lambda x: tg.softmax(x, axis=1.5), r"softmax\(\): argument 'axis' must be an int, not float"),
        (lambda x: tg.sum(x, keepdims=2), r"argument 'keepdims' must be a bool, not int"),
        (lambda x: tg.argmax(x, axis="a"), r"argument 'axis' must be an int or None, not str"),
        (lambda x: tg.concat(3), r"concat\(\): argument 'arrays' must be"),
        (lambda x: tg.reshape(x), r"reshape\(\) missing required argument 'shape'; its signature is reshape\(x, "),
        (
            lambda x: tg.sum(),
            r"sum\(\) missing required argument 'x'; its signature is sum\(x, ",
        ),
        (lambda x: tg.sum(x, 0, axis=1), "axis"),
        (lambda x: tg.sum(x, nothing=1), "nothing"),
    ],
)
def test_arguments_of_the_wrong_kind(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(leaf([1.0, 2.0]))


def test_samples_of_every_operation_are_python_values() -> None:
    core = tg._core
    for row in core.registry():
        for sample in core.samples(row["path"]):
            assert len(sample) == len(row["params"]), row["name"]
    with pytest.raises(ValueError, match="there is no operation nothing"):
        core.samples("nothing")
