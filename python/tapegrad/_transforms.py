"""Transformations of functions with JAX's signatures: grad, vjp, jvp, jacobian, hessian, vmap, linearize.

Arguments and results are Variables, arrays, numbers, or nested dicts, lists, tuples, named tuples, dataclasses and Modules.
They nest in any order. A function runs while it is transformed: it may use loops, ifs on plain values, and NumPy's functions.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import DTypeError, GradError, ShapeError, Variable
from ._messages import a_type
from ._redraw import Draws
from ._tree import Structure, flatten, is_inexact, leaves, tree_map, unflatten, unflatten_results
from .autograd.modes import enable_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = Callable[..., Any]

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]


def _variable(name: str, x: Any, what: str = "an argument holds") -> Variable:
    try:
        return _core.asarray(x)
    except GradError:
        raise
    except (TypeError, ValueError) as e:
        raise TypeError(
            f"{name}: {what} {a_type(x)}, expected Variables, arrays, numbers, or nested dicts, lists, "
            "tuples, named tuples, dataclasses and Modules of them"
        ) from e


def _result(name: str, y: Any) -> Variable:
    return y if isinstance(y, Variable) else _variable(name, y, "the function returned")


def _floating(name: str, values: list[Variable]) -> list[Variable]:
    for v in values:
        if not is_inexact(v.dtype):
            raise DTypeError(
                f"{name}: an argument has dtype {v.dtype}, which carries no gradient; pass floating values, as in 3.0 or "
                "x.astype('float32'), or choose other arguments by argnums"
            )
    return values


def _chosen(name: str, argnums: int | Sequence[int], count: int) -> list[int]:
    numbers: list[Any] = list(argnums) if isinstance(argnums, (tuple, list, range)) else [argnums]
    for n in numbers:
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"{name}: argnums must be an int or a tuple of ints, not {n!r}")
        if not -count <= n < count:
            raise ValueError(
                f"{name}: argnums names argument {n}, but the call has {count} positional argument{'s' * (count != 1)}"
            )
    places = [n % count for n in numbers]
    if len(set(places)) < len(places):
        raise ValueError(f"{name}: argnums names an argument twice: {tuple(numbers)} of {count}")
    return places


class _Arguments:
    """The arguments with respect to which a function is differentiated, flattened to leaves."""

    def __init__(self, name: str, args: tuple[Any, ...], argnums: int | Sequence[int]) -> None:
        self.single = isinstance(argnums, int)
        self.numbers = _chosen(name, argnums, len(args))
        self.args = args
        found: list[Any] = []
        self.structures = [flatten(args[n], found) for n in self.numbers]
        self.values = _floating(name, [_variable(name, x) for x in found])

    def filled(self, values: Sequence[Any]) -> list[Any]:
        """All arguments, with new values in place of the chosen ones."""
        rest, out = list(values), list(self.args)
        for n, structure in zip(self.numbers, self.structures, strict=True):
            out[n] = unflatten(structure, rest)
        return out

    def pulled(self, outputs: list[Variable], cotangents: list[Variable], roots: Any, retain: bool) -> list[Variable]:
        """The gradients with respect to the chosen arguments."""
        found = _core._vjp_pull(outputs, cotangents, roots, retain)
        # The zeros for a root that no output uses get the sample axes of vmap, which the argument itself does not show.
        return [g if g.shape == v.shape else _core.zeros_like(v) for g, v in zip(found, self.values, strict=True)]

    def shaped(self, values: Sequence[Any]) -> Any:
        """Values in the containers of the chosen arguments: one container, or a tuple for several argnums."""
        rest = list(values)
        out = [unflatten_results(s, rest) for s in self.structures]
        return out[0] if self.single else tuple(out)


def _check_function(name: str, f: Any) -> None:
    """Raises when ``f`` cannot be called, for example a computed value."""
    if callable(f):
        return
    fix = ""
    if isinstance(f, Variable):
        fix = "; of a computed value, take the gradients by y.backward() or tg.autograd.grad(y, x)"
    raise TypeError(f"{name}: the first argument must be a function, not {type(f).__name__}{fix}")


def _name(f: Any) -> str:
    return getattr(f, "__name__", type(f).__name__)


def _with_aux(name: str, f: Function, out: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return out, None
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(
            f"{name}: with has_aux=True, {_name(f)} must return a pair (result, aux), it returned {type(out).__name__}"
        )
    return out


def _ended(tree: Any, roots: Any) -> Any:
    """The Variables of a result, detached where their history leads to the roots alone."""
    found: list[Any] = []
    structure = flatten(tree, found)
    places = [i for i, x in enumerate(found) if isinstance(x, Variable)]
    for i, y in zip(places, _core._vjp_end([found[i] for i in places], roots), strict=True):
        found[i] = y
    return unflatten_results(structure, found)


def _recorded(
    name: str, f: Function, call: tuple[tuple[Any, ...], dict[str, Any]], argnums: int | Sequence[int], has_aux: bool
) -> tuple[_Arguments, Any, Any, Any]:
    """Calls ``f`` on values that are recorded: the arguments, their places on the tape, the result, and what is beside it."""
    args, kwargs = call
    arguments = _Arguments(name, args, argnums)
    inner, roots = _core._vjp_begin(arguments.values)
    with enable_grad():
        out, aux = _with_aux(name, f, f(*arguments.filled(inner), **kwargs), has_aux)
    return arguments, roots, out, aux


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """A function that returns the value of ``f`` and its gradient by the arguments ``argnums``.

    ``f`` returns one floating number (a 0-d array), or a pair of that and anything with ``has_aux``; then the new function
    returns ``((value, aux), gradient)``. The gradient has the containers of the arguments; of a Module it is a dict of its
    parameters' names. No ``.grad`` changes.

    >>> value, gradient = tg.value_and_grad(lambda p: tg.sum(p["w"] * p["w"]))({"w": tg.Variable([1.0, 2.0])})
    >>> value.item(), gradient["w"].tolist()
    (5.0, [2.0, 4.0])
    """
    _check_function("grad", f)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, roots, out, aux = _recorded("grad", f, (args, kwargs), argnums, has_aux)
        y = _result("grad", out)
        if y.ndim or not y.dtype.is_floating_point:
            got, fix = f"an array of shape {y.shape} and dtype {y.dtype}", "sum() it, or use tg.jacobian"
            if isinstance(out, (tuple, list)):
                got, fix = f"{a_type(out)} of {len(out)}", "for a pair (result, aux) pass has_aux=True"
            raise GradError(f"grad: {_name(f)} must return one floating number (a 0-d array), it returned {got}; {fix}")
        gradient = arguments.pulled([y], [_core.ones((), dtype=y.dtype)], roots, False)
        (value,) = _core._vjp_end([y], roots)
        result = (value, _ended(aux, roots)) if has_aux else value
        return result, arguments.shaped(gradient)

    return wrapped


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of the scalar function ``f`` by the arguments ``argnums``.

    With ``has_aux``, ``f`` returns ``(result, aux)`` and the new function ``(gradient, aux)``.

    >>> tg.grad(lambda x: x**3)(2.0)
    Variable(12.)
    >>> tg.grad(tg.grad(lambda x: x**3))(2.0)
    Variable(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """``(f(*primals), pullback)``: ``pullback(cotangent)`` is the tuple of gradients of ⟨cotangent, f⟩ by the primals.

    The pullback may be called any number of times. With ``has_aux``: ``(value, pullback, aux)``.

    >>> y, pullback = tg.vjp(lambda x: x * x, tg.Variable([1.0, 2.0]))
    >>> pullback(tg.Variable([1.0, 10.0]))
    (Variable([ 2., 40.]),)
    """
    _check_function("vjp", f)
    arguments, roots, out, aux = _recorded("vjp", f, (primals, {}), tuple(range(len(primals))), has_aux)
    found: list[Any] = []
    structure = flatten(out, found)
    outputs = [_result("vjp", y) for y in found]

    def pullback(cotangent: Any) -> Any:
        given = _like(structure, cotangent)
        if given is None:
            raise TypeError(f"vjp: the cotangent is {flatten(cotangent, [])}, but the function returned {structure}")
        cotangents = [_cotangent("vjp", y, c) for y, c in zip(outputs, given, strict=True)]
        return arguments.shaped(arguments.pulled(outputs, cotangents, roots, True))

    value = _ended(unflatten(structure, list(outputs)), roots)
    return (value, pullback, _ended(aux, roots)) if has_aux else (value, pullback)


def _like(structure: Structure, tree: Any) -> list[Any] | None:
    """The leaves of a container of that structure, in its order; None for one of another structure."""
    found: list[Any] = []
    return found if flatten(tree, found, structure) == structure else None


def _cotangent(name: str, y: Variable, c: Any) -> Variable:
    if c is None:
        return _core.zeros_like(y)
    c = _core.asarray(c, dtype=y.dtype)
    if c.shape != y.shape:
        raise ShapeError(f"{name}: a cotangent has shape {c.shape}, the result of the function {y.shape}; they must be equal")
    return _core.asarray(c, dtype=y.dtype)


def _tangents(name: str, structures: list[Structure], primals: list[Variable], tangents: Sequence[Any]) -> list[Variable]:
    parts = [_like(s, t) for s, t in zip(structures, tangents, strict=True)]
    if any(p is None for p in parts):
        given = tuple(flatten(t, []) for t in tangents)
        raise TypeError(f"{name}: the tangents are {given}, but the primals {tuple(structures)}")
    leaves_of = [t for p in parts for t in p or ()]
    found = [_core.zeros_like(x) if t is None else t for x, t in zip(primals, leaves_of, strict=True)]
    out = [t if isinstance(t, Variable) else _core.asarray(t, dtype=x.dtype) for x, t in zip(primals, found, strict=True)]
    return [t if t.dtype == x.dtype or not is_inexact(t.dtype) else t.astype(x.dtype) for x, t in zip(primals, out, strict=True)]


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """``(f(*primals), tangent)``: the value, and its derivative along the tangents, in one pass forward.

    Nothing is recorded, so memory does not grow with the length of the program. With ``has_aux``: ``(value, tangent, aux)``.

    >>> tg.jvp(tg.sin, (0.0,), (1.0,))
    (Variable(0.), Variable(1.))
    """
    _check_function("jvp", f)
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"jvp: {what} must be a tuple with one entry for each argument, not {type(given).__name__}; write ({what[:-1]},)"
            )
    if len(primals) != len(tangents):
        raise TypeError(f"jvp: got {len(primals)} primals and {len(tangents)} tangents, expected one tangent for each primal")
    arguments = _Arguments("jvp", tuple(primals), tuple(range(len(primals))))
    directions = _tangents("jvp", arguments.structures, arguments.values, tangents)
    level = _core._fresh_level()
    try:
        duals = [_core._dual(level, x, t) for x, t in zip(arguments.values, directions, strict=True)]
        out, aux = _with_aux("jvp", f, f(*arguments.filled(duals)), has_aux)
        value, tangent = _split(level, out)
        return (value, tangent, _without_tangents(level, aux)) if has_aux else (value, tangent)
    finally:
        _core._end_level(level)


def _split(level: int, tree: Any) -> tuple[Any, Any]:
    """A result and its tangent; a part that is not a Variable has a zero tangent."""
    found: list[Any] = []
    structure = flatten(tree, found)
    pairs = [_core._split_dual(level, _result("jvp", y)) for y in found]
    return unflatten_results(structure, [v for v, _ in pairs]), unflatten_results(structure, [t for _, t in pairs])


def _without_tangents(level: int, tree: Any) -> Any:
    """What a function returns beside its result: Variables lose their tangents, all else is passed on."""
    return tree_map(lambda y: _core._split_dual(level, y)[0] if isinstance(y, Variable) else y, tree)


def linearize(f: Function, *primals: Any) -> tuple[Any, Function]:
    """``(f(*primals), push)``: ``push(*tangents)`` is the derivative of ``f`` at the primals along the tangents.

    Each push runs ``f`` again, in forward mode, so nothing is kept. Random numbers inside are drawn again as they were.

    >>> y, push = tg.linearize(lambda x: x * x, tg.Variable([1.0, 3.0]))
    >>> push(tg.Variable([1.0, 1.0]))
    Variable([2., 6.])
    """
    _check_function("linearize", f)
    draws = Draws()
    value = f(*primals)

    def push(*tangents: Any) -> Any:
        with draws:
            return jvp(f, primals, tangents)[1]

    return value, push


def stop_gradient(x: Any) -> Any:
    """The same values, through which no gradient and no tangent flows.

    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    Variable(3.)
    """
    return tree_map(lambda v: v.detach() if isinstance(v, Variable) else v, x)


# ---- batching ----


def _axes_of(name: str, what: str, axes: Any, tree: Any) -> list[int | None]:
    """One axis for each leaf of ``tree``: ``axes`` is an int, None, or a container that begins like ``tree``."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves(tree))
    if isinstance(axes, (tuple, list)) and isinstance(tree, (tuple, list)) and len(axes) == len(tree):
        return [a for sub, part in zip(axes, tree, strict=True) for a in _axes_of(name, what, sub, part)]
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [a for key in tree for a in _axes_of(name, what, axes[key], tree[key])]
    raise ValueError(f"{name}: {what} is {axes!r}, expected an int, None, or a container like {flatten(tree, [])}")


