"""Modules that learn the shapes of their parameters from their first input."""

from __future__ import annotations

from .. import _core
from .linear import Linear
from .module import Module
from .parameter import Parameter, Uninitialized, UninitializedParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .._core import Variable


class LazyModuleMixin(Module):
    """Base of modules whose parameters get their shapes in the first call, which also makes them their plain class.

    A subclass names that class in ``cls_to_become``, registers :class:`UninitializedParameter` objects, and defines
    ``initialize_parameters(*inputs)``, which calls :meth:`materialize` for each of them.

    >>> lazy = tg.nn.LazyLinear(2)
    >>> lazy.has_uninitialized_params()
    True
    """

    cls_to_become: ClassVar[type[Module] | None] = None

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        own = [*self._own_parameters(), *self._own_buffers()]
        return any(isinstance(value, Uninitialized) for _, value in own)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and first values. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no initialize_parameters(...)")

    def materialize(self, name: str, shape: tuple[int, ...]) -> None:
        """Puts a parameter or buffer of zeros in the place of an uninitialized one."""
        old = getattr(self, name)
        new = _core.zeros(shape, dtype=old.dtype)
        self.__dict__[name] = Parameter(new, old.requires_grad) if isinstance(old, UninitializedParameter) else new

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._become(args, kwargs)
        return Module.__call__(self, *args, **kwargs)

    def _become(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.has_uninitialized_params():
            with _core_no_grad():
                self.initialize_parameters(*args, **kwargs)
        self._infer()
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def _infer(self) -> None:
        """Sets attributes that follow from the shapes of the parameters, which a state dict may have brought."""


def _core_no_grad() -> Any:
    from ..autograd import no_grad

    return no_grad()


class LazyLinear(LazyModuleMixin, Linear):
    """A :class:`Linear` whose ``in_features`` is the last axis of its first input.

    >>> layer = tg.nn.LazyLinear(2)
    >>> layer(tg.ones((4, 3))).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self.weight = UninitializedParameter(dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws the parameters anew, once they are there."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Variable) -> None:
        """Takes ``in_features`` from the input."""
        self.in_features = input.shape[-1]
        self.materialize("weight", (self.out_features, self.in_features))
        if self.bias is not None:
            self.materialize("bias", (self.out_features,))
        self.reset_parameters()

    def _infer(self) -> None:
        self.out_features, self.in_features = self.weight.shape


__all__ = ["LazyLinear", "LazyModuleMixin"]
