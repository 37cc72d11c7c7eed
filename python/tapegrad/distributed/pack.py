"""Variables as flat buffers, one for each dtype, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._core import Variable
from .backend import Buffer


def text_of(x: Any) -> str:
    """Dtype and shape, for descriptions.

    >>> text_of(tg.zeros((2, 3)))
    'float32 (2, 3)'
    """
    return f"{x.dtype.name} {tuple(x.shape)}"


def texts_of(values: Sequence[Any]) -> str:
    """Dtypes and shapes of several arrays; the first few, and a count of the rest by a hash.

    >>> texts_of([tg.zeros(2), tg.ones((), dtype=tg.int64)])
    'float32 (2,), int64 ()'
    """
    texts = [text_of(x) for x in values]
    if len(texts) <= 8:
        return ", ".join(texts)
    from zlib import crc32

    return f"{', '.join(texts[:8])} and {len(texts) - 8} more ({crc32(repr(texts).encode()):08x})"


#: Half floats travel and add up as float32: MPI has no type for them, and their sums need the digits.
_WIDENED = {"float16": "float32", "bfloat16": "float32"}


def wire_dtype(x: Any) -> np.dtype[Any]:
    """The dtype in which the elements of an array travel.

    >>> wire_dtype(tg.zeros(2))
    dtype('float32')
    """
    found: np.dtype[Any] = np.dtype(_WIDENED.get(x.dtype.name, x.dtype.name))
    return found


def array_of(x: Variable) -> Buffer:
    """The elements of a Variable as one contiguous axis: without a copy where it is contiguous."""
    wide = x.astype(_WIDENED[x.dtype.name]) if x.dtype.name in _WIDENED else x
    return np.ascontiguousarray(wide.numpy()).reshape(-1)


class Layout:
    """How arrays lie in flat buffers, one for each dtype in the order in which dtypes first occur.

    >>> layout = Layout([tg.zeros(2), tg.ones(1, dtype=tg.int64), tg.ones(1)])
    >>> [b.tolist() for b in layout.pack([tg.zeros(2), tg.ones(1, dtype=tg.int64), tg.ones(1)])]
    [[0.0, 0.0, 1.0], [1]]
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.shapes = [tuple(v.shape) for v in values]
        self.sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.shapes]
        self.dtypes = [v.dtype for v in values]
        self.groups: dict[str, list[int]] = {}
        for i, v in enumerate(values):
            self.groups.setdefault(wire_dtype(v).name, []).append(i)

    def totals(self) -> list[int]:
        """Elements of each buffer."""
        return [sum(self.sizes[i] for i in places) for places in self.groups.values()]

    def empty(self, factor: int = 1) -> list[Buffer]:
        """New buffers, for ``factor`` times as many elements."""
        out = []
        for (name, places), n in zip(self.groups.items(), self.totals()):
            alone = len(places) == 1 and factor == 1
            out.append(np.empty(self.shapes[places[0]] if alone else n * factor, np.dtype(name)).reshape(-1))
        return out

    def pack(self, values: Sequence[Variable], rounds: int = 1) -> list[Buffer]:
        """Buffers with the elements; a single array is not copied. With ``rounds`` so many lists of values follow one another."""
        count = len(self.shapes)
        out = []
        for places in self.groups.values():
            parts = [array_of(values[r * count + i]) for r in range(rounds) for i in places]
            out.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return out

    def unpack(self, buffers: Sequence[Buffer], rounds: int = 1) -> list[Variable]:
        """The arrays in new buffers, which they share."""
        count = len(self.shapes)
        out: list[Any] = [None] * (count * rounds)
        for buffer, places in zip(buffers, self.groups.values()):
            start = 0
            for r in range(rounds):
                for i in places:
                    # A buffer for one array was made in its shape: it has no other owner, so the tape need not copy it.
                    whole = buffer.base if len(places) == rounds == 1 else None
                    piece = buffer[start : start + self.sizes[i]].reshape(self.shapes[i]) if whole is None else whole
                    found = _core.asarray(piece)
                    out[r * count + i] = found.astype(self.dtypes[i]) if self.dtypes[i].name in _WIDENED else found
                    start += self.sizes[i]
        return out


__all__ = ["Layout", "array_of", "text_of", "texts_of", "wire_dtype"]
