"""Distributions against SciPy and mpmath: densities, distribution functions, moments, gradients of every kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as ss

import tapegrad as tg

D = tg.distributions
F64 = tg.float64


def v(*x):
    return tg.Variable(list(x) if len(x) > 1 else x[0], dtype=F64)


def power(d):
    """SciPy has no Kumaraswamy: its functions by hand."""
    a, b = d

    class K:
        @staticmethod
        def logpdf(x):
            return np.log(a * b) + (a - 1) * np.log(x) + (b - 1) * np.log1p(-(x**a))

        @staticmethod
        def cdf(x):
            return -np.expm1(b * np.log1p(-(x**a)))

        @staticmethod
        def sf(x):
            return (1 - x**a) ** b

        @staticmethod
        def mean():
            return b * math.gamma(1 + 1 / a) * math.gamma(b) / math.gamma(1 + 1 / a + b)

        @staticmethod
        def var():
            return b * math.gamma(1 + 2 / a) * math.gamma(b) / math.gamma(1 + 2 / a + b) - K.mean() ** 2

        @staticmethod
        def ppf(p):
            return (1 - (1 - p) ** (1 / b)) ** (1 / a)

    return K


#: Each family: its class, parameters, SciPy's distribution, and values from tail to tail.
FAMILIES = [
    (D.Normal, {"loc": 0.5, "scale": 2.0}, lambda loc, scale: ss.norm(loc, scale), [-60.0, -3.0, 0.5, 4.0, 70.0]),
    (D.HalfNormal, {"scale": 2.0}, lambda scale: ss.halfnorm(0, scale), [1e-9, 0.5, 4.0, 60.0]),
    (D.LogNormal, {"loc": 0.3, "scale": 0.8}, lambda loc, scale: ss.lognorm(scale, 0, math.exp(loc)), [1e-20, 0.5, 3.0, 1e9]),
    (D.Laplace, {"loc": 0.5, "scale": 2.0}, lambda loc, scale: ss.laplace(loc, scale), [-900.0, -3.0, 0.4, 4.0, 800.0]),
    (D.Cauchy, {"loc": 0.5, "scale": 2.0}, lambda loc, scale: ss.cauchy(loc, scale), [-1e12, -3.0, 0.5, 4.0, 1e10]),
    (D.HalfCauchy, {"scale": 2.0}, lambda scale: ss.halfcauchy(0, scale), [1e-9, 0.5, 4.0, 1e12]),
    (D.Gumbel, {"loc": 0.5, "scale": 2.0}, lambda loc, scale: ss.gumbel_r(loc, scale), [-8.0, -3.0, 0.5, 4.0, 300.0]),
    (D.Logistic, {"loc": 0.5, "scale": 2.0}, lambda loc, scale: ss.logistic(loc, scale), [-900.0, -3.0, 0.5, 4.0, 900.0]),
    (
        D.StudentT,
        {"df": 3.5, "loc": 0.5, "scale": 2.0},
        lambda df, loc, scale: ss.t(df, loc, scale),
        [-1e9, -3.0, 0.4, 0.7, 4.0, 1e8],
    ),
    (D.Uniform, {"low": -1.0, "high": 3.0}, lambda low, high: ss.uniform(low, high - low), [-0.99, 0.5, 2.99]),
    (D.Exponential, {"rate": 1.7}, lambda rate: ss.expon(0, 1 / rate), [1e-9, 0.5, 3.0, 300.0]),
    (
        D.Gamma,
        {"concentration": 2.5, "rate": 1.7},
        lambda concentration, rate: ss.gamma(concentration, 0, 1 / rate),
        [1e-9, 0.5, 3.0, 200.0],
    ),
    (
        D.Gamma,
        {"concentration": 0.2, "rate": 1.7},
        lambda concentration, rate: ss.gamma(concentration, 0, 1 / rate),
        [1e-30, 0.5, 3.0],
    ),
    (D.Chi2, {"df": 3.0}, lambda df: ss.chi2(df), [1e-9, 0.5, 3.0, 200.0]),
    (
        D.InverseGamma,
        {"concentration": 2.5, "rate": 1.7},
        lambda concentration, rate: ss.invgamma(concentration, 0, rate),
        [0.02, 0.5, 3.0, 1e9],
    ),
    (
        D.Weibull,
        {"scale": 2.0, "concentration": 1.5},
        lambda scale, concentration: ss.weibull_min(concentration, 0, scale),
        [1e-9, 0.5, 3.0, 40.0],
    ),
    (D.Pareto, {"scale": 2.0, "alpha": 2.5}, lambda scale, alpha: ss.pareto(alpha, 0, scale), [2.001, 3.0, 1e12]),
    (
        D.Beta,
        {"concentration1": 2.5, "concentration0": 0.7},
        lambda concentration1, concentration0: ss.beta(concentration1, concentration0),
        [1e-9, 0.3, 0.9, 1 - 1e-9],
    ),
    (D.Kumaraswamy, {"concentration1": 2.5, "concentration0": 1.7}, lambda **k: power(k.values()), [1e-5, 0.3, 0.9, 0.99]),
    (D.FisherSnedecor, {"df1": 3.0, "df2": 5.5}, lambda df1, df2: ss.f(df1, df2), [1e-9, 0.5, 3.0, 1e6]),
    (
        D.VonMises,
        {"loc": 0.5, "concentration": 2.0},
        lambda loc, concentration: ss.vonmises(concentration, loc),
        [-2.0, 0.5, 3.0],
    ),
    (
        D.VonMises,
        {"loc": 0.5, "concentration": 300.0},
        lambda loc, concentration: ss.vonmises(concentration, loc),
        [0.2, 0.5, 0.9],
    ),
    (D.Bernoulli, {"probs": 0.3}, lambda probs: ss.bernoulli(probs), [0.0, 1.0]),
    (D.Geometric, {"probs": 0.3}, lambda probs: ss.geom(probs, -1), [0.0, 1.0, 5.0, 90.0]),
    (
        D.Binomial,
        {"total_count": 12.0, "probs": 0.3},
        lambda total_count, probs: ss.binom(total_count, probs),
        [0.0, 1.0, 5.0, 12.0],
    ),
    (
        D.NegativeBinomial,
        {"total_count": 3.5, "probs": 0.3},
        lambda total_count, probs: ss.nbinom(total_count, 1 - probs),
        [0.0, 1.0, 5.0, 60.0],
    ),
    (D.Poisson, {"rate": 3.5}, lambda rate: ss.poisson(rate), [0.0, 1.0, 5.0, 60.0]),
]
IDS = [f"{f[0].__name__}-{i}" for i, f in enumerate(FAMILIES)]
families = pytest.mark.parametrize(("kind", "params", "scipy", "values"), FAMILIES, ids=IDS)
WITHOUT_QUANTILE = {D.VonMises}
DISCRETE = {D.Bernoulli, D.Geometric, D.Binomial, D.NegativeBinomial, D.Poisson}


def made(kind, params, dtype=F64):
    return kind(**{k: tg.Variable(x, dtype=dtype) for k, x in params.items()})


def made_freely(kind, params):
    return kind(**{k: v(x) for k, x in params.items()}, validate_args=False)


def close(ours, theirs, rtol=1e-12, atol=0.0):
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=rtol, atol=atol)


@families
def test_density_and_distribution_function(kind, params, scipy, values):
    d, s, x = made(kind, params), scipy(**params), np.array(values)
    close(d.log_prob(v(*values)), s.logpmf(x) if kind in DISCRETE else s.logpdf(x), rtol=2e-12)
    if kind is D.VonMises:
        return
    close(d.cdf(v(*values)), s.cdf(x), rtol=1e-11)
    close(d.sf(v(*values)), s.sf(x), rtol=1e-11)
    inner = s.cdf(x) > 1e-200
    close(d.log_cdf(v(*values))[inner], np.log(s.cdf(x[inner])), rtol=1e-11, atol=1e-13)


@families
def test_moments_and_entropy(kind, params, scipy, values):
    d, s = made(kind, params), scipy(**params)
    if kind is D.VonMises:
        close(d.entropy(), s.entropy(), rtol=1e-7)
        return
    close(d.mean, s.mean() if kind not in (D.Cauchy, D.HalfCauchy) else (np.nan if kind is D.Cauchy else np.inf), rtol=1e-10)
    close(d.variance, s.var() if kind not in (D.Cauchy, D.HalfCauchy) else np.inf, rtol=1e-10)
    close(d.stddev**2, d.variance.numpy())
    if kind not in (D.Kumaraswamy, D.FisherSnedecor, D.NegativeBinomial):
        close(d.entropy(), s.entropy(), rtol=1e-8)
        close(d.perplexity(), np.exp(d.entropy().numpy()))


@families
def test_quantiles(kind, params, scipy, values):
    d, s = made(kind, params), scipy(**params)
    p = np.array([1e-20, 1e-6, 0.3, 0.5, 0.9, 1 - 2.0**-20])
    if kind in DISCRETE or kind in WITHOUT_QUANTILE:
        with pytest.raises(NotImplementedError, match=kind.__name__):
            d.icdf(0.5)
        return
    found = d.icdf(v(*p))
    if kind in (D.Kumaraswamy, D.HalfNormal):  # SciPy's derivatives are 0 there
        p, found = p[1:], found[1:]
    close(found, s.ppf(p), rtol=1e-9)


@families
def test_gradients(kind, params, scipy, values):
    """Orders 1 and 2 by differences, in every parameter and in the value; forward mode and vmap."""
    names = list(params)
    inner = v(*(values[1:3] if len(values) > 2 else [1.0, 0.0]))

    def f(x, *p):
        return kind(**dict(zip(names, p)), validate_args=False).log_prob(x)

    p = [v(params[n]) for n in names]
    free = [n for n in names if n != "total_count" or kind is D.NegativeBinomial]

    def g(*args):
        x, rest = (inner, args) if kind in DISCRETE else (args[0], args[1:])
        rest = iter(rest)
        return f(x, *(next(rest) if n in free else v(params[n]) for n in names))

    args = [v(params[n]).requires_grad_() for n in free]
    if kind not in DISCRETE:
        args.insert(0, inner.clone().requires_grad_())
    assert tg.autograd.gradcheck(g, args)
    if kind is not D.Laplace:
        assert tg.autograd.gradgradcheck(g, args, atol=1e-4)
    plain = [a.detach() for a in args]
    y, pull = tg.vjp(g, *plain)
    ones = [tg.ones_like(a) for a in plain]
    _, dy = tg.jvp(g, plain, ones)
    cotangents = pull(tg.ones_like(y))
    assert float(dy.sum()) == pytest.approx(sum(float((c * t).sum()) for c, t in zip(cotangents, ones)), rel=1e-9, abs=1e-9)
    rows = tg.vmap(lambda x: f(x, *p))(inner)
    close(rows, f(inner, *p).numpy())


@families
def test_float32(kind, params, scipy, values):
    d = made(kind, params, tg.float32)
    x = tg.Variable(values[1:3], dtype=tg.float32)
    found = d.log_prob(x)
    assert found.dtype == tg.float32
    assert d.sample((3,)).dtype == tg.float32
    close(found, made(kind, params).log_prob(v(*values[1:3])).numpy(), rtol=2e-4, atol=2e-5)


@families
def test_samples(kind, params, scipy, values):
    d, s = made(kind, params), scipy(**params)
    x = d.sample((4000,), generator=tg.random.Generator(7)).numpy()
    assert np.array_equal(x, d.sample((4000,), generator=tg.random.Generator(7)).numpy())
    if kind in DISCRETE:
        top = int(s.ppf(0.995)) + 1
        top = min(top, 1) if kind is D.Bernoulli else top
        seen = np.bincount(np.minimum(x, top).astype(int), minlength=top + 1)
        p = np.append(s.pmf(np.arange(top)), s.sf(top - 1))
        assert ss.chisquare(seen, p / p.sum() * len(x)).pvalue > 1e-3
    else:
        assert ss.kstest(x, s.cdf).pvalue > 1e-3
    assert bool(tg.all(d.support.check(d.sample((50,)))))


@families
def test_shapes(kind, params, scipy, values):
    d = kind(**{k: tg.full((3, 1), x, dtype=F64) for k, x in params.items()})
    assert d.batch_shape == (3, 1)
    assert d.event_shape == ()
    assert d.sample().shape == (3, 1)
    assert d.sample((2,)).shape == (2, 3, 1)
    assert d.log_prob(v(values[1])).shape == (3, 1)
    assert d.log_prob(tg.full((2, 3, 4), values[1], dtype=F64)).shape == (2, 3, 4)
    wide = d.expand((2, 3, 4))
    assert type(wide) is kind
    assert wide.batch_shape == (2, 3, 4)
    assert wide.sample((5,)).shape == (5, 2, 3, 4)
    close(wide.log_prob(v(values[1])), np.broadcast_to(d.log_prob(v(values[1])).numpy(), (2, 3, 4)))
    assert d.sample((0,)).shape == (0, 3, 1)
    empty = kind(**{k: tg.full((0,), x, dtype=F64) for k, x in params.items()})
    assert empty.sample((2,)).shape == (2, 0)
    assert empty.log_prob(v(values[1])).shape == (0,)
    assert kind.__name__ in repr(d)
    numbers = kind(**params)
    assert numbers.batch_shape == ()
    assert numbers.log_prob(values[1]).dtype == tg.float32


@families
def test_reparametrised_samples(kind, params, scipy, values):
    """The gradient of the mean of samples is that of the mean."""
    d = made(kind, params)
    if not d.has_rsample:
        with pytest.raises(NotImplementedError, match="sample"):
            d.rsample()
        return
    leaves = {k: v(x).requires_grad_() for k, x in params.items()}
    # Bounded, so that the average converges in heavy tails, too.
    squash = tg.atan
    x = kind(**leaves).rsample((20000,), generator=tg.random.Generator(3))
    grads = tg.autograd.grad(squash(x).mean(), list(leaves.values()))
    q = (np.arange(20000) + 0.5) / 20000
    for (name, value), g in zip(params.items(), grads):
        eps = 1e-4 * value
        low, high = (np.arctan(scipy(**{**params, name: value + s * eps}).ppf(q)).mean() for s in (-1, 1))
        assert float(g) == pytest.approx((high - low) / (2 * eps), rel=0.06, abs=0.01), name


@families
def test_outside_of_the_support(kind, params, scipy, values):
    d = made(kind, params)
    bad = [x for x in (-2.5, 40.5) if not bool(d.support.check(v(x)))]
    for x in bad:
        with pytest.raises(ValueError, match=kind.__name__):
            d.log_prob(x)
        if kind is D.Bernoulli:
            continue
        leaves = {k: v(p).requires_grad_() for k, p in params.items()}
        at = v(x).requires_grad_()
        lp = kind(**leaves, validate_args=False).log_prob(at)
        if lp.item() == -math.inf:
            grads = tg.autograd.grad(lp, [at, *leaves.values()], allow_unused=True)
            assert all(g is None or float(g) == 0.0 for g in grads)
        else:
            assert kind in DISCRETE
            assert x > 0
    with pytest.raises(ValueError, match=kind.__name__):
        d.log_prob(math.nan)
    assert math.isnan(made_freely(kind, params).log_prob(v(math.nan)).item())


@families
def test_bad_parameters(kind, params, scipy, values):
    for name in params:
        if name in ("loc", "low", "high"):
            continue
        with pytest.raises(ValueError, match=name if kind is not D.Uniform else "high"):
            kind(**{**params, name: -1.5})
        kind(**{**params, name: -1.5}, validate_args=False)
        with pytest.raises(ValueError, match="index"):
            kind(**{**params, name: tg.Variable([params[name], math.nan])})


@families
def test_gradients_of_other_methods(kind, params, scipy, values):
    """Moments, entropy, distribution functions and quantiles, orders 1 and 2."""
    names, x = list(params), v(*(values[1:3] if len(values) > 2 else [1.0, 0.0]))
    free = [n for n in names if n != "total_count" or kind is D.NegativeBinomial]
    args = [v(params[n]).requires_grad_() for n in free]
    for method in ("mean", "variance", "stddev", "entropy", "cdf", "sf", "log_cdf", "icdf"):

        def f(*given, method=method):
            rest = iter(given)
            d = kind(**{n: (next(rest) if n in free else v(params[n])) for n in names})
            found = getattr(d, method)
            if method in ("cdf", "sf", "log_cdf"):
                return found(x)
            return found(v(0.2, 0.7)) if method == "icdf" else found() if method == "entropy" else found

        try:
            y = f(*args)
        except NotImplementedError:
            continue
        assert y.requires_grad or not bool(tg.any(tg.isfinite(y)))
        if y.requires_grad:
            assert tg.autograd.gradcheck(f, args)
            assert tg.autograd.gradgradcheck(f, args, atol=1e-4)


LARGE = [
    (D.Gamma, {"concentration": 1000.0, "rate": 2.0}, 510.25, lambda x: ss.gamma.logpdf(x, 1000, scale=0.5)),
    (D.InverseGamma, {"concentration": 1000.0, "rate": 2.0}, 2.0**-9, lambda x: ss.invgamma.logpdf(x, 1000, scale=2.0)),
    (D.Beta, {"concentration1": 3000.0, "concentration0": 2000.0}, 0.609375, lambda x: ss.beta.logpdf(x, 3000, 2000)),
    (D.Poisson, {"rate": 5000.0}, 5100.0, lambda x: ss.poisson.logpmf(x, 5000)),
    (D.Binomial, {"total_count": 4000.0, "probs": 0.25}, 1010.0, lambda x: ss.binom.logpmf(x, 4000, 0.25)),
    (D.NegativeBinomial, {"total_count": 400.0, "probs": 0.25}, 140.0, lambda x: ss.nbinom.logpmf(x, 400, 0.75)),
    (D.StudentT, {"df": 1e7}, 1.5, lambda x: ss.t.logpdf(x, 1e7)),
]


@pytest.mark.parametrize(("kind", "params", "x", "expected"), LARGE, ids=[row[0].__name__ for row in LARGE])
def test_large_shapes_in_float32(kind, params, x, expected):
    """Terms of thousands cancel: computed in float32, four digits would be left."""
    d = made(kind, params, tg.float32)
    y = d.log_prob(tg.Variable(x))
    assert y.dtype == tg.float32
    assert y.item() == pytest.approx(expected(x), rel=1e-6)
    name = next(iter(params))
    leaf = tg.Variable(params[name], requires_grad=True)
    kind(**{**{k: tg.Variable(p) for k, p in params.items()}, name: leaf}).log_prob(tg.Variable(x)).backward()
    assert leaf.grad.dtype == tg.float32
