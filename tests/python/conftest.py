"""Fixtures and settings of all tests."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tapegrad as tg
from sampling import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules that compare with SciPy are left out on platforms that have no wheel of it.
collect_ignore = [
    path.name
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if find_spec("scipy") is None and re.search(r"^(import|from) scipy", path.read_text(encoding="utf-8"), re.MULTILINE)
]


def pytest_report_header() -> list[str]:
    missing = [f"tapegrad: SciPy is not installed: {', '.join(collect_ignore)} are left out"] if collect_ignore else []
    if not SEED:
        return ["tapegrad: all rows and layouts", *missing]
    return [f"tapegrad: rows and layouts sampled by TAPEGRAD_SEED={SEED}; without it all run", *missing]


@pytest.fixture(autouse=True)
def default_dtype() -> Iterator[None]:
    """Resets the default dtype to float32 and recording to on before every test."""
    before = tg.get_default_dtype()
    yield
    tg.set_default_dtype(before)
    assert tg.is_grad_enabled()
