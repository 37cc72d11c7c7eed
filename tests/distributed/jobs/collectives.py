"""Every collective, with gradients of order 1 and 2 against differences and formulas, on any number of ranks."""

import numpy as np

import tapegrad as tg
from tapegrad import distributed as dist

dist.init(timeout=20)
rank, size = dist.get_rank(), dist.get_world_size()
x = np.random.default_rng(0).normal(size=(size, 6))
total = x.sum(0)

# values, dtypes, shapes
for dtype in ("float32", "float64", "int8", "int64", "uint16", "bool", "complex64"):
    got = dist.all_reduce(tg.asarray((np.arange(4) % 2).astype(dtype)))
    assert got.dtype.name == dtype
    want = np.arange(4) % 2 if dtype == "bool" else (np.arange(4) % 2) * size
    np.testing.assert_array_equal(got.numpy(), want.astype(dtype))
for op in ("sum", "mean", "max", "min", "prod"):
    np.testing.assert_allclose(dist.all_reduce(tg.asarray(x[rank]), op).numpy(), getattr(np, op)(x, axis=0), rtol=1e-12)
for shape in ((), (0,), (2, 0), (3, 2)):
    assert dist.all_reduce({"a": [tg.ones(shape)]})["a"][0].shape == shape
assert [v.item() for v in dist.all_gather(tg.full((), rank))] == list(range(size))
assert dist.reduce_scatter(tg.arange(2 * size)).tolist() == [2 * rank * size, (2 * rank + 1) * size]
assert dist.broadcast(tg.full((3,), rank), src=size - 1).tolist() == [size - 1] * 3
assert dist.all_gather_object("x" * rank) == ["x" * r for r in range(size)]
large = dist.all_reduce(tg.ones(1_000_000))
assert large[0].item() == large[-1].item() == size

# gradients, order 1 and 2: the loss of every rank is sum(y ** 3), y the result of a collective of x
mine = tg.Variable(x[rank], requires_grad=True)


def orders(y, token=0.0):
    """First derivatives, and those of their sum."""
    (g,) = tg.autograd.grad(tg.sum(y**3) + token, [mine], create_graph=True)
    (h,) = tg.autograd.grad(tg.sum(g), [mine])
    return g.detach().numpy(), h.numpy()


g, h = orders(dist.all_reduce(mine))
np.testing.assert_allclose(g, size * 3 * total**2)
np.testing.assert_allclose(h, size * size * 6 * total)
g, h = orders(tg.stack(dist.all_gather(mine)))
np.testing.assert_allclose(g, size * 3 * x[rank] ** 2)
np.testing.assert_allclose(h, size * 6 * x[rank])
g, h = orders(dist.broadcast(mine))
np.testing.assert_allclose(g, (rank == 0) * size * 3 * x[0] ** 2)
np.testing.assert_allclose(h, (rank == 0) * size * 6 * x[0])
pieces = dist.reduce_scatter([mine * (r + 1) for r in range(size)])
g, h = orders(pieces)
factors = np.arange(1, size + 1)
np.testing.assert_allclose(g, 3 * total**2 * (factors**3).sum())
np.testing.assert_allclose(h, size * 6 * total * (factors**3).sum())
if size > 1:
    right, left = (rank + 1) % size, (rank - 1) % size
    token = dist.send(mine, dst=right)
    g, h = orders(dist.recv(mine, src=left), token)
    np.testing.assert_allclose(g, 3 * x[rank] ** 2)
    np.testing.assert_allclose(h, 6 * x[rank])

# forward mode
_, tangent = tg.jvp(lambda a: dist.all_reduce(a**2), (tg.asarray(x[rank]),), (tg.ones(6, dtype=tg.float64),))
np.testing.assert_allclose(tangent.numpy(), 2 * total)

# a disagreement raises on all ranks, and the job goes on
if size > 1:
    try:
        dist.all_reduce(tg.ones(2 + (rank == 1)))
    except dist.MismatchError as error:
        assert "ranks [1]: all_reduce(sum) of float32 (3,)" in str(error), error  # noqa: PT017
    else:
        raise AssertionError("no MismatchError")
dist.barrier()
print(f"passed on rank {rank} of {size}")
