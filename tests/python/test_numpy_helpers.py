"""NumPy's helpers around arrays, and windows of signals: values are NumPy's, gradients flow where arrays are joined."""

from __future__ import annotations

import io

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck


def test_joined_by_slices() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.r_[x, 3.0, 0:3]
    np.testing.assert_array_equal(y.detach().numpy(), np.r_[np.array([1.0, 2.0]), 3.0, 0:3])
    (tg.c_[x, x * x] * tg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad.tolist() == [1 + 2 * 2, 3 + 4 * 2 * 2]
    a, b = np.arange(3.0), np.ones((3, 2))
    for key in ["0,2", "-1", "0,3,1", "1,2,0", "0,3"]:
        np.testing.assert_array_equal(tg.r_[key, a, a].numpy(), np.r_[key, a, a], err_msg=key)
    np.testing.assert_array_equal(tg.c_[b, a].numpy(), np.c_[b, a])
    np.testing.assert_array_equal(tg.c_[0:3, 1:4].numpy(), np.c_[0:3, 1:4])
    np.testing.assert_array_equal(tg.c_[1, 2].numpy(), np.c_[1, 2])
    with pytest.raises(ValueError, match="r_: the text is 'r', expected 'axis'"):
        tg.r_["r", a]
    with pytest.raises(ValueError, match="r_: there is nothing to join"):
        tg.r_["0"]


def test_grids() -> None:
    np.testing.assert_array_equal(tg.mgrid[0:2, 1:4].numpy(), np.mgrid[0:2, 1:4])
    np.testing.assert_allclose(tg.mgrid[0:1:5j].numpy(), np.mgrid[0:1:5j])
    assert tg.mgrid[0:1:5j].dtype == tg.float32
    for ours, numpys in zip(tg.ogrid[0:2, 0:1:3j], np.ogrid[0:2, 0:1:3j], strict=True):
        np.testing.assert_allclose(ours.numpy(), numpys)


def test_kinds_of_dtypes() -> None:
    assert tg.issubdtype(tg.ones(2).dtype, tg.floating)
    assert tg.issubdtype(tg.int8, np.signedinteger)
    assert not tg.issubdtype(tg.float32, tg.float64)
    assert isinstance(tg.ones(2), tg.ndarray)
    for name in ["bool_", "int_", "intp", "intc", "uint", "uintp", "uintc", "single", "csingle", "ubyte", "ushort", "longlong"]:
        assert getattr(tg, name) == np.dtype(getattr(np, name)), name


def test_iterators_and_files() -> None:
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    sum(v * (i + 2 * j) for (i, j), v in tg.ndenumerate(x)).backward()
    assert x.grad.tolist() == [[0.0, 2.0]]
    assert tg.fromiter(iter([1, 2, 3]), tg.int64, count=2).tolist() == [1, 2]
    assert tg.frombuffer(np.arange(4.0).tobytes(), offset=8).tolist() == [1.0, 2.0, 3.0]
    file = io.StringIO()
    tg.savetxt(file, x, fmt="%.3f", delimiter=",")
    assert file.getvalue() == "1.000,2.000\n"
    read = tg.loadtxt(io.StringIO(file.getvalue()), delimiter=",")
    assert (read.tolist(), read.dtype) == ([1.0, 2.0], tg.float32)
    assert tg.genfromtxt(io.StringIO("1 2\n3 4"), dtype=int).tolist() == [[1, 2], [3, 4]]


def spectrum(x: np.ndarray, n: int, hop: int, window: np.ndarray) -> np.ndarray:
    x = np.pad(x, n // 2, mode="reflect")
    return np.stack([np.fft.rfft(x[at : at + n] * window) for at in range(0, len(x) - n + 1, hop)], axis=1)


@pytest.mark.parametrize(("n", "hop"), [(8, 2), (9, 3), (16, 5)])
def test_short_time_spectra(n: int, hop: int) -> None:
    x = np.random.default_rng(0).normal(size=40)
    window = np.hanning(n) + 0.1
    z = tg.stft(tg.Variable(x), n, hop, window=window)
    np.testing.assert_allclose(z.numpy(), spectrum(x, n, hop, window), atol=1e-12)
    back = tg.istft(z, n, hop, window=window, length=40)
    covered = hop * (z.shape[-1] - 1)
    np.testing.assert_allclose(back.numpy()[:covered], x[:covered], atol=1e-12)
    both = tg.stft(tg.Variable(np.stack([x, -x])), n, hop, window=window, normalized=True)
    np.testing.assert_allclose(both.numpy()[1], -z.numpy() / np.sqrt(n), atol=1e-12)
    whole = tg.stft(tg.Variable(x), n, hop, window=window, onesided=False)
    np.testing.assert_allclose(whole.numpy()[: n // 2 + 1], z.numpy(), atol=1e-12)
    np.testing.assert_allclose(tg.istft(whole, n, hop, window=window, onesided=False).numpy()[:covered], x[:covered], atol=1e-12)


def test_gradients_of_spectra() -> None:
    x = tg.Variable(np.random.default_rng(1).normal(size=12), requires_grad=True)
    window = tg.Variable(np.hanning(4) + 0.2, requires_grad=True)
    gradcheck(lambda x, w: tg.view_as_real(tg.stft(x, 4, 2, window=w)), (x, window))
    gradcheck(lambda x, w: tg.istft(tg.stft(x, 4, 2, window=w) * 2.0, 4, 2, window=w), (x, window))


def test_mistakes_with_spectra() -> None:
    x = tg.ones(8)
    with pytest.raises(ValueError, match="stft: n_fft=4, hop_length=1 and win_length=5 do not fit"):
        tg.stft(x, 4, win_length=5)
    with pytest.raises(ValueError, match="stft: the result is complex"):
        tg.stft(x, 4, return_complex=False)
    with pytest.raises(tg.ShapeError, match="the window has shape \\(3,\\), expected \\(4,\\)"):
        tg.stft(x, 4, window=tg.ones(3))
    with pytest.raises(ValueError, match="without weight"):
        tg.istft(tg.stft(x, 4, 4, window=tg.hann_window(4), center=False), 4, 4, window=tg.hann_window(4), center=False)
    with pytest.raises(tg.ShapeError, match="expected 3 frequencies for n_fft=4, got 2"):
        tg.istft(tg.stft(x, 4)[:2], 4)
    with pytest.raises(ValueError, match="a complex signal needs all frequencies"):
        tg.istft(tg.stft(x, 4), 4, return_complex=True)


def test_spectra_of_complex_signals() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=24) + 1j * rng.normal(size=24)
    window = np.hanning(8) + 0.1
    z = tg.stft(tg.Variable(x), 8, 2, window=window)
    assert z.shape[0] == 8
    np.testing.assert_allclose(tg.istft(z, 8, 2, window=window, return_complex=True).numpy(), x, atol=1e-12)
    # The number of frequencies of a real signal determines its length.
    whole = tg.stft(tg.Variable(x.real), 8, 2, window=window, onesided=False)
    np.testing.assert_allclose(tg.istft(whole, 8, 2, window=window).numpy(), x.real, atol=1e-12)


def test_places_by_strides() -> None:
    x = tg.arange(6.0).requires_grad_()
    y = tg.as_strided(x, (2, 3), (2, 1), 1)
    expected = np.lib.stride_tricks.as_strided(np.arange(6.0)[1:], (2, 3), (16, 8))
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 2, 1, 1]
    with pytest.raises(IndexError, match="out of bounds"):
        tg.as_strided(x, (4,), (2,))
    with pytest.raises(tg.ShapeError, match="as_strided: size has 1 numbers and stride 2"):
        tg.as_strided(x, (4,), (2, 1))


def test_draws_in_place() -> None:
    tg.manual_seed(3)
    x = tg.empty(20_000, dtype=tg.float64)
    assert tg.median(x.cauchy_(1.0, 2.0)).item() == pytest.approx(1.0, abs=0.1)
    assert tg.median(x.log_normal_(0.5, 1.0)).item() == pytest.approx(np.exp(0.5), abs=0.1)
    trials = x.geometric_(0.25)
    assert trials.min().item() == 1.0
    assert trials.mean().item() == pytest.approx(4.0, abs=0.15)
    for call in (lambda: x.cauchy_(0.0, 0.0), lambda: x.log_normal_(0.0, -1.0), lambda: x.geometric_(1.0)):
        with pytest.raises(ValueError, match="expected a number"):
            call()


def test_small_additions() -> None:
    np.testing.assert_array_equal(tg.diff(tg.ones(3), n=0, prepend=2.0).numpy(), np.diff(np.ones(3), n=0, prepend=2.0))
    assert tg.softmax(tg.tensor([1, 2]), dim=0, dtype=tg.float64).dtype == tg.float64
    assert tg.tensor([1.0, 2.0]).log_softmax(-1, dtype=tg.float64).dtype == tg.float64
    a = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 5.0]])
    np.testing.assert_allclose(tg.cov(tg.Variable(a), correction=0).numpy(), np.cov(a, ddof=0))
    x = tg.logspace(0, 1, 3, device="cpu", requires_grad=True)
    assert x.requires_grad
