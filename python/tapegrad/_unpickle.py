"""Reads pickles of arrays without executing anything: only the names in a table are known, and they map to plain data.

What a pickle names (`torch._utils._rebuild_tensor_v2`, `numpy.dtype`, …) is never imported. The table gives stand-ins that
note what came; `resolve` turns the notes into Variables and NumPy arrays when all is read and checked.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from . import _core


class FileFormatError(ValueError):
    """A file that is damaged, of another format, or that holds what cannot be read safely. Nothing was loaded."""


#: What reading a damaged pickle raises.
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    zipfile.BadZipFile,
    NotImplementedError,
)


class _Stand:
    """A stand-in for something callable. It takes no state, so a pickle cannot change it."""

    __slots__ = ("_f", "_name")
    _f: Any
    _name: str

    def __init__(self, name: str, f: Any) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_f", f)

    def __call__(self, *args: Any) -> Any:
        return self._f(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise FileFormatError(f"a pickle tries to change {self._name}")

    def __setstate__(self, state: Any) -> None:
        raise FileFormatError(f"a pickle tries to change {self._name}")


class _Note:
    """An object that is created after the whole file is read: `make()` is called once."""

    made: Any = None
    is_made = False

    def make(self) -> Any:
        raise NotImplementedError

    def get(self) -> Any:
        if not self.is_made:
            self.made, self.is_made = self.make(), True
        return self.made

    def __setstate__(self, state: Any) -> None:
        raise FileFormatError(f"unexpected state of a {type(self).__name__.strip('_')}")


# ---- NumPy ----


class _DType(_Note):
    """numpy.dtype of numbers."""

    def __init__(self, text: Any, *_: Any) -> None:
        self.text = text.decode("ascii") if isinstance(text, bytes) else str(text)
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in {"<", ">", "|", "="} or any(state[2:5]):
            raise FileFormatError("a NumPy dtype has fields or an unknown form")
        self.order = state[1]

    def make(self) -> np.dtype[Any]:
        found = np.dtype(self.text)
        if found.kind not in "biufc":
            raise FileFormatError(f"a NumPy array has dtype {found}, which holds no numbers")
        return found.newbyteorder(self.order)  # type: ignore[arg-type]


def _raw(data: Any) -> bytes:
    if isinstance(data, str):  # a pickle of Python 2
        return data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise FileFormatError("a NumPy array has no data")
    return bytes(data)


class _Array(_Note):
    """numpy.ndarray."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _DType):
            raise FileFormatError("a NumPy array is stored in an unknown form")
        self.state = state

    def make(self) -> np.ndarray[Any, Any]:
        _, shape, dtype, fortran, data = self.state
        flat = np.frombuffer(_raw(data), dtype.get())
        return flat.reshape(shape, order="F" if fortran else "C").astype(dtype.get().newbyteorder("="))


class _Scalar(_Note):
    """A NumPy scalar: a Python number."""

    def __init__(self, dtype: Any, data: Any = b"") -> None:
        self.dtype, self.data = dtype, data

    def make(self) -> Any:
        return np.frombuffer(_raw(self.data), self.dtype.get(), count=1)[0].item()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1") if encoding == "latin1" else text.encode("utf-8")


def numpy_names() -> dict[tuple[str, str], Any]:
    """The names that pickles of NumPy arrays use, in all versions."""
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _Stand("numpy.dtype", _DType),
        ("_codecs", "encode"): _Stand("_codecs.encode", _encode),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table[module, "_reconstruct"] = _Stand("numpy._reconstruct", _reconstruct)
        table[module, "scalar"] = _Stand("numpy.scalar", _Scalar)
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        table[module, "_frombuffer"] = _Stand("numpy._frombuffer", _FromBuffer)
    return table


