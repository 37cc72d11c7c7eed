"""The recipes of the guide for Ray, where it is installed: replicas that may die, and a map over hyperparameters."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim

ray = pytest.importorskip("ray")

X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
Y = np.sin(X[:, :2])


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    paths = os.pathsep.join(p for p in (os.environ.get("PYTHONPATH"), os.path.dirname(__file__)) if p)  # noqa: PTH120
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    yield
    ray.shutdown()


def make_network():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


class Replica:
    """A model and its optimizer, in a process of its own."""

    def __init__(self, state=None):
        self.net = make_network()
        self.optimizer = optim.Adam(self.net.parameters(), lr=0.05)
        if state is not None:
            self.load(state)

    def load(self, state):
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])

    def gradients(self, x, y):
        """The gradients of the loss of a share."""
        self.optimizer.zero_grad()
        nn.functional.mse_loss(self.net(tg.asarray(x)), tg.asarray(y)).backward()
        return [p.grad.numpy() for p in self.net.parameters()]

    def step(self, mean):
        """With the mean, which all replicas read in the object store."""
        for p, g in zip(self.net.parameters(), mean):
            p.grad = tg.asarray(g)
        self.optimizer.step()

    def state(self):
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def shares_memory(self, x):
        """Whether a Variable of an array of the object store lies in it."""
        return bool(np.shares_memory(tg.asarray(x).numpy(), x)) and not x.flags.writeable

    def die(self):
        os._exit(1)


def step(replicas, shares):
    """One step of all replicas on their shares of a batch."""
    parts = ray.get([r.gradients.remote(x, y) for r, (x, y) in zip(replicas, shares)], timeout=60)
    weights = [len(x) / sum(len(x) for x, _ in shares) for x, _ in shares]
    mean = ray.put([sum(w * g for w, g in zip(weights, gs)) for gs in zip(*parts)])
    ray.get([r.step.remote(mean) for r in replicas], timeout=60)


def alone(steps):
    replica = Replica()
    for _ in range(steps):
        replica.step(replica.gradients(X, Y))
    return [p.detach().numpy() for p in replica.net.parameters()]


def test_replicas_and_a_death(tmp_path):
    actor = ray.remote(num_cpus=0.5)(Replica)
    replicas = [actor.remote(), actor.remote()]
    shares = [(X[:20], Y[:20]), (X[20:], Y[20:])]
    path = tmp_path / "checkpoint"
    for number in range(6):
        if number == 4:
            replicas[1].die.remote()  # after step 4, one step after the checkpoint of step 3
        try:
            step(replicas, shares)
        except ray.exceptions.RayActorError:
            saved = tg.load(path)
            assert saved["steps"] == 4
            ray.get(replicas[0].load.remote(saved), timeout=60)
            replicas[1] = actor.remote(saved)
            step(replicas, shares)
        tg.save({**ray.get(replicas[0].state.remote(), timeout=60), "steps": number + 1}, path)
    assert ray.get(replicas[0].shares_memory.remote(ray.put(np.ones(100_000))), timeout=60)
    states = ray.get([r.state.remote() for r in replicas], timeout=60)
    for name, mine, want in zip(states[0]["net"], states[0]["net"].values(), alone(6)):
        np.testing.assert_array_equal(mine.numpy(), states[1]["net"][name].numpy())
        np.testing.assert_allclose(mine.numpy(), want, rtol=1e-4, atol=1e-6)


def test_a_map_over_hyperparameters():
    @ray.remote(num_cpus=1)
    def loss(rate):
        tg.set_num_threads(1)
        net = make_network()
        optimizer = optim.SGD(net.parameters(), lr=rate)
        for _ in range(20):
            optimizer.zero_grad()
            value = nn.functional.mse_loss(net(tg.asarray(X)), tg.asarray(Y))
            value.backward()
            optimizer.step()
        return value.item()

    rates = [1e-3, 1e-2, 1e-1]
    found = dict(zip(rates, ray.get([loss.remote(rate) for rate in rates], timeout=60)))
    assert found[1e-1] < found[1e-2] < found[1e-3]
