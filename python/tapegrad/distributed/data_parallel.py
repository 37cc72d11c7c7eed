"""Data-parallel training: each rank has a replica of the model and a share of each batch; gradients are averaged."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import _core
from .._core import GradError, Variable
from .._habits import call_after_backward
from .._tree import flatten, is_inexact, tree_map
from ..autograd import is_grad_enabled, no_grad
from ..nn import Module
from .backend import Buffer
from .collectives import run_broadcast
from .errors import MismatchError
from .group import Group, current_group
from .messages import all_gather_object
from .normalization import weighted_by_samples
from .pack import array_of, text_of, wire_dtype

AVERAGES = ("sample", "rank", "sum")


def synchronize(values: Sequence[Variable], src: int = 0, what: str = "synchronize") -> None:
    """Sets Variables, in place and off the tape, to those of rank ``src``.

    >>> def job():
    ...     x = tg.full((2,), tg.distributed.get_rank())
    ...     tg.distributed.synchronize([x], src=1)
    ...     return x.tolist()
    >>> tg.distributed.run_local(job, 2)
    [[1, 1], [1, 1]]
    """
    group = current_group(what)
    group.agree(f"{what}({src}) of {len(values)} arrays, {sum(v.nbytes for v in values)} bytes")
    _synchronize(group, values, src, what)


def _synchronize(group: Group, values: Sequence[Variable], src: int, what: str) -> None:
    if group.size == 1 or not values:
        return
    found = run_broadcast(group, src, [v.detach() for v in values], what)
    if group.rank != src:
        with no_grad():
            for v, new in zip(values, found):
                v.copy_(new)


class _Bucket:
    """Gradients of one dtype that are reduced by one message."""

    def __init__(self, parameters: Sequence[Variable], places: Sequence[int]) -> None:
        self.places = list(places)
        sizes = [int(parameters[i].size) for i in places]
        self.flat = np.zeros(sum(sizes), wire_dtype(parameters[places[0]]))
        ends = np.cumsum(sizes)
        self.views = [self.flat[end - n : end].reshape(tuple(parameters[i].shape)) for i, end, n in zip(self.places, ends, sizes)]

    def fill(self, parameters: Sequence[Variable], weight: float) -> None:
        """Writes this rank's part of the weighted mean."""
        for i, view in zip(self.places, self.views):
            grad = parameters[i].grad
            if grad is None or not weight:
                view[...] = 0  # also where an empty batch has made it NaN
            else:
                np.multiply(array_of(grad).reshape(view.shape), view.dtype.type(weight), out=view)

    def empty(self, parameters: Sequence[Variable], used: Buffer) -> None:
        """Sets the gradients of the parameters that a rank used."""
        for i, view in zip(self.places, self.views):
            if not used[i]:
                continue
            p = parameters[i]
            if p.grad is None:
                p.grad = _core.asarray(view.copy()).astype(p.dtype)
            else:
                p.grad.copy_(_core.asarray(view))


def _buckets(parameters: Sequence[Variable], limit: int) -> list[_Bucket]:
    """Buckets of at most ``limit`` bytes, or one parameter, in reverse order of declaration."""
    open_places: dict[str, list[int]] = {}
    out: list[_Bucket] = []
    for i in reversed(range(len(parameters))):
        name = wire_dtype(parameters[i]).name
        places = open_places.setdefault(name, [])
        if places and sum(parameters[k].nbytes for k in places) + parameters[i].nbytes > limit:
            out.append(_Bucket(parameters, places))
            places = open_places[name] = []
        places.append(i)
    return out + [_Bucket(parameters, places) for places in open_places.values()]


def _samples(args: tuple[Any, ...], kwargs: dict[str, Any], axis: int) -> int:
    """The length of the batch axis of the first array among the arguments; 1 where there is none."""
    found: list[Any] = []
    flatten((args, kwargs), found)
    for x in found:
        shape = getattr(x, "shape", ())
        if isinstance(shape, tuple) and len(shape) > axis:
            return int(shape[axis])
    return 1


