"""Tape: its lists and drawings."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import tapegrad as tg
from tapegrad._layout import layered


@pytest.fixture
def recorded():
    w = tg.Variable([[1.0, 2.0]], requires_grad=True)
    x = tg.Variable([[3.0, 4.0]])
    with tg.Tape() as tape:
        loss = tg.sum(tg.exp(w) * x)
    return w, loss, tape


def test_nodes(recorded):
    w, _, tape = recorded
    assert [n.op for n in tape.nodes] == ["exp", "multiply", "sum"]
    exp, product, total = tape
    assert len(tape) == 3
    assert exp.inputs[0][0] == "leaf"
    assert exp.inputs[0][2] == w.shape
    assert product.inputs == (("node", exp.id), ("const",))
    assert total.inputs == (("node", product.id),)
    assert exp.shape == (1, 2)
    assert total.shape == ()
    assert total.dtypes == ("float32",)
    assert exp.saved_bytes == 8
    assert re.search(r"test_tape\.py:\d+$", exp.source)
    assert tape.saved_bytes == sum(n.saved_bytes for n in tape.nodes)


def test_print(recorded):
    _, _, tape = recorded
    lines = str(tape).splitlines()
    assert len(lines) == 3
    assert "multiply" in lines[1]
    assert repr(tape).startswith("<Tape: 3 operations")
    assert tape.to_dot().startswith("digraph")


def test_only_what_is_inside_is_listed():
    x = tg.Variable(1.0, requires_grad=True)
    y = tg.exp(x)
    with tg.Tape() as outer:
        y = tg.sin(y)
        with tg.Tape() as inner:
            y = tg.cos(y)
        with tg.no_grad():
            tg.tanh(x)
    tg.tanh(y)
    assert [n.op for n in inner] == ["cos"]
    assert [n.op for n in outer] == ["sin", "cos"]
    assert "recorded earlier" in inner.to_svg()


def test_it_is_read_after_its_block():
    tape = tg.Tape()
    with pytest.raises(tg.GradError, match="after its with block"):
        _ = tape.nodes
    assert str(tape) == "<Tape: not used yet>"
    with tape:
        with pytest.raises(tg.GradError, match="already recording"):
            tape.__enter__()
        assert str(tape) == "<Tape: recording>"
    assert len(tape) == 0
    assert "</svg>" in tape.to_svg()


def test_an_exception_ends_the_tape():
    x = tg.Variable(1.0, requires_grad=True)
    tape = tg.Tape()
    with pytest.raises(KeyError), tape:
        tg.exp(x)
        raise KeyError
    tg.exp(x)
    assert len(tape) == 1


def test_gradient():
    x = tg.Variable(3.0, requires_grad=True)
    y = tg.Variable(4.0, requires_grad=True)
    with tg.Tape() as tape:
        z = x * y
        dx = tape.gradient(z, x, retain_graph=True)
    assert dx.item() == 4.0
    dx, dy = tape.gradient(z, [x, y])
    assert (dx.item(), dy.item()) == (4.0, 3.0)
    assert tape.gradient(x * 1.0, [x, y], allow_unused=True)[1] is None
    assert x.grad is None


def test_svg(recorded):
    w, _, tape = recorded
    root = ET.fromstring(tape.to_svg(names={"w <1>": w}, title="a & b"))
    texts = ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("a & b", "w <1>", "exp", "multiply", "sum", "constant", "1×2", "scalar"):
        assert any(word in t for t in texts), word
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, w_, h = (float(rect.get(k, 0)) for k in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w_ <= width + 0.1
        assert 0 <= y <= y + h <= height + 0.1
    assert tape._repr_svg_().startswith("<svg")


@pytest.mark.parametrize(("count", "text"), [(10, "saves 80 B"), (1000, "saves 8 kB"), (10**6, "saves 8 MB")])
def test_svg_says_what_a_node_saves(count, text):
    x = tg.zeros((count,), dtype=tg.float64).requires_grad_()
    with tg.Tape() as tape:
        tg.sin(x)
    assert text in tape.to_svg()


def test_svg_names_must_be_variables(recorded):
    _, _, tape = recorded
    with pytest.raises(TypeError, match="'x' stands for an int"):
        tape.to_svg(names={"x": 3})


def test_boxes_of_a_wide_graph_do_not_overlap():
    x = tg.Variable([1.0, 2.0], requires_grad=True)
    with tg.Tape() as tape:
        parts = [tg.sin(x * float(i)) for i in range(12)]
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        total = total * x
    root = ET.fromstring(tape.to_svg())
    boxes = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        rect = group.find("{http://www.w3.org/2000/svg}rect")
        boxes.append(tuple(float(rect.get(k)) for k in ("x", "y", "width", "height")))
    assert len(boxes) == len(tape) + 1
    for i, (x1, y1, w1, h1) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[i + 1 :]:
            apart = x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
            assert apart


def test_layout_goes_down_and_keeps_distance():
    edges = [(0, 3), (1, 3), (2, 4), (3, 4), (0, 5), (4, 5), (1, 5)]
    widths = [40.0, 80.0, 60.0, 40.0, 40.0, 40.0]
    layout = layered(widths, edges, gap=10.0)
    assert all(layout.layer[a] < layout.layer[b] for a, b in edges)
    assert layout.layer[2] == layout.layer[4] - 1, "a source stands right above its use"
    for (a, b), points in zip(edges, layout.edges):
        assert points[0] == (layout.x[a], layout.layer[a])
        assert points[-1] == (layout.x[b], layout.layer[b])
        assert all(q[1] == p[1] + 1 for p, q in pairwise(points))
    rows = {}
    for v, level in enumerate(layout.layer):
        rows.setdefault(level, []).append((layout.x[v], widths[v]))
    for row in rows.values():
        for (x1, w1), (x2, w2) in pairwise(sorted(row)):
            assert x2 - x1 >= (w1 + w2) / 2 + 10.0 - 1e-9


def test_layout_undoes_crossings():
    # Two chains whose vertices are listed crosswise.
    layout = layered([10.0] * 4, [(0, 3), (1, 2)], gap=5.0)
    assert (layout.x[0] - layout.x[1]) * (layout.x[3] - layout.x[2]) > 0


def test_a_tape_of_what_is_recorded_already():
    w = tg.Variable([1.0, 2.0], requires_grad=True)
    a = tg.exp(w)
    loss, other = (a * 3.0 + w).sum(), a.mean()
    tape = tg.Tape.of(loss)
    assert [node.op for node in tape] == ["exp", "multiply", "add", "sum"]
    assert tape.nodes[0].inputs[0][0] == "leaf"
    assert tape.nodes[1].inputs[0] == ("node", tape.nodes[0].id)
    assert "exp" in str(tape)
    assert len(tg.Tape.of(loss, other)) == 5
    assert tape.gradient(loss, w, retain_graph=True).shape == (2,)
    loss.backward()
    assert w.grad is not None
    assert len(tg.Tape.of(w)) == len(tg.Tape.of(tg.ones(2))) == len(tg.Tape.of()) == 0
    with pytest.raises(TypeError, match=r"Tape.of: expected Variables, got an int"):
        tg.Tape.of(3)


def test_a_long_tape_of_what_is_recorded_already():
    x = tg.Variable(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    assert len(tg.Tape.of(y)) == 20_000


def test_leaves_have_names_in_dot():
    w, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    dot = tg.Tape.of((w * b).sum()).to_dot(names={"weight": w, 'the "bias"': b})
    assert 'label="weight\\n(2,)"' in dot
    assert 'label="the \\"bias\\"\\n(2,)"' in dot
    assert "leaf 0" not in dot


# ---- names and values in drawings ----


def drawn():
    w = tg.tensor([[1.0, -2.0], [3.0, 0.25]], requires_grad=True)
    with tg.Tape(values=True) as tape:
        hidden = w * 2.0
        loss = hidden.sum()
    return w, hidden, loss, tape


def test_values_and_names_in_dot():
    w, hidden, loss, tape = drawn()
    dot = tape.to_dot({"w": w, "hidden": hidden, "loss": loss})
    assert 'label="w\\n(2, 2)\\n-2 … 3"' in dot
    assert 'label="hidden: multiply\\n(2, 2)\\n-4 … 6"' in dot
    assert 'label="loss: sum\\n()\\n4.5"' in dot
    bare = tape.to_dot(values=False)
    assert "…" not in bare
    assert "4.5" not in bare
    assert dot.count("->") == bare.count("->") == 2


def test_values_in_svg_and_html():
    w, hidden, loss, tape = drawn()
    for text in (tape.to_svg({"w": w, "hidden": hidden}), tape.to_html(loss, names={"w": w, "hidden": hidden})):
        assert "2×2 · -2 … 3" in text
        assert "hidden: multiply" in text
        assert "4.5" in text
    assert "-2 … 3" not in tape.to_svg(values=False)
    assert [v.tolist() for v in tape.nodes[0].values] == [hidden.tolist()]
    assert not tape.nodes[0].values[0].requires_grad


def test_values_are_those_of_the_time():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.Tape(values=True) as tape:
        y = w * 3.0
    with tg.no_grad():
        w.zero_()
        y.fill_(7.0)
    assert "[1, 2]" in tape.to_dot({"w": w})
    assert "[3, 6]" in tape.to_dot()


def test_values_of_what_is_recorded_already():
    w = tg.tensor(3.0, requires_grad=True)
    y = (w * w).exp()
    dot = tg.Tape.of(y, values=True).to_dot({"w": w})
    assert 'label="w\\n()\\n3"' in dot
    assert "8103" in dot
    assert "8103" not in tg.Tape.of(y).to_dot()
    with pytest.raises(tg.GradError, match=r"make it with tg.Tape\(values=True\)"):
        tg.Tape.of(y).to_dot(values=True)


def test_values_of_all_kinds_in_one_line():
    from tapegrad.tape import brief

    assert brief(tg.tensor(True)) == "True"
    assert brief(tg.tensor([1 + 2j] * 5)) == "[1+2j, 1+2j, 1+2j, …]"
    assert brief(tg.zeros(0)) == "[]"
    assert brief(tg.tensor([1, 2, 3, 4])) == "1 … 4"
    assert brief(tg.tensor([float("nan"), 1.0, 2.0, 3.0])) == "nan … nan"


def test_an_inner_tape_without_values_keeps_none():
    w = tg.ones(2, requires_grad=True)
    with tg.Tape(values=True) as outer, tg.Tape() as inner:
        (w * 2).sum()
    assert all(node.values for node in outer.nodes)
    assert not any(node.values for node in inner.nodes)
