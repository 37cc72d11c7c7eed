"""Complex numbers: values against NumPy's and mpmath's, gradients in complex directions, conversions to real numbers."""

from __future__ import annotations

import cmath
import itertools
import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

RANDOM = np.random.default_rng(5)


def numbers(*shape, dtype=np.complex128):
    return (RANDOM.normal(size=shape) + 1j * RANDOM.normal(size=shape)).astype(dtype)


def leaf(*shape):
    return tg.Variable(numbers(*shape), requires_grad=True)


UNARY = [
    "exp",
    "exp2",
    "sinc",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "square",
    "reciprocal",
    "negative",
    "positive",
    "sign",
    "conj",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
]


def numpy_of(name):
    return {"conj": np.conj}.get(name) or getattr(np, name.replace("a", "arc", 1) if name[0] == "a" else name)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", UNARY)
def test_elementwise_functions_are_numpys(name, dtype):
    z = numbers(5, 7).astype(dtype) * np.array([1e-3, 0.1, 1, 3, 20, 1, 1])
    z = z.astype(dtype)
    got, want = getattr(tg, name)(tg.Variable(z)), numpy_of(name)(z.astype(np.complex128))
    assert got.dtype == dtype
    # NumPy's log1p is that of 1 + z, rounded.
    tolerance = (1e-11 if name == "log1p" else 1e-13) if dtype == "complex128" else 2e-6
    assert np.max(np.abs(got.numpy() - want) / (np.abs(want) + 1e-300)) < tolerance
    turned = tg.Variable(z).T
    np.testing.assert_array_equal(getattr(tg, name)(turned).numpy(), got.numpy().T)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-300, 1e300, -1e300, math.inf, -math.inf, math.nan]


def same(a, b, sign=True):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    if a == 0 or b == 0:
        return abs(a - b) < 1e-290 and (not sign or math.copysign(1, a) == math.copysign(1, b))
    return abs(a - b) <= 1e-14 * abs(b)


C99 = ["exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh"]


@pytest.mark.parametrize("name", C99)
def test_special_values_are_c99s(name):
    wrong = []
    for x, y in itertools.product(SPECIAL, SPECIAL):
        z = complex(x, y)
        try:
            want = getattr(cmath, name)(z)
        except (ValueError, OverflowError):
            continue  # cmath raises where C sets a flag
        got = getattr(tg, name)(tg.Variable(np.array(z))).item()
        if name in ("tan", "tanh") and math.isnan(want.real) and math.isnan(want.imag):
            continue  # C11 has a zero where C99 had NaN
        if name == "acosh" and x == 0 and math.isnan(y):
            continue  # C11 has a right angle where C99 had NaN
        # Signs of zeros and infinities beside NaN or for infinite arguments are unspecified.
        loose = not (cmath.isfinite(z) and not cmath.isnan(want))
        parts = [(got.real, want.real), (got.imag, want.imag)]
        if not all(same(abs(a), abs(b)) if loose else same(a, b) for a, b in parts):
            wrong.append((z, got, want))
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "sinh", "tanh", "tan", "log1p", "expm1", "square", "reciprocal"])
def test_functions_of_the_conjugate_are_conjugates(name):
    z = np.array([complex(x, y) for x, y in itertools.product(SPECIAL, SPECIAL) if y == y and not (x == 0 and y == 0)])
    f = getattr(tg, name)
    a, b = f(tg.Variable(z.conj())).numpy(), np.conj(f(tg.Variable(z)).numpy())
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_array_equal(a[~np.isnan(a)], b[~np.isnan(b)])


