"""Differentiation: backward passes, custom functions, checks of gradients, modes of the tape."""

from __future__ import annotations

from .. import _core
from .._core import Variable
from .function import Function, FunctionContext, once_differentiable
from .modes import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_detect_anomaly, set_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .._checkpoint import checkpoint
    from .._names import inference_mode
    from . import forward_ad, functional, graph
    from .differences import gradcheck, gradgradcheck
    from .report import GradcheckError, GradcheckReport, Mismatch

    Variables = Variable | Sequence[Variable]
    Seeds = Variable | Sequence[Variable | None] | None

__all__ = [
    "Function",
    "FunctionContext",
    "GradcheckError",
    "GradcheckReport",
    "Mismatch",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]

# The module file and the function have different names: importing the file would replace the function by the module.
_LAZY = dict.fromkeys(("gradcheck", "gradgradcheck"), "differences")
_OUTSIDE = {"checkpoint": "_checkpoint", "inference_mode": "_names"}
_MODULES = {"forward_ad", "functional", "graph"}
_LAZY |= dict.fromkeys(("GradcheckError", "GradcheckReport", "Mismatch"), "report")


def __getattr__(name: str) -> Any:
    if name in _OUTSIDE:
        from importlib import import_module

        return getattr(import_module(f"tapegrad.{_OUTSIDE[name]}"), name)
    if name in _MODULES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name not in _LAZY:
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .._messages import missing

        raise missing(__name__, name)
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _list(function: str, what: str, values: Any) -> list[Any]:
    """Variables as a list; raises where there are none."""
    if isinstance(values, Variable):
        return [values]
    if isinstance(values, (str, dict)) or not hasattr(values, "__iter__"):
        fix = ""
        if callable(values):
            fix = "; it takes computed values. Write tg.grad(f)(x) for the gradient of a function"
        elif isinstance(values, dict):
            fix = f"; pass the values, as in list({what}.values()), or write tg.grad(f)(params), which takes nested dicts"
        raise TypeError(
            f"autograd.{function}: {what} must be a Variable or a sequence of Variables, not {type(values).__name__}{fix}"
        )
    return list(values)


def _seeds(what: str, outputs: list[Variable], grads: Any) -> list[Any]:
    if grads is None:
        return [None] * len(outputs)
    seeds = list(grads) if isinstance(grads, (list, tuple)) else [grads]
    if len(seeds) != len(outputs):
        raise ValueError(f"{what}: {len(seeds)} gradients for {len(outputs)} outputs")
    return seeds


def _batched_grad(roots: Any, inputs: Any, seeds: Any, retain: bool, create_graph: bool, allow_unused: bool) -> tuple[Any, ...]:
    from .._transforms import vmap

    if any(s is None for s in seeds):
        raise ValueError("grad: is_grads_batched needs a gradient for each output in grad_outputs")
    pull = vmap(lambda *g: _core.grad(roots, inputs, list(g), True, create_graph, allow_unused))
    found = pull(*seeds)
    if not retain:
        _core.grad(roots, inputs, [_core.zeros_like(y) for y in roots], False, False, True)
    return tuple(found)


def backward(
    outputs: Variables,
    grad_outputs: Seeds = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    inputs: Variables | None = None,
    grad_tensors: Seeds = None,
) -> None:
    """Adds the gradients of the sum of ``outputs`` to ``.grad`` of the leaves they depend on, or of ``inputs`` only.

    An output that is not a scalar needs a gradient of its shape in ``grad_outputs``; ``grad_tensors`` is PyTorch's name for it.
    The graph is freed unless ``retain_graph``, whose default is ``create_graph``.

    >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
    >>> tg.autograd.backward([tg.sum(x), tg.sum(x * x)])
    >>> x.grad.tolist()
    [3.0, 5.0]
    """
    if grad_tensors is not None:
        if grad_outputs is not None:
            raise TypeError("backward: give grad_outputs or grad_tensors, which mean the same, not both")
        grad_outputs = grad_tensors
    roots = _list("backward", "outputs", outputs)
    retain = create_graph if retain_graph is None else retain_graph
    chosen = None if inputs is None else _list("backward", "inputs", inputs)
    if chosen is not None and not chosen:
        raise ValueError("backward: inputs is empty; leave it out to reach every leaf")
    _core.backward(roots, _seeds("backward", roots, grad_outputs), chosen, retain, create_graph)


def grad(
    outputs: Variables,
    inputs: Variables | None = None,
    grad_outputs: Seeds = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
    *,
    only_inputs: bool = True,
) -> tuple[Any, ...]:
    """The gradients of the sum of ``outputs`` with respect to ``inputs``, as a tuple; no ``.grad`` changes.

    With ``create_graph`` they can be differentiated again. An input that the outputs do not depend on raises, or is
    ``None`` with ``allow_unused``, or zeros with ``materialize_grads``. With ``is_grads_batched`` the first axis of each
    gradient in ``grad_outputs`` is a batch: one pass gives the gradients for all of them, with that axis in front.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> (first,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = tg.autograd.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    roots = _list("grad", "outputs", outputs)
    if inputs is None:
        raise TypeError(
            "autograd.grad: argument 'inputs' is missing; name the Variables to differentiate by, as in autograd.grad(y, [x])"
        )
    if not only_inputs:
        raise ValueError("autograd.grad: only_inputs=False would change .grad of other leaves; call backward() for that")
    if materialize_grads and allow_unused is False:
        raise ValueError("autograd.grad: materialize_grads=True gives zeros for unused inputs; leave allow_unused out")
    retain = create_graph if retain_graph is None else retain_graph
    seeds = _seeds("grad", roots, grad_outputs)
    sources = _list("grad", "inputs", inputs)
    unused = materialize_grads or bool(allow_unused)
    if is_grads_batched:
        found = _batched_grad(roots, sources, seeds, retain, create_graph, unused)
    else:
        found = tuple(_core.grad(roots, sources, seeds, retain, create_graph, unused))
    if not materialize_grads:
        return found
    front = next((s.shape[:1] for s in seeds if s is not None), ()) if is_grads_batched else ()
    return tuple(_core.zeros((*front, *x.shape), dtype=x.dtype) if g is None else g for g, x in zip(found, sources))
