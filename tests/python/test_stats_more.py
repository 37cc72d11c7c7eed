"""Families by their formulas, and statistics of samples: values against SciPy, and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

import tapegrad as tg
from tapegrad import stats
from tapegrad.autograd import gradcheck

X = np.array([-1.3, -0.4, 0.2, 0.6, 0.8, 2.5])
A, B = np.array([0.5, 0.7, 0.3, 0.4, 0.9, 0.2]), np.array([1.5, 2.0, 1.2, 3.0, 2.2, 4.0])
FAMILIES: dict[str, tuple[Any, ...]] = {
    "gumbel_l": (),
    "truncnorm": (-A, B),
    "gennorm": (B,),
    "skewnorm": (B,),
    "exponnorm": (B,),
    "rayleigh": (),
    "maxwell": (),
    "triang": (A,),
    "loguniform": (A, B),
    "powerlaw": (B,),
    "lomax": (B + 2,),
    "wrapcauchy": (A,),
    "genextreme": (np.array([0.5, -0.7, 0.0, 0.2, -0.3, 0.4]),),
    "genpareto": (np.array([0.5, -0.7, 0.0, 0.2, -0.3, 0.4]),),
    "invgauss": (B,),
    "rice": (A,),
    "gengamma": (B, A),
    "nakagami": (B,),
    "johnsonsu": (A, B),
}


def leaf(x: Any) -> tg.Variable:
    return tg.asarray(np.asarray(x)).clone().requires_grad_(True)


@pytest.mark.parametrize("name", FAMILIES)
def test_continuous_families(name: str) -> None:
    ours, theirs, shapes = getattr(stats, name), getattr(scipy.stats, name), FAMILIES[name]
    for options in ({}, {"loc": 0.1, "scale": 1.7}):
        np.testing.assert_allclose(ours.logpdf(X, *shapes, **options).numpy(), theirs.logpdf(X, *shapes, **options), rtol=1e-9)
        for method, at in (("cdf", X), ("sf", X), ("ppf", A)):
            try:
                got = getattr(ours, method)(at, *shapes, **options)
            except NotImplementedError:
                continue
            np.testing.assert_allclose(got.numpy(), getattr(theirs, method)(at, *shapes, **options), rtol=1e-8, atol=1e-13)
        for method in ("mean", "var", "entropy"):
            try:
                got = getattr(ours, method)(*shapes, **options)
            except NotImplementedError:
                continue
            want = getattr(theirs, method)(*shapes, **options)
            np.testing.assert_allclose(np.broadcast_to(got.numpy(), np.shape(want)), want, rtol=1e-6)
    inside = np.isfinite(theirs.logpdf(X, *shapes))
    leaves = tuple(leaf(v[inside]) for v in (X, *shapes))
    assert gradcheck(ours.logpdf, leaves, rtol=1e-4, atol=1e-6)


def test_truncated_normals_far_out() -> None:
    for a, b in ((8.0, 9.0), (-30.0, -29.0), (30.0, np.inf), (-np.inf, -12.0), (-np.inf, np.inf)):
        x = np.clip(np.array([a + 0.3, b - 0.3]), -40.0, 40.0)
        x = x[(x > a) & (x < b)]
        a_, b_ = np.full(x.shape, a), np.full(x.shape, b)
        np.testing.assert_allclose(stats.truncnorm.logpdf(x, a_, b_).numpy(), scipy.stats.truncnorm.logpdf(x, a_, b_), rtol=1e-8)
        np.testing.assert_allclose(stats.truncnorm.cdf(x, a_, b_).numpy(), scipy.stats.truncnorm.cdf(x, a_, b_), rtol=1e-7)


def test_discrete_families_and_draws() -> None:
    k = np.arange(-1.0, 8.0)
    np.testing.assert_allclose(
        stats.betabinom.logpmf(k, 6, 2.3, 0.63).numpy(), scipy.stats.betabinom.logpmf(k, 6, 2.3, 0.63), rtol=1e-4
    )
    args = (np.array(6.0), np.array(2.3), np.array(0.63))
    np.testing.assert_allclose(stats.betabinom.pmf(k, *args).numpy(), scipy.stats.betabinom.pmf(k, 6, 2.3, 0.63), rtol=1e-9)
    np.testing.assert_allclose(stats.zipf.pmf(k, np.array(2.5)).numpy(), scipy.stats.zipf.pmf(k, 2.5), rtol=1e-9)
    drawn = stats.rayleigh.rvs(scale=2.0, size=4000, random_state=tg.random.Generator(1))
    assert scipy.stats.kstest(drawn.numpy(), "rayleigh", args=(0, 2.0)).pvalue > 1e-3


def test_statistics_of_samples() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=(9, 3))
    for axis in (0, 1, None):
        for name, options in (
            ("zscore", {}),
            ("zscore", {"ddof": 1}),
            ("sem", {}),
            ("variation", {}),
            ("moment", {"order": 3}),
            ("skew", {}),
            ("skew", {"bias": False}),
            ("kurtosis", {}),
            ("kurtosis", {"fisher": False}),
            ("gmean", {}),
            ("hmean", {}),
        ):
            got = getattr(stats, name)(x, axis=axis, **options)
            np.testing.assert_allclose(got.numpy(), getattr(scipy.stats, name)(x, axis=axis, **options), rtol=1e-9)
    np.testing.assert_allclose(stats.kurtosis(x, bias=False).numpy(), scipy.stats.kurtosis(x, bias=False), rtol=1e-9)
    np.testing.assert_allclose(stats.entropy(x).numpy(), scipy.stats.entropy(x), rtol=1e-9)
    np.testing.assert_allclose(stats.entropy(x, x[::-1], base=2).numpy(), scipy.stats.entropy(x, x[::-1], base=2), rtol=1e-9)
    statistic, probability = stats.pearsonr(x[:, 0], x[:, 1])
    want = scipy.stats.pearsonr(x[:, 0], x[:, 1])
    assert statistic.item() == pytest.approx(want.statistic)
    assert probability.item() == pytest.approx(want.pvalue)
    v = leaf(x[:5])
    for f in (stats.skew, stats.kurtosis, stats.zscore, stats.gmean, stats.entropy):
        assert gradcheck(f, (v,), rtol=1e-4)
    with pytest.raises(tg.AxisError):
        stats.skew(x, axis=2)


def test_kernel_density_estimates() -> None:
    rng = np.random.default_rng(0)
    for data, at in ((rng.normal(size=20), np.linspace(-2, 2, 5)), (rng.normal(size=(2, 20)), rng.normal(size=(2, 4)))):
        weights = rng.random(20)
        for options in ({}, {"bw_method": "silverman"}, {"bw_method": 0.4}, {"weights": weights}):
            got, want = stats.gaussian_kde(data, **options), scipy.stats.gaussian_kde(data, **options)
            np.testing.assert_allclose(got(at).numpy(), want(at), rtol=1e-8)
            np.testing.assert_allclose(got.logpdf(at).numpy(), want.logpdf(at), rtol=1e-8)
    assert gradcheck(lambda d, x: stats.gaussian_kde(d)(x), (leaf(rng.normal(size=6)), leaf([0.3, -0.2])))
    with pytest.raises(tg.ShapeError, match="points of 3 dimensions"):
        stats.gaussian_kde(rng.normal(size=(2, 9)))(np.ones((3, 2)))


def test_lines_through_points() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=9)
    for y in (2.0 * x + rng.normal(size=9), 2.0 * x + 1.0, np.ones(9)):
        got, want = stats.linregress(x, y), scipy.stats.linregress(x, y)
        for name in ("slope", "intercept", "rvalue", "pvalue", "stderr", "intercept_stderr")[: None if y.std() else 2]:
            np.testing.assert_allclose(getattr(got, name).item(), getattr(want, name), rtol=1e-8, atol=1e-7)
    flat = stats.linregress(x, np.ones(9))
    assert np.isnan(flat.rvalue.item())
    assert flat.stderr.item() == 0.0
    got, want = stats.linregress(x[:2], x[1:3]), scipy.stats.linregress(x[:2], x[1:3])
    np.testing.assert_allclose([v.item() for v in got], want, atol=1e-12)
    y = 2.0 * x + rng.normal(size=9)
    assert gradcheck(lambda x, y: tg.stack(list(stats.linregress(x, y))), (leaf(x), leaf(y)), rtol=1e-4)
    with pytest.raises(ValueError, match="all x are the same"):
        stats.linregress(np.ones(3), x[:3])
    with pytest.raises(tg.ShapeError, match="expected two vectors"):
        stats.linregress(x, x[:3])


def test_ranges_between_quartiles() -> None:
    x = np.random.default_rng(0).normal(size=(9, 3))
    for options in ({}, {"axis": 0}, {"rng": (10.0, 80.0)}, {"scale": "normal"}, {"axis": 1, "scale": 2.0}):
        np.testing.assert_allclose(stats.iqr(x, **options).numpy(), scipy.stats.iqr(x, **options), rtol=1e-12)
    assert gradcheck(lambda x: stats.iqr(x, axis=0), (leaf(x),))
    with pytest.raises(ValueError, match="scale is 'other'"):
        stats.iqr(x, scale="other")


def test_shapes_near_zero_of_extremes() -> None:
    """Where the shape is zero the families have a limit; values and derivatives are continuous there."""
    x = np.array([0.3, 1.5])
    for family in (stats.genextreme, stats.genpareto):
        slopes = []
        for c in (-1e-9, 0.0, 1e-9, 1e-5):
            shape = tg.Variable(c, dtype="float64", requires_grad=True)
            (slope,) = tg.autograd.grad(tg.sum(family.logpdf(x, shape)), shape)
            slopes.append(slope.item())
            want = getattr(scipy.stats, family.name).logpdf(x, c)
            np.testing.assert_allclose(family.logpdf(x, shape).detach().numpy(), want, rtol=1e-7)
        np.testing.assert_allclose(slopes, slopes[1], rtol=1e-3)
