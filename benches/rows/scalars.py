"""Small work, of which the frameworks' own cost is nearly all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .common import Peers, Row, statement


def single(p: Peers) -> Iterator[Row]:
    """One operation on one element."""
    one = p.np.ones(1, p.np.float32)
    a, b, r = p.tg.ones(1), p.tg.ones(1), p.tg.Variable([1.0], requires_grad=True)
    add = {"tapegrad": statement("a + b", a=a, b=b), "numpy": statement("a + b", a=one, b=one)}
    recorded = {"tapegrad": statement("r * b", r=r, b=b)}
    if p.torch:
        ta, tb, tr = p.torch.ones(1), p.torch.ones(1), p.torch.ones(1, requires_grad=True)
        add["torch"] = statement("a + b", a=ta, b=tb)
        recorded["torch"] = statement("r * b", r=tr, b=tb)
    if p.jax:
        add["jax"] = statement("a + b", a=p.jax.numpy.ones(1), b=p.jax.numpy.ones(1))
    if p.mlx:
        add["mlx"] = statement("eval(a + b)", eval=p.mlx.eval, a=p.mlx.ones(1), b=p.mlx.ones(1))
    yield Row("add, one element", add)
    yield Row("multiply, one element, recorded", recorded)


def chain(p: Peers, name: str, step: Callable[[Any, Any], Any], n: int) -> Row:
    """`step` applied `n` times to one element, forward and backward."""

    def imperative(x: Any) -> Callable[[], Any]:
        def run() -> None:
            x.grad = None
            y = x
            for _ in range(n):
                y = step(y, x)
            y.backward()

        return run

    one = p.np.ones(1, p.np.float32)
    forms = {"tapegrad": imperative(p.tg.Variable([1.0], requires_grad=True))}
    if p.torch:
        forms["torch"] = imperative(p.torch.ones(1, requires_grad=True))
    if p.autograd:

        def function(x: Any) -> Any:
            y = x
            for _ in range(n):
                y = step(y, x)
            return y.sum()

        gradient = p.autograd.grad(function)
        forms["autograd"] = lambda: gradient(one)
    return Row(name, forms)


def many_inputs(p: Peers, n: int) -> Row:
    """The gradients of a sum by each of its ``n`` terms."""

    def gradients(values: list[Any], grad: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> None:
            y = values[0]
            for v in values[1:]:
                y = y + v
            grad(y, values)

        return run

    forms = {"tapegrad": gradients([p.tg.Variable(1.0, requires_grad=True) for _ in range(n)], p.tg.autograd.grad)}
    if p.torch:
        forms["torch"] = gradients([p.torch.ones((), requires_grad=True) for _ in range(n)], p.torch.autograd.grad)
    return Row(f"a sum of {n} parameters and its gradients by each", forms)


def old_value(p: Peers, dead: int) -> Row:
    """A backward pass from a new value to an old one, with ``dead`` operations between that are long gone."""

    def passes(x: Any) -> Callable[[], Any]:
        old = x * 2.0
        for _ in range(dead):
            x * 1.0
        return lambda: (old * 3.0).backward(retain_graph=True)

    forms = {"tapegrad": passes(p.tg.Variable(1.0, requires_grad=True))}
    if p.torch:
        forms["torch"] = passes(p.torch.ones((), requires_grad=True))
    return Row(f"backward to a value before {dead} dead operations", forms)


def rosenbrock(p: Peers) -> Row:
    """The gradient of Rosenbrock's function of 100 variables in double precision, by slices."""

    def f(x: Any) -> Any:
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

    start = p.np.linspace(-1.0, 1.0, 100)
    x = p.tg.Variable(start, requires_grad=True)
    forms: dict[str, Callable[[], Any]] = {"tapegrad": lambda: p.tg.autograd.grad(f(x), [x])[0]}
    if p.torch:
        t = p.torch.from_numpy(start.copy()).requires_grad_()
        forms["torch"] = lambda: p.torch.autograd.grad(f(t), [t])[0]
    if p.autograd:
        gradient = p.autograd.grad(f)
        forms["autograd"] = lambda: gradient(start)
    return Row("Rosenbrock of 100 variables, float64, gradient", forms, check=True)


def bodies(p: Peers) -> Row:
    """The gradient of the energy of 16 bodies by their places, in double precision, with broadcasting."""

    def energy(x: Any, sqrt: Callable[[Any], Any]) -> Any:
        d = x[:, None, :] - x[None, :, :]
        return (1.0 / sqrt((d * d).sum(-1) + 0.01)).sum()

    start = p.np.random.default_rng(0).standard_normal((16, 3))
    x = p.tg.Variable(start, requires_grad=True)
    forms: dict[str, Callable[[], Any]] = {"tapegrad": lambda: p.tg.autograd.grad(energy(x, p.tg.sqrt), [x])[0]}
    if p.torch:
        t = p.torch.from_numpy(start.copy()).requires_grad_()
        forms["torch"] = lambda: p.torch.autograd.grad(energy(t, p.torch.sqrt), [t])[0]
    if p.autograd:
        gradient = p.autograd.grad(lambda x: energy(x, p.autograd.numpy.sqrt))
        forms["autograd"] = lambda: gradient(start)
    return Row("energy of 16 bodies, float64, gradient", forms, check=True)


def rows(p: Peers) -> Iterator[Row]:
    """Operations, chains and small physics."""
    yield from single(p)
    yield chain(p, "chain of 100 multiplications, forward and backward", lambda y, x: y * x, 100)
    yield chain(p, "chain of 200 operations with Python floats, forward and backward", lambda y, _: y * 0.999 + 0.001, 100)
    yield many_inputs(p, 3000)
    yield old_value(p, 1_000_000)
    yield rosenbrock(p)
    yield bodies(p)
