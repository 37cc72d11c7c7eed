"""No deadlock, no crash: every pair of actions of threads on the same Variables, and forks of a busy process.

``make stress`` runs this for longer (``TAPEGRAD_STRESS`` is the factor).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

FACTOR = float(os.environ.get("TAPEGRAD_STRESS", "1"))
SCRIPT = Path(__file__).with_name("stress.py")
ACTIONS = ["step", "backward", "accumulate", "read", "write", "hook", "drop"]


def run(*args: str, seconds: float, script: Path = SCRIPT) -> str:
    """Runs the script and returns its output. A process that does not end in time hangs: the error shows its stacks."""
    command = [sys.executable, "-X", "faulthandler", str(script), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"{args} hangs\n{out}\n{err}")
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations_with_replacement(ACTIONS, 2)))
def test_two_threads(first: str, second: str) -> None:
    seconds = 0.4 * FACTOR
    rounds = run(first, second, str(seconds), seconds=60 + 10 * seconds).split()
    assert all(int(n) > 0 for n in rounds)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_forks_of_a_busy_process() -> None:
    forks = int(200 * FACTOR)
    out = run(str(forks), seconds=120 + forks, script=SCRIPT.with_name("stress_fork.py"))
    assert out.split() == ["forks", str(forks)]
