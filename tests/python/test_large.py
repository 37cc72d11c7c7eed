"""Arrays too large for memory: an error that names the operation, at once, and the process goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = tg.ones(())


def view(*shape: int, dtype: Any = tg.float32) -> tg.Variable:
    """A view of one element: it takes no memory."""
    return tg.broadcast_to(tg.ones((), dtype=dtype), shape)


def column(n: int = 1 << 44) -> tg.Variable:
    return view(n, 1)


ROW = 1 << 14
#: 2**58 elements: less than can be addressed, more than any machine has.
BEYOND_MEMORY: list[tuple[str, Callable[[], Any]]] = [
    ("add", lambda: column() + view(1, ROW)),
    ("subtract", lambda: view(ROW, 1) - view(1 << 44)),
    ("less", lambda: column() < view(1, ROW)),
    ("where", lambda: tg.where(view(1 << 44, 1, dtype=tg.bool), 1.0, view(1, ROW))),
    ("outer", lambda: tg.outer(view(1 << 44), view(ROW))),
    ("matmul", lambda: column() @ view(1, ROW)),
    ("linear", lambda: tg.linear(column(), view(ROW, 1))),
    ("concat", lambda: tg.concat([view(1 << 57), view(1 << 57)])),
    ("stack", lambda: tg.stack([view(1 << 57), view(1 << 57)])),
    ("tile", lambda: tg.tile(tg.ones(4), 1 << 56)),
    ("repeat", lambda: tg.repeat(tg.ones(4), 1 << 56)),
    ("repeat", lambda: tg.repeat(tg.ones(2), [1 << 57, 1])),
    ("getitem", lambda: view(1, 1 << 44)[np.zeros(1 << 14, dtype=np.int64)]),
    ("exp", lambda: tg.exp(view(1 << 58))),
    ("negative", lambda: -view(1 << 58)),
    ("add", lambda: view(1 << 58) + 1.0),
    ("add", lambda: view(1 << 58) + view(1 << 58)),
    ("softmax", lambda: tg.softmax(view(1 << 58))),
    ("astype", lambda: view(1 << 58).astype(tg.float64)),
    ("reshape", lambda: tg.broadcast_to(tg.ones((2, 1)), (2, 1 << 57)).reshape(-1)),
    ("clone", lambda: view(1 << 58).clone()),
    ("array", lambda: tg.array(view(1 << 58))),
    ("asarray", lambda: tg.asarray(view(1 << 58), copy=True)),
    ("tolist", lambda: view(1 << 58).tolist()),
    ("", lambda: tg.asarray(range(1 << 58))),
    ("", lambda: tg.Variable([range(1 << 58)])),
    ("ones", lambda: tg.ones((1 << 58,))),
    ("arange", lambda: tg.arange(1 << 58)),
    ("linspace", lambda: tg.linspace(0.0, 1.0, 1 << 58)),
    ("eye", lambda: tg.eye(1 << 29)),
    ("rand", lambda: tg.random.rand(1 << 58)),
]


@pytest.mark.parametrize(("name", "make"), BEYOND_MEMORY, ids=[f"{n}{i}" for i, (n, _) in enumerate(BEYOND_MEMORY)])
def test_more_than_there_is_memory_for(name: str, make: Callable[[], Any], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MemoryError, match=r"(^|: )an array of shape .* needs \d+ bytes, more than there is memory for") as caught:
        make()
    assert name in str(caught.value) or name in {"negative", "add"}  # an operator is named by its sign
    assert capfd.readouterr().err == ""


TOO_LARGE: list[Callable[[], Any]] = [
    lambda: tg.ones((1 << 20, 1)) + view(1, 1 << 44),
    lambda: column() + view(1, 1 << 44),
    lambda: column() == view(1, 1 << 44),
    lambda: tg.where(view(1 << 44, 1, dtype=tg.bool), view(1, 1 << 44), 0.0),
    lambda: column() @ view(1, 1 << 44),
    lambda: tg.outer(view(1 << 44), view(1 << 44)),
    lambda: tg.concat([view(1 << 60), view(1 << 60)]),
    lambda: tg.tile(tg.ones(4), 1 << 62),
    lambda: tg.repeat(tg.ones(4), 1 << 62),
    lambda: tg.broadcast_to(ONE, (1 << 44, 1 << 44)),
    lambda: tg.broadcast_arrays([column(), view(1, 1 << 44)]),
    lambda: tg.meshgrid(view(1 << 44), view(1 << 44)),
    lambda: tg.zeros((1 << 62,)),
    lambda: tg.arange(1 << 62),
    lambda: tg.exp(view(1 << 60)),
]


@pytest.mark.parametrize("make", TOO_LARGE)
def test_more_than_can_be_addressed(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"more than there is memory for|too large"):
        make()


def test_views_cost_nothing() -> None:
    x = view(1 << 30, 1 << 28)
    assert x[5, 3:9].tolist() == [1.0] * 6
    assert x.T.shape == (1 << 28, 1 << 30)
    assert "..." in repr(x)
    assert tg.tile(x, (1, 1)).shape == x.shape


def test_a_failed_operation_leaves_everything_as_it_was() -> None:
    x = tg.ones((1 << 14, 1), dtype=tg.float64).requires_grad_(True)
    y = tg.sum(x * 2.0)
    nodes = tg.tape_stats()["live_nodes"]
    with pytest.raises(MemoryError):
        x * view(1, 1 << 44, dtype=tg.float64)
    corner = tg.broadcast_to(x, (1 << 44, 1 << 14, 1))[0, 0, 0]
    with pytest.raises(MemoryError, match="backward"):
        corner.backward()
    assert x.grad is None
    del corner
    assert tg.tape_stats()["live_nodes"] == nodes
    y.backward()
    assert x.grad is not None
    assert x.grad[0].item() == 2.0
