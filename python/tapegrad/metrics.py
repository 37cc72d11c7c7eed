"""Measures of how good predictions are. Functions take arrays of any kind and return Python floats or Variables without a graph.

>>> logits = tg.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
>>> tg.metrics.accuracy(logits, [0, 1, 1])
0.6666666666666666
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import Variable

_Array = np.ndarray[Any, Any]


def _numpy(x: Any) -> _Array:
    if not isinstance(x, Variable):
        return np.asarray(x)
    return (x.detach().float() if x.itemsize == 2 and x.dtype.is_floating_point else x.detach()).numpy()


def _classes(name: str, predicted: Any, target: Any) -> tuple[_Array, _Array]:
    """Class numbers of predictions, which may be scores along the last axis, and of targets."""
    p, t = _numpy(predicted), _numpy(target)
    if t.dtype.kind not in "biu":
        raise TypeError(f"{name}: targets must be class numbers, got {t.dtype}")
    if p.ndim == t.ndim + 1:
        p = p.argmax(-1)
    elif p.dtype.kind == "f" and p.shape == t.shape:
        p = p > 0.5
    if p.shape != t.shape:
        raise ValueError(f"{name}: predictions of shape {_numpy(predicted).shape} and targets of shape {t.shape} do not fit")
    if p.size == 0:
        raise ValueError(f"{name}: no predictions were given")
    return p.astype(np.int64).ravel(), t.astype(np.int64).ravel()


def accuracy(predicted: Any, target: Any) -> float:
    """The share of predictions that are right.

    ``predicted`` holds class numbers, probabilities of class 1, or scores of each class along one more axis, the last.

    >>> tg.metrics.accuracy(tg.tensor([0, 1, 1]), tg.tensor([0, 1, 0]))
    0.6666666666666666
    """
    p, t = _classes("accuracy", predicted, target)
    return float((p == t).mean())


def top_k_accuracy(scores: Any, target: Any, k: int = 5) -> float:
    """The share of targets among the ``k`` classes with the highest scores.

    >>> tg.metrics.top_k_accuracy(tg.tensor([[0.5, 0.3, 0.2]]), tg.tensor([1]), k=2)
    1.0
    """
    s, t = _numpy(scores), _numpy(target)
    if s.ndim != t.ndim + 1 or s.shape[:-1] != t.shape or t.size == 0:
        raise ValueError(f"top_k_accuracy: scores of shape {s.shape} and targets of shape {t.shape} do not fit")
    if not 1 <= k <= s.shape[-1]:
        raise ValueError(f"top_k_accuracy: k is {k}, expected 1 to {s.shape[-1]}")
    best = np.argsort(-s, axis=-1, kind="stable")[..., :k]
    return float((best == t[..., None]).any(-1).mean())


def confusion_matrix(predicted: Any, target: Any, num_classes: int | None = None) -> Variable:
    """How often class ``i`` (row) was predicted as class ``j`` (column).

    >>> tg.metrics.confusion_matrix([0, 1, 1], [0, 1, 0])
    Variable([[1, 1],
              [0, 1]])
    """
    p, t = _classes("confusion_matrix", predicted, target)
    n = int(max(p.max(), t.max())) + 1 if num_classes is None else num_classes
    if min(p.min(), t.min()) < 0 or max(p.max(), t.max()) >= n:
        raise ValueError(f"confusion_matrix: class numbers must be from 0 to {n - 1}")
    return _core.asarray(np.bincount(t * n + p, minlength=n * n).reshape(n, n).astype(np.int64))


def _counts(predicted: Any, target: Any) -> tuple[_Array, _Array, _Array]:
    m = confusion_matrix(predicted, target).numpy().astype(float)
    return np.diag(m), m.sum(0), m.sum(1)  # right, predicted, true


def _ratio(a: _Array, b: _Array) -> _Array:
    found: _Array = np.divide(a, b, out=np.zeros_like(a, dtype=float), where=b != 0)
    return found


def precision_recall_f1(predicted: Any, target: Any, average: str | None = "binary") -> tuple[Any, Any, Any]:
    """Precision, recall and F1.

    ``average`` is "binary" (of class 1), "macro" (the mean over classes), "micro" (over all predictions), "weighted" (by the
    number of targets), or None for one of each class. A quotient by zero is 0, as in scikit-learn.

    >>> tg.metrics.precision_recall_f1(tg.tensor([1, 1, 0, 0]), tg.tensor([1, 0, 1, 0]))
    (0.5, 0.5, 0.5)
    """
    right, predicted_n, true_n = _counts(predicted, target)
    if average == "binary":
        if len(right) > 2:
            raise ValueError(
                f"average='binary' is for two classes, got {len(right)}; choose 'macro', 'micro', 'weighted' or None"
            )
        right, predicted_n, true_n = (np.append(x, 0.0)[1:2] for x in (right, predicted_n, true_n))
    elif average == "micro":
        right, predicted_n, true_n = (np.array([x.sum()]) for x in (right, predicted_n, true_n))
    elif average not in {"macro", "weighted", None}:
        raise ValueError(f"average must be 'binary', 'macro', 'micro', 'weighted' or None, got {average!r}")
    found = [_ratio(right, predicted_n), _ratio(right, true_n), _ratio(2 * right, predicted_n + true_n)]
    if average is None:
        return tuple(_core.asarray(x) for x in found)  # type: ignore[return-value]
    if average == "macro":  # classes that appear on neither side do not count
        there = (predicted_n + true_n) > 0
        return tuple(float(x[there].mean()) for x in found)  # type: ignore[return-value]
    weights = true_n if average == "weighted" else np.ones_like(right)
    return tuple(float((x * weights).sum() / weights.sum()) for x in found)  # type: ignore[return-value]


def precision(predicted: Any, target: Any, average: str | None = "binary") -> Any:
    """The share of predictions of a class that are right; see :func:`precision_recall_f1`.

    >>> tg.metrics.precision(tg.tensor([1, 1, 0]), tg.tensor([1, 0, 0]))
    0.5
    """
    return precision_recall_f1(predicted, target, average)[0]


def recall(predicted: Any, target: Any, average: str | None = "binary") -> Any:
    """The share of a class that was found; see :func:`precision_recall_f1`.

    >>> tg.metrics.recall(tg.tensor([1, 1, 0]), tg.tensor([1, 0, 0]))
    1.0
    """
    return precision_recall_f1(predicted, target, average)[1]


def f1_score(predicted: Any, target: Any, average: str | None = "binary") -> Any:
    """The harmonic mean of precision and recall; see :func:`precision_recall_f1`.

    >>> tg.metrics.f1_score(tg.tensor([1, 1, 0]), tg.tensor([1, 1, 0]))
    1.0
    """
    return precision_recall_f1(predicted, target, average)[2]


def roc_auc(scores: Any, target: Any) -> float:
    """The probability that a random element of class 1 has a higher score than one of class 0; ties count half.

    >>> tg.metrics.roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    s, t = _numpy(scores).ravel().astype(float), _numpy(target).ravel()
    if s.shape != t.shape:
        raise ValueError(f"roc_auc: {s.size} scores and {t.size} targets, expected as many of both")
    if np.isnan(s).any():
        raise ValueError("roc_auc: a score is NaN")
    if not np.isin(t, (0, 1)).all():
        raise ValueError("roc_auc: targets must be 0 or 1")
    positive = t.astype(bool)
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        raise ValueError("roc_auc: both classes are needed, one has no element")
    _, which, counts = np.unique(s, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of equal scores
    return float((ranks[which][positive].sum() - n * (n + 1) / 2) / (n * m))


def _pair(name: str, predicted: Any, target: Any) -> tuple[_Array, _Array]:
    p, t = _numpy(predicted).astype(float), _numpy(target).astype(float)
    if p.shape != t.shape or p.size == 0:
        raise ValueError(f"{name}: predictions of shape {p.shape} and targets of shape {t.shape}; expected the same, not empty")
    return p, t


def mean_squared_error(predicted: Any, target: Any) -> float:
    """The mean of the squared differences.

    >>> tg.metrics.mean_squared_error(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0]))
    2.0
    """
    p, t = _pair("mean_squared_error", predicted, target)
    return float(((p - t) ** 2).mean())


def mean_absolute_error(predicted: Any, target: Any) -> float:
    """The mean of the absolute differences.

    >>> tg.metrics.mean_absolute_error(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0]))
    1.0
    """
    p, t = _pair("mean_absolute_error", predicted, target)
    return float(np.abs(p - t).mean())


def r2_score(predicted: Any, target: Any) -> float:
    """The share of the targets' variance that the predictions explain; 1 is perfect, 0 is as good as the mean.

    >>> tg.metrics.r2_score(tg.tensor([1.0, 2.0, 3.0]), tg.tensor([1.0, 2.0, 3.0]))
    1.0
    """
    p, t = _pair("r2_score", predicted, target)
    total = ((t - t.mean()) ** 2).sum()
    rest = ((p - t) ** 2).sum()
    return float(1 - rest / total) if total else float(rest == 0)


class Mean:
    """A running mean, such as that of the losses of an epoch.

    >>> mean = tg.metrics.Mean()
    >>> for loss, samples in ((1.0, 3), (2.0, 1)):
    ...     mean.update(loss, samples)
    >>> mean.compute()
    1.25
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins anew."""
        self._sum = 0.0
        self._count = 0.0

    def update(self, value: Any, count: float = 1) -> None:
        """Adds a value that is a mean of ``count`` samples."""
        self._sum += float(value.detach() if isinstance(value, Variable) else value) * count
        self._count += count

    def compute(self) -> float:
        """The mean; NaN when nothing was added."""
        return self._sum / self._count if self._count else float("nan")


mse, mae = mean_squared_error, mean_absolute_error

__all__ = [
    "Mean",
    "accuracy",
    "confusion_matrix",
    "f1_score",
    "mae",
    "mean_absolute_error",
    "mean_squared_error",
    "mse",
    "precision",
    "precision_recall_f1",
    "r2_score",
    "recall",
    "roc_auc",
    "top_k_accuracy",
]

if not TYPE_CHECKING:
    from ._messages import missing

    def __getattr__(name: str) -> Any:
        raise missing(__name__, name)
