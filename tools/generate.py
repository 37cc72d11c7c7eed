"""Writes what the registry of operations implies: the stubs of the compiled module, and docs/ops.md.

python tools/generate.py           writes both
python tools/generate.py --check   fails when one of them is not what it would write
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from tapegrad import _core, _habits

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "python/tapegrad/_core.pyi"
PAGE = ROOT / "docs/ops.md"

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


def call(row: dict[str, Any], sample: tuple[Any, ...]) -> Any:
    """What the operation returns for a sample."""
    args = [a for p, a in zip(row["params"], sample, strict=True) if not p["keyword_only"]]
    kwargs = {p["name"]: a for p, a in zip(row["params"], sample, strict=True) if p["keyword_only"]}
    f = _core._functions[row["path"]] if row["function"] else getattr(_core.Variable, row["name"])
    return f(*args, **kwargs)


#: What has one result or several, by its options.
BY_OPTIONS = {"unique", "average", "gradient"}


def returns(row: dict[str, Any]) -> str:
    """The type of the result, seen on a sample."""
    if row["name"] in BY_OPTIONS and not row["module"]:
        return "Any"
    for sample in _core.samples(row["path"])[:1]:
        result = call(row, sample)
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


def stub_methods(rows: list[dict[str, Any]], template: str) -> list[str]:
    """The methods of ``Variable`` that the template does not write out itself."""
    out = []
    for row in (r for r in rows if r["method"]):
        params = row["params"][1:]
        result = returns(row)
        for name in [row["name"], *row["aliases"]]:
            if f"def {name}(self" in template:
                continue
            one = f"def {name}({', '.join(filter(None, ['self', typed(params)]))}) -> {result}: ..."
            other = renamed(params)
            if other:
                out += ["@overload", f"def {name}(self, {other}) -> {result}: ..."]
            if params and params[-1]["kind"] in VARIADIC and not params[-1]["keyword_only"]:
                before = [parameter(p) for p in params[:-1]]
                many = ", ".join(["self", *before, f"*{params[-1]['name']}: SupportsIndex"])
                out += ["@overload", one, "@overload", f"def {name}({many}) -> {result}: ..."]
            else:
                out += ["@overload", one] if other else [one]
    return out


def stub_habits(template: str, methods: list[str]) -> list[str]:
    """The methods that python/tapegrad/_habits.py puts on ``Variable``."""
    have = set(re.findall(r"def (\w+)\(", template + "\n".join(methods)))
    out, later = [], []
    for name, value in vars(_core.Variable).items():
        if name in have or name.startswith("__") or name == "transpose":
            continue
        if isinstance(value, property):
            kind = {"layout": "str", "H": "Variable", "mH": "Variable"}.get(name, "_bool")
            out += ["@property", f"def {name}(self) -> {kind}: ..."]
        elif inspect.isfunction(value) and not inspect.signature(value).parameters.get("self"):
            out.append(f"def {name}(self, k: int = 0, *, diagonal: int | None = None) -> Variable: ...")
        elif value.__name__ not in {name, f"_{name}"} and name in _habits.ALIASES | _habits.SAME:
            later.append(f"{name} = {(_habits.ALIASES | _habits.SAME)[name]}")
        else:
            out.append(f"def {name}{inspect.signature(value)}: ...".replace("'", "").replace("_core.", ""))
    return out + later


def inner(lines: list[str]) -> list[str]:
    """Lines of the body of ``Variable``, where ``int`` and ``float`` are methods."""
    return [re.sub(r"(?<!def )(?<![\w.])(int|float|bool)\b(?!\()", r"_\1", line) for line in lines]


def stubs(rows: list[dict[str, Any]]) -> str:
    """The text of _core.pyi."""
    template = (ROOT / "tools/core.pyi.in").read_text(encoding="utf-8")
    dtypes = [f"{name}: DType" for name, value in inspect.getmembers(_core) if isinstance(value, _core.DType)]
    before, class_, after = re.split(r"(?m)^(class Variable:\n(?:    .*\n|\{\w+\}\n)*)", template)
    template = before + "\n".join(inner(class_.split("\n"))) + after
    methods = stub_methods(rows, template)
    methods = inner(methods + stub_habits(template, methods))
    if "@overload" in methods:
        template = template.replace("TypeVar, final", "TypeVar, final, overload")
    for field, lines in {
        "all": [f'    "{name}",' for name in sorted(_core.__all__)],
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
        standard = "from builtins import bool as _bool\nfrom collections.abc import Sequence\nfrom typing import SupportsIndex, overload\n\n"
        names = sorted(name for r in rows if r["module"] == module for name in [r["name"], *r["aliases"]])
        everything = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n\n"
        out[path] = head + standard + core + "\n" + everything + "\n".join(lines) + "\n"
    return out


CONSTANTS = {
    "FRAC_2_SQRT_PI": "2/√π",
    "FRAC_1_SQRT_2": "1/√2",
    "LOG10_E": "log10(e)",
    "LOG2_E": "log2(e)",
    "LN_2": "ln(2)",
    "LN_10": "ln(10)",
}


def formula(text: str) -> str:
    """A rule's Rust text as it reads in mathematics."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"F::lit\(\s*([^()]*?)\s*\)", lambda m: number(m[1]), text)
    text = text.replace("F::select", "where").replace("F::", "").replace("let ", "")
    return re.sub(r"\{ (.*?) \}", r"\1", text).strip()


