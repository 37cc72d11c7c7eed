"""Fourier transforms: values against NumPy, gradients of both orders, forward mode and batches, dtypes, bad input."""

from __future__ import annotations

import itertools
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

LINES = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
GRIDS = ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"]
REAL = {"rfft", "ihfft", "rfftn", "rfft2"}
RNG = np.random.default_rng(12)


def draw(name: str, *shape: int) -> np.ndarray:
    x = RNG.normal(size=shape)
    return x if name in REAL else x + 1j * RNG.normal(size=shape)


def close(got: Any, want: np.ndarray, tolerance: float = 1e-13) -> None:
    got = np.asarray(got)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=tolerance * max(1.0, np.abs(want).max(initial=0.0)), rtol=0)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
def test_lines_against_numpy(name: str, norm: str | None) -> None:
    for shape, axis in [((1,), -1), ((7,), 0), ((8,), 0), ((3, 5, 4), 1), ((3, 5, 4), 0), ((2, 97), -1), ((0, 4), 1)]:
        x = draw(name, *shape)
        for n in (None, 1, 2, 5, 6, 12):
            if n is None and shape == (1,) and name in ("irfft", "hfft"):
                continue
            want = getattr(np.fft, name)(x, n, axis, norm)
            close(getattr(tg.fft, name)(tg.Variable(x), n, axis, norm), want)
            close(getattr(np.fft, name)(tg.Variable(x), n=n, axis=axis, norm=norm), want)


@pytest.mark.parametrize("name", GRIDS)
def test_grids_against_numpy(name: str) -> None:
    x = draw(name, 4, 3, 5)
    options = [{}, {"axes": (0, 1)}, {"axes": (-1, 0)}, {"s": (2, 6), "axes": (0, 2)}, {"s": (3, -1), "axes": (2, 1)}]
    for option in options:
        for norm in (None, "ortho", "forward"):
            want = getattr(np.fft, name)(x, **option, norm=norm)
            close(getattr(tg.fft, name)(tg.Variable(x), **option, norm=norm), want)
            close(getattr(np.fft, name)(tg.Variable(x), **option, norm=norm), want)
    close(tg.fft.fftn(x, axes=(0, 0)), np.fft.fftn(x, axes=(0, 0)))


@pytest.mark.parametrize("n", [1, 2, 3, 16, 30, 97, 1000, 1024, 1031, 2187])
def test_lengths_of_all_kinds(n: int) -> None:
    z, x = draw("fft", 2, n), draw("rfft", 2, n)
    close(tg.fft.fft(tg.Variable(z)), np.fft.fft(z))
    close(tg.fft.ifft(tg.fft.fft(tg.Variable(z))), z)
    close(tg.fft.rfft(tg.Variable(x)), np.fft.rfft(x))
    close(tg.fft.irfft(tg.fft.rfft(tg.Variable(x)), n=n), x)
    close(tg.fft.fft(tg.Variable(z.T.copy()), axis=0), np.fft.fft(z.T, axis=0))


def test_helpers_against_numpy() -> None:
    for n in (1, 2, 5, 8):
        np.testing.assert_allclose(tg.fft.fftfreq(n, d=0.1, dtype=tg.float64).numpy(), np.fft.fftfreq(n, 0.1), rtol=1e-15)
        np.testing.assert_allclose(tg.fft.rfftfreq(n, 0.1, dtype=tg.float64).numpy(), np.fft.rfftfreq(n, 0.1), rtol=1e-15)
        x = RNG.normal(size=(n, 4))
        for axes in (None, 0, (0, 1)):
            close(tg.fft.fftshift(x, axes), np.fft.fftshift(x, axes))
            close(tg.fft.ifftshift(tg.fft.fftshift(x, axes), axes), x)
            close(np.fft.fftshift(tg.Variable(x), axes), np.fft.fftshift(x, axes))
    assert tg.fft.fftfreq(4).dtype == tg.get_default_dtype()


