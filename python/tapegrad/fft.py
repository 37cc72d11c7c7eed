"""Fourier transforms with gradients, under NumPy's names and those of the array API.

>>> spectrum = tg.fft.rfft(tg.Variable([1.0, 0.0, 0.0, 0.0]))
>>> spectrum.shape
(3,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._cosine import (
    dct,
    dctn,
    dst,
    dstn,
    idct,
    idctn,
    idst,
    idstn,
    next_fast_len,
)
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

if TYPE_CHECKING:
    from typing import Any

    from ._core import Variable

_SWAPPED = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _swapped(name: str, norm: str | None) -> str:
    if norm not in _SWAPPED:
        raise ValueError(f"{name}: norm is {norm!r}, expected 'backward', 'ortho' or 'forward'")
    return _SWAPPED[norm]


def _axes(name: str, axes: Any, dim: Any) -> Any:
    if axes is not None and dim is not None:
        raise TypeError(f"{name}() got both axes= and dim=, which are one argument")
    axes = dim if axes is None else axes
    return (axes,) if isinstance(axes, int) else axes


def hfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None, *, dim: Any = None) -> Variable:
    """The Fourier transform, which is real, of a signal that is Hermitian along the last of the axes: `hfft` in several.

    >>> tg.fft.hfftn(tg.Variable([[1.0, 2.0], [1.0, 2.0]]))
    Variable([[ 6., -2.],
              [ 0.,  0.]])
    """
    return irfftn(_core.conj(x), s, _axes("hfftn", axes, dim), _swapped("hfftn", norm))


def hfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, *, dim: Any = None) -> Variable:
    """`hfftn` of the last two axes.

    >>> tg.fft.hfft2(tg.Variable([[1.0, 2.0], [1.0, 2.0]])).shape
    (2, 2)
    """
    return hfftn(x, s, axes if dim is None else None, norm, dim=dim)


def ihfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None, *, dim: Any = None) -> Variable:
    """The inverse of `hfftn`.

    >>> tg.fft.ihfftn(tg.Variable([[6.0, -2.0], [0.0, 0.0]])).real
    Variable([[1., 2.],
              [1., 2.]])
    """
    return _core.conj(rfftn(x, s, _axes("ihfftn", axes, dim), _swapped("ihfftn", norm)))


def ihfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, *, dim: Any = None) -> Variable:
    """`ihfftn` of the last two axes.

    >>> tg.fft.ihfft2(tg.Variable([[6.0, -2.0], [0.0, 0.0]])).shape
    (2, 2)
    """
    return ihfftn(x, s, axes if dim is None else None, norm, dim=dim)


__all__ = [
    "dct",
    "dctn",
    "dst",
    "dstn",
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "idct",
    "idctn",
    "idst",
    "idstn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "next_fast_len",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
