"""A recorded program as users see it: called with Variables, listed, frozen for inference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import _core
from ._tree import LEAF, NONE, Structure, flatten, unflatten
from ._unpickle import FileFormatError

__all__ = ["Program", "load_program"]


class _Results:
    """The nesting of the results of a program that was read from a file."""

    def __init__(self, structure: Structure, results: list[Any]) -> None:
        self.structure, self.results = structure, results
        #: As in a recorded program: a program from a file keeps nothing.
        self.held: list[Any] = []

    def result(self, values: list[Any], arguments: list[Any]) -> Any:
        """The results of a call, nested."""
        of = {"slot": values, "argument": arguments}
        return unflatten(self.structure, [of[kind][what] if kind in of else what for kind, what in self.results])


def _refuse_held(op: str, variant: Any) -> None:
    if variant.held:
        raise ValueError(
            f"{op}: the program replaces a Variable ({variant.held[0].name}); {op} a function that takes it as an argument and "
            "returns the new one"
        )


def _to_json(s: Structure) -> Any:
    if s.kind in ("leaf", "none"):
        return s.kind
    children = [_to_json(c) for c in s.children]
    if s.kind in ("list", "tuple"):
        return [s.kind, children]
    if s.kind == "dict" and all(type(k) in (str, int) for k in s.data):
        return ["dict", children, list(s.data)]
    raise TypeError(f"save: results nested in a {s.kind} cannot be saved; return tuples, lists, or dicts with keys of text")


def _from_json(node: Any) -> Structure:
    if node in ("leaf", "none"):
        return LEAF if node == "leaf" else NONE
    kind, children = node[0], tuple(_from_json(c) for c in node[1])
    if kind not in ("list", "tuple", "dict") or (kind == "dict" and len(node[2]) != len(children)):
        raise ValueError(f"unknown nesting {kind!r}")
    return Structure(kind, tuple(node[2]) if kind == "dict" else None, children)


def _read_notes(text: str | None, count: int) -> _Results:
    """Reads the nesting of the results; for a file written by Rust they form one tuple."""
    if text is None:
        leaves = tuple(LEAF for _ in range(count))
        return _Results(LEAF if count == 1 else Structure("tuple", None, leaves), [("slot", i) for i in range(count)])
    notes = json.loads(text)
    structure, results = _from_json(notes["structure"]), [(str(kind), what) for kind, what in notes["results"]]
    slots = [what for kind, what in results if kind == "slot"]
    if any(type(i) is not int or not 0 <= i < count for i in slots):
        raise ValueError("a result is out of range")
    return _Results(structure, results)


class Program:
    """A recorded program of a compiled function, from :meth:`Compiled.programs`.

    >>> f = tg.compile(lambda x: {"y": x * 2 + 1})
    >>> for _ in range(3):
    ...     y = f(tg.ones(2))
    >>> p = f.programs()[0]
    >>> p(tg.Variable([1.0, 3.0]))
    {'y': Variable([3., 7.])}
    >>> len(p)
    1
    """

    def __init__(self, variant: Any, core: Any = None) -> None:
        self._variant, self._core = variant, core or variant.program

    def __len__(self) -> int:
        """Number of instructions."""
        return int(self._core.size()[1])

    def __call__(self, *args: Any) -> Any:
        """Runs the program, whatever its guards say. The arguments have the shapes and dtypes of the recording.

        Raises ShapeError or DTypeError when they have not.
        """
        found: list[Any] = []
        flatten(list(args), found)
        arrays = [x for x in found if hasattr(x, "__array__") or hasattr(x, "__dlpack__")]  # numbers are constants of the program
        arguments = [x if isinstance(x, _core.Variable) else _core.asarray(x) for x in arrays]
        arguments += [place.get() for place in self._variant.held]
        return self._variant.result(self._core.call(arguments), arguments)

    def listing(self) -> str:
        """The instructions, a line each."""
        return str(self._core.listing())

    def __repr__(self) -> str:
        steps, instructions = self._core.size()
        return f"<program of {instructions} instructions, recorded in {steps} steps>"

    def freeze(self) -> Program:
        """The program for inference.

        Present values of parameters and buffers become constants, and what depends on them alone is computed once. What adds to
        or multiplies the channels behind a convolution or a linear layer, as batch normalisation in evaluation mode does, is
        folded into its weight and bias: there results may differ in their last bits. They are not tracked.

        Raises ValueError when the program changes state, as a training step does.

        >>> w = tg.Variable([1.0, 2.0], requires_grad=True)
        >>> f = tg.compile(lambda x: x * tg.exp(w))
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> len(f.programs()[0].freeze())
        1
        """
        _refuse_held("freeze", self._variant)
        return Program(self._variant, self._core.freeze())

    def save(self, path: Any) -> None:
        """Writes the program to a file that :func:`load_program`, and ``tapegrad::program::Program::load`` in Rust, read.

        One safetensors file holds the steps as text in its header, and constants, parameters and buffers with their present
        values. A file of that name is replaced when the new one is complete. The loaded program gives the same bits; its results
        are not tracked.

        Raises ValueError when the program changes state (as a training step does), draws random numbers or calls Python, and
        TypeError when its results are nested in anything but tuples, lists and dicts. The message names the step.

        >>> import tempfile, os.path
        >>> path = os.path.join(tempfile.mkdtemp(), "double.safetensors")
        >>> f = tg.compile(lambda x: {"y": x * 2})
        >>> for _ in range(3):
        ...     y = f(tg.ones(2))
        >>> f.programs()[0].save(path)
        >>> tg.load_program(path)(tg.Variable([1.0, 3.0]))
        {'y': Variable([2., 6.])}
        """
        from .serialization import _replacing

        _refuse_held("save", self._variant)
        for kind, what in self._variant.results:
            if kind == "constant" and type(what) not in (bool, int, float, str, type(None)):
                raise TypeError(
                    f"save: a result of type {type(what).__name__} was made before the call and cannot be saved; "
                    "return a new Variable"
                )
        notes = {"structure": _to_json(self._variant.structure), "results": self._variant.results}
        data = self._core.to_bytes(json.dumps(notes))
        with _replacing(Path(os.fspath(path))) as new:
            new.write_bytes(data)

    def to_onnx(self, path: Any = None, **options: Any) -> Any:
        """The program as an ONNX model, which is written to ``path`` if there is one. See :func:`tapegrad.onnx.export`."""
        from .onnx import export

        return export(self, path, **options)


def load_program(path: Any) -> Program:
    """Reads a program that :meth:`Program.save` wrote.

    The file is checked first, and nothing in it can run anything but tapegrad's operations.

    Raises FileFormatError (a ValueError) for a file that is damaged, of another kind, or of a newer version.

    >>> double = tg.compile(lambda x: 2.0 * x)
    >>> for _ in range(3):
    ...     _ = double(tg.ones(2))
    >>> double.programs()[0].save("double.safetensors")
    >>> tg.load_program("double.safetensors")(tg.tensor([1.0, 3.0]))
    Variable([2., 6.])
    """
    path = Path(os.fspath(path))
    data = path.read_bytes()
    try:
        core, notes = _core._Program.from_bytes(data)
        return Program(_read_notes(notes, core.result_count()), core)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise FileFormatError(f"load_program: {path}: {str(error).removeprefix('load_program: ')}") from None
