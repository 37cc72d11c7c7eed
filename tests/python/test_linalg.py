"""Linear algebra: values against NumPy and SciPy, gradients of both orders and forward mode, edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.linalg

import tapegrad as tg
from tapegrad import linalg

if TYPE_CHECKING:
    from collections.abc import Callable

F64 = tg.float64


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    x = draw(*shape, seed=seed)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def check(f: Callable[..., Any], *arrays: np.ndarray, order: int = 2) -> None:
    """Gradients of a weighted sum of all results against differences along a direction, of both orders."""
    rng = np.random.default_rng(5)
    directions = [rng.normal(size=a.shape) for a in arrays]
    weights: list[np.ndarray] = []

    def scalar(*xs: tg.Variable) -> tg.Variable:
        out = f(*xs)
        parts = out if isinstance(out, tuple) else (out,)
        if not weights:
            weights.extend(rng.normal(size=p.shape) for p in parts)
        return sum((tg.sum(p * tg.Variable(w)) for p, w in zip(parts, weights, strict=True)), tg.zeros((), dtype=F64))

    def slope(*values: np.ndarray) -> tuple[float, list[np.ndarray]]:
        xs = [tg.Variable(v, requires_grad=True) for v in values]
        grads = tg.autograd.grad(scalar(*xs), xs)
        return sum(float(np.sum(g.numpy() * d)) for g, d in zip(grads, directions, strict=True)), [g.numpy() for g in grads]

    h = 1e-5
    moved = [[a + s * h * d for a, d in zip(arrays, directions, strict=True)] for s in (1, -1)]
    value = [float(scalar(*[tg.Variable(a) for a in m])) for m in moved]
    first, plain = slope(*arrays)
    np.testing.assert_allclose(first, (value[0] - value[1]) / (2 * h), rtol=2e-6, atol=2e-6)
    if order == 1:
        return
    xs = [tg.Variable(a, requires_grad=True) for a in arrays]
    grads = tg.autograd.grad(scalar(*xs), xs, create_graph=True)
    for g, p in zip(grads, plain, strict=True):
        np.testing.assert_allclose(g.detach().numpy(), p, rtol=1e-9, atol=1e-9)
    total = sum((tg.sum(g * tg.Variable(d)) for g, d in zip(grads, directions, strict=True)), tg.zeros((), dtype=F64))
    second = tg.autograd.grad(total, xs, allow_unused=True)
    along = sum(float(np.sum(g.numpy() * d)) for g, d in zip(second, directions, strict=True) if g is not None)
    numeric = (slope(*moved[0])[0] - slope(*moved[1])[0]) / (2 * h)
    np.testing.assert_allclose(along, numeric, rtol=5e-5, atol=5e-5)


def symmetrized(f: Callable[[tg.Variable], Any]) -> Callable[[tg.Variable], Any]:
    return lambda x: f((x + x.mT) * 0.5)


@pytest.mark.parametrize("n", [1, 3, 20])
def test_values_against_numpy(n: int) -> None:
    a, b = draw(2, n, n) + n * np.eye(n), draw(2, n, 3, seed=1)
    s = positive(2, n, n)
    close = lambda x, y: np.testing.assert_allclose(np.asarray(x), y, rtol=1e-9, atol=1e-9)  # noqa: E731
    v = tg.Variable
    close(linalg.solve(v(a), v(b)), np.linalg.solve(a, b))
    close(linalg.inv(v(a)), np.linalg.inv(a))
    close(linalg.det(v(a)), np.linalg.det(a))
    close(linalg.slogdet(v(a)).logabsdet, np.linalg.slogdet(a)[1])
    close(linalg.cholesky(v(s)), np.linalg.cholesky(s))
    close(linalg.cholesky(v(s), upper=True), np.linalg.cholesky(s, upper=True))
    close(linalg.eigvalsh(v(s)), np.linalg.eigvalsh(s))
    close(linalg.svdvals(v(b)), np.linalg.svdvals(b))
    close(linalg.pinv(v(b)), np.linalg.pinv(b))
    close(linalg.matrix_power(v(a), -3), np.linalg.matrix_power(a, -3))
    close(linalg.expm(v(a / n)), scipy.linalg.expm(a / n))
    close(linalg.sqrtm(v(s))[0], scipy.linalg.sqrtm(s[0]))
    close(linalg.logm(v(s))[0], scipy.linalg.logm(s[0]))
    close(
        linalg.solve_triangular(v(a), v(b), lower=True),
        [scipy.linalg.solve_triangular(x, y, lower=True) for x, y in zip(a, b, strict=True)],
    )
    close(
        linalg.solve_triangular(v(a), v(b), trans=1),
        [scipy.linalg.solve_triangular(x, y, trans=1) for x, y in zip(a, b, strict=True)],
    )
    lu, piv = linalg.lu_factor(v(a[0]))
    close(lu, scipy.linalg.lu_factor(a[0])[0])
    close(piv, scipy.linalg.lu_factor(a[0])[1])
    close(linalg.lu_solve((lu, piv), v(b[0]), trans=1), scipy.linalg.lu_solve(scipy.linalg.lu_factor(a[0]), b[0], trans=1))
    close(linalg.cho_solve(linalg.cho_factor(v(s[0])), v(b[0])), np.linalg.solve(s[0], b[0]))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (2, 20, 18), (0, 3, 2), (3, 0), (0, 0)])
def test_factorisations_give_their_matrix_back(shape: tuple[int, ...]) -> None:
    a = draw(*shape)
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(tg.Variable(a), mode)
        np.testing.assert_allclose((q @ r).numpy(), a, atol=1e-12)
        assert q.shape == np.linalg.qr(a, mode)[0].shape
        np.testing.assert_allclose(np.abs(r.numpy()), np.abs(np.linalg.qr(a, mode)[1]), atol=1e-10)
    for full in (False, True):
        u, s, vh = linalg.svd(tg.Variable(a), full_matrices=full)
        k = min(shape[-2:])
        assert [u.shape, s.shape, vh.shape] == [x.shape for x in np.linalg.svd(a, full_matrices=full)]
        np.testing.assert_allclose(((u[..., :k] * s[..., None, :]) @ vh[..., :k, :]).numpy(), a, atol=1e-12)
        np.testing.assert_allclose(
            (u.mT @ u).numpy(), np.broadcast_to(np.eye(u.shape[-1]), (*shape[:-2], u.shape[-1], u.shape[-1])), atol=1e-12
        )
    p, low, up = linalg.lu(tg.Variable(a))
    np.testing.assert_allclose((p @ low @ up).numpy(), a, atol=1e-12)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (symmetrized(lambda x: linalg.cholesky(x @ x.mT + 3 * tg.eye(3, dtype=F64))), (2, 3, 3)),
        (symmetrized(lambda x: linalg.cholesky(x @ x.mT + 3 * tg.eye(3, dtype=F64), upper=True)), (3, 3)),
        (symmetrized(lambda x: (linalg.eigh(x)[0], linalg.eigh(x)[1] ** 2)), (2, 3, 3)),
        (symmetrized(lambda x: linalg.eigh(x, "U")[1]), (4, 4)),
        (symmetrized(linalg.eigvalsh), (3, 3)),
        (lambda x: tuple(linalg.svd(x, full_matrices=False)), (4, 3)),
        (lambda x: tuple(linalg.svd(x, full_matrices=False)), (2, 2, 4)),
        (lambda x: tuple(linalg.lu(x))[1:], (4, 3)),
        (lambda x: tuple(linalg.lu(x))[1:], (2, 3, 4)),
        (lambda x: tuple(linalg.qr(x)), (4, 3)),
        (lambda x: tuple(linalg.qr(x)), (3, 4)),
        (linalg.pinv, (4, 2)),
        (lambda x: linalg.lstsq(x, tg.Variable(draw(4, 2, seed=3)))[0], (4, 2)),
        (lambda x: linalg.lstsq(x, tg.Variable(draw(4, seed=3)))[1], (4, 2)),
        (lambda x: linalg.expm(x * 3), (3, 3)),
        (lambda x: linalg.sqrtm(linalg.expm(x)), (3, 3)),
        (lambda x: linalg.lu_solve(linalg.lu_factor(x), tg.Variable(draw(3, seed=3))), (3, 3)),
        (lambda x: linalg.norm(x, "nuc"), (3, 4)),
        (lambda x: linalg.norm(x, 2), (3, 4)),
        (lambda x: linalg.cond(x, 1), (3, 3)),
        (linalg.det, (2, 3, 3)),
    ],
)
def test_gradients(f: Callable[..., Any], shape: tuple[int, ...]) -> None:
    check(f, draw(*shape, seed=7))


def test_forward_and_reverse_agree() -> None:
    x, t = tg.Variable(draw(3, 3) + 4 * np.eye(3)), tg.Variable(draw(3, 3, seed=1))
    functions: list[Callable[[tg.Variable], Any]] = [
        linalg.inv,
        linalg.det,
        lambda a: linalg.slogdet(a)[1],
        lambda a: linalg.solve(a, a * a),
        lambda a: linalg.cholesky(a @ a.mT),
        lambda a: linalg.eigh(a + a.mT)[1],
        lambda a: linalg.svd(a)[0],
        lambda a: linalg.qr(a)[0],
        lambda a: linalg.lu(a)[1],
        linalg.expm,
        linalg.pinv,
    ]
    if not hasattr(tg, "jvp"):
        pytest.skip("forward mode has no Python function yet")
    for f in functions:
        _, tangent = tg.jvp(f, (x,), (t,))
        g = tg.Variable(draw(*tangent.shape, seed=9))
        leaf = tg.Variable(x.numpy(), requires_grad=True)
        (back,) = tg.autograd.grad(tg.sum(f(leaf) * g), [leaf])
        np.testing.assert_allclose(float(tg.sum(back * t)), float(tg.sum(tangent * g)), rtol=1e-9)


def test_singular_and_indefinite_matrices_raise() -> None:
    singular = tg.Variable([[1.0, 2.0], [2.0, 4.0]], dtype=F64)
    assert issubclass(tg.LinAlgError, (np.linalg.LinAlgError, ValueError))
    for f in (linalg.inv, lambda a: linalg.solve(a, tg.ones((2,), dtype=F64)), lambda a: linalg.matrix_power(a, -1)):
        with pytest.raises(tg.LinAlgError, match="singular"):
            f(singular)
    with pytest.raises(tg.LinAlgError, match="not positive definite"):
        linalg.cholesky(-singular)
    with pytest.raises(tg.LinAlgError, match="matrix 1 of the batch"):
        linalg.inv(tg.stack([tg.eye(2, dtype=F64), singular]))
    with pytest.raises(tg.LinAlgError, match="square"):
        linalg.inv(tg.ones((2, 3)))
    with pytest.raises(tg.LinAlgError, match="infinities or NaN"):
        linalg.eigh(tg.Variable([[np.nan, 0.0], [0.0, 1.0]]))
    with pytest.raises(tg.LinAlgError, match=r"no real principal.*complex"):
        linalg.sqrtm(tg.Variable([[-1.0, 0.0], [0.0, -2.0]], dtype=F64))
    with pytest.raises(tg.ShapeError, match="do not fit"):
        linalg.solve(tg.eye(2), tg.ones((3,)))
    x = tg.Variable(singular.numpy(), requires_grad=True)
    with pytest.raises(tg.LinAlgError, match="gradient of slogdet"):
        linalg.slogdet(x)[1].backward()


def test_the_determinant_has_a_gradient_where_it_is_zero() -> None:
    x = tg.Variable([[1.0, 2.0], [2.0, 4.0]], dtype=F64, requires_grad=True)
    (g,) = tg.autograd.grad(linalg.det(x), [x])
    np.testing.assert_allclose(g.numpy(), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-12)
    low = np.outer(draw(4), draw(4, seed=1)) + np.outer(draw(4, seed=2), draw(4, seed=3))
    check(linalg.det, low)


def test_repeated_eigenvalues() -> None:
    eye = np.eye(3)
    x = tg.Variable(eye, requires_grad=True)
    (g,) = tg.autograd.grad(tg.sum(tg.log(linalg.eigvalsh(x))), [x])
    np.testing.assert_allclose(g.numpy(), eye, atol=1e-12)
    w, v = linalg.eigh(x)
    with pytest.raises(tg.GradError, match="Use expm"):
        tg.autograd.grad(tg.sum((v * tg.exp(w)) @ v.mT), [x])
    (g,) = tg.autograd.grad(tg.sum(linalg.expm(x)), [x])
    np.testing.assert_allclose(g.numpy(), np.full((3, 3), np.e), atol=1e-12)
    with pytest.raises(tg.GradError, match="repeated"):
        tg.autograd.grad(tg.sum(linalg.eigh(x)[1] * tg.Variable(draw(3, 3))), [x])
    (g,) = tg.autograd.grad(tg.sum(linalg.eigh(x, degenerate="zero")[1] * tg.Variable(draw(3, 3))), [x])
    assert np.isfinite(g.numpy()).all()
    (g,) = tg.autograd.grad(tg.sum(linalg.eigvalsh(x) ** 2), [x], create_graph=True)
    with pytest.raises(tg.GradError, match="second derivative"):
        tg.autograd.grad(tg.sum(g * g), [x])
    y = tg.Variable(np.diag([2.0, 2.0, 1.0])[:, :2] * 1.0, requires_grad=True)
    (g,) = tg.autograd.grad(linalg.norm(y, "nuc"), [y])
    np.testing.assert_allclose(g.numpy(), [[1, 0], [0, 1], [0, 0]], atol=1e-12)
    with pytest.raises(ValueError, match="degenerate"):
        linalg.eigh(x, degenerate="ignore")


def test_gradients_that_do_not_exist_raise() -> None:
    x = tg.Variable(draw(4, 2), requires_grad=True)
    with pytest.raises(tg.GradError, match="complete"):
        tg.sum(linalg.qr(x, "complete")[0]).backward()
    with pytest.raises(tg.GradError, match="full_matrices"):
        tg.sum(linalg.svd(x)[0]).backward()
    tg.sum(linalg.svd(x)[1]).backward()


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_norms(ord: Any) -> None:
    x = draw(3, 4)
    np.testing.assert_allclose(float(linalg.norm(tg.Variable(x), ord)), np.linalg.norm(x, ord), rtol=1e-12)
    y = draw(2, 3, 4)
    ours = linalg.norm(tg.Variable(y), ord, axis=(2, 0), keepdims=True).numpy()
    np.testing.assert_allclose(ours, np.linalg.norm(y, ord, axis=(2, 0), keepdims=True), rtol=1e-12)
    z = draw(3, 3)
    np.testing.assert_allclose(float(linalg.cond(tg.Variable(z), ord)), np.linalg.cond(z, ord), rtol=1e-10)


def test_products_against_numpy() -> None:
    a, b = draw(2, 3, 4), draw(4, 3, 2, seed=1)
    v = tg.Variable
    np.testing.assert_allclose(linalg.tensordot(v(a), v(b), axes=([1, 2], [1, 0])).numpy(), np.tensordot(a, b, ([1, 2], [1, 0])))
    np.testing.assert_allclose(linalg.tensordot(v(a), v(b), axes=1).numpy(), np.tensordot(a, b, 1))
    np.testing.assert_allclose(linalg.kron(v(a[0]), v(b[0])).numpy(), np.kron(a[0], b[0]))
    np.testing.assert_allclose(linalg.cross(v(b[0].T), v(b[1].T)).numpy(), np.cross(b[0].T, b[1].T))
    np.testing.assert_allclose(linalg.block_diag(v(a[0]), 3.0, v(b[0])).numpy(), scipy.linalg.block_diag(a[0], 3.0, b[0]))
    c, r = draw(4), draw(3, seed=2)
    np.testing.assert_allclose(linalg.toeplitz(v(c), v(r)).numpy(), scipy.linalg.toeplitz(c, r))
    np.testing.assert_allclose(
        linalg.matmul_toeplitz((v(c), v(r)), v(r)).numpy(), scipy.linalg.matmul_toeplitz((c, r), r), atol=1e-12
    )
    many = [draw(5, 2), draw(2, 7), draw(7, 3), draw(3)]
    np.testing.assert_allclose(linalg.multi_dot([v(m) for m in many]).numpy(), np.linalg.multi_dot(many))


def test_numpy_functions_reach_ours() -> None:
    x = tg.Variable(positive(3, 3), requires_grad=True)
    for f in (
        np.linalg.inv,
        np.linalg.det,
        np.linalg.cholesky,
        lambda a: np.linalg.solve(a, np.ones(3)),
        np.linalg.norm,
        np.linalg.eigvalsh,
    ):
        y = f(x)
        assert isinstance(y, tg.Variable)
        assert y.requires_grad
    assert np.linalg.slogdet(x).sign.item() == 1.0


def test_single_precision_and_extreme_scales() -> None:
    a = positive(4, 4).astype(np.float32)
    assert linalg.inv(tg.Variable(a)).dtype == tg.float32
    np.testing.assert_allclose(linalg.inv(tg.Variable(a)).numpy(), np.linalg.inv(a), rtol=1e-4)
    for scale in (1e-200, 1e200):
        b = draw(20, 20) * scale
        np.testing.assert_allclose(linalg.svdvals(tg.Variable(b)).numpy(), np.linalg.svdvals(b), rtol=1e-10)
        w = linalg.eigvalsh(tg.Variable(b + b.T)).numpy()
        np.testing.assert_allclose(w, np.linalg.eigvalsh(b + b.T), atol=1e-12 * scale)
