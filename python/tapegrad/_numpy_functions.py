"""NumPy's functions outside the array API: composed of recorded operations, or computed by NumPy where there is no derivative."""

from __future__ import annotations

from math import pi

from . import _core
from ._core import Variable
from ._named import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = [
    "asanyarray",
    "asarray_chkfinite",
    "ascontiguousarray",
    "asfortranarray",
    "bartlett",
    "bitwise_count",
    "blackman",
    "choose",
    "common_type",
    "diag_indices",
    "diag_indices_from",
    "divmod",
    "einsum_path",
    "frexp",
    "fromfunction",
    "gcd",
    "geomspace",
    "hamming",
    "hanning",
    "histogram2d",
    "histogramdd",
    "i0",
    "identity",
    "indices",
    "iscomplex",
    "iscomplexobj",
    "isreal",
    "isrealobj",
    "isscalar",
    "ix_",
    "kaiser",
    "lcm",
    "lexsort",
    "mask_indices",
    "may_share_memory",
    "min_scalar_type",
    "modf",
    "packbits",
    "promote_types",
    "ravel_multi_index",
    "real_if_close",
    "require",
    "shares_memory",
    "sort_complex",
    "spacing",
    "tril_indices",
    "tril_indices_from",
    "trim_zeros",
    "triu_indices",
    "triu_indices_from",
    "unpackbits",
    "unravel_index",
    "unwrap",
    "vectorize",
]


def plain(value: Any) -> Any:
    """The data of Variables, also in lists and tuples, for NumPy."""
    if isinstance(value, Variable):
        return value.detach().numpy()
    if type(value) in (list, tuple):
        return type(value)(plain(v) for v in value)
    return value


def _wrapped(value: Any) -> Any:
    import numpy as np

    if isinstance(value, (np.ndarray, np.generic)):
        return _core.asarray(value)
    return tuple(map(_wrapped, value)) if type(value) in (list, tuple) else value


def _of_data(name: str, doc: str) -> Callable[..., Any]:
    """Wraps a NumPy function without derivative: it runs on the data of Variables, and arrays in its result become Variables."""

    def call(*args: Any, **options: Any) -> Any:
        import numpy as np

        return _wrapped(getattr(np, name)(*map(plain, args), **{k: plain(v) for k, v in options.items()}))

    head, _, example = doc.replace("\n    ", "\n").rstrip().partition("\n\n")
    return named(call, name, f"{head}\n\nNumPy's function, with its arguments; its result has no derivative.\n\n{example}\n")


