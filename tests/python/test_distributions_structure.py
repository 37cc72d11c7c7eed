"""Distributions of vectors and classes, mixtures, transforms, constraints, divergences, and gradients of samples."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.integrate
import scipy.special as sp
import scipy.stats as ss

import tapegrad as tg
from tapegrad.distributions._implicit import beta_rule, dirichlet_rule, gamma_slope
from tapegrad.distributions.kl import _RULES

D = tg.distributions
T = D.transforms
F64 = tg.float64


def v(x):
    return tg.asarray(np.asarray(x, dtype=np.float64))


def close(ours, theirs, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(ours.numpy() if isinstance(ours, tg.Variable) else ours, theirs, rtol=rtol, atol=atol)


# ---- gradients of samples ----

#: a, x, dx/da of Gamma(a, 1), by mpmath with 60 digits.
GAMMA = [
    (0.001, 9.82165964406889e-47, 1.0348231948431981e-41),
    (0.05, 5.844632057286632e-61, 1.6153899294411105e-57),
    (0.3, 0.07313113586695198, 0.642064162445568),
    (1.0, 1.0000000000005e-12, 2.805380545105482e-11),
    (2.5, 25.346096880759596, 2.724613454348425),
    (10.0, 6.221304605225031, 0.7944118920139208),
    (199.0, 138.98626054569507, 0.8319415206058852),
    (201.0, 247.6749702010902, 1.1089550383412239),
    (20000.0, 19999.66666765434, 0.9999999999506155),
]
#: a, b, x, dx/da, dx/db of Beta(a, b), by mpmath with 60 digits.
BETA = [
    (0.02, 0.05, 1.3442336941039972e-19, 3.875548741214088e-16, -3.860987518029355e-17),
    (0.02, 80.0, 1.2908357650971053e-10, 1.1520552217089753e-07, -1.6234671829978863e-12),
    (0.3, 1.0, 2.154434690031878e-27, 4.409572623197023e-25, -2.9302091062723897e-27),
    (1.0, 3.0, 0.9, 0.05850517140561582, -0.07675283643313485),
    (4.0, 0.05, 0.9998680864242506, 3.717602306998304e-05, -0.018912104378880776),
    (30.0, 80.0, 0.08729958092315504, 0.004483630138286286, -0.0008918647901140528),
    (300.0, 3.0, 0.9999869810851294, 4.325224589747895e-08, -2.9509552951699323e-05),
    (300.0, 0.05, 0.9909056275291137, 3.022406304098526e-05, -0.056222342250464165),
]


@pytest.mark.parametrize(("a", "x", "slope"), GAMMA)
def test_gamma_slopes(a, x, slope):
    """PyTorch's are off by up to 4e-4."""
    assert gamma_slope(v(x), v(a)).item() == pytest.approx(slope, rel=1e-11)


@pytest.mark.parametrize(("a", "b", "x", "da", "db"), BETA)
def test_beta_slopes(a, b, x, da, db):
    """PyTorch's are off by up to 3e-4."""
    found = beta_rule(v(1.0), v(x), v(a), v(b))
    assert [f.item() for f in found] == pytest.approx([da, db], rel=1e-10)
    # Two classes of a Dirichlet distribution are a Beta.
    if 1e-6 < x < 1 - 1e-6:
        (grad,) = dirichlet_rule(v([1.0, 0.0]), v([x, 1 - x]), v([a, b]))
        close(grad, [da, db], rtol=1e-8)


