"""The runner that a quality card is of: the one that will compute the folder."""

from __future__ import annotations

from pathlib import Path

from lavra.api.load import load
from lavra.api.native_port import NativePort
from lavra.base.ports import Runner
from lavra.engine.runners.native import NativeRunner


def open_card_runner(folder: Path, num_blocks: int) -> Runner | None:
    """The native runner over a folder, its floats computed in float32; `None` where torch computes it.

    Args:
        folder: a model's, packed or not.
        num_blocks: of its cache, which holds float32.
    """
    opened = load(folder, dtype="float32", device="cpu", expand=False)
    if not isinstance(opened.port, NativePort):
        return None
    return NativeRunner(opened.port.weights, num_blocks=num_blocks)
