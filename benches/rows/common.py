"""What a row is, and the frameworks it may call."""

from __future__ import annotations

import importlib
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# A function to call, or a statement: what is so short that a call around it would show.
Form = Callable[[], Any] | timeit.Timer


def statement(text: str, **names: Any) -> timeit.Timer:
    """A statement over these names. The garbage collector runs, as with functions."""
    return timeit.Timer(text, "import gc; gc.enable()", globals=names)


@dataclass
class Row:
    """The same work in several frameworks. With `check`, all are functions that must agree before they are timed."""

    name: str
    forms: Mapping[str, Form]
    check: bool = False


def load(name: str) -> Any:
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@dataclass
class Peers:
    """The frameworks that are installed; None for the others."""

    np: Any
    tg: Any
    torch: Any
    jax: Any
    autograd: Any
    mlx: Any

    @classmethod
    def installed(cls, names: set[str], threads: int | None = None) -> Peers:
        """NumPy and those of `names` that there are; with `threads`, each limited to these as far as it can be told."""
        modules = {"tapegrad": "tapegrad", "torch": "torch", "jax": "jax", "autograd": "autograd", "mlx": "mlx.core"}
        found = cls(load("numpy"), *(load(module) if name in names else None for name, module in modules.items()))
        if found.jax:
            importlib.import_module("jax.numpy")
        if found.torch and threads:
            found.torch.set_num_threads(threads)
        return found

    def versions(self) -> dict[str, str]:
        """What there is, with its version, for the head of a table."""
        there = {"tapegrad": self.tg, "numpy": self.np, "torch": self.torch, "jax": self.jax, "mlx": self.mlx}
        written = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "mlx": "MLX"}
        found = {name: f"{written.get(name, name)} {module.__version__}" for name, module in there.items() if module}
        if self.autograd:
            from importlib.metadata import version

            found["autograd"] = f"autograd {version('autograd')}"
        return found


def from_arrays(
    p: Peers,
    name: str,
    arrays: list[Any],
    ours: Callable[..., Any],
    *,
    numpy: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    jax: Callable[..., Any] | None = None,
) -> Row:
    """A row of functions of arrays: each framework gets them as its own, JAX compiles its function."""
    vs = [p.tg.Variable(a) for a in arrays]
    forms: dict[str, Callable[[], Any]] = {"tapegrad": lambda: ours(*vs)}
    if numpy:
        forms["numpy"] = lambda: numpy(*arrays)
    if p.torch and torch:
        ts = [p.torch.from_numpy(a) for a in arrays]
        forms["torch"] = lambda: torch(*ts)
    if p.jax and jax:
        js = [p.jax.numpy.asarray(a) for a in arrays]
        compiled = p.jax.jit(jax)
        forms["jax jit"] = lambda: p.jax.block_until_ready(compiled(*js))
    return Row(name, forms, check=True)


def with_gradients(
    p: Peers, name: str, arrays: list[Any], ours: Callable[..., Any], torch: Callable[..., Any], jax: Callable[..., Any]
) -> Row:
    """A scalar function of float arrays and its gradients by all of them, in each framework's usual way."""
    vs = [p.tg.Variable(a, requires_grad=True) for a in arrays]
    forms: dict[str, Callable[[], Any]] = {"tapegrad": lambda: p.tg.autograd.grad(ours(*vs), vs)}
    if p.torch:
        ts = [p.torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
        forms["torch"] = lambda: p.torch.autograd.grad(torch(*ts), ts)
    if p.jax:
        js = [p.jax.numpy.asarray(a) for a in arrays]
        compiled = p.jax.jit(p.jax.grad(jax, argnums=tuple(range(len(arrays)))))
        forms["jax jit"] = lambda: p.jax.block_until_ready(compiled(*js))
    return Row(name, forms, check=True)
