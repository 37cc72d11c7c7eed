"""Custom functions: results, mistakes, exceptions, garbage, higher derivatives."""

import gc
import re
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import Function, grad, gradcheck, gradgradcheck, once_differentiable


def leaf(*values):
    return tg.Variable(list(values), dtype=tg.float64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_values
        return 3.0 * x * x * g


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = tg.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return y * g


class Affine(Function):
    """Several arguments, not all of them arrays, and two outputs."""

    @staticmethod
    def forward(ctx, x, slope, name=None):
        ctx.slope, ctx.needs = slope, ctx.needs_input_grad
        ctx.save_for_backward(x, None)
        return x * slope, x + 1.0

    @staticmethod
    def backward(ctx, g_scaled, g_moved):
        total = tg.zeros_like(ctx.saved_values[0])
        if g_scaled is not None:
            total = total + g_scaled * ctx.slope
        if g_moved is not None:
            total = total + g_moved
        return total, None, None


def test_forward_and_gradient():
    x = leaf(1.0, 2.0)
    y = Cube.apply(x)
    assert type(y) is tg.Variable
    assert y.grad_fn == "Cube"
    y.backward(tg.ones_like(y))
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 12.0])


def test_nothing_is_recorded_for_untracked_arguments_or_without_recording():
    assert not Cube.apply(tg.Variable([1.0])).requires_grad
    with tg.no_grad():
        assert not Cube.apply(leaf(1.0)).requires_grad


@pytest.mark.parametrize("function", [Cube, Exp])
def test_both_orders_agree_with_differences(function):
    assert gradcheck(function.apply, leaf(0.5, -1.0, 2.0), fast=False)
    assert gradgradcheck(function.apply, leaf(0.5, -1.0, 2.0))


def test_third_derivative_through_a_saved_output():
    x = leaf(0.3)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(np.exp(0.3), rel=1e-14)


def test_several_outputs_of_which_one_is_used():
    x = leaf(1.0, 2.0)
    scaled, moved = Affine.apply(x, 5.0, "name")
    (g,) = grad(tg.sum(moved), x, retain_graph=True)
    np.testing.assert_array_equal(g.numpy(), [1.0, 1.0])
    (g,) = grad(tg.sum(scaled * moved), x)
    np.testing.assert_allclose(g.numpy(), 5 * (2 * x.detach().numpy() + 1))


def test_needs_input_grad():
    seen = []

    class Probe(Function):
        @staticmethod
        def forward(ctx, a, b, c):
            seen.append(ctx.needs_input_grad)
            return a + b

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g, None, None

    y = Probe.apply(leaf(1.0), tg.Variable([2.0], dtype=tg.float64), 3)
    grad_seen = (True, False, False)
    y.backward()
    assert seen == [grad_seen, grad_seen]


def test_saved_values_are_those_of_the_forward():
    x = leaf(2.0)
    y = Cube.apply(x)
    with tg.no_grad():
        x[...] = 100.0
    y.backward()
    assert x.grad.item() == 12.0


def test_saved_values_are_those_of_the_forward_at_every_order():
    x = leaf(2.0)
    v = x * 1.0
    y = Cube.apply(v)
    v *= 100.0
    (first,) = grad(y, x, create_graph=True)
    assert first.item() == 12.0
    assert grad(first, x)[0].item() == 12.0
    z = Exp.apply(x)
    kept = z * 1.0
    z += 5.0
    (first,) = grad(kept, x, create_graph=True)
    (second,) = grad(first, x)
    np.testing.assert_allclose([first.item(), second.item()], [np.exp(2.0)] * 2)


def test_non_differentiable_outputs():
    class Parts(Function):
        @staticmethod
        def forward(ctx, x):
            sign = tg.sign(x)
            ctx.mark_non_differentiable(sign)
            return tg.abs(x), sign

        @staticmethod
        def backward(ctx, g, g_sign):
            assert g_sign is None
            return g

    size, sign = Parts.apply(leaf(-1.0, 2.0))
    assert size.requires_grad
    assert not sign.requires_grad
    size.backward(tg.ones_like(size))


class Wrong(Function):
    """Returns the gradients that a test gives it."""

    @staticmethod
    def forward(ctx, x, make):
        ctx.make = make
        return x * 1.0

    @staticmethod
    def backward(ctx, g):
        return ctx.make(g)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda g: g, tg.GradError, "returned 1 gradient, expected 2"),
        (lambda g: (g, None, None), tg.GradError, "returned 3 gradients, expected 2"),
        (lambda g: (g, g), tg.GradError, "gradient 1 must be None"),
        (lambda g: (g[:1], None), tg.GradError, r"shape \(1,\).*expected \(2,\)"),
        (lambda g: (g.astype(tg.float32), None), tg.GradError, "float32.*float64"),
        (lambda g: (3.0, None), TypeError, "gradient 0"),
    ],
)
def test_wrong_gradients_are_named(make, error, message):
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=f"(?s)Wrong.*{message}"):
        tg.sum(Wrong.apply(x, make)).backward()
    assert x.grad is None


