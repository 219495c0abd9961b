"""Scores from a server that repeats a prompt with the log-probability of each of its tokens (`echo`).

vLLM and lavra do so, OpenAI did for its older models, and most others do not: they end in `NoLogprobsError`.  The
condition of a text's score is put in front of the text, and both are one prompt.  A caller with the model's tokenizer
gives a function that splits a request into ids, and the ids are sent: the score is then that of the same split in this
process.  Without it text is sent, and a token that lies across the border would belong to both, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lavra.base.errors import ConfigError, InputError, NoLogprobsError
from lavra.base.types import Score, ScoreRequest
from lavra.remote.answering import NO_IDS, Pieces, TokenId, pieces_of, warnings_of
from lavra.remote.config import RemoteConfig

PairSplit = Callable[[ScoreRequest], tuple[tuple[int, ...], tuple[int, ...]]]
"""A function that splits a request into the ids read and the ids scored, with the model's own tokenizer."""

NOTHING_BEFORE = (
    "the server puts no token before a text, so the first one has no score; with the model's tokenizer one is put there"
)
_NONE_TOLD = (
    "the server does not return the log-probabilities of a prompt's tokens (echo with logprobs); "
    "score with one that does, such as vLLM or lavra serve, or in this process"
)


def as_ids(request: ScoreRequest, split: PairSplit | None) -> ScoreRequest:
    """The request in ids, where they are known: from a split, or because the caller gave ids.

    Raises:
        InputError: the condition is ids and the text is text, or the other way round, and there is no split.
    """
    if split is not None:
        context, tokens = split(request)
        return ScoreRequest(text=tokens, given=context or None, top_logprobs=request.top_logprobs)
    kinds = {isinstance(one, str) for one in (request.text, request.given) if one is not None}
    if len(kinds) > 1:
        raise InputError(
            "one of text and given is token ids and the other is text, and a remote server returns no ids of a "
            "text; give both as text"
        )
    return request


def echo_body(request: ScoreRequest, config: RemoteConfig) -> dict[str, Any]:
    """The JSON body that asks for a text's own tokens; the server writes no new token.

    Args:
        request: condition and text, both as text or both as ids.
        config: settings of the model's server.

    Raises:
        ConfigError: an adapter is asked for, which the protocol lacks.
    """
    if request.adapter is not None:
        raise ConfigError(f"adapter is {request.adapter!r}; a server offers adapters as models: ask for that one")
    text: str | list[int]
    if isinstance(request.text, str):
        text = str(request.given or "") + request.text
    else:
        text = [*(request.given or ()), *request.text]
    body: dict[str, Any] = {"model": config.model} if config.model else {}
    top = max(1, request.top_logprobs)  # shows whether a token is the likeliest
    return {**body, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": top, "temperature": 0}


def read_echo(answer: Mapping[str, Any], request: ScoreRequest, token_id: TokenId | None) -> Score:
    """Read the score of a text from the answer to `echo_body`.

    Raises:
        NoLogprobsError: the server sent no log-probabilities of the prompt.
        InputError: a token lies across the border.
    """
    choice = (answer.get("choices") or [{}])[0]
    pieces = pieces_of(choice)
    if pieces is None or (all(logprob is None for logprob in pieces.logprobs[1:]) and len(pieces.texts) != 1):
        raise NoLogprobsError(_NONE_TOLD)
    echoed = str(choice.get("text") or "")
    warnings = warnings_of(answer, choice)
    if isinstance(request.text, str):
        if not echoed.strip().startswith((str(request.given or "") + request.text).strip()):
            raise NoLogprobsError(_NONE_TOLD)  # the server ignored `echo`
        first = _first(pieces, request, echoed)
        size, tokens = len(request.text.encode()), pieces.part(first).ids(token_id)
        if token_id is None:
            warnings.append(NO_IDS)
    else:
        first, tokens = len(request.given or ()), request.text
        size = len("".join(pieces.texts[first:]).encode())
        if len(pieces.texts) != first + len(tokens):
            asked = first + len(tokens)
            raise NoLogprobsError(f"the server returned {len(pieces.texts)} tokens where {asked} were asked for")
    kept = pieces.part(first)
    if request.given == "" and kept.logprobs[0] is None:
        warnings.append(NOTHING_BEFORE)
    return Score(
        tokens=tokens,
        logprobs=kept.logprobs,
        num_bytes=size,
        greedy=tuple(map(_is_likeliest, kept.logprobs, kept.tops)),
        top_logprobs=tuple(top[: request.top_logprobs] for top in kept.top_ids(token_id))
        if request.top_logprobs
        else (),
        context_tokens=first,
        warnings=tuple(warnings),
    )


def refused(error: InputError) -> InputError:
    """The error for a server that refuses to echo or to send log-probabilities: it cannot score."""
    message = str(error).lower()
    if any(word in message for word in ("echo", "logprobs", "max_tokens")):
        return NoLogprobsError(f"{error}; {_NONE_TOLD}")
    return error


def _is_likeliest(logprob: float | None, top: Mapping[str, float] | None) -> bool | None:
    """Whether a token is the likeliest at its place, by the server's log-probabilities; `None` where there are none."""
    if logprob is None or not top:
        return None
    return logprob >= max(top.values())


def _first(pieces: Pieces, request: ScoreRequest, echoed: str) -> int:
    """The number of the first token of the text itself: behind its condition and the special tokens in front."""
    before = len(str(request.given or ""))
    offsets = pieces.offsets if pieces.offsets is not None else _counted(pieces)
    for number, offset in enumerate(offsets):
        if offset < before or _is_special(pieces, number, echoed, offset):
            continue
        if offset > before:
            raise InputError(
                f"a token lies across the border between given and text (characters {before} and {offset}); "
                "let the text begin where a word does"
            )
        return number
    raise InputError("the server returned no token of the text; is it empty?")


def _is_special(pieces: Pieces, number: int, echoed: str, offset: int) -> bool:
    """Whether a token in front belongs to no text, such as `<s>`."""
    spelled = pieces.texts[number]
    return "\ufffd" not in spelled and not echoed.startswith(spelled, offset)


def _counted(pieces: Pieces) -> list[int]:
    offsets = [0]
    for text in pieces.texts[:-1]:
        offsets.append(offsets[-1] + len(text))
    return offsets
