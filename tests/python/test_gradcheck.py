"""gradcheck and gradgradcheck: right rules pass, a wrong rule is caught and named."""

import pytest

import tapegrad as tg
from tapegrad.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def leaf(*shape, dtype=tg.float64):
    count = 1
    for n in shape:
        count *= n
    values = [0.3 + 0.17 * i - 0.05 * i * i for i in range(count)]
    return tg.reshape(tg.Variable(values, dtype=dtype), shape).requires_grad_(True)


class WrongEntry(Function):
    """The square, with a rule that is wrong for entry (1, 2) only, by a thousandth."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_values
        factor = tg.Variable([[2.0, 2.0, 2.0], [2.0, 2.0, 2.002]], dtype=tg.float64)
        return factor * x * g


class WrongSecond(Function):
    """The cube, with a rule whose values are right but whose derivative is not."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_values
        return 3.0 * x * x.detach() * g


@pytest.mark.parametrize("fast", [True, False])
def test_right_rules_pass(fast):
    def f(a, b):
        return tg.sin(a) * b, tg.exp(b)

    report = gradcheck(f, (leaf(2, 3), leaf(3)), fast=fast)
    assert report
    assert report.ok
    assert report.worst is None
    assert set(report.ops) == {"sin", "multiply", "exp"}
    assert "ok" in str(report)
    assert report.compared == (4 * 4 if fast else 2 * 3 * 9 + 3 * 9)
    assert gradgradcheck(f, (leaf(2, 3), leaf(3)), fast=fast)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3)])
def test_small_and_empty_shapes(shape):
    for fast in (True, False):
        assert gradcheck(lambda x: tg.tanh(x) * x, leaf(*shape), fast=fast)
        assert gradgradcheck(lambda x: tg.tanh(x) * x, leaf(*shape), fast=fast)


@pytest.mark.parametrize("fast", [True, False])
def test_a_wrong_entry_is_named(fast):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(WrongEntry.apply, leaf(2, 3), fast=fast)
    report = caught.value.report
    assert report.function == "WrongEntry"
    assert report.ops == ("WrongEntry",)
    assert len(report.mismatches) == 1
    worst = report.worst
    assert (worst.input, worst.input_entry, worst.output, worst.output_entry) == (0, (1, 2), 0, (1, 2))
    x = leaf(2, 3)[1, 2].item()
    assert worst.numeric == pytest.approx(2 * x, rel=1e-7)
    assert worst.analytic == pytest.approx(2.002 * x, rel=1e-12)
    assert worst.error == pytest.approx(0.002 * abs(x), rel=1e-4)
    for words in ("gradcheck(WrongEntry)", "output 0[1, 2]", "input 0[1, 2]", "analytic", "numeric"):
        assert words in str(caught.value)


def test_the_report_can_be_returned():
    report = gradcheck(WrongEntry.apply, leaf(2, 3), raise_exception=False)
    assert not report
    assert report.max_error > 0
    assert "WrongEntry" in repr(report)


def test_a_wrong_second_derivative_is_caught():
    x = leaf(3)
    assert gradcheck(WrongSecond.apply, x)
    with pytest.raises(GradcheckError, match=r"gradgradcheck\(WrongSecond\)"):
        gradgradcheck(WrongSecond.apply, x)


def test_a_wrong_rule_among_right_ones_is_traced_to_its_input():
    def f(a, x, b):
        return tg.exp(a) + WrongEntry.apply(x) * b

    report = gradcheck(f, (leaf(1), leaf(2, 3), 2.0), raise_exception=False)
    assert {m.input for m in report.mismatches} == {1}


def test_large_failures_stay_cheap():
    class WrongSum(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g * 1.1

    report = gradcheck(WrongSum.apply, leaf(400), raise_exception=False)
    assert not report
    assert report.worst.input_entry is None
    assert "random direction" in str(report)


def test_nan_never_passes():
    class Nan(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    assert not gradcheck(Nan.apply, leaf(2), raise_exception=False)


def test_float32_inputs_are_checked_in_float64():
    x = leaf(3, dtype=tg.float32)
    assert gradcheck(lambda v: tg.sin(v) * 1e3, x)
    assert x.dtype == tg.float32
    assert x.grad is None


def test_inputs_that_are_not_checked_pass_through():
    constant = tg.Variable([1.0, 2.0, 3.0])
    assert gradcheck(lambda x, c, n: x * c * n, (leaf(3), constant, 2))


def test_unused_inputs_have_zero_gradients():
    assert gradcheck(lambda a, b: a * 2.0, (leaf(2), leaf(3)))
    assert gradgradcheck(lambda a, b: a * a, (leaf(2), leaf(3)))


def test_results_are_reproducible():
    reports = [gradcheck(WrongEntry.apply, leaf(2, 3), seed=5, raise_exception=False) for _ in range(2)]
    assert str(reports[0]) == str(reports[1])


def test_grad_outputs_can_be_given():
    x = leaf(3)
    assert gradgradcheck(tg.exp, x, tg.ones((3,), dtype=tg.float64))
    with pytest.raises(ValueError, match="2 grad_outputs for 1"):
        gradgradcheck(tg.exp, x, [x.detach(), x.detach()])


def test_misuse_has_a_message():
    with pytest.raises(ValueError, match="no input is a floating or complex Variable with requires_grad=True"):
        gradcheck(tg.exp, tg.Variable([1.0]))
    with pytest.raises(tg.GradError, match="no output depends"):
        gradcheck(lambda x: x.detach(), leaf(2))
    with pytest.raises(TypeError, match="returned a float as output 0"):
        gradcheck(lambda x: 3.0, leaf(2))
    with pytest.raises(ValueError, match="eps must be positive"):
        gradcheck(tg.exp, leaf(2), eps=0.0)
