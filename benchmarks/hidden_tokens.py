"""Nats per hidden held-out token after `lavra pretrain --family bert|t5`, beside 5-gram models that read both sides.

A whole `lavra pretrain` runs for each family in a fresh workspace (on the Python standard library's source).  The goal
at 10m: at least 15 % fewer nats than a 5-gram model with both-side back-off on the same positions.  The table also has
a stronger baseline, the tuned combination of both sides' 5-grams.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from result import Result, print_table
from small_text import SMALL_TEXT

BAR = 0.85
FAMILIES = ("bert", "t5")
OURS, BACKOFF, COMBINED = "this model", "5-gram, both-side back-off", "5-grams combined, tuned"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", default="10m", help="time of each run (default 10m, to which the goal applies)")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), help="families (default bert t5)")
    parser.add_argument("--smoke", action="store_true", help="bert alone, 10 seconds, uncompiled, on a little text")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    budget, families = ("10s", ["bert"]) if args.smoke else (args.budget, args.families)
    more = ["--compile", "off", "--text", str(SMALL_TEXT)] if args.smoke else []
    figures = {family: pretrain(family, budget, more) for family in families}
    show(figures)
    if args.json:
        print(as_result(budget, figures).line())
    return 0


def pretrain(family: str, budget: str, more: list[str]) -> dict[str, Any]:
    """Run `lavra pretrain --json` once, in its own workspace."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "lavra", "pretrain", "--json", "--family", family, "--budget", budget, *more]
        done = subprocess.run([*command, "--workspace", str(Path(folder) / "w")], stdout=subprocess.PIPE, check=True)
    metrics = json.loads(done.stdout)["stages"]["evaluate"]["metrics"]
    return {**metrics["nats_per_hole"], "holes": metrics["num_holes"], "seconds": time.monotonic() - began}


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    heading = ["nats per hidden token", OURS, BACKOFF, COMBINED, "ratio to back-off", "seconds"]
    rows = [
        [
            family,
            *(f"{found[name]:.3f}" for name in (OURS, BACKOFF, COMBINED)),
            f"{found[OURS] / found[BACKOFF]:.3f}",
            f"{found['seconds']:.0f}",
        ]
        for family, found in figures.items()
    ]
    print_table([heading, *rows])


def as_result(budget: str, figures: Mapping[str, Mapping[str, Any]]) -> Result:
    """The ratio of the family that does worse."""
    worst = max(figures, key=lambda family: figures[family][OURS] / figures[family][BACKOFF])
    ratio = figures[worst][OURS] / figures[worst][BACKOFF]
    return Result(
        claim=f"nats per hidden token after `lavra pretrain --budget {budget}`, over back-off (worst: {worst})",
        ours=round(figures[worst][OURS], 4),
        peers={name: round(figures[worst][name], 4) for name in (BACKOFF, COMBINED)},
        ratio=round(ratio, 4),
        bar=BAR,
        better="lower",
        holds=ratio <= BAR,
        packages=("torch",),
        details={"families": {family: {k: round(v, 4) for k, v in found.items()} for family, found in figures.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())
