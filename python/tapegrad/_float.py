"""A warning where a tracked Variable becomes a plain number without ``float()`` being written: its graph ends there."""

from __future__ import annotations

import ast
import dis
import linecache
import sys
from types import ModuleType
from warnings import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

#: What is known of each place in the code that asked for a number: the text of its warning, or None.
_PLACES: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
#: Places that are remembered before all are forgotten: functions that are made anew have new code.
_MOST = 1000


def check() -> None:
    """Warns if the running Python code stores a Variable in an array of numbers, or passes it to a function of ``math``."""
    frame = sys._getframe(1)
    key = (id(frame.f_code), frame.f_lasti)
    known = _PLACES.get(key)
    if known is None:
        if len(_PLACES) >= _MOST:
            _PLACES.clear()
        # The code is held so that its id belongs to no other one.
        known = _PLACES[key] = (frame.f_code, _text(frame))
    if known[1] is not None:
        warn(known[1], UserWarning, stacklevel=2)


def _text(frame: FrameType) -> str | None:
    name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    if name == "STORE_SUBSCR":
        return (
            "a Variable that requires gradients is stored as a number in an array that has no graph, so no gradient flows "
            "through that array. To keep gradients, write into a Variable, as tg.zeros(n), or build one by tg.stack; if only the "
            "number is meant, store v.item()"
        )
    function = _called(frame) if name.startswith("CALL") else None
    if function is None or getattr(function, "__module__", None) not in ("math", "cmath"):
        return None
    import tapegrad as tg

    full = f"{function.__module__}.{function.__name__}"
    instead = f"tg.{function.__name__}(v)" if hasattr(tg, function.__name__) else "tapegrad's functions"
    return (
        f"{full} takes a Variable that requires gradients as a number, so no gradient flows through its result. To keep "
        f"gradients, write {instead}; if only the number is meant, {full}(v.item())"
    )


def _called(frame: FrameType) -> Any:
    """The function that the frame is calling, found by its name in the source; None if the call has another form."""
    line, end, left, right = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    if line is None or line != end or left is None or right is None:
        return None
    source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).encode()[left:right]
    try:
        call = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(call, ast.Call):
        return None
    match call.func:
        case ast.Name(id=name):
            return _look_up(frame, name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            module = _look_up(frame, owner)
            return vars(module).get(name) if isinstance(module, ModuleType) else None
    return None


def _look_up(frame: FrameType, name: str) -> Any:
    for scope in (frame.f_locals, frame.f_globals):
        if name in scope:
            return scope[name]
    return None
