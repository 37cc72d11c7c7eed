"""The local backend: threads of one process as ranks, for tests, notebooks and debuggers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .backend import REDUCTIONS, Backend, Buffer, Request
from .errors import DistributedError, DistributedTimeoutError, RankLeftError
from .group import Group, use_group


class World:
    """The state that the threads of one job share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.changed = threading.Condition()
        self.calls: dict[int, _Call] = {}
        self.mail: dict[tuple[int, int, int], deque[Buffer]] = {}
        self.left: dict[int, str] = {}
        self.waiting: dict[int, str] = {}

    def leave(self, rank: int, how: str) -> None:
        """Notes that a rank has ended."""
        with self.changed:
            self.left[rank] = how
            self.changed.notify_all()


class _Call:
    """One collective operation: the array of each rank, and the result once all ranks have arrived."""

    def __init__(self, size: int) -> None:
        self.parts: list[Buffer | None] = [None] * size
        self.missing = size
        self.result: Buffer | None = None
        self.taken = 0


class _Collective(Request):
    def __init__(self, backend: LocalBackend, number: int, out: Buffer, piece: Callable[[Buffer], Buffer]) -> None:
        self.backend, self.number, self.out, self.piece = backend, number, out, piece
        self.is_done = False

    def done(self) -> bool:
        world = self.backend.world
        with world.changed:
            if self.is_done:
                return True
            call = world.calls[self.number]
            if call.result is None:
                return False
            self.out[...] = self.piece(call.result)
            self.is_done = True
            call.taken += 1
            if call.taken == world.size:
                del world.calls[self.number]
            return True

    def pause(self, waited: float) -> None:
        world = self.backend.world
        with world.changed:
            call = world.calls.get(self.number)
            if call is not None and call.result is None:
                world.changed.wait(0.02)


class _Receipt(Request):
    def __init__(self, world: World, key: tuple[int, int, int], out: Buffer) -> None:
        self.world, self.key, self.out = world, key, out
        self.is_done = False

    def done(self) -> bool:
        with self.world.changed:
            box = self.world.mail.get(self.key)
            if not self.is_done and box:
                self.out[...] = box.popleft()
                self.is_done = True
            return self.is_done

    def pause(self, waited: float) -> None:
        with self.world.changed:
            if not self.world.mail.get(self.key):
                self.world.changed.wait(0.02)


class _Done(Request):
    def done(self) -> bool:
        return True

    def pause(self, waited: float) -> None:
        pass


class LocalBackend(Backend):
    """One rank among the threads of a :class:`World`."""

    name = "local"
    delay = 0.1
    polls = 4

    def __init__(self, world: World, rank: int) -> None:
        self.world, self.rank, self.size = world, rank, world.size
        self._calls = 0

    def _start(
        self, x: Buffer, out: Buffer, combine: Callable[[list[Any]], Buffer], piece: Callable[[Buffer], Buffer]
    ) -> Request:
        """Contributes ``x``; the last rank to arrive computes the result, in the order of ranks."""
        number = self._calls
        self._calls += 1
        with self.world.changed:
            call = self.world.calls.setdefault(number, _Call(self.size))
            call.parts[self.rank] = x
            call.missing -= 1
            if not call.missing:
                call.result = combine(call.parts)
                call.parts = []
                self.world.changed.notify_all()
        return _Collective(self, number, out, piece)

    def all_reduce(self, x: Buffer, out: Buffer, op: str) -> Request:
        return self._start(x, out, lambda parts: _reduced(parts, op), lambda result: result)

    def all_gather(self, x: Buffer, out: Buffer) -> Request:
        return self._start(x, out, np.concatenate, lambda result: result)

    def reduce_scatter(self, x: Buffer, out: Buffer, op: str) -> Request:
        n, first = out.size, self.rank * out.size
        return self._start(x, out, lambda parts: _reduced(parts, op), lambda result: result[first : first + n])

    def broadcast(self, x: Buffer, src: int) -> Request:
        return self._start(x, x, lambda parts: parts[src].copy(), lambda result: result)

    def send(self, x: Buffer, dst: int, tag: int) -> Request:
        with self.world.changed:
            self.world.mail.setdefault((self.rank, dst, tag), deque()).append(x.copy())
            self.world.changed.notify_all()
        return _Done()

    def recv(self, out: Buffer, src: int, tag: int) -> Request:
        return _Receipt(self.world, (src, self.rank, tag), out)

    def left(self) -> dict[int, str]:
        return {rank: how for rank, how in self.world.left.items() if rank != self.rank}

    def tell_waiting(self, what: str) -> dict[int, str]:
        with self.world.changed:
            self.world.waiting[self.rank] = what
        time.sleep(0.1)
        return {rank: text for rank, text in self.world.waiting.items() if rank != self.rank}


