"""The `gguf` package, imported when a GGUF file is opened or written and not before.

Importing it takes a tenth of a second and brings SentencePiece where that is installed; other models need neither.
"""

from __future__ import annotations

from types import ModuleType


def gguf_library() -> ModuleType:
    """The package."""
    import gguf  # noqa: PLC0415 - see above

    return gguf
