"""Invalid indices and impossible in-place changes: a typed exception, and the attempt changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from refusals import GRID, check, ones, refused

# ---- indices ----

INDICES: list[tuple[Any, str]] = [
    (2, "index 2 is out of bounds for axis 0 with size 2"),
    (-3, "index -3 is out of bounds for axis 0 with size 2"),
    ((0, 3), "index 3 is out of bounds for axis 1 with size 3"),
    ((slice(None), -4), "index -4 is out of bounds for axis 1 with size 3"),
    ((0, 0, 0), "too many indices"),
    ((..., ...), "single ellipsis"),
    (np.array([0, 2]), "index 2 is out of bounds for axis 0 with size 2"),
    ([0, -3], "index -3 is out of bounds for axis 0 with size 2"),
    ((slice(None), np.array([[0], [7]])), "index 7 is out of bounds for axis 1 with size 3"),
    (np.array([True, False, True]), "boolean index did not match .*axis 0; size of axis is 2 .* 3"),
    (np.ones((3, 2), dtype=bool), "boolean index did not match"),
    ((np.array([0, 1]), np.array([0, 1, 2])), "could not be broadcast together"),
    (np.array([0.5]), "integer .*got float64"),
    ("a", "got str"),
    (1.0, "got float"),
    (np.float64(1.0), "got float"),
    (1j, "got complex"),
    (b"a", "got bytes"),
    ({0}, "got set"),
    (np.array(["a"]), "got ndarray"),
    ([0, 0.5], "integer .*got float32"),
    ([0, "a"], r"a list in an index must hold ints or bools: .*\[1\] is str"),
    ([0, None], r"\[1\] is NoneType"),
    ([[0], [1, 0]], "ragged"),
    (2**70, f"index {2**70} is out of bounds"),
    (-(2**70), f"index -{2**70} is out of bounds"),
    ((0, -(2**63)), "out of bounds"),
]


class One:
    """An object that converts to an int by ``__index__``."""

    def __index__(self) -> int:
        return 1


ODD: list[Any] = [One(), slice(One(), None), slice(None, None, One()), slice(np.int64(1), None), np.int8(1), range(2), [], [[]]]
ODD += [True, False, np.True_, [0, True], ((0, 1), [1, 0]), (None, 1, None)]
ODD += [slice(-(2**70), 2**70), slice(2**70, None, -(2**70)), slice(None, -(2**70), -1)]


@pytest.mark.parametrize("index", ODD)
def test_whatever_numpy_takes_as_an_index(index: Any) -> None:
    np.testing.assert_array_equal(tg.Variable(GRID)[index].numpy(), GRID[index])


def test_slices_are_made_of_ints() -> None:
    for bad in ("a", 1.0, [1], 1j):
        for index in (slice(bad, None), slice(None, bad), slice(None, None, bad), (0, slice(bad, None))):
            message = f"slice indices must be integers or None or have an __index__ method, got {type(bad).__name__}"
            check(lambda x, i=index: x[i], TypeError, message)


def test_an_error_of_an_index_object_passes_through() -> None:
    class Broken:
        def __index__(self) -> int:
            raise LookupError("mine")

    check(lambda x: x[Broken()], LookupError, "mine")
    check(lambda x: x[Broken() :], LookupError, "mine")


@pytest.mark.parametrize(("index", "message"), INDICES)
def test_indices_are_checked(index: Any, message: str) -> None:
    check(lambda x: x[index], IndexError, message)
    x = ones(2, 3)
    refused(lambda: x.__setitem__(index, 5.0), IndexError, message)
    np.testing.assert_array_equal(x.numpy(), np.ones((2, 3)))


def test_functions_that_take_indices_check_them() -> None:
    for bad in (7, -3):
        index, message = tg.Variable([[bad]]), f"index {bad} is out of bounds for axis 0 with size 2"
        check(lambda x, i=index: tg.take(x, i, axis=0), IndexError, f"take: {message}")
        check(lambda x, i=index: tg.take_along_axis(x, i, axis=0), IndexError, f"take_along_axis: {message}")
        check(lambda x, i=index: tg.gather(x, 0, i), IndexError, f"gather: {message}")
    check(lambda x: x[::0], ValueError, "step cannot be zero")


# ---- in place ----

IN_PLACE: list[tuple[Any, str]] = [
    (lambda x: x.__iadd__(1.0), r"\+=: this Variable is a leaf .*, or write x = x \+ \.\.\. to make a new value"),
    (lambda x: x.__imatmul__(x), r"@=: .* write x = x @ \.\.\."),
    (lambda x: x.__ipow__(2), r"\*\*=: .* write x = x \*\* \.\.\."),
    (lambda x: x.__setitem__(0, 1.0), r"assignment: .*, or assign into a value made from it, as in y = x.clone\(\)$"),
]


@pytest.mark.parametrize(("change", "message"), IN_PLACE)
def test_a_leaf_is_not_changed_while_recording(change: Any, message: str) -> None:
    check(change, tg.GradError, message)


def test_in_place_operations_keep_shape_and_dtype() -> None:
    x, i = ones(3), tg.asarray([1, 2, 3])
    refused(lambda: x.__iadd__(ones(2, 3)), tg.ShapeError, r"\+=: the result has shape \(2, 3\), .* keeps its shape \(3,\)")
    message = "/=: the result has dtype float32, which an array of int64 cannot hold; write x = x / "
    refused(lambda: i.__itruediv__(2), tg.DTypeError, message)
    refused(lambda: x.__iadd__("a"), TypeError, r"\+=: the right side must be an array or a number, got str")
    assert (x.tolist(), i.tolist()) == ([1.0] * 3, [1, 2, 3])
