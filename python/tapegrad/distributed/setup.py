"""Beginning and end of a job, rank and world size."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .errors import DistributedError
from .group import Group, current_group, group_or_none, set_process_group, set_thread_group

BACKENDS = ("mpi", "local")


def init(backend: str = "mpi", timeout: float = 60.0, *, rank: int | None = None, world_size: int | None = None) -> None:
    """Makes this process a rank of a job. A second call with the same backend only sets the time limit.

    Args:
        backend: "mpi": the processes that ``mpiexec`` has started, by mpi4py. "local": this process alone, or the thread
            of a :func:`run_local`.
        timeout: how many seconds a rank waits for others in a collective, and for their end at its own, before the job ends.
        world_size: with "local": makes this thread one of so many ranks, which are the threads that call this. With "mpi" the
            launcher decides, and another number is an error.
        rank: the number of this rank; None takes the next one.

    Raises:
        ImportError: mpi4py is missing.
        DistributedError: another backend is in use, or ``mpiexec`` belongs to another MPI than mpi4py.

    >>> def job():
    ...     tg.distributed.init(backend="local", timeout=5)
    ...     return tg.distributed.get_rank(), tg.distributed.get_world_size()
    >>> tg.distributed.run_local(job, 2)
    [(0, 2), (1, 2)]
    """
    if backend not in BACKENDS:
        raise ValueError(f"init: backend must be 'mpi' or 'local', got {backend!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ValueError(f"init: timeout must be a number of seconds above 0, got {timeout!r}")
    group = group_or_none()
    if group is not None:
        if group.backend.name != backend:
            raise DistributedError(
                f"init: the backend is {group.backend.name!r} already, and cannot change to {backend!r}; call shutdown() first"
            )
        group.timeout = float(timeout)
        _check_place(group, rank, world_size)
        return
    if backend == "mpi":
        from .mpi import make_group

        made = make_group(float(timeout))
        set_process_group(made)
        _check_place(made, rank, world_size)
        return
    from .local import LocalBackend, World, join_world

    if world_size is None:
        made = Group(LocalBackend(World(1), 0), timeout)
        set_process_group(made)
        _check_place(made, rank, world_size)
    else:
        set_thread_group(Group(join_world(world_size, rank), timeout))


def _check_place(group: Group, rank: int | None, world_size: int | None) -> None:
    if rank not in (None, group.rank) or world_size not in (None, group.size):
        raise ValueError(
            f"init: this is rank {group.rank} of {group.size}, as the job was started; asked for were rank={rank}, "
            f"world_size={world_size}"
        )


def is_available() -> bool:
    """Whether mpi4py is installed, so that ``init("mpi")`` can work.

    >>> isinstance(tg.distributed.is_available(), bool)
    True
    """
    from importlib.util import find_spec

    return find_spec("mpi4py") is not None


def is_launched() -> bool:
    """Whether ``mpiexec`` or the launcher has started this process: then ``init("mpi")`` finds the other ranks.

    >>> tg.distributed.is_launched()
    False
    """
    import os

    from .faults import RANKS

    return any(name in os.environ for name in RANKS)


def is_initialized() -> bool:
    """Whether this thread or process is a rank of a job.

    >>> tg.distributed.run_local(tg.distributed.is_initialized, 1)
    [True]
    """
    return group_or_none() is not None


def get_rank() -> int:
    """The number of this rank, from 0.

    >>> tg.distributed.run_local(tg.distributed.get_rank, 3)
    [0, 1, 2]
    """
    return current_group("get_rank").rank


def get_world_size() -> int:
    """The number of ranks.

    >>> tg.distributed.run_local(tg.distributed.get_world_size, 3)
    [3, 3, 3]
    """
    return current_group("get_world_size").size


def get_backend() -> str:
    """The name of the backend: "mpi" or "local".

    >>> tg.distributed.run_local(tg.distributed.get_backend, 1)
    ['local']
    """
    return current_group("get_backend").backend.name


def get_step() -> int:
    """How many steps of training this rank has done: reductions of gradients, or what :func:`set_step` said.

    >>> tg.distributed.run_local(tg.distributed.get_step, 1)
    [0]
    """
    return current_group("get_step").step


def set_step(step: int) -> None:
    """Sets the number of the step that messages of errors name.

    >>> tg.distributed.run_local(lambda: (tg.distributed.set_step(7), tg.distributed.get_step())[1], 1)
    [7]
    """
    current_group("set_step").step = int(step)


def rank_seed(seed: int, rank: int | None = None) -> int:
    """A seed of a rank's own that follows from ``seed``; the same in every run.

    >>> tg.distributed.run_local(lambda: tg.distributed.rank_seed(1), 2)[0] == tg.distributed.rank_seed(1, rank=0)
    True
    """
    import numpy as np

    mine = current_group("rank_seed").rank if rank is None else rank
    return int(np.random.SeedSequence([seed, mine]).generate_state(1, np.uint64)[0] >> 11)


def manual_seed(seed: int) -> Any:
    """Seeds the random generator of this process by ``seed`` and the rank: masks and noise differ by rank, and come again.

    Build the model before, under one ``tg.manual_seed`` for all ranks or under none: DistributedDataParallel broadcasts it.
    Returns the generator, as ``tg.manual_seed``.

    >>> dist = tg.distributed
    >>> def job():
    ...     dist.init(backend="local")
    ...     dist.manual_seed(7)
    ...     return tg.rand(()).item()
    >>> a, b = dist.run_local(job, 2)
    >>> a != b
    True
    """
    return _core.manual_seed(rank_seed(seed))


def generator(seed: int) -> _core.Generator:
    """A random generator of this rank's own; also for the threads of :func:`run_local`, which share that of the process.

    >>> a, b = tg.distributed.run_local(lambda: tg.distributed.generator(0).rand(2).tolist(), 2)
    >>> a != b
    True
    """
    return _core.Generator(rank_seed(seed))


def shutdown() -> None:
    """Ends the group of this process: waits for all ranks. At the end of a program this happens by itself.

    MPI itself stays until the process ends, so ``init`` works again.
    """
    group = group_or_none()
    if group is None:
        return
    group.finish_sends()
    group.agree("shutdown()")
    set_thread_group(None)
    if group_or_none() is group:
        set_process_group(None)


#: PyTorch's names.
init_process_group = init
destroy_process_group = shutdown


__all__ = [
    "destroy_process_group",
    "generator",
    "get_backend",
    "get_rank",
    "get_step",
    "get_world_size",
    "init",
    "init_process_group",
    "is_available",
    "is_initialized",
    "is_launched",
    "manual_seed",
    "rank_seed",
    "set_step",
    "shutdown",
]
