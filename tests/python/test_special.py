"""Special functions: values against SciPy, gradients in every argument, edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.special as sc

import tapegrad as tg
from tapegrad import special

if TYPE_CHECKING:
    from collections.abc import Callable

F64 = tg.float64
RNG = np.random.default_rng(3)
REAL = np.concatenate([RNG.uniform(-6, 6, 60), [0.0, 1.0, -0.5]])
POSITIVE = 10 ** RNG.uniform(-3, 2, 60)
UNIT = np.concatenate([RNG.uniform(0, 1, 50), [0.0, 1.0, 0.5, 1e-12]])


@pytest.mark.parametrize(
    ("name", "x"),
    [
        *[
            (n, REAL)
            for n in [
                "erf",
                "erfc",
                "erfcx",
                "gammaln",
                "gamma",
                "i0",
                "i0e",
                "i1",
                "i1e",
                "j0",
                "j1",
                "ndtr",
                "log_ndtr",
                "expit",
                "log_expit",
                "expi",
            ]
        ],
        *[(n, POSITIVE) for n in ["digamma", "psi", "k0", "k0e", "k1", "k1e", "y0", "y1", "exp1", "entr"]],
        *[(n, UNIT) for n in ["erfinv", "ndtri", "logit"]],
        ("erfcinv", 2 * UNIT),
        ("ndtri_exp", -POSITIVE),
    ],
)
def test_unary_values(name: str, x: np.ndarray) -> None:
    ours = getattr(special, name)(tg.Variable(x)).numpy()
    np.testing.assert_allclose(ours, getattr(sc, name)(x), rtol=2e-12, atol=1e-14)
    single = getattr(special, name)(tg.Variable(x.astype(np.float32)))
    assert single.dtype == tg.float32
    np.testing.assert_allclose(
        single.numpy(), getattr(sc, name)(x.astype(np.float32).astype(float)).astype(np.float32), rtol=3e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("beta", (POSITIVE, POSITIVE[::-1])),
        ("betaln", (POSITIVE, POSITIVE[::-1])),
        ("gammainc", (POSITIVE, POSITIVE[::-1])),
        ("gammaincc", (POSITIVE, POSITIVE[::-1])),
        ("betainc", (POSITIVE, POSITIVE[::-1], RNG.uniform(0, 1, 60))),
        ("betaincc", (POSITIVE, POSITIVE[::-1], RNG.uniform(0, 1, 60))),
        ("xlogy", (REAL, np.abs(REAL))),
        ("xlog1py", (REAL, np.abs(REAL))),
        ("rel_entr", (POSITIVE, POSITIVE[::-1])),
        ("kl_div", (POSITIVE, POSITIVE[::-1])),
        ("zeta", (1 + POSITIVE, POSITIVE[::-1])),
    ],
)
def test_values_of_several_arguments(name: str, args: tuple[np.ndarray, ...]) -> None:
    ours = getattr(special, name)(*[tg.Variable(a) for a in args]).numpy()
    np.testing.assert_allclose(ours, getattr(sc, name)(*args), rtol=2e-11, atol=1e-290)


def test_functions_with_integers() -> None:
    for n in range(4):
        np.testing.assert_allclose(special.polygamma(n, tg.Variable(POSITIVE)).numpy(), sc.polygamma(n, POSITIVE), rtol=1e-12)
    np.testing.assert_allclose(
        special.multigammaln(tg.Variable(POSITIVE + 2), 3).numpy(), sc.multigammaln(POSITIVE + 2, 3), rtol=1e-12
    )
    x = np.concatenate([-np.exp(-1) * RNG.uniform(0, 1, 20), POSITIVE])
    np.testing.assert_allclose(special.lambertw(tg.Variable(x)).numpy(), sc.lambertw(x).real, rtol=1e-12)
    np.testing.assert_allclose(special.lambertw(tg.Variable(x[:20]), -1).numpy(), sc.lambertw(x[:20], -1).real, rtol=1e-12)
    np.testing.assert_allclose(special.sinc(tg.Variable(REAL)).numpy(), np.sinc(REAL), atol=1e-15)
    with pytest.raises(ValueError, match="branch"):
        special.lambertw(tg.Variable([1.0]), 1)
    with pytest.raises(ValueError, match="polygamma"):
        special.polygamma(-1, tg.Variable([1.0]))


CASES: list[tuple[Callable[..., Any], tuple[float, ...]]] = [
    (special.gammainc, (3.2, 2.5)),
    (special.gammainc, (300.0, 290.0)),
    (special.gammaincc, (0.4, 1.7)),
    (special.gammainc, (0.2, 0.05)),
    (special.betainc, (2.5, 4.0, 0.3)),
    (special.betainc, (40.0, 20.0, 0.7)),
    (special.betaincc, (0.5, 0.7, 0.9)),
    (special.zeta, (2.3, 1.4)),
    (special.beta, (2.5, 0.7)),
    (special.betaln, (12.0, 30.0)),
    (special.kl_div, (1.2, 1.3)),
    (special.i1, (0.0,)),
    (special.i1e, (40.0,)),
    (special.j1, (0.0,)),
    (special.sinc, (0.0,)),
    (special.sinc, (2.3,)),
    (special.erfcx, (12.0,)),
    (special.log_ndtr, (-30.0,)),
    (special.lambertw, (0.0,)),
    (special.digamma, (-1.5,)),
]


@pytest.mark.parametrize(("f", "at"), CASES)
def test_gradients_of_both_orders_in_every_argument(f: Callable[..., Any], at: tuple[float, ...]) -> None:
    def first(values: tuple[float, ...]) -> np.ndarray:
        xs = [tg.Variable(v, dtype=F64, requires_grad=True) for v in values]
        return np.array([float(g) for g in tg.autograd.grad(f(*xs), xs)])

    for i in range(len(at)):
        h = 1e-4 * max(1.0, abs(at[i]))
        moved = [tuple(v + s * h * (j == i) for j, v in enumerate(at)) for s in (2, 1, -1, -2)]
        values = np.array([float(f(*[tg.Variable(v, dtype=F64) for v in m])) for m in moved])
        slopes = np.array([first(m) for m in moved])
        quotient = np.array([-1, 8, -8, 1]) / (12 * h)
        scale = np.abs(values).max() / h
        np.testing.assert_allclose(first(at)[i], quotient @ values, rtol=1e-7, atol=1e-12 * scale + 1e-12)
        xs = [tg.Variable(v, dtype=F64, requires_grad=True) for v in at]
        grads = tg.autograd.grad(f(*xs), xs, create_graph=True)
        mixed = [float(tg.autograd.grad(g, [xs[i]], retain_graph=True)[0]) for g in grads]
        np.testing.assert_allclose(mixed, quotient @ slopes, rtol=1e-6, atol=1e-9)


def test_a_third_derivative_by_a_shape_raises() -> None:
    a = tg.Variable(2.0, dtype=F64, requires_grad=True)
    y = special.gammainc(a, 1.0)
    for _ in range(2):
        (y,) = tg.autograd.grad(y, [a], create_graph=True)
    with pytest.raises(tg.GradError, match="second order"):
        tg.autograd.grad(y, [a])


def test_zeros_annihilate() -> None:
    x = tg.Variable([0.0, 2.0], dtype=F64, requires_grad=True)
    y = tg.Variable([0.0, 2.0], dtype=F64, requires_grad=True)
    gx, gy = tg.autograd.grad(tg.sum(special.xlogy(x, y)), [x, y])
    assert gy.tolist() == [0.0, 1.0]
    assert gx[0].item() == -np.inf
    (g,) = tg.autograd.grad(tg.sum(special.rel_entr(x.detach(), y)), [y])
    assert g.tolist() == [0.0, -1.0]


def test_sums_of_exponentials() -> None:
    a, b = RNG.normal(size=(3, 4)) * 50, RNG.normal(size=(3, 4))
    for axis in (None, 0, (0, 1)):
        np.testing.assert_allclose(special.logsumexp(tg.Variable(a), axis=axis).numpy(), sc.logsumexp(a, axis=axis), rtol=1e-12)
        ours = special.logsumexp(tg.Variable(a), axis=axis, b=tg.Variable(b), keepdims=True, return_sign=True)
        for x, y in zip(ours, sc.logsumexp(a, axis=axis, b=b, keepdims=True, return_sign=True), strict=True):
            np.testing.assert_allclose(x.numpy(), y, rtol=1e-10)
    for axis in (None, 0, 1):
        np.testing.assert_allclose(special.softmax(tg.Variable(a), axis=axis).numpy(), sc.softmax(a, axis=axis), rtol=1e-12)
        np.testing.assert_allclose(
            special.log_softmax(tg.Variable(a), axis=axis).numpy(), sc.log_softmax(a, axis=axis), rtol=1e-12
        )


def test_weights_of_logsumexp_keep_their_fractions_and_broadcast() -> None:
    a, b = np.array([1, 2]), np.array([[0.5, 0.25], [0.5, 2.0], [0.0, 0.125]])
    for axis in (None, 0, 1):
        np.testing.assert_allclose(special.logsumexp(a, axis=axis, b=b).numpy(), sc.logsumexp(a, axis=axis, b=b), rtol=1e-6)
    empty = special.logsumexp(tg.Variable(np.zeros((0, 3))), axis=0, b=1.0)
    assert empty.tolist() == [-np.inf] * 3


def test_shapes_dtypes_and_layouts() -> None:
    x = tg.Variable(np.abs(RNG.normal(size=(40, 30))))
    np.testing.assert_allclose(special.gammaln(x.mT[::-1]).numpy(), sc.gammaln(x.numpy().T[::-1]), rtol=1e-12, atol=1e-15)
    assert special.gammaln(tg.zeros((0, 3))).shape == (0, 3)
    assert special.digamma(tg.Variable([1, 2])).dtype == tg.float32
    assert special.betainc(tg.Variable([[1.0], [2.0]]), tg.Variable([1.0, 2.0, 3.0]), 0.5).shape == (2, 3)
    with pytest.raises(tg.ShapeError, match="beta"):
        special.beta(tg.ones((2,)), tg.ones((3,)))
