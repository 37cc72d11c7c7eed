"""Convolution and correlation of arrays of any number of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._dtypes import inexacts
from ..fft import fftn, ifftn, irfftn, next_fast_len, rfftn

if TYPE_CHECKING:
    from collections.abc import Sequence


def _pair(name: str, in1: Any, in2: Any) -> tuple[Variable, Variable]:
    a, b = inexacts(in1, in2)
    if a.ndim != b.ndim:
        raise ShapeError(f"{name}: the arrays have {a.ndim} and {b.ndim} axes, expected as many")
    return a, b


def _mode(name: str, mode: str) -> str:
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"{name}: mode is {mode!r}, expected 'full', 'same' or 'valid'")
    return mode


def _cut(full: Variable, first: Sequence[int], second: Sequence[int], mode: str, axes: Sequence[int], name: str) -> Variable:
    """The part of a full convolution that a mode keeps."""
    if mode == "full":
        return full
    if mode == "valid" and not (all(first[a] >= second[a] for a in axes) or all(first[a] <= second[a] for a in axes)):
        raise ValueError(f"{name}: for mode='valid' one array must be at least as large as the other along every axis")
    index: list[slice] = [slice(None)] * full.ndim
    for a in axes:
        size = first[a] if mode == "same" else abs(first[a] - second[a]) + 1
        start = (full.shape[a] - size) // 2
        index[a] = slice(start, start + size)
    return full[tuple(index)]


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Variable:
    """The convolution along ``axes`` (None: all) by Fourier transforms; other axes broadcast.

    >>> tg.signal.fftconvolve(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 1.0])).round(4)
    Variable([1., 3., 2.])
    """
    a, b = _pair("fftconvolve", in1, in2)
    _mode("fftconvolve", mode)
    chosen = range(a.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    along = sorted({i % max(a.ndim, 1) for i in chosen})
    if a.ndim == 0:
        return a * b
    if a.size == 0 or b.size == 0:
        return _core.zeros((0,), dtype=a.dtype)
    sizes = [a.shape[i] + b.shape[i] - 1 for i in along]
    fast = [next_fast_len(n, True) for n in sizes]
    if a.dtype.is_complex or b.dtype.is_complex:
        out = ifftn(fftn(a, fast, along) * fftn(b, fast, along), axes=along)
    else:
        out = irfftn(rfftn(a, fast, along) * rfftn(b, fast, along), fast, along)
    index: list[slice] = [slice(None)] * out.ndim
    for i, n in zip(along, sizes, strict=True):
        index[i] = slice(0, n)
    return _cut(out[tuple(index)], a.shape, b.shape, mode, along, "fftconvolve")


oaconvolve = fftconvolve


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Variable:
    """The convolution of two arrays of as many axes. ``method`` is "auto", "direct" or "fft".

    >>> tg.signal.convolve(tg.Variable([1.0, 2.0, 3.0]), tg.Variable([1.0, 1.0]), mode="same")
    Variable([1., 3., 5.])
    """
    a, b = _pair("convolve", in1, in2)
    _mode("convolve", mode)
    if method not in ("auto", "direct", "fft"):
        raise ValueError(f"convolve: method is {method!r}, expected 'auto', 'direct' or 'fft'")
    small = a.ndim == 1 and min(a.shape[0], b.shape[0]) <= 64
    if method == "fft" or not (a.ndim == 1 and a.size and b.size and (small or method == "direct")):
        return fftconvolve(a, b, mode)
    return _cut(_core.convolve(a, b), a.shape, b.shape, mode, (0,), "convolve")


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Variable:
    """The cross-correlation: the convolution with the second array reversed and conjugated.

    >>> tg.signal.correlate(tg.Variable([1.0, 2.0, 3.0]), tg.Variable([0.0, 1.0]), mode="valid")
    Variable([2., 3.])
    """
    a, b = _pair("correlate", in1, in2)
    turned = _core.flip(_core.conj(b) if b.dtype.is_complex else b)
    if mode == "valid" and all(n <= m for n, m in zip(a.shape, b.shape, strict=True)) and a.shape != b.shape:
        # SciPy swaps the arrays, and reverses the result.
        out = correlate(b, a, mode, method)
        return _core.flip(_core.conj(out) if out.dtype.is_complex else out)
    return convolve(a, turned, mode, method)


def correlation_lags(in1_len: int, in2_len: int, mode: str = "full") -> Variable:
    """The lags of the results of :func:`correlate` for vectors.

    >>> tg.signal.correlation_lags(3, 2)
    Variable([-1,  0,  1,  2])
    """
    _mode("correlation_lags", mode)
    lags = np.arange(-in2_len + 1, in1_len)
    if mode == "same":
        middle, half = lags.size // 2, in1_len // 2
        lags = lags[middle - half : middle + half + in1_len % 2]
    elif mode == "valid":
        lags = np.arange(in1_len - in2_len + 1) if in1_len >= in2_len else np.arange(in1_len - in2_len, 1)
    return _core.asarray(lags)


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0.0) -> Variable:
    """The convolution of two images. The border is filled with a number, or ``boundary`` is "wrap" or "symm".

    >>> tg.signal.convolve2d(tg.ones((2, 2)), tg.ones((1, 2)), mode="same")
    Variable([[1., 2.],
              [1., 2.]])
    """
    a, b = _pair("convolve2d", in1, in2)
    _mode("convolve2d", mode)
    if a.ndim != 2:
        raise ShapeError(f"convolve2d: expected matrices, got shapes {a.shape} and {b.shape}")
    if boundary not in ("fill", "wrap", "symm"):
        raise ValueError(f"convolve2d: boundary is {boundary!r}, expected 'fill', 'wrap' or 'symm'")
    if mode == "valid" and b.shape[0] >= a.shape[0] and b.shape[1] >= a.shape[1]:
        a, b = b, a
    if mode == "valid" or (boundary == "fill" and fillvalue == 0):
        return convolve(a, b, mode)
    before = [n - 1 for n in b.shape]
    options: dict[str, dict[str, Any]] = {
        "fill": {"mode": "constant", "constant_values": fillvalue},
        "wrap": {"mode": "wrap"},
        "symm": {"mode": "symmetric"},
    }
    wide = _core.pad(a, [(n, n) for n in before], **options[boundary])
    return _cut(convolve(wide, b, "valid"), a.shape, b.shape, mode, (0, 1), "convolve2d")


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0.0) -> Variable:
    """The cross-correlation of two images: see :func:`convolve2d`.

    >>> tg.signal.correlate2d(tg.ones((2, 2)), tg.Variable([[0.0, 1.0]]), mode="valid")
    Variable([[1.],
              [1.]])
    """
    a, b = _pair("correlate2d", in1, in2)
    if mode == "valid" and a.ndim == 2 and b.shape[0] >= a.shape[0] and b.shape[1] >= a.shape[1] and a.shape != b.shape:
        out = correlate2d(b, a, mode)
        return _core.flip(_core.conj(out) if out.dtype.is_complex else out)
    turned = _core.flip(_core.conj(b) if b.dtype.is_complex else b)
    if mode != "same" or all(n % 2 for n in b.shape):
        return convolve2d(a, turned, mode, boundary, fillvalue)
    # The middle of an even kernel is on its other side, as SciPy has it.
    full = convolve2d(a, turned, "full", boundary, fillvalue)
    start = [n - 1 - (n - 1) // 2 for n in b.shape]
    return full[start[0] : start[0] + a.shape[0], start[1] : start[1] + a.shape[1]]
