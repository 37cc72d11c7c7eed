"""What programs for PyTorch rely on: data that is replaced, Functions, functional derivatives, places of names."""

import copy

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import forward_ad, functional
from tapegrad.nn import functional as F

# ---- x.data = y ----


def test_averages_of_weights_are_put_in_and_taken_out():
    """The averages that public scripts keep: shadow, backup, restore."""
    model = nn.Linear(3, 2)
    shadow = {n: p.data.clone() for n, p in model.named_parameters()}
    with tg.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    trained = {n: p.detach().clone() for n, p in model.named_parameters()}
    backup = {}
    for n, p in model.named_parameters():
        backup[n] = p.data
        p.data = shadow[n]
    for n, p in model.named_parameters():
        assert (p == shadow[n]).all()
        assert (backup[n] == trained[n]).all()
        p.data = backup[n]
    for n, p in model.named_parameters():
        assert (p == trained[n]).all()


def test_views_made_before_keep_the_old_data():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    whole, row, same = x.data, x.detach()[1], x.data
    x.data = tg.zeros(2, 2)
    after = x.data
    assert whole.tolist() == [[1, 2], [3, 4]]
    assert row.tolist() == [3, 4]
    row.mul_(2)
    whole[0] = 9.0
    assert whole.tolist() == same.tolist() == [[9, 9], [6, 8]]
    assert x.tolist() == [[0, 0], [0, 0]]
    after.add_(1)
    assert x.tolist() == [[1, 1], [1, 1]]
    assert whole.tolist() == [[9, 9], [6, 8]]
    whole.fill_(7)
    x.data = whole
    whole.fill_(8)
    assert x.tolist() == [[7, 7], [7, 7]]


def test_views_of_what_requires_no_gradients_keep_the_old_data_too():
    for x in (tg.ones(2), nn.Parameter(tg.ones(2), requires_grad=False), nn.Parameter(tg.ones(2)).requires_grad_(False)):
        view = x.data
        x.data = tg.zeros(2)
        assert (view.tolist(), x.tolist()) == ([1, 1], [0, 0])
        x.add_(1)
        assert (x * 2).tolist() == [2, 2]
        assert view.tolist() == [1, 1]
        assert not x.requires_grad
        x.requires_grad_(True)
        (x * 3).sum().backward()
        assert x.grad.tolist() == [3, 3]


def test_a_state_dict_keeps_the_weights_that_were_replaced():
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    old = layer.weight.detach().clone()
    layer.weight.data = tg.zeros(2, 2)
    assert (state["weight"] == old).all()
    layer.load_state_dict(state)
    assert (layer.weight == old).all()


def test_replaced_data_is_freed_when_no_view_is_left():
    x = tg.zeros(500_000, requires_grad=True)
    most = 0
    for step in range(30):
        view = x.data
        x.data = tg.full((500_000,), float(step))
        if step == 5:
            most = tg.memory_stats()["system_bytes"]
    assert view[0] == 28
    assert x[0] == 29
    assert tg.memory_stats()["system_bytes"] <= most


def test_replaced_data_and_gradients():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    view = x.data
    x.data = tg.tensor([5.0, 5.0])
    y.backward()
    assert x.grad.tolist() == [2, 4]
    assert view.tolist() == [1, 2]
    assert not view.requires_grad
    assert copy.deepcopy(x).tolist() == [5, 5]


def test_frozen_parameters_take_none_for_a_gradient():
    p = nn.Parameter([1.0], requires_grad=False)
    p.grad = None
    assert p.grad is None
    layer = nn.Linear(2, 2).requires_grad_(False).double()
    layer.zero_grad()
    with pytest.raises(tg.GradError, match="leaf that requires gradients"):
        p.grad = tg.ones(1)


# ---- Functions ----


class Pair(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g2, g3):
        return g2 * 2 + g3 * 3


class Bare(Pair):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g2, g3):
        assert g3 is None
        return g2 * 2


def test_gradients_that_do_not_flow_are_zeros():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    Pair.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [2, 2]
    Bare.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [4, 4]


class Cube(tg.autograd.Function):
    @staticmethod
    def forward(x, power):
        return x**power

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.power = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.power * x ** (ctx.power - 1), None


def test_a_forward_without_a_context():
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(Cube.apply(x, 3).sum(), x, create_graph=True)
    g.sum().backward()
    assert g.tolist() == [3, 12]
    assert x.grad.tolist() == [6, 12]
    assert tg.autograd.gradcheck(lambda x: Cube.apply(x, 3), (x,))


def test_a_function_changes_no_input():
    class Dirty(Pair):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x, x

    with pytest.raises(NotImplementedError, match="return a new value"):
        Dirty.apply(tg.ones(1, requires_grad=True))


# ---- derivatives of functions ----

X = tg.tensor([0.5, -1.0, 2.0], dtype=tg.float64)
Y = tg.tensor([1.0, 3.0, -2.0], dtype=tg.float64)


def test_functional_derivatives():
    f = lambda x: x.exp().sum() * x  # noqa: E731
    e = np.exp(X.numpy())
    jacobian = np.outer(X.numpy(), e) + e.sum() * np.eye(3)
    for strategy in ("reverse-mode", "forward-mode"):
        np.testing.assert_allclose(functional.jacobian(f, X, strategy=strategy).numpy(), jacobian)
    value, product = functional.vjp(f, X, Y)
    np.testing.assert_allclose(value.numpy(), e.sum() * X.numpy())
    np.testing.assert_allclose(product.numpy(), Y.numpy() @ jacobian)
    np.testing.assert_allclose(functional.jvp(f, X, Y)[1].numpy(), jacobian @ Y.numpy())
    cubes = lambda x: (x**3).sum()  # noqa: E731
    np.testing.assert_allclose(functional.hessian(cubes, X).numpy(), np.diag(6 * X.numpy()))
    for product in (functional.hvp, functional.vhp):
        value, found = product(cubes, X, Y)
        assert value.item() == (X**3).sum().item()
        np.testing.assert_allclose(found.numpy(), 6 * X.numpy() * Y.numpy())
    assert functional.vjp(cubes, X)[1].tolist() == (3 * X * X).tolist()


