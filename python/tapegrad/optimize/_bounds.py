"""Bounds of nested unknowns as two vectors."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import GradError, Variable

if TYPE_CHECKING:
    from .._tree import Structure
    from ._flat import Flat


def _array(x: Any, missing: float) -> np.ndarray:
    """One side of a bound; None is no bound."""
    if isinstance(x, Variable):
        if x.requires_grad and _core.is_grad_enabled():
            raise GradError("bounds carry no gradient: pass detach() of a bound that requires gradients")
        x = x.detach().numpy()
    if isinstance(x, (list, tuple)):
        x = [missing if v is None else v for v in x]
    return np.asarray(missing if x is None else x, dtype=np.float64)


def _is_side(x: Any) -> bool:
    return x is None or isinstance(x, (Number, np.ndarray, Variable))


def _leaf(name: str, given: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of one array: None, one pair for all elements, or a pair for each element of a vector."""
    if given is None:
        given = (None, None)
    size = shape[0] if len(shape) == 1 else None
    rows = given.tolist() if isinstance(given, np.ndarray) else given
    pairs = (
        isinstance(rows, (list, tuple)) and len(rows) == size and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in rows)
    )
    if pairs:
        low, high = _array([p[0] for p in rows], -np.inf), _array([p[1] for p in rows], np.inf)
    elif isinstance(given, (list, tuple)) and len(given) == 2:
        low, high = _array(given[0], -np.inf), _array(given[1], np.inf)
    else:
        raise ValueError(
            f"{name}: bounds of an array of shape {shape} must be (low, high), or a pair for each element, got {given!r}"
        )
    try:
        return np.broadcast_to(low, shape), np.broadcast_to(high, shape)
    except ValueError:
        raise ValueError(f"{name}: bounds of shapes {low.shape} and {high.shape} do not fit an array of shape {shape}") from None


def _nested(name: str, given: Any, structure: Structure, shapes: list[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The bounds of each array, in order; containers stand for containers, and None for no bounds."""
    if structure.kind == "leaf":
        return [_leaf(name, given, shapes.pop(0))]
    if structure.kind == "none":
        return []
    names = structure.data if structure.kind == "dict" else None
    if structure.kind == "module":
        names = [n for n, _ in structure.data.named_parameters()]
    elif structure.kind == "dataclass":
        names = structure.data[1]
    children = structure.children
    if given is None:
        parts: list[Any] = [None] * len(children)
    elif names is not None:
        if not isinstance(given, dict):
            given = {n: getattr(given, n) for n in names}
        if not set(given) <= set(names):
            raise ValueError(f"{name}: bounds name {sorted(set(given) - set(names))}, the unknowns are {list(names)}")
        parts = [given.get(n) for n in names]
    else:
        parts = list(given)
        if len(parts) != len(children):
            raise ValueError(f"{name}: bounds have {len(parts)} entries, the unknowns {len(children)}")
    return [pair for part, child in zip(parts, children) for pair in _nested(name, part, child, shapes)]


def bounds_of(name: str, bounds: Any, flat: Flat) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds as vectors; infinities where there are none."""
    if bounds is None:
        return np.full(flat.size, -np.inf), np.full(flat.size, np.inf)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return sides_of(name, (bounds.lb, bounds.ub), flat)
    found = _nested(name, bounds, flat.structure, list(flat.shapes))
    return _checked(name, [low for low, _ in found], [high for _, high in found])


def sides_of(name: str, bounds: Any, flat: Flat) -> tuple[np.ndarray, np.ndarray]:
    """Bounds that are given as ``(lower, upper)``: each a number, an array, or containers like the unknowns."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        bounds = (bounds.lb, bounds.ub)
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise ValueError(f"{name}: bounds must be a pair (lower, upper), got {bounds!r}")

    def side(given: Any, missing: float) -> list[np.ndarray]:
        if _is_side(given) and np.ndim(_array(given, missing)) == 0:
            return [np.full(shape, _array(given, missing)) for shape in flat.shapes]
        low = missing < 0
        pairs = _paired(given, low, flat.structure)
        found = _nested(name, pairs, flat.structure, list(flat.shapes))
        return [a if low else b for a, b in found]

    return _checked(name, side(bounds[0], -np.inf), side(bounds[1], np.inf))


def _paired(given: Any, low: bool, structure: Structure) -> Any:
    """Containers of one side as containers of pairs whose other side is open."""
    if structure.kind == "leaf":
        return (given, None) if low else (None, given)
    if isinstance(given, dict):
        children = dict(zip(structure.data, structure.children)) if structure.kind == "dict" else {}
        return {k: _paired(v, low, children[k]) if k in children else v for k, v in given.items()}
    return [_paired(g, low, c) for g, c in zip(given, structure.children)]


def _checked(name: str, lows: list[np.ndarray], highs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    low = np.concatenate([a.ravel() for a in lows]).astype(np.float64)
    high = np.concatenate([b.ravel() for b in highs]).astype(np.float64)
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        at = int(np.flatnonzero(~(low <= high))[0])
        raise ValueError(f"{name}: the lower bound of element {at} is {low[at]}, its upper bound {high[at]}")
    return low, high
