"""Transformations of functions that write, draw, nest in containers of their own, or have derivatives of their own."""

import collections
import gc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


def value(x):
    return np.asarray(x.detach().numpy())


# ---- writes into arrays from outside ----


def written_by_item(buffer, x):
    buffer[0] = x[0]


def written_by_add(buffer, x):
    buffer.add_(x)


def written_by_operator(buffer, x):
    buffer += x


def written_by_view(buffer, x):
    buffer[1:].mul_(x[1:])


WRITES = [written_by_item, written_by_add, written_by_operator, written_by_view]


@pytest.mark.parametrize("write", WRITES)
def test_vmap_refuses_a_write_that_differs_between_the_samples(write):
    buffer = tg.Variable([1.0, 2.0, 3.0])
    xs = tg.Variable(np.arange(6.0).reshape(2, 3), dtype=tg.float32)

    def f(x):
        write(buffer, x)
        return buffer * 1.0

    with pytest.raises(tg.GradError, match="f writes a value that differs between the samples into an array from outside"):
        tg.vmap(f)(xs)
    assert buffer.tolist() == [1.0, 2.0, 3.0]
    assert (buffer + 1.0).tolist() == [2.0, 3.0, 4.0]


def test_vmap_refuses_a_write_into_an_argument_that_is_not_mapped():
    h = tg.zeros(3)

    def f(x, h):
        h += x
        return h

    with pytest.raises(tg.GradError, match="from outside"):
        tg.vmap(f, in_axes=(0, None))(tg.ones((2, 3)) * tg.Variable([[1.0], [2.0]]), h)
    assert h.tolist() == [0.0, 0.0, 0.0]


