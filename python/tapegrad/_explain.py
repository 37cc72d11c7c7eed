"""Why a gradient is missing, zero or not finite, in words."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import FreedError, Variable
from ._tree import is_inexact, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Place = tuple[Any, ...]

__all__ = ["explain"]

_PACKAGE = str(Path(__file__).parent)
#: Functions that take a value off the tape.
_EXITS = {
    "detach": "detach()",
    "numpy": "numpy()",
    "item": "item()",
    "tolist": "tolist()",
    "__float__": "float()",
    "data": ".data",
}


def _line() -> str:
    """The line of the user's program that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _state(g: Variable) -> str:
    """A gradient in words: "fine", "zero", or what is wrong with it."""
    if not g.size:
        return "empty"
    bad = int(_core.sum(_core.logical_not(_core.isfinite(g))).item())
    if bad:
        kind = "NaN" if bool(_core.any(_core.isnan(g)).item()) else "infinite"
        return f"{kind} in {bad} of {g.size} elements" if bad < g.size else kind
    none = int(_core.sum(g == 0).item())
    if none == g.size:
        return "zero"
    return f"zero in {none} of {g.size} elements" if none else "fine"


def _is_bad(g: Variable | None) -> bool:
    return g is not None and is_inexact(g.dtype) and not bool(_core.all(_core.isfinite(g)).item())


def _is_zero(g: Variable | None) -> bool:
    return g is None or not bool(_core.any(g != 0).item())


def explain(x: Variable, y: Any = None) -> str:
    """Says why ``x.grad`` is None, zero or NaN.

    With ``x`` alone it says what its state tells. ``y`` is a result, to ask for the path from ``x`` to it; or, which tells most,
    a function without arguments that computes the result: it runs once, is recorded with its lines, and no ``.grad`` changes:
    ``backward()`` of a Variable inside of it is only noted.
    Then the answer names the line where ``x`` left the tape (``detach()``, ``numpy()``, ``no_grad``), the first operation that
    made NaN or infinity, forward or backward, and the operation that made the gradient zero: a branch of ``where`` that is not
    taken, ``relu`` or ``clip`` outside of their range, a factor of zero.

    >>> x = tg.Variable([-1.0, -2.0], requires_grad=True)
    >>> print(tg.explain(x, lambda: tg.sum(tg.relu(x))).split(" at ")[0])
    The gradient of x is zero: `relu`
    >>> print(tg.explain(tg.Variable(1.0)).split(";")[0])
    x.grad is None because x does not require gradients
    """
    if not isinstance(x, Variable):
        raise TypeError(f"explain: x must be a Variable, got {type(x).__name__}")
    if _core._lifted(x) is not None:
        return "x is a value inside jvp or vmap, which has no .grad; ask outside of the transformed function."
    if not x.requires_grad:
        return _not_required(x)
    if callable(y) and not isinstance(y, Variable):
        return _explain_run(x, y)
    return _by_state(x) if y is None else _explain_result(x, y)


def _not_required(x: Variable) -> str:
    if not is_inexact(x.dtype):
        return f"x.grad is None because x has dtype {x.dtype}, which carries no gradient; use a floating dtype."
    return (
        "x.grad is None because x does not require gradients; make it with requires_grad=True or call x.requires_grad_(). If "
        "it was "
        "computed from something that does, it was computed under tg.no_grad(), or from a detach()ed value."
    )


def _retained(x: Variable) -> bool:
    """Whether a result keeps its gradient."""
    with warnings.catch_warnings():
        # Reading .grad of a result that does not keep it warns.
        warnings.simplefilter("ignore")
        return x.grad is not None


def _by_state(x: Variable) -> str:
    """The answer that the state of ``x`` alone gives."""
    ask = "Pass the function that computes the result, as tg.explain(x, lambda: loss()), for the operation and its line."
    if not x.is_leaf and not _retained(x):
        return (
            f"x.grad is None because x is not a leaf: it is the result of `{_op(x)}`. Only leaves keep gradients; call "
            "x.retain_grad() "
            "before backward(), or ask for tg.autograd.grad(y, x)."
        )
    if x.grad is None:
        return (
            "x.grad is None: x requires gradients, but no backward() has reached it. Either backward() was not called, or "
            ".grad was set to "
            f"None after it (zero_grad), or the result does not depend on x through recorded operations. {ask}"
        )
    state = _state(x.grad)
    return f"x.grad is {state}." + ("" if state == "fine" else f" {ask}")


def _op(x: Variable) -> str:
    return x.grad_fn.name() if x.grad_fn else ""


def _explain_result(x: Variable, y: Any) -> str:
    """The path from ``x`` to a result that was computed before."""
    if not isinstance(y, Variable):
        raise TypeError(f"explain: y must be a Variable or a function that computes one, got {type(y).__name__}")
    ask = "Pass the function that computes it, as tg.explain(x, lambda: loss()), for the line."
    if not y.requires_grad:
        return (
            "x gets no gradient because y is not tracked: it was computed under tg.no_grad(), from detach()ed values only, or "
            "by operations "
            f"without a derivative. {ask}"
        )
    try:
        g = _gradients(y, [x])[0]
    except FreedError as e:
        return f"x gets no gradient from y because its graph is freed. {e}"
    if g is None:
        return f"x gets no gradient because there is no path from x to y: no recorded operation on the way to y used x. {ask}"
    state = _state(g)
    return f"The gradient of y by x is {state}." + ("" if state == "fine" else f" {ask}") + _kept(x)


