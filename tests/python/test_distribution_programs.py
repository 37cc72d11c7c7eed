"""Distributions inside of compiled functions: they are replayed, and read no elements."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from comparing import v

D = tg.distributions

CASES = {
    "Bernoulli": (lambda p: D.Bernoulli(p), [0.3], [0.0, 1.0]),
    "Bernoulli of logits": (lambda p: D.Bernoulli(logits=p), [0.3], [0.0, 1.0]),
    "Beta": (D.Beta, [2.0, 0.7], [0.3, 0.8]),
    "Binomial": (lambda p: D.Binomial(5, p), [0.3], [2.0, 5.0]),
    "Categorical": (lambda a: D.Categorical(tg.stack([a, 1.0 - a])), [0.3], [0.0, 1.0]),
    "Cauchy": (D.Cauchy, [0.1, 2.0], [0.3, -4.0]),
    "Exponential": (D.Exponential, [2.0], [0.3, 4.0]),
    "Gamma": (D.Gamma, [2.0, 1.5], [0.3, 4.0]),
    "HalfNormal": (D.HalfNormal, [2.0], [0.3, 4.0]),
    "LogNormal": (D.LogNormal, [0.2, 1.5], [0.3, 4.0]),
    "Multinomial": (lambda a: D.Multinomial(2, tg.stack([a, 1.0 - a])), [0.3], [1.0, 1.0]),
    "NegativeBinomial": (D.NegativeBinomial, [3.0, 0.4], [2.0, 5.0]),
    "Normal": (D.Normal, [0.2, 1.5], [0.3, -4.0]),
    "Pareto": (D.Pareto, [1.0, 2.0], [1.3, 4.0]),
    "Poisson": (D.Poisson, [3.0], [2.0, 5.0]),
    "StudentT": (D.StudentT, [3.0, 0.1, 2.0], [0.3, -4.0]),
    "Uniform": (D.Uniform, [0.0, 8.0], [0.3, 4.0]),
    "Weibull": (D.Weibull, [1.0, 2.0], [1.3, 4.0]),
}


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("name", CASES)
def test_densities_and_their_gradients_are_replayed(name, dtype):
    make, params, value = CASES[name]

    def gradients(x, *params):
        return tg.value_and_grad(lambda *p: make(*p).log_prob(x).sum(), argnums=tuple(range(len(params))))(*params)

    step = tg.compile(gradients)
    x = tg.tensor(value, dtype=dtype)
    for k in range(5):
        given = [tg.tensor(p * (1.0 + 0.05 * k), dtype=dtype) for p in params]
        if name == "Uniform":
            given[0] = tg.tensor(-0.1 * k, dtype=dtype)
        if name == "Pareto":
            given[0] = tg.tensor(1.0 + 0.05 * k, dtype=dtype)
        loss, got = step(x, *given)
        expected, wanted = gradients(x, *given)
        tolerance = 1e-5 if dtype == tg.float32 else 1e-12
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=tolerance)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)
    assert len(step.programs()) == 1, step.explain()


BOUNDED = ["Exponential", "Gamma", "HalfNormal", "LogNormal", "Pareto", "Bernoulli", "Poisson", "Uniform", "Beta"]


@pytest.mark.parametrize("name", BOUNDED)
def test_a_replay_checks_values_and_without_checks_they_have_no_density_outside_of_the_support(name):
    make, params, value = CASES[name]
    given, outside = [v(p) for p in params], v([value[0], -1.0])
    for checked in (True, False):
        D.Distribution.set_default_validate_args(checked)
        try:
            step = tg.compile(lambda x, *p: make(*p).log_prob(x))
            for _ in range(3):
                step(v(value), *given)
            assert step.programs(), step.explain()
            if checked:
                for f in (step, lambda x, *p: make(*p).log_prob(x)):
                    with pytest.raises(ValueError, match="a value must satisfy"):
                        f(outside, *given)
            else:
                found = step(outside, *given)
                assert np.isfinite(found[0].item())
                assert found[1].item() == -np.inf
        finally:
            D.Distribution.set_default_validate_args(True)


def test_large_shapes_after_small_ones_keep_their_digits():
    step = tg.compile(lambda a, x: D.Gamma(a, 1.0).log_prob(x))
    small, large = (tg.tensor([n], dtype=tg.float32) for n in (2.0, 1e6))
    for _ in range(3):
        step(small, small)
    assert step.programs(), step.explain()
    assert step(large, large).item() == D.Gamma(large, 1.0).log_prob(large).item()


def test_a_step_of_variational_inference_is_one_program():
    data = v([1.0, 2.0, 1.5])
    loc, log_scale = (tg.Variable(0.0, dtype=tg.float64, requires_grad=True) for _ in range(2))
    adam = tg.optim.Adam([loc, log_scale], lr=0.1)

    @tg.compile
    def step(data):
        adam.zero_grad()
        q = D.Normal(loc, tg.exp(log_scale))
        z = q.rsample((64,))
        elbo = (D.Normal(0.0, 10.0).log_prob(z) + D.Normal(z[:, None], 1.0).log_prob(data).sum(-1)).mean() + q.entropy()
        (-elbo).backward()
        adam.step()
        return elbo.detach()

    tg.manual_seed(0)
    for _ in range(300):
        step(data)
    assert len(step.programs()) == 1, step.explain()
    assert loc.item() == pytest.approx(4.5 / 3.01, abs=0.1)
    assert np.exp(log_scale.item()) == pytest.approx(3.01**-0.5, rel=0.15)


def test_modes_and_divergences_are_replayed():
    for f in (
        lambda p: D.OneHotCategorical(p).mode,
        lambda p: D.Dirichlet(10.0 * p).mode,
        lambda p: D.kl_divergence(D.Binomial(4, p), D.Binomial(4, 1.0 - p)),
    ):
        program = tg.compile(f)
        for _ in range(3):
            program(v([0.2, 0.5, 0.3]))
        assert program.programs(), program.explain()
        other = v([0.6, 0.1, 0.3])
        np.testing.assert_array_equal(program(other).numpy(), f(other).numpy())


def test_the_mode_of_a_dirichlet_with_a_class_below_one():
    # PyTorch's values. Where all are below 1 it takes the first class, which need not be the largest.
    assert D.Dirichlet(v([2.0, 3.0, 0.5])).mode.tolist() == pytest.approx([1 / 3, 2 / 3, 0.0])
    assert D.Dirichlet(v([0.5, 0.3, 2.0, 1.0])).mode.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert D.Dirichlet(v([0.5, 0.7, 0.6])).mode.tolist() == [0.0, 1.0, 0.0]
