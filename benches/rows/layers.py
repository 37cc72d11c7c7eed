"""Layers of networks with their gradients, and training steps of whole ones.

Names and parameters are PyTorch's, so each row is written once and runs in both libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .common import Peers, Row

#: A row: from a library and a maker of its arrays to the function that is timed.
Build = Callable[[Any, Callable[..., Any]], Callable[[], Any]]


def both(p: Peers, name: str, build: Build) -> Row:
    """The row of what `build` makes of either library."""

    def made(library: Any) -> Callable[[], Any]:
        random = p.np.random.default_rng(0)
        library.manual_seed(0)

        def array(*shape: int, below: int = 0) -> Any:
            drawn = random.integers(0, below, shape) if below else random.standard_normal(shape).astype(p.np.float32)
            return library.tensor(drawn)

        return build(library, array)

    there = {"tapegrad": p.tg, "torch": p.torch}
    return Row(name, {name: made(library) for name, library in there.items() if library})


def differentiated(call: Callable[..., Any], *shapes: tuple[int, ...]) -> Build:
    """Forward and backward of a function of the library and arrays, with the gradients of all of them."""

    def build(lib: Any, array: Any) -> Callable[[], Any]:
        xs = [array(*shape).requires_grad_(True) for shape in shapes]
        g = lib.ones_like(call(lib, *xs).detach())
        return lambda: lib.autograd.grad(call(lib, *xs), xs, g)

    return build


def layer(make: Callable[[Any], Any], shape: tuple[int, ...]) -> Build:
    """Forward and backward of a module, with the gradients of its input and parameters."""

    def build(lib: Any, array: Any) -> Callable[[], Any]:
        module, x = make(lib), array(*shape).requires_grad_(True)
        wanted = [x, *module.parameters()]

        def run(found: Any) -> Any:
            return found[0] if isinstance(found, tuple) else found

        g = lib.ones_like(run(module(x)).detach())
        return lambda: lib.autograd.grad(run(module(x)), wanted, g)

    return build


def trained(make: Callable[[Any], Any], shape: tuple[int, ...], classes: int) -> Build:
    """A step of a classifier: loss, gradients, update."""

    def build(lib: Any, array: Any) -> Callable[[], Any]:
        model, x, y = make(lib), array(*shape), array(shape[0], below=classes)
        optimizer = lib.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        def step() -> None:
            optimizer.zero_grad()
            lib.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return step

    return build


def convolutions(p: Peers) -> Iterator[Row]:
    """Convolutions over the batch, with all gradients."""
    for name, batch, inputs, outputs, size, options in [
        ("3x3 32>64 @32", 32, 32, 64, 32, {"kernel_size": 3, "padding": 1}),
        ("3x3 64>64 @16", 32, 64, 64, 16, {"kernel_size": 3, "padding": 1}),
        ("3x3 128>128 @8", 32, 128, 128, 8, {"kernel_size": 3, "padding": 1}),
        ("1x1 64>256 @16", 32, 64, 256, 16, {"kernel_size": 1}),
        ("5x5 6>16 @14", 32, 6, 16, 14, {"kernel_size": 5}),
        ("7x7 stride 2 3>64 @64", 8, 3, 64, 64, {"kernel_size": 7, "stride": 2, "padding": 3}),
        ("3x3 stride 2 64>128 @16", 32, 64, 128, 16, {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("depthwise 3x3 64 @32", 32, 64, 64, 32, {"kernel_size": 3, "padding": 1, "groups": 64}),
    ]:

        def make(lib: Any, sizes: Any = (inputs, outputs), options: Any = options) -> Any:
            return lib.nn.Conv2d(*sizes, **options)

        yield both(p, f"convolution {name}, batch {batch}", layer(make, (batch, inputs, size, size)))


def memory_bound(p: Peers) -> Iterator[Row]:
    """Layers that do little for each element."""
    image = (32, 64, 32, 32)
    yield both(p, "max pool 2x2", differentiated(lambda lib, x: lib.nn.functional.max_pool2d(x, 2), image))
    yield both(p, "average pool 2x2", differentiated(lambda lib, x: lib.nn.functional.avg_pool2d(x, 2), image))
    yield both(p, "batch norm, training", layer(lambda lib: lib.nn.BatchNorm2d(64), image))
    yield both(p, "layer norm 4096 x 768", layer(lambda lib: lib.nn.LayerNorm(768), (4096, 768)))
    yield both(p, "RMS norm 4096 x 768", layer(lambda lib: lib.nn.RMSNorm(768), (4096, 768)))
    yield both(p, "dropout of 1,000,000", differentiated(lambda lib, x: lib.nn.functional.dropout(x, 0.5), (1000, 1000)))

    def twice(lib: Any, x: Any) -> Any:
        return lib.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    yield both(p, "bilinear, twice the size", differentiated(twice, image))


def embedding(sparse: bool) -> Build:
    """A table with a step of SGD."""

    def build(lib: Any, array: Any) -> Callable[[], Any]:
        table, index = lib.nn.Embedding(50000, 128, sparse=sparse), array(4096, below=50000)
        optimizer = lib.optim.SGD(table.parameters(), lr=0.1)

        def step() -> None:
            optimizer.zero_grad()
            table(index).sum().backward()
            optimizer.step()

        return step

    return build


def attention(causal: bool) -> Callable[..., Any]:
    """Scaled dot-product attention."""
    return lambda lib, q, k, v: lib.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def block(lib: Any) -> Any:
    """A layer of a transformer, without dropout."""
    return lib.nn.TransformerEncoderLayer(256, 8, 1024, 0.0, "gelu", batch_first=True, norm_first=True)


def cells(lib: Any, array: Any) -> Callable[[], Any]:
    """An LSTM of 64 steps from cells."""
    cell, xs = lib.nn.LSTMCell(128, 128), array(64, 32, 128)

    def step() -> Any:
        h = c = lib.zeros((32, 128))
        for t in range(64):
            h, c = cell(xs[t], (h, c))
        return lib.autograd.grad(h.sum(), list(cell.parameters()))

    return step


def lenet(lib: Any) -> Any:
    """LeNet-5."""
    nn = lib.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def rows(p: Peers) -> Iterator[Row]:
    """All of them."""
    yield from convolutions(p)
    yield both(p, "LeNet step, batch 64", trained(lenet, (64, 1, 28, 28), 10))
    yield from memory_bound(p)
    yield both(p, "embedding 50,000 x 128, 4096 indices, SGD step", embedding(sparse=False))
    yield both(p, "the same with sparse=True", embedding(sparse=True))
    for shape in ((8, 8, 128, 32), (2, 8, 1024, 64)):
        for causal in (False, True):
            name = f"attention {' x '.join(map(str, shape))}{', causal' * causal}"
            yield both(p, name, differentiated(attention(causal), shape, shape, shape))
    yield both(p, "transformer block 8 x 128 x 256, 8 heads", layer(block, (8, 128, 256)))
    yield both(p, "LSTM of 64 steps, batch 32, 128 > 128", layer(lambda lib: lib.nn.LSTM(128, 128), (64, 32, 128)))
    yield both(p, "LSTM of 64 steps from cells", cells)
    yield both(p, "GRU of 64 steps, batch 32, 128 > 128", layer(lambda lib: lib.nn.GRU(128, 128), (64, 32, 128)))
