"""Functions with a derivative of their own, as decorators with JAX's signatures."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import Variable
from ._redraw import Draws
from ._transforms import _check_function, _result, _variable, vjp
from ._tree import Structure, flatten, is_inexact, unflatten
from .autograd import Function, enable_grad, no_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["custom_jvp", "custom_vjp"]


class _Call:
    """One call of a custom function: its arguments taken apart."""

    def __init__(self, name: str, args: tuple[Any, ...], skipped: Sequence[int]) -> None:
        if any(not -len(args) <= n < len(args) for n in skipped):
            raise ValueError(f"{name}: nondiff_argnums is {tuple(skipped)}, but the call has {len(args)} arguments")
        self.skipped = [args[n] for n in skipped]
        left_out = {n % len(args) for n in skipped}
        self.numbers = [n for n in range(len(args)) if n not in left_out]
        self.args = args
        found: list[Any] = []
        self.structures: list[Structure] = []
        #: The number of leaves of each argument.
        self.counts: list[int] = []
        for n in self.numbers:
            before = len(found)
            self.structures.append(flatten(args[n], found))
            self.counts.append(len(found) - before)
        self.values = [_argument(name, x) for x in found]
        self.out: Any = None

    def filled(self, values: Sequence[Any]) -> list[Any]:
        out, rest = list(self.args), list(values)
        for n, structure in zip(self.numbers, self.structures, strict=True):
            out[n] = unflatten(structure, rest)
        return out

    def chosen(self, values: Sequence[Any]) -> list[Any]:
        rest = list(values)
        return [unflatten(s, rest) for s in self.structures]

    def returned(self, out: Any) -> tuple[Variable, ...]:
        found: list[Any] = []
        self.out = flatten(out, found)
        return tuple(_result("custom function", y) for y in found)


def _argument(name: str, x: Any) -> Variable:
    try:
        return _variable(name, x)
    except TypeError as e:
        raise TypeError(f"{e}; name arguments of other kinds in nondiff_argnums") from None


def _numbers(nondiff_argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)


def _signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a function; None if it is not known, as for some functions of C."""
    try:
        return inspect.signature(f)
    except (TypeError, ValueError):
        return None


def _by_position(
    f: Callable[..., Any], signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """All arguments of a call in the order of the parameters: rules get keyword arguments and defaults by position, too."""
    if signature is None:
        if kwargs:
            raise TypeError(f"{getattr(f, '__name__', f)}: its signature is not known, so it takes no keyword arguments here")
        return args
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{getattr(f, '__name__', f)}: {next(iter(bound.kwargs))!r} can be given by name only, but rules get all arguments "
            "by position; make it one that can be given by position"
        )
    return bound.args


def _is_differentiated(values: list[Variable]) -> bool:
    """Whether a call may need the rule; else the function itself runs, as a call of it in its own fwd does."""
    recorded = _core.is_grad_enabled()
    return any((recorded and v.requires_grad) or _core._lifted(v) is not None for v in values)


def _zeros(y: Variable, g: Any) -> Any:
    return _core.zeros_like(y) if g is None else g


def _gradient(g: Any, x: Variable) -> Any:
    """What a rule gives for an argument; what is not floating has no gradient, whatever the rule gives."""
    if g is None or not is_inexact(x.dtype):
        return None
    return g if isinstance(g, Variable) else _core.asarray(g, dtype=x.dtype)


class _CustomVjp(Function):
    @staticmethod
    def forward(ctx: Any, rule: custom_vjp, call: _Call, *values: Variable) -> Any:
        ctx.draws = Draws()
        out, ctx.residuals = rule.forward(call.filled(values))
        ctx.call, ctx.rule = call, rule
        ctx.save_for_backward(*values)
        ctx.outputs = call.returned(out)
        return ctx.outputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call = ctx.call
        residuals = ctx.residuals
        if _core.is_grad_enabled():
            # The gradients are to be differentiated, so the residuals must be known as functions of the arguments.
            with ctx.draws:
                _, residuals = ctx.rule.forward(call.filled(ctx.saved_values))
        cotangent = unflatten(call.out, [_zeros(y, g) for y, g in zip(ctx.outputs, grads, strict=True)])
        given = ctx.rule.bwd(*call.skipped, residuals, cotangent)
        if not isinstance(given, tuple) or len(given) != len(call.numbers):
            raise TypeError(
                f"{ctx.rule.__name__}: its bwd must return a tuple with one gradient for each of {len(call.numbers)} arguments, "
                f"got {given!r}"
            )
        out: list[Any] = []
        for structure, count, g in zip(call.structures, call.counts, given, strict=True):
            found: list[Any] = []
            if g is None:
                found = [None] * count
            elif flatten(g, found, structure) != structure:
                raise TypeError(f"{ctx.rule.__name__}: its bwd returned a gradient {flatten(g, [])} for an argument {structure}")
            out += found
        return (None, None, *(_gradient(g, v) for g, v in zip(out, call.values, strict=True)))


