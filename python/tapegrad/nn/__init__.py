"""Layers, losses and what trains them. Names and layouts are PyTorch's."""

from __future__ import annotations

from . import (
    activation,
    adaptive,
    attention,
    container,
    conv,
    ctc,
    distance,
    dropout,
    embedding,
    functional,
    init,
    lazy,
    loss,
    normalization,
    parallel,
    parameter,
    pooling,
    recurrent,
    spatial,
    transformer,
    utils,
)
from .activation import *  # noqa: F403
from .adaptive import *  # noqa: F403
from .attention import *  # noqa: F403
from .container import *  # noqa: F403
from .conv import *  # noqa: F403
from .ctc import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .lazy import *  # noqa: F403
from .linear import Bilinear, Flatten, Identity, Linear, Unflatten
from .loss import *  # noqa: F403
from .module import Module
from .normalization import *  # noqa: F403
from .parallel import *  # noqa: F403
from .parameter import *  # noqa: F403
from .pooling import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .rows import RowGradient, TableParameter
from .spatial import *  # noqa: F403
from .state import StateDictError
from .summary import summary
from .transformer import *  # noqa: F403
from .utils.stateless import functional_call

__all__ = [
    "Bilinear",
    "Flatten",
    "Identity",
    "Linear",
    "Module",
    "RowGradient",
    "StateDictError",
    "TableParameter",
    "Unflatten",
    "functional",
    "functional_call",
    "init",
    "summary",
    "utils",
]
__all__ += activation.__all__
__all__ += adaptive.__all__
__all__ += attention.__all__
__all__ += container.__all__
__all__ += conv.__all__
__all__ += ctc.__all__
__all__ += distance.__all__
__all__ += dropout.__all__
__all__ += embedding.__all__
__all__ += lazy.__all__
__all__ += loss.__all__
__all__ += normalization.__all__
__all__ += parallel.__all__
__all__ += parameter.__all__
__all__ += pooling.__all__
__all__ += recurrent.__all__
__all__ += spatial.__all__
__all__ += transformer.__all__

# The files of the layers are no names of the package, so that `nn.linear` suggests `nn.Linear`.
for _name in [n for n, v in globals().items() if isinstance(v, type(functional)) and n not in __all__]:
    del globals()[_name]
del _name


def __getattr__(name: str) -> object:
    if name == "modules":
        from importlib import import_module

        return import_module(f"{__name__}.modules")
    from .._messages import missing

    raise missing(__name__, name)
