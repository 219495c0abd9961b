"""`POST /v1/completions`: text or token ids in, text out; several prompts, echo, log-probabilities, best of several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import ContextLengthError, InputError
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine.stream import EngineStream
from lavra.generate.completion_builder import mean_logprob
from lavra.server import streaming
from lavra.server.answers import EVENTS
from lavra.server.conversation.requests import around_gap, check_samples, generate_request
from lavra.server.fields import idle_fields
from lavra.server.openai import objects
from lavra.server.openai.answers import TextAnswer
from lavra.server.openai.logprobs import TokenOffsets, completion_logprobs
from lavra.server.reading import read_all, read_pieces
from lavra.server.schemas import CompletionBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState

DEFAULT_MAX_TOKENS = 16  # OpenAI's


@dataclass(kw_only=True)
class _Asked:
    """A completion request on its way.

    Attributes:
        prompts: text or ids of each prompt.
        n: completions returned for each prompt.
        streams: streams written for each prompt, `best_of` of them.
        scores: scores of each prompt's own tokens, where the answer shows them.
    """

    model: ServedModel
    body: CompletionBody
    prompts: list[str | tuple[int, ...]]
    n: int
    streams: list[list[EngineStream]]
    scores: list[Score] | None
    warnings: list[str]
    identity: str = field(default_factory=lambda: objects.new_id("cmpl"))

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, as they were sent."""
        return sum(len(_ids(self.model, one)) for one in self.prompts)

    @property
    def flat(self) -> list[EngineStream]:
        """The streams of all prompts, one after the other."""
        return [stream for streams in self.streams for stream in streams]


def completion_router(state: ServerState) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["completions"])

    @router.post("/v1/completions", response_model=TextAnswer, responses=EVENTS)
    async def completions(body: CompletionBody, request: Request) -> Response:
        """Go on with a text, as OpenAI's completions."""
        asked = await run_in_threadpool(_start, state, body, request.state.tenant)
        if body.stream:
            return streaming.streamed(_events(state, asked), asked.flat, failed=objects.failed)
        flat = await read_all(request, asked.flat)
        found = _regrouped(flat, [len(streams) for streams in asked.streams])
        for group in found:
            state.metrics.finished(asked.model.name, group)
        return JSONResponse(_answer(asked, found))

    return router


def _start(state: ServerState, body: CompletionBody, tenant: str) -> _Asked:
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.model_of(body)
    prompts = _prompts(body)
    if body.suffix:
        prompts = [around_gap(model, one, body.suffix) for one in prompts]
    n = check_samples("n", body.n, state.config)
    best_of = max(n, check_samples("best_of", body.best_of, state.config)) if body.best_of else n
    if body.stream and best_of > n:
        raise InputError("best_of chooses when all completions are there, so they cannot be streamed")
    most = int(model.usual.get("max_tokens", DEFAULT_MAX_TOKENS)) if body.max_tokens is None else body.max_tokens
    if body.echo and body.suffix:
        raise InputError("echo would show how the gap is marked, not your text; leave echo or suffix out")
    if most == 0 and not body.echo:
        raise InputError("max_tokens is 0 and echo is off, so there would be nothing to answer; set one of them")
    scores = None
    if body.echo and body.logprobs is not None:
        scores = _score_prompts(model, prompts, body.logprobs)
    tells = body.logprobs is not None or best_of > n  # the best are the likeliest
    most_written = max(1, most)
    requests = [
        generate_request(
            body,
            prompt,
            usual=model.usual,
            max_tokens=most_written,
            n=best_of,
            logprobs=tells,
            top_logprobs=body.logprobs or 0,
        )
        for prompt in prompts
    ]
    streams = _submit_all(state, model, requests, body, tenant) if most else [[] for _ in prompts]
    return _Asked(model=model, body=body, prompts=prompts, n=n, streams=streams, scores=scores, warnings=warnings)


def _submit_all(
    state: ServerState,
    model: ServedModel,
    requests: Sequence[GenerateRequest],
    body: CompletionBody,
    tenant: str,
) -> list[list[EngineStream]]:
    """Start every prompt's completions, or none: completions before a refused prompt would have no reader."""
    started: list[list[EngineStream]] = []
    try:
        for request in requests:
            started.append(state.submit(model, request, body, tenant))  # noqa: PERF401 - the list of started streams is needed
    except Exception:
        for stream in (stream for streams in started for stream in streams):
            stream.cancel()
        raise
    return started


def _score_prompts(model: ServedModel, prompts: Sequence[str | tuple[int, ...]], top: int) -> list[Score]:
    """The log-probabilities of the prompts' tokens, special tokens in front included, and of the likeliest tokens."""
    ids = [_ids(model, one) for one in prompts]
    longest = max(map(len, ids), default=0)
    if longest > model.max_length:
        raise ContextLengthError(
            f"a prompt has {longest} tokens and {model.name} reads at most {model.max_length}, the completion "
            "included; shorten it"
        )
    requests = [ScoreRequest(text=one, adapter=model.adapter, top_logprobs=max(1, top)) for one in ids]
    return model.writer().score(requests)


