"""Every example of the documentation runs: pages, docstrings of the package, docs of the registry."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import _core

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Its examples are those of the registry, which run below.
GENERATED = ROOT / "docs/reference"


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [p for p in found if p.parent != GENERATED and BLOCK.search(p.read_text(encoding="utf-8"))]


def names() -> dict[str, Any]:
    """The names that an example may use without an import."""
    return {"tg": tg, "__name__": "__main__"}


def run_doctest(text: str, name: str, scope: dict[str, Any], line: int = 0) -> None:
    test = doctest.DocTestParser().get_doctest(text, scope, name, None, line)
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=output.append, clear_globs=False)
    assert not runner.failures, "".join(output)


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    text, scope = page.read_text(encoding="utf-8"), names()
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(2))
        if block[1] == "pycon":
            run_doctest(block[2], page.name, scope, line)
        else:
            exec(compile("\n" * line + block[2], str(page), "exec"), scope)  # noqa: S102 - our own page


@pytest.mark.parametrize("row", _core.registry(), ids=lambda row: row["path"])
def test_operation(row: dict[str, Any]) -> None:
    assert ">>> " in row["doc"], f"{row['name']}: its doc has no example"
    run_doctest(row["doc"], row["name"], names())


def compiled_docs() -> list[tuple[str, str]]:
    """Docs of the compiled module that are no rows of the registry."""
    rows = {name for row in _core.registry() for name in [row["name"], *row["aliases"]]}
    found = []
    for home, members in {"": inspect.getmembers(_core), "Variable.": list(vars(tg.Variable).items())}.items():
        for name, value in members:
            doc = getattr(value, "__doc__", None) or ""
            if ">>> " in doc and name not in rows and not (inspect.isclass(value) and value.__module__ == "builtins"):
                found.append((home + name, doc))
    return found


@pytest.mark.parametrize(("name", "doc"), compiled_docs(), ids=[name for name, _ in compiled_docs()])
def test_compiled(name: str, doc: str) -> None:
    run_doctest(inspect.cleandoc(doc), name, names())


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(tg.__path__, "tapegrad.") if m.name != "tapegrad._core"]
    return ["tapegrad", *sorted(found)]


@pytest.mark.parametrize("name", modules())
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names()):
        if test.examples:
            tg.random.manual_seed(0)
            output: list[str] = []
            runner = doctest.DocTestRunner(verbose=False)
            runner.run(test, out=output.append)
            assert not runner.failures, "".join(output)


@pytest.mark.parametrize("name", [n for n in tg.stats.__all__ if ">>> " in (getattr(tg.stats, n).__doc__ or "")])
def test_families(name: str) -> None:
    """Families are objects, whose docs no finder of doctests sees."""
    run_doctest(getattr(tg.stats, name).__doc__, name, names())


def test_docs_name_functions_that_exist() -> None:
    """Inline code of the pages: a ``tg.…`` name that is written must be there."""
    for page in [*pages(), *GENERATED.glob("*.md")]:
        for path in re.findall(r"`tg\.([A-Za-z_][\w.]*)", page.read_text(encoding="utf-8")):
            value: Any = tg
            for part in path.rstrip(".").split("."):
                assert hasattr(value, part), f"{page.name} names tg.{path}, which does not exist"
                value = getattr(value, part)


def test_the_reference_shows_mathematics() -> None:
    """No Rust, and no operation that only rules call."""
    found = sorted(GENERATED.glob("*.md"))
    assert found
    for page in found:
        text = page.read_text(encoding="utf-8")
        for code in ("F::", "::lit(", ".gt(", ".abs()", "let ", "where(x", "annihilate"):
            gradients = [line for line in text.splitlines() if line.startswith("**Gradient:**") and code in line]
            assert not gradients, f"{page.name}: {gradients[0]}"
        assert "annihilate" not in text


def test_links_between_pages() -> None:
    """Relative links lead to files that are there."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


def test_contributing_quotes_the_sources() -> None:
    """The worked examples equal the sources."""
    sources = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "src").rglob("*.rs")))
    blocks = re.findall(r"^```rust\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        assert block in sources, f"CONTRIBUTING.md quotes what is not in src:\n{block}"


def test_functions_that_the_comparison_names_are_there() -> None:
    homes = {"numpy": tg, "numpy.linalg": tg.linalg, "scipy.special": tg.special}
    homes |= {"numpy.fft": tg.fft} if hasattr(tg, "fft") else {}
    home, found = None, 0
    for line in (ROOT / "docs/comparison.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[1] == "tapegrad":
            home = homes.get(cells[0].strip("`"))
        elif len(cells) == 5 and cells[1] in ("∂", "yes") and home is not None:
            assert callable(getattr(home, cells[0].strip("`"))), line
            found += 1
    assert found > 400
