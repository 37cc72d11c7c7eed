"""The loss of sequences of labels as a module."""

from __future__ import annotations

from . import functional as F
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Variable


class CTCLoss(Module):
    """Connectionist temporal classification: see :func:`tapegrad.nn.functional.ctc_loss`.

    >>> loss = tg.nn.CTCLoss()
    >>> x = tg.log(tg.full((2, 1, 2), 0.5))
    >>> round(loss(x, tg.Variable([[1]]), tg.Variable([2]), tg.Variable([1])).item(), 4)
    0.2877
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(self, log_probs: Variable, targets: Variable, input_lengths: Variable, target_lengths: Variable) -> Variable:
        """Computes the loss."""
        options = (self.blank, self.reduction, self.zero_infinity)
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, *options)


__all__ = [
    "CTCLoss",
]
