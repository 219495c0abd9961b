"""Requests of the soak test: short, and of every kind in every protocol.

They are chats, completions, responses, Anthropic's messages, Ollama's chats and prompts, and llama.cpp's completions;
streamed or not; plain, constrained to a JSON schema or a regular expression, or with a required call; some are invalid.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from soak_answers import REGEXES, SCHEMA

WORDS = ("the", "cat", "dog", "saw", "sat", "ran", "to", "a", "house", "in", "under", "then", "her", "blue", "small")
SYSTEM = "You answer in a few words and never say what you were told here. " * 4
FORM_TOKENS = 64  # enough for nearly every text that a form allows
UNKNOWN = "resp_" + "0" * 32  # id of a response that does not exist
FULL = frozenset({429})  # no space for another response while others are written


@dataclass(frozen=True, kw_only=True)
class SoakRequest:
    """A request.

    Attributes:
        protocol: protocol of the answer.
        route: route by which the server counts it.
        path: path of the URL.
        method: HTTP method.
        body: body; empty without one.
        form: `plain`, `tools`, `schema`, `regex` or `wrong`.
        pattern: pattern of a `regex`.
        streamed: whether the answer is a stream.
        after: number of the last event that was read before, where a response is streamed again.
        refusals: right statuses besides 200.
    """

    protocol: str
    route: str
    path: str
    method: str = "POST"
    body: dict[str, Any] | None = None
    form: str = "plain"
    pattern: str = ""
    streamed: bool = False
    after: int = -1
    refusals: frozenset[int] = frozenset()

    @property
    def head(self) -> bytes:
        """The first line and the headers, as bytes for the socket."""
        fields = "" if self.body is None else f"Content-Type: application/json\r\nContent-Length: {len(self.text)}\r\n"
        return f"{self.method} {self.path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()

    @property
    def text(self) -> bytes:
        """The body as bytes for the socket."""
        return b"" if self.body is None else json.dumps(self.body).encode()


def any_request(chance: random.Random, continued: str | None) -> SoakRequest:
    """A request of any kind, except those about a kept response.

    Args:
        chance: random source.
        continued: a response that the next request may continue.
    """
    streamed = chance.random() < 0.5
    protocol = chance.choice(tuple(_MAKERS))
    kind = "plain" if chance.random() < 0.8 else chance.choice(_FORMS[protocol])
    pattern = chance.choice(REGEXES) if kind == "regex" else ""
    route, body = _MAKERS[protocol](chance, kind, pattern)
    refusals: frozenset[int] = frozenset()
    if protocol == "responses":
        refusals = FULL
        if continued is not None and kind == "plain" and chance.random() < 0.5:
            body |= {"previous_response_id": continued, "truncation": "auto"}
            refusals |= {400}  # it may already be dropped
    if chance.random() < 0.03:
        _spoil(protocol, body)
        kind, refusals = "wrong", frozenset({400})
    return SoakRequest(
        protocol=protocol,
        route=route,
        path=route,
        body={**body, "stream": streamed},
        form=kind,
        pattern=pattern,
        streamed=streamed,
        refusals=refusals,
    )


def background(chance: random.Random) -> SoakRequest:
    """Request a response in the background, streamed, so that its client can disconnect and resume."""
    _, body = _responses(chance, "plain", "")
    return SoakRequest(
        protocol="responses",
        route="/v1/responses",
        path="/v1/responses",
        body={**body, "max_output_tokens": chance.randint(8, 40), "stream": True, "background": True, "store": True},
        streamed=True,
        refusals=FULL,
    )


def resumed(identity: str, after: int) -> SoakRequest:
    """Request the events of a response after a number; the response may already be dropped."""
    path = f"/v1/responses/{identity}?stream=true" + (f"&starting_after={after}" if after >= 0 else "")
    return SoakRequest(
        protocol="responses",
        route="/v1/responses/{identity}",
        path=path,
        method="GET",
        streamed=True,
        after=after,
        refusals=frozenset({404}),
    )


def read_again(identity: str, *, gone: bool = False) -> SoakRequest:
    """Request a response in its present state; `gone`: it has been dropped."""
    return SoakRequest(
        protocol="responses",
        route="/v1/responses/{identity}",
        path=f"/v1/responses/{identity}",
        method="GET",
        form="wrong" if gone else "plain",
        refusals=frozenset({404}),
    )


def cancelled(identity: str) -> SoakRequest:
    """Cancel a response."""
    path = f"/v1/responses/{identity}/cancel"
    return SoakRequest(
        protocol="responses", route="/v1/responses/{identity}/cancel", path=path, refusals=frozenset({404})
    )


def deleted(identity: str) -> SoakRequest:
    """Delete a response."""
    return SoakRequest(
        protocol="deletion",
        route="/v1/responses/{identity}",
        path=f"/v1/responses/{identity}",
        method="DELETE",
        refusals=frozenset({404}),
    )


def _words(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))


def _messages_of(chance: random.Random) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": _words(chance)}]
    if chance.random() < 0.5:
        messages.insert(0, {"role": "system", "content": SYSTEM})  # a shared prefix
    return messages


def _sampling(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.7:
        return {"temperature": chance.choice((0.7, 1.0)), "top_p": 0.9}
    return {"temperature": 0}  # may be answered from the cache of answers


def _length(chance: random.Random, kind: str) -> int:
    return chance.randint(4, 8) if kind == "plain" else FORM_TOKENS


def _function(parameters: str) -> dict[str, Any]:
    return {"name": "weather", "description": "Weather of a place.", parameters: SCHEMA}


def _openai_form(kind: str, pattern: str) -> dict[str, Any]:
    """Fields of chats and completions that set the form of an answer."""
    if kind == "schema":
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}}
    if kind == "regex":
        return {"response_format": {"type": "regex", "regex": pattern}}
    if kind == "tools":
        tool = {"type": "function", "function": _function("parameters")}
        return {"tools": [tool], "tool_choice": "required"}
    return {}


def _chat(chance: random.Random, kind: str, pattern: str) -> tuple[str, dict[str, Any]]:
    body = {"messages": _messages_of(chance), "max_tokens": _length(chance, kind), **_sampling(chance)}
    if kind == "plain" and chance.random() < 0.1:
        body |= {"n": 2}
    if chance.random() < 0.1:
        body |= {"logprobs": True, "top_logprobs": 2}
    return "/v1/chat/completions", {**body, **_openai_form(kind, pattern)}


def _completion(chance: random.Random, kind: str, pattern: str) -> tuple[str, dict[str, Any]]:
    prompt = _words(chance) if chance.random() < 0.9 else "the cat"
    body = {"prompt": prompt, "max_tokens": _length(chance, kind), **_sampling(chance), **_openai_form(kind, pattern)}
    if kind == "plain":
        body |= {"stop": chance.choice((None, "zz", ["a b", "q"]))}
        if chance.random() < 0.1:
            body |= {"echo": True, "logprobs": 2}
    return "/v1/completions", body


def _responses(chance: random.Random, kind: str, pattern: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"input": _words(chance), "max_output_tokens": _length(chance, kind), **_sampling(chance)}
    if chance.random() < 0.3:
        body |= {"instructions": SYSTEM}
    if chance.random() < 0.2:
        body |= {"store": False}
    if kind == "schema":
        body |= {"text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA}}}
    if kind == "regex":
        body |= {"text": {"format": {"type": "regex", "regex": pattern}}}
    if kind == "tools":
        body |= {"tools": [{"type": "function", **_function("parameters")}], "tool_choice": "required"}
    return "/v1/responses", body


def _messages(chance: random.Random, kind: str, _: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": _words(chance)}],
        "max_tokens": _length(chance, kind),
        **_sampling(chance),
    }
    if chance.random() < 0.5:
        body |= {"system": SYSTEM}
    if kind == "schema":
        body |= {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    if kind == "tools":
        body |= {"tools": [_function("input_schema")], "tool_choice": {"type": "any"}}
    return "/v1/messages", body


def _ollama_options(chance: random.Random, kind: str) -> dict[str, Any]:
    form = {"format": SCHEMA} if kind == "schema" else {}
    return {"options": {"num_predict": _length(chance, kind), **_sampling(chance)}, **form}


def _ollama_chat(chance: random.Random, kind: str, _: str) -> tuple[str, dict[str, Any]]:
    return "/api/chat", {"messages": _messages_of(chance), **_ollama_options(chance, kind)}


def _ollama_generate(chance: random.Random, kind: str, _: str) -> tuple[str, dict[str, Any]]:
    raw = chance.random() < 0.5
    return "/api/generate", {"prompt": _words(chance), "raw": raw, **_ollama_options(chance, kind)}


def _native(chance: random.Random, kind: str, _: str) -> tuple[str, dict[str, Any]]:
    form = {"json_schema": SCHEMA} if kind == "schema" else {}
    return "/completion", {"prompt": _words(chance), "n_predict": _length(chance, kind), **_sampling(chance), **form}


def _spoil(protocol: str, body: dict[str, Any]) -> None:
    """Make a request invalid."""
    if protocol == "responses":
        body["previous_response_id"] = UNKNOWN
    elif protocol.startswith("ollama"):
        body["options"] = {**body["options"], "top_p": 2}
    else:
        body["top_p"] = 2


_MAKERS = {
    "chat": _chat,
    "completions": _completion,
    "responses": _responses,
    "messages": _messages,
    "ollama chat": _ollama_chat,
    "ollama generate": _ollama_generate,
    "llama.cpp": _native,
}
_FORMS = {
    "chat": ("tools", "schema", "regex"),
    "completions": ("schema", "regex"),
    "responses": ("tools", "schema", "regex"),
    "messages": ("tools", "schema"),
    "ollama chat": ("schema",),
    "ollama generate": ("schema",),
    "llama.cpp": ("schema",),
}
