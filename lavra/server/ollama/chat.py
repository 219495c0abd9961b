"""`POST /api/chat` and `POST /api/generate`: lines of JSON while the model writes, or one object at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.types import Completion, Delta
from lavra.server import streaming
from lavra.server.answers import LINES
from lavra.server.conversation.events import ChatChoice, ChoiceEnd, TextPiece, ToolCall
from lavra.server.conversation.plain_text import start_text
from lavra.server.conversation.run import ChatRun, chat_events, start_chat
from lavra.server.conversation.timing import Stopwatch
from lavra.server.ollama import objects
from lavra.server.ollama.answers import ChatEnded, TextEnded
from lavra.server.ollama.requests import chat_of, plain_name, prompt_of
from lavra.server.ollama.schemas import OllamaChatBody, OllamaGenerateBody, WritingBody
from lavra.server.openai.logprobs import chat_logprobs
from lavra.server.openai.objects import all_warnings
from lavra.server.reading import while_connected
from lavra.server.server_state import ServerState

# Puts text and calls in the fields that an endpoint's clients read.
AnswerShape = Callable[[str, Sequence[ToolCall]], dict[str, Any]]


@dataclass(kw_only=True)
class _Answering:
    """A request on its way.

    Attributes:
        run: run that the engine continues.
        name: name of the model, as the client wrote it.
        shape: shape of the endpoint's answers.
        watch: runs since the request came.
    """

    run: ChatRun
    name: str
    shape: AnswerShape
    watch: Stopwatch = field(default_factory=Stopwatch)


def ollama_chat_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["ollama"])

    @router.post("/api/chat", response_model=ChatEnded, responses=LINES)
    async def chat(body: OllamaChatBody, request: Request) -> Response:
        """Answer a conversation, as Ollama."""
        if not body.messages:
            return _loaded(state, body, _as_message)
        watch = Stopwatch()
        run = await run_in_threadpool(_start_chat, state, body, request.state.tenant)
        name = body.model or run.model.name
        return await _answer(state, _Answering(run=run, name=name, shape=_as_message, watch=watch), request)

    @router.post("/api/generate", response_model=TextEnded, responses=LINES)
    async def generate(body: OllamaGenerateBody, request: Request) -> Response:
        """Answer a prompt, or go on with a text, as Ollama."""
        if not body.prompt and body.suffix is None:
            return _loaded(state, body, _as_text)
        watch = Stopwatch()
        run = await run_in_threadpool(_start_prompt, state, body, request.state.tenant)
        name = body.model or run.model.name
        return await _answer(state, _Answering(run=run, name=name, shape=_as_text, watch=watch), request)

    return router


def _as_message(text: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
    called = {"tool_calls": objects.call_objects(calls)} if calls else {}
    return {"message": {"role": "assistant", "content": text, **called}}


def _as_text(text: str, _: Sequence[ToolCall]) -> dict[str, Any]:
    return {"response": text}


def _loaded(state: ServerState, body: WritingBody, shape: AnswerShape) -> Response:
    """The answer to a request without a prompt: the model exists, and stays loaded."""
    model = state.models.named(plain_name(state.models, body.model))
    idle = ["keep_alive has no effect here: models stay loaded"] if "keep_alive" in (body.model_extra or {}) else []
    answer = {"model": body.model or model.name, "created_at": objects.now(), **shape("", ())}
    return JSONResponse({**answer, "done": True, "done_reason": "load", "warnings": idle})


def _start_chat(state: ServerState, body: OllamaChatBody, tenant: str) -> ChatRun:
    chat, warnings = chat_of(state, body)
    run = start_chat(state, chat, tenant)
    run.warnings[:0] = warnings
    return run


def _start_prompt(state: ServerState, body: OllamaGenerateBody, tenant: str) -> ChatRun:
    """Start a prompt in the model's template; without the template where the request says so or the model has none."""
    chat, warnings = prompt_of(state, body)
    bare = state.model_of(chat).tokenizer.chat_template is None
    if not (body.raw or bare or body.suffix is not None):
        run = start_chat(state, chat, tenant)
    else:
        run = start_text(state, chat, body.prompt or "", tenant, suffix=body.suffix)
        if body.system:
            warnings.append("system has no effect: the prompt is continued as it stands")
        if bare and not body.raw and body.suffix is None:
            warnings.append(f"{run.model.name} has no chat template, so the prompt is continued as it stands")
    run.warnings[:0] = warnings
    return run


async def _answer(state: ServerState, answering: _Answering, request: Request) -> Response:
    run = answering.run
    if run.body.stream:
        lines = _lines(state, answering)
        return streaming.streamed(lines, run.streams, failed=objects.failed, media_type=streaming.NDJSON)
    choice = await while_connected(request, _choice(state, answering), run.streams)
    whole = _line(answering, choice.text, choice.calls, done=True, **_ending(answering, choice))
    if run.body.logprobs:
        done = choice.completion
        delta = Delta(text=done.text, tokens=done.tokens, logprobs=done.logprobs, top_logprobs=done.top_logprobs)
        whole |= _logprobs(run, delta)
    return JSONResponse(whole)


async def _choice(state: ServerState, answering: _Answering) -> ChatChoice:
    """The whole answer; the time of its first token is noted on the way."""
    choice: ChatChoice | None = None
    async for event in chat_events(state, answering.run):
        answering.watch.written()
        if isinstance(event, ChoiceEnd):
            choice = event.choice
    assert choice is not None, "an answer ended without its last event"
    return choice


async def _lines(state: ServerState, answering: _Answering) -> AsyncIterator[str]:
    """The stream: lines for new text, a line for the calls, and a last line with the end."""
    async for event in chat_events(state, answering.run):
        answering.watch.written()
        if isinstance(event, TextPiece):
            logprobs = (
                _logprobs(answering.run, event.delta) if answering.run.body.logprobs and event.delta.tokens else {}
            )
            if event.text or logprobs:
                yield streaming.line(_line(answering, event.text, (), done=False, **logprobs))
        elif isinstance(event, ChoiceEnd):
            if event.choice.calls:
                yield streaming.line(_line(answering, "", event.choice.calls, done=False))
            yield streaming.line(_line(answering, "", (), done=True, **_ending(answering, event.choice)))


def _line(answering: _Answering, text: str, calls: Sequence[ToolCall], **more: Any) -> dict[str, Any]:
    return {"model": answering.name, "created_at": objects.now(), **answering.shape(text, calls), **more}


def _ending(answering: _Answering, choice: ChatChoice) -> dict[str, Any]:
    done: Completion = choice.completion
    return {
        "done_reason": "length" if choice.finish_reason == "length" else "stop",
        **objects.account(answering.watch, done.usage),
        "warnings": all_warnings(answering.run.warnings, [done]),
    }


def _logprobs(run: ChatRun, piece: Delta) -> dict[str, Any]:
    logprobs = chat_logprobs(run.model.tokenizer, piece.tokens, piece.logprobs, piece.top_logprobs, piece.text)
    return {"logprobs": logprobs["content"]}
