"""Tokens a second of lavra's native runner beside llama.cpp, CTranslate2, ONNX Runtime GenAI and `generate`.

One model's weights in INT8 (llama.cpp: Q8_0), INT4 (Q4_0) and bfloat16; 1, 8 and 16 streams of 128 tokens, greedy and
at temperature 0.8 with top-p 0.95, and prompts of 512 tokens.  Every side is a separate process; the sides take turns,
and the median of three turns counts.  llama.cpp's threads, batch and flash attention are swept once.  The same run
measures the bandwidth of memory, a long context and lavra's memory.

    python benchmarks/native_speed.py --model FOLDER [--peers PEERS]

PEERS is a folder for the peers' wheels, created if absent; llama.cpp's wheel was compiled for AVX2.  A peer that cannot
open the model here is listed with the reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from native_models import PEERS_NEED, convert, lavra_model
from native_sides import Worker, prompts, worker
from result import Result, print_table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOT_MEASURED = 77
PRECISIONS = ("int8", "int4", "bf16")
CONTEXTS = (100, 2000)
# Least ratios to the best peer by setting: on processors with AVX-512, and on others.
BARS = {
    "1 stream int8": {"avx512": 2.0, "other": 1.2},
    "1 stream int4": {"avx512": 1.5, "other": 1.5},
    "8 streams": {"avx512": 2.0, "other": 1.4},
    "16 streams": {"avx512": 2.0, "other": 1.4},
    "prompts": {"avx512": 1.5, "other": 1.2},
}
BANDWIDTH_BAR = {"avx512": 0.65, "other": 0.75}
CONTEXT_BAR, SAMPLED_BAR = 1.5, 0.95


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of the measurement."""

    precisions: Sequence[str]
    streams: Sequence[int]
    tokens: int
    turns: int
    prompt: int
    sweep: bool
    peers: Sequence[str]


FULL = Plan(
    precisions=PRECISIONS,
    streams=(1, 8, 16),
    tokens=128,
    turns=3,
    prompt=512,
    sweep=True,
    peers=("llama.cpp", "ctranslate2", "ort-genai", "generate"),
)
SMALL = Plan(precisions=("int8",), streams=(1, 8), tokens=16, turns=1, prompt=64, sweep=False, peers=("llama.cpp",))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=os.environ.get("LAVRA_BENCHMARK_MODEL"), help="folder of a LLaMA")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="folder of the peers' wheels")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="only this precision; may be repeated")
    parser.add_argument("--smoke", action="store_true", help="INT8, few tokens, one turn, llama.cpp alone")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    if args.smoke and not args.peers.is_dir():
        print(f"{args.peers} is not there: the small run fetches nothing")
        return NOT_MEASURED
    if args.model is None:
        print("no model was named: --model, or LAVRA_BENCHMARK_MODEL, is the folder of a LLaMA")
        return NOT_MEASURED
    plan = SMALL if args.smoke else FULL
    install(args.peers)
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            precision: measure(precision, args.model, args.peers, Path(scratch), plan)
            for precision in args.precision or plan.precisions
        }
    bars = compare(found)
    show(found, bars)
    if args.json:
        print(as_result(found, bars).line())
    return 0


def install(peers: Path) -> None:
    """Install the peers' wheels into their own folder; other packages come from this environment."""
    if not peers.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(peers), *PEERS_NEED]
        subprocess.run(command, check=True)


