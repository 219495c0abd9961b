"""The soak test notices incomplete answers: each kind passes once as it should be, and fails without its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from benchmarks.soak_answers import ReadAnswer, answer_of, check_form


def sse(events: Sequence[Mapping[str, Any]], end: str = "") -> bytes:
    return ("".join(f"data: {json.dumps(event)}\n\n" for event in events) + end).encode()


def ndjson(lines: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def chunk(content: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]}


RESPONSE = {
    "id": "resp_1",
    "status": "completed",
    "error": None,
    "output": [{"type": "message", "content": [{"text": "ab"}]}],
}
MESSAGE = [
    {"type": "message_start"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
    {"type": "content_block_delta", "index": 0, "delta": {"text": "ab"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
EVENTS = [
    {"type": "response.created", "sequence_number": 0},
    {"type": "response.output_text.delta", "sequence_number": 1, "delta": "ab"},
    {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
]
STREAMS = {
    "chat": sse([chunk("a"), chunk("b"), chunk("", "stop")], "data: [DONE]\n\n"),
    "completions": sse([{"choices": [{"index": 0, "text": "ab", "finish_reason": "stop"}]}], "data: [DONE]\n\n"),
    "responses": sse(EVENTS),
    "messages": sse(MESSAGE),
    "ollama chat": ndjson(
        [
            {"message": {"content": "ab"}, "done": False},
            {"message": {"content": ""}, "done": True, "done_reason": "stop"},
        ]
    ),
    "ollama generate": ndjson([{"response": "ab", "done": True, "done_reason": "stop"}]),
    "llama.cpp": sse([{"content": "ab", "stop": False}, {"content": "", "stop": True, "stop_type": "eos"}]),
}


@pytest.mark.parametrize("protocol", STREAMS)
def test_a_stream_must_be_whole(protocol: str) -> None:
    whole = STREAMS[protocol]
    answer = answer_of(protocol, whole, streamed=True)
    assert (answer.text, answer.finished) == ("ab", True)
    ends = [place for place, byte in enumerate(whole[:-1], start=1) if byte == ord("\n")]
    for cut in {*ends, len(whole) - 3, 0}:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong, the soak counts it
            answer_of(protocol, whole[:cut], streamed=True)


def test_a_resumed_stream_begins_behind_the_last_event_that_was_read() -> None:
    assert answer_of("responses", sse(EVENTS[2:]), streamed=True, after=1).last_number == 2
    for events, after in ((EVENTS[1:], 1), (EVENTS[2:], 0), (EVENTS[:2], -1), ([EVENTS[0], EVENTS[2]], -1)):
        with pytest.raises(ValueError, match=r"events|last event"):
            answer_of("responses", sse(events), streamed=True, after=after)


def test_events_that_say_other_than_their_response() -> None:
    other = {**EVENTS[1], "delta": "x"}
    with pytest.raises(ValueError, match="the events told 'x'"):
        answer_of("responses", sse([EVENTS[0], other, EVENTS[2]]), streamed=True)


def test_blocks_that_stay_open() -> None:
    with pytest.raises(ValueError, match="1 blocks began and 0 ended"):
        answer_of("messages", sse([*MESSAGE[:3], *MESSAGE[4:]]), streamed=True)


def test_a_form_is_held_unless_the_answer_was_cut() -> None:
    fits = '{"place": "Rio", "sure": true}'
    check_form("schema", "", ReadAnswer(text=fits, finished=True))
    check_form("tools", "", ReadAnswer(text="", arguments=(fits,), finished=True))
    check_form("regex", "[0-9]+", ReadAnswer(text="12", finished=True))
    check_form("schema", "", ReadAnswer(text=fits[:9], finished=False))
    for form, answer in (
        ("schema", ReadAnswer(text=fits[:9], finished=True)),
        ("schema", ReadAnswer(text='{"place": "Oslo", "sure": true}', finished=True)),
        ("tools", ReadAnswer(text=fits, finished=True)),
        ("regex", ReadAnswer(text="a", finished=True)),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong, the soak counts it
            check_form(form, "[0-9]+", answer)
