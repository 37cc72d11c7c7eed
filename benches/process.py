"""The cost of a process: import, memory, and a training step beside busy processes.

    python benches/process.py [--markdown OUT]

Every figure comes from processes of its own. The network is 784-512-256-10 with a batch of 1024, Adam, two threads.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from table import Table, arguments

LIBRARIES = {"tapegrad": "tapegrad", "torch": "torch", "jax": "jax.numpy"}

STEPS = """
import resource, sys, time
sys.path.insert(0, {here!r})
import numpy as np
from rows.common import Peers
from rows import networks
p = Peers.installed({{{library!r}}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rng = np.random.default_rng(0)
x, y = rng.standard_normal((1024, 784)).astype("float32"), rng.standard_normal((1024, 10)).astype("float32")
step = networks.STEPS[{library!r}](p, (784, 512, 256, 10), x, y, "Adam")
for _ in range(5):
    step()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = []
end = time.perf_counter() + 3.0
while time.perf_counter() < end:
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2] * 1e3, (peak - before) / 1024)
"""


def seconds(code: str) -> float:
    """The quickest of many runs of a program."""
    found = []
    for _ in range(15):
        program = f"import time; s = time.perf_counter()\n{code}\nprint(time.perf_counter() - s)"
        found.append(float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout))
    return min(found)


def steps(library: str) -> tuple[float, float]:
    """The median milliseconds of a step, and by how many MB steps raise the peak of the resident memory."""
    program = STEPS.format(here=str(Path(__file__).parent), library=library)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    time, memory = done.stdout.split()
    return float(time), float(memory)


def with_neighbours(library: str, n: int = 2) -> float:
    """The first result of `steps`, beside `n` processes that compute all the time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        return steps(library)[0]
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> int:
    """Measures, prints a row at a time, and writes the table where it was asked for."""
    options = arguments(__doc__).parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TAPEGRAD_NUM_THREADS"):
        os.environ[name] = "2"
    table = Table(
        "| library | import (ms) | memory of steps (MB) | step (ms) | with two busy neighbours (ms) | ratio |",
        "|---|---|---|---|---|---|",
    )
    for library, module in LIBRARIES.items():
        if not importlib.util.find_spec(library):
            continue
        alone, memory = steps(library)
        beside = with_neighbours(library)
        cells = [
            f"{seconds(f'import {module}') * 1e3:.1f}",
            f"{memory:.0f}",
            f"{alone:.2f}",
            f"{beside:.2f}",
            f"{beside / alone:.1f}",
        ]
        table.add(f"| {library} | " + " | ".join(cells) + " |")
    table.write(options.markdown, "benches/process.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
