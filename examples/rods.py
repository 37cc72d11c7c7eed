"""Measures how metal conducts heat: one physical model, fitted to experiments that are divided among ranks.

    python -m tapegrad.distributed.run -n 4 examples/rods.py [--experiments 24]

Rods are heated at one place and cool in the air. Each rank simulates its share of the experiments, by finite differences in
float64, and differentiates through the simulation. Three parameters are fitted to all sensors at once by the method of Gauss
and Newton: ranks add up 3 by 3 matrices, so the answer does not depend on their number. The fit goes to examples/output/rods.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import tapegrad as tg
from style import BLUE, ORANGE, arguments, save
from tapegrad import distributed as dist

CELLS, STEPS, DT = 24, 160, 0.25
SENSORS = np.array([3, 9, 15, 21])
NAMES, UNITS = ("diffusivity", "cooling", "heater"), ("cm²/s", "1/s", "K/s")
TRUE = np.array([0.9, 0.02, 3.0])
NOISE = 0.05


def simulate(parameters: tg.Variable, heated: np.ndarray) -> tg.Variable:
    """Temperatures of the sensors over time, for rods that are heated at the cells ``heated``."""
    diffusivity, cooling, power = parameters[0], parameters[1], parameters[2]
    heater = tg.asarray(np.eye(CELLS)[heated])
    u = tg.zeros((len(heated), CELLS), dtype=tg.float64)
    readings = []
    for step in range(STEPS):
        padded = tg.pad(u, ((0, 0), (1, 1)), mode="edge")  # no heat leaves through the ends
        flow = padded[:, 2:] - 2.0 * u + padded[:, :-2]
        u = u + DT * (diffusivity * flow - cooling * u + power * heater * float(step < STEPS // 2))
        if step % 8 == 7:
            readings.append(u[:, SENSORS])
    return tg.stack(readings, axis=1)


def measure(experiments: int, share: slice) -> tuple[np.ndarray, np.ndarray]:
    """Where the rods of a share are heated, and what their sensors read."""
    random = np.random.default_rng(0)
    heated = random.integers(0, CELLS, experiments)
    noise = random.normal(size=(experiments, STEPS // 8, len(SENSORS)))
    clean = simulate(tg.asarray(TRUE), heated[share]).numpy()
    return heated[share], clean + NOISE * noise[share]


def normal_equations(at: np.ndarray, heated: np.ndarray, readings: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum of squares, gradient and Gauss-Newton matrix, over the experiments of all ranks."""

    def residuals(p: tg.Variable) -> tg.Variable:
        return (simulate(p, heated) - tg.asarray(readings)).reshape(-1)

    here = tg.asarray(at)
    jacobian, r = tg.jacfwd(residuals)(here).numpy(), residuals(here).numpy()
    total = dist.all_reduce({"loss": np.array(r @ r), "slope": jacobian.T @ r, "matrix": jacobian.T @ jacobian})
    return total["loss"].item(), total["slope"].numpy(), total["matrix"].numpy()


def fit(start: np.ndarray, heated: np.ndarray, readings: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Parameters, their covariance, and the sums of squares on the way."""
    at, losses = start, []
    for _ in range(12):
        loss, slope, matrix = normal_equations(at, heated, readings)
        losses.append(loss)
        step = np.linalg.solve(matrix, -slope)
        at = at + step
        if np.abs(step).max() < 1e-9:
            break
    return at, NOISE**2 * np.linalg.inv(matrix), losses


def draw(at: np.ndarray, heated: np.ndarray, readings: np.ndarray, folder: Path) -> Path:
    """The sensors of one rod, and the fit."""
    figure, axes = plt.subplots(figsize=(9, 5))
    times = DT * 8 * np.arange(1, STEPS // 8 + 1)
    fitted = simulate(tg.asarray(at), heated[:1]).numpy()[0]
    for k, cell in enumerate(SENSORS):
        axes.plot(times, fitted[:, k], color=BLUE, lw=2)
        axes.plot(times, readings[0, :, k], ".", color=ORANGE)
        axes.text(times[-1] + 0.5, fitted[-1, k], f"cell {cell}", va="center")
    axes.set(xlabel="seconds", ylabel="kelvin above the air", title=f"A rod that is heated at cell {heated[0]} for 20 s")
    return save(figure, "rods.png", folder)


def main() -> None:
    """Fits, and says what was found."""
    options = arguments(__doc__, experiments=(24, "how many rods all ranks have together"))
    dist.init("mpi" if dist.is_launched() else "local")
    share = slice(dist.get_rank(), None, dist.get_world_size())
    heated, readings = measure(options.experiments, share)
    at, covariance, losses = fit(np.array([0.5, 0.05, 2.0]), heated, readings)
    if dist.get_rank():
        return
    for name, unit, value, variance, true in zip(NAMES, UNITS, at, np.diag(covariance), TRUE):
        print(f"{name:12} {value:.5f} ± {np.sqrt(variance):.5f} {unit} (true: {true})")
    print(f"{dist.get_world_size()} ranks, {len(losses)} steps, sum of squares {losses[0]:.1f} -> {losses[-1]:.3f}")
    print(f"wrote {draw(at, heated, readings, options.output)}")


if __name__ == "__main__":
    main()
