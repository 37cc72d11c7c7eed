"""Tables of the benches: printed a row at a time, and written into a page between two marks."""

from __future__ import annotations

import argparse
from pathlib import Path


def put(page: Path, table: str, what: str) -> None:
    """Writes the table between the marks of a page, or a page of its own."""
    marks = [f"<!-- {what} {end} -->" for end in ("begin", "end")]
    text = page.read_text(encoding="utf-8") if page.exists() else "\n".join(["# Comparison", "", *marks]) + "\n"
    if marks[0] not in text:
        raise SystemExit(f"{page} has no mark {marks[0]}")
    table = "\n".join(line.rstrip() for line in table.splitlines())
    before, _, rest = text.partition(marks[0])
    page.write_text(f"{before}{marks[0]}\n{table}\n{marks[1]}{rest.partition(marks[1])[2]}", encoding="utf-8")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that knows where a table may be put."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path, help="put the table into that page, too, between the marks of this program")
    return parser


class Table:
    """Lines that are shown as they come."""

    def __init__(self, *head: str) -> None:
        self.lines: list[str] = []
        for line in head:
            self.add(line)

    def add(self, line: str) -> None:
        """One more line."""
        self.lines.append(line)
        print(line, flush=True)

    def write(self, page: Path | None, what: str) -> None:
        """Puts all of it into a page, if one was asked for."""
        if page:
            put(page, "\n".join(self.lines), what)
