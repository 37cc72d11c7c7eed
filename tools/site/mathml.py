"""Draws mathematics as MathML, which browsers know: no script, nothing to fetch. docutils translates the TeX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

LOG = logging.getLogger(__name__)


def mathml(node: nodes.Element, block: bool) -> str:
    try:
        return str(tex2mathml(node.astext(), as_block=block))
    except Exception as error:  # noqa: BLE001 - docutils has no error class of its own for this; a warning fails the build
        LOG.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return ""


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    from docutils.nodes import SkipNode

    self.body.append(mathml(node, block=False))
    raise SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    from docutils.nodes import SkipNode

    self.body.append(f'<div class="formula">{mathml(node, block=True)}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
