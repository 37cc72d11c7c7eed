"""Activations as modules; the functions are in :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

from .. import _core
from . import functional as F
from .device import check_device
from .module import Module
from .parameter import Parameter
from .state import assign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Variable


def _shown(inplace: bool) -> str:
    """What ``repr`` says of an activation that writes to its input."""
    return ", inplace=True" if inplace else ""


class ReLU(Module):
    """``max(x, 0)``; its gradient at 0 is 0. With ``inplace`` it writes to its input, like all that take it.

    >>> tg.nn.ReLU()(tg.Variable([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU6(Module):
    """``min(max(x, 0), 6)``.

    >>> tg.nn.ReLU6()(tg.Variable([-1.0, 7.0])).tolist()
    [0.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """``x`` where positive, else ``negative_slope * x``.

    >>> tg.nn.LeakyReLU(0.5)(tg.Variable([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = _core._number("LeakyReLU", "negative_slope", negative_slope)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + _shown(self.inplace)


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learned weight: one, or one per channel (axis 1).

    >>> tg.nn.PReLU()(tg.Variable([-1.0, 2.0])).tolist()
    [-0.25, 2.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        check_device("PReLU", device)
        self.num_parameters = num_parameters
        self.init = _core._number("PReLU", "init", init)
        self.weight = Parameter(_core.empty((num_parameters,), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes every weight ``init`` again."""
        assign(self.weight, self.init)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """``x`` where positive, else times a slope drawn from [lower, upper) in training, their mean in evaluation.

    >>> tg.nn.RReLU(0.25, 0.75).eval()(tg.Variable([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = _core._number("RReLU", "lower", lower)
        self.upper = _core._number("RReLU", "upper", upper)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + _shown(self.inplace)


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


class LogSigmoid(Module):
    """``log(sigmoid(x))``, exact for any ``x``.

    >>> tg.nn.LogSigmoid()(tg.Variable([-1e4])).tolist()
    [-10000.0]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.logsigmoid(input)


class Softsign(Module):
    """``x / (1 + |x|)``.

    >>> tg.nn.Softsign()(tg.Variable([1.0])).tolist()
    [0.5]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``.

    >>> tg.nn.Tanhshrink()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.tanhshrink(input)


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

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.silu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


Swish = SiLU


class Mish(Module):
    """``x tanh(softplus(x))``.

    >>> tg.nn.Mish()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.mish(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(Module):
    """``x / 6 + 1/2``, limited to [0, 1].

    >>> tg.nn.Hardsigmoid()(tg.Variable([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardswish(Module):
    """``x`` times :class:`Hardsigmoid` of ``x``.

    >>> tg.nn.Hardswish()(tg.Variable([0.0, 3.0])).tolist()
    [0.0, 3.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """``x`` limited to [min_val, max_val].

    >>> tg.nn.Hardtanh()(tg.Variable([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val = _core._number("Hardtanh", "min_val", min_val)
        self.max_val = _core._number("Hardtanh", "max_val", max_val)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + _shown(self.inplace)


class Hardshrink(Module):
    """``x`` outside of [-lambd, lambd], else 0.

    >>> tg.nn.Hardshrink()(tg.Variable([-1.0, 0.5])).tolist()
    [-1.0, 0.0]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = _core._number("Hardshrink", "lambd", lambd)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Module):
    """``x`` moved towards 0 by ``lambd``, and 0 within [-lambd, lambd].

    >>> tg.nn.Softshrink()(tg.Variable([-1.0, 0.25])).tolist()
    [-0.5, 0.0]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = _core._number("Softshrink", "lambd", lambd)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Threshold(Module):
    """``x`` where it is above ``threshold``, else ``value``.

    >>> tg.nn.Threshold(2.0, -5.0)(tg.Variable([1.0, 3.0])).tolist()
    [-5.0, 3.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = _core._number("Threshold", "threshold", threshold)
        self.value = _core._number("Threshold", "value", value)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + _shown(self.inplace)


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``, a smooth ReLU, and ``x`` itself where ``beta x`` is above the threshold, as in PyTorch.

    ``threshold=None`` is exact for any ``x``.

    >>> round(tg.nn.Softplus()(tg.Variable(0.0)).item(), 4)
    0.6931
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = 20.0) -> None:
        super().__init__()
        self.beta = _core._number("Softplus", "beta", beta)
        self.threshold = _core._number("Softplus", "threshold", threshold)

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class ELU(Module):
    """``x`` where positive, else ``alpha (exp(x) - 1)``.

    >>> tg.nn.ELU()(tg.Variable([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = _core._number("ELU", "alpha", alpha)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + _shown(self.inplace)


class SELU(Module):
    """A scaled :class:`ELU` that keeps mean 0 and variance 1 (Klambauer et al. 2017).

    >>> tg.nn.SELU()(tg.Variable([0.0])).tolist()
    [0.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.selu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class CELU(Module):
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)``.

    >>> tg.nn.CELU()(tg.Variable([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = _core._number("CELU", "alpha", alpha)
        self.inplace = inplace

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + _shown(self.inplace)


class GLU(Module):
    """The first half along ``dim`` times the sigmoid of the second half.

    >>> tg.nn.GLU()(tg.Variable([4.0, 0.0])).tolist()
    [2.0]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(Module):
    """Positive numbers that sum to 1 along ``dim``, the last axis unless given.

    >>> tg.nn.Softmax()(tg.Variable([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of :class:`Softmax`, without its rounding to 0.

    >>> tg.nn.LogSoftmax()(tg.Variable([[0.0, 1e4]])).tolist()
    [[-10000.0, 0.0]]
    """

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Module):
    """:class:`Softmax` of ``-x``.

    >>> tg.nn.Softmin()(tg.Variable([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """:class:`Softmax` over the channels of an input (N, C, H, W) or (C, H, W).

    >>> tg.nn.Softmax2d()(tg.zeros((2, 1, 1))).tolist()
    [[[0.5]], [[0.5]]]
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        if input.ndim not in (3, 4):
            raise _core.ShapeError(f"Softmax2d: the input must have 3 or 4 dimensions, not shape {input.shape}")
        return F.softmax(input, -3)


__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Swish",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]
