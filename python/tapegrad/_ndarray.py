"""Methods of `numpy.ndarray`: those that are functions here, and those that write in place."""

from __future__ import annotations

from . import _arrays, _core
from ._core import Variable
from ._habits import _method

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@_method("copy")
def _copy(self: Variable, order: str = "C") -> Variable:
    """A copy, on the tape: see clone.

    >>> tg.Variable([1.0]).copy()
    Variable([1.])
    """
    return self.clone()


@_method("fill")
def _fill(self: Variable, value: Any) -> None:
    """Sets all elements to a number."""
    self[...] = value


@_method("put")
def _put(self: Variable, indices: Any, values: Any, mode: str = "raise") -> None:
    """Writes values at places of the flattened array: see tg.put."""
    _arrays.put(self, indices, values, mode)


@_method("compress")
def _compress(self: Variable, condition: Any, axis: int | None = None) -> Variable:
    """The places along an axis at which a condition holds: see tg.compress."""
    return _core.compress(condition, self, axis)


@_method("choose")
def _choose(self: Variable, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """At each place the element of the array that an index names: see tg.choose."""
    from ._numpy_functions import choose

    return choose(self, choices, out, mode)


@_method("ptp")
def _ptp(self: Variable, axis: int | None = None, keepdims: bool = False) -> Variable:
    """The largest element minus the smallest: see tg.ptp."""
    return _core.ptp(self, axis, keepdims)


@_method("tobytes")
def _tobytes(self: Variable, order: Any = "C") -> bytes:
    """The bytes of the elements."""
    return self._memory().tobytes(order)


class Flat:
    """The elements in row-major order, of an array that may have any layout: ``x.flat``.

    >>> x = tg.Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> x.T.flat[1] = 9.0
    >>> x.tolist(), len(x.flat)
    ([[1.0, 2.0], [9.0, 4.0]], 4)
    """

    def __init__(self, base: Variable) -> None:
        self.base = base

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.base.reshape(-1))

    def __getitem__(self, key: Any) -> Variable:
        return self.base.reshape(-1)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        line = self.base.reshape(-1).clone()
        line[key] = value
        self.base[...] = line.reshape(self.base.shape)


def _contains(self: Variable, value: object) -> bool:
    """Whether any element is equal to a number."""
    return bool(_core.any(_core.equal(self, value)))  # type: ignore[arg-type]


def _reversed(self: Variable) -> Iterator[Variable]:
    """The rows, the last one first."""
    if self.ndim == 0:
        raise TypeError("reversed: iteration over a 0-d array")
    return iter(self[::-1])


def _divmod(self: Variable, other: Any) -> tuple[Variable, Variable]:
    return self // other, self % other


def _rdivmod(self: Variable, other: Any) -> tuple[Variable, Variable]:
    return other // self, other % self


def attach() -> None:
    """Puts the properties and operators on Variable. Methods are in the table of `_habits`."""
    cls: Any = Variable
    cls.flat = property(
        Flat,
        lambda self, value: self.__setitem__(..., _core.resize(_core._together(value, self)[0], self.shape)),
        doc=Flat.__doc__,
    )
    cls.strides = property(
        lambda self: tuple(n * self.itemsize for n in _core._strides(self)),
        doc="The bytes from an element to the next along each axis.",
    )
    cls.__contains__, cls.__reversed__ = _contains, _reversed
    cls.__divmod__, cls.__rdivmod__ = _divmod, _rdivmod
