"""tg.save and tg.load: what goes in comes out, files of others are read, damage is found, and nothing is executed.

The two files of PyTorch below were written by this script, with `new` True and False:

    w = torch.arange(6.0).reshape(2, 3)
    state = collections.OrderedDict(weight=w, transposed=w.T, half=w[0].half(), brain=w[1].bfloat16(), count=torch.tensor(7))
    file = io.BytesIO()
    saved = {"model": state, "epoch": 3, "p": torch.nn.Parameter(torch.ones(2))}
    torch.save(saved, file, _use_new_zipfile_serialization=new)
    print(base64.b85encode(zlib.compress(file.getvalue(), 9)).decode())
"""

import base64
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

safetensors = pytest.importorskip("safetensors.numpy")

TORCH_ZIP = (
    "c-"
    "o~^%WvaE9G=*z6I|#EcKZMd%QJ;;>PMd2LL&=VNJgR?gcNa!T*n(*xN&~Yq!kFHNT>zGW#NE0ArKeNT;R4x&K%&xjl&8q`~!Pn#!kKVENQgqC=<ude2;njJ|"
    "7r-7NL9|J<yiW3Ni!BagXhtj)~1;|9wx_7SMaCHsU@8RA|i+z>(jvJ;+#=?|HU`UB5RF-wrx<V0YedEi3}J)darK63EyS+wD3SvKID<M6o@@t~U_dfqgi1y-"
    "pk3y@4OJj};N-3WZjVAO>Wl*|kB4AfoR1CVnS+C_=84A!8)Sw|H{3`a^ic5HN^04P<Zze+KggZ)DEk(a#;~;xP;hO;~J+WH1iQ-"
    "k|Rf><%nBM9mSLoRfD#{4&M!26qN4MuyTn9^s$BaHR=XTV&~wV|uq>HA0TPy-6O$*49F6GOQCy9>YdRc?wS&nNxTwqI(*{W)q$XSMe|~-"
    "5xxf;?u&(%9WV&TF9xua}nqBW6l>S=Zg{NOBh~mLbNlMKkQ-HN^!pB_qs9PD<Pi>uM)lthHb*PwH5JP$53p-"
    "&M+jh`@ZFXWbonmKFAaHuWttCk&W#@1m%29Lr4i!BEexOg*$T!Woo$+NmVh_no$2Nyt(ly>^5O<SUfOt`PMc6`$LW_4(SIIPwXmMk56pzmLD9MxP5E~19B2|"
    "?Fw^n$4#d6KmYsZC)6G7lj%25^*;UhIJQmC?e>oB9@aJW{}nE7l@c|ue*%A#sUhw{1IuVXHgNa>wtZS$y0$xu?s@ZEj6IurIDPG}by}Ljg&r2r>#0=Ok#z0G"
    "B@9HYqkZz#ARp34q<`0-"
    "j#h8q{c?@`u{OogcG{7wYX$TW`g<r;`}Lmx&kXZdE;s*1W7LRdn=Qi+Gw7?A)6b20se}F>cYP|EpW<LI?VzM<H8lJF)4d<<Q~ldFh2N*^FQVO8Kd$cTtOit("
    "D*yIv_uc9Bw~3Vd0T51oU<WQqfDcXjwrjf`T`NAM5lJeS<+>!-"
    "%Bmu%<+@a@Rb^EwsY+F@DfPNqtCS_VTA?oQWk33&KztNJml<j{_L)q`r3aj|?{OBL48YYC@+S^W%2bvl8Dbmh;NsB*$;t90gJ?O$^HqW;4nP*3OpS#U{Aw04"
    "*~Ma$8IZ>Q$YNy{o2*|(caFg-"
    "EH+trY3$c5R%Nlts!3zl1O{7TvB`74n8JROz)slj<Z;|gfmd>9N}(JWg0OvFR{ZrCInP}0aMAUb+<8n1;ja@hx{u!2b3%lf564Gi{{wUlX<7"
)
TORCH_OLD = (
    "c-nQ6*>2N76o$QI0YgjKDQnpimJqvX7AV3(s6rZ6bK@Iixy}$9xt<(*Tm(|3+$0p9fs0=9YCHlG7o4%(&_Wn_Y|ZhR|2y-"
    "~87W`2@YlDspG)t*zgldJl;=NGd~bnNvlk>u8pez>kA==Ajgx>yAY+0(hkwF=^N>0;>IZHF%C@axkbfLfCkZ~$1k^1k)$B3`6Q9K#%0#hMTm=z_3Mttop~0d"
    "7R7ojKcbOu8gY{_$vWM7^dK{^V_A>6%nD(Cp9@jvrTcFnL3g&*G!NBKG@;Hk<zu}}j2oueT>3SN3eTUO1VX?DmXi%=z?5d~+Gu;7&O1?!~3z^H`<UtLp_B`h"
    "FTAiL@G<)rpmfmW?fvj+En8HC)dBH(@O(dcabpnToO5_O~{^E<8<~Yn-a3pskcB5p-"
    "6559aAK8AzpQ(M+&oz$;O_eAUI8J0CeInO9$>Ed*r!%{JH+%<Ya<!uRrx=<RzxW5x?5*g!VRXB276B>(&SiixoG0=aF681DIb5<}DRX^2c7q5m?^A!AnWML-"
    "ge!ZFpzG~!$I#nwwIEz82-gMSMozfNp=LonBX}&uyT7%M@C-X(s($-"
    "#_2qUG?x4Di>UUASUe8q<9PU}rOfy+JWS$Q?QEgc?EExakg`pd}8<f*ngXMp31PwFvp3!YW3xNs(SF&3kLt7lDlY_e)dKTQ@&K3_o!>R=jMen{9y*tBvc@{v"
    "K)d%V<XG^mTDbt2%$6~BXrZQcO9*J3z_6`w~Onh*TaPFA9yG?Us?wE41suthhi}?h3"
)


