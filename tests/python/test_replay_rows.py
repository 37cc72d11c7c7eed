"""Every row of the registry as a program: recorded with some values, replayed with others, against an eager call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _core
from tapegrad._tree import flatten, leaves, unflatten

#: Operations that read elements, and so cannot be programs.
READS = (
    "ctc_loss digitize nanargmax nanargmin unique_all unique_counts "
    "unique_inverse unique_values nonzero argwhere flatnonzero union1d intersect1d setdiff1d setxor1d tensordot bincount "
    "histogram histogram_bin_edges insert delete compress extract segment_sum lu_solve lstsq"
)


def rows() -> list[str]:
    names = [(r.get("module") or "", r["name"]) for r in _core.registry()]
    return [f"{module}.{name}" if module else name for module, name in names]


def other(v: tg.Variable, k: int) -> tg.Variable:
    a = v.detach().numpy().copy()
    return tg.asarray((a * (1 - 1e-3 * k)).astype(a.dtype) if a.dtype.kind in "fc" else a)


def bits(values: list[tg.Variable]) -> list[bytes]:
    return [v.detach().numpy().tobytes() for v in values]


def energy(y: tg.Variable) -> tg.Variable:
    return (y * y.conj()).real.sum() if y.dtype.is_complex else (y * y).sum()


class Call:
    """A function with the arguments of a sample, as a function of its arrays."""

    def __init__(self, function: Any, sample: Any, gradients: bool) -> None:
        self.found: list[Any] = []
        self.structure = flatten(list(sample), self.found)
        self.at = [i for i, v in enumerate(self.found) if isinstance(v, tg.Variable)]
        self.function, self.gradients = function, gradients

    def inputs(self, k: int) -> list[tg.Variable]:
        return [other(self.found[i], k) for i in self.at]

    def __call__(self, values: list[tg.Variable]) -> list[tg.Variable]:
        full = list(self.found)
        for i, v in zip(self.at, values, strict=True):
            full[i] = v
        tg.manual_seed(5)
        if not self.gradients:
            return [v for v in leaves(self.function(*unflatten(self.structure, full))) if isinstance(v, tg.Variable)]
        floating = [i for i in self.at if full[i].dtype.is_floating_point]
        for i in floating:
            full[i] = full[i].clone().requires_grad_()
        xs = [full[i] for i in floating]
        outs = leaves(self.function(*unflatten(self.structure, full)))
        tracked = [y for y in outs if isinstance(y, tg.Variable) and y.requires_grad]
        if not tracked:
            return []
        total = sum((energy(y) for y in tracked[1:]), energy(tracked[0]))
        return [g for g in tg.autograd.grad(total, xs, allow_unused=True) if g is not None]


def program(call: Call, inputs: list[tg.Variable]) -> Any:
    assert _core._capture_begin(inputs, [], [])
    try:
        results = call(inputs)
    except BaseException:
        _core._capture_abort()
        raise
    return _core._capture_finish(results, inputs, [])


@pytest.mark.parametrize("gradients", [False, True], ids=["values", "gradients"])
@pytest.mark.parametrize("key", rows())
def test_a_row_is_replayed_bit_for_bit(key: str, gradients: bool) -> None:
    function = _core._functions.get(key)
    if function is None:
        pytest.skip("no function of that name")
    for sample in _core.samples(key)[:3]:
        call = Call(function, sample, gradients)
        first, second = call.inputs(1), call.inputs(2)
        try:
            want = call(second)
        except (TypeError, ValueError):
            continue  # samples for Rust alone, or values that the change made invalid
        trace = program(call, first)
        if isinstance(trace, str):
            assert key.rpartition(".")[2] in READS.split(), trace
            continue
        pure, recorded = trace.is_pure(), trace.program()
        assert bits(recorded.call(second)) == bits(want)
        if not pure:
            continue
        try:
            data = recorded.to_bytes(None)
        except ValueError as error:
            assert "outside of the primitives" in str(error)  # noqa: PT017 - checks of values that are no primitives
            continue
        assert bits(_core._Program.from_bytes(data)[0].call(second)) == bits(want)


def numbers(seed: int) -> dict[str, tg.Variable]:
    rng = np.random.default_rng(seed)
    return {
        "x": tg.asarray(rng.standard_normal((4, 5))),
        "rows": tg.asarray(rng.integers(0, 4, 3)),
        "columns": tg.asarray(rng.integers(0, 5, 3)),
        "places": tg.asarray(rng.integers(0, 4, (2, 5))),
        "mask": tg.asarray(rng.random((4, 5)) > 0.5),
        "one": tg.asarray(rng.standard_normal()),
        "three": tg.asarray(rng.standard_normal(3)),
        "blocks": tg.asarray(rng.standard_normal((3, 5))),
        "all": tg.asarray(rng.standard_normal((4, 5))),
    }


WRITES: dict[str, Any] = {
    "rows": lambda b, d: b.__setitem__(d["rows"], d["blocks"]),
    "pairs": lambda b, d: b.__setitem__((d["rows"], d["columns"]), d["three"]),
    "columns": lambda b, d: b.__setitem__((slice(1, 3), d["columns"]), d["three"]),
    "of a row": lambda b, d: b[0].__setitem__(d["columns"], d["three"]),
    "of a view": lambda b, d: b.T.__setitem__(d["columns"], d["all"][:, :3].T),
    "sum": lambda b, d: b.__setitem__(d["rows"], b[d["rows"]] + d["blocks"]),
    "mask": lambda b, d: b.__setitem__(d["mask"], d["one"]),
    "index_put_": lambda b, d: b.index_put_((d["rows"], d["columns"]), d["three"]),
    "index_copy_": lambda b, d: b.index_copy_(0, d["rows"], d["blocks"]),
    "index_add_": lambda b, d: b.index_add_(0, d["rows"], d["blocks"]),
    "scatter_": lambda b, d: b.scatter_(0, d["places"], d["all"][:2]),
    "masked_scatter_": lambda b, d: b.masked_scatter_(d["mask"], d["all"]),
    "put_along_axis": lambda b, d: tg.put_along_axis(b, d["places"], d["all"][:2], 0),
    "np.put": lambda b, d: np.put(b, d["rows"], d["three"]),
    "np.copyto": lambda b, d: np.copyto(b, d["all"], where=d["mask"]),
}


@pytest.mark.parametrize("tracked", ["x", "one three blocks all", "x one three blocks all"])
@pytest.mark.parametrize("name", WRITES)
def test_writes_at_indices_and_masks_that_change(name: str, tracked: str) -> None:
    """The indices of a write are a step of the program, whatever is tracked."""

    def f(given: dict[str, tg.Variable]) -> list[tg.Variable]:
        d = {k: v.detach().requires_grad_() if k in tracked.split() else v for k, v in given.items()}
        b = d["x"] * 2
        WRITES[name](b, d)
        leaves = [d[k] for k in tracked.split()]
        grads = tg.autograd.grad((b**2).sum(), leaves, allow_unused=True)
        return [b.detach(), *(g for g in grads if g is not None)]

    compiled = tg.compile(f)
    for seed in (0, 0, 0, 1, 2, 3, 4):
        want, got = f(numbers(seed)), compiled(numbers(seed))
        assert [v.numpy().tobytes() for v in got] == [v.numpy().tobytes() for v in want], seed
