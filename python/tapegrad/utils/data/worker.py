"""Workers of a loader: processes or threads that make batches ahead of time.

Each worker has its own channel, first in, first out: batch ``k`` comes from a known worker, so the order is that of the
sampler, and a worker that dies is noticed by the one who waits for it.
"""

from __future__ import annotations

import pickle
import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .seeds import SEEDS

_local = threading.local()


@dataclass(frozen=True)
class WorkerInfo:
    """The identity of a worker, for the code that runs in it."""

    #: Its number, from 0.
    id: int
    #: How many workers there are.
    num_workers: int
    #: The seed of its random numbers; another one in each epoch.
    seed: int
    #: The dataset, which in a process is a copy of its own.
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """The worker that this code runs in; None outside of workers.

    >>> tg.utils.data.get_worker_info() is None
    True
    """
    return getattr(_local, "info", None)


@dataclass(frozen=True)
class Job:
    """The task of all workers of a loader."""

    dataset: Any
    collate: Callable[[Any], Any]
    iterable: bool
    #: None: samples are not gathered to batches.
    batch_size: int | None
    drop_last: bool
    num_workers: int
    init: Callable[[int], object] | None

    def reader(self) -> Callable[[Any], Any]:
        """A function that makes the batch of some indices; a stream ignores them and raises StopIteration at its end."""
        return self._stream(iter(self.dataset)) if self.iterable else self._read

    def _read(self, indices: Any) -> Any:
        if self.batch_size is None:
            return self.collate(self.dataset[indices])
        many = getattr(self.dataset, "__getitems__", None)
        try:
            samples = many(indices) if callable(many) else [self.dataset[i] for i in indices]
        except StopIteration as error:  # it would silently end the epoch
            raise RuntimeError("the dataset raised StopIteration for a sample") from error
        return self.collate(samples)

    def _stream(self, samples: Iterator[Any]) -> Callable[[Any], Any]:
        def read(_: Any) -> Any:
            if self.batch_size is None:
                return self.collate(next(samples))
            batch = list(islice(samples, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                raise StopIteration
            return self.collate(batch)

        return read


class WorkerError(RuntimeError):
    """An error in a worker process whose exception could not be sent, or the end of a worker."""


class _Original(Exception):  # noqa: N818
    """Shows the traceback of a worker below the exception that it caused."""

    def __init__(self, text: str) -> None:
        super().__init__(f"\n{text}")


def _failure(error: BaseException) -> tuple[BaseException | None, str]:
    """An exception in a form that can be sent, and its traceback."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # noqa: BLE001
        return None, text
    return error, text


def _serve(job: Job, worker: int, receive: Callable[[], Any], send: Callable[[Any], None], own_random: bool) -> None:
    """The loop of a worker: ("epoch", number, seed) begins one, ("task", epoch, k, indices) asks for a batch."""
    read: Callable[[Any], Any] = _nothing
    failed: tuple[BaseException | None, str] | None = None
    seed = 0
    while (message := receive()) is not None:
        if message[0] == "epoch":
            failed, seed = None, message[2]
            _local.info = WorkerInfo(worker, job.num_workers, (seed + worker) % SEEDS, job.dataset)
            try:
                if own_random and (job.init is None or message[1] == 1):
                    _seed_all(_local.info.seed)
                if job.init is not None and message[1] == 1:
                    job.init(worker)
                read = job.reader()
            except Exception as error:  # noqa: BLE001
                failed = _failure(error) if own_random else (error, "")
            continue
        _, epoch, k, indices = message
        if failed is not None:
            send((epoch, "error", failed))
            continue
        if own_random and job.init is None:
            _seed_all((seed + 1_000_003 * (k + 1)) % SEEDS)
        try:
            answer = (epoch, "data", read(indices))
        except StopIteration:
            answer = (epoch, "end", None)
        except Exception as error:  # noqa: BLE001
            answer = (epoch, "error", _failure(error) if own_random else (error, ""))
        try:
            send(answer)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            send((epoch, "error", (None, f"a batch cannot be sent to the main process: {error}")))


def _nothing(_: Any) -> Any:
    raise StopIteration


def _seed_all(seed: int) -> None:
    """Seeds the generators of a process: Python's, NumPy's and ours."""
    import random

    import numpy as np

    from ... import _core

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    _core.manual_seed(seed)


class Threads:
    """Workers that are threads: they share the dataset, and what they do in Python takes turns."""

    #: The number of the present epoch.
    epoch = 0

    def __init__(self, job: Job) -> None:
        self._tasks: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(job.num_workers)]
        self._answers: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(job.num_workers)]
        for i, (tasks, answers) in enumerate(zip(self._tasks, self._answers)):
            work = (job, i, tasks.get, answers.put, False)
            threading.Thread(target=_serve, args=work, daemon=True, name=f"DataLoader worker {i}").start()

    def send(self, worker: int, message: Any) -> None:
        """Sends a task to a worker."""
        self._tasks[worker].put(message)

    def receive(self, worker: int, timeout: float | None) -> Any:
        """The next answer of a worker; TimeoutError after ``timeout`` seconds."""
        try:
            return self._answers[worker].get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None:
        """Ends the workers after their present task."""
        for tasks in self._tasks:
            tasks.put(None)

    @staticmethod
    def describe(worker: int) -> str:
        """Names a worker in messages."""
        return f"DataLoader worker thread {worker}"


def _process(job: Job | None, worker: int, channel: Any, others: list[Any], threads: int) -> None:
    """The main function of a worker process."""
    import signal
    from multiprocessing import connection, parent_process

    from ... import _core

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the main process, which then ends its workers
    for other in others:
        other.close()
    _core.set_num_threads(threads)
    parent = parent_process()
    try:
        job = channel.recv() if job is None else job
    except (EOFError, OSError):
        return
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        # Received in a thread, so that the main process can always send, however large a batch is on its way to it.
        watched = [channel] if parent is None else [channel, parent.sentinel]
        try:
            while channel in connection.wait(watched):
                inbox.put(channel.recv())
        except (EOFError, OSError):
            pass
        inbox.put(None)

    threading.Thread(target=listen, daemon=True).start()
    with suppress(BrokenPipeError, ConnectionResetError):  # the main process is gone
        _serve(job, worker, inbox.get, channel.send, True)


def _start(process: Any) -> None:
    import warnings

    with warnings.catch_warnings():
        # Python warns of a fork beside other threads; the locks of the compiled half survive it.
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        process.start()


class Processes:
    """Workers that are processes, each with a copy of the dataset."""

    #: The number of the present epoch.
    epoch = 0

    def __init__(self, job: Job, context: Any) -> None:
        import multiprocessing

        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        is_fork = context.get_start_method() == "fork"
        pipes = [context.Pipe() for _ in range(job.num_workers)]
        self._channels = [here for here, _ in pipes]
        self._processes = []
        try:
            for i, (_, there) in enumerate(pipes):
                # A forked process inherits all ends, and must close them for the others to see the end of a pipe.
                others = [end for pipe in pipes for end in pipe if end is not there] if is_fork else []
                # A process that is not forked gets its job by the channel: as an argument, a large job for a process
                # that dies while it starts would block the main process for ever.
                worker = context.Process(target=_process, args=(job if is_fork else None, i, there, others, 1), daemon=True)
                _start(worker)
                self._processes.append(worker)
            for _, there in pipes:
                there.close()
            if not is_fork:
                for i in range(job.num_workers):
                    self.send(i, job)
        except BaseException:
            self.close()
            raise

    def send(self, worker: int, message: Any) -> None:
        """Sends a task to a worker."""
        try:
            self._channels[worker].send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._ended(worker) from None

    def receive(self, worker: int, timeout: float | None) -> Any:
        """The next answer of a worker; TimeoutError after ``timeout`` seconds."""
        from multiprocessing import connection

        channel, process = self._channels[worker], self._processes[worker]
        ready = connection.wait([channel, process.sentinel], timeout)
        if not ready:
            raise TimeoutError
        if channel in ready or channel.poll(0):
            try:
                return channel.recv()
            except (EOFError, OSError):
                pass
        raise self._ended(worker)

    def _ended(self, worker: int) -> WorkerError:
        process = self._processes[worker]
        process.join(1)
        code = process.exitcode
        why = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        hint = " (the system ends processes by signal 9 when memory is short)" if code == -9 else ""
        return WorkerError(f"{self.describe(worker)} {why}{hint}; its batches are lost")

    def close(self) -> None:
        """Ends the processes."""
        for channel in self._channels:
            channel.close()
        for process in self._processes:
            process.join(0.5)
        for process in self._processes:
            if process.is_alive():
                process.terminate()
                process.join(1)
            if process.is_alive():
                process.kill()
                process.join()

    def describe(self, worker: int) -> str:
        """Names a worker in messages."""
        return f"DataLoader worker process {worker} (pid {self._processes[worker].pid})"


def raise_error(where: str, failure: tuple[BaseException | None, str]) -> Any:
    """Raises the error of a worker here, with the traceback that it had there."""
    error, text = failure
    if error is None:
        raise WorkerError(f"{where} failed:\n{text}")
    error.add_note(f"raised in {where}")
    if text:
        raise error from _Original(text)
    raise error


__all__ = ["Job", "Processes", "Threads", "WorkerError", "WorkerInfo", "get_worker_info", "raise_error"]
