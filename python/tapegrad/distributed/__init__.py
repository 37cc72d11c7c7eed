"""Several processes: collectives through which gradients flow, and data-parallel training, on MPI.

A job is started by ``python -m tapegrad.distributed.run -n 4 train.py``, or by ``mpiexec``. Names are those of
``torch.distributed``; collectives return their results. :func:`run_local` runs ranks as threads of one process.

>>> def job():
...     tg.distributed.init(backend="local")
...     return tg.distributed.all_reduce(tg.distributed.get_rank() + 1.0).item()
>>> tg.distributed.run_local(job, 3)
[6.0, 6.0, 6.0]
"""

from __future__ import annotations

from ..utils.data import DistributedSampler
from . import scale
from .checkpoint import load_checkpoint, save_checkpoint
from .collectives import ReduceOp, all_gather, all_reduce, all_reduce_, barrier, broadcast, broadcast_, reduce_scatter
from .data_parallel import DistributedDataParallel, equal_steps, synchronize, weighted_mean
from .errors import DistributedError, DistributedTimeoutError, MismatchError, RankLeftError
from .local import run_local
from .messages import all_gather_object, broadcast_object, recv, send
from .setup import (
    destroy_process_group,
    generator,
    get_backend,
    get_rank,
    get_step,
    get_world_size,
    init,
    init_process_group,
    is_available,
    is_initialized,
    is_launched,
    manual_seed,
    rank_seed,
    set_step,
    shutdown,
)
from .sharding import ShardedOptimizer, clip_grad_norm_

__all__ = [
    "DistributedDataParallel",
    "DistributedError",
    "DistributedSampler",
    "DistributedTimeoutError",
    "MismatchError",
    "RankLeftError",
    "ReduceOp",
    "ShardedOptimizer",
    "all_gather",
    "all_gather_object",
    "all_reduce",
    "all_reduce_",
    "barrier",
    "broadcast",
    "broadcast_",
    "broadcast_object",
    "clip_grad_norm_",
    "destroy_process_group",
    "equal_steps",
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
    "load_checkpoint",
    "manual_seed",
    "rank_seed",
    "recv",
    "reduce_scatter",
    "run_local",
    "save_checkpoint",
    "scale",
    "send",
    "set_step",
    "shutdown",
    "synchronize",
    "weighted_mean",
]