def number(text: str) -> str:
    """A Rust constant as a person writes it."""
    name = text.rpartition("::")[2]
    return text.replace("_", "").removesuffix(".0") if text[:1] in "-0123456789" else CONSTANTS.get(name, name.lower())


def section(row: dict[str, Any]) -> str:
    """An operation's part of the page."""
    shown = signature(row["params"], lambda p: p["name"] if p["default"] is None else f"{p['name']}={p['default']}")
    head, _, example = row["doc"].strip().partition(">>> ")
    homes = [f"tg.{row['path']}"] * row["function"] + [f"Variable.{row['name']}"] * row["method"]
    facts = [f"**Where:** {', '.join(f'`{h}`' for h in homes) or 'an operator of `Variable`'}"]
    if row["aliases"]:
        facts.append(f"**Also:** {', '.join(f'`{a}`' for a in row['aliases'])}")
    text = formula(row["gradient"])
    gradient = {"rule": f"`{text}`", "composite": f"that of its parts: `{text}`", "none": "none"}
    facts.append(f"**Gradient:** {gradient[row['differentiable']]}" + ("; linear in each array" if row["linear"] else ""))
    lines = "\n".join(line.strip() for line in head.strip().splitlines())
    code = "\n".join(line.removeprefix(" ") for line in f">>> {example}".rstrip().splitlines())
    return "\n\n".join([f"## {row['path']}", f"`{row['path']}({shown})`", lines, *facts, f"```pycon\n{code}\n```"])


def page(rows: list[dict[str, Any]]) -> str:
    """The text of docs/ops.md."""
    rows = sorted(rows, key=lambda r: (r["module"], r["name"]))
    head = (
        "# Operations\n\n"
        "Generated from the registry by `make generate`. A gradient is the factor that the incoming gradient is multiplied by;\n"
        "`x`, `a`, `b` are inputs, `y` is the output. What happens at kinks, ties and poles stands in [numerics](numerics.md)."
    )
    index = " · ".join(f"[{r['path']}](#{r['path'].replace('.', '')})" for r in rows)
    return "\n\n".join([head, f"{len(rows)} operations: {index}", *map(section, rows)]) + "\n"


def main() -> int:
    """Writes the files, or checks them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when a file is not fresh")
    check = parser.parse_args().check
    rows = _core.registry()
    stale = []
    for path, text in {STUBS: stubs(rows), **namespace_stubs(rows), PAGE: page(rows)}.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} is not fresh: run `make generate` and commit the result" if check else f"wrote {path}", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