def test_samples_move_as_quantiles_do():
    """A sample keeps its level, so its derivative is that of the quantile."""
    a, b = v([0.3, 2.0, 9.0]).requires_grad_(), v([0.5, 1.5, 4.0]).requires_grad_()
    x = D.Gamma(a, b).rsample((50,), generator=tg.random.Generator(0))
    ga, gb = (g.numpy() for g in tg.autograd.grad(x.sum(), [a, b]))
    level = sp.gammainc(a.tolist(), np.array(b.tolist()) * x.detach().numpy())
    eps = 1e-5
    plus, minus = (sp.gammaincinv(np.array(a.tolist()) + s * eps, level) / np.array(b.tolist()) for s in (1, -1))
    close(ga, ((plus - minus) / (2 * eps)).sum(0), rtol=1e-6)
    close(gb, (-x.detach().numpy() / np.array(b.tolist())).sum(0))
    x = D.Beta(a, b).rsample((50,), generator=tg.random.Generator(0))
    (ga,) = (g.numpy() for g in tg.autograd.grad(x.sum(), [a]))
    level = sp.betainc(a.tolist(), b.tolist(), x.detach().numpy())
    plus, minus = (sp.betaincinv(np.array(a.tolist()) + s * eps, b.tolist(), level) for s in (1, -1))
    close(ga, ((plus - minus) / (2 * eps)).sum(0), rtol=1e-5, atol=1e-7)


def test_samples_have_second_derivatives():
    x = v(1.7)
    first = lambda a: gamma_slope(x, a)  # noqa: E731

    def sample(a):
        return tg.log(D.Gamma(a, v(2.0)).rsample(generator=tg.random.Generator(5)))

    a = v(2.5)
    assert tg.grad(first)(a).item() == pytest.approx(
        (gamma_slope(x, a + 1e-5) - gamma_slope(x, a - 1e-5)).item() / 2e-5, rel=1e-6
    )
    # The level stays: the quantile is followed to both sides.
    value = tg.exp(sample(a)).item() * 2.0
    level = sp.gammainc(2.5, value)
    q = [math.log(sp.gammaincinv(2.5 + s * 1e-3, level)) for s in (-1, 0, 1)]
    assert tg.grad(sample)(a).item() == pytest.approx((q[2] - q[0]) / 2e-3, rel=1e-4)
    assert tg.grad(tg.grad(sample))(a).item() == pytest.approx((q[2] - 2 * q[1] + q[0]) / 1e-6, rel=1e-3)
    assert tg.jvp(sample, (a,), (v(1.0),))[1].item() == pytest.approx(tg.grad(sample)(a).item(), rel=1e-12)
    assert tg.jvp(tg.grad(sample), (a,), (v(1.0),))[1].item() == pytest.approx(tg.grad(tg.grad(sample))(a).item(), rel=1e-10)


def test_dirichlet_samples():
    a = v([0.3, 1.0, 2.5]).requires_grad_()
    x = D.Dirichlet(a).rsample((20000,), generator=tg.random.Generator(1))
    close(x.sum(-1), np.ones(20000))
    for k in range(3):
        assert ss.kstest(x[:, k].detach().numpy(), ss.beta(float(a[k]), 3.8 - float(a[k])).cdf).pvalue > 1e-3
    (g,) = tg.autograd.grad((x[:, 0] ** 2).mean(), [a])
    mean = lambda p: p[0] * (p[0] + 1) / (sum(p) * (sum(p) + 1))  # noqa: E731 - the second moment
    exact = tg.grad(mean)(a.detach())
    close(g, exact.numpy(), rtol=0.05, atol=2e-3)


def test_small_shapes_do_not_collapse():
    """Other libraries draw 1/2, or NaN, where both gammas underflow."""
    x = D.Beta(v(1e-3), v(1e-3)).sample((2000,), generator=tg.random.Generator(0)).numpy()
    assert ((x < 1e-6) | (x > 1 - 1e-6)).mean() > 0.95
    assert abs((x > 0.5).mean() - 0.5) < 0.05
    y = D.Dirichlet(tg.full((4,), 1e-3, dtype=F64)).sample((500,), generator=tg.random.Generator(0)).numpy()
    assert np.isfinite(y).all()
    assert (y.max(-1) > 0.99).mean() > 0.95
    z = D.Gamma(v(1e-3), v(1.0)).sample((500,)).numpy()
    assert (z > 0).all()


# ---- where others are off ----


