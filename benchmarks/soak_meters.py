"""Resources that a server holds: its own meters, and the system's data about its process."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from soak_clients import read_head, read_pieces

IDLE_SECONDS = 30.0  # most seconds until a server is at rest


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """State of a server at one moment.

    Attributes:
        memory: resident bytes.
        held_blocks: blocks of the cache in use.
        unfinished: sequences that run or wait.
        requests: requests in progress, except the one that reads these meters.
        tasks: tasks of its event loop.
        open_files: open files, including sockets.
        threads: threads of its process; 0 where the system does not report them.
        stored: kept responses.
        stored_bytes: bytes of the kept responses.
    """

    memory: int
    held_blocks: int
    unfinished: int
    requests: int
    tasks: int
    open_files: int
    threads: int
    stored: int
    stored_bytes: int

    @property
    def rests(self) -> bool:
        """Whether the server is idle."""
        return not (self.held_blocks or self.unfinished or self.requests)


class ServerMeters:
    """Reads a server's meters.

    Args:
        address: address of the server.
        process: id of its process.
    """

    def __init__(self, address: tuple[str, int], process: int) -> None:
        self._address, self._process = address, process

    async def read(self) -> dict[str, float]:
        """Every meter by name and labels."""
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            _, length = await read_head(reader)
            body = b"".join([piece async for piece in read_pieces(reader, length)])
        finally:
            writer.close()
        lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    async def state(self) -> ServerState:
        """State of the server now."""
        meters = await self.read()
        return ServerState(
            memory=resident_bytes(self._process),
            held_blocks=total(meters, "lavra_engine_num_blocks") - total(meters, "lavra_engine_free_blocks"),
            unfinished=total(meters, "lavra_engine_running") + total(meters, "lavra_engine_waiting"),
            requests=total(meters, "http_server_active_requests") - 1,
            tasks=total(meters, "lavra_event_loop_tasks"),
            open_files=total(meters, "process_open_fds"),
            threads=threads(self._process),
            stored=total(meters, "lavra_stored_responses"),
            stored_bytes=total(meters, "lavra_stored_response_bytes"),
        )

    async def at_rest(self) -> ServerState:
        """State of the server once it is idle and has closed its clients' connections, or after a time limit."""
        before: ServerState | None = None
        for _ in range(int(IDLE_SECONDS / 0.2)):
            now = await self.state()
            still = before is not None and (now.tasks, now.open_files) == (before.tasks, before.open_files)
            if now.rests and still:
                break
            before = now
            await asyncio.sleep(0.2)
        return now


def responses_by_route(meters: dict[str, float]) -> Counter[tuple[str, int]]:
    """The server's own counts of answers, by (route, status), without the route of these meters."""
    found: Counter[tuple[str, int]] = Counter()
    for name, value in meters.items():
        labels = re.fullmatch(r'http_server_responses_total\{path="([^"]*)",status="(\d+)"\}', name)
        if labels and labels[1] != "/metrics":
            found[labels[1], int(labels[2])] += int(value)
    return found


def total(meters: dict[str, float], name: str) -> int:
    """Sum of a meter over its labels."""
    return int(sum(value for key, value in meters.items() if key.partition("{")[0] == name))


def resident_bytes(process: int) -> int:
    """Resident bytes of a process."""
    status = _status(process)
    if status:
        found = re.search(r"VmRSS:\s*(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024


def threads(process: int) -> int:
    """Threads of a process; 0 where the system does not report them."""
    found = re.search(r"Threads:\s*(\d+)", _status(process))
    return int(found[1]) if found else 0


def _status(process: int) -> str:
    path = Path(f"/proc/{process}/status")
    return path.read_text(encoding="utf-8") if path.exists() else ""
