"""What every benchmark says in the same way: a table for people, and the JSON line `run_all.py` reads.

No torch and no lavra here, so that a script that times an import can use it.
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
    """One claim and how it fared.

    Attributes:
        claim: what is promised, in a sentence.
        ours: our figure.
        peers: the others', by name.
        ratio: what the bar is for.
        bar: what the claim promises.
        holds: whether everything the claim says is true here.
        better: `higher` or `lower`: which ratios are good.
        steady: where `ratio` is to a number of seconds, which another machine takes otherwise: the same figure to a
            peer's of this very run, for the small check to compare in its place.
        packages: whose versions matter.
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
        """The JSON line a benchmark ends with."""
        fields = asdict(self)
        packages, details = fields.pop("packages"), fields.pop("details")
        if self.steady is None:
            del fields["steady"]
        versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
        return json.dumps({**fields, "machine": machine(), "versions": versions, **details})


def machine() -> dict[str, Any]:
    """What ran it, as far as a reader needs to judge the figures."""
    return {"system": platform.system(), "cpu": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    """The model of the processor, and its widest vectors where Linux says."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    known = [
        feature for feature in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{feature}\b", text)
    ]
    return " ".join([name[1].strip() if name else platform.machine(), *known])


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Rows of equal length, the first one a heading; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip(), flush=True)
