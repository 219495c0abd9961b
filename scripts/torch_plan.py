"""Choose the build of torch to install, and explain the choice before anything is downloaded.

Plain `pip install torch` on Linux brings gigabytes of CUDA, which a machine without an NVIDIA driver cannot use.
There we take PyTorch's own CPU index when it answers quickly, and otherwise print the size of the default download.
Standard library only: this runs before anything is installed.  The arguments for pip go to standard output, the
explanation to standard error.  `TORCH=cpu|cuda|default` in the environment overrides (`auto` is the rule above).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 3.0  # seconds an index may take to answer
UNPACKED = 3  # a wheel unpacks to about twice its size, and pip keeps a copy while it does
REMEDY = (
    "There are builds for Linux x86-64 and arm64 (glibc 2.28 or newer) and for macOS 14 or newer on arm64."
    " If this is one of them, look at the network and at: pip config list"
)
CHOICES = ("auto", "cpu", "cuda", "default")


class PlanError(Exception):
    """The requested build cannot be installed here; the message says what to type instead."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The source of torch.

    Attributes:
        index: an index to use instead of pip's own, or `None`.
        reason: reason in one sentence for the user.
    """

    index: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """The downloads of pip for one plan.

    Attributes:
        version: version of torch, with its local part (`2.13.0+cpu`).
        packages: every package that pip would install, by name.
        urls: URL of each package.
    """

    version: str
    packages: tuple[str, ...]
    urls: tuple[str, ...]

    @property
    def has_cuda(self) -> bool:
        """Whether CUDA libraries are among the packages."""
        return any(name.startswith(("nvidia-", "cuda-")) for name in self.packages)


def choose(wanted: str, system: str, has_driver: bool, cpu_index_answers: Callable[[], bool]) -> Plan:
    """Choose by the override, then by the machine, then by which index answers.

    Raises:
        PlanError: the override is unknown or cannot be met.
    """
    if wanted not in CHOICES:
        raise PlanError(f"TORCH={wanted} is not one of {', '.join(CHOICES)}")
    if system == "Darwin":
        if wanted == "cuda":
            raise PlanError("TORCH=cuda: there is no CUDA on macOS; leave TORCH unset")
        return Plan(index=None, reason="macOS has one build of torch")
    if wanted in ("default", "cuda"):
        return Plan(index=None, reason=f"TORCH={wanted}")
    if wanted == "auto" and has_driver:
        return Plan(index=None, reason="there is an NVIDIA driver")
    if cpu_index_answers():
        return Plan(index=CPU_INDEX, reason="TORCH=cpu" if wanted == "cpu" else "there is no NVIDIA driver")
    if wanted == "cpu":
        raise PlanError(f"TORCH=cpu: {CPU_INDEX} does not answer within {PATIENCE:.0f} s; try again, or TORCH=default")
    return Plan(
        index=None, reason=f"there is no NVIDIA driver, but {CPU_INDEX} does not answer within {PATIENCE:.0f} s"
    )


def has_nvidia_driver(
    proc: Path = Path("/proc/driver/nvidia/version"), wsl: Path = Path("/usr/lib/wsl/lib/nvidia-smi")
) -> bool:
    """Whether an NVIDIA driver is loaded, under WSL2 too."""
    return proc.exists() or wsl.exists() or shutil.which("nvidia-smi") is not None


def answers(url: str, patience: float = PATIENCE) -> bool:
    """Whether a URL answers successfully within some seconds, name look-up and connection included.

    The request runs in a separate thread, because a name server that does not answer ignores urllib's timeout.
    """
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(_head(url, patience) is not None), daemon=True)
    asking.start()
    asking.join(patience)
    return found == [True]


def _head(url: str, patience: float) -> Mapping[str, str] | None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=patience) as response:
            return dict(response.headers.items())
    except (urllib.error.URLError, OSError, ValueError):
        return None


def dry_run(arguments: Sequence[str], lock: Path, python: str = sys.executable) -> Fetch:
    """Ask pip for its downloads without downloading.

    Raises:
        PlanError: pip found no answer.
    """
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    command += ["--constraint", str(lock), *arguments, "torch"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PlanError(f"pip cannot find torch:\n{result.stderr.strip()}\n{REMEDY}")
    return read_report(json.loads(result.stdout))


def read_report(report: Mapping[str, Any]) -> Fetch:
    """The part of `pip install --report` that matters here (the format is pip's installation report, version 1)."""
    rows = [
        (row["metadata"]["name"].lower(), row["metadata"]["version"], row["download_info"]["url"])
        for row in report["install"]
    ]
    return Fetch(
        version=next(version for name, version, _ in rows if name == "torch"),
        packages=tuple(name for name, _, _ in rows),
        urls=tuple(url for _, _, url in rows),
    )


def size(url: str) -> int | None:
    """Bytes of the file at a URL, or `None` where the server does not report them."""
    parts = urlparse(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).stat().st_size
    headers = {name.lower(): value for name, value in (_head(url, PATIENCE) or {}).items()}
    return int(headers["content-length"]) if "content-length" in headers else None


def total_size(urls: Sequence[str]) -> tuple[int, int]:
    """Tuple of the known bytes in total and the number of files with unknown size."""
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(size, urls))
    return sum(s for s in sizes if s is not None), sum(s is None for s in sizes)


def check_disk(folder: Path, num_bytes: int) -> None:
    """Refuse a download whose packages would not fit on the disk.

    Raises:
        PlanError: the disk has less room than the unpacked packages need.
    """
    free = shutil.disk_usage(folder).free
    if free < UNPACKED * num_bytes:
        raise PlanError(
            f"{UNPACKED * num_bytes / 1e9:.1f} GB of free disk are needed below {folder}, {free / 1e9:.1f} GB are free;"
            " make room, or take the CPU build: TORCH=cpu"
        )


def explain(plan: Plan, fetch: Fetch, wanted: str, disk: Path) -> str:
    """Describe the download in one sentence, after checking that it is the requested build and fits on the disk.

    Raises:
        PlanError: CUDA was requested and is not among the packages, or the disk is too small.
    """
    if wanted == "cuda" and not fetch.has_cuda:
        raise PlanError(
            f"TORCH=cuda: pip's index offers torch {fetch.version}, a CPU build; leave TORCH unset to take it"
        )
    num_bytes, num_unknown = total_size(fetch.urls)
    check_disk(disk, num_bytes)
    build = "with CUDA" if fetch.has_cuda else "without CUDA"
    amount = f"{'at least' if num_unknown else 'about'} {num_bytes / 1e6:,.0f} MB in {len(fetch.urls)} packages"
    hint = "; TORCH=cpu tries the CPU index again" if fetch.has_cuda and wanted == "auto" else ""
    return f"torch {fetch.version} {build} ({plan.reason}): {amount}{hint}"


def main() -> int:
    """Print pip's arguments to standard output; reason and size to standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lock", type=Path, required=True, help="the lock file that pins torch")
    parser.add_argument("--disk", type=Path, default=Path(), help="a folder on the disk torch goes to")
    args = parser.parse_args()
    wanted = os.environ.get("TORCH") or "auto"
    try:
        plan = choose(wanted, platform.system(), has_nvidia_driver(), lambda: answers(CPU_INDEX + "/torch/"))
        arguments = [] if plan.index is None else ["--no-deps", "--index-url", plan.index]
        print("lavra:", explain(plan, dry_run(arguments, args.lock), wanted, args.disk), file=sys.stderr)
    except PlanError as error:
        print(f"lavra: {error}", file=sys.stderr)
        return 1
    print(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
