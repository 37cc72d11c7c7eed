"""Differential equations and integrals: against closed forms and SciPy, and their gradients against differences."""

import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optimize
from tapegrad.optimize import odeint, quad

integrate = pytest.importorskip("scipy.integrate")

RATES = np.array([1.5, 1.0, 3.0, 1.0])
TIMES = np.linspace(0.0, 4.0, 5)


def predators(y, t, p):
    return tg.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[3] * y[0] - p[2]) + 0.1 * tg.sin(t)])


def exact(p, y0, t):
    """The same equation by SciPy, with tight tolerances."""

    def field(time, y):
        return [y[0] * (p[0] - p[1] * y[1]), y[1] * (p[3] * y[0] - p[2]) + 0.1 * np.sin(time)]

    return integrate.solve_ivp(field, (t[0], t[-1]), y0, t_eval=t, method="DOP853", rtol=1e-12, atol=1e-12).y.T


def var(x, requires_grad=False):
    return tg.Variable(np.asarray(x, dtype=float), requires_grad=requires_grad)


@pytest.mark.parametrize(
    ("field", "start", "solution"),
    [
        (lambda y, t: -0.5 * y, 2.0, lambda t: 2 * np.exp(-0.5 * t)),
        (lambda y, t: tg.cos(t) * y, 1.0, lambda t: np.exp(np.sin(t))),
        (lambda y, t: tg.stack([y[1], -y[0]]), [0.0, 1.0], lambda t: np.stack([np.sin(t), np.cos(t)], axis=-1)),
        (lambda y, t: y * (1 - y), [0.1, 0.7], lambda t: 1 / (1 + (1 / np.array([0.1, 0.7]) - 1) * np.exp(-t)[:, None])),
        (lambda y, t: 0 * y + 3 * t**2, 1.0, lambda t: 1 + t**3),
        (lambda y, t: y * 0, 1.0, lambda t: 1 + 0 * t),
    ],
)
def test_closed_forms(field, start, solution):
    t = np.linspace(0.0, 5.0, 11)
    np.testing.assert_allclose(odeint(field, start, t, rtol=1e-10, atol=1e-12).numpy(), solution(t), rtol=1e-8, atol=1e-9)
    # The times of the results do not change the steps, but where the last one ends.
    np.testing.assert_allclose(
        odeint(field, start, t[[0, -1]], rtol=1e-10, atol=1e-12).numpy()[-1], solution(t)[-1], rtol=1e-8, atol=1e-9
    )


def test_agrees_with_scipy():
    ours = odeint(predators, [1.0, 1.0], TIMES, (var(RATES),), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.numpy(), exact(RATES, [1.0, 1.0], TIMES), rtol=1e-7)
    loose = odeint(predators, [1.0, 1.0], TIMES, (var(RATES),), rtol=1e-4, atol=1e-4)
    assert 1e-9 < abs(loose - ours).max().item() < 1e-2


def test_time_runs_backward():
    there = odeint(predators, [1.0, 1.0], [0.0, 3.0], (var(RATES),))[-1]
    back = odeint(predators, there, [3.0, 0.0], (var(RATES),))[-1]
    np.testing.assert_allclose(back.numpy(), 1.0, atol=1e-5)


def test_states_are_containers():
    def field(t, y):
        return {"x": y["v"], "v": [-y["x"] for _ in range(1)]}

    y = odeint(field, {"x": np.zeros((2, 1)), "v": np.ones((2, 1))}, [0.0, 1.0, 2.0], tfirst=True)
    assert y["x"].shape == (3, 2, 1)
    np.testing.assert_allclose(y["x"].numpy()[-1], np.sin(2.0), rtol=1e-6)
    single = odeint(lambda y, t: -y, tg.ones(3), [0.0, 1.0])
    assert single.dtype == tg.float32
    assert single.shape == (2, 3)
    np.testing.assert_allclose(single.numpy()[-1], np.exp(-1), rtol=1e-3)
    assert odeint(lambda y, t: -y, 1.0, [0.5]).tolist() == [1.0]


def test_dense_output():
    y, solution = odeint(predators, [1.0, 1.0], [0.0, 4.0], (var(RATES),), dense_output=True)
    t = np.linspace(0.0, 4.0, 41)
    np.testing.assert_allclose(solution(t).numpy(), exact(RATES, [1.0, 1.0], t), rtol=1e-5)
    assert solution(4.0).tolist() == y[-1].tolist()
    assert solution(0.0).tolist() == [1.0, 1.0]
    assert solution.steps[0] == 0.0
    assert solution.steps[-1] == 4.0
    assert solution.nfev > 6
    with pytest.raises(ValueError, match="known from t = 0 to 4"):
        solution(5.0)


