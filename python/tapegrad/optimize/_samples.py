"""Solvers inside transformations: tangents are removed while they iterate, and samples of ``vmap`` are solved one by one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import GradError, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _State(threading.local):
    """The sample of each mapping that this thread is solving."""

    def __init__(self) -> None:
        self.sample: dict[int, int] = {}


_state = _State()


class _DiffersError(GradError):
    """A value differs between the samples of a mapping: solvers catch it and solve them one by one."""

    def __init__(self, level: int, size: int) -> None:
        super().__init__(
            "a solver needs one value where a value of vmap differs between the samples; solve for each sample in a loop, or "
            "for all of "
            "them as one larger problem"
        )
        self.level, self.size = level, size


def _rows(level: int, y: Variable) -> tuple[int, Variable]:
    """How many samples there are, and all of them along the first axis."""
    mapping = _core._active_mapping(level)
    size = mapping[0] if mapping else 0
    return size, _core._unbatched(level, size, y, 0)


def plain(y: Variable) -> Variable:
    """A value without the tangents of forward mode and, inside ``vmap``, of the sample that is being solved."""
    while (lift := _core._lifted(y)) is not None:
        kind, level = lift
        if kind == "dual":
            y = _core._split_dual(level, y)[0]
            continue
        size, rows = _rows(level, y)
        if level not in _state.sample:
            found = _core._innermost(rows).numpy()
            at = found.ndim - rows.ndim
            if size == 0 or not np.array_equal(found, np.broadcast_to(found.take([0], at), found.shape), equal_nan=True):
                raise _DiffersError(level, size)
        y = rows[_state.sample.get(level, 0)]
    return y


def has_derivative(y: Variable) -> bool:
    """Whether derivatives flow through ``y``, in reverse or in forward mode."""
    while (lift := _core._lifted(y)) is not None:
        kind, level = lift
        if kind == "dual":
            return True
        y = _rows(level, y)[1]
    return y.requires_grad


def each_sample(solve: Callable[[], Sequence[Any]]) -> list[Any]:
    """The results of ``solve``, NumPy arrays as Variables; solved sample by sample where a mapping makes it differ.

    Arrays of samples become mapped values; of other results there is a list.
    """
    try:
        return [Variable(r) if isinstance(r, np.ndarray) else r for r in solve()]
    except _DiffersError as e:
        level, size = e.level, e.size
    if size == 0:
        raise ValueError("a solver inside vmap needs at least one sample")
    samples = []
    for i in range(size):
        _state.sample[level] = i
        try:
            samples.append(each_sample(solve))
        finally:
            del _state.sample[level]

    def combined(column: tuple[Any, ...]) -> Any:
        if isinstance(column[0], Variable):
            return _core._batched(level, _core.stack(list(column)), 0)
        return [v for c in column for v in (c if isinstance(c, list) else [c])]

    return [combined(column) for column in zip(*samples, strict=True)]


def worst(flags: Any) -> bool:
    """Whether all samples succeeded."""
    return all(flags) if isinstance(flags, list) else bool(flags)


def one(values: Any) -> Any:
    """A count of all samples: the sum."""
    return sum(values) if isinstance(values, list) else values


def message_of(flags: Any, messages: Any) -> str:
    """The message of the first sample that failed, or of the first one."""
    if not isinstance(messages, list):
        return str(messages)
    failed = [m for good, m in zip(flags, messages) if not good]
    return str(failed[0] if failed else messages[0])
