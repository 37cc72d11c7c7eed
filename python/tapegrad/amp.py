"""Mixed precision: float16 and bfloat16 store arrays, and every operation computes in float32."""

from __future__ import annotations

from functools import wraps

from . import _core
from ._rows import RowGradient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self


class autocast:
    """A block, or a decorated function, in which products of float32 arrays give ``dtype``: bfloat16, or float16.

    Matrix products, convolutions and attention round their operands and their results. Losses, normalisations, softmax, sums,
    powers, exponentials and logarithms take float32 and give it. Other operations promote dtypes as elsewhere. Arrays of float64
    and of integers are left alone. As everywhere the arithmetic is that of float32: a block saves memory, not time.

    ``dtype`` is bfloat16 by default, float16 for the device "cuda", which is accepted here for programs that name it.
    ``enabled=False`` and ``dtype=tg.float32`` end the rounding in a block inside another. ``cache_enabled`` has no effect.

    >>> with tg.autocast("cpu", dtype=tg.bfloat16):
    ...     y = tg.ones((2, 3)) @ tg.ones((3, 2))
    ...     p = tg.softmax(y, 1)
    >>> y.dtype, p.dtype
    (tapegrad.bfloat16, tapegrad.float32)
    """

    def __init__(
        self, device_type: str = "cpu", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        device = str(device_type).split(":")[0]
        if device not in {"cpu", "cuda"}:
            raise ValueError(f"autocast: there is one device, 'cpu', got {device_type!r}")
        wanted = (_core.bfloat16 if device == "cpu" else _core.float16) if dtype is None else _core.DType(dtype)
        if wanted not in (_core.float16, _core.bfloat16, _core.float32):
            raise _core.DTypeError(f"autocast: expected bfloat16 or float16, or float32 for no rounding, got {wanted}")
        self._dtype = wanted if enabled and wanted != _core.float32 else None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before.append(_core._set_autocast(self._dtype))
        return self

    def __exit__(self, *exc: object) -> None:
        _core._set_autocast(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs in the block."""

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            before = _core._set_autocast(self._dtype)
            try:
                return function(*args, **kwargs)
            finally:
                _core._set_autocast(before)

        return run


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether this thread is in a block of :class:`autocast`.

    >>> tg.amp.is_autocast_enabled()
    False
    """
    return _core._get_autocast() is not None


def get_autocast_dtype(device_type: str = "cpu") -> Any:
    """The dtype that products give in the block of :class:`autocast` that this thread is in; bfloat16 outside of one.

    >>> with tg.autocast("cpu", dtype=tg.float16):
    ...     tg.get_autocast_dtype()
    tapegrad.float16
    """
    return _core._get_autocast() or _core.bfloat16


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` works for a device: for the CPU.

    >>> tg.amp.is_autocast_available("cpu"), tg.amp.is_autocast_available("cuda")
    (True, False)
    """
    return device_type == "cpu"


class GradScaler:
    """Scales a loss up so that small gradients do not vanish, and skips steps whose gradients overflow.

    Methods and defaults are PyTorch's.

    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer, scaler = tg.optim.SGD([w], lr=0.1), tg.amp.GradScaler()
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> round(w.item(), 4)
    0.8
    """

    def __init__(
        self,
        device: Any = "cpu",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._scale, self._enabled = float(init_scale), enabled
        self._configure(growth_factor, backoff_factor, growth_interval)
        self._good = 0
        self._overflowed: bool = False
        self._unscaled: set[int] = set()

    def _configure(self, growth: float, backoff: float, interval: int) -> None:
        if growth <= 1 or not 0 < backoff < 1 or interval < 1:
            raise ValueError(
                "GradScaler: expected growth_factor above 1, backoff_factor between 0 and 1, growth_interval from 1 on"
            )
        self._growth, self._backoff, self._interval = growth, backoff, interval

    def get_growth_factor(self) -> float:
        """What the factor is multiplied by after ``growth_interval`` steps without an overflow."""
        return self._growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets :meth:`get_growth_factor`."""
        self._configure(new_factor, self._backoff, self._interval)

    def get_backoff_factor(self) -> float:
        """What the factor is multiplied by after an overflow."""
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets :meth:`get_backoff_factor`."""
        self._configure(self._growth, new_factor, self._interval)

    def get_growth_interval(self) -> int:
        """How many steps without an overflow make the factor grow."""
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets :meth:`get_growth_interval`."""
        self._configure(self._growth, self._backoff, new_interval)

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_scale(self) -> float:
        """The present factor; 1 when it is not enabled."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """A loss, or a list of losses, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(x) for x in outputs)
        return outputs * self._scale

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer's parameters by the factor, for clipping; ``step`` does it when this has not."""
        if not self._enabled:
            return
        if id(optimizer) in self._unscaled:
            raise RuntimeError("GradScaler: unscale_() was called twice for an optimizer since update()")
        self._unscaled.add(id(optimizer))
        found = _core.set_grad_enabled_raw(False)
        try:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    p.grad.mul_(1.0 / self._scale)
                    values = p.grad.values if isinstance(p.grad, RowGradient) else p.grad
                    if not bool(_core.isfinite(_core.sum(values))) and not bool(_core.isfinite(values).all()):
                        self._overflowed = True
        finally:
            _core.set_grad_enabled_raw(found)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()``, unless a gradient is infinite or NaN."""
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"GradScaler.step: expected an Optimizer, not {type(optimizer).__name__}")
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        return None if self._overflowed else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Makes the factor smaller after an overflow, and larger after many steps without one."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif self._overflowed:
            self._scale *= self._backoff
            self._good = 0
        else:
            self._good += 1
            if self._good == self._interval:
                self._scale *= self._growth
                self._good = 0
        self._overflowed = False
        self._unscaled.clear()

    def state_dict(self) -> dict[str, Any]:
        """The factor and its settings."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": self._good,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state."""
        if not self._enabled:
            return
        self._scale, self._growth = float(state_dict["scale"]), state_dict["growth_factor"]
        self._backoff, self._interval = state_dict["backoff_factor"], state_dict["growth_interval"]
        self._good = state_dict["_growth_tracker"]


__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_available", "is_autocast_enabled"]
