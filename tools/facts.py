"""Facts about the operations of the registry that are found by calling them: shapes, dtypes, and the errors of wrong arguments.

Each operation has samples for its tests. The pages of the reference say what these calls, and calls with other dtypes, axes and
options, return or raise. So what they say is true for the version that made them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad import _core

if TYPE_CHECKING:
    from collections.abc import Callable

#: The kinds of dtypes, by the words of the pages.
KINDS = {
    "floating": ["float16", "bfloat16", "float32", "float64"],
    "complex": ["complex64", "complex128"],
    "signed integers": ["int8", "int16", "int32", "int64"],
    "unsigned integers": ["uint8", "uint16", "uint32", "uint64"],
    "bool": ["bool"],
}
EXACT = {d for kind in ("signed integers", "unsigned integers", "bool") for d in KINDS[kind]}
#: The dtypes of real parts, and the complex dtypes of the same precision.
PARTS = {"complex64": "float32", "complex128": "float64"}
COMPLEX = {"float16": "complex64", "bfloat16": "complex64", "float32": "complex64", "float64": "complex128"}
ARRAYS = {"Array", "OptArray", "Arrays", "Each"}
AXES = {"axis", "axes", "dim", "axis1", "source"}
#: A size that is left to the function, in samples.
NONE = "-9223372036854775808"
#: So many samples of an operation are tried with each dtype, so many are shown.
TRIED, SHOWN = 3, 2


def call(row: dict[str, Any], sample: tuple[Any, ...]) -> Any:
    """What the operation returns for a sample."""
    args = [a for p, a in zip(row["params"], sample, strict=True) if not p["keyword_only"]]
    kwargs = {p["name"]: a for p, a in zip(row["params"], sample, strict=True) if p["keyword_only"]}
    return function(row)(*args, **kwargs)


def function(row: dict[str, Any]) -> Any:
    """The compiled function, or method."""
    return _core._functions[row["path"]] if row["function"] else getattr(_core.Variable, row["name"])


def variables(x: Any) -> list[Any]:
    """The Variables of an argument or a result."""
    if isinstance(x, _core.Variable):
        return [x]
    return [v for one in x for v in variables(one)] if isinstance(x, (list, tuple)) else []


def attempt(f: Callable[[], Any]) -> Any:
    """The result, or the error."""
    try:
        return f()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return error


def tried(row: dict[str, Any], sample: tuple[Any, ...]) -> Any:
    """The result of the operation for a sample, or the error."""
    return attempt(lambda: call(row, sample))


# ---- dtypes ----


def inexact(x: Any) -> bool:
    return bool(x.dtype.is_floating_point or x.dtype.is_complex)


def mapped(f: Callable[[Any], Any], x: Any, exact: bool) -> Any:
    """An argument with `f` of the Variables in it that are floating, or with `exact` of those that are not."""
    if isinstance(x, _core.Variable):
        return f(x) if inexact(x) != exact else x
    return [mapped(f, one, exact) for one in x] if isinstance(x, list) else x


def outcome(row: dict[str, Any], dtype: str) -> list[str]:
    """The dtypes of the results for arguments cast to `dtype`: ["no"] where it is refused, [] where that is not known."""
    for sample in _core.samples(row["path"])[:TRIED]:
        exact = not any(map(inexact, variables(list(sample))))
        for scale in (1.0, 3.0):  # small numbers, which are in the domain; others, of which few are equal when they are whole

            def cast(x: Any, s: float = scale) -> Any:
                real = x.real if x.dtype.is_complex and dtype not in PARTS else x
                return (tg.round(real * s) if dtype in EXACT and inexact(x) else real).astype(dtype)

            found = tried(row, tuple(mapped(cast, a, exact) for a in sample))
            if isinstance(found, tg.DTypeError):
                return ["no"]
            if not isinstance(found, Exception):
                return [str(v.dtype).removeprefix("tapegrad.") for v in variables(found)] or [type(found).__name__]
    return []


def dtypes(row: dict[str, Any]) -> tuple[str, list[str]]:
    """What becomes of each kind of dtypes, and the kinds that are refused."""
    given: dict[str, str] = {}
    refused = []
    for kind, members in KINDS.items():
        found = {d: outcome(row, d) for d in members}
        if all(v == ["no"] for v in found.values()):
            refused.append(kind)
        elif all(v and v != ["no"] for v in found.values()) and len({len(v) for v in found.values()}) == 1:
            columns = zip(*found.values(), strict=True)
            parts = list(dict.fromkeys(word(members, list(column)) for column in columns))
            if all(parts):
                given[kind] = " and ".join(parts)
    if given.get("bool") == "the same dtype" and "bool" in given.values():
        given["bool"] = "bool"  # as of comparisons
    groups: dict[str, list[str]] = {}
    for kind, text in given.items():
        groups.setdefault(text, []).append(kind)
    if len(given) == len(KINDS) and len(groups) == 1:
        return f"all: {next(iter(groups))}", refused
    return "; ".join(f"{joined(kinds)}: {text}" for text, kinds in groups.items()), refused


def joined(kinds: list[str]) -> str:
    return ", ".join(kinds).replace("signed integers, unsigned integers", "integers")


def word(members: list[str], results: list[str]) -> str:
    """What dtypes become, in words; nothing where that takes many."""
    if results == members:
        return "the same dtype"
    if results == [PARTS.get(d) for d in members]:
        return "the dtype of the real part"
    if results == [COMPLEX.get(d) for d in members]:
        return "complex"
    if len(set(results)) > 1:
        return ""
    return "the default floating dtype" if results[0] == "float32" and members[0] in EXACT else results[0]


# ---- shapes ----


def shown(x: Any) -> str:
    """A shape as Python writes it."""
    return str(tuple(x.shape))


def shapes(row: dict[str, Any]) -> str:
    """The shape of the result in words, or shapes of samples."""
    arrays = [p["name"] for p in row["params"] if p["kind"] in ARRAYS]
    seen: list[tuple[int, int, str]] = []
    same = joint = True
    for sample in _core.samples(row["path"]):
        inputs, result = [v for a in sample for v in variables(a)], variables(tried(row, sample))
        if not inputs or not result:
            continue
        same = same and len(result) == 1 and result[0].shape == inputs[0].shape
        joint = joint and len(result) == 1 and fits([v.shape for v in inputs], result[0].shape)
        plain = inputs[0].ndim == 2 and min(inputs[0].shape) > 1 and all(v.size for v in inputs)
        seen.append((-plain, len(seen), example(row, sample, result)))
    if not seen or not arrays:
        return ""
    if len(arrays) > 1 and joint and not elementwise_refuses(row):
        return "that to which the arrays broadcast"
    if same and len(arrays) == 1 and not any(p["name"] == "shape" for p in row["params"]):
        return f"that of `{arrays[0]}`"
    return "; ".join(list(dict.fromkeys(text for _, _, text in sorted(seen)))[:SHOWN])


def fits(shapes: list[tuple[int, ...]], result: tuple[int, ...]) -> bool:
    try:
        return tuple(tg.broadcast_shapes(*shapes)) == tuple(result)
    except ValueError:
        return False


def elementwise_refuses(row: dict[str, Any]) -> bool:
    """Whether arrays of shapes that broadcast are refused."""
    sample = list(_core.samples(row["path"])[0])
    places = [i for i, p in enumerate(row["params"]) if p["kind"] == "Array"]
    for i, shape in zip(places, [(2, 1), (3,), (1, 3)], strict=False):
        if isinstance(sample[i], _core.Variable) and inexact(sample[i]):
            sample[i] = tg.full(shape, 0.5, dtype=tg.float64)
    found = tried(row, tuple(sample))
    return len(places) < 2 or isinstance(found, Exception) or [v.shape for v in variables(found)] != [(2, 3)]


def example(row: dict[str, Any], sample: tuple[Any, ...], result: list[Any]) -> str:
    """The shapes of a call: ``x` (2, 3), `axis=1` → (2,)`."""
    parts = []
    for p, a in zip(row["params"], sample, strict=True):
        found = variables(a)
        if isinstance(a, _core.Variable):
            parts.append(f"`{p['name']}` {shown(a)}")
        elif found:
            parts.append(f"`{p['name']}` {' and '.join(map(shown, found))}")
        elif p["default"] is None or p["default"] not in {str(a), repr(a)}:
            parts.append(f"`{p['name']}={a!r}`".replace(NONE, "None"))
    return f"{', '.join(parts)} → {' and '.join(map(shown, result[:4]))}{' …' if len(result) > 4 else ''}"


# ---- errors ----


PLURAL = {"floating": "floating numbers", "complex": "complex numbers", "bool": "bools"}


def of_option(row: dict[str, Any], sample: tuple[Any, ...], at: int) -> str:
    """The error of an axis that is not there, or of an unknown choice."""
    p = row["params"][at]
    if p["name"] in AXES and p["kind"] in {"Int", "OptInt", "Axes"}:
        found = tried(row, (*sample[:at], 99, *sample[at + 1 :]))
        return f"`{type(found).__name__}` where the array has no axis `{p['name']}`" if isinstance(found, IndexError) else ""
    if p["choices"]:
        found = tried(row, (*sample[:at], "none of them", *sample[at + 1 :]))
        return f"`{type(found).__name__}` for another `{p['name']}`" if isinstance(found, ValueError) else ""
    return ""


def of_shapes(row: dict[str, Any], sample: tuple[Any, ...]) -> str:
    """The error of arrays that do not broadcast."""
    places = [i for i, p in enumerate(row["params"]) if p["kind"] == "Array"]
    if len(places) < 2 or elementwise_refuses(row):
        return ""
    arguments = list(sample)
    for i, n in zip(places, (2, 3), strict=False):
        arguments[i] = tg.full((n,), 0.5, dtype=tg.float64)
    found = tried(row, tuple(arguments))
    return f"`{type(found).__name__}` where shapes do not broadcast" if isinstance(found, Exception) else ""


def of_few(row: dict[str, Any], sample: tuple[Any, ...]) -> list[str]:
    """The errors of an array without axes, and of one without elements."""
    at = next((i for i, p in enumerate(row["params"]) if p["kind"] == "Array"), None)
    if at is None or not isinstance(sample[at], _core.Variable):
        return []
    out, name = [], row["params"][at]["name"]
    found = tried(row, (*sample[:at], tg.full((), 0.5, dtype=sample[at].dtype), *sample[at + 1 :]))
    if type(found).__name__ in {"ShapeError", "LinAlgError"}:
        out.append(f"`{type(found).__name__}` where `{name}` has too few axes")
    if all(p["default"] is not None for i, p in enumerate(row["params"]) if i != at):
        found = attempt(lambda: function(row)(tg.zeros((0,), dtype=sample[at].dtype)))
        if type(found) is ValueError:
            out.append(f"`ValueError` where `{name}` has no elements")
    return out


#: Matrices that a factorisation may refuse: the words of its error, and the cause in ours.
MATRICES = [
    (tg.ones((2, 3), dtype=tg.float64), "square", "the matrices are not square"),
    (tg.zeros((2, 2), dtype=tg.float64), "singular", "a matrix is singular"),
    (-tg.eye(2, dtype=tg.float64), "positive definite", "a matrix is not positive definite"),
]


def of_matrices(row: dict[str, Any], sample: tuple[Any, ...]) -> list[str]:
    """The errors of matrices of the wrong shape or kind."""
    if row["module"] != "linalg" or not isinstance(sample[0], _core.Variable):
        return []
    found = [(tried(row, (matrix, *sample[1:])), word_, cause) for matrix, word_, cause in MATRICES]
    return [
        f"`LinAlgError` where {cause}"
        for error, word_, cause in found
        if isinstance(error, tg.LinAlgError) and word_ in str(error)
    ]


def errors(row: dict[str, Any], refused: list[str]) -> list[str]:
    """The errors of arguments that do not fit, each with its cause."""
    out = [f"`DTypeError` for {joined([PLURAL.get(k, k) for k in refused])}"] if refused else []
    samples = [s for s in _core.samples(row["path"]) if not isinstance(tried(row, s), Exception)]
    wide = next((s for s in samples if any(v.ndim > 1 for v in variables(list(s)))), samples[0] if samples else None)
    if wide is None:
        return out
    out += [of_option(row, wide, i) for i in range(len(wide))]
    return list(filter(None, [*out, of_shapes(row, wide), *of_few(row, wide), *of_matrices(row, wide)]))


def grouped(lines: list[str]) -> str:
    """The causes of each error after its name: `ShapeError for ..., where ...; ValueError ...`."""
    causes: dict[str, list[str]] = {}
    for line in lines:
        name, _, cause = line.partition(" ")
        causes.setdefault(name, []).append(cause)
    return "; ".join(f"{name} {', '.join(found)}" for name, found in causes.items())


#: The facts of operations that were tried, by their paths.
FOUND: dict[str, list[tuple[str, str]]] = {}


def facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a title and a line."""
    if not any(p["kind"] in ARRAYS for p in row["params"]):
        return []
    if row["path"] not in FOUND:
        given, refused = dtypes(row)
        lines = [("Shape", shapes(row)), ("Dtypes", given), ("Errors", grouped(errors(row, refused)))]
        FOUND[row["path"]] = [(title, line) for title, line in lines if line]
    return FOUND[row["path"]]
