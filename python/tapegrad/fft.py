"""Fourier transforms with gradients, under NumPy's names and those of the array API.

>>> spectrum = tg.fft.rfft(tg.Variable([1.0, 0.0, 0.0, 0.0]))
>>> spectrum.shape
(3,)
"""

from __future__ import annotations

from . import _cosine
from ._cosine import *  # noqa: F403
from ._fft import (
    fft,
    fft2,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftfreq,
    rfftn,
)

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
__all__ += _cosine.__all__
