"""What an operation costs in instructions, counted by valgrind: no clock and no neighbour disturbs it.

    python benches/instructions.py [--markdown OUT]

Each row runs a loop in a fresh interpreter, with n and with 2n turns: the difference over n is what one turn costs,
without the start of the interpreter. Needs valgrind (a system package). An empty loop is the part that Python takes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

SETUP = """
import tapegrad as tg
a, b = tg.Variable([1.0]), tg.Variable([1.0])
r = tg.Variable([1.0], requires_grad=True)
x = tg.Variable([[1.0] * 4] * 4)
"""
# What a turn does, and how many operations it is.
ROWS = [
    ("an empty loop", "pass", 1),
    ("a + b, one element", "a + b", 1),
    ("a + 1.0, one element", "a + 1.0", 1),
    ("a.tanh(), one element", "a.tanh()", 1),
    ("tg.sum(x, axis=0), 4 x 4", "tg.sum(x, axis=0)", 1),
    ("x @ x, 4 x 4", "x @ x", 1),
    ("r * b, one element, recorded and dropped", "r * b", 1),
    (
        "chain of 100 multiplications, both ways, an operation",
        "y = r\n    for _ in range(100): y = y * r\n    y.backward()",
        100,
    ),
]


def count(statement: str, turns: int) -> int:
    """Instructions of a whole run."""
    program = f"{SETUP}\nfor _ in range({turns}):\n    {statement}\n"
    valgrind = [shutil.which("valgrind") or "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if not found:
        raise SystemExit(f"valgrind said nothing of its count:\n{done.stderr}")
    return int(found[1])


def main() -> int:
    """Counts, prints a row at a time, and writes the table where it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", help="put the table into that page, too, between the marks of this program")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not installed (on Debian: the package valgrind)")
    lines = ["| work | instructions |", "|---|---|"]
    print("\n".join(lines))
    for name, statement, operations in ROWS:
        turns = max(2, 2000 // operations)
        cost = (count(statement, 2 * turns) - count(statement, turns)) / turns / operations
        lines.append(f"| {name} | {cost:,.0f} |")
        print(lines[-1], flush=True)
    if options.markdown:
        from compare import put

        put(Path(options.markdown), "\n".join(lines), "benches/instructions.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
