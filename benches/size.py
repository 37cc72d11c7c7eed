"""The size of a wheel: its bytes, those of the compiled module and of its code, and the number of functions.

    python benches/size.py WHEEL... [--markdown OUT]

Functions are counted by their unwind entries, which a stripped library keeps. Needs readelf (on Debian: binutils).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from table import Table, arguments


def readelf(*options: str | Path) -> str:
    program = shutil.which("readelf")
    if not program:
        raise SystemExit("readelf is not installed (on Debian: the package binutils)")
    return subprocess.run([program, *map(str, options)], capture_output=True, text=True, check=True).stdout


def row(wheel: Path) -> str:
    """A line of the table."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        (module,) = (name for name in archive.namelist() if re.fullmatch(r"tapegrad/_core\..*so", name))
        library = Path(archive.extract(module, folder))
        functions = readelf("--debug-dump=frames", library).count(" FDE ")
        code = re.search(r" \.text +PROGBITS +\w+ +\w+ +(\w+)", readelf("-S", "-W", library))
        size = library.stat().st_size
    tag = "-".join(wheel.stem.split("-")[-3:]).split(".")[0]
    return f"| {tag} | {wheel.stat().st_size:,} | {size:,} | {int(code[1], 16) if code else 0:,} | {functions:,} |"


def main() -> int:
    """Measures every wheel that is named."""
    parser = arguments(__doc__)
    parser.add_argument("wheel", type=Path, nargs="+")
    options = parser.parse_args()
    table = Table("| wheel | wheel (bytes) | library (bytes) | code (bytes) | functions |", "|---|---|---|---|---|")
    for wheel in options.wheel:
        table.add(row(wheel))
    table.write(options.markdown, "benches/size.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
