"""Integrals and differential equations under SciPy's names: ``scipy.integrate`` for Variables.

>>> y = tg.Variable([0.0, 1.0, 4.0, 9.0])
>>> tg.integrate.simpson(y)
Variable(9.)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import AxisError, ShapeError, Variable, trapezoid
from ._dtypes import inexacts
from .optimize import OdeSolution, odeint, quad, solve_ivp
from .optimize._quad import dblquad, nquad, tplquad

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "OdeSolution",
    "cumulative_simpson",
    "cumulative_trapezoid",
    "dblquad",
    "fixed_quad",
    "nquad",
    "odeint",
    "quad",
    "romb",
    "simpson",
    "solve_ivp",
    "tplquad",
    "trapezoid",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


def _samples(name: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Variable, Any]:
    """The samples with their axis last, and the distances of neighbours."""
    y, *places = inexacts(y) if x is None else inexacts(y, x)
    if not -y.ndim <= axis < y.ndim:
        raise AxisError(f"{name}: axis {axis} is out of bounds for an array of {y.ndim} dimensions")
    y = _core.moveaxis(y, axis, -1)
    if not places:
        return y, dx
    (x,) = places
    if x.ndim > 1:
        x = _core.moveaxis(x, axis, -1)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"{name}: x has {x.shape[-1]} points along the axis and y {y.shape[-1]}, expected as many")
    return y, _core.diff(x, axis=-1)


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: float | None = None) -> Variable:
    """The integral of samples up to each point by the trapezoidal rule; ``initial=0`` puts a zero in front.

    >>> tg.integrate.cumulative_trapezoid([0.0, 2.0, 4.0], initial=0)
    Variable([0., 1., 4.])
    """
    values, step = _samples("cumulative_trapezoid", y, x, dx, axis)
    out: Variable = _core.cumsum((values[..., 1:] + values[..., :-1]) * 0.5 * step, axis=-1)
    if initial is not None:
        if initial != 0:
            raise ValueError(f"cumulative_trapezoid: initial is {initial!r}, expected 0 or None")
        out = _core.concat([_core.zeros((*out.shape[:-1], 1), dtype=out.dtype), out], axis=-1)
    return _core.moveaxis(out, -1, axis)


def _parabolas(y: Variable, step: Any) -> Variable:
    """Simpson's rule over an odd number of points."""
    first, middle, last = y[..., :-2:2], y[..., 1:-1:2], y[..., 2::2]
    if not isinstance(step, Variable) or step.ndim == 0:
        total: Variable = _core.sum(first + 4.0 * middle + last, axis=-1) * (step / 3.0)
        return total
    a, b = step[..., ::2], step[..., 1::2]
    both, ratio = a + b, a / b
    parts = first * (2.0 - 1.0 / ratio) + middle * (both * both / (a * b)) + last * (2.0 - ratio)
    return _core.sum(parts * both / 6.0, axis=-1)


