"""Output that all benchmarks share: a table for people, and the JSON line that `run_all.py` reads.

This module imports neither torch nor lavra, so that a script that times an import can use it.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Result:
    """A claim and its measured figures.

    Attributes:
        claim: the claim, in a sentence.
        ours: our figure.
        peers: the peers' figures by name.
        ratio: the figure that the bar applies to.
        bar: the promised value.
        holds: whether the whole claim is true here.
        better: which ratios are good: `higher` or `lower`.
        steady: our figure divided by a peer's of the same run, where `ratio` divides by a fixed number of seconds and
            so depends on the machine; the small check compares it instead of `ratio`.
        packages: packages whose versions matter.
        details: further figures, kept in the record.
    """

    claim: str
    ours: float
    peers: Mapping[str, float]
    ratio: float
    bar: float
    holds: bool
    better: str = "higher"
    steady: float | None = None
    packages: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The JSON line at the end of a benchmark's output."""
        fields = asdict(self)
        packages, details = fields.pop("packages"), fields.pop("details")
        if self.steady is None:
            del fields["steady"]
        versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
        return json.dumps({**fields, "machine": machine(), "versions": versions, **details})


def machine() -> dict[str, Any]:
    """The machine, as far as a reader needs it to judge the figures."""
    return {"system": platform.system(), "cpu": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    """The model of the processor, and its widest vectors where Linux reports them."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    known = [
        feature for feature in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{feature}\b", text)
    ]
    return " ".join([name[1].strip() if name else platform.machine(), *known])


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length, the first a heading; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip(), flush=True)
