"""Distances and similarities as modules."""

from __future__ import annotations

from . import functional as F
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Variable


class CosineSimilarity(Module):
    """``x1 · x2 / (|x1| |x2|)`` along ``dim``.

    >>> tg.nn.CosineSimilarity()(tg.Variable([[1.0, 0.0]]), tg.Variable([[2.0, 0.0]])).tolist()
    [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Variable, x2: Variable) -> Variable:
        """Computes the output."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    >>> tg.nn.PairwiseDistance(eps=0.0)(tg.Variable([[3.0, 4.0]]), tg.zeros((1, 2))).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Variable, x2: Variable) -> Variable:
        """Computes the output."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


__all__ = ["CosineSimilarity", "PairwiseDistance"]
