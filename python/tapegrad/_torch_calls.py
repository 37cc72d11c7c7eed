"""Arguments of PyTorch's functions that ours of the same name do not take: `add(x, y, alpha=2)`, `max(x, y)`, `flip(x, dims=…)`.

A call comes here when ours has refused its arguments. First keywords get our names; then `HANDLERS` has what is more than a name.
"""

from __future__ import annotations

from . import _core
from ._habits import METHODS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: PyTorch's names of the first and the second parameter, for all functions.
_FIRST = {"input", "self", "tensors", "tensor", "A"}
_SECOND = {"other", "mat2", "vec2", "tensor2", "exponent", "end", "B"}
#: The same for single functions.
_OWN = {
    "searchsorted": {"sorted_sequence": "x1", "input": "x2"},
    "where": {"input": "a", "other": "b"},
    "swapaxes": {"axis0": "axis1", "axis1": "axis2", "dim0": "axis1", "dim1": "axis2"},
    "diagflat": {"offset": "k"},
    "isin": {"elements": "x1", "test_elements": "x2"},
    "dot": {"input": "a", "tensor": "b"},
    "heaviside": {"input": "a", "values": "b"},
    "tile": {"input": "x", "dims": "repetitions"},
}
#: PyTorch's names of other parameters, and ours.
_RENAMED = {
    "dims": ("axis", "axes"),
    "dim": ("axis",),
    "keepdim": ("keepdims",),
    "shifts": ("shift",),
    "diagonal": ("k",),
    "p": ("ord",),
    "size": ("shape",),
    "start_dim": ("start_dim",),
    "src": ("source",),
    "weight": ("weights",),
    "min_value": ("min",),
    "max_value": ("max",),
}


_PARAMETERS: dict[str, list[str]] = {}


def _parameters() -> dict[str, list[str]]:
    """The names of the parameters of a function, by its name and its aliases."""
    if not _PARAMETERS:
        for row in _core.registry():
            home = f"{row['module']}." if row["module"] else ""
            names = [p["name"] for p in row["params"]]
            _PARAMETERS.update(dict.fromkeys([home + name for name in (row["name"], *row["aliases"])], names))
    return _PARAMETERS


