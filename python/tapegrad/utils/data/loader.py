"""The loader: batches of a dataset, in an order that can be repeated and resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, repeat
from typing import Any, Generic, TypeVar

from ..._messages import a_type
from .collate import default_collate, default_convert
from .dataset import IterableDataset, gather_of
from .sampler import BatchSampler, RandomSampler, SequentialSampler, _Seeded, order_of
from .seeds import draw_seed, restore, state_of
from .worker import Job, Processes, Threads, raise_error

T_co = TypeVar("T_co", covariant=True)


class DataLoader(Generic[T_co]):
    """Iterates over batches of a dataset, once for each ``for`` loop.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an :class:`IterableDataset`.
        batch_size: samples in a batch; None gives the samples themselves.
        shuffle: a new random order each epoch.
        sampler: yields indices; replaces ``shuffle``.
        batch_sampler: yields lists of indices; replaces ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``.
        num_workers: how many workers make batches ahead of time; 0 makes them where they are asked for.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` when it is None.
        pin_memory: accepted, and without effect: there is no device to copy to.
        drop_last: leaves a last batch out that is shorter than the others.
        timeout: seconds to wait for a batch of a worker; 0 waits as long as it takes.
        worker_init_fn: called with the number of the worker when it starts. Without it, the random numbers of worker
            processes (Python's, NumPy's, ours) are seeded for each batch, so they do not depend on the number of workers.
        multiprocessing_context: how processes start ("fork", "spawn", "forkserver"); the system's default when None.
        generator: where orders and seeds come from; the generator of the process when None.
        prefetch_factor: batches that each worker makes ahead, 2 when None.
        persistent_workers: keeps workers from one epoch to the next.
        pin_memory_device: accepted, and without effect, as ``pin_memory``.
        in_order: accepted, and without effect: batches always come in order.
        workers: "process" or "thread". Threads share the dataset and start at once, but Python code in them takes turns.

    Arrays in memory have a quick path: a batch of a :class:`TensorDataset`, or of a :class:`Subset` of one, is taken in one
    step. ``state_dict()`` is small plain data that says where an epoch is; after ``load_state_dict``, in this process or
    another, the next ``for`` loop goes on with the batch after it.

    >>> loader = tg.utils.data.DataLoader(range(6), batch_size=2, shuffle=True, generator=tg.random.Generator(3))
    >>> epoch = iter(loader)
    >>> first, state = next(epoch), loader.state_dict()
    >>> rest = [batch.tolist() for batch in epoch]
    >>> loader.load_state_dict(state)
    >>> [batch.tolist() for batch in loader] == rest
    True
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        workers: str = "process",
    ) -> None:
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor if prefetch_factor is not None or num_workers == 0 else 2
        self.persistent_workers = persistent_workers
        self.timeout = timeout
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.workers = workers
        self._iterable = isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
        self._check_workers()
        self._check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.batch_size = None if batch_sampler is not None else batch_size
        self.drop_last = drop_last
        self.sampler = self._make_sampler(shuffle) if sampler is None else sampler
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        self._batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self._pool: Any = None
        self._epochs = 0
        self._seed: int | None = None
        self._given = 0
        self._before: Any = None
        self._resume: dict[str, Any] | None = None

    def _check_workers(self) -> None:
        n = self.num_workers
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"DataLoader: num_workers must be an int from 0 on, got {n!r}")
        if self.timeout < 0:
            raise ValueError(f"DataLoader: timeout must be 0 or more seconds, got {self.timeout}")
        if self.workers not in {"process", "thread"}:
            raise ValueError(f"DataLoader: workers must be 'process' or 'thread', got {self.workers!r}")
        if n == 0:
            for name, value in (("prefetch_factor", self.prefetch_factor), ("persistent_workers", self.persistent_workers)):
                if value:
                    raise ValueError(f"DataLoader: {name} is an option of workers, and num_workers is 0")
        elif not isinstance(self.prefetch_factor, int) or self.prefetch_factor < 1:
            raise ValueError(f"DataLoader: prefetch_factor must be an int from 1 on, got {self.prefetch_factor!r}")
        if self.worker_init_fn is not None and not callable(self.worker_init_fn):
            raise TypeError(f"DataLoader: worker_init_fn must be a function, got {type(self.worker_init_fn).__name__}")

    def _check_order(self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
        if self._iterable:
            if not hasattr(self.dataset, "__iter__"):
                raise TypeError(
                    f"DataLoader: {a_type(self.dataset)} is no dataset; it needs __getitem__ and __len__, or __iter__"
                )
            for name, value in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value not in {None, False} if name == "shuffle" else value is not None:
                    raise ValueError(f"DataLoader: {name} does not work with an IterableDataset, which decides its order itself")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other; the sampler decides the order")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None:
            if drop_last:
                raise ValueError("DataLoader: batch_size=None makes no batches, so it excludes drop_last")
        elif isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be a positive int or None, got {batch_size!r}")

    def _make_sampler(self, shuffle: Any) -> Any:
        if self._iterable:
            return repeat(None)
        return RandomSampler(self.dataset, generator=self.generator) if shuffle else SequentialSampler(self.dataset)

    def __len__(self) -> int:
        if not self._iterable:
            return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    # ---- one epoch ----

    def __iter__(self) -> Iterator[Any]:
        resume, self._resume = self._resume, None
        sampler = self._stateful()
        if resume is not None and sampler is not None and resume["sampler"] is not None:
            sampler.load_state_dict(resume["sampler"])
        started = resume is not None and resume["seed"] is not None
        self._seed = resume["seed"] if started and resume is not None else draw_seed(self.generator)
        before = None if sampler is None or isinstance(sampler, _Seeded) else sampler.state_dict()
        skip = resume["batch"] if started and resume is not None else 0
        batches = self._begin(skip)
        if started and resume is not None:
            restore(self.generator, resume["generator"])
        self._given = skip
        self._before = sampler.state_dict() if isinstance(sampler, _Seeded) else before
        self._epochs += 1
        return self._counted(batches, self._epochs)

    def _counted(self, batches: Iterator[Any], epoch: int) -> Iterator[Any]:
        for batch in batches:
            if epoch == self._epochs:
                self._given += 1
            yield batch
        if epoch == self._epochs:
            self._seed, self._given = None, 0

    def _begin(self, skip: int) -> Iterator[Any]:
        """The batches of an epoch from number ``skip`` on. The order is decided now."""
        is_plain = type(self.batch_sampler) is BatchSampler
        if self.num_workers == 0 and is_plain and self.collate_fn is default_collate:
            gather = gather_of(self.dataset)
            if gather is not None:
                return self._gathered(gather, skip)
        if self._iterable:
            tasks: Iterator[Any] = repeat(None)
        else:
            source: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
            order = order_of(source.sampler) if is_plain else None
            tasks = iter(source) if order is None else iter(BatchSampler(order.tolist(), source.batch_size, source.drop_last))
            tasks = islice(tasks, skip, None)
            first = next(tasks, _END)  # the order is decided in this call
            tasks = iter(()) if first is _END else chain([first], tasks)
        batches = self._serial(tasks) if self.num_workers == 0 else self._parallel(tasks, 0 if self._iterable else skip)
        return islice(batches, skip, None) if self._iterable else batches

    def _gathered(self, gather: Callable[[Any], Any], skip: int) -> Iterator[Any]:
        sampler: Any = self.batch_sampler
        size, order = sampler.batch_size, order_of(sampler.sampler)
        if order is None:
            return (gather(indices) for indices in islice(iter(sampler), skip, None))
        n = len(order)
        stop = n - n % size if sampler.drop_last else n
        if type(sampler.sampler) is SequentialSampler:
            return (gather(slice(at, min(at + size, n))) for at in range(skip * size, stop, size))
        return (gather(order[at : at + size]) for at in range(skip * size, stop, size))

    def _job(self) -> Job:
        size = (self.batch_size or 1) if self._batched else None
        return Job(self.dataset, self.collate_fn, self._iterable, size, self.drop_last, self.num_workers, self.worker_init_fn)

    def _serial(self, tasks: Iterator[Any]) -> Iterator[Any]:
        read = self._job().reader()
        for indices in tasks:
            try:
                batch = read(indices)
            except StopIteration:
                return
            yield batch

    def _parallel(self, tasks: Iterator[Any], first: int) -> Iterator[Any]:
        pool, self._pool = self._pool, None
        if pool is None:
            job = self._job()
            pool = Threads(job) if self.workers == "thread" else Processes(job, self.multiprocessing_context)
        pool.epoch += 1
        clean = False
        try:
            for i in range(self.num_workers):
                pool.send(i, ("epoch", pool.epoch, self._seed))
            yield from self._in_order(pool, tasks, first)
            clean = True
        except GeneratorExit:
            clean = True
            raise
        finally:
            if clean and self.persistent_workers and self._pool is None:
                self._pool = pool
            else:
                pool.close()

    def _in_order(self, pool: Any, tasks: Iterator[Any], first: int) -> Iterator[Any]:
        pending: deque[int] = deque()
        alive = list(range(self.num_workers))
        most = self.num_workers * (self.prefetch_factor or 2)
        k = first
        while True:
            while alive and len(pending) < most and (task := next(tasks, _END)) is not _END:
                worker = alive[k % len(alive)]
                pool.send(worker, ("task", pool.epoch, k, task))
                pending.append(worker)
                k += 1
            if not pending:
                return
            worker = pending.popleft()
            kind, data = self._receive(pool, worker)
            if kind == "error":
                raise_error(pool.describe(worker), data)
            if kind == "data":
                yield data
            elif worker in alive:
                alive.remove(worker)

    def _receive(self, pool: Any, worker: int) -> tuple[str, Any]:
        while True:
            try:
                epoch, kind, data = pool.receive(worker, self.timeout or None)
            except TimeoutError:
                where = pool.describe(worker)
                raise RuntimeError(f"DataLoader: {where} gave no batch for {self.timeout} seconds (timeout)") from None
            if epoch == pool.epoch:  # otherwise an epoch that was abandoned asked for it
                return kind, data

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    # ---- where it is ----

    def _stateful(self) -> Any:
        for sampler in (self.batch_sampler, getattr(self.batch_sampler, "sampler", None), self.sampler):
            if hasattr(sampler, "state_dict") and hasattr(sampler, "load_state_dict"):
                return sampler
        return None

    def state_dict(self) -> dict[str, Any]:
        """Where the present epoch is, as plain data.

        The order of a custom sampler can be resumed when the sampler has ``state_dict`` and ``load_state_dict``, or
        when it yields the same again. A stream is read again up to the place. With ``generator=None`` orders come from
        the generator of the process: save ``tg.random.get_rng_state()`` too.
        """
        sampler = self._stateful()
        if self._resume is not None:
            return dict(self._resume)
        if self._seed is not None:
            state = self._before
        else:
            state = None if sampler is None else sampler.state_dict()
            if isinstance(sampler, _Seeded) and state is not None:
                state = {**state, "seed": None}
        return {"seed": self._seed, "batch": self._given, "generator": state_of(self.generator), "sampler": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next ``for`` loop goes on after the batches that were given when ``state_dict`` was called."""
        wanted = {"seed", "batch", "generator", "sampler"}
        if not isinstance(state_dict, dict) or set(state_dict) != wanted:
            raise ValueError(f"DataLoader.load_state_dict: expected a dict with the keys {sorted(wanted)} from state_dict()")
        self._resume = dict(state_dict)
        if state_dict["seed"] is None:
            restore(self.generator, state_dict["generator"])


_END: Any = object()

__all__ = ["DataLoader"]
