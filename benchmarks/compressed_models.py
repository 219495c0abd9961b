"""A compressed model beside the same model in float32: tokens a second, memory of an open engine, seconds to make.

One model in float32, bf16, INT8 and INT4 is opened by `lavra.load`.  The four forms take turns: each writes one stream
and reads prompts, and the ratio of the medians counts.  Memory is measured in a separate process whose engine has
written a text; its limit is 1.6 times the stored weights, plus the blocks of the cache, plus 300 MB.  The code of
`lavra compress` makes the forms: seconds until the folder is written (rounding), then until the card is written (card).

`--model FOLDER` measures your own model.  Its card is measured on `--text FILE`; INT4 is calibrated on `--calibration
FILE`, which must be another text, or the card would be too good.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from engine_memory import CACHE_TOKENS
from engine_speed import in_turns, ours
from random_model import make_model
from result import Result, print_table

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.load import load
from lavra.api.serving import start_engine
from lavra.base.types import SamplingConfig
from lavra.compression.config import CompressConfig
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.texts import named_texts
from lavra.model.checkpoint import load_checkpoint
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.tokens.tokenizer import Tokenizer

BAR = 0.9  # times float32's tokens a second: both compute the same, so the missing tenth is noise
ROUNDING, CARD = 60.0, 120.0  # most seconds for a model of 135M parameters
FORMS = ("bf16", "int8", "int4")
RATES = ("written/s", "read/s")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small model, few tokens, one turn")
    parser.add_argument("--model", type=Path, help="folder of a decoder in floats; by default one of random weights")
    parser.add_argument("--text", type=Path, help="text for the card; by default a module of Python's library")
    parser.add_argument("--calibration", type=Path, help="text that calibrates INT4; by default another module")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        source = args.model or make_model(work, *((64, 2) if args.smoke else (384, 6)), max_positions=512)
        text = args.text or Path(json.__file__).parent / "decoder.py"
        looked_at = args.calibration or Path(argparse.__file__)
        made = {"int8": round_only(source, work / "int8")} if args.smoke else {
            form: make(source, work / form, form, text, looked_at) for form in FORMS
        }  # fmt: skip
        folders = {"float32": source, **{form: work / form for form in made}}
        memory = {form: memory_of(folder) for form, folder in folders.items() if form in made or not args.smoke}
        speeds = measure(folders, *((16, 64, 1) if args.smoke else (96, 512, 5)))
    figures = {form: {**speeds[form], **memory.get(form, {}), **made.get(form, {})} for form in folders}
    show(figures)
    if args.json:
        print(as_result(figures).line())
    return 0


def round_only(source: Path, out: Path) -> dict[str, float]:
    """Round to INT8 without a card: its processes take seconds each."""
    began = time.perf_counter()
    model, _ = load_checkpoint(source)
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, out)
    Tokenizer.load(source).save(out)
    return {"rounding s": time.perf_counter() - began}


def make(source: Path, out: Path, form: str, text: Path, looked_at: Path) -> dict[str, float]:
    """Seconds of rounding and of the card, and the distance of the result from the model."""
    compared: list[float] = []

    def progress(step: str, done: float, total: float | None = None, note: str = "") -> None:
        if step.startswith("compare"):
            compared.append(time.perf_counter())

    config = CompressConfig(to=form, allow_miss=True)  # type: ignore[arg-type]
    calibration = named_texts(looked_at) if form == "int4" else None
    began = time.perf_counter()
    card = compress_folder(source, out, config, Inputs(heldout=named_texts(text), calibration=calibration), progress)
    ended = time.perf_counter()
    return {"rounding s": compared[0] - began, "card s": ended - compared[0], "mean KL": card.comparison.mean_kl or 0.0}


def memory_of(folder: Path) -> dict[str, float]:
    """Megabytes of a separate process that opens an engine."""
    code = "import sys, engine_memory; engine_memory.print_memory(sys.argv[1])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(folders: Mapping[str, Path], tokens: int, length: int, turns: int) -> dict[str, dict[str, float]]:
    """Tokens a second of every form; the forms take turns."""
    cache = ServingCacheConfig(cache_tokens=CACHE_TOKENS)
    engines = {form: start_engine(load(folder, device="cpu"), cache=cache) for form, folder in folders.items()}
    rng = np.random.default_rng(0)

    def prompt(size: int) -> tuple[int, ...]:
        return tuple(rng.integers(300, 4000 if length > 64 else 400, size).tolist())

    greedy, start = SamplingConfig(), prompt(32)
    try:
        written = in_turns({form: partial(ours, one, [start], tokens, greedy) for form, one in engines.items()}, turns)
        read = in_turns(
            {form: lambda one=one: length * ours(one, [prompt(length)], 1, greedy) for form, one in engines.items()},  # type: ignore[misc]
            turns,
        )
    finally:
        for engine in engines.values():
            engine.close()
    return {form: {"written/s": written[form], "read/s": read[form]} for form in folders}


def show(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table with a row for each form of the model."""
    columns = ("written/s", "read/s", "MB", "MB at most", "rounding s", "card s", "mean KL")
    rows: list[tuple[str, ...]] = [("", *columns)]
    for form, one in figures.items():
        rows.append((form, *(_cell(name, one.get(name)) for name in columns)))
    print_table(rows)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.5f}" if name == "mean KL" else f"{value:,.1f}"


def as_result(figures: Mapping[str, Mapping[str, float]]) -> Result:
    """The result of the slowest form."""
    plain = figures["float32"]
    smaller = {form: one for form, one in figures.items() if form != "float32"}
    ratios = {f"{form} {name}": one[name] / plain[name] for form, one in smaller.items() for name in RATES}
    worst = min(ratios, key=ratios.__getitem__)
    form, name = worst.split(" ", 1)
    in_time = all(one["rounding s"] <= ROUNDING and one.get("card s", 0.0) <= CARD for one in smaller.values())
    small = all(one["MB"] <= one["MB at most"] for one in figures.values() if "MB" in one)
    return Result(
        claim=f"tokens/s of a compressed model over its float32 ({worst})",
        ours=figures[form][name],
        peers={"float32": plain[name]},
        ratio=ratios[worst],
        bar=BAR,
        better="higher",
        packages=("torch",),
        holds=ratios[worst] >= BAR and in_time and small,
        details={"ratios": ratios, "figures": {one: dict(values) for one, values in figures.items()}},
    )


if __name__ == "__main__":
    raise SystemExit(main())
