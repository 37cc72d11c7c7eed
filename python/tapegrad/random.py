"""Random numbers from a counter-based generator: the same stream for any number of threads."""

from __future__ import annotations

from ._core import Generator, bernoulli, manual_seed, normal, permutation, rand, randint, randn, uniform
from ._names import get_rng_state, initial_seed, seed, set_rng_state

__all__ = [
    "Generator",
    "bernoulli",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "normal",
    "permutation",
    "rand",
    "randint",
    "randn",
    "seed",
    "set_rng_state",
    "uniform",
]
