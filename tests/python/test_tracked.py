"""A tracked value never becomes a constant silently: it is recorded, or an error names detach()."""

# ruff: noqa: RUF005 - lists beside arrays are operands here

from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = tg.nn.functional
F64 = tg.float64
core = tg._core


def leaf(data: Any, dtype: Any = F64) -> tg.Variable:
    return tg.Variable(np.array(data, dtype=str(dtype)), requires_grad=True)


def pair() -> tuple[tg.Variable, tg.Variable]:
    return leaf(0.25), leaf(0.75)


def gradients(y: Any, *inputs: tg.Variable) -> list[Any]:
    weights = tg.asarray(np.arange(1.0, y.size + 1).reshape(y.shape))
    return [g.tolist() for g in tg.autograd.grad(tg.sum(y * weights), inputs)]


# ---- lists and tuples ----


@pytest.mark.parametrize(
    ("data", "values", "grads"),
    [
        (lambda a, b, x: [a, b], [0.25, 0.75], (1.0, 2.0)),
        (lambda a, b, x: (b, [a][0]), [0.75, 0.25], (2.0, 1.0)),
        (lambda a, b, x: [[a, 1], [2.5, b]], [[0.25, 1.0], [2.5, 0.75]], (1.0, 4.0)),
        (lambda a, b, x: [[a, b], (b, a)], [[0.25, 0.75], [0.75, 0.25]], (5.0, 5.0)),
        (lambda a, b, x: [[a, b], x], [[0.25, 0.75], [3.0, 4.0]], (1.0, 2.0)),
        (lambda a, b, x: [x, (1.5, a), np.array([b.item(), 7.0]), [b, True]], None, (4.0, 7.0)),
        (lambda a, b, x: [[[a]], [[b]]], [[[0.25]], [[0.75]]], (1.0, 2.0)),
        (lambda a, b, x: [a * 2.0, np.float64(3.0), b], [0.5, 3.0, 0.75], (2.0, 3.0)),
    ],
)
def test_lists_are_stacked_and_recorded(data: Any, values: Any, grads: tuple[float, float]) -> None:
    (a, b), x = pair(), leaf([3.0, 4.0])
    for make in (tg.asarray, tg.array):
        y = make(data(a, b, x))
        assert y.requires_grad
        assert y.dtype == F64
        assert values is None or y.tolist() == values
        assert gradients(y, a, b) == list(grads)


def test_lists_of_rows_reach_every_row() -> None:
    rows = [leaf([1.0, 2.0]), leaf([3.0, 4.0])]
    y = tg.asarray(rows)
    assert y.grad_fn == "stack"
    assert gradients(y, *rows) == [[1.0, 2.0], [3.0, 4.0]]
    assert gradients(tg.asarray([rows, [rows[1], [0, 0]]]), rows[1]) == [[3.0 + 5.0, 4.0 + 6.0]]


def test_lists_can_be_differentiated_twice() -> None:
    a, b = pair()
    y = tg.prod([a, b, a])
    (g,) = tg.autograd.grad(y, a, create_graph=True)
    assert tg.autograd.grad(g, b)[0].item() == pytest.approx(2 * 0.25)


def test_lists_that_do_not_fit_say_where() -> None:
    a, b = pair()
    x = leaf([1.0, 2.0])
    with pytest.raises(tg.ShapeError, match="ragged"):
        tg.asarray([x, a])
    with pytest.raises(tg.ShapeError, match="ragged"):
        tg.asarray([[a, b], [a]])
    with pytest.raises(TypeError, match=r"element at \[1\] is str"):
        tg.asarray([a, "b"])


