"""Writes the pages of the reference: an entry for every public name of every namespace that can be imported.

Names come from `__all__`, texts from docstrings, signatures and gradients from the registry of operations. What a namespace gains
stands on its page without a line here.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import facts as found_facts  # noqa: E402 - beside this folder
import generate  # noqa: E402
from formula import typeset  # noqa: E402

import tapegrad as tg  # noqa: E402
from tapegrad import _aliases, _core, _habits, _names  # noqa: E402

#: The order of the namespaces; others follow by their names.
ORDER = [
    "tapegrad",
    "nn",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "optim",
    "optim.lr_scheduler",
    "optim.swa_utils",
    "autograd",
    "func",
    "lax",
    "tree",
    "linalg",
    "fft",
    "special",
    "random",
    "distributions",
    "stats",
    "optimize",
    "integrate",
    "interpolate",
    "ndimage",
    "signal",
    "sparse",
    "utils.data",
    "distributed",
    "train",
    "metrics",
    "amp",
    "testing",
]
#: Subjects of the page `tapegrad`, each with the files in src/ops whose operations belong to it.
SUBJECTS = {
    "Creation": "creation random",
    "Arithmetic": "arithmetic division complex",
    "Elementary functions": "elementary exponential trigonometry inverse define work",
    "Activations": "activation softmax normal gates",
    "Comparison and logic": "comparison logic_reduce predicate",
    "Sums, means, extrema": "reduction variance statistics minmax nan norm quantiles running along",
    "Shape": "shape permute view join repeat pad diagonal window cut edit",
    "Indexing and choosing": "index gather scatter where_",
    "Sorting and sets": "sorting sets",
    "Matrices": "matrix products einsum pairs",
    "Losses": "distance binary classes ctc entropy",
    "Numerical calculus": "calculus interpolate",
}
LAST = "More of NumPy's functions"
#: The subject of names that are not operations of the registry, and whose module does not tell it.
BY_NAME = {
    "Creation": "array asarray block copy from_dlpack logspace",
    "Transformations": "sparse_jacobian sparse_hessian",
    "Recording": "explain is_grad_enabled tape_stats",
    "Settings": "get_num_threads set_num_threads empty_cache memory_stats",
    "Dtypes": "autocast common_type promote_types min_scalar_type",
    "Polynomials": "polyval",
}

#: The subject of names from each module.
BY_MODULE = {
    "tapegrad._transforms": "Transformations",
    "tapegrad._custom": "Transformations",
    "tapegrad._checkpoint": "Transformations",
    "tapegrad.serialization": "Files",
    "tapegrad.tape": "Recording",
    "tapegrad._aliases": "PyTorch's names",
    "tapegrad._habits": "PyTorch's names",
    "tapegrad._threads": "Settings",
    "tapegrad._dtypes": "Dtypes",
    "tapegrad._dtype_names": "Dtypes",
    "tapegrad.random": "Random numbers",
    "tapegrad._compile": "Compiled functions",
    "tapegrad._scan": "Compiled functions",
    "tapegrad._program": "Compiled functions",
    "tapegrad._polynomials": "Polynomials",
    "tapegrad._torch_names": "PyTorch's names",
}


@dataclass
class Entry:
    """A public name: its place, and the text of its entry."""

    path: str
    value: Any
    first: str = ""
    text: str = ""
    subject: str = ""


def modules() -> dict[str, ModuleType]:
    """The public namespaces by their names without `tapegrad.`, in the order of the reference."""
    found: dict[str, ModuleType] = {"tapegrad": tg}
    queue: list[tuple[str, ModuleType]] = [("", tg)]
    while queue:
        prefix, home = queue.pop(0)
        for name in sorted({*names(home), *(tg._LAZY_MODULES if home is tg else ())}):
            value = getattr(home, name, None)
            path = f"{prefix}{name}"
            if inspect.ismodule(value) and value.__name__ == f"tapegrad.{path}" and path not in found:
                found[path] = value
                queue.append((f"{path}.", value))
    last = len(ORDER)
    return dict(sorted(found.items(), key=lambda item: (ORDER.index(item[0]) if item[0] in ORDER else last, item[0])))


def names(module: ModuleType) -> list[str]:
    """The public names of a namespace."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        own = [
            n
            for n, v in vars(module).items()
            if getattr(v, "__module__", None) == module.__name__ or hasattr(v, "__text_signature__")
        ]
        listed = [n for n in own if getattr(getattr(module, n), "__module__", "").startswith("tapegrad")]
    public = {n for n in listed if not n.startswith("_") and n not in generate.INTERNAL}
    return sorted(public | ({"__version__"} if module is tg else set()), key=str.lower)


