"""Checkpoints: inner values are computed again in the backward pass, which saves memory and costs time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import Variable
from ._redraw import Draws
from ._tree import flatten, is_inexact, unflatten
from .autograd import Function
from .autograd.modes import enable_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["checkpoint", "checkpoint_sequential"]


@contextmanager
def _outside_mappings(depth: int) -> Iterator[None]:
    """Runs the block inside the first ``depth`` active mappings only, as in the first run of the function."""
    suspended = _core._suspend_mappings(depth)
    try:
        yield
    finally:
        for mapping in suspended:
            _core._enter_mapping(*mapping)


class _Recomputed(Function):
    """A part of a program whose inner values are computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, run: _Run, *inputs: Variable) -> Any:
        ctx.run = run
        ctx.save_for_backward(*inputs[: run.count])
        outputs, run.outputs = run.outputs, None
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.run.pull(ctx.saved_values, grads))


class _Run:
    """One call of a checkpointed function."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.f = f
        self.found: list[Any] = []
        self.structure = flatten((list(args), kwargs), self.found)
        self.places = [i for i, x in enumerate(self.found) if isinstance(x, Variable)]
        self.count = len(self.places)
        self.draws = Draws()
        self.depth = _core._mapping_depth()
        self.out: Any = None
        self.outputs: Any = None
        self.outside: list[Variable] = []

    def call(self, values: Sequence[Variable]) -> list[Any]:
        found = list(self.found)
        for i, v in zip(self.places, values, strict=True):
            found[i] = v
        args, kwargs = unflatten(self.structure, found)
        results: list[Any] = []
        self.out = flatten(self.f(*args, **kwargs), results)
        return results

    def forward(self) -> Any:
        """Runs the function once, and records it as one operation of its arguments and of what it closes over."""
        values = [self.found[i] for i in self.places]
        roots = _core._plain_roots([v.detach() for v in values if is_inexact(v.dtype)])
        since = _core._next_number()
        with enable_grad():
            results = self.call(self._fill(values, roots))
        variables = [y for y in results if isinstance(y, Variable)]
        if any(_core._lifted(y) for y in variables):
            return self.unrecorded()
        self.outside = list(_core._frontier(variables, roots, since))
        self.outputs = tuple(y.detach() for y in variables)
        self.found = [None if i in self.places else x for i, x in enumerate(self.found)]
        tracked = _Recomputed.apply(self, *values, *self.outside)
        rest = list(tracked if isinstance(tracked, tuple) else (tracked,))
        return unflatten(self.out, [rest.pop(0) if isinstance(y, Variable) else y for y in results])

    def unrecorded(self) -> Any:
        """Runs the function without a checkpoint: it closes over a value inside a transformation, which the tape cannot hold."""
        self.draws.rewind()
        args, kwargs = unflatten(self.structure, list(self.found))
        return self.f(*args, **kwargs)

    @staticmethod
    def _fill(values: Sequence[Variable], floating: Sequence[Variable]) -> list[Variable]:
        rest = list(floating)
        return [rest.pop(0) if is_inexact(v.dtype) else v for v in values]

    def pull(self, values: Sequence[Variable], grads: Sequence[Any]) -> list[Any]:
        """The gradients of the arguments and of the values that the function closes over: runs the function again."""
        with _outside_mappings(self.depth):
            again = _core.is_grad_enabled()
            if again and not any(isinstance(g, Variable) and _core._lifted(g) for g in grads):
                # The gradient is recorded as a checkpoint of its own. The arguments are detached from their history, which
                # may depend on values that the function closes over.
                return list(_Run(self.gradients, (list(values), list(grads)), {}).forward())
            # The tape does not hold a batch of cotangents, so the recorded gradient of a batch is kept whole.
            floating = _core._plain_roots([v for v in values if is_inexact(v.dtype)])
            return self.gradients(self._fill(values, floating), grads, create_graph=again)

    def gradients(self, values: Sequence[Variable], grads: Sequence[Any], create_graph: bool = True) -> list[Any]:
        """The gradients at ``values``, which are new leaves on the tape."""
        with self.draws, enable_grad():
            results = [y for y in self.call(values) if isinstance(y, Variable)]
        pairs = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None and y.requires_grad]
        sources = [*(v for v in values if is_inexact(v.dtype)), *self.outside]
        if not pairs or not sources:
            return [None] * (len(values) + len(self.outside))
        found = list(_core._pull_between([y for y, _ in pairs], [g for _, g in pairs], sources, create_graph))
        own = [found.pop(0) if is_inexact(v.dtype) else None for v in values]
        return own + found


def checkpoint(
    f: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """``f(*args, **kwargs)``, whose inner values are not kept for the backward pass but computed again there.

    Memory of the values inside is exchanged for a second run of ``f``. Gradients are the same bits, also by what ``f`` closes
    over; random numbers are drawn again as in the first run. It nests, and works under ``create_graph`` and inside the
    transformations. ``use_reentrant`` and ``preserve_rng_state=True`` are accepted for PyTorch's sake and change nothing.

    >>> x = tg.Variable([1.0, 2.0], requires_grad=True)
    >>> tg.sum(tg.checkpoint(lambda v: tg.exp(tg.sin(v)), x)).backward()
    >>> bool(tg.all(x.grad == tg.cos(x) * tg.exp(tg.sin(x))))
    True
    """
    if not preserve_rng_state:
        raise ValueError(
            "checkpoint: preserve_rng_state=False is not supported: gradients would be those of other random numbers"
        )
    if not callable(f):
        raise TypeError(f"checkpoint: the first argument must be a function, not {type(f).__name__}")
    found: list[Any] = []
    flatten((list(args), kwargs), found)
    lifted = any(isinstance(x, Variable) and _core._lifted(x) is not None for x in found)
    if lifted or not _core.is_grad_enabled():
        return f(*args, **kwargs)
    return _Run(f, args, kwargs).forward()


def checkpoint_sequential(functions: Any, segments: int, x: Any, **options: Any) -> Any:
    """Runs the parts of a Sequential one after the other, in ``segments`` groups, each of them a :func:`checkpoint` but the last.

    >>> net = tg.nn.Sequential(tg.nn.Tanh(), tg.nn.Tanh(), tg.nn.Tanh(), tg.nn.Tanh())
    >>> checkpoint_sequential(net, 2, tg.zeros(2))
    Variable([0., 0.])
    """
    parts = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if segments < 1:
        raise ValueError(f"checkpoint_sequential: segments is {segments}, expected 1 or more")
    size = max(1, len(parts) // segments)

    def run(group: list[Any]) -> Callable[[Any], Any]:
        def through(v: Any) -> Any:
            for part in group:
                v = part(v)
            return v

        return through

    last = size * (min(segments, max(len(parts), 1)) - 1)
    for start in range(0, last, size):
        x = checkpoint(run(parts[start : start + size]), x, **options)
    return run(parts[last:])(x)