PLACES: dict[str, Callable[[Any, tg.Variable], Any]] = {
    "sum": lambda v, x: tg.sum(v),
    "where": lambda v, x: tg.where([True, False], v, 0.0),
    "matmul": lambda v, x: tg.matmul(np.eye(2), v),
    "concat": lambda v, x: tg.concat([x, v]),
    "stack": lambda v, x: tg.stack([v, v[::-1]]),
    "clip": lambda v, x: tg.clip([0.0, 9.0], v, None),
    "np.add": lambda v, x: np.add(x, v),
    "np.concatenate": lambda v, x: np.concatenate([x, v]),
    "mse_loss": lambda v, x: F.mse_loss(v, [1.0, 2.0]),
    "huber_loss": lambda v, x: F.huber_loss(x, v),
    "MSELoss": lambda v, x: tg.nn.MSELoss()(v, x),
    "bce": lambda v, x: F.binary_cross_entropy([0.5, 0.5], v),
    "bce weight": lambda v, x: F.binary_cross_entropy([0.5, 0.5], [0.0, 1.0], weight=v),
    "BCEWithLogits pos_weight": lambda v, x: tg.nn.BCEWithLogitsLoss(pos_weight=v)(x, [0.5, 1.0]),
    "cross_entropy": lambda v, x: F.cross_entropy([v], [1]),
    "cross_entropy weight": lambda v, x: F.cross_entropy([[1.0, 2.0], [0.0, 1.0]], [1, 0], weight=v),
    "linear": lambda v, x: F.linear([[1.0, 2.0]], [v], None),
    "prelu": lambda v, x: F.prelu(tg.zeros((1, 2), dtype=F64) - 1.0, v),
    "softplus threshold": lambda v, x: F.softplus(v, 2.0, threshold=20.0),
    "full": lambda v, x: tg.full((2, 2), v),
    "full_like": lambda v, x: tg.full_like(tg.zeros((3, 2), dtype=F64), v),
    "+": lambda v, x: x + v,
    "reflected -": lambda v, x: v - x,
    "*": lambda v, x: v * x,
    "/": lambda v, x: tuple(v) / x,
    "**": lambda v, x: x**v,
    "@": lambda v, x: v @ x,
    "setitem": lambda v, x: put(tg.zeros(2, dtype=F64), slice(None), v),
    "+=": lambda v, x: add(tg.zeros(2, dtype=F64), v),
    "index_add": lambda v, x: tg.index_add(tg.zeros(2, dtype=F64), 0, [1, 0], v),
    "masked_fill": lambda v, x: tg.masked_fill(x, [True, False], v[0]) + tg.masked_fill(x, [False, True], v[1]),
    "linspace": lambda v, x: tg.linspace(v[0], v[1], 4),
}


def put(y: tg.Variable, key: Any, value: Any) -> tg.Variable:
    y[key] = value
    return y


def add(y: tg.Variable, value: Any) -> tg.Variable:
    y += value
    return y


@pytest.mark.parametrize("place", PLACES)
def test_a_list_in_the_place_of_an_array_records(place: str) -> None:
    """Gradients agree with those of the same call on one stacked leaf."""
    (a, b), x = pair(), leaf([3.0, 4.0])
    y = PLACES[place]([a, b], x)
    assert y.requires_grad, place
    both = tg.autograd.grad(tg.sum(y), [a, b])
    eps = 1e-6
    for k, g in enumerate(both):
        near = [[v + (eps * s if i == k else 0.0) for i, v in enumerate((0.25, 0.75))] for s in (-1, 1)]
        low, high = (tg.sum(PLACES[place]([tg.Variable(n, dtype=F64) for n in v], x)).item() for v in near)
        assert g.item() == pytest.approx((high - low) / (2 * eps), abs=1e-6), place


def array_parameters() -> Iterator[tuple[str, int, int]]:
    """(operation, sample, parameter) for every floating array in a sample of every row that differentiates."""
    for row in core.registry():
        if row["differentiable"] == "none" or not row["function"]:
            continue
        for s, sample in enumerate(core.samples(row["path"])):
            for k, (p, value) in enumerate(zip(row["params"], sample, strict=True)):
                many = p["kind"] in ("Arrays", "Each")
                first = value[0] if many and value else value
                if isinstance(first, tg.Variable) and first.dtype.is_floating_point and first.ndim and 0 < first.size < 40:
                    yield row["path"], s, k


#: Parameters whose values only choose or count: no gradient flows to them by definition.
CHOOSING = {
    ("where", "condition"),
    ("masked_fill", "mask"),
    ("full_like", "x"),
    ("intersect1d", "b"),
    ("setdiff1d", "b"),
    ("nextafter", "b"),
}


def nested(v: tg.Variable) -> Any:
    return [nested(row) for row in v] if v.ndim > 1 else list(v)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in array_parameters()}))
def test_every_array_parameter_takes_a_list_that_holds_a_tracked_variable(name: str) -> None:
    row = next(r for r in core.registry() if r["path"] == name)
    seen = set()
    for _, s, k in (t for t in array_parameters() if t[0] == name):
        p = row["params"][k]
        if p["name"] in seen or (name, p["name"]) in CHOOSING:
            continue
        seen.add(p["name"])
        sample = list(core.samples(name)[s])
        many = p["kind"] in ("Arrays", "Each")
        x = (sample[k][0] if many else sample[k]).detach().requires_grad_(True)
        sample[k] = [nested(x), *sample[k][1:]] if many else nested(x)
        args = [v for v, q in zip(sample, row["params"], strict=True) if not q["keyword_only"]]
        kwargs = {q["name"]: v for v, q in zip(sample, row["params"], strict=True) if q["keyword_only"]}
        result = core._functions[name](*args, **kwargs)
        outputs = [
            y for y in (result if isinstance(result, tuple) else (result,)) if y.dtype.is_floating_point or y.dtype.is_complex
        ]
        assert any(y.requires_grad for y in outputs), (name, p["name"])
        (g,) = tg.autograd.grad(sum(tg.sum(tg.real(y)) for y in outputs if y.requires_grad), [x])
        assert g.shape == x.shape