def test_hard_values():
    log = tg.log(tg.Variable([1 + 1e-10j], dtype="complex128")).item()
    assert abs(log.real - 5e-21) < 1e-30
    assert tg.tanh(tg.Variable([1000 + 1j], dtype="complex128")).item() == 1
    root = tg.sqrt(tg.Variable([-1 + 1e-20j], dtype="complex128")).item()
    assert abs(root.real - 5e-21) < 1e-30
    big = tg.Variable([1e200 + 1e200j], dtype="complex128")
    np.testing.assert_allclose((1 / big).numpy(), 5e-201 - 5e-201j, rtol=1e-15)
    np.testing.assert_allclose((big / big).numpy(), 1, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power"])
def test_arithmetic_is_numpys(name, dtype):
    a, b = numbers(3, 4).astype(dtype), numbers(4).astype(dtype)
    for x, y in [(a, b), (a, 2.5), (1.5, b), (a, 1 + 2j), (3j, b), (a, a.real), (a.imag, b), (a, 2), (a, True)]:
        if name == "power" and y is True:
            continue
        wrap = [tg.Variable(v) if isinstance(v, np.ndarray) else v for v in (x, y)]
        got, want = getattr(tg, name)(*wrap), getattr(np, name)(x, y)
        assert got.dtype == want.dtype, (x, y)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12 if dtype == "complex128" else 1e-5)


def test_powers_at_zero():
    zero = tg.Variable([0j], dtype="complex128")
    assert (zero**0).item() == 1
    assert (zero**2).item() == 0
    assert (zero ** (1 + 1j)).item() == 0
    assert cmath.isnan((zero ** (-1 + 1j)).item())
    for exponent, want in [(0, 0), (2, 0)]:
        z = tg.Variable([0j], dtype="complex128", requires_grad=True)
        tg.sum(tg.real(z**exponent)).backward()
        assert z.grad.item() == want


def test_python_numbers_are_weak():
    single, double = tg.ones(2, dtype="complex64"), tg.ones(2, dtype="complex128")
    for number in (True, 2, 0.5, 1j):
        assert (single * number).dtype == tg.complex64
        assert (number + double).dtype == tg.complex128
    assert (tg.ones(2) * 1j).dtype == tg.complex64
    assert (tg.ones(2, dtype="float64") + 1j).dtype == tg.complex128
    assert (tg.Variable([1, 2]) * 1j).dtype == tg.complex64
    assert (np.complex128(1j) * tg.ones(2)).dtype == tg.complex64
    assert tg.Variable([1 + 2j]).dtype == tg.complex64
    assert tg.Variable(1j, dtype="complex128").item() == 1j
    assert tg.full((2,), 1j).dtype == tg.complex64
    assert tg.asarray(np.complex128(2j)).dtype == tg.complex128


def test_order_is_refused():
    z = tg.Variable([1j, 2.0])
    for f in (
        lambda: z > 1,
        lambda: z <= z,
        lambda: tg.max(z),
        lambda: tg.argmin(z),
        lambda: tg.maximum(z, 1),
        lambda: tg.clip(z, 0, 1),
    ):
        with pytest.raises(TypeError, match="complex"):
            f()
    np.testing.assert_array_equal((z == 1j).numpy(), [True, False])
    np.testing.assert_array_equal((z != tg.Variable([1.0, 2.0])).numpy(), [True, False])


@pytest.mark.parametrize(
    "name", ["floor", "ceil", "trunc", "erf", "relu", "hypot", "floor_divide", "remainder", "softmax", "logsumexp"]
)
def test_functions_of_reals_are_refused(name):
    z = tg.Variable([1j, 2.0])
    with pytest.raises(TypeError, match="complex"):
        getattr(tg, name)(z, z) if name in ("hypot", "floor_divide", "remainder") else getattr(tg, name)(z)


def test_parts():
    z = numbers(2, 3)
    v = tg.Variable(z)
    np.testing.assert_array_equal(v.real.numpy(), z.real)
    np.testing.assert_array_equal(v.imag.numpy(), z.imag)
    np.testing.assert_array_equal(tg.conj(v).numpy(), z.conj())
    np.testing.assert_allclose(abs(v).numpy(), abs(z), rtol=1e-15)
    np.testing.assert_allclose(tg.angle(v).numpy(), np.angle(z), rtol=1e-15)
    np.testing.assert_allclose(tg.polar(abs(v), tg.angle(v)).numpy(), z, rtol=1e-14)
    np.testing.assert_array_equal(tg.complex(v.real, v.imag).numpy(), z)
    np.testing.assert_array_equal(tg.view_as_complex(tg.view_as_real(v)).numpy(), z)
    assert tg.view_as_real(v).shape == (2, 3, 2)
    x = tg.Variable([1.0, -2.0, float("nan")])
    assert x.real is x
    assert tg.conj(x).tolist()[:2] == [1.0, -2.0]
    assert x.imag.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(tg.angle(x).numpy(), np.angle(x.numpy()), rtol=1e-6)
    with pytest.raises(TypeError):
        tg.complex(v, v)
    with pytest.raises(ValueError, match="last axis of size 2"):
        tg.view_as_complex(tg.ones((2, 3)))


