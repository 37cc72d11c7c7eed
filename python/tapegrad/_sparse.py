"""Sparse Jacobians and Hessians: finds the sparsity pattern, colours it, and runs one sweep for each colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._coloring import columns, star, star_entries
from ._core import GradError, ShapeError, Variable
from ._messages import check_scipy
from ._sparsity import dependence, trace
from ._transforms import _Arguments, _check_function, _name, _result, jvp, vmap
from ._tree import flatten
from .autograd import grad, no_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["sparse_hessian", "sparse_jacobian"]

#: At most so many numbers for each operation in one batch of sweeps.
_BATCH = 4_000_000


class _Run:
    """A recorded run of the function at one point."""

    def __init__(self, derivative: _SparseDerivative, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name, self.f, self.kwargs = derivative.name, derivative.f, kwargs
        self.arguments = _Arguments(self.name, args, derivative.argnums)
        for v in self.arguments.values:
            if v.dtype.is_complex:
                raise TypeError(f"{self.name}: an argument has dtype {v.dtype}; pass real and imaginary parts")
            if _core._lifted(v) is not None:
                raise GradError(f"{self.name}: it cannot run inside vmap or jvp; call it outside of them")
        self.leaves = [v.detach().clone().requires_grad_(True) for v in self.arguments.values]
        self.n = sum(v.size for v in self.leaves)
        self.outputs: list[Variable] = []

    def value(self, leaves: Sequence[Variable]) -> list[Variable]:
        found: list[Any] = []
        flatten(self.f(*self.arguments.filled(list(leaves)), **self.kwargs), found)
        return [_result(self.name, y) for y in found]

    def recorded(self) -> list[Variable]:
        """The results at the leaves."""
        return self.value(self.leaves)

    def gradient(self) -> list[Variable]:
        """The gradient of the scalar result at the leaves, recorded."""
        found = self.recorded()
        if len(found) != 1 or found[0].size != 1 or not found[0].dtype.is_floating_point:
            shapes = [y.shape for y in found]
            raise GradError(
                f"{self.name}: {_name(self.f)} must return one floating number, it returned shapes {shapes}; sum() it"
            )
        if not found[0].requires_grad:
            return [_core.zeros_like(v) for v in self.leaves]
        grads = grad(found[0], self.leaves, create_graph=True, allow_unused=True)
        return [_core.zeros_like(v) if g is None else g for v, g in zip(self.leaves, grads)]

    def traced(self, what: Callable[[], list[Variable]]) -> Any:
        """Runs ``what`` under a trace, keeps its results, and returns their sparsity pattern."""
        out, calls = trace(what)
        self.outputs = list(out)
        return dependence(self.leaves, self.outputs, calls, self.name)

    def reverse(self, seeds: np.ndarray) -> np.ndarray:
        """The products of rows of ``seeds`` with the Jacobian of the recorded results: in one batch, or one by one."""
        places = [k for k, y in enumerate(self.outputs) if y.requires_grad]
        if not places or not len(seeds):
            return np.zeros((len(seeds), self.n))
        outputs = [self.outputs[k] for k in places]
        ends = np.cumsum([0, *(y.size for y in self.outputs)])

        def pulled(rows: np.ndarray, batched: bool) -> np.ndarray:
            front = (len(rows),) if batched else ()
            given = [
                Variable(np.ascontiguousarray(rows[..., ends[k] : ends[k + 1]]).reshape(*front, *y.shape), dtype=y.dtype)
                for k, y in zip(places, outputs)
            ]
            found = grad(outputs, self.leaves, given, retain_graph=True, allow_unused=True, is_grads_batched=batched)
            parts = [
                np.zeros((*front, v.size)) if g is None else g.detach().numpy().reshape(*front, v.size)
                for v, g in zip(self.leaves, found)
            ]
            return np.concatenate(parts, axis=-1).astype(np.float64)

        with no_grad():
            return _in_batches(pulled, seeds, self.n)

    def forward(self, seeds: np.ndarray) -> np.ndarray:
        """The products of the Jacobian with the rows of ``seeds``, by forward mode."""
        ends = np.cumsum([0, *(v.size for v in self.leaves)])
        values = tuple(v.detach() for v in self.leaves)

        def pushed(rows: np.ndarray, batched: bool) -> np.ndarray:
            front = (len(rows),) if batched else ()
            given = [
                Variable(np.ascontiguousarray(rows[..., a:b]).reshape(*front, *v.shape), dtype=v.dtype)
                for a, b, v in zip(ends, ends[1:], values)
            ]

            def along(*tangents: Variable) -> list[Variable]:
                found: list[Variable] = jvp(lambda *x: self.value(x), values, tangents)[1]
                return found

            out = vmap(along)(*given) if batched else along(*given)
            return np.concatenate([y.detach().numpy().reshape(*front, -1) for y in out], axis=-1).astype(np.float64)

        with no_grad():
            return _in_batches(pushed, seeds, self.n)


def _in_batches(sweep: Callable[[np.ndarray, bool], np.ndarray], seeds: np.ndarray, n: int) -> np.ndarray:
    """All sweeps, in batches; one by one where the function does not run in a batch."""
    size = max(1, _BATCH // max(n, 1))
    try:
        return np.concatenate([sweep(seeds[i : i + size], True) for i in range(0, len(seeds), size)])
    except (GradError, ValueError, TypeError, NotImplementedError):
        return np.stack([sweep(row, False) for row in seeds])


class _SparseDerivative:
    """A sparse Jacobian or Hessian as a function of the arguments."""

    name = ""

    def __init__(self, f: Callable[..., Any], argnums: int | Sequence[int], pattern: Any) -> None:
        check_scipy(self.name)
        _check_function(self.name, f)
        self.f, self.argnums = f, argnums
        self._given: Any = None if pattern is None else self._as_pattern(pattern)
        self._colored: Any = None
        #: How many sweeps the last call made.
        self.sweeps = 0

    def _as_pattern(self, pattern: Any) -> Any:
        from scipy import sparse

        found = sparse.csr_array(pattern)
        found = sparse.csr_array((np.ones(found.indices.size, bool), found.indices, found.indptr), shape=found.shape)
        found.sum_duplicates()
        return found

    def _checked(self, rows: int, n: int) -> Any:
        if self._given.shape != (rows, n):
            raise ShapeError(f"{self.name}: the pattern has shape {self._given.shape}, the derivative {(rows, n)}")
        return self._given


class SparseJacobian(_SparseDerivative):
    """What :func:`sparse_jacobian` returns."""

    name = "sparse_jacobian"

    def pattern(self, *args: Any, **kwargs: Any) -> Any:
        """Where the Jacobian may have entries: a boolean CSR array."""
        run = _Run(self, args, kwargs)
        return run.traced(run.recorded)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The Jacobian as a CSR array."""
        from scipy import sparse

        run = _Run(self, args, kwargs)
        if self._given is None:
            pattern = run.traced(run.recorded)
            by_column, by_row = columns(pattern), columns(pattern.T)
        else:
            run.outputs = list(trace(run.recorded)[0])
            pattern = self._checked(sum(y.size for y in run.outputs), run.n)
            self._colored = self._colored or (columns(pattern), columns(pattern.T))
            by_column, by_row = self._colored
        rows, cols = pattern.tocoo().coords
        forward, reverse = int(by_column.max(initial=-1)) + 1, int(by_row.max(initial=-1)) + 1
        self.sweeps = min(forward, reverse)
        if reverse <= forward:
            values = run.reverse(_seeds(by_row, reverse))[by_row[rows], cols]
        else:
            values = run.forward(_seeds(by_column, forward))[by_column[cols], rows]
        return sparse.csr_array((values, (rows, cols)), shape=pattern.shape)