def test_functional_derivatives_of_several_arguments():
    f = lambda x, y: (x * y, x.sum())  # noqa: E731
    (to_x, to_y), (sums, none) = functional.jacobian(f, (X, Y))
    assert to_x.tolist() == np.diag(Y.numpy()).tolist()
    assert to_y.tolist() == np.diag(X.numpy()).tolist()
    assert (sums.tolist(), none.tolist()) == ([1, 1, 1], [0, 0, 0])
    blocks = functional.hessian(lambda x, y: (x * y).sum(), (X, Y))
    assert blocks[0][1].tolist() == blocks[1][0].tolist() == np.eye(3).tolist()
    assert not blocks[0][0].any()
    _, (gx, gy) = functional.vjp(lambda x, y: x * y, (X, Y), X)
    assert (gx.tolist(), gy.tolist()) == ((X * Y).tolist(), (X * X).tolist())


def test_functional_derivatives_keep_a_graph_when_asked_to():
    x = X.clone().requires_grad_()
    assert not functional.jacobian(lambda v: v**2, x).requires_grad
    functional.jacobian(lambda v: v**2, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional.jacobian(tg.sin, [1.0]), TypeError, "must be a Variable or a tuple of Variables, not list"),
        (lambda: functional.jacobian(tg.sin, X, strategy="both"), ValueError, "'reverse-mode' or 'forward-mode'"),
        (lambda: functional.hessian(tg.sum, X, strict=True), ValueError, "strict=True is not available"),
        (lambda: functional.vjp(tg.sin, X), ValueError, "v is needed, as the result has more than one element"),
        (lambda: functional.jvp(tg.sin, X, X[:2]), tg.ShapeError, r"\[\(2,\)\], expected those of the input, \[\(3,\)\]"),
    ],
)
def test_functional_derivatives_of_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_dual_numbers_by_hand():
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(X, Y)
        value, tangent = forward_ad.unpack_dual(tg.sin(dual) * X)
        assert value.tolist() == (tg.sin(X) * X).tolist()
        np.testing.assert_allclose(tangent.numpy(), (tg.cos(X) * X * Y).numpy())
        assert forward_ad.unpack_dual(X).tangent is None
        with forward_ad.dual_level():
            inner = forward_ad.make_dual(dual * dual, tg.ones(3, dtype=tg.float64))
            assert forward_ad.unpack_dual(inner * 2.0).tangent.tolist() == [2, 2, 2]
        with pytest.raises(tg.ShapeError, match=r"\(2,\), expected that of the value, \(3,\)"):
            forward_ad.make_dual(X, Y[:2])
    with pytest.raises(tg.GradError, match="no level is active"):
        forward_ad.make_dual(X, Y)


def test_switches_of_pytorch():
    x = tg.tensor(0.0, requires_grad=True)
    with tg.autograd.set_detect_anomaly(True), pytest.raises(tg.GradError, match="NaN"):
        tg.sqrt(x * x).backward()
    tg.sqrt(x * x).backward()
    tg.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(tg.GradError, match="NaN"):
            tg.sqrt(x * x).backward()
    finally:
        tg.autograd.set_detect_anomaly(False)
    with pytest.raises(ValueError, match="check_nan=False is not available"):
        tg.autograd.set_detect_anomaly(True, check_nan=False)
    with tg.autograd.inference_mode(), tg.autograd.graph.save_on_cpu():
        assert not (x * 2).requires_grad
    with pytest.raises(NotImplementedError, match="checkpoint"):
        tg.autograd.graph.saved_tensors_hooks(id, id)


def test_mapping_by_names_of_pytorch():
    a, b = tg.tensor(np.arange(6.0).reshape(2, 3)), tg.tensor(np.arange(6.0).reshape(3, 2))
    found = tg.func.vmap(lambda x, y: (x * y, x + y), in_dims=(0, 1), out_dims=(1, 0))(a, b)
    assert found[0].tolist() == (a * b.T).T.tolist()
    assert found[1].tolist() == (a + b.T).tolist()
    many = tg.tensor(np.arange(14.0).reshape(7, 2))
    for size in (1, 3, 7, 100):
        in_parts = tg.vmap(lambda x: {"sum": x.sum(), "twice": x * 2}, chunk_size=size, out_dims=-1)(many)
        assert in_parts["sum"].tolist() == many.sum(1).tolist()
        assert in_parts["twice"].tolist() == (many * 2).T.tolist()
    with pytest.raises(ValueError, match="chunk_size is 0, expected None or an int above 0"):
        tg.vmap(tg.sum, chunk_size=0)


# ---- places ----


def test_names_where_pytorch_has_them():
    from tapegrad.nn.modules.batchnorm import _BatchNorm
    from tapegrad.nn.modules.conv import _ConvNd
    from tapegrad.nn.modules.loss import _Loss
    from tapegrad.nn.modules.utils import _pair
    from tapegrad.utils.data.dataloader import DataLoader, default_collate
    from tapegrad.utils.data.distributed import DistributedSampler

    from tapegrad.optim.optimizer import required

    assert isinstance(nn.BatchNorm2d(2), _BatchNorm)
    assert isinstance(nn.ConvTranspose1d(1, 1, 1), _ConvNd)
    assert isinstance(nn.MSELoss(), _Loss)
    assert (_pair(3), _pair([1, 2])) == ((3, 3), (1, 2))
    assert nn.modules.Module is nn.Module
    assert nn.modules.Linear is nn.Linear
    assert nn.modules.rnn.LSTM is nn.LSTM
    assert DataLoader is tg.utils.data.DataLoader
    assert default_collate is tg.utils.data.default_collate
    assert tg.utils.data.distributed.DistributedSampler is DistributedSampler

    class Own(tg.optim.Optimizer):
        def __init__(self, params, lr=required):
            super().__init__(params, {"lr": lr})

    w = tg.ones(1, requires_grad=True)
    assert Own([{"params": [w], "lr": 0.5}]).param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match="a parameter group has no 'lr', which has no default"):
        Own([w])


