"""docs/catalogue.md: each of the 27 rules as written there, alone on the tape, inside a graph, and against differences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

import tapegrad as tg

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/catalogue.md"
ROW = re.compile(r"^\| (\d+) \| (\w+) \| `([^`]+)` \| ((?:`\w+: [^`]+` ?)+)\|", re.MULTILINE)
RULE = re.compile(r"`(\w+): ([^`]+)`")
ROWS = [(int(n), name, call, dict(RULE.findall(rules))) for n, name, call, rules in ROW.findall(PAGE.read_text(encoding="utf-8"))]
IDS = [name for _, name, _, _ in ROWS]

RNG = np.random.default_rng(27)
#: Inputs by name: general ones, positive ones, slopes of channels. Nothing lies within a step of a kink.
INPUTS = {
    "a": RNG.uniform(0.5, 2.0, (3, 4)),
    "b": RNG.uniform(0.5, 2.0, (4, 4)),
    "x": RNG.choice([-1.0, 1.0], (3, 4)) * RNG.uniform(0.1, 0.9, (3, 4)) * np.array([1.0, 2.0, 1.0, 3.0]),
    "p": RNG.uniform(0.2, 4.0, (3, 4)),
    "c": np.array([0.1, 0.2, 0.3, 0.4]),
}
NUMPY: dict[str, Any] = {"np": np, "T": lambda m: np.swapaxes(m, -1, -2), "phi": ndtr}


def inputs(name: str, rules: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays of a row; elementwise operations broadcast a row against a matrix."""
    arrays = {k: INPUTS[k] for k in rules}
    if "b" in arrays and name != "matmul":
        arrays["b"] = arrays["b"][:1]
    return arrays


def forward(call: str, variables: dict[str, Any]) -> Any:
    return eval(call, {"tg": tg, **variables})  # noqa: S307 - our own page


def leaves(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {k: tg.Variable(v, requires_grad=True) for k, v in arrays.items()}


def summed_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes that broadcasting repeated."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


def written_rule(call: str, rules: dict[str, str], arrays: dict[str, np.ndarray], g: np.ndarray) -> list[np.ndarray]:
    with tg.no_grad():
        y = np.asarray(forward(call, {k: tg.Variable(v) for k, v in arrays.items()}))
    scope = {**NUMPY, **arrays, "g": g, "y": y}
    return [summed_to(eval(rule, scope), arrays[k].shape) for k, rule in rules.items()]  # noqa: S307 - our own page


def cotangent(call: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(forward(call, {k: tg.Variable(v) for k, v in arrays.items()}).shape)


def test_there_are_27() -> None:
    assert [n for n, *_ in ROWS] == list(range(1, 28))
    assert len(set(IDS)) == 27


@pytest.mark.parametrize(("number", "name", "call", "rules"), ROWS, ids=IDS)
def test_the_operation_alone_follows_its_rule(number: int, name: str, call: str, rules: dict[str, str]) -> None:
    arrays = inputs(name, rules)
    g = cotangent(call, arrays)
    variables = leaves(arrays)
    got = tg.autograd.grad(forward(call, variables), list(variables.values()), tg.Variable(g))
    for key, mine, rule in zip(rules, got, written_rule(call, rules, arrays, g), strict=True):
        np.testing.assert_allclose(mine.numpy(), rule, rtol=1e-12, atol=1e-13, err_msg=f"{number} {name}, by {key}")


@pytest.mark.parametrize(("number", "name", "call", "rules"), ROWS, ids=IDS)
def test_inside_a_graph_it_is_the_same(number: int, name: str, call: str, rules: dict[str, str]) -> None:
    """Each input is used twice, the result twice: (Σ g y) / 2 + (Σ g y) / 2 of (v + v) / 2."""
    arrays = inputs(name, rules)
    g = cotangent(call, arrays)
    variables = leaves(arrays)
    y = forward(call, {k: (v + v) * 0.5 for k, v in variables.items()})
    half = tg.sum(y * tg.Variable(g)) * 0.5
    (half + tg.sum(tg.Variable(g * 0.5) * y)).backward()
    for key, rule in zip(rules, written_rule(call, rules, arrays, g), strict=True):
        mine = variables[key].grad.numpy()
        np.testing.assert_allclose(mine, rule, rtol=1e-12, atol=1e-13, err_msg=f"{number} {name}, by {key}")


@pytest.mark.parametrize(("number", "name", "call", "rules"), ROWS, ids=IDS)
def test_it_agrees_with_differences(number: int, name: str, call: str, rules: dict[str, str]) -> None:
    variables = leaves(inputs(name, rules))
    keys = list(variables)

    def f(*values: Any) -> Any:
        return forward(call, dict(zip(keys, values, strict=True)))

    assert tg.autograd.gradcheck(f, list(variables.values()), fast=False), f"{number} {name}"
    assert tg.autograd.gradgradcheck(f, list(variables.values())), f"{number} {name}"
