"""A model of how data-parallel training scales: the time of a step from compute, bytes, bandwidth and latency.

Messages are modelled as Hockney does: n bytes take ``latency + n / bandwidth``. The algorithms are those of Thakur, Rabenseifner
and Gropp, "Optimization of collective communication operations in MPICH" (2005).

>>> cluster = Network(latency=2e-6, bandwidth=12.5e9)
>>> step = Step(compute=0.1, parameters=25_000_000)
>>> round(step_time(step, cluster, 64) / step.compute, 2)
1.22
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """The network between nodes: latency in seconds, and bandwidth in bytes per second and direction."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Step:
    """A step of training on one node.

    Args:
        compute: seconds of forward, backward and update.
        parameters: their number.
        itemsize: bytes of one.
        backward: the share of ``compute`` behind which messages can hide when they overlap.
        state: bytes of the optimizer's state for each byte of a parameter; Adam keeps two averages.
    """

    compute: float
    parameters: int
    itemsize: int = 4
    backward: float = 0.6
    state: float = 2.0

    @property
    def size(self) -> float:
        """Bytes of the gradients."""
        return float(self.parameters * self.itemsize)


def ring_all_reduce(size: float, nodes: int, network: Network) -> float:
    """Reduce-scatter and all-gather around a ring: the least bytes, but as many messages as nodes.

    2 (p - 1) (latency + n / (p bandwidth)).

    >>> ring_all_reduce(100.0, 1, Network(1.0, 1.0)), ring_all_reduce(100.0, 2, Network(1.0, 1.0))
    (0.0, 102.0)
    """
    return 2 * (nodes - 1) * (network.latency + size / (nodes * network.bandwidth))


def tree_all_reduce(size: float, nodes: int, network: Network) -> float:
    """Reduce and broadcast along a binary tree: few messages, each of all bytes.

    2 ceil(log2 p) (latency + n / bandwidth).

    >>> tree_all_reduce(100.0, 4, Network(1.0, 1.0))
    404.0
    """
    return 2 * math.ceil(math.log2(nodes)) * (network.latency + size / network.bandwidth)


def halving_all_reduce(size: float, nodes: int, network: Network) -> float:
    """Rabenseifner's: recursive halving and doubling, the bytes of the ring in the messages of a tree.

    2 ceil(log2 p) latency + 2 (p - 1)/p n / bandwidth.

    >>> halving_all_reduce(100.0, 4, Network(1.0, 1.0))
    154.0
    """
    return 2 * math.ceil(math.log2(nodes)) * network.latency + 2 * (nodes - 1) / nodes * size / network.bandwidth


#: The algorithms by name.
ALGORITHMS = {"ring": ring_all_reduce, "tree": tree_all_reduce, "halving": halving_all_reduce}


def step_time(
    step: Step,
    network: Network,
    nodes: int,
    *,
    algorithm: str = "ring",
    overlap: bool = False,
    buckets: int | None = None,
    sharded: bool = False,
) -> float:
    """Seconds of a step on ``nodes`` nodes, each of which has the batch of one (weak scaling).

    ``buckets`` is the number of messages that gradients are divided into; None makes them 4 MB. With ``overlap`` all but the
    last one hide behind the backward pass, as far as it is long enough. ``sharded`` is ZeRO of stage 1: the update is divided,
    and parameters are gathered after it; reduce-scatter and all-gather of the ring are then two phases of the same bytes.

    >>> network = tg.distributed.scale.Network(latency=2e-6, bandwidth=22e9)
    >>> step = tg.distributed.scale.Step(compute=0.385, parameters=50_000_000)
    >>> tg.distributed.scale.step_time(step, network, nodes=8) > 0.385
    True
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"step_time: algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    if nodes < 1:
        raise ValueError(f"step_time: nodes must be 1 or more, got {nodes}")
    if nodes == 1:
        return step.compute
    count = buckets or max(1, math.ceil(step.size / 2**22))
    one = ALGORITHMS[algorithm](step.size / count, nodes, network)
    total = one * count
    if sharded:
        # Our ShardedOptimizer reduces whole gradients, then broadcasts each rank's parameters: n / bandwidth in a pipeline.
        total += math.ceil(math.log2(nodes)) * network.latency * min(nodes, count) + step.size / network.bandwidth
    hidden = min(total - one, step.backward * step.compute) if overlap else 0.0
    return step.compute + total - hidden


def efficiency(step: Step, network: Network, nodes: int, **options: object) -> float:
    """The share of a step in which a node computes: 1 is perfect scaling.

    >>> efficiency(Step(1.0, 1000), Network(1e-6, 1e9), 1)
    1.0
    """
    return step.compute / step_time(step, network, nodes, **options)  # type: ignore[arg-type]


def bytes_of_node(step: Step, nodes: int, *, sharded: bool = False) -> float:
    """Memory of a node for parameters, gradients and optimizer state.

    >>> bytes_of_node(Step(1.0, 1000), 4), bytes_of_node(Step(1.0, 1000), 4, sharded=True)
    (16000.0, 10000.0)
    """
    return step.size * (2 + step.state / (nodes if sharded else 1))


__all__ = [
    "ALGORITHMS",
    "Network",
    "Step",
    "bytes_of_node",
    "efficiency",
    "halving_all_reduce",
    "ring_all_reduce",
    "step_time",
    "tree_all_reduce",
]
