"""Writes the files that follow from the registry of operations: stubs of the compiled module and the pages in docs/reference/.

python tools/generate.py           writes both
python tools/generate.py --check   fails when one of them is not what it would write
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import facts

import tapegrad
from tapegrad import _aliases, _core, _habits, _names, _transforms

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "python/tapegrad/_core.pyi"
ALIASES = ROOT / "python/tapegrad/_aliases.pyi"
REFERENCE = ROOT / "docs/reference"

TYPES = {
    "Array": "_ArrayLike",
    "OptArray": "_ArrayLike | None",
    "Arrays": "Variable | Sequence[_ArrayLike]",
    "Each": "_ArrayLike | Sequence[_ArrayLike]",
    "Float": "float",
    "OptFloat": "float | None",
    "Int": "SupportsIndex",
    "OptInt": "SupportsIndex | None",
    "Bool": "_bool",
    "Axes": "SupportsIndex | Sequence[SupportsIndex] | None",
    "Ints": "_Shape",
    "Sections": "_Shape",
    "Sizes": "SupportsIndex | Sequence[SupportsIndex | None]",
    "Floats": "float | Sequence[float]",
    "Padding": "_Shape | str",
    "DType": "_DTypeLike | None",
    "Device": "str | None",
    "Text": "str",
    "Index": "_Index",
}
VARIADIC = {"Axes", "Ints"}
ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
COMPARISONS = ["lt", "le", "gt", "ge", "eq", "ne"]


def operators() -> list[str]:
    """The number slots of ``Variable``, which are no rows of the registry."""
    lines = [f"def __{name}__(self) -> Variable: ..." for name in ("neg", "pos", "abs", "invert")]
    lines.append("def __round__(self, ndigits: int | None = None) -> Variable: ...")
    for name in ARITHMETIC:
        extra = ", modulus: None = None" if name == "pow" else ""
        lines.append(f"def __{name}__(self, other: _ArrayLike{extra}, /) -> Variable: ...")
        lines.append(f"def __r{name}__(self, other: _ArrayLike{extra}, /) -> Variable: ...")
        lines.append(f"def __i{name}__(self, other: _ArrayLike, /) -> Self: ..." + "  # type: ignore[misc]" * (name == "pow"))
    for name in COMPARISONS:
        overrides = "  # type: ignore[override]" if name in {"eq", "ne"} else ""
        lines.append(f"def __{name}__(self, other: _ArrayLike, /) -> Variable: ...{overrides}")
    return lines


def parameter(p: dict[str, Any]) -> str:
    """A parameter in a stub."""
    kind = TYPES[p["kind"]]
    if p["kind"] == "Each":
        return f"*{p['name']}: {kind}"
    if p["default"] is None:
        return f"{p['name']}: {kind}"
    if p["default"] == "None" and "None" not in kind:
        kind += " | None"
    default = p["default"] if not p["default"].startswith("float(") else "..."
    return f"{p['name']}: {kind} = {default}"


def signature(params: list[dict[str, Any]], show: Any) -> str:
    """The parameters between parentheses, with a star before those that are given by name only."""
    parts = []
    for i, p in enumerate(params):
        if p["keyword_only"] and (i == 0 or not (params[i - 1]["keyword_only"] or params[i - 1]["kind"] == "Each")):
            parts.append("*")
        parts.append(show(p))
    return ", ".join(parts)


def aliases(params: list[dict[str, Any]]) -> list[str]:
    """The second names of parameters that may be left out, which are given by name only."""
    return [parameter({**p, "name": p["alias"]}) for p in params if p["alias"] and p["default"] is not None]


def typed(params: list[dict[str, Any]]) -> str:
    """The parameters of a stub, under all their names."""
    more = aliases(params)
    if more and not any(p["keyword_only"] or p["kind"] == "Each" for p in params):
        more.insert(0, "*")
    return ", ".join(filter(None, [signature(params, parameter), *more]))


def renamed(params: list[dict[str, Any]]) -> str:
    """The parameters of a stub under their second names, where one that must be given has a second name; else nothing."""
    if not any(p["alias"] and p["default"] is None for p in params):
        return ""
    first = next(i for i, p in enumerate(params) if p["alias"])
    other = [{**p, "name": p["alias"] or p["name"], "keyword_only": i >= first} for i, p in enumerate(params)]
    return signature(other, parameter)


#: Functions with one result or several, depending on their options.
BY_OPTIONS = {"unique", "average", "gradient"}


def returns(row: dict[str, Any]) -> str:
    """The type of the result, seen on a sample."""
    if row["name"] in BY_OPTIONS and not row["module"]:
        return "Any"
    for sample in _core.samples(row["path"])[:1]:
        result = facts.call(row, sample)
        if isinstance(result, tuple):
            return type(result).__name__ if row["results"] else "tuple[Variable, ...]"
    return "Variable"


def stub_results(row: dict[str, Any]) -> list[str]:
    """The class of results that have names."""
    fields = [f"    {name}: Variable" for name in row["results"]]
    return [f"class {returns(row)}(NamedTuple):", *fields] if fields else []


def stub_functions(rows: list[dict[str, Any]]) -> list[str]:
    """The functions of a namespace."""
    out = []
    for row in rows:
        out += stub_results(row)
        result, other = returns(row), renamed(row["params"])
        for name in [row["name"], *row["aliases"]]:
            one = f"def {name}({typed(row['params'])}) -> {result}: ..."
            out += ["@overload", one, "@overload", f"def {name}({other}) -> {result}: ..."] if other else [one]
    return out


def stub_methods(rows: list[dict[str, Any]], class_: str) -> list[str]:
    """The methods of ``Variable`` that the template of its class does not write out itself."""
    out = []
    for row in (r for r in rows if r["method"]):
        params = row["params"][1:]
        result = returns(row)
        for name in [row["name"], *row["aliases"]]:
            if f"def {name}(self" in class_:
                continue
            one = f"def {name}({', '.join(filter(None, ['self', typed(params)]))}) -> {result}: ..."
            other = renamed(params)
            if other:
                out += ["@overload", f"def {name}(self, {other}) -> {result}: ..."]
            places = [p for p in params if not p["keyword_only"]]
            if places and places[-1]["kind"] in VARIADIC:
                before, after = [parameter(p) for p in places[:-1]], [parameter(p) for p in params[len(places) :]]
                many = ", ".join(["self", *before, f"*{places[-1]['name']}: SupportsIndex", *after])
                out += ["@overload", one, "@overload", f"def {name}({many}) -> {result}: ..."]
            else:
                out += ["@overload", one] if other else [one]
    return out


#: Types of the properties that are written in Python; the others are bools.
PROPERTIES = {"layout": "str", "H": "Variable", "mH": "Variable", "flat": "Any", "strides": "tuple[_int, ...]"}


def stub_habits(class_: str, methods: list[str]) -> list[str]:
    """The methods that python/tapegrad/_habits.py puts on ``Variable``."""
    have = set(re.findall(r"def (\w+)\(", class_ + "\n".join(methods)))
    out, later = [], []
    for name, value in vars(_core.Variable).items():
        if name in have or name.startswith("__") or name == "transpose":
            continue
        if isinstance(value, property):
            kind = {"layout": "str", "H": "Variable", "mH": "Variable", "flat": "Any", "strides": "tuple[_int, ...]"}.get(
                name, "_bool"
            )
            out += ["@property", f"def {name}(self) -> {kind}: ..."]
        elif inspect.isfunction(value) and not inspect.signature(value).parameters.get("self"):
            out.append(f"def {name}(self, k: int = 0, *, diagonal: int | None = None) -> Variable: ...")
        elif value.__name__ not in {name, f"_{name}"} and name in _habits.ALIASES | _habits.SAME:
            later.append(f"{name} = {(_habits.ALIASES | _habits.SAME)[name]}")
        else:
            out.append(stub_python(name, value))
    return out + later


def stub_python(name: str, f: Any) -> str:
    """The stub of a function that is written in Python."""
    signature = re.sub(r"= '([^']*)'", r'= "\1"', str(inspect.signature(f)))
    return f"def {name}{signature}: ...".replace("'", "").replace("_core.", "")


def alias_stubs() -> str:
    """The text of _aliases.pyi: functions made of methods, and other names of compiled functions."""
    made, same = [], []
    for name in _aliases.__all__:
        if name in _habits.ALIASES:
            same.append(f"from ._core import {_habits.ALIASES[name]} as {name}")
        else:
            shown = stub_python(name, _habits.METHODS.get(name, getattr(_aliases, name)))
            made.append(re.sub(r"\((self: Variable|input: Any)", "(input: _ArrayLike", shown))
    head = '"""PyTorch\'s names of functions. Generated from python/tapegrad/_habits.py by `make generate`."""\n\n'
    imports = ["from typing import Any", "", "from ._core import Variable, _ArrayLike", *same, ""]
    names = ["__all__ = [", *(f'    "{name}",' for name in _aliases.__all__), "]", ""]
    return head + "\n".join([*imports, *names, *made]) + "\n"


