"""Adds a built site to a folder that holds one folder for each released version.

    python tools/site/versions.py target/site/html PAGES

PAGES/X.Y.Z gets the pages, PAGES/stable is a copy of the newest version, which links from elsewhere name, PAGES/versions.json is
what the site's list of versions reads, and PAGES/index.html leads to PAGES/stable. Versions that are there already stay; the same
version again is replaced.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def order(version: str) -> tuple[int, ...]:
    """The sort key of versions."""
    return tuple(int(part) for part in version.split("."))


def versions(pages: Path) -> list[str]:
    """The versions in a folder, the newest first."""
    found = [p.name for p in pages.iterdir() if p.is_dir() and re.fullmatch(r"\d+(\.\d+)*", p.name)]
    return sorted(found, key=order, reverse=True)


def add(html: Path, pages: Path, version: str, address: str) -> None:
    """Puts the pages in `html` into `pages` as those of a version; `address` is where `pages` will be read."""
    order(version)
    pages.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(pages / version, ignore_errors=True)
    shutil.copytree(html, pages / version)
    present = versions(pages)
    shutil.rmtree(pages / "stable", ignore_errors=True)
    shutil.copytree(pages / present[0], pages / "stable")
    entries = [
        {"version": v, "name": f"{v} (newest)", "url": f"{address}stable/", "preferred": True}
        if v == present[0]
        else {"version": v, "name": v, "url": f"{address}{v}/", "preferred": False}
        for v in present
    ]
    (pages / "versions.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    (pages / "index.html").write_text(
        '<!doctype html>\n<meta charset="utf-8">\n<title>tapegrad</title>\n'
        '<meta http-equiv="refresh" content="0; url=stable/">\n'
        '<a href="stable/">tapegrad</a>\n',
        encoding="utf-8",
    )
    (pages / ".nojekyll").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("html", type=Path)
    parser.add_argument("pages", type=Path)
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    add(options.html, options.pages, version, project["urls"]["Documentation"])


if __name__ == "__main__":
    main()
