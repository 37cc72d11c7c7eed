"""Random draws by NumPy's samplers, seeded by our generators; they also work inside transformations.

A sampler is a function ``(rng, shape, *arrays) -> array`` of NumPy. It gets all elements at once and runs no loop over them. Its
seed is taken from the stream of a `Generator`, so the same place in the stream gives the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from ._core import Generator, Variable
from ._generator import source
from .autograd import Function

_Array = np.ndarray[Any, Any]


def is_plain(*values: Any) -> bool:
    """Whether no value belongs to a running transformation."""
    return not any(isinstance(v, Variable) and _core._lifted(v) is not None for v in values)


def data(x: Any) -> _Array:
    """The numbers of an array, without its graph."""
    return _core._innermost(x).detach().numpy() if isinstance(x, Variable) else np.asarray(x)


class _Draw(Function):
    """A sampler, with a key that decides the numbers and is mapped as random numbers are."""

    @staticmethod
    def forward(ctx: Any, sampler: Any, dtype: Any, key: Variable, *params: Variable) -> Variable:
        if not is_plain(key, *params):
            out: Variable = _Draw.apply(sampler, dtype, key, *params)
        else:
            seed = [int(u * 2.0**53) for u in key.numpy().ravel()[:4]]
            out = _made(sampler, np.random.default_rng(seed), key.shape, params, dtype)
        ctx.mark_non_differentiable(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None,) * (3 + len(grads))

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], sampler: Any, dtype: Any, key: Variable, *params: Variable) -> Any:
        mapped = [a is not None for a in axes[3:]]
        if axes[2] is None:
            # All samples get the same numbers: each sample runs with the same key.
            each = [[p[i] if m else p for p, m in zip(params, mapped)] for i in range(info.batch_size)]
            rows = [_Draw.apply(sampler, dtype, key, *p) for p in each]
            return (_core.stack(rows) if rows else _core.zeros((0, *key.shape), dtype=dtype)), 0
        return _Draw.apply(sampler, dtype, key, *align(key.ndim + (sampler is categorical), params, mapped)), 0


def align(rank: int, values: Any, mapped: Any) -> list[Variable]:
    """Values whose first axis is that of the samples, reshaped to broadcast with a mapped value of this rank."""
    out = []
    for v, m in zip(values, mapped, strict=True):
        out.append(v.reshape(v.shape[0], *(1,) * (rank - v.ndim), *v.shape[1:]) if m else v)
    return out


def _made(sampler: Any, rng: Any, shape: tuple[int, ...], params: Any, dtype: Any) -> Variable:
    with np.errstate(all="ignore"):
        found = np.asarray(sampler(rng, tuple(shape), *map(data, params)))
    return _core.asarray(np.array(found, order="C")).astype(dtype)


def draw(sampler: Any, shape: tuple[int, ...], params: Any, dtype: Any, generator: Generator | None = None) -> Variable:
    """An array of this shape and dtype, drawn by a sampler. No gradient flows to the parameters."""
    own = source(generator)
    if _core._is_mapping():
        key = own.rand(*shape, dtype=_core.float64) if shape else own.rand((), dtype=_core.float64)
        found: Variable = _Draw.apply(sampler, dtype, key, *(p.detach() for p in params))
        return found
    seed = own.randint(0, 2**62, (2,)).tolist()
    return _made(sampler, np.random.default_rng(seed), shape, params, dtype)


# ---- samplers ----


def log_gamma(rng: Any, shape: tuple[int, ...], a: _Array) -> _Array:
    """The logarithm of Gamma(a, 1): for a < 1 by log Gamma(a + 1) + log(U) / a, without underflow (Marsaglia & Tsang 2000)."""
    a = np.broadcast_to(np.asarray(a, np.float64), shape)
    good = np.where(a > 0, a, 1.0)
    small = good < 1.0
    found = np.log(rng.standard_gamma(np.where(small, good + 1.0, good), shape))
    if small.any():
        found = np.where(small, found - rng.standard_exponential(shape) / good, found)
    return np.where(a > 0, found, np.nan)


def gamma(rng: Any, shape: tuple[int, ...], a: _Array) -> _Array:
    """Gamma(a, 1)."""
    return np.exp(log_gamma(rng, shape, a))


def beta(rng: Any, shape: tuple[int, ...], a: _Array, b: _Array) -> _Array:
    """Beta(a, b), from logarithms, so that small shapes reach both ends."""
    x, y = log_gamma(rng, shape, a), log_gamma(rng, shape, b)
    found: _Array = np.exp(x - np.logaddexp(x, y))
    return found


def dirichlet(rng: Any, shape: tuple[int, ...], a: _Array) -> _Array:
    """Dirichlet(a) along the last axis, from logarithms."""
    x = log_gamma(rng, shape, a)
    if not x.size:
        return x
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    found: _Array = x / x.sum(axis=-1, keepdims=True)
    return found


def _where_valid(valid: _Array, make: Any, *params: _Array) -> _Array:
    """``make`` on valid parameters, NaN elsewhere."""
    if valid.all():
        return np.asarray(make(*params))
    found = np.asarray(make(*(np.where(valid, p, 0) for p in params)))
    return np.where(valid, found, np.nan)


#: NumPy's limit for Poisson; above it a normal of the same mean and variance differs by less than rounding.
_LARGE_RATE = 1e15


def poisson(rng: Any, shape: tuple[int, ...], rate: _Array) -> _Array:
    """Poisson counts, as floating numbers."""
    rate = np.broadcast_to(np.asarray(rate, np.float64), shape)

    def make(r: _Array) -> _Array:
        found: _Array = rng.poisson(np.minimum(r, _LARGE_RATE), shape).astype(np.float64)
        if (r > _LARGE_RATE).any():
            found = np.where(r > _LARGE_RATE, np.rint(r + np.sqrt(r) * rng.standard_normal(shape)), found)
        return found

    return _where_valid(rate >= 0, make, rate)


def binomial(rng: Any, shape: tuple[int, ...], n: _Array, p: _Array) -> _Array:
    """Binomial counts, as floating numbers."""
    n, p = np.broadcast_to(np.asarray(n, np.float64), shape), np.broadcast_to(np.asarray(p, np.float64), shape)
    valid = (n >= 0) & (p >= 0) & (p <= 1)
    return _where_valid(valid, lambda n, p: rng.binomial(n.astype(np.int64), p, shape).astype(np.float64), n, p)


def negative_binomial(rng: Any, shape: tuple[int, ...], r: _Array, odds: _Array) -> _Array:
    """Poisson counts whose rate is Gamma(r) times the odds; 0 for r = 0."""
    r = np.broadcast_to(np.asarray(r, np.float64), shape)
    rate = np.where(r > 0, gamma(rng, shape, np.where(r > 0, r, 1.0)) * odds, np.where(r == 0, 0.0, np.nan))
    return poisson(rng, shape, rate)


def categorical(rng: Any, shape: tuple[int, ...], weights: _Array) -> _Array:
    """Class numbers of this shape, from weights along one more axis, by one search in all the running sums."""
    w = np.asarray(weights, np.float64)
    count = w.shape[-1]
    rows = w.reshape(-1, count)
    sums = np.cumsum(rows, axis=1)
    sums /= sums[:, -1:]
    last = count - 1 - np.argmax(rows[:, ::-1] > 0, axis=1)
    row = np.broadcast_to(np.arange(len(rows)).reshape(w.shape[:-1]), shape)
    flat = (sums + np.arange(len(rows))[:, None]).ravel()
    at = np.searchsorted(flat, rng.random(shape) + row, side="right")
    return np.minimum(np.maximum(at - row * count, 0), last[row]) if len(rows) else np.zeros(shape, np.int64)


def multinomial(rng: Any, shape: tuple[int, ...], n: _Array, weights: _Array) -> _Array:
    """Counts along the last axis of n draws from weights."""
    w = np.asarray(weights, np.float64)
    w = np.broadcast_to(w / w.sum(axis=-1, keepdims=True), shape)
    return np.asarray(rng.multinomial(np.broadcast_to(n, shape[:-1]).astype(np.int64), w))


def von_mises(rng: Any, shape: tuple[int, ...], concentration: _Array) -> _Array:
    """Von Mises angles about 0."""
    k = np.broadcast_to(np.asarray(concentration, np.float64), shape)
    return _where_valid(k >= 0, lambda k: rng.vonmises(0.0, k, shape), k)
