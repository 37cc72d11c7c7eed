"""The result of solvers, and the error when they fail."""

from __future__ import annotations

from typing import Any


class OptimizeResult(dict[str, Any]):
    """The result of a solver: a dict whose entries are attributes, too, as in SciPy.

    ``x`` is the solution in the containers of the start, ``success`` says whether it is one, ``message`` why the solver stopped;
    ``nit`` counts iterations, ``nfev`` evaluations of the function.

    >>> tg.optimize.minimize(lambda x: (x - 3.0) ** 2, 0.0).success
    True
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"OptimizeResult has no {name!r}; it has {', '.join(self)}") from None

    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__

    def __dir__(self) -> list[str]:
        return [*self, *super().__dir__()]

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{k:>{width}}: {v!r}".replace("\n", "\n" + " " * (width + 2)) for k, v in self.items())


class ConvergenceError(RuntimeError):
    """A solver did not reach a solution, so there is none to return or to differentiate.

    :attr:`result` is what it had when it stopped, where there is a result.
    """

    def __init__(self, message: str, result: OptimizeResult | None = None) -> None:
        super().__init__(message)
        self.result = result
