"""The instruction set of a process: `TAPEGRAD_SIMD`, and what results have in common under all sets."""

import os
import subprocess
import sys
from ast import literal_eval

import pytest

import tapegrad as tg

SETS = ["avx512", "avx2", "baseline"]

PROGRAM = """
import tapegrad as tg
rng = tg.random.Generator(7)
x, w = rng.randn(37, 53), rng.randn(53, 41)
x.requires_grad_(), w.requires_grad_()
y = tg.tanh(x @ w) + tg.softmax(x @ w, axis=-1)
(tg.exp(y) * y).sum().backward()
print(tg._core._isa)
print([float(v) for v in (y.sum(), x.grad.sum(), w.grad.norm(), rng.rand(5).sum())])
"""


def run(simd: str | None, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TAPEGRAD_SIMD"}
    if simd is not None:
        environment["TAPEGRAD_SIMD"] = simd
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_widest_set_is_used_and_others_can_be_asked_for() -> None:
    default = run(None)
    assert default.returncode == 0, default.stderr
    name, values = default.stdout.splitlines()
    here = SETS[SETS.index(name) :]
    for simd in here:
        done = run(simd)
        assert done.returncode == 0, done.stderr
        other, numbers = done.stdout.splitlines()
        assert other == simd
        assert literal_eval(numbers) == pytest.approx(literal_eval(values), rel=1e-4)
    assert run("").stdout.splitlines()[0] == name, "empty is unset"


@pytest.mark.parametrize("simd", ["avx9", "AVX2", "0"])
def test_an_unknown_set_is_an_error_on_import(simd: str) -> None:
    done = run(simd, "import tapegrad")
    assert done.returncode != 0
    assert f'ValueError: TAPEGRAD_SIMD: got "{simd}", expected avx512, avx2 or baseline; unset it' in done.stderr


def test_a_set_that_the_processor_lacks_is_an_error_on_import() -> None:
    default = run(None).stdout.splitlines()[0]
    for simd in SETS[: SETS.index(default)]:
        done = run(simd, "import tapegrad")
        assert done.returncode != 0
        assert f'TAPEGRAD_SIMD: got "{simd}", but this processor has' in done.stderr


def test_the_set_in_use_has_a_name() -> None:
    assert tg._core._isa in SETS
