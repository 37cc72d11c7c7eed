"""Functions of nested arrays in the form of SciPy's solvers: of one vector, with gradient and Hessian products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import GradError, ShapeError, Variable
from .._transforms import _check_function, _name
from ..autograd import enable_grad, grad
from ._flat import Flat, as_args, as_tree
from ._samples import plain

if TYPE_CHECKING:
    from collections.abc import Callable


class FunctionAndGradient:
    """A scalar function of nested arrays as one of a NumPy vector; see :func:`fun_and_grad`.

    >>> problem = tg.optimize.fun_and_grad(lambda x: tg.sum(x**2), [1.0, 2.0])
    >>> value, gradient = problem(problem.x0)
    >>> float(value), gradient.tolist()
    (5.0, [2.0, 4.0])
    """

    def __init__(self, f: Callable[..., Any], x0: Any = None, args: tuple[Any, ...] = (), name: str = "fun_and_grad") -> None:
        _check_function(name, f)
        self.f, self.args, self.name = f, as_args(args), name
        self._flat = None if x0 is None else Flat(name, x0)
        #: How often the function was evaluated.
        self.nfev = 0
        self._recorded: tuple[bytes, Any, Any, Any] | None = None

    @property
    def flat(self) -> Flat:
        """The layout of the unknowns in the vector."""
        if self._flat is None:
            raise TypeError(f"{self.name}: give the containers of the unknowns first, as fun_and_grad(f, x0)")
        return self._flat

    @property
    def x0(self) -> np.ndarray:
        """The start as a vector."""
        return self.flat.start.copy()

    def unravel(self, x: Any) -> Any:
        """The vector ``x`` as containers."""
        return self.flat.shaped(self.flat.leaves(self._vector(x).copy()))

    def ravel(self, tree: Any) -> np.ndarray:
        """The vector of containers like those of the start."""
        other = Flat(self.name, tree, "the argument")
        if other.structure != self.flat.structure or other.shapes != self.flat.shapes:
            raise ShapeError(f"{self.name}: the argument is {other.structure}, the unknowns are {self.flat.structure}")
        return other.start

    def _vector(self, x: Any) -> np.ndarray:
        if self._flat is None:
            self._flat = Flat(self.name, as_tree(x), "x")
        v = np.asarray(x, dtype=np.float64).ravel()
        if v.size != self._flat.size:
            raise ShapeError(f"{self.name}: x has {v.size} numbers, expected {self._flat.size}, as many as the unknowns hold")
        return v

    def _value(self, leaves: list[Variable], args: tuple[Any, ...]) -> Variable:
        self.nfev += 1
        y = self.f(self.flat.filled(leaves), *(args or self.args))
        y = plain(y if isinstance(y, Variable) else _core.asarray(y))
        if y.size != 1 or not y.dtype.is_floating_point:
            raise GradError(
                f"{self.name}: {_name(self.f)} must return one floating number, it returned an array of shape {y.shape} and "
                f"dtype {y.dtype}; sum() it, or use least_squares for residuals"
            )
        return y

    def __call__(self, x: Any, *args: Any) -> tuple[float, np.ndarray]:
        """The value and the gradient at the vector ``x``."""
        v = self._vector(x)
        with enable_grad():
            leaves = self.flat.leaves(v, requires_grad=True)
            y = self._value(leaves, args)
            if not y.requires_grad:
                return float(y.item()), np.zeros(v.size)
            # Values that y uses besides the leaves may have a graph that is needed later: it is not freed.
            found = _core.grad([y], leaves, None, True, False, True)
        return float(y.item()), self.flat.vector(list(found))

    def fun(self, x: Any, *args: Any) -> float:
        """The value at the vector ``x``."""
        with _no_grad():
            return float(self._value(self.flat.leaves(self._vector(x)), args).item())

    def grad(self, x: Any, *args: Any) -> np.ndarray:
        """The gradient at the vector ``x``."""
        return self(x, *args)[1]

    jac = grad

    def _gradient_graph(self, x: np.ndarray, args: tuple[Any, ...]) -> tuple[list[Variable], list[Variable], list[int]]:
        """The leaves at ``x`` and the recorded gradient, kept for further products at the same place."""
        key = x.tobytes()
        if self._recorded is not None and self._recorded[0] == key and not args:
            return self._recorded[1], self._recorded[2], self._recorded[3]
        with enable_grad():
            leaves = self.flat.leaves(x, requires_grad=True)
            y = self._value(leaves, args)
            found = grad(y, leaves, create_graph=True, allow_unused=True) if y.requires_grad else [None] * len(leaves)
        places = [i for i, g in enumerate(found) if g is not None and g.requires_grad]
        gradients = [g for g in found if g is not None and g.requires_grad]
        self._recorded = None if args else (key, leaves, gradients, places)
        return leaves, gradients, places

    def hessp(self, x: Any, p: Any, *args: Any) -> np.ndarray:
        """The product of the Hessian at the vector ``x`` with ``p``. Products at one place share one recorded gradient."""
        leaves, gradients, places = self._gradient_graph(self._vector(x), args)
        if not gradients:
            return np.zeros(self.flat.size)
        direction = self.flat.leaves(np.asarray(p, dtype=np.float64).ravel())
        found = grad(gradients, leaves, [direction[i] for i in places], retain_graph=True, allow_unused=True)
        return self.flat.vector(list(found))

    def hess(self, x: Any, *args: Any) -> np.ndarray:
        """The Hessian at the vector ``x``, dense: see :func:`tapegrad.sparse_hessian` for large sparse ones."""
        leaves, gradients, places = self._gradient_graph(self._vector(x), args)
        n = self.flat.size
        out = np.zeros((n, n))
        if not gradients:
            return out
        block = max(1, min(n, 4_000_000 // max(n, 1)))
        for start in range(0, n, block):
            rows = np.eye(min(block, n - start), n, start)
            seeds = self._seeds(rows, places)
            found = grad(gradients, leaves, seeds, retain_graph=True, allow_unused=True, is_grads_batched=True)
            for a, b, g in zip(self.flat.ends, self.flat.ends[1:], found):
                if g is not None:
                    out[start : start + len(rows), a:b] = g.numpy().reshape(len(rows), -1)
        return out

    def _seeds(self, rows: np.ndarray, places: list[int]) -> list[Variable]:
        flat = self.flat
        parts = [(flat.ends[i], flat.ends[i + 1], flat.shapes[i], flat.dtypes[i]) for i in places]
        return [Variable(rows[:, a:b].reshape(len(rows), *shape), dtype=dtype) for a, b, shape, dtype in parts]


def _no_grad() -> Any:
    from ..autograd import no_grad

    return no_grad()


def fun_and_grad(f: Callable[..., Any], x0: Any = None, args: tuple[Any, ...] = ()) -> FunctionAndGradient:
    """``f`` as SciPy's solvers want it: ``problem(x)`` is the pair of value and gradient at a NumPy vector.

    Pass it with ``jac=True``. For a function of nested arrays give a start ``x0`` with the containers: ``problem.x0`` is its
    vector, and ``problem.unravel(x)`` puts a solution back. ``problem.hessp`` multiplies by the Hessian, ``problem.hess`` is the
    Hessian, ``problem.fun`` and ``problem.jac`` are the value and the gradient alone.

    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> def f(p):
    ...     return tg.sum((p["a"] - 1.0) ** 2) + (p["b"] + 2.0) ** 2
    >>> problem = tg.optimize.fun_and_grad(f, {"a": np.zeros(2), "b": 0.0})
    >>> result = minimize(problem, problem.x0, jac=True, hessp=problem.hessp, method="Newton-CG")
    >>> problem.unravel(result.x)["a"].tolist()
    [1.0, 1.0]
    """
    return FunctionAndGradient(f, x0, args)
