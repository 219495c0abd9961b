"""Run every benchmark beside its peer and keep the table in `docs/benchmarks.md` true.

A benchmark is a script in this folder that can be run by itself: `--json` makes its last line of output one JSON
object (`claim ours peers ratio bar holds machine versions`, and `better: lower` where a small ratio is the good
one), `--smoke` makes it small.  `run_all` records both sizes in `recorded.json` and writes the table;
`--record-smoke` records the small ones alone, for when only they have changed.
`run_all --smoke` compares with what was recorded and fails only where a ratio is worse by more than a factor of
two, so that a busy machine does not.  Small runs whose ratio is no speed go last, one beside another on each core.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
RECORDED = FOLDER / "recorded.json"
PAGE = FOLDER.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
FIELDS = ("claim", "ours", "peers", "ratio", "bar", "holds", "machine", "versions")
NOT_MEASURED = 77  # exit status of a benchmark whose data is not on this machine
SIZES = ("full", "smoke")
SLACK = 2.0  # a smoke ratio may be this much worse than the recorded one
SMOKE_SECONDS = 240.0  # intended for all small runs together
UNTIMED = {  # their ratios compare quality or memory: the small runs may share the machine
    "adapters.py",
    "bits_per_byte.py",
    "corpus_memory.py",
    "distillation.py",
    "grounding.py",
    "hidden_tokens.py",
    "planted_leaks.py",
    "retrieval_answers.py",
    "retrieval_quality.py",
    "soak.py",
    "start_or_scratch.py",
}
HANGS_AFTER = 300.0  # most seconds of one small run: a busy machine does not fail it, an endless benchmark does

Result = Mapping[str, Any]


class BenchmarkError(Exception):
    """A benchmark did not print its result."""


class NotMeasuredError(BenchmarkError):
    """The data of a benchmark is not on this machine."""


def scripts(folder: Path = FOLDER) -> list[Path]:
    """Every benchmark script by name."""
    return [
        path
        for path in sorted(folder.glob("*.py"))
        if path.name != Path(__file__).name and 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]


def parse(output: str, name: str) -> Result:
    """The JSON object at the end of a benchmark's output.

    Raises:
        BenchmarkError: there is none, or fields are missing.
    """
    lines = output.strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise BenchmarkError(f"{name} --json did not end with one JSON line") from None
    missing = [field for field in FIELDS if field not in result]
    if missing:
        raise BenchmarkError(f"{name} --json lacks {', '.join(missing)}")
    return dict(result)


def run(script: Path, *, smoke: bool, timeout: float | None = None, threads: int | None = None) -> Result:
    """Run one benchmark and pass its output through; `threads` bounds its threads.

    Raises:
        BenchmarkError: it failed, took too long or did not end with its line.
        NotMeasuredError: its data is absent.
    """
    command = [sys.executable, str(script), "--json", *(["--smoke"] if smoke else [])]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=False,
            cwd=FOLDER.parent,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{script.name} took over {timeout:.0f} s") from None
    print(done.stdout, end="", flush=True)
    if done.returncode == NOT_MEASURED:
        raise NotMeasuredError(f"{script.name} was not measured: its data is not here")
    if done.returncode != 0:
        raise BenchmarkError(f"{script.name} ended with status {done.returncode}")
    return parse(done.stdout, script.name)


def is_much_worse(result: Result, recorded: Result) -> bool:
    """Whether a ratio is worse than the recorded one by more than `SLACK`."""
    now, then = compared(result), compared(recorded)
    return bool(now > SLACK * then if result.get("better") == "lower" else now < then / SLACK)


def compared(result: Result) -> float:
    """The ratio that does not depend on the machine's speed."""
    return float(result.get("steady", result["ratio"]))


def number(value: Any) -> str:
    """A number with four significant digits; anything else unchanged."""
    return f"{value:,.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def row(name: str, result: Result) -> str:
    """A line of the table."""
    peers = result["peers"]
    shown = (
        "; ".join(f"{peer} {number(value)}" for peer, value in peers.items())
        if isinstance(peers, Mapping)
        else number(peers)
    )
    cells = (result["claim"], number(result["ours"]), shown, number(result["ratio"]), number(result["bar"]))
    verdict = "yes" if result["holds"] else "**no**"
    return (
        "| "
        + " | ".join(str(cell).replace("|", "\\|") for cell in cells)
        + f" | {verdict} | `{name}` | {result['date']} |"
    )


