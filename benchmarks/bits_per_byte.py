"""Bits per byte of held-out text after `lavra up`, beside compressors and a 5-gram model on the same bytes.

Each split seed is a whole `lavra up` in a fresh workspace (the Python standard library's source): corpus, tokenizer,
plan, training, evaluation.  The goals are ratios on the same split: at 4m at most 0.98 of bz2, at 10m at most 0.95 of
cold xz, at 30m under primed xz.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from result import Result
from small_text import SMALL_FLAGS

from lavra.base.units import parse_duration

# The goal of each budget: (baseline, greatest ratio).
GOALS = {"4m": ("bz2 -9", 0.98), "10m": ("xz -9e", 0.95), "30m": ("xz -9e primed", 1.0)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", default="4m", help="time of each run; 4m, 10m and 30m have goals (default 4m)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="split seeds (default 0 1 2)")
    parser.add_argument(
        "--smoke", action="store_true", help="one seed, 10 seconds, uncompiled, a small model on a little text"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    budget, seeds = ("10s", [0]) if args.smoke else (args.budget, args.seeds)
    more = list(SMALL_FLAGS) if args.smoke else []
    runs = []
    for seed in seeds:
        runs.append(run_up(budget, seed, more))
        show(seed, runs[-1])
    if args.json:
        print(as_result(budget, seeds, runs).line())
    return 0


def run_up(budget: str, seed: int, more: list[str]) -> dict[str, Any]:
    """Run `lavra up --json` once, in its own workspace."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "lavra", "up", "--json", "--budget", budget, "--split-seed", str(seed)]
        done = subprocess.run(
            [*command, *more, "--workspace", str(Path(folder) / "w")], stdout=subprocess.PIPE, check=True
        )
        seconds = time.monotonic() - began
    result = json.loads(done.stdout)
    metrics = result["stages"]["evaluate"]["metrics"]
    return {**metrics, "seconds": seconds, "compile_seconds": result["compile_seconds"]}


def show(seed: int, run: dict[str, Any]) -> None:
    print(f"seed {seed}: {run['bits_per_byte']:.4f} bits per byte, {run['seconds']:.0f} s in all", flush=True)
    for name, value in run["baselines"].items():
        print(f"    {name:20} {value:.4f}   ratio {run['ratios'][name]:.3f}", flush=True)


def as_result(budget: str, seeds: list[int], runs: list[dict[str, Any]]) -> Result:
    """The mean over the splits; the ratio is the mean of each split's ratio."""
    baseline, bar = GOALS.get(budget, GOALS["4m"])
    ours = [run["bits_per_byte"] for run in runs]
    ratio = statistics.fmean(run["ratios"][baseline] for run in runs)
    within = all(run["seconds"] <= 2 * parse_duration(budget) + run["compile_seconds"] for run in runs)
    names = runs[0]["baselines"]
    return Result(
        claim=f"bits per byte of held-out text after `lavra up --budget {budget}`, over {baseline}",
        ours=round(statistics.fmean(ours), 4),
        peers={name: round(statistics.fmean(run["baselines"][name] for run in runs), 4) for name in names},
        ratio=round(ratio, 4),
        bar=bar,
        better="lower",
        holds=ratio <= bar,
        packages=("torch",),
        details={
            "seeds": seeds,
            "spread": [round(min(ours), 4), round(max(ours), 4)],
            "within_twice_the_budget": within,
            "seconds": [round(run["seconds"]) for run in runs],
        },
    )


if __name__ == "__main__":
    sys.exit(main())
