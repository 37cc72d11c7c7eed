"""Distances and similarities of vectors."""

from __future__ import annotations

from ... import _core
from .common import axis_of, floating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core import Variable


def cosine_similarity(
    x1: Variable, x2: Variable, dim: int | None = None, eps: float = 1e-8, *, axis: int | None = None
) -> Variable:
    """``x1 · x2 / (|x1| |x2|)`` along ``dim`` (1 unless given); norms below ``eps`` count as ``eps``. The inputs broadcast.

    >>> tg.nn.functional.cosine_similarity(tg.Variable([[1.0, 0.0]]), tg.Variable([[2.0, 0.0]])).tolist()
    [1.0]
    """
    dim = axis_of("cosine_similarity", dim, axis, 1)
    a, b = floating("cosine_similarity", x1), floating("cosine_similarity", x2)
    try:
        a, b = _core.broadcast_arrays(a, b)
    except _core.ShapeError:
        raise _core.ShapeError(
            f"cosine_similarity: shapes {a.shape} and {b.shape} do not broadcast; expected equal shapes"
        ) from None
    sizes = [_core.maximum(_core.norm(x, 2, axis=dim, keepdims=True), eps) for x in (a, b)]
    return _core.sum((a / sizes[0]) * (b / sizes[1]), axis=dim)


def pairwise_distance(x1: Variable, x2: Variable, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Variable:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    >>> tg.nn.functional.pairwise_distance(tg.Variable([[3.0, 4.0]]), tg.zeros((1, 2)), eps=0.0).tolist()
    [5.0]
    """
    difference = _core.subtract(x1, x2) + eps
    if difference.ndim == 0:
        raise _core.ShapeError("pairwise_distance: the inputs need at least one dimension")
    return _core.norm(difference, p, axis=-1, keepdims=keepdim)


__all__ = ["cosine_similarity", "pairwise_distance"]