def test_the_stream_of_random_numbers_can_be_forked():
    tg.manual_seed(1)
    with tg.random.fork_rng():
        tg.manual_seed(5)
        tg.rand(7)
    after = tg.rand(3)
    tg.manual_seed(1)
    assert after.tolist() == tg.rand(3).tolist()
    with tg.random.fork_rng(enabled=False):
        moved = tg.rand(3)
    assert moved.tolist() != tg.rand(3).tolist()


def test_softplus_is_linear_above_its_threshold():
    x = tg.tensor([19.0, 21.0], dtype=tg.float64, requires_grad=True)
    y = nn.Softplus()(x)
    y.sum().backward()
    assert y[1].item() == 21
    assert x.grad[1].item() == 1
    assert y[0].item() == pytest.approx(19 + np.log1p(np.exp(-19)), abs=1e-14) != 19
    assert nn.functional.softplus(x, threshold=None)[1].item() > 21
    assert nn.functional.softplus(x, 2.0, 30).tolist() == [pytest.approx(19 + np.log1p(np.exp(-38)) / 2), 21]
    single = tg.tensor([17.5, 19.9, 20.1, 200.0])
    assert (
        nn.functional.softplus(single).tolist()
        == tg.softplus(single).tolist()
        == nn.functional.softplus(single, threshold=20).tolist()
    )
    assert repr(nn.Softplus()) == "Softplus(beta=1.0, threshold=20.0)"


# ---- names and arguments that public scripts use ----


def test_new_arrays_of_the_dtype_of_another():
    weight = tg.ones(2, 3, dtype=tg.float64)
    for made in (weight.new(4, 5), weight.new(tg.zeros(4, 5).size())):
        assert (made.shape, made.dtype) == ((4, 5), tg.float64)
    assert weight.new([1, 2]).tolist() == [1.0, 2.0]
    assert weight.new().shape == (0,)
    assert weight.new(2).zero_().tolist() == [0, 0]
    with pytest.raises(ValueError, match="device"):
        weight.new(2, device="cuda")


def test_draws_and_windows_as_methods():
    p = tg.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert p.bernoulli().tolist() == p.tolist()
    assert p.multinomial(1).tolist() == [[1], [0]]
    assert p.multinomial(2, replacement=True).tolist() == [[1, 1], [0, 0]]
    assert tg.arange(4.0).as_strided((2, 2), (1, 1)).tolist() == [[0, 1], [1, 2]]


def test_singular_values_in_the_older_form():
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 4, 3)), requires_grad=True)
    u, s, v = x.svd()
    assert (u.shape, s.shape, v.shape) == ((2, 4, 3), (2, 3), (2, 3, 3))
    assert tg.allclose(u @ tg.diag_embed(s) @ v.mT, x)
    assert tg.svd(x, some=False).U.shape == (2, 4, 4)
    only = tg.svd(x, compute_uv=False)
    assert tg.allclose(only.S, s)
    assert not only.U.any()
    assert not only.V.any()
    z = tg.complex(x.detach(), x.detach() * 2)
    u, s, v = tg.svd(z)
    assert tg.allclose(u @ tg.diag_embed(s).to(z.dtype) @ v.mH, z)


def test_backward_with_the_keyword_of_pytorch():
    x = tg.ones(2, requires_grad=True)
    tg.autograd.backward([x * 2], grad_tensors=[tg.tensor([1.0, 3.0])])
    assert x.grad.tolist() == [2, 6]
    with pytest.raises(TypeError, match="not both"):
        tg.autograd.backward([x * 2], [tg.ones(2)], grad_tensors=[tg.ones(2)])


def test_mixed_precision_by_the_names_on_top():
    assert tg.GradScaler is tg.amp.GradScaler
    assert not tg.is_autocast_enabled()
    with tg.autocast("cpu", dtype=tg.float16):
        assert tg.is_autocast_enabled()
        assert tg.get_autocast_dtype("cpu") == tg.float16


def test_a_loader_takes_all_arguments():
    loader = tg.utils.data.DataLoader(range(4), 2, pin_memory_device="", in_order=False)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]


