"""Optimizers whose step is one call into Rust."""

from __future__ import annotations

import copy

from .. import _core
from .._core import Variable
from .._rows import RowGradient, row_gradients
from ..autograd import no_grad
from .optimizer import Optimizer, checked_group, groups_of, loss_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from .optimizer import Params


class FusedOptimizer(Optimizer):
    """Base of optimizers whose groups and state the core holds.

    ``param_groups`` are dicts that may be changed, and the next step honours them. ``state`` is a snapshot. ``foreach``,
    ``fused`` and ``capturable`` choose between ways of computing in PyTorch; they are accepted and change nothing.
    """

    #: The core's class.
    engine: ClassVar[Any] = None

    def __init__(self, params: Params, differentiable: bool = False, **options: Any) -> None:
        name = type(self).__name__
        if differentiable:
            raise NotImplementedError(f"{name}: differentiable=True is not supported; write the update with operations instead")
        lr = options["lr"]
        if isinstance(lr, Variable) and lr.size == 1 and not lr.requires_grad:
            options["lr"] = lr.item()
        groups = [checked_group(name, group) for group in groups_of(name, params)]
        try:
            self._core = type(self).engine(groups, **options)
        except TypeError as error:
            if str(error).startswith("argument '"):
                raise TypeError(f"{name}(): {str(error).partition(chr(10))[0]}") from None
            raise
        self._start(self._core.defaults)
        self.param_groups = self._core.param_groups

    @property
    def state(self) -> Any:
        """What is remembered of each parameter: a snapshot, a dict of dicts with the parameters as keys."""
        return self._core.state

    def step(self, closure: Callable[[], Any] | None = None, *, clip_norm: float | None = None) -> Any:
        """Updates every parameter that has a gradient.

        ``closure``, if given, is called first with recording on; it computes the loss and its gradients, and step returns
        the loss. With ``clip_norm`` the step is the one that ``tg.nn.utils.clip_grad_norm_(parameters, clip_norm)`` before
        it would give, for all parameters of the optimizer together; the gradients themselves stay as they are.
        """
        if RowGradient.used:
            return self._step_with_tables(closure, clip_norm)
        if closure is None and clip_norm is None:
            return self._core.step()
        return self._core.step(closure, clip_norm=clip_norm)

    def _step_with_tables(self, closure: Callable[[], Any] | None, clip_norm: float | None) -> Any:
        """A step where gradients may be those of rows: they are updated alone, or become arrays for the core."""
        loss = loss_of(closure, type(self).__name__)
        kept: list[tuple[Any, Any]] = []
        for group in self.param_groups:
            for p in row_gradients(group["params"]):
                if clip_norm is None and self._update_rows(p, group):
                    continue
                kept.append((p, p.grad))
                p.grad = p.grad.to_dense()
        try:
            self._core.step(None, clip_norm=clip_norm)
        finally:
            for p, grad in kept:
                p.grad = grad
        return loss

    def _update_rows(self, p: Any, group: dict[str, Any]) -> bool:
        """Updates the rows that have a gradient, where that is the whole step; otherwise False."""
        return False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or with ``set_to_none=False`` overwrites them with zeros."""
        self._core.zero_grad(set_to_none)
        for group in self.param_groups if RowGradient.used else ():
            for p in row_gradients(group["params"]):
                p.grad = None if set_to_none else _core.zeros_like(p)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dict with "params" and options that differ from the defaults."""
        self._core.add_param_group(checked_group(type(self).__name__, param_group))

    def _saved(self) -> dict[str, Any]:
        saved: dict[str, Any] = self._core.state_dict()
        return saved

    def _load(self, state_dict: dict[str, Any]) -> None:
        self._core.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_core"], state["param_groups"]
        own = [dict(group) for group in self.param_groups]
        return {**state, "groups": own, "saved": self._core.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        groups, saved = state.pop("groups"), state.pop("saved")
        super().__setstate__(state)
        self._core = type(self).engine(groups, **_constructor_options(type(self).engine, self.defaults))
        self._core.load_state_dict(saved)
        self.param_groups = self._core.param_groups
        self.defaults = self._core.defaults

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return new


def _constructor_options(engine: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults that the engine's constructor takes."""
    fixed = {"decoupled_weight_decay"} if engine in DECOUPLED else set()
    return {key: value for key, value in defaults.items() if key not in fixed}


#: Engines that are another one with decoupled weight decay, which they have as an option that cannot be given.
DECOUPLED = {_core.AdamW}


class SGD(FusedOptimizer):
    """Stochastic gradient descent with momentum (Polyak 1964; Sutskever et al. 2013 for nesterov).

    ``params`` is an iterable of Variables that require gradients, of (name, Variable) pairs, or of dicts with "params" and
    options of their own. State belongs to the parameter, and a step is one call into the core.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.SGD([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    0.0
    """

    engine: ClassVar[Any] = _core.SGD

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _update_rows(self, p: Any, group: dict[str, Any]) -> bool:
        if group["momentum"] or group["weight_decay"]:
            return False
        grad = p.grad.coalesce()
        with no_grad():
            p[grad.rows] = p[grad.rows] + grad.values * (group["lr"] if group["maximize"] else -group["lr"])
        return True


class Adam(FusedOptimizer):
    """Adam (Kingma & Ba 2015); with ``amsgrad`` as Reddi et al. (2018) have it.

    ``weight_decay`` is part of the gradient, unless ``decoupled_weight_decay`` makes this :class:`AdamW`.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Adam([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.Adam

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )


class AdamW(FusedOptimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): parameters shrink by lr * weight_decay in each step.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.AdamW([x], lr=0.5, weight_decay=0.0)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.AdamW

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, differentiable, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize
        )


class RMSprop(FusedOptimizer):
    """RMSprop (Hinton 2012); ``centered`` as Graves (2013) has it.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.RMSprop([x], lr=0.5, alpha=0.0)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.RMSprop

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )


class Adagrad(FusedOptimizer):
    """Adagrad (Duchi et al. 2011): steps shrink with the sum of squared gradients.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Adagrad([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.Adagrad

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )


class Adadelta(FusedOptimizer):
    """Adadelta (Zeiler 2012): steps in the units of the parameter.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Adadelta([x], lr=10.0)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.9684
    """

    engine: ClassVar[Any] = _core.Adadelta

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, differentiable, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)


class Adamax(FusedOptimizer):
    """Adamax (Kingma & Ba 2015): Adam with the largest gradient in the place of the mean square.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Adamax([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.Adamax

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, differentiable, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)


class NAdam(FusedOptimizer):
    """Adam with Nesterov's momentum (Dozat 2016), which grows in the first steps.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.NAdam([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.4718
    """

    engine: ClassVar[Any] = _core.NAdam

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )


class RAdam(FusedOptimizer):
    """Rectified Adam (Liu et al. 2019): the mean square is left out until it can be trusted.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.RAdam([x], lr=0.25)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    1.5
    """

    engine: ClassVar[Any] = _core.RAdam

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            differentiable,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )


class ASGD(FusedOptimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992); the average is ``state[p]["ax"]``.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.ASGD([x], lr=0.5, lambd=0.0)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    0.0
    """

    engine: ClassVar[Any] = _core.ASGD

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, differentiable, lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, maximize=maximize
        )


class Rprop(FusedOptimizer):
    """Rprop (Riedmiller & Braun 1993): steps by the sign of the gradient, longer while it stays. For whole batches.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Rprop([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.Rprop

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, differentiable, lr=lr, etas=etas, step_sizes=step_sizes, maximize=maximize)


class Lion(FusedOptimizer):
    """Lion (Chen et al. 2023): steps by the sign of a mean of gradients; parameters shrink by lr * weight_decay.

    >>> x = tg.Variable(3.0, requires_grad=True)
    >>> optimizer = tg.optim.Lion([x], lr=0.5)
    >>> (x ** 2).backward()
    >>> optimizer.step()
    >>> round(x.item(), 4)
    2.5
    """

    engine: ClassVar[Any] = _core.Lion

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, differentiable, lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize)


__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
]
