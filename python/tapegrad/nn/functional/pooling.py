"""Poolings that draw random numbers."""

from __future__ import annotations

from ... import _core
from .. import _functional as rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._core import Variable


def fractional_max_pool2d(
    input: Variable,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Variable | None = None,
) -> Any:
    """The largest element of each of ``output_size`` windows along both axes of (N, C, H, W) or (C, H, W).

    With ``output_ratio`` the size is that times the input's. Random numbers place the windows, evenly but for one
    element (Graham, 2014). ``return_indices`` also gives the places of the maxima.

    >>> tg.nn.functional.fractional_max_pool2d(tg.ones((1, 5, 5)), 2, output_size=3).shape
    (1, 3, 3)
    """
    samples = _samples(input, 2, _random_samples)
    return rows.fractional_max_pool2d(input, kernel_size, output_size, output_ratio, return_indices, samples)


def fractional_max_pool3d(
    input: Variable,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Variable | None = None,
) -> Any:
    """:func:`fractional_max_pool2d` of (N, C, D, H, W) or (C, D, H, W).

    >>> tg.nn.functional.fractional_max_pool3d(tg.ones((1, 5, 5, 5)), 2, output_ratio=0.5).shape
    (1, 2, 2, 2)
    """
    samples = _samples(input, 3, _random_samples)
    return rows.fractional_max_pool3d(input, kernel_size, output_size, output_ratio, return_indices, samples)


def _samples(input: Variable, axes: int, given: Variable | None) -> Variable | None:
    """The random numbers that place the windows; inside vmap they are drawn as its ``randomness`` says."""
    shape = _core.asarray(input).shape
    if given is not None or not _core._is_mapping() or len(shape) not in (axes + 1, axes + 2):
        return given
    front = shape[:-axes] if len(shape) == axes + 2 else (1, *shape[:-axes])
    return _core.uniform(0.0, 1.0, (*front, axes), dtype=_core.float64)


__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]
