"""Array functions against NumPy, on the same arguments: values, shapes, kinds of dtype, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(7)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=(3, 4))
V = RNG.normal(size=5)
W = RNG.normal(size=3)
HOLES = np.array([[1.0, NAN, 3.0, -2.0], [NAN, 5.0, 0.0, 4.0], [2.0, 7.0, NAN, 1.0]])
TIES = np.array([2.0, 1.0, 2.0, NAN, 1.0, -0.0, 0.0, NAN])
INTS = np.array([3, 1, 2, 3, 3, 0])
EMPTY = np.zeros((0, 3))
EDGES = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-320, 3e-5, 0.65, 0.67, 2.4, 2.5, 1e300])


def plain(value: Any) -> Any:
    """Arrays of NumPy of a result, whatever it is made of."""
    if isinstance(value, tg.Variable):
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return np.asarray(value)


def same(got: Any, want: Any, exact: bool = False) -> None:
    got, want = plain(got), plain(want)
    if isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w, exact)
        return
    assert got.shape == want.shape
    assert got.dtype.kind.replace("u", "i") == want.dtype.kind.replace("u", "i")
    if exact:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


class Ours:
    """The functions of tapegrad on arrays of NumPy."""

    def __getattr__(self, name: str) -> Any:
        f = getattr(tg, name)

        def convert(x: Any) -> Any:
            return tg.Variable(x) if isinstance(x, np.ndarray) else [convert(v) for v in x] if isinstance(x, list) else x

        return lambda *args, **options: f(*map(convert, args), **{k: convert(v) for k, v in options.items()})


CALLS: dict[str, Any] = {
    **{
        f"{n} at edges": (lambda m, n=n: getattr(m, n)(EDGES))
        for n in ["arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "cbrt", "deg2rad", "rad2deg"]
    },
    "exp2": lambda m: m.exp2(np.array([0.0, 3.0, -1.0, 0.5, INF, -INF, NAN])),
    "sinc": lambda m: m.sinc(np.array([0.0, 0.1, 0.5, 1.0, 2.3, -0.2])),
    "atan2 at edges": lambda m: m.arctan2(*np.meshgrid(EDGES[:7], EDGES[:7])),
    "copysign": lambda m: m.copysign(np.array([1.0, -2.0, 0.0]), np.array([-0.0, 0.0, -1.0])),
    "fmax": lambda m: m.fmax(*np.meshgrid(EDGES[:7], EDGES[:7])),
    "fmin": lambda m: m.fmin(*np.meshgrid(EDGES[:7], EDGES[:7])),
    "heaviside": lambda m: m.heaviside(np.array([-1.0, 0.0, 2.0, NAN]), 0.5),
    "nextafter": lambda m: m.nextafter(EDGES, np.roll(EDGES, 1)),
    "float_power": lambda m: m.float_power(np.array([2, 3]), np.array([-1, 2])),
    "ldexp": lambda m: m.ldexp(np.array([1.0, 3.0, 1e-300]), np.array([4, -1, 1030])),
    "nan_to_num": lambda m: m.nan_to_num(EDGES),
    "nan_to_num values": lambda m: m.nan_to_num(EDGES, nan=1.0, posinf=2.0, neginf=3.0),
    "isclose": lambda m: m.isclose(EDGES, np.roll(EDGES, 1)),
    "isclose nan": lambda m: m.isclose(EDGES, EDGES, equal_nan=True),
    "sort": lambda m: m.sort(TIES),
    "sort axis 0": lambda m: m.sort(A, axis=0),
    "sort flat": lambda m: m.sort(A, axis=None),
    "sort ints": lambda m: m.sort(INTS),
    "sort bools": lambda m: m.sort(A > 0, axis=1),
    "sort nothing": lambda m: m.sort(EMPTY, axis=0),
    "argsort": lambda m: m.argsort(TIES, stable=True),
    "argsort axis": lambda m: m.argsort(A, axis=0),
    "searchsorted": lambda m: m.searchsorted(np.sort(V), A),
    "searchsorted right": lambda m: m.searchsorted(np.array([1, 2, 2, 3]), np.array([2, 0, 9]), side="right"),
    "searchsorted sorter": lambda m: m.searchsorted(V, 0.1, sorter=np.argsort(V)),
    "digitize": lambda m: m.digitize(V, np.array([-1.0, 0.0, 0.5])),
    "digitize down": lambda m: m.digitize(V, np.array([0.5, 0.0, -1.0]), right=True),
    "unique": lambda m: m.unique(TIES),
    "unique all": lambda m: m.unique(INTS.reshape(2, 3), return_index=True, return_inverse=True, return_counts=True),
    "unique rows": lambda m: m.unique(np.array([[1, 2], [0, 1], [1, 2]]), axis=0, return_inverse=True),
    "isin": lambda m: m.isin(INTS, np.array([3, 0])),
    "isin inverted": lambda m: m.isin(INTS, np.array([3, 0]), invert=True),
    "union1d": lambda m: m.union1d(INTS, np.array([9, 3])),
    "intersect1d": lambda m: m.intersect1d(INTS, np.array([9, 3])),
    "setdiff1d": lambda m: m.setdiff1d(INTS, np.array([9, 3])),
    "setxor1d": lambda m: m.setxor1d(INTS, np.array([9, 3])),
    "nonzero": lambda m: m.nonzero(A > 0),
    "argwhere": lambda m: m.argwhere(A > 0),
    "flatnonzero": lambda m: m.flatnonzero(A > 0),
    "cumsum": lambda m: m.cumsum(A),
    "cumsum axis": lambda m: m.cumsum(A, axis=0),
    "cumsum ints": lambda m: m.cumsum(INTS.astype("int32")),
    "cumsum bools": lambda m: m.cumsum(A > 0, axis=1),
    "cumprod": lambda m: m.cumprod(A, axis=1),
    "cumulative_sum": lambda m: m.cumulative_sum(A, axis=1, include_initial=True),
    "cumulative_prod": lambda m: m.cumulative_prod(V, include_initial=True),
    "diff": lambda m: m.diff(A, n=2, axis=0),
    "diff edges": lambda m: m.diff(A, axis=0, prepend=B, append=0.0),
    "diff bools": lambda m: m.diff(A > 0),
    "median": lambda m: m.median(A),
    "median axis": lambda m: m.median(A, axis=1),
    "median axes": lambda m: m.median(A.reshape(3, 2, 2), axis=(0, 2), keepdims=True),
    "median nan": lambda m: m.median(HOLES, axis=1),
    "percentile": lambda m: m.percentile(A, np.array([10.0, 50.0]), axis=0),
    "quantile array": lambda m: m.quantile(A, np.array([[0.1, 0.5], [0.7, 1.0]]), axis=1, keepdims=True),
    **{
        f"quantile {k}": (lambda m, k=k: m.quantile(V, np.linspace(0, 1, 11), method=k))
        for k in [
            "linear",
            "lower",
            "higher",
            "midpoint",
            "nearest",
            "inverted_cdf",
            "averaged_inverted_cdf",
            "closest_observation",
            "interpolated_inverted_cdf",
            "hazen",
            "weibull",
            "median_unbiased",
            "normal_unbiased",
        ]
    },
    "nanquantile": lambda m: m.nanquantile(HOLES, 0.3, axis=1),
    "nanpercentile": lambda m: m.nanpercentile(HOLES, np.array([30.0, 70.0])),
    **{
        f"{n} of holes": (lambda m, n=n: getattr(m, n)(HOLES, axis=1))
        for n in [
            "nansum",
            "nanprod",
            "nanmean",
            "nanvar",
            "nanstd",
            "nanmax",
            "nanmin",
            "nanmedian",
            "nanargmax",
            "nanargmin",
            "nancumsum",
            "nancumprod",
        ]
    },
    "nanvar ddof": lambda m: m.nanvar(HOLES, ddof=1),
    "ptp": lambda m: m.ptp(A, axis=0),
    "average": lambda m: m.average(A, axis=1, weights=np.array([1.0, 2.0, 0.5, 3.0]), returned=True),
    "cov": lambda m: m.cov(A),
    "cov ddof": lambda m: m.cov(A, rowvar=False, ddof=0),
    "cov two": lambda m: m.cov(A[0], A[1], bias=True),
    "corrcoef": lambda m: m.corrcoef(A),
    "bincount": lambda m: m.bincount(INTS, minlength=6),
    "bincount weights": lambda m: m.bincount(INTS, weights=np.arange(6.0)),
    "histogram": lambda m: m.histogram(V, bins=4),
    "histogram edges": lambda m: m.histogram(V, bins=np.array([-1.0, 0.0, 0.2, 1.0]), density=True),
    "histogram weights": lambda m: m.histogram(V, bins=3, range=(-1.0, 1.0), weights=np.arange(5.0)),
    "tensordot": lambda m: m.tensordot(A, B.T, axes=1),
    "tensordot axes": lambda m: m.tensordot(A.reshape(3, 2, 2), B.reshape(2, 2, 3), axes=([1, 0], [1, 2])),
    "tensordot outer": lambda m: m.tensordot(W, V, axes=0),
    "kron": lambda m: m.kron(A, W.reshape(3, 1)),
    "cross": lambda m: m.cross(RNG_3[0], RNG_3[1]),
    "cross axis": lambda m: m.cross(A, B, axis=0),
    "trace": lambda m: m.trace(A, offset=1),
    "vander": lambda m: m.vander(W, 4),
    "vander up": lambda m: m.vander(INTS, 3, increasing=True),
    "vdot": lambda m: m.vdot(A, B),
    **{f"convolve {k}": (lambda m, k=k: m.convolve(V, W, k)) for k in ("full", "same", "valid")},
    **{f"convolve long {k}": (lambda m, k=k: m.convolve(W[:2], V, k)) for k in ("full", "same", "valid")},
    **{f"correlate {k}": (lambda m, k=k: m.correlate(V, W, k)) for k in ("full", "same", "valid")},
    **{f"correlate even {k}": (lambda m, k=k: m.correlate(V, A[0], k)) for k in ("full", "same", "valid")},
    **{f"correlate long {k}": (lambda m, k=k: m.correlate(A[0], V, k)) for k in ("full", "same", "valid")},
    **{
        f"einsum {s}": (lambda m, s=s, x=x: m.einsum(s, *x))
        for s, x in [
            ("ij,kj->ik", (A, B)),
            ("ij,ij", (A, B)),
            ("ij,ij->j", (A, B)),
            ("ij->j", (A,)),
            ("i,j,k->kji", (W, V, W)),
            ("ij,jk,kl", (A, B.T, A)),
            ("...j,j->...", (A.reshape(3, 1, 4), A[0])),
            ("ii->i", (A[:, :3],)),
            ("ij,ij->ij", (INTS.reshape(2, 3), INTS.reshape(2, 3))),
            ("i,ij", (INTS[:2], INTS.reshape(2, 3))),
        ]
    },
    **{
        f"pad {k}": (lambda m, k=k: m.pad(A, ((1, 2), (5, 0)), mode=k))
        for k in ["constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"]
    },
    "pad values": lambda m: m.pad(V, (1, 2), constant_values=(7.0, 8.0)),
    "pad one": lambda m: m.pad(INTS, 2, mode="reflect"),
    "pad length": lambda m: m.pad(V, 2, mode="mean", stat_length=2),
    "interp": lambda m: m.interp(A, np.sort(V), np.arange(5.0)),
    "interp outside": lambda m: m.interp(np.array([-9.0, 0.0, 9.0, NAN]), np.sort(V), np.arange(5.0), left=-1.0, right=7.0),
    "interp period": lambda m: m.interp(
        np.array([-190.0, 5.0, 365.0]), np.array([190.0, -190.0, 350.0, -350.0]), np.array([5.0, 10.0, 3.0, 4.0]), period=360.0
    ),
    "trapezoid": lambda m: m.trapezoid(A, dx=0.5, axis=0),
    "trapezoid x": lambda m: m.trapezoid(A, np.array([0.0, 1.0, 1.5, 4.0])),
    "gradient": lambda m: m.gradient(V),
    "gradient axes": lambda m: m.gradient(A, 0.5, edge_order=2),
    "gradient places": lambda m: m.gradient(A, np.array([0.0, 1.0, 1.5, 4.0]), axis=1, edge_order=2),
    "append": lambda m: m.append(A, B[:1], axis=0),
    "append flat": lambda m: m.append(A, 3.0),
    "insert": lambda m: m.insert(V, 2, np.array([1.0, 2.0])),
    "insert many": lambda m: m.insert(A, np.array([3, 0]), np.array([[1.0, 2.0]]), axis=1),
    "insert one": lambda m: m.insert(A, 1, np.array([1.0, 2.0, 3.0]), axis=1),
    "delete": lambda m: m.delete(A, np.array([0, -1]), axis=1),
    "ravel": lambda m: m.ravel(A, "F"),
    "resize": lambda m: m.resize(V, (2, 4)),
    "select": lambda m: m.select([A > 1, A < 0], [A, -B], 9.0),
    "compress": lambda m: m.compress([True, False, True], A, axis=0),
    "extract": lambda m: m.extract(A > 0, A),
    "tri": lambda m: m.tri(3, 4, k=-1),
    "piecewise": lambda m: m.piecewise(V, [V < 0, V > 0.5], [lambda v: -v, 2.0, lambda v: v * v]),
    "apply_along_axis": lambda m: m.apply_along_axis(lambda v: v[:2] * 2, 0, A),
    "apply_over_axes": lambda m: m.apply_over_axes(m.sum, A.reshape(3, 2, 2), (0, 2)),
    "block": lambda m: m.block([[A, B], [B, A]]),
    "ediff1d": lambda m: m.ediff1d(A, to_end=9.0),
    "polyval": lambda m: m.polyval([1.0, -2.0, 0.5], V),
    "logspace": lambda m: m.logspace(0.0, 2.0, 3).astype("float32"),
    "rollaxis": lambda m: m.rollaxis(A.reshape(3, 2, 2), 2, 1),
    "ptp all": lambda m: m.ptp(A),
    "array_equal": lambda m: m.array_equal(HOLES, HOLES, equal_nan=True),
    "array_equiv": lambda m: m.array_equiv(A, A[:1]),
    "allclose": lambda m: m.allclose(A, A + 1e-9),
}
RNG_3 = RNG.normal(size=(2, 2, 3))


@pytest.mark.parametrize("name", CALLS)
def test_a_function_gives_what_numpys_gives(name: str) -> None:
    call = CALLS[name]
    with np.errstate(all="ignore"):
        same(call(Ours()), call(np))


def test_descending_order_keeps_equal_elements_in_order_and_nan_last() -> None:
    got = tg.argsort(tg.Variable(TIES), descending=True).tolist()
    assert got == [0, 2, 1, 4, 5, 6, 3, 7]
    assert tg.sort(tg.Variable([1, 3, 2]), descending=True).tolist() == [3, 2, 1]


def test_the_standards_unique_tells_every_nan_apart() -> None:
    u = tg.unique_all(tg.Variable([[2.0, NAN], [NAN, 2.0]]))
    assert u.counts.tolist() == [2, 1, 1]
    assert u.inverse_indices.shape == (2, 2)
    assert u.indices.tolist() == [0, 1, 2]
    assert tg.unique_counts(tg.Variable([NAN, NAN])).counts.tolist() == [1, 1]
    assert type(u).__name__ == "UniqueAllResult"


def test_partitions_stand_in_their_places() -> None:
    x = RNG.normal(size=(4, 9))
    for kth in (3, (0, 5), -1):
        got = tg.partition(tg.Variable(x), kth).numpy()
        for k in (kth,) if isinstance(kth, int) else kth:
            np.testing.assert_array_equal(got[:, k], np.sort(x)[:, k])
    values, places = tg.topk(tg.Variable(x), 3)
    np.testing.assert_array_equal(values.numpy(), -np.sort(-x)[:, :3])
    np.testing.assert_array_equal(np.take_along_axis(x, places.numpy(), -1), values.numpy())


def test_running_extrema_and_log_sums() -> None:
    np.testing.assert_array_equal(tg.cummax(tg.Variable(A), axis=1).numpy(), np.maximum.accumulate(A, axis=1))
    np.testing.assert_array_equal(tg.cummin(tg.Variable(TIES)).numpy(), np.minimum.accumulate(TIES))
    x = np.array([-INF, -INF, 1000.0, 3.0, INF, 2.0, NAN])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(tg.logcumsumexp(tg.Variable(x), axis=0).numpy(), np.logaddexp.accumulate(x))


def gradient(f: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    xs = [tg.Variable(a.copy(), requires_grad=True) for a in arrays]
    return [g.numpy() for g in tg.autograd.grad([tg.sum(f(*xs))], xs)]


def test_gradients_at_ties_zeros_and_holes() -> None:
    one = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(gradient(tg.median, one)[0], [0.0, 0.5, 0.5, 0.0])
    np.testing.assert_array_equal(gradient(lambda x: tg.sort(x)[0], np.array([2.0, 1.0, 1.0]))[0], [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(gradient(lambda x: tg.cummax(x)[-1], np.array([1.0, 1.0]))[0], [0.0, 1.0])
    np.testing.assert_array_equal(gradient(tg.cumprod, np.array([2.0, 0.0, 3.0, 0.0]))[0], [1.0, 8.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(tg.nansum, np.array([1.0, NAN]))[0], [1.0, 0.0])
    np.testing.assert_array_equal(gradient(tg.nanstd, np.array([2.0, 2.0, NAN]))[0], [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(lambda x: tg.logcumsumexp(x, axis=0), np.array([-INF, -INF]))[0], [0.0, 0.0])
    np.testing.assert_array_equal(gradient(tg.unique, np.array([2.0, 1.0, 2.0]))[0], [1.0, 1.0, 0.0])
    np.testing.assert_array_equal(
        gradient(lambda a, b: tg.fmax(a, b), np.array([NAN, 1.0]), np.array([1.0, 1.0])), [[0.0, 0.5], [1.0, 0.5]]
    )
    x, at = np.array([1.0, 5.0]), tg.Variable([0, 0, 1])
    source = np.array([3.0, 3.0, 2.0])
    got = gradient(lambda x, s: tg.scatter_reduce(x, 0, at, s, "amax"), x, source)
    np.testing.assert_array_equal(got[0], [0.0, 1.0])
    np.testing.assert_array_equal(got[1], [0.5, 0.5, 0.0])


def test_writing_functions_write_and_record() -> None:
    x = tg.zeros((2, 3), dtype=tg.float64)
    v = tg.Variable([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    tg.put_along_axis(x, [[2], [0]], v.reshape(2, 1), axis=1)
    assert x.tolist() == [[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]
    assert tg.autograd.grad([tg.sum(x * 3.0)], [v])[0].tolist() == [3.0, 3.0]
    y = np.zeros((3, 3))
    z = tg.zeros((3, 3))
    np.fill_diagonal(y, [1.0, 2.0])
    tg.fill_diagonal(z, [1.0, 2.0])
    np.testing.assert_array_equal(z.numpy(), y)
    for name, args in [
        ("place", (A > 0, [1.0, 2.0])),
        ("putmask", (A > 0, [1.0, 2.0, 3.0])),
        ("put", ([0, -1], [5.0, 6.0])),
        ("copyto", (B,)),
    ]:
        a, b = A.copy(), tg.Variable(A.copy())
        getattr(np, name)(a, *args)
        getattr(tg, name)(b, *args)
        np.testing.assert_array_equal(b.numpy(), a)
    got = tg.index_put(tg.zeros((2, 2)), (tg.Variable([0, 0]), tg.Variable([1, 1])), tg.Variable([1.0, 2.0]), accumulate=True)
    assert got.tolist() == [[0.0, 3.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.sort(tg.ones(2), axis=3), tg.AxisError, "sort"),
        (lambda: tg.topk(tg.ones(2), 3), ValueError, "topk: k is 3, expected 0 to 2"),
        (lambda: tg.partition(tg.ones(2), 5), ValueError, "kth is 5"),
        (lambda: tg.searchsorted(tg.ones(2), 1.0, side="up"), ValueError, "side must be 'left' or 'right', got 'up'"),
        (lambda: tg.quantile(tg.ones(2), 1.5), ValueError, "q is 1.5, expected 0 to 1"),
        (lambda: tg.quantile(tg.ones(2), 0.5, method="best"), ValueError, "method is 'best', expected one of linear"),
        (lambda: tg.quantile(tg.ones(0), 0.5), ValueError, "nothing to choose from"),
        (lambda: tg.nonzero(tg.ones(())), tg.ShapeError, "atleast_1d"),
        (lambda: tg.einsum("ij,jk", tg.ones((2, 2))), ValueError, "1 operands are given and 2 are named"),
        (lambda: tg.einsum("ij->k", tg.ones((2, 2))), ValueError, "names 'k', which no operand has"),
        (lambda: tg.einsum("i,i", tg.ones(2), tg.ones(3)), tg.ShapeError, "'i' has sizes 2 and 3"),
        (lambda: tg.tensordot(tg.ones((2, 3)), tg.ones((2, 3)), 1), tg.ShapeError, "differ in size"),
        (lambda: tg.pad(tg.ones(2), (-1, 0)), ValueError, "must not be negative"),
        (lambda: tg.pad(tg.ones(2), 1, mode="odd"), ValueError, "mode is 'odd', expected one of constant"),
        (lambda: tg.cumulative_sum(tg.ones((2, 2))), ValueError, "an axis is needed"),
        (lambda: tg.bincount(tg.Variable([-1])), ValueError, "must not be negative"),
        (lambda: tg.delete(tg.ones(2), 5), IndexError, "index 5 is out of bounds"),
        (lambda: tg.interp(tg.ones(2), tg.ones(3), tg.ones(2)), tg.ShapeError, "1-d arrays of the same size"),
        (
            lambda: tg.scatter_reduce(tg.ones(1), 0, tg.Variable([0]), tg.ones(1), "median"),
            ValueError,
            "expected 'sum', 'prod', 'mean', 'amax' or 'amin'",
        ),
        (lambda: tg.broadcast_shapes((2, 3), (4,)), tg.ShapeError, "do not broadcast"),
        (lambda: tg.ldexp(tg.ones(1), tg.ones(1)), tg.DTypeError, "whole numbers"),
    ],
)
def test_bad_arguments_say_what_was_expected(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_einsum_chooses_the_cheapest_order() -> None:
    # From the left this takes 200 million multiplications, from the right 80 thousand.
    big, thin = tg.ones((200, 200)), tg.ones((200, 1))
    for _ in range(3):
        assert tg.einsum("ab,bc,cd,de,ef->af", big, big, big, big, thin).shape == (200, 1)
    many = [tg.ones((2, 2)) for _ in range(10)]
    assert tg.einsum("ab,bc,cd,de,ef,fg,gh,hi,ij,jk->ak", *many).tolist() == [[512.0, 512.0], [512.0, 512.0]]
