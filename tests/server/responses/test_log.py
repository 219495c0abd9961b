"""Events read in parts, by several readers, cut anywhere: joined they equal the events of a single reader."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.server.responses.log import EventLog

# How many events are written, between which moments the readers run, and where each reader is cut.
PACES = st.lists(st.integers(0, 3), min_size=1, max_size=30)
READERS = st.lists(st.lists(st.integers(0, 4), max_size=8), min_size=1, max_size=4)


async def read_in_parts(log, cuts):
    """Read a number of texts, disconnect, and resume after the number of the last event; at last read to the end."""
    seen = []
    for cut in [*cuts, None]:
        texts = log.read(len(seen) - 1)
        left = cut
        while left is None or left > 0:
            try:
                text = await asyncio.wait_for(anext(texts), 5)
            except StopAsyncIteration:
                break
            seen += text.split()
            left = None if left is None else left - 1
        await texts.aclose()
    return seen


@given(paces=PACES, readers=READERS)
@settings(max_examples=40, deadline=None)
def test_a_reader_that_returns_misses_nothing(paces, readers):
    async def write(log):
        for number, pause in enumerate(paces):
            for _ in range(pause):
                await asyncio.sleep(0)
            log.append(f"{number}\n")
        log.end()

    async def run():
        log = EventLog()
        *parts, stayed, _ = await asyncio.gather(
            *(read_in_parts(log, cuts) for cuts in readers), read_in_parts(log, []), write(log)
        )
        late = await read_in_parts(log, [])
        return [*parts, stayed, late]

    for seen in asyncio.run(run()):
        assert seen == [str(number) for number in range(len(paces))]
