"""Input of small runs: half a megabyte of the Python standard library's source, and a small model."""

from __future__ import annotations

import sysconfig
from pathlib import Path

SMALL_TEXT = Path(sysconfig.get_path("stdlib")) / "asyncio"
HIDDEN_SIZE, NUM_LAYERS = 64, 2
SMALL_FLAGS = (
    "--compile",
    "off",
    "--text",
    str(SMALL_TEXT),
    "--hidden-size",
    str(HIDDEN_SIZE),
    "--num-layers",
    str(NUM_LAYERS),
)
