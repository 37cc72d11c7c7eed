"""Control flow under JAX's names, for programs that were written with ``jax.lax``: loops, choices, scans.

Python's own ``for``, ``while`` and ``if`` do the same here, as what runs is recorded.

>>> tg.lax.fori_loop(0, 3, lambda i, total: total + i, tg.Variable(1.0))
Variable(4.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._core import ShapeError, Variable
from ._habits import axis_of
from ._scan import scan
from ._transforms import stop_gradient
from ._tree import flatten, leaves, tree_map, unflatten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "associative_scan",
    "cond",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "fori_loop",
    "map",
    "scan",
    "select",
    "stop_gradient",
    "switch",
    "while_loop",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


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
    sizes = {x.shape[axis_of("associative_scan", axis, x.ndim)] for x in leaves(elems)}
    if len(sizes) != 1:
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


def _places(name: str, shape: tuple[int, ...], starts: Any, sizes: Sequence[int]) -> list[Variable]:
    """The places along each axis; a start that is negative counts from the end, and one that is too large is moved back."""
    starts = [starts[k] for k in range(len(shape))] if isinstance(starts, Variable) else list(starts)
    if len(starts) != len(shape) or len(sizes) != len(shape):
        raise ShapeError(
            f"{name}: an array of shape {shape} needs {len(shape)} starts and sizes, got {len(starts)} and {len(sizes)}"
        )
    places = []
    for n, start, size in zip(shape, starts, sizes, strict=True):
        if not 0 <= size <= n:
            raise ShapeError(f"{name}: a part of {size} elements does not fit an axis of {n} in shape {shape}")
        at = _core.asarray(start)
        if at.ndim or at.dtype.kind not in "iu":
            raise TypeError(f"{name}: a start must be one whole number, got {at.dtype} of shape {at.shape}")
        at = at.astype(_core.int64)
        places.append(_core.clip(_core.where(at < 0, at + n, at), 0, n - size) + _core.arange(size))
    return places


def dynamic_slice(operand: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Variable:
    """The part of ``slice_sizes`` elements from ``start_indices`` on, which may be results.

    Starts below zero count from the end, and those that are too large are moved back, as in JAX.

    >>> tg.lax.dynamic_slice(tg.arange(5), (tg.Variable(2),), (2,))
    Variable([2, 3])
    """
    out = _core.asarray(operand)
    for axis, at in enumerate(_places("dynamic_slice", out.shape, start_indices, slice_sizes)):
        out = _core.take(out, at, axis=axis)
    return out


def dynamic_update_slice(operand: Any, update: Any, start_indices: Any) -> Variable:
    """A copy whose part from ``start_indices`` on is ``update``; too large starts are moved back, as in JAX.

    >>> tg.lax.dynamic_update_slice(tg.zeros(4), tg.ones(2), (1,))
    Variable([0., 1., 1., 0.])
    """
    x = _core.asarray(operand)
    part = _core.asarray(update).astype(x.dtype)
    if part.ndim != x.ndim:
        raise ShapeError(
            f"dynamic_update_slice: an update of shape {part.shape} for an array of shape {x.shape}, expected as many axes"
        )
    places = _places("dynamic_update_slice", x.shape, start_indices, part.shape)
    out = x.clone()
    out[tuple(at.reshape((-1,) + (1,) * (x.ndim - 1 - k)) for k, at in enumerate(places))] = part
    return out


def _along(name: str, x: Variable, start: Any, axis: int) -> tuple[list[Any], int]:
    axis = axis_of(name, axis, x.ndim)
    starts: list[Any] = [0] * x.ndim
    starts[axis] = start
    return starts, axis


def dynamic_slice_in_dim(operand: Any, start_index: Any, slice_size: int, axis: int = 0) -> Variable:
    """`dynamic_slice` along one axis.

    >>> tg.lax.dynamic_slice_in_dim(tg.arange(5), 3, 2)
    Variable([3, 4])
    """
    x = _core.asarray(operand)
    starts, axis = _along("dynamic_slice_in_dim", x, start_index, axis)
    return dynamic_slice(x, starts, [slice_size if k == axis else n for k, n in enumerate(x.shape)])


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Variable:
    """One place along an axis, which stays with size 1 unless ``keepdims`` is off.

    >>> tg.lax.dynamic_index_in_dim(tg.arange(5), tg.Variable(3), keepdims=False)
    Variable(3)
    """
    out = dynamic_slice_in_dim(operand, index, 1, axis)
    return out if keepdims else _core.squeeze(out, axis)


def dynamic_update_slice_in_dim(operand: Any, update: Any, start_index: Any, axis: int) -> Variable:
    """`dynamic_update_slice` along one axis.

    >>> tg.lax.dynamic_update_slice_in_dim(tg.zeros(3), tg.ones(1), 2, axis=0)
    Variable([0., 0., 1.])
    """
    x = _core.asarray(operand)
    return dynamic_update_slice(x, update, _along("dynamic_update_slice_in_dim", x, start_index, axis)[0])


def dynamic_update_index_in_dim(operand: Any, update: Any, index: Any, axis: int) -> Variable:
    """A copy with ``update``, with or without that axis, at one place along an axis.

    >>> tg.lax.dynamic_update_index_in_dim(tg.zeros(3), 5.0, 1, axis=0)
    Variable([0., 5., 0.])
    """
    x, part = _core.asarray(operand), _core.asarray(update)
    starts, axis = _along("dynamic_update_index_in_dim", x, index, axis)
    return dynamic_update_slice(x, _core.expand_dims(part, axis) if part.ndim == x.ndim - 1 else part, starts)