def loss_of(p, y0, t):
    return (exact(p, y0, t) ** 2).sum()


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
def test_gradients(gradient):
    p, y0, t = var(RATES, True), var([1.0, 1.0], True), var(TIMES, True)
    y = odeint(predators, y0, t, (p,), rtol=1e-9, atol=1e-9, gradient=gradient)
    tg.sum(y**2).backward()
    h = 1e-5
    for leaf, f in [
        (p, lambda v: loss_of(v, [1.0, 1.0], TIMES)),
        (y0, lambda v: loss_of(RATES, v, TIMES)),
        (t, lambda v: loss_of(RATES, [1.0, 1.0], v)),
    ]:
        x = leaf.detach().numpy()
        expected = [(f(x + d) - f(x - d)) / (2 * h) for d in h * np.eye(x.size)]
        np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
def test_closed_over_parameters(gradient):
    k = var(0.7, True)
    scale = k * 2
    y = odeint(lambda y, t: -scale * y, 1.0, [0.0, 1.0], rtol=1e-10, atol=1e-10, gradient=gradient)
    y[-1].backward()
    assert k.grad.item() == pytest.approx(-2 * np.exp(-1.4), rel=1e-7)


def test_other_modes_and_orders():
    def end(k):
        return odeint(lambda y, t: -k * y, 1.0, [0.0, 2.0], rtol=1e-10, atol=1e-10)[-1]

    k = var(0.5)
    value, tangent = tg.jvp(end, (k,), (var(1.0),))
    assert (value.item(), tangent.item()) == pytest.approx((np.exp(-1), -2 * np.exp(-1)))
    assert tg.hessian(end)(k).item() == pytest.approx(4 * np.exp(-1))
    assert tg.grad(tg.grad(end))(k).item() == pytest.approx(4 * np.exp(-1))
    many = var([0.5, 1.0, 2.0])
    np.testing.assert_allclose(tg.vmap(end)(many).numpy(), np.exp(-2 * many.numpy()), rtol=1e-8)
    np.testing.assert_allclose(tg.vmap(tg.grad(end))(many).numpy(), -2 * np.exp(-2 * many.numpy()), rtol=1e-7)

    def at(t):
        return odeint(lambda y, s: -2 * s * y, 1.0, tg.stack([0.0 * t, t]), rtol=1e-10, atol=1e-10)[-1]

    assert tg.grad(at)(var(0.5)).item() == pytest.approx(-np.exp(-0.25))
    assert tg.hessian(at)(var(0.5)).item() == pytest.approx(-np.exp(-0.25))


