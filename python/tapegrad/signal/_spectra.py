"""Spectra of windows that overlap: power spectra, spectrograms, the short-time Fourier transform and its inverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import Variable
from .._dtypes import inexact
from ..fft import fft, ifft, irfft, rfft

if TYPE_CHECKING:
    from collections.abc import Callable

#: Weights of cosines of periodic windows.
_COSINES = {
    "hann": (0.5, 0.5),
    "hanning": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "boxcar": (1.0,),
    "rectangular": (1.0,),
}


def get_window(window: Any, Nx: int, fftbins: bool = True) -> Variable:
    """A window of ``Nx`` points by SciPy's name, or by a tuple of name and parameters, periodic by default.

    >>> tg.signal.get_window("hann", 4)
    Variable([0. , 0.5, 1. , 0.5], dtype=float64)
    """
    if window not in _COSINES:
        from scipy.signal import get_window as others

        return _core.asarray(others(window, Nx, fftbins))
    period = Nx if fftbins else Nx - 1
    angle = 2 * np.pi * np.arange(Nx) / max(period, 1)
    return _core.asarray(np.sum([(-1) ** k * w * np.cos(k * angle) for k, w in enumerate(_COSINES[window])], axis=0))


class _Plan:
    """The windows of a signal, from the options of a function."""

    def __init__(
        self, n: int, window: Any, nperseg: int | None, noverlap: int | None, nfft: int | None, part: float = 0.5
    ) -> None:
        given = None if isinstance(window, (str, tuple)) else np.asarray(window)
        size = given.size if given is not None else 256 if nperseg is None else int(nperseg)
        if given is None and size > n:
            size = n
        if size < 1 or size > n:
            raise ValueError(f"signal: windows of {size} samples do not fit into {n}")
        self.size = size
        self.overlap = int(size * part) if noverlap is None else int(noverlap)
        self.nfft = size if nfft is None else int(nfft)
        if self.overlap >= size:
            raise ValueError(f"signal: noverlap is {self.overlap}, expected less than nperseg = {size}")
        if self.nfft < size:
            raise ValueError(f"signal: nfft is {self.nfft}, expected at least nperseg = {size}")
        self.step = size - self.overlap
        self.window = get_window(window, size).numpy() if given is None else given

    def windows(self, x: Variable) -> Variable:
        """The windows of the last axis, stacked, with their samples in the last axis."""
        count = (x.shape[-1] - self.overlap) // self.step
        return _core.take(x, np.arange(count)[:, None] * self.step + np.arange(self.size), axis=-1)

    def spectrum(self, x: Variable, detrend: Any, onesided: bool) -> Variable:
        """The transforms of the windows: windows, then frequencies."""
        parts = self.windows(x)
        if callable(detrend):
            parts = detrend(parts)
        elif detrend:
            from ._filters import detrend as without

            parts = without(parts, type=detrend)
        parts = parts * _core.asarray(self.window, dtype=parts.dtype.to_real())
        return rfft(parts, self.nfft) if onesided else fft(parts, self.nfft)

    def frequencies(self, fs: float, onesided: bool) -> Variable:
        f = np.fft.rfftfreq(self.nfft, 1 / fs) if onesided else np.fft.fftfreq(self.nfft, 1 / fs)
        return _core.asarray(f)

    def scale(self, name: str, scaling: str, fs: float) -> float:
        if scaling == "density":
            return float(1.0 / (fs * (self.window**2).sum()))
        if scaling == "spectrum":
            return float(1.0 / self.window.sum() ** 2)
        raise ValueError(f"{name}: scaling is {scaling!r}, expected 'density' or 'spectrum'")


def _last(x: Any, axis: int) -> Variable:
    return _core.moveaxis(inexact(x), axis, -1)


def _powers(
    name: str, x: Variable, y: Variable, plan: _Plan, fs: float, detrend: Any, return_onesided: bool, scaling: str
) -> tuple[Variable, Variable]:
    """Frequencies, and conj(X) Y of each window with its scale: windows, then frequencies."""
    onesided = return_onesided and not (x.dtype.is_complex or y.dtype.is_complex)
    first = plan.spectrum(x, detrend, onesided)
    power = _core.real(first) ** 2 + _core.imag(first) ** 2 if x is y else _core.conj(first) * plan.spectrum(y, detrend, onesided)
    weights = np.full(power.shape[-1], plan.scale(name, scaling, fs))
    if onesided:
        weights[1 : None if plan.nfft % 2 else -1] *= 2
    return plan.frequencies(fs, onesided), power * _core.asarray(weights, dtype=power.dtype.to_real())


def csd(
    x: Any,
    y: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Variable, Variable]:
    """Frequencies, and the cross power spectrum of two signals of one length by Welch's method.

    >>> f, p = tg.signal.csd(tg.ones(8), tg.ones(8), nperseg=4)
    >>> p.shape
    (3,)
    """
    a, b = _last(x, axis), _last(y, axis)
    if a.shape[-1] != b.shape[-1]:
        raise _core.ShapeError(f"csd: the signals have {a.shape[-1]} and {b.shape[-1]} samples, expected as many")
    plan = _Plan(a.shape[-1], window, nperseg, noverlap, nfft)
    f, powers = _powers("csd", a, a if y is x else b, plan, fs, detrend, return_onesided, scaling)
    if average == "mean":
        out = _core.mean(powers, axis=-2)
    elif average == "median" and not powers.dtype.is_complex:
        out = _core.median(powers, axis=-2) / _median_bias(powers.shape[-2])
    else:
        raise ValueError(f"csd: average is {average!r}, expected 'mean', or 'median' of one signal")
    return f, _core.moveaxis(out, -1, axis)


def _median_bias(n: int) -> float:
    """The expected median of n exponential variables: Allen et al. 2005, arXiv:gr-qc/0509116, appendix B."""
    k = 2 * np.arange(1.0, (n - 1) // 2 + 1)
    return float(1 + np.sum(1.0 / (k + 1) - 1.0 / k))


def welch(
    x: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Variable, Variable]:
    """Frequencies, and the power spectrum by Welch's method: the mean over windows that overlap.

    >>> f, p = tg.signal.welch(tg.ones(8), nperseg=4, detrend=False)
    >>> p.shape
    (3,)
    """
    return csd(x, x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average)


def periodogram(
    x: Any,
    fs: float = 1.0,
    window: Any = "boxcar",
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
) -> tuple[Variable, Variable]:
    """Frequencies, and the power spectrum of the whole signal.

    >>> f, p = tg.signal.periodogram(tg.Variable([1.0, -1.0, 1.0, -1.0]))
    >>> p.tolist()
    [0.0, 0.0, 4.0]
    """
    v = _last(x, axis)
    if nfft is not None and nfft < v.shape[-1]:
        v = v[..., :nfft]
    return welch(_core.moveaxis(v, -1, axis), fs, window, v.shape[-1], 0, nfft, detrend, return_onesided, scaling, axis)


def spectrogram(
    x: Any,
    fs: float = 1.0,
    window: Any = ("tukey", 0.25),
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
) -> tuple[Variable, Variable, Variable]:
    """Frequencies, times, and the power spectra of windows: frequencies at the axis of the signal, times last.

    >>> f, t, p = tg.signal.spectrogram(tg.ones(16), window="hann", nperseg=8)
    >>> p.shape
    (5, 2)
    """
    v = _last(x, axis)
    plan = _Plan(v.shape[-1], window, nperseg, noverlap, nfft, 0.125)
    f, powers = _powers("spectrogram", v, v, plan, fs, detrend, return_onesided, scaling)
    times = (np.arange(powers.shape[-2]) * plan.step + plan.size / 2) / fs
    return f, _core.asarray(times), _placed(powers.mT, axis)


def _placed(out: Variable, axis: int) -> Variable:
    """Frequencies moved to the axis of the signal; times stay last."""
    return _core.moveaxis(out, -2, axis if axis >= 0 else axis - 1)


def stft(
    x: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
    scaling: str = "spectrum",
) -> tuple[Variable, Variable, Variable]:
    """Frequencies, times and the short-time Fourier transform: frequencies at the axis of the signal, times last.

    >>> f, t, z = tg.signal.stft(tg.ones(16), nperseg=8)
    >>> z.shape
    (5, 5)
    """
    if boundary not in (None, "zeros"):
        raise ValueError(f"stft: boundary is {boundary!r}, expected 'zeros' or None; pad the signal for another one")
    v = _last(x, axis)
    plan = _Plan(v.shape[-1], window, nperseg, noverlap, nfft)
    edge = plan.size // 2 if boundary else 0
    n = v.shape[-1] + 2 * edge
    more = (-(n - plan.size) % plan.step) % plan.size if padded else 0
    v = _core.pad(v, [(0, 0)] * (v.ndim - 1) + [(edge, edge + more)])
    onesided = return_onesided and not v.dtype.is_complex
    z = plan.spectrum(v, detrend, onesided) * plan.scale("stft", "spectrum" if scaling == "spectrum" else "density", fs) ** 0.5
    times = (np.arange(z.shape[-2]) * plan.step + plan.size / 2 - (plan.size / 2 if boundary else 0)) / fs
    return plan.frequencies(fs, onesided), _core.asarray(times), _placed(z.mT, axis)


def istft(
    Zxx: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    scaling: str = "spectrum",
) -> tuple[Variable, Variable]:
    """Times, and the signal whose :func:`stft` is given, frequencies in the last axis but one and times last.

    >>> x = tg.Variable([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    >>> tg.signal.istft(tg.signal.stft(x, nperseg=4)[2])[1].round(4)
    Variable([1., 2., 3., 4., 5., 6., 7., 8.])
    """
    z = inexact(Zxx)
    bins, count = z.shape[-2:]
    points = 2 * (bins - 1) if input_onesided else bins
    size = points if nperseg is None else int(nperseg)
    plan = _Plan(
        size, window, size, noverlap, (size if size == points + 1 and input_onesided else points) if nfft is None else nfft
    )
    inverse: Callable[..., Variable] = irfft if input_onesided else ifft
    parts = inverse(z.mT, plan.nfft)[..., : plan.size] / plan.scale("istft", scaling, fs) ** 0.5
    parts = parts * _core.asarray(plan.window, dtype=parts.dtype.to_real())
    n = plan.size + (count - 1) * plan.step
    place = np.arange(count)[:, None] * plan.step + np.arange(plan.size)
    norm = np.bincount(place.ravel(), np.tile(plan.window**2, count), n)
    out = _core.moveaxis(_core.zeros((*parts.shape[:-2], n), dtype=parts.dtype), -1, 0)
    flat = _core.reshape(_core.moveaxis(parts, (-2, -1), (0, 1)), (place.size, *parts.shape[:-2]))
    out = _core.moveaxis(_core.index_add(out, 0, _core.asarray(place.ravel()), flat), 0, -1)
    if boundary:
        edge = plan.size // 2
        out, norm = out[..., edge : n - edge], norm[edge : n - edge]
    out = out / _core.asarray(np.where(norm > 1e-10, norm, 1.0), dtype=out.dtype.to_real())
    return _core.asarray(np.arange(out.shape[-1]) / fs), out
