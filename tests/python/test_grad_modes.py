"""no_grad, enable_grad, set_grad_enabled, detect_anomaly: blocks, decorators, generators, threads, exceptions."""

import functools
import threading

import pytest

import tapegrad as tg


@pytest.fixture
def x():
    return tg.Variable(2.0, requires_grad=True)


def test_no_grad_records_nothing(x):
    with tg.no_grad():
        assert not tg.is_grad_enabled()
        assert not (x * 3).requires_grad
    assert tg.is_grad_enabled()
    assert (x * 3).requires_grad


def test_nesting_and_exceptions_restore_what_was():
    with tg.no_grad():
        with pytest.raises(ZeroDivisionError), tg.enable_grad():
            assert tg.is_grad_enabled()
            _ = 1 / 0
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_one_object_may_be_entered_again_within_itself():
    mode = tg.no_grad()
    with mode:
        with tg.enable_grad():
            with mode:
                assert not tg.is_grad_enabled()
            assert tg.is_grad_enabled()
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


@pytest.mark.parametrize("written", ["tg.no_grad", "tg.no_grad()", "tg.set_grad_enabled(False)"])
def test_decorators(x, written):
    decorate = eval(written, {"tg": tg})  # noqa: S307 - not when pytest collects: the last one acts at once
    assert tg.is_grad_enabled() == (written != "tg.set_grad_enabled(False)")

    @decorate
    def triple(v, *, by=3):
        """Multiplies."""
        assert not tg.is_grad_enabled()
        return v * by

    assert tg.is_grad_enabled()
    assert not triple(x, by=4).requires_grad
    assert triple.__name__ == "triple"
    assert triple.__doc__ == "Multiplies."
    assert tg.is_grad_enabled()


def test_a_decorated_function_that_raises_restores():
    @tg.no_grad()
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert tg.is_grad_enabled()


def test_decorated_generators_switch_only_while_they_run():
    seen = []

    @tg.no_grad()
    def generate():
        try:
            got = yield tg.is_grad_enabled()
            seen.append(got)
            try:
                yield tg.is_grad_enabled()
            except ValueError:
                seen.append(tg.is_grad_enabled())
                yield "caught"
        finally:
            seen.append(("closed", tg.is_grad_enabled()))
        return "end"

    g = generate()
    assert next(g) is False
    assert tg.is_grad_enabled()
    assert g.send("sent") is False
    assert g.throw(ValueError()) == "caught"
    assert tg.is_grad_enabled()
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "end"
    assert seen == ["sent", False, ("closed", False)]
    g = generate()
    next(g)
    g.close()
    assert seen[-1] == ("closed", False)
    assert tg.is_grad_enabled()


def test_methods_and_partials_can_be_decorated(x):
    class Model:
        @tg.no_grad()
        def predict(self, v):
            return v * 2

    assert not Model().predict(x).requires_grad
    assert not tg.no_grad(functools.partial(lambda a, b: a * b, x))(2.0).requires_grad


def test_what_cannot_be_decorated():
    with pytest.raises(TypeError, match="cannot decorate the class A: decorate its methods"):
        tg.no_grad()(type("A", (), {}))
    with pytest.raises(TypeError, match="not an int"):
        tg.no_grad()(3)

    async def later():
        pass

    with pytest.raises(TypeError, match="async"):
        tg.no_grad()(later)


def test_set_grad_enabled_as_a_call_and_as_a_block():
    tg.set_grad_enabled(False)
    assert not tg.is_grad_enabled()
    tg.set_grad_enabled(True)
    assert tg.is_grad_enabled()
    with tg.set_grad_enabled(False):
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    mode = tg.set_grad_enabled(False)
    with mode:
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    with mode:
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_modes_belong_to_threads():
    found = {}
    mode = tg.no_grad()
    with mode:

        def other():
            found["start"] = tg.is_grad_enabled()
            with mode:
                found["inside"] = tg.is_grad_enabled()
            found["end"] = tg.is_grad_enabled()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert not tg.is_grad_enabled()
    assert found == {"start": True, "inside": False, "end": True}
    assert tg.is_grad_enabled()


def test_detect_anomaly_names_the_line():
    zero = tg.Variable(0.0, requires_grad=True)
    with tg.autograd.detect_anomaly():
        square = zero * zero  # this line
        y = tg.sqrt(square)
        with pytest.raises(tg.GradError, match=r"gradient of `multiply`.*is NaN.*test_grad_modes\.py:\d+"):
            y.backward()
    tg.sqrt(zero * zero).backward()


def test_repr():
    assert repr(tg.no_grad()) == "no_grad()"
    assert repr(tg.set_grad_enabled(True)) == "set_grad_enabled(True)"
    assert repr(tg.autograd.detect_anomaly()) == "detect_anomaly()"
    with tg.set_grad_enabled(True) as nothing:
        assert nothing is None
