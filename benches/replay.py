"""The gain of tg.compile: the time of a replay as a share of an eager call, and of JAX's compiled function.

    python benches/replay.py [--threads 1] [--rows WORD] [--rounds 150] [--without-jax] [--markdown OUT]

Every row's functions take turns in one process on as many processors as threads, best of many rounds. JAX is left out where it is
not installed; its compilation is not counted. Figures are microseconds, shares are those of the replay.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from table import Table, arguments

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = np.random.default_rng(0)


def array(*shape: int, dtype: str = "float32") -> tg.Variable:
    return tg.Variable(RNG.normal(size=shape).astype(dtype)).clone()


def network(sizes: list[int], make: Callable[[Any], Any]) -> Callable[..., Any]:
    layers: list[Any] = []
    for a, b in itertools.pairwise(sizes):
        layers += [tg.nn.Linear(a, b), tg.nn.Tanh()]
    net = tg.nn.Sequential(*layers[:-1])
    optimizer = make(net.parameters())

    def step(x: tg.Variable, y: tg.Variable) -> tg.Variable:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def rosenbrock(x: tg.Variable) -> Any:
    return tg.value_and_grad(lambda z: (100.0 * (z[1:] - z[:-1] ** 2) ** 2 + (1.0 - z[:-1]) ** 2).sum())(x)


def formula(x: tg.Variable, y: tg.Variable) -> Any:
    return tg.grad(lambda a, b: (tg.tanh(a * b) * tg.sigmoid(a) + tg.exp(-b * b)).sum(), (0, 1))(x, y)


def bodies(x: tg.Variable) -> tg.Variable:
    def energy(p: tg.Variable) -> tg.Variable:
        v = tg.zeros_like(p)
        for _ in range(20):
            d = p[:, None] - p[None]
            r = ((d * d).sum(axis=-1) + 0.01) ** -1.5
            v = v - 0.01 * (d * r[..., None]).sum(axis=1)
            p = p + 0.01 * v
        return (p * p).sum()

    return tg.grad(energy)(x)


def scalars(x: tg.Variable) -> tg.Variable:
    def f(z: tg.Variable) -> tg.Variable:
        for _ in range(100):
            z = tg.sin(z) * 1.01
        return z.sum()

    return tg.grad(f)(x)


def chain(x: tg.Variable) -> tg.Variable:
    for _ in range(10):
        x = x * 0.9 + 0.1
    return x


def product(x: tg.Variable, v: tg.Variable) -> Any:
    return tg.hvp(lambda z: (tg.sin(z) * z**2).sum(), (x,), (v,))


def lstm(x: tg.Variable, wx: tg.Variable, wh: tg.Variable, b: tg.Variable) -> Any:
    def loss(wx: tg.Variable, wh: tg.Variable, b: tg.Variable) -> tg.Variable:
        n = wh.shape[0]
        h = c = tg.zeros((x.shape[1], n))
        for t in range(x.shape[0]):
            z = x[t] @ wx + h @ wh + b
            i, f, g, o = z[:, :n], z[:, n : 2 * n], z[:, 2 * n : 3 * n], z[:, 3 * n :]
            c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
            h = tg.sigmoid(o) * tg.tanh(c)
        return (h * h).sum()

    return tg.grad(loss, (0, 1, 2))(wx, wh, b)


def sgd(parameters: Any) -> Any:
    return tg.optim.SGD(parameters, lr=0.01)


ROWS: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("an empty function", lambda x: x, (array(3),)),
    ("MLP 2-16-16-1, batch 32, SGD", network([2, 16, 16, 1], sgd), (array(32, 2), array(32, 1))),
    ("MLP 2-16-16-1, batch 32, Adam", network([2, 16, 16, 1], tg.optim.Adam), (array(32, 2), array(32, 1))),
    ("MLP 784-256-10, batch 128, Adam", network([784, 256, 10], tg.optim.Adam), (array(128, 784), array(128, 10))),
    ("MLP 784-512-256-10, batch 128, Adam", network([784, 512, 256, 10], tg.optim.Adam), (array(128, 784), array(128, 10))),
    ("Rosenbrock, 1,000 numbers, float64", rosenbrock, (array(1000, dtype="float64"),)),
    ("5 bodies, 20 steps, float64", bodies, (array(5, 3, dtype="float64"),)),
    ("64 bodies, 20 steps, float64", bodies, (array(64, 3, dtype="float64"),)),
    ("formula, 10^4, both gradients", formula, (array(10**4), array(10**4))),
    ("formula, 10^6, both gradients", formula, (array(10**6), array(10**6))),
    ("200 operations on one element, gradient", scalars, (array(1),)),
    ("20 cheap operations on 10^6", chain, (array(10**6),)),
    ("Hessian-vector product, 1,000", product, (array(1000), array(1000))),
    (
        "LSTM of 64 steps from cells, batch 32, 128",
        lstm,
        (array(64, 32, 64), 0.1 * array(64, 512), 0.1 * array(128, 512), array(512)),
    ),
]


def window(f: Any, args: tuple[Any, ...], count: int) -> float:
    """Seconds of a call, mean of `count`."""
    start = time.perf_counter()
    for _ in range(count):
        f(*args)
    return (time.perf_counter() - start) / count


def best(all_functions: list[tuple[Any, tuple[Any, ...]]], rounds: int) -> list[float]:
    """Seconds of a call of each, which take turns: best of many windows, short ones, which others do not interrupt."""
    counts = [max(1, int(0.001 / max(window(f, args, 2), 1e-7))) for f, args in all_functions]
    out = [float("inf")] * len(all_functions)
    for _ in range(rounds):
        for i, ((f, args), count) in enumerate(zip(all_functions, counts, strict=True)):
            out[i] = min(out[i], window(f, args, count))
    return out


def peer(at: int, args: tuple[Any, ...]) -> Any:
    """JAX's function of a row, to be called like ours, and its arguments."""
    import replay_jax

    return replay_jax.function(at, [np.asarray(a.numpy()) for a in args])


def main() -> int:
    """Measures the rows that were asked for."""
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", default="", help="rows whose names hold this word")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--without-jax", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        # JAX, which creates as many threads as there are processors, obeys this, too.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    tg.set_num_threads(options.threads)
    has_jax = not options.without_jax and importlib.util.find_spec("jax") is not None
    head = "| work | eager (µs) | replay (µs) | replay / eager |" + (" JAX (µs) | replay / JAX |" if has_jax else "")
    table = Table(head, "|---" * head.count(" |") + "|")
    for at, (name, f, args) in enumerate(ROWS):
        if options.rows not in name:
            continue
        compiled = tg.compile(f)
        for _ in range(4):
            compiled(*args)
        if not compiled.programs():
            table.add(f"| {name} | {compiled.explain()} |")
            continue
        functions = [(f, args), (compiled, args), *([peer(at, args)] if has_jax else [])]
        eager, replay, *others = best(functions, options.rounds)
        line = f"| {name} | {eager * 1e6:.3g} | {replay * 1e6:.3g} | {replay / eager:.2f} |"
        table.add(line + "".join(f" {t * 1e6:.3g} | {replay / t:.2f} |" for t in others))
    table.write(options.markdown, f"benches/replay.py {options.threads}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
