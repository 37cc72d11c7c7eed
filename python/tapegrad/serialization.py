"""Saving and loading: Variables, and containers of them, as safetensors files.

A file holds the arrays, by names that other programs can read, and a description of the containers around them in its
header. Nothing in a file is ever executed.
"""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from typing import Any

import numpy as np

from . import _core
from ._core import Variable
from ._messages import a_type
from ._unpickle import DAMAGE, FileFormatError, elements, read_torch_legacy, read_torch_zip

#: The entry of the header that describes the containers.
KEY = "tapegrad"
_KINDS = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8",
}  # fmt: skip


def _library() -> Any:
    try:
        import safetensors.numpy  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError(
            "tg.save and tg.load of safetensors files need the package safetensors: pip install safetensors"
        ) from None
    return safetensors


# ---- containers as JSON ----


class _Writer:
    """Takes the arrays out of containers. A list in the JSON text is a tagged value, anything else stands for itself."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        #: The dtypes of arrays that hold bits.
        self.kinds: dict[str, str] = {}
        self._seen: dict[int, tuple[Any, str]] = {}  # holds the value: its id may not be used again
        self._open: set[int] = set()

    def node(self, value: Any, path: str) -> Any:  # noqa: PLR0911 - a kind of value each
        """A value as JSON."""
        if value is None or isinstance(value, (bool, str)):
            return value if value is None or type(value) in (bool, str) else str(value)
        if isinstance(value, Variable):
            from .nn import Parameter

            kind = "parameter" if isinstance(value, Parameter) else "variable"
            return [kind, self._name(value, value._memory(), path), value.requires_grad]
        if isinstance(value, np.ndarray):
            return ["array", self._name(value, value, path)]
        if isinstance(value, (int, float, complex, np.generic)):
            return self._number(value, path)
        if isinstance(value, bytes):
            return ["bytes", base64.b64encode(value).decode("ascii")]
        if isinstance(value, _core.DType):
            return ["dtype", value.name]
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._container(value, path)
        return self._refuse(value, path)

    def _number(self, value: Any, path: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return ["float", repr(float(value))]
        if isinstance(value, complex):
            return ["complex", repr(value)]
        if isinstance(value, (bool, int, float)):
            return float(value) if isinstance(value, float) else value if type(value) in (bool, int) else int(value)
        return self._refuse(value, path)

    def _container(self, value: Any, path: str) -> Any:
        if id(value) in self._open:
            raise ValueError(f"tg.save: {path or 'the object'} contains itself")
        self._open.add(id(value))
        inner = f"{path}." if path else ""
        try:
            if not isinstance(value, Mapping):
                kind = "list" if isinstance(value, list) else "tuple" if isinstance(value, tuple) else "set"
                if kind == "tuple" and hasattr(value, "_fields"):
                    return self._refuse(value, path)
                return [kind, [self.node(x, f"{inner}{i}") for i, x in enumerate(value)]]
            if all(type(k) is str for k in value):
                kind = "ordered" if isinstance(value, OrderedDict) else "dict"
                return [kind, {k: self.node(v, inner + k) for k, v in value.items()}]
            return ["map", [[self.node(k, f"{inner}key"), self.node(v, f"{inner}{k}")] for k, v in value.items()]]
        finally:
            self._open.discard(id(value))

    def _refuse(self, value: Any, path: str) -> Any:
        where = f" at {path!r}" if path else ""
        got = a_type(value)
        hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
        raise TypeError(
            f"tg.save: {got}{where} cannot be saved{hint or '; '}"
            + (
                ""
                if hint
                else "Variables, NumPy arrays, numbers, strings, bytes, None, and dicts, lists, tuples and sets of them can"
            )
        )

    def _name(self, value: Any, array: np.ndarray[Any, Any], path: str) -> str:
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        if array.dtype.kind not in "biufc" or array.dtype.itemsize > 8:
            raise _core.DTypeError(f"tg.save: an array of dtype {array.dtype} at {path!r} cannot be saved")
        name = base = path or "value"
        while name in self.arrays or name == "__metadata__":
            name = f"{base}#{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
        if isinstance(value, Variable) and value.dtype == _core.bfloat16:
            self.kinds[name] = "bfloat16"
        self._seen[id(value)] = value, name
        return name

    def specs(self) -> dict[str, Any]:
        """The arrays as safetensors takes them."""
        spec = _library().TensorSpec
        return {
            name: spec(dtype=self.kinds.get(name, a.dtype.name), shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
            for name, a in self.arrays.items()
        }


class _Reader:
    """Puts arrays back into containers."""

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]], bits: set[str]) -> None:
        self._arrays, self._bits = arrays, bits
        self._made: dict[tuple[str, str], Any] = {}

    def value(self, node: Any) -> Any:
        """The value that a node stands for."""
        if not isinstance(node, list):
            if isinstance(node, dict):
                raise FileFormatError(
                    "the header describes containers in an unknown form; a newer version of tapegrad may have written it"
                )
            return node
        kind, content = node[0], node[1]
        if kind in {"list", "tuple", "set"}:
            return {"list": list, "tuple": tuple, "set": set}[kind](self.value(x) for x in content)
        if kind in {"dict", "ordered"}:
            return (dict if kind == "dict" else OrderedDict)((k, self.value(v)) for k, v in content.items())
        if kind == "map":
            return {self.value(k): self.value(v) for k, v in content}
        if kind in {"variable", "parameter", "array"}:
            return self._array(kind, content, len(node) > 2 and bool(node[2]))
        plain: dict[str, Callable[[str], Any]] = {
            "float": float,
            "complex": complex,
            "dtype": _core.DType,
            "bytes": base64.b64decode,
        }
        if kind not in plain:
            raise FileFormatError(f"a value of unknown kind {kind!r}; a newer version of tapegrad may have written it")
        return plain[kind](content)

    def made(self, name: str) -> Variable:
        """An array as a Variable."""
        found = self._arrays[name]
        return _core._of_bits(found, "bfloat16") if name in self._bits else _core.asarray(found)

    def _array(self, kind: str, name: str, requires_grad: bool) -> Any:
        if (kind, name) not in self._made:
            found: Any = self._arrays[name] if kind == "array" else self.made(name)
            if kind == "variable":
                found = found.requires_grad_(True) if requires_grad else found
            elif kind == "parameter":
                from .nn import Parameter

                found = Parameter(found, requires_grad=requires_grad)
            self._made[kind, name] = found
        return self._made[kind, name]


def _checksum(text: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        found = arrays[name]
        total = zlib.crc32(f"{name}{found.dtype.str}{found.shape}".encode(), total)
        total = zlib.crc32(found.reshape(-1).view(np.uint8).data, total)
    return total


# ---- files ----


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when all of it is on the disk; on failure the old file stays."""
    path = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "tg.save: there is no such folder; make it first, with os.makedirs", str(path.parent))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        yield new
        _flush(new)
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            new.unlink()
        raise
    if os.name == "posix":
        _flush(path.parent)


