"""Errors of jobs with several ranks."""

from __future__ import annotations


class DistributedError(RuntimeError):
    """A collective could not be completed, or ranks called it in different ways.

    >>> tg.distributed.get_rank()
    Traceback (most recent call last):
        ...
    tapegrad.distributed.errors.DistributedError: get_rank: there is no process group; call tg.distributed.init() first
    """


class MismatchError(DistributedError):
    """Ranks called different collectives, or one with different shapes, dtypes or options. It is raised on every rank."""


class RankLeftError(DistributedError):
    """A rank ended while another one waited for it."""


class DistributedTimeoutError(DistributedError, TimeoutError):
    """A rank waited longer than the time limit of the group."""


__all__ = ["DistributedError", "DistributedTimeoutError", "MismatchError", "RankLeftError"]
