"""Foreign arrays: NumPy arrays of every kind, lists, strings; sharing, copying, writing in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F64 = tg.float64


def leaf(data: Any) -> tg.Variable:
    return tg.Variable(np.array(data), dtype=F64, requires_grad=True)


UNSUPPORTED = [
    "longdouble",
    "M8[s]",
    "U3",
    "S3",
]


@pytest.mark.parametrize("dtype", UNSUPPORTED)
def test_unsupported_dtypes(dtype: str) -> None:
    a = np.zeros(2, dtype=dtype)
    for make in (tg.Variable, tg.array, tg.asarray, lambda a: tg.zeros(2) + a):
        with pytest.raises(TypeError, match="is not supported; supported are bool, int8, int16") as caught:
            make(a)
        assert caught.type is tg.DTypeError
    if a.dtype.kind in "fciu":
        with pytest.raises(tg.DTypeError, match=f"dtype {a.dtype.name} is not supported"):
            tg.zeros(2, dtype=a.dtype)


def test_arrays_of_objects() -> None:
    for a in (np.array([1.0, 2.0], dtype=object), np.array([1, "a"], dtype=object), np.array([None])):
        with pytest.raises(tg.DTypeError, match="Python objects cannot be converted: give it a numeric dtype"):
            tg.Variable(a)
    with pytest.raises(tg.DTypeError, match="not supported"):
        tg.Variable(np.zeros(2, dtype=[("a", float)]))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("abc", TypeError, "a string cannot be converted"),
        (b"abc", tg.DTypeError, "not supported"),
        (["a"], TypeError, r"element at \[0\] is str"),
        ([[1.0, 2.0], [3.0, None]], TypeError, r"element at \[1, 1\] is NoneType"),
        (None, TypeError, "cannot make an array of NoneType"),
        ({1: 2}, TypeError, "cannot make an array of dict"),
        ([[1, 2], [3]], tg.ShapeError, r"ragged lists: the one at \[1\] has length 1, expected 2"),
        ([1, [2]], tg.ShapeError, r"ragged lists: the element at \[1\] is a list"),
        ([[1], 2], tg.ShapeError, r"ragged lists: the element at \[1\] is a number"),
        ([[[1], [2]], [[3], [4, 5]]], tg.ShapeError, r"ragged lists: the one at \[1, 1\]"),
    ],
)
def test_lists_and_strings(data: Any, error: type[Exception], message: str) -> None:
    for make in (tg.Variable, tg.array, tg.asarray):
        with pytest.raises(error, match=message) as caught:
            make(data)
        assert caught.type is error


def test_recursive_lists_end() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(ValueError, match="nested deeper"):
        tg.Variable(data)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_every_layout_keeps_its_values(dtype: str) -> None:
    a = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
    frozen = a.copy()
    frozen.setflags(write=False)
    layouts = {
        "transposed": a.T,
        "fortran": np.asfortranarray(a),
        "reversed": a[::-1, :, ::-2],
        "strided": a[:, ::2, 1::2],
        "repeated": np.broadcast_to(a[:1, :, :1], (2, 3, 4)),
        "read-only": frozen,
        "swapped": a.astype(a.dtype.newbyteorder("S")),
        "swapped and strided": a.astype(a.dtype.newbyteorder("S"))[:, ::-1],
        "0-d": a[1, 2, 3, ...],
        "empty": a[:, :0],
    }
    for name, b in layouts.items():
        for v in (tg.Variable(b), tg.array(b), tg.asarray(b), tg.asarray(b, copy=True)):
            assert v.dtype == dtype, name
            assert v.shape == b.shape, name
            np.testing.assert_array_equal(v.numpy(), b, err_msg=name)
        assert tg.sum(tg.Variable(b), dtype=F64).item() == b.sum(dtype=np.float64), name
    if dtype.startswith("float"):
        x = tg.Variable(layouts["swapped and strided"], requires_grad=True)
        tg.sum(x * x).backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * layouts["swapped and strided"])


def test_asarray_without_a_copy() -> None:
    a = np.arange(6.0)
    v = tg.asarray(a, copy=False)
    a[0] = 7.0
    assert v[0].item() == 7.0
    for data, options, reason in [
        ([1, 2], {}, "a nested list cannot be shared"),
        (a[::2], {}, "not contiguous"),
        (a.astype(">f8"), {}, "native byte order"),
        (a, {"dtype": tg.float32}, "float64 to float32 needs a copy"),
    ]:
        with pytest.raises(ValueError, match=rf"asarray\(copy=False\): .*{reason}"):
            tg.asarray(data, copy=False, **options)
    copied = tg.array(a)
    a[0] = 8.0
    assert copied[0].item() == 7.0


# ---- writing ----


def test_a_leaf_is_not_changed_while_recording() -> None:
    x = leaf([1.0, 2.0])

    def add() -> None:
        nonlocal x
        x += 1.0

    def multiply() -> None:
        nonlocal x
        x *= leaf([1.0, 1.0])

    same = x
    for change in (add, multiply, lambda: x.__setitem__(0, 5.0), lambda: x.__setitem__(..., leaf([0.0, 0.0]))):
        with pytest.raises(tg.GradError, match=r"is a leaf that requires gradients.*no_grad"):
            change()
        assert x is same
        np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])
    with tg.no_grad():
        add()
    assert x is same
    np.testing.assert_array_equal(x.numpy(), [2.0, 3.0])


def test_what_is_written_must_fit() -> None:
    x, i = tg.zeros((2, 3)), tg.zeros(2, dtype=tg.int64)

    def grow() -> None:
        nonlocal x
        x += tg.ones((4, 2, 3))

    def widen() -> None:
        nonlocal i
        i += 1.5

    def divide() -> None:
        nonlocal i
        i /= 2

    with pytest.raises(tg.ShapeError, match=r"\(4, 2, 3\).*\(2, 3\)"):
        grow()
    with pytest.raises(tg.DTypeError, match=r"float32.*int64"):
        widen()
    with pytest.raises(tg.DTypeError, match=r"float.*int64"):
        divide()
    with pytest.raises(tg.ShapeError, match=r"setitem: .*\(4,\) into shape \(3,\)"):
        x[0] = tg.ones(4)
    np.testing.assert_array_equal(x.numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(i.numpy(), [0, 0])


def test_what_numpy_gets_is_read_only() -> None:
    v = tg.Variable([1.0, 2.0])
    view = v.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5.0
    copy = v.numpy(copy=True)
    copy[0] = 5.0
    assert v[0].item() == 1.0


def test_read_only_arrays_are_copied_before_they_are_written() -> None:
    a = np.arange(3.0)
    a.setflags(write=False)
    v = tg.Variable(a)
    v[0] = 5.0
    np.testing.assert_array_equal(a, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(v.numpy(), [5.0, 1.0, 2.0])


def test_a_change_of_ours_does_not_reach_what_was_saved() -> None:
    w, v = leaf([1.0, 1.0, 1.0]), tg.Variable(np.arange(3.0))
    y = tg.sum(w * v)
    v[0] = 9.0
    v += 1.0
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(v.numpy(), [10.0, 2.0, 3.0])


def test_a_misaligned_array_is_copied() -> None:
    a = np.zeros(25, np.uint8)[1:].view(np.float64)
    a[:] = [1, 2, 3]
    assert not a.flags.aligned
    np.testing.assert_array_equal(tg.Variable(a).numpy(), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="copy=False"):
        tg.asarray(a, copy=False)
