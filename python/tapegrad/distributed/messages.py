"""Messages from one rank to another, through which gradients flow back."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._core import GradError, ShapeError, Variable
from .._tree import is_inexact, unflatten
from ..autograd import Function
from .collectives import (
    checked_rank,
    fill_zeros,
    is_repeated,
    keep_outputs,
    kind_of,
    leaves_of,
    place_back,
    specs_of,
    tied_cotangents,
)
from .errors import DistributedError
from .group import Group, current_group
from .pack import Layout, text_of, texts_of

Specs = list[tuple[tuple[int, ...], Any]]


class _Spec:
    """The shape and dtype of an array, as a Layout needs them."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype


def _channel(tag: int, order: int) -> int:
    """MPI's tag: values, their tangents and cotangents, and those of these have channels of their own."""
    return (tag * 4 + min(order, 3)) * 2


def _send_values(group: Group, dst: int, channel: int, kind: str, values: Sequence[Variable], what: str) -> None:
    specs = [(list(x.shape), x.dtype.name) for x in values]
    text = np.frombuffer(json.dumps([kind, specs]).encode(), np.uint8).copy()
    group.send(np.array([text.size], np.int64), dst, channel, what)
    group.send(text, dst, channel, what)
    for buffer in Layout(values).pack(values):
        group.send(buffer if buffer.flags.owndata else buffer.copy(), dst, channel + 1, what)


def _receive_header(group: Group, src: int, channel: int, what: str) -> tuple[str, Specs]:
    length = np.zeros(1, np.int64)
    group.recv(length, src, channel, what)
    text = np.empty(int(length[0]), np.uint8)
    group.recv(text, src, channel, what)
    kind, specs = json.loads(bytes(text))
    return kind, [(tuple(shape), _core.DType(name)) for shape, name in specs]


def _receive_values(group: Group, src: int, channel: int, specs: Specs, what: str) -> list[Variable]:
    layout = Layout([_Spec(*s) for s in specs])
    buffers = layout.empty()
    for buffer in buffers:
        group.recv(buffer, src, channel + 1, what)
    return layout.unpack(buffers)


class Send(Function):
    """Sends values; the result is a zero that carries the gradient, which comes back from the receiver."""

    @staticmethod
    def forward(ctx: Any, group: Group, dst: int, tag: int, order: int, kind: str, *values: Variable) -> Any:
        """Starts to send."""
        ctx.group, ctx.dst, ctx.tag, ctx.order, ctx.specs = group, dst, tag, order, specs_of(values)
        token = _token(values)
        if is_repeated(values):
            return token
        what = f"send(dst={dst}, tag={tag}) of {texts_of(values)}"
        group.begin(what)
        _send_values(group, dst, _channel(tag, order), kind, values, what)
        return keep_outputs(ctx, [token])[0]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Receives the cotangents; they depend on this very message, so that a second pass comes here as on the other side."""
        (token,) = ctx.saved_values
        like = [_core.zeros(shape, dtype) + token.astype(dtype) for shape, dtype in ctx.specs if is_inexact(dtype)]
        found = _receive(ctx.group, ctx.dst, ctx.tag, ctx.order + 1, like, f"gradient of send(dst={ctx.dst}, tag={ctx.tag})")
        return (None, None, None, None, None, *place_back(found, ctx.specs))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Sends the tangents."""
        values = fill_zeros(tangents[5:], ctx.specs)
        return _send(ctx.group, ctx.dst, ctx.tag, ctx.order + 1, values)


