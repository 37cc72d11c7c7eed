"""Random numbers from a counter-based generator: the same stream for any number of threads."""

from __future__ import annotations

from copyreg import pickle as _pickle
from typing import TYPE_CHECKING, Any

from ._core import Generator, bernoulli, manual_seed, normal, rand, randint, randn, uniform
from ._generator import DRAWS
from ._names import get_rng_state, initial_seed, seed, set_rng_state


def _restored(state: object) -> Generator:
    """A generator that goes on where another one was."""
    generator = Generator(0)
    generator.set_state(state)  # type: ignore[arg-type]
    return generator


if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ._draws import (
        beta,
        binomial,
        categorical,
        cauchy,
        chisquare,
        choice,
        dirichlet,
        exponential,
        gamma,
        geometric,
        gumbel,
        laplace,
        logistic,
        lognormal,
        multinomial,
        multivariate_normal,
        negative_binomial,
        permutation,
        poisson,
        random,
        shuffle,
        standard_cauchy,
        standard_exponential,
        standard_gamma,
        standard_normal,
        standard_t,
        vonmises,
        weibull,
    )
else:

    def __getattr__(name: str) -> Any:
        if name in DRAWS:
            from . import _draws

            found = globals()[name] = getattr(_draws, name)
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fork_rng(devices: Any = (), enabled: bool = True, device_type: str = "cpu") -> AbstractContextManager[None]:
    """A block after which the generator of the process goes on as if the block had drawn nothing.

    >>> _ = tg.random.manual_seed(0)
    >>> with tg.random.fork_rng():
    ...     _ = tg.rand(3)
    >>> after = tg.rand(1)
    >>> _ = tg.random.manual_seed(0)
    >>> bool(after == tg.rand(1))
    True
    """
    from contextlib import contextmanager

    @contextmanager
    def forked() -> Iterator[None]:
        state = get_rng_state()
        try:
            yield
        finally:
            if enabled:
                set_rng_state(state)

    return forked()


# Copies and pickles draw the numbers that the original would draw.
_pickle(Generator, lambda generator: (_restored, (generator.get_state(),)))

__all__ = [
    "Generator",
    "bernoulli",
    "beta",
    "binomial",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "fork_rng",
    "gamma",
    "geometric",
    "get_rng_state",
    "gumbel",
    "initial_seed",
    "laplace",
    "logistic",
    "lognormal",
    "manual_seed",
    "multinomial",
    "multivariate_normal",
    "negative_binomial",
    "normal",
    "permutation",
    "poisson",
    "rand",
    "randint",
    "randn",
    "random",
    "seed",
    "set_rng_state",
    "shuffle",
    "standard_cauchy",
    "standard_exponential",
    "standard_gamma",
    "standard_normal",
    "standard_t",
    "uniform",
    "vonmises",
    "weibull",
]


def __dir__() -> list[str]:
    return sorted({*(n for n in globals() if not n.startswith("_")), *__all__})
