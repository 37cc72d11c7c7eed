"""Messages that new users meet: each says which operation, what came, what was expected, and how to mend it."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from math import sin as sine
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F = nn.functional
X = tg.Variable([1.0, 2.0], requires_grad=True)
A = tg.ones((2, 2))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Sequential(nn.Linear(5, 1)))


def says(call: Any, error: type[Exception], *parts: str) -> None:
    """``call`` raises ``error`` with a message that has all of ``parts``."""
    with pytest.raises(error) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), f"{part!r} is not in {caught.value}"


#: The call, the exception, parts of its message.
ARGUMENTS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: X * ["a"], TypeError, ["*: ", "[0] is str ('a')", "expected numbers"]),
    (lambda: ["a"] - X, TypeError, ["-: ", "[0] is str ('a')"]),
    (lambda: tg.multiply(X, ["a"]), TypeError, ["multiply(): argument 'b'", "[0] is str ('a')"]),
    (lambda: tg.ones((2.5,)), TypeError, ["ones(): argument 'shape'", "an int or a tuple of ints", "entry 0 is float (2.5)"]),
    (lambda: tg.zeros("ab"), TypeError, ["zeros(): argument 'shape'", "not str ('ab')"]),
    (lambda: tg.sum(A, axis=2**63), OverflowError, ["sum(): argument 'axis'", "64 bits", str(2**63)]),
    (lambda: tg.sum(A, axis=(0, 2**63)), OverflowError, ["sum(): argument 'axis'", "64 bits", str(2**63)]),
    (lambda: tg.softmax(A, axis=2**63), OverflowError, ["softmax(): argument 'axis'", "64 bits"]),
    (lambda: tg.reshape(A, -(2**70)), OverflowError, ["reshape(): argument 'shape'", "64 bits"]),
    (lambda: tg.sum(A, axis=1.0), TypeError, ["sum(): argument 'axis'", "not float (1.0)"]),
    (lambda: tg.softmax(A, axis="a"), TypeError, ["softmax(): argument 'axis' must be an int, not str ('a')"]),
    (lambda: tg.concat(A, A), TypeError, ["concat(): argument 'axis'", "not Variable", "concat([a, b])"]),
    (lambda: tg.stack(A, A.numpy()), TypeError, ["stack(): argument 'axis'", "not ndarray", "stack([a, b])"]),
    (lambda: tg.gelu(X, "erf"), ValueError, ["gelu: approximate is 'erf', expected 'none' or 'tanh'"]),
    (lambda: tg.gelu(X, 3), TypeError, ["gelu(): argument 'approximate' must be 'none' or 'tanh', not int (3)"]),
    (lambda: F.mse_loss(X, X, reduction="avg"), ValueError, ["reduction is 'avg', expected 'none', 'mean' or 'sum'"]),
    (lambda: tg.meshgrid(X, indexing="yx"), ValueError, ["meshgrid: indexing is 'yx', expected 'xy' or 'ij'"]),
    (lambda: tg.leaky_relu(X, "0.1"), TypeError, ["leaky_relu(): argument 'negative_slope' must be a float, not str ('0.1')"]),
]
#: Messages name the function that was called, not one that it is made of.
DELEGATED: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: tg.clip(A, tg.ones(3), None), tg.ShapeError, ["clip: ", "(2, 2) and (3,)"]),
    (lambda: tg.clip(A, None, tg.ones(3)), tg.ShapeError, ["clip: ", "(2, 2) and (3,)"]),
    (lambda: tg.trace(X), tg.ShapeError, ["trace: ", "(2,)"]),
    (lambda: tg.trace(A, axis1=1, axis2=1), IndexError, ["trace: ", "axis1 and axis2"]),
    (lambda: A["a"], IndexError, ["an index must be made of", "got str ('a')"]),
    (lambda: tg.Variable("one"), TypeError, ["a string cannot be converted", "str ('one')"]),
    (lambda: setattr(X, "requires_grad", "no"), TypeError, ["requires_grad must be a bool, not str ('no')"]),
    (lambda: X.register_hook(3), TypeError, ["register_hook: the hook must be callable, not int (3)"]),
    (lambda: tg.autograd.grad(X * 2.0, X), tg.GradError, ["single element", "grad_outputs="]),
    (lambda: tg.linalg.norm(X, ord="fro"), ValueError, ["norm: ord is 'fro' for a vector norm, expected a number"]),
    (lambda: tg.linalg.norm(A, ord="two"), ValueError, ["ord is 'two' for a matrix norm"]),
    (lambda: tg.linalg.norm(A, ord=3), ValueError, ["ord is 3 for a matrix norm"]),
    (lambda: tg.linalg.qr(A, mode="full"), ValueError, ["qr: mode is 'full', expected 'reduced', 'complete' or 'r'"]),
    (lambda: tg.linalg.eigh(A, UPLO="X"), ValueError, ["eigh: UPLO is 'X', expected 'L' or 'U'"]),
    (lambda: tg.fft.fft(X, norm="unit"), ValueError, ["fft: norm is 'unit', expected 'backward', 'ortho' or 'forward'"]),
    (lambda: tg.randperm(-1), ValueError, ["randperm: n is -1, expected 0 or more"]),
    (lambda: tg.randn(2, generator=3), TypeError, ["generator must be a tg.random.Generator or None, got int"]),
    (lambda: tg.multinomial(X.detach(), 1, generator="a"), TypeError, ["tg.random.Generator or None, got str"]),
    (lambda: tg.random.choice(2, p=[0.5, 0.6]), ValueError, ["choice: the probabilities p add up to 1.1, expected 1"]),
    (lambda: tg.masked_select(A, tg.tensor([[0, 1]])), tg.DTypeError, ["masked_select: the mask has dtype int64, expected bool"]),
    (lambda: nn.BatchNorm1d(3)(A), tg.ShapeError, ["BatchNorm1d: ", "(2, 2)", "expected 3 channels (num_features) on axis 1"]),
    (lambda: nn.LSTM(2, 3)(A[None], tg.ones((1, 2, 3))), TypeError, ["LSTM: hx must be a pair of states (h, c)"]),
    (lambda: nn.LSTM(2, 3)(A[None], (tg.ones((1, 2, 3)),)), tg.ShapeError, ["LSTM: ", "pair of states", "got 1"]),
    (lambda: tg.value_and_grad(lambda x: (tg.sum(x), 1))(X), tg.GradError, ["a tuple of 2", "has_aux=True"]),
    (lambda: A.index_put((tg.tensor([0, 5]),), A, accumulate=True), IndexError, ["index_put: index 5 is out of bounds"]),
    (lambda: tg.utils.data.DataLoader(3), TypeError, ["DataLoader: an int is no dataset"]),
    (lambda: X.requires_grad_("no"), TypeError, ["requires_grad must be a bool, not str ('no')"]),
    (lambda: tg.trapezoid(X, tg.ones(3)), tg.ShapeError, ["trapezoid: x has 3 points along the axis and y 2"]),
    (
        lambda: tg.trapezoid(tg.ones(3), tg.tensor([0.0, 1.0])),
        tg.ShapeError,
        ["trapezoid: x has 2 points along the axis and y 3"],
    ),
    (lambda: tg.trapezoid(A, tg.ones((2, 1))), tg.ShapeError, ["trapezoid: x has 1 points along the axis and y 2"]),
    (lambda: tg.cov(X, tg.ones(3)), tg.ShapeError, ["cov: x has 2 observations and y 3"]),
    (lambda: tg.apply_along_axis(tg.sum, 5, A), tg.AxisError, ["apply_along_axis: axis 5 is out of bounds"]),
    (lambda: tg.linalg.cho_solve(3, X), TypeError, ["cho_solve: ", "the pair (c, lower) of cho_factor, not int"]),
    (lambda: tg.integrate.nquad(tg.sin, 3), TypeError, ["nquad: ranges must be a list", "not int"]),
    (lambda: tg.distributions.Normal(0.0, 1.0).expand(3), TypeError, ["Normal.expand: ", "as (3,), not an int"]),
    (lambda: tg.random.shuffle((1, 2)), TypeError, ["shuffle: a tuple cannot change in place", "permutation"]),
    (lambda: tg.optim.swa_utils.AveragedModel(3), TypeError, ["AveragedModel: model must be a Module, not int"]),
    (lambda: tg.amp.GradScaler().step(3), TypeError, ["GradScaler.step: expected an Optimizer, not int"]),
    (lambda: nn.Linear(1, 1).apply(3), TypeError, ["Linear.apply: fn must be a function of a module, not an int"]),
    (lambda: tg.custom_vjp(3), TypeError, ["custom_vjp: the first argument must be a function, not int"]),
    (lambda: tg.linalg.schur, AttributeError, ["tapegrad.linalg", "scipy.linalg.schur works on numbers"]),
    (lambda: tg.optim.AdamX, AttributeError, ["tapegrad.optim", "tg.optim.Adam"]),
    (lambda: tg.distributions.Gaussian, AttributeError, ["tapegrad.distributions", "'Gaussian'"]),
]
CREATION: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: tg.Variable(1, 2, 3), TypeError, ["Variable()", "one positional argument", "3 were given", "Variable([1, 2, 3])"]),
    (
        lambda: tg.Variable([1.0], requires_grad="yes"),
        TypeError,
        ["Variable(): argument 'requires_grad' must be a bool, not str ('yes')"],
    ),
    (lambda: tg.random.randn(2.5), TypeError, ["randn(): argument 'size'", "not float (2.5)"]),
    (lambda: tg.random.rand("ab"), TypeError, ["rand(): argument 'size'", "not str ('ab')"]),
    (lambda: tg.random.rand(2**64), OverflowError, ["rand(): argument 'size'", "64 bits"]),
    (lambda: tg.random.uniform((2, 3)), TypeError, ["uniform(): argument 'low' must be a float, not tuple", "size=(2, 3)"]),
    (lambda: tg.random.normal((2, 3)), TypeError, ["normal(): argument 'mean' must be a float, not tuple", "size=(2, 3)"]),
    (lambda: tg.random.uniform("a"), TypeError, ["uniform(): argument 'low' must be a float, not str ('a')"]),
    (lambda: tg.random.uniform(0.0, 1.0, 2.5), TypeError, ["uniform(): argument 'size'", "not float (2.5)"]),
    (lambda: tg.random.randint(5, (3,)), TypeError, ["randint(): argument 'high'", "not tuple", "size=(2, 3)"]),
    (lambda: tg.random.randint(2.5), TypeError, ["randint(): argument 'low' must be an int, not float (2.5)"]),
    (lambda: tg.random.permutation(1.5), TypeError, ["permutation(): argument 'n' must be an int, not float"]),
    (lambda: tg.random.bernoulli("a"), TypeError, ["bernoulli(): argument 'p' must be a float, not str ('a')"]),
    (lambda: tg.random.manual_seed(-1), ValueError, ["manual_seed()", "from 0 to 2**64 - 1", "-1"]),
    (lambda: tg.random.manual_seed(2**64), ValueError, ["from 0 to 2**64 - 1"]),
    (lambda: tg.random.manual_seed(1.5), TypeError, ["from 0 to 2**64 - 1", "not float (1.5)"]),
]
GRADIENTS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: (X > 1.0).backward(), tg.GradError, ["dtype bool", "carries no gradient", "comparisons"]),
    (lambda: tg.argmax(X).backward(), tg.GradError, ["dtype int64", "carries no gradient", "argmax"]),
    (lambda: tg.Variable(3).backward(), tg.GradError, ["dtype int64", "carries no gradient"]),
    (lambda: tg.autograd.grad(lambda x: x), TypeError, ["autograd.grad: outputs", "not function", "tg.grad(f)(x)"]),
    (lambda: tg.autograd.grad(tg.sum(X)), TypeError, ["autograd.grad: argument 'inputs' is missing", "autograd.grad(y, [x])"]),
    (lambda: tg.autograd.grad(3.0, [X]), TypeError, ["autograd.grad: outputs must be a Variable", "not float"]),
    (lambda: tg.autograd.grad(tg.sum(X), {"x": X}), TypeError, ["autograd.grad: inputs", "not dict", "values()"]),
    (lambda: tg.autograd.grad(tg.sum(X), [X, 3.0]), TypeError, ["every input must be a Variable, got float (3.0)"]),
    (lambda: tg.autograd.backward(3.0), TypeError, ["autograd.backward: outputs", "not float"]),
    (
        lambda: tg.grad(tg.sum(X)),
        TypeError,
        ["grad: the first argument must be a function, not Variable", "tg.autograd.grad(y, x)"],
    ),
    (lambda: tg.vmap(3), TypeError, ["vmap: the first argument must be a function, not int"]),
]
NUMPY: list[tuple[Any, type[Exception], list[str]]] = []
NAMES: list[tuple[Any, type[Exception], list[str]]] = [
    (
        lambda: nn.linear(2, 3),
        AttributeError,
        ["module 'tapegrad.nn' has no attribute 'linear'", "tg.nn.Linear", "tg.nn.functional.linear"],
    ),
    (lambda: nn.relu(X), AttributeError, ["tg.nn.ReLU", "tg.nn.functional.relu"]),
    (lambda: nn.Dense(2, 3), AttributeError, ["write tg.nn.Linear"]),
    (lambda: tg.Linear(2, 3), AttributeError, ["there is", "tg.nn.Linear"]),
    (lambda: tg.SGD, AttributeError, ["there is tg.optim.SGD"]),
    (lambda: tg.permutation(2), AttributeError, ["there is tg.random.permutation"]),
    (lambda: F.rellu(X), AttributeError, ["tg.nn.functional.relu"]),
    (lambda: tg.sotfmax(X), AttributeError, ["tg.softmax"]),
    (
        lambda: tg.signal.find_peaks,
        AttributeError,
        ["module 'tapegrad.signal' has no attribute 'find_peaks'", "scipy.signal.find_peaks"],
    ),
    (
        lambda: tg.optimize.dual_annealing,
        AttributeError,
        ["scipy.optimize.dual_annealing", "tg.optimize.fun_and_grad(f, x0).fun"],
    ),
    (lambda: tg.stats.erf, AttributeError, ["tg.special.erf"]),
    (lambda: tg.integrate.no_such_rule, AttributeError, ["module 'tapegrad.integrate' has no attribute 'no_such_rule'"]),
    (lambda: tg.no_such_thing_at_all, AttributeError, ["module 'tapegrad' has no attribute 'no_such_thing_at_all'"]),
]
LAYERS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: nn.ReLU(X), TypeError, ["ReLU()", "makes a layer", "nn.functional.relu(x)"]),
    (lambda: nn.Softmax(X), TypeError, ["Softmax(): argument 'dim'", "not a Variable", "makes a layer"]),
    (
        lambda: nn.CrossEntropyLoss(A, A),
        TypeError,
        ["CrossEntropyLoss()", "makes a layer", "nn.functional.cross_entropy(input, target)"],
    ),
    (
        lambda: nn.MSELoss(X, X),
        TypeError,
        ["MSELoss()", "nn.MSELoss(...)(input, target)", "nn.functional.mse_loss(input, target)"],
    ),
    (lambda: nn.Linear("3", 2), TypeError, ["Linear(): argument 'in_features' must be an int, not str ('3')"]),
    (lambda: nn.Linear(3, 2.0), TypeError, ["Linear(): argument 'out_features' must be an int, not float (2.0)"]),
    (lambda: nn.Linear(3), TypeError, ["Linear() is missing the argument 'out_features'", "Linear(in_features, out_features"]),
    (
        lambda: nn.Linear(3, units=2),
        TypeError,
        [
            "unexpected keyword argument 'units', did you mean 'out_features'?",
            "Its signature is Linear(in_features, out_features, bias=True",
        ],
    ),
    (lambda: nn.LeakyReLU(negative_slop=0.1), TypeError, ["'negative_slop'", "did you mean 'negative_slope'"]),
    (lambda: nn.Sequential([nn.ReLU()]), TypeError, ["Sequential holds Modules, not a list", "Sequential(*layers)"]),
    (lambda: nn.Sequential(nn.ReLU), TypeError, ["Sequential holds Modules, not the class ReLU", "ReLU()"]),
    (lambda: nn.Sequential(tg.relu), TypeError, ["Sequential holds Modules, not a function (relu)"]),
    (lambda: nn.ModuleList([3]), TypeError, ["ModuleList holds Modules, not an int"]),
    (lambda: nn.Linear(3, 2)(tg.ones((4, 5))), tg.ShapeError, ["linear", "size 5", "in_features = 3"]),
    (
        lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 1))(tg.ones((4, 3))),
        tg.ShapeError,
        ["layer 1, Linear(in_features=3", "in_features = 3"],
    ),
    (lambda: net()(tg.ones((4, 3))), tg.ShapeError, ["Sequential: layer 2.0, Linear(in_features=5", "size 2"]),
]
OPTIMIZERS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: tg.optim.SGD(net(), lr=0.1), TypeError, ["SGD", "net.parameters()"]),
    (lambda: tg.optim.SGD([net()], lr=0.1), TypeError, ["SGD", "net.parameters()"]),
    (
        lambda: tg.optim.SGD([net().parameters(), net().parameters()], lr=0.1),
        TypeError,
        ["SGD", "[*a.parameters(), *b.parameters()]"],
    ),
    (lambda: tg.optim.SGD([], lr=0.1), ValueError, ["SGD: ", "no parameters", "nn.ModuleList"]),
    (
        lambda: tg.optim.Adam(net().parameters(), learning_rate=1),
        TypeError,
        ["Adam() got an unexpected keyword argument 'learning_rate', did you mean 'lr'?", "Adam(params, lr=0.001"],
    ),
    (lambda: tg.optim.SGD(net().parameters(), momentun=0.9), TypeError, ["'momentun', did you mean 'momentum'?"]),
    (lambda: tg.optim.LARS(net().parameters(), lr=0.1).step(3), TypeError, ["step()", "not int", "loss.backward()"]),
    (lambda: tg.optim.SGD(net().parameters(), lr="0.1"), TypeError, ["argument 'lr' must be a float, not str ('0.1')"]),
    (
        lambda: tg.optim.SGD(net().parameters(), lr=0.1).step(tg.sum(X)),
        TypeError,
        ["SGD.step()", "not Variable", "loss.backward()"],
    ),
    (lambda: nn.utils.clip_grad_norm_(net(), 1.0), TypeError, ["clip_grad_norm_", "net.parameters()"]),
    (lambda: nn.utils.clip_grad_value_(net(), 1.0), TypeError, ["clip_grad_value_", "net.parameters()"]),
    (
        lambda: nn.utils.clip_grad_norm_(net().parameters(), "1"),
        TypeError,
        ["argument 'max_norm' must be a float, not str ('1')"],
    ),
]
ALL = [*ARGUMENTS, *CREATION, *GRADIENTS, *DELEGATED, *NUMPY, *NAMES, *LAYERS, *OPTIMIZERS]


@pytest.mark.parametrize(("call", "error", "parts"), ALL, ids=[parts[0][:40] for _, _, parts in ALL])
def test_message(call: Any, error: type[Exception], parts: list[str]) -> None:
    says(call, error, *parts)


def test_the_grad_of_a_computed_value_warns() -> None:
    y = X * 2.0
    with pytest.warns(UserWarning, match="not a leaf.*retain_grad"):
        assert y.grad is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.retain_grad()
        assert y.grad is None
        assert A.grad is None
        assert X.detach().grad is None


def test_layers_in_plain_containers_warn() -> None:
    class Net(nn.Module):
        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.layers = layers

    with pytest.warns(UserWarning, match=r"Net.layers is a list.*nn.ModuleList\(layers\)") as caught:
        Net([nn.ReLU()])
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"Net.layers is a dict.*nn.ModuleDict\(layers\)"):
        Net({"a": nn.ReLU()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Net([1, "a", 2.0])
        Net(nn.ModuleList([nn.ReLU()]))
        Net(nn.ReLU())._hidden = [nn.ReLU()]


def test_what_is_no_mistake_still_works() -> None:
    assert nn.Linear(np.int64(3), tg.Variable(2), bias=False).weight.shape == (2, 3)
    assert nn.LeakyReLU(np.float32(0.5)).negative_slope == 0.5
    assert tg.Variable([1.0], requires_grad=np.bool_(True)).requires_grad

    class Scaled(nn.Linear):
        def __init__(self, scale: str) -> None:
            super().__init__(2, 2)
            self.scale = scale

    layer = Scaled("3")
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(nn.Linear(3, 2)))):
        assert again.weight.requires_grad
    assert isinstance(nn.Linear.__new__(nn.Linear), nn.Linear)
    assert not hasattr(tg, "linear_algebra")

    assert nn.Linear.__module__ == "tapegrad.nn.linear"


def test_choices_are_listed_in_the_registry() -> None:
    rows = {row["path"]: row for row in tg._core.registry()}
    choices = {p["name"]: p["choices"] for p in rows["gelu"]["params"]}
    assert choices == {"x": [], "approximate": ["none", "tanh"]}


def test_numbers_refuse_tracked_variables_by_name() -> None:
    """A parameter that is a number takes no Variable that requires gradients, whichever operation it belongs to."""
    tracked = tg.Variable(1.0, requires_grad=True)
    numbers = {"Float", "OptFloat", "Int", "OptInt", "Bool", "Axes", "Ints", "Sections"}
    seen = 0
    for row in tg._core.registry():
        if not row["function"]:
            continue
        args = tg._core.samples(row["path"])
        for k, p in enumerate(row["params"]):
            if p["kind"] not in numbers or not args or row["params"][0]["kind"] == "Each":
                continue
            named = {q["name"]: a for q, a in zip(row["params"], args[0], strict=False)}
            named[p["name"]] = tracked
            with pytest.raises(tg.GradError, match=f"argument '{p['name']}'"):
                tg._core._functions[row["path"]](**named)
            seen += 1
            assert k < 20
    assert seen > 60


def _assigned(v: Any) -> Any:
    a = np.zeros(2)
    a[0] = v
    return a


def _increased(v: Any) -> Any:
    a = np.zeros(2)
    a[1] += v * 2
    return a


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (_assigned, "stored as a number in an array"),
        (_increased, "stored as a number in an array"),
        (lambda v: math.sin(v) * 2, r"math\.sin takes a Variable .* write tg\.sin\(v\)"),
        (lambda v: sine(v), r"math\.sin takes"),
        (lambda v: v * math.gamma(v), r"write tapegrad's functions|tg\.gamma"),
    ],
)
def test_a_graph_that_ends_in_a_number_is_reported(f: Any, text: str) -> None:
    v = tg.Variable(1.5, requires_grad=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match=text):
            f(v)
    with pytest.warns(UserWarning, match=text):
        tg.jvp(lambda x: (f(x), x)[1], (1.5,), (1.0,))


def test_numbers_that_were_asked_for_are_no_surprise() -> None:
    v = tg.Variable(1.5, requires_grad=True)
    a = np.zeros(3)
    a[0], a[1] = float(v), v.item()
    assert math.sin(float(v)) == math.sin(v.item()) == math.sin(1.5)
    assert f"{v:.2f}" == "1.50"
    assert [max(float(v), 0.0)] == [float(x) for x in (v,)] == [x.item() for x in sorted([v], key=float)]
    a[2] = v.detach()
    math.sin(tg.Variable(1.5))
    with tg.no_grad():
        a[2] = v
        math.sin(v)
    assert a.tolist() == [1.5, 1.5, 1.5]


def test_a_tangent_does_not_end_in_numpy_without_a_word() -> None:
    def swapped(y: Any) -> Any:
        return tg.asarray(np.array([y[1], -y[0]]))

    with tg.no_grad(), pytest.raises(tg.GradError, match="handed to NumPy"):
        tg.jvp(swapped, (tg.ones(2),), (tg.ones(2),))
    with tg.no_grad(), pytest.raises(tg.GradError, match="handed to NumPy"):
        tg.jacfwd(swapped)(tg.ones(2))
    with tg.no_grad(), pytest.warns(UserWarning, match=r"math\.sin"):
        tg.jvp(lambda x: (math.sin(x), x)[1], (1.5,), (1.0,))
