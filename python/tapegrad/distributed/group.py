"""A group of ranks: waiting with a time limit, agreement before each collective, and which group a thread belongs to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np

from . import faults
from .backend import Backend, Buffer, Request
from .errors import DistributedError, DistributedTimeoutError, MismatchError, RankLeftError

#: The longest description, in bytes, that ranks exchange when they disagree.
_TOLD = 512
#: Unfinished sends may hold this much memory before another send waits.
_UNDER_WAY = 1 << 28


class Group:
    """The ranks of a job, seen from one of them."""

    def __init__(self, backend: Backend, timeout: float) -> None:
        self.backend, self.timeout = backend, float(timeout)
        self.rank, self.size = backend.rank, backend.size
        #: Training steps so far, if anything counts them.
        self.step = 0
        #: Collectives so far.
        self.calls = 0
        self.last = "none"
        self.broken: str | None = None
        self._sends: list[tuple[Request, Buffer, str]] = []

    def where(self) -> str:
        """Rank, step and collective, for messages."""
        step = f"step {self.step}, call {self.calls}" if self.step else f"step {self.calls}"
        return f"rank {self.rank} of {self.size}, {step}, collective {self.last}"

    # Waiting

    def begin(self, what: str) -> None:
        """Notes that a collective begins; raises when an earlier one has failed."""
        if self.broken is not None:
            raise DistributedError(f"{what}: rank {self.rank} cannot go on after an earlier failure: {self.broken}")
        self.calls += 1
        self.last = what
        if faults.status is not None:
            faults.status.write(self.where())

    def wait(self, requests: Iterable[Request], what: str, timeout: float | None = None) -> None:
        """Waits until all requests are done.

        Raises:
            DistributedTimeoutError: the time limit has passed.
            RankLeftError: another rank has ended meanwhile.
        """
        limit = self.timeout if timeout is None else timeout
        start = time.monotonic()
        seen: float | None = None
        polls = 0
        for request in requests:
            while not request.done():
                waited = time.monotonic() - start
                if waited > limit:
                    raise self._timed_out(what, waited)
                polls += 1
                if waited > 0.005 and polls % self.backend.polls == 0:
                    # The message of a rank that has ended may still arrive a little later.
                    seen = time.monotonic() if seen is None and self.backend.left() else seen
                    if seen is not None and time.monotonic() - seen > min(self.backend.delay, limit / 4):
                        raise self._left_alone(what)
                request.pause(waited)

    def _timed_out(self, what: str, waited: float) -> DistributedError:
        told = self.backend.tell_waiting(what)
        silent = [r for r in range(self.size) if r != self.rank and r not in told]
        others = "".join(f"; rank {r} waits in {text}" for r, text in sorted(told.items()))
        late = f"; no word from ranks {silent}: they sleep, compute for longer, or are in another call" if silent else ""
        return self._fail(
            DistributedTimeoutError(
                f"{what}: timed out after {waited:.1f} s: {self.where()}{others}{late}. "
                "init(timeout=...) sets the limit, in seconds"
            )
        )

    def _left_alone(self, what: str) -> DistributedError:
        gone = "; ".join(f"rank {r} {how}" for r, how in sorted(self.backend.left().items()))
        return self._fail(RankLeftError(f"{what}: {gone}, while {self.where()} waited for it"))

    def _fail(self, error: DistributedError) -> DistributedError:
        self.broken = str(error)
        self.backend.failed(self.broken)
        return error

    # Agreement

    def agree(self, what: str) -> None:
        """Begins a collective: raises MismatchError on all ranks unless all of them have come to the same one.

        Every collective starts so, with a message of 16 bytes: then no two ranks ever run different operations on one another.
        """
        self.begin(what)
        if self.size == 1:
            return
        digest = int.from_bytes(blake2b(what.encode(), digest_size=7).digest(), "big")
        header = np.array([digest, -digest], dtype=np.int64)
        self.wait([self.backend.all_reduce(header, header, "max")], what)
        if header[0] != -header[1]:
            raise self._disagreement(what)

    def _disagreement(self, what: str) -> DistributedError:
        mine = np.zeros(_TOLD, np.uint8)
        text = what.encode()[:_TOLD]
        mine[: len(text)] = np.frombuffer(text, np.uint8)
        all_of_them = np.empty(_TOLD * self.size, np.uint8)
        self.wait([self.backend.all_gather(mine, all_of_them)], what)
        told: dict[str, list[int]] = {}
        for rank, row in enumerate(all_of_them.reshape(self.size, _TOLD)):
            told.setdefault(bytes(row).rstrip(b"\0").decode(errors="replace"), []).append(rank)
        lines = "".join(f"\n  ranks {ranks}: {text}" for text, ranks in told.items())
        bare = {text.partition(" [")[0] for text in told}
        hint = (
            ""
            if len(bare) > 1
            else "\n  gradients are recorded on some ranks only: detach() the value there, or record it on all"
        )
        return MismatchError(f"the ranks disagree at {self.where()}:{lines}{hint}")

    # Sending

    def send(self, x: Buffer, dst: int, tag: int, what: str) -> None:
        """Starts to send ``x``, which belongs to the group from now on; it waits only when too many bytes are under way."""
        self._sends = [entry for entry in self._sends if not entry[0].done()]
        if sum(buffer.nbytes for _, buffer, _ in self._sends) > _UNDER_WAY:
            self.finish_sends()
        self._sends.append((self.backend.send(x, dst, tag), x, what))

    def recv(self, out: Buffer, src: int, tag: int, what: str) -> None:
        """Waits for a message."""
        self.wait([self.backend.recv(out, src, tag)], what)

    def finish_sends(self, timeout: float | None = None) -> None:
        """Waits until everything that was sent has been received."""
        for request, _, what in self._sends:
            self.wait([request], what, timeout)
        self._sends = []


_of_thread = threading.local()
_of_process: list[Group] = []


def group_or_none() -> Group | None:
    """The group of this thread, else that of the process, else None."""
    found: Group | None = getattr(_of_thread, "group", None)
    return found if found is not None else _of_process[0] if _of_process else None


def current_group(what: str) -> Group:
    """The group that a collective called ``what`` works in."""
    found = group_or_none()
    if found is None:
        raise DistributedError(f"{what}: there is no process group; call tg.distributed.init() first")
    return found


def set_process_group(group: Group | None) -> None:
    """Sets the group of the process."""
    _of_process[:] = [] if group is None else [group]


def set_thread_group(group: Group | None) -> None:
    """Sets the group of this thread."""
    _of_thread.group = group


@contextmanager
def use_group(group: Group) -> Iterator[None]:
    """Sets the group of this thread for a while."""
    before = getattr(_of_thread, "group", None)
    _of_thread.group = group
    try:
        yield
    finally:
        _of_thread.group = before


__all__ = ["Group", "current_group", "group_or_none", "set_process_group", "set_thread_group", "use_group"]
