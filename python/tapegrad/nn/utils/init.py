"""Modules without first values."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """A module of this class. PyTorch leaves its parameters uninitialised; here they get their first values as usual.

    >>> tg.nn.utils.skip_init(tg.nn.Linear, 2, 3)
    Linear(in_features=2, out_features=3, bias=True)
    """
    return module_cls(*args, **kwargs)


__all__ = ["skip_init"]
