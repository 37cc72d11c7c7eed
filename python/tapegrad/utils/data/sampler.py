"""Samplers: the order in which a loader asks a dataset for samples."""

from __future__ import annotations

# mypy: disable-error-code="no-any-return"
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from ..._core import Variable
from .seeds import draw_seed, ordered, restore, state_of

T_co = TypeVar("T_co", covariant=True)
Order = np.ndarray[Any, np.dtype[np.int64]]


class Sampler(Generic[T_co]):
    """Base of samplers: define ``__iter__``, which yields indices, and ``__len__`` if it is known.

    >>> class Backwards(tg.utils.data.Sampler):
    ...     def __iter__(self):
    ...         return iter([2, 1, 0])
    >>> [x.tolist() for x in tg.utils.data.DataLoader([10, 20, 30], batch_size=3, sampler=Backwards())]
    [[30, 20, 10]]
    """

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")


class _Ordered(Sampler[int]):
    """A sampler whose epoch is an array of indices."""

    def order(self) -> Order:
        """The indices of the next epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())


class SequentialSampler(_Ordered):
    """All places in order.

    >>> list(tg.utils.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def order(self) -> Order:
        """All indices."""
        return np.arange(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class _Seeded(_Ordered):
    """An order that follows from a seed, which is drawn at the beginning of each epoch."""

    generator: Any = None
    _seed: int | None = None
    _next: int | None = None

    def order(self) -> Order:
        """The indices of the next epoch, of a new seed."""
        self._seed, self._next = draw_seed(self.generator) if self._next is None else self._next, None
        return self._from(self._seed)

    def _from(self, seed: int) -> Order:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The state that decides the order of the present epoch and of later ones."""
        return {"seed": self._seed, "generator": state_of(self.generator)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next epoch has the order of the one in which :meth:`state_dict` was called."""
        self._next = state_dict["seed"]
        restore(self.generator, state_dict["generator"])


def _count(name: str, num_samples: Any) -> int:
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples <= 0:
        raise ValueError(f"{name}: num_samples must be a positive int, got {num_samples!r}")
    return num_samples


class RandomSampler(_Seeded):
    """All places in random order; ``num_samples`` of them, or with ``replacement`` each drawn anew.

    >>> sorted(tg.utils.data.RandomSampler(range(4)))
    [0, 1, 2, 3]
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = None if num_samples is None else _count("RandomSampler", num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _from(self, seed: int) -> Order:
        n, count = len(self.data_source), self.num_samples
        if n == 0:
            if count:
                raise ValueError(f"RandomSampler: {count} samples cannot be drawn from an empty dataset")
            return np.arange(0)
        if self.replacement:
            drawn: Order = np.random.Generator(np.random.Philox(seed)).integers(0, n, count)
            return drawn
        rounds = [ordered(n, seed + i) for i in range(-(-count // n))]
        return np.concatenate([*rounds, np.arange(0)])[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Seeded):
    """These places in random order.

    >>> sorted(tg.utils.data.SubsetRandomSampler([5, 7]))
    [5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def _from(self, seed: int) -> Order:
        return np.asarray(self.indices, dtype=np.int64)[ordered(len(self.indices), seed)]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Seeded):
    """Places drawn with probabilities in proportion to ``weights``, which need not add up to 1.

    >>> sampler = tg.utils.data.WeightedRandomSampler([0.0, 1.0], num_samples=3)
    >>> list(sampler)
    [1, 1, 1]
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        self.num_samples = _count("WeightedRandomSampler", num_samples)
        if not isinstance(replacement, bool):
            raise TypeError(f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}")
        w = np.array(weights.numpy() if isinstance(weights, Variable) else weights, dtype=np.float64)
        if w.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: weights must have one axis, got shape {w.shape}")
        if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
            raise ValueError("WeightedRandomSampler: weights must be finite, not negative, and not all zero")
        if not replacement and num_samples > np.count_nonzero(w):
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} different samples, but {np.count_nonzero(w)} have a weight above zero"
            )
        self.weights = w
        self.replacement = replacement
        self.generator = generator

    def _from(self, seed: int) -> Order:
        random = np.random.Generator(np.random.Philox(seed))
        w = self.weights
        if self.replacement:
            sums = np.cumsum(w)
            found = np.searchsorted(sums, random.random(self.num_samples) * sums[-1], side="right")
            places: Order = np.minimum(found, np.flatnonzero(w)[-1])
            return places
        # The order of exponential waiting times is that of successive draws without replacement.
        with np.errstate(divide="ignore"):
            waiting = random.exponential(size=len(w)) / w
        return np.argsort(waiting, kind="stable")[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler["list[int]"]):
    """Groups the indices of a sampler into lists of ``batch_size``; with ``drop_last`` without a shorter last one.

    >>> list(tg.utils.data.BatchSampler(tg.utils.data.SequentialSampler(range(5)), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size must be a positive int, got {batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class DistributedSampler(_Ordered):
    """The share of one process among several: every ``num_replicas``-th place from ``rank`` on.

    Without ``num_replicas`` and ``rank`` they are those of the job of ``tg.distributed``; a process alone has all places.
    Shares are made equally long: places from the beginning are repeated, or with ``drop_last`` the last ones are left out. With
    ``pad=False`` neither happens, and some shares have one place less; then use ``tg.distributed.equal_steps``.

    Call :meth:`set_epoch` before each epoch: all processes then have the same order, another one in each epoch.

    >>> list(tg.utils.data.DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        *,
        pad: bool = True,
    ) -> None:
        mine, count = _place_in_job()
        num_replicas = count if num_replicas is None else num_replicas
        rank = mine if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"DistributedSampler: rank {rank} must be from 0 to {num_replicas - 1}")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        n = len(dataset)
        self.num_samples = n // num_replicas if drop_last else -(-n // num_replicas)
        self.total_size = self.num_samples * num_replicas
        if not pad and not drop_last:
            self.num_samples, self.total_size = len(range(rank, n, num_replicas)), n

    def order(self) -> Order:
        """The indices of this process."""
        n = len(self.dataset)
        order = ordered(n, self.seed + self.epoch) if self.shuffle else np.arange(n)
        return np.resize(order, self.total_size)[self.rank :: self.num_replicas]

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another epoch has another order."""
        self.epoch = epoch


def _place_in_job() -> tuple[int, int]:
    """Rank and number of ranks of the job of ``tg.distributed``, when there is one."""
    import sys

    distributed = sys.modules.get("tapegrad.distributed.group")
    group = None if distributed is None else distributed.group_or_none()
    return (0, 1) if group is None else (group.rank, group.size)


def order_of(sampler: Any) -> Order | None:
    """The indices of an epoch as an array, when the sampler knows them at once and no subclass changes how it yields."""
    if isinstance(sampler, _Ordered) and type(sampler).__iter__ is _Ordered.__iter__:
        return sampler.order()
    return None


__all__ = [
    "BatchSampler",
    "DistributedSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
    "order_of",
]
