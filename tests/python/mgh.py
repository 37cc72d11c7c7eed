"""Test problems of Moré, Garbow and Hillstrom (Testing unconstrained optimization software, 1981)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable


class Problem(NamedTuple):
    """A sum of squares: its residuals, the standard start, and the sum at the known minima."""

    residuals: Callable[[Any], Any]
    start: list[float]
    least: tuple[float, ...]


def _v(values: Any) -> tg.Variable:
    return tg.Variable(np.asarray(values, dtype=float))


def _helical(x: Any) -> Any:
    theta = tg.atan2(x[1], x[0]) / (2 * np.pi)
    theta = tg.where(x[0] < 0, theta + tg.where(x[1] < 0, 1.0, 0.0), theta)
    return tg.stack([10 * (x[2] - 10 * theta), 10 * (tg.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


_BARD = _v([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


_GAUSS_HALF = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
_GAUSS = _v([*_GAUSS_HALF, 0.3989, *reversed(_GAUSS_HALF)])
_KOWALIK = _v([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = _v([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
_OSBORNE = _v(
    np.fromstring(
        "0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 0.718 0.685 0.658 0.628 0.603 0.580 "
        "0.558 0.538 0.522 0.506 0.490 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 0.414 0.411 0.406",
        sep=" ",
    )
)


def _bard(x: Any) -> Any:
    u = _v(np.arange(1, 16))
    v = 16 - u
    return _BARD - (x[0] + u / (v * x[1] + tg.minimum(u, v) * x[2]))


def _box(x: Any) -> Any:
    t = 0.1 * _v(np.arange(1, 11))
    return tg.exp(-t * x[0]) - tg.exp(-t * x[1]) - x[2] * (tg.exp(-t) - tg.exp(-10 * t))


def _wood(x: Any) -> Any:
    s90, s10 = 90**0.5, 10**0.5
    return tg.stack(
        [10 * (x[1] - x[0] ** 2), 1 - x[0], s90 * (x[3] - x[2] ** 2), 1 - x[2], s10 * (x[1] + x[3] - 2), (x[1] - x[3]) / s10]
    )


def _kowalik(x: Any) -> Any:
    u = _KOWALIK_U
    return _KOWALIK - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def _brown_dennis(x: Any) -> Any:
    t = _v(np.arange(1, 21)) / 5
    return (x[0] + t * x[1] - tg.exp(t)) ** 2 + (x[2] + x[3] * tg.sin(t) - tg.cos(t)) ** 2


def _osborne(x: Any) -> Any:
    t = 10.0 * _v(np.arange(33))
    return _OSBORNE - (x[0] + x[1] * tg.exp(-t * x[3]) + x[2] * tg.exp(-t * x[4]))


def _biggs(x: Any) -> Any:
    t = 0.1 * _v(np.arange(1, 14))
    y = tg.exp(-t) - 5 * tg.exp(-10 * t) + 3 * tg.exp(-4 * t)
    return x[2] * tg.exp(-t * x[0]) - x[3] * tg.exp(-t * x[1]) + x[5] * tg.exp(-t * x[4]) - y


def _dimensioned(x: Any) -> Any:
    s = tg.sum(_v(np.arange(1, 9)) * (x - 1))
    return tg.concatenate([x - 1, tg.stack([s, s**2])], axis=0)


def _broyden(x: Any) -> Any:
    below, above = tg.pad(x[:-1], (1, 0)), tg.pad(x[1:], (0, 1))
    return (3 - 2 * x) * x - below - 2 * above + 1


def _boundary(x: Any) -> Any:
    n = x.shape[0]
    h = 1 / (n + 1)
    below, above = tg.pad(x[:-1], (1, 0)), tg.pad(x[1:], (0, 1))
    return 2 * x - below - above + h * h * (x + h * _v(np.arange(1, n + 1)) + 1) ** 3 / 2


def _powell(x: Any) -> Any:
    return tg.stack([x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2])


_T10 = np.arange(1, 11) / 11
PROBLEMS: dict[str, Problem] = {
    "rosenbrock": Problem(lambda x: tg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]), [-1.2, 1.0], (0.0,)),
    "freudenstein-roth": Problem(
        lambda x: tg.stack([-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]]),
        [0.5, -2.0],
        (0.0, 48.98425),
    ),
    "powell badly scaled": Problem(
        lambda x: tg.stack([1e4 * x[0] * x[1] - 1, tg.exp(-x[0]) + tg.exp(-x[1]) - 1.0001]), [0.0, 1.0], (0.0,)
    ),
    "brown badly scaled": Problem(lambda x: tg.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2]), [1.0, 1.0], (0.0,)),
    "beale": Problem(
        lambda x: tg.stack([y - x[0] * (1 - x[1] ** k) for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))]), [1.0, 1.0], (0.0,)
    ),
    "jennrich-sampson": Problem(
        lambda x: 2 + 2 * _v(np.arange(1, 11)) - (tg.exp(_v(np.arange(1, 11)) * x[0]) + tg.exp(_v(np.arange(1, 11)) * x[1])),
        [0.3, 0.4],
        (124.362,),
    ),
    "helical valley": Problem(_helical, [-1.0, 0.0, 0.0], (0.0,)),
    "bard": Problem(_bard, [1.0, 1.0, 1.0], (8.21487e-3, 17.4286)),
    "gaussian": Problem(
        lambda x: x[0] * tg.exp(-x[1] * ((8 - _v(np.arange(1, 16))) / 2 - x[2]) ** 2 / 2) - _GAUSS, [0.4, 1.0, 0.0], (1.12793e-8,)
    ),
    "box": Problem(_box, [0.0, 10.0, 20.0], (0.0,)),
    "powell singular": Problem(_powell, [3.0, -1.0, 0.0, 1.0], (0.0,)),
    "wood": Problem(_wood, [-3.0, -1.0, -3.0, -1.0], (0.0,)),
    "kowalik-osborne": Problem(_kowalik, [0.25, 0.39, 0.415, 0.39], (3.07505e-4, 1.02734e-3)),
    "brown-dennis": Problem(_brown_dennis, [25.0, 5.0, -5.0, -1.0], (85822.2,)),
    "osborne 1": Problem(_osborne, [0.5, 1.5, -1.0, 0.01, 0.02], (5.46489e-5,)),
    "biggs exp6": Problem(_biggs, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0], (0.0, 5.65565e-3, 0.306)),
    "variably dimensioned": Problem(_dimensioned, (1 - np.arange(1, 9) / 8).tolist(), (0.0,)),
    "broyden tridiagonal": Problem(_broyden, [-1.0] * 10, (0.0,)),
    "discrete boundary value": Problem(_boundary, (_T10 * (_T10 - 1)).tolist(), (0.0,)),
}
#: The problems with as many equations as unknowns and a regular root.
SQUARE = ("rosenbrock", "powell badly scaled", "helical valley", "broyden tridiagonal", "discrete boundary value")
