"""The site: every public name has an entry, every page is listed, formulas become mathematics, a release says one version."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

import tapegrad as tg

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tools/site"
if not HERE.exists():
    pytest.skip("tools/ is not part of a source distribution", allow_module_level=True)


@pytest.fixture(scope="module")
def site():
    """The modules in tools/site."""
    sys.path.insert(0, str(HERE))
    yield __import__("build")
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def reference(site):
    return site.Reference()


@pytest.fixture(scope="module")
def pages(reference):
    return reference.pages()


def test_every_public_name_has_one_entry(reference, pages):
    found = re.findall(
        r"^:{4,5}\{py:(?:function|class|exception|data)\} tapegrad\.([\w.]+)", "\n".join(pages.values()), re.MULTILINE
    )
    assert len(found) == len(set(found)), sorted({name for name in found if found.count(name) > 1})
    names = {path for path, value in reference.public.items() if not isinstance(value, type(tg))}
    assert len(names) > 1000
    assert names - set(found) == set()


def test_namespaces_are_those_that_can_be_imported(reference):
    assert {"nn", "nn.functional", "optim", "optim.lr_scheduler", "autograd", "linalg", "special", "random", "utils.data"} <= set(
        reference.modules
    )
    assert all(not part.startswith("_") for name in reference.modules for part in name.split("."))


def test_an_entry_says_what_matters(pages):
    softmax = re.search(r"::::\{py:function\} tapegrad\.softmax\(x, axis=-1\)\n(.*?)\n::::", pages["activations"], re.DOTALL)[1]
    assert "**Gradient:** $y\\, (g - \\operatorname{sum}(g\\, y))$" in softmax
    assert "**At the edges**" in softmax
    assert "**Shape:** that of `x`" in softmax
    assert "**Dtypes:** floating: the same dtype; integers, bool: the default floating dtype" in softmax
    assert "**Errors:** `DTypeError` for complex numbers; `AxisError` where the array has no axis `axis`" in softmax
    assert "```pycon\n>>> tg.softmax" in softmax
    assert "_source/src/ops/softmax.rs.html#L-" in softmax
    linear = pages["nn"].split("{py:class} tapegrad.nn.Linear(in_features, out_features")[1].split("\n:::::\n")[0]
    assert "_source/python/tapegrad/nn/linear.py.html#L-" in linear


@pytest.mark.parametrize(
    ("path", "title", "line"),
    [
        ("add", "Shape", "that to which the arrays broadcast"),
        ("add", "Dtypes", "all: the same dtype"),
        ("add", "Errors", "`ShapeError` where shapes do not broadcast"),
        ("sum", "Shape", "`x` (3, 4), `axis=0` → (4,); `x` (3, 4), `axis=-1`, `keepdims=True` → (3, 1)"),
        ("sum", "Dtypes", "floating, complex: the same dtype; signed integers, bool: int64; unsigned integers: uint64"),
        ("abs", "Dtypes", "floating, integers, bool: the same dtype; complex: the dtype of the real part"),
        ("less", "Dtypes", "floating, integers, bool: bool"),
        ("topk", "Dtypes", "floating, integers, bool: the same dtype and int64"),
        ("fft.rfft", "Dtypes", "floating: complex; integers, bool: complex64"),
        ("min", "Errors", "`ValueError` where `x` has no elements"),
        ("gelu", "Errors", "`ValueError` for another `approximate`"),
        ("linalg.inv", "Errors", "where the matrices are not square, where a matrix is singular"),
    ],
)
def test_facts_of_operations(reference, path, title, line):
    """Shapes, dtypes and errors of the pages come from calls of the operations."""
    facts = dict(__import__("facts").facts(reference.rows[path]))
    assert line in facts[title] if title == "Errors" else facts[title] == line


def test_every_operation_on_arrays_says_its_shape_and_dtypes(reference):
    facts = __import__("facts")
    apart = {"getitem", "setitem", "arange"}  # operators, and arrays that are numbers
    rows = [r for path, r in reference.rows.items() if path not in apart and any(p["kind"] in facts.ARRAYS for p in r["params"])]
    assert len(rows) > 400
    assert [r["path"] for r in rows if {"Shape", "Dtypes"} - {title for title, _ in facts.facts(r)}] == []


def test_every_entry_says_something(pages):
    entry = re.compile(r"^(:{4,5})\{py:\w+\} ([^\n]+)\n(?::[^\n]*\n)*\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
    found = [(m[2], m[3].strip()) for text in pages.values() for m in entry.finditer(text)]
    assert len(found) > 1000
    assert [name for name, text in found if not text or text.startswith("<a ")] == []


def test_dtypes_have_their_own_names(pages):
    """NumPy has further names for them, which are shorter."""
    page = pages["dtypes"]
    assert ":{py:data} tapegrad.float32\n\nThe dtype of floating numbers of 32 bits: up to 3.4e+38, and 1.2e-07 between" in page
    assert ":{py:data} tapegrad.int8\n\nThe dtype of integers of 8 bits, from -128 to 127." in page
    assert ":{py:data} tapegrad.single\n\nThe same as {py:obj}`tapegrad.float32`." in page


def test_objects_of_private_classes_share_a_table_of_methods(pages):
    page = pages["stats"]
    assert ":{py:function} tapegrad.stats.gamma(a, loc=0.0, scale=1.0)\n\nThe gamma distribution with the shape a." in page
    methods = re.search(r"## Methods of .*`gamma`.*\n\n(?:\|.*\n?)*", page)[0]
    assert "| `logpdf(x, *args, **named)` | The logarithm of the density; -inf outside of the support |" in methods


def test_the_gallery_shows_every_program_with_its_picture(site):
    """What programs share is no program; the digits on several ranks draw the picture of the digits."""
    page = site.gallery.page()
    programs = {p.stem for p in (ROOT / "examples").glob("*.py") if "__main__" in p.read_text(encoding="utf-8")}
    assert set(re.findall(r"<summary>examples/(\w+)\.py", page)) == programs
    assert set(re.findall(r"pictures/(\w+)\.png", page)) == programs - {"digits_ranks"}


def test_methods_of_variable_are_listed(pages):
    for name in ("backward", "reshape", "add_", "grad", "numpy"):
        assert re.search(rf"\{{py:(method|attribute)\}} tapegrad\.Variable\.{name}\b", pages["variable"]), name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dy/dx = 1/(1 + |x|)²", r"$\frac{\partial y}{\partial x} = 1/(1 + |x|)^{2}$"),
        ("dy/da = 1 where a > b, else 0", r"$\frac{\partial y}{\partial a} = 1$ where $a > b$, else $0$"),
        ("y (g - sum(g y))", r"$y\, (g - \operatorname{sum}(g\, y))$"),
        ("-1 / sqrt(1 - x²)", r"$-1 / \sqrt{1 - x^{2}}$"),
        ("b aᵇ⁻¹", r"$b\, a^{b-1}$"),
        ("g along the axes", r"$g$ along the axes"),
        ("g / (number of maxima) at the maxima", r"$g / (\text{number of maxima})$ at the maxima"),
        ("none", "none"),
    ],
)
def test_formulas(site, text, shown):
    from formula import typeset

    assert typeset(text, set()) == shown


def test_every_page_is_in_a_list(site, reference, tmp_path):
    site.stage(tmp_path, reference)
    pages = {p.relative_to(tmp_path).as_posix(): p.read_text(encoding="utf-8") for p in tmp_path.rglob("*.md")}
    assert site.listed(pages) == set(pages) - {"index.md"}


def test_a_new_page_is_found(site):
    staged = {
        "index.md": "# i\n```{toctree}\n:hidden:\n\nguide/index\nnumerics\nreference/index\n```",
        "reference/index.md": "# r\n```{toctree}\nstats\n```",
        "guide/index.md": "# g",
        "numerics.md": "# n",
        "sparse.md": "# Sparse\n",
        "stats.md": "# Stats\n",
    }
    site.contents(staged)
    assert "[Sparse](../sparse.md)" in staged["guide/index.md"]
    assert "[Stats](../stats.md)" in staged["guide/index.md"], "a page of the reference has the same name"
    assert "numerics" not in staged["guide/index.md"]


def test_links_out_of_docs_lead_to_the_site(site):
    page = ROOT / "docs/guide/operations.md"
    assert site.links("[c](../../CONTRIBUTING.md)", page) == "[c](../contributing.md)"
    assert site.links("[n](docs/numerics.md)", ROOT / "CHANGELOG.md") == "[n](numerics.md)"
    assert site.links("[n](../numerics.md#nan)", page) == "[n](../numerics.md#nan)"


def test_faults_are_found(site, tmp_path):
    (tmp_path / "index.html").write_text('<a href="a.html#no">a</a><script src="https://far/x.js"></script>', encoding="utf-8")
    (tmp_path / "a.html").write_text('<a href="gone.html">b</a>', encoding="utf-8")
    (tmp_path / "lost.html").write_text('<b id="tapegrad.abs"></b>', encoding="utf-8")
    found = "\n".join(site.check.faults(tmp_path, ["abs", "exp"]))
    for fault in (
        "no such anchor",
        "fetches https://far/x.js",
        "gone.html, which is not there",
        "lost.html is not reached",
        "tapegrad.exp has no entry",
    ):
        assert fault in found
    assert "tapegrad.abs" not in found


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    assert f'name = "tapegrad"\nversion = "{version}"' in (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    day = re.search(rf"^## {re.escape(version)} - (\d{{4}}-\d\d-\d\d)$", changes, re.MULTILINE)[1]
    assert f"\nversion: {version}\ndate-released: {day}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_links_of_the_readme_work_outside_of_the_repository():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    addresses = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    found = re.findall(r"\]\(([^)]+)\)", text)
    assert found
    for link in found:
        assert link.startswith("https://"), link
        if link.startswith(addresses["Documentation"]):
            home, _, page = link.removeprefix(addresses["Documentation"]).partition("/")
            assert home == "stable", f"{link}: pages stand in a folder for each version"
            assert (ROOT / "docs" / page.replace(".html", ".md")).exists() or page in {"changes.html", "contributing.html"}, link
        if "/docs/pictures/" in link:
            assert (ROOT / "docs/pictures" / link.rpartition("/")[2]).exists()


def test_versions_of_the_site_stand_beside_each_other(site, tmp_path):
    """A release adds its pages, is named first if it is the newest, and leaves those of others alone."""
    versions = __import__("versions")
    html = tmp_path / "html"
    html.mkdir()
    for version in ("0.9.0", "0.10.0", "0.2.0", "0.10.0"):
        (html / "index.html").write_text(f"pages of {version}")
        versions.add(html, tmp_path / "pages", version, "https://example.org/")
    entries = json.loads((tmp_path / "pages/versions.json").read_text())
    assert [e["version"] for e in entries] == ["0.10.0", "0.9.0", "0.2.0"]
    assert [e["preferred"] for e in entries] == [True, False, False]
    assert entries[1]["url"] == "https://example.org/0.9.0/"
    assert (tmp_path / "pages/0.9.0/index.html").read_text() == "pages of 0.9.0"
    assert entries[0]["url"] == "https://example.org/stable/"
    assert (tmp_path / "pages/stable/index.html").read_text() == "pages of 0.10.0"
    assert 'href="stable/"' in (tmp_path / "pages/index.html").read_text()
    with pytest.raises(ValueError, match="invalid literal"):
        versions.add(html, tmp_path / "pages", "next", "https://example.org/")
