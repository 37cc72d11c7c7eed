"""Gradients of samples and quantiles of distributions, and samples inside transformations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as ss

import tapegrad as tg
from comparing import close, v
from tapegrad.distributions._implicit import beta_rule, dirichlet_rule, gamma_slope

D = tg.distributions
F64 = tg.float64


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
    # The level stays the same: the quantile is computed on both sides.
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


@pytest.mark.parametrize("shape", [1e-3, 0.3, 2.5, 1e4])
def test_quantiles_of_gamma(shape):
    p = np.array([1e-100, 1e-12, 0.01, 0.5, 0.99, 1 - 2.0**-40])
    d = D.Gamma(v(shape), v(2.0))
    x = d.icdf(v(p))
    low = (p < 0.5) & (x.numpy() > 1e-290)
    close(d.cdf(x)[low], p[low], rtol=1e-9)
    close(d.sf(x)[p >= 0.5], 1 - p[p >= 0.5], rtol=1e-9)
    close(D.InverseGamma(v(shape), v(2.0)).icdf(v(p[2:4])), 1 / x.numpy()[[4, 3]], rtol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.5), (0.3, 30.0), (5.0, 1.0), (1e4, 30.0)])
def test_quantiles_of_beta(a, b):
    p = np.array([1e-30, 1e-12, 0.01, 0.5, 0.7])
    d = D.Beta(v(a), v(b))
    x = d.icdf(v(p))
    inside = (x.numpy() > 1e-290) & (x.numpy() < 1 - 1e-9)
    close(d.cdf(x)[inside], p[inside], rtol=1e-8)
    mirrored = D.Beta(v(b), v(a)).icdf(v(1 - p))
    close(x[2:], 1 - mirrored.numpy()[2:], rtol=1e-6, atol=1e-15)


def test_quantiles_are_differentiable():
    for f, args in [
        (lambda p, a: D.Gamma(a, v(2.0)).icdf(p), (0.3, 2.5)),
        (lambda p, a, b: D.Beta(a, b).icdf(p), (0.3, 2.5, 0.7)),
        (lambda p, a: D.StudentT(a).icdf(p), (0.3, 2.5)),
        (lambda p, a, b: D.FisherSnedecor(a, b).icdf(p), (0.3, 2.5, 4.5)),
        (lambda p, a: D.InverseGamma(a, v(2.0)).icdf(p), (0.3, 2.5)),
    ]:
        leaves = [v(x).requires_grad_() for x in args]
        assert tg.autograd.gradcheck(f, leaves)
        assert tg.autograd.gradgradcheck(f, leaves, atol=1e-4)
        plain = [x.detach() for x in leaves]
        _, dy = tg.jvp(f, plain, [v(1.0)] * len(plain))
        close(dy, sum(g.item() for g in tg.vjp(f, *plain)[1](v(1.0))))
        many = tg.vmap(f)(*(tg.stack([x, x * 1.1]) for x in plain))
        close(many, [f(*plain).item(), f(*(x * 1.1 for x in plain)).item()])
    ends = v([0.0, 1.0])
    assert D.Gamma(v(2.0), v(1.0)).icdf(ends).tolist() == [0.0, math.inf]
    assert D.StudentT(v(2.0)).icdf(ends).tolist() == [-math.inf, math.inf]
    assert D.Beta(v(2.0), v(1.0)).icdf(ends).tolist() == [0.0, 1.0]