# ---- numbers ----


def number_parameters() -> Iterator[tuple[str, str]]:
    for row in core.registry():
        for p in row["params"]:
            if row["function"] and p["kind"] in ("Float", "OptFloat", "Int", "OptInt", "Axes", "Ints", "Sections", "Bool"):
                yield row["path"], p["name"]


@pytest.mark.parametrize(("name", "parameter"), list(number_parameters()))
def test_every_number_parameter_refuses_a_tracked_variable(name: str, parameter: str) -> None:
    row = next(r for r in core.registry() if r["path"] == name)
    a = leaf(1.0)
    args = {p["name"]: tg.ones((2, 2), dtype=F64) for p in row["params"] if p["kind"] in ("Array", "OptArray")}
    for p in row["params"]:
        if p["name"] not in args and p["default"] is None:
            args[p["name"]] = {"DType": tg.float32, "Arrays": [a], "Each": [a]}.get(p["kind"], 1)
    if row["params"][0]["kind"] == "Each":
        positional = args.pop(row["params"][0]["name"])
        call = lambda v: core._functions[name](*positional, **{**args, parameter: v})  # noqa: E731
    else:
        call = lambda v: core._functions[name](**{**args, parameter: v})  # noqa: E731
    with pytest.raises(tg.GradError, match=f"argument '{parameter}' must be .* detach"):
        call(a)


X = leaf([1.0, 2.0])
NUMBERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("negative_slope", lambda a: F.leaky_relu(X, a)),
    ("alpha", lambda a: F.elu(X, a)),
    ("beta", lambda a: F.softplus(X, a)),
    ("threshold", lambda a: F.softplus(X, 1.0, a)),
    ("delta", lambda a: F.huber_loss(X, X, delta=a)),
    ("beta", lambda a: F.smooth_l1_loss(X, X, beta=a)),
    ("label_smoothing", lambda a: F.cross_entropy([X], [0], label_smoothing=a)),
    ("ignore_index", lambda a: F.nll_loss([X], [0], ignore_index=a)),
    ("delta", lambda a: tg.nn.HuberLoss(delta=a)),
    ("beta", lambda a: tg.nn.SmoothL1Loss(beta=a)),
    ("label_smoothing", lambda a: tg.nn.CrossEntropyLoss(label_smoothing=a)),
    ("ignore_index", lambda a: tg.nn.NLLLoss(ignore_index=a)),
    ("delta", lambda a: setattr(tg.nn.HuberLoss(), "delta", a)),
    ("label_smoothing", lambda a: setattr(tg.nn.CrossEntropyLoss(), "label_smoothing", a)),
    *((name, lambda a, n=name: tg.optim.SGD([X], **{n: a})) for name in ("lr", "momentum", "dampening", "weight_decay")),
    *((name, lambda a, n=name: tg.optim.Adam([X], **{n: a})) for name in ("lr", "eps", "weight_decay", "amsgrad")),
    ("betas", lambda a: tg.optim.Adam([X], betas=(a, 0.9))),
    ("lr", lambda a: tg.optim.AdamW([{"params": [X], "lr": a}])),
    *((name, lambda a, n=name: tg.optim.RMSprop([X], **{n: a})) for name in ("lr", "alpha", "eps", "momentum", "centered")),
    ("clip_norm", lambda a: tg.optim.SGD([X]).step(clip_norm=a)),
    ("max_norm", lambda a: tg.nn.utils.clip_grad_norm_([X], a)),
    ("norm_type", lambda a: tg.nn.utils.clip_grad_norm_([X], 1.0, norm_type=a)),
    ("clip_value", lambda a: tg.nn.utils.clip_grad_value_([X], a)),
    ("negative_slope", lambda a: tg.nn.LeakyReLU(a)),
    ("alpha", lambda a: tg.nn.ELU(a)),
    ("beta", lambda a: tg.nn.Softplus(a)),
    ("threshold", lambda a: tg.nn.Softplus(1.0, a)),
    ("init", lambda a: tg.nn.PReLU(1, a)),
    ("in_features", lambda a: tg.nn.Linear(a, 2)),
    ("start_dim", lambda a: tg.nn.Flatten(a)),
    ("axis", lambda a: tg.nn.Softmax(a)(X)),
    ("a", lambda a: tg.nn.init.uniform_(tg.zeros(2), a)),
    ("std", lambda a: tg.nn.init.normal_(tg.zeros(2), 0.0, a)),
    ("val", lambda a: tg.nn.init.constant_(tg.zeros(2), a)),
    ("gain", lambda a: tg.nn.init.xavier_uniform_(tg.zeros((2, 2)), a)),
    ("gain", lambda a: tg.nn.init.xavier_normal_(tg.zeros((2, 2)), a)),
    ("a", lambda a: tg.nn.init.kaiming_uniform_(tg.zeros((2, 2)), a)),
    ("a", lambda a: tg.nn.init.kaiming_normal_(tg.zeros((2, 2)), a)),
    ("param", lambda a: tg.nn.init.calculate_gain("leaky_relu", a)),
    ("low", lambda a: tg.random.uniform(a, 2.0)),
    ("high", lambda a: tg.random.uniform(0.0, a)),
    ("mean", lambda a: tg.random.normal(a)),
    ("std", lambda a: tg.random.Generator(1).normal(0.0, a)),
]


