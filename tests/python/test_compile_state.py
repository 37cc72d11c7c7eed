"""State that compiled functions read, change and replace: the same bits, gradients and objects as in eager calls."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim


def both(make: Any) -> tuple[Any, Any]:
    """What ``make`` gives for the identity, and for compile; ``make`` gets the decorator."""
    tg.random.manual_seed(5)
    eager = make(lambda f: f)
    tg.random.manual_seed(5)
    return eager, make(tg.compile)


def same(a: tg.Variable, b: tg.Variable) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


@pytest.mark.parametrize("make", [lambda loss: loss * 2, lambda loss: (loss, loss + 1.0), lambda loss: loss.mean()])
def test_results_behind_a_graph_that_a_backward_pass_has_freed(make: Any) -> None:
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)

    @tg.compile
    def step(x: tg.Variable) -> Any:
        loss = (w * x).sum()
        loss.backward()
        return make(loss)

    for i in range(5):
        result = step(tg.ones(3, dtype=tg.float64) * i)
        for r in result if isinstance(result, tuple) else (result,):
            assert r.requires_grad
            with pytest.raises(tg.FreedError):
                r.backward()
    assert len(step.programs()) == 1
    assert w.grad is not None
    assert w.grad.tolist() == [10.0] * 3


def test_a_result_with_a_live_and_a_freed_part() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def step(x: tg.Variable) -> tuple[tg.Variable, tg.Variable]:
        loss = (w * x).sum()
        loss.backward()
        return loss * x, w * x

    for _ in range(5):
        w.grad = None
        _, live = step(tg.ones(2))
        live.sum().backward()
        assert w.grad.tolist() == [2.0, 2.0]
    assert len(step.programs()) == 1


def test_a_gradient_that_is_kept_shows_what_is_added_to_it() -> None:
    def make(decorate: Any) -> list[Any]:
        w = tg.ones(2, dtype=tg.float64, requires_grad=True)
        step = decorate(lambda x: (w * x).sum().backward())
        for _ in range(5):
            step(tg.ones(2, dtype=tg.float64))
        kept, part = w.grad, w.grad[:1]
        step(tg.ones(2, dtype=tg.float64))
        seen = [kept.tolist(), part.tolist()]
        w.grad = None  # the next gradient is another object
        for _ in range(4):
            step(tg.ones(2, dtype=tg.float64))
        return [*seen, kept.tolist(), w.grad.tolist()]

    eager, compiled = both(make)
    assert compiled == eager == [[6.0, 6.0], [6.0], [6.0, 6.0], [4.0, 4.0]]


def test_a_gradient_that_a_call_replaces_is_another_object() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def step(x: tg.Variable) -> None:
        w.grad = None
        (w * x).sum().backward()

    kept = []
    for i in range(6):
        step(tg.ones(2) * i)
        kept.append(w.grad)
    assert [k[0].item() for k in kept] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(step.programs()) == 1


def test_an_argument_that_is_changed_and_given_twice() -> None:
    def make(decorate: Any) -> list[Any]:
        @decorate
        def f(x: tg.Variable, y: tg.Variable) -> tg.Variable:
            x[0] = 7.0
            return y * 2

        a, b = tg.zeros(3), tg.zeros(3)
        out = [f(a, b).tolist() for _ in range(5)]
        for x, y in [(a, a), (a, a[:]), (a[:2], a), (a, a.reshape(3, 1)), (a, b)]:
            a[...] = 1.0
            out.append(f(x, y).tolist())
        return out

    eager, compiled = both(make)
    assert compiled == eager


def test_an_argument_that_is_the_variable_which_is_changed() -> None:
    def make(decorate: Any) -> list[Any]:
        buffer, w = tg.zeros(2), tg.ones(2, requires_grad=True)

        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            buffer.add_(1)
            with tg.no_grad():
                w.mul_(2)
            return x * 2

        for _ in range(5):
            f(tg.ones(2))
        given = [buffer, buffer[:1], buffer.reshape(2, 1), w, w.detach(), w.data[:1], tg.ones(2)]
        return [f(x).tolist() for x in given for _ in range(4)]

    eager, compiled = both(make)
    assert compiled == eager


def test_an_argument_that_is_the_gradient_which_is_changed() -> None:
    def make(decorate: Any) -> list[Any]:
        w = tg.ones(2, requires_grad=True)

        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            (w * 3).sum().backward()
            return x * 2

        for _ in range(5):
            f(tg.ones(2))
        return [f(x).tolist() for x in (w.grad, w.grad[:1]) for _ in range(4)]

    eager, compiled = both(make)
    assert compiled == eager


def test_functions_that_ask_whether_two_arguments_are_one() -> None:
    f = tg.compile(lambda x, y: x * 2 if x is y else x * 3)
    a, b = tg.ones(1), tg.ones(1)
    for _ in range(4):
        assert f(a, b).item() == 3.0
    for _ in range(4):
        assert f(a, a).item() == 2.0
    assert len(f.programs()) == 2


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.complex64, bool])
def test_a_large_array_that_is_read_as_a_variable_and_by_numpy(dtype: Any) -> None:
    a = np.zeros((1 << 20) // np.dtype(dtype).itemsize + 9, dtype)
    f = tg.compile(lambda x: x + abs(tg.asarray(a)[:3]).astype(tg.float64) + float(abs(a[5])))
    x = tg.zeros(3, dtype=tg.float64)
    for _ in range(4):
        assert f(x).tolist() == [0.0] * 3
    a[5] = 1
    for _ in range(4):
        assert f(x).tolist() == [1.0] * 3
    a[0] = 1
    for _ in range(4):
        assert f(x).tolist() == [2.0, 1.0, 1.0]


def test_a_large_array_that_is_read_as_a_variable_alone() -> None:
    a = np.zeros((1 << 17) + 9)
    f = tg.compile(lambda x: x + tg.asarray(a)[:3])
    x = tg.zeros(3, dtype=tg.float64)
    for i in range(9):
        a[0] = i // 3
        assert f(x)[0].item() == i // 3
    a[0] = 9
    assert f(x)[0].item() == 9
    assert len(f.programs()) <= 2


def test_a_large_array_in_the_body_of_a_scan() -> None:
    a = np.zeros((1 << 17) + 9)

    def body(c: tg.Variable, x: tg.Variable) -> tuple[tg.Variable, tg.Variable]:
        return c + tg.asarray(a)[:2] + float(a[5]), c * x

    for value in (0.0, 1.0, 2.0):
        a[5] = value
        for _ in range(3):
            last, _ = tg.scan(body, tg.zeros(2, dtype=tg.float64), tg.ones(20, dtype=tg.float64))
            assert last.tolist() == [20 * value] * 2


def test_a_leaf_that_the_function_makes() -> None:
    @tg.compile
    def f(a: tg.Variable) -> tg.Variable:
        x = tg.zeros(3, dtype=tg.float64, requires_grad=True)
        ((x - a) ** 3).sum().backward()
        assert x.grad is not None
        return x.grad

    for i in range(6):
        a = tg.arange(3, dtype=tg.float64) + i
        assert same(f(a), 3 * (0 - a) ** 2)
    assert len(f.programs()) == 1


def test_leaves_among_the_arguments_that_are_new_in_each_call() -> None:
    w = tg.Variable([2.0, 3.0], dtype=tg.float64, requires_grad=True)

    @tg.compile
    def f(x: tg.Variable) -> tg.Variable:
        (x**3 * w).sum().backward()
        return x.grad

    kept = []
    for i in range(9):
        x = (tg.arange(2, dtype=tg.float64) + i).requires_grad_()
        w.grad = None
        kept.append((x, f(x)))
        assert kept[-1][1] is x.grad or same(kept[-1][1], x.grad)
        assert same(w.grad, x.detach() ** 3)
    for x, g in kept:
        assert same(g, 3 * x.detach() ** 2 * w.detach())
    assert len(f.programs()) >= 1, f.explain()
    # A leaf with a gradient adds to it, and one with a hook runs it.
    x = tg.ones(2, dtype=tg.float64, requires_grad=True)
    for i in range(5):
        f(x)
        assert x.grad.tolist() == [6.0 * (i + 1), 9.0 * (i + 1)]
    x = tg.ones(2, dtype=tg.float64, requires_grad=True)
    x.register_hook(lambda g: g * 10)
    assert f(x).tolist() == [60.0, 90.0]
    with tg.no_grad():
        x[0] = 4.0


def test_new_leaves_that_are_also_changed_run_in_python() -> None:
    @tg.compile
    def f(x: tg.Variable) -> None:
        (x * x).sum().backward()
        with tg.no_grad():
            x -= x.grad

    for i in range(9):
        x = (tg.ones(2) * i).requires_grad_()
        f(x)
        assert x.tolist() == [-float(i)] * 2
        assert x.grad.tolist() == [2.0 * i] * 2


class Cell:
    def __init__(self) -> None:
        self.h = tg.zeros(3, dtype=tg.float64)
        self.before = tg.ones(3, dtype=tg.float64)
        self.items = [tg.zeros(3, dtype=tg.float64), tg.ones(3, dtype=tg.float64)]
        self.named = {"a": tg.zeros(3, dtype=tg.float64), "k": 2.0}

    def attribute(self, x: tg.Variable) -> tg.Variable:
        self.h = 0.5 * self.h + x
        return self.h

    def swap(self, x: tg.Variable) -> tg.Variable:
        self.before, self.h = self.h, 0.5 * self.h + x - self.before
        return self.h * 2

    def argument(self, x: tg.Variable) -> tg.Variable:
        out = self.before * x
        self.before = x
        return out

    def listed(self, x: tg.Variable) -> None:
        first, second = self.items
        self.items[0], self.items[1] = first * 0.5 + x, second + first

    def item(self, x: tg.Variable) -> tg.Variable:
        self.named["a"] = self.named["a"] * self.named["k"] + x
        return self.named["a"].sum()


@pytest.mark.parametrize("name", ["attribute", "swap", "argument", "listed", "item"])
def test_variables_that_a_function_replaces(name: str) -> None:
    def make(decorate: Any) -> tuple[Any, Any, list[Any]]:
        cell = Cell()
        f, seen = decorate(getattr(cell, name)), []
        for i in range(16):
            result = f(tg.ones(3, dtype=tg.float64) * i)
            state = [cell.h, cell.before, *cell.items, cell.named["a"]]
            seen.append([None if v is None else v.tolist() for v in (result, *state)])
            seen.append(result is cell.h)
            if i == 9:
                cell.h, cell.items[0] = cell.h * 3, tg.ones(3, dtype=tg.float64)
            if i == 11:
                cell.named["k"] = 3.0
        return cell, f, seen

    eager, compiled = both(make)
    assert compiled[2] == eager[2]
    assert compiled[1].programs(), compiled[1].explain()
    assert "it replaces" in compiled[1].explain()


def test_variables_around_a_function_that_it_replaces() -> None:
    h = total = tg.zeros(2)
    w = tg.ones(2, requires_grad=True)
    sgd = optim.SGD([w], lr=0.1)

    @tg.compile
    def step(x: tg.Variable) -> tg.Variable:
        nonlocal h, total
        h = tg.tanh(h + x)
        sgd.zero_grad()
        loss = ((w - h) ** 2).sum()
        loss.backward()
        sgd.step()
        total = total + loss.detach()
        return loss.detach()

    expected, state, v = np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32)
    for _ in range(9):
        step(tg.ones(2))
        state = np.tanh(state + np.float32(1))
        expected = expected + ((v - state) ** 2).sum()
        v = v - np.float32(0.1) * 2 * (v - state)
    np.testing.assert_allclose(h.numpy(), state, rtol=1e-6)
    np.testing.assert_allclose(total.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(w.detach().numpy(), v, rtol=1e-6)
    assert step.programs(), step.explain()


def test_a_replaced_variable_with_a_history() -> None:
    def make(decorate: Any) -> list[Any]:
        net = nn.Linear(2, 2)
        cell = Cell()
        cell.h = tg.zeros(1, 2)

        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            cell.h = tg.tanh(net(x) + cell.h)
            return cell.h

        for i in range(9):
            f(tg.ones(1, 2) * i)
        cell.h.sum().backward()
        return [cell.h.tolist(), net.weight.grad.tolist()]

    eager, compiled = both(make)
    assert compiled == eager


def test_a_failing_call_replaces_nothing() -> None:
    cell = Cell()

    @tg.compile
    def f(x: tg.Variable, i: tg.Variable) -> tg.Variable:
        cell.h = cell.h + x
        return cell.h[i]

    for _ in range(8):
        f(tg.ones(3, dtype=tg.float64), tg.Variable([0]))
    assert f.programs()
    old = cell.h
    with pytest.raises(IndexError):
        f(tg.ones(3, dtype=tg.float64), tg.Variable([3]))
    assert cell.h is old
    f(tg.ones(3, dtype=tg.float64), tg.Variable([0]))
    assert cell.h.tolist() == [9.0] * 3


def test_replaced_variables_of_other_shapes_and_kinds() -> None:
    def make(decorate: Any) -> list[Any]:
        cell = Cell()
        f, seen = decorate(cell.attribute), []
        for start in (tg.zeros(3), tg.zeros(2, 3), tg.zeros(3, dtype=tg.float64), tg.zeros(6)[::2], nn.Parameter(tg.ones(3))):
            cell.h = start
            seen += [(f(tg.ones(3)).tolist(), str(cell.h.dtype), cell.h.requires_grad) for _ in range(6)]
        return seen

    eager, compiled = both(make)
    assert compiled == eager


def test_a_list_that_grows_and_a_cache_run_in_python() -> None:
    kept: list[tg.Variable] = []

    @tg.compile
    def f(x: tg.Variable) -> tg.Variable:
        kept.append(x * 2)
        return x + 1

    for i in range(6):
        f(tg.ones(1) * i)
    assert [k.item() for k in kept] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_a_replaced_variable_that_the_caller_takes_away() -> None:
    kept: dict[str, tg.Variable] = {}

    @tg.compile
    def f(x: tg.Variable) -> tg.Variable:
        kept["last"] = y = x * 2
        return y + 1

    for i in range(6):
        assert f(tg.ones(1) * i).item() == 2 * i + 1
        assert kept.pop("last").item() == 2 * i
    assert "what it replaces (kept['last']) was missing" in f.explain()


def test_replaced_variables_are_not_kept_and_not_saved() -> None:
    cell = Cell()
    f = tg.compile(cell.attribute)
    for _ in range(8):
        f(tg.ones(3, dtype=tg.float64))
    gone = weakref.ref(cell.h)
    f(tg.ones(3, dtype=tg.float64))
    gc.collect()
    assert gone() is None
    for op in ("freeze", "save"):
        with pytest.raises(ValueError, match=f"{op}: the program replaces a Variable"):
            getattr(f.programs()[0], op)(*["x.safetensors"][: op == "save"])


FACTOR = 2.0


class Scaled(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
        ctx.save_for_backward(tg.sin(x))
        return tg.exp(x)

    @staticmethod
    def backward(ctx: Any, g: tg.Variable) -> tg.Variable:
        (s,) = ctx.saved_values
        return g * s * FACTOR


def test_functions_with_rules_are_differentiated_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    f = tg.compile(lambda x: Scaled.apply(x).sum())
    for i in range(10):
        if i == 5:
            monkeypatch.setitem(globals(), "FACTOR", 3.0)
        x = (tg.arange(3, dtype=tg.float64) + i).requires_grad_()
        f(x).backward()
        assert same(x.grad, tg.sin(x.detach()) * (2.0 if i < 5 else 3.0))
    assert len(f.programs()) == 2, f.explain()


def test_bags_with_offsets_are_replayed() -> None:
    def make(decorate: Any, mode: str) -> list[Any]:
        bag = nn.EmbeddingBag(10, 3, mode=mode)
        sgd = optim.SGD(bag.parameters(), lr=0.1)

        @decorate
        def step(i: tg.Variable, offsets: tg.Variable) -> tg.Variable:
            sgd.zero_grad()
            loss = (bag(i, offsets) ** 2).sum()
            loss.backward()
            sgd.step()
            return loss.detach()

        starts = ([0, 2], [0, 3], [0, 0], [0, 5], [0, 1]) * 2
        out = [step(tg.Variable([1, 2, 3, 4, 1]), tg.Variable(at)).item() for at in starts]
        for wrong in ([1, 2], [0, 6], [0, -1]):
            with pytest.raises(ValueError, match="offsets must begin with 0"):
                step(tg.Variable([1, 2, 3, 4, 1]), tg.Variable(wrong))
        return [out, bag.weight.tolist(), step]

    for mode in ("sum", "mean"):
        eager, compiled = both(lambda decorate, mode=mode: make(decorate, mode))
        assert compiled[:2] == eager[:2]
        assert len(compiled[2].programs()) == 1


@pytest.mark.parametrize("rows", [True, False])
def test_connectionist_temporal_classification_is_replayed(rows: bool) -> None:
    def make(decorate: Any) -> list[Any]:
        net = nn.Linear(4, 5)
        sgd = optim.SGD(net.parameters(), lr=0.1)

        @decorate
        def step(x: tg.Variable, labels: tg.Variable, steps: tg.Variable, lengths: tg.Variable) -> tg.Variable:
            sgd.zero_grad()
            loss = nn.functional.ctc_loss(nn.functional.log_softmax(net(x), dim=-1), labels, steps, lengths)
            loss.backward()
            sgd.step()
            return loss.detach()

        out = []
        for k in range(8):
            x = tg.sin(tg.arange(48).reshape(6, 2, 4) * (k + 1.0))
            labels = [[1, 2, 3], [3, 4, 1 + k % 3]]
            lengths = [3 - k % 2, 2 + k % 2]
            if not rows:
                labels = [1, 2, 3, 4, 1 + k % 3]
            out.append(step(x, tg.Variable(labels), tg.Variable([6, 6 - k % 2]), tg.Variable(lengths)).item())
        with pytest.raises(ValueError, match="not the blank"):
            step(x, tg.Variable(labels) * 0, tg.Variable([6, 6]), tg.Variable(lengths))
        with pytest.raises(ValueError, match="input_lengths has 7"):
            step(x, tg.Variable(labels), tg.Variable([7, 6]), tg.Variable(lengths))
        return [out, net.weight.tolist(), step]

    eager, compiled = both(make)
    assert compiled[:2] == eager[:2]
    assert len(compiled[2].programs()) == 1, compiled[2].explain()


def test_second_derivatives_of_ctc_read_the_labels_of_each_call() -> None:
    def loss(x: tg.Variable, labels: tg.Variable) -> tg.Variable:
        return nn.functional.ctc_loss(nn.functional.log_softmax(x, dim=-1), labels, tg.Variable([4, 4]), tg.Variable([2, 2]))

    def product(x: tg.Variable, labels: tg.Variable) -> tg.Variable:
        return tg.hvp(lambda q: loss(q, labels), (x,), (x,))

    compiled = tg.compile(product)
    for k in range(6):
        x = tg.sin(tg.arange(32, dtype=tg.float64).reshape(4, 2, 4))
        labels = tg.Variable([[1, 2], [3, 1 + k % 3]])
        assert same(compiled(x, labels), product(x, labels))


def test_weights_that_a_hook_computes_before_each_call_are_replayed() -> None:
    for wrap in (nn.utils.weight_norm, nn.utils.spectral_norm):

        def make(decorate: Any, wrap: Any = wrap) -> list[Any]:
            net = wrap(nn.Linear(4, 3))
            sgd = optim.SGD(net.parameters(), lr=0.1)

            @decorate
            def step(x: tg.Variable) -> tg.Variable:
                sgd.zero_grad()
                loss = (net(x) ** 2).mean()
                loss.backward()
                sgd.step()
                return loss.detach()

            out = [step(tg.sin(tg.arange(8).reshape(2, 4) * (k + 1.0))).item() for k in range(9)]
            return [out, [p.tolist() for p in (*net.parameters(), *net.buffers())], net.weight.tolist(), step]

        eager, compiled = both(make)
        assert compiled[:3] == eager[:3]
        assert compiled[3].programs(), compiled[3].explain()


def test_a_base_class_whose_method_is_replaced() -> None:
    class A:
        def call(self, x: tg.Variable) -> tg.Variable:
            return x * 2

    class B(A):
        def call(self, x: tg.Variable) -> tg.Variable:
            return super().call(x) + 1

    f = tg.compile(B().call)
    for _ in range(4):
        assert f(tg.ones(1)).item() == 3.0
    A.call = lambda self, x: x * 5
    for _ in range(4):
        assert f(tg.ones(1)).item() == 6.0


def test_values_behind_proxies_and_in_arrays_of_objects_and_of_c() -> None:
    import ctypes
    import types

    table, inner, number = {"k": 1.0}, [1.0], ctypes.c_double(1.0)
    proxy, objects = types.MappingProxyType(table), np.array([inner, "x"], dtype=object)
    for change, f in [
        (lambda: table.update(k=2.0), lambda x: x * proxy["k"]),
        (lambda: inner.__setitem__(0, 2.0), lambda x: x * objects[0][0]),
        (lambda: setattr(number, "value", 2.0), lambda x: x * number.value),
    ]:
        compiled = tg.compile(f)
        for _ in range(4):
            assert compiled(tg.ones(1)).item() == 1.0
        assert len(compiled.programs()) == 1, compiled.explain()
        change()
        for _ in range(4):
            assert compiled(tg.ones(1)).item() == 2.0


def test_gradients_of_one_of_several_results() -> None:
    w, v = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    f = tg.compile(lambda x: ((w * x).sum(), (v * x).sum(), (w * v * x).sum()))
    for _ in range(6):
        w.grad = v.grad = None
        one, two, product = f(tg.ones(2))
        one.backward()
        assert v.grad is None
        assert w.grad.tolist() == [1.0, 1.0]
        two.backward()  # of a graph of its own
        assert v.grad.tolist() == [1.0, 1.0]
        product.backward()
        assert w.grad.tolist() == v.grad.tolist() == [2.0, 2.0]
        with pytest.raises(tg.FreedError):
            one.backward()
        one, two, _ = f(tg.ones(2))
        assert tg.autograd.grad(one, [w, v], retain_graph=True, allow_unused=True)[1] is None
        first, second = tg.autograd.grad(one + two, [w, v], create_graph=True)
        assert first.tolist() == second.tolist() == [1.0, 1.0]
    assert len(f.programs()) == 1


def test_results_that_share_a_part_of_their_graph() -> None:
    w, v = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)

    @tg.compile
    def f(x: tg.Variable) -> tuple[tg.Variable, tg.Variable]:
        h = tg.sin(w * x)
        return h.sum(), (h * v).sum()

    for _ in range(6):
        w.grad = v.grad = None
        one, two = f(tg.ones(2))
        one.backward(retain_graph=True)
        assert v.grad is None
        two.backward()
        assert v.grad.tolist() == tg.sin(tg.ones(2)).tolist()
        np.testing.assert_allclose(w.grad.numpy(), 2 * np.cos(1.0), rtol=1e-6)


@pytest.mark.parametrize("length", [0, 5, 20])
def test_a_loop_gives_no_gradient_to_what_a_result_does_not_depend_on(length: int) -> None:
    w, v, u = (tg.ones(2, requires_grad=True) for _ in range(3))
    xs = tg.ones(length, 2, requires_grad=True)

    def body(c: Any, x: tg.Variable) -> Any:
        a, b = c
        return (a * w + 1, b * u + a), a * v * x

    def grads(i: int, run: Any) -> list[Any]:
        start = (tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True))
        (a, b), ys = run(body, start, xs)
        out = tg.autograd.grad([a, b, ys][i].sum(), [w, v, u, xs, *start], allow_unused=True)
        return [None if g is None else g.tolist() for g in out]

    def loop(f: Any, c: Any, all: tg.Variable) -> Any:
        ys = []
        for x in all:
            c, y = f(c, x)
            ys.append(y)
        return c, tg.stack(ys) if ys else tg.zeros(0, 2)

    for i in range(3 if length else 2):
        assert grads(i, tg.scan) == grads(i, loop)


def test_gradients_by_transforms_of_functions_that_change_state() -> None:
    def make(decorate: Any) -> list[Any]:
        buffer, w = tg.zeros(2), tg.ones(2, requires_grad=True)

        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            buffer.add_(1)
            return (x * x * w).sum()

        out = [tg.grad(f)(tg.ones(2) * i) for i in range(6)]
        return [[g.tolist() for g in out], [g.requires_grad for g in out], buffer.tolist(), out[-1]]

    eager, compiled = both(make)
    assert compiled[:3] == eager[:3]
    with pytest.raises(tg.GradError, match="changes nothing and draws no random numbers"):
        compiled[3].sum().backward()


def test_a_backward_pass_through_the_history_of_an_argument() -> None:
    def make(decorate: Any) -> list[Any]:
        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            loss = (x * x).sum()
            loss.backward(retain_graph=True)
            return loss.detach()

        seen = []
        v, u = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
        for x in [v * 2] * 5 + [v * 3] * 3 + [u * 5] * 2:
            u.grad = v.grad = None
            seen.append([f(x).tolist(), *(None if p.grad is None else p.grad.tolist() for p in (u, v))])
        return seen

    eager, compiled = both(make)
    assert compiled == eager


def test_a_backward_pass_that_frees_the_history_of_an_argument() -> None:
    def make(decorate: Any) -> list[Any]:
        @decorate
        def f(x: tg.Variable) -> tg.Variable:
            (x * x).sum().backward()
            return tg.sort(x)

        v, seen = tg.ones(2, requires_grad=True), []
        for i in range(6):
            y = f(v * i)
            with pytest.raises(tg.FreedError):
                y.sum().backward()
            seen.append([y.tolist(), v.grad.tolist()])
        return seen

    eager, compiled = both(make)
    assert compiled == eager


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("how", ["optimizer", "module", "attribute"])
def test_gradients_that_were_not_there_when_they_were_removed(set_to_none: bool, how: str) -> None:
    def make(decorate: Any) -> list[Any]:
        used, unused = nn.Linear(1, 1), nn.Linear(1, 1)
        params = [*used.parameters(), *unused.parameters()]
        optimizer = optim.SGD(params, lr=0.1, momentum=0.9)

        @decorate
        def step(x: tg.Variable) -> None:
            if how == "optimizer":
                optimizer.zero_grad(set_to_none)
            elif how == "module":
                unused.zero_grad(set_to_none)
            else:
                unused.weight.grad = unused.bias.grad = None
            used(x).sum().backward()
            optimizer.step()

        seen = []
        for i in range(12):
            if i in (5, 8):
                unused(tg.ones(1, 1)).sum().backward()
            step(tg.ones(1, 1) * i)
            seen.append([(p.tolist(), None if p.grad is None else p.grad.tolist()) for p in params])
        return seen

    eager, compiled = both(make)
    assert compiled == eager
