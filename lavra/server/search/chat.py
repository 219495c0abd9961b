"""`POST /v1/chat/completions` where `model` names an index: the last message is the question, earlier ones its history.

The answer is OpenAI's object; a message also has `citations` and OpenAI's `annotations`, and beside the choices
stands `retrieval`: the mode of the answer, whether it abstained, its sentences, the passages and the omissions.
In a stream, a chunk with new marks has their citations, and the last chunk has the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from lavra.base.errors import InputError
from lavra.base.retrieval import Answer, AnswerDelta, AnswerMode, Question, Turn, Unsupported
from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import Completion, FinishReason, SamplingConfig, Usage
from lavra.server import streaming, traces
from lavra.server.conversation.requests import plain_messages
from lavra.server.conversation.structured import form_field
from lavra.server.fields import idle_fields
from lavra.server.openai import objects
from lavra.server.sampling_fields import given_sampling
from lavra.server.schemas import ChatBody, RetrievalOptions
from lavra.server.search.access import readable_groups
from lavra.server.search.objects import citation_object, retrieval_object, url_citations
from lavra.server.search.served_index import ServedIndex
from lavra.server.search.where import read_where
from lavra.server.search.writing import AnswerPlaces, AnswerWriting, read_whole
from lavra.server.server_state import ServerState

# Fields that act on a model's text, not on quotations.
_WRITING: Final = ("max_tokens", "max_completion_tokens", *SAMPLING_NAMES)
_IDLE: Final = (
    "stop", "logit_bias", "min_tokens", "truncate_prompt", "priority", "logprobs", "top_logprobs", "tools",
    "functions", "parallel_tool_calls", "chat_template_kwargs", "add_generation_prompt", "continue_final_message",
    "stop_token_ids", "ignore_eos", "include_stop_str_in_output", "skip_special_tokens",
)  # fmt: skip


@dataclass(kw_only=True)
class AskedIndex:
    """A question on its way.

    Attributes:
        index: index that answers.
        body: the request, whichever protocol it came in.
        warnings: about the request.
        base_url: base URL of this server, as the client wrote it.
        writing: the answer.
    """

    index: ServedIndex
    body: ChatBody
    warnings: list[str]
    base_url: str
    writing: AnswerWriting


async def ask_index(
    state: ServerState, places: AnswerPlaces, index: ServedIndex, body: ChatBody, request: Request
) -> AskedIndex:
    """Ask an index the last message of a chat request, and wait for the first piece of its answer.

    Raises:
        InputError: the question cannot be answered, or the request asks for a feature that an index lacks.
        OverloadedError: the server is stopping, or no place became free in time.
    """
    warnings = _warnings(state, index, body)
    options = body.retrieval or RetrievalOptions()
    question = _question(body, options, readable_groups(state.config, request, options.groups))
    trace = traces.current()
    if trace is not None:
        trace.asked(index.name, body)
    writing = await places.start(index, question)
    return AskedIndex(index=index, body=body, warnings=warnings, base_url=str(request.base_url), writing=writing)


async def answer_chat(
    state: ServerState, places: AnswerPlaces, index: ServedIndex, body: ChatBody, request: Request
) -> Response:
    """Answer a chat request from an index."""
    asked = await ask_index(state, places, index, body, request)
    identity = objects.new_id("chatcmpl")
    if body.stream:
        return streaming.streamed(_events(state, asked, identity), [asked.writing], failed=objects.failed)
    answer = await read_whole(request, asked.writing)
    state.metrics.finished(index.name, [completion_of(answer)])
    return JSONResponse(_whole(asked, identity, answer))


def _warnings(state: ServerState, index: ServedIndex, body: ChatBody) -> list[str]:
    """A warning for each field without effect on an answer from an index.

    Raises:
        InputError: a field changes the answer and is not supported.
    """
    warnings = idle_fields(body, strict=state.config.strict)
    form = form_field(body)
    if form is not None:
        raise InputError(f"{form}: {index.name} is an index, whose answers are text; leave it out")
    for name in ("tool_choice", "function_call"):
        if getattr(body, name) not in (None, "none", "auto"):
            raise InputError(f"{name}: {index.name} is an index and calls no functions; leave it out")
    if body.n is not None and body.n > 1:
        raise InputError(
            f"n is {body.n}, and {index.name} is an index, which has one answer to a question; leave n out"
        )
    idle = [name for name in _IDLE if getattr(body, name) not in (None, False, [], {})]
    warnings += [f"{name} has no effect: {index.name} is an index" for name in idle]
    if any(message.role in ("system", "developer") for message in body.messages):
        warnings.append(f"system messages have no effect: {index.name} is an index, which answers from its documents")
    return warnings


def _question(body: ChatBody, options: RetrievalOptions, groups: frozenset[str] | None) -> Question:
    """The question: the last message, with the turns before it."""
    spoken = [message for message in plain_messages(body.messages) if message["role"] in ("user", "assistant")]
    if not spoken or spoken[-1]["role"] != "user":
        raise InputError("the last message is not a question; end messages with one of role user")
    most = body.max_completion_tokens or body.max_tokens
    return Question(
        text=spoken[-1]["content"],
        history=_turns(spoken[:-1]),
        k=options.k,
        where=read_where(options.where),
        groups=groups,
        mode=None if options.mode is None else AnswerMode(options.mode),
        unsupported=Unsupported(options.unsupported),
        sampling=SamplingConfig(**given_sampling(body)),
        **({} if most is None else {"max_tokens": most}),
    )


def _turns(spoken: Sequence[dict[str, Any]]) -> tuple[Turn, ...]:
    """The questions with their answers; consecutive questions without an answer become one question."""
    turns: list[Turn] = []
    for message in spoken:
        if message["role"] == "user":
            before = turns.pop().question + "\n" if turns and not turns[-1].answer else ""
            turns.append(Turn(question=before + message["content"], answer=""))
        elif turns:
            turns[-1] = Turn(question=turns[-1].question, answer=message["content"])
    return tuple(turns)


def completion_of(answer: Answer) -> Completion:
    """An answer as meters count completions."""
    return Completion(text=answer.text, finish_reason=FinishReason.STOP, usage=_usage(answer))


def _usage(answer: Answer) -> Usage:
    return Usage(prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens)


def answer_warnings(asked: AskedIndex, answer: Answer) -> list[str]:
    """All warnings about a request and its answer."""
    idle = []
    if answer.mode is AnswerMode.EXTRACTIVE:
        named = [name for name in _WRITING if getattr(asked.body, name) is not None]
        idle = [f"{name} has no effect: the answer is quoted, and no model wrote it" for name in named]
    return list(dict.fromkeys([*asked.warnings, *answer.warnings, *idle]))


def answer_citations(asked: AskedIndex, answer: Answer) -> list[dict[str, Any]]:
    """The citations of an answer, in the order of their marks."""
    return [citation_object(asked.index, number, one) for number, one in enumerate(answer.citations, start=1)]


def _whole(asked: AskedIndex, identity: str, answer: Answer) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": url_citations(asked.index, answer, asked.base_url),
        "citations": answer_citations(asked, answer),
    }
    return {
        **objects.head("chat.completion", identity, asked.index.name),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": objects.usage_object([_usage(answer)], [_usage(answer)]),
        "retrieval": retrieval_object(asked.index, answer),
        "warnings": answer_warnings(asked, answer),
    }


async def _events(state: ServerState, asked: AskedIndex, identity: str) -> AsyncIterator[str]:
    """The stream: a first chunk with the role, text with its citations as it comes, and at the end the rest."""
    begin = objects.head("chat.completion.chunk", identity, asked.index.name)

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**begin, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    yield streaming.event(chunk({"role": "assistant", "content": ""}))
    answer: Answer | None = None
    async for piece in asked.writing.read():
        answer = piece.answer or answer
        if piece.text or piece.citations:
            yield streaming.event(chunk(_delta(asked, piece)))
    assert answer is not None, "an answer ended without its last piece"
    state.metrics.finished(asked.index.name, [completion_of(answer)])
    header = {
        "annotations": url_citations(asked.index, answer, asked.base_url),
        "citations": answer_citations(asked, answer),
    }
    rest = {"retrieval": retrieval_object(asked.index, answer), "warnings": answer_warnings(asked, answer)}
    yield streaming.event({**chunk(header, "stop"), **rest})
    if asked.body.stream_options is not None and asked.body.stream_options.include_usage:
        usage = objects.usage_object([_usage(answer)], [_usage(answer)])
        yield streaming.event({**begin, "choices": [], "usage": usage})
    yield objects.DONE


def _delta(asked: AskedIndex, piece: AnswerDelta) -> dict[str, Any]:
    found = [citation_object(asked.index, number + 1, citation) for number, citation in piece.citations]
    return {"content": piece.text, **({"citations": found} if found else {})}
