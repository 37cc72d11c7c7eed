"""Python's numbers beside arrays: what a dtype cannot hold is an error, by one rule in every place where they meet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES: list[Callable[[tg.Variable, Any], Any]] = [
    lambda x, n: tg.asarray(n, dtype=x.dtype),
    lambda x, n: tg.asarray([1, n], dtype=x.dtype),
    lambda x, n: tg.array([[n]], dtype=x.dtype),
    lambda x, n: tg.Variable(n, dtype=x.dtype),
    lambda x, n: tg.full((2,), n, dtype=x.dtype),
    lambda x, n: tg.full_like(x, n),
    lambda x, n: x.__setitem__(0, n),
    lambda x, n: x.__setitem__(slice(None), [1, n]),
    lambda x, n: x.__setitem__([True, False], n),
    lambda x, n: tg.masked_fill(x, x == 0, n),
]


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("int32", -(2**31), 2**31 - 1), ("int64", -(2**63), 2**63 - 1)]
)
@pytest.mark.parametrize("place", PLACES)
def test_a_number_beyond_the_dtype_is_an_overflow(place: Any, dtype: str, low: int, high: int) -> None:
    for wrong in (low - 1, high + 1, 2**70, -math.inf, 1e30):
        x = tg.zeros(2, dtype=dtype)
        with pytest.raises(OverflowError, match=r"out of bounds for|does not fit into int64"):
            place(x, wrong)
        assert x.tolist() == [0, 0]
    with pytest.raises(ValueError, match=f"NaN cannot be converted to {dtype}"):
        place(tg.zeros(2, dtype=dtype), math.nan)
    for fits in (low, high):
        place(tg.zeros(2, dtype=dtype), fits)


def test_what_fits_is_kept_as_numpy_keeps_it() -> None:
    x = tg.zeros(3, dtype=tg.uint8)
    x[0] = 255.9
    x[1:] = [True, 7]
    assert x.tolist() == [255, 1, 7]
    assert tg.asarray([1.5, -0.5], dtype=tg.uint8).tolist() == [1, 0]
    assert tg.asarray([300, 0], dtype=tg.bool).tolist() == [True, False]
    assert tg.asarray([300]).astype(tg.uint8).tolist() == [44]  # a cast of an array wraps


def test_a_large_int_beside_floats_is_a_float() -> None:
    x = tg.zeros(2, dtype=tg.float64)
    for got in (x + 2**70, 2**70 + x, tg.asarray([2**70], dtype=tg.float64)):
        assert got.tolist()[0] == 2.0**70
    x[0] = 2**70
    x -= -(2**70)
    assert x.tolist() == [2.0**71, 2.0**70]
    with pytest.raises(OverflowError, match="too large to convert to float"):
        x + 2**2000
    for far in (2**70, -(2**70)):
        with pytest.raises(OverflowError, match="does not fit into int64"):
            tg.zeros(2, dtype=tg.int64) + far


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_comparisons_go_by_value_however_large_the_int(dtype: str) -> None:
    x = tg.ones(1, dtype=dtype)
    for far in (300, 2**63, 2**70):
        assert [(x < far).item(), (x == far).item(), (x != far).item(), (far <= x).item()] == [True, False, True, False]
    assert (x > -(2**70)).item()


def test_a_bound_beyond_the_dtype_bounds_nothing() -> None:
    x = tg.asarray([0, 7, 255], dtype=tg.uint8)
    for low, high in ((-5, 300), (None, 256), (-1, None), (-(10**9), 10**9)):
        got = tg.clip(x, low, high)
        assert got.dtype == tg.uint8
        assert got.tolist() == [0, 7, 255]
    np.testing.assert_array_equal(tg.clip(x, -5, 8).numpy(), [0, 7, 8])


def _grid() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    v, p = rng.standard_normal(7), rng.random(7) + 0.5
    places = np.array([0.0, 0.4, 0.9, 1.7, 2.1, 2.4, 3.0])
    arrays = {"v": v, "p": p, "u": p - 0.45, "g": places, "A": rng.standard_normal((4, 4)), "k": np.arange(1, 8)}
    return {"np": np, "tg": tg, **{name: tg.asarray(value) for name, value in arrays.items()}}


#: Calls with numbers and lists of numbers that binary32 rounds, beside arrays of float64; `k` is one of integers.
DIGITS = """
tg.gradient(A, 0.1, 0.3)[1]
tg.gradient(v, 0.1, edge_order=2)
np.gradient(v, [0.1, 0.2, 0.4, 0.5, 0.7, 0.8, 0.9])
np.interp(0.15, g, v)
np.interp(v, g, p, left=0.1, right=0.3)
np.append(v, 0.1)
np.insert(v, 1, 0.1)
np.insert(v, [1, 2], [0.1, 0.2])
np.diff(v, prepend=0.1, append=0.2)
np.ediff1d(v, to_begin=0.1, to_end=[0.2, 0.7])
np.select([v > 0, v < -0.1], [0.3, v], 0.1)
np.pad(v, 2, constant_values=0.1)
np.pad(A, 1, mode="linear_ramp", end_values=0.1)
np.linspace(v, 0.1, 3)
np.linspace(0.1, v[0], 3)
np.geomspace(p, 0.1, 3)
np.logspace(v, 0.1, 3)
tg.logspace(0.1, 0.3, 4, dtype=tg.float64)
tg.geomspace(0.1, 0.3, 4, dtype=tg.float64)
tg.linspace(0.1, 0.3, 4, dtype=tg.float64, retstep=True)[1]
np.meshgrid(v, [0.1, 0.2])[1]
np.cov(A, aweights=[0.1, 0.2, 0.3, 0.4])
np.histogram(v, [-0.7, 0.1, 0.3], weights=p, density=True)[0]
np.polyval(v, 0.1)
np.polyval(v, [0.1, 0.2])
np.polyfit([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], v, 1)
np.polyfit(g, v, 1, w=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
np.polymul(v, [0.1, 0.3])
np.polyadd(v, [0.1, 0.3])
np.polydiv(v, [0.1, 0.3])[0]
np.polyint(v, 2, k=[0.1, 0.2])
np.stack([v[0], 0.1])
written("np.place(x, x > 0, [0.1, 0.2])")
written("np.put(x, [0, 1], [0.1, 0.2])")
written("np.putmask(x, x > 0, [0.1])")
written("np.fill_diagonal(x[:4].reshape(2, 2), 0.1)")
written("np.copyto(x, 0.1)")
written("x.flat.__setitem__(slice(None), [0.1])")
tg.index_put(v, (tg.asarray([1]),), 0.1, accumulate=True)
tg.scatter(v, 0, tg.asarray([0]), 0.1)
tg.complex(v, 0.1)
tg.polar(p, 0.1)
tg.nn.functional.prelu(v, 0.1)
tg.special.logsumexp(v, b=0.3)
tg.special.poch(p, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
tg.linalg.solve_toeplitz([1.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1], v)
tg.linalg.hankel(v, [0.1, 0.2])
tg.linalg.solve_banded((0, 0), [[0.1] * 7], v)
tg.linalg.solveh_banded([[0.1] * 7], v)
tg.linalg.solve_sylvester(A, [[0.1]], [[0.2], [0.3], [0.4], [0.5]])
tg.linalg.solve_continuous_lyapunov(A, [[0.1] * 4] * 4)
tg.stats.poisson.logpmf(k, p)
tg.stats.poisson.logpmf([1, 2, 3, 4, 5, 6, 7], p)
tg.stats.binom.logpmf(2, k, u / 2.0)
tg.stats.norm.isf([0.1, 0.2], v[:2])
tg.stats.multivariate_normal.logpdf(v[:2], [0.1, 0.2], [[0.3, 0.1], [0.1, 0.4]])
tg.stats.multivariate_normal.logpdf([0.1, 0.2], v[:2], 0.3)
tg.stats.dirichlet.logpdf([0.1, 0.2, 0.7], p[:3])
tg.stats.entropy(p, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
tg.stats.pearsonr([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8], v)[0]
tg.stats.gaussian_kde(v)([0.1, 0.2])
tg.distributions.Normal(v[:2], [0.1, 0.2]).log_prob([0.3, 0.7])
tg.distributions.Poisson(p).log_prob(k)
tg.signal.lfilter([0.1, 0.2], [1.0, 0.3], v)
tg.signal.lfilter([0.1, 0.2], v[:2], [0.1, 0.2, 0.3])
tg.signal.lfilter([0.1], [1.0, 0.3], v, zi=[0.1])[1]
tg.signal.filtfilt([0.1, 0.2], [1.0, 0.3], tg.tile(v, 5))
tg.signal.sosfilt([[0.1, 0.2, 0.3, 1.0, 0.4, 0.1]], v)
tg.signal.convolve(v, [0.1, 0.2])
tg.signal.fftconvolve(v, [0.1, 0.2])
tg.signal.correlate(v, [0.1, 0.2])
tg.signal.convolve2d(A, [[0.1, 0.2]])
tg.ndimage.gaussian_filter(A, 0.7, mode="constant", cval=0.1)
tg.ndimage.convolve(A, [[0.1, 0.2]], mode="constant", cval=0.1)
tg.integrate.simpson(v, x=[0.1, 0.2, 0.4, 0.5, 0.7, 0.8, 0.9])
tg.integrate.cumulative_trapezoid(v, x=[0.1, 0.2, 0.4, 0.5, 0.7, 0.8, 0.9])
tg.integrate.fixed_quad(lambda x: v[0] * x, 0.1, 0.3)[0]
tg.integrate.fixed_quad(lambda x: v[0] * x, v[1], 0.3)[0]
tg.optimize.curve_fit(lambda x, a, b: a * x + b, g, v, p0=[0.1, 0.2], sigma=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])[0]
""".strip().splitlines()


@pytest.mark.parametrize("call", DIGITS)
def test_numbers_beside_arrays_keep_all_their_digits(call: str) -> None:
    """The default dtype is for numbers that stand alone: beside float64 they are float64."""

    def written(statement: str) -> tg.Variable:
        x = tg.array(names["v"])
        eval(statement, {**names, "x": x})  # noqa: S307
        return x

    names = {**_grid(), "written": written}
    found = {}
    for default in (tg.float32, tg.float64):
        tg.set_default_dtype(default)
        try:
            found[default] = eval(call, names).numpy()  # noqa: S307
        finally:
            tg.set_default_dtype(tg.float32)
    exact = found[tg.float64]
    assert found[tg.float32].dtype == exact.dtype
    assert exact.dtype in (np.float64, np.complex128)
    np.testing.assert_array_equal(found[tg.float32], exact)
