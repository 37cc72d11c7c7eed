"""Array functions that take a function, write into an argument or return a shape, composed of recorded operations."""

from __future__ import annotations

from . import _core
from ._core import Variable
from ._habits import axis_of, check_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "around",
    "block",
    "broadcast_shapes",
    "copy",
    "copyto",
    "ediff1d",
    "fabs",
    "fill_diagonal",
    "fix",
    "index_put",
    "logspace",
    "ndim",
    "piecewise",
    "place",
    "polyval",
    "put",
    "put_along_axis",
    "putmask",
    "rollaxis",
    "shape",
    "size",
]


def shape(a: Any) -> tuple[int, ...]:
    """The sizes of the axes of an array, a number or a nested list.

    >>> tg.shape([[1.0, 2.0]])
    (1, 2)
    """
    return _core.asarray(a).shape


def ndim(a: Any) -> int:
    """The number of axes of an array, a number or a nested list.

    >>> tg.ndim([[1.0, 2.0]])
    2
    """
    return _core.asarray(a).ndim


def size(a: Any, axis: int | None = None) -> int:
    """The number of elements, or the size of an axis.

    >>> tg.size([[1.0, 2.0]])
    2
    """
    sizes = shape(a)
    if axis is not None:
        return sizes[axis_of("size", axis, len(sizes))]
    total = 1
    for n in sizes:
        total *= n
    return total


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape to which arrays of these shapes broadcast.

    >>> tg.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out = [1] * max((len(s) for s in given), default=0)
    for s in given:
        for i, n in enumerate(reversed(s), start=1):
            if n < 0:
                raise ValueError(f"broadcast_shapes: sizes must not be negative, got {s}")
            if n != 1 and out[-i] not in (1, n):
                raise _core.ShapeError(
                    f"broadcast_shapes: shapes {given} do not broadcast: axis {-i} has sizes {out[-i]} and {n}"
                )
            out[-i] = n if out[-i] == 1 else out[-i]
    return tuple(out)


def copy(a: Any) -> Variable:
    """A copy of an array, on the tape.

    >>> tg.copy(tg.Variable([1.0]))
    Variable([1.])
    """
    return _core.asarray(a).clone()


def around(x: Any, decimals: int = 0) -> Variable:
    """The nearest numbers with so many decimals: see round.

    >>> tg.around(tg.Variable([1.26]), 1)
    Variable([1.3])
    """
    return _core.round(x, decimals)


def fabs(x: Any) -> Variable:
    """Absolute values, which are floating.

    >>> tg.fabs(tg.Variable([-2]))
    Variable([2.])
    """
    return _core.abs(_floating(x))


def fix(x: Any) -> Variable:
    """The numbers without their fractions: see trunc.

    >>> tg.fix(tg.Variable([1.5, -1.5]))
    Variable([ 1., -1.])
    """
    return _core.trunc(x)


def _floating(x: Any) -> Variable:
    values: Variable = _core.asarray(x)
    return values if values.dtype.is_floating_point else values.astype(_core.get_default_dtype())


def logspace(
    start: Any,
    stop: Any = None,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
    **named: Any,
) -> Variable:
    """Powers of a base whose exponents are evenly spaced. PyTorch's names of stop and num are end and steps.

    >>> tg.logspace(0, 2, 3)
    Variable([  1.,  10., 100.])
    """
    from ._names import ends, linspace

    num, stop = named.pop("steps", num), named.pop("end", stop)
    check_device(named.pop("device", None))
    track = named.pop("requires_grad", False)
    if named or stop is None:
        key = next(iter(named), None)
        raise TypeError(
            f"logspace() got an unexpected keyword argument {key!r}" if named else "logspace() missing required argument 'stop'"
        )
    out = _core.power(base, linspace(*ends(start, stop, dtype), num, endpoint=endpoint, axis=axis))
    out = out if dtype is None else out.astype(dtype)
    return out.requires_grad_(True) if track else out


