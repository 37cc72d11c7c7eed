"""Helpers of the tests of bad input."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

F64 = tg.float64
GRID = np.arange(6.0).reshape(2, 3)


def leaf(data: Any, dtype: Any = F64) -> tg.Variable:
    return tg.Variable(np.array(data), dtype=dtype, requires_grad=True)


def ones(*shape: int) -> tg.Variable:
    return tg.ones(shape, dtype=F64)


def refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """``call`` raises exactly ``error``, and leaves nothing on the tape and no mode switched."""
    before = tg.tape_stats()["live_nodes"]
    with pytest.raises(error, match=message) as caught:
        call()
    assert caught.type is error
    del caught
    if tg.tape_stats()["live_nodes"] > before:  # frees objects that only the traceback held
        gc.collect()
    assert tg.tape_stats()["live_nodes"] <= before
    assert tg.is_grad_enabled()


def check(f: Callable[[tg.Variable], Any], error: type[Exception], message: str) -> None:
    """``f`` refuses a 2x3 leaf and leaves values and gradient as they were."""
    x = leaf(GRID)
    refused(lambda: f(x), error, message)
    np.testing.assert_array_equal(x.numpy(), GRID)
    assert x.grad is None
