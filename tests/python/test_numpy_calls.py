"""Calls of NumPy that scientists write, on Variables: values are NumPy's, and no gradient is lost or wrong.

Each line is evaluated with arrays and with Variables. The derivative along a direction, by differences of NumPy's results, must
be what the gradients say; a result that is not tracked must not change.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 3, 4))
INPUTS = {
    "A": A,
    "B": B,
    "P": np.abs(A) + 0.5,
    "S": RANDOM.normal(size=(3, 3)) + 2.0 * np.eye(3),
    "T": RANDOM.normal(size=(2, 3, 4)),
    "v": RANDOM.normal(size=5),
    "w": RANDOM.normal(size=5),
}
DATA = {"I": RANDOM.integers(0, 9, size=(3, 4)), "M": A > 0, "iv": np.array([3, 1, 2, 3, 0])}
DIRECTION = {k: RANDOM.normal(size=x.shape) for k, x in INPUTS.items()}
CALLS = r"""
np.sum(A, axis=0)
np.sum(A, axis=(0, 1), keepdims=True)
np.sum(A, initial=1.0)
np.sum(A, where=M)
np.sum(A, axis=-1, dtype=np.float32)
np.sum(T, axis=(0, 2))
np.prod(A, axis=1)
np.prod(A, where=M, initial=2.0)
np.prod(A, axis=(0, 1))
np.mean(A, where=M)
np.mean(A, axis=0, dtype=np.float64)
np.mean(T, axis=(0, 2), keepdims=True)
np.std(A, axis=0, ddof=1, keepdims=True)
np.std(A, where=M)
np.var(A, mean=np.mean(A))
np.var(A, where=M)
np.std(A, mean=np.mean(A, axis=0, keepdims=True), axis=0)
np.max(A, axis=0)
np.amax(A, axis=(0, 1))
np.max(A, initial=0.0, where=M)
np.min(A, 1)
np.amin(A, keepdims=True)
np.ptp(A, axis=0)
np.ptp(A, axis=1, keepdims=True)
np.argmax(A, axis=0)
np.argmin(A, axis=1, keepdims=True)
np.argmax(A)
np.nansum(A, axis=0)
np.nanmean(A, axis=1)
np.nanstd(A, ddof=1)
np.nanvar(A, axis=0)
np.nanmax(A, axis=0)
np.nanmin(A)
np.nanprod(A)
np.nanmedian(A, axis=1)
np.nanpercentile(A, 30, axis=0)
np.nanquantile(A, [0.1, 0.5])
np.nanargmax(A, axis=1)
np.nanargmin(A)
np.nancumsum(A, axis=1)
np.nancumprod(A)
np.nansum(A, where=M)
np.nanmax(A, initial=0.0)
np.nanmean(A, where=M)
np.median(A)
np.median(A, axis=(0, 1))
np.median(A, axis=1, keepdims=True)
np.percentile(A, 25)
np.percentile(A, [5, 95], axis=0, keepdims=True)
np.quantile(A, 0.3, axis=1, method='lower')
np.quantile(A, 0.3, method='median_unbiased')
np.percentile(A, 50, axis=(0, 1))
np.quantile(A, np.array([[0.1, 0.2], [0.3, 0.4]]))
np.average(A)
np.average(A, axis=1, weights=v[:4])
np.average(A, weights=P, axis=0, returned=True)
np.average(A, axis=0, weights=P, keepdims=True)
np.cumsum(A)
np.cumsum(A, axis=1)
np.cumprod(A, axis=0)
np.cumulative_sum(A, axis=1, include_initial=True)
np.cumulative_prod(v)
np.diff(A)
np.diff(A, n=2, axis=1)
np.diff(v, prepend=0, append=[1.0, 2.0])
np.ediff1d(v, to_begin=0.0)
np.gradient(v)
np.gradient(A)
np.gradient(A, 0.5, axis=0)
np.gradient(v, w.cumsum())
np.gradient(A, 2.0, 3.0)
np.gradient(A, edge_order=2)
np.trapezoid(A, axis=0)
np.trapezoid(v, w)
np.trapezoid(v, dx=0.1)
np.interp(v, [-1.0, 0.0, 1.0], [1.0, 2.0, 3.0])
np.interp(0.5, [0.0, 1.0, 2.0], v[:3])
np.interp(v, [-1.0, 0.0, 1.0], [1.0, 2.0, 3.0], left=0.0, right=9.0)
np.interp(v, [-1.0, 0.0, 1.0], [1.0, 2.0, 3.0], period=2.0)
np.cross(A[:, :3], B[:, :3])
np.cross(v[:3], w[:3])
np.cross(A[:, :3], B[:, :3], axis=0)
np.dot(A, B.T)
np.dot(v, w)
np.dot(T, B[0])
np.dot(2.0, v)
np.vdot(A, B)
np.inner(A, B)
np.outer(v, w)
np.matmul(A, B.T)
np.tensordot(A, B, axes=2)
np.tensordot(T, A, axes=([1, 2], [0, 1]))
np.einsum('ij,ij->i', A, B)
np.einsum('ij,jk,kl', A, B.T, A, optimize='greedy')
np.einsum('ii', S)
np.kron(A, B)
np.vecdot(A, B)
np.matvec(A, v[:4])
np.vecmat(v[:3], A)
np.linalg.multi_dot([A, B.T, A])
np.trace(S)
np.trace(T, axis1=1, axis2=2)
np.trace(A, 1)
np.trace(S, offset=-1)
np.reshape(A, -1)
np.reshape(A, (4, 3), order='F')
np.reshape(A, (2, 6), order='A')
np.ravel(A)
np.ravel(A, 'F')
np.transpose(A)
np.transpose(T, (2, 0, 1))
np.permute_dims(T, (2, 0, 1))
np.matrix_transpose(T)
np.swapaxes(T, 0, 2)
np.moveaxis(T, 0, -1)
np.rollaxis(T, 2)
np.expand_dims(A, 1)
np.squeeze(A[None])
np.squeeze(A[None], axis=0)
np.broadcast_to(v, (2, 5))
np.broadcast_arrays(v, A[0, 0])
np.atleast_1d(v)
np.atleast_2d(v, w)
np.atleast_3d(v)
np.flip(A)
np.flip(A, axis=0)
np.flip(A, (0, 1))
np.fliplr(A)
np.flipud(A)
np.rot90(A, 2)
np.rot90(A, k=1, axes=(1, 0))
np.roll(A, 1)
np.roll(A, (1, 2), axis=(0, 1))
np.roll(v, -2)
np.tile(v, 2)
np.tile(A, (2, 1, 2))
np.repeat(A, 2)
np.repeat(A, [1, 2, 0], axis=0)
np.unstack(A)
np.diag(v)
np.diag(A)
np.diag(A, k=1)
np.diagonal(T, 1, 1, 2)
np.diagflat(v)
np.tril(A)
np.triu(A, k=1)
np.vander(v)
np.vander(v, 3, increasing=True)
np.concatenate([A, B])
np.concatenate((A, B), 1)
np.concatenate([v, w], axis=None)
np.concat([A, B], axis=-1)
np.stack([v, w], axis=1)
np.vstack((v, w))
np.hstack((A, B))
np.dstack((A, B))
np.column_stack((v, w))
np.block([[A, B], [B, A]])
np.append(v, w)
np.append(A, B, axis=0)
np.append(v, 1.0)
np.insert(v, 1, 9.0)
np.insert(A, [0, 2], 5.0, axis=1)
np.insert(v, [1, 3], w[:2])
np.delete(v, 1)
np.delete(A, [0, 2], axis=0)
np.delete(v, slice(1, 3))
np.resize(v, (2, 4))
np.pad(v, 2)
np.pad(A, ((1, 0), (0, 2)), mode='constant', constant_values=3.0)
np.pad(v, (1, 2), 'reflect')
np.pad(v, 1, 'edge')
np.pad(v, 2, mode='wrap')
np.pad(v, 2, mode='symmetric')
np.pad(v, 2, mode='linear_ramp')
np.pad(v, 2, mode='mean')
np.pad(v, 2, mode='maximum')
np.pad(v, 2, mode='minimum', stat_length=2)
np.pad(v, 2, mode='median')
np.pad(v, (1, 2), constant_values=(4.0, 5.0))
np.pad(v, 2, mode='empty')[2:-2]
np.pad(v, 7, mode='reflect')
np.trim_zeros(np.array([0.0, 1.0, 0.0]))
np.trim_zeros(v)
np.split(v, [2, 3])
np.array_split(v, 3)
np.hsplit(A, 2)
np.vsplit(A, 3)
np.dsplit(T, 2)
np.split(A, 2, axis=1)
np.where(M, A, B)
np.where(A > 0, A, 0.0)
np.where(A > 0)
np.nonzero(A > 0)
np.argwhere(A > 0)
np.flatnonzero(A > 0)
np.count_nonzero(A > 0, axis=0)
np.count_nonzero(A)
np.choose(iv % 2, [v, w])
np.select([v > 0, v > -1], [v, w], 9.0)
np.select([v > 0], [v])
np.piecewise(v, [v < 0, v >= 0], [lambda x: -x, lambda x: x * 2])
np.extract(A > 0, A)
np.compress([True, False, True], A, axis=0)
np.compress([True, False, True], A)
np.take(A, [0, 5])
np.take(A, [0, 2], axis=1)
np.take(A, 1, axis=0)
np.take(A, [7], mode='wrap', axis=0)
np.take_along_axis(A, np.argsort(A, axis=1), axis=1)
np.searchsorted(np.sort(v), w)
np.searchsorted(np.sort(v), w, side='right')
np.searchsorted(v, w, sorter=np.argsort(v))
np.digitize(v, [-1.0, 0.0, 1.0])
np.digitize(v, [-1.0, 0.0, 1.0], right=True)
np.bincount(iv)
np.bincount(iv, weights=v)
np.bincount(iv, minlength=7)
np.histogram(v, bins=3)
np.histogram(v, bins=3, range=(-1, 1), density=True)
np.histogram(v, bins=[-1.0, 0.0, 1.0], weights=P.ravel()[:5])
np.histogram_bin_edges(v, 4)
np.histogram2d(v, w, bins=2)
np.histogram2d(v, w, bins=2, density=True, range=[[-2, 2], [-2, 2]])
np.histogram2d(v, w, bins=[-2.0, 0.0, 2.0])
np.histogram(v)
np.sort(A)
np.sort(A, axis=None)
np.sort(v, kind='mergesort')
np.argsort(A, axis=0)
np.argsort(v, kind='stable')
np.argsort(A, axis=None)
np.partition(v, 2)[2]
np.argpartition(v, 2)[2]
np.partition(A, (1, 2), axis=1)[:, 1:]
np.lexsort((v, w))
np.sort_complex(v)
np.unique(iv)
np.unique(iv, return_index=True, return_inverse=True, return_counts=True)
np.unique(v)
np.unique(I, axis=0)
np.unique_counts(iv)
np.unique_all(iv)
np.unique_inverse(iv)
np.isin(iv, [1, 2])
np.isin(iv, [1], invert=True)
np.intersect1d(iv, [1, 2, 9])
np.union1d(v, w)
np.setdiff1d(iv, [1])
np.setxor1d(iv, [1, 9])
np.intersect1d(iv, [1, 2], return_indices=True)
np.setdiff1d(iv[::-1], [1], assume_unique=True)
np.setdiff1d(iv[::-1], [1])
np.clip(A, -0.5, 0.5)
np.clip(A, a_min=0, a_max=None)
np.clip(A, min=0)
np.clip(A, B - 1, B + 1)
np.round(A, 1)
np.around(A)
np.rint(A)
np.fix(A)
np.floor(A)
np.ceil(A)
np.trunc(A)
np.sign(A)
np.abs(A)
np.absolute(A)
np.fabs(A)
np.sqrt(P)
np.cbrt(A)
np.square(A)
np.exp(A)
np.exp2(A)
np.expm1(A)
np.log(P)
np.log2(P)
np.log10(P)
np.log1p(P)
np.sin(A)
np.cos(A)
np.tan(A)
np.arcsin(A / 9)
np.arccos(A / 9)
np.arctan(A)
np.sinh(A)
np.cosh(A)
np.tanh(A)
np.arcsinh(A)
np.arccosh(P + 1)
np.arctanh(A / 9)
np.asin(A / 9)
np.atan2(A, B)
np.arctan2(A, B)
np.hypot(A, B)
np.degrees(A)
np.radians(A)
np.deg2rad(A)
np.rad2deg(A)
np.unwrap(A * 4)
np.unwrap(v * 4, period=3.0)
np.sinc(A)
np.i0(A)
np.reciprocal(A)
np.negative(A)
np.positive(A)
np.nan_to_num(A)
np.nan_to_num(A, nan=1.0, posinf=2.0, neginf=3.0)
np.nan_to_num(A, copy=True)
np.real_if_close(A)
np.real(A)
np.imag(A)
np.conj(A)
np.angle(A)
np.isnan(A)
np.isinf(A)
np.isfinite(A)
np.signbit(A)
np.isposinf(A)
np.isneginf(A)
np.spacing(A)
np.frexp(A)
np.ldexp(A, 2)
np.modf(A)
np.heaviside(A, 0.5)
np.nextafter(A, B)
np.copysign(A, B)
np.logaddexp(A, B)
np.logaddexp2(A, B)
np.maximum(A, B)
np.minimum(A, 0)
np.fmax(A, B)
np.fmin(A, B)
np.power(P, A)
np.power(A, 2)
np.float_power(P, A)
np.add(A, B)
np.subtract(A, 1)
np.multiply(2, A)
np.divide(A, B)
np.true_divide(A, B)
np.floor_divide(A, B)
np.mod(A, B)
np.remainder(A, 2)
np.fmod(A, B)
np.divmod(A, B)
np.equal(A, B)
np.not_equal(A, B)
np.less(A, B)
np.greater_equal(A, 0)
np.logical_and(A > 0, B > 0)
np.logical_or(A, B)
np.logical_not(A)
np.logical_xor(A > 0, B > 0)
np.bitwise_and(I, 3)
np.bitwise_or(I, I)
np.bitwise_xor(I, 1)
np.invert(I)
np.bitwise_invert(I)
np.left_shift(I, 1)
np.bitwise_left_shift(I, 1)
np.right_shift(I, 1)
np.gcd(I, 6)
np.lcm(I, 6)
np.bitwise_count(I)
np.all(A > 0, axis=0)
np.any(A > 0)
np.all(M, where=M)
np.allclose(A, B)
np.isclose(A, B, rtol=0.1)
np.array_equal(A, A)
np.array_equiv(A, A)
np.iscomplex(A)
np.isreal(A)
np.iscomplexobj(A)
np.isrealobj(A)
np.ndim(A)
np.shape(A)
np.size(A)
np.size(A, 0)
np.zeros_like(A)
np.ones_like(A, dtype=np.float32)
np.full_like(A, 2.0)
np.copy(A)
np.linspace(v[0], v[1], 4)
np.linspace(v, w, 3)
np.linspace(v[0], 1.0, 4, endpoint=False)
np.linspace(v, w, 3, axis=1)
np.logspace(v[0], v[1], 4)
np.geomspace(P[0, 0], P[0, 1], 4)
np.meshgrid(v, w)
np.meshgrid(v, w, indexing='ij', sparse=True)
np.ix_(iv, iv)
np.cov(A)
np.cov(v, w)
np.cov(A, rowvar=False)
np.cov(A, ddof=0)
np.cov(A, aweights=P[0])
np.cov(A, bias=True)
np.corrcoef(A)
np.corrcoef(v, w)
np.convolve(v, w)
np.convolve(v, w[:3], mode='same')
np.convolve(v, w[:3], 'valid')
np.correlate(v, w)
np.correlate(v, w, 'full')
np.polyval(v, w)
np.polyval([1.0, 2.0], v)
np.polyfit(v, w, 2)
np.poly(v)
np.roots(v)
np.roots(np.poly(v))
np.polyadd(v, w)
np.polymul(v, w)
np.polysub(v, w)
np.polyder(v)
np.polyint(v)
np.polydiv(v, w[:2])
np.apply_along_axis(np.sum, 0, A)
np.apply_over_axes(np.sum, T, [0, 2])
np.may_share_memory(A, A)
np.shares_memory(A, B)
np.astype(A, np.float32)
np.unravel_index(iv, (2, 3))
np.ravel_multi_index((iv % 2, iv % 3), (2, 3))
np.diag_indices_from(S)
np.tril_indices_from(S)
np.triu_indices_from(S)
np.mask_indices(3, np.triu)
np.packbits(M)
np.unpackbits(I.astype(np.uint8))
np.nan_to_num(v)
np.linalg.norm(v)
np.linalg.norm(A, axis=1)
np.linalg.norm(A, 'fro')
np.linalg.norm(A, ord=1)
np.linalg.norm(A, 2)
np.linalg.norm(v, np.inf)
np.linalg.norm(A, axis=1, keepdims=True)
np.linalg.inv(S)
np.linalg.det(S)
np.linalg.slogdet(S)
np.linalg.solve(S, v[:3])
np.linalg.cholesky(S @ S.T + np.eye(3))
np.linalg.eigvalsh(S + S.T)
np.linalg.svdvals(A)
np.linalg.qr(A)
np.linalg.pinv(A)
np.linalg.matrix_power(S, 3)
np.linalg.matrix_rank(A)
np.linalg.lstsq(A.T, v[:4], rcond=None)[:2]
np.linalg.cond(S)
np.linalg.trace(S)
np.linalg.diagonal(S)
np.linalg.cross(A[:, :3], B[:, :3])
np.linalg.outer(v, w)
np.linalg.matmul(A, B.T)
np.linalg.tensordot(A, B, axes=2)
np.linalg.vecdot(A, B)
np.linalg.vector_norm(A)
np.linalg.matrix_norm(A)
np.linalg.matrix_transpose(A)
np.add.reduce(A)
np.add.reduce(A, axis=1, keepdims=True)
np.add.reduce(A, axis=None)
np.add.accumulate(A)
np.add.outer(v, w)
np.subtract.outer(v, w)
np.multiply.outer(v, w)
np.maximum.accumulate(v)
np.minimum.reduce(A, axis=1, initial=0.0)
np.logaddexp.reduce(A, axis=1)
np.multiply.reduce(A, 0)
np.add.reduceat(v, [0, 2])
np.logical_or.reduce(M, axis=0)
np.hypot.reduce(A, axis=1)
np.power.outer(P[0], v)
np.less.outer(v, w)
np.equal.outer(v, w)
np.bitwise_and.reduce(I)
np.bitwise_or.reduce(I, axis=1)
np.gcd.reduce(I, axis=1)
np.fmax.reduce(A)
np.logical_xor.reduce(M)
np.add.reduce(A, where=M, initial=1.0)
np.divide.outer(v, w)
np.arctan2.outer(v, w)
np.matmul(A.T, B)
np.add(A, B, dtype=np.float32)
np.exp(A, order='F')
np.exp(A, casting='unsafe')
np.linalg.svd(A, full_matrices=False)[1]
np.linalg.eigh(S + S.T)[0]
np.histogramdd(A.T[:2].T, bins=2)
np.histogram2d(v, w, bins=[2, 3], weights=P.ravel()[:5])
A.sum(where=M, axis=0)
A.max(initial=9.0, axis=1)
A.mean(axis=0, where=M)
A.std(axis=0, ddof=1)
A.take([9], mode='wrap')
A.argsort(kind='stable')
A.flatten('F')
A.reshape((4, 3), order='F')
A.astype(np.float32, casting='same_kind')
A.compress([True, False, True], axis=0)
iv.choose([v, v, v, w])
list(A.flat)
A.copy()
divmod(A, 2.0)
divmod(2.0, P)
A.dot(B.T)
A.round(1)
A.clip(min=0.0)
A.cumsum(axis=0)
A.ravel(order='F')
A.trace()
A.T
A.swapaxes(0, 1)
v.searchsorted(0.0)
A.squeeze()
A.repeat(2, axis=1)
A.diagonal(1)
A.nonzero()
A[M]
A[np.ix_([0, 1], [1, 2])]
A[..., None, ::-1]
A[np.array([0, 2]), 1:]
2.0 in A
A @ B.T
abs(A)
-A ** 2
A // 0.3
A % 0.3
""".strip().split("\n")


def run(call: str, values: dict[str, Any], wrap: Any = lambda x: x) -> Any:
    data = {k: wrap(x.copy()) for k, x in DATA.items()}
    with np.errstate(all="ignore"):
        return eval(call, {"np": np, **data, **values})  # noqa: S307 - the table above


def parts(result: Any) -> list[Any]:
    """The arrays of a result: Variables and NumPy's."""
    if isinstance(result, (list, tuple)):
        return [p for r in result for p in parts(r)]
    return [result if isinstance(result, tg.Variable) else np.asarray(result)]


