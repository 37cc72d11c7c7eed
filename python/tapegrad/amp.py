"""Mixed precision. There are no 16-bit dtypes here yet: scaling of losses works, `autocast` to them raises an error."""

from __future__ import annotations

from . import _core
from ._rows import RowGradient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class autocast:
    """A block, or a decorated function, in which operations would run in a smaller dtype.

    Only ``enabled=False`` and ``dtype=tg.float32``, which change nothing, work yet.

    >>> with tg.amp.autocast("cpu", enabled=False):
    ...     y = tg.ones(2) * 2
    """

    def __init__(
        self, device_type: str = "cpu", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if str(device_type).split(":")[0] not in {"cpu", "cuda"}:
            raise ValueError(f"autocast: there is one device, 'cpu', got {device_type!r}")
        if enabled and (dtype is None or dtype != _core.float32):
            raise _core.DTypeError("autocast: there is no float16 or bfloat16 here yet; pass enabled=False to run in float32")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        """A function that runs in the block."""
        return function


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
        if growth_factor <= 1 or not 0 < backoff_factor < 1 or growth_interval < 1:
            raise ValueError(
                "GradScaler: expected growth_factor above 1, backoff_factor between 0 and 1, growth_interval from 1 on"
            )
        self._scale, self._enabled = float(init_scale), enabled
        self._growth, self._backoff, self._interval = growth_factor, backoff_factor, growth_interval
        self._good = 0
        self._overflowed: bool = False
        self._unscaled: set[int] = set()

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


__all__ = ["GradScaler", "autocast"]
