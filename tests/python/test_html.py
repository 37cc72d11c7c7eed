"""HTML pages of arrays and tapes: their content, that their numbers are the gradients, and that a browser steps through them."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _html, nn
from tapegrad.tape import _leaf_names


def recorded():
    w = tg.Variable([0.5, -1.0, 2.0], dtype=tg.float64, requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(tg.tanh(w) * w)
    return w, loss, tape


class Sections(HTMLParser):
    """The steps of a page: their node, the nodes that get gradients, their text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.depth = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            attrs = dict(attrs)
            self.found.append((attrs["data-on"], attrs["data-to"].split(), []))
            self.depth = 1

    def handle_endtag(self, tag):
        self.depth = 0 if tag == "section" else self.depth

    def handle_data(self, data):
        if self.depth:
            self.found[-1][2].append(data)


def test_the_parts_add_up_to_the_gradient():
    w, loss, tape = recorded()
    found = _html.run(tape.nodes, loss, None)
    assert [step.node.op for step in found.steps] == ["sum", "multiply", "tanh"]
    (parts,) = found.leaves.values()
    assert [re.sub(r"%\d+ ", "", source) for source, _ in parts] == ["multiply", "tanh"]
    loss.backward()
    np.testing.assert_allclose(sum(g.numpy() for _, g in parts), w.grad.numpy(), rtol=1e-15)
    np.testing.assert_allclose(parts[0][1].numpy(), np.tanh(w.detach().numpy()))


def test_a_pass_changes_nothing():
    w, loss, tape = recorded()
    calls = []
    w.register_hook(calls.append)
    before = tg.tape_stats()
    first = tape.to_html(loss)
    assert w.grad is None
    assert not calls
    assert tg.tape_stats()["live_nodes"] == before["live_nodes"]
    assert tape.to_html(loss) == first
    loss.backward()
    assert len(calls) == 1


