"""Helpers of distributions, for distributions of your own, too: broadcasting of parameters, probabilities and logits."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from numbers import Number
from typing import Any

from .. import _core
from .._arrays import broadcast_shapes
from .._core import Variable
from .._dtypes import finfo, inexacts
from .._special import log_expit

euler_constant = 0.57721566490153286060

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "euler_constant",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]


def _is_number(x: Any) -> bool:
    return isinstance(x, Number) and not hasattr(x, "dtype")


def as_floating(x: Any, dtype: Any = None) -> Any:
    """An array of a floating dtype; lists of numbers, integers and booleans get the given one, or the default."""
    if isinstance(x, Variable) and x.dtype.is_floating_point:
        return x
    return all_floating(x)[0] if dtype is None else all_floating(x, _core.zeros(0, dtype=dtype))[0]


def all_floating(*values: Any) -> list[Variable]:
    """Arrays of floating dtypes; numbers, lists of numbers, integers and booleans get that of the arrays beside them."""
    try:
        found = inexacts(*values)
    except TypeError as error:
        raise TypeError(f"distributions: parameters and values are numbers or arrays: {error}") from None
    for x in found:
        if x.dtype.is_complex:
            raise _core.DTypeError(f"distributions: parameters and values are real, got {x.dtype}; take their real parts")
    return found


class _Recent(threading.local):
    """The last parameters that were made of Python numbers, and these: a distribution finds its own when it is made."""

    def __init__(self) -> None:
        # Weak references: a program that is recorded may not leave Variables behind.
        self.pairs: deque[tuple[weakref.ref[Variable], float]] = deque(maxlen=8)


_recent = _Recent()


def exact_numbers(found: dict[str, Any]) -> dict[str, float]:
    """The Python numbers that all of the given Variables were made of, by name; nothing if one of them was not."""
    out = {}
    for name, value in found.items():
        if isinstance(value, Variable):
            number = next((n for v, n in _recent.pairs if v() is value), None)
            if number is None:
                return {}
            out[name] = number
    return out


def common(values: Any) -> list[Variable]:
    """Values as arrays of one floating dtype, which numbers take from the arrays."""
    arrays = all_floating(*(v for v in values if not _is_number(v)))
    dtype = _core.get_default_dtype()
    if arrays:
        dtype = arrays[0].dtype if len({a.dtype for a in arrays}) == 1 else _core.result_type(*arrays)
    out, rest = [], iter(arrays)
    for v in values:
        if _is_number(v):
            number = float(_core._number("distributions", "a parameter", v))
            out.append(_core.asarray(number, dtype=dtype))
            if not arrays:
                _recent.pairs.append((weakref.ref(out[-1]), number))
        else:
            a = next(rest)
            out.append(a if a.dtype == dtype else a.astype(dtype))
    return out


def broadcast_all(*values: Any) -> tuple[Variable, ...]:
    """Numbers and arrays as arrays of one floating dtype and one shape.

    >>> loc, scale = tg.distributions.utils.broadcast_all(tg.zeros((2,)), 1.0)
    >>> scale.tolist()
    [1.0, 1.0]
    """
    found = common(values)
    shapes = {v.shape for v in found}
    if len(shapes) == 1:
        return tuple(found)
    try:
        shape = broadcast_shapes(*shapes)
    except ValueError:
        texts = ", ".join(str(v.shape) for v in found)
        raise _core.ShapeError(
            f"distributions: parameters of shapes {texts} do not broadcast; give them shapes that do"
        ) from None
    return tuple(v if v.shape == shape else _core.broadcast_to(v, shape) for v in found)


def clamp_probs(probs: Variable) -> Variable:
    """Probabilities kept away from 0 and 1 by one unit of rounding.

    >>> bool(tg.distributions.utils.clamp_probs(tg.tensor([0.0, 1.0]))[0] > 0.0)
    True
    """
    eps = float(finfo(probs.dtype).eps)
    return _core.clip(probs, eps, 1.0 - eps)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Variable:
    """Probabilities from log-odds (binary), or from logarithms along the last axis.

    >>> tg.distributions.utils.logits_to_probs(tg.Variable([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    return _core.sigmoid(logits) if is_binary else _core.softmax(logits, axis=-1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Variable:
    """Log-odds (binary), or logarithms, of probabilities. 0 and 1 give infinite ones.

    >>> tg.distributions.utils.probs_to_logits(tg.Variable([0.5]), is_binary=True).tolist()
    [0.0]
    """
    return _core.log(probs) - _core.log1p(-probs) if is_binary else _core.log(probs)


class lazy_property:
    """A property that is computed at its first use, with recording on, and kept.

    As PyTorch's: for distributions of your own whose parameters have two forms.
    """

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        from ..autograd import enable_grad

        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat: Variable, diag: int = 0) -> Variable:
    """The lower triangles of matrices up to a diagonal, row by row, as vectors.

    >>> tg.distributions.utils.tril_matrix_to_vec(tg.tensor([[1.0, 0.0], [2.0, 3.0]]))
    Variable([1., 2., 3.])
    """
    import numpy as np

    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"tril_matrix_to_vec: diag is {diag}, expected {-n} to {n - 1}")
    rows, columns = np.tril_indices(n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Variable, diag: int = 0) -> Variable:
    """Lower triangles from vectors: the inverse of `tril_matrix_to_vec`.

    >>> tg.distributions.utils.vec_to_tril_matrix(tg.tensor([1.0, 2.0, 3.0]))
    Variable([[1., 0.],
              [2., 3.]])
    """
    import numpy as np

    count = vec.shape[-1]
    n = round((-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2)
    rows, columns = np.tril_indices(n, diag)
    if len(rows) != count:
        raise ValueError(f"vec_to_tril_matrix: {count} elements are no lower triangle up to the diagonal {diag}")
    # Each place of the matrix takes its element, or the zero behind the last one.
    at = np.full((n, n), count)
    at[rows, columns] = np.arange(count)
    padded = _core.concat([vec, _core.zeros((*vec.shape[:-1], 1), dtype=vec.dtype)], axis=-1)
    return _core.take(padded, at.ravel(), axis=-1).reshape(*vec.shape[:-1], n, n)


# ---- formulas that several families share ----


def outside(inside: Any, log_prob: Variable, value: Variable | None = None) -> Variable:
    """The logarithm of a density: -inf, with a gradient of zero, where a value is not in the support; NaN where it is NaN."""
    beyond: Any = -float("inf")
    if value is not None:
        beyond = _core.where(_core.isnan(value), float("nan"), beyond)
    return _core.where(inside, log_prob, beyond)


def log1p_square(z: Variable, small: bool = False) -> Variable:
    """log(1 + z²) for z of any size; ``small`` says that the squares are in range."""
    if small:
        return _core.log1p(_core.square(z))
    large = 1e15 if z.dtype == _core.float64 else 1e7
    far = _core.abs(z) > large
    near = _core.log1p(_core.square(_core.where(far, 0.0, z)))
    return _core.where(far, 2.0 * _core.log(_core.abs(_core.where(far, z, 1.0))), near)


def one_hot_max(x: Variable) -> Variable:
    """1 for the first largest class of the last axis and 0 for the others, without reading elements."""
    return (_core.argmax(x, axis=-1, keepdims=True) == _core.arange(x.shape[-1])).astype(x.dtype)


def log1mexp(x: Variable) -> Variable:
    """log(1 - exp(x)) for x ≤ 0 (Mächler 2012)."""
    return _core.where(x > -0.6931471805599453, _core.log(-_core.expm1(x)), _core.log1p(-_core.exp(x)))


def binary_entropy(logits: Variable, probs: Variable) -> Variable:
    """-p log p - (1 - p) log(1 - p), from log-odds and p."""
    return -(_zero_safe(probs, log_expit(logits)) + _zero_safe(1.0 - probs, log_expit(-logits)))


def _zero_safe(p: Variable, log: Variable) -> Variable:
    """p times a logarithm, 0 where p is 0."""
    return p * _core.where(p > 0, log, 0.0)


def open_unit(generator: Any, shape: tuple[int, ...], dtype: Any) -> Variable:
    """Uniform in the open interval (0, 1)."""
    u: Variable = generator.rand(*shape, dtype=dtype) if shape else generator.rand((), dtype=dtype)
    info = finfo(dtype)
    return _core.clip(u, float(info.smallest_normal), 1.0 - float(info.eps) / 2)
