"""Draws of `tapegrad.random` as methods of generators. They load NumPy, and so are looked up when they are called."""

from __future__ import annotations

from ._core import Generator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Their names.
DRAWS = (
    "beta",
    "binomial",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "gamma",
    "geometric",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "multinomial",
    "multivariate_normal",
    "negative_binomial",
    "permutation",
    "poisson",
    "random",
    "shuffle",
    "standard_cauchy",
    "standard_exponential",
    "standard_gamma",
    "standard_normal",
    "standard_t",
    "vonmises",
    "weibull",
)


def _method(name: str) -> Any:
    """A draw as a method of generators."""

    def method(self: Generator, *args: Any, **options: Any) -> Any:
        from . import _draws

        return getattr(_draws, name)(*args, generator=self, **options)

    method.__name__, method.__qualname__ = name, f"Generator.{name}"
    method.__doc__ = f"`tg.random.{name}` with the numbers of this generator."
    return method


#: The method for numbers, before ours takes its place.
permutation_of_numbers: Any = Generator.permutation


def attach() -> None:
    """Puts them on the class."""
    for name in DRAWS:
        setattr(Generator, name, _method(name))
