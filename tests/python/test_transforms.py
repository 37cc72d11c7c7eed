"""grad, vjp, jvp, jacobians, hessian, vmap, linearize: against each other, against differences, nested, over containers."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from sampling import sample
from tapegrad import _core

F64 = tg.float64
RNG = np.random.default_rng(7)
W = RNG.normal(size=(3, 3))


def v(*values: float) -> tg.Variable:
    return tg.Variable(list(values), dtype=F64)


#: Functions of a vector of three numbers, scalar and vector-valued.
SCALAR = {
    "cubes": lambda x: tg.sum(x**3),
    "product": lambda x: x[0] * x[1] * tg.sin(x[2]),
    "logsumexp": lambda x: tg.logsumexp(tg.asarray(W) @ x),
    "norm": lambda x: tg.sqrt(tg.sum(x * x)),
    "prod": lambda x: tg.prod(tg.tanh(x)),
    "written": lambda x: tg.sum(written(x) ** 2),
    "entropy": lambda x: tg.nn.functional.cross_entropy(tg.reshape(x, (1, 3)), tg.Variable([1])),
    "var": lambda x: tg.var(x) + tg.std(x * x),
}
VECTOR = {
    "tanh": lambda x: tg.tanh(tg.asarray(W) @ x),
    "softmax": lambda x: tg.softmax(x * x),
    "sorted places": lambda x: tg.concat([x[::-1], x[1:] * x[:-1]]),
    "where": lambda x: tg.where(x > 0.0, x * x, -x),
    "matrix": lambda x: tg.outer(x, tg.exp(x)),
    "cumulated": lambda x: tg.stack([x[0], x[0] * x[1], x[0] * x[1] * x[2]]),
}
ALL = {**SCALAR, **VECTOR}
X = np.array([0.4, -0.7, 1.1])


def written(x: tg.Variable) -> tg.Variable:
    h = tg.zeros((4,), dtype=F64)
    h[0] = x[0] * x[1]
    h[1:] += 2.0 * x
    rows = h[2:]
    rows *= x[0]
    return h


def numeric(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    columns = []
    for i in range(x.size):
        d = np.zeros(x.size)
        d[i] = h
        step = d.reshape(x.shape)
        columns.append((f(tg.asarray(x + step)).numpy() - f(tg.asarray(x - step)).numpy()) / (2 * h))
    return np.moveaxis(np.array(columns), 0, -1)


@pytest.mark.parametrize("name", ALL)
def test_jacobians_agree(name: str) -> None:
    f = ALL[name]
    expected = numeric(f, X)
    for jacobian in (tg.jacrev, tg.jacfwd, tg.jacobian):
        np.testing.assert_allclose(jacobian(f)(tg.asarray(X)).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("name", SCALAR)
def test_second_orders_agree(name: str) -> None:
    f = SCALAR[name]
    x = tg.asarray(X)
    hessian = tg.hessian(f)(x).numpy()
    np.testing.assert_allclose(hessian, numeric(lambda x: tg.grad(f)(x), X), atol=1e-6)
    pairs = itertools.product((tg.jacrev, tg.jacfwd), repeat=2)
    others = [*(outer(inner(f)) for outer, inner in pairs), tg.jacrev(tg.grad(f))]
    for other in others:
        np.testing.assert_allclose(other(x).numpy(), hessian, atol=1e-9)
    d = v(0.3, -1.0, 2.0)
    np.testing.assert_allclose(tg.hvp(f, (x,), (d,)).numpy(), hessian @ d.numpy(), atol=1e-9)
    reverse = tg.grad(lambda x: tg.sum(tg.grad(f)(x) * d))(x)
    np.testing.assert_allclose(reverse.numpy(), hessian @ d.numpy(), atol=1e-9)


#: Each maps a function of a vector to a function with the same derivatives, computed in another way.
WAYS = {
    "grad": lambda f: lambda x: tg.grad(lambda x: tg.sum(f(x)))(x),
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (tg.ones_like(x),))[1],
    "vjp": lambda f: lambda x: tg.vjp(f, x)[1](tg.ones_like(f(x)))[0],
    "vmap": lambda f: lambda x: tg.vmap(f)(tg.stack([x, 2.0 * x]))[1],
    "jacfwd": lambda f: lambda x: tg.sum(tg.jacfwd(f)(x), axis=-1),
    "jacrev": lambda f: lambda x: tg.sum(tg.jacrev(f)(x), axis=0),
    "checkpoint": lambda f: lambda x: tg.checkpoint(f, x),
    "linearize": lambda f: lambda x: tg.linearize(f, x)[1](x),
}


def reference(name: str) -> Any:
    """The same ways by formulas, for f(x) = x sin(x), element by element: derivatives are diagonal."""
    derive = lambda f: lambda x: tg.grad(lambda x: tg.sum(f(x)))(x)  # noqa: E731
    return {
        "vmap": lambda f: lambda x: f(2.0 * x),
        "checkpoint": lambda f: f,
        "linearize": lambda f: lambda x: derive(f)(x) * x,
    }.get(name, derive)


PAIRS = list(itertools.product(WAYS, repeat=2))
TRIPLES = sample("triples", itertools.product(WAYS, repeat=3), 40)

#: A Jacobian calls a checkpoint with a batch of cotangents, and the checkpoint runs again with it.
BATCHED = [
    *((outer, "jacrev", "checkpoint") for outer in ("grad", "vjp", "jacrev", "checkpoint")),
    *(("jacrev", "checkpoint", inner) for inner in ("grad", "vjp", "jacrev")),
]


@pytest.mark.parametrize("names", sorted({*PAIRS, *TRIPLES, *BATCHED}), ids=" of ".join)
def test_transformations_nest(names: tuple[str, ...]) -> None:
    base = lambda x: x * tg.sin(x)  # noqa: E731
    found, expected = base, base
    for name in reversed(names):
        found, expected = WAYS[name](found), reference(name)(expected)
    x = v(0.3, -1.2)
    y = found(x)
    np.testing.assert_allclose(y.numpy(), expected(x).numpy(), atol=1e-10)


@pytest.mark.parametrize(
    "names", [("jacrev", "checkpoint"), ("jacrev", "jacrev", "checkpoint"), ("jacfwd", "checkpoint", "jacrev")]
)
def test_checkpoints_under_jacobians_keep_what_they_close_over(names: tuple[str, ...]) -> None:
    w = tg.Variable(np.array([0.5, 2.0]), requires_grad=True)
    found = plain = lambda x: (x * w) * tg.sin(x * w) * w
    for name in reversed(names):
        found = WAYS[name](found)
    for name in reversed([name for name in names if name != "checkpoint"]):
        plain = WAYS[name](plain)
    # The argument depends on w, too.
    ways = [tg.autograd.grad(tg.sum(f(2.0 * tg.tanh(w)) * v(1.0, 3.0)), w)[0].numpy() for f in (found, plain)]
    np.testing.assert_allclose(*ways, atol=1e-9)


def test_perturbations_are_not_confused() -> None:
    inner = lambda x: tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1]  # noqa: E731
    assert tg.jvp(lambda x: x * inner(x), (2.0,), (1.0,))[1].item() == 1.0
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(2.0).item() == 1.0

    def nested(depth: int, x: Any) -> Any:
        return x if depth == 0 else x * tg.jvp(lambda y: nested(depth - 1, x) + y, (1.0,), (1.0,))[1]

    assert tg.jvp(lambda x: nested(10, x), (2.0,), (1.0,))[1].item() == 1.0
    results = []
    work = lambda: results.append(tg.jvp(lambda x: x * inner(x), (2.0,), (1.0,))[1].item())  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [1.0] * 4


def test_an_exception_leaves_nothing_behind() -> None:
    def broken(x: tg.Variable) -> tg.Variable:
        raise KeyError("inside")

    for transform in (tg.grad(broken), tg.vmap(broken), lambda x: tg.jvp(broken, (x,), (x,))):
        with pytest.raises(KeyError):
            transform(v(1.0))
    assert tg.jvp(lambda x: x * x, (3.0,), (1.0,))[1].item() == 6.0
    assert tg.random.rand(2).shape == (2,)


def test_grad_under_no_grad_and_through_an_outer_tape() -> None:
    w = tg.Variable(3.0, dtype=F64, requires_grad=True)
    with tg.no_grad():
        g = tg.grad(lambda x: x * x * w)(tg.Variable(2.0, dtype=F64))
    assert g.item() == 12.0
    assert not g.requires_grad
    g = tg.grad(lambda x: x * x * w)(tg.Variable(2.0, dtype=F64))
    g.backward()
    assert w.grad.item() == 4.0
    x = tg.Variable(2.0, dtype=F64, requires_grad=True)
    tg.grad(lambda x: x**3)(x).backward()
    assert x.grad.item() == 12.0
    assert not tg.grad(lambda x: x**3)(tg.Variable(2.0)).requires_grad
    assert x.grad.item() == 12.0


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Box:
    x: Any
    y: Any


def test_containers() -> None:
    def f(p: Any) -> Any:
        return tg.sum(p["w"] * p["w"]) * p["pair"].a + p["box"].x * p["list"][0] + tg.sum(p["tuple"][1])

    p = {"w": v(1.0, 2.0), "pair": Pair(2.0, None), "box": Box(3.0, 1.0), "list": [4.0], "tuple": (1.0, np.ones(2))}
    g = tg.grad(f)(p)
    assert g["w"].tolist() == [4.0, 8.0]
    assert isinstance(g["pair"], Pair)
    assert g["pair"].a.item() == 5.0
    assert isinstance(g["box"], Box)
    assert g["box"].x.item() == 4.0
    assert g["list"][0].item() == 3.0
    assert g["tuple"][1].tolist() == [1.0, 1.0]


def test_modules() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(3, 2), tg.nn.Tanh(), tg.nn.Linear(2, 1))
    x = tg.Variable(RNG.normal(size=(5, 3)).astype(np.float32))
    value, gradient = tg.value_and_grad(lambda net, x: tg.sum(net(x) ** 2))(net, x)
    loss = tg.sum(net(x) ** 2)
    loss.backward()
    assert value.item() == loss.item()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(gradient[name].numpy(), p.grad.numpy(), rtol=1e-5, atol=1e-6)
    per_sample = tg.vmap(tg.grad(lambda net, x: tg.sum(net(x) ** 2)), in_axes=(None, 0))(net, x)
    for name, p in net.named_parameters():
        np.testing.assert_allclose(tg.sum(per_sample[name], axis=0).numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_argnums_and_aux() -> None:
    f = lambda a, b: (tg.sum(a * b * b), {"double": 2.0 * a})  # noqa: E731
    a, b = v(1.0, 2.0), v(3.0, 4.0)
    (ga, gb), aux = tg.grad(f, argnums=(0, 1), has_aux=True)(a, b)
    assert ga.tolist() == [9.0, 16.0]
    assert gb.tolist() == [6.0, 16.0]
    assert aux["double"].tolist() == [2.0, 4.0]
    assert not aux["double"].requires_grad
    (value, aux), g = tg.value_and_grad(f, argnums=-1, has_aux=True)(a, b)
    assert value.item() == 41.0
    assert g.tolist() == [6.0, 16.0]
    _, pullback, aux = tg.vjp(f, a, b, has_aux=True)
    assert aux["double"].tolist() == [2.0, 4.0]
    assert [g.tolist() for g in pullback(1.0)] == [[9.0, 16.0], [6.0, 16.0]]
    assert [g.tolist() for g in pullback(2.0)] == [[18.0, 32.0], [12.0, 32.0]]


def test_numpy_functions_inside() -> None:
    f = lambda x: np.sum(np.sin(x) * np.exp(x))  # noqa: E731
    x = tg.asarray(X)
    expected = np.exp(X) * (np.sin(X) + np.cos(X))
    np.testing.assert_allclose(tg.grad(f)(x).numpy(), expected)
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(tg.asarray(X[None])).numpy(), expected[None])


# ---- vmap ----

MAPPED = {
    "matmul": lambda a, b: a @ b.T,
    "sum": lambda a, b: tg.sum(a, axis=0) + tg.mean(b),
    "softmax": lambda a, b: tg.softmax(a, axis=-1) * tg.log_softmax(b, axis=0),
    "index": lambda a, b: a[1:, ::-1][:, 0] + b[0, 0],
    "take": lambda a, b: tg.take(a, tg.Variable([2, 0]), axis=1) + b[:, :2],
    "transpose": lambda a, b: a.T.reshape(6) * b.flatten(),
    "stack": lambda a, b: tg.stack([a, b, a * b], axis=1),
    "concat": lambda a, b: tg.concat([a, b], axis=0),
    "max": lambda a, b: tg.max(a, axis=1) - tg.min(b),
    "where": lambda a, b: tg.where(a > b, a, b * 2.0),
    "prod": lambda a, b: tg.prod(a, axis=1) + tg.prod(b),
    "std": lambda a, b: tg.std(a, axis=0) + tg.var(b, axis=0),
    "norm": lambda a, b: tg.vector_norm(a, axis=0) + tg.norm(b),
    "argmax": lambda a, b: tg.argmax(a, axis=1) + tg.count_nonzero(b > 0.0),
    "repeat": lambda a, b: tg.tile(a, (2, 1)) + tg.roll(tg.tile(b, (2, 1)), 1, 0),
    "unmapped": lambda a, b: tg.ones((2,), dtype=F64),
    "loss": lambda a, b: tg.nn.functional.cross_entropy(a, tg.argmax(b, axis=1)) + tg.nn.functional.mse_loss(a, b),
    "rows": lambda a, b: sum(row * row for row in a) + b[0],
    "pick": lambda a, b: a[tg.argmax(b, axis=0)],
    "pick one": lambda a, b: a[tg.argmax(b[:, 0]), 1],
    "written": lambda a, b: assigned(a, b),
    "masked": lambda a, b: masked(a, b),
}


def assigned(a: tg.Variable, b: tg.Variable) -> tg.Variable:
    h = a.clone()
    h[0] = b[1]
    h[:, 1] *= 3.0
    top = h[1]
    top += b[0]
    h[tg.argmax(b[:, 0])] = 7.0
    return h


def masked(a: tg.Variable, b: tg.Variable) -> tg.Variable:
    h = a * 1.0
    h[b > 0.0] = 5.0
    return h


@pytest.mark.parametrize("name", MAPPED)
@pytest.mark.parametrize("axes", [(0, 0), (1, None), (None, -1), (2, 0)])
def test_vmap_is_a_loop(name: str, axes: tuple[int | None, int | None]) -> None:
    f, size = MAPPED[name], 4
    arrays = []
    for axis in axes:
        a = RNG.normal(size=(2, 3))
        arrays.append(a if axis is None else np.stack([RNG.normal(size=(2, 3)) for _ in range(size)], axis=axis))
    mapped = tg.vmap(f, in_axes=axes)(*map(tg.asarray, arrays))
    rows = []
    for i in range(size):
        samples = [a if axis is None else np.take(a, i, axis=axis) for a, axis in zip(arrays, axes, strict=True)]
        rows.append(f(*(tg.Variable(s) for s in samples)).numpy())
    np.testing.assert_allclose(mapped.numpy(), np.stack(rows), atol=1e-12)


def test_vmap_out_axes_and_containers() -> None:
    x = tg.asarray(RNG.normal(size=(4, 2, 3)))
    a, b = tg.vmap(lambda x: (x, {"s": tg.sum(x)}), out_axes=(2, 0))(x)
    assert a.shape == (2, 3, 4)
    assert b["s"].shape == (4,)
    p = {"w": x, "c": 2.0}
    y = tg.vmap(lambda p: p["w"] * p["c"], in_axes=({"w": 0, "c": None},))(p)
    np.testing.assert_allclose(y.numpy(), 2.0 * x.numpy())
    assert tg.vmap(lambda x: 3.0)(x).tolist() == [3.0] * 4
    assert tg.vmap(lambda x: 3.0, out_axes=None)(x).item() == 3.0
    nested = tg.vmap(tg.vmap(lambda a, b: a * b, in_axes=(None, 0)), in_axes=(0, None))(v(1.0, 2.0), v(3.0, 4.0, 5.0))
    assert nested.tolist() == [[3.0, 4.0, 5.0], [6.0, 8.0, 10.0]]


def test_random_numbers_inside_vmap() -> None:
    x = tg.zeros(3)
    tg.random.manual_seed(1)
    draws = [lambda v: tg.random.rand(2), lambda v: tg.random.normal(0.0, 1.0, (2,)), lambda v: tg.random.permutation(5)]
    for draw in draws:
        different = tg.vmap(draw)(x).numpy()
        assert not (different[0] == different[1]).all()
        same = tg.vmap(draw, randomness="same")(x).numpy()
        assert (same == same[0]).all()
    with pytest.raises(tg.GradError, match="randomness='error'"):
        tg.vmap(draws[0], randomness="error")(x)
    p = tg.vmap(lambda p: tg.random.bernoulli(p))(tg.Variable([0.0, 1.0, 1.0]))
    assert p.tolist() == [0.0, 1.0, 1.0]


# ---- custom functions ----


class Cube(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
        ctx.save_for_backward(x)
        return tg.asarray(x.numpy() ** 3)

    @staticmethod
    def backward(ctx: Any, g: tg.Variable) -> tg.Variable:
        (x,) = ctx.saved_values
        return 3.0 * x * x * g


def test_functions_inside_transformations() -> None:
    x = tg.asarray(X)
    np.testing.assert_allclose(tg.jvp(Cube.apply, (x,), (x,))[1].numpy(), 3 * X**3)
    np.testing.assert_allclose(tg.vmap(Cube.apply)(x).numpy(), X**3)
    np.testing.assert_allclose(tg.vmap(tg.grad(Cube.apply))(x).numpy(), 3 * X**2)
    np.testing.assert_allclose(tg.hessian(lambda x: tg.sum(Cube.apply(x)))(x).numpy(), np.diag(6 * X), atol=1e-12)


def test_a_function_that_closes_over_a_value_inside_a_transformation_raises() -> None:
    w, batch = tg.Variable(2.0, dtype=F64, requires_grad=True), v(1.0, 3.0)

    def around(a: tg.Variable) -> Any:
        class Forward(tg.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
                return x * a

        class Backward(tg.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
                return x * 1.0

            @staticmethod
            def backward(ctx: Any, g: tg.Variable) -> tg.Variable:
                return g * a

        return Forward, Backward

    with pytest.raises(tg.GradError, match=r"Forward.forward: a result is inside jvp or vmap"):
        tg.vmap(lambda a: around(a)[0].apply(w))(batch)
    with pytest.raises(tg.GradError, match=r"Backward.backward: gradient 0 is inside jvp or vmap"):
        tg.vmap(lambda a: tg.autograd.grad(around(a)[1].apply(w), w)[0])(batch)


def test_a_function_is_told_about_the_mapping() -> None:
    told = []

    class Same(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Variable) -> tg.Variable:
            return x * 1.0

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: tg.Variable) -> Any:
            told.append((info.batch_size, info.randomness, in_dims))
            return x, 0

        @staticmethod
        def jvp(ctx: Any, tangent: tg.Variable) -> Any:
            return tangent, tangent

    for randomness in ("different", "same", "error"):
        tg.vmap(Same.apply, randomness=randomness)(v(1.0, 2.0))
    assert told == [(2, r, (0,)) for r in ("different", "same", "error")]
    with pytest.raises(tg.GradError, match=r"Same.jvp returned 2 tangents, expected 1"):
        tg.jvp(Same.apply, (1.0,), (1.0,))


def test_custom_vjp_and_custom_jvp() -> None:
    @tg.custom_vjp
    def clipped(x: Any, scale: Any) -> Any:
        return tg.exp(x) * scale

    clipped.defvjp(lambda x, s: (tg.exp(x) * s, (tg.exp(x), s)), lambda res, g: (tg.clip(g * res[0] * res[1], -1.0, 1.0), None))
    g = tg.grad(lambda x: tg.sum(clipped(x, 2.0)))(v(-3.0, 5.0))
    np.testing.assert_allclose(g.numpy(), [2 * np.exp(-3.0), 1.0])
    np.testing.assert_allclose(tg.vmap(tg.grad(lambda x: clipped(x, 2.0)))(v(-3.0, 5.0)).numpy(), g.numpy())

    @tg.custom_jvp
    def softplus(x: Any) -> Any:
        return tg.log1p(tg.exp(x))

    softplus.defjvp(lambda p, t: (softplus(*p), t[0] / (1.0 + tg.exp(-p[0]))))
    x = v(0.5, -2.0)
    expected = 1 / (1 + np.exp(-x.numpy()))
    np.testing.assert_allclose(tg.grad(lambda x: tg.sum(softplus(x)))(x).numpy(), expected)
    np.testing.assert_allclose(tg.jvp(softplus, (x,), (tg.ones_like(x),))[1].numpy(), expected)
    second = tg.hessian(lambda x: tg.sum(softplus(x)))(x).numpy()
    np.testing.assert_allclose(second, np.diag(expected * (1 - expected)), atol=1e-12)
    with pytest.raises(TypeError, match="defvjp"):
        tg.custom_vjp(lambda x: x)(1.0)


def test_a_custom_jvp_inside_a_gradient_inside_a_jvp() -> None:
    """The gradient of what depends on the result more than linearly."""

    @tg.custom_jvp
    def sine(x: Any) -> Any:
        return tg.sin(x)

    sine.defjvp(lambda p, t: (sine(*p), tg.cos(p[0]) * t[0]))
    x = v(0.5, -2.0)
    got, product = tg.jvp(tg.grad(lambda a: tg.sum(sine(a) ** 2)), (x,), (tg.ones_like(x),))
    np.testing.assert_allclose(got.numpy(), np.sin(2 * x.numpy()))
    np.testing.assert_allclose(product.numpy(), 2 * np.cos(2 * x.numpy()))
    second = tg.hessian(lambda a: tg.sum(sine(a) ** 2) + tg.sum(sine(a)))(x).numpy()
    np.testing.assert_allclose(second, np.diag(2 * np.cos(2 * x.numpy()) - np.sin(x.numpy())), atol=1e-12)
    third = tg.jvp(lambda a: tg.jvp(lambda b: sine(b) ** 2, (a,), (tg.ones_like(a),))[1], (x,), (tg.ones_like(x),))[1]
    np.testing.assert_allclose(third.numpy(), 2 * np.cos(2 * x.numpy()))


# ---- recomputation ----


def test_checkpoint_gives_the_same_bits() -> None:
    w = tg.Variable(RNG.normal(size=(3, 3)), requires_grad=True)
    x = tg.Variable(X, requires_grad=True)
    f = lambda x: tg.tanh(w @ x) * tg.random.rand(3, dtype=F64)  # noqa: E731

    def gradients(run: Any) -> list[np.ndarray]:
        tg.random.manual_seed(5)
        y = run(run(x))
        after = tg.random.rand(1).item()
        gx, gw = tg.autograd.grad(tg.sum(y * y), [x, w], create_graph=True)
        second = tg.autograd.grad(tg.sum(gx * gx) + tg.sum(gw * gw), [x, w])
        return [gx.numpy(), gw.numpy(), *(g.numpy() for g in second), np.array(after)]

    plain = gradients(f)
    for run in (lambda x: tg.checkpoint(f, x), lambda x: tg.checkpoint(lambda x: tg.checkpoint(f, x), x)):
        found = gradients(run)
        for k in (0, 1, 4):
            np.testing.assert_array_equal(found[k], plain[k])
        for k in (2, 3):  # second orders add up in another order
            np.testing.assert_allclose(found[k], plain[k], rtol=1e-12)


def test_checkpoint_keeps_no_inner_values() -> None:
    x = tg.Variable(np.ones(1000), requires_grad=True)

    def block(v: tg.Variable) -> tg.Variable:
        for _ in range(10):
            v = tg.exp(-v * v)
        return v

    def saved(run: Any) -> int:
        y = x
        for _ in range(8):
            y = run(y)
        return tg.tape_stats()["saved_bytes"]

    plain = saved(block)
    assert saved(lambda v: tg.checkpoint(block, v)) < plain / 4


def test_checkpoint_of_a_function_that_closes_over_a_value_inside_a_transformation() -> None:
    w, x, t = v(1.0, 2.0), v(3.0, 4.0), v(1.0, -1.0)
    f = lambda a: tg.checkpoint(lambda b: tg.sum(b * b * a), w)  # noqa: E731
    assert tg.vmap(f)(tg.stack([x, t])).tolist() == [19.0, -3.0]
    assert [y.item() for y in tg.jvp(f, (x,), (t,))] == [19.0, -3.0]
    noisy = lambda a: tg.checkpoint(lambda b: b * a * tg.random.rand(2, dtype=F64), w)  # noqa: E731
    tg.random.manual_seed(3)
    _, tangent = tg.jvp(noisy, (x,), (t,))
    tg.random.manual_seed(3)
    assert tangent.tolist() == (w * t * tg.random.rand(2, dtype=F64)).tolist()


def test_checkpoint_with_modules_and_sequential() -> None:
    net = tg.nn.Sequential(*(tg.nn.Linear(4, 4) for _ in range(6)))
    x = tg.Variable(RNG.normal(size=(2, 4)).astype(np.float32))
    tg.sum(net(x) ** 2).backward()
    expected = [p.grad.numpy().copy() for p in net.parameters()]
    net.zero_grad()
    from tapegrad._checkpoint import checkpoint_sequential

    tg.sum(checkpoint_sequential(net, 3, x) ** 2).backward()
    for p, e in zip(net.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), e)


def test_batched_gradients_and_other_names() -> None:
    x = tg.Variable(X, requires_grad=True)
    y = tg.tanh(tg.asarray(W) @ x)
    (jacobian,) = tg.autograd.grad(y, x, tg.eye(3, dtype=F64), retain_graph=True, is_grads_batched=True)
    np.testing.assert_allclose(jacobian.numpy(), tg.jacrev(lambda x: tg.tanh(tg.asarray(W) @ x))(tg.asarray(X)).numpy())
    with pytest.raises(ValueError, match="is_grads_batched"):
        tg.autograd.grad(y, x, is_grads_batched=True)
    (first,) = tg.autograd.grad(y, x, tg.eye(3, dtype=F64), is_grads_batched=True)
    assert first.shape == (3, 3)
    with pytest.raises(tg.FreedError):
        tg.sum(y).backward()
    g, value = tg.func.grad_and_value(lambda x: tg.sum(x * x))(v(1.0, 2.0))
    assert (g.tolist(), value.item()) == ([2.0, 4.0], 5.0)
    assert tg.autograd.checkpoint is tg.checkpoint


# ---- refusals ----


def test_errors_say_what_to_do() -> None:
    x = v(1.0, 2.0)
    w = tg.Variable([1.0, 2.0], dtype=F64, requires_grad=True)
    cases = [
        (lambda: tg.grad(lambda x: x * x)(x), tg.GradError, "must return one floating number"),
        (lambda: tg.grad(lambda x: x)(3), tg.DTypeError, "carries no gradient"),
        (lambda: tg.grad(lambda x: x, argnums=1)(2.0), ValueError, "argnums names argument 1"),
        (lambda: tg.grad(lambda s: s)("text"), TypeError, "holds a str"),
        (lambda: tg.jvp(lambda x: x, (x,), (v(1.0),)), tg.ShapeError, "tangent has shape"),
        (lambda: tg.jvp(lambda x: x, x, x), TypeError, "must be a tuple"),
        (lambda: tg.jvp(lambda x: x, (x,), ([x],)), TypeError, "the tangents are"),
        (lambda: tg.vmap(lambda a, b: a)(x, v(1.0)), ValueError, "differ in size"),
        (lambda: tg.vmap(lambda a: a, in_axes=1)(x), ValueError, "maps axis 1"),
        (lambda: tg.vmap(lambda a: a, in_axes=None)(x), ValueError, "maps no argument"),
        (lambda: tg.vmap(lambda a: a if a > 0.0 else -a)(x), tg.GradError, "tg.where"),
        (lambda: tg.vmap(lambda a: a.item())(x), tg.GradError, "differ between the samples"),
        (lambda: tg.vmap(np.asarray)(x), tg.GradError, "NumPy|differ between the samples"),
        (lambda: tg.vmap(lambda a: a, out_axes=None)(x), ValueError, "differs between the samples"),
        (lambda: tg.vjp(lambda x: x * x, x)[1](v(1.0)), tg.ShapeError, "cotangent has shape"),
        (lambda: tg.grad(lambda x: None)(x), TypeError, "the function returned a NoneType"),
        (lambda: tg.vmap(lambda x: "text")(x), TypeError, "the function returned a str"),
        (lambda: tg.jacrev(lambda x: x > 0.0)(x), tg.DTypeError, "has no derivative"),
        (lambda: tg.jacfwd(lambda x: x > 0.0)(x), tg.DTypeError, "has no derivative"),
        (lambda: tg.jacrev(lambda x: x * 1j)(x), tg.DTypeError, "real part only; use tg.jacfwd"),
        (lambda: tg.jacfwd(tg.abs)(x * 1j), tg.DTypeError, "real part only; use tg.jacrev"),
        (lambda: tg.vmap(lambda a: tg.sum(w * a).backward())(x), tg.GradError, "inside jvp or vmap"),
        (lambda: tg.jvp(lambda a: tg.autograd.grad(tg.sum(w * a), w)[0], (x,), (x,)), tg.GradError, "inside jvp or vmap"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_a_leaked_value_is_named() -> None:
    kept: list[Any] = []
    tg.vmap(lambda x: kept.append(x) or x)(v(1.0))
    tg.jvp(lambda x: kept.append(x) or x, (1.0,), (1.0,))
    for leaked in kept:
        with pytest.raises(tg.GradError, match="after the function had returned"):
            leaked + 1.0
    assert "mapped" in repr(kept[0])


# ---- every row ----


def rows() -> list[str]:
    return [row["path"] for row in _core.registry() if row["function"] and row["differentiable"] != "none"]


def split(args: tuple[Any, ...]) -> tuple[list[tg.Variable], Any]:
    """The floating arrays of a sample, and a function that replaces them."""
    found: list[tg.Variable] = []

    def collect(a: Any) -> Any:
        if isinstance(a, tg.Variable) and a.dtype.is_floating_point:
            found.append(a)
            return len(found) - 1
        return [collect(b) for b in a] if isinstance(a, list) else ("keep", a)

    shape = [collect(a) for a in args]

    def fill(values: Any) -> list[Any]:
        def put(s: Any) -> Any:
            return values[s] if isinstance(s, int) else [put(t) for t in s] if isinstance(s, list) else s[1]

        return [put(s) for s in shape]

    return found, fill


def caller(row: dict[str, Any]) -> Any:
    f = _core._functions[row["path"]]

    def call(args: list[Any]) -> list[tg.Variable]:
        each = row["params"][0]["kind"] == "Each"
        positional = [a for p, a in zip(row["params"], args, strict=True) if not p["keyword_only"]]
        named = {p["name"]: a for p, a in zip(row["params"], args, strict=True) if p["keyword_only"]}
        if each:
            named |= {p["name"]: a for p, a in list(zip(row["params"], args, strict=True))[1:]}
            out = f(*args[0], **named)
        else:
            out = f(*positional, **named)
        out = out if isinstance(out, tuple) else (out,)
        return [y for y in out if y.dtype.is_floating_point]

    return call


#: The shapes of their results depend on the data: inside vmap they raise.
SIZED = "unique unique_all unique_counts unique_inverse unique_values union1d intersect1d setdiff1d setxor1d histogram"
SIZED += " histogram_bin_edges"
#: Which calls read elements and say so, too: quantiles of mapped probabilities, extrema of scattered values.
READING = {
    **dict.fromkeys(SIZED.split(), lambda args: True),
    **dict.fromkeys(["quantile", "percentile", "nanquantile", "nanpercentile"], lambda args: isinstance(args[1], tg.Variable)),
    "scatter_reduce": lambda args: args[4] in ("amax", "amin"),
}


@pytest.mark.parametrize("path", sample("rows", rows(), 120))
def test_forward_equals_reverse_and_a_batch_a_loop(path: str) -> None:
    """⟨u, J t⟩ = ⟨Jᵀ u, t⟩ for samples of every row, and vmap of both against a loop."""
    row = next(r for r in _core.registry() if r["path"] == path)
    call = caller(row)
    samples = _core.samples(path)
    for args in samples[:: max(1, len(samples) // 4)]:
        arrays, fill = split(args)
        if not arrays:
            continue
        f = lambda *xs, fill=fill: call(fill(xs))  # noqa: E731
        outputs = f(*arrays)
        if not outputs:
            continue
        tangents = [tg.Variable(RNG.normal(size=x.shape)) for x in arrays]
        cotangents = [tg.Variable(RNG.normal(size=y.shape)) for y in outputs]
        _, pushed = tg.jvp(f, tuple(arrays), tuple(tangents))
        _, pullback = tg.vjp(f, *arrays)
        pulled = pullback(cotangents)
        dot = lambda a, b: sum(float(np.sum(x.numpy() * y.numpy())) for x, y in zip(a, b, strict=True))  # noqa: E731
        np.testing.assert_allclose(dot(pushed, cotangents), dot(pulled, tangents), rtol=1e-8, atol=1e-9)
        if path in READING and READING[path](args):
            with pytest.raises(tg.GradError, match="differ between the samples"):
                tg.vmap(f)(*(tg.stack([x, x]) for x in arrays))
            continue
        scales = [1.0, 1.01]
        batch = [tg.stack([s * x for s in scales]) for x in arrays]
        mapped = tg.vmap(f)(*batch)
        for k, s in enumerate(scales):
            for one, y in zip(f(*(s * x for x in arrays)), mapped, strict=True):
                np.testing.assert_allclose(y[k].numpy(), one.numpy(), rtol=1e-12, atol=1e-12)
        twice = [tg.stack([t, 2.0 * t]) for t in tangents]
        along = tg.vmap(lambda *t, f=f, arrays=arrays: tg.jvp(f, tuple(arrays), t)[1])(*twice)
        for y, p in zip(along, pushed, strict=True):
            np.testing.assert_allclose(y[1].numpy(), 2.0 * p.numpy(), rtol=1e-9, atol=1e-11)
        back = tg.vmap(lambda *c, pullback=pullback: pullback(list(c)))(*(tg.stack([c, 2.0 * c]) for c in cotangents))
        for y, p in zip(back, pulled, strict=True):
            np.testing.assert_allclose(y[1].numpy(), 2.0 * p.numpy(), rtol=1e-9, atol=1e-11)
        for i in range(len(arrays)) if len(arrays) > 1 else ():
            alone = [tg.stack([s * x for s in scales]) if j == i else x for j, x in enumerate(arrays)]
            mapped = tg.vmap(f, in_axes=tuple(0 if j == i else None for j in range(len(arrays))))(*alone)
            for k in range(len(scales)):
                for one, y in zip(f(*(a[k] if j == i else a for j, a in enumerate(alone))), mapped, strict=True):
                    np.testing.assert_allclose(y[k].numpy(), one.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "f", [lambda y: tg.softmax(y), lambda y: tg.log_softmax(y), lambda y: tg.nn.functional.layer_norm(y, (4,))]
)
def test_recorded_gradients_of_fused_operations_hold_their_inputs_apart(f):
    """The cotangent is computed from the same value as the input: neither gradient may include the dependence of the other."""
    x = tg.Variable([0.3, -0.5, 1.2, 0.1], dtype="float64", requires_grad=True)
    (g,) = tg.autograd.grad(tg.sum(f(x) ** 3), x, create_graph=True)
    rows = [tg.autograd.grad(g[i], x, retain_graph=True)[0].tolist() for i in range(4)]
    recorded = [tg.autograd.grad(g[i], x, create_graph=True)[0].tolist() for i in range(4)]
    (batched,) = tg.autograd.grad(g, x, tg.eye(4, dtype="float64"), is_grads_batched=True)
    assert recorded == pytest.approx(np.array(rows), rel=1e-12, abs=1e-14)
    assert batched.numpy() == pytest.approx(np.array(rows), rel=1e-12, abs=1e-14)


def test_what_a_function_closes_over_keeps_its_graph():
    """Also where nothing is recorded, so that nothing looks beyond the arguments."""
    a = tg.Variable(3.0, requires_grad=True)
    b = a * a
    with tg.no_grad():
        assert tg.grad(lambda x: x * b)(1.0).item() == 9.0
        assert tg.vjp(lambda x: x * b, 1.0)[1](1.0)[0].item() == 9.0
    b.backward()
    assert a.grad.item() == 6.0


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3), (2, 4, 3), (0, 3)])
def test_a_layer_with_many_biases(shape):
    x, w, biases = tg.Variable(RNG.normal(size=shape)), tg.Variable(RNG.normal(size=(2, 3))), tg.Variable(RNG.normal(size=(4, 2)))
    mapped = tg.vmap(tg.linear, in_axes=(None, None, 0))
    want = np.stack([x.numpy() @ w.numpy().T + b for b in biases.numpy()])
    np.testing.assert_allclose(mapped(x, w, biases).numpy(), want, rtol=1e-12)
    leaves = [v.clone().requires_grad_(True) for v in (x, w, biases)]
    assert tg.autograd.gradcheck(mapped, leaves)
    assert tg.autograd.gradgradcheck(lambda x, w, b: mapped(x, w, b) ** 2, leaves)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tg.imag(tg.fft.rfft(x)),
        lambda x: tg.imag(x * (1.0 + 2.0j)) ** 2,
        lambda x: tg.sum(tg.abs(tg.fft.fft(x, axis=0)) ** 2, axis=1),
        lambda x: tg.view_as_real(tg.complex(x, x * x)),
        lambda x: tg.angle(tg.fft.fft(x)) * tg.real(x * 1j + x),
    ],
)
def test_jacobians_of_parts_of_complex_numbers(f):
    x = tg.Variable(RNG.normal(size=(3, 4)))
    want = numeric(lambda v: f(v.reshape(3, 4)).reshape(-1), x.numpy().reshape(-1))
    for jacobian in (tg.jacrev, tg.jacfwd):
        np.testing.assert_allclose(jacobian(f)(x).numpy().reshape(want.shape), want, atol=1e-6)


def test_complex_numbers_of_a_mapped_and_a_common_part():
    a, b = tg.Variable(RNG.normal(size=3)), tg.Variable(RNG.normal(size=(2, 3)))
    assert tg.vmap(tg.complex, in_axes=(None, 0))(a, b).tolist() == (a.numpy() + 1j * b.numpy()).tolist()
    assert tg.vmap(tg.complex, in_axes=(0, None))(b, a).tolist() == (b.numpy() + 1j * a.numpy()).tolist()
    assert tg.vmap(lambda s: tg.complex(a, s))(b[:, 0]).tolist() == (a.numpy() + 1j * b.numpy()[:, :1]).tolist()


LENGTHS = {
    "abs": (lambda x: tg.sum(tg.abs(x) ** 2), 2.0 * np.eye(2)),
    "norm": (lambda x: tg.norm(x) ** 2, 2.0 * np.eye(2)),
    "hypot": (lambda x: tg.sum(tg.hypot(x, 2.0 * x) ** 2), 10.0 * np.eye(2)),
    "std": (lambda x: tg.std(x) ** 2, 0.5 * np.array([[1.0, -1.0], [-1.0, 1.0]])),
    "a cone": (lambda x: tg.norm(x), np.zeros((2, 2))),
    "constant": (lambda x: tg.sum(tg.abs(0.0 * x)), np.zeros((2, 2))),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_jacobians_of_lengths_at_zero(name):
    """Reverse mode over reverse mode keeps the second derivative of a smooth function of a length, also for many cotangents."""
    f, want = LENGTHS[name]
    x = tg.zeros(2, dtype=F64)
    assert tg.jacrev(f)(x).tolist() == [0.0, 0.0]
    assert tg.jacrev(tg.abs)(x).tolist() == np.zeros((2, 2)).tolist()
    np.testing.assert_allclose(tg.jacrev(tg.grad(f))(x).numpy(), want, atol=1e-14)
    np.testing.assert_allclose(tg.jacrev(tg.jacrev(f))(x).numpy(), want, atol=1e-14)
    x.requires_grad_(True)
    (g,) = tg.autograd.grad(f(x), x, create_graph=True)
    if g.requires_grad:
        (rows,) = tg.autograd.grad(g, x, tg.eye(2, dtype=F64), is_grads_batched=True, create_graph=True)
        np.testing.assert_allclose(rows.detach().numpy(), want, atol=1e-14)
    y, pullback = tg.vjp(tg.norm, tg.zeros(2, dtype=F64))
    _, pushed = tg.jvp(lambda c: pullback(c)[0], (tg.ones_like(y),), (tg.ones_like(y),))
    assert pushed.tolist() == [0.0, 0.0]


def test_zero_gradients_inside_vmap_have_the_shape_of_a_sample():
    x = tg.ones((3, 2))
    assert tg.vmap(tg.grad(lambda v: tg.sum(v.detach())))(x).tolist() == [[0.0, 0.0]] * 3
    assert tg.vmap(tg.grad(lambda v, w: tg.sum(v), argnums=(0, 1)))(x, tg.ones((3, 4)))[1].shape == (3, 4)
    assert tg.hessian(lambda v: tg.sum(v.detach()))(tg.ones(3)).tolist() == [[0.0] * 3] * 3