class Recv(Function):
    """Receives values; their cotangents are sent back."""

    @staticmethod
    def forward(ctx: Any, group: Group, src: int, tag: int, order: int, specs: Specs, anchor: Any, *templates: Variable) -> Any:
        """Waits for the values. ``anchor`` is a leaf that makes them tracked where no template is."""
        ctx.group, ctx.src, ctx.tag, ctx.order, ctx.specs, ctx.like = group, src, tag, order, specs, specs_of(templates)
        ctx.has_anchor = anchor is not None
        if is_repeated(templates):
            return tuple(templates)
        return keep_outputs(ctx, _receive_values(group, src, _channel(tag, order), specs, f"recv(src={src}, tag={tag})"))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Sends the cotangents back."""
        token = _send(ctx.group, ctx.src, ctx.tag, ctx.order + 1, tied_cotangents(ctx, grads, ctx.specs))
        link = token.astype(_core.float32) if ctx.has_anchor and not token.dtype.is_complex else None
        zeros = [_core.zeros(shape, dtype) + token.astype(dtype) for shape, dtype in ctx.like if is_inexact(dtype)]
        return (None, None, None, None, None, link, *place_back(zeros, ctx.like))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Receives the tangents."""
        what = f"tangent of recv(src={ctx.src}, tag={ctx.tag})"
        like = [_core.zeros(shape, dtype) for shape, dtype in ctx.specs if is_inexact(dtype)]
        return place_back(_receive(ctx.group, ctx.src, ctx.tag, ctx.order + 1, like, what), ctx.specs)


def _token(values: Sequence[Variable]) -> Variable:
    dtypes = [x.dtype for x in values if is_inexact(x.dtype)]
    return _core.zeros((), dtypes[0] if dtypes else _core.get_default_dtype())


def _send(group: Group, dst: int, tag: int, order: int, values: Sequence[Variable]) -> Variable:
    kinds = [kind_of(x) for x in values]
    if "batched" in kinds:
        raise GradError("send: it does not work inside vmap; send the batch as a whole, outside")
    kind = "dual" if "dual" in kinds else "tracked" if "tracked" in kinds else "plain"
    sent: Variable = Send.apply(group, dst, tag, order, kind, *values)
    return sent


def _receive(group: Group, src: int, tag: int, order: int, templates: Sequence[Variable] | None, what: str) -> list[Variable]:
    group.begin(what)
    kind, specs = _receive_header(group, src, _channel(tag, order), what)
    if templates is not None and specs != specs_of(templates):
        got = ", ".join(text_of(_Spec(*s)) for s in specs)
        raise ShapeError(f"recv: rank {src} has sent {got} with tag {tag}, expected {texts_of(templates)}")
    kinds = {kind_of(x) for x in templates or ()}
    if "batched" in kinds:
        raise GradError("recv: it does not work inside vmap; receive the batch as a whole, outside")
    if kind == "dual" and "dual" not in kinds:
        raise GradError(f"recv: rank {src} has sent a value with a tangent; pass an x that is inside the same jvp to receive it")
    if kind == "plain":
        return _receive_values(group, src, _channel(tag, order), specs, what)
    anchor = _core.zeros(()).requires_grad_(True) if kind == "tracked" and "tracked" not in kinds else None
    found = Recv.apply(group, src, tag, order, specs, anchor, *(templates or ()))
    return list(found) if isinstance(found, tuple) else [found]


def _tag(name: str, tag: Any) -> int:
    if isinstance(tag, bool) or not isinstance(tag, (int, np.integer)) or not 0 <= tag < 4000:
        raise ValueError(f"{name}: tag must be an int from 0 to 3999, got {tag!r}")
    return int(tag)


def _other(name: str, what: str, rank: Any, group: Group) -> int:
    found = checked_rank(name, what, rank, group)
    if found == group.rank:
        raise ValueError(f"{name}: {what} is rank {found} itself, expected another rank")
    return found


def send(x: Any, dst: int, tag: int = 0) -> Variable:
    """Sends ``x`` to rank ``dst``, which calls :func:`recv`; it does not wait for that.

    Returns a zero. Where gradients shall flow back from the receiver, add it to the loss of this rank: its backward pass
    waits for the cotangent that the receiver's backward pass sends.

    >>> def job():
    ...     if tg.distributed.get_rank() == 0:
    ...         x = tg.Variable(3.0, requires_grad=True)
    ...         loss = tg.distributed.send(x, dst=1)
    ...     else:
    ...         x = None
    ...         loss = tg.distributed.recv(src=0) ** 2
    ...     loss.backward()
    ...     return x if x is None else x.grad.item()
    >>> tg.distributed.run_local(job, 2)
    [6.0, None]
    """
    group = current_group("send")
    values, _ = leaves_of("send", x)
    return _send(group, _other("send", "dst", dst, group), _tag("send", tag), 0, values)


