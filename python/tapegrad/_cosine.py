"""Cosine and sine transforms under SciPy's names, by Fourier transforms. Definitions: SciPy's reference, types I to IV."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _fft
from ._core import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["dct", "dctn", "dst", "dstn", "idct", "idctn", "idst", "idstn", "next_fast_len"]

_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}


def _turned(x: Variable, angles: np.ndarray) -> Variable:
    """x e^(i angles) along the last axis."""
    return x * _core.asarray(np.exp(1j * angles), dtype=_complex(x))


def _complex(x: Variable) -> Any:
    return _core.complex64 if x.dtype in (_core.float32, _core.complex64) else _core.complex128


def _dct1(x: Variable) -> Variable:
    return _core.real(_fft.rfft(_core.concat([x, _core.flip(x[..., 1:-1], axis=-1)], axis=-1)))


def _dct2(x: Variable) -> Variable:
    n = x.shape[-1]
    spectrum = _fft.rfft(_core.concat([x, _core.flip(x, axis=-1)], axis=-1))[..., :n]
    return _core.real(_turned(spectrum, -np.pi * np.arange(n) / (2 * n)))


def _dct3(x: Variable) -> Variable:
    n = x.shape[-1]
    return _fft.irfft(_turned(x, np.pi * np.arange(n) / (2 * n)), 2 * n)[..., :n] * (2.0 * n)


def _dct4(x: Variable) -> Variable:
    n = x.shape[-1]
    k = np.arange(n)
    spectrum = _fft.fft(_turned(x, -np.pi * k / (2 * n)), 2 * n)[..., :n]
    return 2.0 * _core.real(_turned(spectrum, -np.pi * (2 * k + 1) / (4 * n)))


def _signs(x: Variable) -> Variable:
    return _core.asarray((-1.0) ** np.arange(x.shape[-1]), dtype=x.dtype)


def _dst1(x: Variable) -> Variable:
    n = x.shape[-1]
    zero = _core.zeros((*x.shape[:-1], 1), dtype=x.dtype)
    odd = _core.concat([zero, x, zero, -_core.flip(x, axis=-1)], axis=-1)
    return -_core.imag(_fft.rfft(odd))[..., 1 : n + 1]


def _dst2(x: Variable) -> Variable:
    return _core.flip(_dct2(x * _signs(x)), axis=-1)


def _dst3(x: Variable) -> Variable:
    return _dct3(_core.flip(x, axis=-1)) * _signs(x)


def _dst4(x: Variable) -> Variable:
    return _dct4(_core.flip(x, axis=-1)) * _signs(x)


_RAW: dict[str, dict[int, Callable[[Variable], Variable]]] = {
    "dct": {1: _dct1, 2: _dct2, 3: _dct3, 4: _dct4},
    "dst": {1: _dst1, 2: _dst2, 3: _dst3, 4: _dst4},
}
#: Elements whose weight differs in an orthogonal transform: indices before the transform, and behind it.
_UNEVEN = {
    ("dct", 1): ((0, -1), (0, -1)),
    ("dct", 2): ((), (0,)),
    ("dct", 3): ((0,), ()),
    ("dst", 2): ((), (-1,)),
    ("dst", 3): ((-1,), ()),
}


def _weighted(x: Variable, places: Sequence[int], weight: float) -> Variable:
    if not places:
        return x
    weights = np.ones(x.shape[-1])
    weights[list(places)] = weight
    return x * _core.asarray(weights, dtype=x.dtype)


def _resized(x: Variable, n: int | None) -> Variable:
    """The last axis cut or filled with zeros to n elements."""
    have = x.shape[-1]
    if n is None or n == have:
        return x
    if n < have:
        return x[..., :n]
    return _core.concat([x, _core.zeros((*x.shape[:-1], n - have), dtype=x.dtype)], axis=-1)


def _transform(
    name: str, x: Any, kind: int, n: int | None, axis: int, norm: str | None, inverse: bool, orthogonalize: bool | None
) -> Variable:
    full = ("i" if inverse else "") + name
    if not isinstance(kind, int) or kind not in (1, 2, 3, 4):
        raise ValueError(f"{full}: type is {kind!r}, expected 1, 2, 3 or 4")
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f"{full}: norm is {norm!r}, expected 'backward', 'ortho' or 'forward'")
    x = _core.asarray(x)
    if x.dtype.is_complex:
        parts = [_transform(name, part(x), kind, n, axis, norm, inverse, orthogonalize) for part in (_core.real, _core.imag)]
        return _core.complex(*parts)
    if not x.dtype.is_floating_point:
        x = x.astype(_core.get_default_dtype())
    if x.ndim == 0:
        raise _core.AxisError(f"{full}: axis {axis} is out of range for an array without axes")
    x = _resized(_core.moveaxis(x, axis, -1), n)
    size = x.shape[-1]
    if size < (2 if (name, kind) == ("dct", 1) else 1):
        raise ValueError(f"{full}: {size} elements along axis {axis} are too few")
    kind = _INVERSE[kind] if inverse else kind
    before, behind = _UNEVEN.get((name, kind), ((), ()))
    if orthogonalize is None:
        orthogonalize = norm == "ortho"
    if not orthogonalize:
        before = behind = ()
    period = 2.0 * (size + {("dct", 1): -1, ("dst", 1): 1}.get((name, kind), 0))
    y = _RAW[name][kind](_weighted(x, before, sqrt(2.0)))
    y = _weighted(y, behind, sqrt(0.5))
    if norm == "ortho":
        y = y / sqrt(period)
    elif (norm == "forward") != inverse:
        y = y / period
    return _core.moveaxis(y, -1, axis)


def dct(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The discrete cosine transform of type I to IV along an axis.

    >>> tg.fft.dct([1.0, 2.0], type=2, norm="ortho").round(4)
    Variable([ 2.1213, -0.7071])
    """
    return _transform("dct", x, type, n, axis, norm, False, orthogonalize)


