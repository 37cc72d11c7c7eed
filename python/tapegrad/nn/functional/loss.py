"""Losses. Shapes must match: nothing is broadcast silently."""

from __future__ import annotations

from math import log, pi

from ... import _core
from .common import floating, reduced, same_shape, with_older_flags
from .distance import pairwise_distance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..._core import Variable


@with_older_flags
def mse_loss(input: Variable, target: Variable, reduction: str = "mean", weight: Variable | None = None) -> Variable:
    """The squared differences, which have equal shapes; their mean, sum, or with ``"none"`` each.

    ``weight`` has their shape; the mean is then divided by its sum.

    >>> tg.nn.functional.mse_loss(tg.Variable([1.0, 2.0]), tg.Variable([0.0, 0.0])).item()
    2.5
    """
    if weight is not None:
        return _weighted("mse_loss", _core.mse_loss(input, target, reduction="none"), weight, reduction)
    return _core.mse_loss(input, target, reduction=reduction)


@with_older_flags
def l1_loss(input: Variable, target: Variable, reduction: str = "mean", weight: Variable | None = None) -> Variable:
    """The absolute differences; their mean, sum, or with ``"none"`` each.

    >>> tg.nn.functional.l1_loss(tg.Variable([1.0, 2.0]), tg.Variable([0.0, 0.0])).item()
    1.5
    """
    if weight is not None:
        return _weighted("l1_loss", _core.l1_loss(input, target, reduction="none"), weight, reduction)
    return _core.l1_loss(input, target, reduction=reduction)


def huber_loss(
    input: Variable, target: Variable, reduction: str = "mean", delta: float = 1.0, weight: Variable | None = None
) -> Variable:
    """Half the square of a difference up to ``delta``, its tangents beyond.

    >>> tg.nn.functional.huber_loss(tg.Variable([1.0, 3.0]), tg.Variable([0.0, 0.0]), reduction="none").tolist()
    [0.5, 2.5]
    """
    if weight is not None:
        return _weighted("huber_loss", _core.huber_loss(input, target, reduction="none", delta=delta), weight, reduction)
    return _core.huber_loss(input, target, reduction=reduction, delta=delta)


@with_older_flags
def smooth_l1_loss(input: Variable, target: Variable, reduction: str = "mean", beta: float = 1.0) -> Variable:
    """:func:`huber_loss` divided by ``beta``; with ``beta=0`` it is :func:`l1_loss`.

    >>> tg.nn.functional.smooth_l1_loss(tg.Variable([1.0, 3.0]), tg.Variable([0.0, 0.0]), reduction="none").tolist()
    [0.5, 2.5]
    """
    return _core.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


@with_older_flags
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


@with_older_flags
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


@with_older_flags
def binary_cross_entropy(input: Variable, target: Variable, weight: Variable | None = None, reduction: str = "mean") -> Variable:
    """The cross-entropy of probabilities ``input`` and ``target`` of yes or no.

    >>> round(tg.nn.functional.binary_cross_entropy(tg.Variable([0.5]), tg.Variable([1.0])).item(), 4)
    0.6931
    """
    return _core.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


@with_older_flags
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


def _weighted(name: str, losses: Variable, weight: Any, reduction: str) -> Variable:
    """Losses times weights, and their mean by the sum of the weights."""
    factor = _core.asarray(weight)
    same_shape(name, "input", losses, "weight", factor)
    losses = losses * factor
    return _core.sum(losses) / _core.sum(factor) if reduction == "mean" else reduced(name, losses, reduction)


def _numbers(name: str, **parameters: Any) -> None:
    for key, value in parameters.items():
        _core._number(name, key, value)


def _pair(name: str, input: Any, target: Any) -> tuple[Variable, Variable]:
    """Both as Variables of one shape and floating dtype; Python numbers and lists take the other's dtype."""
    x = floating(name, input)
    y = _core.asarray(target)
    same_shape(name, "input", x, "target", y)
    return x, y if y.dtype.is_floating_point else y.astype(x.dtype)


def _batchmean(name: str, losses: Variable, reduction: str, count: int) -> Variable:
    return _core.sum(losses) / max(count, 1) if reduction == "batchmean" else reduced(name, losses, reduction)


