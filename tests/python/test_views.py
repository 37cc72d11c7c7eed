"""Views: handles that show a part of another array. What is written to one shows in its base and in all other views, recorded.

The cases are numbered; where PyTorch and NumPy differ, the page of the guide on arrays says which of them holds here.
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck


def zeros(*shape: int) -> tg.Variable:
    return tg.zeros(shape, dtype=tg.float64)


def arange(*shape: int) -> tg.Variable:
    return tg.arange(float(np.prod(shape)), dtype=tg.float64).reshape(shape).clone()


def leaf(data: Any) -> tg.Variable:
    return tg.Variable(data, dtype=tg.float64, requires_grad=True)


def pair() -> tuple[tg.Variable, tg.Variable]:
    """A leaf and a value that was computed from it."""
    x = leaf([1.0, 2.0, 3.0])
    return x, x * 2.0


def gradient(x: tg.Variable, loss: tg.Variable) -> list[Any]:
    loss.sum().backward()
    assert x.grad is not None
    return x.grad.tolist()  # type: ignore[no-any-return]


def test_rows_of_rows() -> None:  # 1
    a = zeros(2, 2)
    a[0][1] = 5
    assert a.tolist() == [[0, 5], [0, 0]]


def test_transposed() -> None:  # 2
    a = zeros(2, 2)
    a.T[0] = [1, 2]
    assert a.tolist() == [[1, 0], [2, 0]]
    a.mT[1] = 7
    assert a.tolist() == [[1, 7], [2, 7]]


def test_strided() -> None:  # 3
    a = zeros(3)
    b = a[::2]
    b[:] = 1
    assert a.tolist() == [1, 0, 1]


def test_rows_of_iteration() -> None:  # 4
    a = arange(2, 2)
    for r in a:
        r -= 1  # noqa: PLW2901
    assert a.tolist() == [[-1, 0], [1, 2]]


def test_views_of_views() -> None:  # 5
    a = arange(4)
    v = a[1:]
    w = v[1:]
    w[0] = 9
    assert a.tolist() == [0, 1, 9, 3]
    assert v.tolist() == [1, 9, 3]


def test_siblings() -> None:  # 6
    a = zeros(4)
    v, w = a[:2], a[1:3]
    v[1] = 7
    assert w.tolist() == [7, 0]


def test_a_chain_and_an_element() -> None:  # 7
    a = arange(2, 3)
    a.T[1:][0, 1] = 9
    assert a.tolist() == [[0, 1, 2], [3, 9, 5]]


def test_reshaped() -> None:  # 8
    a = zeros(2, 3)
    a.reshape(3, 2)[1] = [4, 5]
    assert a.tolist() == [[0, 0, 4], [5, 0, 0]]


def test_reshapes_that_copy() -> None:  # 9
    a = zeros(2, 3)
    a.T.reshape(-1)[0] = 9
    a.flatten()[0] = 9
    assert a.tolist() == [[0, 0, 0], [0, 0, 0]]
    a.ravel()[0] = 9
    assert a.tolist() == [[9, 0, 0], [0, 0, 0]]


def test_operators_of_the_base() -> None:  # 10
    a = arange(2, 2)
    v = a[0]
    a *= 0
    a += 3
    assert v.tolist() == [3, 3]


def test_flipped() -> None:  # 11
    a = arange(3)
    tg.flip(a, 0)[0] = 9
    assert a.tolist() == [0, 1, 9]


def test_three_deep() -> None:  # 12
    a = zeros(2, 2, 2)
    a[0].T[1][0] = 5
    assert a[0].tolist() == [[0, 5], [0, 0]]


def test_overlap_of_slices() -> None:  # 13
    a = arange(5)
    a[1:] = a[:-1]
    assert a.tolist() == [0, 0, 1, 2, 3]
    a = arange(4)
    a[::-1] = a
    assert a.tolist() == [3, 2, 1, 0]


def test_overlap_with_the_transposed() -> None:  # 14
    a = arange(2, 2)
    a += a.T
    assert a.tolist() == [[0, 3], [3, 6]]


def test_the_transposed_from_itself() -> None:  # 15
    a = arange(2, 2)
    a.T[:] = a
    assert a.tolist() == [[0, 2], [1, 3]]


def test_a_view_times_itself() -> None:  # 16
    a = arange(4)
    v = a[1:3]
    v *= v
    assert a.tolist() == [0, 1, 4, 3]


@pytest.mark.parametrize("tracked", [False, True])
def test_nothing_is_half_done(tracked: bool) -> None:  # 17
    a = zeros(2, 2)
    a = a * leaf(1.0) if tracked else a
    v = a[0]
    with pytest.raises(tg.ShapeError):
        v[:] = [1, 2, 3]
    with pytest.raises(tg.ShapeError):
        v += tg.ones((2, 2), dtype=tg.float64)
    assert a.tolist() == [[0, 0], [0, 0]]
    assert v.tolist() == [0, 0]


def test_elements_are_rebound() -> None:  # 18
    a = zeros(3)
    e = a[0]
    e += 5
    assert a.tolist() == [0, 0, 0]
    assert e.item() == 5
    x = leaf([2.0, 3.0])
    s = x[0]
    s += x[1]
    assert s.item() == 5
    assert x.tolist() == [2, 3]
    assert gradient(x, s) == [1, 1]
    a = arange(2)
    for e in a:
        e *= 10  # noqa: PLW2901
    assert a.tolist() == [0, 1]


def test_elements_keep_their_value() -> None:
    a = arange(2)
    a[0], a[1] = a[1], a[0]
    assert a.tolist() == [1, 0]
    e = a[0]
    a[0] = 9
    assert e.item() == 1


def test_methods_write_elements() -> None:  # 19
    a = zeros(3)
    a[0].fill_(5)
    assert a.tolist() == [5, 0, 0]
    e = a[1]
    e.add_(2, alpha=3)
    assert (e.item(), a.tolist()) == (6, [5, 6, 0])
    e[...] = 1
    assert (e.item(), a.tolist()) == (1, [5, 1, 0])
    x, y = pair()
    y[0].mul_(x[1])
    assert gradient(x, y) == [4, 4, 2]


def test_a_0d_view_is_no_element() -> None:  # 20
    a = zeros(3)
    a[0, ...] += 5
    assert a.tolist() == [5, 0, 0]
    v = a[1, ...]
    v += 2
    assert a.tolist() == [5, 2, 0]


def test_a_0d_variable_is_an_int() -> None:
    a, k = zeros(2, 3), tg.argmax(tg.Variable([0.0, 1.0]))
    a[k][1] = 5
    a[k, tg.Variable([2])[0]] += 1
    assert a.tolist() == [[0, 0, 0], [0, 5, 1]]
    with pytest.raises(IndexError, match="out of bounds"):
        a[tg.Variable(7)]
    x = leaf([1.0])
    assert tg.atleast_1d(x) is x


def test_index_arrays_copy() -> None:  # 21
    a = zeros(3)
    m = a[[0, 1]]
    m[0] = 5
    a[a == 0][0] = 5
    assert a.tolist() == [0, 0, 0]


def test_index_arrays_on_the_left() -> None:  # 22
    a = zeros(2, 3)
    v = a[1]
    v[[0, 0, 2]] = [5, 6, 7]
    assert a.tolist() == [[0, 0, 0], [6, 0, 7]]
    v[v > 6] = 1
    assert a.tolist() == [[0, 0, 0], [6, 0, 1]]
    x = leaf([2.0, 3.0])
    v[[0, 0, 1]] = tg.stack([x[0], x[0], x[1]])
    assert gradient(x, a * a) == [4, 6]


def test_broadcast_views_follow() -> None:  # 23
    a = zeros(1)
    b = tg.broadcast_to(a, (3,))
    a[0] = 4
    assert b.tolist() == [4, 4, 4]
    x, y = leaf([3.0]), zeros(1)
    b = tg.broadcast_to(y, (3,))
    y[0] = x[0]
    assert gradient(x, b * b) == [18]


def test_broadcast_views_are_read_only() -> None:  # 24
    a = zeros(1)
    b = tg.broadcast_to(a, (3,))
    for write in (lambda: b.__iadd__(1), lambda: b.__setitem__(0, 1), lambda: b.fill_(1), lambda: b[1:].zero_()):
        with pytest.raises(ValueError, match="clone"):
            write()
    c = b.clone()
    c[0] = 1
    assert (a.tolist(), c.tolist()) == ([0], [1, 0, 0])
    p, _ = tg.broadcast_arrays([a, zeros(2)])
    with pytest.raises(ValueError, match="clone"):
        p += 1


@pytest.mark.parametrize("tracked", [False, True])
def test_split(tracked: bool) -> None:  # 25
    x = leaf(1.0)
    a = zeros(4) * x if tracked else zeros(4)
    p, q = tg.split(a, 2)
    p[0] = 1
    q += 2
    assert a.tolist() == [1, 0, 2, 2]
    if tracked:
        tg.sum(a * q.sum()).backward()
        assert x.grad is not None


def test_the_diagonal_can_be_written() -> None:  # 26
    a = zeros(3, 3)
    a.diagonal().fill_(1)
    np.testing.assert_array_equal(a.numpy(), np.eye(3))


def test_scaled_through_a_view() -> None:  # 27
    x, y = pair()
    v = y[1:]
    v *= 3
    assert gradient(x, y) == [2, 6, 6]


def test_multiplied_through_a_view() -> None:  # 28
    x, y = pair()
    v = y[1:]
    v *= x[:2]
    assert gradient(x, y) == [6, 8, 4]


def test_a_view_after_a_write_to_the_base() -> None:  # 29
    x, y = pair()
    v = y[1:]
    y *= 3
    assert gradient(x, v) == [0, 6, 6]


def test_an_untracked_base() -> None:  # 30
    x = leaf([2.0, 3.0])
    a = zeros(2, 2)
    r = a[0]
    r += x
    assert gradient(x, a * a) == [4, 6]


def test_a_view_becomes_tracked() -> None:  # 31
    x = leaf([2.0, 3.0])
    a = zeros(2, 2)
    s = a.T
    a[0] = x
    assert s.requires_grad
    assert gradient(x, s * s) == [4, 6]


def test_what_was_saved_stays() -> None:  # 32, 33
    for write in (lambda y, v: v.__setitem__(0, 100.0), lambda y, v: y.__setitem__(0, 5.0)):
        x, y = pair()
        v = y[1:]
        z = v * v
        write(y, v)
        assert gradient(x, z) == [0, 16, 24]


def test_a_constant_cuts_the_gradient() -> None:  # 34
    x, y = pair()
    v = y[1:]
    v[0] = 0
    assert gradient(x, y) == [2, 0, 2]


def test_overlap_recorded() -> None:  # 35
    x, y = pair()
    y[1:] = y[:-1] * 3
    assert y.tolist() == [2, 6, 12]
    assert gradient(x, y) == [8, 6, 0]


def test_a_view_times_itself_recorded() -> None:  # 36
    x, y = pair()
    v = y[:2]
    v *= v
    assert gradient(x, y) == [8, 16, 2]


def test_two_overlapping_views() -> None:  # 37
    x, y = pair()
    a, b = y[:2], y[1:]
    a *= 2
    b *= 5
    assert y.tolist() == [4, 40, 30]
    assert gradient(x, y) == [4, 20, 10]


def test_a_view_of_a_view_recorded() -> None:  # 38
    x, y = pair()
    a = y[:2]
    b = a[1:]
    b *= 10
    a *= 2
    assert y.tolist() == [4, 80, 6]
    assert gradient(x, y) == [4, 40, 2]


def test_a_view_of_a_leaf() -> None:  # 39
    x = leaf([1.0, 2.0])
    v = x[1:]
    writes: list[Callable[[], Any]] = [
        lambda: v.__imul__(2),
        lambda: v.__setitem__(0, 1),
        lambda: v.mul_(2),
        lambda: x[0].fill_(2),
        lambda: x.reshape(2, 1).__setitem__((0, 0), 1),
    ]
    for write in writes:
        with pytest.raises(tg.GradError, match=r"no_grad.*clone"):
            write()
    assert (x.tolist(), v.tolist()) == ([1, 2], [2])


def test_a_view_of_a_leaf_under_no_grad() -> None:  # 40
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    v = x[1:]
    with tg.no_grad():
        v *= 5
    y.backward()
    assert (x.tolist(), v.tolist(), x.grad.tolist()) == ([1, 10], [10], [2, 4])
    assert x.is_leaf


def test_no_grad_changes_data_and_keeps_the_history() -> None:  # 41
    x, y = pair()
    v = y[1:]
    with tg.no_grad():
        v *= 5
    assert y.tolist() == [2, 20, 30]
    assert y.requires_grad
    assert gradient(x, y * y) == [8, 80, 120]
    for write in (
        lambda y: y.__imul__(5),
        lambda y: y.__setitem__(0, 10),
        lambda y: y.__setitem__([0], 10),
        lambda y: y[:1].fill_(10),
    ):
        x, y = pair()
        with tg.no_grad():
            write(y)
        assert y.requires_grad
        assert y.grad_fn == "multiply"
        assert gradient(x, y * y)[0] == 40


def test_views_made_under_no_grad() -> None:  # 42
    _, y = pair()
    with tg.no_grad():
        v = y[1:]
    assert not v.requires_grad
    with pytest.raises(tg.GradError, match="no_grad"):
        v *= 5
    with pytest.raises(tg.GradError, match="no_grad"):
        v[1:][0] = 5
    with tg.no_grad():
        v *= 5
    assert y.tolist() == [2, 20, 30]
    a = zeros(2)
    with tg.no_grad():
        v = a[1:]
    v += leaf([2.0])
    assert a.tolist() == [0, 2]
    assert a.requires_grad


def test_data() -> None:  # 43
    x, y = pair()
    y.data[0] = 9
    assert y.requires_grad
    assert not y.data.requires_grad
    assert gradient(x, y * y) == [36, 16, 24]
    x, y = pair()
    z = y * y
    y.data[0] = 9
    assert gradient(x, z) == [8, 16, 24]
    x.data[1:] -= 1
    assert x.tolist() == [1, 1, 2]
    x.data = tg.asarray([7.0, 8.0, 9.0], dtype=tg.float64)
    assert x.tolist() == [7, 8, 9]
    assert x.is_leaf
    y.data = x
    assert y.tolist() == [7, 8, 9]
    assert y.grad_fn == "multiply"
    v = y[1:]
    v.data = zeros(2)
    assert y.tolist() == [7, 0, 0]
    with pytest.raises(tg.ShapeError, match="shape"):
        x.data = zeros(2)
    with pytest.raises(tg.DTypeError, match="float32"):
        x.data = tg.zeros(3)
    x.data -= 1
    x.data[:2] *= 2
    assert x.tolist() == [12, 14, 8]
    with pytest.raises(tg.GradError, match="detach"):
        y.data[0] = x[0]


def test_detach() -> None:  # 44
    x, y = pair()
    d = y.detach()
    d[0] = 9
    assert y.tolist() == [2, 4, 6]
    for mode in (True, False):
        with tg.set_grad_enabled(mode):
            e = x.detach()
            e[0] = 9
        assert x.tolist() == [9, 2, 3]
        assert not e.requires_grad
        with tg.no_grad():
            x[0] = 1
    p = leaf([1.0, 2.0])
    p.detach().mul_(3)
    p.detach()[1:].add_(1)
    assert p.tolist() == [3, 7]
    a = zeros(2)
    d = a.detach()
    a[0] = x[0]
    assert (d.tolist(), d.requires_grad, a.requires_grad) == ([1, 0], False, True)
    before = tg.tape_stats()["live_nodes"]
    kept = [(x * k).detach() for k in range(1000)]
    assert tg.tape_stats()["live_nodes"] == before
    assert len(kept) == 1000


def test_a_detached_state_goes_on() -> None:
    w = leaf([2.0])
    h = zeros(1)
    for _ in range(3):
        h = h.detach()
        h += w
    assert h.tolist() == [6]
    assert gradient(w, h) == [1]
    a = zeros(2)
    d = a.detach()
    with pytest.raises(tg.GradError, match="detach"):
        d += leaf(1.0)
    leaves = a.detach().requires_grad_()
    assert leaves.is_leaf
    assert leaves.requires_grad
    with tg.no_grad():
        leaves += 1
    assert a.tolist() == [0, 0]


def test_views_of_gradients() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (x * x).sum().backward()
    x.grad[1:].zero_()
    assert x.grad.tolist() == [2, 0, 0]
    x.grad.reshape(3, 1)[0] += 1
    x.grad.detach().mul_(2)
    assert x.grad.tolist() == [6, 0, 0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [8, 4, 6]


def test_views_of_weights_follow_the_optimizer() -> None:  # 45
    w = leaf([[1.0, 2.0]])
    t = w.T
    for _ in range(2):
        (t * t).sum().backward()
        if t.tolist() == [[1], [2]]:
            with tg.no_grad():
                w -= w.grad / 4
    assert t.tolist() == [[0.5], [1]]
    assert w.grad.tolist() == [[3, 6]]
    step = tg.optim.SGD([w], lr=1.0)
    inner = w.T[1:]
    for _ in range(3):
        step.zero_grad()
        before = w.tolist()[0][1]
        (inner * inner * 0.25).sum().backward()
        step.step()
        assert inner.tolist() == [[before / 2]]


def test_rows_of_a_leaf_under_no_grad() -> None:  # 46
    w = leaf([[1.0, 2.0], [3.0, 4.0]])
    with tg.no_grad():
        for r in w:
            r *= 2  # noqa: PLW2901
    assert w.tolist() == [[2, 4], [6, 8]]
    assert w.is_leaf


def test_retain_grad_belongs_to_the_handle() -> None:  # 47
    x, y = pair()
    y.retain_grad()
    y[1:] *= 3
    assert gradient(x, y) == [2, 6, 6]
    assert y.grad.tolist() == [1, 1, 1]
    x, y = pair()
    y.retain_grad()
    y *= 3
    y[0] = 5.0
    assert gradient(x, y) == [0, 6, 6]
    assert y.grad.tolist() == [1, 1, 1]


def test_hooks_belong_to_the_value() -> None:  # 48
    _, y = pair()
    log: list[Any] = []
    y.register_hook(lambda g: log.append(g.tolist()))
    y[1:] *= 3
    y.sum().backward()
    assert log == [[1, 3, 3]]


def test_retain_grad_of_a_view() -> None:  # 49
    _, y = pair()
    v = y[1:]
    v.retain_grad()
    y *= 3
    (v * v).sum().backward()
    assert v.grad.tolist() == [24, 36]


def test_a_column_times_a_row() -> None:  # 50
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x * x
    y.T[0] *= x[1]
    assert gradient(x, y * y) == [[36, 32], [1734, 904]]


def test_a_recurrence_in_place() -> None:  # 51
    x, y = pair()
    y[1] = y[0] * y[1]
    y[2] = y[1] * y[2]
    assert y.tolist() == [2, 8, 48]
    y[2].backward()
    assert x.grad.tolist() == [48, 24, 16]


def test_one_node_for_a_write() -> None:  # 52
    x, y = pair()
    y[0:2] += 1
    assert y.tolist() == [3, 5, 6]
    with tg.Tape() as tape:
        y[0:2] += 1
    assert [node.op for node in tape.nodes].count("view_write") == 1
    assert "setitem" not in [node.op for node in tape.nodes]
    assert gradient(x, y) == [2, 2, 2]
    x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y = x * 2
    y[:, 1:] = y[:, :-1] * 3
    w = tg.asarray(np.arange(6.0).reshape(3, 2))
    tg.sum(y.T * w).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0 + 12, 24, 0], [2 + 18, 30, 0]])


def test_a_view_that_is_alone_takes_over() -> None:  # 53
    a = arange(4)
    v = a[1:]
    at, base = v.numpy().__array_interface__["data"][0], weakref.ref(a)
    del a
    v += 1
    assert v.tolist() == [2, 3, 4]
    assert base() is None
    assert v.numpy().__array_interface__["data"][0] == at


def test_clones_are_independent() -> None:  # 54
    x, y = pair()
    z = y.clone()
    y[1:][:] = 0
    assert z.tolist() == [2, 4, 6]
    assert gradient(x, z) == [2, 2, 2]

    class Same(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
            return x[:]

        @staticmethod
        def backward(ctx: Any, g: tg.Variable) -> tg.Variable:
            return g

    x, y = pair()
    out = Same.apply(y)
    out[:] = 0
    assert y.tolist() == [2, 4, 6]


def test_derivatives_of_both_orders() -> None:  # 55
    def f(x: tg.Variable) -> tg.Variable:
        y = x * x
        v = y[1:]
        v *= x[:2]
        w = v[::-1]
        w[:] = tg.sin(w)
        return (y**2).sum()

    x = leaf([0.5, 1.5, -0.7])
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))


def test_memory_of_numpy_is_left_alone() -> None:  # 56
    n = np.zeros(3)
    v = tg.asarray(n)
    v[1:][0] = 9
    assert n.tolist() == [0, 0, 0]
    assert n.flags.writeable
    assert v.tolist() == [0, 9, 0]
    m = v.numpy()
    v[:1][0] = 5
    assert m.tolist() == [0, 9, 0]
    assert v.tolist() == [5, 9, 0]


def test_copies_and_pickles_are_independent() -> None:  # 57
    a = zeros(3)
    copies = copy.deepcopy([a, a[1:]])
    copies[1][0] = 9
    assert copies[0].tolist() == a.tolist() == [0, 0, 0]
    b = copy.copy(a[1:])
    b[0] = 9
    assert a.tolist() == [0, 0, 0]
    big = zeros(100_000)
    assert len(pickle.dumps(big[:2])) < 1000
    assert pickle.loads(pickle.dumps(big[:2])).tolist() == [0, 0]


def test_views_as_leaves() -> None:  # 58
    x = tg.arange(4.0, dtype=tg.float64).reshape(2, 2).requires_grad_()
    assert x.is_leaf
    assert gradient(x, x * x) == [[0, 2], [4, 6]]
    a = zeros(3)
    with pytest.raises(tg.GradError, match="clone"):
        a[1:].requires_grad_()
    v = a[1:]
    a.requires_grad_()
    assert v.requires_grad
    assert gradient(a, v) == [0, 1, 1]


def test_cycles_through_views_are_collected() -> None:  # 58
    class Mine(tg.Variable):
        pass

    q = Mine([[1.0, 2.0]])
    q.t = q.T  # type: ignore[attr-defined]
    q.row = q[0]  # type: ignore[attr-defined]
    gone = weakref.ref(q)
    del q
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("size", [4, 100_000])
def test_threads_on_rows_of_one_array(size: int) -> None:  # 59
    turns = 200 if size < 100 else 6
    a = zeros(8, size)
    rows = list(a)

    def work(row: tg.Variable) -> None:
        for _ in range(turns):
            row += 1

    def read() -> None:
        for _ in range(turns):
            assert 0 <= a.sum().item() <= 8 * size * turns

    threads = [threading.Thread(target=work, args=(row,)) for row in rows] + [threading.Thread(target=read)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    np.testing.assert_array_equal(a.numpy(), np.full((8, size), float(turns)))


def test_a_loop_of_rows_saves_rows() -> None:  # 60
    w = leaf(np.linspace(0.1, 0.5, 16))
    h = zeros(200, 16)
    h[0] = 1.0
    before = tg.tape_stats()["saved_bytes"]
    for t in range(1, 200):
        h[t] = tg.tanh(h[t - 1] * w + 1.0)
    row = 16 * 8
    assert tg.tape_stats()["saved_bytes"] - before <= 3 * 200 * row
    h.sum().backward()
    expected = np.zeros(16)
    n, value = w.detach().numpy(), np.ones(16)
    slope = np.zeros(16)
    for _ in range(1, 200):
        inner = value * n + 1.0
        slope = (1 - np.tanh(inner) ** 2) * (value + n * slope)
        value = np.tanh(inner)
        expected += slope
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)


def test_shrinking_views_keep_one_base() -> None:  # 60
    x = first = zeros(2000)
    for _ in range(1000):
        x = x[1:]
    assert any(held is first for held in gc.get_referents(x))
    x += 1
    assert first.sum().item() == 1000


def test_recorded_writes_keep_the_buffer() -> None:
    x, y = leaf(np.ones(4)), zeros(50, 4)
    places = []
    for k in range(50):
        y[k] = x * float(k)
        y[k][1:] = x[:3]
        y[k : k + 1, 0] *= x[1]
        y[[k]] = y[k] * 2.0
        places.append(y.data.numpy().__array_interface__["data"][0])
    assert len(set(places)) == 1, (
        "the first product saved a part, so the array was copied once; later ones save copies of their parts"
    )
    (g,) = tg.autograd.grad(tg.sum(y * y), [x], create_graph=True)
    # Rows are 2 (k x0 x1, x0, x1, x2).
    k = sum(float(k) ** 2 for k in range(50))
    np.testing.assert_allclose(g.detach().numpy(), [8 * k + 8 * 50, 8 * k + 8 * 50, 8 * 50, 0])
    (h,) = tg.autograd.grad(g[0], [x])
    np.testing.assert_allclose(h.numpy(), [8 * k + 8 * 50, 16 * k, 0, 0])


def test_a_write_beside_a_view_keeps_the_buffer() -> None:  # 60
    a = zeros(1000)
    at = a.numpy().__array_interface__["data"][0]
    v, t = a[10:], a.reshape(10, 100).T
    a[3] = 1.0
    v[5] = 2.0
    t[7] = 3.0
    assert a.numpy().__array_interface__["data"][0] == at
    x, y = pair()
    at = y.data.numpy().__array_interface__["data"][0]
    w = y[1:]
    y[0] = x[1]
    w[0] = x[1] * 2
    assert y.data.numpy().__array_interface__["data"][0] == at
    assert gradient(x, y) == [0, 3, 2]


def test_threads_that_record_rows_of_one_array() -> None:
    leaves = [leaf(np.ones(3) * k) for k in range(4)]
    a = zeros(4, 3)
    rows = list(a)

    def work(k: int) -> None:
        for _ in range(50):
            rows[k] += leaves[k]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    np.testing.assert_array_equal(a.detach().numpy(), np.outer(50.0 * np.arange(4), np.ones(3)))
    (a * a).sum().backward()
    for k, x in enumerate(leaves):
        np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 50 * 2 * 50.0 * k))


def test_threads_that_read_write_and_drop() -> None:
    base = arange(16, 8)
    stop = threading.Event()
    failures: list[BaseException] = []

    def repeat(f: Callable[[], Any]) -> None:
        try:
            while not stop.is_set():
                f()
        except BaseException as error:  # noqa: BLE001  (shown below)
            failures.append(error)

    x = leaf(np.ones(8))
    held = [base[1:], base.T, base.reshape(-1)]
    jobs: list[Callable[[], Any]] = [
        lambda: base[3].add_(1.0),
        lambda: held[1].__setitem__(0, 2.0),
        lambda: (held[0] * held[1].T[1:]).sum(),
        lambda: held.__setitem__(2, base.reshape(-1)[5:]),
        lambda: held[2].numpy().sum(),
        lambda: x.detach()[2:].mul_(1.5),
        lambda: (x[1:] * x[:-1]).sum().backward(),
        lambda: gc.collect(),
    ]
    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    threading.Event().wait(1.0)
    stop.set()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    assert not failures


def test_writes_that_are_watched() -> None:
    x, y = pair()
    seen: list[Any] = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    with tg.autograd.detect_anomaly(), tg.Tape() as tape:
        v = y[:2]
        v *= 3.0
        y[1:] = x[1:]
        (y * y).sum().backward()
    assert [n.op for n in tape.nodes if n.op in ("view_write", "setitem")] == ["view_write", "setitem"]
    assert all(n.source and __file__ in n.source for n in tape.nodes if n.op in ("view_write", "setitem"))
    assert seen == [[72.0, 4.0, 6.0]]


def test_cycles_of_views_hooks_and_modules_are_collected() -> None:
    class Owner:
        pass

    gone = []
    for k in range(40):
        x = leaf([1.0, 2.0, 3.0])
        owner: Any = Owner()
        owner.y = x * 2.0 if k % 2 else x
        owner.v = owner.y[1:] if k % 4 < 2 else owner.y.reshape(3, 1)
        owner.d = owner.y.data
        if k % 3 == 0:
            (x if k % 2 == 0 else owner.v).register_hook(lambda g, owner=owner: None)
        gone.append(weakref.ref(owner))
        del owner, x
    before = tg.tape_stats()["live_nodes"]
    gc.collect()
    assert not any(r() for r in gone)
    assert tg.tape_stats()["live_nodes"] <= before


def test_what_else_writes() -> None:
    a = arange(4)
    v = a[1:3]
    for change in (
        lambda: v.__isub__(1.0),
        lambda: v.__itruediv__(2.0),
        lambda: v.__ipow__(2),
        lambda: v.__ifloordiv__(0.5),
        lambda: v.__iadd__(5.0),
        lambda: v.__imod__(3.0),
        lambda: v.sub_(1.0, alpha=3.0),
        lambda: v.div_(4.0),
        lambda: v.copy_([3.0, 5.0]),
        lambda: v.zero_(),
    ):
        before = a.tolist()
        change()
        assert a.tolist() != before
        assert a.tolist()[1:3] == v.tolist()
        assert (a.tolist()[0], a.tolist()[3]) == (0, 3)
    ints = tg.arange(4)
    ints[1:] += 2
    ints[::2] <<= 1
    ints[1:2] |= 8
    assert ints.tolist() == [0, 11, 8, 5]
    with pytest.raises(tg.DTypeError, match=r"x = x"):
        ints[1:] += 0.5
    flags = tg.asarray([True, False, True])
    flags[1:] ^= True
    assert flags.tolist() == [True, True, False]
