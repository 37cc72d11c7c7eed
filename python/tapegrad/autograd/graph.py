"""The parts of ``torch.autograd.graph`` that have a use here."""

from __future__ import annotations

from contextlib import contextmanager

from .._core import AccumulateGrad, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

__all__ = ["AccumulateGrad", "Node", "save_on_cpu", "saved_tensors_hooks"]


@contextmanager
def save_on_cpu(pin_memory: bool = False, device_type: str = "cpu") -> Iterator[None]:
    """Changes nothing: what the tape saves is on the CPU."""
    yield


class saved_tensors_hooks:
    """Raises NotImplementedError: what the tape saves is not handed to Python; ``tg.checkpoint`` saves memory."""

    def __init__(self, pack_hook: Any, unpack_hook: Any) -> None:
        self._refuse()

    @staticmethod
    def _refuse() -> NoReturn:
        raise NotImplementedError(
            "autograd.graph.saved_tensors_hooks: values that the tape saves are not handed to Python. To save memory wrap parts "
            "of the model in tg.checkpoint(f, x), which computes them again; to look at values use module hooks, or tg.Tape()"
        )
