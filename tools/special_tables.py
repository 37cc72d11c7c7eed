"""Write src/kernel/special/tables.rs: coefficients of the special functions, from mpmath with 60 digits.

python tools/special_tables.py > src/kernel/special/tables.rs
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60


def chebyshev(f: Callable[[mp.mpf], mp.mpf], tolerance: float = 2e-18) -> list[mp.mpf]:
    """Coefficients of f over [-1, 1], the first one halved, as many as are larger than the tolerance."""
    n = 72
    nodes = [mp.cos(mp.pi * (k + mp.mpf(1) / 2) / n) for k in range(n)]
    values = [f(t) for t in nodes]
    coefficients = [
        2 * mp.fsum(v * mp.cos(mp.pi * j * (k + mp.mpf(1) / 2) / n) for k, v in enumerate(values)) / n for j in range(n)
    ]
    coefficients[0] /= 2
    scale = max(abs(c) for c in coefficients)
    while coefficients and abs(coefficients[-1]) < tolerance * scale:
        coefficients.pop()
    return coefficients


def taylor(f: Callable[[mp.mpf], mp.mpf], at: mp.mpf, n: int) -> list[mp.mpf]:
    return list(mp.taylor(f, at, n))


def show(name: str, doc: str, values: list[mp.mpf]) -> None:
    print(f"/// {doc}")
    print(f"pub const {name}: [f64; {len(values)}] = [")
    for v in values:
        print(f"    {float(v)!r},")
    print("];\n")


def number(name: str, doc: str, value: mp.mpf) -> None:
    high = mp.mpf(float(value))
    print(f"/// {doc}, and what its double lacks.")
    print(f"pub const {name}: [f64; 2] = [{float(high)!r}, {float(value - high)!r}];\n")


def scaled_bessel() -> None:
    """Functions of t in [-1, 1]; the variable of a table is in its doc."""
    small = lambda t: 4 * (t + 1)  # noqa: E731 - x in [0, 8]
    large = lambda t: 16 / (t + 1)  # noqa: E731 - x in [8, inf)
    limit = 1 / mp.sqrt(2 * mp.pi)
    show(
        "I0E_SMALL",
        "exp(-x) I0(x), 0 <= x <= 8, by t = x/4 - 1.",
        chebyshev(lambda t: mp.exp(-small(t)) * mp.besseli(0, small(t))),
    )
    show(
        "I0E_LARGE",
        "sqrt(x) exp(-x) I0(x), x >= 8, by t = 16/x - 1.",
        chebyshev(lambda t: limit if t <= -1 else mp.sqrt(large(t)) * mp.exp(-large(t)) * mp.besseli(0, large(t))),
    )
    show(
        "I1E_SMALL",
        "exp(-x) I1(x) / x, 0 <= x <= 8, by t = x/4 - 1.",
        chebyshev(lambda t: mp.mpf(1) / 2 if t <= -1 else mp.exp(-small(t)) * mp.besseli(1, small(t)) / small(t)),
    )
    show(
        "I1E_LARGE",
        "sqrt(x) exp(-x) I1(x), x >= 8, by t = 16/x - 1.",
        chebyshev(lambda t: limit if t <= -1 else mp.sqrt(large(t)) * mp.exp(-large(t)) * mp.besseli(1, large(t))),
    )
    root = lambda t: mp.sqrt(2 * (t + 1))  # noqa: E731 - x in [0, 2]
    far = lambda t: 4 / (t + 1)  # noqa: E731 - x in [2, inf)
    show(
        "K0_SMALL",
        "K0(x) + log(x/2) I0(x), 0 < x <= 2, by t = x²/2 - 1.",
        chebyshev(lambda t: mp.besselk(0, root(t)) + mp.log(root(t) / 2) * mp.besseli(0, root(t))),
    )
    show(
        "K0E_LARGE",
        "sqrt(x) exp(x) K0(x), x >= 2, by t = 4/x - 1.",
        chebyshev(lambda t: mp.sqrt(far(t)) * mp.exp(far(t)) * mp.besselk(0, far(t))),
    )
    show(
        "K1_SMALL",
        "x (K1(x) - log(x/2) I1(x)), 0 < x <= 2, by t = x²/2 - 1.",
        chebyshev(lambda t: root(t) * (mp.besselk(1, root(t)) - mp.log(root(t) / 2) * mp.besseli(1, root(t)))),
    )
    show(
        "K1E_LARGE",
        "sqrt(x) exp(x) K1(x), x >= 2, by t = 4/x - 1.",
        chebyshev(lambda t: mp.sqrt(far(t)) * mp.exp(far(t)) * mp.besselk(1, far(t))),
    )
    # Near zero the functions of the first kind are their power series in x²/4, which the second kind needs to the last digit.


def temme() -> None:
    """C_k(η) of Temme's expansion of the incomplete gamma function: Gil, Segura & Temme (2012), by power series in η."""
    n = 40
    # μ(η) from μ - log(1 + μ) = η²/2, that is dμ/dη = η (1 + μ)/μ; with μ = η m: m (m + η m') = 1 + η m.
    m = [mp.mpf(1)]
    for k in range(1, n):
        # coefficient k of m² + η m m' - η m = 0 for k >= 1
        known = mp.fsum(m[i] * m[k - i] for i in range(1, k)) + mp.fsum(m[i] * (k - i) * m[k - i] for i in range(1, k)) - m[k - 1]
        m.append(-known / (2 + k))
    inverse = [1 / m[0]]
    for k in range(1, n):
        inverse.append(-mp.fsum(m[i] * inverse[k - i] for i in range(1, k + 1)) / m[0])
    # 1/μ = (1/η) Σ inverse_k η^k; Γ*(a) ~ Σ γ_k a^-k.
    gammas = [mp.mpf(g) for g in ("1",)]
    stirling = [mp.bernoulli(2 * j) / (2 * j * (2 * j - 1)) for j in range(1, 8)]
    log_series = [mp.mpf(0)] * 10
    for j, s in enumerate(stirling):
        if 2 * j + 1 < 10:
            log_series[2 * j + 1] = s
    for k in range(1, 10):
        gammas.append(mp.fsum(i * log_series[i] * gammas[k - i] for i in range(1, k + 1)) / k)
    rows = [[inverse[i + 1] for i in range(n - 1)]]
    for k in range(1, 6):
        last, sign = rows[-1], (-1) ** k * gammas[k]
        # (1/η) dC/dη has a pole c₁/η that the other term cancels.
        if abs(last[1] + sign * inverse[0]) > mp.mpf(10) ** -40:
            raise ArithmeticError("the poles do not cancel")
        rows.append([(i + 2) * last[i + 2] + sign * inverse[i + 1] for i in range(len(last) - 2)])
    print("/// C_k(η) of Temme's expansion of the incomplete gamma function, a row for each k, by powers of η.")
    print("pub const TEMME: [[f64; 22]; 6] = [")
    for row in rows:
        print("    [" + ", ".join(repr(float(v)) for v in row[:22]) + "],")
    print("];\n")


