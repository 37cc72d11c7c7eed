"""Losses of squared residuals that make a fit robust against outliers.

Source: Triggs et al., Bundle adjustment, a modern synthesis (1999), section 4.3, for the scaled residuals and Jacobian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._transforms import grad
from ..autograd import enable_grad
from ._flat import chosen
from ._samples import plain

if TYPE_CHECKING:
    from collections.abc import Callable

LOSSES: dict[str, Callable[[Variable], Variable]] = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2.0 * z / (1.0 + _core.sqrt(1.0 + z)),
    # The branch that is not taken stays finite.
    "huber": lambda z: _core.where(z <= 1.0, z, 2.0 * _core.sqrt(_core.maximum(z, 1.0)) - 1.0),
    "cauchy": _core.log1p,
    "arctan": _core.arctan,
}


class Loss:
    """The cost of residuals r: half the sum of f² ρ((r / f)²), with the scale f."""

    def __init__(self, name: str, rho: Callable[[Variable], Any], f_scale: Any) -> None:
        self.name, self.rho, self.f_scale = name, rho, f_scale

    @classmethod
    def of(cls, name: str, loss: Any, f_scale: Any) -> Loss | None:
        """The loss by name or as a function; None for squares."""
        size = plain(f_scale).detach().numpy() if isinstance(f_scale, Variable) else f_scale
        if np.ndim(size) != 0 or not (np.isfinite(size) and size > 0):
            raise ValueError(f"{name}: f_scale is {f_scale!r}, expected a positive number")
        if callable(loss):
            return cls(name, loss, f_scale)
        known = chosen(name, "loss", loss if isinstance(loss, str) else repr(loss), "linear", LOSSES)
        return None if known == "linear" else cls(name, LOSSES[known], f_scale)

    def _losses(self, r: Variable) -> Variable:
        z = (r / self.f_scale) ** 2
        out = _core.asarray(self.rho(z))
        if out.shape == (3, *z.shape):
            # SciPy's functions return the two derivatives, too.
            out = out[0]
        if out.shape != z.shape:
            raise ShapeError(f"{self.name}: loss returned shape {out.shape} for squares of shape {z.shape}")
        return out

    def cost(self, r: Variable) -> Variable:
        """The cost, recorded."""
        total: Variable = 0.5 * self.f_scale**2 * _core.sum(self._losses(r))
        return total

    def square(self, residual: np.ndarray) -> float:
        """Twice the cost."""
        return 2.0 * float(plain(self.cost(Variable(residual))).item())

    def factor(self, r: Variable) -> Variable:
        """The factors of the Jacobian's rows of :meth:`scaled`, recorded; almost 0 where the losses do not curve up."""
        slope = grad(self.cost)
        second = grad(lambda r: _core.sum(slope(r)))(r)
        return _core.sqrt(_core.maximum(second, np.finfo(np.float64).eps))

    def scaled(self, residual: np.ndarray, least: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
        """Factors of the Jacobian's rows, and the residuals of a least squares problem with the same gradient.

        Its Hessian is that of the losses where they curve up along the residual. Where they do not it is ``least`` of that of
        reweighted squares, which lie above the losses: so a step stays finite.
        """
        with enable_grad():
            slope = grad(self.cost)
            first = plain(slope(Variable(residual))).numpy()
            second = plain(grad(lambda r: _core.sum(slope(r)))(Variable(residual))).numpy()
        weight = np.abs(np.divide(first, residual, out=np.zeros_like(first), where=residual != 0))
        factor = np.sqrt(np.maximum(second, np.maximum(least * weight, np.finfo(np.float64).eps)))
        return factor, first / factor
