"""Clients of the soak test: raw sockets that send, read, disconnect at any moment, and resume their responses.

Every request ends in one of four ways, and the tally counts each: answered, rightly refused, left, or broken.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import soak_requests as requests
from soak_answers import LAST_OF_RESPONSES, ReadAnswer, answer_of, check_form
from soak_requests import SoakRequest

LEAVES = 0.2  # share of the requests whose client disconnects
IN_BACKGROUND = 0.04  # share of the turns in which a response is left, resumed and deleted, by five requests
PATIENCE = 180.0  # seconds for one answer: as long as a busy machine may take
FAULTS = (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError)


@dataclass
class SoakTally:
    """Counts of the clients; requests by (protocol, `streamed` or `whole`, form).

    Attributes:
        answered: requests with a right answer.
        refused: requests with a right error status.
        left: requests whose clients disconnected before the answer was complete.
        broken: requests with half an answer, a wrong answer, or no answer in time; by the fault.
        cut: answers with a form that `max_tokens` cut before the form was complete.
        statuses: statuses of all complete answers, by (route, status).
        arrived: requests by route whose headers were sent completely, so that the server counts them.
        seconds: running mean of the latest answers' seconds.
    """

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    left: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    arrived: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.1

    @property
    def ended(self) -> int:
        """Number of ended requests, of all four kinds."""
        return sum(sum(one.values()) for one in (self.answered, self.refused, self.left, self.broken))


class SoakClient:
    """Sends one request after another on one connection; opens a new connection after it disconnects.

    Args:
        address: address of the server.
        tally: the tally of all clients.
        seed: seed of all random choices.
    """

    def __init__(self, address: tuple[str, int], tally: SoakTally, seed: int) -> None:
        self._address, self._tally, self._random = address, tally, random.Random(seed)
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._to_leave = 0  # number of disconnections to come: an answer may end before one
        self._latest: str | None = None  # response that a next one may continue

    async def run(self, turns: Iterator[int]) -> None:
        """Send requests until no turns are left."""
        for _ in turns:
            if self._random.random() < IN_BACKGROUND:
                await self._come_back()
                continue
            request = requests.any_request(self._random, self._latest)
            self._to_leave += self._random.random() < LEAVES
            answer = await self._attempt(request)
            if answer is not None and answer.identity and request.body and request.body.get("store") is not False:
                self._latest = answer.identity
        self._leave()

    async def _come_back(self) -> None:
        """Leave a response between its events, read the rest, read it whole or cancel it, and delete it."""
        request = requests.background(self._random)
        try:
            found = await self._begin_in_background(request)
        except FAULTS as error:
            self._break(error, request)
            return
        if found is None:
            return
        identity, last = found
        await self._attempt(requests.resumed(identity, last))
        again = requests.read_again if self._random.random() < 0.5 else requests.cancelled
        await self._attempt(again(identity))
        if await self._attempt(requests.deleted(identity)) is not None:
            await self._attempt(requests.read_again(identity, gone=True))

    async def _begin_in_background(self, request: SoakRequest) -> tuple[str, int] | None:
        """Read a few events and disconnect; returns the response's id, and the number of the event to resume after."""
        reader, writer = await self._connect()
        writer.write(request.head + request.text)
        self._tally.arrived[request.route] += 1
        status, length = await asyncio.wait_for(read_head(reader), PATIENCE)
        pieces = [piece async for piece in _first(read_pieces(reader, length), self._random.randint(1, 4))]
        if status != 200:
            self._take(request, status, b"".join(pieces))
            return None
        events = b"".join(pieces).decode().split("\n\n")[:-1]
        read = [json.loads(event.rpartition("data: ")[2]) for event in events]
        self._tally.left[_kind(request)] += 1
        self._leave(abruptly=self._random.random() < 0.5)
        seen = read[-2] if read[-1]["type"] in LAST_OF_RESPONSES else read[-1]  # an event is left to resume
        return str(read[0]["response"]["id"]), int(seen["sequence_number"])

    async def _attempt(self, request: SoakRequest) -> ReadAnswer | None:
        """Send a request and read the answer, or disconnect; returns the answer where there is one."""
        try:
            if self._to_leave:
                return await self._ask_and_leave(request)
            began = time.perf_counter()
            await self._send(request)
            answer = await asyncio.wait_for(self._read(request), PATIENCE)
            self._tally.seconds += 0.05 * (time.perf_counter() - began - self._tally.seconds)
            return answer
        except FAULTS as error:
            self._break(error, request)
            return None

    async def _send(self, request: SoakRequest) -> None:
        _, writer = await self._connect()
        writer.write(request.head + request.text)
        self._tally.arrived[request.route] += 1
        await writer.drain()

    async def _ask_and_leave(self, request: SoakRequest) -> ReadAnswer | None:
        moment = self._random.random()
        if moment < 0.1:
            await self._send_part(request)
        else:
            await self._send(request)
            try:
                return await asyncio.wait_for(self._read(request, leaves=moment < 0.5), self._patience(moment))
            except (TimeoutError, _LeftError):
                pass
        self._to_leave -= 1
        self._tally.left[_kind(request)] += 1
        self._leave(abruptly=self._random.random() < 0.5)
        return None

    def _patience(self, moment: float) -> float:
        """Seconds until it disconnects: at once, after a few pieces of the answer, or at any moment."""
        if moment < 0.2:
            return 0.0
        return PATIENCE if moment < 0.5 else self._random.uniform(0, 1.5 * self._tally.seconds)

    async def _send_part(self, request: SoakRequest) -> None:
        """Send the beginning of a request, its headers complete or not."""
        _, writer = await self._connect()
        whole = request.head + request.text
        end = self._random.randrange(1, len(whole))
        self._tally.arrived[request.route] += end >= len(request.head)
        writer.write(whole[:end])
        await writer.drain()

    async def _read(self, request: SoakRequest, *, leaves: bool = False) -> ReadAnswer | None:
        """Read one answer; with `leaves`, only the beginning of a stream.

        Raises:
            ValueError: it is another answer than requested.
            _LeftError: the beginning of a stream was read.
        """
        reader, _ = await self._connect()
        status, length = await read_head(reader)
        most = self._random.randint(0, 4) if leaves and request.streamed and length is None else None
        if most is not None:
            async for _ in _first(read_pieces(reader, length), most):
                pass
            raise _LeftError
        return self._take(request, status, b"".join([piece async for piece in read_pieces(reader, length)]))

    def _take(self, request: SoakRequest, status: int, body: bytes) -> ReadAnswer | None:
        """Count a complete answer, and read it.

        Raises:
            ValueError: it is another answer than requested.
        """
        self._tally.statuses[request.route, status] += 1
        if status in request.refusals:
            self._tally.refused[_kind(request)] += 1
            return None
        if status != 200 or request.form == "wrong":
            raise ValueError(f"{request.method} {request.route} ({request.form}) was answered {status}: {body[:300]!r}")
        answer = answer_of(request.protocol, body, streamed=request.streamed, after=request.after)
        check_form(request.form, request.pattern, answer)
        self._tally.cut += request.form != "plain" and not answer.finished
        self._tally.answered[_kind(request)] += 1
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            self._connection = await asyncio.open_connection(*self._address)
        return self._connection

    def _break(self, error: Exception, request: SoakRequest) -> None:
        asked = f"{request.method} {request.route} ({', '.join(_kind(request)[1:])})"
        self._tally.broken[f"{asked}: {type(error).__name__} {error}"[:400]] += 1
        self._leave()

    def _leave(self, *, abruptly: bool = False) -> None:
        if self._connection is not None:
            _, writer = self._connection
            if abruptly:
                writer.transport.abort()
            else:
                writer.close()
            self._connection = None


class _LeftError(Exception):
    """The client has read as much as it wanted and disconnects."""


def _kind(request: SoakRequest) -> tuple[str, str, str]:
    return request.protocol, "streamed" if request.streamed else "whole", request.form


async def read_head(reader: asyncio.StreamReader) -> tuple[int, int | None]:
    """Status of an answer and the length of its body; `None` where the body comes in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = re.search(r"content-length: (\d+)", head)
    return int(head.split(" ", 2)[1]), None if length is None else int(length[1])


async def read_pieces(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """The body of an answer, in one piece or in chunks."""
    if length is not None:
        yield await reader.readexactly(length)
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


async def _first(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """At most this many pieces."""
    count = 0
    while count < most:
        count += 1
        try:
            yield await anext(pieces)
        except StopAsyncIteration:
            return
