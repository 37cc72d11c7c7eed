"""Kernels on whole arrays: elementwise, reductions, products, random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from operator import add, matmul
from typing import Any

from .common import Peers, Row, from_arrays, with_gradients


def elementwise(p: Peers, normal: Any) -> Iterator[Row]:
    """Arithmetic that memory limits, and functions that arithmetic limits."""
    for n in (1_000, 100_000, 1_000_000, 10_000_000):
        x = normal(n)
        yield from_arrays(p, f"add, {n:,}", [x, x], add, numpy=add, torch=add, jax=add)
    x = normal(1_000_000)
    scale = lambda a: a * 2.5  # noqa: E731 - one text for four frameworks
    yield from_arrays(p, "multiply by a number, 1,000,000", [x], scale, numpy=scale, torch=scale, jax=scale)
    square, line = normal(1024, 1024), normal(1024)
    yield from_arrays(p, "add a row, 1024 squared", [square, line], add, numpy=add, torch=add, jax=add)
    column = normal(1024, 1)
    yield from_arrays(p, "add a column, 1024 squared", [square, column], add, numpy=add, torch=add, jax=add)
    turned = lambda a, b: a + b.T  # noqa: E731
    yield from_arrays(p, "a + b.T, 1024 squared", [square, square], turned, numpy=turned, torch=turned, jax=turned)
    x, y = normal(1_000_000), normal(1_000_000)
    yield from_arrays(
        p,
        "where, 1,000,000",
        [x > 0, x, y],
        p.tg.where,
        numpy=p.np.where,
        torch=p.torch and p.torch.where,
        jax=p.jax and p.jax.numpy.where,
    )
    x = normal(100_000)
    for name in ("exp", "log", "sigmoid", "tanh", "gelu", "sin", "cos"):
        y = abs(x) + 0.1 if name == "log" else x
        home = p.torch and (p.torch.nn.functional if name == "gelu" else p.torch)
        jaxs = p.jax and (getattr(p.jax.nn, name, None) or getattr(p.jax.numpy, name))
        if name == "gelu" and p.jax:
            jaxs = lambda a: p.jax.nn.gelu(a, approximate=False)  # noqa: E731
        yield from_arrays(
            p,
            f"{name}, 100,000",
            [y],
            getattr(p.tg, name),
            numpy=getattr(p.np, name, None),
            torch=home and getattr(home, name),
            jax=jaxs,
        )


def reductions(p: Peers, normal: Any) -> Iterator[Row]:
    """Sums and their kin along several axes; the softmax family."""
    total = lambda a: a.sum()  # noqa: E731
    for n in (100_000, 1_000_000):
        yield from_arrays(p, f"sum, {n:,}", [normal(n)], total, numpy=total, torch=total, jax=total)
    square = normal(1024, 1024)
    for axis in (0, 1):
        along = lambda a, axis=axis: a.sum(axis)  # noqa: E731
        yield from_arrays(p, f"sum over axis {axis}, 1024 squared", [square], along, numpy=along, torch=along, jax=along)
    yield from_arrays(
        p,
        "max, 1,000,000",
        [normal(1_000_000)],
        lambda a: a.max(),
        numpy=lambda a: a.max(),
        torch=lambda a: a.max(),
        jax=lambda a: a.max(),
    )
    yield from_arrays(
        p,
        "variance over axis 1, 1024 squared",
        [square],
        lambda a: a.var(1),
        numpy=lambda a: a.var(1),
        torch=lambda a: a.var(1, correction=0),
        jax=lambda a: a.var(1),
    )
    wide = normal(4096, 1000)
    yield from_arrays(
        p,
        "softmax, 4096 x 1000",
        [wide],
        lambda a: p.tg.softmax(a, axis=-1),
        torch=lambda a: a.softmax(-1),
        jax=p.jax and p.jax.nn.softmax,
    )


def cross_entropy(p: Peers, normal: Any) -> Row:
    """Cross-entropy of 4096 rows of 1000 classes, and its gradient."""
    targets = p.np.random.default_rng(1).integers(0, 1000, 4096)
    ours = p.tg.Variable(targets)
    theirs = p.torch and p.torch.from_numpy(targets)

    def jaxs(a: Any) -> Any:
        return -p.jax.nn.log_softmax(a)[p.jax.numpy.arange(4096), targets].mean()

    return with_gradients(
        p,
        "cross-entropy with its gradient, 4096 x 1000",
        [normal(4096, 1000)],
        lambda a: p.tg.nn.functional.cross_entropy(a, ours),
        lambda a: p.torch.nn.functional.cross_entropy(a, theirs),
        jaxs,
    )


def fused(p: Peers, normal: Any) -> Row:
    """A formula of several operations with both gradients: what a compiler would fuse."""
    n = p.jax and p.jax.numpy
    return with_gradients(
        p,
        "(tanh(x) * sigmoid(y) + exp(-x * x)).sum() with gradients, 1,000,000",
        [normal(1_000_000), normal(1_000_000)],
        lambda x, y: (p.tg.tanh(x) * p.tg.sigmoid(y) + p.tg.exp(-x * x)).sum(),
        lambda x, y: (p.torch.tanh(x) * p.torch.sigmoid(y) + p.torch.exp(-x * x)).sum(),
        lambda x, y: (n.tanh(x) * p.jax.nn.sigmoid(y) + n.exp(-x * x)).sum(),
    )


def products(p: Peers, normal: Any) -> Iterator[Row]:
    """Matrix products, square, thin and many."""
    for n in (64, 256, 512, 1024):
        a = normal(n, n)
        yield from_arrays(p, f"matmul, {n} cubed", [a, a], matmul, numpy=matmul, torch=matmul, jax=matmul)
    for shapes in (((2048, 2048), (2048,)), ((1, 1024), (1024, 1024)), ((1024, 1024), (1024, 1)), ((64, 64, 64), (64, 64, 64))):
        arrays = [normal(*s) for s in shapes]
        name = f"matmul, {' @ '.join(' x '.join(map(str, s)) for s in shapes)}"
        yield from_arrays(p, name, arrays, matmul, numpy=matmul, torch=matmul, jax=matmul)


def orders(p: Peers, normal: Any) -> Iterator[Row]:
    """Running sums, sorted arrays, and places in them."""
    line, square = normal(1_000_000), normal(1024, 1024)
    for name, x, axis in (("1,000,000", line, 0), ("axis 0, 1024 squared", square, 0), ("axis 1, 1024 squared", square, 1)):
        along = lambda a, axis=axis: a.cumsum(axis)  # noqa: E731
        # Sums of whole numbers are the same in any order.
        yield from_arrays(p, f"cumsum, {name}", [p.np.rint(x)], along, numpy=along, torch=along, jax=along)
    jnp = p.jax and p.jax.numpy
    for name, x in (("1,000,000", line), ("rows of 1024 squared", square)):
        yield from_arrays(p, f"sort, {name}", [x], p.tg.sort, numpy=p.np.sort, torch=lambda a: a.sort()[0], jax=jnp and jnp.sort)
    yield from_arrays(
        p,
        "argsort, 1,000,000",
        [line],
        p.tg.argsort,
        numpy=lambda a: a.argsort(kind="stable"),
        torch=lambda a: a.argsort(stable=True),
    )
    few = p.np.random.default_rng(2).integers(0, 1000, 1_000_000)
    for name, x in (("1,000,000 of 1,000 integers", few), ("1,000,000 floats", line)):
        yield from_arrays(p, f"unique, {name}", [x], p.tg.unique, numpy=p.np.unique, torch=p.torch and p.torch.unique)
    for n in (1_000, 1_000_000):
        yield from_arrays(
            p,
            f"searchsorted, 100,000 in {n:,}",
            [p.np.sort(line[:n]), line[:100_000][::-1].copy()],
            p.tg.searchsorted,
            numpy=p.np.searchsorted,
            torch=p.torch and p.torch.searchsorted,
        )


def contraction(home: Any, text: str) -> Any:
    """A function of two arrays: einsum of a framework by these subscripts."""
    return lambda x, y: home.einsum(text, x, y)


def contractions(p: Peers, normal: Any) -> Iterator[Row]:
    """einsum of two operands: products of matrices, of rows, of batches, and what is none of them."""
    a, batch = normal(256, 256), normal(32, 64, 64)
    for text, x, y in (
        ("ij,jk->ik", a, a),
        ("ij,kj->ik", a, a),
        ("ij,ij->i", a, a),
        ("i,j->ij", normal(1024), normal(1024)),
        ("bij,bjk->bik", batch, batch),
        ("bij,bkj->bki", batch, batch),
        ("ijk,jl->ilk", normal(64, 64, 64), normal(64, 64)),
    ):
        yield from_arrays(
            p,
            f"einsum {text}, {' and '.join(' x '.join(map(str, z.shape)) for z in (x, y))}",
            [x, y],
            contraction(p.tg, text),
            numpy=lambda x, y, text=text: p.np.einsum(text, x, y, optimize=True),
            torch=p.torch and contraction(p.torch, text),
        )


def random(p: Peers) -> Iterator[Row]:
    """A million random numbers. They differ by design, so there is nothing to compare but time."""
    n, generator = 1_000_000, p.np.random.default_rng(0)
    uniform = {"tapegrad": lambda: p.tg.random.rand(n), "numpy": lambda: generator.random(n, p.np.float32)}
    gauss = {"tapegrad": lambda: p.tg.random.randn(n), "numpy": lambda: generator.standard_normal(n, p.np.float32)}
    if p.torch:
        uniform["torch"] = lambda: p.torch.rand(n)
        gauss["torch"] = lambda: p.torch.randn(n)
    yield Row("rand, 1,000,000", uniform)
    yield Row("randn, 1,000,000", gauss)


def slices(p: Peers, normal: Any) -> Row:
    """The rows of a 1000 x 1000 matrix one by one, and the gradient through all of them."""

    def total(x: Any) -> Any:
        parts = [x[i].sum() for i in range(1000)]
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        return result

    start = normal(1000, 1000)
    x = p.tg.Variable(start, requires_grad=True)
    forms = {"tapegrad": lambda: p.tg.autograd.grad(total(x), [x])[0]}
    if p.torch:
        t = p.torch.from_numpy(start.copy()).requires_grad_()
        forms["torch"] = lambda: p.torch.autograd.grad(total(t), [t])[0]
    return Row("1000 rows of 1000 x 1000 one by one, with gradient", forms, check=True)


def optimizers(p: Peers) -> Iterator[Row]:
    """A step over 200 tensors, of 50,000 values each and of 10."""
    for size, what in ((50_000, "10 million values"), (10, "200 tiny tensors")):
        for how in ("SGD", "Adam"):
            start = p.np.ones(size, p.np.float32)
            ours = [p.tg.nn.Parameter(start) for _ in range(200)]
            for x in ours:
                x.grad = p.tg.Variable(start)
            forms = {"tapegrad": getattr(p.tg.optim, how)(ours, lr=1e-3).step}
            if p.torch:
                theirs = [p.torch.nn.Parameter(p.torch.ones(size)) for _ in range(200)]
                for t in theirs:
                    t.grad = p.torch.ones(size)
                forms["torch"] = getattr(p.torch.optim, how)(theirs, lr=1e-3).step
            yield Row(f"{how} step, {what}", forms)


def rows(p: Peers) -> Iterator[Row]:
    """All of them, on the same random arrays in every run."""
    generator = p.np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(p.np.float32)

    yield from elementwise(p, normal)
    yield from reductions(p, normal)
    yield cross_entropy(p, normal)
    yield fused(p, normal)
    yield from products(p, normal)
    yield from contractions(p, normal)
    yield from orders(p, normal)
    yield from random(p)
    yield slices(p, normal)
    yield from optimizers(p)
