"""A recorded program as users see it: called with Variables, listed, frozen for inference."""

from __future__ import annotations

from typing import Any

from . import _core
from ._tree import flatten


class Program:
    """A recorded program of a compiled function, from :meth:`Compiled.programs`.

    >>> f = tg.compile(lambda x: {"y": x * 2 + 1})
    >>> for _ in range(3):
    ...     y = f(tg.ones(2))
    >>> p = f.programs()[0]
    >>> p(tg.Variable([1.0, 3.0]))
    {'y': Variable([3., 7.])}
    >>> len(p)
    1
    """

    def __init__(self, variant: Any, core: Any = None) -> None:
        self._variant, self._core = variant, core or variant.program

    def __len__(self) -> int:
        """Number of instructions."""
        return int(self._core.size()[1])

    def __call__(self, *args: Any) -> Any:
        """Runs the program, whatever its guards say. The arguments have the shapes and dtypes of the recording.

        Raises ShapeError or DTypeError when they have not.
        """
        found: list[Any] = []
        flatten(list(args), found)
        arguments = [x if isinstance(x, _core.Variable) else _core.asarray(x) for x in found]
        return self._variant.result(self._core.call(arguments), arguments)

    def listing(self) -> str:
        """The instructions, a line each."""
        return str(self._core.listing())

    def __repr__(self) -> str:
        steps, instructions = self._core.size()
        return f"<program of {instructions} instructions, recorded in {steps} steps>"

    def freeze(self) -> Program:
        """The program for inference.

        Present values of parameters and buffers become constants, and what depends on them alone is computed once. Its results
        are not tracked.

        Raises ValueError when the program changes state, as a training step does.

        >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
        >>> f = tg.compile(lambda x: x * tg.exp(w))
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> len(f.programs()[0].freeze())
        1
        """
        return Program(self._variant, self._core.freeze())
