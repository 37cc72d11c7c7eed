"""Cosine and sine transforms: SciPy's values for every type and norm, gradients, inverses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.fft

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

X = np.random.default_rng(0).normal(size=(3, 6))
NAMES = ("dct", "idct", "dst", "idst")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_values_are_scipys(name: str, kind: int) -> None:
    f, reference = getattr(tg.fft, name), getattr(scipy.fft, name)
    for norm, axis, n in itertools.product((None, "ortho", "forward", "backward"), (0, -1), (None, 2, 9)):
        got = f(tg.asarray(X), kind, n, axis, norm)
        np.testing.assert_allclose(got.numpy(), reference(X, kind, n, axis, norm), atol=1e-12)
    single = X.astype(np.float32)
    got = f(tg.asarray(single), kind)
    assert got.dtype == tg.float32
    np.testing.assert_allclose(got.numpy(), reference(single, kind), atol=1e-4)
    # With norm="ortho" SciPy changes the weights at the ends unless it is told not to.
    for flag in (True, False):
        got = f(tg.asarray(X), kind, norm="ortho", orthogonalize=flag)
        np.testing.assert_allclose(got.numpy(), reference(X, kind, norm="ortho", orthogonalize=flag), atol=1e-12)
    np.testing.assert_allclose(f(X + 1j * X[::-1], kind).numpy(), reference(X + 1j * X[::-1], kind), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_several_axes_and_gradients(name: str) -> None:
    f, reference = getattr(tg.fft, name + "n"), getattr(scipy.fft, name + "n")
    for options in ({}, {"s": (2, 8)}, {"axes": (1,)}, {"s": 4, "axes": 0, "norm": "ortho"}, {"type": 1}):
        np.testing.assert_allclose(f(X, **options).numpy(), reference(X, **options), atol=1e-12)
    x = tg.asarray(X).clone().requires_grad_(True)
    for kind in (1, 2, 3, 4):
        assert gradcheck(lambda x, k=kind: f(x, k, norm="ortho"), (x,))
    assert gradgradcheck(lambda x: f(x) ** 3, (x,), rtol=1e-4)


def test_sizes_and_errors() -> None:
    for n, real in itertools.product((1, 7, 13, 97, 1000), (False, True)):
        assert tg.fft.next_fast_len(n, real) == scipy.fft.next_fast_len(n, real)
    with pytest.raises(ValueError, match="type is 5"):
        tg.fft.dct(X, 5)
    with pytest.raises(ValueError, match="norm is"):
        tg.fft.idst(X, norm="none")
    with pytest.raises(ValueError, match="too few"):
        tg.fft.dct([1.0], 1)
    with pytest.raises(ValueError, match="s has 1 entries"):
        tg.fft.dctn(X, s=(3,), axes=(0, 1))
