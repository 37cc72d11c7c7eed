"""SciPy's functions on Variables: ufuncs of scipy.special are ours, and other functions name our counterpart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.special
import scipy.stats

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.array([0.4, 1.7, 2.9])


@pytest.mark.parametrize("name", ["gammaln", "erf", "expit", "digamma", "ndtri", "k0", "i1e", "log_ndtr", "entr"])
def test_ufuncs_of_one_argument_are_recorded(name: str) -> None:
    x = tg.Variable(X / 4 if name == "ndtri" else X, requires_grad=True)
    y = getattr(scipy.special, name)(x)
    np.testing.assert_allclose(y.detach().numpy(), getattr(scipy.special, name)(x.detach().numpy()), rtol=1e-12)
    (g,) = tg.autograd.grad(tg.sum(y), x)
    h = 1e-6
    at = x.detach().numpy()
    numeric = (getattr(scipy.special, name)(at + h) - getattr(scipy.special, name)(at - h)) / (2 * h)
    np.testing.assert_allclose(g.numpy(), numeric, rtol=1e-7)


def test_ufuncs_of_several_arguments_are_recorded() -> None:
    x = tg.Variable(X, requires_grad=True)
    for f in (scipy.special.gammainc, scipy.special.xlogy, scipy.special.betaln, scipy.special.rel_entr):
        for got, want in [(f(2.0, x), f(2.0, X)), (f(x, X), f(X, X))]:
            assert got.requires_grad
            np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: scipy.linalg.cholesky(tg.outer(x, x) + tg.eye(3)), "tg.linalg.cholesky"),
        (lambda x: scipy.linalg.expm(tg.outer(x, x)), "tg.linalg.expm"),
        (lambda x: scipy.linalg.solve(tg.outer(x, x), X), "tg.linalg.solve"),
        (lambda x: scipy.linalg.cho_factor(tg.outer(x, x)), "tg.linalg.cho_factor"),
        (scipy.fft.rfft, "tg.fft.rfft"),
        (lambda x: scipy.special.multigammaln(x, 2), "tg.special.multigammaln"),
        (lambda x: scipy.signal.convolve(x, x), "tg.signal.convolve"),
        (lambda x: scipy.signal.lfilter([1.0], [1.0, 0.5], x), "tg.signal.lfilter"),
        (lambda x: scipy.integrate.simpson(x), "tg.integrate.simpson"),
        (lambda x: scipy.integrate.odeint(lambda y, t: -y, x, [0.0, 1.0]), "tg.integrate.odeint"),
        (lambda x: scipy.interpolate.CubicSpline(X, x), r"tg\.interpolate\.CubicSpline"),
        (lambda x: scipy.interpolate.interp1d(X, x), r"tg\.interpolate\.interp1d"),
        (scipy.stats.norm.pdf, "tg.stats.norm.pdf"),
        (scipy.stats.norm(0.0, 1.0).logpdf, "tg.stats.norm.logpdf"),
        (lambda x: scipy.stats.dirichlet.logpdf(x / x.sum(), X), "tg.stats.dirichlet.logpdf"),
    ],
)
def test_other_functions_name_the_counterpart(call: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(tg.GradError, match=f"Use {name} instead of scipy"):
        call(tg.Variable(X, requires_grad=True))


def test_functions_without_a_counterpart_say_so() -> None:
    x = tg.Variable(X, requires_grad=True)
    with pytest.raises(tg.GradError, match=r"scipy\.ndimage\.fourier_shift.* has no counterpart"):
        scipy.ndimage.fourier_shift(x, 1.0)
    with pytest.raises(TypeError, match=r"scipy\.special\.hyp0f1 is not available for Variables"):
        scipy.special.hyp0f1(1.0, x)
    with pytest.raises(tg.GradError, match=r"tg\.asarray"):
        np.array([x, x])


def test_data_without_gradients_goes_to_scipy() -> None:
    a = np.eye(2) * 4.0
    np.testing.assert_array_equal(scipy.linalg.cholesky(tg.Variable(a)), 2.0 * np.eye(2))
