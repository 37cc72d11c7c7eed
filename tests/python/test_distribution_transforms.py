"""Transforms, constraints, and distributions of transformed draws."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tapegrad as tg
from comparing import close, v

D = tg.distributions
T = D.transforms
F64 = tg.float64


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


def test_the_gradient_by_a_value_does_not_depend_on_the_cache():
    found = []
    for size in (0, 1):
        d = D.TransformedDistribution(D.Normal(v(0.0), v(1.0)), T.SigmoidTransform(cache_size=size))
        y = d.sample(generator=tg.random.Generator(0)).requires_grad_()
        found.append(tg.autograd.grad(d.log_prob(y), [y])[0].item())
    assert found[0] == found[1]


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
        # For a matrix or a simplex, the free coordinates.
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
