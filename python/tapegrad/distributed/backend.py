"""What a transport must be able to do: six operations on flat NumPy arrays, none of which waits."""

from __future__ import annotations

from typing import Any

import numpy as np

Buffer = np.ndarray[Any, Any]

#: The reductions, by their names in :func:`tapegrad.distributed.all_reduce`; a mean is a sum that is divided.
REDUCTIONS: dict[str, np.ufunc] = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


class Request:
    """An operation that was started."""

    def done(self) -> bool:
        """Whether it is complete; then its output may be read and its input changed."""
        raise NotImplementedError

    def pause(self, waited: float) -> None:
        """Gives the processor to others for a moment; ``waited`` says for how many seconds the caller has waited."""
        raise NotImplementedError


class Backend:
    """Base of transports. Every method starts an operation and returns its :class:`Request`.

    Arrays are contiguous and have one axis. All ranks start collective operations in the same order, with the same sizes
    and dtypes: :class:`tapegrad.distributed.group.Group` sees to that.
    """

    name = ""
    rank = 0
    size = 1
    #: For how many seconds what a rank has done before it ended may still be under way.
    delay = 2.0
    #: How often a request is asked between two looks for ranks that have ended.
    polls = 64

    def all_reduce(self, x: Buffer, out: Buffer, op: str) -> Request:
        """``out`` becomes the reduction of the ``x`` of all ranks; ``out`` may be ``x``."""
        raise NotImplementedError

    def all_gather(self, x: Buffer, out: Buffer) -> Request:
        """``out`` becomes the ``x`` of all ranks, one behind the other."""
        raise NotImplementedError

    def reduce_scatter(self, x: Buffer, out: Buffer, op: str) -> Request:
        """``out`` becomes this rank's piece of the reduction of the ``x``, which has as many pieces as there are ranks."""
        raise NotImplementedError

    def broadcast(self, x: Buffer, src: int) -> Request:
        """``x`` becomes that of rank ``src``."""
        raise NotImplementedError

    def send(self, x: Buffer, dst: int, tag: int) -> Request:
        """Sends ``x``, which may not be changed until the request is done."""
        raise NotImplementedError

    def recv(self, out: Buffer, src: int, tag: int) -> Request:
        """``out`` becomes what rank ``src`` has sent with this tag."""
        raise NotImplementedError

    def left(self) -> dict[int, str]:
        """The ranks that are known to have ended, and how."""
        return {}

    def tell_waiting(self, what: str) -> dict[int, str]:
        """Tells the other ranks in what this one has waited too long; returns what they have told."""
        return {}

    def failed(self, message: str) -> None:
        """Called once when an operation has failed."""


__all__ = ["REDUCTIONS", "Backend", "Buffer", "Request"]