def table(recorded: Mapping[str, Mapping[str, Result]]) -> str:
    """The table of full-size results, with the machines that measured them."""
    full = {name: sizes["full"] for name, sizes in sorted(recorded.items()) if "full" in sizes}
    if not full:
        return "Nothing is recorded yet: `make bench` does it."
    head = "| claim | ours | peers | ratio | bar | holds | script | measured |\n|---|---|---|---|---|---|---|---|"
    machines = sorted({f"{describe(result['machine'])}; {describe(result['versions'])}" for result in full.values()})
    where = "\n".join(f"Measured on: {machine}." for machine in machines)
    return "\n".join([head, *(row(name, result) for name, result in full.items())]) + "\n\n" + where


def describe(value: Any) -> str:
    """A mapping as `name value, name value`; anything else unchanged."""
    return (
        ", ".join(f"{name} {item}" for name, item in sorted(value.items()))
        if isinstance(value, Mapping)
        else str(value)
    )


def write_table(page: Path, recorded: Mapping[str, Mapping[str, Result]]) -> None:
    """Put the table between the markers of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise BenchmarkError(f"{page} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table(recorded)}\n{END}{after}", encoding="utf-8")


def load() -> dict[str, dict[str, Result]]:
    """The recorded results; empty before the first run."""
    return json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}


def measured(script: Path, smoke: bool, date: str) -> Result:
    """A result with the day of its measurement."""
    return {**run(script, smoke=smoke), "date": date}


def record(chosen: list[Path], sizes: Sequence[str] = SIZES) -> list[str]:
    """Measure each benchmark in the given sizes and record the results; returns the problems."""
    recorded, issues = load(), []
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for script in chosen:
        print(f"== {script.name}", flush=True)
        try:
            made = {size: measured(script, size == "smoke", today) for size in sizes}
        except BenchmarkError as error:
            issues.append(str(error))
            continue
        recorded[script.name] = {**recorded.get(script.name, {}), **made}
        RECORDED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_table(PAGE, recorded)
    return issues


def small_runs(chosen: list[Path]) -> Iterator[tuple[Path, Result | BenchmarkError, float]]:
    """Each benchmark with its small result, or the reason that there is none, and its seconds."""

    def small_run(script: Path, threads: int | None = None) -> tuple[Path, Result | BenchmarkError, float]:
        began = time.monotonic()
        try:
            result: Result | BenchmarkError = run(script, smoke=True, timeout=HANGS_AFTER, threads=threads)
        except BenchmarkError as error:
            result = error
        return script, result, time.monotonic() - began

    for script in chosen:
        if script.name not in UNTIMED:
            print(f"== {script.name} --smoke", flush=True)
            yield small_run(script)
    with ThreadPoolExecutor(os.cpu_count()) as beside:
        yield from beside.map(lambda script: small_run(script, threads=1), [s for s in chosen if s.name in UNTIMED])


def smoke(chosen: list[Path]) -> list[str]:
    """Run each benchmark small and compare with the recorded results; returns the problems."""
    recorded, issues, start = load(), [], time.monotonic()
    for script, result, seconds in small_runs(chosen):
        if isinstance(result, NotMeasuredError):
            print(f"benchmarks: {result}", flush=True)
            continue
        if isinstance(result, BenchmarkError):
            issues.append(str(result))
            continue
        known = recorded.get(script.name, {}).get("smoke")
        before = number(compared(known)) if known else "never"
        print(f"{script.name}: {seconds:.0f} s, ratio {number(compared(result))}, recorded {before}", flush=True)
        if known and is_much_worse(result, known):
            issues.append(
                f"{script.name}: ratio {number(compared(result))} is over {SLACK:g} times worse than the recorded "
                f"{number(compared(known))}"
            )
    print(f"benchmarks, small: {time.monotonic() - start:.0f} s (meant: at most {SMOKE_SECONDS:.0f} s)")
    return issues


def main() -> int:
    """Run the chosen benchmarks; exit status 1 where there is a problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="scripts to run (default: all)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="small sizes, compared with the record; records nothing")
    size.add_argument("--record-smoke", action="store_true", help="record small sizes only")
    args = parser.parse_args()
    known = {script.name: script for script in scripts()}
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    chosen = [script for name, script in known.items() if not args.names or name in args.names]
    issues = smoke(chosen) if args.smoke else record(chosen, ("smoke",) if args.record_smoke else SIZES)
    for issue in issues:
        print("benchmarks:", issue, file=sys.stderr)
    return 1 if issues else 0


if __name__ == "__main__":
    sys.exit(main())
