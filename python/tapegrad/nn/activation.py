"""Activations as modules; the functions are in :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

from .. import _core
from . import functional as F
from .module import Module
from .parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Variable


class ReLU(Module):
    """``max(x, 0)``; its gradient at 0 is 0.

    >>> tg.nn.ReLU()(tg.Variable([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.relu(input)


class LeakyReLU(Module):
    """``x`` where positive, else ``negative_slope * x``.

    >>> tg.nn.LeakyReLU(0.5)(tg.Variable([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = _core._number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learned weight: one, or one per channel (axis 1).

    >>> tg.nn.PReLU()(tg.Variable([-1.0, 2.0])).tolist()
    [-0.25, 2.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        _core._number("PReLU", "init", init)
        self.weight = Parameter(_core.full((num_parameters,), init, dtype=dtype or _core.get_default_dtype()))

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    >>> tg.nn.Sigmoid()(tg.Variable([0.0])).tolist()
    [0.5]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> tg.nn.Tanh()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.tanh(input)


class GELU(Module):
    """``x Φ(x)`` with the normal distribution Φ; ``approximate="tanh"`` takes the formula with a tanh.

    >>> tg.nn.GELU()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """``x sigmoid(x)``, also called swish.

    >>> tg.nn.SiLU()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.silu(input)


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``, a smooth ReLU, exact for any ``x`` unless a ``threshold`` makes it linear above.

    >>> round(tg.nn.Softplus()(tg.Variable(0.0)).item(), 4)
    0.6931
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = None) -> None:
        super().__init__()
        self.beta = _core._number("Softplus", "beta", beta)
        self.threshold = _core._number("Softplus", "threshold", threshold)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}" + ("" if self.threshold is None else f", threshold={self.threshold}")


class ELU(Module):
    """``x`` where positive, else ``alpha (exp(x) - 1)``.

    >>> tg.nn.ELU()(tg.Variable([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = _core._number("ELU", "alpha", alpha)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softmax(Module):
    """Positive numbers that sum to 1 along ``dim``.

    >>> tg.nn.Softmax()(tg.Variable([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of :class:`Softmax`, without its rounding to 0.

    >>> tg.nn.LogSoftmax()(tg.Variable([[0.0, 1e4]])).tolist()
    [[-10000.0, 0.0]]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.log_softmax(input, self.dim)