class DistributedDataParallel(Module):
    """A replica of ``module`` on each rank, whose gradients are averaged at the end of each backward pass.

    At construction the ranks check that names, shapes and dtypes agree, and take over parameters and buffers of rank 0. Each
    rank then runs forward and backward on its share of a batch; ``.grad`` is the mean over the samples of all ranks, the same
    bits everywhere, so optimizers keep the replicas equal. Buffers follow the first rank that had samples.

    - Uneven and empty shares count by their number of samples, the length of axis ``batch_axis`` of the first array that
      ``forward`` gets. The loss must be the mean over the share. :func:`equal_steps` gives empty batches to ranks without data.
    - A parameter that was used on some ranks only counts as zero on the others; one that no rank used keeps ``grad`` None.
    - ``with model.no_sync():`` accumulates gradients on this rank only.
    - A rank that runs no backward pass takes part by ``model.sync(count=0)``.

    Args:
        module: the model. The keys of the state dict begin with "module.", as PyTorch's.
        average: "sample", "rank" (the mean over ranks, PyTorch's) or "sum" (for losses that are sums).
        batch_axis: the axis of the inputs that counts samples.
        bucket_cap_mb: gradients are sent in messages of about this many MB.
        broadcast_buffers: whether buffers follow a rank after each reduction.
        device_ids: none, as there is one device; ``output_device``, ``find_unused_parameters``, ``gradient_as_bucket_view`` and
            ``static_graph`` are accepted and have no effect.

    Raises:
        MismatchError: the modules differ; raised on every rank.

    >>> def job():
    ...     rank = tg.distributed.get_rank()
    ...     model = tg.distributed.DistributedDataParallel(tg.nn.Linear(1, 1, bias=False))
    ...     x = tg.Variable([[1.0], [2.0], [3.0]])[: rank + 1]  # one sample on rank 0, two on rank 1
    ...     model(x).mean().backward()
    ...     return model.module.weight.grad.item()
    >>> [round(g, 6) for g in tg.distributed.run_local(job, 2)]
    [1.333333, 1.333333]
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        *,
        average: str = "sample",
        batch_axis: int = 0,
        bucket_cap_mb: float = 4.0,
        broadcast_buffers: bool = True,
        find_unused_parameters: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(module, Module):
            raise TypeError(f"DistributedDataParallel: expected a Module, got {type(module).__name__}")
        if average not in AVERAGES:
            raise ValueError(f"DistributedDataParallel: average must be one of {', '.join(AVERAGES)}, got {average!r}")
        if not bucket_cap_mb > 0:
            raise ValueError(f"DistributedDataParallel: bucket_cap_mb must be above 0, got {bucket_cap_mb!r}")
        if device_ids not in (None, [], ["cpu"]):
            raise ValueError(f"DistributedDataParallel: there is one device, 'cpu'; device_ids is {device_ids!r}")
        self.module = module
        self.average, self.batch_axis, self.broadcast_buffers = average, batch_axis, broadcast_buffers
        self._bucket_cap_mb = bucket_cap_mb
        self._group = current_group("DistributedDataParallel")
        self._is_syncing, self._pending = True, False
        #: Samples since the last reduction; None when nothing went through `forward`.
        self._count: int | None = None
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self._reduced = named
        self._agree()
        _synchronize(self._group, [*module.parameters(), *module.buffers()], 0, "DistributedDataParallel")
        self._buckets = _buckets([p for _, p in named], int(bucket_cap_mb * 2**20))
        self._watch()

    def _agree(self) -> None:
        """Raises on every rank unless all have the same parameters and buffers."""
        lines = [f"{name}: {text_of(p)}, requires_grad={p.requires_grad}" for name, p in self.module.named_parameters()]
        lines += [f"{name}: {text_of(b)}, a buffer" for name, b in self.module.named_buffers()]
        group = self._group
        group.agree("DistributedDataParallel()")
        try:
            group.agree("DistributedDataParallel of " + "; ".join(lines))
        except MismatchError:
            found = all_gather_object(lines)
            for i in range(max(map(len, found))):
                told = [rank[i] if i < len(rank) else "nothing" for rank in found]
                if len(set(told)) > 1:
                    text = "".join(f"\n  rank {r}: {t}" for r, t in enumerate(told))
                    raise MismatchError(
                        f"DistributedDataParallel: the ranks have different modules ({group.where()}), first at entry {i}:{text}"
                    ) from None
            raise

    def _watch(self) -> None:
        this = weakref.ref(self)
        key = object()

        def arrived(grad: Variable) -> None:
            call_after_backward(key, this, DistributedDataParallel._after_backward)

        for _, p in self._reduced:
            p.register_hook(arrived)

    def __deepcopy__(self, memo: dict[int, Any]) -> DistributedDataParallel:
        """Another replica, on every rank: all of them copy at the same time."""
        new = type(self)(
            copy.deepcopy(self.module, memo),
            average=self.average,
            batch_axis=self.batch_axis,
            bucket_cap_mb=self._bucket_cap_mb,
            broadcast_buffers=self.broadcast_buffers,
        )
        new.train(self.training)
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raises: a pickle cannot hold a job."""
        raise TypeError("DistributedDataParallel cannot be pickled, as it belongs to a job; pickle model.module")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module on this rank's share of the batch."""
        if is_grad_enabled() and self.training:
            self._count = (self._count or 0) + _samples(args, kwargs, self.batch_axis)
        with weighted_by_samples(self.average == "sample"):
            return self.module(*args, **kwargs)

    def _after_backward(self) -> None:
        self._pending = True
        if self._is_syncing:
            self.sync()

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Backward passes inside add to this rank's gradients only; the first one after the block averages all of it.

        All ranks run the same numbers of passes inside. Divide the losses by the number of passes that are added up.
        """
        before, self._is_syncing = self._is_syncing, False
        try:
            yield
        finally:
            self._is_syncing = before

    def sync(self, count: int | None = None) -> None:
        """Averages the gradients of all ranks, as the end of a backward pass does by itself.

        ``count`` is the number of samples of this rank; None takes what ``forward`` has counted since the last time. A rank
        without samples calls ``sync(count=0)`` where the others run their backward pass.
        """
        pending, known = self._pending, self._count if count is None else int(count)
        # The module was called directly, not through `forward`: then all ranks have equal weight.
        samples = int(pending) if known is None else known
        if samples < 0:
            raise ValueError(f"sync: count must be 0 or more, got {count}")
        self._count, self._pending = None, False
        group, parameters = self._group, [p for _, p in self._reduced]
        for name, p in self._reduced:
            if p.grad is not None and p.grad.requires_grad:
                raise GradError(
                    f"DistributedDataParallel: the gradient of {name} is recorded (create_graph=True), and averaging would end "
                    "its history. Use the module itself, and tg.distributed.all_reduce, through which gradients flow"
                )
        group.step += 1
        what = f"gradients of DistributedDataParallel ({len(parameters)} parameters)"
        group.agree(what)
        info = np.array([samples, pending, *(p.grad is not None for p in parameters)], np.int64)
        group.wait([group.backend.all_reduce(info, info, "sum")], what)
        total, used = int(info[0]), info[2:]
        if not info[1]:
            return  # no rank has had a backward pass since the last time
        with no_grad():
            self._reduce(self._weight(samples, total), used, what)
            self._follow(samples, what)

    def _weight(self, samples: int, total: int) -> float:
        """The factor of this rank's gradients."""
        if not samples:
            return 0.0
        return {"sample": samples / total, "rank": 1.0 / self._group.size, "sum": 1.0}[self.average]

    def _reduce(self, weight: float, used: Buffer, what: str) -> None:
        group, parameters = self._group, [p for _, p in self._reduced]
        started = []
        for bucket in self._buckets:
            if used[bucket.places].any():
                bucket.fill(parameters, weight)
                started.append((bucket, group.backend.all_reduce(bucket.flat, bucket.flat, "sum")))
        for number, (bucket, request) in enumerate(started):
            group.wait([request], f"{what}, bucket {number} of {len(started)}, {bucket.flat.nbytes} bytes")
            bucket.empty(parameters, used)

    def _follow(self, samples: int, what: str) -> None:
        """Buffers become those of the first rank that had samples."""
        buffers = list(self.module.buffers())
        if not (self.broadcast_buffers and buffers and self.training) or self._group.size == 1:
            return
        group = self._group
        first = np.array([group.rank if samples else group.size], np.int64)
        group.wait([group.backend.all_reduce(first, first, "min")], what)
        if first[0] < group.size:
            _synchronize(group, buffers, int(first[0]), f"buffers after {what}")


