"""Composed special functions: values against SciPy, gradients of both orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import tapegrad as tg
from tapegrad import special
from tapegrad.autograd import gradcheck, gradgradcheck

POSITIVE = np.array([0.3, 0.9, 1.7, 3.2, 6.5])
SIGNED = np.array([-1.7, -0.4, 0.25, 0.8, 2.6])
UNIT = np.array([-3.0, -0.2, 0.1, 0.5, 0.95])
#: Name, and the arguments with a gradient.
CASES: dict[str, tuple[np.ndarray, ...]] = {
    "gammasgn": (SIGNED,),
    "loggamma": (POSITIVE,),
    "factorial": (POSITIVE,),
    "binom": (POSITIVE + 4.3, POSITIVE),
    "comb": (POSITIVE + 4.3, POSITIVE),
    "perm": (POSITIVE + 4.3, POSITIVE),
    "poch": (SIGNED, POSITIVE),
    "boxcox": (POSITIVE, SIGNED),
    "boxcox1p": (POSITIVE, SIGNED),
    "inv_boxcox": (np.array([0.1, 0.2, 0.3, 0.4, 0.3]), SIGNED),
    "inv_boxcox1p": (np.array([0.1, 0.2, 0.3, 0.4, 0.3]), SIGNED),
    "exprel": (SIGNED,),
    "huber": (POSITIVE, SIGNED),
    "pseudo_huber": (POSITIVE, SIGNED),
    "exp10": (SIGNED,),
    "sindg": (SIGNED * 100,),
    "cosdg": (SIGNED * 100,),
    "agm": (POSITIVE, POSITIVE[::-1].copy()),
    "ellipk": (UNIT,),
    "ellipe": (UNIT,),
    "ellipkm1": (POSITIVE,),
}
ORDERED = {
    "expn": POSITIVE,
    "eval_legendre": UNIT[1:],
    "eval_chebyt": UNIT[1:],
    "eval_chebyu": UNIT[1:],
    "eval_hermite": SIGNED,
    "eval_hermitenorm": SIGNED,
    "eval_laguerre": SIGNED,
    "spherical_jn": np.array([0.05, 0.4, 0.7, 1.5, 3.2, 9.0]),
}


def leaf(x: Any) -> tg.Variable:
    return tg.asarray(x).clone().requires_grad_(True)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    f, x = getattr(special, name), CASES[name]
    np.testing.assert_allclose(f(*x).numpy(), getattr(scipy.special, name)(*x), rtol=2e-12)
    np.testing.assert_allclose(f(*(v.astype("float32") for v in x)).numpy(), getattr(scipy.special, name)(*x), rtol=2e-4)
    if name == "gammasgn":
        return
    leaves = tuple(map(leaf, x))
    assert gradcheck(f, leaves, rtol=1e-5)
    assert gradgradcheck(f, leaves, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ORDERED)
def test_functions_with_an_order(name: str) -> None:
    f, reference, x = getattr(special, name), getattr(scipy.special, name), ORDERED[name]
    for n in (0, 1, 2, 3, 7):
        np.testing.assert_allclose(f(n, x).numpy(), reference(n, x), rtol=1e-10, atol=1e-14)
    assert gradcheck(lambda x: f(3, x), (leaf(x),))
    assert gradgradcheck(lambda x: f(2, x), (leaf(x),), rtol=1e-4)


def test_edges() -> None:
    x = np.arange(-2.0, 6.0)
    np.testing.assert_array_equal(special.factorial(x).numpy(), scipy.special.factorial(x))
    np.testing.assert_array_equal(special.gammasgn(x + 0.5).numpy(), scipy.special.gammasgn(x + 0.5))
    n, k = np.meshgrid(np.arange(-1.0, 9.0), np.arange(-1.0, 9.0))
    np.testing.assert_allclose(special.comb(n, k).numpy(), scipy.special.comb(n, k))
    repeated = special.comb(n[2:, 2:], k[2:, 2:], repetition=True)
    np.testing.assert_allclose(repeated.numpy(), scipy.special.comb(n[2:, 2:], k[2:, 2:], repetition=True))
    np.testing.assert_allclose(special.perm(n, k).numpy(), scipy.special.perm(n, k), rtol=1e-12)
    # At λ = 0 the logarithm, and its slope in λ.
    lam = leaf(np.zeros(2))
    y = np.array([0.5, 3.0])
    np.testing.assert_allclose(special.boxcox(y, lam).detach().numpy(), np.log(y))
    np.testing.assert_allclose(tg.autograd.grad(tg.sum(special.boxcox(y, lam)), lam)[0].numpy(), np.log(y) ** 2 / 2)
    np.testing.assert_allclose(special.inv_boxcox(np.log(y), np.zeros(2)).numpy(), y)
    assert special.exprel(leaf(np.zeros(1))).item() == 1.0
    for m in (1.0, 2.0):
        np.testing.assert_array_equal(special.ellipk(np.array([m])).numpy(), scipy.special.ellipk([m]))
        np.testing.assert_array_equal(special.ellipe(np.array([m])).numpy(), scipy.special.ellipe([m]))
    np.testing.assert_allclose(special.expn(3, np.array([0.0, 1e-9])).numpy(), scipy.special.expn(3, [0.0, 1e-9]))
    z = np.array([0.0, 1e-8, 20.0])
    for order in (0, 1, 2, 5):
        np.testing.assert_allclose(special.spherical_jn(order, z).numpy(), scipy.special.spherical_jn(order, z), atol=1e-15)
        slope = special.spherical_jn(order, z, derivative=True).numpy()
        np.testing.assert_allclose(slope, scipy.special.spherical_jn(order, z, derivative=True), atol=1e-9)
    for f in (special.comb, special.perm):
        with pytest.raises(ValueError, match="exact=True"):
            f(5, 2, exact=True)
    with pytest.raises(ValueError, match="the degree is"):
        special.eval_legendre(-1, 0.5)
    with pytest.raises(ValueError, match="n is -1"):
        special.expn(-1, 0.5)
