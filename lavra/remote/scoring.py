"""Scores from a server that repeats a prompt with the log-probability of each of its tokens (`echo`).

vLLM and lavra do so, OpenAI did for its older models, and most others do not.  What a text's score is given is put in
front of it as one prompt; a token that lies across the border would belong to both, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavra.base.errors import InputError
from lavra.base.types import Score, ScoreRequest
from lavra.remote.answering import NO_IDS, Pieces, TokenId, pieces_of, warnings_of
from lavra.remote.config import RemoteConfig


def echo_body(request: ScoreRequest, config: RemoteConfig) -> dict[str, Any]:
    """What is posted for a text's own tokens; nothing is written.

    Raises:
        InputError: token ids are given after a text.
    """
    if request.adapter is not None:
        raise InputError(f"adapter is {request.adapter!r}; a server offers adapters as models: ask for that one")
    if not isinstance(request.text, str) and request.given is not None:
        raise InputError(
            "text is token ids and given is text, whose ids a remote server does not tell; give both as text"
        )
    text = (request.given or "") + request.text if isinstance(request.text, str) else list(request.text)
    body: dict[str, Any] = {"model": config.model} if config.model else {}
    return {**body, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 0, "temperature": 0}


def read_echo(answer: Mapping[str, Any], request: ScoreRequest, token_id: TokenId | None) -> Score:
    """The score of a text from the answer to `echo_body`.

    Raises:
        InputError: the server told no log-probabilities of the prompt, or a token lies across the border.
    """
    choice = (answer.get("choices") or [{}])[0]
    pieces = pieces_of(choice)
    if pieces is None or not pieces.texts:
        raise InputError(
            "the server does not tell the log-probabilities of a prompt's tokens (echo with logprobs); "
            "score with one that does, such as vLLM or lavra serve, or in this process"
        )
    echoed = str(choice.get("text") or "")
    warnings = warnings_of(answer, choice)
    if token_id is None and isinstance(request.text, str):
        warnings.append(NO_IDS)
    if not isinstance(request.text, str):
        ids, logprobs = tuple(request.text), pieces.logprobs
        if len(logprobs) != len(ids):
            raise InputError(f"the server told of {len(logprobs)} tokens where {len(ids)} were asked about; give text")
        return Score(tokens=ids, logprobs=logprobs, num_bytes=len(echoed.encode()), warnings=tuple(warnings))
    first = _first(pieces, request, echoed)
    kept = Pieces(texts=pieces.texts[first:], logprobs=pieces.logprobs[first:])
    size = len(request.text.encode())
    return Score(tokens=kept.ids(token_id), logprobs=kept.logprobs, num_bytes=size, warnings=tuple(warnings))


def _first(pieces: Pieces, request: ScoreRequest, echoed: str) -> int:
    """Number of the first token of the text itself: behind what it is given and the special tokens in front."""
    before = len(request.given or "")
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
    raise InputError("the server told of no token of the text; is it empty?")


def _is_special(pieces: Pieces, number: int, echoed: str, offset: int) -> bool:
    """A token in front that is in no text, such as `<s>`."""
    spelled = pieces.texts[number]
    return "\ufffd" not in spelled and not echoed.startswith(spelled, offset)


def _counted(pieces: Pieces) -> list[int]:
    offsets = [0]
    for text in pieces.texts[:-1]:
        offsets.append(offsets[-1] + len(text))
    return offsets