def inner(lines: list[str]) -> list[str]:
    """Lines of the body of ``Variable``, where ``int`` and ``float`` are methods."""
    return [re.sub(r"(?<!def )(?<![\w.])(int|float|bool)\b(?!\()", r"_\1", line) for line in lines]


def stubs(rows: list[dict[str, Any]]) -> str:
    """The text of _core.pyi."""
    template = (ROOT / "tools/core.pyi.in").read_text(encoding="utf-8")
    dtypes = [f"{name}: DType" for name, value in inspect.getmembers(_core) if isinstance(value, _core.DType)]
    before, class_, after = re.split(r"(?m)^(class Variable:\n(?:    .*\n|\{\w+\}\n)*)", template)
    template = before + "\n".join(inner(class_.split("\n"))) + after
    methods = stub_methods(rows, class_)
    methods = inner(methods + stub_habits(class_, methods))
    if "@overload" in methods:
        template = template.replace("TypeVar, final", "TypeVar, final, overload")
    for field, lines in {
        # A star import takes no name that the package defines otherwise, as grad and zeros.
        "all": [
            f'    "{name}",'
            for name in sorted({*_core.__all__} - {*tapegrad._INNER.split(), *_names.__all__, *_transforms.__all__})
        ],
        "dtypes": dtypes,
        "operators": [f"    {line}" for line in operators()],
        "methods": [f"    {line}" for line in methods],
        "functions": stub_functions([r for r in rows if r["function"] and not r["module"]]),
    }.items():
        template = template.replace("{" + field + "}", "\n".join(lines))
    return template


