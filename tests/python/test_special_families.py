"""Orthogonal polynomials, Gauss rules and distribution functions: values against SciPy, gradients of both orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import tapegrad as tg
from tapegrad import special
from tapegrad.autograd import gradcheck, gradgradcheck

X = np.array([0.1, 0.5, 0.9, 1.5, -0.3])
POSITIVE = np.array([0.3, 0.9, 1.7, 3.2, 6.5])
UNIT = np.array([0.05, 0.2, 0.5, 0.8, 0.95])
#: Name, the arguments without a gradient, and those with one.
CASES: list[tuple[str, tuple[Any, ...], tuple[np.ndarray, ...]]] = [
    *((f"eval_{kind}", (n,), (X,)) for kind in ("chebyc", "chebys", "sh_legendre", "sh_chebyt", "sh_chebyu") for n in (0, 1, 4)),
    *(("eval_genlaguerre", (n,), (np.array(0.7), X)) for n in (0, 1, 4)),
    *(("eval_gegenbauer", (n,), (np.array(0.7), X)) for n in (0, 1, 4)),
    *(("eval_jacobi", (n,), (np.array(0.7), np.array(0.2), X)) for n in (0, 1, 4)),
    ("chdtr", (2.5,), (POSITIVE,)),
    ("chdtrc", (2.5,), (POSITIVE,)),
    ("gdtr", (), (np.array(1.5), np.array(2.5), POSITIVE)),
    ("gdtrc", (), (np.array(1.5), np.array(2.5), POSITIVE)),
    ("pdtr", (2.7,), (POSITIVE,)),
    ("pdtrc", (2.7,), (POSITIVE,)),
    ("bdtr", (2.0, 5), (UNIT,)),
    ("bdtrc", (2.0, 5), (UNIT,)),
    ("nbdtr", (2, 5), (UNIT,)),
    ("fdtr", (2.5, 3.5), (POSITIVE,)),
    ("fdtrc", (2.5, 3.5), (POSITIVE,)),
    ("stdtr", (2.5,), (np.array([-9.0, -0.4, 0.0, 0.3, 4.0]),)),
    ("rgamma", (), (np.array([-2.0, -1.5, 0.0, 0.5, 3.0]),)),
    ("cosm1", (), (X,)),
    ("powm1", (), (POSITIVE, X)),
    ("radian", (), (X, X + 1, X + 2)),
]
#: PyTorch's names, and the expected values.
NAMES: dict[str, Any] = {
    "bessel_j0": scipy.special.j0,
    "bessel_j1": scipy.special.j1,
    "bessel_y0": scipy.special.y0,
    "bessel_y1": scipy.special.y1,
    "modified_bessel_i0": scipy.special.i0,
    "modified_bessel_i1": scipy.special.i1,
    "modified_bessel_k0": scipy.special.k0,
    "modified_bessel_k1": scipy.special.k1,
    "scaled_modified_bessel_k0": scipy.special.k0e,
    "scaled_modified_bessel_k1": scipy.special.k1e,
    "spherical_bessel_j0": lambda x: scipy.special.spherical_jn(0, x),
}
ANGLE = np.array([0.3, 1.1, 2.5])
#: The four kinds of Chebyshev's polynomials of degree n at cos t (DLMF 18.5).
KINDS = {
    "t": lambda n, t: np.cos(n * t),
    "u": lambda n, t: np.sin((n + 1) * t) / np.sin(t),
    "v": lambda n, t: np.cos((n + 0.5) * t) / np.cos(t / 2),
    "w": lambda n, t: np.sin((n + 0.5) * t) / np.sin(t / 2),
}


@pytest.mark.parametrize(("name", "fixed", "values"), CASES)
def test_values_and_gradients(name: str, fixed: tuple[Any, ...], values: tuple[np.ndarray, ...]) -> None:
    f = getattr(special, name)
    xs = tuple(tg.Variable(v.copy(), requires_grad=True) for v in values)
    expected = getattr(scipy.special, name)(*fixed, *values)
    np.testing.assert_allclose(f(*fixed, *xs).detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    small = f(*fixed, *(tg.Variable(v.astype(np.float32)) for v in values))
    assert small.dtype == tg.float32
    np.testing.assert_allclose(small.numpy(), expected, rtol=2e-4, atol=2e-5)
    if fixed == (0,):
        return  # a constant
    gradcheck(lambda *x: f(*fixed, *x), xs)
    gradgradcheck(lambda *x: f(*fixed, *x), xs)


@pytest.mark.parametrize("name", ["jv", "yv", "kv", "kve", "iv", "ive"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 25, -1, -2])
def test_bessel_functions_of_whole_orders(name: str, n: int) -> None:
    x = np.array([1e-3, 0.5, 1.99, 2.01, 6.9, 7.1, 24.0, 26.0, 120.0])
    x = np.concatenate([x, -x, [0.0]]) if name in {"jv", "iv", "ive"} else x
    expected = getattr(scipy.special, name)(n, x)
    f = getattr(special, name)
    np.testing.assert_allclose(f(n, tg.Variable(x)).numpy(), expected, rtol=1e-9, atol=1e-14 if name == "jv" else 0)
    assert f(n, tg.ones(2)).dtype == tg.float32
    near = tg.Variable(np.array([0.5, 2.5, 7.0, 12.0]), requires_grad=True)
    if abs(n) < 25:
        gradcheck(lambda v: f(n, v), (near,))
        gradgradcheck(lambda v: f(n, v), (near,))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_pytorch(name: str) -> None:
    np.testing.assert_allclose(getattr(special, name)(tg.Variable(POSITIVE)).numpy(), NAMES[name](POSITIVE), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_chebyshev_polynomials_of_pytorch(kind: str, n: int) -> None:
    expected = KINDS[kind](n, ANGLE)
    np.testing.assert_allclose(getattr(special, f"chebyshev_polynomial_{kind}")(tg.Variable(np.cos(ANGLE)), n).numpy(), expected)
    half = tg.Variable((np.cos(ANGLE) + 1) / 2)
    np.testing.assert_allclose(getattr(special, f"shifted_chebyshev_polynomial_{kind}")(half, n).numpy(), expected, rtol=1e-9)


def test_other_polynomials_of_pytorch() -> None:
    x = tg.Variable(X)
    for name, f in [
        ("hermite_polynomial_h", scipy.special.eval_hermite),
        ("hermite_polynomial_he", scipy.special.eval_hermitenorm),
        ("laguerre_polynomial_l", scipy.special.eval_laguerre),
        ("legendre_polynomial_p", scipy.special.eval_legendre),
    ]:
        np.testing.assert_allclose(getattr(special, name)(x, 3).numpy(), f(3, X), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_dirichlet_kernel(n: int) -> None:
    x = np.array([0.0, 0.4, np.pi, 2 * np.pi, -3.0])
    np.testing.assert_allclose(special.diric(tg.Variable(x), n).numpy(), scipy.special.diric(x, n), atol=1e-12)
    if n > 1:
        gradcheck(lambda v: special.diric(v, n), (tg.Variable(x, requires_grad=True),))


@pytest.mark.parametrize("name", ["roots_legendre", "roots_hermite", "roots_hermitenorm", "roots_laguerre", "roots_chebyt"])
def test_gauss_rules(name: str) -> None:
    for n in (1, 4, 9):
        for ours, theirs in zip(getattr(special, name)(n), getattr(scipy.special, name)(n), strict=True):
            assert ours.dtype == tg.float64
            np.testing.assert_allclose(np.sort(ours.numpy()), np.sort(theirs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: special.roots_legendre(0), "roots_legendre: the number of nodes is 0, expected a whole number from 1 on"),
        (lambda: special.jv(0.5, 1.0), "jv: the order is 0.5, expected a whole number"),
        (lambda: special.diric(1.0, 0), "diric: n is 0, expected a whole number from 1 on"),
        (lambda: special.eval_jacobi(-1, 0.0, 0.0, 1.0), "the degree is -1, expected a whole number from 0 on"),
    ],
)
def test_mistakes(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