def _entropy_term(target: Variable) -> Variable:
    """``t log t``, which is 0 at 0."""
    zero = target == 0.0
    return _core.where(zero, 0.0, target * _core.log(_core.where(zero, 1.0, target)))


@with_older_flags
def kl_div(input: Variable, target: Variable, reduction: str = "mean", log_target: bool = False) -> Variable:
    """``target (log(target) - input)``, where ``input`` holds logarithms, and with ``log_target`` so does ``target``.

    ``"batchmean"`` divides the sum by the size of axis 0, which makes it the divergence; ``"mean"`` by the number of elements.

    >>> x = tg.log(tg.Variable([[0.5, 0.5]]))
    >>> round(tg.nn.functional.kl_div(x, tg.Variable([[1.0, 0.0]]), reduction="batchmean").item(), 4)
    0.6931
    """
    x, t = _pair("kl_div", input, target)
    losses = _core.exp(t) * (t - x) if log_target else _entropy_term(t) - t * x
    return _batchmean("kl_div", losses, reduction, x.shape[0] if x.ndim else 1)


@with_older_flags
def hinge_embedding_loss(input: Variable, target: Variable, margin: float = 1.0, reduction: str = "mean") -> Variable:
    """``x`` where the target is 1, and ``max(0, margin - x)`` where it is -1.

    >>> tg.nn.functional.hinge_embedding_loss(tg.Variable([0.5, 0.25]), tg.Variable([1.0, -1.0]), reduction="none").tolist()
    [0.5, 0.75]
    """
    _numbers("hinge_embedding_loss", margin=margin)
    x, t = _pair("hinge_embedding_loss", input, target)
    far = _core.where(t != 1.0, _core.clip(margin - x, 0.0, None), 0.0)
    near = _core.where(t != -1.0, x, 0.0)
    return reduced("hinge_embedding_loss", far + near, reduction)


@with_older_flags
def margin_ranking_loss(
    input1: Variable, input2: Variable, target: Variable, margin: float = 0.0, reduction: str = "mean"
) -> Variable:
    """``max(0, -target (input1 - input2) + margin)``; the target is 1 where input1 should be larger, else -1.

    >>> tg.nn.functional.margin_ranking_loss(tg.Variable([1.0]), tg.Variable([3.0]), tg.Variable([1.0])).item()
    2.0
    """
    _numbers("margin_ranking_loss", margin=margin)
    x1, x2 = floating("margin_ranking_loss", input1), floating("margin_ranking_loss", input2)
    same_shape("margin_ranking_loss", "input1", x1, "input2", x2)
    _, t = _pair("margin_ranking_loss", x1, target)
    return reduced("margin_ranking_loss", _core.clip(-t * (x1 - x2) + margin, 0.0, None), reduction)


@with_older_flags
def soft_margin_loss(input: Variable, target: Variable, reduction: str = "mean") -> Variable:
    """``log(1 + exp(-target x))``, exact for any ``x``; the target is 1 or -1.

    >>> tg.nn.functional.soft_margin_loss(tg.Variable([-1e4]), tg.Variable([1.0])).item()
    10000.0
    """
    x, t = _pair("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", _core.softplus(-t * x), reduction)


@with_older_flags
def multilabel_soft_margin_loss(
    input: Variable, target: Variable, weight: Variable | None = None, reduction: str = "mean"
) -> Variable:
    """The mean over classes (the last axis) of the cross-entropy of logits and yes-or-no targets.

    >>> round(tg.nn.functional.multilabel_soft_margin_loss(tg.zeros((1, 2)), tg.Variable([[1.0, 0.0]])).item(), 4)
    0.6931
    """
    x, t = _pair("multilabel_soft_margin_loss", input, target)
    losses = t * _core.softplus(-x) + (1.0 - t) * _core.softplus(x)
    if weight is not None:
        losses = losses * weight
    return reduced("multilabel_soft_margin_loss", _core.mean(losses, axis=-1), reduction)


