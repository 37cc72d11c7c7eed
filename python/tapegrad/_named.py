"""Names and docs for functions that are made in a loop or by another function."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])


def named(f: _F, name: str, doc: str | None, module: str = "tapegrad") -> _F:
    """The function under a public name, with its doc.

    >>> from tapegrad._named import named
    >>> named(lambda x: x, "same", "Its argument.").__qualname__
    'same'
    """
    f.__name__ = f.__qualname__ = name
    f.__module__, f.__doc__ = module, doc
    return f
