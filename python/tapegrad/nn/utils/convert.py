"""Parameters as one vector, and back."""

from __future__ import annotations

from ... import _core
from ..._messages import a_type
from ..state import assign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._core import Variable


def parameters_to_vector(parameters: Iterable[Variable]) -> Variable:
    """All elements of the parameters, one after the other; gradients flow back to them.

    >>> tg.nn.utils.parameters_to_vector(tg.nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    if hasattr(parameters, "parameters"):
        name = type(parameters).__name__
        raise TypeError(
            f"parameters_to_vector: expected an iterable of parameters, not the module {name}; pass its parameters, as in "
            "parameters_to_vector(net.parameters())"
        )
    parts = [_core.reshape(p, (-1,)) for p in parameters]
    if not parts:
        raise ValueError("parameters_to_vector: there are no parameters")
    return _core.concat(parts, axis=0)


def vector_to_parameters(vec: Variable, parameters: Iterable[Variable]) -> None:
    """Gives the parameters the values of a vector, off the tape; they stay the same objects.

    >>> layer = tg.nn.Linear(2, 1)
    >>> tg.nn.utils.vector_to_parameters(tg.Variable([1.0, 2.0, 3.0]), layer.parameters())
    >>> layer.bias.tolist()
    [3.0]
    """
    if not isinstance(vec, _core.Variable):
        raise TypeError(f"vector_to_parameters takes a Variable, not {a_type(vec)}")
    targets = list(parameters)
    need = sum(p.size for p in targets)
    if vec.ndim != 1 or vec.size != need:
        raise _core.ShapeError(f"vector_to_parameters: the parameters have {need} elements, the vector has shape {vec.shape}")
    start, values = 0, vec.detach()
    for p in targets:
        assign(p, _core.reshape(values[start : start + p.size], p.shape).astype(p.dtype))
        start += p.size


__all__ = ["parameters_to_vector", "vector_to_parameters"]
