"""tg.compile: layouts and containers of arguments, hooks and random state that change between the calls of a program."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from replaying import flat
from tapegrad import nn, optim

# --- Layouts. ---------------------------------------------------------------------------------------------------------


def sums(x: tg.Variable) -> list[tg.Variable]:
    return [x.sum(0), x.sum(1), x.var(), x.softmax(0), x.T @ x]


def test_layouts_of_arguments_have_programs_of_their_own() -> None:
    run = tg.compile(sums)
    layouts = [
        lambda: tg.random.randn(50, 70),
        lambda: tg.random.randn(70, 50).T,
        lambda: tg.random.randn(50, 140)[:, ::2],
        lambda: tg.random.randn(1, 70).expand(50, 70),
    ]
    for _ in range(5):
        for make in layouts:
            x = make()
            assert flat(run(x)) == flat(sums(x))
    assert len(run.programs()) == 4, run.explain()


def test_parameters_and_gradients_that_get_another_layout() -> None:
    makes = [lambda: tg.random.randn(50, 70), lambda: tg.random.randn(70, 50).T, lambda: tg.random.randn(50, 140)[:, ::2]]

    def results(compiled: bool) -> tuple[list[Any], str]:
        tg.manual_seed(2)
        w, seen = nn.Parameter(tg.random.randn(50, 70)), []
        w.data = makes[1]()

        def f(x: Any) -> list[Any]:
            return [w.detach().sum(0), w.grad * 2, w.grad.sum(0), x + 1]

        run = tg.compile(f) if compiled else f
        for i in range(18):
            w.grad = makes[i // 5 % 3]()
            if i % 6 == 5:
                w.data = makes[i // 6]()
            seen.append(flat(run(tg.ones(3))))
        return seen, run.explain() if compiled else ""  # type: ignore[attr-defined]

    (want, _), (got, why) = results(compiled=False), results(compiled=True)
    assert got == want, why
    assert "another layout" in why


def test_a_program_takes_any_layout_when_it_is_called_itself() -> None:
    run = tg.compile(lambda x: x * 2 + 1)
    x = tg.random.randn(4, 3).T
    for _ in range(3):
        run(x)
    for y in (tg.random.randn(3, 4), tg.random.randn(3, 8)[:, ::2]):
        assert flat(run.programs()[0](y)) == flat(y * 2 + 1)


# --- Containers. ------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    weight: Any
    bias: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    weight: Any
    bias: Any
    scale: float = 2.0


def affine(p: Any, x: Any) -> Any:
    return (x @ p.weight + p.bias).sum() * getattr(p, "scale", 1.0)


CONTAINERS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "tuple": (lambda p, x: (x @ p[0] + p[1]).sum(), lambda w, b: (w, b)),
    "list of tuples": (lambda p, x: (x @ p[0][0] + p[0][1]).sum(), lambda w, b: [(w, b)]),
    "dict": (lambda p, x: (x @ p["w"] + p["b"]).sum(), lambda w, b: {"w": w, "b": b}),
    "ordered dict": (lambda p, x: (x @ p["w"] + p["b"]).sum(), lambda w, b: collections.OrderedDict(w=w, b=b)),
    "named tuple": (affine, Pair),
    "frozen dataclass": (affine, Frozen),
    "slice": (lambda s, x: x[s] * 2, lambda w, b: slice(1, None)),
    "range": (lambda r, x: sum(x * i for i in r), lambda w, b: range(3)),
}


@pytest.mark.parametrize("convert", [tg.asarray, lambda v: v.numpy()], ids=["Variables", "arrays"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_new_containers_in_each_call_share_a_program(name: str, convert: Any) -> None:
    f, make = CONTAINERS[name]
    run = tg.compile(lambda p, x: f(p, x))
    for _ in range(6):
        w, b, x = tg.random.randn(3, 3), tg.random.randn(3), tg.random.randn(2, 3)
        assert flat(run(make(convert(w), convert(b)), x)) == flat(f(make(w, b), x))
    assert len(run.programs()) == 1, run.explain()


@pytest.mark.parametrize("name", ["tuple", "ordered dict", "named tuple", "frozen dataclass"])
def test_second_orders_through_new_containers(name: str) -> None:
    f, make = CONTAINERS[name]
    run = tg.compile(lambda p, x: f(p, x))
    w, b = tg.random.randn(3, 3).requires_grad_(), tg.random.randn(3)
    for _ in range(5):
        x = tg.random.randn(2, 3).requires_grad_()
        found = []
        for call in (run, f):
            (g,) = tg.autograd.grad(call(make(w, b), x) ** 2, [x], create_graph=True)
            found.append(flat([g, *tg.autograd.grad(g.sum(), [w, x])]))
        assert found[0] == found[1]
    assert len(run.programs()) == 1, run.explain()


def test_steps_of_functions_of_their_parameters() -> None:
    def loss(layers: Any, x: Any) -> Any:
        for w, b in layers:
            x = tg.tanh(x @ w + b)
        return (x**2).mean()

    gradient = tg.grad(loss)

    def step(layers: Any, x: Any) -> Any:
        return [(w - 0.1 * u, b - 0.1 * v) for (w, b), (u, v) in zip(layers, gradient(layers, x), strict=True)]

    run = tg.compile(step)
    eager = replays = [(tg.random.randn(3, 3), tg.zeros(3)) for _ in range(2)]
    for _ in range(6):
        x = tg.random.randn(4, 3)
        eager, replays = step(eager, x), run(replays, x)
        assert flat(eager) == flat(replays)
    assert len(run.programs()) == 1, run.explain()


@pytest.mark.parametrize("key", ["new", "first"])
def test_a_function_that_changes_a_container_of_the_caller(key: str) -> None:
    def f(x: Any, state: Any) -> Any:
        state[key] = state["second"]
        return x * 2

    run = tg.compile(f)
    for _ in range(6):
        state = {"first": tg.zeros(1), "second": tg.ones(1)}
        run(tg.ones(2), state)
        assert state[key] is state["second"]
    assert "the contents of an argument" in run.explain()


def test_objects_that_are_compared_by_identity_are_explained() -> None:
    class Batch:
        def __init__(self, x: Any) -> None:
            self.x = x

    run = tg.compile(lambda batch: batch.x * 2)
    for i in range(6):
        assert run(Batch(tg.full((2,), i))).tolist() == [2 * i] * 2
    assert run.explain().count("another Batch") == 1


def test_arrays_of_numpy_for_a_module() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    run = tg.compile(lambda x: net(x).sum())
    shared = np.zeros((8, 4), "f4")
    for _ in range(6):
        shared[...] = tg.random.randn(8, 4).numpy()
        assert flat(run(shared)) == flat(net(tg.asarray(shared)).sum())
    assert len(run.programs()) == 1, run.explain()


# --- Hooks. -----------------------------------------------------------------------------------------------------------


def hooked(register: Callable[[Any, Any, list[int]], Any], compiled: bool) -> tuple[list[Any], str]:
    """Steps, with a hook from the sixth to the ninth: gradients, parameters, and how often the hook has run."""
    w, log, seen = tg.ones(3).requires_grad_(), list[int](), list[Any]()
    sgd = optim.SGD([w], lr=0.1)

    def step(x: Any) -> Any:
        sgd.zero_grad()
        (w * x).sum().backward()
        sgd.step()
        return x * 1

    run = tg.compile(step) if compiled else step
    for i in range(12):
        if i == 5:
            handle = register(w, sgd, log)
        if i == 9:
            handle.remove()
        run(tg.full((3,), i))
        assert w.grad is not None
        seen.append((flat([w, w.grad]), len(log)))
    return seen, run.explain() if compiled else ""  # type: ignore[attr-defined]


HOOKS: dict[str, Callable[[Any, Any, list[int]], Any]] = {
    "gradient": lambda w, sgd, log: w.register_hook(lambda g: log.append(1) or g * 2),
    "accumulated": lambda w, sgd, log: w.register_post_accumulate_grad_hook(lambda p: log.append(1)),
    "before a step": lambda w, sgd, log: sgd.register_step_pre_hook(lambda *a: log.append(1)),
    "after a step": lambda w, sgd, log: sgd.register_step_post_hook(lambda *a: log.append(1)),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_comes_after_the_recording_runs(name: str) -> None:
    want, _ = hooked(HOOKS[name], compiled=False)
    got, why = hooked(HOOKS[name], compiled=True)
    assert got == want, why


@pytest.mark.parametrize("inner", [False, True])
def test_recording_a_pullback_runs_no_hook(inner: bool) -> None:
    def results(compiled: bool) -> list[Any]:
        w, log = tg.ones(3).requires_grad_(), list[int]()

        def double(g: Any) -> Any:
            log.append(1)
            return g * 2

        def f(x: Any) -> Any:
            y = w * x
            if inner:
                y.register_hook(double)
            return y.sum()

        run, seen = tg.compile(f) if compiled else f, []
        if not inner:
            w.register_hook(double)
        for i in range(6):
            w.grad = None
            run(tg.full((3,), i)).backward()
            (second,) = tg.autograd.grad(run(tg.full((3,), i)), [w], create_graph=True)
            seen.append((flat([w.grad, second]), len(log)))
        return seen

    assert results(compiled=True) == results(compiled=False)


# --- Random state. ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_draws_again_in_the_stream_of_each_call() -> None:
    def steps(compiled: bool) -> tuple[list[Any], str]:
        tg.manual_seed(3)
        net, drop = nn.Linear(3, 3), nn.Dropout(0.5)
        sgd = optim.SGD(net.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            sgd.zero_grad()
            loss = (tg.checkpoint(lambda v: drop(net(v)), x) ** 2).sum()
            loss.backward()
            sgd.step()
            return loss.detach()

        run = tg.compile(step) if compiled else step
        seen = [flat([run(tg.random.randn(4, 3)), *net.parameters()]) for _ in range(6)]
        return seen, "\n".join(str(len(p)) for p in getattr(run, "programs", list)())

    (want, _), (got, programs) = steps(compiled=False), steps(compiled=True)
    assert got == want
    assert programs


def twice(x: tg.Variable) -> tg.Variable:
    state = tg.random.get_rng_state()
    tg.random.randn(3)
    tg.random.set_rng_state(state)
    return x * 2


def loops(x: tg.Variable) -> tg.Variable:
    return tg.scan(lambda c, a: (c + a, c), x, tg.zeros(0, 3))[0]


def recomputed(x: tg.Variable) -> tg.Variable:
    w = x.detach().requires_grad_()
    return tg.autograd.grad(tg.checkpoint(tg.sin, w).sum(), [w])[0]


@pytest.mark.parametrize("f", [twice, loops, recomputed])
def test_the_stream_of_random_numbers_never_goes_back(f: Any) -> None:
    run = tg.compile(f)
    tg.manual_seed(4)
    for _ in range(4):
        run(tg.ones(3))
    drawn = [tg.random.randn(3).tolist() for _ in range(3) if flat(run(tg.ones(3))) == flat(f(tg.ones(3)))]
    tg.manual_seed(4)
    assert drawn == [tg.random.randn(3).tolist() for _ in range(3)]


# --- Memory of NumPy arrays around a function. ------------------------------------------------------------------------


@pytest.mark.parametrize("often", [1, 3])
def test_an_array_that_is_read_as_a_variable_and_by_numpy(often: int) -> None:
    weights = np.ones(3)

    def both(x: Any) -> Any:
        return x * weights / float(weights.sum())

    def alone(x: Any) -> Any:
        return x * weights

    programs = [tg.compile(both), tg.compile(alone)]
    for i in range(24):
        if i % often == 0:
            weights[:] = np.arange(3.0) + i
        for run, f in zip(programs, (both, alone), strict=True):
            assert flat(run(tg.ones(3))) == flat(f(tg.ones(3)))
    assert len(programs[1].programs()) == 2, programs[1].explain()


# --- Leaves that a function makes. ------------------------------------------------------------------------------------


def with_gradient(x: Any) -> Any:
    x.requires_grad_()
    (x**2).sum().backward()
    return {"doubled": x.grad, "x": x}


def without_gradient(x: Any) -> Any:
    return tg.autograd.grad((x.requires_grad_() ** 2).sum(), [x])[0]


def of_a_copy(x: Any) -> Any:
    y = x.clone().requires_grad_()
    (y**2).sum().backward()
    return y.grad, y.detach()


@pytest.mark.parametrize("f", [with_gradient, without_gradient, of_a_copy])
def test_leaves_that_a_function_makes(f: Any) -> None:
    run = tg.compile(f)
    for i in range(6):
        x, y = tg.full((3,), float(i)), tg.full((3,), float(i))
        got, want = run(x), f(y)
        assert repr(got) == repr(want)
        assert x.requires_grad == y.requires_grad
        assert repr(x.grad) == repr(y.grad)
        if f is with_gradient:
            got["doubled"][0] = 9.0
            assert x.grad is not None
            assert x.grad[0] == 9.0
            assert got["x"] is x
    assert len(run.programs()) == 1, run.explain()


def test_a_function_that_leaves_a_parameter_frozen() -> None:
    w = tg.ones(3).requires_grad_()

    def f(x: Any) -> Any:
        y = (w * x).sum().detach()
        w.requires_grad_(False)
        return y

    run = tg.compile(f)
    for _ in range(6):
        w.requires_grad_()
        run(tg.ones(3))
        assert not w.requires_grad
    assert "was frozen" in run.explain()


def test_a_number_is_written_where_a_mask_is_true() -> None:
    def f(x: Any) -> Any:
        y = x.clone()
        y[y < 0] = 0.0
        y[y.sum(1) > 1] = tg.full((), -0.0)
        y[:, :2][x[:, :2] > 0.5] += 1
        return y

    def g(x: Any) -> Any:
        y = x * 1
        y[y < 0] = 2
        return tg.where(y > 1, y, x)

    for h, replays in ((f, 0), (g, 1), (tg.grad(lambda x: (g(x) ** 2).sum()), 1)):
        run = tg.compile(h)
        for _ in range(6):
            x = tg.random.randn(4, 3)
            assert flat(run(x)) == flat(h(x))
        assert len(run.programs()) == replays, run.explain()


def test_states_that_steer_a_function_are_guarded() -> None:
    """Whether a parameter requires a gradient, or has one, decides what is computed, though nothing is computed with it."""
    a, b = tg.ones(3).requires_grad_(), tg.ones(3).requires_grad_()

    def f(x: Any) -> Any:
        return x * (2 if a.requires_grad else 3) + (0 if b.grad is None else 1)

    run = tg.compile(f)
    for i in range(20):
        a.requires_grad_(i % 10 < 5)
        b.grad = None if i < 10 else tg.ones(3)
        assert flat(run(tg.ones(3))) == flat(f(tg.ones(3)))
    assert len(run.programs()) == 4, run.explain()


def _dict() -> tuple[nn.Module, Any, Any]:
    d = nn.ParameterDict({"a": nn.Parameter(tg.ones(3))})
    return d, lambda x: x * d["a"], lambda new: d.__setitem__("a", new(3))


def _list() -> tuple[nn.Module, Any, Any]:
    parts = nn.ParameterList([nn.Parameter(tg.ones(3))])
    return parts, lambda x: sum(x * p for p in parts), lambda new: parts.__setitem__(0, new(3))


def _recurrent() -> tuple[nn.Module, Any, Any]:
    rnn = nn.LSTM(3, 2)
    return rnn, lambda x: rnn(x.reshape(1, 3))[0], lambda new: setattr(rnn, "weight_ih_l0", new(8, 3))


def _all_parameters() -> tuple[nn.Module, Any, Any]:
    net = nn.Linear(3, 2)
    net.scale = nn.Parameter(tg.ones(3))  # type: ignore[assignment]
    return net, lambda x: x + sum(p.sum() for p in net.parameters()), lambda new: setattr(net, "scale", new(3))


def _children() -> tuple[nn.Module, Any, Any]:
    net = nn.ModuleDict({"a": nn.Linear(3, 3)})

    def change(new: Any) -> None:
        net["a"] = nn.Linear(3, 3)
        net["a"].bias = new(3)

    return net, lambda x: sum(m(x) for m in net.values()), change


@pytest.mark.parametrize("make", [_dict, _list, _recurrent, _all_parameters, _children])
def test_parts_of_modules_that_no_code_names(make: Any) -> None:
    _, f, change = make()
    run = tg.compile(lambda x: f(x))
    for i in range(12):
        if i == 6:
            change(lambda *shape: nn.Parameter(tg.random.randn(*shape)))
        x = tg.random.randn(3)
        assert flat(run(x)) == flat(f(x))
    assert len(run.programs()) == 2, run.explain()
