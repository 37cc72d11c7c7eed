"""Solvers: on standard problems, with bounds, and their derivatives against differences."""

import subprocess
import sys

import numpy as np
import pytest

import tapegrad as tg
from mgh import PROBLEMS, SQUARE
from tapegrad import optimize
from tapegrad.linalg import LinAlgError

scipy_optimize = pytest.importorskip("scipy.optimize")


def rosenbrock(x):
    return tg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def difference(f, x, h=1e-5):
    """The Jacobian of a function of NumPy vectors by central differences."""
    x = np.asarray(x, dtype=float)
    return np.stack([(f(x + d) - f(x - d)) / (2 * h) for d in h * np.eye(x.size)], axis=-1)


def known(value, least):
    return any(abs(value - v) <= 1e-5 * v + 1e-9 for v in least)


@pytest.mark.parametrize("name", PROBLEMS)
def test_least_squares_on_standard_problems(name):
    problem = PROBLEMS[name]
    result = optimize.least_squares(problem.residuals, problem.start)
    assert result.success, result.message
    assert known(2 * result.cost.item(), problem.least)


SCIPYS = ["BFGS", "CG", "TNC", "trust-ncg", "trust-exact"]


@pytest.mark.parametrize("method", ["L-BFGS", "Newton-CG", "L-BFGS-B"])
@pytest.mark.parametrize(
    "name", sorted(set(PROBLEMS) - {"powell badly scaled", "brown badly scaled", "jennrich-sampson", "osborne 1"})
)
def test_minimize_on_standard_problems(name, method):
    problem = PROBLEMS[name]
    result = optimize.minimize(lambda x: tg.sum(problem.residuals(x) ** 2), problem.start, method=method)
    assert result.success, result.message
    assert known(result.fun.item(), problem.least) or (name == "biggs exp6" and result.fun.item() < 0.31)


@pytest.mark.parametrize("name", SQUARE)
def test_root_on_standard_problems(name):
    problem = PROBLEMS[name]
    result = optimize.root(problem.residuals, problem.start)
    assert result.success, result.message
    assert abs(result.fun.numpy()).max() < 1e-6


@pytest.mark.parametrize(
    "name", ["rosenbrock", "beale", "wood", "bard", "kowalik-osborne", "brown-dennis", "variably dimensioned"]
)
def test_bounds_agree_with_scipy(name):
    problem = PROBLEMS[name]
    free = optimize.least_squares(problem.residuals, problem.start)
    x = free.x.numpy()
    # Half of the bounds are active at the solution.
    low, high = np.minimum(x, problem.start) - 0.2 * abs(x) - 0.1, np.maximum(x, problem.start) + 1.0
    high[::2] = np.maximum(x[::2] - 0.1 * abs(x[::2]) - 0.05, low[::2] + 0.01)
    start = np.clip(problem.start, low, high)

    def numbers(v):
        return problem.residuals(tg.Variable(v)).numpy()

    theirs = scipy_optimize.least_squares(numbers, start, bounds=(low, high), xtol=1e-14, ftol=1e-14, gtol=1e-12, max_nfev=3000)
    ours = optimize.least_squares(problem.residuals, start, bounds=(low, high))
    quasi = optimize.minimize(lambda v: tg.sum(problem.residuals(v) ** 2), start, bounds=list(zip(low, high)))
    assert ours.success
    assert (ours.x.numpy() >= low).all()
    assert (ours.x.numpy() <= high).all()
    assert ours.cost.item() <= theirs.cost * (1 + 1e-6) + 1e-9
    assert quasi.fun.item() <= 2 * theirs.cost * (1 + 1e-5) + 1e-8
    assert (ours.active_mask.numpy() != 0).any() or not (abs(theirs.x - high) < 1e-9).any()


def test_result_is_like_scipys():
    result = optimize.minimize(rosenbrock, np.zeros(4))
    theirs = scipy_optimize.minimize(optimize.fun_and_grad(rosenbrock), np.zeros(4), jac=True, method="L-BFGS-B")
    assert {"x", "fun", "jac", "nit", "nfev", "success", "status", "message"} <= set(result) & {*theirs, "success"} | set(result)
    np.testing.assert_allclose(result.x.numpy(), theirs.x, atol=1e-4)
    assert result["x"] is result.x
    assert "success" in dir(result)
    assert "message: " in repr(result)
    with pytest.raises(AttributeError, match=r"no 'nothing'; it has x, fun"):
        _ = result.nothing


