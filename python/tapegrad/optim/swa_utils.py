"""Averages of a model over training: stochastic weight averaging (Izmailov et al. 2018) and exponential moving averages."""

from __future__ import annotations

import copy
from math import cos, pi

from .. import _core
from ..autograd import no_grad
from ..nn.module import Module
from ..nn.normalization import _BatchNorm
from .lr_scheduler import LRScheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._core import Variable
    from .optimizer import Optimizer


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Variable, Variable, Variable], Variable]:
    """The ``avg_fn`` of an exponential moving average: ``decay`` times the average plus the rest of the new value.

    >>> tg.optim.swa_utils.get_ema_avg_fn(0.75)(tg.Variable(0.0), tg.Variable(4.0), tg.Variable(1)).item()
    1.0
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"get_ema_avg_fn: decay must lie between 0 and 1, not {decay}")

    def average(averaged: Variable, current: Variable, num_averaged: Variable) -> Variable:
        return averaged * decay + current * (1.0 - decay)

    return average


def get_swa_avg_fn() -> Callable[[Variable, Variable, Variable], Variable]:
    """The ``avg_fn`` of the mean of all models so far.

    >>> tg.optim.swa_utils.get_swa_avg_fn()(tg.Variable(0.0), tg.Variable(4.0), tg.Variable(1)).item()
    2.0
    """

    def average(averaged: Variable, current: Variable, num_averaged: Variable) -> Variable:
        return averaged + (current - averaged) / (float(num_averaged) + 1.0)

    return average


def _for_all(average: Callable[[Variable, Variable, Variable], Variable]) -> Callable[..., None]:
    def averages(averaged: Iterable[Variable], current: Iterable[Variable], num_averaged: Variable) -> None:
        with no_grad():
            for old, new in zip(averaged, current):
                if old.dtype.is_inexact:
                    old.copy_(average(old.detach(), new.detach(), num_averaged))
                else:
                    old.copy_(new)

    return averages


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """:func:`get_ema_avg_fn` for lists of parameters, in place.

    >>> swa = tg.optim.swa_utils
    >>> net = tg.nn.Linear(1, 1)
    >>> ema = swa.AveragedModel(net, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    >>> ema.update_parameters(net)
    >>> bool((ema.module.weight == net.weight).all())
    True
    """
    return _for_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """:func:`get_swa_avg_fn` for lists of parameters, in place.

    >>> swa = tg.optim.swa_utils
    >>> net = tg.nn.Linear(1, 1)
    >>> average = swa.AveragedModel(net, multi_avg_fn=swa.get_swa_multi_avg_fn())
    >>> average.update_parameters(net)
    >>> bool((average.module.weight == net.weight).all())
    True
    """
    return _for_all(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's, as often as ``update_parameters(model)`` is called.

    The average is the mean of all models unless ``avg_fn(averaged, current, num_averaged)`` or
    ``multi_avg_fn(averaged_list, current_list, num_averaged)`` says otherwise. Buffers are averaged with ``use_buffers``, and
    else taken from the model.

    >>> model = tg.nn.Linear(1, 1, bias=False)
    >>> ema = tg.optim.swa_utils.AveragedModel(model, multi_avg_fn=tg.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    >>> ema.update_parameters(model)
    >>> ema.n_averaged.item(), list(ema.state_dict())
    (1, ['n_averaged', 'module.weight'])
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Variable, Variable, Variable], Variable] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        from ..nn.device import check_device

        super().__init__()
        check_device("AveragedModel", device)
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model must be a Module, not {type(model).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", _core.zeros((), dtype=_core.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the averaged model."""
        return self.module(*args, **kwargs)

    def _values(self, model: Module) -> list[Variable]:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else [])]

    def update_parameters(self, model: Module) -> None:
        """Takes the present parameters of the model into the average."""
        own, current = self._values(self.module), self._values(model)
        if self.n_averaged.item() == 0:
            with no_grad():
                for old, new in zip(own, current):
                    old.copy_(new.detach())
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn([v.detach() for v in own], [v.detach() for v in current], self.n_averaged)
        else:
            _for_all(self.avg_fn or get_swa_avg_fn())(own, current, self.n_averaged)
        if not self.use_buffers:
            with no_grad():
                for old, new in zip(self.module.buffers(), model.buffers()):
                    old.copy_(new)
        with no_grad():
            self.n_averaged.add_(1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of the batch normalisations of a model anew, from the inputs of a loader.

    >>> model = tg.nn.Sequential(tg.nn.BatchNorm1d(1))
    >>> tg.optim.swa_utils.update_bn([tg.Variable([[1.0], [3.0]])], model)
    >>> model[0].running_mean.tolist(), model[0].momentum
    ([2.0], 0.1)
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    was_training = model.training
    model.train()
    try:
        for m in norms:
            m.reset_running_stats()
            m.momentum = None
        with no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        for m, momentum in zip(norms, momenta):
            m.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to ``swa_lr`` in ``anneal_epochs`` epochs, then constant.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.swa_utils.SWALR(sgd, 0.5, anneal_epochs=1)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        from .lr_scheduler import _per_group, checked

        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy is {anneal_strategy!r}, expected 'cos' or 'linear'")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs must be an int and not negative, not {anneal_epochs!r}")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        checked("SWALR", optimizer)
        for group, rate in zip(optimizer.param_groups, _per_group("SWALR", "swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """The share of the annealing that is done after that many steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - cos(pi * t)) / 2

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            swa = group["swa_lr"]
            start = swa if before == 1 else (group["lr"] - before * swa) / (1 - before)
            rates.append(swa * now + start * (1 - now))
        return rates


__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
