"""Explicit dual numbers, as in ``torch.autograd.forward_ad``. `tg.jvp(f, primals, tangents)` does the same for a function."""

from __future__ import annotations

from _thread import _local

from .. import _core
from .._core import GradError, Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class UnpackedDualTensor(NamedTuple):
        """A value and its tangent; None for a value without tangent."""

        primal: Variable
        tangent: Variable | None
else:
    from collections import namedtuple

    UnpackedDualTensor = namedtuple("UnpackedDualTensor", "primal tangent")

__all__ = ["UnpackedDualTensor", "dual_level", "make_dual", "unpack_dual"]


class _Open(_local):
    """The levels that this thread has entered."""

    def __init__(self) -> None:
        self.levels: list[int] = []


_open = _Open()


class dual_level:
    """A ``with`` block in which values may have tangents.

    >>> from tapegrad.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     print(forward_ad.unpack_dual(x * x).tangent)
    6.
    """

    def __enter__(self) -> int:
        _open.levels.append(_core._fresh_level())
        return len(_open.levels) - 1

    def __exit__(self, *exc: object) -> None:
        _core._end_level(_open.levels.pop())


def _level(what: str) -> int:
    if not _open.levels:
        raise GradError(f"forward_ad.{what}: no level is active; call it inside `with forward_ad.dual_level():`")
    return _open.levels[-1]


def make_dual(tensor: Variable, tangent: Variable, *, level: Any = None) -> Variable:
    """The value with a tangent, in the innermost :class:`dual_level`.

    >>> fwAD = tg.autograd.forward_ad
    >>> with fwAD.dual_level():
    ...     dual = fwAD.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     print(fwAD.unpack_dual(dual * dual).tangent)
    6.
    """
    if level not in {None, len(_open.levels) - 1}:
        raise ValueError(f"forward_ad.make_dual: level is {level}, expected None, the innermost level")
    at = _level("make_dual")
    if tensor.shape != tangent.shape:
        raise _core.ShapeError(
            f"forward_ad.make_dual: the tangent has shape {tangent.shape}, expected that of the value, {tensor.shape}"
        )
    return _core._dual(at, tensor, tangent)


def unpack_dual(tensor: Variable, *, level: Any = None) -> UnpackedDualTensor:
    """The value and the tangent that it has in the innermost :class:`dual_level`, or None.

    >>> fwAD = tg.autograd.forward_ad
    >>> with fwAD.dual_level():
    ...     dual = fwAD.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     primal, tangent = fwAD.unpack_dual(dual**2)
    >>> primal.item(), tangent.item()
    (9.0, 6.0)
    """
    if level not in {None, len(_open.levels) - 1}:
        raise ValueError(f"forward_ad.unpack_dual: level is {level}, expected None, the innermost level")
    at = _level("unpack_dual")
    lifted = _core._lifted(tensor)
    value, tangent = _core._split_dual(at, tensor)
    return UnpackedDualTensor(value, tangent if lifted is not None and lifted[1] == at else None)
