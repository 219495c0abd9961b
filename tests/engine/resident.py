"""Memory of a process as the kernel counts it."""

import re
from pathlib import Path

import pytest

MEGABYTE = 2**20
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is counted by Linux's /proc")


def resident(process="self"):
    """Resident bytes of a process now."""
    return _kilobytes(f"/proc/{process}/smaps_rollup", "Rss")


def forget_peak():
    """Reset the peak (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak(process="self"):
    """Peak of resident bytes so far."""
    return _kilobytes(f"/proc/{process}/status", "VmHWM")


def _kilobytes(path, field):
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(path).read_text(encoding="ascii"), re.MULTILINE)
    return 1024 * int(found[1])
