"""Kullback-Leibler divergences against integrals and sums."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from comparing import close, covariance, v
from tapegrad.distributions.kl import _RULES

D = tg.distributions
T = D.transforms


PAIRS = {
    D.Normal: [(0.3, 1.2), (-0.5, 0.8)],
    D.Laplace: [(0.3, 1.2), (-0.5, 0.8)],
    D.Cauchy: [(0.3, 1.2), (-0.5, 0.8)],
    D.Gumbel: [(0.3, 1.2), (-0.5, 0.8)],
    D.Uniform: [(0.2, 0.8), (0.1, 0.9)],
    D.Exponential: [(1.5,), (0.7,)],
    D.Gamma: [(2.5, 1.5), (1.4, 0.7)],
    D.InverseGamma: [(4.5, 1.5), (3.4, 0.7)],
    D.Beta: [(2.5, 1.5), (1.4, 0.7)],
    D.LogNormal: [(0.3, 0.9), (-0.5, 0.8)],
    D.HalfNormal: [(1.2,), (0.8,)],
    D.HalfCauchy: [(1.2,), (0.8,)],
    D.Weibull: [(1.2, 1.5), (0.8, 2.0)],
    D.Pareto: [(1.2, 3.5), (0.9, 2.0)],
    D.VonMises: [(0.3, 1.2), (-0.5, 2.0)],
    D.Bernoulli: [(0.3,), (0.6,)],
    D.Geometric: [(0.3,), (0.6,)],
    D.Poisson: [(1.5,), (2.5,)],
    D.Binomial: [(4.0, 0.3), (4.0, 0.6)],
    D.ContinuousBernoulli: [(0.3,), (0.6,)],
}


CLOSED = [pair for pair in _RULES if pair[0] in PAIRS and pair[1] in PAIRS]


def points(p):
    """Values and weights of an integral over the support of p."""
    u, w = np.polynomial.legendre.leggauss(200)
    if type(p) in (D.Bernoulli, D.Geometric, D.Poisson, D.Binomial):
        top = {D.Bernoulli: 2, D.Binomial: 5}.get(type(p), 150)
        return np.arange(float(top)), np.ones(top)
    ends = {D.Beta: (0, 1), D.ContinuousBernoulli: (0, 1), D.VonMises: (-np.pi, np.pi), D.Uniform: (0.2, 0.8)}
    low, high = ends.get(type(p), (None, None))
    if low is not None:
        return low + (high - low) * (u + 1) / 2, w * (high - low) / 2
    # Tanh-sinh: the ends may be far or singular.
    t = np.linspace(-6, 6, 3000)
    if type(p) in (D.Normal, D.Laplace, D.Cauchy, D.Gumbel):
        return 0.3 + np.sinh(1.5 * np.sinh(t / 1.6)), 1.5 / 1.6 * np.cosh(t / 1.6) * np.cosh(1.5 * np.sinh(t / 1.6)) * (
            t[1] - t[0]
        )
    z = np.exp(1.5 * np.sinh(t / 1.6))
    return z + (1.2 if type(p) is D.Pareto else 0.0), z * 1.5 / 1.6 * np.cosh(t / 1.6) * (t[1] - t[0])


@pytest.mark.parametrize("pair", CLOSED, ids=[f"{a.__name__}-{b.__name__}" for a, b in CLOSED])
def test_divergence(pair):
    p, q = (kind(*map(v, PAIRS[kind][i]), validate_args=False) for i, kind in enumerate(pair))
    found = D.kl_divergence(p, q).item()
    x, w = points(p)
    inside = p.log_prob(v(x)).numpy() > -700
    x, w = x[inside], w[inside]
    lp, lq = p.log_prob(v(x)).numpy(), q.log_prob(v(x)).numpy()
    if np.isinf(lq).any():
        assert found == math.inf
    else:
        rel = 1e-4 if pair[0] in (D.Laplace, D.Cauchy, D.Beta) else 1e-6
        assert found == pytest.approx(float((w * np.exp(lp) * (lp - lq)).sum()), rel=rel)
    same = kind_of(pair[0])
    assert D.kl_divergence(same, same).item() == pytest.approx(0.0, abs=1e-12)


def kind_of(kind):
    return kind(*map(v, PAIRS[kind][0]))


def test_divergence_of_vectors():
    a, b = covariance(3, 1), covariance(3, 2)
    p, q = D.MultivariateNormal(v([0.1, 0.2, 0.3]), v(a)), D.MultivariateNormal(v([0.0, -0.5, 0.3]), v(b))
    d = np.array([0.1, 0.7, 0.0])
    inv = np.linalg.inv(b)
    expected = 0.5 * (np.trace(inv @ a) + d @ inv @ d - 3 + np.linalg.slogdet(b)[1] - np.linalg.slogdet(a)[1])
    close(D.kl_divergence(p, q), expected)
    w, u = v([0.2, 0.0, 0.8]), v([0.3, 0.3, 0.4])
    expected = 0.2 * math.log(0.2 / 0.3) + 0.8 * math.log(2.0)
    close(D.kl_divergence(D.Categorical(probs=w), D.Categorical(probs=u)), expected)
    assert D.kl_divergence(D.Categorical(probs=u), D.Categorical(probs=w)).item() == math.inf
    close(D.kl_divergence(D.OneHotCategorical(probs=w), D.OneHotCategorical(probs=u)), expected)
    close(D.kl_divergence(D.Multinomial(4, probs=w), D.Multinomial(4, probs=u)), 4 * expected)
    r, s = D.Dirichlet(v([0.5, 1.5])), D.Dirichlet(v([2.0, 1.0]))
    close(D.kl_divergence(r, s), D.kl_divergence(D.Beta(v(0.5), v(1.5)), D.Beta(v(2.0), v(1.0))).numpy())
    t = [T.ExpTransform()]
    n, m = D.Normal(v(0.0), v(1.0)), D.Normal(v(1.0), v(2.0))
    close(D.kl_divergence(D.TransformedDistribution(n, t), D.TransformedDistribution(m, t)), D.kl_divergence(n, m).numpy())


def test_divergences_of_your_own():
    class Mine(D.Normal):
        pass

    n = D.Normal(0.0, 1.0)
    assert D.kl_divergence(Mine(1.0, 1.0), n).item() == 0.5

    @D.register_kl(Mine, D.Normal)
    def rule(p, q):
        return tg.full_like(p.loc, 7.0)

    assert D.kl_divergence(Mine(1.0, 1.0), n).item() == 7.0
    assert D.kl_divergence(n, n).item() == 0.0
    with pytest.raises(NotImplementedError, match="register_kl"):
        D.kl_divergence(D.StudentT(3.0), n)
    with pytest.raises(TypeError, match="classes"):
        D.register_kl(int, D.Normal)
