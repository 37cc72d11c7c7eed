"""Libraries that take our arrays: einops, opt_einsum, array-api-compat, scikit-learn, SciPy, pandas, matplotlib; and those
with which we exchange memory: PyTorch, JAX, MLX. Each is skipped where it is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import tapegrad as tg

X = np.random.default_rng(1).normal(size=(2, 6, 4))


def leaf() -> tg.Variable:
    return tg.Variable(X.copy(), requires_grad=True)


def test_einops_takes_variables() -> None:
    einops = pytest.importorskip("einops")
    x = leaf()
    patterns = [("b (h w) c -> b c h w", {"h": 2}), ("b t c -> (b t) c", {}), ("b t c -> t b c", {})]
    for pattern, sizes in patterns:
        np.testing.assert_array_equal(
            einops.rearrange(x, pattern, **sizes).detach().numpy(), einops.rearrange(X, pattern, **sizes)
        )
    for how in ("min", "max", "sum", "mean", "prod"):
        np.testing.assert_allclose(
            einops.reduce(x, "b (t two) c -> b t c", how, two=2).detach().numpy(),
            einops.reduce(X, "b (t two) c -> b t c", how, two=2),
        )
    np.testing.assert_array_equal(
        einops.repeat(x, "b t c -> b t c k", k=2).detach().numpy(), einops.repeat(X, "b t c -> b t c k", k=2)
    )
    packed, shapes = einops.pack([x, x], "b * c")
    assert packed.shape == (2, 12, 4)
    assert len(einops.unpack(packed, shapes, "b * c")) == 2
    assert einops.rearrange([x, x], "n b t c -> b n t c").shape == (2, 2, 6, 4)
    total = tg.sum(einops.einsum(x, x, "b t c, b s c -> b t s"))
    (g,) = tg.autograd.grad([total], [x])
    np.testing.assert_allclose(g.numpy(), 2 * X.sum(1, keepdims=True) + np.zeros_like(X))


def test_einops_finds_us_whichever_is_imported_first() -> None:
    pytest.importorskip("einops")
    for first, second in (("tapegrad", "einops"), ("einops", "tapegrad")):
        code = f"import {first}, {second}; x = tapegrad.ones((2, 3)); assert einops.rearrange(x, 'a b -> b a').shape == (3, 2)"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_opt_einsum_contracts_variables() -> None:
    opt_einsum = pytest.importorskip("opt_einsum")
    a, b, c = (np.random.default_rng(i).normal(size=(3, 3)) for i in range(3))
    vs = [tg.Variable(v.copy(), requires_grad=True) for v in (a, b, c)]
    got = opt_einsum.contract("ij,jk,kl->il", *vs)
    np.testing.assert_allclose(got.detach().numpy(), a @ b @ c)
    (g,) = tg.autograd.grad([tg.sum(got)], [vs[0]])
    np.testing.assert_allclose(g.numpy(), np.ones((3, 3)) @ (b @ c).T)


def test_array_api_compat_finds_the_namespace() -> None:
    compat = pytest.importorskip("array_api_compat")
    x = leaf()
    assert compat.is_array_api_obj(x)
    assert compat.array_namespace(x) is tg
    assert compat.size(x) == X.size


def test_array_api_extra_computes_with_us() -> None:
    xpx = pytest.importorskip("array_api_extra")
    m = tg.Variable(X[0].copy())
    np.testing.assert_allclose(xpx.kron(m, m, xp=tg).numpy(), np.kron(X[0], X[0]))
    assert xpx.expand_dims(m, axis=0, xp=tg).shape == (1, 6, 4)


def run(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_scipy_takes_arrays_of_the_standard() -> None:
    pytest.importorskip("scipy")
    run(
        """
        import numpy as np
        import scipy.special, scipy.cluster.vq
        import tapegrad as tg
        x = tg.Variable(np.array([[1.0, 2.0], [3.0, 5.0]]), requires_grad=True)
        y = scipy.special.softmax(x, axis=1)
        assert isinstance(y, tg.Variable) and y.requires_grad
        np.testing.assert_allclose(y.detach().numpy(), scipy.special.softmax(x.detach().numpy(), axis=1))
        """,
        SCIPY_ARRAY_API="1",
    )


def test_scipy_computes_on_our_arrays() -> None:
    pytest.importorskip("scipy", minversion="1.15")
    run(
        """
        import numpy as np, scipy.linalg, scipy.special, scipy.stats, scipy.integrate, scipy.optimize
        import tapegrad as tg
        a = np.random.default_rng(0).normal(size=(8, 5))
        calls = [
            lambda x: scipy.special.logsumexp(x, axis=1),
            lambda x: scipy.special.erf(x),
            lambda x: scipy.special.gammaln(abs(x) + 1),
            lambda x: scipy.stats.zscore(x),
            lambda x: scipy.stats.skew(x),
            lambda x: scipy.stats.gmean(abs(x)),
            lambda x: scipy.stats.ttest_1samp(x, 0.0).statistic,
            lambda x: scipy.integrate.trapezoid(x),
            lambda x: scipy.optimize.rosen(x[0]),
        ]
        for call in calls:
            x = tg.Variable(a.copy())
            got, want = call(x), call(a)
            np.testing.assert_allclose(np.asarray(got), want, rtol=1e-10, atol=1e-12)
        x = tg.Variable(a.copy(), requires_grad=True)
        for call in (calls[0], calls[4], calls[5], calls[7], calls[8]):
            assert call(x).requires_grad
        for call in calls:
            try:
                assert call(x).requires_grad  # kept, or refused: never lost
            except tg.GradError:
                pass
        """,
        SCIPY_ARRAY_API="1",
    )


def test_scikit_learn_dispatches_to_arrays_of_the_standard() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("array_api_compat")
    if not hasattr(tg, "__array_namespace_info__"):
        pytest.skip("the namespace does not tell its dtypes and devices yet")
    run(
        """
        import numpy as np
        import sklearn
        from sklearn.metrics import mean_squared_error
        import tapegrad as tg
        a, b = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.0])
        with sklearn.config_context(array_api_dispatch=True):
            got = mean_squared_error(tg.Variable(a), tg.Variable(b))
        np.testing.assert_allclose(float(got), mean_squared_error(a, b))
        """,
        SCIPY_ARRAY_API="1",
    )


def test_estimators_of_scikit_learn_take_our_arrays() -> None:
    pytest.importorskip("sklearn", minversion="1.6")
    pytest.importorskip("array_api_compat")
    run(
        """
        import numpy as np, sklearn
        from sklearn import decomposition, discriminant_analysis, linear_model, metrics, pipeline, preprocessing
        import tapegrad as tg
        a = np.random.default_rng(0).normal(size=(30, 4))
        t = a @ np.arange(4.0)
        y = (t > 0).astype(int)
        def both(call):
            want = call(a, t, y)
            with sklearn.config_context(array_api_dispatch=True):
                got = call(tg.asarray(a), tg.asarray(t), tg.asarray(y))
            np.testing.assert_allclose(np.abs(np.asarray(got)), np.abs(want), rtol=1e-8, atol=1e-9)
            return got
        assert isinstance(both(lambda x, t, y: preprocessing.StandardScaler().fit_transform(x)), tg.Variable)
        both(lambda x, t, y: preprocessing.MinMaxScaler().fit_transform(x))
        assert isinstance(both(lambda x, t, y: decomposition.PCA(2, svd_solver="full").fit_transform(x)), tg.Variable)
        both(lambda x, t, y: linear_model.Ridge(solver="svd").fit(x, t).predict(x))
        both(lambda x, t, y: discriminant_analysis.LinearDiscriminantAnalysis(solver="svd").fit(x, y).predict(x))
        both(lambda x, t, y: pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2)).fit_transform(x))
        for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
            both(lambda x, t, y: getattr(metrics, name)(t, t + x[:, 0]))
        for name in ("accuracy_score", "f1_score", "confusion_matrix"):
            both(lambda x, t, y: getattr(metrics, name)(y, 1 - y))
        both(lambda x, t, y: metrics.roc_auc_score(y, t))
        both(lambda x, t, y: metrics.pairwise.rbf_kernel(x, x))
        """,
        SCIPY_ARRAY_API="1",
    )


def test_pandas_takes_our_arrays_and_we_take_its() -> None:
    pd = pytest.importorskip("pandas")
    x = tg.Variable(np.array([1.0, 2.0, 3.0]))
    frame = pd.DataFrame({"a": x, "b": [4, 5, 6]}).assign(c=2 * x)
    assert frame["c"].tolist() == [2.0, 4.0, 6.0]
    assert pd.Series(x).dtype == np.float64
    assert tg.asarray(frame).shape == (3, 3)
    assert tg.asarray(frame["b"]).dtype == tg.int64
    assert x[frame["a"] > 1.5].tolist() == [2.0, 3.0]
    w = tg.Variable(np.ones(3), requires_grad=True)
    (g,) = tg.autograd.grad([tg.sum(w * frame["a"])], [w])
    assert g.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(tg.GradError, match="detach"):
        pd.Series(w)


def test_matplotlib_draws_our_arrays() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    x, image = tg.Variable([1.0, 2.0, 3.0]), tg.ones((4, 4))
    (line,) = ax.plot(x, x**2)
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 4.0, 9.0])
    ax.plot(list(x), "o")
    ax.scatter(x, x, c=x)
    ax.bar(x, x)
    ax.errorbar(x, x, yerr=0.1 * x)
    ax.fill_between(x, x, -x)
    ax.imshow(image)
    ax.pcolormesh(image)
    assert ax.hist(x)[0].sum() == 3
    ax.set_xlim(x[0], x[2])
    ax.figure.canvas.draw()
    with pytest.raises(tg.GradError, match="detach"):
        ax.plot(tg.Variable([1.0], requires_grad=True))


DTYPES = ["bool", "int8", "int64", "uint8", "float32", "float64", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["torch", "jax.numpy", "mlx.core"])
def test_memory_is_exchanged_by_dlpack(name: str, dtype: str) -> None:
    other = pytest.importorskip(name)
    if dtype in ("int64", "float64") and name != "torch":
        pytest.skip("of 32 bits by default there")
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    x = tg.asarray(values.copy())
    there = other.from_dlpack(x) if hasattr(other, "from_dlpack") else other.array(x.numpy())
    back = tg.from_dlpack(there)
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back.numpy(), values)
    np.testing.assert_array_equal(tg.asarray(there).numpy(), values)
    if name == "torch":
        np.testing.assert_array_equal(tg.from_dlpack(there.T).numpy(), values.T)
        np.testing.assert_array_equal(other.from_dlpack(x.T).numpy(), values.T)
    if dtype == "float32":
        with pytest.raises(tg.GradError, match="detach"):
            x.requires_grad_(True).__dlpack__()
