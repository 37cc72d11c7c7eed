"""Fits of curves to data."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._transforms import jacfwd
from ._fitting import least_squares
from ._losses import Loss
from ._result import ConvergenceError
from ._samples import has_derivative

if TYPE_CHECKING:
    from collections.abc import Callable


def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    bounds: Any = (None, None),
    method: str | None = None,
    *,
    full_output: bool = False,
    **options: Any,
) -> tuple[Any, ...]:
    """The parameters p for which ``f(xdata, *p)`` is nearest to ``ydata``, and their covariance.

    ``p0`` is where the search begins, ones unless given. ``sigma`` holds the standard deviations of the data, one for each or
    their covariance matrix; without ``absolute_sigma`` only their ratios count, and the size is that of the residuals. ``bounds``
    is as in :func:`least_squares`, whose method is used; further options are passed to it: ``loss`` and ``f_scale`` for fits that
    are robust against outliers, ``ftol``, ``xtol``, ``gtol``, and ``max_nfev``, also named ``maxfev``.

    The parameters are a float64 array of one axis, and the covariance is ``(J' J)⁻¹`` with the Jacobian J of the weighted
    residuals; both are differentiable by all that the data, ``sigma`` and ``f`` depend on. The covariance is infinite where the
    data do not determine the parameters.

    With ``full_output`` there are three results more, as in SciPy: a dict with the residuals ``fvec`` and the count ``nfev``,
    the message, and a number from 1 to 4, the reason for stopping.

    Raises ShapeError for data that do not fit, and ConvergenceError where no fit was found.

    >>> t = tg.linspace(0.0, 3.0, 20, dtype=tg.float64)
    >>> p, covariance = tg.optimize.curve_fit(lambda t, a, b: a * tg.exp(-b * t), t, 2.0 * tg.exp(-0.5 * t))
    >>> [round(v, 6) for v in p.tolist()], covariance.shape
    ([2.0, 0.5], (2, 2))
    """
    options = _options(options)
    # Lists are read in double precision, in which the fit is computed.
    y, start, _ = _core._together(ydata, np.ones(_count(f)) if p0 is None else p0, np.zeros(0))
    start = np.asarray(start.detach().numpy(), dtype=np.float64).reshape(-1)
    x = _core._together(xdata, y)[0] if hasattr(xdata, "__array__") or isinstance(xdata, (list, float, int)) else xdata
    y = y if y.dtype.is_floating_point else y.astype(_core.float64)
    weight = _weights(sigma, y)

    def residuals(p: Variable) -> Variable:
        found = f(x, *_core.unstack(p))
        if _core.asarray(found).shape != y.shape:
            raise ShapeError(f"curve_fit: the function returned shape {_core.asarray(found).shape}, ydata has shape {y.shape}")
        return weight(found - y)

    fit = least_squares(residuals, start, bounds=bounds, method=method or "trf", **options)
    if not fit.success:
        raise ConvergenceError(f"curve_fit: did not converge ({fit.message})", fit)
    covariance = _covariance(
        fit, residuals, Loss.of("curve_fit", options.get("loss", "linear"), options.get("f_scale", 1.0)), absolute_sigma
    )
    more = ({"fvec": fit.fun, "nfev": fit.nfev}, fit.message, fit.status) if full_output else ()
    return fit.x, covariance, *more


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options for :func:`least_squares`."""
    known = ("loss", "f_scale", "ftol", "xtol", "gtol", "max_nfev", "maxfev")
    for name in given:
        if name not in known:
            raise TypeError(f"curve_fit: there is no option {name!r}; there are {', '.join(known)}")
    return {"max_nfev" if name == "maxfev" else name: value for name, value in given.items()}


def _covariance(fit: Any, residuals: Callable[[Variable], Variable], loss: Loss | None, absolute_sigma: bool) -> Variable:
    """The inverse of J' J with the Jacobian of the weighted residuals, in the size of the residuals unless sigma is absolute."""
    from ..linalg import qr, solve_triangular, svdvals

    count, size = fit.jac.shape
    spare = count - size
    if spare < 0 or not (absolute_sigma or spare):
        return _core.full((size, size), np.inf, dtype=_core.float64)
    jacobian = fit.jac
    if has_derivative(fit.fun):
        # Once more as a function of the solution and the data.
        jacobian = jacfwd(lambda p: residuals(p).reshape(-1))(fit.x)
        if loss is not None:
            jacobian = loss.factor(residuals(fit.x).reshape(-1))[:, None] * jacobian
    jacobian = jacobian.astype(_core.float64)
    s = svdvals(jacobian.detach())
    known = s[-1] > np.finfo(np.float64).eps * max(count, size) * s[0]
    # Where the inverse does not exist, the branch that is not taken stays finite.
    triangle = qr(_core.where(known, jacobian, _core.eye(count, size, dtype=_core.float64))).R
    root = solve_triangular(triangle, _core.eye(size, dtype=_core.float64))
    scale = 1.0 if absolute_sigma else 2.0 * fit.cost.astype(_core.float64) / spare
    return _core.where(known, scale * (root @ root.T), np.inf)


def _count(f: Callable[..., Any]) -> int:
    """The number of parameters of a curve, from its signature."""
    kinds = [p.kind for p in inspect.signature(f).parameters.values()]
    named = [k for k in kinds if k in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    if len(named) < 2 or inspect.Parameter.VAR_POSITIONAL in kinds:
        raise ValueError("curve_fit: the number of parameters does not follow from the function; pass p0")
    return len(named) - 1


def _weights(sigma: Any, y: Variable) -> Callable[[Variable], Variable]:
    """The factors of the residuals."""
    if sigma is None:
        return lambda r: r
    sigma = _core._together(sigma, y)[0]
    if sigma.shape in ((), y.shape):
        return lambda r: r / sigma
    if sigma.shape != (y.size, y.size):
        raise ShapeError(f"curve_fit: sigma has shape {sigma.shape}, expected {y.shape} or ({y.size}, {y.size})")
    from ..linalg import cholesky, solve_triangular

    factor = cholesky(sigma)
    return lambda r: solve_triangular(factor, r.reshape(-1).astype(factor.dtype), lower=True)
