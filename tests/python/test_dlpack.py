"""DLPack out and in: versions, flags, keywords, and tensors that are wrong in every way: errors, never a crash."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F64 = tg.float64
NEW = {"max_version": (1, 0)}


class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Unversioned(ctypes.Structure):
    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER))


class Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
name_of = ctypes.pythonapi.PyCapsule_GetName
name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]


class Producer:
    """A tensor whose fields a test sets."""

    def __init__(
        self, array: Any, /, *, version: tuple[int, int] | None = None, flags: int = 0, device: Any = (1, 0), **fields: Any
    ) -> None:
        self.data = np.ascontiguousarray(array)
        self.deleted = 0
        self.version, self.device = version, device
        dtype = {"f": 2, "i": 0, "u": 1, "b": 6}[self.data.dtype.kind]
        shape = fields.pop("shape", self.data.shape)
        strides = fields.pop("strides", None)
        self.shape = None if shape is None else (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self.strides = None if strides is None else (ctypes.c_int64 * max(len(strides), 1))(*strides)
        values = {
            "data": self.data.ctypes.data,
            "device_type": 1,
            "ndim": 0 if shape is None else len(shape),
            "code": dtype,
            "bits": self.data.dtype.itemsize * 8,
            "lanes": 1,
            **fields,
        }
        tensor = Tensor(**values)
        tensor.shape, tensor.strides = self.shape, self.strides
        self.deleter = DELETER(self.delete)
        if version is None:
            self.managed: Any = Unversioned(tensor, None, self.deleter)
        else:
            self.managed = Versioned(*version, None, self.deleter, flags, tensor)

    def delete(self, _: int) -> None:
        self.deleted += 1

    def __dlpack_device__(self) -> Any:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        name = b"dltensor" if self.version is None else b"dltensor_versioned"
        return new_capsule(ctypes.addressof(self.managed), name, None)


# ---- in ----


@pytest.mark.parametrize("version", [None, (1, 0), (1, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_a_tensor_is_shared_and_ended_once(version: Any, dtype: str) -> None:
    a = np.arange(6).reshape(2, 3).astype(dtype)
    p = Producer(a, version=version)
    x = tg.from_dlpack(p)
    assert x.dtype == dtype
    assert np.shares_memory(x.numpy(), p.data)
    p.data[0, 0] = 9
    assert x.tolist() == [[9, 1, 2], [3, 4, 5]]
    assert p.deleted == 0
    del x
    gc.collect()
    assert p.deleted == 1


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"strides": (1, 2), "shape": (2, 3)}, [[0, 2, 4], [1, 3, 5]]),
        ({"strides": (-1,), "shape": (6,), "byte_offset": 40}, [5, 4, 3, 2, 1, 0]),
        ({"strides": (3, -1), "shape": (2, 3), "byte_offset": 16}, [[2, 1, 0], [5, 4, 3]]),
        ({"strides": (0, 2), "shape": (2, 3)}, [[0, 2, 4], [0, 2, 4]]),
        ({"strides": (), "shape": (), "byte_offset": 8}, 1),
        ({"strides": (7, 1), "shape": (1, 6)}, [[0, 1, 2, 3, 4, 5]]),
        ({"shape": (3,), "byte_offset": 24}, [3, 4, 5]),
        ({"shape": (0, 3)}, []),
        ({"shape": (0,), "data": None}, []),
    ],
)
def test_strides_and_offsets(options: Any, want: Any) -> None:
    p = Producer(np.arange(6.0), version=(1, 0), **options)
    x = tg.from_dlpack(p)
    assert x.tolist() == want
    assert x.shape == options["shape"]
    w = tg.ones(x.shape, dtype=F64).requires_grad_()
    y = (w * x).sum()
    p.data[:] = 50.0
    y.backward()
    assert w.grad.tolist() == want


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_bools_are_normalised(version: Any) -> None:
    raw = np.array([0, 1, 2, 255, 0, 7], dtype=np.uint8)
    for options, want in [
        ({}, [0, 1, 1, 1, 0, 1]),
        ({"strides": (2,), "shape": (3,)}, [0, 1, 0]),
        ({"strides": (-1,), "shape": (2,), "byte_offset": 1}, [1, 0]),
    ]:
        p = Producer(raw, version=version, code=6, **options)
        x = tg.from_dlpack(p)
        assert x.dtype == tg.bool
        assert x.numpy().view(np.uint8).tolist() == want
        assert tg.sum(x).item() == sum(want)
        gc.collect()
        assert p.deleted == 1
    with pytest.raises(ValueError, match=r"copy=False\).*bools"):
        tg.from_dlpack(Producer(raw, version=version, code=6), copy=False)
    assert tg.from_dlpack(Producer(raw, version=version, code=6, shape=(0,))).dtype == tg.bool


WRONG = {
    "huge shape": ({"shape": (1 << 40, 1 << 40)}, "larger than any memory"),
    "huge shape with an empty axis": ({"shape": (1 << 40, 0, 1 << 40)}, "larger than any memory"),
    "huge size": ({"shape": (1 << 62,)}, "larger than any memory"),
    "largest size": ({"shape": ((1 << 63) - 1,)}, "larger than any memory"),
    "huge broadcast": ({"shape": (1 << 40, 1 << 40), "strides": (0, 0)}, "larger than any memory"),
    "huge strides": ({"shape": (3, 2), "strides": (1 << 62, 1)}, "larger than any memory"),
    "strides that add up": ({"shape": (2, 2, 2), "strides": (1 << 58, 1 << 58, 1 << 58)}, "larger than any memory"),
    "huge negative strides": ({"shape": (3, 2), "strides": (-(1 << 62), 1)}, "larger than any memory"),
    "smallest stride": ({"shape": (2, 2), "strides": (-(1 << 63), 1)}, "larger than any memory"),
    "negative size": ({"shape": (2, -3)}, "axis 1 has the size -3"),
    "smallest size": ({"shape": (-(1 << 63),)}, "axis 0 has the size"),
    "negative ndim": ({"ndim": -1}, "-1 axes"),
    "huge ndim": ({"ndim": (1 << 31) - 1}, "axes, expected 0 to 64"),
    "no shape": ({"shape": None, "ndim": 2}, "without a shape"),
    "no data": ({"data": None}, "missing or not aligned"),
    "misaligned": ({"byte_offset": 3}, "missing or not aligned"),
    "another device inside": ({"device_type": 2}, "device of type 2"),
    "quarter": ({"code": 2, "bits": 8}, "type code 2"),
    "odd bits": ({"bits": 24}, "24 bits"),
    "lanes": ({"lanes": 4}, "4 lanes"),
}


@pytest.mark.parametrize("version", [None, (1, 0)])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_tensor_is_an_error_and_is_ended(name: str, version: Any) -> None:
    options, message = WRONG[name]
    p = Producer(np.arange(6.0), version=version, **options)
    with pytest.raises((BufferError, tg.DTypeError), match=message):
        tg.from_dlpack(p)
    gc.collect()
    assert p.deleted == 1


def test_a_version_to_come_is_an_error_and_is_ended() -> None:
    p = Producer(np.arange(6.0), version=(2, 0))
    with pytest.raises(BufferError, match=r"version 2\.0 is not supported"):
        tg.from_dlpack(p)
    gc.collect()
    assert p.deleted == 1


def test_a_producer_that_lies() -> None:
    class Lies(Producer):
        answer: Any = None

        def __dlpack__(self, **options: Any) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    p = Lies(np.arange(6.0))
    consumed = Producer(np.arange(6.0)).__dlpack__()
    tg.from_dlpack(type("Once", (), {"__dlpack__": lambda self, **o: consumed, "__dlpack_device__": lambda self: (1, 0)})())
    for answer in (None, 3, "dltensor", consumed, new_capsule(ctypes.addressof(p.managed), b"other", None)):
        p.answer = answer
        with pytest.raises(BufferError, match="expected a capsule named"):
            tg.from_dlpack(p)
    for error in (RuntimeError("mine"), KeyError("mine"), MemoryError("mine")):
        p.answer = error
        with pytest.raises(type(error), match="mine"):
            tg.from_dlpack(p)
    for device, error_type in [
        ((2, 0), BufferError),
        (None, TypeError),
        ((), IndexError),
        (("cpu", 0), TypeError),
        ((1 << 80, 0), OverflowError),
    ]:
        with pytest.raises(error_type):
            tg.from_dlpack(Producer(np.arange(6.0), device=device))
    with pytest.raises(TypeError, match="no __dlpack__"):
        tg.from_dlpack([1.0])


def test_keywords_of_the_import() -> None:
    p = Producer(np.arange(6.0), version=(1, 0))
    assert not np.shares_memory(tg.from_dlpack(p, copy=True).numpy(), p.data)
    kept = tg.from_dlpack(p, device="cpu", copy=False)
    assert np.shares_memory(kept.numpy(), p.data)
    w = tg.ones(6, dtype=F64).requires_grad_()
    y = (w * kept).sum()
    assert np.shares_memory(kept.numpy(), p.data)
    y.backward()
    assert w.grad.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(ValueError, match="one device"):
        tg.from_dlpack(p, device="cuda")


def test_a_tensor_that_was_copied_for_us_is_not_copied_again() -> None:
    p = Producer(np.arange(6.0), version=(1, 0), flags=2)
    x = tg.from_dlpack(p)
    (tg.ones(6, dtype=F64).requires_grad_() * x).sum()
    assert np.shares_memory(x.numpy(), p.data)


def test_a_read_only_tensor_is_shared() -> None:
    a = np.arange(6.0)
    a.setflags(write=False)
    x = tg.from_dlpack(Producer(a, version=(1, 0), flags=1))
    x[0] = 9.0
    assert a[0] == 0.0
    try:
        y = tg.from_dlpack(a)
    except BufferError:  # NumPy before 2.1 has no read-only tensors
        return
    assert np.shares_memory(y.numpy(), a)


# ---- out ----


def parts(x: Any, **options: Any) -> tuple[str, Any]:
    """Name and structure of a capsule, which stays alive with it."""
    capsule = x.__dlpack__(**options)
    name = name_of(capsule)
    kind = Versioned if name == b"dltensor_versioned" else Unversioned
    managed = kind.from_address(pointer_of(capsule, name))
    managed.capsule = capsule
    return name.decode(), managed


def test_a_versioned_capsule_is_shared_and_read_only() -> None:
    x = tg.arange(6, dtype=F64).reshape(2, 3)
    name, t = parts(x, **NEW)
    assert name == "dltensor_versioned"
    assert (t.major, t.flags, t.tensor.ndim, t.tensor.code, t.tensor.bits, t.tensor.lanes) == (1, 1, 2, 2, 64, 1)
    assert t.tensor.data + t.tensor.byte_offset == x.numpy().ctypes.data
    assert (t.tensor.shape[:2], t.tensor.strides[:2]) == ([2, 3], [3, 1])
    assert parts(x, max_version=(1, 7))[1].major == 1
    assert parts(x, max_version=(2, 0))[1].major == 1
    there = np.from_dlpack(x)
    if np.shares_memory(there, x.numpy()):
        assert not there.flags.writeable


def test_a_copy_is_the_consumers_own() -> None:
    x = tg.arange(6, dtype=F64)
    name, t = parts(x, copy=True, **NEW)
    assert name == "dltensor_versioned"
    assert t.flags == 2
    assert t.tensor.data != x.numpy().ctypes.data


@pytest.mark.parametrize("options", [{}, {"max_version": None}, {"max_version": (0, 8)}, {"copy": True}])
def test_a_consumer_that_knows_no_flags_cannot_change_a_value(options: Any) -> None:
    x = tg.arange(6, dtype=F64)
    w = tg.ones(6, dtype=F64).requires_grad_()
    y = (w * x).sum()
    name, t = parts(x, **options)
    assert name == "dltensor"
    ctypes.cast(t.tensor.data, ctypes.POINTER(ctypes.c_double))[1] = 50.0
    y.backward()
    assert x.tolist() == w.grad.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_keywords_of_the_export() -> None:
    x = tg.arange(6, dtype=F64)
    assert parts(x, stream=None, dl_device=(1, 0), copy=False, **NEW)[1].flags == 1
    with pytest.raises(BufferError, match="have no stream"):
        x.__dlpack__(stream=1)
    with pytest.raises(BufferError, match=r"device \(2, 0\) was asked for, only the CPU"):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match=r"copy=False\): the memory is read-only"):
        x.__dlpack__(copy=False)
    for options in ({"max_version": 1}, {"max_version": "1.0"}, {"dl_device": "cpu"}, {"copy": "no"}, {"other": 1}):
        with pytest.raises(TypeError):
            x.__dlpack__(**options)


def test_a_capsule_keeps_its_memory() -> None:
    x = tg.arange(1000, dtype=F64)
    _, t = parts(x, **NEW)
    del x
    gc.collect()
    tg.zeros(1000, dtype=F64)
    assert ctypes.cast(t.tensor.data, ctypes.POINTER(ctypes.c_double))[999] == 999.0


def test_shared_memory_is_exported_as_it_is() -> None:
    a = np.arange(6.0)
    x = tg.asarray(a)
    assert parts(x, **NEW)[1].tensor.data == a.ctypes.data
    (tg.ones(6, dtype=F64).requires_grad_() * x).sum()  # the Variable moves on to a copy
    _, t = parts(x, **NEW)
    a[:] = 50.0
    assert ctypes.cast(t.tensor.data, ctypes.POINTER(ctypes.c_double))[5] == 5.0
