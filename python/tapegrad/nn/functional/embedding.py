"""Rows of a table, one for each index."""

from __future__ import annotations

from ... import _core
from ...autograd import no_grad
from .. import _functional as table
from ..rows import TableParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable


def one_hot(tensor: Variable, num_classes: int = -1) -> Variable:
    """Vectors of zeros with a 1 at each index; there are as many classes as the largest index needs unless given.

    >>> tg.nn.functional.one_hot(tg.Variable([0, 2]), 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    return _core.one_hot(_core.asarray(tensor), num_classes)


def embedding(
    input: Variable,
    weight: Variable,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Variable:
    """The rows of ``weight`` at the indices ``input``; a last axis is added.

    The row ``padding_idx`` gets no gradient. With ``max_norm`` the rows that are looked up are first shortened to that
    ``norm_type``-norm, in place. With ``scale_grad_by_freq`` the gradient of a row is divided by how often it is looked
    up. ``sparse`` makes the gradient of the weight of an ``nn.Embedding(sparse=True)`` one by rows; others stay dense.

    >>> tg.nn.functional.embedding(tg.Variable([1, 0]), tg.Variable([[1.0], [2.0]])).tolist()
    [[2.0], [1.0]]
    """
    plain = not (scale_grad_by_freq or max_norm is not None or _core._is_mapping())
    # In a recorded program the operation itself checks its indices in each call.
    indices = checked_indices("embedding", input, weight, read=not (plain and _core._is_capturing()))
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
        padding_idx %= rows
    if max_norm is not None:
        shorten(weight, indices, max_norm, norm_type)
    if sparse and isinstance(weight, TableParameter) and by_rows(weight, scale_grad_by_freq):
        return weight.look_up(indices, padding_idx)
    if plain:
        return table._embedding(indices, weight, padding_idx)
    found = _core.take(weight, indices, 0)
    if scale_grad_by_freq and weight.requires_grad and indices.size:
        share = (1.0 / count(indices, rows, weight.dtype))[indices]
        share = _core.expand_dims(share, -1)
        found = found * share + found.detach() * (1.0 - share)
    if padding_idx is not None and weight.requires_grad:
        mask = _core.expand_dims(indices == padding_idx, -1)
        found = _core.where(mask, weight.detach()[padding_idx], found)
    return found


def by_rows(weight: Variable, scale_grad_by_freq: bool) -> bool:
    """Whether a lookup may leave the tape, for a gradient by rows."""
    return weight.requires_grad and _core.is_grad_enabled() and not (scale_grad_by_freq or _core._is_mapping())


def checked_indices(name: str, input: Variable, weight: Variable, read: bool = True) -> Variable:
    """``input`` as an array of indices of rows of ``weight``; ``read`` tells whether to look for negative ones."""
    indices = _core.asarray(input)
    if indices.dtype.is_floating_point or str(indices.dtype) == "bool":
        raise _core.DTypeError(f"{name}: indices must be integers, not {indices.dtype}")
    if weight.ndim != 2:
        raise _core.ShapeError(f"{name}: weight must have 2 dimensions (rows, features), not shape {weight.shape}")
    if read and indices.size:
        low = int(_core.min(_core._innermost(indices)).item())
        if low < 0:
            raise IndexError(f"{name}: index {low} is negative; indices count from 0 to {weight.shape[0] - 1}")
    return indices


def count(indices: Variable, rows: int, dtype: _core.DType) -> Variable:
    """How often each row is looked up."""
    flat = _core.reshape(indices, (-1,))
    return _core.index_add(_core.zeros((rows,), dtype=dtype), 0, flat, _core.ones(flat.shape, dtype=dtype))


def shorten(weight: Variable, indices: Variable, max_norm: float, norm_type: float) -> None:
    """Makes the rows at ``indices`` no longer than ``max_norm``, in place and off the tape."""
    with no_grad():
        used = count(indices, weight.shape[0], weight.dtype) > 0.0
        size = _core.norm(weight.detach(), norm_type, axis=1)
        factor = _core.where(_core.logical_and(used, size > max_norm), max_norm / (size + 1e-7), 1.0)
        weight.copy_(weight * _core.expand_dims(factor, 1))


def embedding_bag(
    input: Variable,
    weight: Variable,
    offsets: Variable | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Variable | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Variable:
    """The sum, mean or largest values of the rows of each bag of indices.

    An ``input`` of two dimensions holds a bag in each row; one of one dimension holds bags that begin at ``offsets``. A bag
    without indices gives zeros, and ``padding_idx`` counts as no index. Other options are those of :func:`embedding`.

    >>> table = tg.Variable([[1.0], [2.0], [4.0]])
    >>> tg.nn.functional.embedding_bag(tg.Variable([0, 1, 2]), table, tg.Variable([0, 2]), mode="sum").tolist()
    [[3.0], [4.0]]
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode is {mode!r}, expected 'sum', 'mean' or 'max'")
    if per_sample_weights is not None and mode != "sum":
        raise ValueError(f"embedding_bag: per_sample_weights needs mode 'sum', not {mode!r}")
    indices, starts = _bags(input, offsets, include_last_offset, mode)
    if per_sample_weights is not None:
        given = _core.asarray(per_sample_weights)
        if given.shape != _core.asarray(input).shape:
            raise _core.ShapeError(
                f"embedding_bag: per_sample_weights {given.shape} must have the shape {_core.asarray(input).shape} of the input"
            )
        per_sample_weights = _core.reshape(given, (-1,))
    rows = embedding(indices, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    bags, size = len(starts), indices.shape[0]
    keep = None if padding_idx is None else indices != padding_idx % weight.shape[0]
    if mode == "max":
        ends = [*starts[1:], size]
        return _largest(rows, list(zip(starts, ends)), keep)
    if per_sample_weights is not None:
        rows = rows * _core.expand_dims(per_sample_weights, 1)
    if keep is not None:
        rows = _core.where(_core.expand_dims(keep, 1), rows, 0.0)
    bag = _core.searchsorted(_core.asarray(starts, dtype=_core.int64), _core.arange(size), side="right") - 1
    total = _core.index_add(_core.zeros((bags, weight.shape[1]), dtype=rows.dtype), 0, bag, rows)
    if mode == "sum":
        return total
    ones = _core.ones((size,), dtype=rows.dtype) if keep is None else keep.astype(rows.dtype)
    counts = _core.index_add(_core.zeros((bags,), dtype=rows.dtype), 0, bag, ones)
    return total / _core.expand_dims(_core.maximum(counts, 1.0), 1)


def _bags(input: Variable, offsets: Variable | None, include_last_offset: bool, mode: str) -> tuple[Variable, Any]:
    """The indices of all bags one after the other, and where each begins: an array if a program will compute it in each call."""
    indices = _core.asarray(input)
    if indices.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: an input of 2 dimensions holds a bag in each row and takes no offsets")
        return _core.reshape(indices, (indices.size,)), [i * indices.shape[1] for i in range(indices.shape[0])]
    if indices.ndim != 1 or offsets is None:
        raise ValueError(f"embedding_bag: takes an input of 2 dimensions, or of 1 with offsets; its shape is {indices.shape}")
    if _core._is_capturing() and mode != "max" and len(offsets) > 1:
        return indices, _checked_offsets(_core.asarray(offsets).astype(_core.int64), indices.shape[0], include_last_offset)
    starts = [int(i) for i in _core.asarray(offsets).tolist()]
    if include_last_offset and (not starts or starts.pop() != indices.shape[0]):
        raise ValueError(f"embedding_bag: the last offset must be the number of indices, {indices.shape[0]}")
    if starts and (starts[0] != 0 or sorted(starts) != starts or starts[-1] > indices.shape[0]):
        raise ValueError(f"embedding_bag: offsets must begin with 0 and grow to at most {indices.shape[0]}, not be {starts}")
    return indices, starts


def _checked_offsets(offsets: Variable, size: int, include_last_offset: bool) -> Variable:
    """The offsets, which each run of a program checks."""
    if include_last_offset:
        last = offsets[-1:]
        _core._require_all(last == size, last, f"embedding_bag: the last offset must be the number of indices, {size}, not {{}}")
        offsets = offsets[:-1]
    before = _core.concatenate([_core.asarray([0], dtype=_core.int64), offsets[:-1]])
    is_first = _core.arange(offsets.shape[0]) == 0
    ok = (offsets >= before) & (offsets <= size) & (~is_first | (offsets == 0))
    _core._require_all(ok, offsets, f"embedding_bag: offsets must begin with 0 and grow to at most {size}; one is {{}}")
    return offsets


def _largest(rows: Variable, spans: list[tuple[int, int]], keep: Variable | None) -> Variable:
    """The largest value of each feature in each bag."""
    out = []
    for a, b in spans:
        part = rows[a:b]
        if keep is not None:
            chosen = [i for i, kept in enumerate(keep[a:b].tolist()) if kept]
            part = _core.take(part, _core.asarray(chosen, dtype=_core.int64), 0)
        out.append(_core.max(part, axis=0) if part.shape[0] else _core.zeros(rows.shape[1:], dtype=rows.dtype))
    return _core.stack(out) if out else _core.zeros((0, *rows.shape[1:]), dtype=rows.dtype)


__all__ = ["embedding", "embedding_bag", "one_hot"]
