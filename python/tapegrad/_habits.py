"""PyTorch's names on Variable: other names for NumPy's functions, and methods composed of other operations.

The tables `METHODS`, `LIFTED`, `ALIASES` and `SAME` are put on `Variable` when the package is imported. A test refuses names
that the compiled module has itself. Functions are in `_aliases.py`.
"""

from __future__ import annotations

# mypy: disable-error-code="no-any-return"
from _thread import _local
from math import pi
from operator import index as _index

from . import _core
from ._core import Variable
from ._generator import source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

#: Methods of Variable by name.
METHODS: dict[str, Any] = {}


def _method(name: str) -> Callable[[F], F]:
    def put(f: F) -> F:
        METHODS[name] = f
        return f

    return put


# ---- one device ----


class device(str):
    """The place of an array. There is one, "cpu".

    >>> tg.device("cpu").type, tg.ones(2).device == tg.device("cpu")
    ('cpu', True)
    """

    def __new__(cls, name: object = "cpu", index: int | None = None) -> device:
        text = str(name)
        if text.split(":", maxsplit=1)[0] != "cpu" or index not in {None, 0}:
            raise ValueError(
                f"device: there is one device, 'cpu', got {text!r}; ask tg.cuda.is_available(), which is False, before"
            )
        return str.__new__(cls, "cpu")

    @property
    def type(self) -> str:
        """The kind of device, "cpu"."""
        return "cpu"

    @property
    def index(self) -> None:  # type: ignore[override]
        """There is one device, so it has no number."""
        return

    def __repr__(self) -> str:
        return "device(type='cpu')"


CPU = device()


def check_device(where: object) -> None:
    """Raises ValueError unless this is the CPU, or None."""
    if where is not None and where is not CPU:
        device(where)


# ---- dtypes ----

#: PyTorch's names of dtypes and conversions.
DTYPES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


def dtype_named(name: str) -> Any:
    """A dtype by its own name."""
    return getattr(_core, name)


def _conversion(name: str, dtype: str) -> Any:
    def convert(self: Variable, memory_format: Any = None) -> Variable:
        wanted = dtype_named(dtype)
        return self if self.dtype == wanted else self.astype(wanted)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The array in {dtype}; the array itself when it has that dtype."
    return convert


for _name, _dtype in DTYPES.items():
    METHODS[_name] = _conversion(_name, _dtype)


#: Beginnings of the names of dtypes; no name of a device begins like them.
_NUMERIC = ("float", "bfloat", "int", "uint", "complex", "bool")


