"""RowGradients: nn.Embedding(sparse=True) and the optimizers that read single rows."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim

INDICES = tg.tensor([[1, 4], [4, 2]])


def pair(rows: int = 6, **options: Any) -> tuple[nn.Embedding, nn.Embedding]:
    """A table with RowGradients, and one of the same values without."""
    tg.manual_seed(0)
    sparse = nn.Embedding(rows, 3, sparse=True, dtype=tg.float64, **options)
    dense = nn.Embedding(rows, 3, dtype=tg.float64, **options)
    dense.load_state_dict(sparse.state_dict())
    return sparse, dense


def loss_of(table: nn.Module, indices: Any = INDICES) -> tg.Variable:
    x = table(indices)
    return (x * x * tg.arange(1.0, 4.0, dtype=tg.float64)).sum()


def equal(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_the_gradient_has_the_rows_that_were_looked_up() -> None:
    sparse, dense = pair()
    loss_of(sparse).backward()
    loss_of(dense).backward()
    grad = sparse.weight.grad
    assert isinstance(grad, nn.RowGradient)
    assert grad.is_sparse
    assert (grad.shape, grad.ndim, grad.dtype) == ((6, 3), 2, tg.float64)
    assert repr(grad) == "RowGradient(4 rows of shape (6, 3), dtype=float64)"
    once = grad.coalesce()
    assert once.is_coalesced()
    assert once.coalesce() is once
    assert once.rows.tolist() == [1, 2, 4]
    equal(grad.to_dense(), dense.weight.grad)
    equal(once.to_dense(), dense.weight.grad)


def test_gradients_add_up_over_lookups_and_passes() -> None:
    sparse, dense = pair()
    for table in (sparse, dense):
        (loss_of(table) + loss_of(table, tg.tensor([0, 1]))).backward()
        loss_of(table, tg.tensor(5)).backward()
    equal(sparse.weight.grad.to_dense(), dense.weight.grad)
    for table in (sparse, dense):
        (table.weight * 2.0).sum().backward()
    equal(sparse.weight.grad, dense.weight.grad)


def test_padding_and_no_indices() -> None:
    sparse, dense = pair(padding_idx=4)
    for table in (sparse, dense):
        loss_of(table).backward()
    equal(sparse.weight.grad.to_dense(), dense.weight.grad)
    sparse.zero_grad()
    assert sparse.weight.grad is None
    loss_of(sparse, tg.zeros((0,), dtype=tg.int64)).backward()
    assert sparse.weight.grad.to_dense().tolist() == [[0.0] * 3] * 6


def test_what_is_looked_up_can_be_changed_in_place() -> None:
    sparse, dense = pair()
    for table in (sparse, dense):
        x = table(INDICES)
        x += 1.0
        (x * x).sum().backward()
    equal(sparse.weight.grad.to_dense(), dense.weight.grad)


OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "maximize": True}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.SparseAdam, {"lr": 0.1}),
    (optim.SparseAdam, {"lr": 0.1, "maximize": True}),
    (optim.Adam, {"lr": 0.1}),
    (optim.Adagrad, {"lr": 0.1}),
    (optim.LARS, {"lr": 0.1}),
]


@pytest.mark.parametrize(("make", "options"), OPTIMIZERS)
def test_a_run_equals_that_with_dense_gradients(make: Any, options: dict[str, Any]) -> None:
    tables = pair()
    optimizers = [make(table.parameters(), **options) for table in tables]
    for step in range(5):
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.zero_grad()
            assert table.weight.grad is None
            loss_of(table, tg.tensor([step, 1, 1])).backward()
            optimizer.step()
        assert isinstance(tables[0].weight.grad, nn.RowGradient)
    equal(tables[0].weight, tables[1].weight)


def test_a_closure_and_clipping_in_the_step() -> None:
    sparse, dense = pair()
    for table in (sparse, dense):
        optimizer = optim.SGD(table.parameters(), lr=0.1)

        def closure(table: nn.Embedding = table, optimizer: Any = optimizer) -> tg.Variable:
            optimizer.zero_grad()
            loss = loss_of(table)
            loss.backward()
            return loss

        assert optimizer.step(closure).item() > 0
        optimizer.step(closure, clip_norm=0.1)
    equal(sparse.weight, dense.weight)


def test_clipping() -> None:
    sparse, dense = pair()
    layers = [nn.Linear(3, 1, dtype=tg.float64) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    norms = []
    for table, layer in zip((sparse, dense), layers, strict=True):
        layer(table(INDICES)).sum().backward()
        parameters = [*table.parameters(), *layer.parameters()]
        norms.append(nn.utils.clip_grad_norm_(parameters, 0.5).item())
    assert norms[0] == pytest.approx(norms[1])
    equal(sparse.weight.grad.to_dense(), dense.weight.grad)
    equal(layers[0].weight.grad, layers[1].weight.grad)
    for table in (sparse, dense):
        nn.utils.clip_grad_value_(table.parameters(), 1e-3)
    equal(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_scaled_losses() -> None:
    sparse, dense = pair()
    for table in (sparse, dense):
        optimizer, scaler = optim.SGD(table.parameters(), lr=0.1), tg.amp.GradScaler()
        scaler.scale(loss_of(table)).backward()
        scaler.step(optimizer)
        scaler.update()
    equal(sparse.weight, dense.weight)
    optimizer, scaler = optim.SGD(sparse.parameters(), lr=0.1), tg.amp.GradScaler()
    optimizer.zero_grad()
    (sparse(INDICES) * float("inf")).sum().backward()
    scaler.step(optimizer)
    equal(sparse.weight, dense.weight)


def test_bags_and_functions() -> None:
    tg.manual_seed(1)
    bags = nn.EmbeddingBag(6, 3, mode="sum", sparse=True)
    bags(INDICES).sum().backward()
    assert bags.weight.grad.coalesce().rows.tolist() == [1, 2, 4]
    weight = tg.randn(6, 3, requires_grad=True)
    nn.functional.embedding(INDICES, weight, sparse=True).sum().backward()
    assert isinstance(weight.grad, tg.Variable)


def test_without_recording_and_in_transformations() -> None:
    sparse, dense = pair()
    with tg.no_grad():
        assert not sparse(INDICES).requires_grad
    for table in (sparse, dense):
        table.requires_grad_(False)
        assert not table(INDICES).requires_grad
        table.requires_grad_(True)
    values = dict(sparse.named_parameters())
    found = tg.grad(lambda p: loss_of(lambda i: nn.functional_call(sparse, p, (i,))))(values)
    loss_of(dense).backward()
    equal(found["weight"], dense.weight.grad)
    assert sparse.weight.grad is None


def test_copies_and_conversions_keep_it() -> None:
    sparse, _ = pair()
    loss_of(sparse).backward()
    for copied in (copy.deepcopy(sparse), pickle.loads(pickle.dumps(sparse)), sparse.to(tg.float32)):
        copied.zero_grad()
        copied(INDICES).sum().backward()
        assert copied.weight.grad.coalesce().rows.tolist() == [1, 2, 4]


def test_tables_without_the_option_are_as_before() -> None:
    assert type(nn.Embedding(3, 2).weight) is nn.Parameter
    assert repr(nn.Embedding(3, 2, sparse=True)) == "Embedding(3, 2, sparse=True)"
    with pytest.raises(tg.ShapeError, match="must have shape"):
        nn.Embedding(3, 2, sparse=True, _weight=tg.ones((2, 2)))
    frozen = nn.Embedding.from_pretrained(tg.ones((3, 2)), sparse=True)
    assert not frozen(tg.tensor([0])).requires_grad
