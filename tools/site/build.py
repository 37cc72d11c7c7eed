"""Builds the site: lays out the pages of docs/ with the generated reference, runs Sphinx, and checks every link of the result.

    python tools/site/build.py [--output target/site] [--rust target/doc] [--published]

Needs no network. The pages are at OUTPUT/html/index.html.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from html import escape
from pathlib import Path

import check
import gallery
import steps
from reference import Reference

import tapegrad as tg

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Pages outside docs/, and their places on the site.
MORE = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}


#: Programs that pages link to: they get a page each.
PROGRAMS: set[str] = set()


def links(text: str, page: Path) -> str:
    """Links that lead out of docs/ lead to the same thing on the site."""

    def target(match: re.Match[str]) -> str:
        goal, mark = match[2], match[3] or ""
        place = os.path.normpath(page.parent / goal) if "://" not in goal else goal
        up = "../" * (len(page.relative_to(ROOT / "docs").parts) - 1 if page.is_relative_to(ROOT / "docs") else 0)
        for file, name in MORE.items():
            if place == str(ROOT / file):
                return f"[{match[1]}]({up}{name}{mark})"
        if not page.is_relative_to(ROOT / "docs") and place.startswith(f"{ROOT / 'docs'}/"):
            return f"[{match[1]}]({Path(place).relative_to(ROOT / 'docs')}{mark})"
        if place == str(ROOT / "docs/decisions"):
            return f"[{match[1]}]({up}decisions/index.md)"
        if place.endswith((".py", ".rs")) and Path(place).is_file() and Path(place).is_relative_to(ROOT):
            program = Path(place).relative_to(ROOT).as_posix()
            PROGRAMS.add(program)
            return f'<a href="{up}_source/{program}.html">{escape(match[1].replace("`", ""))}</a>'
        return match[0]

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)", target, text)


def put(path: Path, text: str) -> None:
    """Writes a page unless it is the same already, so that Sphinx reads changed pages only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def listed(staged: dict[str, str]) -> set[str]:
    """The pages that a list of contents names, as `guide/arrays.md`."""
    found = set()
    for name, text in staged.items():
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            lines = [line.strip() for line in tree.splitlines() if line.strip() and not line.strip().startswith(":")]
            lines = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]  # a title of its own: `Title <page>`
            found |= {line[1:] if line.startswith("/") else os.path.normpath(Path(name).parent / line) for line in lines}
    return {f"{name}.md" for name in found}


def contents(staged: dict[str, str]) -> None:
    """Fills the list of the guide with pages of docs/ that no other list names, so that a new page needs no line anywhere."""
    rest = sorted(name for name in staged.keys() - listed(staged) if "/" not in name and name != "index.md")
    titles = {name: staged[name].partition("\n")[0].removeprefix("# ") for name in rest}
    lines = "\n".join(f"- [{title}](../{name})" for name, title in titles.items())
    tree = "\n".join(["```{toctree}", ":hidden:", "", *(f"/{name[:-3]}" for name in rest), "```"])
    if rest:
        staged["guide/index.md"] += f"\n## Further subjects\n\n{lines}\n\n{tree}\n"


RUST = """
## Rust

The crate's own pages, made by `cargo doc`: <a href="../rust/tapegrad/index.html">tapegrad for Rust</a>.
"""


def stage(folder: Path, reference: Reference, rust: bool = False) -> None:
    """Lays out all pages in a folder, and removes those that are no longer there."""
    pages = [p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent != ROOT / "docs/reference"]
    staged = {p.relative_to(ROOT / "docs").as_posix(): links(p.read_text(encoding="utf-8"), p) for p in pages}
    staged |= {place: links((ROOT / file).read_text(encoding="utf-8"), ROOT / file) for file, place in MORE.items()}
    staged |= {f"reference/{name}.md": text for name, text in reference.pages().items()}
    staged["gallery.md"] = gallery.page()
    staged["decisions/index.md"] = decisions([p for p in pages if p.parent.name == "decisions"])
    staged["reference/index.md"] += RUST * rust
    contents(staged)
    for name, text in staged.items():
        put(folder / name, text)
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).as_posix() not in staged:
            path.unlink()
    shutil.copytree(ROOT / "docs/pictures", folder / "pictures", dirs_exist_ok=True)


def decisions(pages: list[Path]) -> str:
    """The list of the decisions."""
    names = [p.stem for p in pages if p.stem != "index"]
    titles = {p.stem: p.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for p in pages}
    lines = [f"- [{titles[n]}]({n}.md)" for n in names]
    head = (
        "# Decisions\n\nA page for each question that was measured: what was asked, what came out, what was chosen, what follows."
    )
    return "\n\n".join([head, "\n".join(lines), "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "target/site")
    parser.add_argument(
        "--rust", type=Path, default=ROOT / "target/doc", help="the pages of `cargo doc`, taken along if they are there"
    )
    parser.add_argument("--published", action="store_true", help="with the list of versions, which needs the address of the site")
    parser.add_argument("--jobs", default="auto")
    options = parser.parse_args()
    began, output = time.monotonic(), options.output.resolve()
    shutil.rmtree(output / "html", ignore_errors=True)
    reference = Reference()
    rust = (options.rust / "tapegrad").is_dir()
    stage(output / "source", reference, rust)
    steps.write(output / "static/steps")
    known = [path for path, value in reference.public.items() if not isinstance(value, type(tg))]
    facts = {
        "version": tg.__version__,
        "published": options.published,
        "names": known,
        "sources": sorted(PROGRAMS | set(reference.used)),
        "static": str(output / "static"),
    }
    put(output / "facts.json", json.dumps(facts))
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-W", "--keep-going", "-q", "-j", options.jobs, "-c", HERE]
    places = ["-d", output / "doctrees", output / "source", output / "html"]
    done = subprocess.run(
        [*map(str, command), *map(str, places)], check=False, env=os.environ | {"TAPEGRAD_SITE_FACTS": str(output / "facts.json")}
    )
    if done.returncode:
        return done.returncode
    if rust:
        shutil.copytree(options.rust, output / "html/rust", dirs_exist_ok=True)
    faults = check.faults(output / "html", known)
    print("\n".join(faults), file=sys.stderr)
    count = len(list((output / "html").rglob("*.html")))
    print(f"{count} pages in {time.monotonic() - began:.0f} s: {output / 'html/index.html'}, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
