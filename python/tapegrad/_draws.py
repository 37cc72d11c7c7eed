"""Draws from the usual families, with NumPy's names and arguments, for ``tapegrad.random``.

Parameters may be numbers or arrays, which broadcast; ``size`` is the shape of the result, by default that of the parameters. No
gradient flows to the parameters: `tg.distributions` has samples that are differentiable.
`_generator.DRAWS` lists the public names.
"""

from __future__ import annotations

import math
from typing import Any

from . import _core, _sampling
from ._core import Generator, Variable
from ._dtypes import finfo
from ._generator import source


class _Call:
    """Parameters of a draw as arrays of one dtype, and the shape of the result."""

    def __init__(self, name: str, size: Any, dtype: Any, generator: Generator | None, **params: Any) -> None:
        self.name, self.generator, self.source = name, generator, source(generator)
        arrays = {k: x if isinstance(x, Variable) else _core.asarray(x) for k, x in params.items()}
        floating = [a.dtype for k, a in arrays.items() if a.dtype.is_floating_point and not isinstance(params[k], (int, float))]
        for key, a in arrays.items():
            if not (a.dtype.is_floating_point or a.dtype.kind in "biu"):
                raise _core.DTypeError(f"{name}: the parameter {key} must be real, got {a.dtype}")
        self.dtype = _core.DType(dtype) if dtype is not None else floating[0] if floating else _core.get_default_dtype()
        wide = self.dtype if self.dtype.is_floating_point else _core.float64
        self.params = {k: a.detach().astype(wide) for k, a in arrays.items()}
        shape = tuple(_core.broadcast_arrays(*self.params.values())[0].shape) if params else ()
        self.shape = shape if size is None else _sizes(name, size)
        if size is not None:
            self._check_fits(shape)

    def _check_fits(self, shape: tuple[int, ...]) -> None:
        from ._arrays import broadcast_shapes

        try:
            fits = broadcast_shapes(shape, self.shape) == self.shape
        except ValueError:
            fits = False
        if not fits:
            raise _core.ShapeError(f"{self.name}: parameters of shape {shape} do not broadcast to the size {self.shape}")

    def require(self, key: str, what: str, check: Any) -> None:
        """Raises for a parameter that is out of range, and for NaN."""
        x = _core._innermost(self.params[key])
        valid = check(x)
        if not bool(_core.all(valid)):
            bad = x.numpy()[~valid.numpy()].ravel()[0]
            raise ValueError(f"{self.name}: the parameter {key} must be {what}, got {bad}")

    def positive(self, *keys: str) -> None:
        for key in keys:
            self.require(key, "positive", lambda x: x > 0)

    def uniform(self) -> Variable:
        """Uniform in the open interval (0, 1)."""
        u = self.source.rand(*self.shape or ((),), dtype=self.dtype)
        info = finfo(self.dtype)
        return _core.clip(u, float(info.smallest_normal), 1.0 - float(info.eps) / 2)

    def draw(self, sampler: Any, *keys: str, dtype: Any = None) -> Variable:
        values = [self.params[k] for k in keys]
        return _sampling.draw(sampler, self.shape, values, self.dtype if dtype is None else dtype, self.generator)


def _sizes(name: str, size: Any) -> tuple[int, ...]:
    sizes = (size,) if isinstance(size, int) else tuple(int(n) for n in size)
    if any(n < 0 for n in sizes):
        raise ValueError(f"{name}: sizes must not be negative, got {size}")
    return sizes


