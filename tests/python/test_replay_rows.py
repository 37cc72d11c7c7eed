"""Every row of the registry as a program: recorded with some values, replayed with others, against an eager call."""

from __future__ import annotations

from typing import Any

import pytest

import tapegrad as tg
from tapegrad import _core
from tapegrad._tree import flatten, leaves, unflatten

#: Operations that read elements, and so cannot be programs.
READS = (
    "max_unpool1d max_unpool2d max_unpool3d one_hot ctc_loss digitize nanargmax nanargmin unique_all unique_counts "
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
    assert _core._capture_begin(inputs, [])
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
