"""Datasets, from which a loader takes samples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np

from ... import _core
from ..._core import Variable
from .seeds import permutation

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base of datasets with a place for each sample: define ``__getitem__(index)`` and ``__len__``.

    With ``__getitems__(indices)``, which returns a list of samples, a loader reads a whole batch in one call.

    >>> class Squares(tg.utils.data.Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return float(i * i)
    >>> [batch.tolist() for batch in tg.utils.data.DataLoader(Squares(), batch_size=2)]
    [[0.0, 1.0], [4.0, 9.0]]
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(index)")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base of datasets that are streams: define ``__iter__``, and ``__len__`` if it is known.

    With several workers each iterates over the whole dataset: divide it by :func:`get_worker_info`.

    >>> class Count(tg.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([1.0, 2.0, 3.0])
    >>> [x.tolist() for x in tg.utils.data.DataLoader(Count(), batch_size=2)]
    [[1.0, 2.0], [3.0]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__()")

    def __add__(self, other: Dataset[Any]) -> ChainDataset[Any]:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Variable, ...]]):
    """Sample ``i`` is the tuple of element ``i`` of every array along axis 0. Batches of it are taken in one step.

    NumPy arrays are shared, not copied.

    >>> dataset = tg.utils.data.TensorDataset(tg.eye(2), tg.arange(2))
    >>> dataset[1]
    (Variable([0., 1.]), Variable(1))
    """

    tensors: tuple[Variable, ...]

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset: at least one array is needed, got none")
        self.tensors = tuple(_core.asarray(t) for t in tensors)
        if any(t.ndim == 0 for t in self.tensors):
            raise ValueError("TensorDataset: an array has no axis to count samples along; every array needs one axis or more")
        sizes = [len(t) for t in self.tensors]
        if len(set(sizes)) > 1:
            raise ValueError(f"TensorDataset: the arrays have different sizes along axis 0: {sizes}")

    def __getitem__(self, index: Any) -> tuple[Variable, ...]:
        return tuple(t[index] for t in self.tensors)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Variable, ...]]:
        return [self[i] for i in indices]

    def __len__(self) -> int:
        return len(self.tensors[0])

    def _gather(self, indices: Any) -> list[Variable]:
        """The batch of these samples, as collation makes it: a list of new arrays."""
        if isinstance(indices, slice):
            return [t[indices].clone() for t in self.tensors]
        return [_core.take(t, indices, 0) for t in self.tensors]


class StackDataset(Dataset[Any]):
    """Several datasets side by side: samples are tuples of their samples, or dicts when the datasets have names.

    >>> tg.utils.data.StackDataset([1, 2], ["a", "b"])[1]
    (2, 'b')
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets by position or by name, at least one and not both")
        self.datasets: tuple[Any, ...] | dict[str, Any] = args or kwargs
        sizes = [len(d) for d in self._parts()]
        if len(set(sizes)) > 1:
            raise ValueError(f"StackDataset: the datasets have different lengths: {sizes}")

    def _parts(self) -> Iterable[Any]:
        return self.datasets.values() if isinstance(self.datasets, dict) else self.datasets

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return len(next(iter(self._parts())))


class ConcatDataset(Dataset[T_co]):
    """Datasets one after another.

    >>> list(tg.utils.data.ConcatDataset([[1, 2], [3]]))
    [1, 2, 3]
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: at least one dataset is needed, got none")
        for d in self.datasets:
            if isinstance(d, IterableDataset):
                raise TypeError(f"ConcatDataset: {type(d).__name__} is a stream without places; use ChainDataset")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: Any) -> T_co:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        which = bisect_right(self.cumulative_sizes, place)
        before = self.cumulative_sizes[which - 1] if which else 0
        sample: T_co = self.datasets[which][place - before]
        return sample


class ChainDataset(IterableDataset[T_co]):
    """Streams one after another.

    >>> class Count(tg.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(tg.utils.data.ChainDataset([Count(), Count()]))
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets: list[Any] = list(datasets)
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise TypeError(f"ChainDataset takes IterableDatasets, got {type(d).__name__}; use ConcatDataset")

    def __iter__(self) -> Iterator[T_co]:
        for d in self.datasets:
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


class Subset(Dataset[T_co]):
    """The samples of a dataset at these places, in this order.

    >>> list(tg.utils.data.Subset([10, 20, 30], [2, 0]))
    [30, 10]
    """

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int]) -> None:
        self.dataset: Any = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        sample: T_co
        if isinstance(index, (list, tuple)):
            sample = self.dataset[[self.indices[i] for i in index]]
        else:
            sample = self.dataset[self.indices[index]]
        return sample

    def __getitems__(self, indices: Sequence[int]) -> list[T_co]:
        places = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(places) if callable(many) else [self.dataset[i] for i in places]

    def __len__(self) -> int:
        return len(self.indices)


def gather_of(dataset: Any) -> Any:
    """The function that makes a collated batch of a dataset from indices in one step, or None.

    It works for arrays in memory and for subsets of them, unless a subclass changes how samples are read.
    """
    if isinstance(dataset, Subset) and type(dataset).__getitems__ is Subset.__getitems__ and _plain(dataset, Subset):
        inner = gather_of(dataset.dataset)
        if inner is None:
            return None
        try:
            places = np.asarray(dataset.indices, dtype=np.int64)
        except (TypeError, ValueError, OverflowError):
            return None
        return lambda indices: inner(places[indices])
    if isinstance(dataset, TensorDataset) and _plain(dataset, TensorDataset):
        return dataset._gather
    return None


def _plain(dataset: Any, base: type) -> bool:
    kind = type(dataset)
    return all(getattr(kind, name) is getattr(base, name) for name in ("__getitem__", "__getitems__", "__len__"))


def _fractions(total: int, lengths: Sequence[float]) -> list[int]:
    sizes = [math.floor(total * part) for part in lengths]
    if any(part < 0 or part > 1 for part in lengths):
        raise ValueError(f"random_split: fractions must be from 0 to 1, got {list(lengths)}")
    for i in range(total - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes


def random_split(dataset: Dataset[Any], lengths: Sequence[float], generator: Any = None) -> list[Subset[Any]]:
    """Divides a dataset at random into subsets that do not overlap.

    ``lengths`` are numbers of samples that add up to its length, or fractions that add up to 1.

    >>> parts = tg.utils.data.random_split(range(10), [0.7, 0.3], generator=tg.random.Generator(0))
    >>> [len(part) for part in parts]
    [7, 3]
    """
    total = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9 and not all(isinstance(n, int) for n in lengths):
        sizes = _fractions(total, lengths)
    else:
        sizes = [int(n) for n in lengths]
        if sum(sizes) != total or any(n < 0 for n in sizes) or list(lengths) != sizes:
            raise ValueError(
                f"random_split: lengths {list(lengths)} must be numbers that add up to {total}, or fractions that add up to 1"
            )
    order = permutation(total, generator).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]


__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "gather_of",
    "random_split",
]
