"""Values that a module learns."""

from __future__ import annotations

from .._core import Variable, asarray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Parameter(Variable):
    """A Variable that belongs to a module: assigned to an attribute of one, it appears in ``parameters()``.

    Results of operations on it are plain Variables.

    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> w.requires_grad, type(w * 2).__name__
    (True, 'Variable')
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        """A new leaf with the value of ``data``."""
        value = asarray(data).detach() if isinstance(data, (Variable, list, tuple)) else data
        return super().__new__(cls, value, requires_grad=requires_grad)
