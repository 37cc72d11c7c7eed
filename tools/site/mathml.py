"""Draws mathematics as MathML, which browsers know: no script, nothing to fetch. docutils translates the TeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

PUNCTUATION = re.compile(r"[.,;:)]+")
#: The name of a function and the invisible sign behind it, where no parenthesis follows: TeX has a space there.
SPACELESS = re.compile(r"(<mo>(?:&ApplyFunction;|\u2061)</mo>)(?!\s*<mo[^>]*>[(\[{|])")
SPACE = '<mspace width="0.1667em"></mspace>'
LOG = logging.getLogger(__name__)


def mathml(node: nodes.Element, block: bool) -> str:
    try:
        return SPACELESS.sub(r"\1" + SPACE, str(tex2mathml(node.astext(), as_block=block)))
    except Exception as error:  # noqa: BLE001 - docutils has no error class of its own for this; a warning fails the build
        LOG.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return ""


def keep(app: Sphinx, doctree: nodes.document) -> None:
    """A line never breaks between a formula and the punctuation behind it."""
    for node in list(doctree.findall(nodes.math)):
        follower = node.next_node(descend=False, siblings=True)
        mark = PUNCTUATION.match(follower.astext()) if isinstance(follower, nodes.Text) else None
        if mark:
            rest = nodes.Text(follower.astext()[mark.end() :])
            node.parent.replace(follower, rest)
            node.replace_self(nodes.inline("", "", node.deepcopy(), nodes.Text(mark[0]), classes=["kept"]))


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", keep)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
