"""Shows the source files that the reference links to: a page each, coloured, with an anchor for every line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, RustLexer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    for file in app.config.tapegrad_sources:
        lexer = PythonLexer() if file.endswith(".py") else RustLexer()
        shown = HtmlFormatter(linenos="inline", anchorlinenos=True, lineanchors="L", cssclass="highlight", wrapcode=True)
        body = highlight((ROOT / file).read_text(encoding="utf-8"), lexer, shown)
        yield f"_source/{file}", {"title": file, "body": f"<h1>{file}</h1>{body}"}, "page.html"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("tapegrad_sources", [], "html")
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
