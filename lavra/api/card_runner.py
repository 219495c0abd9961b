"""The runner of a quality card: the same that will compute the folder later."""

from __future__ import annotations

from pathlib import Path

from lavra.api.load import load
from lavra.api.native_port import NativePort
from lavra.base.gguf_file import is_gguf
from lavra.base.ports import Runner
from lavra.engine.runners.native import NativeRunner


def open_card_runner(folder: Path, num_blocks: int) -> Runner | None:
    """The native runner of a folder, with floats computed in float32; `None` where torch computes the folder.

    Args:
        folder: folder of a model, packed or not.
        num_blocks: blocks of its cache, which holds float32.
    """
    # A GGUF file here is an original, whose weights are floats; packed folders stay packed.
    opened = load(folder, dtype="float32", device="cpu", expand=is_gguf(folder))
    if not isinstance(opened.port, NativePort):
        return None
    return NativeRunner(opened.port.weights, num_blocks=num_blocks)