def idct(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The inverse of :func:`dct` of the same type and norm.

    >>> tg.fft.idct(tg.fft.dct([1.0, 2.0])).round(4)
    Variable([1., 2.])
    """
    return _transform("dct", x, type, n, axis, norm, True, orthogonalize)


def dst(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The discrete sine transform of type I to IV along an axis.

    >>> tg.fft.dst([1.0, 2.0], type=1).round(4)
    Variable([ 5.1962, -1.7321])
    """
    return _transform("dst", x, type, n, axis, norm, False, orthogonalize)


def idst(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The inverse of :func:`dst` of the same type and norm.

    >>> tg.fft.idst(tg.fft.dst([1.0, 2.0])).round(4)
    Variable([1., 2.])
    """
    return _transform("dst", x, type, n, axis, norm, True, orthogonalize)


def _several(one: Callable[..., Variable], x: Any, kind: int, s: Any, axes: Any, options: dict[str, Any]) -> Variable:
    out: Variable = _core.asarray(x)
    sizes = None if s is None else [s] if isinstance(s, int) else list(s)
    if axes is None:
        axes = range(out.ndim) if sizes is None else range(-len(sizes), 0)
    axes = [axes] if isinstance(axes, int) else list(axes)
    if sizes is not None and len(sizes) != len(axes):
        raise ValueError(f"{one.__name__}n: s has {len(sizes)} entries and axes {len(axes)}, expected as many")
    for i, axis in enumerate(axes):
        out = one(out, kind, None if sizes is None else sizes[i], axis, **options)
    return out


def dctn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """:func:`dct` along several axes, all by default.

    >>> tg.fft.dctn([[1.0, 2.0], [3.0, 4.0]])[0, 0]
    Variable(40.)
    """
    return _several(dct, x, type, s, axes, {"norm": norm, "orthogonalize": orthogonalize})


def idctn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The inverse of :func:`dctn`.

    >>> tg.fft.idctn(tg.fft.dctn([[1.0, 2.0]])).round(4)
    Variable([[1., 2.]])
    """
    return _several(idct, x, type, s, axes, {"norm": norm, "orthogonalize": orthogonalize})


def dstn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """:func:`dst` along several axes, all by default.

    >>> tg.fft.dstn([[1.0]])
    Variable([[4.]])
    """
    return _several(dst, x, type, s, axes, {"norm": norm, "orthogonalize": orthogonalize})


def idstn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, *, orthogonalize: bool | None = None
) -> Variable:
    """The inverse of :func:`dstn`.

    >>> tg.fft.idstn(tg.fft.dstn([[1.0, 2.0]])).round(4)
    Variable([[1., 2.]])
    """
    return _several(idst, x, type, s, axes, {"norm": norm, "orthogonalize": orthogonalize})


def next_fast_len(target: int, real: bool = False) -> int:
    """The least size from ``target`` on without prime factors above 11 (5 for ``real``).

    >>> tg.fft.next_fast_len(97)
    98
    """
    n = max(int(target), 1)
    while True:
        rest = n
        for p in (2, 3, 5) if real else (2, 3, 5, 7, 11):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1
