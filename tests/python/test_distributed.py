"""Collectives on the local backend, whose ranks are threads: values, gradients of order 1 and 2, tangents, wrong calls."""

from __future__ import annotations

import os
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import distributed as dist
from tapegrad.distributed import faults, run

OPS = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod}


def values(world, shape=(3,), seed=0):
    return np.random.default_rng(seed).normal(size=(world, *shape))


def on_ranks(fn, world, *, timeout=10.0):
    """``fn(rank)`` on each rank."""
    return dist.run_local(lambda: fn(dist.get_rank()), world, timeout=timeout)


# ---- values ----


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("op", OPS)
def test_all_reduce(op, world):
    x = values(world)
    for got in on_ranks(lambda r: dist.all_reduce(tg.asarray(x[r]), op).numpy(), world):
        np.testing.assert_allclose(got, OPS[op](x, axis=0), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint16", "bool", "complex64", "complex128"])
def test_all_reduce_of_every_dtype(dtype):
    x = np.array([[0, 1, 2], [1, 0, 1]]).astype(dtype)
    for got in on_ranks(lambda r: dist.all_reduce(tg.asarray(x[r])), 2):
        assert got.dtype.name == dtype
        np.testing.assert_array_equal(got.numpy(), x[0] + x[1])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (2, 3)])
def test_shapes(shape):
    x = values(2, shape)

    def job(r):
        mine = tg.asarray(x[r])
        gathered = dist.all_gather(mine)
        return dist.all_reduce(mine), gathered[0], gathered[1], dist.broadcast(mine, 1), dist.reduce_scatter([mine, mine])

    for reduced, first, second, sent, piece in on_ranks(job, 2):
        for got, want in [(reduced, x.sum(0)), (first, x[0]), (second, x[1]), (sent, x[1]), (piece, x.sum(0))]:
            assert got.shape == shape
            np.testing.assert_allclose(got.numpy(), want)


class Pair(NamedTuple):
    a: object
    b: object


def test_containers_keep_their_structure_and_dtypes():
    def job(r):
        tree = {"w": tg.full((2,), r + 1.0), "rest": [tg.full((), r), Pair(2.5, np.ones(2, np.int8))], "none": None}
        return dist.all_reduce(tree), dist.all_gather(tree)[1], dist.broadcast(tree, src=1)

    for reduced, second, sent in on_ranks(job, 2):
        assert reduced["w"].tolist() == [3.0, 3.0]
        assert reduced["none"] is None
        assert isinstance(reduced["rest"][1], Pair)
        assert reduced["rest"][1].a.item() == 5.0
        assert reduced["rest"][1].b.dtype == tg.int8
        assert second["w"].tolist() == sent["w"].tolist() == [2.0, 2.0]
        assert sent["rest"][0].item() == 1


def test_the_argument_stays_as_it_is_unless_the_name_ends_with_an_underscore():
    def job(r):
        x, y, z = tg.full((2,), r), tg.full((2,), r), tg.full((2,), r)
        dist.all_reduce(x)
        dist.all_reduce_(y, op=dist.ReduceOp.MAX)
        dist.broadcast_(z, src=1)
        return x.tolist(), y.tolist(), z.tolist()

    assert on_ranks(job, 2) == [([0, 0], [1, 1], [1, 1]), ([1, 1], [1, 1], [1, 1])]


def test_strided_values():
    x = np.arange(12.0).reshape(3, 4)
    for got in on_ranks(lambda r: dist.all_reduce(tg.asarray(x).T[::2]), 2):
        np.testing.assert_array_equal(got.numpy(), 2 * x.T[::2])


def test_many_threads_agree_bit_for_bit():
    x = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)
    first = on_ranks(lambda r: dist.all_reduce(tg.asarray(x[r])).numpy().tobytes(), 4)
    again = on_ranks(lambda r: dist.all_reduce(tg.asarray(x[r])).numpy().tobytes(), 4)
    assert len({*first, *again}) == 1