def test_dtypes() -> None:
    for given, spectrum in [("float32", "complex64"), ("float64", "complex128"), ("int32", "complex64"), ("bool", "complex64")]:
        x = tg.ones((4,)).astype(given)
        assert str(tg.fft.fft(x).dtype) == str(tg.fft.rfft(x).dtype) == str(tg.fft.ifftn(x).dtype) == spectrum
    assert tg.fft.irfft(tg.ones((4,), dtype=tg.complex64)).dtype == tg.float32
    assert tg.fft.hfft(tg.ones((4,), dtype=tg.float64)).dtype == tg.float64
    x = RNG.normal(size=300)
    close(tg.fft.fft(tg.Variable(x.astype(np.float32))), np.fft.fft(x), 1e-6)
    close(tg.fft.irfft(tg.fft.rfft(tg.Variable(x.astype(np.float32)))), x, 1e-6)


@pytest.mark.parametrize("name", LINES + GRIDS)
def test_gradients_of_both_orders(name: str) -> None:
    function = getattr(tg.fft, name)
    shape = (5,) if name in LINES else (3, 4)
    options: list[dict[str, Any]] = (
        [{"n": 4, "norm": "ortho"}, {"n": 7}, {}] if name in LINES else [{"s": (2, 6), "axes": (0, 1)}, {}]
    )
    for option in options:
        x = tg.Variable(draw(name, *shape), requires_grad=True)

        def bent(x: tg.Variable, option: dict[str, Any] = option) -> tg.Variable:
            y = function(x, **option)
            return tg.real(y * tg.conj(y)) * tg.real(y)

        assert gradcheck(bent, (x,))
        assert gradgradcheck(bent, (x,))


@pytest.mark.parametrize("name", LINES + GRIDS)
def test_forward_mode_is_the_transform_itself_and_the_gradient_its_adjoint(name: str) -> None:
    function = getattr(tg.fft, name)
    shape = (6,) if name in LINES else (4, 6)
    x, t = tg.Variable(draw(name, *shape)), tg.Variable(draw(name, *shape))
    y, tangent = tg.jvp(function, (x,), (t,))
    np.testing.assert_allclose(tangent.numpy(), function(t).numpy(), atol=1e-13)
    g = draw("rfft" if y.dtype.is_floating_point else "fft", *y.shape)
    _, pull = tg.vjp(function, x)
    (back,) = pull(tg.Variable(g))
    assert back.dtype == x.dtype
    np.testing.assert_allclose(np.vdot(g, tangent.numpy()).real, np.vdot(back.numpy(), t.numpy()).real, rtol=1e-12)


def test_batches_agree_with_loops() -> None:
    x = draw("fft", 3, 4, 5)
    for function in (
        lambda v: tg.fft.fft(v, axis=0),
        lambda v: tg.fft.irfft(v, n=7),
        lambda v: tg.fft.fftn(v, axes=(0, 1)),
        tg.fft.fftshift,
    ):
        got = tg.vmap(function, in_axes=1)(tg.Variable(x)).numpy()
        np.testing.assert_allclose(got, np.stack([function(tg.Variable(x[:, i])).numpy() for i in range(4)]), atol=1e-13)


def test_the_ends_of_a_half_spectrum_have_no_imaginary_part() -> None:
    z = tg.Variable(draw("fft", 4), requires_grad=True)
    tg.sum(tg.fft.irfft(z, n=6) ** 2).backward()
    assert z.grad.numpy()[0].imag == 0.0
    assert z.grad.numpy()[3].imag == 0.0
    moved = z.detach().numpy(copy=True)
    moved[[0, 3]] += 5j
    np.testing.assert_array_equal(tg.fft.irfft(moved, n=6).numpy(), tg.fft.irfft(z.detach(), n=6).numpy())


def test_layouts_and_leaves() -> None:
    x = draw("fft", 6, 8)
    for view in (x.T, x[::-1], x[:, ::2], x[1:4, 3:]):
        close(tg.fft.fft(tg.Variable(x)[:, ::2]), np.fft.fft(x[:, ::2]))
        close(tg.fft.fft(tg.asarray(view), axis=0), np.fft.fft(view, axis=0))
    v = tg.Variable(x, requires_grad=True)
    g = tg.autograd.grad(tg.sum(abs(tg.fft.fft(v.T)) ** 2), v)[0]
    np.testing.assert_allclose(g.numpy(), 2 * 6 * x, atol=1e-11)