class Alternate(nn.utils.prune.BasePruningMethod):
    """Every other element."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def test_pruning_methods_of_ones_own():
    prune = nn.utils.prune
    layer = nn.Linear(4, 2)
    assert isinstance(Alternate.apply(layer, "bias"), Alternate)
    assert layer.bias_mask.tolist() == [0, 1]
    assert prune.is_pruned(layer)
    prune.custom_from_mask(layer, "weight", tg.tensor([[1.0, 1, 0, 1], [1, 0, 1, 1]]))
    Alternate.apply(layer, "weight")  # of the six elements that are left
    assert layer.weight_mask.tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
    layer(tg.ones(1, 4)).sum().backward()
    assert layer.weight_orig.grad.tolist() == layer.weight_mask.tolist()
    with pytest.raises(NotImplementedError, match="compute_mask"):
        prune.BasePruningMethod.apply(nn.Linear(1, 1), "weight")
    with pytest.raises(tg.ShapeError, match="shape"):
        Alternate.apply(nn.Linear(2, 1), "weight", importance_scores=tg.ones(3))


# ---- hooks and the mode of the pass ----


def test_a_hook_after_accumulation_may_step_the_leaf_in_place():
    p = tg.zeros(2, requires_grad=True)
    p.register_post_accumulate_grad_hook(lambda p: p.add_(p.grad, alpha=-0.5))
    (p * 2).sum().backward()
    assert p.tolist() == [-1.0, -1.0]
    assert p.is_leaf
    assert p.requires_grad


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_of_leaves_record_only_where_the_pass_does(create_graph):
    factor = tg.tensor([3.0], requires_grad=True)
    p = tg.zeros(1, requires_grad=True)
    modes = []

    def hook(grad):
        modes.append(tg.is_grad_enabled())
        return grad * factor

    p.register_hook(hook)
    p.register_post_accumulate_grad_hook(lambda p: modes.append(tg.is_grad_enabled()))
    (p * 2).sum().backward(create_graph=create_graph)
    assert p.grad.tolist() == [6.0]
    assert p.grad.requires_grad is create_graph
    (grad,) = tg.autograd.grad((p * 2).sum(), p, create_graph=create_graph)
    assert grad.tolist() == [6.0]
    assert grad.requires_grad is create_graph
    assert modes == [create_graph] * 3
    assert tg.is_grad_enabled()


def test_hooks_of_leaves_leave_the_mode_as_it_was_when_they_fail():
    p = tg.zeros(1, requires_grad=True)

    def hook(_):
        raise KeyError("mine")

    p.register_hook(hook)
    for call in (lambda: (p * 2).sum().backward(), lambda: tg.autograd.grad((p * 2).sum(), p)):
        with pytest.raises(KeyError, match="mine"):
            call()
        assert tg.is_grad_enabled()


# ---- whole numbers at indices ----

WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", WHOLE)
def test_counting_at_indices(dtype):
    dtype = getattr(tg, dtype)
    at, ones = tg.tensor([0, 2, 2, 2]), tg.ones(4, dtype=dtype)
    empty = tg.zeros(3, dtype=dtype)
    for counts in (
        empty.scatter_add(0, at, ones),
        empty.index_add(0, at, ones),
        empty.index_put((at,), ones, accumulate=True),
        empty.clone().index_add_(0, at, ones),
        empty.clone().index_put_((at,), tg.tensor(1, dtype=dtype), accumulate=True),
        empty.scatter_reduce(0, at, ones, "sum"),
    ):
        assert counts.dtype == dtype
        assert counts.tolist() == [1, 0, 3]
    by_numpy = empty.clone()
    np.add.at(by_numpy, np.array([0, 2, 2, 2]), 1)
    assert by_numpy.dtype == dtype
    assert by_numpy.tolist() == [1, 0, 3]


def test_whole_numbers_at_indices_wrap_around_and_take_whole_factors():
    big = tg.tensor([255, 255], dtype=tg.uint8)
    assert tg.zeros(1, dtype=tg.uint8).index_add(0, tg.tensor([0, 0]), big).tolist() == [254]
    counts = tg.zeros(2, dtype=tg.int64).index_add(0, tg.tensor([1, 1]), tg.tensor([1, 2]), alpha=-2)
    assert counts.dtype == tg.int64
    assert counts.tolist() == [0, -6]
    with pytest.raises(tg.DTypeError, match=r"alpha is 0\.5 for arrays of int64, expected a whole number"):
        tg.zeros(2, dtype=tg.int64).index_add(0, tg.tensor([1]), tg.tensor([1]), alpha=0.5)
    with pytest.raises(tg.DTypeError, match="an array of bool and a source of bool were given, expected one dtype of numbers"):
        tg.zeros(2, dtype=tg.bool).scatter_add(0, tg.tensor([1]), tg.tensor([True]))
    batched = tg.vmap(lambda at: tg.zeros(2, dtype=tg.int64).index_add(0, at, tg.ones(2, dtype=tg.int64)))
    assert batched(tg.tensor([[0, 1], [1, 1]])).tolist() == [[1, 1], [0, 2]]


@pytest.mark.parametrize(
    ("reduce", "include_self", "expected"),
    [
        ("amax", True, [1, 1, 2**62 + 1]),
        ("amax", False, [-1, 1, 2**62 + 1]),
        ("amin", True, [-2, 1, 1]),
        ("amin", False, [-2, 1, 2**62]),
        ("mean", True, [-1, 1, (2**63 + 2) // 3]),
        ("mean", False, [-2, 1, 2**62]),
        ("sum", False, [-3, 1, 2**63 + 1 - 2**64]),
    ],
)
def test_reductions_of_whole_numbers_at_indices_stay_whole(reduce, include_self, expected):
    source = tg.tensor([-1, -2, 2**62, 2**62 + 1])
    if reduce == "mean":
        source = tg.tensor([-1, -2, 2**62, 2**62])[:3]
        expected = [expected[0], expected[1], (2**62 + 1) // 2 if include_self else 2**62]
    got = tg.ones(3, dtype=tg.int64).scatter_reduce(
        0, tg.tensor([0, 0, 2, 2])[: source.size], source, reduce, include_self=include_self
    )
    assert got.dtype == tg.int64
    assert got.tolist() == expected


# ---- arguments and methods of PyTorch's documentation ----


def test_repeats_by_counts_and_with_a_known_size():
    assert tg.repeat_interleave(tg.tensor([1, 0, 2])).tolist() == [0, 2, 2]
    rows = tg.tensor([[1, 2], [3, 4]], requires_grad=False).repeat_interleave(tg.tensor([1, 2]), dim=0, output_size=3)
    assert rows.tolist() == [[1, 2], [3, 4], [3, 4]]
    with pytest.raises(ValueError, match="output_size is 5, but the repeats give 4"):
        tg.ones(2).repeat_interleave(2, output_size=5)
    with pytest.raises(tg.ShapeError, match="a vector of counts, or repeats="):
        tg.ones(2).repeat_interleave()


def test_scatter_that_multiplies():
    x = tg.full((2, 4), 2.0, requires_grad=True)
    y = x.scatter(1, tg.tensor([[2], [3]]), 1.5, reduce="multiply")
    assert y.tolist() == [[2, 2, 3, 2], [2, 2, 2, 3]]
    y.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1.5, 1], [1, 1, 1, 1.5]]
    assert tg.ones(2).scatter_(0, tg.tensor([1]), tg.tensor([3.0]), reduce="multiply").tolist() == [1, 3]
    with pytest.raises(ValueError, match="the index has a place twice"):
        tg.ones(2).scatter(0, tg.tensor([1, 1]), tg.ones(2), reduce="multiply")


def test_names_and_arguments_of_single_functions():
    z = tg.tensor([[1 + 1j, 2]])
    assert (z.adjoint() == z.mH).all()
    assert z.conj().resolve_conj().resolve_neg().is_conj() is z.is_neg() is False
    assert tg.special.logit(tg.tensor([0.0]), eps=0.5).tolist() == [0.0]
    tg.testing.assert_close(tg.ones(2), tg.ones(2), check_device=True, check_layout=True, check_stride=True)
    counts, _ = tg.histogram(tg.tensor([1.0, 2, 1]), bins=4, range=(0.0, 3.0), weight=tg.tensor([1.0, 2, 4]))
    assert counts.tolist() == [0, 5, 2, 0]
    y = tg.arange(12.0).reshape(3, 4) ** 2
    rows, columns = tg.gradient(y, spacing=[3.0, 2.0], dim=(0, 1))
    assert (rows == tg.gradient(y, 3.0, axis=0)).all()
    assert (columns == tg.gradient(y, 2.0, axis=1)).all()
    assert len(tg.gradient(y[0], spacing=2.0)) == 1
    with pytest.raises(ValueError, match="spacing has 1 entries for 2 axes"):
        tg.gradient(y, spacing=[1.0])
    with pytest.raises(tg.AxisError, match=r"axis 2 is out of bounds.*write x\.tile\(repeats\)"):
        tg.tensor([1, 2, 3]).repeat(4, 2)
    tall = tg.zeros(5, 2)
    assert tall.fill_diagonal_(1.0, wrap=True).tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]]


def test_a_list_that_grows_from_an_empty_vector():
    rows = tg.tensor([])
    for i in range(3):
        rows = tg.cat([rows, tg.full((1, 2), float(i), requires_grad=True)])
    assert rows.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert rows.requires_grad
    assert tg.cat((tg.ones(2, 3), tg.empty(0)), dim=1).shape == (2, 3)
    assert tg.vmap(lambda x: tg.cat([tg.tensor([]), x]))(tg.ones(2, 3, 4)).shape == (2, 3, 4)
    assert tg.cat([tg.tensor([]), tg.tensor([])]).shape == (0,)
    with pytest.raises(tg.ShapeError, match="does not fit"):
        tg.cat([tg.empty(0, 2), tg.ones(2, 3)])


def test_order_by_position():
    x = tg.tensor([[1.0, 3.0, 2.0]])
    assert x.argsort(-1, True).tolist() == tg.argsort(x, 1, True).tolist() == [[1, 2, 0]]
    assert x.argsort(1, False).tolist() == [[0, 2, 1]]
    assert tg.diagflat(tg.ones(1), offset=1).tolist() == [[0, 1], [0, 0]]
    assert tg.linalg.diagonal(tg.arange(8).reshape(2, 2, 2), dim1=0, dim2=1).tolist() == [[0, 6], [1, 7]]


def test_methods_of_flat_places_and_special_functions():
    assert tg.zeros(2, 2).put_(tg.tensor([1, 3]), tg.tensor([9.0, 8.0])).tolist() == [[0, 9], [0, 8]]
    assert tg.zeros(2, 2).put_(tg.tensor([1, 1]), tg.tensor([9.0, 8.0]), accumulate=True).tolist() == [[0, 17], [0, 0]]
    assert tg.tensor([4]).gcd(tg.tensor([6])).tolist() == [2]
    assert tg.tensor([4]).lcm(tg.tensor([6])).tolist() == [12]
    x = tg.tensor([0.5])
    assert (x.polygamma(1) == tg.special.polygamma(1, x)).all()
    assert (x.i0() == tg.special.i0(x)).all()


def test_circular_padding_repeats_what_cropping_leaves():
    x = tg.arange(4.0).reshape(1, 1, 4)
    assert nn.functional.pad(x, (-1, 2), mode="circular").tolist() == [[[1, 2, 3, 1, 2]]]
    assert nn.functional.pad(x, (1, -2), mode="circular").tolist() == [[[1, 0, 1]]]
    assert nn.functional.pad(x, (-1, -1), mode="circular").tolist() == [[[1, 2]]]
    with pytest.raises(ValueError, match="circular"):
        nn.functional.pad(x, (-2, 3), mode="circular")


# ---- states of older versions ----


class Renamed(nn.Module):
    """A layer whose weight had another name, and which stores twice its scale."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(tg.ones(2))
        self.register_buffer("scale", tg.ones(1))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        if local_metadata.get("version") is None and prefix + "w" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
        if prefix + "twice" in state_dict:
            state_dict[prefix + "scale"] = state_dict.pop(prefix + "twice") / 2
        if state_dict.pop(prefix + "broken", False):
            error_msgs.append(f"{prefix}broken is set")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "twice"] = destination.pop(prefix + "scale") * 2


