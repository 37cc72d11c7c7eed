"""Distributions of vectors, matrices and classes, and mixtures of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as ss

import tapegrad as tg
from comparing import close, covariance, v

D = tg.distributions


def test_multivariate_normal():
    rng = np.random.default_rng(1)
    loc, c, x = rng.normal(size=3), covariance(3), rng.normal(size=(5, 3))
    s = ss.multivariate_normal(loc, c)
    forms = [
        {"covariance_matrix": v(c)},
        {"precision_matrix": v(np.linalg.inv(c))},
        {"scale_tril": v(np.linalg.cholesky(c))},
    ]
    for form in forms:
        d = D.MultivariateNormal(v(loc), **form)
        close(d.log_prob(v(x)), s.logpdf(x))
        close(d.entropy(), s.entropy())
        close(d.covariance_matrix, c)
        close(d.precision_matrix, np.linalg.inv(c), rtol=1e-8)
        close(d.variance, np.diag(c))
        close(d.scale_tril, np.linalg.cholesky(c))
    d = D.MultivariateNormal(v(loc), v(c))
    drawn = d.sample((20000,), generator=tg.random.Generator(0)).numpy()
    close(np.cov(drawn.T), c, rtol=0.05, atol=0.05)
    whitened = np.linalg.solve(np.linalg.cholesky(c), (drawn - loc).T).ravel()
    assert ss.kstest(whitened, "norm").pvalue > 1e-3


def test_multivariate_normal_batches():
    c, loc = covariance(3, 2, (4,)), np.random.default_rng(0).normal(size=(2, 4, 3))
    d = D.MultivariateNormal(v(loc), v(c))
    assert d.batch_shape == (2, 4)
    assert d.event_shape == (3,)
    assert d.rsample((5,)).shape == (5, 2, 4, 3)
    x = np.random.default_rng(3).normal(size=(5, 1, 4, 3))
    expected = [
        [[ss.multivariate_normal(loc[i, j], c[j]).logpdf(x[k, 0, j]) for j in range(4)] for i in range(2)] for k in range(5)
    ]
    close(d.log_prob(v(x)), expected)
    close(d.expand((6, 2, 4)).log_prob(v(x[0, 0])), np.broadcast_to(d.log_prob(v(x[0, 0])).numpy(), (6, 2, 4)))
    single = D.MultivariateNormal(v(loc[0, 0]), v(c))
    assert single.batch_shape == (4,)
    assert single.log_prob(v(np.zeros((7, 1, 3)))).shape == (7, 4)
    assert D.MultivariateNormal(v(np.zeros(3)), v(c[0])).log_prob(v(np.zeros((0, 3)))).shape == (0,)


def test_multivariate_normal_gradients():
    c, loc, x = v(covariance(2)), v([0.1, 0.2]), v([[0.5, -0.5], [1.0, 2.0]])

    def f(loc, c, x):
        return D.MultivariateNormal(loc, (c + c.mT) / 2, validate_args=False).log_prob(x)

    args = [a.requires_grad_() for a in (loc, c, x)]
    assert tg.autograd.gradcheck(f, args)
    assert tg.autograd.gradgradcheck(f, args, atol=1e-4)
    g = lambda tril, x: D.MultivariateNormal(loc.detach(), scale_tril=tg.tril(tril)).log_prob(x)  # noqa: E731
    tril = v(np.linalg.cholesky(covariance(2))).requires_grad_()
    assert tg.autograd.gradcheck(g, [tril, x])
    mapped = tg.vmap(lambda c: f(loc.detach(), c, x.detach()))(v(covariance(2, 5, (3,))))
    assert mapped.shape == (3, 2)


def test_multivariate_normal_refuses():
    with pytest.raises(ValueError, match="positive definite"):
        D.MultivariateNormal(tg.zeros((2,)), tg.Variable([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="covariance_matrix"):
        D.MultivariateNormal(tg.zeros((2,)), tg.Variable([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="expected one of"):
        D.MultivariateNormal(tg.zeros((2,)))
    with pytest.raises(tg.ShapeError, match=r"\(3,\)"):
        D.MultivariateNormal(tg.zeros((3,)), tg.eye(2))
    with pytest.raises(tg.ShapeError, match="event shape"):
        D.MultivariateNormal(tg.zeros((2,)), tg.eye(2)).log_prob(tg.zeros((3,)))


def test_categorical():
    p = np.array([[0.1, 0.0, 0.6, 0.3], [0.25, 0.25, 0.25, 0.25]])
    for d in (D.Categorical(probs=v(p * 7)), D.Categorical(logits=v(np.log(np.maximum(p, 1e-300)) + 3.0))):
        close(d.probs, p)
        close(d.entropy(), [ss.entropy(r) for r in p])
        close(tg.exp(d.log_prob(v([[3, 0], [2, 1]]))), [[0.3, 0.25], [0.6, 0.25]])
        assert d.enumerate_support().shape == (4, 2)
        assert d.enumerate_support(expand=False).shape == (4, 1)
        close(tg.exp(d.log_prob(d.enumerate_support())), p.T, atol=1e-200)
        x = d.sample((5000,), generator=tg.random.Generator(2))
        assert x.dtype == tg.int64
        assert x.shape == (5000, 2)
        for column, row in zip(x.numpy().T, p):
            seen = np.bincount(column, minlength=4)
            assert seen[row == 0].sum() == 0
            assert ss.chisquare(seen[row > 0], row[row > 0] * 5000).pvalue > 1e-3
        assert d.expand((3, 2)).sample().shape == (3, 2)
    assert D.Categorical(logits=tg.zeros((3,))).log_prob([0, 1]).shape == (2,)
    one = D.Categorical(probs=tg.Variable([0.5, 0.5]))
    assert one.cdf([0, 1]).tolist() == [0.5, 1.0]
    assert math.isnan(one.mean.item())
    logits = v([[0.5, -1.0, 2.0]]).requires_grad_()
    f = lambda x: D.Categorical(logits=x).log_prob([0, 2, 1])  # noqa: E731
    assert tg.autograd.gradcheck(f, [logits])
    assert tg.autograd.gradgradcheck(f, [logits])
    g = lambda x: D.Categorical(probs=tg.exp(x)).entropy()  # noqa: E731
    assert tg.autograd.gradcheck(g, [logits])
    assert tg.autograd.gradgradcheck(g, [logits])
    close(tg.jvp(f, (logits.detach(),), (v([[1.0, 0.0, 0.0]]),))[1], tg.jacobian(f)(logits.detach()).numpy()[:, 0, 0])


@pytest.mark.parametrize("kind", [D.Categorical, D.OneHotCategorical, D.Multinomial])
def test_classes_refuse(kind):
    make = (lambda **k: kind(3, **k)) if kind is D.Multinomial else kind
    with pytest.raises(ValueError, match="expected one of probs and logits"):
        make()
    with pytest.raises(ValueError, match="expected one of probs and logits"):
        make(probs=tg.ones((2,)), logits=tg.ones((2,)))
    with pytest.raises(ValueError, match="probs"):
        make(probs=tg.Variable([-1.0, 2.0]))
    with pytest.raises(ValueError, match="probs"):
        make(probs=tg.Variable([0.0, 0.0]))
    with pytest.raises(ValueError, match="one axis"):
        make(probs=0.5)
    with pytest.raises(ValueError, match="logits"):
        make(logits=tg.Variable([math.nan, 0.0]))


def test_categorical_refuses_classes_that_are_not_there():
    d = D.Categorical(logits=tg.zeros((3,)))
    for bad in (3, -1, 1.5):
        with pytest.raises(ValueError, match="Categorical"):
            d.log_prob(bad)
    assert D.Categorical(logits=tg.zeros((3,)), validate_args=False).log_prob(5).item() == -math.inf
    with pytest.raises(tg.ShapeError, match="batch shape"):
        D.Categorical(logits=tg.zeros((3, 2))).log_prob([0, 1])


def test_one_hot_and_multinomial():
    p = v([0.2, 0.5, 0.3])
    d = D.OneHotCategorical(probs=p)
    close(tg.exp(d.log_prob(d.enumerate_support())), p.numpy())
    close(d.sample((4000,), generator=tg.random.Generator(0)).mean(0), p.numpy(), atol=0.03)
    close(d.variance, (p * (1 - p)).numpy())
    m = D.Multinomial(5, probs=p)
    x = [[1, 2, 2], [5, 0, 0]]
    close(m.log_prob(v(x)), ss.multinomial(5, p.numpy()).logpmf(x))
    close(m.entropy(), ss.multinomial(5, p.numpy()).entropy())
    drawn = m.sample((3000,), generator=tg.random.Generator(0)).numpy()
    assert (drawn.sum(-1) == 5).all()
    close(drawn.mean(0), m.mean.numpy(), atol=0.1)
    close(drawn.var(0), m.variance.numpy(), rtol=0.1)
    close(D.Multinomial(5, logits=v([[0.0, -math.inf]])).log_prob(v([[5, 0]])), [0.0])
    with pytest.raises(ValueError, match="Multinomial"):
        m.log_prob(v([3, 3, 3]))
    through = D.OneHotCategoricalStraightThrough(logits=v([0.0, 1.0]).requires_grad_()).rsample()
    assert through.requires_grad
    assert sorted(through.tolist()) == pytest.approx([0.0, 1.0])


def test_relaxed():
    d = D.RelaxedBernoulli(v(0.7), probs=v(0.3))
    total = scipy.integrate.quad(lambda x: d.log_prob(v(x)).exp().item(), 0, 1)[0]
    assert total == pytest.approx(1.0, abs=1e-6)
    p = v([0.3, 1.2]).requires_grad_()
    x = D.RelaxedOneHotCategorical(v(0.5), logits=p).rsample((4,))
    close(x.sum(-1), np.ones(4))
    assert D.RelaxedOneHotCategorical(v(0.5), logits=p).log_prob(x).shape == (4,)
    two = D.RelaxedOneHotCategorical(v(0.7), probs=v([0.3, 0.7]))
    close(two.log_prob(v([0.2, 0.8])), d.log_prob(v(0.2)).numpy())
    assert tg.autograd.grad(x[:, 0].sum(), [p])[0].shape == (2,)


def test_mixtures():
    w, mu, sigma = np.array([0.2, 0.8]), np.array([-1.0, 2.0]), np.array([0.5, 1.5])
    d = D.MixtureSameFamily(D.Categorical(probs=v(w)), D.Normal(v(mu), v(sigma)))
    x = np.array([-60.0, 0.0, 3.0])
    parts = [ss.norm(m, s) for m, s in zip(mu, sigma)]
    close(d.log_prob(v(x)), np.logaddexp(*(np.log(a) + p.logpdf(x) for a, p in zip(w, parts))))
    close(d.cdf(v(x)), sum(a * p.cdf(x) for a, p in zip(w, parts)))
    close(d.mean, w @ mu)
    close(d.variance, w @ (sigma**2 + mu**2) - (w @ mu) ** 2)
    drawn = d.sample((5000,), generator=tg.random.Generator(0)).numpy()
    assert ss.kstest(drawn, lambda x: sum(a * p.cdf(x) for a, p in zip(w, parts))).pvalue > 1e-3
    assert d.expand((3,)).sample((2,)).shape == (2, 3)
    vectors = D.MixtureSameFamily(D.Categorical(logits=tg.zeros((4, 2))), D.Independent(D.Normal(tg.zeros((4, 2, 3)), 1.0), 1))
    assert vectors.batch_shape == (4,)
    assert vectors.event_shape == (3,)
    assert vectors.sample((5,)).shape == (5, 4, 3)
    assert vectors.log_prob(tg.zeros((4, 3))).shape == (4,)
    assert vectors.mean.shape == vectors.variance.shape == (4, 3)
    with pytest.raises(tg.ShapeError, match="do not fit"):
        D.MixtureSameFamily(D.Categorical(logits=tg.zeros((3,))), D.Normal(tg.zeros((2,)), 1.0))
    f = lambda w, m, s: D.MixtureSameFamily(D.Categorical(logits=w), D.Normal(m, s)).log_prob(v(x[1:]))  # noqa: E731
    args = [v(a).requires_grad_() for a in (w, mu, sigma)]
    assert tg.autograd.gradcheck(f, args)
    assert tg.autograd.gradgradcheck(f, args)


def test_independent():
    base = D.Normal(tg.zeros((4, 3)), tg.ones((4, 3)))
    d = D.Independent(base, 1)
    x = tg.randn(4, 3)
    close(d.log_prob(x), base.log_prob(x).sum(-1).numpy(), rtol=1e-6)
    close(d.entropy(), base.entropy().sum(-1).numpy(), rtol=1e-6)
    assert d.expand((2, 4)).sample().shape == (2, 4, 3)
    assert d.has_rsample
    assert d.support.event_dim == 1
    assert D.kl_divergence(d, D.Independent(D.Normal(tg.ones((4, 3)), 1.0), 1)).tolist() == pytest.approx([1.5] * 4)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        D.Independent(base, 3)


def test_low_rank():
    rng = np.random.default_rng(0)
    loc, w, diagonal = rng.normal(size=4), rng.normal(size=(4, 2)), rng.uniform(0.5, 1.5, 4)
    d = D.LowRankMultivariateNormal(v(loc), v(w), v(diagonal))
    c = w @ w.T + np.diag(diagonal)
    full = D.MultivariateNormal(v(loc), v(c))
    x = rng.normal(size=(5, 4))
    for name in ("covariance_matrix", "precision_matrix", "scale_tril", "variance", "mean"):
        close(getattr(d, name), getattr(full, name).numpy())
    close(d.log_prob(v(x)), full.log_prob(v(x)).numpy())
    close(d.entropy(), full.entropy().numpy())
    close(D.kl_divergence(d, full), 0.0)
    assert d.expand((3,)).rsample((2,)).shape == (2, 3, 4)
    close(np.cov(d.sample((20000,), generator=tg.random.Generator(0)).numpy().T), c, rtol=0.1, atol=0.1)
    f = lambda loc, w, diagonal: D.LowRankMultivariateNormal(loc, w, diagonal).log_prob(v(x))  # noqa: E731
    assert tg.autograd.gradcheck(f, [v(a).requires_grad_() for a in (loc, w, diagonal)])
    with pytest.raises(tg.ShapeError, match="rank"):
        D.LowRankMultivariateNormal(v(loc), v(w.T), v(diagonal))


def test_wishart():
    c, x = covariance(3), covariance(3, 4)
    s = ss.wishart(5.5, c)
    d = D.Wishart(v(5.5), covariance_matrix=v(c))
    close(d.log_prob(v(x)), s.logpdf(x))
    close(d.entropy(), s.entropy())
    close(d.mean, s.mean())
    close(d.mode, s.mode())
    close(d.variance, s.var())
    close(D.Wishart(v(5.5), precision_matrix=v(np.linalg.inv(c))).log_prob(v(x)), s.logpdf(x), rtol=1e-8)
    close(d.rsample((20000,), generator=tg.random.Generator(0)).mean(0), s.mean(), rtol=0.05, atol=0.1)
    assert d.expand((2,)).sample((3,)).shape == (3, 2, 3, 3)
    f = lambda df, tril: D.Wishart(df, scale_tril=tg.tril(tril)).log_prob(v(x))  # noqa: E731
    assert tg.autograd.gradcheck(f, [v(5.5).requires_grad_(), v(np.linalg.cholesky(c)).requires_grad_()])
    with pytest.raises(ValueError, match="df"):
        D.Wishart(1.5, tg.eye(3))
    with pytest.raises(ValueError, match="expected one of"):
        D.Wishart(4.0)


def test_lkj():
    d = D.LKJCholesky(3, v([0.5, 2.0]))
    x = d.sample((4000,), generator=tg.random.Generator(0))
    assert x.shape == (4000, 2, 3, 3)
    assert bool(tg.all(d.support.check(x)))
    correlation = (x @ x.mT).numpy()
    for i, c in enumerate((0.5, 2.0)):
        # Each correlation is a beta number, scaled to (-1, 1).
        shape = c - 1 + 1.5
        for j, k in ((1, 0), (2, 0), (2, 1)):
            assert ss.kstest((correlation[:, i, j, k] + 1) / 2, ss.beta(shape, shape).cdf).pvalue > 1e-3
    # The density of a 2 by 2 factor integrates to one over its correlation, x -> (x, sqrt(1 - x²)).
    two = D.LKJCholesky(2, v(1.5))
    r = np.linspace(-1, 1, 4001)[1:-1]
    factor = np.zeros((len(r), 2, 2))
    factor[:, 0, 0], factor[:, 1, 0], factor[:, 1, 1] = 1, r, np.sqrt(1 - r**2)
    assert float(tg.exp(two.log_prob(v(factor))).sum()) * (r[1] - r[0]) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match="dim"):
        D.LKJCholesky(1)