def _renamed(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options with our names for PyTorch's."""
    ours, own = _parameters().get(name, []), _OWN.get(name, {})
    own = own if set(own) & set(options) - set(ours) else {}
    found: dict[str, Any] = {}
    for key, value in options.items():
        new = own.get(key, key)
        if new not in ours:
            if key in _FIRST and ours:
                new = ours[0]
            elif key in _SECOND and len(ours) > 1 and ours[1] != "axis":
                new = ours[1]
            else:
                new = next((n for n in _RENAMED.get(key, ()) if n in ours), key)
        if new in found:
            raise TypeError(f"{name}() got multiple values for argument {new!r}, as {key!r} is a name of it")
        found[new] = value
    return found


def has_others(name: str, options: dict[str, Any]) -> bool:
    """Whether there is a keyword that ours of that name does not take."""
    return not set(options) <= set(_parameters().get(name, []))


def with_arguments(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``tg.name(*args, **options)`` as PyTorch means it; NotImplemented if PyTorch does not take these arguments either."""
    new = _renamed(name, options)
    handler = HANDLERS.get(name)
    if handler is not None:
        found = handler(args, new)
        if found is not NotImplemented:
            return found
    if new != options and set(new) <= set(_parameters()[name]):
        return _core._functions[name](*args, **new)
    return NotImplemented


def _is_array(x: Any) -> bool:
    return isinstance(x, _core.Variable) or (hasattr(x, "__array_interface__") and getattr(x, "ndim", 0) > 0)


def _alpha(name: str) -> Any:
    """`add` and `subtract` with a factor of the second operand."""

    def call(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if "alpha" not in options or {*options} - {"a", "b", "alpha"}:
            return NotImplemented
        values = [*args, *(options[k] for k in ("a", "b") if k in options)]
        if len(values) != 2:
            return NotImplemented
        return getattr(_core, name)(values[0], _core.multiply(values[1], options["alpha"]))

    return call


def _extremum(name: str, elementwise: str) -> Any:
    def call(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        values = [*args, *(options[k] for k in ("x", "other") if k in options)]
        if len(values) != 2 or {*options} - {"x", "other"} or not _is_array(values[1]):
            return NotImplemented
        return getattr(_core, elementwise)(*values)

    call.__name__ = name
    return call


def _norm(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `norm(input, p="fro", dim=None, keepdim=False, dtype=None)`."""
    names = ("x", "ord", "axis", "keepdims")
    given = dict(zip(names, args, strict=False)) | options
    dtype = given.pop("dtype", None)
    x = _core.asarray(given.pop("x")) if dtype is None else _core.asarray(given.pop("x")).astype(dtype)
    order, axis = given.pop("ord", None), given.pop("axis", None)
    keepdims = given.pop("keepdims", False)
    if given or (order not in {"fro", "nuc", None} and isinstance(order, str)):
        return NotImplemented
    if order == "nuc":
        from .linalg import norm

        return norm(x, "nuc", axis=axis, keepdims=keepdims)
    return _core.vector_norm(x, axis=axis, keepdims=keepdims, ord=2 if order in {"fro", None} else order)


def _spread(name: str) -> Any:
    """`var` and `std` with `unbiased=`."""

    def call(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if "unbiased" not in options or {"correction", "ddof"} & {*options}:
            return NotImplemented
        unbiased = options.pop("unbiased")
        if not isinstance(unbiased, bool):
            raise TypeError(f"{name}(): argument 'unbiased' must be a bool, not {type(unbiased).__name__}")
        return getattr(_core, name)(*args, correction=int(unbiased), **options)

    return call


def _nonzero(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if len(args) + ("x" in options) != 1 or {*options} - {"x", "as_tuple"} or "as_tuple" not in options:
        return NotImplemented
    x = args[0] if args else options["x"]
    return _core.nonzero(x) if options["as_tuple"] else _core.argwhere(x)


def _repeat(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if len(args) > 3 and not options:
        raise TypeError(
            f"repeat{args[1:]}: PyTorch's repeat tiles the array and NumPy's repeats its elements. "
            f"Write x.tile({args[1:]}) for the first, x.repeat(n, axis=...) or x.repeat_interleave(n, dim) for the second"
        )
    return NotImplemented


def _select(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `select(input, dim, index)`; NumPy's takes lists."""
    given = dict(zip(("input", "dim", "index"), args, strict=False)) | options
    if "condlist" in given:
        given["input"] = given.pop("condlist")
    if {*given} != {"input", "dim", "index"} or not isinstance(given["dim"], int):
        return NotImplemented
    return METHODS["select"](_core.asarray(given["input"]), given["dim"], given["index"])


def _searchsorted(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    right = options.pop("right", None)
    out_int32 = options.pop("out_int32", False)
    if right is not None:
        if options.get("side", "left" if not right else "right") != ("right" if right else "left"):
            raise ValueError(f"searchsorted: side={options['side']!r} and right={right} contradict each other")
        options["side"] = "right" if right else "left"
    if {*options} - {"x1", "x2", "side", "sorter"}:
        return NotImplemented
    found = _core.searchsorted(*args, **options)
    return found.astype(_core.int32) if out_int32 else found


def _cast_first(name: str) -> Any:
    """`softmax` and `log_softmax` with ``dtype=``, which the array is converted to before."""

    def call(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        given = dict(zip(("x", "axis"), args, strict=False)) | options
        if "dtype" not in given or "x" not in given or {*given} - {"x", "axis", "dtype"}:
            return NotImplemented
        x, dtype = _core.asarray(given.pop("x")), given.pop("dtype")
        return getattr(_core, name)(x if dtype is None else x.astype(dtype), **given)

    return call


def _argsort(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `argsort(input, dim, descending)` by position."""
    if len(args) != 3 or not isinstance(args[2], bool) or options:
        return NotImplemented
    return _core.argsort(args[0], args[1], descending=args[2])


def _gradient(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `gradient(input, spacing=1, dim=None, edge_order=1)` with spacing: a tuple, with an array for each axis."""
    if "spacing" not in options or len(args) + ("f" in options) != 1 or {*options} - {"f", "spacing", "axis", "edge_order"}:
        return NotImplemented
    f = _core.asarray(args[0] if args else options["f"])
    spacing, axis = options["spacing"], options.get("axis")
    axes = range(f.ndim) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    steps = spacing if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if len(steps) != len(axes):
        raise ValueError(f"gradient: spacing has {len(steps)} entries for {len(axes)} axes")
    order = options.get("edge_order", 1)
    return tuple(_core.gradient(f, step, axis=a, edge_order=order) for step, a in zip(steps, axes, strict=True))


def _logit(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `special.logit(input, eps=None)`."""
    given = dict(zip(("x", "eps"), args, strict=False)) | options
    if {*given} != {"x", "eps"}:
        return NotImplemented
    from ._torch_names import logit

    return logit(given["x"], given["eps"])


def _cov(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """PyTorch's `cov(input, correction=1, fweights=None, aweights=None)`."""
    if (
        "correction" not in options
        or len(args) + ("m" in options) != 1
        or {*options} - {"m", "correction", "fweights", "aweights"}
    ):
        return NotImplemented
    from ._numpy_options import cov

    m = args[0] if args else options.pop("m")
    return cov(m, ddof=options.pop("correction"), **options)


#: Calls that need more than renamed arguments, by function: each takes the arguments and returns the result or
#: NotImplemented.
HANDLERS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], Any]] = {
    "add": _alpha("add"),
    "argsort": _argsort,
    "cov": _cov,
    "gradient": _gradient,
    "log_softmax": _cast_first("log_softmax"),
    "softmax": _cast_first("softmax"),
    "special.logit": _logit,
    "subtract": _alpha("subtract"),
    "select": _select,
    "max": _extremum("max", "maximum"),
    "min": _extremum("min", "minimum"),
    "nonzero": _nonzero,
    "norm": _norm,
    "repeat": _repeat,
    "searchsorted": _searchsorted,
    "std": _spread("std"),
    "var": _spread("var"),
}
