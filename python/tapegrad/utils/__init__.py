"""Tools for training: ``tg.utils.data`` loads data, ``tg.utils.checkpoint`` saves memory."""

from __future__ import annotations

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
