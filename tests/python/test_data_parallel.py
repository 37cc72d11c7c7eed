"""Data-parallel training on the local backend: 1, 2 and 4 ranks learn the same, whatever their shares."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import distributed as dist
from tapegrad import nn

RNG = np.random.default_rng(0)
ADAM = functools.partial(tg.optim.Adam, lr=0.05)
X = RNG.normal(size=(24, 6))
Y = RNG.normal(size=(24, 3))


def on_ranks(fn, world, *, timeout=10.0):
    return dist.run_local(lambda: fn(dist.get_rank()), world, timeout=timeout)


def network(seed=0, norm=None):
    """A small network of float64; built in the thread of a rank, so from a generator of its own."""
    random = np.random.default_rng(seed)
    parts = [nn.Linear(6, 8, dtype=tg.float64), nn.Tanh(), nn.Linear(8, 3, dtype=tg.float64)]
    net = nn.Sequential(*parts[:1], *([norm] if norm else []), *parts[1:])
    with tg.no_grad():
        for p in net.parameters():
            p.copy_(tg.asarray(random.normal(size=p.shape) * 0.3))
    return net


def values(module):
    return {name: v.detach().numpy().copy() for name, v in module.state_dict().items()}


def close(a, b, **options):
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **options)


def train(rank, world, steps=3, make=ADAM, norm=None, batch=12):
    """Trains on global batches, of which each rank takes its share."""
    net = network(seed=rank, norm=norm and norm())  # seeds differ, so the replica of rank 0 must win
    model = dist.DistributedDataParallel(net)
    optimizer = make(model.parameters())
    for step in range(steps):
        x, y = X[step * batch % 24 :][:batch][rank::world], Y[step * batch % 24 :][:batch][rank::world]
        loss = nn.functional.mse_loss(model(tg.asarray(x)), tg.asarray(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return values(net)


# ---- the same results ----


@pytest.mark.parametrize("world", [2, 3, 4])
def test_any_number_of_ranks_learns_the_same(world):
    (alone,) = on_ranks(lambda r: train(r, 1), 1)
    found = on_ranks(lambda r: train(r, world), world)
    for one in found:
        close(one, found[0], rtol=0)  # the same bits on all ranks
        close(one, alone, rtol=1e-10, atol=1e-12)


def test_a_job_of_one_is_training_without_a_job():
    net = network()
    optimizer = tg.optim.Adam(net.parameters(), lr=0.05)
    for step in range(3):
        x, y = X[step * 12 % 24 :][:12], Y[step * 12 % 24 :][:12]
        optimizer.zero_grad()
        nn.functional.mse_loss(net(tg.asarray(x)), tg.asarray(y)).backward()
        optimizer.step()
    close(values(net), on_ranks(lambda r: train(r, 1), 1)[0], rtol=0)


def test_runs_are_equal_bit_for_bit():
    close(on_ranks(lambda r: train(r, 4), 4)[2], on_ranks(lambda r: train(r, 4), 4)[1], rtol=0)


@pytest.mark.parametrize(("mb", "count"), [(1e-5, 4), (3e-4, 2), (4.0, 1)])
def test_buckets_do_not_change_results(mb, count):
    def job(r):
        net = network()
        model = dist.DistributedDataParallel(net, bucket_cap_mb=mb)
        nn.functional.mse_loss(model(tg.asarray(X[r::2])), tg.asarray(Y[r::2])).backward()
        return len(model._buckets), [p.grad.numpy() for p in net.parameters()]

    net = network()
    nn.functional.mse_loss(net(tg.asarray(X)), tg.asarray(Y)).backward()
    for found, grads in on_ranks(job, 2):
        assert found == count
        for g, p in zip(grads, net.parameters()):
            np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-12)


def test_mixed_dtypes_and_frozen_parameters():
    def job(r):
        net = nn.Sequential(nn.Linear(2, 2, dtype=tg.float64), nn.Linear(2, 2))
        net[0].bias.requires_grad_(False)
        model = dist.DistributedDataParallel(net)
        y = net[1](model.module[0](tg.ones((1, 2), dtype=tg.float64)).astype(tg.float32))
        (y.sum() * (r + 1)).backward()
        return net[0].weight.grad.dtype, net[1].bias.grad.tolist(), net[0].bias.grad

    for dtype, grad, frozen in on_ranks(job, 2):
        assert dtype == tg.float64
        assert frozen is None
        assert grad == [1.5, 1.5]  # nothing went through forward(), so all ranks have equal weight


# ---- shares ----


@pytest.mark.parametrize("shares", [(7, 5), (11, 1), (12, 0), (0, 12), (4, 0, 8)])
def test_uneven_and_empty_shares_give_the_mean_by_sample(shares):
    ends = np.cumsum((0, *shares))

    def job(r):
        net = network()
        model = dist.DistributedDataParallel(net)
        x, y = X[ends[r] : ends[r + 1]], Y[ends[r] : ends[r + 1]]
        nn.functional.mse_loss(model(tg.asarray(x)), tg.asarray(y)).backward()
        return [p.grad.numpy() for p in net.parameters()]

    net = network()
    nn.functional.mse_loss(net(tg.asarray(X[:12])), tg.asarray(Y[:12])).backward()
    for grads in on_ranks(job, len(shares)):
        for g, p in zip(grads, net.parameters()):
            np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("average", "factor"), [("rank", 1.0), ("sum", 2.0)])
def test_other_averages(average, factor):
    def job(r):
        model = dist.DistributedDataParallel(nn.Linear(1, 1, bias=False), average=average)
        model(tg.Variable([[1.0], [3.0], [3.0]])[: 2 * r + 1]).mean().backward()
        return model.module.weight.grad.item()

    expected = (1.0 + 7.0 / 3.0) / 2 * factor
    np.testing.assert_allclose(on_ranks(job, 2), expected, rtol=1e-6)


def test_a_rank_that_runs_no_backward_takes_part():
    def job(r):
        net = nn.Linear(1, 1)
        model = dist.DistributedDataParallel(net)
        if r == 0:
            model(tg.ones((2, 1)) * 3).sum().backward()
        else:
            model.sync(count=0)
        return net.weight.grad.item()

    assert on_ranks(job, 2) == [6.0, 6.0]


def test_a_second_sync_changes_nothing():
    def job(r):
        net = nn.Linear(1, 1)
        model = dist.DistributedDataParallel(net)
        model(tg.ones((2, 1)) * (r + 1)).mean().backward()
        model.sync()
        return net.weight.grad.item()

    assert on_ranks(job, 2) == [1.5, 1.5]


def test_equal_steps():
    def job(r):
        net = network(r)
        model = dist.DistributedDataParallel(net)
        optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
        data = tg.utils.data.TensorDataset(tg.asarray(X[:13]), tg.asarray(Y[:13]))
        sampler = tg.utils.data.DistributedSampler(data, shuffle=False, pad=False)
        loader = tg.utils.data.DataLoader(data, batch_size=4 // dist.get_world_size(), sampler=sampler)
        sizes, losses = [], []
        for x, y in dist.equal_steps(loader):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sizes.append(len(x))
            losses.append(dist.weighted_mean(loss, len(x)).item())
        return values(net), sizes, losses

    alone = on_ranks(job, 1)[0]
    two = on_ranks(job, 2)
    assert [s for _, s, _ in two] == [[2, 2, 2, 1], [2, 2, 2, 0]]
    for found, _, losses in two:
        close(found, alone[0], rtol=1e-10)
        np.testing.assert_allclose(losses, alone[2], rtol=1e-10)


def test_equal_steps_when_a_rank_has_no_batch_at_all():
    def job(r):
        return [len(b) for b in dist.equal_steps([tg.ones((3, 2))] * (2 if r else 0))], list(dist.equal_steps([]))

    assert on_ranks(job, 2) == [([0, 0], []), ([3, 3], [])]


def test_accumulation():
    def job(r):
        net = network()
        model = dist.DistributedDataParallel(net)
        first = slice(r * 6, r * 6 + 3), slice(r * 6 + 3, r * 6 + 6)
        with model.no_sync():
            (nn.functional.mse_loss(model(tg.asarray(X[first[0]])), tg.asarray(Y[first[0]])) / 2).backward()
            local = net[0].weight.grad.numpy().copy()
        (nn.functional.mse_loss(model(tg.asarray(X[first[1]])), tg.asarray(Y[first[1]])) / 2).backward()
        return local, [p.grad.numpy() for p in net.parameters()]

    net = network()
    nn.functional.mse_loss(net(tg.asarray(X[:12])), tg.asarray(Y[:12])).backward()
    (local0, grads), (local1, _) = on_ranks(job, 2)
    assert not np.allclose(local0, local1)
    for g, p in zip(grads, net.parameters()):
        np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-12)


def test_gradients_that_were_not_cleared_add_up():
    def job(r):
        net = nn.Linear(1, 1)
        model = dist.DistributedDataParallel(net)
        for _ in range(3):
            model(tg.ones((r + 1, 1)) * (r + 1)).mean().backward()
        return net.weight.grad.item(), net.bias.grad.item()

    for weight, bias in on_ranks(job, 2):
        assert weight == pytest.approx(3 * (1 * 1 + 2 * 2) / 3)
        assert bias == pytest.approx(3.0)


# ---- parameters ----


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x, which):
        return (self.a, self.b)[which](x)


def test_parameters_that_some_ranks_or_none_used():
    def job(r):
        net = Branches()
        model = dist.DistributedDataParallel(net)
        model(tg.ones((1, 1)), r).sum().backward()
        grads = {name: p.grad for name, p in net.named_parameters()}
        return {name: g if g is None else g.item() for name, g in grads.items()}

    for grads in on_ranks(job, 2):
        assert grads == {
            "a.weight": 0.5, "a.bias": 0.5, "b.weight": 0.5, "b.bias": 0.5, "unused.weight": None, "unused.bias": None,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda r: nn.Linear(2, 2 + r), r"rank 0: weight: float32 \(2, 2\).*\n.*rank 1: weight: float32 \(3, 2\)"),
        (lambda r: nn.Linear(2, 2, bias=r == 0), r"entry 1:\n  rank 0: bias: .*\n  rank 1: nothing"),
        (lambda r: nn.Linear(2, 2, dtype=(tg.float32, tg.float64)[r]), r"float32 \(2, 2\).*\n.*float64 \(2, 2\)"),
        (lambda r: nn.Sequential(nn.Linear(1, 1)) if r else nn.Linear(1, 1), r"rank 0: weight.*\n.*rank 1: 0\.weight"),
    ],
)
def test_different_modules_raise_on_all_ranks(make, match):
    def job(r):
        with pytest.raises(dist.MismatchError, match=match):
            dist.DistributedDataParallel(make(r))
        return dist.all_reduce(1.0).item()

    assert on_ranks(job, 2) == [2.0, 2.0]


def test_buffers_follow_the_first_rank_with_samples():
    def job(r):
        net = nn.BatchNorm1d(1)
        net.running_mean.fill_(float(r))
        model = dist.DistributedDataParallel(net)
        start = net.running_mean.item()
        model(tg.Variable([[1.0], [3.0]]) * (r + 1)).sum().backward()
        return start, net.running_mean.item(), net.num_batches_tracked.item()

    assert on_ranks(job, 2) == [(0.0, pytest.approx(0.2), 1)] * 2


def test_state_dicts_and_modes():
    def job(r):
        model = dist.DistributedDataParallel(nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5)))
        model.eval()
        return list(model.state_dict()), model.module[1].training

    assert on_ranks(job, 2)[0] == (["module.0.weight", "module.0.bias"], False)


def test_recorded_gradients_are_refused():
    def job(r):
        model = dist.DistributedDataParallel(nn.Linear(1, 1))
        with pytest.raises(tg.GradError, match=r"the gradient of weight is recorded \(create_graph=True\)"):
            (model(tg.ones((1, 1))) ** 2).sum().backward(create_graph=True)

    on_ranks(job, 2)


def test_copies_and_pickles():
    def job(r):
        model = dist.DistributedDataParallel(nn.Linear(1, 1), average="rank")
        twin = copy.deepcopy(model.eval())
        assert twin.average == "rank"
        assert not twin.training
        twin(tg.ones((1, 1)) * (r + 1)).sum().backward()
        with pytest.raises(TypeError, match=r"cannot be pickled.*model\.module"):
            pickle.dumps(model)
        return model.module.weight.grad, twin.module.weight.grad.item()

    assert on_ranks(job, 2) == [(None, 1.5)] * 2


def test_fit_trains_on_all_ranks_and_writes_on_one(tmp_path):
    def job(r):
        model = dist.DistributedDataParallel(network(r))
        optimizer = dist.ShardedOptimizer(model.parameters(), tg.optim.Adam, lr=0.05)
        data = tg.utils.data.TensorDataset(tg.asarray(X), tg.asarray(Y))
        sampler = dist.DistributedSampler(data, shuffle=False)
        loader = tg.utils.data.DataLoader(data, 6, sampler=sampler)
        tg.train.fit(model, loader, nn.MSELoss(), optimizer, epochs=2, progress=False, checkpoint=tmp_path / "fit")
        return values(model.module)

    first, second = on_ranks(job, 2)
    close(first, second, rtol=0)
    close({f"module.{k}": v for k, v in first.items()}, {k: v.numpy() for k, v in tg.load(tmp_path / "fit")["model"].items()})


@pytest.mark.parametrize(
    ("options", "match"),
    [({"average": "median"}, "average must be one of"), ({"bucket_cap_mb": 0}, "bucket_cap_mb must be above 0")],
)
def test_wrong_options(options, match):
    def job(r):
        with pytest.raises(ValueError, match=match):
            dist.DistributedDataParallel(nn.Linear(1, 1), **options)
        with pytest.raises(TypeError, match="expected a Module, got float"):
            dist.DistributedDataParallel(1.0)

    on_ranks(job, 1)


def test_checkpointed_parts_and_gradients_of_functions():
    """Passes inside a pass, and passes that add nothing, do not disturb the averaging."""

    def job(r):
        net = network()
        model = dist.DistributedDataParallel(net)
        x, y = tg.asarray(X[r::2]), tg.asarray(Y[r::2])
        assert model.module is net
        tg.autograd.grad(nn.functional.mse_loss(net(x), y), list(net.parameters()))
        hidden = tg.checkpoint(lambda v: tg.tanh(net[0](v)), x)
        nn.functional.mse_loss(net[2](hidden), y).backward()
        return [p.grad.numpy() for p in net.parameters()]

    net = network()
    nn.functional.mse_loss(net(tg.asarray(X)), tg.asarray(Y)).backward()
    for grads in on_ranks(job, 2):
        for g, p in zip(grads, net.parameters()):
            np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-12)


# ---- batch normalisation ----


@pytest.mark.parametrize("shares", [(12, 12), (6, 18), (24, 0), (5, 9, 10)])
def test_sync_batch_norm_is_batch_norm_of_the_whole_batch(shares):
    ends = np.cumsum((0, *shares))

    def job(r):
        norm = nn.SyncBatchNorm(8, dtype=tg.float64)
        net = network(norm=norm)
        model = dist.DistributedDataParallel(net)
        x, y = tg.asarray(X[ends[r] : ends[r + 1]]), tg.asarray(Y[ends[r] : ends[r + 1]])
        out = model(x)
        nn.functional.mse_loss(out, y).backward()
        return out.detach().numpy(), {n: p.grad.numpy() for n, p in net.named_parameters()}, values(norm)

    norm = nn.BatchNorm1d(8, dtype=tg.float64)
    net = network(norm=norm)
    out = net(tg.asarray(X))
    nn.functional.mse_loss(out, tg.asarray(Y)).backward()
    for r, (got, grads, state) in enumerate(on_ranks(job, len(shares))):
        np.testing.assert_allclose(got, out.detach().numpy()[ends[r] : ends[r + 1]], rtol=1e-10)
        close(grads, {n: p.grad.numpy() for n, p in net.named_parameters()}, rtol=1e-8, atol=1e-14)
        close(state, values(norm), rtol=1e-12)


def test_sync_batch_norm_of_images_and_its_second_derivative():
    x = np.random.default_rng(1).normal(size=(4, 2, 3, 3))

    def sums(norm, v):
        return tg.sum(norm(v) ** 3)

    def job(r):
        norm = nn.SyncBatchNorm(2, dtype=tg.float64)
        v = tg.Variable(x[r::2], requires_grad=True)
        (g,) = tg.autograd.grad(sums(norm, v), [v], create_graph=True)
        tg.sum(g * tg.asarray(x[r::2])).backward()
        return g.detach().numpy(), v.grad.numpy()

    v = tg.Variable(x, requires_grad=True)
    (g,) = tg.autograd.grad(sums(nn.BatchNorm2d(2, dtype=tg.float64), v), [v], create_graph=True)
    tg.sum(g * tg.asarray(x)).backward()
    for r, (first, second) in enumerate(on_ranks(job, 2)):
        np.testing.assert_allclose(first, g.detach().numpy()[r::2], rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(second, v.grad.numpy()[r::2], rtol=1e-7, atol=1e-10)


def test_convert_sync_batchnorm():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2, affine=False)))
    before = list(net.state_dict())
    weight = net[1].weight
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net.eval())
    assert [type(m).__name__ for m in (net[1], net[2][0])] == ["SyncBatchNorm"] * 2
    assert list(net.state_dict()) == before
    assert net[1].weight is weight
    assert not net[1].training
    assert net(tg.ones((1, 1, 2, 2))).shape == (1, 2, 2, 2)


def test_sync_batch_norm_needs_two_values():
    def job(r):
        with pytest.raises(ValueError, match="more than one value for each channel, all ranks together have 1"):
            nn.SyncBatchNorm(2)(tg.ones((1 - r, 2)))
        with pytest.raises(tg.ShapeError, match="expected 2 channels"):
            nn.SyncBatchNorm(2)(tg.ones((1, 3)))

    on_ranks(job, 2)


# ---- samplers ----


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"pad": False}, {"shuffle": False}])
def test_distributed_sampler_of_a_job(n, options):
    def job(r):
        sampler = dist.DistributedSampler(range(n), seed=3, **options)
        sampler.set_epoch(2)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    shares = on_ranks(job, 3)
    everything = [i for share in shares for i in share]
    if options.get("drop_last"):
        assert {len(s) for s in shares} == {n // 3}
        assert len(set(everything)) == len(everything)
    elif options.get("pad") is False:
        assert sorted(everything) == list(range(n))
    else:
        assert {len(s) for s in shares} == {-(-n // 3)}
        assert set(everything) == set(range(n))


def test_batches_of_the_ranks_make_up_the_global_batch():
    def job(r):
        sampler = dist.DistributedSampler(range(16), seed=1)
        return list(sampler)

    alone = on_ranks(job, 1)[0]
    two = on_ranks(job, 2)
    for k in range(4):
        assert {*two[0][2 * k : 2 * k + 2], *two[1][2 * k : 2 * k + 2]} == set(alone[4 * k : 4 * k + 4])


# ---- optimizers ----


OPTIMIZERS = {
    "SGD": functools.partial(tg.optim.SGD, lr=0.1, momentum=0.9),
    "Adam": ADAM,
    "AdamW": functools.partial(tg.optim.AdamW, lr=0.05, weight_decay=0.1),
    "RMSprop": functools.partial(tg.optim.RMSprop, lr=0.01),
}


@pytest.mark.parametrize("world", [1, 2, 3, 6])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sharded_steps_have_the_bits_of_plain_ones(name, world):
    make = OPTIMIZERS[name]
    plain = on_ranks(lambda r: train(r, world, make=make), world)
    sharded = on_ranks(lambda r: train(r, world, make=lambda p: dist.ShardedOptimizer(p, make.func, **make.keywords)), world)
    for a, b in zip(plain, sharded):
        close(a, b, rtol=0)


def gradients(parameters, seed):
    random = np.random.default_rng(seed)
    for p in parameters:
        p.grad = tg.asarray(random.normal(size=p.shape))


def test_state_is_divided_and_goes_on_anywhere(tmp_path):
    def job(r, resume, world):
        net = network()
        kind = dist.ShardedOptimizer if world else None
        parameters = list(net.parameters())
        optimizer = kind(parameters, tg.optim.Adam, lr=0.1) if kind else tg.optim.Adam(parameters, lr=0.1)
        if resume is not None:
            net.load_state_dict(resume[0])
            optimizer.load_state_dict(resume[1])
        gradients(parameters, 1 if resume is None else 2)
        optimizer.step()
        kept = len(optimizer.shard.state_dict()["state"]) if kind and optimizer.shard else 0
        return values(net), (net.state_dict(), optimizer.state_dict()), kept

    plain = job(0, None, 0)
    end = job(0, plain[1], 0)[0]
    for first in (1, 2, 3):
        found = on_ranks(lambda r, first=first: job(r, None, first), first)
        assert sum(kept for _, _, kept in found) == 4
        close(found[-1][0], plain[0], rtol=0)
        for second in (0, 1, 4):
            if second:
                again = on_ranks(lambda r, s=second, state=found[-1][1]: job(r, state, s), second)
            else:
                again = [job(0, found[0][1], 0)]
            for after, _, _ in again:
                close(after, end, rtol=0)


def test_groups_and_schedulers():
    def job(r, is_sharded):
        net = network()
        groups = [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[2].parameters()}]
        optimizer = dist.ShardedOptimizer(groups, tg.optim.SGD, lr=0.1) if is_sharded else tg.optim.SGD(groups, lr=0.1)
        scheduler = tg.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for step in range(3):
            gradients(net.parameters(), step)
            optimizer.step()
            scheduler.step()
        optimizer.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        return values(net)

    for found in on_ranks(lambda r: job(r, True), 3):
        close(found, job(0, False), rtol=0)


def test_added_groups_keep_the_state():
    def job(r, is_sharded):
        net = network()
        first, second = list(net[0].parameters()), list(net[2].parameters())
        optimizer = dist.ShardedOptimizer(first, tg.optim.Adam) if is_sharded else tg.optim.Adam(first)
        gradients(first, 0)
        optimizer.step()
        optimizer.add_param_group({"params": second, "lr": 0.1})
        gradients(net.parameters(), 1)
        optimizer.step()
        return values(net)

    for found in on_ranks(lambda r: job(r, True), 2):
        close(found, job(0, False), rtol=0)


def test_an_optimizer_that_cannot_be_divided():
    def job(r):
        with pytest.raises(ValueError, match="LBFGS looks at all parameters at once"):
            dist.ShardedOptimizer(nn.Linear(1, 1).parameters(), tg.optim.LBFGS)

    on_ranks(job, 1)


@pytest.mark.parametrize("norm", [1.0, 2.0, 3.5, float("inf")])
def test_clipping_by_the_norm_of_all_ranks(norm):
    grads = RNG.normal(size=(3, 5))

    def job(r, is_divided):
        p = tg.Variable(np.zeros(5 if is_divided else (3, 5)), requires_grad=True)
        p.grad = tg.asarray(grads[r] if is_divided else grads)
        total = dist.clip_grad_norm_([p], 0.5, norm, is_divided=is_divided)
        return total.item(), p.grad.numpy()

    want = np.linalg.norm(grads.ravel(), norm)
    for is_divided in (True, False):
        for r, (total, grad) in enumerate(on_ranks(lambda r, d=is_divided: job(r, d), 3)):
            np.testing.assert_allclose(total, want, rtol=1e-12)
            np.testing.assert_allclose(grad, (grads[r] if is_divided else grads) * 0.5 / (want + 1e-6), rtol=1e-9)


# ---- checkpoints ----


def resumable(rank, world, path, until):
    net = network()
    model = dist.DistributedDataParallel(net)
    optimizer = dist.ShardedOptimizer(model.parameters(), tg.optim.Adam, lr=0.05)
    scheduler = tg.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    found = dist.load_checkpoint(path, parts)
    for step in range(0 if found is None else found["next"], until):
        x, y = X[step * 12 % 24 :][:12][rank::world], Y[step * 12 % 24 :][:12][rank::world]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(tg.asarray(x)), tg.asarray(y)).backward()
        optimizer.step()
        scheduler.step()
        dist.save_checkpoint(path, parts, next=step + 1, seen=[float(x.sum())])
    return values(net)


@pytest.mark.parametrize(("first", "second"), [(2, 2), (2, 1), (1, 4), (4, 2)])
def test_resuming_on_any_number_of_ranks(first, second, tmp_path):
    whole = on_ranks(lambda r: resumable(r, first, tmp_path / "whole", 5), first)[0]
    on_ranks(lambda r: resumable(r, first, tmp_path / "parts", 3), first)
    for found in on_ranks(lambda r: resumable(r, second, tmp_path / "parts", 5), second):
        close(found, whole, rtol=0 if first == second else 1e-10)
    assert set(tg.load(tmp_path / "parts")["parts"]["model"]) == set(network().state_dict())


def test_checkpoints_that_cannot_be_written_or_read(tmp_path):
    bad, other = tmp_path / "bad", tmp_path / "other"
    bad.write_bytes(b"nothing that anyone can read")
    tg.save({"a": 1}, other)

    def job(r):
        net = nn.Linear(1, 1)
        errors = []
        for call in (
            lambda: dist.save_checkpoint(tmp_path / "no" / "folder", {"model": net}),
            lambda: dist.load_checkpoint(bad, {"model": net}),
            lambda: dist.load_checkpoint(other, {"model": net}),
        ):
            with pytest.raises((OSError, ValueError, dist.DistributedError)) as caught:
                call()
            errors.append(str(caught.value))
        assert dist.load_checkpoint(tmp_path / "none", {"model": net}) is None
        dist.save_checkpoint(tmp_path / "good", {"model": net})
        with pytest.raises((KeyError, dist.DistributedError), match="has no part 'optimizer'"):
            dist.load_checkpoint(tmp_path / "good", {"optimizer": tg.optim.SGD(net.parameters())})
        return errors

    own, told = on_ranks(job, 2)
    for mine, theirs in zip(own, told):
        assert "rank 0 failed: " in theirs
        assert mine in theirs
