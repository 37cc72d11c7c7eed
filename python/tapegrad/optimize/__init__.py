"""Solvers whose results are differentiable: minimisation, equations, least squares, differential equations, integrals.

Unknowns are arrays or nested containers of them, as everywhere. The solution depends on whatever Variables the function uses,
passed in ``args`` or closed over: its derivatives, in reverse and in forward mode, come from the implicit function theorem, so no
iteration is recorded.

>>> a = tg.Variable(2.0, dtype="float64", requires_grad=True)
>>> result = tg.optimize.minimize(lambda x: (x - a) ** 2 + x**4, 1.0)
>>> result.x.backward()  # 2 (x - a) + 4 x³ = 0, so dx/da = 2 / (2 + 12 x²)
>>> abs(a.grad.item() - 2 / (2 + 12 * result.x.item() ** 2)) < 1e-9
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._bridge import FunctionAndGradient, fun_and_grad
from ._constraints import Bounds, LinearConstraint, NonlinearConstraint
from ._curve import curve_fit
from ._equations import fixed_point, root
from ._fitting import least_squares
from ._ivp import solve_ivp
from ._linear import lsq_linear, nnls
from ._minimize import minimize
from ._ode import OdeSolution, odeint
from ._quad import quad
from ._result import ConvergenceError, OptimizeResult
from ._scalar import bisect, brenth, brentq, fsolve, minimize_scalar, newton, ridder, root_scalar

__all__ = [
    "Bounds",
    "ConvergenceError",
    "FunctionAndGradient",
    "LinearConstraint",
    "NonlinearConstraint",
    "OdeSolution",
    "OptimizeResult",
    "bisect",
    "brenth",
    "brentq",
    "curve_fit",
    "fixed_point",
    "fsolve",
    "fun_and_grad",
    "least_squares",
    "lsq_linear",
    "minimize",
    "minimize_scalar",
    "newton",
    "nnls",
    "odeint",
    "quad",
    "ridder",
    "root",
    "root_scalar",
    "solve_ivp",
]

if not TYPE_CHECKING:
    from .._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