def _batch_size(values: list[Variable], axes: list[int | None]) -> int:
    sizes: dict[int, int] = {}
    for i, (v, axis) in enumerate(zip(values, axes, strict=True)):
        if axis is None:
            continue
        if not -v.ndim <= axis < v.ndim:
            raise ValueError(f"vmap: in_axes maps axis {axis} of an argument of shape {v.shape}, which has {v.ndim} axes")
        sizes[i] = v.shape[axis]
    if not sizes:
        raise ValueError("vmap: in_axes maps no argument, at least one axis must not be None")
    if len(set(sizes.values())) > 1:
        shapes = ", ".join(f"{values[i].shape} along axis {axes[i]}" for i in sizes)
        raise ValueError(f"vmap: the mapped axes differ in size: {shapes}")
    return next(iter(sizes.values()))


def vmap(
    f: Function,
    in_axes: Any = 0,
    out_axes: Any = 0,
    randomness: str = "different",
    chunk_size: int | None = None,
    *,
    in_dims: Any = None,
    out_dims: Any = None,
) -> Function:
    """A function that maps ``f`` over an axis of its arguments; ``f`` sees one sample, and runs once for all of them.

    ``in_axes`` is an int or None (the same for all samples) for all arguments, or a tuple with one entry for each argument, in
    which containers stand for containers. ``out_axes`` says where the axis of the samples is in the results. Random numbers
    are drawn for each sample (``randomness="different"``), or once for all (``"same"``); ``"error"`` refuses to draw.
    Keyword arguments are mapped along axis 0. With ``chunk_size`` so many samples run at a time, which bounds the memory.
    ``in_dims`` and ``out_dims`` are PyTorch's names of the axes.

    >>> tg.vmap(lambda x, y: tg.sum(x * y))(tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([[1.0, 1.0], [0.0, 2.0]]))
    Variable([3., 8.])
    """
    _check_function("vmap", f)
    in_axes, out_axes = in_axes if in_dims is None else in_dims, out_axes if out_dims is None else out_dims
    if chunk_size is not None:
        return _in_chunks(vmap(f, in_axes, out_axes, randomness), chunk_size, in_axes, out_axes)
    if randomness not in ("different", "same", "error"):
        raise ValueError(f"vmap: randomness is {randomness!r}, expected 'different', 'same' or 'error'")

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap: in_axes has {len(in_axes)} entries, but {_name(f)} was called with {len(args)} positional arguments"
            )
        found: list[Any] = []
        structure = flatten((list(args), kwargs), found)
        axes = _axes_of("vmap", "in_axes", in_axes, list(args)) + [0] * len(leaves(kwargs))
        values = [x if axis is None else _variable("vmap", x) for x, axis in zip(found, axes, strict=True)]
        size = _batch_size(values, axes)
        level = _core._fresh_level()
        _core._enter_mapping(level, size, randomness)
        is_kept = True
        try:
            # The results of the samples are gone when the level ends, so that only what others hold is looked at then.
            result = _mapped(f, level, size, unflatten(structure, _samples(level, values, axes)), out_axes)
        finally:
            is_kept = _core._leave_mapping(level)
        if not is_kept:
            raise GradError(
                f"vmap: {_name(f)} writes a value that differs between the samples into an array from outside; return it, or "
                "write into an array that is made inside of the function"
            )
        return result

    return wrapped


