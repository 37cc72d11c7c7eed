"""``tg.scan``: a loop over the first axis of arrays, whose body is compiled."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from . import _core
from ._compile import Compiled
from ._tree import flatten, leaves, tree_map, unflatten

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["scan"]

#: Steps from which on the body is worth recording.
_LONG = 16
#: The attribute of a function that keeps its compiled form, as long as the function lives.
_KEPT = "_tapegrad_scan_body"


def _body(f: Any, length: int) -> Any:
    """The compiled body, where it pays; the same for the same function."""
    if isinstance(f, Compiled) or _core._is_capturing():
        return f  # unrolled in a recording
    known = getattr(f, _KEPT, None)
    # A copy that functools.wraps made has the attributes of another function.
    if isinstance(known, Compiled) and known._function is f:
        return known
    if length < _LONG:
        return f
    known = Compiled(f)
    if isinstance(f, FunctionType):
        setattr(f, _KEPT, known)
    return known


def _length(xs: Any, length: int | None) -> int:
    sizes = {int(x.shape[0]) if x.ndim else -1 for x in leaves(xs)}
    if length is not None:
        sizes.add(length)
    if len(sizes) != 1 or -1 in sizes:
        raise _core.ShapeError(
            f"scan: the arrays of xs must have one first axis of the same size, and length= must be it; got {sorted(sizes)}"
            if sizes
            else "scan: without xs, pass length="
        )
    return sizes.pop()


def scan(f: Callable[[Any, Any], Any], init: Any, xs: Any = None, length: int | None = None) -> tuple[Any, Any]:
    """Runs ``carry, y = f(carry, x)`` for each ``x`` along the first axis of ``xs``: the last carry, and all ``y`` stacked.

    ``init`` and ``xs`` are Variables or nested containers of some; ``xs=None`` needs ``length``. The carry keeps its shapes and
    dtypes. Gradients flow through it. The body is compiled (see :func:`compile`): from the fourth step on it is replayed without
    Python, also in later calls with the same function.

    Raises ShapeError when the first axes differ, or the carry changes its shape, and TypeError when f does not return a pair.

    >>> tg.scan(lambda total, x: (total + x, total), tg.tensor(0.0), tg.Variable([1.0, 2.0, 3.0]))
    (Variable(6.), Variable([0., 1., 3.]))
    """
    xs = tree_map(_core.asarray, xs)
    n = _length(xs, length)
    found: list[Any] = []
    structure = flatten(xs, found)
    carry = tree_map(_core.asarray, init)
    kept = [(c.shape, c.dtype) for c in leaves(carry)]
    body = _body(f, n)
    outs: list[list[Any]] = []
    form = None
    for i in range(n):
        result = body(carry, unflatten(structure, [x[i] for x in found]))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"scan: the function must return a pair (carry, y), got {type(result).__name__}")
        carry, y = result
        now = [(c.shape, c.dtype) for c in leaves(carry)]
        if now != kept:
            raise _core.ShapeError(f"scan: the carry was {kept} and became {now}; it must keep its shapes and dtypes")
        step: list[Any] = []
        form = flatten(y, step)
        outs.append(step)
    if form is None:
        return carry, None
    return carry, unflatten(form, [_core.stack(list(column)) for column in zip(*outs, strict=True)])
