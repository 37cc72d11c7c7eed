"""Mappings over the attributes of a module."""

from __future__ import annotations

from collections.abc import MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Slots(MutableMapping[str, "Any"]):
    """The attributes of one kind of a module by name; writing to it writes to the module."""

    def __init__(self, owner: Any, pairs: Callable[[], Iterator[tuple[str, Any]]], put: Callable[[str, Any], None]) -> None:
        self._owner, self._pairs, self._put = owner, pairs, put

    def __getitem__(self, name: str) -> Any:
        for own, value in self._pairs():
            if own == name:
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self._owner, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in list(self._pairs()))

    def __len__(self) -> int:
        return sum(1 for _ in self._pairs())

    def __repr__(self) -> str:
        return repr(dict(self._pairs()))
