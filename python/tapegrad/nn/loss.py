"""Losses as modules; the functions are in :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

from .. import _core
from . import functional as F
from .distance import PairwiseDistance
from .functional.common import older_reduction
from .functional.loss import _positive_margin
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from .._core import Variable


class _Loss(Module):
    """Base of the losses. The two flags are PyTorch's older names of the reduction."""

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    reduction: str

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = older_reduction(size_average, reduce)
        if reduction not in self.reductions:
            known = ", ".join(map(repr, self.reductions))
            raise ValueError(f"{type(self).__name__}: reduction is {reduction!r}, expected one of {known}")
        self.reduction = reduction

    def _numbers(self, **parameters: Any) -> None:
        """Keeps options that must be numbers: no gradient flows to them."""
        for name, value in parameters.items():
            setattr(self, name, _core._number(type(self).__name__, name, value))

    def _arrays(self, **parameters: Any) -> None:
        """Keeps options that are arrays as buffers, so that they are part of the state."""
        for name, value in parameters.items():
            self.register_buffer(name, None if value is None else _core.asarray(value))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _core.Variable) and isinstance(self.__dict__.get(name), (int, float)):
            value = _core._number(type(self).__name__, name, value)  # no gradient flows through an option that is a number
        super().__setattr__(name, value)


