"""The buffer protocol: memory of a Variable without a copy, read-only, for as long as an exporter uses it."""

import array
import gc
import hashlib
import io
import weakref

import numpy as np
import pytest

import tapegrad as tg

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_formats(dtype):
    a = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    v = tg.tensor(a)
    m = memoryview(v)
    n = memoryview(a)
    assert (m.format, m.itemsize, m.shape, m.strides, m.nbytes) == (n.format, n.itemsize, n.shape, n.strides, n.nbytes)
    assert m.readonly
    assert m.contiguous
    assert bytes(v) == a.tobytes()
    if not dtype.startswith("complex"):
        assert m.tolist() == a.tolist()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3, 4)])
def test_shapes(shape):
    v = tg.zeros(shape)
    m = memoryview(v)
    assert (m.shape, m.ndim) == (shape, len(shape))
    assert bytes(v) == bytes(4 * v.numel())


def test_strides_and_contiguity():
    a = np.arange(12.0).reshape(3, 4)
    v = tg.tensor(a)
    for ours, numpys in [(v.T, a.T), (v[1:, ::2], a[1:, ::2]), (v[::-1], a[::-1]), (v[:, 1], a[:, 1])]:
        m = memoryview(ours)
        assert m.strides == numpys.strides
        assert m.tolist() == numpys.tolist()
        assert bytes(ours) == numpys.tobytes()
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        io.BytesIO().write(v.T[::2])
    hashlib.sha256(v)
    assert hashlib.sha256(v).digest() == hashlib.sha256(a).digest()


def test_no_copy_is_made_and_later_writes_do_not_show():
    v = tg.zeros(1000)
    m = memoryview(v)
    assert np.frombuffer(m, np.float32).__array_interface__["data"][0] == v.data_ptr()
    v.add_(1)
    assert m[0] == 0
    assert v[0] == 1
    m.release()
    assert v.tolist() == [1] * 1000


def test_the_memory_is_kept_and_given_back():
    v = tg.tensor(np.arange(5.0))
    alive = weakref.ref(v)
    m = memoryview(v)
    del v
    gc.collect()
    assert m.tolist() == [0, 1, 2, 3, 4]
    m.release()
    del m
    gc.collect()
    assert alive() is None


def test_nothing_writes_through_it():
    v = tg.zeros(3)
    with pytest.raises(TypeError, match="read-only"):
        memoryview(v)[0] = 1.0
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"123").readinto(v)
    assert v.tolist() == [0, 0, 0]


def test_tracked_values_raise_as_for_numpy():
    w = tg.ones(2, requires_grad=True)
    for x in (w, w * 2):
        with pytest.raises(tg.GradError, match=r"buffer protocol.*detach\(\)"):
            memoryview(x)
        with tg.no_grad():
            assert memoryview(x).readonly
        assert memoryview(x.detach()).tolist() == x.detach().tolist()
    with pytest.raises(tg.GradError):
        tg.vmap(lambda x: memoryview(x)[0])(tg.ones(2, 2))


def test_other_readers():
    v = tg.tensor([1.0, 2.0], dtype=tg.float64)
    assert array.array("d", bytes(v)).tolist() == [1, 2]
    assert bytearray(v) == v.numpy().tobytes()
    file = io.BytesIO()
    assert file.write(v) == 16
    assert np.asarray(v).tolist() == [1, 2]
    assert not np.asarray(v).flags.writeable
    assert np.array(v).flags.writeable
    assert float(tg.tensor(2.5)) == 2.5
    assert int(tg.tensor(2)) == 2
    assert tg.asarray(memoryview(v)).tolist() == [1, 2]
    assert tg.tensor(memoryview(v.float())).dtype == tg.float32
