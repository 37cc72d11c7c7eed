"""Minimisation of scalar functions of nested arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Variable
from .._messages import check_scipy
from .._transforms import grad
from ._bounds import bounds_of
from ._bridge import FunctionAndGradient
from ._constraints import Constraints, slsqp
from ._descent import Stop, is_least, lbfgs, newton_cg
from ._flat import as_args, chosen
from ._implicit import attach, polished
from ._result import OptimizeResult
from ._samples import each_sample, has_derivative, message_of, one, worst

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._flat import Flat

_OPTIONS: dict[str, dict[str, Any]] = {
    "L-BFGS": {"maxiter": 15000, "gtol": 1e-8, "ftol": 1e-15, "maxcor": 10, "maxls": 25},
    "Newton-CG": {"maxiter": 1000, "gtol": 1e-8, "ftol": 1e-15, "maxls": 25},
    "L-BFGS-B": {"maxiter": 15000, "maxfun": 150000, "gtol": 1e-8, "ftol": 1e-15, "maxcor": 10, "maxls": 25},
    "SLSQP": {"maxiter": 1000, "ftol": 1e-12},
    "BFGS": {"maxiter": 15000, "gtol": 1e-8},
    "CG": {"maxiter": 15000, "gtol": 1e-8},
    "TNC": {"maxfun": 150000, "gtol": 1e-8, "ftol": 1e-15, "xtol": 0.0},
    "trust-ncg": {"maxiter": 1000, "gtol": 1e-8},
    "trust-exact": {"maxiter": 1000, "gtol": 1e-8},
    "Nelder-Mead": {"maxiter": None, "maxfev": None, "xatol": 1e-8, "fatol": 1e-12, "adaptive": False},
    "Powell": {"maxiter": None, "maxfev": None, "xtol": 1e-8, "ftol": 1e-12},
}
#: Those that run SciPy's solver with our derivatives, by what they call besides the value; and those that take bounds.
_SCIPYS = {
    **dict.fromkeys(("L-BFGS-B", "BFGS", "CG", "TNC"), "gradient"),
    "trust-ncg": "hessp",
    "trust-exact": "hess",
    **dict.fromkeys(("Nelder-Mead", "Powell"), "value"),
}
_BOUNDED = ("L-BFGS-B", "SLSQP", "TNC", "Nelder-Mead", "Powell")


def options_of(name: str, given: dict[str, Any] | None, known: dict[str, Any]) -> dict[str, Any]:
    """Options with their defaults; raises for one that the method does not have."""
    for key in given or {}:
        if key not in known:
            raise ValueError(f"{name}: unknown option {key!r}; there are {', '.join(known)}")
    return {**known, **(given or {})}


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str | None = None,
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
    *,
    constraints: Any = (),
) -> OptimizeResult:
    """The ``x`` near ``x0`` where the scalar function ``fun(x, *args)`` is least.

    ``x0`` is a number, an array, a list of numbers, or a nested container of arrays; ``fun`` gets ``x`` in the same containers,
    and numbers become float64 arrays. All derivatives are taken from ``fun``.
    ``method`` is "L-BFGS" (the default: limited memory, strong Wolfe line search), "Newton-CG" (Hessian products, few
    iterations), "L-BFGS-B" (the default with ``bounds``), or "SLSQP" (the default with ``constraints``; Newton steps follow it).
    The last two run SciPy's solvers with our derivatives; so do "BFGS", "CG", "trust-ncg", "trust-exact" and "TNC". SciPy's
    "Nelder-Mead" and "Powell" use values alone. These two and "TNC" take bounds.
    ``bounds`` is a list of pairs ``(low, high)``, one for each element of a vector; one pair for all elements; containers like
    ``x0`` with a pair at each array; or :class:`Bounds`. None is no bound.
    ``constraints`` is one constraint or a list of them, with SciPy's meaning: ``{"type": "eq", "fun": c}`` for c(x) = 0,
    ``{"type": "ineq", "fun": c}`` for c(x) >= 0, where c returns numbers or arrays and may have further ``"args"``;
    :class:`LinearConstraint` and :class:`NonlinearConstraint`, or SciPy's. Their Jacobians are taken from the functions.

    ``tol`` sets the option ``gtol``: the largest component of the (projected) gradient; of "SLSQP" it is ``ftol``. Options:
    ``maxiter``, ``gtol``, ``ftol`` (relative decrease), ``maxcor`` (pairs kept), ``maxls`` (steps of a line search), ``maxfun``.
    Those of "Nelder-Mead" and "Powell" are SciPy's, whose tolerances ``tol`` sets. ``callback(x)`` is called after each
    iteration; when it raises ``StopIteration`` the solver stops.

    The result has ``x, fun, jac, nit, nfev, success, status, message``, as SciPy's. Where ``fun`` uses tracked Variables, passed
    or closed over, ``x`` and ``fun`` can be differentiated by them, twice, in reverse and forward mode; components held by a
    bound are constant, as is the set of active constraints. Their ``multipliers`` are differentiable: equations, inequalities,
    lower limits before upper ones. A solver that did not succeed raises :class:`ConvergenceError` then, a singular Hessian
    ``LinAlgError``. Without tracked Variables a failure is ``success=False``.

    >>> rosenbrock = lambda x: tg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> result = tg.optimize.minimize(rosenbrock, [-1.2, 1.0, 1.0])
    >>> result.success, [round(v, 6) for v in result.x.tolist()]
    (True, [1.0, 1.0, 1.0])
    >>> circle = {"type": "eq", "fun": lambda x: tg.sum(x**2) - 2.0}
    >>> tg.optimize.minimize(lambda x: x[0] + x[1], [1.0, 0.0], constraints=circle).x.round(6).tolist()
    [-1.0, -1.0]
    """
    name = _method(method, bounds is not None, _is_given(constraints))
    settings = options_of("minimize", options, _OPTIONS[name])
    settings.update({} if tol is None else dict.fromkeys(_tolerances(settings), tol))

    def solve() -> tuple[Any, ...]:
        problem = FunctionAndGradient(fun, x0, args, name="minimize")
        limits = bounds_of("minimize", bounds, problem.flat)
        if name == "SLSQP":
            return _constrained(problem, constraints if _is_given(constraints) else (), limits, settings, callback)
        return _solved(problem, name, limits, settings, callback)

    solved = each_sample(solve)
    return _constrained_result(solved) if name == "SLSQP" else _result(fun, as_args(args), solved)


def _is_given(constraints: Any) -> bool:
    return constraints is not None and not (isinstance(constraints, (list, tuple)) and not constraints)


def _tolerances(settings: dict[str, Any]) -> list[str]:
    """The options that ``tol`` sets."""
    return ["gtol"] if "gtol" in settings else [key for key in settings if key.endswith("tol")]


def _method(method: str | None, bounded: bool, constrained: bool) -> str:
    """The name of the method, which must take what there is."""
    default = "SLSQP" if constrained else "L-BFGS-B" if bounded else "L-BFGS"
    name = chosen("minimize", "method", method, default, _OPTIONS)
    if bounded and name not in _BOUNDED:
        raise ValueError(f"minimize: method {name!r} takes no bounds; use 'L-BFGS-B'")
    if constrained and name != "SLSQP":
        raise ValueError(f"minimize: method {name!r} takes no constraints; use 'SLSQP'")
    return name


def _result(fun: Callable[..., Any], args: tuple[Any, ...], solved: list[Any]) -> OptimizeResult:
    """The result of :func:`minimize`, with the derivatives of the solution."""
    flat, x, least, slope, held, nit, nfev, good, status, message = solved
    flat = flat[0] if isinstance(flat, list) else flat
    success, reason = worst(good), message_of(good, message)

    def value(v: Variable) -> Any:
        return fun(flat.filled(flat.split(v)), *args)

    x = attach("minimize", grad(value), x, held, "" if success else reason, symmetric=True)
    at = value(x)
    return _found(flat, x, at, (least, slope), nit=nit, nfev=nfev, success=success, status=status, message=reason)


def _found(
    flat: Flat, x: Variable, at: Any, numbers: tuple[Variable, Variable], *, nit: Any, nfev: Any, **more: Any
) -> OptimizeResult:
    """The result at ``x``: ``at`` is the value with derivatives, if there are any, ``numbers`` the value and the gradient."""
    least, slope = numbers
    return OptimizeResult(
        x=flat.shaped(flat.split(x)),
        # The value may depend on Variables that the solution does not depend on.
        fun=at if isinstance(at, Variable) and has_derivative(at) else least.astype(flat.dtype),
        jac=flat.shaped(flat.split(slope.astype(flat.dtype))),
        nit=one(nit),
        nfev=one(nfev),
        njev=one(nfev),
        **more,
    )


def _constrained(problem: FunctionAndGradient, constraints: Any, limits: Any, settings: Any, callback: Any) -> tuple[Any, ...]:
    """One run with constraints."""
    flat = problem.flat
    all_ = Constraints(constraints, problem)
    step = None if callback is None else lambda v: callback(flat.shaped(flat.leaves(v.copy())))
    x, multipliers, held, end, good, message = slsqp(problem, all_, limits, settings, step)
    value, slope = problem(x)
    dtype = str(flat.dtype)
    found = (np.concatenate([x, multipliers]).astype(dtype), np.asarray(value), slope, held.astype(dtype))
    return all_, *found, int(end.nit), int(end.nfev), good, 0 if good else int(end.status) or 2, message


def _constrained_result(solved: list[Any]) -> OptimizeResult:
    """The result of a run with constraints, with the derivatives of the solution and of the multipliers."""
    all_, z, least, slope, held, nit, nfev, good, status, message = solved
    all_ = all_[0] if isinstance(all_, list) else all_
    flat, problem = all_.flat, all_.problem
    success, reason = worst(good), message_of(good, message)
    z = attach("minimize", all_.equation, z, held, "" if success else reason, symmetric=False)
    x = z[: flat.size]
    at = problem.f(flat.filled(flat.split(x)), *problem.args)
    more = {"multipliers": z[flat.size :], "success": success, "status": status, "message": reason}
    return _found(flat, x, at, (least, slope), nit=nit, nfev=nfev, **more)


def _solved(problem: FunctionAndGradient, name: str, limits: Any, settings: dict[str, Any], callback: Any) -> tuple[Any, ...]:
    """One run: returns the unknowns, the end point and the reason for stopping."""
    flat = problem.flat
    step = None if callback is None else lambda v: callback(flat.shaped(flat.leaves(v.copy())))
    if name in _SCIPYS:
        end = _by_scipy(problem, name, limits, settings, step)
    else:
        end = (lbfgs if name == "L-BFGS" else newton_cg)(problem, flat.start.copy(), flat.eps, settings, step)
    held = _held(end.x, end.jac, limits)
    x, used = end.x, problem.nfev
    if end.success:
        value = grad(lambda v: problem.f(flat.filled(flat.split(v)), *problem.args))
        x = polished(value, x, flat.dtype, ~held, limits)
    as_dtype = str(flat.dtype)
    found = (x.astype(as_dtype), np.asarray(end.fun), end.jac, held.astype(as_dtype))
    return flat, *found, end.nit, used, end.success, end.status, end.message


def _held(x: np.ndarray, gradient: np.ndarray, limits: Any) -> np.ndarray:
    """The components that stay at a bound, because the gradient pushes them outward."""
    low, high = limits
    return np.asarray(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))


def _by_scipy(problem: FunctionAndGradient, name: str, limits: Any, settings: dict[str, Any], callback: Any) -> Stop:
    check_scipy(f"minimize: method {name!r}, which runs SciPy's solver,")
    from scipy.optimize import minimize as scipy_minimize

    low, high = limits
    start, uses = np.clip(problem.x0, low, high), _SCIPYS[name]
    bounds = list(zip(low, high)) if name in _BOUNDED else None
    calls = {uses: getattr(problem, uses)} if uses.startswith("hess") else {}
    fun = problem.fun if uses == "value" else problem
    given = {key: value for key, value in settings.items() if value is not None}
    jac = None if uses == "value" else True
    found = scipy_minimize(fun, start, jac=jac, method=name, bounds=bounds, options=given, callback=callback, **calls)
    x = np.clip(found.x, low, high)
    value, slope = problem(x) if uses == "value" else (float(found.fun), np.asarray(found.jac))
    good, message = bool(found.success), str(found.message)
    if not good and any(word in message for word in ("ABNORMAL", "precision", "approximation")):
        # The line search stops at the accuracy of the function: that may be a solution.
        good = is_least(problem, x, value, slope, ~_held(x, slope, limits), problem.flat.eps)
        message = "the function cannot be lowered at this precision" if good else message
    return Stop(x, value, slope, int(found.nit), good, 0 if good else int(found.status) or 2, message)
