"""Dropout: elements or channels set to zero at random in training."""

from __future__ import annotations

from ... import _core
from .. import _functional as rows
from .common import finish, floating, probability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core import Variable

#: The constants of :func:`selu`, with which activations keep mean 0 and variance 1.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _kept(x: Variable, p: float, mask_axes: int | None) -> Variable:
    """A mask: 1 where an element is kept, else 0. ``mask_axes``: the mask has the first axes of ``x``, the others have size 1."""
    shape = x.shape if mask_axes is None else (*x.shape[:mask_axes], *(1 for _ in x.shape[mask_axes:]))
    return _core.bernoulli(1.0 - p, shape, dtype=x.dtype)


def dropout(input: Variable, p: float = 0.5, training: bool = True, inplace: bool = False) -> Variable:
    """Sets each element to 0 with probability ``p`` in training, and divides the others by ``1 - p``.

    >>> tg.nn.functional.dropout(tg.ones(3), 0.5, training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return _dropped("dropout", input, p, training, inplace, None)


def _dropped(name: str, input: Variable, p: float, training: bool, inplace: bool, mask_axes: int | None) -> Variable:
    """Dropout whose mask has ``mask_axes`` axes of the input, and one element along the others."""
    probability(name, p)
    if not training or p == 0.0:
        return input
    x = floating(name, input)
    if p == 1.0:
        return finish(input, x * 0.0, inplace)
    if not _core._is_mapping():
        return finish(input, rows._dropout(x, p, mask_axes), inplace)
    return finish(input, x * (_kept(x, p, mask_axes) * (1.0 / (1.0 - p))), inplace)


def _channels(name: str, input: Variable, p: float, training: bool, inplace: bool, ranks: tuple[int, int]) -> Variable:
    """Dropout of whole channels: the input has one of two ranks, the smaller one without a batch axis."""
    ndim = _core.asarray(input).ndim
    if ndim not in ranks:
        raise _core.ShapeError(f"{name}: the input must have {ranks[0]} or {ranks[1]} dimensions, not {ndim}")
    return _dropped(name, input, p, training, inplace, 2 if ndim == ranks[1] else 1)


def dropout1d(input: Variable, p: float = 0.5, training: bool = True, inplace: bool = False) -> Variable:
    """:func:`dropout` of whole channels of an input (N, C, L) or (C, L).

    >>> tg.nn.functional.dropout1d(tg.ones((1, 2, 3)), 1.0).sum().item()
    0.0
    """
    return _channels("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(input: Variable, p: float = 0.5, training: bool = True, inplace: bool = False) -> Variable:
    """:func:`dropout` of whole channels of an input (N, C, H, W) or (C, H, W).

    >>> tg.nn.functional.dropout2d(tg.ones((1, 2, 3, 3)), 1.0).sum().item()
    0.0
    """
    return _channels("dropout2d", input, p, training, inplace, (3, 4))


def dropout3d(input: Variable, p: float = 0.5, training: bool = True, inplace: bool = False) -> Variable:
    """:func:`dropout` of whole channels of an input (N, C, D, H, W) or (C, D, H, W).

    >>> tg.nn.functional.dropout3d(tg.ones((1, 2, 3, 3, 3)), 1.0).sum().item()
    0.0
    """
    return _channels("dropout3d", input, p, training, inplace, (4, 5))


def _alpha(name: str, input: Variable, p: float, training: bool, inplace: bool, mask_axes: int | None) -> Variable:
    probability(name, p)
    if not training or p == 0.0:
        return input
    x = floating(name, input)
    if p == 1.0:
        return finish(input, x * 0.0, inplace)
    low = -SELU_ALPHA * SELU_SCALE
    a = ((1.0 - p) * (1.0 + p * low**2)) ** -0.5
    kept = _kept(x, p, mask_axes)
    return finish(input, x * (kept * a) + ((1.0 - kept) * (a * low) - a * low * p), inplace)


def alpha_dropout(input: Variable, p: float = 0.5, training: bool = False, inplace: bool = False) -> Variable:
    """Dropout that keeps mean 0 and variance 1, to go with :func:`selu`: dropped elements take selu's lowest value.

    >>> tg.nn.functional.alpha_dropout(tg.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """
    return _alpha("alpha_dropout", input, p, training, inplace, None)


def feature_alpha_dropout(input: Variable, p: float = 0.5, training: bool = False, inplace: bool = False) -> Variable:
    """:func:`alpha_dropout` of whole channels, which are axis 1.

    >>> tg.nn.functional.feature_alpha_dropout(tg.ones((1, 3, 2))).shape
    (1, 3, 2)
    """
    if _core.asarray(input).ndim < 2:
        raise _core.ShapeError("feature_alpha_dropout: the input needs at least 2 dimensions (N, C, …)")
    return _alpha("feature_alpha_dropout", input, p, training, inplace, 2)


__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]
