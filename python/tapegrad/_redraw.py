"""Random numbers that are drawn a second time as they were: for functions that run again."""

from __future__ import annotations

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = ["Draws"]


class Draws:
    """What the generator of the process draws from now on, to be drawn again in ``with draws:`` blocks.

    What is drawn behind a block goes on as before it.

    >>> draws = Draws()
    >>> first = tg.random.randn(3)
    >>> with draws:
    ...     second = tg.random.randn(3)
    >>> bool((first == second).all())
    True
    """

    def __init__(self) -> None:
        self._generator: Any = _core.manual_seed.__self__  # type: ignore[attr-defined]
        self._mark = self._generator._mark()
        self._now: list[Any] = []

    def __enter__(self) -> None:
        self._now.append(self._generator._mark())
        self.rewind()

    def __exit__(self, *error: object) -> Literal[False]:
        self._generator._rewind(self._now.pop())
        return False

    def rewind(self) -> None:
        """Draws them again from here on."""
        self._generator._rewind(self._mark)

    def are_none(self) -> bool:
        """Whether nothing was drawn since."""
        return bool(self._generator._is_at(self._mark))
