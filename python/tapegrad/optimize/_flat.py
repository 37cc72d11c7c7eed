"""Nested unknowns as one vector, on which solvers work."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np

from .. import _core
from .._core import DTypeError, Variable
from .._transforms import _variable
from .._tree import Structure, flatten, unflatten, unflatten_results
from ._samples import plain


def _is_numbers(x: Any) -> bool:
    """Whether ``x`` is a number, or a list or tuple of numbers at any depth: then it is an array."""
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return bool(x) and all(map(_is_numbers, x))
    return isinstance(x, Number) and not isinstance(x, Variable)


def as_tree(x: Any) -> Any:
    """A start as users write it: numbers and lists of numbers become float64 arrays, also inside of containers."""
    if _is_numbers(x):
        return np.asarray(x, dtype=np.float64 if not np.iscomplexobj(x) else None)
    if type(x) is dict:
        return {k: as_tree(v) for k, v in x.items()}
    return type(x)(map(as_tree, x)) if type(x) in (list, tuple) else x


def as_args(args: Any) -> tuple[Any, ...]:
    """Further arguments; a single one may stand without a tuple, as in SciPy."""
    return args if isinstance(args, tuple) else (args,)


def chosen(name: str, kind: str, given: str | None, default: str, known: Any) -> str:
    """A method by its name, whatever its case."""
    wanted = str(given or default).lower()
    for method in known:
        if wanted == method.lower():
            return str(method)
    raise ValueError(f"{name}: {kind} is {given!r}, expected {', '.join(map(repr, known))}")


class Flat:
    """Containers of floating arrays, as one vector and back."""

    def __init__(self, name: str, tree: Any, what: str = "x0") -> None:
        self.name = name
        found: list[Any] = []
        self.structure: Structure = flatten(as_tree(tree), found)
        values = [self._leaf(what, as_tree(x)) for x in found]
        if not values:
            raise ValueError(f"{name}: {what} holds no arrays")
        self.shapes = [v.shape for v in values]
        self.dtypes = [v.dtype for v in values]
        self.sizes = [v.size for v in values]
        self.ends = np.cumsum([0, *self.sizes]).tolist()
        self.size: int = self.ends[-1]
        self.dtype = _core.float64 if any(d == _core.float64 for d in self.dtypes) else _core.float32
        self.start = np.concatenate([v.detach().numpy().ravel().astype(np.float64) for v in values])
        self.single = self.structure.kind == "leaf"

    def _leaf(self, what: str, x: Any) -> Variable:
        v = plain(_variable(self.name, x, f"{what} holds"))
        if v.dtype.is_complex:
            raise DTypeError(f"{self.name}: {what} has dtype {v.dtype}; split it into real and imaginary parts")
        if not v.dtype.is_floating_point:
            v = v.astype("float64")
        return v

    @property
    def eps(self) -> float:
        """The rounding unit of the unknowns."""
        return float(np.finfo(np.float64 if all(d == _core.float64 for d in self.dtypes) else np.float32).eps)

    def leaves(self, x: np.ndarray, requires_grad: bool = False) -> list[Variable]:
        """The arrays that the vector ``x`` holds."""
        parts = zip(self.ends, self.ends[1:], self.shapes, self.dtypes)
        return [Variable(x[a:b].reshape(shape), dtype=dtype, requires_grad=requires_grad) for a, b, shape, dtype in parts]

    def filled(self, values: list[Variable]) -> Any:
        """The containers with these leaves, as a function gets them."""
        return values[0] if self.single else unflatten(self.structure, list(values))

    def shaped(self, values: list[Variable]) -> Any:
        """The containers with these leaves, as a result."""
        return values[0] if self.single else unflatten_results(self.structure, list(values))

    def split(self, v: Variable) -> list[Variable]:
        """The arrays that a vector holds, recorded."""
        if self.single and v.shape == self.shapes[0] and v.dtype == self.dtypes[0]:
            return [v]
        parts = zip(self.ends, self.ends[1:], self.shapes, self.dtypes)
        return [_core.reshape(v[a:b], shape).astype(dtype) for a, b, shape, dtype in parts]

    def vector(self, values: list[Any]) -> np.ndarray:
        """Gradients of the leaves as one vector; None is zero."""
        if self.single and values[0] is not None:
            return np.asarray(values[0].numpy(), dtype=np.float64).ravel()
        pairs = zip(values, self.sizes)
        return np.concatenate([np.zeros(n) if g is None else g.numpy().ravel().astype(np.float64) for g, n in pairs])


def joined(name: str, tree: Any, dtype: Any) -> Variable:
    """All numbers that a container holds as one vector, recorded."""
    found: list[Any] = []
    flatten(tree, found)
    # Numbers of Python keep their digits.
    found = [np.float64(y) if isinstance(y, (int, float)) else y for y in found]
    values = [_core.reshape(_variable(name, y, "the function returned"), (-1,)) for y in found]
    for v in values:
        if v.dtype.is_complex:
            raise DTypeError(f"{name}: the function returned dtype {v.dtype}; return real and imaginary parts")
    if not values:
        raise TypeError(f"{name}: the function returned no array")
    values = [v if v.dtype == dtype else v.astype(dtype) for v in values]
    return values[0] if len(values) == 1 else _core.concat(values, axis=0)
