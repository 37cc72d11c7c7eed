"""The files of a release: versions, tags, symbols and contents agree."""

import importlib.util
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def text(name):
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not part of a source distribution")
    return path.read_text(encoding="utf-8")


@pytest.fixture
def tool():
    """The module tools/distribution.py."""
    text("tools/distribution.py")
    spec = importlib.util.spec_from_file_location("distribution", ROOT / "tools/distribution.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_smoke():
    runpy.run_path(str(ROOT / "tests/python/smoke.py"), run_name="__main__")


def test_one_oldest_python_everywhere(tool):
    project = tomllib.loads(text("pyproject.toml"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert oldest == ".".join(map(str, tool.PYTHON))
    assert f"abi3-py{oldest.replace('.', '')}" in tomllib.loads(text("Cargo.toml"))["dependencies"]["pyo3"]["features"]
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert "target-version" not in project["tool"]["ruff"], "ruff takes it from requires-python"
    listed = [c.rsplit(" ", 1)[-1] for c in project["project"]["classifiers"] if "Python :: 3." in c]
    assert listed[0] == oldest
    for page in ("README.md", "CONTRIBUTING.md", "Makefile", ".ci/run"):
        named = re.findall(r"Python (3\.\d+) or newer", text(page))
        assert named, page
        assert set(named) == {oldest}, page


def test_the_oldest_rust_is_said_once_more():
    oldest = tomllib.loads(text("Cargo.toml"))["package"]["rust-version"]
    assert f"Rust {oldest}" in text("README.md")
    assert f"Rust {oldest}" in text("CONTRIBUTING.md")
    assert not list(ROOT.glob("rust-toolchain*")), "it would stop a machine that has a toolchain of its own"


def maturin():
    found = [Path(sys.executable).parent / "maturin", Path(shutil.which("maturin") or "maturin")]
    return next((str(path) for path in found if path.exists()), None)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The names in a source distribution of this checkout."""
    text("Makefile")
    if not maturin() or not shutil.which("cargo"):
        pytest.skip("maturin and cargo make source distributions")
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([maturin(), "sdist", "--out", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        return {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}


@pytest.mark.parametrize(
    "pattern", ["src/**/*.rs", "python/**/*.py", "python/**/*.pyi", "tests/python/*.py", "docs/**/*.md", "examples/*.py"]
)
def test_sdist_holds_every(sdist, pattern):
    here = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
    assert here
    assert here <= sdist


def test_sdist_holds_what_builds_and_tests_need(sdist):
    needed = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE", "CONTRIBUTING.md", "python/tapegrad/py.typed"}
    assert needed | {"tests/golden/golden.json", "tests/golden/golden.npz", "tests/golden/check.py"} <= sdist


def test_sdist_holds_nothing_built_or_private(sdist):
    strange = r"\.(so|pyd|pyc|whl)$|__pycache__|rust-toolchain|^\.|^(target|dist|coverage)/|\.output"
    assert [name for name in sdist if re.search(strange, name)] == []


def test_glibc_versions_are_read(tool):
    table = """
00000000      DF *UND*  00000000 (GLIBC_2.2.5)  memcpy
00000000      DF *UND*  00000000  GLIBC_2.17    clock_gettime
00000000      DF *UND*  00000000 (GCC_3.0)      _Unwind_Resume
00000000      D  *UND*  00000000                PyList_New
"""
    assert tool.versions_of_glibc(table) == {(2, 2), (2, 17)}


@pytest.mark.parametrize(
    ("symbol", "library", "message"),
    [
        ("(GLIBC_2.17) secure_getenv", "libc.so.6", None),
        ("(GLIBC_2.34) pthread_create", "libc.so.6", r"needs glibc 2\.34, more than 2\.17: pthread_create"),
        ("(GLIBC_2.2.5) free", "libpython3.11.so.1.0", r"needs libpython3\.11"),
        ("(GLIBC_2.2.5) free", "ld-linux-x86-64.so.2", None),
    ],
)
def test_a_library_that_asks_too_much_is_refused(tool, monkeypatch, symbol, library, message):
    monkeypatch.setattr(tool, "run", lambda *c: f"DF *UND* 0 {symbol}\n" if "-T" in c else f"  NEEDED               {library}\n")
    if message is None:
        assert library in tool.check_library(Path("_core.abi3.so"))
    else:
        with pytest.raises(SystemExit, match=message):
            tool.check_library(Path("_core.abi3.so"))


@pytest.mark.parametrize("tag", ["cp311-cp311", "cp312-abi3", "cp313-cp313t"])
def test_a_wheel_of_one_version_is_refused(tool, tag):
    with pytest.raises(SystemExit, match=f"its tag says {tag}"):
        tool.check_wheel(Path(f"tapegrad-0.1.0-{tag}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"))


def test_interpreters_are_found_and_judged(tool):
    one = tool.probe(sys.executable)
    assert one.version == sys.version_info[:3]
    assert one.refused() is None
    assert tool.probe("/nowhere/python3") is None
    assert "older than 3.11" in tool.Interpreter((3, 10, 13), "p", "h", "CPython", False).refused()
    assert "free-threaded" in tool.Interpreter((3, 14, 0), "p", "h", "CPython", True).refused()
    assert "not CPython" in tool.Interpreter((3, 11, 0), "p", "h", "PyPy", False).refused()
