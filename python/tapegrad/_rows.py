"""Sparse gradients of embedding tables: only the rows that a step looked up, with their values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _core
from ._core import Variable
from .autograd import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class RowGradient:
    """Rows of a gradient and their values; all other rows are zero. One row may appear several times: then values add up.

    It is the ``.grad`` of the weight of ``nn.Embedding(sparse=True)``. ``SGD`` without momentum and ``SparseAdam`` read its
    rows alone, other optimizers :meth:`to_dense`.

    >>> table = tg.nn.Embedding(1000, 2, sparse=True)
    >>> table(tg.Variable([7, 7, 3])).sum().backward()
    >>> grad = table.weight.grad.coalesce()
    >>> grad.rows.tolist(), grad.values.tolist(), grad.shape
    ([3, 7], [[1.0, 1.0], [2.0, 2.0]], (1000, 2))
    """

    is_sparse = True
    requires_grad = False
    #: Whether a RowGradient was ever created: until then optimizers need not look for them.
    used: bool = False

    def __init__(self, rows: Variable, values: Variable, shape: tuple[int, ...], coalesced: bool = False) -> None:
        RowGradient.used = True
        self.rows, self.values, self.shape = rows, values, tuple(shape)
        self._coalesced = coalesced

    @property
    def dtype(self) -> _core.DType:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the whole gradient."""
        return len(self.shape)

    def is_coalesced(self) -> bool:
        """Whether each row appears once, in order."""
        return self._coalesced

    def coalesce(self) -> RowGradient:
        """The gradient with each row once, in order."""
        if self._coalesced:
            return self
        rows, places = _core.unique_inverse(self.rows)
        with no_grad():
            blank = _core.zeros((rows.size, *self.shape[1:]), dtype=self.dtype)
            values = _core.index_add(blank, 0, _core.reshape(places, (-1,)), self.values)
        return RowGradient(rows, values, self.shape, coalesced=True)

    def to_dense(self) -> Variable:
        """The whole gradient, an array."""
        with no_grad():
            return _core.index_add(_core.zeros(self.shape, dtype=self.dtype), 0, self.rows, self.values)

    def detach(self) -> RowGradient:
        """The gradient itself, which has no history."""
        return self

    def clone(self) -> RowGradient:
        """A copy."""
        return RowGradient(self.rows.clone(), self.values.clone(), self.shape, self._coalesced)

    def mul_(self, factor: float) -> RowGradient:
        """Multiplies the values, in place."""
        with no_grad():
            self.values = self.values * factor
        return self

    def __neg__(self) -> RowGradient:
        return RowGradient(self.rows, -self.values, self.shape, self._coalesced)

    def __add__(self, other: RowGradient) -> RowGradient:
        if not isinstance(other, RowGradient):
            return NotImplemented
        rows, values = (_core.concat([getattr(g, what) for g in (self, other)], axis=0) for what in ("rows", "values"))
        return RowGradient(rows, values, self.shape)

    def __repr__(self) -> str:
        return f"RowGradient({self.rows.size} rows of shape {self.shape}, dtype={self.dtype})"


def row_gradients(parameters: Iterable[Any]) -> list[Any]:
    """The parameters whose gradient is a RowGradient."""
    if not RowGradient.used:
        return []
    return [p for p in parameters if isinstance(p, Variable) and p.is_leaf and isinstance(p.grad, RowGradient)]


def whole(grad: Any) -> Variable:
    """A gradient as a dense array without a history."""
    found: Variable = grad.to_dense() if isinstance(grad, RowGradient) else grad.detach()
    return found


@contextmanager
def values_in_place(parameters: Any) -> Iterator[Any]:
    """The parameters, with a stand-in for each RowGradient: the gradient of the stand-in is the array of row values."""
    if not RowGradient.used or not isinstance(parameters, (Variable, list, tuple, Iterator)):
        yield parameters
        return
    parts = [parameters] if isinstance(parameters, Variable) else list(parameters)
    stand_ins: dict[int, Variable] = {}
    tables = row_gradients(parts)
    for p in tables:
        p.grad = p.grad.coalesce()
        stand_ins[id(p)] = p.grad.values.clone().requires_grad_(True)
        stand_ins[id(p)].grad = p.grad.values
    yield [stand_ins.get(id(p), p) for p in parts]
    for p in tables:
        p.grad = RowGradient(p.grad.rows, stand_ins[id(p)].grad, p.shape, coalesced=True)  # type: ignore[arg-type]


__all__ = ["RowGradient", "row_gradients", "values_in_place", "whole"]