def test_modules_that_rename_what_they_load_and_save():
    model = nn.Sequential(Renamed(), nn.Linear(1, 1))
    state = model.state_dict()
    assert list(state) == ["0.weight", "0.twice", "1.weight", "1.bias"]
    state["0.w"] = state.pop("0.weight") * 3
    state["0.twice"] = tg.full((1,), 8.0)
    given = dict(state)
    assert repr(model.load_state_dict(state)) == "<All keys matched successfully>"
    assert state == given  # the caller's state is not changed
    assert model[0].weight.tolist() == [3, 3]
    assert model[0].scale.tolist() == [4]
    with pytest.raises(RuntimeError, match=r"0\.broken is set"):
        model.load_state_dict({**state, "0.w": tg.zeros(2), "0.broken": True})
    assert model[0].weight.tolist() == [3, 3]
    with pytest.raises(TypeError, match="pass on the state_dict that was given"):
        model[0]._load_from_state_dict({}, "", {}, True, [], [], [])


# ---- out= ----


@pytest.mark.parametrize(
    "call",
    [
        lambda a, **o: tg.cat([a, a], **o),
        lambda a, **o: tg.mm(a, a, **o),
        lambda a, **o: tg.bmm(a[None], a[None], **o),
        lambda a, **o: tg.addmm(a, a, a, beta=0.5, **o),
        lambda a, **o: tg.mul(a, 3.0, **o),
        lambda a, **o: tg.clamp(a, 0.0, 0.5, **o),
        lambda a, **o: tg.sigmoid(a, **o),
        lambda a, **o: a.sigmoid(**o),
        lambda a, **o: tg.softmax(a, dim=0, **o),
        lambda a, **o: tg.amax(a, dim=1, **o),
        lambda a, **o: tg.argmax(a, dim=1, **o),
        lambda a, **o: tg.gather(a, 1, tg.tensor([[1], [0]]), **o),
        lambda a, **o: tg.linalg.inv(a, **o),
        lambda a, **o: tg.fft.fft(a, **o),
        lambda a, **o: tg.special.ndtr(a, **o),
        lambda a, **o: tg.nn.functional.avg_pool2d(a[None, None], 2, **o),
        lambda a, **o: tg.sum(a, 0, **o),
    ],
)
def test_outputs_of_pytorchs_functions(call):
    a = tg.tensor([[0.5, -1.0], [2.0, 0.25]])
    expected = call(a)
    out = tg.zeros_like(expected)
    whole = tg.zeros((2, *expected.shape), dtype=expected.dtype)
    assert call(a, out=out) is out
    call(a, out=whole[1])
    assert (out == expected).all()
    assert (whole[1] == expected).all()
    assert (whole[0] == 0).all()
    with pytest.raises(tg.ShapeError, match="the output has shape"):
        call(a, out=tg.zeros(7, dtype=expected.dtype))
    with pytest.raises(TypeError, match="out= must be an array, not str"):
        call(a, out="a")


