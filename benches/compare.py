"""Side by side with other frameworks, in one run: what an operation, a chain, a kernel and a training step cost.

    python benches/compare.py [--threads 1] [--groups scalars networks] [--only chain] [--simd avx2] [--budget 0.4]
                              [--cpu-time] [--markdown OUT]

A time is the minimum of many short windows, which is what the machine can do when nobody disturbs it; the windows of
all frameworks alternate, so that a disturbance meets them alike. Each framework has a process of its own, which is stopped
while others are measured: threads that wait by spinning would take the processors from them. Where results can be
compared, every framework must give what ours gives before it is timed; training steps start from weights of their own and
are timed only. Frameworks that are not installed are left out. Figures are microseconds; the last column is the best
peer's time over ours (above 1: we are faster). With `--simd`, ours runs once more in a process with that instruction set, in a
column of its own. On a busy machine a call of milliseconds is always interrupted: `--cpu-time` counts the processor's time of one
thread instead, which leaves out the turns of others but not what they do to the caches.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import time
import timeit
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from rows.common import Form
from table import Table, arguments

GROUPS = ["scalars", "networks", "layers", "arrays"]
#: An environment variable that makes the processes of the frameworks count processor time.
CPU_TIME = "TAPEGRAD_BENCH_CPU_TIME"
PEERS = ["numpy", "torch", "jax", "jax jit", "autograd", "mlx"]


def calls(form: Form) -> int:
    """How many calls take about a millisecond, or one."""
    n = 1
    while n < 1 << 16 and run(form, n) < 1e-3:
        n *= 2
    return n


def run(form: Form, n: int) -> float:
    """Seconds of `n` calls, or of a statement `n` times."""
    if isinstance(form, timeit.Timer):
        return form.timeit(n)
    turns = itertools.repeat(None, n)  # a range would create an int in each turn
    clock = time.process_time if os.environ.get(CPU_TIME) else time.perf_counter
    start = clock()
    for _ in turns:
        form()
    return clock() - start


def window(form: Form, n: int) -> float:
    """Microseconds of one of `n` calls. Others have run before: a few calls more, until all is this framework's again."""
    run(form, n // 4 + 1)
    return run(form, n) / n * 1e6


def work(name: str, threads: int, groups: list[str], only: str, driver: Connection) -> None:
    """The process of one framework: names the forms that it has of a row, then measures windows until the next row."""
    name, _, simd = name.partition(" ")
    if simd:
        os.environ["TAPEGRAD_SIMD"] = simd
    from rows.common import Peers

    p = Peers.installed({"tapegrad", name}, threads)
    versions = p.versions()
    driver.send(versions.get(name))
    if name not in versions:
        return
    for group in groups:
        for row in importlib.import_module(f"rows.{group}").rows(p):
            if only not in row.name:
                continue
            mine = {form: f for form, f in row.forms.items() if form.split()[0] == name}
            if row.check:
                agree(p.np, row.name, {form: f for form, f in row.forms.items() if form == "tapegrad" or form in mine})
            counts = {form: calls(f) for form, f in mine.items()}
            driver.send((row.name, [f"{form} {simd}".strip() for form in mine]))
            while (form := driver.recv()) is not None:
                form = form.removesuffix(simd).strip()
                driver.send(window(mine[form], counts[form]))
    driver.send(None)


class Worker:
    """The process of one framework, seen from outside: it is stopped unless it works."""

    def __init__(self, name: str, *options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(name, *options, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def answer(self, *question: Any) -> Any:
        """Lets the process run until it has answered."""
        self.signal("SIGCONT")
        for part in question:
            self.connection.send(part)
        try:
            return self.connection.recv()
        except EOFError:
            raise SystemExit("the process of a framework has ended: its message is above") from None
        finally:
            self.signal("SIGSTOP")

    def signal(self, name: str) -> None:
        """Sends a signal, on systems that have it."""
        if hasattr(signal, name) and self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, getattr(signal, name))

    def end(self) -> None:
        """Ends the process, stopped or not."""
        self.process.kill()
        self.process.join()


def times(workers: dict[str, Worker], budget: float) -> Iterator[tuple[str, dict[str, float]]]:
    """The rows: microseconds of one call of each form, the minima over windows of about a millisecond, taken in turn."""
    while True:
        heads = {name: worker.answer() for name, worker in workers.items()}
        if None in heads.values():
            return
        forms = [(worker, form) for name, worker in workers.items() for form in heads[name][1]]
        result = {form: float("inf") for _, form in forms}
        end = time.perf_counter() + budget * len(forms)
        while time.perf_counter() < end:
            for worker, form in forms:
                result[form] = min(result[form], worker.answer(form))
        yield heads["tapegrad"][0], result
        for worker in workers.values():
            worker.connection.send(None)


def agree(np: Any, name: str, forms: dict[str, Any]) -> None:
    """Raises unless all forms give the result of the first one."""

    def arrays(result: Any) -> list[Any]:
        parts = result if isinstance(result, (tuple, list)) else [result]
        return [np.asarray(getattr(part, "detach", lambda part=part: part)()) for part in parts]

    results = {peer: arrays(form()) for peer, form in forms.items()}
    (_, first), *others = results.items()
    for peer, result in others:
        for x, y in zip(first, result, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-3, err_msg=f"{name}: {peer}")


def limit(threads: int) -> None:
    """Sets the number of threads of every framework, and of processors of the process; call it before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TAPEGRAD_NUM_THREADS"):
        os.environ[name] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> int:
    """Measures, prints a row at a time, and writes the table where it was asked for."""
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS, help="modules of rows/")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--simd", nargs="+", default=[], help="instruction sets for ours beside the widest")
    parser.add_argument("--budget", type=float, default=0.4, help="seconds for each framework in each row")
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time; for one thread")
    options = parser.parse_args()
    if options.cpu_time:
        if options.threads != 1:
            parser.error("--cpu-time is for one thread")
        os.environ[CPU_TIME] = "1"
    limit(options.threads)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process stays stopped
    sets = [f"tapegrad {simd}" for simd in options.simd]
    names = ["tapegrad", *sets, *(peer for peer in PEERS if " " not in peer)]
    workers = {name: Worker(name, options.threads, options.groups, options.only) for name in names}
    try:
        versions = {name: worker.answer() for name, worker in workers.items()}
        there = {name: worker for name, worker in workers.items() if versions[name]}
        known = ", ".join(versions[name] for name in there if name not in sets)
        table = Table(
            f"{options.threads} thread{'s' * (options.threads > 1)}; {known}.",
            "",
            f"| work (µs) | {' | '.join(['tapegrad', *sets, *PEERS])} | best peer / ours |",
            "|---|" + "---|" * (len(sets) + len(PEERS) + 2),
        )
        for name, taken in times(there, options.budget):
            ours = taken["tapegrad"]
            others = [t for k, t in taken.items() if k.split()[0] != "tapegrad"]
            cells = [f"{taken[form]:.3g}" if form in taken else "" for form in (*sets, *PEERS)]
            ratio = f"{min(others) / ours:.2f}" if others else ""
            table.add(f"| {name} | {ours:.3g} | " + " | ".join(cells) + f" | {ratio} |")
    finally:
        for worker in workers.values():
            worker.end()
    table.write(options.markdown, " ".join(["benches/compare.py", str(options.threads), *options.simd]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
