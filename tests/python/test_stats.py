"""`tg.stats` against `scipy.stats`, under the same names and with the same arguments."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as ss

import tapegrad as tg

S = tg.stats
CONTINUOUS = {
    "norm": (),
    "laplace": (),
    "cauchy": (),
    "logistic": (),
    "gumbel_r": (),
    "t": (3.5,),
    "uniform": (),
    "expon": (),
    "gamma": (2.5,),
    "beta": (2.5, 0.7),
    "chi2": (3.0,),
    "f": (3.0, 5.5),
    "halfcauchy": (),
    "halfnorm": (),
    "invgamma": (4.5,),
    "lognorm": (0.6,),
    "pareto": (4.5,),
    "vonmises": (2.0,),
    "weibull_min": (1.5,),
}
DISCRETE = {"bernoulli": (0.3,), "binom": (6, 0.3), "geom": (0.3,), "nbinom": (3, 0.4), "poisson": (2.5,)}
CLOSED = set(CONTINUOUS) - {"vonmises"}


def v(x):
    return tg.asarray(np.asarray(x, dtype=np.float64))


def close(a, b, rtol=1e-10):
    np.testing.assert_allclose(a.numpy(), b, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name):
    shapes, ours, theirs = CONTINUOUS[name], getattr(S, name), getattr(ss, name)
    x = np.array([-3.0, 0.2, 0.5, 0.8, 1.0, 2.5, 30.0])
    one = v(1.0)  # numbers alone would be float32
    for more in ({}, {"loc": 0.25, "scale": 1.5}):
        args = tuple(map(v, shapes))
        named = {"scale": one, **{k: v(a) for k, a in more.items()}}
        with np.errstate(all="ignore"):
            inside = x if name != "vonmises" else x[np.abs(x) < 3]
            close(ours.logpdf(v(inside), *args, **named), theirs.logpdf(inside, *shapes, **more))
            close(ours.pdf(v(inside), *args, **named), theirs.pdf(inside, *shapes, **more))
            if name == "vonmises":
                continue
            for f in ("cdf", "sf", "logcdf", "logsf"):
                close(getattr(ours, f)(v(x), *args, **named), getattr(theirs, f)(x, *shapes, **more), rtol=1e-9)
            if name not in ("cauchy", "halfcauchy"):
                for f in ("mean", "var", "std"):
                    close(getattr(ours, f)(*args, **named), getattr(theirs, f)(*shapes, **more), rtol=1e-9)
            if name != "f":
                close(ours.entropy(*args, **named), theirs.entropy(*shapes, **more), rtol=1e-8)
            if name in CLOSED:
                q = np.array([1e-6, 0.3, 0.9])
                for f in ("ppf", "isf"):
                    close(getattr(ours, f)(v(q), *args, **named), getattr(theirs, f)(q, *shapes, **more), rtol=1e-8)
                close(ours.median(*args, **named), theirs.median(*shapes, **more))
            else:
                with pytest.raises(NotImplementedError):
                    ours.ppf(0.5, *shapes)
    drawn = ours.rvs(*shapes, 0.25, 1.5, size=2000, random_state=tg.random.Generator(1))
    assert ss.kstest(drawn.numpy(), theirs(*shapes, 0.25, 1.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(name):
    shapes, ours, theirs = DISCRETE[name], getattr(S, name), getattr(ss, name)
    k = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 5.0, 7.0])
    for loc in (0, 2):
        args = (*map(v, shapes), loc)
        with np.errstate(all="ignore"):
            for f in ("pmf", "logpmf", "cdf", "sf"):
                close(getattr(ours, f)(v(k + loc), *args), getattr(theirs, f)(k + loc, *shapes, loc), rtol=1e-10)
        for f in ("mean", "var", "std"):
            close(getattr(ours, f)(*args), getattr(theirs, f)(*shapes, loc))
    assert ours.rvs(*shapes, size=(3, 2)).shape == (3, 2)
    if name == "geom":
        close(ours.ppf(v([0.1, 0.3, 0.5, 0.99]), 0.3), theirs.ppf([0.1, 0.3, 0.5, 0.99], 0.3))


def test_vectors():
    rng = np.random.default_rng(0)
    m, a = rng.normal(size=3), rng.normal(size=(3, 3))
    c, x = a @ a.T + np.eye(3), rng.normal(size=(5, 3))
    close(S.multivariate_normal.logpdf(v(x), v(m), v(c)), ss.multivariate_normal.logpdf(x, m, c))
    close(S.multivariate_normal.pdf(v(x), mean=v(m), cov=v(c)), ss.multivariate_normal.pdf(x, mean=m, cov=c))
    close(S.multivariate_normal.logpdf(v(x), v(m)), ss.multivariate_normal.logpdf(x, m))
    close(S.multivariate_normal.logpdf(v(x), v(m), v([1.0, 2.0, 3.0])), ss.multivariate_normal.logpdf(x, m, [1.0, 2.0, 3.0]))
    close(S.multivariate_normal(v(m), v(c)).entropy(), ss.multivariate_normal(m, c).entropy())
    assert S.multivariate_normal.rvs(v(m), v(c), size=4).shape == (4, 3)
    y = [0.2, 0.3, 0.5]
    close(S.dirichlet.logpdf(v(y), v([0.5, 1.0, 2.0])), ss.dirichlet.logpdf(y, [0.5, 1.0, 2.0]))
    close(S.dirichlet.mean(v([0.5, 1.0, 2.0])), ss.dirichlet.mean([0.5, 1.0, 2.0]))
    n = [[1, 2, 2], [1, 1, 1]]
    close(S.multinomial.pmf(v(n), 5, v(y)), ss.multinomial.pmf(n, 5, y))


def test_frozen():
    d = S.gamma(2.0, scale=3.0)
    close(d.logpdf(v(1.5)), ss.gamma(2.0, scale=3.0).logpdf(1.5), rtol=1e-6)
    assert d.mean().item() == 6.0
    assert d.rvs(4).shape == (4,)
    assert d.rvs(size=(2, 2)).shape == (2, 2)
    assert "gamma" in repr(d)
    with pytest.raises(AttributeError, match="pmf"):
        d.pmf(1)
    low, high = S.norm(1.0, 2.0).interval(0.95)
    assert (low + high).item() == pytest.approx(2.0)


def test_gradients():
    for name, shapes in {**CONTINUOUS, **DISCRETE}.items():
        family = getattr(S, name)
        log = family.logpdf if name in CONTINUOUS else family.logpmf
        free = [v(s).requires_grad_() for s in shapes if isinstance(s, float)]
        fixed = [s for s in shapes if not isinstance(s, float)]
        if name in CONTINUOUS:
            free += [v(0.1).requires_grad_(), v(1.4).requires_grad_()]
        x = v([1.7, 2.2]) if name == "pareto" else v([0.5, 0.9]) if name in CONTINUOUS else v([1.0])
        f = lambda *p, x=x, log=log, fixed=fixed: log(x, *fixed, *p)  # noqa: E731
        if free:
            assert tg.autograd.gradcheck(f, free), name
            assert name in ("uniform",) or tg.autograd.gradgradcheck(f, free, atol=1e-4), name


def test_arguments():
    x = np.array([0.5, 1.0])
    assert S.norm.logpdf(x).dtype == tg.float64
    assert S.norm.logpdf([0.5]).shape == (1,)
    assert S.norm.pdf(0).shape == ()
    assert S.norm.logpdf(x, np.zeros((3, 1)), 2).shape == (3, 2)
    for call, text in [
        (lambda: S.gamma.logpdf(1.0), "'a' is missing"),
        (lambda: S.norm.logpdf(1.0, 0.0, 1.0, 2.0), "loc, scale"),
        (lambda: S.norm.logpdf(1.0, mu=2.0), "'mu'"),
        (lambda: S.norm.logpdf(1.0, 0.0, loc=2.0), "twice"),
    ]:
        with pytest.raises(TypeError, match=text):
            call()
    leaf = tg.Variable(-1.0, requires_grad=True)
    y = S.expon.logpdf(leaf)
    y.backward()
    assert y.item() == -np.inf
    assert float(leaf.grad) == 0.0
    assert set(S.__all__) <= set(dir(S))
    assert S.norm.numargs == 0
    assert S.beta.numargs == 2