def test_tails_where_others_lose_them():
    n = D.Normal(v(0.0), v(1.0))
    assert n.cdf(-10.0).item() == pytest.approx(7.619853024160527e-24, rel=1e-13)
    assert n.icdf(1e-20).item() == pytest.approx(-9.262340089798408, rel=1e-14)
    assert n.log_cdf(-1e4).item() == pytest.approx(-50000010.129279, rel=1e-12)
    assert n.log_sf(40.0).item() == pytest.approx(n.log_cdf(-40.0).item())
    assert D.VonMises(v(0.0), v(2.0)).log_prob(0.5).item() == pytest.approx(ss.vonmises(2.0).logpdf(0.5), rel=1e-14)
    assert D.StudentT(v(1e10)).log_prob(1.0).item() == pytest.approx(n.log_prob(1.0).item(), rel=1e-9)
    assert D.Bernoulli(logits=v(60.0)).log_prob(1.0).item() == pytest.approx(-8.756510762696521e-27, rel=1e-12)
    assert D.Laplace(v(0.0), v(1.0)).icdf(1e-30).item() == pytest.approx(math.log(2e-30))
    assert D.Geometric(logits=v(-50.0)).log_prob(0.0).item() == pytest.approx(-50.0)


@pytest.mark.parametrize(
    ("d", "x", "expected"),
    [
        (D.LogNormal(0.0, 1.0), 0.0, -math.inf),
        (D.Weibull(1.0, 2.0), 0.0, -math.inf),
        (D.Weibull(1.0, 1.0), 0.0, 0.0),
        (D.Weibull(1.0, 0.5), 0.0, math.inf),
        (D.Kumaraswamy(2.0, 2.0), 0.0, -math.inf),
        (D.Kumaraswamy(2.0, 2.0), 1.0, -math.inf),
        (D.Kumaraswamy(1.0, 1.0), 1.0, 0.0),
        (D.Beta(1.0, 1.0), 0.0, 0.0),
        (D.Beta(2.0, 1.0), 0.0, -math.inf),
        (D.Gamma(1.0, 2.0), 0.0, math.log(2.0)),
        (D.InverseGamma(1.0, 2.0), 0.0, -math.inf),
        (D.Uniform(0.0, 2.0), 2.0, -math.log(2.0)),
        (D.Bernoulli(probs=1.0), 0.0, -math.inf),
        (D.Bernoulli(probs=1.0), 1.0, 0.0),
        (D.Binomial(3, probs=0.0), 0.0, 0.0),
        (D.Poisson(0.0), 0.0, 0.0),
        (D.Normal(0.0, 1.0), math.inf, -math.inf),
        (D.Gumbel(0.0, 1.0), -math.inf, -math.inf),
        (D.NegativeBinomial(0.0, probs=0.5), 0.0, 0.0),
    ],
)
def test_ends_of_the_support(d, x, expected):
    at = tg.Variable(x, requires_grad=True)
    lp = d.log_prob(at)
    assert lp.item() == pytest.approx(expected)
    if expected == -math.inf and not math.isinf(x):
        lp.backward()
        assert not math.isnan(float(at.grad))


def test_dirichlet_gradient_at_a_face():
    a = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tg.tensor([0.0, 0.5, 0.5], requires_grad=True)
    D.Dirichlet(a).log_prob(x).backward()
    assert np.isfinite(a.grad.numpy()[1:]).all()
    assert not np.isnan(x.grad.numpy()).any()


def test_modes():
    assert D.Weibull(2.0, 0.5).mode.item() == 0.0
    assert D.Kumaraswamy(0.5, 2.0).mode.item() == 0.0
    assert D.Kumaraswamy(2.0, 0.5).mode.item() == 1.0
    assert D.Beta(3.0, 2.0).mode.item() == pytest.approx(2 / 3)
    assert D.Gamma(0.5, 1.0).mode.item() == 0.0
    assert D.Categorical(probs=tg.Variable([0.2, 0.5, 0.3])).mode.item() == 1
    assert D.OneHotCategorical(probs=tg.Variable([0.2, 0.5, 0.3])).mode.tolist() == [0, 1, 0]
    assert D.Dirichlet(tg.Variable([2.0, 3.0])).mode.tolist() == pytest.approx([1 / 3, 2 / 3])


# ---- vectors and classes ----


def covariance(n, seed=0, batch=()):
    a = np.random.default_rng(seed).normal(size=(*batch, n, n))
    return a @ a.swapaxes(-1, -2) + 0.1 * np.eye(n)


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


