"""PyTorch's older names of :func:`interpolate`."""

from __future__ import annotations

from .._functional import interpolate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable


def upsample(
    input: Variable, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Variable:
    """:func:`interpolate` under its older name.

    >>> tg.nn.functional.upsample(tg.ones((1, 1, 2, 2)), scale_factor=2).shape
    (1, 1, 4, 4)
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Variable, size: Any = None, scale_factor: Any = None) -> Variable:
    """:func:`interpolate` with the mode 'nearest'.

    >>> tg.nn.functional.upsample_nearest(tg.ones((1, 1, 2, 2)), size=3).shape
    (1, 1, 3, 3)
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Variable, size: Any = None, scale_factor: Any = None) -> Variable:
    """:func:`interpolate` with the mode 'bilinear' and aligned corners.

    >>> tg.nn.functional.upsample_bilinear(tg.ones((1, 1, 2, 2)), size=3).shape
    (1, 1, 3, 3)
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


__all__ = ["upsample", "upsample_bilinear", "upsample_nearest"]