def _flush(path: Path) -> None:
    # Windows flushes only what is open for writing, POSIX opens folders only for reading.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save(obj: Any, f: Any) -> None:
    """Writes a Variable, or dicts, lists and tuples of Variables, arrays, numbers and strings, to a safetensors file.

    A dict of Variables becomes a file that every reader of safetensors opens, PyTorch's included. A file of that name is
    replaced when the new one is complete: a crash leaves the old one. ``f`` is a path or a binary file.

    Raises:
        TypeError: an object that is not such data; modules and optimizers have ``state_dict()`` for it.

    >>> import tempfile, os.path
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> tg.save({"weight": tg.ones(2), "epoch": 3}, path)
    >>> tg.load(path)
    {'weight': Variable([1., 1.]), 'epoch': 3}
    """
    writer = _Writer()
    text = json.dumps(writer.node(obj, ""), separators=(",", ":"))
    header = {"format": "pt", KEY: text, f"{KEY}.crc32": str(_checksum(text, writer.arrays))}
    library = _library()
    if hasattr(f, "write"):
        f.write(bytes(library.serialize(writer.specs(), metadata=header)))
        return
    path = _path("save", f)
    if path.is_dir():
        raise IsADirectoryError(f"tg.save: {path} is a folder; expected the path of a file")
    if path.exists() and not path.is_file():
        path.write_bytes(bytes(library.serialize(writer.specs(), metadata=header)))  # a device or a pipe
        return
    with _replacing(path) as new:
        library.serialize_file(writer.specs(), str(new), metadata=header)


