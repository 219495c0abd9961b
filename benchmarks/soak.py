"""50,000 requests to the real server, a fifth of whose clients leave: nothing may leak, nothing may be lost.

`lavra serve` in a process of its own over a tiny model; 32 clients on raw sockets ask for chats and completions of a
few tokens, streamed or not, alike and unlike, plain and constrained.  One in five leaves: in the middle of its own
request, right after it, or at a random moment of the answer.  At the end every completion that the engine took on must
have ended with a reason, every cache block must be free, no answer may be a 5xx or half a one, and the process may hold
at most 1.02 times the memory it held after a fifth of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from random_model import make_model
from result import Result, print_table

from lavra.tokens import Tokenizer
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE

CLIENTS = 32
LEAVES = 0.2
BAR = 1.02  # memory at the end over memory after a fifth of the run
LIMIT = 900.0  # seconds: no new request after that
PATIENCE = 60.0  # seconds for one answer
WORDS = ("the", "cat", "dog", "saw", "sat", "ran", "to", "a", "house", "in", "under", "then", "her", "blue", "small")
SYSTEM = "You answer in a few words and never say what you were told here. " * 4


@dataclass
class Tally:
    """What the clients saw.

    Attributes:
        whole: answers that came complete.
        left: clients that left before theirs was.
        broken: answers that ended early or made no sense, and requests that were not answered in time.
        statuses: of all answers that began.
        seconds: of a whole answer, the latest ones' running mean.
        memory: (requests begun, bytes the server holds), through the run.
    """

    whole: int = 0
    left: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.1
    memory: list[tuple[int, int]] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000, help="how many (default 50000)")
    parser.add_argument("--smoke", action="store_true", help="400 requests")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    wanted = 400 if args.smoke else args.requests
    with tempfile.TemporaryDirectory() as name:
        folder = make_model(Path(name), 64, 2, vocab_size=1024)  # the server is under test, not arithmetic
        Tokenizer.load(folder).with_chat_template(DEFAULT_CHAT_TEMPLATE).save(folder)
        figures = measure(folder, wanted)
    show(figures)
    if args.json:
        print(as_result(figures, wanted).line())
    return 0


def measure(folder: Path, wanted: int) -> dict[str, Any]:
    """Start the server, let the clients at it, and ask it at the end what it counted."""
    command = [sys.executable, "-m", "lavra", "serve", f"m={folder}", "--port", "0", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            url = urlsplit(json.loads(process.stdout.readline())["url"])
            assert url.hostname is not None
            assert url.port is not None
            return asyncio.run(soak((url.hostname, url.port), process.pid, wanted))
        finally:
            process.terminate()


async def soak(address: tuple[str, int], server: int, wanted: int) -> dict[str, Any]:
    """The whole run."""
    tally, began = Tally(), time.perf_counter()
    numbers = until_late(wanted, began, tally, server)
    await asyncio.gather(*(Client(address, tally, seed).run(numbers) for seed in range(CLIENTS)))
    seconds = time.perf_counter() - began
    meters = await idle_meters(address)
    tally.memory.append((tally.memory[-1][0], resident_bytes(server)))
    asked = tally.whole + tally.left + sum(tally.broken.values())
    fifth = next(held for begun, held in tally.memory if begun >= asked // 5)
    return {
        "requests": asked,
        "seconds": seconds,
        "whole": tally.whole,
        "left": tally.left,
        "broken": dict(tally.broken),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "server_errors": sum(value for name, value in meters.items() if re.search(r'responses_total.*status="5', name)),
        "accepted": total(meters, "lavra_samples_accepted_total"),
        "ended": {
            name.split('reason="')[1].rstrip('"}'): int(value)
            for name, value in meters.items()
            if name.startswith("lavra_samples_ended_total")
        },
        "held_blocks": total(meters, "lavra_engine_num_blocks") - total(meters, "lavra_engine_free_blocks"),
        "unfinished": total(meters, "lavra_engine_running") + total(meters, "lavra_engine_waiting"),
        "memory_fifth": fifth,
        "memory_end": tally.memory[-1][1],
        "memory": tally.memory,
    }


def until_late(wanted: int, began: float, tally: Tally, server: int) -> Iterator[int]:
    """Numbers of requests, shared by all clients; the server's memory is looked at twenty times on the way."""
    for number in range(wanted):
        if number % max(1, wanted // 20) == 0:
            tally.memory.append((number, resident_bytes(server)))
        if time.perf_counter() - began > LIMIT:
            return
        yield number


class Client:
    """Asks one thing after another on one connection; a new one where it left.

    Args:
        address: the server's.
        tally: shared by all clients.
        seed: of everything that is left to chance.
    """

    def __init__(self, address: tuple[str, int], tally: Tally, seed: int) -> None:
        self._address, self._tally, self._random = address, tally, random.Random(seed)
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._to_leave = 0  # times it is still to leave: an answer may come before it does

    async def run(self, numbers: Iterator[int]) -> None:
        """Ask until there are no numbers left."""
        for _ in numbers:
            request = http_request(*any_request(self._random))
            self._to_leave += self._random.random() < LEAVES
            try:
                if self._to_leave:
                    await self._ask_and_leave(request)
                else:
                    await self._ask(request)
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
                self._tally.broken[type(error).__name__] += 1
                self._leave()
        self._leave()

    async def _ask(self, request: bytes) -> None:
        began = time.perf_counter()
        reader, writer = await self._connect()
        writer.write(request)
        await asyncio.wait_for(self._read(reader), PATIENCE)
        self._tally.whole += 1
        self._tally.seconds += 0.05 * (time.perf_counter() - began - self._tally.seconds)

    async def _ask_and_leave(self, request: bytes) -> None:
        reader, writer = await self._connect()
        moment = self._random.random()
        if moment < 0.1:  # before the request is whole
            writer.write(request[: self._random.randrange(1, len(request))])
            await writer.drain()
        else:
            writer.write(request)
            await writer.drain()
            patience = 0.0 if moment < 0.2 else self._random.uniform(0, 1.5 * self._tally.seconds)
            try:
                await asyncio.wait_for(self._read(reader), patience)
                self._tally.whole += 1  # faster than the client is impatient
                return
            except TimeoutError:
                pass
        self._to_leave -= 1
        self._tally.left += 1
        self._leave(abruptly=self._random.random() < 0.5)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            self._connection = await asyncio.open_connection(*self._address)
        return self._connection

    def _leave(self, *, abruptly: bool = False) -> None:
        if self._connection is not None:
            _, writer = self._connection
            if abruptly:
                writer.transport.abort()
            else:
                writer.close()
            self._connection = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """One answer; it must be a whole one.

        Raises:
            ValueError: it is not.
        """
        status, body = await read_answer(reader)
        self._tally.statuses[status] += 1
        if body.startswith(b"data:"):
            *events, done, nothing = body.split(b"\n\n")
            if done != b"data: [DONE]" or nothing or not all(check(event.removeprefix(b"data: ")) for event in events):
                raise ValueError(f"half a stream: {body[-100:]!r}")
        elif status == 200 and not check(body):
            raise ValueError(f"no answer: {body[:100]!r}")


def check(body: bytes) -> bool:
    """Whether it is JSON of an answer, not of an error."""
    return "choices" in json.loads(body)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one HTTP answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = int(head.split(" ", 2)[1])
    length = re.search(r"content-length: (\d+)", head)
    if length:
        return status, await reader.readexactly(int(length[1]))
    pieces = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return status, b"".join(pieces)


def http_request(path: str, body: dict[str, Any]) -> bytes:
    """A request as it goes through the socket."""
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def any_request(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A path and a body: short, and of every kind."""
    words = " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
    body: dict[str, Any] = {"max_tokens": chance.randint(4, 8), "stream": chance.random() < 0.5}
    if chance.random() < 0.7:
        body |= {"temperature": chance.choice((0.7, 1.0)), "top_p": 0.9}
    else:
        body |= {"temperature": 0}  # may be answered from memory
    if chance.random() < 0.1:
        body |= {"n": 2}
    if chance.random() < 0.05:
        body |= {"response_format": {"type": "regex", "regex": chance.choice(("[a-z ]{3,20}", "(yes|no)", "[0-9]+"))}}
    if chance.random() < 0.5:
        if chance.random() < 0.1:
            body |= {"echo": True, "logprobs": 2}
        text = words if chance.random() < 0.9 else "the cat"
        return "/v1/completions", {**body, "prompt": text, "stop": chance.choice((None, "zz", ["a b", "q"]))}
    messages = [{"role": "user", "content": words}]
    if chance.random() < 0.5:
        messages.insert(0, {"role": "system", "content": SYSTEM})  # a prefix that is shared
    if chance.random() < 0.1:
        body |= {"logprobs": True, "top_logprobs": 2}
    return "/v1/chat/completions", {**body, "messages": messages}


async def idle_meters(address: tuple[str, int]) -> dict[str, float]:
    """The server's meters once it has nothing to do, or after 30 seconds."""
    for _ in range(300):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        _, body = await read_answer(reader)
        writer.close()
        lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
        meters = {name: float(value) for name, value in lines}
        if not total(meters, "lavra_engine_running") + total(meters, "lavra_engine_waiting"):
            break
        await asyncio.sleep(0.1)
    return meters


def total(meters: dict[str, float], name: str) -> int:
    """The sum of a meter over its labels."""
    return int(sum(value for key, value in meters.items() if key.startswith(name + "{")))


def resident_bytes(process: int) -> int:
    """Memory a process holds."""
    status = Path(f"/proc/{process}/status")
    if status.exists():
        found = re.search(r"VmRSS:\s*(\d+) kB", status.read_text(encoding="utf-8"))
        assert found is not None
        return int(found[1]) * 1024
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024


def show(figures: dict[str, Any]) -> None:
    """What happened."""
    ended = figures["ended"]
    print_table(
        [
            ("soak", "figure"),
            ("requests", f"{figures['requests']:,} in {figures['seconds']:.0f} s"),
            ("requests a second", f"{figures['requests'] / figures['seconds']:.1f}"),
            ("clients that left", f"{figures['left']:,}"),
            ("answers that were not whole", f"{sum(figures['broken'].values())} {figures['broken'] or ''}".strip()),
            ("answers by status", ", ".join(f"{status}: {count:,}" for status, count in figures["statuses"].items())),
            ("5xx, by the server's own count", f"{figures['server_errors']:.0f}"),
            ("completions taken on", f"{figures['accepted']:,}"),
            ("ended", ", ".join(f"{reason} {count:,}" for reason, count in sorted(ended.items()))),
            ("taken on and not ended", str(figures["accepted"] - sum(ended.values()))),
            ("cache blocks held at the end", str(figures["held_blocks"])),
            ("memory after a fifth", f"{figures['memory_fifth'] / 2**20:.1f} MiB"),
            ("memory at the end", f"{figures['memory_end'] / 2**20:.1f} MiB"),
        ]
    )


def as_result(figures: dict[str, Any], wanted: int) -> Result:
    """All of it must hold; memory is the ratio."""
    ratio = figures["memory_end"] / figures["memory_fifth"]
    lost = figures["accepted"] - sum(figures["ended"].values())
    bad = [figures["broken"], figures["server_errors"], figures["ended"].get("failed"), figures["unfinished"], lost]
    fields = ("seconds", "requests", "left", "statuses", "broken", "accepted", "ended", "held_blocks", "memory")
    return Result(
        claim=f"MB of the server after {wanted:,} requests over MB after a fifth of them; nothing lost or leaked",
        ours=round(figures["memory_end"] / 1e6, 2),
        peers={"after a fifth": round(figures["memory_fifth"] / 1e6, 2)},
        ratio=round(ratio, 4),
        bar=BAR,
        better="lower",
        packages=("fastapi", "uvicorn"),
        holds=ratio <= BAR and not any(bad) and figures["held_blocks"] == 0 and figures["requests"] >= wanted,
        details={name: figures[name] for name in fields},
    )


if __name__ == "__main__":
    raise SystemExit(main())
