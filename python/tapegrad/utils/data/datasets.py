"""Readers of common files: IDX (MNIST), CIFAR, NPZ, CSV, and folders of images. Nothing is downloaded or executed."""

from __future__ import annotations

import csv as _csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _core
from ..._core import Variable
from ..._messages import a_type
from ..._unpickle import FileFormatError, read_pickle
from .dataset import Dataset, TensorDataset

_IDX = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _bytes_of(path: Any) -> bytes:
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise FileFormatError(f"{path} is a damaged gzip file: {error}") from error
    return data


def _supported(found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array in a dtype that tapegrad has: the next larger one, if necessary."""
    for name in (found.dtype.name, "int32", "int64", "float32"):
        if hasattr(_core, name) and np.can_cast(found.dtype, name):
            return found.astype(name)
    return found


def read_idx(path: Any) -> Variable:
    """The array in an IDX file, the format of MNIST, gzipped or not.

    Raises:
        FileFormatError: no IDX file, or a damaged one.
    """
    data = _bytes_of(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX:
        raise FileFormatError(f"{path} is not an IDX file: it begins with {data[:4]!r}")
    ndim, dtype = data[3], np.dtype(_IDX[data[2]])
    start = 4 + 4 * ndim
    if len(data) < start:
        raise FileFormatError(f"{path} is a damaged IDX file: it ends in its header")
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    if len(data) != start + math.prod(shape) * dtype.itemsize:
        raise FileFormatError(
            f"{path} is a damaged IDX file: it has {len(data) - start} bytes for shape {tuple(shape)} and dtype {dtype}"
        )
    return _core.asarray(_supported(np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))))


def _first(root: Path, names: Sequence[str]) -> Path:
    for folder in (root, root / "MNIST" / "raw", root / "raw"):
        for name in names:
            if (folder / name).exists():
                return folder / name
    raise FileNotFoundError(f"{root}: none of {', '.join(names)} is there; nothing is downloaded")


def mnist(root: Any, train: bool = True) -> TensorDataset:
    """MNIST, or a set in its format: float32 images of shape (n, 1, 28, 28) from 0 to 1, and int64 labels.

    ``root`` holds the files ``train-images-idx3-ubyte``, … with or without ``.gz``.
    """
    part = "train" if train else "t10k"
    files = [
        _first(Path(root), [f"{part}-{kind}{dot}{rank}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")])
        for kind, rank in (("images", "idx3"), ("labels", "idx1"))
    ]
    images, labels = (read_idx(file).numpy() for file in files)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise FileFormatError(f"mnist: images of shape {images.shape} and labels of shape {labels.shape} do not belong together")
    return TensorDataset((images[:, None] / 255).astype(np.float32), labels.astype(np.int64))


def read_cifar(path: Any) -> tuple[Variable, Variable]:
    """Images (n, 3, 32, 32) of uint8 and int64 labels of one file of CIFAR-10 or CIFAR-100, of the Python or the binary version.

    The Python version is a pickle; it is read without executing anything.
    """
    data = _bytes_of(path)
    if data[:1] == b"\x80":
        return _cifar_batch(read_pickle(data, str(path)), path)
    for row, labels in ((3073, 1), (3074, 2)):
        if data and len(data) % row == 0:
            rows = np.frombuffer(data, np.uint8).reshape(-1, row)
            return _core.asarray(rows[:, labels:].reshape(-1, 3, 32, 32).copy()), _core.asarray(
                rows[:, labels - 1].astype(np.int64)
            )
    raise FileFormatError(f"{path} is not a CIFAR file: {len(data)} bytes are not a whole number of images")


def _cifar_batch(found: Any, path: Any) -> tuple[Variable, Variable]:
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} is not a batch of CIFAR: it holds {a_type(found)}")
    named = {(k.decode("latin1") if isinstance(k, bytes) else str(k)): v for k, v in found.items()}
    labels = named.get("labels", named.get("fine_labels"))
    data = named.get("data")
    if not isinstance(data, np.ndarray) or labels is None or data.shape != (len(labels), 3072):
        raise FileFormatError(f"{path} is not a batch of CIFAR: it has the entries {sorted(named)}")
    return _core.asarray(data.astype(np.uint8).reshape(-1, 3, 32, 32)), _core.asarray(np.asarray(labels, np.int64))


def cifar(root: Any, train: bool = True) -> TensorDataset:
    """CIFAR-10 or CIFAR-100 from its folder: float32 images of shape (n, 3, 32, 32) from 0 to 1, and int64 labels."""
    root = Path(root)
    names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    for folder in (
        root,
        *(root / n for n in ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")),
    ):
        for choice in (
            names,
            [f"{n}.bin" for n in names],
            ["train" if train else "test"],
            ["train.bin" if train else "test.bin"],
        ):
            files = [folder / n for n in choice if (folder / n).is_file()]
            if files:
                images, labels = zip(*(read_cifar(f) for f in files))
                x = np.concatenate([i.numpy() for i in images])
                return TensorDataset((x / 255).astype(np.float32), np.concatenate([y.numpy() for y in labels]))
    raise FileNotFoundError(f"{root}: no files of CIFAR are there, such as {names[0]}; nothing is downloaded")


def read_npz(path: Any) -> dict[str, Variable]:
    """The arrays of an .npz file, by name. Arrays of Python objects, which would be pickles, are refused.

    >>> import numpy as np
    >>> np.savez("data.npz", x=np.arange(3.0))
    >>> tg.utils.data.datasets.read_npz("data.npz")
    {'x': Variable([0., 1., 2.], dtype=float64)}
    """
    import zipfile

    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as found:
            if isinstance(found, np.ndarray):
                raise FileFormatError(f"{path} is an .npy file of one array, no .npz file")
            return {name: _core.asarray(_supported(found[name])) for name in found.files}
    except (zipfile.BadZipFile, ValueError, EOFError, TypeError, zlib.error) as error:
        raise FileFormatError(f"{path} is not an .npz file of numbers: {error}") from error


def read_csv(
    path: Any, *, columns: Sequence[str | int] | None = None, dtype: Any = None, delimiter: str = ",", header: bool | None = None
) -> Variable:
    r"""A table of numbers, one row a line.

    Args:
        path: the file; gzipped or not.
        columns: which columns, by name or number; all when None.
        dtype: of the array; the default dtype when None.
        delimiter: what divides fields.
        header: whether the first line names the columns; None looks whether it is all numbers.

    Raises:
        FileFormatError: a field that is no number, or rows of different length; the message names the line.

    >>> with open("table.csv", "w", encoding="utf-8") as file:
    ...     _ = file.write("a,b\n1,2\n3,4\n")
    >>> tg.utils.data.datasets.read_csv("table.csv", columns=["b"])
    Variable([[2.],
              [4.]])
    """
    try:
        text = _bytes_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not text in UTF-8: {error}") from error
    rows = [
        (n, row)
        for n, row in enumerate(_csv.reader(text.splitlines(), delimiter=delimiter), 1)
        if row and any(map(str.strip, row))
    ]
    names: list[str] = []
    if rows and (header or (header is None and not all(_is_number(field) for field in rows[0][1]))):
        names = [name.strip() for name in rows.pop(0)[1]]
    width = len(names) or (len(rows[0][1]) if rows else 0)
    chosen = _columns(columns, names, width, path)
    out = np.empty((len(rows), len(chosen)))
    for i, (line, row) in enumerate(rows):
        if len(row) != width:
            raise FileFormatError(f"{path}, line {line}: {len(row)} fields, expected {width}")
        for j, column in enumerate(chosen):
            field = row[column].strip()
            try:
                out[i, j] = float(field) if field else math.nan
            except ValueError:
                raise FileFormatError(f"{path}, line {line}, column {column}: {field!r} is not a number") from None
    return _core.asarray(out, dtype or _core.get_default_dtype())


def _columns(columns: Sequence[str | int] | None, names: list[str], width: int, path: Any) -> list[int]:
    if columns is None:
        return list(range(width))
    found = []
    for c in columns:
        if isinstance(c, str):
            if c not in names:
                raise KeyError(f"{path} has no column {c!r}; its columns are {names or list(range(width))}")
            found.append(names.index(c))
        elif not -width <= c < width:
            raise IndexError(f"{path} has {width} columns, none of number {c}")
        else:
            found.append(c % width)
    return found


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return not field.strip()
    return True


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("images are read by the package Pillow: pip install Pillow") from None
    return Image


def read_image(path: Any, mode: str = "RGB", size: tuple[int, int] | None = None) -> Variable:
    """An image file as float32 numbers from 0 to 1 of shape (channels, height, width). Needs the package Pillow.

    ``mode`` is Pillow's: "RGB", "L" for grey. ``size`` is (height, width) to resize to.
    """
    image = _pillow()
    try:
        with image.open(path) as opened:
            picture = opened.convert(mode)
    except (image.DecompressionBombError, OSError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise FileFormatError(f"{path} cannot be read as an image: {error}") from error
    if size is not None:
        picture = picture.resize((size[1], size[0]), image.Resampling.BILINEAR)
    found = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return _core.asarray(found[None] if found.ndim == 2 else np.ascontiguousarray(found.transpose(2, 0, 1)))


class ImageFolder(Dataset[Any]):
    """Images in folders, one folder a class: ``root/cat/1.png``. A sample is an image of :func:`read_image` and a class number.

    Args:
        root: the folder of the folders, which are numbered in the order of their names.
        transform: called with each image; what it returns is the sample's image.
        target_transform: called with each class number.
        mode: of the images, as for :func:`read_image`.
        size: (height, width) to resize to.
    """

    EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

    def __init__(
        self,
        root: Any,
        transform: Callable[[Variable], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        mode: str = "RGB",
        size: tuple[int, int] | None = None,
    ) -> None:
        _pillow()
        self.root = Path(root)
        self.transform, self.target_transform, self.mode, self.size = transform, target_transform, mode, size
        self.classes = sorted(p.name for p in self.root.iterdir() if p.is_dir())
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [
            (str(path), i)
            for name, i in self.class_to_idx.items()
            for path in sorted((self.root / name).rglob("*"))
            if path.suffix.lower() in self.EXTENSIONS
        ]
        self.targets = [i for _, i in self.samples]
        if not self.samples:
            raise FileNotFoundError(f"ImageFolder: {self.root} has no folders with images ({', '.join(self.EXTENSIONS)})")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        path, target = self.samples[index]
        image = read_image(path, self.mode, self.size)
        return (
            image if self.transform is None else self.transform(image),
            target if self.target_transform is None else self.target_transform(target),
        )


__all__ = ["ImageFolder", "cifar", "mnist", "read_cifar", "read_csv", "read_idx", "read_image", "read_npz"]
