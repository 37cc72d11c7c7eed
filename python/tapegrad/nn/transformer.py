"""Transformer layers (Vaswani et al. 2017)."""

from __future__ import annotations

import copy
from math import inf

from .. import _core
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._core import Variable

    Activation = Callable[[Variable], Variable]


def _activation(name: str, activation: Any) -> Activation:
    if callable(activation):
        found: Activation = activation
        return found
    known: dict[str, Activation] = {"relu": F.relu, "gelu": F.gelu}
    if activation not in known:
        raise ValueError(f"{name}: activation is {activation!r}, expected 'relu', 'gelu' or a function")
    return known[activation]


class _Layer(Module):
    """Base of encoder and decoder layers."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Any,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        cross: bool,
        eps: float,
        dtype: Any,
    ) -> None:
        super().__init__()
        count = 3 if cross else 2
        for name in ("self_attn", "multihead_attn")[: 2 if cross else 1]:
            attention = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for i in range(1, count + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps, bias=bias, dtype=dtype))
        for i in range(1, count + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _attend(
        self, attention: MultiheadAttention, dropout: Any, x: Variable, memory: Variable, mask: Any, padding: Any, causal: Any
    ) -> Variable:
        out, _ = attention(
            x, memory, memory, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=bool(causal)
        )
        dropped: Variable = dropout(out)
        return dropped

    def _feed(self, x: Variable, dropout: Any) -> Variable:
        out: Variable = dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return out


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each added to its input and normalised, after it or with ``norm_first`` before.

    >>> layer = tg.nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, batch_first=True)
    >>> layer(tg.ones((1, 3, 4))).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_device(device)
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, batch_first, norm_first, bias, False, layer_norm_eps, dtype
        )

    def forward(
        self,
        src: Variable,
        src_mask: Variable | None = None,
        src_key_padding_mask: Variable | None = None,
        is_causal: bool = False,
    ) -> Variable:
        """Computes the output. ``is_causal`` says that ``src_mask`` is the causal one."""

        def attend(x: Variable) -> Variable:
            return self._attend(self.self_attn, self.dropout1, x, x, src_mask, src_key_padding_mask, is_causal)

        x = src
        if self.norm_first:
            x = x + attend(self.norm1(x))
            return x + self._feed(self.norm2(x), self.dropout2)
        x = self.norm1(x + attend(x))
        out: Variable = self.norm2(x + self._feed(x, self.dropout2))
        return out


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output and two linear layers, each added to its input and normalised.

    >>> layer = tg.nn.TransformerDecoderLayer(4, 2, dim_feedforward=8, batch_first=True)
    >>> layer(tg.ones((1, 3, 4)), tg.ones((1, 5, 4))).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_device(device)
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, batch_first, norm_first, bias, True, layer_norm_eps, dtype
        )

    def forward(
        self,
        tgt: Variable,
        memory: Variable,
        tgt_mask: Variable | None = None,
        memory_mask: Variable | None = None,
        tgt_key_padding_mask: Variable | None = None,
        memory_key_padding_mask: Variable | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Variable:
        """Computes the output. The ``is_causal`` flags say that masks are causal ones."""

        def own(x: Variable) -> Variable:
            return self._attend(self.self_attn, self.dropout1, x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal)

        def other(x: Variable) -> Variable:
            masks = (memory_mask, memory_key_padding_mask, memory_is_causal)
            return self._attend(self.multihead_attn, self.dropout2, x, memory, *masks)

        x = tgt
        if self.norm_first:
            x = x + own(self.norm1(x))
            x = x + other(self.norm2(x))
            return x + self._feed(self.norm3(x), self.dropout3)
        x = self.norm1(x + own(x))
        x = self.norm2(x + other(x))
        out: Variable = self.norm3(x + self._feed(x, self.dropout3))
        return out


def _check_device(device: Any) -> None:
    from .device import check_device

    check_device("Transformer", device)


def _clones(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, one after the other, and a last normalisation ``norm``.

    ``enable_nested_tensor`` and ``mask_check`` choose how PyTorch computes; they have no effect here.

    >>> layer = tg.nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, batch_first=True)
    >>> tg.nn.TransformerEncoder(layer, 2)(tg.ones((1, 3, 4))).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Variable,
        mask: Variable | None = None,
        src_key_padding_mask: Variable | None = None,
        is_causal: bool | None = None,
    ) -> Variable:
        """Computes the output. ``is_causal`` says that ``mask`` is the causal one."""
        out = src
        for layer in self.layers:
            out = layer(out, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return out if self.norm is None else self.norm(out)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, one after the other, and a last normalisation ``norm``.

    >>> layer = tg.nn.TransformerDecoderLayer(4, 2, dim_feedforward=8, batch_first=True)
    >>> tg.nn.TransformerDecoder(layer, 2)(tg.ones((1, 3, 4)), tg.ones((1, 5, 4))).shape
    (1, 3, 4)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Variable,
        memory: Variable,
        tgt_mask: Variable | None = None,
        memory_mask: Variable | None = None,
        tgt_key_padding_mask: Variable | None = None,
        memory_key_padding_mask: Variable | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Variable:
        """Computes the output. The ``is_causal`` flags say that masks are causal ones."""
        out = tgt
        for layer in self.layers:
            out = layer(
                out,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return out if self.norm is None else self.norm(out)


class Transformer(Module):
    """An encoder and a decoder, made of the layers above unless given.

    >>> model = tg.nn.Transformer(4, 2, 1, 1, dim_feedforward=8, batch_first=True)
    >>> model(tg.ones((1, 5, 4)), tg.ones((1, 3, 4))).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: Any = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype
        )  # fmt: skip
        norms = [LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2)]
        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*options), num_encoder_layers, norms[0])
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*options), num_decoder_layers, norms[1])
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Variable,
        tgt: Variable,
        src_mask: Variable | None = None,
        tgt_mask: Variable | None = None,
        memory_mask: Variable | None = None,
        src_key_padding_mask: Variable | None = None,
        tgt_key_padding_mask: Variable | None = None,
        memory_key_padding_mask: Variable | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Variable:
        """Computes the output. The ``is_causal`` flags say that masks are causal ones."""
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise _core.ShapeError(f"Transformer: the last axes of {src.shape} and {tgt.shape} must be d_model {self.d_model}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        out: Variable = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return out

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Variable:
        """A mask that is added: -inf above the diagonal, else 0; position i sees those up to i.

        >>> tg.nn.Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        _check_device(device)
        allowed = _core.tril(_core.ones((sz, sz), dtype=_core.bool))
        return _core.where(allowed, _core.zeros((), dtype=dtype), _core.full((), -inf, dtype=dtype))


__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]
