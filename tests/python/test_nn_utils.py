"""nn.utils: vectors of parameters, parametrizations, padding and packing, pruning, fusing; nn.init beyond the first."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import init, utils
from tapegrad.nn.utils import parametrizations, parametrize, prune, rnn


@pytest.fixture(autouse=True)
def _seed() -> None:
    tg.random.manual_seed(1)


def layer(*sizes: int) -> Any:
    return nn.Linear(*sizes, dtype=tg.float64)


def test_parameters_as_a_vector() -> None:
    net = nn.Sequential(layer(2, 3), layer(3, 1))
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    (vector * np.arange(13.0)).sum().backward()
    np.testing.assert_array_equal(net[1].weight.grad.numpy(), [[9.0, 10.0, 11.0]])
    before = list(net.parameters())
    utils.vector_to_parameters(tg.asarray(np.arange(13.0)), net.parameters())
    assert all(a is b for a, b in zip(before, net.parameters()))
    np.testing.assert_array_equal(net[0].bias.detach().numpy(), [6.0, 7.0, 8.0])
    with pytest.raises(tg.ShapeError, match="13 elements"):
        utils.vector_to_parameters(tg.zeros(3), net.parameters())
    with pytest.raises(ValueError, match="no parameters"):
        utils.parameters_to_vector([])
    net[0].weight.grad = tg.ones((3, 2), dtype=tg.float64)
    total = utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    utils.clip_grads_with_norm_(net.parameters(), 1.0, total)
    again = utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    assert again.item() == pytest.approx(1.0, rel=1e-5)


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return tg.triu(x) + tg.triu(x, 1).T

    def right_inverse(self, a: Any) -> Any:
        return tg.triu(a)


def test_parametrizations_of_ones_own() -> None:
    part = layer(3, 3)
    parametrize.register_parametrization(part, "weight", Symmetric())
    assert type(part).__name__ == "ParametrizedLinear"
    assert isinstance(part, nn.Linear)
    assert parametrize.is_parametrized(part, "weight")
    assert parametrize.type_before_parametrizations(part) is nn.Linear
    w = part.weight.detach().numpy()
    np.testing.assert_array_equal(w, w.T)
    part(tg.ones((1, 3), dtype=tg.float64)).sum().backward()
    assert part.parametrizations.weight.original.grad is not None
    part.weight = tg.eye(3, dtype=tg.float64)
    np.testing.assert_array_equal(part.weight.detach().numpy(), np.eye(3))
    with parametrize.cached():
        assert part.weight is part.weight
    assert part.weight is not part.weight
    for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert other.parametrizations.weight.original is not part.parametrizations.weight.original
        np.testing.assert_array_equal(other.weight.detach().numpy(), np.eye(3))
    parametrize.remove_parametrizations(part, "weight")
    assert type(part) is nn.Linear
    assert isinstance(part.weight, nn.Parameter)
    with pytest.raises(ValueError, match="no parametrization"):
        parametrize.remove_parametrizations(part, "weight")
    with pytest.raises(ValueError, match="pass unsafe=True"):
        parametrize.register_parametrization(part, "weight", nn.Flatten(0))
    with pytest.raises(ValueError, match="no parameter or buffer 'x'"):
        parametrize.register_parametrization(part, "x", Symmetric())


def test_weight_norm_refuses_axes_out_of_range() -> None:
    with pytest.raises(IndexError, match="weight_norm: axis 2 is out of bounds for an array of 2 dimensions"):
        parametrizations.weight_norm(layer(3, 4), dim=2)


def test_weight_norm() -> None:
    x = tg.asarray(np.cos(np.arange(6.0)).reshape(2, 3))
    for dim in (0, 1, None):
        part = layer(3, 4)
        want = part(x).detach().numpy()
        parametrizations.weight_norm(part, dim=dim)
        np.testing.assert_allclose(part(x).detach().numpy(), want, rtol=1e-12)
        assert sorted(part.state_dict()) == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    old = utils.weight_norm(layer(3, 4))
    want = old(x).detach().numpy()
    np.testing.assert_allclose(copy.deepcopy(old)(x).detach().numpy(), want)
    utils.remove_weight_norm(old)
    np.testing.assert_allclose(old(x).detach().numpy(), want, rtol=1e-12)
    assert sorted(old.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="has no weight norm"):
        utils.remove_weight_norm(old)


def test_spectral_norm() -> None:
    for part in (parametrizations.spectral_norm(layer(5, 4)), utils.spectral_norm(layer(5, 4))):
        for _ in range(60):
            part(tg.ones((1, 5), dtype=tg.float64))
        assert np.linalg.norm(part.weight.detach().numpy(), 2) == pytest.approx(1.0, rel=1e-6)
        part.eval()
        before = part.weight.detach().numpy(copy=True)
        part(tg.ones((1, 5), dtype=tg.float64)).sum().backward()
        np.testing.assert_array_equal(part.weight.detach().numpy(), before)
    with pytest.raises(ValueError, match="no parameter or buffer"):
        parametrizations.spectral_norm(layer(2, 2), "missing")


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal(orthogonal_map: str, sizes: tuple[int, int], trivial: bool) -> None:
    part = parametrizations.orthogonal(layer(*sizes), orthogonal_map=orthogonal_map, use_trivialization=trivial)
    w = part.weight
    gram = (w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w).detach().numpy()
    np.testing.assert_allclose(gram, np.eye(min(sizes)), atol=1e-12)
    (w * np.arange(float(w.size)).reshape(w.shape)).sum().backward()
    grad = part.parametrizations.weight.original.grad.numpy()
    value = part.parametrizations.weight.original.detach().numpy(copy=True)
    place = (w.shape[0] - 1, 0) if w.shape[0] >= w.shape[1] else (0, w.shape[1] - 1)
    both = []
    for sign in (1, -1):
        moved = value.copy()
        moved[place] += sign * 1e-6
        part.parametrizations.weight.original.data = tg.array(moved)
        both.append((part.weight.detach().numpy() * np.arange(float(w.size)).reshape(w.shape)).sum())
    np.testing.assert_allclose(grad[place], (both[0] - both[1]) / 2e-6, rtol=1e-6, atol=1e-6)


def test_padding_and_packing() -> None:
    parts = [tg.Variable(np.arange(float(n * 2)).reshape(n, 2) + n, requires_grad=True) for n in (2, 4, 1)]
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=-1.0)
    assert padded.shape == (3, 4, 2)
    assert padded[2, 1, 0].item() == -1.0
    assert rnn.pad_sequence(parts, padding_side="left").shape == (4, 3, 2)
    packed = rnn.pack_padded_sequence(padded, [2, 4, 1], batch_first=True, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    back, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=5)
    assert lengths.tolist() == [2, 4, 1]
    np.testing.assert_array_equal(back[:, :4].detach().numpy(), padded.detach().numpy())
    again = rnn.unpack_sequence(rnn.pack_sequence(parts, enforce_sorted=False))
    for a, b in zip(again, parts):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    back.sum().backward()
    assert all(np.all(p.grad.numpy() == 1.0) for p in parts)
    pickled = pickle.loads(pickle.dumps(rnn.pack_sequence([tg.ones(2), tg.ones(1)])))
    assert isinstance(pickled, rnn.PackedSequence)
    for call, message in [
        (lambda: rnn.pack_padded_sequence(padded, [2, 4, 1], batch_first=True), "must not grow"),
        (lambda: rnn.pack_padded_sequence(padded, [9, 4, 1], batch_first=True), "between 1 and 4"),
        (lambda: rnn.pack_padded_sequence(padded, [4, 1], batch_first=True), "2 lengths for a batch of 3"),
        (lambda: rnn.pad_packed_sequence(packed, total_length=2), "less than the longest"),
        (lambda: rnn.pad_sequence([]), "no sequences"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_runs_equal_single_ones(kind: str) -> None:
    net = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True, dtype=tg.float64)
    parts = [tg.asarray(np.sin(np.arange(float(n * 2)) + n).reshape(n, 2)) for n in (2, 4, 1)]
    out, state = net(rnn.pack_sequence(parts, enforce_sorted=False))
    padded, lengths = rnn.pad_packed_sequence(out, batch_first=True)
    for i, x in enumerate(parts):
        want, last = net(x)
        np.testing.assert_allclose(padded[i, : lengths[i].item()].detach().numpy(), want.detach().numpy(), rtol=1e-12)
        for a, b in zip(state if kind == "LSTM" else [state], last if kind == "LSTM" else [last]):
            np.testing.assert_allclose(a[:, i].detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_pruning() -> None:
    part = layer(5, 4)
    value = part.weight.detach().numpy(copy=True)
    prune.l1_unstructured(part, "weight", 0.25)
    limit = np.sort(np.abs(value), axis=None)[4]
    np.testing.assert_array_equal(part.weight.detach().numpy(), np.where(np.abs(value) > limit, value, 0.0))
    part(tg.ones((1, 5), dtype=tg.float64)).sum().backward()
    assert (part.weight_orig.grad.numpy() == 0).sum() == 5
    prune.l1_unstructured(part, "weight", 3)
    assert part.weight_mask.sum().item() == 12
    prune.ln_structured(part, "weight", 1, 2, 0)
    assert (part.weight_mask.numpy().sum(axis=1) == 0).sum() == 1
    assert prune.is_pruned(nn.Sequential(part))
    prune.remove(part, "weight")
    assert sorted(part.state_dict()) == ["bias", "weight"]
    assert not prune.is_pruned(part)
    a, b = layer(5, 4), layer(4, 3)
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.5)
    assert a.weight_mask.sum().item() + b.weight_mask.sum().item() == 16
    prune.random_unstructured(a, "bias", 2)
    prune.random_structured(b, "bias", 1, 0)
    assert a.bias_mask.sum().item() == b.bias_mask.sum().item() == 2
    prune.identity(part, "bias")
    for call in (lambda: prune.l1_unstructured(part, "weight", 1.5), lambda: prune.remove(part, "weight")):
        with pytest.raises(ValueError, match="prune"):
            call()
    with pytest.raises(tg.ShapeError, match="the mask of weight"):
        prune.custom_from_mask(part, "weight", tg.ones(3))


def test_fusing() -> None:
    part, norm = layer(3, 4), nn.BatchNorm1d(4, dtype=tg.float64)
    x = tg.asarray(np.cos(np.arange(15.0)).reshape(5, 3))
    norm(part(x))
    want = norm.eval()(part.eval()(x)).detach().numpy()
    np.testing.assert_allclose(utils.fuse_linear_bn_eval(part, norm)(x).detach().numpy(), want, rtol=1e-12)
    with pytest.raises(ValueError, match="call eval"):
        utils.fuse_linear_bn_eval(part.train(), norm)
    w, b = utils.fuse_conv_bn_weights(tg.ones((2, 3, 1)), None, tg.zeros(2), tg.ones(2) * 3.0, 1.0, None, tg.ones(2))
    assert (w.detach().numpy() == 0.5).all()
    assert b.tolist() == [1.0, 1.0]


def test_first_values() -> None:
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        w = init.orthogonal_(tg.zeros(shape, dtype=tg.float64), gain=2.0).numpy().reshape(shape[0], -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, 4 * np.eye(min(w.shape)), atol=1e-12)
    cut = init.trunc_normal_(tg.zeros((20000,)), 1.0, 2.0, 0.0, 3.0).numpy()
    assert cut.min() >= 0.0
    assert cut.max() <= 3.0
    assert cut.mean() == pytest.approx(1.39, abs=0.02)
    tail = init.trunc_normal_(tg.zeros((2000,)), 0.0, 1.0, 3.0, 4.0).numpy()
    assert tail.min() >= 3.0
    assert tail.mean() == pytest.approx(3.26, abs=0.03)
    np.testing.assert_array_equal(init.dirac_(tg.zeros((4, 2, 3)), 2).numpy()[:, :, 1], [[1, 0], [0, 1], [1, 0], [0, 1]])
    sparse = init.sparse_(tg.zeros((10, 4)), 0.25).numpy()
    assert ((sparse == 0).sum(axis=0) == 3).all()
    np.testing.assert_array_equal(init.eye_(tg.ones((2, 3))).numpy(), np.eye(2, 3))
    same = [init.orthogonal_(tg.zeros((3, 3)), generator=tg.random.Generator(3)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*same)
    for call in (
        lambda: init.eye_(tg.zeros(3)),
        lambda: init.dirac_(tg.zeros((2, 2))),
        lambda: init.orthogonal_(tg.zeros(3)),
        lambda: init.sparse_(tg.zeros(3), 0.5),
    ):
        with pytest.raises(tg.ShapeError, match="expected"):
            call()
    with pytest.raises(ValueError, match="must be below"):
        init.trunc_normal_(tg.zeros(3), a=1.0, b=0.0)
