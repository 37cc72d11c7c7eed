"""The look of the example figures."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

INK, SOFT, GRID = "#0f172a", "#64748b", "#e2e8f0"
BLUE, ORANGE, GREEN, RED = "#2563eb", "#ea580c", "#16a34a", "#e11d48"
OUTPUT = Path(__file__).parent / "output"

plt.rcParams.update(
    {
        "figure.facecolor": "white",
        "font.size": 11,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": SOFT,
        "axes.titlecolor": INK,
        "axes.titlesize": 13,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "legend.frameon": False,
    }
)


def save(figure: Figure, name: str, folder: Path) -> Path:
    """Writes a figure as PNG and closes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.25)
    plt.close(figure)
    return path


def arguments(text: str | None, **options: tuple[int | float | str, str]) -> argparse.Namespace:
    """The options of an example, by name: a default and a meaning each; and `--output`, the folder of the picture."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, meaning) in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{meaning} (default: {default!r})")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the picture")
    return parser.parse_args()