def test_transformed():
    d = D.TransformedDistribution(D.Normal(v(0.3), v(0.8)), [T.ExpTransform()])
    reference = D.LogNormal(v(0.3), v(0.8))
    x = v([0.5, 2.0])
    close(d.log_prob(x), reference.log_prob(x).numpy())
    close(d.cdf(x), reference.cdf(x).numpy())
    close(d.icdf(v([0.1, 0.9])), reference.icdf(v([0.1, 0.9])).numpy())
    down = D.TransformedDistribution(D.Exponential(v(2.0)), T.AffineTransform(1.0, -3.0))
    assert down.cdf(-5.0).item() == pytest.approx(math.exp(-4.0))
    assert down.icdf(0.25).item() == pytest.approx(1 + 3 * math.log(0.25) / 2)
    wide = D.TransformedDistribution(D.Normal(0.0, 1.0), T.AffineTransform(tg.zeros((3,)), tg.ones((3,))))
    assert wide.batch_shape == (3,)
    assert wide.sample((2,)).shape == (2, 3)
    assert wide.expand((2, 3)).sample().shape == (2, 3)
    simplex = D.TransformedDistribution(D.Normal(tg.zeros((2, 3)), 1.0), T.StickBreakingTransform())
    assert simplex.batch_shape == (2,)
    assert simplex.event_shape == (4,)
    assert simplex.log_prob(simplex.sample()).shape == (2,)
    assert D.LogisticNormal(tg.zeros((3,)), tg.ones((3,))).rsample().shape == (4,)
    with pytest.raises(ValueError, match="transforms"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), [math.exp])


def test_the_cache_keeps_what_tanh_loses():
    base = D.Normal(v(30.0).requires_grad_(), v(1.0))
    d = D.TransformedDistribution(base, T.TanhTransform(cache_size=1), validate_args=False)
    a = d.rsample(generator=tg.random.Generator(0))
    assert a.item() == 1.0
    assert math.isfinite(d.log_prob(a).item())
    assert d.log_prob(a.detach()).item() != d.log_prob(a).item()
    t = T.ExpTransform(cache_size=1)
    x = v([1.0, 2.0])
    y = t(x)
    assert t.inv(y) is x
    assert t(x) is y
    y += 1.0
    close(t.inv(y), np.log(y.numpy()))
    assert t.inv.inv is t
    assert t.with_cache(0)._cache_size == 0


def square(x):
    return v(np.abs(x) + 0.1)


TRANSFORMS = [
    (T.ExpTransform(), [0.3, -2.0]),
    (T.LogTransform(), [0.3, 2.0]),
    (T.PowerTransform(v(2.5)), [0.3, 2.0]),
    (T.AffineTransform(v(0.5), v(-2.0)), [0.3, 2.0]),
    (T.AffineTransform(0.5, 2.0), [0.3, 2.0]),
    (T.SigmoidTransform(), [0.3, -2.0]),
    (T.TanhTransform(), [0.3, -2.0]),
    (T.SoftplusTransform(), [0.3, -2.0]),
    (T.StickBreakingTransform(), [0.3, -2.0, 0.5]),
    (T.CorrCholeskyTransform(), [0.3, -1.0, 0.5]),
    (T.ComposeTransform([T.ExpTransform(), T.AffineTransform(1.0, 2.0)]), [0.3, -2.0]),
    (T.ComposeTransform([T.AffineTransform(1.0, 2.0), T.StickBreakingTransform()]), [0.3, -2.0]),
    (T.ExpTransform().inv, [0.3, 2.0]),
    (T.IndependentTransform(T.ExpTransform(), 1), [0.3, 2.0]),
    (T.ReshapeTransform((4,), (2, 2)), [0.3, 2.0, 1.0, -1.0]),
    (T.CatTransform([T.ExpTransform(), T.identity_transform], dim=-1, lengths=[1, 2]), [0.3, 2.0, 1.0]),
    (T.StackTransform([T.ExpTransform(), T.AffineTransform(0.0, 3.0)], dim=-1), [0.3, 2.0]),
    (T.CumulativeDistributionTransform(D.Normal(v(0.0), v(1.0))), [0.3, 2.0]),
]