def polyval(p: Any, x: Any) -> Variable:
    """The polynomial with coefficients p, the highest power first, at x.

    >>> tg.polyval([1.0, 0.0, -1.0], tg.Variable([2.0, 3.0]))
    Variable([3., 8.])
    """
    x = _core._together(x, p)[0]
    # Numbers of a list take the precision of a floating x; beside integers they are an array, as NumPy's.
    weak = isinstance(p, (list, tuple)) and (x.dtype.is_floating_point or x.dtype.is_complex)
    coefficients = p if weak else _core.unstack(_core.asarray(p))
    total: Variable = _core.zeros_like(x)
    for c in coefficients:
        total = total * x + c
    return total


def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Variable:
    """Differences of neighbours of the flattened array, with values put before and behind them.

    >>> tg.ediff1d(tg.Variable([1.0, 3.0, 6.0]))
    Variable([2., 3.])
    """
    x, to_end, to_begin = _core._together(x, to_end, to_begin)
    parts = [_core.diff(x.reshape(-1))]
    if to_begin is not None:
        parts.insert(0, to_begin.reshape(-1))
    if to_end is not None:
        parts.append(to_end.reshape(-1))
    return parts[0] if len(parts) == 1 else _core.concat(parts)


def rollaxis(x: Any, axis: int, start: int = 0) -> Variable:
    """An axis moved in front of another: see moveaxis.

    >>> tg.rollaxis(tg.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    x = _core.asarray(x)
    n = x.ndim
    if not -n <= axis < n or not -n <= start <= n:
        raise _core.AxisError(f"rollaxis: axis {axis} or start {start} is out of range for an array of {n} dimensions")
    axis, start = axis % n, start + n if start < 0 else start
    return _core.moveaxis(x, axis, start - 1 if axis < start else start)


def block(arrays: Any) -> Variable:
    """Nested lists of arrays joined: the innermost lists along the last axis, the next along the one before.

    >>> one = tg.ones((1, 2))
    >>> tg.block([[one, 0.0 * one], [2.0 * one, one]]).shape
    (2, 4)
    """
    depth, ndim_ = _depth(arrays), _deepest(arrays)
    return _joined(arrays, depth, max(depth, ndim_))


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ValueError("block: lists must not be empty")
    depths = {_depth(a) for a in arrays}
    if len(depths) > 1:
        raise ValueError(f"block: lists are nested {sorted(depths)} levels deep, expected one depth")
    return 1 + depths.pop()


def _deepest(arrays: Any) -> int:
    return max(map(_deepest, arrays)) if isinstance(arrays, list) else _core.asarray(arrays).ndim


def _joined(arrays: Any, depth: int, axes: int) -> Variable:
    if depth == 0:
        x = _core.asarray(arrays)
        return x.reshape((1,) * (axes - x.ndim) + x.shape)
    return _core.concat([_joined(a, depth - 1, axes) for a in arrays], axis=-depth)


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Variable:
    """A function of vectors, applied to all along an axis; the axes of its results take the place of that axis.

    >>> tg.apply_along_axis(lambda v: v[0] + v[-1], 1, tg.Variable([[1.0, 2.0], [3.0, 4.0]]))
    Variable([3., 7.])
    """
    from math import prod

    x = _core.asarray(arr)
    if not -x.ndim <= axis < x.ndim:
        raise _core.AxisError(f"apply_along_axis: axis {axis} is out of bounds for an array of {x.ndim} dimensions")
    x = _core.moveaxis(x, axis, -1)
    axis %= x.ndim
    around_ = x.shape[:-1]
    rows = _core.unstack(x.reshape((prod(around_), x.shape[-1])))
    if not rows:
        raise ValueError(f"apply_along_axis: an array of shape {_core.asarray(arr).shape} has no vectors along axis {axis}")
    results = _core.stack([_core.asarray(func1d(row, *args, **kwargs)) for row in rows])
    inner = results.shape[1:]
    out = results.reshape(around_ + inner)
    places = list(range(len(around_), out.ndim))
    return _core.moveaxis(out, places, [axis + i for i in range(len(places))]) if places else out


def apply_over_axes(func: Callable[..., Any], a: Any, axes: int | Sequence[int]) -> Variable:
    """A function of an array and an axis, applied over several axes one after the other; the axes stay, with size one.

    >>> tg.apply_over_axes(tg.sum, tg.ones((2, 3)), (0, 1))
    Variable([[6.]])
    """
    x = _core.asarray(a)
    n = x.ndim
    for axis in (axes,) if isinstance(axes, int) else axes:
        out = _core.asarray(func(x, axis))
        x = out if out.ndim == n else _core.expand_dims(out, axis % n)
        if x.ndim != n:
            raise ValueError(f"apply_over_axes: the function must keep {n} axes or leave out one, got shape {out.shape}")
    return x


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Variable:
    """Each element by the function (or number) of the last condition that holds; where none holds, by one more function, or 0.

    >>> x = tg.Variable([-1.0, 2.0])
    >>> tg.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * v])
    Variable([1., 4.])
    """
    x = _core.asarray(x)
    # A list is one condition only where its items are the elements of x.
    listed = isinstance(condlist, (list, tuple)) and (x.ndim == 0 or ndim(condlist[0]))
    conditions = list(condlist) if listed else [condlist]
    if isinstance(condlist, Variable) and condlist.ndim > x.ndim:
        conditions = list(_core.unstack(condlist))
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(f"piecewise: {len(funclist)} functions for {len(conditions)} conditions, expected as many or one more")

    def value(f: Any) -> Any:
        return f(x, *args, **kwargs) if callable(f) else f

    out = _core.zeros_like(x)
    if len(funclist) > len(conditions):
        out = out + value(funclist[-1])
    for condition, f in zip(conditions, funclist, strict=False):
        out = _core.where(condition, value(f), out)
    return out


def copyto(dst: Variable, src: Any, where: Any = True) -> None:
    """Writes src into dst, or the part of it where a mask holds.

    >>> x = tg.zeros(2)
    >>> tg.copyto(x, 1.0)
    >>> x
    Variable([1., 1.])
    """
    dst[...] = src if where is True else _core.where(where, src, dst)


def _of_dtype(values: Any, x: Variable) -> Variable:
    """Values in the dtype of an array. Numbers are read as numbers of it, so that no digits are lost."""
    if values is None:
        raise TypeError("the values to write are None, expected a number or an array")
    found: Variable = _core._together(values, x)[0]
    return found.astype(x.dtype)


def putmask(a: Variable, mask: Any, values: Any) -> None:
    """Writes values where a mask holds; they are repeated, and each stands for its own place.

    >>> x = tg.zeros(3)
    >>> tg.putmask(x, [True, False, True], 5.0)
    >>> x
    Variable([5., 0., 5.])
    """
    a[...] = _core.where(mask, _core.resize(_of_dtype(values, a).reshape(-1), a.shape), a)


def place(arr: Variable, mask: Any, vals: Any) -> None:
    """Writes values one after the other where a mask holds; they are repeated.

    >>> x = tg.zeros(3)
    >>> tg.place(x, [True, False, True], [5.0, 6.0])
    >>> x
    Variable([5., 0., 6.])
    """
    mask = _core.asarray(mask).astype(bool)
    count = int(_core.count_nonzero(mask))
    arr[mask] = _core.resize(_of_dtype(vals, arr).reshape(-1), (count,))


def put(a: Variable, ind: Any, v: Any, mode: str = "raise") -> None:
    """Writes values at places of the flattened array; they are repeated.

    >>> x = tg.zeros(3)
    >>> tg.put(x, [0, 2], [5.0, 6.0])
    >>> x
    Variable([5., 0., 6.])
    """
    at = within(ind, mode, size(a), "put").reshape(-1)
    flat = _core.array(a.reshape(-1))
    flat[at] = _core.resize(_of_dtype(v, a).reshape(-1), (at.size,))
    a[...] = flat.reshape(a.shape)


def within(indices: Any, mode: str, n: int, name: str) -> Variable:
    """Indices within bounds: those out of bounds are treated by one of NumPy's modes."""
    at = _core.asarray(indices)
    if mode == "raise":
        return at
    if mode == "wrap":
        return _core.remainder(at, n)
    if mode == "clip":
        return _core.clip(at, 0, n - 1)
    raise ValueError(f"{name}: mode is {mode!r}, expected 'raise', 'wrap' or 'clip'")


