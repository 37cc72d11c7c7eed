"""docs/numerics.md, row by row: the gradients at edges are those of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/numerics.md"
ROW = re.compile(r"^\| `(?P<expression>[^`]+)` \| `(?P<at>[^`]+)` \| `(?P<gradient>[^`]+)` \|", re.MULTILINE)
TEXT = PAGE.read_text(encoding="utf-8")
HEAD, SECOND, TAIL = re.split(r"^## Second derivatives\n(.*?)^(?=## )", TEXT, flags=re.MULTILINE | re.DOTALL)
ROWS = [match.groups() for match in ROW.finditer(HEAD + TAIL)]
SECOND_ROWS = [match.groups() for match in ROW.finditer(SECOND)]
NAMES: dict[str, Any] = {"tg": tg, "inf": float("inf"), "nan": float("nan")}


def values(cell: str) -> list[Any]:
    """A cell: one value for each Variable, divided by semicolons."""
    return [eval(part, NAMES) for part in cell.split(";")]  # noqa: S307 - our own page


def test_the_page_has_its_rows() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS) + len(SECOND_ROWS)
    assert len(ROWS) > 50
    assert len(SECOND_ROWS) > 8


@pytest.mark.parametrize(("expression", "at", "gradient"), ROWS, ids=[f"{e} at {a}" for e, a, _ in ROWS])
def test_row(expression: str, at: str, gradient: str) -> None:
    variables = [tg.Variable(v, dtype=tg.float64, requires_grad=True) for v in values(at)]
    expected = values(gradient)
    result = eval(expression, {**NAMES, **dict(zip("xy", variables, strict=False))})  # noqa: S307 - our own page
    if expected == [None]:
        assert not result.requires_grad
        return
    got = tg.autograd.grad(tg.sum(result), variables)
    for g, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(g.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(("expression", "at", "gradient"), ROWS, ids=[f"{e} at {a}" for e, a, _ in ROWS])
def test_row_recorded(expression: str, at: str, gradient: str) -> None:
    """The same with ``create_graph``: the recorded rule is the same text."""
    variables = [tg.Variable(v, dtype=tg.float64, requires_grad=True) for v in values(at)]
    result = eval(expression, {**NAMES, **dict(zip("xy", variables, strict=False))})  # noqa: S307 - our own page
    if not result.requires_grad:
        assert gradient == "None"
        return
    got = tg.autograd.grad(tg.sum(result), variables, create_graph=True)
    for g, want in zip(got, values(gradient), strict=True):
        np.testing.assert_allclose(g.detach().numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(("expression", "at", "second"), SECOND_ROWS, ids=[f"{e} at {a}" for e, a, _ in SECOND_ROWS])
def test_second_derivative(expression: str, at: str, second: str) -> None:
    variables = [tg.Variable(v, dtype=tg.float64, requires_grad=True) for v in values(at)]
    result = eval(expression, {**NAMES, **dict(zip("xy", variables, strict=False))})  # noqa: S307 - our own page
    first = tg.autograd.grad(tg.sum(result), variables, create_graph=True)
    roots = [tg.sum(g) for g in first if g.requires_grad]
    got = tg.autograd.grad(roots, variables, allow_unused=True)
    for g, want in zip(got, values(second), strict=True):
        np.testing.assert_allclose(0.0 if g is None else g.numpy(), want, rtol=1e-12, atol=1e-15)