def _ids(model: ServedModel, prompt: str | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(model.writer().encoding.prompt_ids(prompt)) if isinstance(prompt, str) else prompt


def _prompts(body: CompletionBody) -> list[str | tuple[int, ...]]:
    """Return the prompts of a body, which has one or several, as text or ids."""
    if isinstance(body.prompt, str):
        return [body.prompt]
    if all(isinstance(one, int) for one in body.prompt):
        return [tuple(body.prompt)]  # type: ignore[arg-type]
    return [one if isinstance(one, str) else tuple(one) for one in body.prompt]  # type: ignore[arg-type]


def _regrouped(flat: Sequence[Completion], sizes: Sequence[int]) -> list[list[Completion]]:
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [list(flat[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _answer(asked: _Asked, found: list[list[Completion]]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for number, group in enumerate(found):
        ranked: Sequence[Completion | None] = group or [None]
        if len(group) > asked.n:
            ranked = sorted(group, key=mean_logprob, reverse=True)[: asked.n]
        choices.extend(_choice(asked, number, one) for one in ranked)
    flat = [one for group in found for one in group]
    usages = [group[0].usage for group in found if group]
    usage = objects.usage_object(usages, [one.usage for one in flat])
    if not usages:
        usage["prompt_tokens"] = usage["total_tokens"] = asked.prompt_tokens
    return {
        **objects.head("text_completion", asked.identity, asked.model.name, asked.model.fingerprint),
        "choices": [{"index": index, **choice} for index, choice in enumerate(choices)],
        "usage": usage,
        "warnings": objects.all_warnings(asked.warnings, flat),
    }


def _echo(asked: _Asked, number: int) -> str:
    """The prompt as text, where the answer begins with it; else an empty text."""
    if not asked.body.echo:
        return ""
    given = asked.prompts[number]
    return given if isinstance(given, str) else asked.model.tokenizer.decode(list(given))


def _choice(asked: _Asked, number: int, completion: Completion | None) -> dict[str, Any]:
    """A choice; without a completion, it holds only the prompt."""
    echo = _echo(asked, number)
    text = "" if completion is None else completion.text
    return {
        "text": echo + text,
        "logprobs": _logprobs(asked, number, completion, echo + text),
        "finish_reason": "length" if completion is None else completion.finish_reason.value,
    }


def _logprobs(asked: _Asked, number: int, completion: Completion | None, text: str) -> dict[str, Any] | None:
    if asked.body.logprobs is None:
        return None
    tokens: list[int] = []
    logprobs: list[float | None] = []
    tops: list[Sequence[tuple[int, float]] | None] = []
    if asked.scores is not None:
        score = asked.scores[number]
        tokens, logprobs = list(score.tokens), list(score.logprobs)
        tops = [
            None if logprob is None else _with_own(top[: asked.body.logprobs], token, logprob)
            for token, logprob, top in zip(score.tokens, score.logprobs, score.top_logprobs, strict=True)
        ]
    if completion is not None:
        tokens.extend(completion.tokens)
        logprobs.extend(completion.logprobs)
        tops.extend(completion.top_logprobs or [()] * len(completion.tokens))
    return completion_logprobs(asked.model.tokenizer, tokens, logprobs, tops, text)


def _with_own(top: Sequence[tuple[int, float]], token: int, logprob: float) -> list[tuple[int, float]]:
    """The likeliest tokens of a place and the prompt's own among them, as OpenAI and vLLM have it."""
    return [*top, *([] if any(token == one for one, _ in top) else [(token, logprob)])]


def _text_events(chunk: Callable[..., dict[str, Any]], index: int) -> streaming.TextEvents:
    return streaming.TextEvents(lambda text: chunk(index, text))


async def _events(state: ServerState, asked: _Asked) -> AsyncIterator[str]:
    """Text as it comes; each choice ends with its reason."""
    begin = objects.head("text_completion", asked.identity, asked.model.name, asked.model.fingerprint)
    running = objects.RunningUsage(asked.body.stream_options, asked.prompt_tokens)

    def chunk(index: int, text: str, **more: Any) -> dict[str, Any]:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None, **more}
        return {**begin, "choices": [choice], **running.fields()}

    flat = asked.flat
    if asked.body.echo:
        for index in range(len(flat) or len(asked.prompts)):
            number, end = (index // asked.n, None) if flat else (index, "length")
            echo = _echo(asked, number)
            logprobs = _logprobs(asked, number, None, echo)
            yield streaming.event(chunk(index, echo, logprobs=logprobs, finish_reason=end))
    tells = asked.body.logprobs is not None
    places = [TokenOffsets(len(_echo(asked, index // asked.n))) for index in range(len(flat) if tells else 0)]
    plain = [_text_events(chunk, index) for index in range(len(flat))]
    done: dict[int, Completion] = {}
    async for index, piece in read_pieces(flat):
        if piece.completion is None and not (tells or running.wanted):  # as nearly all
            if piece.text:
                yield plain[index].event(piece.text)
            continue
        running.add(len(piece.tokens))
        more: dict[str, Any] = {}
        if tells and piece.tokens:
            tops = piece.top_logprobs or [()] * len(piece.tokens)
            more["logprobs"] = completion_logprobs(
                asked.model.tokenizer, piece.tokens, piece.logprobs, tops, piece.text, places[index]
            )
        if piece.completion is not None:
            done[index] = piece.completion
            more["finish_reason"] = piece.completion.finish_reason.value
        last = {}
        if piece.completion is not None:
            last["warnings"] = objects.all_warnings(asked.warnings, [*done.values()])
        if more or (piece.text and running.wanted):
            yield streaming.event({**chunk(index, piece.text, **more), **last})
        elif piece.text:
            yield plain[index].event(piece.text)
    ended = [done[index] for index in sorted(done)]  # by prompt, whichever ended first
    for first in range(0, len(ended), asked.n):
        state.metrics.finished(asked.model.name, ended[first : first + asked.n])
    if asked.body.stream_options is not None and asked.body.stream_options.include_usage:
        prompts = [one.usage for one in ended[:: asked.n]]
        usage = objects.usage_object(prompts, [one.usage for one in ended])
        yield streaming.event({**begin, "choices": [], "usage": usage})
    yield objects.DONE
