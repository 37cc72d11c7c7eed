"""Error messages for common mistakes: names that live elsewhere, and wrong arguments of layers."""

from __future__ import annotations

import re
import sys
from importlib import import_module

from ._core import Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

#: Namespaces in which a missing name is looked for, after the one that was asked.
_HOMES = (
    "",
    "nn",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "optim",
    "optim.lr_scheduler",
    "random",
    "linalg",
    "fft",
    "special",
    "autograd",
)
#: Namespaces with SciPy's names.
_SCIPY = ("fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "special", "stats")
#: Names of other libraries, and what to write here.
_KNOWN = {
    "Tensor": "tg.Variable",
    "tensor": "tg.Variable(data) or tg.asarray(data)",
    "Dense": "tg.nn.Linear",
    "concatenate": "tg.concat",
    "vstack": "tg.concat(arrays, axis=0)",
    "GradientTape": "y.backward(), or tg.grad(f)(x)",
    "jit": "tg.compile(f), which replays a function without Python",
    "fx": "tg.compile(f), or tg.Tape() to look at a graph",
    "export": "tg.save(model.state_dict(), path) for the weights",
    "onnx": "tg.save(model.state_dict(), path) for the weights",
    "hub": "model.load_state_dict(tg.load(path)) for weights of PyTorch",
    "multiprocessing": "tg.utils.data.DataLoader(num_workers=...), or the module multiprocessing of Python",
    "sparse": "tg.Tensor.index_add or scatter_add for products with sparse matrices, and tg.sparse_jacobian",
    "sparse_coo_tensor": "tg.zeros(shape) and index_put(..., accumulate=True): arrays are dense",
    "sparse_csr_tensor": "tg.zeros(shape) and index_put(..., accumulate=True): arrays are dense",
    "profiler": "tg.Tape() for what is recorded, or cProfile for the time",
    "quantization": "an autograd.Function that rounds, and hands gradients on",
}
#: Names of options in other libraries, and ours.
_OPTIONS = {
    "learning_rate": "lr",
    "step_size": "lr",
    "beta1": "betas",
    "beta2": "betas",
    "epsilon": "eps",
    "decay": "weight_decay",
    "units": "out_features",
    "use_bias": "bias",
    "parameters": "params",
}


class MissingNameError(AttributeError):
    """A name that a module does not have. Where to find it is looked up only when the message is read."""

    def __init__(self, module: str, attribute: str) -> None:
        super().__init__(module, attribute)
        self.module, self.attribute = module, attribute

    def __str__(self) -> str:
        return f"module {self.module!r} has no attribute {self.attribute!r}{_hint(self.module, self.attribute)}"


def _names(home: str) -> list[str]:
    path = f"tapegrad.{home}" if home else "tapegrad"
    try:
        module = import_module(path)
    except ImportError:
        return []
    return [n for n in getattr(module, "__all__", None) or dir(module) if not n.startswith("_")]


def _near(name: str, names: Iterable[str], count: int, cutoff: float = 0.6) -> list[str]:
    """The names most like ``name``."""
    from difflib import get_close_matches

    return get_close_matches(name, list(names), count, cutoff)


def _path(home: str, name: str) -> str:
    return f"tg.{home}.{name}" if home else f"tg.{name}"


def _elsewhere(home: str, fits: Callable[[str], bool]) -> Iterator[str]:
    for other in (home, *(h for h in _HOMES if h != home)):
        yield from (_path(other, n) for n in _names(other) if fits(n))


def _hint(module: str, name: str) -> str:
    """A hint: where the name is defined, or which names are similar."""
    if name.startswith("_"):
        return ""
    home = module.removeprefix("tapegrad").removeprefix(".")
    plain = name.replace("_", "").lower()
    alike = [n for n in _names(home) if n.replace("_", "").lower() == plain]
    found = [*(_path(home, n) for n in alike), *_elsewhere(home, lambda n: n == name)]
    found += _elsewhere(home, lambda n: n.replace("_", "").lower() == plain)
    if not found and name in _KNOWN:
        return f"; write {_KNOWN[name]}"
    if not found and _in_scipy(home, name):
        function = "x.numpy()" if home != "optimize" else "tg.optimize.fun_and_grad(f, x0).fun as its function"
        return f"; scipy.{home}.{name} works on numbers, without gradients: give it {function}"
    if not found:
        found = [_path(home, n) for n in _near(name, _names(home), 3, 0.75)]
    return f"; there is {' and '.join(dict.fromkeys(found[:3]))}" if found else ""


def _in_scipy(home: str, name: str) -> bool:
    """Whether SciPy has a function or a class of the name in its module of that name."""
    if home not in _SCIPY:
        return False
    try:
        module = import_module(f"scipy.{home}")
    except ImportError:
        return False
    return name in getattr(module, "__all__", ()) and hasattr(module, name)


def numpy_missing(name: str) -> str:
    """The message for a function of NumPy that has no counterpart of its name."""
    short = name.rpartition(".")[2]
    homes = {n: home for home in ("fft", "special", "linalg", "") for n in _names(home)}
    known = _KNOWN.get(short)
    there = known or " and ".join(_path(homes[n], n) for n in _near(short, homes, 2, 0.75))
    instead = f"there is {there}; or " if there else ""
    return f"{name} is not available for Variables: {instead}use v.numpy() for the data, without gradients"


def _of_family(distribution: Any, method: str) -> str:
    """A method of one of SciPy's distributions with the name of the distribution: ``norm.pdf``."""
    distribution = getattr(distribution, "dist", distribution)  # of one whose parameters are fixed
    family = getattr(distribution, "name", None) or type(distribution).__name__.removesuffix("_gen")
    return f"{family}.{method}" if method[0] != "_" and family in _names("stats") else method


def counterpart() -> str:
    """The beginning of a message that names our function for the SciPy function that is running; empty when none is."""
    frame: Any = sys._getframe()
    running: list[tuple[str, str]] = []
    while frame is not None:
        package, _, rest = frame.f_globals.get("__name__", "").partition(".")
        if package == "scipy":
            # A decorator's wrapper counts as the function that it is about to call.
            name, inner = frame.f_code.co_name, frame.f_locals.get("f") or frame.f_locals.get("func")
            if name in ("wrapper", "inner") and callable(inner):
                rest, name = getattr(inner, "__module__", "").partition(".")[2], getattr(inner, "__name__", "")
            home = rest.partition(".")[0]
            if name.startswith("__") and home != "stats":
                # A class of SciPy's is named by itself: CubicSpline, not __init__.
                name = type(frame.f_locals.get("self")).__name__
            running.append((home, _of_family(frame.f_locals.get("self"), name) if home == "stats" else name))
        elif running:
            break  # the first frame outside SciPy is the user's
        frame = frame.f_back
    for home, name in reversed(running):
        for ours in () if home.startswith("_") else (home, ""):
            if name.partition(".")[0] in _names(ours):
                return f"Use {_path(ours, name)} instead of scipy.{home}.{name}"
    for home, name in reversed(running):
        if home and not home.startswith("_") and not name.startswith(("_", "<")) and name != "wrapper":
            near = _near(name, _names(home), 2, 0.75)
            there = f"tg.{home} has {' and '.join(near)}" if near else "Write it with functions of tapegrad"
            return f"scipy.{home}.{name} has no counterpart here. {there}"
    return ""


# ---- constructors ----

_PLAIN = {"int", "float", "bool", "str", "None"}


def check_constructor(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises where the arguments do not fit the constructor of a class of this package, before it runs."""
    init = cls.__init__  # type: ignore[misc]
    code = getattr(init, "__code__", None)
    if not (args or kwargs) or code is None or not cls.__module__.startswith("tapegrad."):
        return
    positional = code.co_varnames[1 : code.co_argcount]
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    open_args, open_kwargs = code.co_flags & 0x04, code.co_flags & 0x08
    hints = init.__annotations__
    for i, value in enumerate(args):
        if i < len(positional):
            _check_value(cls, positional[i], hints.get(positional[i]), value)
        elif not open_args:
            if isinstance(value, Variable):
                raise _called_too_early(cls, "")
            raise TypeError(
                f"{cls.__name__}() takes at most {len(positional)} positional arguments, {len(args)} were given{_shown(cls)}"
            )
    for name, value in kwargs.items():
        if name in names:
            _check_value(cls, name, hints.get(name), value)
        elif not open_kwargs:
            raise TypeError(
                f"{cls.__name__}() got an unexpected keyword argument {name!r}{_suggestion(name, names)}{_shown(cls)}"
            )
    required = positional[len(args) : len(positional) - len(init.__defaults__ or ())]
    missing = [n for n in required if n not in kwargs]
    if missing:
        raise TypeError(f"{cls.__name__}() is missing the argument {missing[0]!r}{_shown(cls)}")


def _check_value(cls: type, name: str, hint: Any, value: Any) -> None:
    """Raises when the annotation of a parameter is int, float, bool or str and the value has another type."""
    kinds = hint.split(" | ") if isinstance(hint, str) else []
    if not kinds or not _PLAIN.issuperset(kinds):
        return
    if isinstance(value, Variable):
        if value.ndim and not value.requires_grad and "float" in kinds:
            return  # an option with several numbers, which the class itself checks
        if value.ndim and not hasattr(cls, "forward"):
            if value.requires_grad:
                return  # the class reports that no gradient flows
            raise TypeError(
                f"{cls.__name__}(): argument {name!r} must be {_article(kinds)}, not a Variable of shape {value.shape}"
            )
        if value.ndim:
            raise _called_too_early(cls, f"argument {name!r} must be {_article(kinds)}, not a Variable; ")
        return  # a number with a history, which the class itself checks
    kind = type(value)
    fits = (
        ("None" in kinds and value is None)
        or ("str" in kinds and isinstance(value, str))
        or ("float" in kinds and (hasattr(kind, "__float__") or hasattr(kind, "__index__")))
        or ("int" in kinds and hasattr(kind, "__index__"))
        or ("bool" in kinds and not isinstance(value, (str, bytes, list, tuple, dict)))
    )
    if not fits:
        raise TypeError(f"{cls.__name__}(): argument {name!r} must be {_article(kinds)}, not {kind.__name__}{_value(value)}")


def _article(kinds: list[str]) -> str:
    words = {"int": "an int", "float": "a float", "bool": "a bool", "str": "a string"}
    return " or ".join(words.get(k, k) for k in kinds)


def _value(value: Any) -> str:
    """The value, to follow its type in a message, if it is short."""
    text = repr(value) if isinstance(value, (str, int, float)) else ""
    return f" ({text})" if 0 < len(text) <= 40 else ""


def _suggestion(name: str, names: tuple[str, ...]) -> str:
    known = _OPTIONS.get(name)
    near = [known] if known in names else _near(name, names, 1)
    return f", did you mean {near[0]!r}?" if near else ""


def _shown(cls: type) -> str:
    from inspect import signature

    text = re.sub(r": '[^']*'( = )?", lambda m: "=" if m[1] else "", str(signature(cls))).partition(" ->")[0]
    return f". Its signature is {cls.__name__}{text}" if len(text) < 300 else ""


def _called_too_early(cls: type, what: str) -> TypeError:
    """The error for a layer that is made with the array it should be called with."""
    name = cls.__name__
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    functions = set(_names("nn.functional"))
    function = next((f for f in (name.lower(), snake, snake.removesuffix("_loss")) if f in functions), None)
    x = "input, target" if name.endswith("Loss") else "x"
    instead = f", or call the function nn.functional.{function}({x})" if function else ""
    return TypeError(f"{name}(): {what}nn.{name}(...) makes a layer, which is called afterwards: nn.{name}(...)({x}){instead}")


# ---- optimizers ----


def check_parameters(name: str, params: Any) -> None:
    """Raises where a module is given for its parameters."""
    if callable(getattr(params, "parameters", None)):
        raise TypeError(
            f"{name}: expected an iterable of parameters, not the module {type(params).__name__}; "
            f"pass its parameters, as in {name}(net.parameters(), ...)"
        )
    if not hasattr(params, "__iter__"):
        raise TypeError(f"{name}: expected an iterable of parameters, not {type(params).__name__}{_value(params)}")


def no_parameter(name: str, value: Any) -> TypeError:
    """The error for an object that is not a parameter."""
    fix = ""
    if hasattr(value, "parameters"):
        fix = "; pass the parameters of a module, as in net.parameters()"
    elif hasattr(value, "__iter__") and not isinstance(value, str):
        fix = "; join several iterables into one list, as in [*a.parameters(), *b.parameters()]"
    return TypeError(f"{name}: a parameter must be a Variable, got {type(value).__name__}{fix}")


def no_parameters(name: str) -> ValueError:
    """The error for an optimizer without parameters."""
    return ValueError(
        f"{name}: there are no parameters to optimize; a module has those of its attributes, of nn.ModuleList and nn.ModuleDict, "
        "not those of layers in plain lists and dicts"
    )


def check_closure(name: str, closure: Any) -> None:
    """Raises when the argument of a step cannot be called."""
    if not callable(closure):
        raise TypeError(
            f"{name}.step(): argument 'closure' must be a function that computes the loss, not {type(closure).__name__}; "
            "call loss.backward() first, then step()"
        )


def check_scipy(name: str) -> None:
    """Raises ImportError when SciPy, an optional requirement, is not installed."""
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise ImportError(f"{name} needs SciPy: pip install scipy") from None


# ---- modules ----


def in_layer(owner: Any, name: str, layer: Any, error: Exception) -> Exception:
    """The error of a layer, with the path of the layer in front."""
    inner = str(error)
    match = re.match(r"Sequential: layer (\S+?), ", inner)
    if match:  # a Sequential inside another: the path grows
        return type(error)(inner.replace(f"layer {match[1]}, ", f"layer {name}.{match[1]}, ", 1))
    shown = repr(layer)
    return type(error)(f"{type(owner).__name__}: layer {name}, {type(layer).__name__ if chr(10) in shown else shown}: {inner}")


def a_type(value: Any) -> str:
    """The type of a value with its article, as ``an int``."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIO" else f"a {name}"


def not_a_module(owner: Any, value: Any) -> TypeError:
    """The error for what a container of modules cannot hold."""
    name, got = type(owner).__name__, a_type(value)
    fix = ""
    if isinstance(value, type):
        got, fix = f"the class {value.__name__}", f"; make a layer of it, as in {value.__name__}()"
    elif isinstance(value, (list, tuple)) or hasattr(value, "__next__"):
        fix = f"; unpack it, as in {name}(*layers)"
    elif callable(value):
        got = f"a function ({getattr(value, '__name__', got)})"
        fix = "; use the layer of that name, or a Module whose forward calls it"
    return TypeError(f"{name} holds Modules, not {got}{fix}")


def warn_of_plain_container(owner: Any, name: str, value: Any) -> None:
    """Warns of layers in a plain list or dict, which a module does not see."""
    from warnings import warn

    kind, instead = ("dict", "nn.ModuleDict") if isinstance(value, dict) else (type(value).__name__, "nn.ModuleList")
    text = (
        f"{type(owner).__name__}.{name} is a {kind} that holds Modules: parameters() and state_dict() leave them out. "
        f"Use {instead}({name}), or a name that begins with an underscore if that is meant"
    )
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("tapegrad"):
        level, frame = level + 1, frame.f_back
    warn(text, UserWarning, stacklevel=level)


def missing(module: str, name: str) -> MissingNameError:
    """The error for a name that a module does not have."""
    return MissingNameError(module, name)