def test_nested_unknowns():
    target = {"w": np.arange(6.0).reshape(2, 3), "b": [np.array([1.0]), np.float64(2.0)]}

    def loss(p):
        return tg.sum((p["w"] - target["w"]) ** 2) + tg.sum((p["b"][0] - 1.0) ** 2) + (p["b"][1] - 2.0) ** 4

    start = {"w": np.zeros((2, 3)), "b": [tg.zeros(1, dtype="float32"), 0.0]}
    for method in ("L-BFGS", "Newton-CG", "L-BFGS-B", "BFGS", "CG", "TNC", "trust-ncg", "trust-exact"):
        x = optimize.minimize(loss, start, method=method, tol=1e-7).x
        np.testing.assert_allclose(x["w"].numpy(), target["w"], atol=1e-5)
        assert x["b"][0].dtype == tg.float32
        assert x["b"][1].shape == ()
    bounds = {"w": (None, 3.0), "b": [None, (0.5, 1.5)]}
    x = optimize.minimize(loss, start, bounds=bounds).x
    assert x["w"].numpy().max() == 3.0
    assert x["b"][1].item() == 1.5


def test_modules_are_unknowns():
    tg.random.manual_seed(0)
    model = tg.nn.Linear(2, 1)
    x = tg.random.randn(20, 2)
    y = x @ tg.Variable([[2.0], [-1.0]]) + 0.5
    found = optimize.minimize(lambda m: tg.sum((m(x) - y) ** 2), model).x
    np.testing.assert_allclose(found["weight"].numpy(), [[2.0, -1.0]], atol=1e-3)


def test_the_bridge_to_scipy():
    problem = optimize.fun_and_grad(rosenbrock, np.full(5, -1.0))
    x = np.linspace(-1.0, 1.0, 5)
    value, gradient = problem(x)
    assert value == pytest.approx(scipy_optimize.rosen(x))
    np.testing.assert_allclose(gradient, scipy_optimize.rosen_der(x))
    np.testing.assert_allclose(problem.hess(x), scipy_optimize.rosen_hess(x))
    np.testing.assert_allclose(problem.hessp(x, x), scipy_optimize.rosen_hess(x) @ x)
    assert problem.fun(x) == value
    assert (problem.jac(x) == gradient).all()
    for method in ("BFGS", "trust-ncg", "Newton-CG"):
        products = {} if method == "BFGS" else {"hessp": problem.hessp}
        found = scipy_optimize.minimize(problem, problem.x0, jac=True, method=method, **products)
        np.testing.assert_allclose(found.x, 1.0, atol=1e-4)
    nested = optimize.fun_and_grad(lambda p, c: tg.sum(p["a"] ** 2) * c + p["b"], {"a": np.ones((2, 2)), "b": 1.0}, args=(2.0,))
    assert nested.unravel(nested.ravel({"a": np.zeros((2, 2)), "b": 3.0}))["b"].item() == 3.0
    assert nested(nested.x0)[0] == 9.0
    assert nested(nested.x0, 3.0)[0] == 13.0
    with pytest.raises(tg.ShapeError, match="x has 3 numbers, expected 5"):
        nested(np.zeros(3))


# ---- derivatives of solutions ----


def minimum(theta):
    """The minimum of a coupled problem with two parameters."""
    return optimize.minimize(lambda x: tg.sum((x - theta) ** 2) + tg.sum(x**4) + x[0] * x[1] * theta[0], np.zeros(2)).x


def bounded(theta):
    low = [(None, 0.3), (None, None)]
    return optimize.minimize(lambda x: tg.sum((x - theta) ** 2) + 0.5 * x[0] * x[1], np.zeros(2), bounds=low).x


def fitted(theta):
    t = tg.Variable(np.linspace(0.0, 2.0, 9))
    return optimize.least_squares(lambda p: p[0] * tg.exp(-p[1] * t) - theta[0] * tg.cos(t * theta[1]), [1.0, 0.5]).x