def _samples(level: int, values: list[Any], axes: list[int | None]) -> list[Any]:
    return [x if axis is None else _core._batched(level, x, axis) for x, axis in zip(values, axes, strict=True)]


def _mapped(f: Function, level: int, size: int, arguments: Any, out_axes: Any) -> Any:
    args, kwargs = arguments
    return _unbatched(level, size, f(*args, **kwargs), out_axes)


def _in_chunks(mapped: Function, size: int, in_axes: Any, out_axes: Any) -> Function:
    """Maps a function over ``size`` samples at a time."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"vmap: chunk_size is {size!r}, expected None or an int above 0")

    @functools.wraps(mapped)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found: list[Any] = []
        structure = flatten((list(args), kwargs), found)
        axes = _axes_of("vmap", "in_axes", in_axes, list(args)) + [0] * len(leaves(kwargs))
        values = [x if axis is None else _variable("vmap", x) for x, axis in zip(found, axes, strict=True)]
        count = _batch_size(values, axes)
        results: list[list[Any]] = []
        shape: Any = None
        for start in range(0, max(count, 1), size):
            part = [
                x if axis is None else x[(*(slice(None),) * (axis % x.ndim), slice(start, start + size))]
                for x, axis in zip(values, axes, strict=True)
            ]
            inner_args, inner_kwargs = unflatten(structure, part)
            results.append([])
            out = mapped(*inner_args, **inner_kwargs)
            shape = flatten(out, results[-1])
        to = _axes_of("vmap", "out_axes", out_axes, out)
        joined = [
            ys[0] if axis is None else _core.concat(list(ys), axis=axis) for ys, axis in zip(zip(*results), to, strict=True)
        ]
        return unflatten_results(shape, joined)

    return wrapped


def _unbatched(level: int, size: int, tree: Any, out_axes: Any) -> Any:
    found: list[Any] = []
    structure = flatten(tree, found)
    axes = _axes_of("vmap", "out_axes", out_axes, tree)
    out = []
    for y, axis in zip(found, axes, strict=True):
        v = _result("vmap", y)
        if axis is None:
            lifted = _core._lifted(v)
            if lifted is not None and lifted[1] == level:
                raise ValueError("vmap: out_axes is None for a result that differs between the samples")
            out.append(v)
        elif not -v.ndim - 1 <= axis <= v.ndim:
            raise ValueError(
                f"vmap: out_axes puts the samples at axis {axis}, but a result of one sample has shape {v.shape}: "
                f"expected {-v.ndim - 1} to {v.ndim}"
            )
        else:
            out.append(_core._unbatched(level, size, v, axis))
    return unflatten_results(structure, out)


# ---- Jacobians ----


def _basis(values: list[Variable]) -> list[Variable]:
    """For each value, the unit vectors of the space of all values, stacked along a new first axis."""
    sizes = [v.size for v in values]
    total, start, out = sum(sizes), 0, []
    for v, n in zip(values, sizes, strict=True):
        out.append(_core.reshape(_core.eye(total, n, -start, dtype=v.dtype), (total, *v.shape)))
        start += n
    return out


def _split_rows(rows: Variable, like: list[Variable]) -> list[Variable]:
    """Rows along the first axis, a block for each value, in its shape."""
    start, out = 0, []
    for v in like:
        out.append(_core.reshape(rows[start : start + v.size], (*v.shape, *rows.shape[1:])))
        start += v.size
    return out


def _of_columns(columns: Variable, arguments: _Arguments) -> Any:
    """The Jacobian of a result whose derivatives along all directions are along the last axis."""
    blocks = _split_rows(_core.moveaxis(columns, -1, 0), arguments.values)
    moved = [
        _core.moveaxis(b, tuple(range(v.ndim)), tuple(range(-v.ndim, 0))) for b, v in zip(blocks, arguments.values, strict=True)
    ]
    return arguments.shaped(moved)


def _is_inside(y: Any) -> bool:
    """Whether a value is one inside of a transformation."""
    return isinstance(y, Variable) and _core._lifted(y) is not None


def _check_derivative(f: Any, y: Variable) -> None:
    """Raises when the dtype of a result has no derivative."""
    if not is_inexact(y.dtype):
        raise DTypeError(f"jacobian: {_name(f)} returned dtype {y.dtype}, which has no derivative")


def jacrev(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, chunk_size: int | None = None) -> Function:
    """The Jacobian of ``f`` by the arguments ``argnums``, by reverse mode: good for few outputs.

    The shape is that of the result followed by that of the argument. Containers nest: those of the result outside, those of
    the arguments inside. With ``chunk_size`` so many rows are computed at a time, which bounds the memory. A complex result
    raises, as its imaginary part would be lost.

    >>> tg.jacrev(lambda x: x * x)(tg.Variable([1.0, 2.0]))
    Variable([[2., 0.],
              [0., 4.]])
    """
    _check_function("jacrev", f)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, roots, out, aux = _recorded("jacobian", f, (args, kwargs), argnums, has_aux)
        result = _rows(f, out, arguments, roots, chunk_size)
        return (result, _ended(aux, roots)) if has_aux else result

    return wrapped


def _rows(f: Function, out: Any, arguments: _Arguments, roots: Any, chunk_size: int | None) -> Any:
    """The Jacobian of ``out``, a result of ``f`` that was recorded, by a pullback for each of its elements."""
    found: list[Any] = []
    structure = flatten(out, found)
    outputs = [_result("jacobian", y) for y in found]
    for y in outputs:
        _check_derivative(f, y)
        if y.dtype.is_complex:
            raise DTypeError(
                f"jacrev: {_name(f)} returned dtype {y.dtype}: reverse mode would differentiate its "
                "real part only; use tg.jacfwd, or the function's .real and .imag"
            )
    pull = vmap(lambda *c: tuple(arguments.pulled(outputs, list(c), roots, True)), chunk_size=chunk_size)
    rows = pull(*_basis(outputs))
    parts = [_split_rows(r, outputs) for r in rows]
    return unflatten_results(structure, [arguments.shaped([p[k] for p in parts]) for k in range(len(outputs))])


jacobian = jacrev


def jacfwd(
    f: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "same",
) -> Function:
    """The Jacobian of ``f`` by the arguments ``argnums``, by forward mode: good for few inputs. See :func:`jacrev`.

    ``f`` draws its random numbers once for all directions, so that the columns are those of one function;
    ``randomness="error"`` refuses to draw, as in :func:`vmap`.
    Of a complex argument it is the complex derivative, for functions that have one; a real result then raises.

    >>> tg.jacfwd(lambda x: x * x)(tg.Variable([1.0, 2.0]))
    Variable([[2., 0.],
              [0., 4.]])
    """
    _check_function("jacfwd", f)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments("jacobian", args, argnums)
        #: How the result and what is returned beside it are nested, and the leaves of the latter.
        forms: list[Structure] = []
        beside: list[Any] = []
        draws = Draws()

        def along(*tangents: Any) -> list[Any]:
            def inner(*values: Any) -> Any:
                return _with_aux("jacobian", f, f(*arguments.filled(values), **kwargs), has_aux)

            # Each chunk of directions is of the same function.
            with draws if forms and randomness == "same" else nullcontext():
                _, tangent, aux = jvp(inner, tuple(arguments.values), tangents, has_aux=True)
            found: list[Any] = []
            beside.clear()
            forms[:] = flatten(tangent, found), flatten(aux, beside)
            for y in found:
                _check_derivative(f, y)
                if not y.dtype.is_complex and any(v.dtype.is_complex for v in arguments.values):
                    raise DTypeError(
                        f"jacfwd: {_name(f)} returned dtype {y.dtype} for a complex argument: forward mode would differentiate "
                        "by its real part only; use tg.jacrev, or pass real and imaginary parts"
                    )
            return found + [y for y in beside if _is_inside(y)]

        columns = vmap(along, out_axes=-1, randomness=randomness, chunk_size=chunk_size)(*_basis(arguments.values))
        count = len(columns) - sum(map(_is_inside, beside))
        # What is returned beside the result is the same for all directions.
        rest = iter(columns[count:])
        beside[:] = [next(rest)[..., 0] if _is_inside(y) else y for y in beside]
        result = unflatten_results(forms[0], [_of_columns(column, arguments) for column in columns[:count]])
        return (result, unflatten_results(forms[1], beside)) if has_aux else result

    return wrapped


def _first_derivative(f: Function, argnums: int | Sequence[int], has_aux: bool) -> Function:
    """The gradient of ``f`` where it returns a number, as :func:`grad`, and else its Jacobian."""
    _check_function("hessian", f)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, roots, out, aux = _recorded("hessian", f, (args, kwargs), argnums, has_aux)
        if isinstance(out, Variable) and not out.ndim and out.dtype.is_floating_point:
            result = arguments.shaped(arguments.pulled([out], [_core.ones((), dtype=out.dtype)], roots, False))
        else:
            result = _rows(f, out, arguments, roots, None)
        return (result, _ended(aux, roots)) if has_aux else result

    return wrapped


def hessian(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The second derivatives of ``f`` by the arguments ``argnums``: forward over reverse.

    Of a number it is the Hessian. Of an array or a container it is the Jacobian of the Jacobian: the shape is that of the result
    followed by that of the argument twice.

    A function that chooses its path by values, as with ``if x[0] > 0``, runs once more: reverse over reverse.

    >>> tg.hessian(lambda x: tg.sum(x**3))(tg.Variable([1.0, 2.0]))
    Variable([[ 6.,  0.],
              [ 0., 12.]])
    >>> tg.hessian(lambda x: x**3)(tg.Variable([1.0, 2.0])).shape
    (2, 2, 2)
    """
    gradient = _first_derivative(f, argnums, has_aux)
    forward = jacfwd(gradient, argnums, has_aux)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return forward(*args, **kwargs)
        except GradError as e:
            # The samples of this mapping are directions, so no value differs between them: reverse mode runs without a
            # mapping.
            if "inside vmap were read" not in str(e):
                raise
        return jacrev(gradient, argnums, has_aux)(*args, **kwargs)

    return wrapped


def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of the scalar function ``f`` at ``primals`` with ``tangents``, without the Hessian.

    A single primal gives its product, several a tuple.

    >>> tg.hvp(lambda x: tg.sum(x**3), (tg.Variable([1.0, 2.0]),), (tg.Variable([1.0, 1.0]),))
    Variable([ 6., 12.])
    """
    count = len(primals)
    argnums: int | tuple[int, ...] = 0 if count == 1 else tuple(range(count))
    return jvp(grad(f, argnums), primals, tangents)[1]