class _FromBuffer(_Note):
    """A NumPy array as protocol 5 pickles it."""

    def __init__(self, data: Any, dtype: Any, shape: Any, order: str) -> None:
        self.parts = (data, dtype, shape, order)

    def make(self) -> np.ndarray[Any, Any]:
        data, dtype, shape, order = self.parts
        flat: Any = np.frombuffer(bytes(data), dtype.get())
        found: np.ndarray[Any, Any] = flat.reshape(shape, order=order).astype(dtype.get().newbyteorder("="))
        return found


# ---- PyTorch ----

#: PyTorch's names of storages: the dtype in the file and the dtype here.
STORAGES = {
    "DoubleStorage": ("f8", "float64"),
    "FloatStorage": ("f4", "float32"),
    "HalfStorage": ("f2", "float16"),
    "BFloat16Storage": ("bf16", "bfloat16"),
    "LongStorage": ("i8", "int64"),
    "IntStorage": ("i4", "int32"),
    "ShortStorage": ("i2", "int16"),
    "CharStorage": ("i1", "int8"),
    "ByteStorage": ("u1", "uint8"),
    "BoolStorage": ("?", "bool"),
    "UInt16Storage": ("u2", "uint16"),
    "UInt32Storage": ("u4", "uint32"),
    "UInt64Storage": ("u8", "uint64"),
    "ComplexFloatStorage": ("c8", "complex64"),
    "ComplexDoubleStorage": ("c16", "complex128"),
    "UntypedStorage": ("u1", "uint8"),
}
_TORCH_DTYPES = {
    "float64": "DoubleStorage",
    "double": "DoubleStorage",
    "float32": "FloatStorage",
    "float": "FloatStorage",
    "float16": "HalfStorage",
    "half": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "long": "LongStorage",
    "int32": "IntStorage",
    "int": "IntStorage",
    "int16": "ShortStorage",
    "short": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "uint16": "UInt16Storage",
    "uint32": "UInt32Storage",
    "uint64": "UInt64Storage",
    "complex64": "ComplexFloatStorage",
    "cfloat": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
    "cdouble": "ComplexDoubleStorage",
}


def elements(raw: Any, kind: str) -> np.ndarray[Any, Any]:
    """The elements of a storage as stored; bfloat16, which NumPy does not have, as uint16 bits."""
    found = np.frombuffer(raw, np.dtype("u2" if kind == "bf16" else kind).newbyteorder("<"))
    return found.astype(found.dtype.newbyteorder("="))


class _Storage:
    """A storage of a PyTorch file. Its bytes may come after the object, as in files before version 1.6."""

    def __init__(self, kind: str, numel: int) -> None:
        self.kind, self.numel = kind, int(numel)
        self.raw: bytes | None = None

    def elements(self, kind: str) -> np.ndarray[Any, Any]:
        if self.raw is None:
            raise FileFormatError("a tensor has no data")
        return elements(self.raw, kind)

    def __setstate__(self, state: Any) -> None:
        raise FileFormatError("a pickle tries to change a storage")


