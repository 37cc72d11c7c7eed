"""Collation: a list of samples becomes one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import _core
from ..._core import Variable
from ..._messages import a_type


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks a list of samples along a new first axis.

    Variables, NumPy arrays and numbers become one Variable (Python floats in the default dtype); strings stay a list;
    mappings, named tuples, tuples and lists are collated part by part. A tuple becomes a list, as in PyTorch.

    >>> default_collate = tg.utils.data.default_collate
    >>> default_collate([(1, "a"), (2, "b")])
    [Variable([1, 2]), ['a', 'b']]
    >>> default_collate([{"x": [0.5, 1.0]}, {"x": [1.5, 2.0]}])
    {'x': [Variable([0.5, 1.5]), Variable([1., 2.])]}
    """
    batch = list(batch)
    if not batch:
        raise ValueError("default_collate: the batch is empty, expected one sample or more")
    first = batch[0]
    if isinstance(first, (Variable, np.ndarray)):
        return _stacked(batch)
    if isinstance(first, (bool, int, float, np.number, np.bool_)):
        return _core.asarray(np.asarray(batch) if isinstance(first, np.generic) else batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _mapping(batch)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(part) for part in _parts(batch)))
    if isinstance(first, Sequence):
        parts = [default_collate(part) for part in _parts(batch)]
        return parts if type(first) in (tuple, list) else _like(first, parts)
    raise TypeError(
        f"default_collate: a sample holds {a_type(first)}; expected arrays, numbers, strings, mappings, tuples or "
        "lists. Give the loader a collate_fn that makes a batch of such samples"
    )


def _stacked(batch: list[Any]) -> Variable:
    shapes = [x.shape for x in batch if hasattr(x, "shape")]
    if len(shapes) < len(batch):
        kinds = sorted({type(x).__name__ for x in batch})
        raise TypeError(f"default_collate: samples of one batch are of different types: {', '.join(kinds)}")
    if any(shape != shapes[0] for shape in shapes):
        other = next(shape for shape in shapes if shape != shapes[0])
        raise _core.ShapeError(
            f"default_collate: samples of one batch have different shapes, {shapes[0]} and {other}; "
            "give the loader a collate_fn that pads or groups them"
        )
    if isinstance(batch[0], np.ndarray):
        if batch[0].dtype.kind not in "biufc":
            raise TypeError(f"default_collate: NumPy arrays of dtype {batch[0].dtype} hold no numbers")
        return _core.asarray(np.stack([x.numpy() if isinstance(x, Variable) else x for x in batch]))
    return _core.stack(batch, axis=0)


def _mapping(batch: list[Any]) -> Any:
    first = batch[0]
    for sample in batch[1:]:
        if sample.keys() != first.keys():
            raise KeyError(f"default_collate: samples of one batch have different keys, {list(first)} and {list(sample)}")
    return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})


def _parts(batch: list[Any]) -> list[tuple[Any, ...]]:
    size = len(batch[0])
    if any(len(sample) != size for sample in batch):
        lengths = sorted({len(sample) for sample in batch})
        raise RuntimeError(f"default_collate: samples of one batch have different lengths, {lengths}; each must be of equal size")
    return list(zip(*batch))


def _like(first: Any, parts: Any) -> Any:
    """``parts`` in a container of the type of ``first``, if that can be made so."""
    if type(first) in (dict, list):
        return parts
    try:
        return type(first)(parts)
    except TypeError:
        return parts


def default_convert(data: Any) -> Any:  # noqa: PLR0911 - a kind of data each
    """Arrays in a sample become Variables; all else stays as it is.

    >>> tg.utils.data.default_convert([np.zeros(2), "a"])
    [Variable([0., 0.], dtype=float64), 'a']
    """
    if isinstance(data, np.ndarray) and data.dtype.kind in "biufc":
        return _core.asarray(data)
    if isinstance(data, (np.number, np.bool_)):
        return _core.asarray(data)
    if isinstance(data, (str, bytes, Variable)):
        return data
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple):
        parts = [default_convert(value) for value in data]
        return type(data)(*parts) if hasattr(data, "_fields") else tuple(parts)
    if isinstance(data, Sequence):
        return _like(data, [default_convert(value) for value in data])
    return data


__all__ = ["default_collate", "default_convert"]
