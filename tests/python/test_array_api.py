"""The Python array API standard 2025.12: signatures, dtypes of results, special values, in tables of our own."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

#: Functions of one array, `f(x, /)`.
UNARY = """
abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan
linalg.det linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh linalg.inv linalg.matrix_transpose linalg.slogdet
linalg.svdvals log log10 log1p log2 logical_not matrix_transpose negative nonzero positive real reciprocal round sign
signbit sin sinh sqrt square tan tanh trunc unique_all unique_counts unique_inverse unique_values
"""
#: Functions of two arrays, `f(x1, x2, /)`.
BINARY = """
add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal floor_divide
greater greater_equal hypot less less_equal linalg.matmul linalg.outer linalg.solve logaddexp logical_and logical_or
logical_xor matmul maximum minimum multiply nextafter not_equal pow remainder subtract
"""
#: The other signatures of the standard.
SIGNATURES = """
all(x, /, *, axis=None, keepdims=False)
any(x, /, *, axis=None, keepdims=False)
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
argmax(x, /, *, axis=None, keepdims=False)
argmin(x, /, *, axis=None, keepdims=False)
argsort(x, /, *, axis=-1, descending=False, stable=True)
asarray(obj, /, *, dtype=None, device=None, copy=None)
astype(x, dtype, /, *, copy=True, device=None)
broadcast_arrays(*arrays)
broadcast_shapes(*shapes)
broadcast_to(x, /, shape)
can_cast(from_, to, /)
clip(x, /, min=None, max=None)
concat(arrays, /, *, axis=0)
count_nonzero(x, /, *, axis=None, keepdims=False)
cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
empty(shape, *, dtype=None, device=None)
empty_like(x, /, *, dtype=None, device=None)
expand_dims(x, /, axis)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
finfo(type, /)
flip(x, /, *, axis=None)
from_dlpack(x, /, *, device=None, copy=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
iinfo(type, /)
isdtype(dtype, kind)
isin(x1, x2, /, *, invert=False)
linalg.cholesky(x, /, *, upper=False)
linalg.cross(x1, x2, /, *, axis=-1)
linalg.diagonal(x, /, *, offset=0)
linalg.matrix_norm(x, /, *, keepdims=False, ord='fro')
linalg.matrix_power(x, n, /)
linalg.matrix_rank(x, /, *, rtol=None)
linalg.pinv(x, /, *, rtol=None)
linalg.qr(x, /, *, mode='reduced')
linalg.svd(x, /, *, full_matrices=True)
linalg.tensordot(x1, x2, /, *, axes=2)
linalg.vecdot(x1, x2, /, *, axis=-1)
linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
max(x, /, *, axis=None, keepdims=False)
mean(x, /, *, axis=None, keepdims=False)
meshgrid(*arrays, indexing='xy')
min(x, /, *, axis=None, keepdims=False)
moveaxis(x, source, destination, /)
ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)
permute_dims(x, /, axes)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
repeat(x, repeats, /, *, axis=None)
reshape(x, /, shape, *, copy=None)
result_type(*arrays_and_dtypes)
roll(x, /, shift, *, axis=None)
searchsorted(x1, x2, /, *, side='left', sorter=None)
sort(x, /, *, axis=-1, descending=False, stable=True)
squeeze(x, /, axis)
stack(arrays, /, *, axis=0)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
take(x, indices, /, *, axis=None)
take_along_axis(x, indices, /, *, axis=-1)
tensordot(x1, x2, /, *, axes=2)
tile(x, repetitions, /)
tril(x, /, *, k=0)
triu(x, /, *, k=0)
unstack(x, /, *, axis=0)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
vecdot(x1, x2, /, *, axis=-1)
where(condition, x1, x2, /)
zeros(shape, *, dtype=None, device=None)
zeros_like(x, /, *, dtype=None, device=None)
"""


def find(name: str) -> Any:
    home: Any = tg
    for part in name.split("."):
        home = getattr(home, part)
    return home


def check(name: str, by_position: int, by_name: dict[str, str]) -> None:
    """Whether that many arguments can be given by position, and others by name with these defaults."""
    params = list(inspect.signature(find(name)).parameters.values())
    places = [p for p in params if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(places) >= by_position or any(p.kind is p.VAR_POSITIONAL for p in params), params
    for key, default in by_name.items():
        p = next(q for q in params if q.name == key)
        assert p.kind is not p.POSITIONAL_ONLY, key
        if default:
            assert p.default is not p.empty, key
            # NumPy's None stands for "the rank's largest" and the like.
            assert p.default == eval(default) or p.default is None or key in ("axis", "copy"), (key, p.default)  # noqa: S307


@pytest.mark.parametrize("name", UNARY.split())
def test_functions_of_one_array(name: str) -> None:
    check(name, 1, {})


@pytest.mark.parametrize("name", BINARY.split())
def test_functions_of_two_arrays(name: str) -> None:
    check(name, 2, {})


@pytest.mark.parametrize("line", SIGNATURES.split("\n")[1:-1])
def test_other_signatures(line: str) -> None:
    name, inner = re.fullmatch(r"([\w.]+)\((.*)\)", line).groups()  # type: ignore[union-attr]
    parts = inner.split(", ")
    positional = parts[: parts.index("/")] if "/" in parts else []
    rest = [p for p in parts[len(positional) :] if p not in ("/", "*")]
    if rest and rest[0].startswith("*"):
        assert any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(find(name)).parameters.values())
        rest = rest[1:]
    check(name, len(positional), {p.partition("=")[0]: p.partition("=")[2] for p in rest})


def test_the_namespace_answers_for_versions_that_it_has() -> None:
    x = tg.ones(1)
    for version in (None, "2022.12", "2023.12", "2024.12", "2025.12"):
        assert x.__array_namespace__(api_version=version) is tg
    with pytest.raises(ValueError, match=r"2099\.12"):
        x.__array_namespace__(api_version="2099.12")
    info = tg.__array_namespace_info__()
    assert info.devices() == ("cpu",)
    assert info.default_device() == "cpu"
    assert set(info.dtypes(kind="integral")) == {f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)}
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {"bool", "complex64", "complex128"}
    assert info.default_dtypes()["indexing"] == tg.int64


NAMES = ["bool", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)), "float32", "float64", "complex64", "complex128"]
#: Pairs for which the standard leaves promotion open.
OPEN = {frozenset(p) for p in itertools.product(NAMES[1:9], NAMES[9:])} | {
    frozenset(("uint64", f"int{n}")) for n in (8, 16, 32, 64)
}


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(NAMES, 2)), ids="-".join)
def test_dtypes_promote_as_the_standard_says(pair: tuple[str, str]) -> None:
    if frozenset(pair) in OPEN or ("bool" in pair and pair != ("bool", "bool")):
        return
    want = np.result_type(*pair).name
    a, b = (tg.ones(2, dtype=name) for name in pair)
    assert tg.result_type(a, b.dtype).name == want
    assert tg.result_type(*pair).name == want
    assert tg.concat([a, b]).dtype.name == want
    assert tg.where(tg.asarray([True, False]), a, b).dtype.name == want
    if pair != ("bool", "bool"):
        assert (a + b).dtype.name == (a * b).dtype.name == want
        assert tg.can_cast(a, want)


def test_sums_of_small_integers_are_wide_and_keep_their_sign() -> None:
    for name in NAMES[1:9]:
        want = "uint64" if name.startswith("u") else "int64"
        x = tg.ones((2, 2), dtype=name)
        assert {f(x).dtype.name for f in (tg.sum, tg.prod)} == {want}
        assert tg.cumulative_sum(x, axis=0).dtype.name == want
        assert tg.sum(x, dtype=tg.float32).dtype == tg.float32


SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e300, -1e300, 5e-324]
REAL_UNARY = """
abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan log log10 log1p log2 negative
positive reciprocal round sign signbit sin sinh sqrt square tan tanh trunc
"""
REAL_BINARY = """
add atan2 copysign divide equal hypot less logaddexp maximum minimum multiply nextafter pow remainder subtract
"""


def agree(got: Any, want: np.ndarray, arguments: Any, exact_zeros: bool = True) -> None:
    got = got.numpy()
    assert got.dtype == want.dtype
    if got.dtype == bool:
        wrong = got != want
    else:
        with np.errstate(all="ignore"):
            near = (got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= 4e-15 * np.abs(want) + 5e-324)
        zeros = (got == 0) & (want == 0) & (np.signbit(got) != np.signbit(want))
        wrong = ~near | (zeros if exact_zeros else False)
    assert not wrong.any(), [(a, g, w) for a, g, w in zip(arguments, got[wrong], want[wrong], strict=False)][:5]


@pytest.mark.parametrize("name", REAL_UNARY.split())
def test_special_values_of_functions_of_one_number(name: str) -> None:
    x = np.array([v for v in SPECIAL if not (name in ("sin", "cos", "tan") and abs(v) == 1e300)])
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x)
    agree(getattr(tg, name)(tg.asarray(x)), want, x)


@pytest.mark.parametrize("name", REAL_BINARY.split())
def test_special_values_of_functions_of_two_numbers(name: str) -> None:
    a, b = (m.ravel() for m in np.meshgrid(SPECIAL, SPECIAL))
    if name in ("remainder", "pow"):
        keep = (np.abs(a) != 1e300) & (np.abs(b) != 1e300) & (a != 5e-324) & (b != 5e-324)
        a, b = a[keep], b[keep]
    with np.errstate(all="ignore"):
        want = getattr(np, name)(a, b)
    # The standard does not say which zero a maximum of two zeros is.
    agree(getattr(tg, name)(tg.asarray(a), tg.asarray(b)), want, list(zip(a, b, strict=True)), name not in ("maximum", "minimum"))


#: The standard's rows for // where an operand is infinite or a zero: x1, x2, result. It is floor(x1 / x2) of IEEE's quotient.
FLOOR_DIVIDE = [
    (math.inf, math.inf, math.nan),
    (-math.inf, math.inf, math.nan),
    (0.0, 0.0, math.nan),
    (-0.0, 0.0, math.nan),
    (0.0, 2.0, 0.0),
    (-0.0, 2.0, -0.0),
    (0.0, -2.0, -0.0),
    (-0.0, -2.0, 0.0),
    (3.0, 0.0, math.inf),
    (3.0, -0.0, -math.inf),
    (-3.0, 0.0, -math.inf),
    (-3.0, -0.0, math.inf),
    (math.inf, 2.0, math.inf),
    (math.inf, -2.0, -math.inf),
    (-math.inf, 2.0, -math.inf),
    (-math.inf, -2.0, math.inf),
    (3.0, math.inf, 0.0),
    (3.0, -math.inf, -0.0),
    (-3.0, math.inf, -0.0),
    (-3.0, -math.inf, 0.0),
    (math.nan, 2.0, math.nan),
    (2.0, math.nan, math.nan),
    (-7.0, 2.0, -4.0),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 37])
def test_special_values_of_floor_divide(dtype: str, size: int) -> None:
    a, b, want = (np.repeat(np.array(column, dtype=dtype), size) for column in zip(*FLOOR_DIVIDE, strict=True))
    ways = [
        tg.floor_divide(tg.asarray(a), tg.asarray(b)),
        tg.stack([tg.asarray(x) // float(y) for x, y in zip(a, b, strict=True)]),
        tg.stack([float(x) // tg.asarray(y) for x, y in zip(a, b, strict=True)]),
        tg.asarray(np.stack([a, a], axis=1)[:, 0]) // tg.asarray(np.stack([b, b], axis=1)[:, 0]),
    ]
    for got in ways:
        agree(got, want, FLOOR_DIVIDE)


def test_infinities_under_floor_divide_leave_gradients_alone() -> None:
    a = tg.asarray(np.array([math.inf, 3.0, 7.0])).requires_grad_(True)
    b = tg.asarray(np.array([2.0, -math.inf, 2.0])).requires_grad_(True)
    found = tg.autograd.grad(tg.sum(a // b + a), [a, b])
    assert [g.tolist() for g in found] == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_tanh_at_infinities(dtype: str) -> None:
    for y in (0.5, 2.5, 4.0, math.inf, -0.5, -2.5):
        for x in (math.inf, -math.inf):
            got = tg.tanh(tg.asarray(np.array(complex(x, y), dtype=dtype))).item()
            assert got.real == math.copysign(1.0, x)
            assert got.imag == 0.0
            assert math.isinf(y) or math.copysign(1.0, got.imag) == math.copysign(1.0, y)
    for y in (math.inf, math.nan):
        first, second = (tg.tanh(tg.asarray(np.array(complex(x, y), dtype=dtype))).item() for x in (0.0, 2.0))
        assert first.real == 0.0
        assert math.isnan(first.imag)
        assert math.isnan(second.real)
        assert math.isnan(second.imag)


COMPLEX_SPECIAL = [0.0, 1.0, 2.5, math.inf, math.nan]
#: The standard's rows for functions of complex numbers whose cuts lie on an axis: real part, imaginary part, result.
INVERSES: dict[str, list[tuple[float, float, float, float]]] = {
    "acos": [
        (0.0, 0.0, math.pi / 2, -0.0),
        (-math.inf, 1.0, math.pi, -math.inf),
        (math.inf, 1.0, 0.0, -math.inf),
        (-math.inf, math.inf, 3 * math.pi / 4, -math.inf),
        (math.inf, math.inf, math.pi / 4, -math.inf),
        (math.nan, math.inf, math.nan, -math.inf),
        (2.5, math.nan, math.nan, math.nan),
    ],
    "acosh": [
        (0.0, 0.0, 0.0, math.pi / 2),
        (1.0, math.inf, math.inf, math.pi / 2),
        (-math.inf, 1.0, math.inf, math.pi),
        (math.inf, math.inf, math.inf, math.pi / 4),
        (math.nan, math.inf, math.inf, math.nan),
    ],
    "asinh": [
        (0.0, 0.0, 0.0, 0.0),
        (1.0, math.inf, math.inf, math.pi / 2),
        (math.inf, 1.0, math.inf, 0.0),
        (math.inf, math.inf, math.inf, math.pi / 4),
        (math.nan, 0.0, math.nan, 0.0),
        (math.nan, 2.5, math.nan, math.nan),
    ],
    "atanh": [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, math.nan, 0.0, math.nan),
        (1.0, 0.0, math.inf, 0.0),
        (2.5, math.inf, 0.0, math.pi / 2),
        (math.inf, 1.0, 0.0, math.pi / 2),
        (math.inf, math.nan, 0.0, math.nan),
    ],
}


@pytest.mark.parametrize("name", INVERSES)
def test_special_values_of_inverse_functions_of_complex_numbers(name: str) -> None:
    for re_, im, *want in INVERSES[name]:
        got = getattr(tg, name)(tg.asarray(np.array(complex(re_, im)))).item()
        for g, w in zip((got.real, got.imag), want, strict=True):
            assert (
                g == pytest.approx(w, rel=1e-15, nan_ok=True) and math.copysign(1, g) == math.copysign(1, w)
            ) or g != g != w != w, (
                name,
                re_,
                im,
                got,
            )


def test_reshape_copies_as_asked() -> None:
    x = tg.asarray(np.arange(6.0).reshape(2, 3))
    for copy in (None, False):
        view = tg.reshape(x, (3, 2), copy=copy)
        view[0, 0] = 9.0
        assert x[0, 0].item() == 9.0
    other = tg.reshape(x, (3, 2), copy=True)
    other[0, 0] = 5.0
    assert x[0, 0].item() == 9.0
    assert tg.reshape(x.T, (6,)).shape == (6,)
    with pytest.raises(ValueError, match=r"copy=False.*leave copy out"):
        tg.reshape(x.T, (6,), copy=False)


def test_orders_of_reshape_and_flatten_are_numpys() -> None:
    a = np.arange(12.0).reshape(3, 4)
    x = tg.Variable(a, requires_grad=True)
    for order in ("C", "F", "A"):
        for got, want in [
            (x.reshape((2, 6), order=order), a.reshape((2, 6), order=order)),
            (tg.reshape(x, (4, -1), order=order), a.reshape((4, -1), order=order)),
            (x.flatten(order), a.flatten(order)),
            (np.reshape(x, (6, 2), order=order), np.reshape(a, (6, 2), order=order)),
        ]:
            np.testing.assert_array_equal(got.detach().numpy(), want)
    weights = np.arange(12.0).reshape(4, 3) ** 2
    (g,) = tg.autograd.grad([tg.sum(x.reshape((4, 3), order="F") * weights)], [x])
    np.testing.assert_array_equal(g.numpy(), weights.reshape((3, 4), order="F"))
    with pytest.raises(ValueError, match="order is 'Z'"):
        x.reshape((2, 6), order="Z")
