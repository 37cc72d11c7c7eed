"""Convolutions as modules."""

from __future__ import annotations

from math import prod, sqrt
from operator import index

from .. import _core
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .._core import Variable

    Size = int | tuple[int, ...]


def per_axis(name: str, what: str, value: Any, axes: int, least: int | None = None) -> tuple[int, ...]:
    """``value`` as one int for each axis, none of them below ``least``."""
    given = value if isinstance(value, (tuple, list)) else (value,) * axes
    try:
        values = tuple(index(v) for v in given)
    except TypeError:
        raise TypeError(f"{name}: {what} must be an int or {axes} ints, got {value!r}") from None
    if len(values) != axes:
        raise ValueError(f"{name}: {what} has {len(values)} numbers, expected 1 or {axes}")
    if least is not None and any(v < least for v in values):
        raise ValueError(f"{name}: {what} must be at least {least} along each axis, got {value!r}")
    return values


class _Conv(Module):
    """Base of all convolutions. ``axes`` is the number of spatial axes."""

    axes: ClassVar[int] = 0
    transposed: ClassVar[bool] = False
    #: The least number of input channels; 0 in lazy modules, which do not know it yet.
    least_channels: ClassVar[int] = 1
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: Any,
        output_padding: Size = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"{name}: padding_mode is {padding_mode!r}, expected 'zeros', 'reflect', 'replicate' or 'circular'")
        if self.transposed and padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros'")
        for what, value in (("groups", groups), ("in_channels", in_channels), ("out_channels", out_channels)):
            _core._number(name, what, value)
            if value < (1 if what == "groups" else self.least_channels) or value % groups:
                raise ValueError(f"{name}: {what} is {value}, expected a positive multiple of groups, which is {groups}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding is {padding!r}, expected 'same', 'valid' or numbers")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = per_axis(name, "stride", stride, self.axes, 1)
        self.padding = padding if isinstance(padding, str) else per_axis(name, "padding", padding, self.axes, 0)
        self.dilation = per_axis(name, "dilation", dilation, self.axes, 1)
        self.output_padding = per_axis(name, "output_padding", output_padding, self.axes, 0)
        self.padding_mode = padding_mode
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' needs a stride of 1, got {self.stride}")
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(_core.zeros((first, second // groups, *self.kernel_size), dtype=dtype))
        if bias:
            self.bias = Parameter(_core.zeros((out_channels,), dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new values for the parameters: uniform in ±1/√(elements that an output is a sum of)."""
        if self.weight.size:
            init.kaiming_uniform_(self.weight, a=sqrt(5))
            if self.bias is not None:
                bound = 1 / sqrt(self.weight.shape[1] * prod(self.kernel_size))
                init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Variable) -> tuple[Variable, Any]:
        """The input with its padding where that is not zeros, and what is left to pad."""
        if self.padding_mode == "zeros" or self.padding == "valid":
            return input, self.padding
        if self.padding == "same":
            spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            sides = [(n // 2, n - n // 2) for n in spans]
        else:
            sides = [(int(p), int(p)) for p in self.padding]
        return F.pad(input, [n for side in reversed(sides) for n in side], mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if isinstance(self.padding, str) or any(self.padding):
            parts.append(f"padding={self.padding}")
        if any(d != 1 for d in self.dilation):
            parts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Forward(_Conv):
    """A convolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_device(type(self).__name__, device)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        input, padding = self._padded(input)
        function = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Conv):
    """A transposed convolution."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_device(type(self).__name__, device)
        numbers = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        super().__init__(*numbers, bias, padding_mode, dtype, output_padding)

    def forward(self, input: Variable, output_size: Any = None) -> Variable:
        """Computes the output. ``output_size`` chooses one of the sizes that are possible with the stride."""
        more = self.output_padding if output_size is None else self._left_over(input, tuple(output_size))
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.axes - 1]
        padding: Any = self.padding
        return function(input, self.weight, self.bias, self.stride, padding, more, self.groups, self.dilation)

    def _left_over(self, input: Variable, output_size: tuple[int, ...]) -> tuple[int, ...]:
        """The output padding for an output of this size."""
        sizes, want = input.shape[input.ndim - self.axes :], output_size[-self.axes :]
        padding: Any = self.padding
        least = [
            (n - 1) * s - 2 * int(p) + d * (k - 1) + 1
            for n, s, p, d, k in zip(sizes, self.stride, padding, self.dilation, self.kernel_size, strict=True)
        ]
        more = tuple(w - m for w, m in zip(want, least, strict=True))
        if any(not 0 <= m < s for m, s in zip(more, self.stride, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: output_size is {want}, expected {tuple(least)} or less than the stride more"
            )
        return more


def _check_device(name: str, device: Any) -> None:
    if device is not None and str(device) != "cpu":
        raise ValueError(f"{name}: device is {device!r}, expected None or 'cpu'")


class Conv1d(_Forward):
    """The convolution of sequences (N, C, L) or (C, L): see :func:`tapegrad.nn.functional.conv1d`.

    >>> tg.nn.Conv1d(2, 4, 3, padding=1)(tg.ones((1, 2, 5))).shape
    (1, 4, 5)
    """

    axes = 1


class Conv2d(_Forward):
    """The convolution of images (N, C, H, W) or (C, H, W): see :func:`tapegrad.nn.functional.conv2d`.

    ``weight`` is (out_channels, in_channels / groups, height, width).

    >>> layer = tg.nn.Conv2d(1, 6, 5, padding=2)
    >>> layer(tg.ones((8, 1, 28, 28))).shape
    (8, 6, 28, 28)
    >>> layer
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """

    axes = 2


class Conv3d(_Forward):
    """The convolution of volumes (N, C, D, H, W) or (C, D, H, W): see :func:`tapegrad.nn.functional.conv3d`.

    >>> tg.nn.Conv3d(1, 2, 2)(tg.ones((1, 1, 3, 3, 3))).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3


class ConvTranspose1d(_Transposed):
    """The transposed convolution of sequences: see :func:`tapegrad.nn.functional.conv_transpose1d`.

    >>> tg.nn.ConvTranspose1d(2, 1, 4, stride=2, padding=1)(tg.ones((1, 2, 5))).shape
    (1, 1, 10)
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transposed convolution of images; ``weight`` is (in_channels, out_channels / groups, height, width).

    >>> layer = tg.nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    >>> layer(tg.ones((1, 4, 5, 5)), output_size=(10, 10)).shape
    (1, 2, 10, 10)
    """

    axes = 2


class ConvTranspose3d(_Transposed):
    """The transposed convolution of volumes: see :func:`tapegrad.nn.functional.conv_transpose3d`.

    >>> tg.nn.ConvTranspose3d(1, 1, 2, stride=2)(tg.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    axes = 3


#: PyTorch's name of the base, which programs ask for: ``isinstance(m, nn.modules.conv._ConvNd)``.
_ConvNd = _Conv

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]
