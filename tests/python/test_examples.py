"""The examples run: short, as users start them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG = b"\x89PNG"

for needed in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(needed)

from sklearn.datasets import load_digits  # noqa: E402 - sklearn may be missing


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
    assert one.splitlines()[1] == other.splitlines()[0]
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


def test_dqn(tmp_path):
    pytest.importorskip("gymnasium")
    out = run("dqn.py", tmp_path, "--steps", "512")
    assert float(out.split("exploration: ")[1].split()[0]) >= 8
    assert (tmp_path / "dqn.png").read_bytes().startswith(PNG)


def test_forecast(tmp_path):
    if find_spec("statsmodels") is None:
        pytest.skip("statsmodels is not installed")
    out = run("forecast.py", tmp_path, "--steps", "60")
    found, _, before = (float(part.split()[-1]) for part in out.splitlines()[0].split(", "))
    assert found < before
    assert (tmp_path / "forecast.png").read_bytes().startswith(PNG)


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory):
    """200 of scikit-learn's digits in files of MNIST's format."""
    folder = tmp_path_factory.mktemp("mnist")
    digits = load_digits()
    images = np.kron(digits.images[:200] * 15.9, np.ones((1, 3, 3))).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    for part, cut in (("train", slice(0, 160)), ("t10k", slice(160, 200))):
        for kind, array in (("images-idx3", images[cut]), ("labels-idx1", digits.target[:200][cut].astype(np.uint8))):
            sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    return folder


@pytest.mark.parametrize("name", ["lenet", "resnet", "googlenet", "mobilenet"])
def test_networks_of_convolutions(name, tmp_path, small_mnist):
    out = run(f"{name}.py", tmp_path, "--seeds", "1", "--epochs", "2", "--require", "0", "--data", str(small_mnist))
    assert "of 40 held-out digits read right" in out
    assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)


def test_a_folder_without_mnist_says_so(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("lenet.py", tmp_path, "--data", str(tmp_path))
    assert "nothing is downloaded" in caught.value.stderr


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
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