class Reference:
    """All entries, and the pages that they stand on."""

    def __init__(self) -> None:
        self.rows = {row["path"]: row for row in _core.registry()}
        self.aliases = {self.join(row["module"], other): row for row in self.rows.values() for other in row["aliases"]}
        self.modules = modules()
        self.sources = rust_lines()
        for path, row in self.rows.items():
            if path not in self.sources and row["name"] not in self.sources and (place := mention(row["name"])):
                self.sources[path] = place
        self.edges = edges()
        self.used: dict[str, int] = {}
        self.homes: dict[int, str] = {}
        self.public = {
            self.join("" if m == "tapegrad" else m, n): getattr(v, n) for m, v in self.modules.items() for n in names(v)
        }
        self.by_name = {path.rsplit(".", 1)[-1]: path for path in sorted(self.public, key=lambda p: -p.count("."))}

    @staticmethod
    def join(module: str, name: str) -> str:
        return f"{module}.{name}" if module else name

    # ---- texts ----

    def link(self, name: str, near: str) -> str:
        """A reference to a public name that a docstring mentions, or the name as code."""
        name = name.removeprefix("~").removeprefix("tapegrad.").removeprefix("tg.").rstrip("()")
        for path in (self.join(near, name), name, self.by_name.get(name, "")):
            if path in self.public and not inspect.ismodule(self.public[path]):
                return f"{{py:obj}}`{name} <tapegrad.{path}>`"
        return f"`{name}`"

    def markdown(self, doc: str, near: str) -> str:
        """A docstring as Markdown."""
        out: list[str] = []
        code: str | None = None
        for line in inspect.cleandoc(doc).splitlines():
            if code is None and line.lstrip().startswith(">>> "):
                out += ["", "```pycon"]
                code = "pycon"
            elif code == "pycon" and not line.strip():
                out.append("```")
                code = None
            if code:
                out.append(re.sub(r"  # doctest:.*", "", line.removeprefix("    ") if out[-1] == "" else line))
            elif re.fullmatch(r"\s*(Args|Arguments|Raises|Returns|Yields|Attributes|Note|Examples?):", line):
                out += [f"**{line.strip().rstrip(':')}**", ""]
            elif re.match(r"\s+\*{0,2}\w+(, \w+)*: ", line) and any(o.startswith("**") for o in out[-12:]):
                name, _, rest = line.strip().partition(": ")
                out.append(f"- `{name}`: {self.inline(rest, near)}")
            else:
                out.append(self.inline(line.strip(), near))
        return "\n".join([*out, "```"] if code else out).strip()

    def inline(self, line: str, near: str) -> str:
        """A line of prose: roles become links, signs of Markdown stay what they are."""
        parts = re.split(r"(:\w+:`[^`]+`|``[^`]+``|`[^`]+`|\[[^\]]+\]\([^)]+\))", line)
        for i, part in enumerate(parts):
            if role := re.fullmatch(r":\w+:`([^`]+)`", part):
                parts[i] = self.link(role[1], near)
            elif part.startswith("`"):
                parts[i] = f"`{part.strip('`')}`"
            elif not part.startswith("["):
                parts[i] = re.sub(r"([*_$<{\[#|])", r"\\\1", part)
        text = "".join(parts)
        return re.sub(r"^([+>-]|\d+\.)(?= )", r"\\\1", text) if not re.match(r"- ", text) else text

    # ---- entries ----

    def source(self, value: Any, path: str) -> str:
        """A link to the lines that say what it does; nothing for what only the compiled module knows."""
        row = self.rows.get(path) or self.aliases.get(path)
        if row:
            place = self.sources.get(row["path"]) or self.sources.get(row["name"])
        else:
            place = python_line(inspect.unwrap(value) if callable(value) else value)
        if not place:
            return ""
        file, line = place
        self.used[file] = max(line, self.used.get(file, 0))
        return f'<a class="source" href="../_source/{file}.html#L-{line}">source: {file}, line {line}</a>'

    def operation(self, path: str, row: dict[str, Any]) -> Entry:
        """An operation of the registry."""
        module = path.rpartition(".")[0]
        shown = generate.signature(row["params"], lambda p: p["name"] if p["default"] is None else f"{p['name']}={p['default']}")
        all_names = [row["name"], *row["aliases"]]
        text = [self.markdown(row["doc"], module)]
        head, fence, example = text[0].partition("```pycon")
        facts = []
        if row["method"]:
            facts.append(f"- **Method:** `x.{row['name']}`")
        facts += [f"- **{p['name']}:** {', '.join(f'`{c!r}`' for c in p['choices'])}" for p in row["params"] if p["choices"]]
        facts += [f"- **{title}:** {line}" for title, line in found_facts.facts(row)]
        gradient = generate.gradient(row).replace("`", "")
        facts.append(f"- **Gradient:** {typeset(gradient, {p['name'] for p in row['params']})}")
        found = [self.edges[n] for n in all_names if n in self.edges]
        table = [["**At the edges**", "", "| expression | at | gradient | why |", "|---|---|---|---|", *rows] for rows in found]
        text = [head.strip(), "\n".join(facts), *map("\n".join, table), f"{fence}{example}".strip(), self.source(None, path)]
        kept = [n for n in all_names if self.join(module, n) in self.public or n == row["name"]]
        names_ = [f"tapegrad.{self.join(module, n)}({shown})" for n in kept]
        second = [block("function", s, [f"Another name of {{py:obj}}`{row['name']} <tapegrad.{path}>`."]) for s in names_[1:]]
        file = (self.sources.get(row["path"]) or self.sources.get(row["name"]) or ("", 0))[0]
        whole = "\n\n".join([block("function", names_[0], text), *second])
        return Entry(path, None, first(head), whole, subject(file))

    def entry(self, module: str, name: str) -> Entry | None:
        """The entry of a name; None for a second name, which stands in the entry of the first."""
        path, value = self.join(module, name), self.public[self.join(module, name)]
        if path in self.rows:
            return self.operation(path, self.rows[path])
        if path in self.aliases:
            return None
        named = re.fullmatch(r"As ``tg\.([\w.]+)``\.", value.__doc__ or "")
        other = named[1] if named else self.homes.get(id(value))
        if other and other != path and (callable(value) or inspect.isclass(value)):
            text = f"The same as {{py:obj}}`tapegrad.{other}`."
            kind = "class" if inspect.isclass(value) else "data" if isinstance(value, tg.DType) else "function"
            # At the top these are the names under which PyTorch has functions of other namespaces.
            found = subject_of(name, value).replace(LAST, "PyTorch's names")
            return Entry(path, value, f"The same as `{other}`.", block(kind, f"tapegrad.{path}", [text]), found)
        doc = inspect.getdoc(value) or ""
        if inspect.isclass(value):
            text = self.class_(path, value)
        elif isinstance(value, tg.DType):
            doc = dtype_text(value)
            text = block("data", f"tapegrad.{path}", [doc])
        elif callable(value):
            body = [self.markdown(doc, module), self.source(value, path)]
            text = block("function", f"tapegrad.{path}{signature(value)}", body)
        else:
            doc = f"`{value!r}`" if type(value) in {float, int, str, type(None)} else doc
            doc = doc if of_ours(value) else doc.split("\n\n")[0]
            doc = f"A {type(value).__name__}." if type(value) in {dict, list, tuple, set, frozenset} else doc
            doc = f"Has {', '.join(f'`{name}`' for name in vars(value))}." if isinstance(value, SimpleNamespace) else doc
            text = block("data", f"tapegrad.{path}", [self.markdown(doc, module)])
        return Entry(path, value, first(self.markdown(doc, module)), text, subject_of(name, value))

    def class_(self, path: str, value: type) -> str:
        """A class with the methods that it adds to its public bases."""
        module = path.rpartition(".")[0]
        bases = [b for b in value.__mro__[1:] if b is not object]
        public = [b for b in bases if any(b is v for v in self.public.values()) or b.__module__ == "builtins"]
        doc = re.sub(rf"^{value.__name__}\(.*\)\n+", "", inspect.getdoc(value) or "", flags=re.MULTILINE)
        lines = [self.markdown(doc, module), self.source(value, path)]
        if public:
            lines.insert(1, f"Base: {self.link(public[0].__name__, module)}")
        inherited = {n for b in public for n in vars(b)} if value is not tg.Variable else set()
        own = sorted({n for c in (value, *bases) for n in vars(c)} - inherited)
        lines += [self.member(path, value, name) for name in own]
        kind = "exception" if issubclass(value, BaseException) else "class"
        return block(kind, f"tapegrad.{path}{signature(value)}", lines, fence=":" * 5)

    def member(self, path: str, home: type, name: str) -> str:
        """A method or attribute of a class; nothing for what is private or has no text."""
        raw = inspect.getattr_static(home, name)
        doc = inspect.getdoc(raw) or ""
        described = callable(raw) or isinstance(raw, (property, staticmethod, classmethod)) or inspect.isgetsetdescriptor(raw)
        if name.startswith("_") or not doc or inspect.isclass(raw) or not described:
            return ""
        module = path.rpartition(".")[0]
        row = next((r for r in self.rows.values() if r["method"] and name in [r["name"], *r["aliases"]]), None)
        target = f"tapegrad.{path}.{name}"
        if home is tg.Variable and row and row["path"] in self.public:
            shown = generate.signature(
                row["params"][1:], lambda p: p["name"] if p["default"] is None else f"{p['name']}={p['default']}"
            )
            return block("method", f"{target}({shown})", [f"{{py:obj}}`tapegrad.{row['path']}` of this array."])
        if not callable(getattr(home, name, None)) or isinstance(raw, property):
            return block("attribute", target, [self.markdown(doc, module)], option=":no-contents-entry:\n")
        f = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        option = (
            ":staticmethod:\n" if isinstance(raw, staticmethod) else ":classmethod:\n" if isinstance(raw, classmethod) else ""
        )
        return block(
            "method", target + signature(f, bound=not isinstance(raw, staticmethod)), [self.markdown(doc, module)], option=option
        )

    # ---- pages ----

    def pages(self) -> dict[str, str]:
        """The texts of all pages by their names in reference/."""
        entries: dict[str, list[Entry]] = {}
        for module, value in self.modules.items():
            prefix = "" if module == "tapegrad" else module
            for name in names(value):
                path = self.join(prefix, name)
                if not inspect.ismodule(self.public[path]) and path not in self.aliases:
                    self.homes.setdefault(id(self.public[path]), self.home(path))
        for module, value in self.modules.items():
            prefix = "" if module == "tapegrad" else module
            found = [self.entry(prefix, n) for n in names(value) if not inspect.ismodule(getattr(value, n))]
            entries[module] = [e for e in found if e]
        out = {"variable": "# Variable\n\n" + next(e.text for e in entries["tapegrad"] if e.path == "Variable") + "\n"}
        entries["tapegrad"] = [e for e in entries["tapegrad"] if e.path != "Variable"]
        for module, listed in entries.items():
            out |= self.top(listed) if module == "tapegrad" else {module: self.page(module, listed)}
        out["index"] = self.index(entries)
        return out

    def home(self, path: str) -> str:
        """Where an object has its entry: the namespace that it was made in, if it is public there."""
        value = self.public[path]
        same = [p for p, v in self.public.items() if v is value and p not in self.aliases]
        made = getattr(value, "__module__", "") or ""
        below = [p for p in same if p.rpartition(".")[0] and made.startswith(f"tapegrad.{p.rpartition('.')[0]}")]
        rows = [p for p in same if p in self.rows]
        own = value.name if isinstance(value, tg.DType) else getattr(value, "__name__", "")
        by_name = sorted(below, key=lambda p: p.rpartition(".")[2] != own)
        return (rows or by_name or sorted(same, key=lambda p: (p.count("."), p.rpartition(".")[2] != own, len(p))))[0]

    def page(self, module: str, listed: list[Entry]) -> str:
        doc = self.markdown(inspect.getdoc(self.modules[module]) or "", module)
        head = f"# tapegrad.{module}\n\n```{{py:module}} tapegrad.{module}\n```\n\n```{{py:currentmodule}} None\n```\n\n{doc}"
        below = [m for m in self.modules if m.startswith(f"{module}.")]
        more = ["Below: " + ", ".join(f"[{m}]({m}.md)" for m in below)] if below else []
        return "\n\n".join([head, *more, table(listed), *(e.text for e in listed), *self.shared(module, listed)]) + "\n"

    def shared(self, module: str, listed: list[Entry]) -> list[str]:
        """The methods of objects whose classes are not public, once for all objects that have the same ones."""
        groups: dict[tuple[Any, ...], list[str]] = {}
        for e in listed:
            kind = type(e.value)
            if kind.__module__.startswith("tapegrad") and kind.__name__.startswith("_"):
                own = {n: f for base in reversed(kind.__mro__) for n, f in vars(base).items() if inspect.isfunction(f)}
                methods = tuple((n, f) for n, f in sorted(own.items()) if not n.startswith("_") and f.__doc__)
                groups.setdefault(methods, []).append(e.path.rpartition(".")[2])
        out = []
        for methods, found in groups.items():
            rows = [f"| `{n}{signature(f, bound=True)}` | {self.inline(first(f.__doc__ or ''), module)} |" for n, f in methods]
            names_ = ", ".join(f"`{n}`" for n in found)
            out += [f"## Methods of {names_}", "\n".join(["| method | |", "|---|---|", *rows])] if rows else []
        return out

    def top(self, listed: list[Entry]) -> dict[str, str]:
        """The pages of the namespace `tapegrad` itself: one for each subject."""
        out = {}
        order = list(dict.fromkeys([*SUBJECTS, "PyTorch's names", *BY_NAME, *BY_MODULE.values(), "Errors", "Constants", LAST]))
        for one in order:
            own = [e for e in listed if e.subject == one]
            if own:
                out[slug(one)] = "\n\n".join([f"# {one}", table(own), *(e.text for e in own)]) + "\n"
        rest = [e for e in listed if e.subject not in order]
        if rest:
            raise ValueError(f"no subject for {[e.path for e in rest]}")
        return out

    def index(self, entries: dict[str, list[Entry]]) -> str:
        """The front page of the reference."""
        count = len([p for p, v in self.public.items() if not inspect.ismodule(v)])
        parts = [f"# Reference\n\n{count} public names, {len(self.rows)} operations in the registry."]
        parts.append(GUIDE_TO_ENTRIES)
        subjects: dict[str, list[Entry]] = {}
        for e in entries["tapegrad"]:
            subjects.setdefault(slug(e.subject), []).append(e)
        order = [slug(s) for s in [*SUBJECTS, "PyTorch's names"]]
        subjects = dict(sorted(subjects.items(), key=lambda item: order.index(item[0]) if item[0] in order else 99))
        tops = ["variable", *subjects]
        parts.append("## tapegrad\n\n```{py:module} tapegrad\n```\n\n```{py:currentmodule} None\n```\n\n" + toctree(tops))
        parts.append("\n".join(f"- [{heading(listed)}]({page}.md): {compact(listed)}" for page, listed in subjects.items()))
        spaces = [m for m in entries if m != "tapegrad"]
        parts.append("## Namespaces\n\n" + toctree(spaces))
        parts.append("\n".join(f"- [tapegrad.{m}]({m}.md): {first(inspect.getdoc(self.modules[m]) or '')}" for m in spaces))
        return "\n\n".join(parts) + "\n"


