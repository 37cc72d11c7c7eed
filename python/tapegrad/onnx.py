"""ONNX models of recorded programs, for inference elsewhere. Needs the package ``onnx``: ``pip install tapegrad[onnx]``."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._program import Program

__all__ = ["export"]

#: The version of ONNX's operators that models use.
OPSET = 18


def _library() -> Any:
    try:
        import onnx  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError("onnx.export needs the package onnx: pip install tapegrad[onnx]") from None
    return onnx


class _Step:
    """One step of a program: a primitive, its attributes, its operands and results."""

    def __init__(self, number: int, text: dict[str, Any]) -> None:
        what = text["what"]
        kind, body = ("copy", {}) if what == "copy" else next(iter(what.items()))
        self.number, self.kind, self.body = number, kind, body
        self.name: str = kind
        named: Any = None
        if kind in ("call", "rule"):
            # The primitives of integers stand beside those that differentiate.
            self.name, named = body["name"].removesuffix(".integers"), body["attributes"] if kind == "call" else None
        elif kind == "compute":
            self.name, named = body[0], body
        self.attrs: Any = named[1] if named else {}
        self.inputs: list[Any] = text["inputs"]
        self.outputs: list[int | None] = text["outputs"]

    @property
    def out(self) -> int:
        """The number of the first result."""
        found = self.outputs[0]
        if found is None:
            raise NotImplementedError(f"onnx.export: the first result of {self} is not used")
        return found

    def __str__(self) -> str:
        return f"step {self.number} ({'the gradient of ' if self.kind == 'rule' else ''}{self.name})"


class _Graph:
    """The nodes of a model as they are made."""

    def __init__(self, onnx: Any, text: dict[str, Any], constants: dict[int, np.ndarray[Any, Any]]) -> None:
        self.helper, self.numpy_helper, self.text = onnx.helper, onnx.numpy_helper, text
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.names: dict[int, str] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        for slot, value in constants.items():
            self.names[slot] = self.const(value)

    def shape(self, slot: int) -> list[int]:
        """The shape of a value."""
        found: list[int] = self.text["values"][slot]["layout"]["shape"]
        return found

    def dtype(self, slot: int) -> np.dtype[Any]:
        """The dtype of a value."""
        name = self.text["values"][slot]["dtype"]
        if name == "bfloat16":
            raise NotImplementedError("onnx.export: values in bfloat16 cannot be exported; record the program in float32")
        found: np.dtype[Any] = np.dtype(name)
        return found

    def const(self, value: Any, dtype: Any = None) -> str:
        """The name of a constant."""
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = self._known[key] = f"constant_{len(self._known)}"
            self.tensors.append(self.numpy_helper.from_array(array, name))
        return self._known[key]

    def ints(self, values: Any) -> str:
        """A constant list of integers."""
        return self.const(np.asarray(list(values), np.int64).reshape(-1))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; the names of its results."""
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def arg(self, step: _Step, i: int, dtype: Any = None) -> str:
        """Operand ``i``, in the given dtype."""
        kind, value = next(iter(step.inputs[i].items()))
        if kind == "value":
            name = self.names[value]
            return name if dtype is None or self.dtype(value) == dtype else self.cast(name, dtype)
        if kind == "complex":
            raise NotImplementedError(f"onnx.export: {step} has a complex operand")
        return self.const(float(value) if kind == "float" else value, dtype)

    def slot(self, step: _Step, i: int) -> int:
        """The number of operand ``i``."""
        found: int = step.inputs[i]["value"]
        return found

    def cast(self, name: str, dtype: Any) -> str:
        """A value in another dtype."""
        found: str = self.op("Cast", name, to=self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        return found

    def reshape(self, name: str, shape: Any) -> str:
        """A value in another shape."""
        found: str = self.op("Reshape", name, self.ints(shape), allowzero=1)
        return found

    def transpose(self, name: str, perm: Any) -> str:
        """A value with its axes in another order."""
        perm = list(perm)
        return name if perm == sorted(perm) else str(self.op("Transpose", name, perm=perm))

    def common(self, step: _Step) -> np.dtype[Any]:
        """The dtype in which the operands of an elementwise step meet."""
        found = [(self.dtype(a["value"]) if "value" in a else next(iter(a.values()))) for a in step.inputs]
        return np.result_type(*(float(x) if isinstance(x, str) else x for x in found))


# ---- elementwise ----

_UNARY = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh",
    "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "erf": "Erf", "exp": "Exp", "floor": "Floor", "isnan": "IsNaN",
    "isinf": "IsInf", "log": "Log", "logical_not": "Not", "negative": "Neg", "reciprocal": "Reciprocal", "relu": "Relu",
    "round": "Round", "sigmoid": "Sigmoid", "expit": "Sigmoid", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt",
    "tan": "Tan", "tanh": "Tanh", "mish": "Mish", "softsign": "Softsign", "copy": "Identity", "positive": "Identity",
    "rint": "Round",
}  # fmt: skip
_BINARY = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "maximum": "Max", "minimum": "Min",
    "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual", "equal": "Equal",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor",
}  # fmt: skip
_LOGICAL = {"logical_and", "logical_or", "logical_xor"}


