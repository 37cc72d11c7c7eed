"""``tg.ndimage`` against SciPy: filters of images at every border, and values between elements; and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import tapegrad as tg
from tapegrad import ndimage
from tapegrad.autograd import gradcheck

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


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", [*MODES, "grid-constant", "grid-wrap", "grid-mirror"])
def test_values_between_elements(mode: str, order: int) -> None:
    at = RNG.uniform(-9.0, 15.0, size=(2, 5, 8)) + 0.01
    options = {"order": order, "mode": mode, "cval": 0.7}
    close(ndimage.map_coordinates(X, at, **options), scipy.ndimage.map_coordinates(X, at, **options))
    inside = RNG.uniform(0.2, 4.8, size=(2, 6))
    if order:
        assert gradcheck(lambda x, at: ndimage.map_coordinates(x, at, **options), (leaf(X), leaf(inside)))
    close(
        ndimage.map_coordinates(X, [tg.asarray(inside[0]), inside[1]], order=1), scipy.ndimage.map_coordinates(X, inside, order=1)
    )


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
    with pytest.raises(ValueError, match="order is 3"):
        ndimage.map_coordinates(X, np.ones((2, 3)), order=3)
    with pytest.raises(tg.ShapeError, match="a row for each"):
        ndimage.map_coordinates(X, np.ones((3, 3)), order=1)
    with pytest.raises(ValueError, match="order is 3, expected order=0 or order=1"):
        ndimage.map_coordinates(X, np.ones((2, 3)))
    with pytest.raises(tg.AxisError):
        ndimage.correlate1d(X, [1.0], axis=2)
    with pytest.raises(ValueError, match="origin 2"):
        ndimage.correlate1d(X, [1.0, 1.0, 1.0], origin=2)
