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
