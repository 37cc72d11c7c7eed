"""Type checkers on programs that use the package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg

GOOD = """
from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn, optim


class Net(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.first = nn.Linear(n, 8)
        self.second = nn.Linear(8, 1)

    def forward(self, x: tg.Variable) -> tg.Variable:
        hidden: tg.Variable = self.first(x)
        out: tg.Variable = self.second(tg.tanh(hidden))
        return out


def train(data: npt.NDArray[np.float64]) -> float:
    net = Net(3)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    cost = tg.zeros(2, 3, requires_grad=True).sum()
    for _ in range(2):
        opt.zero_grad()
        cost = F.mse_loss(net(tg.asarray(data)), tg.zeros((4, 1)))
        cost.backward()
        opt.step()
    return float(cost)


def cube(w: tg.Variable) -> tg.Variable:
    return (w**3).sum()


def arrays(w: tg.Variable) -> tg.Variable:
    z = tg.where(w > 0, w, 0.0) + tg.linalg.norm(w) + tg.special.erf(w[0])
    a, b = tg.split(z, 2)[:2]
    q = tg.concat([a, b]).reshape(-1).reshape((2, -1), order="F").sum(axis=0, keepdims=True)
    values, counts = tg.unique_counts(tg.asarray([1, 2, 2]))
    u = tg.unwrap(q) + tg.polyval([1.0, 2.0], q) + int(values[0]) + counts.size + tg.linspace(w, 2 * w, 3)[0, 0]
    whole, rest = divmod(u, 2.0)
    return (u * 1j).real + abs(whole) + np.pi * rest.copy() + tg.einsum("ij,ij->", u, u)



def loss(x: tg.Variable, w: tg.Variable) -> tg.Variable:
    y = tg.einsum("ij,j->i", x, w)
    values, _ = tg.topk(y, 2)
    return tg.mean(tg.sort(values)) + tg.median(tg.pad(y, (1, 1))) + tg.cumsum(w)[-1]


x = tg.asarray(np.ones((3, 2)))
w = tg.Variable([1.0, 2.0], requires_grad=True)
loss(x, w).backward()
counts: tg.Variable = tg.unique_all(w).counts
shape: tuple[int, ...] = tg.broadcast_shapes((2, 1), (3,))
gradient: tg.Variable = tg.grad(cube)(w)
value, slope = tg.value_and_grad(cube)(w)
hessian: tg.Variable = tg.hessian(cube)(w)
print(counts, shape, gradient, value, slope, hessian, arrays(w), train(np.ones((4, 3))), 2.0 in w, w.flat[0], w.item(0))
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


def test_basedpyright_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    import json

    (tmp_path / "good.py").write_text(textwrap.dedent(GOOD), encoding="utf-8")
    (tmp_path / "wrong.py").write_text(textwrap.dedent(WRONG), encoding="utf-8")
    paths = [str(Path(tg.__file__).parent.parent), str(Path(np.__file__).parent.parent)]
    options = {"include": ["."], "extraPaths": paths, "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(options), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = {Path(d["file"]).name: [] for d in found} | {"good.py": [], "wrong.py": []}
    for d in found:
        errors[Path(d["file"]).name].append(d["message"])
    assert errors["good.py"] == []
    assert any('"sine" is not a known attribute' in message for message in errors["wrong.py"])
    assert any('"shap"' in message for message in errors["wrong.py"])
