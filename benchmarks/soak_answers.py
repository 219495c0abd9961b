"""Complete answers of every protocol: their end, and the form of their text.

`answer_of` reads an answer as its client does and raises where the answer is incomplete: a stream without its last
event (`[DONE]`, `response.completed` or `response.incomplete`, `message_stop`, `"done": true`), numbers that skip,
blocks that stay open.  This module imports nothing of lavra: the expected events are literals of each protocol.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PLACES = ("Rio", "Recife")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string", "enum": list(PLACES)}, "sure": {"type": "boolean"}},
    "required": ["place", "sure"],
    "additionalProperties": False,
}
"""The schema of JSON answers, and of a function's arguments."""

REGEXES = ("[a-z ]{3,20}", "(yes|no)", "[0-9]{1,6}")
LAST_OF_RESPONSES = ("response.completed", "response.incomplete")


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """A read answer.

    Attributes:
        text: text of the model; of several choices, the first.
        arguments: arguments of each call, as JSON.
        finished: whether the model ended by itself, so that `max_tokens` did not cut the answer.
        identity: id of a response.
        last_number: `sequence_number` of a response's last event; -1 where there is no event.
    """

    text: str
    arguments: tuple[str, ...] = ()
    finished: bool
    identity: str = ""
    last_number: int = -1


def answer_of(protocol: str, body: bytes, *, streamed: bool, after: int = -1) -> ReadAnswer:
    """Read a complete answer.

    Args:
        protocol: one of `READERS`.
        body: body of the HTTP answer.
        streamed: whether it is a stream of events or lines.
        after: number of the last event that was read of the response before.

    Raises:
        ValueError: it is incomplete.
    """
    try:
        if protocol == "responses" and streamed:
            return _response_stream(events_of(body), after)
        return READERS[protocol][streamed](body)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer of {protocol}: {error!r} in {body[-200:]!r}") from error


