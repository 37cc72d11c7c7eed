"""The functions of ``tapegrad.nn.functional`` that are rows of the registry, written in Rust."""

from __future__ import annotations

from .. import _core

_HOME = "nn.functional."
_ROWS = {name.removeprefix(_HOME): f for name, f in _core._functions.items() if name.startswith(_HOME)}
globals().update(_ROWS)

__all__ = sorted(name for name in _ROWS if not name.startswith("_"))  # noqa: PLE0605