@pytest.mark.parametrize(("name", "call"), NUMBERS)
def test_numbers_of_losses_optimizers_and_layers_refuse_a_tracked_variable(name: str, call: Callable[[Any], Any]) -> None:
    with pytest.raises(tg.GradError, match=f"'{name}' .*detach"):
        call(leaf(0.5))


def test_a_changed_option_of_a_group_is_checked_at_the_step() -> None:
    x = leaf([1.0])
    sgd = tg.optim.SGD([x], lr=0.1)
    sgd.param_groups[0]["lr"] = leaf(0.5)
    tg.sum(x).backward()
    with pytest.raises(tg.GradError, match=r"'lr' .*detach"):
        sgd.step()
    assert x.tolist() == [1.0]
    sgd.param_groups[0]["lr"] = leaf(0.5).detach()
    sgd.step()
    assert x.tolist() == [0.5]


def test_untracked_variables_and_no_grad_are_numbers_as_before() -> None:
    a = leaf(0.5)
    x = tg.Variable([-2.0])
    assert tg.leaky_relu(x, a.detach()).tolist() == tg.leaky_relu(x, a.item()).tolist() == [-1.0]
    assert tg.leaky_relu(x, float(a)).tolist() == [-1.0]
    with tg.no_grad():
        assert tg.leaky_relu(x, a).tolist() == [-1.0]
        assert tg.nn.HuberLoss(delta=a).delta == 0.5


# ---- copies and creation ----


def test_conversions_keep_the_graph() -> None:
    x = leaf([1.0, 2.0])
    for y in (
        tg.asarray(x, dtype=tg.float32),
        tg.array(x),
        tg.array(x, dtype=tg.float32),
        tg.asarray(x, copy=True),
        copy.copy(x),
    ):
        assert gradients(y.astype(F64), x) == [[1.0, 2.0]]
    assert tg.asarray(x) is x
    twin = copy.copy(x.detach())
    twin += 1.0
    assert x.tolist() == [1.0, 2.0]


def test_copy_keeps_class_and_attributes() -> None:
    class Named(tg.Variable):
        name: str

    x = Named([1.0, 2.0], dtype=F64, requires_grad=True)
    x.name = "weights"
    y = copy.copy(x)
    assert type(y) is Named
    assert y.name == "weights"
    assert gradients(y, x) == [[1.0, 2.0]]
    assert type(copy.copy(tg.nn.Parameter([1.0]))) is tg.nn.Parameter
    assert copy.copy(tg.asarray([True, False])).tolist() == [True, False]


@pytest.mark.parametrize("data", [lambda a: a, lambda a: a * 2.0, lambda a: [a, 1.0], lambda a: ([1.0], [a])])
def test_variable_of_a_tracked_value_raises(data: Any) -> None:
    a = leaf(1.0)
    for call in (
        lambda d: tg.Variable(d),
        lambda d: tg.Variable(d, requires_grad=True),
        lambda d: tg.Variable(d, dtype=tg.float32),
    ):
        with pytest.raises(tg.GradError, match=r"asarray.*detach"):
            call(data(a))
    p = tg.nn.Parameter(data(a))
    assert p.is_leaf
    assert p.requires_grad
    with tg.no_grad():
        assert not tg.Variable(data(a)).requires_grad


