"""`lavra --help` answers in under 0.3 seconds.

The installed command runs as a user runs it.  Beside it run a Python that does nothing, the floor, and a Python that
imports torch, which the lazy package root avoids.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from result import Result, print_table

BAR = 0.3  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each command, alternating (default 20)")
    parser.add_argument("--smoke", action="store_true", help="2 runs")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    seconds = measure(2 if args.smoke else args.runs)
    print_table([["command", "median", "least"], *([name, *map(shown, figures)] for name, figures in seconds.items())])
    if args.json:
        print(as_result(seconds).line())
    return 0


def commands() -> dict[str, list[str]]:
    """The timed commands by the names in the table."""
    script = Path(sys.executable).with_name("lavra")
    lavra = [str(script)] if script.exists() else [sys.executable, "-m", "lavra.cli.main"]
    return {
        "lavra --help": [*lavra, "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }


def measure(runs: int) -> dict[str, tuple[float, float]]:
    """Median and least wall seconds of each command, after one run that fills the disk cache."""
    seconds: dict[str, list[float]] = {name: [] for name in commands()}
    for run in range(runs + 1):
        for name, command in commands().items():
            taken = clock(command)
            if run:
                seconds[name].append(taken)
    return {name: (statistics.median(taken), min(taken)) for name, taken in seconds.items()}


def clock(command: Sequence[str]) -> float:
    """Wall seconds of a command; it must succeed."""
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    taken = time.perf_counter() - began
    if command[-1] == "--help" and b"usage: lavra" not in done.stdout:
        raise RuntimeError(f"{' '.join(command)} printed no help")
    return taken


def shown(seconds: float) -> str:
    return f"{seconds:.3f} s"


def as_result(seconds: dict[str, tuple[float, float]]) -> Result:
    ours, _ = seconds.pop("lavra --help")
    return Result(
        claim=f"`lavra --help` answers in under {BAR} s (median wall seconds)",
        ours=round(ours, 4),
        peers={name: round(median, 4) for name, (median, _) in seconds.items()},
        ratio=round(ours / BAR, 4),
        bar=1.0,
        better="lower",
        steady=round(ours / seconds["python -c 'import torch'"][0], 4),
        holds=ours < BAR,
    )


if __name__ == "__main__":
    sys.exit(main())
