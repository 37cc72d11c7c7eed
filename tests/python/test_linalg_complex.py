"""Linear algebra of complex matrices, and eigenvalues of general ones: values, gradients of both orders, phases, edges."""

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

v = tg.Variable


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def positive(*shape: int) -> np.ndarray:
    x = draw(*shape)
    return x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(shape[-1])


def close(x: Any, y: Any, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(x), y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [1, 3, 20])
def test_values_against_numpy(n: int) -> None:
    a, b, s = draw(2, n, n) + n * np.eye(n), draw(2, n, 3, seed=1), positive(2, n, n)
    close(linalg.solve(v(a), v(b)), np.linalg.solve(a, b))
    close(linalg.solve(v(a.real), v(b)), np.linalg.solve(a.real, b))
    close(linalg.inv(v(a)), np.linalg.inv(a))
    close(linalg.det(v(a)), np.linalg.det(a))
    close(linalg.slogdet(v(a)).logabsdet, np.linalg.slogdet(a)[1])
    close(linalg.slogdet(v(a)).sign, np.linalg.slogdet(a)[0])
    close(linalg.cholesky(v(s)), np.linalg.cholesky(s))
    close(linalg.cholesky(v(s), upper=True), np.linalg.cholesky(s, upper=True))
    close(linalg.eigvalsh(v(s)), np.linalg.eigvalsh(s))
    close(linalg.svdvals(v(b)), np.linalg.svdvals(b))
    close(linalg.pinv(v(b)), np.linalg.pinv(b))
    close(linalg.matrix_power(v(a), -3), np.linalg.matrix_power(a, -3))
    close(linalg.expm(v(a / n)), scipy.linalg.expm(a / n))
    close(linalg.sqrtm(v(s))[0], scipy.linalg.sqrtm(s[0]))
    close(linalg.logm(v(s))[0], scipy.linalg.logm(s[0]))
    for trans in (0, 1, 2, "C"):
        want = [scipy.linalg.solve_triangular(x, y, trans=trans, lower=True) for x, y in zip(a, b, strict=True)]
        close(linalg.solve_triangular(v(a), v(b), trans=trans, lower=True), want)
        if trans != "C":
            want = scipy.linalg.lu_solve(scipy.linalg.lu_factor(a[0]), b[0], trans=trans)
            close(linalg.lu_solve(linalg.lu_factor(v(a[0])), v(b[0]), trans=trans), want)
    for lower in (False, True):
        close(linalg.cho_solve(linalg.cho_factor(v(s[0]), lower), v(b[0])), np.linalg.solve(s[0], b[0]))
    close(linalg.lstsq(v(b[0]), v(a[0]))[0], np.linalg.lstsq(b[0], a[0])[0])
    assert linalg.eigvalsh(v(s.astype(np.complex64))).dtype == tg.float32
    assert linalg.eigvals(v(a.real.astype(np.float32))).dtype == tg.complex64
    close(linalg.toeplitz(v(a[0, 0])), scipy.linalg.toeplitz(a[0, 0]))


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_norms(ord: Any) -> None:
    a = draw(4, 4)
    close(linalg.norm(v(a), ord), np.linalg.norm(a, ord))
    close(linalg.cond(v(a), ord), np.linalg.cond(a, ord))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (2, 20, 18), (18, 20), (3, 0)])
def test_factorisations_give_their_matrix_back(shape: tuple[int, ...]) -> None:
    a = draw(*shape)
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(v(a), mode)
        close(q @ r, a, 1e-12)
        close(q.mH @ q, np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], q.shape[-1], q.shape[-1])), 1e-12)
        diagonal = np.diagonal(r.numpy(), axis1=-2, axis2=-1)
        np.testing.assert_array_equal(diagonal.imag, 0.0)
        close(np.abs(diagonal), np.abs(np.diagonal(np.linalg.qr(a, mode)[1], axis1=-2, axis2=-1)))
    k = min(shape[-2:])
    for full in (False, True):
        u, s, vh = linalg.svd(v(a), full_matrices=full)
        close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a, 1e-12)
        close(vh @ vh.mH, np.broadcast_to(np.eye(vh.shape[-2]), (*shape[:-2], vh.shape[-2], vh.shape[-2])), 1e-12)
    p, low, up = linalg.lu(v(a))
    close(p @ low @ up, a, 1e-12)


