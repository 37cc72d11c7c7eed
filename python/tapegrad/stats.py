"""Densities and distribution functions under SciPy's names, with gradients: for programs that were written with ``scipy.stats``.

Each family has SciPy's shape parameters, then ``loc`` and ``scale``; called with parameters, it is frozen. Outside of the
support the density is 0. For samples with gradients, divergences and transforms see `tg.distributions`.

>>> tg.stats.norm.logpdf(0.0, loc=1.0, scale=2.0)
Variable(-1.7370857)
>>> tg.stats.gamma(2.0, scale=3.0).mean()
Variable(6.)
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from . import _core, _stats_more
from . import distributions as D
from ._core import Variable
from ._stats_more import (
    entropy,
    gaussian_kde,
    gmean,
    hmean,
    iqr,
    kurtosis,
    linregress,
    moment,
    pearsonr,
    sem,
    skew,
    variation,
    zscore,
)
from .distributions.utils import all_floating, as_floating, outside

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "bernoulli",
    "beta",
    "betabinom",
    "binom",
    "cauchy",
    "chi2",
    "dirichlet",
    "entropy",
    "expon",
    "exponnorm",
    "f",
    "gamma",
    "gaussian_kde",
    "genextreme",
    "gengamma",
    "gennorm",
    "genpareto",
    "geom",
    "gmean",
    "gumbel_l",
    "gumbel_r",
    "halfcauchy",
    "halfnorm",
    "hmean",
    "invgamma",
    "invgauss",
    "iqr",
    "johnsonsu",
    "kurtosis",
    "laplace",
    "linregress",
    "logistic",
    "lognorm",
    "loguniform",
    "lomax",
    "maxwell",
    "moment",
    "multinomial",
    "multivariate_normal",
    "nakagami",
    "nbinom",
    "norm",
    "pareto",
    "pearsonr",
    "poisson",
    "powerlaw",
    "rayleigh",
    "rice",
    "sem",
    "skew",
    "skewnorm",
    "t",
    "triang",
    "truncnorm",
    "uniform",
    "variation",
    "vonmises",
    "weibull_min",
    "wrapcauchy",
    "zipf",
    "zscore",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)


#: What the families are, for their help and the reference.
_TITLES = {
    "bernoulli": "The Bernoulli distribution: 1 with probability p, else 0",
    "beta": "The beta distribution with the shapes a and b",
    "betabinom": "The beta-binomial distribution: successes in n trials whose probability has a beta distribution",
    "binom": "The binomial distribution: successes in n trials of probability p",
    "cauchy": "The Cauchy distribution",
    "chi2": "The chi-squared distribution with df degrees of freedom",
    "dirichlet": "The Dirichlet distribution of vectors that add up to 1",
    "expon": "The exponential distribution; its mean is loc + scale",
    "exponnorm": "The sum of a normal number and an exponential one of mean K",
    "f": "The F distribution with dfn and dfd degrees of freedom",
    "gamma": "The gamma distribution with the shape a",
    "genextreme": "The generalised extreme value distribution with the shape c, of SciPy's sign",
    "gengamma": "A gamma number with the shape a to the power 1/c",
    "gennorm": "The generalised normal distribution, whose density falls as exp(-|x|^beta)",
    "genpareto": "The generalised Pareto distribution with the shape c",
    "geom": "The geometric distribution: trials up to the first success",
    "gumbel_l": "The Gumbel distribution of minima",
    "gumbel_r": "The Gumbel distribution of maxima",
    "halfcauchy": "The absolute value of a Cauchy number",
    "halfnorm": "The absolute value of a normal number",
    "invgamma": "The inverse of a gamma number with the shape a",
    "invgauss": "The inverse Gaussian (Wald) distribution with the shape mu",
    "johnsonsu": "Johnson's SU distribution: a normal number through a hyperbolic sine",
    "laplace": "The Laplace distribution",
    "logistic": "The logistic distribution",
    "lognorm": "The exponential of a normal number with the standard deviation s",
    "loguniform": "Numbers from a to b whose logarithm is uniform",
    "lomax": "The Pareto distribution with the shape c, moved to begin at 0",
    "maxwell": "The Maxwell distribution: the length of three normal numbers",
    "multinomial": "The multinomial distribution: counts of n draws from classes of probabilities p",
    "multivariate_normal": "The normal distribution of vectors",
    "nakagami": "The Nakagami distribution with the shape nu",
    "nbinom": "The negative binomial distribution: failures before n successes of probability p",
    "norm": "The normal distribution with mean loc and standard deviation scale",
    "pareto": "The Pareto distribution with the shape b",
    "poisson": "The Poisson distribution with mean mu",
    "powerlaw": "Numbers from 0 to 1 with the density a x^(a-1)",
    "rayleigh": "The Rayleigh distribution: the length of two normal numbers",
    "rice": "The Rice distribution: the length of two normal numbers around b",
    "skewnorm": "The skew normal distribution with the shape a",
    "t": "Student's t distribution with df degrees of freedom",
    "triang": "The triangular distribution from 0 to 1 with its peak at c",
    "truncnorm": "The standard normal distribution cut off at a and b",
    "uniform": "The uniform distribution from loc to loc + scale",
    "vonmises": "The von Mises distribution of angles with the concentration kappa",
    "weibull_min": "The Weibull distribution with the shape c",
    "wrapcauchy": "The Cauchy distribution wrapped around the circle, with the shape c",
    "zipf": "The Zipf distribution: k with a probability in proportion to k^(-a)",
}

#: A density or probability of each family, rounded to four decimals, for its help.
_EXAMPLES = {
    "bernoulli": ("pmf(1, 0.3)", 0.3),
    "beta": ("pdf(0.3, 2.0, 3.0)", 1.764),
    "betabinom": ("pmf(2, 5, 2.0, 3.0)", 0.2381),
    "binom": ("pmf(2, 5, 0.4)", 0.3456),
    "cauchy": ("pdf(0.5)", 0.2546),
    "chi2": ("pdf(1.0, 3.0)", 0.242),
    "dirichlet": ("pdf([0.25, 0.75], [2.0, 3.0])", 1.6875),
    "expon": ("pdf(1.0, scale=2.0)", 0.3033),
    "exponnorm": ("pdf(0.5, 1.5)", 0.2588),
    "f": ("pdf(1.0, 3.0, 4.0)", 0.3436),
    "gamma": ("pdf(1.0, 2.0, scale=3.0)", 0.0796),
    "genextreme": ("pdf(0.5, 0.2)", 0.3635),
    "gengamma": ("pdf(1.0, 2.0, 1.5)", 0.5518),
    "gennorm": ("pdf(0.5, 1.5)", 0.3889),
    "genpareto": ("pdf(1.0, 0.2)", 0.3349),
    "geom": ("pmf(2, 0.25)", 0.1875),
    "gumbel_l": ("pdf(0.5)", 0.317),
    "gumbel_r": ("pdf(0.5)", 0.3307),
    "halfcauchy": ("pdf(0.5)", 0.5093),
    "halfnorm": ("pdf(0.5)", 0.7041),
    "invgamma": ("pdf(1.0, 2.0)", 0.3679),
    "invgauss": ("pdf(1.0, 0.5)", 0.242),
    "johnsonsu": ("pdf(0.5, 1.0, 2.0)", 0.104),
    "laplace": ("pdf(0.5)", 0.3033),
    "logistic": ("pdf(0.5)", 0.235),
    "lognorm": ("pdf(1.0, 0.5)", 0.7979),
    "loguniform": ("pdf(2.0, 1.0, 10.0)", 0.2171),
    "lomax": ("pdf(1.0, 2.0)", 0.25),
    "maxwell": ("pdf(1.0)", 0.4839),
    "multinomial": ("pmf([1, 2], 3, [0.4, 0.6])", 0.432),
    "multivariate_normal": ("pdf([0.5, 0.0], [0.0, 0.0])", 0.1405),
    "nakagami": ("pdf(1.0, 2.0)", 1.0827),
    "nbinom": ("pmf(2, 3, 0.5)", 0.1875),
    "norm": ("pdf(0.5, loc=1.0, scale=2.0)", 0.1933),
    "pareto": ("pdf(2.0, 3.0)", 0.1875),
    "poisson": ("pmf(2, 1.5)", 0.251),
    "powerlaw": ("pdf(0.5, 2.0)", 1.0),
    "rayleigh": ("pdf(1.0)", 0.6065),
    "rice": ("pdf(1.0, 0.5)", 0.5692),
    "skewnorm": ("pdf(0.5, 2.0)", 0.5924),
    "t": ("pdf(0.5, 4.0)", 0.3223),
    "triang": ("pdf(0.5, 0.3)", 1.4286),
    "truncnorm": ("pdf(0.5, -1.0, 1.0)", 0.5157),
    "uniform": ("pdf(0.5, loc=0.0, scale=2.0)", 0.5),
    "vonmises": ("pdf(0.5, 2.0)", 0.4039),
    "weibull_min": ("pdf(1.0, 1.5)", 0.5518),
    "wrapcauchy": ("pdf(1.0, 0.5)", 0.1682),
    "zipf": ("pmf(2, 3.0)", 0.104),
}


def _described(family: Any, parameters: dict[str, Any]) -> None:
    """Gives a family the text and the signature that `help` and the reference show."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown = [inspect.Parameter(name, kind, default=default) for name, default in parameters.items()]
    family.__signature__ = inspect.Signature(shown)
    example, value = _EXAMPLES[family.name]
    family.__doc__ = (
        f"{_TITLES[family.name]}.\n\nPass the parameters to its methods, or call it with them once for a frozen distribution. "
        "Values and parameters are numbers or arrays, which broadcast.\n\n"
        f">>> round(tg.stats.{family.name}.{example}.item(), 4)\n{value}\n"
    )


