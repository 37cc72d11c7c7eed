"""NumPy's helpers around arrays: grids and rows by slices, names of dtypes, iterators, text files.

What makes arrays makes Variables. What makes none (iterators, error states, kinds of dtypes) is NumPy's own object.
"""

from __future__ import annotations

import numpy as _np

from . import _core
from ._core import Variable
from ._named import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = [
    "bool_",
    "c_",
    "complexfloating",
    "csingle",
    "errstate",
    "euler_gamma",
    "floating",
    "frombuffer",
    "fromiter",
    "generic",
    "genfromtxt",
    "index_exp",
    "inexact",
    "int_",
    "intc",
    "integer",
    "intp",
    "issubdtype",
    "iterable",
    "loadtxt",
    "longlong",
    "mgrid",
    "ndarray",
    "ndenumerate",
    "ndindex",
    "number",
    "ogrid",
    "r_",
    "s_",
    "savetxt",
    "signedinteger",
    "single",
    "ubyte",
    "uint",
    "uintc",
    "uintp",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]

#: The class of arrays, under NumPy's name.
ndarray = Variable
#: Euler's constant, the limit of 1 + 1/2 + … + 1/n - log(n).
euler_gamma = _np.euler_gamma

# NumPy's own objects, which hold no arrays.
errstate = _np.errstate
index_exp = _np.index_exp
ndindex = _np.ndindex
s_ = _np.s_
complexfloating = _np.complexfloating
floating = _np.floating
generic = _np.generic
inexact = _np.inexact
integer = _np.integer
number = _np.number
signedinteger = _np.signedinteger
unsignedinteger = _np.unsignedinteger

# NumPy's names of dtypes, as they are on 64-bit Linux.
bool_ = _core.bool
ubyte = _core.uint8
ushort, intc, uintc = _core.uint16, _core.int32, _core.uint32
int_ = intp = longlong = _core.int64
uint = uintp = ulonglong = _core.uint64
single, csingle = _core.float32, _core.complex64


def _plain(dtype: Any) -> _np.dtype[Any]:
    """A dtype of NumPy's."""
    found: _np.dtype[Any] = _np.dtype(dtype)
    return found


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether a dtype is of a kind, as ``floating`` or ``integer``, or equals another dtype.

    >>> tg.issubdtype(tg.ones(2).dtype, tg.floating), tg.issubdtype(tg.int32, tg.floating)
    (True, False)
    """

    def plain(d: Any) -> Any:
        return _plain(d) if isinstance(d, _core.DType) else d

    return bool(_np.issubdtype(plain(arg1), plain(arg2)))


def iterable(y: Any) -> bool:
    """Whether an object can be iterated over.

    >>> tg.iterable(tg.ones(2)), tg.iterable(2)
    (True, False)
    """
    return bool(_np.iterable(y))


class _Grid:
    """Grids by slices, as NumPy's ``mgrid`` and ``ogrid``: ``start:stop:step``, or ``start:stop:5j`` for five numbers."""

    def __init__(self, name: str, sparse: bool) -> None:
        self._name, self._sparse = name, sparse

    def __getitem__(self, key: Any) -> Any:
        grid = (_np.ogrid if self._sparse else _np.mgrid)[key]
        return tuple(map(_default, grid)) if isinstance(grid, (tuple, list)) else _default(grid)

    def __repr__(self) -> str:
        return f"tapegrad.{self._name}"


def _default(x: Any) -> Variable:
    """A NumPy array in the default dtype, unless it holds integers."""
    return _core.asarray(x, _core.get_default_dtype() if x.dtype == _np.float64 else None)


#: ``mgrid[0:3, 0:2]``: a grid of numbers for each axis, stacked.
mgrid = _Grid("mgrid", sparse=False)
#: ``ogrid[0:3, 0:2]``: the same grids, each with one long axis, which broadcast.
ogrid = _Grid("ogrid", sparse=True)