class _Tensor(_Note):
    """torch._utils._rebuild_tensor_v2."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *rest: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)
        self.requires_grad = bool(requires_grad)
        self.kind = storage.kind
        if len(rest) > 1 and rest[-1]:
            raise FileFormatError(f"a tensor has properties that are not supported: {rest[-1]}")

    def make(self) -> Any:
        # A copy: strides of 0 may make much of a small file, and this asks for memory first.
        found = _core._of_bits(self.array(), "bfloat16") if self.kind == "bf16" else _core.array(self.array())
        return found.requires_grad_(True) if self.requires_grad else found

    def array(self) -> np.ndarray[Any, Any]:
        flat = self.storage.elements(self.kind)
        numbers = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or any(not isinstance(n, int) or n < 0 for n in numbers):
            raise FileFormatError(f"a tensor of shape {self.size} has invalid strides {self.stride}")
        empty = 0 in self.size
        end = self.offset + (0 if empty else 1 + sum((n - 1) * s for n, s in zip(self.size, self.stride)))
        if end > flat.size:
            raise FileFormatError(
                f"a tensor of shape {self.size} with strides {self.stride} reaches over its {flat.size} elements"
            )
        steps = [s * flat.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps, writeable=False)


class _TensorV3(_Tensor):
    """torch._utils._rebuild_tensor_v3: an untyped storage and a dtype."""

    def __init__(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *rest: Any
    ) -> None:
        super().__init__(storage, offset, size, stride, requires_grad, hooks, *rest)
        self.kind = STORAGES[dtype.storage][0]


class _Parameter(_Note):
    """torch._utils._rebuild_parameter."""

    def __init__(self, data: Any, requires_grad: Any = True, *_: Any) -> None:
        self.data, self.requires_grad = data, bool(requires_grad)

    def make(self) -> Any:
        from .nn import Parameter

        return Parameter(self.data.get(), requires_grad=self.requires_grad)


class _TorchDType(_Note):
    """A dtype as a value, such as `torch.float32`."""

    def __init__(self, storage: str) -> None:
        self.storage = storage

    def make(self) -> Any:
        return getattr(_core, STORAGES[self.storage][1])


class _State(OrderedDict[Any, Any]):
    """An OrderedDict whose attributes, which PyTorch uses for the versions of modules, are left out."""

    def __setstate__(self, state: Any) -> None:
        pass


class _StorageType(_Note):
    """The class of a storage."""

    def __init__(self, name: str) -> None:
        self.kind = STORAGES[name][0]

    def __call__(self, *_: Any) -> Any:
        raise FileFormatError("the data of a storage are missing in the file")


def _sequence(kind: type) -> Any:
    return lambda items=(): kind(items)


def torch_names() -> dict[tuple[str, str], Any]:
    """The names that PyTorch's files of tensors and plain containers use."""
    table = numpy_names()
    utils = "torch._utils"
    table |= {
        (utils, "_rebuild_tensor"): _Stand("_rebuild_tensor", _Tensor),
        (utils, "_rebuild_tensor_v2"): _Stand("_rebuild_tensor_v2", _Tensor),
        (utils, "_rebuild_tensor_v3"): _Stand("_rebuild_tensor_v3", _TensorV3),
        (utils, "_rebuild_parameter"): _Stand("_rebuild_parameter", _Parameter),
        ("torch", "Size"): _Stand("torch.Size", _sequence(tuple)),
        ("torch", "device"): _Stand("torch.device", lambda *_: "cpu"),
        ("collections", "OrderedDict"): _Stand("OrderedDict", _State),
        ("collections", "defaultdict"): _Stand("defaultdict", lambda *_: {}),
    }
    for module in ("builtins", "__builtin__"):
        table[module, "set"] = _Stand("set", _sequence(set))
        table[module, "frozenset"] = _Stand("frozenset", _sequence(frozenset))
        table[module, "complex"] = _Stand("complex", complex)
        table[module, "bytearray"] = _Stand(
            "bytearray", lambda data=b"", *_: _encode(data) if isinstance(data, str) else bytes(data)
        )
        for name in ("list", "dict", "int"):
            table[module, name] = _Stand(name, lambda *_: None)  # the factory of a defaultdict
    for name in STORAGES:
        table["torch", name] = table["torch.storage", name] = _StorageType(name)
    for name, storage in _TORCH_DTYPES.items():
        table["torch", name] = _TorchDType(storage)
    return table