def main() -> None:
    print("//! Coefficients of the special functions, written by tools/special_tables.py.")
    print('#![allow(clippy::excessive_precision, clippy::unreadable_literal, reason = "written by a program")]\n')
    k = mp.mpf(15) / 4
    x = lambda t: k * (1 + t) / (1 - t)  # noqa: E731
    show(
        "ERFCX",
        "(1 + 2x) exp(x²) erfc(x), x >= 0, by t = (x - 3.75) / (x + 3.75).",
        chebyshev(lambda t: 2 / mp.sqrt(mp.pi) if t >= 1 else (1 + 2 * x(t)) * mp.exp(x(t) ** 2) * mp.erfc(x(t))),
    )
    scaled_bessel()
    root = mp.findroot(mp.digamma, 1.46)
    number("DIGAMMA_ROOT", "The positive root of digamma", root)
    show(
        "DIGAMMA_AT_ROOT",
        "The Taylor series of digamma at its positive root, without the constant.",
        taylor(mp.digamma, root, 26)[1:],
    )
    root = mp.findroot(mp.digamma, -0.504)
    number("DIGAMMA_NEGATIVE_ROOT", "The root of digamma next to -1/2", root)
    show(
        "DIGAMMA_AT_NEGATIVE_ROOT", "The Taylor series of digamma there, without the constant.", taylor(mp.digamma, root, 24)[1:]
    )
    number("EXPI_ROOT", "The root of the exponential integral Ei", mp.findroot(mp.ei, 0.3725))
    show("BERNOULLI", "B_2j / (2j)!, j = 1, 2, …", [mp.bernoulli(2 * j) / mp.factorial(2 * j) for j in range(1, 15)])
    temme()


if __name__ == "__main__":
    main()