@_method("to")
def _to(
    self: Variable,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Variable:
    """The array in another dtype: ``to(dtype)``, ``to("cpu", dtype)``, ``to(other)``. There is one device, "cpu".

    As in PyTorch two flags may follow: ``non_blocking``, which changes nothing, and ``copy``.
    """
    flags = [a for a in args if isinstance(a, bool)]
    if len(flags) > 2:
        raise TypeError(f"to() takes two flags, non_blocking and copy, got {len(flags)}")
    copy = flags[1] if len(flags) == 2 else copy
    for a in args:
        if isinstance(a, Variable):
            dtype = a.dtype
        elif isinstance(a, (_core.DType, type)) or (isinstance(a, str) and a.startswith(_NUMERIC)):
            dtype = a
        elif isinstance(a, str):
            device = a
        elif a is not None and not isinstance(a, bool):
            raise TypeError(f"to() takes a dtype, a device or a Variable, got {type(a).__name__}")
    check_device(device)
    if dtype is not None and dtype != self.dtype:
        return self.astype(dtype)
    return self.clone() if copy else self


@_method("cpu")
def _cpu(self: Variable, memory_format: Any = None) -> Variable:
    """The array itself: it is on the CPU."""
    return self


@_method("cuda")
def _cuda(self: Variable, *args: Any, **kwargs: Any) -> Variable:
    """Raises ValueError: there is one device, "cpu"."""
    raise ValueError("cuda(): there is one device, 'cpu'; ask tg.cuda.is_available(), which is False, before")


@_method("type")
def _type(self: Variable, dtype: Any = None) -> Any:
    """The name of the array's type, as "tapegrad.FloatTensor"; with a dtype, or such a name, the array in that dtype."""
    if dtype is None:
        return next((f"tapegrad.{kind}" for kind, d in TENSORS.items() if d == self.dtype.name), f"tapegrad.{self.dtype.name}")
    if isinstance(dtype, str) and dtype.rsplit(".", 1)[-1] in TENSORS:
        dtype = dtype_named(TENSORS[dtype.rsplit(".", 1)[-1]])
    elif isinstance(dtype, _TensorMeta):
        dtype = dtype_named(TENSORS[dtype.__name__])
    return self.to(dtype)


@_method("type_as")
def _type_as(self: Variable, other: Variable) -> Variable:
    """The array in the dtype of another."""
    return self.to(_core.asarray(other).dtype)


# ---- sizes ----


class Size(int):
    """How many elements an array has; called, it gives the shape, or the length of one axis, as in PyTorch.

    A call with sizes is a shape, ``tg.Size([2, 3]) == (2, 3)``: shapes are tuples.
    """

    shape: tuple[int, ...]

    def __new__(cls, n: Any = 0) -> Any:
        return tuple(_index(i) for i in n) if isinstance(n, (list, tuple)) else int.__new__(cls, n)

    def __call__(self, dim: int | None = None) -> Any:
        if dim is None:
            return self.shape
        try:
            return self.shape[dim]
        except IndexError:
            n = len(self.shape)
            raise IndexError(f"size({dim}): the array has {n} axes, expected {-n} to {n - 1}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


_size_of = Variable.size.__get__


def _size(self: Variable) -> Size:
    """Number of elements. ``x.size()`` is the shape and ``x.size(0)`` the length of an axis."""
    found = Size(_size_of(self))
    found.shape = self.shape
    return found


@_method("dim")
def _dim(self: Variable) -> int:
    """Number of axes."""
    return self.ndim


@_method("numel")
def _numel(self: Variable) -> int:
    """Number of elements."""
    return int(_size_of(self))


@_method("element_size")
def _element_size(self: Variable) -> int:
    """Bytes of one element."""
    return self.itemsize


@_method("storage_offset")
def _storage_offset(self: Variable) -> int:
    """0: an array begins where its elements begin."""
    return 0


@_method("data_ptr")
def _data_ptr(self: Variable) -> int:
    """The address of the first element at present. The next write may move it; nothing may be written there."""
    return int(self.detach().numpy().__array_interface__["data"][0])


@_method("is_same_size")
def _is_same_size(self: Variable, other: Variable) -> bool:
    """Whether two arrays have one shape."""
    return self.shape == _core.asarray(other).shape


@_method("stride")
def _stride(self: Variable, dim: int | None = None) -> Any:
    """How many elements lie from one place of an axis to the next."""
    steps = tuple(_core._strides(self))
    return steps if dim is None else steps[axis_of("stride", dim, self.ndim)]


@_method("is_contiguous")
def _is_contiguous(self: Variable, memory_format: Any = None) -> bool:
    """Whether the elements lie in row-major order."""
    return _core._is_contiguous(self)


@_method("contiguous")
def _contiguous(self: Variable, memory_format: Any = None) -> Variable:
    """The array itself when its elements lie in row-major order, else a copy for which that is so."""
    return self if _is_contiguous(self) else self.clone()


def shape_of(sizes: tuple[Any, ...]) -> Any:
    """``(2, 3)`` of ``f(2, 3)`` and of ``f((2, 3))``."""
    return sizes[0] if len(sizes) == 1 else tuple(sizes)


@_method("view")
def _view(self: Variable, *shape: Any) -> Variable:
    """The array in another shape, as :meth:`reshape`; or complex numbers as pairs of real ones along the last axis, and back.

    >>> tg.Variable([1.0, 2.0, 3.0, 4.0]).view(tg.complex64)
    Variable([1.+2.j, 3.+4.j])
    """
    if len(shape) == 1 and (isinstance(shape[0], (_core.DType, type, str)) or hasattr(shape[0], "kind")):
        return _in_dtype(self, _core.zeros(0, dtype=shape[0]).dtype)
    return self.reshape(shape_of(shape))


def _in_dtype(x: Variable, dtype: Any) -> Variable:
    """Real numbers as the parts of complex ones of their precision, or the other way round."""
    if dtype == x.dtype:
        return x
    if x.ndim and dtype.is_complex and x.dtype == dtype.to_real() and x.shape[-1] % 2 == 0:
        return _core.view_as_complex(x.reshape((*x.shape[:-1], -1, 2)))
    if x.ndim and x.dtype.is_complex and dtype == x.dtype.to_real():
        return _core.view_as_real(x).reshape((*x.shape[:-1], -1))
    raise TypeError(
        f"view: {x.dtype} of shape {x.shape} as {dtype} would read the bits of one dtype as another; "
        "convert values with to(dtype), or bits with numpy().view"
    )


@_method("view_as")
def _view_as(self: Variable, other: Variable) -> Variable:
    """The array in the shape of another."""
    return self.reshape(_core.asarray(other).shape)


@_method("unflatten")
def _unflatten(self: Variable, dim: int, sizes: Any) -> Variable:
    """Several axes in place of the axis ``dim``; one size may be -1.

    >>> tg.unflatten(tg.arange(6), 0, (2, -1)).shape
    (2, 3)
    """
    from .nn import Unflatten

    return Unflatten(dim, sizes)(self)


@_method("permute")
def _permute(self: Variable, *axes: Any, dims: Any = None) -> Variable:
    """The array with its axes in this order.

    >>> tg.permute(tg.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return _core.permute_dims(self, shape_of(axes) if dims is None else dims)


@_method("expand")
def _expand(self: Variable, *sizes: Any) -> Variable:
    """Axes of length 1 repeated, and axes added in front, without a copy; -1 keeps an axis."""
    wanted = shape_of(sizes)
    wanted = [wanted] if isinstance(wanted, int) else list(wanted)
    new = len(wanted) - self.ndim
    for i, n in enumerate(wanted):
        if n == -1:
            if i < new:
                raise _core.ShapeError(f"expand: size -1 at axis {i}, which is a new axis; expected its length")
            wanted[i] = self.shape[i - new]
    return self.broadcast_to(tuple(wanted))


@_method("expand_as")
def _expand_as(self: Variable, other: Variable) -> Variable:
    """The array broadcast to the shape of another."""
    return self.broadcast_to(_core.asarray(other).shape)


@_method("sum_to_size")
def _sum_to_size(self: Variable, *size: Any) -> Variable:
    """The sum over the axes that broadcasting this shape would repeat."""
    given = shape_of(size)
    wanted = (given,) if isinstance(given, int) else tuple(given)
    extra = self.ndim - len(wanted)
    if extra < 0 or any(w not in (1, n) for w, n in zip(wanted, self.shape[extra:])):
        raise _core.ShapeError(f"sum_to_size: an array of shape {self.shape} does not come from broadcasting shape {wanted}")
    axes = [*range(extra), *(i + extra for i, w in enumerate(wanted) if w == 1)]
    return self.sum(axis=tuple(axes), keepdims=True).reshape(wanted) if axes else self


@_method("t")
def _t(self: Variable) -> Variable:
    """The transposed matrix; an array of one axis or none stays as it is.

    >>> tg.t(tg.ones((2, 3))).shape
    (3, 2)
    """
    if self.ndim > 2:
        raise _core.ShapeError(f"t: expected two axes or fewer, got shape {self.shape}; use mT or swapaxes")
    return self.T if self.ndim == 2 else self


_numpy_transpose = Variable.transpose


def _transpose(self: Variable, *axes: Any, dim0: int | None = None, dim1: int | None = None, **named: Any) -> Variable:
    """The axes in another order: ``transpose()`` reversed, ``transpose(2, 0, 1)`` as given.

    ``transpose(i, j)`` of an array with more than two axes exchanges them, as in PyTorch.
    """
    if dim0 is not None and dim1 is not None and not axes and not named:
        return self.swapaxes(dim0, dim1)
    if len(axes) == 2 and all(isinstance(a, int) for a in axes):
        if self.ndim > 2:
            return self.swapaxes(*axes)
        if self.ndim == 2 and [a % 2 for a in axes if -2 <= a < 2] == [0, 1]:
            raise ValueError(
                f"transpose{axes} of a matrix leaves it as it is in NumPy and transposes it in PyTorch; "
                "write x.T or x.swapaxes(0, 1) to transpose"
            )
    return _numpy_transpose(self, *axes, **named)


def axis_of(name: str, dim: int, ndim: int) -> int:
    """The axis that ``dim`` counts, from the end where it is negative."""
    if not -ndim <= dim < ndim:
        raise _core.AxisError(f"{name}: axis {dim} is out of bounds for an array of {ndim} dimensions")
    return dim % ndim


def _at(name: str, x: Variable, dim: int, place: Any) -> tuple[Any, ...]:
    """The index expression that selects places of one axis."""
    return (*(slice(None),) * axis_of(name, dim, x.ndim), place)


@_method("narrow")
def _narrow(self: Variable, dim: int, start: int, length: int) -> Variable:
    """``length`` places of an axis from ``start`` on.

    >>> tg.narrow(tg.arange(5), 0, 1, 3)
    Variable([1, 2, 3])
    """
    n = self.shape[axis_of("narrow", dim, self.ndim)]
    first = start + n if start < 0 else start
    if length < 0 or first < 0 or first + length > n:
        raise IndexError(f"narrow: places {start} to {start + length} of axis {dim}, which has {n}")
    return self[_at("narrow", self, dim, slice(first, first + length))]


@_method("select")
def _select(self: Variable, dim: int, index: int) -> Variable:
    """One place of an axis, which is removed."""
    return self[_at("select", self, dim, index)]


# ---- arithmetic ----


def _scaled(other: Any, alpha: Any) -> Any:
    return other if alpha is None else _core.multiply(other, alpha)


@_method("sub")
def _sub(self: Variable, other: Any, *, alpha: Any = None) -> Variable:
    """``self - alpha * other``.

    >>> tg.sub(tg.tensor([5.0, 7.0]), tg.tensor([1.0, 2.0]), alpha=2.0)
    Variable([3., 3.])
    """
    return self - _scaled(other, alpha)


@_method("mul")
def _mul(self: Variable, other: Any) -> Variable:
    """``self * other``.

    >>> tg.mul(tg.tensor([1.0, 2.0]), 3.0)
    Variable([3., 6.])
    """
    return self * other


@_method("div")
def _div(self: Variable, other: Any, *, rounding_mode: str | None = None) -> Variable:
    """``self / other``; ``rounding_mode`` is None, "trunc" or "floor".

    >>> tg.div(tg.tensor([7.0, -7.0]), 2.0, rounding_mode="floor")
    Variable([ 3., -4.])
    """
    if rounding_mode is None:
        return self / other
    if rounding_mode == "floor":
        return self // other
    if rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    found = _core.result_type(self, other)
    if found.is_inexact:
        return _core.trunc(self / other)
    # Of integers: exact, and an integer. The remainder of fmod has the sign of the dividend.
    return (self - _core.fmod(self, other)) // other


@_method("clamp")
def _clamp(self: Variable, min: Any = None, max: Any = None) -> Variable:
    """Values below ``min`` become ``min``, values above ``max`` become ``max``.

    >>> tg.clamp(tg.tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
    Variable([-1. ,  0.5,  1. ])
    """
    return _core.clip(self, min, max)


@_method("clamp_min")
def _clamp_min(self: Variable, min: Any) -> Variable:
    """Values below ``min`` become ``min``.

    >>> tg.clamp_min(tg.tensor([-2.0, 0.5]), 0.0)
    Variable([0. , 0.5])
    """
    return _core.clip(self, min, None)


@_method("clamp_max")
def _clamp_max(self: Variable, max: Any) -> Variable:
    """Values above ``max`` become ``max``.

    >>> tg.clamp_max(tg.tensor([0.5, 2.0]), 1.0)
    Variable([0.5, 1. ])
    """
    return _core.clip(self, None, max)


@_method("frac")
def _frac(self: Variable) -> Variable:
    """The fractional part: ``x - x.trunc()``.

    >>> tg.frac(tg.tensor([1.5, -1.25]))
    Variable([ 0.5 , -0.25])
    """
    return self - _core.trunc(self)


@_method("addcmul")
def _addcmul(self: Variable, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Variable:
    """``self + value * tensor1 * tensor2``.

    >>> tg.addcmul(tg.ones(2), tg.tensor([1.0, 2.0]), tg.tensor([2.0, 4.0]), value=10.0)
    Variable([21., 81.])
    """
    return self + _core.multiply(tensor1, tensor2) * value


@_method("addcdiv")
def _addcdiv(self: Variable, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Variable:
    """``self + value * tensor1 / tensor2``.

    >>> tg.addcdiv(tg.ones(2), tg.tensor([1.0, 2.0]), tg.tensor([2.0, 4.0]), value=10.0)
    Variable([6., 6.])
    """
    return self + _core.divide(tensor1, tensor2) * value


def _product(name: str, a: Variable, b: Any, ndims: tuple[int, int]) -> Variable:
    b = _core.asarray(b)
    if (a.ndim, b.ndim) != ndims:
        raise _core.ShapeError(
            f"{name}: expected arrays of {ndims[0]} and {ndims[1]} axes, got shapes {a.shape} and {b.shape}; matmul broadcasts"
        )
    return a @ b


@_method("mm")
def _mm(self: Variable, mat2: Any) -> Variable:
    """The product of two matrices.

    >>> tg.mm(tg.tensor([[1.0, 2.0]]), tg.tensor([[3.0], [4.0]]))
    Variable([[11.]])
    """
    return _product("mm", self, mat2, (2, 2))


@_method("mv")
def _mv(self: Variable, vec: Any) -> Variable:
    """The product of a matrix and a vector.

    >>> tg.mv(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([1.0, 1.0]))
    Variable([3., 7.])
    """
    return _product("mv", self, vec, (2, 1))


def _added(self: Variable, product: Variable, beta: Any, alpha: Any) -> Variable:
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else (self if beta == 1 else self * beta) + product


@_method("addmm")
def _addmm(self: Variable, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable:
    """``beta * self + alpha * (mat1 @ mat2)``.

    >>> tg.addmm(tg.ones(2), tg.tensor([[1.0, 2.0]]), tg.tensor([[1.0, 0.0], [0.0, 1.0]]))
    Variable([[2., 3.]])
    """
    return _added(self, _mm(_core.asarray(mat1), mat2), beta, alpha)


@_method("addmv")
def _addmv(self: Variable, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable:
    """``beta * self + alpha * (mat @ vec)``.

    >>> tg.addmv(tg.ones(1), tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0]))
    Variable([12.])
    """
    return _added(self, _mv(_core.asarray(mat), vec), beta, alpha)


@_method("baddbmm")
def _baddbmm(self: Variable, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable:
    """``beta * self + alpha * (batch1 @ batch2)`` for stacks of matrices.

    >>> tg.baddbmm(tg.zeros((5, 2, 4)), tg.ones((5, 2, 3)), tg.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    return _added(self, _core.bmm(batch1, batch2), beta, alpha)


@_method("addr")
def _addr(self: Variable, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable:
    """``beta * self + alpha * outer(vec1, vec2)``.

    >>> tg.addr(tg.ones((2, 2)), tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    Variable([[4., 5.],
              [7., 9.]])
    """
    return _added(self, _core.outer(vec1, vec2), beta, alpha)


# ---- choosing ----


@_method("where")
def _where(self: Variable, condition: Any, other: Any) -> Variable:
    """The elements where the condition holds, else those of ``other``."""
    return _core.where(condition, self, other)


@_method("masked_select")
def _masked_select(self: Variable, mask: Any) -> Variable:
    """The elements where the mask holds, in one axis.

    >>> tg.masked_select(tg.tensor([1.0, 2.0, 3.0]), tg.tensor([True, False, True]))
    Variable([1., 3.])
    """
    mask = _core.asarray(mask)
    if mask.dtype != bool:
        raise _core.DTypeError(
            f"masked_select: the mask has dtype {mask.dtype}, expected bool, as of a comparison; take() takes indices"
        )
    x, mask = _core.broadcast_arrays(self, mask)
    return x[mask]


@_method("index_select")
def _index_select(self: Variable, dim: int, index: Any) -> Variable:
    """These places of an axis.

    >>> tg.tensor([[1, 2, 3], [4, 5, 6]]).index_select(1, tg.tensor([2, 0]))
    Variable([[3, 1],
              [6, 4]])
    """
    return self.take(index, dim)


@_method("repeat_interleave")
def _repeat_interleave(
    self: Variable, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Variable:
    """Every element, or every place of an axis, ``repeats`` times in a row.

    Without ``repeats`` the array is a vector of counts: place i so many times. ``output_size`` is checked.

    >>> tg.repeat_interleave(tg.tensor([1, 2]), 2)
    Variable([1, 1, 2, 2])
    """
    if repeats is None:
        if self.ndim != 1 or self.dtype.kind not in "iu":
            raise _core.ShapeError(
                f"repeat_interleave: a vector of counts, or repeats=, is expected, got {self.dtype} of shape {self.shape}"
            )
        self, repeats = _core.arange(self.size), self
    if isinstance(repeats, Variable):
        repeats = repeats.tolist()
    out = self.repeat(repeats, dim)
    if output_size is not None and output_size != out.shape[0 if dim is None else dim]:
        raise ValueError(
            f"repeat_interleave: output_size is {output_size}, but the repeats give {out.shape[0 if dim is None else dim]}"
        )
    return out


def _grid(index: Variable, dim: int) -> tuple[Variable, ...]:
    """The index arrays with which advanced indexing selects along one axis."""
    n = index.ndim
    dim = axis_of("scatter", dim, n)
    places: list[Variable] = []
    for i, size in enumerate(index.shape):
        places.append(index if i == dim else _core.arange(size).reshape((size,) + (1,) * (n - 1 - i)))
    return tuple(places)


@_method("scatter")
def _scatter(self: Variable, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Variable:
    """A copy in which place ``index`` of an axis has the values of ``src``, or one value.

    ``reduce`` "add" adds them, "multiply" multiplies by them, at places that differ.

    >>> tg.scatter(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0]))
    Variable([6., 0., 5.])
    """
    index = _core.asarray(index)
    if src is None:
        src = value
    if src is None:
        raise TypeError("scatter() needs src, an array, or value, a number")
    if reduce not in {None, "add", "multiply"}:
        raise ValueError(f"scatter: reduce must be None, 'add' or 'multiply', got {reduce!r}")
    source = _core._together(src, self)[0]
    if source.ndim:
        source = source[tuple(slice(n) for n in index.shape)]
    if reduce == "add":
        return self.scatter_add(dim, index, source.broadcast_to(index.shape).astype(self.dtype))
    out, places = self.clone(), _grid(index, dim)
    if reduce == "multiply":
        _check_distinct("scatter(reduce='multiply')", index, dim)
        source = out[places] * source.astype(self.dtype)
    out[places] = source
    return out


def _check_distinct(name: str, index: Variable, dim: int) -> None:
    """Refuses an index that has a place twice along the axis."""
    ordered = _core.sort(index, axis=dim)
    if ordered.shape[dim] > 1 and bool((_core.diff(ordered, axis=dim) == 0).any()):
        raise ValueError(f"{name}: the index has a place twice; multiply by exp(scatter_add(log)) or in a loop")


# ---- new arrays ----


def _leaf(x: Variable, requires_grad: bool) -> Variable:
    return x.requires_grad_(True) if requires_grad else x


@_method("new_tensor")
def _new_tensor(self: Variable, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Variable:
    """An array of a copy of ``data``, in the dtype of this one."""
    check_device(device)
    data = data.detach() if isinstance(data, Variable) else data
    return _leaf(_core.array(data, dtype or self.dtype), requires_grad)


@_method("new_full")
def _new_full(
    self: Variable, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Variable:
    """An array of this shape with one value, in the dtype of this one."""
    check_device(device)
    return _leaf(_core.full(size, fill_value, dtype or self.dtype), requires_grad)


def _new(name: str) -> Any:
    def new(self: Variable, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Variable:
        check_device(device)
        return _leaf(getattr(_core, name)(shape_of(size), dtype or self.dtype), requires_grad)

    new.__name__ = new.__qualname__ = f"new_{name}"
    new.__doc__ = f"As :func:`{name}`, in the dtype of this array."
    return new


for _name in ("zeros", "ones", "empty"):
    METHODS[f"new_{_name}"] = _new(_name)


@_method("new")
def _new_array(self: Variable, *args: Any, device: Any = None) -> Variable:
    """An array in the dtype of this one: a copy of a list or an array, or zeros of sizes or of a shape, which is a tuple."""
    if len(args) == 1 and not isinstance(args[0], (int, tuple)):
        return _new_tensor(self, args[0], device=device)
    made: Variable = METHODS["new_zeros"](self, *(args or (0,)), device=device)
    return made


# ---- in place ----


def overwrite(name: str, x: Variable, new: Variable) -> Variable:
    """Gives ``x`` the values of ``new``, which has its shape; recorded, where it must be."""
    if new.shape != x.shape:
        raise _core.ShapeError(
            f"{name}: the result has shape {new.shape}, an array that is changed in place keeps its shape {x.shape}"
        )
    if new.dtype != x.dtype and not x.dtype.is_inexact:
        raise _core.DTypeError(
            f"{name}: the result has dtype {new.dtype}, which an array of {x.dtype} cannot hold; convert it with to() first"
        )
    return x.copy_(new)


def _in_place(name: str, operation: str) -> Any:
    def change(self: Variable, *args: Any, **kwargs: Any) -> Variable:
        return overwrite(name, self, getattr(self, operation)(*args, **kwargs))

    change.__name__ = change.__qualname__ = name
    change.__doc__ = f":meth:`{operation}` in place; returns the array itself."
    return change


def _elsewhere(module: str, name: str, own: str) -> Any:
    def method(self: Variable, *args: Any, **kwargs: Any) -> Any:
        import importlib

        return getattr(importlib.import_module(f".{module}", __package__), name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = own
    method.__doc__ = f"``tg.{name if module[0] == '_' else f'{module}.{name}'}`` of the array."
    return method


#: Methods that are functions of a namespace.
for _module, _names in {
    "linalg": "cholesky det slogdet matrix_exp matrix_power inverse=inv pinverse=pinv",
    "special": "digamma lgamma erfc erfinv i0 xlogy mvlgamma=multigammaln igamma=gammainc igammac=gammaincc",
    "_numpy_functions": "gcd lcm",
    "_names": "bernoulli multinomial",
    "_torch_names": (
        "addbmm aminmax as_strided cholesky_inverse cholesky_solve diag_embed diagonal_scatter dist hardshrink histc index_copy "
        "index_fill index_reduce kthvalue logdet logit masked_scatter mode msort renorm select_scatter slice_scatter "
        "split_with_sizes stft svd take_along_dim tensor_split unique_consecutive"
    ),
}.items():
    for _name in _names.split():
        _own, _, _other = _name.partition("=")
        METHODS[_own] = _elsewhere(_module, _other or _own, _own)


#: Methods that also have an in-place form.
IN_PLACE = (
    "abs acos asin atan ceil clamp clamp_max clamp_min cos cosh erf exp exp2 expm1 floor fmod frac lerp log log10 log1p log2 neg "
    "pow reciprocal relu remainder round rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc addcdiv addcmul addmm baddbmm "
    "floor_divide masked_fill scatter scatter_add index_add tril triu nan_to_num cumsum cumprod acosh asinh atanh "
    "atan2 addmv addr copysign hypot ldexp float_power heaviside nextafter sinc deg2rad rad2deg fix sgn negative absolute clip "
    "digamma erfc erfinv index_fill index_reduce lgamma logaddexp logit masked_scatter mvlgamma igamma igammac renorm "
    "scatter_reduce xlogy subtract multiply divide true_divide bitwise_and bitwise_or bitwise_xor bitwise_not "
    "logical_and logical_or logical_xor logical_not eq ne lt le gt ge "
    "greater greater_equal less less_equal not_equal"
)
for _name in IN_PLACE.split():
    METHODS[f"{_name}_"] = _in_place(f"{_name}_", _name)


def _reshaping(name: str) -> Any:
    def refuse(self: Variable, *args: Any, **kwargs: Any) -> Variable:
        raise _core.ShapeError(f"{name}: an array keeps its shape when it is changed in place; write x = x.{name[:-1]}(...)")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raises ShapeError: an array keeps its shape; write ``x = x.{name[:-1]}(...)``."
    return refuse


for _name in ("squeeze_", "unsqueeze_", "t_", "transpose_", "resize_", "swapaxes_"):
    METHODS[_name] = _reshaping(_name)


def _drawn(name: str, x: Variable, generator: Any, what: str, *args: Any) -> Variable:
    if not x.dtype.is_floating_point and what != "randint":
        raise _core.DTypeError(f"{name}: expected a floating array, got {x.dtype}")
    return x.copy_(getattr(source(generator), what)(*args, x.shape, x.dtype))


@_method("normal_")
def _normal_(self: Variable, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Variable:
    """Fills the array with numbers of the normal distribution."""
    return _drawn("normal_", self, generator, "normal", mean, std)


@_method("uniform_")
def _uniform_(self: Variable, *args: float, generator: Any = None, **named: float) -> Variable:
    """Fills the array with uniform numbers: ``uniform_(a, b)`` in [a, b), from 0 to 1 by default."""
    low, high = (*args, *(0.0, 1.0)[len(args) :])
    low, high = named.pop("from", low), named.pop("to", high)
    if named:
        raise TypeError(f"uniform_() takes 'from', 'to' and 'generator', got {sorted(named)}")
    return _drawn("uniform_", self, generator, "uniform", low, high)


def _even(name: str, x: Variable, generator: Any) -> Variable:
    """Uniform numbers of [0, 1) in double precision, for distributions sampled through their quantile function."""
    if not x.dtype.is_floating_point:
        raise _core.DTypeError(f"{name}: expected a floating array, got {x.dtype}")
    return source(generator).uniform(0.0, 1.0, x.shape, _core.float64)


@_method("exponential_")
def _exponential_(self: Variable, lambd: float = 1.0, *, generator: Any = None) -> Variable:
    """Fills the array with numbers of the exponential distribution of this rate."""
    if not lambd > 0:
        raise ValueError(f"exponential_: the rate is {lambd}, expected a number above 0")
    return self.copy_(_core.log1p(-_even("exponential_", self, generator)) / -lambd)


@_method("cauchy_")
def _cauchy_(self: Variable, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Variable:
    """Fills the array with numbers of the Cauchy distribution of this median and width."""
    if not sigma > 0:
        raise ValueError(f"cauchy_: sigma is {sigma}, expected a number above 0")
    return self.copy_(median + sigma * _core.tan(pi * (_even("cauchy_", self, generator) - 0.5)))


@_method("log_normal_")
def _log_normal_(self: Variable, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Variable:
    """Fills the array with numbers whose logarithms have this mean and standard deviation."""
    if not std > 0:
        raise ValueError(f"log_normal_: std is {std}, expected a number above 0")
    return self.copy_(_core.exp(_drawn("log_normal_", self, generator, "normal", mean, std)))


@_method("geometric_")
def _geometric_(self: Variable, p: float, *, generator: Any = None) -> Variable:
    """Fills the array with numbers of trials up to the first success of probability p, from 1 on."""
    if not 0 < p < 1:
        raise ValueError(f"geometric_: p is {p}, expected a number between 0 and 1")
    even = source(generator).uniform(0.0, 1.0, self.shape, _core.float64)
    return self.copy_(_core.maximum(_core.ceil(_core.log1p(-even) / _core.log1p(_core.asarray(-p, _core.float64))), 1.0))


@_method("random_")
def _random_(self: Variable, *args: int, generator: Any = None) -> Variable:
    """Fills the array with integers: ``random_(n)`` below n, ``random_(a, b)`` from a up to b - 1."""
    most = {"float32": 2**24, "float64": 2**53, "uint8": 2**8, "int8": 2**7, "int16": 2**15, "int32": 2**31, "bool": 2}
    low, high = (0, most.get(self.dtype.name, 2**62)) if not args else (0, args[0]) if len(args) == 1 else args
    return self.copy_(source(generator).randint(low, high, self.shape))


@_method("bernoulli_")
def _bernoulli_(self: Variable, p: Any = 0.5, *, generator: Any = None) -> Variable:
    """Fills the array with ones of probability p, and zeros."""
    draw = source(generator).bernoulli
    if isinstance(p, Variable):
        return self.copy_(draw(p.detach().broadcast_to(self.shape).clone()))
    return self.copy_(draw(p, self.shape))


@_method("index_copy_")
def _index_copy_(self: Variable, dim: int, index: Any, source: Any) -> Variable:
    """Sets these places of an axis to those of ``source``."""
    self[_at("index_copy_", self, dim, index)] = source
    return self


@_method("polygamma")
def _polygamma(self: Variable, n: int) -> Variable:
    """The derivative of order n + 1 of the logarithm of the gamma function."""
    from .special import polygamma

    return polygamma(n, self)


@_method("put_")
def _put_(self: Variable, index: Any, source: Any, accumulate: bool = False) -> Variable:
    """Sets the elements at places of the flattened array, or adds to them with ``accumulate``."""
    from ._arrays import index_put

    flat = index_put(self.reshape(-1), (_core.asarray(index).reshape(-1),), _core.asarray(source).reshape(-1), accumulate)
    return overwrite("put_", self, flat.reshape(self.shape))


@_method("index_put_")
def _index_put_(self: Variable, indices: Any, values: Any, accumulate: bool = False) -> Variable:
    """``self[indices] = values``."""
    if accumulate:
        from ._arrays import index_put

        return overwrite("index_put_", self, index_put(self, indices, values, accumulate=True))
    self[tuple(indices)] = values
    return self


@_method("index_put")
def _index_put(self: Variable, indices: Any, values: Any, accumulate: bool = False) -> Variable:
    """A copy with ``values`` at ``indices``."""
    from ._arrays import index_put

    return index_put(self, indices, values, accumulate)


@_method("fill_diagonal_")
def _fill_diagonal_(self: Variable, fill_value: Any, wrap: bool = False) -> Variable:
    """Sets the diagonal of a matrix to one value; with ``wrap`` it begins again below the square part of a tall one."""
    from ._arrays import fill_diagonal

    fill_diagonal(self, fill_value, wrap)
    return self


# ---- hooks ----


class _Waiting(_local):
    """The callbacks that each thread runs at the end of its backward pass."""

    def __init__(self) -> None:
        self.calls: dict[object, tuple[Any, Any, bool]] = {}


_waiting = _Waiting()


def _run_waiting(is_done: bool) -> None:
    from .autograd.modes import set_grad_enabled

    found, _waiting.calls = _waiting.calls, {}
    if is_done:
        for owner, hook, records in found.values():
            x = owner()
            if x is not None:
                with set_grad_enabled(records):
                    hook(x)


def call_after_backward(key: object, owner: Any, hook: Callable[[Any], object]) -> None:
    """Calls ``hook(owner())`` when the backward pass that is running has added to ``.grad``: once for each ``key``.

    The hook records only where the pass does, with ``create_graph=True``; so it may change parameters in place.
    """
    from .autograd.modes import is_grad_enabled

    _core.after_backward(_run_waiting)
    _waiting.calls.setdefault(key, (owner, hook, is_grad_enabled()))


@_method("register_post_accumulate_grad_hook")
def _register_post_accumulate_grad_hook(self: Variable, hook: Callable[[Variable], object]) -> _core.HookHandle:
    """Calls ``hook(self)`` after each backward pass that has added to ``self.grad``.

    As in the pass itself, nothing is recorded unless it runs with ``create_graph=True``, so the hook may step the leaf.

    >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_post_accumulate_grad_hook(lambda x: print(x.grad))
    >>> (x * 3).sum().backward()
    [3. 3.]
    """
    from weakref import ref

    if not (self.is_leaf and self.requires_grad):
        raise _core.GradError("register_post_accumulate_grad_hook: only leaves that require gradients collect them in .grad")
    leaf = ref(self)
    return self.register_hook(lambda grad: call_after_backward(object(), leaf, hook))


# ---- questions ----


@_method("is_floating_point")
def _is_floating_point(self: Variable) -> bool:
    """Whether the dtype is floating."""
    return self.dtype.is_floating_point


@_method("is_complex")
def _is_complex(self: Variable) -> bool:
    """Whether the dtype is complex."""
    return self.dtype.is_complex


@_method("is_conj")
def _is_conj(self: Variable) -> bool:
    """False: a conjugate is computed at once."""
    return False


@_method("is_neg")
def _is_neg(self: Variable) -> bool:
    """False: a negative is computed at once."""
    return False


@_method("resolve_conj")
def _resolve_conj(self: Variable) -> Variable:
    """The array itself: a conjugate is computed at once."""
    return self


@_method("resolve_neg")
def _resolve_neg(self: Variable) -> Variable:
    """The array itself: a negative is computed at once."""
    return self


@_method("adjoint")
def _adjoint(self: Variable) -> Variable:
    """The conjugate transpose of the last two axes."""
    return _conjugate_transpose(self)


@_method("is_nonzero")
def _is_nonzero(self: Variable) -> bool:
    """Whether the one element is not zero.

    >>> tg.is_nonzero(tg.tensor([3.0]))
    True
    """
    return bool(self)


@_method("get_device")
def _get_device(self: Variable) -> int:
    """-1, as for all arrays on the CPU."""
    return -1


@_method("pin_memory")
def _pin_memory(self: Variable) -> Variable:
    """The array itself: there is no device to copy to."""
    return self


@_method("share_memory_")
def _share_memory_(self: Variable) -> Variable:
    """The array itself."""
    return self


@_method("unfold")
def _unfold(self: Variable, dimension: int, size: int, step: int) -> Variable:
    """All windows of ``size`` places of an axis, ``step`` places apart, each along a new last axis: a copy."""
    axis = axis_of("unfold", dimension, self.ndim)
    if size < 0 or step < 1 or size > self.shape[axis]:
        raise ValueError(
            f"unfold: size is {size} and step is {step}, expected a size of 0 to {self.shape[axis]} and a step above 0"
        )
    if 0 < size <= 16:  # slices, which need no index
        end = (self.shape[axis] - size) // step * step + 1
        return _core.stack([self[_at("unfold", self, axis, slice(i, i + end, step))] for i in range(size)], axis=-1)
    starts = _core.arange(0, self.shape[axis] - size + 1, step)
    return _core.moveaxis(self[_at("unfold", self, axis, starts[:, None] + _core.arange(size))], axis + 1, -1)


def _lifted(name: str) -> Any:
    f = getattr(_core, name)

    def call(self: Variable, *args: Any, **kwargs: Any) -> Any:
        return f(self, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f.__doc__
    return call


#: Compiled functions that become methods here.
LIFTED = (
    "isinf isfinite isposinf isneginf outer inner hypot logaddexp rot90 flipud fliplr softplus cross argwhere nanmedian cov "
    "corrcoef vdot array_split hsplit vsplit dsplit take_along_axis kron logaddexp2 signbit diagflat nanquantile prelu"
)
#: Methods and functions that have another name in NumPy than in PyTorch.
ALIASES = {
    "neg": "negative",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "movedim": "moveaxis",
    "swapdims": "swapaxes",
    "ger": "outer",
    "less_than": "less",
    "row_stack": "vstack",
    "fix": "trunc",
    "sgn": "sign",
}
SAME = {"nelement": "numel", "ndimension": "dim", "reshape_as": "view_as"}


def _conjugate_transpose(self: Variable) -> Variable:
    return self.mT.conj() if self.dtype.is_complex else self.mT


def _refuses(name: str) -> property:
    """A field of PyTorch's pair of values and indices: raises AttributeError that says what to write instead."""

    def field(self: Variable) -> Any:
        raise AttributeError(
            f"a Variable has no {name}: where PyTorch's max, min, median, sort, cummax and cummin along an axis give a pair of "
            "values and indices, this is the values. Write x.argmax(dim), argmin or argsort for the indices"
        )

    return property(
        field, doc="Raises AttributeError: results along an axis are the values alone; argmax, argmin and argsort give indices."
    )


def _properties() -> dict[str, Any]:
    return {
        "indices": _refuses("indices"),
        "values": _refuses("values"),
        "size": property(_size, doc=_size.__doc__),
        "device": property(lambda self: CPU, doc='Where the elements are: always "cpu".'),
        "is_cpu": property(lambda self: True, doc="True: there is one device, the CPU."),
        "is_meta": property(lambda self: False, doc="False: arrays have data."),
        "is_cuda": property(lambda self: False, doc="False: there is one device, the CPU."),
        "is_sparse": property(lambda self: False, doc="False: arrays are dense."),
        "is_quantized": property(lambda self: False, doc="False."),
        "layout": property(lambda self: "strided", doc='"strided", the layout of dense arrays.'),
        "H": property(_conjugate_transpose, doc="The conjugate transpose of a matrix."),
        "mH": property(_conjugate_transpose, doc="The conjugate transpose of the last two axes."),
    }


@_method("_repr_html_")
def _repr_html_(self: Variable) -> str:
    """The array as a notebook shows it."""
    from ._html import variable

    return variable(self)


def attach() -> None:
    """Puts the methods and properties on Variable."""
    for name, f in METHODS.items():
        setattr(Variable, name, f)
    for name in LIFTED.split():
        setattr(Variable, name, _lifted(name))
    for name, target in {**ALIASES, **SAME}.items():
        if name not in vars(Variable) and target in vars(Variable):
            setattr(Variable, name, vars(Variable)[target])
    for name, value in _properties().items():
        setattr(Variable, name, value)
    Variable.transpose = _transpose  # type: ignore[method-assign]


# ---- the classes FloatTensor, … ----

#: PyTorch's classes of arrays and their dtypes.
TENSORS = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64",
    "IntTensor": "int32",
    "ShortTensor": "int16",
    "CharTensor": "int8",
    "ByteTensor": "uint8",
    "BoolTensor": "bool",
}


class _TensorMeta(type):
    """``isinstance(x, tg.FloatTensor)`` looks at the dtype; a call makes an array."""

    def __instancecheck__(cls, x: Any) -> bool:
        if not isinstance(x, Variable):
            return False
        return cls.__name__ == "Tensor" or x.dtype.name == TENSORS[cls.__name__]

    def __subclasscheck__(cls, other: Any) -> bool:
        return issubclass(other, Variable) or type.__subclasscheck__(cls, other)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        name = TENSORS.get(cls.__name__)
        dtype = _core.get_default_dtype() if name is None else dtype_named(name)
        check_device(kwargs.pop("device", None))
        if kwargs:
            raise TypeError(f"{cls.__name__}() takes sizes or data, got the keywords {sorted(kwargs)}")
        if len(args) == 1 and not isinstance(args[0], int):
            data = args[0].detach() if isinstance(args[0], Variable) else args[0]
            return _core.array(data, dtype)
        return _core.zeros(tuple(_index(n) for n in args) or (0,), dtype)


__all__ = [
    "ALIASES",
    "CPU",
    "DTYPES",
    "IN_PLACE",
    "LIFTED",
    "METHODS",
    "SAME",
    "TENSORS",
    "Size",
    "attach",
    "axis_of",
    "check_device",
    "device",
    "dtype_named",
    "shape_of",
]
