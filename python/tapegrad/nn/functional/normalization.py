"""Normalisation: values made to have mean 0 and variance 1, over a batch, a layer, groups or neighbours."""

from __future__ import annotations

from math import prod

from ... import _core
from ...autograd import no_grad
from .. import _functional as rows
from .common import axis_of, floating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable

#: The distance from 1 to the next number.
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def _expect(name: str, what: str, value: Any, count: int) -> None:
    shape = getattr(value, "shape", type(value).__name__)
    if value is not None and shape != (count,):
        raise _core.ShapeError(f"{name}: {what} must have shape ({count},), one for each channel, not {shape}")


def batch_norm(
    input: Variable,
    running_mean: Variable | None,
    running_var: Variable | None,
    weight: Variable | None = None,
    bias: Variable | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Variable:
    """Each channel (axis 1) with mean 0 and variance 1: of the batch in training, else of the running statistics.

    In training ``running_mean`` and ``running_var`` move by ``momentum`` towards those of the batch, in place; the
    variance that they see is the unbiased one.

    >>> x = tg.Variable([[0.0], [2.0]])
    >>> tg.nn.functional.batch_norm(x, tg.zeros(1), tg.ones(1), training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    x = floating("batch_norm", input)
    if x.ndim < 2:
        if x.ndim and not x.size:
            return x
        raise _core.ShapeError(f"batch_norm: the input must have at least 2 dimensions (N, C, …), not shape {x.shape}")
    channels = x.shape[1]
    parts = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for what, value in parts.items():
        _expect("batch_norm", what, value, channels)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation needs running_mean and running_var")
        return rows._batch_norm_evaluation(x, running_mean, running_var, weight, bias, eps)
    count = x.size // channels if channels else 0
    if count == 1:
        raise ValueError(f"batch_norm: training needs more than one value for each channel, the input has shape {x.shape}")
    y, mean, variance = rows._batch_norm_training(x, weight, bias, eps)
    if not count:
        return y  # a batch without samples has no statistics
    _move(running_mean, mean, momentum, 1.0)
    _move(running_var, variance, momentum, count / (count - 1) if count > 1 else 1.0)
    return y


def _move(running: Variable | None, batch: Variable, momentum: float, factor: float) -> None:
    """Moves a running statistic towards that of a batch, in place and off the tape."""
    if running is None:
        return
    with no_grad():
        now = _core.reshape(batch.detach(), running.shape).astype(running.dtype)
        running.copy_(running * (1.0 - momentum) + now * (momentum * factor))


def instance_norm(
    input: Variable,
    running_mean: Variable | None = None,
    running_var: Variable | None = None,
    weight: Variable | None = None,
    bias: Variable | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Variable:
    """Each channel of each sample with mean 0 and variance 1; the input is (N, C, …).

    >>> tg.nn.functional.instance_norm(tg.Variable([[[0.0, 2.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0]]]
    """
    x = floating("instance_norm", input)
    if x.ndim < 3:
        raise _core.ShapeError(f"instance_norm: the input must have at least 3 dimensions (N, C, …), not shape {x.shape}")
    channels = x.shape[1]
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    parts = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for what, value in parts.items():
        _expect("instance_norm", what, value, channels)
    count = prod(x.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: needs more than one value for each channel of a sample, the input has shape {x.shape}")
    axes = tuple(range(2, x.ndim))
    if running_mean is not None or running_var is not None:
        with no_grad():
            means = _core.mean(x, axis=axes)
            variances = _core.var(x, axis=axes) * (count / max(count - 1, 1))
            _move(running_mean, _core.mean(means, axis=0), momentum, 1.0)
            _move(running_var, _core.mean(variances, axis=0), momentum, 1.0)
    return rows._instance_norm(x, weight, bias, eps)


def normalize(
    input: Variable, p: float = 2.0, dim: int | None = None, eps: float = 1e-12, *, axis: int | None = None
) -> Variable:
    """``x`` divided by its ``p``-norm along ``dim`` (1 unless given), or by ``eps`` where the norm is smaller.

    >>> tg.nn.functional.normalize(tg.Variable([[3.0, 4.0]])).tolist()[0][1] == tg.asarray(0.8).item()
    True
    """
    x = floating("normalize", input)
    along = axis_of("normalize", dim, axis, 1)
    if isinstance(along, int) and not -x.ndim <= along < x.ndim:
        raise _core.AxisError(f"normalize: dim {along} is out of bounds for an input of shape {x.shape}")
    size = _core.norm(x, p, axis=along, keepdims=True)
    return x / _core.maximum(size, eps)


__all__ = ["batch_norm", "instance_norm", "normalize"]
