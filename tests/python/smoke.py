"""Checks of an installed wheel on any interpreter: every part of CPython's C API that the module uses, once.

    python -I tests/python/smoke.py

Needs tapegrad and NumPy only. `make test-wheel` runs it on every CPython that it finds.
"""

import copy
import gc
import inspect
import operator
import pickle
import sys
import weakref
from importlib import metadata

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim


def check_number_slots() -> None:
    """Operators: two Variables, a Variable and a number on either side, in place."""
    a, b = tg.Variable([6.0, -8.0]), tg.Variable([4.0, 3.0])
    for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.matmul):
        assert np.array_equal(np.asarray(f(a, b)), f(a.numpy(), b.numpy())), f
    for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod):
        assert np.array_equal(np.asarray(f(a, 2.5)), f(a.numpy(), np.float32(2.5))), f
        assert np.array_equal(np.asarray(f(3, b)), f(np.float32(3), b.numpy())), f
    for f in (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge):
        assert f(a, b).tolist() == f(a.numpy(), b.numpy()).tolist(), f
    for f in (operator.and_, operator.or_, operator.xor):
        assert f(a > 0, b > 0).tolist() == f(a.numpy() > 0, b.numpy() > 0).tolist(), f
    assert (-a).tolist() == [-6, 8]
    assert (+a).tolist() == a.tolist()
    assert abs(a).tolist() == [6, 8]
    assert (~(a > 0)).tolist() == [False, True]
    assert (a**2).tolist() == [36, 64]
    assert (2**b).tolist() == [16, 8]
    before = a
    a += 1
    a *= b
    assert a is before
    assert a.tolist() == [28, -21]
    n = tg.Variable(3, dtype=tg.int64)
    assert (float(n), int(n), bool(n), "abcd"[n], len(b), [float(v) for v in b]) == (3.0, 3, True, "d", 2, [4.0, 3.0])
    assert isinstance(hash(a), int)


def check_calls() -> None:
    """Functions and methods that take their arguments as a vector; signatures and docs."""
    x = tg.reshape(tg.arange(6, dtype=tg.float32), (2, 3))
    assert tg.sum(x, axis=0, keepdims=True).shape == x.sum(dim=0, keepdim=True).shape == (1, 3)
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == (3, 2)
    assert tg.concat([x, x], axis=1).shape == (2, 6)
    assert tg.sum(x, **{"".join(("ax", "is")): 1}).tolist() == [3, 12]
    assert tg.sum.__name__ == "sum"
    assert "axis" in inspect.signature(tg.sum).parameters
    assert "self" in inspect.signature(tg.Variable.sum).parameters
    assert tg.sum.__doc__
    for call in (lambda: tg.sum(x, nothing=1), lambda: tg.sum(x, 0, False, 1, 2), lambda: tg.sum(), lambda: tg.sum(x, axis="a")):
        raises(TypeError, call)
    raises(tg.ShapeError, lambda: x @ x)
    raises(ValueError, lambda: x + tg.ones((5,)))


def check_arrays() -> None:
    """Memory shared with NumPy both ways, the buffer protocol, DLPack, indices, ufuncs."""
    source = np.arange(12.0).reshape(3, 4)[:, ::2]
    v = tg.asarray(source)
    assert np.array_equal(v.numpy(), source)
    shared = np.asarray(tg.asarray(np.ones(4, np.float32)))
    assert shared.dtype == np.float32
    assert np.shares_memory(v.numpy(), v.numpy())
    assert tg.asarray([[1, 2], [3, 4]]).dtype == tg.int64
    assert tg.asarray(memoryview(b"abc")).tolist() == [97, 98, 99]
    assert np.array_equal(np.from_dlpack(v), source)
    assert np.array_equal(tg.from_dlpack(np.ones(3)).numpy(), np.ones(3))
    assert np.allclose(np.sin(v).numpy(), np.sin(source))
    w = tg.zeros((3, 4))
    w[1:, ::2] = 5.0
    w[tg.asarray([0, 0]), tg.asarray([1, 2])] = 7.0
    assert w.tolist() == [[0, 7, 7, 0], [5, 0, 5, 0], [5, 0, 5, 0]]
    assert w[..., None, -1].shape == (3, 1)


class Named(tg.Variable):
    """A subclass with attributes of its own."""


def check_objects() -> None:
    """Subclasses, weak references, cycles through hooks, copies."""
    v = Named([1.0, 2.0], requires_grad=True)
    v.name = "weight"
    assert isinstance(v, tg.Variable)
    assert type(v * 2) is tg.Variable
    v.register_hook(lambda g, keep=v: g * 2 + 0 * keep.detach())
    (v * v).sum().backward()
    assert v.grad.tolist() == [4, 8]
    seen = weakref.ref(v)
    del v
    gc.collect()
    assert seen() is None, "a cycle through a hook was not collected"
    a = tg.Variable([1.0, 2.0], requires_grad=True)
    for b in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert b.tolist() == a.tolist()
        assert b.requires_grad


class Cube(tg.autograd.Function):
    """A rule in Python, called from the backward pass."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


def check_gradients() -> None:
    """Backward, higher orders, Python rules and errors that pass through Rust, a thread beside it."""
    x = tg.Variable(2.0, requires_grad=True)
    (first,) = tg.autograd.grad(tg.sin(x) * x, [x], create_graph=True)
    (second,) = tg.autograd.grad(first, [x])
    assert abs(float(second) - (2 * np.cos(2) - 2 * np.sin(2))) < 1e-5
    Cube.apply(x).backward()
    assert float(x.grad) == 12

    def refuse(_):
        raise KeyError("from a hook")

    y = x * 1
    y.register_hook(refuse)
    raises(KeyError, y.backward)
    with tg.no_grad():
        assert not (x * x).requires_grad
    big = tg.ones((2048, 512))
    assert float((big @ big.T).sum()) == 2048 * 2048 * 512


def check_training() -> None:
    """A network learns."""
    tg.random.manual_seed(0)
    images = tg.random.randn(128, 4)
    labels = (images.sum(axis=1) > 0).astype(tg.int64)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    criterion, optimizer = nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        criterion(net(images), labels).backward()
        optimizer.step()
    assert float((net(images).argmax(axis=1) == labels).astype(tg.float32).mean()) > 0.9
    net.load_state_dict(net.state_dict())


def raises(expected: type[BaseException], call) -> None:
    """`call` must raise `expected`."""
    try:
        call()
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was not raised")


def main() -> None:
    """Runs every check and says what it ran on."""
    assert tg.__version__ == metadata.version("tapegrad")
    checks = [f for name, f in globals().items() if name.startswith("check_")]
    for check in checks:
        check()
        gc.collect()
    print(f"{len(checks)} checks passed: tapegrad {tg.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}")


if __name__ == "__main__":
    main()
