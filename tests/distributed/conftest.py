"""Helpers of the tests of jobs: starting one with the `mpiexec` beside this Python, within a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
JOBS = HERE / "jobs"


@dataclass
class Ended:
    """A job that has ended."""

    code: int
    text: str
    seconds: float

    def lines(self, start: str) -> list[str]:
        """The lines that begin with a word, without it."""
        return [line.removeprefix(start).strip() for line in self.text.splitlines() if line.startswith(start)]


def mpiexec() -> str | None:
    """The one beside this Python."""
    return shutil.which(str(Path(sys.executable).parent / "mpiexec"))


def environment() -> dict[str, str]:
    """A plain environment, in which Open MPI may run as root."""
    names = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**{k: v for k, v in os.environ.items() if not k.startswith("TAPEGRAD_")}, **names, "TAPEGRAD_NUM_THREADS": "1"}


def run(command: list[str], limit: float, folder: Path | None = None) -> Ended:
    """Runs a command; its process group is ended after the limit, which is a failure."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=folder, start_new_session=True
    )
    try:
        out, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, _ = process.communicate()
        pytest.fail(f"{command} hangs: it did not end in {limit} s\n{out.decode(errors='replace')}")
    return Ended(process.returncode, out.decode(errors="replace").replace("\0", ""), time.monotonic() - start)


def launch(job: str, *arguments: object, ranks: int, limit: float = 60.0, folder: Path | None = None) -> Ended:
    """A job of ``jobs/`` by our launcher."""
    command = [sys.executable, "-m", "tapegrad.distributed.run", "-n", str(ranks), str(JOBS / job), *map(str, arguments)]
    return run(command, limit, folder)


def plain(job: str, *arguments: object, ranks: int, limit: float = 60.0) -> Ended:
    """The same by mpiexec itself."""
    found = mpiexec()
    assert found
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    options = ["--oversubscribe", "--bind-to", "none"] if "Open MPI" in told else []
    return run([found, *options, "-n", str(ranks), sys.executable, str(JOBS / job), *map(str, arguments)], limit)


@pytest.fixture(scope="session")
def mpi() -> None:
    """Skips where there is no MPI."""
    pytest.importorskip("mpi4py")
    if mpiexec() is None:
        pytest.skip("there is no mpiexec beside this Python")
