"""Custom functions: a forward and a gradient rule written in Python."""

from __future__ import annotations

from .. import _core
from .._core import GradError, Variable
from .._messages import a_type
from .modes import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class FunctionContext:
    """Carries values from the forward of a :class:`Function` to its backward. Further attributes may be set on it."""

    #: For each argument of the forward, whether its gradient is wanted.
    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        # The values when they were saved, with their history: the objects may be changed in place before the backward.
        self._saved: tuple[Variable | None, ...] = ()
        # The objects themselves until the forward ends: saved outputs are recognised by identity.
        self._originals: tuple[Variable | None, ...] = ()
        self._raw_outputs: tuple[Any, ...] = ()
        self._non_differentiable: set[int] = set()
        # Keeps the marked outputs alive, so that no other object can get one of the ids in the set.
        self._marked: tuple[Variable, ...] = ()
        self._materialize = True
        # Shape and dtype of each output, None for those through which no gradient flows.
        self._metas: tuple[tuple[Any, Any] | None, ...] = ()

    def save_for_backward(self, *values: Variable | None) -> None:
        """Keeps inputs, outputs or intermediate values for the backward, which finds them in :attr:`saved_values`."""
        for i, value in enumerate(values):
            if value is not None and not isinstance(value, Variable):
                raise TypeError(
                    f"save_for_backward: value {i} is {a_type(value)}; it takes Variables, other things can be attributes of ctx"
                )
        self._originals = values
        self._saved = tuple(None if v is None else _core._saved(v) for v in values)

    def save_for_forward(self, *values: Variable | None) -> None:
        """Accepted, without effect: forward mode follows from the backward, so a ``jvp`` is not called."""

    @property
    def saved_values(self) -> tuple[Any, ...]:
        """What :meth:`save_for_backward` kept, in its order."""
        # With recording on, the gradients will be differentiated again: then the values come with their history.
        return self._saved if _core.is_grad_enabled() else tuple(None if v is None else v.detach() for v in self._saved)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """PyTorch's name of :attr:`saved_values`."""
        return self.saved_values

    def _set_outputs(self, outputs: tuple[Variable, ...]) -> None:
        """Gives saved outputs their history, which exists only after the forward."""
        recorded = {id(raw): out for raw, out in zip(self._raw_outputs, outputs)}
        pairs = zip(self._originals, self._saved)
        self._saved = tuple(_core._saved(recorded[id(v)]) if id(v) in recorded else kept for v, kept in pairs)
        self._originals = self._raw_outputs = ()

    def set_materialize_grads(self, value: bool) -> None:
        """Whether the backward gets zeros (the default) or None for an output without a gradient."""
        self._materialize = bool(value)

    def mark_dirty(self, *inputs: Variable) -> None:
        """Raises NotImplementedError: a forward returns new values."""
        raise NotImplementedError(
            "mark_dirty: a Function does not change its inputs; return a new value from the forward, and write x = F.apply(x) "
            "where it is called"
        )

    def _note_outputs(self, outputs: Any) -> None:
        """Notes the outputs of the forward, to recognise saved outputs and to create zero gradients."""
        self._raw_outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        self._metas = tuple(
            (v.shape, v.dtype)
            if isinstance(v, Variable) and v.dtype.is_inexact and id(v) not in self._non_differentiable
            else None
            for v in self._raw_outputs
        )

    def _zeros_for_none(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self._materialize:
            return grads
        metas = self._metas + (None,) * (len(grads) - len(self._metas))
        return tuple(_core.zeros(*meta) if g is None and meta is not None else g for g, meta in zip(grads, metas))

    def mark_non_differentiable(self, *outputs: Variable) -> None:
        """Declares outputs of the forward through which no gradient flows; they are never tracked."""
        for i, output in enumerate(outputs):
            if not isinstance(output, Variable):
                raise TypeError(f"mark_non_differentiable: output {i} is {a_type(output)}, not a Variable")
        self._marked += outputs
        self._non_differentiable.update(map(id, outputs))


class Function:
    """Base of functions with a gradient rule of their own. Subclasses define two static methods; call ``apply``.

    ``forward(ctx, *args)`` computes a Variable or a tuple of them; it is not recorded. ``backward(ctx, *grads)`` gets
    the gradient of each output (zeros where none flows, or ``None`` after ``ctx.set_materialize_grads(False)`` and for
    outputs that are marked as not differentiable) and returns one for each argument of the forward, ``None`` for those
    without. Written in operations on Variables, it can be differentiated again. A ``forward(*args)`` without ``ctx`` goes
    with a ``setup_context(ctx, inputs, output)``. Forward mode and ``vmap`` follow from the two, so PyTorch's further methods
    ``jvp`` and ``vmap`` are not called.

    >>> class Cube(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_values
    ...         return 3 * x * x * grad
    >>> x = tg.Variable(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        forward, backward = cls.__dict__.get("forward"), cls.__dict__.get("backward")
        if isinstance(backward, staticmethod):
            cls.backward = staticmethod(_with_zeros(backward.__func__))  # type: ignore[method-assign]
        if isinstance(forward, staticmethod):
            inner = forward.__func__
            if cls.setup_context is not Function.setup_context:
                inner = _with_setup(cls, inner)
            cls.forward = staticmethod(_noting_outputs(inner))  # type: ignore[method-assign]
        elif forward is not None:
            raise TypeError(f"{cls.__name__}.forward must be a @staticmethod: forward(ctx, *args)")

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not instantiated: call {type(self).__name__}.apply(...)")

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Computes the outputs."""
        raise NotImplementedError("a Function defines a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Saves what the backward needs, for a forward without ``ctx``."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Computes a gradient for each argument of the forward."""
        raise NotImplementedError("a Function that is differentiated defines a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs the forward and puts it on the tape when an argument is tracked."""
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(isinstance(a, Variable) and a.requires_grad for a in args)
        return _core.apply_function(cls, ctx, args)


def _noting_outputs(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a forward so that its context notes the outputs, to recognise saved ones."""

    def noting(ctx: Any, *args: Any) -> Any:
        outputs = forward(ctx, *args)
        if isinstance(ctx, FunctionContext):
            ctx._note_outputs(outputs)
        return outputs

    return _named_as(forward, noting)


def _named_as(function: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    # Written out, because importing functools takes longer than importing everything else here.
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, name, getattr(function, name))
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapper


def _with_setup(cls: type[Function], forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward with a context, from a forward without one and the method that fills the context."""

    def call(ctx: Any, *args: Any) -> Any:
        outputs = forward(*args)
        cls.setup_context(ctx, args, outputs)
        return outputs

    return _named_as(forward, call)


def _with_zeros(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a backward so that it gets zeros where no gradient flows."""

    def call(ctx: Any, *grads: Any) -> Any:
        if isinstance(ctx, FunctionContext) and any(g is None for g in grads):
            grads = ctx._zeros_for_none(grads)
        return backward(ctx, *grads)

    return _named_as(backward, call)


class _Undifferentiable(Function):
    """The identity, which keeps values tied to their history; differentiating it raises."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *values: Variable) -> tuple[Variable, ...]:
        ctx.name = name
        return tuple(v.detach() for v in values[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GradError(f"{ctx.name} is marked once_differentiable: its gradients cannot be differentiated again")


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a ``backward`` that is not composed of recorded operations; a second derivative then raises.

    >>> class Shift(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x + 1.0
    ...     @staticmethod
    ...     @tg.autograd.once_differentiable
    ...     def backward(ctx, grad):
    ...         return tg.asarray(grad.numpy())
    >>> x = tg.Variable(2.0, requires_grad=True)
    >>> tg.autograd.grad(Shift.apply(x), x)[0].item()
    1.0
    """
    import functools

    name = getattr(backward, "__qualname__", repr(backward))

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            result = backward(ctx, *grads)
        # Recording is on here only when the gradients themselves are to be differentiated.
        sources = [v for v in (*grads, *ctx._saved) if isinstance(v, Variable) and v.requires_grad]
        if not _core.is_grad_enabled() or not sources:
            return result
        results = list(result) if isinstance(result, tuple) else [result]
        places = [i for i, r in enumerate(results) if isinstance(r, Variable)]
        if places:
            tied = _Undifferentiable.apply(name, len(places), *(results[i] for i in places), *sources)
            for i, value in zip(places, tied):
                results[i] = value
        return tuple(results) if isinstance(result, tuple) else results[0]

    return once
