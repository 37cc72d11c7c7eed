"""One unknown: roots in a bracket, minima of functions of one variable.

The solvers are derivative-free and keep a bracket, so they find a solution where Newton's method leaves the domain. Their results
are differentiable as those of :func:`minimize`.
"""

from __future__ import annotations

from math import copysign, isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import GradError, Variable
from .._transforms import grad
from ._equations import root
from ._fitting import Residuals
from ._implicit import attach, polished
from ._result import ConvergenceError, OptimizeResult
from ._samples import each_sample, has_derivative, message_of, one, plain, worst

if TYPE_CHECKING:
    from collections.abc import Callable


def _bracketed(
    f: Callable[[float], float], a: float, b: float, xtol: float, rtol: float, maxiter: int
) -> tuple[float, int, bool]:
    """A root between ``a`` and ``b``, by Chandrupatla's method: bisection, or inverse quadratic interpolation where it is safe.

    (T. R. Chandrupatla, A new hybrid quadratic/bisection algorithm, Advances in Engineering Software 28, 1997.)
    """
    fa, fb = f(a), f(b)
    c, fc, at = a, fa, 0.5
    for iteration in range(maxiter):
        best = a if abs(fa) < abs(fb) else b
        within = 2.0 * rtol * abs(best) + 0.5 * xtol
        if min(abs(fa), abs(fb)) == 0.0 or within >= 0.5 * abs(b - a):
            return best, iteration, True
        width = within / abs(b - a)
        x = a + min(max(at, width), 1.0 - width) * (b - a)
        fx = f(x)
        if not isfinite(fx):
            return x, iteration + 1, False
        if (fx > 0) == (fa > 0):
            c, fc, a, fa = a, fa, x, fx
        else:
            c, fc, b, a, fb, fa = b, fb, a, x, fa, fx
        at = _place(a, b, c, fa, fb, fc)
    return (a if abs(fa) < abs(fb) else b), maxiter, False


def _place(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    """Where in the bracket the next point lies, from 0 at ``a`` to 1 at ``b``."""
    if fb == fc or fa in (fb, fc) or b == c:
        return 0.5
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if not (phi**2 < xi and (1 - phi) ** 2 < 1 - xi):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)


def _numbers(name: str, **values: Any) -> list[float]:
    """Ends of a bracket as numbers."""
    out = [float(v.detach() if isinstance(v, Variable) else v) for v in values.values()]
    if not all(map(isfinite, out)):
        raise ValueError(f"{name}: {', '.join(values)} must be finite, got {', '.join(map(str, out))}")
    return out


