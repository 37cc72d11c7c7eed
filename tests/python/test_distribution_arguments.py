"""Ends of supports, arguments, both forms of probabilities, distributions of your own."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as ss

import tapegrad as tg
from comparing import close, v

D = tg.distributions
F64 = tg.float64


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


def test_numbers_are_weak():
    """Parameters that are Python numbers keep their digits for values of float64."""
    x = np.array([0.3, 1.7])
    close(D.Normal(0.1, 2.1).log_prob(x), ss.norm.logpdf(x, 0.1, 2.1), rtol=1e-14)
    close(D.Gamma(2.3, 1.7).log_prob(v(x)), ss.gamma.logpdf(x, 2.3, scale=1 / 1.7), rtol=1e-13)
    close(D.StudentT(3.3).cdf(value=x), ss.t.cdf(x, 3.3), rtol=1e-13)
    close(D.Normal(0.1, 2.1).expand((2,)).icdf(v([0.1, 0.2])), ss.norm.ppf([0.1, 0.2], 0.1, 2.1), rtol=1e-13)
    shifted = D.TransformedDistribution(D.Normal(0.1, 2.1), D.ExpTransform())
    close(shifted.log_prob(v(x)), ss.lognorm.logpdf(x, 2.1, scale=math.exp(0.1)), rtol=1e-13)
    d = D.Normal(0.1, 2.1)
    assert d.log_prob(0.3).dtype == d.sample().dtype == d.loc.dtype == tg.float32
    assert D.Normal(tg.Variable(0.1), 2.1).log_prob(x).dtype == F64


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


def test_continuous_bernoulli():
    x = np.linspace(0, 1, 200001)
    for p in (0.02, 0.4999999, 0.50001, 0.51, 0.9):
        d = D.ContinuousBernoulli(probs=v(p))
        density = np.exp(x * math.log(p) + (1 - x) * math.log1p(-p))
        density /= scipy.integrate.simpson(density, x=x)
        close(d.log_prob(v(x[::50000])), np.log(density[::50000]), rtol=1e-8, atol=1e-9)
        close(d.mean, scipy.integrate.simpson(density * x, x=x), rtol=1e-9)
        close(d.variance, scipy.integrate.simpson(density * x * x, x=x) - d.mean.item() ** 2, rtol=1e-8)
        close(d.entropy(), -scipy.integrate.simpson(density * np.log(density), x=x), atol=1e-9)
        close(d.cdf(v(0.3)), scipy.integrate.simpson(density[:60001], x=x[:60001]), rtol=1e-9)
        close(d.icdf(d.cdf(v([0.01, 0.3, 0.99]))), [0.01, 0.3, 0.99], rtol=1e-9)
    assert ss.kstest(d.sample((4000,), generator=tg.random.Generator(0)).numpy(), lambda y: d.cdf(v(y)).numpy()).pvalue > 1e-3
    f = lambda t: D.ContinuousBernoulli(logits=t).log_prob(v(0.3))  # noqa: E731
    for t in (-40.0, 0.0, 0.01, 2.0):
        assert tg.autograd.gradcheck(f, [v(t).requires_grad_()])
        assert tg.autograd.gradgradcheck(f, [v(t).requires_grad_()], atol=1e-4)


@pytest.mark.parametrize("c", [-0.4, 0.0, 1e-9, 0.3])
def test_generalized_pareto(c):
    s, d = ss.genpareto(c, 0.5, 2.0), D.GeneralizedPareto(v(0.5), v(2.0), v(c))
    x = np.array([0.5, 0.50001, 1.0, 4.0])
    close(d.log_prob(v(x)), s.logpdf(x))
    close(d.cdf(v(x)), s.cdf(x), rtol=1e-9)
    close(d.sf(v(x)), s.sf(x))
    close(d.icdf(v([0.1, 0.99])), s.ppf([0.1, 0.99]))
    for name, value in (("mean", s.mean()), ("variance", s.var())):
        close(getattr(d, name), value, rtol=1e-6)
    close(d.entropy(), s.entropy())
    f = lambda a, b, c: D.GeneralizedPareto(a, b, c, validate_args=False).log_prob(v([1.0, 3.0]))  # noqa: E731
    args = [v(a).requires_grad_() for a in (0.5, 2.0, c)]
    assert tg.autograd.gradcheck(f, args)


def test_exponential_family():
    class Mine(D.ExponentialFamily):
        """A Poisson-free family: the exponential distribution."""

        def __init__(self, rate):
            (self.rate,) = D.utils.broadcast_all(rate)
            super().__init__(self.rate.shape)

        arg_constraints = {"rate": D.constraints.positive}  # noqa: RUF012
        _mean_carrier_measure = 0

        @property
        def _natural_params(self):
            return (-self.rate,)

        def _log_normalizer(self, x):
            return -tg.log(-x)

    close(Mine(v([0.5, 2.0])).entropy(), D.Exponential(v([0.5, 2.0])).entropy().numpy())


def test_modules_of_pytorch():
    from tapegrad.distributions.bernoulli import Bernoulli
    from tapegrad.distributions.transformed_distribution import TransformedDistribution

    from tapegrad.distributions.normal import Normal

    assert (Bernoulli, Normal, TransformedDistribution) == (D.Bernoulli, D.Normal, D.TransformedDistribution)
