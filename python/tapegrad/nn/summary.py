"""A summary of a model: shapes, parameters, multiply-adds."""

from __future__ import annotations

from .. import _core
from ..autograd import no_grad
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Row:
    """A line of a summary: a module with its output shape, its own parameters and its multiply-adds."""

    def __init__(self, name: str, module: Module, depth: int) -> None:
        self.name, self.kind, self.depth = name, type(module).__name__, depth
        self.output_shape: Any = None
        own = [p for _, p in module._own_parameters()]
        self.parameters = sum(p.size for p in own)
        self.trainable = sum(p.size for p in own if p.requires_grad)
        self.multiply_adds = 0


class Summary:
    """Rows for the modules of a model, in the order in which they run, and the totals; ``print`` shows a table."""

    def __init__(self, rows: list[Row], module: Module) -> None:
        self.rows = rows
        parameters = list(module.parameters())
        self.total_params = sum(p.size for p in parameters)
        self.trainable_params = sum(p.size for p in parameters if p.requires_grad)
        self.total_mult_adds = sum(row.multiply_adds for row in rows)
        self.param_bytes = sum(p.nbytes for p in parameters)

    def __repr__(self) -> str:
        table = [("Layer", "Output shape", "Parameters", "Multiply-adds")]
        for row in self.rows:
            label = "  " * row.depth + (f"{row.name}: {row.kind}" if row.name else row.kind)
            shape = "--" if row.output_shape is None else str(row.output_shape)
            table.append((label, shape, _number(row.parameters), _number(row.multiply_adds)))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in table]
        rule = "-" * max(map(len, lines))
        totals = (
            f"Parameters: {self.total_params:,} ({self.trainable_params:,} trainable, {self.param_bytes:,} bytes)\n"
            f"Multiply-adds: {self.total_mult_adds:,}"
        )
        return "\n".join([lines[0], rule, *lines[1:], rule, totals])


def _number(n: int) -> str:
    return f"{n:,}" if n else "--"


def summary(module: Module, *inputs: Any, input_size: Any = None, dtype: Any = None, **kwargs: Any) -> Summary:
    """Shapes, parameters and multiply-adds of a model for these inputs, or for random ones of ``input_size``.

    Inputs are those of the model's call. ``input_size`` is a shape, with the batch axis, or a list of shapes, and ``dtype``
    theirs; a shape in the place of the inputs is one, too. Without inputs there are parameters only. The model runs once, in
    evaluation and without a tape.

    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.ReLU())
    >>> print(tg.nn.summary(net, input_size=(4, 2)))
    Layer        Output shape  Parameters  Multiply-adds
    ----------------------------------------------------
    Sequential   (4, 3)                --             --
      0: Linear  (4, 3)                 9             24
      1: ReLU    (4, 3)                --             --
    ----------------------------------------------------
    Parameters: 9 (9 trainable, 36 bytes)
    Multiply-adds: 24
    """
    if len(inputs) == 1 and isinstance(inputs[0], tuple) and all(isinstance(n, int) for n in inputs[0]):
        (input_size,), inputs = inputs, ()
    if input_size is not None:
        if inputs:
            raise ValueError("summary: give inputs or input_size, not both")
        sizes = [tuple(input_size)] if all(isinstance(n, int) for n in input_size) else [tuple(s) for s in input_size]
        inputs = tuple(_core.randn(*size, dtype=dtype) for size in sizes)
    rows: list[Row] = []
    found: dict[Module, Row] = {}
    for path, part in module.named_modules():
        depth = path.count(".") + 1 if path else 0
        found[part] = Row(path.rpartition(".")[2], part, depth)
        rows.append(found[part])
    if inputs or kwargs:
        _run(module, found, inputs, kwargs)
    return Summary(rows, module)


def _run(module: Module, found: dict[Module, Row], inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Runs the model once; each module notes its output shape in its row."""

    def note(part: Module, args: Any, output: Any) -> None:
        row = found[part]
        row.output_shape = _shape(output)
        row.multiply_adds += _multiply_adds(part, args, output)

    modes = [(part, part.training) for part in found]
    handles = [part.register_forward_hook(note) for part in found]
    try:
        module.eval()
        with no_grad():
            module(*inputs, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode


def _shape(output: Any) -> Any:
    if isinstance(output, _core.Variable):
        return output.shape
    if isinstance(output, (list, tuple)):
        return [_shape(part) for part in output]
    if isinstance(output, dict):
        return {key: _shape(part) for key, part in output.items()}
    return None


def _multiply_adds(module: Module, args: Any, output: Any) -> int:
    """The multiply-adds of a module's own weights: each weight of a product, once for each place where it is used."""
    weights = [p for _, p in module._own_parameters() if p.ndim > 1]
    kind = type(module).__name__
    if not weights or "Embedding" in kind:
        return 0
    first = args[0] if args else None
    if hasattr(module, "all_weights") and hasattr(module, "hidden_size"):
        data: Any = getattr(first, "data", first)
        features = data.shape[-1] or 1
        return int(data.size // features) * sum(w.size for w in weights)
    if kind == "MultiheadAttention" and isinstance(first, _core.Variable):
        return _attention(module, first, args[1] if len(args) > 1 else first, weights)
    if not isinstance(output, _core.Variable):
        return 0
    if "ConvTranspose" in kind and isinstance(first, _core.Variable):
        return int(first.size // first.shape[-_spatial(module) - 1]) * sum(w.size for w in weights)
    outs = weights[0].shape[0] or 1
    return int(output.size // outs) * sum(w.size for w in weights)


def _spatial(module: Module) -> int:
    return int(type(module).__name__[-2]) if type(module).__name__[-2:-1].isdigit() else 0


def _attention(module: Any, query: Any, key: Any, weights: list[Any]) -> int:
    """Projections of the inputs, scores, and their sums; the output's projection is a module of its own."""
    rows, features = query.size // query.shape[-1], query.shape[-1]
    axis = 0 if query.ndim == 2 or not module.batch_first else 1
    projections = rows * sum(w.size for w in weights if w.ndim == 2)
    return int(projections + 2 * rows * key.shape[axis] * features)


__all__ = ["Summary", "summary"]
