"""Where PyTorch keeps its layers: `nn.modules.batchnorm._BatchNorm` is a class of `nn`, and `from … import` finds it there.

>>> tg.nn.modules.conv.Conv2d is tg.nn.Conv2d
True
"""

from __future__ import annotations

import sys
from types import ModuleType

from . import (
    activation,
    adaptive,
    container,
    conv,
    distance,
    dropout,
    embedding,
    lazy,
    linear,
    loss,
    module,
    normalization,
    pooling,
    recurrent,
    spatial,
    transformer,
)
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if hasattr(x, "__iter__") else (x,) * n

    return parse


#: The functions of `nn.modules.utils`: a number as so many, a sequence as a tuple.
utils = ModuleType(f"{__name__}.utils", "A number as a pair, or as a triple; a sequence as a tuple.")
for _n, _word in enumerate(("single", "pair", "triple", "quadruple"), 1):
    setattr(utils, f"_{_word}", _ntuple(_n))

_PLACES = {
    "activation": activation,
    "adaptive": adaptive,
    "batchnorm": normalization,
    "container": container,
    "conv": conv,
    "distance": distance,
    "dropout": dropout,
    "flatten": linear,
    "fold": spatial,
    "instancenorm": normalization,
    "lazy": lazy,
    "linear": linear,
    "loss": loss,
    "module": module,
    "normalization": normalization,
    "padding": spatial,
    "pixelshuffle": spatial,
    "pooling": pooling,
    "rnn": recurrent,
    "sparse": embedding,
    "transformer": transformer,
    "upsampling": spatial,
    "utils": utils,
}
globals().update(_PLACES)
#: A package to the import system, whose modules are these.
__path__: list[str] = []
sys.modules.update({f"{__name__}.{_name}": _module for _name, _module in _PLACES.items()})

__all__ = ["Module", *_PLACES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    from .. import nn

    return getattr(nn, name)
