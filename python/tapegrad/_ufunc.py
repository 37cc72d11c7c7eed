"""Methods and options of NumPy's ufuncs on Variables: ``np.add.reduce(v)``, ``nd += v``, ``np.multiply.outer(v, w)``.

Each is made of recorded operations. What has no counterpart raises an error that names one.
"""

from __future__ import annotations

from . import _arrays, _core, _numpy_functions
from ._core import GradError, Variable
from ._habits import axis_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Reductions that are operations of their own.
_REDUCTIONS = {
    "add": _core.sum,
    "multiply": _core.prod,
    "maximum": _core.max,
    "minimum": _core.min,
    "logical_and": _core.all,
    "logical_or": _core.any,
}
#: Functions of two arrays whose result has the type of the operands, so that they can be folded along an axis.
_REPEATABLE = {
    *_REDUCTIONS,
    *("subtract", "divide", "power", "float_power", "floor_divide", "remainder", "fmod", "hypot", "logaddexp", "logaddexp2"),
    *("logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
    *("fmax", "fmin", "gcd", "lcm", "arctan2", "copysign", "heaviside", "nextafter"),
}
#: The foldable functions whose result depends on the order of the elements.
_ORDERED = {
    *("subtract", "divide", "power", "float_power", "floor_divide", "remainder", "fmod", "left_shift", "right_shift"),
    *("arctan2", "copysign", "heaviside", "nextafter"),
}


def apply(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What ``getattr(ufunc, method)(*inputs, **options)`` means when Variables are among the arguments."""
    special = _of_scipy(ufunc)
    name = f"numpy.{ufunc.__name__}" if special is None else f"scipy.special.{ufunc.__name__}"
    name += "" if method == "__call__" else f".{method}"
    options = dict(options)
    out = options.pop("out", None)
    if method == "at":
        return _at(name, ufunc, *inputs)
    if out is not None and any(o is not None for o in out):
        ours_alone = any(isinstance(o, Variable) for o in out)
        return (_into if ours_alone else _with_numpy)(name, ufunc, method, inputs, options, out)
    if special is None:
        ours = _ours(ufunc.__name__)
    else:
        from . import special as functions

        ours = getattr(functions, ufunc.__name__, None)
    if ours is None:
        from ._messages import numpy_missing

        raise TypeError(numpy_missing(name))
    if method in ("__call__", "outer"):
        return _call(name, ours, inputs if method == "__call__" else _outer(*inputs), **options)
    if ufunc.__name__ not in _REPEATABLE:
        raise TypeError(f"{name} is not available for Variables; apply {ufunc.__name__} in a loop over an axis")
    if method == "reduceat":
        return _reduceat(name, ufunc, *inputs, **options)
    return (_reduce if method == "reduce" else _accumulate)(name, ufunc, ours, _core.asarray(inputs[0]), **options)


def _of_scipy(ufunc: Any) -> Any:
    """The module ``scipy.special``, if the ufunc is one of its functions."""
    import sys

    theirs = sys.modules.get("scipy.special")
    return theirs if theirs is not None and getattr(theirs, ufunc.__name__, None) is ufunc else None


def _ours(name: str) -> Callable[..., Any] | None:
    """Our function for a ufunc."""
    for home in (_core, _arrays, _numpy_functions):
        found: Callable[..., Any] | None = getattr(home, name, None)
        if found is not None:
            return found
    return None


def _into(name: str, ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any], out: tuple[Any, ...]) -> Any:
    """Writes the results into Variables, as ``y[...] = result`` does, where a mask holds."""
    if not all(o is None or isinstance(o, Variable) for o in out):
        raise TypeError(f"{name}: some outputs are Variables and some are not; give Variables alone")
    mask = options.pop("where", True) if method == "__call__" else True
    casting = options.get("casting", "same_kind")
    results = apply(ufunc, method, inputs, options)
    single = not isinstance(results, tuple)
    done = [assign(name, o, r, mask, casting) for o, r in zip(out, (results,) if single else results, strict=True)]
    return done[0] if single else tuple(done)


def check_kind(name: str, target: Any, result: Any) -> None:
    """Refuses an output of a lesser kind, such as whole numbers for floats, which would round without a word."""
    kinds = "biufc"
    ours, theirs = kinds.find(result.dtype.kind), kinds.find(target.dtype.kind)
    if ours > max(theirs, 2 * (theirs == 1)):
        raise _core.DTypeError(
            f"{name}: a result of {result.dtype} does not fit into an output of {target.dtype}; leave out= away"
        )


def assign(name: str, target: Variable | None, result: Any, mask: Any = True, casting: str = "same_kind") -> Any:
    """Writes a result into an output of the same shape, where a mask holds."""
    if target is None:
        return result
    n = len(result.shape)
    if n > target.ndim or any(r not in (1, t) for r, t in zip(result.shape, target.shape[target.ndim - n :], strict=True)):
        raise _core.ShapeError(f"{name}: the output has shape {target.shape}, expected {result.shape}")
    if casting != "unsafe":
        check_kind(name, target, result)
    target[...] = result if mask is True else _core.where(mask, result, target)
    return target


#: How several values at one index combine, for the ufuncs that support it.
_ADDED: dict[str, Callable[..., Any]] = {"add": lambda v: v, "subtract": _core.negative}


def _at(name: str, ufunc: Any, target: Any, indices: Any, *values: Any) -> None:
    """``target[indices] += values``, where values at a repeated index add up."""
    if not isinstance(target, Variable):
        _with_numpy(name, ufunc, "at", (target, indices, *values), {})
    elif ufunc.__name__ not in _ADDED:
        raise TypeError(
            f"{name} is not available for Variables; there are numpy.add.at and numpy.subtract.at, and y[indices] = values"
        )
    else:
        places = indices if isinstance(indices, tuple) else (indices,)
        change = _ADDED[ufunc.__name__](_core.asarray(values[0]))
        target[...] = _arrays.index_put(target, places, change, accumulate=True)


def _reduceat(name: str, ufunc: Any, x: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Reductions from each index to the next, or the element at an index that is not below the next one."""
    x, at = _core.asarray(x), [int(i) for i in _core.asarray(indices).tolist()]
    x = x if dtype is None else x.astype(dtype)
    n = x.shape[axis]
    if any(not 0 <= i < n for i in at):
        raise IndexError(f"{name}: indices {at} are out of bounds for axis {axis} with size {n}")
    lines, parts = _core.moveaxis(x, axis, 0), []
    for i, low in enumerate(at):
        high = at[i + 1] if i + 1 < len(at) else n
        parts.append(apply(ufunc, "reduce", (lines[low:high],), {"axis": 0}) if low < high else lines[low])
    return _core.moveaxis(_core.stack(parts), 0, axis)


def _with_numpy(name: str, ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any], out: Any = None) -> Any:
    """Computes with NumPy: the outputs are NumPy arrays, which hold numbers without a graph."""
    values = [*inputs, *options.values()]
    if _core.is_grad_enabled() and any(isinstance(v, Variable) and v.requires_grad for v in values):
        raise GradError(
            f"{name}: the output is a NumPy array, which cannot carry the graph of a Variable that requires gradients. "
            "Write it without an output, as in y = y + x, for a Variable; or pass x.detach() for the data without gradients"
        )
    data = {k: _numpy_functions.plain(v) for k, v in options.items()} | ({} if out is None else {"out": out})
    return getattr(ufunc, method)(*map(_numpy_functions.plain, inputs), **data)


def _call(
    name: str,
    ours: Callable[..., Any],
    inputs: tuple[Any, ...],
    *,
    where: Any = True,
    dtype: Any = None,
    casting: str = "same_kind",
    order: str = "K",
    subok: bool = True,
    **options: Any,
) -> Any:
    if where is not True and not _is_true(where):
        raise TypeError(f"{name}: where= leaves elements undefined without out=; use tg.where(mask, result, other)")
    if order not in ("K", "A", "C", "F"):
        raise ValueError(f"{name}: order={order!r}, expected 'K', 'A', 'C' or 'F' (which say how elements stand in memory)")
    if dtype is None:
        return ours(*inputs, **options)
    wanted = _core.DType(dtype)
    result = ours(*(_cast(name, v, wanted, casting) for v in inputs), **options)
    if result.dtype != wanted:
        raise TypeError(f"{name}: dtype={wanted} is not available for a function whose result is {result.dtype}; use astype()")
    return result


def _is_true(mask: Any) -> bool:
    return bool(_core.all(_core.asarray(mask)))


def _cast(name: str, value: Any, dtype: Any, casting: str) -> Any:
    import numpy as np

    if isinstance(value, (bool, int, float, complex)):
        return value
    array = _core.asarray(value)
    if not np.can_cast(str(array.dtype), str(dtype), casting):  # type: ignore[arg-type]
        raise TypeError(f"{name}: cannot cast {array.dtype} to dtype={dtype} by the rule {casting!r}; use astype()")
    return array.astype(dtype)


def _outer(a: Any, b: Any) -> tuple[Variable, Any]:
    """The operands with axes of size one added, so that each element of ``a`` is combined with each of ``b``."""
    a, b = _beside(a, b), _beside(b, a)
    return a.reshape((*a.shape, *(1,) * b.ndim)), b


def _beside(value: Any, other: Any) -> Variable:
    """An operand as an array; a number takes the precision of the other operand."""
    if isinstance(value, Variable) or not isinstance(other, Variable):
        return _core.asarray(value)
    return _core.where(True, value, _core.zeros((), dtype=other.dtype))


_MISSING: Any = object()


def _reduce(
    name: str,
    ufunc: Any,
    ours: Callable[..., Any],
    x: Variable,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = _MISSING,
    where: Any = True,
) -> Variable:
    x = x if dtype is None else x.astype(dtype)
    if x.ndim == 0 and axis in (0, -1):
        axis = None
    if initial is None:
        initial = _MISSING  # NumPy starts with the first element
    if where is not True:
        x = _masked(name, ufunc, x, initial, where)
    reduction = _REDUCTIONS.get(ufunc.__name__)
    if reduction is None:
        return _fold(name, ufunc, ours, x, axis, keepdims, initial)
    if initial is _MISSING:
        return reduction(x, axis=axis, keepdims=keepdims)
    if x.size == 0 and ufunc.identity is None:
        x = _with_initial(x, axis, initial)
    if ufunc.identity is None and x.dtype == bool:
        initial = bool(initial)
    result: Variable = ours(reduction(x, axis=axis, keepdims=keepdims), initial)
    return result


def _masked(name: str, ufunc: Any, x: Variable, initial: Any, mask: Any) -> Variable:
    """Replaces elements outside the mask by the identity of the reduction."""
    neutral = _neutral(ufunc, initial)
    if neutral is None:
        raise ValueError(f"{name}: where= needs initial= for a reduction without an identity")
    return _core.where(mask, x, _core.full((), neutral, dtype=x.dtype))


def _neutral(ufunc: Any, initial: Any) -> Any:
    if ufunc.identity is not None:
        return ufunc.identity
    # For maximum and minimum the first value serves: repeating it does not change the result.
    return initial if initial is not _MISSING and ufunc.__name__ in ("maximum", "minimum") else None


def _with_initial(x: Variable, axis: Any, initial: Any) -> Variable:
    """``x`` with one element ``initial`` added along a reduced axis."""
    if axis is None:
        return _core.full((1,) * x.ndim, initial, dtype=x.dtype)
    first = axis if isinstance(axis, int) else axis[0]
    shape = list(x.shape)
    shape[first] = 1
    return _core.concat([x, _core.full(tuple(shape), initial, dtype=x.dtype)], axis=first)


def _fold(name: str, ufunc: Any, ours: Callable[..., Any], x: Variable, axis: Any, keepdims: bool, initial: Any) -> Variable:
    """``ours(ours(x[0], x[1]), x[2])`` and so on along an axis, or along several one after the other."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = sorted({axis_of(name, a, x.ndim) for a in axes}, reverse=True)
    if len(axes) > 1 and ufunc.__name__ in _ORDERED:
        raise ValueError(f"{name}: the order of several axes would matter; reduce one axis at a time")
    for a in axes:
        parts = list(_core.unstack(x, axis=a)) if x.shape[a] else []
        if not parts and initial is _MISSING:
            if ufunc.identity is None:
                raise ValueError(f"{name}: axis {a} of shape {x.shape} is empty, and there is no identity; pass initial=")
            shape = (*x.shape[:a], *x.shape[a + 1 :])
            parts = [_core.full(shape, ufunc.identity, dtype=x.dtype)]
        if initial is not _MISSING:
            parts.insert(0, _core.full((*x.shape[:a], *x.shape[a + 1 :]), initial, dtype=x.dtype))
            initial = _MISSING
        for part in parts[1:]:
            parts[0] = ours(parts[0], part)
        x = _core.expand_dims(parts[0], a) if keepdims else parts[0]
    return x


#: Cumulative operations that exist under their own name.
_RUNNING: dict[str, Callable[..., Variable]] = {
    "add": _core.cumsum,
    "multiply": _core.cumprod,
    "maximum": _core.cummax,
    "minimum": _core.cummin,
    "logaddexp": _core.logcumsumexp,
}


def _accumulate(name: str, ufunc: Any, ours: Callable[..., Any], x: Variable, axis: int = 0, dtype: Any = None) -> Variable:
    if x.ndim == 0:
        raise TypeError(f"{name}: expected an array of at least one axis, got a 0-d one")
    if dtype is None and ufunc.__name__ in ("add", "multiply"):
        dtype = _core.sum(x.detach()[()][..., :0]).dtype  # small integers are summed in larger ones
    if ufunc.__name__.startswith("logical"):
        dtype = bool
    x = x if dtype is None else x.astype(dtype)
    running = _RUNNING.get(ufunc.__name__)
    if running is not None:
        result: Variable = running(x, axis)
        return result.astype(dtype) if dtype is not None else result
    parts = list(_core.unstack(x, axis=axis)) if x.shape[axis] else []
    for i in range(1, len(parts)):
        parts[i] = ours(parts[i - 1], parts[i])
    return _core.stack(parts, axis=axis) if parts else x
