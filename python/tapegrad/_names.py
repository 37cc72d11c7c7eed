"""Creation functions that take PyTorch's arguments, and functions that PyTorch's users look for at the top of the package."""

from __future__ import annotations

from operator import index

from . import _core
from ._core import Variable
from ._generator import source
from ._habits import METHODS, TENSORS, Size, _TensorMeta, check_device, device
from .autograd import is_grad_enabled, no_grad, set_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeGuard, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])

    Tensor = Variable
    FloatTensor = DoubleTensor = HalfTensor = BFloat16Tensor = LongTensor = Variable
    IntTensor = ShortTensor = CharTensor = ByteTensor = BoolTensor = Variable
else:
    #: Every Variable is an instance; ``Tensor(2, 3)`` and ``Tensor([1, 2])`` make one of the default dtype, as in PyTorch.
    Tensor = _TensorMeta(
        "Tensor", (), {"__module__": "tapegrad", "__doc__": "The arrays of the default dtype, to PyTorch's users."}
    )
    for _name, _dtype in TENSORS.items():
        globals()[_name] = _TensorMeta(_name, (), {"__module__": "tapegrad", "__doc__": f"The arrays of dtype {_dtype}."})


# ---- creation ----


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Variable:
    """An array of a copy of ``data``: numbers, nested lists, NumPy arrays, Variables (without their graph).

    >>> tg.tensor([[1.0, 2.0]], requires_grad=True)
    Variable([[1., 2.]], requires_grad=True)
    """
    check_device(device)
    found = _core.array(data.detach() if isinstance(data, Variable) else data, dtype)
    return (found.detach() if found.requires_grad else found).requires_grad_(True) if requires_grad else found


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Variable:
    """An array of ``data``, shared where possible; a Variable keeps its graph.

    >>> tg.as_tensor([1, 2])
    Variable([1, 2])
    """
    check_device(device)
    return _core.asarray(data, dtype)


def from_numpy(ndarray: Any) -> Variable:
    """An array that shares the memory of a NumPy array.

    >>> import numpy as np
    >>> tg.from_numpy(np.zeros(2))
    Variable([0., 0.], dtype=float64)
    """
    if not hasattr(ndarray, "__array_interface__"):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}; use tg.as_tensor")
    return _core.asarray(ndarray)