def test_a_second_backward_names_the_class():
    x = leaf(2.0)
    for end in (lambda y: y.backward(), lambda y: grad(y, x)):
        y = Cube.apply(x)
        end(y)
        assert y.grad_fn == "Cube"
        with pytest.raises(tg.FreedError, match="the graph behind `Cube` was already freed"):
            y.backward()


def test_exceptions_pass_through_unchanged():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x, where):
            ctx.where = where
            if where == "forward":
                raise KeyError("in forward")
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            raise KeyError("in backward")

    x = leaf(1.0)
    with pytest.raises(KeyError, match="in forward"):
        Fails.apply(x, "forward")
    assert tg.is_grad_enabled()
    y = Fails.apply(x, "backward")
    with pytest.raises(KeyError, match="in backward") as caught:
        y.backward()
    assert any(entry.name == "backward" for entry in caught.traceback)
    assert tg.is_grad_enabled()
    assert x.grad is None


def test_misuse_has_a_message():
    with pytest.raises(TypeError, match=re.escape("call Cube.apply(...)")):
        Cube()
    with pytest.raises(NotImplementedError, match="forward"):
        type("Empty", (Function,), {}).apply(leaf(1.0))

    class ForwardOnly(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

    with pytest.raises(NotImplementedError, match="backward"):
        ForwardOnly.apply(leaf(1.0)).backward()
    with pytest.raises(TypeError, match="staticmethod"):

        class NotStatic(Function):
            def forward(self, x):
                return x

    class SavesLists(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward([x])

    class MarksNumbers(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_non_differentiable(3)

    with pytest.raises(TypeError, match="output 0 is an int"):
        MarksNumbers.apply(leaf(1.0))
    with pytest.raises(TypeError, match="value 0 is a list"):
        SavesLists.apply(leaf(1.0))

    class ReturnsNumbers(Function):
        @staticmethod
        def forward(ctx, x):
            return 3.0

    with pytest.raises(TypeError, match=r"ReturnsNumbers\.forward must return Variables, got float"):
        ReturnsNumbers.apply(leaf(1.0))


def test_once_differentiable():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not tg.is_grad_enabled()
            (x,) = ctx.saved_values
            return tg.asarray(2 * x.numpy() * g.numpy())

    x = leaf(3.0)
    assert grad(Square.apply(x), x)[0].item() == 6.0
    (first,) = grad(Square.apply(x), x, create_graph=True)
    assert first.item() == 6.0
    assert first.requires_grad
    with pytest.raises(tg.GradError, match=r"Square\.backward is marked once_differentiable"):
        first.backward()


class Watched:
    """An object with weak references, to attach to a context."""


@pytest.mark.parametrize("function", [Cube, Exp])
def test_a_dropped_graph_lets_go_of_its_context(function):
    watched = Watched()
    probe = weakref.ref(watched)

    class Holder(function):
        @staticmethod
        def forward(ctx, x, thing):
            ctx.thing = thing
            return function.forward(ctx, x)

        @staticmethod
        def backward(ctx, g):
            return function.backward(ctx, g), None

    y = Holder.apply(leaf(1.0), watched)
    del watched
    assert probe() is not None
    z = y * 2.0
    del y
    gc.collect()
    assert probe() is not None, "the graph of z needs it"
    del z
    gc.collect()
    assert probe() is None


def test_a_cycle_through_a_context_is_collected():
    before = tg.tape_stats()["live_nodes"]

    class Knot(Function):
        @staticmethod
        def forward(ctx, x):
            Knot.last = ctx
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g

    y = Knot.apply(leaf(1.0))
    ctx = Knot.last
    del Knot.last
    ctx.output = y  # the context holds the output, whose node holds the context
    probe = weakref.ref(ctx)
    del ctx, y
    gc.collect()
    assert probe() is None
    assert tg.tape_stats()["live_nodes"] == before


def test_a_backward_frees_what_was_saved():
    big = weakref.WeakSet()

    class Keep(Function):
        @staticmethod
        def forward(ctx, x):
            thing = Watched()
            big.add(thing)
            ctx.thing = thing
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g

    y = Keep.apply(leaf(1.0))
    y.backward()
    gc.collect()
    assert len(big) == 0
    with pytest.raises(tg.FreedError, match="already freed"):
        y.backward()
