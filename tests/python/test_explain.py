"""Why a gradient is missing, zero or not finite, in words."""

import pytest

import tapegrad as tg

HERE = __file__


def leaf(*values):
    return tg.Variable(list(values), dtype="float64", requires_grad=True)


def test_what_the_state_tells():
    x = leaf(1.0, 2.0)
    assert "does not require gradients" in tg.explain(tg.ones(2))
    assert "dtype int64, which carries no gradient" in tg.explain(tg.Variable([1, 2]))
    assert "no backward() has reached it" in tg.explain(x)
    assert "not a leaf: it is the result of `multiply`" in tg.explain(x * 2)
    tg.sum(x * 0.0).backward()
    assert tg.explain(x).startswith("x.grad is zero.")
    tg.sum(x).backward()
    assert tg.explain(x) == "x.grad is fine."


def test_a_result_that_is_there():
    x, other = leaf(1.0, 2.0), leaf(3.0)
    assert "there is no path from x to y" in tg.explain(x, tg.sum(other))
    assert "y is not tracked" in tg.explain(x, tg.sum(x.detach()))
    assert "The gradient of y by x is zero." in tg.explain(x, tg.sum(x * 0.0))
    y = tg.sum(x * x)
    assert "is fine" in tg.explain(x, y)
    assert x.grad is None
    y.backward()
    assert "its graph is freed" in tg.explain(x, y)
    assert "`sum`" in tg.explain(x, y)


def detached(x, other):
    y = x * 2
    return tg.sum(y.detach() * other)


def without_recording(x, other):
    with tg.no_grad():
        y = x * 2
    return tg.sum(y * other)


def by_numpy(x, other):
    return tg.sum(tg.Variable((x + 1).numpy()) * other)


def line_of(f, offset):
    return f"{HERE}:{f.__code__.co_firstlineno + offset}"


@pytest.mark.parametrize(
    ("f", "offset", "text"),
    [(detached, 2, "detach() at"), (without_recording, 1, "Recording was switched off at"), (by_numpy, 1, "numpy() at")],
)
def test_where_a_value_left_the_tape(f, offset, text):
    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    found = tg.explain(x, lambda: f(x, other))
    assert "there is no path from x to the result" in found
    assert f"{text} {line_of(f, offset)}" in found
    assert x.grad is None
    assert other.grad is None


def test_no_path():
    x, other = leaf(1.0), leaf(2.0)
    assert "No recorded operation used x" in tg.explain(x, lambda: tg.sum(other))
    found = tg.explain(x, lambda: (tg.exp(x), tg.sum(other))[1])
    assert "last recorded operation that depends on x is `exp` at" in found
    assert "returned no Variable" in tg.explain(x, lambda: 3.0)


def test_the_first_bad_operation():
    x = leaf(0.0, 1.0)
    found = tg.explain(x, lambda: tg.sum(tg.log(x) * 2))
    assert "The gradient of x is" in found
    assert "the value of `log` at" in found
    assert "of finite inputs between 0 and 1" in found
    found = tg.explain(x, lambda: tg.sum(tg.sqrt(x * 1.0)))
    assert "all values are finite" in found
    assert "`sqrt` at" in found
    assert "infinite in 1 of 2 elements" in found
    found = tg.explain(x, lambda: tg.sum((x - x) / (x - x)))
    assert "the value of `divide`" in found
    assert "NaN" in found


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x, o: tg.where(x > 5, x, o), "`where` at {} never takes the branch with x"),
        (lambda x, o: tg.relu(-x), "`relu` at {} gets inputs between -2 and -1, where it is flat"),
        (lambda x, o: tg.clip(x, 5.0, 6.0), "all outside of the range"),
        (lambda x, o: x * 0.0, "multiplies by a factor that is zero everywhere"),
        (lambda x, o: x * tg.zeros(2, dtype="float64"), "multiplies by a factor that is zero everywhere"),
        (lambda x, o: tg.max(tg.concatenate([x, o], axis=0)), "for its other inputs only"),
    ],
)
def test_what_makes_it_zero(f, text):
    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    found = tg.explain(x, lambda: tg.sum(f(x, other)))
    assert "The gradient of x is zero: " in found
    head, _, tail = text.partition("{}")
    assert head in found
    assert tail in found
    assert HERE in found


def test_partly_zero_and_fine():
    x = leaf(1.0, 2.0)
    assert "zero in 1 of 2 elements: those elements do not change the result" in tg.explain(x, lambda: x[0] ** 2)
    assert "is fine. x.grad is None because no backward()" in tg.explain(x, lambda: tg.sum(x**2))
    y = x * 2
    assert "x is not a leaf (`multiply` made it)" in tg.explain(y, lambda: tg.sum(y**2))


def test_a_training_step_is_asked_without_running_backward():
    x = leaf(1.0, 2.0)

    def step():
        loss = tg.sum(tg.relu(-x))
        loss.backward()

    assert "The gradient of x is zero: `relu`" in tg.explain(x, step)
    assert x.grad is None


def test_nothing_is_left_behind():
    x = leaf(1.0)
    methods = {name: vars(tg.Variable).get(name) for name in ("detach", "numpy", "item", "data", "backward")}
    with pytest.raises(ZeroDivisionError):
        tg.explain(x, lambda: 1 / 0)
    assert {name: vars(tg.Variable).get(name) for name in methods} == methods
    with tg.no_grad():
        assert "is fine" in tg.explain(x, lambda: tg.sum(x * x))
        assert not tg.is_grad_enabled()


def test_bad_input():
    with pytest.raises(TypeError, match="x must be a Variable, got float"):
        tg.explain(1.0)
    with pytest.raises(TypeError, match="y must be a Variable or a function"):
        tg.explain(leaf(1.0), 3)