def test_creation_with_tracked_values() -> None:
    a, b = pair()
    assert gradients(tg.full((2, 2), a), a) == [10.0]
    assert gradients(tg.full(3, a, dtype=tg.float32).astype(F64), a) == [6.0]
    assert gradients(tg.full_like(tg.zeros(3), a).astype(F64), a) == [6.0]
    assert gradients(tg.linspace(a, b, 3), a, b) == [1.0 + 1.0, 1.0 + 3.0]
    assert gradients(tg.linspace(a, 2.0, 2, endpoint=False), a) == [1.0 + 1.0]
    assert tg.linspace(a, b, 5).tolist() == np.linspace(0.25, 0.75, 5).tolist()
    assert tg.linspace(a, b, 5).dtype == F64
    for call in (lambda: tg.arange(a), lambda: tg.arange(0.0, b), lambda: tg.arange(0.0, 1.0, a)):
        with pytest.raises(tg.GradError, match=r"number of elements.*detach"):
            call()
    x = leaf([1.0, 2.0])
    assert gradients(tg.sum(tg.linspace(x, 1.0, 3)), x) == [[1.5, 1.5]]
    with pytest.raises(tg.GradError, match="int64 cannot hold"):
        tg.full_like(tg.asarray([1, 2]), a)


def test_an_array_of_integers_cannot_hold_a_tracked_value() -> None:
    a, b = pair()
    for value in (a, [a, b], (1, b)):
        y = tg.zeros(2, dtype=tg.int64)
        with pytest.raises(tg.GradError, match=r"int64 cannot hold .*detach"):
            y[:] = value
        assert y.tolist() == [0, 0]
    with pytest.raises(tg.GradError, match=r"int64 cannot hold .*detach"):
        tg.masked_fill(tg.asarray([1, 2]), [True, False], a)
    y[:] = [a.detach(), 5]
    assert y.tolist() == [0, 5]
    for call in (lambda: tg.asarray(a, dtype=int), lambda: tg.asarray([a, b], dtype=bool), lambda: tg.full(2, a, dtype=tg.uint8)):
        with pytest.raises(tg.GradError, match=r"cannot hold .*detach"):
            call()
    assert a.astype(int).item() == 0  # says what it does


def test_seeds_gradients_and_states() -> None:
    a, b = pair()
    x = leaf([1.0, 2.0])
    (g,) = tg.autograd.grad(x * x, x, [[a, b]], create_graph=True)
    assert gradients(g, a, b) == [2.0, 8.0]
    x.grad = x * 3.0
    assert x.grad.requires_grad
    adam = tg.optim.Adam([x])
    tg.sum(x).backward(inputs=[leaf(0.0)])
    x.grad = tg.ones(2, dtype=F64)
    adam.step()
    state = adam.state_dict()
    state["state"][0]["exp_avg"] = x * 1.0
    with pytest.raises(tg.GradError, match=r"'exp_avg' .*detach"):
        adam.load_state_dict(state)


def test_functions_do_not_look_into_lists() -> None:
    class Total(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, values: Any) -> tg.Variable:
            return tg.sum(tg.asarray(values))

        @staticmethod
        def backward(ctx: Any, grad: Any) -> None:
            return None

    a, b = pair()
    for values in ([a, b], ((a,), 1.0), {"a": a}):
        with pytest.raises(tg.GradError, match=r"Total\.apply: argument 0 is a .* detach"):
            Total.apply(values)
    assert Total.apply([a.detach(), 1.0]).item() == 1.25
    with tg.no_grad():
        assert Total.apply([a, b]).item() == 1.0


# ---- NumPy, DLPack ----


def scipy_sum(x: Any) -> Any:
    return pytest.importorskip("scipy.special").logsumexp(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.asarray(x),
        lambda x: np.array(x),
        lambda x: np.array([x[0], x[1]]),
        lambda x: np.array([x, x]),
        lambda x: np.zeros(2).__setitem__(slice(None), x),
        lambda x: np.sum([x, x]),
        lambda x: np.testing.assert_allclose(x, [1.0, 2.0]),
        lambda x: np.from_dlpack(x),
        lambda x: x.__dlpack__(),
        lambda x: x.__array__(),
        scipy_sum,
    ],
)
def test_numpy_and_dlpack_get_no_tracked_value(call: Any) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(tg.GradError, match=r"(asarray|special\.logsumexp).*detach\(\)"):
        call(x)
    call(x.detach())
    with tg.no_grad():
        call(x)
    assert x.numpy().tolist() == [1.0, 2.0]
    x.numpy(copy=True)[0] = 5.0
    assert x.tolist() == [1.0, 2.0]


