"""PyTorch's module names of layers: `nn.modules.batchnorm._BatchNorm` is a class of `nn`, and `from … import` finds it there.

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


#: Functions of `nn.modules.utils`: they repeat a number to a tuple, and turn a sequence into a tuple.
utils = ModuleType(f"{__name__}.utils", "A number as a pair, or as a triple; a sequence as a tuple.")
for _n, _word in enumerate(("single", "pair", "triple", "quadruple"), 1):
    setattr(utils, f"_{_word}", _ntuple(_n))

batchnorm = instancenorm = normalization
flatten = linear
fold = padding = pixelshuffle = upsampling = spatial
rnn = recurrent
sparse = embedding

__all__ = [
    "Module",
    "activation",
    "adaptive",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "dropout",
    "flatten",
    "fold",
    "instancenorm",
    "lazy",
    "linear",
    "loss",
    "module",
    "normalization",
    "padding",
    "pixelshuffle",
    "pooling",
    "rnn",
    "sparse",
    "transformer",
    "upsampling",
    "utils",
]
#: A package for the import system, whose submodules are these.
__path__: list[str] = []
sys.modules.update({f"{__name__}.{_name}": globals()[_name] for _name in __all__ if _name != "Module"})


def __getattr__(name: str) -> Any:
    from .. import nn

    return getattr(nn, name)
