"""Rare arguments of functions with NumPy's names: infinities, complex NaN, 0-d arrays along an axis, small integers, options."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg

INF, NAN = np.inf, np.nan


def same(got: tg.Variable, want: object) -> None:
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.numpy().dtype == want.dtype
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "prod",
        "mean",
        "std",
        "var",
        "max",
        "min",
        "all",
        "any",
        "argmax",
        "argmin",
        "median",
        "nansum",
        "nanmean",
        "nanmax",
        "ptp",
    ],
)
def test_a_number_can_be_reduced_along_its_axis(name: str) -> None:
    for axis in (0, -1):
        for x in (2.5, 0.0):
            # NumPy does it for some of them only.
            same(getattr(tg, name)(tg.asarray(np.array(x)), axis=axis), getattr(np, name)(np.array([x]), axis=axis))
    x = tg.Variable(3.0, dtype="float64", requires_grad=True)
    assert tg.autograd.grad(tg.sum(x, axis=0, keepdims=True), x)[0].item() == 1.0
    for axis in (1, -2):
        with pytest.raises(tg.AxisError, match="out of bounds"):
            getattr(tg, name)(x.detach(), axis=axis)


def test_quantiles_of_infinities() -> None:
    x = np.array([1.0, INF, INF, -INF, 2.0, 3.0])
    got = tg.quantile(tg.asarray(x), [0.0, 0.2, 0.4, 0.8, 0.9, 1.0])
    assert got.tolist() == [-INF, 1.0, 2.0, INF, INF, INF]
    assert tg.percentile(tg.asarray(x), 100).item() == INF
    rows = np.array([[NAN, INF], [NAN, -INF], [1.0, NAN]])
    assert tg.nanmedian(tg.asarray(rows), axis=1).tolist() == [INF, -INF, 1.0]
    # The derivative with respect to the probability is taken at an element.
    assert tg.grad(lambda q: tg.quantile(tg.asarray([1.0, 2.0, 4.0]), q))(tg.Variable(0.5)).item() == 4.0


def test_complex_nan_is_left_out() -> None:
    z = np.array([1 + 1j, complex(NAN, 2.0), 2 - 1j, complex(0.0, NAN)])
    v = tg.asarray(z)
    same(tg.nansum(v), np.nansum(z))
    same(tg.nanmean(v), np.nanmean(z))
    same(tg.nanprod(v), np.nanprod(z))
    same(tg.nancumsum(v), np.nancumsum(z))
    special = np.array([complex(NAN, 2.0), complex(INF, -INF), 1 - 2j])
    same(tg.nan_to_num(tg.asarray(special)), np.nan_to_num(special))
    same(
        tg.nan_to_num(tg.asarray(special), nan=3.0, posinf=4.0, neginf=5.0),
        np.nan_to_num(special, nan=3.0, posinf=4.0, neginf=5.0),
    )
    (gradient,) = tg.autograd.grad(tg.sum(tg.real(tg.nansum(v.requires_grad_(True)))), v)
    assert gradient.tolist() == [1, 0, 1, 0]


def test_zero_to_a_complex_power() -> None:
    for b in (1 + 1j, 0.5 - 2j, 2 + 0j, 0j):
        same(tg.power(tg.asarray(np.array(0j)), tg.asarray(np.array(b))), np.power(0j, b))
    assert np.isnan(tg.power(tg.asarray(0j), tg.asarray(-1 + 1j)).item())
    x = tg.asarray(np.array(0j)).requires_grad_(True)
    assert tg.autograd.grad(tg.real(x ** (2 + 1j)), x)[0].item() == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ldexp_of_any_exponent(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, 1.0, 1.0, info.smallest_subnormal, info.max, 3.0, INF, 1.0], dtype=dtype)
    n = np.array([2**62, -(2**62), 10**6, -(10**6), info.maxexp - info.minexp, info.minexp - info.maxexp, -3, -9, info.minexp])
    with np.errstate(all="ignore"):
        want = np.ldexp(x, np.clip(n, -(10**6), 10**6).astype("int32"))
    np.testing.assert_array_equal(tg.ldexp(tg.asarray(x), tg.asarray(n)).numpy(), want)


def test_slopes_beside_an_infinity() -> None:
    x = np.array([1.0, INF, 2.0, 3.0, 5.0])
    with np.errstate(invalid="ignore"):
        same(tg.gradient(tg.asarray(x)), np.gradient(x))
        same(tg.gradient(tg.asarray(x), 0.5, edge_order=2), np.gradient(x, 0.5, edge_order=2))


def test_integers_are_computed_with_in_numpys_dtypes() -> None:
    small = np.array([100, 3], dtype="int8")
    same(tg.polyval([1, 2, 3], tg.asarray(small)), np.polyval([1, 2, 3], small))
    for options in ({"dtype": int}, {"num": 4, "dtype": int}, {"num": 5, "endpoint": False}, {"num": 1}):
        np.testing.assert_allclose(tg.geomspace(1, 1000, **options).numpy(), np.geomspace(1, 1000, **options), rtol=1e-5)
    same(tg.logspace(0, 3, 4, dtype=int), np.logspace(0, 3, 4, dtype=int))
    ends = np.array([1.0, 2.0]), np.array([8.0, 54.0])
    same(tg.geomspace(*map(tg.asarray, ends), 4, axis=1), np.geomspace(*ends, 4, axis=1))
    same(tg.logspace(*map(tg.asarray, (ends[0], ends[0] + 1)), 3), np.logspace(ends[0], ends[0] + 1, 3))
    flags = np.array([[True, False], [False, False]])
    same(tg.max(tg.asarray(flags), axis=1, initial=0), np.max(flags, axis=1, initial=0))
    single = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    for name in ("std", "var"):
        same(getattr(tg, name)(tg.asarray(single), dtype="float64"), getattr(np, name)(single, dtype="float64"))
        same(getattr(np, name)(tg.asarray(single), dtype="float64"), getattr(np, name)(single, dtype="float64"))
    whole, rest = tg.modf(tg.asarray(np.array([3, -2])))[1], tg.modf(tg.asarray(np.array([3, -2])))[0]
    assert whole.tolist() == [3.0, -2.0]
    assert rest.tolist() == [0.0, 0.0]


def test_borders_that_mirror_at_a_point() -> None:
    x = np.random.default_rng(1).normal(size=(4, 3))
    for mode in ("reflect", "symmetric"):
        for width in (1, ((1, 2), (3, 0)), 9):
            want = np.pad(x, width, mode=mode, reflect_type="odd")
            same(tg.pad(tg.asarray(x), width, mode=mode, reflect_type="odd"), want)
            same(np.pad(tg.asarray(x), width, mode=mode, reflect_type="odd"), want)
    assert tg.autograd.gradcheck(
        lambda x: tg.pad(x, 5, mode="reflect", reflect_type="odd"), (tg.asarray(x).clone().requires_grad_(True),)
    )
    with pytest.raises(ValueError, match="reflect_type is 'other'"):
        tg.pad(tg.asarray(x), 1, mode="reflect", reflect_type="other")


def test_ramps_of_integers_and_of_nothing() -> None:
    x = np.array([[0, -3, 2], [3, 127, -128]], dtype="int8")
    for end in (5, -7):
        got = tg.pad(tg.asarray(x), 3, mode="linear_ramp", end_values=end)
        np.testing.assert_array_equal(got.numpy(), np.pad(x, 3, mode="linear_ramp", end_values=end))
    for mode in ("linear_ramp", "edge", "mean"):
        with pytest.raises(ValueError, match="is empty"):
            tg.pad(tg.zeros((0, 3)), 1, mode=mode)


def test_functions_that_turn_complex_outside_of_the_real_domain() -> None:
    x, inside = np.array([-2.0, 0.5, 3.0]), np.array([0.2, 0.5, 0.7])
    for name in ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh"):
        f = getattr(np.emath, name)
        for values in (x, inside):
            got, want = f(tg.asarray(values)), f(values)
            assert got.shape == want.shape
            assert got.numpy().dtype == want.dtype
            np.testing.assert_allclose(np.real(got.numpy()), np.real(want), atol=1e-12)
    same(np.emath.power(tg.asarray(x), 0.5), np.emath.power(x, 0.5))
    same(np.emath.power(tg.asarray(inside), np.array([-1, 2, -2])), np.emath.power(inside, np.array([-1, 2, -2])))
    same(np.emath.logn(2, tg.asarray(inside)), np.emath.logn(2, inside))


def test_values_are_put_into_arrays_of_numpy() -> None:
    target = np.zeros(3)
    np.put(target, [0, 2], tg.asarray(np.array([1.0, 2.0])))
    assert target.tolist() == [1.0, 0.0, 2.0]
    with pytest.raises(tg.GradError, match="cannot carry its graph"):
        np.put(target, [0], tg.Variable([1.0], requires_grad=True))


def test_sliding_windows_record() -> None:
    windows = np.lib.stride_tricks.sliding_window_view
    x = np.arange(24.0).reshape(4, 6)
    for args in (((2, 3),), (3, 1), (2, -2), ((2, 2), (1, 0)), ((4, 6),)):
        same(windows(tg.asarray(x), *args), windows(x, *args))
    v = tg.asarray(x).clone().requires_grad_(True)
    (gradient,) = tg.autograd.grad(tg.sum(windows(v, 3, axis=1)), v)
    assert gradient[0].tolist() == [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]
    with pytest.raises(ValueError, match="larger than axis"):
        windows(v, 9, axis=1)
    with pytest.raises(tg.AxisError):
        windows(v, 2, axis=2)


def test_reversed_gives_rows_from_the_end() -> None:
    x = tg.Variable(np.arange(6.0).reshape(3, 2), requires_grad=True)
    y = x * 2.0
    rows = list(reversed(y))
    assert [row.tolist() for row in rows] == [[8.0, 10.0], [4.0, 6.0], [0.0, 2.0]]
    (rows[0] * tg.Variable([1.0, 3.0])).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0, 0], [2, 6]])
    plain = tg.zeros(2, 2)
    for row in reversed(plain):
        row[:] = 1.0
    assert plain.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(TypeError, match="0-d"):
        reversed(tg.Variable(1.0))


def test_masked_arrays_are_refused_while_they_hide_something() -> None:
    data = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])
    for call in (lambda: tg.asarray(data), lambda: tg.Variable([1.0, 2.0, 3.0]) * data, lambda: tg.concat([tg.ones(3), data])):
        with pytest.raises(TypeError, match=r"masked array hides elements.*filled"):
            call()
    np.testing.assert_array_equal(tg.asarray(np.ma.array([1.0, 2.0])).numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(tg.asarray(data.filled(0.0)).numpy(), [1.0, 0.0, 3.0])


@pytest.mark.parametrize("dtype", [complex, "complex128", np.complex128, np.dtype("complex128"), tg.complex128])
def test_complex_numbers_are_viewed_as_pairs_of_reals(dtype: object) -> None:
    a = np.arange(8.0).reshape(2, 4)
    x = tg.Variable(a, requires_grad=True)
    z = x.view(dtype)
    np.testing.assert_array_equal(z.numpy(), a.view(np.complex128))
    np.testing.assert_array_equal(z.view(float).detach().numpy(), a)
    (z * z).real.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * a * np.array([1, -1, 1, -1]))
    assert x.view("float64") is x or x.view("float64").tolist() == x.tolist()
    for wrong in (np.int64, "float32", tg.complex64):
        with pytest.raises(TypeError, match=r"bits of one dtype as another.*numpy\(\)\.view"):
            x.view(wrong)


def test_options_and_arguments_of_newer_numpy() -> None:
    z = np.array([1 + 1j, -1j, 2.0])
    same(np.angle(tg.asarray(z), deg=True), np.angle(z, deg=True))
    same(np.angle(tg.asarray(z), deg=False), np.angle(z))
    a = np.arange(6.0).reshape(2, 3)
    same(np.pad(tg.asarray(a), {1: (1, 2), 0: 1}), np.pad(a, [(1, 1), (1, 2)]))
    with pytest.raises(tg.AxisError, match="out of range"):
        np.pad(tg.asarray(a), {2: 1})
    v = np.random.default_rng(0).standard_normal(50)
    for bins in ("auto", "sqrt", "fd"):
        counts, edges = np.histogram(tg.asarray(v), bins)
        expected = np.histogram(v, bins)
        same(counts, expected[0])
        same(edges, expected[1])
        same(np.histogram_bin_edges(tg.asarray(v), bins), expected[1])
    same(np.gradient(tg.asarray(v[:4]), [0.1, 0.2, 0.4, 0.7]), np.gradient(v[:4], [0.1, 0.2, 0.4, 0.7]))
    m = np.array([[1.0, 2.0], [-3.0, 0.5]])
    same(np.poly(tg.asarray(m)), np.poly(m))
    same(np.geomspace(tg.asarray(z[0]), z[1], 5), np.geomspace(z[0], z[1], 5))


def test_interpolation_of_complex_values() -> None:
    places, values = np.array([0.0, 1.0, 3.0]), np.array([1 + 2j, -1j, 2.0])
    x = np.array([-1.0, 0.5, 2.0, 4.0])
    for options in ({}, {"left": 5j, "right": -1.0}, {"period": 4.0}):
        same(np.interp(tg.asarray(x), places, tg.asarray(values), **options), np.interp(x, places, values, **options))
    v = tg.Variable(values, requires_grad=True)
    weights = np.array([1 + 1j, 2.0, -1j, 0.5])
    tg.real(tg.sum(tg.interp(x, places, v) * weights)).backward()
    # Each value's weight: the first one holds to the left, the last one to the right.
    want = np.conj([weights[0] + 0.5 * weights[1], 0.5 * weights[1] + 0.5 * weights[2], 0.5 * weights[2] + weights[3]])
    np.testing.assert_allclose(v.grad.numpy(), want, rtol=1e-14)
    with pytest.raises(TypeError, match="real places"):
        tg.interp(values, places, values)


def test_variance_of_complex_numbers_without_nan() -> None:
    z = np.array([[1 + 1j, np.nan, 2.0], [0.5j, 1 - 1j, -1.0]])
    for name in ("nanvar", "nanstd"):
        for axis in (None, 0, 1):
            same(getattr(np, name)(tg.asarray(z), axis=axis), getattr(np, name)(z, axis=axis))


def test_sizes_of_zero_and_one() -> None:
    for name in ("sort", "partition"):
        kth = (0,) if name == "partition" else ()
        assert getattr(np, name)(tg.asarray(np.array(2.5)), *kth).shape == ()
        same(getattr(np, name)(tg.zeros((2, 0), dtype="float64"), *kth), np.zeros((2, 0)))
    assert tg.sort(tg.Variable(1.0), axis=None).shape == (1,)
    for shape in ((0,), (3, 0), (1,), (2, 1)):
        with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
            want = np.cov(np.ones(shape))
        same(np.cov(tg.asarray(np.ones(shape))), want)
    same(np.apply_along_axis(np.sum, 0, tg.asarray(np.ones((0, 3)))), np.zeros(3))
    for got, want in zip(np.meshgrid(tg.asarray(np.ones((2, 1))), [1.0, 2.0]), np.meshgrid(np.ones((2, 1)), [1.0, 2.0])):
        same(got, want)


def test_calls_of_numpys_functions_under_our_names() -> None:
    """A program whose `import numpy as np` became `import tapegrad as np`."""
    a, v = np.arange(12.0).reshape(3, 4), np.linspace(0.0, 1.0, 40) ** 2
    x, y = tg.asarray(a), tg.asarray(v)
    for name in ("sum", "prod", "mean", "std", "var"):
        f, g = getattr(tg, name), getattr(np, name)
        same(f(x, 0, np.float32), g(a, 0, np.float32).astype(np.float32))
        same(f(x, -1, None), g(a, -1, None))
    same(tg.sum(x, -1, None, None, True), np.sum(a, -1, None, None, True))
    same(x.sum(0, np.float64), a.sum(0, np.float64))
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        for got, want in zip(getattr(tg, name)(x, 1.0), getattr(np, name)(a, 1.0)):
            assert got.shape == want.shape
    same(tg.delete(x, slice(0, 2), axis=1), np.delete(a, slice(0, 2), axis=1))
    same(tg.einsum(x, [0, 1], a, [2, 1], [2, 0]), np.einsum(a, [0, 1], a, [2, 1], [2, 0]))
    same(tg.pad(x, {1: (1, 2)}), np.pad(a, [(0, 0), (1, 2)]))
    same(tg.histogram(y, bins="sqrt")[1], np.histogram(v, bins="sqrt")[1])
    same(tg.histogram_bin_edges(y, "fd"), np.histogram_bin_edges(v, "fd"))
    same(tg.angle(1j * x, deg=True), np.angle(1j * a, deg=True))
    for wrong in (lambda: tg.sum(x, 0, "no"), lambda: tg.pad(x, "no"), lambda: tg.delete(x, "no"), lambda: tg.einsum(x)):
        with pytest.raises((TypeError, ValueError)):
            wrong()


def test_dtypes_make_numbers_as_numpys_types_do() -> None:
    assert tg.float32(0.1).dtype == tg.float32
    assert tg.float64(0.1).item() == 0.1
    assert tg.int64(3.7).tolist() == 3
    x = tg.Variable([1.0, 2.0], requires_grad=True)
    tg.sum(tg.float64(x) ** 2).backward()
    assert x.grad.tolist() == [2.0, 4.0]
    with pytest.raises(tg.GradError):
        tg.int64(x)
