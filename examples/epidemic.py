"""Finds the parameters of an epidemic from daily reports, through a differential equation.

    python examples/epidemic.py

People are susceptible, exposed, infectious or recovered (SEIR); at day 35 contacts are cut. Reports are Poisson numbers of a
share of the new cases. Six parameters are fitted by minimising the negative log-likelihood, whose gradient goes through
`tg.optimize.odeint`; the Hessian there gives their uncertainties, and samples of them the band of the forecast. The figure goes
to examples/output/epidemic.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, GREEN, INK, ORANGE, RED, SOFT, arguments, save
from tapegrad.optimize import fun_and_grad, minimize, odeint

PEOPLE, CUT, TRUNCATED = 1e6, 35.0, 70
NAMES = ("R before", "R after", "latent (days)", "infectious (days)", "first cases", "share reported")
TRUE = np.array([2.8, 0.8, 4.0, 6.0, 60.0, 0.35])
#: What is known beforehand of each parameter's logarithm: a mean and a width.
PRIOR = np.array(
    [[np.log(2.0), 0.7], [np.log(1.0), 0.7], [np.log(4.0), 0.1], [np.log(6.0), 0.1], [np.log(30.0), 1.5], [np.log(0.3), 0.3]]
)


def simulate(p: tg.Variable, days: np.ndarray) -> tuple[tg.Variable, tg.Variable]:
    """The four groups as shares of the people at each day, and the cases reported on each."""
    before, after, latent, infectious, first, share = p

    def flow(y: tg.Variable, t: tg.Variable) -> tg.Variable:
        s, e, i = y[0], y[1], y[2]
        contacts = before + (after - before) * tg.sigmoid((t - CUT) * 2.0)
        caught, ill, well = contacts / infectious * s * i, e / latent, i / infectious
        return tg.stack([-caught, caught - ill, ill - well, well, ill])

    start = tg.stack([1.0 - first / PEOPLE, first / PEOPLE, 0.0 * first, 0.0 * first, 0.0 * first])
    y = odeint(flow, start, days, rtol=1e-6, atol=1e-9)
    return y[:, :4], share * PEOPLE * tg.diff(y[:, 4]) + 1e-3


def draw(
    days: np.ndarray, reports: np.ndarray, samples: list[np.ndarray], groups: np.ndarray, lines: list[str], folder: Path
) -> Path:
    """Reports and forecast, and the groups."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(12, 7.4), height_ratios=(3, 2), sharex=True)
    low, middle, high = np.quantile(samples, (0.05, 0.5, 0.95), axis=0)
    seen = len(reports)
    top.fill_between(days[1:], low, high, color=BLUE, alpha=0.2, lw=0, label="90 % of the samples")
    top.plot(days[1:], middle, color=BLUE, lw=2.2, label="median")
    top.scatter(days[1 : seen + 1], reports, s=18, color=ORANGE, edgecolor="white", linewidth=0.5, zorder=3, label="reports")
    for axis in (top, bottom):
        axis.axvline(CUT, color=SOFT, lw=1, ls=":")
        axis.axvline(days[seen], color=SOFT, lw=1, ls="--")
    top.annotate("contacts are cut", (CUT, top.get_ylim()[1] * 0.94), xytext=(5, 0), textcoords="offset points", color=SOFT)
    top.annotate("forecast", (days[seen], top.get_ylim()[1] * 0.94), xytext=(5, 0), textcoords="offset points", color=SOFT)
    top.set(ylabel="new cases a day", title="An epidemic: parameters by gradients through its differential equation")
    top.legend(loc="upper left", bbox_to_anchor=(0.0, 0.97))
    top.text(0.57, 0.87, "\n".join(lines), transform=top.transAxes, va="top", family="monospace", fontsize=9.5, color=INK,
             bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85})  # fmt: skip
    for k, (name, color) in enumerate([("susceptible", BLUE), ("exposed", ORANGE), ("infectious", RED), ("recovered", GREEN)]):
        bottom.semilogy(days, groups[:, k] * PEOPLE + 1e-9, color=color, lw=2, label=name)
    bottom.set(xlabel="day", ylabel="people", ylim=(10, 2e6), xlim=(0, days[-1]))
    bottom.legend(loc="lower right", ncols=4)
    figure.align_ylabels()
    return save(figure, "epidemic.png", folder)


def main() -> None:
    """Simulates, fits, forecasts and draws."""
    options = arguments(__doc__, draws=(200, "samples of the parameters"))
    random = np.random.default_rng(3)
    days = np.arange(0.0, TRUNCATED + 31.0)
    fitted = days[: TRUNCATED + 1]
    reports = random.poisson(simulate(tg.Variable(TRUE), fitted)[1].numpy()).astype(float)

    def loss(q: tg.Variable) -> tg.Variable:
        expected = simulate(tg.exp(q), fitted)[1]
        misfit = tg.sum(expected - reports * tg.log(expected))
        return misfit + 0.5 * tg.sum(((q - PRIOR[:, 0]) / PRIOR[:, 1]) ** 2)

    with tqdm(desc="L-BFGS", unit=" steps") as bar:
        best = minimize(loss, PRIOR[:, 0], tol=1e-3, callback=lambda q: bar.update())
    covariance = np.linalg.inv(fun_and_grad(loss, best.x).hess(best.x.numpy()))
    found, errors = np.exp(best.x.numpy()), np.sqrt(np.diag(covariance))
    lines = [f"{n:<18}{v:8.3f} ± {v * e:6.3f}   (true {t:g})" for n, v, e, t in zip(NAMES, found, errors, TRUE)]
    print("\n".join(lines))
    worst = np.abs((np.log(TRUE) - best.x.numpy()) / errors).max()
    print(f"largest deviation from the truth {worst:.2f} standard errors, after {best.nit} steps")
    draws = random.multivariate_normal(best.x.numpy(), covariance, size=options.draws)
    samples = [random.poisson(simulate(tg.Variable(np.exp(q)), days)[1].numpy()) for q in tqdm(draws, desc="forecasts")]
    groups = simulate(tg.Variable(found), days)[0].numpy()
    print(f"wrote {draw(days, reports, samples, groups, lines, options.output)}")


if __name__ == "__main__":
    main()
