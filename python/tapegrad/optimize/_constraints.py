"""Minimisation with constraints: SciPy's SLSQP, made exact by Newton steps on the conditions of Karush, Kuhn and Tucker.

These conditions are equations of the unknowns and the multipliers of the active constraints, so the solution is differentiated by
the implicit function theorem, as one without constraints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._messages import check_scipy
from .._transforms import _check_function, grad, jacfwd, jacrev
from ..autograd import enable_grad, no_grad
from ._flat import as_args, joined
from ._implicit import polished
from ._samples import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._bridge import FunctionAndGradient
    from ._flat import Flat


#: A constraint may be active whose value, in units of the numbers that it is made of, is at most so large.
NEAR = 1e-6


class Bounds:
    """Bounds ``lb <= x <= ub``, each a number or an array, for ``minimize``, ``least_squares`` and ``curve_fit``.

    >>> bounds = tg.optimize.Bounds([1.0, 2.0], 5.0)
    >>> tg.optimize.minimize(lambda x: tg.sum(x**2), [3.0, 3.0], bounds=bounds).x.tolist()
    [1.0, 2.0]
    """

    def __init__(self, lb: Any = -np.inf, ub: Any = np.inf) -> None:
        self.lb, self.ub = lb, ub

    def __repr__(self) -> str:
        return f"Bounds({self.lb!r}, {self.ub!r})"


class LinearConstraint:
    """The constraint ``lb <= A @ x <= ub`` of ``minimize``; where ``lb`` and ``ub`` are equal it is an equation.

    >>> sum_is_one = tg.optimize.LinearConstraint([[1.0, 1.0]], 1.0, 1.0)
    >>> tg.optimize.minimize(lambda x: tg.sum(x**2), [3.0, 0.0], constraints=sum_is_one).x.round(6).tolist()
    [0.5, 0.5]
    """

    def __init__(self, A: Any, lb: Any = -np.inf, ub: Any = np.inf) -> None:
        self.A, self.lb, self.ub = A, lb, ub


class NonlinearConstraint:
    """The constraint ``lb <= fun(x) <= ub`` of ``minimize``; where ``lb`` and ``ub`` are equal it is an equation.

    >>> circle = tg.optimize.NonlinearConstraint(lambda x: tg.sum(x**2), 0.0, 2.0)
    >>> tg.optimize.minimize(lambda x: x[0] + x[1], [0.5, 0.0], constraints=circle).x.round(6).tolist()
    [-1.0, -1.0]
    """

    def __init__(self, fun: Callable[..., Any], lb: Any = -np.inf, ub: Any = np.inf) -> None:
        _check_function("NonlinearConstraint", fun)
        self.fun, self.lb, self.ub = fun, lb, ub


class _Part:
    """One constraint: a vector function, and its limits, by which rows are zero or not negative."""

    def __init__(self, value: Callable[[Variable], Variable], lb: Any, ub: Any) -> None:
        self.value, self.lb, self.ub = value, lb, ub
        self.rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def begin(self, v: Variable) -> tuple[int, int]:
        """Finds the rows, at the start; returns how many equations and inequalities there are."""
        size = plain(self.value(v)).size
        low, high = (self._limit(b, size) for b in (self.lb, self.ub))
        if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
            raise ValueError("minimize: a constraint has a lower limit above its upper one")
        equal = low == high
        self.rows = tuple(map(np.flatnonzero, (equal, ~equal & np.isfinite(low), ~equal & np.isfinite(high))))  # type: ignore[assignment]
        return len(self.rows[0]), len(self.rows[1]) + len(self.rows[2])  # type: ignore[index]

    @staticmethod
    def _limit(b: Any, size: int) -> np.ndarray:
        given = plain(b).detach().numpy() if isinstance(b, Variable) else np.asarray(b, dtype=np.float64)
        try:
            return np.broadcast_to(given.astype(np.float64), (size,))
        except ValueError:
            raise ShapeError(f"minimize: a constraint has {size} values and limits of shape {given.shape}") from None

    def equations(self, v: Variable) -> tuple[Variable, Variable]:
        """What must be zero, and what must not be negative."""
        equal, low, high = self.rows  # type: ignore[misc]
        value = self.value(v)
        lb, ub = (_core.broadcast_to(_core.asarray(b, dtype=value.dtype), value.shape) for b in (self.lb, self.ub))
        return value[equal] - lb[equal], _core.concat([value[low] - lb[low], ub[high] - value[high]])


def _part(given: Any, flat: Flat) -> _Part:
    """A constraint of SciPy's kinds: a dict, or an object with a matrix or a function and limits."""

    def of(fun: Any, args: tuple[Any, ...]) -> Callable[[Variable], Variable]:
        return lambda v: joined("minimize", fun(flat.filled(flat.split(v)), *args), flat.dtype)

    if isinstance(given, dict):
        kind = str(given.get("type", "")).lower()
        if kind not in ("eq", "ineq"):
            raise ValueError(f"minimize: the type of a constraint is {given.get('type')!r}, expected 'eq' or 'ineq'")
        if unknown := sorted(set(given) - {"type", "fun", "args"}):
            more = ": Jacobians are taken from 'fun'" if "jac" in unknown else ""
            raise ValueError(f"minimize: a constraint has entries {unknown} that are not used; leave them out{more}")
        _check_function("minimize: 'fun' of a constraint", given.get("fun"))
        return _Part(of(given["fun"], as_args(given.get("args", ()))), 0.0, 0.0 if kind == "eq" else np.inf)
    if np.any(getattr(given, "keep_feasible", False)):
        raise ValueError("minimize: keep_feasible of a constraint is not available: a step may leave it")
    if callable(getattr(given, "jac", None)):
        raise ValueError(
            "minimize: a constraint has a function jac, which is not used; leave it out: Jacobians are taken from fun"
        )
    if hasattr(given, "A") and hasattr(given, "lb"):
        matrix = _core.asarray(given.A.toarray() if hasattr(given.A, "toarray") else given.A, dtype=flat.dtype)
        matrix = _core.reshape(matrix, (-1, matrix.shape[-1])) if matrix.ndim else matrix
        if matrix.ndim != 2 or matrix.shape[1] != flat.size:
            raise ShapeError(
                f"minimize: the matrix of a constraint has shape {matrix.shape}, the unknowns hold {flat.size} numbers"
            )
        return _Part(lambda v: matrix @ v, given.lb, given.ub)
    if hasattr(given, "fun") and hasattr(given, "lb"):
        return _Part(of(given.fun, ()), given.lb, given.ub)
    raise TypeError(
        f"minimize: a constraint is {type(given).__name__}, expected a dict with 'type' and 'fun', a LinearConstraint or a "
        "NonlinearConstraint"
    )


