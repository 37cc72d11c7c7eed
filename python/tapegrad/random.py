"""Random numbers from a counter-based generator: the same stream for any number of threads."""

from __future__ import annotations

from copyreg import pickle as _pickle

from ._core import Generator, bernoulli, manual_seed, normal, permutation, rand, randint, randn, uniform


def _restored(state: object) -> Generator:
    """A generator that goes on where another one was."""
    generator = Generator(0)
    generator.set_state(state)  # type: ignore[arg-type]
    return generator


# Copies and pickles draw the numbers that the original would draw.
_pickle(Generator, lambda generator: (_restored, (generator.get_state(),)))

__all__ = ["Generator", "bernoulli", "manual_seed", "normal", "permutation", "rand", "randint", "randn", "uniform"]
