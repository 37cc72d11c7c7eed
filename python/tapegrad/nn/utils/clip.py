"""The two halves of clipping by norm: measuring, and scaling."""

from __future__ import annotations

from math import inf

from ... import _core
from ..._rows import values_in_place
from ...autograd import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal

    from ..._core import Variable


def _check_number(function: str, name: str, value: object) -> None:
    _core._number(function, name, value)
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"{function}(): argument '{name}' must be a float, not {type(value).__name__} ({value!r})")


def _exponent(norm_type: Any) -> Any:
    """The exponent of a norm; PyTorch's programs write infinity as text, too."""
    return inf if norm_type == "inf" else norm_type


def clip_grad_norm_(
    parameters: Variable | Iterable[Variable],
    max_norm: float,
    norm_type: float | Literal["inf"] = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Variable:
    """Scales the gradients of ``parameters`` so that their norm, all taken together, is at most ``max_norm``.

    Returns the norm before scaling. Parameters without a gradient do not count. The norm is the ``norm_type``-norm (inf, or
    ``"inf"``: the largest absolute value). Longer gradients are multiplied by max_norm / (norm + 1e-6), in place and without
    history. With ``error_if_nonfinite`` an infinite or NaN norm raises ValueError before anything changes. ``foreach`` has no
    effect. ``Optimizer.step(clip_norm=...)`` does the same on the way.

    >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_([x], max_norm=1.0).item()
    5.0
    >>> [round(g, 4) for g in x.grad.tolist()]
    [0.6, 0.8]
    """
    exponent = _exponent(norm_type)
    for name, value in (("max_norm", max_norm), ("norm_type", exponent)):
        _check_number("clip_grad_norm_", name, value)
    with values_in_place(parameters) as parts:
        return _core.clip_grad_norm_(parts, max_norm, exponent, error_if_nonfinite)


def clip_grad_value_(parameters: Variable | Iterable[Variable], clip_value: float, foreach: bool | None = None) -> None:
    """Limits every element of the gradients of ``parameters`` to [-clip_value, clip_value], in place; NaN stays.

    Parameters without a gradient are skipped. ``foreach`` has no effect.

    >>> x = tg.Variable([3.0, -0.5], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> tg.nn.utils.clip_grad_value_([x], 1.0)
    >>> x.grad.tolist()
    [1.0, -0.5]
    """
    _check_number("clip_grad_value_", "clip_value", clip_value)
    with values_in_place(parameters) as parts:
        _core.clip_grad_value_(parts, clip_value)


def _listed(parameters: Variable | Iterable[Variable]) -> list[Variable]:
    return [parameters] if isinstance(parameters, _core.Variable) else list(parameters)


def get_total_norm(
    tensors: Variable | Iterable[Variable],
    norm_type: float | Literal["inf"] = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Variable:
    """The norm of several arrays taken together as one vector. ``foreach`` has no effect.

    >>> tg.nn.utils.get_total_norm([tg.Variable([3.0]), tg.Variable([4.0])]).item()
    5.0
    """
    parts, exponent = _listed(tensors), _exponent(norm_type)
    if not parts:
        return _core.zeros(())
    norms = _core.stack([_core.norm(_core.reshape(p.detach(), (-1,)), exponent) for p in parts])
    total = _core.norm(norms, exponent)
    if error_if_nonfinite and not _core.isfinite(total).item():
        raise ValueError(f"get_total_norm: the norm is {total.item()}; pass error_if_nonfinite=False to go on")
    return total


def clip_grads_with_norm_(
    parameters: Variable | Iterable[Variable], max_norm: float, total_norm: Variable, foreach: bool | None = None
) -> None:
    """Scales the gradients of parameters by ``max_norm / (total_norm + 1e-6)`` where that is below 1. ``foreach`` has no effect.

    >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> tg.nn.utils.clip_grads_with_norm_([x], 1.0, tg.Variable(10.0))
    >>> [round(g, 3) for g in x.grad.tolist()]
    [0.3, 0.4]
    """
    parts = _listed(parameters)
    factor = min(max_norm / (float(total_norm) + 1e-6), 1.0)
    with no_grad():
        for p in parts:
            if p.grad is not None:
                p.grad.mul_(factor)


__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
