"""Writes the comparison with NumPy, PyTorch, JAX and HIPS autograd, function by function.

What we have is what can be imported. What the others have stands in peers.json: public functions by namespace, listed
from their packages.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference import Reference

PEERS = Path(__file__).resolve().with_name("peers.json")
#: What is no function on arrays: settings, text, dates, other processors, and what only the libraries themselves call.
APART = re.compile(
    r"cudnn|miopen|mkldnn|fbgemm|quant|autocast|anomaly|vulkan|native|sparse|batch_norm_|fake_|unsafe_|parse_|import_|graph|busday|datetime"
    r"|sym_|show_|printoptions|_copy$|_tensor_|merge_type|unify_type|with_indices$|^(q_|is_|set|get|init_|fork|wait|test|info|s?[dh]?s[mp]m+$)"
)
SHOWN = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "autograd": "autograd"}
#: Our namespaces that are compared, with what they are called elsewhere.
SPACES = {
    "": "numpy · torch · jax.numpy · autograd.numpy",
    "linalg": "numpy.linalg · torch.linalg · jax.numpy.linalg · autograd.numpy.linalg",
    "fft": "numpy.fft · torch.fft · jax.numpy.fft · autograd.numpy.fft",
    "special": "torch.special · jax.scipy.special · autograd.scipy.special",
    "nn.functional": "torch.nn.functional · jax.nn",
}
HEAD = """# Comparison

Which functions there are here, in NumPy {numpy}, PyTorch {torch}, JAX {jax} and HIPS autograd {autograd}, by their names.
The pages about coming from [PyTorch](pytorch.md), [NumPy and HIPS autograd](start/numpy.md) and [JAX](start/jax.md) say what
differs where the name is the same.
[Performance](performance.md) compares times.

| | tapegrad | NumPy | PyTorch | JAX | HIPS autograd |
|---|---|---|---|---|---|
| gradients of any order | yes | no | yes | yes | yes |
| forward mode | yes | no | yes | yes | yes |
| batching of functions (`vmap`) | yes | no | yes | yes | no |
| NumPy code differentiates as it is | yes | | no | after an import | after an import |
| writes in place, recorded | yes | | with version errors | no | no |
| a table of gradients at kinks, ties and poles, tested | yes | | no | no | no |
| layers, losses, optimizers | yes | no | yes | by other packages | no |
| GPU | no | no | yes | yes | no |
| compiles functions | {compiles} | no | yes | yes | no |
| complex gradients | as PyTorch | | steepest ascent | its conjugate | its conjugate |
| same bits with any number of threads | yes | | on request | no promise | |
"""


def page(reference: Reference) -> str:
    peers = json.loads(PEERS.read_text(encoding="utf-8"))
    parts = [
        HEAD.format(
            **{name: peers[name]["version"] for name in SHOWN}, compiles="yes" if "compile" in reference.public else "no"
        ).rstrip()
    ]
    for space, called in SPACES.items():
        ours = functions(reference, space)
        if ours:
            parts += [f"## tapegrad{'.' * bool(space)}{space}", f"Elsewhere: {called}.", table(ours, space, peers)]
    for name in ("numpy", "torch"):
        parts += lacking(reference, name, peers[name]["names"])
    return "\n\n".join(parts) + "\n"


def functions(reference: Reference, space: str) -> list[str]:
    """Our functions of a namespace."""
    found = [path for path, value in reference.public.items() if path.rpartition(".")[0] == space and callable(value)]
    names = [path.rpartition(".")[2] for path in found if not isinstance(reference.public[path], type)]
    return sorted(names, key=str.lower)


def table(ours: list[str], space: str, peers: dict[str, dict[str, dict[str, list[str]]]]) -> str:
    kept = [name for name in SHOWN if peers[name]["names"].get(space)]
    there = {name: set(peers[name]["names"][space]) for name in kept}
    rows = [f"| | {' | '.join(SHOWN[name] for name in kept)} |", "|---" * (len(kept) + 1) + "|"]
    for name in ours:
        path = f"tapegrad.{space}.{name}" if space else f"tapegrad.{name}"
        marks = ["✓" if name in there[peer] else "" for peer in kept]
        if any(marks):
            rows.append(f"| {{py:obj}}`{name} <{path}>` | {' | '.join(marks)} |")
    alone = [
        f"{{py:obj}}`{n} <tapegrad.{space + '.' if space else ''}{n}>`" for n in ours if not any(n in s for s in there.values())
    ]
    return "\n".join(rows) + (f"\n\nOnly here: {', '.join(alone)}." if alone else "")


def lacking(reference: Reference, peer: str, names: dict[str, list[str]]) -> list[str]:
    """What another library has and we have not, under the same name."""
    parts = []
    for space, theirs in names.items():
        ours = {path.rpartition(".")[2] for path in reference.public}
        missing = [
            n
            for n in theirs
            if n not in ours
            and not n.endswith("_")
            and not APART.search(n)
            and not hasattr(reference.modules["tapegrad"].Variable, n)
        ]
        if missing:
            parts.append(
                f"- `{SHOWN[peer].lower().replace('pytorch', 'torch')}{'.' * bool(space)}{space}`: "
                + ", ".join(f"`{n}`" for n in missing)
            )
    return [f"## In {SHOWN[peer]}, not here", "\n".join(parts)] if parts else []
