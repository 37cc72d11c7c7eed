"""Test problems of Hock and Schittkowski, Test Examples for Nonlinear Programming Codes (1981), with their least values.

Functions take arrays of NumPy or Variables: they use operators and indices alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Problem(NamedTuple):
    fun: Any
    start: list[float]
    least: float
    equal: Any = None
    #: What must not be negative.
    positive: Any = None
    bounds: Any = None


def _hs43(x: Any) -> list[Any]:
    return [
        8 - x[0] ** 2 - x[1] ** 2 - x[2] ** 2 - x[3] ** 2 - x[0] + x[1] - x[2] + x[3],
        10 - x[0] ** 2 - 2 * x[1] ** 2 - x[2] ** 2 - 2 * x[3] ** 2 + x[0] + x[3],
        5 - 2 * x[0] ** 2 - x[1] ** 2 - x[2] ** 2 - 2 * x[0] + x[1] + x[3],
    ]


def _hs100(x: Any) -> list[Any]:
    return [
        127 - 2 * x[0] ** 2 - 3 * x[1] ** 4 - x[2] - 4 * x[3] ** 2 - 5 * x[4],
        282 - 7 * x[0] - 3 * x[1] - 10 * x[2] ** 2 - x[3] + x[4],
        196 - 23 * x[0] - x[1] ** 2 - 6 * x[5] ** 2 + 8 * x[6],
        -4 * x[0] ** 2 - x[1] ** 2 + 3 * x[0] * x[1] - 2 * x[2] ** 2 - 5 * x[5] + 11 * x[6],
    ]


PROBLEMS = {
    "hs6": Problem(lambda x: (1 - x[0]) ** 2, [-1.2, 1.0], 0.0, lambda x: [10 * (x[1] - x[0] ** 2)]),
    "hs10": Problem(
        lambda x: x[0] - x[1], [-10.0, 10.0], -1.0, None, lambda x: [1 - 3 * x[0] ** 2 + 2 * x[0] * x[1] - x[1] ** 2]
    ),
    "hs12": Problem(
        lambda x: 0.5 * x[0] ** 2 + x[1] ** 2 - x[0] * x[1] - 7 * x[0] - 7 * x[1],
        [0.0, 0.0],
        -30.0,
        None,
        lambda x: [25 - 4 * x[0] ** 2 - x[1] ** 2],
    ),
    "hs24": Problem(
        lambda x: ((x[0] - 3) ** 2 - 9) * x[1] ** 3 / (27 * 3**0.5),
        [1.0, 0.5],
        -1.0,
        None,
        lambda x: [x[0] / 3**0.5 - x[1], x[0] + 3**0.5 * x[1], 6 - x[0] - 3**0.5 * x[1]],
        [(0, None)] * 2,
    ),
    "hs28": Problem(
        lambda x: (x[0] + x[1]) ** 2 + (x[1] + x[2]) ** 2, [-4.0, 1.0, 1.0], 0.0, lambda x: [x[0] + 2 * x[1] + 3 * x[2] - 1]
    ),
    "hs35": Problem(
        lambda x: (
            9 - 8 * x[0] - 6 * x[1] - 4 * x[2] + 2 * x[0] ** 2 + 2 * x[1] ** 2 + x[2] ** 2 + 2 * x[0] * x[1] + 2 * x[0] * x[2]
        ),
        [0.5, 0.5, 0.5],
        1 / 9,
        None,
        lambda x: [3 - x[0] - x[1] - 2 * x[2]],
        [(0, None)] * 3,
    ),
    "hs39": Problem(
        lambda x: -x[0], [2.0, 2.0, 2.0, 2.0], -1.0, lambda x: [x[1] - x[0] ** 3 - x[2] ** 2, x[0] ** 2 - x[1] - x[3] ** 2]
    ),
    "hs40": Problem(
        lambda x: -x[0] * x[1] * x[2] * x[3],
        [0.8, 0.8, 0.8, 0.8],
        -0.25,
        lambda x: [x[0] ** 3 + x[1] ** 2 - 1, x[0] ** 2 * x[3] - x[2], x[3] ** 2 - x[1]],
    ),
    "hs43": Problem(
        lambda x: x[0] ** 2 + x[1] ** 2 + 2 * x[2] ** 2 + x[3] ** 2 - 5 * x[0] - 5 * x[1] - 21 * x[2] + 7 * x[3],
        [0.0, 0.0, 0.0, 0.0],
        -44.0,
        None,
        _hs43,
    ),
    "hs71": Problem(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        [1.0, 5.0, 5.0, 1.0],
        17.014017289,
        lambda x: [x[0] ** 2 + x[1] ** 2 + x[2] ** 2 + x[3] ** 2 - 40],
        lambda x: [x[0] * x[1] * x[2] * x[3] - 25],
        [(1, 5)] * 4,
    ),
    "hs76": Problem(
        lambda x: (
            x[0] ** 2 + 0.5 * x[1] ** 2 + x[2] ** 2 + 0.5 * x[3] ** 2 - x[0] * x[2] + x[2] * x[3] - x[0] - 3 * x[1] + x[2] - x[3]
        ),
        [0.5, 0.5, 0.5, 0.5],
        -4.681818181,
        None,
        lambda x: [
            5 - x[0] - 2 * x[1] - x[2] - x[3],
            4 - 3 * x[0] - x[1] - 2 * x[2] + x[3],
            x[1] + 4 * x[2] - 1.5,
        ],
        [(0, None)] * 4,
    ),
    "hs100": Problem(
        lambda x: (
            (x[0] - 10) ** 2
            + 5 * (x[1] - 12) ** 2
            + x[2] ** 4
            + 3 * (x[3] - 11) ** 2
            + 10 * x[4] ** 6
            + 7 * x[5] ** 2
            + x[6] ** 4
            - 4 * x[5] * x[6]
            - 10 * x[5]
            - 8 * x[6]
        ),
        [1.0, 2.0, 0.0, 4.0, 0.0, 1.0, 1.0],
        680.6300573,
        None,
        _hs100,
    ),
}
