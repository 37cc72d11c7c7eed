"""Variables that a function replaces in objects that it finds: ``self.h = f(self.h)``.

An attribute, an item of a dict or of a list, a global or a variable around a function holds them. A recording takes them as
further arguments and results, and each replay puts the results where they belong.
"""

from __future__ import annotations

import gc
import types
from typing import TYPE_CHECKING, Any

from ._core import Variable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Held", "find_held", "replaced", "without_held"]


class Held:
    """A place in a Python object that holds a Variable."""

    __slots__ = ("count", "holder", "key", "name")

    def __init__(self, holder: Any, key: Any, name: str) -> None:
        self.holder, self.key, self.name = holder, key, name
        #: The length of a list, whose items must stay where they are.
        self.count = len(holder) if isinstance(holder, list) else None

    @property
    def at(self) -> tuple[int, Any]:
        """Distinguishes it from other places."""
        return id(self.holder), self.key

    def get(self) -> Any:
        """What it holds; None when it is empty or has become another place."""
        if isinstance(self.holder, dict):
            return self.holder.get(self.key)
        if isinstance(self.holder, list):
            return self.holder[self.key] if len(self.holder) == self.count else None
        try:
            return getattr(self.holder, self.key)
        except (AttributeError, ValueError):  # ValueError: a cell that is empty
            return None

    def set(self, value: Variable) -> None:
        """Replaces what it holds."""
        if isinstance(self.holder, (dict, list)):
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)


def _items(container: Any) -> Iterable[tuple[Any, Any]]:
    """The keys and values of a container that can be replaced one by one."""
    if type(container) is dict:
        return container.items()
    return enumerate(container) if type(container) is list else ()


def find_held(new: list[Variable], guards: list[tuple[Any, ...]]) -> list[Held] | None:
    """The places, among those that a function depends on, that hold ``new``; None if something else holds one of them, too."""
    found: dict[tuple[int, Any], Held] = {}
    ids = {id(v) for v in new}
    for holder, key, value, _, content, name in guards:
        if id(value) in ids and (isinstance(holder, dict) or hasattr(holder, key)):
            place = Held(holder, key, name)
            found[place.at] = place
        if isinstance(content, list):
            for k, item in _items(value):
                if id(item) in ids:
                    place = Held(value, k, f"{name}[{k!r}]")
                    found[place.at] = place
    places = [p for p in found.values() if isinstance(p.get(), Variable)]
    mine = {id(new), *map(id, guards), *(id(g[4]) for g in guards if g[4] is not None)}
    mine |= {id(p.holder) for p in places}

    def is_mine(other: Any) -> bool:
        # An object may hold its attributes itself, although it has a dict of them.
        attributes = getattr(other, "__dict__", None)
        is_held = id(other) in mine or (attributes is not None and id(attributes) in mine)
        return is_held or isinstance(other, types.FrameType)

    held = {id(p.get()) for p in places}
    for v in new:
        if id(v) not in held or not all(map(is_mine, gc.get_referrers(v))):
            return None
    # The items of a list have no guards of their own.
    for p in places:
        if type(p.holder) is list and any((id(p.holder), i) not in found for i in range(len(p.holder))):
            return None
    return places


def replaced(guards: list[tuple[Any, ...]]) -> list[Held]:
    """The places that held a Variable when the guards were made, and hold another one now."""
    found = []
    for holder, key, value, _, content, name in guards:
        pairs = [(holder, key, value, name)] if isinstance(value, Variable) else []
        if isinstance(content, list) and type(value) is dict:
            was = zip(content[::2], content[1::2], strict=True)
            pairs += [(value, k, v, f"{name}[{k!r}]") for k, v in was if isinstance(v, Variable)]
        for at, k, v, text in pairs:
            place = Held(at, k, text)
            now = place.get()
            if now is not v and type(now) is type(v):
                found.append(place)
    return found


def without_held(guards: list[tuple[Any, ...]], held: list[Held]) -> list[tuple[Any, ...]]:
    """The guards without those on the places that a function replaces."""
    if not held:
        return guards
    places = {h.at for h in held}
    holders = {id(h.holder) for h in held if isinstance(h.holder, (dict, list))}
    out: list[tuple[Any, ...]] = []
    for guard in guards:
        holder, key, value, by_value, content, name = guard
        if (id(holder), key) in places:
            continue
        if isinstance(content, list) and id(value) in holders:
            out.append((holder, key, value, by_value, None, name))
            rest = [(k, v) for k, v in _items(value) if (id(value), k) not in places]
            out += [(value, k, v, False, None, f"{name}[{k!r}]") for k, v in rest]
            if type(value) is dict:
                out.append(({name: value}, name, value, False, (value, dict, len(value)), name))
        else:
            out.append(guard)
    return out
