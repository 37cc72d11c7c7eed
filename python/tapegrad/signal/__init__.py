"""Signal processing under SciPy's names: ``scipy.signal`` for Variables, with gradients in signals and in filters.

What designs filters from numbers, as ``scipy.signal.firwin`` or ``butter``, gives arrays that the functions here take.

>>> tg.signal.convolve(tg.Variable([1.0, 2.0, 3.0]), tg.Variable([0.5, 0.5]), mode="valid")
Variable([1.5, 2.5])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._convolution import convolve, convolve2d, correlate, correlate2d, correlation_lags, fftconvolve, oaconvolve
from ._filters import (
    detrend,
    filtfilt,
    freqz,
    hilbert,
    lfilter,
    lfilter_zi,
    medfilt,
    resample,
    savgol_filter,
    sosfilt,
    sosfiltfilt,
)
from ._spectra import csd, get_window, istft, periodogram, spectrogram, stft, welch

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "csd",
    "detrend",
    "fftconvolve",
    "filtfilt",
    "freqz",
    "get_window",
    "hilbert",
    "istft",
    "lfilter",
    "lfilter_zi",
    "medfilt",
    "oaconvolve",
    "periodogram",
    "resample",
    "savgol_filter",
    "sosfilt",
    "sosfiltfilt",
    "spectrogram",
    "stft",
    "welch",
]

if not TYPE_CHECKING:
    from .._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
