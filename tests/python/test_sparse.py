"""Sparse derivatives: patterns and values against dense ones, colours, and random programs."""

import sys

import numpy as np
import pytest

import tapegrad as tg
from tapegrad._coloring import columns, star, star_entries
from tapegrad.autograd import Function

sparse = pytest.importorskip("scipy.sparse")
RNG = np.random.default_rng(5)
X = RNG.uniform(0.2, 1.5, 8) * np.array([1, -1, 1, 1, -1, 1, 1, -1])
BAND = np.diag(np.arange(1.0, 9.0)) + np.diag(np.ones(7), 1)
AT = np.array([3, 1, 4, 1, 5])


def grid(x):
    return tg.reshape(x, (2, 4))


def written(x):
    y = tg.zeros(8, dtype="float64")
    y[1:] = x[:-1] ** 2
    y[0] = x[3]
    return y


def written_through_a_view(x):
    y = grid(x * 1.0)
    row = y[1]
    row[:2] = y[0, 2:] * 3.0
    return y


class Twice(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


#: A function, and the entries of its pattern.
FUNCTIONS = {
    "band": (lambda x: x[1:] * x[:-1], 14),
    "matrix": (lambda x: tg.Variable(BAND) @ x, 15),
    "matrix from the right": (lambda x: x @ tg.Variable(BAND), 15),
    "matrix of rows": (lambda x: grid(x) @ tg.Variable(np.eye(4)), 8),
    "product": (lambda x: tg.reshape(x[:6], (2, 3)) @ tg.ones((3, 2), dtype="float64"), 12),
    "two factors": (lambda x: grid(x) @ tg.reshape(x, (4, 2)), 24),
    "gather": (lambda x: x[AT] * x[0], 10),
    "concat": (lambda x: tg.concatenate([x[:3] ** 2, tg.sin(x[5:])], axis=0), 6),
    "sum of rows": (lambda x: tg.sum(grid(x) ** 2, axis=0), 8),
    "mean": (lambda x: tg.mean(grid(x), axis=1), 8),
    "softmax": (lambda x: tg.softmax(grid(x), axis=1), 32),
    "maximum of rows": (lambda x: tg.max(tg.reshape(x, (4, 2)), axis=1), 8),
    "variance": (lambda x: tg.var(tg.reshape(x, (4, 2)), axis=0), 8),
    "product of rows": (lambda x: tg.prod(tg.reshape(x, (4, 2)), axis=1), 8),
    "norm of rows": (lambda x: tg.linalg.norm(tg.reshape(x, (4, 2)), axis=1), 8),
    "logsumexp": (lambda x: tg.logsumexp(tg.reshape(x, (4, 2)), axis=1), 8),
    "cumsum": (lambda x: tg.cumsum(grid(x), axis=1), 32),
    "where": (lambda x: tg.where(x > 0, x[::-1], x), 16),
    "roll": (lambda x: tg.roll(x, 1) * x, 16),
    "pad": (lambda x: tg.pad(x, 1) ** 2, 8),
    "diff": (lambda x: tg.diff(x), 14),
    "stack": (lambda x: tg.stack([x, x[::-1]]), 16),
    "broadcast": (lambda x: x[:, None] * x[None, :3], 45),
    "diagonal": (lambda x: tg.diagonal(tg.reshape(x[:4], (2, 2))), 2),
    "triangle": (lambda x: tg.triu(tg.reshape(x[:4], (2, 2))) ** 2, 4),
    "written": (written, 8),
    "written through a view": (written_through_a_view, 8),
    "container": (lambda x: {"a": x[:2] * x[2], "b": tg.sum(x)}, 12),
    "custom": (lambda x: Twice.apply(grid(x)), 64),
    "solve": (lambda x: tg.linalg.solve(tg.Variable(BAND), x), 64),
    "scalar": (lambda x: tg.exp(x[3]), 1),
    "constant": (lambda x: tg.ones(3, dtype="float64"), 0),
    "fft": (lambda x: tg.fft.fft(grid(x), axis=1).real if hasattr(tg, "fft") else grid(x), 32),
    "complex": (lambda x: tg.real(tg.conj(tg.complex(x, x[::-1])) * 2.0) if hasattr(tg, "complex") else x, 16),
    "batch norm by hand": (lambda x: (grid(x) - tg.mean(grid(x), axis=0)) / tg.std(grid(x), axis=0), 16),
}


def flattened(f):
    def g(x):
        out = f(x)
        parts = out.values() if isinstance(out, dict) else [out]
        return tg.concatenate([tg.reshape(p, (-1,)) for p in parts], axis=0)

    return g


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name):
    f, entries = FUNCTIONS[name]
    matrix = tg.sparse_jacobian(f)
    found, pattern = matrix(X), matrix.pattern(X)
    dense = tg.jacrev(flattened(f))(tg.Variable(X)).numpy()
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-10, atol=1e-12)
    assert found.format == "csr"
    assert not (dense[~pattern.toarray()] != 0).any()
    assert pattern.nnz <= entries