def recv(x: Any = None, src: int = 0, tag: int = 0) -> Any:
    """What rank ``src`` has sent with this ``tag``: a new value.

    ``x`` has the structure, shapes and dtypes that are expected; None takes one array of any shape. Gradients flow back to the
    sender. Inside ``tg.grad`` or ``tg.jvp``, and for second derivatives, pass an ``x`` that depends on what is differentiated:
    its own gradient is zero, but it ties the message to the pass.

    >>> def job():
    ...     if tg.distributed.get_rank() == 0:
    ...         tg.distributed.send({"a": tg.ones(2)}, dst=1)
    ...     else:
    ...         return tg.distributed.recv({"a": tg.zeros(2)}, src=0)
    >>> tg.distributed.run_local(job, 2)
    [None, {'a': Variable([1., 1.])}]
    """
    group = current_group("recv")
    src, tag = _other("recv", "src", src, group), _tag("recv", tag)
    what = f"recv(src={src}, tag={tag})"
    if x is None:
        found = _receive(group, src, tag, 0, None, what)
        if len(found) != 1:
            raise ShapeError(f"recv: rank {src} has sent {len(found)} arrays; pass an x of the same structure")
        return found[0]
    values, structure = leaves_of("recv", x)
    return unflatten(structure, _receive(group, src, tag, 0, values, what))


# ---- objects ----


def all_gather_object(obj: Any) -> list[Any]:
    """A list with the object of every rank, pickled on the way; shapes may differ. Only for ranks that trust each other.

    >>> tg.distributed.run_local(lambda: tg.distributed.all_gather_object("x" * tg.distributed.get_rank()), 3)[0]
    ['', 'x', 'xx']
    """
    group = current_group("all_gather_object")
    data = np.frombuffer(pickle.dumps(obj), np.uint8)
    group.agree("all_gather_object()")
    sizes = np.zeros(group.size, np.int64)
    group.wait([group.backend.all_gather(np.array([data.size]), sizes)], group.last)
    mine = np.zeros(int(sizes.max()), np.uint8)
    mine[: data.size] = data
    rows = np.empty(mine.size * group.size, np.uint8)
    group.wait([group.backend.all_gather(mine, rows)], group.last)
    parts = rows.reshape(group.size, -1)
    return [pickle.loads(bytes(row[:n])) for row, n in zip(parts, sizes)]  # noqa: S301 - from ranks of the same job


def broadcast_object(obj: Any = None, src: int = 0) -> Any:
    """The object of rank ``src``, pickled on the way. Only for ranks that trust each other.

    >>> tg.distributed.run_local(lambda: tg.distributed.broadcast_object(tg.distributed.get_rank(), src=1), 2)
    [1, 1]
    """
    group = current_group("broadcast_object")
    src = checked_rank("broadcast_object", "src", src, group)
    data = np.frombuffer(pickle.dumps(obj if group.rank == src else None), np.uint8).copy()
    group.agree(f"broadcast_object({src})")
    size = np.array([data.size])
    group.wait([group.backend.broadcast(size, src)], group.last)
    data = data if group.rank == src else np.empty(int(size[0]), np.uint8)
    group.wait([group.backend.broadcast(data, src)], group.last)
    return pickle.loads(bytes(data))  # noqa: S301 - from a rank of the same job


def agree_or_raise(error: BaseException | None, what: str) -> None:
    """Raises on every rank when one rank comes with an error: its own there, a DistributedError that quotes it on the others."""
    group = current_group(what)
    if group.size == 1:
        if error is not None:
            raise error
        return
    found = all_gather_object(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for rank, text in enumerate(found):
        if text is not None:
            raise DistributedError(f"{what}: rank {rank} failed: {text}")


__all__ = ["Recv", "Send", "agree_or_raise", "all_gather_object", "broadcast_object", "recv", "send"]
