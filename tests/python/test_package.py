"""The modules that `import tapegrad` loads, and its names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad import _core


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_is_light():
    code = "import sys, tapegrad; print(*sorted(m for m in sys.modules if m.split('.')[0] in {'numpy', 'tapegrad', 'typing'}))"
    assert "numpy" not in python(code).split()
    assert "tapegrad.nn" not in python(code).split()
    assert "typing" not in python(code).split()


def test_numpy_is_loaded_when_an_array_crosses():
    code = "import sys, tapegrad as tg; x = tg.exp(tg.ones((2,))); print('numpy' in sys.modules, x.numpy().sum() > 5)"
    assert python(code).split() == ["False", "True"]


def test_every_listed_name_exists():
    assert tg.__all__ == sorted(set(tg.__all__))
    for name in tg.__all__:
        assert getattr(tg, name) is not None or name == "newaxis"
    assert set(tg.__all__) <= set(dir(tg))


def test_every_operation_is_exported():
    missing = [row["name"] for row in _core.registry() if hasattr(_core, row["name"]) and not hasattr(tg, row["name"])]
    assert missing == []


@pytest.mark.parametrize("name", ["backward", "apply_function", "SGD", "CrossEntropyLoss", "observe", "uniform", "samples"])
def test_inner_names_are_not_at_the_top(name):
    assert name not in tg.__all__
    with pytest.raises(AttributeError, match=f"module 'tapegrad' has no attribute '{name}'"):
        getattr(tg, name)


@pytest.mark.parametrize("module", ["nn", "optim", "random", "testing", "autograd", "nn.functional", "nn.init"])
def test_submodules_list_what_they_have(module):
    found = tg
    for part in module.split("."):
        found = getattr(found, part)
    for name in getattr(found, "__all__", ()):
        assert hasattr(found, name)


def test_unknown_names_in_autograd():
    with pytest.raises(AttributeError, match=r"module 'tapegrad\.autograd' has no attribute 'nothing'"):
        _ = tg.autograd.nothing
    assert "gradcheck" in dir(tg.autograd)


def test_second_names_of_parameters_are_in_signatures_and_stubs():
    x = tg.ones((2, 3))
    assert tg.sum(x, dim=0, keepdim=True).shape == x.sum(axis=0, keepdims=True).shape == (1, 3)
    assert tg.tile(x, reps=(2, 1)).shape == (4, 3)
    assert "dim=None, keepdim=False" in tg.sum.__text_signature__
    assert "ddof=0.0" in tg.Variable.var.__text_signature__
    stubs = "".join(p.read_text(encoding="utf-8") for p in Path(_core.__file__).parent.rglob("*.pyi"))
    for row in _core.registry():
        for second in (p["alias"] for p in row["params"] if p["alias"]):
            lines = re.findall(rf"def {row['name']}\(.*", stubs)
            assert any(f"{second}: " in line for line in lines), (row["name"], second)
    with pytest.raises(TypeError, match="multiple values"):
        tg.sum(x, axis=0, dim=0)


def test_func_exports_every_transformation():
    assert {"functional_call", "grad", "grad_and_value", "jvp", "stack_module_state", "vjp", "vmap"} <= set(tg.func.__all__)