def plain(part: Any) -> np.ndarray:
    return part.detach().numpy() if isinstance(part, tg.Variable) else part


def total(arrays: list[Any]) -> Any:
    """A sum of all inexact elements with weights of their own."""
    out: Any = 0.0
    for i, x in enumerate(arrays):
        if (x.dtype.kind if isinstance(x, np.ndarray) else str(x.dtype)[0]) in "fc" and x.ndim + 1:
            weights = np.cos(np.arange(x.size) + i).reshape(x.shape)
            out = out + (x * weights).sum().real
    return out


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_numpy(call: str) -> None:
    want = parts(run(call, {k: x.copy() for k, x in INPUTS.items()}))
    leaves = {k: tg.Variable(x.copy(), requires_grad=True) for k, x in INPUTS.items()}
    # Some functions look at data: indices, memory, bins.
    got = parts(run(call, {k: x * 1.0 for k, x in leaves.items()}, tg.asarray))
    assert len(got) == len(want)
    for g, w in zip(map(plain, got), want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-12)

    step = 1e-6
    ends = [total(parts(run(call, {k: x + s * DIRECTION[k] for k, x in INPUTS.items()}))) for s in (step, -step)]
    slope = (ends[0] - ends[1]) / (2 * step)
    y = total(got)
    tracked = isinstance(y, tg.Variable) and y.requires_grad
    grads = tg.autograd.grad([y], list(leaves.values()), allow_unused=True) if tracked else [None] * len(leaves)
    along = sum(float(np.sum(g.numpy() * DIRECTION[k])) for k, g in zip(leaves, grads, strict=True) if g is not None)
    assert along == pytest.approx(slope, rel=2e-2 if "float32" in call else 2e-5, abs=1e-6)


