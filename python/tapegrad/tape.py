"""Looking at what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import _core
from ._core import GradError, Variable
from ._messages import a_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["Tape", "TapeNode", "brief"]


class TapeNode(NamedTuple):
    """A recorded operation."""

    #: Its number, larger than those of the operations it depends on.
    id: int
    #: Name of the operation.
    op: str
    #: What it was called with besides arrays.
    attrs: str
    #: Where each input came from: ``("node", id)``, ``("leaf", id, shape)`` or ``("const",)``.
    inputs: tuple[tuple[Any, ...], ...]
    #: Shapes of the outputs.
    shapes: tuple[tuple[int, ...], ...]
    #: Names of the dtypes of the outputs.
    dtypes: tuple[str, ...]
    #: Bytes that it keeps for its gradient rule.
    saved_bytes: int
    #: File and line of the program that called it.
    source: str | None
    #: Its results, of a tape that keeps values.
    values: tuple[Variable, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.shapes[0] if self.shapes else ()


class Tape:
    """Describes what is recorded inside its ``with`` block, in this thread; read it after the block.

    Recording itself needs no Tape: this one only looks.

    >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
    >>> with tg.Tape() as tape:
    ...     loss = tg.sum(tg.exp(w) * 3.0)
    >>> [node.op for node in tape.nodes]
    ['exp', 'multiply', 'sum']
    >>> tape.gradient(loss, w).shape
    (2,)
    """

    def __init__(self, values: bool = False) -> None:
        self._nodes: tuple[TapeNode, ...] | None = None
        self._listing = self._dot = ""
        self._observing = False
        self._values = bool(values)
        self._leaves: dict[int, Variable] = {}

    def __enter__(self) -> Tape:
        if self._observing:
            raise GradError("this Tape is already recording: make another one for an inner block")
        _core.observe(self._values)
        self._observing = True
        return self

    def __exit__(self, *exc: object) -> None:
        self._observing = False
        self._take(*_core.unobserve())

    def _take(self, nodes: list[dict[str, Any]], listing: str, dot: str) -> None:
        self._leaves = {id: value for node in nodes for id, value in node["leaves"]}
        self._nodes, self._listing, self._dot = tuple(map(_node, nodes)), listing, dot

    @classmethod
    def of(cls, *results: Variable, values: bool = False) -> Tape:
        """The Tape of what is recorded already: the operations that these results come from.

        With ``values`` drawings show those of the results and of leaves; others are known only to a ``Tape(values=True)``.
        Lines of the program are known only of what was recorded inside a ``with tg.Tape()`` or ``detect_anomaly()`` block, and
        a backward pass frees the graph unless it is told to retain it.

        >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
        >>> loss = tg.sum(tg.exp(w) * 3.0)
        >>> print(tg.Tape.of(loss))  # doctest: +ELLIPSIS
        %... = exp(leaf...) -> float32(2,)  saves 8 B
        ...
        """
        for result in results:
            if not isinstance(result, Variable):
                raise TypeError(f"Tape.of: expected Variables, got {a_type(result)}")
        tape = cls(values)
        tape._take(*_core.history(results, values))
        return tape

    @property
    def nodes(self) -> tuple[TapeNode, ...]:
        """The recorded operations in order."""
        if self._nodes is None or self._observing:
            raise GradError("a Tape is read after its with block")
        return self._nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[TapeNode]:
        return iter(self.nodes)

    @property
    def saved_bytes(self) -> int:
        """Bytes that all operations together keep; an array that two of them keep counts twice."""
        return sum(node.saved_bytes for node in self.nodes)

    def __repr__(self) -> str:
        if self._nodes is None or self._observing:
            return "<Tape: recording>" if self._observing else "<Tape: not used yet>"
        return f"<Tape: {len(self)} operations, {self.saved_bytes} bytes saved>"

    def __str__(self) -> str:
        if self._nodes is None or self._observing:
            return repr(self)
        return self._listing.rstrip("\n")

    def _shown(self, values: bool | None) -> dict[tuple[str, int], str]:
        """The values of leaves and operations as short texts, if they are to be shown."""
        if values is False or (values is None and not self._values):
            return {}
        if not self._values:
            raise GradError("this Tape keeps no values: make it with tg.Tape(values=True), or tg.Tape.of(y, values=True)")
        found = {("leaf", id): brief(value) for id, value in self._leaves.items()}
        return found | {("node", node.id): brief(node.values[0]) for node in self.nodes if node.values}

    def to_dot(self, names: Mapping[str, Variable] | None = None, values: bool | None = None) -> str:
        """The graph in Graphviz's DOT language; ``names`` and ``values`` are as in :meth:`to_svg`.

        >>> w = tg.Variable(3.0, requires_grad=True)
        >>> with tg.Tape(values=True) as tape:
        ...     y = w * w
        >>> "y: multiply" in tape.to_dot({"w": w, "y": y})
        True
        """
        from ._dot import labelled

        _ = self.nodes
        return labelled(self._dot, _names(names or {}), self._shown(values))

    def to_svg(self, names: Mapping[str, Variable] | None = None, title: str = "", values: bool | None = None) -> str:
        """A drawing of the graph as the text of an SVG file; it needs no other program.

        ``names`` says what leaves and results are called: for a module, ``dict(module.named_parameters())``. ``values`` shows a
        number, or the smallest and the largest one, of each leaf and operation; unless it is False a ``Tape(values=True)`` does.
        """
        from ._svg import draw

        return draw(self.nodes, _names(names or {}), title, self._shown(values))

    def to_html(
        self,
        y: Variable | None = None,
        gradient: Variable | None = None,
        *,
        names: Mapping[str, Variable] | None = None,
        title: str = "",
        values: bool | None = None,
    ) -> str:
        """A page that needs no other file: the drawing of the graph with the list of its operations.

        With a result ``y`` of this tape the page steps through a backward pass instead: which operation's rule runs, the
        gradient that arrived at it and where each part of that came from, and what it delivers to its inputs. Buttons and the
        arrow keys move. The pass leaves the graph and every ``.grad`` alone. ``gradient`` is that of ``y``, needed unless it
        has one element; ``names`` and ``values`` are as in :meth:`to_svg`.

        Raises:
            GradError: ``y`` was not recorded inside the block, or its graph was freed by a backward pass.

        >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
        >>> with tg.Tape() as tape:
        ...     loss = tg.sum(w * w)
        >>> page = tape.to_html(loss, names={"w": w})
        >>> page.startswith("<!DOCTYPE html>"), w.grad
        (True, None)
        """
        from ._html import page
        from ._svg import draw

        called = _names(names or {})
        drawing = draw(self.nodes, called, "", self._shown(values))
        return page(self.nodes, _of_leaves(called), drawing, title, y, gradient)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_html_(self) -> str:
        from ._html import cell

        if not self.nodes:
            return "<div><b>Tape</b> · nothing was recorded: no value in the block requires gradients</div>"
        return cell(self.to_html())

    def gradient(
        self,
        y: Variable,
        xs: Variable | Sequence[Variable],
        grad_output: Variable | None = None,
        *,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        allow_unused: bool = False,
    ) -> Any:
        """The gradient of ``y`` by ``xs``: one for a Variable, a tuple for several. Options as in ``autograd.grad``."""
        from .autograd import grad

        found = grad(y, xs, grad_output, retain_graph, create_graph, allow_unused)
        return found[0] if isinstance(xs, Variable) else found


def _node(d: dict[str, Any]) -> TapeNode:
    d = {name: tuple(value) if isinstance(value, list) else value for name, value in d.items() if name != "leaves"}
    return TapeNode(**d)


def brief(x: Variable) -> str:
    """The values of an array in one line: some numbers, or the smallest and the largest."""
    value = x.detach()
    if value.size <= 3 or value.dtype.is_complex or value.dtype == _core.bool:
        shown = ", ".join(_short(v) for v in value.reshape(-1)[:3].tolist())
        return shown if not value.ndim else f"[{shown}{', …' if value.size > 3 else ''}]"
    return f"{_short(value.min().item())} … {_short(value.max().item())}"


def _short(v: Any) -> str:
    return str(v) if isinstance(v, (bool, int)) else f"{v:.4g}"


def _of_leaves(names: Mapping[tuple[str, int], str]) -> dict[int, str]:
    return {id: name for (kind, id), name in names.items() if kind == "leaf"}


def _leaf_names(names: Mapping[str, Variable]) -> dict[int, str]:
    """The names of leaves, by their numbers on the tape."""
    return _of_leaves(_names(names))


def _names(names: Mapping[str, Variable]) -> dict[tuple[str, int], str]:
    """Names by places on the tape, ("leaf", number) or ("node", number): what a probing operation reports as its input."""
    found: dict[tuple[str, int], str] = {}
    for name, value in names.items():
        if not isinstance(value, Variable):
            raise TypeError(f"to_svg: the name {name!r} stands for {a_type(value)}, not a Variable")
        recording = _core.set_grad_enabled_raw(True)
        _core.observe()
        try:
            _core.reshape(value, value.shape)
        finally:
            nodes = _core.unobserve()[0]
            _core.set_grad_enabled_raw(recording)
        found.update(((source[0], source[1]), name) for node in nodes for source in node["inputs"] if source[0] != "const")
    return found
