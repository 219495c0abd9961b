"""50,000 requests in every protocol to the real server; a fifth of the clients disconnect; no leak, no lost request.

`lavra serve` runs in a separate process over a tiny model, or over `--model`.  32 clients on raw sockets send short
chats, completions, responses, messages, and Ollama's and llama.cpp's requests (`soak_requests`): streamed or not,
plain, with a form, and invalid ones.  One in five disconnects: in the middle of its own request, right after it, after
a few pieces of the answer, or at a random moment.  Clients leave responses in the background, resume them after the
last event that they read, and delete them; the server keeps few of them.

Half-way and at the end the server comes to rest.  Then these conditions must hold: every answer was complete
(`soak_answers`); every request was answered, refused or left, and the server counts as many; every completion of the
engine has ended; the server holds no more cache blocks, requests, tasks or files than half-way; it keeps no more
responses than allowed; there was no 5xx status, and the log has no error.  The process may hold at most 1.02 times its
memory after a fifth of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from random_model import make_model
from result import Result, print_table
from soak_clients import SoakClient, SoakTally
from soak_meters import ServerMeters, ServerState, resident_bytes, responses_by_route, total

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.tokenizer import Tokenizer

CLIENTS = 32
STORED = 24  # most responses that the server keeps
CACHE = 4096  # tokens of keys and values: full soon, so its growth is not taken for a leak, and rows are preempted
BAR = 1.02  # memory at the end over memory after a fifth of the run
LIMIT = 900.0  # seconds: no new request after that
POOL = 40  # most threads of the server's pool, which grows by need (anyio's default)
LOOKS = 0.5  # seconds between two readings of the busy server's state
COMPLAINTS = ("Traceback", "never retrieved", "was destroyed", "never awaited", " failed")


@dataclass
class Findings:
    """Measurements of a run.

    Attributes:
        tally: counts of the clients.
        seconds: seconds of the run, including its rests.
        memory: tuples of seconds, ended requests and bytes of the server, through the run.
        most_stored: most responses that were kept at the same time.
        rests: states of the server at rest, half-way and at the end.
        meters: the server's meters at the end.
        complaints: lines of its log that report errors.
    """

    tally: SoakTally = field(default_factory=SoakTally)
    seconds: float = 0.0
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    most_stored: int = 0
    rests: list[ServerState] = field(default_factory=list)
    meters: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000, help="number of requests, about (default 50000)")
    parser.add_argument("--seconds", type=float, default=LIMIT, help=f"most seconds for them (default {LIMIT:.0f})")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"clients at the same time (default {CLIENTS})")
    parser.add_argument("--model", type=Path, help="folder of a model (default: a tiny one with random weights)")
    parser.add_argument("--smoke", action="store_true", help="400 requests")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    wanted = 400 if args.smoke else args.requests
    with tempfile.TemporaryDirectory() as name:
        findings = measure(args.model or tiny_model(Path(name)), wanted, args.seconds, args.clients)
    faults = faults_of(findings)
    show(findings, faults)
    if args.json:
        print(as_result(findings, faults, wanted).line())
    return 1 if faults else 0


def tiny_model(folder: Path) -> Path:
    """Folder of a tiny model, because the test is of the server and not of arithmetic."""
    make_model(folder, 64, 2, vocab_size=1024)
    Tokenizer.load(folder).with_chat_template(DEFAULT_CHAT_TEMPLATE).save(folder)
    return folder


def measure(folder: Path, wanted: int, seconds: float, clients: int) -> Findings:
    """Start the server, run the clients, and read the server's state half-way and at the end."""
    command = [sys.executable, "-m", "lavra", "serve", f"m={folder}", "--port", "0", "--json"]
    command += ["--stored-responses", str(STORED), "--cache-tokens", str(CACHE)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        try:
            url = urlsplit(json.loads(process.stdout.readline())["url"])
            assert url.hostname is not None
            assert url.port is not None
            findings = asyncio.run(soak((url.hostname, url.port), process.pid, wanted, seconds, clients))
        finally:
            process.terminate()
        process.wait(60)
        findings.complaints = complaints_of(log)
    return findings


def complaints_of(log: IO[str]) -> list[str]:
    """Lines of a server's log that report errors."""
    log.seek(0)
    return [line.rstrip()[:300] for line in log if any(word in line for word in COMPLAINTS)]


async def soak(address: tuple[str, int], process: int, wanted: int, seconds: float, clients: int) -> Findings:
    """Run both halves, each followed by a rest."""
    findings, began = Findings(), time.perf_counter()
    tally = findings.tally
    meters = ServerMeters(address, process)
    watching = asyncio.ensure_future(watch(findings, meters, process))
    try:
        for half in range(2):
            turns = until_late(tally, wanted * (half + 1) // 2, time.perf_counter() + seconds / 2)
            seeds = range(half * clients, (half + 1) * clients)
            await asyncio.gather(*(SoakClient(address, tally, seed).run(turns) for seed in seeds))
            findings.rests.append(await meters.at_rest())
    finally:
        watching.cancel()
    findings.seconds = time.perf_counter() - began
    findings.meters = await meters.read()
    findings.memory.append((findings.seconds, tally.ended, findings.rests[-1].memory))
    return findings


def until_late(tally: SoakTally, wanted: int, deadline: float) -> Iterator[int]:
    """Turns, shared by all clients, until this many requests have ended or the time is over."""
    number = 0
    while tally.ended < wanted and time.perf_counter() < deadline:
        yield number
        number += 1


async def watch(findings: Findings, meters: ServerMeters, process: int) -> None:
    """Read the busy server's state from time to time."""
    began = time.perf_counter()
    while True:
        passed = time.perf_counter() - began
        findings.memory.append((passed, findings.tally.ended, resident_bytes(process)))
        findings.most_stored = max(findings.most_stored, (await meters.state()).stored)
        await asyncio.sleep(LOOKS)


def faults_of(findings: Findings) -> list[str]:
    """Violated conditions, in words."""
    return [*_lost(findings), *_leaked(findings), *findings.complaints[:5]]


def _lost(findings: Findings) -> Iterator[str]:
    """Requests, answers and completions that do not add up."""
    tally, meters = findings.tally, findings.meters
    yield from (f"{count} times {what}" for what, count in tally.broken.items())
    counted = responses_by_route(meters)
    yield from (f"{route} was answered {status} {n} times" for (route, status), n in counted.items() if status >= 500)
    for (route, status), count in tally.statuses.items():
        if counted[route, status] < count:
            yield f"{route}: clients read {count} answers of {status}, and the server counts {counted[route, status]}"
    by_route: Counter[str] = Counter()
    for (route, _), count in counted.items():
        by_route[route] += count
    for route in by_route.keys() | tally.arrived.keys():
        if by_route[route] != tally.arrived[route]:
            yield f"{route}: {tally.arrived[route]} requests were sent, and the server counts {by_route[route]}"
    taken, ended = total(meters, "lavra_samples_accepted_total"), total(meters, "lavra_samples_ended_total")
    if taken != ended:
        yield f"{taken} completions were taken on and {ended} ended"
    reasons = ended_by_reason(meters)
    if "failed" in reasons:
        yield f"{reasons['failed']} completions failed"
    left = sum(tally.left.values())
    if left > CLIENTS and "cancelled" not in reasons:
        yield f"{left} clients left, and every completion was written to its end"


def _leaked(findings: Findings) -> Iterator[str]:
    """Resources that are held at rest, or that are more at the end than half-way."""
    half, end = findings.rests
    for when, state in (("half-way", half), ("at the end", end)):
        for name in ("held_blocks", "unfinished", "requests"):
            if getattr(state, name):
                yield f"{name} {when}: {getattr(state, name)}, and nothing runs"
    for name, more in (("tasks", 0), ("open_files", 0), ("threads", POOL)):
        if getattr(end, name) > getattr(half, name) + more:
            yield f"{name} at the end: {getattr(end, name)}, half-way {getattr(half, name)}"
    if findings.most_stored > STORED or end.stored > STORED:
        yield f"{max(findings.most_stored, end.stored)} responses were kept, and {STORED} may be"


def ended_by_reason(meters: dict[str, float]) -> dict[str, int]:
    """Number of completions by the reason of their end."""
    return {
        name.split('reason="')[1].rstrip('"}'): int(value)
        for name, value in sorted(meters.items())
        if name.startswith("lavra_samples_ended_total")
    }


def show(findings: Findings, faults: list[str]) -> None:
    """Print the results."""
    tally = findings.tally
    print_table([("protocol", "answered", "refused", "left"), *_by(tally, 0)])
    print_table([("form", "answered", "refused", "left"), *_by(tally, 2)])
    fifth = memory_after(findings, 0.2)
    minute = next((held for seconds, _, held in findings.memory if seconds >= 60), fifth)
    half, end = findings.rests
    print_table(
        [
            ("soak", "figure"),
            ("requests", f"{tally.ended:,} in {findings.seconds:.0f} s"),
            ("answers that were not whole", str(sum(tally.broken.values()))),
            ("answers cut before their form was whole", str(tally.cut)),
            ("completions ended", ", ".join(f"{why} {n:,}" for why, n in ended_by_reason(findings.meters).items())),
            ("sequences preempted", str(total(findings.meters, "lavra_engine_preempted"))),
            ("responses kept, at most", f"{findings.most_stored} of {STORED}"),
            ("files, tasks, threads half-way", _held(half)),
            ("files, tasks, threads at the end", _held(end)),
            ("memory after a fifth", f"{fifth / 2**20:.1f} MiB"),
            ("memory after a minute", f"{minute / 2**20:.1f} MiB"),
            ("memory at the end", f"{end.memory / 2**20:.1f} MiB"),
        ]
    )
    for fault in faults:
        print("fault:", fault, flush=True)


def _by(tally: SoakTally, place: int) -> Iterator[tuple[str, str, str, str]]:
    """Rows of requests by one part of their kind."""
    outcomes: list[Counter[str]] = []
    for kinds in (tally.answered, tally.refused, tally.left):
        counted: Counter[str] = Counter()
        for kind, count in kinds.items():
            counted[kind[place]] += count
        outcomes.append(counted)
    for name in sorted(set().union(*outcomes)):
        yield name, f"{outcomes[0][name]:,}", f"{outcomes[1][name]:,}", f"{outcomes[2][name]:,}"


def _held(state: ServerState) -> str:
    return f"{state.open_files}, {state.tasks}, {state.threads}"


def memory_after(findings: Findings, share: float) -> int:
    """Bytes of the server after a share of the requests."""
    wanted = share * findings.tally.ended
    return next(held for _, ended, held in findings.memory if ended >= wanted)


def as_result(findings: Findings, faults: list[str], wanted: int) -> Result:
    """The memory as the ratio; all conditions must hold."""
    tally, (half, end) = findings.tally, findings.rests
    fifth = memory_after(findings, 0.2)
    ratio = end.memory / fifth
    outcomes = {name: getattr(tally, name) for name in ("answered", "refused", "left")}
    details = {
        "requests": tally.ended,
        "seconds": findings.seconds,
        "faults": faults,
        **{name: {" ".join(kind): count for kind, count in sorted(one.items())} for name, one in outcomes.items()},
        "ended": ended_by_reason(findings.meters),
        "most_stored": findings.most_stored,
        "half": asdict(half),
        "end": asdict(end),
        "memory": findings.memory[:: max(1, len(findings.memory) // 40)],
    }
    return Result(
        claim=f"MB of the server after {wanted:,} requests over MB after a fifth of them; nothing lost or leaked",
        ours=round(end.memory / 1e6, 2),
        peers={"after a fifth": round(fifth / 1e6, 2)},
        ratio=round(ratio, 4),
        bar=BAR,
        better="lower",
        packages=("fastapi", "uvicorn"),
        holds=ratio <= BAR and not faults and tally.ended >= wanted,
        details=details,
    )


if __name__ == "__main__":
    raise SystemExit(main())
