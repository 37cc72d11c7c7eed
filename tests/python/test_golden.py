"""The golden cases: expected values and derivatives from an independent implementation (tests/golden/README.md)."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "golden"


def load_checker() -> Any:
    """The checker, as a module."""
    spec = importlib.util.spec_from_file_location("golden_check", FOLDER / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load_checker()


@cache
def golden() -> Any:
    return check.Golden(FOLDER)


def groups() -> list[str]:
    """The functions that have cases: an id is ``function/number``."""
    return sorted({case["id"].rpartition("/")[0] for case in golden().data["cases"]})


def run(group: str) -> list[tuple[str, str, dict[str, str]]]:
    """(id, status, stages) of every case of a function."""
    checker = check.Checker(check.Library("tapegrad"), golden())
    cases = [case for case in golden().data["cases"] if case["id"].rpartition("/")[0] == group]
    return [(case["id"], *checker.run(case)) for case in cases]


@pytest.mark.parametrize("group", groups())
def test_every_case_of_a_function_that_exists_passes(group: str) -> None:
    results = run(group)
    failed = [(name, stages) for name, status, stages in results if status == "failed"]
    failures = [f"{name}: {stage}: {message}" for name, stages in failed for stage, message in stages.items()]
    assert not failures, "\n".join(failures)
    if all(status == "missing" for _, status, _ in results):
        pytest.skip(f"{group} does not exist yet")


def test_the_core_is_there() -> None:
    core = [
        "add",
        "multiply",
        "power",
        "exp",
        "log",
        "clip",
        "matmul",
        "sum",
        "max",
        "tanh",
        "where",
        "concat",
        "split",
        "reshape",
    ]
    missing = [name for name in core for _, status, _ in run(name) if status == "missing"]
    assert not missing
