"""Recurrent layers: cells, and cells run over sequences."""

from __future__ import annotations

from math import sqrt

from .. import _core
from . import _functional as fused
from . import functional as F
from . import init
from .device import check_device
from .module import Module
from .parameter import Parameter, blank
from .utils.rnn import PackedSequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from .._core import Variable

    State = tuple[Variable, ...]


def _lstm(gates: Variable, state: State) -> State:
    """The next (h, c) from the gates i, f, g, o side by side."""
    i, f, g, o = _core.split(gates, 4, 1)
    c = _core.sigmoid(f) * state[1] + _core.sigmoid(i) * _core.tanh(g)
    return _core.sigmoid(o) * _core.tanh(c), c


def _gru(from_input: Variable, from_state: Variable, state: State) -> State:
    """The next h from the gates r, z, n of input and state."""
    (ri, zi, ni), (rh, zh, nh) = _core.split(from_input, 3, 1), _core.split(from_state, 3, 1)
    z = _core.sigmoid(zi + zh)
    n = _core.tanh(ni + _core.sigmoid(ri + rh) * nh)
    return (n + z * (state[0] - n),)


def _step(kind: str, from_input: Variable, from_state: Variable, state: State) -> State:
    """The next state from the gate contributions of input and state."""
    if kind == "LSTM":
        return _lstm(from_input + from_state, state)
    if kind == "GRU":
        return _gru(from_input, from_state, state)
    total = from_input + from_state
    return (_core.tanh(total) if kind == "RNN_TANH" else _core.relu(total),)