def _arrays(*values: Any) -> list[Any]:
    """Arrays of any kind as Variables. Numbers get their dtype; those that are 0 and 1 stay numbers, which saves operations."""
    arrays = iter(all_floating(*(x for x in values if not isinstance(x, (int, float)))))
    found = [float(x) if isinstance(x, (int, float)) else next(arrays) for x in values]
    dtypes = {x.dtype for x in found if isinstance(x, Variable)}
    dtype = _core.float64 if _core.float64 in dtypes else next(iter(dtypes), None)
    return [_core.asarray(x, dtype=dtype) if isinstance(x, float) and x not in (0.0, 1.0) else x for x in found]


def _is(x: Any, value: float) -> bool:
    return isinstance(x, float) and x == value


class _Family:
    """A family of distributions: SciPy's name, the names of its shapes, and what makes the distribution of loc 0 and scale 1."""

    #: Parameters behind the shapes, with their defaults.
    _more: dict[str, float] = {}

    def __init__(self, name: str, shapes: str, make: Callable[..., Any]) -> None:
        self.name, self.shapes, self._make = name, shapes.split(), make
        self.numargs = len(self.shapes)
        _described(self, dict.fromkeys(self.shapes, inspect.Parameter.empty) | self._more)

    def _bound(self, args: tuple[Any, ...], named: dict[str, Any], x: Any = 0.0) -> list[Any]:
        """The shapes, loc and scale of a call, and x behind them."""
        names = [*self.shapes, *self._more]
        if len(args) > len(names):
            raise TypeError(f"{self.name}: takes the parameters {', '.join(names)}, got {len(args)} of them")
        values = dict(zip(names, args))
        for key, value in named.items():
            if key not in names:
                raise TypeError(f"{self.name}: there is no parameter {key!r}; it takes {', '.join(names)}")
            if key in values:
                raise TypeError(f"{self.name}: the parameter {key!r} is given twice")
            values[key] = value
        missing = [n for n in self.shapes if n not in values]
        if missing:
            raise TypeError(f"{self.name}: the parameter {missing[0]!r} is missing")
        return _arrays(*(values.get(n, self._more.get(n)) for n in names), x)

    def _standard(self, args: tuple[Any, ...], named: dict[str, Any], x: Any = 0.0) -> tuple[Any, Any, Any, Any]:
        """The distribution of loc 0 and scale 1, loc and scale, and x as an array."""
        *params, x = self._bound(args, named, x)
        *shapes, loc, scale = params if "scale" in self._more else [*params, 1.0]
        return self._make_in((x, loc, scale), *shapes), loc, scale, x

    def _make_in(self, others: tuple[Any, ...], *shapes: Any) -> Any:
        """The distribution; shapes that are numbers, and constants, get the dtype of the arrays."""
        like = next((a for a in (*shapes, *others) if isinstance(a, Variable)), None)
        if like is None:
            return self._make(*shapes, 1.0)
        one = _core.ones((), dtype=like.dtype)
        return self._make(*(one * a if isinstance(a, float) else a for a in shapes), one)

    def __call__(self, *args: Any, **named: Any) -> _Frozen:
        """The family with these parameters."""
        self._bound(args, named)
        return _Frozen(self, args, named)

    def __repr__(self) -> str:
        return f"tapegrad.stats.{self.name}"

    def _at(self, x: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
        d, loc, scale, x = self._standard(args, named, x)
        z = x if _is(loc, 0.0) else x - loc
        return d, z if _is(scale, 1.0) else z / scale, scale

    def cdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The probability up to x."""
        d, z, _ = self._at(x, args, named)
        found: Variable = d.cdf(z)
        return found

    def sf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The probability above x."""
        d, z, _ = self._at(x, args, named)
        found: Variable = d.sf(z)
        return found

    def logcdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of `cdf`."""
        d, z, _ = self._at(x, args, named)
        found: Variable = d.log_cdf(z)
        return found

    def logsf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of `sf`."""
        d, z, _ = self._at(x, args, named)
        found: Variable = d.log_sf(z)
        return found

    def ppf(self, q: Any, *args: Any, **named: Any) -> Variable:
        """The quantile, the inverse of `cdf`; NotImplementedError for families of whole numbers but `geom`, and for angles."""
        d, loc, scale, q = self._standard(args, named, q)
        found: Variable = loc + scale * d.icdf(q)
        return found

    def isf(self, q: Any, *args: Any, **named: Any) -> Variable:
        """The inverse of `sf`: the quantile of ``1 - q``."""
        return self.ppf(1.0 - (q if isinstance(q, (int, float)) else all_floating(q, *args)[0]), *args, **named)

    def median(self, *args: Any, **named: Any) -> Variable:
        """The quantile of 1/2."""
        return self.ppf(0.5, *args, **named)

    def mean(self, *args: Any, **named: Any) -> Variable:
        """The mean."""
        d, loc, scale, _ = self._standard(args, named)
        found: Variable = loc + scale * d.mean
        return found

    def var(self, *args: Any, **named: Any) -> Variable:
        """The variance."""
        d, loc, scale, _ = self._standard(args, named)
        found: Variable = scale * scale * d.variance + 0.0 * loc
        return found

    def std(self, *args: Any, **named: Any) -> Variable:
        """The standard deviation."""
        return _core.sqrt(self.var(*args, **named))

    def rvs(self, *args: Any, size: Any = None, random_state: Any = None, **named: Any) -> Variable:
        """Draws without a gradient, of shape ``size``, by default that of the parameters; ``random_state`` is a generator."""
        d, loc, scale, _ = self._standard(args, named)
        shape = (_core.zeros(d.batch_shape) + 0.0 * loc + 0.0 * scale).shape
        if size is not None:
            shape = (size,) if isinstance(size, int) else tuple(size)
        drawn = d.expand(shape).sample(generator=random_state)
        found: Variable = (loc + scale * drawn).detach()
        return found


class _Continuous(_Family):
    _more = {"loc": 0.0, "scale": 1.0}

    def logpdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of the density; -inf outside of the support."""
        d, z, scale = self._at(x, args, named)
        found: Variable = d.log_prob(z)
        return found if _is(scale, 1.0) else found - _core.log(scale)

    def pdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The density."""
        return _core.exp(self.logpdf(x, *args, **named))

    def entropy(self, *args: Any, **named: Any) -> Variable:
        """The entropy in nats."""
        d, loc, scale, _ = self._standard(args, named)
        found: Variable = d.entropy() + 0.0 * loc
        return found if _is(scale, 1.0) else found + _core.log(scale)

    def interval(self, confidence: Any, *args: Any, **named: Any) -> tuple[Variable, Variable]:
        """The ends of the central interval with this probability."""
        tail = 0.5 * (1.0 - (confidence if isinstance(confidence, (int, float)) else all_floating(confidence, *args)[0]))
        return self.ppf(tail, *args, **named), self.ppf(1.0 - tail, *args, **named)


class _LocScale(_Continuous):
    """A family whose distribution takes loc and scale itself, which saves operations."""

    def _standard(self, args: tuple[Any, ...], named: dict[str, Any], x: Any = 0.0) -> tuple[Any, Any, Any, Any]:
        *params, x = self._bound(args, named, x)
        return self._make_in((x,), *params), 0.0, 1.0, x


class _Discrete(_Family):
    _more = {"loc": 0.0}

    def logpmf(self, k: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of the probability of k; -inf for what is not a whole number in the support."""
        d, z, _ = self._at(k, args, named)
        z = z if isinstance(z, Variable) else _core.asarray(z, dtype=d._dtype())
        whole = _core.floor(z)
        return outside(z == whole, d.log_prob(whole), z)

    def pmf(self, k: Any, *args: Any, **named: Any) -> Variable:
        """The probability of k."""
        return _core.exp(self.logpmf(k, *args, **named))

    def entropy(self, *args: Any, **named: Any) -> Variable:
        """The entropy in nats."""
        d, loc, _, _ = self._standard(args, named)
        found: Variable = d.entropy() + 0.0 * loc
        return found


class _Frozen:
    """A family with its parameters: its methods take the value only."""

    def __init__(self, family: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.dist, self.args, self.kwds = family, args, named

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _METHODS or not hasattr(self.dist, name):
            raise AttributeError(f"{self.dist!r} has no attribute {name!r}")
        method, args, named = getattr(self.dist, name), self.args, self.kwds
        if name in ("mean", "var", "std", "entropy", "median", "cov"):
            return lambda: method(*args, **named)
        if name == "rvs":
            return lambda size=None, random_state=None: method(*args, size=size, random_state=random_state, **named)
        return lambda x: method(x, *args, **named)

    def __repr__(self) -> str:
        return f"{self.dist!r}{self.args}"


_METHODS = frozenset(
    [
        "pdf",
        "logpdf",
        "pmf",
        "logpmf",
        "cdf",
        "logcdf",
        "sf",
        "logsf",
        "ppf",
        "isf",
        "mean",
        "var",
        "std",
        "median",
        "entropy",
        "interval",
        "rvs",
        "cov",
    ]
)


class _Shifted(D.Distribution):
    """A discrete distribution moved by one: SciPy's geometric starts at 1."""

    def __init__(self, base: Any) -> None:
        self.base = base
        super().__init__(base.batch_shape, validate_args=False)

    arg_constraints: Any = {}

    def _dtype(self) -> Any:
        return self.base._dtype()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return _Shifted(self.base.expand(batch_shape))

    @property
    def mean(self) -> Variable:
        found: Variable = self.base.mean + 1.0
        return found

    @property
    def variance(self) -> Variable:
        found: Variable = self.base.variance
        return found

    def entropy(self) -> Variable:
        found: Variable = self.base.entropy()
        return found

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        found: Variable = self.base.sample(sample_shape, generator=generator) + 1.0
        return found

    def log_prob(self, value: Any) -> Variable:
        found: Variable = self.base.log_prob(value - 1.0)
        return found

    def cdf(self, value: Any) -> Variable:
        found: Variable = self.base.cdf(value - 1.0)
        return found

    def sf(self, value: Any) -> Variable:
        found: Variable = self.base.sf(value - 1.0)
        return found

    def log_cdf(self, value: Any) -> Variable:
        found: Variable = self.base.log_cdf(value - 1.0)
        return found

    def log_sf(self, value: Any) -> Variable:
        found: Variable = self.base.log_sf(value - 1.0)
        return found

    def icdf(self, value: Any) -> Variable:
        # The smallest k with 1 - (1 - p)^k ≥ q.
        k = _core.ceil(_core.log1p(-value) / _core.log1p(-self.base.probs) - 1e-12)
        return _core.maximum(k, 1.0)


def _free(kind: Any) -> Any:
    """A distribution of its shapes, without checks: what is outside of the support has the density 0."""
    return lambda *shapes: kind(*shapes[:-1], validate_args=False)


norm = _LocScale("norm", "", _free(D.Normal))
laplace = _LocScale("laplace", "", _free(D.Laplace))
cauchy = _LocScale("cauchy", "", _free(D.Cauchy))
logistic = _LocScale("logistic", "", _free(D.Logistic))
gumbel_r = _LocScale("gumbel_r", "", _free(D.Gumbel))
t = _LocScale("t", "df", _free(D.StudentT))
uniform = _LocScale("uniform", "", lambda loc, scale, one: D.Uniform(loc, loc + scale, validate_args=False))
expon = _Continuous("expon", "", lambda one: D.Exponential(one, validate_args=False))
gamma = _Continuous("gamma", "a", lambda a, one: D.Gamma(a, one, validate_args=False))
beta = _Continuous("beta", "a b", _free(D.Beta))
chi2 = _Continuous("chi2", "df", _free(D.Chi2))
f = _Continuous("f", "dfn dfd", _free(D.FisherSnedecor))
halfcauchy = _Continuous("halfcauchy", "", lambda one: D.HalfCauchy(one, validate_args=False))
halfnorm = _Continuous("halfnorm", "", lambda one: D.HalfNormal(one, validate_args=False))
invgamma = _Continuous("invgamma", "a", lambda a, one: D.InverseGamma(a, one, validate_args=False))
lognorm = _Continuous("lognorm", "s", lambda s, one: D.LogNormal(0.0 * s, s, validate_args=False))
pareto = _Continuous("pareto", "b", lambda b, one: D.Pareto(one, b, validate_args=False))
vonmises = _Continuous("vonmises", "kappa", lambda kappa, one: D.VonMises(0.0 * kappa, kappa, validate_args=False))
weibull_min = _Continuous("weibull_min", "c", lambda c, one: D.Weibull(one, c, validate_args=False))

bernoulli = _Discrete("bernoulli", "p", _free(D.Bernoulli))
binom = _Discrete("binom", "n p", _free(D.Binomial))
geom = _Discrete("geom", "p", lambda p, one: _Shifted(D.Geometric(p, validate_args=False)))
nbinom = _Discrete("nbinom", "n p", lambda n, p, one: D.NegativeBinomial(n, probs=1.0 - p, validate_args=False))
poisson = _Discrete("poisson", "mu", _free(D.Poisson))


def _given(name: str, kind: Any, table: dict[str, Any]) -> Any:
    """A family by its formulas."""
    shapes, formulas = table[name]
    return kind(name, shapes, _stats_more.made(formulas))


exponnorm = _given("exponnorm", _Continuous, _stats_more.CONTINUOUS)
gennorm = _given("gennorm", _Continuous, _stats_more.CONTINUOUS)
genextreme = _given("genextreme", _Continuous, _stats_more.CONTINUOUS)
gengamma = _given("gengamma", _Continuous, _stats_more.CONTINUOUS)
genpareto = _given("genpareto", _Continuous, _stats_more.CONTINUOUS)
gumbel_l = _given("gumbel_l", _Continuous, _stats_more.CONTINUOUS)
invgauss = _given("invgauss", _Continuous, _stats_more.CONTINUOUS)
johnsonsu = _given("johnsonsu", _Continuous, _stats_more.CONTINUOUS)
loguniform = _given("loguniform", _Continuous, _stats_more.CONTINUOUS)
lomax = _given("lomax", _Continuous, _stats_more.CONTINUOUS)
maxwell = _given("maxwell", _Continuous, _stats_more.CONTINUOUS)
nakagami = _given("nakagami", _Continuous, _stats_more.CONTINUOUS)
powerlaw = _given("powerlaw", _Continuous, _stats_more.CONTINUOUS)
rayleigh = _given("rayleigh", _Continuous, _stats_more.CONTINUOUS)
rice = _given("rice", _Continuous, _stats_more.CONTINUOUS)
skewnorm = _given("skewnorm", _Continuous, _stats_more.CONTINUOUS)
triang = _given("triang", _Continuous, _stats_more.CONTINUOUS)
truncnorm = _given("truncnorm", _Continuous, _stats_more.CONTINUOUS)
wrapcauchy = _given("wrapcauchy", _Continuous, _stats_more.CONTINUOUS)
betabinom = _given("betabinom", _Discrete, _stats_more.DISCRETE)
zipf = _given("zipf", _Discrete, _stats_more.DISCRETE)


class _Vectors:
    """A family of vectors, with SciPy's parameters."""

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self._make = name, make
        _described(self, {name: p.default for name, p in inspect.signature(make).parameters.items()})

    def __call__(self, *args: Any, **named: Any) -> _Frozen:
        """The family with these parameters."""
        return _Frozen(self, args, named)

    def __repr__(self) -> str:
        return f"tapegrad.stats.{self.name}"

    def mean(self, *args: Any, **named: Any) -> Variable:
        """The mean."""
        found: Variable = self._make(*args, **named).mean
        return found

    def entropy(self, *args: Any, **named: Any) -> Variable:
        """The entropy in nats."""
        found: Variable = self._make(*args, **named).entropy()
        return found

    def rvs(self, *args: Any, size: Any = (), random_state: Any = None, **named: Any) -> Variable:
        """Draws; ``size`` comes before the axes of the parameters, and ``random_state`` is a `tg.random.Generator`."""
        found: Variable = self._make(*args, **named).sample(() if size is None else size, generator=random_state)
        return found


def _made(family: Any, x: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The distribution of some parameters; numbers and lists of numbers have the digits of the arrays beside them and of x."""

    def exact(parameter: Any) -> Any:
        if not isinstance(parameter, (float, list, tuple)):
            return parameter
        return _core._together(parameter, x, *args, *named.values())[0]

    return family._make(*map(exact, args), **{k: exact(v) for k, v in named.items()})


class _Densities(_Vectors):
    def logpdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of the density; the last axis of x is that of the vectors."""
        d = _made(self, x, args, named)
        found: Variable = d.log_prob(as_floating(x, d._dtype()))
        return found

    def pdf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The density."""
        return _core.exp(self.logpdf(x, *args, **named))

    def var(self, *args: Any, **named: Any) -> Variable:
        """The variance of each component."""
        found: Variable = self._make(*args, **named).variance
        return found


class _Counts(_Vectors):
    def logpmf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The logarithm of the probability of counts; -inf where they do not add up to n, or are no whole numbers."""
        d = _made(self, x, args, named)
        x = as_floating(x, d._dtype())
        inside = _core.all(_core.floor(x) == x, axis=-1) & (_core.sum(x, axis=-1) == d.total_count)
        return outside(inside, d.log_prob(x))

    def pmf(self, x: Any, *args: Any, **named: Any) -> Variable:
        """The probability of counts."""
        return _core.exp(self.logpmf(x, *args, **named))


def _multivariate_normal(mean: Any = None, cov: Any = 1.0) -> Any:
    """SciPy's parameters: a number is a multiple of the identity, a vector a diagonal."""
    cov, *given = all_floating(cov) if mean is None else all_floating(cov, mean)
    mean = _core.atleast_1d(given[0]) if given else _core.zeros(cov.shape[-1:] or (1,), dtype=cov.dtype)
    n = mean.shape[-1]
    if cov.ndim < 2:
        cov = _core.broadcast_to(cov, (n,))[:, None] * _core.eye(n, dtype=cov.dtype)
    return D.MultivariateNormal(mean, cov, validate_args=False)


multivariate_normal = _Densities("multivariate_normal", _multivariate_normal)
dirichlet = _Densities("dirichlet", lambda alpha: D.Dirichlet(alpha, validate_args=False))
multinomial = _Counts("multinomial", lambda n, p: D.Multinomial(int(n), probs=p, validate_args=False))