@pytest.mark.parametrize(("t", "x"), TRANSFORMS, ids=[repr(t)[:40] for t, _ in TRANSFORMS])
def test_transforms(t, x):
    x = v(x)
    y = t(x)
    close(t.inv(y), x.numpy())
    assert t.forward_shape(x.shape) == y.shape
    assert t.inverse_shape(y.shape) == x.shape
    assert t.bijective
    assert bool(tg.all(t.codomain.check(y)))
    assert bool(tg.all(t.domain.check(x)))
    found = t.log_abs_det_jacobian(x, y)
    jacobian = tg.jacobian(t)(x).numpy().reshape(y.size, x.size)
    if y.size == x.size and t.domain.event_dim == 0:
        close(found, np.log(np.abs(np.diag(jacobian))))
        assert np.all(np.asarray(t.sign if not isinstance(t, (T.CatTransform, T.StackTransform)) else 1) != 0)
    else:
        # Of a matrix or a simplex the free coordinates.
        free = {T.CorrCholeskyTransform: [3, 6, 7]}.get(type(t), list(range(x.size)))
        close(found, np.linalg.slogdet(jacobian[free])[1])
    close(t.inv.log_abs_det_jacobian(y, x), -found.numpy())
    batch = tg.stack([x, x + 0.1])
    close(t(batch)[1], t(x + 0.1).numpy())
    assert t == copy.copy(t)
    assert t != T.AbsTransform()


def test_transforms_that_forget():
    x = v([0.5, -1.0, 2.0])
    assert T.AbsTransform()(x).tolist() == [0.5, 1.0, 2.0]
    y = T.SoftmaxTransform()(x)
    close(T.SoftmaxTransform()(T.SoftmaxTransform().inv(y)), y.numpy())
    m = v([[1.0, 2.0], [3.0, -1.0]])
    tril = T.LowerCholeskyTransform()(m)
    assert bool(D.constraints.lower_cholesky.check(tril))
    close(T.LowerCholeskyTransform().inv(tril), np.tril(m.numpy()))
    p = T.PositiveDefiniteTransform()(m)
    assert bool(D.constraints.positive_definite.check(p))
    close(T.PositiveDefiniteTransform().inv(p), np.tril(m.numpy()))
    with pytest.raises(ValueError, match="cache_size"):
        T.ExpTransform(cache_size=2)
    with pytest.raises(tg.ShapeError, match="ReshapeTransform"):
        T.ReshapeTransform((4,), (3,))


CONSTRAINTS = [
    D.constraints.real,
    D.constraints.positive,
    D.constraints.nonnegative,
    D.constraints.greater_than(2.0),
    D.constraints.greater_than_eq(2.0),
    D.constraints.less_than(2.0),
    D.constraints.unit_interval,
    D.constraints.interval(-1.0, 3.0),
    D.constraints.half_open_interval(-1.0, 3.0),
    D.constraints.simplex,
    D.constraints.real_vector,
    D.constraints.independent(D.constraints.positive, 1),
    D.constraints.corr_cholesky,
    D.constraints.lower_cholesky,
    D.constraints.positive_definite,
    D.constraints.cat([D.constraints.positive, D.constraints.real], dim=-1, lengths=[1, 2]),
    D.constraints.stack([D.constraints.positive, D.constraints.real, D.constraints.unit_interval], dim=-1),
]


@pytest.mark.parametrize("c", CONSTRAINTS, ids=repr)
@pytest.mark.parametrize("registry", [D.biject_to, D.transform_to], ids=["biject_to", "transform_to"])
def test_registry(registry, c):
    t = registry(c)
    x = v(np.random.default_rng(0).normal(size=(3, 3)))
    x = x if c.event_dim == 2 and "Corr" not in repr(c) else x[0]
    y = t(x)
    assert bool(tg.all(c.check(y)))
    close(t(t.inv(y)), y.numpy(), rtol=1e-8)
    assert y.dtype == F64


def test_registry_refuses():
    with pytest.raises(NotImplementedError, match="Boolean"):
        D.biject_to(D.constraints.boolean)
    with pytest.raises(TypeError, match="constraint"):
        D.biject_to.register(int, lambda c: None)


