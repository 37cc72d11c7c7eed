"""Sequences of different lengths: padded to one length, or packed without padding."""

from __future__ import annotations

from ... import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..._core import Variable


class PackedSequence(tuple["Variable", "Variable", "Variable | None", "Variable | None"]):
    """Sequences without padding: the first steps of all, then the second ones, and so on.

    ``batch_sizes`` says how many sequences have each step; they stand in the order of their lengths, the longest first.
    ``sorted_indices`` is that order, ``unsorted_indices`` the way back. Made by :func:`pack_padded_sequence`.

    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1.0, 3.0, 2.0], [2, 1])
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:
        """A packed sequence of these parts."""
        if batch_sizes is None:
            raise ValueError("PackedSequence: batch_sizes is missing; pack_padded_sequence makes a PackedSequence")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, (data, _core.asarray(batch_sizes), sorted_indices, unsorted_indices))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    @property
    def data(self) -> Variable:
        """The values."""
        return self[0]

    @property
    def batch_sizes(self) -> Variable:
        """How many sequences have each step."""
        return self[1]

    @property
    def sorted_indices(self) -> Variable | None:
        """The order of the sequences, by length."""
        return self[2]

    @property
    def unsorted_indices(self) -> Variable | None:
        """The way back from that order."""
        return self[3]

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with values of another dtype."""
        from ..device import parse_to

        dtype = parse_to("PackedSequence.to", args, kwargs)
        return self if dtype is None else PackedSequence(self.data.astype(dtype), *self[1:])

    def cpu(self) -> PackedSequence:
        """The same: the one device is the CPU."""
        return self

    def __repr__(self) -> str:
        return (
            f"PackedSequence(data={self[0]!r}, batch_sizes={self[1]!r}, sorted_indices={self[2]!r}, unsorted_indices={self[3]!r})"
        )


def invert_permutation(permutation: Variable | None) -> Variable | None:
    """The permutation that undoes this one.

    >>> tg.nn.utils.rnn.invert_permutation(tg.Variable([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    order = permutation.tolist()
    back = [0] * len(order)
    for place, i in enumerate(order):
        back[i] = place
    return _core.asarray(back, dtype=_core.int64)


def pack_padded_sequence(input: Variable, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Packs padded sequences (steps, batch, …), or (batch, steps, …) with ``batch_first``, of these lengths.

    Sequences must come with the longest first, unless ``enforce_sorted=False``.

    >>> x = tg.Variable([[1.0, 2.0], [3.0, 0.0]])
    >>> tg.nn.utils.rnn.pack_padded_sequence(x, [2, 1], batch_first=True).data.tolist()
    [1.0, 3.0, 2.0]
    """
    sizes = [int(n) for n in (lengths.tolist() if hasattr(lengths, "tolist") else lengths)]
    x = _core.asarray(input)
    if x.ndim < 2:
        raise _core.ShapeError(f"pack_padded_sequence: the input needs at least 2 dimensions, not shape {x.shape}")
    if batch_first:
        x = _core.swapaxes(x, 0, 1)
    if len(sizes) != x.shape[1]:
        raise ValueError(f"pack_padded_sequence: {len(sizes)} lengths for a batch of {x.shape[1]}")
    if not sizes or min(sizes) <= 0 or max(sizes) > x.shape[0]:
        raise ValueError(f"pack_padded_sequence: lengths must lie between 1 and {x.shape[0]}, not be {sizes}")
    order = None
    if enforce_sorted:
        if sorted(sizes, reverse=True) != sizes:
            raise ValueError("pack_padded_sequence: lengths must not grow; pass enforce_sorted=False for any order")
    else:
        places = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        sizes = [sizes[i] for i in places]
        order = _core.asarray(places, dtype=_core.int64)
        x = _core.take(x, order, 1)
    counts = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = _core.concat([x[t, :count] for t, count in enumerate(counts)], axis=0)
    return PackedSequence(data, _core.asarray(counts, dtype=_core.int64), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Variable, Variable]:
    """The padded sequences and their lengths, in the order that they had before packing.

    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])
    >>> padded, lengths = tg.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1.0, 2.0], [3.0, 0.0]], [2, 1])
    """
    data, back = sequence.data, sequence.unsorted_indices
    counts = [int(n) for n in sequence.batch_sizes.tolist()]
    steps = len(counts) if total_length is None else total_length
    if steps < len(counts):
        raise ValueError(f"pad_packed_sequence: total_length {steps} is less than the longest sequence, {len(counts)}")
    rows, start = [], 0
    for count in counts:
        part = data[start : start + count]
        start += count
        missing = counts[0] - count
        rows.append(_core.concat([part, _filled(missing, data, padding_value)], axis=0) if missing else part)
    rows += [_filled(counts[0], data, padding_value)] * (steps - len(counts))
    padded = _core.stack(rows)
    lengths = _core.asarray([sum(i < n for n in counts) for i in range(counts[0])], dtype=_core.int64)
    if back is not None:
        padded, lengths = _core.take(padded, back, 1), _core.take(lengths, back, 0)
    return (_core.swapaxes(padded, 0, 1) if batch_first else padded), lengths


def _filled(count: int, like: Variable, value: float) -> Variable:
    return _core.full((count, *like.shape[1:]), value, dtype=like.dtype)


def pad_sequence(
    sequences: Sequence[Variable], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Variable:
    """Sequences (steps, …) of different lengths as one array (steps, batch, …), or (batch, steps, …) with ``batch_first``.

    >>> tg.nn.utils.rnn.pad_sequence([tg.Variable([1.0, 2.0]), tg.Variable([3.0])], batch_first=True).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side is {padding_side!r}, expected 'right' or 'left'")
    parts = [_core.asarray(s) for s in sequences]
    if not parts:
        raise ValueError("pad_sequence: there are no sequences")
    longest, end = max(p.shape[0] for p in parts), parts[0].shape[1:]
    out = []
    for p in parts:
        if p.shape[1:] != end:
            raise _core.ShapeError(f"pad_sequence: sequences may differ in axis 0 alone, not {p.shape} and {parts[0].shape}")
        missing = _filled(longest - p.shape[0], p, padding_value)
        pair = [p, missing] if padding_side == "right" else [missing, p]
        out.append(_core.concat(pair, axis=0) if missing.shape[0] else p)
    return _core.stack(out, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: Variable, lengths: Any, batch_first: bool = False) -> list[Variable]:
    """The sequences of a padded array, each with its own length.

    >>> [s.tolist() for s in tg.nn.utils.rnn.unpad_sequence(tg.Variable([[1.0, 3.0], [2.0, 0.0]]), [2, 1])]
    [[1.0, 2.0], [3.0]]
    """
    sizes = lengths.tolist() if hasattr(lengths, "tolist") else list(lengths)
    x = padded_sequences if batch_first else _core.swapaxes(padded_sequences, 0, 1)
    return [x[i, : int(n)] for i, n in enumerate(sizes)]


def pack_sequence(sequences: Iterable[Variable], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (steps, …) of different lengths.

    >>> tg.nn.utils.rnn.pack_sequence([tg.Variable([1.0, 2.0]), tg.Variable([3.0])]).batch_sizes.tolist()
    [2, 1]
    """
    parts = [_core.asarray(s) for s in sequences]
    return pack_padded_sequence(pad_sequence(parts), [p.shape[0] for p in parts], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Variable]:
    """The sequences of a packed one.

    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.Variable([1.0, 2.0]), tg.Variable([3.0])])
    >>> [s.tolist() for s in tg.nn.utils.rnn.unpack_sequence(packed)]
    [[1.0, 2.0], [3.0]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
