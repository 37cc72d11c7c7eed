"""Side by side with other frameworks, in one run: what an operation, a chain and a training step cost.

    python benches/compare.py [--threads 1] [--only chain] [--markdown OUT]

A time is the minimum of many short windows, which is what the machine can do when nobody disturbs it. Rows of whole
arrays first check that every framework gives the same result; chains and training steps are timed only, and the
networks start from weights of their own. Frameworks that are not installed are left out. Figures are microseconds; the
last column is the best peer's time over ours (above 1: we are faster).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from operator import add, matmul
from pathlib import Path
from typing import Any

Row = tuple[str, dict[str, Callable[[], Any]]]


def best(f: Callable[[], Any], budget: float = 0.4) -> float:
    """Microseconds of one call: the minimum over windows of about a millisecond."""
    f()
    start = time.perf_counter()
    f()
    once = max(time.perf_counter() - start, 1e-7)
    n = max(1, int(1e-3 / once))
    result = float("inf")
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(n):
            f()
        result = min(result, (time.perf_counter() - start) / n)
    return result * 1e6


def load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def scalar_rows(np: Any, tg: Any, torch: Any, jax: Any, autograd: Any, mlx: Any) -> list[Row]:
    one = np.ones(1, np.float32)
    rows: list[Row] = []
    a, b = tg.Variable(one), tg.Variable(one)
    r = tg.Variable(one, requires_grad=True)
    add: dict[str, Callable[[], Any]] = {"tapegrad": lambda: a + b, "numpy": lambda: one + one}
    rec: dict[str, Callable[[], Any]] = {"tapegrad": lambda: r * b}
    if torch:
        ta, tb = torch.ones(1), torch.ones(1)
        tr = torch.ones(1, requires_grad=True)
        add["torch"] = lambda: ta + tb
        rec["torch"] = lambda: tr * tb
    if jax:
        ja, jb = jax.numpy.ones(1), jax.numpy.ones(1)
        add["jax"] = lambda: ja + jb
    if mlx:
        ma, mb = mlx.ones(1), mlx.ones(1)
        add["mlx"] = lambda: mlx.eval(ma + mb)
    rows.append(("add, one element", add))
    rows.append(("multiply, one element, recorded", rec))

    def chain(x: Any, backward: Callable[[Any], Any]) -> Callable[[], Any]:
        def run() -> Any:
            y = x
            for _ in range(100):
                y = y * x
            return backward(y)

        return run

    def reset_and_back(x: Any) -> Callable[[Any], Any]:
        def run(y: Any) -> None:
            x.grad = None
            y.backward()

        return run

    forms: dict[str, Callable[[], Any]] = {"tapegrad": chain(r, reset_and_back(r))}
    if torch:
        forms["torch"] = chain(tr, reset_and_back(tr))
    if autograd:

        def power(x: Any) -> Any:
            y = x
            for _ in range(100):
                y = y * x
            return y.sum()

        g = autograd.grad(power)
        forms["autograd"] = lambda: g(one)
    rows.append(("chain of 100 multiplications, forward and backward", forms))
    return rows


def mlp_rows(np: Any, tg: Any, torch: Any, jax: Any) -> list[Row]:
    rows = []
    for sizes, batch, how in [((2, 16, 16, 1), 32, "SGD"), ((4, 64, 64, 2), 32, "Adam"), ((784, 512, 256, 10), 128, "Adam")]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
        y = rng.standard_normal((batch, sizes[-1])).astype(np.float32)
        forms: dict[str, Callable[[], Any]] = {"tapegrad": tapegrad_step(tg, sizes, x, y, how)}
        if torch:
            forms["torch"] = torch_step(torch, sizes, x, y, how)
        if jax:
            forms["jax jit"] = jax_step(jax, np, sizes, x, y, how)
        rows.append((f"MLP {'-'.join(map(str, sizes))}, batch {batch}, {how} step", forms))
    return rows


def tapegrad_step(tg: Any, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
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


def torch_step(torch: Any, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
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


def jax_step(jax: Any, np: Any, sizes: tuple[int, ...], x: Any, y: Any, how: str) -> Callable[[], Any]:
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


def array_rows(np: Any, tg: Any, torch: Any, jax: Any) -> list[Row]:
    rng = np.random.default_rng(0)
    rows: list[Row] = []

    def row(
        name: str,
        ours: Callable[..., Any],
        numpy: Callable[..., Any] | None,
        theirs: Callable[..., Any] | None,
        jaxs: Callable[..., Any] | None,
        *arrays: Any,
    ) -> None:
        vs = [tg.Variable(a) for a in arrays]
        forms: dict[str, Callable[[], Any]] = {"tapegrad": lambda: ours(*vs)}
        if numpy:
            np.testing.assert_allclose(ours(*vs).numpy(), numpy(*arrays), rtol=2e-3, atol=1e-4)
            forms["numpy"] = lambda: numpy(*arrays)
        if torch and theirs:
            ts = [torch.from_numpy(a) for a in arrays]
            forms["torch"] = lambda: theirs(*ts)
        if jax and jaxs:
            js = [jax.numpy.asarray(a) for a in arrays]
            f = jax.jit(jaxs)
            forms["jax jit"] = lambda: jax.block_until_ready(f(*js))
        result = ours(*vs).numpy()
        for peer, form in forms.items():
            if peer != "tapegrad":
                np.testing.assert_allclose(result, np.asarray(form()), rtol=2e-3, atol=1e-4, err_msg=f"{name}: {peer}")
        rows.append((name, forms))

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    for n in (1_000, 100_000, 1_000_000):
        x = normal(n)
        row(f"add, {n:,}", add, add, add, add, x, x)
    x = normal(100_000)
    for name in ("exp", "tanh", "sin"):
        row(
            f"{name}, 100,000",
            getattr(tg, name),
            getattr(np, name),
            getattr(torch, name, None),
            jax and getattr(jax.numpy, name),
            x,
        )
    row("sum, 1,000,000", lambda a: a.sum(), lambda a: a.sum(), lambda a: a.sum(), lambda a: a.sum(), normal(1_000_000))
    a = normal(1024, 1024)
    row("a + b.T, 1024 squared", lambda a, b: a + b.T, lambda a, b: a + b.T, lambda a, b: a + b.T, lambda a, b: a + b.T, a, a)
    for n in (64, 256, 1024):
        a = normal(n, n)
        row(f"matmul, {n} cubed", matmul, matmul, matmul, matmul, a, a)
    row(
        "softmax, 1024 squared",
        lambda a: tg.softmax(a, axis=-1),
        None,
        lambda a: a.softmax(-1),
        jax and jax.nn.softmax,
        normal(1024, 1024),
    )
    return rows


def put(page: Path, table: str) -> None:
    """Writes the table between the marks of a page, or a page of its own."""
    marks = [f"<!-- benches/compare.py {end} -->" for end in ("begin", "end")]
    text = page.read_text(encoding="utf-8") if page.exists() else "\n".join(["# Comparison", "", *marks]) + "\n"
    before, _, rest = text.partition(marks[0])
    page.write_text(f"{before}{marks[0]}\n{table}\n{marks[1]}{rest.partition(marks[1])[2]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--markdown", help="put the table into that page, too, between the marks of this program")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TAPEGRAD_NUM_THREADS"):
        if os.environ.get(name) != str(options.threads):
            os.environ[name] = str(options.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import numpy as np

    import tapegrad as tg

    torch, autograd = load("torch"), load("autograd")
    jax, mlx = load("jax"), load("mlx.core")
    if jax:
        importlib.import_module("jax.numpy")
    if torch:
        torch.set_num_threads(options.threads)
    rows = scalar_rows(np, tg, torch, jax, autograd, mlx) + mlp_rows(np, tg, torch, jax) + array_rows(np, tg, torch, jax)
    peers = ["numpy", "torch", "jax", "jax jit", "autograd", "mlx"]
    lines = ["| work (µs) | tapegrad | " + " | ".join(peers) + " | best peer / ours |", "|---|" + "---|" * (len(peers) + 2)]
    for name, forms in rows:
        if options.only not in name:
            continue
        times = {k: best(f) for k, f in forms.items()}
        ours = times["tapegrad"]
        others = [t for k, t in times.items() if k != "tapegrad"]
        cells = [f"{times[p]:.3g}" if p in times else "" for p in peers]
        ratio = f"{min(others) / ours:.2f}" if others else ""
        lines.append(f"| {name} | {ours:.3g} | " + " | ".join(cells) + f" | {ratio} |")
        print(lines[-1], flush=True)
    if options.markdown:
        put(Path(options.markdown), "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
