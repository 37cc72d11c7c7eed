"""Automatic differentiation for Python with a Rust core.

>>> w = tg.Variable([1.0, 2.0], requires_grad=True)
>>> loss = tg.sum(w * w)
>>> loss.backward()
>>> w.grad.tolist()
[2.0, 4.0]
"""

from __future__ import annotations

from math import e, inf, nan, pi

from . import _aliases, _arrays, _core, _einops, _generator, _habits, _names, _ndarray, autograd
from ._aliases import *  # noqa: F403
from ._arrays import *  # noqa: F403
from ._core import *  # noqa: F403
from ._core import __version__
from ._dtypes import __array_namespace_info__, finfo, iinfo, isdtype
from ._names import *  # noqa: F403
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import (
        amp,
        backends,
        cuda,
        distributed,
        distributions,
        fft,
        func,
        integrate,
        interpolate,
        lax,
        linalg,
        metrics,
        ndimage,
        nn,
        onnx,
        optim,
        optimize,
        random,
        signal,
        special,
        stats,
        testing,
        train,
        tree,
        utils,
    )
    from ._checkpoint import checkpoint
    from ._compile import compile
    from ._custom import custom_jvp, custom_vjp
    from ._explain import explain
    from ._numpy_functions import *  # noqa: F403
    from ._numpy_helpers import *  # noqa: F403
    from ._polynomials import *  # noqa: F403
    from ._program import load_program
    from ._scan import scan
    from ._sparse import sparse_hessian, sparse_jacobian
    from ._threads import num_threads
    from ._torch_names import *  # noqa: F403
    from ._transforms import (
        grad,
        hessian,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        jvp,
        linearize,
        stop_gradient,
        value_and_grad,
        vjp,
        vmap,
    )
    from .amp import GradScaler, autocast, get_autocast_dtype, is_autocast_enabled
    from .linalg import LinAlgError
    from .serialization import FileFormatError, load, save
    from .tape import Tape

__all__ = [
    "FileFormatError",
    "GradScaler",
    "LinAlgError",
    "Tape",
    "__array_namespace_info__",
    "__version__",
    "amp",
    "autocast",
    "autograd",
    "backends",
    "checkpoint",
    "compile",
    "cuda",
    "custom_jvp",
    "custom_vjp",
    "distributed",
    "distributions",
    "e",
    "enable_grad",
    "explain",
    "fft",
    "finfo",
    "func",
    "get_autocast_dtype",
    "grad",
    "hessian",
    "hvp",
    "iinfo",
    "inf",
    "integrate",
    "interpolate",
    "is_autocast_enabled",
    "is_grad_enabled",
    "isdtype",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "lax",
    "linalg",
    "linearize",
    "load",
    "load_program",
    "metrics",
    "nan",
    "ndimage",
    "newaxis",
    "nn",
    "no_grad",
    "num_threads",
    "onnx",
    "optim",
    "optimize",
    "pi",
    "random",
    "save",
    "scan",
    "set_grad_enabled",
    "signal",
    "sparse_hessian",
    "sparse_jacobian",
    "special",
    "stats",
    "stop_gradient",
    "testing",
    "train",
    "tree",
    "utils",
    "value_and_grad",
    "vjp",
    "vmap",
]
# Names that only the Python half calls, and names that live in a submodule.
_INNER = (
    "AccumulateGrad HookHandle Node after_backward apply_function backward deliveries grad registry samples set_anomaly_raw "
    "set_grad_enabled_raw unobserve observe history "
    "ASGD Adadelta Adagrad Adam AdamW Adamax Lion NAdam Optimizer RAdam RMSprop Rprop SGD clip_grad_norm_ clip_grad_value_ "
    "permutation uniform"
)
#: Names that are loaded on first use, by module: NumPy's names outside the array API, and PyTorch's names.
_NUMPY = {
    "_numpy_functions": (
        "asanyarray asarray_chkfinite ascontiguousarray asfortranarray bartlett bitwise_count blackman choose "
        "common_type diag_indices diag_indices_from divmod einsum_path frexp fromfunction gcd geomspace hamming hanning "
        "histogram2d histogramdd i0 identity indices iscomplex iscomplexobj isreal isrealobj isscalar ix_ kaiser lcm "
        "lexsort mask_indices may_share_memory min_scalar_type modf packbits promote_types ravel_multi_index "
        "real_if_close require shares_memory sort_complex spacing tril_indices tril_indices_from trim_zeros "
        "triu_indices triu_indices_from unpackbits unravel_index unwrap vectorize"
    ),
    # PyTorch's names that NumPy does not have.
    "_torch_names": (
        "abs_ acos_ acosh_ adaptive_avg_pool1d adaptive_max_pool1d addbmm alpha_dropout aminmax as_strided asin_ asinh_ atan_ "
        "atanh_ avg_pool1d bartlett_window bilinear blackman_window block_diag bucketize cartesian_prod ceil_ celu "
        "chain_matmul channel_shuffle cholesky cholesky_inverse cholesky_solve clamp_ clamp_max_ clamp_min_ clip_ "
        "combinations conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d cos_ cosh_ "
        "cosine_similarity cumulative_trapezoid deg2rad_ det detach_ diag_embed diagonal_scatter digamma dist dropout "
        "erf_ erfc erfinv exp2_ exp_ expm1_ feature_alpha_dropout fill_ fix_ floor_ frac_ group_norm hamming_window "
        "hann_window hardshrink histc igamma igammac index_copy index_fill index_reduce inverse istft kaiser_window kthvalue "
        "layer_norm ldexp_ lgamma log10_ log1p_ log2_ log_ logdet logit masked_scatter matrix_exp matrix_power max_pool1d "
        "max_pool2d max_pool3d mode msort mvlgamma nan_to_num_ neg_ negative_ pairwise_distance pdist pinverse "
        "pixel_shuffle pixel_unshuffle poisson polygamma qr rad2deg_ range reciprocal_ relu_ renorm rms_norm round_ "
        "rrelu rsqrt_ rsub select_scatter selu sigmoid_ sin_ sinc_ sinh_ slice_scatter slogdet split_with_sizes sqrt_ "
        "square_ std_mean stft svd take_along_dim tan_ tanh_ tensor_split threshold trapz trunc_ unique_consecutive var_mean "
        "xlogy zero_"
    ),
    "_numpy_helpers": (
        "bool_ c_ complexfloating csingle errstate euler_gamma floating frombuffer fromiter generic genfromtxt index_exp "
        "inexact int_ intc integer intp issubdtype iterable loadtxt longlong mgrid ndarray ndenumerate ndindex number ogrid r_ "
        "s_ savetxt signedinteger single ubyte uint uintc uintp ulonglong unsignedinteger ushort"
    ),
    "_polynomials": "poly polyadd polyder polydiv polyfit polyint polymul polysub roots",
}
__all__ += [name for name in _core.__all__ if name not in _INNER.split()]
__all__ += _arrays.__all__
__all__ += _aliases.__all__
__all__ += _names.__all__
__all__ += [name for names in _NUMPY.values() for name in names.split()]
_habits.attach()
_ndarray.attach()
_generator.attach()

