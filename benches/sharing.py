"""The cost of memory shared with NumPy in a training step, next to the same step on memory of the pool.

    python benches/sharing.py [--budget 2] [--markdown OUT]

The tape copies what it saves of shared memory, unless no one else holds the array. Each row is one way in which batches come from
a NumPy array X. The same step runs on batches that were copied before anything is timed; where NumPy makes a new array for a
batch, it does so on both sides. Windows of the two alternate, and a time is the minimum of many. Figures are microseconds.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from table import Table, arguments

import tapegrad as tg

Step = Callable[[], None]


def step_of(sizes: tuple[int, ...], batches: Callable[[], tuple[Any, Any]]) -> Step:
    """A step of a network with relu between its layers and Adam, on the next batch."""
    tg.random.manual_seed(0)
    layers: list[Any] = []
    for n, m in pairwise(sizes):
        layers += [tg.nn.Linear(n, m), tg.nn.ReLU()]
    model = tg.nn.Sequential(*layers[:-1])
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = tg.nn.MSELoss()

    def step() -> None:
        x, y = batches()
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def turns(items: list[Any]) -> Callable[[], Any]:
    """One item after the other, without end."""
    return itertools.cycle(items).__next__


def rows(sizes: tuple[int, ...], batch: int, count: int) -> Iterator[tuple[str, Step, Step]]:
    """Ways to take batches: a name, the step on memory of the pool, and the step on shared memory."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch * count, sizes[0])).astype(np.float32)
    y = rng.standard_normal((batch * count, sizes[-1])).astype(np.float32)
    name = f"{'-'.join(map(str, sizes))}, batch {batch}"
    bounds = [slice(k * batch, (k + 1) * batch) for k in range(count)]
    indices = [rng.permutation(batch * count)[:batch] for _ in range(count)]
    pooled = turns([(tg.array(x[s]), tg.array(y[s])) for s in bounds])

    part, again = turns(bounds), turns(bounds)

    def sliced() -> tuple[Any, Any]:
        s = part()
        return tg.asarray(x[s]), tg.asarray(y[s])

    def sliced_in_the_pool() -> Any:
        s = again()
        _ = x[s], y[s]
        return pooled()

    yield f"{name}: X[i:j]", step_of(sizes, sliced_in_the_pool), step_of(sizes, sliced)

    pick, pick_again = turns(indices), turns(indices)

    def picked() -> tuple[Any, Any]:
        i = pick()
        return tg.asarray(x[i]), tg.asarray(y[i])

    def picked_in_the_pool() -> Any:
        i = pick_again()
        _ = x[i], y[i]
        return pooled()

    yield f"{name}: X[idx]", step_of(sizes, picked_in_the_pool), step_of(sizes, picked)

    large = tg.asarray(x), tg.asarray(y)
    copies = tg.array(x), tg.array(y)
    cut, cut_again = turns(bounds), turns(bounds)

    def cut_from(data: tuple[Any, Any], s: slice) -> tuple[Any, Any]:
        return data[0][s], data[1][s]

    on_copies = step_of(sizes, lambda: cut_from(copies, cut_again()))
    yield f"{name}: slices of one asarray(X)", on_copies, step_of(sizes, lambda: cut_from(large, cut()))

    first = bounds[0]
    whole = tg.asarray(x[first].copy()[:]), tg.asarray(y[first].copy()[:])
    whole_copies = tg.array(x[first]), tg.array(y[first])
    yield f"{name}: one asarray(X), all of it", step_of(sizes, lambda: whole_copies), step_of(sizes, lambda: whole)


def window(step: Step, n: int) -> float:
    """Microseconds of one of `n` steps."""
    start = time.perf_counter()
    for _ in range(n):
        step()
    return (time.perf_counter() - start) / n * 1e6


def measure(pooled: Step, shared: Step, budget: float) -> tuple[float, float]:
    """The fastest window of each, within `budget` seconds."""
    n = max(1, int(5e-3 / (window(pooled, 3) * 1e-6)))
    window(shared, 3)
    best = [float("inf"), float("inf")]
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        for k, step in enumerate((pooled, shared)):
            window(step, max(1, n // 4))  # until the caches are its own again
            best[k] = min(best[k], window(step, n))
    return best[0], best[1]


def main() -> int:
    """Prints the table."""
    parser = arguments(__doc__)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for a row")
    options = parser.parse_args()
    table = Table("| training step (µs) | memory of the pool | shared | difference |", "|---|---|---|---|")
    for sizes, batch, count in [((784, 512, 256, 10), 128, 60), ((4, 64, 64, 2), 32, 40)]:
        for name, pooled, shared in rows(sizes, batch, count):
            a, b = measure(pooled, shared, options.budget)
            table.add(f"| {name} | {a:.4g} | {b:.4g} | {100 * (b / a - 1):+.1f} % |")
    table.write(options.markdown, "benches/sharing.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
