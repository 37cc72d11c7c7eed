"""Libraries that take our arrays: einops, opt_einsum, array-api-compat and -extra, scikit-learn, SciPy; else skipped."""

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
