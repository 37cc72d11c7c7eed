"""Fuses a layer and the batch normalisation after it into one layer, for evaluation."""

from __future__ import annotations

import copy

from ... import _core
from ...autograd import no_grad
from ..parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable
    from ..module import Module


def _fused(w: Any, b: Any, mean: Any, var: Any, eps: float, gamma: Any, beta: Any, axis: int) -> tuple[Parameter, Parameter]:
    with no_grad():
        scale = 1.0 / _core.sqrt(var + eps)
        scale = scale if gamma is None else scale * gamma
        shape = [1] * w.ndim
        shape[axis] = -1
        bias = _core.zeros_like(mean) if b is None else b
        new = (bias - mean) * scale
        new = new if beta is None else new + beta
        return Parameter(w * _core.reshape(scale, tuple(shape))), Parameter(new)


def fuse_conv_bn_weights(
    conv_w: Variable,
    conv_b: Variable | None,
    bn_rm: Variable,
    bn_rv: Variable,
    bn_eps: float,
    bn_w: Variable | None,
    bn_b: Variable | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of one convolution that equals a convolution and its batch normalisation in evaluation.

    >>> conv, bn = tg.nn.Conv1d(1, 2, 3).eval(), tg.nn.BatchNorm1d(2).eval()
    >>> rest = bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    >>> weight, bias = tg.nn.utils.fuse_conv_bn_weights(conv.weight, conv.bias, *rest)
    >>> x = tg.randn(1, 1, 6)
    >>> tg.allclose(tg.nn.functional.conv1d(x, weight, bias), bn(conv(x)), atol=1e-5)
    Variable(True)
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Variable,
    linear_b: Variable | None,
    bn_rm: Variable,
    bn_rv: Variable,
    bn_eps: float,
    bn_w: Variable | None,
    bn_b: Variable | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of one linear layer that equals a linear layer and its batch normalisation in evaluation.

    >>> layer, bn = tg.nn.Linear(2, 3).eval(), tg.nn.BatchNorm1d(3).eval()
    >>> rest = bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    >>> weight, bias = tg.nn.utils.fuse_linear_bn_weights(layer.weight, layer.bias, *rest)
    >>> x = tg.randn(4, 2)
    >>> tg.allclose(tg.nn.functional.linear(x, weight, bias), bn(layer(x)), atol=1e-5)
    Variable(True)
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A linear layer that equals ``linear`` followed by ``bn`` in evaluation.

    >>> linear, bn = tg.nn.Linear(2, 3).eval(), tg.nn.BatchNorm1d(3).eval()
    >>> tg.nn.utils.fuse_linear_bn_eval(linear, bn)
    Linear(in_features=2, out_features=3, bias=True)
    """
    return _fused_layer("fuse_linear_bn_eval", linear, bn, 0)


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A convolution that equals ``conv`` followed by ``bn`` in evaluation.

    >>> conv, bn = tg.nn.Conv2d(1, 2, 3).eval(), tg.nn.BatchNorm2d(2).eval()
    >>> x = tg.randn(1, 1, 5, 5)
    >>> tg.allclose(tg.nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-5)
    Variable(True)
    """
    return _fused_layer("fuse_conv_bn_eval", conv, bn, 1 if transpose else 0)


def _fused_layer(name: str, layer: Any, bn: Any, axis: int) -> Module:
    if layer.training or bn.training:
        raise ValueError(f"{name}: both modules must be in evaluation: call eval() first")
    new = copy.deepcopy(layer)
    weight, bias = _fused(layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, axis)
    new.weight, new.bias = weight, bias
    made: Module = new
    return made


__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]