def _rows(name: str, input: Any, target: Any, target_ndim: int) -> tuple[Variable, Variable, bool]:
    """Logits (N, C) with their targets, and whether they came without the axis N."""
    x, t = floating(name, input), _core.asarray(target)
    if t.dtype.is_floating_point:
        raise _core.DTypeError(f"{name}: targets are class indices, integers, not {t.dtype}")
    if target_ndim == 1 and x.ndim < 2 and t.size == 1 and t.ndim < 2:
        return _core.reshape(x, (1, x.size)), _core.reshape(t, (1,)), t.ndim == 0
    if x.ndim == 1 and t.ndim == target_ndim - 1:
        return _core.expand_dims(x, 0), _core.expand_dims(t, 0), True
    fits = x.ndim == 2 and t.ndim == target_ndim and t.shape == x.shape[:target_ndim]
    if not fits:
        raise _core.ShapeError(
            f"{name}: input {x.shape} and target {t.shape} do not fit: expected (N, C) and (N{', C' * (target_ndim - 1)})"
        )
    return x, t, False


@with_older_flags
def multi_margin_loss(
    input: Variable,
    target: Variable,
    p: int = 1,
    margin: float = 1.0,
    weight: Variable | None = None,
    reduction: str = "mean",
) -> Variable:
    """``Σ max(0, margin - x[target] + x[i])**p / C`` over the classes i but the target; ``weight`` is one for each class.

    >>> tg.nn.functional.multi_margin_loss(tg.Variable([[0.0, 1.0]]), tg.Variable([0])).item()
    1.0
    """
    _numbers("multi_margin_loss", margin=margin)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, not {p}")
    x, t, single = _rows("multi_margin_loss", input, target, 1)
    classes = x.shape[1]
    _check_classes("multi_margin_loss", t, classes, 0)
    column = _core.expand_dims(t, 1)
    losses = _core.clip(margin - _core.take_along_axis(x, column, 1) + x, 0.0, None)
    losses = losses * losses if p == 2 else losses
    if weight is not None:
        losses = losses * _core.take(_core.asarray(weight), column, 0)
    losses = _core.where(_core.one_hot(t, classes) == 1, 0.0, losses)
    total = _core.sum(losses, axis=1) / classes
    return reduced("multi_margin_loss", total[0] if single and reduction == "none" else total, reduction)


def _check_classes(name: str, t: Variable, classes: int, low: int) -> None:
    t = _core._innermost(t)
    known = _core.logical_and(t >= low, t < classes)
    _core._require_all(known, t, f"{name}: target {{}} is out of range for {classes} classes")


@with_older_flags
def multilabel_margin_loss(input: Variable, target: Variable, reduction: str = "mean") -> Variable:
    """``Σ max(0, 1 - (x[j] - x[i])) / C`` over the target classes j and the other classes i.

    A row of ``target`` lists its classes, up to the first -1.

    >>> tg.nn.functional.multilabel_margin_loss(tg.Variable([[0.0, 1.0]]), tg.Variable([[0, -1]])).item()
    1.0
    """
    x, t, single = _rows("multilabel_margin_loss", input, target, 2)
    classes = x.shape[1]
    _check_classes("multilabel_margin_loss", t, classes, -1)
    counts = _core.cumprod((t >= 0).astype(_core.int64), axis=1) > 0
    member = _core.any((_core.expand_dims(t, 2) == _core.arange(classes)) & _core.expand_dims(counts, 2), axis=1)
    wanted = _core.take_along_axis(x, _core.where(counts, t, 0).astype(_core.int64), 1)
    gaps = _core.clip(1.0 - (_core.expand_dims(wanted, 2) - _core.expand_dims(x, 1)), 0.0, None)
    pairs = _core.logical_and(_core.expand_dims(counts, 2), _core.logical_not(_core.expand_dims(member, 1)))
    total = _core.sum(_core.where(pairs, gaps, 0.0), axis=(1, 2)) / classes
    return reduced("multilabel_margin_loss", total[0] if single and reduction == "none" else total, reduction)


