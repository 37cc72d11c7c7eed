"""Control flow under JAX's names, for programs that were written with ``jax.lax``: loops, choices, scans.

Python's own ``for``, ``while`` and ``if`` do the same here, as what runs is recorded.

>>> tg.lax.fori_loop(0, 3, lambda i, total: total + i, tg.Variable(1.0))
Variable(4.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._core import ShapeError, Variable
from ._scan import scan
from ._transforms import stop_gradient
from ._tree import flatten, leaves, tree_map, unflatten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["associative_scan", "cond", "fori_loop", "map", "scan", "select", "stop_gradient", "switch", "while_loop"]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[int, Any], Any], init_val: Any, *, unroll: Any = None) -> Any:
    """``value = body_fun(i, value)`` for i from ``lower`` up to ``upper``: the last value. ``unroll`` is accepted for JAX's sake.

    >>> tg.grad(lambda x: tg.lax.fori_loop(0, 3, lambda i, y: y * x, 1.0))(2.0)
    Variable(12.)
    """
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """``value = body_fun(value)`` while ``cond_fun(value)`` holds: the last value. Reverse mode works, too.

    Inside of :func:`vmap` the loop goes on until the last sample is done; those that are done keep their values.

    >>> tg.lax.while_loop(lambda x: x < 10.0, lambda x: x * 3.0, tg.Variable(1.0))
    Variable(27.)
    """
    value = init_val
    while True:
        more = cond_fun(value)
        if not _is_mapped(more):
            if not bool(more):
                return value
            value = body_fun(value)
        elif not bool(_core.any(_core._innermost(more))):
            return value
        else:
            value = _both("while_loop", _core.where(more, 1, 0), [value, body_fun(value)])


def _both(name: str, pred: Any, results: list[Any]) -> Any:
    """By an index that differs between the samples of vmap: all branches, of which each sample has its own."""
    found: list[list[Any]] = []
    structures = []
    for result in results:
        values: list[Any] = []
        structures.append(flatten(result, values))
        found.append(values)
    if len({len(values) for values in found}) > 1:
        raise ShapeError(
            f"{name}: the branches return containers of {[len(values) for values in found]} arrays, "
            "they must return the same containers"
        )
    chosen = []
    for parts in zip(*found, strict=True):
        value = parts[-1]
        for i in range(len(parts) - 2, -1, -1):
            value = _core.where(pred == i, parts[i], value)
        chosen.append(value)
    return unflatten(structures[0], chosen)


def _is_mapped(x: Any) -> bool:
    return isinstance(x, Variable) and (_core._lifted(x) or ("", 0))[0] == "batched"


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """``true_fun(*operands)`` if ``pred`` holds, else ``false_fun(*operands)``.

    Where ``pred`` differs between the samples of :func:`vmap`, both run, and each sample gets its own result.

    >>> tg.vmap(lambda x: tg.lax.cond(x > 0, lambda x: x, lambda x: -2.0 * x, x))(tg.Variable([-1.0, 3.0]))
    Variable([2., 3.])
    """
    return switch(_core.where(pred, 1, 0) if isinstance(pred, Variable) else int(bool(pred)), [false_fun, true_fun], *operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """The result of the branch of a number; a number beyond the branches means the nearest one.

    >>> tg.lax.switch(1, [lambda x: x, lambda x: x * x], tg.Variable(3.0))
    Variable(9.)
    """
    if not branches:
        raise ValueError("switch: there are no branches")
    if _is_mapped(index):
        index = _core.clip(index, 0, len(branches) - 1)
        return _both("switch", index, [f(*operands) for f in branches])
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """The results of ``f`` for each entry along the first axis of ``xs``, stacked, by a loop. See :func:`vmap` for all at once.

    >>> tg.lax.map(lambda x: x * x, tg.Variable([1.0, 2.0]))
    Variable([1., 4.])
    """
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


def select(pred: Any, on_true: Any, on_false: Any) -> Variable:
    """Elements of ``on_true`` where ``pred`` holds, else of ``on_false``: see :func:`where`.

    >>> tg.lax.select(tg.Variable([True, False]), tg.Variable([1.0, 2.0]), tg.Variable([3.0, 4.0]))
    Variable([1., 4.])
    """
    return _core.where(pred, on_true, on_false)


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The running results of an associative function along an axis, by a number of calls that grows with log n.

    ``fn`` gets two containers like ``elems`` with many entries along the axis, and combines them entry by entry.

    >>> tg.lax.associative_scan(lambda a, b: a * b, tg.Variable([1.0, 2.0, 3.0, 4.0]))
    Variable([ 1.,  2.,  6., 24.])
    """
    elems = tree_map(_core.asarray, elems)
    sizes = {x.shape[axis] if x.ndim else -1 for x in leaves(elems)}
    if len(sizes) != 1 or -1 in sizes:
        raise ShapeError(f"associative_scan: the arrays have {sorted(sizes)} entries along axis {axis}, expected one size")
    front = tree_map(lambda x: _core.moveaxis(x, axis, 0), elems)
    if reverse:
        front = tree_map(lambda x: _core.flip(x, axis=0), front)
    out = _running(fn, front, sizes.pop())
    if reverse:
        out = tree_map(lambda x: _core.flip(x, axis=0), out)
    return tree_map(lambda x: _core.moveaxis(x, 0, axis), out)


def _part(tree: Any, start: int, stop: int, step: int = 1) -> Any:
    return tree_map(lambda x: x[start:stop:step], tree)


def _running(fn: Callable[[Any, Any], Any], elems: Any, n: int) -> Any:
    """Pairs are combined, their running results found in turn, and the entries between them filled in."""
    if n < 2:
        return elems
    pairs = fn(_part(elems, 0, n - 1, 2), _part(elems, 1, n, 2))
    odd = _running(fn, pairs, n // 2)
    even = fn(_part(odd, 0, (n - 1) // 2), _part(elems, 2, n, 2)) if n > 2 else _part(elems, 0, 0)
    found: list[Any] = []
    structure = flatten(elems, found)
    first, others, between = leaves(_part(elems, 0, 1)), leaves(odd), leaves(even)
    out = []
    for x, y, z in zip(first, others, between, strict=True):
        evens = _core.concat([x, z], axis=0)
        woven = _core.stack([evens[: n // 2], y], axis=1)
        woven = _core.reshape(woven, (2 * (n // 2), *y.shape[1:]))
        out.append(_core.concat([woven, evens[n // 2 :]], axis=0) if n % 2 else woven)
    return unflatten(structure, out)