def absolute(z: Any) -> Any:
    return tg.real(z * tg.conj(z))


def hermitian(x: Any) -> Any:
    return (x + x.mH) * 0.5


def projectors(vectors: Any) -> Any:
    """The matrices v vᴴ of each column, which have no phase."""
    return vectors[..., :, None, :] * tg.conj(vectors)[..., None, :, :]


def spaces(x: Any) -> tuple[Any, ...]:
    u, s, vh = linalg.svd(x, full_matrices=False)
    return projectors(u), s, u @ (tg.astype(s, u.dtype)[..., None] ** 2 * vh)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x: linalg.solve(x, v(draw(3, 2, seed=2))), (3, 3)),
        (linalg.inv, (2, 2, 2)),
        (linalg.det, (3, 3)),
        (lambda x: tuple(linalg.slogdet(x)), (3, 3)),
        (lambda x: linalg.cholesky(x @ x.mH + 3 * tg.eye(3)), (3, 3)),
        (lambda x: linalg.cholesky(x @ x.mH + 3 * tg.eye(2), upper=True), (2, 2)),
        (lambda x: linalg.cho_solve(linalg.cho_factor(x @ x.mH + tg.eye(2)), x), (2, 2)),
        (lambda x: linalg.eigvalsh(hermitian(x)), (3, 3)),
        (lambda x: projectors(linalg.eigh(hermitian(x))[1]), (3, 3)),
        (linalg.svdvals, (3, 2)),
        (spaces, (3, 3)),
        (spaces, (4, 2)),
        (spaces, (2, 4)),
        (lambda x: tuple(linalg.qr(x)), (3, 3)),
        (lambda x: tuple(linalg.qr(x)), (4, 2)),
        (lambda x: tuple(linalg.qr(x)), (2, 3)),
        (lambda x: tuple(linalg.lu(x))[1:], (3, 3)),
        (linalg.pinv, (4, 2)),
        (lambda x: linalg.lstsq(x, v(draw(4, 2, seed=3)))[0], (4, 2)),
        (linalg.expm, (3, 3)),
        (lambda x: linalg.sqrtm(x + 5 * tg.eye(2)), (2, 2)),
        (lambda x: linalg.logm(x + 5 * tg.eye(2)), (2, 2)),
        (lambda x: linalg.norm(x, "nuc"), (3, 2)),
        (linalg.eigvals, (3, 3)),
        (lambda x: projectors(linalg.eig(x)[1]), (3, 3)),
    ],
)
def test_gradients(f: Callable[..., Any], shape: tuple[int, ...]) -> None:
    x = v(draw(*shape, seed=7), requires_grad=True)
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("f", [linalg.eigvals, lambda x: projectors(linalg.eig(x)[1])])
def test_gradients_of_real_matrices_are_real(f: Callable[..., Any]) -> None:
    for seed in range(3):
        x = v(draw(4, 4, seed=seed).real.copy(), requires_grad=True)
        assert gradcheck(f, (x,))
        assert gradgradcheck(f, (x,), atol=1e-3, rtol=1e-3)
    (g,) = tg.autograd.grad(tg.sum(absolute(linalg.eigvals(x))), x)
    assert g.dtype == tg.float64


