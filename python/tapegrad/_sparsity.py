"""Sparsity patterns: which inputs each element of a result depends on, found from the recorded operations of a run.

Each recorded value carries a set of inputs for every element: a boolean matrix with a row for each element. An operation unites
the sets of what an element was made of. What that is comes from the kind of the primitive, or from running it again:

- elementwise operations unite by position, with broadcasting;
- linear ones are tried on element numbers: where each result is one input times a number (slices, gathers, permutations,
  concatenations), or each input goes to one result (sums, scatters), rows are moved or added;
- products with a constant matrix unite by its nonzeros;
- for others, NaN is put into a slice of an input along each axis: an axis whose slice reaches one slice of the result alone is
  separate (a batch, rows of softmax), and along all other axes every input counts for every result;
- functions with a rule of their own, and what refuses to run again, count as dependent on all their inputs.

So a set may be too large, never too small.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import _core
from ._core import Variable
from .autograd import enable_grad, no_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sets = Any

#: A matrix of sets with more entries than this is too dense: the search ends.
MOST = 50_000_000
_CONTRACTIONS = {"matmul", "linear", "vecdot", "dot", "inner"}


class TooDenseError(ValueError):
    """The pattern has too many entries for a sparse matrix to be of use."""


def trace(run: Callable[[], Sequence[Variable]]) -> tuple[Sequence[Variable], list[Any]]:
    """The result of ``run``, and the calls that it recorded."""
    _core._begin_trace()
    try:
        with enable_grad():
            out = run()
            for y in out:
                # A view whose base was written to is read now, so that the read is part of the trace.
                _core._place(y)
    finally:
        calls = _core._end_trace()
    return out, calls


def dependence(roots: Sequence[Variable], outputs: Sequence[Variable], calls: list[Any], name: str) -> Any:
    """The pattern of the Jacobian of all elements of ``outputs`` by those of ``roots``: a boolean CSR array."""
    from scipy import sparse

    count = sum(r.size for r in roots)
    known: dict[Any, Sets] = {}
    start = 0
    for r in roots:
        known[_core._place(r)] = sparse.eye_array(r.size, count, k=start, dtype=bool, format="csr")
        start += r.size
    for call in calls:
        places = call.places()
        sets = {i: known[p] for i, p in enumerate(places) if p in known}
        if sets:
            results = call.outputs()
            for y, s in zip(results, _Rule(call, sets, results, count, name).sets(), strict=True):
                known[_core._place(y)] = s
    blocks = [known.get(_core._place(y)) for y in outputs]
    for i, y in enumerate(outputs):
        if blocks[i] is None:
            # A value that no call of the trace created depends on no root; if the tape says otherwise, another thread
            # computed it.
            shape = (y.size, count)
            blocks[i] = sparse.csr_array(np.ones(shape, bool) if _reaches(y, roots) else shape, dtype=bool)
    return sparse.vstack(blocks, format="csr", dtype=bool)


def _reaches(y: Variable, roots: Sequence[Variable]) -> bool:
    """Whether ``y`` depends on a root, according to the tape."""
    return y.requires_grad and any(g is not None for g in _core.grad([y], list(roots), [_core.ones_like(y)], True, False, True))


class _Rule:
    """What one call does to the sets of its inputs."""

    def __init__(self, call: Any, sets: dict[int, Sets], results: list[Variable], count: int, name: str) -> None:
        self.call, self.given, self.results, self.count, self.name = call, sets, results, count, name
        self.inputs: list[Variable | None] = call.inputs()
        self.tracked = sorted(sets)
        self.shapes = [self._input(i).shape for i in self.tracked]
        self.sizes = [self._input(i).size for i in self.tracked]

    def _input(self, i: int) -> Variable:
        return cast("Variable", self.inputs[i])

    def sets(self) -> list[Sets]:
        """The sets of the results."""
        kind = self.call.dependence
        found = None
        if kind == "elementwise":
            found = self._elementwise()
        elif kind == "linear":
            found = self._tried(self._moved) or self._tried(self._summed)
        if found is None and kind == "general" and self.call.name in _CONTRACTIONS:
            found = self._tried(self._product)
        if found is None and kind != "opaque":
            found = self._tried(self._by_axes)
        return self._all() if found is None else found

    def _tried(self, rule: Callable[[], list[Sets] | None]) -> list[Sets] | None:
        """Applies a rule that runs the operation again; when the operation refuses, every result gets all inputs."""
        try:
            with np.errstate(all="ignore"):
                return rule()
        except TooDenseError:
            raise
        except Exception:  # noqa: BLE001 - any refusal of the operation means that nothing is known
            return None

    def _checked(self, rows: int, entries: int) -> None:
        if entries > MOST:
            line = f" at {self.call.source}" if self.call.source else ""
            raise TooDenseError(
                f"{self.name}: `{self.call.name}`{line} makes each of {rows} results depend on so many inputs that the pattern "
                f"has {entries} "
                "entries; the derivative is dense there, use tg.jacobian or tg.hessian"
            )

    def _union(self, parts: list[Sets]) -> Sets:
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        return total

    def _all(self) -> list[Sets]:
        """Every result depends on every input."""
        from scipy import sparse

        reached = np.unique(np.concatenate([s.indices for s in self.given.values()]))
        out = []
        for y in self.results:
            self._checked(y.size, y.size * reached.size)
            indices = np.tile(reached, y.size)
            ends = np.arange(y.size + 1) * reached.size
            out.append(sparse.csr_array((np.ones(indices.size, bool), indices, ends), shape=(y.size, self.count)))
        return out

    def _elementwise(self) -> list[Sets] | None:
        out = []
        for y in self.results:
            parts = []
            for i, shape in zip(self.tracked, self.shapes):
                s = self.given[i]
                if shape != y.shape:
                    numbers = np.arange(s.shape[0]).reshape(shape)
                    rows = np.broadcast_to(numbers, y.shape).ravel()
                    self._checked(y.size, int(np.diff(s.indptr)[rows].sum()))
                    s = s[rows]
                parts.append(s)
            out.append(self._union(parts))
        return out

    # ---- linear operations, tried on numbers ----

    def _filled(self, values: np.ndarray, requires_grad: bool = False) -> tuple[list[Any], list[Variable]]:
        """The operands: tracked ones filled with the given numbers, other floating ones with zeros."""
        if any(v.dtype.is_complex for v in [*self.results, *(self._input(i) for i in self.tracked)]):
            raise TypeError("numbers are tried on real operations only")
        inputs: list[Any] = []
        for v in self.inputs:
            floating = v is not None and (v.dtype.is_floating_point or v.dtype.is_complex)
            inputs.append(_core.zeros(v.shape, dtype="float64") if floating and v is not None else v)
        start, leaves = 0, []
        for i, shape, size in zip(self.tracked, self.shapes, self.sizes):
            part = Variable(values[start : start + size].reshape(shape), requires_grad=requires_grad)
            inputs[i] = part
            leaves.append(part)
            start += size
        return inputs, leaves

    def _applied(self, values: np.ndarray) -> np.ndarray:
        """The results for these numbers, concatenated."""
        with no_grad():
            found = self.call.run(self._filled(values)[0])
        return np.concatenate([y.numpy().ravel().astype(np.float64) for y in found[: len(self.results)]])

    def _stacked(self) -> Sets:
        from scipy import sparse

        return sparse.vstack([self.given[i] for i in self.tracked], format="csr", dtype=bool)

    def _parted(self, whole: Sets) -> list[Sets]:
        ends = np.cumsum([0, *(y.size for y in self.results)])
        return [whole[a:b] for a, b in itertools.pairwise(ends)]

    def _moved(self) -> list[Sets] | None:
        """The sets when each result is one input times a number, or zero."""
        source = _source(self._applied, sum(self.sizes))
        if source is None:
            return None
        sets, rows = self._stacked(), np.flatnonzero(source >= 0)
        self._checked(source.size, int(np.diff(sets.indptr)[source[rows]].sum()))
        return self._parted(_selection(rows, source[rows], (source.size, sets.shape[0])) @ sets)

    def _summed(self) -> list[Sets] | None:
        """The sets when each input contributes to at most one result."""
        total = sum(y.size for y in self.results)

        def transposed(cotangent: np.ndarray) -> np.ndarray:
            inputs, leaves = self._filled(np.zeros(sum(self.sizes)), requires_grad=True)
            with enable_grad():
                found = list(self.call.run(inputs))[: len(self.results)]
            ends = np.cumsum([0, *(y.size for y in self.results)])
            seeds = [Variable(cotangent[a:b].reshape(y.shape), dtype=y.dtype) for a, b, y in zip(ends, ends[1:], found)]
            pairs = [(y, g) for y, g in zip(found, seeds) if y.requires_grad]
            grads = _core.grad([y for y, _ in pairs], leaves, [g for _, g in pairs], False, False, True)
            return np.concatenate([np.zeros(v.size) if g is None else g.numpy().ravel() for v, g in zip(leaves, grads)])

        target = _source(transposed, total)
        if target is None:
            return None
        sets, columns = self._stacked(), np.flatnonzero(target >= 0)
        return self._parted(_selection(target[columns], columns, (total, sets.shape[0])) @ sets)

    # ---- others ----

    def _product(self) -> list[Sets] | None:
        """A product of a tracked matrix or vector with a constant one, whose zeros count."""
        from scipy import sparse

        if len(self.tracked) != 1 or len(self.inputs) != 2 or len(self.results) != 1:
            return None
        (i,), other = self.tracked, self.inputs[1 - self.tracked[0]]
        x, shape = self._input(i), self.results[0].shape
        if other is None or other.ndim > 2 or x.ndim > 2:
            return None
        # Numbers in 1..2 cannot cancel in the product; the constant counts by its nonzeros.
        numbers = np.random.default_rng(0).uniform(1.0, 2.0, x.shape)
        mask = (other.numpy() != 0).astype(np.float64)
        inputs: list[Any] = [None, None]
        inputs[i], inputs[1 - i] = Variable(numbers), Variable(mask)
        with no_grad():
            wanted = self.call.run(inputs)[0].numpy()
        rows = x.shape[0] if x.ndim == 2 else 1
        columns = x.shape[-1] if x.ndim == 2 else 1
        for m in (mask, mask.T) if mask.ndim == 2 else (mask[None, :],):
            pattern = sparse.csr_array(m.astype(bool))
            for whole in (
                sparse.kron(pattern, sparse.eye_array(columns, dtype=bool)),
                sparse.kron(sparse.eye_array(rows, dtype=bool), pattern),
            ):
                if whole.shape == (int(np.prod(shape)), x.size) and np.allclose(
                    (whole.astype(float) @ numbers.ravel()).reshape(shape), wanted
                ):
                    return [(whole.astype(bool).tocsr() @ self.given[i]).tocsr()]
        return None

    def _by_axes(self) -> list[Sets] | None:
        """The sets, from the axes along which slices of an input stay separate."""
        out: list[list[Sets]] = [[] for _ in self.results]
        for i, shape in zip(self.tracked, self.shapes):
            pairs = self._separate_axes(i, shape)
            if pairs is None:
                return None
            for k, (y, separate) in enumerate(zip(self.results, pairs)):
                out[k].append(self._grouped(self.given[i], shape, y.shape, separate))
        return [self._union(parts) for parts in out]

    def _separate_axes(self, i: int, shape: tuple[int, ...]) -> list[list[tuple[int, int]]] | None:
        """For each result, pairs of an axis of input ``i`` and one of the result along which slices stay separate."""
        pairs: list[list[tuple[int, int]]] = [[] for _ in self.results]
        for axis, size in enumerate(shape):
            if size < 2:
                continue
            masks = [self._reached(i, axis, at) for at in (0, size - 1)]
            if masks[0] is None or masks[1] is None:
                return None
            for k, y in enumerate(self.results):
                taken = {b for _, b in pairs[k]}
                for b, n in enumerate(y.shape):
                    if n == size and b not in taken and _is_slice(masks[0][k], b, 0) and _is_slice(masks[1][k], b, size - 1):
                        pairs[k].append((axis, b))
                        break
        return pairs

    def _reached(self, i: int, axis: int, at: int) -> list[np.ndarray] | None:
        """Which results become NaN when a slice of input ``i`` is; None where they are NaN without that."""
        inputs: list[Any] = list(self.inputs)
        values = np.array(self._input(i).numpy())
        if np.isnan(values).any() or any(np.isnan(y.detach().numpy()).any() for y in self.results):
            return None
        values[(slice(None),) * axis + (at,)] = np.nan
        inputs[i] = Variable(values)
        with no_grad():
            return [np.isnan(y.numpy()) for y in self.call.run(inputs)[: len(self.results)]]

    def _grouped(self, sets: Sets, shape: tuple[int, ...], result: tuple[int, ...], separate: list[tuple[int, int]]) -> Sets:
        """Unions over the inputs with the same place along the separate axes."""
        lengths = tuple(shape[a] for a, _ in separate)
        inner = _groups(shape, [a for a, _ in separate], lengths)
        outer = _groups(result, [b for _, b in separate], lengths)
        count = int(np.prod(lengths))
        unions = (_selection(inner, np.arange(inner.size), (count, inner.size)) @ sets).tocsr()
        self._checked(outer.size, int(np.diff(unions.indptr)[outer].sum()))
        return unions[outer]


def _source(apply: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray | None:
    """For each result of a linear map of ``n`` numbers the only input that it is a multiple of, -1 for none; None for other maps.

    A result c·x that agrees with w x_k at random numbers x, where w is c·1, has no other entry than w, but by an accident of
    measure zero.
    """
    weights, labels = apply(np.ones(n)), apply(np.arange(1.0, n + 1.0))
    numbers = np.random.default_rng(7).uniform(1.0, 2.0, n)
    tried = apply(numbers)
    if not np.isfinite(weights).all():
        return None
    some = weights != 0
    source = np.full(weights.size, -1)
    at = labels[some] / weights[some] - 1.0
    nearest = np.rint(at)
    if n == 0 or (np.abs(at - nearest) > 1e-6).any() or (nearest < 0).any() or (nearest >= n).any():
        return source if n == 0 else None
    source[some] = nearest.astype(int)
    wanted = np.where(some, weights * numbers[np.maximum(source, 0)], 0.0)
    return source if np.allclose(tried, wanted, rtol=1e-9, atol=0.0) else None


def _selection(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    from scipy import sparse

    return sparse.csr_array((np.ones(rows.size, bool), (rows, columns)), shape=shape)


def _is_slice(mask: np.ndarray, axis: int, at: int) -> bool:
    wanted = np.zeros(mask.shape, bool)
    wanted[(slice(None),) * axis + (at,)] = True
    return bool((mask == wanted).all())


def _groups(shape: tuple[int, ...], axes: list[int], lengths: tuple[int, ...]) -> np.ndarray:
    """For each element the number of its place along ``axes``."""
    number = np.zeros(shape, dtype=int)
    for axis, step in zip(axes, np.cumprod([1, *lengths[:0:-1]])[::-1] if lengths else []):
        view = [1] * len(shape)
        view[axis] = shape[axis]
        number = number + int(step) * np.arange(shape[axis]).reshape(view)
    return number.ravel()
