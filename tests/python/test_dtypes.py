"""All dtypes: promotion, conversions, integer arithmetic and reductions against NumPy's; the array API's functions of dtypes."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

import tapegrad as tg

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
ALL = ["bool", *INTEGERS, *FLOATS, *COMPLEX]
VALUES = [
    0,
    1,
    2,
    3,
    7,
    100,
    127,
    128,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -1,
    -2,
    -3,
    -128,
    -(2**31),
]


def numbers(dtype):
    """Numbers at the ends of a dtype and between them."""
    if dtype == "bool":
        return np.array([False, True, True])
    if dtype in INTEGERS:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        return np.array([v for v in [*VALUES, low, low + 1, high, high - 1] if low <= v <= high], dtype=dtype)
    values = np.array([0.0, -0.0, 1.5, -2.25, 1e6, np.inf, np.nan])
    return (
        values.astype(dtype) if dtype in FLOATS else np.stack([values, values[::-1]], -1).view("complex128")[:, 0].astype(dtype)
    )


@pytest.mark.parametrize("a", ALL)
def test_promotion_is_numpys(a):
    for b in ALL:
        want = np.result_type(a, b)
        assert tg.result_type(a, b) == want == tg.result_type(getattr(tg, b), tg.zeros(1, dtype=a))
        assert (tg.zeros(2, dtype=a) * tg.zeros(2, dtype=b)).dtype == want
        assert tg.where(tg.Variable([True, False]), tg.zeros(2, dtype=a), tg.zeros(2, dtype=b)).dtype == want
        assert tg.concat([tg.zeros(2, dtype=a), tg.zeros(2, dtype=b)]).dtype == want
        assert tg.can_cast(a, b) == (want == b)


@pytest.mark.parametrize("dtype", ALL)
def test_dtypes_are_numpys(dtype):
    ours, theirs = getattr(tg, dtype), np.dtype(dtype)
    assert ours == theirs == ours
    assert ours == dtype
    assert ours == theirs.type
    assert ours != ("float16" if dtype != "float16" else "int8")
    for name in ("name", "itemsize", "kind", "char", "str", "type"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert np.dtype(ours) == theirs
    assert np.zeros(3, ours).dtype == theirs
    assert np.empty(0, tg.zeros(1, dtype=ours).dtype).dtype == theirs
    assert np.ones(2).astype(ours).dtype == theirs
    assert np.result_type(ours, ours) == theirs
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert hash(ours) == hash(getattr(tg, dtype))
    assert tg.zeros(1, dtype=theirs).dtype == tg.zeros(1, dtype=theirs.str).dtype == ours
    assert repr(ours) == f"tapegrad.{dtype}"
    assert str(ours) == dtype


def test_names_of_python_types():
    assert [tg.zeros(1, dtype=t).dtype.name for t in (bool, int, float, complex)] == ["bool", "int64", "float64", "complex128"]
    assert tg.DType("f4") == tg.float32
    assert tg.DType("complex") == tg.complex128
    assert tg.DType("<i2") == tg.int16
    for wrong in ("float128", "object", "nothing", 3, None, "U8"):
        with pytest.raises(TypeError):
            tg.DType(wrong)


@pytest.mark.parametrize("dtype", ALL)
def test_there_and_back(dtype):
    a = numbers(dtype)
    v = tg.Variable(a)
    assert v.dtype == dtype
    assert v.itemsize == a.itemsize
    assert v.nbytes == a.nbytes
    np.testing.assert_array_equal(v.numpy(), a)
    assert v.numpy().dtype == a.dtype
    np.testing.assert_array_equal(np.array(v.tolist(), dtype=dtype), a)
    assert [type(x) for x in v.tolist()] == [type(x) for x in a.tolist()]
    np.testing.assert_array_equal(tg.Variable(v.tolist(), dtype=dtype).numpy(), a)
    assert v[1].item() == a[1].item()
    assert repr(v[1].item()) == repr(a[1].item())
    np.testing.assert_array_equal(tg.from_dlpack(a).numpy(), a)
    np.testing.assert_array_equal(np.from_dlpack(v), a)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(v)).numpy(), a)
    np.testing.assert_array_equal(tg.Variable(a.astype(a.dtype.newbyteorder())).numpy(), a)
    np.testing.assert_array_equal(tg.Variable(a[::-2]).numpy(), a[::-2])
    shared = tg.asarray(a)
    if dtype != "bool":
        assert np.shares_memory(shared.numpy(), a)
    body = np.array2string(a, separator=", ", prefix="Variable(")
    assert body in repr(v)


def in_range(a, dtype):
    """The elements that the dtype holds: others are undefined in C."""
    if dtype in INTEGERS and a.dtype.kind == "f":
        info = np.iinfo(dtype)
        return a[np.isfinite(a) & (a >= info.min) & (a < float(info.max))]
    return a


@pytest.mark.parametrize("source", ALL)
def test_casts_are_numpys(source):
    for target in ALL:
        if source in COMPLEX and target not in [*COMPLEX, "bool"]:
            with pytest.raises(TypeError, match="imaginary parts"):
                tg.Variable(numbers(source)).astype(target)
            continue
        a = in_range(numbers(source), target)
        with np.errstate(all="ignore"):
            want = a.astype(target)
        np.testing.assert_array_equal(tg.Variable(a).astype(target).numpy(), want, err_msg=target)
    v = tg.Variable(numbers(source))
    assert v.astype(source, copy=False).dtype == source
    assert v.astype(source, device="cpu").dtype == source
    with pytest.raises(ValueError, match="one device"):
        v.astype(source, device="cuda")


BINARY = [
    "add",
    "subtract",
    "multiply",
    "floor_divide",
    "remainder",
    "maximum",
    "minimum",
    "fmod",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", BINARY)
def test_integer_arithmetic_wraps_as_numpys(name, dtype):
    a, b = (m.ravel() for m in np.meshgrid(numbers(dtype), numbers(dtype)))
    with np.errstate(all="ignore"):
        want = getattr(np, name)(a, b)
    f = getattr(tg, name)
    got = f(tg.Variable(a), tg.Variable(b))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(
        f(tg.Variable(a.reshape(-1, 1)), tg.Variable(b[:3])).numpy(),
        f(tg.Variable(np.repeat(a, 3)), tg.Variable(np.tile(b[:3], len(a)))).reshape(-1, 3).numpy(),
    )
    np.testing.assert_array_equal(f(tg.Variable(a), 3).numpy(), getattr(np, name)(a, np.array(3, dtype)))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_in_place(dtype):
    a = tg.Variable(numbers(dtype))
    b, want = a, numbers(dtype)
    a += 5
    a *= 3
    a -= tg.Variable(want)
    a //= 2
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(b.numpy(), (((want + 5).astype(dtype) * 3).astype(dtype) - want).astype(dtype) // 2)
    with pytest.raises(TypeError):
        a /= 2


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_and_powers(dtype):
    a = numbers(dtype)
    bits = 8 * a.itemsize
    for n in (0, 1, bits - 1, bits, 200 if bits > 8 else bits):
        count = np.array(min(n, np.iinfo(dtype).max), dtype)
        np.testing.assert_array_equal(tg.bitwise_left_shift(tg.Variable(a), tg.Variable(count)).numpy(), np.left_shift(a, count))
        np.testing.assert_array_equal(
            tg.bitwise_right_shift(tg.Variable(a), tg.Variable(count)).numpy(), np.right_shift(a, count)
        )
    np.testing.assert_array_equal(tg.bitwise_invert(tg.Variable(a)).numpy(), ~a)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((tg.Variable(a) ** 3).numpy(), a**3)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["abs", "sign", "square", "negative", "positive", "floor", "ceil", "trunc", "round"])
def test_functions_that_keep_integers(name, dtype):
    a = numbers(dtype)
    got = getattr(tg, name)(tg.Variable(a))
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got.numpy(), getattr(np, name)(a))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_true_division_and_functions_of_reals(dtype):
    a = numbers(dtype)
    v = tg.Variable(a)
    assert (v / 2).dtype == tg.sqrt(v).dtype == tg.exp(v).dtype == tg.mean(v).dtype == tg.get_default_dtype()
    np.testing.assert_allclose((v / tg.Variable(a)).numpy()[1:3], 1)


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
def test_reductions_of_integers(dtype):
    a = np.stack([numbers(dtype)] * 3)
    v = tg.Variable(a)
    for axis in (None, 0, 1):
        for f, g in [
            (tg.sum, np.sum),
            (tg.prod, np.prod),
            (tg.max, np.max),
            (tg.min, np.min),
            (tg.argmax, np.argmax),
            (tg.argmin, np.argmin),
        ]:
            with np.errstate(all="ignore"):
                want = g(a, axis)
            got = f(v, axis)
            assert got.dtype == want.dtype, (f, axis)
            np.testing.assert_array_equal(got.numpy(), want)
        for f, g in [(tg.any, np.any), (tg.all, np.all), (tg.count_nonzero, np.count_nonzero)]:
            np.testing.assert_array_equal(f(v, axis).numpy(), g(a, axis))
    assert tg.sum(v).dtype == ("uint64" if dtype.startswith("u") else "int64")
    assert tg.sum(v, dtype=dtype).dtype == dtype
    assert tg.sum(tg.zeros((0, 2), dtype=dtype), 0).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_products_of_integers(dtype):
    a = np.resize(numbers(dtype), (4, 5))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((tg.Variable(a) @ tg.Variable(a.T)).numpy(), a @ a.T)
        np.testing.assert_array_equal((tg.Variable(a) @ tg.Variable(a[0])).numpy(), a @ a[0])
    assert (tg.Variable(a) @ tg.Variable(a.T)).dtype == dtype


@pytest.mark.parametrize("name", ["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"])
def test_comparisons(name):
    for a, b in itertools.product(["bool", *INTEGERS, *FLOATS], repeat=2):
        if {a, b} >= {"uint64"} and {a, b} & {"int8", "int16", "int32", "int64"}:
            continue  # compared as float64
        x, y = (m.ravel() for m in np.meshgrid(numbers(a), numbers(b)))
        common = np.result_type(a, b)
        want = getattr(np, name)(x.astype(common), y.astype(common))
        np.testing.assert_array_equal(getattr(tg, name)(tg.Variable(x), tg.Variable(y)).numpy(), want, err_msg=f"{a} {b}")
    for dtype in INTEGERS:
        a = numbers(dtype)
        for number in (0, 3, -1, 300, 2**63, -(2**70), 2**64 - 1, 1.5):
            want = [
                bool(
                    getattr(
                        x,
                        {
                            "greater": "__gt__",
                            "greater_equal": "__ge__",
                            "less": "__lt__",
                            "less_equal": "__le__",
                            "equal": "__eq__",
                            "not_equal": "__ne__",
                        }[name],
                    )(number)
                )
                if isinstance(number, int)
                else bool(getattr(np, name)(float(x), number))
                for x in a.tolist()
            ]
            operator = {
                "greater": "__gt__",
                "greater_equal": "__ge__",
                "less": "__lt__",
                "less_equal": "__le__",
                "equal": "__eq__",
                "not_equal": "__ne__",
            }[name]
            np.testing.assert_array_equal(getattr(tg.Variable(a), operator)(number).numpy(), want, err_msg=f"{dtype} {number}")


@pytest.mark.parametrize("dtype", ALL)
def test_movements(dtype):
    a = np.resize(numbers(dtype), (3, 4))
    v = tg.Variable(a)
    index = np.array([2, 0])
    for got, want in [
        (v[1:, ::-1], a[1:, ::-1]),
        (v.T, a.T),
        (v[tg.Variable(index)], a[index]),
        (v[:, tg.Variable(index.astype("uint8"))], a[:, index]),
        (tg.take(v, tg.Variable(index.astype("int16")), 1), np.take(a, index, 1)),
        (tg.concat([v, v], 1), np.concatenate([a, a], 1)),
        (tg.stack([v.T, v.T]), np.stack([a.T, a.T])),
        (tg.roll(v, 2, 1), np.roll(a, 2, 1)),
        (tg.flip(v), np.flip(a)),
        (tg.tile(v, (2, 1)), np.tile(a, (2, 1))),
        (tg.repeat(v, 2, 0), np.repeat(a, 2, 0)),
        (tg.tril(v), np.tril(a)),
        (tg.where(tg.Variable(a == a[0]), v, tg.zeros_like(v)), np.where(a == a[0], a, np.zeros_like(a))),
        (tg.full_like(v, 1), np.full_like(a, 1)),
        (tg.eye(3, dtype=dtype), np.eye(3, dtype=dtype)),
        (tg.broadcast_to(v[0], (2, 4)) + tg.zeros((2, 4), dtype=dtype), np.broadcast_to(a[0], (2, 4)) + np.zeros((2, 4), dtype)),
    ]:
        np.testing.assert_array_equal(got.numpy(), want)
        assert got.dtype == dtype
    w = tg.Variable(a)
    w[0] = 1
    w[1:, 2] = w[0, 1]
    b = a.copy()
    b[0] = 1
    b[1:, 2] = 1
    np.testing.assert_array_equal(w.numpy(), b)


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
def test_no_gradient_for_integers(dtype):
    with pytest.raises(TypeError, match="floating and complex"):
        tg.zeros(2, dtype=dtype).requires_grad_(True)
    x = tg.Variable([1.0, 2.0], requires_grad=True)
    (x * tg.ones(2, dtype=dtype)).sum().backward()
    assert x.grad.dtype == tg.float32
    assert x.grad.tolist() == [1.0, 1.0]


def test_numbers_out_of_range():
    for dtype in INTEGERS:
        info = tg.iinfo(dtype)
        v = tg.zeros(2, dtype=dtype)
        for bad in (info.max + 1, info.min - 1):
            with pytest.raises(OverflowError):
                v + bad
            with pytest.raises(OverflowError):
                tg.full((1,), bad, dtype=dtype)
            with pytest.raises(OverflowError):
                tg.Variable([bad], dtype=dtype)
        assert (v + info.max).tolist() == [info.max] * 2
        assert tg.full((), info.min, dtype=dtype).item() == info.min
    assert tg.Variable(2**64 - 1).dtype == tg.uint64
    assert tg.Variable([2**63, 1]).dtype == tg.uint64
    with pytest.raises(OverflowError):
        tg.Variable(2**64)


def test_limits():
    for dtype in FLOATS:
        ours, theirs = tg.finfo(getattr(tg, dtype)), np.finfo(dtype)
        for name in ("bits", "eps", "max", "min", "smallest_normal", "tiny", "resolution", "precision"):
            value = getattr(ours, name)
            assert value == pytest.approx(float(getattr(theirs, name)), rel=1e-7)
            assert type(value) in (int, float)
        assert ours.dtype == dtype
        assert tg.finfo(tg.zeros(1, dtype=dtype)).eps == ours.eps
    assert tg.finfo("complex64").dtype == tg.float32
    assert tg.finfo(np.float64(1)).bits == 64
    for dtype in INTEGERS:
        ours, theirs = tg.iinfo(dtype), np.iinfo(dtype)
        assert (ours.bits, ours.min, ours.max, ours.dtype) == (theirs.bits, theirs.min, theirs.max, dtype)
    for f, wrong in [(tg.finfo, "int32"), (tg.iinfo, "float32"), (tg.iinfo, "bool")]:
        with pytest.raises(TypeError):
            f(wrong)


KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def test_kinds():
    for dtype in ALL:
        for kind in KINDS:
            assert tg.isdtype(getattr(tg, dtype), kind) == np.isdtype(np.dtype(dtype), kind)
        assert tg.isdtype(getattr(tg, dtype), ("bool", getattr(tg, dtype)))
        assert tg.isdtype(dtype, np.dtype(dtype))
    with pytest.raises(ValueError, match="no kind"):
        tg.isdtype(tg.int8, "integer")


def test_result_type_of_numbers():
    x = tg.ones(2, dtype="int8")
    assert tg.result_type(x, 1) == tg.int8
    assert tg.result_type(x, 1.0) == tg.get_default_dtype()
    assert tg.result_type(tg.float64, 1j) == tg.complex128
    assert tg.result_type(1, 2.0) == tg.float32
    assert tg.result_type(np.ones(1, "int16"), x) == tg.int16
    for wrong in ((), ("text",), (object(),)):
        with pytest.raises((TypeError, ValueError)):
            tg.result_type(*wrong)


def test_namespace_info():
    info = tg.zeros(1).__array_namespace__(api_version="2025.12").__array_namespace_info__()
    assert tg.__array_api_version__ == "2025.12"
    assert set(info.dtypes()) == set(ALL)
    assert all(d == name for name, d in info.dtypes().items())
    assert set(info.dtypes(kind="integral")) == set(INTEGERS)
    assert set(info.dtypes(kind=("bool", "real floating"))) == {
        "bool",
        *FLOATS,
    }
    assert info.devices() == ("cpu",)
    assert info.default_device() == "cpu"
    assert info.default_dtypes(device="cpu")["real floating"] == tg.float32
    assert info.default_dtypes()["indexing"] == tg.int64
    assert info.capabilities()["max dimensions"] == 64
    assert info.capabilities()["boolean indexing"] is True
    with pytest.raises(ValueError, match="one device"):
        info.dtypes(device="gpu")


def test_devices():
    x = tg.ones(2, device="cpu")
    assert x.to_device("cpu") is x
    assert x.device == "cpu"
    for make in (
        lambda d: tg.zeros(2, device=d),
        lambda d: tg.full(2, 1.0, device=d),
        lambda d: tg.arange(3, device=d),
        lambda d: tg.linspace(0, 1, 3, device=d),
        lambda d: tg.eye(2, device=d),
        lambda d: tg.zeros_like(x, device=d),
        lambda d: tg.asarray([1.0], device=d),
        lambda d: x.to_device(d),
        lambda d: tg.astype(x, "float64", device=d),
    ):
        make("cpu")
        with pytest.raises(ValueError, match="one device"):
            make("cuda")
    with pytest.raises(ValueError, match="stream"):
        x.to_device("cpu", stream=1)


def samples():
    for row in tg._core.registry():
        if row["function"]:
            yield row


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "int8", "uint64", "uint16"])
def test_every_operation_works_or_says_why(dtype):
    """Never an internal error, whatever the dtype."""
    wrong = []
    for row in samples():
        for sample in tg._core.samples(row["path"])[:4]:

            def convert(value):
                if isinstance(value, tg.Variable) and value.dtype.is_floating_point:
                    return tg.Variable(np.abs(np.nan_to_num(value.numpy(), posinf=9, neginf=7)).astype(dtype))
                return [convert(v) for v in value] if isinstance(value, list) else value

            by_name = {p["name"]: convert(v) for p, v in zip(row["params"], sample, strict=True)}
            each = [p["name"] for p in row["params"] if p["kind"] == "Each"]
            args = by_name.pop(each[0]) if each else []
            given = dict(by_name.items())
            try:
                tg._core._functions[row["path"]](*args, **given)
            except RuntimeError as e:
                wrong.append((row["name"], str(e)[:100]))
            except (TypeError, ValueError, IndexError, OverflowError):
                pass
    assert not wrong, wrong


@pytest.mark.parametrize("code", [*"?bhilqBHILQefdFD", "single", "double", "half", "intp", "uint", "short", ">f8", np.longlong])
def test_what_numpy_takes_for_a_dtype_is_one(code):
    want = np.dtype(code).newbyteorder("=")
    assert tg.DType(code) == want
    assert tg.zeros(2, dtype=code).numpy().dtype == want
    assert tg.ones(2).astype(code).dtype == code
    for wrong in ("S1", "O", "M8", "g", "i4,i4", "nothing", object):
        with pytest.raises(tg.DTypeError, match="is not supported"):
            tg.zeros(2, dtype=wrong)
        assert tg.float32 != wrong