def _reduced(parts: list[Any], op: str) -> Buffer:
    result: Buffer = parts[0].copy()
    for part in parts[1:]:
        REDUCTIONS[op](result, part, out=result)
    return result


#: Worlds that wait for further threads: by size, with the ranks that have joined.
_forming: dict[int, tuple[World, set[int]]] = {}
_forming_lock = threading.Lock()


def join_world(world_size: int, rank: int | None) -> LocalBackend:
    """Makes this thread a rank among ``world_size`` threads of the process that call this."""
    if isinstance(world_size, bool) or not isinstance(world_size, int) or world_size < 1:
        raise ValueError(f"init: world_size must be an int of 1 or more, got {world_size!r}")
    with _forming_lock:
        world, taken = _forming.setdefault(world_size, (World(world_size), set()))
        free = sorted(set(range(world_size)) - taken)
        chosen = free[0] if rank is None else rank
        if chosen not in free:
            raise ValueError(f"init: rank must be one of {free}, which other threads have not taken, got {rank!r}")
        taken.add(chosen)
        if len(taken) == world_size:
            del _forming[world_size]
    return LocalBackend(world, chosen)


class _Rank(threading.Thread):
    """A thread that is a rank."""

    def __init__(self, world: World, rank: int, fn: Callable[..., Any], args: tuple[Any, ...], timeout: float) -> None:
        super().__init__(name=f"rank {rank}", daemon=True)
        self.world, self.rank, self.fn, self.args = world, rank, fn, args
        self.group = Group(LocalBackend(world, rank), timeout)
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        how = "returned"
        try:
            with use_group(self.group):
                self.value = self.fn(*self.args)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that started the ranks
            self.error = error
            how = f"raised {type(error).__name__}: {error}"
        self.world.leave(self.rank, how)


def run_local(fn: Callable[..., Any], world_size: int, *args: Any, timeout: float = 60.0) -> list[Any]:
    """Runs ``fn(*args)`` on ``world_size`` ranks, which are threads of this process; returns the results in rank order.

    Inside, :func:`tapegrad.distributed.get_rank` says which rank a thread is, and all collectives work.
    ``init(backend="local")`` does nothing there. The threads share the process' random generator: pass a
    ``tg.random.Generator`` of each rank's own where random numbers matter.

    Raises:
        Exception: what the first rank that failed has raised, with a note that names the rank and its last collective.
        DistributedTimeoutError: a rank waited for longer than ``timeout`` seconds.

    >>> tg.distributed.run_local(lambda: tg.distributed.all_reduce(tg.ones(2)).tolist(), 3)
    [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
    """
    if isinstance(world_size, bool) or not isinstance(world_size, int) or world_size < 1:
        raise ValueError(f"run_local: world_size must be an int of 1 or more, not {world_size!r}")
    world = World(world_size)
    ranks = [_Rank(world, rank, fn, args, timeout) for rank in range(world_size)]
    for thread in ranks:
        thread.start()
    failed_at: float | None = None
    while alive := [thread for thread in ranks if thread.is_alive()]:
        alive[0].join(0.05)
        if failed_at is None and any(thread.error for thread in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > min(timeout, 5.0):
            break
    errors = [thread for thread in ranks if thread.error is not None]
    if errors:
        raise _first(errors, [thread.rank for thread in ranks if thread.is_alive()])
    return [thread.value for thread in ranks]


def _first(errors: list[_Rank], running: list[int]) -> BaseException:
    """The error that caused the others."""
    causes = [t for t in errors if not isinstance(t.error, (RankLeftError, DistributedTimeoutError))]
    chosen = (causes or [t for t in errors if not isinstance(t.error, RankLeftError)] or errors)[0]
    error = chosen.error or DistributedError("a rank failed")
    error.add_note(f"raised on {chosen.group.where()}")
    if running:
        error.add_note(f"still running: ranks {running}")
    return error


__all__ = ["LocalBackend", "World", "join_world", "run_local"]
