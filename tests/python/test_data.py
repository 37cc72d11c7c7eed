"""Datasets, samplers, collation and the loader: values, order, resuming, workers and their errors."""

import collections
import gzip
import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    datasets,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)

WORKERS = [{}, {"num_workers": 2}, {"num_workers": 3, "workers": "thread"}, {"num_workers": 2, "persistent_workers": True}]
IDS = ["serial", "processes", "threads", "persistent"]


class Squares(Dataset):
    def __init__(self, n=10):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i * i


class Stream(IterableDataset):
    def __init__(self, n=20):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.n, step))

    def __len__(self):
        return self.n


def lists(loader):
    return [batch.tolist() for batch in loader]


# ---- datasets ----


def test_tensor_dataset_and_its_quick_path():
    x, y = tg.randn(10, 3), tg.arange(10)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 10
    assert dataset[3][1].item() == 3
    for shuffle in (False, True):
        seen = []
        for a, b in DataLoader(dataset, batch_size=4, shuffle=shuffle):
            assert (a == x[b]).all()
            a.add_(1.0)  # a batch has memory of its own
            seen += b.tolist()
        assert sorted(seen) == list(range(10))
    assert (x == dataset.tensors[0]).all()
    assert [len(b) for _, b in DataLoader(dataset, 4, drop_last=True)] == [4, 4]


def test_the_quick_path_gives_what_collation_gives():
    part = Subset(Subset(TensorDataset(tg.randn(9, 2), tg.arange(9)), [8, 2, 4, 1]), [3, 0, 2])
    slow = default_collate([part[i] for i in range(3)])
    (fast,) = DataLoader(part, batch_size=5)
    assert type(fast) is type(slow)
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(fast, slow))


def test_a_subclass_that_changes_samples_is_not_passed_by():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return tuple(t * 2 for t in super().__getitem__(i))

    assert lists(b for (b,) in DataLoader(Doubled(tg.arange(4)), 2)) == [[0, 2], [4, 6]]


def test_containers_of_datasets():
    joined = Squares(3) + Squares(2)
    assert isinstance(joined, ConcatDataset)
    assert [joined[i] for i in range(5)] == [0, 1, 4, 0, 1]
    assert joined[-1] == 1
    with pytest.raises(IndexError, match="out of range for 5"):
        joined[5]
    assert list(Stream(2) + Stream(3)) == [0, 1, 0, 1, 2]
    assert len(ChainDataset([Stream(2), Stream(3)])) == 5
    assert StackDataset(Squares(3), Squares(3))[2] == (4, 4)
    assert StackDataset(a=Squares(3))[2] == {"a": 4}
    with pytest.raises(ValueError, match="different lengths"):
        StackDataset(Squares(3), Squares(4))
    with pytest.raises(ValueError, match="different sizes"):
        TensorDataset(tg.zeros(2), tg.zeros(3))
    with pytest.raises(ValueError, match="no axis"):
        TensorDataset(tg.tensor(1.0))
    with pytest.raises(TypeError, match="use ChainDataset"):
        ConcatDataset([Stream()])


def test_random_split():
    a, b = random_split(Squares(10), [7, 3], generator=tg.Generator(1))
    assert sorted([*a.indices, *b.indices]) == list(range(10))
    assert a.indices == random_split(Squares(10), [7, 3], generator=tg.Generator(1))[0].indices
    assert [len(p) for p in random_split(range(10), [0.5, 0.25, 0.25])] == [6, 2, 2]
    with pytest.raises(ValueError, match="add up to"):
        random_split(range(10), [3, 3])


# ---- samplers ----


def test_samplers():
    assert list(SequentialSampler(range(3))) == [0, 1, 2]
    assert sorted(RandomSampler(range(20))) == list(range(20))
    assert len(list(RandomSampler(range(3), num_samples=8))) == 8
    assert set(RandomSampler(range(3), replacement=True, num_samples=50)) == {0, 1, 2}
    assert sorted(SubsetRandomSampler([5, 7, 9])) == [5, 7, 9]
    assert list(BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    shares = [list(DistributedSampler(range(10), 3, rank, shuffle=False)) for rank in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]]
    other = DistributedSampler(range(10), 2, 0)
    first = list(other)
    other.set_epoch(1)
    assert list(other) != first


