"""Gradients of samples by their parameters, by implicit differentiation of the distribution function.

A sample x of a distribution function F(x; θ) moves with the parameter as ``dx/dθ = -(∂F/∂θ) / (∂F/∂x)``, where the level F stays
(Figurnov, Mohamed & Mnih, arXiv 1805.08498). The slopes here are made of the derivatives of ``gammainc`` and ``betainc``, which
are accurate in the tails, too, and can be differentiated once more.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Variable
from .._sampling import align, is_plain
from .._special import betainc, digamma, gammainc
from .._transforms import vjp
from ..autograd import Function, enable_grad

#: Below this the first terms of a series are exact, and densities may be out of range.
_SMALL = 1e-200


def _reduced(g: Variable, shape: tuple[int, ...]) -> Variable:
    """A gradient summed over the axes along which its parameter was broadcast."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1))
    return _core.sum(g, axis=axes, keepdims=True).reshape(shape)


class _Implicit(Function):
    """The identity of a sample, whose gradient by the parameters comes from ``rule(g, x, *params)``."""

    @staticmethod
    def forward(ctx: Any, rule: Any, sample: Variable, *params: Variable) -> Variable:
        out: Variable = sample.clone() if is_plain(sample, *params) else _Implicit.apply(rule, sample, *params)
        ctx.rule = rule
        ctx.save_for_backward(out, *params)
        return out

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        out, *params = ctx.saved_values
        if g is None:
            return (None, None, *(None for _ in params))
        slopes = ctx.rule(_wide(g), _wide(out), *map(_wide, params))
        return (None, None, *(_reduced(s.astype(p.dtype), p.shape) for s, p in zip(slopes, params, strict=True)))

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], rule: Any, sample: Variable, *params: Variable) -> Any:
        mapped = [a is not None for a in axes[2:]]
        if axes[1] is None:
            sample = _core.broadcast_to(sample, (info.batch_size, *sample.shape))
        return _Implicit.apply(rule, sample, *align(sample.ndim, params, mapped)), 0


def _wide(x: Variable) -> Variable:
    return x if x.dtype == _core.float64 else x.astype(_core.float64)


def attach(rule: Any, sample: Variable, *params: Variable) -> Variable:
    """Ties a sample that was drawn without a graph to its parameters."""
    found: Variable = _Implicit.apply(rule, sample, *params)
    return found


def _partials(f: Any, *args: Variable) -> tuple[Variable, ...]:
    """The partial derivatives of an elementwise function; with recording on they can be differentiated."""
    if not is_plain(*args):
        y, pull = vjp(f, *args)
        found: tuple[Variable, ...] = pull(_core.ones_like(y))
        return found
    # `vjp` would create values of the active mappings.
    roots = _core._plain_roots(args)
    with enable_grad():
        y = f(*roots)
    return _core._vjp_pull([y], [_core.ones_like(y)], roots, False)


def gamma_slope(x: Variable, a: Variable) -> Variable:
    """dx/da of a sample of Gamma(a, 1)."""
    inside = _core.maximum(x, _SMALL)
    by_shape, density = _partials(gammainc, *_core.broadcast_arrays(a, inside))
    # The series P = x^a / Γ(a + 1), of which only the first term counts.
    small = -x * (_core.log(_core.maximum(x, 5e-324)) - digamma(a + 1.0)) / a
    return _core.where((x > _SMALL) & (density > 0.0), -by_shape / _core.where(density > 0.0, density, 1.0), small)


def gamma_rule(g: Variable, x: Variable, a: Variable) -> tuple[Variable]:
    """The gradient by the shape of Gamma(a, 1)."""
    return (g * gamma_slope(x, a),)


def _beta_slopes(x: Variable, a: Variable, b: Variable) -> tuple[Variable, Variable, Variable]:
    """dx/da, dx/db and whether they are in range, for a sample of Beta(a, b)."""
    a, b, x = _core.broadcast_arrays(a, b, x)
    good = (x > _SMALL) & (x < 1.0)
    by_a, by_b, density = _partials(betainc, a, b, _core.where(good, x, 0.5))
    good = good & (density > 0.0) & _core.isfinite(density)
    density = _core.where(good, density, 1.0)
    return -by_a / density, -by_b / density, good


def beta_rule(g: Variable, x: Variable, a: Variable, b: Variable) -> tuple[Variable, Variable]:
    """The gradients by the shapes of Beta(a, b)."""
    da, db, good = _beta_slopes(x, a, b)
    # At the ends the sample does not move.
    return g * _core.where(good, da, 0.0), g * _core.where(good, db, 0.0)


def dirichlet_rule(g: Variable, x: Variable, a: Variable) -> tuple[Variable]:
    """The gradient by the concentrations: x_j moves as its Beta marginal, the others shrink in proportion (arXiv 1806.01851)."""
    rest = _core.sum(a, axis=-1, keepdims=True) - a
    da, _, good = _beta_slopes(x, a, rest)
    low = -(_core.log(_core.maximum(x, 5e-324)) - digamma(a + 1.0) + digamma(a + rest)) * x / a
    high = (digamma(a + rest) - digamma(a)) / rest
    r = _core.where(good, da / _core.where(good, 1.0 - x, 1.0), _core.where(x < 0.5, low, high))
    return (r * (g - _core.sum(g * x, axis=-1, keepdims=True)),)