def root_scalar(
    f: Callable[..., Any],
    args: tuple[Any, ...] = (),
    method: str | None = None,
    bracket: Any = None,
    x0: Any = None,
    xtol: float = 2e-12,
    rtol: float = 8.9e-16,
    maxiter: int = 100,
) -> OptimizeResult:
    """A number where ``f(x, *args)`` is zero: between the ends of ``bracket``, or near ``x0``.

    In a bracket, at whose ends ``f`` has different signs, the method is Chandrupatla's ("brentq", "brenth", "bisect", "ridder"
    and "toms748" are accepted as names of it); from ``x0`` it is that of :func:`root` ("newton"). The result has ``root,
    converged, iterations, function_calls, flag``; ``root`` is a float64 array without axes, differentiable as that of
    :func:`root`.

    Raises ValueError for a bracket whose ends have one sign. A root that was not reached has no derivative: that is a
    ConvergenceError where one is wanted.

    >>> a = tg.Variable(2.0, dtype="float64", requires_grad=True)
    >>> x = tg.optimize.root_scalar(lambda x: x**2 - a, bracket=[0, 2]).root
    >>> x.backward()
    >>> round(x.item(), 6), round(a.grad.item(), 6)
    (1.414214, 0.353553)
    """
    within = ("brentq", "brenth", "bisect", "ridder", "toms748")
    if method is not None and method not in (*within, "newton"):
        raise ValueError(f"root_scalar: method is {method!r}, expected one of {', '.join((*within, 'newton'))}")
    if bracket is None or method == "newton":
        if x0 is None:
            raise ValueError("root_scalar: pass bracket=[a, b], or x0")
        found = root(f, x0, args, options={"maxiter": maxiter})
        return _as_scipy(found.x, found.success, found.nit, found.nfev, found.message)
    a, b = _numbers("root_scalar", a=bracket[0], b=bracket[1])

    def solve() -> tuple[Any, ...]:
        problem = Residuals("root_scalar", f, np.float64(a), args)

        def value(x: float) -> float:
            out = problem.value(np.asarray([x]))
            if out.size != 1:
                raise ValueError(f"root_scalar: the function returned {out.size} numbers, expected one; use root for systems")
            return float(out[0])

        if not value(a) * value(b) <= 0:
            raise ValueError(
                f"root_scalar: the function has the same sign at both ends of the bracket [{a}, {b}]: {value(a)}, {value(b)}"
            )
        x, count, good = _bracketed(value, a, b, xtol, rtol, maxiter)
        at = polished(problem.equation, np.asarray([x]), problem.flat.dtype) if good else np.asarray([x])
        return problem, at, count, problem.nfev, good, "converged" if good else f"no root within maxiter = {maxiter} steps"

    problem, x, count, calls, good, message = each_sample(solve)
    problem = problem[0] if isinstance(problem, list) else problem
    success, reason = worst(good), message_of(good, message)
    x = attach("root_scalar", problem.equation, x, None, "" if success else reason, symmetric=False)
    return _as_scipy(problem.flat.shaped(problem.flat.split(x)), success, one(count), one(calls), reason)


def _as_scipy(x: Any, success: bool, count: int, calls: int, reason: str) -> OptimizeResult:
    return OptimizeResult(root=x, converged=success, iterations=count, function_calls=calls, flag=reason)


def _reached(name: str, found: OptimizeResult) -> Any:
    if not found.converged:
        raise ConvergenceError(f"{name}: did not converge ({found.flag})", found)
    return found.root


def brentq(
    f: Callable[..., Any],
    a: Any,
    b: Any,
    args: tuple[Any, ...] = (),
    xtol: float = 2e-12,
    rtol: float = 8.9e-16,
    maxiter: int = 100,
) -> Variable:
    """The number between ``a`` and ``b`` where ``f(x, *args)`` is zero: the ``root`` of :func:`root_scalar`.

    ``bisect``, ``brenth`` and ``ridder`` are other names of this function.

    Raises ValueError when ``f`` has one sign at both ends, ConvergenceError after ``maxiter`` steps.

    >>> round(tg.optimize.brentq(lambda x: tg.cos(x) - x, 0, 1).item(), 6)
    0.739085
    """
    return _reached("brentq", root_scalar(f, args, "brentq", (a, b), None, xtol, rtol, maxiter))  # type: ignore[no-any-return]


#: SciPy's other names for a root in a bracket: one method finds it.
bisect = brenth = ridder = brentq


def newton(func: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), tol: float = 1.48e-8, maxiter: int = 50) -> Variable:
    """The number near ``x0`` where ``func(x, *args)`` is zero, by the method of :func:`root`, which knows the derivative.

    ``tol`` is the largest residual that is allowed. Raises ConvergenceError when it is not reached.

    >>> round(tg.optimize.newton(lambda x: x**3 - 8.0, 1.0).item(), 6)
    2.0
    """
    found = root(func, x0, args, tol=tol, options={"maxiter": maxiter})
    return _reached("newton", _as_scipy(found.x, found.success, found.nit, found.nfev, found.message))  # type: ignore[no-any-return]