def namespace_stubs(rows: list[dict[str, Any]]) -> dict[Path, str]:
    """The stubs of the namespaces below ``tapegrad``: `_linalg.pyi`, `nn/_functional.pyi`."""
    out = {}
    for module in sorted({r["module"] for r in rows} - {""}):
        lines = stub_functions([r for r in rows if r["function"] and r["module"] == module])
        *above, last = module.split(".")
        path = ROOT.joinpath("python/tapegrad", *above, f"_{last}.pyi")
        head = f'"""Types of tapegrad.{module}. Generated from the registry by `make generate`."""\n\n'
        used = [name for name in ("_ArrayLike", "_DTypeLike", "_Index", "_Shape") if name in "\n".join(lines)]
        core = f"from {'.' if path.parent.name == 'tapegrad' else '..'}_core import {', '.join(['Variable', *used])}\n"
        standard = "from builtins import bool as _bool\nfrom collections.abc import Sequence\n"
        standard += "from typing import SupportsIndex, overload\n\n"
        names = sorted(name for r in rows if r["module"] == module for name in [r["name"], *r["aliases"]] if name[0] != "_")
        everything = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n\n"
        out[path] = head + standard + core + "\n" + everything + "\n".join(lines) + "\n"
    return out


CONSTANTS = {
    "FRAC_2_SQRT_PI": "2/√π",
    "FRAC_1_SQRT_2": "1/√2",
    "LOG10_E": "log10(e)",
    "LOG2_E": "log2(e)",
    "LN_2": "log(2)",
    "LN_10": "log(10)",
}
#: Operations that only gradient rules call.
INTERNAL = {"annihilate"}
RELATIONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "=", "ne": "!="}
FUNCTIONS = {"ln": "log", "ln_1p": "log1p", "exp_m1": "expm1", "is_nan": "isnan", "recip": "reciprocal"}
#: Signs of binary operators, and their precedence.
SIGNS: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: (" + ", 1),
    ast.Sub: (" - ", 1),
    ast.Mult: (" ", 2),
    ast.Div: (" / ", 2),
}