def unpacked(text):
    return zlib.decompress(base64.b85decode(text))


def same(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(a, (tg.Variable, np.ndarray)):
        assert a.dtype == b.dtype
        assert np.array_equal(*(np.asarray(x.detach() if isinstance(x, tg.Variable) else x) for x in (a, b)))
        if isinstance(a, tg.Variable):
            assert a.requires_grad == b.requires_grad
    else:
        assert a == b or (a != a and b != b)


def there_and_back(x):
    file = io.BytesIO()
    tg.save(x, file)
    return tg.load(io.BytesIO(file.getvalue()))


def trained():
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    optimizer.zero_grad()
    (model(tg.ones(2, 3)) ** 2).sum().backward()
    optimizer.step()


EVERYTHING = {
    "variable": tg.Variable([[1.0, 2.0]]),
    "empty": tg.zeros((0, 3)),
    "scalar": tg.Variable(3, dtype=tg.int64),
    "bool": tg.Variable([True, False]),
    "double": tg.Variable([1.0], dtype=tg.float64),
    "leaf": tg.Variable([1.0], requires_grad=True),
    "strided": tg.ones((2, 3)).T,
    "parameter": nn.Parameter([1.0]),
    "frozen": nn.Parameter([1.0], requires_grad=False),
    "array": np.arange(3, dtype=np.int16),
    "numbers": [1, 2.5, -(2**70), float("inf"), float("nan"), True, None, 1 + 2j],
    "text": "umlaut ä",
    "bytes": b"\x00\xff",
    "nested": [(1, [2, {"a": tg.Variable([5.0])}]), OrderedDict(b=1)],
    "dtype": tg.float64,
    "keys": {1: "a", (2, 3): "b", None: "c"},
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_there_and_back(name):
    same(EVERYTHING[name], there_and_back(EVERYTHING[name]))


def test_headers_of_every_length():
    """Some lengths, in the first eight bytes of a file, look like the beginning of a pickle."""
    starts = set()
    for n in range(0, 1500, 8):
        file = io.BytesIO()
        tg.save({"x": tg.ones(2), "text": "x" * n}, file)
        starts.add(file.getvalue()[:2])
        assert len(tg.load(io.BytesIO(file.getvalue()))["text"]) == n
    assert {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"} <= starts


def test_all_at_once_by_path(tmp_path):
    tg.save(EVERYTHING, tmp_path / "a")
    same(EVERYTHING, tg.load(tmp_path / "a"))
    same(EVERYTHING, tg.load(str(tmp_path / "a"), map_location="cpu", weights_only=True))


def test_what_is_shared_stays_shared():
    x = tg.Variable([1.0])
    found = there_and_back({"a": x, "b": [x], "c": x.clone()})
    assert found["a"] is found["b"][0]
    assert found["a"] is not found["c"]


def test_names_that_meet_are_told_apart():
    x = {"a.b": tg.Variable([1.0]), "a": {"b": tg.Variable([2.0])}, "__metadata__": tg.Variable([3.0])}
    same(x, there_and_back(x))


def test_training_goes_on_bit_for_bit():
    model, optimizer = trained()
    file = io.BytesIO()
    tg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": tg.get_rng_state()}, file)
    step(model, optimizer)
    noise = tg.rand(3)
    saved = tg.load(io.BytesIO(file.getvalue()))
    other, second = trained()
    step(other, second)
    other.load_state_dict(saved["model"])
    second.load_state_dict(saved["optimizer"])
    tg.set_rng_state(saved["random"])
    step(other, second)
    assert all((a == b).all() for a, b in zip(model.parameters(), other.parameters()))
    assert (tg.rand(3) == noise).all()


def test_other_readers_and_writers_of_safetensors(tmp_path):
    model, _ = trained()
    tg.save(model.state_dict(), tmp_path / "m")
    found = safetensors.load_file(tmp_path / "m")
    assert sorted(found) == sorted(model.state_dict())
    assert (found["0.weight"] == model[0].weight.detach().numpy()).all()
    safetensors.save_file({"x": np.eye(2), "h": np.array([0.5, 65504], np.float16)}, tmp_path / "n")
    other = tg.load(tmp_path / "n")
    assert other["x"].tolist() == [[1, 0], [0, 1]]
    assert other["h"].dtype == tg.float16
    assert other["h"].tolist() == [0.5, 65504]


def raw_safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16_of_others():
    bits = np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16
    data = bits.astype("<u2").tobytes()
    found = tg.load(io.BytesIO(raw_safetensors({"b": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, data)))
    assert (found["b"].dtype, found["b"].tolist()) == (tg.bfloat16, [1.5, -2.0])
    with pytest.raises(tg.FileFormatError):
        tg.load(io.BytesIO(raw_safetensors({"b": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"ab")))


# ---- files that stay whole ----


def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    tg.save([1], path)
    for where in ("fsync", "replace"):
        with monkeypatch.context() as broken:
            broken.setattr(os, where, lambda *a, **k: (_ for _ in ()).throw(OSError("no space left")))
            with pytest.raises(OSError, match="no space"):
                tg.save([2], path)
        assert tg.load(path) == [1]
        assert [file.name for file in tmp_path.iterdir()] == ["a"]
    with pytest.raises(TypeError):
        tg.save([object()], path)
    assert tg.load(path) == [1]


KILLED = """
import os, sys, tapegrad as tg
tg.save({"x": tg.zeros(1000)}, sys.argv[1])
print("ready", flush=True)
while True:
    tg.save({"x": tg.ones(200_000)}, sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_is_killed_leaves_a_whole_file(tmp_path):
    for delay in (0.0, 0.05, 0.11):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "a")], stdout=subprocess.PIPE)
        child.stdout.readline()
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        child.stdout.close()
        assert tg.load(tmp_path / "a")["x"].shape in {(1000,), (200_000,)}


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_modes_and_links_are_kept(tmp_path):
    tg.save([1], tmp_path / "a")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    tg.save([2], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert tg.load(tmp_path / "a") == [2]
    tg.save([3], os.devnull)


def test_damage_anywhere_is_found():
    file = io.BytesIO()
    tg.save({"x": tg.arange(5), "n": [1, 2.5, "text"]}, file)
    whole = file.getvalue()
    expected = tg.load(io.BytesIO(whole))
    for cut in range(len(whole)):
        with pytest.raises(tg.FileFormatError):
            tg.load(io.BytesIO(whole[:cut]))
    passed = 0
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 4
        try:
            found = tg.load(io.BytesIO(bytes(broken)))
        except tg.FileFormatError:
            continue
        same(found, expected)  # the name of the format in the header, which nothing depends on
        passed += 1
    assert passed < 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello world, this is a text", "neither a safetensors file nor"),
        (b"\x93NUMPY\x01\x00", "numpy.load"),
        (pickle.dumps({"a": 1}), "not a PyTorch file"),
        (b"PK\x03\x04 and no more", "damaged"),
        (raw_safetensors({"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"abcd"), "damaged"),
        (raw_safetensors({"__metadata__": {"tapegrad": "[]"}}), "damaged"),
    ],
)
def test_foreign_files(tmp_path, data, message):
    (tmp_path / "file.bin").write_bytes(data)
    with pytest.raises(tg.FileFormatError, match=f"file.bin.*{message}"):
        tg.load(tmp_path / "file.bin")


def test_bad_arguments(tmp_path):
    model, optimizer = trained()
    for x, message in (
        (model, r"Sequential cannot be saved; save its state_dict\(\)"),
        ({"o": optimizer}, r"Adam at 'o' cannot be saved; save its state_dict"),
        ([object()], "object at '0' cannot be saved"),
        (lambda: 0, "function cannot be saved"),
        (np.array(["a"]), "dtype <U1"),
    ):
        with pytest.raises(TypeError, match=message):
            tg.save(x, tmp_path / "a")
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        tg.save(loop, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    with pytest.raises(IsADirectoryError):
        tg.save([1], tmp_path)
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none")
    tg.save([1], tmp_path / "a")
    with pytest.raises(ValueError, match="one device"):
        tg.load(tmp_path / "a", map_location="cuda")
    assert tg.load(tmp_path / "a", map_location=lambda storage, place: storage) == [1]
    with pytest.raises(TypeError, match="mode 'rb'"):
        tg.load(io.StringIO("text"))


# ---- PyTorch's files ----


@pytest.mark.parametrize("text", [TORCH_ZIP, TORCH_OLD], ids=["zip", "legacy"])
def test_checkpoints_of_pytorch(text):
    found = tg.load(io.BytesIO(unpacked(text)), map_location=tg.device("cpu"))
    assert found["epoch"] == 3
    assert isinstance(found["p"], nn.Parameter)
    assert found["p"].requires_grad
    model = found["model"]
    assert list(model) == ["weight", "transposed", "half", "brain", "count"]
    assert model["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert model["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert model["half"].tolist() == [0, 1, 2]
    assert model["brain"].tolist() == [3, 4, 5]
    assert (model["half"].dtype, model["brain"].dtype) == (tg.float16, tg.bfloat16)
    assert model["count"].item() == 7
    layer = nn.Linear(3, 2, bias=False)
    layer.load_state_dict({"weight": model["weight"]})
    assert layer(tg.ones(3)).tolist() == [3, 12]


@pytest.mark.parametrize("text", [TORCH_ZIP, TORCH_OLD], ids=["zip", "legacy"])
def test_damaged_checkpoints_of_pytorch(text):
    whole = unpacked(text)
    for cut in range(1, len(whole), 37):
        with pytest.raises(tg.FileFormatError):
            tg.load(io.BytesIO(whole[:cut]))


def archive(*calls, data=b""):
    """A file like PyTorch's whose pickle is `calls`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("a/data.pkl", b"\x80\x02" + b"".join(calls) + b".")
        out.writestr("a/data/0", data)
    return io.BytesIO(file.getvalue())


STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"


@pytest.mark.parametrize(
    "call",
    [
        b"cos\nsystem\nX\x04\x00\x00\x00exit\x85R",
        b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R",
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x04\x00\x00\x00evilK\x01sb",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nFloatStorage\n)R",
        b"X\x01\x00\x00\x00xQ",
        b"ctapegrad\nsave\n",
        b"cnumpy\nload\n",
    ],
)
def test_a_pickle_in_a_checkpoint_executes_nothing(call):
    with pytest.raises(tg.FileFormatError):
        tg.load(archive(call))


def test_tensors_that_reach_over_their_data_are_refused():
    def tensor(offset, size, stride):
        numbers = b"K%c" % offset + b"K%c\x85" % size + b"K%c\x85" % stride
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + STORAGE + numbers + b"\x89}tR"

    values = np.arange(4, dtype=np.float32).tobytes()
    assert tg.load(archive(tensor(1, 2, 2), data=values)).tolist() == [1, 3]
    for wrong in (tensor(1, 4, 1), tensor(0, 3, 2), tensor(9, 1, 1)):
        with pytest.raises(tg.FileFormatError, match="reaches over"):
            tg.load(archive(wrong, data=values))
    with pytest.raises(tg.FileFormatError, match="reaches over"):
        tg.load(archive(tensor(0, 4, 1), data=values[:8]))


def test_complex_tensors_of_pytorch():
    storage = STORAGE.replace(b"FloatStorage", b"ComplexFloatStorage")
    call = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"K\x00K\x02\x85K\x01\x85\x89}tR"
    found = tg.load(archive(call, data=np.array([1 + 2j, 3], dtype=np.complex64).tobytes()))
    assert found.dtype == tg.complex64
    assert found.tolist() == [1 + 2j, 3]


def test_an_expanded_tensor_that_does_not_fit_in_memory():
    numbers = b"K\x00\x8a\x06" + (2**44).to_bytes(6, "little") + b"\x85K\x00\x85"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n" + STORAGE + numbers + b"\x89}tR"
    with pytest.raises(tg.FileFormatError):
        tg.load(archive(call, data=np.ones(1, dtype=np.float32).tobytes()))


def test_half_floats_of_numpy():
    halves = np.array([1.5, -0.0, np.inf, 6e-8], dtype=np.float16)
    found = there_and_back({"h": halves, "back": halves[::-1]})
    assert found["h"].dtype == np.float16
    assert np.array_equal(found["h"], halves)
    assert np.array_equal(found["back"], halves[::-1])
