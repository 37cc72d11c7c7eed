"""Checkpointing under PyTorch's module name: :func:`tapegrad.checkpoint`."""

from __future__ import annotations

from .._checkpoint import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