def _result(g: _Graph, step: _Step) -> np.dtype[Any]:
    return g.dtype(step.out)


def _unary(g: _Graph, step: _Step) -> str:
    dtype = _result(g, step)
    return str(g.op(_UNARY[step.name], g.arg(step, 0, None if dtype.kind == "b" else dtype)))


def _binary(g: _Graph, step: _Step) -> str:
    out = _result(g, step)
    dtype: Any = bool if step.name in _LOGICAL else g.common(step) if out.kind == "b" else out
    return str(g.op(_BINARY[step.name], g.arg(step, 0, dtype), g.arg(step, 1, dtype)))


def _formula(f: Callable[..., str]) -> Callable[[_Graph, _Step], str]:
    """A rule for a step that is a formula of its operands: ``f(g, dtype, *operands)``."""

    def rule(g: _Graph, step: _Step) -> str:
        dtype = _result(g, step)
        return f(g, dtype, *(g.arg(step, i, dtype) for i in range(len(step.inputs))))

    return rule


def _gelu_erf(g: _Graph, t: Any, x: str) -> str:
    half = g.op("Mul", x, g.const(0.5, t))
    inner = g.op("Erf", g.op("Mul", x, g.const(math.sqrt(0.5), t)))
    return str(g.op("Mul", half, g.op("Add", inner, g.const(1.0, t))))


def _gelu_tanh(g: _Graph, t: Any, x: str) -> str:
    cube = g.op("Mul", x, g.op("Add", g.const(1.0, t), g.op("Mul", g.const(0.044715, t), g.op("Mul", x, x))))
    inner = g.op("Tanh", g.op("Mul", cube, g.const(math.sqrt(2.0 / math.pi), t)))
    return str(g.op("Mul", g.op("Mul", x, g.const(0.5, t)), g.op("Add", inner, g.const(1.0, t))))


def _where_positive(g: _Graph, t: Any, x: str, other: str) -> str:
    return str(g.op("Where", g.op("Greater", x, g.const(0.0, t)), x, other))


_FORMULAS: dict[str, Callable[..., str]] = {
    "square": lambda g, _, x: g.op("Mul", x, x),
    "trunc": lambda g, _, x: g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x))),
    "deg2rad": lambda g, t, x: g.op("Mul", x, g.const(math.pi / 180, t)),
    "rad2deg": lambda g, t, x: g.op("Mul", x, g.const(180 / math.pi, t)),
    "rsqrt": lambda g, _, x: g.op("Reciprocal", g.op("Sqrt", x)),
    "silu": lambda g, _, x: g.op("Mul", x, g.op("Sigmoid", x)),
    "log1p": lambda g, t, x: g.op("Log", g.op("Add", x, g.const(1.0, t))),
    "expm1": lambda g, t, x: g.op("Sub", g.op("Exp", x), g.const(1.0, t)),
    "exp2": lambda g, t, x: g.op("Pow", g.const(2.0, t), x),
    "log2": lambda g, t, x: g.op("Mul", g.op("Log", x), g.const(1 / math.log(2), t)),
    "log10": lambda g, t, x: g.op("Mul", g.op("Log", x), g.const(1 / math.log(10), t)),
    "log_sigmoid": lambda g, _, x: g.op("Neg", g.op("Softplus", g.op("Neg", x))),
    "log_expit": lambda g, _, x: g.op("Neg", g.op("Softplus", g.op("Neg", x))),
    "logsigmoid": lambda g, _, x: g.op("Neg", g.op("Softplus", g.op("Neg", x))),
    "tanhshrink": lambda g, _, x: g.op("Sub", x, g.op("Tanh", x)),
    "relu6": lambda g, t, x: g.op("Clip", x, g.const(0.0, t), g.const(6.0, t)),
    "hardsigmoid": lambda g, t, x: g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hardswish": lambda g, t, x: g.op("Mul", x, g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
    "gelu_erf": _gelu_erf,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": lambda g, t, x, slope: _where_positive(g, t, x, g.op("Mul", x, slope)),
    "prelu": lambda g, t, x, slope: _where_positive(g, t, x, g.op("Mul", x, slope)),
    "elu": lambda g, t, x, a: _where_positive(g, t, x, g.op("Mul", a, g.op("Sub", g.op("Exp", x), g.const(1.0, t)))),
    "clip": lambda g, _, x, low, high: g.op("Min", g.op("Max", x, low), high),
    "selu": lambda g, _, x: g.op("Selu", x),
    "softplus": lambda g, _, x, beta: g.op("Div", g.op("Softplus", g.op("Mul", x, beta)), beta),
    "clamp": lambda g, _, x, low, high: g.op("Min", g.op("Max", x, low), high),
    "clip_below": lambda g, _, x, low: g.op("Max", x, low),
    "clip_above": lambda g, _, x, high: g.op("Min", x, high),
    "hardtanh": lambda g, _, x, low, high: g.op("Min", g.op("Max", x, low), high),
}


