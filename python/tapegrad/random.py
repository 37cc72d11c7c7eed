"""Random numbers from a counter-based generator: the same stream for any number of threads."""

from __future__ import annotations

from ._core import Generator, bernoulli, manual_seed, normal, permutation, rand, randint, randn, uniform

__all__ = ["Generator", "bernoulli", "manual_seed", "normal", "permutation", "rand", "randint", "randn", "uniform"]
