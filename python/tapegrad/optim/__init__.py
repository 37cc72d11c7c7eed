"""Optimizers; a step is one call into Rust."""

from __future__ import annotations

from .._core import SGD, Adam, AdamW, Optimizer, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
