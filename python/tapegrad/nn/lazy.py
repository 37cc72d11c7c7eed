"""Modules that learn the shapes of their parameters from their first input."""

from __future__ import annotations

from .. import _core
from ..autograd import no_grad
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, _Conv, _Forward, _Transposed
from .linear import Linear
from .module import Module
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _BatchNorm,
    _InstanceNorm,
)
from .parameter import Parameter, Uninitialized, UninitializedBuffer, UninitializedParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .._core import Variable


class LazyModuleMixin(Module):
    """Base of modules whose parameters get their shapes in the first call, which also makes them their plain class.

    A subclass names that class in ``cls_to_become``, registers :class:`UninitializedParameter` objects, and defines
    ``initialize_parameters(*inputs)``, which calls :meth:`materialize` for each of them.

    >>> lazy = tg.nn.LazyLinear(2)
    >>> lazy.has_uninitialized_params()
    True
    """

    cls_to_become: ClassVar[type[Module] | None] = None

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        own = [*self._own_parameters(), *self._own_buffers()]
        return any(isinstance(value, Uninitialized) for _, value in own)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and first values. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no initialize_parameters(...)")

    def materialize(self, name: str, shape: tuple[int, ...]) -> None:
        """Puts a parameter or buffer of zeros in the place of an uninitialized one."""
        old = getattr(self, name)
        new = _core.zeros(shape, dtype=old.dtype)
        self.__dict__[name] = Parameter(new, old.requires_grad) if isinstance(old, UninitializedParameter) else new

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._become(args, kwargs)
        return Module.__call__(self, *args, **kwargs)

    def _become(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.has_uninitialized_params():
            with no_grad():
                self.initialize_parameters(*args, **kwargs)
        self._infer()
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def _infer(self) -> None:
        """Sets the attributes that follow from the shapes of the parameters, after the first call or a loaded state dict."""


class LazyLinear(LazyModuleMixin, Linear):
    """A :class:`Linear` whose ``in_features`` is the last axis of its first input.

    >>> layer = tg.nn.LazyLinear(2)
    >>> layer(tg.ones((4, 3))).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self.weight = UninitializedParameter(dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws new values for the parameters, once they have shapes."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Variable) -> None:
        """Takes ``in_features`` from the input."""
        self.in_features = input.shape[-1]
        self.materialize("weight", (self.out_features, self.in_features))
        if self.bias is not None:
            self.materialize("bias", (self.out_features,))
        self.reset_parameters()

    def _infer(self) -> None:
        self.out_features, self.in_features = self.weight.shape


def _prepare(module: Any, affine: bool, bias: bool, tracked: bool, dtype: Any) -> None:
    """Registers uninitialized parameters and statistics of a normalisation of unknown size."""
    for name, given in {"weight": affine, "bias": affine and bias}.items():
        module.register_parameter(name, UninitializedParameter(dtype=dtype) if given else None)
    for name in ("running_mean", "running_var"):
        module.register_buffer(name, UninitializedBuffer(dtype=dtype) if tracked else None)
    module.register_buffer("num_batches_tracked", _core.zeros((), dtype=_core.int64) if tracked else None)


def _fill(module: Any, channels: int) -> None:
    """Creates the parameters and statistics for that many channels."""
    module.num_features = channels
    for name, value in [*module._own_parameters(), *module._own_buffers()]:
        if isinstance(value, Uninitialized):
            module.materialize(name, (channels,))
    module.reset_parameters()


class _LazyBatchNorm(LazyModuleMixin, _BatchNorm):
    """Base of the lazy batch normalisations."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)
        self.affine, self.track_running_stats = affine, track_running_stats
        _prepare(self, affine, bias, track_running_stats, dtype)

    def initialize_parameters(self, input: Variable) -> None:
        """Takes the number of channels from the input."""
        _fill(self, input.shape[1])

    def _infer(self) -> None:
        known = self.weight if self.weight is not None else self.running_mean
        if known is not None:
            self.num_features = known.shape[0]


class LazyBatchNorm1d(_LazyBatchNorm):
    """A :class:`BatchNorm1d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyBatchNorm1d()
    >>> layer(tg.ones((2, 3, 4))).shape, layer.num_features
    ((2, 3, 4), 3)
    """

    cls_to_become = BatchNorm1d
    ranks = BatchNorm1d.ranks


class LazyBatchNorm2d(_LazyBatchNorm):
    """A :class:`BatchNorm2d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyBatchNorm2d()
    >>> layer(tg.ones((2, 3, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4), 3)
    """

    cls_to_become = BatchNorm2d
    ranks = BatchNorm2d.ranks


class LazyBatchNorm3d(_LazyBatchNorm):
    """A :class:`BatchNorm3d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyBatchNorm3d()
    >>> layer(tg.ones((2, 3, 1, 2, 2))).shape, layer.num_features
    ((2, 3, 1, 2, 2), 3)
    """

    cls_to_become = BatchNorm3d
    ranks = BatchNorm3d.ranks


class _LazyInstanceNorm(LazyModuleMixin, _InstanceNorm):
    """Base of the lazy instance normalisations."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)
        self.affine, self.track_running_stats = affine, track_running_stats
        _prepare(self, affine, bias, track_running_stats, dtype)

    def initialize_parameters(self, input: Variable) -> None:
        """Takes the number of channels from the input."""
        _fill(self, input.shape[0 if input.ndim == self.ranks[0] else 1])

    def _infer(self) -> None:
        known = self.weight if self.weight is not None else self.running_mean
        if known is not None:
            self.num_features = known.shape[0]


class LazyInstanceNorm1d(_LazyInstanceNorm):
    """A :class:`InstanceNorm1d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyInstanceNorm1d(affine=True)
    >>> layer(tg.ones((2, 3, 4))).shape, layer.num_features
    ((2, 3, 4), 3)
    """

    cls_to_become = InstanceNorm1d
    ranks = InstanceNorm1d.ranks


class LazyInstanceNorm2d(_LazyInstanceNorm):
    """A :class:`InstanceNorm2d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyInstanceNorm2d(affine=True)
    >>> layer(tg.ones((2, 3, 4, 4))).shape, layer.num_features
    ((2, 3, 4, 4), 3)
    """

    cls_to_become = InstanceNorm2d
    ranks = InstanceNorm2d.ranks


class LazyInstanceNorm3d(_LazyInstanceNorm):
    """A :class:`InstanceNorm3d` whose number of channels is that of its first input.

    >>> layer = tg.nn.LazyInstanceNorm3d(affine=True)
    >>> layer(tg.ones((2, 3, 1, 2, 2))).shape, layer.num_features
    ((2, 3, 1, 2, 2), 3)
    """

    cls_to_become = InstanceNorm3d
    ranks = InstanceNorm3d.ranks


class _LazyConv(LazyModuleMixin, _Conv):
    """Base of the lazy convolutions: ``in_channels`` is that of the first input."""

    least_channels = 0

    def _forget(self, bias: bool, dtype: Any) -> None:
        """Replaces the parameters (which have zero channels) by uninitialized ones."""
        self.weight = UninitializedParameter(dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws new values for the parameters, once they have shapes."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Variable, *_: Any) -> None:
        """Takes the number of channels from the input."""
        name = type(self).__name__
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise _core.ShapeError(
                f"{name}: input of shape {input.shape}, expected {self.axes + 1} or {self.axes + 2} dimensions"
            )
        channels = input.shape[-self.axes - 1]
        if channels < 1 or channels % self.groups:
            raise _core.ShapeError(f"{name}: input of {channels} channels, expected a positive multiple of groups={self.groups}")
        self.in_channels = channels
        first, second = (channels, self.out_channels) if self.transposed else (self.out_channels, channels)
        self.materialize("weight", (first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.materialize("bias", (self.out_channels,))
        self.reset_parameters()

    def _infer(self) -> None:
        first, second = self.weight.shape[:2]
        second *= self.groups
        self.in_channels, self.out_channels = (first, second) if self.transposed else (second, first)


class _LazyForward(_LazyConv, _Forward):
    """Base of the lazy convolutions that are not transposed."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation, groups)
        super().__init__(0, out_channels, *sizes, False, padding_mode, device, dtype)
        self._forget(bias, dtype)


class _LazyTransposed(_LazyConv, _Transposed):
    """Base of the lazy transposed convolutions."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, output_padding, groups)
        super().__init__(0, out_channels, *sizes, False, dilation, padding_mode, device, dtype)
        self._forget(bias, dtype)


class LazyConv1d(_LazyForward, Conv1d):
    """A :class:`Conv1d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConv1d(4, 3)
    >>> layer(tg.ones((2, 3, 5))).shape, layer.in_channels
    ((2, 4, 3), 3)
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """A :class:`Conv2d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConv2d(4, 3)
    >>> layer(tg.ones((2, 3, 5, 5))).shape, layer.in_channels
    ((2, 4, 3, 3), 3)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """A :class:`Conv3d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConv3d(4, 3)
    >>> layer(tg.ones((2, 3, 5, 5, 5))).shape, layer.in_channels
    ((2, 4, 3, 3, 3), 3)
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """A :class:`ConvTranspose1d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConvTranspose1d(4, 3)
    >>> layer(tg.ones((2, 3, 5))).shape, layer.in_channels
    ((2, 4, 7), 3)
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """A :class:`ConvTranspose2d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConvTranspose2d(4, 3)
    >>> layer(tg.ones((2, 3, 5, 5))).shape, layer.in_channels
    ((2, 4, 7, 7), 3)
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """A :class:`ConvTranspose3d` whose ``in_channels`` is that of its first input.

    >>> layer = tg.nn.LazyConvTranspose3d(4, 3)
    >>> layer(tg.ones((2, 3, 5, 5, 5))).shape, layer.in_channels
    ((2, 4, 7, 7, 7), 3)
    """

    cls_to_become = ConvTranspose3d


__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LazyModuleMixin",
]
