"""Probability distributions with PyTorch's names: log densities, samples, moments, divergences, all differentiable.

Densities are accurate in the tails, samples of `has_rsample` families are differentiable in the parameters, and everything
works in batches, in forward mode and under ``vmap``.

>>> d = tg.distributions.Normal(tg.Variable([0.0, 1.0]), 1.0)
>>> d.log_prob(0.0)
Variable([-0.9189385, -1.4189385])
"""

from __future__ import annotations

from sys import modules as _modules
from typing import TYPE_CHECKING, Any

from . import (
    beta,
    categorical,
    constraint_registry,
    constraints,
    counts,
    distribution,
    gamma,
    kl,
    location_scale,
    matrices,
    mixture,
    multivariate_normal,
    normal,
    relaxed,
    transformed,
    transforms,
    utils,
)
from .beta import Beta, Dirichlet, FisherSnedecor, Kumaraswamy
from .categorical import Categorical, Multinomial, OneHotCategorical, OneHotCategoricalStraightThrough
from .constraint_registry import biject_to, transform_to
from .continuous_bernoulli import ContinuousBernoulli
from .counts import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from .distribution import Distribution, ExponentialFamily
from .gamma import Chi2, Exponential, Gamma, GeneralizedPareto, InverseGamma, Pareto, Weibull
from .independent import Independent
from .kl import kl_divergence, register_kl
from .location_scale import Cauchy, Gumbel, HalfCauchy, Laplace, Logistic, StudentT, Uniform
from .matrices import LKJCholesky, Wishart
from .mixture import MixtureSameFamily
from .multivariate_normal import LowRankMultivariateNormal, MultivariateNormal
from .normal import HalfNormal, LogNormal, Normal
from .relaxed import LogitRelaxedBernoulli, RelaxedBernoulli, RelaxedOneHotCategorical
from .transformed import LogisticNormal, TransformedDistribution
from .transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LogTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from .von_mises import VonMises

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "CatTransform",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "ContinuousBernoulli",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogTransform",
    "Logistic",
    "LogisticNormal",
    "LogitRelaxedBernoulli",
    "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "constraint_registry",
    "constraints",
    "identity_transform",
    "kl",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
    "utils",
]

# PyTorch has a module for each class: imports from `distributions.bernoulli` and the like find ours.
_HOMES = {
    beta: "dirichlet fishersnedecor kumaraswamy",
    categorical: "multinomial one_hot_categorical",
    counts: "bernoulli binomial geometric negative_binomial poisson",
    distribution: "exp_family",
    gamma: "chi2 exponential generalized_pareto inverse_gamma pareto weibull",
    location_scale: "cauchy gumbel half_cauchy laplace studentT uniform",
    matrices: "lkj_cholesky wishart",
    mixture: "mixture_same_family",
    multivariate_normal: "lowrank_multivariate_normal",
    normal: "half_normal log_normal",
    relaxed: "relaxed_bernoulli relaxed_categorical",
    transformed: "logistic_normal transformed_distribution",
}
for _module, _names in _HOMES.items():
    for _name in _names.split():
        _modules[f"{__name__}.{_name}"] = _module

if not TYPE_CHECKING:
    from .._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
