"""A softmax over many classes that costs little: frequent classes first, rare ones in clusters."""

from __future__ import annotations

from typing import NamedTuple

from .. import _core
from .._core import Variable
from . import functional as F
from .container import ModuleList, Sequential
from .device import check_device
from .linear import Linear
from .module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class AdaptiveOutput(NamedTuple):
    """Log-probability of each target, and the loss: their mean, with the other sign."""

    output: Variable
    loss: Variable


class AdaptiveLogSoftmaxWithLoss(Module):
    """The adaptive softmax of Grave et al. (2017), for classes that are sorted from frequent to rare.

    The head decides between the first ``cutoffs[0]`` classes and one place for each cluster; the cluster i has the classes
    from ``cutoffs[i]`` on, and sees features that are ``div_value ** (i + 1)`` times fewer.

    >>> loss = tg.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[5, 10])
    >>> out = loss(tg.ones((3, 8)), tg.Variable([0, 7, 19]))
    >>> out.output.shape, loss.log_prob(tg.ones((3, 8))).shape, loss.n_clusters
    ((3,), (3, 20), 2)
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device("AdaptiveLogSoftmaxWithLoss", device)
        cuts = [int(c) for c in cutoffs]
        if not cuts or cuts != sorted(set(cuts)) or cuts[0] <= 0 or cuts[-1] > n_classes - 1:
            raise ValueError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs must grow from at least 1 to at most {n_classes - 1}, not be {cuts}"
            )
        self.in_features, self.n_classes, self.div_value, self.head_bias = in_features, n_classes, div_value, head_bias
        self.cutoffs = [*cuts, n_classes]
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            hidden = int(in_features // div_value ** (i + 1))
            first = Linear(in_features, hidden, bias=False, dtype=dtype)
            self.tail.append(Sequential(first, Linear(hidden, high - low, bias=False, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draws the parameters of head and clusters anew."""
        for layer in self.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input: Variable, target: Variable) -> AdaptiveOutput:
        """Log-probabilities of the targets (n,) or (), and the loss, for inputs (n, in_features) or (in_features,)."""
        x, classes = _core.asarray(input), _core.asarray(target)
        if x.ndim != classes.ndim + 1 or classes.ndim > 1 or x.shape[:-1] != classes.shape:
            raise _core.ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: input {x.shape} and target {classes.shape}, not (n, {self.in_features}) and (n,)"
            )
        rows, classes = _core.reshape(x, (-1, self.in_features)), _core.reshape(classes, (-1,))
        if classes.size and not 0 <= int(_core.min(classes)) <= int(_core.max(classes)) < self.n_classes:
            raise IndexError(f"AdaptiveLogSoftmaxWithLoss: targets must be from 0 to {self.n_classes - 1}")
        cluster = sum((classes >= c).astype(_core.int64) for c in self.cutoffs[:-1])
        place = _core.where(cluster == 0, classes, self.shortlist_size + cluster - 1)
        head = F.log_softmax(self.head(rows), 1)
        found = _core.take_along_axis(head, _core.expand_dims(place, 1), 1)[:, 0]
        for i, layers in enumerate(self.tail):
            at = _core.nonzero(cluster == i + 1)[0]
            if at.size:
                inner = F.log_softmax(layers(rows[at]), 1)
                own = _core.expand_dims(classes[at] - self.cutoffs[i], 1)
                found = _core.index_add(found, 0, at, _core.take_along_axis(inner, own, 1)[:, 0])
        return AdaptiveOutput(found if x.ndim == 2 else found[0], -_core.mean(found))

    def log_prob(self, input: Variable) -> Variable:
        """Log-probabilities of all classes, of shape (n, n_classes)."""
        return self._whole(input, F.log_softmax(self.head(input), 1))

    def _whole(self, input: Variable, head: Variable) -> Variable:
        n = self.shortlist_size
        parts = [head[:, :n]]
        for i, layers in enumerate(self.tail):
            parts.append(F.log_softmax(layers(input), 1) + head[:, n + i : n + i + 1])
        return _core.concat(parts, axis=1)

    def predict(self, input: Variable) -> Variable:
        """The likeliest class of each row."""
        return _core.argmax(self.log_prob(input), axis=1)


__all__ = ["AdaptiveLogSoftmaxWithLoss"]