def simpson(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Variable:
    """The integral of samples by Simpson's rule; of an even number of points the last interval has Cartwright's correction.

    Source: SciPy's reference of `simpson`.

    >>> tg.integrate.simpson([1.0, 4.0, 9.0], dx=1.0)
    Variable(8.666667)
    """
    values, step = _samples("simpson", y, x, dx, axis)
    n = values.shape[-1]
    uniform = not isinstance(step, Variable) or step.ndim == 0
    if n == 0:
        raise ShapeError("simpson: there are no samples along the axis")
    if n % 2 == 1:
        return _parabolas(values, step) if n > 1 else _core.sum(values * 0.0, axis=-1)
    if n == 2:
        area: Variable = (values[..., 0] + values[..., 1]) * 0.5 * (step if uniform else step[..., -1])
        return area
    a, b = (step, step) if uniform else (step[..., -2], step[..., -1])
    alpha = (2.0 * b * b + 3.0 * a * b) / (6.0 * (a + b))
    beta = (b * b + 3.0 * a * b) / (6.0 * a)
    eta = b * b * b / (6.0 * a * (a + b))
    tail: Variable = alpha * values[..., -1] + beta * values[..., -2] - eta * values[..., -3]
    return _parabolas(values[..., :-1], step if uniform else step[..., :-1]) + tail


def _first_halves(y: Variable, step: Variable) -> Variable:
    """The integral over the first of each two neighbouring intervals, by the parabola through their three points."""
    a, b = step[..., :-1], step[..., 1:]
    share, ratio = a / (a + b), a / b
    both = share * ratio
    return a / 6.0 * ((3.0 - share) * y[..., :-2] + (3.0 + both + share) * y[..., 1:-1] - both * y[..., 2:])


def cumulative_simpson(y: Any, *, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Variable:
    """The integral of samples up to each point by Simpson's rule; ``initial`` is put in front, and added.

    >>> tg.integrate.cumulative_simpson([0.0, 1.0, 4.0, 9.0], initial=0).round(4)
    Variable([0.    , 0.3333, 2.6667, 9.    ])
    """
    values, step = _samples("cumulative_simpson", y, x, dx, axis)
    n = values.shape[-1]
    if n == 0:
        raise ShapeError("cumulative_simpson: there are no samples along the axis")
    shape = (*values.shape[:-1], n - 1)
    step = _core.broadcast_to(_core.asarray(step, dtype=values.dtype) if not isinstance(step, Variable) else step, shape)
    if n < 3:
        parts = (values[..., 1:] + values[..., :-1]) * 0.5 * step
    else:
        ahead = _first_halves(values, step)
        behind = _core.flip(_first_halves(_core.flip(values, -1), _core.flip(step, -1)), -1)
        # Even intervals are the first of their parabola, odd ones the second, the last one always.
        even = _core.concat([ahead, behind[..., -1:]], axis=-1)
        odd = _core.concat([behind[..., :1], behind], axis=-1)
        first = (_core.arange(n - 1) % 2 == 0) & (_core.arange(n - 1) < n - 2)
        parts = _core.where(first, even, odd)
    out: Variable = _core.cumsum(parts, axis=-1)
    if initial is not None:
        front = _core.broadcast_to(_core.asarray(initial, dtype=out.dtype), (*out.shape[:-1], 1))
        out = _core.concat([front, out + front], axis=-1)
    return _core.moveaxis(out, -1, axis)


def romb(y: Any, dx: Any = 1.0, axis: int = -1) -> Variable:
    """The integral of 2^k + 1 samples at equal distances by Romberg's rule.

    >>> tg.integrate.romb([0.0, 1.0, 4.0], dx=1.0)
    Variable(2.6666667)
    """
    values, step = _samples("romb", y, None, dx, axis)
    n = values.shape[-1] - 1
    if n < 1 or n & (n - 1):
        raise ShapeError(f"romb: there are {n + 1} samples along the axis, expected 2^k + 1")
    rows = []
    stride = n
    while stride:
        part = values[..., ::stride]
        rows.append(stride * (_core.sum(part, axis=-1) - 0.5 * (part[..., 0] + part[..., -1])))
        stride //= 2
    for k in range(1, len(rows)):
        rows = [fine + (fine - coarse) / (4.0**k - 1.0) for coarse, fine in pairwise(rows)]
    out: Variable = rows[-1] * step
    return out


def fixed_quad(func: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...] = (), n: int = 5) -> tuple[Variable, None]:
    """The integral of ``func(x, *args)`` from a to b by Gauss and Legendre with ``n`` points, and None, as in SciPy.

    ``func`` gets all points at once, along the last axis of its argument and of its result.

    Between numbers it is computed in float64, as in :func:`quad`.

    >>> tg.integrate.fixed_quad(lambda x: x**3, 0.0, 2.0)[0].round(5)
    Variable(4., dtype=float64)
    """
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(n)
    a, b = inexacts(a, b) if hasattr(a, "dtype") or hasattr(b, "dtype") else (_core.asarray(np.float64(v)) for v in (a, b))
    dtype = _core.result_type(a, b)
    half = (b - a) * 0.5
    x = half * _core.asarray(points + 1.0, dtype=dtype) + a
    return half * _core.sum(func(x, *args) * _core.asarray(weights, dtype=dtype), axis=-1), None
