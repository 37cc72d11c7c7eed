"""An optimizer whose state is divided among the ranks (ZeRO, stage 1), and clipping by the norm of gradients on all ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import _core
from .._core import Variable
from ..autograd import no_grad
from ..nn.utils import clip_grad_norm_ as clip_on_this_rank
from ..optim import LBFGS, Optimizer
from ..optim.optimizer import loss_of
from .group import current_group
from .messages import all_gather_object
from .pack import Layout, texts_of


def owners_of(sizes: Iterable[int], ranks: int) -> list[int]:
    """A rank for each parameter: the largest first, each to the rank that has the least; the same on every rank.

    >>> owners_of([10, 1, 7, 4], 2)
    [0, 0, 1, 1]
    """
    numbers = list(sizes)
    loads = [0] * ranks
    owners = [0] * len(numbers)
    for i in sorted(range(len(numbers)), key=lambda k: (-numbers[k], k)):
        owners[i] = min(range(ranks), key=lambda r: (loads[r], r))
        loads[owners[i]] += numbers[i]
    return owners


class ShardedOptimizer(Optimizer):
    """``optimizer_class(params, **options)``, whose state for each parameter is on one rank only.

    Each rank updates its parameters and broadcasts them, so a step sends as many bytes as the parameters have, and the results
    are the bits of the plain optimizer. Gradients must be the same on all ranks, as DistributedDataParallel makes them.
    ``state_dict()`` is that of the plain optimizer, gathered: every rank calls it and ``load_state_dict``, and it can be loaded
    on another number of ranks, or without any.

    An optimizer that looks at all parameters at once, as LBFGS, cannot be divided.

    >>> def job():
    ...     w = [tg.Variable([1.0, 2.0], requires_grad=True) for _ in range(3)]
    ...     optimizer = tg.distributed.ShardedOptimizer(w, tg.optim.Adam, lr=0.1)
    ...     sum((x * x).sum() for x in w).backward()
    ...     optimizer.step()
    ...     return [round(x, 4) for x in w[2].tolist()], len(optimizer.shard.state_dict()["state"])
    >>> tg.distributed.run_local(job, 2)
    [([0.9, 1.9], 2), ([0.9, 1.9], 1)]
    """

    #: The optimizer of this rank's parameters; None when it has none.
    shard: Optimizer | None

    def __new__(cls, *args: Any, **kwargs: Any) -> ShardedOptimizer:
        """A new optimizer; the arguments are checked by ``optimizer_class``."""
        return object.__new__(cls)

    def __init__(self, params: Any, optimizer_class: Callable[..., Any], **options: Any) -> None:
        if optimizer_class is LBFGS:
            raise ValueError("ShardedOptimizer: LBFGS looks at all parameters at once and cannot be divided among ranks")
        self._group = current_group("ShardedOptimizer")
        whole = optimizer_class(params, **options)
        self._start(whole.defaults)
        self.state = defaultdict(dict)
        self.optimizer_class = optimizer_class
        self.param_groups = whole.param_groups
        self._divide()

    def _divide(self) -> None:
        """Gives each parameter to a rank, and builds the optimizer of this rank's."""
        parameters = self._parameters()
        self._group.agree(f"ShardedOptimizer of {texts_of(parameters)}")
        self._owners = owners_of((p.nbytes for p in parameters), self._group.size)
        mine = {id(p) for p, owner in zip(parameters, self._owners) if owner == self._group.rank}
        # A group of this rank for each group that has parameters of it.
        self._places = [i for i, g in enumerate(self.param_groups) if any(id(p) in mine for p in g["params"])]
        groups = []
        for i in self._places:
            group = {key: value for key, value in self.param_groups[i].items() if key != "param_names"}
            groups.append({**group, "params": [p for p in group["params"] if id(p) in mine]})
        self.shard = self.optimizer_class(groups) if groups else None

    def _parameters(self) -> list[Variable]:
        return [p for group in self.param_groups for p in group["params"]]

    def _pass_options(self) -> None:
        """Options of the groups, which schedulers change, reach the groups of this rank."""
        if self.shard is not None:
            for i, own in zip(self._places, self.shard.param_groups):
                own.update({k: v for k, v in self.param_groups[i].items() if k not in ("params", "param_names")})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates this rank's parameters, then takes over those of the others."""
        loss = loss_of(closure, type(self).__name__)
        self._pass_options()
        if self.shard is not None:
            self.shard.step()
        self._exchange()
        return loss

    def _exchange(self) -> None:
        group, parameters = self._group, self._parameters()
        what = f"ShardedOptimizer.step of {len(parameters)} parameters"
        group.agree(what)
        if group.size == 1:
            return
        shares = []
        for rank in range(group.size):
            own = [p for p, owner in zip(parameters, self._owners) if owner == rank]
            if own:
                layout = Layout(own)
                buffers = [b.copy() for b in layout.pack(own)] if rank == group.rank else layout.empty()
                shares.append((rank, own, layout, buffers, [group.backend.broadcast(b, rank) for b in buffers]))
        with no_grad():
            for rank, own, layout, buffers, requests in shares:
                group.wait(requests, f"{what}, those of rank {rank}")
                if rank != group.rank:
                    for p, new in zip(own, layout.unpack(buffers)):
                        p.copy_(new)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, on every rank; its parameters get owners, those of the others stay where they are."""
        kept = None if not hasattr(self, "shard") else self.state_dict()
        super().add_param_group(param_group)
        self._divide()
        if kept is not None:
            kept["param_groups"] = super()._saved()["param_groups"]
            self._load(kept)

    def _saved(self) -> dict[str, Any]:
        """The state of all ranks, on each of them."""
        self._pass_options()
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        mine: dict[int, Any] = {}
        if self.shard is not None:
            own = [p for group in self.shard.param_groups for p in group["params"]]
            mine = {numbers[id(own[i])]: kept for i, kept in self.shard.state_dict()["state"].items()}
        state = {i: kept for part in all_gather_object(mine) for i, kept in part.items()}
        whole = super()._saved()
        return {"state": {i: state[i] for i in sorted(state)}, "param_groups": whole["param_groups"]}

    def _load(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and this rank's part of the state."""
        super()._load(state_dict)
        self.state = defaultdict(dict)
        self._pass_options()
        if self.shard is None:
            return
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        own = [p for group in self.shard.param_groups for p in group["params"]]
        state = {k: state_dict["state"][numbers[id(p)]] for k, p in enumerate(own) if numbers[id(p)] in state_dict["state"]}
        self.shard.load_state_dict({"state": state, "param_groups": self.shard.state_dict()["param_groups"]})


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, *, is_divided: bool = False) -> Variable:
    """Scales gradients so that their norm over the whole model is at most ``max_norm``; returns what the norm was.

    After DistributedDataParallel the gradients are the same on all ranks, so each rank measures its own and needs no message.
    With ``is_divided`` each rank has other parameters, which together are the model: the norms of all ranks are combined.

    >>> def job():
    ...     x = tg.Variable([3.0, 4.0][tg.distributed.get_rank()], requires_grad=True)
    ...     (x * x / 2).backward()
    ...     norm = tg.distributed.clip_grad_norm_([x], 1.0, is_divided=True)
    ...     return norm.item(), round(x.grad.item(), 4)
    >>> tg.distributed.run_local(job, 2)
    [(5.0, 0.6), (5.0, 0.8)]
    """
    items = [parameters] if isinstance(parameters, Variable) else list(parameters)
    if not is_divided:
        return clip_on_this_rank(items, max_norm, norm_type)
    from .collectives import all_reduce

    grads = [p.grad for p in items if p.grad is not None]
    parts = np.array([float(_core.norm(_core.reshape(g.detach(), (-1,)), norm_type).item()) for g in grads])
    if math.isinf(norm_type):
        total = float(all_reduce(_core.asarray(np.max(parts, initial=0.0)), "max").item())
    else:
        total = float(all_reduce(_core.asarray(np.sum(parts**norm_type))).item()) ** (1.0 / norm_type)
    factor = min(max_norm / (total + 1e-6), 1.0)
    with no_grad():
        for g in grads:
            g.mul_(factor)
    return _core.asarray(total, dtype=grads[0].dtype if grads else None)


__all__ = ["ShardedOptimizer", "clip_grad_norm_", "owners_of"]