bitwise_count = _of_data(
    "bitwise_count",
    """How many bits of the absolute value are 1.

    >>> tg.bitwise_count(tg.tensor([7, 8]))
    Variable([3, 1], dtype=uint8)
    """,
)
common_type = _of_data(
    "common_type",
    """The floating or complex type that holds the numbers of all arrays.

    >>> tg.common_type(tg.tensor([1]), tg.ones(1)).__name__
    'float64'
    """,
)
diag_indices = _of_data(
    "diag_indices",
    """The places of the diagonal of an array of ndim axes of length n.

    >>> tg.diag_indices(3)
    (Variable([0, 1, 2]), Variable([0, 1, 2]))
    """,
)
diag_indices_from = _of_data(
    "diag_indices_from",
    """The places of the diagonal of an array whose axes have one length.

    >>> tg.diag_indices_from(tg.ones((2, 2)))
    (Variable([0, 1]), Variable([0, 1]))
    """,
)
einsum_path = _of_data(
    "einsum_path",
    """A cheap order of the contractions of an einsum, and a text about it.

    >>> tg.einsum_path("ij,jk,kl->il", tg.ones((2, 3)), tg.ones((3, 4)), tg.ones((4, 5)))[0]
    ('einsum_path', (1, 2), (0, 1))
    """,
)
gcd = _of_data(
    "gcd",
    """The greatest common divisor of integers.

    >>> tg.gcd(tg.tensor([12, 20]), 8)
    Variable([4, 4])
    """,
)
iscomplex = _of_data(
    "iscomplex",
    """Where the imaginary part is not zero.

    >>> tg.iscomplex(tg.tensor([1 + 0j, 2j]))
    Variable([False,  True])
    """,
)
iscomplexobj = _of_data(
    "iscomplexobj",
    """Whether the dtype is complex.

    >>> tg.iscomplexobj(tg.tensor([1 + 0j]))
    True
    """,
)
isreal = _of_data(
    "isreal",
    """Where the imaginary part is zero.

    >>> tg.isreal(tg.tensor([1 + 0j, 2j]))
    Variable([ True, False])
    """,
)
isrealobj = _of_data(
    "isrealobj",
    """Whether the dtype is not complex.

    >>> tg.isrealobj(tg.ones(2))
    True
    """,
)
ix_ = _of_data(
    "ix_",
    """Indices that choose these rows and these columns.

    >>> tg.tensor([[1, 2, 3], [4, 5, 6]])[tg.ix_([0, 1], [0, 2])]
    Variable([[1, 3],
              [4, 6]])
    """,
)
lcm = _of_data(
    "lcm",
    """The least common multiple of integers.

    >>> tg.lcm(tg.tensor([4, 6]), 10)
    Variable([20, 30])
    """,
)
lexsort = _of_data(
    "lexsort",
    """The order that sorts by the last key, then by the one before it, and so on.

    >>> tg.lexsort((tg.tensor([1, 0, 2]), tg.tensor([5, 5, 4])))
    Variable([2, 1, 0])
    """,
)
may_share_memory = _of_data(
    "may_share_memory",
    """Whether the memory of two arrays may overlap.

    >>> tg.may_share_memory(tg.ones(2), tg.ones(2))
    False
    """,
)
min_scalar_type = _of_data(
    "min_scalar_type",
    """The smallest dtype that holds a number.

    >>> tg.min_scalar_type(300)
    dtype('uint16')
    """,
)
packbits = _of_data(
    "packbits",
    """Bools as bits of bytes.

    >>> tg.packbits(tg.tensor([True, False, True]))
    Variable([160], dtype=uint8)
    """,
)
ravel_multi_index = _of_data(
    "ravel_multi_index",
    """Places along the axes of an array of shape dims as places in its flat form.

    >>> tg.ravel_multi_index((tg.tensor([0, 1]), tg.tensor([2, 0])), (2, 3))
    Variable([2, 3])
    """,
)
shares_memory = _of_data(
    "shares_memory",
    """Whether two arrays share memory.

    >>> tg.shares_memory(tg.ones(2), tg.ones(2))
    False
    """,
)
spacing = _of_data(
    "spacing",
    """The distance to the next number of the dtype.

    >>> tg.spacing(tg.tensor([1.0], dtype=tg.float64))
    Variable([2.22044605e-16], dtype=float64)
    """,
)
tril_indices = _of_data(
    "tril_indices",
    """The places of the lower triangle of an array with n rows.

    >>> tg.tril_indices(2)
    (Variable([0, 1, 1]), Variable([0, 0, 1]))
    """,
)
tril_indices_from = _of_data(
    "tril_indices_from",
    """The places of the lower triangle of this matrix.

    >>> tg.tril_indices_from(tg.ones((2, 2)))
    (Variable([0, 1, 1]), Variable([0, 0, 1]))
    """,
)
triu_indices = _of_data(
    "triu_indices",
    """The places of the upper triangle of an array with n rows.

    >>> tg.triu_indices(2)
    (Variable([0, 0, 1]), Variable([0, 1, 1]))
    """,
)
triu_indices_from = _of_data(
    "triu_indices_from",
    """The places of the upper triangle of this matrix.

    >>> tg.triu_indices_from(tg.ones((2, 2)))
    (Variable([0, 0, 1]), Variable([0, 1, 1]))
    """,
)
unpackbits = _of_data(
    "unpackbits",
    """The bits of bytes.

    >>> tg.unpackbits(tg.tensor([5], dtype=tg.uint8))
    Variable([0, 0, 0, 0, 0, 1, 0, 1], dtype=uint8)
    """,
)
unravel_index = _of_data(
    "unravel_index",
    """Places in the flat form of an array of this shape as places along its axes.

    >>> tg.unravel_index(tg.tensor([2, 3]), (2, 3))
    (Variable([0, 1]), Variable([2, 0]))
    """,
)


