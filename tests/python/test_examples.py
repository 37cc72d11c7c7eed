"""The examples run: short, as users start them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: The demo, a lecture, and the shared look of pictures.
LONGER = ("digits.py", "pendulum.py", "style.py")
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


def test_autoencoder(tmp_path):
    out = run("autoencoder.py", tmp_path, "--epochs", "3")
    before, after = out.split("nats an image: ")[1].split(",")[0].split(" -> ")
    assert float(after) < float(before)
    assert (tmp_path / "autoencoder.png").read_bytes().startswith(PNG)


def test_diffusion(tmp_path):
    out = run("diffusion.py", tmp_path, "--steps", "30")
    before, after = out.split("loss ")[1].split(",")[0].split(" -> ")
    assert float(after) < float(before)
    assert (tmp_path / "diffusion.png").read_bytes().startswith(PNG)


def test_text(tmp_path):
    out = run("text.py", tmp_path, "--steps", "2")
    assert float(out.split("held out ")[1].split(" nats")[0]) < 6
    assert (tmp_path / "text.png").read_bytes().startswith(PNG)


def test_cartpole(tmp_path):
    pytest.importorskip("gymnasium")
    out = run("cartpole.py", tmp_path, "--steps", "1024")
    assert float(out.split("episodes: ")[1].split()[0]) > 8
    assert (tmp_path / "cartpole.png").read_bytes().startswith(PNG)


def test_rods(tmp_path):
    out = run("rods.py", tmp_path, "--experiments", "8")
    for line in out.splitlines()[:3]:
        value, _, error = line.split()[1:4]
        true = float(line.split("true: ")[1].rstrip(")"))
        assert abs(float(value) - true) < 4 * float(error)
    assert (tmp_path / "rods.png").read_bytes().startswith(PNG)


def test_digits_on_ranks_is_digits(tmp_path):
    options = ("--seeds", "1", "--epochs", "2", "--require", "0.5")
    one, other = run("digits.py", tmp_path, *options), run("digits_ranks.py", tmp_path, *options)
    assert one.splitlines()[0] == other.splitlines()[0]
    assert (tmp_path / "digits.png").read_bytes().startswith(PNG)


def test_sweep(tmp_path):
    out = run("sweep.py", tmp_path, "--epochs", "1", "--workers", "2")
    assert out.count("rate ") == 10
    assert float(out.split("best: ")[1].split("%")[0]) > 30
    assert (tmp_path / "sweep.png").read_bytes().startswith(PNG)


def test_regression(tmp_path):
    out = run("regression.py", tmp_path, "--steps", "300")
    own, least = out.split("error ")[1].split("\n")[0].split(", of least squares ")
    assert float(own) < float(least)
    assert (tmp_path / "regression.png").read_bytes().startswith(PNG)


def test_mixture(tmp_path):
    out = run("mixture.py", tmp_path, "--steps", "60")
    found, best = out.split(" -> ")[1].split("\n")[0].split(", at best ")
    assert float(best) - 0.2 < float(found) <= float(best) + 0.01
    assert (tmp_path / "mixture.png").read_bytes().startswith(PNG)


def test_epidemic(tmp_path):
    out = run("epidemic.py", tmp_path, "--draws", "10")
    assert float(out.split("from the truth ")[1].split()[0]) < 4
    assert (tmp_path / "epidemic.png").read_bytes().startswith(PNG)


def test_calibration(tmp_path):
    out = run("calibration.py", tmp_path, "--repeats", "5")
    assert out.count("at its bound") == 1
    assert int(out.split("standard errors in ")[1].split()[0]) >= 3
    assert (tmp_path / "calibration.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py") if p.name not in LONGER))
def test_an_example_is_short(name):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.parametrize(
    ("name", "options", "compared"),
    [
        ("gaussian_process", [], "negative log likelihood"),
        ("orbit", ["--substeps", "4"], "chi2"),
        ("kalman", ["--readings", "60"], "negative log likelihood"),
        ("hidden_markov", ["--count", "80", "--steps", "30", "--scipy", "5"], "log likelihood"),
        ("spectrum", [], "chi2"),
    ],
)
def test_a_fit_is_as_good_as_scipys(tmp_path, name, options, compared):
    out = run(f"{name}.py", tmp_path, *options)
    line = next(line for line in out.splitlines() if line.startswith(compared))
    ours, _, theirs = line.removeprefix(compared).partition("SciPy ")
    ours = float(ours.rpartition("-> ")[2].strip(" ,").split(",")[0].split()[0])
    theirs = float(theirs.split()[0].strip(","))
    better = ours - theirs if name == "hidden_markov" else theirs - ours
    assert better > -1e-3 * abs(theirs)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 120