class Constraints:
    """All constraints as one vector function: equations first, then what must not be negative."""

    def __init__(self, given: Any, problem: FunctionAndGradient) -> None:
        single = isinstance(given, dict) or not isinstance(given, (list, tuple))
        self.problem, self.flat = problem, problem.flat
        self.parts = [_part(c, self.flat) for c in ([given] if single else given)]
        with no_grad():
            counts = [p.begin(Variable(self.flat.start, dtype=self.flat.dtype)) for p in self.parts]
        self.count = sum(a for a, _ in counts)
        self.size = self.count + sum(b for _, b in counts)
        self._known: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def vector(self, v: Variable) -> Variable:
        """The values, recorded."""
        if not self.parts:
            return _core.zeros((0,), dtype=self.flat.dtype)
        pairs = [p.equations(v) for p in self.parts]
        return _core.concat([*(a for a, _ in pairs), *(b for _, b in pairs)])

    def numbers(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values and the Jacobian."""
        key = x.tobytes()
        if self._known is None or self._known[0] != key:
            mode = jacfwd if x.size <= 2 * self.size else jacrev
            v = Variable(x, dtype=self.flat.dtype)
            with no_grad():
                value = plain(self.vector(v)).numpy().astype(np.float64)
            with enable_grad():
                jacobian = plain(mode(self.vector)(v)).numpy().astype(np.float64)
            self._known = key, value, jacobian
        return self._known[1], self._known[2]

    def for_scipy(self) -> list[dict[str, Any]]:
        """The constraints as SciPy takes them."""
        rows = {"eq": slice(0, self.count), "ineq": slice(self.count, self.size)}
        return [
            {"type": kind, "fun": lambda x, at=at: self.numbers(x)[0][at], "jac": lambda x, at=at: self.numbers(x)[1][at]}
            for kind, at in rows.items()
            if at.stop > at.start
        ]

    def equation(self, z: Variable) -> Variable:
        """What is zero at the solution: the gradient of Lagrange's function, and the active constraints."""
        n = self.flat.size
        x, multipliers = z[:n], z[n:]

        def lagrange(v: Variable) -> Variable:
            f: Variable = _core.reshape(
                _core.asarray(self.problem.f(self.flat.filled(self.flat.split(v)), *self.problem.args)), ()
            )
            return f - _core.sum(multipliers * self.vector(v)) if self.size else f

        return _core.concat([grad(lagrange)(x), self.vector(x)])


class Found:
    """A point with its multipliers, and how far it is from the conditions."""

    def __init__(self, all_: Constraints, x: np.ndarray, gradient: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> None:
        from scipy.optimize import nnls

        values, jacobian = all_.numbers(x)
        low, high = limits
        count, eye = all_.count, np.eye(x.size)
        near = np.flatnonzero(values[count:] <= NEAR * (1.0 + np.abs(jacobian[count:]) @ np.abs(x))) + count
        # The solver stops beside bounds and constraints.
        lows, highs = np.flatnonzero(x - low <= NEAR * (1.0 + np.abs(x))), np.flatnonzero(high - x <= NEAR * (1.0 + np.abs(x)))
        columns = np.concatenate([jacobian[:count], -jacobian[:count], jacobian[near], eye[lows], -eye[highs]]).T
        size = np.linalg.norm(columns, axis=0)
        size[size == 0] = 1.0
        weights, self.slope = np.zeros(size.size), float(np.linalg.norm(gradient))
        if size.size:
            weights, self.slope = nnls(columns / size, gradient)
        weights = weights / size
        # Multipliers that are only rounding belong to constraints that are not active.
        weights[weights * size <= 1e-9 * (1.0 + np.linalg.norm(gradient))] = 0.0
        self.multipliers = np.zeros(all_.size)
        self.multipliers[:count] = weights[:count] - weights[count : 2 * count]
        self.multipliers[near] = weights[2 * count : 2 * count + near.size]
        rest = weights[2 * count + near.size :]
        self.held = np.zeros(x.size + all_.size, bool)
        self.held[np.concatenate([lows, highs])[rest > 0]] = True
        #: The point with the components that a bound holds on that bound.
        self.x = x.copy()
        self.x[lows[rest[: lows.size] > 0]] = low[lows[rest[: lows.size] > 0]]
        self.x[highs[rest[lows.size :] > 0]] = high[highs[rest[lows.size :] > 0]]
        self.held[x.size + count :] = self.multipliers[count:] == 0
        self.scale = 1.0 + float(np.linalg.norm(gradient))
        self.violation = _violation(values, count)

    def is_solution(self, tol: float) -> bool:
        """Whether the conditions hold."""
        return bool(self.violation <= tol and self.slope <= tol * self.scale)


def _violation(values: np.ndarray, count: int) -> float:
    return float(max(np.abs(values[:count]).max(initial=0.0), -values[count:].min(initial=0.0)))


def slsqp(
    problem: FunctionAndGradient, all_: Constraints, limits: tuple[np.ndarray, np.ndarray], options: dict[str, Any], callback: Any
) -> tuple[Any, ...]:
    """The end point, its multipliers, what is held, and the result of SciPy's solver."""
    check_scipy("minimize: method 'SLSQP', which runs SciPy's solver,")
    from scipy.optimize import minimize as scipy_minimize

    low, high = limits
    start = np.clip(problem.x0, low, high)
    settings: dict[str, Any] = {
        "jac": True,
        "bounds": list(zip(low, high)),
        "constraints": all_.for_scipy(),
        "callback": callback,
    }
    end = scipy_minimize(problem, start, method="SLSQP", options=options, **settings)
    x = np.clip(np.asarray(end.x, dtype=np.float64), low, high)
    if not (np.isfinite(x).all() and np.isfinite(end.fun)):
        blank = np.zeros(all_.size)
        return x, blank, np.ones(x.size + all_.size, bool), end, False, str(end.message)
    found = Found(all_, x, problem(x)[1], limits)
    better, point = _sharpened(problem, all_, x, found, limits)
    # The line search may stop at the accuracy of the function: that may be a solution.
    tol = 1e-6 if problem.flat.eps < 1e-10 else 1e-3
    good = point.is_solution(tol) or (bool(end.success) and point.violation <= tol)
    message = str(end.message) if bool(end.success) == good else "the conditions of Karush, Kuhn and Tucker hold"
    if not good and end.success:
        message = f"constraints are violated by {point.violation:.1e}"
    return better, point.multipliers, point.held, end, good, message


def _sharpened(
    problem: FunctionAndGradient, all_: Constraints, x: np.ndarray, found: Found, limits: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, Found]:
    """The point after Newton steps with these active constraints, if it meets the conditions better."""
    free = ~found.held
    low = np.concatenate([limits[0], np.where(np.arange(all_.size) < all_.count, -np.inf, 0.0)])
    high = np.concatenate([limits[1], np.full(all_.size, np.inf)])
    z = np.concatenate([found.x, found.multipliers])
    new = polished(all_.equation, z, problem.flat.dtype, free, (low, high), always=True)[: x.size]
    if (new == x).all():
        return x, found
    after = Found(all_, new, problem(new)[1], limits)
    same = (after.held == found.held).all()
    better = after.slope <= found.slope + 1e-12 * found.scale and after.violation <= max(found.violation, 1e-12)
    return (new, after) if same and better else (x, found)