def number(text: str) -> str:
    """A Rust constant in ordinary notation."""
    name = text.strip().rpartition("::")[2]
    return (
        text.strip().replace("_", "").removesuffix(".0")
        if text.strip()[:1] in "-0123456789"
        else CONSTANTS.get(name, name.lower())
    )


def mathematics(code: str) -> str:
    """A formula in Rust, in mathematical notation: ``1 where x > 0, else 0``."""
    constants: list[str] = []

    def constant(match: re.Match[str]) -> str:
        constants.append(number(match[1]))
        return f"_{len(constants) - 1}"

    text = re.sub(r"F::lit\(\s*([^()]*?)\s*\)", constant, re.sub(r"\s+", " ", code)).replace("F::", "")
    *lets, last = (part.strip().removeprefix("let ") for part in text.strip().rstrip(";").split(";"))
    names = [tuple(part.split(" = ", 1)) for part in lets]
    shown = term(ast.parse(last, mode="eval").body, constants)
    given = [f"{name} = {term(ast.parse(value, mode='eval').body, constants)}" for name, value in names]
    return shown + (f", with {', '.join(given)}" if given else "")


def term(node: ast.expr, constants: list[str], outer: int = 0) -> str:  # noqa: PLR0911 - one for each form
    """A node of a formula; in parentheses when the node around it binds tighter."""

    def inside(text: str, level: int) -> str:
        return f"({text})" if level < outer else text

    match node:
        case ast.Name(id=name):
            return constants[int(name[1:])] if name[:1] == "_" else name
        case ast.Constant(value=value):
            return str(value)
        case ast.UnaryOp(operand=operand):
            return inside(f"-{term(operand, constants, 2)}", 1)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if ast.dump(left) == ast.dump(right):
            return f"{term(left, constants, 4)}²"
        case ast.BinOp(left=left, op=op, right=right):
            sign, level = SIGNS[type(op)]
            after = level + (isinstance(op, (ast.Sub, ast.Div)))
            return inside(f"{term(left, constants, level)}{sign}{term(right, constants, after)}", level)
        case ast.Call(func=ast.Name(id="select"), args=[condition, yes, no]):
            return inside(f"{term(yes, constants)} where {term(condition, constants)}, else {term(no, constants)}", 0)
        case ast.Call(func=ast.Attribute(value=value, attr="abs")):
            return f"|{term(value, constants)}|"
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=[other]) if name in RELATIONS:
            return f"{term(value, constants)} {RELATIONS[name]} {term(other, constants)}"
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=args):
            return f"{FUNCTIONS.get(name, name)}({', '.join(term(a, constants) for a in [value, *args])})"
        case ast.Call(func=ast.Name(id=name), args=args):
            return f"{name}({', '.join(term(a, constants) for a in args)})"
    raise ValueError(f'no mathematics for {ast.dump(node)}; give the row a text, as in `rule "dy/dx = ...";`')


