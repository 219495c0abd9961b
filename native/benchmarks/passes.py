"""Passes of the native runner alone, without the engine, on each instruction set of this processor.

    python native/benchmarks/passes.py FOLDER [--dtype bfloat16] [--isa avx2] [--turns 3]

FOLDER holds a decoder, packed or not.  Figures are tokens a second for a prompt of 512 tokens and for 1, 8 and 16
streams at 100 tokens of context, and how much longer a token takes at 2,000 tokens; medians of a turn's passes, then of
the turns. Each instruction set runs in a separate process, chosen by `LAVRA_ISA`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import lavra
from lavra.api.native_port import NativePort
from lavra.base.native_library import native_library
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.engine.runners.native import NativeRunner

STREAMS = (1, 8, 16)
CONTEXT, LONG_CONTEXT, PROMPT, PASSES = 100, 2000, 512, 40
BLOCKS = -(-(LONG_CONTEXT + PASSES) // NativeRunner.block_size)  # blocks of each stream


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="type in which floats are computed")
    parser.add_argument("--isa", help="only this instruction set")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a turn of an instruction set's process
    args = parser.parse_args()
    if args.one:
        print(json.dumps(Passes(args.folder, args.dtype).figures()))
        return 0
    library = native_library()
    if library is None:
        print("the native library is not built: python native/build.py")
        return 1
    turns: dict[str, list[dict[str, float]]] = {isa: [] for isa in ([args.isa] if args.isa else library.isas)}
    for _ in range(args.turns):
        for isa, found in turns.items():
            found.append(one_turn(args.folder, args.dtype, isa))
    names = list(next(iter(turns.values()))[0])
    print(f"{'':10}" + "".join(f"{name:>16}" for name in names))
    for isa, found in turns.items():
        print(f"{isa:10}" + "".join(f"{statistics.median(one[name] for one in found):16,.2f}" for name in names))
    return 0


def one_turn(folder: Path, dtype: str | None, isa: str) -> dict[str, float]:
    """Figures of one process with one instruction set."""
    command = [sys.executable, __file__, str(folder), "--one", *(["--dtype", dtype] if dtype else [])]
    done = subprocess.run(command, env={**os.environ, "LAVRA_ISA": isa}, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


class Passes:
    """A model's runner, and timed passes."""

    def __init__(self, folder: Path, dtype: str | None) -> None:
        port = lavra.load(folder, dtype=dtype, runner="native").port
        assert isinstance(port, NativePort)
        self._vocab_size = port.config.vocab_size
        self._runner = NativeRunner(port.weights, num_blocks=max(STREAMS) * BLOCKS, cache_type="bf16")
        self._draw = np.random.default_rng(0)

    def figures(self) -> dict[str, float]:
        """Figures by name: tokens a second, except the ratio."""
        for stream in range(max(STREAMS)):
            self._seconds([self._row(stream, 0, CONTEXT + PASSES)])
        prompt = statistics.median(self._seconds([self._row(0, 0, PROMPT)]) for _ in range(5))
        found = {f"prompt of {PROMPT}": PROMPT / prompt}
        for streams in STREAMS:
            found["1 stream" if streams == 1 else f"{streams} streams"] = streams / self._decoding(streams, CONTEXT)
        self._seconds([self._row(0, 0, LONG_CONTEXT)])
        found["2,000 over 100"] = self._decoding(1, LONG_CONTEXT) * found["1 stream"]
        return found

    def _decoding(self, streams: int, context: int) -> float:
        """Seconds of a pass that writes one token of each stream."""
        return statistics.median(
            self._seconds([self._row(stream, context + step, 1) for stream in range(streams)]) for step in range(PASSES)
        )

    def _row(self, stream: int, start: int, length: int) -> ForwardRow:
        tokens = self._draw.integers(0, self._vocab_size, length).tolist()
        blocks = tuple(range(stream * BLOCKS, (stream + 1) * BLOCKS))
        return ForwardRow(tokens=tuple(tokens), start=start, blocks=blocks, num_logits=1)

    def _seconds(self, rows: list[ForwardRow]) -> float:
        began = time.perf_counter()
        self._runner.forward(ForwardBatch(rows=tuple(rows)))
        return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