def test_messages():
    def job(r):
        if r == 0:
            dist.send(tg.arange(3), dst=1, tag=5)
            dist.send([tg.ones(2), {"a": tg.zeros((), dtype=tg.int64)}], dst=1)
            return dist.recv(src=1)
        pair = dist.recv([tg.zeros(2), {"a": tg.ones((), dtype=tg.int64)}], src=0)
        dist.send(dist.recv(src=0, tag=5) * 2, dst=0)
        return pair

    back, pair = on_ranks(job, 2)
    assert back.tolist() == [0, 2, 4]
    assert pair[0].tolist() == [1.0, 1.0]
    assert pair[1]["a"].item() == 0


def test_both_may_send_first():
    def job(r):
        dist.send(tg.full((100_000,), r), dst=1 - r)
        return dist.recv(src=1 - r)[0].item()

    assert on_ranks(job, 2) == [1, 0]


def test_objects():
    def job(r):
        return dist.all_gather_object({"rank": r, "text": "x" * r}), dist.broadcast_object(["from", r], src=2)

    for gathered, sent in on_ranks(job, 3):
        assert [g["rank"] for g in gathered] == [0, 1, 2]
        assert sent == ["from", 2]


# ---- derivatives ----


def through(name, rank, x, world):
    """A collective of x as one array, and a term that must be added to the loss."""
    if name in OPS:
        return dist.all_reduce(x, name), 0.0
    if name == "all_gather":
        return tg.stack(dist.all_gather(x)), 0.0
    if name == "reduce_scatter":
        return dist.reduce_scatter(x), 0.0
    if name == "reduce_scatter_max":
        return dist.reduce_scatter(x, "max"), 0.0
    if name == "broadcast":
        return dist.broadcast(x, src=1), 0.0
    token = dist.send(x, dst=(rank + 1) % world)
    return dist.recv(x, src=(rank - 1) % world), token


def reference(name, xs):
    """The same for the list of all ranks' values, in one process."""
    world = len(xs)
    stacked = tg.stack(xs)
    if name in OPS:
        return [getattr(tg, name)(stacked, axis=0)] * world
    if name == "all_gather":
        return [stacked] * world
    if name.startswith("reduce_scatter"):
        n = xs[0].shape[0] // world
        total = tg.max(stacked, axis=0) if name.endswith("max") else tg.sum(stacked, axis=0)
        return [total[r * n : (r + 1) * n] for r in range(world)]
    if name == "broadcast":
        return [xs[1]] * world
    return [xs[(r - 1) % world] for r in range(world)]


