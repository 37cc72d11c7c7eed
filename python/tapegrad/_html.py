"""HTML pages without external files: a Variable in a notebook, a tape, a backward pass step by step."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from . import _core
from ._core import GradError, Variable
from ._messages import a_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .tape import TapeNode

#: Rows and columns of an array that are shown.
_SHOWN = 6

_STYLE = """
:root{color-scheme:light dark;--text:#0f172a;--soft:#475569;--page:#fff;--raised:#f8fafc;--line:#e2e8f0;--edge:#cbd5e1;
--bad:#b91c1c}
@media (prefers-color-scheme:dark){:root{--text:#e2e8f0;--soft:#a3b1c4;--page:#14181e;--raised:#222832;--line:#3a4350;
--edge:#566273;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0;font:14px/1.5 ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;color:var(--text);
background:var(--page)}
main{display:flex;flex-wrap:wrap;gap:16px;padding:12px}
.graph{flex:1 1 320px;min-width:0;max-height:78vh;overflow:auto;border:1px solid var(--line);border-radius:12px;background:#fff}
.graph svg{max-width:100%;height:auto;display:block;margin:auto}
@media (max-width:700px){.graph{max-height:46vh}}
.panel{flex:1 1 340px;min-width:0;overflow-x:auto}
h1{font-size:17px;margin:0;padding:12px 14px 0}
h2{font-size:16px;margin:4px 0 8px}h3{font-size:13px;margin:12px 0 4px;color:var(--soft)}
button{font:inherit;color:inherit;padding:4px 12px;margin-right:4px;border:1px solid var(--edge);border-radius:8px;
background:var(--raised);cursor:pointer}
button:disabled{opacity:.4;cursor:default}button:focus-visible{outline:2px solid #0b6e8a}
.count{margin-left:8px;color:var(--soft)}
table{border-collapse:collapse;margin:2px 0 8px}
td,th{padding:1px 8px;text-align:right;font-variant-numeric:tabular-nums;border:1px solid var(--line)}
th{background:var(--raised);font-weight:600}td.text,th.text{text-align:left}
code{background:var(--raised);border-radius:4px;padding:0 4px}
.fact{color:var(--soft)}.bad{color:var(--bad);font-weight:600}
g.on rect{stroke:#b91c1c;stroke-width:3.2}g.to rect{stroke:#0b6e8a;stroke-width:3.2}g.done{opacity:.45}
path.flow{stroke:#b91c1c;stroke-width:3}
"""

_SCRIPT = """
(function(){
var root=document.currentScript.parentNode,steps=[].slice.call(root.querySelectorAll('section.step')),at=0;
var boxes=[].slice.call(root.querySelectorAll('g[data-key]')),lines=[].slice.call(root.querySelectorAll('path[data-edge]'));
var buttons=[].slice.call(root.querySelectorAll('button')),count=root.querySelector('.count');
function words(s,n){return (s.dataset[n]||'').split(' ').filter(Boolean);}
function show(k){
  at=Math.max(0,Math.min(steps.length-1,k));
  var on=words(steps[at],'on'),to=words(steps[at],'to'),done=[];
  steps.forEach(function(s,i){s.hidden=i!==at;if(i<at)done=done.concat(words(s,'on'));});
  boxes.forEach(function(b){var key=b.dataset.key;
    b.classList.toggle('on',on.indexOf(key)>=0);b.classList.toggle('to',to.indexOf(key)>=0);
    b.classList.toggle('done',done.indexOf(key)>=0&&on.indexOf(key)<0&&to.indexOf(key)<0);});
  lines.forEach(function(l){var e=l.dataset.edge.split(' ');
    l.classList.toggle('flow',to.indexOf(e[0])>=0&&on.indexOf(e[1])>=0);});
  var box=root.querySelector('g.on'),graph=root.querySelector('.graph');
  if(box){var r=box.getBoundingClientRect(),c=graph.getBoundingClientRect();
    graph.scrollTop+=r.top+r.height/2-c.top-c.height/2;graph.scrollLeft+=r.left+r.width/2-c.left-c.width/2;}
  count.textContent='step '+(at+1)+' of '+steps.length;
  buttons[0].disabled=buttons[1].disabled=at===0;buttons[2].disabled=buttons[3].disabled=at===steps.length-1;
}
root.querySelector('.controls').hidden=false;
[function(){return 0;},function(){return at-1;},function(){return at+1;},function(){return steps.length-1;}]
  .forEach(function(f,i){buttons[i].onclick=function(){show(f());};});
document.addEventListener('keydown',function(e){if(e.key==='ArrowRight')show(at+1);if(e.key==='ArrowLeft')show(at-1);});
show(0);
})();
"""


class Step(NamedTuple):
    """One step of a backward pass: the cotangents of an operation, and the gradients that its rule gave to each input."""

    node: TapeNode
    #: The cotangents that arrived, each with the step that delivered it.
    arrived: list[tuple[str, Variable]]
    #: Inputs by number, and the gradients delivered to them.
    delivered: list[tuple[int, Variable]]


class Pass(NamedTuple):
    """A backward pass: its steps, and the gradients that arrived at each leaf."""

    steps: list[Step]
    leaves: dict[int, list[tuple[str, Variable]]]


def run(nodes: Sequence[TapeNode], y: Variable, gradient: Variable | None) -> Pass:
    """Runs a backward pass from ``y``, which leaves the graph and every ``.grad`` alone, and lists what its rules delivered.

    Raises:
        GradError: ``y`` does not require gradients, has more than one element and no gradient, or is not on this tape.
    """
    if not isinstance(y, Variable):
        raise TypeError(f"Tape.to_html: y is {a_type(y)}, expected a Variable")
    if not y.requires_grad:
        raise GradError("Tape.to_html: y does not require gradients: nothing that leads to it was recorded")
    if gradient is None and y.size != 1:
        raise GradError(f"Tape.to_html: y has shape {y.shape}; pass gradient=, an array of that shape")
    seed = _core.ones_like(y.detach()) if gradient is None else _core.asarray(gradient, dtype=y.dtype)
    root, delivered = _core.deliveries(y, seed)
    known = {node.id: node for node in nodes}
    if root not in known:
        raise GradError("Tape.to_html: y was not recorded inside the with block of this Tape")
    arrived: dict[tuple[str, int], list[tuple[str, Variable]]] = {("node", root): [("the start of the pass", seed)]}
    steps: dict[int, Step] = {}
    for id, i, g in delivered:
        if id not in known:
            continue
        node = known[id]
        if id not in steps:
            steps[id] = Step(node, arrived.setdefault(("node", id), []), [])
        steps[id].delivered.append((i, g))
        kind, *place = node.inputs[i]
        if kind != "const":
            arrived.setdefault((kind, place[0]), []).append((f"%{id} {node.op}", g))
    return Pass(list(steps.values()), {id: found for (kind, id), found in arrived.items() if kind == "leaf"})


# ---- texts ----


def _number(value: Any) -> str:
    return str(value) if isinstance(value, (bool, int)) else f"{value:.5g}"


def table(x: Variable) -> str:
    """The elements of an array as a table; of a large array its first elements and a summary of all."""
    rows = x.detach().reshape((-1, x.shape[-1])) if x.ndim > 1 else x.detach().reshape((1, -1))
    shown = rows[:_SHOWN, :_SHOWN].tolist() if x.size else []
    more = rows.shape[1] > _SHOWN
    lines = ["<tr>" + "".join(f"<td>{escape(_number(v))}</td>" for v in row) + "<td>…</td>" * more + "</tr>" for row in shown]
    if rows.shape[0] > _SHOWN:
        lines.append(f'<tr><td class="text" colspan="{len(shown[0]) + more}">… {rows.shape[0]} rows</td></tr>')
    return f"<table>{''.join(lines)}</table>" + (_facts(x) if x.size > 1 else "")


def _facts(x: Variable) -> str:
    """Smallest, mean and largest element, and how many are not finite."""
    value = x.detach()
    if str(value.dtype).rpartition(".")[2].startswith(("complex", "bool")):
        return ""
    strange = int((~_core.isfinite(value)).sum().item())
    facts = f"from {_number(value.min().item())} to {_number(value.max().item())}, mean {_number(value.mean().item())}"
    return f'<div class="fact">{facts}</div>' + (f'<div class="bad">{strange} not finite</div>' if strange else "")


def _kind(x: Variable) -> str:
    return f"{'×'.join(map(str, x.shape)) or 'scalar'} {str(x.dtype).rpartition('.')[2]}"


def _sum(arrived: list[tuple[str, Variable]]) -> Variable | None:
    """The gradients together; None where they belong to different outputs."""
    total = arrived[0][1]
    for _, g in arrived[1:]:
        if g.shape != total.shape:
            return None
        total = total + g
    return total


def _arrived(arrived: list[tuple[str, Variable]]) -> str:
    """The parts of a gradient, each with its origin, and their sum."""
    parts = [f"<h3>from {escape(source)}</h3>{table(g)}" for source, g in arrived]
    total = _sum(arrived) if len(arrived) > 1 else None
    return "".join(parts) + (f"<h3>together</h3>{table(total)}" if total is not None else "")


def _name(source: tuple[Any, ...], nodes: Mapping[int, TapeNode], names: Mapping[int, str]) -> str:
    """The name of an input."""
    if source[0] == "leaf":
        return names.get(source[1], f"leaf {source[1]}")
    if source[0] == "node":
        return f"%{source[1]} {nodes[source[1]].op}" if source[1] in nodes else f"%{source[1]}"
    return "constant"


def _keys(sources: Sequence[tuple[Any, ...]]) -> str:
    return " ".join(f"{kind}-{place[0]}" for kind, *place in sources if kind != "const")


def _rule(op: str) -> str:
    """The gradient of an operation as the registry says it."""
    row = next((row for row in _core.registry() if row["name"] == op), None)
    text = row["gradient"] if row else ""
    return f'<div class="fact">Rule: {escape(text)}</div>' if text and "F::" not in text and "{" not in text else ""


def _step(step: Step, nodes: Mapping[int, TapeNode], names: Mapping[int, str]) -> str:
    """The text of a step."""
    inputs = step.node.inputs
    source = f'<div class="fact">called in <code>{escape(step.node.source)}</code></div>' if step.node.source else ""
    parts = [f"<h2>%{step.node.id} {escape(step.node.op)}</h2>{source}{_rule(step.node.op)}"]
    if step.arrived:
        parts.append(f"<h3>The gradient of its result</h3>{_arrived(step.arrived)}")
    for i, g in step.delivered:
        parts.append(f"<h3>to {escape(_name(inputs[i], nodes, names))} · {_kind(g)}</h3>{table(g)}")
    to = _keys([inputs[i] for i, _ in step.delivered])
    return f'<section class="step" data-on="node-{step.node.id}" data-to="{to}">{"".join(parts)}</section>'


def _leaf(id: int, arrived: list[tuple[str, Variable]], names: Mapping[int, str]) -> str:
    """The text of the gradient that a leaf has collected."""
    head = f"<h2>The gradient of {escape(names.get(id, f'leaf {id}'))}</h2>"
    return f'<section class="step" data-on="leaf-{id}" data-to="">{head}{_arrived(arrived)}</section>'


def _list(nodes: Sequence[TapeNode], names: Mapping[int, str]) -> str:
    """The operations of a tape as a table."""
    known = {node.id: node for node in nodes}
    head = "".join(f'<th class="text">{word}</th>' for word in ("operation", "of", "shape", "saves", "called in"))
    rows = []
    for node in nodes:
        of = ", ".join(_name(source, known, names) for source in node.inputs)
        cells = [
            f"%{node.id} {node.op}",
            of,
            "×".join(map(str, node.shape)) or "scalar",
            f"{node.saved_bytes} B",
            node.source or "",
        ]
        rows.append("<tr>" + "".join(f'<td class="text">{escape(cell)}</td>' for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def page(
    nodes: Sequence[TapeNode], names: Mapping[int, str], drawing: str, title: str, y: Variable | None, gradient: Variable | None
) -> str:
    """A page that needs no other file: the drawing of a tape, and beside it its operations or the steps of a backward pass."""
    head = f"<h1>{escape(title)}</h1>" if title else ""
    if y is None:
        panel, script = _list(nodes, names), ""
    else:
        known, found = {node.id: node for node in nodes}, run(nodes, y, gradient)
        parts = [_step(step, known, names) for step in found.steps]
        parts += [_leaf(id, arrived, names) for id, arrived in found.leaves.items()]
        buttons = "".join(f'<button type="button">{word}</button>' for word in ("First", "Back", "Next", "Last"))
        panel = f'<div class="controls" hidden>{buttons}<span class="count" aria-live="polite"></span></div>{"".join(parts)}'
        script = f"<script>{_SCRIPT}</script>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title or 'tape')}</title><style>{_STYLE}</style></head><body>{head}<main>"
        f'<div class="graph">{drawing}</div><div class="panel">{panel}</div></main>{script}</body></html>\n'
    )


def cell(text: str, height: int = 560) -> str:
    """A page inside of a notebook's cell, apart from the notebook's own styles and names."""
    return f'<iframe title="tape" srcdoc="{escape(text)}" style="width:100%;height:{height}px;border:0"></iframe>'


def variable(x: Variable) -> str:
    """A Variable in a notebook: its shape and dtype, its first elements, and its gradient if it has one."""
    facts = [_kind(x)]
    if x.requires_grad:
        facts.append(f"from {x.grad_fn.name()}" if x.grad_fn else "a leaf that requires gradients")
    parts = [f"<div><b>Variable</b> · {escape(' · '.join(facts))}</div>{table(x)}"]
    if x.is_leaf and x.requires_grad and x.grad is not None:
        parts.append(f"<div>gradient</div>{table(x.grad)}")
    return "".join(parts)
