"""The names that PyTorch's users write: each name in a table exists and has PyTorch's result, or raises an error that helps."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _aliases, _core, _habits, _names

STUBS = (Path(_core.__file__).parent / "_core.pyi").read_text(encoding="utf-8")
GRID = np.arange(6.0).reshape(2, 3)


def grid(requires_grad=False):
    return tg.tensor(GRID, requires_grad=requires_grad)


# ---- the tables ----


def test_every_method_of_the_table_is_there_documented_and_in_the_stubs():
    for name in _habits.METHODS:
        method = getattr(tg.Variable, name)
        assert method.__doc__, name
        assert re.search(rf"def {name}\(self|\b{name} = ", STUBS), name
    for name in [*_habits.LIFTED.split(), *_habits.SAME]:
        assert hasattr(tg.Variable, name)
        assert re.search(rf"def {name}\(self|\b{name} = ", STUBS), name


def test_every_function_is_exported_and_documented():
    for name in [*_names.__all__, *_aliases.__all__]:
        assert name in tg.__all__
        assert getattr(tg, name).__doc__, name


def test_functions_of_methods_show_their_parameters():
    assert str(inspect.signature(tg.addmm)) == "(input, mat1, mat2, *, beta=1, alpha=1)"
    assert tg.clamp(input=[1.0, 5.0], max=2).tolist() == [1.0, 2.0]


def test_no_table_repeats_a_compiled_method():
    compiled = {name for row in _core.registry() if row["method"] for name in [row["name"], *row["aliases"]]}
    tables = {*_habits.METHODS, *_habits.LIFTED.split(), *_habits.ALIASES, *_habits.SAME}
    assert not tables & compiled


# ---- creation ----


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_shapes_as_several_ints(name):
    f = getattr(tg, name)
    for x in (f(2, 3), f((2, 3)), f([2, 3]), f(shape=(2, 3)), f(size=(2, 3)), f(np.int64(2), 3)):
        assert x.shape == (2, 3)
    assert f(3).shape == (3,)
    assert f(()).shape == ()
    assert f((2,), tg.float64).dtype == tg.float64
    assert f(2, 3, dtype=tg.int64).dtype == tg.int64
    assert f(2, requires_grad=True).requires_grad
    assert f(2, device="cpu", dtype=tg.float64).shape == (2,)
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        f(2, foo=1)
    with pytest.raises(TypeError, match="missing required argument 'shape'"):
        f()
    with pytest.raises(TypeError, match="a shape and a dtype, or several ints"):
        f(2, 3, "float32")


def test_creation_with_options_of_pytorch():
    assert tg.full((2,), 3.0, requires_grad=True).requires_grad
    assert tg.arange(3, device="cpu").tolist() == [0, 1, 2]
    assert tg.linspace(0, 1, 3, requires_grad=True).is_leaf
    assert tg.eye(2, dtype=tg.float64, requires_grad=True).dtype == tg.float64
    x = grid()
    for f in (tg.zeros_like, tg.ones_like, tg.empty_like, tg.rand_like, tg.randn_like):
        y = f(x, requires_grad=True)
        assert (y.shape, y.dtype, y.requires_grad) == (x.shape, x.dtype, True)
    assert tg.full_like(x, 2).sum().item() == 12
    assert x.new_zeros(2, 2).dtype == x.new_ones((3,)).dtype == x.new_tensor([1]).dtype == tg.float64
    assert x.new_full((2,), 5, dtype=tg.int64).tolist() == [5, 5]
    with pytest.raises(ValueError, match="there is one device, 'cpu'"):
        tg.zeros(2, device="cuda")


def test_tensor_copies_and_from_numpy_shares():
    a = np.zeros(2)
    copied, shared = tg.tensor(a), tg.from_numpy(a)
    a[0] = 1
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == [1, 0]
    assert tg.as_tensor(a).tolist() == [1, 0]
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert x.is_leaf
    assert tg.tensor(x * 2).grad_fn is None
    assert tg.tensor(3).shape == ()
    assert tg.tensor([1, 2], dtype=tg.float64).dtype == tg.float64
    with pytest.raises(TypeError, match="expected a NumPy array"):
        tg.from_numpy([1])


def test_classes_of_arrays():
    assert isinstance(grid(), tg.Tensor)
    assert isinstance(tg.nn.Parameter([1.0]), tg.Tensor)
    assert isinstance(grid(), tg.DoubleTensor)
    assert not isinstance(grid(), tg.FloatTensor)
    assert not isinstance(GRID, tg.Tensor)
    assert issubclass(tg.Variable, tg.Tensor)
    assert tg.FloatTensor([1, 2]).dtype == tg.float32
    assert tg.LongTensor(2, 3).shape == (2, 3)
    assert tg.Tensor([1, 2]).dtype == tg.get_default_dtype()
    assert tg.Tensor(2).shape == (2,)
    assert (tg.float, tg.double, tg.long, tg.int) == (tg.float32, tg.float64, tg.int64, tg.int32)
    assert tg.is_tensor(grid())
    assert not tg.is_tensor(GRID)


# ---- device and dtype ----


def test_one_device():
    x = grid()
    assert x.device == tg.device("cpu") == "cpu"
    assert x.device.type == "cpu"
    assert x.to("cpu") is x.cpu() is x.to(x.device) is x
    assert not x.is_cuda
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    assert tg.device("cuda" if tg.cuda.is_available() else "mps" if tg.backends.mps.is_available() else "cpu") == "cpu"
    tg.backends.cudnn.deterministic = True
    tg.cuda.manual_seed_all(0)
    tg.use_deterministic_algorithms(True)
    assert tg.version.cuda is None
    for call in (lambda: tg.device("cuda"), x.cuda, lambda: x.to("cuda:0"), lambda: tg.device("mps")):
        with pytest.raises(ValueError, match="one device, 'cpu'"):
            call()
    with pytest.raises(AttributeError, match="one device"):
        tg.cuda.get_device_name(0)


def test_conversions():
    x = grid()
    assert x.double() is x
    assert x.float().dtype == tg.float32
    assert x.long().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.int().dtype == tg.int32
    assert x.bool().tolist() == [[False, True, True], [True, True, True]]
    assert x.to(tg.float32).dtype == x.to("cpu", tg.float32).dtype == x.to(tg.zeros(1)).dtype == x.to(dtype=tg.float32).dtype
    assert x.to(copy=True) is not x
    assert x.type() == "tapegrad.DoubleTensor"
    assert x.type("torch.FloatTensor").dtype == x.type(tg.FloatTensor).dtype == x.type_as(tg.zeros(1)).dtype == tg.float32
    y = grid(requires_grad=True)
    y.float().sum().backward()
    assert y.grad.dtype == tg.float64


def test_half_floats():
    x = grid()
    assert x.half().dtype == x.to(tg.half).dtype == x.type("torch.HalfTensor").dtype == tg.HalfTensor([1.0]).dtype == tg.float16
    assert x.bfloat16().dtype == tg.BFloat16Tensor([1.0]).dtype == tg.bfloat16
    assert isinstance(x.half(), tg.HalfTensor)
    assert x.bfloat16().T.stride() == (1, 3)
    assert not x.bfloat16().T.is_contiguous()
    assert x.bfloat16().element_size() == 2


# ---- sizes and shapes ----


def test_size_is_an_int_that_can_be_called():
    x = grid()
    assert x.size == 6
    assert isinstance(x.size, int)
    assert x.size() == (2, 3)
    assert (x.size(0), x.size(-1)) == (2, 3)
    assert x.size + 1 == 7
    assert np.zeros(x.size).shape == (6,)
    assert pickle.loads(pickle.dumps(x.size)) == 6
    assert (x.dim(), x.ndimension(), x.numel(), x.nelement(), x.element_size()) == (2, 2, 6, 6, 8)
    with pytest.raises(IndexError, match=r"size\(2\): the array has 2 axes"):
        x.size(2)


def test_shapes():
    x = grid(requires_grad=True)
    assert x.view(3, 2).shape == x.view((3, 2)).shape == (3, 2)
    assert x.view(-1).shape == x.view_as(tg.zeros(6)).shape == (6,)
    assert x.permute(1, 0).tolist() == x.permute((1, 0)).tolist() == x.t().tolist() == GRID.T.tolist()
    assert x[:1].expand(4, -1).shape == x[:1].expand_as(tg.zeros(4, 3)).shape == (4, 3)
    assert tg.ones(3).expand(2, 3).shape == (2, 3)
    assert x.T.contiguous().is_contiguous()
    assert not x.T.is_contiguous()
    assert x.contiguous() is x
    assert x.stride() == (3, 1)
    assert [c.tolist() for c in x.chunk(2, dim=1)] == [[[0, 1], [3, 4]], [[2], [5]]]
    assert x.narrow(1, 1, 2).tolist() == [[1, 2], [4, 5]]
    assert x.select(1, -1).tolist() == [2, 5]
    assert x.sum_to_size(1, 3).tolist() == [[3, 5, 7]]
    assert x.unsqueeze(0).shape == (1, 2, 3)
    x.view(6)[1:].sum().backward()
    assert x.grad.tolist() == [[0, 1, 1], [1, 1, 1]]
    with pytest.raises(tg.ShapeError, match="size -1 at axis 0, which is a new axis"):
        x.expand(-1, 2, 3)
    with pytest.raises(tg.ShapeError, match=r"write x = x\.unsqueeze"):
        x.unsqueeze_(0)
    with pytest.raises(IndexError, match="narrow"):
        x.narrow(0, 1, 2)


def test_transpose_has_one_meaning_or_raises():
    x = tg.zeros(2, 3, 4)
    assert x.transpose(1, 2).shape == x.transpose(-1, 1).shape == tg.transpose(x, 1, 2).shape == (2, 4, 3)
    assert x.transpose().shape == (4, 3, 2)
    assert x.transpose(2, 0, 1).shape == x.transpose((2, 0, 1)).shape == (4, 2, 3)
    m = grid()
    assert m.transpose(1, 0).shape == m.transpose(dim0=0, dim1=1).shape == tg.transpose(m, 0, 1).shape == (3, 2)
    with pytest.raises(ValueError, match=r"write x\.T or x\.swapaxes\(0, 1\)"):
        m.transpose(0, 1)


# ---- arithmetic, choosing ----


CALLS = {
    "sub": (lambda x: x.sub(1, alpha=2), GRID - 2),
    "mul": (lambda x: x.mul(2), GRID * 2),
    "div": (lambda x: x.div(2, rounding_mode="floor"), GRID // 2),
    "clamp": (lambda x: x.clamp(1, 4), GRID.clip(1, 4)),
    "clamp_min": (lambda x: tg.clamp(x, min=2), GRID.clip(2)),
    "rsqrt": (lambda x: (x + 1).rsqrt(), (GRID + 1) ** -0.5),
    "frac": (lambda x: (x + 0.25).frac(), np.full((2, 3), 0.25)),
    "lerp": (lambda x: x.lerp(x + 2, 0.5), GRID + 1),
    "addcmul": (lambda x: x.addcmul(x, x, value=0.5), GRID + 0.5 * GRID**2),
    "addcdiv": (lambda x: x.addcdiv(x, x + 1, value=2), GRID + 2 * GRID / (GRID + 1)),
    "mm": (lambda x: x.mm(x.T), GRID @ GRID.T),
    "mv": (lambda x: x.mv(x[0]), GRID @ GRID[0]),
    "bmm": (lambda x: tg.bmm(x[None], x.T[None])[0], GRID @ GRID.T),
    "addmm": (lambda x: tg.addmm(x[:, :2], x, x.T, beta=2, alpha=3), 2 * GRID[:, :2] + 3 * GRID @ GRID.T),
    "baddbmm": (lambda x: x[None, :, :2].baddbmm(x[None], x.T[None])[0], GRID[:, :2] + GRID @ GRID.T),
    "addr": (lambda x: x.addr(x[:, 0], x[0]), GRID + np.outer(GRID[:, 0], GRID[0])),
    "masked_select": (lambda x: x.masked_select(x > 2), GRID[GRID > 2]),
    "index_select": (lambda x: x.index_select(1, tg.tensor([2, 0])), GRID[:, [2, 0]]),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=1), np.repeat(GRID, 2, 1)),
    "where": (lambda x: x.where(x > 2, 0.0), np.where(GRID > 2, GRID, 0)),
    "scatter": (lambda x: x.scatter(1, tg.tensor([[2], [0]]), x[:, 1:2]), [[0, 1, 1], [4, 4, 5]]),
    "triu": (lambda x: tg.triu(x, diagonal=1), np.triu(GRID, 1)),
    "tril": (lambda x: x.tril(-1), np.tril(GRID, -1)),
    "neg": (lambda x: x.neg(), -GRID),
    "ger": (lambda x: tg.ger(x[0], x[1]), np.outer(GRID[0], GRID[1])),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name):
    f, expected = CALLS[name]
    np.testing.assert_allclose(f(grid()).numpy(), expected)
    x = grid(requires_grad=True)
    y = f(x)
    weights = tg.tensor(np.random.default_rng(0).normal(size=y.shape))
    (y * weights).sum().backward()
    step = 1e-6
    for place in np.ndindex(2, 3):
        up, down = GRID.copy(), GRID.copy()
        up[place] += step
        down[place] -= step
        if name in {"clamp", "clamp_min", "div", "where", "masked_select"} and GRID[place] in {1, 2, 4, 0}:
            continue  # a kink, or a step
        slope = ((f(tg.tensor(up)) - f(tg.tensor(down))) * weights).sum().item() / (2 * step)
        assert abs(x.grad[place].item() - slope) < 1e-6, place


def test_comparisons_and_questions():
    x = grid()
    assert x.eq(1).tolist() == (GRID == 1).tolist()
    assert x.ne(1).tolist() == (GRID != 1).tolist()
    assert x.lt(1).tolist() == tg.lt(x, 1).tolist() == (GRID < 1).tolist()
    assert x.ge(1).tolist() == tg.ge(x, 1).tolist() == (GRID >= 1).tolist()
    assert x.is_floating_point()
    assert not x.is_complex()
    assert tg.numel(x) == 6
    assert tg.tensor(1.0).is_nonzero()
    assert x.get_device() == -1


def test_products_check_their_axes():
    with pytest.raises(tg.ShapeError, match=r"mm: expected arrays of 2 and 2 axes, got shapes \(2, 3\) and \(3,\)"):
        grid().mm(tg.zeros(3))
    with pytest.raises(tg.ShapeError, match="two stacks of matrices"):
        tg.bmm(tg.zeros(2, 1, 1), tg.zeros(3, 1, 1))


# ---- in place ----


def test_in_place_values_views_and_gradients():
    x = grid()
    assert x.exp_() is x
    np.testing.assert_allclose(x.numpy(), np.exp(GRID))
    x.log_().clamp_(min=1).mul_(2).neg_()
    np.testing.assert_allclose(x.numpy(), -2 * GRID.clip(1))
    x[0].fill_(7).sqrt_()
    np.testing.assert_allclose(x.numpy()[0], 7**0.5)
    x.masked_fill_(x > 0, 0.5).lerp_(tg.zeros(2, 3, dtype=tg.float64), 0.5)
    assert x[0].tolist() == [0.25] * 3
    w = grid(requires_grad=True)
    y = w * 1.0
    y.exp_()
    y.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.exp(GRID))
    z = tg.zeros(3, 5).scatter_(1, tg.tensor([[0], [1], [2]]), 1.0)
    assert z.tolist() == np.eye(3, 5).tolist()
    assert tg.zeros(3, 3).fill_diagonal_(2).sum().item() == 6
    assert tg.zeros(4).index_fill_(0, tg.tensor([1, 3]), 1).tolist() == [0, 1, 0, 1]


def test_in_place_refuses_what_would_be_lost():
    with pytest.raises(tg.DTypeError, match=r"sqrt_: .* int64 cannot hold"):
        tg.arange(3).sqrt_()
    with pytest.raises(tg.GradError, match="leaf that requires gradients"):
        grid(requires_grad=True).exp_()
    with tg.no_grad():
        assert grid(requires_grad=True).zero_().sum().item() == 0


def test_random_numbers_in_place():
    tg.manual_seed(0)
    x = tg.zeros(4000)
    x.normal_(1, 2)
    assert abs(x.mean().item() - 1) < 0.2
    assert abs(x.std().item() - 2) < 0.2
    x.uniform_(-3, -2)
    assert x.min().item() >= -3
    assert x.max().item() < -2
    assert abs(x.exponential_(2).mean().item() - 0.5) < 0.05
    assert abs(x.bernoulli_(0.25).mean().item() - 0.25) < 0.05
    n = tg.zeros(100, dtype=tg.int64).random_(3, 5)
    assert set(n.tolist()) == {3, 4}
    a, b = (tg.zeros(3).normal_(generator=tg.Generator(4)) for _ in range(2))
    assert a.tolist() == b.tolist()
    p = tg.nn.Parameter(tg.zeros(3))
    p.data.normal_()
    assert p.abs().sum().item() > 0
    with pytest.raises(tg.DTypeError, match="expected a floating array"):
        n.normal_()


def test_detach_in_place():
    x = grid(requires_grad=True)
    y = (x * 2).detach_()
    assert not y.requires_grad
    assert y.is_leaf
    z = x * 1
    with pytest.raises(tg.GradError, match="view"):
        z[0].detach_()
    x.detach_()
    assert not x.requires_grad


# ---- random numbers ----


def test_random_functions():
    generator = tg.manual_seed(0)
    a = (tg.rand(2, 3), tg.randn(2), tg.randint(5, (4,)), tg.randperm(6))
    state = tg.get_rng_state()
    later = tg.randn(3)
    tg.set_rng_state(state)
    assert (tg.randn(3) == later).all()
    generator.manual_seed(0)
    b = (tg.rand(2, 3), tg.randn(2), tg.randint(5, (4,)), tg.randperm(6))
    assert all((x == y).all() for x, y in zip(a, b))
    assert tg.rand(2, requires_grad=True).requires_grad
    assert tg.randint(0, 5, (4,), dtype=tg.float32).dtype == tg.float32
    assert tg.randint_like(grid(), 3).dtype == tg.float64
    assert sorted(tg.randperm(6, generator=tg.Generator(1)).tolist()) == list(range(6))
    assert tg.normal(tg.zeros(3), tg.ones(3)).shape == tg.normal(0.0, 1.0, (3,)).shape == (3,)
    assert set(tg.bernoulli(tg.full((50,), 0.5)).tolist()) == {0, 1}
    assert tg.manual_seed(-1).initial_seed() == 2**64 - 1


def test_limits_of_dtypes():
    assert tg.finfo(tg.float64).max == tg.finfo(grid().dtype).max == np.finfo(np.float64).max
    assert tg.iinfo(tg.uint8).max == 255


def test_multinomial():
    tg.manual_seed(0)
    drawn = tg.multinomial(tg.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]]), 4000, replacement=True).numpy()
    np.testing.assert_allclose(np.bincount(drawn[0], minlength=3) / 4000, [0, 0.25, 0.75], atol=0.03)
    assert set(drawn[1]) == {0}
    assert sorted(tg.multinomial(tg.ones(5), 5).tolist()) == list(range(5))
    with pytest.raises(ValueError, match="without replacement"):
        tg.multinomial(tg.tensor([0.0, 1.0]), 2)


def test_generators_are_copied_and_pickled():
    g = tg.Generator(5)
    g.rand(3)
    copies = [copy.deepcopy(g), pickle.loads(pickle.dumps(g))]
    expected = g.rand(3).tolist()
    assert [c.rand(3).tolist() for c in copies] == [expected, expected]
    assert tg.Generator(device="cpu").manual_seed(3).initial_seed() == 3
    with pytest.raises(ValueError, match="one device"):
        tg.Generator("cuda")


# ---- hooks and modes ----


def test_post_accumulate_hooks():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.tolist())))
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    assert seen == [(True, [3, 3]), (True, [6, 6])]
    tg.autograd.grad((x * 3).sum(), x)
    assert len(seen) == 2
    handle.remove()
    (x * 3).sum().backward()
    assert len(seen) == 2
    with pytest.raises(tg.GradError, match="only leaves"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_an_optimizer_step_in_the_backward_pass():
    w = tg.tensor([1.0], requires_grad=True)
    optimizer = tg.optim.SGD([w], lr=0.1)

    def step(_):
        optimizer.step()
        optimizer.zero_grad()

    w.register_post_accumulate_grad_hook(step)
    (w * 2).sum().backward()
    assert abs(w.item() - 0.8) < 1e-6
    assert w.grad is None


def test_inference_mode():
    x = grid(requires_grad=True)
    with tg.inference_mode():
        assert tg.is_inference_mode_enabled()
        assert not (x * 2).requires_grad
    with tg.inference_mode(False):
        assert (x * 2).requires_grad
    assert not tg.inference_mode()(lambda: x * 2)().requires_grad
    assert not tg.inference_mode(lambda: x * 2)().requires_grad


# ---- one name, two meanings ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x.max(dim=1), "axis=.*argmax"),
        (lambda x: tg.min(x, dim=1, keepdim=True), "axis=.*argmin"),
        (lambda x: x.max(axis=1, keepdim=True), "keepdims="),
        (lambda x: x.std(dim=1), "correction=1"),
        (lambda x: tg.var(x, dim=0, keepdim=True), "correction=1"),
        (lambda x: x.split(2, dim=1), r"chunk\(number, dim\)"),
        (lambda x: tg.repeat(x, 2, dim=0), "tile"),
    ],
)
def test_names_that_mean_something_else_say_so(call, message):
    with pytest.raises(TypeError, match=message):
        call(grid())


def test_names_that_mean_the_same_take_both_keywords():
    x = grid()
    assert x.sum(dim=1, keepdim=True).shape == (2, 1)
    assert x.argmax(dim=1).tolist() == [2, 2]
    assert x.std(dim=1, correction=1).tolist() == [1, 1]
    assert x.softmax(dim=-1).shape == (2, 3)


def test_conjugate_transposes():
    z = tg.tensor([[1 + 2j, 3 - 1j]])
    for h in (z.H, z.mH):
        assert np.array_equal(h.numpy(), np.conj(z.numpy()).T)
    assert grid().H.shape == (3, 2)


def test_complex_results_in_place():
    z = tg.ones(2, dtype="complex64")
    assert z.addcmul_(tg.ones(2, dtype="complex128"), tg.tensor([1j, 2j])).tolist() == [1 + 1j, 1 + 2j]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.select(2, 0),
        lambda x: x.narrow(-3, 0, 1),
        lambda x: x.scatter(2, [[0]], 1.0),
        lambda x: x.index_fill_(2, [0], 1.0),
        lambda x: x.index_copy_(2, [0], 1.0),
    ],
)
def test_axes_out_of_range(call):
    with pytest.raises(_core.AxisError, match=r"axis -?\d is out of bounds for an array of 2 dimensions"):
        call(grid())


def test_the_flags_of_to_are_those_of_pytorch() -> None:
    x = tg.ones(2)
    assert x.to(tg.float32) is x
    assert x.to(tg.float32, True) is x
    for other in (x.to(tg.float32, False, True), x.to("cpu", tg.float32, False, True), x.to(x, False, True), x.to(x, copy=True)):
        other.add_(1.0)
        assert x.tolist() == [1.0, 1.0]


def test_lists_and_arrays_of_numpy_answer_questions() -> None:
    assert tg.numel([1.0, 2.0]) == 2
    assert tg.is_complex(np.ones(2, np.complex64))
    assert tg.is_floating_point(np.ones(2))
    assert tg.rand_like([[1.0, 2.0]]).shape == tg.randn_like(np.ones((1, 2))).shape == (1, 2)
    assert tg.ones(2).view_as([[1.0], [2.0]]).shape == tg.ones(1).expand_as(np.ones((2, 1))).shape == (2, 1)