def random(size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Uniform in [0, 1), as NumPy's.

    >>> tg.random.random((2, 3)).shape
    (2, 3)
    """
    shape = () if size is None else _sizes("random", size)
    found: Variable = source(generator).rand(*shape or ((),), dtype=dtype)
    return found


def standard_normal(size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Normal with mean 0 and standard deviation 1.

    >>> tg.random.standard_normal(3).shape
    (3,)
    """
    shape = () if size is None else _sizes("standard_normal", size)
    found: Variable = source(generator).randn(*shape or ((),), dtype=dtype)
    return found


def standard_exponential(size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Exponential with mean 1.

    >>> tg.random.standard_exponential(3).shape
    (3,)
    """
    return exponential(1.0, () if size is None else size, dtype, generator=generator)


def exponential(scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Exponential with mean ``scale``.

    >>> tg.random.exponential(2.0, size=3).shape
    (3,)
    """
    call = _Call("exponential", size, dtype, generator, scale=scale)
    call.require("scale", "nonnegative", lambda x: x >= 0)
    return -call.params["scale"] * _core.log1p(-call.uniform())


def laplace(
    loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Laplace (double exponential) about ``loc``.

    >>> tg.random.laplace(0.0, tg.ones((3,))).shape
    (3,)
    """
    call = _Call("laplace", size, dtype, generator, loc=loc, scale=scale)
    call.require("scale", "nonnegative", lambda x: x >= 0)
    u = call.uniform()
    low = u < 0.5
    tail = _core.log(2.0 * _core.where(low, u, 1.0 - u))
    return call.params["loc"] + call.params["scale"] * _core.where(low, tail, -tail)


def logistic(
    loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Logistic about ``loc``.

    >>> tg.random.logistic(size=3).shape
    (3,)
    """
    call = _Call("logistic", size, dtype, generator, loc=loc, scale=scale)
    call.require("scale", "nonnegative", lambda x: x >= 0)
    u = call.uniform()
    return call.params["loc"] + call.params["scale"] * (_core.log(u) - _core.log1p(-u))


def gumbel(
    loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Gumbel, the limit distribution of maxima.

    >>> tg.random.gumbel(size=3).shape
    (3,)
    """
    call = _Call("gumbel", size, dtype, generator, loc=loc, scale=scale)
    call.require("scale", "nonnegative", lambda x: x >= 0)
    return call.params["loc"] - call.params["scale"] * _core.log(-_core.log(call.uniform()))


def cauchy(
    loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Cauchy about ``loc``.

    >>> tg.random.cauchy(size=3).shape
    (3,)
    """
    call = _Call("cauchy", size, dtype, generator, loc=loc, scale=scale)
    call.require("scale", "nonnegative", lambda x: x >= 0)
    return call.params["loc"] + call.params["scale"] * _core.tan(math.pi * (call.uniform() - 0.5))


def standard_cauchy(size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Cauchy about 0 with scale 1.

    >>> tg.random.standard_cauchy(3).shape
    (3,)
    """
    return cauchy(size=() if size is None else size, dtype=dtype, generator=generator)


def lognormal(
    mean: Any = 0.0, sigma: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """exp of a normal number with this mean and standard deviation.

    >>> tg.random.lognormal(size=3).shape
    (3,)
    """
    call = _Call("lognormal", size, dtype, generator, mean=mean, sigma=sigma)
    call.require("sigma", "nonnegative", lambda x: x >= 0)
    noise = call.source.randn(*call.shape or ((),), dtype=call.dtype)
    return _core.exp(call.params["mean"] + call.params["sigma"] * noise)


def weibull(a: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Weibull with shape ``a`` and scale 1.

    >>> tg.random.weibull(2.0, size=3).shape
    (3,)
    """
    call = _Call("weibull", size, dtype, generator, a=a)
    call.positive("a")
    return (-_core.log1p(-call.uniform())) ** (1.0 / call.params["a"])


def standard_gamma(shape: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Gamma with this shape and scale 1.

    >>> tg.random.standard_gamma(2.0, size=3).shape
    (3,)
    """
    call = _Call("standard_gamma", size, dtype, generator, shape=shape)
    call.positive("shape")
    return call.draw(_sampling.gamma, "shape")


def gamma(shape: Any, scale: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Gamma with this shape and scale. For small shapes it is drawn in logarithms, so that it seldom underflows.

    >>> tg.random.gamma(tg.Variable([0.5, 2.0]), 3.0).shape
    (2,)
    """
    call = _Call("gamma", size, dtype, generator, shape=shape, scale=scale)
    call.positive("shape")
    call.require("scale", "nonnegative", lambda x: x >= 0)
    return call.draw(_sampling.gamma, "shape") * call.params["scale"]


def chisquare(df: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Chi-square with ``df`` degrees of freedom.

    >>> tg.random.chisquare(3.0, size=3).shape
    (3,)
    """
    call = _Call("chisquare", size, dtype, generator, df=df)
    call.positive("df")
    call.params["half"] = 0.5 * call.params["df"]
    return 2.0 * call.draw(_sampling.gamma, "half")


def standard_t(df: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Any:
    """Student's t with ``df`` degrees of freedom.

    >>> tg.random.standard_t(3.0, size=3).shape
    (3,)
    """
    call = _Call("standard_t", size, dtype, generator, df=df)
    call.positive("df")
    call.params["half"] = 0.5 * call.params["df"]
    noise = call.source.randn(*call.shape or ((),), dtype=call.dtype)
    return noise * _core.rsqrt(call.draw(_sampling.gamma, "half") / call.params["half"])


def beta(a: Any, b: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Beta with these shapes. For small shapes it is drawn in logarithms, so that it reaches both ends.

    >>> tg.random.beta(2.0, 3.0, size=3).shape
    (3,)
    """
    call = _Call("beta", size, dtype, generator, a=a, b=b)
    call.positive("a", "b")
    return call.draw(_sampling.beta, "a", "b")


def dirichlet(alpha: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Dirichlet with concentrations along the last axis; ``size`` comes before the axes of ``alpha``.

    >>> tg.random.dirichlet([1.0, 2.0, 3.0], size=4).shape
    (4, 3)
    """
    call = _Call("dirichlet", None, dtype, generator, alpha=alpha)
    call.positive("alpha")
    if not call.shape:
        raise ValueError("dirichlet: alpha must have one axis at least, the classes; got a number")
    call.shape = (() if size is None else _sizes("dirichlet", size)) + call.shape
    return call.draw(_sampling.dirichlet, "alpha")


def vonmises(
    mu: Any = 0.0, kappa: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Von Mises angles about ``mu``, in [-π, π).

    >>> tg.random.vonmises(0.0, 4.0, size=3).shape
    (3,)
    """
    call = _Call("vonmises", size, dtype, generator, mu=mu, kappa=kappa)
    call.require("kappa", "nonnegative", lambda x: x >= 0)
    return _core.remainder(call.draw(_sampling.von_mises, "kappa") + call.params["mu"] + math.pi, 2 * math.pi) - math.pi


def _probability(x: Variable) -> Variable:
    found: Variable = (x >= 0) & (x <= 1)
    return found


def poisson(lam: Any = 1.0, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """Poisson counts with mean ``lam``; int64 unless another dtype is asked for.

    >>> tg.random.poisson(4.0, size=3).dtype == tg.int64
    True
    """
    call = _Call("poisson", size, _core.float64, generator, lam=lam)
    call.require("lam", "nonnegative and below 9e18", lambda x: (x >= 0) & (x < 9e18))
    return call.draw(_sampling.poisson, "lam", dtype=dtype or _core.int64)


def binomial(n: Any, p: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """The number of successes in ``n`` trials; int64 unless another dtype is asked for.

    >>> tg.random.binomial(10, 0.5, size=3).shape
    (3,)
    """
    call = _Call("binomial", size, _core.float64, generator, n=n, p=p)
    call.require("n", "a whole number from 0 to 9e18", lambda x: (x >= 0) & (x < 9e18) & (_core.floor(x) == x))
    call.require("p", "a probability", _probability)
    return call.draw(_sampling.binomial, "n", "p", dtype=dtype or _core.int64)


def negative_binomial(n: Any, p: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """The number of failures before ``n`` successes, each with probability ``p``; int64 unless another dtype is asked for.

    >>> tg.random.negative_binomial(3, 0.5, size=3).shape
    (3,)
    """
    call = _Call("negative_binomial", size, _core.float64, generator, n=n, p=p)
    call.positive("n")
    call.require("p", "a probability above 0", lambda x: (x > 0) & (x <= 1))
    call.params["odds"] = (1.0 - call.params["p"]) / call.params["p"]
    return call.draw(_sampling.negative_binomial, "n", "odds", dtype=dtype or _core.int64)


def geometric(p: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """The number of trials up to the first success, from 1 on, as NumPy's; int64 unless another dtype is asked for.

    >>> bool((tg.random.geometric(0.5, size=10) >= 1).all())
    True
    """
    call = _Call("geometric", size, _core.float64, generator, p=p)
    call.require("p", "a probability above 0", lambda x: (x > 0) & (x <= 1))
    trials = _core.floor(_core.log(call.uniform()) / _core.log1p(-call.params["p"])) + 1.0
    return _core.minimum(trials, 9.2e18).astype(dtype or _core.int64)


def categorical(
    logits: Any = None, size: Any = None, *, probs: Any = None, axis: int = -1, generator: Generator | None = None
) -> Variable:
    """Class numbers, from logarithms of weights or from weights (``probs``), along an axis.

    ``size`` is the shape of the result; it must fit the other axes, and is their shape by default.

    >>> tg.random.categorical(probs=[0.0, 1.0], size=3)
    Variable([1, 1, 1])
    """
    if (logits is None) == (probs is None):
        raise ValueError(f"categorical: expected one of logits and probs, got {'none' if probs is None else 'both'}")
    call = _Call("categorical", None, _core.float64, generator, weights=probs if logits is None else logits)
    if not call.shape:
        raise ValueError("categorical: weights must have one axis at least, the classes; got a number")
    w = _core.moveaxis(call.params["weights"], axis, -1)
    if logits is not None:
        w = _core.softmax(w, axis=-1)
    call.params["weights"] = w
    call.require("weights", "nonnegative and finite", lambda x: (x >= 0) & (x < float("inf")))
    call.params["total"] = _core.sum(w, axis=-1)
    call.require("total", "positive: a row of weights adds up to 0", lambda x: x > 0)
    call.shape = tuple(w.shape[:-1])
    if size is not None:
        own, call.shape = call.shape, _sizes("categorical", size)
        call._check_fits(own)
    return call.draw(_sampling.categorical, "weights", dtype=_core.int64)


def multinomial(n: Any, pvals: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None) -> Variable:
    """How often each class was drawn in ``n`` draws, from probabilities along the last axis.

    `tg.multinomial` is PyTorch's function of this name, which draws class numbers.

    >>> tg.random.multinomial(5, [0.0, 1.0])
    Variable([0, 5])
    """
    call = _Call("multinomial", None, _core.float64, generator, pvals=pvals)
    call.require("pvals", "probabilities", _probability)
    if not call.shape:
        raise ValueError("multinomial: pvals must have one axis at least, the classes; got a number")
    call.params["total"] = _core.sum(call.params["pvals"], axis=-1)
    call.require("total", "1: probabilities add up to 1", lambda x: _core.abs(x - 1.0) < 1e-6)
    counts = _Call("multinomial", None, _core.float64, generator, n=n)
    counts.require("n", "a whole number from 0 to 9e18", lambda x: (x >= 0) & (x < 9e18) & (_core.floor(x) == x))
    own = tuple(_core.broadcast_arrays(counts.params["n"], call.params["total"])[0].shape)
    lead = own if size is None else _sizes("multinomial", size)
    call.shape = lead
    call._check_fits(own)
    call.shape = (*lead, call.params["pvals"].shape[-1])
    call.params["n"] = counts.params["n"]
    return call.draw(_sampling.multinomial, "n", "pvals", dtype=dtype or _core.int64)


def multivariate_normal(
    mean: Any, cov: Any, size: Any = None, dtype: Any = None, *, generator: Generator | None = None
) -> Variable:
    """Normal vectors with this mean and covariance, which must be positive definite.

    >>> tg.random.multivariate_normal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], size=4).shape
    (4, 2)
    """
    from .distributions import MultivariateNormal

    found = MultivariateNormal(mean, cov).sample(() if size is None else _sizes("multivariate_normal", size), generator=generator)
    return found if dtype is None else found.astype(dtype)


def _order(n: Any, generator: Generator | None) -> Variable:
    """The numbers 0 to n - 1 in random order."""
    from ._generator import permutation_of_numbers

    return _core.permutation(n) if source(generator) is _core else permutation_of_numbers(generator, n)


def permutation(x: Any, axis: int = 0, *, generator: Generator | None = None) -> Variable:
    """The numbers 0 to n - 1 in random order for an int n; else the slices of an array along an axis in random order.

    >>> sorted(tg.random.permutation(4).tolist())
    [0, 1, 2, 3]
    >>> tg.random.permutation(tg.ones((3, 2))).shape
    (3, 2)
    """
    if not isinstance(x, (Variable, list, tuple)) and not getattr(x, "shape", ()):
        return _order(x, generator)
    x = _core.asarray(x)
    return _core.take(x, _order(x.shape[axis], generator), axis=axis)


def shuffle(x: Any, *, generator: Generator | None = None) -> None:
    """Puts the slices of a Variable, an array or a list along the first axis in random order, in place.

    >>> x = tg.arange(4)
    >>> tg.random.shuffle(x)
    >>> sorted(x.tolist())
    [0, 1, 2, 3]
    """
    if isinstance(x, (tuple, str, range)):
        raise TypeError(f"shuffle: a {type(x).__name__} cannot change in place; pass an array or a list, or take permutation(x)")
    order = _order(len(x), generator)
    if isinstance(x, list):
        x[:] = [x[i] for i in order.tolist()]
    elif isinstance(x, Variable):
        x[...] = _core.take(x, order, axis=0)
    else:
        x[...] = x[order.numpy()]


def choice(
    a: Any,
    size: Any = None,
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    *,
    generator: Generator | None = None,
) -> Variable:
    """Elements drawn from an array along an axis, or from the numbers 0 to a - 1.

    ``p`` are their probabilities; without ``replace`` no element is drawn twice.

    >>> tg.random.choice([10, 20], size=3, p=[0.0, 1.0])
    Variable([20, 20, 20])
    >>> sorted(tg.random.choice(3, size=3, replace=False).tolist())
    [0, 1, 2]
    """
    numbers = isinstance(a, int) or (not isinstance(a, (list, tuple)) and not getattr(a, "shape", ()))
    pool = None if numbers else _core.asarray(a)
    if isinstance(a, float):
        raise TypeError(f"choice: expected an int or an array to draw from, got {a}")
    n = int(a) if pool is None else pool.shape[axis]
    shape = () if size is None else _sizes("choice", size)
    count = math.prod(shape)
    if n <= 0 and count:
        raise ValueError(f"choice: there is nothing to draw from, got {'a = ' + str(a) if numbers else f'an axis of size {n}'}")
    if p is not None and tuple(_core.asarray(p).shape) != (n,):
        raise _core.ShapeError(
            f"choice: p must have the shape ({n},), one probability for each element, got {_core.asarray(p).shape}"
        )
    if p is not None:
        _adds_up(_core.asarray(p))
    if not replace:
        at = _without_replacement(n, count, p, generator).reshape(shape)
    elif p is not None:
        at = categorical(probs=p, size=shape, generator=generator)
    else:
        at = source(generator).randint(0, max(n, 1), shape)
    return at if pool is None else _core.take(pool, at, axis=axis)


def _adds_up(p: Variable) -> None:
    """Checks that probabilities add up to 1, within the square root of the precision of their dtype, as NumPy does."""
    total = _sampling.data(p.astype(_core.float64)).sum(-1)
    allowed = math.sqrt(finfo(p.dtype).eps) if p.dtype.is_floating_point else 0.0
    if (abs(total - 1.0) > allowed).any():
        raise ValueError(f"choice: the probabilities p add up to {total.round(6)}, expected 1; divide them by their sum")


def _without_replacement(n: int, count: int, p: Any, generator: Generator | None) -> Variable:
    """The first numbers of a random order; with probabilities by exponential clocks (Efraimidis & Spirakis 2006)."""
    usable = n
    if p is not None:
        p = _core.asarray(p).astype(_core.float64)
        _Call("choice", None, None, None, p=p).require("p", "nonnegative", lambda x: x >= 0)
        usable = int(_core.count_nonzero(p).item())
    if count > usable:
        raise ValueError(f"choice: {count} elements without replacement, but there are {usable} to draw from; use replace=True")
    if p is None:
        return _order(n, generator)[:count]
    clocks = -_core.log1p(-source(generator).rand(n, dtype=_core.float64)) / p
    return _core.argsort(_core.where(p > 0, clocks, float("inf")))[:count]