def test_numbers_beside_arrays_are_not_inputs():
    x, y = tg.Variable([1.0, 2.0], requires_grad=True), tg.Variable([3.0, 4.0], requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(2.0 * x + y * 3.0 - (1.0 - x / y))
    found = _html.run(tape.nodes, loss, None)
    names = {"x": x, "y": y}
    total = {name: sum(g.numpy() for _, g in found.leaves[key]) for key, name in _leaf_names(names).items()}
    loss.backward()
    for name, value in names.items():
        np.testing.assert_allclose(total[name], value.grad.numpy(), rtol=1e-6)


def test_the_steps_of_a_network():
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with tg.Tape() as tape:
        loss = nn.functional.cross_entropy(net(tg.randn(8, 4)), tg.arange(8) % 3)
    page = tape.to_html(loss, names=dict(net.named_parameters()), title="a < b")
    steps = Sections(page).found
    keys = set(re.findall(r'data-key="([\w-]+)"', page))
    assert {key for on, to, _ in steps for key in [on, *to]} <= keys
    assert len([on for on, _, _ in steps if on.startswith("leaf")]) == 4
    text = page.replace("\n", " ")
    for words in ("the start of the pass", "0.weight", "2.bias", "a &lt; b", "cross_entropy"):
        assert words in text, words
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    loss.backward()
    bias = next(words for on, _, words in steps if "The gradient of 2.bias" in words)
    assert f"{net[2].bias.grad[0].item():.5g}" in bias


def test_a_page_without_a_result_lists_the_operations():
    _, _, tape = recorded()
    page = tape.to_html()
    assert "<section" not in page
    assert page.count("<tr>") == 4
    assert "test_html.py" in page
    assert tape._repr_html_().startswith("<iframe")
    with tg.Tape() as empty:
        tg.sum(tg.ones(2))
    assert "nothing was recorded" in empty._repr_html_()


def test_gradients_and_arrays_of_all_kinds():
    x = tg.ones((3, 40), requires_grad=True)
    with tg.Tape() as tape:
        y = x * 2.0
    with pytest.raises(tg.GradError, match=r"y has shape \(3, 40\); pass gradient="):
        tape.to_html(y)
    assert "from 6 to 6" in tape.to_html(y, tg.full((3, 40), 3.0))
    z = tg.Variable([3 + 4j, 1j], requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(tg.abs(z))
    assert "abs" in tape.to_html(loss)
    empty = tg.zeros((0, 3), requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(empty)
    assert "sum" in tape.to_html(loss)


def test_not_finite_numbers_are_named():
    x = tg.Variable([0.0, 1.0], requires_grad=True)
    with tg.Tape() as tape:
        loss = tg.sum(tg.sqrt(x))
    assert "1 not finite" in tape.to_html(loss)


def test_what_cannot_be_shown_is_said():
    w, loss, tape = recorded()
    with pytest.raises(TypeError, match="y is a float, expected a Variable"):
        tape.to_html(1.0)
    with pytest.raises(tg.GradError, match="does not require gradients"):
        tape.to_html(w.detach().sum())
    with pytest.raises(tg.GradError, match="not recorded inside the with block"):
        tape.to_html(tg.sum(w))
    with pytest.raises(tg.ShapeError):
        tape.to_html(loss, tg.ones(3))
    loss.backward()
    with pytest.raises(tg.FreedError):
        tape.to_html(loss)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (tg.Variable([[1.0, 2.0], [3.0, 4.5]]), ["2×2 float32", "4.5", "from 1 to 4.5"]),
        (tg.Variable(3, requires_grad=False), ["scalar int64", "3"]),
        (tg.zeros((20, 30)), ["20×30", "20 rows", "…"]),
        (tg.zeros((0,)), ["0 float32"]),
        (tg.Variable([True, False]), ["bool", "True"]),
        (tg.Variable([1.0, float("nan")]), ["1 not finite"]),
        (tg.Variable([1 + 2j]), ["complex64", "1+2j"]),
    ],
    ids=str,
)
def test_a_variable_in_a_notebook(value, words):
    shown = value._repr_html_()
    ET.fromstring(f"<div>{shown}</div>")
    for word in words:
        assert word in shown


def test_a_variable_shows_its_gradient():
    x = tg.Variable([1.0, 2.0], requires_grad=True)
    y = x * x
    assert "from multiply" in y._repr_html_()
    assert "gradient</div>" not in x._repr_html_()
    tg.sum(y).backward()
    assert "gradient</div>" in x._repr_html_()


# ---- in a browser ----

BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
CLICKS = """
<script>
var seen=[];
function note(){
  var on=[].slice.call(document.querySelectorAll('section.step')).filter(function(s){return !s.hidden;});
  seen.push(on.length+':'+on[0].dataset.on+':'+document.querySelectorAll('g.on').length+':'+document.querySelectorAll('g.to').length
    +':'+document.querySelectorAll('path.flow').length+':'+document.querySelector('.count').textContent);
}
note();
for(var i=0;i<9;i++){if(buttons()[2].disabled)break;buttons()[2].click();note();}
document.dispatchEvent(new KeyboardEvent('keydown',{key:'ArrowLeft'}));note();
buttons()[0].click();note();
function buttons(){return document.querySelectorAll('.controls button');}
document.body.setAttribute('data-seen',seen.join('|'));
</script></body>
"""


def dom(page, folder, *options):
    """The page after a headless browser has run its script."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    return subprocess.run([*command, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout


needs_browser = pytest.mark.skipif(not BROWSER or sys.platform == "win32", reason="needs Chromium")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_reads_text_on_dark_and_light_pages(tmp_path, dark):
    """Text and page differ in brightness in both schemes, and the browser's scheme is the page's."""
    _, loss, tape = recorded()
    page, script = tmp_path / "page.html", "var s=getComputedStyle(document.body);document.title=s.color+'|'+s.backgroundColor"
    page.write_text(tape.to_html(loss).replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    found = dom(page, tmp_path, f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    text, back = (sum(map(int, re.findall(r"\d+", part))) for part in re.search("<title>(.*?)</title>", found)[1].split("|"))
    assert (text - back > 400) if dark else (back - text > 400)


@needs_browser
def test_a_browser_steps_through(tmp_path):
    w, loss, tape = recorded()
    page = tmp_path / "page.html"
    page.write_text(tape.to_html(loss, names={"w": w}).replace("</body>", CLICKS), encoding="utf-8")
    seen = re.search(r'data-seen="([^"]*)"', dom(page, tmp_path))[1].split("|")
    ids = {node.op: f"node-{node.id}" for node in tape.nodes}
    order = [ids["sum"], ids["multiply"], ids["tanh"]]
    assert [one.split(":")[1] for one in seen[:3]] == order
    assert seen[3].split(":")[1].startswith("leaf-")
    # One section at a time; `multiply` delivers to `tanh` and to the leaf, along two lines.
    assert [one.split(":")[0] for one in seen] == ["1"] * 6
    assert seen[1].split(":")[2:5] == ["1", "2", "2"]
    assert seen[3].endswith("step 4 of 4")
    assert [one.split(":")[1] for one in seen[4:]] == [ids["tanh"], ids["sum"]]