ENERGIES = {
    "rosenbrock": (lambda x: tg.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), 22, 3),
    "arrow": (lambda x: x[0] * tg.sum(x[1:] ** 2) + tg.sum(x**3), 22, 2),
    "linear": (lambda x: tg.sum(x), 0, 0),
    "quadratic": (lambda x: x @ (tg.Variable(BAND) @ x), 22, 3),
    "halves": (lambda x: tg.sum(x[:4] * x[4:]), 8, 2),
    "separable": (lambda x: tg.sum(tg.exp(x) + tg.sin(x) ** 2), 8, 1),
    "gather": (lambda x: tg.sum(x[AT] ** 3), 4, 1),
    "norms": (lambda x: tg.sum(tg.linalg.norm(tg.reshape(x, (4, 2)), axis=1)), 16, 2),
    "grid": (lambda x: tg.sum(tg.sin(grid(x)[:, 1:] * grid(x)[:, :-1])) + tg.sum(tg.diff(grid(x), axis=0) ** 4), 28, 4),
    "softmax": (lambda x: tg.sum(tg.softmax(grid(x), axis=1) ** 2), 32, 4),
    "everything": (lambda x: tg.logsumexp(x), 64, 8),
    "constant": (lambda x: tg.sum(x.detach()), 0, 0),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_hessians(name):
    f, entries, colors = ENERGIES[name]
    matrix = tg.sparse_hessian(f)
    found, pattern = matrix(X), matrix.pattern(X)
    dense = tg.hessian(f)(tg.Variable(X)).numpy()
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-9, atol=1e-11)
    assert (pattern != pattern.T).nnz == 0
    assert pattern.nnz <= entries
    assert matrix.sweeps <= colors
    assert not (dense[~pattern.toarray()] != 0).any()


def program(seed):
    """A random program of ten steps on vectors of eight."""
    rng = np.random.default_rng(seed)
    steps = [
        lambda a, b: a * b,
        lambda a, b: tg.sin(a) + b,
        lambda a, b: tg.roll(a, int(rng.integers(1, 4))),
        lambda a, b: a[rng.integers(0, 8, 8)],
        lambda a, b: tg.concatenate([a[:3], b[3:]], axis=0),
        lambda a, b: tg.reshape(tg.reshape(a, (4, 2)).T, (-1,)),
        lambda a, b: tg.where(tg.Variable(rng.random(8) > 0.5), a, b),
        lambda a, b: tg.reshape(grid(a) * tg.sum(grid(b), axis=1, keepdims=True), (-1,)),
        lambda a, b: tg.tanh(a) * 0.5,
        lambda a, b: tg.reshape(tg.softmax(tg.reshape(a, (4, 2)), axis=1), (-1,)),
        lambda a, b: tg.repeat(tg.max(tg.reshape(b, (4, 2)), axis=1), 2),
        lambda a, b: a / (1.0 + b**2),
    ]
    plan = [(int(rng.integers(len(steps))), int(rng.integers(4)), int(rng.integers(4))) for _ in range(10)]
    state = rng.bit_generator.state

    def f(x):
        rng.bit_generator.state = state
        values = [x, x[::-1], x * 2, tg.cos(x)]
        for k, i, j in plan:
            values = [*values[1:], steps[k](values[i], values[j])]
        return values[-1] + values[-2]

    return f


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed):
    f = program(seed)
    dense = tg.jacfwd(f)(tg.Variable(X)).numpy()
    matrix = tg.sparse_jacobian(f)
    np.testing.assert_allclose(matrix(X).toarray(), dense, rtol=1e-9, atol=1e-11)
    assert not (dense[~matrix.pattern(X).toarray()] != 0).any()

    def energy(x):
        return tg.sum(f(x) ** 2 * tg.Variable(np.arange(8.0)))

    np.testing.assert_allclose(
        tg.sparse_hessian(energy)(X).toarray(), tg.hessian(energy)(tg.Variable(X)).numpy(), rtol=1e-8, atol=1e-9
    )


