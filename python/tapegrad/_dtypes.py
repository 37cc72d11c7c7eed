"""The dtypes and their limits: `finfo`, `iinfo`, `isdtype` and the namespace info of the array API."""

from __future__ import annotations

from ._core import DType, Variable, _together, get_default_dtype, int64, result_type
from ._habits import check_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float16", "bfloat16", "float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
#: Floating dtypes that the array API does not have.
_EXTENDED = {"float16", "bfloat16"}
#: Digits of the significand (the hidden one included), the largest exponent, and decimal digits.
_FLOATS = {"float16": (11, 16, 3), "bfloat16": (8, 128, 2), "float32": (24, 128, 6), "float64": (53, 1024, 15)}
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


def _dtype_of(function: str, value: Any) -> DType:
    dtype = value.dtype if isinstance(value, Variable) else value
    try:
        return DType(dtype)
    except TypeError:
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            raise TypeError(f"{function}(): expected a dtype or an array, not {type(value).__name__}") from None
        return DType(dtype)


class finfo:
    """The limits of a floating dtype (None: the default dtype), as Python floats; of a complex dtype those of its parts.

    >>> tg.finfo(tg.float32).eps
    1.1920928955078125e-07
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    tiny: float
    resolution: float
    precision: int
    dtype: DType

    def __init__(self, type: Any = None, /) -> None:
        dtype = _dtype_of("finfo", get_default_dtype() if type is None else type).to_real()
        if not dtype.is_floating_point:
            raise TypeError(f"finfo(): {dtype} is not a floating dtype; use iinfo() for integers")
        digits, exponent, self.precision = _FLOATS[dtype.name]
        self.dtype = dtype
        self.bits = 8 * dtype.itemsize
        self.eps = 2.0 ** (1 - digits)
        self.max = (2.0 - self.eps) * 2.0 ** (exponent - 1)
        self.min = -self.max
        self.smallest_normal = self.tiny = 2.0 ** (2 - exponent)
        self.resolution = 10.0**-self.precision

    def __repr__(self) -> str:
        return f"finfo(bits={self.bits}, eps={self.eps}, max={self.max}, min={self.min}, dtype={self.dtype})"


class iinfo:
    """The limits of an integer dtype.

    >>> tg.iinfo(tg.uint8).max
    255
    """

    bits: int
    max: int
    min: int
    dtype: DType

    def __init__(self, type: Any, /) -> None:
        self.dtype = _dtype_of("iinfo", type)
        bounds = self.dtype._bounds
        if bounds is None:
            raise TypeError(f"iinfo(): {self.dtype} is not an integer dtype; use finfo() for floating dtypes")
        self.bits = 8 * self.dtype.itemsize
        self.min, self.max = bounds

    def __repr__(self) -> str:
        return f"iinfo(bits={self.bits}, min={self.min}, max={self.max}, dtype={self.dtype})"


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind, which is a name, another dtype, or a tuple of them.

    The names are "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating" and "numeric".

    >>> tg.isdtype(tg.int8, "integral"), tg.isdtype(tg.int8, (tg.bool, "real floating"))
    (True, False)
    """
    dtype = DType(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"isdtype(): there is no kind {kind!r}; kinds are {', '.join(_KINDS)}")
        return dtype.name in _KINDS[kind]
    return bool(dtype == DType(kind))


class _NamespaceInfo:
    """What the namespace can do, as the array API asks for it."""

    __module__ = "tapegrad"

    def capabilities(self) -> dict[str, Any]:
        """The optional features of the standard, and its extensions that are complete."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64, "extensions": ("fft", "linalg")}

    def default_device(self) -> str:
        """The device of new arrays."""
        return "cpu"

    def devices(self) -> tuple[str, ...]:
        """All devices."""
        return ("cpu",)

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes of arrays made from Python numbers, and of indices."""
        check_device(device)
        real = get_default_dtype()
        return {"real floating": real, "complex floating": real.to_complex(), "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes of a kind, or of a tuple of kinds; all dtypes without a kind.

        The standard has no float16 and bfloat16.
        """
        check_device(device)
        found = {name: DType(name) for names in ("bool", "numeric") for name in _KINDS[names] if name not in _EXTENDED}
        return found if kind is None else {name: d for name, d in found.items() if isdtype(d, kind)}


def __array_namespace_info__() -> _NamespaceInfo:  # noqa: N807
    """The namespace's devices, dtypes and optional features, as the array API asks for them.

    >>> tg.__array_namespace_info__().default_device()
    'cpu'
    """
    return _NamespaceInfo()


def inexact(x: Any) -> Variable:
    """An array of a floating or complex dtype: integers and booleans get the default one.

    >>> from tapegrad._dtypes import inexact
    >>> inexact([1, 2]).dtype
    tapegrad.float32
    """
    return inexacts(x)[0]


def inexacts(*values: Any) -> list[Variable]:
    """Arrays of floating or complex dtypes. Numbers, lists of numbers, integers and booleans get that of the arrays beside them.

    >>> from tapegrad._dtypes import inexacts
    >>> [x.dtype for x in inexacts(tg.zeros(2, dtype=tg.float64), [0.1, 0.2], tg.arange(2))]
    [tapegrad.float64, tapegrad.float64, tapegrad.float64]
    """
    if any(v is None for v in values):
        raise TypeError("an argument is None, expected a number or an array")
    found: list[Variable] = _together(*values)
    if all(v.dtype.is_inexact for v in found):
        return found
    floating = [v.dtype.to_real() for v in found if v.dtype.is_inexact]
    dtype = result_type(*floating) if floating else get_default_dtype()
    return [v if v.dtype.is_inexact else v.astype(dtype) for v in found]
