"""Draws a tape as SVG: boxes for operations, pills for leaves and constants, values flowing down."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from ._layout import layered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tape import TapeNode

_FAMILIES = {
    "matrix": ("#ede9fe", "#7c3aed", "matmul linear dot outer einsum tensordot"),
    "loss": ("#ffe4e6", "#e11d48", "cross_entropy mse_loss binary_cross_entropy binary_cross_entropy_with_logits nll_loss"),
    "activation": (
        "#dcfce7", "#16a34a",
        "relu leaky_relu prelu sigmoid tanh gelu silu softplus elu softmax log_softmax logsumexp",
    ),
    "reduction": ("#ffedd5", "#ea580c", "sum sum_to mean prod max min var std norm"),
    "shape": (
        "#f1f5f9", "#64748b",
        "reshape permute_dims transpose swapaxes moveaxis expand_dims squeeze broadcast_to flatten concat concatenate "
        "stack split flip getitem index setitem astype matrix_transpose",
    ),
}  # fmt: skip
_OTHER = ("elementwise", "#e0f2fe", "#0284c7")
_LEAF, _CONST = ("#fef9c3", "#ca8a04"), ("#f8fafc", "#94a3b8")
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
_GAP, _ROW, _MARGIN, _HEIGHT = 26.0, 92.0, 28.0, 50.0


class _Box(NamedTuple):
    kind: str
    title: str
    detail: str
    hint: str
    fill: str
    line: str
    #: The tape entry that a box stands for: "node-7", "leaf-3".
    key: str = ""

    @property
    def width(self) -> float:
        return max(64.0, 24 + 7.8 * len(self.title), 24 + 6.2 * len(self.detail))

    @property
    def height(self) -> float:
        return _HEIGHT if self.detail else 30.0

    @property
    def is_pill(self) -> bool:
        return self.kind in ("leaf", "constant")


def draw(
    nodes: Sequence[TapeNode],
    names: dict[tuple[str, int], str],
    title: str = "",
    values: dict[tuple[str, int], str] | None = None,
) -> str:
    """The SVG text for these operations; names and values are by ("leaf", number) and ("node", number)."""
    boxes, edges = _boxes(nodes, names, values or {})
    # Results stay in line; leaves are drawn beside them.
    pulls = [0.02 if boxes[a].is_pill else 1.0 for a, _ in edges]
    layout = layered([box.width for box in boxes], edges, _GAP, pulls)
    used = list(dict.fromkeys(box.kind for box in boxes))
    legend = {box.kind: (box.fill, box.line) for box in boxes}
    head = (34.0 if title else 0.0) + (30.0 if used else 0.0)
    swatches = sum(38 + 6.6 * len(kind) for kind in used)
    inner = max(layout.width, swatches, 8.6 * len(title))
    shift = _MARGIN + (inner - layout.width) / 2
    width, height = inner + 2 * _MARGIN, head + 2 * _MARGIN + _ROW * max(layout.layer, default=0) + _HEIGHT

    def y(layer: int) -> float:
        return head + _MARGIN + _HEIGHT / 2 + _ROW * layer

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="{_FONT}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0.8 L7.5 4 L0 7.2 Z" fill="#94a3b8"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="12" fill="#ffffff"/>',
    ]
    if title:
        parts.append(_text(width / 2, 34, title, 17, "#0f172a", weight=600))
    parts += _legend((width - swatches) / 2, head, used, legend)
    for (a, b), points in zip(edges, layout.edges):
        (x, layer), *rest = [(x + shift, layer) for x, layer in points]
        start, end = y(layer) + boxes[a].height / 2, y(rest[-1][1]) - boxes[b].height / 2 - 2
        middle = [(x, y(layer)) for x, layer in rest[:-1]]
        ends = f"{boxes[a].key} {boxes[b].key}"
        parts.append(_edge([(x, start), *middle, (rest[-1][0], end)], ends, dashed=boxes[a].kind == "constant"))
    for box, x, layer in zip(boxes, layout.x, layout.layer):
        parts.append(_draw_box(box, x + shift, y(layer)))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _boxes(
    nodes: Sequence[TapeNode], names: dict[tuple[str, int], str], values: dict[tuple[str, int], str]
) -> tuple[list[_Box], list[tuple[int, int]]]:
    """Vertices in an order where inputs come first, and edges between their numbers."""
    boxes: list[_Box] = []
    edges: list[tuple[int, int]] = []
    at: dict[tuple[str, int], int] = {}

    def add(box: _Box) -> int:
        boxes.append(box)
        return len(boxes) - 1

    for node in nodes:
        sources = []
        for source in node.inputs:
            key = ("", 0) if source[0] == "const" else (source[0], source[1])
            if key in at:
                sources.append(at[key])
            elif source[0] == "leaf":
                name = names.get(key, f"leaf {source[1]}")
                detail = _shape(source[2]) + (f" · {values[key]}" if key in values else "")
                at[key] = add(_Box("leaf", name, detail, "a leaf", *_LEAF, f"leaf-{source[1]}"))
                sources.append(at[key])
            elif source[0] == "const":
                sources.append(add(_Box("constant", "constant", "", "a value that is not tracked", *_CONST)))
            else:  # recorded before the Tape block began
                at[key] = add(_Box("constant", f"%{source[1]}", "recorded earlier", "", *_CONST, f"node-{source[1]}"))
                sources.append(at[key])
        kind, fill, line = _family(node.op)
        key = ("node", node.id)
        detail = _shape(node.shape) + (f" · {_bytes(node.saved_bytes)}" if node.saved_bytes else "")
        detail += f" · {values[key]}" if key in values else ""
        hint = f"%{node.id} {node.op}, saves {node.saved_bytes} bytes" + (f", {node.source}" if node.source else "")
        name = f"{names[key]}: {node.op}" if key in names else node.op
        at[key] = add(_Box(kind, name, detail, hint, fill, line, f"node-{node.id}"))
        edges += [(source, at["node", node.id]) for source in dict.fromkeys(sources)]
    return boxes, edges


def _family(op: str) -> tuple[str, str, str]:
    for name, (fill, line, ops) in _FAMILIES.items():
        if op in ops.split():
            return name, fill, line
    return _OTHER


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) if shape else "scalar"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"saves {size:.0f} {unit}" if unit == "B" else f"saves {size:.3g} {unit}"


def _text(x: float, y: float, text: str, size: float, fill: str, weight: int = 400, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _legend(x: float, base: float, used: list[str], colors: dict[str, tuple[str, str]]) -> list[str]:
    parts = []
    for kind in used:
        fill, line = colors[kind]
        parts.append(f'<rect x="{x:.1f}" y="{base - 3:.1f}" width="14" height="14" rx="4" fill="{fill}" stroke="{line}"/>')
        parts.append(_text(x + 20, base + 8.5, kind, 12, "#475569", anchor="start"))
        x += 38 + 6.6 * len(kind)
    return parts


def _draw_box(box: _Box, x: float, y: float) -> str:
    height = box.height
    shape = (
        f'<rect x="{x - box.width / 2:.1f}" y="{y - height / 2:.1f}" width="{box.width:.1f}" height="{height:.0f}" '
        f'rx="{height / 2 if box.is_pill else 9:.0f}" fill="{box.fill}" stroke="{box.line}" stroke-width="1.4"/>'
    )
    lines = _text(x, y - 3 if box.detail else y + 4.5, box.title, 13.5, "#0f172a", weight=600)
    if box.detail:
        lines += _text(x, y + 14, box.detail, 11.5, "#475569")
    key = f' data-key="{box.key}"' if box.key else ""
    return f"<g{key}><title>{escape(box.hint)}</title>{shape}{lines}</g>"


def _edge(points: list[tuple[float, float]], ends: str, dashed: bool) -> str:
    """A smooth line through its points: x as a cubic spline of y that begins and ends vertically."""
    slopes = [0.0, *((q[0] - p[0]) / (q[1] - p[1]) for p, q in zip(points, points[2:])), 0.0]
    x, y = points[0]
    path = [f"M{x:.1f} {y:.1f}"]
    for (to_x, to_y), slope, to_slope in zip(points[1:], slopes, slopes[1:]):
        reach = (to_y - y) / (2 if len(points) == 2 else 3)
        path.append(
            f"C{x + slope * reach:.1f} {y + reach:.1f} {to_x - to_slope * reach:.1f} {to_y - reach:.1f} {to_x:.1f} {to_y:.1f}"
        )
        x, y = to_x, to_y
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    line = f'fill="none" stroke="#94a3b8" stroke-width="1.5"{dash} marker-end="url(#arrow)"'
    return f'<path d="{" ".join(path)}" data-edge="{ends}" {line}/>'