def gradient(row: dict[str, Any]) -> str:
    """The gradient of an operation as mathematics."""
    text = re.sub(r"\{((?:[^{}]|\{[^{}]*\})*)\}", lambda m: mathematics(m[1]), row["gradient"])
    text = re.sub(r"\s+", " ", text).strip()
    shown = {"rule": f"`{text}`", "composite": f"`{text}`", "none": "none"}[row["differentiable"]]
    return shown + ("; linear in each array" if row["linear"] else "")


def section(row: dict[str, Any]) -> str:
    """An operation's part of a page."""
    shown = signature(row["params"], lambda p: p["name"] if p["default"] is None else f"{p['name']}={p['default']}")
    head, _, example = row["doc"].strip().partition(">>> ")
    homes = [f"tg.{row['path']}"] * row["function"] + [f"Variable.{row['name']}"] * row["method"]
    lines = "\n".join(line.strip() for line in head.strip().splitlines())
    notes = [f"**Where:** {', '.join(f'`{h}`' for h in homes) or 'an operator of `Variable`'}"]
    if row["aliases"]:
        notes.append(f"**Also:** {', '.join(f'`{a}`' for a in row['aliases'])}")
    notes += [f"**{p['name']}:** {', '.join(f'`{c!r}`' for c in p['choices'])}" for p in row["params"] if p["choices"]]
    notes += [f"**{title}:** {line}" for title, line in facts.facts(row)]
    notes.append(f"**Gradient:** {gradient(row)}")
    code = "\n".join(line.removeprefix(" ") for line in f">>> {example}".rstrip().splitlines())
    return "\n\n".join([f"## {row['path']}", f"`{row['path']}({shown})`", lines, *notes, f"```pycon\n{code}\n```"])


def anchor(row: dict[str, Any]) -> str:
    return f"#{row['path'].replace('.', '')}"


def pages(rows: list[dict[str, Any]]) -> dict[Path, str]:
    """The reference: a page for each namespace, and an index."""
    shown = sorted((r for r in rows if r["path"] not in INTERNAL and not r["name"].startswith("_")), key=lambda r: r["name"])
    modules = sorted({r["module"] for r in shown})
    out, index = {}, []
    for module in modules:
        name, file = (f"tapegrad.{module}", f"{module}.md") if module else ("tapegrad", "tapegrad.md")
        own = [r for r in shown if r["module"] == module]
        head = (
            f"# {name}\n\n"
            "Generated from the registry by `make generate`. `x`, `a`, `b` are inputs, `y` is the result, and `g` is the\n"
            "gradient of the loss by `y`. A gradient that begins with `dy/dx` is multiplied by `g`; the others hold it.\n"
            "What happens at kinks, ties and poles stands in [numerics](../numerics.md)."
        )
        links = " ·\n".join(f"[{r['name']}]({anchor(r)})" for r in own)
        out[REFERENCE / file] = "\n\n".join([head, f"{len(own)} operations: {links}", *map(section, own)]) + "\n"
        index.append(f"## [{name}]({file})\n\n" + " ·\n".join(f"[{r['name']}]({file}{anchor(r)})" for r in own))
    head = f"# Reference\n\n{len(shown)} operations, a page for each namespace. Generated from the registry by `make generate`."
    out[REFERENCE / "index.md"] = "\n\n".join([head, *index]) + "\n"
    return out


def main() -> int:
    """Writes the files, or checks them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when a file is not fresh")
    check = parser.parse_args().check
    rows = _core.registry()
    texts = {STUBS: stubs(rows), ALIASES: alias_stubs(), **namespace_stubs(rows), **pages(rows)}
    stale = []
    for path in set(REFERENCE.glob("*.md")) - texts.keys():
        stale.append(path.relative_to(ROOT))
        if not check:
            path.unlink()
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} is not fresh: run `make generate` and commit the result" if check else f"wrote {path}", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
