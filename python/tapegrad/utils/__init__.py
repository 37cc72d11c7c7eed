"""Tools around training; ``tg.utils.data`` feeds it, ``tg.utils.checkpoint`` saves its memory."""

from __future__ import annotations

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