NAMES = [*OPS, "all_gather", "reduce_scatter", "reduce_scatter_max", "broadcast", "ring"]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_order_1_and_2(name, world):
    x, v = values(world, (6,)), values(world, (6,), seed=1)
    weights = np.arange(1.0, world + 1)

    def job(rank):
        mine = tg.Variable(x[rank], requires_grad=True)
        y, token = through(name, rank, tg.sin(mine), world)
        loss = tg.sum(tg.exp(0.3 * y)) * weights[rank] + token
        (g,) = tg.autograd.grad(loss, [mine], create_graph=True)
        tg.sum(g * tg.asarray(v[rank])).backward()
        return g.detach().numpy(), mine.grad.numpy()

    def total(*xs):
        ys = reference(name, [tg.sin(a) for a in xs])
        return sum(tg.sum(tg.exp(0.3 * y)) * w for y, w in zip(ys, weights))

    inputs = [tg.Variable(a) for a in x]
    first = tg.grad(total, argnums=tuple(range(world)))(*inputs)
    second = tg.grad(
        lambda *a: sum(tg.sum(g * tg.asarray(t)) for g, t in zip(tg.grad(total, argnums=tuple(range(world)))(*a), v)),
        argnums=tuple(range(world)),
    )(*inputs)
    for (g, h), want_g, want_h in zip(on_ranks(job, world), first, second):
        np.testing.assert_allclose(g, want_g.numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(h, want_h.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_tangents(name):
    x, v = values(2, (6,)), values(2, (6,), seed=1)
    got = on_ranks(
        lambda r: tg.jvp(lambda a: through(name, r, tg.sin(a), 2)[0], (tg.asarray(x[r]),), (tg.asarray(v[r]),))[1].numpy(), 2
    )
    want = tg.jvp(
        lambda *a: tuple(reference(name, [tg.sin(b) for b in a])), tuple(map(tg.asarray, x)), tuple(map(tg.asarray, v))
    )[1]
    for g, w in zip(got, want):
        np.testing.assert_allclose(g, w.numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "all_gather", "broadcast", "reduce_scatter"])
def test_batches(name):
    x = values(2, (4, 6))
    got = on_ranks(lambda r: tg.vmap(lambda a: through(name, r, a, 2)[0])(tg.asarray(x[r])).numpy(), 2)
    for r in range(2):
        rows = [reference(name, [tg.asarray(x[0][i]), tg.asarray(x[1][i])])[r].numpy() for i in range(4)]
        np.testing.assert_allclose(got[r], np.stack(rows))


def test_transforms_of_functions_with_collectives():
    x = values(2)

    def job(r):
        def loss(a):
            return tg.sum(dist.all_reduce(a) ** 2)

        return tg.grad(loss)(tg.asarray(x[r])).numpy(), tg.hvp(loss, (tg.asarray(x[r]),), (tg.ones(3),))

    for g, product in on_ranks(job, 2):
        np.testing.assert_allclose(g, 4 * x.sum(0))  # of the sum of both losses
        np.testing.assert_allclose(product.numpy(), 8.0)


@pytest.mark.parametrize("name", ["sum", "all_gather", "broadcast", "reduce_scatter"])
def test_hessians(name):
    """Forward over reverse, and reverse over reverse, in batches: the rows are derivatives by the values of all ranks at once."""
    x = values(2, (2,))
    total = {"sum": [8.0, 8.0], "all_gather": [4.0, 4.0], "broadcast": [0.0, 4.0], "reduce_scatter": [4.0, 4.0]}[name]

    def job(r):
        def loss(a):
            return tg.sum(through(name, r, a, 2)[0] ** 2)

        mine = tg.asarray(x[r])
        return tg.hessian(loss)(mine).numpy(), tg.jacrev(tg.grad(loss))(mine).numpy()

    for (forward, reverse), want in zip(on_ranks(job, 2), total):
        np.testing.assert_allclose(forward, want * np.eye(2), atol=1e-12)
        np.testing.assert_allclose(reverse, want * np.eye(2), atol=1e-12)


def test_ties_share_the_gradient():
    def job(r):
        x = tg.Variable([1.0, float(r)], requires_grad=True)
        dist.all_reduce(x, "max").sum().backward()
        return x.grad.tolist()

    assert on_ranks(job, 2) == [[1.0, 0.0], [1.0, 2.0]]


def test_broadcast_to_ranks_that_track_nothing():
    def job(r):
        x = tg.Variable([2.0], requires_grad=r == 0)
        (dist.broadcast(x) * (r + 1)).sum().backward()
        return x.grad if x.grad is None else x.grad.tolist()

    assert on_ranks(job, 3) == [[6.0], None, None]


def test_integers_beside_floats():
    def job(r):
        x = tg.Variable([1.0, 2.0], requires_grad=True)
        out = dist.all_reduce({"x": x, "n": tg.full((), r + 1)})
        (out["x"] * out["n"]).sum().backward()
        return x.grad.tolist()

    assert on_ranks(job, 2) == [[6.0, 6.0]] * 2


# ---- wrong calls ----


def raises_everywhere(job, error, match, world=2, timeout=5.0):
    """Every rank gets the error, and the group still works."""

    def guarded(r):
        with pytest.raises(error, match=match):
            job(r)
        return dist.all_reduce(1.0).item()

    assert on_ranks(guarded, world, timeout=timeout) == [float(world)] * world


@pytest.mark.parametrize(
    "job",
    [
        lambda r: dist.all_reduce(tg.ones(2 + r)),
        lambda r: dist.all_reduce(tg.ones(2, dtype=("float32", "float64")[r])),
        lambda r: dist.all_reduce(tg.ones(2), ("sum", "max")[r]),
        lambda r: dist.all_reduce(tg.ones(2)) if r else dist.all_gather(tg.ones(2)),
        lambda r: dist.all_reduce(tg.ones(2)) if r else dist.barrier(),
        lambda r: dist.broadcast(tg.ones(2), src=r),
        lambda r: dist.all_reduce(tg.ones(2).requires_grad_(r == 0)),
        lambda r: dist.all_reduce([tg.ones(2)] * (r + 1)),
    ],
)
def test_ranks_that_disagree(job):
    raises_everywhere(job, dist.MismatchError, r"the ranks disagree at rank \d of 2, step 1.*\n.*ranks \[0\].*\n.*ranks \[1\]")


@pytest.mark.parametrize(
    ("job", "error", "match"),
    [
        (
            lambda r: dist.all_reduce(tg.ones(2), "median"),
            ValueError,
            "op must be one of sum, mean, max, min, prod, got 'median'",
        ),
        (lambda r: dist.all_reduce(tg.ones(2, dtype=tg.int64), "mean"), tg.DTypeError, "mean of int64"),
        (lambda r: dist.all_reduce(tg.ones(2, dtype=tg.complex64), "max"), tg.DTypeError, "complex64 has no order"),
        (lambda r: dist.all_reduce("text"), TypeError, "all_reduce: expected Variables"),
        (lambda r: dist.broadcast(tg.ones(2), src=2), ValueError, "src must be a rank from 0 to 1, got 2"),
        (lambda r: dist.broadcast(tg.ones(2), src=True), ValueError, "src must be a rank"),
        (lambda r: dist.send(tg.ones(2), dst=r), ValueError, r"dst is rank \d itself"),
        (lambda r: dist.recv(src=1 - r, tag=-1), ValueError, "tag must be an int from 0"),
        (lambda r: dist.reduce_scatter(tg.ones(3)), tg.ShapeError, r"first axis of shape \(3,\) cannot be divided into 2"),
        (lambda r: dist.reduce_scatter([tg.ones(3)]), ValueError, "a piece for each of 2 ranks, got 1"),
        (lambda r: dist.reduce_scatter([tg.ones(3), tg.ones(2)]), tg.ShapeError, "same structure, shapes and dtypes"),
    ],
)
def test_wrong_arguments(job, error, match):
    raises_everywhere(job, error, match)


def test_a_message_of_another_shape():
    def job(r):
        if r == 0:
            dist.send(tg.ones(3), dst=1)
        else:
            with pytest.raises(tg.ShapeError, match=r"rank 0 has sent float32 \(3,\) with tag 0, expected float32 \(2,\)"):
                dist.recv(tg.ones(2), src=0)

    on_ranks(job, 2)


def test_without_a_group():
    for call in (dist.get_rank, dist.get_world_size, dist.barrier, lambda: dist.all_reduce(1.0)):
        with pytest.raises(dist.DistributedError, match=r"there is no process group; call tg\.distributed\.init\(\) first"):
            call()
    assert not dist.is_initialized()


@pytest.mark.parametrize("options", [{"backend": "nccl"}, {"timeout": 0}, {"timeout": float("nan")}, {"timeout": "long"}])
def test_wrong_options_of_init(options):
    with pytest.raises(ValueError, match=f"init: {next(iter(options))} must be"):
        dist.init(**{"backend": "local", **options})


def test_one_process_is_a_group_of_one():
    dist.init("local")
    try:
        dist.init("local", timeout=5)
        with pytest.raises(dist.DistributedError, match="'local' already, and cannot change to 'mpi'; call shutdown"):
            dist.init("mpi")
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "local")
        assert dist.all_reduce(2.0).item() == 2.0
        assert dist.all_gather(tg.ones(2))[0].tolist() == [1.0, 1.0]
        assert dist.reduce_scatter(tg.ones(2)).tolist() == [1.0, 1.0]
    finally:
        dist.shutdown()
    assert not dist.is_initialized()


