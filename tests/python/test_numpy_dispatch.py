"""NumPy's functions and ufuncs on Variables: they record, take NumPy's arguments, and name what they do not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

A = np.random.default_rng(3).normal(size=(3, 4))
INTS = np.array([3, 1, 2, 3])


def variable(x: Any = A, *, requires_grad: bool = False) -> tg.Variable:
    return tg.Variable(np.array(x), requires_grad=requires_grad)


def plain(value: Any) -> Any:
    if isinstance(value, tg.Variable):
        return value.detach().numpy()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def same(got: Any, want: Any) -> None:
    got = plain(got)
    if isinstance(want, (list, tuple)) and not all(isinstance(w, int) for w in want):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
        return
    assert np.shape(got) == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


CALLS: dict[str, Any] = {
    "sum dtype by position": lambda x: np.sum(x, 0, np.float32),
    "sum where": lambda x: np.sum(x, axis=1, where=A > 0, initial=2.0),
    "max initial": lambda x: np.max(x, initial=10.0),
    "amin where": lambda x: np.amin(x, axis=0, where=A > 0, initial=9.0),
    "mean": lambda x: np.mean(x, axis=(0, 1), keepdims=True),
    "var": lambda x: np.var(x, 1, ddof=1),
    "std correction": lambda x: np.std(x, axis=0, correction=1),
    "clip a_min": lambda x: np.clip(x, a_min=-0.5, a_max=0.5),
    "clip positions": lambda x: np.clip(x, -0.5, None),
    "take wrap": lambda x: np.take(x, [5, -6], axis=1, mode="wrap"),
    "take clip": lambda x: np.take(x, [50, -6], mode="clip"),
    "concatenate": lambda x: np.concatenate([x, A], axis=1),
    "concatenate flat": lambda x: np.concatenate((x, x), axis=None, dtype=np.float32),
    "stack": lambda x: np.stack([x, A], axis=-1),
    "vstack": lambda x: np.vstack([x, A]),
    "hstack": lambda x: np.hstack((x, x)),
    "split": lambda x: np.split(x, 2, axis=1),
    "where": lambda x: np.where(A > 0, x, 0.0),
    "where places": lambda x: np.where(x > 0),
    "reshape": lambda x: np.reshape(x, (4, 3)),
    "ravel": lambda x: np.ravel(x, order="F"),
    "transpose": lambda x: np.transpose(x, (1, 0)),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), axis=0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "zeros_like": lambda x: np.zeros_like(x, shape=(2,)),
    "full_like": lambda x: np.full_like(x, 3.0, dtype=int),
    "sort kind": lambda x: np.sort(x, axis=0, kind="stable"),
    "argsort": lambda x: np.argsort(x, axis=-1, stable=True),
    "cumsum": lambda x: np.cumsum(x, 1, dtype=np.float32),
    "diff": lambda x: np.diff(x, axis=0, prepend=0.0),
    "percentile": lambda x: np.percentile(x, [25, 50], axis=1, method="higher"),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, A, optimize=True),
    "einsum lists": lambda x: np.einsum(x, [0, 1], A, [2, 1], [0, 2]),
    "tensordot": lambda x: np.tensordot(x, A, axes=([0, 1], [0, 1])),
    "dot": lambda x: np.dot(x, A.T),
    "matmul": lambda x: np.matmul(A.T, x),
    "inner": lambda x: np.inner(x, A),
    "outer": lambda x: np.outer(x[0], A[1]),
    "kron": lambda x: np.kron(x, A[:1]),
    "trace": lambda x: np.trace(x),
    "norm": lambda x: np.linalg.norm(x),
    "pad": lambda x: np.pad(x, 1, mode="edge"),
    "interp": lambda x: np.interp(x, [-1.0, 0.0, 1.0], [0.0, 5.0, 7.0]),
    "gradient": lambda x: np.gradient(x, 0.5, axis=1),
    "trapezoid": lambda x: np.trapezoid(x, dx=2.0),
    "nan_to_num": lambda x: np.nan_to_num(x / np.where(A > 0, 1.0, 0.0), posinf=1.0, neginf=2.0, nan=3.0),
    "allclose": lambda x: np.allclose(x, A),
    "array_equal": lambda x: np.array_equal(x, A),
    "isclose": lambda x: np.isclose(x, A + 1e-12),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": lambda x: np.size(x, 1),
    "copy": np.copy,
    "atleast_3d": lambda x: np.atleast_3d(x),
    "meshgrid": lambda x: np.meshgrid(x[0], A[1], indexing="ij"),
    "median": lambda x: np.median(x, axis=0, overwrite_input=True),
    "average": lambda x: np.average(x, axis=0, weights=[1.0, 2.0, 3.0]),
    "cov": np.cov,
    "apply_along_axis": lambda x: np.apply_along_axis(lambda v: v * v, 1, x),
    "piecewise": lambda x: np.piecewise(x, [x < 0], [lambda v: -v, 1.0]),
    "select": lambda x: np.select([A > 0], [x], 0.5),
    "round": lambda x: np.round(x, 2),
    "around": lambda x: np.around(x, decimals=1),
    "rot90": lambda x: np.rot90(x),
    "array_split": lambda x: np.array_split(x, 3, axis=1),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "add.reduce": lambda x: np.add.reduce(x),
    "add.reduceat": lambda x: np.add.reduceat(x, [0, 2, 1], axis=1),
    "maximum.reduceat": lambda x: np.maximum.reduceat(x, [0, 1]),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x, axis=1),
    "subtract.accumulate": lambda x: np.subtract.accumulate(x),
    "multiply.outer": lambda x: np.multiply.outer(x[0], A[1]),
    "divmod": lambda x: np.divmod(x, 0.3),
    "modf": np.modf,
    "arctan2": lambda x: np.arctan2(x, A[::-1]),
    "fabs": np.fabs,
    "copysign": lambda x: np.copysign(x, A[::-1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpys_functions_answer_on_variables(name: str) -> None:
    with np.errstate(all="ignore"):
        same(CALLS[name](variable()), CALLS[name](A))


@pytest.mark.parametrize(
    "name", ["sum where", "take wrap", "einsum lists", "sort kind", "pad", "gradient", "add.reduceat", "norm", "select"]
)
def test_they_record(name: str) -> None:
    x = variable(requires_grad=True)
    total = tg.sum(CALLS[name](x))
    (g,) = tg.autograd.grad([total], [x])
    step, d = 1e-6, np.random.default_rng(5).normal(size=A.shape)
    numeric = (np.sum(plain(CALLS[name](variable(A + step * d)))) - np.sum(plain(CALLS[name](variable(A - step * d))))) / (
        2 * step
    )
    assert np.sum(g.numpy() * d) == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_at_adds_up_repeated_places_and_records() -> None:
    x, w = tg.zeros(3, dtype=tg.float64), tg.Variable([1.0, 2.0, 4.0], dtype=tg.float64, requires_grad=True)
    np.add.at(x, [0, 2, 0], w)
    assert x.tolist() == [5.0, 0.0, 2.0]
    assert tg.autograd.grad([tg.sum(x * x)], [w])[0].tolist() == [10.0, 4.0, 10.0]
    np.subtract.at(x, (np.array([0]),), 1.0)
    assert x.tolist() == [4.0, 0.0, 2.0]
    with pytest.raises(TypeError, match=r"numpy\.multiply\.at is not available.*numpy\.add\.at"):
        np.multiply.at(x, [0], 2.0)


def test_an_output_is_an_array_of_numpy() -> None:
    out = np.empty(4)
    assert np.sum(variable(), axis=0, out=out) is out
    np.testing.assert_allclose(out, A.sum(0))
    with pytest.raises(tg.GradError, match=r"numpy\.cumsum: the output is a NumPy array"):
        np.cumsum(variable(requires_grad=True), axis=0, out=np.empty((3, 4)))


def test_an_output_that_is_a_variable_is_written_and_records() -> None:
    x = variable(requires_grad=True)
    y = tg.zeros((3, 4), dtype=tg.float64)
    view = y[0]
    assert np.cumsum(x, axis=1, out=y) is y
    np.testing.assert_allclose(plain(view), np.cumsum(A, axis=1)[0])
    (g,) = tg.autograd.grad([tg.sum(y)], [x])
    np.testing.assert_array_equal(g.numpy(), np.tile([4.0, 3.0, 2.0, 1.0], (3, 1)))

    z = tg.ones((3, 4), dtype=tg.float64)
    assert np.exp(x, out=z, where=A > 0) is z
    np.testing.assert_allclose(plain(z), np.where(A > 0, np.exp(A), 1.0))
    (g,) = tg.autograd.grad([tg.sum(z)], [x])
    np.testing.assert_allclose(g.numpy(), np.where(A > 0, np.exp(A), 0.0))
    a, b = tg.zeros(4, dtype=tg.float64), tg.zeros(4, dtype=tg.float64)
    assert np.divmod(x[0].detach(), 0.5, out=(a, b)) == (a, b)
    np.testing.assert_allclose(plain(b), A[0] % 0.5)
    assert tg.add(x, 1.0, out=tg.zeros((3, 4), dtype=tg.float64)).requires_grad
    assert np.sum(x, axis=0, out=tg.zeros(4, dtype=tg.float64)).requires_grad
    with pytest.raises(tg.ShapeError, match=r"numpy\.sum: the output has shape \(3,\), expected \(4,\)"):
        np.sum(x, axis=0, out=tg.zeros(3, dtype=tg.float64))
    with pytest.raises(TypeError, match="some outputs are Variables"):
        np.divmod(x.detach(), 0.5, out=(y, np.zeros((3, 4))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.sort(x, order="a"), "order='a' is not available"),
        (lambda x: np.exp(x, where=A > 0), "where= leaves elements undefined without out="),
        (lambda x: tg.exp(x, where=A > 0), "where= leaves elements undefined without out="),
        (lambda x: np.busday_count(x, x), r"numpy\.busday_count is not available for Variables; .*use v\.numpy\(\)"),
        (lambda x: np.isnat(x), r"numpy\.isnat is not available"),
        (lambda x: np.quantile(x, 0.5, weights=A, method="inverted_cdf"), r"numpy\.quantile: weights="),
        (lambda x: np.polyfit(x[0], x[1], 1, full=True), "full=, cov= and rcond= are not available; tg.linalg.lstsq"),
        (lambda x: x.sum(nothing=1), "unexpected keyword argument 'nothing'; its signature is sum"),
        (lambda x: x.max(dim=0), "PyTorch's gives a pair"),
        (lambda x: np.median(x, nothing=1), "nothing"),
    ],
)
def test_what_is_not_available_is_named(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(variable())


def test_another_class_gets_its_turn() -> None:
    class Other:
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> str:
            return f"{ufunc.__name__} of {len(inputs)}"

        def __array_function__(self, func: Any, types: Any, args: Any, options: Any) -> str:
            return func.__name__

    assert np.add(variable(), Other()) == "add of 2"
    assert np.add(Other(), variable()) == "add of 2"
    assert np.concatenate([variable(), Other()]) == "concatenate"


def test_questions_about_types_and_memory() -> None:
    x = variable(requires_grad=True)
    assert np.result_type(x, np.float32(1)) == np.float64
    assert np.may_share_memory(x, x)
    assert not np.may_share_memory(x, variable())
    assert np.can_cast(variable(INTS), np.float64)
    assert not np.iscomplexobj(x)
    assert "array(" in np.array_repr(x)
