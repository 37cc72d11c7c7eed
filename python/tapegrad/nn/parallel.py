"""``DataParallel`` for a library with one device."""

from __future__ import annotations

from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DataParallel(Module):
    """Runs ``module``; names in the state dict begin with ``module.``, so that states of PyTorch's class of that name load.

    The one device uses all threads by itself. ``device_ids``, ``output_device`` and ``dim`` have no effect.

    >>> list(tg.nn.DataParallel(tg.nn.Linear(1, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module."""
        return self.module(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name == "DistributedDataParallel":
        from ..distributed import DistributedDataParallel

        return DistributedDataParallel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["DataParallel"]