def fsolve(func: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), xtol: float | None = None) -> Any:
    """The ``x`` near ``x0`` where all elements of ``func(x, *args)`` are zero: the solution of :func:`root`.

    ``xtol`` is the largest residual that is allowed. Raises ConvergenceError when it is not reached.

    >>> [round(v, 6) for v in tg.optimize.fsolve(lambda x: tg.stack([x[0] + x[1] - 3.0, x[0] * x[1] - 2.0]), [0.0, 3.0]).tolist()]
    [1.0, 2.0]
    """
    found = root(func, x0, args, tol=xtol)
    return _reached("fsolve", _as_scipy(found.x, found.success, found.nit, found.nfev, found.message))


#: The smaller part of a golden section.
_GOLDEN = (3.0 - sqrt(5.0)) / 2.0


def _downhill(f: Callable[[float], float], a: float, b: float) -> tuple[float, float]:
    """An interval with a minimum inside: from ``a`` over ``b``, or back, by growing steps until the function rises."""
    fa, fb = f(a), f(b)
    if fb > fa:
        a, b, fa, fb = b, a, fb, fa
    c = b + (b - a) / (1.0 - _GOLDEN)
    fc = f(c)
    for _ in range(200):
        if not fc < fb:
            return min(a, c), max(a, c)
        a, b, fb = b, c, fc
        c = b + (b - a) / (1.0 - _GOLDEN)
        fc = f(c)
        if not isfinite(fc) or abs(c) > 1e150:
            break
    raise ConvergenceError("minimize_scalar: the function falls without end; pass bounds=(low, high)")


def _lowest(f: Callable[[float], float], a: float, b: float, xtol: float, maxiter: int) -> tuple[float, float, int, bool]:
    """A minimum between ``a`` and ``b`` by Brent's method: golden sections, and parabolas where they are safe.

    (R. P. Brent, Algorithms for Minimization without Derivatives, 1973, chapter 5.)
    """
    x = w = v = a + _GOLDEN * (b - a)
    fx = fw = fv = f(x)
    step = last = 0.0
    for iteration in range(maxiter):
        middle = 0.5 * (a + b)
        least = 1e-11 * abs(x) + xtol
        if abs(x - middle) <= 2.0 * least - 0.5 * (b - a):
            return x, fx, iteration, True
        r, q = (x - w) * (fx - fv), (x - v) * (fx - fw)
        p, q = (x - v) * q - (x - w) * r, 2.0 * (q - r)
        p = -p if q > 0 else p
        q, before, last = abs(q), last, step
        if abs(last) > least and abs(p) < abs(0.5 * q * before) and q * (a - x) < p < q * (b - x):
            step = p / q
            near = min(x + step - a, b - x - step) < 2.0 * least
            step = copysign(least, middle - x) if near else step
        else:
            last = (a - x) if x >= middle else (b - x)
            step = _GOLDEN * last
        u = x + (step if abs(step) >= least else copysign(least, step))
        fu = f(u)
        if fu <= fx:
            a, b = (a, x) if u < x else (x, b)
            v, fv, w, fw, x, fx = w, fw, x, fx, u, fu
        else:
            a, b = (u, b) if u < x else (a, u)
            if fu <= fw or w == x:
                v, fv, w, fw = w, fw, u, fu
            elif fu <= fv or v in (x, w):
                v, fv = u, fu
    return x, fx, maxiter, False


def _check_method(method: Any, bounds: Any) -> None:
    """Checks SciPy's name of the method of minimize_scalar."""
    name = method.lower() if isinstance(method, str) else method
    if name not in ("brent", "bounded"):
        raise ValueError(f"minimize_scalar: method is {method!r}, expected 'brent' or 'bounded'")
    if (name == "bounded") != (bounds is not None):
        need = "needs bounds=(low, high)" if name == "bounded" else "takes no bounds; use 'bounded'"
        raise ValueError(f"minimize_scalar: method {method!r} {need}")