def test_floats_are_taken_as_float_takes_them() -> None:
    a, b = pair()
    nd = np.zeros(2)
    with pytest.warns(UserWarning, match="stored as a number"):
        nd[0] = a
    assert nd.tolist() == [0.25, 0.0]
    assert np.fromiter([a, b], float).tolist() == [0.25, 0.75]
    with pytest.warns(UserWarning, match=r"math\.exp takes"):
        assert math.exp(a) == math.exp(0.25)


def test_printing_and_saving_never_ask_for_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("__array__ was called")

    class Watched(tg.Variable):
        __array__ = forbidden  # type: ignore[assignment]

    x = leaf([1.0, 2.0])
    y = x * 2.0
    w = Watched([1.0], dtype=F64, requires_grad=True)
    for v in (x, y, w):
        assert repr(v)
        assert str(v)
        assert len(f"{v}") > 1
        assert isinstance(v.tolist(), list)
        assert format(v[0], ".2f") == f"{v.tolist()[0]:.2f}"
    for v in (x, w):
        assert copy.deepcopy(v).tolist() == v.tolist()
        assert v.numpy().tolist() == v.tolist()
    assert pickle.loads(pickle.dumps(x)).tolist() == x.tolist()


def test_in_place_operators_of_numpy_arrays() -> None:
    x = tg.Variable([1.0, 2.0], dtype=F64)
    nd = np.ones(2)
    same = nd
    nd += x
    nd *= x
    nd -= [x[0], 1.0]
    assert nd is same
    assert nd.tolist() == [1.0, 5.0]
    assert np.add(nd, x, out=nd, where=np.array([True, False])) is nd
    assert nd.tolist() == [2.0, 5.0]
    assert np.add.reduce(tg.ones((3, 2), dtype=F64), out=nd) is nd
    assert nd.tolist() == [3.0, 3.0]
    np.add.at(nd, [0, 0], x)
    assert nd.tolist() == [6.0, 3.0]
    t = leaf([1.0, 2.0])
    for call in (lambda: nd.__iadd__(t), lambda: np.exp(t, out=nd), lambda: np.add.at(nd, [0, 1], t), lambda: nd.__imul__(t[0])):
        with pytest.raises(tg.GradError, match=r"output is a NumPy array.*detach\(\)"):
            call()
    assert nd.tolist() == [6.0, 3.0]
    with tg.no_grad():
        nd += t
    assert nd.tolist() == [7.0, 5.0]
    assert np.exp(x, out=x) is x
    np.testing.assert_allclose(x.numpy(), np.exp([1.0, 2.0]))


# ---- ufuncs ----

DATA = np.arange(1.0, 7.0).reshape(2, 3) / 2
FOLDS = ["add", "multiply", "maximum", "minimum", "subtract", "divide", "hypot", "logaddexp", "fmod"]


@pytest.mark.parametrize("name", [*FOLDS, "logical_and", "logical_or", "logical_xor"])
def test_reductions_of_ufuncs_are_numpys(name: str) -> None:
    ufunc = getattr(np, name)
    x = leaf(DATA)
    options: list[dict[str, Any]] = [
        {},
        {"axis": 1},
        {"axis": -1, "keepdims": True},
        {"axis": 0, "initial": 2.0},
        {"dtype": np.float32},
    ]
    if name.startswith("logical"):
        options = options[:3]
    if name in ("add", "multiply", "maximum", "minimum", "hypot", "logaddexp"):
        options += [{"axis": None}, {"axis": (0, 1), "keepdims": True}]
    if name in ("add", "multiply", "maximum", "minimum"):
        options.append({"axis": 1, "where": DATA > 1.0, "initial": 0.5})
    for given in options:
        want = ufunc.reduce(DATA, **given)
        got = ufunc.reduce(x, **given)
        assert got.shape == want.shape, given
        assert str(got.dtype) == str(want.dtype), given
        np.testing.assert_allclose(got.detach(), want, rtol=1e-6, err_msg=str(given))
        assert got.requires_grad == got.dtype.is_floating_point
    want = ufunc.accumulate(DATA, axis=1)
    np.testing.assert_allclose(ufunc.accumulate(x, axis=1).detach(), want, rtol=1e-12)
    np.testing.assert_allclose(ufunc.outer(x, [1.0, 2.5]).detach(), ufunc.outer(DATA, [1.0, 2.5]), rtol=1e-12)


