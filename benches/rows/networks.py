"""Training steps: what a user waits for. The networks start from weights of their own, so they are timed only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from .common import Peers, Row


def tapegrad_step(p: Peers, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
    """A step of ours."""
    tg = p.tg
    layers: list[Any] = []
    for n, m in pairwise(sizes):
        layers += [tg.nn.Linear(n, m), tg.nn.ReLU()]
    model = tg.nn.Sequential(*layers[:-1])
    optimizer = getattr(tg.optim, how)(model.parameters(), lr=1e-3)
    loss_fn = tg.nn.MSELoss()
    vx, vy = tg.Variable(x), tg.Variable(y)

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(vx), vy).backward()
        optimizer.step()

    return step


def torch_step(p: Peers, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
    """A step of PyTorch's."""
    torch = p.torch
    layers: list[Any] = []
    for n, m in pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = getattr(torch.optim, how)(model.parameters(), lr=1e-3)
    loss_fn = torch.nn.MSELoss()
    vx, vy = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(vx), vy).backward()
        optimizer.step()

    return step


def jax_step(p: Peers, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
    """A step of JAX's, compiled whole."""
    np, jax = p.np, p.jax
    jnp = jax.numpy
    rng = np.random.default_rng(1)
    params = [(jnp.asarray(rng.standard_normal((m, n)).astype(np.float32) * 0.1), jnp.zeros(m)) for n, m in pairwise(sizes)]

    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = jnp.maximum(x @ w.T + b, 0)
        w, b = params[-1]
        return jnp.mean((x @ w.T + b - y) ** 2)

    tree = jax.tree_util.tree_map
    zeros = tree(jnp.zeros_like, params)

    @jax.jit
    def sgd(state: Any, x: Any, y: Any) -> Any:
        params, m, v, t = state
        g = jax.grad(loss)(params, x, y)
        return tree(lambda p, g: p - 1e-3 * g, params, g), m, v, t

    @jax.jit
    def adam(state: Any, x: Any, y: Any) -> Any:
        params, m, v, t = state
        g = jax.grad(loss)(params, x, y)
        t = t + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        new = tree(lambda p, m, v: p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), params, m, v)
        return new, m, v, t

    update = sgd if how == "SGD" else adam
    state = [(params, zeros, zeros, jnp.float32(0))]
    jx, jy = jnp.asarray(x), jnp.asarray(y)

    def step() -> None:
        state[0] = jax.block_until_ready(update(state[0], jx, jy))

    return step


STEPS: dict[str, Callable[..., Callable[[], Any]]] = {"tapegrad": tapegrad_step, "torch": torch_step, "jax": jax_step}


def rows(p: Peers) -> Iterator[Row]:
    """A step of gradients and update for networks of three sizes."""
    for sizes, batch, how in [((2, 16, 16, 1), 32, "SGD"), ((4, 64, 64, 2), 32, "Adam"), ((784, 512, 256, 10), 128, "Adam")]:
        rng = p.np.random.default_rng(0)
        x = rng.standard_normal((batch, sizes[0])).astype(p.np.float32)
        y = rng.standard_normal((batch, sizes[-1])).astype(p.np.float32)
        there = {"tapegrad": p.tg, "torch": p.torch, "jax": p.jax}
        forms = {name: STEPS[name](p, sizes, x, y, how) for name, module in there.items() if module}
        if "jax" in forms:
            forms["jax jit"] = forms.pop("jax")
        yield Row(f"MLP {'-'.join(map(str, sizes))}, batch {batch}, {how} step", forms)
