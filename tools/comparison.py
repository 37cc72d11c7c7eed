"""Writes docs/comparison.md: which functions NumPy, autograd, JAX, PyTorch and tapegrad have, and which of ours differentiate.

The script looks at the packages that are installed. A package that is not there stops it, so that no column is lost.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/comparison.md"

#: Sections: title, NumPy's or SciPy's module, and the places in which each library has such functions.
SECTIONS = [
    ("Arrays", "numpy", {"tapegrad": ["tapegrad"], "autograd": ["autograd.numpy"], "JAX": ["jax.numpy"], "PyTorch": ["torch"]}),
    (
        "Linear algebra",
        "numpy.linalg",
        {
            "tapegrad": ["tapegrad.linalg"],
            "autograd": ["autograd.numpy.linalg"],
            "JAX": ["jax.numpy.linalg"],
            "PyTorch": ["torch.linalg"],
        },
    ),
    (
        "Fourier transforms",
        "numpy.fft",
        {"tapegrad": ["tapegrad.fft"], "autograd": ["autograd.numpy.fft"], "JAX": ["jax.numpy.fft"], "PyTorch": ["torch.fft"]},
    ),
    (
        "Special functions",
        "scipy.special",
        {
            "tapegrad": ["tapegrad.special"],
            "autograd": ["autograd.scipy.special"],
            "JAX": ["jax.scipy.special"],
            "PyTorch": ["torch.special", "torch"],
        },
    ),
]
DISTRIBUTIONS = {"NumPy": "numpy", "SciPy": "scipy", "autograd": "autograd", "JAX": "jax", "PyTorch": "torch"}
#: NumPy's names whose function has another name in PyTorch.
TORCH = {
    "concatenate": "cat",
    "transpose": "permute",
    "expand_dims": "unsqueeze",
    "power": "pow",
    "take_along_axis": "take_along_dim",
    "repeat": "repeat_interleave",
    "invert": "bitwise_not",
    "bitwise_invert": "bitwise_not",
    "cumulative_sum": "cumsum",
    "cumulative_prod": "cumprod",
    "equal": "eq",
    "not_equal": "ne",
    "array_equal": "equal",
    "permute_dims": "permute",
    "rint": "round",
    "mod": "remainder",
    "degrees": "rad2deg",
    "radians": "deg2rad",
    "conjugate": "conj",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "digitize": "bucketize",
}
#: NumPy's names that are not functions of arrays: files, text, dates, settings.
OTHER = (
    "array2string array_repr array_str asmatrix base_repr binary_repr bmat busday_count busday_offset datetime_as_string "
    "datetime_data errstate format_float_positional format_float_scientific frombuffer fromfile frompyfunc fromregex "
    "fromstring genfromtxt get_include get_printoptions getbufsize geterr geterrcall info is_busday isdtype isfortran isnat "
    "issubdtype iterable load loadtxt mintypecode nested_iters printoptions save savetxt savez savez_compressed "
    "set_printoptions setbufsize seterr seterrcall show_config show_runtime test typename fromiter get_array_wrap can_cast "
    "promote_types result_type min_scalar_type common_type"
)
#: Functions of ours that are written in Python and have no derivative.
CONSTANT = (
    "shape ndim size broadcast_shapes isscalar mask_indices indices identity bartlett blackman hamming hanning zeros ones "
    "empty zeros_like ones_like empty_like eye arange putmask tri matrix_rank roots_legendre roots_hermite roots_hermitenorm "
    "roots_laguerre roots_chebyt"
)


def module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


def functions(home: Any) -> list[str]:
    """The public functions of a module of NumPy or SciPy."""
    names = getattr(home, "__all__", None) or dir(home)
    skipped = {*OTHER.split()}
    found = []
    for name in sorted(set(names)):
        value = getattr(home, name, None)
        if callable(value) and not isinstance(value, type) and not name.startswith("_") and name not in skipped:
            found.append(name)
    return found


def has(homes: list[str], name: str) -> bool:
    found = [getattr(module(home), name, None) for home in homes]
    return any(callable(f) for f in found)


def differentiates(name: str, home: str) -> bool:
    """Whether autograd has a derivative for a function; it passes NumPy's others through and raises."""
    from autograd.core import primitive_jvps, primitive_vjps

    f = getattr(module(home), name, None)
    return callable(f) and (f in primitive_vjps or f in primitive_jvps or not hasattr(f, "fun"))


def gradients() -> dict[str, str]:
    """How our functions differentiate, by their paths."""
    from tapegrad import _core

    rows = {}
    for row in _core.registry():
        for name in [row["name"], *row["aliases"]]:
            rows[f"{row['module']}.{name}".lstrip(".")] = row["differentiable"]
    return rows


def ours(homes: list[str], name: str, rows: dict[str, str]) -> str:
    if not has(homes, name):
        return ""
    path = f"{homes[0]}.{name}".removeprefix("tapegrad.")
    doc = getattr(module(homes[0]), name).__doc__ or ""
    return "yes" if rows.get(path) == "none" or name in CONSTANT.split() or "its result has no derivative" in doc else "∂"


def row(name: str, homes: dict[str, list[str]], rows: dict[str, str]) -> list[str]:
    """A row: our mark and the marks of the other libraries."""
    theirs = "∂" if differentiates(name, homes["autograd"][0]) else ""
    return [
        ours(homes["tapegrad"], name, rows),
        theirs,
        "yes" if has(homes["JAX"], name) else "",
        "yes" if has(homes["PyTorch"], name) or has(homes["PyTorch"], TORCH.get(name, "")) else "",
    ]


def section(title: str, base: str, homes: dict[str, list[str]], rows: dict[str, str]) -> tuple[list[str], list[int]]:
    names = functions(import_module(base))
    table = {name: row(name, homes, rows) for name in names}
    # SciPy has hundreds of special functions; those that no other library has are left out.
    table = {name: marks for name, marks in table.items() if any(marks)} if base.startswith("scipy") else table
    counts = [len(table), *(sum(bool(marks[k]) for marks in table.values()) for k in range(4))]
    lines = [f"## {title}", "", f"| `{base}` | tapegrad | autograd | JAX | PyTorch |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {' | '.join(marks)} |" for name, marks in table.items()]
    return [*lines, ""], counts


def page() -> str:
    missing = [d for d in DISTRIBUTIONS.values() if module(d) is None]
    if missing:
        raise SystemExit(f"comparison.py looks at installed packages; install {', '.join(missing)}")
    rows = gradients()
    sections = [(title, *section(title, base, homes, rows)) for title, base, homes in SECTIONS]
    versions = ", ".join(f"{name} {version(d).partition('+')[0]}" for name, d in DISTRIBUTIONS.items())
    head = [
        "# Functions beside those of NumPy, autograd, JAX and PyTorch",
        "",
        f"Made by `tools/comparison.py`, which looks at installed packages: {versions}.",
        "Rows are the functions of arrays in NumPy and SciPy. **∂** has a derivative, or is made of functions that have one;",
        "*yes* is there: in our column without a derivative, in those of JAX and PyTorch with or without one. autograd passes",
        "NumPy's other functions through; they do not differentiate.",
        "",
        "| functions of | all | tapegrad | autograd | JAX | PyTorch |",
        "|---|---|---|---|---|---|",
        *(f"| {title} | {' | '.join(map(str, counts))} |" for title, _, counts in sections),
        "",
    ]
    return "\n".join([*head, *(line for _, lines, _ in sections for line in lines)]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