def test_reductions():
    z = numbers(4, 3, 5)
    v = tg.Variable(z)
    for axis in (None, 0, 1, -1, (0, 2), ()):
        for f, g in [(tg.sum, np.sum), (tg.mean, np.mean), (tg.prod, np.prod), (tg.var, np.var), (tg.std, np.std)]:
            np.testing.assert_allclose(f(v, axis).numpy(), g(z, axis), rtol=1e-12, err_msg=f"{g} {axis}")
            np.testing.assert_allclose(f(v.T, axis, keepdims=True).numpy(), g(z.T, axis, keepdims=True), rtol=1e-12)
    assert tg.any(v)
    assert tg.all(v)
    assert tg.count_nonzero(v).item() == 60
    assert tg.sum(tg.zeros((0, 2), dtype="complex64"), 0).tolist() == [0, 0]
    assert tg.sum(tg.ones(3), dtype="complex64").dtype == tg.complex64
    np.testing.assert_allclose(tg.vector_norm(v).numpy(), np.linalg.norm(z.ravel()), rtol=1e-14)


SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3, 4)),
    ((3,), (3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 1, 2, 3), (3, 3, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_products_of_matrices(shapes):
    a, b = numbers(*shapes[0]), numbers(*shapes[1])
    np.testing.assert_allclose((tg.Variable(a) @ tg.Variable(b)).numpy(), a @ b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose((tg.Variable(a.real) @ tg.Variable(b)).numpy(), a.real @ b, rtol=1e-12, atol=1e-14)


def test_other_products():
    a, b = numbers(4), numbers(4)
    v, w = tg.Variable(a), tg.Variable(b)
    np.testing.assert_allclose(tg.vecdot(v, w).numpy(), np.vdot(a, b))
    np.testing.assert_allclose(tg.dot(v, w).numpy(), a @ b)
    np.testing.assert_allclose(tg.outer(v, w).numpy(), np.outer(a, b))
    np.testing.assert_allclose(tg.linear(v, tg.Variable(numbers(2, 4)), tg.Variable(numbers(2))).shape, (2,))


def test_movements():
    z = numbers(3, 4)
    v = tg.Variable(z)
    np.testing.assert_array_equal(v[1:, ::-1].numpy(), z[1:, ::-1])
    np.testing.assert_array_equal(v[tg.Variable([2, 0])].numpy(), z[[2, 0]])
    np.testing.assert_array_equal(v[tg.Variable(z.real > 0)].numpy(), z[z.real > 0])
    np.testing.assert_array_equal(tg.concat([v, v.T.reshape(3, 4)]).numpy(), np.concatenate([z, z.T.reshape(3, 4)]))
    np.testing.assert_array_equal(tg.stack([v, v.real.astype("complex128")]).numpy(), np.stack([z, z.real]))
    np.testing.assert_array_equal(tg.where(tg.Variable(z.real > 0), v, 1j).numpy(), np.where(z.real > 0, z, 1j))
    np.testing.assert_array_equal(tg.roll(v, 1).numpy(), np.roll(z, 1))
    np.testing.assert_array_equal(tg.tril(v).numpy(), np.tril(z))
    np.testing.assert_array_equal(tg.take(v, tg.Variable([1, 1]), 1).numpy(), z[:, [1, 1]])
    w = tg.Variable(z)
    w[0] = 2.0
    w[1, 1] = 1j
    assert w.tolist()[0] == [2, 2, 2, 2]
    assert w[1, 1].item() == 1j
    x = tg.ones(3)
    with pytest.raises(TypeError, match="complex"):
        x[0] = 1j


# Gradients


def holomorphic(name):
    return lambda z: getattr(tg, name)(z)


CHECKED = {
    **{name: holomorphic(name) for name in UNARY if name != "sign"},
    "sign": tg.sign,
    "rsqrt": tg.rsqrt,
    "cumprod": lambda z: tg.cumprod(z, axis=1),
    "cumulative_prod": lambda z: tg.cumulative_prod(z, axis=0, include_initial=True),
    "nancumprod": lambda z: tg.nancumprod(z),
    "cumprod with zeros": lambda z: tg.cumprod(z * tg.Variable([1.0, 0.0, 1.0]), axis=1),
    "sigmoid": tg.sigmoid,
    "abs": tg.abs,
    "angle": tg.angle,
    "real": tg.real,
    "imag": tg.imag,
    "mixed": lambda z: tg.abs(z) * z + tg.real(z) * tg.conj(z),
    "real scalar": lambda z: 2.0 * z + z / 3.0 - (1 + 2j) * z,
    "sum": lambda z: tg.sum(z * z, axis=0),
    "mean": lambda z: tg.mean(z * tg.conj(z), axis=1),
    "prod": lambda z: tg.prod(z, axis=1),
    "var": lambda z: tg.var(z),
    "std": lambda z: tg.std(z, axis=0),
    "norm": lambda z: tg.vector_norm(z, axis=1),
    "getitem": lambda z: z[0] * z[:, ::-1] + z[tg.Variable([1, 1, 0])][0],
    "where": lambda z: tg.where(tg.Variable([True, False, True]), z, 2 * z),
    "cast": lambda z: tg.real(z).astype("complex128") * z,
    "round trip": lambda z: tg.view_as_complex(tg.view_as_real(z) * 2.0) * z,
    "polar": lambda z: tg.polar(tg.abs(z), tg.angle(z) * 2.0),
    "power": lambda z: z**3 + z**0.5 + 2.0**z + z**-2,
}


@pytest.mark.parametrize("name", CHECKED)
def test_gradients_in_complex_directions(name):
    f = CHECKED[name]
    z = tg.Variable(numbers(2, 3) * 0.5 + 1.5 + 0.5j, requires_grad=True)
    gradcheck(f, z, rtol=1e-5, atol=1e-6)
    gradcheck(f, z, rtol=1e-5, atol=1e-6, fast=False)
    gradgradcheck(f, z, rtol=1e-5, atol=1e-5)


PAIRS = {
    "add": tg.add,
    "subtract": tg.subtract,
    "multiply": tg.multiply,
    "divide": tg.divide,
    "power": tg.power,
    "matmul": lambda a, b: a @ b.T,
    "vecdot": tg.vecdot,
    "outer": tg.outer,
    "concat": lambda a, b: tg.concat([a, b]) ** 2,
    "stack": lambda a, b: tg.stack([a * b, b]),
}


@pytest.mark.parametrize("kinds", ["cc", "cr", "rc"])
@pytest.mark.parametrize("name", PAIRS)
def test_gradients_of_two(name, kinds):
    """A real operand gets the real part."""
    a, b = (
        tg.Variable((numbers(2, 3) * 0.4 + 1.5) if k == "c" else RANDOM.uniform(0.5, 1.5, (2, 3)), requires_grad=True)
        for k in kinds
    )
    gradcheck(PAIRS[name], (a, b), rtol=1e-5, atol=1e-6)
    gradgradcheck(PAIRS[name], (a, b), rtol=1e-5, atol=1e-5)
    out = tg.sum(tg.abs(PAIRS[name](a, b)))
    out.backward()
    assert a.grad.dtype == a.dtype
    assert b.grad.dtype == b.dtype


def test_gradients_of_complex_of_parts():
    x, y = (tg.Variable(RANDOM.normal(size=3), requires_grad=True) for _ in range(2))
    for f in (tg.complex, tg.polar, lambda x, y: tg.exp(tg.complex(x, y)) * x):
        gradcheck(f, (x, y))
        gradgradcheck(f, (x, y))


def test_convention():
    """The gradient is that of steepest ascent: dL/dx + i dL/dy."""
    z = tg.Variable([3 + 4j], dtype="complex128", requires_grad=True)
    tg.sum(tg.abs(z)).backward()
    np.testing.assert_allclose(z.grad.numpy(), [0.6 + 0.8j])
    z.zero_grad()
    tg.sum(tg.real(z * z)).backward()
    np.testing.assert_allclose(z.grad.numpy(), np.conj(2 * z.detach().numpy()))


def test_edges():
    for f, want in [(tg.abs, 0), (tg.angle, 0), (lambda z: tg.real(tg.sign(z)), 0)]:
        z = tg.Variable([0j], dtype="complex128", requires_grad=True)
        tg.sum(f(z)).backward()
        assert z.grad.item() == want
    z = tg.Variable([0j, 2 + 1j], dtype="complex128", requires_grad=True)
    tg.sum(tg.abs(tg.where(tg.Variable([False, True]), tg.log(z), 1.0))).backward()
    assert z.grad[0].item() == 0
    assert cmath.isfinite(z.grad[1].item())
    z = tg.Variable([0j, 2 + 1j, 0j], dtype="complex128", requires_grad=True)
    tg.sum(tg.real(tg.prod(z))).backward()
    assert z.grad.tolist() == [0, 0, 0]


def test_backward_needs_a_real_root():
    z = leaf()
    with pytest.raises(tg.GradError, match="complex128"):
        (z * z).backward()
    w = z * z
    w.backward(tg.Variable(np.array(1 + 0j)))
    np.testing.assert_allclose(z.grad.numpy(), np.conj(2 * z.detach().numpy()))


def test_leaves():
    z = tg.Variable(numbers(3), requires_grad=True)
    assert z.requires_grad
    assert z.is_leaf
    assert z.grad is None
    loss = tg.sum(tg.abs(z) ** 2)
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_allclose(z.grad.numpy(), 4 * z.detach().numpy(), rtol=1e-14)
    assert z.grad.dtype == tg.complex128
    with pytest.raises(TypeError, match="floating and complex"):
        tg.Variable([1, 2], requires_grad=True)


def test_many_uses_accumulate():
    z = tg.Variable(numbers(600), requires_grad=True)
    total = tg.sum(tg.real(z)) + tg.sum(tg.abs(z) ** 2) + tg.sum(tg.imag(z[::2])) + tg.sum(tg.abs(z @ tg.conj(z)))
    total.backward()
    n = z.detach().numpy()
    want = 1 + 2 * n + 2 * n
    want[::2] += 1j
    np.testing.assert_allclose(z.grad.numpy(), want, rtol=1e-12)


def test_against_torch():
    torch = pytest.importorskip("torch")
    a, b = numbers(3, 3), numbers(3, 3)

    def f(m, a, b):
        y = m.exp(a @ b) / (a + 2.0) * m.sin(b)
        return m.sum(m.abs(y) + m.real(y) * m.angle(y))

    ours = [tg.Variable(v, requires_grad=True) for v in (a, b)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    f(tg, *ours).backward()
    f(torch, *theirs).backward()
    for x, y in zip(ours, theirs):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10)


# Complex and real numbers together


def test_casts():
    z = tg.Variable(numbers(3))
    with pytest.raises(TypeError, match=r"drop the imaginary parts; take \.real"):
        z.astype("float64")
    with pytest.raises(TypeError):
        z.astype("int64")
    assert z.astype("bool").tolist() == [True] * 3
    assert z.astype("complex64").dtype == tg.complex64
    x = tg.Variable([1.0, 2.0], requires_grad=True)
    y = x.astype("complex64")
    tg.sum(tg.abs(y * (1 + 1j))).backward()
    assert x.grad.dtype == tg.float32
    np.testing.assert_allclose(x.grad.numpy(), [2**0.5] * 2, rtol=1e-6)


def test_python_objects():
    z = tg.Variable([[1 + 2j, -0.5j]])
    assert z.tolist() == [[1 + 2j, -0.5j]]
    assert z[0, 0].item() == 1 + 2j
    assert complex(z[0, 0]) == 1 + 2j
    for f in (float, int):
        with pytest.raises(TypeError, match="complex"):
            f(z[0, 0])
    assert repr(tg.Variable([1 + 2j, 3j])) == "Variable([1.+2.j, 0.+3.j])"
    assert repr(tg.Variable([1.5 - 2j, 3j], dtype="complex128")) == "Variable([1.5-2.j, 0. +3.j], dtype=complex128)"
    for a in (numbers(2, 3), numbers(4) * 1e9, np.array([np.nan + 1j, 1 - np.inf * 1j])):
        body = np.array2string(a, separator=", ", prefix="Variable(")
        assert body in repr(tg.Variable(a))


def test_numpy_and_dlpack():
    a = numbers(2, 3)
    for dtype in (np.complex64, np.complex128):
        v = tg.Variable(a.astype(dtype))
        assert v.numpy().dtype == dtype
        assert np.shares_memory(v.numpy(), v.numpy())
        np.testing.assert_array_equal(np.from_dlpack(v), a.astype(dtype))
        np.testing.assert_array_equal(tg.from_dlpack(a.astype(dtype)).numpy(), a.astype(dtype))
        np.testing.assert_array_equal(np.exp(v).numpy(), tg.exp(v).numpy())
        np.testing.assert_array_equal((a.astype(dtype) * v).numpy(), (v * v).numpy())
    shared = tg.asarray(a)
    a[0, 0] = 7
    assert shared[0, 0].item() == 7
    np.testing.assert_array_equal(tg.Variable(a.T).numpy(), a.T)


# Training


@pytest.mark.parametrize(
    "make", [lambda p: tg.optim.SGD(p, 0.1, momentum=0.9), lambda p: tg.optim.Adam(p, 0.1), lambda p: tg.optim.RMSprop(p, 0.1)]
)
def test_optimizers_step_pairs_of_reals(make):
    start, target = numbers(4), numbers(4)
    z = tg.Variable(start, requires_grad=True)
    pair = tg.Variable(np.stack([start.real, start.imag], -1), requires_grad=True)
    one, two = make([z]), make([pair])
    for _ in range(5):
        one.zero_grad()
        tg.sum(tg.abs(z - target) ** 2).backward()
        one.step()
        two.zero_grad()
        tg.sum((pair - np.stack([target.real, target.imag], -1)) ** 2).backward()
        two.step()
    np.testing.assert_allclose(z.detach().numpy(), pair.detach().numpy() @ [1, 1j], rtol=1e-12)
    state = one.state_dict()
    again = make([z])
    again.load_state_dict(state)
    assert z.dtype == tg.complex128


def test_clipping():
    z = tg.Variable([0j, 0j], dtype="complex128", requires_grad=True)
    z.grad = tg.Variable([3 + 4j, 12j], dtype="complex128")
    assert tg.nn.utils.clip_grad_norm_([z], 6.5).item() == 13
    np.testing.assert_allclose(z.grad.numpy(), [1.5 + 2j, 6j], rtol=1e-6)
    assert tg.nn.utils.clip_grad_norm_([z], 100, norm_type=float("inf")).item() == pytest.approx(6)


def test_transforms():
    z = tg.Variable(numbers(3))
    f = lambda z: tg.sum(tg.abs(z) ** 2)  # noqa: E731
    tangent = tg.Variable(numbers(3))
    jvp = getattr(tg, "jvp", None)
    if jvp is None:
        pytest.skip("transforms are not public yet")
    _value, slope = jvp(f, (z,), (tangent,))
    np.testing.assert_allclose(slope.numpy(), np.sum(2 * (z.numpy().conj() * tangent.numpy()).real), rtol=1e-12)


#: NumPy's functions in which complex numbers are conjugated, weighted, or taken apart.
MIXED = {
    "vdot": lambda xp, a, b: xp.vdot(a, b),
    "vecmat": lambda xp, a, b: xp.vecmat(a[0], b),
    "matvec": lambda xp, a, b: xp.matvec(a, b[0]),
    "correlate": lambda xp, a, b: xp.correlate(a[0], b[0][:2], "full"),
    "correlate, the longer one second": lambda xp, a, b: xp.correlate(a[0][:2], b[0], "same"),
    "convolve": lambda xp, a, b: xp.convolve(a[0], b[0][:2]),
    "average": lambda xp, a, b: xp.average(a, axis=0, weights=abs(b)),
    "cov": lambda xp, a, b: xp.cov(a, b),
    "corrcoef": lambda xp, a, b: xp.corrcoef(a),
    "gradient": lambda xp, a, b: xp.gradient(a, 0.5, axis=1),
    "trapezoid": lambda xp, a, b: xp.trapezoid(a, axis=0),
    "nanmean": lambda xp, a, b: xp.nanmean(a, axis=1),
    "pad mean": lambda xp, a, b: xp.pad(a[0], 2, mode="mean"),
    "pad ramp": lambda xp, a, b: xp.pad(a[0], 2, mode="linear_ramp"),
    "float_power": lambda xp, a, b: xp.float_power(a, b),
    "isclose": lambda xp, a, b: xp.isclose(a, a + 1e-12),
    "diff": lambda xp, a, b: xp.diff(a),
    "einsum": lambda xp, a, b: xp.einsum("ij,kj->ik", a, b),
}


@pytest.mark.parametrize("name", MIXED)
def test_functions_of_complex_arrays_are_numpys_and_differentiate(name):
    if not hasattr(np, name.split(",")[0].split()[0]):
        pytest.skip("newer than this NumPy")
    a, b = numbers(3, 4), numbers(4, 4) if name == "vecmat" else numbers(3, 4)
    if name == "vecmat":
        a = numbers(2, 4)
    call = MIXED[name]
    got, want = call(tg, tg.Variable(a), tg.Variable(b)), call(np, a, b)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
    if want.dtype == bool:
        return
    x, y = (tg.Variable(v, requires_grad=True) for v in (a, b))
    weights = tg.Variable(numbers(*want.shape))
    loss = lambda p, q: tg.sum(tg.real(weights * call(tg, p, q)))  # noqa: E731
    da = numbers(*a.shape)
    ends = [loss(tg.Variable(a + step * da), tg.Variable(b)).item() for step in (1e-6, -1e-6)]
    (g,) = tg.autograd.grad([loss(x, y)], [x])
    assert np.sum((np.conj(g.numpy()) * da).real) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_parts_are_assigned_as_numpys():
    a = numbers(2, 3)
    z, x = tg.Variable(a), tg.Variable([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    z.real = x
    z.imag += 2.0
    z.real -= 1
    a.real = [1.0, 2.0, 3.0]
    a.imag += 2.0
    a.real -= 1
    np.testing.assert_array_equal(z.detach().numpy(), a)
    tg.sum(tg.abs(z) ** 2).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.sum(a.real, axis=0), rtol=1e-14)
    real = tg.ones(2)
    real.real = 3.0
    assert real.tolist() == [3.0, 3.0]
    with pytest.raises(TypeError, match="no imaginary parts"):
        real.imag = 1.0
    with pytest.raises(TypeError, match="real parts"):
        z.real = 1j * z
    with pytest.raises(TypeError, match="numbers or arrays"):
        z.real = "one"


def test_gathered_complex_numbers_have_gradients():
    """Each of these adds cotangents at places along an axis."""
    z = tg.Variable(numbers(4, 3), requires_grad=True)
    places = tg.Variable([[2, 0, 2], [1, 1, 3]])
    for f in (
        lambda z: tg.take_along_axis(z, places, axis=0) ** 2,
        lambda z: tg.interp(tg.Variable([0.25, 2.5], dtype="float64"), tg.arange(4), z[:, 0]),
        lambda z: z.gather(0, places) * z[:2],
    ):
        gradcheck(f, z, rtol=1e-5, atol=1e-6)
        gradgradcheck(f, z, rtol=1e-5, atol=1e-5)