def test_outputs_record_take_several_results_and_never_round():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.zeros(4)
    tg.cat([x * 3, x], out=y)
    y.sum().backward()
    assert x.grad.tolist() == [4, 4]
    values, indices = tg.zeros(2), tg.zeros(2, dtype=tg.int64)
    tg.topk(tg.tensor([1.0, 3, 2]), 2, out=(values, indices))
    assert values.tolist() == [3, 2]
    assert indices.tolist() == [1, 2]
    with pytest.raises(TypeError, match="a tuple of 2 arrays"):
        tg.topk(tg.tensor([1.0, 3, 2]), 2, out=values)
    half = tg.full((2,), 0.5)
    whole = tg.zeros(2, dtype=tg.int64)
    for call in (
        lambda: tg.mul(half, 3, out=whole),
        lambda: tg.cat([half], out=whole),
        lambda: np.add(half, 1, out=whole),
        lambda: np.sum(half[None], axis=0, out=whole),
        lambda: np.sum(half[None], axis=0, out=np.zeros(2, dtype=np.int64)),
    ):
        with pytest.raises(tg.DTypeError, match="a result of float32 does not fit into an output of int64"):
            call()
    assert whole.tolist() == [0, 0]
    assert np.add(half, 1, out=whole, casting="unsafe").tolist() == [1, 1]
    assert tg.mul(whole, 2, out=tg.zeros(2)).tolist() == [2, 2]


# ---- windows and many elements at few places ----


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(("size", "step"), [(1, 1), (3, 2), (2, 5), (16, 1), (17, 3), (0, 4)])
def test_windows_of_few_and_of_many_places(axis, size, step):
    shape = [2, 2, 2]
    shape[axis] = 21
    x = tg.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)
    got = x.unfold(axis, size, step)
    starts = range(0, 21 - size + 1, step)
    expected = np.stack([np.moveaxis(np.take(x.detach().numpy(), range(s, s + size), axis), axis, -1) for s in starts], axis % 3)
    assert np.array_equal(got.detach().numpy(), expected)
    got.sum().backward()
    counts = np.bincount([s + i for s in starts for i in range(size)], minlength=21)
    assert np.array_equal(x.grad.numpy(), np.broadcast_to(np.expand_dims(counts, [a for a in range(3) if a != axis % 3]), shape))


def test_extrema_of_many_elements_at_few_places():
    rng = np.random.default_rng(0)
    at, source = rng.integers(0, 5, (200, 3)), rng.normal(size=(200, 3))
    source[7, 1] = np.nan
    start = rng.normal(size=(6, 3))
    expected = start.copy()
    np.maximum.at(expected, (at, np.arange(3)), source)
    got = tg.asarray(start).scatter_reduce(0, tg.asarray(at), tg.asarray(source), "amax")
    assert np.array_equal(got.numpy(), expected, equal_nan=True)
    sums = start.copy()
    np.add.at(sums, (at, np.arange(3)), source)
    assert np.allclose(tg.asarray(start).scatter_add(0, tg.asarray(at), tg.asarray(source)).numpy(), sums, equal_nan=True)


# ---- graphs: what a pass with inputs= leaves, grad_fn ----


def _inner_steps(w, count, **options):
    p = w
    for _ in range(count):
        (g,) = tg.autograd.grad((p * p * p).sum(), (p,), **options)
        p = p - 0.1 * g
    return p


def test_first_order_steps_of_meta_learning_keep_the_path_to_the_start():
    """MAML's first-order form: gradients by a result, which later results are computed from."""
    w = tg.tensor([0.5, -0.25], dtype=tg.float64, requires_grad=True)
    p = _inner_steps(w, 3)
    (p * p).sum().backward()
    assert np.allclose(w.grad.numpy(), 2 * p.detach().numpy())  # first order: dp/dw is one


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_pass_with_inputs_frees_what_it_used_alone(create_graph):
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    w = tg.tensor([3.0, 4.0], requires_grad=True)
    hidden = (x * x).exp()  # leads to x alone
    loss = (hidden * w.sin()).sum()
    tg.autograd.grad(loss, w, create_graph=create_graph)
    hidden.sum().backward()
    assert np.allclose(x.grad.numpy(), 2 * x.detach().numpy() * np.exp(x.detach().numpy() ** 2))
    if not create_graph:
        with pytest.raises(tg.FreedError):
            loss.backward()


def test_a_pass_by_a_result_leaves_the_graph_behind_it():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    tops = [(y * k).sum() for k in (2.0, 3.0)]
    assert [tg.autograd.grad(top, y)[0].tolist() for top in tops] == [[2, 2], [3, 3]]
    y.retain_grad()
    (y * y).sum().backward(inputs=[y])
    assert y.grad.tolist() == [2, 8]
    assert x.grad is None
    y.sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_a_pass_with_two_inputs_on_one_path_uses_the_graph_between_them():
    x = tg.tensor(3.0, requires_grad=True)
    y = x * x
    gx, gy = tg.autograd.grad(y * y, (x, y))
    assert (gx.item(), gy.item()) == (108, 18)
    with pytest.raises(tg.FreedError, match="multiply"):
        y.backward()