def test_a_condition_for_each_function_where_the_argument_is_one_number() -> None:
    functions = [lambda x: -x, lambda x: 3.0 * x]
    for x in (-2.0, 2.0):
        conditions = [x < 0, x >= 0]
        expected = np.piecewise(x, conditions, functions)
        for got in (
            tg.piecewise(x, conditions, functions),
            np.piecewise(tg.asarray(x), [tg.asarray(c) for c in conditions], functions),
        ):
            assert got.shape == ()
            assert got.item() == expected
    assert tg.piecewise(tg.asarray([-1.0, 2.0]), [True, False], functions).tolist() == [1.0, 6.0]


def test_pad_refuses_functions_and_unknown_options() -> None:
    for call in (np.pad, tg.pad):
        with pytest.raises(TypeError, match="'padder' is no option of pad; there are constant_values, end_values"):
            call(tg.ones(2), 1, padder=3)
    with pytest.raises(TypeError, match="mode is a function"):
        np.pad(tg.ones(2), 1, lambda *_: None)


def test_insert_takes_slices() -> None:
    x = tg.Variable([0.0, 1.0, 2.0, 3.0], requires_grad=True)
    expected = np.insert(np.arange(4.0), slice(2, 4), [7.0, 8.0]).tolist()
    assert np.insert(x, slice(2, 4), [7.0, 8.0]).tolist() == tg.insert(x, slice(2, 4), [7.0, 8.0]).tolist() == expected
    assert tg.insert(tg.ones((2, 2)), slice(None), 5.0, axis=1).tolist() == [[5.0, 1.0, 5.0, 1.0]] * 2


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (4, 4), (1, 3), (5, 1), (0, 2)])
@pytest.mark.parametrize("wrap", [False, True])
def test_diagonals_of_tall_matrices_wrap(shape: tuple[int, int], wrap: bool) -> None:
    expected, got = np.zeros(shape), tg.zeros(shape)
    np.fill_diagonal(expected, 4.0, wrap=wrap)
    tg.fill_diagonal(got, 4.0, wrap=wrap)
    assert got.tolist() == expected.tolist()


