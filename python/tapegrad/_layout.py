"""Places the vertices of a directed acyclic graph in layers, edges pointing down, with few crossings."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ORDER_ROUNDS = 12
_PLACE_ROUNDS = 60


class Layout(NamedTuple):
    """Centres of vertices, for each edge the points it passes through (its ends included), and the total width."""

    x: list[float]
    layer: list[int]
    edges: list[list[tuple[float, int]]]
    width: float


class _Graph:
    """The graph with every edge cut into pieces of one layer by invisible vertices."""

    def __init__(
        self, layer: list[int], widths: Sequence[float], edges: Sequence[tuple[int, int]], pulls: Sequence[float], bend: float
    ) -> None:
        self.layer = list(layer)
        self.widths = list(widths)
        self.real = len(layer)
        self.paths: list[list[int]] = []
        for a, b in edges:
            path = [a]
            for level in range(layer[a] + 1, layer[b]):
                path.append(len(self.layer))
                self.layer.append(level)
                self.widths.append(bend)
            self.paths.append([*path, b])
        count = len(self.layer)
        #: Neighbours, and the strength of the edge to each.
        self.above: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        self.below: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        for path, pull in zip(self.paths, pulls):
            for a, b in pairwise(path):
                self.below[a].append((b, pull))
                self.above[b].append((a, pull))
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        for v in range(count):
            self.rows[self.layer[v]].append(v)


def layered(
    widths: Sequence[float],
    edges: Sequence[tuple[int, int]],
    gap: float,
    pulls: Sequence[float] | None = None,
    bend: float = 14.0,
) -> Layout:
    """Lays out vertices of these widths; a heavier edge is drawn straighter.

    Vertices must be numbered so that every edge goes from a smaller to a larger number.
    """
    graph = _Graph(_layers(len(widths), edges), widths, edges, pulls or [1.0] * len(edges), bend)
    _order(graph)
    x = _place(graph, gap)
    sides = [(x[v] - w / 2, x[v] + w / 2) for v, w in enumerate(graph.widths)]
    left, right = min((a for a, _ in sides), default=0.0), max((b for _, b in sides), default=0.0)
    x = [value - left for value in x]
    points = [[(x[v], graph.layer[v]) for v in path] for path in graph.paths]
    return Layout(x[: graph.real], graph.layer[: graph.real], points, right - left)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path from a source; sources move down to the layer above their first use."""
    layer = [0] * count
    first: dict[int, int] = {}
    sources = [True] * count
    for a, b in sorted(edges, key=lambda e: e[1]):
        layer[b] = max(layer[b], layer[a] + 1)
        sources[b] = False
    for a, b in edges:
        first[a] = min(first.get(a, layer[b]), layer[b])
    return [first.get(v, 1) - 1 if sources[v] else layer[v] for v in range(count)]


def _order(graph: _Graph) -> None:
    """Sorts rows by the mean place of their neighbours, downward and upward, and keeps the best order seen."""
    best, fewest = [list(row) for row in graph.rows], _crossings(graph)
    for round_ in range(_ORDER_ROUNDS):
        down = round_ % 2 == 0
        neighbours = graph.above if down else graph.below
        place = {v: float(i) for row in graph.rows for i, v in enumerate(row)}
        for row in graph.rows if down else reversed(graph.rows):
            means = {v: _mean(place, neighbours[v], place[v]) for v in row}
            row.sort(key=lambda v: means[v])
            place.update((v, float(i)) for i, v in enumerate(row))
        crossings = _crossings(graph)
        if crossings < fewest:
            best, fewest = [list(row) for row in graph.rows], crossings
    graph.rows = best


def _mean(place: Mapping[int, float] | list[float], neighbours: list[tuple[int, float]], otherwise: float) -> float:
    total = sum(pull for _, pull in neighbours)
    return sum(place[n] * pull for n, pull in neighbours) / total if total else otherwise


def _crossings(graph: _Graph) -> int:
    """How often pieces of edges cross: inversions among their lower ends, counted in a Fenwick tree."""
    total = 0
    for row, under in pairwise(graph.rows):
        place = {v: i for i, v in enumerate(under)}
        tree = [0] * (len(under) + 1)
        seen = 0
        for v in row:
            ends = sorted(place[n] for n, _ in graph.below[v])
            for end in ends:
                at, not_right = end + 1, 0
                while at:
                    not_right += tree[at]
                    at &= at - 1
                total += seen - not_right
            for end in ends:
                at = end + 1
                while at <= len(under):
                    tree[at] += 1
                    at += at & -at
            seen += len(ends)
    return total


def _place(graph: _Graph, gap: float) -> list[float]:
    """Moves vertices towards the mean of their neighbours, as far as the order and the widths of a row allow."""
    x = [0.0] * len(graph.layer)
    for row in graph.rows:
        at = -sum(graph.widths[v] + gap for v in row) / 2
        for v in row:
            x[v] = at + graph.widths[v] / 2
            at += graph.widths[v] + gap
    stiffness = [sum(pull for _, pull in near) + 1e-3 for near in map(list.__add__, graph.above, graph.below)]
    for round_ in range(_PLACE_ROUNDS):
        down = round_ % 2 == 0
        both = round_ >= _PLACE_ROUNDS // 2
        for row in graph.rows if down else list(reversed(graph.rows)):
            wanted = []
            for v in row:
                near = graph.above[v] + graph.below[v] if both else graph.above[v] if down else graph.below[v]
                wanted.append(_mean(x, near, x[v]))
            # Vertices with heavy edges move their neighbours in the row; bends weigh most, so long edges become straight.
            pull = [(1.0 if v < graph.real else 4.0) * stiffness[v] for v in row]
            _spread(row, wanted, pull, graph.widths, gap, x)
    return x


def _spread(row: list[int], wanted: list[float], pull: list[float], widths: list[float], gap: float, x: list[float]) -> None:
    """The nearest places to the wanted ones, in the least squares sense, that keep order and distance."""
    offsets, at = [], 0.0
    for i, v in enumerate(row):
        at += (widths[row[i - 1]] + widths[v]) / 2 + gap if i else 0.0
        offsets.append(at)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members: isotonic regression by pooling
    for w, o, p in zip(wanted, offsets, pull):
        mean, weight, members = w - o, p, 1
        while blocks and blocks[-1][0] > mean:
            m, k, n = blocks.pop()
            mean, weight, members = (m * k + mean * weight) / (k + weight), k + weight, n + members
        blocks.append((mean, weight, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    for v, mean, o in zip(row, means, offsets):
        x[v] = mean + o
