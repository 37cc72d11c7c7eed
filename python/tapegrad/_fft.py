"""The compiled functions of ``tapegrad.fft``."""

from __future__ import annotations

from ._namespace import functions

_FUNCTIONS = functions("fft")
globals().update(_FUNCTIONS)
__all__ = sorted(_FUNCTIONS)  # noqa: PLE0605
