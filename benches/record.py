"""Runs every bench and writes its output into docs/performance.md and docs/benches.md, with machine and commit.

python benches/record.py [--only matmul] [--page docs/performance.md]
python benches/record.py --only accuracy    # into docs/numerics.md; some twenty minutes
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from table import put

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
# Long tables, which nobody reads from end to end.
KERNELS = ROOT / "docs" / "benches.md"
NUMERICS = ROOT / "docs" / "numerics.md"
# `accuracy` takes long and depends on the code alone: it is run when it is asked for.
CARGO = sorted(re.findall(r'\[\[bench\]\]\s+name = "(\w+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8")))


def run(*command: str, **environment: str) -> str:
    """The output of a command, which is also shown."""
    print("$", *command, flush=True)
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout.strip()


def machine() -> str:
    """The processor, the system, the compiler and the commit, as a list."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else None
    commit = run("git", "rev-parse", "--short", "HEAD")
    if run("git", "status", "--porcelain", "src", "Cargo.lock"):
        commit += " with changes"
    facts = {
        "processor": f"{model[1] if model else platform.processor()}, {os.cpu_count()} logical cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "compiler": run("rustc", "--version"),
        "commit": commit,
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


def size(page: str) -> None:
    """The table of the wheels that were built."""
    wheels = sorted(str(w) for folder in (".venv/wheel", "dist") for w in (ROOT / folder).glob("*.whl"))
    if wheels and shutil.which("readelf"):
        run(sys.executable, "benches/size.py", *wheels, "--markdown", page)
    else:
        print("there is no wheel, or no readelf: the size is not measured")


def main() -> int:
    """Runs the chosen benches; each one replaces its own table only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["machine", *CARGO, "compare", "replay", "process", "size", "sharing", "instructions"]
    usual = [part for part in parts if part != "accuracy"]
    parser.add_argument("--only", nargs="+", choices=parts, default=usual)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    page = str(options.page)
    for part in options.only:
        if part == "machine":
            put(options.page, machine(), "machine")
        elif part == "accuracy":
            put(NUMERICS, run("cargo", "bench", "--locked", "--quiet", "--bench", part), "cargo bench accuracy")
        elif part in CARGO:
            printed = run("cargo", "bench", "--locked", "--quiet", "--bench", part, TAPEGRAD_NUM_THREADS="1")
            page_of = options.page if part in {"overhead", "sets", "tape"} else KERNELS
            put(page_of, printed if part == "sets" else f"```text\n{printed}\n```", f"cargo bench {part}")
        elif part in {"compare", "replay"}:
            for threads in range(1, 1 + min(2, os.cpu_count() or 1)):
                run(sys.executable, f"benches/{part}.py", "--threads", str(threads), "--markdown", page)
        elif part == "size":
            size(page)
        elif part == "process":
            run(sys.executable, "benches/process.py", "--markdown", page)
        elif part == "sharing":
            run(sys.executable, "benches/sharing.py", "--markdown", page, TAPEGRAD_NUM_THREADS="1")
        elif shutil.which("valgrind"):
            run(sys.executable, "benches/instructions.py", "--markdown", page)
        else:
            print("valgrind is not installed: instructions are not counted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
