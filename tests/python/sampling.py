"""The choice of test cases: all of them, or in ``make test`` as many as fit, chosen by the seed that it prints."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

#: The seed of this run; empty when everything runs.
SEED = os.environ.get("TAPEGRAD_SEED", "")


def sample(what: str, cases: Iterable[T], count: int) -> list[T]:
    """``count`` of the cases in their order, others for another seed or another ``what``; all of them without a seed."""
    found = list(cases)
    if not SEED or len(found) <= count:
        return found
    places = random.Random(f"{SEED} {what}").sample(range(len(found)), count)
    return [found[i] for i in sorted(places)]