def test_threads_of_ones_own_as_ranks():
    found = {}

    def work(rank):
        dist.init_process_group("local", timeout=5, world_size=3, rank=rank)
        found[dist.get_rank()] = dist.all_reduce(dist.get_rank() + 1.0).item()
        dist.destroy_process_group()
        assert not dist.is_initialized()

    for ranks in [(None, None, None), (2, 0, 1)]:
        threads = [threading.Thread(target=work, args=(rank,)) for rank in ranks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == {0: 6.0, 1: 6.0, 2: 6.0}
        found.clear()


def test_a_place_that_is_not_ours():
    def job(r):
        dist.init("local", rank=r, world_size=2)
        with pytest.raises(
            ValueError, match=r"this is rank \d of 2, as the job was started; asked for were rank=None, world_size=3"
        ):
            dist.init("local", world_size=3)

    on_ranks(job, 2)
    with pytest.raises(ValueError, match=r"rank must be one of \[0, 1\]"):
        dist.init("local", rank=2, world_size=2)
    with pytest.raises(ValueError, match="world_size must be an int of 1 or more, got 0"):
        dist.init("local", world_size=0)


# ---- faults ----


def test_a_rank_that_raises_ends_the_others():
    def job(r):
        if r == 1:
            raise KeyError("broken")
        dist.all_reduce(tg.ones(2))

    with pytest.raises(KeyError, match="broken") as caught:
        on_ranks(job, 3, timeout=3600)
    assert any("rank 1 of 3" in note for note in caught.value.__notes__)


def test_a_rank_that_returns_early():
    def job(r):
        if r != 1:
            dist.all_reduce(tg.ones(2))

    with pytest.raises(dist.RankLeftError, match=r"all_reduce.*rank 1 returned, while rank \d of 3, step 1"):
        on_ranks(job, 3, timeout=4)


def test_a_rank_that_sleeps():
    failed = threading.Event()

    def job(r):
        dist.barrier()
        if r == 1:
            failed.wait(60)
        try:
            dist.all_reduce(tg.ones(2))
        finally:
            failed.set()

    with pytest.raises(TimeoutError, match=r"all_reduce\(sum\) of float32 \(2,\): timed out.*step 2.*no word from ranks \[1\]"):
        on_ranks(job, 3, timeout=2.0)


def test_after_a_failure_nothing_goes_on():
    failed = threading.Event()

    def job(r):
        if r == 0:
            with pytest.raises(dist.DistributedTimeoutError):
                dist.all_reduce(tg.ones(2))
            with pytest.raises(dist.DistributedError, match="cannot go on after an earlier failure"):
                dist.all_reduce(tg.ones(2))
            failed.set()
        else:
            failed.wait(60)

    on_ranks(job, 2, timeout=0.3)


def test_a_message_that_is_never_sent():
    failed = threading.Event()

    def job(r):
        if r == 0:
            try:
                dist.recv(src=1, tag=3)
            finally:
                failed.set()
        else:
            failed.wait(60)

    with pytest.raises(TimeoutError, match=r"recv\(src=1, tag=3\): timed out"):
        on_ranks(job, 2, timeout=0.3)


def test_random_numbers_differ_by_rank_and_come_again():
    first = on_ranks(lambda r: dist.generator(7).rand(4).tolist(), 3)
    assert first == on_ranks(lambda r: dist.generator(7).rand(4).tolist(), 3)
    assert len({tuple(f) for f in first}) == 3
    assert first != on_ranks(lambda r: dist.generator(8).rand(4).tolist(), 3)


@pytest.mark.parametrize("name", ["sum", "all_gather", "broadcast", "ring"])
def test_a_second_pass_where_one_loss_is_linear(name):
    """The second derivative of rank 1's loss is zero, but its backward pass must still meet that of rank 0."""

    def job(r):
        x = tg.Variable([1.0, 2.0], requires_grad=True)
        w = tg.Variable([3.0, 4.0], requires_grad=True)
        y, token = through(name, r, x * 1.0, 2)
        loss = tg.sum(y**3 if r == 0 else y * w) + token
        (g,) = tg.autograd.grad(loss, [x], create_graph=True)
        tg.sum(g).backward()
        return x.grad.tolist()

    one, two = 6.0 * np.array([1.0, 2.0]), 12.0 * np.array([2.0, 4.0])
    expected = {
        "sum": [two, two],
        "all_gather": [one, one],
        "broadcast": [one * 0, one],
        "ring": [one * 0, one],
    }[name]
    np.testing.assert_allclose(on_ranks(job, 2, timeout=3), expected)


# ---- the model of scale ----


def test_the_model_of_scale_keeps_its_laws():
    link = dist.scale.Network(1e-5, 1e9)
    step = dist.scale.Step(0.1, 1_000_000)
    for name, reduce in dist.scale.ALGORITHMS.items():
        assert reduce(1e6, 1, link) == 0.0, name
        assert reduce(1e6, 2, link) == pytest.approx(2 * (1e-5 + (1e6 if name == "tree" else 5e5) / 1e9))
        for n in (2, 8, 1024):
            plain = dist.scale.step_time(step, link, n, algorithm=name)
            hidden = dist.scale.step_time(step, link, n, algorithm=name, overlap=True, buckets=4)
            assert 0.1 < hidden <= dist.scale.step_time(step, link, n, algorithm=name, buckets=4)
            assert plain <= dist.scale.step_time(step, link, n, algorithm=name, sharded=True)
            assert 0 < dist.scale.efficiency(step, link, n, algorithm=name) < 1
    # Bytes bind large messages, latency small ones.
    assert dist.scale.ring_all_reduce(1e9, 64, link) < dist.scale.tree_all_reduce(1e9, 64, link)
    assert dist.scale.ring_all_reduce(10, 64, link) > dist.scale.tree_all_reduce(10, 64, link)
    assert dist.scale.step_time(step, link, 1) == 0.1
    for bad in ({"algorithm": "star"}, {}):
        with pytest.raises(ValueError, match=r"step_time: (algorithm|nodes) must be"):
            dist.scale.step_time(step, link, 2 if bad else 0, **bad)


# ---- the launcher, without an MPI ----


def fake_mpiexec(folder, text):
    path = folder / "mpiexec"
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
@pytest.mark.parametrize(
    ("told", "flavour", "version"),
    [
        ("mpiexec (Open MPI) 5.0.11", "openmpi", "Open MPI 5.0.11"),
        ("HYDRA build details: Version: 5.0.2", "mpich", "MPICH 5.0.2"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.12", "mpich", "Intel MPI 2021.12"),
        ("something else", "unknown", "an unknown MPI"),
    ],
)
def test_plans_of_the_launcher(told, flavour, version, tmp_path):
    path = fake_mpiexec(tmp_path, told)
    cores = run.cores()
    one, many = run.plan(1, path), run.plan(4 * cores, path)
    assert (one.flavour, one.version, one.threads, many.threads) == (flavour, version, cores, 1)
    assert one.variables["TAPEGRAD_NUM_THREADS"] == str(cores)
    assert version in one.sentence()
    assert "share cores" in many.sentence()
    assert "share cores" not in one.sentence()
    if flavour == "openmpi":
        assert "mpi_yield_when_idle" in many.options
        assert ":OVERSUBSCRIBE" in many.options
        assert ":OVERSUBSCRIBE" not in run.plan(4, path, several_machines=True).options
    if flavour == "mpich":
        assert many.variables["MPIR_CVAR_ENABLE_HEAVY_YIELD"] == "1"
    assert run.plan(2, path, threads=3).variables["TAPEGRAD_NUM_THREADS"] == "3"


def test_where_mpiexec_is_looked_for(tmp_path, monkeypatch):
    path = fake_mpiexec(tmp_path, "")
    monkeypatch.setenv("MPIEXEC", path)
    assert run.find_mpiexec() == path
    monkeypatch.delenv("MPIEXEC")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert run.find_mpiexec() == path  # in the folder of this Python
    (tmp_path / "mpiexec").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no mpiexec; pip install"):
        run.find_mpiexec()
    with pytest.raises(FileNotFoundError, match="there is no program /no/mpiexec"):
        run.find_mpiexec("/no/mpiexec")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_job_is_ended_after_its_time_limit_and_judged(tmp_path, capsys):
    assert run.start([sys.executable, "-c", "import sys; sys.exit(7)"], {}, 60.0) == 7
    assert run.start([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], {}, 60.0) == 137
    assert run.start([sys.executable, "-c", "import time; time.sleep(3600)"], {}, 0.3) == run.TIMED_OUT
    faults.Status(tmp_path, 0).write(faults.ENDED)
    faults.Status(tmp_path, 1).write("rank 1 of 2, step 3, collective all_reduce")
    assert run._judge(0, 2, tmp_path) == 1
    said = capsys.readouterr().err
    assert "ranks [1] did not come to the end of the job, though mpiexec returned 0" in said
    assert "rank 0: ended" in said
    assert "rank 1 of 2, step 3" in said
