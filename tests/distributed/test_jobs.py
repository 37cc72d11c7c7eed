"""Real jobs of MPI: collectives, training, launching. The tests of faults are beside this file."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest

from conftest import JOBS, launch, mpiexec, plain, run

pytestmark = pytest.mark.usefixtures("mpi")


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_collectives(ranks):
    job = launch("collectives.py", ranks=ranks)
    assert job.code == 0, job.text
    # Lines of several ranks may run into one another.
    assert sorted(re.findall(r"passed on rank (\d)", job.text)) == [str(r) for r in range(ranks)]


def test_collectives_by_plain_mpiexec():
    job = plain("collectives.py", ranks=3)
    assert job.code == 0, job.text
    assert job.text.count("passed on rank") == 3


@pytest.mark.parametrize(("words", "numbers"), [([], (1, 2)), (["sharded", "uneven", "norm"], (1, 2, 4))])
def test_any_number_of_ranks_learns_the_same(words, numbers, tmp_path):
    found = {}
    for ranks in numbers:
        job = launch("training.py", tmp_path, 6, *words, ranks=ranks)
        assert job.code == 0, job.text
        assert job.lines("equal") == ["True"]
        found[ranks] = np.load(tmp_path / f"values-{ranks}.npy")
    for ranks in numbers[1:]:
        np.testing.assert_allclose(found[ranks], found[1], rtol=2e-4, atol=2e-5)


def test_reruns_are_equal_bit_for_bit_and_masks_differ(tmp_path):
    jobs = [launch("training.py", tmp_path, 3, "dropout", ranks=3) for _ in range(2)]
    assert [job.code for job in jobs] == [0, 0], jobs[0].text
    assert jobs[0].lines("digest") == jobs[1].lines("digest")
    assert jobs[0].lines("masks")[0] == "3"


def test_resuming_on_another_number_of_ranks(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert launch("training.py", whole, 4, "sharded", ranks=2).code == 0
    assert launch("training.py", parts, 2, "sharded", "checkpoint", ranks=4).code == 0
    job = launch("training.py", parts, 4, "sharded", "checkpoint", ranks=2)
    assert job.code == 0, job.text
    np.testing.assert_allclose(np.load(parts / "values-2.npy"), np.load(whole / "values-2.npy"), rtol=2e-4, atol=2e-5)


# ---- the launcher ----


def command(*arguments):
    return [sys.executable, "-m", "tapegrad.distributed.run", *map(str, arguments)]


def test_the_launcher_says_what_it_did(tmp_path):
    script = tmp_path / "job.py"
    line = "' '.join(['threads', os.environ['TAPEGRAD_NUM_THREADS'], *sys.argv[1:]]) + '\\n'"
    script.write_text(f"import os, sys\nsys.stdout.write({line})\n")
    job = run(command("-n", 2, script, "a", "--b"), 60)
    assert job.code == 0, job.text
    (said,) = job.lines("tapegrad.distributed:")
    assert said.startswith("2 ranks on ")
    assert mpiexec() in said
    each = max(1, len(os.sched_getaffinity(0)) // 2)
    assert f"{each} thread{'s' * (each > 1)} a rank" in said
    assert job.text.count(f"threads {each} a --b") == 2


def test_modules_exit_codes_and_quiet(tmp_path):
    (tmp_path / "job.py").write_text("import sys\nsys.exit(7)\n")
    job = run(command("-n", 1, "--quiet", "-m", "job"), 60, tmp_path)
    assert job.code == 7
    assert "1 rank on" not in job.text


def test_the_time_limit_of_a_job(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import time\ntime.sleep(100)\n")
    job = run(command("-n", 2, "--timeout", 2, script), 30)
    assert job.code == 124
    assert "did not end in 2 s (--timeout)" in job.text


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("-n", 2, "nothing.py"), "there is no file nothing.py"),
        (("-n", 0, __file__), "must be 1 or more"),
        (("-n", 2, "--mpiexec", "/no/mpiexec", __file__), "there is no program /no/mpiexec"),
    ],
)
def test_wrong_use_of_the_launcher(arguments, match):
    job = run(command(*arguments), 30)
    assert job.code == 2
    assert match in job.text


def test_threads_are_set(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import tapegrad as tg\nprint(f'threads {tg.get_num_threads()}')\n")
    job = run(command("-n", 2, "--threads", 2, script), 60)
    assert job.text.count("threads 2") == 2, job.text


def test_jobs_are_there():
    assert {p.name for p in JOBS.glob("*.py")} == {"collectives.py", "faulty.py", "training.py"}
