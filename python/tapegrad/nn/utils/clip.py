"""The two halves of clipping by norm: measuring, and scaling."""

from __future__ import annotations

from ... import _core
from ...autograd import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._core import Variable


def get_total_norm(tensors: Variable | Iterable[Variable], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Variable:
    """The norm of several arrays taken together as one vector.

    >>> tg.nn.utils.get_total_norm([tg.Variable([3.0]), tg.Variable([4.0])]).item()
    5.0
    """
    parts = [tensors] if isinstance(tensors, _core.Variable) else list(tensors)
    if not parts:
        return _core.zeros(())
    norms = _core.stack([_core.norm(_core.reshape(p.detach(), (-1,)), norm_type) for p in parts])
    total = _core.norm(norms, norm_type)
    if error_if_nonfinite and not _core.isfinite(total).item():
        raise ValueError(f"get_total_norm: the norm is {total.item()}; pass error_if_nonfinite=False to go on")
    return total


def clip_grads_with_norm_(parameters: Variable | Iterable[Variable], max_norm: float, total_norm: Variable) -> None:
    """Scales the gradients of parameters by ``max_norm / (total_norm + 1e-6)`` where that is below 1.

    >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> tg.nn.utils.clip_grads_with_norm_([x], 1.0, tg.Variable(10.0))
    >>> [round(g, 3) for g in x.grad.tolist()]
    [0.3, 0.4]
    """
    parts = [parameters] if isinstance(parameters, _core.Variable) else list(parameters)
    factor = min(max_norm / (float(total_norm) + 1e-6), 1.0)
    with no_grad():
        for p in parts:
            if p.grad is not None:
                p.grad.mul_(factor)


__all__ = ["clip_grads_with_norm_", "get_total_norm"]
