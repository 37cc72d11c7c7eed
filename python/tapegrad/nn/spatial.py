"""Padding, resizing, patches and reordering of pixels as modules."""

from __future__ import annotations

from . import functional as F
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .._core import Variable


class _Pad(Module):
    """Elements added at both ends of the last axes."""

    axes: ClassVar[int] = 0
    mode: ClassVar[str] = "constant"
    value: float = 0.0

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.axes) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self.axes:
            raise ValueError(f"{type(self).__name__}: padding has {len(self.padding)} numbers, expected 1 or {2 * self.axes}")

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """A constant at both ends of the last axes."""

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class Upsample(Module):
    """Images resized: see :func:`tapegrad.nn.functional.interpolate`.

    >>> tg.nn.Upsample(scale_factor=2)(tg.Variable([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if isinstance(scale_factor, (tuple, list)):
            scale_factor = tuple(float(factor) for factor in scale_factor)
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        self.name = type(self).__name__
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        size = f"scale_factor={self.scale_factor}" if self.scale_factor is not None else f"size={self.size}"
        return f"{size}, mode='{self.mode}'"


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` with the mode 'nearest'.

    >>> tg.nn.UpsamplingNearest2d(scale_factor=2)(tg.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` with the mode 'bilinear' and aligned corners.

    >>> tg.nn.UpsamplingBilinear2d(size=(3, 3))(tg.ones((1, 1, 2, 2))).shape
    (1, 1, 3, 3)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


class PixelShuffle(Module):
    """See :func:`tapegrad.nn.functional.pixel_shuffle`.

    >>> tg.nn.PixelShuffle(2)(tg.ones((1, 4, 3, 3))).shape
    (1, 1, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """See :func:`tapegrad.nn.functional.pixel_unshuffle`.

    >>> tg.nn.PixelUnshuffle(2)(tg.ones((1, 1, 6, 6))).shape
    (1, 4, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """See :func:`tapegrad.nn.functional.channel_shuffle`.

    >>> tg.nn.ChannelShuffle(2)(tg.Variable([[0.0, 1.0, 2.0, 3.0]])).tolist()
    [[0.0, 2.0, 1.0, 3.0]]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """See :func:`tapegrad.nn.functional.unfold`.

    >>> tg.nn.Unfold(2)(tg.ones((1, 3, 4, 4))).shape
    (1, 12, 9)
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """See :func:`tapegrad.nn.functional.fold`.

    >>> tg.nn.Fold((4, 4), 2)(tg.ones((1, 12, 9))).shape
    (1, 3, 4, 4)
    """

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {Unfold.extra_repr(self)}"


class ZeroPad1d(_Pad):
    """Adds zeros at both ends of the last axis.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ZeroPad1d(1)(tg.ones((1, 1, 3))).shape
    (1, 1, 5)
    """

    axes = 1


class ZeroPad2d(_Pad):
    """Adds zeros at both ends of the last two axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ZeroPad2d(1)(tg.ones((1, 1, 3, 3))).shape
    (1, 1, 5, 5)
    """

    axes = 2


class ZeroPad3d(_Pad):
    """Adds zeros at both ends of the last three axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ZeroPad3d(1)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 1, 5, 5, 5)
    """

    axes = 3


class ConstantPad1d(_ConstantPad):
    """Adds a constant at both ends of the last axis.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ConstantPad1d(1, 0.5)(tg.ones((1, 1, 3))).shape
    (1, 1, 5)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """Adds a constant at both ends of the last two axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ConstantPad2d(1, 0.5)(tg.ones((1, 1, 3, 3))).shape
    (1, 1, 5, 5)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """Adds a constant at both ends of the last three axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ConstantPad3d(1, 0.5)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 1, 5, 5, 5)
    """

    axes = 3


class ReflectionPad1d(_Pad):
    """Adds a reflection without the edge at both ends of the last axis.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReflectionPad1d(1)(tg.ones((1, 1, 3))).shape
    (1, 1, 5)
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Adds a reflection without the edge at both ends of the last two axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReflectionPad2d(1)(tg.ones((1, 1, 3, 3))).shape
    (1, 1, 5, 5)
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Adds a reflection without the edge at both ends of the last three axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReflectionPad3d(1)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 1, 5, 5, 5)
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Adds copies of the edge at both ends of the last axis.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReplicationPad1d(1)(tg.ones((1, 1, 3))).shape
    (1, 1, 5)
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Adds copies of the edge at both ends of the last two axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReplicationPad2d(1)(tg.ones((1, 1, 3, 3))).shape
    (1, 1, 5, 5)
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Adds copies of the edge at both ends of the last three axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.ReplicationPad3d(1)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 1, 5, 5, 5)
    """

    axes = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Adds elements of the other end at both ends of the last axis.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.CircularPad1d(1)(tg.ones((1, 1, 3))).shape
    (1, 1, 5)
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Adds elements of the other end at both ends of the last two axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.CircularPad2d(1)(tg.ones((1, 1, 3, 3))).shape
    (1, 1, 5, 5)
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Adds elements of the other end at both ends of the last three axes.

    ``padding`` is a number, or (before, after) for each axis, the last one first.

    >>> tg.nn.CircularPad3d(1)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 1, 5, 5, 5)
    """

    axes = 3
    mode = "circular"


__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Fold",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]
