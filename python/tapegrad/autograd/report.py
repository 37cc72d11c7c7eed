"""The report of a gradient check."""

from __future__ import annotations

from typing import NamedTuple

from .._core import GradError


class Mismatch(NamedTuple):
    """One number of the Jacobian that disagrees: d output[output_entry] / d input[input_entry]."""

    #: Number of the input, counted over all arguments.
    input: int
    #: The entry of that input; ``None`` when the sum over a random direction disagrees.
    input_entry: tuple[int, ...] | None
    #: Number of the output.
    output: int
    #: The entry of that output; ``None`` when the sum over a random direction disagrees.
    output_entry: tuple[int, ...] | None
    #: The value from the gradient rule.
    analytic: float
    #: The value from central differences.
    numeric: float
    #: The largest difference that counts as equal.
    tolerance: float

    @property
    def error(self) -> float:
        """The difference of the two values."""
        return abs(self.analytic - self.numeric)

    def __str__(self) -> str:
        def place(name: str, number: int, entry: tuple[int, ...] | None) -> str:
            where = " along a random direction" if entry is None else str(list(entry)) if entry else ""
            return f"{name} {number}{where}"

        return (
            f"d {place('output', self.output, self.output_entry)} / d {place('input', self.input, self.input_entry)}: "
            f"analytic {self.analytic:.10g}, numeric {self.numeric:.10g}, "
            f"error {self.error:.3g} > {self.tolerance:.3g} allowed"
        )


class GradcheckReport:
    """The result of :func:`gradcheck`; true when every gradient agrees, printed as a paragraph."""

    def __init__(self, check: str, function: str, ops: tuple[str, ...], fast: bool) -> None:
        #: ``"gradcheck"`` or ``"gradgradcheck"``.
        self.check = check
        #: Name of the function that was checked.
        self.function = function
        #: The operations that it recorded, in order, each once.
        self.ops = ops
        #: Whether random directions were compared, or every entry.
        self.fast = fast
        #: How many numbers were compared.
        self.compared = 0
        #: The largest difference seen.
        self.max_error = 0.0
        #: The mismatches, worst first.
        self.mismatches: list[Mismatch] = []

    @property
    def ok(self) -> bool:
        """Whether all numbers agree."""
        return not self.mismatches

    @property
    def worst(self) -> Mismatch | None:
        """The mismatch that exceeds its tolerance most."""
        return self.mismatches[0] if self.mismatches else None

    def __bool__(self) -> bool:
        return self.ok

    def add(self, input: int, input_entry: tuple[int, ...] | None, output: int, output_entry: tuple[int, ...] | None,
            analytic: float, numeric: float, tolerance: float) -> None:  # fmt: skip
        """Compares two numbers; NaN and infinity never agree with anything."""
        self.compared += 1
        error = abs(analytic - numeric)
        if error <= tolerance:
            self.max_error = max(self.max_error, error)
            return
        self.max_error = error if error == error else float("nan")
        self.mismatches.append(Mismatch(input, input_entry, output, output_entry, analytic, numeric, tolerance))

    def sort(self) -> None:
        """Puts the worst mismatch first."""
        excess = {id(m): m.error / m.tolerance if m.error == m.error else float("inf") for m in self.mismatches}
        self.mismatches.sort(key=lambda m: -excess[id(m)])

    def __str__(self) -> str:
        ops = ", ".join(self.ops) or "nothing"
        what = "directional derivatives" if self.fast else "entries"
        if self.ok:
            return f"{self.check}({self.function}): ok, {self.compared} {what}, largest error {self.max_error:.3g}"
        lines = [
            f"{self.check}({self.function}): {len(self.mismatches)} of {self.compared} {what} disagree; worst:",
            f"  {self.worst}",
            *(f"  {m}" for m in self.mismatches[1:4]),
            f"  recorded operations: {ops}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{self}>"


class GradcheckError(GradError):
    """A gradient disagrees with differences; ``report`` names the entries."""

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(str(report))
        self.report = report
