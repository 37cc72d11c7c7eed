"""Random programs of views and writes: values as NumPy's, gradients as those of the same program with functional updates.

A program is a list of steps over a growing list of handles. It runs three times: with NumPy arrays, with Variables in place, and
on a model in which a handle is a list of positions in its root, and a write makes a new value of the root.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg

Step = tuple[Any, ...]

KEYS: list[Any] = [
    slice(1, None),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(None, -1),
    0,
    -1,
    (slice(None), 0),
    (slice(None), slice(1, None)),
    (..., slice(None, None, -1)),
    None,
    (..., None),
    slice(0, 0),
    ...,
]
INDEX_ARRAYS: list[Any] = [[0], [-1, 0], [0, 0]]
UNARY = {"sin": (np.sin, tg.sin), "tanh": (np.tanh, tg.tanh), "square": (np.square, tg.square)}


def view_of(x: Any, step: Step, xp: Any) -> Any:
    """The same view of an ndarray, of a Variable, or of an array of positions."""
    kind, detail = step[1], step[2]
    views: dict[str, Callable[[], Any]] = {
        "key": lambda: x[detail],
        "T": lambda: x.T,
        "reshape": lambda: x.reshape(detail),
        "diagonal": lambda: x.diagonal(),
        "flip": lambda: xp.flip(x, 0),
        "swap": lambda: xp.swapaxes(x, 0, -1),
        "split": lambda: xp.array_split(x, 2)[detail],
        "squeeze": lambda: xp.squeeze(x),
    }
    return views[kind]()


def is_view(a: np.ndarray, kind: str, detail: Any) -> bool:
    """Whether it is a writable view with NumPy and with us, and no element."""
    try:
        v = view_of(a, ("view", kind, detail), np)
    except (IndexError, ValueError):
        return False
    return isinstance(v, np.ndarray) and v.size > 0 and np.shares_memory(v, a) and not (v.ndim == 0 and a.ndim == 1)


class Model:
    """Handles as positions in roots; values are replaced, so nothing is ever in place."""

    def __init__(self, roots: list[Any]) -> None:
        self.roots = [r.reshape(-1) for r in roots]
        self.handles: list[tuple[int, np.ndarray]] = []
        for k, r in enumerate(roots):
            self.handles.append((k, np.arange(r.size).reshape(r.shape)))

    def read(self, h: int) -> Any:
        root, places = self.handles[h]
        return self.roots[root][places.ravel().tolist()].reshape(places.shape)

    def view(self, h: int, step: Step) -> None:
        root, places = self.handles[h]
        self.handles.append((root, view_of(places, step, np)))

    def write(self, h: int, value: Any, at: Any = ...) -> None:
        root, places = self.handles[h]
        places = places[at]
        new = tg.broadcast_to(value, places.shape).reshape(-1)
        old = self.roots[root]
        # A functional update: every position reads the last value that was written to it, or the old one.
        source = np.arange(old.size)
        for k, place in enumerate(places.ravel().tolist()):
            source[place] = old.size + k
        self.roots[root] = tg.take(tg.concat([old, new]), tg.asarray(source), axis=0)


def fits(value: tuple[int, ...], place: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(value, place) == place
    except ValueError:
        return False


def detail_of(r: random.Random, kind: str, a: np.ndarray) -> Any:
    """The parameters of a step that makes a view."""
    if kind == "key":
        return r.choice(KEYS)
    if kind == "reshape":
        return r.choice([(-1,), (a.size, 1), (2, -1), (-1, 3)])
    return r.randrange(2) if kind == "split" else None


def key_of(r: random.Random, op: str) -> Any:
    """The parameters of a step that writes."""
    if op == "rows":
        return r.choice(INDEX_ARRAYS)
    return r.choice(sorted(UNARY)) if op == "unary" else r.choice(KEYS)


def can_write(op: str, a: np.ndarray, b: np.ndarray, key: Any) -> bool:
    """Whether NumPy can run the write, and the place is no element."""
    if op in ("+=", "*=", "set"):
        return fits(b.shape, a.shape)
    if op in ("key", "rows"):
        try:
            place = a[key]
        except IndexError:
            return False
        return isinstance(place, np.ndarray) and fits(b.shape, place.shape)
    return True


def make(r: random.Random, length: int) -> tuple[list[np.ndarray], list[Step]]:
    """Roots and steps that NumPy can run; the shapes come from running the views alone."""
    numbers = np.random.default_rng(r.randrange(1 << 30))
    shapes = r.choice([[(3, 4), (3, 4)], [(4,), (4,)], [(2, 3, 2), (3, 2)], [(3, 3), (3,)]])
    roots = [numbers.uniform(0.5, 1.5, s) for s in shapes]
    handles, steps = [a.copy() for a in roots], []
    for _ in range(length):
        h = r.randrange(len(handles))
        what = r.random()
        if what < 0.4:
            kind = r.choice(["key", "key", "key", "T", "reshape", "diagonal", "flip", "swap", "split", "squeeze"])
            detail = detail_of(r, kind, handles[h])
            if is_view(handles[h], kind, detail) and len(handles) < 12:
                steps.append(("view", kind, detail, h))
                handles.append(view_of(handles[h], steps[-1], np))
        elif what < 0.5:
            steps.append(("save", h, r.uniform(-1, 1)))
        else:
            o = r.randrange(len(handles))
            op = r.choice(["+=", "*=", "set", "key", "unary", "scale", "rows", "mask", "constant"])
            key = key_of(r, op)
            if can_write(op, handles[h], handles[o], key):
                steps.append(("write", op, h, o, key, r.uniform(0.2, 0.8)))
    return roots, steps


def write(a: Any, b: Any, step: Step, which: int) -> None:
    """A write in place, the same for ndarrays (0) and Variables (1)."""
    _, op, _, _, key, c = step
    writes: dict[str, Callable[[], Any]] = {
        "+=": lambda: a.__iadd__(b * c),
        "*=": lambda: a.__imul__(b),
        "set": lambda: a.__setitem__(..., b),
        "key": lambda: a.__setitem__(key, b * c),
        "rows": lambda: a.__setitem__(key, b * c),
        "unary": lambda: a.__setitem__(..., UNARY[key][which](a)),
        "mask": lambda: a.__setitem__(a > 0.8, c),
        "scale": lambda: a.__imul__(c),
        "constant": lambda: a.__setitem__(..., c),
    }
    writes[op]()


def new_value(a: tg.Variable, b: tg.Variable, step: Step) -> tg.Variable:
    """The new value of a write, computed out of place."""
    _, op, _, _, key, c = step
    values: dict[str, Callable[[], tg.Variable]] = {
        "+=": lambda: a + b * c,
        "*=": lambda: a * b,
        "set": lambda: b,
        "key": lambda: b * c,
        "rows": lambda: b * c,
        "unary": lambda: UNARY[key][1](a),
        "mask": lambda: tg.where(a > 0.8, tg.full_like(a, c), a),
        "scale": lambda: a * c,
        "constant": lambda: tg.full_like(a, c),
    }
    return values[op]()


def run_numpy(roots: list[np.ndarray], steps: list[Step]) -> list[np.ndarray]:
    handles = [a.copy() for a in roots]
    for step in steps:
        if step[0] == "view":
            v = view_of(handles[step[3]], step, np)
            v.flags.writeable = True
            handles.append(v)
        elif step[0] == "write":
            write(handles[step[2]], handles[step[3]], step, 0)
    return handles


def run_views(leaf: tg.Variable, other: np.ndarray, steps: list[Step]) -> tuple[list[tg.Variable], tg.Variable]:
    handles, loss = [leaf * 1.0, tg.array(other)], tg.zeros((), dtype=tg.float64)
    for step in steps:
        if step[0] == "view":
            handles.append(view_of(handles[step[3]], step, tg))
        elif step[0] == "save":
            v = handles[step[1]]
            loss = loss + tg.sum(v * v * step[2])
        else:
            write(handles[step[2]], handles[step[3]], step, 1)
    return handles, loss


def run_model(leaf: tg.Variable, other: np.ndarray, steps: list[Step]) -> tuple[list[tg.Variable], tg.Variable]:
    model, loss = Model([leaf * 1.0, tg.array(other)]), tg.zeros((), dtype=tg.float64)
    for step in steps:
        if step[0] == "view":
            model.view(step[3], step)
        elif step[0] == "save":
            v = model.read(step[1])
            loss = loss + tg.sum(v * v * step[2])
        else:
            _, op, h, o, key, _ = step
            model.write(h, new_value(model.read(h), model.read(o), step), key if op in ("key", "rows") else ...)
    return [model.read(h) for h in range(len(model.handles))], loss


def finish(handles: list[tg.Variable], loss: tg.Variable) -> tg.Variable:
    """Weighted squares of all handles, so each position of each matters."""
    for k, v in enumerate(handles):
        w = tg.asarray(np.cos(np.arange(v.size) + k).reshape(v.shape))
        loss = loss + tg.sum(v * v * w)
    return loss


def check(seed: int, length: int = 12) -> None:
    roots, steps = make(random.Random(seed), length)
    expected = run_numpy(roots, steps)
    found = []
    for run in (run_views, run_model):
        leaf = tg.Variable(roots[0], requires_grad=True)
        handles, loss = run(leaf, roots[1], steps)
        for mine, theirs in zip(handles, expected, strict=True):
            np.testing.assert_allclose(mine.detach().numpy(), theirs, rtol=1e-9, atol=1e-12, err_msg=str(steps))
        total = finish(handles, loss)
        if not total.requires_grad:
            return
        (first,) = tg.autograd.grad(total, [leaf], create_graph=True)
        direction = np.sin(np.arange(leaf.size) + 1.0).reshape(leaf.shape)
        along = tg.sum(first * tg.asarray(direction))
        second = np.zeros(leaf.shape)
        if along.requires_grad:
            (second,) = tg.autograd.grad(along, [leaf], allow_unused=True)
            second = np.zeros(leaf.shape) if second is None else second.numpy()
        tg.autograd.backward(finish(*run(leaf, roots[1], steps)))
        np.testing.assert_allclose(leaf.grad.numpy(), first.detach().numpy(), rtol=1e-9, atol=1e-9, err_msg=str(steps))
        found.append((first.detach().numpy(), second))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-7, atol=1e-9, err_msg=str(steps))
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6, atol=1e-8, err_msg=str(steps))


@pytest.mark.parametrize("part", range(8))
def test_random_programs(part: int) -> None:
    for seed in range(part * 60, part * 60 + 60):
        check(seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1000, 10_000_000), st.integers(2, 25))
def test_programs_by_hypothesis(seed: int, length: int) -> None:
    check(seed, length)