#: The index that inserts a new axis.
newaxis = None
__array_api_version__ = "2025.12"

for _name in _INNER.split():
    globals().pop(_name, None)
__all__ = sorted({name for name in __all__ if not name.startswith("_") or name in ("__version__", "__array_namespace_info__")})  # noqa: PLE0605

_LAZY_MODULES = (
    "amp",
    "backends",
    "cuda",
    "distributed",
    "distributions",
    "fft",
    "func",
    "integrate",
    "interpolate",
    "lax",
    "linalg",
    "metrics",
    "ndimage",
    "nn",
    "onnx",
    "optim",
    "optimize",
    "random",
    "signal",
    "special",
    "stats",
    "tape",
    "testing",
    "train",
    "tree",
    "utils",
)
_TRANSFORMS = [
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
_LAZY_NAMES = {
    "LinAlgError": "linalg",
    "Tape": "tape",
    "num_threads": "_threads",
    "FileFormatError": "serialization",
    **dict.fromkeys(("GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"), "amp"),
    "load": "serialization",
    "load_program": "_program",
    "save": "serialization",
    "mps": "backends",
    "xpu": "backends",
    "version": "backends",
    "checkpoint": "_checkpoint",
    "compile": "_compile",
    "scan": "_scan",
    "custom_jvp": "_custom",
    "explain": "_explain",
    "sparse_hessian": "_sparse",
    "sparse_jacobian": "_sparse",
    "custom_vjp": "_custom",
    **{name: home for home, names in _NUMPY.items() for name in names.split()},
    **dict.fromkeys(_TRANSFORMS, "_transforms"),
    **dict.fromkeys(_habits.DTYPES.keys() - set(_core.__all__), "_dtype_names"),
}


# Type checkers do not see this function: for them a name that is not declared is an error.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Submodules load when they are asked for: `import tapegrad` itself takes a few milliseconds.
        from importlib import import_module

        if name in _LAZY_MODULES:
            return import_module(f"{__name__}.{name}")
        if name in _LAZY_NAMES:
            found = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
            return found
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        raise import_module(f"{__name__}._messages").missing(__name__, name)


_einops.install()


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *__all__, *_LAZY_MODULES})
