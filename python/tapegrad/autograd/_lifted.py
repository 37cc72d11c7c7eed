"""Custom functions inside forward mode and batching."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from .._core import GradError, Variable
from .._redraw import Draws
from .._tree import is_inexact
from .function import Function, FunctionContext
from .modes import enable_grad, no_grad


class VmapInfo(NamedTuple):
    """The information about the mapping that ``vmap`` of a Function gets besides its arguments."""

    batch_size: int
    randomness: str


def apply(cls: type[Function], args: tuple[Any, ...]) -> Any:
    """Runs a Function on values inside a transformation: by its own ``jvp`` or ``vmap`` where it has one."""
    kind, level = max((lift for a in args if isinstance(a, Variable) and (lift := _core._lifted(a))), key=lambda lift: lift[1])
    return _batched(cls, args, level) if kind == "batched" else _dual(cls, args, level)


def _at(level: int, a: Any) -> bool:
    return isinstance(a, Variable) and (lift := _core._lifted(a)) is not None and lift[1] == level


def _batched(cls: type[Function], args: tuple[Any, ...], level: int) -> Any:
    mapping = _core._active_mapping(level)
    if mapping is None:
        raise GradError(
            f"{cls.__name__}: a value of a vmap was used after the function had returned; return it from the function instead of "
            "storing it elsewhere"
        )
    size, randomness = mapping
    values = [_core._unbatched(level, size, a, 0) if _at(level, a) else a for a in args]
    mapped = [_at(level, a) for a in args]
    if "vmap" in vars(cls) or getattr(cls, "vmap", None) is not getattr(Function, "vmap", None):
        axes = tuple(0 if m else None for m in mapped)
        outputs, out_axes = cls.vmap(  # type: ignore[attr-defined]
            VmapInfo(size, randomness), axes, *values
        )
        many = isinstance(outputs, tuple)
        outputs = outputs if many else (outputs,)
        places = out_axes if isinstance(out_axes, tuple) else (out_axes,) * len(outputs)
        lifted = tuple(y if axis is None else _core._batched(level, y, axis) for y, axis in zip(outputs, places, strict=True))
        return lifted if many else lifted[0]
    rows = _rows(cls, values, mapped, level, size, randomness)
    if not rows:
        raise GradError(
            f"{cls.__name__}: a batch of size 0 cannot be run sample by sample; give the Function a static method vmap"
        )
    if not isinstance(rows[0], tuple):
        return _core._batched(level, _core.stack(rows), 0)
    return tuple(_core._batched(level, _core.stack(list(column)), 0) for column in zip(*rows, strict=True))


def _rows(cls: type[Function], values: list[Any], mapped: list[bool], level: int, size: int, randomness: str) -> list[Any]:
    """The results of the samples one by one, each computed as outside of the mapping."""
    draws = Draws()
    rows = []
    suspended = _core._suspend_mappings(_core._mapping_depth(level))
    try:
        for i in range(size):
            if randomness == "same":
                draws.rewind()
            rows.append(cls.apply(*(v[i] if m else v for v, m in zip(values, mapped, strict=True))))
    finally:
        for mapping in suspended:
            _core._enter_mapping(*mapping)
    if randomness == "error" and not draws.are_none():
        raise GradError(
            f"{cls.__name__}: a random number was drawn inside vmap(randomness='error'); use 'different' or 'same', or draw "
            "outside of the function"
        )
    return rows


def _dual(cls: type[Function], args: tuple[Any, ...], level: int) -> Any:
    pairs = [_core._split_dual(level, a) if isinstance(a, Variable) else (a, None) for a in args]
    values, tangents = [v for v, _ in pairs], [t for _, t in pairs]
    if getattr(cls, "jvp", None) is not None:
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(_at(level, a) for a in args)
        if any(isinstance(v, Variable) and _core._lifted(v) for v in values):
            outputs = cls.apply(*values)
            with no_grad():
                cls.forward(ctx, *values)
        else:
            # The values may be tracked, as in the gradient of a function inside jvp.
            outputs = _core.apply_function(cls, ctx, tuple(values))
        many = isinstance(outputs, tuple)
        pushed = cls.jvp(ctx, *tangents)  # type: ignore[attr-defined]
        pushed = pushed if isinstance(pushed, tuple) else (pushed,)
        outputs = outputs if many else (outputs,)
        if len(pushed) != len(outputs):
            raise GradError(
                f"{cls.__name__}.jvp returned {len(pushed)} tangents, expected {len(outputs)}: one for each result of forward"
            )
    else:
        outputs, pushed, many = _pushed(cls, args, values, tangents, level)
    lifted = tuple(y if t is None else _core._dual(level, y, t) for y, t in zip(outputs, pushed, strict=True))
    return lifted if many else lifted[0]


def _plain_begin(values: list[Variable]) -> tuple[Any, Any]:
    """New leaves for plain values, which stay plain whatever mapping is active around the Function."""
    roots = _core._plain_roots(values)
    return roots, roots


def _pushed(
    cls: type[Function], args: tuple[Any, ...], values: list[Any], tangents: list[Any], level: int
) -> tuple[Any, Any, bool]:
    """Outputs and their tangents: the pullback is linear in the cotangent, and its own pullback is the derivative."""
    places = [i for i, a in enumerate(args) if _at(level, a)]
    begin = _core._vjp_begin if any(isinstance(v, Variable) and _core._lifted(v) for v in values) else _plain_begin
    inner, roots = begin([values[i] for i in places])
    filled = list(values)
    for i, v in zip(places, inner, strict=True):
        filled[i] = v
    with enable_grad():
        outputs = cls.apply(*filled)
        many = isinstance(outputs, tuple)
        outputs = outputs if many else (outputs,)
        floating = [k for k, y in enumerate(outputs) if is_inexact(y.dtype)]
        cotangents, cotangent_roots = begin([_core.zeros_like(outputs[k]) for k in floating])
        gradients = _core._vjp_pull([outputs[k] for k in floating], list(cotangents), roots, True)
    pushed: list[Any] = [None] * len(outputs)
    found = _core._vjp_pull(list(gradients), [tangents[i] for i in places], cotangent_roots, False)
    for k, t in zip(floating, found, strict=True):
        pushed[k] = t
    return _core._vjp_end(list(outputs), roots), pushed, many
