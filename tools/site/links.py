"""Links every `tg.name` that stands in a page as code to its entry in the reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

NAME = re.compile(r"(?:tg|tapegrad)\.([A-Za-z_][\w.]*)|((?:nn|optim|F|utils)\.[A-Za-z_][\w.]*)")


def link(app: Sphinx, doctree: nodes.document) -> None:
    known: set[str] = app.config.tapegrad_names
    for literal in list(doctree.findall(nodes.literal)):
        match = NAME.match(literal.astext())
        inside = isinstance(literal.parent, (nodes.reference, addnodes.pending_xref, nodes.title))
        path = (match[1] or match[2].replace("F.", "nn.functional.", 1 * match[2].startswith("F."))).rstrip(".") if match else ""
        if inside or path not in known:
            continue
        target = {"refdomain": "py", "reftype": "obj", "reftarget": f"tapegrad.{path}", "refexplicit": True, "refwarn": True}
        reference = addnodes.pending_xref("", literal.deepcopy(), refdoc=app.env.docname, **target)
        literal.replace_self(reference)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("tapegrad_names", set(), "env")
    app.connect("doctree-read", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
