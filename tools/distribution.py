"""Checks the files of a release: the wheel, the source distribution, the crate's package.

    python tools/distribution.py wheel dist/tapegrad-*.whl [--tests]
    python tools/distribution.py sdist

`wheel` checks the tag, the glibc symbols, the libraries that are needed and the stable ABI, then installs the wheel in a
fresh environment on every CPython that it finds and runs tests/python/smoke.py there; `--tests` runs the quick tests too.
`sdist` packs the sources, builds a wheel from them in an empty folder (without optimisation, to save time) and tries it;
then it compiles the crate's package. Needs pip, maturin, abi3audit, binutils.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The oldest CPython and the oldest glibc that the wheel promises.
PYTHON = (3, 11)
GLIBC = (2, 17)
#: Libraries that every Linux has: the parts of glibc. The wheel may need no others.
LIBRARIES = re.compile(r"(libc|libm|libdl|libpthread|librt|ld-linux[\w-]*)\.so\.\d+")
#: Folders of interpreters, besides those of PATH.
PLACES = (
    ("~/.pyenv/versions", "*/bin/python"),
    ("~/.local/share/uv/python", "*/bin/python3"),
    ("/opt/python", "*/bin/python"),
    ("/Library/Frameworks/Python.framework/Versions", "*/bin/python3"),
)
PROBE = """
import json, os, platform, sys, sysconfig
facts = {"version": sys.version_info[:3], "implementation": platform.python_implementation()}
facts["home"] = os.path.realpath(sys.base_prefix)
facts["free"] = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps(facts))
"""


@dataclass(frozen=True, order=True)
class Interpreter:
    """A CPython of this machine."""

    version: tuple[int, int, int]
    path: str
    home: str
    implementation: str
    free_threaded: bool

    def __str__(self) -> str:
        return f"{self.implementation} {'.'.join(map(str, self.version))} ({self.path})"

    def refused(self) -> str | None:
        """The reason why the wheel does not fit it; None when it fits."""
        if self.implementation != "CPython":
            return "not CPython"
        if self.free_threaded:
            return "free-threaded, which the stable ABI of 3.11 does not serve"
        return f"older than {PYTHON[0]}.{PYTHON[1]}" if self.version < PYTHON else None


def run(*command: str | Path, **options: object) -> str:
    """The output of a command; when it fails, ends the program with its output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def probe(path: str) -> Interpreter | None:
    """The interpreter behind a path; None if it does not run, as a shim of a version that is not chosen."""
    try:
        done = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(tuple(facts["version"]), path, facts["home"], facts["implementation"], facts["free"])


def interpreters() -> list[Interpreter]:
    """Every Python 3 of this machine, each once, oldest first."""
    paths = [path for root, place in PLACES for path in sorted(Path(root).expanduser().glob(place))]
    for folder in os.get_exec_path():
        paths += sorted(path for path in Path(folder).glob("python3*") if re.fullmatch(r"python3(\.\d+)?t?", path.name))
    found: dict[tuple[str, tuple[int, int, int]], Interpreter] = {}
    for path in paths:
        if one := probe(str(path)):
            found.setdefault((one.home, one.version), one)
    return sorted(found.values())


def versions_of_glibc(symbols: str) -> set[tuple[int, int]]:
    """The versions of glibc that a table of symbols (`objdump -T`) names."""
    return {(int(a), int(b)) for a, b in re.findall(r"\bGLIBC_(\d+)\.(\d+)", symbols)}


def check_library(library: Path) -> str:
    """Checks the symbols and libraries that the compiled module needs on Linux."""
    symbols, needed = run("objdump", "-T", library), re.findall(r"NEEDED +(\S+)", run("objdump", "-p", library))
    newest = max(versions_of_glibc(symbols), default=(0, 0))
    if newest > GLIBC:
        names = sorted(line.split()[-1] for line in symbols.splitlines() if max(versions_of_glibc(line), default=(0, 0)) > GLIBC)
        sys.exit(f"{library.name} needs glibc {newest[0]}.{newest[1]}, more than {GLIBC[0]}.{GLIBC[1]}: {', '.join(names)}")
    if strange := [name for name in needed if not LIBRARIES.fullmatch(name)]:
        sys.exit(f"{library.name} needs {', '.join(strange)}, which a system need not have")
    return f"symbols up to glibc {newest[0]}.{newest[1]}, needs {' '.join(needed)}"


