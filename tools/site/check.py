"""Checks the built site: links lead somewhere, nothing is fetched from elsewhere, every page is reached from the front."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

#: Pages that Sphinx makes and links from its search or index.
APART = {"search.html", "genindex.html", "py-modindex.html"}


class Page(HTMLParser):
    """The links, anchors and fetched files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found[key] or "" for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag in {"script", "img", "iframe", "source"} and found.get("src"):
            self.fetched.append(found["src"] or "")
        if tag == "link" and found.get("rel") in {"stylesheet", "preload", "icon"} and found.get("href"):
            self.fetched.append(found["href"] or "")


def faults(home: Path, names: list[str]) -> list[str]:
    """The faults of the site in this folder; `names` are the public names that need an entry."""
    files = [p for p in home.rglob("*.html") if not p.is_relative_to(home / "rust") and "_static" not in p.parts]
    pages = {p.resolve(): Page(p.read_text(encoding="utf-8")) for p in files}
    out: list[str] = []
    reached: dict[Path, set[Path]] = {}
    for path, page in pages.items():
        shown = path.relative_to(home.resolve())
        reached[path] = set()
        for link in page.fetched:
            if urlsplit(link).netloc:
                out.append(f"{shown} fetches {link}")
            elif not link.startswith("data:") and not (path.parent / unquote(urlsplit(link).path)).exists():
                out.append(f"{shown} shows {link}, which is not there")
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not goal.exists():
                out.append(f"{shown} links to {link}, which is not there")
            elif goal in pages:
                reached[path].add(goal)
                if unquote(parts.fragment) not in pages[goal].anchors:
                    out.append(f"{shown} links to {link}: the page has no such anchor")
    return out + missing(pages, names) + unreached(home.resolve(), reached)


def missing(pages: dict[Path, Page], names: list[str]) -> list[str]:
    anchors = set().union(*(page.anchors for page in pages.values()))
    return [f"tapegrad.{name} has no entry in the reference" for name in names if f"tapegrad.{name}" not in anchors]


def unreached(home: Path, reached: dict[Path, set[Path]]) -> list[str]:
    seen, queue = {home / "index.html"}, [home / "index.html"]
    while queue:
        for goal in reached.get(queue.pop(), set()) - seen:
            seen.add(goal)
            queue.append(goal)
    lost = sorted(path.relative_to(home).as_posix() for path in reached.keys() - seen)
    return [f"{name} is not reached from the front page" for name in lost if name not in APART]
