"""Dropout layers."""

from __future__ import annotations

from . import functional as F
from .functional.common import probability
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Variable


class _Dropout(Module):
    """Base of layers that set values to 0 at random in training and do nothing in evaluation."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = probability(type(self).__name__, p)
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Sets each element to 0 with probability ``p`` in training, and divides the others by ``1 - p``.

    >>> tg.nn.Dropout(0.2).eval()(tg.ones(3)).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """:class:`Dropout` of whole channels of an input (N, C, L) or (C, L).

    >>> tg.nn.Dropout1d(0.2).eval()(tg.ones((1, 1, 3))).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """:class:`Dropout` of whole channels of an input (N, C, H, W) or (C, H, W).

    >>> tg.nn.Dropout2d(0.2).eval()(tg.ones((1, 1, 1, 3))).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """:class:`Dropout` of whole channels of an input (N, C, D, H, W) or (C, D, H, W).

    >>> tg.nn.Dropout3d(0.2).eval()(tg.ones((1, 1, 1, 1, 3))).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, to go with :class:`SELU`.

    >>> tg.nn.AlphaDropout(0.2).eval()(tg.ones(3)).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels, which are axis 1.

    >>> tg.nn.FeatureAlphaDropout(0.2).eval()(tg.ones((1, 1, 3))).sum().item()
    3.0
    """

    def forward(self, input: Variable) -> Variable:
        """Computes the output."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)


__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]
