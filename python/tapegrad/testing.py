"""Comparing arrays in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core
from ._core import Variable

if TYPE_CHECKING:
    from typing import Any

__all__ = ["assert_close", "place"]

# Relative and absolute tolerance by dtype; other dtypes must be equal.
_TOLERANCE = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}
_SHOWN = 5


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: str = "",
    check_device: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` for every element.

    Shapes must be equal, and so must dtypes unless ``check_dtype`` is off. Tolerances default to what the less exact
    dtype allows; give both or neither. Lists, tuples and dicts of arrays are compared item by item. Nothing is recorded.
    PyTorch's ``check_device``, ``check_layout`` and ``check_stride`` change nothing: there is one device and one layout.

    >>> tg.testing.assert_close(tg.exp(tg.Variable([0.0, 1.0])), tg.Variable([1.0, 2.7182817]))
    >>> try:
    ...     tg.testing.assert_close(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 2.5]))
    ... except AssertionError as error:
    ...     print(str(error).splitlines()[0])
    1 of 2 elements differ, most at [1]: 2.0 against 2.5
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    options = (rtol, atol, equal_nan, check_dtype)
    _compare(actual, expected, options, msg, "")


def _compare(actual: Any, expected: Any, options: tuple[Any, ...], msg: str, where: str) -> None:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if actual.keys() != expected.keys():
            _fail(f"the keys differ: {sorted(actual)} against {sorted(expected)}", msg, where)
        for key in expected:
            _compare(actual[key], expected[key], options, msg, f"{where}[{key!r}]")
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            _fail(f"the lengths differ: {len(actual)} against {len(expected)}", msg, where)
        for i, (a, b) in enumerate(zip(actual, expected)):
            _compare(a, b, options, msg, f"{where}[{i}]")
    else:
        a, b = _core.asarray(actual).detach(), _core.asarray(expected).detach()
        _compare_arrays(a, b, options, msg, where)


def _is_sequence(value: Any) -> bool:
    """A list or tuple that holds arrays; nested numbers are one array."""
    return isinstance(value, (list, tuple)) and any(hasattr(v, "shape") or isinstance(v, dict) for v in value)


def _compare_arrays(a: Variable, b: Variable, options: tuple[Any, ...], msg: str, where: str) -> None:
    rtol, atol, equal_nan, check_dtype = options
    if a.shape != b.shape:
        _fail(f"the shapes differ: {a.shape} against {b.shape}", msg, where)
    if check_dtype and a.dtype != b.dtype:
        _fail(f"the dtypes differ: {a.dtype} against {b.dtype}", msg, where)
    if rtol is None:
        limits = [_TOLERANCE.get(str(v.dtype), (0.0, 0.0)) for v in (a, b)]
        rtol, atol = max(r for r, _ in limits), max(t for _, t in limits)
    found, wanted = _flat(a), _flat(b)
    far = [i for i, (x, y) in enumerate(zip(found, wanted)) if not _is_close(x, y, rtol, atol, equal_nan)]
    if not far:
        return
    far.sort(key=lambda i: -_distance(found[i], wanted[i]))
    lines = [f"{place(a.shape, i)}: {found[i]} against {wanted[i]}" for i in far[:_SHOWN]]
    more = [f"  {line}" for line in lines[1:]] + (["  ..."] if len(far) > _SHOWN else [])
    head = f"{len(far)} of {a.size} elements differ, most at {lines[0]}"
    _fail("\n".join([head, *more, f"  allowed: {atol:g} + {rtol:g} * |expected|"]), msg, where)


def _flat(v: Variable) -> list[Any]:
    values: list[Any] = _core.reshape(v, (-1,)).tolist() if v.size else []
    return values


def _is_close(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    if x == y:
        return True
    if x != x and y != y:
        return equal_nan
    return bool(_distance(x, y) <= atol + rtol * abs(y)) and abs(y) != float("inf")


def _distance(x: Any, y: Any) -> float:
    distance = abs(float(x) - float(y))
    return distance if distance == distance else float("inf")


def place(shape: tuple[int, ...], flat: int) -> list[int]:
    """The index of the element number ``flat`` in C order.

    >>> tg.testing.place((2, 3), 4)
    [1, 1]
    """
    index = []
    for n in reversed(shape):
        flat, i = divmod(flat, n)
        index.append(i)
    return index[::-1]


def _fail(what: str, msg: str, where: str) -> None:
    place_ = f"at {where}: " if where else ""
    raise AssertionError(f"{msg}: {place_}{what}" if msg else f"{place_}{what}")