def solution(theta):
    return optimize.root(
        lambda x, p: tg.stack([x[0] + 0.2 * x[1] ** 2 - p[0], x[1] + 0.1 * x[0] ** 3 - p[1]]), [1.0, 1.0], args=(theta,)
    ).x


def settled(theta):
    return optimize.fixed_point(lambda x: tg.cos(x * theta) * 0.5 + 0.1 * x[::-1], [0.5, 0.5])


SOLVERS = [minimum, bounded, fitted, solution, settled]
THETA = np.array([1.3, 0.8])


@pytest.mark.parametrize("solve", SOLVERS)
def test_first_derivatives(solve):
    # With a tracked parameter, so that the solution is polished to full precision.
    expected = difference(lambda p: solve(tg.Variable(p, requires_grad=True)).numpy(), THETA)
    theta = tg.Variable(THETA)
    np.testing.assert_allclose(tg.jacrev(solve)(theta).numpy(), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(tg.jacfwd(solve)(theta).numpy(), expected, rtol=1e-6, atol=1e-8)
    leaf = tg.Variable(THETA, requires_grad=True)
    tg.sum(solve(leaf)).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), expected.sum(axis=0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solve", SOLVERS)
def test_second_derivatives(solve):
    def scalar(p):
        return tg.sum(solve(p) * tg.Variable([1.0, 2.0], dtype="float64"))

    expected = difference(lambda p: tg.grad(scalar)(tg.Variable(p)).numpy(), THETA)
    np.testing.assert_allclose(tg.hessian(scalar)(tg.Variable(THETA)).numpy(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(tg.jacrev(tg.grad(scalar))(tg.Variable(THETA)).numpy(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("solve", SOLVERS)
def test_samples_of_vmap_are_solved(solve):
    thetas = np.stack([THETA, THETA * 0.7, THETA * 1.1])
    together = tg.vmap(solve)(tg.Variable(thetas)).numpy()
    np.testing.assert_allclose(together, [solve(tg.Variable(p)).numpy() for p in thetas], rtol=1e-7, atol=1e-9)
    slopes = tg.vmap(tg.jacrev(solve))(tg.Variable(thetas)).numpy()
    np.testing.assert_allclose(slopes, [tg.jacrev(solve)(tg.Variable(p)).numpy() for p in thetas], rtol=1e-5, atol=1e-7)


def test_held_components_have_no_derivative():
    jacobian = tg.jacrev(bounded)(tg.Variable(THETA)).numpy()
    assert (jacobian[0] == 0.0).all()
    assert jacobian[1, 1] == 1.0
    theta = tg.Variable([5.0, 5.0], dtype="float64", requires_grad=True)
    x = optimize.minimize(lambda x: tg.sum((x - theta) ** 2), np.zeros(2), bounds=(0.0, 1.0)).x
    assert x.tolist() == [1.0, 1.0]
    assert not x.requires_grad


def test_the_value_is_differentiable():
    theta = tg.Variable(2.0, dtype="float64", requires_grad=True)
    optimize.minimize(lambda x: (x - 1.0) ** 2 * theta + theta**3, 0.0).fun.backward()
    assert theta.grad.item() == pytest.approx(12.0)
    found = optimize.least_squares(lambda x: tg.stack([x[0] - theta, x[0] + theta]), [0.0])
    assert tg.autograd.grad(found.cost, theta)[0].item() == pytest.approx(4.0)


def test_what_only_the_value_depends_on():
    theta = tg.Variable(2.0, dtype="float64", requires_grad=True)
    result = optimize.minimize(lambda x: (x - 1.0) ** 2 + theta**2, 0.0)
    assert tg.autograd.grad(result.fun, theta)[0].item() == pytest.approx(4.0)
    held = optimize.minimize(lambda x: tg.sum(x) * theta, [0.5, 0.5], bounds=(0.0, 1.0))
    assert held.fun.item() == 0.0
    assert tg.autograd.grad(held.fun, theta)[0].item() == 0.0
    with pytest.raises(tg.GradError, match="bounds carry no gradient"):
        optimize.minimize(lambda x: (x - 1.0) ** 2, 0.0, bounds=(None, theta))


def test_many_unknowns_use_products():
    n = optimize._implicit.DENSE + 50
    a = tg.Variable(np.linspace(0.5, 1.5, n), requires_grad=True)
    x = optimize.minimize(lambda x: tg.sum((x - a) ** 2) + 0.1 * tg.sum((x[1:] - x[:-1]) ** 2), np.zeros(n)).x
    x[5].backward()
    matrix = np.eye(n) * 2 + 0.2 * (np.diag([1, *[2] * (n - 2), 1]) - np.eye(n, k=1) - np.eye(n, k=-1))
    np.testing.assert_allclose(a.grad.numpy(), 2 * np.linalg.inv(matrix)[5], atol=1e-9)
    z = optimize.fixed_point(lambda z: 0.3 * tg.sin(z) + 0.2 * tg.roll(z, 1) + a, np.zeros(n))
    g = tg.autograd.grad(z[7], a)[0].numpy()
    full = np.eye(n) - np.diag(0.3 * np.cos(z.detach().numpy())) - 0.2 * np.roll(np.eye(n), 1, axis=0)
    np.testing.assert_allclose(g, np.linalg.inv(full)[7], atol=1e-8)


# ---- failures ----


def test_a_singular_solution_raises():
    a = tg.Variable(1.0, dtype="float64", requires_grad=True)
    with pytest.raises(LinAlgError, match=r"minimize: the solution is singular.*flat directions"):
        optimize.minimize(lambda x: (x[0] + x[1] - a) ** 2, [0.0, 0.0])
    with pytest.raises(LinAlgError, match="root: the solution is singular"):
        optimize.root(lambda x: tg.stack([x[0] * a, x[0] * 2]), [1.0, 1.0])
    with tg.no_grad():
        assert optimize.minimize(lambda x: (x[0] + x[1] - a) ** 2, [0.0, 0.0]).success


def test_what_did_not_converge():
    a = tg.Variable(1.0, dtype="float64", requires_grad=True)
    plain = optimize.minimize(rosenbrock, np.full(10, -2.0), options={"maxiter": 3})
    assert not plain.success
    assert plain.status == 1
    assert "maxiter = 3" in plain.message
    assert plain.nit == 3
    with pytest.raises(optimize.ConvergenceError, match=r"minimize: did not converge .maxiter = 3"):
        optimize.minimize(lambda x: rosenbrock(x) * a, np.full(10, -2.0), options={"maxiter": 3})
    assert not optimize.root(lambda x: x**2 + 1.0, 0.5).success
    with pytest.raises(optimize.ConvergenceError, match="root: did not converge"):
        optimize.root(lambda x: x**2 + a, 0.5)
    with pytest.raises(optimize.ConvergenceError, match=r"fixed_point: did not converge within maxiter = 20"):
        optimize.fixed_point(lambda x: x + 1.0, 0.0, maxiter=20)
    assert not optimize.minimize(lambda x: tg.log(x), -1.0).success
    assert not optimize.minimize(lambda x: x, 0.0).success
    assert not optimize.minimize(lambda x: tg.sum(tg.abs(x)), [1.0, -2.0]).success
    assert not optimize.least_squares(rosenbrock_residuals, [-1.2, 1.0], max_nfev=1).success


def rosenbrock_residuals(x):
    return tg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: optimize.minimize(lambda x: x, np.zeros(2)), tg.GradError, "must return one floating number"),
        (lambda: optimize.minimize(rosenbrock, np.zeros(2), method="Newton"), ValueError, "'L-BFGS', 'Newton-CG', 'L-BFGS-B'"),
        (lambda: optimize.minimize(rosenbrock, np.zeros(2), options={"xtol": 1}), ValueError, "unknown option 'xtol'"),
        (lambda: optimize.minimize(rosenbrock, np.zeros(2), method="L-BFGS", bounds=(0, 1)), ValueError, "takes no bounds"),
        (
            lambda: optimize.minimize(rosenbrock, np.zeros(2), bounds=[(1, 0), (0, 1)]),
            ValueError,
            "lower bound of element 0 is 1.0",
        ),
        (lambda: optimize.minimize(rosenbrock, np.zeros(2), bounds=[(0, 1)] * 3), ValueError, "bounds of an array of shape"),
        (lambda: optimize.minimize(rosenbrock, np.zeros(2) + 1j), tg.DTypeError, "real and imaginary parts"),
        (lambda: optimize.minimize(3.0, np.zeros(2)), TypeError, "must be a function"),
        (lambda: optimize.minimize(rosenbrock, []), (ValueError, TypeError), "x0 holds no arrays"),
        (lambda: optimize.root(lambda x: x[:1], np.zeros(2)), tg.ShapeError, "returned 1 numbers for 2 unknowns"),
        (lambda: optimize.fixed_point(tg.cos, 1.0, method="x"), ValueError, "expected 'anderson', 'iteration'"),
        (lambda: optimize.least_squares(lambda x: x, [1.0], bounds=3), ValueError, "must be a pair"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_callbacks_see_the_containers_and_can_stop():
    seen = []

    def callback(p):
        seen.append(p["x"].shape)
        if len(seen) == 2:
            raise StopIteration

    for method in ("L-BFGS", "Newton-CG"):
        seen.clear()
        result = optimize.minimize(lambda p: rosenbrock(p["x"]), {"x": np.full(3, -1.0)}, method=method, callback=callback)
        assert seen == [(3,), (3,)]
        assert not result.success
        assert result.nit == 2
    optimize.minimize(rosenbrock, np.zeros(3), bounds=(0, 2), callback=lambda x: seen.append(x.shape))
    assert seen[-1] == (3,)


def test_starts_of_other_kinds():
    assert optimize.minimize(lambda x: (x - 3) ** 2, 1).x.dtype == tg.float64
    assert optimize.minimize(lambda x: tg.sum((x - 3) ** 2), np.array([1, 2])).x.tolist() == pytest.approx([3.0, 3.0])
    single = optimize.minimize(lambda x: tg.sum((x - 3) ** 2 + x**4), tg.zeros(3))
    assert single.success
    assert single.x.dtype == tg.float32
    assert optimize.minimize(lambda x: tg.sum((x - 1.0) ** 2), np.zeros((2, 0, 3))).x.shape == (2, 0, 3)
    nested = optimize.root(lambda x: {"u": x["a"] - 1, "v": x["b"] * 2 - 3}, {"a": 0.0, "b": [0.0, 0.0]}).x
    assert nested["b"].tolist() == [1.5, 1.5]
    start = np.zeros(3)
    optimize.minimize(rosenbrock, start)
    assert (start == 0).all()


def test_one_argument_needs_no_tuple():
    a = tg.Variable(2.0, dtype="float64")
    assert optimize.minimize(lambda x, a: (x - a) ** 2, 0.0, a).x.item() == pytest.approx(2.0)
    assert optimize.root(lambda x, a: x - a, 0.0, a).x.item() == pytest.approx(2.0)
    assert optimize.least_squares(lambda x, a: x - a, [0.0], a).x.item() == pytest.approx(2.0)
    assert optimize.fixed_point(lambda x, a: x / 2 + a, 0.0, a).item() == pytest.approx(4.0)


def test_no_grad_is_touched():
    a = tg.Variable(1.0, dtype="float64", requires_grad=True)
    optimize.minimize(lambda x: (x - a) ** 2, 0.0)
    assert a.grad is None


def test_import_is_lazy():
    code = "import sys, tapegrad as tg; print('tapegrad.optimize' in sys.modules); tg.optimize; print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.split() == ["False", "False"]


def decay(seed):
    """Readings of a decay, every seventh of them wrong."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 10.0, 40)
    y = 3.0 * np.exp(-0.4 * t) + 0.5 + 0.05 * rng.normal(size=40)
    y[::7] += 2.0 * rng.normal(size=6)
    return t, y


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, [2.5, 1.0, 1.0])])
@pytest.mark.parametrize(
    ("loss", "f_scale"), [("soft_l1", 1.0), ("soft_l1", 0.1), ("huber", 0.1), ("cauchy", 0.2), ("arctan", 1.0)]
)
def test_robust_losses_are_scipys(loss, f_scale, bounds):
    t, y = decay(1)
    options = {"loss": loss, "f_scale": f_scale, "bounds": bounds}
    ours = optimize.least_squares(lambda p: p[0] * tg.exp(-p[1] * t) + p[2] - y, [2.0, 0.5, 0.3], **options)
    theirs = scipy_optimize.least_squares(
        lambda p: p[0] * np.exp(-p[1] * t) + p[2] - y, [2.0, 0.5, 0.3], xtol=1e-13, ftol=1e-13, gtol=1e-13, **options
    )
    assert ours.success
    assert ours.cost.item() == pytest.approx(theirs.cost, rel=1e-9)
    np.testing.assert_allclose(ours.x.numpy(), theirs.x, atol=1e-5)
    np.testing.assert_allclose(ours.jac.numpy(), theirs.jac, atol=1e-4)
    np.testing.assert_allclose(ours.fun.numpy(), theirs.fun, atol=1e-5)
    assert ours.optimality < 1e-5


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])
def test_derivatives_of_robust_fits(loss):
    t, y = (v[::4] for v in decay(2))

    def fitted(v):
        return optimize.least_squares(lambda p: p[0] * tg.exp(-p[1] * t) - v[:-1], [2.0, 0.3], loss=loss, f_scale=v[-1]).x

    at = np.append(y, 0.3)
    # Solutions with derivatives are polished, so differences of them are accurate.
    want = difference(lambda v: fitted(tg.Variable(v, requires_grad=True)).detach().numpy(), at)
    np.testing.assert_allclose(tg.jacrev(fitted)(tg.Variable(at)).numpy(), want, atol=1e-6)
    np.testing.assert_allclose(tg.jacfwd(fitted)(tg.Variable(at)).numpy(), want, atol=1e-6)


def test_losses_of_ones_own():
    t, y = decay(3)

    def residuals(p):
        return p[0] * tg.exp(-p[1] * t) + p[2] - y

    named = optimize.least_squares(residuals, [2.0, 0.5, 0.3], loss="cauchy", f_scale=0.3)
    own = optimize.least_squares(residuals, [2.0, 0.5, 0.3], loss=lambda z: tg.log1p(z), f_scale=0.3)
    scipys = optimize.least_squares(
        residuals, [2.0, 0.5, 0.3], loss=lambda z: tg.stack([tg.log1p(z), 1 / (1 + z), -1 / (1 + z) ** 2]), f_scale=0.3
    )
    for other in (own, scipys):
        np.testing.assert_allclose(other.x.numpy(), named.x.numpy(), atol=1e-7)
    for wrong in ({"loss": "cauchi"}, {"loss": None}, {"f_scale": 0.0}, {"f_scale": np.nan}, {"method": "newton"}):
        with pytest.raises(ValueError, match="least_squares: "):
            optimize.least_squares(residuals, [2.0, 0.5, 0.3], **wrong)
    with pytest.raises(tg.ShapeError, match="loss returned"):
        optimize.least_squares(residuals, [2.0, 0.5, 0.3], loss=tg.sum)


def test_robust_curve_fit():
    t, y = decay(4)
    options = {"loss": "soft_l1", "f_scale": 0.1, "method": "trf"}
    p, covariance, info, message, code = optimize.curve_fit(
        lambda t, a, b, c: a * tg.exp(-b * t) + c, t, y, full_output=True, **options
    )
    want, spread = scipy_optimize.curve_fit(lambda t, a, b, c: a * np.exp(-b * t) + c, t, y, **options)
    np.testing.assert_allclose(p.numpy(), want, atol=1e-4)
    np.testing.assert_allclose(covariance.numpy(), spread, rtol=1e-2)
    assert info["fvec"].shape == (40,)
    assert isinstance(message, str)
    assert code in (1, 2, 3, 4)
    with pytest.raises(optimize.ConvergenceError, match="maxiter"):
        optimize.curve_fit(lambda t, a, b: a * tg.exp(-b * t), t, y, maxfev=1)
    with pytest.raises(TypeError, match="there is no option 'x_scal'"):
        optimize.curve_fit(lambda t, a, b: a * tg.exp(-b * t), t, y, x_scal=1.0)


def system(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(9, 4)), rng.normal(size=9)


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, 0.4), (-0.1, np.inf), ([-1.0, 0.0, -np.inf, -0.1], 0.2)])
def test_linear_least_squares_with_bounds(bounds):
    a, b = system(0)
    ours, theirs = optimize.lsq_linear(a, b, bounds), scipy_optimize.lsq_linear(a, b, bounds, tol=1e-14)
    assert ours.success
    np.testing.assert_allclose(ours.x.numpy(), theirs.x, atol=1e-8)
    np.testing.assert_allclose(ours.fun.numpy(), theirs.fun, atol=1e-8)
    assert ours.cost.item() == pytest.approx(theirs.cost)
    np.testing.assert_array_equal(ours.active_mask.numpy(), theirs.active_mask)

    def solved(v):
        return optimize.lsq_linear(v[:36].reshape(9, 4), v[36:], bounds).x

    at = np.append(a.ravel(), b)
    want = difference(lambda v: solved(tg.Variable(v)).numpy(), at)
    np.testing.assert_allclose(tg.jacrev(solved)(tg.Variable(at)).numpy(), want, atol=1e-7)


def test_nonnegative_least_squares():
    a, b = system(3)
    x, norm = optimize.nnls(a, b)
    want, size = scipy_optimize.nnls(a, b)
    assert (want == 0).any()
    np.testing.assert_allclose(x.numpy(), want, atol=1e-12)
    assert norm.item() == pytest.approx(size)
    slope = tg.jacrev(lambda b: optimize.nnls(a, b)[0])(tg.Variable(b)).numpy()
    np.testing.assert_allclose(slope, difference(lambda b: optimize.nnls(a, b)[0].numpy(), b), atol=1e-8)
    many = tg.vmap(lambda b: optimize.nnls(a, b)[0])(tg.Variable(np.stack([b, -b])))
    np.testing.assert_allclose(many.numpy()[1], scipy_optimize.nnls(a, -b)[0], atol=1e-12)
    zero = optimize.nnls(np.eye(2), tg.Variable([1.0, 2.0], dtype="float64", requires_grad=True))
    assert zero[1].item() == 0.0
    with pytest.raises(tg.ShapeError, match="nnls: A has shape"):
        optimize.nnls(a, b[:3])
    with pytest.raises(ValueError, match="must be finite"):
        optimize.nnls(a * np.nan, b)
    with pytest.raises(ValueError, match="lower bound"):
        optimize.lsq_linear(a, b, (1.0, 0.0))


@pytest.mark.parametrize("method", [*SCIPYS, "Nelder-Mead", "Powell", "bfgs"])
def test_scipys_methods_find_a_minimum_and_its_derivative(method):
    scale = tg.Variable([2.0, 0.5], dtype=tg.float64, requires_grad=True)
    result = optimize.minimize(_misfit_of(scale), [0.3, 0.2], method=method)
    assert result.success, result.message
    np.testing.assert_allclose(result.x.detach().numpy(), _solution(scale.detach(), None).numpy(), atol=1e-6)
    ours, expected = (
        tg.grad(lambda s: _solution(s, method)[0])(scale.detach()),
        tg.grad(lambda s: _solution(s, None)[0])(scale.detach()),
    )
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=1e-6)


def _solution(scale, method):
    return optimize.minimize(_misfit_of(scale), [0.3, 0.2], method=method).x


def _misfit_of(scale):
    return lambda x: tg.sum((x * scale - 1.0) ** 2 + (x[0] - x[1]) ** 4)


@pytest.mark.parametrize("method", ["TNC", "Nelder-Mead", "Powell"])
def test_scipys_methods_hold_bounds(method):
    result = optimize.minimize(lambda x: tg.sum((x - 2.0) ** 2), [0.3, 0.2], method=method, bounds=[(0.0, 1.0), (None, 3.0)])
    np.testing.assert_allclose(result.x.numpy(), [1.0, 2.0], atol=1e-5)


def test_tol_and_options_reach_scipys_solvers():
    with pytest.raises(ValueError, match="unknown option 'gtol'; there are maxiter, maxfev, xatol, fatol, adaptive"):
        optimize.minimize(rosenbrock, np.zeros(2), method="Nelder-Mead", options={"gtol": 1.0})
    few = optimize.minimize(rosenbrock, np.zeros(2), method="Nelder-Mead", options={"maxiter": 3})
    assert (few.success, few.nit) == (False, 3)
    rough = optimize.minimize(rosenbrock, np.zeros(2), method="Nelder-Mead", tol=1e-1)
    fine = optimize.minimize(rosenbrock, np.zeros(2), method="Nelder-Mead")
    assert rough.nit < fine.nit
    seen = []
    optimize.minimize(lambda x: tg.sum(x**4), [1.0], method="BFGS", callback=lambda x: seen.append(x.tolist()))
    assert seen
