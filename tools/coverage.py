"""Line coverage of Rust and Python together, from cargo's tests and pytest.

The core is built with rustc's coverage counters, once for `cargo test` and once as the Python module; LLVM's tools, of
the version that rustc is built with, add the counts up. pytest-cov counts the Python half. Lines that nothing ran are
listed in target/coverage/missing.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target/coverage"
PROFILES = WORK / "profiles"
SITE = WORK / "site"
WRAPPER = WORK / "rustc"
#: Only this package is counted, dependencies run at full speed; PyPI's build of LLVM's tools cannot read compressed names.
FLAGS = "-Cinstrument-coverage -Cllvm-args=-enable-name-compression=false"
#: Tests inside src/ count lines of other code, not their own: files of tests are left out, and lines after `TESTS` in a
#: file.
TESTS = re.compile(r"^#\[cfg\(test\)\]\n(#\[.*\n)*mod \w+ \{", re.MULTILINE)
NOT_COUNTED = r"(/(tests|reference)\.rs$|/registry/|/rustc/|/tests/)"


def environment(**more: str) -> dict[str, str]:
    """The environment of instrumented builds and runs."""
    own = {
        "RUSTC_WORKSPACE_WRAPPER": str(WRAPPER),
        "CARGO_TARGET_DIR": str(WORK),
        "CARGO_PROFILE_RELEASE_STRIP": "none",
        "LLVM_PROFILE_FILE": str(PROFILES / "%p-%m.profraw"),
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        "PYO3_PYTHON": sys.executable,
    }
    return {**os.environ, **own, **more}


def built_by(*arguments: str) -> list[str]:
    """Runs cargo and returns the files that it made."""
    command = ["cargo", *arguments, "--locked", "--message-format=json-render-diagnostics"]
    out = subprocess.run(command, cwd=ROOT, env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = {"tapegrad", *(p.stem for p in ROOT.glob("tests/*.rs"))}
    files: list[str] = []
    for line in out.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] in ours:
            files += [f for f in [message["executable"], *message["filenames"]] if f and not f.endswith((".rlib", ".rmeta"))]
    return files


def tool(name: str) -> str:
    """One of LLVM's programs: from rustup's component, from the package of tools, or from the system."""
    sysroot = subprocess.run(["rustc", "--print", "target-libdir"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    places = [Path(sysroot).parent / "bin" / name, *Path(sys.prefix).glob(f"**/llvm/bin/{name}")]
    found = next((p for p in places if p.exists()), shutil.which(name))
    if not found:
        sys.exit(f"{name} was not found: `rustup component add llvm-tools`, or install the extra `coverage`")
    return str(found)


def run_rust() -> list[str]:
    """cargo's tests; returns the instrumented programs."""
    programs = built_by("test", "--lib", "--tests", "--no-run", "--profile", "release")
    for program in programs:
        if not program.endswith(".so"):
            subprocess.run([program, "--quiet"], cwd=ROOT, env=environment(), check=True)
    return programs


def run_python() -> list[str]:
    """pytest against an instrumented module; returns the module."""
    library = next(f for f in built_by("build", "--lib", "--release", "--features", "python") if f.endswith(".so"))
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "python/tapegrad", SITE / "tapegrad", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    module = SITE / "tapegrad/_core.so"
    shutil.copy(library, module)
    report = ["--cov=tapegrad", "--cov-report=", f"--cov-report=json:{WORK / 'python.json'}"]
    # The slow tests repeat a step 100,000 times to check memory: they run no lines that other tests do not run.
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "--timeout=1200", *report]
    subprocess.run(command, cwd=ROOT, env=environment(PYTHONPATH=str(SITE), COVERAGE_FILE=str(WORK / ".coverage")), check=True)
    return [str(module)]


def rust_lines(objects: list[str]) -> dict[str, dict[int, bool]]:
    """The lines of each file of src/, and whether they ran."""
    merged = WORK / "all.profdata"
    listing = WORK / "profiles.txt"
    listing.write_text("\n".join(map(str, PROFILES.glob("*.profraw"))))
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-f", str(listing), "-o", str(merged)], check=True)
    arguments = [f for o in objects[1:] for f in ("-object", o)]
    command = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={merged}", f"-ignore-filename-regex={NOT_COUNTED}"]
    out = subprocess.run([*command, objects[0], *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    files: dict[str, dict[int, bool]] = {}
    for line in out.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            lines = files.setdefault(rest, {})
            text = Path(rest).read_text()
            tests = TESTS.search(text)
            end = text.count("\n", 0, tests.start()) if tests else sys.maxsize
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            if number <= end:
                lines[number] = count > 0
    return below(files, ROOT / "src")


def python_lines() -> dict[str, dict[int, bool]]:
    """The statements of each file of the package, and whether they ran."""
    files = json.loads((WORK / "python.json").read_text())["files"]
    ran = {name: dict.fromkeys(f["executed_lines"], True) | dict.fromkeys(f["missing_lines"], False) for name, f in files.items()}
    return below({str((ROOT / name).resolve()): lines for name, lines in ran.items()}, SITE / "tapegrad")


def below(files: dict[str, dict[int, bool]], top: Path) -> dict[str, dict[int, bool]]:
    """The files below ``top``, by their names there."""
    return {str(Path(name).relative_to(top)): lines for name, lines in files.items() if Path(name).is_relative_to(top)}


def runs_of(numbers: list[int]) -> str:
    """Numbers as ranges: 3-5 9."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def show(title: str, files: dict[str, dict[int, bool]]) -> tuple[int, int]:
    """Prints a table, a line a folder, and returns its sum."""
    rooms: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, lines in files.items():
        for room in (Path(name).parts[0], f"{title} in all"):
            rooms[room] = (rooms[room][0] + sum(lines.values()), rooms[room][1] + len(lines))
    total = rooms.pop(f"{title} in all")
    for name, (covered, counted) in [*sorted(rooms.items()), (f"{title} in all", total)]:
        print(f"  {name:<22}{covered:>7} of {counted:>6} lines {covered / max(counted, 1):>8.1%}")
    return total


def main() -> int:
    """Measures, prints, and fails below the minimum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minimum", type=float, default=90.0, help="per cent of lines that must be covered")
    minimum = parser.parse_args().minimum
    shutil.rmtree(PROFILES, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    WRAPPER.write_text(f'#!/bin/sh\nexec "$@" {FLAGS}\n')
    WRAPPER.chmod(0o755)
    objects = [*run_rust(), *run_python()]
    halves = {"src": rust_lines(objects), "python/tapegrad": python_lines()}
    missing = [
        (f"{top}/{name}", [n for n, ran in lines.items() if not ran])
        for top, files in halves.items()
        for name, lines in sorted(files.items())
    ]
    (WORK / "missing.txt").write_text("".join(f"{name}: {runs_of(numbers)}\n" for name, numbers in missing if numbers))
    rust, python = show("Rust", halves["src"]), show("Python", halves["python/tapegrad"])
    covered, counted = rust[0] + python[0], rust[1] + python[1]
    share = 100 * covered / counted
    print(f"together {share:.1f}% of {counted} lines, at least {minimum:.0f}% are asked for")
    return int(share < minimum)


if __name__ == "__main__":
    sys.exit(main())