def test_hooks_of_results_run_in_a_pass_that_ends_at_them():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    (g,) = tg.autograd.grad((y * y).sum(), y)
    assert seen == [[2, 8]]
    assert g.tolist() == [20, 80]
    (y * 1.0).sum().backward()
    assert seen[1:] == [[1, 1]]
    assert x.grad.tolist() == [20, 40]


def test_grad_fn_is_an_object_with_links():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    frozen = tg.ones(2)
    y = (x * x + frozen).sum()
    fn = y.grad_fn
    assert x.grad_fn is None
    assert frozen.grad_fn is None
    assert y.detach().grad_fn is None
    assert isinstance(fn, tg.autograd.graph.Node)
    assert fn.name() == "sum"
    assert fn == "sum"
    assert repr(fn) == "<sum>"
    assert hash(fn) == hash("sum")
    assert y.grad_fn is fn
    ((add, number),) = fn.next_functions
    assert (add.name(), number) == ("add", 0)
    product, constant = add.next_functions
    assert product[0].name() == "multiply"
    assert constant == (None, 0)
    assert product[0] == (x * x).grad_fn.name()
    assert product[0] != (x * x).grad_fn
    ends = [end for end, _ in product[0].next_functions]
    assert ends[0] is ends[1]
    assert ends[0].name() == "AccumulateGrad"
    assert isinstance(ends[0], tg.autograd.graph.AccumulateGrad)
    assert ends[0].variable is x
    assert not hasattr(fn, "variable")


