"""Programs as users of NumPy and autograd write them, with NumPy's namespace and with ours, and SciPy's optimizers.

A program is a function of a namespace. It gives a loss, which is a function of a vector, and a start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import tapegrad as tg

Loss = Callable[[Any], Any]


def logistic_regression(xp: Any) -> tuple[Loss, np.ndarray]:
    inputs = xp.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]], dtype=float)
    targets = xp.array([True, True, False, True])

    def loss(weights: Any) -> Any:
        predictions = 0.5 * (xp.tanh(xp.dot(inputs, weights) / 2.0) + 1)
        likely = predictions * targets + (1 - predictions) * (1 - targets)
        return -xp.sum(xp.log(likely))

    return loss, np.array([0.1, -0.2, 0.3])


def neural_network(xp: Any) -> tuple[Loss, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 3))
    one_hot = xp.array((x[:, :1] > 0).astype(int) == np.arange(2)[None, :], dtype=int)

    def loss(flat: Any) -> Any:
        w1, b1, w2 = xp.reshape(flat[:12], (3, 4)), flat[12:16], xp.reshape(flat[16:], (4, 2))
        out = xp.dot(xp.tanh(xp.dot(x, w1) + b1), w2)
        top = xp.max(out, axis=1, keepdims=True)
        logs = out - top - xp.log(xp.sum(xp.exp(out - top), axis=1, keepdims=True))
        return -xp.sum(logs * one_hot) / len(x) + 0.01 * xp.dot(flat, flat)

    return loss, random.normal(size=24)


def gaussian_mixture(xp: Any) -> tuple[Loss, np.ndarray]:
    random = np.random.default_rng(1)
    data = xp.concatenate([random.normal(size=(8, 2)) * 0.3 + 1.0, random.normal(size=(8, 2)) * 0.4 - 1.0])

    def log_density(mean: Any, root: Any) -> Any:
        factor = xp.linalg.cholesky(xp.dot(root.T, root) + 0.1 * xp.eye(2))
        z = xp.linalg.solve(factor, (data - mean).T)
        return -0.5 * xp.sum(z**2, axis=0) - xp.sum(xp.log(xp.diagonal(factor)))

    def loss(flat: Any) -> Any:
        weights = flat[:2] - xp.log(xp.sum(xp.exp(flat[:2])))
        parts = [
            w + log_density(flat[2 + 2 * k : 4 + 2 * k], flat[6 + 4 * k : 10 + 4 * k].reshape(2, 2))
            for k, w in enumerate(weights)
        ]
        rows = xp.vstack(parts)
        top = xp.max(rows, axis=0)
        return -xp.sum(top + xp.log(xp.sum(xp.exp(rows - top), axis=0)))

    return loss, np.concatenate([random.normal(size=6), np.eye(2).ravel(), np.eye(2).ravel() + 0.1])


def fluid(xp: Any) -> tuple[Loss, np.ndarray]:
    n = 6
    random = np.random.default_rng(2)
    smoke, target = random.random((n, n)), random.random((n, n))

    def project(vx: Any, vy: Any) -> tuple[Any, Any]:
        h, p = 1.0 / n, xp.zeros((n, n), dtype=float)
        div = -0.5 * h * (xp.roll(vx, -1, axis=0) - xp.roll(vx, 1, axis=0) + xp.roll(vy, -1, axis=1) - xp.roll(vy, 1, axis=1))
        for _ in range(4):
            p = (div + xp.roll(p, 1, axis=0) + xp.roll(p, -1, axis=0) + xp.roll(p, 1, axis=1) + xp.roll(p, -1, axis=1)) / 4.0
        vx = vx - 0.5 * (xp.roll(p, -1, axis=0) - xp.roll(p, 1, axis=0)) / h
        vy = vy - 0.5 * (xp.roll(p, -1, axis=1) - xp.roll(p, 1, axis=1)) / h
        return vx, vy

    def advect(f: Any, vx: Any, vy: Any) -> Any:
        ys, xs = xp.meshgrid(xp.arange(n), xp.arange(n))
        x, y = (xs - vx).ravel(), (ys - vy).ravel()
        left, top = xp.floor(x).astype(int), xp.floor(y).astype(int)
        rw, bw = x - left, y - top
        left, right, top, bottom = xp.mod(left, n), xp.mod(left + 1, n), xp.mod(top, n), xp.mod(top + 1, n)
        flat = (1 - rw) * ((1 - bw) * f[left, top] + bw * f[left, bottom]) + rw * (
            (1 - bw) * f[right, top] + bw * f[right, bottom]
        )
        return xp.reshape(flat, (n, n))

    def loss(flat: Any) -> Any:
        vx, vy, s = xp.reshape(flat[: n * n], (n, n)), xp.reshape(flat[n * n :], (n, n)), smoke
        for _ in range(3):
            vx, vy = project(advect(vx, vx, vy), advect(vy, vx, vy))
            s = advect(s, vx, vy)
        return xp.mean((target - s) ** 2)

    return loss, 0.3 * random.normal(size=2 * n * n)


def lstm(xp: Any) -> tuple[Loss, np.ndarray]:
    random = np.random.default_rng(3)
    size, letters = 3, 4
    sequence = np.eye(letters)[random.integers(0, letters, (5, 2))]

    def gate(weights: Any, *args: Any) -> Any:
        return xp.dot(xp.hstack((*args, xp.ones((args[0].shape[0], 1), dtype=float))), weights)

    def loss(flat: Any) -> Any:
        rows = size + letters + 1
        weights = xp.reshape(flat[: 4 * rows * size], (4, rows, size))
        predict = xp.reshape(flat[4 * rows * size : -2 * size], (size + 1, letters))
        hidden, cells = (xp.repeat(v[None], 2, axis=0) for v in (flat[-2 * size : -size], flat[-size:]))
        total = 0.0
        for letter in sequence:
            out = gate(predict, hidden)
            out = out - xp.log(xp.sum(xp.exp(out), axis=1, keepdims=True))
            total += xp.sum(out * letter)
            change, *gates = (gate(w, letter, hidden) for w in weights)
            forget, enter, leave = (0.5 * (xp.tanh(g) + 1.0) for g in gates)
            cells = cells * forget + enter * xp.tanh(change)
            hidden = leave * xp.tanh(cells)
        return -total

    return loss, 0.3 * random.normal(size=4 * (size + letters + 1) * size + (size + 1) * letters + 2 * size)


def assimilation(xp: Any) -> tuple[Loss, np.ndarray]:
    random = np.random.default_rng(4)
    n, dt = 8, 0.05

    def slope(x: Any) -> Any:
        return (xp.roll(x, -1) - xp.roll(x, 2)) * xp.roll(x, 1) - x + 8.0

    def step(x: Any) -> Any:
        k1 = slope(x)
        k2 = slope(x + dt / 2 * k1)
        k3 = slope(x + dt / 2 * k2)
        return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + dt * k3))

    truth = 8.0 + random.normal(size=n)
    background, observed, x = truth + random.normal(size=n), [], xp.asarray(truth)
    for _ in range(6):
        x = step(x)
        observed.append(x[::2] + 0.1)

    def loss(start: Any) -> Any:
        d = start - background
        cost, x = 0.5 * d @ d, start
        for seen in observed:
            x = step(x)
            cost = cost + 50.0 * xp.sum((x[::2] - seen) ** 2)
        return cost

    return loss, background


PROGRAMS = [logistic_regression, neural_network, gaussian_mixture, fluid, lstm, assimilation]


@pytest.mark.parametrize("xp", [np, tg], ids=["numpy", "tapegrad"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_differentiates(program: Callable[[Any], tuple[Loss, np.ndarray]], xp: Any) -> None:
    loss, start = program(xp)
    value, gradient = tg.value_and_grad(loss)(start)
    assert gradient.dtype == tg.float64
    assert float(value) == pytest.approx(float(program(np)[0](start)), rel=1e-8)
    plain, direction, step = program(np)[0], np.random.default_rng(9).normal(size=start.shape), 1e-6
    slope = (plain(start + step * direction) - plain(start - step * direction)) / (2 * step)
    assert np.sum(gradient.numpy() * direction) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG", "Newton-CG", "TNC", "SLSQP", "trust-constr"])
def test_scipys_optimizers_take_losses_gradients_and_hessians(method: str) -> None:
    def rosenbrock(x: Any) -> Any:
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    options: dict[str, Any] = {"hess": tg.hessian(rosenbrock)} if method in ("Newton-CG", "trust-constr") else {}
    for objective, slope in [(rosenbrock, tg.grad(rosenbrock)), (tg.value_and_grad(rosenbrock), True)]:
        found = scipy.optimize.minimize(objective, np.array([-0.5, 0.5]), jac=slope, method=method, **options)
        assert isinstance(found.x, np.ndarray)
        np.testing.assert_allclose(found.x, 1.0, atol=5e-3)


def test_scipys_solvers_take_variables() -> None:
    def residual(x: Any) -> Any:
        return np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    start = np.array([-0.5, 0.5])
    for how in ("trf", "lm", "dogbox"):
        np.testing.assert_allclose(scipy.optimize.least_squares(residual, start, jac=tg.jacobian(residual), method=how).x, 1.0)
    np.testing.assert_allclose(scipy.optimize.fsolve(residual, start, fprime=tg.jacobian(residual)), 1.0)
    with pytest.raises(tg.GradError, match=r"__array__"):
        np.asarray(tg.Variable(start, requires_grad=True))


def test_hessians_of_functions_that_branch_on_values() -> None:
    def f(x: Any) -> Any:
        return x[0] ** 3 * x[1] if x[0] > 0.5 else x[1] ** 2

    np.testing.assert_allclose(tg.hessian(f)(np.array([1.0, 2.0])).numpy(), [[12.0, 3.0], [3.0, 0.0]])
    np.testing.assert_allclose(tg.hessian(f)(np.array([0.0, 2.0])).numpy(), [[0.0, 0.0], [0.0, 2.0]])
    with pytest.raises(tg.GradError, match="inside vmap"):
        tg.vmap(tg.hessian(f))(np.ones((2, 2)))
