"""Optimizers that use norms, matrices or rows of a parameter, not only single elements."""

from __future__ import annotations

from math import sqrt

from .. import _core
from .._rows import RowGradient, whole
from ..autograd import no_grad
from .optimizer import Optimizer, decay_rates, loss_of, not_negative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from .._core import Variable
    from .optimizer import Params


class _ByParameter(Optimizer):
    """Base of optimizers whose step updates one parameter after the other."""

    #: Whether ``_update`` takes RowGradients.
    takes_rows: ClassVar[bool] = False

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient."""
        loss = loss_of(closure, type(self).__name__)
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    g = p.grad
                    if g is None or not p.requires_grad:
                        continue
                    g = g.detach() if self.takes_rows else whole(g)
                    self._update(p, -g if group.get("maximize") else g, group)
        return loss

    def _update(self, p: Variable, g: Variable, group: dict[str, Any]) -> None:
        """Updates ``p`` by the gradient ``g``, which is negated to maximize. Subclasses define it."""
        raise NotImplementedError


class Muon(_ByParameter):
    """Muon (Jordan et al. 2024): momentum made orthogonal by Newton and Schulz's iteration. For matrices alone.

    ``adjust_lr_fn`` scales the learning rate by the shape: "original" by √max(1, rows / columns), "match_rms_adamw" by
    0.2 √max(rows, columns), so that AdamW's rates fit. Parameters shrink by lr * weight_decay. The iteration runs in the
    parameter's precision; PyTorch's runs in bfloat16, so steps agree to some two digits.

    >>> w = tg.Variable([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> muon = tg.optim.Muon([w], lr=0.5, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> muon.step()
    >>> bool(w[0, 0].item() < 3.0), muon.param_groups[0]["ns_steps"]
    (True, 5)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        not_negative("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum, eps=eps)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Muon: adjust_lr_fn is {adjust_lr_fn!r}, expected 'original' or 'match_rms_adamw'")
        if not 0 < ns_steps < 100:
            raise ValueError(f"Muon: ns_steps must lie between 1 and 99, not {ns_steps}")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon: parameters must be matrices, not of shape {p.shape}; give others to AdamW")

    def _update(self, p: Variable, g: Variable, group: dict[str, Any]) -> None:
        state, momentum = self.state[p], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = _core.zeros_like(g)
        buffer = state["momentum_buffer"]
        buffer.add_((g - buffer) * (1.0 - momentum))
        update = g + (buffer - g) * momentum if group["nesterov"] else buffer
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            factor = 0.2 * sqrt(max(rows, columns))
        else:
            factor = sqrt(max(1.0, rows / columns)) if columns else 1.0
        p.mul_(1.0 - group["lr"] * group["weight_decay"])
        p.add_(update, alpha=-group["lr"] * factor)


def orthogonalized(x: Variable, coefficients: tuple[float, float, float], steps: int, eps: float) -> Variable:
    """The nearest orthogonal matrix, roughly: singular values near 1 by a quintic iteration."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    y = x.mT if tall else x
    y = y / max(float(_core.norm(y).item()), eps)
    for _ in range(steps):
        gram = _core.matmul(y, y.mT)
        y = a * y + _core.matmul(b * gram + c * _core.matmul(gram, gram), y)
    return y.mT if tall else y


class LARS(_ByParameter):
    """LARS (You et al. 2017): SGD with momentum whose rate for each parameter follows from the norms of it and its gradient.

    The local rate is ``trust_coefficient |p| / (|g| + weight_decay |p| + eps)``, and 1 where a norm is 0.

    >>> x = tg.Variable([3.0, 4.0], requires_grad=True)
    >>> lars = tg.optim.LARS([x], lr=1.0, momentum=0.0, trust_coefficient=0.1)
    >>> x.sum().backward()
    >>> lars.step()
    >>> [round(v, 3) for v in x.tolist()]
    [2.646, 3.646]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        dampening: float = 0.0,
        nesterov: bool = False,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        not_negative("LARS", lr=lr, momentum=momentum, weight_decay=weight_decay, trust_coefficient=trust_coefficient, eps=eps)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("LARS: nesterov needs a momentum above 0 and no dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "dampening": dampening,
            "nesterov": nesterov,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, p: Variable, g: Variable, group: dict[str, Any]) -> None:
        decay, momentum = group["weight_decay"], group["momentum"]
        size, slope = float(_core.norm(p.detach()).item()), float(_core.norm(g).item())
        local = 1.0
        if size > 0 and slope > 0:
            local = group["trust_coefficient"] * size / (slope + decay * size + group["eps"])
        step = (g + p * decay if decay else g) * local
        if momentum:
            state = self.state[p]
            if "momentum_buffer" in state:
                state["momentum_buffer"].mul_(momentum).add_(step, alpha=1.0 - group["dampening"])
            else:
                state["momentum_buffer"] = step.clone()
            buffer = state["momentum_buffer"]
            step = step + buffer * momentum if group["nesterov"] else buffer
        p.add_(step, alpha=-group["lr"])


class Adafactor(_ByParameter):
    """Adafactor (Shazeer & Stern 2018): of the mean square of a matrix only means of rows and columns are kept.

    The step is limited to a root mean square of ``d``, relative to that of the parameter (at least ``eps[1]``); the learning
    rate falls as 1/√step below ``lr``.

    >>> x = tg.Variable([[3.0, 1.0]], requires_grad=True)
    >>> adafactor = tg.optim.Adafactor([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> adafactor.step()
    >>> sorted(adafactor.state[x])
    ['col_var', 'row_var', 'step']
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        not_negative("Adafactor", lr=lr, weight_decay=weight_decay)
        if beta2_decay > 0:
            raise ValueError(f"Adafactor: beta2_decay must not be positive, not {beta2_decay}")
        if d < 1:
            raise ValueError(f"Adafactor: d must be at least 1, not {d}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, p: Variable, g: Variable, group: dict[str, Any]) -> None:
        from ..nn.functional.normalization import EPSILON

        eps1 = EPSILON[str(p.dtype)] if group["eps"][0] is None else group["eps"][0]
        state = self.state[p]
        state["step"] = state.get("step", 0) + 1
        share = float(state["step"]) ** group["beta2_decay"]
        rate = min(group["lr"], 1.0 / sqrt(state["step"]))
        alpha = max(group["eps"][1], _rms(p.detach())) * rate
        if group["weight_decay"]:
            p.mul_(1.0 - group["lr"] * group["weight_decay"])
        if g.ndim > 1:
            rows = _moved(state, "row_var", _core.mean(g * g, axis=-1, keepdims=True), share)
            columns = _moved(state, "col_var", _core.mean(g * g, axis=-2, keepdims=True), share)
            mean = _core.maximum(_core.mean(rows, axis=-2, keepdims=True), eps1)
            variance = _core.matmul(rows, columns) / mean
        else:
            variance = _moved(state, "variance", g * g, share)
        update = g / _core.sqrt(_core.maximum(variance, eps1 * eps1))
        p.add_(update, alpha=-alpha / max(1.0, _rms(update) / group["d"]))


def _moved(state: dict[str, Any], name: str, now: Variable, share: float) -> Variable:
    """A running mean after an update by a share of a new value."""
    if name not in state:
        state[name] = _core.zeros_like(now)
    mean: Variable = state[name]
    mean.add_((now - mean) * share)
    return mean


def _rms(x: Variable) -> float:
    return float(_core.norm(_core.reshape(x, (-1,))).item()) / sqrt(max(x.size, 1))


class SparseAdam(_ByParameter):
    """Adam for parameters of which a step reaches a few rows: the state of rows whose gradient is zero stays as it is.

    With the gradients by rows of ``nn.Embedding(sparse=True)`` a step costs those rows and not the table.

    >>> table = tg.Variable([[1.0], [2.0]], requires_grad=True)
    >>> adam = tg.optim.SparseAdam([table], lr=0.5)
    >>> table[0].sum().backward()
    >>> adam.step()
    >>> [round(v, 4) for v, in table.tolist()]
    [0.5, 2.0]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        not_negative("SparseAdam", lr=lr, eps=eps)
        decay_rates("SparseAdam", betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    takes_rows = True

    def _update(self, p: Variable, g: Any, group: dict[str, Any]) -> None:
        state = self.state[p]
        state["step"] = state.get("step", 0) + 1
        for name in ("exp_avg", "exp_avg_sq"):
            if name not in state:
                state[name] = _core.zeros(p.shape, dtype=p.dtype)
        b1, b2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        size = group["lr"] * sqrt(1.0 - b2 ** state["step"]) / (1.0 - b1 ** state["step"])
        if isinstance(g, RowGradient):
            g = g.coalesce()
            at, values = g.rows, g.values
            m, s = mean[at], square[at]
            mean[at] = m = m + (values - m) * (1.0 - b1)
            square[at] = s = s + (values * values - s) * (1.0 - b2)
            p[at] = p[at] - m / (_core.sqrt(s) + group["eps"]) * size
            return
        touched = _core.any(g != 0.0, axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim > 1 else g != 0.0
        mean.copy_(_core.where(touched, mean + (g - mean) * (1.0 - b1), mean))
        square.copy_(_core.where(touched, square + (g * g - square) * (1.0 - b2), square))
        p.add_(_core.where(touched, mean / (_core.sqrt(square) + group["eps"]), 0.0), alpha=-size)


__all__ = ["LARS", "Adafactor", "Muon", "SparseAdam"]