def test_slices_are_places_alone() -> None:
    x = tg.arange(4)
    assert tg.insert(x, slice(1, 3), 9).tolist() == [0, 9, 1, 9, 2, 3]
    with pytest.raises(TypeError, match=r"insert\(\): argument 'values' must be .* not slice"):
        tg.insert(x, 1, slice(1, 2))
    with pytest.raises(TypeError, match=r"insert\(\): argument 'axis' must be .* not slice"):
        tg.insert(x, 1, 2, slice(1, 2))
    with pytest.raises(TypeError, match=r"delete\(\): argument 'axis' must be .* not slice"):
        tg.delete(x, 1, slice(1, 2))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda x: tg.histogram(x, 5, "abc"), "range"),
        (lambda x: tg.histogram(x, density="no"), "density"),
        (lambda x: tg.histogram_bin_edges(x, bins=x, range="abc"), "range"),
        (lambda x: tg.pad(x, 1, constant_values={}), "constant_values"),
        (lambda x: tg.pad(x, 1, mode={}), "mode"),
    ],
)
def test_another_argument_of_the_type_of_numpys_form_is_refused(call: Any, argument: str) -> None:
    with pytest.raises(TypeError, match=f"argument '{argument}' must be"):
        call(tg.arange(4.0))


@pytest.mark.parametrize("labels", [[None], [-1], [52], ["i"]])
def test_labels_of_einsum_are_small_ints(labels: Any) -> None:
    with pytest.raises(ValueError, match=r"einsum: the labels .* must be ints from 0 to 51"):
        tg.einsum(tg.arange(3.0), [0], labels)