def test_weighted_sampler_follows_the_weights():
    weights = np.array([0.0, 1.0, 3.0])
    drawn = np.bincount(list(WeightedRandomSampler(weights, 8000, generator=tg.Generator(0))), minlength=3) / 8000
    np.testing.assert_allclose(drawn, weights / 4, atol=0.02)
    pairs = [tuple(WeightedRandomSampler(weights, 2, replacement=False, generator=tg.Generator(i))) for i in range(400)]
    assert {frozenset(p) for p in pairs} == {frozenset((1, 2))}
    assert abs(sum(p[0] == 2 for p in pairs) / 400 - 0.75) < 0.07
    with pytest.raises(ValueError, match="weight above zero"):
        WeightedRandomSampler(weights, 3, replacement=False)
    with pytest.raises(ValueError, match="not negative"):
        WeightedRandomSampler([-1.0, 2.0], 1)


# ---- collation ----


def test_default_collate():
    point = collections.namedtuple("point", "x y")
    assert default_collate([1, 2]).dtype == tg.int64
    assert default_collate([1.0, 2.0]).dtype == tg.get_default_dtype()
    assert default_collate([True, False]).dtype == tg.bool
    assert default_collate([np.float64(1), np.float64(2)]).dtype == tg.float64
    assert default_collate([np.zeros(2), np.ones(2)]).tolist() == [[0, 0], [1, 1]]
    assert default_collate([tg.zeros(2), tg.ones(2)]).shape == (2, 2)
    assert default_collate(["a", "b"]) == ["a", "b"]
    nested = default_collate([{"a": (1, [2.0])}, {"a": (3, [4.0])}])
    assert nested["a"][0].tolist() == [1, 3]
    assert nested["a"][1][0].tolist() == [2.0, 4.0]
    assert isinstance(default_collate([point(1, 2), point(3, 4)]), point)
    assert isinstance(default_convert((np.zeros(2), "a"))[0], tg.Variable)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ValueError, r"shapes, \(2,\) and \(3,\).*collate_fn"),
        ([[1], [1, 2]], RuntimeError, "different lengths"),
        ([None, None], TypeError, "NoneType.*collate_fn"),
        ([{"a": 1}, {"b": 1}], KeyError, "different keys"),
        ([np.zeros(2), 1.0], TypeError, "different types"),
        ([np.array(["a"])], TypeError, "no numbers"),
        ([], ValueError, "empty"),
    ],
)
def test_collate_says_what_does_not_fit(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


# ---- the loader ----


@pytest.mark.parametrize("options", WORKERS, ids=IDS)
def test_order_is_that_of_the_seed_for_any_workers(options):
    plain = DataLoader(Squares(23), 4, shuffle=True, generator=tg.Generator(5))
    loader = DataLoader(Squares(23), 4, shuffle=True, generator=tg.Generator(5), **options)
    first, second = lists(plain), lists(plain)
    assert first != second
    assert lists(loader) == first
    assert lists(loader) == second
    assert len(loader) == 6


@pytest.mark.parametrize("options", WORKERS, ids=IDS)
@pytest.mark.parametrize("given", [0, 2, 6])
def test_resumes_in_the_middle_of_an_epoch(options, given):
    whole = DataLoader(Squares(23), 4, shuffle=True, generator=tg.Generator(5))
    first, second = lists(whole), lists(whole)
    loader = DataLoader(Squares(23), 4, shuffle=True, generator=tg.Generator(5), **options)
    epoch = iter(loader)
    for _ in range(given):
        next(epoch)
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    del epoch
    other = DataLoader(Squares(23), 4, shuffle=True, generator=tg.Generator(77), **options)
    other.load_state_dict(state)
    assert lists(other) == first[given:]
    assert lists(other) == second


def test_resumes_between_epochs_and_with_the_generator_of_the_process():
    tg.manual_seed(3)
    loader = DataLoader(TensorDataset(tg.arange(12)), 4, shuffle=True)
    lists(b for (b,) in loader)
    state, random = loader.state_dict(), tg.get_rng_state()
    expected = lists(b for (b,) in loader)
    epoch = iter(loader)
    next(epoch)
    middle, later = loader.state_dict(), tg.get_rng_state()
    rest = lists(b for (b,) in epoch)
    tg.set_rng_state(random)
    loader.load_state_dict(state)
    assert lists(b for (b,) in loader) == expected
    tg.set_rng_state(later)
    loader.load_state_dict(middle)
    assert lists(b for (b,) in loader) == rest
    with pytest.raises(ValueError, match="expected a dict with the keys"):
        loader.load_state_dict({})


@pytest.mark.parametrize("options", WORKERS, ids=IDS)
def test_streams(options):
    loader = DataLoader(Stream(20), 3, **options)
    found = lists(loader)
    assert sorted(x for batch in found for x in batch) == list(range(20))
    assert lists(loader) == found
    epoch = iter(loader)
    next(epoch)
    state = loader.state_dict()
    del epoch
    loader.load_state_dict(state)
    assert lists(loader) == found[1:]
    assert all(len(b) == 3 for b in DataLoader(Stream(20), 3, drop_last=True, **options))
    assert sorted(DataLoader(Stream(5), None, **options)) == list(range(5))


def test_other_orders():
    assert lists(DataLoader(Squares(), batch_sampler=[[1, 2], [3]])) == [[1, 4], [9]]
    assert lists(DataLoader(Squares(), 2, sampler=[3, 1])) == [[9, 1]]
    assert list(DataLoader(Squares(3), batch_size=None)) == [0, 1, 4]
    assert list(DataLoader([1, 2, 3], 2, collate_fn=tuple)) == [(1, 2), (3,)]
    assert list(DataLoader([], 2)) == []
    assert list(DataLoader([], 2, shuffle=True)) == []


def test_samples_that_are_read_many_at_once():
    class Many(Squares):
        def __getitems__(self, indices):
            return [-i for i in indices]

    assert lists(DataLoader(Many(4), 2)) == [[0, -1], [-2, -3]]


class Fails(Squares):
    def __getitem__(self, i):
        if i == 5:
            raise KeyError("five")
        return i


@pytest.mark.parametrize("options", WORKERS, ids=IDS)
def test_the_error_of_a_worker_is_raised_with_its_traceback(options):
    with pytest.raises(KeyError, match="five") as caught:
        list(DataLoader(Fails(), 2, **options))
    text = "".join(__import__("traceback").format_exception(caught.value))
    assert 'raise KeyError("five")' in text
    assert not options or "DataLoader worker" in text


class Odd(Exception):  # noqa: N818
    def __init__(self, a, b):
        super().__init__(a)


class Dies(Squares):
    def __getitem__(self, i):
        if i == 3:
            os._exit(7)
        if i == 4:
            raise Odd("cannot be", "pickled")
        if i == 5:
            return lambda: 0
        if i == 6:
            time.sleep(3600)
        return i


def alone(samples):
    return samples[0]


@pytest.mark.parametrize(
    ("index", "message", "options"),
    [
        (3, "exit code 7", {}),
        (4, "Odd: cannot be", {}),
        (5, "cannot be sent", {}),
        (6, "no batch for 0.3 seconds", {"timeout": 0.3}),
    ],
)
def test_a_worker_that_ends_or_hangs_is_no_hang(index, message, options):
    with pytest.raises(RuntimeError, match=message):
        list(DataLoader(Dies(), batch_sampler=[[0], [index], [1]], num_workers=2, collate_fn=alone, **options))


class Noise(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return np.random.rand(), tg.rand(1).item()  # noqa: NPY002


def test_random_numbers_of_processes_do_not_depend_on_their_number():
    found = []
    for n in (1, 3):
        loader = DataLoader(Noise(), 2, num_workers=n, generator=tg.Generator(2))
        found.append([[part.tolist() for part in batch] for batch in loader])
    assert found[0] == found[1]
    assert len({x for batch in found[0] for part in batch for x in part}) == 16


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_worker_init_fn_and_info():
    def init(worker):
        os.environ["WORKER"] = str(worker)

    class Where(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return int(os.environ["WORKER"]), get_worker_info().num_workers

    # The dataset is a local class, which only a forked process has.
    found = list(DataLoader(Where(), 1, num_workers=2, worker_init_fn=init, multiprocessing_context="fork"))
    assert [a.item() for a, _ in found] == [0, 1, 0, 1]
    assert get_worker_info() is None


def test_processes_that_are_spawned():
    loader = DataLoader(Squares(9), 2, shuffle=True, num_workers=2, multiprocessing_context="spawn", generator=tg.Generator(1))
    assert lists(loader) == lists(DataLoader(Squares(9), 2, shuffle=True, generator=tg.Generator(1)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_workers_end_with_the_main_process():
    code = """
import os, tapegrad as tg
from tapegrad.utils.data import DataLoader
loader = DataLoader(range(100), 2, num_workers=2, persistent_workers=True, multiprocessing_context="fork")
next(iter(loader))
print(*(p.pid for p in loader._pool._processes) if loader._pool else (), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    pids = [int(pid) for pid in done.stdout.split()]
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived the main process"
        time.sleep(0.05)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = pathlib.Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_large_batch_and_many_indices_do_not_block():
    dataset = TensorDataset(tg.zeros(40000, 8))
    (batch,) = next(iter(DataLoader(dataset, 40000, shuffle=True, num_workers=2)))
    assert batch.shape == (40000, 8)


INTERRUPTED = """
import sys, threading, os, signal, time
from tapegrad.utils.data import DataLoader, Dataset
class Slow(Dataset):
    def __len__(self): return 1000
    def __getitem__(self, i):
        time.sleep(0.05)
        return i
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without it
threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for batch in DataLoader(Slow(), 4, num_workers=2, workers=sys.argv[1], multiprocessing_context="fork"): pass
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_keyboard_interrupt(kind):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, kind], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "interrupted"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a positive int"),
        ({"num_workers": -1}, "num_workers"),
        ({"shuffle": True, "sampler": [0]}, "exclude each other"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, "makes no batches"),
        ({"prefetch_factor": 2}, "option of workers"),
        ({"persistent_workers": True}, "option of workers"),
        ({"timeout": -1}, "timeout"),
        ({"workers": "fibre"}, "'process' or 'thread'"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Squares(), **options)


def test_streams_have_no_order_to_choose():
    for options in ({"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}):
        with pytest.raises(ValueError, match="decides its order itself"):
            DataLoader(Stream(), **options)


# ---- readers ----


def idx(array):
    code = {"uint8": 8, "int32": 0x0C, "float32": 0x0D}[array.dtype.name]
    head = bytes([0, 0, code, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_idx_and_mnist(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([7, 1], np.uint8)))
    x, y = datasets.mnist(tmp_path)[:]
    np.testing.assert_allclose(x.numpy(), (images / 255)[:, None], rtol=1e-6)
    assert y.tolist() == [7, 1]
    for array in (np.array([[1, -2]], np.int32), np.array([0.5], np.float32)):
        (tmp_path / "a").write_bytes(idx(array))
        assert (datasets.read_idx(tmp_path / "a").numpy() == array).all()
    for data in (b"", b"hello", idx(images)[:-1], idx(images) + b"x", b"\0\0\x08\x03\0"):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(tg.FileFormatError, match="IDX"):
            datasets.read_idx(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        datasets.mnist(tmp_path, train=False)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("key", ["labels", b"fine_labels"])
def test_cifar_in_python(tmp_path, protocol, key):
    data = np.random.default_rng(0).integers(0, 256, (3, 3072)).astype(np.uint8)
    data_key = key[:0] + (b"data" if isinstance(key, bytes) else "data")
    batch = {data_key: data, key: [1, 2, 3], "more": np.float64(1)}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=protocol))
    x, y = datasets.read_cifar(tmp_path / "data_batch_1")
    assert (x.numpy().reshape(3, -1) == data).all()
    assert y.tolist() == [1, 2, 3]
    assert datasets.cifar(tmp_path)[2][0].shape == (3, 32, 32)


def test_cifar_in_binary_and_other_files(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (2, 3073)).astype(np.uint8)
    (tmp_path / "a.bin").write_bytes(rows.tobytes())
    x, y = datasets.read_cifar(tmp_path / "a.bin")
    assert (x.numpy().reshape(2, -1) == rows[:, 1:]).all()
    assert y.tolist() == rows[:, 0].tolist()
    for data in (b"x", pickle.dumps([1]), pickle.dumps({"data": np.zeros(3)}), pickle.dumps(np.array([None]))):
        (tmp_path / "a.bin").write_bytes(data)
        with pytest.raises(tg.FileFormatError):
            datasets.read_cifar(tmp_path / "a.bin")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_pickle_executes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(pickle.dumps({"data": Evil()}, protocol=2))
    with pytest.raises(tg.FileFormatError, match=r"posix\.mkdir|nt\.mkdir"):
        datasets.read_cifar(tmp_path / "a")
    assert not (tmp_path / "evil").exists()


def test_npz(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    found = datasets.read_npz(tmp_path / "a.npz")
    assert found["x"].tolist() == [0, 1, 2]
    assert found["y"].shape == (2, 2)
    np.savez(tmp_path / "b.npz", x=np.array([object()]))
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:50])
    for name in ("b.npz", "c.npz"):
        with pytest.raises(tg.FileFormatError, match=r"not an \.npz file"):
            datasets.read_npz(tmp_path / name)


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a, b\n1, 2\n\n3,\n", encoding="utf-8")
    found = datasets.read_csv(path).numpy()
    np.testing.assert_array_equal(found, [[1, 2], [3, np.nan]])
    assert datasets.read_csv(path, columns=["b"]).shape == (2, 1)
    assert datasets.read_csv(path, columns=[-1], dtype=tg.float64).dtype == tg.float64
    with pytest.raises(KeyError, match="no column 'c'"):
        datasets.read_csv(path, columns=["c"])
    path.write_text("1,2\n3\n", encoding="utf-8")
    with pytest.raises(tg.FileFormatError, match="line 2: 1 fields, expected 2"):
        datasets.read_csv(path)
    path.write_text("1,2\n3,x\n", encoding="utf-8")
    with pytest.raises(tg.FileFormatError, match="line 2, column 1: 'x'"):
        datasets.read_csv(path)


def test_image_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 255, 0))):
        (tmp_path / name).mkdir()
        image.new("RGB", (4, 3), colour).save(tmp_path / name / "1.png")
    folder = datasets.ImageFolder(tmp_path, transform=lambda x: x * 2)
    assert folder.classes == ["cat", "dog"]
    x, y = next(iter(DataLoader(folder, 2)))
    assert x.shape == (2, 3, 3, 4)
    assert x.max().item() == 2.0
    assert y.tolist() == [0, 1]
    assert datasets.read_image(tmp_path / "cat/1.png", "L", size=(2, 2)).shape == (1, 2, 2)
    (tmp_path / "cat/1.png").write_bytes(b"no image")
    with pytest.raises(tg.FileFormatError, match="cannot be read as an image"):
        folder[0]


def test_image_folder_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install Pillow"):
        datasets.ImageFolder(tmp_path)
