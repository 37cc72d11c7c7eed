"""Print the accuracy table of the special functions in docs/numerics.md: errors against mpmath with 50 digits.

pip install mpmath && python tools/special_accuracy.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath as mp
import numpy as np

import tapegrad as tg
from tapegrad import special

if TYPE_CHECKING:
    from collections.abc import Callable

mp.mp.dps = 50
RNG = np.random.default_rng(0)
N = 500


def u(low: float, high: float) -> np.ndarray:
    return RNG.uniform(low, high, N)


def log(low: float, high: float) -> np.ndarray:
    return 10 ** RNG.uniform(low, high, N)


def tail(q: Any) -> Any:
    """The x of which erfc(x) = q."""
    start = mp.sqrt(-mp.log(q)) if q < 1e-15 else mp.erfinv(1 - q)
    return mp.findroot(lambda t: mp.log(mp.erfc(t)) - mp.log(q), start) if q < 1e-15 else start


def log_normal(x: Any) -> Any:
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) if x < 5 else mp.log1p(-mp.erfc(x / mp.sqrt(2)) / 2)


def zeta(s: Any, q: Any) -> Any:
    """With more digits: mpmath is accurate to an absolute error."""
    with mp.workdps(250):
        return mp.zeta(s, q)


def p_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def q_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, regularized=True)


A = np.concatenate([log(-3, 1), u(1, 200)])
X = np.concatenate([log(-3, 1.5), np.abs(A[N:] + u(-6, 6) * np.sqrt(A[N:])) + 0.01])
A2, B2 = log(-2, 2.3), log(-2, 2.3)
X2 = np.clip(A2 / (A2 + B2) + u(-4, 4) * np.sqrt(A2 * B2 / (A2 + B2 + 1)) / (A2 + B2), 1e-3, 0.999)
Z = log(-1, 1)

CASES: list[tuple[str, str, Callable[..., Any], tuple[np.ndarray, ...]]] = [
    ("gammaln", "(0, 1e6)", lambda x: mp.log(mp.gamma(x)), (log(-10, 6),)),
    ("gamma", "(0, 170)", mp.gamma, (u(0, 170),)),
    ("digamma", "(0, 1e6)", mp.digamma, (np.concatenate([log(-10, 6), u(1.3, 1.6)]),)),
    ("zeta", "(1, 100), q in (0, 1e5)", zeta, (1 + log(-3, 2), log(-2, 5))),
    ("beta", "(0, 10)", mp.beta, (log(-3, 1), log(-3, 1))),
    ("betaln", "(1, 1e5)", lambda a, b: mp.log(mp.beta(a, b)), (log(0.3, 5), log(0.3, 5))),
    ("gammainc", "a < 200, 6 sigma", p_gamma, (A, X)),
    ("gammaincc", "a < 200, 6 sigma", q_gamma, (A, X)),
    ("betainc", "a, b < 200, 4 sigma", lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True), (A2, B2, X2)),
    ("erfc", "(-6, 26)", mp.erfc, (u(-6, 26),)),
    ("erfinv", "(-1, 1)", mp.erfinv, (u(-1, 1),)),
    ("erfcinv", "(1e-300, 2)", tail, (np.concatenate([u(0, 2), log(-300, 0)]),)),
    ("erfcx", "(-26, 1e5)", lambda x: mp.exp(x * x) * mp.erfc(x), (np.concatenate([u(-26, 30), log(-5, 5)]),)),
    ("ndtr", "(-37, 9)", mp.ncdf, (u(-37, 9),)),
    ("log_ndtr", "(-40, 37)", log_normal, (u(-40, 37),)),
    ("ndtri", "(1e-300, 1)", lambda p: -mp.sqrt(2) * tail(2 * p), (np.concatenate([u(0, 0.5), log(-300, -1)]),)),
    ("i0", "(-700, 700)", lambda x: mp.besseli(0, x), (np.concatenate([u(-700, 700), u(-20, 20)]),)),
    ("i1", "(-700, 700)", lambda x: mp.besseli(1, x), (np.concatenate([u(-700, 700), u(-20, 20)]),)),
    ("i0e", "(-1e5, 1e5)", lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), (np.concatenate([log(-3, 5), u(-20, 20)]),)),
    ("i1e", "(-1e5, 1e5)", lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), (np.concatenate([log(-3, 5), u(-20, 20)]),)),
    ("k0", "(0, 600)", lambda x: mp.besselk(0, x), (np.concatenate([log(-5, 2.8), u(0, 5)]),)),
    ("k1", "(0, 600)", lambda x: mp.besselk(1, x), (np.concatenate([log(-5, 2.8), u(0, 5)]),)),
    ("j0", "(-60, 60)", lambda x: mp.besselj(0, x), (u(-60, 60),)),
    ("j1", "(-60, 60)", lambda x: mp.besselj(1, x), (u(-60, 60),)),
    ("logit", "(0, 1)", lambda x: mp.log(x / (1 - x)), (u(0, 1),)),
    ("entr", "(0, 1e5)", lambda x: -x * mp.log(x), (log(-5, 5),)),
    ("rel_entr", "y within 30 % of x", lambda x, y: x * mp.log(x / y), (Z, Z * (1 + u(-0.3, 0.3)))),
    ("kl_div", "y within 30 % of x", lambda x, y: x * mp.log(x / y) - x + y, (Z, Z * (1 + u(-0.3, 0.3)))),
    ("exp1", "(0, 600)", mp.e1, (log(-10, 2.8),)),
    ("expi", "(-600, 600)", mp.ei, (np.concatenate([log(-10, 2.8), -log(-10, 2.8), u(0.3, 0.45)]),)),
    (
        "lambertw",
        "(-1/e, 1e20)",
        lambda x: mp.lambertw(x).real,
        (np.concatenate([log(-20, 20), -np.exp(-1) + 0.3 * log(-12, -1)]),),
    ),
    ("sinc", "(-20, 20)", mp.sincpi, (u(-20, 20),)),
]


def worst(name: str, reference: Callable[..., Any], args: tuple[np.ndarray, ...]) -> tuple[float, list[float]]:
    """The largest error in units in the last place, and where it is."""
    got = getattr(special, name)(*[tg.Variable(a) for a in args]).numpy()
    found, where = 0.0, [float("nan")]
    for y, *x in zip(got, *args, strict=True):
        exact = mp.re(reference(*[mp.mpf(float(v)) for v in x]))
        if abs(exact) < mp.mpf(10) ** -300:
            continue
        error = float(abs(mp.mpf(float(y)) - exact) / mp.mpf(float(np.spacing(abs(float(exact))))))
        if not error <= found:
            found, where = error, [float(v) for v in x]
    return found, where


def main() -> None:
    print("| function | arguments | largest error (ulp) | at |")
    print("|---|---|---|---|")
    for name, domain, reference, args in CASES:
        error, where = worst(name, reference, args)
        print(f"| {name} | {domain} | {error:.1f} | {', '.join(f'{v:.6g}' for v in where)} |")


if __name__ == "__main__":
    main()
