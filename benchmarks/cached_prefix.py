"""Time to the first token after a prefix of 1,000 tokens, where the cache holds the prefix and where it does not.

A system prompt, or a conversation so far, is read once: who asks about it again waits for the new tokens only.  Each
prefix is another one, so the first question about it finds nothing and the second finds it whole, and both are asked in
turn.  The model has random weights, the engine is asked directly, and one request runs at a time.
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
from lavra.engine import Engine

PREFIX, QUESTION = 1000, 16  # tokens
BAR = 1 / 8
Seconds = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small model, three prefixes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    size, prefixes = ((128, 2), 3) if args.smoke else ((384, 6), 15)
    with tempfile.TemporaryDirectory() as name:
        folder = make_model(Path(name), *size, max_positions=2048)
        seconds = measure(folder, prefixes)
    show(seconds)
    if args.json:
        print(as_result(seconds).line())
    return 0


def measure(folder: Path, prefixes: int) -> Seconds:
    """Seconds to the first token, of as many prefixes, after one that warms up."""
    rng = np.random.default_rng(0)
    seconds: Seconds = {"cold": [], "cached": []}
    with start_engine(load(folder), cache=ServingCacheConfig(cache_tokens=2 * prefixes * 1100)) as engine:
        for turn in range(prefixes + 1):
            prefix = rng.integers(300, VOCAB_SIZE, PREFIX).tolist()
            for name, taken in seconds.items():
                question = rng.integers(300, VOCAB_SIZE, QUESTION).tolist()
                found = first_token(engine, (*prefix, *question), cached=name == "cached")
                if turn:
                    taken.append(found)
    return seconds


def first_token(engine: Engine, prompt: tuple[int, ...], *, cached: bool) -> float:
    """Seconds from asking to the first token.

    Raises:
        RuntimeError: the cache held another part of the prompt than it should, so the figure would mean nothing.
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
    """Medians, and how far they spread."""
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
