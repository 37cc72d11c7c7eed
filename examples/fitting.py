"""How the examples of fits find their parameters: L-BFGS, and Levenberg and Marquardt's method, with gradients by tapegrad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

import tapegrad as tg


def minimize(f: Callable[[Any], Any], start: np.ndarray, steps: int) -> tuple[np.ndarray, list[float]]:
    """The parameters at which ``f`` is least, by L-BFGS, and the values on the way."""
    p = tg.Variable(start, requires_grad=True)
    optimizer = tg.optim.LBFGS([p], max_iter=5, line_search_fn="strong_wolfe")
    values: list[float] = []

    def closure() -> tg.Variable:
        optimizer.zero_grad()
        value = f(p)
        value.backward()
        return value

    for _ in (bar := tqdm(range(steps), desc="L-BFGS", leave=False)):
        values.append(float(optimizer.step(closure)))
        bar.set_postfix(value=f"{values[-1]:.4f}")
        if len(values) > 1 and abs(values[-2] - values[-1]) < 1e-10 * abs(values[-1]):
            break
    return p.detach().numpy(copy=True), values


def least_squares(residuals: Callable[[Any], Any], start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """The parameters with the least sum of squares, their standard deviations if residuals have a variance of 1, and the sums.

    A step is short while the sum is not like its quadratic model (Levenberg, Marquardt). The Jacobian is exact, in forward mode.
    """
    jacobian = tg.jacfwd(residuals)
    p, lean, sums = start, 1e-3, []
    for _ in (bar := tqdm(range(steps), desc="least squares", leave=False)):
        r, j = residuals(tg.Variable(p)).numpy(), jacobian(tg.Variable(p)).numpy()
        sums.append(float(r @ r))
        bar.set_postfix(sum=f"{sums[-1]:.4f}")
        normal, slope = j.T @ j, j.T @ r
        while True:
            new = p - np.linalg.solve(normal + lean * np.diag(np.diag(normal)), slope)
            value = float(np.sum(residuals(tg.Variable(new)).numpy() ** 2))
            if value <= sums[-1] or lean > 1e12:
                break
            lean *= 10
        p, lean = new, lean / 10
        if sums[-1] - value < 1e-10 * sums[-1]:
            break
    return p, np.sqrt(np.diag(np.linalg.inv(normal))), sums
