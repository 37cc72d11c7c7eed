"""Checkpoints of a job: written by one rank, atomically; read on any number of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._messages import a_type
from .._names import get_rng_state, set_rng_state
from ..serialization import load, save
from .group import current_group
from .messages import agree_or_raise, all_gather_object, broadcast_object
from .setup import rank_seed


def _bare(part: Any) -> Any:
    """Unwraps DistributedDataParallel, so that a file can be read without it."""
    from .data_parallel import DistributedDataParallel

    return part.module if isinstance(part, DistributedDataParallel) else part


def save_checkpoint(path: Any, parts: dict[str, Any], **data: Any) -> None:
    """Writes the state of ``parts`` and ``data`` to one file. Every rank calls it; rank 0 writes.

    ``parts`` are objects with ``state_dict()``, by names: models, optimizers (also a ShardedOptimizer, whose parts are
    gathered), schedulers. ``data`` are numbers, strings, arrays, and containers of them. The states of the random generators of
    all ranks and the number of the step are kept, too. The file is replaced when the new one is complete and on the disk: a job
    that dies in between leaves the old one. A model inside DistributedDataParallel is saved as the model itself.

    Raises:
        OSError: the file could not be written; raised on rank 0, a DistributedError on the others.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "job.safetensors"
    >>> def job():
    ...     model = tg.nn.Linear(2, 1)
    ...     tg.distributed.save_checkpoint(path, {"model": model}, epoch=3)
    ...     return tg.distributed.load_checkpoint(path, {"model": model})["epoch"]
    >>> tg.distributed.run_local(job, 2)
    [3, 3]
    """
    group = current_group("save_checkpoint")
    for name, part in parts.items():
        if not hasattr(part, "state_dict"):
            raise TypeError(f"save_checkpoint: part {name!r} is {a_type(part)} without state_dict()")
    states = {name: _bare(part).state_dict() for name, part in parts.items()}
    random = all_gather_object(list(get_rng_state()))
    error: BaseException | None = None
    if group.rank == 0:
        content = {"parts": states, "data": data, "random": random, "step": group.step, "world_size": group.size}
        try:
            save(content, path)
        except Exception as caught:  # noqa: BLE001 - it is raised on all ranks below
            error = caught
    agree_or_raise(error, "save_checkpoint")


def load_checkpoint(path: Any, parts: dict[str, Any], *, seed: int = 0) -> dict[str, Any] | None:
    """Reads what :func:`save_checkpoint` wrote into ``parts``; returns its ``data``, or None where there is no file.

    Rank 0 reads and sends the content to the others, so the file need not be visible to them. On the same number of ranks each
    random generator goes on where it was; on another number they are seeded anew, from ``seed``, the step and the rank.

    Raises:
        FileFormatError: the file is damaged; raised on rank 0, a DistributedError on the others.
        KeyError: the file lacks one of ``parts``.

    >>> dist = tg.distributed
    >>> def job():
    ...     dist.init(backend="local")
    ...     net = tg.nn.Linear(2, 1)
    ...     dist.save_checkpoint("job.safetensors", {"net": net}, epoch=3)
    ...     return dist.load_checkpoint("job.safetensors", {"net": net})
    >>> dist.run_local(job, 2)
    [{'epoch': 3}, {'epoch': 3}]
    """
    group = current_group("load_checkpoint")
    error: BaseException | None = None
    content: Any = None
    if group.rank == 0:
        try:
            content = load(path) if Path(path).exists() else None
            _check(content, parts, path)
        except Exception as caught:  # noqa: BLE001 - it is raised on all ranks below
            error = caught
    agree_or_raise(error, "load_checkpoint")
    content = broadcast_object(content)
    if content is None:
        return None
    for name, part in parts.items():
        _bare(part).load_state_dict(content["parts"][name])
    group.step = int(content["step"])
    if content["world_size"] == group.size:
        set_rng_state(tuple(content["random"][group.rank]))
    else:
        from .._core import manual_seed

        manual_seed(rank_seed(seed + group.step))
    found: dict[str, Any] = content["data"]
    return found


def _check(content: Any, parts: dict[str, Any], path: Any) -> None:
    if content is None:
        return
    if not isinstance(content, dict) or set(content) != {"parts", "data", "random", "step", "world_size"}:
        raise ValueError(f"load_checkpoint: {path} was not written by save_checkpoint; read it with tg.load")
    for name in parts:
        if name not in content["parts"]:
            raise KeyError(f"load_checkpoint: {path} has no part {name!r}; there are {sorted(content['parts'])}")


__all__ = ["load_checkpoint", "save_checkpoint"]
