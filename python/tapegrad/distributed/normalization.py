"""Batch normalisation by the statistics of all ranks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import _core
from .._core import Variable
from ..autograd import Function, no_grad
from ..nn.functional.normalization import _move
from .collectives import all_gather
from .group import Group

_state = threading.local()


@contextmanager
def weighted_by_samples(is_weighted: bool) -> Iterator[None]:
    """A block in which gradients are averaged by samples, so that the loss of a rank counts by its share of them."""
    before = getattr(_state, "is_weighted", False)
    _state.is_weighted = is_weighted
    try:
        yield
    finally:
        _state.is_weighted = before


class _Scaled(Function):
    """The identity, whose cotangent is multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, x: Variable, factor: float) -> Variable:
        ctx.factor = factor
        return x.detach()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        # A rank without samples has a NaN loss, which has no weight.
        return (grad * ctx.factor if ctx.factor else _core.zeros_like(grad)), None


def sync_batch_norm(group: Group, x: Variable, layer: Any, of_running: bool, momentum: float) -> Variable:
    """Normalises ``x`` (N, C, …) by mean and variance over the samples of all ranks, one exchange of 2 C + 1 numbers.

    Chan, Golub, LeVeque 1979: the sums of squares about the means of parts, and the means, give those of the whole. A rank may
    have no samples. Where losses are averaged by samples, cotangents between ranks are weighted so, too.
    """
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *([1] * (x.ndim - 2)))
    channels = x.shape[1]
    count = x.size // channels if channels else 0
    samples = float(x.shape[0])
    weight = samples if getattr(_state, "is_weighted", False) else 1.0
    mean = _core.sum(x, axis=axes) / max(count, 1)
    squares = _core.sum((x - mean.reshape(shape)) ** 2, axis=axes)
    size = _core.asarray([float(count)], dtype=x.dtype)
    packed = _Scaled.apply(_core.concat([mean, squares, size]), 1.0 / weight if weight else 0.0)
    parts = _core.stack([_Scaled.apply(part, weight) for part in all_gather(packed)])
    means, spreads, counts = parts[:, :channels], parts[:, channels : 2 * channels], parts[:, 2 * channels :].detach()
    total = float(counts.sum().item())
    if total <= 1:
        raise ValueError(f"SyncBatchNorm: training needs more than one value for each channel, all ranks together have {total:g}")
    mean = _core.sum(means * counts, axis=0) / total
    spread = _core.sum(spreads + counts * (means - mean) ** 2, axis=0)
    with no_grad():
        if of_running:
            _move(layer.running_mean, mean, momentum, 1.0)
            _move(layer.running_var, spread / total, momentum, total / (total - 1))
    y = (x - mean.reshape(shape)) * _core.rsqrt(spread / total + layer.eps).reshape(shape)
    if layer.weight is not None:
        y = y * layer.weight.reshape(shape)
    return y if layer.bias is None else y + layer.bias.reshape(shape)


__all__ = ["sync_batch_norm", "weighted_by_samples"]
