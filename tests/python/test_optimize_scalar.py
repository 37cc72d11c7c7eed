"""One unknown and curves: brackets, minima and fits against SciPy, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

import tapegrad as tg
from tapegrad import optimize
from tapegrad.autograd import gradcheck, gradgradcheck

#: Functions that NumPy and tapegrad evaluate alike, and brackets.
BRACKETS: list[tuple[Any, float, float]] = [
    (lambda x: np.cos(x) - x, 0.0, 1.0),
    (lambda x: x**3 - 2 * x - 5, -3.0, 3.0),
    (lambda x: np.exp(x) - 1e3, -50.0, 50.0),
    (lambda x: np.arctan(x) - 0.3, -1e6, 2.0),
    (lambda x: 1.0 / (x - 3.0) + 6.0, -8.0, 2.999),
    (lambda x: x, 0.0, 1.0),
    (lambda x: x - 1.0, 0.0, 1.0),
]
MINIMA: list[Any] = [
    lambda x: (x - 2) ** 2,
    lambda x: x**4 - x,
    lambda x: -np.exp(-((x - 5) ** 2)) + 0.001 * (x - 5) ** 2,
    np.cos,
]


@pytest.mark.parametrize(("f", "a", "b"), BRACKETS)
@pytest.mark.parametrize("is_turned", [False, True])
def test_roots_in_brackets(f: Any, a: float, b: float, is_turned: bool) -> None:
    a, b = (b, a) if is_turned else (a, b)
    found = optimize.brentq(f, a, b)
    assert found.dtype == tg.float64
    assert found.item() == pytest.approx(scipy.optimize.brentq(f, a, b), rel=1e-11, abs=1e-11)


def test_roots_are_differentiable() -> None:
    a = tg.Variable(np.float64(2.0), requires_grad=True)
    for solve in (
        lambda a: optimize.brentq(lambda x: x**3 + x - a, 0.0, 2.0),
        lambda a: optimize.newton(lambda x, a: x**3 + x - a, 1.0, (a,)),
        lambda a: optimize.fsolve(lambda x: x**3 + x - a, 1.0),
    ):
        gradcheck(solve, (a,))
        gradgradcheck(solve, (a,))
    many = tg.vmap(lambda a: optimize.brentq(lambda x: x**3 + x - a, 0.0, 2.0))(tg.Variable(np.array([1.0, 2.0, 10.0])))
    np.testing.assert_allclose(many.numpy() ** 3 + many.numpy(), [1.0, 2.0, 10.0])


def test_root_scalar_reports() -> None:
    result = optimize.root_scalar(lambda x: x**2 - 2.0, bracket=(0, 2), method="bisect")
    assert result.converged
    assert result.function_calls >= result.iterations > 0
    assert optimize.root_scalar(lambda x: x**2 - 2.0, x0=1.0).root.item() == pytest.approx(2**0.5)
    stopped = optimize.root_scalar(lambda x: x**2 - 2.0, bracket=(0, 2), maxiter=2)
    assert not stopped.converged
    assert "maxiter = 2" in stopped.flag


@pytest.mark.parametrize("f", MINIMA)
def test_minima(f: Any) -> None:
    ours, theirs = optimize.minimize_scalar(f), scipy.optimize.minimize_scalar(f)
    assert ours.success
    assert ours.x.item() == pytest.approx(theirs.x, abs=1e-7)
    assert ours.fun.item() == pytest.approx(theirs.fun, abs=1e-12)


def test_minima_between_bounds() -> None:
    a = tg.Variable(np.float64(2.0), requires_grad=True)
    inside = optimize.minimize_scalar(np.sin, bounds=(3.0, 6.0))
    assert inside.x.item() == pytest.approx(1.5 * np.pi, abs=1e-12)
    edge = optimize.minimize_scalar(lambda x: x * a, bounds=(1.0, 2.0))
    assert edge.x.item() == 1.0
    edge.fun.backward()
    assert a.grad.item() == 1.0
    gradcheck(lambda a: optimize.minimize_scalar(lambda x: x**4 - a * x).x, (a,))
    gradgradcheck(lambda a: optimize.minimize_scalar(lambda x: x**4 - a * x).x, (a,))
    assert optimize.minimize_scalar(lambda x: np.floor(x), bounds=(0.0, 3.0)).x.item() < 1.0


def decay(t: Any, a: Any, b: Any, c: Any) -> Any:
    return a * np.exp(-b * t) + c


def data() -> tuple[np.ndarray, np.ndarray]:
    t = np.linspace(0.0, 4.0, 50)
    return t, decay(t, 2.5, 1.3, 0.5) + 0.05 * np.random.default_rng(0).normal(size=50)


@pytest.mark.parametrize("kind", ["none", "relative", "absolute", "matrix"])
def test_fits(kind: str) -> None:
    t, y = data()
    spread = 0.05 * (1.0 + t)
    options: dict[str, Any] = {
        "none": {},
        "relative": {"sigma": spread},
        "absolute": {"sigma": spread, "absolute_sigma": True},
        "matrix": {"sigma": np.diag(spread**2) + 5e-4, "p0": [1.0, 1.0, 0.0]},
    }[kind]
    p, covariance = optimize.curve_fit(decay, t, y, **options)
    expected, spread_of = scipy.optimize.curve_fit(decay, t, y, **options, xtol=1e-14, ftol=1e-14)
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(covariance.numpy(), spread_of, rtol=1e-5)


def test_fits_are_differentiable_by_the_data() -> None:
    t, y = data()
    values = tg.Variable(y[::5].copy(), requires_grad=True)
    gradcheck(lambda v: optimize.curve_fit(decay, t[::5], v)[0], (values,), rtol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"absolute_sigma": True}, {"loss": "soft_l1", "f_scale": 0.3}, {"bounds": ([0.0, 0.0], [9.0, 9.0])}], ids=str
)
def test_covariances_have_derivatives_and_are_mapped(options):
    t = np.linspace(0.0, 3.0, 8)
    fit = lambda v, s: optimize.curve_fit(lambda t, a, b: a * tg.exp(-b * t), t, v, [2.0, 0.8], s, **options)[1]  # noqa: E731
    noise = np.random.default_rng(3).normal(size=(3, 8))
    data = 2.0 * np.exp(-0.8 * t) + 0.1 * noise
    values, sigma = (
        tg.asarray(data[0]).clone().requires_grad_(True),
        tg.linspace(0.5, 1.0, 8, dtype="float64", requires_grad=True),
    )
    gradcheck(fit, (values, sigma), eps=3e-4, rtol=1e-3, atol=1e-6)
    forward, reverse = tg.jacfwd(fit)(values.detach(), sigma.detach()), tg.jacrev(fit)(values.detach(), sigma.detach())
    np.testing.assert_allclose(forward.numpy(), reverse.numpy(), rtol=1e-7, atol=1e-12)
    mapped = tg.vmap(fit, in_axes=(0, None))(tg.asarray(data), sigma.detach())
    np.testing.assert_allclose(mapped.numpy(), [fit(v, sigma.detach()).numpy() for v in data], rtol=1e-9)


def test_a_covariance_that_is_infinite_for_one_of_many_samples():
    t = np.arange(4.0)
    slopes = tg.asarray([[1.0, 1.0], [1.0, 2.0]])
    fit = lambda w: optimize.curve_fit(lambda t, a, b: a * w[0] * t + b * w[1] * t ** w[1], t, t * t + 1.0, [1.0, 1.0])[1]  # noqa: E731
    mapped = tg.vmap(fit)(slopes)
    assert np.isinf(mapped[0].numpy()).all()
    np.testing.assert_allclose(mapped[1].numpy(), fit(slopes[1]).numpy(), rtol=1e-9)


def test_fits_that_data_do_not_determine() -> None:
    _, covariance = optimize.curve_fit(lambda t, a, b: (a + b) * t, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert np.isinf(covariance.numpy()).all()
    p, _ = optimize.curve_fit(lambda t, a: a * t, np.arange(4.0), np.arange(4) * 3, bounds=(0.0, 2.0))
    assert p.tolist() == [2.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optimize.brentq(lambda x: x * x + 1.0, 0, 1), ValueError, "the same sign at both ends of the bracket"),
        (lambda: optimize.brentq(lambda x: x, -1.0, np.inf), ValueError, "a, b must be finite"),
        (
            lambda: optimize.brentq(lambda x: x**2 - 2.0, 0, 2, maxiter=2),
            tg.optimize.ConvergenceError,
            "brentq: did not converge",
        ),
        (lambda: optimize.root_scalar(lambda x: x), ValueError, "pass bracket=\\[a, b\\], or x0"),
        (lambda: optimize.root_scalar(lambda x: x, method="secant", x0=1.0), ValueError, "method is 'secant'"),
        (lambda: optimize.fsolve(lambda x: x**2 + 1.0, 1.0), tg.optimize.ConvergenceError, "fsolve: did not converge"),
        (lambda: optimize.minimize_scalar(lambda x: x * 1.0), tg.optimize.ConvergenceError, "falls without end"),
        (lambda: optimize.minimize_scalar(np.sin, bounds=(2.0, 1.0)), ValueError, "expected the lower one first"),
        (lambda: optimize.curve_fit(lambda t, *p: t, [1.0], [1.0]), ValueError, "pass p0"),
        (lambda: optimize.curve_fit(lambda t, a: a * t[:1], [1.0, 2.0], [1.0, 2.0]), tg.ShapeError, "returned shape \\(1,\\)"),
        (lambda: optimize.curve_fit(lambda t, a: a * t, [1.0, 2.0], [1.0, 2.0], sigma=[1.0]), tg.ShapeError, "sigma has shape"),
    ],
)
def test_mistakes(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_minimize_scalar_takes_the_names_of_methods():
    def fun(x):
        return (x - 2.0) ** 2

    assert tg.optimize.minimize_scalar(fun, method="Brent").x.item() == pytest.approx(2.0)
    assert tg.optimize.minimize_scalar(fun, bounds=(0.0, 1.0), method="bounded").x.item() == pytest.approx(1.0)
    for options in ({"method": "bounded"}, {"method": "brent", "bounds": (0.0, 1.0)}, {"method": "golden"}, {"method": 3}):
        with pytest.raises(ValueError, match="minimize_scalar: method"):
            tg.optimize.minimize_scalar(fun, **options)


@pytest.mark.parametrize("name", ["bisect", "brenth", "ridder"])
def test_other_names_of_brentq(name):
    a = tg.Variable(2.0, dtype="float64", requires_grad=True)
    x = getattr(optimize, name)(lambda x, a: x**2 - a, 0.0, 3.0, args=(a,))
    assert x.item() == pytest.approx(2**0.5, abs=1e-11)
    assert tg.autograd.grad(x, a)[0].item() == pytest.approx(0.5 / 2**0.5)
    with pytest.raises(ValueError, match="same sign"):
        getattr(optimize, name)(lambda x: x**2 + 1.0, 0.0, 1.0)
