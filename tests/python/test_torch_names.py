"""Names that PyTorch has and NumPy has not: values, gradients by differences, methods, and bad arguments."""

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _torch_names

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
Y = RNG.standard_normal((3, 4))
SPD = X @ X.T + np.eye(3)


def var(a):
    return tg.tensor(np.asarray(a))


#: The function on Variables, and the same on arrays of NumPy.
VALUES = {
    "split_with_sizes": (lambda x: tg.split_with_sizes(x, [1, 3], 1)[1], lambda a: a[:, 1:]),
    "tensor_split": (lambda x: tg.tensor_split(x, 3, dim=1)[0], lambda a: a[:, :2]),
    "take_along_dim": (lambda x: tg.take_along_dim(x, x.argsort(1), 1), lambda a: np.sort(a, 1)),
    "select_scatter": (lambda x: tg.select_scatter(x, x[0] * 2, 0, 1), lambda a: np.stack([a[0], a[0] * 2, a[2]])),
    "slice_scatter": (lambda x: tg.slice_scatter(x, x[:1] * 2, 0, 2), lambda a: np.stack([a[0], a[1], a[0] * 2])),
    "diagonal_scatter": (lambda x: tg.diagonal_scatter(x, x[:, 3]), lambda a: np.where(np.eye(3, 4) > 0, a[:, 3:], a)),
    "diagonal_scatter offset": (
        lambda x: tg.diagonal_scatter(x, x[0, :2], -1),
        lambda a: np.where(np.eye(3, 4, -1) > 0, np.concatenate([[0], a[0, :2]])[:, None], a),
    ),
    "masked_scatter": (lambda x: tg.masked_scatter(x, x > 0, x * 3), lambda a: _masked(a, a > 0, a * 3)),
    "index_fill": (lambda x: tg.index_fill(x, 1, var([0, 2]), 5.0), lambda a: np.where(np.array([1, 0, 1, 0]) > 0, 5.0, a)),
    "index_copy": (lambda x: tg.index_copy(x, 0, var([2, 0]), x[:2]), lambda a: np.stack([a[1], a[1], a[0]])),
    "kthvalue": (lambda x: tg.kthvalue(x, 2, 1).values, lambda a: np.sort(a, 1)[:, 1]),
    "kthvalue keepdim": (lambda x: tg.kthvalue(x, 3, 0, keepdim=True).values, lambda a: np.sort(a, 0)[2:]),
    "aminmax": (lambda x: tg.stack(list(tg.aminmax(x, dim=1))), lambda a: np.stack([a.min(1), a.max(1)])),
    "msort": (tg.msort, lambda a: np.sort(a, 0)),
    "unique_consecutive": (lambda x: tg.unique_consecutive(x.reshape(-1)), lambda a: a.reshape(-1)),
    "std_mean": (lambda x: tg.stack(list(tg.std_mean(x, 1))), lambda a: np.stack([a.std(1, ddof=1), a.mean(1)])),
    "var_mean": (lambda x: tg.var_mean(x, unbiased=False)[0], lambda a: a.var()),
    "dist": (lambda x: tg.dist(x, x[0], 1), lambda a: np.abs(a - a[0]).sum()),
    "addbmm": (
        lambda x: tg.addbmm(x[:, :3], x[None].tile((2, 1, 1)), x.T[None].tile((2, 1, 1)), beta=0.5, alpha=2.0),
        lambda a: 0.5 * a[:, :3] + 4 * a @ a.T,
    ),
    "chain_matmul": (lambda x: tg.chain_matmul(x, x.T, x), lambda a: a @ a.T @ a),
    "rsub": (lambda x: tg.rsub(x, 3.0, alpha=2), lambda a: 3 - 2 * a),
    "trapz": (lambda x: tg.trapz(x, dim=0), lambda a: (a[1:] + a[:-1]).sum(0) / 2),
    "cumulative_trapezoid": (
        lambda x: tg.cumulative_trapezoid(x, tg.tensor([0.0, 1.0, 3.0, 4.0], dtype=tg.float64)),
        lambda a: np.cumsum((a[:, 1:] + a[:, :-1]) / 2 * np.array([1, 2, 1]), 1),
    ),
    "renorm": (lambda x: tg.renorm(x, 2, 0, 1.5), lambda a: a * np.minimum(1, 1.5 / np.linalg.norm(a, axis=1, keepdims=True))),
    "diag_embed": (tg.diag_embed, lambda a: np.stack([np.diag(row) for row in a])),
    "diag_embed offset": (
        lambda x: tg.diag_embed(x, -1, 0, 2),
        lambda a: np.stack([np.diag(row, -1) for row in a], 1),
    ),
    "block_diag": (
        lambda x: tg.block_diag(x, x[0], 2.0),
        lambda a: np.block(
            [[a, np.zeros((3, 5))], [np.zeros((1, 4)), a[:1], np.zeros((1, 1))], [np.zeros((1, 8)), np.full((1, 1), 2.0)]]
        ),
    ),
    "cartesian_prod": (lambda x: tg.cartesian_prod(x[0], x[1]), lambda a: np.array(list(itertools.product(a[0], a[1])))),
    "combinations": (lambda x: tg.combinations(x[0], 3), lambda a: np.array(list(itertools.combinations(a[0], 3)))),
    "logdet": (lambda x: tg.logdet(x @ x.T + np.eye(3)), lambda a: np.linalg.slogdet(a @ a.T + np.eye(3))[1]),
    "cholesky_solve": (
        lambda x: tg.cholesky_solve(x, tg.linalg.cholesky(tg.tensor(SPD))),
        lambda a: np.linalg.solve(SPD, a),
    ),
    "cholesky_inverse": (
        lambda x: tg.cholesky_inverse(tg.linalg.cholesky(tg.tensor(SPD)).T, upper=True) * x[0, 0],
        lambda a: np.linalg.inv(SPD) * a[0, 0],
    ),
    "logit": (lambda x: tg.logit(x * x, eps=0.01), lambda a: _logit(np.clip(a * a, 0.01, 0.99))),
    "unfold": (lambda x: x.unfold(1, 3, 1), lambda a: np.stack([a[:, :3], a[:, 1:]], 1)),
    "div trunc": (lambda x: x.div(0.3, rounding_mode="trunc") * x, lambda a: np.trunc(a / 0.3) * a),
    "add alpha": (lambda x: tg.add(x, x * x, alpha=3), lambda a: a + 3 * a * a),
    "subtract alpha": (lambda x: tg.subtract(x, x * x, alpha=3), lambda a: a - 3 * a * a),
    "max of two": (lambda x: tg.max(x, x[0]), lambda a: np.maximum(a, a[0])),
    "max by keyword": (lambda x: tg.max(x, other=x[0]), lambda a: np.maximum(a, a[0])),
    "min of two": (lambda x: x.min(x[0]), lambda a: np.minimum(a, a[0])),
    "flip dims": (lambda x: tg.flip(x, dims=(0, 1)), lambda a: a[::-1, ::-1]),
    "roll": (lambda x: x.roll(shifts=(1, 2), dims=(0, 1)), lambda a: np.roll(a, (1, 2), (0, 1))),
    "norm": (lambda x: tg.norm(x, p=1, dim=1), lambda a: np.abs(a).sum(1)),
    "norm fro": (lambda x: tg.norm(x, "fro"), np.linalg.norm),
    "norm nuc": (lambda x: tg.norm(x, p="nuc"), lambda a: np.linalg.norm(a, "nuc")),
    "linalg.norm": (lambda x: tg.linalg.norm(x, dim=1, keepdim=True), lambda a: np.linalg.norm(a, axis=1, keepdims=True)),
    "vector_norm": (lambda x: tg.linalg.vector_norm(x, ord=3, dim=0), lambda a: np.linalg.norm(a, 3, axis=0)),
    "matrix_norm": (lambda x: tg.linalg.matrix_norm(x, ord=1, dim=(0, 1)), lambda a: np.linalg.norm(a, 1)),
    "std unbiased": (lambda x: x.std(dim=1, unbiased=True), lambda a: a.std(1, ddof=1)),
    "var unbiased": (lambda x: tg.var(x, unbiased=False), np.var),
    "keywords": (lambda x: tg.matmul(input=x, other=tg.transpose(x)), lambda a: a @ a.T),
    "cat": (lambda x: tg.cat(tensors=[x, x], dim=1), lambda a: np.concatenate([a, a], 1)),
    "select": (lambda x: tg.select(x, 1, 2), lambda a: a[:, 2]),
    "index_put": (lambda x: x.index_put((var([0, 0]), var([1, 1])), x[1, :2], accumulate=True), lambda a: _put(a)),
}