class SafeUnpickler(pickle.Unpickler):
    """An unpickler that accepts the names of a table and no others."""

    def __init__(self, file: Any, table: dict[tuple[str, str], Any], storages: Any = None) -> None:
        super().__init__(file, encoding="latin1")
        self._table = table
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name."""
        if (module, name) not in self._table:
            raise FileFormatError(
                f"it asks for {module}.{name}, which is not known to be safe; only arrays, numbers, strings and containers of "
                "them are read, and nothing is executed. Save model.state_dict() rather than the model"
            )
        return self._table[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """A storage of a PyTorch file."""
        if self._storages is None:
            raise FileFormatError("it refers to data outside of the file")
        return self._storages(pid)


def resolve(found: Any, memo: dict[int, Any] | None = None) -> Any:
    """Plain data in which every note is replaced by its object. Containers keep their identity, so shared ones stay shared."""
    memo = {} if memo is None else memo
    if isinstance(found, _Note):
        return found.get()
    if isinstance(found, (_Stand, _Storage)):
        raise FileFormatError("it holds a class or a storage of its own, not data")
    if not isinstance(found, (dict, list, tuple, set, frozenset)) or id(found) in memo:
        return memo.get(id(found), found)
    memo[id(found)] = found
    if isinstance(found, dict):
        items = [(resolve(k, memo), resolve(v, memo)) for k, v in found.items()]
        found.clear()
        found.update(items)
    elif isinstance(found, list):
        found[:] = [resolve(x, memo) for x in found]
    else:
        made = type(found)(resolve(x, memo) for x in found)
        memo[id(found)] = made
        return made
    return found


def read_pickle(data: bytes, what: str) -> Any:
    """A pickle of numbers, strings, NumPy arrays and containers of them.

    Raises:
        FileFormatError: it is damaged, or holds anything else.
    """
    try:
        return resolve(SafeUnpickler(io.BytesIO(data), numpy_names()).load())
    except DAMAGE as error:
        raise FileFormatError(f"{what} cannot be read: {error or type(error).__name__}") from error


# ---- the two formats of torch.save ----


def _storage(pid: Any) -> tuple[str, Any, int]:
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _StorageType):
        raise FileFormatError(f"it refers to unknown data {pid!r}")
    return pid[1].kind, pid[2], pid[4]


def read_torch_zip(data: bytes) -> Any:
    """What `torch.save` writes since version 1.6: a zip archive of a pickle and the data of each storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        found = [n for n in names if n.endswith("/data.pkl") or n == "data.pkl"]
        if not found:
            raise FileFormatError(
                "a zip archive without data.pkl is not a PyTorch file; read .npz files with tg.utils.data.datasets.read_npz"
            )
        root = found[0][: -len("data.pkl")]
        if root + "byteorder" in names and archive.read(root + "byteorder").strip() == b"big":
            raise FileFormatError("the PyTorch file holds big-endian data, which is not supported")
        storages: dict[Any, _Storage] = {}

        def load(pid: Any) -> _Storage:
            kind, key, numel = _storage(pid)
            if key not in storages:
                new = _Storage(kind, numel)
                new.raw = archive.read(f"{root}data/{key}")
                storages[key] = new
            return storages[key]

        return resolve(SafeUnpickler(io.BytesIO(archive.read(found[0])), torch_names(), load).load())


#: The first object of files that torch.save wrote before version 1.6.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def read_torch_legacy(data: bytes) -> Any:
    """What `torch.save` wrote before version 1.6: pickles, then the data of each storage."""
    file = io.BytesIO(data)
    if SafeUnpickler(file, {}).load() != TORCH_MAGIC:
        raise FileFormatError("a pickle that is not a PyTorch file; pickles of other objects are not executed")
    for _ in range(2):  # the protocol version, and the sizes of C's types
        SafeUnpickler(file, {}).load()
    storages: dict[Any, _Storage] = {}

    def load(pid: Any) -> _Storage:
        kind, key, numel = _storage(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise FileFormatError("the PyTorch file holds views of storages, which are not supported")
        return storages.setdefault(key, _Storage(kind, numel))

    found = SafeUnpickler(file, torch_names(), load).load()
    for key in SafeUnpickler(file, {}).load():
        (numel,) = struct.unpack("<q", file.read(8))
        storage = storages[key]
        size = 2 if storage.kind == "bf16" else np.dtype(storage.kind).itemsize
        storage.raw = file.read(numel * size)
        if numel < 0 or len(storage.raw) != numel * size:
            raise FileFormatError("it ends too early")
    return resolve(found)


__all__ = ["DAMAGE", "FileFormatError", "SafeUnpickler", "elements", "read_pickle", "read_torch_legacy", "read_torch_zip"]
