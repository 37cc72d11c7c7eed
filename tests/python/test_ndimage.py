"""``tg.ndimage`` against SciPy: filters of images at every border, and values between elements; and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import tapegrad as tg
from tapegrad import ndimage
from tapegrad.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 7))
MODES = ("reflect", "mirror", "nearest", "wrap", "constant")


def close(got: Any, want: Any) -> None:
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-9, atol=1e-9)


def leaf(x: Any) -> tg.Variable:
    return tg.asarray(np.asarray(x)).clone().requires_grad_(True)


CALLS: dict[str, tuple[Any, ...]] = {
    "correlate1d": ([1.0, 2.0, -1.0, 0.5], 0),
    "convolve1d": ([1.0, 2.0, -1.0, 0.5], 1),
    "correlate": (RNG.normal(size=(3, 2)),),
    "convolve": (RNG.normal(size=(2, 3)),),
    "gaussian_filter1d": (0.7, 0, 1),
    "gaussian_filter": ((0.8, 0.4), (0, 2)),
    "uniform_filter1d": (4, 0),
    "uniform_filter": ((3, 2),),
    "sobel": (0,),
    "prewitt": (1,),
    "laplace": (),
    "gaussian_laplace": (0.6,),
    "gaussian_gradient_magnitude": (0.6,),
}


@pytest.mark.parametrize("name", CALLS)
def test_linear_filters(name: str) -> None:
    f, reference = getattr(ndimage, name), getattr(scipy.ndimage, name)
    for mode in MODES:
        close(f(X, *CALLS[name], mode=mode, cval=1.5), reference(X, *CALLS[name], mode=mode, cval=1.5))
    if "1d" in name and "gaussian" not in name:
        close(f(X, *CALLS[name], origin=-1), reference(X, *CALLS[name], origin=-1))
    if name in ("correlate", "convolve"):
        for origin in (-1, (0, -1), (0, 0)):
            close(f(X, np.ones((3, 3)), origin=origin), reference(X, np.ones((3, 3)), origin=origin))
        assert gradcheck(lambda w: f(X, w), (leaf(CALLS[name][0]),))
    assert gradcheck(lambda x: f(x, *CALLS[name]), (leaf(X[:4, :4]),))


@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter", "median_filter"])
def test_filters_by_rank(name: str) -> None:
    f, reference = getattr(ndimage, name), getattr(scipy.ndimage, name)
    for mode in MODES:
        for size in (3, (2, 3), (1, 4)):
            close(f(X, size, mode=mode), reference(X, size, mode=mode))
    assert gradcheck(lambda x: f(x, 3), (leaf(X[:3, :3]),))
    with pytest.raises(ValueError, match="pass size="):
        f(X)


#: SciPy's coefficients at these borders are approximations for high orders.
ROUGH = {"reflect": 1e-3, "grid-mirror": 1e-3}
BORDERS = (*MODES, "grid-constant", "grid-wrap", "grid-mirror")
MAP = np.array([[0.9, 0.3], [-0.2, 1.1]])
HOMOGENEOUS = np.vstack([np.column_stack([MAP, [0.41, 0.63]]), [0.0, 0.0, 1.0]])


def near(got: Any, want: Any, mode: str, order: int) -> None:
    assert got.shape == np.shape(want)
    atol = ROUGH.get(mode, 1e-9) if order > 1 else 1e-9
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("mode", BORDERS)
@pytest.mark.parametrize("order", range(6))
def test_values_between_elements(mode: str, order: int) -> None:
    at = RNG.uniform(-9.0, 15.0, size=(2, 5, 8)) + 0.01
    for prefilter in (True, False):
        options = {"order": order, "mode": mode, "cval": 0.7, "prefilter": prefilter}
        near(ndimage.map_coordinates(X, at, **options), scipy.ndimage.map_coordinates(X, at, **options), mode, order)
    elements = np.stack(np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij"))
    close(ndimage.map_coordinates(X, elements, order=order, mode=mode), X)
    small, inside = leaf(X[:3, :2]), leaf(RNG.uniform(-1.3, 3.8, size=(2, 2)) + 0.003)
    f = lambda x, at: ndimage.map_coordinates(x, at, order=order, mode=mode)  # noqa: E731
    assert gradcheck(f, (small, inside)) if order else gradcheck(lambda x: f(x, inside.detach()), (small,))
    if order:
        assert gradgradcheck(f, (small, inside))
        forward, reverse = tg.jacfwd(f, argnums=1)(small, inside), tg.jacrev(f, argnums=1)(small, inside)
        close(forward, reverse.detach().numpy())


@pytest.mark.parametrize("mode", BORDERS)
@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_movements(mode: str, order: int) -> None:
    options = {"order": order, "mode": mode, "cval": 0.7}
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("shift", ((0.7, -1.3),), {}),
        ("shift", (0.45,), {}),
        ("zoom", ((1.7, 0.6),), {}),
        ("affine_transform", (MAP, (0.31, -0.43)), {}),
        ("affine_transform", ([0.9, 1.21], 0.317, (4, 9)), {}),
        ("affine_transform", (HOMOGENEOUS,), {}),
        ("affine_transform", (HOMOGENEOUS[:2],), {"output_shape": (3, 8)}),
        ("rotate", (33.0,), {}),
        ("rotate", (33.0,), {"reshape": False}),
    ]
    if mode.startswith("grid-"):
        calls.append(("zoom", ((1.7, 0.6),), {"grid_mode": True}))
    for name, args, more in calls:
        want = getattr(scipy.ndimage, name)(X, *args, **options, **more)
        near(getattr(ndimage, name)(X, *args, **options, **more), want, mode, order)
    if order > 1:
        near(ndimage.spline_filter(X, order, mode="mirror"), scipy.ndimage.spline_filter(X, order, mode="mirror"), mode, order)
        want = scipy.ndimage.spline_filter1d(X, order, 0, mode="grid-wrap")
        near(ndimage.spline_filter1d(X, order, 0, mode="grid-wrap"), want, mode, order)


def test_places_may_be_a_list_of_rows() -> None:
    inside = RNG.uniform(0.2, 4.8, size=(2, 6))
    close(ndimage.map_coordinates(X, [tg.asarray(inside[0]), inside[1]]), scipy.ndimage.map_coordinates(X, inside))


@pytest.mark.parametrize("order", [1, 3])
def test_movements_have_gradients(order: int) -> None:
    x = leaf(X[:4, :3])
    assert gradcheck(lambda x, t: ndimage.rotate(x, t, order=order), (x, leaf(20.0)))
    assert gradcheck(lambda x, t: ndimage.shift(x, t, order=order), (x, leaf([0.3, 0.2])))
    assert gradcheck(lambda x, a, b: ndimage.affine_transform(x, a, b, order=order), (x, leaf(MAP), leaf([0.21, 0.33])))
    assert gradcheck(lambda x, a: ndimage.affine_transform(x, a, order=order), (x, leaf(HOMOGENEOUS[:2])))
    assert gradgradcheck(lambda x: ndimage.zoom(x, 1.7, order=order) ** 2, (x,))


def test_movements_keep_dtypes_and_axes() -> None:
    y = RNG.normal(size=(4, 5, 3))
    for f in (lambda m, y: m.rotate(y, 20.0), lambda m, y: m.rotate(y, 20.0, axes=(0, 2)), lambda m, y: m.zoom(y, 2)):
        close(f(ndimage, y), f(scipy.ndimage, y))
        close(f(ndimage, y + 1j), f(scipy.ndimage, y + 1j))
    turns = tg.asarray([10.0, 20.0])
    mapped = tg.vmap(lambda t: ndimage.rotate(X, t, reshape=False))(turns)
    close(mapped, np.stack([ndimage.rotate(X, t, reshape=False).numpy() for t in turns]))
    assert ndimage.zoom(np.ones((3, 2), np.float32), 2).dtype == tg.float32
    assert ndimage.map_coordinates(X, np.ones((2, 0))).shape == (0,)
    assert ndimage.shift(np.ones((1, 3)), 0.0).shape == (1, 3)


def test_options_and_errors() -> None:
    close(ndimage.gaussian_filter(X, 1.0, axes=0, truncate=2.0), scipy.ndimage.gaussian_filter(X, 1.0, axes=0, truncate=2.0))
    close(ndimage.gaussian_filter(X, 1.0, radius=3), scipy.ndimage.gaussian_filter(X, 1.0, radius=3))
    close(ndimage.uniform_filter(X, 3, axes=(1,)), scipy.ndimage.uniform_filter(X, 3, axes=(1,)))
    z = X + 1j * X[::-1]
    close(ndimage.correlate1d(z, [1.0, 2.0, 3.0]), scipy.ndimage.correlate1d(z, [1.0, 2.0, 3.0]))
    with pytest.raises(TypeError, match="output= is not available"):
        ndimage.laplace(X, output=X)
    with pytest.raises(ValueError, match="mode is 'other'"):
        ndimage.laplace(X, mode="other")
    with pytest.raises(ValueError, match="order is 6, expected a whole number from 0 to 5"):
        ndimage.map_coordinates(X, np.ones((2, 3)), order=6)
    with pytest.raises(TypeError, match="output= is not available"):
        ndimage.zoom(X, 2, output=X)
    with pytest.raises(ValueError, match="mode is 'other'"):
        ndimage.rotate(X, 2.0, mode="other")
    with pytest.raises(tg.ShapeError, match=r"a matrix of shape \(3, 2\) for an array of 2 axes"):
        ndimage.affine_transform(X, np.ones((3, 2)))
    with pytest.raises(ValueError, match="the last row of the matrix"):
        ndimage.affine_transform(X, np.ones((3, 3)))
    with pytest.raises(tg.ShapeError, match="shift of shape"):
        ndimage.shift(X, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="two different axes"):
        ndimage.rotate(X, 3.0, axes=(1, -1))
    with pytest.raises(ValueError, match="one for each of 2 axes"):
        ndimage.zoom(X, [1.0, 2.0, 3.0])
    with pytest.raises(tg.GradError):
        ndimage.zoom(X, leaf(2.0))
    with pytest.raises(tg.AxisError):
        ndimage.spline_filter1d(X, axis=2)
    with pytest.raises(tg.ShapeError, match="a row for each"):
        ndimage.map_coordinates(X, np.ones((3, 3)), order=1)
    with pytest.raises(tg.AxisError):
        ndimage.correlate1d(X, [1.0], axis=2)
    with pytest.raises(ValueError, match="origin 2"):
        ndimage.correlate1d(X, [1.0, 1.0, 1.0], origin=2)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("mode", ["mirror", "reflect", "grid-wrap"])
def test_coefficients_along_long_axes_come_from_a_filter(mode: str, order: int) -> None:
    x = np.random.default_rng(3).standard_normal((2, 300))
    ours = tg.ndimage.spline_filter1d(x, order, mode=mode).numpy()
    # SciPy's own "reflect" is off at the borders.
    inside = slice(40, -40) if mode == "reflect" else slice(None)
    np.testing.assert_allclose(ours[:, inside], scipy.ndimage.spline_filter1d(x, order, mode=mode)[:, inside], atol=1e-9)
    places = np.stack([np.repeat([0.0, 1.0], 300), np.tile(np.arange(300.0), 2)])
    np.testing.assert_allclose(tg.ndimage.map_coordinates(x, places, order=order, mode=mode).numpy(), x.ravel(), atol=1e-12)
    z = x + 1j * x[::-1]
    both = tg.ndimage.spline_filter1d(z, order, mode=mode).numpy()
    np.testing.assert_allclose(both, ours + 1j * ours[::-1], atol=1e-12)


def test_a_long_axis_takes_memory_for_its_length_only() -> None:
    x = tg.asarray(np.sin(np.arange(200_000) * 0.01)).requires_grad_()
    out = tg.ndimage.shift(x, 0.5, mode="mirror")
    np.testing.assert_allclose(out.detach().numpy()[100:-100], np.sin((np.arange(200_000) - 0.5) * 0.01)[100:-100], atol=1e-9)
    out.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy()[100:-100], np.ones(199_800), atol=1e-12)


def test_a_homogeneous_matrix_excludes_an_offset() -> None:
    with pytest.raises(ValueError, match=r"offset is 1.0, but the last column of a matrix of shape \(1, 2\) is the offset"):
        tg.ndimage.affine_transform(tg.ones(3), [[1.0, 0.0]], offset=1.0)
