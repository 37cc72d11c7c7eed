"""float16 and bfloat16: conversions, every row of the registry, gradients, files, networks, mixed precision."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _core, nn

HALVES = [tg.float16, tg.bfloat16]
PATTERNS = np.arange(1 << 16, dtype=np.uint16)
EXTREMES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 1e-8, 6e-8, 2.0**-25, 3.4e38, 1e-40, -1.5], np.float32
)


def of_bits(bits: Any, dtype: Any) -> tg.Variable:
    return _core._of_bits(np.asarray(bits, np.uint16), dtype)


def bits_of(x: tg.Variable) -> Any:
    return x._memory().view(np.uint16)


def rounded(values: Any, dtype: Any) -> Any:
    """float32 numbers rounded to 16 bits and back, by NumPy and by integer arithmetic."""
    values = np.asarray(values, np.float32)
    if dtype == tg.float16:
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    kept = (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), values, kept)


# ---- conversions ----


def test_every_pattern_is_a_number_and_comes_back() -> None:
    for dtype, wide in (
        (tg.float16, PATTERNS.view(np.float16).astype(np.float32)),
        (tg.bfloat16, (PATTERNS.astype(np.uint32) << 16).view(np.float32)),
    ):
        x = of_bits(PATTERNS, dtype)
        assert np.array_equal(x.float().numpy(), wide, equal_nan=True)
        assert np.array_equal(x.double().numpy(), tg.asarray(wide).double().numpy(), equal_nan=True)
        numbers = ~np.isnan(wide)
        for back in (x.float().to(dtype), x.double().to(dtype)):
            assert np.array_equal(bits_of(back)[numbers], PATTERNS[numbers])
            assert np.isnan(back.float().numpy()[~numbers]).all()


def test_rounding_is_to_nearest_even() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([EXTREMES, rng.integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32)])
    halves = PATTERNS[:0x7C00].view(np.float16).astype(np.float64)
    middles = (halves[1:] + halves[:-1]) / 2
    for dtype in HALVES:
        assert np.array_equal(tg.asarray(values).to(dtype).float().numpy(), rounded(values, dtype), equal_nan=True)
    for wide in (middles, np.nextafter(middles, 9e9), np.nextafter(middles, -9e9)):
        assert np.array_equal(bits_of(tg.asarray(wide).half()), wide.astype(np.float16).view(np.uint16))
    # A float64 just above a middle is not rounded twice.
    assert tg.asarray(1 + 2.0**-8 + 2.0**-40, dtype=tg.float64).bfloat16().item() == 1 + 2.0**-7
    assert tg.asarray(1 + 2.0**-8).bfloat16().item() == 1.0


@pytest.mark.parametrize("dtype", HALVES)
def test_integers_bools_and_complex_numbers(dtype: Any) -> None:
    x = tg.asarray([0, 1, -7, 2049, 70_000])
    assert x.to(dtype).float().tolist() == rounded([0, 1, -7, 2049, 70_000], dtype).tolist()
    assert tg.asarray([True, False]).to(dtype).tolist() == [1.0, 0.0]
    assert tg.asarray([1.75, -1.75]).to(dtype).to(tg.int64).tolist() == [1, -1]
    assert tg.asarray([0.0, 2.0]).to(dtype).bool().tolist() == [False, True]
    assert tg.asarray([1.5]).to(dtype).to(tg.complex64).tolist() == [1.5 + 0j]


# ---- making, showing, leaving ----


@pytest.mark.parametrize("dtype", HALVES)
def test_making(dtype: Any) -> None:
    name = dtype.name
    made = [tg.zeros(3, dtype=dtype), tg.ones(3, dtype=name), tg.full(3, 2.5, dtype=dtype), tg.Variable([1, 2, 3], dtype=dtype)]
    made += [tg.arange(3, dtype=dtype), tg.linspace(0, 1, 3, dtype=dtype), tg.empty(3, dtype=dtype), tg.rand(3, dtype=dtype)]
    made += [
        tg.randn(3, dtype=dtype),
        tg.zeros_like(tg.ones(3, dtype=dtype)),
        tg.ones(3).astype(name),
        tg.asarray([1, 2, 3], dtype=dtype),
    ]
    made += [
        tg.ones(3).to(dtype),
        tg.ones(3).to(name),
        tg.ones(3).type(dtype),
        getattr(tg.ones(3), "half" if name == "float16" else name)(),
    ]
    for x in made:
        assert (x.dtype, x.shape, x.itemsize, x.nbytes, x.dtype.itemsize) == (dtype, (3,), 2, 6, 2)
    assert tg.linspace(0, 1, 5, dtype=dtype).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert (tg.rand(10_000, dtype=dtype) < 1).all()
    assert tg.zeros(1, requires_grad=True, dtype=dtype).requires_grad


def test_names_and_limits() -> None:
    assert tg.half == tg.float16 == "float16"
    assert tg.float16 == np.float16
    assert np.zeros(2, tg.float16).dtype == np.float16
    for name in ("name", "itemsize", "kind", "char", "str", "type"):
        assert getattr(tg.float16, name) == getattr(np.dtype("float16"), name)
    assert tg.DType("f2") == tg.float16
    ours, theirs = tg.finfo(tg.float16), np.finfo(np.float16)
    for name in ("bits", "eps", "max", "min", "smallest_normal", "tiny", "precision", "resolution"):
        assert float(getattr(ours, name)) == pytest.approx(float(getattr(theirs, name)), rel=1e-3), name
    brain = tg.finfo(tg.bfloat16)
    assert (brain.bits, brain.eps, brain.max, brain.tiny) == (16, 2.0**-7, 255 * 2.0**120, 2.0**-126)
    for dtype in HALVES:
        assert tg.isdtype(dtype, "real floating")
        assert tg.isdtype(dtype, "numeric")
        assert not tg.isdtype(dtype, ("integral", "complex floating"))
        assert dtype.is_floating_point
        assert dtype.is_inexact
        assert dtype.to_complex() == tg.complex64
        assert dtype.name not in tg.__array_namespace_info__().dtypes()
        assert pickle.loads(pickle.dumps(dtype)) == dtype
        with pytest.raises(tg.DTypeError, match="float32 or float64"):
            tg.set_default_dtype(dtype)


def test_promotion_is_pytorchs() -> None:
    h, b = HALVES
    table = [(h, b, tg.float32), (h, h, h), (b, b, b), (h, tg.float32, tg.float32), (b, tg.float64, tg.float64)]
    table += [(d, i, d) for d in HALVES for i in (tg.bool, tg.int8, tg.uint8, tg.int32, tg.int64, tg.uint64)]
    table += [(h, tg.complex64, tg.complex64), (b, tg.complex128, tg.complex128)]
    for a, c, want in table:
        assert tg.result_type(a, c) == tg.result_type(c, a) == want
        assert (tg.ones(2, dtype=a) * tg.ones(2, dtype=c)).dtype == (tg.ones(2, dtype=c) + tg.ones(2, dtype=a)).dtype == want
        assert tg.where(tg.asarray([True, False]), tg.ones(2, dtype=a), tg.ones(2, dtype=c)).dtype == want
        assert tg.concat([tg.ones(2, dtype=a), tg.ones(2, dtype=c)]).dtype == want
        assert tg.can_cast(a, c) == (want == c)
    for d in HALVES:
        x = tg.ones(2, dtype=d)
        assert {
            (x + 1).dtype,
            (2.5 * x).dtype,
            (x**2).dtype,
            (x / 3).dtype,
            (True * x).dtype,
            (x + np.ones(2).tolist()).dtype,
        } == {d}
        assert (x * 1j).dtype == tg.complex64
        assert tg.result_type(d, 1.0) == d


def test_repr_shows_the_digits_that_count() -> None:
    assert repr(tg.Variable([0.1, 2.0], dtype=tg.float16)) == "Variable([0.1, 2. ], dtype=float16)"
    assert repr(tg.Variable([1 / 3], dtype=tg.bfloat16)) == "Variable([0.334], dtype=bfloat16)"
    assert repr(tg.Variable(np.inf, dtype=tg.float16)) == "Variable(inf, dtype=float16)"
    assert "1.5" in str(tg.Variable(1.5, dtype=tg.bfloat16))
    assert tg.Variable([0.1], dtype=tg.float16).tolist() == [float(np.float16(0.1))]
    assert float(tg.Variable(0.1, dtype=tg.float16)) == float(np.float16(0.1))
    assert tg.Variable([0.5, 0.25], dtype=tg.bfloat16).item(1) == 0.25


def test_numpy_arrays_of_float16() -> None:
    a = np.arange(6, dtype=np.float16).reshape(2, 3)
    for x in (tg.asarray(a), tg.Variable(a), tg.array(a.T).T, tg.from_numpy(a), tg.asarray(a[:, ::-1])[:, ::-1]):
        assert x.dtype == tg.float16
        assert x.numpy().dtype == np.float16
        assert np.array_equal(x.numpy(), a)
    assert np.shares_memory(tg.asarray(a).numpy(), a)
    assert np.asarray(tg.ones(2, dtype=tg.float16)).dtype == np.float16
    assert (tg.ones(3, dtype=tg.float32) + a).dtype == tg.float32
    assert tg.asarray(np.float16(1.5)).dtype == tg.float16


def has_ml_dtypes() -> bool:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(has_ml_dtypes(), reason="ml_dtypes adds bfloat16 to NumPy")
def test_numpy_has_no_bfloat16() -> None:
    x = tg.ones(2, dtype=tg.bfloat16)
    with pytest.raises(tg.DTypeError, match=r"x\.float\(\)\.numpy\(\), or install the package ml_dtypes"):
        x.numpy()
    with pytest.raises(tg.DTypeError, match="ml_dtypes"):
        np.zeros(2, tg.bfloat16)
    assert np.asarray(x, dtype=np.float32).tolist() == [1, 1]
    assert x.float().numpy().tolist() == [1, 1]


@pytest.mark.skipif(not has_ml_dtypes(), reason="needs ml_dtypes")
def test_bfloat16_of_ml_dtypes() -> None:
    import ml_dtypes

    a = np.array([[1.5, -2.0], [0.1, np.inf]], ml_dtypes.bfloat16)
    x = tg.asarray(a)
    assert x.dtype == tg.bfloat16
    assert x.numpy().dtype == ml_dtypes.bfloat16
    assert np.array_equal(x.numpy(), a)
    assert np.array_equal(tg.asarray(a.T).float().numpy(), a.T.astype(np.float32))
    assert tg.bfloat16 == a.dtype


@pytest.mark.parametrize("dtype", HALVES)
def test_dlpack(dtype: Any) -> None:
    x = tg.Variable([[1.5, -2.0], [0.25, 3.0]], dtype=dtype)
    for back in (tg.from_dlpack(x), tg.from_dlpack(x.T).T, tg.from_dlpack(x[:, 1:])):
        assert back.dtype == dtype
    assert tg.from_dlpack(x).tolist() == x.tolist()
    if dtype == tg.float16:
        assert np.from_dlpack(x).dtype == np.float16
        assert tg.from_dlpack(np.ones(2, np.float16)).dtype == tg.float16


@pytest.mark.parametrize("dtype", HALVES)
def test_copies_and_pickles(dtype: Any) -> None:
    x = tg.Variable([1.5, -2.0], dtype=dtype, requires_grad=True)
    (x * x).sum().backward()
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone(), x.detach()):
        assert (y.dtype, y.tolist()) == (dtype, [1.5, -2.0])
    y = pickle.loads(pickle.dumps(x))
    assert y.requires_grad
    assert (y.grad.dtype, y.grad.tolist()) == (dtype, [3.0, -4.0])
    p = pickle.loads(pickle.dumps(nn.Parameter(x.detach())))
    assert (type(p), p.dtype) == (nn.Parameter, dtype)


# ---- operations ----


@pytest.mark.parametrize("dtype", HALVES)
def test_views_indices_and_assignment(dtype: Any) -> None:
    x = tg.arange(12, dtype=dtype).reshape(3, 4)
    for y, want in ((x.T, (4, 3)), (x[1], (4,)), (x[:, ::2], (3, 2)), (x[[0, 2]], (2, 4)), (x[x > 4], (7,)), (x.flip(0), (3, 4))):
        assert (y.dtype, y.shape) == (dtype, want)
    x[0] = 7.0
    x[1, 1:3] = tg.asarray([0.5, 0.25])
    x[2] += 1
    x *= 2
    x[[0]] = x[[2]]
    view = x[:, 0]
    view[...] = 0
    assert x.dtype == dtype
    assert x.tolist() == [[0, 20, 22, 24], [0, 1.0, 0.5, 14], [0, 20, 22, 24]]
    x.add_(1).clamp_(0, 10).fill_(3.0)
    assert (x.dtype, x.sum().item()) == (dtype, 36.0)


def halved(value: Any, dtype: Any, wide: bool, leaves: list[tg.Variable]) -> Any:
    """A floating argument with values of 16 bits, in the dtype or in float32, as a leaf."""
    if isinstance(value, list):
        return [halved(v, dtype, wide, leaves) for v in value]
    if isinstance(value, tg.Variable) and value.dtype.is_floating_point:
        x = value.detach().to(dtype)
        x = tg.Variable(x.float() if wide else x.clone(), requires_grad=True)
        leaves.append(x)
        return x
    return value


def call(row: dict[str, Any], sample: Any, dtype: Any, wide: bool) -> tuple[list[tg.Variable], list[tg.Variable]]:
    """The results of a row and the leaves among its arguments."""
    leaves: list[tg.Variable] = []
    named = {p["name"]: halved(v, dtype, wide, leaves) for p, v in zip(row["params"], sample, strict=True)}
    each = [p["name"] for p in row["params"] if p["kind"] == "Each"]
    args = named.pop(each[0]) if each else []
    tg.manual_seed(0)
    found = _core._functions[row["path"]](*args, **named)
    return list(found) if isinstance(found, (tuple, list)) else [found], leaves


def gradients(results: list[tg.Variable], leaves: list[tg.Variable]) -> list[Any]:
    loss = tg.zeros(())
    for y in results:
        if y.dtype.is_floating_point and y.requires_grad:
            weights = (tg.arange(y.size) % 5 - 1.5).reshape(y.shape)
            loss = loss + (y.float() * weights).sum()
    if loss.requires_grad:
        loss.backward()
    return [x.grad for x in leaves]


@pytest.mark.parametrize("dtype", HALVES)
def test_every_row_is_that_of_float32_rounded(dtype: Any) -> None:
    wrong: list[Any] = []
    seen = 0
    for row in _core.registry():
        asks = any(p["kind"] == "DType" for p in row["params"])
        for sample in _core.samples(row["path"])[:3] if row["function"] else ():
            if not any(isinstance(v, (tg.Variable, list)) for v in sample) or row["path"] in {"astype", "resize"}:
                continue
            try:
                want, wide = call(row, sample, dtype, wide=True)
            except (ValueError, TypeError, RuntimeError):
                continue  # rounded samples may leave the domain
            if not wide:
                continue
            seen += 1
            try:
                got, leaves = call(row, sample, dtype, wide=False)
            except Exception as error:  # noqa: BLE001 - all failures in one list
                wrong.append((row["path"], repr(error)[:150]))
                continue
            for y, w in zip(got, want, strict=True):
                asked = asks and any(isinstance(v, type(tg.float32)) for v in sample)
                expected = dtype if w.dtype == tg.float32 and not asked else w.dtype
                values = w.detach().numpy()
                values = rounded(values, dtype) if expected == dtype else values
                if y.dtype != expected or not np.array_equal(
                    np.asarray(y.detach(), values.dtype), values, equal_nan=values.dtype.kind in "fc"
                ):
                    wrong.append((row["path"], y.dtype, expected, y, w))
            eps = 2 * tg.finfo(dtype).eps
            for g, w in zip(gradients(got, leaves), gradients(want, wide), strict=True):
                if (g is None) != (w is None):
                    wrong.append((row["path"], "gradient", g, w))
                elif g is not None and w is not None:
                    near = rounded(w.numpy(), dtype)
                    if g.dtype != dtype or not np.allclose(np.asarray(g, np.float32), near, eps, 1e-6, equal_nan=True):
                        wrong.append((row["path"], "gradient", g, near))
    assert seen > 400
    assert not wrong, f"{len(wrong)}: {wrong[:12]}"


@pytest.mark.parametrize("dtype", HALVES)
def test_higher_orders_and_transformations(dtype: Any) -> None:
    def f(x: tg.Variable) -> tg.Variable:
        return (tg.sin(x) * tg.exp(x / 2) + tg.softmax(x, 0)).sum()

    x = tg.Variable([0.25, 0.5, -1.0], dtype=dtype)
    wide = x.float()
    eps = 8 * tg.finfo(dtype).eps
    for transform in (tg.grad, lambda f: lambda x: tg.hessian(f)(x), lambda f: lambda x: tg.jvp(f, (x,), (tg.ones_like(x),))[1]):
        got = transform(f)(x)
        assert got.dtype == dtype
        assert np.allclose(got.float().numpy(), transform(f)(wide).numpy(), eps, eps)
    batch = tg.stack([x, 2 * x])
    assert tg.vmap(f)(batch).dtype == dtype
    assert np.allclose(tg.vmap(f)(batch).float().numpy(), [f(wide).item(), f(2 * wide).item()], eps, eps)
    assert np.allclose(tg.vmap(tg.grad(f))(batch).float().numpy()[0], tg.grad(f)(wide).numpy(), eps, eps)
    leaf = x.clone().requires_grad_()
    (g,) = tg.autograd.grad(f(leaf), leaf, create_graph=True)
    (g * g).sum().backward()
    assert leaf.grad.dtype == dtype
    compiled = tg.compile(tg.grad(f))
    assert [compiled(x).tolist() for _ in range(3)] == [tg.grad(f)(x).tolist()] * 3


@pytest.mark.parametrize("dtype", HALVES)
def test_operators(dtype: Any) -> None:
    a, b = tg.Variable([[1.5, -2.0], [0.1, 3.0]], dtype=dtype), tg.Variable([[0.3, 4.0], [2.0, -0.7]], dtype=dtype)
    x, y = a.float(), b.float()
    for f in (
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a // b, lambda a, b: a % b,
        lambda a, b: abs(a) ** b, lambda a, b: a @ b, lambda a, b: -a, lambda a, b: +a, lambda a, b: abs(a),
        lambda a, b: round(a, 1), lambda a, b: 2 - a, lambda a, b: 1 / b, lambda a, b: 2**a, lambda a, b: divmod(a, b)[0],
    ):  # fmt: skip
        assert f(a, b).dtype == dtype
        assert np.array_equal(f(a, b).float().numpy(), rounded(f(x, y).numpy(), dtype))
    for f in (lambda a, b: a < b, lambda a, b: a >= 0.1, lambda a, b: a == b, lambda a, b: a != 1.5):
        assert f(a, b).tolist() == f(x, y).tolist()
    with pytest.raises(tg.DTypeError):
        a & b


def test_sums_do_not_overflow_on_the_way() -> None:
    x = tg.full(100, 1000.0, dtype=tg.float16)
    assert x.mean().item() == 1000
    assert tg.linalg.vector_norm(x).item() == 10_000
    assert tg.std(x).item() == 0
    assert x.sum().item() == np.inf
    assert x.sum(dtype=tg.float32).item() == 100_000
    assert tg.ones(4096, dtype=tg.float16).sum().item() == 4096


# ---- files ----


@pytest.mark.parametrize("dtype", HALVES)
def test_files(dtype: Any) -> None:
    pytest.importorskip("safetensors")
    model = nn.Linear(3, 2).to(dtype)
    optimizer = tg.optim.Adam(model.parameters())
    model(tg.ones(3, dtype=dtype)).sum().backward()
    optimizer.step()
    file = io.BytesIO()
    tg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "w": model.weight}, file)
    file.seek(0)
    found = tg.load(file)
    assert found["w"].dtype == dtype
    assert isinstance(found["w"], nn.Parameter)
    assert found["model"]["weight"].tolist() == model.weight.tolist()
    other = nn.Linear(3, 2).to(dtype)
    other.load_state_dict(found["model"])
    assert other.weight.dtype == dtype
    assert other.weight.tolist() == model.weight.tolist()
    again = tg.optim.Adam(other.parameters())
    again.load_state_dict(found["optimizer"])
    for m, o in ((model, optimizer), (other, again)):
        m.zero_grad()
        m(tg.ones(3, dtype=dtype)).sum().backward()
        o.step()
    assert other.weight.tolist() == model.weight.tolist()


def test_safetensors_name_the_dtypes() -> None:
    safetensors = pytest.importorskip("safetensors")
    file = io.BytesIO()
    tg.save({"h": tg.Variable([1.5], dtype=tg.float16), "b": tg.Variable([-2.0], dtype=tg.bfloat16)}, file)
    found = dict(safetensors.deserialize(file.getvalue()))
    assert (found["h"]["dtype"], found["b"]["dtype"]) == ("F16", "BF16")
    assert bytes(found["b"]["data"]) == b"\x00\xc0"
    file.seek(0)
    assert repr(tg.load(file)) == "{'h': Variable([1.5], dtype=float16), 'b': Variable([-2.], dtype=bfloat16)}"


# ---- networks ----


def spirals(dtype: Any) -> tuple[tg.Variable, tg.Variable]:
    rng = np.random.default_rng(0)
    t = rng.uniform(0.5, 3, 64)
    label = np.arange(64) % 2
    points = np.stack([t * np.cos(2 * t + np.pi * label), t * np.sin(2 * t + np.pi * label)], 1)
    return tg.asarray(points.astype(np.float32)).to(dtype), tg.asarray(label)


def net() -> nn.Sequential:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


@pytest.mark.parametrize("dtype", HALVES)
def test_a_network_trains_in_16_bits(dtype: Any) -> None:
    model = net().to(dtype) if dtype == tg.bfloat16 else net().half()
    assert {p.dtype for p in model.parameters()} == {dtype}
    x, y = spirals(dtype)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.02, eps=1e-6)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    assert loss.dtype == dtype
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {dtype}
    state = next(iter(optimizer.state_dict()["state"].values()))
    assert state["exp_avg"].dtype == tg.float32
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    assert accuracy > 0.9, accuracy


OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "Lion"]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_in_float32(name: str, dtype: Any) -> None:
    make = getattr(tg.optim, name)
    half = nn.Parameter(tg.Variable([1.5, -2.0, 0.75], dtype=dtype))
    full = nn.Parameter(half.detach().float())
    for p in (half, full):
        optimizer = make([p], lr=0.125)
        (p.float() ** 2).sum().backward()
        assert p.grad.tolist() == [3.0, -4.0, 1.5]
        optimizer.step()
    assert half.tolist() == rounded(full.detach().numpy(), dtype).tolist()


def test_modules_convert() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 2))
    model = model.bfloat16()
    assert {v.dtype.name for v in model.state_dict().values()} == {"bfloat16", "int64"}
    x = tg.randn(3, 1, 6, 6, dtype=tg.bfloat16)
    y = model(x)
    assert (y.dtype, y.shape) == (tg.bfloat16, (3, 2))
    y.sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {tg.bfloat16}
    assert {p.dtype for p in model.float().parameters()} == {tg.float32}
    lstm = nn.LSTM(3, 4).half()
    out, _ = lstm(tg.ones((5, 2, 3), dtype=tg.float16))
    assert out.dtype == tg.float16
    table = nn.Embedding(5, 3).half()
    table(tg.asarray([1, 1, 4])).sum().backward()
    assert table.weight.grad.tolist() == [[0] * 3, [2] * 3, [0] * 3, [0] * 3, [1] * 3]


# ---- mixed precision ----


def test_autocast_rounds_products() -> None:
    a, w = tg.randn(4, 3), nn.Linear(3, 5)
    with tg.autocast("cpu", dtype=tg.bfloat16):
        assert tg.amp.is_autocast_enabled()
        assert tg.amp.get_autocast_dtype() == tg.bfloat16
        y = w(a)
        assert y.dtype == (a @ a.T).dtype == tg.matmul(a.T, a).dtype == tg.einsum("ij,kj->ik", a, a).dtype == tg.bfloat16
        assert (y + 1.0).dtype == nn.functional.relu(y).dtype == tg.bfloat16
        assert (y + tg.ones(5)).dtype == tg.float32
        assert tg.softmax(y, 1).dtype == tg.exp(y).dtype == nn.functional.mse_loss(y, y).dtype == tg.float32
        assert (a.double() @ a.double().T).dtype == tg.float64
        assert (tg.ones((2, 2), dtype=tg.int64) @ tg.ones((2, 2), dtype=tg.int64)).dtype == tg.int64
        with tg.autocast("cpu", enabled=False):
            assert w(a).dtype == tg.float32
        assert nn.Conv1d(3, 2, 1)(tg.ones((1, 3, 4))).dtype == tg.bfloat16
    assert not tg.amp.is_autocast_enabled()
    low = rounded(rounded(a.numpy(), tg.bfloat16) @ rounded(w.weight.detach().numpy(), tg.bfloat16).T, tg.bfloat16)
    assert np.allclose(y.detach().float().numpy() - w.bias.detach().numpy(), low, 0.05, 0.05)
    y.sum().backward()
    assert w.weight.grad.dtype == tg.float32
    assert w(a).dtype == tg.float32


def test_autocast_options() -> None:
    with tg.autocast("cuda"):
        assert (tg.ones((2, 2)) @ tg.ones((2, 2))).dtype == tg.float16

    @tg.autocast("cpu")
    def f(x: tg.Variable) -> tg.Variable:
        """Of f."""
        return x @ x

    assert f(tg.ones((2, 2))).dtype == tg.bfloat16
    assert f.__doc__ == "Of f."
    with pytest.raises(RuntimeError, match="inside"), tg.autocast("cpu"):
        raise RuntimeError("inside")
    assert not tg.amp.is_autocast_enabled()
    with pytest.raises(tg.DTypeError, match="expected bfloat16 or float16"):
        tg.autocast("cpu", dtype=tg.float64)
    with pytest.raises(ValueError, match="one device"):
        tg.autocast("mps")
    compiled = tg.compile(lambda x: x @ x)
    x = tg.ones((2, 2))
    assert [compiled(x).dtype for _ in range(3)] == [tg.float32] * 3
    with tg.autocast("cpu"):
        assert [compiled(x).dtype for _ in range(3)] == [tg.bfloat16] * 3


def test_a_scaler_skips_steps_that_overflow() -> None:
    model, (x, y) = net(), spirals(tg.float32)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    scaler = tg.amp.GradScaler(init_scale=2.0**24, growth_interval=3)
    scales, moved = [], []
    for _ in range(20):
        before = model[0].weight.detach().clone()
        optimizer.zero_grad()
        with tg.autocast("cpu", dtype=tg.float16):
            loss = nn.functional.cross_entropy(model(x), y)
        assert loss.dtype == tg.float32
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        moved.append(bool((model[0].weight != before).any()))
        assert all(tg.isfinite(p).all() for p in model.parameters())
    assert not moved[0]
    assert scales[0] == 2.0**23
    assert any(moved)
    for old, new, step in zip(scales, scales[1:], moved[1:]):
        assert new == old / 2 if not step else new >= old
    other = tg.amp.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()


def test_a_scaler_with_parameters_of_16_bits() -> None:
    p = nn.Parameter(tg.Variable([1.0, 2.0], dtype=tg.float16))
    optimizer = tg.optim.SGD([p], lr=0.5)
    scaler = tg.amp.GradScaler(init_scale=4.0)
    scaler.scale((p * p).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.0, 0.0]
    assert p.grad.tolist() == [2.0, 4.0]
    p.grad = tg.Variable([np.inf, 1.0], dtype=tg.float16)
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.0, 0.0]
    assert scaler.get_scale() == 2.0


def test_the_settings_of_a_scaler() -> None:
    scaler = tg.amp.GradScaler()
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(10)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (4.0, 0.25, 10)
    assert scaler.state_dict()["growth_interval"] == 10
    with pytest.raises(ValueError, match="above 1"):
        scaler.set_growth_factor(1.0)
    assert copy.deepcopy(scaler).state_dict() == scaler.state_dict()
