"""Helpers with which tests of distributions compare."""

import numpy as np

import tapegrad as tg


def v(x):
    return tg.asarray(np.asarray(x, dtype=np.float64))


def close(ours, theirs, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(ours.numpy() if isinstance(ours, tg.Variable) else ours, theirs, rtol=rtol, atol=atol)


def covariance(n, seed=0, batch=()):
    a = np.random.default_rng(seed).normal(size=(*batch, n, n))
    return a @ a.swapaxes(-1, -2) + 0.1 * np.eye(n)
