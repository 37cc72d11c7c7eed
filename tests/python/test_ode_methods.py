"""Methods, events and options of ``solve_ivp`` and ``odeint``: against SciPy, and gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate

import tapegrad as tg
from tapegrad.integrate import odeint, solve_ivp
from tapegrad.optimize import ConvergenceError

METHODS = ["RK23", "RK45", "DOP853", "Radau"]


def var(x: Any) -> tg.Variable:
    return tg.Variable(np.asarray(x, dtype=float))


def predators(t: Any, y: Any, stack: Any = tg.stack) -> Any:
    return stack([1.5 * y[0] - y[0] * y[1], y[0] * y[1] - 3.0 * y[1]])


def van_der_pol(t: Any, y: Any, mu: Any = 1000.0, stack: Any = tg.stack) -> Any:
    return stack([y[1], mu * (1.0 - y[0] ** 2) * y[1] - y[0]])


def robertson(t: Any, y: Any, k: Any, stack: Any = tg.stack) -> Any:
    a, b, c = k[0] * y[0], k[1] * y[1] * y[2], k[2] * y[1] ** 2
    return stack([b - a, a - b - c, c])


@pytest.mark.parametrize("method", METHODS)
def test_steps_are_scipys(method: str) -> None:
    options: dict[str, Any] = {"method": method, "rtol": 1e-5, "atol": 1e-8, "dense_output": True}
    ours = solve_ivp(predators, (0.0, 3.0), [10.0, 5.0], **options)
    theirs = scipy.integrate.solve_ivp(lambda t, y: predators(t, y, list), (0.0, 3.0), [10.0, 5.0], **options)
    assert abs(len(ours.t) - len(theirs.t)) <= 2
    exact = scipy.integrate.solve_ivp(
        lambda t, y: predators(t, y, list), (0.0, 3.0), [10.0, 5.0], method="DOP853", rtol=1e-12, atol=1e-12, dense_output=True
    )
    times = np.linspace(0.0, 3.0, 31)
    error = np.abs(ours.sol(times).numpy() - exact.sol(times)).max()
    assert error <= max(2.0 * np.abs(theirs.sol(times) - exact.sol(times)).max(), 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_orders(method: str) -> None:
    """Errors shrink with the tolerances, at the steps and between them."""
    errors = []
    for tol in (1e-4, 1e-8):
        found = solve_ivp(lambda t, y: tg.cos(t) * y, (0.0, 3.0), [1.0], method=method, rtol=tol, atol=tol, dense_output=True)
        times = np.linspace(0.0, 3.0, 50)
        errors.append(np.abs(found.sol(times).numpy()[0] - np.exp(np.sin(times))).max())
    assert errors[0] < 3e-3
    assert errors[1] < 3e-7


def test_stiff_equations() -> None:
    ours = solve_ivp(van_der_pol, (0.0, 900.0), [2.0, 0.0], method="Radau", rtol=1e-4, atol=1e-6)
    theirs = scipy.integrate.solve_ivp(
        lambda t, y: van_der_pol(t, y, stack=list), (0.0, 900.0), [2.0, 0.0], method="Radau", rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(ours.y.numpy()[0, -1], theirs.y[0, -1], rtol=1e-3)
    assert ours.nfev < 3000
    assert ours.njev < 200
    rates = np.array([0.04, 1e4, 3e7])
    ours = solve_ivp(robertson, (0.0, 1e4), [1.0, 0.0, 0.0], method="Radau", args=(rates,), rtol=1e-5, atol=1e-9)
    theirs = scipy.integrate.solve_ivp(
        lambda t, y: robertson(t, y, rates, list), (0.0, 1e4), [1.0, 0.0, 0.0], method="Radau", rtol=1e-10, atol=1e-13
    )
    np.testing.assert_allclose(ours.y.numpy()[:, -1], theirs.y[:, -1], rtol=1e-4)


def test_gradients_of_a_stiff_equation() -> None:
    rates = np.array([0.04, 1e4, 3e7])

    def last(scale: Any) -> Any:
        options: dict[str, Any] = {"method": "Radau", "rtol": 1e-6, "atol": 1e-10, "t_eval": [40.0]}
        return solve_ivp(robertson, (0.0, 40.0), [1.0, 0.0, 0.0], args=(scale * var(rates),), **options).y[:, 0]

    def exact(scale: np.ndarray) -> np.ndarray:
        options: dict[str, Any] = {"method": "Radau", "rtol": 1e-11, "atol": 1e-14, "t_eval": [40.0]}
        field = lambda t, y: robertson(t, y, scale * rates, list)  # noqa: E731
        return scipy.integrate.solve_ivp(field, (0.0, 40.0), [1.0, 0.0, 0.0], **options).y[:, 0]

    one = np.ones(3)
    want = np.stack([(exact(one + d) - exact(one - d)) / 2e-4 for d in 1e-4 * np.eye(3)], axis=-1)
    np.testing.assert_allclose(tg.jacrev(last)(var(one)).numpy(), want, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(tg.jacfwd(last)(var(one)).numpy(), want, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_of_all_orders_and_modes(method: str) -> None:
    def last(k: Any) -> Any:  # 1 / (1 + 2 k)
        return odeint(lambda y, t: -k * y**2, 1.0, [0.0, 2.0], method=method, rtol=1e-7, atol=1e-8)[-1]

    k = var([0.3, 0.7])
    np.testing.assert_allclose(tg.vmap(last)(k).numpy(), 1 / (1 + 2 * k.numpy()), rtol=1e-5)
    np.testing.assert_allclose(tg.vmap(tg.grad(last))(k).numpy(), -2 / (1 + 2 * k.numpy()) ** 2, rtol=1e-5)
    np.testing.assert_allclose(tg.grad(tg.grad(last))(k[0]).item(), 8 / 1.6**3, rtol=1e-4)
    np.testing.assert_allclose(tg.jvp(tg.grad(last), (k[0],), (var(1.0),))[1].item(), 8 / 1.6**3, rtol=1e-4)
    single = odeint(lambda y, t: -y, tg.ones(2), [0.0, 1.0], method=method)
    assert single.dtype == tg.float32
    np.testing.assert_allclose(single.numpy()[-1], np.exp(-1), rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_times_have_derivatives(method: str) -> None:
    def values(t: Any) -> Any:  # y = y0 exp((t³ - t0³) / 3)
        found = solve_ivp(lambda s, y: s**2 * y, (t[0], t[2]), [1.0], t_eval=t[1:2], method=method, rtol=1e-8, atol=1e-10)
        ends = solve_ivp(lambda s, y: s**2 * y, (t[0], t[2]), [1.0], method=method, rtol=1e-8, atol=1e-10)
        return tg.stack([found.y[0, 0], ends.y[0, -1]])

    t = np.array([0.1, 0.8, 1.3])
    middle, end = np.exp((t[1:] ** 3 - t[0] ** 3) / 3)
    want = [[-(t[0] ** 2) * middle, t[1] ** 2 * middle, 0.0], [-(t[0] ** 2) * end, 0.0, t[2] ** 2 * end]]
    np.testing.assert_allclose(tg.jacrev(values)(var(t)).numpy(), want, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(tg.jacfwd(values)(var(t)).numpy(), want, rtol=1e-5, atol=2e-6)


def test_adjoint_takes_explicit_methods() -> None:
    for method in ("RK23", "DOP853"):
        k = tg.Variable(0.5, dtype="float64", requires_grad=True)
        options: dict[str, Any] = {"method": method, "rtol": 1e-6, "atol": 1e-8, "gradient": "adjoint"}
        found = solve_ivp(lambda t, y, k=k: -k * y, (0.0, 3.0), [1.0], t_eval=[2.0], **options)
        found.y[0, 0].backward()
        assert k.grad.item() == pytest.approx(-2 * np.exp(-1.0), rel=1e-4)
    with pytest.raises(ValueError, match="adjoint"):
        odeint(lambda y, t: -y, 1.0, [0.0, 1.0], method="Radau", gradient="adjoint")
    with pytest.raises(ValueError, match="adjoint"):
        solve_ivp(lambda t, y: -y, (0.0, 1.0), [1.0], events=lambda t, y: y[0], gradient="adjoint")


def ground(t: Any, y: Any, *args: Any) -> Any:
    return y[1]


ground.terminal = True  # type: ignore[attr-defined]
ground.direction = -1  # type: ignore[attr-defined]


def apex(t: Any, y: Any, *args: Any) -> Any:
    return y[3]


def falling(t: Any, y: Any, c: Any, stack: Any = tg.stack) -> Any:
    return stack([y[2], y[3], -c * y[2], -9.81 - c * y[3]])


def flight(p: Any, method: str = "RK45", **options: Any) -> Any:
    start = tg.stack([0.0 * p[0], 0.0 * p[0], p[0] * tg.cos(p[1]), p[0] * tg.sin(p[1])])
    settings: dict[str, Any] = {"events": [ground, apex], "rtol": 1e-7, "atol": 1e-8, **options}
    return solve_ivp(falling, (0.0, 100.0), start, args=(p[2],), method=method, **settings)


def exact_flight(p: Any, **options: Any) -> Any:
    start = [0.0, 0.0, p[0] * np.cos(p[1]), p[0] * np.sin(p[1])]
    field = lambda t, y, c: falling(t, y, c, list)  # noqa: E731
    settings: dict[str, Any] = {"events": [ground, apex], "rtol": 1e-12, "atol": 1e-12, **options}
    return scipy.integrate.solve_ivp(field, (0.0, 100.0), start, args=(p[2],), **settings)


PITCH = np.array([30.0, 0.8, 0.1])


@pytest.mark.parametrize("method", METHODS)
def test_events_are_scipys(method: str) -> None:
    options: dict[str, Any] = {"method": method, "rtol": 1e-5, "atol": 1e-6} if method == "RK23" else {"method": method}
    ours = flight(var(PITCH), dense_output=True, **options)
    want = exact_flight(PITCH)
    assert (ours.status, ours.message) == (want.status, want.message)
    for i in range(2):
        assert ours.t_events[i].shape == (1,)
        np.testing.assert_allclose(ours.t_events[i].numpy(), want.t_events[i], rtol=1e-4)
        np.testing.assert_allclose(ours.y_events[i].numpy(), want.y_events[i], rtol=1e-4, atol=1e-4)
    assert ours.t[-1] == ours.t_events[0].item()
    np.testing.assert_array_equal(ours.y.numpy()[:, -1], ours.y_events[0].numpy()[0])
    np.testing.assert_array_equal(ours.sol(ours.t[-1]).numpy(), ours.y_events[0].numpy()[0])
    assert abs(ours.y_events[0].numpy()[0, 1]) < 1e-9
    at = flight(var(PITCH), t_eval=[0.0, 1.0, 3.0, 50.0], **options)
    assert at.t.tolist() == [0.0, 1.0, 3.0]
    assert at.y.shape == (4, 3)


@pytest.mark.parametrize("method", ["RK45", "Radau"])
def test_events_have_derivatives(method: str) -> None:
    def landing(p: Any) -> Any:
        found = flight(p, method, rtol=1e-5, atol=1e-7)
        return tg.stack([found.t_events[0][0], found.y_events[0][0, 0], found.t_events[1][0], found.y[0, -1]])

    def exact(p: np.ndarray) -> np.ndarray:
        found = exact_flight(p)
        return np.array([found.t_events[0][0], found.y_events[0][0, 0], found.t_events[1][0], found.y[0, -1]])

    want = np.stack([(exact(PITCH + d) - exact(PITCH - d)) / 2e-5 for d in 1e-5 * np.eye(3)], axis=-1)
    np.testing.assert_allclose(tg.jacrev(landing)(var(PITCH)).numpy(), want, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(tg.jacfwd(landing)(var(PITCH)).numpy(), want, rtol=2e-3, atol=1e-4)


def test_second_derivatives_of_an_event() -> None:
    def down(t: Any, y: Any) -> Any:
        return y[0] - 0.5

    def time(k: Any) -> Any:  # ln 2 / k
        return solve_ivp(lambda t, y: -k * y, (0.0, 9.0), [1.0], events=down, rtol=1e-9, atol=1e-11).t_events[0][0]

    assert tg.grad(tg.grad(time))(var(0.5)).item() == pytest.approx(2 * np.log(2) / 0.5**3, rel=1e-5)


@pytest.mark.parametrize("span", [(0.0, 20.0), (20.0, 0.0)])
@pytest.mark.parametrize(("terminal", "direction"), [(False, 0), (False, 1), (False, -1), (3, 0), (True, 1)])
def test_repeated_events_in_both_directions_of_time(span: Any, terminal: Any, direction: float) -> None:
    def crossing(t: Any, y: Any) -> Any:
        return y[0] - 0.1

    crossing.terminal, crossing.direction = terminal, direction  # type: ignore[attr-defined]
    options: dict[str, Any] = {"events": crossing, "rtol": 1e-8, "atol": 1e-9}
    ours = solve_ivp(lambda t, y: tg.stack([y[1], -y[0]]), span, [1.0, 0.0], **options)
    want = scipy.integrate.solve_ivp(lambda t, y: [y[1], -y[0]], span, [1.0, 0.0], **options)
    np.testing.assert_allclose(ours.t_events[0].numpy(), want.t_events[0], atol=1e-6)
    np.testing.assert_allclose(ours.y_events[0].numpy(), want.y_events[0], atol=1e-6)
    assert ours.status == want.status
    assert ours.t[-1] == pytest.approx(want.t[-1], abs=1e-6)


def test_events_that_do_not_happen() -> None:
    found = solve_ivp(lambda t, y: -y, (0.0, 1.0), [1.0, 2.0], events=[lambda t, y: y[0] - 5.0, ground])
    assert [e.shape for e in found.t_events] == [(0,), (0,)]
    assert [e.shape for e in found.y_events] == [(0, 2), (0, 2)]
    assert found.status == 0
    assert solve_ivp(lambda t, y: -y, (0.0, 1.0), [1.0]).t_events is None


def test_the_run_goes_to_the_end_of_the_span() -> None:
    found = solve_ivp(lambda t, y: -y, (0.0, 2.0), [1.0], t_eval=[0.5], dense_output=True, events=lambda t, y: y[0] - 0.2)
    assert found.t.tolist() == [0.5]
    assert found.sol(2.0).item() == pytest.approx(np.exp(-2.0), rel=1e-2)
    assert len(found.t_events[0]) == 1
    assert solve_ivp(lambda t, y: -y, (0.0, 2.0), [1.0], t_eval=[]).y.shape == (1, 0)


def test_steps_are_limited() -> None:
    for method in METHODS:
        found = solve_ivp(lambda t, y: -0.01 * y, (0.0, 2.0), [1.0], max_step=0.25, method=method)
        assert np.diff(found.t).max() <= 0.25 + 1e-12
    # A pulse that long steps would miss.
    pulse = lambda t, y: tg.exp(-(((t - 60.0) / 0.1) ** 2)) + 0.0 * y  # noqa: E731
    found = solve_ivp(pulse, (0.0, 100.0), [0.0], max_step=0.2)
    assert found.y[0, -1].item() == pytest.approx(0.1 * np.sqrt(np.pi), rel=1e-2)
    assert odeint(lambda y, t: -y, 1.0, [0.0, 1.0], max_step=0.1, rtol=1e-2, dense_output=True)[1].steps.size >= 11
    with pytest.raises(ConvergenceError, match=r"max_steps = 20.*Radau"):
        solve_ivp(van_der_pol, (0.0, 10.0), [2.0, 0.0], max_steps=20)


def test_tolerances_of_components() -> None:
    options: dict[str, Any] = {"rtol": 1e-6, "atol": [1e-10, 1e-2]}
    for method in METHODS:
        ours = solve_ivp(predators, (0.0, 2.0), [10.0, 5.0], method=method, **options)
        theirs = scipy.integrate.solve_ivp(lambda t, y: predators(t, y, list), (0.0, 2.0), [10.0, 5.0], method=method, **options)
        assert abs(len(ours.t) - len(theirs.t)) <= 2


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"method": "BDF"}, ValueError, "'BDF' is not available; method='Radau'"),
        ({"method": "RK4"}, ValueError, "method is 'RK4'"),
        ({"t_eval": [0.5, 2.0]}, ValueError, "outside of t_span"),
        ({"t_eval": [0.5, 0.4]}, ValueError, "order"),
        ({"max_step": 0.0}, ValueError, "max_step is 0.0"),
        ({"first_step": -1.0}, ValueError, "first_step is -1.0"),
        ({"atol": [1.0, 2.0]}, ValueError, "atol is"),
        ({"rtol": -1.0}, ValueError, "rtol is"),
        ({"events": 3.0}, TypeError, "float"),
        ({"events": [3.0]}, TypeError, "an event must be a function"),
        ({"events": lambda t, y: tg.stack([y, y])}, tg.ShapeError, "expected one number"),
        ({"jac": abs}, TypeError, "Jacobians are taken from the function"),
        ({"min_step": 1.0}, TypeError, "min_step= is not available"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        solve_ivp(lambda t, y: -y, (0.0, 1.0), [1.0], **options)


def test_events_differ_between_samples() -> None:
    def time(k: Any) -> Any:
        return solve_ivp(lambda t, y: -k * y, (0.0, 9.0), [1.0], events=lambda t, y: y[0] - 0.5).t_events[0][0]

    with pytest.raises(tg.GradError, match="differs between the samples"):
        tg.vmap(time)(var([0.5, 0.7]))


def test_numbers_of_python_keep_their_digits() -> None:
    """A number beside a Variable was rounded to float32."""
    for method in METHODS:
        found = solve_ivp(lambda t, y: [y[1], -9.81], (0.0, 1.0), [1, 0], method=method)
        assert found.y[1, -1].item() == pytest.approx(-9.81, abs=1e-13)
    fit = tg.optimize.least_squares(lambda p: [p[0] - 0.1, 0.3], [1.0])
    assert fit.fun[1].item() == 0.3


def test_stiff_functions_stay_in_tapegrad() -> None:
    """A function that leaves for NumPy has no Jacobian, which must not be taken for zero."""
    with pytest.raises(tg.GradError, match="handed to NumPy"):
        solve_ivp(lambda t, y: np.array([y[1], -y[0]]), (0.0, 1.0), [1.0, 0.0], method="Radau")
    explicit = solve_ivp(lambda t, y: np.array([y[1], -y[0]]), (0.0, 1.0), [1.0, 0.0], rtol=1e-8)
    assert explicit.y[0, -1].item() == pytest.approx(np.cos(1.0), abs=1e-6)
    k = tg.Variable(0.5, dtype="float64", requires_grad=True)
    with pytest.raises(tg.GradError, match="handed to NumPy"):
        solve_ivp(lambda t, y: -k * y, (0.0, 9.0), [1.0], events=lambda t, y: tg.asarray(np.array(y)[0]) - 0.5 + 0.0 * k)
