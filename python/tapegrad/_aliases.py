"""PyTorch's functions that are methods or NumPy functions of other names here. `make generate` writes their stubs."""

from __future__ import annotations

from types import FunctionType

from . import _core
from ._habits import ALIASES, METHODS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Methods of the table that are functions as well.
FUNCTIONS = (
    "t permute narrow sub mul div clamp clamp_min clamp_max frac addcmul addcdiv mm mv addmm addmv baddbmm addr "
    "masked_select index_select repeat_interleave scatter is_nonzero unflatten"
)


def _signature_of(method: FunctionType) -> FunctionType:
    """A copy of a method for `inspect.signature`: PyTorch's functions call the first parameter ``input``."""
    code = method.__code__.replace(co_varnames=("input", *method.__code__.co_varnames[1:]))
    copy = FunctionType(code, method.__globals__, method.__name__, method.__defaults__, method.__closure__)
    copy.__kwdefaults__ = method.__kwdefaults__
    return copy


def _function(name: str) -> Callable[..., Any]:
    method = METHODS[name]

    def call(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = method(_core.asarray(input), *args, **kwargs)
        if out is None:
            return result
        from ._numpy_options import into_each

        return into_each(name, out, result)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "tapegrad"
    call.__doc__ = method.__doc__
    call.__wrapped__ = _signature_of(method)  # type: ignore[attr-defined]
    return call


def clone(input: Any, *, memory_format: Any = None) -> _core.Variable:
    """As ``input.clone()``."""
    return _core.asarray(input).clone()


def detach(input: Any) -> _core.Variable:
    """As ``input.detach()``."""
    return _core.asarray(input).detach()


_FUNCTIONS = {name: _function(name) for name in FUNCTIONS.split()}
_FUNCTIONS |= {
    name: getattr(_core, target) for name, target in ALIASES.items() if not hasattr(_core, name) and hasattr(_core, target)
}
globals().update(_FUNCTIONS)
__all__ = sorted([*_FUNCTIONS, "clone", "detach"])  # noqa: PLE0605
