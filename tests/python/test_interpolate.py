"""``tg.interpolate`` against SciPy: splines, their derivatives and integrals, grids; and gradients in everything."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.interpolate

import tapegrad as tg
from tapegrad import interpolate
from tapegrad.autograd import gradcheck

RNG = np.random.default_rng(0)
X = np.cumsum(RNG.random(7) + 0.2)
Y = RNG.normal(size=(7, 2))
AT = np.linspace(X[0] - 0.5, X[-1] + 0.5, 23)


def leaf(x: Any) -> tg.Variable:
    return tg.asarray(np.asarray(x)).clone().requires_grad_(True)


def close(got: Any, want: Any) -> None:
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-9, atol=1e-9)


BOUNDARIES = ["not-a-knot", "natural", "clamped", ((1, 0.5), (2, -1.0)), ("natural", "not-a-knot")]


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_cubic_splines(bc: Any, n: int) -> None:
    own = bc
    if bc == ((1, 0.5), (2, -1.0)):
        bc = ((1, np.full(2, 0.5)), (2, np.full(2, -1.0)))
    if n == 2 and bc == ("natural", "not-a-knot"):
        return
    got, want = interpolate.CubicSpline(X[:n], Y[:n], bc_type=own), scipy.interpolate.CubicSpline(X[:n], Y[:n], bc_type=bc)
    for nu in (0, 1, 2, 3, 4):
        close(got(AT, nu), want(AT, nu))
    close(got.integrate(X[0] + 0.1, X[n - 1] - 0.05), want.integrate(X[0] + 0.1, X[n - 1] - 0.05))
    close(got.derivative()(AT[3]), want.derivative()(AT[3]))
    f = lambda x, y, at: interpolate.CubicSpline(x, y, bc_type=own)(at)  # noqa: E731
    assert gradcheck(f, (leaf(X[:n]), leaf(Y[:n]), leaf(AT[::5] + 0.01)), rtol=1e-4)


def test_periodic_splines() -> None:
    y = np.concatenate([Y[:-1], Y[:1]])
    for n in (3, 4, 7):
        ends = np.concatenate([y[: n - 1], y[:1]])
        got, want = (m.CubicSpline(X[:n], ends, bc_type="periodic") for m in (interpolate, scipy.interpolate))
        close(got(AT), want(AT))
        close(got(AT, 1), want(AT, 1))
    with pytest.raises(ValueError, match="must be equal"):
        interpolate.CubicSpline(X, Y, bc_type="periodic")


@pytest.mark.parametrize("n", [2, 3, 7])
def test_monotonic_splines(n: int) -> None:
    y = Y[:n].copy()
    y[n // 2] = y[n // 2 - 1]
    got, want = interpolate.PchipInterpolator(X[:n], y), scipy.interpolate.PchipInterpolator(X[:n], y)
    close(got(AT), want(AT))
    close(got(AT, 1), want(AT, 1))
    assert gradcheck(lambda x, y, at: interpolate.PchipInterpolator(x, y)(at), (leaf(X), leaf(Y), leaf(AT[::5])), rtol=1e-4)
    slopes = RNG.normal(size=Y.shape)
    close(interpolate.CubicHermiteSpline(X, Y, slopes)(AT), scipy.interpolate.CubicHermiteSpline(X, Y, slopes)(AT))


def test_axes_and_extrapolation() -> None:
    y = np.stack([Y, Y**2])
    places = AT[:6].reshape(2, 3)
    close(interpolate.CubicSpline(X, y, axis=1)(places), scipy.interpolate.CubicSpline(X, y, axis=1)(places))
    close(interpolate.CubicSpline(X, Y, extrapolate=False)(AT), scipy.interpolate.CubicSpline(X, Y, extrapolate=False)(AT))
    close(interpolate.CubicSpline(X, Y)(AT, extrapolate=False), scipy.interpolate.CubicSpline(X, Y)(AT, extrapolate=False))
    c = RNG.normal(size=(3, 6, 2))
    close(interpolate.PPoly(c, X)(AT), scipy.interpolate.PPoly(c, X)(AT))
    close(interpolate.PPoly(c, X).antiderivative()(AT), scipy.interpolate.PPoly(c, X).antiderivative()(AT))


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_b_splines(k: int) -> None:
    t = np.concatenate([[X[0]] * k, X, [X[-1]] * k])
    c = RNG.normal(size=(len(t) - k - 1, 2))
    at = np.linspace(X[0], X[-1], 17)[:-1]
    for nu in range(k + 1):
        close(interpolate.BSpline(t, c, k)(at, nu), scipy.interpolate.BSpline(t, c, k)(at, nu))
    close(interpolate.BSpline(t, c, k, extrapolate=False)(AT), scipy.interpolate.BSpline(t, c, k, extrapolate=False)(AT))
    close(interpolate.BSpline.design_matrix(at, t, k), scipy.interpolate.BSpline.design_matrix(at, t, k).toarray())
    if k:
        assert gradcheck(lambda c, x: interpolate.BSpline(t, c, k)(x), (leaf(c), leaf(at[::3] + 0.011)))
    if k % 2:
        close(interpolate.make_interp_spline(X, Y, k)(AT), scipy.interpolate.make_interp_spline(X, Y, k)(AT))
        assert gradcheck(lambda y: interpolate.make_interp_spline(X, y, k)(at), (leaf(Y),))


@pytest.mark.parametrize("kind", ["linear", "nearest", "previous", "next", "zero", "cubic"])
def test_interp1d(kind: str) -> None:
    order = RNG.permutation(7)
    inside = AT[(X[0] < AT) & (X[-1] > AT)]
    for x, y, axis in ((X, Y, 0), (X[order], Y[order].T, -1), (X, np.stack([Y, Y]), 1)):
        got, want = interpolate.interp1d(x, y, kind, axis), scipy.interpolate.interp1d(x, y, kind, axis)
        close(got(inside), want(inside))
        close(got(inside[:4].reshape(2, 2)), want(inside[:4].reshape(2, 2)))
        close(got(inside[0]), want(inside[0]))
    for fill in ((-1.0, 5.0), 7.0, "extrapolate"):
        options = {"fill_value": fill, "bounds_error": False} if fill != "extrapolate" else {"fill_value": fill}
        close(interpolate.interp1d(X, Y[:, 0], kind, **options)(AT), scipy.interpolate.interp1d(X, Y[:, 0], kind, **options)(AT))
    with pytest.raises(ValueError, match="outside of the points"):
        interpolate.interp1d(X, Y, kind, 0)(AT)
    if kind in ("linear", "cubic"):
        assert gradcheck(lambda y, at: interpolate.interp1d(X, y, kind, 0)(at), (leaf(Y), leaf(inside[::4] + 0.007)))


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_grids(method: str) -> None:
    points = (X, np.array([0.0, 1.0, 3.0]), np.array([-1.0, 2.0]))
    values = RNG.normal(size=(7, 3, 2, 2))
    at = np.stack([RNG.uniform(p[0], p[-1], (4, 5)) for p in points], axis=-1)
    got, want = (m.RegularGridInterpolator(points, values, method) for m in (interpolate, scipy.interpolate))
    close(got(at), want(at))
    close(got(tuple(at[..., i] for i in range(3))), want(tuple(at[..., i] for i in range(3))))
    for fill, step in itertools.product((np.nan, 2.0, None), (1.0, 9.0)):
        options = {"bounds_error": False, "fill_value": fill}
        far = at + step
        close(
            interpolate.RegularGridInterpolator(points, values, method, **options)(far),
            scipy.interpolate.RegularGridInterpolator(points, values, method, **options)(far),
        )
    with pytest.raises(ValueError, match="outside of the grid"):
        got(at + 9.0)
    assert gradcheck(
        lambda v, x: interpolate.RegularGridInterpolator(points, v, method)(x), (leaf(values[..., 0]), leaf(at[0, :2]))
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="increase strictly"):
        interpolate.CubicSpline([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(tg.ShapeError, match="expected as many points"):
        interpolate.CubicSpline([0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="bc_type 'free'"):
        interpolate.CubicSpline([0.0, 1.0], [1.0, 2.0], bc_type="free")
    with pytest.raises(tg.ShapeError, match="do not fit degree"):
        interpolate.BSpline([0.0, 1.0], [1.0], 3)


@pytest.mark.parametrize("method", ["akima", "makima"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_akima_splines(method: str, n: int) -> None:
    for y in (Y[:n], np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0])[:n]):
        for extrapolate in (None, True):
            if method == "makima" and n == 2:
                continue
            ours = interpolate.Akima1DInterpolator(X[:n], y, method=method, extrapolate=extrapolate)
            theirs = scipy.interpolate.Akima1DInterpolator(X[:n], y, method=method, extrapolate=extrapolate)
            close(ours(AT), theirs(AT))
            close(ours(AT, 1), theirs(AT, 1))
    assert gradcheck(
        lambda x, y: interpolate.Akima1DInterpolator(x, y, method=method)(0.5 * (X[1:n] + X[: n - 1])), (leaf(X[:n]), leaf(Y[:n]))
    )
    with pytest.raises(ValueError, match="method is 'other'"):
        interpolate.Akima1DInterpolator(X, Y, method="other")


KERNELS = [
    "linear",
    "thin_plate_spline",
    "cubic",
    "quintic",
    "multiquadric",
    "inverse_multiquadric",
    "inverse_quadratic",
    "gaussian",
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_radial_functions(kernel: str) -> None:
    places, values, at = RNG.normal(size=(12, 2)), RNG.normal(size=(12, 3)), RNG.normal(size=(5, 2))
    variants: list[dict[str, Any]] = [{"epsilon": 1.3}, {"epsilon": 1.3, "smoothing": 0.1}, {"epsilon": 0.9, "degree": 2}]
    for options in variants:
        ours = interpolate.RBFInterpolator(places, values, kernel=kernel, **options)
        theirs = scipy.interpolate.RBFInterpolator(places, values, kernel=kernel, **options)
        np.testing.assert_allclose(ours(at).numpy(), theirs(at), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        interpolate.RBFInterpolator(places, values[:, 0], kernel=kernel, epsilon=1.0)(places).numpy(), values[:, 0], atol=1e-6
    )
    value = lambda p, v, at: interpolate.RBFInterpolator(p, v, kernel=kernel, epsilon=1.0)(at)  # noqa: E731
    assert gradcheck(value, (leaf(places), leaf(values[:, 0]), leaf(at)), rtol=1e-3, atol=1e-5)


def test_radial_functions_refuse() -> None:
    for options, text in (
        ({"kernel": "other"}, "kernel is 'other'"),
        ({"kernel": "gaussian"}, "needs epsilon"),
        ({"neighbors": 3}, "neighbors"),
    ):
        with pytest.raises(ValueError, match=text):
            interpolate.RBFInterpolator(np.eye(3), np.ones(3), **options)
    with pytest.raises(tg.ShapeError, match="too few"):
        interpolate.RBFInterpolator(np.eye(3)[:2], np.ones(2))
    with pytest.raises(tg.ShapeError, match="expected rows of 3"):
        interpolate.RBFInterpolator(np.eye(3), np.ones(3), degree=0)(np.ones((2, 2)))


def test_surfaces() -> None:
    x, y = X, np.cumsum(RNG.random(6) + 0.2)
    z = RNG.normal(size=(7, 6))
    ours, theirs = interpolate.RectBivariateSpline(x, y, z), scipy.interpolate.RectBivariateSpline(x, y, z)
    u, v = np.linspace(x[0] - 0.2, x[-1] + 0.2, 9), np.linspace(y[0], y[-1], 5)
    close(ours(u, v), theirs(u, v))
    close(ours(v, v, grid=False), theirs(v, v, grid=False))
    inside = np.linspace(x[0], x[-1], 5)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 2)):
        close(ours.ev(inside, v, dx, dy), theirs.ev(inside, v, dx, dy))
    middle = inside[1:-1] + 0.01
    assert gradcheck(lambda z, u: interpolate.RectBivariateSpline(x, y, z).ev(u, v[1:-1]), (leaf(z), leaf(middle)))
    linear = interpolate.RectBivariateSpline(x, y, z, kx=1, ky=1)
    close(linear(u, v), scipy.interpolate.RectBivariateSpline(x, y, z, kx=1, ky=1)(u, v))
    with pytest.raises(ValueError, match="smoothing"):
        interpolate.RectBivariateSpline(x, y, z, s=1.0)


def test_splrep_and_splev() -> None:
    for k in (1, 3, 5):
        ours, theirs = interpolate.splrep(X, Y[:, 0], k=k), scipy.interpolate.splrep(X, Y[:, 0], k=k)
        close(ours[0], theirs[0])
        for ext in (0, 1, 3):
            for der in (0, 1) if ext == 0 else (0,):
                close(interpolate.splev(AT, ours, der, ext), scipy.interpolate.splev(AT, theirs, der, ext))
                close(interpolate.splev(AT, theirs, der, ext), scipy.interpolate.splev(AT, theirs, der, ext))
    with pytest.raises(ValueError, match="outside of the knots"):
        interpolate.splev(AT, ours, ext=2)
    with pytest.raises(ValueError, match="smoothing"):
        interpolate.splrep(X, Y[:, 0], s=1.0)


def test_interpn() -> None:
    grid, values, at = (X, X[:5]), RNG.normal(size=(7, 5)), np.array([[X[1] + 0.1, X[2]], [X[0], X[4]]])
    for method in ("linear", "nearest"):
        close(interpolate.interpn(grid, values, at, method), scipy.interpolate.interpn(grid, values, at, method))
    with pytest.raises(ValueError, match="outside of the grid"):
        interpolate.interpn(grid, values, [[100.0, X[0]]])


GRID = (np.arange(4.0), np.arange(5.0))
MAPPED: dict[str, Any] = {
    "grid": lambda v: interpolate.RegularGridInterpolator(GRID, np.arange(20.0).reshape(4, 5) ** 2)(
        tg.stack([v[0], v[1] + v[2]])
    ),
    "interp1d": lambda v: interpolate.interp1d(GRID[0], GRID[0] ** 2)(v),
    "splev": lambda v: interpolate.splev(v, interpolate.splrep(GRID[0], GRID[0] ** 2), ext=2),
    "points": lambda v: interpolate.CubicSpline(tg.concat([v, v[-1:] + 1.0]), GRID[0] ** 2)(1.1),
    "periodic": lambda v: interpolate.CubicSpline(GRID[0], tg.concat([v, v[:1]]), bc_type="periodic")(1.3),
}


@pytest.mark.parametrize("name", MAPPED)
def test_checks_look_at_all_samples_of_a_mapping(name: str) -> None:
    f = MAPPED[name]
    x = tg.asarray(np.array([[0.2, 0.5, 1.5], [0.3, 1.0, 2.2]]))
    np.testing.assert_allclose(tg.vmap(f)(x).numpy(), np.stack([f(v).numpy() for v in x]), rtol=1e-12)
    slope = tg.grad(lambda v: tg.sum(f(v)))
    np.testing.assert_allclose(tg.vmap(slope)(x).numpy(), np.stack([slope(v).numpy() for v in x]), rtol=1e-10, atol=1e-12)
    if name != "periodic":
        with pytest.raises(ValueError, match=r"outside|increase strictly"):
            tg.vmap(f)(tg.stack([x[0], tg.asarray(np.array([9.0, 0.5, -9.0]))]))
