"""Optimizers, schedulers of learning rates, and averages of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import lr_scheduler, swa_utils
from .fused import ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RAdam, RMSprop, Rprop
from .lbfgs import LBFGS
from .matrices import LARS, Adafactor, Muon, SparseAdam
from .optimizer import Optimizer

__all__ = [
    "ASGD",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]

if not TYPE_CHECKING:
    from .._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
