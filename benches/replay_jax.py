"""The functions of benches/replay.py in JAX, compiled."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


def network(sizes: list[int], adam: bool) -> Any:
    rng = np.random.default_rng(0)
    weights = [
        (jnp.asarray(rng.normal(size=(a, b)).astype("float32") / a**0.5), jnp.zeros(b, "float32"))
        for a, b in itertools.pairwise(sizes)
    ]

    def loss(p: Any, x: Any, y: Any) -> Any:
        for w, b in p[:-1]:
            x = jnp.tanh(x @ w + b)
        w, b = p[-1]
        return ((x @ w + b - y) ** 2).mean()

    def update(p: Any, state: Any, x: Any, y: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p, x, y)
        if not adam:
            return jax.tree.map(lambda p, g: p - 0.01 * g, p, g), state, value
        t, m, v = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - 0.001 * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
        return p, (t, m, v), value

    compiled = jax.jit(update, donate_argnums=(0, 1))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    held = [weights, (jnp.float32(0), zeros, jax.tree.map(jnp.zeros_like, weights))]

    def step(x: Any, y: Any) -> Any:
        held[0], held[1], value = compiled(held[0], held[1], x, y)
        return value.block_until_ready()

    return step


def rosenbrock(x: Any) -> Any:
    return jax.value_and_grad(lambda z: (100.0 * (z[1:] - z[:-1] ** 2) ** 2 + (1.0 - z[:-1]) ** 2).sum())(x)


def formula(x: Any, y: Any) -> Any:
    return jax.grad(lambda a, b: (jnp.tanh(a * b) * jax.nn.sigmoid(a) + jnp.exp(-b * b)).sum(), (0, 1))(x, y)


def bodies(x: Any) -> Any:
    def energy(p: Any) -> Any:
        v = jnp.zeros_like(p)
        for _ in range(20):
            d = p[:, None] - p[None]
            r = ((d * d).sum(axis=-1) + 0.01) ** -1.5
            v = v - 0.01 * (d * r[..., None]).sum(axis=1)
            p = p + 0.01 * v
        return (p * p).sum()

    return jax.grad(energy)(x)


def scalars(x: Any) -> Any:
    def f(z: Any) -> Any:
        for _ in range(100):
            z = jnp.sin(z) * jnp.float32(1.01)
        return z.sum()

    return jax.grad(f)(x)


def chain(x: Any) -> Any:
    for _ in range(10):
        x = x * jnp.float32(0.9) + jnp.float32(0.1)
    return x


def product(x: Any, v: Any) -> Any:
    return jax.jvp(jax.grad(lambda z: (jnp.sin(z) * z**2).sum()), (x,), (v,))


def lstm(x: Any, wx: Any, wh: Any, b: Any) -> Any:
    def loss(wx: Any, wh: Any, b: Any) -> Any:
        n = wh.shape[0]

        def cell(carry: Any, x: Any) -> Any:
            h, c = carry
            z = x @ wx + h @ wh + b
            i, f, g, o = jnp.split(z, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[1], n), x.dtype)
        (h, _), _ = jax.lax.scan(cell, (zeros, zeros), x)
        return (h * h).sum()

    return jax.grad(loss, (0, 1, 2))(wx, wh, b)


FUNCTIONS: list[Any] = [
    lambda x: x,
    lambda: network([2, 16, 16, 1], adam=False),
    lambda: network([2, 16, 16, 1], adam=True),
    lambda: network([784, 256, 10], adam=True),
    lambda: network([784, 512, 256, 10], adam=True),
    rosenbrock,
    bodies,
    bodies,
    formula,
    formula,
    scalars,
    chain,
    product,
    lstm,
]


def function(at: int, args: list[Any]) -> tuple[Any, tuple[Any, ...]]:
    """A function to be timed, compiled and warm, and its arguments."""
    f, arguments = FUNCTIONS[at], tuple(jnp.asarray(a) for a in args)
    if 1 <= at <= 4:
        call = f()
    else:
        compiled = jax.jit(f)

        def call(*args: Any) -> Any:
            return jax.block_until_ready(compiled(*args))

    for _ in range(3):
        call(*arguments)
    return call, arguments
