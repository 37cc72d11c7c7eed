"""Helpers of the tests of replayed programs, which compare results to the last bit."""

from __future__ import annotations

from typing import Any

import tapegrad as tg
from tapegrad import nn


def flat(result: Any) -> list[bytes]:
    """The bytes of all arrays in a nested result."""
    found = result if isinstance(result, (list, tuple)) else [result]
    return [part for r in found for part in (flat(r) if isinstance(r, (list, tuple)) else [r.detach().numpy().tobytes()])]


def replayed(f: Any, *args: Any) -> tuple[Any, list[Any]]:
    """Replays on the arguments and on others of their shapes; returns the compiled function and these."""
    compiled = tg.compile(f)
    for _ in range(3):
        compiled(*args)
    assert len(compiled.programs()) == 1, compiled.explain()
    others = [(a * 1.25 - 0.125).reshape(a.shape) for a in args]
    for values in (args, others):
        assert flat(compiled(*values)) == flat(f(*values))
    return compiled, others


def with_adam(net: nn.Module) -> tuple[nn.Module, Any]:
    """The network, and a step of Adam on the mean square error that returns the loss."""
    optimizer = tg.optim.Adam(net.parameters(), lr=0.01)

    def step(x: tg.Variable, y: tg.Variable) -> tg.Variable:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return net, step


def check_training(make: Any, *batch: tg.Variable) -> Any:
    """Trains eagerly and by replays, which must agree in all bits; returns the program. ``make`` gives a network and a step."""
    (eager, one), (net, step) = make(), make()
    compiled = tg.compile(step)
    losses = [(one(*batch).item(), compiled(*batch).item()) for _ in range(8)]
    assert all(a == b for a, b in losses)
    assert flat([*eager.parameters(), *eager.buffers()]) == flat([*net.parameters(), *net.buffers()])
    return compiled.programs()[0]