def _not_equal(g: _Graph, step: _Step) -> str:
    dtype = g.common(step)
    return str(g.op("Not", g.op("Equal", g.arg(step, 0, dtype), g.arg(step, 1, dtype))))


def _where(g: _Graph, step: _Step) -> str:
    dtype = _result(g, step)
    return str(g.op("Where", g.arg(step, 0, np.bool_), g.arg(step, 1, dtype), g.arg(step, 2, dtype)))


# ---- products ----


def _as_matrix(g: _Graph, step: _Step, i: int, form: str) -> str:
    name, ndim = g.arg(step, i, _result(g, step)), len(g.shape(g.slot(step, i)))
    if form == "Transposed":
        return g.transpose(name, [*range(ndim - 2), ndim - 1, ndim - 2])
    new = {"Matrix": [], "Row": [-2], "Column": [-1], "Single": [-2, -1]}[form]
    return str(g.op("Unsqueeze", name, g.ints(new))) if new else name


def _product(g: _Graph, step: _Step) -> str:
    a, b = _as_matrix(g, step, 0, step.attrs["a"]), _as_matrix(g, step, 1, step.attrs["b"])
    out, form = g.op("MatMul", a, b), step.attrs["out"]
    if form == "Transposed":
        n = len(step.attrs["batch"])
        out = g.transpose(out, [*range(n), n + 1, n])
    elif form != "Matrix":
        slot = step.out
        out = g.reshape(out, g.shape(slot))
    return str(g.op("Add", out, g.arg(step, 2, _result(g, step)))) if len(step.inputs) > 2 else str(out)


def _spatial(step: _Step) -> tuple[int, dict[str, list[int]]]:
    a = step.attrs
    n = a["axes"]
    return n, {k: a[k][-n:] for k in ("input", "kernel", "output", "stride", "dilation", "low")}


def _convolution(g: _Graph, step: _Step) -> str:
    n, s = _spatial(step)
    reach = [d * (k - 1) + 1 for k, d in zip(s["kernel"], s["dilation"], strict=True)]
    ends = [(s["output"][i] - 1) * s["stride"][i] + reach[i] - s["input"][i] - s["low"][i] for i in range(n)]
    operands = [g.arg(step, i) for i in range(len(step.inputs))]
    return str(
        g.op("Conv", *operands, kernel_shape=s["kernel"], strides=s["stride"], dilations=s["dilation"],
             pads=[*s["low"], *(max(e, 0) for e in ends)], group=step.attrs["groups"])
    )  # fmt: skip


def _transposed(g: _Graph, step: _Step) -> str:
    n, s = _spatial(step)
    full = [(s["output"][i] - 1) * s["stride"][i] + s["dilation"][i] * (s["kernel"][i] - 1) + 1 for i in range(n)]
    ends = [full[i] - s["low"][i] - s["input"][i] for i in range(n)]
    operands = [g.arg(step, i) for i in range(len(step.inputs))]
    return str(
        g.op("ConvTranspose", *operands, kernel_shape=s["kernel"], strides=s["stride"], dilations=s["dilation"],
             pads=[*s["low"], *(max(e, 0) for e in ends)], output_padding=[max(-e, 0) for e in ends], group=step.attrs["groups"])
    )  # fmt: skip


def _regular(step: _Step, axis: dict[str, Any]) -> tuple[int, int, int, int]:
    """Kernel, stride, padding before and behind of the windows along an axis."""
    size, step_size, windows = axis["size"], axis["step"], axis["windows"]
    kernel = max(count for _, count in windows)

    def window(i: int, stride: int, low: int) -> tuple[int, int]:
        inside = [p for p in (i * stride - low + j * step_size for j in range(kernel)) if 0 <= p < size]
        return (inside[0], len(inside)) if inside else (-1, 0)

    for low in range(kernel * step_size):
        for stride in range(1, size + 1):
            if all(window(i, stride, low) == tuple(w) for i, w in enumerate(windows)):
                end = (len(windows) - 1) * stride - low + (kernel - 1) * step_size + 1 - size
                return kernel, stride, low, max(end, 0)
    raise NotImplementedError(f"onnx.export: {step} has windows of several sizes, which ONNX does not have")


