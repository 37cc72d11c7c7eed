"""Quantiles without a closed form, by Newton's method inside a bracket; their derivatives by the implicit function theorem.

They are solved in the logarithm of x (gamma) and in its log-odds (beta), for the logarithm of the smaller tail: so both tails
keep their digits, and no start is too far.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._core import Variable
from .._sampling import align, data, is_plain
from .._special import betainc, betaincc, betaln, gammainc, gammaincc, gammaln
from ..autograd import Function
from ._implicit import _partials, _reduced, _wide

_Array = np.ndarray[Any, Any]


class _Solved(Function):
    """x with ``cdf(*shapes, x) = p``, from a solver of NumPy."""

    @staticmethod
    def forward(ctx: Any, solver: Any, cdf: Any, p: Variable, *shapes: Variable) -> Variable:
        if is_plain(p, *shapes):
            with np.errstate(all="ignore"):
                found = solver(*np.broadcast_arrays(*(data(x).astype(np.float64) for x in (p, *shapes))))
            out: Variable = _core.asarray(np.array(found)).astype(p.dtype)
        else:
            out = _Solved.apply(solver, cdf, p, *shapes)
        ctx.cdf = cdf
        ctx.save_for_backward(out, p, *shapes)
        return out

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        out, p, *shapes = ctx.saved_values
        if g is None:
            return (None, None, None, *(None for _ in shapes))
        *slopes, density = _partials(ctx.cdf, *_core.broadcast_arrays(*map(_wide, shapes), _wide(out)))
        step = _wide(g) / density
        found = [_reduced(step.astype(p.dtype), p.shape)]
        return (
            None,
            None,
            *found,
            *(_reduced((-step * s).astype(x.dtype), x.shape) for s, x in zip(slopes, shapes, strict=True)),
        )

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], solver: Any, cdf: Any, *values: Variable) -> Any:
        mapped = [a is not None for a in axes[2:]]
        rank = max(x.ndim + (not m) for x, m in zip(values, mapped, strict=True))
        return _Solved.apply(solver, cdf, *align(rank, values, mapped)), 0


def _call(f: Any, *values: _Array) -> _Array:
    found: _Array = f(*(_core.asarray(x) for x in values)).numpy()
    return found


def _newton(log_tail: Any, target: _Array, start: _Array, low: _Array, high: _Array) -> _Array:
    """t with ``log_tail(t, i) = target``, an increasing function of the elements i that gives its slope, too, between bounds."""
    target, low, high = target.ravel(), low.ravel().copy(), high.ravel().copy()
    t = np.clip(start.ravel(), low, high)
    i = np.arange(t.size)
    for _ in range(200):
        value, slope = log_tail(t[i], i)
        below = value < target[i]
        low[i], high[i] = np.where(below, t[i], low[i]), np.where(below, high[i], t[i])
        new = t[i] - (value - target[i]) / slope
        # A step outside the bracket, or NaN: bisect.
        new = np.where((new >= low[i]) & (new <= high[i]), new, 0.5 * (low[i] + high[i]))
        moved = np.abs(new - t[i]) > 1e-14 * np.maximum(np.abs(new), 1.0)
        t[i] = new
        i = i[moved]
        if not i.size:
            break
    return t.reshape(start.shape)


def gamma_quantile(p: _Array, a: _Array) -> _Array:
    """The quantile of Gamma(a, 1)."""
    return _gamma(p > 0.5, np.where(p > 0.5, 1.0 - p, p), a)


def gamma_upper_quantile(q: _Array, a: _Array) -> _Array:
    """The x above which a draw of Gamma(a, 1) is with probability q."""
    return _gamma(q <= 0.5, np.where(q > 0.5, 1.0 - q, q), a)


def _gamma(upper: _Array, tail: _Array, a: _Array) -> _Array:
    """The quantile of the upper or the lower tail."""
    good = (tail > 0) & (a > 0)
    level, shape = np.where(good, tail, 0.5), np.where(good, a, 1.0)
    log_gamma = _call(gammaln, shape)
    # P(a, x) ≤ x^a / Γ(a + 1), with equality at 0.
    low = (np.where(upper, np.log1p(-level), np.log(level)) + log_gamma + np.log(shape)) / shape
    high = np.log(shape + 40.0 * np.sqrt(shape) + 800.0)

    def log_tail(t: _Array, i: _Array) -> tuple[_Array, _Array]:
        x, a = np.exp(t), shape.ravel()[i]
        part = np.where(upper.ravel()[i], _call(gammaincc, a, x), _call(gammainc, a, x))
        # The upper tail falls: its sign is turned, here and in the target.
        return np.where(upper.ravel()[i], -1.0, 1.0) * np.log(part), np.exp(a * t - x - log_gamma.ravel()[i]) / part

    tiny = low < -600.0
    start = np.maximum(low, np.log(shape) - 1.0 / shape)
    target = np.where(upper, -1.0, 1.0) * np.log(level)
    x = np.exp(np.where(tiny, low, _newton(log_tail, target, start, np.where(tiny, -600.0, low), high)))
    x = np.where(tail == 0, np.where(upper, np.inf, 0.0), x)
    return np.where((tail >= 0) & (a > 0), x, np.nan)


def beta_log_odds(p: _Array, a: _Array, b: _Array) -> _Array:
    """log(x / (1 - x)) of the quantile x of Beta(a, b)."""
    good = (p > 0) & (p < 1) & (a > 0) & (b > 0)
    level, a, b = np.where(good, p, 0.5), np.where(good, a, 1.0), np.where(good, b, 1.0)
    # The smaller tail, by symmetry always the lower one.
    upper = level > 0.5
    level, a, b = np.where(upper, 1.0 - level, level), np.where(upper, b, a), np.where(upper, a, b)
    log_beta = _call(betaln, a, b)

    def log_tail(t: _Array, i: _Array) -> tuple[_Array, _Array]:
        p, q = a.ravel()[i], b.ravel()[i]
        # x near 1 is computed as 1 - x, which keeps its digits.
        near = t > 0
        small = np.exp(-np.logaddexp(0.0, np.abs(t)))
        tail = np.where(near, _call(betaincc, q, p, small), _call(betainc, p, q, small))
        log_density = -p * np.logaddexp(0.0, -t) - q * np.logaddexp(0.0, t) - log_beta.ravel()[i]
        return np.log(tail), np.exp(log_density) / tail

    # For small x the distribution function is x^a / (a B).
    series = (np.log(level) + np.log(a) + log_beta) / a
    tiny = series < -600.0
    bound = np.full_like(a, 600.0)
    t = np.where(tiny, series, _newton(log_tail, np.log(level), np.log(a / b), -bound, bound / 10.0))
    t = np.where(upper, -t, t)
    t = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, t))
    return np.where(good | (p == 0) | (p == 1), t, np.nan)


def beta_quantile(p: _Array, a: _Array, b: _Array) -> _Array:
    """The quantile of Beta(a, b)."""
    return 1.0 / (1.0 + np.exp(-beta_log_odds(p, a, b)))


def student_quantile(p: _Array, df: _Array) -> _Array:
    """The quantile of Student's t: df / (df + t²) is Beta(df / 2, 1/2) for the mass of both tails."""
    tail = np.where(p > 0.5, 1.0 - p, p)
    odds = beta_log_odds(2.0 * tail, 0.5 * df, np.full_like(df, 0.5))
    t = np.sqrt(df) * np.exp(-0.5 * odds)
    return np.where(p > 0.5, t, -t)


def fisher_quantile(p: _Array, df1: _Array, df2: _Array) -> _Array:
    """The quantile of the F distribution: df1 x / (df1 x + df2) is Beta(df1 / 2, df2 / 2)."""
    found: _Array = np.exp(beta_log_odds(p, 0.5 * df1, 0.5 * df2)) * (df2 / df1)
    return found


def quantile(solver: Any, cdf: Any, p: Variable, *shapes: Variable) -> Variable:
    """The quantile of level p, differentiable in p and in the shapes; ``cdf(*shapes, x)`` is the distribution function."""
    found: Variable = _Solved.apply(solver, cdf, p, *shapes)
    return found
