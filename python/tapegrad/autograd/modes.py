"""Switches of the tape: record or not, look for NaN or not. Each holds for the thread that sets it."""

from __future__ import annotations

from _thread import get_ident

from .. import _core
from .._messages import a_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, Literal, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])


class Switch:
    """A setting of a switch, for a ``with`` block or a decorated function.

    One object may be entered many times, nested or in several threads: what it found is kept per thread.
    """

    def __init__(self, turn: Callable[[bool], bool], value: bool, name: str) -> None:
        self._turn = turn
        self._value = bool(value)
        self._name = name
        self._found: dict[int, list[bool]] = {}

    def __enter__(self) -> None:
        self._found.setdefault(get_ident(), []).append(self._turn(self._value))

    def __exit__(self, *exc: object) -> Literal[False]:
        self._turn(self._found[get_ident()].pop())
        return False

    def __call__(self, function: F) -> F:  # noqa: D102
        return _decorate(function, self._turn, self._value, self._name)

    def __repr__(self) -> str:
        return f"{self._name}()"


def _decorate(function: F, switch: Callable[[bool], bool], value: bool, name: str) -> F:
    import functools
    import inspect

    if isinstance(function, type):
        raise TypeError(f"{name} cannot decorate the class {function.__name__}: decorate its methods")
    if not callable(function):
        raise TypeError(f"{name} decorates functions, not {a_type(function)}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} cannot decorate an async function: its thread runs other tasks at every await")

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            return (yield from _resumed(function(*args, **kwargs), switch, value))

        return generator  # type: ignore[return-value]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = switch(value)
        try:
            return function(*args, **kwargs)
        finally:
            switch(found)

    return call  # type: ignore[return-value]


def _resumed(inner: Generator[Any, Any, Any], switch: Callable[[bool], bool], value: bool) -> Generator[Any, Any, Any]:
    """Runs a generator with the switch set only while its own code runs, not while its caller runs."""
    step: Callable[[Any], Any] = inner.send
    argument: Any = None
    while True:
        found = switch(value)
        try:
            produced = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            switch(found)
        try:
            step, argument = inner.send, (yield produced)
        except GeneratorExit:
            found = switch(value)
            try:
                inner.close()
            finally:
                switch(found)
            raise
        except BaseException as error:  # noqa: BLE001 - passed on to the generator
            step, argument = inner.throw, error


if TYPE_CHECKING:

    @overload
    def no_grad() -> Switch: ...
    @overload
    def no_grad(function: F) -> F: ...


def no_grad(function: Any = None) -> Any:
    """Operations are not recorded inside: a ``with`` block, or a decorator with or without parentheses.

    It holds for this thread, and an exception restores what was before.

    >>> x = tg.Variable(2.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * 3
    >>> y.requires_grad
    False
    >>> @tg.no_grad()
    ... def predict(v):
    ...     return v * 3
    >>> predict(x).requires_grad
    False
    """
    switch = Switch(_core.set_grad_enabled_raw, False, "no_grad")
    return switch if function is None else switch(function)


if TYPE_CHECKING:

    @overload
    def enable_grad() -> Switch: ...
    @overload
    def enable_grad(function: F) -> F: ...


def enable_grad(function: Any = None) -> Any:
    """Operations are recorded inside, also within :class:`no_grad`.

    >>> x = tg.Variable(2.0, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * 3
    >>> y.requires_grad
    True
    """
    switch = Switch(_core.set_grad_enabled_raw, True, "enable_grad")
    return switch if function is None else switch(function)


class CalledSwitch(Switch):
    """A switch that also acts when it is created."""

    def __init__(self, turn: Callable[[bool], bool], mode: bool, name: str) -> None:
        super().__init__(turn, mode, name)
        # A bare call acts at once; a following `with` or decoration takes that back or over.
        self._called: tuple[int, bool] | None = (get_ident(), self._turn(self._value))

    def _take_call(self) -> bool | None:
        called, self._called = self._called, None
        return called[1] if called is not None and called[0] == get_ident() else None

    def __enter__(self) -> None:
        before = self._take_call()
        super().__enter__()
        if before is not None:
            self._found[get_ident()][-1] = before

    def __call__(self, function: F) -> F:  # noqa: D102
        before = self._take_call()
        if before is not None:
            self._turn(before)
        return super().__call__(function)

    def __repr__(self) -> str:
        return f"{self._name}({self._value})"


class set_grad_enabled(CalledSwitch):
    """Switches recording on or off: from now on as a call, or for a ``with`` block or a decorated function.

    >>> x = tg.Variable(2.0, requires_grad=True)
    >>> training = False
    >>> with tg.set_grad_enabled(training):
    ...     y = x * 3
    >>> y.requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(_core.set_grad_enabled_raw, mode, "set_grad_enabled")


if TYPE_CHECKING:

    @overload
    def detect_anomaly() -> Switch: ...
    @overload
    def detect_anomaly(function: F) -> F: ...


def detect_anomaly(function: Any = None, *, check_nan: bool = True) -> Any:
    """Names the Python line behind every recorded operation, and raises where a gradient becomes NaN.

    Record and differentiate inside it. It costs time: for the search, not for training.

    >>> x = tg.Variable(0.0, requires_grad=True)
    >>> with tg.autograd.detect_anomaly():
    ...     y = tg.sqrt(x * x)  # infinitely steep at 0: infinity times 0
    ...     try:
    ...         y.backward()
    ...     except tg.GradError as error:
    ...         print(str(error).split(",")[0])
    detect_anomaly: the gradient of `multiply` with respect to its input 0 is NaN
    """
    _check_nan("detect_anomaly", check_nan)
    if isinstance(function, bool):  # PyTorch's first parameter is check_nan
        _check_nan("detect_anomaly", function)
        function = None
    switch = Switch(_core.set_anomaly_raw, True, "detect_anomaly")
    return switch if function is None else switch(function)


def _check_nan(name: str, check_nan: bool) -> None:
    if not check_nan:
        raise ValueError(f"{name}: check_nan=False is not available; the search is for gradients that become NaN")


class set_detect_anomaly(CalledSwitch):
    """Switches :func:`detect_anomaly` on or off: from now on as a call, or for a ``with`` block.

    >>> with tg.autograd.set_detect_anomaly(True):
    ...     pass
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        _check_nan("set_detect_anomaly", check_nan)
        super().__init__(_core.set_anomaly_raw, mode, "set_detect_anomaly")


is_grad_enabled = _core.is_grad_enabled