def _kept(x: Variable) -> str:
    if not x.is_leaf and not _retained(x):
        return f" x.grad stays None all the same: x is not a leaf (`{_op(x)}` made it); call x.retain_grad()."
    return "" if _retained(x) else " x.grad is None because no backward() has run through it."


def _gradients(y: Variable, xs: list[Variable]) -> list[Variable | None]:
    found = _core.grad([y], xs, [_core.ones_like(y)], True, False, True)
    return [None if g is None else g.detach() for g in found]


# ---- a run that is watched ----


class _Run:
    """What a function recorded, and where it left the tape."""

    def __init__(self, f: Callable[[], Any]) -> None:
        self.exits: list[tuple[str, Place, str]] = []
        self.switched: list[str] = []
        self.ended: list[Variable] = []
        _core._begin_trace()
        try:
            with self._watched():
                found = [v for v in leaves(f()) if isinstance(v, Variable)]
        finally:
            self.calls = _core._end_trace()
        self.results = found or self.ended

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Notes where values leave the tape, where recording is switched off, and which Variables backward() is called on."""
        recording, turn = _core.set_grad_enabled_raw(True), _core.set_grad_enabled_raw
        old = {name: getattr(Variable, name) for name in _EXITS if hasattr(Variable, name)}

        def noting(name: str, method: Any) -> Any:
            def call(v: Any, *args: Any, **options: Any) -> Any:
                self._note(name, v)
                return method(v, *args, **options)

            return call

        def switch(on: bool) -> bool:
            if not on:
                self.switched.append(_line())
            return turn(on)

        def backward(v: Variable, *_: Any, **__: Any) -> None:
            self.ended.append(v)

        originals = {name: vars(Variable)[name] for name in old if name in vars(Variable)}
        ends = vars(Variable)["backward"]
        Variable.backward = backward  # type: ignore[assignment,method-assign]
        for name, raw in originals.items():
            if callable(old[name]):
                setattr(Variable, name, noting(name, old[name]))
            else:
                setattr(Variable, name, property(noting(name, raw.__get__), getattr(raw, "__set__", None)))
        _core.set_grad_enabled_raw = switch
        try:
            yield
        finally:
            _core.set_grad_enabled_raw = turn
            Variable.backward = ends  # type: ignore[method-assign]
            for name, raw in originals.items():
                setattr(Variable, name, raw)
            turn(recording)

    def _note(self, name: str, v: Variable) -> None:
        place = _core._place(v)
        line = _line()
        # Calls inside the package, after the user's call, have the same line.
        if place is not None and not any(line == at and place == p for _, p, at in self.exits):
            self.exits.append((name, place, line))


class _Path:
    """The calls between ``x`` and the result."""

    def __init__(self, x: Variable, run: _Run) -> None:
        self.x, self.run = x, run
        self.start = _core._place(x)
        self.reached = {self.start}
        self.after: list[Any] = []
        for call in run.calls:
            if self.reached & set(call.places()):
                self.after.append(call)
                self.reached |= {_core._place(y) for y in call.outputs()}

    def leading_to(self, y: Variable) -> list[Any]:
        """The calls that lead to ``y``, the newest first."""
        wanted, found = {_core._place(y)}, []
        for call in reversed(self.after):
            if wanted & {_core._place(v) for v in call.outputs()}:
                found.append(call)
                wanted |= set(call.places()) & self.reached
        return found


def _at(call: Any) -> str:
    return f"`{call.name}`" + (f" at {call.source}" if call.source else "")


def _explain_run(x: Variable, f: Callable[[], Any]) -> str:  # noqa: PLR0911 - an answer each
    run = _Run(f)
    if not run.results:
        return "x gets no gradient because the function returned no Variable: return the result whose gradient you want."
    y = run.results[0]
    path = _Path(x, run)
    if _core._place(y) not in path.reached:
        return _no_path(path, y)
    calls = path.leading_to(y)
    bad = _first_bad_value(run)
    try:
        g, cotangents = _cotangents(x, y, calls)
    except FreedError as e:
        return f"x gets no gradient because a part of the graph is freed: {e}"
    if g is None:
        return f"x gets no gradient: an operation on the way from x to the result passes none on. {_exits(path)}".rstrip()
    state = _state(g)
    if _is_bad(g):
        return f"The gradient of x is {state}: " + (bad or _first_bad_gradient(calls, cotangents)) + _kept(x)
    if state.startswith("zero"):
        return f"The gradient of x is {state}: " + _zero(path, calls, cotangents, state) + _kept(x)
    return f"The gradient of x is {state}." + (f" But {bad}" if bad else "") + _kept(x)


def _exits(path: _Path) -> str:
    """Where values that depend on ``x`` left the tape."""
    names = [f"{_EXITS[name]} at {line}" for name, place, line in path.run.exits if place in path.reached]
    text = f"A value that depends on x was taken off the tape by {', '.join(dict.fromkeys(names))}. " if names else ""
    if path.run.switched:
        text += f"Recording was switched off at {', '.join(dict.fromkeys(path.run.switched))}. "
    return text


def _no_path(path: _Path, y: Variable) -> str:
    text = "x gets no gradient because there is no path from x to the result. "
    text += _exits(path)
    if not path.after:
        off = "while recording was off, or " if path.run.switched else ""
        text += f"No recorded operation used x: the function computes {off}with another Variable, or with a copy."
    else:
        text += f"The last recorded operation that depends on x is {_at(path.after[-1])}; the result does not use it."
    if not y.requires_grad:
        text += " The result is not tracked at all."
    return text


def _cotangents(x: Variable, y: Variable, calls: list[Any]) -> tuple[Variable | None, dict[Place | None, Variable | None]]:
    """The gradient of ``x``, and those of the results of all calls."""
    values = [v for call in calls for v in call.outputs() if v.requires_grad]
    start = _core._place(x)
    found = _gradients(y, [x, *values])
    table = dict(zip([start, *(_core._place(v) for v in values)], found))
    return found[0], table


def _first_bad_value(run: _Run) -> str:
    """The first operation whose result is NaN or infinite although its operands are finite."""
    for call in run.calls:
        inputs = [v for v in call.inputs() if v is not None]
        bad = [v.detach() for v in call.outputs() if _is_bad(v.detach())]
        if not bad:
            continue
        if any(map(_is_bad, inputs)):
            return f"{_at(call)} was given a value that is already {_state(next(v for v in inputs if _is_bad(v)))}."
        return f"the value of {_at(call)} is {_state(bad[0])}, of finite inputs{_range(inputs)}."
    return ""


def _range(inputs: list[Variable]) -> str:
    real = [v for v in inputs if v.size and v.dtype.is_floating_point]
    return "" if not real else f" between {float(_core.min(real[0]).item()):.6g} and {float(_core.max(real[0]).item()):.6g}"


def _first_bad_gradient(calls: list[Any], cotangents: dict[Place | None, Variable | None]) -> str:
    """The first operation, from the result backwards, that turned a finite gradient into NaN or infinity."""
    for call in calls:
        if any(_is_bad(cotangents.get(_core._place(v))) for v in call.outputs()):
            continue
        for place, v in zip(call.places(), call.inputs()):
            g = cotangents.get(place) if place is not None else None
            if v is not None and _is_bad(g) and g is not None:
                return (
                    f"all values are finite, but in the backward pass the gradient that {_at(call)} passes on is {_state(g)}, "
                    "of inputs"
                    f"{_range([v])}: its derivative is not finite there."
                )
    return "it became so in the backward pass of a function with a rule of its own, or where several gradients are added."


def _zero(path: _Path, calls: list[Any], cotangents: dict[Place | None, Variable | None], state: str) -> str:
    """The operations that turn a gradient into zeros."""
    if state != "zero":
        return "those elements do not change the result here (a mask, an index, a branch, or a derivative of zero)."
    found = []
    for call in calls:
        outer = [cotangents.get(_core._place(v)) for v in call.outputs()]
        inner = [cotangents.get(p) for p in call.places() if p in path.reached]
        if not all(map(_is_zero, outer)) and all(map(_is_zero, inner)):
            found.append(f"{_at(call)} {_reason(call, path)}")
    if found:
        return "; ".join(found[:3]) + "."
    return "contributions of several operations add up to zero."


def _reason(call: Any, path: _Path) -> str:  # noqa: PLR0911 - an answer each
    """Why the derivative of a call is zero with respect to the operands that depend on ``x``."""
    inputs = call.inputs()
    ours = [v for v, p in zip(inputs, call.places()) if p in path.reached and v is not None]
    others = [v for v, p in zip(inputs, call.places()) if p not in path.reached and v is not None]
    between = _range(ours)
    if call.name == "where":
        return "never takes the branch with x: its condition chooses the other one everywhere"
    if call.name in ("relu", "relu6", "hardtanh", "leaky_relu"):
        return f"gets inputs{between}, where it is flat"
    if call.name in ("clip", "clamp", "minimum", "maximum", "fmin", "fmax"):
        return f"gets inputs{between}, all outside of the range in which it passes them on: the bound is taken everywhere"
    products = ("multiply", "matmul", "dot", "linear", "outer", "inner", "vecdot")
    if call.name in products and (any(map(_is_zero, others)) or all(_is_zero(y.detach()) for y in call.outputs())):
        return "multiplies by a factor that is zero everywhere"
    if call.name in ("max", "min"):
        return "chooses an element that does not depend on x"
    if call.name in ("stack", "concat"):
        return "gets a gradient for its other inputs only: what comes after it chose them"
    if call.name in ("getitem", "at_positions", "take"):
        return "chooses no element that depends on x"
    return f"has a derivative of zero at its inputs{between}"
