"""A stiff method: Radau IIA with three stages, of order 5, L-stable.

The stages solve an implicit equation by Newton's method, without a record; its Jacobian is taken from the function in forward
mode. Where derivatives flow, two chord steps with the exact Jacobian are recorded behind it, as in the implicit function theorem:
then the derivative of the computed solution is exact, to the second order, and needs no derivative of the Jacobian.

Source: Hairer & Wanner, Solving ODEs II, section IV.8.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np

from .. import _core, linalg
from .._core import Variable
from .._transforms import jacfwd
from ..autograd import enable_grad, no_grad
from ._implicit import ORDER
from ._runge_kutta import Solver, Trial, norm, numbers
from ._samples import has_derivative

_S6 = 6**0.5
C = np.array([(4 - _S6) / 10, (4 + _S6) / 10, 1.0])
#: The inverse of the matrix of Runge and Kutta.
INVERSE = np.linalg.inv(
    [
        [(88 - 7 * _S6) / 360, (296 - 169 * _S6) / 1800, (-2 + 3 * _S6) / 225],
        [(296 + 169 * _S6) / 1800, (88 + 7 * _S6) / 360, (-2 - 3 * _S6) / 225],
        [(16 - _S6) / 36, (16 + _S6) / 36, 1 / 9],
    ]
)
#: The real eigenvalue of the inverse, and the weights of the stages in the estimated error.
REAL = 3 + 3 ** (2 / 3) - 3 ** (1 / 3)
E = np.array([-13 - 7 * _S6, -13 + 7 * _S6, -1]) / 3
#: The polynomial through the stages: row i has the coefficients of θ, θ², θ³ for stage i.
P = np.array(
    [
        [13 / 3 + 7 * _S6 / 3, -23 / 3 - 22 * _S6 / 3, 10 / 3 + 5 * _S6],
        [13 / 3 - 7 * _S6 / 3, -23 / 3 + 22 * _S6 / 3, 10 / 3 - 5 * _S6],
        [1 / 3, -8 / 3, 10 / 3],
    ]
)
#: So many Newton iterations are tried.
MOST = 6


class _Collocation(NamedTuple):
    """An accepted step: ``z`` holds the changes of the stages in rows."""

    t: float
    h: float
    y: Variable
    z: Variable

    def at(self, t: float) -> Variable:
        theta = (t - self.t) / self.h
        return self.y + _like(P @ theta ** np.arange(1.0, 4.0), self.y) @ self.z


def _like(x: np.ndarray, y: Variable) -> Variable:
    return Variable(x, dtype=y.dtype)


class Radau(Solver):
    """The method; matrices of three times the size of the state are inverted."""

    order = 3
    advice = "If the steps are tiny, the solution changes that fast, or the function has jumps"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        eps = float(np.finfo(str(self.y.dtype)).eps)
        rtol = float(np.min(self.options["rtol"]))
        self.enough = max(10 * eps / rtol, min(0.03, rtol**0.5)) if rtol > 0 else 0.03
        #: The Jacobian of the steps, and the inverse of their matrix; None where they have to be computed.
        self.jacobian: Any = None
        self.is_fresh = False
        self.inverse: Any = None
        self.inverse_h = 0.0
        self.before: tuple[float, float] | None = None
        self.is_recording = self.is_tracked = False

    def _jacobian_at(self, t: float, y: Variable) -> Variable:
        self.njev += 1
        # Without recording, a function that leaves for NumPy would have a Jacobian of zero.
        with enable_grad():
            found: Variable = jacfwd(lambda v: self.slope(t, v))(y)
        return found.detach()

    def _inverted(self, h: float, jacobians: Variable) -> Variable:
        """The inverse of the matrix of the stages' equations; ``jacobians`` is one matrix or three of them."""
        self.nlu += 1
        n = jacobians.shape[-1]
        eye = np.eye(n)[None, :, None, :]
        linear = _like(INVERSE[:, None, :, None] / h * eye, jacobians)
        own = _core.reshape(jacobians, (-1, n, 1, n)) * _like(np.eye(3)[:, None, :, None], jacobians)
        return linalg.inv(_core.reshape(linear - own, (3 * n, 3 * n)))

    def _prepare(self, h: float) -> None:
        """The Jacobian and the inverse for steps of this length, where those that are known do not serve."""
        if self.jacobian is None:
            self.jacobian, self.is_fresh, self.inverse = self._jacobian_at(self.t, self.y.detach()), True, None
        if self.inverse is None or abs(h - self.inverse_h) > 1e-9 * abs(h):
            self.inverse, self.inverse_h = self._inverted(h, self.jacobian), h

    def _slopes(self, h: float, y: Variable, z: Variable) -> Variable:
        return _core.stack([self.slope(self.t + c * h, y + z[i]) for i, c in enumerate(C.tolist())])

    def _equation(self, h: float, y: Variable, z: Variable) -> Variable:
        """What is zero at the solution."""
        return _like(INVERSE / h, y) @ z - self._slopes(h, y, z)

    def _residual(self, h: float, y: Variable, z: Variable, is_first: bool) -> Variable:
        """The numbers of the equation. The first ones are recorded, to see whether derivatives flow through the function."""
        if not is_first:
            return self._equation(h, y, z)
        with enable_grad() if self.is_recording else no_grad():
            found = self._equation(h, y, z)
        self.is_tracked = has_derivative(found) or has_derivative(self.y)
        return found.detach()

    def _newton(self, h: float) -> tuple[Variable | None, int, float]:
        """The stages, the number of iterations and their rate; None where they do not converge."""
        y = self.y.detach()
        scale = self.scale(numbers(y))[..., None, :]
        z = self._guess(h, y)
        last = rate = 0.0
        for k in range(MOST):
            residual = self._residual(h, y, z, k == 0)
            change = _core.reshape(self.inverse @ _core.reshape(residual, (-1,)), z.shape)
            size = norm(numbers(change), scale)
            rate = size / last if k and last else 0.0
            left = MOST - k
            if not isfinite(size) or rate >= 1 or (k and rate**left / (1 - rate) * size > self.enough):
                return None, k + 1, rate
            z = z - change
            if size == 0 or (k and rate / (1 - rate) * size < self.enough):
                return z.detach(), k + 1, rate
            last = size
        return None, MOST, rate

    def _guess(self, h: float, y: Variable) -> Variable:
        """The last polynomial, continued."""
        if not self.steps:
            return _core.stack([0.0 * y] * 3)
        step: Any = self.steps[-1]
        known = _Collocation(step.t, step.h, step.y.detach(), step.z.detach())
        return _core.stack([known.at(self.t + c * h) - y for c in C.tolist()])

    def _stages(self, h: float) -> tuple[Variable | None, int, float]:
        """The stages with a Jacobian that is good enough; None where the step is too long."""
        while True:
            try:
                self._prepare(h)
                found = self._newton(h)
            except linalg.LinAlgError:
                found = None, MOST, 1.0
            if found[0] is not None or self.is_fresh:
                return found
            self.jacobian = None

    def attempt(self, h: float, rejected: bool) -> Trial:
        self.is_recording = _core.is_grad_enabled()
        with no_grad(), np.errstate(all="ignore"):
            z, count, rate = self._stages(h)
            if z is None:
                self.inverse = None
                return Trial(inf, 0.5, None, None, None)
            error = self._error(h, z, rejected)
        if not isfinite(error):
            return Trial(inf, 0.1, None, None, None)
        safety = 0.9 * (2 * MOST + 1) / (2 * MOST + count)
        factor = min(10.0, safety * self._factor(abs(h), error))
        if error > 1:
            return Trial(error, max(0.2, factor), None, None, None)
        return self._accepted(h, z, error, factor, count > 2 and rate > 1e-3)

    def _accepted(self, h: float, z: Variable, error: float, factor: float, slow: bool) -> Trial:
        z = self._attached(h, z)
        new = self.y + z[2]
        step = _Collocation(self.t, h, self.y, z)
        self.before = abs(h), error
        self.is_fresh = False
        if slow:
            self.jacobian = None
        elif factor < 1.2:
            # The inverse is used again.
            factor = 1.0
        return Trial(error, factor, step, new, self.slope(self.t + h, new))

    def _factor(self, h: float, error: float) -> float:
        """How much longer the next step may be, from the last two errors (Gustafsson)."""
        if error == 0:
            return 10.0
        ratio = 1.0
        if self.before is not None and self.before[1] > 0:
            ratio = h / self.before[0] * (self.before[1] / error) ** 0.25
        return float(min(1.0, ratio) * error**-0.25)

    def _error(self, h: float, z: Variable, rejected: bool) -> float:
        y, first = self.y.detach(), self.first.detach()
        matrix = _like(REAL / h * np.eye(y.shape[0]), y) - self.jacobian
        part = _like(E / h, y) @ z
        scale = self.scale(numbers(y), numbers(y + z[2]))
        error = linalg.solve(matrix, first + part)
        size = norm(numbers(error), scale)
        if size > 1 and (rejected or not self.steps):
            size = norm(numbers(linalg.solve(matrix, self.slope(self.t, y + error) + part)), scale)
        return size

    def _attached(self, h: float, z: Variable) -> Variable:
        """The stages with their derivatives, where there are any."""
        if not self.is_tracked:
            return z
        with no_grad():
            at = [self._jacobian_at(self.t + c * h, (self.y + z[i]).detach()) for i, c in enumerate(C.tolist())]
            inverse = self._inverted(h, _core.stack(at)).detach()
        for _ in range(ORDER):
            z = z - _core.reshape(inverse @ _core.reshape(self._equation(h, self.y, z), (-1,)), z.shape)
        return z
