"""Linear layers and what only changes shapes."""

from __future__ import annotations

from math import prod, sqrt

from .. import _core
from . import init
from .module import Module
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Variable


class Linear(Module):
    """``y = x Wᵀ + b`` on the last axis; ``weight`` is (out_features, in_features), as in PyTorch.

    Both start uniform in ±1/√in_features.

    >>> layer = tg.nn.Linear(3, 2)
    >>> layer(tg.ones((4, 3))).shape
    (4, 2)
    >>> layer
    Linear(in_features=3, out_features=2, bias=True)
    """

    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None) -> None:
        super().__init__()
        _core._number("Linear", "in_features", in_features)
        _core._number("Linear", "out_features", out_features)
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear: the numbers of features must not be negative, got {in_features} and {out_features}")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(_core.zeros((out_features, in_features), dtype=dtype))
        self.bias = Parameter(_core.zeros((out_features,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        if self.weight.size:
            init.kaiming_uniform_(self.weight, a=sqrt(5))
        if self.bias is not None and self.in_features:
            bound = 1 / sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return _core.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Returns its input; takes any arguments, to stand in for another layer.

    >>> tg.nn.Identity()(tg.Variable([1.0])).tolist()
    [1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Returns its input."""
        return input


class Flatten(Module):
    """Makes one axis of the axes from ``start_dim`` to ``end_dim``, both included.

    >>> tg.nn.Flatten()(tg.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = _core._number("Flatten", "start_dim", start_dim)
        self.end_dim = _core._number("Flatten", "end_dim", end_dim)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        shape = input.shape or (1,)
        ndim = len(shape)
        start, end = (d + ndim if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < ndim:
            raise _core.AxisError(
                f"Flatten: start_dim={self.start_dim} and end_dim={self.end_dim} do not fit an input of {input.ndim} dimensions"
            )
        return _core.reshape(input, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
