"""The transformations under PyTorch's names, as in ``torch.func``."""

from __future__ import annotations

from ._core import stack
from ._transforms import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from ._transforms import value_and_grad as _value_and_grad
from .nn import functional_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ._core import Variable
    from .nn import Module

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]


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


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """The parameters and the buffers of several models of one class, each stacked along a new first axis, as new leaves.

    >>> parameters, buffers = tg.func.stack_module_state([tg.nn.Linear(2, 3) for _ in range(4)])
    >>> parameters["weight"].shape, buffers
    ((4, 3, 2), {})
    """
    if not models:
        raise ValueError("stack_module_state: there are no models")
    if len({type(model) for model in models}) > 1 or len({model.training for model in models}) > 1:
        kinds = sorted({f"{type(m).__name__} in {'training' if m.training else 'evaluation'}" for m in models})
        raise ValueError(
            f"stack_module_state: got {', '.join(kinds)}; expected models of one class, all in training or all in evaluation"
        )
    parts = [dict(model.named_parameters()) for model in models]
    parameters = {
        name: stack([p[name].detach() for p in parts]).requires_grad_(parts[0][name].requires_grad) for name in parts[0]
    }
    kept = [dict(model.named_buffers()) for model in models]
    return parameters, {name: stack([b[name] for b in kept]) for name in kept[0]}
