"""Normalisation layers."""

from __future__ import annotations

from .. import _core
from ..autograd import no_grad
from . import functional as F
from . import init
from .device import check_device
from .module import Module
from .parameter import Parameter, blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

    from .._core import Variable


class _ChannelNorm(Module):
    """Base of batch and instance normalisation: an affine map for each channel, and running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Variable | None
    running_var: Variable | None
    num_batches_tracked: Variable | None
    #: The numbers of dimensions that an input may have.
    ranks: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_device(name, device)
        self.num_features = num_features
        self.eps = _core._number(name, "eps", eps)
        self.momentum = _core._number(name, "momentum", momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        for part, given in {"weight": affine, "bias": affine and bias}.items():
            self.register_parameter(part, Parameter(_core.zeros((num_features,), dtype=dtype)) if given else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", _core.zeros((num_features,), dtype=dtype) if tracked else None)
        self.register_buffer("running_var", _core.ones((num_features,), dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", _core.zeros((), dtype=_core.int64) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Resets the running statistics: mean 0, variance 1, and a batch count of 0."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            self.num_batches_tracked.fill_(0)

    def reset_parameters(self) -> None:
        """Sets weights to 1 and biases to 0, and resets the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check(self, input: Variable) -> None:
        if input.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise _core.ShapeError(f"{type(self).__name__}: the input must have {wanted} dimensions, not shape {input.shape}")

    def _count(self) -> float:
        """Counts a batch; returns the fraction by which the running statistics move towards it."""
        if self.num_batches_tracked is None or not self.training:
            return 0.0 if self.momentum is None else self.momentum
        with no_grad():
            self.num_batches_tracked.add_(1)
        return 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    """Base of the batch normalisations."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Variable) -> Variable:
        """Computes the output; in training it moves the running statistics."""
        self._check(input)
        if input.shape[1] != self.num_features and (self.affine or self.track_running_stats):
            raise _core.ShapeError(
                f"{type(self).__name__}: the input has shape {input.shape}, "
                f"expected {self.num_features} channels (num_features) on axis 1"
            )
        momentum = self._count()
        of_batch = self.training or (self.running_mean is None and self.running_var is None)
        keep = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if keep else (None, None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, of_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Each channel of a batch (N, C) or (N, C, L) with mean 0 and variance 1, then times ``weight`` plus ``bias``.

    In training the statistics are those of the batch, and the running ones move towards them by ``momentum`` (None: their
    mean over all batches); in evaluation the running ones are used. With ``track_running_stats=False`` there are none.

    >>> tg.nn.BatchNorm1d(1, eps=0.0)(tg.Variable([[0.0], [2.0]])).tolist()
    [[-1.0], [1.0]]
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """:class:`BatchNorm1d` of inputs (N, C, H, W).

    >>> tg.nn.BatchNorm2d(3)(tg.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """:class:`BatchNorm1d` of inputs (N, C, D, H, W).

    >>> tg.nn.BatchNorm3d(3)(tg.ones((2, 3, 1, 2, 2))).shape
    (2, 3, 1, 2, 2)
    """

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """:class:`BatchNorm1d` of inputs of any rank, in training by the statistics of all ranks of ``tg.distributed``.

    Without a job of several ranks it is batch normalisation. ``process_group`` is accepted and has no effect.

    >>> tg.nn.SyncBatchNorm(3)(tg.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    ranks = (2, 3, 4, 5)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Variable) -> Variable:
        """Computes the output; in training it moves the running statistics."""
        import sys

        distributed = sys.modules.get("tapegrad.distributed.group")
        group = None if distributed is None or not self.training else distributed.group_or_none()
        if group is None or group.size == 1:
            return super().forward(input)
        from ..distributed.normalization import sync_batch_norm

        self._check(input)
        if input.shape[1] != self.num_features:
            raise _core.ShapeError(f"SyncBatchNorm: expected {self.num_features} channels, the input has shape {input.shape}")
        return sync_batch_norm(group, input, self, self.track_running_stats, self._count())

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """``module`` with a SyncBatchNorm in place of each batch normalisation in it; parameters and buffers are the same.

        >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.BatchNorm1d(3))
        >>> type(tg.nn.SyncBatchNorm.convert_sync_batchnorm(net)[1]).__name__
        'SyncBatchNorm'
        """
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            new = cls(module.num_features, module.eps, module.momentum, False, False)
            new.affine, new.track_running_stats = module.affine, module.track_running_stats
            for name in ("weight", "bias"):
                new.register_parameter(name, getattr(module, name))
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                new.register_buffer(name, getattr(module, name))
            new.train(module.training)
            return new
        for name, child in list(module.named_children()):
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module


class _InstanceNorm(_ChannelNorm):
    """Base of the instance normalisations."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Variable) -> Variable:
        """Computes the output; in training it moves the running statistics, where there are some."""
        self._check(input)
        single = input.ndim == self.ranks[0]
        if input.shape[0 if single else 1] != self.num_features and self.affine:
            raise _core.ShapeError(
                f"{type(self).__name__}: expected {self.num_features} channels, the input has shape {input.shape}"
            )
        x = _core.expand_dims(input, 0) if single else input
        of_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        out = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, of_input, momentum, self.eps)
        return _core.squeeze(out, 0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sample of (N, C, L) or (C, L) with mean 0 and variance 1.

    >>> tg.nn.InstanceNorm1d(1, eps=0.0)(tg.Variable([[[0.0, 2.0]]])).tolist()
    [[[-1.0, 1.0]]]
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each sample of (N, C, H, W) or (C, H, W) with mean 0 and variance 1.

    >>> tg.nn.InstanceNorm2d(3)(tg.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Each channel of each sample of (N, C, D, H, W) or (C, D, H, W) with mean 0 and variance 1.

    >>> tg.nn.InstanceNorm3d(3)(tg.ones((2, 3, 1, 2, 2))).shape
    (2, 3, 1, 2, 2)
    """

    ranks = (4, 5)


def _sizes(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """The last axes, of sizes ``normalized_shape``, with mean 0 and variance 1, then times ``weight`` plus ``bias``.

    >>> tg.nn.LayerNorm(2, eps=0.0)(tg.Variable([0.0, 2.0])).tolist()
    [-1.0, 1.0]
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device("LayerNorm", device)
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = _core._number("LayerNorm", "eps", eps)
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", blank(*self.normalized_shape, dtype=dtype) if elementwise_affine else None)
        with_bias = elementwise_affine and bias
        self.register_parameter("bias", blank(*self.normalized_shape, dtype=dtype) if with_bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes weights 1 and biases 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(Module):
    """The last axes, of sizes ``normalized_shape``, divided by the root of their mean square, then times ``weight``.

    >>> tg.nn.RMSNorm(2, eps=0.0)(tg.Variable([3.0, 3.0])).tolist()
    [1.0, 1.0]
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device("RMSNorm", device)
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = _core._number("RMSNorm", "eps", eps)
        self.elementwise_affine = elementwise_affine
        weight = Parameter(_core.zeros(self.normalized_shape, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes weights 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of neighbouring channels of each sample with mean 0 and variance 1, then times ``weight`` plus ``bias``.

    >>> tg.nn.GroupNorm(2, 4)(tg.ones((2, 4, 3))).shape
    (2, 4, 3)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device("GroupNorm", device)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels cannot be divided into {num_groups} groups")
        self.num_groups, self.num_channels, self.affine = num_groups, num_channels, affine
        self.eps = _core._number("GroupNorm", "eps", eps)
        for part, given in {"weight": affine, "bias": affine and bias}.items():
            self.register_parameter(part, Parameter(_core.zeros((num_channels,), dtype=dtype)) if given else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes weights 1 and biases 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """``x / (k + alpha mean(x²))**beta`` with the mean over ``size`` neighbouring channels.

    >>> tg.nn.LocalResponseNorm(1, 3.0, 0.5)(tg.ones((1, 1, 2))).tolist()
    [[[0.5, 0.5]]]
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]