def scalar_tensor(value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Variable:
    """An array of one number without axes.

    >>> tg.scalar_tensor(2.5)
    Variable(2.5)
    """
    return tensor(value, dtype=dtype, device=device, requires_grad=requires_grad)


#: Keywords that say how PyTorch lays memory out, not what an array is.
_HOW = ("layout", "pin_memory", "memory_format")


def _made(x: Variable, requires_grad: bool, place: Any) -> Variable:
    check_device(place)
    return x.requires_grad_(True) if requires_grad else x


def _sizes(name: str, args: tuple[Any, ...], dtype: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    """The shape and the dtype of ``zeros(2, 3)``, ``zeros((2, 3), dtype)``, ``zeros(shape=…)`` and ``zeros(size=…)``."""
    for key in _HOW:
        named.pop(key, None)
    for key in ("shape", "size"):
        if key in named and not args:
            args = (named.pop(key),)
    if named:
        raise TypeError(
            f"{name}() got an unexpected keyword argument {next(iter(named))!r}; expected shape, dtype, requires_grad and device"
        )
    if not args:
        raise TypeError(f"{name}() missing required argument 'shape'")
    if len(args) == 1:
        return args[0], dtype
    try:
        return tuple(index(n) for n in args), dtype
    except TypeError:
        if len(args) == 2 and dtype is None:
            return args
        raise TypeError(f"{name}() takes a shape and a dtype, or several ints, got {len(args)} arguments") from None


def _shaped(shape: Any, dtype: Any = None, *, requires_grad: bool = False, device: Any = None) -> Variable:
    """The signature of zeros, ones and empty. Several ints, as PyTorch writes them, are taken beside it."""
    return zeros(shape, dtype=dtype, requires_grad=requires_grad, device=device)


def _takes(names: str) -> Callable[[_F], _F]:
    """A function that takes PyTorch's names of its parameters, too: words as ``input=x``."""
    pairs = [word.split("=") for word in names.split()]

    def decorate(f: _F) -> _F:
        def call(*args: Any, **options: Any) -> Any:
            for theirs, ours in pairs:
                if theirs in options:
                    if ours in options:
                        raise TypeError(f"{f.__name__}() got both {theirs}= and {ours}=, which are one argument")
                    options[ours] = options.pop(theirs)
            return f(*args, **options)

        return _like(f, call)

    return decorate


def _takes_size(f: _F) -> _F:
    """A function of sizes that takes them as ``size=``, too."""

    def call(*args: Any, size: Any = None, **options: Any) -> Any:
        return f(*args, **options) if size is None else f(size, *args, **options)

    return _like(f, call)


def _like(f: _F, call: Any) -> _F:
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(call, name, getattr(f, name))
    call.__wrapped__ = f
    return call  # type: ignore[no-any-return]


def zeros(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **named: Any) -> Variable:
    """All elements 0: ``zeros((2, 3))`` or ``zeros(2, 3)``. The default dtype is ``get_default_dtype()``.

    >>> tg.zeros(2)
    Variable([0., 0.])
    """
    if len(shape) == 1 and not (named or requires_grad or device):
        return _core.zeros(shape[0], dtype)
    size, dtype = _sizes("zeros", shape, dtype, named)
    return _made(_core.zeros(size, dtype), requires_grad, device)


def ones(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **named: Any) -> Variable:
    """All elements 1: ``ones((2, 3))`` or ``ones(2, 3)``. The default dtype is ``get_default_dtype()``.

    >>> tg.ones(2)
    Variable([1., 1.])
    """
    if len(shape) == 1 and not (named or requires_grad or device):
        return _core.ones(shape[0], dtype)
    size, dtype = _sizes("ones", shape, dtype, named)
    return _made(_core.ones(size, dtype), requires_grad, device)


def empty(*shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **named: Any) -> Variable:
    """An array whose elements are not set: ``empty((2, 3))`` or ``empty(2, 3)``.

    >>> tg.empty(2, 0).shape
    (2, 0)
    """
    size, dtype = _sizes("empty", shape, dtype, named)
    return _made(_core.empty(size, dtype), requires_grad, device)


zeros.__wrapped__ = ones.__wrapped__ = empty.__wrapped__ = _shaped  # type: ignore[attr-defined]


def _with_options(name: str) -> Any:
    make = getattr(_core, name)

    def create(*args: Any, requires_grad: bool = False, device: Any = None, **named: Any) -> Variable:
        for key in _HOW:
            named.pop(key, None)
        if "size" in named:
            named["shape"] = named.pop("size")
        if name == "arange" and not args and "end" in named and "start" not in named:
            args = (named.pop("end"),)
        return _made(make(*args, **named), requires_grad, device)

    create.__name__ = create.__qualname__ = name
    create.__module__ = "tapegrad"
    create.__doc__ = make.__doc__
    create.__wrapped__ = make  # type: ignore[attr-defined]
    return create


full = _with_options("full")
arange = _with_options("arange")
_linspace = _with_options("linspace")


@_takes("n=n_rows m=n_cols")
def eye(
    n_rows: int, n_cols: int | None = None, k: int = 0, dtype: Any = None, *, requires_grad: bool = False, device: Any = None
) -> Variable:
    """The identity matrix: ones on its diagonal k, which may lie outside of it, and zeros.

    >>> tg.eye(2)
    Variable([[1., 0.],
              [0., 1.]])
    """
    far = 2**62
    return _made(_core.eye(n_rows, n_cols, max(-far, min(k, far)), dtype), requires_grad, device)


zeros_like = _with_options("zeros_like")
ones_like = _with_options("ones_like")
empty_like = _with_options("empty_like")
full_like = _with_options("full_like")


def linspace(
    start: Any,
    stop: Any = None,
    num: int = 50,
    endpoint: bool = True,
    *,
    dtype: Any = None,
    axis: int = 0,
    requires_grad: bool = False,
    device: Any = None,
    **named: Any,
) -> Variable:
    """Evenly spaced numbers between two ends, which may be arrays: then the numbers are along a new axis.

    PyTorch's names of stop and num are end and steps. With NumPy's retstep=True the step comes beside the numbers.

    >>> tg.linspace(0.0, 1.0, 3)
    Variable([0. , 0.5, 1. ])
    """
    num, stop, retstep = named.pop("steps", num), named.pop("end", stop), named.pop("retstep", False)
    if named:
        raise TypeError(f"linspace() got an unexpected keyword argument {next(iter(named))!r}")
    if stop is None:
        raise TypeError("linspace() missing required argument 'stop'")
    if _ndim(start) or _ndim(stop):
        x = _lines(start, stop, num, endpoint, axis)
        x = _made(x if dtype is None else x.astype(dtype), requires_grad, device)
    else:
        x = _linspace(start, stop, num, endpoint=endpoint, dtype=dtype, requires_grad=requires_grad, device=device)
    if not retstep:
        return x
    first, last = ends(start, stop, dtype)
    return x, (last - first) / ((num - 1 if endpoint else num) or float("nan"))  # type: ignore[return-value]


def ends(start: Any, stop: Any, dtype: Any = None) -> tuple[Variable, Variable]:
    """Both ends as arrays; numbers have the digits of the other end, or of the dtype that is asked for."""
    like = () if dtype is None else (_core.zeros(0, dtype=dtype),)
    first, last = _core._together(start, stop, *like)[:2]
    return first, last


def _ndim(x: Any) -> int:
    return 0 if isinstance(x, (int, float, complex)) else _core.asarray(x).ndim


def _lines(start: Any, stop: Any, num: int, endpoint: bool, axis: int) -> Variable:
    """Numbers between arrays of starts and stops, along a new axis; both ends are exact."""
    start, stop = _core.broadcast_arrays(*(end + 0.0 for end in ends(start, stop)))
    t = _core.linspace(0.0, 1.0, num, endpoint=endpoint, dtype=_core.float64).reshape((num,) + (1,) * start.ndim)
    wide = _core.result_type(start, stop)
    t = t.astype(_core.float32) if wide in (_core.float32, _core.complex64) else t
    return _core.moveaxis(start * (1.0 - t) + stop * t, 0, axis)


# ---- random numbers ----


def manual_seed(seed: int) -> _core.Generator:
    """Begins the stream of random numbers of this seed, and returns the generator of the process.

    >>> _ = tg.manual_seed(0)
    >>> a = tg.rand(2)
    >>> _ = tg.manual_seed(0)
    >>> bool((tg.rand(2) == a).all())
    True
    """
    if not hasattr(seed, "__index__"):
        raise TypeError(f"manual_seed: expected an int, not {type(seed).__name__}")
    found = _default_generator()
    found.manual_seed(index(seed) % 2**64)
    return found


def _default_generator() -> _core.Generator:
    found: _core.Generator = _core.rand.__self__  # type: ignore[attr-defined]
    return found


def seed() -> int:
    """Seeds the random numbers from the system, and returns the seed."""
    import secrets

    found = secrets.randbits(63)
    manual_seed(found)
    return found


def initial_seed() -> int:
    """The seed of the generator of the process."""
    return _default_generator().seed


def get_rng_state() -> tuple[int, int]:
    """Where the generator of the process is: a seed and a place.

    >>> generator = tg.manual_seed(7)
    >>> tg.get_rng_state()
    (7, 0)
    """
    return _default_generator().get_state()


def set_rng_state(new_state: Any) -> None:
    """Goes on where :func:`get_rng_state` was called.

    >>> state = tg.get_rng_state()
    >>> a = tg.rand(2)
    >>> tg.set_rng_state(state)
    >>> bool((tg.rand(2) == a).all())
    True
    """
    a, b = new_state
    _default_generator().set_state((int(a), int(b)))


@_takes_size
def rand(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, generator: Any = None) -> Variable:
    """Uniform random numbers in [0, 1): ``rand(2, 3)``.

    >>> tg.rand(2, 3).shape
    (2, 3)
    """
    return _made(source(generator).rand(*size, dtype=dtype), requires_grad, device)


@_takes_size
def randn(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, generator: Any = None) -> Variable:
    """Normal random numbers of mean 0 and standard deviation 1: ``randn(2, 3)``.

    >>> tg.randn(2, 3).shape
    (2, 3)
    """
    return _made(source(generator).randn(*size, dtype=dtype), requires_grad, device)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    dtype: Any = None,
    *,
    requires_grad: bool = False,
    device: Any = None,
    generator: Any = None,
) -> Variable:
    """Random integers from ``low`` up to ``high`` - 1: ``randint(low, high, size)`` or ``randint(high, size)``.

    >>> tg.randint(5, (3,)).shape
    (3,)
    """
    if isinstance(high, (tuple, list)) and size is None:
        low, high, size = 0, low, high
    return _made(source(generator).randint(low, high, () if size is None else size, dtype), requires_grad, device)


def randperm(n: int, *, dtype: Any = None, device: Any = None, generator: Any = None) -> Variable:
    """The numbers 0 to n - 1 in random order.

    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    check_device(device)
    if isinstance(n, int) and n < 0:
        raise ValueError(f"randperm: n is {n}, expected 0 or more")
    found: Variable = source(generator).permutation(n)
    return found if dtype is None else found.astype(dtype)


def rand_like(input: Variable, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Uniform random numbers in [0, 1), in the shape and dtype of ``input``.

    >>> tg.rand_like(tg.ones((2, 3))).shape
    (2, 3)
    """
    like = _core.asarray(input)
    return _made(_core.rand(like.shape, dtype=dtype or like.dtype), requires_grad, device)


def randn_like(input: Variable, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Normal random numbers of mean 0 and standard deviation 1, in the shape and dtype of ``input``.

    >>> tg.randn_like(tg.ones((2, 3))).shape
    (2, 3)
    """
    like = _core.asarray(input)
    return _made(_core.randn(like.shape, dtype=dtype or like.dtype), requires_grad, device)


def randint_like(
    input: Variable, low: int, high: int | None = None, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Random integers from ``low`` up to ``high`` - 1, in the shape and dtype of ``input``.

    >>> bool((tg.randint_like(tg.ones(9), 2, 4) < 4).all())
    True
    """
    low, high = (0, low) if high is None else (low, high)
    like = _core.asarray(input)
    return _made(_core.randint(low, high, like.shape, dtype or like.dtype), requires_grad, device)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None
) -> Variable:
    """Normal random numbers; mean and standard deviation are numbers or arrays, which are broadcast, to ``size`` if given.

    >>> tg.normal(tg.tensor([0.0, 100.0]), 1.0).shape
    (2,)
    """
    check_device(device)
    draws = source(generator)
    if not isinstance(mean, Variable) and not isinstance(std, Variable):
        drawn: Variable = draws.normal(mean, std, () if size is None else size, dtype)
        return drawn
    shape = _core.broadcast_arrays(mean, std)[0].shape
    if size is not None:
        wanted = tuple(size) if isinstance(size, (tuple, list)) else (size,)
        if len(wanted) < len(shape) or any(n not in (1, w) for n, w in zip(reversed(shape), reversed(wanted), strict=False)):
            raise _core.ShapeError(f"normal: parameters of shape {shape} cannot be broadcast to the size {wanted}")
        shape = wanted
    noise = draws.randn(shape, dtype=dtype or next(x.dtype for x in (mean, std) if isinstance(x, Variable)))
    found: Variable = mean + std * noise
    return found


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Variable:
    """1 with the probabilities of an array, else 0; with ``p`` an array of this shape and one probability.

    >>> tg.bernoulli(tg.tensor([0.0, 1.0]))
    Variable([0., 1.])
    """
    draw = source(generator).bernoulli
    if p is None:
        found: Variable = draw(input)
        return found
    like = _core.asarray(input)
    return draw(p, like.shape, like.dtype)  # type: ignore[no-any-return]


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Variable:
    """Indices drawn from each row of weights, which need not add up to 1.

    >>> tg.multinomial(tg.tensor([0.0, 1.0, 0.0]), 1)
    Variable([1])
    """
    import numpy as np

    w = np.asarray(_core.asarray(input).detach().numpy(), dtype=np.float64)
    if w.ndim not in {1, 2} or not (np.isfinite(w).all() and (w >= 0).all() and (w.sum(-1) > 0).all()):
        raise ValueError("multinomial: weights must be a vector or a matrix, finite, not negative, and no row all zero")
    rows = w.reshape(-1, w.shape[-1])
    if not replacement and num_samples > np.count_nonzero(rows, axis=1).min():
        raise ValueError(f"multinomial: {num_samples} samples without replacement, more than a row has weights above zero")
    draws = source(generator)
    u = draws.rand(len(rows), num_samples if replacement else rows.shape[1], dtype=_core.float64).numpy()
    if replacement:
        sums = np.cumsum(rows, axis=1)
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0, axis=1)
        found = np.minimum((sums[:, None, :] <= (u * sums[:, -1:])[:, :, None]).sum(-1), last[:, None])
    else:
        with np.errstate(divide="ignore"):
            found = np.argsort(-np.log1p(-u) / rows, axis=1, kind="stable")[:, :num_samples]
    return _core.asarray(found.astype(np.int64).reshape((*w.shape[:-1], num_samples)))


