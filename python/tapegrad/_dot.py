"""Names and values in a graph of Graphviz's DOT language."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_VERTEX = re.compile(r'^  (n|leaf)(\d+) \[(.*)label="(.*?)\\n(.*)"\];$', re.MULTILINE)


def labelled(dot: str, names: Mapping[tuple[str, int], str], values: Mapping[tuple[str, int], str]) -> str:
    """The graph with names of leaves and results, and a line with the values of each vertex that has some."""

    def label(found: re.Match[str]) -> str:
        kind, number, options, title, shape = found.groups()
        place = ("leaf" if kind == "leaf" else "node", int(number))
        if place in names:
            name = names[place].replace("\\", "\\\\").replace('"', '\\"')
            title = name if kind == "leaf" else f"{name}: {title}"
        value = f"\\n{values[place]}" if place in values else ""
        return f'  {kind}{number} [{options}label="{title}\\n{shape}{value}"];'

    return _VERTEX.sub(label, dot)
