"""Scaled dot-product attention."""

from __future__ import annotations

from math import inf, sqrt

from ... import _core
from ...autograd import no_grad
from .. import _functional as rows
from .common import floating, probability
from .dropout import dropout
from .linear import linear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable


def scaled_dot_product_attention(
    query: Variable,
    key: Variable,
    value: Variable,
    attn_mask: Variable | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Variable:
    """``softmax(scale query keyᵀ + mask) value`` on the last two axes, which are positions and features.

    ``attn_mask`` is True where a key takes part, or is added. A query whose keys are all masked gets zeros. With
    ``is_causal`` query i sees the keys up to i. ``scale`` is 1/√features unless given. With ``enable_gqa`` key and value
    may have fewer heads (axis -3) than the query, each for a group of the query's heads. ``dropout_p`` drops weights.

    >>> q = tg.ones((1, 2, 4))
    >>> tg.nn.functional.scaled_dot_product_attention(q, q, tg.Variable([[[1.0], [3.0]]])).tolist()
    [[[2.0], [2.0]]]
    """
    if dropout_p and _core._is_mapping():  # one mask is drawn for all samples
        return attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)[0]
    return rows.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def _check_given(query: Variable, features: int, static_k: Any, static_v: Any) -> None:
    if static_k is not None or static_v is not None:
        raise ValueError("multi_head_attention_forward: static_k and static_v are not supported; project the key and the value")
    if query.shape[-1] != features:
        raise _core.ShapeError(f"multi_head_attention_forward: the query has shape {query.shape}, expected {features} features")


def multi_head_attention_forward(
    query: Variable,
    key: Variable,
    value: Variable,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Variable | None,
    in_proj_bias: Variable | None,
    bias_k: Variable | None,
    bias_v: Variable | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Variable,
    out_proj_bias: Variable | None,
    training: bool = True,
    key_padding_mask: Variable | None = None,
    need_weights: bool = True,
    attn_mask: Variable | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Variable | None = None,
    k_proj_weight: Variable | None = None,
    v_proj_weight: Variable | None = None,
    static_k: None = None,
    static_v: None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Variable, Variable | None]:
    """:class:`tapegrad.nn.MultiheadAttention` with weights that are given; inputs are (positions, batch, features).

    With ``use_separate_proj_weight`` the three projections have matrices of their own in place of ``in_proj_weight``.

    >>> x, w = tg.ones((3, 1, 2)), tg.ones((6, 2))
    >>> args = (2, 1, w, None, None, None, False, 0.0, tg.eye(2), None)
    >>> tg.nn.functional.multi_head_attention_forward(x, x, x, *args)[0].shape
    (3, 1, 2)
    """
    from ..attention import MultiheadAttention

    _check_given(query, embed_dim_to_check, static_k, static_v)
    sizes = {"embed_dim": embed_dim_to_check, "kdim": key.shape[-1], "vdim": value.shape[-1], "num_heads": num_heads}
    biases = {"in_proj_bias": in_proj_bias, "bias_k": bias_k, "bias_v": bias_v, "add_zero_attn": add_zero_attn}
    weights = {"q_proj_weight": None, "k_proj_weight": None, "v_proj_weight": None, "in_proj_weight": in_proj_weight}
    if use_separate_proj_weight:
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight")
        weights = dict(zip(names, (q_proj_weight, k_proj_weight, v_proj_weight, None), strict=True))
    modes = {"dropout": dropout_p, "training": training, "batch_first": False, "head_dim": embed_dim_to_check // num_heads}
    layer = object.__new__(MultiheadAttention)
    layer.__dict__.update(sizes | biases | weights | modes, out_proj=lambda x: linear(x, out_proj_weight, out_proj_bias))
    options = (key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)
    found: tuple[Variable, Variable | None] = layer.forward(query, key, value, *options)
    return found


def attend(
    query: Variable,
    key: Variable,
    value: Variable,
    attn_mask: Variable | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Variable, Variable]:
    """:func:`scaled_dot_product_attention`, and the weights."""
    name = "scaled_dot_product_attention"
    q, k, v = floating(name, query), floating(name, key), floating(name, value)
    probability(name, dropout_p)
    if enable_gqa:
        k, v = _grouped(q, k), _grouped(q, v)
    _check(name, q, k, v)
    if attn_mask is not None and is_causal:
        raise ValueError(f"{name}: give attn_mask or is_causal=True, not both")
    scale = 1.0 / sqrt(q.shape[-1]) if scale is None and q.shape[-1] else scale
    scores = _core.matmul(q if scale is None else q * scale, k.mT)
    mask = _core.tril(_core.ones(scores.shape[-2:], dtype=_core.bool)) if is_causal else attn_mask
    weights = softmax_masked(scores, None if mask is None else _core.asarray(mask))
    return _core.matmul(dropout(weights, dropout_p, dropout_p > 0.0), v), weights


def softmax_masked(scores: Variable, mask: Variable | None) -> Variable:
    """The softmax of masked scores along the last axis; rows that are masked entirely are zeros."""
    if mask is None:
        return _core.softmax(scores, -1)
    if str(mask.dtype) == "bool":
        empty = _core.logical_not(_core.any(mask, axis=-1, keepdims=True))
        scores = _core.where(mask, scores, -inf)
    else:
        scores = scores + mask
        with no_grad():
            empty = _core.max(scores.detach(), axis=-1, keepdims=True) == -inf
    # A program takes the formula that is right for any mask.
    if not _core._is_capturing() and not _core.any(_core._innermost(empty)).item():
        return _core.softmax(scores, -1)
    weights = _core.softmax(_core.where(empty, 0.0, scores), -1)
    return _core.where(empty, 0.0, weights)


def _grouped(q: Variable, x: Variable) -> Variable:
    """``x`` with each head repeated for the heads of ``q`` that share it."""
    name = "scaled_dot_product_attention"
    if q.ndim < 3 or x.ndim < 3 or not x.shape[-3] or q.shape[-3] % x.shape[-3]:
        raise _core.ShapeError(f"{name}: with enable_gqa the heads of query {q.shape} must be a multiple of those of {x.shape}")
    return _core.repeat(x, q.shape[-3] // x.shape[-3], axis=-3)


def _check(name: str, q: Variable, k: Variable, v: Variable) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise _core.ShapeError(f"{name}: query {q.shape}, key {k.shape} and value {v.shape} need at least 2 dimensions")
    if q.shape[-1] != k.shape[-1]:
        raise _core.ShapeError(f"{name}: the last axes of query {q.shape} and key {k.shape} must be equal")
    if k.shape[-2] != v.shape[-2]:
        raise _core.ShapeError(f"{name}: key {k.shape} and value {v.shape} must have as many positions (axis -2)")


__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]
