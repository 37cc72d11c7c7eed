"""Helpers of the tests of replayed programs, which compare results to the last bit."""

from __future__ import annotations

from typing import Any

import tapegrad as tg


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
