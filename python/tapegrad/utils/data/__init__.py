"""Datasets, samplers and the loader that makes batches of them. Names, parameters and results are PyTorch's.

>>> x, y = tg.arange(6).reshape(6, 1), tg.arange(6)
>>> loader = tg.utils.data.DataLoader(tg.utils.data.TensorDataset(x, y), batch_size=4)
>>> [labels.tolist() for _, labels in loader]
[[0, 1, 2, 3], [4, 5]]
"""

from __future__ import annotations

from sys import modules as _modules
from typing import TYPE_CHECKING, Any

from . import datasets
from . import loader as dataloader
from . import sampler as distributed
from .collate import default_collate, default_convert
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .loader import DataLoader
from .sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .worker import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "datasets",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

# Names that PyTorch's users also import from this module.
_modules[f"{__name__}.distributed"] = distributed
_modules[f"{__name__}.dataloader"] = dataloader

if not TYPE_CHECKING:
    from ..._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
