"""Events of differential equations: the times where a function of the solution is zero."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import ShapeError, Variable
from .._transforms import jvp
from ..autograd import enable_grad, no_grad
from ._implicit import ORDER
from ._ode import moved
from ._samples import has_derivative, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._runge_kutta import Solver, Step


class _Event:
    """An event function of a vector, with SciPy's attributes ``terminal`` and ``direction``."""

    def __init__(self, name: str, event: Callable[..., Any], shaped: Callable[[Variable], Any], args: tuple[Any, ...]) -> None:
        if not callable(event):
            raise TypeError(f"{name}: an event must be a function, not {type(event).__name__}")
        self.name, self.event, self.shaped, self.args = name, event, shaped, args
        terminal = getattr(event, "terminal", None) or 0
        if not (terminal == int(terminal) and terminal >= 0):
            raise ValueError(f"{name}: terminal of an event is {terminal!r}, expected True, False or a positive whole number")
        self.most = int(terminal) or inf
        self.direction = float(getattr(event, "direction", 0) or 0)
        #: The times, and the values there, recorded.
        self.found: list[tuple[Variable, Variable]] = []

    def __call__(self, t: Variable, y: Variable) -> Variable:
        value = _core.asarray(self.event(t, self.shaped(y), *self.args))
        if value.size != 1:
            raise ShapeError(f"{self.name}: an event returned an array of shape {value.shape}, expected one number")
        return _core.reshape(value, ())

    def number(self, t: float, y: Variable) -> float:
        """The value as a number."""
        with no_grad():
            return float(plain(self(Variable(t, dtype=y.dtype), y)).item())

    def crosses(self, before: float, after: float) -> bool:
        """Whether the sign changes in the direction that is asked for."""
        up, down = before <= 0 <= after, before >= 0 >= after
        return (up and self.direction >= 0) or (down and self.direction <= 0)


class Events:
    """All events of a run: called after each step, it says whether the run is over."""

    def __init__(self, name: str, events: Any, solver: Solver, shaped: Callable[[Variable], Any], args: tuple[Any, ...]) -> None:
        events = (events,) if callable(events) else tuple(events)
        self.all = [_Event(name, e, shaped, args) for e in events]
        self.solver = solver
        self.before = [e.number(solver.t, solver.y) for e in self.all]
        #: Whether an event ended the run.
        self.ended = False

    def __call__(self, step: Step) -> bool:
        solver = self.solver
        after = [e.number(solver.t, solver.y) for e in self.all]
        sign = 1.0 if step.h > 0 else -1.0
        roots = [
            (sign * self._root(e, step, a, b), i)
            for i, (e, a, b) in enumerate(zip(self.all, self.before, after, strict=True))
            if e.crosses(a, b)
        ]
        self.before = after
        for place, i in sorted(roots):
            event, t = self.all[i], sign * place
            event.found.append(self._recorded(event, step, t))
            if len(event.found) >= event.most:
                solver.t, solver.y = t, event.found[-1][1]
                self.ended = True
                return True
        return False

    def _value(self, step: Step, t: float) -> Variable:
        """The solution at a time of the last step."""
        end: Variable = self.solver.y
        return end if t == self.solver.t else step.y if t == step.t else step.at(t)

    def _root(self, event: _Event, step: Step, before: float, after: float) -> float:
        """The time of the event, by bisection and the secants of Illinois, to the last digit."""
        a, b = step.t, self.solver.t
        if before == 0:
            return a
        if after == 0:
            return b
        fa, fb = before, after
        for k in range(200):
            middle = 0.5 * (a + b)
            t = middle if k % 4 == 3 else b - fb * (b - a) / (fb - fa)
            if not min(a, b) < t < max(a, b):
                t = middle
            if abs(b - a) <= 4 * np.spacing(max(abs(a), abs(b))) or t in (a, b):
                break
            with no_grad():
                ft = event.number(t, self._value(step, t))
            if ft == 0:
                return t
            if (ft > 0) == (fb > 0):
                b, fb, fa = t, ft, fa if k % 4 == 3 else 0.5 * fa
            else:
                a, fa, b, fb = b, fb, t, ft
        return b

    def _recorded(self, event: _Event, step: Step, t: float) -> tuple[Variable, Variable]:
        """The time and the value there, with their derivatives: Newton steps, as in the implicit function theorem."""
        solver = self.solver
        y = self._value(step, t)
        time = Variable(t, dtype=y.dtype)
        # With tracked times the solver runs in times of its own.
        at = time if solver.shift is None else time + solver.shift
        value = event(at, y)
        if not has_derivative(value):
            return time, y
        with no_grad():
            base = y.detach()
            slope = solver.field(base, time).detach()
        # Without recording, an event that leaves for NumPy would not change with time.
        with enable_grad():
            rate = jvp(event, (time, base), (_core.ones_like(time), slope))[1].detach()
        when, state = at, y
        for _ in range(ORDER):
            when = when - value / rate
            state = moved(solver, y, t, when - at)
            value = event(when, state)
        return when, state
