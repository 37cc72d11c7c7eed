"""Balances a pole on a cart with what it learns of each action's worth (deep Q-learning) on CartPole-v1 of gymnasium.

    python examples/dqn.py [--steps 60000] [--seed 0]

A double DQN (van Hasselt et al. 2016): the network chooses the next action, a slow copy of it says what that is worth.
It ends when ten episodes without exploration have a mean return of 475 of 500. The returns go to examples/output/dqn.png.
"""

from __future__ import annotations

import copy

import gymnasium as gym
import numpy as np
from tqdm import tqdm

import tapegrad as tg
from cartpole import draw
from style import arguments, save
from tapegrad import nn
from tapegrad.nn import functional as F

GAMMA, BATCH, KEPT = 0.99, 64, 50_000
#: So many steps of the cart, then so many of the optimizer.
PLAYED, LEARNED, RATE = 256, 128, 2.3e-3


class Memory:
    """The last KEPT steps: states, actions, rewards, next states, and whether the pole fell."""

    def __init__(self) -> None:
        shapes = ((4,), np.float32), ((), np.int64), ((), np.float32), ((4,), np.float32), ((), np.float32)
        self.columns = [np.zeros((KEPT, *shape), dtype) for shape, dtype in shapes]
        self.count = 0

    def add(self, *step: object) -> None:
        """Overwrites the oldest step when it is full."""
        for column, value in zip(self.columns, step):
            column[self.count % KEPT] = value
        self.count += 1

    def draw(self, random: np.random.Generator) -> list[tg.Variable]:
        """A batch of steps."""
        places = random.integers(0, min(self.count, KEPT), BATCH)
        return [tg.asarray(column[places]) for column in self.columns]


def learn(net: nn.Module, slow: nn.Module, optimizer: tg.optim.Optimizer, batch: list[tg.Variable]) -> None:
    """One step towards reward + GAMMA * worth of the next state."""
    state, action, reward, after, fell = batch
    with tg.no_grad():
        best = net(after).argmax(axis=1, keepdims=True)
        target = reward + GAMMA * (1 - fell) * slow(after).gather(1, best)[:, 0]
    loss = F.smooth_l1_loss(net(state).gather(1, action[:, None])[:, 0], target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    optimizer.step()


@tg.no_grad()
def greedy(net: nn.Module, state: np.ndarray) -> int:
    """The action that the network thinks the best."""
    return int(net(tg.asarray(state)).argmax())


def examine(net: nn.Module, seed: int, episodes: int = 10) -> float:
    """The mean return of episodes without exploration, on carts of their own."""
    cart, total = gym.make("CartPole-v1"), 0.0
    for i in range(episodes):
        state, ended = cart.reset(seed=1000 * (seed + 1) + i)[0], False
        while not ended:
            state, reward, fell, over, _ = cart.step(greedy(net, state))
            total, ended = total + float(reward), fell or over
    return total / episodes


def train(steps: int, seed: int) -> tuple[list[float], float]:
    """Learns until the task is solved or the steps are used up; returns each episode's return, and the last examination's."""
    tg.manual_seed(seed)
    random, cart, memory = np.random.default_rng(seed), gym.make("CartPole-v1"), Memory()
    net = nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    slow, optimizer = copy.deepcopy(net), tg.optim.Adam(net.parameters(), lr=RATE)
    state, score, returns, mark = cart.reset(seed=seed)[0], 0.0, [], 0.0
    bar = tqdm(range(1, steps + 1), desc="dqn", unit="step")
    for i in bar:
        optimizer.param_groups[0]["lr"] = RATE * (1 - 0.9 * i / steps)
        action = int(random.integers(2)) if random.random() < max(0.04, 1 - i / 8000) else greedy(net, state)
        after, reward, fell, over, _ = cart.step(action)
        memory.add(state, action, reward, after, fell)
        state, score = after, score + float(reward)
        if fell or over:
            returns.append(score)
            state, score = cart.reset()[0], 0.0
        if i % PLAYED == 0:
            slow.load_state_dict(net.state_dict())
            for _ in range(LEARNED):
                learn(net, slow, optimizer, memory.draw(random))
            if np.mean(returns[-5:]) > 300 or i + PLAYED > steps:
                mark = examine(net, seed)
            bar.set_postfix(last_20=f"{np.mean(returns[-20:]):.0f}", examined=f"{mark:.0f}", refresh=False)
            if mark >= 475:
                break
    return returns, mark


def main() -> None:
    """Learns and draws."""
    options = arguments(__doc__, steps=(60000, "steps at most"), seed=(0, "of the network and the cart"))
    returns, mark = train(options.steps, options.seed)
    print(f"{len(returns)} episodes; the mean return of ten more without exploration: {mark:.1f}")
    title = f"CartPole-v1 by DQN: {mark:.0f} of 500 without exploration"
    print(f"wrote {save(draw(returns, title, window=10), 'dqn.png', options.output)}")


if __name__ == "__main__":
    main()
