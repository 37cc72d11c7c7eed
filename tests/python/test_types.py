"""What type checkers say of programs that use the package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
import numpy as np
import tapegrad as tg


def loss(x: tg.Variable, w: tg.Variable) -> tg.Variable:
    y = tg.einsum("ij,j->i", x, w)
    values, places = tg.topk(y, 2)
    return tg.mean(tg.sort(values)) + tg.median(tg.pad(y, (1, 1))) + tg.cumsum(w)[-1]


x = tg.asarray(np.ones((3, 2)))
w = tg.Variable([1.0, 2.0], requires_grad=True)
loss(x, w).backward()
counts: tg.Variable = tg.unique_all(w).counts
shape: tuple[int, ...] = tg.broadcast_shapes((2, 1), (3,))
print(counts, shape)
"""
WRONG = """
import tapegrad as tg

print(tg.sine(1.0))
print(tg.sin(1.0).shap)
print(tg.sort([1.0], axes=1))
"""


def mypy(tmp_path: Path, text: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(text), encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, str(program)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_program_with_types_passes_and_misspelled_names_do_not(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    assert mypy(tmp_path, GOOD) == ""
    found = mypy(tmp_path, WRONG)
    assert 'Module has no attribute "sine"' in found
    assert 'has no attribute "shap"' in found
    assert 'Unexpected keyword argument "axes"' in found or "No overload variant" in found
