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
