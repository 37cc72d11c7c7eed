"""Parameters whose gradient may be a :class:`RowGradient`."""

from __future__ import annotations

from .. import _core
from .._core import Variable
from .._rows import RowGradient
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class TableParameter(Parameter):
    """A parameter whose gradient may be a :class:`RowGradient`: that of ``nn.Embedding(sparse=True)``."""

    _row_gradient: RowGradient | None = None

    @property
    def grad(self) -> Any:
        """None, the rows that were looked up, or an array where other operations used the table."""
        whole = Variable.grad.__get__(self)
        rows = self._row_gradient
        if rows is None:
            return whole
        return rows if whole is None else whole + rows.to_dense()

    @grad.setter
    def grad(self, value: Any) -> None:
        self._row_gradient = value if isinstance(value, RowGradient) else None
        Variable.grad.__set__(self, None if isinstance(value, RowGradient) else value)  # type: ignore[attr-defined]

    def look_up(self, indices: Variable, padding_idx: int | None) -> Variable:
        """The rows at ``indices``; in a backward pass their gradient is added to :attr:`grad`."""
        flat = _core.reshape(indices, (-1,))
        found = _core.take(self.detach(), flat, 0).requires_grad_(True)

        def deliver(gradient: Variable) -> None:
            rows, values = flat, gradient.detach()
            if padding_idx is not None:
                kept = _core.nonzero(rows != padding_idx)[0]
                rows, values = rows[kept], values[kept]
            new = RowGradient(rows, values, self.shape)
            self._row_gradient = new if self._row_gradient is None else self._row_gradient + new

        found.register_hook(deliver)
        # The result of flatten is not a view of the leaf, so it may be changed in place.
        return _core.reshape(_core.flatten(found), (*indices.shape, self.shape[1]))


def renewed(old: Variable, value: Variable) -> Parameter:
    """A parameter with a new value that replaces ``old``; its gradients may be RowGradients as before."""
    return (TableParameter if isinstance(old, TableParameter) else Parameter)(value, old.requires_grad)


__all__ = ["RowGradient", "TableParameter"]
