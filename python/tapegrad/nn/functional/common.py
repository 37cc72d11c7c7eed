"""Helpers of several families of functions."""

from __future__ import annotations

from functools import wraps

from ... import _core
from ..._messages import a_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ..._core import Variable

    F = TypeVar("F", bound=Callable[..., Any])


def axis_of(name: str, dim: int | None, axis: int | None, default: int = -1) -> int:
    """The axis that was given as ``dim`` or as ``axis``."""
    if dim is not None and axis is not None:
        raise TypeError(f"{name}: give dim or axis, not both")
    chosen = dim if dim is not None else axis
    return default if chosen is None else chosen


def finish(input: Any, output: Variable, inplace: bool) -> Variable:
    """Returns ``output``; with ``inplace`` writes it into the input and returns the input."""
    if not inplace:
        return output
    if not isinstance(input, _core.Variable):
        raise TypeError(f"inplace=True needs a Variable to write to, not {a_type(input)}")
    changed: Variable = input.copy_(output)
    return changed


def probability(name: str, p: float) -> float:
    """``p``, which must lie between 0 and 1."""
    _core._number(name, "p", p)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: p must lie between 0 and 1, not {p}")
    return p


def same_shape(name: str, first: str, a: Any, second: str, b: Any) -> None:
    """Raises unless both have the same shape: nothing is broadcast silently."""
    if a.shape != b.shape:
        raise _core.ShapeError(f"{name}: {first} {a.shape} and {second} {b.shape} must have the same shape")


def floating(name: str, input: Any) -> Variable:
    """``input`` as a Variable of a floating dtype."""
    value = _core.asarray(input)
    if not value.dtype.is_floating_point:
        raise _core.DTypeError(f"{name}: the input must be floating, not {value.dtype}; convert it with astype()")
    return value


def reduced(name: str, losses: Variable, reduction: str) -> Variable:
    """The mean or sum of the losses; with ``"none"`` each loss."""
    if reduction == "mean":
        return _core.mean(losses)
    if reduction == "sum":
        return _core.sum(losses)
    if reduction != "none":
        raise ValueError(f"{name}: reduction is {reduction!r}, expected 'none', 'mean' or 'sum'")
    return losses


def older_reduction(size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that PyTorch's two older flags mean."""
    average, total = size_average is None or size_average, reduce is None or reduce
    return ("mean" if average else "sum") if total else "none"


def with_older_flags(loss: F) -> F:
    """A loss that takes ``size_average=`` and ``reduce=`` too, PyTorch's older names of the reduction."""

    @wraps(loss)
    def call(*args: Any, size_average: bool | None = None, reduce: bool | None = None, **options: Any) -> Any:
        if size_average is not None or reduce is not None:
            options["reduction"] = older_reduction(size_average, reduce)
        return loss(*args, **options)

    return call  # type: ignore[return-value]
