"""Main memory: the free bytes, and returning unused memory to the kernel."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def free_memory() -> int:
    """Bytes of main memory that may be used: the kernel's estimate on Linux, all memory elsewhere."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def release_freed_memory() -> bool:
    """Ask glibc once to return free memory to the kernel: copied weights leave hundreds of megabytes.

    Returns:
        Whether the allocator can do that.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # musl
        return False
    trim(0)
    return True