def minimize_scalar(
    fun: Callable[..., Any],
    bracket: Any = None,
    bounds: Any = None,
    args: tuple[Any, ...] = (),
    tol: float = 1e-8,
    maxiter: int = 500,
    *,
    method: str | None = None,
) -> OptimizeResult:
    """The number where ``fun(x, *args)`` is least, between ``bounds``, or downhill from ``bracket``, which is (0, 1) by default.

    The method is Brent's; ``method`` may name it as SciPy does, ``"bounded"`` with bounds and ``"brent"`` without. ``tol`` is the
    width of the interval that is left. The result has ``x, fun, nit, nfev, success, message``; ``x`` is a float64 array without
    axes, differentiable as that of :func:`minimize`; at a bound its derivative is 0.

    Raises ValueError for bounds that are not finite, or that the method does not take, and ConvergenceError where the function
    falls without end.

    >>> a = tg.Variable(3.0, dtype="float64", requires_grad=True)
    >>> x = tg.optimize.minimize_scalar(lambda x: (x - a) ** 2 + 1.0).x
    >>> x.backward()
    >>> round(x.item(), 6), round(a.grad.item(), 6)
    (3.0, 1.0)
    """
    if method is not None:
        _check_method(method, bounds)
    if bounds is not None:
        low, high = _numbers("minimize_scalar", low=bounds[0], high=bounds[1])
        if not low <= high:
            raise ValueError(f"minimize_scalar: the bounds are ({low}, {high}), expected the lower one first")
    first, second = _numbers("minimize_scalar", a=bracket[0], b=bracket[1]) if bracket is not None else (0.0, 1.0)

    ends = (low, high) if bounds is not None else None
    problem, x, held, count, calls, good, message = each_sample(
        lambda: _minimized(Residuals("minimize_scalar", fun, np.float64(first), args), ends, (first, second), tol, maxiter)
    )
    problem = problem[0] if isinstance(problem, list) else problem
    success, reason = worst(good), message_of(good, message)
    x = attach("minimize_scalar", _slope(problem), x, held, "" if success else reason, symmetric=True)
    value = problem.equation(x)
    return OptimizeResult(
        x=problem.flat.shaped(problem.flat.split(x)),
        fun=(value if has_derivative(value) else value.detach()).reshape(()),
        nit=one(count),
        nfev=one(calls),
        success=success,
        message=reason,
    )


def _minimized(
    problem: Residuals, ends: tuple[float, float] | None, bracket: tuple[float, float], tol: float, maxiter: int
) -> tuple[Any, ...]:
    """One run: returns the problem, the end point and the reason for stopping."""

    def value(x: float) -> float:
        out = problem.value(np.asarray([x]))
        if out.size != 1:
            raise ValueError(f"minimize_scalar: the function returned {out.size} numbers, expected one")
        return float(out[0])

    x, least, count, good = _lowest(value, *(ends or _downhill(value, *bracket)), tol, maxiter)
    held = 0.0
    for end in ends or ():
        if value(end) <= least:
            x, least, held = end, value(end), 1.0
    at = np.asarray([_refined(problem, x) if good and not held else x])
    message = "converged" if good else f"stopped after maxiter = {maxiter} steps"
    return problem, at, np.asarray([held]), count, problem.nfev, good, message


def _refined(problem: Residuals, x: float) -> float:
    """The minimum refined by Newton steps: values alone give half of the digits, as the function is flat there."""
    slope = _slope(problem)
    curvature = grad(lambda v: slope(v).reshape(()))
    for _ in range(3):
        at = Variable([x], dtype=problem.flat.dtype)
        try:
            first, second = (float(plain(f(at)).detach().reshape(()).numpy()) for f in (slope, curvature))
        except GradError:
            return x  # the function is piecewise constant
        step = first / second if second > 0 else 0.0
        if not abs(step) <= 1e-6 * (1.0 + abs(x)):
            return x
        x -= step
    return x


def _slope(problem: Residuals) -> Callable[[Variable], Variable]:
    """The derivative of the function of one unknown."""
    return grad(lambda v: problem.equation(v).reshape(()))
