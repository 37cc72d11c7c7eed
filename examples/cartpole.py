"""Balances a pole on a cart: a policy that is learned by its gradient (PPO) on CartPole-v1 of the package gymnasium.

    python examples/cartpole.py [--steps 400000] [--seed 0]

It ends when the last 100 episodes have a mean return of 475 of 500. The returns go to examples/output/cartpole.png.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from tqdm import tqdm

import tapegrad as tg
from style import BLUE, GREEN, SOFT, arguments, save
from tapegrad import nn

CARTS, LENGTH, GAMMA, LAMBDA, CLIP = 8, 128, 0.99, 0.95, 0.2


def network(outputs: int, scale: float) -> nn.Sequential:
    """Two hidden layers; the last one begins small."""
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))
    net[4].weight.data.mul_(scale)
    return net


class Carts:
    """Several carts at once, which begin anew when they end."""

    def __init__(self, seed: int) -> None:
        self.all = [gym.make("CartPole-v1") for _ in range(CARTS)]
        self.state = np.stack([cart.reset(seed=seed * CARTS + i)[0] for i, cart in enumerate(self.all)])
        self.score, self.returns = np.zeros(CARTS), []

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Which carts have ended."""
        ended = np.zeros(CARTS, np.float32)
        for i, (cart, action) in enumerate(zip(self.all, actions)):
            self.state[i], reward, fell, over, _ = cart.step(int(action))
            self.score[i] += reward
            if fell or over:
                self.returns.append(self.score[i])
                self.score[i], ended[i], self.state[i] = 0, 1, cart.reset()[0]
        return ended


@tg.no_grad()
def play(carts: Carts, policy: nn.Module, critic: nn.Module) -> list[np.ndarray]:
    """LENGTH steps of all carts: states, actions, their log-probabilities, advantages and targets of the critic."""
    steps = []
    for _ in range(LENGTH):
        s = tg.tensor(carts.state, dtype=tg.float32)
        log = tg.log_softmax(policy(s), axis=1)
        a = tg.multinomial(tg.exp(log), 1)
        chosen = a.numpy()[:, 0]
        steps.append((s.numpy(), chosen, log.gather(1, a).numpy()[:, 0], critic(s).numpy()[:, 0], carts.step(chosen)))
    states, actions, logs, values, ended = (np.stack(x) for x in zip(*steps))
    after = critic(tg.tensor(carts.state, dtype=tg.float32)).numpy()[:, 0]
    advantage, total = np.zeros_like(values), np.zeros(CARTS, np.float32)
    for t in reversed(range(LENGTH)):
        surprise = 1 + GAMMA * (1 - ended[t]) * after - values[t]  # the reward of a step is 1
        total = advantage[t] = surprise + GAMMA * LAMBDA * (1 - ended[t]) * total
        after = values[t]
    return [np.concatenate(x) for x in (states, actions, logs, advantage, advantage + values)]


def train(steps: int, seed: int) -> list[float]:
    """Learns until the task is solved or the steps are used up; returns the return of each episode."""
    tg.manual_seed(seed)
    carts, policy, critic = Carts(seed), network(2, 0.01), network(1, 1.0)
    parameters = [*policy.parameters(), *critic.parameters()]
    optimizer = tg.optim.Adam(parameters, lr=1e-3, eps=1e-5)
    rounds = max(steps // (CARTS * LENGTH), 1)
    for i in (bar := tqdm(range(rounds), desc="cartpole", unit="round")):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - i / rounds)
        data = tg.utils.data.TensorDataset(*play(carts, policy, critic))
        for _ in range(6):
            for s, a, old, advantage, target in tg.utils.data.DataLoader(data, batch_size=256, shuffle=True):
                log = tg.log_softmax(policy(s), axis=1)
                ratio = tg.exp(log.gather(1, a[:, None])[:, 0] - old)
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                gain = tg.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
                entropy = -tg.sum(tg.exp(log) * log, axis=1).mean()
                loss = nn.functional.mse_loss(critic(s)[:, 0], target) * 0.5 - gain - 0.01 * entropy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
        bar.set_postfix(last_100=f"{(last := np.mean(carts.returns[-100:] or [0])):.0f}")
        if len(carts.returns) >= 100 and last >= 475:
            break
    return carts.returns


def draw(returns: list[float], title: str, window: int = 100) -> Figure:
    """The return of each episode, and means of some."""
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    axes.scatter(range(len(returns)), returns, s=6, color=SOFT, linewidth=0, label="episode")
    means = [np.mean(returns[max(i - window, 0) : i]) for i in range(1, len(returns) + 1)]
    axes.plot(means, color=BLUE, lw=2, label=f"mean of {window}")
    axes.axhline(475, color=GREEN, ls="--", label="solved")
    axes.set(xlabel="episode", ylabel="return", title=title)
    axes.legend(loc="center left")
    return figure


def main() -> None:
    """Learns and draws."""
    options = arguments(__doc__, steps=(400000, "steps of all carts at most"), seed=(0, "of networks and carts"))
    returns = train(options.steps, options.seed)
    print(f"mean return of the last 100 of {len(returns)} episodes: {np.mean(returns[-100:]):.1f}")
    print(f"wrote {save(draw(returns, 'CartPole-v1 by PPO'), 'cartpole.png', options.output)}")


if __name__ == "__main__":
    main()