def test_a_large_band_takes_few_sweeps():
    def energy(x):
        return tg.sum((x[2:] - 2 * x[1:-1] ** 2 + x[:-2]) ** 2) + tg.sum(tg.cos(x))

    n = 10_000
    matrix = tg.sparse_hessian(energy)
    found = matrix(np.linspace(0.0, 1.0, n))
    assert found.shape == (n, n)
    assert found.nnz == 5 * n - 6
    assert matrix.sweeps == 5
    small = tg.hessian(energy)(tg.Variable(np.linspace(0.0, 1.0, n)[:30])).numpy()
    np.testing.assert_allclose(found.toarray()[:25, :25], small[:25, :25], rtol=1e-9)


def test_a_given_pattern_is_kept():
    f, hessian = FUNCTIONS["band"][0], ENERGIES["rosenbrock"][0]
    matrix = tg.sparse_jacobian(f, pattern=tg.sparse_jacobian(f).pattern(X))
    for x in (X, X**2):
        np.testing.assert_allclose(matrix(x).toarray(), tg.jacfwd(f)(tg.Variable(x)).numpy())
    upper = np.triu(np.ones((8, 8))) * np.tril(np.ones((8, 8)), 1)
    found = tg.sparse_hessian(hessian, pattern=upper)
    np.testing.assert_allclose(found(X).toarray(), tg.hessian(hessian)(tg.Variable(X)).numpy())
    assert found.sweeps == 3
    with pytest.raises(tg.ShapeError, match=r"the pattern has shape \(3, 3\), the derivative \(8, 8\)"):
        tg.sparse_hessian(hessian, pattern=np.ones((3, 3)))(X)


def test_arguments():
    def f(p, c):
        return p["b"] * c + tg.sum(p["a"] ** 2, axis=1)

    p = {"a": np.ones((2, 3)), "b": np.arange(2.0)}
    found = tg.sparse_jacobian(f)(p, 3.0)
    assert found.shape == (2, 8)
    assert found.nnz == 8
    assert found.sum() == 18.0
    assert tg.sparse_jacobian(lambda a, b: a * b, argnums=(0, 1))(X, X).shape == (8, 16)
    assert tg.sparse_jacobian(lambda x, k: x * k)(X, k=2.0).nnz == 8
    assert tg.sparse_jacobian(lambda x: x)(np.zeros(0)).shape == (0, 0)
    assert tg.sparse_hessian(lambda x: tg.sum(x))(np.zeros(0)).shape == (0, 0)
    single = tg.sparse_hessian(lambda x: tg.sum(x**3))(tg.ones(3))
    np.testing.assert_allclose(single.toarray(), 6 * np.eye(3))
    a = tg.Variable(2.0, dtype="float64", requires_grad=True)
    assert tg.sparse_jacobian(lambda x: x * a)(X).sum() == 16.0
    assert a.grad is None


def test_bad_input():
    with pytest.raises(tg.GradError, match="must return one floating number"):
        tg.sparse_hessian(lambda x: x)(X)
    with pytest.raises(tg.DTypeError, match="carries no gradient"):
        tg.sparse_jacobian(lambda x: x)(np.arange(3))
    with pytest.raises(TypeError, match="must be a function"):
        tg.sparse_jacobian(3)
    with pytest.raises(tg.GradError, match="cannot run inside vmap or jvp"):
        tg.vmap(lambda x: tg.sparse_jacobian(lambda v: v)(x))(tg.ones((2, 3)))
    with pytest.raises(ValueError, match="makes each of 10000 results depend on so many inputs"):
        tg.sparse_jacobian(lambda x: x / tg.sum(x))(np.ones(10_000))


@pytest.mark.parametrize("seed", range(10))
def test_colours(seed):
    rng = np.random.default_rng(seed)
    n = 40
    rows = sparse.random_array((n, n), density=0.08, rng=rng).tocsr().astype(bool)
    colors = columns(rows)
    for i in range(n):
        mine = colors[rows.indices[rows.indptr[i] : rows.indptr[i + 1]]]
        assert len(set(mine.tolist())) == len(mine)
    both = (rows + rows.T + sparse.eye_array(n, dtype=bool)).tocsr()
    colors = star(both)
    values = rng.normal(size=(n, n))
    values = np.where(both.toarray(), values + values.T, 0.0)
    seeds = np.eye(int(colors.max()) + 1)[colors]
    i, j, element, color = star_entries(both, colors)
    np.testing.assert_allclose((values @ seeds)[element, color], values[i, j])
    assert colors.max() <= columns(both).max()


def test_without_scipy_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="sparse_hessian needs SciPy: pip install scipy"):
        tg.sparse_hessian(lambda x: (x * x).sum())