class _Joined:
    """Arrays, numbers and slices joined along an axis, as NumPy's ``r_`` and ``c_``: recorded."""

    def __init__(self, name: str, axis: int, ndmin: int, place: int) -> None:
        self._name, self._defaults = name, (axis, ndmin, place)

    def __getitem__(self, key: Any) -> Variable:
        axis, ndmin, place = self._defaults
        parts = list(key) if isinstance(key, tuple) else [key]
        if parts and isinstance(parts[0], str):
            axis, ndmin, place = self._directive(parts.pop(0))
        if not parts:
            raise ValueError(f"{self._name}: there is nothing to join")
        return _core.concat([self._part(p, ndmin, place) for p in parts], axis=axis)

    def _directive(self, text: str) -> tuple[int, int, int]:
        try:
            numbers = [int(word) for word in text.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3:
            raise ValueError(
                f"{self._name}: the text is {text!r}, expected 'axis', 'axis,ndmin' or 'axis,ndmin,place'; there are no matrices"
            )
        axis, ndmin, place = (*numbers, *self._defaults[len(numbers) :])
        return axis, ndmin, place

    def _part(self, part: Any, ndmin: int, place: int) -> Variable:
        x = mgrid[part] if isinstance(part, slice) else _core.asarray(part)
        missing = max(ndmin, 1) - x.ndim
        if missing <= 0:
            return x
        # The axes of an array begin at `place` among the new ones; -1 puts the new ones before.
        at = missing if place == -1 else min(place, missing)
        return x.reshape((1,) * at + x.shape + (1,) * (missing - at))

    def __repr__(self) -> str:
        return f"tapegrad.{self._name}"


#: ``r_[a, 1.0, 0:3]``: arrays, numbers and slices joined along the first axis.
r_ = _Joined("r_", 0, 1, -1)
#: ``c_[a, b]``: vectors as columns of a matrix.
c_ = _Joined("c_", -1, 2, 0)


def ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Variable]]:
    """Pairs of an index and the element there; the elements stay in the graph.

    >>> [(i, float(v)) for i, v in tg.ndenumerate(tg.tensor([3.0, 4.0]))]
    [((0,), 3.0), ((1,), 4.0)]
    """
    x = _core.asarray(arr)
    for at in _np.ndindex(x.shape):
        yield at, x[at]


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Variable:
    """An array of one axis of the numbers that an iterator gives.

    >>> tg.fromiter((i * i for i in range(3)), tg.float32)
    Variable([0., 1., 4.])
    """
    from itertools import islice

    return _core.asarray(list(iter if count < 0 else islice(iter, count)), dtype)


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Variable:
    """An array of the bytes of a buffer, whose memory it shares.

    >>> tg.frombuffer(bytes([1, 2, 3]), tg.uint8)
    Variable([1, 2, 3], dtype=uint8)
    """
    return _core.asarray(_np.frombuffer(buffer, _plain(dtype), count, offset))


def _read(name: str) -> Any:
    read = getattr(_np, name)

    def call(fname: Any, dtype: Any = None, **options: Any) -> Variable:
        return _core.asarray(read(fname, dtype=_plain(dtype or _core.get_default_dtype()), **options))

    return named(
        call,
        name,
        f"An array of the numbers of a text file, read by NumPy's ``{name}``, which has the other options; in the default dtype "
        f'without ``dtype=``.\n\n>>> tg.{name}(["1 2", "3 4"])\nVariable([[1., 2.],\n          [3., 4.]])\n',
    )


loadtxt = _read("loadtxt")
genfromtxt = _read("genfromtxt")


def savetxt(fname: Any, X: Any, **options: Any) -> None:
    """Writes the numbers of an array of one or two axes to a text file by NumPy's ``savetxt``, which has the other options.

    >>> import io
    >>> file = io.StringIO()
    >>> tg.savetxt(file, tg.tensor([1.0, 2.0]), fmt="%g")
    >>> file.getvalue().split()
    ['1', '2']
    """
    _np.savetxt(fname, _core.asarray(X).detach().numpy(), **options)