def test_constraints():
    c = D.constraints
    assert c.boolean.check(v([0, 1, 2])).tolist() == [True, True, False]
    assert c.integer_interval(0, 3).check(v([0, 1.5, 4])).tolist() == [True, False, False]
    assert c.nonnegative_integer.check(v([0, -1])).tolist() == [True, False]
    assert c.positive_integer.check(v([0, 1])).tolist() == [False, True]
    assert c.simplex.check(v([[0.5, 0.5], [0.6, 0.6]])).tolist() == [True, False]
    assert c.one_hot.check(v([[0, 1], [1, 1]])).tolist() == [True, False]
    assert bool(c.symmetric.check(v([[1, 2], [2, 1]])))
    assert not bool(c.positive_definite.check(v([[1, 2], [2, 1]])))
    assert not bool(c.symmetric.check(v([[1, 2], [3, 1]])))
    assert bool(c.square.check(v([[1, 2], [3, 1]])))
    assert bool(c.positive_semidefinite.check(v([[1, 1], [1, 1]])))
    assert c.is_dependent(D.Uniform.support)
    assert not c.is_dependent(D.Normal.support)
    assert D.Uniform.support.event_dim == 0
    assert not D.Uniform.support.is_discrete
    with pytest.raises(ValueError, match="instance"):
        D.Uniform.support.check(v(0.0))


# ---- divergences ----

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
}
CLOSED = [pair for pair in _RULES if pair[0] in PAIRS and pair[1] in PAIRS]


def points(p):
    """Values and weights of an integral over the support of p."""
    u, w = np.polynomial.legendre.leggauss(200)
    if type(p) in (D.Bernoulli, D.Geometric, D.Poisson, D.Binomial):
        top = {D.Bernoulli: 2, D.Binomial: 5}.get(type(p), 150)
        return np.arange(float(top)), np.ones(top)
    low, high = {D.Beta: (0, 1), D.VonMises: (-np.pi, np.pi), D.Uniform: (0.2, 0.8)}.get(type(p), (None, None))
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


# ---- arguments ----


def test_arguments():
    with pytest.raises(tg.ShapeError, match="do not broadcast"):
        D.Normal(tg.zeros((2,)), tg.ones((3,)))
    with pytest.raises(tg.ShapeError, match="does not broadcast"):
        D.Normal(tg.zeros((2,)), 1.0).log_prob(tg.zeros((3,)))
    with pytest.raises(ValueError, match="low"):
        D.Uniform(1.0, 0.0)
    with pytest.raises(ValueError, match="probability"):
        D.Normal(0.0, 1.0).icdf(1.5)
    with pytest.raises(TypeError, match="generator"):
        D.Normal(0.0, 1.0).sample(generator=3)
    with pytest.raises(TypeError, match="complex"):
        D.Normal(tg.Variable([1j]), 1.0)
    assert D.Normal(0, 1).loc.dtype == tg.float32
    assert D.Normal(np.zeros(2), 1).loc.dtype == F64
    assert D.Normal([0, 1], [1.0, 2.0]).batch_shape == (2,)
    assert D.Normal(v(0.0), tg.Variable(1.0)).scale.dtype == F64
    assert D.Normal(0.0, 1.0).sample(3).shape == (3,)


def test_default_checks():
    try:
        D.Distribution.set_default_validate_args(False)
        assert math.isnan(D.Normal(0.0, -1.0).log_prob(0.0).item())
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="True or False"):
        D.Distribution.set_default_validate_args(None)