@pytest.mark.parametrize("call", [tg.choose, np.choose, lambda x, choices, out: x.choose(choices, out)])
def test_choose_writes_into_out(call: Any) -> None:
    index, choices = tg.Variable([1, 0, 1]), [tg.Variable([1.0, 2.0, 3.0]), 7.0]
    for out in (tg.zeros(3), np.zeros(3, np.float32)):
        assert call(index, choices, out=out) is out
        assert out.tolist() == [7.0, 2.0, 7.0]


def test_nan_to_num_without_a_copy_writes_into_its_argument() -> None:
    for x in (tg.Variable([math.nan, 1.0, math.inf]), tg.zeros(3)):
        x[0] = math.nan
        assert np.nan_to_num(x, copy=False, posinf=7.0) is x
        assert x.tolist()[0] == 0.0
    base = tg.Variable([[math.nan, 1.0], [2.0, math.nan]])
    np.nan_to_num(base[1], False, 5.0)
    assert base[1].tolist() == [2.0, 5.0]
    for call in (tg.nan_to_num, tg.Variable.nan_to_num):
        with pytest.raises(ValueError, match=r"nan_to_num: copy=False, .* use x.nan_to_num_\(\)"):
            call(base, copy=False)


@pytest.mark.parametrize("f", [np.var, np.std, np.nanvar, np.nanstd, np.cov])
def test_variances_have_no_integer_dtype(f: Any) -> None:
    assert f(tg.ones((2, 3)), dtype=np.float64).dtype == np.float64
    with pytest.raises(tg.DTypeError, match="floating or complex dtype, got dtype=int64"):
        f(tg.ones((2, 3)), dtype=np.int64)
