"""The compiled functions of ``tapegrad.nn.functional``."""

from __future__ import annotations

from .._namespace import functions

_FUNCTIONS = functions("nn.functional")
globals().update(_FUNCTIONS)
__all__ = sorted(name for name in _FUNCTIONS if not name.startswith("_"))  # noqa: PLE0605
