"""Gradients of differential equations by the adjoint equation.

With a(t) = ∂L/∂y(t): da/dt = -(∂f/∂y)ᵀ a, and ∂L/∂θ = ∫ (∂f/∂θ)ᵀ a dt, solved backward from the last time. The solution y(t) is
read from the interpolant of the forward steps, not solved backward again, which would be unstable where it decays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import GradError, Variable
from ..autograd import Function, enable_grad, no_grad, once_differentiable
from ._ode import OdeSolution, _between, _stacked, solved, solver_of

if TYPE_CHECKING:
    from ._flat import Flat
    from ._runge_kutta import Field


class _Problem:
    """An equation, with the tracked Variables that its right hand side uses besides y and t."""

    def __init__(self, field: Field, y: Variable, t: float, numbers: np.ndarray, options: dict[str, Any]) -> None:
        self.field, self.numbers, self.options = field, numbers, options
        # The adjoint state is as long as all parameters: a tolerance for each component becomes the least of them.
        self.backward = {**options, "rtol": options["rtol"].min(), "atol": options["atol"].min(), "first_step": None}
        *_, self.parameters = self.recorded(y.detach(), t)
        self.known = {_core._place(p) for p in self.parameters}
        self.solver: Any = None

    def recorded(self, y: Variable, t: float) -> tuple[Variable, Variable, list[Variable]]:
        """The right hand side on a tape of its own: its result, y as a leaf, and what it uses besides."""
        since = _core._next_number()
        with enable_grad():
            leaf = y.detach().clone().requires_grad_(True)
            out = self.field(leaf, Variable(t, dtype=y.dtype))
        if _core._lifted(out) is not None:
            raise GradError(
                'odeint: gradient="adjoint" is for reverse mode outside of jvp and vmap; use gradient="direct" inside of them'
            )
        return out, leaf, list(_core._frontier([out], [leaf], since))

    def pulled(self, y: Variable, t: float, a: Variable) -> np.ndarray:
        """The products of a with the Jacobians by y and by the parameters, concatenated."""
        out, leaf, found = self.recorded(y, t)
        if not {_core._place(p) for p in found} <= self.known:
            raise GradError(
                'odeint: the function uses other tracked Variables at later times than at the first; use gradient="direct", or '
                "pass them in args"
            )
        inputs = [leaf, *self.parameters]
        if not out.requires_grad:
            return np.zeros(sum(v.size for v in inputs))
        grads = _core.grad([out], inputs, [a], True, False, True)
        pairs = zip(inputs, grads)
        return np.concatenate([np.zeros(v.size) if g is None else g.numpy().ravel().astype(np.float64) for v, g in pairs])


class _Adjoint(Function):
    """The solution at the times, with the gradient of the adjoint equation."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, y0: Variable, times: Variable, *parameters: Variable) -> Variable:
        rows, solver = solved(problem.field, y0.detach(), times.detach(), problem.numbers, problem.options)
        problem.solver = solver
        ctx.problem, ctx.rows, ctx.times = problem, rows, times.detach()
        ctx.save_for_backward(y0, times, *parameters)
        return _core.stack(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Variable) -> Any:
        problem, numbers = ctx.problem, ctx.problem.numbers
        cotangents = g.numpy().astype(np.float64)
        n = cotangents.shape[1]
        state = np.zeros(n + sum(p.size for p in problem.parameters))
        by_time = np.zeros(len(numbers))
        for i in range(len(numbers) - 1, 0, -1):
            with no_grad():
                slope = problem.field(ctx.rows[i], Variable(numbers[i], dtype=ctx.rows[i].dtype)).numpy()
            by_time[i] = cotangents[i] @ slope
            state[:n] += cotangents[i]
            state = _backward(problem, state, n, numbers[i], numbers[i - 1])
        with no_grad():
            slope = problem.field(ctx.rows[0], Variable(numbers[0], dtype=ctx.rows[0].dtype)).numpy()
        by_time[0] = -(state[:n] @ slope)
        state[:n] += cotangents[0]
        out: list[Any] = [None, Variable(state[:n], dtype=g.dtype), Variable(by_time, dtype=ctx.times.dtype)]
        start = n
        for p in problem.parameters:
            out.append(Variable(state[start : start + p.size].reshape(p.shape), dtype=p.dtype))
            start += p.size
        return tuple(out)


def _backward(problem: _Problem, state: np.ndarray, n: int, start: float, end: float) -> np.ndarray:
    """The adjoint equation from one time back to the one before."""
    solution = problem.solver
    ends = np.array([*(s.t for s in solution.steps), solution.t])
    dtype = solution.y.dtype

    def field(z: Variable, t: Any) -> Variable:
        at = float(t.item())
        y = _between(solution.steps, solution.steps[0].y, ends, at) if at != ends[-1] else solution.y
        return Variable(-problem.pulled(y, at, Variable(z.numpy()[:n], dtype=dtype)))

    with no_grad():
        solver = solver_of("odeint (adjoint)", field, Variable(state.copy()), float(start), None, problem.backward)
        solver.advance(float(end))
    return np.array(solver.y.numpy())


def solve(
    field: Field, flat: Flat, start: Variable, times: Variable, numbers: np.ndarray, options: dict[str, Any], dense_output: bool
) -> Any:
    """The values at the times with the adjoint gradient, and the solution between them on request, which has no gradient."""
    if _core._lifted(start) is not None or _core._lifted(times) is not None:
        raise GradError(
            'odeint: gradient="adjoint" is for reverse mode outside of jvp and vmap; use gradient="direct" inside of them'
        )
    problem = _Problem(field, start, float(numbers[0]), numbers, options)
    table = _Adjoint.apply(problem, start, times, *problem.parameters)
    values = _stacked(flat, list(table)) if not (flat.single and len(flat.shapes[0]) == 1) else table
    return (values, OdeSolution(problem.solver, flat, start.detach())) if dense_output else values
