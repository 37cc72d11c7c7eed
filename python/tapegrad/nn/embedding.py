"""Tables of vectors that are looked up by index."""

from __future__ import annotations

from .. import _core
from . import functional as F
from . import init
from .device import check_device
from .module import Module
from .parameter import Parameter
from .rows import TableParameter
from .state import assign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Variable


class _Table(Module):
    """Base of modules that look up rows of ``weight``."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        given: Variable | None,
        freeze: bool,
        dtype: Any,
        sparse: bool,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        name = type(self).__name__
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"{name}: padding_idx {padding_idx} is out of range for {num_embeddings} rows")
            padding_idx %= num_embeddings
        self.padding_idx, self.sparse = padding_idx, sparse
        kind = TableParameter if sparse else Parameter
        if given is None:
            self.weight = kind(_core.zeros((num_embeddings, embedding_dim), dtype=dtype), not freeze)
            self.reset_parameters()
        else:
            value = _core.asarray(given)
            if value.shape != (num_embeddings, embedding_dim):
                raise _core.ShapeError(f"{name}: the weight must have shape {(num_embeddings, embedding_dim)}, not {value.shape}")
            self.weight = kind(value, not freeze)

    def reset_parameters(self) -> None:
        """Draws new rows from a normal distribution; the row of ``padding_idx`` is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            assign(self.weight.data[self.padding_idx], 0.0)

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        shown = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False}
        for name, default in shown.items():
            value = getattr(self, name, default)
            if value != default and value is not None:
                parts.append(f"{name}={value}")
        return ", ".join(parts)


class Embedding(_Table):
    """A table of ``num_embeddings`` vectors, which are looked up by index; they start normal.

    The vector of ``padding_idx`` starts as zeros and gets no gradient. With ``max_norm`` the vectors that are looked up are
    first shortened to that norm. With ``scale_grad_by_freq`` a gradient is divided by how often its vector is looked up.
    With ``sparse`` the gradient of the weight is a :class:`RowGradient` of the rows that were looked up: a step of ``SGD``
    without momentum or of ``SparseAdam`` then costs those rows and not the table. It is first-order, and goes to ``.grad``
    alone: for ``autograd.grad`` and higher orders leave it off.

    >>> table = tg.nn.Embedding(10, 3)
    >>> table(tg.Variable([[1, 2], [4, 5]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Variable | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_device("Embedding", device)
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, _freeze, dtype, sparse)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Variable,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A module with these vectors, which are not learned unless ``freeze=False``.

        >>> tg.nn.Embedding.from_pretrained(tg.Variable([[1.0], [2.0]]))(tg.Variable([1])).tolist()
        [[2.0]]
        """
        value = _core.asarray(embeddings)
        if value.ndim != 2:
            raise _core.ShapeError(f"Embedding.from_pretrained: embeddings must have 2 dimensions, not shape {value.shape}")
        rows, columns = value.shape
        return cls(rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, value, freeze)


class EmbeddingBag(_Table):
    """The sum, mean or largest values of the vectors of each bag of indices; see ``functional.embedding_bag``.

    >>> bags = tg.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bags(tg.Variable([1, 2, 4, 5]), tg.Variable([0, 3])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Variable | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_device("EmbeddingBag", device)
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode is {mode!r}, expected 'sum', 'mean' or 'max'")
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, False, dtype, sparse)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, input: Variable, offsets: Variable | None = None, per_sample_weights: Variable | None = None) -> Variable:
        """Computes the output."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Variable,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A module with these vectors, which are not learned unless ``freeze=False``."""
        value = _core.asarray(embeddings)
        if value.ndim != 2:
            raise _core.ShapeError(f"EmbeddingBag.from_pretrained: embeddings must have 2 dimensions, not shape {value.shape}")
        rows, columns = value.shape
        made = cls(rows, columns, max_norm, norm_type, scale_grad_by_freq, mode, sparse, value, include_last_offset, padding_idx)
        made.weight.requires_grad_(not freeze)
        return made

    def extra_repr(self) -> str:
        first, *rest = super().extra_repr().split(", padding_idx=")
        return ", padding_idx=".join([f"{first}, mode={self.mode!r}", *rest])


__all__ = ["Embedding", "EmbeddingBag"]