class custom_vjp:
    """A function whose vjp is given, by ``f.defvjp(fwd, bwd)``.

    ``fwd(*args)`` returns ``(out, residuals)``, and ``bwd(residuals, cotangent)`` a tuple of gradients, one for each argument,
    None for zero. Arguments in ``nondiff_argnums`` come first in ``bwd``.

    >>> @tg.custom_vjp
    ... def clipped(x):
    ...     return tg.exp(x)
    >>> clipped.defvjp(lambda x: (tg.exp(x), tg.exp(x)), lambda y, g: (tg.clip(g * y, -1.0, 1.0),))
    >>> tg.grad(clipped)(5.0)
    Variable(1.)
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        _check_function("custom_vjp", f)
        functools.update_wrapper(self, f)
        self.f, self.nondiff_argnums = f, _numbers(nondiff_argnums)
        self._signature = _signature(f)
        self.__name__: str = getattr(f, "__name__", type(f).__name__)
        self.fwd: Any = None
        self.bwd: Any = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Sets the two halves of the vjp."""
        self.fwd, self.bwd = fwd, bwd

    def forward(self, args: list[Any]) -> tuple[Any, Any]:
        """The result and the residuals."""
        pair = self.fwd(*args)
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(f"{self.__name__}: its fwd must return a pair (result, residuals), it returned {type(pair).__name__}")
        return pair

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None:
            raise TypeError(f"{self.__name__}: its vjp was not given; call {self.__name__}.defvjp(fwd, bwd)")
        call = _Call(self.__name__, _by_position(self.f, self._signature, args, kwargs), self.nondiff_argnums)
        if not _is_differentiated(call.values):
            with no_grad():
                return self.f(*call.filled(call.values))
        values = _CustomVjp.apply(self, call, *call.values)
        return unflatten(call.out, list(values if isinstance(values, tuple) else (values,)))


class _CustomJvp(Function):
    @staticmethod
    def forward(ctx: Any, rule: custom_jvp, call: _Call, *values: Variable) -> Any:
        ctx.call, ctx.rule, ctx.values = call, rule, values
        ctx.save_for_backward(*values)
        ctx.outputs = call.returned(rule.f(*call.filled(values)))
        return ctx.outputs

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        given = [_zeros(v, t) for v, t in zip(ctx.values, tangents[2:], strict=True)]
        return ctx.rule.push(ctx.call, ctx.values, given, ctx.outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call, values = ctx.call, ctx.saved_values
        places = [i for i, v in enumerate(values) if is_inexact(v.dtype)]

        def push(*tangents: Any) -> Any:
            full = [_core.zeros_like(v) for v in values]
            for i, t in zip(places, tangents, strict=True):
                full[i] = t
            return ctx.rule.push(call, values, full, ctx.outputs)

        zeros = [_core.zeros_like(values[i]) for i in places]
        cotangents = [_zeros(y, g) for y, g in zip(ctx.outputs, grads, strict=True)]
        if any(_core._lifted(x) for x in (*values, *cotangents)):
            _, pullback = vjp(push, *zeros)
            found = pullback(tuple(cotangents))
        else:
            # Plain values stay plain, also where a vmap around this pass maps new values to it.
            roots = list(_core._plain_roots(zeros))
            with enable_grad():
                tangents = push(*roots)
            found = _core._vjp_pull(list(tangents), cotangents, roots, False)
        out: list[Any] = [None, None, *(None for _ in values)]
        for i, g in zip(places, found, strict=True):
            out[i + 2] = g
        return tuple(out)


class custom_jvp:
    """A function whose jvp is given, by ``f.defjvp(rule)``.

    ``rule(primals, tangents)`` returns ``(out, tangent)`` and is linear in the tangents. Reverse mode transposes it.
    Arguments in ``nondiff_argnums`` come first in the rule and are not among the primals.

    >>> @tg.custom_jvp
    ... def log1pexp(x):
    ...     return tg.log1p(tg.exp(x))
    >>> log1pexp.defjvp(lambda p, t: (log1pexp(*p), (1.0 - 1.0 / (1.0 + tg.exp(p[0]))) * t[0]))
    >>> tg.grad(log1pexp)(100.0)
    Variable(1.)
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)
        self.f, self.nondiff_argnums = f, _numbers(nondiff_argnums)
        self._signature = _signature(f)
        self.__name__: str = getattr(f, "__name__", type(f).__name__)
        self.rule: Any = None

    def defjvp(self, rule: Callable[..., Any]) -> None:
        """Sets the jvp."""
        self.rule = rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Sets the jvp as a sum: ``rules[i](tangent, out, *primals)`` for argument i, None for zero.

        Raises TypeError for a function with ``nondiff_argnums``, which these rules would not get.
        """
        if self.nondiff_argnums:
            raise TypeError(f"{self.__name__}: defjvps has no place for the arguments in nondiff_argnums; give the jvp by defjvp")

        def rule(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            terms = [r(t, out, *primals) for r, t in zip(rules, tangents, strict=True) if r is not None]
            return out, sum(terms[1:], terms[0]) if terms else _core.zeros_like(out)

        self.rule = rule

    def push(
        self, call: _Call, values: Sequence[Any], tangents: Sequence[Any], outputs: Sequence[Variable]
    ) -> tuple[Variable, ...]:
        """The tangents of the results, which are nested as the results and have their shapes."""
        pair = self.rule(*call.skipped, tuple(call.chosen(values)), tuple(call.chosen(tangents)))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(f"{self.__name__}: its rule must return a pair (result, tangent), it returned {type(pair).__name__}")
        found: list[Any] = []
        form = flatten(pair[1], found, call.out)
        if form != call.out:
            raise TypeError(f"{self.__name__}: its rule returned a tangent {form} for a result {call.out}")
        given = tuple(_result("custom function", t) for t in found)
        for y, t in zip(outputs, given, strict=True):
            if y.shape != t.shape:
                raise _core.ShapeError(
                    f"{self.__name__}: its rule returned a tangent of shape {t.shape} for a result of {y.shape}"
                )
        return given

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.rule is None:
            raise TypeError(f"{self.__name__}: its jvp was not given; call {self.__name__}.defjvp(rule)")
        call = _Call(self.__name__, _by_position(self.f, self._signature, args, kwargs), self.nondiff_argnums)
        values = _CustomJvp.apply(self, call, *call.values)
        return unflatten(call.out, list(values if isinstance(values, tuple) else (values,)))