def test_a_distribution_of_your_own():
    """Written as for PyTorch."""

    class Triangle(D.Distribution):
        arg_constraints = {"width": D.constraints.positive}  # noqa: RUF012
        support = D.constraints.real

        def __init__(self, width, validate_args=None):
            (self.width,) = D.utils.broadcast_all(width)
            super().__init__(self.width.shape, validate_args=validate_args)

        def log_prob(self, value):
            if self._validate_args:
                self._validate_sample(value)
            return tg.log(tg.relu(1 - tg.abs(value / self.width)) / self.width)

        def rsample(self, sample_shape=()):
            shape = self._extended_shape(sample_shape)
            return self.width * (tg.rand(shape) - tg.rand(shape))

    d = Triangle(tg.ones((2,)))
    assert d.sample((3,)).shape == (3, 2)
    assert d.log_prob(tg.zeros((2,))).tolist() == [0.0, 0.0]
    assert d.expand((4, 2)).batch_shape == (4, 2)
    assert D.Independent(d, 1).log_prob(tg.zeros((2,))).item() == 0.0
    with pytest.raises(ValueError, match="width"):
        Triangle(-1.0)
    with pytest.raises(NotImplementedError, match="entropy"):
        d.entropy()
    with pytest.raises(NotImplementedError, match="enumerate"):
        d.enumerate_support()


def test_copies():
    d = D.Gamma(tg.Variable([1.0, 2.0]), 3.0)
    for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert other.log_prob(1.0).tolist() == d.log_prob(1.0).tolist()


def test_enumeration():
    assert D.Bernoulli(probs=tg.zeros((2,))).enumerate_support().shape == (2, 2)
    d = D.Binomial(3, probs=v(0.3))
    close(tg.exp(d.log_prob(d.enumerate_support())).sum(0), 1.0)
    with pytest.raises(NotImplementedError, match="total_count"):
        D.Binomial(v([2.0, 3.0]), probs=v(0.3)).enumerate_support()
    close(D.Binomial(v([2.0, 3.0]), probs=v(0.3)).entropy(), [ss.binom(n, 0.3).entropy() for n in (2, 3)])
    close(D.Poisson(v([0.0, 900.0, 1500.0])).entropy(), ss.poisson([0.0, 900.0, 1500.0]).entropy(), rtol=1e-9)


LOGITS = [
    (D.Bernoulli, {}, 1.0),
    (D.Geometric, {}, 4.0),
    (D.Binomial, {"total_count": 6.0}, 4.0),
    (D.NegativeBinomial, {"total_count": 2.5}, 4.0),
]


@pytest.mark.parametrize(("kind", "more", "x"), LOGITS, ids=[k[0].__name__ for k in LOGITS])
def test_logits(kind, more, x):
    more = {k: v(n) for k, n in more.items()}
    a = kind(probs=v([0.3, 0.9]), **more)
    b = kind(logits=v(np.log([3 / 7, 9.0])), **more)
    for name in ("probs", "logits", "mean", "variance", "mode"):
        close(getattr(a, name), getattr(b, name).numpy())
    close(a.log_prob(x), b.log_prob(x).numpy())
    close(a.cdf(x), b.cdf(x).numpy())
    if kind is not D.NegativeBinomial:
        close(a.entropy(), b.entropy().numpy())
    f = lambda l: kind(logits=l, **more).log_prob(x)  # noqa: E731
    logits = v([-0.5, 1.5]).requires_grad_()
    assert tg.autograd.gradcheck(f, [logits])
    assert tg.autograd.gradgradcheck(f, [logits])
    with pytest.raises(ValueError, match="expected one of probs and logits"):
        kind(**more)


# ---- transformations ----

SAMPLED = [
    (D.Normal, (0.5, 2.0)),
    (D.Gamma, (2.0, 3.0)),
    (D.Beta, (2.0, 3.0)),
    (D.StudentT, (4.0,)),
    (D.VonMises, (0.3, 4.0)),
    (D.Poisson, (3.0,)),
    (D.Bernoulli, (0.4,)),
    (D.Binomial, (5.0, 0.4)),
    (D.NegativeBinomial, (5.0, 0.4)),
]


@pytest.mark.parametrize(("kind", "params"), SAMPLED, ids=[k[0].__name__ for k in SAMPLED])
def test_samples_inside_vmap(kind, params):
    table = [v(np.full(300, p)) for p in params]
    draw = lambda *p: kind(*p).sample((20,))  # noqa: E731
    tg.manual_seed(0)
    x = tg.vmap(draw)(*table)
    assert x.shape == (300, 20)
    assert len(np.unique(x.numpy(), axis=0)) > 100
    exact = kind(*map(v, params))
    assert float(x.mean()) == pytest.approx(exact.mean.item(), abs=5 * math.sqrt(exact.variance.item() / 6000) + 0.02)
    same = tg.vmap(draw, randomness="same")(*table).numpy()
    assert (same == same[0]).all()
    with pytest.raises(tg.GradError, match="randomness"):
        tg.vmap(draw, randomness="error")(*table)


