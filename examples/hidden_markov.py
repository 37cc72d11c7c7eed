"""A hidden Markov model by expectation maximisation, whose expectations are gradients.

    python examples/hidden_markov.py

The likelihood is the forward recursion, in NumPy's functions. Its derivatives by the logarithms of the probabilities are the
expected counts of the backward recursion (Eisner, Inside-outside and forward-backward algorithms are just backprop, 2016), so
there is no backward recursion to write. SciPy maximises the same likelihood with differences. The picture is
examples/output/hidden_markov.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from matplotlib import pyplot as plt
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, GREEN, INK, ORANGE, SOFT, arguments, save

MEANS, SPREADS = np.array([-1.5, 0.5, 2.5]), np.array([0.6, 0.5, 0.8])
MOVES = np.array([[0.94, 0.05, 0.01], [0.04, 0.92, 0.04], [0.02, 0.08, 0.90]])
COLORS = (BLUE, ORANGE, GREEN)


def observe(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states, and what is seen of them."""
    rng = np.random.default_rng(5)
    states = np.zeros(count, dtype=int)
    for i in range(1, count):
        states[i] = rng.choice(3, p=MOVES[states[i - 1]])
    return states, rng.normal(MEANS[states], SPREADS[states])


def densities(seen: np.ndarray, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Logarithms of the densities of what is seen, by state."""
    z = (seen[:, None] - means) / spreads
    return -0.5 * z**2 - np.log(spreads) - 0.5 * np.log(2 * np.pi)


def evidence(moves: Any, emissions: Any) -> Any:
    """The logarithm of the likelihood, from logarithms: the forward recursion from equal chances."""
    forward = emissions[0] - np.log(3.0)
    for i in range(1, len(emissions)):
        forward = np.logaddexp.reduce(forward[:, None] + moves, axis=0) + emissions[i]
    return np.logaddexp.reduce(forward)


def start(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, spreads and moves to begin with."""
    return np.quantile(seen, [0.1, 0.5, 0.9]), np.full(3, np.std(seen) / 2), np.full((3, 3), 0.1) + 0.7 * np.eye(3)


def maximise(seen: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Means, moves and the probabilities of the states, by expectation maximisation."""
    (means, spreads, moves), values = start(seen), []
    expectations = tg.value_and_grad(evidence, argnums=(0, 1))
    for _ in (bar := tqdm(range(steps), desc="EM", leave=False)):
        value, expected = expectations(tg.Variable(np.log(moves)), tg.Variable(densities(seen, means, spreads)))
        counts, chances = (e.numpy() for e in expected)
        values.append(float(value))
        bar.set_postfix(likelihood=f"{values[-1]:.3f}")
        moves = counts / counts.sum(axis=1, keepdims=True)
        means = (chances * seen[:, None]).sum(axis=0) / chances.sum(axis=0)
        spreads = np.sqrt((chances * (seen[:, None] - means) ** 2).sum(axis=0) / chances.sum(axis=0))
    return means, moves, chances, values


def negative(p: np.ndarray, seen: np.ndarray) -> float:
    """The negative log likelihood per observation by free parameters: means, log spreads, moves before a softmax."""
    scores = p[6:].reshape(3, 3)
    moves = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return -float(evidence(moves, densities(seen, p[:3], np.exp(p[3:6])))) / seen.size


def draw(states: np.ndarray, seen: np.ndarray, means: np.ndarray, chances: np.ndarray, values: list[float], folder: Path) -> Path:
    """What was seen with the likely states, and the likelihood."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(2.2, 1), layout="constrained")
    guess, shown = chances.argmax(axis=1), slice(0, min(250, seen.size))
    for k, color in enumerate(COLORS):
        left.scatter(np.flatnonzero(guess[shown] == k), seen[shown][guess[shown] == k], s=18, color=color)
    left.step(np.arange(seen[shown].size), means[states[shown]], where="mid", color=INK, lw=1.2, label="true states")
    left.set(xlabel="time", ylabel="seen", title=f"{np.mean(guess == states):.1%} of the hidden states found, by colour")
    left.legend(loc="lower right")
    right.plot(range(1, len(values) + 1), values, color=BLUE, lw=2)
    right.tick_params(colors=SOFT)
    right.set(xlabel="step of EM", ylabel="log likelihood", title="Expectation maximisation")
    return save(figure, "hidden_markov.png", folder)


def main() -> None:
    """Observes, fits, compares and draws."""
    steps = {"steps": (60, "steps of expectation maximisation"), "scipy": (60, "steps of SciPy's")}
    options = arguments(__doc__, count=(400, "observations"), **steps)
    states, seen = observe(options.count)
    means, moves, chances, values = maximise(seen, options.steps)
    m, s, a = start(seen)
    begin = np.concatenate([m, np.log(s), np.log(a).ravel()])
    theirs = scipy.optimize.minimize(negative, begin, args=(seen,), method="L-BFGS-B", options={"maxiter": options.scipy})
    for k in range(3):
        print(f"state {k}: mean {means[k]:7.4f} (SciPy {theirs.x[k]:7.4f}, true {MEANS[k]:g}), ", end="")
        print(f"stays {moves[k, k]:.3f} (true {MOVES[k, k]:g})")
    print(
        f"log likelihood {values[0]:.2f} -> {values[-1]:.4f}, SciPy {-theirs.fun * seen.size:.4f} after {theirs.nfev} evaluations"
    )
    print(f"wrote {draw(states, seen, means, chances, values, options.output)}")


if __name__ == "__main__":
    main()
