"""Layers and losses as functions, with PyTorch's argument names and order; ``axis`` is accepted for ``dim``."""

from __future__ import annotations

from .. import _core
from ._functional import *  # noqa: F403

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Variable


def _axis(name: str, dim: int | None, axis: int | None) -> int:
    if dim is not None and axis is not None:
        raise TypeError(f"{name}: give dim or axis, not both")
    chosen = dim if dim is not None else axis
    return -1 if chosen is None else chosen


def linear(input: Variable, weight: Variable, bias: Variable | None = None) -> Variable:
    """``input @ weight.T + bias`` on the last axis; ``weight`` is (out_features, in_features).

    >>> tg.nn.functional.linear(tg.ones((1, 2)), tg.Variable([[1.0, 2.0]]), tg.Variable([0.5])).tolist()
    [[3.5]]
    """
    return _core.linear(input, weight, bias)


def relu(input: Variable) -> Variable:
    """``max(x, 0)``.

    >>> tg.nn.functional.relu(tg.Variable([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _core.relu(input)


def leaky_relu(input: Variable, negative_slope: float = 0.01) -> Variable:
    """``x`` where positive, else ``negative_slope * x``.

    >>> tg.nn.functional.leaky_relu(tg.Variable([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    return _core.leaky_relu(input, negative_slope)


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


def silu(input: Variable) -> Variable:
    """``x sigmoid(x)``.

    >>> tg.nn.functional.silu(tg.Variable([0.0])).tolist()
    [0.0]
    """
    return _core.silu(input)


def softplus(input: Variable, beta: float = 1.0, threshold: float | None = None) -> Variable:
    """``log(1 + exp(beta x)) / beta``, exact for any ``x``; with a ``threshold``, ``x`` itself where ``beta x`` is above.

    PyTorch's threshold is 20 unless given; the exact value differs from that by less than ``2.1e-9 / beta``.

    >>> round(tg.nn.functional.softplus(tg.Variable(0.0)).item(), 4)
    0.6931
    """
    exact = _core.softplus(input, beta)
    if threshold is None:
        return exact
    _core._number("softplus", "threshold", threshold)
    return _core.where(_core.multiply(input, beta) > threshold, input, exact)


def elu(input: Variable, alpha: float = 1.0) -> Variable:
    """``x`` where positive, else ``alpha (exp(x) - 1)``.

    >>> tg.nn.functional.elu(tg.Variable([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _core.elu(input, alpha)


def softmax(input: Variable, dim: int | None = None, *, axis: int | None = None) -> Variable:
    """Positive numbers that sum to 1 along ``dim``, the last axis unless given.

    >>> tg.nn.functional.softmax(tg.Variable([[1.0, 1.0]]), dim=1).tolist()
    [[0.5, 0.5]]
    """
    return _core.softmax(input, _axis("softmax", dim, axis))


def log_softmax(input: Variable, dim: int | None = None, *, axis: int | None = None) -> Variable:
    """The logarithm of :func:`softmax`, without its rounding to 0.

    >>> tg.nn.functional.log_softmax(tg.Variable([[0.0, 1e4]]), dim=1).tolist()
    [[-10000.0, 0.0]]
    """
    return _core.log_softmax(input, _axis("log_softmax", dim, axis))


def mse_loss(input: Variable, target: Variable, reduction: str = "mean") -> Variable:
    """The squared differences, which have equal shapes; their mean, sum, or with ``"none"`` each.

    >>> tg.nn.functional.mse_loss(tg.Variable([1.0, 2.0]), tg.Variable([0.0, 0.0])).item()
    2.5
    """
    return _core.mse_loss(input, target, reduction=reduction)


def l1_loss(input: Variable, target: Variable, reduction: str = "mean") -> Variable:
    """The absolute differences; their mean, sum, or with ``"none"`` each.

    >>> tg.nn.functional.l1_loss(tg.Variable([1.0, 2.0]), tg.Variable([0.0, 0.0])).item()
    1.5
    """
    return _core.l1_loss(input, target, reduction=reduction)


def huber_loss(input: Variable, target: Variable, reduction: str = "mean", delta: float = 1.0) -> Variable:
    """Half the square of a difference up to ``delta``, its tangents beyond.

    >>> tg.nn.functional.huber_loss(tg.Variable([1.0, 3.0]), tg.Variable([0.0, 0.0]), reduction="none").tolist()
    [0.5, 2.5]
    """
    return _core.huber_loss(input, target, reduction=reduction, delta=delta)


def smooth_l1_loss(input: Variable, target: Variable, reduction: str = "mean", beta: float = 1.0) -> Variable:
    """:func:`huber_loss` divided by ``beta``; with ``beta=0`` it is :func:`l1_loss`.

    >>> tg.nn.functional.smooth_l1_loss(tg.Variable([1.0, 3.0]), tg.Variable([0.0, 0.0]), reduction="none").tolist()
    [0.5, 2.5]
    """
    return _core.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


def nll_loss(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Variable:
    """:func:`cross_entropy` of an input that holds logarithms of probabilities; ``target`` holds class indices.

    >>> tg.nn.functional.nll_loss(tg.Variable([[-0.5, -1.5], [-2.0, -0.25]]), tg.Variable([0, 1])).item()
    0.375
    """
    return _core.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Variable:
    """The negative log-likelihood of ``target`` under ``softmax(input)``; classes are axis 1.

    ``target`` holds class indices, or class probabilities in the shape of ``input``.

    >>> logits, labels = tg.Variable([[0.0, 0.0]]), tg.Variable([1])
    >>> round(tg.nn.functional.cross_entropy(logits, labels).item(), 4)
    0.6931
    """
    return _core.cross_entropy(
        input, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def binary_cross_entropy(input: Variable, target: Variable, weight: Variable | None = None, reduction: str = "mean") -> Variable:
    """The cross-entropy of probabilities ``input`` and ``target`` of yes or no.

    >>> round(tg.nn.functional.binary_cross_entropy(tg.Variable([0.5]), tg.Variable([1.0])).item(), 4)
    0.6931
    """
    return _core.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    reduction: str = "mean",
    pos_weight: Variable | None = None,
) -> Variable:
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, exact for any logit.

    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.Variable([1e4]), tg.Variable([0.0])).item()
    10000.0
    """
    return _core.binary_cross_entropy_with_logits(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)
