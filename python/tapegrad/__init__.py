"""Automatic differentiation for Python with a Rust core.

>>> w = tg.Variable([1.0, 2.0], requires_grad=True)
>>> loss = tg.sum(w * w)
>>> loss.backward()
>>> w.grad.tolist()
[2.0, 4.0]
"""

from __future__ import annotations

from math import e, inf, nan, pi

from . import _core, autograd
from ._core import *  # noqa: F403
from ._core import __version__
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import func, nn, optim, random, testing
    from ._threads import num_threads
    from .tape import Tape

__all__ = [
    "Tape",
    "__version__",
    "autograd",
    "e",
    "enable_grad",
    "func",
    "inf",
    "is_grad_enabled",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "num_threads",
    "optim",
    "pi",
    "random",
    "set_grad_enabled",
    "testing",
]
__all__ += _core.__all__

#: What indexing takes for a new axis.
newaxis = None
__array_api_version__ = "2024.12"

# What only the Python half calls, or what has its home in a submodule.
_INNER = (
    "HookHandle apply_function backward grad registry samples set_anomaly_raw set_grad_enabled_raw unwatch watch "
    "ASGD Adadelta Adagrad Adam AdamW Adamax Lion NAdam Optimizer RAdam RMSprop Rprop SGD clip_grad_norm_ clip_grad_value_ "
    "Generator bernoulli manual_seed normal permutation rand randint randn uniform"
)
for _name in _INNER.split():
    if _name in __all__:
        __all__.remove(_name)
    globals().pop(_name, None)
__all__ = sorted({name for name in __all__ if not name.startswith("_") or name == "__version__"})  # noqa: PLE0605

_LAZY_MODULES = ("func", "nn", "optim", "random", "tape", "testing")
_LAZY_NAMES = {"Tape": "tape", "num_threads": "_threads"}


def __getattr__(name: str) -> Any:
    # Submodules load when they are asked for: `import tapegrad` itself takes a few milliseconds.
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        found = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *__all__, *_LAZY_MODULES})