@with_older_flags
def cosine_embedding_loss(
    input1: Variable, input2: Variable, target: Variable, margin: float = 0.0, reduction: str = "mean"
) -> Variable:
    """``1 - cos`` where the target is 1, and ``max(0, cos - margin)`` where it is -1; inputs are (N, D) or (D).

    >>> one = tg.Variable([[1.0, 0.0]])
    >>> tg.nn.functional.cosine_embedding_loss(one, one, tg.Variable([1.0])).item()
    0.0
    """
    name = "cosine_embedding_loss"
    _numbers(name, margin=margin)
    a, b, t = floating(name, input1), floating(name, input2), _core.asarray(target)
    same_shape(name, "input1", a, "input2", b)
    if a.ndim not in (1, 2) or t.shape != a.shape[:-1]:
        raise _core.ShapeError(
            f"{name}: inputs {a.shape} and target {t.shape} do not fit: expected (N, D) and (N), or (D) and ()"
        )
    dot, aa, bb = (_core.sum(u * v, axis=-1) for u, v in ((a, b), (a, a), (b, b)))
    cosine = dot / _core.sqrt((aa + 1e-12) * (bb + 1e-12))
    near = _core.where(t == 1, 1.0 - cosine, 0.0)
    far = _core.where(t == -1, _core.clip(cosine - margin, 0.0, None), 0.0)
    return reduced(name, near + far, reduction)


@with_older_flags
def _positive_margin(name: str, margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"{name}: margin is {margin}, expected a number above 0")


