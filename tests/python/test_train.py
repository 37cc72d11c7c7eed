"""tg.train.fit, tg.metrics and tg.amp: results, resuming, stopping, and errors."""

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import metrics, nn
from tapegrad.train import History, fit
from tapegrad.utils.data import DataLoader, TensorDataset

sk = pytest.importorskip("sklearn.metrics")

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 4, 60)
SCORES = RNG.normal(size=(60, 4))
BEST = SCORES.argmax(1)


def parts(lr=0.05):
    tg.manual_seed(1)
    x = tg.randn(100, 5)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    return model, DataLoader(data, 16, shuffle=True), nn.CrossEntropyLoss(), tg.optim.Adam(model.parameters(), lr=lr)


# ---- metrics ----


def test_metrics_of_classes():
    expected = sk.accuracy_score(TARGET, BEST)
    assert metrics.accuracy(SCORES, TARGET) == metrics.accuracy(tg.tensor(BEST), tg.tensor(TARGET)) == expected
    assert metrics.accuracy([0.2, 0.9], [0, 0]) == 0.5
    assert (metrics.confusion_matrix(SCORES, TARGET).numpy() == sk.confusion_matrix(TARGET, BEST)).all()
    assert metrics.top_k_accuracy(SCORES, TARGET, 2) == sk.top_k_accuracy_score(TARGET, SCORES, k=2)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_precision_recall_f1(average):
    for t, p in ((TARGET, BEST), (np.array([0, 0, 2]), np.array([0, 3, 3]))):
        ours = metrics.precision_recall_f1(p, t, average)
        theirs = sk.precision_recall_fscore_support(t, p, average=average, zero_division=0)[:3]
        if average is None:
            there = np.union1d(t, p)
            ours = [x.numpy()[there] for x in ours]
        np.testing.assert_allclose(ours, theirs)


def test_binary_metrics():
    t, p = TARGET % 2, BEST % 2
    assert metrics.f1_score(p, t) == pytest.approx(sk.f1_score(t, p))
    assert metrics.precision(p, t) == pytest.approx(sk.precision_score(t, p))
    assert metrics.recall(p, t) == pytest.approx(sk.recall_score(t, p))
    scores = RNG.integers(0, 5, 60)
    assert metrics.roc_auc(scores, t) == pytest.approx(sk.roc_auc_score(t, scores))
    with pytest.raises(ValueError, match="two classes"):
        metrics.f1_score(BEST, TARGET)