def test_gradients_of_samples_inside_vmap():
    a = v([0.5, 2.0, 5.0])
    f = lambda a: D.Gamma(a, v(1.0)).rsample((40,)).mean()  # noqa: E731
    tg.manual_seed(3)
    g = tg.vmap(tg.grad(f))(a)
    assert g.shape == (3,)
    assert (g.numpy() > 0).all()
    tg.manual_seed(3)
    h = tg.grad(lambda a: tg.vmap(f)(a).sum())(a)
    close(g, h.numpy())
    tg.manual_seed(3)
    x = tg.vmap(lambda a: D.Dirichlet(tg.stack([a, a + 1.0, a])).rsample((4,)))(a)
    close(x.sum(-1), np.ones((3, 4)))
    # Forward mode and second derivatives, in both orders with vmap.
    one = tg.ones_like(a)
    for g in (
        lambda: tg.jvp(tg.vmap(f), (a,), (one,))[1],
        lambda: tg.vmap(lambda a: tg.jvp(f, (a,), (v(1.0),))[1])(a),
    ):
        tg.manual_seed(3)
        close(g(), h.numpy())
    tg.manual_seed(3)
    second = tg.vmap(tg.hessian(f))(a)
    tg.manual_seed(3)
    close(second, tg.hvp(lambda a: tg.vmap(f)(a).sum(), (a,), (one,)).numpy())
    y = tg.vmap(lambda p: D.Categorical(probs=p).sample((6,)))(v([[1.0, 0.0], [0.0, 1.0]]))
    assert y.tolist() == [[0] * 6, [1] * 6]


def test_checks_inside_vmap():
    with pytest.raises(ValueError, match="scale"):
        tg.vmap(lambda s: D.Normal(0.0, s).log_prob(0.0))(v([1.0, -1.0]))
    found = tg.vmap(lambda h, x: D.Uniform(v(0.0), h).log_prob(x))(v([1.0, 2.0]), v([0.5, 1.5]))
    close(found, [0.0, -math.log(2.0)])


def test_nested_transformations():
    f = lambda a, x: D.Gamma(a, v(2.0)).log_prob(x)  # noqa: E731
    hess = tg.vmap(tg.hessian(f))(v([1.5, 3.0]), v([0.5, 0.7]))
    close(hess, -sp.polygamma(1, [1.5, 3.0]))


def test_training_moves_parameters():
    tg.manual_seed(0)
    loc, log_scale = tg.zeros((), requires_grad=True), tg.zeros((), requires_grad=True)
    data = D.Normal(3.0, 0.5).sample((256,))
    optimizer = tg.optim.Adam([loc, log_scale], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = -D.Normal(loc, tg.exp(log_scale)).log_prob(data).mean()
        loss.backward()
        optimizer.step()
    assert loc.item() == pytest.approx(float(data.mean()), abs=0.02)
    assert math.exp(log_scale.item()) == pytest.approx(float(data.std()), abs=0.02)


def test_utilities():
    u = D.utils
    m = v(np.arange(9.0).reshape(3, 3))
    for diag in (-1, 0, 1):
        vec = u.tril_matrix_to_vec(m, diag)
        close(u.vec_to_tril_matrix(vec, diag), np.tril(m.numpy(), diag))
    with pytest.raises(ValueError, match="triangle"):
        u.vec_to_tril_matrix(v([1.0, 2.0]))
    close(u.probs_to_logits(u.logits_to_probs(v([0.5, -1.0]), True), True), [0.5, -1.0])
    assert float(u.clamp_probs(v(0.0))) > 0
    names = [n for n in D.__all__ if not hasattr(D, n)]
    assert not names
    assert len(set(itertools.chain(D.__all__))) == len(D.__all__)