class _WeightedLoss(_Loss):
    """Base of the losses with weights, which are a buffer."""

    def __init__(
        self,
        weight: Variable | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._arrays(weight=weight)


class MSELoss(_Loss):
    """The mean (or sum) of (input - target)², for equal shapes.

    >>> tg.nn.MSELoss()(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0])).item()
    2.0
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean (or sum) of |input - target|, for equal shapes.

    >>> tg.nn.L1Loss(reduction="sum")(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 4.0])).item()
    2.0
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """d²/2 where |d| <= delta, delta (|d| - delta/2) elsewhere, with d = input - target.

    >>> tg.nn.HuberLoss(reduction="none")(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0])).tolist()
    [0.5, 2.5]
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self._numbers(delta=delta)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """d²/(2 beta) where |d| < beta, |d| - beta/2 elsewhere, with d = input - target.

    >>> tg.nn.SmoothL1Loss(reduction="none")(tg.Variable([1.0, 2.0]), tg.Variable([2.0, 5.0])).tolist()
    [0.5, 2.5]
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(beta=beta)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of logits, whose classes lie on axis 1, against class indices or class probabilities.

    ``weight`` holds one weight for each class; targets equal to ``ignore_index`` do not count; ``label_smoothing`` is the share
    of a target that is given to all classes alike. See ``functional.cross_entropy``.

    >>> loss = tg.nn.CrossEntropyLoss()
    >>> round(loss(tg.Variable([[0.0, 0.0]]), tg.Variable([1])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Variable | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self._numbers(label_smoothing=label_smoothing, ignore_index=ignore_index)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of an input that holds logarithms of class probabilities on axis 1.

    >>> tg.nn.NLLLoss()(tg.Variable([[-0.5, -1.5], [-2.0, -0.25]]), tg.Variable([0, 1])).item()
    0.375
    """

    def __init__(
        self,
        weight: Variable | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self._numbers(ignore_index=ignore_index)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCELoss(_WeightedLoss):
    """Cross-entropy of probabilities of yes or no; ``weight`` broadcasts to the input.

    >>> round(tg.nn.BCELoss()(tg.Variable([0.5, 0.5]), tg.Variable([0.0, 1.0])).item(), 4)
    0.6931
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Cross-entropy of logits of yes or no, exact for any logit; ``weight``, and ``pos_weight`` of yes, broadcast to the input.

    >>> tg.nn.BCEWithLogitsLoss(reduction="sum")(tg.Variable([1e4]), tg.Variable([0.0])).item()
    10000.0
    """

    def __init__(
        self,
        weight: Variable | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Variable | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self._arrays(pos_weight=pos_weight)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """``target (log(target) - input)``, where ``input`` holds logarithms, and with ``log_target`` so does ``target``.

    ``"batchmean"`` divides the sum by the size of axis 0, which makes it the divergence.

    >>> x = tg.log(tg.Variable([[0.5, 0.5]]))
    >>> round(tg.nn.KLDivLoss(reduction="batchmean")(x, tg.Variable([[1.0, 0.0]])).item(), 4)
    0.6931
    """

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum", "batchmean")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.kl_div(input, target, log_target=self.log_target, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """``x`` where the target is 1, and ``max(0, margin - x)`` where it is -1.

    >>> tg.nn.HingeEmbeddingLoss(reduction="sum")(tg.Variable([0.5, 0.25]), tg.Variable([1.0, -1.0])).item()
    1.25
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(margin=margin)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, -target (input1 - input2) + margin)``; the target is 1 where input1 should be larger, else -1.

    >>> tg.nn.MarginRankingLoss()(tg.Variable([1.0]), tg.Variable([3.0]), tg.Variable([1.0])).item()
    2.0
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(margin=margin)

    def forward(self, input1: Variable, input2: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target x))``; the target is 1 or -1.

    >>> tg.nn.SoftMarginLoss()(tg.Variable([-1e4]), tg.Variable([1.0])).item()
    10000.0
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_Loss):
    """``Σ max(0, margin - x[target] + x[i])**p / C`` over the classes i but the target.

    >>> tg.nn.MultiMarginLoss()(tg.Variable([[0.0, 1.0]]), tg.Variable([0])).item()
    1.0
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Variable | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(margin=margin)
        self._arrays(weight=weight)
        self.p = p

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.multi_margin_loss(input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """``Σ max(0, 1 - (x[j] - x[i])) / C`` over the target classes j and the other classes i; -1 ends a list of classes.

    >>> tg.nn.MultiLabelMarginLoss()(tg.Variable([[0.0, 1.0]]), tg.Variable([[0, -1]])).item()
    1.0
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes (the last axis) of the cross-entropy of logits and yes-or-no targets.

    >>> round(tg.nn.MultiLabelSoftMarginLoss()(tg.zeros((1, 2)), tg.Variable([[1.0, 0.0]])).item(), 4)
    0.6931
    """

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` where the target is 1, and ``max(0, cos - margin)`` where it is -1; inputs are (N, D) or (D).

    >>> one = tg.Variable([[1.0, 0.0]])
    >>> tg.nn.CosineEmbeddingLoss()(one, one, tg.Variable([1.0])).item()
    0.0
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(margin=margin)

    def forward(self, input1: Variable, input2: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the ``p``-norm as the distance.

    With ``swap`` the distance of positive and negative counts for the second where it is smaller.

    >>> zero, one = tg.zeros((1, 2)), tg.ones((1, 2))
    >>> round(tg.nn.TripletMarginLoss()(zero, one, zero).item(), 4)
    2.4142
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(margin=margin, p=p, eps=eps)
        _positive_margin(type(self).__name__, margin)
        self.swap = swap

    def forward(self, anchor: Variable, positive: Variable, negative: Variable) -> Variable:
        """The loss."""
        return F.triplet_margin_loss(
            anchor, positive, negative, margin=self.margin, p=self.p, eps=self.eps, swap=self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` with any distance, a function of two arrays.

    >>> zero, one = tg.zeros((1, 2)), tg.ones((1, 2))
    >>> city = lambda a, b: tg.sum(tg.abs(a - b), axis=-1)
    >>> tg.nn.TripletMarginWithDistanceLoss(distance_function=city)(zero, one, zero).item()
    3.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Variable, Variable], Variable] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._numbers(margin=margin)
        _positive_margin(type(self).__name__, margin)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.swap = swap

    def forward(self, anchor: Variable, positive: Variable, negative: Variable) -> Variable:
        """The loss."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """``(log(var) + (input - target)² / var) / 2``, with ``full`` the constant too; variances are at least ``eps``.

    >>> tg.nn.GaussianNLLLoss()(tg.Variable([1.0]), tg.Variable([3.0]), tg.ones(1)).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._numbers(eps=eps)
        self.full = full

    def forward(self, input: Variable, target: Variable, var: Variable | float) -> Variable:
        """The loss."""
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """``exp(x) - target x``, or without ``log_input`` ``x - target log(x + eps)``; with ``full`` Stirling's term too.

    >>> tg.nn.PoissonNLLLoss()(tg.zeros(1), tg.Variable([3.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self._numbers(eps=eps)
        self.log_input, self.full = log_input, full

    def forward(self, log_input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


class FocalLoss(_Loss):
    """Cross-entropy times ``(1 - p)**gamma`` with ``p`` the probability of the target (Lin et al. 2017).

    With class indices as the target ``alpha`` is None or one weight for each class; with a floating target of the input's
    shape, of yes or no, it is None or the weight of yes. See ``functional.focal_loss``.

    >>> round(tg.nn.FocalLoss()(tg.Variable([[0.0, 0.0]]), tg.Variable([1])).item(), 4)
    0.1733
    """

    def __init__(self, gamma: float = 2.0, alpha: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._numbers(gamma=gamma)
        if alpha is None or isinstance(alpha, (int, float)):
            self.alpha = alpha
        else:
            self._arrays(alpha=alpha)
        self._numbers(ignore_index=ignore_index)

    def forward(self, input: Variable, target: Variable) -> Variable:
        """The loss."""
        return F.focal_loss(input, target, self.gamma, self.alpha, self.ignore_index, self.reduction)


__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]
