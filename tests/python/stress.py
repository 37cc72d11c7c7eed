"""Two threads that do two things to the same parameters, their gradients and views of them, for a while.

Run by ``test_stress.py`` as ``python stress.py FIRST SECOND SECONDS`` in a process of its own: a deadlock is a process that
does not end. Prints the number of rounds of each thread.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

#: So many elements that operations on them release the GIL.
LARGE = 70_000
SMALL = 10


class Shared:
    """The state that the threads share: a parameter, whose memory and gradient came from NumPy, and views of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.parameter = tg.Variable(self.lent(), requires_grad=True)
        self.other = tg.Variable(self.lent(), requires_grad=True)
        self.plain = tg.Variable(self.lent())
        self.parameter.grad = tg.Variable(self.lent())
        self.optimizer = tg.optim.SGD([self.parameter, self.other], lr=1e-6, momentum=0.9)
        self.view = self.plain[: size // 2]
        self.seen = 0

    def lent(self) -> np.ndarray:
        """NumPy memory whose owner runs Python code when it is freed."""
        return np.ones(self.size).view(Owner)

    def hook(self, g: tg.Variable) -> None:
        self.seen += g.shape[0]


class Owner(np.ndarray):
    """An array that runs Python code with Variables when it is freed."""

    def __del__(self) -> None:
        gone.append(float(tg.Variable(1.0) + 1.0))
        del gone[:-10]


gone: list[float] = []


def step(s: Shared) -> None:
    if s.parameter.grad is None:
        s.parameter.grad = tg.Variable(s.lent())
    s.optimizer.step()


def backward(s: Shared) -> None:
    tg.sum(s.parameter * s.plain).backward()


def accumulate(s: Shared) -> None:
    s.parameter.grad = tg.Variable(s.lent())
    tg.sum(s.parameter * 2.0).backward()
    s.other.grad = None
    tg.sum(s.other * s.parameter).backward()
    with tg.no_grad():
        if s.other.grad is not None:
            s.other.grad += s.plain


def read(s: Shared) -> None:
    for _ in range(20):
        s.parameter.detach()
        _ = s.parameter.grad
        _ = s.view.shape
    s.parameter.numpy()
    tg.sum(s.view).item()
    float(s.plain[0])


def write(s: Shared) -> None:
    with tg.no_grad():
        s.parameter *= 1.0
        s.parameter[:2] = 1.0
    s.plain += 0.0
    s.plain[1] = 1.0
    s.view[:1] = 1.0
    s.parameter.requires_grad_(True)


def hook(s: Shared) -> None:
    handle = s.parameter.register_hook(s.hook)
    y = s.parameter * 2.0
    inner = y.register_hook(s.hook)
    tg.sum(y).backward()
    inner.remove()
    handle.remove()


def make_cycle(s: Shared) -> None:
    """A cycle through a hook and two values of its graph."""
    y = s.parameter * s.plain
    cycle: list[Any] = [y, y * 2.0]
    y.register_hook(lambda g: None if cycle else g)


def drop(s: Shared) -> None:
    s.plain = tg.Variable(s.lent())
    s.view = s.plain[: s.size // 2]
    s.other = tg.Variable(s.lent(), requires_grad=True)
    s.optimizer = tg.optim.SGD([s.parameter, s.other], lr=1e-6, momentum=0.9)
    s.parameter.grad = None
    make_cycle(s)
    gc.collect()


ACTIONS: dict[str, Callable[[Shared], None]] = {f.__name__: f for f in (step, backward, accumulate, read, write, hook, drop)}


def main(first: str, second: str, seconds: float) -> None:
    sys.setswitchinterval(1e-5)
    failures: list[BaseException] = []
    rounds = [0, 0]
    for size in (SMALL, LARGE):
        shared = Shared(size)
        end = time.monotonic() + seconds / 2

        def work(k: int, action: Callable[[Shared], None], shared: Shared = shared, end: float = end) -> None:
            try:
                while time.monotonic() < end:
                    action(shared)
                    rounds[k] += 1
            except BaseException as e:  # noqa: BLE001 - shown by the main thread
                failures.append(e)

        threads = [threading.Thread(target=work, args=(k, ACTIONS[name]), daemon=True) for k, name in enumerate((first, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        assert np.isfinite(shared.parameter.detach().numpy()).all()
    print(*rounds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
