"""Time to the first token after a prefix of 1,000 tokens, where the cache holds the prefix and where it does not.

A system prompt, or a conversation so far, is read once: a later request with it waits for the new tokens only.  Every
prefix is new: its first question finds nothing in the cache, its second question finds the whole prefix, and the two
alternate.  The model has random weights, the engine is called directly, and one request runs at a time.

The cache holds two prefixes and has been filled before the first figure: memory that is written for the first time
takes milliseconds from the system, at any question.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from random_model import VOCAB_SIZE, make_model
from result import Result, print_table

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.load import load
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest
from lavra.engine.engine import Engine

PREFIX, QUESTION = 1000, 16  # tokens
CACHE = 2 * (PREFIX + 2 * QUESTION)  # tokens
WARM_UP = 4  # prefixes, which write every block of the cache
BAR = 1 / 8
Seconds = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small model, nine prefixes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    size, prefixes = ((128, 2), 9) if args.smoke else ((384, 6), 15)
    with tempfile.TemporaryDirectory() as name:
        folder = make_model(Path(name), *size, max_positions=2048)
        seconds = measure(folder, prefixes)
    show(seconds)
    if args.json:
        print(as_result(seconds).line())
    return 0


def measure(folder: Path, prefixes: int) -> Seconds:
    """Seconds to the first token for each prefix, once every block of the cache has been written."""
    rng = np.random.default_rng(0)
    seconds: Seconds = {"cold": [], "cached": []}
    with start_engine(load(folder), cache=ServingCacheConfig(cache_tokens=CACHE)) as engine:
        for turn in range(WARM_UP + prefixes):
            prefix = rng.integers(300, VOCAB_SIZE, PREFIX).tolist()
            for name, taken in seconds.items():
                question = rng.integers(300, VOCAB_SIZE, QUESTION).tolist()
                found = first_token(engine, (*prefix, *question), cached=name == "cached")
                if turn >= WARM_UP:
                    taken.append(found)
    return seconds


def first_token(engine: Engine, prompt: tuple[int, ...], *, cached: bool) -> float:
    """Seconds from the request to the first token.

    Raises:
        RuntimeError: the cache did not hold the expected part of the prompt, so the figure would mean nothing.
    """
    began = time.perf_counter()
    stream = engine.submit(GenerateRequest(prompt=prompt, max_tokens=1))
    delta = next(iter(stream))
    taken = time.perf_counter() - began
    assert delta.completion is not None
    held = delta.completion.usage.cached_tokens
    expected = PREFIX // 16 * 16 if cached else 0  # blocks of 16 tokens are shared whole
    if held != expected:
        raise RuntimeError(f"{held} tokens of the prompt were in the cache, not {expected}")
    return taken


def show(seconds: Seconds) -> None:
    """Print medians and spreads."""
    rows = [(f"first token after {PREFIX:,} + {QUESTION} tokens", "median", "least", "most")]
    for name, taken in seconds.items():
        figures = (statistics.median(taken), min(taken), max(taken))
        rows.append((name, *(f"{figure * 1000:.1f} ms" for figure in figures)))  # type: ignore[arg-type]
    print_table(rows)


def as_result(seconds: Seconds) -> Result:
    cold, cached = statistics.median(seconds["cold"]), statistics.median(seconds["cached"])
    return Result(
        claim=f"first token after a prefix of {PREFIX:,} tokens that the cache holds, seconds, beside reading it",
        ours=round(cached, 5),
        peers={"cold": round(cold, 5)},
        ratio=round(cached / cold, 4),
        bar=BAR,
        better="lower",
        packages=("torch",),
        holds=cached <= BAR * cold,
        details={"seconds": {name: [round(one, 5) for one in taken] for name, taken in seconds.items()}},
    )


if __name__ == "__main__":
    raise SystemExit(main())
