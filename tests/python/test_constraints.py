"""``minimize`` with constraints: on Hock's and Schittkowski's problems, and derivatives of solutions against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

import tapegrad as tg
from hock_schittkowski import PROBLEMS
from tapegrad.linalg import LinAlgError
from tapegrad.optimize import Bounds, ConvergenceError, LinearConstraint, NonlinearConstraint, minimize


def var(x: Any, requires_grad: bool = False) -> tg.Variable:
    return tg.Variable(np.asarray(x, dtype=float), requires_grad=requires_grad)


def constraints_of(problem: Any) -> list[dict[str, Any]]:
    kinds = {"eq": problem.equal, "ineq": problem.positive}
    return [{"type": kind, "fun": fun} for kind, fun in kinds.items() if fun is not None]


@pytest.mark.parametrize("name", PROBLEMS)
def test_standard_problems(name: str) -> None:
    problem = PROBLEMS[name]
    found = minimize(problem.fun, problem.start, constraints=constraints_of(problem), bounds=problem.bounds)
    assert found.success, found.message
    assert found.fun.item() == pytest.approx(problem.least, rel=2e-9, abs=1e-12)
    x = found.x.numpy()
    assert all(abs(c) < 1e-12 for c in (problem.equal(x) if problem.equal else []))
    assert all(c > -1e-12 for c in (problem.positive(x) if problem.positive else []))


def test_multipliers() -> None:
    # The gradient of the least value by the limits of the constraints.
    def least(limits: Any) -> Any:
        constraints = [
            LinearConstraint([1.0, 1.0, 0.0], limits[0], limits[0]),
            NonlinearConstraint(lambda x: tg.stack([x[2] + x[0], x[1] * x[2]]), limits[1], [np.inf, np.inf]),
        ]
        return minimize(lambda x: tg.sum(x**2 + x), [1.0, 1.0, 1.0], constraints=constraints)

    limits = var([2.0, 2.5], requires_grad=True)
    found = least(limits)
    (slope,) = tg.autograd.grad(found.fun, limits)
    assert found.multipliers.shape == (3,)
    np.testing.assert_allclose(slope.numpy()[0], found.multipliers.detach().numpy()[0], rtol=1e-9)
    np.testing.assert_allclose(slope.numpy()[1], found.multipliers.detach().numpy()[1:].sum(), rtol=1e-9)
    differences = [(least(limits.numpy() + d).fun.item() - least(limits.numpy() - d).fun.item()) / 2e-5 for d in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(slope.numpy(), differences, rtol=1e-6)


def portfolio(p: Any) -> Any:
    """Shares of four papers: the risk is least for a return, and no share is negative."""
    returns, target = p[:4], p[4]
    cov = var([[0.10, 0.02, 0.01, 0.03], [0.02, 0.12, 0.02, 0.01], [0.01, 0.02, 0.09, 0.02], [0.03, 0.01, 0.02, 0.20]])
    constraints = [
        {"type": "eq", "fun": lambda w: tg.sum(w) - 1.0},
        {"type": "ineq", "fun": lambda w, goal: tg.sum(returns * w) - goal, "args": (target,)},
    ]
    return minimize(lambda w: w @ cov @ w, np.full(4, 0.25), constraints=constraints, bounds=[(0.0, 0.5)] * 4).x


def test_derivatives_of_the_solution() -> None:
    at = np.array([0.02, 0.05, 0.09, 0.12, 0.095])
    x = portfolio(var(at)).numpy()
    assert x.min() == 0.0
    assert 0.09 * 0.5 + 0.1 > at @ np.append(x, 0.0) >= 0.095 - 1e-12
    want = np.stack([(portfolio(var(at + d)).numpy() - portfolio(var(at - d)).numpy()) / 2e-6 for d in 1e-6 * np.eye(5)], axis=-1)
    np.testing.assert_allclose(tg.jacrev(portfolio)(var(at)).numpy(), want, atol=1e-6)
    np.testing.assert_allclose(tg.jacfwd(portfolio)(var(at)).numpy(), want, atol=1e-6)


def test_second_derivatives_and_samples() -> None:
    # The least x + y on the circle of radius r: -√2 r, at x = y = -r / √2.
    def least(r: Any) -> Any:
        return minimize(lambda x: x[0] + x[1] ** 1, [-1.0, 0.0], constraints={"type": "eq", "fun": lambda x: tg.sum(x**2) - r**4})

    assert tg.grad(lambda r: least(r).fun)(var(1.5)).item() == pytest.approx(-(2**1.5) * 1.5, rel=1e-10)
    assert tg.grad(tg.grad(lambda r: least(r).x[0]))(var(1.5)).item() == pytest.approx(-(2**0.5), rel=1e-9)
    np.testing.assert_allclose(
        tg.vmap(lambda r: least(r).x[0])(var([1.0, 2.0])).numpy(), -np.array([1.0, 4.0]) / 2**0.5, rtol=1e-10
    )


def test_unknowns_in_containers() -> None:
    def cost(p: Any) -> Any:
        return tg.sum((p["a"] - 1.0) ** 2) + (p["b"] - 2.0) ** 2

    constraints = [{"type": "eq", "fun": lambda p: tg.sum(p["a"]) - p["b"]}, NonlinearConstraint(lambda p: p["b"], -np.inf, 1.5)]
    found = minimize(cost, {"a": [0.0, 0.0], "b": 0.0}, constraints=constraints, bounds={"a": (0.0, 0.6)})
    assert found.success
    np.testing.assert_allclose(found.x["a"].numpy(), [0.6, 0.6], atol=1e-12)
    assert found.x["b"].item() == pytest.approx(1.2)


def test_scipys_objects() -> None:
    theirs = [
        scipy.optimize.LinearConstraint([[1.0, 2.0]], 1.0, 1.0),
        scipy.optimize.NonlinearConstraint(lambda x: x[0] * x[1], -np.inf, -0.5),
    ]
    ours = [LinearConstraint([[1.0, 2.0]], 1.0, 1.0), NonlinearConstraint(lambda x: x[0] * x[1], -np.inf, -0.5)]
    found = [
        minimize(lambda x: tg.sum(x**2), [2.0, -0.5], constraints=c, bounds=b).x.numpy()
        for c, b in ((theirs, scipy.optimize.Bounds(-1.0, 3.0)), (ours, Bounds(-1.0, 3.0)))
    ]
    np.testing.assert_array_equal(*found)
    assert found[0] @ [1.0, 2.0] == pytest.approx(1.0, abs=1e-14)
    boxed = minimize(lambda x: tg.sum((x - 4.0) ** 2), [1.0, 1.0], bounds=scipy.optimize.Bounds(0.0, 3.0), method="slsqp")
    assert boxed.x.tolist() == [3.0, 3.0]


def test_degenerate_constraints() -> None:
    # Twice the same equation, and an inequality that touches: the solution is found, its derivative is that of the free ones.
    twice = [{"type": "eq", "fun": lambda x: x[0] + x[1] - 1.0}, {"type": "ineq", "fun": lambda x: [1.0 - x[0] - x[1], x[0]]}]
    found = minimize(lambda x: tg.sum(x**2), [3.0, 0.0], constraints=twice)
    assert found.success
    np.testing.assert_allclose(found.x.numpy(), [0.5, 0.5], atol=1e-9)
    a = var(1.0, requires_grad=True)
    doubled = {"type": "eq", "fun": lambda x: tg.stack([x[0] + x[1] - a, 2.0 * (x[0] + x[1] - a)])}
    with pytest.raises((LinAlgError, ConvergenceError)):
        minimize(lambda x: tg.sum(x**2), [3.0, 0.0], constraints=doubled)


def test_failures() -> None:
    apart = [LinearConstraint([[1.0, 1.0]], 3.0), LinearConstraint([[1.0, 1.0]], -np.inf, 1.0)]
    found = minimize(lambda x: tg.sum(x**2), [0.0, 0.0], constraints=apart)
    assert not found.success
    assert found.status != 0
    a = var(1.0, requires_grad=True)
    with pytest.raises(ConvergenceError, match="minimize"):
        minimize(lambda x: tg.sum((x - a) ** 2), [0.0, 0.0], constraints=apart)
    with tg.no_grad():
        assert not minimize(lambda x: tg.sum((x - a) ** 2), [0.0, 0.0], constraints=apart).success
    short = minimize(
        PROBLEMS["hs100"].fun, PROBLEMS["hs100"].start, constraints=constraints_of(PROBLEMS["hs100"]), options={"maxiter": 2}
    )
    assert not short.success


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"constraints": {"type": "equal", "fun": tg.sum}}, ValueError, "expected 'eq' or 'ineq'"),
        ({"constraints": {"type": "eq", "fun": tg.sum, "jac": tg.sum}}, ValueError, "Jacobians are taken from 'fun'"),
        ({"constraints": {"type": "eq"}}, TypeError, "must be a function"),
        ({"constraints": [3.0]}, TypeError, "a constraint is float"),
        ({"constraints": LinearConstraint([[1.0, 1.0, 1.0]])}, tg.ShapeError, r"has shape \(1, 3\)"),
        ({"constraints": LinearConstraint([[1.0, 1.0]], [0.0, 1.0])}, tg.ShapeError, "1 values and limits"),
        ({"constraints": LinearConstraint([[1.0, 1.0]], 2.0, 1.0)}, ValueError, "above its upper"),
        (
            {"constraints": LinearConstraint([[1.0, 1.0]], 2.0), "method": "L-BFGS"},
            ValueError,
            "takes no constraints; use 'SLSQP'",
        ),
        ({"constraints": {"type": "eq", "fun": tg.sum}, "options": {"gtol": 1.0}}, ValueError, "unknown option 'gtol'"),
        ({"constraints": scipy.optimize.NonlinearConstraint(sum, 0, 1, jac=sum)}, ValueError, "leave it out"),
        ({"constraints": scipy.optimize.LinearConstraint([[1, 1]], 0, 1, keep_feasible=True)}, ValueError, "keep_feasible"),
        ({"method": "trust-constr"}, ValueError, "method is 'trust-constr'"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        minimize(lambda x: tg.sum(x**2), [1.0, 1.0], **options)
    with pytest.raises(TypeError, match="NonlinearConstraint"):
        NonlinearConstraint(3.0)  # type: ignore[arg-type]
