"""What tg.compile is worth: the time of a replay as a share of an eager call.

    python benches/replay.py            # one thread

Each row is run in turn, best of several rounds.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = np.random.default_rng(0)


def array(*shape: int, dtype: str = "float32") -> tg.Variable:
    return tg.asarray(RNG.normal(size=shape).astype(dtype))


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


def rosenbrock(x: tg.Variable) -> tg.Variable:
    return tg.grad(lambda z: (100.0 * (z[1:] - z[:-1] ** 2) ** 2 + (1.0 - z[:-1]) ** 2).sum())(x)


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


ROWS: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("MLP 2-16-16-1, batch 32, SGD", network([2, 16, 16, 1], lambda p: tg.optim.SGD(p, lr=0.01)), (array(32, 2), array(32, 1))),
    ("MLP 784-512-256-10, batch 128, Adam", network([784, 512, 256, 10], tg.optim.Adam), (array(128, 784), array(128, 10))),
    ("Rosenbrock, 1,000 numbers, float64", rosenbrock, (array(1000, dtype="float64"),)),
    ("64 bodies, 20 steps, float64", bodies, (array(64, 3, dtype="float64"),)),
    ("formula, 10^4, both gradients", formula, (array(10**4), array(10**4))),
    ("formula, 10^6, both gradients", formula, (array(10**6), array(10**6))),
    ("200 operations on one element, gradient", scalars, (array(1),)),
    ("20 cheap operations on 10^6", chain, (array(10**6),)),
    (
        "Hessian-vector product, 1,000",
        lambda x, v: tg.hvp(lambda z: (tg.sin(z) * z**2).sum(), (x,), (v,)),
        (array(1000), array(1000)),
    ),
]


def best(f: Any, args: tuple[Any, ...]) -> float:
    """Seconds of a call, best of several rounds."""
    f(*args)
    start = time.perf_counter()
    f(*args)
    once = max(time.perf_counter() - start, 1e-7)
    count = max(1, int(0.02 / once))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(count):
            f(*args)
        times.append((time.perf_counter() - start) / count)
    return min(times)


def main() -> None:
    tg.num_threads(1)
    print(f"{'':44}{'eager, us':>12}{'replay, us':>12}{'share':>8}")
    for name, f, args in ROWS:
        compiled = tg.compile(f)
        for _ in range(4):
            compiled(*args)
        if not compiled.programs():
            print(f"{name:44}{compiled.explain()}")
            continue
        eager, replay = best(f, args), best(compiled, args)
        print(f"{name:44}{eager * 1e6:12.1f}{replay * 1e6:12.1f}{replay / eager:8.2f}")


if __name__ == "__main__":
    main()
