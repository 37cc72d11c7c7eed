"""The transformations under PyTorch's name: what ``torch.func`` has, ``tapegrad.func`` has."""

from __future__ import annotations

from ._transforms import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from ._transforms import value_and_grad as _value_and_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp", "vmap"]


def grad_and_value(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As :func:`tapegrad.value_and_grad`, with the gradient first.

    >>> tg.func.grad_and_value(lambda x: x * x)(3.0)
    (Variable(6.), Variable(9.))
    """
    both = _value_and_grad(f, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return gradient, value

    return wrapped