def _max_pool(g: _Graph, step: _Step) -> str:
    n = step.attrs["axes"]
    axes = step.attrs["windows"][-n:]
    found = [_regular(step, a) for a in axes]
    x, slot = g.arg(step, 0), g.slot(step, 0)
    shape, out = g.shape(slot), step.out
    # ONNX wants one axis of samples and one of channels in front.
    x = g.reshape(x, [math.prod(shape[:-n]), 1, *shape[-n:]])
    y = g.op("MaxPool", x, kernel_shape=[f[0] for f in found], strides=[f[1] for f in found],
             pads=[*(f[2] for f in found), *(f[3] for f in found)], dilations=[a["step"] for a in axes])  # fmt: skip
    return g.reshape(y, g.shape(out))


def _resample(g: _Graph, step: _Step) -> str:
    """Sums over windows and interpolation: a matrix for each of the last axes."""
    x, slot = g.arg(step, 0), g.slot(step, 0)
    ndim, dtype, count = len(g.shape(slot)), _result(g, step), len(step.attrs)
    for k, table in enumerate(step.attrs):
        axis = ndim - count + k
        matrix = np.zeros((table["size"], len(table["starts"]) - 1), dtype)
        for o in range(matrix.shape[1]):
            for i, weight in table["entries"][table["starts"][o] : table["starts"][o + 1]]:
                matrix[i, o] += weight
        perm = [*(a for a in range(ndim) if a != axis), axis]
        y = g.op("MatMul", g.transpose(x, perm), g.const(matrix))
        x = g.transpose(y, [perm.index(a) for a in range(ndim)])
    return x


def _pick(g: _Graph, step: _Step) -> str:
    """Padding: places of each of the last axes, or a number where there is none."""
    x, slot, places = g.arg(step, 0), g.slot(step, 0), step.attrs["places"]
    ndim, dtype = len(g.shape(slot)), _result(g, step)
    for k, at in enumerate(places):
        axis = ndim - len(places) + k
        inside = [p for p in at if p is not None]
        first = next((i for i, p in enumerate(at) if p is not None), len(at))
        if at[first : first + len(inside)] != inside:
            raise NotImplementedError(f"onnx.export: {step} leaves out places between others")
        if inside != list(range(g.shape(slot)[axis])):
            x = g.op("Gather", x, g.ints(inside), axis=axis)
        if len(inside) < len(at):
            pads = g.ints([first, len(at) - first - len(inside)])
            x = g.op("Pad", x, pads, g.const(float(step.attrs["fill"]), dtype), g.ints([axis]))
    return x


# ---- reductions and normalisation ----

_REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


def _reduce(g: _Graph, step: _Step) -> str:
    x = g.arg(step, 0, _result(g, step))
    return str(
        g.op(_REDUCE[step.name], x, g.ints(step.attrs["axes"]), keepdims=int(step.attrs["keepdims"]), noop_with_empty_axes=1)
    )


def _any_all(g: _Graph, step: _Step) -> str:
    x = g.cast(g.arg(step, 0, np.bool_), np.int32)
    kind = "ReduceMax" if step.name == "any" else "ReduceMin"
    y = g.op(kind, x, g.ints(step.attrs["axes"]), keepdims=int(step.attrs["keepdims"]), noop_with_empty_axes=1)
    return g.cast(y, np.bool_)


def _arg_reduce(g: _Graph, step: _Step) -> str:
    x, axes, keep = g.arg(step, 0), step.attrs["axes"], step.attrs["keepdims"]
    shape, out = g.shape(g.slot(step, 0)), step.out
    kind = "ArgMax" if step.name == "argmax" else "ArgMin"
    if len(axes) == 1:
        return str(g.op(kind, x, axis=axes[0], keepdims=int(keep)))
    if sorted(axes) != list(range(len(shape))):
        raise NotImplementedError(f"onnx.export: {step} works over several axes, which ONNX does not")
    return g.reshape(g.op(kind, g.reshape(x, [-1]), axis=0, keepdims=1), g.shape(out))


def _variance(g: _Graph, step: _Step) -> str:
    x, a, dtype = g.arg(step, 0, _result(g, step)), step.attrs, _result(g, step)
    shape, axes = g.shape(g.slot(step, 0)), g.ints(step.attrs["axes"])
    off = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1, noop_with_empty_axes=1))
    total = g.op("ReduceSum", g.op("Mul", off, off), axes, keepdims=int(a["keepdims"]), noop_with_empty_axes=1)
    divisor = max(math.prod(shape[i] for i in a["axes"]) - a["correction"], 0)
    out = g.op("Div", total, g.const(divisor, dtype))
    return str(g.op("Sqrt", out) if step.name == "std" else out)