def put_along_axis(arr: Variable, indices: Any, values: Any, axis: int | None) -> None:
    """Writes values at indices along an axis, for every place of the other axes, which broadcast.

    >>> x = tg.zeros((2, 2))
    >>> tg.put_along_axis(x, [[1], [0]], 5.0, axis=1)
    >>> x
    Variable([[0., 5.],
              [5., 0.]])
    """
    at = _core.asarray(indices)
    if axis is None:
        put(arr, at, values)
        return
    axis = axis_of("put_along_axis", axis, arr.ndim)
    places: list[Any] = []
    for i, n in enumerate(arr.shape):
        grid = [1] * arr.ndim
        grid[i] = n
        places.append(at if i == axis else _core.arange(n).reshape(tuple(grid)))
    arr[tuple(places)] = values


def fill_diagonal(a: Variable, val: Any, wrap: bool = False) -> None:
    """Writes values on the diagonal of a matrix, or of an array whose axes all have one size.

    With ``wrap`` the diagonal of a tall matrix begins again below its square part, after one row.

    >>> x = tg.zeros((2, 2))
    >>> tg.fill_diagonal(x, 5.0)
    >>> x
    Variable([[5., 0.],
              [0., 5.]])
    """
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise _core.ShapeError(f"fill_diagonal: a matrix, or axes of one size are expected, got shape {a.shape}")
    if wrap and a.ndim == 2:
        at = _core.arange(0, a.size, a.shape[1] + 1)
        places: tuple[Variable, ...] = (at // max(a.shape[1], 1), at % max(a.shape[1], 1))
    else:
        at = _core.arange(min(a.shape))
        places = (at,) * a.ndim
    a[places] = _core.resize(_of_dtype(val, a).reshape(-1), (at.size,))


def index_put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Variable:
    """x with values at places given by an index array for each of its first axes; with accumulate they are added, repeatedly too.

    >>> tg.index_put(tg.zeros(2), (tg.Variable([0, 0]),), tg.Variable([1.0, 2.0]), accumulate=True)
    Variable([3., 0.])
    """
    x = _core.asarray(x)
    places = [_core.asarray(i) for i in indices]
    if not accumulate:
        y: Variable = x.clone()
        y[tuple(places)] = values
        return y
    if any(p.dtype == bool for p in places):
        places = [p for mask in places for p in (_core.nonzero(mask) if mask.dtype == bool else (mask,))]
    places = list(_core.broadcast_arrays(*places))
    lead, rest = x.shape[: len(places)], x.shape[len(places) :]
    at, rows = _core.zeros_like(places[0]), 1
    for n, p in zip(reversed(lead), reversed(places), strict=True):
        outside = (p < -n) | (p >= n)
        if bool(_core.any(outside)):
            wrong = p[outside][0].item()
            raise IndexError(f"index_put: index {wrong} is out of bounds for an axis of size {n}")
        at = at + rows * _core.remainder(p, n)
        rows *= n
    wide = _core.broadcast_to(_of_dtype(values, x), at.shape + rest)
    flat = _core.index_add(x.reshape((rows, *rest)), 0, at.reshape(-1), wide.reshape((at.size, *rest)))
    result: Variable = flat.reshape(x.shape)
    return result