GUIDE_TO_ENTRIES = r"""In an entry, $x$, $a$ and $b$ are inputs, $y$ is the result, and $g$ is the gradient of the loss by $y$. A
gradient that is given as a derivative, as $\frac{\partial y}{\partial x}$, is multiplied by $g$; the others
hold it. *At the edges* shows the rows of [Numerics](../numerics.md) about this function: kinks, ties, poles. A
parameter with a value may be left out. *Shape*, *Dtypes* and *Errors* were found by calls of the function: the shape of
the result, in words or for arguments of these shapes; its dtype by the kind of the arguments' dtype; and what arguments
that do not fit raise. {ref}`genindex` lists every name."""


def toctree(pages: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", "", *pages, "```"])


def heading(listed: list[Entry]) -> str:
    return listed[0].subject


def compact(listed: list[Entry]) -> str:
    shown = [f"`{e.path}`" for e in listed[:8]]
    return ", ".join(shown) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")


def slug(subject: str) -> str:
    return re.sub(r"[^a-z]+", "-", subject.lower()).strip("-")


def subject(file: str) -> str:
    """The subject of an operation that stands in this file of src/ops."""
    stem = Path(file).stem
    return next(
        (name for name, files in SUBJECTS.items() if stem in files.split() and file.startswith(("src/ops/", "src/loss/"))), LAST
    )


def subject_of(name: str, value: Any) -> str:
    """The subject of a name that is no operation of the registry."""
    made = getattr(value, "__module__", "") or ""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return "Errors"
    if by_name := [subject for subject, listed in BY_NAME.items() if name in listed.split()]:
        return by_name[0]
    if made in BY_MODULE or made.startswith("tapegrad.autograd"):
        return BY_MODULE.get(made, "Recording")
    if isinstance(value, tg.DType) or name in {"DType", "result_type", "can_cast", "get_default_dtype", "set_default_dtype"}:
        return "Dtypes"
    if type(value) in {float, str, type(None)}:
        return "Constants"
    habit = name in {*_aliases.__all__, *_names.__all__, *_habits.TENSORS, "Tensor"}
    return "PyTorch's names" if made == "tapegrad._names" or habit or name.endswith("_") else LAST


def first(text: str) -> str:
    """The first sentence, without links."""
    line = " ".join(text.strip().split("\n\n")[0].split())
    line = re.sub(r"\{py:obj\}`([^<`]*?)(?: <[^`]*)?`", r"`\1`", line)
    line = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line).replace("``", "`")
    return (
        re.split(r"(?<=[\w)`])[.](?: (?=[A-Z`>])|$)", line.replace(" (None: all)", ""))[0]
        .replace("|", "\\|")
        .replace("\\\\|", "\\|")
    )


def table(listed: list[Entry]) -> str:
    rows = [f"| {{py:obj}}`{e.path.rpartition('.')[2]} <tapegrad.{e.path}>` | {e.first} |" for e in listed]
    return "\n".join(["| name | |", "|---|---|", *rows]) if len(listed) > 3 else ""


def block(kind: str, shown: str, body: list[str], option: str = "", fence: str = "::::") -> str:
    """A directive of Sphinx's Python domain, in MyST."""
    return f"{fence}{{py:{kind}}} {shown}\n{option}\n" + "\n\n".join(filter(None, body)) + f"\n{fence}"


def signature(value: Any, bound: bool = False) -> str:
    """Parameters with their defaults, without types."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "()" if not inspect.isclass(value) else ""
    kept = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    if bound and kept and kept[0].name in {"self", "cls", "$self"}:
        kept = kept[1:]
    text = str(inspect.Signature([p if plain(p.default) else p.replace(default=Shown(p.default)) for p in kept]))
    return text.replace("*args, **kwds", "*args, **kwargs")


def of_ours(value: Any) -> bool:
    """Whether an object is of a class of this package, whose doc is about it."""
    return type(value).__module__.startswith("tapegrad")


def dtype_text(dtype: tg.DType) -> str:
    """What numbers a dtype holds."""
    if dtype == tg.bool:
        return "The dtype of True and False, of one byte."
    if dtype.is_floating_point or dtype.is_complex:
        limits = tg.finfo(dtype)
        word = "complex numbers whose parts have" if dtype.is_complex else "floating numbers of"
        ends = f"up to {float(limits.max):.2g}, and {float(limits.eps):.2g} between 1 and the next number"
        return f"The dtype of {word} {limits.bits} bits: {ends}."
    whole = tg.iinfo(dtype)
    return f"The dtype of integers of {whole.bits} bits, from {whole.min} to {whole.max}."


def plain(default: Any) -> bool:
    return default is inspect.Parameter.empty or type(default) in {int, float, bool, str, tuple, type(None)}


class Shown:
    """A default whose repr would hold an address or brackets."""

    def __init__(self, value: Any) -> None:
        self.text = getattr(value, "__name__", None) or re.sub(r"<[^>]*>", "...", repr(value)) or "..."

    def __repr__(self) -> str:
        return self.text if re.fullmatch(r"[\w.()\[\]{}, '=]+", self.text) else "..."


def python_line(value: Any) -> tuple[str, int] | None:
    """File and line of a Python object of this package."""
    try:
        file, line = inspect.getsourcefile(value), inspect.getsourcelines(value)[1]
    except (TypeError, OSError):
        return None
    path = Path(file or "").resolve()
    package = Path(_core.__file__).resolve().parent
    return (f"python/tapegrad/{path.relative_to(package).as_posix()}", line) if path.is_relative_to(package) else None


def rust_lines() -> dict[str, tuple[str, int]]:
    """File and line of the rows of the registry."""
    found: dict[str, tuple[str, int]] = {}
    for path in sorted((ROOT / "src").rglob("*.rs")):
        file, lines = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8").splitlines()
        for i, line in enumerate(lines):
            if row := re.match(r'\s+name: "(\w+)",', line):
                near = "\n".join(lines[i : i + 30])
                home = (
                    re.search(r'module: "([\w.]+)"', near.split("Entry {")[0])
                    if "Entry {" in "\n".join(lines[max(0, i - 2) : i])
                    else None
                )
                found.setdefault(f"{home[1]}.{row[1]}" if home else row[1], (file, i + 1))
            elif (macro := re.match(r"\s+fn (\w+)\([^)]*\) -> [yz]", line)) and "src/ops" in file:
                found.setdefault(macro[1], (file, i + 1))
    return found


def mention(name: str) -> tuple[str, int] | None:
    """Where a row that a macro makes names its operation."""
    for path in sorted((ROOT / "src/ops").glob("*.rs")):
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if path.stem != "mod" and re.search(rf'"{name}"|pub fn {name}\b|\b{name}::ENTRY|^    fn {name}\(x\)', line):
                return path.relative_to(ROOT).as_posix(), i + 1
    return None


def edges() -> dict[str, list[str]]:
    """The rows of docs/numerics.md about gradients, by the functions that they name first."""
    out: dict[str, list[str]] = {}
    text = (ROOT / "docs/numerics.md").read_text(encoding="utf-8").split("\n## ")
    for part in text:
        if "| expression | at | gradient |" not in part:
            continue
        for line in part.splitlines():
            if name := re.match(r"\| `(?:tg\.(?:\w+\.)*(\w+)\(|x (\*\*|/) )", line):
                out.setdefault(name[1] or {"**": "power", "/": "divide"}[name[2]], []).append(line)
    return out
