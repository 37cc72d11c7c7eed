"""Takes the pictures of the examples from examples/output into docs/pictures, small enough for a repository.

python tools/site/pictures.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
#: Pixels across, and colours.
WIDTH, COLOURS = 1100, 96


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples/output"
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path).convert("RGB")
        if image.width > WIDTH:
            image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
        goal = ROOT / "docs/pictures" / path.name
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(goal, optimize=True)
        print(f"{goal.relative_to(ROOT)}: {goal.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
