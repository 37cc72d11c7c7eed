"""A rank that fails ends the whole job: in time, with a code that is not zero, and a message of rank, step and collective."""

from __future__ import annotations

import re

import pytest

import tapegrad as tg
from conftest import launch, plain

pytestmark = pytest.mark.usefixtures("mpi")

#: How long a job may last: 3 s of waiting, starting and ending on a busy machine.
LIMIT = 40.0
#: The text of each failure, by our launcher and by plain mpiexec alike.
SAID = {
    "raise": r"rank 1 of 3, step 3, .*collective all_reduce.*uncaught ValueError: on purpose",
    "exit": r"rank 1 has left the job after rank 1 of 3, step 3.*while rank \d of 3, step 3, .*collective all_reduce",
    "exit-0": r"rank 1 has left the job after rank 1 of 3, step 3.*while rank \d of 3, step 3, .*collective all_reduce",
    "sleep": r"all_reduce.*timed out after \d.*rank \d of 3, step 3, .*no word from ranks \[1\]",
    "swallow": r"timed out after \d.*|uncaught MismatchError|has ended and waited",
    "other-collective": r"(?s)the ranks disagree at rank \d of 3, step 3.*ranks \[1\]: barrier\(\)",
    "sleep-at-end": r"rank \d of 3, step 5.*has ended and waited \d.* for the other ranks",
    "module": r"(?s)DistributedDataParallel: the ranks have different modules.*rank 1: weight: float32 \(3, 2\)",
}
#: Texts that only the launcher can print, because no process of the job is left.
NOTED = ("os-exit", "os-exit-0", "kill", "segv", "raise-before-init", "sleep-before-init")


@pytest.mark.parametrize("what", SAID)
def test_by_the_launcher(what):
    job = launch("faulty.py", what, ranks=3, limit=LIMIT)
    assert job.code != 0, job.text
    assert_said(SAID[what], job.text)
    assert "where each rank was:" in job.text


@pytest.mark.parametrize("what", ["raise", "exit", "sleep", "other-collective"])
def test_by_plain_mpiexec(what):
    """Without ``-m mpi4py``."""
    job = plain("faulty.py", what, ranks=3, limit=LIMIT)
    assert job.code != 0, job.text
    assert_said(SAID[what], job.text)


@pytest.mark.parametrize("what", NOTED)
def test_what_the_launcher_notes(what):
    job = launch("faulty.py", what, ranks=3, limit=LIMIT)
    assert job.code != 0, job.text
    if what.endswith("before-init"):
        assert "rank 1: it did not come to init" in job.text
    else:
        assert_said(r"rank 1 of 3, step 2, call 4?.*collective all_reduce|rank 1 of 3, step 3", job.text)


@pytest.mark.parametrize("what", ["kill", "sleep-before-init"])
def test_deaths_by_plain_mpiexec(what):
    assert plain("faulty.py", what, ranks=3, limit=LIMIT).code != 0


def test_the_exit_code_of_a_rank_is_that_of_the_job():
    job = launch("faulty.py", "exit-at-end", ranks=3, limit=LIMIT)
    assert job.code == 5, job.text
    assert job.text.count("reached the end") == 2


def test_a_checkpoint_that_is_being_written_leaves_the_old_one_whole(tmp_path):
    path = tmp_path / "checkpoint"
    job = launch("faulty.py", "kill-in-checkpoint", path, ranks=3, limit=LIMIT)
    assert job.code != 0, job.text
    assert tg.load(path)["data"] == {"step": 2}
    assert tg.load(path)["parts"]["model"]["weight"].shape == (100, 100)


def assert_said(pattern, text):
    assert re.search(pattern, text), text
