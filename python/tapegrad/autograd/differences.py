"""Checks gradients against central differences in float64 and complex128."""

from __future__ import annotations

from itertools import product
from math import prod
from random import Random
from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import DType, GradError, Variable, complex128, float64
from .._messages import a_type
from . import grad as differentiate
from .modes import enable_grad, no_grad
from .report import GradcheckError, GradcheckReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Where a random direction disagrees, single entries are compared to name the worst one, up to this many.
_LOCATE_LIMIT = 100_000


def gradcheck(
    func: Callable[..., Any],
    inputs: Variable | Sequence[Any],
    *,
    eps: float = 5e-6,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    fast: bool = True,
    directions: int = 4,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradcheckReport:
    """Compares the gradients of ``func(*inputs)`` with central differences.

    Checked are the floating and complex Variables among ``inputs`` that require gradients; the check runs on float64 or
    complex128 copies of them, whatever their precision.
    A complex number counts as two real ones: directions are complex, and the gradient of z = x + iy is that by x plus i
    times that by y. ``func`` returns a Variable or a tuple or list of them and must not be random.

    :param eps: half the distance of the two points of a difference.
    :param rtol: allowed error relative to the numeric value.
    :param atol: allowed error on top of that.
    :param fast: compare ``directions`` random directional derivatives of every pair of an input and an output; else
        every entry of the Jacobian. A failure in a random direction is traced to the entry.
    :param seed: of the random directions.
    :param raise_exception: raise :class:`GradcheckError` on a mismatch; else return the report that says so.

    >>> x = tg.Variable([0.5, 1.0, 2.0], dtype=tg.float64, requires_grad=True)
    >>> bool(tg.autograd.gradcheck(lambda x: tg.sin(x) * x, x))
    True
    """
    name = _name(func)
    check = _Check("gradcheck", name, func, _arguments(inputs), eps, rtol, atol, Random(seed))
    return check.run(fast, directions, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Variable | Sequence[Any],
    grad_outputs: Variable | Sequence[Variable] | None = None,
    *,
    eps: float = 5e-6,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    fast: bool = True,
    directions: int = 4,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradcheckReport:
    """Compares the gradients of the gradients of ``func(*inputs)`` with central differences of the gradients.

    The function that is checked maps the inputs and the gradients of the outputs (``grad_outputs``, random when left
    out) to the gradients of the inputs; so the derivative by the incoming gradient is checked too. The other arguments
    are those of :func:`gradcheck`.

    >>> x = tg.Variable([0.5, 1.0, 2.0], dtype=tg.float64, requires_grad=True)
    >>> bool(tg.autograd.gradgradcheck(lambda x: tg.exp(x) * x, x))
    True
    """
    name, arguments, random = _name(func), _arguments(inputs), Random(seed)
    count = len(arguments)
    outputs = _outputs(name, func(*_leaves(arguments)))
    tracked = [i for i, out in enumerate(outputs) if out.requires_grad]
    if grad_outputs is None:
        seeds = [_random(outputs[i], random) for i in tracked]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Variable) else list(grad_outputs)
        if len(seeds) != len(tracked):
            raise ValueError(f"gradgradcheck: {len(seeds)} grad_outputs for {len(tracked)} differentiable outputs")

    def gradients(*values: Any) -> tuple[Variable, ...]:
        # The differences call this with untracked values, but gradients need tracked inputs.
        values = tuple(
            v.detach().requires_grad_(True) if i < count and _checked(arguments[i]) and not v.requires_grad else v
            for i, v in enumerate(values)
        )
        with enable_grad():
            outs = _outputs(name, func(*values[:count]))
            wanted = [v for v, given in zip(values, arguments) if _checked(given)]
            found = differentiate([outs[i] for i in tracked], wanted, values[count:], create_graph=True, allow_unused=True)
        return tuple(_core.zeros_like(v) if g is None else g for v, g in zip(wanted, found))

    extended = [*arguments, *(s.detach().requires_grad_(True) for s in seeds)]
    check = _Check("gradgradcheck", name, gradients, extended, eps, rtol, atol, random)
    return check.run(fast, directions, raise_exception)


class _Check:
    """One check: the function, its inputs in float64, and the tolerance."""

    def __init__(
        self, kind: str, name: str, func: Callable[..., Any], arguments: list[Any],
        eps: float, rtol: float, atol: float, random: Random,
    ) -> None:  # fmt: skip
        if not eps > 0:
            raise ValueError(f"{kind}: eps must be positive, got {eps}")
        self.kind, self.name, self.func = kind, name, func
        self.eps, self.rtol, self.atol, self.random = eps, rtol, atol, random
        self.places = [i for i, a in enumerate(arguments) if _checked(a)]
        if not self.places:
            raise ValueError(f"{kind}: no input is a floating or complex Variable with requires_grad=True, nothing to check")
        self.arguments = _leaves(arguments)
        self.inputs: list[Variable] = [self.arguments[i] for i in self.places]
        with enable_grad():
            _core.observe()
            try:
                outputs = _outputs(name, func(*self.arguments))
            finally:
                nodes = _core.unobserve()[0]
        self.outputs = [(i, out) for i, out in enumerate(outputs) if out.requires_grad]
        self.ops = tuple(dict.fromkeys(node["op"] for node in nodes))
        if not self.outputs:
            raise GradError(f"{kind}({name}): no output depends on an input through recorded operations")

    def run(self, fast: bool, directions: int, raise_exception: bool) -> GradcheckReport:
        report = GradcheckReport(self.kind, self.name, self.ops, fast)
        if fast:
            for _ in range(directions):
                self.along_random(report)
            if not report.ok:
                self.locate(report)
        else:
            self.entries(report)
        report.sort()
        if raise_exception and not report.ok:
            raise GradcheckError(report)
        return report

    def analytic(self, output: Variable, seed: Variable) -> list[Variable]:
        """The gradients of all inputs."""
        found = differentiate(output, self.inputs, seed, retain_graph=True, allow_unused=True)
        return [_core.zeros_like(x) if g is None else g for g, x in zip(found, self.inputs)]

    def difference(self, which: int, direction: Variable) -> list[Variable]:
        """The derivatives of the outputs along a direction of one input."""
        place, x, step = self.places[which], self.inputs[which].detach(), direction * self.eps
        sides = []
        for moved in (x + step, x - step):
            arguments = [a.detach() if isinstance(a, Variable) else a for a in self.arguments]
            arguments[place] = moved
            with no_grad():
                values = _outputs(self.name, self.func(*arguments))
            sides.append([values[i].detach() for i, _ in self.outputs])
        return [(above - below) * (0.5 / self.eps) for above, below in zip(*sides)]

    def compare(self, report: GradcheckReport, place: tuple[Any, Any, Any, Any], analytic: float, numeric: float) -> None:
        report.add(*place, analytic, numeric, self.atol + self.rtol * abs(numeric))

    def along_random(self, report: GradcheckReport) -> None:
        """u·(J v) from differences against (uᵀJ)·v from the rules, for each input and output."""
        seeds = [_random(out, self.random) for _, out in self.outputs]
        gradients = [self.analytic(out, u) for (_, out), u in zip(self.outputs, seeds)]
        for which, x in enumerate(self.inputs):
            v = _random(x, self.random)
            slopes = self.difference(which, v)
            for k, (number, _) in enumerate(self.outputs):
                place = (self.places[which], None, number, None)
                self.compare(report, place, _dot(gradients[k][which], v), _dot(seeds[k], slopes[k]))

    def entries(self, report: GradcheckReport, inputs: set[int] | None = None) -> None:
        """Every entry of the Jacobian of every output by every input, or by some."""
        numeric = {
            i: [[_parts(d) for d in self.difference(i, e)] for e in _basis(x)]
            for i, x in enumerate(self.inputs)
            if inputs is None or i in inputs
        }
        for k, (number, out) in enumerate(self.outputs):
            for row, (u, out_entry) in enumerate(zip(_basis(out), _entries(out))):
                gradients = self.analytic(out, u)
                for i, columns in numeric.items():
                    values = _parts(gradients[i])
                    for column, entry in enumerate(_entries(self.inputs[i])):
                        place = (self.places[i], entry, number, out_entry)
                        self.compare(report, place, values[column], columns[column][k][row])

    def locate(self, report: GradcheckReport) -> None:
        """Replaces mismatches along directions by the entries that cause them, where checking all entries is affordable."""
        wrong = {self.places.index(m.input) for m in report.mismatches}
        rows = sum(out.size for _, out in self.outputs)
        if rows * sum(self.inputs[i].size for i in wrong) > _LOCATE_LIMIT:
            return
        found = GradcheckReport(self.kind, self.name, self.ops, fast=False)
        self.entries(found, wrong)
        if found.mismatches:
            report.mismatches, report.max_error = found.mismatches, found.max_error
            report.compared, report.fast = found.compared, False


def _name(func: Callable[..., Any]) -> str:
    owner = getattr(func, "__self__", None)
    if isinstance(owner, type):  # MyFunction.apply
        return owner.__name__
    return getattr(func, "__qualname__", None) or getattr(func, "__name__", None) or type(func).__name__


def _arguments(inputs: Any) -> list[Any]:
    return [inputs] if isinstance(inputs, Variable) else list(inputs)


def _checked(value: Any) -> bool:
    return isinstance(value, Variable) and value.requires_grad


def _leaves(arguments: list[Any]) -> list[Any]:
    """The arguments with fresh float64 or complex128 leaves for those that are checked."""
    return [a.detach().astype(_wide(a)).requires_grad_(True) if _checked(a) else a for a in arguments]


def _wide(value: Variable) -> DType:
    return complex128 if value.dtype.is_complex else float64


def _outputs(name: str, result: Any) -> list[Variable]:
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    for i, out in enumerate(outputs):
        if not isinstance(out, Variable):
            raise TypeError(f"{name} returned {a_type(out)} as output {i}, not a Variable")
    return outputs


def _dot(a: Variable, b: Variable) -> float:
    """The inner product of real vectors, in which a complex number is two components."""
    return float(_core.real(_core.sum(_core.conj(a.detach()) * b.detach())))


def _random(like: Variable, random: Random) -> Variable:
    """Random numbers of both signs: none is so small that it hides an entry, and they differ so that errors do not cancel."""
    count = prod(like.shape) * (2 if like.dtype.is_complex else 1)
    return _shaped([random.choice((-1.0, 1.0)) * random.uniform(0.5, 1.5) for _ in range(count)], like)


def _shaped(parts: list[float], like: Variable) -> Variable:
    """Real numbers in the shape and dtype of ``like``; two of them form a complex number."""
    values: list[Any] = [complex(*pair) for pair in zip(parts[::2], parts[1::2])] if like.dtype.is_complex else parts
    return Variable(values, dtype=_wide(like)).reshape(tuple(like.shape))


def _parts(value: Variable) -> list[float]:
    """All components, real and imaginary parts side by side."""
    flat = value.detach().reshape(-1)
    if not value.dtype.is_complex:
        return list(flat.tolist())
    return [part for z in flat.tolist() for part in (z.real, z.imag)]


def _basis(like: Variable) -> Iterator[Variable]:
    """The unit vectors of the space of ``like``."""
    count = like.size * (2 if like.dtype.is_complex else 1)
    for i in range(count):
        unit = [0.0] * count
        unit[i] = 1.0
        yield _shaped(unit, like)


def _entries(like: Variable) -> Iterator[tuple[int, ...]]:
    """The index of every component; both parts of a complex number share one index."""
    for place in product(*map(range, like.shape)):
        yield place
        if like.dtype.is_complex:
            yield place
