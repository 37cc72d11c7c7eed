"""Linear layers, and layers that only change shapes."""

from __future__ import annotations

from math import prod, sqrt

from .. import _core
from .._habits import axis_of
from . import functional as F
from . import init
from .device import check_device
from .module import Module
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
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

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        check_device("Linear", device)
        _core._number("Linear", "in_features", in_features)
        _core._number("Linear", "out_features", out_features)
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear: the numbers of features must not be negative, got {in_features} and {out_features}")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(_core.zeros((out_features, in_features), dtype=dtype))
        if bias:
            self.bias = Parameter(_core.zeros((out_features,), dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new values for the parameters."""
        if self.weight.size:
            init.kaiming_uniform_(self.weight, a=sqrt(5))
        if self.bias is not None and self.in_features:
            bound = 1 / sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        try:
            return _core.linear(input, self.weight, self.bias)
        except _core.ShapeError as error:
            got = getattr(input, "shape", None)
            if not got or got[-1] == self.weight.shape[-1]:
                raise
            expected = f"the last axis of the input has size {got[-1]}, expected in_features = {self.weight.shape[-1]}"
            raise _core.ShapeError(f"{error}; {expected}") from None

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class NonDynamicallyQuantizableLinear(Linear):
    """A :class:`Linear` under the name of PyTorch's that ends an attention; ``type(m) is nn.Linear`` leaves it out there, too."""


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


class Bilinear(Module):
    """``y = x1 W x2 + b`` on the last axes; ``weight`` is (out_features, in1_features, in2_features).

    >>> tg.nn.Bilinear(2, 3, 4)(tg.ones((5, 2)), tg.ones((5, 3))).shape
    (5, 4)
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device("Bilinear", device)
        if in1_features <= 0 or in2_features < 0 or out_features < 0:
            raise ValueError(f"Bilinear: in1_features must be positive, got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(_core.zeros((out_features, in1_features, in2_features), dtype=dtype))
        if bias:
            self.bias = Parameter(_core.zeros((out_features,), dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new values for the parameters, uniform in ±1/√in1_features."""
        bound = 1 / sqrt(self.in1_features)
        for parameter in self._own_parameters():
            init.uniform_(parameter[1], -bound, bound)

    def forward(self, input1: Variable, input2: Variable) -> Variable:
        """Computes the output."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


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


class Unflatten(Module):
    """Makes several axes of the axis ``dim``; one size may be -1.

    >>> tg.nn.Unflatten(1, (3, -1))(tg.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an int, not {type(dim).__name__}; axes have no names here")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        shape, sizes = input.shape, list(self.unflattened_size)
        dim = axis_of("Unflatten", self.dim, len(shape))
        if sizes.count(-1) == 1:
            rest = -prod(sizes)
            sizes[sizes.index(-1)] = shape[dim] // rest if rest else 0
        if prod(sizes) != shape[dim]:
            raise _core.ShapeError(f"Unflatten: axis {self.dim} of {shape} cannot become {self.unflattened_size}")
        return _core.reshape(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


__all__ = ["Bilinear", "Flatten", "Identity", "Linear", "NonDynamicallyQuantizableLinear", "Unflatten"]
