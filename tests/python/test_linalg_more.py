"""SciPy's matrix equations, functions of matrices and special matrices: values against SciPy, gradients of both orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.linalg

import tapegrad as tg
from tapegrad import linalg
from tapegrad.autograd import gradcheck, gradgradcheck

if TYPE_CHECKING:
    from collections.abc import Callable


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(n: int, seed: int = 0) -> np.ndarray:
    x = draw(n, n, seed=seed)
    return x @ x.T + np.eye(n)


A, B = draw(3, 3), draw(3, 2, seed=1)
STABLE = draw(3, 3, seed=2) - 4 * np.eye(3)
#: Name, and the arrays; all parts of the result that are arrays are compared.
CASES: dict[str, tuple[Any, ...]] = {
    "solve_sylvester": (A, positive(2), B),
    "solve_continuous_lyapunov": (STABLE, positive(3)),
    "solve_discrete_lyapunov": (0.3 * A, positive(3)),
    "solve_continuous_are": (A, B, positive(3), positive(2)),
    "solve_discrete_are": (A, B, positive(3), positive(2)),
    "cosm": (A,),
    "sinm": (A,),
    "tanm": (A,),
    "coshm": (A,),
    "sinhm": (A,),
    "tanhm": (A,),
    "signm": (positive(3) @ np.diag([1.0, -1.0, 1.0]),),
    "expm_frechet": (A, draw(3, 3, seed=3)),
    "polar": (draw(4, 3),),
    "pinvh": (positive(3),),
    "circulant": (draw(4),),
    "hankel": (draw(3), draw(4, seed=1)),
    "companion": (draw(4),),
    "leslie": (draw(3), draw(2, seed=1)),
    "khatri_rao": (draw(3, 2), draw(2, 2, seed=1)),
    "solve_circulant": (draw(4) + np.array([9.0, 0, 0, 0]), draw(4, seed=1)),
    "subspace_angles": (draw(5, 2), draw(5, 2, seed=1)),
}
OTHERS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "fractional power": (lambda m: lambda x: m.fractional_matrix_power(x, 0.3), positive(3)),
    "whole power": (lambda m: lambda x: m.fractional_matrix_power(x, 3), A),
    "banded": (lambda m: lambda x: m.solve_banded((1, 2), x, np.arange(5.0)), draw(4, 5) + np.array([[0], [0], [5], [0]])),
    "hermitian banded": (lambda m: lambda x: m.solveh_banded(x, np.arange(5.0)), np.abs(draw(3, 5)) + np.array([[0], [0], [9]])),
    "wide": (lambda m: lambda x: m.solveh_banded(x, np.arange(2.0)), np.abs(draw(4, 2)) + np.array([[0], [0], [0], [9]])),
    "wide lower": (lambda m: lambda x: m.solveh_banded(x, [1.0], lower=True), np.abs(draw(3, 1)) + 1.0),
    "lower banded": (lambda m: lambda x: m.solveh_banded(x, np.arange(5.0), lower=True), draw(2, 5) + np.array([[9], [0]])),
    "toeplitz": (lambda m: lambda x: m.solve_toeplitz((x, x**2), np.arange(4.0)), draw(4) + np.array([9.0, 0, 0, 0])),
    "tridiagonal": (lambda m: lambda x: m.eigh_tridiagonal(x, np.arange(1.0, 4.0), eigvals_only=True), draw(4)),
    "procrustes": (lambda m: lambda x: m.orthogonal_procrustes(x, draw(4, 3, seed=7)), draw(4, 3)),
    "convolution full": (lambda m: lambda x: m.convolution_matrix(x, 4), draw(3)),
    "convolution same": (lambda m: lambda x: m.convolution_matrix(x, 4, "same"), draw(3)),
    "convolution valid": (lambda m: lambda x: m.convolution_matrix(x, 2, "valid"), draw(4)),
    "left polar": (lambda m: lambda x: m.polar(x, side="left"), draw(3, 3)),
    "rq": (lambda m: lambda x: tuple(y**2 for y in m.rq(x)), draw(3, 3)),
}


def parts(y: Any) -> list[Any]:
    return [p for p in (y if isinstance(y, tuple) else (y,)) if np.ndim(p) or not isinstance(p, int)]


def check(f: Callable[..., Any], reference: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> None:
    found = parts(f(*map(tg.asarray, arrays)))
    for got, want in zip(found, parts(reference(*arrays)), strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-9)
    leaves = tuple(tg.asarray(x).clone().requires_grad_(True) for x in arrays)
    for got, want in zip(parts(f(*leaves)), found, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.numpy(), rtol=1e-9, atol=1e-9)
    smooth = lambda *xs: tuple(parts(f(*xs)))  # noqa: E731
    assert gradcheck(smooth, leaves, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    symmetric = lambda f: lambda a, b, q, r: f(a, b, q + q.T, r + r.T)  # noqa: E731
    f, reference = getattr(linalg, name), getattr(scipy.linalg, name)
    if name.endswith("_are"):
        f, reference = symmetric(f), symmetric(reference)
    if name == "pinvh":
        f, reference = (lambda x: linalg.pinvh(x + x.T)), (lambda x: scipy.linalg.pinvh(x + x.T))
    check(f, reference, CASES[name])


@pytest.mark.parametrize("name", OTHERS)
def test_values_and_gradients_with_options(name: str) -> None:
    make, x = OTHERS[name]
    check(make(linalg), make(scipy.linalg), (x,))


def test_second_order_and_forward_mode() -> None:
    x = tg.asarray(positive(2)).requires_grad_(True)
    q = tg.asarray(positive(2, seed=4)).requires_grad_(True)
    eye = np.eye(2)
    for f in (
        lambda x, q: linalg.solve_continuous_are(x, eye, q + q.T, eye),
        lambda x, q: linalg.solve_discrete_are(x, eye, q + q.T, eye),
        lambda x, q: linalg.polar(x @ q)[0],
    ):
        assert gradgradcheck(f, (x, q), atol=1e-4, rtol=1e-3)
    forward = tg.jacfwd(lambda x: linalg.solve_sylvester(x, x, x))(x.detach())
    np.testing.assert_allclose(
        forward.numpy(), tg.jacrev(lambda x: linalg.solve_sylvester(x, x, x))(x.detach()).numpy(), atol=1e-9
    )


def test_subspaces_and_predicates() -> None:
    low = tg.asarray(draw(4, 2) @ draw(2, 4, seed=1))
    basis, null = linalg.orth(low), linalg.null_space(low)
    assert basis.shape == null.shape == (4, 2)
    np.testing.assert_allclose((low @ null).numpy(), 0.0, atol=1e-12)
    np.testing.assert_allclose((basis @ basis.T @ low).numpy(), low.numpy(), atol=1e-12)
    np.testing.assert_allclose(linalg.dft(4, "sqrtn").numpy(), scipy.linalg.dft(4, "sqrtn"), atol=1e-15)
    assert linalg.issymmetric(np.eye(2))
    assert not linalg.issymmetric([[0.0, 1.0], [0.0, 0.0]])
    assert linalg.ishermitian(np.array([[0, 1j], [-1j, 0]]))
    assert linalg.issymmetric(np.eye(2) + 1e-9 * draw(2, 2), atol=1e-6)


def test_complex_matrices() -> None:
    z = draw(3, 3) + 1j * draw(3, 3, seed=5)
    for name in ("cosm", "sinm", "polar", "coshm", "circulant"):
        x = z[0] if name == "circulant" else z
        for got, want in zip(parts(getattr(linalg, name)(x)), parts(getattr(scipy.linalg, name)(x)), strict=True):
            np.testing.assert_allclose(got.numpy(), want, atol=1e-10)
    np.testing.assert_allclose(
        linalg.solve_continuous_lyapunov(z, np.eye(3)).numpy(), scipy.linalg.solve_continuous_lyapunov(z, np.eye(3)), atol=1e-10
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(tg.ShapeError, match="q has shape"):
        linalg.solve_sylvester(np.eye(2), np.eye(3), np.eye(3))
    with pytest.raises(tg.ShapeError, match="square matrix"):
        linalg.cosm(np.ones((2, 3)))
    with pytest.raises(tg.LinAlgError, match="solve_continuous_are"):
        linalg.solve_continuous_are(np.eye(2), np.zeros((2, 1)), np.eye(2), np.eye(1))
    with pytest.raises(tg.ShapeError, match="rows, expected"):
        linalg.solve_banded((1, 1), np.ones((2, 3)), np.ones(3))


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x + 1j * x[::-1]])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_lu_solve_in_the_form_of_pytorch(make: Callable[..., Any], left: bool, adjoint: bool) -> None:
    a, b = make(draw(2, 3, 3)), make(draw(2, 3, 3, seed=1))
    factors, pivots = linalg.lu_factor(tg.asarray(a))
    x = linalg.lu_solve(factors, pivots, tg.asarray(b), left=left, adjoint=adjoint).numpy()
    op = np.conj(np.swapaxes(a, -1, -2)) if adjoint else a
    assert np.allclose(op @ x if left else x @ op, b)
    if left and not adjoint:
        assert np.array_equal(linalg.lu_solve([factors, pivots], b).numpy(), x)
    with pytest.raises(TypeError, match=r"lu_solve\(lu, pivots, b\)"):
        linalg.lu_solve(factors, pivots)


def test_factors_and_inverses_that_say_where_they_fail() -> None:
    stack = tg.asarray(np.stack([positive(2), -np.eye(2), np.zeros((2, 2))]))
    factor, info = linalg.cholesky_ex(stack)
    assert info.tolist() == [0, 1, 1]
    assert np.allclose(factor[0].numpy(), np.linalg.cholesky(positive(2)))
    assert np.isnan(factor[1:].numpy()).all()
    inverse, info = linalg.inv_ex(stack)
    assert info.tolist() == [0, 0, 1]
    assert info.dtype == tg.int32
    assert np.allclose(inverse[:2].numpy(), np.linalg.inv(stack[:2].numpy()))
    assert linalg.cholesky_ex(positive(2), upper=True).L[1, 0].item() == 0.0
    assert gradcheck(lambda a: linalg.inv_ex(a).inverse, (tg.asarray(positive(2)).requires_grad_(True),))
    with pytest.raises(tg.LinAlgError):
        linalg.cholesky_ex(stack, check_errors=True)
    with pytest.raises(tg.LinAlgError):
        linalg.inv_ex(np.ones(2))


def test_arguments_of_pytorch_for_ranks_and_least_squares() -> None:
    a = np.diag([4.0, 1.0, 0.1])
    assert linalg.matrix_rank(a, atol=0.5).item() == 2
    assert linalg.matrix_rank(a, atol=0.01, rtol=0.5).item() == 1
    assert linalg.matrix_rank(np.stack([a, a]), atol=np.array([2.0, 0.05])).tolist() == [1, 3]
    assert linalg.lstsq(a, np.ones(3), driver="gelsd").rank.item() == 3
    with pytest.raises(ValueError, match="driver is 'qr'"):
        linalg.lstsq(a, np.ones(3), driver="qr")
    assert linalg.vander(tg.Variable([[2.0, 3.0]]), N=3).tolist() == [[[1.0, 2.0, 4.0], [1.0, 3.0, 9.0]]]
    assert linalg.vander(tg.arange(3)).tolist() == np.vander(np.arange(3), increasing=True).tolist()
    with pytest.raises(tg.LinAlgError, match="at least 1 dimension"):
        linalg.vander(tg.Variable(1.0))


def test_cholesky_takes_scipys_lower() -> None:
    a = np.array([[4.0, 2.0], [2.0, 5.0]])
    np.testing.assert_allclose(tg.linalg.cholesky(a, lower=True).numpy(), np.linalg.cholesky(a))
    np.testing.assert_allclose(tg.linalg.cholesky(a, lower=False).numpy(), np.linalg.cholesky(a).T)
    np.testing.assert_allclose(tg.linalg.cholesky(a, upper=True).numpy(), np.linalg.cholesky(a).T)
