"""Writes the gallery: every example with its description, its picture and a link to its source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Headings of programs whose file names are names of models.
TITLES = {
    "cartpole": "CartPole",
    "digits_ranks": "Digits on several ranks",
    "dqn": "DQN",
    "googlenet": "GoogLeNet",
    "hidden_markov": "Hidden Markov model",
    "kalman": "Kalman filter",
    "lenet": "LeNet",
    "mobilenet": "MobileNet",
    "resnet": "ResNet",
}


def page() -> str:
    parts = [
        "# Gallery",
        "What the programs in `examples/` draw. `make examples` runs them all; each one runs by itself, as in\n"
        "`python examples/pendulum.py`, and says with `--help` what it takes.",
    ]
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        doc = ast.get_docstring(ast.parse(text)) or ""
        if "__main__" not in text:  # files that programs share
            continue
        picture = next((p for p in (ROOT / "docs/pictures").glob(f"{path.stem}.*")), None)
        parts.append(f"## {TITLES.get(path.stem) or path.stem.replace('_', ' ').capitalize()}")
        parts.append(doc.split("\n\n")[0])
        if picture:
            parts.append(f"![What examples/{path.name} draws](pictures/{picture.name})")
        parts.append(code(path.name, text))
    return "\n\n".join(parts) + "\n"


def code(name: str, text: str) -> str:
    """The program, folded."""
    return f"<details><summary>examples/{name}</summary>\n\n```python\n{text.rstrip()}\n```\n\n</details>"