# ---- arrays from others ----


def asanyarray(a: Any, dtype: Any = None, order: str | None = None) -> Variable:
    """An array: see asarray.

    >>> tg.asanyarray([1, 2])
    Variable([1, 2])
    """
    return _core.asarray(a, dtype)


def ascontiguousarray(a: Any, dtype: Any = None) -> Variable:
    """An array of at least one axis whose elements stand in row-major order.

    >>> tg.ascontiguousarray(2.0)
    Variable([2.])
    """
    return _core.atleast_1d(_core.asarray(a, dtype)).contiguous()


def asfortranarray(a: Any, dtype: Any = None) -> Variable:
    """An array of at least one axis. Its layout is of no account here: NumPy's name for code that asks for one."""
    return _core.atleast_1d(_core.asarray(a, dtype))


def asarray_chkfinite(a: Any, dtype: Any = None, order: str | None = None) -> Variable:
    """An array, or a ValueError when it holds an infinity or NaN.

    >>> tg.asarray_chkfinite([1.0, 2.0])
    Variable([1., 2.])
    """
    x = _core.asarray(a, dtype)
    if (x.dtype.is_floating_point or x.dtype.is_complex) and not bool(_core.all(_core.isfinite(x.detach()))):
        raise ValueError("asarray_chkfinite: the array must not contain infinities or NaN")
    return x


def require(a: Any, dtype: Any = None, requirements: Any = None) -> Variable:
    """An array in row-major order; other requirements are about memory and have no meaning here.

    >>> tg.require([1.0, 2.0], dtype=tg.float64)
    Variable([1., 2.], dtype=float64)
    """
    x = _core.asarray(a, dtype)
    return x.contiguous() if requirements else x


def identity(n: int, dtype: Any = None) -> Variable:
    """The square matrix with ones on its diagonal: see eye.

    >>> tg.identity(2)
    Variable([[1., 0.],
              [0., 1.]])
    """
    return _core.eye(n, dtype=dtype)


def indices(dimensions: Sequence[int], dtype: Any = int, sparse: bool = False) -> Any:
    """The index along each axis, for every place of an array of this shape.

    >>> tg.indices((2, 2))[0]
    Variable([[0, 0],
              [1, 1]])
    """
    sizes, lines = tuple(dimensions), []
    for i, n in enumerate(sizes):
        line = _core.arange(n).astype(dtype).reshape((1,) * i + (n,) + (1,) * (len(sizes) - i - 1))
        lines.append(line if sparse else _core.broadcast_to(line, sizes))
    return tuple(lines) if sparse else _core.stack(lines) if lines else _core.zeros((0,), dtype=dtype)


def fromfunction(function: Callable[..., Any], shape: Sequence[int], *, dtype: Any = float, **kwargs: Any) -> Any:
    """The result of a function of the index arrays of this shape.

    >>> tg.fromfunction(lambda i, j: i + j, (2, 2))
    Variable([[0., 1.],
              [1., 2.]], dtype=float64)
    """
    return function(*indices(shape, dtype=dtype), **kwargs)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Variable:
    """Numbers in geometric progression.

    >>> tg.geomspace(1.0, 100.0, 3).round(4)
    Variable([  1.,  10., 100.])
    """
    from ._names import ends, linspace

    start, stop = (end + 0.0 for end in ends(start, stop, dtype))
    # A real or complex number of size one, by which both ends turn so that the start is positive.
    sign = _core.sign(start.detach())
    low, high = _core.log(_core.divide(start, sign)), _core.log(_core.divide(stop, sign))
    if sign.ndim:
        sign = _core.expand_dims(sign, axis)
    out = _core.multiply(sign, _core.exp(linspace(low, high, num, endpoint=endpoint, axis=axis)))
    # The ends are set exactly, so that a cast to integers keeps them.
    place = _core.reshape(_core.arange(num), tuple(num if a == axis % out.ndim else 1 for a in range(out.ndim)))
    first, last = (_core.expand_dims(v, axis) if out.ndim > v.ndim else v for v in (start, stop))
    out = _core.where(place == 0, first, out)
    if endpoint and num > 1:
        out = _core.where(place == num - 1, last, out)
    return out if dtype is None else out.astype(dtype)


