"""``torch.cuda`` for a library with one device, the CPU: no GPU is available."""

from __future__ import annotations

from . import amp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_available() -> bool:
    """False: there is one device, "cpu".

    >>> tg.device("cuda" if tg.cuda.is_available() else "cpu")
    device(type='cpu')
    """
    return False


def device_count() -> int:
    """0."""
    return 0


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported() -> bool:
    """False."""
    return False


def manual_seed(seed: int) -> None:
    """Accepted: there is no device to seed."""


def manual_seed_all(seed: int) -> None:
    """Accepted: there is no device to seed."""


def empty_cache() -> None:
    """Accepted: there is no device whose cache could be emptied. ``tg.empty_cache()`` empties that of arrays."""


def synchronize(device: Any = None) -> None:
    """Accepted: operations are done when they return."""


def memory_allocated(device: Any = None) -> int:
    """0: see ``tg.memory_stats()`` for the memory of arrays."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0: see ``tg.memory_stats()`` for the memory of arrays."""
    return 0


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"tg.cuda.{name}: there is one device, 'cpu'; ask tg.cuda.is_available(), which is False, before")


__all__ = [
    "amp",
    "device_count",
    "empty_cache",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "synchronize",
]
