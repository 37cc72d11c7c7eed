"""Activations."""

from __future__ import annotations

from ... import _core
from ...autograd import no_grad
from .. import _functional as rows
from .common import axis_of, finish, floating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable


def _cast(input: Any, dtype: Any) -> Any:
    return input if dtype is None else _core.astype(_core.asarray(input), dtype)


def relu(input: Variable, inplace: bool = False) -> Variable:
    """``max(x, 0)``.

    >>> tg.nn.functional.relu(tg.Variable([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return finish(input, _core.relu(input), inplace)


def leaky_relu(input: Variable, negative_slope: float = 0.01, inplace: bool = False) -> Variable:
    """``x`` where positive, else ``negative_slope * x``.

    >>> tg.nn.functional.leaky_relu(tg.Variable([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    return finish(input, _core.leaky_relu(input, negative_slope), inplace)


def prelu(input: Variable, weight: Variable) -> Variable:
    """``x`` where positive, else ``weight * x``; ``weight`` has one entry, or one per channel (axis 1).

    >>> tg.nn.functional.prelu(tg.Variable([-1.0, 2.0]), tg.Variable([0.5])).tolist()
    [-0.5, 2.0]
    """
    return _core.prelu(input, weight)


def sigmoid(input: Variable) -> Variable:
    """``1 / (1 + exp(-x))``.

    >>> tg.nn.functional.sigmoid(tg.Variable([0.0])).tolist()
    [0.5]
    """
    return _core.sigmoid(input)


def tanh(input: Variable) -> Variable:
    """The hyperbolic tangent.

    >>> tg.nn.functional.tanh(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return _core.tanh(input)


def gelu(input: Variable, approximate: str = "none") -> Variable:
    """``x Φ(x)``; ``approximate="tanh"`` takes the formula with a tanh.

    >>> tg.nn.functional.gelu(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return _core.gelu(input, approximate)


def silu(input: Variable, inplace: bool = False) -> Variable:
    """``x sigmoid(x)``.

    >>> tg.nn.functional.silu(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return finish(input, _core.silu(input), inplace)


def softplus(input: Variable, beta: float = 1.0, threshold: float | None = 20.0) -> Variable:
    """``log(1 + exp(beta x)) / beta``, and ``x`` itself where ``beta x`` is above the threshold, as in PyTorch.

    ``threshold=None`` is exact for any ``x``, as ``tg.softplus``; a threshold of 20 is off by less than ``2.1e-9 / beta``.

    >>> round(tg.nn.functional.softplus(tg.Variable(0.0)).item(), 4)
    0.6931
    """
    exact = _core.softplus(input, beta)
    if threshold is None:
        return exact
    # Above 17.4 the values in float32 are the same bits.
    if _core._number("softplus", "threshold", threshold) >= 20.0 and exact.dtype == _core.float32:
        return exact
    return _core.where(_core.multiply(input, beta) > threshold, input, exact)


def elu(input: Variable, alpha: float = 1.0, inplace: bool = False) -> Variable:
    """``x`` where positive, else ``alpha (exp(x) - 1)``.

    >>> tg.nn.functional.elu(tg.Variable([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return finish(input, _core.elu(input, alpha), inplace)


def softmax(input: Variable, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> Variable:
    """Positive numbers that sum to 1 along ``dim``, the last axis unless given.

    >>> tg.nn.functional.softmax(tg.Variable([[1.0, 1.0]]), dim=1).tolist()
    [[0.5, 0.5]]
    """
    return _core.softmax(_cast(input, dtype), axis_of("softmax", dim, axis))


def log_softmax(input: Variable, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> Variable:
    """The logarithm of :func:`softmax`, without its rounding to 0.

    >>> tg.nn.functional.log_softmax(tg.Variable([[0.0, 1e4]]), dim=1).tolist()
    [[-10000.0, 0.0]]
    """
    return _core.log_softmax(_cast(input, dtype), axis_of("log_softmax", dim, axis))


def softmin(input: Variable, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> Variable:
    """:func:`softmax` of ``-input``.

    >>> tg.nn.functional.softmin(tg.Variable([[1.0, 1.0]]), dim=1).tolist()
    [[0.5, 0.5]]
    """
    return _core.softmax(_core.negative(_cast(input, dtype)), axis_of("softmin", dim, axis))


def gumbel_softmax(
    logits: Variable, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, axis: int | None = None
) -> Variable:
    """A random one-hot vector along ``dim`` with the probabilities ``softmax(logits)``, made smooth by ``tau``.

    With ``hard`` the value is one-hot, and its gradient that of the smooth one. ``eps`` has no effect, as in PyTorch.

    >>> tg.nn.functional.gumbel_softmax(tg.zeros((1, 3)), hard=True).sum().item()
    1.0
    """
    _core._number("gumbel_softmax", "tau", tau)
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: tau must be positive, not {tau}")
    x = floating("gumbel_softmax", logits)
    dim = dim if axis is None else axis
    with no_grad():
        noise = -_core.log(-_core.log(_core.uniform(0.0, 1.0, x.shape, dtype=x.dtype)))
    soft = _core.softmax((x + noise) / tau, dim)
    if not hard:
        return soft
    with no_grad():
        best = _core.argmax(soft, axis=dim)
        chosen = _core.moveaxis(_core.one_hot(best, x.shape[dim]).astype(x.dtype), -1, dim)
    return chosen - soft.detach() + soft


def relu6(input: Variable, inplace: bool = False) -> Variable:
    """``min(max(x, 0), 6)``; its gradient at 0 and 6 is 0.

    >>> tg.nn.functional.relu6(tg.Variable([-1.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return finish(input, rows.relu6(input), inplace)


def hardtanh(input: Variable, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Variable:
    """``x`` limited to [min_val, max_val]; its gradient at the limits is 0.

    >>> tg.nn.functional.hardtanh(tg.Variable([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    _core._number("hardtanh", "min_val", min_val)
    _core._number("hardtanh", "max_val", max_val)
    if not min_val <= max_val:
        raise ValueError(f"hardtanh: min_val {min_val} must not be above max_val {max_val}")
    return finish(input, rows.hardtanh(input, min_val, max_val), inplace)


def hardsigmoid(input: Variable, inplace: bool = False) -> Variable:
    """``x / 6 + 1/2``, limited to [0, 1].

    >>> tg.nn.functional.hardsigmoid(tg.Variable([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return finish(input, rows.hardsigmoid(input), inplace)


def hardswish(input: Variable, inplace: bool = False) -> Variable:
    """``x`` times :func:`hardsigmoid` of ``x``.

    >>> tg.nn.functional.hardswish(tg.Variable([0.0, 3.0, 4.0])).tolist()
    [0.0, 3.0, 4.0]
    """
    return finish(input, rows.hardswish(input), inplace)


def hardshrink(input: Variable, lambd: float = 0.5) -> Variable:
    """``x`` outside of [-lambd, lambd], else 0.

    >>> tg.nn.functional.hardshrink(tg.Variable([-1.0, 0.5, 1.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    _core._number("hardshrink", "lambd", lambd)
    x = _core.asarray(input)
    return _core.where(_core.logical_and(x >= -lambd, x <= lambd), 0.0, x)


def softshrink(input: Variable, lambd: float = 0.5) -> Variable:
    """``x`` moved towards 0 by ``lambd``, and 0 within [-lambd, lambd].

    >>> tg.nn.functional.softshrink(tg.Variable([-1.0, 0.25, 1.0])).tolist()
    [-0.5, 0.0, 0.5]
    """
    _core._number("softshrink", "lambd", lambd)
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd must not be negative, not {lambd}")
    x = _core.asarray(input)
    return x - _core.clip(x, -lambd, lambd)


def tanhshrink(input: Variable) -> Variable:
    """``x - tanh(x)``.

    >>> tg.nn.functional.tanhshrink(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return _core.subtract(input, _core.tanh(input))


def softsign(input: Variable) -> Variable:
    """``x / (1 + |x|)``.

    >>> tg.nn.functional.softsign(tg.Variable([1.0])).tolist()
    [0.5]
    """
    return _core.softsign(input)


def logsigmoid(input: Variable) -> Variable:
    """``log(sigmoid(x))``, exact for any ``x``.

    >>> tg.nn.functional.logsigmoid(tg.Variable([-1e4])).tolist()
    [-10000.0]
    """
    return rows.logsigmoid(input)


def selu(input: Variable, inplace: bool = False) -> Variable:
    """A scaled :func:`elu` that keeps mean 0 and variance 1 (Klambauer et al. 2017).

    >>> round(tg.nn.functional.selu(tg.Variable(1.0)).item(), 4)
    1.0507
    """
    return finish(input, rows.selu(input), inplace)


def celu(input: Variable, alpha: float = 1.0, inplace: bool = False) -> Variable:
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)``, whose slope at 0 is 1 for any ``alpha``.

    >>> tg.nn.functional.celu(tg.Variable([0.0, 2.0]), 0.5).tolist()
    [0.0, 2.0]
    """
    _core._number("celu", "alpha", alpha)
    if alpha == 0:
        raise ZeroDivisionError("celu: alpha must not be 0")
    x = _core.asarray(input)
    if alpha > 0:
        out = _core.elu(x / alpha, 1.0) * alpha
    else:
        out = _core.where(x > 0, x, alpha * _core.expm1(_core.where(x > 0, 0.0, x) / alpha))
    return finish(input, out, inplace)


def mish(input: Variable, inplace: bool = False) -> Variable:
    """``x tanh(softplus(x))``.

    >>> tg.nn.functional.mish(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return finish(input, rows.mish(input), inplace)


def glu(input: Variable, dim: int = -1, *, axis: int | None = None) -> Variable:
    """The first half along ``dim`` times the sigmoid of the second half.

    >>> tg.nn.functional.glu(tg.Variable([4.0, 0.0])).tolist()
    [2.0]
    """
    x = _core.asarray(input)
    dim = dim if axis is None else axis
    if not -x.ndim <= dim < x.ndim:
        raise _core.AxisError(f"glu: dim {dim} does not fit an input of {x.ndim} dimensions")
    if x.shape[dim] % 2:
        raise _core.ShapeError(f"glu: the axis that is halved must be even, but axis {dim} of {x.shape} is {x.shape[dim]}")
    a, b = _core.split(x, 2, dim)
    return a * _core.sigmoid(b)


def threshold(input: Variable, threshold: float, value: float, inplace: bool = False) -> Variable:
    """``x`` where it is above ``threshold``, else ``value``.

    >>> tg.nn.functional.threshold(tg.Variable([1.0, 3.0]), 2.0, -5.0).tolist()
    [-5.0, 3.0]
    """
    _core._number("threshold", "threshold", threshold)
    _core._number("threshold", "value", value)
    x = _core.asarray(input)
    return finish(input, _core.where(x <= threshold, value, x), inplace)


def rrelu(
    input: Variable, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Variable:
    """:func:`leaky_relu` with a slope drawn from [lower, upper) for each element in training, else with their mean.

    >>> tg.nn.functional.rrelu(tg.Variable([-1.0, 2.0]), 0.25, 0.75).tolist()
    [-0.5, 2.0]
    """
    _core._number("rrelu", "lower", lower)
    _core._number("rrelu", "upper", upper)
    if not lower <= upper:
        raise ValueError(f"rrelu: lower {lower} must not be above upper {upper}")
    if not training:
        return finish(input, _core.leaky_relu(input, (lower + upper) / 2), inplace)
    x = floating("rrelu", input)
    slopes = _core.uniform(lower, upper, x.shape, dtype=x.dtype)
    return finish(input, x * _core.where(x >= 0, 1.0, slopes), inplace)


def _in_place(function: Any) -> Any:
    """The form of an activation that writes to its input."""

    def changed(input: Variable, *args: Any, **kwargs: Any) -> Variable:
        out: Variable = function(input, *args, **kwargs, inplace=True)
        return out

    changed.__name__ = changed.__qualname__ = f"{function.__name__}_"
    changed.__doc__ = f":func:`{function.__name__}` that writes to its input and returns it."
    return changed


relu_ = _in_place(relu)
elu_ = _in_place(elu)
selu_ = _in_place(selu)
celu_ = _in_place(celu)
leaky_relu_ = _in_place(leaky_relu)
rrelu_ = _in_place(rrelu)
hardtanh_ = _in_place(hardtanh)
threshold_ = _in_place(threshold)

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]
