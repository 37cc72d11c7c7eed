"""A training loop for models that need no loop of their own.

>>> _ = tg.manual_seed(0)
>>> x = tg.randn(64, 2)
>>> data = tg.utils.data.DataLoader(tg.utils.data.TensorDataset(x, x @ tg.tensor([[1.0], [2.0]])), 16)
>>> model = tg.nn.Linear(2, 1)
>>> optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
>>> history = tg.train.fit(model, data, tg.nn.MSELoss(), optimizer, epochs=20, progress=False)
>>> history["loss"][-1] < 0.1 * history["loss"][0]
True
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ._messages import a_type
from ._names import get_rng_state, set_rng_state
from .autograd import no_grad
from .metrics import Mean
from .serialization import load, save


class History(dict[str, list[float]]):
    """What was measured, one value an epoch, by name: "loss", "val_loss", and the metrics."""

    #: The number of the best epoch, from 0.
    best_epoch: int = -1

    def add(self, values: Mapping[str, float]) -> None:
        """Appends the values of an epoch."""
        for name, value in values.items():
            self.setdefault(name, []).append(float(value))

    def plot(self, path: Any = None) -> Any:
        """Draws losses and metrics over the epochs; writes the picture to ``path``, if given. Needs matplotlib."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("History.plot needs the package matplotlib: pip install matplotlib") from None
        kinds = sorted({name.removeprefix("val_") for name in self}, key=lambda kind: (kind != "loss", kind))
        figure = Figure(figsize=(6 * max(len(kinds), 1), 4), layout="constrained")
        for i, kind in enumerate(kinds):
            axes = figure.add_subplot(1, len(kinds), i + 1)
            for name, label in ((kind, "training"), (f"val_{kind}", "validation")):
                if name in self:
                    axes.plot(range(1, len(self[name]) + 1), self[name], label=label)
            axes.set(title=kind, xlabel="epoch")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure


def _split(batch: Any) -> tuple[list[Any], Any]:
    if not isinstance(batch, (list, tuple)) or len(batch) < 2:
        raise TypeError(
            f"fit: a batch is {a_type(batch)}; expected a list of inputs with the target last. "
            "For other batches pass step=, a function of the model and a batch that returns the loss"
        )
    return list(batch[:-1]), batch[-1]


def _size(batch: Any) -> int:
    first = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
    if isinstance(first, Mapping) and first:
        first = next(iter(first.values()))
    shape: tuple[int, ...] = getattr(first, "shape", ())
    return int(shape[0]) if len(shape) else 1


class _Bar:
    """A progress bar of tqdm, or none."""

    def __init__(self, show: bool | None, total: int | None, title: str) -> None:
        self._bar: Any = None
        if show is False or (show is None and not _leads()):
            return
        try:
            from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            if show:
                raise ImportError("fit(progress=True) needs the package tqdm: pip install tqdm") from None
            return
        self._bar = tqdm(total=total, desc=title, leave=True, disable=None if show is None else False)

    def step(self, loss: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update()

    def close(self, values: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()})
            self._bar.close()


def _leads() -> bool:
    """Whether this process writes: of a job of several ranks only the first one does."""
    distributed = sys.modules.get("tapegrad.distributed.group")
    group = None if distributed is None else distributed.group_or_none()
    return group is None or group.rank == 0


def _writer(folder: Any) -> Any:
    if folder is None or not _leads():
        return None
    try:
        from tensorboardX import SummaryWriter  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from tensorboard.summary import Writer as SummaryWriter  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            raise ImportError("fit(log_dir=) needs the package tensorboardX or tensorboard: pip install tensorboardX") from None
    return SummaryWriter(str(folder))


