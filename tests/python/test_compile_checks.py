"""Steps that check elements, or that ask for layouts, are replayed: in PyTorch's programs they stand in every training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from replaying import flat
from tapegrad import nn
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

D = tg.distributions
rng = np.random.default_rng(0)


def logits(*shape: int) -> tg.Variable:
    return tg.asarray(rng.standard_normal(shape).astype(np.float32))


def classes(count: int, *shape: int) -> tg.Variable:
    return tg.asarray(rng.integers(0, count, shape))


def same_bits(f: Callable[..., Any], draw: Callable[[], tuple[Any, ...]]) -> Any:
    """The compiled function, after replays that gave what the function gives."""
    compiled = tg.compile(f)
    for _ in range(5):
        args = draw()
        assert flat(compiled(*args)) == flat(f(*args))
    assert len(compiled.programs()) == 1, compiled.explain()
    return compiled


WEIGHT = tg.asarray(rng.random(5).astype(np.float32) + 0.5)


@pytest.mark.parametrize(
    "options", [{}, {"ignore_index": 2}, {"weight": WEIGHT}, {"weight": WEIGHT, "ignore_index": 2}, {"label_smoothing": 0.1}]
)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16])
def test_means_of_cross_entropy_have_one_gradient(options: dict[str, Any], dtype: tg.DType) -> None:
    def f(x: Any, t: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(x, t, **options)
        return loss.detach(), tg.autograd.grad(loss * 0.3, [x])[0]

    same_bits(f, lambda: (logits(6, 5).to(dtype), classes(5, 6)))


@pytest.mark.parametrize("weight", [None, tg.ones(2, dtype=tg.float16)])
def test_a_mean_of_16_bits_does_not_overflow(weight: Any) -> None:
    """The sum of the losses does: 8191 times 10."""
    x = tg.zeros(8192, 2, dtype=tg.float16)
    x[:, 0] = 10.0
    t = tg.ones(8192, dtype=tg.int64)
    t[0] = -100
    assert F.cross_entropy(x, t, weight=weight).item() == pytest.approx(10.0, rel=1e-3)


def test_contiguous_is_replayed() -> None:
    """The heads of attention as they are written by hand."""

    def attention(x: Any) -> Any:
        q, k, v = (p.view(2, 5, 2, 4).transpose(1, 2) for p in x.chunk(3, dim=2))
        y = ((q @ k.transpose(-2, -1)) * 0.5).softmax(dim=-1) @ v
        assert not y.transpose(1, 2).is_contiguous()
        assert x.stride(0) == 5 * 24
        return y.transpose(1, 2).contiguous().view(2, 5, 8)

    same_bits(lambda x: tg.grad(lambda x: attention(x).sin().sum())(x), lambda: (logits(2, 5, 24),))


def test_contiguous_inside_of_transformations() -> None:
    x = logits(3, 2, 4)

    def turned(a: Any) -> Any:
        assert not a.t().is_contiguous()
        assert a.t().stride() == (1, 4)
        return a.t().contiguous().view(-1).sin()

    expected = tg.stack([turned(a) for a in x])
    assert (tg.vmap(turned)(x) == expected).all()
    y, tangent = tg.jvp(turned, (x[0],), (tg.ones_like(x[0]),))
    assert (y == expected[0]).all()
    assert tg.allclose(tangent, x[0].t().reshape(-1).cos())


@pytest.mark.parametrize(
    ("density", "draw"),
    [
        (lambda x, y: D.Normal(x, y.exp()).log_prob(y), lambda: (logits(4, 3), logits(4, 3))),
        (lambda x, y: D.Normal(x, y.exp()).entropy(), lambda: (logits(4, 3), logits(4, 3))),
        (lambda x, y: D.Independent(D.Normal(x, 1.0), 1).log_prob(y), lambda: (logits(4, 3), logits(4, 3))),
        (lambda x, y: D.Categorical(logits=x).log_prob(y), lambda: (logits(4, 3), classes(3, 4))),
        (lambda x, y: D.Categorical(probs=x.softmax(-1)).entropy() + y, lambda: (logits(4, 3), classes(3, 4))),
        (lambda x, y: D.Bernoulli(logits=x).log_prob((y > 0).float()), lambda: (logits(4, 3), logits(4, 3))),
    ],
)
def test_distributions_in_a_step(density: Callable[..., Any], draw: Callable[[], tuple[Any, ...]]) -> None:
    same_bits(density, draw)


@pytest.mark.parametrize(
    ("f", "good", "bad", "says"),
    [
        (lambda x, s: D.Normal(x, s).log_prob(x), (logits(3), tg.ones(3)), (logits(3), tg.tensor([1.0, -1.0, 1.0])), "scale"),
        (
            lambda x, i: D.Categorical(logits=x).log_prob(i),
            (logits(2, 3), classes(3, 2)),
            (logits(2, 3), tg.tensor([0, 7])),
            "a value",
        ),
        (
            lambda x, v: F.gaussian_nll_loss(x, x * 2, v),
            (logits(3), tg.ones(3)),
            (logits(3), tg.tensor([1.0, -2.0, 1.0])),
            "-2.0",
        ),
        (lambda x, i: F.multi_margin_loss(x, i), (logits(2, 3), classes(3, 2)), (logits(2, 3), tg.tensor([0, 7])), "target 7"),
        (lambda x, i: x * F.one_hot(i, 3), (logits(2, 3), classes(3, 2)), (logits(2, 3), tg.tensor([0, 7])), "7 is not a class"),
    ],
)
def test_a_program_refuses_what_the_function_refuses(
    f: Callable[..., Any], good: tuple[Any, ...], bad: tuple[Any, ...], says: str
) -> None:
    compiled = same_bits(f, lambda: good)
    for g in (f, compiled):
        with pytest.raises(ValueError, match=says):
            g(*bad)
    assert flat(compiled(*good)) == flat(f(*good))


def test_a_step_that_is_refused_changes_nothing() -> None:
    model = nn.Linear(3, 2)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any, action: Any) -> Any:
        loss = -D.Categorical(logits=model(x)).log_prob(action).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(4):
        step(logits(4, 3), classes(2, 4))
    assert len(step.programs()) == 1, step.explain()
    before = model.weight.tolist()
    with pytest.raises(ValueError, match="Categorical: a value"):
        step(logits(4, 3), classes(2, 4) + 2)
    assert model.weight.tolist() == before


def test_one_hot_of_the_largest_class_asks_for_it() -> None:
    compiled = tg.compile(lambda i: F.one_hot(i))
    for _ in range(3):
        assert compiled(tg.tensor([0, 2])).shape == (2, 3)
    assert not compiled.programs()
    assert compiled(tg.tensor([0, 5])).shape == (2, 6)