def _center(g: _Graph, step: _Step) -> str:
    x = g.arg(step, 0)
    return str(g.op("Sub", x, g.op("ReduceMean", x, g.ints(step.attrs["axes"]), keepdims=1, noop_with_empty_axes=1)))


def _softmax(g: _Graph, step: _Step) -> str:
    x, axes = g.arg(step, 0, _result(g, step)), step.attrs["axes"]
    kind = "Softmax" if step.name == "softmax" else "LogSoftmax"
    if len(axes) == 1:
        return str(g.op(kind, x, axis=axes[0]))
    sums = g.op("ReduceLogSumExp", x, g.ints(axes), keepdims=1, noop_with_empty_axes=1)
    out = g.op("Sub", x, sums)
    return str(g.op("Exp", out) if step.name == "softmax" else out)


def _logsumexp(g: _Graph, step: _Step) -> str:
    x, a = g.arg(step, 0, _result(g, step)), step.attrs
    return str(g.op("ReduceLogSumExp", x, g.ints(a["axes"]), keepdims=int(a["keepdims"]), noop_with_empty_axes=1))


def _norm(g: _Graph, step: _Step) -> str:
    order, a = float(step.attrs["ord"]), step.attrs
    kinds = {1.0: "ReduceL1", 2.0: "ReduceL2", math.inf: "ReduceMax", -math.inf: "ReduceMin"}
    if order not in kinds:
        raise NotImplementedError(f"onnx.export: {step} is a norm of order {order}; ONNX has 1, 2 and infinity")
    x = g.arg(step, 0, _result(g, step))
    x = g.op("Abs", x) if math.isinf(order) else x
    return str(g.op(kinds[order], x, g.ints(a["axes"]), keepdims=int(a["keepdims"]), noop_with_empty_axes=1))


def _cumsum(g: _Graph, step: _Step) -> str:
    x, axis = g.arg(step, 0, _result(g, step)), g.const(step.attrs["axis"], np.int64)
    return str(g.op("CumSum", x, axis, reverse=int(step.attrs["reverse"])))


def _remainder(g: _Graph, step: _Step) -> str:
    dtype = _result(g, step)
    a, b = (g.arg(step, i, dtype) for i in range(2))
    if dtype.kind in "iu":
        return str(g.op("Mod", a, b))
    return str(g.op("Sub", a, g.op("Mul", g.op("Floor", g.op("Div", a, b)), b)))


def _floor_divide(g: _Graph, step: _Step) -> str:
    dtype = _result(g, step)
    a, b = (g.arg(step, i, dtype) for i in range(2))
    if dtype.kind in "iu":  # ONNX divides integers towards zero
        return str(g.op("Div", g.op("Sub", a, g.op("Mod", a, b)), b))
    return str(g.op("Floor", g.op("Div", a, b)))