def test_adjoint_says_what_it_cannot():
    k = var(0.5)
    with pytest.raises(tg.GradError, match='use gradient="direct"'):
        tg.jvp(lambda k: odeint(lambda y, t: -k * y, 1.0, [0.0, 1.0], gradient="adjoint"), (k,), (k,))
    leaf, late = var(0.5, True), var(1.0, True)
    y = odeint(lambda y, t: -leaf * y * (late if t.item() > 0.5 else 1.0), 1.0, [0.0, 1.0], gradient="adjoint")
    with pytest.raises(tg.GradError, match="other tracked Variables at later times"):
        y[-1].backward()
    y = odeint(lambda y, t: -leaf * y, 1.0, [0.0, 1.0], gradient="adjoint")
    with pytest.raises(tg.GradError, match="once_differentiable"):
        (g,) = tg.autograd.grad(y[-1], leaf, create_graph=True)
        g.backward()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: odeint(lambda y, t: y * y, 1.0, [0.0, 2.0]),
            optimize.ConvergenceError,
            "at t = 1: the solution has a singularity",
        ),
        (
            lambda: odeint(lambda y, t: -1e6 * y, 1.0, [0.0, 9.0], max_steps=50),
            optimize.ConvergenceError,
            "max_steps = 50.*stiff",
        ),
        (lambda: odeint(lambda y, t: y, 1.0, [0.0, 0.0]), ValueError, "increase or decrease strictly"),
        (lambda: odeint(lambda y, t: y, 1.0, 1.0), tg.ShapeError, "vector of at least one time"),
        (lambda: odeint(lambda y, t: y[:1], [1.0, 2.0], [0.0, 1.0]), tg.ShapeError, "returned 1 numbers for a state of 2"),
        (lambda: odeint(lambda y, t: y, 1.0, [0.0, 1.0], method="euler"), ValueError, "'dopri5'"),
        (lambda: odeint(lambda y, t: y, 1.0, [0.0, 1.0], gradient="backsolve"), ValueError, "'direct', 'adjoint'"),
        (lambda: odeint(lambda y, t: y, 1.0, [0.0, np.nan]), ValueError, "must be finite"),
        (lambda: quad(tg.exp, [0.0, 1.0], 1.0), ValueError, "limits must be numbers"),
        (lambda: quad(tg.exp, np.nan, 1.0), ValueError, "a limit is NaN"),
        (lambda: quad(3.0, 0.0, 1.0), TypeError, "must be a function"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---- integrals ----


@pytest.mark.parametrize(
    ("f", "a", "b", "value"),
    [
        (lambda x: x**4 - x, -1.0, 2.0, 33 / 5 - 1.5),
        (tg.sin, 0.0, np.pi, 2.0),
        (tg.sin, np.pi, 0.0, -2.0),
        (lambda x: tg.exp(-x * x), -np.inf, np.inf, np.sqrt(np.pi)),
        (lambda x: tg.exp(-x * x), np.inf, -np.inf, -np.sqrt(np.pi)),
        (lambda x: 1 / (1 + x * x), 0.0, np.inf, np.pi / 2),
        (tg.exp, -np.inf, 1.0, np.e),
        (lambda x: tg.exp(-x), np.inf, 0.0, -1.0),
        (lambda x: tg.cos(50 * x), 0.0, 1.0, np.sin(50) / 50),
        (lambda x: 1 / (1e-4 + x * x), -1.0, 1.0, 200 * np.arctan(100)),
        (tg.sqrt, 0.0, 1.0, 2 / 3),
        (tg.log, 0.0, 1.0, -1.0),
        (lambda x: 1 / tg.sqrt(x), 0.0, 1.0, 2.0),
        (tg.exp, 1.0, 1.0, 0.0),
        (lambda x: x * 0 + 3.0, 0.0, 2.0, 6.0),
    ],
)
def test_integrals(f, a, b, value):
    found, error = quad(f, a, b)
    assert found.item() == pytest.approx(value, rel=1e-8, abs=1e-8)
    assert abs(found.item() - value) <= max(error, 1e-12) < 1e-5


def test_integrands_are_any_container():
    found, _ = quad(lambda x: {"a": x, "b": tg.stack([x, x**2])}, 0, 2)
    assert quad(lambda x: 3.0, 0, 2)[0].item() == 6.0
    assert found["a"].item() == pytest.approx(2.0)
    np.testing.assert_allclose(found["b"].numpy(), [2.0, 8 / 3])
    weights = var([1.0, 2.0, 3.0])
    assert quad(lambda x, w: tg.sum(w * x ** var([0.0, 1.0, 2.0])), 0, 1, args=(weights,))[0].item() == pytest.approx(3.0)


def test_derivatives_of_integrals():
    def f(p):
        return quad(lambda x: tg.exp(-p[0] * x) * x, p[1], p[2])[0]

    def closed(p):
        def primitive(x):
            return -tg.exp(-p[0] * x) * (p[0] * x + 1) / p[0] ** 2

        return primitive(p[2]) - primitive(p[1])

    p = var([1.3, 0.2, 1.7])
    for derivative in (tg.jacrev, tg.jacfwd, tg.hessian):
        np.testing.assert_allclose(derivative(f)(p).numpy(), derivative(closed)(p).numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tg.grad(lambda a: quad(lambda x: tg.exp(-a * x), 0, np.inf)[0])(var(2.0)).item(), -0.25)
    np.testing.assert_allclose(
        tg.vmap(lambda a: quad(lambda x: tg.exp(-a * x), 0, np.inf)[0])(var([1.0, 2.0])).numpy(), [1.0, 0.5]
    )


def test_a_hard_integral_warns():
    with pytest.warns(RuntimeWarning, match="after limit = 10 intervals"):
        quad(lambda x: tg.sin(1 / x), 1e-4, 1.0, limit=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quad(lambda x: tg.abs(x - 0.3), 0.0, 1.0)
