"""Turn the events of a conversation into the events and the object of a response.

One writer makes both: a response without streaming takes the same steps, and its last event holds the response.
Items are written in order: each new item ends the item before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lavra.base.types import Delta
from lavra.server.conversation.events import CallBegun, CallPiece, ChatChoice, ChatEvent, TextPiece
from lavra.server.openai.logprobs import chat_logprobs
from lavra.server.responses.asking import wants_logprobs
from lavra.server.responses.items import new_item_id
from lavra.server.responses.objects import ResponseHead, response_object, usage_of
from lavra.server.responses.schemas import Item
from lavra.tokens.tokenizer import Tokenizer

Event = dict[str, Any]

LAST_EVENTS: Final = ("response.completed", "response.incomplete", "response.failed")
# The status of a response, by the finish reason of its answer.
_STATUS: Final = {"stop": "completed", "tool_calls": "completed", "length": "incomplete", "cancelled": "cancelled"}


@dataclass(kw_only=True)
class _OpenItem:
    """The item that is being written."""

    kind: str
    id: str
    index: int
    call: Mapping[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)

    @property
    def place(self) -> dict[str, Any]:
        part = {"content_index": 0} if self.kind == "message" else {}
        return {"item_id": self.id, "output_index": self.index, **part}

    def whole(self, status: str) -> Item:
        text = "".join(self.texts)
        if self.kind == "function_call":
            return {"id": self.id, "type": self.kind, "status": status, **self.call, "arguments": text}
        return {"id": self.id, "type": self.kind, "status": status, "role": "assistant", "content": [self.part(text)]}

    def part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": self.annotations, "logprobs": self.logprobs}


class ResponseWriter:
    """The writer of a response.

    Args:
        head: fields known before the answer.
        tokenizer: tokenizer of the model, for the texts of tokens; `None` where no model writes.

    Attributes:
        output: complete items.
        ended: whether the last event was written.
    """

    def __init__(self, head: ResponseHead, tokenizer: Tokenizer | None = None) -> None:
        self._head, self._tokenizer = head, tokenizer
        self._logprobs = tokenizer is not None and wants_logprobs(head.body)
        self.output: list[Item] = []
        self._open: _OpenItem | None = None
        self._pending: list[Any] = []  # tokens since the last text
        self._number = 0
        self._begun = False
        self.ended = False

    def begin(self) -> Iterator[Event]:
        """The first events; a response in the background waits for its turn."""
        waits = bool(self._head.body.background)
        yield self._lifecycle("response.created", "queued" if waits else "in_progress")
        if waits:
            yield self._lifecycle("response.queued", "queued")
        else:
            yield from self._in_progress()

    def take(self, event: ChatEvent) -> Iterator[Event]:
        """The events of the response for an event of the conversation."""
        yield from self._in_progress()
        if isinstance(event, TextPiece):
            yield from self._text(event)
        elif isinstance(event, CallBegun):
            yield from self._call(event)
        elif isinstance(event, CallPiece):
            yield from self._arguments(event.text)
        else:
            yield from self.end(event.choice)

    def end(self, choice: ChatChoice, more: Mapping[str, Any] | None = None) -> Iterator[Event]:
        """The last events; `more` are fields of the response that stand beside OpenAI's."""
        if self._open is None and not self.output:
            yield from self._open_message()  # the model wrote no text: an empty message
        if self._pending and self._open is not None and self._open.kind == "message":
            yield from self._delta("")  # tokens without text, such as the end of the text
        status = _STATUS[choice.finish_reason]
        yield from self._close("completed" if status == "completed" else "incomplete")
        warnings = list(dict.fromkeys([*self._head.warnings, *choice.completion.warnings]))
        last = {
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "usage": usage_of(choice.completion),
            "warnings": warnings,
            **(more or {}),
        }
        kind = "response.completed" if status == "completed" else "response.incomplete"
        yield self._lifecycle(kind, status, last)

    def cancelled(self) -> Iterator[Event]:
        """The last events of a cancelled response."""
        yield from self._close("incomplete")
        yield self._lifecycle("response.incomplete", "cancelled")

    def failed(self, status: int, error: Mapping[str, Any]) -> Iterator[Event]:
        """The last events of a response that fails; the error is OpenAI's error object."""
        yield from self._close("incomplete")
        codes = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
        found = {"code": codes.get(status, "server_error"), "message": error["error"]["message"]}
        yield self._lifecycle("response.failed", "failed", {"error": found})

    def annotate(self, annotations: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        """Marks in the text that was written last."""
        if self._open is None:
            return
        for number, annotation in enumerate(annotations, start=len(self._open.annotations)):
            self._open.annotations.append(annotation)
            place = {**self._open.place, "annotation_index": number, "annotation": annotation}
            yield self._event("response.output_text.annotation.added", place)

    def _in_progress(self) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield self._lifecycle("response.in_progress", "in_progress")

    def _text(self, piece: TextPiece) -> Iterator[Event]:
        self._pending += self._token_logprobs(piece.text, piece.delta)
        if not piece.text:
            return
        if self._open is None or self._open.kind != "message":
            yield from self._open_message()
        yield from self._delta(piece.text)

    def _delta(self, text: str) -> Iterator[Event]:
        """Text with the tokens since the last one."""
        assert self._open is not None
        logprobs, self._pending = self._pending, []
        self._open.texts.append(text)
        self._open.logprobs += logprobs
        yield self._event("response.output_text.delta", {**self._open.place, "delta": text, "logprobs": logprobs})

    def _token_logprobs(self, text: str, delta: Delta) -> list[Any]:
        if not self._logprobs or not delta.tokens or self._tokenizer is None:
            return []
        found = chat_logprobs(self._tokenizer, delta.tokens, delta.logprobs, delta.top_logprobs, text)
        return list(found["content"])

    def _open_message(self) -> Iterator[Event]:
        yield from self._opened(_OpenItem(kind="message", id=new_item_id("msg"), index=self._next))
        assert self._open is not None
        yield self._event("response.content_part.added", {**self._open.place, "part": _empty_part()})

    def _call(self, call: CallBegun) -> Iterator[Event]:
        self._pending = []  # a call's log-probabilities have no place in its item
        named = {"call_id": call.id, "name": call.name}
        yield from self._opened(
            _OpenItem(kind="function_call", id=new_item_id("fc"), index=self._next, call=named), arguments=""
        )

    def _arguments(self, text: str) -> Iterator[Event]:
        assert self._open is not None
        self._open.texts.append(text)
        yield self._event("response.function_call_arguments.delta", {**self._open.place, "delta": text})

    @property
    def _next(self) -> int:
        """The index of the item that comes next."""
        return len(self.output) + (self._open is not None)

    def _opened(self, item: _OpenItem, **more: Any) -> Iterator[Event]:
        yield from self._close("completed")
        self._open = item
        begun = item.whole("in_progress")
        if item.kind == "message":
            begun["content"] = []
        yield self._event("response.output_item.added", {"output_index": item.index, "item": {**begun, **more}})

    def _close(self, status: str) -> Iterator[Event]:
        item, self._open = self._open, None
        if item is None:
            return
        text, whole = "".join(item.texts), item.whole(status)
        self.output.append(whole)
        if item.kind == "function_call":
            yield self._event(
                "response.function_call_arguments.done", {**item.place, "arguments": text, "name": item.call["name"]}
            )
        else:
            yield self._event("response.output_text.done", {**item.place, "text": text, "logprobs": item.logprobs})
            yield self._event("response.content_part.done", {**item.place, "part": item.part(text)})
        yield self._event("response.output_item.done", {"output_index": item.index, "item": whole})

    def _lifecycle(self, kind: str, status: str, more: Mapping[str, Any] | None = None) -> Event:
        self.ended = kind in LAST_EVENTS
        response = {**response_object(self._head, status, self.output), **(more or {})}
        return self._event(kind, {"response": response})

    def _event(self, kind: str, data: Mapping[str, Any]) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **data}


def _empty_part() -> dict[str, Any]:
    return {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