def check_wheel(wheel: Path) -> None:
    """Checks name, contents, symbols and ABI of a wheel."""
    python, abi, platform = wheel.stem.split("-")[-3:]
    if (python, abi) != (f"cp{PYTHON[0]}{PYTHON[1]}", "abi3"):
        sys.exit(f"{wheel.name}: one wheel must serve CPython {PYTHON[0]}.{PYTHON[1]} and newer, its tag says {python}-{abi}")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        for expected in ("tapegrad/py.typed", "tapegrad/_core.pyi", "tapegrad/__init__.py", "licenses/LICENSE"):
            if not any(name.endswith(expected) for name in names):
                sys.exit(f"{wheel.name} lacks {expected}")
        if extra := [name for name in names if not name.startswith(("tapegrad/", "tapegrad-"))]:
            sys.exit(f"{wheel.name} would install {', '.join(extra)}")
        (module,) = (name for name in names if name.startswith("tapegrad/_core.") and name.endswith((".so", ".pyd")))
        library = Path(archive.extract(module, folder))
        said = check_library(library) if platform.startswith("manylinux") else "no glibc"
        size = library.stat().st_size
    run(sys.executable, "-m", "abi3audit", "--strict", wheel)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, library {size:,} bytes, {said}, no violation of abi3", flush=True)


def environment(python: str, home: Path) -> Path:
    """A fresh virtual environment's interpreter. It needs no pip of its own: ours installs into it."""
    run(python, "-m", "venv", "--without-pip", home)
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path, *what: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python, "install", *what)


def smoke(python: Path) -> str:
    """Runs tests/python/smoke.py away from the sources, warnings as errors."""
    return run(python, "-I", "-W", "error", ROOT / "tests/python/smoke.py", cwd=python.parent).strip()


def try_wheel(wheel: Path, tests: bool) -> None:
    """Installs and runs the wheel on every interpreter that it fits."""
    found = interpreters()
    for one in found:
        print(f"found {one}" + (f": not used, {why}" if (why := one.refused()) else ""), flush=True)
    used = [one for one in found if not one.refused()]
    if not used:
        sys.exit(f"no CPython {PYTHON[0]}.{PYTHON[1]} or newer was found")
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as folder:
        for i, one in enumerate(used):
            python = environment(one.path, Path(folder) / str(i))
            install(python, wheel)
            print(f"{one}: {smoke(python)}", flush=True)
            if tests:
                install(python, "hypothesis>=6.100", "pytest>=8.3", "pytest-timeout>=2.3", "scipy>=1.13")
                options = ("-q", "-m", "not slow", "-p", "no:cacheprovider", "--timeout=1200")
                print(run(python, "-m", "pytest", *options, cwd=ROOT).strip().splitlines()[-1], flush=True)
        # The oldest NumPy that the metadata allows, on the oldest interpreter.
        python = environment(used[0].path, Path(folder) / "oldest")
        install(python, wheel, oldest_numpy())
        print(f"{used[0]}: {smoke(python)}", flush=True)


def oldest_numpy() -> str:
    """`numpy==1.26.*` from the dependency `numpy>=1.26`."""
    floor = re.search(r'"numpy>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if not floor:
        sys.exit("pyproject.toml does not say which NumPy is the oldest")
    return f"numpy=={floor[1]}.*"


def try_sdist() -> None:
    """Builds a wheel from the source distribution, where nothing but Rust and pip is, and tries it."""
    target = {"CARGO_TARGET_DIR": str(ROOT / "target/sdist"), "PYO3_PYTHON": sys.executable}
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as name:
        folder = Path(name)
        run(Path(sys.executable).parent / "maturin", "sdist", "--out", folder, cwd=ROOT)
        (archive,) = folder.glob("*.tar.gz")
        print(f"{archive.name}: {archive.stat().st_size:,} bytes", flush=True)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--wheel-dir", folder)
        run(*pip, archive, cwd=folder, env=os.environ | target | {"MATURIN_PEP517_ARGS": "--profile dev"})
        (wheel,) = folder.glob("*.whl")
        python = environment(sys.executable, folder / "venv")
        install(python, wheel)
        print(f"{wheel.name}: {smoke(python)}", flush=True)
    cargo = os.environ.get("CARGO", "cargo")
    run(cargo, "fetch", "--locked", cwd=ROOT)
    # All dependencies are here now, so that the package itself must suffice.
    run(cargo, "package", "--locked", "--offline", "--allow-dirty", "--features", "python", cwd=ROOT, env=os.environ | target)
    print("the crate's package compiles, with the feature python")


def main() -> int:
    """Runs the checks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_wheel = commands.add_parser("wheel")
    of_wheel.add_argument("wheel", type=Path)
    of_wheel.add_argument("--tests", action="store_true", help="run the quick tests on every interpreter, too")
    commands.add_parser("sdist")
    options = parser.parse_args()
    if options.command == "sdist":
        try_sdist()
        return 0
    if not shutil.which("objdump"):
        sys.exit("objdump is not installed (on Debian: the package binutils)")
    check_wheel(options.wheel)
    try_wheel(options.wheel.resolve(), options.tests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