def test_reductions_of_ufuncs_differentiate() -> None:
    x = leaf(DATA)
    assert gradients(np.add.reduce(x), x) == [[[1.0, 2.0, 3.0]] * 2]
    assert gradients(np.add.reduce(x, where=DATA > 1.0), x) == [[[0.0, 0.0, 3.0], [1.0, 2.0, 3.0]]]
    assert gradients(np.subtract.reduce(x, axis=1), x) == [[[1.0, -1.0, -1.0], [2.0, -2.0, -2.0]]]
    assert gradients(np.power.reduce(x[0, :2]), x) == gradients(x[0, 0] ** x[0, 1], x)
    assert gradients(np.add.accumulate(x[0]), x) == [[[6.0, 5.0, 3.0], [0.0] * 3]]
    y = leaf([2.0, 3.0])
    assert gradients(np.multiply.outer(y, [1.0, 2.0]), y) == [[1 + 4.0, 3 + 8.0]]
    a = leaf(2.0)
    assert gradients(np.add.reduce(x, axis=None, initial=a), a) == [1.0]


def test_edges_of_ufunc_methods() -> None:
    assert np.add.reduce(tg.Variable(3.0, dtype=F64)).item() == 3.0
    assert np.add.reduce(tg.zeros((0, 2))).tolist() == [0.0, 0.0]
    assert np.maximum.reduce(tg.zeros((0, 2)), initial=4.0).tolist() == [4.0, 4.0]
    assert np.add.reduce(tg.asarray([1, 2], dtype=tg.int32)).dtype == np.add.reduce(np.array([1, 2], dtype=np.int32)).dtype
    assert np.add.accumulate(tg.asarray([True, True])).tolist() == [1, 2]
    x = tg.Variable(DATA)  # without a graph: NumPy never frees the operands of a reduction that raises
    with pytest.raises(ValueError, match=r"no identity|empty"):
        np.subtract.reduce(x[:0])
    with pytest.raises(ValueError, match="where= needs initial="):
        np.maximum.reduce(x, where=DATA > 1.0)
    with pytest.raises(ValueError, match="one axis at a time"):
        np.subtract.reduce(x, axis=None)
    with pytest.raises(tg.AxisError):
        np.subtract.reduce(x, axis=2)
    with pytest.raises(TypeError, match=r"where= leaves elements undefined"):
        np.add(x, 1.0, where=DATA > 1.0)
    with pytest.raises(TypeError, match=r"cannot cast float64 to dtype=int64"):
        np.add(x, 1.0, dtype=np.int64)
    with pytest.raises(TypeError, match=r"dtype=float64 is not available"):
        np.less(x, 1.0, dtype=np.float64)
    assert np.add(tg.ones(2), 1.0, dtype=np.float64).dtype == F64
    assert np.sqrt(leaf(DATA), where=True).requires_grad


# ---- Python lists and NumPy's numbers as operands ----


def test_list_operands_are_numpys() -> None:
    n = np.array([1.0, 2.0])
    x = tg.Variable(n.copy())
    for f in (
        lambda v: v * [3.0, 4.0],
        lambda v: [3.0, 4.0] * v,
        lambda v: v + (1, 2),
        lambda v: [1, 2] - v,
        lambda v: [[1.0], [2.0]] / v,
        lambda v: v // [2.0, 2.0],
        lambda v: [5, 7] % v,
        lambda v: v ** [2, 3],
        lambda v: [2.0, 3.0] ** v,
        lambda v: v @ [1.0, 2.0],
        lambda v: [[1, 2]] @ v,
        lambda v: v == [1.0, 3.0],
        lambda v: v == [1.0, 3.0],
        lambda v: v != (1.0, 3.0),
        lambda v: v > [1.5, 1.5],
        lambda v: v >= [1.0, 3.0],
        lambda v: v + range(2),
        lambda v: [True, False] + v,
    ):
        got, want = f(x), f(n)
        assert isinstance(got, tg.Variable)
        assert got.tolist() == want.tolist()
        assert str(got.dtype) == str(want.dtype)
    assert ([1.0, 2.0] * tg.array(2)).tolist() == [2.0, 4.0]
    assert ([1, 2] & tg.asarray([3, 2])).tolist() == [1, 2]
    y = tg.asarray([1.0, 2.0], dtype=F64)
    y *= [3, 4]
    y -= (0.1, 0.2)
    assert y.tolist() == [3.0 - 0.1, 8.0 - 0.2]
    for other in ("ab", None, object(), {}, b"ab"):
        assert (x == other) is False
        assert (x != other) is True
        with pytest.raises(TypeError, match="unsupported operand"):
            x + other
    with pytest.raises(tg.ShapeError):
        x + [1.0, 2.0, 3.0]
    with pytest.raises(TypeError, match=r"element at \[0\] is str"):
        _ = x == ["a", "b"]


