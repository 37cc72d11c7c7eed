"""NumPy's functions on Variables: ``np.sum(v, axis=0)`` finds ours, and arguments go where their names are.

A function of NumPy is matched as an object, not by its name. Its arguments are bound by its own signature; those at their
defaults are left out, the others are given to the parameters of ours that have their names. What has no counterpart raises an
error that names it.
"""

from __future__ import annotations

import inspect
from functools import cache
from sys import _getframe

from . import _arrays, _core, _numpy_functions, _numpy_options, _polynomials, _torch_calls, _ufunc
from ._core import Variable
from ._habits import axis_of
from ._numpy_functions import plain
from ._numpy_options import into, into_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Options about how NumPy computes, which do not change the result.
_HOW = {"kind", "overwrite_input", "subok", "optimize", "casting", "stable", "assume_unique", "copy", "like", "retstep"}
#: NumPy's parameters that have another name here.
_RENAMED = {"a_min": "min", "a_max": "max", "interpolation": "method", "newshape": "shape", "reps": "repetitions", "bins": "bins"}
#: Reductions whose where= and initial= are those of a ufunc.
_REDUCTIONS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "amax": "maximum",
    "min": "minimum",
    "amin": "minimum",
    "all": "logical_and",
    "any": "logical_or",
}
#: Libraries that compute on data: their compiled functions take NumPy arrays only. So inside them NumPy's functions
#: return NumPy arrays, unless a Variable is tracked.
_ON_DATA = {"scipy", "matplotlib", "mpl_toolkits", "pandas", "seaborn", "sklearn", "statsmodels"}
#: Functions that look at data or types: they get NumPy arrays and return NumPy's results.
_DATA = [
    "array2string",
    "array_repr",
    "array_str",
    "can_cast",
    "common_type",
    "min_scalar_type",
    "may_share_memory",
    "shares_memory",
    "iscomplexobj",
    "isrealobj",
    "ix_",
    "diag_indices_from",
    "tril_indices_from",
    "triu_indices_from",
    "einsum_path",
    "save",
    "savez",
    "savez_compressed",
    "savetxt",
    "lexsort",
    "iscomplex",
    "isreal",
    "ravel_multi_index",
    "unravel_index",
    "packbits",
    "unpackbits",
]
#: Our functions that have another name than NumPy's.
_NAMES = {"concatenate": "concat", "fix": "trunc", "real": "real", "trapz": "trapezoid", "row_stack": "vstack"}


def dispatch(func: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What ``func(*args, **options)`` means when Variables are among the arguments."""
    import numpy as np

    known = (Variable, np.ndarray)
    if not all(issubclass(t, known) for t in types):
        return NotImplemented
    handler = _handlers().get(func)
    if _getframe(1).f_globals.get("__name__", "").partition(".")[0] in _ON_DATA and not _tracked([*args, *options.values()]):
        return func(*map(plain, args), **{k: plain(v) for k, v in options.items()})
    if handler is None:
        raise _missing(func)
    return handler(*args, **options)


def _tracked(values: Any) -> bool:
    """Whether a Variable among values, also in lists, is tracked or inside a transformation."""
    for v in values:
        if isinstance(v, Variable):
            if v.requires_grad or _core._lifted(v) is not None:
                return True
        elif isinstance(v, (list, tuple)) and _tracked(v):
            return True
    return False


def with_keywords(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``tg.name(*args, **options)`` with arguments that PyTorch's or NumPy's function of that name takes and ours does not."""
    found = _in_other_form(name, args, options)
    if found is not NotImplemented or options.get("out") is None:
        return found
    return into_each(name, options["out"], _core._functions[name](*args, **{k: v for k, v in options.items() if k != "out"}))


def _in_other_form(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    found = _torch_calls.with_arguments(name, args, dict(options))
    if found is NotImplemented and name in _FORMS:
        found = _in_numpys_form(name, args, options)
    if found is not NotImplemented or "." in name or not _torch_calls.has_others(name, options):
        return found
    import numpy as np

    func = getattr(np, name, None)
    if name == "astype":
        return _numpy_options.astype(*args, **options)
    if isinstance(func, np.ufunc):
        if set(options) - {"out", "where", "casting", "order", "dtype", "subok"}:
            return NotImplemented
        out = options.get("out")
        return _ufunc.apply(func, "__call__", args, {**options, "out": out if isinstance(out, tuple) else (out,)})
    handler = _handlers().get(func)
    try:
        _signature(func).bind(*args, **options)
    except (TypeError, ValueError):
        return NotImplemented
    return NotImplemented if handler is None else handler(*args, **options)


def _has_dtype(args: tuple[Any, ...], _: dict[str, Any]) -> bool:
    return len(args) > 2 and not isinstance(args[2], bool)


def _second_is(name: str, kind: type) -> Callable[[tuple[Any, ...], dict[str, Any]], bool]:
    """Whether the second argument, called ``name``, is of this type."""
    return lambda args, options: isinstance(args[1] if len(args) > 1 else options.get(name), kind)


#: Calls that NumPy's function takes and ours of that name does not, by their arguments. What NumPy's form passes on to ours is
#: of another form, or a call would never end.
_FORMS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], bool]] = {
    **dict.fromkeys(("atleast_1d", "atleast_2d", "atleast_3d"), lambda args, _: len(args) != 1),
    **dict.fromkeys(("sum", "prod", "mean", "std", "var"), _has_dtype),
    **dict.fromkeys(("histogram", "histogram_bin_edges"), _second_is("bins", str)),
    "delete": _second_is("obj", slice),
    "insert": _second_is("obj", slice),
    "einsum": lambda args, _: len(args) > 1 and isinstance(args[1], (list, tuple)),
    "pad": _second_is("pad_width", dict),
}