def _path(name: str, f: Any) -> Path:
    if not isinstance(f, (str, os.PathLike)):
        raise TypeError(f"tg.{name}: expected the name of a file, or an open file, not {type(f).__name__}")
    return Path(os.fspath(f))


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Reads what :func:`save` wrote, any other safetensors file, or a file of PyTorch's ``torch.save``.

    Pickles in PyTorch's files are read by a reader that knows tensors, numbers, strings and containers; anything else is an
    error, and nothing is executed, whatever ``weights_only`` says. ``map_location`` may only lead to the CPU.

    Raises:
        FileFormatError: the file is damaged or of another format; nothing was loaded.

    >>> tg.save({"w": tg.ones(2), "step": 3}, "run.safetensors")
    >>> tg.load("run.safetensors")
    {'w': Variable([1., 1.]), 'step': 3}
    """
    _check_location(map_location)
    if hasattr(f, "read"):
        data, name = f.read(), getattr(f, "name", "the file")
    else:
        path = _path("load", f)
        data, name = path.read_bytes(), str(path)
    if not isinstance(data, bytes):
        raise TypeError("tg.load: the file is open for text; open it with mode 'rb'")
    try:
        return _read(data)
    except FileFormatError as error:
        raise FileFormatError(f"tg.load: {name}: {error}") from error.__cause__
    except DAMAGE as error:
        raise FileFormatError(f"tg.load: {name} is damaged: {error or type(error).__name__}") from error


def _read(data: bytes) -> Any:
    if data[:4] == b"PK\x03\x04":
        return read_torch_zip(data)
    # A safetensors file begins with the length of its header, which may look like the opcode of a pickle.
    if data[:1] == b"\x80" and data[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"} and data[8:9] != b"{":
        return read_torch_legacy(data)
    if data[:6] == b"\x93NUMPY":
        raise FileFormatError("a NumPy file; read it with numpy.load")
    if not data:
        raise FileFormatError("the file is empty")
    if len(data) < 9 or data[8:9] != b"{":
        raise FileFormatError("neither a safetensors file nor one of torch.save")
    return _read_safetensors(data)


def _read_safetensors(data: bytes) -> Any:
    library = _library()
    try:
        found = library.deserialize(data)
    except library.SafetensorError as error:
        raise FileFormatError(f"the file is damaged, or no safetensors file ({error})") from error
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    bits: set[str] = set()
    for name, tensor in found:
        if tensor["dtype"] not in _KINDS:
            raise FileFormatError(f"tensor {name!r} has dtype {tensor['dtype']}, which is not supported")
        kind = _KINDS[tensor["dtype"]]
        arrays[name] = elements(tensor["data"], kind).reshape(tensor["shape"])
        if kind == "bf16":
            bits.add(name)
    reader, text = _Reader(arrays, bits), metadata.get(KEY)
    if text is None and not any(key.endswith(".crc32") for key in metadata):
        order = json.loads(data[8 : 8 + length])
        return {name: reader.made(name) for name in order if name in arrays}
    if text is None or metadata.get(f"{KEY}.crc32") != str(_checksum(text, arrays)):
        raise FileFormatError("the file is damaged: its checksum does not match")
    return reader.value(json.loads(text))


def _check_location(where: Any) -> None:
    if callable(where) and not isinstance(where, str):
        return  # PyTorch's `lambda storage, loc: storage`: there is one place
    places = list(where.values()) if isinstance(where, Mapping) else [where]
    for place in places:
        if place is not None and str(getattr(place, "type", place)).split(":")[0] != "cpu":
            raise ValueError(f"tg.load: there is one device, 'cpu', and map_location is {place!r}")


__all__ = ["FileFormatError", "load", "save"]
