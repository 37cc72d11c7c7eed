"""Arguments drawn at random, most of them nonsense, end in an ordinary exception: no panic reaches the user."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _core

if TYPE_CHECKING:
    from collections.abc import Callable

Draw = random.Random
INTS = [0, 1, -1, 2, 3, 7, -8, 2**40, 2**62, -(2**63), 2**63 - 1, 2**64, 10**30]
FLOATS = [0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, 5e-324]
SIZES = [0, 1, -1, 2, 3, 5, -9, 2**40, 2**62]


def array(draw: Draw) -> tg.Variable:
    shape = tuple(draw.choice([0, 1, 2, 3, 5]) for _ in range(draw.choice([0, 1, 1, 2, 2, 3, 4])))
    dtype = draw.choice(["float32", "float64", "int64", "int32", "uint8", "bool"])
    data = (np.random.default_rng(draw.randint(0, 99)).standard_normal(shape) * 3).astype(dtype)
    if data.size and dtype != "bool" and draw.random() < 0.2:
        limits = np.iinfo(dtype) if dtype[0] in "iu" else np.finfo(dtype)
        data.flat[0] = draw.choice([limits.min, limits.max, *([math.nan, math.inf, -math.inf] if dtype[0] == "f" else [])])
    v = tg.Variable(data, requires_grad=dtype.startswith("float") and draw.random() < 0.5)
    return v.T if v.ndim > 1 and draw.random() < 0.3 else v


ANY: dict[str, Callable[[Draw], Any]] = {
    "none": lambda _: None,
    "int": lambda d: d.choice(INTS),
    "float": lambda d: d.choice(FLOATS),
    "bool": lambda d: d.random() < 0.5,
    "text": lambda d: d.choice(["", "mean", "sum", "none", "ij", "xy", "tanh", "\0", "é" * 5]),
    "array": array,
    "arrays": lambda d: [array(d) for _ in range(d.randint(0, 3))],
    "ints": lambda d: tuple(d.choice(SIZES) for _ in range(d.randint(0, 4))),
    "dtype": lambda d: d.choice([tg.float32, tg.int64, tg.bool]),
    "ndarray": lambda _: np.arange(3),
    "slice": lambda d: slice(None, None, d.choice([0, 1, -1, 2**62])),
    "key": lambda _: (slice(1), None, ...),
    "object": lambda _: object(),
    "ragged": lambda _: [[1, 2], [3]],
    "long": lambda _: (1,) * 70,
}
KINDS = {
    "Array": ["array", "array", "array", "float", "int"],
    "OptArray": ["array", "none", "float"],
    "Arrays": ["arrays", "array"],
    "Each": ["arrays"],
    "Float": ["float", "int"],
    "OptFloat": ["float", "none"],
    "Int": ["int"],
    "OptInt": ["int", "none"],
    "Bool": ["bool"],
    "Axes": ["ints", "int", "none"],
    "Ints": ["ints", "ints", "int", "long"],
    "Sections": ["int", "ints"],
    "Sizes": ["int", "ints"],
    "Floats": ["float"],
    "Padding": ["int", "ints", "text"],
    "DType": ["dtype", "none"],
    "Device": ["text", "none"],
    "Text": ["text"],
    "Index": ["slice", "key", "array", "int", "ints"],
}


def tracked(values: list[Any]) -> list[tg.Variable]:
    flat = [w for v in values for w in (v if isinstance(v, list) else [v])]
    return [v for v in flat if isinstance(v, tg.Variable) and v.requires_grad]


def use(out: Any, inputs: list[tg.Variable]) -> None:
    """Shows results and differentiates them twice."""
    for o in out if isinstance(out, tuple) else (out,):
        if not isinstance(o, tg.Variable):
            continue
        repr(o)
        if o.size < 1000:
            o.tolist()
        if o.requires_grad:
            grads = tg.autograd.grad(o, inputs, tg.ones_like(o), create_graph=True, allow_unused=True)
            again = [g for g in grads if g is not None and g.requires_grad]
            if again:
                tg.autograd.grad(again, inputs, [tg.ones_like(g) for g in again], allow_unused=True)


@pytest.mark.parametrize("name", [row["path"] for row in _core.registry() if row["function"]])
def test_no_argument_makes_a_row_panic(name: str) -> None:
    row = next(r for r in _core.registry() if r["path"] == name)
    draw = random.Random(name)
    for _ in range(60):
        given: list[Any] = []
        named: dict[str, Any] = {}
        for k, p in enumerate(row["params"]):
            if p["default"] is not None and draw.random() < 0.4:
                continue
            value = ANY[draw.choice(KINDS[p["kind"]] if draw.random() < 0.93 else list(ANY))](draw)
            if p["keyword_only"] or named or len(given) < k:
                named[p["name"]] = value
            else:
                given.append(value)
        try:
            use(_core._functions[name](*given, **named), tracked([*given, *named.values()]))
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError, KeyError):
            pass
        except tg.GradError:
            pass  # an internal error is a plain RuntimeError


METHODS = sorted(
    n
    for n in dir(tg.Variable)
    if not n.startswith("__") or n in {"__getitem__", "__setitem__", "__add__", "__matmul__", "__pow__"}
)


@pytest.mark.parametrize("name", METHODS)
def test_no_argument_makes_a_method_panic(name: str) -> None:
    draw = random.Random(name)
    for _ in range(40):
        args = [ANY[draw.choice(list(ANY))](draw) for _ in range(draw.randint(0, 3))]
        text = ""
        try:
            f = getattr(array(draw), name)
            if callable(f):
                f(*args)
        except Exception as e:  # noqa: BLE001 - any exception but a panic, which is none
            text = str(e)
        assert "internal error" not in text, args
