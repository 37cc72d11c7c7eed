"""One rank of three fails in a way that is named on the command line; no collective waits longer than 3 s."""

import os
import signal
import sys
import time
from pathlib import Path

import tapegrad as tg
from tapegrad import distributed as dist

what = sys.argv[1]
told = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))
if told == "1" and what == "raise-before-init":
    raise ValueError("on purpose")
if told == "1" and what == "sleep-before-init":
    time.sleep(300)
dist.init(timeout=3)
rank = dist.get_rank()


def fail() -> None:
    """The failure of rank 1."""
    if what == "raise":
        raise ValueError("on purpose")
    if what == "exit":
        sys.exit(3)
    if what == "exit-0":
        sys.exit(0)
    if what == "os-exit":
        os._exit(3)
    if what == "os-exit-0":
        os._exit(0)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "sleep":
        time.sleep(300)
    if what == "other-collective":
        dist.barrier()
    if what == "swallow":
        try:
            dist.all_reduce(tg.ones(2))
        except dist.MismatchError:
            time.sleep(300)


for step in range(1, 6):
    dist.set_step(step)
    if rank == 1 and step == 3:
        fail()
    dist.all_reduce(tg.ones(3))
    if what == "kill-in-checkpoint":
        path = Path(sys.argv[2])
        if step == 3:
            # All ranks die while rank 0 writes: its file is on the disk in part.
            os.fsync = lambda handle: (time.sleep(0.3), os.kill(os.getpid(), signal.SIGKILL))
            if rank:
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGKILL)
        dist.save_checkpoint(path, {"model": tg.nn.Linear(100, 100)}, step=step)
if what == "sleep-at-end" and rank == 1:
    time.sleep(300)
if what == "exit-at-end" and rank == 1:
    sys.exit(5)
if what == "module":
    dist.DistributedDataParallel(tg.nn.Linear(2, 2 + rank))
print(f"reached the end on rank {rank}")
