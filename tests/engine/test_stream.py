"""Pieces between a thread and an event loop: none is lost, fast ones are joined, none waits long."""

import asyncio
import itertools
import threading
import time

import pytest

from lavra.base.types import Completion, Delta, FinishReason, Usage
from lavra.engine.stream import EngineStream

END = Completion(
    text="",
    finish_reason=FinishReason.LENGTH,
    usage=Usage(prompt_tokens=1, completion_tokens=1),
    tokens=(),
    logprobs=(),
)


def piece(number: int, end: Completion | None = None) -> Delta:
    return Delta(text=f"{number} ", tokens=(number,), logprobs=(-float(number),), completion=end)


async def read(stream: EngineStream) -> list[Delta]:
    return [delta async for delta in stream]


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flush seems to take ten seconds of CPU time."""
    ticks = itertools.count(0, 10)
    monkeypatch.setattr(time, "thread_time", lambda: float(next(ticks)))


def test_pieces_of_a_fast_writer_come_together_and_none_is_lost() -> None:
    streams = [EngineStream(lambda: None) for _ in range(4)]

    def write() -> None:
        for number in range(200):
            for stream in streams:
                stream.deliver(piece(number, END if number == 199 else None))
            time.sleep(0.0002)

    async def run() -> list[list[Delta]]:
        writer = threading.Thread(target=write)
        writer.start()
        found = await asyncio.wait_for(asyncio.gather(*map(read, streams)), 30)
        writer.join()
        return found

    for deltas in asyncio.run(run()):
        assert [token for delta in deltas for token in delta.tokens] == list(range(200))
        assert "".join(delta.text for delta in deltas) == "".join(f"{number} " for number in range(200))
        assert [value for delta in deltas for value in delta.logprobs] == [-float(number) for number in range(200)]
        assert [delta.completion for delta in deltas] == [None] * (len(deltas) - 1) + [END]
        assert len(deltas) < 150


@pytest.mark.usefixtures("dear")
def test_no_piece_waits_longer_than_20_ms_for_others_however_dear_sending_is() -> None:
    stream = EngineStream(lambda: None)

    async def run() -> list[tuple[float, Delta]]:
        reader, found = aiter(stream), list[tuple[float, Delta]]()
        for number in range(4):
            waiting = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0)
            began = time.perf_counter()
            stream.deliver(piece(number))
            delta = await asyncio.wait_for(waiting, 5)
            found.append((time.perf_counter() - began, delta))
            await asyncio.sleep(0)
        return found

    found = asyncio.run(run())
    assert [delta.tokens for _, delta in found] == [(0,), (1,), (2,), (3,)]
    assert found[0][0] < 0.015 <= found[1][0]  # after a rest at once; then it waits, for nobody
    assert sorted(seconds for seconds, _ in found)[2] < 0.1


@pytest.mark.usefixtures("dear")
def test_pieces_that_come_while_one_waits_go_with_it() -> None:
    stream = EngineStream(lambda: None)

    async def run() -> list[tuple[int, ...]]:
        reader, found = aiter(stream), []
        for numbers in ([0], [1, 2, 3]):
            waiting = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0)
            for number in numbers:
                stream.deliver(piece(number))
                await asyncio.sleep(0)
            found.append((await asyncio.wait_for(waiting, 5)).tokens)
            await asyncio.sleep(0)
        return found

    assert asyncio.run(run()) == [(0,), (1, 2, 3)]


def test_pieces_before_a_failure_are_read_before_it() -> None:
    stream = EngineStream(lambda: None)
    for one in (piece(0), piece(1), RuntimeError("the pass failed")):
        stream.deliver(one)

    async def run() -> tuple[Delta, BaseException]:
        reader = aiter(stream)
        first = await anext(reader)
        with pytest.raises(RuntimeError) as caught:
            await anext(reader)
        return first, caught.value

    first, failure = asyncio.run(run())
    assert (first.tokens, str(failure)) == ((0, 1), "the pass failed")
