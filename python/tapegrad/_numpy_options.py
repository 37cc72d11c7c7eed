"""NumPy's functions with options that ours do not have: `where=`, `mean=`, weights, arrays in place of numbers.

`HANDLERS` has them by name. Each has NumPy's signature, and is called when an option is given that ours does not take.
"""

from __future__ import annotations

from . import _arrays, _core, _ufunc
from ._core import Variable
from ._numpy_functions import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ABSENT: Any = object()


def _inexact(a: Any, dtype: Any = None) -> Variable:
    x = _core.asarray(a)
    if dtype is not None:
        wanted = _core.DType(dtype)
        if not wanted.is_inexact:
            raise _core.DTypeError(f"means and variances are computed in a floating or complex dtype, got dtype={wanted}")
        return x.astype(wanted)
    return x if x.dtype.is_floating_point or x.dtype.is_complex else x.astype(_core.float64)


def _total(x: Variable, where: Any, axis: Any, keepdims: bool) -> Variable:
    return _core.sum(_core.where(where, x, _core.zeros((), dtype=x.dtype)), axis=axis, keepdims=keepdims)


def _count(x: Variable, where: Any, axis: Any, keepdims: bool) -> Variable:
    kind = x.dtype.to_real()
    return _core.sum(_core.broadcast_to(_core.asarray(where).astype(kind), x.shape), axis=axis, keepdims=keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """The mean of the elements where a mask holds."""
    x = _inexact(a, dtype)
    return into("mean", out, _total(x, where, axis, keepdims) / _count(x, where, axis, keepdims))


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = _ABSENT,
    correction: Any = _ABSENT,
) -> Any:
    """The variance of the elements where a mask holds, about a mean that may be known."""
    x = _inexact(a, dtype)
    centre = _total(x, where, axis, True) / _count(x, where, axis, True) if mean is _ABSENT else mean
    d = x - centre
    square = d * d if not d.dtype.is_complex else _core.real(d * _core.conj(d))
    freedom = _core.maximum(_count(x, where, axis, keepdims) - (ddof if correction is _ABSENT else correction), 0.0)
    return into("var", out, _total(square, where, axis, keepdims) / freedom)


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *rest: Any, **options: Any) -> Any:
    """The root of the variance: see var."""
    return into("std", out, _core.sqrt(var(a, axis, dtype, None, *rest, **options)))


def _known(x: Variable, where: Any) -> Variable:
    """The mask of the elements that are not NaN and that another mask selects."""
    mask: Variable = _core.logical_not(_core.isnan(x)) & where
    return mask


def _ignoring(f: Callable[..., Any]) -> Callable[..., Any]:
    """`mean`, `var` and `std` of the elements that are not NaN."""

    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *rest: Any, where: Any = True, **options: Any) -> Any:
        x = _inexact(a, dtype)
        # A product with NaN has no gradient, so NaN is replaced before any arithmetic.
        mask = _known(x, where)
        return f(_core.where(mask, x, _core.zeros((), dtype=x.dtype)), axis, None, out, *rest, where=mask, **options)

    return call


def _reduced(name: str, ufunc: str) -> Callable[..., Any]:
    """Reductions by a ufunc of the elements that are not NaN."""

    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        *,
        initial: Any = _ABSENT,
        where: Any = True,
    ) -> Any:
        import numpy as np

        x = _core.asarray(a) if dtype is None else _core.asarray(a).astype(dtype)
        lowest = {"maximum": -np.inf, "minimum": np.inf}.get(ufunc, _ABSENT)
        start = {} if initial is lowest is _ABSENT else {"initial": lowest if initial is _ABSENT else initial}
        options = {"axis": axis, "keepdims": keepdims, "where": _known(x, where), **start}
        return into(name, out, _ufunc.apply(getattr(np, ufunc), "reduce", (x,), options))

    return call


def _extreme(name: str, ufunc: str) -> Callable[..., Any]:
    reduce = _reduced(name, ufunc)

    def call(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, **options: Any) -> Any:
        return reduce(a, axis, None, out, keepdims, **options)

    return call


