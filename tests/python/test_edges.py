"""Elementwise functions and losses at the ends of floating point: values, first and second derivatives.

Every function is compared with a formula of its own in double precision, at zeros, tiny, huge, infinite and saturating
arguments. Where mathematics has a finite value or limit, that is what must come out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F = tg.nn.functional
INF = math.inf
NAN = math.nan
Triple = tuple[float, float, float]

SINGLE = [0.0, 1e-30, 1e-20, 1e-5, 0.5, 1.0, 3.0, 13.0, 30.0, 80.0, 1e5, 1e10, 1e20, 1e30, 3e38, INF]
DOUBLE = [*SINGLE, 1e-300, 1e-150, 700.0, 1e150, 1e300, 1.7e308]


def times(a: float, b: float) -> float:
    """A product in which zero stays zero: the limit of an exponentially small factor."""
    return 0.0 if a == 0.0 or b == 0.0 else a * b


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def power(x: float, p: float) -> float:
    try:
        return x**p
    except OverflowError:
        return INF if x > 0 or p % 2 == 0 else -INF


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def slope(x: float) -> float:
    e = exp(-abs(x))
    return e / (1 + e) ** 2


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(exp(-abs(x)))


def sign(x: float) -> float:
    return float(x > 0) - float(x < 0)


def gelu(x: float) -> Triple:
    if abs(x) > 40:
        return (max(x, 0.0), float(x > 0), 0.0)
    cdf, pdf = 0.5 * math.erfc(-x / math.sqrt(2)), math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (x * cdf, cdf + x * pdf, pdf * (2 - x * x))


def gelu_tanh(x: float) -> Triple:
    if abs(x) > 22:
        return (max(x, 0.0), float(x > 0), 0.0)
    c = 2 * math.sqrt(2 / math.pi)
    v, dv, ddv = c * (x + 0.044715 * x**3), c * (1 + 3 * 0.044715 * x * x), c * 6 * 0.044715 * x
    p, dp = sigmoid(v), slope(v) * dv
    ddp = -slope(v) * math.tanh(v / 2) * dv * dv + slope(v) * ddv
    return (x * p, p + x * dp, 2 * dp + x * ddp)


def silu(x: float) -> Triple:
    s = slope(x)
    return (times(sigmoid(x), x), sigmoid(x) + times(s, x), 2 * s - times(s, x) * math.tanh(x / 2))


def huber(x: float) -> Triple:
    return (x * x / 2, x, 1.0) if abs(x) <= 1 else (abs(x) - 0.5, sign(x), 0.0)


def elu(x: float) -> Triple:
    return (x, 1.0, 0.0) if x > 0 else (math.expm1(x), exp(x), exp(x))


def logit_loss(target: float) -> Callable[[Any], Any]:
    return lambda x: F.binary_cross_entropy_with_logits(x, tg.full_like(x, target))


def weighted_logit_loss(target: float) -> Callable[[Any], Any]:
    return lambda x: F.binary_cross_entropy_with_logits(x, tg.full_like(x, target), pos_weight=tg.full_like(x, 2.0))


def zero_target(loss: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda x: loss(x, tg.zeros_like(x))


def anywhere(x: float) -> bool:
    return True


def above(x: float) -> bool:
    return x > 0


def moderate(x: float) -> bool:
    return abs(x) <= 1e5


# name: the function, its value and derivatives, where it is smooth.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[float], Triple], Callable[[float], bool]]] = {
    "exp": (tg.exp, lambda x: (exp(x), exp(x), exp(x)), anywhere),
    "expm1": (tg.expm1, lambda x: (math.expm1(x) if x < 700 else exp(x), exp(x), exp(x)), anywhere),
    "log": (tg.log, lambda x: (math.log(x), power(x, -1), -power(x, -2)), above),
    "log1p": (tg.log1p, lambda x: (math.log1p(x), power(1 + x, -1), -power(1 + x, -2)), lambda x: x > -0.9),
    "log2": (tg.log2, lambda x: (math.log2(x), power(x, -1) / math.log(2), -power(x, -2) / math.log(2)), above),
    "log10": (tg.log10, lambda x: (math.log10(x), power(x, -1) / math.log(10), -power(x, -2) / math.log(10)), above),
    "sin": (tg.sin, lambda x: (math.sin(x), math.cos(x), -math.sin(x)), moderate),
    "cos": (tg.cos, lambda x: (math.cos(x), -math.sin(x), -math.cos(x)), moderate),
    "tanh": (tg.tanh, lambda x: (math.tanh(x), 4 * slope(2 * x), -8 * slope(2 * x) * math.tanh(x)), anywhere),
    "sinh": (tg.sinh, lambda x: (math.sinh(x), math.cosh(x), math.sinh(x)), lambda x: abs(x) <= 80),
    "cosh": (tg.cosh, lambda x: (math.cosh(x), math.sinh(x), math.cosh(x)), lambda x: abs(x) <= 80),
    "sigmoid": (tg.sigmoid, lambda x: (sigmoid(x), slope(x), -slope(x) * math.tanh(x / 2)), anywhere),
    "silu": (tg.silu, silu, anywhere),
    "gelu": (tg.gelu, gelu, anywhere),
    "gelu by tanh": (lambda x: tg.gelu(x, "tanh"), gelu_tanh, anywhere),
    "softplus": (tg.softplus, lambda x: (softplus(x), sigmoid(x), slope(x)), anywhere),
    "elu": (tg.elu, elu, lambda x: x != 0),
    "relu": (tg.relu, lambda x: (max(x, 0.0), float(x > 0), 0.0), anywhere),
    "leaky_relu": (lambda x: tg.leaky_relu(x, 0.25), lambda x: (x, 1.0, 0.0) if x > 0 else (x / 4, 0.25, 0.0), anywhere),
    "softsign": (
        tg.softsign,
        lambda x: (sign(x) if abs(x) > 1e20 else x / (1 + abs(x)), power(1 + abs(x), -2), -2 * sign(x) * power(1 + abs(x), -3)),
        anywhere,
    ),
    "erf": (
        tg.erf,
        lambda x: (math.erf(x), 2 / math.sqrt(math.pi) * exp(-x * x), -4 / math.sqrt(math.pi) * times(exp(-x * x), x)),
        anywhere,
    ),
    "abs": (tg.abs, lambda x: (abs(x), sign(x), 0.0), anywhere),
    "sign": (tg.sign, lambda x: (sign(x), 0.0, 0.0), anywhere),
    "square": (tg.square, lambda x: (power(x, 2), 2 * x, 2.0), anywhere),
    "sqrt": (tg.sqrt, lambda x: (math.sqrt(x), 0.5 * power(x, -0.5), -0.25 * power(x, -1.5)), above),
    "reciprocal": (tg.reciprocal, lambda x: (1 / x, -power(x, -2), 2 * power(x, -3)), lambda x: x != 0),
    "x ** 3": (lambda x: x**3, lambda x: (power(x, 3), 3 * power(x, 2), 6 * x), anywhere),
    "x ** 2": (lambda x: x**2, lambda x: (power(x, 2), 2 * x, 2.0), anywhere),
    "x ** 1": (lambda x: x**1, lambda x: (x, 1.0, 0.0), anywhere),
    "x ** 0": (lambda x: x**0, lambda x: (1.0, 0.0, 0.0), anywhere),
    "x ** 0.5": (lambda x: x**0.5, lambda x: (math.sqrt(x), 0.5 * power(x, -0.5), -0.25 * power(x, -1.5)), above),
    "2 ** x": (lambda x: 2.0**x, lambda x: tuple(times(power(2.0, x), math.log(2) ** k) for k in range(3)), anywhere),  # type: ignore[dict-item]
    "clip": (lambda x: tg.clip(x, -1.0, 1.0), lambda x: (min(max(x, -1.0), 1.0), float(abs(x) <= 1), 0.0), anywhere),
    "logit loss, target 0": (logit_loss(0.0), lambda x: (softplus(x), sigmoid(x), slope(x)), anywhere),
    "logit loss, target 1": (logit_loss(1.0), lambda x: (softplus(-x), -sigmoid(-x), slope(x)), anywhere),
    "logit loss, target 1, weighted": (
        weighted_logit_loss(1.0),
        lambda x: (2 * softplus(-x), -2 * sigmoid(-x), 2 * slope(x)),
        anywhere,
    ),
    "logit loss, target 0, weighted": (weighted_logit_loss(0.0), lambda x: (softplus(x), sigmoid(x), slope(x)), anywhere),
    "huber loss": (zero_target(F.huber_loss), huber, lambda x: abs(x) != 1),
    "smooth l1 loss": (zero_target(F.smooth_l1_loss), huber, lambda x: abs(x) != 1),
    "mse loss": (zero_target(F.mse_loss), lambda x: (power(x, 2), 2 * x, 2.0), anywhere),
    "l1 loss": (zero_target(F.l1_loss), lambda x: (abs(x), sign(x), 0.0), anywhere),
    "logsumexp": (lambda x: tg.logsumexp(x.reshape(1)), lambda x: (x, 1.0, 0.0), lambda x: x > -INF),
    "norm": (lambda x: tg.norm(x.reshape(1)), lambda x: (abs(x), sign(x), 0.0), anywhere),
}


def derivatives(f: Callable[[Any], Any], at: float, dtype: Any) -> tuple[float, float, float]:
    x = tg.Variable(at, dtype=dtype, requires_grad=True)
    y = f(x)
    (plain,) = tg.autograd.grad(y, [x], retain_graph=True)
    (first,) = tg.autograd.grad(y, [x], create_graph=True)
    np.testing.assert_allclose(plain.item(), first.item(), rtol=1e-4 if dtype == tg.float32 else 1e-9, atol=1e-37)
    second = tg.autograd.grad(first, [x], allow_unused=True)[0] if first.requires_grad else None
    return y.item(), plain.item(), 0.0 if second is None else second.item()


def agrees(got: float, want: float, single: bool) -> bool:
    largest, smallest, tolerance = (3.3e38, 1e-36, 2e-4) if single else (1.7e308, 1e-300, 1e-8)
    if abs(want) > largest:
        return abs(got) > largest and sign(got) == sign(want)
    return abs(got - want) <= tolerance * abs(want) + smallest


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str, dtype: Any) -> None:
    f, reference, smooth = FUNCTIONS[name]
    single = dtype == tg.float32
    for size in SINGLE if single else DOUBLE:
        for at in {size, -size}:
            if not smooth(at):
                continue
            x = float(np.float32(at)) if single else at
            for order, (got, want) in enumerate(zip(derivatives(f, x, dtype), reference(x), strict=True)):
                assert agrees(got, want, single), f"{name}, derivative {order} at {at}: {got}, expected {want}"


PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "add": tg.add,
    "multiply": tg.multiply,
    "divide": tg.divide,
    "power": tg.power,
    "maximum": tg.maximum,
    "minimum": tg.minimum,
    "hypot": tg.hypot,
    "logaddexp": tg.logaddexp,
    "logaddexp2": tg.logaddexp2,
    "remainder": tg.remainder,
    "fmod": tg.fmod,
    "floor_divide": tg.floor_divide,
    "prelu": tg.prelu,
    "clip, lower bound": lambda a, b: tg.clip(a, b, None),
    "clip, upper bound": lambda a, b: tg.clip(a, None, b),
    "huber loss": F.huber_loss,
    "logit loss": F.binary_cross_entropy_with_logits,
}
EDGES = [0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 1e-300, -1e-150, 1e-20, 30.0, -700.0, 1e20, -1e150, 1e300, INF, -INF]


def mixed(f: Callable[[Any, Any], Any], a: float, b: float) -> tuple[float, float]:
    """The derivative by a and then by b, and the other way round."""
    x, y = (tg.Variable(v, dtype=tg.float64, requires_grad=True) for v in (a, b))
    out = []
    for first, then in ((x, y), (y, x)):
        (g,) = tg.autograd.grad(f(x, y), [first], create_graph=True)
        second = tg.autograd.grad(g, [then], allow_unused=True)[0] if g.requires_grad else None
        out.append(0.0 if second is None else second.item())
    return out[0], out[1]


@pytest.mark.parametrize("name", PAIRS)
def test_mixed_derivatives_agree(name: str) -> None:
    for a in EDGES:
        for b in EDGES:
            one, other = mixed(PAIRS[name], a, b)
            np.testing.assert_allclose(one, other, rtol=1e-9, err_msg=f"{name} at ({a}, {b})")


def test_mixed_derivatives_of_a_power() -> None:
    assert mixed(tg.power, 0.0, 1.0) == (-INF, -INF)  # the limit of 1 + log(x)
    assert mixed(tg.power, 0.0, 2.0) == (0.0, 0.0)
    assert mixed(tg.power, 2.0, 0.0) == (0.5, 0.5)
    np.testing.assert_allclose(mixed(tg.power, 2.0, 3.0), 4 * (1 + 3 * math.log(2)))


def gradients(f: Callable[..., Any], *at: float, create_graph: bool = False) -> list[float]:
    xs = [tg.Variable(v, dtype=tg.float64, requires_grad=True) for v in at]
    return [g.item() for g in tg.autograd.grad(f(*xs), xs, create_graph=create_graph)]


@pytest.mark.parametrize("create_graph", [False, True])
def test_nan_inputs(create_graph: bool) -> None:
    def at_nan(f: Callable[[Any], Any]) -> float:
        return gradients(f, NAN, create_graph=create_graph)[0]

    smooth = [
        "exp",
        "log",
        "sin",
        "tanh",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "erf",
        "sqrt",
        "square",
        "reciprocal",
        "gelu",
    ]
    kinked = ["abs", "relu", "leaky_relu", "elu"]
    for name in [*smooth, *kinked]:
        assert math.isnan(at_nan(getattr(tg, name))), name
    for f in (
        lambda x: tg.clip(x, -1.0, 1.0),
        lambda x: tg.clip(x, tg.zeros(()), None),
        lambda x: tg.prelu(x, tg.Variable(0.5)),
        F.relu,
    ):
        assert math.isnan(at_nan(f))
    for f in (tg.floor, tg.ceil, tg.trunc, tg.rint, tg.sign, tg.round, lambda x: tg.round(x, 2), lambda x: x // 2.0):
        assert at_nan(f) == 0.0


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("f", [tg.maximum, tg.minimum])
def test_nan_belongs_to_its_operand(f: Callable[[Any, Any], Any], create_graph: bool) -> None:
    np.testing.assert_equal(gradients(f, NAN, 1.0, create_graph=create_graph), [NAN, 0.0])
    np.testing.assert_equal(gradients(f, 1.0, NAN, create_graph=create_graph), [0.0, NAN])
    np.testing.assert_equal(gradients(f, NAN, NAN, create_graph=create_graph), [NAN, NAN])
    np.testing.assert_equal(gradients(lambda x: f(x, NAN), 1.0, create_graph=create_graph), [0.0])
    np.testing.assert_equal(gradients(lambda x: f(x, 1.0), NAN, create_graph=create_graph), [NAN])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("f", [tg.max, tg.min, lambda x, axis: tg.norm(x, INF, axis), lambda x, axis: tg.norm(x, -INF, axis)])
def test_nan_in_an_extremum(f: Callable[..., Any], create_graph: bool) -> None:
    x = tg.Variable([[1.0, NAN, 3.0], [2.0, 2.0, 2.0]], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(tg.sum(f(x, axis=1)), [x], create_graph=create_graph)
    np.testing.assert_allclose(g.detach().numpy(), [[0.0, NAN, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    # A gradient that is zero stays zero.
    (g,) = tg.autograd.grad(tg.sum(f(x, axis=1) * tg.Variable([0.0, 1.0], dtype=tg.float64)), [x], create_graph=create_graph)
    np.testing.assert_allclose(g.detach().numpy(), [[0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def test_clip_with_nan_bounds() -> None:
    x = np.array([1.0, 2.0])
    for low, high in ((NAN, 3.0), (0.0, NAN), (NAN, NAN), (NAN, None), (None, NAN)):
        np.testing.assert_equal(tg.clip(tg.Variable(x), low, high).numpy(), np.clip(x, low, high))
    low = np.array([NAN, 1.5])
    np.testing.assert_equal(tg.clip(tg.Variable(x), tg.Variable(low), None).numpy(), np.clip(x, low, None))
    np.testing.assert_equal(tg.clip(tg.Variable(x), None, tg.Variable(low)).numpy(), np.clip(x, None, low))
    np.testing.assert_equal(gradients(lambda x, low: tg.clip(x, low, None), 1.0, NAN), [0.0, NAN])
    assert tg.clip(tg.Variable([True, False]), tg.Variable([False, False]), None).tolist() == [True, False]
    assert tg.clip(tg.Variable([1, 5, 9]), tg.Variable(2), tg.Variable([4, 4, 7])).tolist() == [2, 4, 7]
    assert gradients(lambda x, b: tg.clip(x, b, None), 1.0, 1.0) == [1.0, 0.0]


def test_gradients_of_huge_lengths() -> None:
    assert gradients(tg.hypot, INF, 1.0) == [1.0, 0.0]
    assert gradients(tg.hypot, 1e200, 0.0) == [1.0, 0.0]
    x = tg.Variable([1.0, -INF, 2.0], requires_grad=True)
    for p in (2, 3):
        (g,) = tg.autograd.grad(tg.norm(x, p), [x])
        assert g.tolist() == [0.0, -1.0, 0.0]
    x = tg.Variable([1.0, INF, INF], requires_grad=True)
    (g,) = tg.autograd.grad(tg.logsumexp(x), [x])
    assert g.tolist() == [0.0, 0.5, 0.5]


def hessian(f: Callable[[Any], Any], at: Any) -> np.ndarray[Any, Any]:
    x = tg.Variable(at, dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(f(x), [x], create_graph=True)
    if not g.requires_grad:
        return np.zeros((x.size, x.size))
    g = g.reshape(-1)
    rows = [tg.autograd.grad(g[i], [x], retain_graph=True, allow_unused=True)[0] for i in range(x.size)]
    return np.array([np.zeros(x.size) if r is None else r.numpy().reshape(-1) for r in rows])


@pytest.mark.parametrize("order", [None, 1, 1.5, 2, 3, 0.5, INF, -INF, -2])
def test_smooth_functions_of_a_norm_at_zero(order: float | None) -> None:
    zero, eye = [0.0, 0.0, 0.0], np.eye(3)
    np.testing.assert_equal(hessian(lambda x: tg.norm(x, order) ** 2, zero), 2 * eye)
    np.testing.assert_equal(hessian(lambda x: tg.exp(-(tg.norm(x, order) ** 2)), zero), -2 * eye)
    np.testing.assert_equal(hessian(lambda x: tg.cosh(tg.norm(x, order)), zero), eye)
    np.testing.assert_equal(hessian(lambda x: tg.norm(x, order) ** 4, zero), 0 * eye)
    np.testing.assert_equal(hessian(lambda x: tg.norm(x, order), zero), 0 * eye)


def test_one_row_of_norms_at_zero() -> None:
    rows = [[0.0, 0.0], [3.0, 4.0]]
    np.testing.assert_allclose(hessian(lambda x: (tg.norm(x, axis=1) ** 2).sum(), rows), 2 * np.eye(4), atol=1e-15)
    np.testing.assert_allclose(
        hessian(lambda x: (tg.vector_norm(x, axis=1, keepdims=True) ** 2).sum(), rows), 2 * np.eye(4), atol=1e-15
    )
    weighted = hessian(lambda x: (tg.Variable([3.0, 1.0], dtype=tg.float64) * tg.norm(x, axis=1) ** 2).sum(), rows)
    np.testing.assert_allclose(weighted, np.diag([6.0, 6.0, 2.0, 2.0]), atol=1e-15)


def test_smooth_functions_of_other_lengths_at_zero() -> None:
    np.testing.assert_equal(hessian(lambda x: (tg.abs(x) ** 2).sum(), [0.0, 3.0]), 2 * np.eye(2))
    np.testing.assert_equal(hessian(lambda x: tg.hypot(x[0], x[1]) ** 2, [0.0, 0.0]), 2 * np.eye(2))
    np.testing.assert_equal(hessian(lambda x: tg.hypot(x[0], 0.0) ** 2, [0.0]), [[2.0]])
    constant = [2.0, 2.0, 2.0]
    np.testing.assert_allclose(hessian(lambda x: tg.std(x) ** 2, constant), hessian(tg.var, constant))
    np.testing.assert_equal(hessian(tg.std, constant), np.zeros((3, 3)))


def test_third_derivatives_near_the_tip() -> None:
    """Every derivative at 0 is that of the polynomial."""
    for cube in (lambda x: tg.sum(x) ** 3, lambda x: tg.sum(x) * tg.square(tg.sum(x)), lambda x: tg.sum(x**3.0)):
        x = tg.Variable([0.0], dtype=tg.float64, requires_grad=True)
        y = tg.norm(x) ** 2 + cube(x)
        for want in (0.0, 2.0, 6.0):
            (y,) = tg.autograd.grad(tg.sum(y), [x], create_graph=True)
            assert y.item() == want