# ---- elementwise ----


def divmod(x1: Any, x2: Any) -> tuple[Variable, Variable]:
    """Quotients rounded down, and remainders.

    >>> tg.divmod(tg.Variable([7.0]), 2.0)
    (Variable([3.]), Variable([1.]))
    """
    return _core.floor_divide(x1, x2), _core.remainder(x1, x2)


def modf(x: Any) -> tuple[Variable, Variable]:
    """Fractional and integral parts, with the sign of the number.

    >>> tg.modf(tg.Variable([1.5]))
    (Variable([0.5]), Variable([1.]))
    """
    x = _core.asarray(x)
    x = x if x.dtype.is_floating_point else x.astype(_core.get_default_dtype())
    whole = _core.trunc(x)
    return _core.where(_core.isinf(x), _core.copysign(0.0, x), _core.subtract(x, whole)), whole


def frexp(x: Any) -> tuple[Variable, Variable]:
    """Fractions between 0.5 and 1 and exponents of two, so that x is ``fraction * 2**exponent``.

    >>> tg.frexp(tg.Variable([8.0]))
    (Variable([0.5]), Variable([4], dtype=int32))
    """
    import numpy as np

    x = _core.asarray(x)
    exponent = _core.asarray(np.frexp(plain(x))[1])
    return _core.ldexp(x, -exponent), exponent


def i0(x: Any) -> Variable:
    """The modified Bessel function of the first kind and order 0.

    >>> tg.i0(tg.Variable([0.0]))
    Variable([1.])
    """
    from . import special

    return special.i0(x)


def real_if_close(a: Any, tol: float = 100) -> Variable:
    """The real parts, where all imaginary parts are within tol machine epsilons of zero; else the array.

    >>> tg.real_if_close(tg.Variable([1 + 0j]))
    Variable([1.])
    """
    x = _core.asarray(a)
    if not x.dtype.is_complex:
        return x
    if tol > 1:
        from ._dtypes import finfo

        tol *= finfo(x.dtype).eps
    close: bool = bool(_core.all(_core.abs(_core.imag(x.detach())) < tol))
    return _core.real(x) if close else x


def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * pi) -> Variable:
    """Angles without jumps: a step of more than half a period is changed by whole periods.

    >>> tg.unwrap(tg.Variable([0.0, 3.0, -3.0])).round(4)
    Variable([0.    , 3.    , 3.2832])
    """
    x = _core.asarray(p)
    x = x if x.dtype.is_floating_point else x.astype(_core.float64)
    step = _core.diff(x.detach(), axis=axis)
    half = period / 2
    turned = _core.remainder(step + half, period) - half
    turned = _core.where((turned == -half) & (step > 0), half, turned)
    change = _core.where(_core.abs(step) < (half if discont is None else discont), 0.0, turned - step)
    before = [(0, 0)] * x.ndim
    before[axis] = (1, 0)
    return x + _core.pad(_core.cumsum(change, axis), before)


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """At each place the element of the array that an index names; written into ``out`` if it is given.

    >>> tg.choose([1, 0], [[1.0, 2.0], [3.0, 4.0]])
    Variable([3., 2.])
    """
    from ._arrays import within
    from ._numpy_options import into

    given = list(_core.unstack(choices)) if isinstance(choices, Variable) else list(choices)
    index = within(a, mode, len(given), "choose")
    if mode == "raise" and bool(_core.any((index < 0) | (index >= len(given)))):
        raise ValueError(f"choose: an index is out of range for {len(given)} choices; mode='wrap' or 'clip' takes it")
    index, *arrays = _core.broadcast_arrays(index, *map(_core.asarray, given))
    return into("choose", out, _core.take_along_axis(_core.stack(arrays), _core.expand_dims(index, 0), 0)[0], "")


