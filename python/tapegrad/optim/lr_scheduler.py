"""Learning rates that change while training, with PyTorch's names and formulas.

A scheduler changes ``group["lr"]`` of its optimizer. Call ``scheduler.step()`` after the optimizer's step, once for each
epoch (or batch, where the schedule counts batches).

>>> x = tg.Variable([1.0], requires_grad=True)
>>> sgd = tg.optim.SGD([x], lr=1.0)
>>> scheduler = tg.optim.lr_scheduler.StepLR(sgd, step_size=2, gamma=0.1)
>>> for _ in range(3):
...     sgd.step()
...     scheduler.step()
>>> round(sgd.param_groups[0]["lr"], 6), scheduler.last_epoch
(0.1, 3)
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from math import cos, floor, inf, log, pi

from .optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


class LRScheduler:
    """Base of the schedulers. A subclass defines ``get_lr()``, the rates of the groups at ``last_epoch``.

    >>> class Halving(tg.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base * 0.5 ** self.last_epoch for base in self.base_lrs]
    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> scheduler = Halving(sgd)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(type(self).__name__, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: group {i} has no 'initial_lr', which a schedule that goes on needs")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self._initial_step()

    def _initial_step(self) -> None:
        self.step()

    def get_lr(self) -> list[float]:
        """The rates of the groups at ``last_epoch``. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Sets the rates of the next epoch, or of this one."""
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", None)
            rates = self.get_lr() if closed is None else closed()
        self._set(rates)

    def _set(self, rates: Iterable[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in self._left_out}

    #: Attributes that are no part of the state.
    _left_out: tuple[str, ...] = ("optimizer",)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        self.__dict__.update(state_dict)


def checked(name: str, optimizer: Any) -> Optimizer:
    """``optimizer``, which must be one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: expected an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def _per_group(name: str, what: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group, from one or a list."""
    groups = optimizer.param_groups
    if isinstance(value, (list, tuple)):
        if len(value) != len(groups):
            raise ValueError(f"{name}: {len(value)} values of {what} for {len(groups)} parameter groups")
        return list(value)
    return [value] * len(groups)


class LambdaLR(LRScheduler):
    """The first rate times ``lr_lambda(epoch)``; one function, or a list with one for each group.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> tg.optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 0.5 / (1 + epoch)).get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        name = type(self).__name__
        self.lr_lambdas = _per_group(name, "lr_lambda", checked(name, optimizer), lr_lambda)
        for f in self.lr_lambdas:
            if not callable(f):
                raise TypeError(
                    f"{name}: lr_lambda must be a function of the epoch, or one for each group, not {type(f).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    _left_out = ("optimizer", "lr_lambdas")

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer; of functions only the attributes of objects that can be called."""
        kept = [None if isinstance(f, type(lambda: 0)) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned; functions stay."""
        state = dict(state_dict)
        for f, kept in zip(self.lr_lambdas, state.pop("lr_lambdas", [])):
            if kept is not None:
                f.__dict__.update(kept)
        super().load_state_dict(state)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas)]


class MultiplicativeLR(LambdaLR):
    """The rate before times ``lr_lambda(epoch)``.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> tg.optim.lr_scheduler.MultiplicativeLR(sgd, lambda epoch: 0.5).get_last_lr()
    [1.0]
    """

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch <= 0:
            return self._rates()
        return [rate * f(self.last_epoch) for rate, f in zip(self._rates(), self.lr_lambdas)]


def positive(name: str, what: str, value: Any) -> Any:
    """A number of steps, checked."""
    if isinstance(value, bool) or not hasattr(value, "__lt__") or isinstance(value, str):
        raise TypeError(f"{name}: {what} must be a number of steps above 0, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{name}: {what} is {value}, expected a number of steps above 0")
    return value


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` epochs.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = positive("StepLR", "step_size", step_size), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times ``gamma`` at each epoch of ``milestones``.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        if not hasattr(milestones, "__iter__"):
            raise TypeError(f"MultiStepLR: milestones must be a list of epochs, not {type(milestones).__name__}")
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch not in self.milestones:
            return self._rates()
        return [rate * self.gamma ** self.milestones[self.last_epoch] for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = sum(count for epoch, count in self.milestones.items() if epoch <= self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for the first ``total_iters`` epochs.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=1)
    >>> scheduler.get_last_lr()
    [0.5]
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must lie between 0 and 1, not {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        return [rate * (1.0 / self.factor) for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` epochs.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must be above 0 and at most 1, not {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must lie between 0 and 1, not {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = positive("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self.last_epoch > self.total_iters:
            return self._rates()
        change = self.end_factor - self.start_factor
        factor = 1.0 + change / (self.total_iters * self.start_factor + (self.last_epoch - 1) * change)
        return [rate * factor for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        change = (self.end_factor - self.start_factor) * min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + change) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times ``gamma`` every epoch.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        return self._rates() if self.last_epoch == 0 else [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The first rate times ``(1 - epoch / total_iters)**power``, which reaches 0.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2, power=1.0)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = positive("PolynomialLR", "total_iters", total_iters), power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return self._rates()
        total, now = self.total_iters, self.last_epoch
        factor = ((1.0 - now / total) / (1.0 - (now - 1) / total)) ** self.power
        return [rate * factor for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """From the first rate to ``eta_min`` in ``T_max`` epochs along a cosine, and back.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> [round(rate, 6) for rate in rates]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = positive("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        now, most, low = self.last_epoch, self.T_max, self.eta_min
        if now == 0:
            return self._rates()
        if self._step_count == 1 and now > 0:
            return self._get_closed_form_lr()
        if (now - 1 - most) % (2 * most) == 0:
            return [rate + (base - low) * (1 - cos(pi / most)) / 2 for rate, base in zip(self._rates(), self.base_lrs)]
        factor = (1 + cos(pi * now / most)) / (1 + cos(pi * (now - 1) / most))
        return [factor * (rate - low) + low for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        share = (1 + cos(pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the first rate to ``eta_min`` along a cosine again and again: ``T_0`` epochs, then ``T_mult`` times as many.

    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> [round(rate, 6) for rate in rates]
    [1.0, 0.5, 1.0]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"CosineAnnealingWarmRestarts: T_0 must be a positive int, not {T_0!r}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"CosineAnnealingWarmRestarts: T_mult must be an int of at least 1, not {T_mult!r}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        share = (1 + cos(pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Sets the rates of the next epoch, or of this one, which may be a part of one: ``epoch + batch / batches``."""
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch must not be negative, not {epoch}")
        elif epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        self.last_epoch = floor(epoch)
        self._set(self.get_lr())


def _momentum_of(name: str, group: dict[str, Any]) -> str:
    """The option of a group that is its momentum."""
    for key in ("betas", "momentum"):
        if key in group:
            return key
    raise ValueError(f"{name}: the optimizer has no momentum to cycle; pass cycle_momentum=False")


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class CyclicLR(LRScheduler):
    """From ``base_lr`` to ``max_lr`` and back in cycles, for each batch (Smith 2017).

    ``mode`` is "triangular", "triangular2" (half as high each time) or "exp_range" (``gamma**batch`` as high), unless
    ``scale_fn`` is given, a function of the cycle or, by ``scale_mode``, of the batch ("iterations"). With
    ``cycle_momentum`` the momentum goes the other way.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = tg.optim.lr_scheduler.CyclicLR(sgd, 0.1, 0.5, step_size_up=2)
    >>> scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6)
    0.3
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        checked(name, optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode is {mode!r}, expected 'triangular', 'triangular2' or 'exp_range'")
        base = _per_group(name, "base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base):
                group["lr"] = group["initial_lr"] = rate
        self.max_lrs = _per_group(name, "max_lr", optimizer, max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums = _per_group(name, "base_momentum", optimizer, base_momentum)
            self.max_momentums = _per_group(name, "max_momentum", optimizer, max_momentum)
            for group in optimizer.param_groups:
                _momentum_of(name, group)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base

    _left_out = ("optimizer", "_scale_fn")

    def scale_fn(self, x: float) -> float:
        """How high the cycle or batch ``x`` goes."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        if self.mode == "triangular2":
            return float(1 / 2.0 ** (x - 1))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; sets the momentum, too."""
        cycle = floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch) * height
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                _set_momentum(group, high - (high - low) * scale)
        return [base + (high - base) * scale for base, high in zip(self.base_lrs, self.max_lrs)]


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` and down far below the start, for each batch, in one cycle (Smith & Topin 2018).

    The cycle has ``total_steps`` batches, or ``epochs * steps_per_epoch``; ``pct_start`` of it goes up from
    ``max_lr / div_factor``; the end is that divided by ``final_div_factor``. With ``cycle_momentum`` the momentum goes the
    other way. With ``three_phase`` the way down ends at the start before it goes on to the end.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0, momentum=0.9)
    >>> tg.optim.lr_scheduler.OneCycleLR(sgd, max_lr=0.5, total_steps=10).get_last_lr()[0] < 0.021
    True
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        checked(name, optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must lie between 0 and 1, not {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is {anneal_strategy!r}, expected 'cos' or 'linear'")
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        total, up = self.total_steps, float(pct_start * self.total_steps)
        # Each phase: its last step, and where rate and momentum go from and to.
        low, high = ("max_momentum", "base_momentum")
        if three_phase:
            self.phases = [
                (up - 1, "initial_lr", "max_lr", low, high),
                (2 * up - 2, "max_lr", "initial_lr", high, low),
                (total - 1, "initial_lr", "min_lr", low, low),
            ]
        else:
            self.phases = [(up - 1, "initial_lr", "max_lr", low, high), (total - 1, "max_lr", "min_lr", high, low)]
        rates = _per_group(name, "max_lr", optimizer, max_lr)
        lows = _per_group(name, "base_momentum", optimizer, base_momentum)
        highs = _per_group(name, "max_momentum", optimizer, max_momentum)
        for group, rate, least, most in zip(optimizer.param_groups, rates, lows, highs):
            if cycle_momentum:
                _momentum_of(name, group)
            if last_epoch == -1:
                first = rate / div_factor
                group.update(initial_lr=first, max_lr=rate, min_lr=first / final_div_factor)
                if cycle_momentum:
                    group.update(max_momentum=most, base_momentum=least)
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (cos(pi * share) + 1)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; sets the momentum, too."""
        now = self.last_epoch
        if now > self.total_steps:
            raise ValueError(f"OneCycleLR: step {now} of {self.total_steps}: the cycle is over")
        number = next((i for i, phase in enumerate(self.phases) if now <= phase[0]), len(self.phases) - 1)
        start = self.phases[number - 1][0] if number else 0.0
        end, *ends = self.phases[number]
        share = (now - start) / (end - start) if end != start else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[ends[0]], group[ends[1]], share))
            if self.cycle_momentum:
                _set_momentum(group, self._anneal(group[ends[2]], group[ends[3]], share))
        return rates


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The batches of a cycle."""
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        total_steps = epochs * steps_per_epoch
    if not isinstance(total_steps, int) or total_steps <= 0:
        raise ValueError(f"OneCycleLR: the number of steps must be a positive int, not {total_steps!r}")
    return total_steps


class ReduceLROnPlateau(LRScheduler):
    """The rate times ``factor`` when a metric has not become better for more than ``patience`` epochs.

    Better is less with ``mode="min"``, more with "max", by ``threshold``, which is relative or with
    ``threshold_mode="abs"`` absolute. ``cooldown`` epochs pass before counting begins again; the rate stays above
    ``min_lr``, and changes below ``eps`` are not made.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> for loss in [1.0, 1.0, 1.0]:
    ...     scheduler.step(loss)
    >>> sgd.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = type(self).__name__
        self.optimizer = checked(name, optimizer)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, not {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode is {mode!r}, expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode is {threshold_mode!r}, expected 'rel' or 'abs'")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = _per_group(name, "min_lr", optimizer, min_lr)
        self.last_epoch = 0
        self._last_lr = self._rates()
        self._reset()

    def _reset(self) -> None:
        self.best = inf if self.mode == "min" else -inf
        self.cooldown_counter = self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Takes the metric of an epoch."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()

    def _reduce(self) -> None:
        if len(self.optimizer.param_groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: the optimizer has {len(self.optimizer.param_groups)} groups now, and min_lr is a list "
                    f"of {len(self.min_lrs)} rates; pass one number as min_lr when groups are added later"
                )
            self.min_lrs = [self.default_min_lr] * len(self.optimizer.param_groups)
        for group, least in zip(self.optimizer.param_groups, self.min_lrs):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    @property
    def in_cooldown(self) -> bool:
        """Whether epochs do not count yet."""
        return self.cooldown_counter > 0

    def is_better(self, a: float, best: float) -> bool:
        """Whether ``a`` is better than ``best`` by the threshold."""
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "rel":
            return sign * a < sign * best * (1.0 - sign * self.threshold)
        return sign * a < sign * best - self.threshold


class SequentialLR(LRScheduler):
    """Schedulers one after the other: the next one begins at each epoch of ``milestones``.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> from tapegrad.optim.lr_scheduler import ConstantLR, ExponentialLR, SequentialLR
    >>> scheduler = SequentialLR(sgd, [ConstantLR(sgd, 0.5, 2), ExponentialLR(sgd, 0.5)], milestones=[2])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(scheduler.get_last_lr()[0])
    ...     scheduler.step()
    >>> rates
    [0.5, 0.5, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self.optimizer = checked("SequentialLR", optimizer)
        if not schedulers:
            raise ValueError("SequentialLR: there are no schedulers")
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: scheduler {i} belongs to another optimizer")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones, not {len(milestones)}"
            )
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        # Every scheduler has set its first rate: all start again, and only the first one sets it.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self._schedulers:
            _undo(scheduler)
        self._schedulers[0]._initial_step()
        self._last_lr = self._rates()

    _left_out = ("optimizer", "_schedulers")

    def step(self, epoch: int | None = None) -> None:
        """Sets the rates of the next epoch. There is no choice of one: each scheduler counts its own epochs."""
        _refuse_epoch(self, epoch)
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler.step(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        _load_with_parts(self, self._schedulers, state_dict)


def _refuse_epoch(scheduler: LRScheduler, epoch: Any) -> None:
    if epoch is not None:
        raise TypeError(f"{type(scheduler).__name__}: step() takes no epoch, got {epoch!r}; each scheduler counts its own epochs")


def _undo(scheduler: Any) -> None:
    """Takes back the first step of a scheduler and of its parts."""
    for part in getattr(scheduler, "_schedulers", []):
        _undo(part)
    scheduler.last_epoch -= 1


def _load_with_parts(owner: Any, parts: list[Any], state_dict: dict[str, Any]) -> None:
    state = dict(state_dict)
    for part, kept in zip(parts, state.pop("_schedulers")):
        part.load_state_dict(kept)
    owner.__dict__.update(state)


class ChainedScheduler(LRScheduler):
    """Several schedulers of one optimizer, which all take every step, one after the other.

    >>> sgd = tg.optim.SGD([tg.Variable([1.0], requires_grad=True)], lr=1.0)
    >>> from tapegrad.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> scheduler = ChainedScheduler([ConstantLR(sgd, 0.5, 2), ExponentialLR(sgd, 0.5)])
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: there are no schedulers")
        self.optimizer = schedulers[0].optimizer if optimizer is None else checked("ChainedScheduler", optimizer)
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"ChainedScheduler: scheduler {i} belongs to another optimizer")
        self._schedulers = list(schedulers)
        self._last_lr = self._rates()

    _left_out = ("optimizer", "_schedulers")

    def step(self, epoch: int | None = None) -> None:
        """Lets all schedulers set the rates of their next epoch. There is no choice of one: each counts its own."""
        _refuse_epoch(self, epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` returned."""
        _load_with_parts(self, self._schedulers, state_dict)


_LRScheduler = LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

if not TYPE_CHECKING:
    from .._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
