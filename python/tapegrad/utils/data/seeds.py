"""Seeds of epochs: one number is drawn for each epoch, and all orders follow from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import _core

#: Seeds are below this, so that NumPy's generators and JSON take them too.
SEEDS = 2**53


def draw_seed(generator: Any = None) -> int:
    """A seed from a generator; from that of the process when none is given."""
    if generator is None:
        return int(_core.randint(0, SEEDS).item())
    if isinstance(generator, _core.Generator):
        return int(generator.randint(0, SEEDS).item())
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(0, SEEDS))
    raise TypeError(f"generator must be a tg.random.Generator or a numpy.random.Generator, got {type(generator).__name__}")


def permutation(n: int, generator: Any = None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers below ``n`` in random order."""
    return ordered(n, draw_seed(generator))


def ordered(n: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of the numbers below ``n`` that follows from a seed."""
    return _core.Generator(seed).permutation(n).numpy()


def state_of(generator: Any) -> Any:
    """The state of a generator as plain data; None for that of the process."""
    if generator is None:
        return None
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return list(generator.get_state())


def restore(generator: Any, state: Any) -> None:
    """Restores a state from :func:`state_of`."""
    if generator is None or state is None:
        return
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(tuple(state))


__all__ = ["SEEDS", "draw_seed", "ordered", "permutation", "restore", "state_of"]
