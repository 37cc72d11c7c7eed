"""Derivatives of functions with the arguments of ``torch.autograd.functional``: ``jacobian(f, inputs)``.

`tg.jacobian(f)` and the other transformations give functions of the same arguments as ``f`` instead; these call them.
"""

from __future__ import annotations

from .. import _transforms
from .._core import ShapeError, Variable, ones_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _arguments(name: str, inputs: Any, create_graph: bool) -> tuple[Any, ...]:
    """The inputs as a tuple, detached from their history unless the result needs one."""
    found = (inputs,) if isinstance(inputs, Variable) else inputs
    if not isinstance(found, (tuple, list)) or not all(isinstance(x, Variable) for x in found):
        raise TypeError(
            f"autograd.functional.{name}: inputs must be a Variable or a tuple of Variables, not {type(inputs).__name__}"
        )
    return tuple(found) if create_graph else tuple(x.detach() for x in found)


def _result(found: Any, create_graph: bool) -> Any:
    if create_graph:
        return found
    return tuple(_result(x, create_graph) for x in found) if isinstance(found, (tuple, list)) else found.detach()


def _refuse_strict(name: str, strict: bool) -> None:
    if strict:
        raise ValueError(f"autograd.functional.{name}: strict=True is not available; a result that no input changes has zeros")


def _which(inputs: Any) -> int | tuple[int, ...]:
    return 0 if isinstance(inputs, Variable) else tuple(range(len(inputs)))


def _direction(name: str, v: Any, like: Any, what: str) -> tuple[Any, ...]:
    """The vectors to multiply with, one for each of ``like``; without ``v`` a single number gets one."""
    targets = (like,) if isinstance(like, Variable) else tuple(like)
    if v is None:
        if len(targets) != 1 or targets[0].size != 1:
            raise ValueError(f"autograd.functional.{name}: v is needed, as {what} has more than one element")
        return (ones_like(targets[0]),)
    given = (v,) if isinstance(v, Variable) else tuple(v)
    if [x.shape for x in given] != [x.shape for x in targets]:
        raise ShapeError(
            f"autograd.functional.{name}: v has shapes {[x.shape for x in given]}, expected those of {what}, "
            f"{[x.shape for x in targets]}"
        )
    return given


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of ``func`` at ``inputs``: the shape of the result followed by that of the input.

    Several inputs or results give tuples, those of the results outside. ``vectorize`` changes nothing: it always is.

    >>> tg.autograd.functional.jacobian(lambda x: x * x, tg.tensor([1.0, 2.0]))
    Variable([[2., 0.],
              [0., 4.]])
    """
    _refuse_strict("jacobian", strict)
    if strategy not in {"reverse-mode", "forward-mode"}:
        raise ValueError(f"autograd.functional.jacobian: strategy is {strategy!r}, expected 'reverse-mode' or 'forward-mode'")
    transform = _transforms.jacrev if strategy == "reverse-mode" else _transforms.jacfwd
    found = transform(func, _which(inputs))(*_arguments("jacobian", inputs, create_graph))
    return _result(found, create_graph)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function at ``inputs``; several inputs give a tuple of tuples.

    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    Variable([[ 6.,  0.],
              [ 0., 12.]])
    """
    _refuse_strict("hessian", strict)
    found = _transforms.hessian(func, _which(inputs))(*_arguments("hessian", inputs, create_graph))
    return _result(found, create_graph)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The result of ``func``, and the product of ``v`` with its Jacobian.

    >>> tg.autograd.functional.vjp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0]))[1]
    Variable([ 2., 40.])
    """
    _refuse_strict("vjp", strict)
    value, pull = _transforms.vjp(func, *_arguments("vjp", inputs, create_graph))
    given = _direction("vjp", v, value, "the result")
    found = pull(given[0] if isinstance(value, Variable) else given)
    return _result(value, create_graph), _result(found[0] if isinstance(inputs, Variable) else found, create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The result of ``func``, and the product of its Jacobian with ``v``.

    >>> tg.autograd.functional.jvp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0]))[1]
    Variable([ 2., 40.])
    """
    _refuse_strict("jvp", strict)
    value, found = _transforms.jvp(func, _arguments("jvp", inputs, create_graph), _direction("jvp", v, inputs, "the input"))
    return _result(value, create_graph), _result(found, create_graph)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The result of a scalar function, and the product of its Hessian with ``v``.

    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))[1]
    Variable([ 6., 12.])
    """
    _refuse_strict("hvp", strict)
    arguments = _arguments("hvp", inputs, create_graph)
    found = _transforms.hvp(func, arguments, _direction("hvp", v, inputs, "the input"))
    if not isinstance(inputs, Variable) and len(arguments) == 1:
        found = (found,)
    return _result(func(*arguments), create_graph), _result(found, create_graph)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """As :func:`hvp`: a Hessian is symmetric.

    >>> tg.autograd.functional.vhp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))[1]
    Variable([ 6., 12.])
    """
    return hvp(func, inputs, v, create_graph, strict)
