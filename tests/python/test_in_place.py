"""Changes in place: buffers that nobody else holds are overwritten, all others are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def leaf(data: Any) -> tg.Variable:
    return tg.Variable(data, dtype=tg.float64, requires_grad=True)


def address(v: tg.Variable) -> int:
    """The address of the elements; the view is dropped again."""
    return v.numpy().__array_interface__["data"][0]


CHANGES: list[tuple[str, Any]] = [
    ("+=", lambda x, y: x.__iadd__(y)),
    ("-=", lambda x, y: x.__isub__(y)),
    ("*=", lambda x, y: x.__imul__(y)),
    ("//=", lambda x, y: x.__ifloordiv__(y)),
    ("%=", lambda x, y: x.__imod__(y)),
    ("**=", lambda x, y: x.__ipow__(y)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "int64"])
@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[n for n, _ in CHANGES])
def test_a_buffer_that_nobody_else_holds_is_overwritten(name: str, change: Any, dtype: str) -> None:
    base = np.arange(1, 7).reshape(2, 3).astype(dtype)
    for other in (2, np.array([1, 2, 3], dtype=dtype), np.ones((2, 3), dtype=dtype), np.full((2, 1), 2, dtype=dtype)):
        x, expected = tg.array(base), base.copy()
        before = address(x)
        change(x, other)
        change(expected, other)
        assert address(x) == before, name
        assert x.dtype == dtype
        np.testing.assert_allclose(x.numpy(), expected, rtol=1e-6)


def test_other_holders_keep_what_they_hold() -> None:
    x = tg.array(np.arange(6.0).reshape(2, 3))
    row, seen, twin = x[0].clone(), x.numpy(), tg.array(x)
    x += 1.0
    x[0] = 9.0
    x *= x
    for old in (seen, twin.numpy()):
        np.testing.assert_array_equal(old, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(row.numpy(), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(x.numpy(), [[81.0] * 3, [16.0, 25.0, 36.0]])
    mine = np.arange(3.0)
    v = tg.asarray(mine)
    v += 1.0
    v[0] = 7.0
    np.testing.assert_array_equal(mine, [0.0, 1.0, 2.0])


def test_what_is_recorded_is_a_new_value() -> None:
    w, x = leaf([1.0, 2.0]), tg.array([3.0, 4.0], dtype=tg.float64)
    before = address(x)
    x *= w
    x[0] = w[1] * 5.0
    assert address(x.detach()) != before
    tg.sum(x * x).backward()
    np.testing.assert_array_equal(w.grad.numpy(), [0.0, 2 * 8.0 * 4.0 + 2 * 10.0 * 5.0])
    y = tg.sum(w * tg.array([1.0, 1.0], dtype=tg.float64) * w)
    with tg.no_grad():
        w += 1.0  # saved by y: copied first
    again = address(w.detach())
    y.backward()
    with tg.no_grad():
        w -= 1.0
        w[1] = 5.0
    assert address(w.detach()) == again
    assert w.tolist() == [1.0, 5.0]
    w.grad += 1.0
    assert w.requires_grad


def test_items_are_assigned_where_they_lie() -> None:
    x, expected = tg.zeros((4, 5), dtype=tg.float64), np.zeros((4, 5))
    before = address(x)
    keys: list[Any] = [0, (1, 2), (slice(None), -1), (slice(None, None, -2), slice(1, 3)), (..., 0), (None, 2), slice(2, 2)]
    for k, key in enumerate(keys):
        x[key] = float(k)
        expected[key] = float(k)
        x[key] = tg.asarray(expected[key] + 0.5)
        expected[key] += 0.5
    assert address(x) == before
    np.testing.assert_array_equal(x.numpy(), expected)
    for bad, error in ((9, IndexError), ("a", IndexError)):
        with pytest.raises(error):
            x[bad] = 1.0
    with pytest.raises(tg.ShapeError):
        x[0] = tg.ones(3)
    x[1:3] = x[0:2]  # the parts overlap
    expected[1:3] = expected[0:2].copy()
    np.testing.assert_array_equal(x.numpy(), expected)
