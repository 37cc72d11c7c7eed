"""Multi-head attention."""

from __future__ import annotations

from math import inf

from .. import _core
from . import functional as F
from . import init
from .device import check_device
from .functional.attention import attend
from .linear import NonDynamicallyQuantizableLinear
from .module import Module
from .parameter import Parameter, blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Variable


class MultiheadAttention(Module):
    """Attention of several heads side by side (Vaswani et al. 2017).

    Inputs are (positions, batch, features), or (batch, positions, features) with ``batch_first``, or without a batch axis.
    Boolean masks are True where a key takes no part; floating ones are added. Returns the output and, with
    ``need_weights``, the weights, averaged over the heads unless told otherwise.

    >>> attention = tg.nn.MultiheadAttention(4, 2, batch_first=True)
    >>> x = tg.ones((1, 3, 4))
    >>> [part.shape for part in attention(x, x, x)]
    [(1, 3, 4), (1, 3, 3)]
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device("MultiheadAttention", device)
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} must be a positive multiple of num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == embed_dim == self.vdim
        same = self._qkv_same_embed_dim
        for name, size in {"q": embed_dim, "k": self.kdim, "v": self.vdim}.items():
            self.register_parameter(f"{name}_proj_weight", None if same else blank(embed_dim, size, dtype=dtype))
        self.register_parameter("in_proj_weight", blank(3 * embed_dim, embed_dim, dtype=dtype) if same else None)
        self.register_parameter("in_proj_bias", blank(3 * embed_dim, dtype=dtype) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, blank(1, 1, embed_dim, dtype=dtype) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Variable,
        key: Variable,
        value: Variable,
        key_padding_mask: Variable | None = None,
        need_weights: bool = True,
        attn_mask: Variable | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Variable, Variable | None]:
        """Computes the output and the weights. ``is_causal`` says that ``attn_mask`` is the causal one, and needs it."""
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal describes attn_mask, which is missing")
        single = query.ndim == 2
        # From here on the layout is (batch, positions, features).
        if single:
            q, k, v = (_core.expand_dims(x, 0) for x in (query, key, value))
        elif self.batch_first:
            q, k, v = query, key, value
        else:
            q, k, v = (_core.swapaxes(x, 0, 1) for x in (query, key, value))
        batch, length = q.shape[:2]
        q, k, v = self._project(q, k, v)
        if self.bias_k is not None and self.bias_v is not None:
            shape = (batch, 1, self.embed_dim)
            k = _core.concat([k, _core.broadcast_to(self.bias_k, shape)], axis=1)
            v = _core.concat([v, _core.broadcast_to(self.bias_v, shape)], axis=1)
        if self.add_zero_attn:
            nothing = _core.zeros((batch, 1, self.embed_dim), dtype=k.dtype)
            k, v = _core.concat([k, nothing], axis=1), _core.concat([v, nothing], axis=1)
        mask = self._mask(key_padding_mask, attn_mask, batch, (length, key.shape[0 if single or not self.batch_first else 1]), k)
        heads = [self._heads(x) for x in (q, k, v)]
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            out, weights = attend(heads[0], heads[1], heads[2], mask, dropout, False)
        else:
            out = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], mask, dropout)
        joined = _core.reshape(_core.permute_dims(out, (0, 2, 1, 3)), (batch, length, self.embed_dim))
        result = self.out_proj(joined)
        shown = None
        if need_weights:
            shown = _core.mean(weights, axis=1) if average_attn_weights else weights
            shown = _core.squeeze(shown, 0) if single else shown
        if single:
            return _core.squeeze(result, 0), shown
        return (result if self.batch_first else _core.swapaxes(result, 0, 1)), shown

    def _check(self, query: Variable, key: Variable, value: Variable) -> None:
        shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise _core.ShapeError(f"MultiheadAttention: inputs must all have 3 dimensions, or 2 without a batch: {shapes}")
        ends = (query.shape[-1], key.shape[-1], value.shape[-1])
        if ends != (self.embed_dim, self.kdim, self.vdim) or key.shape[:-1] != value.shape[:-1]:
            wanted = f"{self.embed_dim}, {self.kdim} and {self.vdim} features, and as many keys as values"
            raise _core.ShapeError(f"MultiheadAttention: expected {wanted}; got {shapes}")
        axis = 0 if self.batch_first else 1
        if query.ndim == 3 and query.shape[axis] != key.shape[axis]:
            raise _core.ShapeError(f"MultiheadAttention: the batch sizes differ: {shapes}")

    def _project(self, q: Variable, k: Variable, v: Variable) -> list[Variable]:
        """The three inputs through their weights."""
        biases: Any = [None] * 3 if self.in_proj_bias is None else _core.split(self.in_proj_bias, 3)
        if self.in_proj_weight is not None:
            if q is k is v:
                return list(_core.split(F.linear(q, self.in_proj_weight, self.in_proj_bias), 3, -1))
            weights: Any = _core.split(self.in_proj_weight, 3)
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        return [F.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases)]

    def _heads(self, x: Variable) -> Variable:
        """(batch, positions, features) as (batch, heads, positions, features of a head)."""
        split = _core.reshape(x, (x.shape[0], x.shape[1], self.num_heads, self.head_dim))
        return _core.permute_dims(split, (0, 2, 1, 3))

    def _mask(self, padding: Any, mask: Any, batch: int, lengths: tuple[int, int], k: Variable) -> Variable | None:
        """Both masks as one that is added, of a shape that broadcasts to (batch, heads, queries, keys)."""
        total = None
        if mask is not None:
            given = _core.asarray(mask)
            if given.shape == lengths:
                given = _core.reshape(given, (1, 1, *lengths))
            elif given.shape == (batch * self.num_heads, *lengths):
                given = _core.reshape(given, (batch, self.num_heads, *lengths))
            else:
                wanted = f"{lengths} or {(batch * self.num_heads, *lengths)}"
                raise _core.ShapeError(f"MultiheadAttention: attn_mask has shape {given.shape}, expected {wanted}")
            total = _added(given, k.dtype)
        if padding is not None:
            given = _core.asarray(padding)
            given = _core.expand_dims(given, 0) if given.ndim == 1 else given
            if given.shape != (batch, lengths[1]):
                raise _core.ShapeError(
                    f"MultiheadAttention: key_padding_mask has shape {given.shape}, expected {(batch, lengths[1])}"
                )
            added = _core.reshape(_added(given, k.dtype), (batch, 1, 1, lengths[1]))
            total = added if total is None else total + added
        if total is not None and k.shape[1] > lengths[1]:
            more = _core.zeros((*total.shape[:3], k.shape[1] - lengths[1]), dtype=k.dtype)
            total = _core.concat([total, more], axis=-1)
        return total


def _added(mask: Variable, dtype: Any) -> Variable:
    """A mask as numbers to add: -inf where a boolean mask is True."""
    if str(mask.dtype) != "bool":
        return mask.astype(dtype)
    return _core.where(mask, _core.full((), -inf, dtype=dtype), _core.zeros((), dtype=dtype))


__all__ = ["MultiheadAttention"]
