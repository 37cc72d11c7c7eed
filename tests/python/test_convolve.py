"""Convolutions and correlations of vectors against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

MODES = ("full", "same", "valid")
DTYPES = (
    "bool",
    "int8",
    "uint8",
    "uint16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
rng = np.random.default_rng(17)


def vector(n: int, dtype: str) -> Any:
    x = rng.standard_normal(n) * 5.0
    if dtype == "bool":
        return x > 0.0
    return (x + 1j * rng.standard_normal(n)).astype(dtype) if dtype.startswith("complex") else np.trunc(x).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_values_are_numpys(mode: Any, dtype: str) -> None:
    for n, m in itertools.product((1, 2, 3, 5, 8), repeat=2):
        a, v = vector(n, dtype), vector(m, dtype)
        for ours, theirs in ((tg.convolve, np.convolve), (tg.correlate, np.correlate)):
            out, expected = ours(tg.asarray(a), tg.asarray(v), mode), theirs(a, v, mode)
            assert out.dtype == tg.asarray(a).dtype
            np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_zeros_meet_what_is_not_finite(place: int, value: float) -> None:
    a, v = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(3)
    v[place] = value
    for x, y in ((a, v), (v, a), (np.append(v, a), v)):
        np.testing.assert_array_equal(tg.convolve(x, y).numpy(), np.convolve(x, y))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("n", "m"), [(6, 3), (2, 5), (4, 4), (1, 3)])
def test_gradients_of_both_orders(n: int, m: int, mode: Any, dtype: str) -> None:
    a, v = (tg.asarray(rng.standard_normal(k).astype(dtype)).requires_grad_() for k in (n, m))
    for f in (tg.convolve, tg.correlate):
        assert tg.autograd.gradcheck(lambda x, y, f=f: f(x, y, mode), (a, v))
        assert tg.autograd.gradgradcheck(lambda x, y, f=f: f(x, y, mode), (a, v))


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_a_loop(mode: Any) -> None:
    a, v = tg.asarray(rng.standard_normal((4, 6))), tg.asarray(rng.standard_normal((4, 3)))
    both = tg.vmap(lambda x, y: tg.convolve(x, y, mode))(a, v)
    one = tg.vmap(lambda x: tg.convolve(v[0], x, mode))(a)
    for i in range(4):
        np.testing.assert_allclose(both[i].numpy(), np.convolve(a[i].numpy(), v[i].numpy(), mode))
        np.testing.assert_allclose(one[i].numpy(), np.convolve(v[0].numpy(), a[i].numpy(), mode))


def test_layouts_and_numpys_memory() -> None:
    a, v = rng.standard_normal(14), rng.standard_normal(9)
    for x, y in ((a[::2], v[::-1]), (a[::-3], v[::4])):
        np.testing.assert_allclose(tg.convolve(x, y).numpy(), np.convolve(x, y))
        np.testing.assert_allclose(tg.convolve(tg.asarray(x) + 0.0, tg.asarray(y)).numpy(), np.convolve(x, y))
    z = a + 1j
    np.testing.assert_allclose(tg.convolve(z[::2], z[::-1]).numpy(), np.convolve(z[::2], z[::-1]))


def test_memory_grows_with_the_lengths_only() -> None:
    a, v = (tg.asarray(rng.standard_normal(n)).requires_grad_() for n in (20_000, 1_000))
    before = tg.memory_stats()["system_bytes"]
    out = tg.convolve(a, v)
    out.backward(tg.ones_like(out))
    assert tg.memory_stats()["system_bytes"] - before < 8_000_000  # all windows would be 168 MB
    np.testing.assert_allclose(out.numpy(), np.convolve(a.detach().numpy(), v.detach().numpy()), atol=1e-9)
    assert a.grad is not None
    assert v.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), np.full(20_000, v.detach().numpy().sum()), atol=1e-9)
    np.testing.assert_allclose(v.grad.numpy(), np.full(1_000, a.detach().numpy().sum()), atol=1e-9)


def test_a_compiled_function_and_a_file_repeat_it(tmp_path: Any) -> None:
    compiled = tg.compile(lambda x, y: tg.convolve(x, y, "same") * 2.0)
    for _ in range(5):
        x, y = tg.asarray(rng.standard_normal(9)), tg.asarray(rng.standard_normal(4))
        assert compiled(x, y).tolist() == (tg.convolve(x, y, "same") * 2.0).tolist()
    (program,) = compiled.programs()
    program.save(tmp_path / "program")
    assert tg.load_program(tmp_path / "program")(x, y).tolist() == compiled(x, y).tolist()


def test_errors_name_the_function() -> None:
    with pytest.raises(ValueError, match=r"convolve: arrays of 1 dimension that are not empty are expected, got shape \(2, 2\)"):
        tg.convolve(tg.ones((2, 2)), tg.ones(2))
    with pytest.raises(ValueError, match="correlate: arrays of 1 dimension that are not empty"):
        tg.correlate(tg.ones(0), tg.ones(2))
    with pytest.raises(ValueError, match="mode is 'all', expected 'full', 'same' or 'valid'"):
        tg.convolve(tg.ones(2), tg.ones(2), "all")