# ---- questions and settings ----


#: The class of dtypes, and PyTorch's names of layouts, which are strings here.
dtype = _core.DType
strided = "strided"
contiguous_format, preserve_format = "contiguous_format", "preserve_format"
channels_last, channels_last_3d = "channels_last", "channels_last_3d"


def get_default_device() -> device:
    """The one device, "cpu".

    >>> tg.get_default_device()
    device(type='cpu')
    """
    return device()


def get_printoptions() -> dict[str, Any]:
    """How arrays are printed: see set_printoptions.

    >>> tg.get_printoptions()["precision"]
    8
    """
    names = ("precision", "threshold", "edgeitems", "linewidth", "suppress")
    return dict(zip(names, _core._display_options(), strict=True))


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    suppress: bool | None = None,
    *,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How arrays are printed: digits after the point, from how many elements on arrays are cut, to how many at each end; columns.

    ``suppress=True`` writes no exponents; PyTorch's ``sci_mode=False`` is the same. ``profile`` is "default", "short" or "full".

    >>> tg.set_printoptions(precision=2)
    >>> tg.tensor([3.14159])
    Variable([3.14])
    >>> tg.set_printoptions(profile="default")
    """
    profiles: dict[str, tuple[Any, ...]] = {
        "default": (8, 1000, 3, 75, False),
        "short": (2, 1000, 2, 75, False),
        "full": (8, 2**62, 3, 75, False),
    }
    if profile not in {None, *profiles}:
        raise ValueError(f"set_printoptions: profile is {profile!r}, expected 'default', 'short' or 'full'")
    if sci_mode:
        raise ValueError("set_printoptions: sci_mode=True is not available; numbers get exponents where their sizes ask for them")
    options = list(_core._display_options() if profile is None else profiles[profile])
    for i, value in enumerate((precision, threshold, edgeitems, linewidth)):
        if value is not None:
            if not value >= 0:
                raise ValueError(f"set_printoptions: expected numbers of at least 0, got {value}")
            options[i] = int(min(value, 2**62))
    options[4] = (sci_mode is False or options[4]) if suppress is None else bool(suppress)
    _core._set_display_options(*options)


def is_tensor(obj: Any) -> TypeGuard[Variable]:
    """Whether this is a Variable.

    >>> tg.is_tensor([1.0])
    False
    """
    return isinstance(obj, Variable)


def is_floating_point(input: Variable) -> bool:
    """Whether the dtype is floating.

    >>> tg.is_floating_point(tg.tensor([1]))
    False
    """
    return _core.asarray(input).dtype.is_floating_point


def is_complex(input: Variable) -> bool:
    """Whether the dtype is complex.

    >>> tg.is_complex(tg.tensor([1j]))
    True
    """
    return _core.asarray(input).dtype.is_complex


def numel(input: Variable) -> int:
    """Number of elements.

    >>> tg.numel(tg.ones((2, 3)))
    6
    """
    return int(_core.asarray(input).size)


def inference_mode(mode: Any = True) -> Any:
    """As :func:`no_grad`; ``inference_mode(False)`` changes nothing.

    >>> with tg.inference_mode():
    ...     (tg.ones(1, requires_grad=True) * 2.0).requires_grad
    False
    """
    if callable(mode):
        return no_grad(mode)
    return no_grad() if mode else set_grad_enabled(is_grad_enabled())


def is_inference_mode_enabled() -> bool:
    """Whether nothing is recorded now.

    >>> tg.is_inference_mode_enabled()
    False
    """
    return not is_grad_enabled()


def set_default_device(place: Any) -> None:
    """Accepts the one device, "cpu"."""
    check_device(place)


def set_default_tensor_type(t: Any) -> None:
    """Makes the dtype of a class such as ``FloatTensor`` the default."""
    name = t.rsplit(".", 1)[-1] if isinstance(t, str) else getattr(t, "__name__", None)
    _core.set_default_dtype(TENSORS.get(name or "", t))


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results never depend on the number of threads, so there is nothing to switch."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: results never depend on the number of threads."""
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Accepts "highest", "high" and "medium"; products of float32 are always computed in full."""
    if precision not in {"highest", "high", "medium"}:
        raise ValueError(f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}")


# ---- functions of methods ----


@_takes("input=x")
def transpose(x: Any, axes: Any = None, dim1: Any = None, *, dim0: Any = None) -> Variable:
    """The axes in another order: reversed, or as given. ``transpose(x, i, j)`` exchanges two axes, as in PyTorch.

    >>> tg.transpose(tg.ones((2, 3)), 0, 1).shape
    (3, 2)
    """
    if dim1 is not None:
        return _core.swapaxes(x, axes if dim0 is None else dim0, dim1)
    return _core.transpose(x, axes)


def _diagonal(name: str) -> Any:
    f = getattr(_core, name)

    @_takes("input=x")
    def call(x: Any, k: int = 0, *, diagonal: int | None = None) -> Variable:
        found: Variable = f(x, k if diagonal is None else diagonal)
        return found

    call.__name__ = call.__qualname__ = name
    call.__module__ = "tapegrad"
    call.__doc__ = f"{f.__doc__}\n\n    ``diagonal`` is PyTorch's name of ``k``."
    return call


triu = _diagonal("triu")
tril = _diagonal("tril")
diag = _diagonal("diag")
for _f in (triu, tril, diag):
    METHODS[_f.__name__] = _f


def broadcast_tensors(*tensors: Any) -> Sequence[Variable]:
    """The arrays in the shape to which all of them broadcast.

    >>> [x.shape for x in tg.broadcast_tensors(tg.ones((2, 1)), tg.ones(3))]
    [(2, 3), (2, 3)]
    """
    return _core.broadcast_arrays(*tensors)


__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "Size",
    "Tensor",
    "arange",
    "are_deterministic_algorithms_enabled",
    "as_tensor",
    "bernoulli",
    "broadcast_tensors",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "device",
    "diag",
    "dtype",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "get_default_device",
    "get_printoptions",
    "get_rng_state",
    "inference_mode",
    "initial_seed",
    "is_complex",
    "is_floating_point",
    "is_inference_mode_enabled",
    "is_tensor",
    "linspace",
    "manual_seed",
    "multinomial",
    "normal",
    "numel",
    "ones",
    "ones_like",
    "preserve_format",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "scalar_tensor",
    "seed",
    "set_default_device",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "set_printoptions",
    "set_rng_state",
    "strided",
    "tensor",
    "transpose",
    "tril",
    "triu",
    "use_deterministic_algorithms",
    "zeros",
    "zeros_like",
]