def test_bad_input() -> None:
    x = tg.ones((4, 3))
    with pytest.raises(ValueError, match="length of the transform is 0, expected at least 1"):
        tg.fft.fft(x, n=0)
    with pytest.raises(ValueError, match="length of the transform is -2"):
        tg.fft.rfft(x, n=-2)
    with pytest.raises(ValueError, match="at least 1"):
        tg.fft.fft(tg.ones((3, 0)))
    with pytest.raises(ValueError, match="at least 1"):
        tg.fft.irfft(tg.ones((1,)))
    with pytest.raises(tg.AxisError, match="axis 2 is out of bounds"):
        tg.fft.fft(x, axis=2)
    with pytest.raises(tg.AxisError):
        tg.fft.fft(tg.ones(()))
    with pytest.raises(ValueError, match="norm"):
        tg.fft.fft(x, norm="unitary")
    with pytest.raises(tg.DTypeError, match="rfft: dtype complex64 is not supported, expected real numbers"):
        tg.fft.rfft(x.astype(tg.complex64))
    with pytest.raises(ValueError, match="s has 1 lengths for 2 axes"):
        tg.fft.fftn(x, s=(3,), axes=(0, 1))
    with pytest.raises(ValueError, match="no axes"):
        tg.fft.rfftn(x, axes=())
    with pytest.raises(TypeError, match="out= must be an array"):
        tg.fft.fft(x, out="there")
    out = np.zeros((4, 3), complex)
    assert tg.fft.fft(x, out=out) is out
    assert out[:, 0].tolist() == [3.0] * 4
    with pytest.raises(ValueError, match="sample spacing"):
        tg.fft.fftfreq(4, d=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        tg.fft.rfftfreq(0)
    with pytest.raises((MemoryError, ValueError)):
        tg.fft.fft(x, n=1 << 60)


def test_many_lengths_in_many_threads() -> None:
    def one(n: int) -> float:
        x = np.random.default_rng(n).normal(size=(3, n))
        return float(np.abs(tg.fft.rfft(tg.Variable(x)).numpy() - np.fft.rfft(x)).max())

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(one, list(range(1, 200)) * 3)) < 1e-12


def test_the_namespace_has_the_names_of_the_standard() -> None:
    standard = [
        "fft",
        "ifft",
        "fftn",
        "ifftn",
        "rfft",
        "irfft",
        "rfftn",
        "irfftn",
        "hfft",
        "ihfft",
        "fftfreq",
        "rfftfreq",
        "fftshift",
        "ifftshift",
    ]
    assert set(standard) <= set(tg.fft.__all__)
    theirs = {name for name in dir(np.fft) if callable(getattr(np.fft, name)) and not name.startswith("_")}
    assert theirs - {"test"} <= set(tg.fft.__all__)
    assert "fft" in tg.__array_namespace_info__().capabilities()["extensions"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_whole_plans() -> None:
    stop = threading.Event()

    def busy(seed: int) -> None:
        lengths = itertools.cycle(range(seed, seed + 150))
        while not stop.is_set():
            tg.fft.fft(tg.ones(next(lengths)))

    threads = [threading.Thread(target=busy, args=(1 + 7 * i,)) for i in range(3)]
    for t in threads:
        t.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            for n in range(10):
                child = os.fork()
                if child == 0:
                    right = all(float(tg.fft.rfft(tg.ones(k)).real[0]) == k for k in range(1, 40 + n))
                    os._exit(0 if right else 1)
                assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for t in threads:
            t.join()


@pytest.mark.parametrize("name", ["hfft2", "hfftn", "ihfft2", "ihfftn"])
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
def test_hermitian_transforms_of_several_axes(name: str, norm: str | None) -> None:
    scipy_fft = pytest.importorskip("scipy.fft")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4))
    if name[0] == "h":
        x = x + 1j * rng.normal(size=x.shape)
    ours, theirs = getattr(tg.fft, name), getattr(scipy_fft, name)
    assert np.allclose(ours(tg.asarray(x), norm=norm).numpy(), theirs(x, norm=norm))
    assert np.allclose(ours(tg.asarray(x), s=(4, 5), dim=(0, 2), norm=norm).numpy(), theirs(x, s=(4, 5), axes=(0, 2), norm=norm))
    assert gradcheck(lambda v: ours(v, norm=norm), (tg.asarray(x).requires_grad_(True),))
    with pytest.raises(ValueError, match=f"{name[:-1]}n: norm is 'none', expected"):
        ours(x, norm="none")
    with pytest.raises(TypeError, match="one argument"):
        tg.fft.hfftn(x, axes=(0, 1), dim=(0, 1))
