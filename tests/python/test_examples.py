"""The examples run: short, as users start them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG = b"\x89PNG"

for needed in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(needed)


def run(script, folder, *options):
    command = [sys.executable, str(EXAMPLES / script), "--output", str(folder), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


def test_digits(tmp_path):
    out = run("digits.py", tmp_path, "--seeds", "2", "--epochs", "3", "--require", "0.8")
    assert out.count("held-out digits read right") == 2
    assert (tmp_path / "digits.png").read_bytes().startswith(PNG)
    assert ET.parse(tmp_path / "digits.svg").getroot().tag.endswith("svg")


def test_digits_fails_below_what_is_required(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("digits.py", tmp_path, "--seeds", "1", "--epochs", "1", "--require", "0.999")
    assert "a seed stayed below 100%" in caught.value.stderr


def test_two_moons(tmp_path):
    out = run("two_moons.py", tmp_path, "--steps", "300")
    assert float(out.split("accuracy on new points ")[1].split("%")[0]) > 93
    assert (tmp_path / "two_moons.png").read_bytes().startswith(PNG)


def test_pendulum(tmp_path):
    out = run("pendulum.py", tmp_path)
    line = next(line for line in out.splitlines() if line.startswith("gravity"))
    value, _, error = line.split()[1:4]
    assert abs(float(value) - 9.81) < 3 * float(error)
    assert (tmp_path / "pendulum.png").read_bytes().startswith(PNG)