def test_vmap_keeps_a_write_that_is_the_same_for_all_samples():
    buffer = tg.zeros(3)

    def f(x):
        buffer.add_(tg.ones(3) + 0.0 * x)
        return x * buffer

    out = tg.vmap(f)(tg.Variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert buffer.tolist() == [1.0, 1.0, 1.0]
    assert out.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_vmap_lets_a_function_write_into_arrays_of_its_own():
    kept = []

    def f(x):
        h = tg.zeros(3)
        h[0] = x[1]
        h += x
        kept.append(None)
        return h, {"same": h}

    a, b = tg.vmap(f)(tg.Variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert a.tolist() == b["same"].tolist() == [[3.0, 2.0, 3.0], [9.0, 5.0, 6.0]]


def test_an_array_of_the_function_in_a_cycle_is_no_array_from_outside():
    class Node:
        pass

    def f(x):
        node = Node()
        node.self, node.h = node, tg.zeros(3)
        node.h += x
        return node.h * 1.0

    gc.disable()
    try:
        assert tg.vmap(f)(tg.Variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).shape == (2, 3)
    finally:
        gc.enable()


def test_an_error_in_a_mapped_function_leaves_arrays_as_they_were():
    buffer = tg.zeros(3)

    def f(x):
        buffer.add_(x)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tg.vmap(f)(tg.Variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert buffer.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("is_place", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_after_jvp_written_arrays_keep_their_values(write, is_place):
    buffer, plain = tg.ones(3), tg.ones(3)
    if is_place:
        assert buffer.data.shape == (3,)  # it is a place with views from now on
    x = tg.Variable([2.0, 3.0, 4.0])

    def f(x):
        write(buffer, x)
        return buffer * 1.0

    _, tangent = tg.jvp(f, (x,), (tg.ones(3),))
    write(plain, x)
    assert buffer.tolist() == plain.tolist()
    assert (buffer + 1.0).tolist() == (plain + 1.0).tolist()
    assert tangent.shape == (3,)


def test_arrays_that_are_written_in_nested_transformations_keep_their_values():
    buffer = tg.zeros(())

    def inner(y):
        buffer.copy_(y * y)
        return buffer * y

    def outer(x):
        return tg.jvp(inner, (x,), (tg.tensor(1.0),))[1]

    _, second = tg.jvp(outer, (tg.tensor(3.0),), (tg.tensor(1.0),))
    assert second.item() == 18.0
    assert buffer.item() == 9.0
    assert tg._core._lifted(buffer) is None


@pytest.mark.parametrize("transform", [tg.jacfwd, tg.jacrev, tg.hessian])
def test_running_statistics_are_those_of_one_call(transform):
    x = tg.Variable(np.linspace(-1.0, 1.0, 6).reshape(3, 2) ** 3, dtype=tg.float32)
    layer, plain = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    transform(lambda x: (layer(x) ** 3).sum())(x)
    plain(x)
    assert np.allclose(value(layer.running_mean), value(plain.running_mean), atol=1e-6)
    assert np.allclose(value(layer.running_var), value(plain.running_var), atol=1e-6)
    assert int(layer.num_batches_tracked) == 1
    layer(x)


# ---- containers ----


def test_dicts_and_lists_of_other_classes_keep_their_class():
    class Parts(list):
        def total(self):
            return sum(p.sum() for p in self)

    class Named(dict):
        def __init__(self, label, **parts):
            super().__init__(**parts)
            self.label = label

    ordered = collections.OrderedDict(b=tg.ones(2), a=tg.ones(2))
    grown = collections.defaultdict(lambda: tg.ones(2), a=tg.ones(2))

    def f(ordered, grown, parts, named):
        ordered.move_to_end("b")
        assert named.label == "mine"
        return (ordered["a"] * ordered["b"] * grown["new"]).sum() + parts.total() + named["x"].sum()

    arguments = (ordered, grown, Parts([tg.ones(2)]), Named("mine", x=tg.ones(2)))
    found = tg.grad(f, argnums=(0, 1, 2, 3))(*arguments)
    assert [type(g) for g in found] == [collections.OrderedDict, collections.defaultdict, Parts, Named]
    assert list(found[0]) == ["b", "a"]
    assert found[3].label == "mine"
    assert list(ordered) == ["b", "a"]
    assert list(grown) == ["a"]


def test_keys_may_come_in_any_order():
    def f(p):
        return p["a"] * p["b"]

    primal = {"a": tg.Variable([2.0]), "b": tg.Variable([3.0])}
    _, tangent = tg.jvp(f, (primal,), ({"b": tg.Variable([1.0]), "a": tg.Variable([0.0])},))
    assert tangent.tolist() == [2.0]
    _, pullback = tg.vjp(lambda x: {"a": x, "b": 2.0 * x}, tg.ones(1))
    assert pullback({"b": tg.Variable([1.0]), "a": tg.Variable([0.0])})[0].tolist() == [2.0]
    assert tg.tree.map(lambda p, g: p - g, {"a": 5.0, "b": 1.0}, {"b": 1.0, "a": 2.0}) == {"a": 3.0, "b": 0.0}


def test_none_stands_for_zero_tangents_and_cotangents():
    x = tg.Variable([3.0, 1.0, 2.0])
    _, pullback = tg.vjp(lambda x: (x * x, x.argmax()), x)
    assert pullback((tg.ones(3), None))[0].tolist() == [6.0, 2.0, 4.0]
    _, tangent = tg.jvp(lambda a, b: a * b, (x, x), (tg.ones(3), None))
    assert tangent.tolist() == x.tolist()
    with pytest.raises(TypeError, match="the cotangent is"):
        pullback(tg.ones(3))


def test_a_dict_of_names_is_the_tangent_of_a_module():
    net = nn.Linear(2, 1)
    direction = tg.grad(lambda net: net(tg.ones((1, 2))).sum())(net)
    _, tangent = tg.jvp(lambda net: net(tg.ones((1, 2))), (net,), (direction,))
    assert tangent.tolist() == [[3.0]]


def test_an_argument_is_named_once():
    with pytest.raises(ValueError, match="argnums names an argument twice"):
        tg.grad(lambda a, b: (a * b).sum(), argnums=(0, -2))(tg.ones(2), tg.ones(2))
    with pytest.raises(TypeError, match=r"argnums must be an int or a tuple of ints, not 1\.0"):
        tg.grad(lambda a: a.sum(), argnums=1.0)(tg.ones(2))


def test_results_beside_the_value_may_be_anything():
    def f(x):
        return (x**2).sum(), {"text": "abc", "none": None, "object": f, "twice": 2.0 * x}

    x = tg.Variable([1.0, 2.0])
    found = [
        tg.grad(f, has_aux=True)(x)[1],
        tg.jacrev(f, has_aux=True)(x)[1],
        tg.jacfwd(f, has_aux=True)(x)[1],
        tg.hessian(f, has_aux=True)(x)[1],
        tg.jvp(f, (x,), (x,), has_aux=True)[2],
        tg.vjp(f, x, has_aux=True)[2],
    ]
    for aux in found:
        assert aux["text"] == "abc"
        assert aux["none"] is None
        assert aux["object"] is f
        assert aux["twice"].tolist() == [2.0, 4.0]


def test_vmap_names_the_axis_of_a_result_that_it_does_not_have():
    with pytest.raises(ValueError, match=r"out_axes puts the samples at axis 5, but a result of one sample has shape \(3,\)"):
        tg.vmap(lambda x: x, out_axes=5)(tg.ones((2, 3)))


# ---- random numbers ----


def test_the_columns_of_a_jacobian_are_those_of_one_function():
    def noisy(x):
        return x * tg.random.randn(3)

    tg.manual_seed(3)
    forward = tg.jacfwd(noisy)(tg.ones(3))
    tg.manual_seed(3)
    reverse = tg.jacrev(noisy)(tg.ones(3))
    tg.manual_seed(3)
    in_parts = tg.jacfwd(noisy, chunk_size=2)(tg.ones(3))
    after = tg.random.randn(2)
    assert forward.tolist() == reverse.tolist() == in_parts.tolist()
    tg.manual_seed(3)
    noisy(tg.ones(3))
    assert after.tolist() == tg.random.randn(2).tolist()
    with pytest.raises(tg.GradError, match="randomness='error'"):
        tg.jacfwd(noisy, randomness="error")(tg.ones(3))


def test_a_hessian_with_dropout_is_symmetric():
    tg.manual_seed(2)
    found = value(tg.hessian(lambda x: (nn.functional.dropout(x, 0.5) @ tg.ones(6)) ** 2)(tg.ones(6)))
    assert (found == found.T).all()
    assert len(np.unique(found)) == 2


def test_pushes_of_linearize_draw_what_its_value_drew():
    tg.manual_seed(0)
    y, push = tg.linearize(lambda x: x * tg.random.randn(3), tg.ones(3))
    now = tg.get_rng_state()
    assert push(tg.ones(3)).tolist() == push(tg.ones(3)).tolist() == y.tolist()
    assert tg.get_rng_state() == now


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, None])
def test_jacobians_in_chunks(chunk_size):
    def f(x):
        return (tg.sin(x) * x.sum(), {"b": x[:2] ** 2})

    x = tg.Variable(np.linspace(0.0, 1.0, 4))
    for transform in (tg.jacrev, tg.jacfwd, tg.func.jacrev, tg.func.jacfwd):
        a, b = transform(f, chunk_size=chunk_size)(x)
        c, d = tg.jacrev(f)(x)
        assert np.allclose(value(a), value(c))
        assert np.allclose(value(b["b"]), value(d["b"]))


class Noisy(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        noise = tg.random.randn(*x.shape)
        ctx.save_for_backward(noise)
        return x * noise

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_values[0]


def test_functions_draw_for_each_sample():
    x = tg.ones((3, 4))
    different = value(tg.vmap(Noisy.apply)(x))
    assert len({row.tobytes() for row in different}) == 3
    same = value(tg.vmap(Noisy.apply, randomness="same")(x))
    assert (same == same[0]).all()
    with pytest.raises(tg.GradError, match="a random number was drawn inside vmap"):
        tg.vmap(Noisy.apply, randomness="error")(x)


# ---- derivatives of one's own ----


def fixed_point_solver():
    """The solution of x = cos(a x), as an implicit function: its forward half calls the function itself."""

    @tg.custom_vjp
    def solve(a, start):
        x = start
        for _ in range(60):
            x = tg.cos(a * x)
        return x

    def forward(a, start):
        x = solve(a, start)
        return x, (a, x)

    def backward(saved, g):
        a, x = saved
        _, by_x = tg.vjp(lambda x: tg.cos(a * x), x)
        w = g
        for _ in range(60):
            w = g + by_x(w)[0]
        return tg.vjp(lambda a: tg.cos(a * x), a)[1](w)[0], None

    solve.defvjp(forward, backward)
    return solve


def unrolled(a, start):
    x = start
    for _ in range(60):
        x = tg.cos(a * x)
    return x


ORDERS = {
    "value": lambda f: f,
    "grad": lambda f: tg.grad(f),
    "grad of grad": lambda f: tg.grad(tg.grad(f)),
    "jacfwd of grad": lambda f: tg.jacfwd(tg.grad(f)),
    "jacfwd of jacfwd": lambda f: tg.jacfwd(tg.jacfwd(f)),
    "grad of jvp": lambda f: tg.grad(lambda a, s: tg.jvp(lambda a: f(a, s), (a,), (tg.ones_like(a),))[1]),
    "hessian": lambda f: tg.hessian(f),
    "grad of checkpoint": lambda f: tg.grad(lambda a, s: tg.checkpoint(f, a, s)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_implicit_functions_under_all_transformations(order):
    solve = fixed_point_solver()
    start = tg.tensor(1.0, dtype=tg.float64)
    points = tg.Variable([0.3, 0.6], dtype=tg.float64)
    f, plain = ORDERS[order](solve), ORDERS[order](unrolled)
    expected = [plain(a, start).item() for a in points]
    assert np.allclose([f(a, start).item() for a in points], expected, rtol=1e-6)
    mapped = tg.vmap(f, in_axes=(0, None))
    assert np.allclose(value(mapped(points, start)), expected, rtol=1e-6)
    # gradients of the mapped function
    total = tg.grad(lambda a: tg.vmap(lambda a: f(a, start))(a).sum())(points)
    each = [tg.grad(lambda a: plain(a, start).sum())(a).item() for a in points]
    assert np.allclose(value(total), each, rtol=1e-5)


def test_residuals_are_differentiated_again():
    @tg.custom_vjp
    def square_of_sine(x):
        return tg.sin(x) ** 2

    def forward(x):
        s = tg.sin(x)
        return s * s, (s, tg.cos(x))

    square_of_sine.defvjp(forward, lambda saved, g: (2.0 * g * saved[0] * saved[1],))
    x = tg.Variable(0.7, dtype=tg.float64)
    assert np.isclose(tg.grad(tg.grad(square_of_sine))(x).item(), 2.0 * np.cos(1.4))
    assert np.isclose(tg.grad(tg.grad(tg.grad(square_of_sine)))(x).item(), -4.0 * np.sin(1.4))
    y = x.clone().requires_grad_()
    (g,) = tg.autograd.grad(square_of_sine(y), y, create_graph=True)
    assert np.isclose(tg.autograd.grad(g, y)[0].item(), 2.0 * np.cos(1.4))


def test_rules_get_names_and_defaults_by_position():
    @tg.custom_vjp
    def scaled(x, factor=2.0, power=1.0):
        return x**power * factor

    calls = []

    def forward(x, factor, power):
        calls.append((float(factor), float(power)))
        return x**power * factor, (x, factor, power)

    scaled.defvjp(forward, lambda r, g: (g * r[2] * r[0] ** (r[2] - 1.0) * r[1], None, None))
    assert tg.grad(lambda x: scaled(x, power=3.0))(2.0).item() == 24.0
    assert tg.grad(lambda x: scaled(x=x))(2.0).item() == 2.0
    assert calls == [(2.0, 3.0), (2.0, 1.0)]


def test_errors_of_rules_say_what_to_do():
    @tg.custom_vjp
    def applied(f, x):
        return f(x)

    applied.defvjp(lambda f, x: (f(x), x), lambda x, g: (None, 2.0 * x * g))
    with pytest.raises(TypeError, match="nondiff_argnums"):
        tg.grad(applied, argnums=1)(lambda x: x * x, 2.0)

    @tg.custom_vjp
    def single(x):
        return x

    single.defvjp(lambda x: x, lambda saved, g: (g,))
    with pytest.raises(TypeError, match=r"fwd must return a pair \(result, residuals\)"):
        tg.grad(single)(2.0)
    other = tg.custom_jvp(lambda x: x, nondiff_argnums=3)
    other.defjvp(lambda *a: a)
    with pytest.raises(ValueError, match=r"nondiff_argnums is \(3,\), but the call has 1 argument"):
        other(2.0)


# ---- loops ----


def test_scans_go_backwards_too():
    xs = tg.Variable(np.arange(60.0).reshape(20, 3))

    def f(carry, x):
        carry = 0.5 * carry + x["a"]
        return carry, {"b": carry * x["a"]}

    start = tg.zeros(3, dtype=tg.float64)
    last, ys = tg.scan(f, start, {"a": xs}, reverse=True, unroll=4)
    turned_last, turned = tg.scan(f, start, {"a": tg.flip(xs, 0)})
    assert last.tolist() == turned_last.tolist()
    assert ys["b"].tolist() == tg.flip(turned["b"], 0).tolist()
    found = tg.grad(lambda xs: tg.lax.scan(f, start, {"a": xs}, reverse=True)[1]["b"].sum())(xs)
    expected = tg.grad(lambda xs: tg.scan(f, start, {"a": tg.flip(xs, 0)})[1]["b"].sum())(xs)
    assert np.allclose(value(found), value(expected))


def test_a_scan_of_no_steps_has_results_of_their_shapes():
    def f(carry, x):
        return carry + x, (tg.stack([x, x]), x > 0.0)

    state = tg.get_rng_state()
    last, (pairs, signs) = tg.scan(f, tg.zeros(3), tg.zeros((0, 3)))
    assert last.tolist() == [0.0, 0.0, 0.0]
    assert pairs.shape == (0, 2, 3)
    assert signs.shape == (0, 3)
    assert signs.dtype == tg.bool
    assert tg.get_rng_state() == state
    with pytest.raises(tg.ShapeError, match="an array of xs has no axis to go along"):
        tg.scan(f, tg.zeros(3), tg.tensor(1.0))
    with pytest.raises(TypeError, match="scan: the first argument must be a function, not int"):
        tg.scan(3, tg.zeros(3), tg.zeros((4, 3)))


def test_while_loops_go_on_until_the_last_sample_is_done():
    def halved(x):
        return tg.lax.while_loop(lambda x: (x * x).sum() > 0.1, lambda x: x / 2.0, x)

    xs = tg.Variable([[1.0, 2.0], [0.1, 0.1], [30.0, 1.0]])
    assert tg.vmap(halved)(xs).tolist() == [halved(x).tolist() for x in xs]
    weight = tg.Variable([1.0, 10.0])
    found = tg.vmap(tg.grad(lambda x: (halved(x) * weight).sum()))(xs)
    assert found.tolist() == [tg.grad(lambda x: (halved(x) * weight).sum())(x).tolist() for x in xs]


def test_a_gradient_holds_no_value_of_a_sample():
    w = tg.ones(2, requires_grad=True)

    def f(x):
        w.grad = x
        return x

    with pytest.raises(tg.GradError, match="cannot be stored as a gradient"):
        tg.vmap(f)(tg.ones((3, 2)))
    assert w.grad is None


def test_the_backward_of_a_function_keeps_the_mappings_of_its_cotangents():
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2.0

        @staticmethod
        def backward(ctx, g):
            return Twice.apply(g)

    x = tg.Variable([1.0, 2.0], dtype=tg.float64)
    for jacobian in (tg.jacrev, tg.jacfwd):
        assert jacobian(lambda x: Twice.apply(x) * x)(x).tolist() == [[4.0, 0.0], [0.0, 8.0]]
    hessian = tg.jacrev(tg.jacrev(lambda x: (Twice.apply(x) ** 2).sum()))(x)
    assert hessian.tolist() == [[8.0, 0.0], [0.0, 8.0]]


def test_tangents_of_a_custom_jvp_are_nested_as_its_result():
    f = tg.custom_jvp(lambda x: {"a": x, "b": 2 * x})
    f.defjvp(lambda p, t: ({"a": p[0], "b": 2 * p[0]}, {"b": 2 * t[0], "a": t[0]}))
    value, tangent = tg.jvp(f, (tg.tensor(1.0),), (tg.tensor(1.0),))
    assert (value["a"].item(), value["b"].item()) == (1.0, 2.0)
    assert (tangent["a"].item(), tangent["b"].item()) == (1.0, 2.0)
    assert tg.grad(lambda x: f(x)["b"])(1.0).item() == 2.0


@pytest.mark.parametrize("transform", [lambda f: tg.jvp(f, (tg.tensor(1.0),), (tg.tensor(1.0),)), lambda f: tg.grad(f)(1.0)])
def test_rules_of_a_custom_jvp_that_do_not_fit_its_result(transform):
    f = tg.custom_jvp(lambda x: 2 * x)
    f.defjvp(lambda p, t: (2 * p[0], (2 * t[0], t[0])))
    with pytest.raises(TypeError, match=r"its rule returned a tangent \(\*, \*,\) for a result \*"):
        transform(f)
    f.defjvp(lambda p, t: (2 * p[0], tg.zeros(3)))
    with pytest.raises(tg.ShapeError, match=r"its rule returned a tangent of shape \(3,\) for a result of \(\)"):
        transform(f)
    f.defjvp(lambda p, t: 2 * t[0])
    with pytest.raises(TypeError, match=r"its rule must return a pair \(result, tangent\), it returned Variable"):
        transform(f)


def test_gradients_of_a_custom_vjp_have_the_keys_of_their_argument():
    f = tg.custom_vjp(lambda d: d["a"] * d["b"])
    f.defvjp(lambda d: (d["a"] * d["b"], d), lambda d, g: ({"a": g * d["b"], "c": g * d["a"]},))
    with pytest.raises(TypeError, match=r"its bwd returned a gradient {'a': \*, 'c': \*} for an argument {'a': \*, 'b': \*}"):
        tg.grad(f)({"a": tg.tensor(2.0), "b": tg.tensor(3.0)})


def test_defjvps_refuses_nondiff_argnums():
    f = tg.custom_jvp(lambda n, x: x**n, nondiff_argnums=(0,))
    with pytest.raises(TypeError, match="defjvps has no place for the arguments in nondiff_argnums"):
        f.defjvps(lambda t, out, x: t)
