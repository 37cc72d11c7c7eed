"""Linear and bilinear maps."""

from __future__ import annotations

from ... import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core import Variable


def linear(input: Variable, weight: Variable, bias: Variable | None = None) -> Variable:
    """``input @ weight.T + bias`` on the last axis; ``weight`` is (out_features, in_features).

    >>> tg.nn.functional.linear(tg.ones((1, 2)), tg.Variable([[1.0, 2.0]]), tg.Variable([0.5])).tolist()
    [[3.5]]
    """
    return _core.linear(input, weight, bias)


def bilinear(input1: Variable, input2: Variable, weight: Variable, bias: Variable | None = None) -> Variable:
    """``x1 W x2 + b`` on the last axes; ``weight`` is (out, in1, in2).

    >>> one = tg.ones((1, 2))
    >>> tg.nn.functional.bilinear(one, one, tg.ones((3, 2, 2))).tolist()
    [[4.0, 4.0, 4.0]]
    """
    input1, input2, weight = map(_core.asarray, (input1, input2, weight))
    if weight.ndim != 3:
        raise _core.ShapeError(f"bilinear: weight must be (out, in1, in2), not of shape {weight.shape}")
    out, in1, in2 = weight.shape
    if input1.shape[-1:] != (in1,) or input2.shape[-1:] != (in2,) or input1.shape[:-1] != input2.shape[:-1]:
        raise _core.ShapeError(
            f"bilinear: inputs {input1.shape} and {input2.shape} do not fit a weight {weight.shape}: "
            f"their last axes must be {in1} and {in2}, the others equal"
        )
    batch = input1.shape[:-1]
    left = _core.reshape(input1, (-1, in1)) if input1.size else _core.zeros((0, in1), dtype=input1.dtype)
    rows = left.shape[0]
    # x1 W for all outputs at once: (rows, in1) @ (in1, out in2).
    mixed = _core.reshape(left @ _core.reshape(_core.permute_dims(weight, (1, 0, 2)), (in1, out * in2)), (rows, out, in2))
    value = _core.reshape(_core.matmul(mixed, _core.reshape(input2, (rows, in2, 1))), (*batch, out))
    return value if bias is None else value + bias


__all__ = ["bilinear", "linear"]
