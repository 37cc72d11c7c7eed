"""Helpers for training: clipping, parameters as one vector, parametrizations, padding and packing, pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import parametrizations, parametrize, prune, rnn, stateless
from .clip import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert import parameters_to_vector, vector_to_parameters
from .fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from .init import skip_init
from .norms import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

clip_grad_norm = clip_grad_norm_

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "vector_to_parameters",
    "weight_norm",
]

if not TYPE_CHECKING:
    from ..._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
