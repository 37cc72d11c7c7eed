"""Calling a module with other parameters than its own."""

from __future__ import annotations

from ..module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """What ``module(*args, **kwargs)`` returns with the given values in the place of its parameters and buffers.

    The values stand under the names of ``named_parameters`` and ``named_buffers``, in one dictionary or several; others
    keep their value. Gradients flow to the given values. Values that the module shares under several names are replaced
    under all of them unless ``tie_weights=False``; with ``strict`` every name must be given.

    >>> layer = tg.nn.Linear(2, 1, bias=False)
    >>> tg.nn.functional_call(layer, {"weight": tg.ones((1, 2))}, (tg.ones((1, 2)),)).tolist()
    [[2.0]]
    """
    if hasattr(parameter_and_buffer_dicts, "keys"):
        given = dict(parameter_and_buffer_dicts)
    else:
        given = {}
        for part in parameter_and_buffer_dicts:
            twice = sorted(set(given) & set(part))
            if twice:
                raise ValueError(f"functional_call: {twice[0]!r} is given in two dictionaries")
            given.update(part)
    places = _places(module, given, tie_weights, strict)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in places]
    try:
        for owner, name, value in places:
            owner.__dict__[name] = value
        return module(*args, **(kwargs or {}))
    finally:
        for owner, name, old in before:
            owner.__dict__[name] = old


def _places(module: Module, given: dict[str, Any], tie: bool, strict: bool) -> list[tuple[Module, str, Any]]:
    """The attributes to replace, and their new values."""
    own: dict[str, tuple[Module, str, Any]] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for name, value in [*part._own_parameters(), *part._own_buffers()]:
            own[f"{path}.{name}" if path else name] = (part, name, value)
    unknown = [name for name in given if name not in own]
    if unknown:
        raise KeyError(f"functional_call: {type(module).__name__} has no parameter or buffer {unknown[0]!r}")
    shared: dict[int, list[str]] = {}
    for key, (_, _, value) in own.items():
        shared.setdefault(id(value), []).append(key)
    values: dict[str, Any] = {}
    for key, value in given.items():
        for other in shared[id(own[key][2])] if tie else [key]:
            if other in given and given[other] is not value:
                raise ValueError(f"functional_call: {key!r} and {other!r} are one value of the module and got two")
            values[other] = value
    missing = [key for key in own if key not in values]
    if strict and missing:
        raise KeyError(f"functional_call: {missing[0]!r} is missing")
    return [(own[key][0], own[key][1], value) for key, value in values.items()]


__all__ = ["functional_call"]
