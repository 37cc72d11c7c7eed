"""Functions of nested containers under the names of ``jax.tree``: dicts, lists, tuples, named tuples, dataclasses and Modules.

>>> tg.tree.map(lambda x: 2 * x, {"a": 1, "b": [2, 3]})
{'a': 2, 'b': [4, 6]}
"""

from __future__ import annotations

from functools import reduce as _reduce
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import ShapeError, Variable
from ._tree import Structure
from ._tree import flatten as _flatten
from ._tree import unflatten as _unflatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["all", "flatten", "leaves", "map", "ravel_pytree", "reduce", "structure", "unflatten"]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


_all, _map = all, map


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a container, and its structure.

    >>> leaves, structure = tg.tree.flatten({"a": 1, "b": (2, 3)})
    >>> leaves, tg.tree.unflatten(structure, leaves)
    ([1, 2, 3], {'a': 1, 'b': (2, 3)})
    """
    found: list[Any] = []
    return found, _flatten(tree, found)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """A container of a structure with these leaves.

    >>> leaves, structure = tg.tree.flatten({"a": 1, "b": [2, 3]})
    >>> tg.tree.unflatten(structure, [10 * x for x in leaves])
    {'a': 10, 'b': [20, 30]}
    """
    return _unflatten(structure, list(leaves))


def leaves(tree: Any) -> list[Any]:
    """The leaves of a container.

    >>> tg.tree.leaves({"a": 1, "b": [2, 3]})
    [1, 2, 3]
    """
    return flatten(tree)[0]


def structure(tree: Any) -> Structure:
    """What a container is without its leaves.

    >>> tg.tree.structure({"a": 1, "b": [2, 3]}) == tg.tree.structure({"a": 4, "b": [5, 6]})
    True
    """
    return flatten(tree)[1]


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """``f`` of the leaves of containers of one structure, in such a container.

    >>> tg.tree.map(lambda p, g: p - 0.5 * g, {"w": 1.0}, {"w": 2.0})
    {'w': 0.0}
    """
    first, shape = flatten(tree)
    others = []
    for other in rest:
        values: list[Any] = []
        own = _flatten(other, values, shape)
        if own != shape:
            raise ValueError(f"tree.map: the containers differ: {shape} and {own}; expected one structure")
        others.append(values)
    return _unflatten(shape, [f(*values) for values in zip(first, *others, strict=True)])


def reduce(function: Callable[[Any, Any], Any], tree: Any, *initializer: Any) -> Any:
    """The leaves combined by a function of two, from the first on, or from ``initializer``.

    >>> tg.tree.reduce(lambda a, b: a + b, {"a": 1, "b": [2, 3]})
    6
    """
    return _reduce(function, leaves(tree), *initializer)


def ravel_pytree(tree: Any) -> tuple[Variable, Callable[[Any], Any]]:
    """The arrays and numbers of a container in one vector, and the function that makes such a container of a vector.

    The vector has the common dtype of the arrays; the function gives each array its shape and its dtype back, and raises
    ShapeError for another length. Gradients flow both ways. It is JAX's ``flatten_util.ravel_pytree`` and HIPS autograd's
    ``misc.flatten``.

    >>> vector, unravel = tg.tree.ravel_pytree({"w": tg.ones((2, 2)), "b": tg.zeros(1)})
    >>> vector
    Variable([1., 1., 1., 1., 0.])
    >>> unravel(2.0 * vector)["b"]
    Variable([0.])
    """
    found, shape = flatten(tree)
    arrays = [_core.asarray(x) for x in found]
    ends = list(accumulate((x.size for x in arrays), initial=0))
    kinds = [(x.shape, x.dtype) for x in arrays]

    def unravel(vector: Any) -> Any:
        v = _core.asarray(vector)
        if v.shape != (ends[-1],):
            raise ShapeError(f"unravel: the vector has shape {v.shape}, expected ({ends[-1]},)")
        parts = zip(kinds, ends[:-1], ends[1:], strict=True)
        return _unflatten(shape, [v[a:b].reshape(size).astype(dtype) for (size, dtype), a, b in parts])

    return _core.concat([x.reshape(-1) for x in arrays]) if arrays else _core.zeros(0), unravel


def all(tree: Any) -> bool:
    """Whether all leaves are true.

    >>> tg.tree.all([True, {"a": False}])
    False
    """
    return _all(_map(bool, leaves(tree)))