def test_a_walk_along_grad_fn_finds_the_parameters():
    """The walk of programs that draw graphs."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    loss = model(tg.ones((2, 3))).mean()
    names, seen = {id(p): n for n, p in model.named_parameters()}, set()
    found = []

    def walk(fn):
        if fn is None or fn in seen:
            return
        seen.add(fn)
        if hasattr(fn, "variable"):
            found.append(names[id(fn.variable)])
        for before, _ in fn.next_functions:
            walk(before)

    walk(loss.grad_fn)
    assert sorted(found) == sorted(names.values())


def test_grad_fn_keeps_the_graph_and_a_freed_one_has_no_links():
    x = tg.tensor(2.0, requires_grad=True)
    fn = (x * x).exp().grad_fn
    assert fn.next_functions[0][0].name() == "multiply"
    y = (x * x).exp()
    fn = y.grad_fn
    y.backward()
    assert fn.name() == "exp"
    assert fn.next_functions == ()
    x.requires_grad_(False)
    z = tg.tensor(1.0, requires_grad=True) * 2.0
    assert z.grad_fn.next_functions[0][0].variable.item() == 1.0  # its Variable is gone; the leaf is not


def test_the_second_result_of_an_operation_is_named_by_its_number():
    x = tg.tensor([[4.0, 1.0], [1.0, 3.0]], requires_grad=True)
    values, vectors = tg.linalg.eigh(x)
    assert values.grad_fn is vectors.grad_fn
    assert (vectors * 2.0).grad_fn.next_functions == ((vectors.grad_fn, 1),)


def test_cycles_through_grad_fn_are_collected():
    import gc
    import weakref

    class Box:
        pass

    box = Box()
    x = tg.tensor([1.0], requires_grad=True)
    y = x * 2.0
    box.fn = y.grad_fn
    y.register_hook(lambda g, box=box: None)
    gone = weakref.ref(box)
    del box, x, y
    gc.collect()
    assert gone() is None


def test_retains_grad():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad
    assert not tg.ones(2).retains_grad
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]


# ---- reductions at indices ----


@pytest.mark.parametrize("own", [True, False])
def test_products_at_indices(own):
    rng = np.random.default_rng(0)
    x, source = rng.standard_normal((2, 4)), rng.standard_normal((2, 9))
    source[0, 3] = source[1, 2] = 0.0
    index = rng.integers(0, 3, (2, 9))
    expected = x.copy()
    for r in range(2):
        for place in range(4):
            parts = source[r, index[r] == place]
            if len(parts):
                expected[r, place] = np.prod(parts) * (x[r, place] if own else 1.0)

    def f(x, source):
        return tg.scatter_reduce(x, 1, tg.tensor(index), source, "prod", include_self=own)

    a, b = (tg.tensor(v, requires_grad=True) for v in (x, source))
    assert np.allclose(f(a, b).detach().numpy(), expected)
    assert tg.autograd.gradcheck(f, (a, b))
    assert tg.autograd.gradgradcheck(f, (a, b))


def test_products_at_indices_of_integers_and_of_nothing():
    x, source = tg.tensor([2, 3, 4]), tg.tensor([5, 6, 7, 8])
    index = tg.tensor([2, 0, 2, 2])
    assert x.scatter_reduce(0, index, source, "prod").tolist() == [12, 3, 4 * 5 * 7 * 8]
    assert x.scatter_reduce(0, index, source, "prod", include_self=False).tolist() == [6, 3, 280]
    assert x.scatter_reduce(0, index[:0], source, "prod").tolist() == [2, 3, 4]
    x.scatter_reduce_(0, index, source, "prod")
    assert x.tolist() == [12, 3, 1120]


@pytest.mark.parametrize("reduce", ["prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("dim", [0, -1])
def test_index_reduce(reduce, own, dim):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 4))
    index = np.array([2, 0, 2, 2, 0])
    source = rng.standard_normal((5, 4) if dim == 0 else (3, 5))
    by = {"prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]
    expected, lines = np.moveaxis(x.copy(), dim, 0), np.moveaxis(source, dim, 0)
    for place in (0, 2):
        parts = [*([expected[place]] if own else []), *lines[index == place]]
        expected[place] = by(np.stack(parts), axis=0)

    def f(x, source):
        return tg.index_reduce(x, dim, tg.tensor(index), source, reduce, include_self=own)

    a, b = (tg.tensor(v, requires_grad=True) for v in (x, source))
    assert np.allclose(f(a, b).detach().numpy(), np.moveaxis(expected, 0, dim))
    assert tg.autograd.gradcheck(f, (a, b))
    assert tg.autograd.gradgradcheck(f, (a, b))
    c = tg.tensor(x)
    assert c.index_reduce_(dim, tg.tensor(index), tg.tensor(source), reduce, include_self=own) is c
    assert np.allclose(c.numpy(), np.moveaxis(expected, 0, dim))


def test_index_reduce_refuses_other_shapes_and_reductions():
    x, index = tg.zeros(3, 2), tg.tensor([0, 1])
    with pytest.raises(tg.ShapeError, match=r"source has shape \(1, 2\), expected \(2, 2\)"):
        tg.index_reduce(x, 0, index, tg.ones(1, 2), "prod")
    with pytest.raises(ValueError, match="'sum'"):
        tg.index_reduce(x, 0, index, tg.ones(2, 2), "sum")


# ---- what programs write ----


def test_sequences_of_python_make_arrays():
    from collections import UserList, deque

    returns = deque([1.0, 2.0], maxlen=4)
    returns.appendleft(3.0)
    assert tg.tensor(returns).tolist() == [3, 1, 2]
    assert tg.tensor([deque([1, 2]), UserList([3, 4])]).tolist() == [[1, 2], [3, 4]]
    assert tg.stack([tg.tensor(returns)] * 2).shape == (2, 3)
    x = tg.tensor(2.0, requires_grad=True)
    tg.asarray(deque([x, x * x])).sum().backward()
    assert x.grad.item() == 5.0
    with pytest.raises(TypeError, match="set"):
        tg.tensor({1.0})
    with pytest.raises(TypeError, match="string"):
        tg.tensor("12")
    with pytest.raises(tg.ShapeError, match="ragged"):
        tg.tensor(deque([[1.0], [1.0, 2.0]]))


def test_the_norm_of_clipping_may_be_named():
    a, b = (tg.tensor([3.0, -4.0], requires_grad=True) for _ in range(2))
    for x, kind in ((a, "inf"), (b, float("inf"))):
        (x * x / 2).sum().backward()
        assert nn.utils.clip_grad_norm_([x], 1.0, norm_type=kind).item() == 4.0
    assert a.grad.tolist() == b.grad.tolist()
    assert nn.utils.get_total_norm([a.grad], "inf").item() == pytest.approx(1.0)
    with pytest.raises(TypeError, match="norm_type"):
        nn.utils.clip_grad_norm_([a], 1.0, norm_type="two")


def test_distinct_rows_by_dim():
    rows = tg.tensor([[2, 1], [1, 1], [2, 1]])
    values, inverse, counts = tg.unique(rows, return_inverse=True, return_counts=True, dim=0)
    assert values.tolist() == rows.unique(dim=0).tolist() == [[1, 1], [2, 1]]
    assert inverse.tolist() == [1, 0, 1]
    assert counts.tolist() == [1, 2]


def test_hessians_of_functions_with_several_results():
    """jacfwd(jacrev(f)), as in torch.func and JAX."""
    w = tg.tensor([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5]], dtype=tg.float64)
    x = tg.tensor([0.3, -0.7], dtype=tg.float64)
    h = tg.func.hessian(lambda x: tg.tanh(w @ x))(x)
    y = np.tanh(w.numpy() @ x.numpy())
    expected = (-2 * y * (1 - y**2))[:, None, None] * w.numpy()[:, :, None] * w.numpy()[:, None, :]
    assert h.shape == (3, 2, 2)
    assert np.allclose(h.numpy(), expected)
    pair, aux = tg.hessian(lambda x: ({"a": (x**3).sum(), "b": x[:1] ** 2}, x.sum()), has_aux=True)(x)
    assert np.allclose(pair["a"].numpy(), np.diag(6 * x.numpy()))
    assert pair["b"].tolist() == [[[2, 0], [0, 0]]]
    assert aux.item() == pytest.approx(-0.4)
    many = tg.vmap(tg.hessian(lambda x: x**3))(tg.stack([x, 2 * x]))
    assert np.allclose(many[1, 1].numpy(), [[0, 0], [0, 12 * x[1].item()]])
    by_both = tg.hessian(lambda a, b: a * b, argnums=(0, 1))(x, x + 1)
    assert np.allclose(by_both[0][1][0].numpy(), [[1, 0], [0, 0]])


def test_functions_may_name_what_forward_mode_saves():
    class Square(tg.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

        @staticmethod
        def jvp(ctx, t):
            (x,) = ctx.saved_tensors
            return 2 * x * t

    x = tg.tensor([1.0, 2.0, 3.0])
    assert tg.jvp(Square.apply, (x,), (tg.ones(3),))[1].tolist() == [2, 4, 6]
    assert tg.vmap(tg.grad(Square.apply))(x).tolist() == [2, 4, 6]


def test_second_derivatives_of_networks_that_are_linear_in_pieces_are_zero():
    """The Laplacian of a physics-informed network asks for them; no error may stop it."""
    rng = np.random.default_rng(3)
    for act in (
        F.relu,
        F.leaky_relu,
        F.relu6,
        F.hardtanh,
        tg.abs,
        F.rrelu,
        lambda v: F.prelu(v, tg.tensor([0.2], dtype=tg.float64)),
    ):
        x = tg.tensor(rng.standard_normal((5, 2)), requires_grad=True)
        w = tg.tensor(rng.standard_normal((2, 4)), requires_grad=True)
        u = act(x @ w).sum(1)
        (ux,) = tg.autograd.grad(u, x, tg.ones_like(u), create_graph=True)
        (uxx,) = tg.autograd.grad(ux, x, tg.ones_like(ux), create_graph=True)
        assert uxx.shape == x.shape
        assert not uxx.any()
        (ux * ux).sum().backward()
        assert w.grad.any()


def test_results_that_keep_gradients_get_them_in_a_pass_with_inputs():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    z = y * y
    y.retain_grad()
    z.retain_grad()
    z.sum().backward(inputs=[x, y])
    assert (x.grad.tolist(), y.grad.tolist(), z.grad.tolist()) == ([8, 16], [4, 8], [1, 1])
    y = x * 3.0
    y.retain_grad()
    assert tg.autograd.grad(y.sum(), x)[0].tolist() == [3, 3]
    assert y.grad is None
    assert x.grad.tolist() == [8, 16]