def check_form(form: str, pattern: str, answer: ReadAnswer) -> None:
    """Check the form of an answer; an answer that was cut has no form.

    Args:
        form: `plain`, `tools`, `schema` or `regex`.
        pattern: pattern of a `regex`.
        answer: the read answer.

    Raises:
        ValueError: the answer has another form.
    """
    if not answer.finished or form == "plain":
        return
    if form == "regex":
        if not re.fullmatch(pattern, answer.text):
            raise ValueError(f"{answer.text!r} is not {pattern}")
        return
    if form == "tools" and len(answer.arguments) != 1:
        raise ValueError(f"{len(answer.arguments)} calls where one was demanded")
    given = json.loads(answer.arguments[0] if form == "tools" else answer.text)
    if set(given) != {"place", "sure"} or given["place"] not in PLACES or not isinstance(given["sure"], bool):
        raise ValueError(f"{given} does not fit the schema")


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Data of server-sent events, each of them JSON.

    Raises:
        ValueError: the last event is cut, or an event has no data.
    """
    *events, nothing = body.decode().split("\n\n")
    if nothing or not events:
        raise ValueError(f"a stream is cut: {body[-100:]!r}")
    return [json.loads(_data(event)) for event in events]


def _data(event: str) -> str:
    *_, line = event.split("\n")
    if not line.startswith("data: "):
        raise ValueError(f"an event without data: {event[-100:]!r}")
    return line.removeprefix("data: ")


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """Lines of JSON.

    Raises:
        ValueError: the last line is cut.
    """
    *lines, nothing = body.decode().split("\n")
    if nothing or not lines:
        raise ValueError(f"a stream is cut: {body[-100:]!r}")
    return [json.loads(line) for line in lines]


def _without_done(body: bytes) -> list[dict[str, Any]]:
    end = b"data: [DONE]\n\n"
    if not body.endswith(end):
        raise ValueError(f"a stream without [DONE]: {body[-100:]!r}")
    return events_of(body.removesuffix(end))


def _demand(truth: object, what: str) -> None:
    if not truth:
        raise ValueError(what)


def _chat(body: bytes) -> ReadAnswer:
    choice = json.loads(body)["choices"][0]
    calls = choice["message"].get("tool_calls") or []
    return ReadAnswer(
        text=choice["message"]["content"] or "",
        arguments=tuple(call["function"]["arguments"] for call in calls),
        finished=choice["finish_reason"] != "length",
    )


def _chat_stream(body: bytes) -> ReadAnswer:
    choices = [choice for event in _without_done(body) for choice in event["choices"]]
    begun = {choice["index"] for choice in choices}
    reasons = {choice["index"]: choice["finish_reason"] for choice in choices if choice["finish_reason"]}
    _demand(begun and begun == set(reasons), f"choices {begun} began and {set(reasons)} ended")
    deltas = [choice["delta"] for choice in choices if choice["index"] == 0]
    arguments: dict[int, str] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls") or []):
        arguments[call["index"]] = arguments.get(call["index"], "") + call["function"].get("arguments", "")
    return ReadAnswer(
        text="".join(delta.get("content") or "" for delta in deltas),
        arguments=tuple(arguments.values()),
        finished=reasons[0] != "length",
    )


def _completion(body: bytes) -> ReadAnswer:
    choice = json.loads(body)["choices"][0]
    return ReadAnswer(text=choice["text"], finished=choice["finish_reason"] != "length")


def _completion_stream(body: bytes) -> ReadAnswer:
    choices = [choice for event in _without_done(body) for choice in event["choices"] if choice["index"] == 0]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    _demand(len(reasons) == 1, f"a completion ended {len(reasons)} times")
    return ReadAnswer(text="".join(choice["text"] for choice in choices), finished=reasons[0] != "length")


def _response(body: bytes) -> ReadAnswer:
    return _response_answer(json.loads(body))


def _response_answer(response: dict[str, Any], last_number: int = -1) -> ReadAnswer:
    _demand(response["status"] != "failed", f"a response failed: {response['error']}")
    items = response["output"]
    texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
    return ReadAnswer(
        text="".join(texts),
        arguments=tuple(item["arguments"] for item in items if item["type"] == "function_call"),
        finished=response["status"] == "completed",
        identity=response["id"],
        last_number=last_number,
    )


def _response_stream(events: Sequence[dict[str, Any]], after: int = -1) -> ReadAnswer:
    numbers = [event["sequence_number"] for event in events]
    _demand(numbers == list(range(after + 1, after + 1 + len(events))), f"events {numbers} behind {after}")
    last = events[-1]
    _demand(last["type"] in LAST_OF_RESPONSES, f"the last event is {last['type']}")
    answer = _response_answer(last["response"], numbers[-1])
    if after < 0:
        told = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        _demand(told == answer.text, f"the events told {told!r} and the response {answer.text!r}")
    return answer


def _message(body: bytes) -> ReadAnswer:
    return _message_answer(json.loads(body))


def _message_answer(message: dict[str, Any]) -> ReadAnswer:
    blocks = message["content"]
    return ReadAnswer(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        arguments=tuple(json.dumps(block["input"]) for block in blocks if block["type"] == "tool_use"),
        finished=message["stop_reason"] in ("end_turn", "stop_sequence", "tool_use"),
    )


def _message_stream(body: bytes) -> ReadAnswer:
    events = events_of(body)
    kinds = [event["type"] for event in events]
    _demand(kinds[0] == "message_start" and kinds[-1] == "message_stop", f"{kinds[0]} to {kinds[-1]}")
    began, ended = kinds.count("content_block_start"), kinds.count("content_block_stop")
    _demand(began == ended, f"{began} blocks began and {ended} ended")
    grown: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_delta":
            piece = event["delta"].get("text") or event["delta"].get("partial_json") or ""
            grown[event["index"]] = grown.get(event["index"], "") + piece
    reason = next(event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta")
    called = {event["index"] for event in events if event.get("content_block", {}).get("type") == "tool_use"}
    return ReadAnswer(
        text="".join(text for index, text in grown.items() if index not in called),
        arguments=tuple(grown.get(index, "") for index in sorted(called)),
        finished=reason not in ("max_tokens", "model_context_window_exceeded"),
    )


def _ollama(body: bytes) -> ReadAnswer:
    return _ollama_answer([json.loads(body)])


def _ollama_stream(body: bytes) -> ReadAnswer:
    return _ollama_answer(lines_of(body))


def _ollama_answer(lines: Sequence[dict[str, Any]]) -> ReadAnswer:
    done = [line["done"] for line in lines]
    _demand(done == [False] * (len(lines) - 1) + [True], f"lines are done {done}")
    texts = [line["message"]["content"] if "message" in line else line["response"] for line in lines]
    return ReadAnswer(text="".join(texts), finished=lines[-1]["done_reason"] != "length")


def _native(body: bytes) -> ReadAnswer:
    return _native_answer([json.loads(body)])


def _native_stream(body: bytes) -> ReadAnswer:
    return _native_answer(events_of(body))


def _native_answer(events: Sequence[dict[str, Any]]) -> ReadAnswer:
    stops = [event["stop"] for event in events]
    _demand(stops == [False] * (len(events) - 1) + [True], f"events stop {stops}")
    return ReadAnswer(text="".join(event["content"] for event in events), finished=events[-1]["stop_type"] != "limit")


def _deletion(body: bytes) -> ReadAnswer:
    _demand(json.loads(body)["deleted"] is True, f"not deleted: {body!r}")
    return ReadAnswer(text="", finished=True)


READERS: dict[str, tuple[Callable[[bytes], ReadAnswer], Callable[[bytes], ReadAnswer]]] = {
    "chat": (_chat, _chat_stream),
    "completions": (_completion, _completion_stream),
    "responses": (_response, lambda body: _response_stream(events_of(body))),
    "messages": (_message, _message_stream),
    "ollama chat": (_ollama, _ollama_stream),
    "ollama generate": (_ollama, _ollama_stream),
    "llama.cpp": (_native, _native_stream),
    "deletion": (_deletion, _deletion),
}
"""Of each protocol: reads a whole answer, and a streamed one."""
