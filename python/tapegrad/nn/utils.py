"""What training needs beside layers: gradients made shorter or smaller before a step."""

from __future__ import annotations

from .._core import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