class SparseHessian(_SparseDerivative):
    """What :func:`sparse_hessian` returns."""

    name = "sparse_hessian"

    def pattern(self, *args: Any, **kwargs: Any) -> Any:
        """Where the Hessian may have entries: a symmetric boolean CSR array."""
        run = _Run(self, args, kwargs)
        return _symmetric(run.traced(run.gradient))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The Hessian as a CSR array."""
        from scipy import sparse

        run = _Run(self, args, kwargs)
        if self._given is None:
            pattern = _symmetric(run.traced(run.gradient))
            colors = star(pattern)
        else:
            from .autograd import enable_grad

            with enable_grad():
                run.outputs = run.gradient()
            pattern = self._checked(run.n, run.n)
            if self._colored is None:
                pattern = self._given = _symmetric(pattern)
                self._colored = star(pattern)
            colors = self._colored
        rows, cols, element, color = star_entries(pattern, colors)
        self.sweeps = int(colors.max(initial=-1)) + 1 if rows.size else 0
        products = run.reverse(_seeds(colors, self.sweeps))
        values = products[color, element] if rows.size else np.zeros(0)
        return sparse.csr_array((values, (rows, cols)), shape=pattern.shape)


def _symmetric(pattern: Any) -> Any:
    both = (pattern + pattern.T).tocsr()
    both.sum_duplicates()
    return both


def _seeds(colors: np.ndarray, count: int) -> np.ndarray:
    """For each colour the sum of the unit vectors that have it."""
    seeds = np.zeros((count, colors.size))
    if count:
        seeds[colors, np.arange(colors.size)] = 1.0
    return seeds


def sparse_jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, pattern: Any = None) -> SparseJacobian:
    """The Jacobian of ``f`` by the arguments ``argnums`` as a ``scipy.sparse`` CSR array, where results use few inputs each.

    Rows are the elements of the result in order, columns those of the arguments; containers count one leaf behind the other. The
    run is recorded, sets of inputs are passed through what it recorded, columns (or rows) without common entries get one colour,
    and each colour costs one sweep of forward (or reverse) mode; all of them run as one batch. ``matrix = sparse_jacobian(f)``
    has ``matrix.pattern(x)``, and ``matrix.sweeps``, the number of colours of the last call.

    The pattern holds both branches of ``where``, and what an ``if`` of Python took at x. It may be too large: fused network
    layers, linear algebra, and functions with a rule of their own count as dense along the axes that they mix. With ``pattern``,
    an array or a sparse matrix whose nonzeros are the entries, it is not searched and the colours are kept from call to call; a
    pattern that is too small gives wrong numbers.

    >>> import numpy as np
    >>> matrix = tg.sparse_jacobian(lambda x: x[1:] * x[:-1])
    >>> matrix(np.arange(4.0)).toarray().tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 3.0, 2.0]]
    >>> matrix.sweeps
    2
    """
    return SparseJacobian(f, argnums, pattern)


def sparse_hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, pattern: Any = None) -> SparseHessian:
    """The Hessian of the scalar function ``f`` by the arguments ``argnums`` as a ``scipy.sparse`` CSR array.

    As :func:`sparse_jacobian`: the pattern is that of the recorded gradient, columns are coloured so that the symmetry gives
    what one column hides of another (a star colouring), and each colour costs one Hessian product, less than two gradients.

    >>> import numpy as np
    >>> matrix = tg.sparse_hessian(lambda x: tg.sum((x[1:] - x[:-1] ** 2) ** 2))
    >>> h = matrix(np.ones(10_000))
    >>> h.shape, h.nnz, matrix.sweeps
    ((10000, 10000), 29998, 3)
    """
    return SparseHessian(f, argnums, pattern)
