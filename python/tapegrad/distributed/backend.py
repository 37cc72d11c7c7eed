"""The interface of a transport: six non-blocking operations on flat NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

Buffer = np.ndarray[Any, Any]

#: The reductions, by their names in :func:`tapegrad.distributed.all_reduce`; a mean is a sum that is divided.
REDUCTIONS: dict[str, np.ufunc] = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


class Request:
    """An operation that has been started."""

    def done(self) -> bool:
        """Whether it is complete; then its output may be read and its input changed."""
        raise NotImplementedError

    def pause(self, waited: float) -> None:
        """Yields the processor for a moment; ``waited`` is the number of seconds that the caller has waited."""
        raise NotImplementedError


class Backend:
    """Base of transports. Every method starts an operation and returns its :class:`Request`.

    Arrays are contiguous and have one axis. All ranks start collective operations in the same order, with the same sizes
    and dtypes: :class:`tapegrad.distributed.group.Group` sees to that.
    """

    name = ""
    rank = 0
    size = 1
    #: For so many seconds messages of a rank that has ended may still be under way.
    delay = 2.0
    #: A request is polled so many times between two checks for ranks that have ended.
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
        """``out`` becomes the message that rank ``src`` has sent with this tag."""
        raise NotImplementedError

    def left(self) -> dict[int, str]:
        """The ranks that are known to have ended, each with a text that says how."""
        return {}

    def tell_waiting(self, what: str) -> dict[int, str]:
        """Tells the other ranks in which collective this one timed out; returns what they have reported."""
        return {}

    def failed(self, message: str) -> None:
        """Called once when an operation has failed."""


__all__ = ["REDUCTIONS", "Backend", "Buffer", "Request"]