def _emptied(batch: Any) -> Any:
    """A batch of the same structure without samples."""
    return tree_map(lambda x: x[:0] if hasattr(x, "__getitem__") and len(getattr(x, "shape", (0,))) else x, batch)


def equal_steps(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of ``loader``, and empty ones where other ranks have more: so all ranks run the same number of steps.

    Every rank iterates in the same way. The loss of an empty batch is NaN, and it has no weight: see :func:`weighted_mean`.

    >>> def job():
    ...     batches = [tg.ones(2)] * (tg.distributed.get_rank() + 1)
    ...     return [len(batch) for batch in tg.distributed.equal_steps(batches)]
    >>> tg.distributed.run_local(job, 2)
    [[2, 0], [2, 2]]
    """
    group = current_group("equal_steps")
    batches = iter(loader)
    last: Any = None
    missing = object()
    while True:
        batch = next(batches, missing)
        group.agree("equal_steps()")
        more = np.array([batch is not missing], np.int64)
        group.wait([group.backend.all_reduce(more, more, "sum")], "equal_steps()")
        if not more[0]:
            return
        if last is None:
            if more[0] < group.size:
                found = all_gather_object(None if batch is missing else [_emptied(batch)])
                last = next(entry[0] for entry in found if entry is not None)
            else:
                last = _emptied(batch)
        yield last if batch is missing else batch


def weighted_mean(x: Any, count: float) -> Any:
    """The mean of ``x`` over all samples of all ranks, where ``x`` is the mean over the ``count`` samples of this rank.

    A rank with ``count`` 0 has no part in it, also where its ``x`` is NaN. It is for reporting: no gradient flows.

    >>> def job():
    ...     rank = tg.distributed.get_rank()
    ...     return tg.distributed.weighted_mean([1.0, 4.0, float("nan")][rank], [1, 2, 0][rank]).item()
    >>> tg.distributed.run_local(job, 3)
    [3.0, 3.0, 3.0]
    """
    from .collectives import all_reduce

    with no_grad():
        total = all_reduce(_core.asarray(float(count), dtype=_core.float64)).item()
        factor = count / total if total else 0.0

        def part(v: Any) -> Variable:
            value = _core.asarray(v).detach()
            value = value if is_inexact(value.dtype) else value.astype(_core.get_default_dtype())
            return value * factor if factor else _core.zeros_like(value)

        return all_reduce(tree_map(part, x))


__all__ = ["DistributedDataParallel", "equal_steps", "synchronize", "weighted_mean"]
