"""The cost of operations in instructions, counted by valgrind, which does not depend on the clock or on other processes.

    python benches/instructions.py [--markdown OUT]

Each row runs a loop in a fresh interpreter, with n and with 2n turns: the difference over n is what one turn costs,
without the start of the interpreter. Needs valgrind (a system package). An empty loop is the part that Python takes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from table import Table, arguments

SETUP = """
import tapegrad as tg
a, b = tg.Variable([1.0]), tg.Variable([1.0])
r = tg.Variable([1.0], requires_grad=True)
x = tg.Variable([[1.0] * 4] * 4)
"""
# The code of a turn, and its number of operations.
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
        "y = r\n        for _ in range(100): y = y * r\n        y.backward()",
        100,
    ),
]


def count(statement: str, turns: int) -> int:
    """Instructions of a whole run."""
    program = f"{SETUP}\ndef work():\n    for _ in range({turns}):\n        {statement}\nwork()\n"
    valgrind = [shutil.which("valgrind") or "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # Strings hash as in every other run: else the start of the interpreter costs something different each time.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([*valgrind, sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if not found:
        raise SystemExit(f"valgrind said nothing of its count:\n{done.stderr}")
    return int(found[1])


def main() -> int:
    """Counts, prints a row at a time, and writes the table where it was asked for."""
    options = arguments(__doc__).parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not installed (on Debian: the package valgrind)")
    table = Table("| work | instructions |", "|---|---|")
    for name, statement, operations in ROWS:
        turns = max(2, 10_000 // operations)
        cost = (count(statement, 2 * turns) - count(statement, turns)) / turns / operations
        table.add(f"| {name} | {cost:,.0f} |")
    table.write(options.markdown, "benches/instructions.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
