"""Nested containers (dicts, lists, tuples, named tuples, dataclasses, Modules), flattened to leaves and built again."""

from __future__ import annotations

import copy
import dataclasses
import sys
from typing import Any


def is_inexact(dtype: Any) -> bool:
    """Whether a dtype carries gradients, as floating and complex dtypes do.

    >>> is_inexact(tg.float32), is_inexact(tg.int64)
    (True, False)
    """
    return bool(dtype.is_floating_point or dtype.is_complex)


class Structure:
    """The structure of a container: its type and where the leaves are. Two are equal when their containers have the same form."""

    __slots__ = ("children", "data", "empty", "kind")

    def __init__(self, kind: str, data: Any = None, children: tuple[Structure, ...] = (), empty: Any = None) -> None:
        self.kind, self.data, self.children = kind, data, children
        #: Of a dict or a list of another class: an empty one, which is copied and filled.
        self.empty = empty

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure) or self.kind != other.kind or len(self.children) != len(other.children):
            return False
        same = self.data is other.data if self.kind == "module" else self.data == other.data
        return same and all(a == b for a, b in zip(self.children, other.children, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> tuple[Any, ...]:
        """The keys of a dict, or the names of a Module's parameters."""
        if self.kind == "module":
            return tuple(name for name, _ in self.data.named_parameters())
        return self.data if self.kind == "dict" else ()

    def __repr__(self) -> str:
        if self.kind == "leaf":
            return "*"
        inner = ", ".join(map(repr, self.children))
        if self.kind == "dict":
            inner = ", ".join(f"{k!r}: {c!r}" for k, c in zip(self.data, self.children, strict=True))
            return f"{{{inner}}}"
        return {"list": f"[{inner}]", "tuple": f"({inner},)", "none": "None"}.get(self.kind, f"{self.kind}({inner})")


LEAF = Structure("leaf")
NONE = Structure("none")


def is_module(x: Any) -> bool:
    """Whether a value is a Module.

    >>> is_module(tg.nn.Linear(2, 3)), is_module(tg.sin)
    (True, False)
    """
    module = sys.modules.get("tapegrad.nn.module")
    return module is not None and isinstance(x, module.Module)


def _registered(x: Any) -> Any:
    """The functions of optree for a type that a user has registered there; None for other types."""
    optree = sys.modules.get("optree")
    if optree is None or isinstance(x, (dict, list, tuple)):
        return None
    try:
        return optree.register_pytree_node.get(type(x))
    except Exception:  # noqa: BLE001 - another version of optree
        return None


def _empty(tree: Any) -> Any:
    """An empty container of the class of a dict or a list, with its attributes; None for the plain ones."""
    if type(tree) in (dict, list):
        return None
    out = copy.copy(tree)
    out.clear()
    return out


def flatten(tree: Any, into: list[Any], like: Structure | None = None) -> Structure:  # noqa: PLR0911 - a kind of container each
    """Appends the leaves of ``tree`` to a list and returns the structure.

    With ``like``, dicts are gone through in its order of keys; None may stand for a leaf of it, and a dict of the names of
    parameters for a Module.

    >>> leaves = []
    >>> flatten({"b": 1, "a": [2, (3, None)]}, leaves)
    {'b': *, 'a': [*, (*, None,)]}
    >>> leaves
    [1, 2, 3]
    """
    if tree is None:
        if like is None or like.kind != "leaf":
            return NONE
        into.append(None)
        return LEAF
    if isinstance(tree, dict):
        keys = tuple(tree) if like is None else like.keys()
        if set(keys) != set(tree):
            keys = tuple(tree)
        elif like is not None and like.kind == "module":
            into.extend(tree[k] for k in keys)
            return like
        return Structure("dict", keys, _flatten_all([tree[k] for k in keys], into, like), _empty(tree))
    if isinstance(tree, list):
        return Structure("list", None, _flatten_all(tree, into, like), _empty(tree))
    if isinstance(tree, tuple):
        fields = getattr(tree, "_fields", None)
        return Structure("tuple" if fields is None else "namedtuple", fields and type(tree), _flatten_all(tree, into, like))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in dataclasses.fields(tree) if f.init)
        return Structure("dataclass", (type(tree), names), _flatten_all([getattr(tree, n) for n in names], into, like))
    if is_module(tree):
        into.extend(p for _, p in tree.named_parameters())
        return Structure("module", tree, tuple(LEAF for _ in tree.named_parameters()))
    node = _registered(tree)
    if node is not None:
        children, data, *_ = node.flatten_func(tree)
        return Structure("registered", (type(tree), node.unflatten_func, data), _flatten_all(children, into, like))
    into.append(tree)
    return LEAF


def _flatten_all(items: Any, into: list[Any], like: Structure | None) -> tuple[Structure, ...]:
    known = () if like is None else like.children
    return tuple(flatten(v, into, known[i] if i < len(known) else None) for i, v in enumerate(items))


def leaves(tree: Any) -> list[Any]:
    """The leaves of a container.

    >>> leaves([1, {"a": 2}])
    [1, 2]
    """
    out: list[Any] = []
    flatten(tree, out)
    return out


def _with_parameters(module: Any, values: list[Any]) -> Any:
    """A copy of a Module with other parameters; everything else is shared."""
    parameters = [p for _, p in module.named_parameters()]
    memo: dict[int, Any] = {id(p): v for p, v in zip(parameters, values, strict=True)}
    buffers = getattr(module, "named_buffers", None)
    if buffers is not None:
        memo |= {id(b): b for _, b in buffers()}
    return copy.deepcopy(module, memo)


def unflatten(structure: Structure, values: list[Any]) -> Any:  # noqa: PLR0911 - a kind of container each
    """Builds the container of a structure from new leaves, which are removed from the front of ``values``.

    >>> unflatten(flatten((1, [2]), []), ["a", "b"])
    ('a', ['b'])
    """
    kind, data = structure.kind, structure.data
    if kind == "leaf":
        return values.pop(0)
    if kind == "none":
        return None
    children = [unflatten(c, values) for c in structure.children]
    if kind in ("dict", "list"):
        filled = dict(zip(data, children, strict=True)) if kind == "dict" else children
        return filled if structure.empty is None else _filled(structure.empty, filled)
    if kind == "tuple":
        return tuple(children)
    if kind == "namedtuple":
        return data(*children)
    if kind == "dataclass":
        return data[0](**dict(zip(data[1], children, strict=True)))
    if kind == "module":
        return _with_parameters(data, children)
    return data[1](data[2], tuple(children))


def _filled(empty: Any, items: Any) -> Any:
    """A copy of an empty dict or list with items."""
    out = copy.copy(empty)
    if isinstance(items, dict):
        out.update(items)
    else:
        out.extend(items)
    return out


def unflatten_results(structure: Structure, values: list[Any]) -> Any:
    """As :func:`unflatten`, but a Module becomes a dict of its parameters by name.

    >>> unflatten_results(flatten([1], []), [2])
    [2]
    """
    if structure.kind == "module":
        return {name: values.pop(0) for name, _ in structure.data.named_parameters()}
    if structure.kind in ("leaf", "none"):
        return unflatten(structure, values)
    children = [unflatten_results(c, values) for c in structure.children]
    plain = Structure(structure.kind, structure.data, tuple(LEAF for _ in children), structure.empty)
    return unflatten(plain, children)


def tree_map(f: Any, tree: Any) -> Any:
    """Applies ``f`` to each leaf and keeps the containers.

    >>> tree_map(lambda x: x + 1, {"a": [1, 2]})
    {'a': [2, 3]}
    """
    found: list[Any] = []
    structure = flatten(tree, found)
    return unflatten_results(structure, [f(x) for x in found])