def _normalize(g: _Graph, step: _Step) -> str:
    """Layer, group, instance and RMS normalisation: rows of neighbours, then a weight and a bias for each channel."""
    a, dtype, out = step.attrs, _result(g, step), step.out
    x = g.reshape(g.arg(step, 0, dtype), [-1, a["row"]])
    if a["centered"]:
        x = g.op("Sub", x, g.op("ReduceMean", x, g.ints([1]), keepdims=1))
    mean = g.op("ReduceMean", g.op("Mul", x, x), g.ints([1]), keepdims=1)
    x = g.op("Div", x, g.op("Sqrt", g.op("Add", mean, g.const(a["eps"], dtype))))
    if len(step.inputs) > 1:
        x = g.reshape(x, [-1, a["groups"], a["row"] // a["span"], a["span"]])
        for kind, i in (("Mul", 1), ("Add", 2)):
            if i < len(step.inputs):
                x = g.op(kind, x, g.reshape(g.arg(step, i, dtype), [1, a["groups"], a["row"] // a["span"], 1]))
    return g.reshape(x, g.shape(out))


def _attention(g: _Graph, step: _Step) -> str:
    q, k, v = (g.arg(step, i) for i in range(3))
    dtype, shape, keys = _result(g, step), g.shape(g.slot(step, 0)), g.shape(g.slot(step, 1))[-2]
    n = len(shape)
    scores = g.op("MatMul", g.op("Mul", q, g.const(step.attrs["scale"], dtype)), g.transpose(k, [*range(n - 2), n - 1, n - 2]))
    if len(step.inputs) > 3:
        scores = g.op("Add", scores, g.arg(step, 3, dtype))
    if step.attrs["causal"]:
        scores = g.op("Add", scores, g.const(np.triu(np.full((shape[-2], keys), -np.inf), 1), dtype))
    return str(g.op("MatMul", g.op("Softmax", scores, axis=-1), v))


# ---- recurrent layers ----


def _lstm(g: _Graph, step: _Step) -> list[str]:
    z, w, h, c = (g.arg(step, i) for i in range(4))
    steps, _, width = g.shape(g.slot(step, 0))
    turned, sizes, outs = g.transpose(w, [1, 0]), g.ints([width // 4] * 4), []
    for t in range(steps):
        at = g.op("Gather", z, g.const(t, np.int64), axis=0)
        i, f, n, o = g.op("Split", g.op("Add", at, g.op("MatMul", h, turned)), sizes, outputs=4, axis=1)
        c = g.op("Add", g.op("Mul", g.op("Sigmoid", f), c), g.op("Mul", g.op("Sigmoid", i), g.op("Tanh", n)))
        h = g.op("Mul", g.op("Sigmoid", o), g.op("Tanh", c))
        outs.append(g.op("Unsqueeze", h, g.ints([0])))
    return [g.op("Concat", *outs, axis=0), c]


def _gru(g: _Graph, step: _Step) -> list[str]:
    z, w, bias, h = (g.arg(step, i) for i in range(4))
    steps, _, width = g.shape(g.slot(step, 0))
    turned, sizes, outs = g.transpose(w, [1, 0]), g.ints([width // 3] * 3), []
    one = g.const(1.0, _result(g, step))
    for t in range(steps):
        at = g.op("Split", g.op("Gather", z, g.const(t, np.int64), axis=0), sizes, outputs=3, axis=1)
        by = g.op("Split", g.op("Add", g.op("MatMul", h, turned), bias), sizes, outputs=3, axis=1)
        reset, keep = (g.op("Sigmoid", g.op("Add", at[k], by[k])) for k in (0, 1))
        new = g.op("Tanh", g.op("Add", at[2], g.op("Mul", reset, by[2])))
        h = g.op("Add", g.op("Mul", g.op("Sub", one, keep), new), g.op("Mul", keep, h))
        outs.append(g.op("Unsqueeze", h, g.ints([0])))
    return [g.op("Concat", *outs, axis=0)]


# ---- shapes and indices ----


def _to_shape(g: _Graph, step: _Step) -> str:
    out = step.out
    return g.reshape(g.arg(step, 0), g.shape(out))


def _broadcast(g: _Graph, step: _Step) -> str:
    return str(g.op("Expand", g.arg(step, 0), g.ints(step.attrs["shape"])))


def _expand_reduced(g: _Graph, step: _Step) -> str:
    shape, axes = step.attrs["shape"], step.attrs["axes"]
    kept = [1 if i in axes else n for i, n in enumerate(shape)]
    return str(g.op("Expand", g.reshape(g.arg(step, 0), kept), g.ints(shape)))


def _sum_to(g: _Graph, step: _Step) -> str:
    shape, target = g.shape(g.slot(step, 0)), step.attrs["shape"]
    lead = len(shape) - len(target)
    axes = [i for i in range(len(shape)) if i < lead or shape[i] != target[i - lead]]
    return g.reshape(g.op("ReduceSum", g.arg(step, 0), g.ints(axes), keepdims=1, noop_with_empty_axes=1), target)


def _flip(g: _Graph, step: _Step) -> str:
    axes = step.attrs["axes"]
    k = len(axes)
    return str(g.op("Slice", g.arg(step, 0), g.ints([-1] * k), g.ints([-(2**62)] * k), g.ints(axes), g.ints([-1] * k)))


def _roll(g: _Graph, step: _Step) -> str:
    x, shape = g.arg(step, 0), g.shape(g.slot(step, 0))
    for axis, by in step.attrs["turns"]:
        x = g.op("Gather", x, g.const((np.arange(shape[axis]) - by) % max(shape[axis], 1)), axis=axis)
    return x


def _bits(g: _Graph, step: _Step) -> str:
    """Operations on bits, of truth values alone."""
    if _result(g, step).kind != "b":
        raise NotImplementedError(f"onnx.export: {step} works on the bits of integers; the exporter knows truth values only")
    kind = {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "bitwise_invert": "Not"}[step.name]
    return str(g.op(kind, *(g.arg(step, i, np.bool_) for i in range(len(step.inputs)))))


def _concat(g: _Graph, step: _Step) -> str:
    dtype = _result(g, step)
    return str(g.op("Concat", *(g.arg(step, i, dtype) for i in range(len(step.inputs))), axis=step.attrs["axis"]))


def _stack(g: _Graph, step: _Step) -> str:
    axis, dtype = step.attrs["axis"], _result(g, step)
    parts = [g.op("Unsqueeze", g.arg(step, i, dtype), g.ints([axis])) for i in range(len(step.inputs))]
    return str(g.op("Concat", *parts, axis=axis))


def _split(g: _Graph, step: _Step) -> list[str]:
    bounds, axis = step.attrs["bounds"], step.attrs["axis"]
    x, axes = g.arg(step, 0), g.ints([axis])
    return [g.op("Slice", x, g.ints([a]), g.ints([b]), axes) for a, b in itertools.pairwise(bounds)]


def _unstack(g: _Graph, step: _Step) -> list[str]:
    x, axis = g.arg(step, 0), step.attrs["axis"]
    return [g.op("Gather", x, g.const(i, np.int64), axis=axis) for i in range(len(step.outputs))]


def _by_index(g: _Graph, step: _Step, layout: dict[str, Any], start: int) -> str:
    """Elements of a row-major value by their places."""
    at = np.full(layout["shape"], start, np.int64)
    for axis, (n, stride) in enumerate(zip(layout["shape"], layout["strides"], strict=True)):
        at += (np.arange(n) * stride).reshape([-1 if i == axis else 1 for i in range(len(layout["shape"]))])
    return str(g.op("Gather", g.reshape(g.arg(step, 0), [-1]), g.const(at), axis=0))


def _row_major(shape: list[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def _getitem(g: _Graph, step: _Step) -> str:
    x, shape, out = g.arg(step, 0), g.shape(g.slot(step, 0)), step.out
    if "Diagonal" in step.attrs:
        offset, axes = step.attrs["Diagonal"]["offset"], step.attrs["Diagonal"]["axes"]
        steps = _row_major(shape)
        kept = [i for i in range(len(shape)) if i not in axes]
        start = -offset * steps[axes[0]] if offset < 0 else offset * steps[axes[1]]
        strides = [*(steps[i] for i in kept), steps[axes[0]] + steps[axes[1]]]
        return _by_index(g, step, {"shape": g.shape(out), "strides": strides}, start)
    cuts = [
        (axis, c)
        for axis, c in enumerate(step.attrs["Region"]["cuts"])
        if (c["start"], c["count"]) != (0, shape[axis]) or c["step"] != 1
    ]
    if cuts:
        ends = [c["start"] + c["count"] * c["step"] for _, c in cuts]
        ends = [-(2**62) if e < 0 else e for e in ends]
        x = g.op(
            "Slice",
            x,
            g.ints(c["start"] for _, c in cuts),
            g.ints(ends),
            g.ints(a for a, _ in cuts),
            g.ints(c["step"] for _, c in cuts),
        )
    return g.reshape(x, g.shape(out))


def _view(g: _Graph, step: _Step) -> str:
    layout, start = step.body
    return _by_index(g, step, layout, start)


def _part(g: _Graph, step: _Step) -> str:
    layout = step.attrs["map"]
    return _by_index(g, step, layout, layout["offset"])


def _gather(g: _Graph, step: _Step) -> str:
    """Blocks at row numbers, which count some axes together."""
    a = step.attrs
    x, rows, shape, axes = g.arg(step, 0), g.arg(step, 1, np.int64), a["shape"], list(a["axes"])
    kept = [i for i in range(len(shape)) if i not in axes]
    x = g.transpose(x, [*axes, *kept])
    x = g.reshape(x, [math.prod(shape[i] for i in axes), *(shape[i] for i in kept)])
    y, n, place = g.op("Gather", x, rows, axis=0), len(g.shape(g.slot(step, 1))), a["place"]
    # The axes of the row numbers stand in front, and go behind the first `place` of the others.
    return g.transpose(y, [*range(n, n + place), *range(n), *range(n + place, n + len(kept))])


def _positions(g: _Graph, step: _Step) -> str:
    index = g.arg(step, 0, np.int64)
    wrapped = g.op("Add", index, g.const(step.attrs["size"], np.int64))
    return str(g.op("Where", g.op("Less", index, g.const(0, np.int64)), wrapped, index))


def _at_positions(g: _Graph, step: _Step) -> str:
    return str(g.op("GatherElements", g.arg(step, 0), g.arg(step, 1, np.int64), axis=step.attrs["axis"]))


_RULES: dict[str, Callable[[_Graph, _Step], Any]] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **{name: _formula(f) for name, f in _FORMULAS.items()},
    **dict.fromkeys(("matmul", "linear", "vecdot", "dot", "inner", "outer"), _product),
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(("any", "all"), _any_all),
    **dict.fromkeys(("argmax", "argmin"), _arg_reduce),
    **dict.fromkeys(("var", "std"), _variance),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("reshape", "expand_dims", "squeeze"), _to_shape),
    **dict.fromkeys(("astype", "cast"), lambda g, s: g.cast(g.arg(s, 0), s.attrs["dtype"])),
    "diagonal": _getitem,
    **dict.fromkeys(("take", "take_along_axis", "gather", "embedding", "repeat"), _gather),
    "not_equal": _not_equal,
    "where": _where,
    "convolution": _convolution,
    "conv_transpose": _transposed,
    "max_pool": _max_pool,
    "resample": _resample,
    "pick": _pick,
    "center": _center,
    "logsumexp": _logsumexp,
    "normalize_rows": _normalize,
    "vector_norm": _norm,
    "cumsum": _cumsum,
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "scaled_dot_product_attention": _attention,
    "lstm": _lstm,
    "gru": _gru,
    "broadcast_to": _broadcast,
    "expand_reduced": _expand_reduced,
    "sum_to": _sum_to,
    "permute_dims": lambda g, s: g.transpose(g.arg(s, 0), s.attrs["axes"]),
    "flip": _flip,
    "roll": _roll,
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"), _bits),
    "concat": _concat,
    "stack": _stack,
    "split": _split,
    "unstack": _unstack,
    "view": _view,
    "positions": _positions,
    "at_positions": _at_positions,
}


def _one_hot(g: _Graph, step: _Step) -> str:
    depth = g.shape(step.out)[-1]
    return str(g.op("OneHot", g.arg(step, 0, np.int64), g.const(depth), g.const([0, 1])))


# Computations that are not primitives.
_COMPUTATIONS: dict[str, Callable[[_Graph, _Step], Any]] = {
    "OneHot": _one_hot,
    # Runtimes check no elements: a check without a result is left out.
    **dict.fromkeys(("AllTrue", "InsidePlane", "Probabilities"), lambda g, s: []),
}


def _rule_of(step: _Step) -> Any:
    if step.kind == "rule":
        return None
    if step.kind == "compute":
        return _COMPUTATIONS.get(step.name)
    # Several primitives are called getitem, each with attributes of its own.
    if step.name.startswith("getitem"):
        return _gather if "axes" in step.attrs else _part if "map" in step.attrs else _getitem
    return _RULES.get(step.name)


def _run(g: _Graph, step: _Step) -> None:
    rule = _rule_of(step)
    if rule is None:
        raise NotImplementedError(f"onnx.export: {step} has no counterpart in the exporter; see the guide for what there is")
    if any(slot is not None and g.dtype(slot).kind == "c" for slot in step.outputs):
        raise NotImplementedError(f"onnx.export: {step} makes complex numbers, which ONNX does not compute with")
    made = rule(g, step)
    made = made if isinstance(made, list) else [made]
    for slot, name in zip(step.outputs, made, strict=False):
        if slot is not None:
            g.names[slot] = name
    if any(slot is not None for slot in step.outputs[len(made) :]):
        raise NotImplementedError(f"onnx.export: a hidden result of {step} is used")


def _ends(g: _Graph) -> tuple[list[Any], list[Any]]:
    """The inputs and the results of the model."""
    info = g.helper.make_tensor_value_info
    kind = g.helper.np_dtype_to_tensor_dtype
    inputs = {s["input"][1]: s["input"][0] for s in g.text["sources"] if "input" in s}
    ins = [info(f"input_{i}", kind(g.dtype(slot)), g.shape(slot)) for i, slot in sorted(inputs.items())]
    outs = []
    for i, slot in enumerate(g.text["outputs"]):
        g.nodes.append(g.helper.make_node("Identity", [g.names[slot]], [f"output_{i}"]))
        outs.append(info(f"output_{i}", kind(g.dtype(slot)), g.shape(slot)))
    return ins, outs


def export(program: Program, path: Any = None) -> Any:
    """An ONNX model of a program: the same function for inference, with present values of parameters and buffers as constants.

    Inputs are named ``input_0``, ``input_1``, … in the order of the Variables among the program's arguments, results
    ``output_0`` and so on. Shapes are those of the recording. The model is written to ``path`` if there is one, and returned.
    Models of float32 run everywhere; runtimes lack some kernels for float64.

    Raises ImportError when the package ``onnx`` is missing, ValueError for a program that changes state or draws random
    numbers, and NotImplementedError for a primitive that the exporter does not know: the message names it.
    """
    onnx = _library()
    core = program.freeze()._core
    text, constants = core.describe()
    g = _Graph(onnx, json.loads(text), {slot: np.asarray(v.numpy()) for slot, v in constants})
    for source in g.text["sources"]:
        if "input" in source:
            g.names[source["input"][0]] = f"input_{source['input'][1]}"
    for number, step in enumerate(g.text["steps"]):
        _run(g, _Step(number, step))
    inputs, outputs = _ends(g)
    graph = onnx.helper.make_graph(g.nodes, "tapegrad", inputs, outputs, g.tensors)
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, producer_name="tapegrad", opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model)
    if path is not None:
        from .serialization import _replacing

        with _replacing(Path(os.fspath(path))) as new:
            new.write_bytes(model.SerializeToString())
    return model