def _masked(a, mask, values):
    a = a.copy()
    a[mask] = values.reshape(-1)[: mask.sum()]
    return a


def _logit(p):
    return np.log(p / (1 - p))


def _put(a):
    a = a.copy()
    a[0, 1] += a[1, 0] + a[1, 1]
    return a


@pytest.mark.parametrize("name", VALUES)
def test_values_and_gradients(name):
    ours, numpys = VALUES[name]
    x = tg.tensor(X, requires_grad=True)
    y = ours(x)
    expected = np.asarray(numpys(X))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    seed = np.cos(np.arange(expected.size)).reshape(expected.shape)
    (g,) = tg.autograd.grad((y * tg.tensor(seed)).sum(), x)
    step = 1e-6
    for at in np.ndindex(X.shape):
        d = np.zeros_like(X)
        d[at] = step
        slope = ((np.asarray(numpys(X + d)) - np.asarray(numpys(X - d))) * seed).sum() / (2 * step)
        assert g[at].item() == pytest.approx(slope, rel=1e-4, abs=1e-4), at


def test_each_name_is_public_documented_and_loaded_when_asked_for():
    import tapegrad

    names = tapegrad._NUMPY["_torch_names"].split()
    made = {n for n, f in vars(_torch_names).items() if getattr(f, "__module__", "") in {"tapegrad", "tapegrad._torch_names"}}
    made = {n for n in made if not n.startswith("_") and not n.endswith("Result") and n != "Variable"}
    assert set(names) == made
    for name in names:
        assert name in tg.__all__
        assert getattr(tg, name).__doc__, name