@pytest.mark.parametrize(
    "f", [lambda x: tuple(linalg.qr(x)), linalg.eigvals, linalg.det, spaces, lambda x: projectors(linalg.eig(x)[1])]
)
def test_forward_mode_agrees_with_reverse_mode(f: Callable[..., Any]) -> None:
    x, t = v(draw(3, 3, seed=4)), v(draw(3, 3, seed=5))
    values, tangents = tg.jvp(f, (x,), (t,))
    values, tangents = (values, tangents) if isinstance(values, tuple) else ((values,), (tangents,))
    weights = [
        draw(*y.shape, seed=i) if str(y.dtype).startswith("c") else draw(*y.shape, seed=i).real.copy()
        for i, y in enumerate(values)
    ]
    along = sum(np.vdot(w, d.numpy()).real for w, d in zip(weights, tangents, strict=True))
    leaf = v(x.numpy(), requires_grad=True)
    outs = f(leaf)
    outs = outs if isinstance(outs, tuple) else (outs,)
    (g,) = tg.autograd.grad(list(outs), leaf, [v(w) for w in weights])
    np.testing.assert_allclose(np.vdot(g.numpy(), t.numpy()).real, along, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_eig_of_real_and_complex_matrices(n: int) -> None:
    for a in (draw(2, n, n), draw(2, n, n).real.copy()):
        w, vectors = linalg.eig(v(a))
        close(v(a).astype(tg.complex128) @ vectors, (vectors * w[..., None, :]).numpy(), 1e-10 * n)
        close(np.linalg.norm(vectors.numpy(), axis=-2), np.ones((2, n)), 1e-12)
        close(np.sort_complex(w.numpy().round(9)), np.sort_complex(np.linalg.eigvals(a).astype(complex).round(9)), 1e-7)
        close(linalg.eigvals(v(a)), w.numpy())
    symmetric = a + np.swapaxes(a, -1, -2)
    np.testing.assert_array_equal(linalg.eigvals(v(symmetric)).numpy().imag, 0.0)


@pytest.mark.parametrize("scale", [1e-250, 1e-20, 1.0, 1e200])
def test_eig_of_any_scale(scale: float) -> None:
    a = draw(6, 6).real
    close(np.sort_complex(linalg.eigvals(v(a * scale)).numpy() / scale), np.sort_complex(np.linalg.eigvals(a)), 1e-9)
    d = 10.0 ** np.arange(-6, 6, 2)
    graded = d[:, None] * a / d
    w, vectors = linalg.eig(v(graded))
    left, right = v(graded).astype(tg.complex128) @ vectors, vectors * w
    close(np.abs((left - right).numpy()) / np.abs(vectors.numpy()).max(axis=0), np.zeros((6, 6)), 1e-5)
    close(np.sort_complex(w.numpy()), np.sort_complex(np.linalg.eigvals(a)), 1e-8)


def test_eig_at_its_edges() -> None:
    assert linalg.eig(v(np.zeros((0, 0)))).eigenvectors.shape == (0, 0)
    assert linalg.eigvals(v(np.zeros((2, 0, 3, 3)))).shape == (2, 0, 3)
    with pytest.raises(tg.LinAlgError, match="square"):
        linalg.eig(v(np.ones((2, 3))))
    with pytest.raises(tg.LinAlgError, match="infinities or NaN"):
        linalg.eigvals(v(np.full((2, 2), np.nan)))
    with pytest.raises(ValueError, match="eig: degenerate is"):
        linalg.eig(v(np.eye(2)), degenerate="ignore")
    x = v(np.eye(3), requires_grad=True)
    (g,) = tg.autograd.grad(tg.sum(tg.real(linalg.eigvals(x))), x)
    close(g, np.eye(3))
    (g,) = tg.autograd.grad(tg.sum(tg.real(linalg.eigvals(x @ x))), x, create_graph=True)
    with pytest.raises(tg.GradError, match="second derivative at repeated"):
        tg.autograd.grad(tg.sum(g), x)
    loss = tg.sum(tg.real(linalg.eig(x).eigenvectors) * v(np.arange(9.0).reshape(3, 3)))
    with pytest.raises(tg.GradError, match="degenerate='zero'"):
        tg.autograd.grad(loss, x)
    loss = tg.sum(tg.real(linalg.eig(x, degenerate="zero").eigenvectors) * v(np.arange(9.0).reshape(3, 3)))
    assert np.isfinite(tg.autograd.grad(loss, x)[0].numpy()).all()
    defective = v(np.array([[1.0, 1.0], [0.0, 1.0]]), requires_grad=True)
    with pytest.raises((tg.LinAlgError, tg.GradError)):
        tg.autograd.grad(tg.sum(tg.real(linalg.eig(defective).eigenvectors)), defective)


@pytest.mark.parametrize(
    "f", [lambda x: linalg.eigh(hermitian(x))[1], lambda x: linalg.eig(x)[1], lambda x: linalg.svd(x, full_matrices=False)[0]]
)
def test_a_loss_that_depends_on_a_phase_raises(f: Callable[..., Any]) -> None:
    x = v(draw(3, 3), requires_grad=True)
    weights = v(draw(3, 3, seed=9))
    with pytest.raises(tg.GradError, match="phase"):
        tg.autograd.grad(tg.sum(tg.real(f(x) * weights)), x)


def test_singular_matrices() -> None:
    a = draw(3, 1) @ draw(1, 3, seed=2) + draw(3, 1, seed=3) @ draw(1, 3, seed=4)
    x = v(a, requires_grad=True)
    assert gradcheck(linalg.det, (x,))
    assert np.isneginf(linalg.slogdet(v(np.zeros((2, 2), complex))).logabsdet.numpy())
    with pytest.raises(tg.LinAlgError, match="singular"):
        linalg.inv(v(np.zeros((2, 2), complex)))
    with pytest.raises(tg.LinAlgError, match="not positive definite"):
        linalg.cholesky(v(-np.eye(2) + 0j))


def test_a_limit_for_each_matrix() -> None:
    a = np.stack([np.diag([4.0, 1.0, 0.1]) + 0j, np.diag([4.0, 1.0, 0.1]) * 1j])
    for rtol in (np.array([0.01, 0.1]), np.array([0.5, 1e-3]), 0.1):
        np.testing.assert_array_equal(linalg.matrix_rank(v(a), rtol=rtol).numpy(), np.linalg.matrix_rank(a, rtol=rtol))
        close(linalg.pinv(v(a), rtol=rtol), np.linalg.pinv(a, rtol=rtol))
    np.testing.assert_array_equal(
        linalg.matrix_rank(v(a), tol=np.array([0.5, 2.0])).numpy(), np.linalg.matrix_rank(a, tol=np.array([0.5, 2.0]))
    )


def test_batches_agree_with_loops() -> None:
    x = draw(4, 3, 3)
    for f in (linalg.inv, linalg.eigvals, lambda a: linalg.svd(a, full_matrices=False)[2], lambda a: linalg.qr(a)[0]):
        close(tg.vmap(f)(v(x)), np.stack([f(v(a)).numpy() for a in x]), 1e-12)


CALLS: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda x: np.linalg.cholesky(x @ np.conj(x.T)),
    "cond": np.linalg.cond,
    "det": np.linalg.det,
    "diagonal": np.linalg.diagonal,
    "eigvals": lambda x: np.sort(np.abs(np.linalg.eigvals(x))),
    "eig": lambda x: np.sort(np.abs(np.linalg.eig(x)[0])),
    "eigh": lambda x: np.linalg.eigh(x @ np.conj(x.T)).eigenvalues,
    "eigvalsh": lambda x: np.linalg.eigvalsh(x @ np.conj(x.T), UPLO="U"),
    "inv": np.linalg.inv,
    "lstsq": lambda x: np.linalg.lstsq(x, x[:, 0], rcond=None)[0],
    "matmul": lambda x: np.linalg.matmul(x, x),
    "matrix_norm": lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True),
    "matrix_power": lambda x: np.linalg.matrix_power(x, 3),
    "matrix_rank": np.linalg.matrix_rank,
    "matrix_transpose": np.linalg.matrix_transpose,
    "multi_dot": lambda x: np.linalg.multi_dot([x, x, x]),
    "norm": lambda x: np.linalg.norm(x, axis=0),
    "norm inf": lambda x: np.linalg.norm(x, ord=np.inf),
    "outer": lambda x: np.linalg.outer(x[0], x[1]),
    "pinv": np.linalg.pinv,
    "qr": lambda x: np.linalg.qr(x, mode="r"),
    "slogdet": lambda x: np.linalg.slogdet(x)[0],
    "solve": lambda x: np.linalg.solve(x, x[0]),
    "svd": lambda x: np.linalg.svd(x, full_matrices=False).S,
    "svd values": lambda x: np.linalg.svd(x, compute_uv=False),
    "svdvals": np.linalg.svdvals,
    "tensordot": lambda x: np.linalg.tensordot(x, x, axes=1),
    "tensorinv": lambda x: np.linalg.tensorinv(x, ind=1),
    "tensorsolve": lambda x: np.linalg.tensorsolve(x, x[0]),
    "trace": np.linalg.trace,
    "vecdot": lambda x: np.linalg.vecdot(x, x),
    "vector_norm": lambda x: np.linalg.vector_norm(x, axis=1, ord=3),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_numpy_linalg_reaches_ours(name: str, kind: str) -> None:
    a = draw(3, 3, seed=8) + 2 * np.eye(3)
    a = a.real.copy() if kind == "real" else a
    got = CALLS[name](v(a, requires_grad=name not in ("matrix_rank",)))
    assert isinstance(got, tg.Variable)
    close(got.detach(), CALLS[name](a))


