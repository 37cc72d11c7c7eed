"""Other Python threads run during work that is long, whatever the size of its inputs."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = tg.nn.functional
COLUMN, ROW = tg.ones((1023, 1)), tg.ones((1, 1023))
SQUARE = tg.ones((180, 180))
TABLE = tg.ones((300, 400))
ROWS = tg.array(np.arange(3000) % 300)  # these arrays own their memory: borrowed memory is read while the GIL is held
MASK = tg.array(np.ones((300, 400), bool))
LINE = tg.ones((600,))
HALF = tg.full((50_000,), 0.5)
TARGET = tg.ones((300, 400))


def write(x: Any, key: Any, value: Any) -> None:
    x[key] = value


def in_place(x: Any, y: Any) -> None:
    x += y


LONG: dict[str, Callable[[], object]] = {
    "a column times a row": lambda: COLUMN * ROW,
    "a comparison that broadcasts": lambda: COLUMN < ROW,
    "a function that broadcasts": lambda: tg.where(COLUMN > 0, COLUMN, ROW),
    "a product of small matrices": lambda: SQUARE @ SQUARE,
    "matmul by name": lambda: tg.matmul(SQUARE, SQUARE),
    "a stack of products": lambda: tg.ones((60, 30, 30)) @ tg.ones((30, 30)),
    "linear": lambda: F.linear(SQUARE, SQUARE),
    "outer": lambda: tg.outer(LINE, LINE),
    "index arrays": lambda: TABLE[ROWS],
    "a mask": lambda: TABLE[MASK],
    "take": lambda: tg.take(TABLE, ROWS, axis=0),
    "assignment by index arrays": lambda: write(tg.zeros((300, 400)), ROWS, 1.0),
    "assignment of a broadcast row": lambda: write(tg.zeros((300, 400)), MASK, 2.0),
    "in place": lambda: in_place(tg.zeros((1023, 1023)), ROW),
    "zeros": lambda: tg.zeros((3000, 3000)),
    "eye": lambda: tg.eye(2000),
    "arange": lambda: tg.arange(0, 1_000_000),
    "linspace": lambda: tg.linspace(0.0, 1.0, 1_000_000),
    "tile": lambda: tg.tile(LINE, (2000,)),
    "repeat": lambda: tg.repeat(LINE, 2000),
    "one_hot": lambda: tg.one_hot(ROWS, 300),
    "an expensive function": lambda: F.gelu(HALF),
    "randn": lambda: tg.random.randn(300_000),
    "bernoulli of an array": lambda: tg.random.bernoulli(HALF),
    "permutation": lambda: tg.random.permutation(300_000),
    "clone": lambda: TABLE.clone(),
    "a loss": lambda: F.mse_loss(TABLE, TARGET),
    "round": lambda: round(TABLE, 2),
}


@pytest.fixture
def other() -> Iterator[list[int]]:
    """Counts the turns of another thread, which has the interpreter only when this one gives it away."""
    turns, stop = [0], threading.Event()
    interval = sys.getswitchinterval()

    def run() -> None:
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=run)
    thread.start()
    sys.setswitchinterval(1000.0)
    time.sleep(0.05)  # a pending request of the thread is granted now
    yield turns
    stop.set()
    sys.setswitchinterval(interval)
    thread.join()


def progress(turns: list[int], work: Callable[[], object], attempts: int) -> bool:
    """Whether the other thread has a turn during ``work``: the scheduler may be late, so there are several attempts."""
    for _ in range(attempts):
        before = turns[0]
        work()
        if turns[0] != before:
            return True
        time.sleep(0.001)
    return False


@pytest.mark.parametrize("name", LONG)
def test_others_run_during_long_work(name: str, other: list[int]) -> None:
    assert progress(other, LONG[name], 300)


def test_short_work_keeps_the_interpreter(other: list[int]) -> None:
    x = tg.ones((10,))
    given_away = 0
    for _ in range(100):
        before = other[0]
        x + x
        x[2:5]
        x.sum()
        given_away += other[0] != before
    assert given_away < 10  # a collection in between may do so
