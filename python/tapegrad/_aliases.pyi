"""PyTorch's names of functions. Generated from python/tapegrad/_habits.py by `make generate`."""

from typing import Any

from ._core import Variable, _ArrayLike
from ._core import equal as eq
from ._core import trunc as fix
from ._core import greater_equal as ge
from ._core import outer as ger
from ._core import greater as gt
from ._core import less_equal as le
from ._core import less as less_than
from ._core import less as lt
from ._core import moveaxis as movedim
from ._core import not_equal as ne
from ._core import negative as neg
from ._core import vstack as row_stack
from ._core import sign as sgn
from ._core import swapaxes as swapdims

__all__ = [
    "addcdiv",
    "addcmul",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clone",
    "detach",
    "div",
    "eq",
    "fix",
    "frac",
    "ge",
    "ger",
    "gt",
    "index_select",
    "is_nonzero",
    "le",
    "less_than",
    "lt",
    "masked_select",
    "mm",
    "movedim",
    "mul",
    "mv",
    "narrow",
    "ne",
    "neg",
    "permute",
    "repeat_interleave",
    "row_stack",
    "scatter",
    "sgn",
    "sub",
    "swapdims",
    "t",
    "unflatten",
]

def addcdiv(input: _ArrayLike, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Variable: ...
def addcmul(input: _ArrayLike, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Variable: ...
def addmm(input: _ArrayLike, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable: ...
def addmv(input: _ArrayLike, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable: ...
def addr(input: _ArrayLike, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable: ...
def baddbmm(input: _ArrayLike, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Variable: ...
def clamp(input: _ArrayLike, min: Any = None, max: Any = None) -> Variable: ...
def clamp_max(input: _ArrayLike, max: Any) -> Variable: ...
def clamp_min(input: _ArrayLike, min: Any) -> Variable: ...
def clone(input: _ArrayLike, *, memory_format: Any = None) -> Variable: ...
def detach(input: _ArrayLike) -> Variable: ...
def div(input: _ArrayLike, other: Any, *, rounding_mode: str | None = None) -> Variable: ...
def frac(input: _ArrayLike) -> Variable: ...
def index_select(input: _ArrayLike, dim: int, index: Any) -> Variable: ...
def is_nonzero(input: _ArrayLike) -> bool: ...
def masked_select(input: _ArrayLike, mask: Any) -> Variable: ...
def mm(input: _ArrayLike, mat2: Any) -> Variable: ...
def mul(input: _ArrayLike, other: Any) -> Variable: ...
def mv(input: _ArrayLike, vec: Any) -> Variable: ...
def narrow(input: _ArrayLike, dim: int, start: int, length: int) -> Variable: ...
def permute(input: _ArrayLike, *axes: Any, dims: Any = None) -> Variable: ...
def repeat_interleave(input: _ArrayLike, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Variable: ...
def scatter(input: _ArrayLike, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Variable: ...
def sub(input: _ArrayLike, other: Any, *, alpha: Any = None) -> Variable: ...
def t(input: _ArrayLike) -> Variable: ...
def unflatten(input: _ArrayLike, dim: int, sizes: Any) -> Variable: ...