#: Gates of a cell.
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class _Cell(Module):
    """Base of the cells: weights with PyTorch's names and layouts."""

    kind: str
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool, kind: str, device: Any, dtype: Any) -> None:
        super().__init__()
        check_device(type(self).__name__, device)
        if hidden_size <= 0:
            raise ValueError(f"{type(self).__name__}: hidden_size must be positive, not {hidden_size}")
        self.input_size, self.hidden_size, self.bias, self.kind = input_size, hidden_size, bias, kind
        size = GATES[kind] * hidden_size
        self.weight_ih = Parameter(_core.zeros((size, input_size), dtype=dtype))
        self.weight_hh = Parameter(_core.zeros((size, hidden_size), dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(_core.zeros((size,), dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new values for the parameters, uniform in ±1/√hidden_size."""
        bound = 1 / sqrt(self.hidden_size)
        for _, parameter in self._own_parameters():
            init.uniform_(parameter, -bound, bound)

    def _next(self, input: Variable, state: State | None, count: int) -> State:
        """The next state, with a batch axis where the input has one; zeros are the state unless given."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise _core.ShapeError(f"{name}: the input must be (N, {self.input_size}) or ({self.input_size}), not {input.shape}")
        single = input.ndim == 1
        wanted = (*input.shape[:-1], self.hidden_size)
        if state is None:
            zero = _core.zeros(wanted, dtype=input.dtype)
            state = (zero,) * count
        for part in state:
            if part.shape != wanted:
                raise _core.ShapeError(f"{name}: a state must have shape {wanted} for an input {input.shape}, not {part.shape}")
        if single:
            input, state = _core.expand_dims(input, 0), tuple(_core.expand_dims(s, 0) for s in state)
        from_input = F.linear(input, self.weight_ih, self.bias_ih)
        from_state = F.linear(state[0], self.weight_hh, self.bias_hh)
        new = _step(self.kind, from_input, from_state, state)
        return tuple(_core.squeeze(s, 0) for s in new) if single else new

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if not self.bias:
            parts.append("bias=False")
        if self.kind == "RNN_RELU":
            parts.append("nonlinearity=relu")
        return ", ".join(parts)


class RNNCell(_Cell):
    """``h' = tanh(Wih x + bih + Whh h + bhh)``, or with relu.

    >>> tg.nn.RNNCell(3, 4)(tg.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        super().__init__(input_size, hidden_size, bias, f"RNN_{nonlinearity.upper()}", device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Variable, hx: Variable | None = None) -> Variable:
        """The next state from the input and the state, zeros unless given."""
        return self._next(input, None if hx is None else (hx,), 1)[0]


class LSTMCell(_Cell):
    """One step of a long short-term memory; takes and returns the pair (h, c). Gates stand in the order i, f, g, o.

    >>> h, c = tg.nn.LSTMCell(3, 4)(tg.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, "LSTM", device, dtype)

    def forward(self, input: Variable, hx: tuple[Variable, Variable] | None = None) -> tuple[Variable, Variable]:
        """The next (h, c) from the input and (h, c), zeros unless given."""
        h, c = self._next(input, None if hx is None else tuple(hx), 2)
        return h, c


class GRUCell(_Cell):
    """One step of a gated recurrent unit. Gates stand in the order r, z, n.

    >>> tg.nn.GRUCell(3, 4)(tg.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, "GRU", device, dtype)

    def forward(self, input: Variable, hx: Variable | None = None) -> Variable:
        """The next state from the input and the state, zeros unless given."""
        return self._next(input, None if hx is None else (hx,), 1)[0]


class RNNBase(Module):
    """Base of the layers that run a cell over sequences: layers, directions, dropout, packed sequences.

    >>> isinstance(tg.nn.LSTM(2, 3), tg.nn.RNNBase)
    True
    """

    #: Parts of a state: h, and for the LSTM c.
    parts: ClassVar[int] = 1

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_device(name, device)
        if input_size < 0 or hidden_size <= 0 or num_layers <= 0:
            sizes = f"input_size {input_size}, hidden_size {hidden_size}, num_layers {num_layers}"
            raise ValueError(f"{name}: hidden_size and num_layers must be positive; got {sizes}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must lie between 0 and 1, not {dropout}")
        if proj_size and (mode != "LSTM" or not 0 < proj_size < hidden_size):
            raise ValueError(f"{name}: proj_size {proj_size} needs an LSTM and must be smaller than hidden_size {hidden_size}")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._make(dtype)
        self.reset_parameters()

    def _make(self, dtype: Any) -> None:
        """The parameters, with PyTorch's names: weight_ih_l0, …, bias_hh_l1_reverse."""
        size, out = GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        for layer in range(self.num_layers):
            for end in self._ends(layer):
                width = self.input_size if layer == 0 else out * (2 if self.bidirectional else 1)
                setattr(self, f"weight_ih_{end}", blank(size, width, dtype=dtype))
                setattr(self, f"weight_hh_{end}", blank(size, out, dtype=dtype))
                if self.bias:
                    setattr(self, f"bias_ih_{end}", blank(size, dtype=dtype))
                    setattr(self, f"bias_hh_{end}", blank(size, dtype=dtype))
                if self.proj_size:
                    setattr(self, f"weight_hr_{end}", blank(self.proj_size, self.hidden_size, dtype=dtype))

    def _ends(self, layer: int) -> list[str]:
        """The suffixes of the names of a layer's parameters, one for each direction."""
        return [f"l{layer}", f"l{layer}_reverse"][: 2 if self.bidirectional else 1]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        ends = [end for layer in range(self.num_layers) for end in self._ends(layer)]
        return [[getattr(self, f"{k}_{end}") for k in kinds if hasattr(self, f"{k}_{end}")] for end in ends]

    def flatten_parameters(self) -> None:
        """Does nothing: the layout of the parameters is the one that the kernels read."""

    def reset_parameters(self) -> None:
        """Draws new values for the parameters, uniform in ±1/√hidden_size."""
        bound = 1 / sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _run(self, input: Any, hx: State | None) -> tuple[Any, State]:
        """Output and last states; the input is an array with or without a batch axis, or a PackedSequence."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        name = type(self).__name__
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise _core.ShapeError(
                f"{name}: the input must have 3 dimensions, or 2 without a batch, and {self.input_size} features, "
                f"not shape {input.shape}"
            )
        single = input.ndim == 2
        if single:
            x = _core.expand_dims(input, 1)
            hx = None if hx is None else tuple(_core.expand_dims(self._unbatched(s), 1) for s in hx)
        else:
            x = _core.swapaxes(input, 0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        if not steps:
            raise _core.ShapeError(f"{name}: the sequence is empty, the input has shape {input.shape}")
        rows = _core.reshape(x, (steps * batch, x.shape[2]))
        out, states = self._layers(rows, [batch] * steps, self._states(hx, batch, x.dtype))
        out = _core.reshape(out, (steps, batch, out.shape[-1]))
        if single:
            return _core.squeeze(out, 1), tuple(_core.squeeze(s, 1) for s in states)
        return (_core.swapaxes(out, 0, 1) if self.batch_first else out), states

    def _unbatched(self, state: Variable) -> Variable:
        if state.ndim != 2:
            raise _core.ShapeError(f"{type(self).__name__}: without a batch a state has 2 dimensions, not shape {state.shape}")
        return state

    def _run_packed(self, input: PackedSequence, hx: State | None) -> tuple[Any, State]:
        data, sizes, order, back = input
        counts = [int(n) for n in sizes.tolist()]
        if hx is not None and order is not None:
            hx = tuple(_core.take(s, order, 1) for s in hx)
        out, states = self._layers(data, counts, self._states(hx, counts[0], data.dtype))
        if back is not None:
            states = tuple(_core.take(s, back, 1) for s in states)
        return PackedSequence(out, sizes, order, back), states

    def _states(self, hx: State | None, batch: int, dtype: Any) -> State:
        """The first states, zeros unless given: one array (layers * directions, batch, features) for each part."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        widths = [self.proj_size or self.hidden_size, self.hidden_size][: self.parts]
        shapes = [(count, batch, width) for width in widths]
        if hx is None:
            return tuple(_core.zeros(shape, dtype=dtype) for shape in shapes)
        if len(hx) != len(shapes):
            raise _core.ShapeError(
                f"{type(self).__name__}: expected a pair of states (h, c) of shapes {shapes[0]} and {shapes[-1]}, got {len(hx)}"
            )
        for state, shape in zip(hx, shapes):
            if state.shape != shape:
                raise _core.ShapeError(f"{type(self).__name__}: expected a state of shape {shape}, got {state.shape}")
        return hx

    def _layers(self, rows: Variable, counts: list[int], first: State) -> tuple[Variable, State]:
        """Runs all layers over rows, of which step t has ``counts[t]``."""
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                rows = F.dropout(rows, self.dropout)
            outs = []
            for direction, end in enumerate(self._ends(layer)):
                state = tuple(s[len(last)] for s in first)
                out, state = self._direction(rows, counts, state, end, direction == 1)
                outs.append(out)
                last.append(state)
            rows = outs[0] if len(outs) == 1 else _core.concat(outs, axis=1)
        return rows, tuple(_core.stack([state[i] for state in last]) for i in range(self.parts))

    def _direction(self, rows: Variable, counts: list[int], first: State, end: str, backwards: bool) -> tuple[Variable, State]:
        """Runs a layer in one direction. Sequences are sorted by length, so those of step t are the first ones."""
        weight_hh, bias_hh = getattr(self, f"weight_hh_{end}"), getattr(self, f"bias_hh_{end}", None)
        project = getattr(self, f"weight_hr_{end}", None)
        from_input = F.linear(rows, getattr(self, f"weight_ih_{end}"), getattr(self, f"bias_ih_{end}", None))
        if project is None and bias_hh is not None and self.mode in ("LSTM", "GRU") and min(counts) == max(counts):
            return self._fused(from_input, len(counts), first, weight_hh, bias_hh, backwards)
        steps = _pieces(from_input, counts)
        take = _entering(first) if backwards else _leaving(first)
        state, outs, ended = first, [], []
        for t in reversed(range(len(counts))) if backwards else range(len(counts)):
            state, left = take(state, counts[t], t == len(counts) - 1)
            ended += left
            new = _step(self.mode, steps[t], F.linear(state[0], weight_hh, bias_hh), state)
            state = new if project is None else (F.linear(new[0], project), *new[1:])
            outs.append(state[0])
        if backwards:
            outs.reverse()
        if ended:
            state = tuple(_core.concat(parts, axis=0) for parts in zip(state, *reversed(ended)))
        return (outs[0] if len(outs) == 1 else _core.concat(outs, axis=0)), state

    def _fused(
        self, from_input: Variable, count: int, first: State, weight: Variable, bias: Variable, backwards: bool
    ) -> tuple[Variable, State]:
        """A layer in one direction over sequences of one length, by one operation."""
        z = _core.reshape(from_input, (count, -1, from_input.shape[1]))
        z = _core.flip(z, 0) if backwards else z
        if self.mode == "LSTM":
            states, last = fused._lstm(z + bias, weight, first[0], first[1])
            end: State = (states[-1], last)
        else:
            states = fused._gru(z, weight, bias, first[0])
            end = (states[-1],)
        states = _core.flip(states, 0) if backwards else states
        return _core.reshape(states, (-1, self.hidden_size)), end

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        parts += [f"{name}={getattr(self, name)}" for name, default in shown.items() if getattr(self, name) != default]
        return ", ".join(parts)


def _leaving(first: State) -> Callable[[State, int, bool], tuple[State, list[State]]]:
    """Forwards: removes the sequences that have ended, and keeps their last states."""

    def take(state: State, count: int, last: bool) -> tuple[State, list[State]]:
        if state[0].shape[0] == count:
            return state, []
        return tuple(s[:count] for s in state), [tuple(s[count:] for s in state)]

    return take


def _entering(first: State) -> Callable[[State, int, bool], tuple[State, list[State]]]:
    """Backwards: adds sequences at their last step, with their first states."""

    def take(state: State, count: int, last: bool) -> tuple[State, list[State]]:
        if last:
            return tuple(s if s.shape[0] == count else s[:count] for s in first), []
        here = state[0].shape[0]
        if here == count:
            return state, []
        return tuple(_core.concat([s, f[here:count]], axis=0) for s, f in zip(state, first)), []

    return take


def _pieces(rows: Variable, counts: list[int]) -> list[Variable]:
    """The rows of each step."""
    if len(set(counts)) == 1:
        return list(_core.unstack(_core.reshape(rows, (len(counts), counts[0], rows.shape[1]))))
    out, start = [], 0
    for count in counts:
        out.append(rows[start : start + count])
        start += count
    return out


class RNN(RNNBase):
    """Layers of ``h' = tanh(Wih x + bih + Whh h + bhh)``, or with relu, over sequences.

    Inputs are (steps, batch, features), or (batch, steps, features) with ``batch_first``, or without a batch axis, or a
    ``PackedSequence``. Returns the outputs of the last layer and the last states (layers * directions, batch, hidden_size).

    >>> out, h = tg.nn.RNN(3, 4, num_layers=2)(tg.ones((5, 2, 3)))
    >>> out.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Variable | None = None) -> tuple[Any, Variable]:
        """Outputs and last states."""
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


class LSTM(RNNBase):
    """Layers of long short-term memories over sequences; see :class:`RNN` for the shapes. The state is the pair (h, c).

    With ``proj_size`` each h is projected to that size by another weight.

    >>> out, (h, c) = tg.nn.LSTM(3, 4, bidirectional=True)(tg.ones((5, 2, 3)))
    >>> out.shape, h.shape, c.shape
    ((5, 2, 8), (2, 2, 4), (2, 2, 4))
    """

    parts = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        )

    def forward(self, input: Any, hx: tuple[Variable, Variable] | None = None) -> tuple[Any, tuple[Variable, Variable]]:
        """Outputs and last states."""
        if isinstance(hx, _core.Variable):
            raise TypeError("LSTM: hx must be a pair of states (h, c), not one Variable")
        out, (h, c) = self._run(input, None if hx is None else tuple(hx))
        return out, (h, c)


class GRU(RNNBase):
    """Layers of gated recurrent units over sequences; see :class:`RNN` for the shapes.

    >>> out, h = tg.nn.GRU(3, 4, batch_first=True)(tg.ones((2, 5, 3)))
    >>> out.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)

    def forward(self, input: Any, hx: Variable | None = None) -> tuple[Any, Variable]:
        """Outputs and last states."""
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell"]