def into(name: str, out: Any, result: Any, home: str = "numpy.") -> Any:
    """The result, or the array of out= after the result was written into it."""
    if out is None:
        return result
    if isinstance(out, Variable):
        return _ufunc.assign(f"{home}{name}", out, result)
    if not hasattr(out, "__array_interface__"):
        raise TypeError(f"{home}{name}: out= must be an array, not {type(out).__name__}")
    _ufunc.check_kind(f"{home}{name}", out, result)
    if _core.is_grad_enabled() and result.requires_grad:
        raise _core.GradError(
            f"{home}{name}: the output is a NumPy array, which cannot carry the graph of a Variable that requires gradients. "
            "Leave out= away for a Variable, or pass x.detach() for the data without gradients"
        )
    out[...] = result.numpy()
    return out


def into_each(name: str, out: Any, result: Any) -> Any:
    """`into` for one result, or for each of several with a tuple of outputs, in a call of PyTorch's form."""
    if not isinstance(result, tuple):
        return into(name, out, result, "")
    if not isinstance(out, (tuple, list)) or len(out) != len(result):
        raise TypeError(f"{name}: out= must be a tuple of {len(result)} arrays, one for each result")
    for one, value in zip(out, result, strict=True):
        into(name, one, value, "")
    return out


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Variable, ...]:
    """Coordinates along axes of their own: sparse, they broadcast to the full grids."""
    lines = [x.reshape(-1) for x in _core._together(*xi)]
    if not sparse:
        return tuple(_core.meshgrid(*lines, indexing=indexing))
    out = []
    for i, line in enumerate(lines):
        place = 1 - i if indexing == "xy" and len(lines) > 1 and i < 2 else i
        shape = [1] * len(lines)
        shape[place] = line.size
        out.append(line.reshape(tuple(shape)))
    return tuple(out)


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Variable:
    """Covariances of variables whose observations have weights: counts (fweights) or importance (aweights)."""
    m, y, aweights = _core._together(m, y, aweights)
    x = _core.atleast_2d(_inexact(m, dtype))
    x = x if rowvar or x.shape[0] == 1 else x.T
    if y is not None:
        other = _core.atleast_2d(_inexact(y, dtype))
        x = _core.concat([x, other if rowvar or other.shape[0] == 1 else other.T])
    ddof = (0 if bias else 1) if ddof is None else ddof
    f = _core.ones(x.shape[1], dtype=x.dtype.to_real()) if fweights is None else _core.asarray(fweights).astype(x.dtype.to_real())
    w = f if aweights is None else f * aweights
    total = _core.sum(w)
    lost = ddof if aweights is None else ddof * _core.sum(w * aweights) / total
    d = x - (_core.sum(x * w, axis=1) / total)[:, None]
    return _core.squeeze(_core.matmul(d * w, _core.conj(d).T) / (total - lost))


def angle(z: Any, deg: bool = False) -> Variable:
    """The angles of complex numbers, in degrees if asked for."""
    out: Variable = _core.angle(z)
    return _core.rad2deg(out) if deg else out


def _bin_count(a: Any, bins: Any, range: Any, weights: Any) -> Any:
    """How many bins one of NumPy's rules, as "auto", finds for the data; other values of bins as they are."""
    if not isinstance(bins, str):
        return bins
    import numpy as np

    return len(np.histogram_bin_edges(plain(a), bins, plain(range), plain(weights))) - 1


