"""Side by side with other frameworks, in one run: what an operation, a chain, a kernel and a training step cost.

    python benches/compare.py [--threads 1] [--groups scalars networks] [--only chain] [--budget 0.4] [--markdown OUT]

A time is the minimum of many short windows, which is what the machine can do when nobody disturbs it; the windows of
all frameworks alternate, so that a disturbance meets them alike. Where results can be compared, every framework must
give the same one before it is timed; training steps start from weights of their own and are timed only. Frameworks that
are not installed are left out. Figures are microseconds; the last column is the best peer's time over ours (above 1: we
are faster).
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from table import Table, arguments

GROUPS = ["scalars", "networks", "arrays"]
PEERS = ["numpy", "torch", "jax", "jax jit", "autograd", "mlx"]


def times(forms: dict[str, Callable[[], Any]], budget: float) -> dict[str, float]:
    """Microseconds of one call of each: the minima over windows of about a millisecond, taken in turn."""
    calls: dict[str, int] = {}
    for name, form in forms.items():
        form()
        start = time.perf_counter()
        form()
        calls[name] = max(1, int(1e-3 / max(time.perf_counter() - start, 1e-7)))
    result = dict.fromkeys(forms, float("inf"))
    end = time.perf_counter() + budget * len(forms)
    while time.perf_counter() < end:
        for name, form in forms.items():
            n = calls[name]
            form()  # caches are this framework's again
            start = time.perf_counter()
            for _ in range(n):
                form()
            result[name] = min(result[name], (time.perf_counter() - start) / n * 1e6)
    return result


def agree(np: Any, name: str, forms: dict[str, Callable[[], Any]]) -> None:
    """Raises unless all frameworks give what the first one gives."""

    def arrays(result: Any) -> list[Any]:
        parts = result if isinstance(result, (tuple, list)) else [result]
        return [np.asarray(part) for part in parts]

    results = {peer: arrays(form()) for peer, form in forms.items()}
    (_, first), *others = results.items()
    for peer, result in others:
        for x, y in zip(first, result, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-3, err_msg=f"{name}: {peer}")


def limit(threads: int) -> None:
    """Every framework gets that many threads, and the process that many processors. Before any of them is imported."""
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
    parser.add_argument("--budget", type=float, default=0.4, help="seconds for each framework in each row")
    options = parser.parse_args()
    limit(options.threads)
    from rows.common import Peers

    p = Peers.installed(options.threads)
    table = Table(
        f"{options.threads} thread{'s' * (options.threads > 1)}; {p.versions()}.",
        "",
        "| work (µs) | tapegrad | " + " | ".join(PEERS) + " | best peer / ours |",
        "|---|" + "---|" * (len(PEERS) + 2),
    )
    for group in options.groups:
        for row in importlib.import_module(f"rows.{group}").rows(p):
            if options.only not in row.name:
                continue
            if row.check:
                agree(p.np, row.name, row.forms)
            taken = times(row.forms, options.budget)
            ours = taken["tapegrad"]
            others = [t for k, t in taken.items() if k != "tapegrad"]
            cells = [f"{taken[peer]:.3g}" if peer in taken else "" for peer in PEERS]
            ratio = f"{min(others) / ours:.2f}" if others else ""
            table.add(f"| {row.name} | {ours:.3g} | " + " | ".join(cells) + f" | {ratio} |")
    table.write(options.markdown, f"benches/compare.py {options.threads}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
