"""The text of small runs: one package of the Python standard library's source, half a megabyte."""

from __future__ import annotations

import sysconfig
from pathlib import Path

SMALL_TEXT = Path(sysconfig.get_path("stdlib")) / "asyncio"
