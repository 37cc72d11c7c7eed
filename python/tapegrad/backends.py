"""GPU settings and queries that scripts contain. There is one device, "cpu", and its results never vary."""

from __future__ import annotations

from types import SimpleNamespace


def _backend(**settings: object) -> SimpleNamespace:
    return SimpleNamespace(is_available=lambda: False, is_built=lambda: False, **settings)


#: ``tg.backends.cudnn.deterministic = True`` and the like are accepted, and change nothing.
cudnn = _backend(enabled=False, benchmark=False, deterministic=True, allow_tf32=False, version=lambda: None)
cuda = _backend(matmul=SimpleNamespace(allow_tf32=False))
mps = _backend(device_count=lambda: 0, manual_seed=lambda seed: None, empty_cache=lambda: None, synchronize=lambda: None)
xpu = _backend(device_count=lambda: 0)
mkl = _backend()
mkldnn = _backend(enabled=False)
openmp = _backend()
#: ``tg.version.cuda`` is None.
version = SimpleNamespace(cuda=None, hip=None)

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "version", "xpu"]