def test_modes():
    found = tg.mode(tg.tensor([[2, 1, 2, 1, 3], [5, 5, 1, 1, 1]]))
    assert found.values.tolist() == [1, 1]
    assert found.indices.tolist() == [3, 4]
    assert tg.mode(tg.tensor([[1.0, 2.0], [1.0, 3.0]]), 0, keepdim=True).values.tolist() == [[1, 2]]
    assert tg.mode(tg.tensor(3)).values.item() == 3
    assert tg.mode(tg.arange(20_000) % 7).values.item() == 0
    with pytest.raises(ValueError, match="mode: axis -1 of the array of shape \\(2, 0\\) has no elements"):
        tg.zeros(2, 0).mode()


def test_runs():
    x = tg.tensor([1, 1, 2, 2, 1])
    values, runs, counts = tg.unique_consecutive(x, return_inverse=True, return_counts=True)
    assert (values.tolist(), runs.tolist(), counts.tolist()) == ([1, 2, 1], [0, 0, 1, 1, 2], [2, 2, 1])
    rows = tg.tensor([[1, 2], [1, 2], [3, 4]]).unique_consecutive(dim=0)
    assert rows.tolist() == [[1, 2], [3, 4]]
    assert tg.unique_consecutive(tg.zeros(0)).shape == (0,)


