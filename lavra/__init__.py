"""lavra: language models of your own making.

The public API is small and loaded lazily (PEP 562), so that `import lavra` and `lavra --help` stay instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lavra.base.version import VERSION

__version__ = VERSION
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from lavra.api.load import load

_LAZY = {"load": "lavra.api.load"}


def __getattr__(name: str) -> Any:
    import importlib  # noqa: PLC0415 - `import lavra` alone must cost nothing

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lavra' has no attribute {name!r}")
