"""Colours of columns: one product with a derivative gives all columns of a colour.

Source: Gebremedhin, Manne & Pothen, What color is your Jacobian?, 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def columns(pattern: Any) -> np.ndarray:
    """Colours of columns so that no row has two entries of one colour: greedy, the better of two orders."""
    rows = pattern.tocsc()
    pointers, indices = rows.indptr.tolist(), rows.indices.tolist()
    counts = np.diff(rows.indptr)
    orders = [np.arange(len(counts)), np.argsort(-counts, kind="stable")]
    least = int(np.diff(pattern.tocsr().indptr).max(initial=0))
    best = _greedy(orders[0].tolist(), pointers, indices, pattern.shape[0])
    if best.max(initial=-1) + 1 <= least:
        return best
    other = _greedy(orders[1].tolist(), pointers, indices, pattern.shape[0])
    return other if other.max(initial=-1) < best.max(initial=-1) else best


def _greedy(order: list[int], pointers: list[int], indices: list[int], rows: int) -> np.ndarray:
    """Each column gets the first colour that none of its rows has yet; the bits of an integer are a row's colours."""
    used = [0] * rows
    colors = np.zeros(len(order), dtype=int)
    for j in order:
        mine = indices[pointers[j] : pointers[j + 1]]
        taken = 0
        for r in mine:
            taken |= used[r]
        free = ~taken & (taken + 1)
        colors[j] = free.bit_length() - 1
        for r in mine:
            used[r] |= free
    return colors


class _Star:
    """A star colouring: neighbours differ, and no path of four vertices has two colours.

    For each vertex it is kept how many neighbours have which colour, and which colours would close a path of four at its side. So
    a vertex costs its neighbours times the colours.
    """

    def __init__(self, neighbours: list[list[int]]) -> None:
        n = len(neighbours)
        self.neighbours = neighbours
        self.color = [-1] * n
        self.count: list[dict[int, int]] = [{} for _ in range(n)]
        self.first: list[dict[int, int]] = [{} for _ in range(n)]
        #: Colours c for which a neighbour of colour c has another neighbour of this vertex's own colour.
        self.closed: list[set[int]] = [set() for _ in range(n)]

    def paint(self, v: int) -> None:
        taken: set[int] = set()
        mine = self.count[v]
        for w in self.neighbours[v]:
            c = self.color[w]
            if c < 0:
                continue
            taken.add(c)
            # v would be the end of a path v - w - x - y.
            taken |= self.closed[w]
            # v would be in the middle of a path a - v - w - b, with a and w of one colour.
            if mine[c] > 1:
                taken.update(self.count[w])
        color = 0
        while color in taken:
            color += 1
        self.color[v] = color
        for w in self.neighbours[v]:
            self._tell(v, w, color)

    def _tell(self, v: int, w: int, color: int) -> None:
        """Updates ``w`` after its neighbour ``v`` has got a colour."""
        number = self.count[w].get(color, 0) + 1
        self.count[w][color] = number
        other = self.color[w]
        if number == 1:
            self.first[w][color] = v
        elif other >= 0:
            # w has several neighbours of that colour: w's own colour is forbidden to each of them.
            self.closed[v].add(other)
            self.closed[self.first[w][color]].add(other)
        if other >= 0 and self.count[v].get(other, 0) > 1:
            self.closed[w].add(color)


def star(pattern: Any) -> np.ndarray:
    """Colours of the columns of a symmetric pattern for which products with the sums of each colour give every entry."""
    csr = pattern.tocsr()
    pointers, indices = csr.indptr.tolist(), csr.indices.tolist()
    n = pattern.shape[0]
    neighbours = [[k for k in indices[pointers[i] : pointers[i + 1]] if k != i] for i in range(n)]
    degree = np.array([len(k) for k in neighbours])
    best: list[int] | None = None
    for order in (np.arange(n), np.argsort(-degree, kind="stable")):
        painted = _Star(neighbours)
        for v in order.tolist():
            painted.paint(v)
        if best is None or max(painted.color, default=-1) < max(best, default=-1):
            best = painted.color
        # A vertex inside a band has as many colours around it as neighbours: no order needs fewer.
        if n and max(best) <= degree.max():
            break
    return np.array(best, dtype=int)


def star_entries(pattern: Any, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the entries, and for each the element and the colour of the product that shows it."""
    coo = pattern.tocoo()
    rows, cols = coo.coords
    width = int(colors.max(initial=0)) + 1
    many = np.zeros(0, dtype=int)
    if rows.size:
        many = np.bincount(rows * width + colors[cols], minlength=pattern.shape[0] * width)
    own = many[rows * width + colors[cols]] == 1 if rows.size else np.zeros(0, bool)
    return rows, cols, np.where(own, rows, cols), np.where(own, colors[cols], colors[rows])
