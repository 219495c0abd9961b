"""A response that continues without its client, resumed at any event, cancelled, bounded."""

import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.server.responses.paced import client_of, paced_server

TEXT = "Era uma vez um gato que queria ver o mar, e foi andando até lá."


@pytest.fixture(scope="module")
def paced():
    with paced_server() as (url, runner), client_of(url) as client:
        yield client, runner, url


def ask(client, **more):
    return client.responses.create(
        model="paced", input="Conta.", **{"temperature": 0, "background": True, "stream": True, **more}
    )


def plain(events):
    return [event.to_dict() for event in events]


def test_events_missed_are_given_again(paced):
    client, runner, _ = paced
    runner.say(TEXT)
    runner.hold()
    stream = ask(client)
    seen = [next(stream), next(stream)]
    identity = seen[0].response.id
    runner.step(12)
    while not any(event.type == "response.output_text.delta" for event in seen):
        seen.append(next(stream))
    stream.close()
    early = client.responses.retrieve(identity)
    assert early.status == "in_progress"
    readers = [client.responses.retrieve(identity, stream=True, starting_after=after) for after in (0, len(seen) - 1)]
    runner.go()
    first, second = (list(reader) for reader in readers)
    whole = list(client.responses.retrieve(identity, stream=True))
    assert plain(seen[:1]) + plain(first) == plain(seen) + plain(second) == plain(whole)
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert "".join(event.delta for event in whole if event.type == "response.output_text.delta") == TEXT
    assert client.responses.retrieve(identity).output_text == TEXT
    assert sum(event.type == "response.output_text.delta" for event in whole) > 1


def test_foreground_stops_when_its_client_leaves(paced):
    client, runner, _ = paced
    runner.say(TEXT)
    runner.hold()
    stream = ask(client, background=False)
    identity = next(stream).response.id
    runner.step(3)
    stream.close()
    for _ in range(100):
        runner.step()
        if client.responses.retrieve(identity).status == "cancelled":
            break
        time.sleep(0.01)
    runner.go()
    assert client.responses.retrieve(identity).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="background: true") as refused:
        client.responses.retrieve(identity, stream=True)
    assert refused.value.param == "stream"


def test_cancelled(paced):
    client, runner, _ = paced
    runner.say(TEXT)
    runner.hold()
    stream = ask(client)
    identity = next(stream).response.id
    runner.step(12)
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    with ThreadPoolExecutor() as pool:
        cancelling = pool.submit(client.responses.cancel, identity)
        while not cancelling.done():
            runner.step()
            time.sleep(0.005)
    runner.go()
    cancelled, last = cancelling.result(), list(stream)[-1]
    assert cancelled.status == last.response.status == "cancelled"
    assert TEXT.startswith(cancelled.output_text)
    assert cancelled.output[0].status == "incomplete"
    assert client.responses.cancel(identity).to_dict() == cancelled.to_dict()


def test_without_a_stream(paced):
    client, runner, _ = paced
    runner.say(TEXT)
    runner.hold()
    begun = ask(client, stream=False)
    assert (begun.status, begun.output) == ("queued", [])
    runner.go()
    while (answer := client.responses.retrieve(begun.id)).status in ("queued", "in_progress"):
        time.sleep(0.01)
    assert answer.output_text == TEXT
    assert [event.type for event in client.responses.retrieve(begun.id, stream=True)][-1] == "response.completed"
