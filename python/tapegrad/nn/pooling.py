"""Pooling as modules."""

from __future__ import annotations

from . import functional as F
from .conv import per_axis
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .._core import Variable


class _MaxPool(Module):
    """The largest element of each window."""

    axes: ClassVar[int] = 0

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Variable) -> Any:
        """Computes the output, and with ``return_indices`` the places of the maxima."""
        function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.axes - 1]
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


def _as_tuples(pool: Any, axes: int) -> None:
    """Makes the sizes tuples, as PyTorch does for some of the poolings."""
    for what in ("kernel_size", "stride", "padding"):
        setattr(pool, what, per_axis(type(pool).__name__, what, getattr(pool, what), axes))


class _AvgPool(Module):
    """The mean of each window."""

    axes: ClassVar[int] = 0

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        if self.axes == 1:
            _as_tuples(self, 1)
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        numbers = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        if self.axes == 1:
            return F.avg_pool1d(input, *numbers)
        return (F.avg_pool2d, F.avg_pool3d)[self.axes - 2](input, *numbers, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(Module):
    """The p-norm of each window."""

    axes: ClassVar[int] = 0

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.axes - 1]
        return function(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class _AdaptiveAvgPool(Module):
    """Means of as many windows as the output has elements."""

    axes: ClassVar[int] = 0

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.axes - 1](input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(Module):
    """Maxima of as many windows as the output has elements."""

    axes: ClassVar[int] = 0

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Variable) -> Any:
        """Computes the output, and with ``return_indices`` the places of the maxima."""
        function = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self.axes - 1]
        return function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _MaxUnpool(Module):
    """The partial inverse of a max pooling with ``return_indices``."""

    axes: ClassVar[int] = 0

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        _as_tuples(self, self.axes)

    def forward(self, input: Variable, indices: Variable, output_size: Any = None) -> Variable:
        """Computes the output."""
        function = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.axes - 1]
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _FractionalMaxPool(Module):
    """Maxima of windows that random numbers place."""

    axes: ClassVar[int] = 0

    def __init__(self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False) -> None:
        super().__init__()
        self.kernel_size, self.output_size, self.output_ratio, self.return_indices = (
            kernel_size,
            output_size,
            output_ratio,
            return_indices,
        )

    def forward(self, input: Variable) -> Any:
        """Computes the output, and with ``return_indices`` the places of the maxima."""
        function = (F.fractional_max_pool2d, F.fractional_max_pool3d)[self.axes - 2]
        return function(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices)


class MaxPool1d(_MaxPool):
    """See :func:`tapegrad.nn.functional.max_pool1d`.

    >>> tg.nn.MaxPool1d(2)(tg.ones((2, 3, 8))).shape
    (2, 3, 4)
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """See :func:`tapegrad.nn.functional.max_pool2d`.

    >>> tg.nn.MaxPool2d(2)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 4, 4)
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """See :func:`tapegrad.nn.functional.max_pool3d`.

    >>> tg.nn.MaxPool3d(2)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 4, 4, 4)
    """

    axes = 3


class AvgPool1d(_AvgPool):
    """See :func:`tapegrad.nn.functional.avg_pool1d`.

    >>> tg.nn.AvgPool1d(2)(tg.ones((2, 3, 8))).shape
    (2, 3, 4)
    """

    axes = 1


class AvgPool2d(_AvgPool):
    """See :func:`tapegrad.nn.functional.avg_pool2d`.

    >>> tg.nn.AvgPool2d(2)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 4, 4)
    """

    axes = 2


class AvgPool3d(_AvgPool):
    """See :func:`tapegrad.nn.functional.avg_pool3d`.

    >>> tg.nn.AvgPool3d(2)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 4, 4, 4)
    """

    axes = 3


class LPPool1d(_LPPool):
    """See :func:`tapegrad.nn.functional.lp_pool1d`.

    >>> tg.nn.LPPool1d(2, 2)(tg.ones((2, 3, 8))).shape
    (2, 3, 4)
    """

    axes = 1


class LPPool2d(_LPPool):
    """See :func:`tapegrad.nn.functional.lp_pool2d`.

    >>> tg.nn.LPPool2d(2, 2)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 4, 4)
    """

    axes = 2


class LPPool3d(_LPPool):
    """See :func:`tapegrad.nn.functional.lp_pool3d`.

    >>> tg.nn.LPPool3d(2, 2)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 4, 4, 4)
    """

    axes = 3


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """See :func:`tapegrad.nn.functional.adaptive_avg_pool1d`.

    >>> tg.nn.AdaptiveAvgPool1d(1)(tg.ones((2, 3, 8))).shape
    (2, 3, 1)
    """

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """See :func:`tapegrad.nn.functional.adaptive_avg_pool2d`.

    >>> tg.nn.AdaptiveAvgPool2d(1)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 1, 1)
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """See :func:`tapegrad.nn.functional.adaptive_avg_pool3d`.

    >>> tg.nn.AdaptiveAvgPool3d(1)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 1, 1, 1)
    """

    axes = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """See :func:`tapegrad.nn.functional.adaptive_max_pool1d`.

    >>> tg.nn.AdaptiveMaxPool1d(3)(tg.ones((2, 3, 8))).shape
    (2, 3, 3)
    """

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """See :func:`tapegrad.nn.functional.adaptive_max_pool2d`.

    >>> tg.nn.AdaptiveMaxPool2d(3)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 3, 3)
    """

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """See :func:`tapegrad.nn.functional.adaptive_max_pool3d`.

    >>> tg.nn.AdaptiveMaxPool3d(3)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 3, 3, 3)
    """

    axes = 3


class MaxUnpool1d(_MaxUnpool):
    """See :func:`tapegrad.nn.functional.max_unpool1d`.

    >>> y, at = tg.nn.MaxPool1d(2, return_indices=True)(tg.ones((2, 3, 8)))
    >>> tg.nn.MaxUnpool1d(2)(y, at).shape
    (2, 3, 8)
    """

    axes = 1


class MaxUnpool2d(_MaxUnpool):
    """See :func:`tapegrad.nn.functional.max_unpool2d`.

    >>> y, at = tg.nn.MaxPool2d(2, return_indices=True)(tg.ones((2, 3, 8, 8)))
    >>> tg.nn.MaxUnpool2d(2)(y, at).shape
    (2, 3, 8, 8)
    """

    axes = 2


class MaxUnpool3d(_MaxUnpool):
    """See :func:`tapegrad.nn.functional.max_unpool3d`.

    >>> y, at = tg.nn.MaxPool3d(2, return_indices=True)(tg.ones((2, 3, 8, 8, 8)))
    >>> tg.nn.MaxUnpool3d(2)(y, at).shape
    (2, 3, 8, 8, 8)
    """

    axes = 3


class FractionalMaxPool2d(_FractionalMaxPool):
    """See :func:`tapegrad.nn.functional.fractional_max_pool2d`.

    >>> tg.nn.FractionalMaxPool2d(2, output_size=3)(tg.ones((2, 3, 8, 8))).shape
    (2, 3, 3, 3)
    """

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """See :func:`tapegrad.nn.functional.fractional_max_pool3d`.

    >>> tg.nn.FractionalMaxPool3d(2, output_size=3)(tg.ones((2, 3, 8, 8, 8))).shape
    (2, 3, 3, 3, 3)
    """

    axes = 3


__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]
