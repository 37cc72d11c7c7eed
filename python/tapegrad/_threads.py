"""The number of threads, for a while."""

from __future__ import annotations

from contextlib import contextmanager

from ._core import get_num_threads, set_num_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Large operations use at most `n` threads inside the block, the calling one included; afterwards as many as before.

    The number belongs to the process, as with `set_num_threads`. Results do not depend on it, bit for bit.

    Raises:
        ValueError: `n` is less than 1.

    >>> before = tg.get_num_threads()
    >>> with tg.num_threads(1):
    ...     tg.get_num_threads()
    1
    >>> tg.get_num_threads() == before
    True
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)