# ---- orders, bins, ends ----


def sort_complex(a: Any) -> Variable:
    """The elements as complex numbers, sorted by their real parts and then by their imaginary parts.

    >>> tg.sort_complex(tg.Variable([2.0, 1.0]))
    Variable([1.+0.j, 2.+0.j])
    """
    import numpy as np

    x = _core.asarray(a)
    x = x if x.dtype.is_complex else x.astype(_core.complex128 if x.dtype == _core.float64 else _core.complex64)
    return _core.take_along_axis(x, _core.asarray(np.argsort(plain(x), axis=-1)), -1)


def trim_zeros(filt: Any, trim: str = "fb") -> Variable:
    """A vector without the zeros at its front ("f") and its back ("b").

    >>> tg.trim_zeros(tg.Variable([0.0, 1.0, 0.0]))
    Variable([1.])
    """
    x = _core.asarray(filt)
    if x.ndim != 1:
        raise _core.ShapeError(f"trim_zeros: expected a vector, got shape {x.shape}")
    trim = str(trim).lower()
    if trim not in ("fb", "bf", "f", "b"):
        raise ValueError(f"trim_zeros: trim is {trim!r}, expected 'f', 'b' or 'fb'")
    places = [i for i, v in enumerate(plain(x).tolist()) if v != 0]
    if not places:
        return x[:0]
    first = places[0] if "f" in trim else 0
    return x[first : places[-1] + 1 if "b" in trim else x.size]


