"""Collective operations on Variables and containers of them, through which gradients flow.

Each rank has a loss of its own, and gradients are those of the sum of all losses: where the loss of one rank depends on a value
of another through a collective, the backward pass of the first sends the cotangent to the second. So every rank must run its
backward pass, and in it come to the same collectives. Tangents of forward mode travel in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._core import DTypeError, GradError, ShapeError, Variable
from .._tree import Structure, flatten, is_inexact, unflatten
from ..autograd import Function
from .group import Group, current_group
from .pack import Layout, texts_of

OPS = ("sum", "mean", "max", "min", "prod")


class ReduceOp:
    """PyTorch's names of the reductions; each is the string that ``op=`` takes, too."""

    SUM = "sum"
    AVG = "mean"
    PRODUCT = "prod"
    MIN = "min"
    MAX = "max"


def _op(name: str, op: Any, values: Sequence[Variable]) -> str:
    op = {"avg": "mean", "product": "prod"}.get(op.lower(), op.lower()) if isinstance(op, str) else op
    if op not in OPS:
        raise ValueError(f"{name}: op must be one of {', '.join(OPS)}, got {op!r}")
    for x in values:
        if op == "mean" and not is_inexact(x.dtype):
            raise DTypeError(
                f"{name}: the mean of {x.dtype.name} is a floating number; convert with astype first, or take the sum"
            )
        if op in ("max", "min") and x.dtype.is_complex:
            raise DTypeError(f"{name}: {x.dtype.name} has no order, so there is no {op}")
    return str(op)


def checked_rank(name: str, what: str, rank: Any, group: Group) -> int:
    if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or not 0 <= rank < group.size:
        raise ValueError(f"{name}: {what} must be a rank from 0 to {group.size - 1}, got {rank!r}")
    return int(rank)


def leaves_of(name: str, tree: Any) -> tuple[list[Variable], Structure]:
    found: list[Any] = []
    structure = flatten(tree, found)
    values = []
    for x in found:
        try:
            values.append(x if isinstance(x, Variable) else _core.asarray(x))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected Variables, arrays or numbers, or containers of them: {error}") from None
    return values, structure


def kind_of(x: Variable) -> str:
    """The kind of derivative that a value takes part in: ranks must agree on it, or one would wait for another."""
    lifted = _core._lifted(x)
    if lifted is not None:
        return str(lifted[0])
    return "tracked" if x.requires_grad and _core.is_grad_enabled() else "plain"


def _describe(name: str, options: str, values: Sequence[Variable]) -> str:
    kinds = [kind_of(x) for x in values]
    tracked = "" if all(k == "plain" for k in kinds) else f" [{', '.join(kinds[:8])}]"
    return f"{name}({options}) of {texts_of(values)}{tracked}"


# ---- without derivatives ----


def is_repeated(values: Sequence[Variable]) -> bool:
    """Whether a forward only fills its context again: in nested transforms the values have passed ``apply`` before."""
    return any(_core._lifted(x) is not None for x in values)


def _run_all_reduce(group: Group, op: str, values: Sequence[Variable], what: str) -> list[Variable]:
    layout = Layout(values)
    sources, outs = layout.pack(values), layout.empty()
    name = "sum" if op == "mean" else op
    group.wait([group.backend.all_reduce(x, y, name) for x, y in zip(sources, outs)], what)
    if op == "mean":
        _divide(outs, group.size)
    return layout.unpack(outs)


def _divide(buffers: Sequence[Any], n: int) -> None:
    for buffer in buffers:
        np.divide(buffer, n, out=buffer)


def _run_all_gather(group: Group, values: Sequence[Variable], what: str) -> list[Variable]:
    layout = Layout(values)
    sources, outs = layout.pack(values), layout.empty(group.size)
    group.wait([group.backend.all_gather(x, y) for x, y in zip(sources, outs)], what)
    return layout.unpack(outs, group.size)


