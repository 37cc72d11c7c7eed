"""First values of parameters. Every function changes its argument in place, off the tape, and returns it.

Fans are PyTorch's: of a weight (out, in, *kernel), fan_in is in x kernel and fan_out is out x kernel.
"""

from __future__ import annotations

from math import ceil, prod, sqrt

from .. import _core
from .._generator import source
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
        raise _core.ShapeError(f"nn.init: fan in and fan out need a weight of at least 2 dimensions, got shape {shape}")
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def uniform_(tensor: V, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> V:
    """Uniform in [a, b).

    >>> bool(tg.all(tg.abs(tg.nn.init.uniform_(tg.zeros((9,)), -2.0, 2.0)) <= 2.0))
    True
    """
    _numbers("uniform_", a=a, b=b)
    draw = source(generator).uniform
    assign(tensor, draw(a, b, tensor.shape, dtype=tensor.dtype))
    return tensor


def normal_(tensor: V, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> V:
    """Normal with this mean and standard deviation.

    >>> tg.nn.init.normal_(tg.zeros((2, 3))).shape
    (2, 3)
    """
    _numbers("normal_", mean=mean, std=std)
    draw = source(generator).normal
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
        raise ValueError(f"nn.init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / sqrt(fan) if fan else 0.0


def trunc_normal_(
    tensor: V, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> V:
    """Normal with this mean and standard deviation, of which only values in [a, b] are taken.

    >>> bool(tg.all(tg.abs(tg.nn.init.trunc_normal_(tg.zeros((99,)))) <= 2.0))
    True
    """
    from statistics import NormalDist

    _numbers("trunc_normal_", mean=mean, std=std, a=a, b=b)
    if not a < b:
        raise ValueError(f"trunc_normal_: a {a} must be below b {b}")
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be positive, not {std}")
    cdf = NormalDist(mean, std).cdf
    low, high = cdf(a), cdf(b)
    if high - low < 0.05:  # rejection sampling would take long
        assign(tensor, _by_quantiles(tensor, mean, std, a, b, generator))
        return tensor
    draw = source(generator).normal
    value = draw(mean, std, tensor.shape, dtype=tensor.dtype)
    while True:
        outside = _core.logical_or(value < a, value > b)
        if not _core.any(outside).item():
            break
        value = _core.where(outside, draw(mean, std, tensor.shape, dtype=tensor.dtype), value)
    assign(tensor, value)
    return tensor


def _by_quantiles(tensor: Variable, mean: float, std: float, a: float, b: float, generator: Generator | None) -> Variable:
    """A normal distribution truncated to [a, b], sampled by quantiles: for intervals that normal numbers seldom hit."""
    from statistics import NormalDist

    draw = source(generator).uniform
    # The nearer tail is used, where the quantiles are exact.
    mirrored = a > mean
    low, high = (2 * mean - b, 2 * mean - a) if mirrored else (a, b)
    normal = NormalDist(mean, std)
    p, q = normal.cdf(low), normal.cdf(high)
    shares = draw(0.0, 1.0, (tensor.size,), dtype=_core.float64).tolist()
    out = []
    for share in shares:
        place = p + (q - p) * share
        x = normal.inv_cdf(place) if 0.0 < place < 1.0 else low + (high - low) * share
        x = min(max(x, low), high)
        out.append(2 * mean - x if mirrored else x)
    return _core.reshape(_core.asarray(out, dtype=tensor.dtype), tensor.shape)


def eye_(tensor: V) -> V:
    """The identity matrix; the argument must have 2 dimensions.

    >>> tg.nn.init.eye_(tg.zeros((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.ndim != 2:
        raise _core.ShapeError(f"eye_: expected 2 dimensions, got shape {tensor.shape}")
    assign(tensor, _core.eye(tensor.shape[0], tensor.shape[1], dtype=tensor.dtype))
    return tensor


def dirac_(tensor: V, groups: int = 1) -> V:
    """A weight (out, in, *kernel) of a convolution that keeps its input, as many channels of it as it can.

    >>> tg.nn.init.dirac_(tg.zeros((2, 2, 3))).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    if tensor.ndim not in (3, 4, 5):
        raise _core.ShapeError(f"dirac_: expected 3, 4 or 5 dimensions, got shape {tensor.shape}")
    rows, columns, *kernel = tensor.shape
    if groups < 1 or rows % groups:
        raise ValueError(f"dirac_: {rows} output channels cannot be divided into {groups} groups")
    out = rows // groups
    value = _core.zeros(tensor.shape, dtype=tensor.dtype)
    middle = tuple(n // 2 for n in kernel)
    for group in range(groups):
        for i in range(min(out, columns)):
            value[(group * out + i, i, *middle)] = 1.0
    assign(tensor, value)
    return tensor


def orthogonal_(tensor: V, gain: float = 1.0, generator: Generator | None = None) -> V:
    """Orthonormal rows or columns, times ``gain`` (Saxe et al. 2013); axes behind the first count as one.

    >>> w = tg.nn.init.orthogonal_(tg.zeros((2, 5)))
    >>> bool(tg.max(tg.abs(w @ w.T - tg.eye(2))).item() < 1e-5)
    True
    """
    import numpy as np

    _numbers("orthogonal_", gain=gain)
    if tensor.ndim < 2:
        raise _core.ShapeError(f"orthogonal_: expected at least 2 dimensions, got shape {tensor.shape}")
    if not tensor.size:
        return tensor
    rows, columns = tensor.shape[0], tensor.size // tensor.shape[0]
    draw = source(generator).normal
    flat = draw(0.0, 1.0, (rows, columns), dtype=_core.float64).numpy()
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    q = np.ascontiguousarray(q.T if rows < columns else q) * gain
    assign(tensor, _core.reshape(_core.array(q), tensor.shape).astype(tensor.dtype))
    return tensor


def sparse_(tensor: V, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> V:
    """Normal with standard deviation ``std``, but for the share ``sparsity`` of each column, which is 0.

    >>> int((tg.nn.init.sparse_(tg.zeros((10, 3)), 0.2) == 0.0).sum().item())
    6
    """
    _numbers("sparse_", sparsity=sparsity, std=std)
    if tensor.ndim != 2:
        raise _core.ShapeError(f"sparse_: expected 2 dimensions, got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must lie between 0 and 1, not {sparsity}")
    rows, columns = tensor.shape
    normal_(tensor, 0.0, std, generator)
    shuffle = source(generator).permutation
    zeros = ceil(sparsity * rows)
    keep = _core.ones(tensor.shape, dtype=tensor.dtype)
    for column in range(columns):
        keep[shuffle(rows)[:zeros], column] = 0.0
    assign(tensor, tensor.detach() * keep)
    return tensor


_calculate_fan_in_and_fan_out = fans


def _calculate_correct_fan(tensor: Variable, mode: str) -> int:
    return fans(tensor)[mode == "fan_out"]


# PyTorch's older names.
uniform, normal, constant = uniform_, normal_, constant_
xavier_uniform, xavier_normal = xavier_uniform_, xavier_normal_
kaiming_uniform, kaiming_normal = kaiming_uniform_, kaiming_normal_
orthogonal, sparse, eye, dirac = orthogonal_, sparse_, eye_, dirac_
