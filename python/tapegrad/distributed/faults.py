"""Ends the whole job when one rank fails: hooks for exceptions, exits and signals, and notes of where each rank is.

MPI alone hangs when a rank raises or exits while others wait for it. So a process that has called
``tg.distributed.init("mpi")``

- ends all ranks when an exception reaches the top of its main thread;
- tells its neighbours when it exits, so that a rank that waits for it ends the job at once;
- at exit waits for the others as long as any collective would, and ends the job when they do not come;
- says where it was when the launcher ends it with SIGTERM.
"""

from __future__ import annotations

import atexit
import faulthandler
import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from .errors import DistributedError

#: The folder of the notes in which ranks report where they are; the launcher sets it.
STATUS = "TAPEGRAD_DISTRIBUTED_STATUS"
#: Environment variables in which launchers pass a process its rank.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
#: The note of a rank that has ended normally.
ENDED = "ended"
_LENGTH = 256


class Status:
    """A line in a file that outlives its process: where a rank is."""

    def __init__(self, folder: Path, rank: int) -> None:
        path = folder / f"{rank}.txt"
        path.write_bytes(b"\0" * _LENGTH)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LENGTH)

    def write(self, text: str) -> None:
        """Replaces the line."""
        self._memory[:] = text.encode()[:_LENGTH].ljust(_LENGTH, b"\0")


status: Status | None = None


def open_status() -> None:
    """Opens the note of this process, if a launcher asks for one and has passed the rank."""
    global status  # noqa: PLW0603 - one line for the process
    folder = os.environ.get(STATUS)
    told = [os.environ[name] for name in RANKS if os.environ.get(name, "").isdigit()]
    if status is None and told and folder and Path(folder).is_dir():
        status = Status(Path(folder), int(told[0]))
        status.write(f"rank {told[0]}: in init, where it waits for the others")


def read_status(folder: Path) -> dict[int, str]:
    """Reads the notes of all ranks.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Status(folder, 3).write("step 7")
    >>> read_status(folder)
    {3: 'step 7'}
    """
    lines = {int(p.stem): p.read_bytes().rstrip(b"\0").decode(errors="replace") for p in folder.glob("*.txt")}
    return dict(sorted(lines.items()))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends the process with code 1 when the block takes longer, even inside a C function that never returns."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def say(text: str) -> None:
    """Writes a line to standard error at once."""
    sys.stderr.write(f"tapegrad.distributed: {text}\n")
    sys.stderr.flush()


def guard_process(where: Callable[[], str], abort: Callable[[int], None], leave: Callable[[], str | None]) -> None:
    """Installs the hooks. ``leave`` is called at exit and returns what went wrong there, or None."""
    previous = sys.excepthook
    is_ending = False
    owner = os.getpid()  # a fork of this process is not a rank

    def end() -> None:
        nonlocal is_ending
        is_ending = True
        sys.stdout.flush()
        abort(1)

    def on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous(kind, error, trace)
        if os.getpid() != owner:
            return
        text = "" if isinstance(error, DistributedError) else f": {error}"
        say(f"{where()}: uncaught {kind.__name__}{text}; ending the job")
        end()

    def on_exit() -> None:
        if is_ending or os.getpid() != owner:
            return
        sys.stdout.flush()
        trouble = leave()
        if trouble is not None:
            say(f"{trouble}; ending the job")
            end()

    def on_term(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            say(f"{where()}: ended from outside by signal {number}")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    sys.excepthook = on_exception
    atexit.register(on_exit)
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, on_term)
    except ValueError:
        say("init was called outside the main thread: SIGTERM will end this rank without a message")


__all__ = ["ENDED", "STATUS", "Status", "guard_process", "limited", "open_status", "read_status", "say"]