def bandwidth_program(scratch: Path) -> Path | None:
    """A program that prints the bytes a second that all cores read together; none without a compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    program = scratch / "bandwidth"
    source = HERE / "native_bandwidth.cpp"
    subprocess.run([compiler, "-std=c++20", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    return program


def measure(precision: str, model: Path, peers: Path, scratch: Path, plan: Plan) -> dict[str, Any]:
    """Every figure of a precision by setting and side, and notes about the sides."""
    cores, most = len(os.sched_getaffinity(0)), max(plan.streams)
    found: dict[str, Any] = {"rates": {}, "left out": {}, "facts": {}}
    with ExitStack() as stack:
        folder, settings = lavra_model(model, precision, scratch)
        room = {"cache_tokens": 16 * (CONTEXTS[-1] + 200), **settings}
        sides = {"lavra": stack.enter_context(worker("lavra", folder, room, peers))}
        for name in plan.peers:
            try:
                where, chosen = convert(name, model, precision, scratch, peers)
                if name == "llama.cpp":
                    best, found["sweep"] = sweep(where, most, cores, peers) if plan.sweep else (usual(most, cores), [])
                    chosen = {**chosen, **best}
                side = stack.enter_context(worker(name, where, {"threads": cores, **chosen}, peers))
                side.rate(prompts(1, 16, 1), 2)
                sides[name] = side
            except (RuntimeError, OSError, ValueError, subprocess.CalledProcessError) as error:
                found["left out"][name] = str(error).splitlines()[-1][:200] if str(error) else type(error).__name__
        found["facts"] = {name: side.facts for name, side in sides.items()}
        found["rates"], found["bandwidth"] = in_turns(sides, plan, bandwidth_program(scratch))
        if plan.turns > 1:
            found["contexts"] = contexts(sides["lavra"], plan.turns)
        found["memory"] = sides["lavra"].ask({"memory": True})["bytes"] - sides["lavra"].facts["bare"]
    return found


def usual(streams: int, cores: int) -> dict[str, Any]:
    return {"streams": streams, "context": 768, "threads": cores, "batch": 512, "flash": True}


def sweep(model: Path, streams: int, cores: int, peers: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """llama.cpp's best settings by tokens a second over all streams, and all settings that were tried."""
    tried = []
    for threads in sorted({cores, max(1, cores // 2)}, reverse=True):
        for flash in (True, False):
            for batch in (512, 128):
                settings = {**usual(streams, cores), "threads": threads, "batch": batch, "flash": flash}
                with worker("llama.cpp", model, settings, peers) as side:
                    side.rate(prompts(1, 16, 1), 2)
                    rates = {count: side.rate(prompts(count, 64, count), 32) for count in (1, streams)}
                tried.append({**settings, "rates": rates})
    best = max(tried, key=lambda one: one["rates"][1] * one["rates"][streams])
    return {name: value for name, value in best.items() if name != "rates"}, tried


def in_turns(
    sides: Mapping[str, Worker], plan: Plan, bandwidth: Path | None
) -> tuple[dict[str, dict[str, float]], float]:
    """Medians by setting and side, after a turn that warms up; and of the memory's bytes a second, beside each turn."""
    seen: dict[str, dict[str, list[float]]] = {}
    read = []
    for turn in range(plan.turns + 1):
        if bandwidth and (turn or plan.turns == 1):
            done = subprocess.run([bandwidth, "512", "1"], capture_output=True, text=True, check=True)
            read.append(float(done.stdout.split()[0]))
        for name, side in sides.items():
            for setting, value in figures(side, plan, turn).items():
                if turn or plan.turns == 1:
                    seen.setdefault(setting, {}).setdefault(name, []).append(value)
    rates = {
        setting: {name: statistics.median(values) for name, values in by_side.items()}
        for setting, by_side in seen.items()
    }
    return rates, statistics.median(read) if read else 0.0


def figures(side: Worker, plan: Plan, turn: int) -> dict[str, float]:
    """A turn of a side."""
    made: dict[str, float] = {}
    for count in plan.streams:
        name = "1 stream" if count == 1 else f"{count} streams"
        for sampled in (False, True):
            given = prompts(count, 16, 1000 * turn + count + 500 * sampled)
            made[name + (" sampled" if sampled else "")] = side.rate(given, plan.tokens, sampled)
    long = prompts(1, plan.prompt, 9000 + turn)
    made["prompts"] = plan.prompt / side.seconds(long, 1)
    return made


def contexts(side: Worker, turns: int) -> dict[int, float]:
    """Seconds of a token after a context: the median of 1 and of 65 further tokens after the same text."""
    found = {}
    for length in CONTEXTS:
        times = []
        for turn in range(turns):
            given = prompts(1, length, 7000 + length + turn)
            first = side.seconds(given, 1)
            times.append((side.seconds(given, 65) - first) / 64)
        found[length] = statistics.median(times)
    return found


def compare(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every bar and its result."""
    kind = "avx512" if any("avx512" in one["facts"]["lavra"].get("isa", "") for one in found.values()) else "other"
    bars: list[dict[str, Any]] = []

    def bar(name: str, figure: float, least: float) -> None:
        bars.append({"what": name, "figure": figure, "bar": least, "holds": figure >= least})

    for precision, one in found.items():
        for setting, rates in one["rates"].items():
            plain = setting.removesuffix(" sampled")
            least = BARS.get(f"{plain} {precision}", BARS.get(plain))
            peers = {name: rate for name, rate in rates.items() if name != "lavra"}
            if plain == "1 stream" and "llama.cpp" in peers:
                peers = {"llama.cpp": peers["llama.cpp"]}
            if least and peers:
                bar(
                    f"{precision}, {setting}, over {max(peers, key=lambda name: peers[name])}",
                    rates["lavra"] / max(peers.values()),
                    least[kind],
                )
            if setting != plain:
                bar(f"{precision}, {setting}, over greedy", rates["lavra"] / one["rates"][plain]["lavra"], SAMPLED_BAR)
        if "contexts" in one:
            bar(
                f"{precision}, tokens/s at {CONTEXTS[1]} over {CONTEXTS[0]}",
                one["contexts"][CONTEXTS[0]] / one["contexts"][CONTEXTS[1]],
                1 / CONTEXT_BAR,
            )
    if "int8" in found and found["int8"]["bandwidth"]:
        read = found["int8"]["rates"]["1 stream"]["lavra"] * found["int8"]["facts"]["lavra"].get("weights", 0)
        bar("int8, bytes of weights read over the bandwidth", read / found["int8"]["bandwidth"], BANDWIDTH_BAR[kind])
    return bars


def show(found: Mapping[str, Any], bars: Sequence[Mapping[str, Any]]) -> None:
    """Print rates by side, then the bars."""
    for precision, one in found.items():
        names = list(one["facts"])
        rows = [(f"{precision}, tokens/s", *names)]
        rows += [(setting, *(f"{rates[name]:.1f}" for name in names)) for setting, rates in one["rates"].items()]
        print_table(rows)
        held = one["facts"]["lavra"].get("weights", 0)
        print(f"lavra takes {one['memory'] / 1e6:.0f} MB over a bare interpreter, {held / 1e6:.0f} MB of it weights")
        for name, reason in one["left out"].items():
            print(f"{name} is left out: {reason}")
    print_table(
        [("bar", "figure", "at least", "holds")]
        + [(one["what"], f"{one['figure']:.2f}", f"{one['bar']:.2f}", str(one["holds"])) for one in bars]
    )


def as_result(found: Mapping[str, Any], bars: Sequence[Mapping[str, Any]]) -> Result:
    """The first precision's single stream as the claim, and everything else as details."""
    first = next(iter(found.values()))
    rates = first["rates"]["1 stream"]
    peers = {name: rate for name, rate in rates.items() if name != "lavra"}
    peer = peers.get("llama.cpp", max(peers.values(), default=0.0))
    isa = first["facts"]["lavra"].get("isa", "")
    bar = BARS["1 stream int8"]["avx512" if isa == "avx512" else "other"]
    return Result(
        claim=f"native runner, one stream of {next(iter(found))}: tokens/s over llama.cpp's ({isa})",
        ours=rates["lavra"],
        peers=peers,
        ratio=rates["lavra"] / peer if peer else 0.0,
        bar=bar,
        holds=all(one["holds"] for one in bars),
        packages=("numpy",),
        details={"bars": list(bars), "found": dict(found)},
    )


if __name__ == "__main__":
    raise SystemExit(main())