class _Run:
    """One call of :func:`fit`."""

    def __init__(self, model: Any, loss: Any, optimizer: Any, options: dict[str, Any]) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scheduler, self.scaler = options["scheduler"], options["scaler"]
        self.step, self.metrics = options["step"], options["metrics"] or {}
        self.accumulate, self.clip = options["accumulate"], options["clip_norm"]
        self.every_batch = options["scheduler_interval"] == "batch"
        self.monitor, self.patience, self.min_delta = options["monitor"], options["patience"], options["min_delta"]
        self.keep = self.patience is not None and options["restore_best"]
        self.history = History()
        self.best, self.best_state, self.waited = math.inf, None, 0

    def forward(self, batch: Any) -> tuple[Any, Any, Any]:
        """Loss, output and target of a batch."""
        if self.step is not None:
            return self.step(self.model, batch), None, None
        inputs, target = _split(batch)
        output = self.model(*inputs)
        return self.loss(output, target), output, target

    def update(self) -> None:
        """One step of the optimizer."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.clip is not None:
            from .nn.utils import clip_grad_norm_

            clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], self.clip)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad()
        if self.every_batch and self.scheduler is not None:
            self.scheduler.step()

    def train(self, loader: Iterable[Any], bar: _Bar) -> dict[str, float]:
        """One epoch."""
        self.model.train()
        means = _Means()
        waiting, groups = 0, _remaining(loader, self.accumulate)
        for i, batch in enumerate(loader):
            loss, output, target = self.forward(batch)
            means.add(loss, output, target, _size(batch), self.metrics)
            parts = self.accumulate if groups is None or i < groups * self.accumulate else _rest(loader, self.accumulate)
            scaled = loss if parts == 1 else loss / parts
            (scaled if self.scaler is None else self.scaler.scale(scaled)).backward()
            waiting += 1
            if waiting == self.accumulate:
                self.update()
                waiting = 0
            bar.step(means.loss.compute())
        if waiting:
            self.update()
        if means.count == 0:
            raise ValueError("fit: the loader gave no batch")
        return means.compute()

    def validate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Loss and metrics without learning."""
        self.model.eval()
        means = _Means()
        try:
            with no_grad():
                for batch in loader:
                    means.add(*self.forward(batch), _size(batch), self.metrics)
        finally:
            self.model.train()
        return {f"val_{name}": value for name, value in means.compute().items()}

    def parts(self, loader: Any) -> dict[str, Any]:
        """What may have a state of its own."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.scaler,
            "loader": loader,
        }

    def state(self, epoch: int, loader: Any) -> dict[str, Any]:
        """All that decides how training goes on."""
        state: dict[str, Any] = {
            name: part.state_dict() for name, part in self.parts(loader).items() if hasattr(part, "state_dict")
        }
        return state | {
            "epoch": epoch,
            "history": dict(self.history),
            "best": [self.best, self.history.best_epoch, self.waited, self.best_state],
            "random": list(get_rng_state()),
        }

    def restore(self, state: dict[str, Any], loader: Any) -> int:
        """Goes on from a checkpoint; returns the number of the next epoch."""
        for name, part in self.parts(loader).items():
            if name in state and hasattr(part, "load_state_dict"):
                part.load_state_dict(state[name])
        self.history.update(state["history"])
        self.best, self.history.best_epoch, self.waited, self.best_state = state["best"]
        set_rng_state(state["random"])
        return int(state["epoch"])

    def epochs(self, epochs: int, loader: Any, validation: Any, checkpoint: Any, writer: Any, progress: bool | None) -> History:
        """The epochs that are left."""
        first = self.restore(load(checkpoint), loader) if checkpoint is not None and Path(checkpoint).exists() else 0
        for epoch in range(first, epochs):
            if self.patience is not None and self.waited > self.patience:
                break
            values = self.epoch(loader, validation, _Bar(progress, _length(loader), f"epoch {epoch + 1}/{epochs}"))
            self.history.add(values)
            self.note(values[self.monitor], epoch)
            if self.scheduler is not None and not self.every_batch:
                self.scheduler.step(*([values[self.monitor]] if type(self.scheduler).__name__ == "ReduceLROnPlateau" else []))
            if writer is not None:
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch + 1)
            if checkpoint is not None:
                state = self.state(epoch + 1, loader)  # on all ranks: a divided optimizer gathers its state
                if _leads():
                    save(state, checkpoint)
        if writer is not None:
            writer.close()
        if self.keep and self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        return self.history

    def epoch(self, loader: Any, validation: Any, bar: _Bar) -> dict[str, float]:
        """One epoch, with validation."""
        values = self.train(loader, bar)
        if validation is not None:
            values |= self.validate(validation)
        if self.monitor not in values:
            raise ValueError(f"fit: monitor={self.monitor!r} is not measured; there are {sorted(values)}")
        bar.close(values)
        return values

    def note(self, value: float, epoch: int) -> None:
        """Remembers the best epoch."""
        if not value < self.best - self.min_delta:
            self.waited += 1
            return
        self.best, self.waited, self.history.best_epoch = value, 0, epoch
        if self.keep:
            self.best_state = copy.deepcopy(self.model.state_dict())


class _Means:
    def __init__(self) -> None:
        self.loss = Mean()
        self.others: dict[str, Mean] = {}
        self.count = 0

    def add(self, loss: Any, output: Any, target: Any, n: int, metrics: Mapping[str, Callable[..., Any]]) -> None:
        self.count += 1
        self.loss.update(loss, n)
        if output is not None:
            for name, metric in metrics.items():
                self.others.setdefault(name, Mean()).update(metric(output.detach(), target), n)

    def compute(self) -> dict[str, float]:
        return {"loss": self.loss.compute(), **{name: mean.compute() for name, mean in self.others.items()}}


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None


def _remaining(loader: Any, accumulate: int) -> int | None:
    n = _length(loader)
    return None if n is None else n // accumulate


def _rest(loader: Any, accumulate: int) -> int:
    return (_length(loader) or 0) % accumulate or accumulate


def _check(epochs: int, accumulate: int, patience: int | None, interval: str, monitor: str, validation: Any) -> None:
    if epochs < 0 or accumulate < 1 or (patience is not None and patience < 0):
        raise ValueError(
            f"fit: epochs={epochs}, accumulate={accumulate}, patience={patience}; expected 0 or more, 1 or more, 0 or more"
        )
    if interval not in {"epoch", "batch"}:
        raise ValueError(f"fit: scheduler_interval must be 'epoch' or 'batch', got {interval!r}")
    if monitor.startswith("val_") and validation is None:
        raise ValueError(f"fit: monitor={monitor!r} needs validation data")


#: What is handed on to a run.
_OPTIONS = (
    *("scheduler", "scheduler_interval", "scaler", "step", "metrics", "accumulate", "clip_norm"),
    *("monitor", "patience", "min_delta", "restore_best"),
)


def fit(  # noqa: D417 - options that belong together share an entry
    model: Any,
    loader: Any,
    loss: Callable[..., Any] | None,
    optimizer: Any,
    *,
    epochs: int = 1,
    validation: Any = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    step: Callable[[Any, Any], Any] | None = None,
    scheduler: Any = None,
    scheduler_interval: str = "epoch",
    accumulate: int = 1,
    clip_norm: float | None = None,
    scaler: Any = None,
    monitor: str | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    restore_best: bool = True,
    checkpoint: Any = None,
    log_dir: Any = None,
    progress: bool | None = None,
) -> History:
    """Trains a model and returns what was measured in each epoch.

    Args:
        model: called with the inputs of a batch.
        loader: batches ``[inputs…, target]``, such as a DataLoader.
        loss: called with the output and the target; ``optimizer`` is over the model's parameters.
        epochs: how often the data is gone through, counted from the beginning also when training is resumed.
        validation: batches to measure, without learning, after each epoch.
        metrics: further measures by name, functions of output and target, as in :mod:`tapegrad.metrics`.
        step: in place of ``loss``: a function of model and batch that returns the loss.
        scheduler: stepped after each epoch, or batch: ``scheduler_interval`` is "epoch" or "batch".
        accumulate: how many batches make one step of the optimizer, with the mean of their gradients.
        clip_norm: the most that the norm of the gradients may be; ``scaler`` is a :class:`tapegrad.amp.GradScaler`.
        monitor: what decides which epoch is best, the lower the better; "val_loss" with validation data, else "loss".
        patience: stops when ``monitor`` has not become lower, by ``min_delta``, for more than that many epochs. With
            ``restore_best`` the model then has the values of its best epoch.
        checkpoint: a file that is written after each epoch; when it exists, training goes on from it, bit for bit.
        log_dir: a folder for TensorBoard's event files.
        progress: whether bars are shown; None shows them in a terminal.

    >>> data = tg.utils.data.TensorDataset(tg.ones(8, 2), tg.ones(8, 1))
    >>> loader, net = tg.utils.data.DataLoader(data, batch_size=4), tg.nn.Linear(2, 1)
    >>> history = tg.train.fit(net, loader, tg.nn.MSELoss(), tg.optim.SGD(net.parameters(), lr=0.1), epochs=3, progress=False)
    >>> len(history["loss"]), history["loss"][-1] < history["loss"][0]
    (3, True)
    """
    monitor = monitor or ("val_loss" if validation is not None else "loss")
    _check(epochs, accumulate, patience, scheduler_interval, monitor, validation)
    for what, given in (("loader", loader), ("validation", validation)):
        if given is not None and not hasattr(given, "__iter__") and not hasattr(given, "__getitem__"):
            raise TypeError(f"fit: {what} must give batches, as a DataLoader does, not {type(given).__name__}")
    found = locals()
    run = _Run(model, loss, optimizer, {name: found[name] for name in _OPTIONS})
    return run.epochs(epochs, loader, validation, checkpoint, _writer(log_dir), progress)


__all__ = ["History", "fit"]
