"""PyTorch's short names of dtypes: `tg.float` is float32, `tg.long` is int64. ``from tapegrad import *`` does not import them."""

from __future__ import annotations

from ._habits import DTYPES, dtype_named


def __getattr__(name: str) -> object:
    if name in DTYPES:
        return dtype_named(DTYPES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