def test_metrics_of_numbers():
    a, b = SCORES[:, 0], SCORES[:, 1]
    assert metrics.mse(a, b) == pytest.approx(sk.mean_squared_error(b, a))
    assert metrics.mae(tg.tensor(a), b) == pytest.approx(sk.mean_absolute_error(b, a))
    assert metrics.r2_score(a, b) == pytest.approx(sk.r2_score(b, a))
    assert metrics.r2_score([1.0, 1.0], [1.0, 1.0]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([1, 2], [1]), "do not fit"),
        (lambda: metrics.accuracy([], []), "class numbers|no predictions"),
        (lambda: metrics.accuracy([1], [0.5]), "class numbers"),
        (lambda: metrics.roc_auc([0.1, 0.2], [1, 1]), "both classes"),
        (lambda: metrics.roc_auc([float("nan"), 0.2], [0, 1]), "NaN"),
        (lambda: metrics.top_k_accuracy(SCORES, TARGET, 9), "expected 1 to 4"),
        (lambda: metrics.mse([1.0], [1.0, 2.0]), "expected the same"),
        (lambda: metrics.confusion_matrix([0], [3], num_classes=2), "from 0 to 1"),
    ],
)
def test_metrics_say_what_does_not_fit(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# ---- fit ----


def test_fit_learns_and_measures():
    model, loader, loss, optimizer = parts()
    measured = {"accuracy": metrics.accuracy}
    history = fit(model, loader, loss, optimizer, epochs=8, validation=loader, metrics=measured, progress=False)
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history["val_accuracy"][-1] > 0.9
    assert model.training


def test_fit_is_the_loop_that_one_would_write():
    model, loader, loss, optimizer = parts()
    fit(model, loader, loss, optimizer, epochs=2, clip_norm=0.5, progress=False)
    other, loader, loss, optimizer = parts()
    for _ in range(2):
        for x, y in loader:
            loss(other(x), y).backward()
            nn.utils.clip_grad_norm_(other.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
    assert all((a == b).all() for a, b in zip(model.parameters(), other.parameters()))


def test_interrupted_training_equals_uninterrupted_training(tmp_path):
    def run(epochs, **options):
        model, loader, loss, optimizer = parts()
        options |= {"epochs": epochs, "validation": loader, "patience": 10, "progress": False}
        return model, fit(model, loader, loss, optimizer, **options)

    whole, expected = run(5)
    run(2, checkpoint=tmp_path / "c")
    model, history = run(5, checkpoint=tmp_path / "c")
    assert history == expected
    assert history.best_epoch == expected.best_epoch
    assert all((a == b).all() for a, b in zip(whole.parameters(), model.parameters()))


def test_accumulated_batches_are_one_large_batch():
    results = []
    for size, accumulate in ((40, 1), (10, 4)):
        tg.manual_seed(0)
        model = nn.Linear(3, 1)
        x = tg.randn(40, 3)
        fit(model, DataLoader(TensorDataset(x, x[:, :1]), size), nn.MSELoss(), tg.optim.SGD(model.parameters(), lr=0.1), epochs=3,
            accumulate=accumulate, progress=False)  # fmt: skip
        results.append(model.weight.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_early_stopping_restores_the_best_values():
    model, loader, loss, optimizer = parts(lr=3.0)
    history = fit(model, loader, loss, optimizer, epochs=60, patience=2, validation=loader, progress=False)
    assert len(history["loss"]) < 60
    assert history.best_epoch == int(np.argmin(history["val_loss"]))
    model.eval()
    with tg.no_grad():
        found = sum(loss(model(x), y).item() * len(y) for x, y in loader) / 100
    assert found == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_a_step_of_ones_own_and_progress(capsys):
    pytest.importorskip("tqdm")
    model, loader, _, optimizer = parts()
    history = fit(model, loader, None, optimizer, step=lambda m, batch: (m(batch[0]) ** 2).mean(), epochs=2, progress=True)
    assert history["loss"][1] < history["loss"][0]
    assert "epoch 2/2" in capsys.readouterr().err


def test_history_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    history = History(loss=[2.0, 1.0], val_loss=[2.5, 1.5], accuracy=[0.5, 0.6])
    history.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_events_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    model, loader, loss, optimizer = parts()
    fit(model, loader, loss, optimizer, log_dir=tmp_path, progress=False)
    assert any("tfevents" in file.name for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs=-1"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"monitor": "val_loss"}, "needs validation data"),
        ({"monitor": "f1"}, "is not measured"),
        ({"scheduler_interval": "year"}, "'epoch' or 'batch'"),
    ],
)
def test_fit_says_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        fit(*parts(), progress=False, **options)


def test_fit_needs_batches():
    model, _, loss, optimizer = parts()
    with pytest.raises(ValueError, match="gave no batch"):
        fit(model, [], loss, optimizer)
    with pytest.raises(TypeError, match="pass step="):
        fit(model, [tg.zeros(2, 5)], loss, optimizer)


# ---- scaling ----


def test_grad_scaler_skips_steps_that_overflow():
    w = nn.Parameter([1.0])
    optimizer = tg.optim.SGD([w], lr=0.1)
    scaler = tg.amp.GradScaler(init_scale=4.0, growth_interval=2)
    scaler.scale((w * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert (w.item(), scaler.get_scale()) == (1.0, 2.0)
    optimizer.zero_grad()
    for _ in range(2):
        scaler.scale((w * 1.0).sum()).backward()
        scaler.unscale_(optimizer)
        assert w.grad.item() == 1.0
        with pytest.raises(RuntimeError, match="called twice"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert math.isclose(w.item(), 0.8, rel_tol=1e-6)
    assert scaler.get_scale() == 4.0
    other = tg.amp.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 4.0
    assert tg.amp.GradScaler(enabled=False).scale(w) is w