def _run_reduce_scatter(group: Group, op: str, values: Sequence[Variable], what: str) -> list[Variable]:
    layout = Layout(values[: len(values) // group.size])
    sources, outs = layout.pack(values, group.size), layout.empty()
    name = "sum" if op == "mean" else op
    group.wait([group.backend.reduce_scatter(x, y, name) for x, y in zip(sources, outs)], what)
    if op == "mean":
        _divide(outs, group.size)
    return layout.unpack(outs)


def run_broadcast(group: Group, src: int, values: Sequence[Variable], what: str) -> list[Variable]:
    layout = Layout(values)
    buffers = [b.copy() for b in layout.pack(values)] if group.rank == src else layout.empty()
    group.wait([group.backend.broadcast(b, src) for b in buffers], what)
    return layout.unpack(buffers)


# ---- with derivatives ----


def fill_zeros(grads: Sequence[Any], specs: Sequence[Any]) -> list[Variable]:
    """Cotangents or tangents of the floating values, zeros where none is given."""
    pairs = [(g, s) for g, s in zip(grads, specs, strict=True) if is_inexact(s[1])]
    return [_core.zeros(shape, dtype) if g is None else g for g, (shape, dtype) in pairs]


def keep_outputs(ctx: Any, outputs: Sequence[Variable]) -> tuple[Variable, ...]:
    """Keeps outputs that will get a gradient; see :func:`tied_cotangents`."""
    if any(ctx.needs_input_grad):
        ctx.save_for_backward(*(y for y in outputs if is_inexact(y.dtype)))
    return tuple(outputs)


def tied_cotangents(ctx: Any, grads: Sequence[Any], specs: Sequence[Any]) -> list[Variable]:
    """The cotangents of the floating outputs. Where they are recorded, they depend on the outputs, by zeros.

    So a second backward pass that comes to the collective of the cotangents comes to the first collective, too, on every rank,
    also on those whose own loss does not depend on its result a second time.
    """
    filled = fill_zeros(grads, specs)
    if not _core.is_grad_enabled() or not ctx.saved_values:
        return filled
    return [g + _nothing_of(y) for g, y in zip(filled, ctx.saved_values, strict=True)]


def place_back(found: Sequence[Any], specs: Sequence[Any]) -> tuple[Any, ...]:
    """Values of the floating arrays at their positions, None at the positions of the others."""
    rest = iter(found)
    return tuple(next(rest) if is_inexact(dtype) else None for _, dtype in specs)


def specs_of(values: Sequence[Variable]) -> list[tuple[tuple[int, ...], Any]]:
    return [(tuple(x.shape), x.dtype) for x in values]


def _apply(kind: Any, *args: Any) -> list[Any]:
    result = kind.apply(*args)
    return list(result) if isinstance(result, tuple) else [result]


class AllReduce(Function):
    """The sum or the mean over all ranks, which is its own transpose: cotangents are reduced in the same way."""

    @staticmethod
    def forward(ctx: Any, group: Group, op: str, what: str, *values: Variable) -> Any:
        """Reduces all values in one go."""
        ctx.group, ctx.op, ctx.specs = group, op, specs_of(values)
        if is_repeated(values):
            return tuple(values)
        group.agree(what)
        return keep_outputs(ctx, _run_all_reduce(group, op, values, what))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The same reduction of the cotangents."""
        return (None, None, None, *AllReduce._of(ctx, "backward", tied_cotangents(ctx, grads, ctx.specs)))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The same reduction of the tangents."""
        return AllReduce._of(ctx, "tangent", fill_zeros(tangents[3:], ctx.specs))

    @staticmethod
    def _of(ctx: Any, way: str, values: Sequence[Variable]) -> tuple[Any, ...]:
        what = f"{way} of all_reduce({ctx.op}) of {texts_of(values)}"
        return place_back(_apply(AllReduce, ctx.group, ctx.op, what, *values), ctx.specs)

    @staticmethod
    def vmap(info: Any, axes: Any, group: Group, op: str, what: str, *values: Variable) -> Any:
        """Reduces whole batches."""
        return tuple(_apply(AllReduce, group, op, what, *values)), tuple(axes[3:])


class AllGather(Function):
    """The values of all ranks, those of rank 0 first; cotangents are summed and each rank gets those of its own values."""

    @staticmethod
    def forward(ctx: Any, group: Group, what: str, *values: Variable) -> Any:
        """As many times the values as there are ranks."""
        ctx.group, ctx.specs = group, specs_of(values)
        if is_repeated(values):
            return tuple(values) * group.size
        group.agree(what)
        return keep_outputs(ctx, _run_all_gather(group, values, what))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Reduces and scatters the cotangents."""
        values = tied_cotangents(ctx, grads, ctx.specs * ctx.group.size)
        what = f"backward of all_gather of {texts_of(values)}"
        return (None, None, *place_back(_apply(ReduceScatter, ctx.group, "sum", what, *values), ctx.specs))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Gathers the tangents."""
        values = fill_zeros(tangents[2:], ctx.specs)
        found = _apply(AllGather, ctx.group, f"tangent of all_gather of {texts_of(values)}", *values)
        return place_back(found, ctx.specs * ctx.group.size)

    @staticmethod
    def vmap(info: Any, axes: Any, group: Group, what: str, *values: Variable) -> Any:
        """Gathers whole batches."""
        return tuple(_apply(AllGather, group, what, *values)), tuple(axes[2:]) * group.size


class ReduceScatter(Function):
    """The sum or mean of what all ranks have for this rank; the cotangents are gathered."""

    @staticmethod
    def forward(ctx: Any, group: Group, op: str, what: str, *values: Variable) -> Any:
        """``values`` are those for rank 0, those for rank 1, and so on."""
        ctx.group, ctx.op, ctx.specs = group, op, specs_of(values)
        if is_repeated(values):
            return tuple(values[: len(values) // group.size])
        group.agree(what)
        return keep_outputs(ctx, _run_reduce_scatter(group, op, values, what))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gathers the cotangents."""
        own = ctx.specs[: len(grads)]
        values = tied_cotangents(ctx, grads, own)
        found = _apply(AllGather, ctx.group, f"backward of reduce_scatter({ctx.op}) of {texts_of(values)}", *values)
        if ctx.op == "mean":
            found = [g / ctx.group.size for g in found]
        return (None, None, None, *place_back(found, ctx.specs))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The same reduction of the tangents."""
        values = fill_zeros(tangents[3:], ctx.specs)
        what = f"tangent of reduce_scatter({ctx.op}) of {texts_of(values)}"
        found = _apply(ReduceScatter, ctx.group, ctx.op, what, *values)
        return place_back(found, ctx.specs[: len(ctx.specs) // ctx.group.size])

    @staticmethod
    def vmap(info: Any, axes: Any, group: Group, op: str, what: str, *values: Variable) -> Any:
        """Reduces whole batches; values that are not mapped are repeated."""
        full = [x if axis == 0 else _core.stack([x] * info.batch_size) for x, axis in zip(values, axes[3:], strict=True)]
        found = _apply(ReduceScatter, group, op, what, *full)
        return tuple(found), (0,) * len(found)


class Broadcast(Function):
    """The values of one rank on all; its cotangent is the sum of all cotangents, that of the others is zero."""

    @staticmethod
    def forward(ctx: Any, group: Group, src: int, what: str, anchor: Any, *values: Variable) -> Any:
        """``anchor`` is a leaf that makes the result tracked on ranks whose own value is not."""
        ctx.group, ctx.src, ctx.specs, ctx.has_anchor = group, src, specs_of(values), anchor is not None
        if is_repeated(values):
            return tuple(values)
        return keep_outputs(ctx, run_broadcast(group, src, values, what))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Adds up the cotangents."""
        values = tied_cotangents(ctx, grads, ctx.specs)
        what = f"backward of broadcast({ctx.src}) of {texts_of(values)}"
        found = _apply(AllReduce, ctx.group, "sum", what, *values) if values else []
        if ctx.group.rank == ctx.src:
            return (None, None, None, None, *place_back(found, ctx.specs))
        zeros = [_nothing_of(g) for g in found]
        link = zeros[0].sum().astype(_core.float32) if ctx.has_anchor and not zeros[0].dtype.is_complex else None
        return (None, None, None, link, *place_back(zeros, ctx.specs))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Broadcasts the tangents."""
        values = fill_zeros(tangents[4:], ctx.specs)
        what = f"tangent of broadcast({ctx.src}) of {texts_of(values)}"
        ctx.group.agree(what)
        return place_back(_apply(Broadcast, ctx.group, ctx.src, what, None, *values), ctx.specs)

    @staticmethod
    def vmap(info: Any, axes: Any, group: Group, src: int, what: str, anchor: Any, *values: Variable) -> Any:
        """Broadcasts whole batches; values that are not mapped are repeated."""
        full = [x if axis == 0 else _core.stack([x] * info.batch_size) for x, axis in zip(values, axes[4:], strict=True)]
        return tuple(_apply(Broadcast, group, src, what, anchor, *full)), (0,) * len(full)


def _nothing_of(g: Variable) -> Variable:
    """Zeros that depend on ``g`` where it is tracked, so that a second backward pass reaches its collective on this rank, too."""
    if not (g.requires_grad and _core.is_grad_enabled()):
        return _core.zeros_like(g)
    return _core.where(_core.zeros(g.shape, dtype=_core.bool), g, _core.zeros_like(g))


# ---- what users call ----


def all_reduce(x: Any, op: str = "sum") -> Any:
    """The reduction of ``x`` over all ranks, on every rank: a new value; ``x`` stays as it is.

    ``x`` is a Variable, an array, a number, or nested dicts, lists and tuples of them, with the same shapes and dtypes on all
    ranks. ``op`` is "sum", "mean", "max", "min" or "prod"; of bools, "sum" means any and "prod" means all. Gradients flow, to any
    order; ties of max and min share them equally. :func:`all_reduce_` works in place, as PyTorch's function of this name.

    Raises:
        MismatchError: the ranks disagree about the operation, shapes, dtypes, or whether gradients are recorded.
        DistributedTimeoutError: a rank did not come within the time limit.

    >>> def job():
    ...     rank = tg.distributed.get_rank()
    ...     w = tg.Variable([1.0, 2.0], requires_grad=True)
    ...     (tg.distributed.all_reduce(w * rank) ** 2).sum().backward()
    ...     return w.grad.tolist()
    >>> tg.distributed.run_local(job, 2)
    [[0.0, 0.0], [4.0, 8.0]]
    """
    group = current_group("all_reduce")
    values, structure = leaves_of("all_reduce", x)
    op = _op("all_reduce", op, values)
    what = _describe("all_reduce", op, values)
    if not values:
        group.agree(what)
        return x
    if op in ("sum", "mean") or all(kind_of(v) == "plain" for v in values):
        return unflatten(structure, _apply(AllReduce, group, op, what, *values))
    found = _apply(AllGather, group, what, *values)
    count = len(values)
    reduce = {"max": _core.max, "min": _core.min, "prod": _core.prod}[op]
    return unflatten(structure, [reduce(_core.stack(found[i::count]), axis=0) for i in range(count)])


def all_reduce_(x: Variable, op: str = "sum") -> Variable:
    """Sets ``x`` to its reduction over all ranks, in place, and returns it: PyTorch's ``all_reduce``.

    >>> def job():
    ...     x = tg.ones(2)
    ...     tg.distributed.all_reduce_(x)
    ...     return x.tolist()
    >>> tg.distributed.run_local(job, 2)
    [[2.0, 2.0], [2.0, 2.0]]
    """
    x.copy_(all_reduce(x, op))
    return x


def all_gather(x: Any) -> list[Any]:
    """A list with the ``x`` of every rank, in the order of ranks; shapes and dtypes are the same on all ranks.

    Gradients flow: each rank gets the sum of the cotangents of its own value.

    >>> tg.distributed.run_local(lambda: tg.distributed.all_gather(tg.full((), tg.distributed.get_rank())), 2)[0]
    [Variable(0), Variable(1)]
    """
    group = current_group("all_gather")
    values, structure = leaves_of("all_gather", x)
    what = _describe("all_gather", "", values)
    if not values:
        group.agree(what)
        return [x] * group.size
    found = _apply(AllGather, group, what, *values)
    count = len(values)
    return [unflatten(structure, found[r * count : (r + 1) * count]) for r in range(group.size)]


def reduce_scatter(x: Any, op: str = "sum") -> Any:
    """This rank's piece of a reduction over all ranks.

    ``x`` is a list with a piece for each rank, or one array whose first axis is divided into equal pieces. Gradients flow.

    >>> tg.distributed.run_local(lambda: tg.distributed.reduce_scatter(tg.arange(4)).tolist(), 2)
    [[0, 2], [4, 6]]
    """
    group = current_group("reduce_scatter")
    pieces = _pieces(x, group.size)
    parts = [leaves_of("reduce_scatter", piece) for piece in pieces]
    values = [v for found, _ in parts for v in found]
    if any(structure != parts[0][1] or specs_of(found) != specs_of(parts[0][0]) for found, structure in parts):
        raise ShapeError("reduce_scatter: the pieces must have the same structure, shapes and dtypes")
    op = _op("reduce_scatter", op, values)
    what = _describe("reduce_scatter", op, values)
    if not values:
        group.agree(what)
        return pieces[group.rank]
    if op in ("sum", "mean") or all(kind_of(v) == "plain" for v in values):
        return unflatten(parts[0][1], _apply(ReduceScatter, group, op, what, *values))
    return all_reduce(list(pieces), op)[group.rank]


def _pieces(x: Any, size: int) -> Sequence[Any]:
    if isinstance(x, (list, tuple)):
        if len(x) != size:
            raise ValueError(f"reduce_scatter: a list must have a piece for each of {size} ranks, got {len(x)}")
        return x
    whole = _core.asarray(x)
    if not whole.ndim or whole.shape[0] % size:
        raise ShapeError(f"reduce_scatter: the first axis of shape {whole.shape} cannot be divided into {size} equal pieces")
    n = whole.shape[0] // size
    return [whole[r * n : (r + 1) * n] for r in range(size)]


_CODES = ("plain", "tracked", "dual", "batched")


def broadcast(x: Any, src: int = 0) -> Any:
    """The ``x`` of rank ``src``, on every rank: a new value. The others pass an ``x`` of the same structure, shapes and dtypes.

    Gradients flow back to rank ``src``. :func:`broadcast_` works in place, as PyTorch's function of this name.

    >>> tg.distributed.run_local(lambda: tg.distributed.broadcast(tg.full((), tg.distributed.get_rank()), src=1), 2)
    [Variable(1), Variable(1)]
    """
    group = current_group("broadcast")
    src = checked_rank("broadcast", "src", src, group)
    values, structure = leaves_of("broadcast", x)
    what = f"broadcast({src}) of {texts_of(values)}"
    group.agree(what)
    if not values:
        return x
    code = np.array([max(_CODES.index(kind_of(v)) for v in values)], np.int8)
    group.wait([group.backend.broadcast(code, src)], what)
    kind = _CODES[int(code[0])]
    if kind == "plain":
        return unflatten(structure, run_broadcast(group, src, [_bare(v) for v in values], what))
    if group.rank != src and kind == "tracked" and not _core.is_grad_enabled():
        raise GradError(f"broadcast: rank {src} records gradients, this rank does not: call it under enable_grad on all ranks")
    if kind in ("dual", "batched") and all(_core._lifted(v) is None for v in values):
        raise GradError(f"broadcast: rank {src} passes a value of a jvp or vmap, this rank must pass one of the same transform")
    anchor = _core.zeros(()).requires_grad_(True) if group.rank != src and kind == "tracked" else None
    return unflatten(structure, _apply(Broadcast, group, src, what, anchor, *values))


def _bare(x: Variable) -> Variable:
    """The value, or zeros of its shape for one that is inside a transform."""
    return x.detach() if _core._lifted(x) is None else _core.zeros(tuple(x.shape), x.dtype)


def broadcast_(x: Variable, src: int = 0) -> Variable:
    """Sets ``x`` to that of rank ``src``, in place, and returns it: PyTorch's ``broadcast``.

    >>> def job():
    ...     x = tg.full((2,), tg.distributed.get_rank())
    ...     tg.distributed.broadcast_(x, src=1)
    ...     return x.tolist()
    >>> tg.distributed.run_local(job, 2)
    [[1, 1], [1, 1]]
    """
    x.copy_(broadcast(x, src))
    return x


def barrier(timeout: float | None = None) -> None:
    """Waits until all ranks have come here; ``timeout`` is in seconds, that of the group if None.

    >>> tg.distributed.run_local(tg.distributed.barrier, 2)
    [None, None]
    """
    group = current_group("barrier")
    before = group.timeout
    try:
        group.timeout = before if timeout is None else float(timeout)
        group.agree("barrier()")
    finally:
        group.timeout = before


__all__ = [
    "AllGather",
    "AllReduce",
    "Broadcast",
    "ReduceOp",
    "ReduceScatter",
    "all_gather",
    "all_reduce",
    "all_reduce_",
    "barrier",
    "broadcast",
    "broadcast_",
    "reduce_scatter",
]
