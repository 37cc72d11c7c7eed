"""First values of parameters. Every function changes its argument in place, off the tape, and returns it.

Fans are PyTorch's: of a weight (out, in, *kernel), fan_in is in x kernel and fan_out is out x kernel.
"""

from __future__ import annotations

from math import prod, sqrt

from .. import _core
from .state import assign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from .._core import Generator, Variable

    V = TypeVar("V", bound=Variable)

_GAINS = {"tanh": 5.0 / 3, "relu": sqrt(2.0), "selu": 0.75}
_LINEAR = ["linear", "identity", "sigmoid", "conv1d", "conv2d", "conv3d"]
_LINEAR += ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the size of values through an activation; ``param`` is leaky_relu's slope.

    >>> tg.nn.init.calculate_gain("tanh") == 5 / 3
    True
    """
    if nonlinearity == "leaky_relu":
        _core._number("calculate_gain", "param", param)
        slope = 0.01 if param is None else float(param)
        return sqrt(2.0 / (1 + slope**2))
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted({*_GAINS, "leaky_relu", "linear", "sigmoid"}))
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are {known}")
    return _GAINS[nonlinearity]


def _numbers(function: str, **parameters: float) -> None:
    """Raises when a number is a Variable that requires gradients: the first values of parameters have no graph."""
    for name, value in parameters.items():
        _core._number(function, name, value)


def fans(tensor: Variable) -> tuple[int, int]:
    """Inputs and outputs that one entry of a weight connects: (fan_in, fan_out).

    >>> tg.nn.init.fans(tg.zeros((8, 4, 3, 3)))
    (36, 72)
    """
    shape = tensor.shape
    if len(shape) < 2:
        raise _core.ShapeError(f"fan in and fan out need a weight of at least 2 dimensions, got shape {shape}")
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def uniform_(tensor: V, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> V:
    """Uniform in [a, b).

    >>> bool(tg.all(tg.abs(tg.nn.init.uniform_(tg.zeros((9,)), -2.0, 2.0)) <= 2.0))
    True
    """
    _numbers("uniform_", a=a, b=b)
    draw = _core.uniform if generator is None else generator.uniform
    assign(tensor, draw(a, b, tensor.shape, dtype=tensor.dtype))
    return tensor


def normal_(tensor: V, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> V:
    """Normal with this mean and standard deviation.

    >>> tg.nn.init.normal_(tg.zeros((2, 3))).shape
    (2, 3)
    """
    _numbers("normal_", mean=mean, std=std)
    draw = _core.normal if generator is None else generator.normal
    assign(tensor, draw(mean, std, tensor.shape, dtype=tensor.dtype))
    return tensor


def constant_(tensor: V, val: float) -> V:
    """``val`` everywhere.

    >>> tg.nn.init.constant_(tg.zeros((2,)), 3.0).tolist()
    [3.0, 3.0]
    """
    _numbers("constant_", val=val)
    assign(tensor, val)
    return tensor


def zeros_(tensor: V) -> V:
    """0 everywhere.

    >>> tg.nn.init.zeros_(tg.ones((2,))).tolist()
    [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def ones_(tensor: V) -> V:
    """1 everywhere.

    >>> tg.nn.init.ones_(tg.zeros((2,))).tolist()
    [1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: V, gain: float = 1.0, generator: Generator | None = None) -> V:
    """Uniform with variance ``gain² 2 / (fan_in + fan_out)`` (Glorot).

    >>> tg.nn.init.xavier_uniform_(tg.zeros((2, 3))).shape
    (2, 3)
    """
    _numbers("xavier_uniform_", gain=gain)
    bound = sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: V, gain: float = 1.0, generator: Generator | None = None) -> V:
    """Normal with variance ``gain² 2 / (fan_in + fan_out)`` (Glorot).

    >>> tg.nn.init.xavier_normal_(tg.zeros((2, 3))).shape
    (2, 3)
    """
    _numbers("xavier_normal_", gain=gain)
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: V,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> V:
    """Uniform with variance ``gain² / fan`` (He); ``a`` is the slope of leaky_relu.

    >>> tg.nn.init.kaiming_uniform_(tg.zeros((2, 3)), nonlinearity="relu").shape
    (2, 3)
    """
    _numbers("kaiming_uniform_", a=a)
    bound = sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: V,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> V:
    """Normal with variance ``gain² / fan`` (He); ``a`` is the slope of leaky_relu.

    >>> tg.nn.init.kaiming_normal_(tg.zeros((2, 3)), mode="fan_out").shape
    (2, 3)
    """
    _numbers("kaiming_normal_", a=a)
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _xavier_std(tensor: Variable, gain: float) -> float:
    total = sum(fans(tensor))
    return gain * sqrt(2.0 / total) if total else 0.0


def _kaiming_std(tensor: Variable, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / sqrt(fan) if fan else 0.0
