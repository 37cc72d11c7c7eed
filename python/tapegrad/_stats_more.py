"""SciPy's families that PyTorch does not have, given by formulas; and statistics of samples."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core, special
from . import distributions as D
from ._arrays import broadcast_shapes
from ._core import ShapeError, Variable
from .distributions.utils import all_floating, as_floating, outside

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "entropy",
    "gaussian_kde",
    "gmean",
    "hmean",
    "iqr",
    "kurtosis",
    "linregress",
    "moment",
    "pearsonr",
    "sem",
    "skew",
    "variation",
    "zscore",
]


class Formula(D.Distribution):
    """A distribution of loc 0 and scale 1, given by functions of a value and the shapes."""

    arg_constraints: Any = {}  # noqa: RUF012 - as in every distribution

    def __init__(self, shapes: tuple[Any, ...], formulas: dict[str, Callable[..., Any]]) -> None:
        self.shapes, self.formulas = shapes, formulas
        found = [s for s in shapes if isinstance(s, Variable)]
        super().__init__(broadcast_shapes(*(s.shape for s in found)) if found else (), validate_args=False)

    def _dtype(self) -> Any:
        return next((s.dtype for s in self.shapes if isinstance(s, Variable)), _core.get_default_dtype())

    def _of(self, name: str, *values: Any) -> Variable:
        if name not in self.formulas:
            raise NotImplementedError(f"this family does not define {name}")
        values = tuple(v if isinstance(v, Variable) else _core.asarray(v, dtype=self._dtype()) for v in values)
        found = self.formulas[name](*values, *self.shapes)
        return found if isinstance(found, Variable) else _core.asarray(found, dtype=self._dtype())

    def log_prob(self, value: Any) -> Variable:
        return self._of("log_prob", value)

    def cdf(self, value: Any) -> Variable:
        return self._of("cdf", value)

    def sf(self, value: Any) -> Variable:
        return self._of("sf", value) if "sf" in self.formulas else 1.0 - self.cdf(value)

    def log_cdf(self, value: Any) -> Variable:
        return self._of("log_cdf", value) if "log_cdf" in self.formulas else _core.log(self.cdf(value))

    def log_sf(self, value: Any) -> Variable:
        return self._of("log_sf", value) if "log_sf" in self.formulas else _core.log(self.sf(value))

    def icdf(self, value: Any) -> Variable:
        return self._of("icdf", value)

    @property
    def mean(self) -> Variable:
        return self._of("mean")

    @property
    def variance(self) -> Variable:
        return self._of("variance")

    def entropy(self) -> Variable:
        return self._of("entropy")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Formula:
        shapes = tuple(_core.broadcast_to(s, batch_shape) if isinstance(s, Variable) else s for s in self.shapes)
        grown = Formula(shapes, self.formulas)
        grown._batch_shape = tuple(batch_shape)
        return grown

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Variable:
        from . import random

        shape = (*sample_shape, *self.batch_shape)
        low, high = 1e-12, 1.0 - 1e-7
        source = random if generator is None else generator
        return self.icdf(_core.clip(source.rand(*shape).astype(self._dtype()), low, high)).detach()


def _log_phi(x: Variable) -> Variable:
    return -0.5 * x * x - 0.5 * log(2 * pi)


def _log_difference(a: Variable, b: Variable) -> Variable:
    """log(Φ(b) - Φ(a)), in the tail where it is exact."""
    flip = (a + b).detach() > 0
    low, high = _core.where(flip, -b, a), _core.where(flip, -a, b)
    top = special.log_ndtr(high)
    return top + _core.log(-_core.expm1(special.log_ndtr(low) - top))


def _truncnorm_cdf(x: Variable, a: Any, b: Any) -> Variable:
    inside = _core.clip(x, a, b)
    at_start = (inside == a).detach()
    value = _core.exp(_log_difference(a, _core.where(at_start, a + 1.0, inside)) - _log_difference(a, b))
    return _core.where(at_start, 0.0, value)


def _truncnorm_icdf(q: Variable, a: Any, b: Any) -> Variable:
    low, high = special.log_ndtr(a), special.log_ndtr(b)
    right = (a > 0).detach()
    left_way = special.ndtri_exp(_core.logaddexp(low, _core.log(q) + _log_difference(a, b)))
    right_way = -special.ndtri_exp(_core.logaddexp(special.log_ndtr(-b), _core.log1p(-q) + _log_difference(a, b)))
    return _core.clip(_core.where(right, right_way, left_way), a, b) + 0.0 * (low + high)


def _truncnorm_mean(a: Any, b: Any) -> Variable:
    size = _log_difference(a, b)
    return _core.exp(_log_phi(a) - size) - _core.exp(_log_phi(b) - size)


def _truncnorm_variance(a: Any, b: Any) -> Variable:
    size = _log_difference(a, b)
    first, last = _core.exp(_log_phi(a) - size), _core.exp(_log_phi(b) - size)
    low, high = (_core.where(_core.isfinite(v), v, 0.0) for v in (a, b))
    out: Variable = 1.0 + low * first - high * last - (first - last) ** 2
    return out


def _gennorm_cdf(x: Variable, beta: Any) -> Variable:
    half = 0.5 * special.gammaincc(1.0 / beta, _core.abs(x) ** beta)
    return _core.where(x > 0, 1.0 - half, half)


def _exponnorm_log_prob(x: Variable, k: Any) -> Variable:
    out: Variable = special.log_ndtr(x - 1.0 / k) + 0.5 / (k * k) - x / k - _core.log(k)
    return out


def _exponnorm_cdf(x: Variable, k: Any) -> Variable:
    return special.ndtr(x) - _core.exp(0.5 / (k * k) - x / k + special.log_ndtr(x - 1.0 / k))


def _triang_log_prob(x: Variable, c: Any) -> Variable:
    rising = x.detach() < c
    up = _core.where(rising, x, 0.5) / _core.where(rising, c, 1.0)
    down = (1.0 - _core.where(rising, 0.5, x)) / _core.where(rising, 1.0, _core.where(_core.asarray(c) == 1.0, 1.0, 1.0 - c))
    inside = (x >= 0) & (x <= 1)
    return outside(inside, _core.log(2.0 * _core.where(inside, _core.where(rising, up, down), 1.0)), x)


def _triang_cdf(x: Variable, c: Any) -> Variable:
    x = _core.clip(x, 0.0, 1.0)
    rising = x.detach() < c
    up = x * x / _core.where(rising, c, 1.0)
    down = 1.0 - (1.0 - x) ** 2 / _core.where(rising, 1.0, _core.where(_core.asarray(c) == 1.0, 1.0, 1.0 - c))
    return _core.where(rising, up, down)


def _within(formula: Callable[..., Any], low: float = 0.0, high: float = float("inf"), safe: float = 0.5) -> Callable[..., Any]:
    """The logarithm of a density inside of a support, -inf outside."""

    def log_prob(x: Variable, *shapes: Any) -> Variable:
        inside = (x >= low) & (x <= high)
        return outside(inside, formula(_core.where(inside, x, safe), *shapes), x)

    return log_prob


def _betabinom_log_prob(k: Variable, n: Any, a: Any, b: Any) -> Variable:
    inside = (k >= 0) & (k <= n)
    k = _core.where(inside, k, 0.0)
    choose = -_core.log1p(n) - special.betaln(n - k + 1.0, k + 1.0)
    return outside(inside, choose + special.betaln(k + a, n - k + b) - special.betaln(a, b))


def _over(c: Variable, u: Variable, x: Variable, series: tuple[float, ...], formula: Callable[[Variable], Variable]) -> Variable:
    """``formula(u) / c`` for u = c x, by a series where u is small, so that its derivative is right where c is 0, too."""
    small = _core.abs(u.detach()) < 1e-3
    total: Any = 0.0
    near = _core.where(small, u, 0.0)
    for k in reversed(series):
        total = total * near + k
    far = formula(_core.where(small, 1.0, u)) / _core.where(small, 1.0, c)
    return _core.where(small, x * total, far)


_LOG1P = (1.0, -1 / 2, 1 / 3, -1 / 4, 1 / 5, -1 / 6)
_EXPM1 = (1.0, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720)


def _pareto_way(x: Variable, c: Any) -> tuple[Variable, Variable]:
    """Where 1 + c x is positive, and ln(1 + c x) / c there, which is x where c is 0."""
    c = _core.asarray(c, dtype=x.dtype)
    inside = c * x > -1.0
    x = _core.where(inside, x, 0.0)
    return inside, _over(c, c * x, x, _LOG1P, _core.log1p)


def _pareto_back(way: Variable, c: Any) -> Variable:
    """(exp(c w) - 1) / c, which is w where c is 0."""
    c = _core.asarray(c, dtype=way.dtype)
    return _over(c, c * way, way, _EXPM1, _core.expm1)


def _genextreme_log_prob(x: Variable, c: Any) -> Variable:
    inside, way = _pareto_way(x, -c)
    return outside(inside, -way * (1.0 - c) - _core.exp(-way), x)


def _genextreme_cdf(x: Variable, c: Any) -> Variable:
    inside, way = _pareto_way(x, -c)
    return _core.where(inside, _core.exp(-_core.exp(-way)), _core.where(_core.asarray(c) > 0, 1.0, 0.0))


def _genpareto_log_prob(x: Variable, c: Any) -> Variable:
    inside, way = _pareto_way(x, c)
    return outside(inside & (x >= 0), -(1.0 + c) * way, x)


def _genpareto_sf(x: Variable, c: Any) -> Variable:
    inside, way = _pareto_way(_core.maximum(x, 0.0), c)
    return _core.where(inside, _core.exp(-way), 0.0)


def _invgauss_cdf(x: Variable, mu: Any) -> Variable:
    inside = x > 0
    x = _core.where(inside, x, 1.0)
    root = 1.0 / _core.sqrt(x)
    second = _core.exp(2.0 / mu + special.log_ndtr(-root * (x / mu + 1.0)))
    return _core.where(inside, special.ndtr(root * (x / mu - 1.0)) + second, 0.0)


#: Continuous families: name, shapes, formulas.
CONTINUOUS: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "gumbel_l": (
        "",
        {
            "log_prob": lambda x, one: x - _core.exp(x) + 0.0 * one,
            "cdf": lambda x, one: -_core.expm1(-_core.exp(x)),
            "sf": lambda x, one: _core.exp(-_core.exp(x)),
            "log_sf": lambda x, one: -_core.exp(x),
            "icdf": lambda q, one: _core.log(-_core.log1p(-q)),
            "mean": lambda one: -0.5772156649015329 * one,
            "variance": lambda one: pi**2 / 6 * one,
            "entropy": lambda one: 1.5772156649015329 * one,
        },
    ),
    "truncnorm": (
        "a b",
        {
            "log_prob": lambda x, a, b, one: outside((x >= a) & (x <= b), _log_phi(x) - _log_difference(a, b), x),
            "cdf": lambda x, a, b, one: _truncnorm_cdf(x, a, b),
            "sf": lambda x, a, b, one: _truncnorm_cdf(-x, -b, -a),
            "icdf": lambda q, a, b, one: _truncnorm_icdf(q, a, b),
            "mean": lambda a, b, one: _truncnorm_mean(a, b),
            "variance": lambda a, b, one: _truncnorm_variance(a, b),
        },
    ),
    "gennorm": (
        "beta",
        {
            "log_prob": lambda x, beta, one: _core.log(0.5 * beta) - special.gammaln(1.0 / beta) - _core.abs(x) ** beta,
            "cdf": lambda x, beta, one: _gennorm_cdf(x, beta),
            "sf": lambda x, beta, one: _gennorm_cdf(-x, beta),
            "mean": lambda beta, one: 0.0 * beta,
            "variance": lambda beta, one: _core.exp(special.gammaln(3.0 / beta) - special.gammaln(1.0 / beta)),
            "entropy": lambda beta, one: 1.0 / beta - _core.log(0.5 * beta) + special.gammaln(1.0 / beta),
        },
    ),
    "skewnorm": (
        "a",
        {
            "log_prob": lambda x, a, one: log(2.0) + _log_phi(x) + special.log_ndtr(a * x),
            "mean": lambda a, one: sqrt(2 / pi) * a / _core.sqrt(1.0 + a * a),
            "variance": lambda a, one: 1.0 - 2 / pi * a * a / (1.0 + a * a),
        },
    ),
    "exponnorm": (
        "K",
        {
            "log_prob": lambda x, k, one: _exponnorm_log_prob(x, k),
            "cdf": lambda x, k, one: _exponnorm_cdf(x, k),
            "mean": lambda k, one: k,
            "variance": lambda k, one: 1.0 + k * k,
        },
    ),
    "rayleigh": (
        "",
        {
            "log_prob": _within(lambda x, one: _core.log(x) - 0.5 * x * x),
            "cdf": lambda x, one: -_core.expm1(-0.5 * _core.maximum(x, 0.0) ** 2),
            "sf": lambda x, one: _core.exp(-0.5 * _core.maximum(x, 0.0) ** 2),
            "log_sf": lambda x, one: -0.5 * _core.maximum(x, 0.0) ** 2,
            "icdf": lambda q, one: _core.sqrt(-2.0 * _core.log1p(-q)),
            "mean": lambda one: sqrt(pi / 2) * one,
            "variance": lambda one: (4 - pi) / 2 * one,
            "entropy": lambda one: (0.5772156649015329 / 2 + 1 - 0.5 * log(2.0)) * one,
        },
    ),
    "maxwell": (
        "",
        {
            "log_prob": _within(lambda x, one: 0.5 * log(2 / pi) + 2.0 * _core.log(x) - 0.5 * x * x),
            "cdf": lambda x, one: special.gammainc(1.5 * one, 0.5 * _core.maximum(x, 0.0) ** 2),
            "sf": lambda x, one: special.gammaincc(1.5 * one, 0.5 * _core.maximum(x, 0.0) ** 2),
            "mean": lambda one: 2 * sqrt(2 / pi) * one,
            "variance": lambda one: (3 - 8 / pi) * one,
        },
    ),
    "triang": (
        "c",
        {
            "log_prob": lambda x, c, one: _triang_log_prob(x, c),
            "cdf": lambda x, c, one: _triang_cdf(x, c),
            "icdf": lambda q, c, one: _core.where(q.detach() < c, _core.sqrt(c * q), 1.0 - _core.sqrt((1.0 - c) * (1.0 - q))),
            "mean": lambda c, one: (c + 1.0) / 3.0,
            "variance": lambda c, one: (1.0 - c + c * c) / 18.0,
            "entropy": lambda c, one: (0.5 - log(2.0)) * one + 0.0 * c,
        },
    ),
    "loguniform": (
        "a b",
        {
            "log_prob": lambda x, a, b, one: outside(
                (x >= a) & (x <= b), -_core.log(_core.where((x >= a) & (x <= b), x, 1.0)) - _core.log(_core.log(b / a)), x
            ),
            "cdf": lambda x, a, b, one: _core.log(_core.clip(x, a, b) / a) / _core.log(b / a),
            "icdf": lambda q, a, b, one: a * _core.exp(q * _core.log(b / a)),
            "mean": lambda a, b, one: (b - a) / _core.log(b / a),
            "variance": lambda a, b, one: 0.5 * (b * b - a * a) / _core.log(b / a) - ((b - a) / _core.log(b / a)) ** 2,
            "entropy": lambda a, b, one: 0.5 * _core.log(a * b) + _core.log(_core.log(b / a)),
        },
    ),
    "powerlaw": (
        "a",
        {
            "log_prob": _within(lambda x, a, one: _core.log(a) + special.xlogy(a - 1.0, x), 0.0, 1.0),
            "cdf": lambda x, a, one: _core.clip(x, 0.0, 1.0) ** a,
            "icdf": lambda q, a, one: q ** (1.0 / a),
            "mean": lambda a, one: a / (a + 1.0),
            "variance": lambda a, one: a / (a + 2.0) / (a + 1.0) ** 2,
        },
    ),
    "lomax": (
        "c",
        {
            "log_prob": _within(lambda x, c, one: _core.log(c) - (c + 1.0) * _core.log1p(x)),
            "cdf": lambda x, c, one: -_core.expm1(-c * _core.log1p(_core.maximum(x, 0.0))),
            "sf": lambda x, c, one: _core.exp(-c * _core.log1p(_core.maximum(x, 0.0))),
            "icdf": lambda q, c, one: _core.expm1(-_core.log1p(-q) / c),
        },
    ),
    "wrapcauchy": (
        "c",
        {
            "log_prob": _within(
                lambda x, c, one: _core.log((1.0 - c * c) / (2 * pi)) - _core.log(1.0 + c * c - 2.0 * c * _core.cos(x)),
                0.0,
                2 * pi,
            ),
        },
    ),
}
CONTINUOUS["genextreme"] = (
    "c",
    {
        "log_prob": lambda x, c, one: _genextreme_log_prob(x, c),
        "cdf": lambda x, c, one: _genextreme_cdf(x, c),
        "icdf": lambda q, c, one: _pareto_back(-_core.log(-_core.log(q)), -c),
    },
)
CONTINUOUS["genpareto"] = (
    "c",
    {
        "log_prob": lambda x, c, one: _genpareto_log_prob(x, c),
        "cdf": lambda x, c, one: 1.0 - _genpareto_sf(x, c),
        "sf": lambda x, c, one: _genpareto_sf(x, c),
        "icdf": lambda q, c, one: _pareto_back(-_core.log1p(-q), c),
        "entropy": lambda c, one: 1.0 + c,
    },
)
CONTINUOUS["invgauss"] = (
    "mu",
    {
        "log_prob": _within(
            lambda x, mu, one: -0.5 * log(2 * pi) - 1.5 * _core.log(x) - 0.5 * ((x - mu) / mu) ** 2 / x,
            low=5e-324,
        ),
        "cdf": lambda x, mu, one: _invgauss_cdf(x, mu),
        "mean": lambda mu, one: mu,
        "variance": lambda mu, one: mu**3,
    },
)
CONTINUOUS["rice"] = (
    "b",
    {
        "log_prob": _within(
            lambda x, b, one: _core.log(x) - 0.5 * (x - b) ** 2 + _core.log(special.i0e(x * b)),
        ),
    },
)
CONTINUOUS["gengamma"] = (
    "a c",
    {
        "log_prob": _within(
            lambda x, a, c, one: _core.log(_core.abs(c)) + special.xlogy(c * a - 1.0, x) - x**c - special.gammaln(a),
            low=5e-324,
        ),
    },
)
CONTINUOUS["nakagami"] = (
    "nu",
    {
        "log_prob": _within(
            lambda x, nu, one: (
                log(2.0) + special.xlogy(nu, nu) - special.gammaln(nu) + special.xlogy(2.0 * nu - 1.0, x) - nu * x * x
            ),
        ),
        "cdf": lambda x, nu, one: special.gammainc(nu, nu * _core.maximum(x, 0.0) ** 2),
        "sf": lambda x, nu, one: special.gammaincc(nu, nu * _core.maximum(x, 0.0) ** 2),
    },
)
CONTINUOUS["johnsonsu"] = (
    "a b",
    {
        "log_prob": lambda x, a, b, one: _core.log(b) - 0.5 * _core.log1p(x * x) + _log_phi(a + b * _core.arcsinh(x)),
        "cdf": lambda x, a, b, one: special.ndtr(a + b * _core.arcsinh(x)),
        "sf": lambda x, a, b, one: special.ndtr(-a - b * _core.arcsinh(x)),
        "icdf": lambda q, a, b, one: _core.sinh((special.ndtri(q) - a) / b),
    },
)
#: Discrete families: name, shapes, formulas.
DISCRETE: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "betabinom": (
        "n a b",
        {
            "log_prob": lambda k, n, a, b, one: _betabinom_log_prob(k, n, a, b),
            "mean": lambda n, a, b, one: n * a / (a + b),
            "variance": lambda n, a, b, one: n * a * b * (a + b + n) / ((a + b) ** 2 * (a + b + 1.0)),
        },
    ),
    "zipf": (
        "a",
        {"log_prob": _within(lambda k, a, one: -a * _core.log(k) - _core.log(special.zeta(a, 1.0)), 1.0, safe=1.0)},
    ),
}


def made(formulas: dict[str, Callable[..., Any]]) -> Callable[..., Formula]:
    """A function that creates the distribution for given shapes."""
    return lambda *shapes: Formula(shapes, formulas)


# ---- statistics of samples ----


def _sample(name: str, a: Any, axis: int | None) -> tuple[Variable, int]:
    x = as_floating(a)
    if axis is None:
        return _core.reshape(x, (-1,)), 0
    if not -x.ndim <= axis < x.ndim:
        raise _core.AxisError(f"{name}: axis {axis} is out of bounds for an array of {x.ndim} dimensions")
    return x, axis


def zscore(a: Any, axis: int | None = 0, ddof: float = 0) -> Variable:
    """Samples in units of their standard deviation, from their mean.

    >>> tg.stats.zscore(tg.Variable([1.0, 3.0]))
    Variable([-1.,  1.])
    """
    x, along = _sample("zscore", a, axis)
    out = (x - _core.mean(x, axis=along, keepdims=True)) / _core.std(x, axis=along, keepdims=True, correction=ddof)
    return _core.reshape(out, as_floating(a).shape) if axis is None else out


def sem(a: Any, axis: int | None = 0, ddof: float = 1) -> Variable:
    """The standard error of the mean.

    >>> tg.stats.sem(tg.Variable([1.0, 2.0, 3.0])).round(4)
    Variable(0.5774)
    """
    x, along = _sample("sem", a, axis)
    return _core.std(x, axis=along, correction=ddof) / sqrt(max(x.shape[along], 1))


def variation(a: Any, axis: int | None = 0, ddof: float = 0) -> Variable:
    """The standard deviation over the mean.

    >>> tg.stats.variation(tg.Variable([1.0, 3.0]))
    Variable(0.5)
    """
    x, along = _sample("variation", a, axis)
    return _core.std(x, axis=along, correction=ddof) / _core.mean(x, axis=along)


def moment(a: Any, order: int = 1, axis: int | None = 0, *, center: Any = None) -> Variable:
    """The mean of a power of the deviations from ``center``, by default the mean.

    >>> tg.stats.moment(tg.Variable([1.0, 3.0]), 2)
    Variable(1.)
    """
    x, along = _sample("moment", a, axis)
    middle = _core.mean(x, axis=along, keepdims=True) if center is None else center
    return _core.mean((x - middle) ** order, axis=along)


def skew(a: Any, axis: int | None = 0, bias: bool = True) -> Variable:
    """The third moment in units of the standard deviation; without ``bias`` that of the population.

    >>> tg.stats.skew(tg.Variable([1.0, 2.0, 3.0]))
    Variable(0.)
    """
    x, along = _sample("skew", a, axis)
    out = moment(x, 3, along) / moment(x, 2, along) ** 1.5
    n = x.shape[along]
    return out if bias or n < 3 else out * (sqrt((n - 1.0) * n) / (n - 2.0))


def kurtosis(a: Any, axis: int | None = 0, fisher: bool = True, bias: bool = True) -> Variable:
    """The fourth moment in units of the variance, less 3 with ``fisher``; without ``bias`` that of the population.

    >>> tg.stats.kurtosis(tg.Variable([1.0, 3.0]))
    Variable(-2.)
    """
    x, along = _sample("kurtosis", a, axis)
    out = moment(x, 4, along) / moment(x, 2, along) ** 2
    n = x.shape[along]
    if not bias and n > 3:
        out = 3.0 + ((n * n - 1.0) * out - 3.0 * (n - 1.0) ** 2) / ((n - 2.0) * (n - 3.0))
    return out - 3.0 if fisher else out


def gmean(a: Any, axis: int | None = 0, *, weights: Any = None) -> Variable:
    """The geometric mean.

    >>> tg.stats.gmean(tg.Variable([1.0, 4.0]))
    Variable(2.)
    """
    x, along = _sample("gmean", a, axis)
    return _core.exp(_core.average(_core.log(x), axis=along, weights=weights))


def hmean(a: Any, axis: int | None = 0, *, weights: Any = None) -> Variable:
    """The harmonic mean.

    >>> tg.stats.hmean(tg.Variable([1.0, 3.0]))
    Variable(1.5)
    """
    x, along = _sample("hmean", a, axis)
    return _core.reciprocal(_core.average(1.0 / x, axis=along, weights=weights))


def entropy(pk: Any, qk: Any = None, base: float | None = None, axis: int = 0) -> Variable:
    """The entropy of probabilities, which are divided by their sum; with ``qk`` their divergence from these.

    >>> tg.stats.entropy(tg.Variable([1.0, 1.0]), base=2)
    Variable(1.)
    """
    p, *others = all_floating(pk) if qk is None else all_floating(pk, qk)
    p = p / _core.sum(p, axis=axis, keepdims=True)
    if not others:
        out = _core.sum(special.entr(p), axis=axis)
    else:
        (q,) = others
        out = _core.sum(special.rel_entr(p, q / _core.sum(q, axis=axis, keepdims=True)), axis=axis)
    return out if base is None else out / log(base)


def pearsonr(x: Any, y: Any, *, axis: int = 0) -> tuple[Variable, Variable]:
    """The correlation of two samples, and the probability of a larger one by chance: SciPy's statistic and pvalue.

    >>> tg.stats.pearsonr(tg.Variable([1.0, 2.0, 3.0]), tg.Variable([2.0, 4.0, 6.5]))[0].round(3)
    Variable(0.998)
    """
    a, b = all_floating(x, y)
    if a.shape[axis] != b.shape[axis] or a.shape[axis] < 2:
        raise ShapeError(f"pearsonr: samples of shapes {a.shape} and {b.shape}, expected as many of both, and at least 2")
    u, v = (s - _core.mean(s, axis=axis, keepdims=True) for s in (a, b))
    r = _core.sum(u * v, axis=axis) / (_core.norm(u, axis=axis) * _core.norm(v, axis=axis))
    half = 0.5 * a.shape[axis] - 1.0
    tail = special.betainc(half, half, 0.5 * (1.0 - _core.abs(r))) if half > 0 else 0.5 * _core.ones_like(r)
    return r, 2.0 * tail


def iqr(x: Any, axis: int | None = None, rng: tuple[float, float] = (25.0, 75.0), scale: Any = 1.0) -> Variable:
    """The distance of two percentiles of samples, over ``scale``, which is a number or "normal": 1.349 for normal numbers.

    >>> tg.stats.iqr([1.0, 2.0, 3.0, 4.0, 5.0])
    Variable(2.)
    """
    values, axis = _sample("iqr", x, axis)
    if isinstance(scale, str):
        if scale != "normal":
            raise ValueError(f"iqr: scale is {scale!r}, expected a number or 'normal'")
        scale = 1.3489795003921634
    low, high = (_core.percentile(values, q, axis=axis) for q in sorted(rng))
    out: Variable = (high - low) / scale
    return out


class _Line(NamedTuple):
    slope: Variable
    intercept: Variable
    rvalue: Variable
    pvalue: Variable
    stderr: Variable


class LinregressResult(_Line):
    """The line of :func:`linregress`: five results, and ``intercept_stderr``, the standard error of the intercept."""

    intercept_stderr: Variable

    @classmethod
    def of(cls, *results: Variable) -> LinregressResult:
        """The line of six results."""
        line = cls(*results[:5])
        line.intercept_stderr = results[5]
        return line


def linregress(x: Any, y: Any) -> LinregressResult:
    """The straight line through points by least squares.

    It has ``slope`` and ``intercept``, their standard errors ``stderr`` and ``intercept_stderr``, the correlation ``rvalue``, and
    ``pvalue``, the probability of a slope as far from zero by chance.

    >>> found = tg.stats.linregress([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.5])
    >>> found.slope.round(4), found.intercept.round(4)
    (Variable(2.15), Variable(0.9))
    """
    x, y = all_floating(x, y)
    if x.ndim != 1 or x.shape != y.shape or x.shape[0] < 2:
        raise ShapeError(f"linregress: x has shape {x.shape} and y {y.shape}, expected two vectors of at least two points")
    if bool(_core.all(x.detach() == x.detach()[0])):
        raise ValueError("linregress: all x are the same, so there is no line")
    n = x.shape[0]
    dx, dy = x - _core.mean(x), y - _core.mean(y)
    sxx, sxy, syy = _core.sum(dx * dx), _core.sum(dx * dy), _core.sum(dy * dy)
    slope = sxy / sxx
    intercept = _core.mean(y) - slope * _core.mean(x)
    flat = syy == 0
    # Values that are all the same have no correlation.
    r = _core.where(flat, float("nan"), sxy / _core.sqrt(sxx * _core.where(flat, 1.0, syy)))
    if n == 2:
        zero = 0.0 * slope
        return LinregressResult.of(slope, intercept, r, zero + (1.0 if bool(flat) else 0.0), zero, zero)
    rest = _core.maximum(1.0 - r * r, 0.0)
    t = r * _core.sqrt((n - 2) / (rest + 1e-20))
    square = _core.sum((dy - slope * dx) ** 2) / (n - 2) / sxx
    exact = square == 0
    stderr = _core.where(exact, 0.0, _core.sqrt(_core.where(exact, 1.0, square)))
    p = special.betainc(0.5 * (n - 2) + 0.0 * t, 0.5 + 0.0 * t, (n - 2) / (n - 2 + t * t))
    return LinregressResult.of(slope, intercept, r, p, stderr, stderr * _core.sqrt(_core.mean(x * x)))


class gaussian_kde:
    """The density of samples, in columns, as a sum of normal densities; its width by Scott's or Silverman's rule, or a factor.

    >>> float(tg.stats.gaussian_kde(tg.Variable([0.0, 1.0, 2.0]))(1.0).round(3)[0]) > 0
    True
    """

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None) -> None:
        data, *given = all_floating(dataset) if weights is None else all_floating(dataset, weights)
        self.dataset = _core.atleast_2d(data)
        self.d, self.n = self.dataset.shape
        if self.dataset.size < 2:
            raise ValueError("gaussian_kde: dataset has one element, expected several")
        weight = given[0] if given else _core.full((self.n,), 1.0 / self.n, dtype=self.dataset.dtype)
        self.weights = weight / _core.sum(weight)
        self.neff = 1.0 / _core.sum(self.weights**2)
        power = self.neff if bw_method in (None, "scott") else self.neff * (self.d + 2.0) / 4.0
        self.factor = power ** (-1.0 / (self.d + 4)) if bw_method in (None, "scott", "silverman") else bw_method
        middle = self.dataset - _core.sum(self.weights * self.dataset, axis=1, keepdims=True)
        # Unbiased, as NumPy's cov with these weights.
        cov = (self.weights * middle) @ middle.mT / (1.0 - _core.sum(self.weights**2))
        self.covariance = cov * self.factor**2

    def logpdf(self, x: Any) -> Variable:
        """The logarithm of the density at points in columns."""
        points = all_floating(x, self.dataset)[0]
        points = _core.reshape(points, (1, -1)) if points.ndim < 2 and self.d == 1 else points
        points = points[:, None] if points.ndim == 1 else points
        if points.shape[0] != self.d:
            raise ShapeError(f"gaussian_kde: points of {points.shape[0]} dimensions for data of {self.d}")
        normal = D.MultivariateNormal(_core.zeros((self.d,), dtype=self.covariance.dtype), self.covariance, validate_args=False)
        away = _core.moveaxis(points[:, :, None] - self.dataset[:, None, :], 0, -1)
        return _core.logsumexp(normal.log_prob(away) + _core.log(self.weights), axis=1)

    def evaluate(self, points: Any) -> Variable:
        """The density at points in columns."""
        return _core.exp(self.logpdf(points))

    __call__ = pdf = evaluate
