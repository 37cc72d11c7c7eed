"""Compiled functions of a namespace: rows of the registry whose module is not ``tapegrad`` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core import _functions

if TYPE_CHECKING:
    from collections.abc import Callable


def functions(module: str) -> dict[str, Callable[..., Any]]:
    """The compiled functions of a namespace by name.

    >>> from tapegrad._namespace import functions
    >>> functions("no.such.namespace")
    {}
    """
    prefix = f"{module}."
    names = (path for path in _functions if path.startswith(prefix) and "." not in path[len(prefix) :])
    return {path[len(prefix) :]: _functions[path] for path in names}