def test_places_and_counts():
    edges = tg.tensor([1.0, 3.0, 5.0])
    assert tg.bucketize(tg.tensor([3.0, 6.0]), edges).tolist() == [1, 3]
    assert tg.bucketize(tg.tensor([3.0]), edges, right=True, out_int32=True).dtype == tg.int32
    assert tg.searchsorted(edges, tg.tensor([3.0]), right=True).tolist() == [2]
    assert tg.histc(tg.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist() == [0, 2, 1, 0]
    assert tg.histc(tg.tensor([1.0, 3.0]), bins=2).tolist() == [1, 1]
    x = tg.tensor([[0, 1], [2, 0]])
    assert x.nonzero(as_tuple=False).tolist() == [[0, 1], [1, 0]]
    assert [a.tolist() for a in tg.nonzero(x, as_tuple=True)] == [[0, 1], [1, 0]]


def test_division_of_integers_keeps_their_dtype():
    q = tg.div(tg.tensor([-7, 7, 6]), 2, rounding_mode="trunc")
    assert q.dtype == tg.int64
    assert q.tolist() == [-3, 3, 3]
    assert tg.tensor([2**62 + 1]).div(1, rounding_mode="trunc").tolist() == [2**62 + 1]


def test_top_values_have_names():
    found = tg.tensor([3.0, 1.0, 2.0]).topk(2)
    values, indices = found
    assert found.values is values
    assert found.indices is indices
    assert indices.tolist() == [0, 2]


def test_new_arrays():
    assert tg.range(1, 2, 0.5).tolist() == [1, 1.5, 2]
    assert tg.range(3, 1, -1).tolist() == [3, 2, 1]
    np.testing.assert_allclose(tg.hann_window(4, dtype=tg.float64).numpy(), np.hanning(5)[:-1])
    np.testing.assert_allclose(tg.hamming_window(5, periodic=False).numpy(), np.hamming(5), rtol=1e-6)
    np.testing.assert_allclose(tg.kaiser_window(5, False, 3.0).numpy(), np.kaiser(5, 3.0), rtol=1e-6)
    assert tg.bartlett_window(1).tolist() == [1]
    assert tg.blackman_window(0).shape == (0,)
    assert tg.poisson(tg.full((3,), 1e9)).shape == (3,)
    assert tg.linspace(start=0, end=1, steps=3).tolist() == [0, 0.5, 1]
    assert tg.logspace(0, 2, steps=3, base=2, dtype=tg.float64).tolist() == [1, 2, 4]
    assert tg.zeros_like(tg.ones(2), memory_format=tg.preserve_format).clone(memory_format=tg.contiguous_format).tolist() == [
        0,
        0,
    ]
    assert tg.zeros(2, layout=tg.strided, pin_memory=True).shape == tg.Size([2])


def test_the_same_functions_at_the_top():
    x = tg.tensor(X)
    for name, ours in {
        "layer_norm": lambda: tg.layer_norm(x, (4,)),
        "cosine_similarity": lambda: tg.cosine_similarity(x, x),
    }.items():
        assert ours().shape == getattr(tg.nn.functional, name)(x, x if name[0] == "c" else (4,)).shape
    assert tg.dropout(x, 0.5, False).tolist() == x.tolist()
    assert tg.det(tg.tensor(SPD)).item() == pytest.approx(np.linalg.det(SPD))
    assert tg.inverse(tg.tensor(SPD)).shape == (3, 3)
    assert tg.igamma(tg.tensor(1.0), tg.tensor(2.0)).item() == pytest.approx(1 - np.exp(-2))
    y = tg.tensor([-1.0, 4.0])
    assert tg.relu_(y) is y
    assert tg.sqrt_(y).tolist() == [0, 2]
    assert tg.zero_(y).tolist() == [0, 0]
    assert y.index_fill_(0, tg.tensor([1]), 3).lgamma_().tolist() == [np.inf, pytest.approx(np.log(2))]
    assert tg.zeros(3).masked_scatter_(tg.tensor([True, False, True]), tg.tensor([1.0, 2.0])).tolist() == [1, 0, 2]
    assert tg.zeros(2, 2).scatter_reduce_(0, tg.tensor([[1, 1]]), tg.ones(1, 2), "sum").tolist() == [[0, 0], [1, 1]]
    assert tg.zeros(2).index_put_((tg.tensor([0, 0]),), tg.tensor([1.0, 2.0]), accumulate=True).tolist() == [3, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.split_with_sizes([1, 1]), ValueError, "add up to 2, expected the length 3 of axis 0"),
        (lambda x: x.kthvalue(5), ValueError, "k is 5, expected 1 to 4"),
        (lambda x: tg.masked_scatter(x, x == x, x[0]), ValueError, "source has 4 elements, but the mask has 12 places"),
        (lambda x: tg.diag_embed(x, 0, 1, 1), ValueError, "both axis 1, expected two axes"),
        (lambda x: tg.diagonal_scatter(x, x), tg.ShapeError, r"shape \(3, 4\), expected that of the diagonal, \(3,\)"),
        (lambda x: tg.histc(x, 3, 2, 1), ValueError, "max is 1, expected at least min, which is 2"),
        (lambda x: tg.range(1, 3, -1), ValueError, "no step of -1 leads from 1 to 3"),
        (lambda x: tg.block_diag(x[None]), tg.ShapeError, "two axes or fewer"),
        (lambda x: x.unfold(0, 5, 1), ValueError, "expected a size of 0 to 3"),
        (lambda x: tg.add(input=x, a=x), TypeError, "multiple values"),
        (lambda x: tg.linalg.norm(x, dim=0, axis=0), TypeError, "both dim= and axis="),
        (lambda x: x.repeat(2, 1, 1), TypeError, r"Write x.tile\(\(2, 1, 1\)\)"),
        (lambda x: x.var(unbiased="no"), TypeError, "must be a bool"),
        (lambda x: x.max(axis=1).indices, AttributeError, "argmax"),
        (lambda x: x.max(axis=1).values, AttributeError, "argmax"),
        (lambda x: x.split(2), ValueError, "split_with_sizes cut by length"),
        (lambda x: tg.max(x, "rows"), TypeError, "argument 'axis' must be"),
        (lambda x: tg.searchsorted(x[0], x[0], side="left", right=True), ValueError, "contradict"),
        (lambda x: tg.take_along_dim(x, tg.tensor([[9]]), 1), IndexError, "9"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(tg.tensor(X))


def test_a_variable_is_no_pair_to_those_who_ask():
    assert not hasattr(tg.ones(2), "values")
    assert not hasattr(tg.ones(2), "indices")


def test_dtypes_are_single_objects():
    x = tg.ones(2)
    assert x.dtype is tg.float32
    assert x.double().dtype is tg.float64 is tg.double
    assert tg.get_default_dtype() is tg.float32
    assert tg.result_type(x, tg.float64) is tg.float64
    assert isinstance(x.dtype, tg.dtype)


def test_shapes_by_the_name_of_pytorch():
    assert tg.Size([2, 3]) == tg.ones(2, 3).size() == (2, 3)
    assert tg.ones(2, 3).size == 6


def test_print_options():
    x = tg.tensor([3.14159, 1e-6])
    before = tg.get_printoptions()
    try:
        tg.set_printoptions(precision=2, sci_mode=False)
        assert str(x) == "[3.14 0.  ]"
        tg.set_printoptions(threshold=3, edgeitems=1)
        assert str(tg.arange(10)) == "[0 ... 9]"
        tg.set_printoptions(profile="full")
        assert "..." not in str(tg.arange(2000))
        tg.set_printoptions(profile="default")
        assert tg.get_printoptions() == before
        with pytest.raises(ValueError, match="sci_mode"):
            tg.set_printoptions(sci_mode=True)
        with pytest.raises(ValueError, match="'default', 'short' or 'full'"):
            tg.set_printoptions(profile="long")
        with pytest.raises(ValueError, match="at least 0, got -1"):
            tg.set_printoptions(precision=-1)
    finally:
        tg.set_printoptions(**before)


KEYWORDS = {
    "where": (lambda x: tg.where(condition=x > 0, input=x, other=-x), np.abs),
    "dot": (lambda x: tg.dot(input=x[0], tensor=x[1]), lambda a: a[0] @ a[1]),
    "transpose": (lambda x: tg.transpose(input=x, dim0=0, dim1=1), np.transpose),
    "swapaxes": (lambda x: tg.swapaxes(x, axis0=0, axis1=1), np.transpose),
    "swapdims": (lambda x: tg.swapdims(x, dim0=0, dim1=1), np.transpose),
    "permute": (lambda x: tg.permute(input=x, dims=(1, 0)), np.transpose),
    "triu": (lambda x: tg.triu(input=x, diagonal=1), lambda a: np.triu(a, 1)),
    "diag": (lambda x: tg.diag(input=x[0]), lambda a: np.diag(a[0])),
    "tile": (lambda x: tg.tile(input=x, dims=(2, 1)), lambda a: np.tile(a, (2, 1))),
    "searchsorted": (
        lambda x: tg.searchsorted(sorted_sequence=tg.tensor([0.0, 1.0], dtype=tg.float64), input=x),
        lambda a: np.searchsorted([0.0, 1.0], a),
    ),
    "heaviside": (lambda x: tg.heaviside(input=x, values=0.5), lambda a: np.heaviside(a, 0.5)),
    "isin": (lambda x: tg.isin(elements=x, test_elements=x[0]), lambda a: np.isin(a, a[0])),
    "solve": (lambda x: tg.linalg.solve(A=tg.tensor(SPD), B=x), lambda a: np.linalg.solve(SPD, a)),
    "inv": (lambda x: tg.linalg.inv(A=tg.tensor(SPD)), lambda a: np.linalg.inv(SPD)),
    "slogdet": (lambda x: tg.linalg.slogdet(A=tg.tensor(SPD))[1], lambda a: np.linalg.slogdet(SPD)[1]),
    "qr": (lambda x: abs(tg.linalg.qr(A=x)[1]), lambda a: abs(np.linalg.qr(a)[1])),
    "fft": (lambda x: abs(tg.fft.fft(input=x, dim=0)), lambda a: abs(np.fft.fft(a, axis=0))),
    "eye": (lambda x: tg.eye(n=2, m=3), lambda a: np.eye(2, 3)),
    "arange": (lambda x: tg.arange(end=4), lambda a: np.arange(4)),
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_of_pytorch(name):
    ours, numpys = KEYWORDS[name]
    found, expected = ours(tg.tensor(X)), np.asarray(numpys(X))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_sizes_by_keyword():
    assert tg.rand(size=(2, 3)).shape == tg.randn(size=(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match="both input= and x="):
        tg.triu(input=tg.ones(2, 2), x=tg.ones(2, 2))
    with pytest.raises(TypeError, match="multiple values"):
        tg.linalg.inv(tg.eye(2), a=tg.eye(2))