def test_the_namespace_has_the_names_of_the_standard() -> None:
    standard = (
        "cholesky cross det diagonal eig eigh eigvals eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose "
        "outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm"
    )
    assert set(standard.split()) <= set(linalg.__all__)
    assert "linalg" in tg.__array_namespace_info__().capabilities()["extensions"]
    assert linalg.trace(v(np.eye(2, dtype=np.float32)), dtype=tg.float64).dtype == tg.float64


@pytest.mark.parametrize("name", ["sqrtm", "logm"])
def test_functions_on_the_negative_axis_have_the_value_of_the_upper_side(name: str) -> None:
    a = np.array([[-1.0, 3.0, 0.0], [0.0, 4.0, 1.0], [0.0, 0.0, -2.5]], dtype=complex)
    near = a + 1e-9j * np.eye(3)
    f, reference = getattr(linalg, name), getattr(scipy.linalg, name)
    np.testing.assert_allclose(f(v(a)).numpy(), reference(near), atol=1e-8)
    np.testing.assert_allclose(f(v(a.astype(np.complex64))).numpy(), reference(near), rtol=1e-4, atol=1e-5)
    # Along a direction that keeps the eigenvalues on the axis: a multiple of the matrix.
    g = np.arange(9.0).reshape(3, 3) + 1j
    x = v(a).requires_grad_(True)
    (found,) = tg.autograd.grad(tg.sum(tg.real(tg.conj(v(g)) * f(x))), x)
    slope = np.vdot(g, (reference(near * (1 + 1e-6)) - reference(near * (1 - 1e-6))) / 2e-6).real
    assert np.vdot(found.numpy(), a).real == pytest.approx(slope, rel=1e-5)
    # Beside the axis any direction will do.
    assert tg.autograd.gradcheck(f, (v(a + 0.2j * np.eye(3)).requires_grad_(True),))