def triplet_margin_loss(
    anchor: Variable,
    positive: Variable,
    negative: Variable,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Variable:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with :func:`pairwise_distance`.

    With ``swap`` the distance of positive and negative counts for the second where it is smaller.

    >>> zero, one = tg.zeros((1, 2)), tg.ones((1, 2))
    >>> round(tg.nn.functional.triplet_margin_loss(zero, one, zero).item(), 4)
    2.4142
    """
    _numbers("triplet_margin_loss", margin=margin, p=p, eps=eps)
    _positive_margin("triplet_margin_loss", margin)
    distance = lambda a, b: pairwise_distance(a, b, p, eps)  # noqa: E731
    return _triplet("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Variable,
    positive: Variable,
    negative: Variable,
    *,
    distance_function: Callable[[Variable, Variable], Variable] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Variable:
    """:func:`triplet_margin_loss` with any distance.

    >>> zero, one = tg.zeros((1, 2)), tg.ones((1, 2))
    >>> city = lambda a, b: tg.sum(tg.abs(a - b), axis=-1)
    >>> tg.nn.functional.triplet_margin_with_distance_loss(zero, one, zero, distance_function=city).item()
    3.0
    """
    _numbers("triplet_margin_with_distance_loss", margin=margin)
    _positive_margin("triplet_margin_with_distance_loss", margin)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet("triplet_margin_with_distance_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    name: str, inputs: tuple[Any, Any, Any], distance: Callable[[Any, Any], Any], margin: float, swap: bool, reduction: str
) -> Variable:
    anchor, positive, negative = (floating(name, x) for x in inputs)
    same_shape(name, "anchor", anchor, "positive", positive)
    same_shape(name, "anchor", anchor, "negative", negative)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _core.minimum(far, distance(positive, negative))
    return reduced(name, _core.clip(near - far + margin, 0.0, None), reduction)


def gaussian_nll_loss(
    input: Variable,
    target: Variable,
    var: Variable | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Variable:
    """``(log(var) + (input - target)² / var) / 2``, with ``full`` the constant too; variances below ``eps`` count as ``eps``.

    ``var`` is a number, or has the shape of the input, or that shape without the last axis or with 1 along one axis; so may
    ``target``.

    >>> tg.nn.functional.gaussian_nll_loss(tg.Variable([1.0]), tg.Variable([3.0]), tg.ones(1)).item()
    2.0
    """
    name = "gaussian_nll_loss"
    _numbers(name, eps=eps)
    x = floating(name, input)
    t = _like(name, "target", _core.asarray(target).astype(x.dtype), x)
    v = _core.full(x.shape, var, dtype=x.dtype) if isinstance(var, (int, float)) else _like(name, "var", floating(name, var), x)
    plain = _core._innermost(v)
    _core._require_all(_core.logical_not(plain < 0.0), plain, f"{name}: var has a negative element, {{}}")
    fixed = v.detach()
    v = v + (_core.clip(fixed, eps, None) - fixed)  # limited in value, not in the gradient
    losses = 0.5 * (_core.log(v) + (x - t) * (x - t) / v)
    return reduced(name, losses + 0.5 * log(2 * pi) if full else losses, reduction)


def _like(name: str, what: str, value: Variable, x: Variable) -> Variable:
    """``value``, which has the shape of ``x``, or that shape without the last axis or with 1 along one axis."""
    if value.shape != x.shape:
        if value.shape == x.shape[:-1]:
            return _core.expand_dims(value, -1)
        other = [n for n, m in zip(value.shape, x.shape, strict=False) if n != m]
        if value.ndim != x.ndim or other != [1]:
            raise _core.ShapeError(f"{name}: {what} {value.shape} does not fit the input {x.shape}")
    return value


@with_older_flags
def poisson_nll_loss(
    input: Variable,
    target: Variable,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Variable:
    """``exp(x) - target x``, or without ``log_input`` ``x - target log(x + eps)``; with ``full`` Stirling's term of the target.

    >>> tg.nn.functional.poisson_nll_loss(tg.zeros(1), tg.Variable([3.0])).item()
    1.0
    """
    _numbers("poisson_nll_loss", eps=eps)
    x, t = _pair("poisson_nll_loss", input, target)
    losses = _core.exp(x) - t * x if log_input else x - t * _core.log(x + eps)
    if full:
        above = t > 1.0
        safe = _core.where(above, t, 1.0)
        losses = losses + _core.where(above, safe * _core.log(safe) - safe + 0.5 * _core.log(2 * pi * safe), 0.0)
    return reduced("poisson_nll_loss", losses, reduction)


def focal_loss(
    input: Variable,
    target: Variable,
    gamma: float = 2.0,
    alpha: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Variable:
    """Cross-entropy times ``(1 - p)**gamma`` with ``p`` the probability of the target (Lin et al. 2017).

    With class indices as the target, ``input`` holds logits with classes on axis 1, and ``alpha`` is None or one weight for
    each class. With a floating target of the input's shape the logits are of yes or no, and ``alpha`` is None or the weight
    of yes; no has ``1 - alpha``.

    >>> round(tg.nn.functional.focal_loss(tg.Variable([[0.0, 0.0]]), tg.Variable([1])).item(), 4)
    0.1733
    """
    _numbers("focal_loss", gamma=gamma)
    x, t = floating("focal_loss", input), _core.asarray(target)
    if t.dtype.is_floating_point:
        return sigmoid_focal_loss(x, t, -1.0 if alpha is None else alpha, gamma, reduction)
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if x.ndim == 0 or t.shape != shape:
        raise _core.ShapeError(f"focal_loss: input {x.shape} and target {t.shape} do not fit: expected (N, C, …) and (N, …)")
    entropy = _core.cross_entropy(x, t, weight=None, ignore_index=ignore_index, reduction="none", label_smoothing=0.0)
    losses = entropy * (-_core.expm1(-entropy)) ** gamma
    if alpha is not None:
        kept = t != ignore_index
        losses = losses * _core.where(kept, _core.take(_core.asarray(alpha), _core.where(kept, t, 0), 0), 0.0)
    if reduction == "mean":
        return _core.sum(losses) / _core.sum((t != ignore_index).astype(x.dtype))
    return reduced("focal_loss", losses, reduction)


def sigmoid_focal_loss(
    inputs: Variable, targets: Variable, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Variable:
    """:func:`focal_loss` of logits of yes or no, with torchvision's arguments; a negative ``alpha`` means no weights.

    >>> round(tg.nn.functional.sigmoid_focal_loss(tg.zeros(1), tg.ones(1)).item(), 4)
    0.0433
    """
    _numbers("sigmoid_focal_loss", alpha=alpha, gamma=gamma)
    x, t = _pair("sigmoid_focal_loss", inputs, targets)
    entropy = t * _core.softplus(-x) + (1.0 - t) * _core.softplus(x)
    missed = t * _core.sigmoid(-x) + (1.0 - t) * _core.sigmoid(x)
    losses = entropy * missed**gamma
    if alpha >= 0:
        losses = losses * (t * alpha + (1.0 - t) * (1.0 - alpha))
    return reduced("sigmoid_focal_loss", losses, reduction)


__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "focal_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]
