"""``tg.integrate`` against SciPy: rules for samples, Gauss-Legendre, ``solve_ivp``; and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate

import tapegrad as tg
from tapegrad import integrate
from tapegrad.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9])
def test_rules_for_samples(n: int) -> None:
    y, x = RNG.normal(size=(3, n)), np.cumsum(RNG.random(n) + 0.1)
    for axis, values in ((-1, y), (0, y.T)):
        for options in ({}, {"dx": 0.3}, {"x": x}):
            for name in ("simpson", "trapezoid", "cumulative_trapezoid"):
                got = getattr(integrate, name)(tg.asarray(values), axis=axis, **options)
                np.testing.assert_allclose(got.numpy(), getattr(scipy.integrate, name)(values, axis=axis, **options), atol=1e-13)
    got = integrate.cumulative_trapezoid(y, x, initial=0)
    np.testing.assert_allclose(got.numpy(), scipy.integrate.cumulative_trapezoid(y, x, initial=0), atol=1e-13)
    leaves = tuple(tg.asarray(v).clone().requires_grad_(True) for v in (y, x))
    assert gradcheck(lambda y, x: integrate.simpson(y, x), leaves)
    assert gradgradcheck(lambda y, x: integrate.cumulative_trapezoid(y, x) ** 2, leaves, rtol=1e-4)


def test_fixed_quad() -> None:
    for n in (1, 3, 7):
        got = integrate.fixed_quad(lambda x: tg.exp(-x) * x, 0.5, tg.asarray(2.0, dtype="float64"), n=n)[0].item()
        assert got == pytest.approx(scipy.integrate.fixed_quad(lambda x: np.exp(-x) * x, 0.5, 2.0, n=n)[0], rel=1e-12)
    b = tg.Variable(2.0, dtype="float64", requires_grad=True)
    assert tg.autograd.grad(integrate.fixed_quad(lambda x: x**3, 0.0, b)[0], b)[0].item() == pytest.approx(8.0)


def rotate(t: Any, y: Any, w: Any = 2.0) -> Any:
    return tg.stack([y[1] * w, -y[0] * w + 0.1 * t])


def test_solve_ivp_has_scipys_results() -> None:
    reference = lambda t, y, w=2.0: [w * y[1], -w * y[0] + 0.1 * t]  # noqa: E731
    times = np.linspace(0.0, 3.0, 7)
    tight = {"rtol": 1e-9, "atol": 1e-11}
    for t_eval in (times, times[1:], times[2:3]):
        got = integrate.solve_ivp(rotate, (0.0, 3.0), [1.0, 0.5], t_eval=t_eval, args=(1.5,), **tight)
        want = scipy.integrate.solve_ivp(reference, (0.0, 3.0), [1.0, 0.5], t_eval=t_eval, args=(1.5,), **tight)
        np.testing.assert_array_equal(got.t, want.t)
        np.testing.assert_allclose(got.y.numpy(), want.y, atol=1e-7)
        assert got.success
        assert got.status == 0
        assert got.sol is None
    got = integrate.solve_ivp(rotate, (3.0, 0.0), [1.0, 0.5], dense_output=True, **tight)
    want = scipy.integrate.solve_ivp(reference, (3.0, 0.0), [1.0, 0.5], dense_output=True, **tight)
    assert got.t[0] == 3.0
    assert got.t[-1] == 0.0
    assert got.y.shape == (2, len(got.t))
    np.testing.assert_allclose(got.y[:, -1].numpy(), want.y[:, -1], atol=1e-7)
    np.testing.assert_allclose(got.sol(times).numpy(), want.sol(times), atol=1e-6)
    assert got.sol(1.0).shape == (2,)


@pytest.mark.parametrize("way", ["direct", "adjoint"])
def test_gradients_of_solve_ivp(way: str) -> None:
    w = tg.Variable(1.5, dtype="float64", requires_grad=True)
    start = tg.asarray(np.array([1.0, 0.5])).requires_grad_(True)

    def last(w: Any, start: Any) -> Any:
        found = integrate.solve_ivp(rotate, (0.0, 2.0), start, t_eval=[1.0, 2.0], args=(w,), rtol=1e-9, atol=1e-11, gradient=way)
        return found.y

    assert gradcheck(last, (w, start), rtol=1e-4, atol=1e-5)


def test_options_that_are_not_there_are_named() -> None:
    for options in ({"lband": 1}, {"min_step": 0.1}, {"vectorized": True}, {"other": 1}):
        with pytest.raises(TypeError, match=next(iter(options))):
            integrate.solve_ivp(rotate, (0.0, 1.0), [1.0, 0.0], **options)
    with pytest.raises(ValueError, match="method 'BDF' is not available"):
        integrate.solve_ivp(rotate, (0.0, 1.0), [1.0, 0.0], "BDF")
    with pytest.raises(tg.ShapeError, match="expected a vector"):
        integrate.solve_ivp(rotate, (0.0, 1.0), 1.0)
    with pytest.raises(tg.AxisError):
        integrate.simpson([1.0, 2.0], axis=1)
    with pytest.raises(tg.ShapeError, match="expected as many"):
        integrate.simpson([1.0, 2.0], x=[1.0])


def test_integrals_over_several_variables() -> None:
    def bell(y: Any, x: Any, a: Any = 0.7) -> Any:
        return tg.exp(-a * x * y)

    def numbers(y: float, x: float) -> float:
        return float(np.exp(-0.7 * x * y))

    for limits in ((0.0, 2.0), (lambda x: -x, lambda x: x * x), (0.5, lambda x: x + 1.0)):
        got, error = integrate.dblquad(bell, 0.0, 1.0, *limits)
        assert got.item() == pytest.approx(scipy.integrate.dblquad(numbers, 0.0, 1.0, *limits)[0], rel=1e-10)
        assert 0.0 <= error < 1e-8
    whole = integrate.dblquad(lambda y, x: tg.exp(-x * x - y * y), -np.inf, np.inf, -np.inf, np.inf)[0]
    assert whole.item() == pytest.approx(np.pi, rel=1e-8)
    ball = (lambda x: x, 2.0, lambda x, y: x * y, lambda x, y: x + y)
    got = integrate.tplquad(lambda z, y, x: x * y + z, 0.0, 1.0, *ball)[0]
    assert got.item() == pytest.approx(scipy.integrate.tplquad(lambda z, y, x: x * y + z, 0.0, 1.0, *ball)[0], rel=1e-10)
    a = tg.Variable(0.7, dtype="float64", requires_grad=True)
    ranges = [lambda x, a: (0.0, a * x), (0.0, 2.0)]
    assert gradcheck(lambda a: integrate.nquad(bell, ranges, args=(a,))[0], (a,))
    with pytest.raises(ValueError, match="ranges is empty"):
        integrate.nquad(bell, [])


def test_integrals_between_points() -> None:
    b = tg.Variable(1.0, dtype="float64", requires_grad=True)
    kink = lambda x: tg.abs(x - 0.3)  # noqa: E731
    value, error = integrate.quad(kink, 0.0, b, points=[0.3, 7.0])
    assert value.item() == pytest.approx(0.5 * (0.09 + 0.49), abs=1e-15)
    assert error < 1e-12
    assert tg.autograd.grad(value, b)[0].item() == pytest.approx(0.7)
    assert integrate.quad(kink, 1.0, 0.0, points=[0.3])[0].item() == pytest.approx(-value.item(), abs=1e-15)
    pair = integrate.quad(lambda x: {"a": kink(x), "b": 1.0}, 0.0, 1.0, points=(0.3,))[0]
    assert pair["a"].item() == pytest.approx(value.item())
    assert pair["b"].item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="finite limits"):
        integrate.quad(kink, 0.0, np.inf, points=[0.3])


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9])
def test_cumulative_simpson(n: int) -> None:
    y, x = RNG.normal(size=(3, n)), np.cumsum(RNG.random(n) + 0.1)
    for axis, values in ((-1, y), (0, y.T)):
        for options in ({}, {"dx": 0.3}, {"x": x}, {"x": x, "initial": 2.0}):
            got = integrate.cumulative_simpson(tg.asarray(values), axis=axis, **options)
            want = scipy.integrate.cumulative_simpson(values, axis=axis, **options)
            np.testing.assert_allclose(got.numpy(), want, atol=1e-13)
    leaves = tuple(tg.asarray(v).clone().requires_grad_(True) for v in (y, x))
    assert gradcheck(lambda y, x: integrate.cumulative_simpson(y, x=x), leaves)


def test_romberg() -> None:
    for n in (2, 3, 5, 17):
        y = RNG.normal(size=(3, n))
        for axis, values in ((-1, y), (0, y.T)):
            got = integrate.romb(tg.asarray(values), dx=0.3, axis=axis)
            np.testing.assert_allclose(got.numpy(), scipy.integrate.romb(values, dx=0.3, axis=axis), atol=1e-13)
    for n in (1, 4, 6):
        with pytest.raises(tg.ShapeError, match="expected 2"):
            integrate.romb(np.ones(n))