def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """How many elements each bin has, and the edges: see tg.histogram. bins may be the name of a rule."""
    count = _bin_count(a, bins, range, weights)
    return _core.histogram(a, count, range, density=False if density is None else density, weights=weights)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Variable:
    """The edges of the bins that histogram uses."""
    return _core.histogram_bin_edges(a, _bin_count(a, bins, range, weights), range)


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The common elements, sorted, and their first places in both arrays."""
    import numpy as np

    _, first, second = np.intersect1d(plain(_core.asarray(ar1)), plain(_core.asarray(ar2)), assume_unique, return_indices=True)
    values = _core.take(_core.asarray(ar1).reshape(-1), first)
    return (values, _core.asarray(first), _core.asarray(second)) if return_indices else values


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Variable:
    """The elements of ar1 that are not in ar2: sorted and each once, or with assume_unique as they stand in ar1."""
    if not assume_unique:
        return _core.setdiff1d(ar1, ar2)
    x = _core.asarray(ar1).reshape(-1)
    return x[~_core.isin(x, ar2)]


def delete(arr: Any, obj: Any, axis: int | None = None) -> Variable:
    """The array without the places of an index, which may be a slice."""
    if isinstance(obj, slice):
        obj = list(range(*obj.indices(_arrays.size(arr, axis))))
    return _core.delete(arr, obj, axis)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Variable:
    """The array with values in front of the places of an index, which may be a slice."""
    if isinstance(obj, slice):
        obj = list(range(*obj.indices(_arrays.size(arr, axis))))
    return _core.insert(arr, obj, values, axis)


#: The options of the modes of `pad`.
_PAD_OPTIONS = {"constant_values", "end_values", "stat_length"}


def pad(array: Any, pad_width: Any, mode: Any = "constant", *, reflect_type: str = "even", **options: Any) -> Variable:
    """The array with borders; `reflect_type="odd"` mirrors at the points of the edges."""
    if reflect_type not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type is {reflect_type!r}, expected 'even' or 'odd'")
    if callable(mode):
        raise TypeError(
            "pad: mode is a function, which would write into arrays of NumPy; pad with zeros and write to the borders"
        )
    if unknown := sorted(options.keys() - _PAD_OPTIONS):
        raise TypeError(f"pad: {unknown[0]!r} is no option of pad; there are {', '.join(sorted(_PAD_OPTIONS))} and reflect_type")
    x = _core.asarray(array)
    if isinstance(pad_width, dict):
        if any(not -x.ndim <= axis < x.ndim for axis in pad_width):
            raise _core.AxisError(f"pad: an axis of {sorted(pad_width)} is out of range for an array of shape {x.shape}")
        widths = {axis % x.ndim: (width, width) if isinstance(width, int) else width for axis, width in pad_width.items()}
        pad_width = [widths.get(axis, (0, 0)) for axis in range(x.ndim)]
    if reflect_type == "even" or mode not in ("reflect", "symmetric"):
        return _core.pad(x, pad_width, mode=mode, **options)
    import numpy as np

    for axis, width in enumerate(np.broadcast_to(pad_width, (x.ndim, 2)).tolist()):
        before, after = width
        while before or after:
            n = x.shape[axis]
            most = max(n - (mode == "reflect"), 1)
            a, b = min(before, most), min(after, most)
            if min(before, after) < 0 or n == 0:
                raise ValueError(f"pad: cannot pad axis {axis} of shape {x.shape} by {(before, after)}")
            place = np.arange(-a, n + b).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
            even = _core.pad(x, [(a, b) if i == axis else (0, 0) for i in range(x.ndim)], mode=mode if n > 1 else "edge")
            first, last = (_core.take(x, [i], axis=axis) for i in (0, n - 1))
            x = _core.where(place < 0, 2 * first - even, _core.where(place >= n, 2 * last - even, even))
            before, after = before - a, after - b
    return x


def astype(x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> Variable:
    """`ndarray.astype` with a rule for casts."""
    import numpy as np

    if not np.can_cast(np.dtype(x.dtype), np.dtype(dtype), casting):  # type: ignore[arg-type]
        raise TypeError(f"astype: cannot cast {x.dtype} to {dtype} by the rule {casting!r}")
    return _core.astype(x, dtype)


HANDLERS: dict[str, Callable[..., Any]] = {
    "angle": angle,
    "cov": cov,
    "delete": delete,
    "insert": insert,
    "intersect1d": intersect1d,
    "mean": mean,
    "meshgrid": meshgrid,
    "nanmax": _extreme("nanmax", "maximum"),
    "nanmean": _ignoring(mean),
    "nanmin": _extreme("nanmin", "minimum"),
    "nanprod": _reduced("nanprod", "multiply"),
    "nanstd": _ignoring(std),
    "nansum": _reduced("nansum", "add"),
    "nanvar": _ignoring(var),
    "std": std,
    "var": var,
}
