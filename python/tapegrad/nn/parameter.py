"""Parameters, which a module learns, and buffers, which it keeps."""

from __future__ import annotations

from .._core import Variable, asarray, zeros

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


class Buffer(Variable):
    """A Variable that becomes a buffer when it is assigned to an attribute of a module.

    >>> class Counter(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.count = tg.nn.Buffer(tg.zeros(1))
    >>> list(Counter().state_dict())
    ['count']
    """

    persistent: bool = True

    def __new__(cls, data: Any, *, persistent: bool = True) -> Buffer:
        """A new Variable with the value of ``data``; one that is not ``persistent`` is left out of the state dict."""
        value = asarray(data).detach() if isinstance(data, (Variable, list, tuple)) else data
        return super().__new__(cls, value)

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        self.persistent = persistent


def blank(*shape: int, dtype: Any = None) -> Parameter:
    """A parameter of zeros, which gets its first values later."""
    return Parameter(zeros(shape, dtype=dtype))


class Uninitialized:
    """Base of parameters and buffers whose shape is not known yet."""


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter of a lazy module before its first call; it has no elements.

    >>> tg.nn.UninitializedParameter().shape
    (0,)
    """

    def __new__(cls, requires_grad: bool = True, dtype: Any = None) -> UninitializedParameter:
        """A new uninitialized parameter."""
        return super().__new__(cls, zeros((0,), dtype=dtype), requires_grad=requires_grad)  # type: ignore[return-value]

    def __repr__(self) -> str:
        return "UninitializedParameter()"


class UninitializedBuffer(Uninitialized, Variable):
    """A buffer of a lazy module before its first call; it has no elements.

    >>> tg.nn.UninitializedBuffer().shape
    (0,)
    """

    def __new__(cls, dtype: Any = None) -> UninitializedBuffer:
        """A new uninitialized buffer."""
        return super().__new__(cls, zeros((0,), dtype=dtype))

    def __repr__(self) -> str:
        return "UninitializedBuffer()"


__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
]