def test_numbers_in_a_list_have_the_precision_beside_them() -> None:
    x = tg.asarray([0.0, 0.0], dtype=F64)
    for y in (
        x + [0.1, 0.2],
        tg.maximum([0.1, 0.2], x),
        tg.where(True, [0.1, 0.2], x),
        tg.stack([x, [0.1, 0.2]])[1],
        np.add(x, [0.1, 0.2]),
    ):
        assert y.tolist() == [0.1, 0.2]
    assert (x + [tg.zeros((), dtype=tg.float32), 0.1]).tolist() == [0.0, 0.1]
    assert (tg.zeros(2) + [0.1, 0.2]).dtype == tg.float32
    assert (tg.asarray([1, 2], dtype=tg.int32) + [1, 2]).dtype == tg.int64


def test_numpy_float64_is_a_python_float_beside_an_array() -> None:
    x = tg.ones((2, 2))
    for y in (
        x / np.sqrt(64),
        np.float64(2.0) * x,
        x - np.float64(1.0),
        tg.maximum(x, np.float64(0.1)),
        tg.clip(x, np.float64(0.1), None),
        x @ x / np.sqrt(np.float64(2.0)),
        np.mean([1.0]) + x,
    ):
        assert y.dtype == tg.float32
    x *= np.float64(2.0)
    x[0] = np.float64(3.0)
    assert x.tolist() == [[3.0, 3.0], [2.0, 2.0]]
    assert (x * np.array(2.0)).dtype == F64
    assert (x * np.float32(2.0)).dtype == tg.float32
    assert (tg.asarray([1], dtype=tg.uint8) + np.int64(1)).dtype == tg.int64
    v = np.float64(0.1)
    for y in (
        tg.asarray(v),
        tg.array([v, 1.0]),
        tg.full(2, v),
        tg.arange(v, 1.0),
        tg.linspace(v, 1.0, 3),
        tg.exp(v),
        tg.Variable(v),
    ):
        assert y.dtype == F64
    assert tg.full(2, v).tolist() == [0.1, 0.1]


def test_probabilities_come_as_numbers_or_arrays() -> None:
    assert tg.random.bernoulli(np.float64(0.5), 3).shape == (3,)
    assert tg.random.bernoulli([0.0, 1.0]).tolist() == tg.random.bernoulli(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_float_is_float64_as_a_dtype() -> None:
    x = tg.asarray([0.1, 0.2])
    for y in (x.astype(float), tg.zeros(2, dtype=float), tg.asarray(0.1, dtype=float), tg.sum(x, dtype=float)):
        assert y.dtype == F64
    assert tg.asarray([0.1], dtype=float).tolist() == [0.1]
    assert tg.zeros(2, dtype=int).dtype == tg.int64
    assert tg.DType(float) == float  # noqa: E721


# ---- errors of the user's protocols ----


class Lying:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise self.error


class LongList:
    """Says that it has 2**62 items, and has two."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, i: int) -> int:
        if i >= 2:
            raise IndexError
        return i + 1


@pytest.mark.parametrize("error", [RuntimeError("mine"), ValueError("mine"), KeyError("mine"), TypeError("mine")])
def test_what_a_protocol_raises_stays(error: Exception) -> None:
    o, x = Lying(error), tg.ones(2)
    for call in (
        lambda: tg.asarray(o),
        lambda: tg.asarray([1.0, o]),
        lambda: x + o,
        lambda: tg.sum(o),
        lambda: tg.stack([x, o]),
        lambda: x.__setitem__(0, o),
        lambda: x[o],
    ):
        with pytest.raises(type(error), match="mine"):
            call()


def test_an_array_that_is_none() -> None:
    class Wrong:
        def __array__(self, *_: Any, **__: Any) -> Any:
            return [1.0]

    for call in (lambda o: tg.asarray(o), lambda o: tg.asarray([o]), lambda o: tg.ones(1) + o):
        with pytest.raises((TypeError, ValueError), match="array"):
            call(Wrong())


def test_a_length_is_not_believed() -> None:
    many = LongList()
    assert tg.random.rand(many).shape == (1, 2)
    assert tg.zeros(many).shape == (1, 2)  # type: ignore[arg-type]
    assert tg.random.uniform(0.0, 1.0, many).shape == (1, 2)
    with pytest.raises(ValueError, match="betas"):
        tg.optim.Adam([{"params": [leaf(1.0)], "betas": [0.1, 0.2, 0.3]}])

    class Broken:
        def __len__(self) -> int:
            raise RuntimeError("mine")

        def __getitem__(self, i: int) -> int:
            raise RuntimeError("mine")

    for call in (lambda: tg.zeros(Broken()), lambda: tg.concat(Broken()), lambda: tg.random.rand(Broken())):
        with pytest.raises(RuntimeError, match="mine"):
            call()
