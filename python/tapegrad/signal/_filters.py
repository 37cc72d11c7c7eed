"""Filters along an axis: recursive ones, smoothing, trends, analytic signals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._dtypes import inexact, inexacts
from .._habits import axis_of
from ..fft import fft, ifft
from ..linalg import inv, solve

#: The number of samples that a recursive filter computes at once, by one triangular matrix.
_BLOCK = 128


def _normalised(name: str, b: Variable, a: Variable, x: Variable) -> tuple[Variable, Variable]:
    """Coefficients as vectors in the dtype of the signal, the first of the denominator 1."""
    b, a = _core.atleast_1d(b), _core.atleast_1d(a)
    if b.ndim != 1 or a.ndim != 1 or a.size == 0 or b.size == 0:
        raise ShapeError(f"{name}: expected vectors of coefficients, got shapes {b.shape} and {a.shape}")
    dtype = x.dtype if not (b.dtype.is_complex or a.dtype.is_complex) else _core.result_type(x, b, a)
    b, a = b.astype(dtype), a.astype(dtype)
    return b / a[0], a / a[0]


def _delayed(values: Variable, rows: int, columns: int, shift: int = 0) -> Variable:
    """The Toeplitz matrix with ``values[i - j + shift]`` in row i and column j, zero outside."""
    place = np.arange(rows)[:, None] - np.arange(columns) + shift
    inside = (place >= 0) & (place < values.shape[0])
    picked = _core.take(values, np.clip(place, 0, values.shape[0] - 1))
    return _core.where(inside, picked, _core.zeros((), dtype=values.dtype))


def _forced(b: Variable, x: Variable) -> Variable:
    """The convolution of b with x along the last axis, cut to its length."""
    n = x.shape[-1]
    out = b[0] * x
    for k in range(1, min(b.shape[0], n)):
        late = b[k] * x[..., : n - k]
        out = out + _core.concat([_core.zeros((*x.shape[:-1], k), dtype=late.dtype), late], axis=-1)
    return out


def _recursive(a: Variable, u: Variable) -> Variable:
    """y with y[n] = u[n] - Σ a[k] y[n - k], block by block."""
    p, n = a.shape[0] - 1, u.shape[-1]
    if p == 0:
        return u
    size = min(n, max(_BLOCK, p))
    inverse = inv(_delayed(a, size, size))
    # What the last p outputs of the block before contribute, subtracted from the inputs of this block.
    memory = _delayed(a, size, p, p)
    parts: list[Variable] = []
    before: Variable | None = None
    for start in range(0, n, size):
        block = u[..., start : start + size]
        m = block.shape[-1]
        if before is not None:
            block = block - before @ memory[:m].mT
        y = block @ inverse[:m, :m].mT
        parts.append(y)
        before = y[..., m - p :] if m >= p else None
    return _core.concat(parts, axis=-1)


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """The output of the filter with numerator ``b`` and denominator ``a`` along an axis; with ``zi`` a pair with the last state.

    It is differentiable by the coefficients, the signal and the state. Sums are taken in blocks, so it takes matrix products
    rather than a loop over samples.

    >>> tg.signal.lfilter([1.0], [1.0, -0.5], tg.Variable([1.0, 0.0, 0.0]))
    Variable([1.  , 0.5 , 0.25])
    """
    b, a, x, *states = inexacts(b, a, x) if zi is None else inexacts(b, a, x, zi)
    b, a = _normalised("lfilter", b, a, x)
    x = _core.moveaxis(x.astype(b.dtype), axis, -1)
    n, order = x.shape[-1], max(a.shape[0], b.shape[0]) - 1
    u = _forced(b, x)
    if not states:
        return _core.moveaxis(_recursive(a, u) if n else u, -1, axis)
    state = _core.moveaxis(states[0].astype(b.dtype), axis, -1)
    if state.shape[-1] != order:
        raise ShapeError(f"lfilter: zi has {state.shape[-1]} entries along the axis, expected {order}")
    state = _core.broadcast_to(state, (*x.shape[:-1], order))
    m = min(order, n)
    u = u + _core.concat([state[..., :m], _core.zeros((*x.shape[:-1], n - m), dtype=b.dtype)], axis=-1)
    y = _recursive(a, u) if n else u
    return _core.moveaxis(y, -1, axis), _core.moveaxis(_last_state(b, a, x, y, state), -1, axis)


def _last_state(b: Variable, a: Variable, x: Variable, y: Variable, state: Variable) -> Variable:
    """The state behind the last sample: z[i] = Σ over k > i of b[k] x[n - k + i] - a[k] y[n - k + i], and what is left of zi."""
    order, n = state.shape[-1], x.shape[-1]
    out = []
    for i in range(order):
        total = state[..., i + n] if i + n < order else _core.zeros(state.shape[:-1], dtype=state.dtype)
        for k in range(i + 1, order + 1):
            at = n - k + i
            if at < 0:
                continue
            if k < b.shape[0]:
                total = total + b[k] * x[..., at]
            if k < a.shape[0]:
                total = total - a[k] * y[..., at]
        out.append(total)
    return _core.stack(out, axis=-1) if out else state


def lfilter_zi(b: Any, a: Any) -> Variable:
    """The state of :func:`lfilter` in the steady state for a constant input of 1.

    >>> tg.signal.lfilter_zi([1.0], [1.0, -0.5])
    Variable([1.])
    """
    b, a = inexacts(b, a)
    b, a = _normalised("lfilter_zi", b, a, _core.zeros(0, dtype=_core.result_type(b, a)))
    n = max(a.shape[0], b.shape[0])
    b, a = (_core.concat([v, _core.zeros((n - v.shape[0],), dtype=v.dtype)]) for v in (b, a))
    # The transposed companion matrix moves the state on.
    system = _core.eye(n - 1, dtype=a.dtype) - _core.concat(
        [_core.reshape(-a[1:], (n - 1, 1)), _core.eye(n - 1, n - 2, dtype=a.dtype)], axis=1
    )
    return solve(system, b[1:] - a[1:] * b[0])


def _extended(name: str, x: Variable, padtype: str | None, edge: int) -> Variable:
    """The signals, with ``edge`` samples more at both ends of the last axis."""
    n = x.shape[-1]
    if padtype not in (None, "odd", "even", "constant"):
        raise ValueError(f"{name}: padtype is {padtype!r}, expected 'odd', 'even', 'constant' or None")
    if n <= edge:
        raise ValueError(f"{name}: the axis has {n} samples, expected more than padlen = {edge}")
    if not edge:
        return x
    first, last = x[..., :1], x[..., -1:]
    left, right = _core.flip(x[..., 1 : edge + 1], axis=-1), _core.flip(x[..., n - edge - 1 : n - 1], axis=-1)
    if padtype == "odd":
        left, right = 2.0 * first - left, 2.0 * last - right
    elif padtype == "constant":
        left, right = _core.zeros_like(left) + first, _core.zeros_like(right) + last
    return _core.concat([left, x, right], axis=-1)


def filtfilt(b: Any, a: Any, x: Any, axis: int = -1, padtype: str | None = "odd", padlen: int | None = None) -> Variable:
    """The filter forward and backward, so that nothing is delayed; the ends are extended as by SciPy's method "pad".

    >>> tg.signal.filtfilt([1.0], [1.0], tg.Variable([1.0, 2.0, 3.0, 4.0]))
    Variable([1., 2., 3., 4.])
    """
    b, a, x = inexacts(b, a, x)
    coefficients = _normalised("filtfilt", b, a, x)
    x = _core.moveaxis(x, axis, -1)
    edge = 0 if padtype is None else 3 * max(v.shape[0] for v in coefficients) if padlen is None else padlen
    n = x.shape[-1]
    x = _extended("filtfilt", x, padtype, edge)
    order = max(v.shape[0] for v in coefficients) - 1
    state = lfilter_zi(*coefficients) if order else None
    for _ in range(2):
        x = lfilter(*coefficients, x, zi=state * x[..., :1])[0] if state is not None else lfilter(*coefficients, x)
        x = _core.flip(x, axis=-1)
    return _core.moveaxis(x[..., edge : edge + n], -1, axis)


def _sections(name: str, sos: Any, x: Any) -> tuple[Variable, Variable]:
    sections, out = inexacts(sos, x)
    sections = _core.atleast_2d(sections)
    if sections.ndim != 2 or sections.shape[1] != 6:
        raise ShapeError(f"{name}: sos has shape {sections.shape}, expected rows of six coefficients")
    return sections, out


def sosfiltfilt(sos: Any, x: Any, axis: int = -1, padtype: str | None = "odd", padlen: int | None = None) -> Variable:
    """The filters of :func:`sosfilt` forward and backward, so that nothing is delayed; the ends are extended as in SciPy.

    >>> tg.signal.sosfiltfilt([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]], tg.Variable([1.0, 2.0, 3.0, 4.0]), padlen=1)
    Variable([1., 2., 3., 4.])
    """
    sections, x = _sections("sosfiltfilt", sos, x)
    x = _core.moveaxis(x, axis, -1)
    numbers = sections.detach()
    idle = min(int(_core.sum(numbers[:, 2] == 0).item()), int(_core.sum(numbers[:, 5] == 0).item()))
    standard = 3 * (2 * sections.shape[0] + 1 - idle)
    edge = 0 if padtype is None else standard if padlen is None else padlen
    n = x.shape[-1]
    x = _extended("sosfiltfilt", x, padtype, edge)
    for _ in range(2):
        size = x[..., :1]
        for row in _core.unstack(sections):
            x = lfilter(row[:3], row[3:], x, zi=lfilter_zi(row[:3], row[3:]) * size)[0]
            # What a section makes of a constant is what the next one begins with.
            size = size * (_core.sum(row[:3]) / _core.sum(row[3:]))
        x = _core.flip(x, axis=-1)
    return _core.moveaxis(x[..., edge : edge + n], -1, axis)


def sosfilt(sos: Any, x: Any, axis: int = -1) -> Variable:
    """The output of filters of second order, one after the other: rows of three numerator and three denominator coefficients.

    >>> tg.signal.sosfilt([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]], tg.Variable([1.0, 0.0]))
    Variable([1. , 0.5])
    """
    sections, out = _sections("sosfilt", sos, x)
    for row in _core.unstack(sections):
        out = lfilter(row[:3], row[3:], out, axis)
    return out


def freqz(b: Any, a: Any = 1.0, worN: Any = 512, whole: bool = False, fs: float = 2 * np.pi) -> tuple[Variable, Variable]:
    """Frequencies, ``worN`` of them or those given, and the response of a filter at them.

    >>> w, h = tg.signal.freqz([1.0, 1.0], worN=2)
    >>> h[0]
    Variable(2.+0.j)
    """
    b, a = (_core.atleast_1d(v) for v in inexacts(b, a))
    if isinstance(worN, int):
        w = _core.asarray(np.linspace(0.0, 2 * np.pi if whole else np.pi, worN, endpoint=False), dtype=b.dtype.to_real())
    else:
        w = inexact(worN) * (2 * np.pi / fs)

    def at(c: Variable) -> Variable:
        phases = w[..., None] * _core.asarray(np.arange(c.shape[0]), dtype=w.dtype)
        return _core.sum(c * _core.exp(-1j * phases), axis=-1)

    return w * (fs / (2 * np.pi)), at(b) / at(a)


def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Variable:
    """The analytic signal of a real one, by its Fourier transform.

    >>> tg.signal.hilbert(tg.Variable([1.0, 0.0, -1.0, 0.0])).imag.round(4)
    Variable([ 0.,  1.,  0., -1.])
    """
    x = inexact(x)
    if x.dtype.is_complex:
        raise _core.DTypeError(f"hilbert: expected a real signal, got dtype {x.dtype}")
    n = x.shape[axis_of("hilbert", axis, x.ndim)] if N is None else N
    if n <= 0:
        raise ValueError(f"hilbert: a signal of {n} elements, expected 1 or more")
    weights = np.zeros(n)
    weights[0] = 1.0
    weights[1 : (n + 1) // 2] = 2.0
    if n % 2 == 0:
        weights[n // 2] = 1.0
    spectrum = _core.moveaxis(fft(x, n, axis), axis, -1) * _core.asarray(weights, dtype=x.dtype)
    return _core.moveaxis(ifft(spectrum), -1, axis)


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0) -> Variable:
    """The signal without its mean (``type="constant"``) or its straight line, between the break points ``bp``.

    >>> tg.signal.detrend(tg.Variable([1.0, 2.0, 3.0]), type="constant")
    Variable([-1.,  0.,  1.])
    """
    x = inexact(data)
    if type in ("constant", "c"):
        return x - _core.mean(x, axis=axis, keepdims=True)
    if type not in ("linear", "l"):
        raise ValueError(f"detrend: type is {type!r}, expected 'linear' or 'constant'")
    x = _core.moveaxis(x, axis, -1)
    n = x.shape[-1]
    ends = sorted({0, n, *(int(b) for b in np.atleast_1d(bp))})
    if ends[0] < 0 or ends[-1] > n:
        raise ValueError(f"detrend: a break point of {bp} is outside of the {n} samples")
    parts = []
    for start, end in itertools.pairwise(ends):
        m = end - start
        line = np.stack([np.ones(m), np.arange(1, m + 1) / m], axis=1)
        fit = _core.asarray(line @ np.linalg.pinv(line), dtype=x.dtype)
        part = x[..., start:end]
        parts.append(part - part @ fit.mT)
    return _core.moveaxis(_core.concat(parts, axis=-1), -1, axis)


def _smoothing(window: int, order: int, deriv: int, delta: float, at: np.ndarray, centre: float) -> np.ndarray:
    """Rows that give a derivative of the polynomial fitted to a window, at places counted from its centre."""
    powers = np.vander(np.arange(window) - centre, order + 1, increasing=True)
    fit = np.linalg.pinv(powers)
    k = np.arange(order + 1)
    factor = np.array([np.prod(np.arange(p - deriv + 1, p + 1)) if p >= deriv else 0.0 for p in k])
    values = (at - centre)[:, None] ** np.maximum(k - deriv, 0) * factor
    return np.asarray(values @ fit) / delta**deriv


def savgol_filter(
    x: Any,
    window_length: int,
    polyorder: int,
    deriv: int = 0,
    delta: float = 1.0,
    axis: int = -1,
    mode: str = "interp",
    cval: float = 0.0,
) -> Variable:
    """Smoothing, or a derivative, by polynomials fitted to windows: the filter of Savitzky and Golay.

    >>> tg.signal.savgol_filter(tg.Variable([1.0, 2.0, 5.0, 10.0, 17.0]), 3, 2).round(3)
    Variable([ 1.,  2.,  5., 10., 17.])
    """
    if polyorder >= window_length:
        raise ValueError(f"savgol_filter: polyorder is {polyorder}, expected less than window_length = {window_length}")
    modes = {"mirror": "reflect", "constant": "constant", "nearest": "edge", "wrap": "wrap", "interp": "constant"}
    if mode not in modes:
        raise ValueError(f"savgol_filter: mode is {mode!r}, expected one of {', '.join(modes)}")
    x = _core.moveaxis(inexact(x), axis, -1)
    n, half = x.shape[-1], window_length // 2
    if mode == "interp" and window_length > n:
        raise ValueError(f"savgol_filter: window_length is {window_length}, expected at most the {n} samples for mode='interp'")
    centre = half - (0.5 if window_length % 2 == 0 else 0.0)
    (row,) = _smoothing(window_length, polyorder, deriv, delta, np.array([centre]), centre)
    width = [(0, 0)] * (x.ndim - 1) + [(half - (window_length % 2 == 0), half)]
    options = {"constant_values": cval} if modes[mode] == "constant" else {}
    wide = _core.pad(x, width, mode=modes[mode], **options)
    index = np.arange(n)[:, None] + np.arange(window_length)
    out = _core.take(wide, index, axis=-1) @ _core.asarray(row, dtype=x.dtype)
    if mode == "interp" and half:
        size = window_length
        left = _smoothing(size, polyorder, deriv, delta, np.arange(half) + 0.0, 0.0)
        right = _smoothing(size, polyorder, deriv, delta, np.arange(size - half, size) + 0.0, 0.0)
        ends = [x[..., :size] @ _core.asarray(left.T, dtype=x.dtype), x[..., n - size :] @ _core.asarray(right.T, dtype=x.dtype)]
        out = _core.concat([ends[0], out[..., half : n - half], ends[1]], axis=-1)
    return _core.moveaxis(out, -1, axis)


def medfilt(volume: Any, kernel_size: Any = None) -> Variable:
    """The median over windows of odd sizes, 3 by default, with zeros outside.

    >>> tg.signal.medfilt(tg.Variable([1.0, 9.0, 2.0, 3.0]), 3)
    Variable([1., 2., 3., 2.])
    """
    x = inexact(volume)
    sizes = [3] * x.ndim if kernel_size is None else np.broadcast_to(kernel_size, (x.ndim,)).tolist()
    if any(s % 2 == 0 for s in sizes):
        raise ValueError(f"medfilt: kernel_size is {kernel_size!r}, expected odd sizes")
    wide = _core.pad(x, [(s // 2, s // 2) for s in sizes])
    for axis, s in enumerate(sizes):
        place = np.arange(x.shape[axis])[:, None] + np.arange(s)
        wide = _core.moveaxis(_core.take(wide, place, axis=axis), axis + 1, -1)
    return _core.median(wide, axis=tuple(range(x.ndim, 2 * x.ndim)))


def resample(x: Any, num: int, axis: int = 0) -> Variable:
    """The signal at ``num`` points of the same span, by its Fourier transform: it counts as periodic.

    >>> tg.signal.resample(tg.Variable([1.0, 0.0, -1.0, 0.0]), 2).round(4)
    Variable([ 1., -1.])
    """
    x = _core.moveaxis(inexact(x), axis, -1)
    n = x.shape[-1]
    spectrum = fft(x)
    kept = min(n, num)
    positive = kept // 2 + 1
    low, high = spectrum[..., :positive], spectrum[..., n - (kept - positive) :] if kept > positive else None
    if kept % 2 == 0:
        # The element at the highest frequency stands for both signs.
        weights = np.ones(positive)
        if num < n:
            low = low + _core.concat(
                [_core.zeros((*low.shape[:-1], positive - 1), dtype=low.dtype), spectrum[..., n - kept // 2 : n - kept // 2 + 1]],
                axis=-1,
            )
        elif n < num:
            weights[-1] = 0.5
            low = low * _core.asarray(weights, dtype=x.dtype.to_real())
            high = low[..., -1:] if high is None else _core.concat([low[..., -1:], high], axis=-1)
    count = num - low.shape[-1] - (0 if high is None else high.shape[-1])
    parts = [low, _core.zeros((*low.shape[:-1], count), dtype=low.dtype), *([] if high is None else [high])]
    out = ifft(_core.concat(parts, axis=-1)) * (num / n)
    return _core.moveaxis(out if x.dtype.is_complex else _core.real(out), -1, axis)


__all__ = [
    "detrend",
    "filtfilt",
    "freqz",
    "hilbert",
    "lfilter",
    "lfilter_zi",
    "medfilt",
    "resample",
    "savgol_filter",
    "sosfilt",
]
