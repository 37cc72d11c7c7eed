"""Draws of `tg.random` from the usual families: their distributions at fixed seeds, shapes, dtypes, arguments."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.stats as ss

import tapegrad as tg

R = tg.random

CONTINUOUS = {
    "random": ((), ss.uniform()),
    "standard_normal": ((), ss.norm()),
    "standard_exponential": ((), ss.expon()),
    "exponential": ((2.0,), ss.expon(0, 2.0)),
    "laplace": ((0.5, 2.0), ss.laplace(0.5, 2.0)),
    "logistic": ((0.5, 2.0), ss.logistic(0.5, 2.0)),
    "gumbel": ((0.5, 2.0), ss.gumbel_r(0.5, 2.0)),
    "cauchy": ((0.5, 2.0), ss.cauchy(0.5, 2.0)),
    "standard_cauchy": ((), ss.cauchy()),
    "lognormal": ((0.5, 0.7), ss.lognorm(0.7, 0, np.exp(0.5))),
    "weibull": ((1.5,), ss.weibull_min(1.5)),
    "standard_gamma": ((0.3,), ss.gamma(0.3)),
    "gamma": ((2.5, 3.0), ss.gamma(2.5, 0, 3.0)),
    "chisquare": ((3.0,), ss.chi2(3.0)),
    "standard_t": ((3.0,), ss.t(3.0)),
    "beta": ((0.4, 2.0), ss.beta(0.4, 2.0)),
    "vonmises": ((0.5, 4.0), ss.vonmises(4.0, 0.5)),
}
COUNTS = {
    "poisson": ((4.0,), ss.poisson(4.0)),
    "binomial": ((10, 0.3), ss.binom(10, 0.3)),
    "negative_binomial": ((3, 0.4), ss.nbinom(3, 0.4)),
    "geometric": ((0.3,), ss.geom(0.3)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=str)
def test_continuous(name, dtype):
    args, law = CONTINUOUS[name]
    x = getattr(R, name)(*args, size=4000, dtype=dtype, generator=R.Generator(11))
    assert x.dtype == dtype
    assert x.shape == (4000,)
    assert ss.kstest(x.numpy(), law.cdf).pvalue > 1e-3
    assert x.tolist() == getattr(R.Generator(11), name)(*args, size=4000, dtype=dtype).tolist()
    assert x.tolist() != getattr(R, name)(*args, size=4000, dtype=dtype, generator=R.Generator(12)).tolist()


DRAWS = [
    lambda g: tg.rand(2, generator=g),
    lambda g: tg.randn(2, generator=g),
    lambda g: tg.randint(3, (2,), generator=g),
    lambda g: tg.randperm(3, generator=g),
    lambda g: tg.normal(tg.zeros(2), 1.0, generator=g),
    lambda g: tg.normal(0.0, 1.0, 2, generator=g),
    lambda g: tg.bernoulli(tg.full(2, 0.5), generator=g),
    lambda g: tg.multinomial(tg.ones(3), 2, generator=g),
    lambda g: tg.poisson(tg.ones(2), generator=g),
    lambda g: tg.zeros(2).normal_(generator=g),
    lambda g: tg.zeros(2).uniform_(generator=g),
    lambda g: tg.zeros(2).exponential_(generator=g),
    lambda g: tg.zeros(2).geometric_(0.5, generator=g),
    lambda g: tg.zeros(2).random_(7, generator=g),
    lambda g: tg.zeros(2).bernoulli_(generator=g),
    lambda g: tg.nn.init.normal_(tg.zeros(2), generator=g),
    lambda g: tg.nn.init.uniform_(tg.zeros(2), generator=g),
    lambda g: tg.nn.init.orthogonal_(tg.zeros((2, 2)), generator=g),
    lambda g: tg.nn.init.trunc_normal_(tg.zeros(2), generator=g),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_the_generator_is_used_or_refused(draw):
    assert draw(R.Generator(7)).tolist() == draw(R.Generator(7)).tolist()
    for wrong in (0, False, "", 7, np.random.default_rng(0)):
        with pytest.raises(TypeError, match=r"generator must be a tg.random.Generator or None, got"):
            draw(wrong)


def test_normal_numbers_around_an_array_have_the_size_that_is_asked_for():
    x = tg.normal(tg.Variable([0.0, 1e6, 2e6]), 1.0, (4, 3), generator=R.Generator(7))
    assert x.shape == (4, 3)
    assert np.abs(x.numpy() - [0.0, 1e6, 2e6]).max() < 10
    assert len(np.unique(x.numpy()[:, 0])) == 4
    for size in (2, (3, 1), ()):
        with pytest.raises(tg.ShapeError, match=r"normal: .*cannot be broadcast"):
            tg.normal(tg.zeros(3), 1.0, size)


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    args, law = COUNTS[name]
    x = getattr(R, name)(*args, size=4000, generator=R.Generator(11))
    assert x.dtype == tg.int64
    assert getattr(R, name)(*args, size=2, dtype=tg.float32).dtype == tg.float32
    top = int(law.ppf(0.995)) + 1
    seen = np.bincount(np.minimum(x.numpy(), top), minlength=top + 1)
    p = np.append(law.pmf(np.arange(top)), law.sf(top - 1))
    good = p > 0
    assert seen[~good].sum() == 0
    assert ss.chisquare(seen[good], p[good] / p.sum() * 4000).pvalue > 1e-3


@pytest.mark.parametrize("name", [*CONTINUOUS, *COUNTS])
def test_shapes_and_seeds(name):
    args, _ = (CONTINUOUS | COUNTS)[name]
    f = getattr(R, name)
    assert f(*args).shape == ()
    assert f(*args, size=()).shape == ()
    assert f(*args, size=(0, 2)).shape == (0, 2)
    if args:
        table = tg.full((3, 1), args[0], dtype=tg.float64, requires_grad=True)
        drawn = f(table, *args[1:])
        assert drawn.shape == (3, 1)
        assert not drawn.requires_grad
        assert f(table, *args[1:], size=(2, 3, 4)).shape == (2, 3, 4)
        with pytest.raises(tg.ShapeError, match=name):
            f(table, *args[1:], size=(4, 1))
    tg.manual_seed(5)
    first = f(*args, size=20).tolist()
    tg.manual_seed(5)
    assert f(*args, size=20).tolist() == first
    assert f(*args, size=20).tolist() != first
    with pytest.raises(TypeError, match="generator"):
        f(*args, generator=7)
    with pytest.raises(ValueError, match="negative"):
        f(*args, size=-1)
    rows = tg.vmap(lambda x: f(*args, size=5) + 0.0 * x)(tg.zeros((3,)))
    assert len(np.unique(rows.numpy(), axis=0)) == 3
    assert "generator" in inspect.signature(f).parameters


BAD = [
    ("exponential", (-1.0,), "scale"),
    ("laplace", (0.0, -1.0), "scale"),
    ("lognormal", (0.0, -1.0), "sigma"),
    ("gamma", (-1.0,), "shape"),
    ("gamma", (1.0, -1.0), "scale"),
    ("beta", (0.0, 1.0), "a"),
    ("chisquare", (0.0,), "df"),
    ("standard_t", (float("nan"),), "df"),
    ("weibull", (0.0,), "a"),
    ("poisson", (-1.0,), "lam"),
    ("binomial", (1.5, 0.5), "n"),
    ("binomial", (2, 1.5), "p"),
    ("geometric", (0.0,), "p"),
    ("negative_binomial", (0, 0.5), "n"),
    ("dirichlet", ([1.0, -1.0],), "alpha"),
    ("multinomial", (3, [0.5, 0.6]), "total"),
    ("multinomial", (-3, [0.5, 0.5]), "n"),
    ("vonmises", (0.0, -1.0), "kappa"),
]


@pytest.mark.parametrize(("name", "args", "key"), BAD)
def test_bad_parameters(name, args, key):
    with pytest.raises(ValueError, match=rf"{name}: the parameter {key}"):
        getattr(R, name)(*args)
    with pytest.raises(ValueError, match=name):
        getattr(R, name)(*(tg.asarray(a) for a in args))


def test_vectors():
    x = R.dirichlet([0.5, 1.0, 2.0], size=(2000,), generator=R.Generator(0), dtype=tg.float64)
    assert x.shape == (2000, 3)
    assert ss.kstest(x[:, 0].numpy(), ss.beta(0.5, 3.0).cdf).pvalue > 1e-3
    n = R.multinomial(6, [0.2, 0.3, 0.5], size=(2000,), generator=R.Generator(0)).numpy()
    assert n.shape == (2000, 3)
    assert (n.sum(1) == 6).all()
    assert np.abs(n.mean(0) - [1.2, 1.8, 3.0]).max() < 0.1
    assert R.multinomial([1, 2], [[0.5, 0.5], [0.0, 1.0]])[1].tolist() == [0, 2]
    c = [[2.0, 0.5], [0.5, 1.0]]
    m = R.multivariate_normal([1.0, -1.0], c, size=4000, generator=R.Generator(0)).numpy()
    assert np.abs(np.cov(m.T) - c).max() < 0.15
    assert np.abs(m.mean(0) - [1, -1]).max() < 0.1


def test_categorical():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    for found in (
        R.categorical(probs=p * 3, size=4000, generator=R.Generator(1)),
        R.categorical(tg.log(tg.asarray(p)), size=(4000,), generator=R.Generator(1)),
    ):
        seen = np.bincount(found.numpy(), minlength=4)
        assert seen[1] == 0
        assert ss.chisquare(seen[p > 0], p[p > 0] * 4000).pvalue > 1e-3
    assert R.categorical(tg.zeros((5, 3))).shape == (5,)
    assert R.categorical(tg.zeros((5, 3)), axis=0).shape == (3,)
    assert R.categorical(tg.zeros((5, 3)), size=(4, 5)).shape == (4, 5)
    with pytest.raises(ValueError, match="expected one of"):
        R.categorical()
    with pytest.raises(ValueError, match="adds up to 0"):
        R.categorical(probs=[0.0, 0.0])
    with pytest.raises(ValueError, match="weights"):
        R.categorical(probs=[-1.0, 2.0])
    with pytest.raises(ValueError, match="one axis"):
        R.categorical(1.0)


def test_permutation_and_shuffle():
    x = tg.arange(12).reshape(4, 3)
    rows = R.permutation(x, generator=R.Generator(3))
    assert sorted(rows.tolist()) == x.tolist()
    columns = R.permutation(x, axis=1, generator=R.Generator(3))
    assert sorted(columns[0].tolist()) == [0, 1, 2]
    assert sorted(R.Generator(0).permutation(5).tolist()) == list(range(5))
    assert R.Generator(0).permutation(np.arange(5)).tolist() == R.permutation([0, 1, 2, 3, 4], generator=R.Generator(0)).tolist()
    w = tg.ones((3,), requires_grad=True)
    R.permutation(w * 2.0).sum().backward()
    assert w.grad.tolist() == [2.0, 2.0, 2.0]
    for box in (tg.arange(6), np.arange(6), list(range(6))):
        R.shuffle(box, generator=R.Generator(4))
        assert sorted(int(i) for i in box) == list(range(6))
        assert [int(i) for i in box] != list(range(6))
    counts = np.zeros((4, 4))
    g = R.Generator(0)
    for _ in range(400):
        counts[np.arange(4), R.permutation(4, generator=g).numpy()] += 1
    assert ss.chisquare(counts.ravel()).pvalue > 1e-4


def test_choice():
    assert R.choice(5).shape == ()
    assert R.choice(5, size=(2, 3)).shape == (2, 3)
    x = R.choice(tg.Variable([1.0, 2.0, 4.0]), size=3000, p=[0.2, 0.0, 0.8], generator=R.Generator(0)).numpy()
    assert set(x) == {1.0, 4.0}
    assert abs((x == 4.0).mean() - 0.8) < 0.03
    assert sorted(R.choice(6, size=6, replace=False).tolist()) == list(range(6))
    first = [R.choice(3, size=2, replace=False, p=[0.7, 0.2, 0.1], generator=R.Generator(i))[0].item() for i in range(400)]
    assert abs(np.mean(np.array(first) == 0) - 0.7) < 0.08
    assert R.choice(tg.ones((4, 3)), size=2, axis=1).shape == (4, 2)
    assert R.choice(3, size=0).shape == (0,)
    assert R.choice(0, size=0).shape == (0,)
    with pytest.raises(ValueError, match="without replacement"):
        R.choice(3, size=4, replace=False)
    with pytest.raises(ValueError, match="without replacement"):
        R.choice(3, size=2, replace=False, p=[1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="nothing to draw"):
        R.choice(0, size=1)
    with pytest.raises(tg.ShapeError, match="p must have"):
        R.choice(3, p=[0.5, 0.5])
