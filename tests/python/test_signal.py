"""``tg.signal`` against SciPy: convolutions, filters, spectra; and gradients."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.signal

import tapegrad as tg
from tapegrad import signal
from tapegrad.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 40))
MODES = ("full", "same", "valid")


def leaf(x: Any) -> tg.Variable:
    return tg.asarray(np.asarray(x)).clone().requires_grad_(True)


def close(got: Any, want: Any) -> None:
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve"])
def test_convolutions(name: str, mode: str) -> None:
    f, reference = getattr(signal, name), getattr(scipy.signal, name)
    for a, b in [((9,), (4,)), ((4,), (9,)), ((5,), (5,)), ((6, 5), (3, 2)), ((3, 4, 5), (2, 2, 3)), ((100,), (80,))]:
        x, y = RNG.normal(size=a), RNG.normal(size=b)
        close(f(x, y, mode), reference(x, y, mode))
    z = RNG.normal(size=(7,)) + 1j * RNG.normal(size=(7,))
    for pair in ((z, z[:3]), (z[:3], z), (z, z[:4].real)):
        close(f(*pair, mode), reference(*pair, mode))
    assert gradcheck(lambda x, y: f(x, y, mode), (leaf(RNG.normal(size=(4, 3))), leaf(RNG.normal(size=(2, 2)))))


def test_convolution_along_axes() -> None:
    x, y = RNG.normal(size=(3, 9)), RNG.normal(size=(1, 4))
    for mode in MODES:
        close(signal.fftconvolve(x, y, mode, axes=1), scipy.signal.fftconvolve(x, y, mode, axes=1))
    for n, m, mode in itertools.product((3, 6), (2, 5), MODES):
        close(signal.correlation_lags(n, m, mode), scipy.signal.correlation_lags(n, m, mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_images(name: str, mode: str) -> None:
    f, reference = getattr(signal, name), getattr(scipy.signal, name)
    image = RNG.normal(size=(7, 6))
    for shape in ((3, 3), (2, 3), (4, 2), (1, 1)):
        kernel = RNG.normal(size=shape)
        for boundary, fill in (("fill", 0.0), ("fill", 1.5), ("wrap", 0.0), ("symm", 0.0)):
            close(f(image, kernel, mode, boundary, fill), reference(image, kernel, mode, boundary, fill))
    if mode == "valid":
        close(f(kernel, image, mode), reference(kernel, image, mode))
    assert gradcheck(lambda x, k: f(x, k, mode, "symm"), (leaf(image[:4, :3]), leaf(RNG.normal(size=(3, 2)))))


@pytest.mark.parametrize("order", [1, 3])
def test_recursive_filters(order: int) -> None:
    b, a = scipy.signal.butter(order, 0.3)
    long = RNG.normal(size=(2, 300))
    for pair in ((b, a), (b, [2.0]), ([1.5], a), (b[:1], a)):
        close(signal.lfilter(*pair, long), scipy.signal.lfilter(*pair, long))
        close(signal.lfilter(*pair, long, axis=0), scipy.signal.lfilter(*pair, long, axis=0))
    for n in (1, 2, 40, 300):
        zi = RNG.normal(size=(2, order))
        got, want = signal.lfilter(b, a, long[:, :n], zi=zi), scipy.signal.lfilter(b, a, long[:, :n], zi=zi)
        close(got[0], want[0])
        close(got[1], want[1])
    close(signal.lfilter_zi(b, a), scipy.signal.lfilter_zi(b, a))
    for padtype in ("odd", "even", "constant", None):
        close(signal.filtfilt(b, a, X, padtype=padtype), scipy.signal.filtfilt(b, a, X, padtype=padtype))
    sos = scipy.signal.butter(order, 0.3, output="sos")
    close(signal.sosfilt(sos, X), scipy.signal.sosfilt(sos, X))
    leaves = (leaf(b), leaf(a), leaf(X[0, :8]))
    assert gradcheck(signal.lfilter, leaves)
    assert gradcheck(lambda b, a, x: signal.filtfilt(b, a, x, padlen=4), leaves, rtol=1e-4)
    assert gradgradcheck(signal.lfilter, leaves, rtol=1e-3)
    for whole, count in ((False, 16), (True, 16), (False, np.array([0.1, 0.5]))):
        for got, want in zip(signal.freqz(b, a, count, whole), scipy.signal.freqz(b, a, count, whole), strict=True):
            close(got, want)
    close(signal.freqz(b, worN=8, fs=100.0)[0], scipy.signal.freqz(b, worN=8, fs=100.0)[0])


def test_trends_smoothing_and_resampling() -> None:
    for options in ({}, {"type": "constant"}, {"bp": [10, 25]}, {"axis": 0}):
        close(signal.detrend(X, **options), scipy.signal.detrend(X, **options))
    for mode, window, order, deriv in itertools.product(
        ("interp", "nearest", "mirror", "wrap", "constant"), (5, 9), (2, 3), (0, 1, 2)
    ):
        options = {"mode": mode, "deriv": deriv, "delta": 0.5}
        close(signal.savgol_filter(X, window, order, **options), scipy.signal.savgol_filter(X, window, order, **options))
    close(signal.savgol_filter(X, 6, 2, mode="nearest"), scipy.signal.savgol_filter(X, 6, 2, mode="nearest"))
    close(signal.medfilt(X, (1, 5)), scipy.signal.medfilt(X, (1, 5)))
    close(signal.medfilt(X.reshape(8, 10)), scipy.signal.medfilt(X.reshape(8, 10)))
    for n, num in itertools.product((8, 9), (4, 5, 8, 9, 16, 17)):
        close(signal.resample(X[:, :n], num, axis=1), scipy.signal.resample(X[:, :n], num, axis=1))
        z = X[0, :n] + 1j * X[1, :n]
        close(signal.resample(z, num), scipy.signal.resample(z, num))
    for n in (None, 30, 64):
        close(signal.hilbert(X, n), scipy.signal.hilbert(X, n))
    close(signal.hilbert(X, axis=0), scipy.signal.hilbert(X, axis=0))
    x = leaf(X[:, :9])
    for f in (
        lambda x: signal.savgol_filter(x, 5, 2),
        lambda x: signal.detrend(x),
        lambda x: tg.abs(signal.hilbert(x)),
        lambda x: signal.resample(x, 5, axis=1),
        lambda x: signal.medfilt(x, (1, 3)),
    ):
        assert gradcheck(f, (x,))


def test_power_spectra() -> None:
    z = X + 1j * X[::-1]
    for options in (
        {"nperseg": 16},
        {"nperseg": 15, "noverlap": 4, "scaling": "spectrum"},
        {"nperseg": 16, "nfft": 32, "detrend": "linear", "window": "hamming"},
        {"nperseg": 16, "detrend": False, "return_onesided": False, "window": ("kaiser", 3.0)},
        {"nperseg": 10, "average": "median", "fs": 20.0},
        {"window": np.hanning(12)},
        {},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for x in (X, X[0]):
                for got, want in zip(signal.welch(x, **options), scipy.signal.welch(x, **options), strict=True):
                    close(got, want)
    for got, want in zip(signal.csd(X, X[::-1], nperseg=16), scipy.signal.csd(X, X[::-1], nperseg=16), strict=True):
        close(got, want)
    for got, want in zip(
        signal.welch(z, nperseg=8, return_onesided=False), scipy.signal.welch(z, nperseg=8, return_onesided=False), strict=True
    ):
        close(got, want)
    for options in ({}, {"nfft": 64}, {"nfft": 30}, {"window": "hann", "scaling": "spectrum", "axis": 0}):
        for got, want in zip(signal.periodogram(X, **options), scipy.signal.periodogram(X, **options), strict=True):
            close(got, want)
    for axis, x in ((-1, X), (0, X.T)):
        for got, want in zip(
            signal.spectrogram(x, nperseg=8, axis=axis), scipy.signal.spectrogram(x, nperseg=8, axis=axis), strict=True
        ):
            close(got, want)
    assert gradcheck(lambda x: signal.welch(x, nperseg=8)[1], (leaf(X[0, :20]),))


def test_short_time_transform_and_back() -> None:
    for options in ({"nperseg": 8}, {"nperseg": 9, "noverlap": 6}, {"nperseg": 8, "nfft": 16, "window": "hamming"}):
        ours, theirs = signal.stft(X, **options), scipy.signal.stft(X, **options)
        for got, want in zip(ours, theirs, strict=True):
            close(got, want)
        close(signal.istft(ours[2], **options)[1], scipy.signal.istft(theirs[2], **options)[1])
        for got, want in zip(signal.istft(ours[2][0], **options), scipy.signal.istft(theirs[2][0], **options), strict=True):
            close(got, want)
    for got, want in zip(signal.stft(X.T, nperseg=8, axis=0), scipy.signal.stft(X.T, nperseg=8, axis=0), strict=True):
        close(got, want)
    for options in ({"boundary": None}, {"padded": False}, {"return_onesided": False}):
        for got, want in zip(signal.stft(X, nperseg=8, **options), scipy.signal.stft(X, nperseg=8, **options), strict=True):
            close(got, want)
    assert gradcheck(lambda x: signal.istft(signal.stft(x, nperseg=4)[2] ** 2)[1], (leaf(X[0, :12]),))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(tg.ShapeError, match="1 and 2 axes"):
        signal.convolve(np.ones(3), np.ones((2, 2)))
    with pytest.raises(ValueError, match="mode is 'all'"):
        signal.convolve(np.ones(3), np.ones(3), "all")
    with pytest.raises(ValueError, match="at least as large"):
        signal.convolve(np.ones((3, 1)), np.ones((1, 3)), "valid")
    with pytest.raises(tg.ShapeError, match="zi has 2 entries"):
        signal.lfilter([1.0], [1.0, 0.5], np.ones(4), zi=np.ones(2))
    with pytest.raises(ValueError, match="more than padlen"):
        signal.filtfilt([1.0], [1.0, 0.5], np.ones(4))
    with pytest.raises(tg.ShapeError, match="six coefficients"):
        signal.sosfilt(np.ones((2, 5)), np.ones(4))
    with pytest.raises(ValueError, match="do not fit"):
        signal.welch(np.ones(4), window=np.ones(8))
    with pytest.raises(tg.DTypeError, match="real signal"):
        signal.hilbert(np.ones(4) + 1j)


@pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
def test_sections_forward_and_backward(padtype):
    designs = [(scipy.signal.butter, (4, 0.2)), (scipy.signal.butter, (3, 0.3)), (scipy.signal.ellip, (5, 1, 40, 0.2))]
    for design, numbers in designs:
        sos = design(*numbers, output="sos")
        x = np.random.default_rng(0).normal(size=(2, 60))
        for options in ({"padtype": padtype}, {"padtype": padtype, "axis": 0, "padlen": None if padtype is None else 5}):
            values = x.T if options.get("axis") == 0 else x
            got = tg.signal.sosfiltfilt(sos, values, **options)
            np.testing.assert_allclose(got.numpy(), scipy.signal.sosfiltfilt(sos, values, **options), atol=1e-10)
    leaves = tuple(tg.asarray(v).clone().requires_grad_(True) for v in (sos, x[0, :40]))
    # A coefficient that is zero counts in the standard length of the ends.
    length = None if padtype is None else 7
    assert gradcheck(lambda s, x: signal.sosfiltfilt(s, x, padtype=padtype, padlen=length), leaves, rtol=1e-3)
    with pytest.raises(ValueError, match="sosfiltfilt: padtype"):
        tg.signal.sosfiltfilt(sos, x, padtype="other")
    with pytest.raises(tg.ShapeError, match="sosfiltfilt: sos has shape"):
        tg.signal.sosfiltfilt(sos[:, :5], x)