def test_functions_of_hermitian_matrices() -> None:
    state = np.array([1.0, 1.0j, 0.5])
    density = np.outer(state, state.conj()) / np.vdot(state, state).real
    np.testing.assert_allclose(linalg.sqrtm(v(density)).numpy(), density, atol=1e-8)
    flat = np.array([[2.0, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(linalg.sqrtm(v(flat)).numpy(), np.ones((2, 2)), atol=1e-8)
    mirrored = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=complex)
    for name in ("sqrtm", "logm"):
        w, u = np.linalg.eigh(mirrored)
        values = np.sqrt(w.astype(complex)) if name == "sqrtm" else np.log(w.astype(complex))
        np.testing.assert_allclose(getattr(linalg, name)(v(mirrored)).numpy(), (u * values) @ u.conj().T, atol=1e-12)
        with pytest.raises(tg.LinAlgError, match="pass a complex matrix"):
            getattr(linalg, name)(v(mirrored.real))
    with pytest.raises(tg.LinAlgError, match="eigenvalue is zero"):
        linalg.logm(v(density))


@pytest.mark.parametrize("n", [3, 20])
def test_imaginary_parts_on_the_diagonal_of_hermitian_matrices_do_not_count(n: int) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    for uplo in ("L", "U"):
        assert np.allclose(tg.linalg.eigvalsh(tg.asarray(a), UPLO=uplo).numpy(), np.linalg.eigvalsh(a, UPLO=uplo))
    positive = a @ a.conj().T + n * np.eye(n) + 1j * np.diag(rng.normal(size=n))
    assert np.allclose(tg.linalg.cholesky(tg.asarray(positive)).numpy(), np.linalg.cholesky(positive))
