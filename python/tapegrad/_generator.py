"""The functions of `tapegrad.random` as methods of generators. They are looked up when called, since they import NumPy."""

from __future__ import annotations

from . import _core
from ._core import Generator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The names of these methods.
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


def source(generator: Generator | None) -> Any:
    """What draws random numbers: the given generator, or the module of the process's own."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator must be a tg.random.Generator or None, got {type(generator).__name__}")
    return _core if generator is None else generator


#: The method that draws numbers, before ours replaces it.
permutation_of_numbers: Any = Generator.permutation


def attach() -> None:
    """Puts the methods on the class."""
    for name in DRAWS:
        setattr(Generator, name, _method(name))
