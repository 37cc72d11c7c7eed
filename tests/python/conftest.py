"""What the tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tapegrad as tg
from sampling import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_report_header() -> str:
    if not SEED:
        return "tapegrad: all rows and layouts"
    return f"tapegrad: rows and layouts sampled by TAPEGRAD_SEED={SEED}; without it all run"


@pytest.fixture(autouse=True)
def default_dtype() -> Iterator[None]:
    """Every test finds float32 as the default and recording on, whatever the one before it did."""
    before = tg.get_default_dtype()
    yield
    tg.set_default_dtype(before)
    assert tg.is_grad_enabled()