def _in_numpys_form(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    import numpy as np

    if not _FORMS[name](args, options):
        return NotImplemented
    return _handlers()[getattr(np, name)](*args, **options)


def _missing(func: Any) -> TypeError:
    from difflib import get_close_matches

    path = f"{getattr(func, '__module__', 'numpy')}.{func.__name__}"
    near = get_close_matches(func.__name__, [n for n in dir(_core) if not n.startswith("_")], n=3)
    hint = f"; similar names are {', '.join('tg.' + n for n in near)}" if near else ""
    return TypeError(f"{path} is not available for Variables{hint}; use v.numpy() for its data without gradients")


@cache
def _handlers() -> dict[Any, Callable[..., Any]]:
    """Our function for each of NumPy's, as objects."""
    import numpy as np

    table: dict[Any, Callable[..., Any]] = {}
    for home, ours in [(np, _core), (np.linalg, _namespace("linalg")), (np.fft, _namespace("fft"))]:
        for name in dir(home):
            func = getattr(home, name)
            if not callable(func) or not hasattr(func, "_implementation") or func in table:
                continue
            # NumPy has one function under several names (permute_dims is transpose): its own name comes first.
            mine = _ours(ours, func.__name__) or _ours(ours, name)
            if mine is not None:
                path = name if home is np else f"{home.__name__.rpartition('.')[2]}.{name}"
                table[func] = _adapter(path, func, mine)
    table.update({getattr(np, name): _on_data(getattr(np, name)) for name in _DATA if hasattr(np, name)})
    table.update({getattr(np, name): f for name, f in _SPECIAL.items() if hasattr(np, name)})
    for name, outside in _COMPLEX_OUTSIDE.items():
        table[getattr(np.emath, name)] = _complex_outside(getattr(_core, name), outside)
    table[np.emath.logn] = lambda n, x: np.emath.log(x) / np.emath.log(n)
    table[np.emath.power] = _emath_power
    table[np.lib.stride_tricks.sliding_window_view] = _sliding_window_view
    if np.linalg.norm not in table and hasattr(_core, "norm"):
        table[np.linalg.norm] = _adapter("linalg.norm", np.linalg.norm, _core.norm)
    return table


def _namespace(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"tapegrad.{name}")
    except ModuleNotFoundError:
        return None


def _ours(home: Any, name: str) -> Any:
    if home is None or name.startswith("_"):
        return None
    homes = (_core, _arrays, _numpy_functions, _polynomials) if home is _core else (home,)
    return next((f for h in homes if callable(f := getattr(h, _NAMES.get(name, name), None))), None)


def _parameters(f: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return {}


#: Signatures of NumPy's functions in C; only NumPy 2.4 and later gives them itself.
_IN_C: dict[str, Any] = {
    "bincount": lambda x, /, weights=None, minlength=0: ...,
    "busday_count": lambda begindates, enddates, weekmask="1111100", holidays=(), busdaycal=None, out=None: ...,
    "busday_offset": lambda dates, offsets, roll="raise", weekmask="1111100", holidays=None, busdaycal=None, out=None: ...,
    "can_cast": lambda from_, to, casting="safe": ...,
    "concatenate": lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": ...,
    "copyto": lambda dst, src, casting="same_kind", where=True: ...,
    "datetime_as_string": lambda arr, unit=None, timezone="naive", casting="same_kind": ...,
    "dot": lambda a, b, out=None: ...,
    "empty_like": lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *, device=None: ...,
    "inner": lambda a, b, /: ...,
    "is_busday": lambda dates, weekmask="1111100", holidays=None, busdaycal=None, out=None: ...,
    "lexsort": lambda keys, axis=-1: ...,
    "may_share_memory": lambda a, b, /, max_work=0: ...,
    "min_scalar_type": lambda a, /: ...,
    "packbits": lambda a, /, axis=None, bitorder="big": ...,
    "putmask": lambda a, /, mask, values: ...,
    "ravel_multi_index": lambda multi_index, dims, mode="raise", order="C": ...,
    "result_type": lambda *arrays_and_dtypes: ...,
    "shares_memory": lambda a, b, /, max_work=-1: ...,
    "unpackbits": lambda a, /, axis=None, count=None, bitorder="big": ...,
    "unravel_index": lambda indices, shape, order="C": ...,
    "vdot": lambda a, b, /: ...,
    "where": lambda condition, x=None, y=None, /: ...,
}


def _signature(func: Any) -> inspect.Signature:
    """The signature of a function of NumPy's."""
    try:
        return inspect.signature(func)
    except ValueError:
        return inspect.signature(_IN_C[func.__name__])


def _adapter(name: str, func: Any, ours: Callable[..., Any]) -> Callable[..., Any]:
    """A function with NumPy's signature that calls ours."""
    theirs, mine = _signature(func), _parameters(ours)
    plain_names = [p.name for p in mine.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {*plain_names, *(p.name for p in mine.values() if p.kind is p.KEYWORD_ONLY)}
    takes_several = any(p.kind is p.VAR_POSITIONAL for p in mine.values())
    by_position = [p.name for p in mine.values() if p.kind is p.POSITIONAL_ONLY]
    full = _numpy_options.HANDLERS.get(name)

    places = [p.name for p in theirs.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = {p.name for p in theirs.parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    defaults = {p.name: p.default for p in theirs.parameters.values()}
    order = {p: i for i, p in enumerate(theirs.parameters)}

    def bound(args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, as `inspect` binds them."""
        given = {**dict(zip(places, args)), **options}
        # Wrong and unusual calls are left to inspect, which takes microseconds.
        plain = len(args) <= len(places) and len(given) == len(args) + len(options)
        if plain and required <= given.keys() <= defaults.keys():
            return given
        return theirs.bind(*args, **options).arguments

    def call(*args: Any, **options: Any) -> Any:
        ready: dict[str, Any] = {}
        later: dict[str, Any] = {}
        spread: list[Any] = []
        for key, value in bound(args, options).items():
            i, kind, known = order[key], theirs.parameters[key].kind, _RENAMED.get(key, key)
            if kind is inspect.Parameter.VAR_POSITIONAL or (i == 0 and takes_several and known not in named):
                spread = list(value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                ready |= value
            elif known in named:
                if not _is_default(value, defaults[key]):
                    ready[known] = value
            elif key in required and i < len(plain_names):
                ready[plain_names[i]] = value
            elif not _is_default(value, defaults[key]):
                later[key] = value
        special = _by_ufunc(name, later)
        if special is not None:
            return special(ready.pop(plain_names[0]), **ready, **later)
        if full is not None and (set(later) - {"out"} or any(isinstance(v, slice) for v in ready.values())):
            return full(*args, **options)
        first = [ready.pop(n) for n in (plain_names if takes_several else by_position) if n in ready]
        return _after(name, ours(*first, *spread, **ready), later)

    return call


_ABSENT: Any = object()


def _is_default(value: Any, default: Any) -> bool:
    """Whether an argument is left at its default. Where the signature has no default None, None may mean all axes."""
    return value is _no_value() or (value is None and (default is None or default is _no_value()))


@cache
def _no_value() -> Any:
    import numpy as np

    return np._NoValue


def _by_ufunc(name: str, later: dict[str, Any]) -> Callable[..., Any] | None:
    """For reductions with where= or initial=: that of the ufunc. Options that say how are left out."""
    if not later:
        return None
    for key in [k for k in later if k in _HOW or (k == "order" and later[k] in ("C", "K", "A"))]:
        del later[key]
    if not {"where", "initial"} & set(later) or name not in _REDUCTIONS:
        return None
    import numpy as np

    ufunc = getattr(np, _REDUCTIONS[name])

    def reduce(x: Any, axis: Any = None, **options: Any) -> Any:
        out = options.pop("out", None)
        result = _ufunc.apply(ufunc, "reduce", (x,), {"axis": axis, **options})
        return result if out is None else into(name, out, result)

    return reduce


def _after(name: str, result: Any, later: dict[str, Any]) -> Any:
    """The result in the dtype of ``dtype=``, written into the array of ``out=``."""
    out = later.pop("out", None)
    dtype = later.pop("dtype", None)
    if later:
        key, value = next(iter(later.items()))
        shown = f"{key}=" + (f"an array of shape {value.shape}" if hasattr(value, "shape") else repr(value))
        raise TypeError(f"numpy.{name}: {shown} is not available for Variables; leave it out, or use v.numpy() for its data")
    if dtype is not None:
        result = result.astype(dtype)
    return result if out is None else into(name, out, result)


def _on_data(func: Any) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return func(*map(plain, args), **{k: plain(v) for k, v in options.items()})

    return call


def _result_type(*args: Any) -> Any:
    import numpy as np

    return np.result_type(*(np.empty(a.shape, str(a.dtype)) if isinstance(a, Variable) else a for a in args))


def _is_negative(x: Variable) -> Any:
    return x < 0.0


def _is_large(x: Variable) -> Any:
    return _core.abs(x) > 1.0


#: NumPy's functions that turn complex when an element is outside of the real domain.
_COMPLEX_OUTSIDE: dict[str, Callable[[Variable], Any]] = {
    **dict.fromkeys(("sqrt", "log", "log2", "log10"), _is_negative),
    **dict.fromkeys(("arccos", "arcsin", "arctanh"), _is_large),
}


def _widened(x: Any, outside: Callable[[Variable], Any]) -> Variable:
    """The array, converted to complex when an element lies outside the real domain of the function."""
    v: Variable = _core.asarray(x)
    if v.dtype.is_complex or not bool(_core.any(outside(v.detach()))):
        return v
    return v.astype(_core.complex64 if v.dtype == _core.float32 else _core.complex128)


def _complex_outside(f: Callable[..., Variable], outside: Callable[[Variable], Any]) -> Callable[..., Any]:
    return lambda x: f(_widened(x, outside))


def _emath_power(x: Any, p: Any) -> Variable:
    p = _core.asarray(p)
    if not p.dtype.is_floating_point and not p.dtype.is_complex and bool(_core.any(p < 0)):
        p = p.astype(_core.float64)
    return _core.power(_widened(x, _is_negative), p)


def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Variable:
    """All windows of a shape, with their axes behind. It is a copy, so it cannot be written through."""
    import numpy as np

    if writeable:
        raise ValueError("sliding_window_view: writeable=True is not available for Variables: the windows are a copy")
    out: Variable = _core.asarray(x)
    sizes = (window_shape,) if isinstance(window_shape, int) else tuple(window_shape)
    axes = tuple(range(out.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(axis_of("sliding_window_view", a, out.ndim) for a in axes)
    if len(sizes) != len(axes):
        raise ValueError(f"sliding_window_view: window_shape {sizes} and axis {axes} differ in length")
    for size, a in zip(sizes, axes, strict=True):
        n = out.shape[a] - size + 1
        if size < 0 or n < 1:
            raise ValueError(f"sliding_window_view: a window of {size} is larger than axis {a} of shape {out.shape}")
        place = np.arange(n)[:, None] + np.arange(size)
        out = _core.moveaxis(_core.take(out, place, axis=a), a + 1, -1)
    return out


def _where(condition: Any, x: Any = _ABSENT, y: Any = _ABSENT) -> Any:
    return _core.nonzero(condition) if x is _ABSENT else _core.where(condition, x, y)


def _take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    x = _core.asarray(a)
    at = _arrays.within(indices, mode, x.size if axis is None else x.shape[axis], "numpy.take")
    result = _core.take(x, at, axis)
    return result if out is None else into("take", out, result)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **options: Any) -> Any:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    return _after(
        "clip", _core.clip(a, low, high), {k: v for k, v in {**options, "out": out}.items() if v is not None and k not in _HOW}
    )


def _like(value: Any) -> Callable[..., Any]:
    def call(
        a: Any, *rest: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, device: Any = None
    ) -> Any:
        x = _core.asarray(a)
        fill = rest[0] if value is None else value
        dtype = rest[-1] if len(rest) > (value is None) else dtype
        return _core.full(x.shape if shape is None else shape, fill, dtype=x.dtype if dtype is None else dtype)

    return call


def _einsum(*operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, **options: Any) -> Any:
    if not isinstance(operands[0], str):
        operands = _subscripts(operands)
    later = {k: v for k, v in {"out": out, "dtype": dtype, **options}.items() if v is not None and k not in ("order", "casting")}
    return _after("einsum", _core.einsum(*operands), later)


def _subscripts(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands with lists of numbers behind them, as operands behind a string."""

    def text(labels: Any) -> str:
        if any(k is not Ellipsis and not (isinstance(k, int) and 0 <= k < 52) for k in labels):
            raise ValueError(f"einsum: the labels {list(labels)} must be ints from 0 to 51, or ...")
        return "".join("..." if k is Ellipsis else chr(ord("a") + k) if k < 26 else chr(ord("A") + k - 26) for k in labels)

    arrays, labels = operands[0 : len(operands) // 2 * 2 : 2], operands[1::2]
    terms = ",".join(map(text, labels))
    return (terms + (f"->{text(operands[-1])}" if len(operands) % 2 else ""), *arrays)


def _truth(f: Callable[..., Any]) -> Callable[..., bool]:
    return lambda *args, **options: bool(f(*args, **options))


def _at_least(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: f(arrays[0]) if len(arrays) == 1 else tuple(map(f, arrays))


def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **options: Any,
) -> Any:
    from ._names import linspace

    return linspace(start, stop, num, endpoint, retstep=retstep, dtype=dtype, axis=axis, **options)


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    result = _core.nan_to_num(x, True, nan, posinf, neginf)
    return result if copy else into("nan_to_num", x, result)


def _copy(a: Any, order: str = "K", subok: bool = False) -> Variable:
    return _arrays.copy(a)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "allclose": _truth(_core.allclose),
    "array_equal": lambda a1, a2, equal_nan=False: bool(_core.array_equal(a1, a2, equal_nan)),
    "array_equiv": lambda a1, a2: bool(_core.array_equiv(a1, a2)),
    "atleast_1d": _at_least(_core.atleast_1d),
    "atleast_2d": _at_least(_core.atleast_2d),
    "atleast_3d": _at_least(_core.atleast_3d),
    "clip": _clip,
    "copy": _copy,
    "einsum": _einsum,
    "empty_like": _like(0),
    "full_like": _like(None),
    "histogram": _numpy_options.histogram,
    "histogram_bin_edges": _numpy_options.histogram_bin_edges,
    "linspace": _linspace,
    "meshgrid": _numpy_options.meshgrid,
    "nan_to_num": _nan_to_num,
    "ndim": _arrays.ndim,
    "ones_like": _like(1),
    "pad": _numpy_options.pad,
    "result_type": _result_type,
    "setdiff1d": _numpy_options.setdiff1d,
    "shape": _arrays.shape,
    "size": _arrays.size,
    "take": _take,
    "where": _where,
    "zeros_like": _like(0),
}