def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None) -> Any:
    """Counts of points, or sums of their weights, in boxes; and the edges of the boxes along each axis. Weights record.

    >>> counts, edges = tg.histogramdd(tg.Variable([[0.1, 0.1], [0.9, 0.9]]), bins=2, range=[(0, 1), (0, 1)])
    >>> counts.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    listed = isinstance(sample, (list, tuple))  # a list holds the coordinates of all points, axis by axis
    points = _core.stack([_core.asarray(c) for c in sample], axis=1) if listed else _core.asarray(sample)
    columns = _core.unstack(points if points.ndim == 2 else points.reshape(-1, 1), axis=1)
    kinds = [bins] * len(columns) if isinstance(bins, (int, str)) else bins
    ranges = [None] * len(columns) if range is None else range
    edges = [_core.histogram_bin_edges(*triple) for triple in zip(columns, kinds, ranges, strict=True)]
    index, inside = _core.zeros(points.shape[0], dtype=_core.int64), _core.ones(points.shape[0], dtype=bool)
    for column, edge in zip(columns, edges, strict=True):
        last = edge.size - 2
        place = _core.searchsorted(edge, column, side="right") - 1
        place = _core.where(column == edge[-1], last, place)
        inside = inside & (place >= 0) & (place <= last)
        index = index * (last + 1) + _core.clip(place, 0, last)
    shape = tuple(e.size - 1 for e in edges)
    mass = _core.ones(points.shape[0], dtype=_core.float64) if weights is None else _core.asarray(weights) + 0.0
    mass = _core.where(inside, mass, _core.zeros((), dtype=mass.dtype))
    size = 1
    for n in shape:
        size *= n
    counts = _core.bincount(index, mass, size).reshape(shape)
    if density:
        for i, edge in enumerate(edges):
            counts = counts / _core.diff(edge).reshape((-1,) + (1,) * (len(edges) - i - 1))
        counts = counts / _core.sum(mass)
    return counts, tuple(edges)


def histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None) -> Any:
    """Counts of points in rectangles, and the edges along both axes: see histogramdd.

    >>> tg.histogram2d([0.1, 0.9], [0.1, 0.9], bins=2)[0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if not isinstance(bins, int) and len(bins) != 2:
        bins = [bins, bins]
    counts, edges = histogramdd([x, y], bins, range, density, weights)
    return (counts, *edges)


def mask_indices(n: int, mask_func: Callable[..., Any], k: Any = 0) -> Any:
    """The places at which a function such as triu leaves the elements of an n by n matrix.

    >>> tg.mask_indices(2, tg.triu)
    (Variable([0, 0, 1]), Variable([0, 1, 1]))
    """
    return _core.nonzero(_core.asarray(mask_func(_core.ones((n, n)), k)))


# ---- windows ----


def _window(name: str, formula: Callable[[Variable], Variable], example: str) -> Callable[[int], Variable]:
    def call(M: int) -> Variable:
        if M < 1:
            return _core.zeros(0, dtype=_core.float64)
        n = _core.arange(1.0 - M, float(M), 2.0, dtype=_core.float64)
        return _core.ones(1, dtype=_core.float64) if M == 1 else formula(n / (M - 1))

    return named(
        call, name, f"The {name.capitalize()} window of M points, in float64.\n\n>>> tg.{name}(3).round(2).tolist()\n{example}\n"
    )


bartlett = _window("bartlett", lambda t: 1.0 - _core.abs(t), "[0.0, 1.0, 0.0]")
hanning = _window("hanning", lambda t: 0.5 + 0.5 * _core.cos(pi * t), "[0.0, 1.0, 0.0]")
hamming = _window("hamming", lambda t: 0.54 + 0.46 * _core.cos(pi * t), "[0.08, 1.0, 0.08]")
blackman = _window("blackman", lambda t: 0.42 + 0.5 * _core.cos(pi * t) + 0.08 * _core.cos(2 * pi * t), "[-0.0, 1.0, -0.0]")


def kaiser(M: int, beta: Any) -> Variable:
    """The Kaiser window of M points.

    >>> tg.kaiser(3, 0.0).tolist()
    [1.0, 1.0, 1.0]
    """
    beta = _core.asarray(beta, _core.float64)
    if M == 1:
        return _core.ones(1, dtype=_core.float64)
    t = _core.arange(1.0 - M, float(M), 2.0, dtype=_core.float64) / (M - 1)
    return i0(beta * _core.sqrt(1.0 - t * t)) / i0(beta)


# ---- functions of functions, questions ----


class vectorize:
    """A function of numbers, applied to every element of arrays, which broadcast. It is a loop in Python, and records.

    >>> tg.vectorize(lambda a, b: a if a > b else b)(tg.Variable([1.0, 5.0]), 3.0)
    Variable([3., 5.])
    """

    def __init__(self, pyfunc: Callable[..., Any], otypes: Any = None, doc: str | None = None) -> None:
        self.pyfunc = pyfunc
        self.otypes = otypes
        self.__doc__ = doc or pyfunc.__doc__
        self.__name__ = getattr(pyfunc, "__name__", "vectorize")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results, in arrays of the broadcast shape; a tuple of arrays for a function that gives a tuple."""
        arrays = _core.broadcast_arrays(*map(_core.asarray, args))
        shape = arrays[0].shape
        results = [self.pyfunc(*row, **kwargs) for row in zip(*(a.reshape(-1) for a in arrays), strict=True)]
        if not results:
            raise ValueError(f"vectorize: no elements in arrays of shape {shape}, so the type of the result is not known")
        several = isinstance(results[0], tuple)
        columns = zip(*results, strict=True) if several else [results]
        out = [_core.stack([_core.asarray(v) for v in column]).reshape(shape) for column in columns]
        if self.otypes is not None:
            kinds = self.otypes if isinstance(self.otypes, (list, tuple, str)) else [self.otypes]
            out = [x.astype(_kind(kind)) for x, kind in zip(out, kinds, strict=True)]
        return tuple(out) if several else out[0]


def _kind(kind: Any) -> Any:
    import numpy as np

    return np.dtype(kind)


def isscalar(element: Any) -> bool:
    """Whether something is a number or a string: no array, not even one without axes.

    >>> tg.isscalar(3.0), tg.isscalar(tg.Variable(3.0))
    (True, False)
    """
    import numpy as np

    return bool(np.isscalar(element))


def promote_types(type1: Any, type2: Any) -> _core.DType:
    """The dtype in which arrays of two dtypes meet.

    >>> tg.promote_types("float32", "float64").name
    'float64'
    """
    return _core.result_type(_core.DType(type1), _core.DType(type2))
