"""Layers and losses against PyTorch's values: a table that was computed with PyTorch 2.15 in float64.

Parameters are ``sin(0, 1, 2, …) / 2`` (positive for variances), inputs likewise; a row is the dot product of the outputs with
cosines, and those of the gradients of all inputs and all parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F, I = "float", "int"
MASK = np.triu(np.ones((4, 4), dtype=bool), 1)
PADDING = np.array([[False, False, False, True], [False] * 4])


def case(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *inputs: Any, train: bool = True, **call: Any) -> Any:
    return name, args, kwargs, inputs, train, call


ATTENTION = ((4, 2, 6), (4, 2, 6), (4, 2, 6))
CASES = [
    case("RNN", (3, 4), {"num_layers": 2, "bidirectional": True}, (5, 2, 3)),
    case("RNN", (3, 4), {"nonlinearity": "relu", "batch_first": True}, (5, 2, 3)),
    case("LSTM", (3, 4), {"num_layers": 2, "bidirectional": True}, (5, 2, 3)),
    case("LSTM", (3, 4), {"proj_size": 2, "num_layers": 2}, (5, 2, 3)),
    case("LSTM", (3, 4), {"bias": False}, (5, 3)),
    case("GRU", (3, 4), {"num_layers": 2, "bidirectional": True, "batch_first": True}, (5, 2, 3)),
    case("GRU", (3, 4), {}, (5, 2, 3), (1, 2, 4)),
    case("RNNCell", (3, 4), {}, (2, 3)),
    case("LSTMCell", (3, 4), {"bias": False}, (3,)),
    case("GRUCell", (3, 4), {}, (2, 3), (2, 4)),
    case("MultiheadAttention", (6, 2), {}, *ATTENTION),
    case("MultiheadAttention", (6, 2), {}, *ATTENTION, attn_mask=MASK, key_padding_mask=PADDING),
    case("MultiheadAttention", (6, 2), {"add_bias_kv": True, "add_zero_attn": True}, *ATTENTION, average_attn_weights=False),
    case("MultiheadAttention", (6, 2), {"kdim": 5, "vdim": 7, "batch_first": True}, (2, 3, 6), (2, 4, 5), (2, 4, 7)),
    case("TransformerEncoderLayer", (6, 2, 8, 0.0), {"norm_first": True, "activation": "gelu"}, (4, 2, 6)),
    case("TransformerDecoderLayer", (6, 2, 8, 0.0), {"batch_first": True}, (2, 4, 6), (2, 3, 6)),
    case("Transformer", (6, 2, 2, 2, 8, 0.0), {}, (4, 2, 6), (3, 2, 6)),
    case("BatchNorm1d", (3,), {}, (5, 3)),
    case("BatchNorm1d", (3,), {"momentum": None}, (5, 3, 4), train=False),
    case("BatchNorm2d", (3,), {"track_running_stats": False}, (5, 3, 2, 2), train=False),
    case("BatchNorm3d", (3,), {"affine": False}, (5, 3, 2, 2, 2)),
    case("InstanceNorm1d", (3,), {"affine": True}, (3, 4)),
    case("InstanceNorm2d", (3,), {"track_running_stats": True}, (2, 3, 2, 2)),
    case("InstanceNorm3d", (3,), {"track_running_stats": True}, (2, 3, 2, 2, 2), train=False),
    case("LayerNorm", ((3, 4),), {"bias": False}, (2, 3, 4)),
    case("RMSNorm", ((3, 4),), {"eps": 1e-3}, (2, 3, 4)),
    case("GroupNorm", (2, 4), {}, (2, 4, 3)),
    case("LocalResponseNorm", (3,), {"alpha": 0.1}, (2, 5, 3)),
    case("LocalResponseNorm", (2,), {"alpha": 0.1, "k": 2.0}, (2, 5, 3, 2)),
    case("Embedding", (7, 3), {"padding_idx": 2, "scale_grad_by_freq": True}, [[1, 2], [1, 6]]),
    case("Embedding", (7, 3), {"max_norm": 0.5}, [[1, 2], [1, 6]]),
    case("EmbeddingBag", (7, 3), {"mode": "mean", "padding_idx": 2}, [1, 2, 2, 6], [0, 1, 2]),
    case("EmbeddingBag", (7, 3), {"mode": "max"}, [1, 2, 2, 6], [0, 1, 1]),
    case("EmbeddingBag", (7, 3), {"mode": "sum"}, [[1, 2], [2, 6]]),
    case("Bilinear", (3, 4, 5), {}, (2, 3), (2, 4)),
    case("CosineSimilarity", (), {"dim": 0}, (3, 4), (3, 4)),
    case("PairwiseDistance", (), {"p": 3.0, "keepdim": True}, (3, 4), (3, 4)),
    case("Mish", (), {}, (3, 4)),
    case("Hardswish", (), {}, (3, 4)),
    case("SELU", (), {}, (3, 4)),
    case("CELU", (0.5,), {}, (3, 4)),
    case("GLU", (0,), {}, (4, 3)),
    case("LogSigmoid", (), {}, (3, 4)),
    case("Softmin", (1,), {}, (3, 4)),
    case("RReLU", (), {}, (3, 4), train=False),
    case("KLDivLoss", (), {"reduction": "batchmean", "log_target": True}, (3, 4), (3, 4)),
    case("MultiMarginLoss", (), {"p": 2, "margin": 0.5}, (3, 4), [0, 3, 1]),
    case("MultiLabelMarginLoss", (), {}, (2, 4), [[0, 3, -1, 2], [1, -1, 0, 0]]),
    case("CosineEmbeddingLoss", (0.1,), {"reduction": "sum"}, (2, 4), (2, 4), [1, -1]),
    case("TripletMarginLoss", (), {"swap": True}, (3, 4), (3, 4), (3, 4)),
    case("GaussianNLLLoss", (), {"full": True, "eps": 0.3}, (3, 4), (3, 4), "positive"),
    case("PoissonNLLLoss", (), {"full": True}, (3, 4), "positive"),
    case("CrossEntropyLoss", (), {"label_smoothing": 0.1, "ignore_index": 3}, (3, 4), [0, 3, 1]),
]

EXPECTED: dict[int, list[float]] = {
    0: [1.070349938082, 2.099757910556, 0.708234454905, 0.0],
    1: [0.987764938042, 1.158183643229, 5.119927485335, 0.0],
    2: [0.532784696372, -0.506650581703, 2.972458450968, 0.0],
    3: [-0.046903176083, -0.389646932327, -0.899796442724, 0.0],
    4: [-0.076799056271, -0.347504227617, 0.500279998423, 0.0],
    5: [-0.081189265143, -0.031381168854, -0.093018963854, 0.0],
    6: [1.521822445521, 0.888022229386, -0.634198500448, 0.0],
    7: [0.380457050538, -0.084858838137, 2.54705822149, 0.0],
    8: [-0.205494381132, -0.571722019666, 0.474930905417, 0.0],
    9: [1.065210013324, 1.882006438143, -0.923225725892, 0.0],
    10: [-12.380038265768, -16.727535316579, 28.842329929037, 0.0],
    11: [-9.165021925132, -13.327994933807, 24.216262752373, 0.0],
    12: [-9.299977051821, -9.275994439619, 25.340806310042, 0.0],
    13: [-1.098581459423, -5.782484303653, 36.295677009045, 0.0],
    14: [0.029453287748, 24.353199422915, 32.599929503413, 0.0],
    15: [9.389091767964, -0.896828138807, 14.924225851088, 0.0],
    16: [8.83796277812, -0.014957220994, 10.768640754834, 0.0],
    17: [1.289078311887, 0.634253923227, 7.966249541448, 1.520669412793],
    18: [7.97509292224, 9.489378901662, 12.894703079187, 0.538952312826],
    19: [13.495439195345, 6.179723927713, 17.77308494954, 0.0],
    20: [71.660462473388, 49.498923595145, 0.0, 1.621707962651],
    21: [1.812650712621, 0.993582401439, 5.466257033893, 0.0],
    22: [13.231188462478, 6.46141836674, 0.0, 0.648426164164],
    23: [12.803223279294, 27.782831416243, 0.0, 0.675685886526],
    24: [-0.032920305066, 0.461355954977, 0.015351710002, 0.0],
    25: [0.005006446458, 0.327872214785, 0.049266063314, 0.0],
    26: [3.726449885446, 2.182590267253, 3.847509563625, 0.0],
    27: [6.522128585597, 14.990221508469, 0.0, 0.0],
    28: [7.473500361715, 17.651341278334, 0.0, 0.0],
    29: [0.263048210481, 0.0, -2.902332587847, 0.0],
    30: [0.221637174142, 0.0, -5.859860428682, 0.0],
    31: [-0.304822630231, 0.0, -0.141175603523, 0.0],
    32: [0.107168369331, 0.0, 0.050263075011, 0.0],
    33: [0.413704960916, 0.0, -2.701977221199, 0.0],
    34: [-1.399882016809, -2.151175510308, 4.52016821262, 0.0],
    35: [-0.008569301375, 0.432005515623, 0.0, 0.0],
    36: [0.410666223338, 0.0, 0.0, 0.0],
    37: [1.559725122852, 3.546461421775, 0.0, 0.0],
    38: [1.305843349413, 2.99571346765, 0.0, 0.0],
    39: [3.24216417643, 6.758483829159, 0.0, 0.0],
    40: [2.180551341307, 4.401855778294, 0.0, 0.0],
    41: [0.644158212407, 1.475533995699, 0.0, 0.0],
    42: [1.590601443832, 3.00195415382, 0.0, 0.0],
    43: [-0.653045088278, -1.202571581694, 0.0, 0.0],
    44: [1.596641594357, 3.669116487746, 0.0, 0.0],
    45: [0.045499183669, 0.110720964806, 0.0, 0.0],
    46: [0.141941126452, 0.140145249749, 0.0, 0.0],
    47: [1.091072809753, 0.054717286948, 0.0, 0.0],
    48: [0.869770593162, 0.02508049663, 0.0, 0.0],
    49: [0.982874681476, 0.0, 0.0, 0.0],
    50: [0.62580075321, -0.007515032295, 0.0, 0.0],
    51: [1.066526330199, -0.001549782832, 0.0, 0.0],
    52: [1.332846099598, -0.094384560816, 0.0, 0.0],
}


def filled(shape: tuple[int, ...], start: int) -> np.ndarray[Any, Any]:
    return np.sin(np.arange(start, start + int(np.prod(shape, dtype=int)), dtype=float)).reshape(shape) / 2


def values(inputs: Any) -> list[Any]:
    made = []
    for i, spec in enumerate(inputs):
        if isinstance(spec, tuple):
            made.append(filled(spec, 7 * i + 1))
        elif spec == "positive":
            made.append(np.abs(filled((3, 4), 3)) + 0.2)
        else:
            made.append(np.array(spec))
    return made


def state(names: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for i, (name, shape) in enumerate(names.items()):
        value = np.zeros(shape, dtype=np.int64) if "num_batches" in name else filled(shape, 3 * i)
        made[name] = np.abs(value) + 0.5 if "var" in name else value
    return made


def flat(out: Any) -> list[Any]:
    return [] if out is None else [x for part in out for x in flat(part)] if isinstance(out, (tuple, list)) else [out]


def dot(arrays: list[Any]) -> float:
    return float(sum((a * np.cos(np.arange(a.size)).reshape(a.shape)).sum() for a in arrays))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_values_are_pytorchs(number: int) -> None:
    name, args, kwargs, specs, train, call = CASES[number]
    module = getattr(nn, name)(*args, **kwargs).double().train(train)
    module.load_state_dict(state({k: v.shape for k, v in module.state_dict().items()}))
    inputs = [tg.Variable(v, requires_grad=v.dtype.kind == "f") for v in values(specs)]
    outs = flat(module(*inputs, **{k: tg.Variable(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}))
    total = sum((o * np.cos(np.arange(o.size)).reshape(o.shape)).sum() for o in outs)
    total.backward()
    grads = [[v.grad.numpy() for v in group if v.grad is not None] for group in (inputs, list(module.parameters()))]
    buffers = [b.numpy() for b in module.buffers()]
    got = [dot([o.detach().numpy() for o in outs]), dot(grads[0]), dot(grads[1]), dot(buffers)]
    np.testing.assert_allclose(got, EXPECTED[number], rtol=1e-7, atol=1e-9)
