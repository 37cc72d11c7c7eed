"""PyTorch's functions that NumPy does not have, composed of recorded operations. Those of one array are methods, too.

The module is loaded when one of them is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from . import _core
from ._core import Variable
from ._habits import axis_of, check_device
from ._named import named

#: Python's own range, since `range` is PyTorch's function in this module.
_places = range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class KthvalueResult(NamedTuple):
    """The result of :func:`kthvalue`."""

    values: Variable
    indices: Variable


class ModeResult(NamedTuple):
    """The result of :func:`mode`."""

    values: Variable
    indices: Variable


class SvdResult(NamedTuple):
    """What :func:`svd` gives."""

    U: Variable
    S: Variable
    V: Variable


class AminmaxResult(NamedTuple):
    """The result of :func:`aminmax`."""

    min: Variable
    max: Variable


# ---- parts ----


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Variable, ...]:
    """Parts of these lengths along an axis: what PyTorch's split does with a list.

    >>> [part.tolist() for part in tg.split_with_sizes(tg.arange(5), [2, 3])]
    [[0, 1], [2, 3, 4]]
    """
    x, sizes = _core.asarray(input), [int(n) for n in split_sizes]
    axis = axis_of("split_with_sizes", dim, x.ndim)
    if min(sizes, default=0) < 0 or sum(sizes) != x.shape[axis]:
        raise ValueError(
            f"split_with_sizes: the lengths {sizes} add up to {sum(sizes)}, expected the length {x.shape[axis]} of axis {dim}"
        )
    places = [sum(sizes[: i + 1]) for i in _places(len(sizes) - 1)]
    return tuple(_core.split(x, places, axis=axis))


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Variable, ...]:
    """So many parts along an axis, of lengths that differ by one at most, or parts between places: see array_split.

    >>> [part.tolist() for part in tg.tensor_split(tg.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    if isinstance(indices_or_sections, Variable):
        indices_or_sections = indices_or_sections.tolist()
    return tuple(_core.array_split(_core.asarray(input), indices_or_sections, axis=dim))


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Variable:
    """The elements at indices along an axis, for every place of the other axes: see take_along_axis.

    >>> x = tg.tensor([[3.0, 1.0, 2.0]])
    >>> tg.take_along_dim(x, x.argsort(1), dim=1)
    Variable([[1., 2., 3.]])
    """
    x, at = _core.asarray(input), _core.asarray(indices)
    if dim is None:
        return _core.take_along_axis(x.reshape(-1), at.reshape(-1), 0)
    return _core.take_along_axis(x, at, dim)


def _window(name: str, x: Variable, dim: int, place: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis_of(name, dim, x.ndim), place)


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Variable:
    """A copy with ``src`` at one place of an axis.

    >>> tg.select_scatter(tg.zeros(2, 2), tg.ones(2), 0, 1)
    Variable([[0., 0.],
              [1., 1.]])
    """
    y = _core.asarray(input).clone()
    y[_window("select_scatter", y, dim, index)] = src
    return y


def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Variable:
    """A copy with ``src`` at a slice of an axis.

    >>> tg.slice_scatter(tg.zeros(4), tg.ones(2), start=1, end=3)
    Variable([0., 1., 1., 0.])
    """
    y = _core.asarray(input).clone()
    y[_window("slice_scatter", y, dim, slice(start, end, step))] = src
    return y


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Variable:
    """A copy with ``src`` on a diagonal of two axes.

    >>> tg.diagonal_scatter(tg.zeros(2, 2), tg.ones(2))
    Variable([[1., 0.],
              [0., 1.]])
    """
    x = _core.asarray(input)
    window = _core.diagonal(x, offset, dim1, dim2)
    src = _core.asarray(src)
    if src.shape != window.shape:
        raise _core.ShapeError(f"diagonal_scatter: src has shape {src.shape}, expected that of the diagonal, {window.shape}")
    on = diag_embed(_core.ones(window.shape, bool), offset, dim1, dim2)
    return _core.where(_fit(on, x.shape, bool), _fit(diag_embed(src, offset, dim1, dim2), x.shape, src.dtype), x)


def _fit(square: Variable, shape: tuple[int, ...], dtype: Any) -> Variable:
    """The array cut to ``shape``, or filled up with zeros behind its elements."""
    square = square[tuple(slice(0, n) for n in shape)]
    if square.shape == shape:
        return square
    out = _core.zeros(shape, dtype)
    out[tuple(slice(0, n) for n in square.shape)] = square
    return out


# ---- choosing ----


def masked_scatter(input: Any, mask: Any, source: Any) -> Variable:
    """A copy in which the places of a mask have the elements of ``source``, one after the other.

    >>> tg.masked_scatter(tg.zeros(3), tg.tensor([True, False, True]), tg.tensor([5.0, 6.0, 7.0]))
    Variable([5., 0., 6.])
    """
    x, source = _core.asarray(input), _core.asarray(source)
    y, mask = _core.broadcast_arrays(x, _core.asarray(mask).astype(bool))
    count = int(_core.count_nonzero(mask))
    if source.size < count:
        raise ValueError(f"masked_scatter: source has {source.size} elements, but the mask has {count} places")
    y = y.clone()
    y[mask] = source.reshape(-1)[:count].astype(y.dtype)
    return y


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Variable:
    """A copy in which these places of an axis have one value.

    >>> tg.index_fill(tg.zeros(3), 0, tg.tensor([0, 2]), 1.0)
    Variable([1., 0., 1.])
    """
    y: Variable = _core.asarray(input).clone()
    y[_window("index_fill", y, dim, index)] = value
    return y


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Variable:
    """A copy in which these places of an axis have those of ``source``.

    >>> tg.index_copy(tg.zeros(3), 0, tg.tensor([0, 2]), tg.tensor([1.0, 2.0]))
    Variable([1., 0., 2.])
    """
    y: Variable = _core.asarray(input).clone()
    y[_window("index_copy", y, dim, index)] = source
    return y


def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Variable:
    """A copy in which the places of an axis are reduced with those of ``source``: ``reduce`` is "prod", "mean", "amax" or "amin".

    Place ``i`` of ``source`` goes to place ``index[i]``, with the others that go there and, unless ``include_self=False``, with
    what is there. Ties share the gradient. ``source`` has the shape of ``input``, but for that axis, which has the length of
    ``index``; another shape raises ShapeError.

    >>> tg.index_reduce(tg.ones(2), 0, tg.tensor([0, 0, 1]), tg.tensor([2.0, 3.0, 4.0]), "prod")
    Variable([6., 4.])
    """
    x, at, source = _core.asarray(input), _core.asarray(index).reshape(-1), _core.asarray(source)
    axis = axis_of("index_reduce", dim, x.ndim)
    expected = (*x.shape[:axis], at.size, *x.shape[axis + 1 :])
    if source.shape != expected:
        raise _core.ShapeError(f"index_reduce: source has shape {source.shape}, expected {expected}")
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ValueError(f"index_reduce: reduce is {reduce!r}, expected 'prod', 'mean', 'amax' or 'amin'")
    at = at.reshape((*(1,) * axis, -1, *(1,) * (x.ndim - axis - 1))).broadcast_to(expected)
    found: Variable = _core.scatter_reduce(x, axis, at, source, reduce, include_self=include_self)
    return found


def _at_rank(x: Variable, order: Variable, rank: Any, axis: int, keepdim: bool) -> tuple[Variable, Variable]:
    at = _core.take(order, rank, axis)
    values = _core.take_along_axis(x, at, axis)
    return (values, at) if keepdim else (_core.squeeze(values, axis), _core.squeeze(at, axis))


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> KthvalueResult:
    """The k-th smallest element along an axis, from 1 on, and its index, as a named tuple of values and indices.

    >>> tg.kthvalue(tg.tensor([3.0, 1.0, 2.0]), 2)
    KthvalueResult(values=Variable(2.), indices=Variable(2))
    """
    x = _core.asarray(input)
    if not x.ndim:
        x, keepdim = x.reshape(1), False
    axis = axis_of("kthvalue", dim, x.ndim)
    if not 1 <= k <= x.shape[axis]:
        raise ValueError(f"kthvalue: k is {k}, expected 1 to {x.shape[axis]}, the length of axis {dim}")
    return KthvalueResult(*_at_rank(x, _core.argsort(x, axis), [k - 1], axis, keepdim))


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> ModeResult:
    """The most frequent element along an axis, the smallest one where several are, and an index of it.

    >>> tg.mode(tg.tensor([2, 1, 2, 1, 3])).values
    Variable(1)
    """
    x = _core.asarray(input)
    if not x.ndim:
        x, keepdim = x.reshape(1), False
    axis = axis_of("mode", dim, x.ndim)
    if not x.shape[axis]:
        raise ValueError(f"mode: axis {dim} of the array of shape {x.shape} has no elements")
    order = _core.argsort(x, axis, stable=True)
    rows = _core.moveaxis(_core.take_along_axis(x.detach(), order, axis), axis, -1)
    # Where the run of equal elements begins that each element in sorted order is in.
    place = _core.broadcast_to(_core.arange(rows.shape[-1]), rows.shape)
    begins = _core.concat([_core.ones((*rows.shape[:-1], 1), dtype=_core.bool), rows[..., 1:] != rows[..., :-1]], axis=-1)
    start = _core.cummax(_core.where(begins, place, 0), -1)
    # The first run of the greatest length in sorted order, and its last index, as in PyTorch.
    rank = _core.moveaxis(_core.argmax(place - start, -1, keepdims=True), -1, axis)
    at = _core.take_along_axis(order, rank, axis)
    values = _core.take_along_axis(x, at, axis)
    return ModeResult(values, at) if keepdim else ModeResult(_core.squeeze(values, axis), _core.squeeze(at, axis))


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> AminmaxResult:
    """The smallest and the largest elements, as a named tuple of min and max.

    >>> tg.aminmax(tg.tensor([3.0, 1.0, 2.0]))
    AminmaxResult(min=Variable(1.), max=Variable(3.))
    """
    x = _core.asarray(input)
    return AminmaxResult(_core.amin(x, dim, keepdims=keepdim), _core.amax(x, dim, keepdims=keepdim))


def msort(input: Any) -> Variable:
    """The elements in order along the first axis.

    >>> tg.msort(tg.tensor([3.0, 1.0, 2.0]))
    Variable([1., 2., 3.])
    """
    return _core.sort(input, axis=0)


def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The first of each run of equal elements, or slices of an axis; on request which run each is in, and lengths of runs.

    >>> tg.unique_consecutive(tg.tensor([1, 1, 2, 1]), return_counts=True)
    (Variable([1, 2, 1]), Variable([2, 1, 1]))
    """
    x = _core.asarray(input)
    axis = 0 if dim is None else axis_of("unique_consecutive", dim, x.ndim)
    rows = x.reshape(-1) if dim is None else _core.moveaxis(x, axis, 0)
    n = rows.shape[0]
    flat = rows.detach().reshape((n, rows.size // n)) if n else rows.detach().reshape((0, 1))
    begins = _core.concat([_core.ones(min(n, 1), bool), _core.any(flat[1:] != flat[:-1], 1)])
    first = _core.flatnonzero(begins)
    found = [_core.moveaxis(rows[first], 0, axis)]
    if return_inverse:
        runs = _core.cumsum(begins.astype(_core.int64)) - 1
        found.append(runs.reshape(x.shape) if dim is None else runs)
    if return_counts:
        found.append(_core.diff(first, append=_core.asarray([n])))
    return found[0] if len(found) == 1 else tuple(found)


# ---- sums and products ----


def _spread(name: str, input: Any, dim: Any, correction: Any, keepdim: bool, unbiased: bool | None) -> tuple[Variable, Variable]:
    x = _core.asarray(input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    dim = tuple(dim) if isinstance(dim, list) else dim
    return getattr(_core, name)(x, axis=dim, correction=correction, keepdims=keepdim), _core.mean(x, dim, keepdims=keepdim)


def std_mean(
    input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False, unbiased: bool | None = None
) -> tuple[Variable, Variable]:
    """The standard deviation, unbiased as in PyTorch, and the mean.

    >>> tg.std_mean(tg.tensor([1.0, 3.0]), correction=0)
    (Variable(1.), Variable(2.))
    """
    return _spread("std", input, dim, correction, keepdim, unbiased)


def var_mean(
    input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False, unbiased: bool | None = None
) -> tuple[Variable, Variable]:
    """The variance, unbiased as in PyTorch, and the mean.

    >>> tg.var_mean(tg.tensor([1.0, 3.0]))
    (Variable(2.), Variable(2.))
    """
    return _spread("var", input, dim, correction, keepdim, unbiased)


def dist(input: Any, other: Any, p: float = 2) -> Variable:
    """The p-norm of the difference.

    >>> tg.dist(tg.tensor([3.0, 4.0]), 0.0)
    Variable(5.)
    """
    return _core.vector_norm(_core.subtract(input, other), ord=p)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable:
    """``beta * input + alpha * (batch1 @ batch2).sum(0)`` for stacks of matrices.

    >>> tg.addbmm(tg.zeros(1, 1), tg.ones(2, 1, 3), tg.ones(2, 3, 1))
    Variable([[6.]])
    """
    total = _core.bmm(batch1, batch2).sum(0)
    total = total if alpha == 1 else total * alpha
    return total if beta == 0 else _core.asarray(input) * beta + total


def chain_matmul(*matrices: Any) -> Variable:
    """The product of several matrices, in the cheapest order: see linalg.multi_dot.

    >>> tg.chain_matmul(tg.ones(1, 2), tg.ones(2, 1))
    Variable([[2.]])
    """
    from .linalg import multi_dot

    return multi_dot(list(matrices))


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Variable:
    """``other - alpha * input``.

    >>> tg.rsub(tg.tensor(1.0), 3.0)
    Variable(2.)
    """
    return _core.subtract(other, _core.multiply(input, alpha))


def trapz(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Variable:
    """The integral by the trapezoidal rule: see trapezoid.

    >>> tg.trapz(tg.tensor([0.0, 1.0]))
    Variable(0.5)
    """
    return _core.trapezoid(y, x, dx, dim)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Variable:
    """Integrals by the trapezoidal rule up to each place of an axis but the first.

    >>> tg.cumulative_trapezoid(tg.tensor([0.0, 1.0, 2.0]))
    Variable([0.5, 2. ])
    """
    y = _core.asarray(y)
    axis = axis_of("cumulative_trapezoid", dim, y.ndim)
    n = y.shape[axis]
    ends = y[_window("", y, axis, slice(1, n))] + y[_window("", y, axis, slice(0, max(n - 1, 0)))]
    if x is None:
        steps: Any = dx
    else:
        x = _core.asarray(x)
        steps = _core.diff(x, axis=-1).reshape((-1,) + (1,) * (y.ndim - 1 - axis)) if x.ndim == 1 else _core.diff(x, axis=axis)
    return _core.cumsum(ends * steps * 0.5, axis)


def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Variable:
    """Slices of an axis whose p-norm is larger than ``maxnorm`` scaled down to it.

    >>> tg.renorm(tg.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0)
    Variable([[0.6, 0.8],
              [0.3, 0.4]])
    """
    x = _core.asarray(input)
    axis = axis_of("renorm", dim, x.ndim)
    others = tuple(i for i in _places(x.ndim) if i != axis)
    norms = _core.vector_norm(x, axis=others, keepdims=True, ord=p)
    return x * _core.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0).astype(x.dtype)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Variable:
    """In which interval between ordered boundaries each number is: see searchsorted.

    >>> tg.bucketize(tg.tensor([0.5, 1.0, 5.0]), tg.tensor([1.0, 2.0]))
    Variable([0, 0, 2])
    """
    found = _core.searchsorted(boundaries, _core.asarray(input), side="right" if right else "left")
    return found.astype(_core.int32) if out_int32 else found


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Variable:
    """How many elements are in each of so many equal intervals from ``min`` to ``max``; of all elements when both are 0.

    >>> tg.histc(tg.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    Variable([0., 2., 1., 0.])
    """
    x = _core.asarray(input).detach().reshape(-1)
    if max < min:
        raise ValueError(f"histc: max is {max}, expected at least min, which is {min}")
    low, high = (min, max) if (min, max) != (0, 0) or not x.size else (float(x.amin()), float(x.amax()))
    low, high = (low - 1, high + 1) if low == high else (low, high)
    return _core.histogram(x, bins, (low, high))[0].astype(x.dtype)


def logit(input: Any, eps: float | None = None) -> Variable:
    """``log(x / (1 - x))``; with ``eps``, of x moved into [eps, 1 - eps].

    >>> tg.logit(tg.tensor([0.5]))
    Variable([0.])
    """
    from .special import logit as exact

    return exact(input if eps is None else _core.clip(input, eps, 1 - eps))


# ---- matrices ----


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Variable:
    """Matrices in two new axes, with the last axis on a diagonal.

    >>> tg.diag_embed(tg.tensor([1.0, 2.0]))
    Variable([[1., 0.],
              [0., 2.]])
    """
    x = _core.asarray(input)
    ndim = x.ndim + 1
    first, second = axis_of("diag_embed", dim1, ndim), axis_of("diag_embed", dim2, ndim)
    if first == second:
        raise ValueError(f"diag_embed: dim1 and dim2 are both axis {first}, expected two axes")
    n = x.shape[-1] + abs(offset)
    at = _core.arange(x.shape[-1])
    out = _core.zeros((*x.shape[:-1], n, n), x.dtype)
    out[(..., at + max(-offset, 0), at + max(offset, 0))] = x
    return _core.moveaxis(out, (-2, -1), (first, second))


def block_diag(*tensors: Any) -> Variable:
    """A matrix with matrices on its diagonal, and zeros.

    >>> tg.block_diag(tg.ones(1, 2), tg.tensor(3.0))
    Variable([[1., 1., 0.],
              [0., 0., 3.]])
    """
    parts = [_core.atleast_2d(_core.asarray(a)) for a in tensors]
    if any(a.ndim > 2 for a in parts):
        raise _core.ShapeError(f"block_diag: expected arrays of two axes or fewer, got shapes {[a.shape for a in parts]}")
    if not parts:
        return _core.zeros((1, 0))
    width, before, rows = sum(a.shape[1] for a in parts), 0, []
    for a in parts:
        rows.append(_core.pad(a, ((0, 0), (before, width - before - a.shape[1]))))
        before += a.shape[1]
    return _core.concat(rows)


def cartesian_prod(*tensors: Any) -> Variable:
    """All combinations of the elements of vectors, one a row.

    >>> tg.cartesian_prod(tg.tensor([1, 2]), tg.tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    parts = [_core.asarray(a) for a in tensors]
    if len(parts) == 1:
        return parts[0]
    return _core.stack([g.reshape(-1) for g in _core.meshgrid(*parts, indexing="ij")], axis=1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Variable:
    """All choices of r elements of a vector, in order, one a row.

    >>> tg.combinations(tg.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    import itertools

    x = _core.asarray(input)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(_places(x.shape[0]), r))
    return x[_core.asarray(rows)] if rows else _core.zeros((0, r), x.dtype)


def logdet(input: Any) -> Variable:
    """The logarithm of the determinant; NaN where that is negative.

    >>> tg.logdet(tg.eye(2))
    Variable(0.)
    """
    from .linalg import slogdet

    sign, value = slogdet(_core.asarray(input))
    return _core.where(sign < 0, float("nan"), value)


def cholesky_solve(input: Any, L: Any, upper: bool = False) -> Variable:
    """The solution of ``A x = input`` by the Cholesky factor of A.

    >>> tg.cholesky_solve(tg.ones(1, 1), tg.tensor([[2.0]]))
    Variable([[0.25]])
    """
    from .linalg import solve_triangular

    factor = _core.asarray(L)
    factor = factor.mH if upper else factor
    return solve_triangular(factor.mH, solve_triangular(factor, _core.asarray(input), upper=False), upper=True)


def cholesky_inverse(input: Any, upper: bool = False) -> Variable:
    """The inverse of a matrix by its Cholesky factor.

    >>> tg.cholesky_inverse(tg.tensor([[2.0]]))
    Variable([[0.25]])
    """
    factor = _core.asarray(input)
    return cholesky_solve(_core.eye(factor.shape[-1], dtype=factor.dtype), factor, upper)


# ---- new arrays ----


def range(start: float = 0, end: float | None = None, step: float = 1, *, dtype: Any = None) -> Variable:
    """Numbers from ``start`` to ``end``, which belongs to them, as in PyTorch; arange leaves the end out.

    >>> tg.range(1, 3)
    Variable([1., 2., 3.])
    """
    if end is None:
        start, end = 0, start
    if not step or (end - start) / step < 0:
        raise ValueError(f"range: no step of {step} leads from {start} to {end}")
    count = int((end - start) / step + 1e-12) + 1
    return (start + step * _core.arange(count)).astype(dtype or _core.get_default_dtype())


def _of_numpy(name: str, numpys: str, of_four: str) -> Any:
    def window(
        window_length: int, periodic: bool = True, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Variable:
        import numpy as np

        check_device(device)
        if window_length < 2:
            values = np.ones(max(window_length, 0))
        else:
            values = getattr(np, numpys)(window_length + bool(periodic), *(args or ((12.0,) if numpys == "kaiser" else ())))[
                :window_length
            ]
        x = _core.asarray(values).astype(dtype or _core.get_default_dtype())
        return x.requires_grad_(True) if requires_grad else x

    window.__name__ = window.__qualname__ = name
    window.__doc__ = (
        f"The window of that name, for signals: an array of shape (window_length,). By default it is the periodic form; "
        f"``tg.{numpys}`` is the symmetric one.\n\n>>> [round(v, 4) for v in tg.{name}(4).tolist()]\n{of_four}\n"
    )
    return window


hann_window = _of_numpy("hann_window", "hanning", "[0.0, 0.5, 1.0, 0.5]")
hamming_window = _of_numpy("hamming_window", "hamming", "[0.08, 0.54, 1.0, 0.54]")
blackman_window = _of_numpy("blackman_window", "blackman", "[-0.0, 0.34, 1.0, 0.34]")
bartlett_window = _of_numpy("bartlett_window", "bartlett", "[0.0, 0.5, 1.0, 0.5]")
kaiser_window = _of_numpy("kaiser_window", "kaiser", "[0.0001, 0.2157, 1.0, 0.2157]")


def poisson(input: Any, generator: Any = None) -> Variable:
    """Numbers of events, drawn for each of these rates.

    >>> tg.poisson(tg.zeros(2))
    Variable([0., 0.])
    """
    import tapegrad.random as source

    x = _core.asarray(input).detach()
    drawn = source.poisson(x, generator=generator)
    return _core.asarray(drawn).astype(x.dtype)


# ---- windows of signals ----


def as_strided(input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int = 0) -> Variable:
    """The elements at ``storage_offset + i * stride[0] + j * stride[1] + …`` of the elements in row-major order: a copy, no view.

    Raises IndexError for a place that is not there.

    >>> tg.as_strided(tg.arange(5), (3, 2), (1, 1))
    Variable([[0, 1],
              [1, 2],
              [2, 3]])
    """
    if len(size) != len(stride):
        raise _core.ShapeError(f"as_strided: size has {len(size)} numbers and stride {len(stride)}, expected as many")
    places = _core.asarray(int(storage_offset))
    for n, step in zip(size, stride, strict=True):
        steps = _core.arange(int(n)) * int(step)
        places = places[..., None] + steps
    return _core.take(_core.asarray(input).reshape(-1), places.reshape(tuple(size)), axis=0)


def _frame_options(name: str, n_fft: int, hop: int | None, length: int | None, window: Any, x: Variable) -> tuple[int, Variable]:
    """The step between frames, and the window in the middle of ``n_fft`` numbers."""
    hop = n_fft // 4 if hop is None else int(hop)
    length = n_fft if length is None else int(length)
    if n_fft < 1 or hop < 1 or not 1 <= length <= n_fft:
        raise ValueError(
            f"{name}: n_fft={n_fft}, hop_length={hop} and win_length={length} do not fit: expected positive numbers and "
            "win_length <= n_fft"
        )
    real = x.dtype.to_real()
    w = _core.ones(length, real) if window is None else _core.asarray(window, real)
    if w.shape != (length,):
        raise _core.ShapeError(f"{name}: the window has shape {w.shape}, expected ({length},)")
    before = (n_fft - length) // 2
    return hop, _core.pad(w, (before, n_fft - length - before))


def stft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool = True,
) -> Variable:
    """The short-time Fourier transform of signals of shape ``(..., time)``: complex, of shape ``(..., frequencies, frames)``.

    As PyTorch's; the result is always complex. SciPy's is :func:`tg.signal.stft`.

    Raises ValueError for lengths that do not fit, and for ``return_complex=False``.

    >>> tg.stft(tg.ones(8), 4, window=tg.hann_window(4)).shape
    (3, 9)
    """
    from . import fft

    if not return_complex:
        raise ValueError("stft: the result is complex; pass return_complex=True, and take view_as_real of it")
    x = _core.asarray(input)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise _core.DTypeError(f"stft: expected a floating or complex array, got {x.dtype}")
    hop, w = _frame_options("stft", n_fft, hop_length, win_length, window, x)
    if center:
        x = _core.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode=pad_mode)
    if x.shape[-1] < n_fft:
        raise _core.ShapeError(f"stft: a signal of {x.shape[-1]} numbers has no frame of n_fft={n_fft}")
    frames = x.unfold(-1, n_fft, hop) * w
    half = not x.dtype.is_complex if onesided is None else onesided
    if half and x.dtype.is_complex:
        raise ValueError("stft: onesided=True needs a real signal")
    found = (fft.rfft if half else fft.fft)(frames, norm="ortho" if normalized else None)
    return _core.swapaxes(found, -1, -2)


def istft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Variable:
    """The signals whose :func:`stft` is ``input``, of shape ``(..., time)``: frames are windowed again, added up and divided.

    Raises ValueError where the windows leave a place without weight.

    >>> x = tg.arange(8.0)
    >>> w = tg.hann_window(4)
    >>> bool(tg.allclose(tg.istft(tg.stft(x, 4, window=w), 4, window=w), x, atol=1e-5))
    True
    """
    from . import fft

    z = _core.asarray(input)
    if not z.dtype.is_complex or z.ndim < 2:
        raise _core.DTypeError(f"istft: expected a complex array of frequencies and frames, got {z.dtype} of shape {z.shape}")
    hop, w = _frame_options("istft", n_fft, hop_length, win_length, window, z)
    half = z.shape[-2] != n_fft if onesided is None else onesided
    if half and return_complex:
        raise ValueError("istft: a complex signal needs all frequencies, onesided=False")
    rows = n_fft // 2 + 1 if half else n_fft
    if z.shape[-2] != rows:
        raise _core.ShapeError(f"istft: expected {rows} frequencies for n_fft={n_fft}, got {z.shape[-2]}")
    norm = "ortho" if normalized else None
    spectra = _core.swapaxes(z, -1, -2)
    # The first half of the frequencies determines a real signal.
    half_spectra = spectra[..., : n_fft // 2 + 1]
    frames = fft.ifft(spectra, n_fft, norm=norm) if return_complex else fft.irfft(half_spectra, n_fft, norm=norm)
    count = z.shape[-1]
    total = n_fft + hop * (count - 1)
    places = _core.arange(count)[:, None] * hop + _core.arange(n_fft)
    batch = z.shape[:-2]
    added = _core.zeros((*batch, total), frames.dtype).index_add(-1, places.reshape(-1), (frames * w).reshape((*batch, -1)))
    weight = _core.zeros(total, w.dtype).index_add(0, places.reshape(-1), _core.broadcast_to(w * w, (count, n_fft)).reshape(-1))
    start = n_fft // 2 if center else 0
    end = total - start if length is None else min(total, start + length)
    weight = weight[start:end]
    if weight.size and float(_core.min(_core.abs(weight.detach()))) < 1e-11:
        raise ValueError("istft: the windows leave a place of the signal without weight; choose a smaller hop_length")
    out = added[..., start:end] / weight
    missing = 0 if length is None else length - (end - start)
    return _core.pad(out, [(0, 0)] * len(batch) + [(0, missing)]) if missing > 0 else out


# ---- decompositions ----


def svd(input: Any, some: bool = True, compute_uv: bool = True) -> SvdResult:
    """PyTorch's ``svd``: ``U``, ``S`` and ``V`` with ``input = U @ diag(S) @ V.mH``; `linalg.svd` gives ``V.mH``.

    ``some=False`` gives square ``U`` and ``V``. Without ``compute_uv`` these are zeros.

    >>> U, S, V = tg.svd(tg.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    >>> U.shape, S.tolist(), V.shape
    ((3, 2), [2.0, 1.0], (2, 2))
    """
    from . import linalg

    x = _core.asarray(input)
    if not compute_uv:
        s = linalg.svdvals(x)
        batch, (m, n) = x.shape[:-2], x.shape[-2:]
        return SvdResult(_core.zeros((*batch, m, m), x.dtype), s, _core.zeros((*batch, n, n), x.dtype))
    u, s, vh = linalg.svd(x, full_matrices=not some)
    v = _core.swapaxes(vh, -1, -2)
    return SvdResult(u, s, _core.conj(v) if v.dtype.is_complex else v)


# ---- the same function elsewhere ----


def _from(module: str, names: str) -> dict[str, Any]:
    """Functions of another namespace under PyTorch's names; ``own=theirs`` where the names differ."""

    def one(own: str, theirs: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            from importlib import import_module

            return getattr(import_module(f"tapegrad.{module}"), theirs)(*args, **kwargs)

        return named(call, own, f"As ``tg.{module}.{theirs}``.")

    pairs = (word.partition("=") for word in names.split())
    return {own: one(own, theirs or own) for own, _, theirs in pairs}


def _in_place(name: str) -> Callable[..., Any]:
    def call(input: Variable, *args: Any, **kwargs: Any) -> Variable:
        return getattr(input, name)(*args, **kwargs)  # type: ignore[no-any-return]

    return named(call, name, f"As ``input.{name}(...)``: changes the array and returns it.")


#: Functions of `nn.functional`, `special` and `linalg` that PyTorch also has at the top level.
SAME = {
    "nn.functional": (
        "adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d bilinear celu channel_shuffle conv1d conv2d conv3d "
        "conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity dropout feature_alpha_dropout group_norm "
        "hardshrink layer_norm max_pool1d max_pool2d max_pool3d pairwise_distance pdist pixel_shuffle pixel_unshuffle rms_norm "
        "rrelu selu threshold"
    ),
    "special": "digamma erfc erfinv igamma=gammainc igammac=gammaincc lgamma mvlgamma=multigammaln polygamma xlogy",
    "linalg": "cholesky det inverse=inv matrix_exp matrix_power pinverse=pinv qr slogdet",
}
#: In-place methods that are functions in PyTorch, too.
IN_PLACE = (
    "abs_ acos_ acosh_ asin_ asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ erf_ exp2_ exp_ "
    "expm1_ fill_ fix_ floor_ frac_ ldexp_ log10_ log1p_ log2_ log_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ round_ "
    "rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ zero_ detach_"
)
if TYPE_CHECKING:
    _same: Callable[..., Any] = _in_place("")
    adaptive_avg_pool1d = adaptive_max_pool1d = alpha_dropout = avg_pool1d = bilinear = _same
    celu = channel_shuffle = cholesky = conv1d = conv2d = _same
    conv3d = conv_transpose1d = conv_transpose2d = conv_transpose3d = cosine_similarity = _same
    det = digamma = dropout = erfc = erfinv = _same
    feature_alpha_dropout = group_norm = hardshrink = igamma = igammac = _same
    inverse = layer_norm = lgamma = matrix_exp = matrix_power = _same
    max_pool1d = max_pool2d = max_pool3d = mvlgamma = pairwise_distance = _same
    pdist = pinverse = pixel_shuffle = pixel_unshuffle = polygamma = _same
    qr = rms_norm = rrelu = selu = slogdet = _same
    threshold = xlogy = _same
    abs_ = acos_ = acosh_ = asin_ = asinh_ = atan_ = atanh_ = ceil_ = clamp_ = _in_place("")
    clamp_max_ = clamp_min_ = clip_ = cos_ = cosh_ = deg2rad_ = erf_ = exp2_ = exp_ = _in_place("")
    expm1_ = fill_ = fix_ = floor_ = frac_ = ldexp_ = log10_ = log1p_ = log2_ = _in_place("")
    log_ = nan_to_num_ = neg_ = negative_ = rad2deg_ = reciprocal_ = relu_ = round_ = rsqrt_ = _in_place("")
    sigmoid_ = sin_ = sinc_ = sinh_ = sqrt_ = square_ = tan_ = tanh_ = trunc_ = _in_place("")
    zero_ = detach_ = _in_place("")
else:
    for _module, _names in SAME.items():
        globals().update(_from(_module, _names))
    globals().update({name: _in_place(name) for name in IN_PLACE.split()})
